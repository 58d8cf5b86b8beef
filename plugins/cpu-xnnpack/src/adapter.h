/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adapters (LoRA). A unit with nodes AdapterLinear has two programs: one for steps in which some
 * sequence uses an adapter, and one built as if those nodes were not there, so that everything
 * fuses and a step without adapters costs what it costs in a graph without them.
 */
#ifndef CPU_ADAPTER_H
#define CPU_ADAPTER_H

#include "adapter_weights.h"
#include "unit.h"

/* What is kept of an adapter beside its pairs, whose b leads into `wide`. */
typedef struct cpu_adapter {
    uint8_t *wide; /* every B in the tiles of cpu_expand, one after the other */
    size_t n_wide_bytes;
} cpu_adapter;

/* The view and segment without nodes AdapterLinear: who reads their result reads their y. It must
 * stay where it is: the view's handle leads to it. */
typedef struct cpu_plain_view {
    sy_graph_view view;
    sy_segment segment;
    const sy_graph_view *whole;
    uint32_t *source;               /* [n_values]: the value to read in place of each */
    uint32_t *first_input, *inputs; /* of every node, the renamed inputs */
    uint32_t *nodes, *outputs;      /* of the segment */
    uint32_t n_inputs, n_segment_nodes;
    uint32_t n_adapters; /* such nodes; 0: nothing else is set */
    bool is_possible;    /* false: y and its sum both leave the segment */
} cpu_plain_view;
sy_status cpu_plain_view_init(const sy_graph_view *view, const sy_segment *segment,
                              cpu_plain_view *out_plain);
void cpu_plain_view_deinit(cpu_plain_view *plain);

/* op_adapter.c: scale * x A^T of all rows with adapters, for the node of a step. */
sy_status cpu_adapter_narrow(cpu_run *run, const cpu_step *step);
/* Adds that times B^T to a tile from a row and a column of y on, a multiple of CPU_EXPAND_COLUMNS;
 * of `tile`, results and sizes are set. */
void cpu_adapter_widen(const cpu_run *run, const cpu_step *step, uint64_t row, uint64_t column,
                       const cpu_expand *tile);
/* Products take on the work of nodes behind them; before cpu_fuse_linear. */
void cpu_fuse_linear_adapters(sy_unit *unit);
/* Of the others, y and its sum share memory where nobody else reads y; before placing. */
void cpu_fuse_adapters(sy_unit *unit);

#endif
