/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pthreadpool borrows threads from its executor: for each missing one it leaves a ticket, and the
 * thread that redeems it stays in the pool's loop until there is no work for a while. A run is one
 * parallel call of the host: its first task invokes the library, the others redeem tickets until
 * the first is through. Nothing waits for a ticket that nobody redeems - the pool waits only for
 * threads that have begun - so a host that gives one thread alone, or runs the tasks one after
 * another, is slower and not stuck. A ticket left over is redeemed in the next run.
 */
#include "xnnpack_team.h"

#ifdef CPU_XNNPACK_EXECUTOR
#include <pthreadpool.h>
#include <sched.h>

#define SPINS_BEFORE_YIELD 2000u
enum { PHASE_NOT_BEGUN, PHASE_OPEN, PHASE_OVER };
#define LEAST_COST 65536.0 /* multiply-adds below which waking the team costs more than it saves */

typedef struct ticket {
    void (*task)(void *context);
    void *context;
} ticket;

struct cpu_xnn_team {
    struct pthreadpool *pool;
    uint32_t n_workers;
    atomic_flag lock;
    uint32_t n_tickets; /* under the lock; at most one for each worker */
    atomic_uint phase;
    void (*work)(void *argument);
    void *argument;
    ticket tickets[];
};

static void team_lock(cpu_xnn_team *team) {
    while (atomic_flag_test_and_set_explicit(&team->lock, memory_order_acquire)) {
        sched_yield();
    }
}

static void team_unlock(cpu_xnn_team *team) {
    atomic_flag_clear_explicit(&team->lock, memory_order_release);
}

static int executor_threads(void *context) {
    return (int)((const cpu_xnn_team *)context)->n_workers - 1;
}

static void executor_schedule(void *context, void *task_context, void (*task)(void *context)) {
    cpu_xnn_team *team = context;
    team_lock(team);
    if (team->n_tickets < team->n_workers) {
        team->tickets[team->n_tickets++] = (ticket){task, task_context};
    }
    team_unlock(team);
}

static bool redeem_one(cpu_xnn_team *team) {
    ticket one = {NULL, NULL};
    team_lock(team);
    if (team->n_tickets > 0) {
        one = team->tickets[--team->n_tickets];
    }
    team_unlock(team);
    if (one.task != NULL) {
        one.task(one.context);
    }
    return one.task != NULL;
}

sy_status cpu_xnn_team_create(uint32_t n_workers, cpu_xnn_team **out_team) {
    static struct pthreadpool_executor executor = {executor_threads, executor_schedule};
    *out_team = NULL;
    if (n_workers < 2) {
        return SY_OK;
    }
    cpu_xnn_team *team = kit_alloc(sizeof(*team) + n_workers * sizeof(ticket));
    if (team == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a team");
    }
    team->n_workers = n_workers;
    atomic_flag_clear(&team->lock);
    team->pool = pthreadpool_create_v2(&executor, team, n_workers);
    if (team->pool == NULL) {
        kit_release(team, sizeof(*team) + n_workers * sizeof(ticket));
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a thread pool");
    }
    *out_team = team;
    return SY_OK;
}

struct pthreadpool *cpu_xnn_team_pool(cpu_xnn_team *team) {
    return team != NULL ? team->pool : NULL;
}

static void do_nothing(void *context, size_t i) {
    (void)context;
    (void)i;
}

static void team_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    cpu_xnn_team *team = argument;
    (void)i_worker;
    if (i_task == 0) {
        atomic_store(&team->phase, PHASE_OPEN);
        team->work(team->argument);
        /* A last round with this flag sends home whoever spins in the pool for more work. */
        pthreadpool_parallelize_1d(team->pool, do_nothing, NULL, team->n_workers,
                                   PTHREADPOOL_FLAG_YIELD_WORKERS);
        atomic_store(&team->phase, PHASE_OVER);
        return;
    }
    uint32_t phase = PHASE_NOT_BEGUN;
    for (uint32_t n_idle = 0; phase != PHASE_OVER; phase = atomic_load(&team->phase)) {
        n_idle = redeem_one(team) ? 0 : n_idle + 1;
        if (n_idle > SPINS_BEFORE_YIELD) {
            if (phase == PHASE_NOT_BEGUN) {
                return; /* nobody may be there to begin before this task ends */
            }
            sched_yield();
        }
    }
}

sy_status cpu_xnn_team_run(cpu_run *run, cpu_xnn_team *team, void (*work)(void *argument),
                           void *argument, double cost) {
    if (team == NULL || cost < LEAST_COST) {
        work(argument);
        return atomic_load(&run->failure);
    }
    team->work = work;
    team->argument = argument;
    atomic_store(&team->phase, PHASE_NOT_BEGUN);
    sy_status status = kit_parallel(team_task, team, team->n_workers);
    return status == SY_OK ? atomic_load(&run->failure) : status;
}

void cpu_xnn_team_destroy(cpu_xnn_team *team) {
    if (team != NULL) {
        while (redeem_one(team)) { /* the pool counts them as its threads */
        }
        pthreadpool_destroy(team->pool);
        kit_release(team, sizeof(*team) + team->n_workers * sizeof(ticket));
    }
}

#else

sy_status cpu_xnn_team_create(uint32_t n_workers, cpu_xnn_team **out_team) {
    (void)n_workers;
    *out_team = NULL;
    return SY_OK;
}
struct pthreadpool *cpu_xnn_team_pool(cpu_xnn_team *team) {
    (void)team;
    return NULL;
}
sy_status cpu_xnn_team_run(cpu_run *run, cpu_xnn_team *team, void (*work)(void *argument),
                           void *argument, double cost) {
    (void)team;
    (void)cost;
    work(argument);
    return atomic_load(&run->failure);
}
void cpu_xnn_team_destroy(cpu_xnn_team *team) {
    (void)team;
}
#endif
