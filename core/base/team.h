/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread team: one per runtime. A caller and up to n_workers - 1 threads share the tasks of one
 * parallel call; tasks are handed out in order, one by one, so unequal cores finish together.
 * Helpers spin for a while after a call and then sleep; between requests they use no CPU. A helper
 * that the system keeps from running is left out until it gets its CPU again, so that a busy
 * neighbour never makes a team slower than its caller alone. With one worker no thread is made and
 * the call is a plain loop.
 */
#ifndef SY_BASE_TEAM_H
#define SY_BASE_TEAM_H

#include "base/affinity.h"

typedef struct sy__team sy__team;

#define SY__TEAM_SPIN_US 1000u /* longer than the gap between two tokens */

typedef struct sy__team_options {
    uint32_t n_workers;   /* 0: sy__cpus_n_workers of the CPUs that may be used */
    uint32_t spin_us;     /* how long helpers wait awake for the next call */
    const sy__cpus *cpus; /* where helpers may run; NULL: wherever the process may */
} sy__team_options;

/* n_workers 0: one worker per core this process may use. */
SY_MUST_CHECK sy_status sy__team_create(const sy_allocator *allocator, uint32_t n_workers,
                                        sy__team **out_team, sy_error *error);
SY_MUST_CHECK sy_status sy__team_create_with(const sy_allocator *allocator,
                                             const sy__team_options *options, sy__team **out_team,
                                             sy_error *error);
void sy__team_destroy(sy__team *team); /* NULL is fine */
uint32_t sy__team_n_workers(const sy__team *team);
/* How many workers will really share the next call: n_workers less those that are left out for now.
 * A hint; it may change at any time. */
uint32_t sy__team_n_active(const sy__team *team);
/* Runs task(argument, i, i_worker) for every i < n_tasks and returns when all are done. Within one
 * call an i_worker belongs to one thread. Tasks must not wait for each other: any number of them
 * may run on one thread. While the helpers are busy with another thread's call, and in a call from
 * inside a task, the calling thread runs everything itself. So does a NULL team. */
void sy__team_run(sy__team *team, sy_task task, void *argument, uint32_t n_tasks);

#endif
