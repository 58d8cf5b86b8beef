/* SPDX-License-Identifier: Apache-2.0 */
/* Constants of a graph, also through a DequantizeLinear. */
#include "op_image.h"

#include <string.h>

/* The node that makes a value; false when none does. */
static bool producer_of(const sy_graph_view *graph, uint32_t i_value, sy_node_view *out) {
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        if (graph->node(graph->graph, i, out) != SY_OK) {
            return false;
        }
        for (uint32_t k = 0; k < out->n_outputs; k++) {
            if (out->outputs[k] == i_value) {
                return true;
            }
        }
    }
    return false;
}

static bool weight_read(const sy_graph_view *graph, uint32_t i_value, sy_value_view *out) {
    uint64_t row_bytes = 0;
    int64_t n = 0;
    if (i_value == SY_NO_VALUE || graph->value(graph->graph, i_value, out) != SY_OK ||
        kit_weight_bytes(out) == NULL || out->rank > SY_MAX_RANK) {
        return false;
    }
    n = kit_bound_count(out);
    return n > 0 && n < INT64_MAX && kit_type_block(out->type) == 1 &&
           kit_type_row_bytes(out->type, (uint64_t)n, &row_bytes) &&
           row_bytes <= out->data.length_bytes;
}

static bool factors_fit(const cpu_constant *c) {
    uint64_t n = cpu_constant_scales(c);
    if (c->scale.type != SY_TYPE_F32 || c->scale.rank > 1 ||
        (c->has_zero && (c->zero.type != c->value.type ||
                         kit_bound_count(&c->zero) != kit_bound_count(&c->scale)))) {
        return false;
    }
    return n == 1 || (c->axis >= 0 && c->axis < (int64_t)c->value.rank &&
                      c->value.dims[c->axis].bound == (int64_t)n);
}

bool cpu_constant_find(const sy_graph_view *graph, uint32_t i_value, cpu_constant *out) {
    sy_node_view node;
    memset(out, 0, sizeof(*out));
    if (weight_read(graph, i_value, &out->value)) {
        return true;
    }
    if (i_value == SY_NO_VALUE || !producer_of(graph, i_value, &node) || node.domain[0] != '\0' ||
        strcmp(node.op, "DequantizeLinear") != 0 || node.n_inputs < 2 ||
        !weight_read(graph, node.inputs[0], &out->value) ||
        !weight_read(graph, node.inputs[1], &out->scale)) {
        return false;
    }
    out->axis = 1;
    for (uint32_t i = 0; i < node.n_attributes; i++) {
        const sy_attribute *a = &node.attributes[i];
        out->axis =
            strcmp(a->name, "axis") == 0 && a->type == SY_ATTRIBUTE_INT ? a->value.i : out->axis;
    }
    out->axis += out->axis < 0 ? (int64_t)out->value.rank : 0;
    out->has_zero = node.n_inputs > 2 && node.inputs[2] != SY_NO_VALUE;
    out->is_quantised = true;
    return (!out->has_zero || weight_read(graph, node.inputs[2], &out->zero)) && factors_fit(out);
}

uint64_t cpu_constant_scales(const cpu_constant *constant) {
    return (uint64_t)kit_bound_count(&constant->scale);
}

float cpu_constant_scale(const cpu_constant *constant, uint64_t i_channel) {
    float scale = 0.0f;
    uint64_t i = cpu_constant_scales(constant) == 1 ? 0 : i_channel;
    memcpy(&scale, kit_weight_bytes(&constant->scale) + 4 * i, 4);
    return scale;
}

int32_t cpu_constant_zero(const cpu_constant *constant, uint64_t i_channel) {
    uint64_t i = cpu_constant_scales(constant) == 1 ? 0 : i_channel;
    int32_t wide = 0;
    if (!constant->has_zero) {
        return 0;
    }
    const uint8_t *bytes = kit_weight_bytes(&constant->zero);
    switch (constant->zero.type) {
    case SY_TYPE_U8:
        return bytes[i];
    case SY_TYPE_I8:
        return (int8_t)bytes[i];
    default:
        memcpy(&wide, bytes + 4 * i, 4);
        return wide;
    }
}
