/* SPDX-License-Identifier: Apache-2.0 */
#include "reference/internal.h"

#include <stdio.h>
#include <string.h>

/* What portable scalar code does on a small core; only the order of magnitude is meant. */
#define MACS_PER_US 1000.0
#define BYTES_PER_US 4000.0
#define CONFIDENCE 0.3f
#define SCORE 10u

/* Replaces the bounds of the node's tensors by the view's typical sizes. */
static void use_typical_sizes(sy__facts *facts, const sy_graph_view *view) {
    const sy_node_view *node = &facts->node;
    if (view->typical == NULL) {
        return;
    }
    sy__tensor *tensor = facts->tensors;
    for (uint32_t i = 0; i < node->n_inputs + node->n_outputs; i++) {
        uint32_t i_value = i < node->n_inputs ? node->inputs[i] : node->outputs[i - node->n_inputs];
        sy_value_view value;
        if (i_value == SY_NO_VALUE) {
            continue;
        }
        if (view->value(view->graph, i_value, &value) != SY_OK) {
            return;
        }
        for (uint32_t d = 0; d < tensor->shape.rank; d++) {
            int64_t n = sy__ref_dimension_at(&value.dims[d], view->typical, view->n_symbols);
            tensor->shape.dims[d] = n >= 0 ? n : value.dims[d].bound;
        }
        tensor++;
    }
}

static float estimate_us(const sy__facts *facts) {
    double n_bytes = 0.0, n_macs = 0.0;
    for (uint32_t i = 0; i < facts->node.n_inputs + facts->node.n_outputs; i++) {
        uint64_t bytes = 0;
        const sy__tensor *tensor =
            i < facts->node.n_inputs ? facts->inputs[i] : facts->outputs[i - facts->node.n_inputs];
        bool counts = tensor != NULL && tensor->kind != SY_VALUE_STATE &&
                      !(facts->op->is_lookup && i < facts->node.n_inputs);
        if (counts && sy__ref_tensor_bytes(tensor->type, &tensor->shape, &bytes)) {
            n_bytes += (double)bytes;
        }
    }
    if (facts->op->n_macs != NULL) {
        n_macs = facts->op->n_macs(facts);
    } else if (!facts->op->is_view) {
        n_macs = 4.0 * (double)sy__ref_shape_count(&facts->outputs[0]->shape);
    }
    return (float)(n_macs / MACS_PER_US + n_bytes / BYTES_PER_US);
}

sy_status sy__ref_judge(sy_device *device, const sy_graph_view *view, sy_verdict *out_verdicts,
                        size_t stride) {
    if (device == NULL || view == NULL || (out_verdicts == NULL && view->n_nodes > 0)) {
        return SY_INVALID_ARGUMENT;
    }
    sy_status status = sy__ref_open_check(&view->header);
    if (status != SY_OK) {
        return sy__ref_report(device, status, SY_NO_VALUE, "the view has an unknown extension");
    }
    sy_graph_view own;
    sy__ref_open_read(&own, sizeof(own), view);
    for (uint32_t i = 0; i < own.n_nodes; i++) {
        sy__facts facts;
        status = sy__ref_facts_read(&facts, &own, i);
        if (status != SY_OK) {
            return sy__ref_report(device, status, i, "the view does not answer for node %u", i);
        }
        sy_verdict verdict = {.header = SY_HEADER_INIT(sy_verdict), .reason = facts.reason};
        if (facts.reason == SY_REASON_NONE) {
            use_typical_sizes(&facts, &own);
            verdict.support = SY_SUPPORT_NATIVE;
            verdict.score = SCORE;
            verdict.time_us = estimate_us(&facts);
            verdict.confidence = CONFIDENCE;
        } else {
            verdict.support = SY_SUPPORT_NO;
            snprintf(verdict.why, sizeof(verdict.why), "%s", facts.why);
        }
        char *place = (char *)out_verdicts + i * stride;
        sy__ref_open_write(place, &verdict, sizeof(verdict) < stride ? sizeof(verdict) : stride);
    }
    return SY_OK;
}

sy_status sy__ref_link(sy_device *device, sy_memory_kind from, sy_memory_kind to, uint64_t n_bytes,
                       sy_cost *out_cost) {
    if (device == NULL || out_cost == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    sy_cost cost = {.header = SY_HEADER_INIT(sy_cost)};
    if (from == SY_MEMORY_HOST && to == SY_MEMORY_HOST) {
        cost.confidence = 1.0f; /* imported without a copy */
    } else if (from == SY_MEMORY_OPAQUE || to == SY_MEMORY_OPAQUE || from >= SY_MEMORY_KIND_COUNT ||
               to >= SY_MEMORY_KIND_COUNT) {
        return SY_UNIMPLEMENTED; /* only the device that owns it can tell */
    } else {
        cost.time_us = (float)((double)n_bytes / BYTES_PER_US); /* a memcpy through a mapping */
        cost.confidence = CONFIDENCE;
    }
    sy__ref_open_write(out_cost, &cost, sizeof(cost));
    return SY_OK;
}
