/* SPDX-License-Identifier: Apache-2.0 */
/* Which CPUs there are, which the process may use, and how many threads suit them. */
#ifndef SY_BASE_AFFINITY_H
#define SY_BASE_AFFINITY_H

#include "switchyard/allocator.h"
#include "switchyard/status.h"

#include <pthread.h>
#include <stdbool.h>

#define SY__N_CPUS_MAX 1024u

typedef struct sy__cpus {
    uint64_t bits[SY__N_CPUS_MAX / 64];
} sy__cpus;

bool sy__cpus_has(const sy__cpus *cpus, uint32_t i_cpu);
void sy__cpus_add(sy__cpus *cpus, uint32_t i_cpu);
uint32_t sy__cpus_count(const sy__cpus *cpus);
/* Those that the calling thread may run on; all that are online when the system won't say. */
void sy__cpus_allowed(sy__cpus *out_cpus);
/* Keeps a thread on these CPUs; false when the system refuses. */
bool sy__cpus_apply(const sy__cpus *cpus, pthread_t thread);

/* Checks the form of "none", "performance" or a list as in "0-3, 6"; *out_cpus gets the list. */
SY_MUST_CHECK sy_status sy__affinity_parse(const char *text, sy__cpus *out_cpus, sy_error *error);
/* Turns such a text into CPUs out of the allowed ones; "none" gives all of them. */
SY_MUST_CHECK sy_status sy__affinity_resolve(const char *text, sy__cpus *out_cpus, sy_error *error);

/* Workers that suit the CPUs (NULL: all allowed): one per core, fewer under a quota of the control
 * group, 1 at least. */
uint32_t sy__cpus_n_workers(const sy__cpus *cpus);

/* The same on a made-up machine, for tests: root stands before /sys and /proc. */
uint32_t sy__cpus_n_workers_at(const char *root, const sy__cpus *cpus);
SY_MUST_CHECK sy_status sy__affinity_resolve_at(const char *root, const sy__cpus *allowed,
                                                const char *text, sy__cpus *out_cpus,
                                                sy_error *error);

#endif
