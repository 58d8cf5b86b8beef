/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attention step, cut into items: up to tile_rows rows of one sequence for one group of heads.
 * An item walks the spans of positions that its rows see (kernels/attention.h) and folds them in
 * order. When there are few items, each span is a task of its own and the last one to finish folds:
 * the same work in the same order, only by other workers.
 */
#ifndef CPU_ATTEND_H
#define CPU_ATTEND_H

#include "attention.h"
#include "fuse.h"
#include "state_layout.h"

enum { CPU_IN_Q, CPU_IN_K, CPU_IN_V, CPU_IN_KEY_STATE, CPU_IN_VALUE_STATE, CPU_IN_SINKS };

#define CPU_SPLIT_ITEMS 64u /* as many items may be split */

typedef struct cpu_attention_step {
    cpu_run *run;
    const cpu_step *step;
    uint64_t tile_rows, n_groups, per_group, n_workers;
    cpu_rounding rounding;
    bool appends; /* a task writes the rows of k and v that it then reads */
    bool splits;
    uint64_t slot_bytes; /* of one partial result of a split item */
    atomic_uint pending[CPU_SPLIT_ITEMS];
} cpu_attention_step;

/* Rows of one sequence for one group, and the memory of who works on them. */
typedef struct cpu_attention_item {
    const cpu_attention_step *work;
    const cpu_run *run;
    const cpu_params *p;
    const sy_sequence *sequence;
    uint32_t s;
    uint64_t group, first_row, n_rows, n_queries; /* rows of the sequence */
    /* What its worker is likely to read next; from n_groups on: not known. */
    uint64_t next_group, next_block;
    float *q, *scores, *wide, *row, *packed;
    uint8_t *q_int;
    cpu_partial whole, part;
    cpu_positions *sees;
} cpu_attention_item;

uint64_t cpu_attention_tile_rows(const cpu_params *p);
uint64_t cpu_attention_worker_bytes(const kit_node *node, const cpu_params *p);
/* Decides appends and splits. */
void cpu_attention_start(cpu_attention_step *work, cpu_run *run, const cpu_step *step);
uint64_t cpu_attention_tasks(const cpu_attention_step *work);
void cpu_attention_task(void *argument, uint32_t i_task, uint32_t i_worker);

/* Keys and values of a span, of which the positions `seen` are read. */
void cpu_attention_cells(const cpu_attention_item *it, uint64_t span, cpu_positions seen,
                         cpu_cells *out_keys, cpu_cells *out_values);
uint64_t cpu_attention_packed_floats(const cpu_params *p);

/* Tasks that only write the rows of k and v, before all items. */
uint64_t cpu_append_tasks(const cpu_attention_step *work);
void cpu_append_task(void *argument, uint32_t i_task, uint32_t i_worker);

/* Rows of a sequence for heads [first, first + n): head steps, conversion, into both states. */
void cpu_append_row(const cpu_attention_step *work, uint32_t s, uint64_t row, uint64_t first,
                    uint64_t n, float *space);
uint64_t cpu_append_floats(const cpu_params *p);
/* n heads of d floats each, of row `row` of a value with this type. */
typedef struct cpu_heads {
    const float *values;
    uint64_t n, d, row;
    sy_element_type type;
} cpu_heads;
/* The heads after their steps: where they were, or in space (n * d floats). */
const float *cpu_head_steps_run(const cpu_run *run, const cpu_head_steps *steps,
                                const cpu_heads *heads, float *space);

#endif
