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

/* What stays the same from run to run of one product of the group, or of a pair with its
 * activation. Columns are counted in units over all parts, one after the other. */
#define CPU_LINEAR_UNIT 32u /* columns */
typedef struct cpu_linear_part {
    uint32_t step; /* of the product, or the first of the pair; plain index */
    const cpu_type_kernels *kernels[2];
    cpu_linear whole[2];                   /* all columns; rows and results are a run's */
    uint32_t adapters[2];                  /* nodes AdapterLinear behind them, index + 1 */
    uint64_t n_units, first_unit;          /* few rows */
    uint64_t n_tasks, first_task, columns; /* many rows: tasks of columns, and columns of one */
    uint64_t space_bytes;
} cpu_linear_part;

/* Of the head of a group; other members do nothing by themselves. Steps are named by index + 1,
 * 0: none. */
struct cpu_linear_group {
    uint32_t n_members, members[CPU_GROUP_MOST]; /* the head first; plain indexes */
    uint32_t gated;                              /* the activation of a pair, which it replaces */
    uint32_t quantise; /* the rounding of that activation's result, which it replaces as well */
    const cpu_linear_group *next; /* runs after this one */
    cpu_linear_part parts[CPU_GROUP_MOST];
    uint32_t n_parts;
    uint64_t n_units, n_column_tasks; /* of all parts */
};

/* Planes of the activations that meet weights of k columns. */
cpu_planes cpu_linear_planes(const sy_device *device, uint64_t k);
/* Bytes of a worker for panels of weights of this type. */
uint64_t cpu_linear_panel_bytes(sy_element_type type, uint64_t k);
uint64_t cpu_linear_worker_bytes(const kit_node *node, const cpu_params *params);
/* What a gated pair needs of a worker beside panels. */
uint64_t cpu_linear_pair_bytes(const cpu_params *params);
sy_status cpu_linear_run(cpu_run *run, const cpu_step *step);

#endif
