/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Busy neighbours: a helper that is put aside inside a task holds the caller up for a time slice
 * (milliseconds), more than it can give back. So every thread of a team compares the time that
 * passed with the CPU time that it got. Who loses milliseconds is benched; from time to time a
 * benched helper stands a trial: it wants its CPU for longer than a time slice and takes no task.
 * Trials that fail double the time to the next one. When the caller loses time itself there are
 * more threads than CPUs, and a helper has to go as well.
 */
#include "base/clock.h"
#include "base/team_internal.h"

#include <sched.h>
#include <sys/resource.h>
#include <time.h>

#define MUCH_NS 6000000u /* more than one time slice: daemons take one now and then */
#define PAUSE_NS 5000000u
#define MOST_LEVELS 6u /* 0.3 seconds: also how long a neighbour is missed that has gone */

static void read_now(sy__watch *watch) {
    struct timespec cpu = {0};
    struct rusage usage = {0};
    watch->wall_ns = sy__clock_now_ns();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu); /* rusage lags behind by up to a tick */
    watch->cpu_ns = (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec;
    getrusage(RUSAGE_THREAD, &usage);
    watch->n_waits = (uint64_t)usage.ru_nvcsw;
    watch->n_faults = (uint64_t)usage.ru_majflt;
}

void sy__watch_start(sy__watch *watch) {
    read_now(watch);
    watch->debt_ns = 0;
}

uint64_t sy__watch_lost(sy__watch *watch, bool was_late) {
    sy__watch now;
    read_now(&now);
    uint64_t wall_ns = now.wall_ns - watch->wall_ns, cpu_ns = now.cpu_ns - watch->cpu_ns;
    uint64_t lost_ns = wall_ns > cpu_ns ? wall_ns - cpu_ns : 0;
    if (was_late ? now.n_faults != watch->n_faults : now.n_waits != watch->n_waits) {
        lost_ns = 0; /* nobody took it away */
    }
    now.debt_ns = watch->debt_ns;
    *watch = now;
    return lost_ns;
}

/* True when losses beyond the tolerated share have added up. */
static bool owe_much(sy__watch *watch, uint64_t lost_ns, uint64_t tolerated_ns) {
    uint64_t debt_ns = watch->debt_ns + lost_ns;
    watch->debt_ns = debt_ns > tolerated_ns ? debt_ns - tolerated_ns : 0;
    if (watch->debt_ns <= MUCH_NS) {
        return false;
    }
    watch->debt_ns = 0;
    return true;
}

static bool change_role(sy__worker *worker, sy__role from, sy__role to) {
    unsigned expected = from;
    return atomic_compare_exchange_strong(&worker->role, &expected, to);
}

static void bench(sy__team *team, uint32_t i_worker) {
    if (change_role(&team->workers[i_worker], SY__HELPS, SY__BENCHED)) {
        atomic_fetch_sub(&team->n_helping, 1);
    }
}

/* A single loss is bad luck. */
bool sy__trial_loses(sy__team *team, uint64_t lost_ns) {
    return atomic_fetch_add(&team->trial_lost_ns, lost_ns) + lost_ns > SY__TRIAL_NS / 4;
}

/* While somebody is on trial it is that one who is too many. */
static bool blame_trial(sy__team *team, uint64_t lost_ns) {
    unsigned i_trial = atomic_load(&team->on_trial);
    if (i_trial == 0) {
        return false;
    }
    if (sy__trial_loses(team, lost_ns)) {
        (void)change_role(&team->workers[i_trial], SY__ON_TRIAL, SY__BENCHED);
    }
    return true;
}

/* Whether the thread of this watch, or who is blamed for it, has to go. */
static bool is_too_many(sy__team *team, sy__watch *watch, bool was_late) {
    uint64_t before_ns = watch->wall_ns, lost_ns = sy__watch_lost(watch, was_late);
    uint64_t tolerated_ns = (watch->wall_ns - before_ns) / sy__team_n_parts(team);
    bool owes_much = owe_much(watch, lost_ns, tolerated_ns);
    return !blame_trial(team, lost_ns) && owes_much;
}

/* The system wakes a helper beside the caller when no CPU is without work, be the work that of a
 * program of the lowest priority, and leaves it there for long. Set back, the mask moves nobody. */
void sy__team_part(const sy__team *team) {
    int cpu = sched_getcpu();
    cpu_set_t before, others;
    if (cpu < 0 || cpu >= CPU_SETSIZE || cpu != atomic_load(&team->caller_cpu) ||
        sched_getaffinity(0, sizeof(before), &before) != 0) {
        return;
    }
    others = before;
    CPU_CLR((size_t)cpu, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof(others), &others) == 0) {
        (void)sched_setaffinity(0, sizeof(before), &before);
    }
}

void sy__team_ask(sy__team *team, uint32_t i_worker, bool was_late) {
    sy__team_part(team);
    if (is_too_many(team, &team->workers[i_worker].watch, was_late)) {
        bench(team, i_worker);
    }
}

static void ask_caller(sy__team *team) {
    if (!is_too_many(team, &team->bench.watch, false)) {
        return;
    }
    for (uint32_t i = team->n_workers - 1; i > 0; i--) {
        if (atomic_load(&team->workers[i].role) == SY__HELPS) {
            bench(team, i);
            return;
        }
    }
}

static uint64_t pause_ns(const sy__bench *b) {
    return (uint64_t)PAUSE_NS << b->level;
}

static void raise_level(sy__bench *b, uint64_t now_ns) {
    b->level += b->level < MOST_LEVELS;
    b->next_trial_ns = now_ns + pause_ns(b);
}

/* True while the trial goes on. */
static bool follow_trial(sy__team *team, uint64_t now_ns) {
    sy__bench *b = &team->bench;
    unsigned role = b->i_trial != 0 ? atomic_load(&team->workers[b->i_trial].role) : SY__BENCHED;
    if (b->i_trial == 0 || role == SY__ON_TRIAL) {
        return b->i_trial != 0;
    }
    b->i_trial = 0;
    atomic_store(&team->on_trial, 0);
    if (role == SY__HELPS) {
        b->trusted_ns = now_ns;
        b->next_trial_ns = now_ns + PAUSE_NS;
        b->n_helping++;
    } else {
        raise_level(b, now_ns);
    }
    return false;
}

/* Who was trusted for long before it was benched starts anew; else the trial was too kind. */
static void follow_bench(sy__team *team, uint64_t now_ns) {
    sy__bench *b = &team->bench;
    uint32_t n_helping = atomic_load(&team->n_helping);
    if (n_helping < b->n_helping) {
        if (now_ns - b->trusted_ns > 4 * (pause_ns(b) + SY__TRIAL_NS)) {
            b->level = 0;
            b->next_trial_ns = now_ns + PAUSE_NS;
        } else {
            raise_level(b, now_ns);
        }
    }
    b->n_helping = n_helping;
}

static void start_trial(sy__team *team) {
    sy__bench *b = &team->bench;
    for (uint32_t n = 1; n < team->n_workers; n++) {
        uint32_t i = 1 + (b->i_last + n - 1) % (team->n_workers - 1);
        sy__worker *worker = &team->workers[i];
        if (atomic_load(&worker->role) != SY__BENCHED) {
            continue;
        }
        b->i_trial = b->i_last = i;
        atomic_store(&team->trial_lost_ns, 0);
        atomic_store(&team->on_trial, i);
        if (change_role(worker, SY__BENCHED, SY__ON_TRIAL)) {
            sy__futex_wake(&worker->role, 1);
            sy__team_wake_all(team); /* it was benched in its sleep, if nobody called for long */
        }
        return;
    }
}

void sy__team_look(sy__team *team, const void *thread) {
    sy__bench *b = &team->bench;
    atomic_store(&team->caller_cpu, sched_getcpu());
    if (b->thread != thread) {
        b->thread = thread;
        sy__watch_start(&b->watch);
    } else {
        ask_caller(team);
    }
    uint64_t now_ns = b->watch.wall_ns;
    bool is_on_trial = follow_trial(team, now_ns);
    follow_bench(team, now_ns);
    if (!is_on_trial && b->n_helping + 1 < team->n_workers && now_ns >= b->next_trial_ns) {
        start_trial(team);
    }
}
