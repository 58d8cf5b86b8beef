/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread team: one per runtime. A caller and n_workers - 1 threads share the tasks of one
 * parallel call; tasks are handed out in order through an atomic counter, so unequal cores finish
 * together. Workers spin briefly and then sleep; between calls they use no CPU. With one worker no
 * thread is made and the call is a plain loop.
 */
#ifndef SY_BASE_TEAM_H
#define SY_BASE_TEAM_H

#include "switchyard/allocator.h"

typedef struct sy__team sy__team;

/* n_workers 0: the CPUs this process may run on. */
SY_MUST_CHECK sy_status sy__team_create(const sy_allocator *allocator, uint32_t n_workers,
                                        sy__team **out_team, sy_error *error);
void sy__team_destroy(sy__team *team); /* NULL is fine */
uint32_t sy__team_n_workers(const sy__team *team);
/* Runs task(argument, i, i_worker) for every i < n_tasks and returns when all are done. Calls from
 * several threads take turns; a call from inside a task runs on that task's worker. A NULL team
 * runs everything on the caller. */
void sy__team_run(sy__team *team, sy_task task, void *argument, uint32_t n_tasks);

#endif
