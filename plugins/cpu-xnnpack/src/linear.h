/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linear at run time. Products of the same activations run as one group in one parallel region
 * (fuse_linear.c finds them): query, key and value; gate and up with the activation that joins
 * them and the rounding of its result for the product that follows.
 */
#ifndef CPU_LINEAR_H
#define CPU_LINEAR_H

#include "unit.h"

#define CPU_GROUP_MOST 6u

/* Of the head of a group; other members do nothing by themselves. Steps are named by index + 1,
 * 0: none. */
typedef struct cpu_linear_group {
    uint32_t n_members, members[CPU_GROUP_MOST]; /* the head first; plain indexes */
    uint32_t gated;                              /* the activation of a pair, which it replaces */
    uint32_t quantise; /* the rounding of that activation's result, which it replaces as well */
    uint32_t next;     /* head of the group that runs after this one */
} cpu_linear_group;

/* Planes of the activations that meet weights of k columns. */
cpu_planes cpu_linear_planes(const sy_device *device, uint64_t k);
uint64_t cpu_linear_worker_bytes(const cpu_node *node, const cpu_params *params);
/* What a gated pair needs of a worker beside panels. */
uint64_t cpu_linear_pair_bytes(const cpu_params *params);
sy_status cpu_linear_run(cpu_run *run, const cpu_step *step);

#endif
