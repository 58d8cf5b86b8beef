/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a call meets its workers: the caller fills in the job and opens the gate; a worker that finds
 * it open goes in (gate + 1), takes tasks until none is left and goes out (gate - 1). When the
 * caller runs out of tasks itself it closes the gate and waits only for those inside, so a worker
 * that wakes late never holds a call up.
 */
#include "base/team.h"

#include "base/memory.h"
#include "switchyard/limits.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GATE_OPEN 0x80000000u
#define N_SPINS 1024 /* 10 to 50 us: longer than the gap between two nodes of a graph */

typedef struct worker {
    sy__team *team;
    uint32_t i_worker;
    pthread_t thread;
} worker;

struct sy__team {
    const sy_allocator *allocator;
    uint32_t n_workers;
    uint32_t n_started; /* threads that exist */
    pthread_mutex_t turn;
    worker *workers; /* [n_workers]; 0 is the caller */
    sy_task task;
    void *argument;
    uint32_t n_tasks;
    _Alignas(64) atomic_uint_fast64_t next; /* task to hand out */
    _Alignas(64) atomic_uint gate;
    _Alignas(64) atomic_uint call; /* counts calls; sleeping workers wait for it to change */
    atomic_uint n_sleeping;
    atomic_uint caller_sleeps;
    atomic_bool stop;
};

/* The team whose task this thread is inside of: a call from there runs in place. */
static _Thread_local const sy__team *current_team;
static _Thread_local uint32_t current_worker;

static void futex_wait(atomic_uint *word, unsigned expected) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word, uint32_t n) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ __volatile__("yield" ::: "memory");
#endif
}

static void take_tasks(sy__team *team, uint32_t i_worker) {
    const sy__team *outer_team = current_team;
    uint32_t outer_worker = current_worker;
    current_team = team;
    current_worker = i_worker;
    for (;;) {
        uint64_t i = atomic_fetch_add_explicit(&team->next, 1, memory_order_relaxed);
        if (i >= team->n_tasks) {
            break;
        }
        team->task(team->argument, (uint32_t)i, i_worker);
    }
    current_team = outer_team;
    current_worker = outer_worker;
}

static bool enter(sy__team *team) {
    unsigned gate = atomic_load(&team->gate);
    while ((gate & GATE_OPEN) != 0) {
        if (atomic_compare_exchange_weak(&team->gate, &gate, gate + 1)) {
            return true;
        }
    }
    return false;
}

static void leave(sy__team *team) {
    if (atomic_fetch_sub(&team->gate, 1) == 1 && atomic_load(&team->caller_sleeps) != 0) {
        futex_wake(&team->gate, 1);
    }
}

static void wait_for_call(sy__team *team, unsigned seen) {
    for (int i = 0; i < N_SPINS; i++) {
        if (atomic_load_explicit(&team->call, memory_order_acquire) != seen) {
            return;
        }
        relax();
    }
    atomic_fetch_add(&team->n_sleeping, 1);
    while (atomic_load(&team->call) == seen) {
        futex_wait(&team->call, seen);
    }
    atomic_fetch_sub(&team->n_sleeping, 1);
}

static void *worker_main(void *argument) {
    worker *self = argument;
    sy__team *team = self->team;
    unsigned seen = 0; /* as sy__team_create left it: no call is missed */
    while (!atomic_load(&team->stop)) {
        wait_for_call(team, seen);
        seen = atomic_load(&team->call);
        if (enter(team)) {
            take_tasks(team, self->i_worker);
            leave(team);
        }
    }
    return NULL;
}

static uint32_t count_cpus(void) {
    cpu_set_t set;
    long n_cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set)
                                                               : sysconf(_SC_NPROCESSORS_ONLN);
    if (n_cpus < 1) {
        return 1;
    }
    return n_cpus > (long)SY_LIMIT_WORKERS ? SY_LIMIT_WORKERS : (uint32_t)n_cpus;
}

/* Signals belong to the application's threads. */
static int start_thread(worker *self) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&self->thread, NULL, worker_main, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

static sy_status start_threads(sy__team *team, sy_error *error) {
    for (uint32_t i = 1; i < team->n_workers; i++) {
        team->workers[i].team = team;
        team->workers[i].i_worker = i;
        int result = start_thread(&team->workers[i]);
        if (result != 0) {
            sy_error_set(error, SY_RESOURCE_EXHAUSTED,
                         "Cannot start worker thread %u of %u (system error %d).", i,
                         team->n_workers - 1, result);
            sy_error_hint(error, "Ask for fewer workers or raise the thread limit (ulimit -u).");
            return SY_RESOURCE_EXHAUSTED;
        }
        team->n_started++;
    }
    return SY_OK;
}

sy_status sy__team_create(const sy_allocator *allocator, uint32_t n_workers, sy__team **out_team,
                          sy_error *error) {
    allocator = sy__allocator_or_heap(allocator);
    n_workers = n_workers != 0 ? n_workers : count_cpus();
    if (n_workers > SY_LIMIT_WORKERS) {
        sy_error_set(error, SY_OUT_OF_RANGE, "%u workers are more than the limit of %u.", n_workers,
                     SY_LIMIT_WORKERS);
        sy_error_hint(error, "Give 0 for one worker per CPU.");
        return SY_OUT_OF_RANGE;
    }
    sy__team *team = SY__NEW(allocator, sy__team);
    worker *workers = sy__alloc_array(allocator, n_workers, sizeof(*workers));
    if (team == NULL || workers == NULL || pthread_mutex_init(&team->turn, NULL) != 0) {
        sy__free_array(allocator, workers, n_workers, sizeof(*workers));
        SY__DELETE(allocator, team);
        return sy__no_memory(error, sizeof(*team) + n_workers * sizeof(*workers), "a thread team");
    }
    team->allocator = allocator;
    team->n_workers = n_workers;
    team->workers = workers;
    sy_status status = start_threads(team, error);
    if (status != SY_OK) {
        sy__team_destroy(team);
        return status;
    }
    *out_team = team;
    return SY_OK;
}

void sy__team_destroy(sy__team *team) {
    if (team == NULL) {
        return;
    }
    atomic_store(&team->stop, true);
    atomic_fetch_add(&team->call, 1);
    futex_wake(&team->call, SY_LIMIT_WORKERS);
    for (uint32_t i = 1; i <= team->n_started; i++) {
        pthread_join(team->workers[i].thread, NULL);
    }
    pthread_mutex_destroy(&team->turn);
    sy__free_array(team->allocator, team->workers, team->n_workers, sizeof(*team->workers));
    SY__DELETE(team->allocator, team);
}

uint32_t sy__team_n_workers(const sy__team *team) {
    return team != NULL ? team->n_workers : 1;
}

static void run_here(sy_task task, void *argument, uint32_t n_tasks, uint32_t i_worker) {
    for (uint32_t i = 0; i < n_tasks; i++) {
        task(argument, i, i_worker);
    }
}

static void close_and_wait(sy__team *team) {
    unsigned gate = atomic_fetch_and(&team->gate, ~GATE_OPEN) & ~GATE_OPEN;
    for (int i = 0; i < N_SPINS && gate != 0; i++) {
        relax();
        gate = atomic_load(&team->gate);
    }
    if (gate == 0) {
        return;
    }
    atomic_store(&team->caller_sleeps, 1);
    while ((gate = atomic_load(&team->gate)) != 0) {
        futex_wait(&team->gate, gate);
    }
    atomic_store(&team->caller_sleeps, 0);
}

void sy__team_run(sy__team *team, sy_task task, void *argument, uint32_t n_tasks) {
    if (team != NULL && current_team == team) {
        run_here(task, argument, n_tasks, current_worker);
        return;
    }
    if (team == NULL) {
        run_here(task, argument, n_tasks, 0);
        return;
    }
    pthread_mutex_lock(&team->turn);
    team->task = task;
    team->argument = argument;
    team->n_tasks = n_tasks;
    atomic_store_explicit(&team->next, 0, memory_order_relaxed);
    bool shared = n_tasks > 1 && team->n_workers > 1;
    if (shared) {
        atomic_store(&team->gate, GATE_OPEN);
        atomic_fetch_add(&team->call, 1);
        if (atomic_load(&team->n_sleeping) != 0) {
            futex_wake(&team->call, (n_tasks < team->n_workers ? n_tasks : team->n_workers) - 1);
        }
    }
    take_tasks(team, 0);
    if (shared) {
        close_and_wait(team);
    }
    pthread_mutex_unlock(&team->turn);
}
