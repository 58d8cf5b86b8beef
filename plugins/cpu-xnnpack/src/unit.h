/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded segment: values, where they lie, and the steps that make them. */
#ifndef CPU_UNIT_H
#define CPU_UNIT_H

#include "operators.h"
#include "values.h"

struct sy_unit {
    sy_device *device;
    kit_values values;
    cpu_step *steps;
    cpu_tensor *tensors;                  /* of the running job, one per value */
    int64_t symbols[SY_SYMBOL_COUNT_MAX]; /* that the tensors have their shapes from */
    uint32_t n_symbols;                   /* 0: from none */
    size_t n_steps, steps_capacity;
    uint32_t n_inputs, n_outputs, n_states;
    bool has_states;                      /* some step reads a STATE */
    uint64_t worker_offset, worker_bytes; /* in the scratch */
    uint32_t n_workers;
    uint64_t scratch_bytes, weight_bytes;
    atomic_ullong cancelled_run; /* run + 1, 0 none */
    sy_unit *plain;              /* for steps without adapters; NULL: this one does (adapter.h) */
};

/* For regions (xnnpack_region.c). */
const sy_graph_view *cpu_builder_view(const cpu_builder *builder);
const sy_segment *cpu_builder_segment(const cpu_builder *builder);
/* The unit value of a value of the view. */
sy_status cpu_builder_value(cpu_builder *builder, uint32_t i_view, bool is_output,
                            uint32_t *out_index);
/* The step that comes next reads or makes it. */
void cpu_builder_touch(cpu_builder *builder, uint32_t i_value);
sy_status cpu_builder_step(cpu_builder *builder, const cpu_step *step);
sy_status cpu_builder_node(cpu_builder *builder, uint32_t i_node);

/* Builds the steps of a segment. dry: for prices, makes no objects. Frees itself on failure. */
sy_status cpu_unit_build(sy_device *device, const sy_graph_view *view, const sy_segment *segment,
                         bool dry, sy_unit **out_unit);
void cpu_unit_free(sy_unit *unit);
/* Gives every scratch value an offset so that values alive together do not overlap. */
sy_status cpu_unit_place(sy_unit *unit);

#endif
