/* SPDX-License-Identifier: Apache-2.0 */
/* Constant folding: a node all of whose inputs are small constants becomes constants itself. Not
 * DequantizeLinear: int8 weights would be lost to the delegates that compute with them. */
#include "passes/passes.h"
#include "switchyard/limits.h"

#define FOLD_LIMIT_BYTES (16u << 20)

static bool is_foldable(const sy_graph *graph, const sy_node_view *node, uint64_t limit) {
    uint64_t n_bytes = 0;
    if (sy__node_is(node, "", "DequantizeLinear")) {
        return false;
    }
    for (uint32_t k = 0; k < node->n_inputs; k++) {
        const sy_value_view *input = sy__input(graph, node, k);
        if (input != NULL && input->kind != SY_VALUE_WEIGHT) {
            return false;
        }
    }
    for (uint32_t k = 0; k < node->n_outputs; k++) {
        const sy_value_view *output = &graph->values[node->outputs[k]].view;
        n_bytes += output->data.length_bytes;
        if (output->kind == SY_VALUE_OUTPUT || n_bytes > limit) {
            return false;
        }
    }
    return node->n_inputs > 0;
}

static sy_status fold_node(sy_graph *graph, uint32_t i_node, const sy_pass_options *options,
                           sy_error *error) {
    const sy_node_view *node = &graph->nodes[i_node].view;
    void *data[SY_LIMIT_NODE_OUTPUTS] = {NULL};
    for (uint32_t k = 0; k < node->n_outputs; k++) {
        uint64_t n_bytes = graph->values[node->outputs[k]].view.data.length_bytes;
        uint8_t *raw = sy__arena_alloc(&graph->arena, n_bytes + SY__ALIGNMENT, 1);
        if (raw == NULL) {
            return sy__graph_no_memory(error, graph);
        }
        data[k] = raw + (SY__ALIGNMENT - (uintptr_t)raw % SY__ALIGNMENT) % SY__ALIGNMENT;
    }
    sy_status status = options->evaluate(options->evaluate_user, graph, i_node, data, error);
    if (SY_STATUS_CLASS(status) == SY_UNIMPLEMENTED) {
        sy_error_clear(error);
        return SY_OK; /* the evaluator does not know it: the node simply stays */
    }
    if (status != SY_OK) {
        return status;
    }
    for (uint32_t k = 0; k < node->n_outputs; k++) {
        sy__value *value = &graph->values[node->outputs[k]];
        value->view.kind = SY_VALUE_WEIGHT;
        value->view.data.kind = SY_MEMORY_HOST;
        value->view.data.pointer = data[k];
        value->producer = SY_NO_VALUE;
    }
    graph->nodes[i_node].dead = true;
    return SY_OK;
}

sy_status sy__pass_fold(sy_graph *graph, const sy_pass_options *options, sy_error *error) {
    if (options->evaluate == NULL) {
        return SY_OK;
    }
    uint64_t limit = options->fold_limit_bytes != 0 ? options->fold_limit_bytes : FOLD_LIMIT_BYTES;
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        if (graph->nodes[i].dead || !is_foldable(graph, &graph->nodes[i].view, limit)) {
            continue;
        }
        sy_status status = fold_node(graph, i, options, error);
        if (status != SY_OK) {
            return status;
        }
    }
    return SY_OK;
}
