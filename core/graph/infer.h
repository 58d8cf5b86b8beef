/* SPDX-License-Identifier: Apache-2.0 */
/* Inference rules of the operators, one function each; for core/graph only. */
#ifndef SY_GRAPH_INFER_H
#define SY_GRAPH_INFER_H

#include "graph/graph_internal.h"

typedef struct sy__infer_call {
    const sy_graph *graph;
    const sy_node_view *node;
    sy__inferred *results;
    sy_error *error;
} sy__infer_call;

typedef struct sy__infer_rule {
    const char *domain;
    const char *op;
    uint32_t n_inputs_min, n_inputs_max, n_outputs_max;
    sy_status (*infer)(const sy__infer_call *call);
} sy__infer_rule;

/* infer_switchyard.c, infer_experts.c, infer_onnx.c, infer_choose.c, infer_image.c,
 * infer_spatial.c, infer_shape.c: tables ended by a NULL op. */
extern const sy__infer_rule sy__infer_rules_switchyard[];
extern const sy__infer_rule sy__infer_rules_experts[];
extern const sy__infer_rule sy__infer_rules_onnx[];
extern const sy__infer_rule sy__infer_rules_choose[];
extern const sy__infer_rule sy__infer_rules_image[];
extern const sy__infer_rule sy__infer_rules_spatial[];
extern const sy__infer_rule sy__infer_rules_shape[];

const sy_value_view *sy__call_input(const sy__infer_call *call, uint32_t i_input);
/* "Node 'x' (Op): TEXT." as INVALID_ARGUMENT. */
sy_status sy__infer_fail(const sy__infer_call *call, const char *format, ...) SY_PRINTF(2, 3);
/* Output i gets type and shape of a value. */
void sy__result_like(const sy__infer_call *call, uint32_t i_output, const sy_value_view *value);
bool sy__is_float(sy_element_type type);
bool sy__is_linear_weight(sy_element_type type); /* floats and GGUF block types */
/* Reads a constant i64 or i32 input of rank 0 or 1. */
sy_status sy__constant_ints(const sy__infer_call *call, uint32_t i_input, int64_t *out_values,
                            uint32_t capacity, uint32_t *out_n);
/* Axis in [-rank, rank) to [0, rank). */
sy_status sy__axis(const sy__infer_call *call, int64_t axis, uint32_t rank, uint32_t *out_axis);

#endif
