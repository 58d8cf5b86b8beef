/* SPDX-License-Identifier: Apache-2.0 */
/* The host's team as the executor of a pthreadpool, where the version has that. */
#ifndef CPU_XNNPACK_TEAM_H
#define CPU_XNNPACK_TEAM_H

#include "operators.h"

typedef struct cpu_xnn_team cpu_xnn_team;
struct pthreadpool;

/* NULL pool: the version knows no foreign threads, or there is one worker. */
sy_status cpu_xnn_team_create(uint32_t n_workers, cpu_xnn_team **out_team);
struct pthreadpool *cpu_xnn_team_pool(cpu_xnn_team *team);
/* Calls `work` once here; the host's other workers help with what it hands to the pool. */
sy_status cpu_xnn_team_run(cpu_run *run, cpu_xnn_team *team, void (*work)(void *argument),
                           void *argument, double cost);
void cpu_xnn_team_destroy(cpu_xnn_team *team); /* NULL is fine */

#endif
