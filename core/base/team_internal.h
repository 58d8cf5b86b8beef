/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the team share. */
#ifndef SY_BASE_TEAM_INTERNAL_H
#define SY_BASE_TEAM_INTERNAL_H

#include "base/team.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define SY__LINE_BYTES 64
#define SY__N_PAUSES 64 /* of a spinning thread between two looks at the clock: 1 to 3 us */

typedef enum sy__role {
    SY__HELPS = 0, /* takes tasks */
    SY__ON_TRIAL,  /* takes none; watches whether it gets its CPU */
    SY__BENCHED,   /* asleep until a caller gives it a trial */
    SY__QUITS
} sy__role;

/* How much one thread was kept from running; read and written by that thread. */
typedef struct sy__watch {
    uint64_t wall_ns, cpu_ns;
    uint64_t n_waits;  /* times it gave its CPU away by itself */
    uint64_t n_faults; /* pages it waited for */
    uint64_t debt_ns;  /* time it missed, less what is tolerated */
} sy__watch;

typedef struct sy__worker {
    _Alignas(SY__LINE_BYTES) atomic_uint role; /* a benched worker sleeps on it */
    uint32_t i_worker;
    sy__team *team;
    pthread_t thread;
    sy__watch watch;
} sy__worker;

/* Who is left out and until when; belongs to the thread that holds `busy`. */
typedef struct sy__bench {
    const void *thread; /* whose watch this is */
    sy__watch watch;    /* of the caller */
    uint64_t next_trial_ns, trusted_ns;
    uint32_t level;     /* each doubles the time to the next trial */
    uint32_t n_helping; /* at the last look */
    uint32_t i_trial;   /* worker on trial, 0 none */
    uint32_t i_last;    /* worker that was last on trial */
} sy__bench;

struct sy__team {
    const sy_allocator *allocator;
    uint32_t n_workers;
    uint32_t n_started; /* threads that exist */
    uint64_t spin_ns;
    sy__worker *workers; /* [n_workers]; 0 is the caller */
    atomic_uint n_helping;
    atomic_uint someone_sleeps;         /* set by a helper before it sleeps, taken by the caller */
    atomic_uint signal;                 /* sleeping helpers wait for it to change */
    atomic_uint on_trial;               /* bench.i_trial for the helpers */
    atomic_uint_fast64_t trial_lost_ns; /* by all threads since it began */
    atomic_int caller_cpu;              /* at the last look, -1 unknown */

    _Alignas(SY__LINE_BYTES) atomic_bool busy; /* held by the caller that has the helpers */
    uint32_t n_calls;
    atomic_uint_fast64_t look_ns; /* coarse time of the last look */
    sy__bench bench;

    /* The call. work = number of the call << 32 | tasks left: who takes a task lowers it, and a
     * helper that comes late changes nothing, whichever call it thinks it is in. */
    _Alignas(SY__LINE_BYTES) atomic_uint_fast64_t work;
    sy_task task;
    void *argument;
    uint32_t n_tasks;

    _Alignas(SY__LINE_BYTES) atomic_uint n_done; /* tasks that helpers finished */
    atomic_uint caller_sleeps;
};

/* team.c */
uint32_t sy__team_take(sy__team *team, uint64_t work, uint32_t i_worker);
/* Wakes helpers that sleep until a call. */
void sy__team_wake_all(sy__team *team);
void sy__team_relax(void);
void sy__futex_wait(atomic_uint *word, unsigned expected);
void sy__futex_wake(atomic_uint *word, uint32_t n);

/* team_worker.c */
void *sy__worker_main(void *argument);

/* team_watch.c */
#define SY__TRIAL_NS 32000000u /* several time slices */
void sy__watch_start(sy__watch *watch);
/* Nanoseconds that this thread wanted to run and did not since it was last asked. was_late:
 * somebody waited for it, so sleeping in a task counts as well. */
uint64_t sy__watch_lost(sy__watch *watch, bool was_late);
/* Counts what a thread lost while somebody is on trial; true when that is too much to pass. */
bool sy__trial_loses(sy__team *team, uint64_t lost_ns);
/* Every few milliseconds, by the holder of `busy`: benches, gives trials, takes back. */
void sy__team_look(sy__team *team, const void *thread);
/* For a helper while it helps: it leaves when it lost too much, or the one on trial does. */
void sy__team_ask(sy__team *team, uint32_t i_worker, bool was_late);
/* Moves the calling helper off the CPU that the caller was last seen on. */
void sy__team_part(const sy__team *team);
/* The share that working threads may lose: a team of n stands still when one of them does, so it
 * is half of what that one adds. */
static inline uint32_t sy__team_n_parts(const sy__team *team) {
    return 2 * (1 + atomic_load_explicit(&team->n_helping, memory_order_relaxed));
}

static inline uint32_t sy__work_left(uint64_t work) {
    return (uint32_t)work;
}
static inline uint32_t sy__work_call(uint64_t work) {
    return (uint32_t)(work >> 32);
}

#endif
