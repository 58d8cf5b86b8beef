/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the rule of an operator, checks arity and presence, and the helpers all rules share. */
#include "graph/infer.h"

#include "switchyard/limits.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const sy_value_view *sy__call_input(const sy__infer_call *call, uint32_t i_input) {
    return sy__input(call->graph, call->node, i_input);
}

sy_status sy__infer_fail(const sy__infer_call *call, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    const char *name = call->node->name != NULL ? call->node->name : "";
    return sy_error_set(call->error, SY_INVALID_ARGUMENT, "Node '%s' (%s): %s.", name,
                        call->node->op, text);
}

void sy__result_like(const sy__infer_call *call, uint32_t i_output, const sy_value_view *value) {
    sy__inferred *result = &call->results[i_output];
    result->type = value->type;
    result->rank = value->rank;
    memcpy(result->dims, value->dims, sizeof(result->dims));
}

bool sy__is_float(sy_element_type type) {
    return type == SY_TYPE_F32 || type == SY_TYPE_F16 || type == SY_TYPE_BF16;
}

bool sy__is_linear_weight(sy_element_type type) {
    const sy_type_facts *facts = sy_type_get(type);
    return sy__is_float(type) || (facts != NULL && facts->is_block);
}

sy_status sy__constant_ints(const sy__infer_call *call, uint32_t i_input, int64_t *out_values,
                            uint32_t capacity, uint32_t *out_n) {
    const sy_value_view *value = sy__call_input(call, i_input);
    if (value == NULL || value->kind != SY_VALUE_WEIGHT || value->rank > 1 ||
        (value->type != SY_TYPE_I64 && value->type != SY_TYPE_I32)) {
        return sy__infer_fail(call, "input %" PRIu32 " must be a constant list of integers",
                              i_input);
    }
    size_t size_bytes = value->type == SY_TYPE_I64 ? sizeof(int64_t) : sizeof(int32_t);
    uint64_t n = value->data.length_bytes / size_bytes;
    if (n > capacity) {
        return sy__infer_fail(call, "input %" PRIu32 " has more than %" PRIu32 " entries", i_input,
                              capacity);
    }
    const uint8_t *bytes = value->data.pointer;
    for (uint64_t i = 0; i < n; i++) {
        if (value->type == SY_TYPE_I64) {
            memcpy(&out_values[i], bytes + i * size_bytes, size_bytes);
        } else {
            int32_t narrow = 0;
            memcpy(&narrow, bytes + i * size_bytes, size_bytes);
            out_values[i] = narrow;
        }
    }
    *out_n = (uint32_t)n;
    return SY_OK;
}

sy_status sy__axis(const sy__infer_call *call, int64_t axis, uint32_t rank, uint32_t *out_axis) {
    int64_t wrapped = axis < 0 ? axis + (int64_t)rank : axis;
    if (wrapped < 0 || wrapped >= (int64_t)rank) {
        return sy__infer_fail(call, "axis %" PRId64 " is outside a value of rank %" PRIu32, axis,
                              rank);
    }
    *out_axis = (uint32_t)wrapped;
    return SY_OK;
}

static const sy__infer_rule *find_rule(const sy_node_view *node) {
    static const sy__infer_rule *const tables[] = {
        sy__infer_rules_switchyard, sy__infer_rules_experts, sy__infer_rules_onnx,
        sy__infer_rules_choose,     sy__infer_rules_image,   sy__infer_rules_spatial,
        sy__infer_rules_shape};
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        for (const sy__infer_rule *rule = tables[t]; rule->op != NULL; rule++) {
            if (sy__node_is(node, rule->domain, rule->op)) {
                return rule;
            }
        }
    }
    return NULL;
}

sy_status sy__infer(const sy_graph *graph, const sy_node_view *node, sy__inferred *out_results,
                    sy_error *error) {
    const sy__infer_rule *rule = find_rule(node);
    sy__infer_call call = {.graph = graph, .node = node, .results = out_results, .error = error};
    if (rule == NULL) {
        sy_error_set(error, SY_UNIMPLEMENTED, "Node '%s': operator '%s' of domain '%s' is unknown.",
                     node->name != NULL ? node->name : "", node->op, node->domain);
        sy_error_hint(error, "docs/operators.md lists what a graph can hold.");
        return SY_UNIMPLEMENTED;
    }
    if (node->n_inputs < rule->n_inputs_min || node->n_inputs > rule->n_inputs_max ||
        node->n_outputs > rule->n_outputs_max) {
        return sy__infer_fail(&call,
                              "it has %" PRIu32 " inputs and %" PRIu32 " outputs, not %" PRIu32
                              "-%" PRIu32 " and at most %" PRIu32,
                              node->n_inputs, node->n_outputs, rule->n_inputs_min,
                              rule->n_inputs_max, rule->n_outputs_max);
    }
    for (uint32_t i = 0; i < rule->n_inputs_min; i++) {
        if (sy__input(graph, node, i) == NULL) {
            return sy__infer_fail(&call, "input %" PRIu32 " is missing", i);
        }
    }
    return rule->infer(&call);
}
