/* SPDX-License-Identifier: Apache-2.0 */
/* The verifier runs on every graph, whatever built it: it trusts no earlier check. */
#include "graph/graph_internal.h"
#include "switchyard/limits.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <string.h>

static sy_status fail(sy_error *error, const sy_graph *graph, uint32_t i_node, const char *what) {
    sy_error_set(error, SY_INVALID_ARGUMENT, "Node %" PRIu32 " '%s' of graph '%s': %s.", i_node,
                 graph->nodes[i_node].view.name, graph->name, what);
    if (error != NULL) {
        error->i_node = i_node;
    }
    return SY_INVALID_ARGUMENT;
}

static sy_status verify_value(const sy_graph *graph, uint32_t i_value, sy_error *error) {
    const sy__value *value = &graph->values[i_value];
    uint64_t n_bytes = 0;
    bool made = value->view.kind == SY_VALUE_ACTIVATION || value->view.kind == SY_VALUE_OUTPUT;
    if (value->view.name == NULL || value->view.kind > SY_VALUE_OUTPUT ||
        sy_type_get(value->view.type) == NULL ||
        !sy__shape_bytes(value->view.type, value->view.rank, value->view.dims, &n_bytes) ||
        n_bytes != value->view.data.length_bytes) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Value %" PRIu32 " of graph '%s' has a broken type or shape.", i_value,
                            graph->name);
    }
    if (made != (value->producer != SY_NO_VALUE) ||
        (value->view.kind == SY_VALUE_WEIGHT && value->view.data.pointer == NULL)) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Value %" PRIu32 " '%s' of graph '%s' has no source that fits its "
                            "kind.",
                            i_value, value->view.name, graph->name);
    }
    return SY_OK;
}

/* Inputs must be made before the node; states may feed only operators that know them. */
static sy_status verify_inputs(const sy_graph *graph, uint32_t i_node, sy_error *error) {
    const sy_node_view *node = &graph->nodes[i_node].view;
    bool takes_states = sy__node_is(node, "switchyard", "Attention") ||
                        sy__node_is(node, "switchyard", "CausalConvolution");
    for (uint32_t k = 0; k < node->n_inputs; k++) {
        uint32_t i_value = node->inputs[k];
        if (i_value == SY_NO_VALUE) {
            continue;
        }
        if (i_value >= graph->n_values) {
            return fail(error, graph, i_node, "an input does not exist");
        }
        const sy__value *value = &graph->values[i_value];
        if (value->producer != SY_NO_VALUE && value->producer >= i_node) {
            return fail(error, graph, i_node, "an input is made by a later node");
        }
        if (value->view.kind == SY_VALUE_STATE && !takes_states) {
            return fail(error, graph, i_node, "a state is used as a plain value");
        }
    }
    return SY_OK;
}

static sy_status verify_outputs(const sy_graph *graph, uint32_t i_node, sy_error *error) {
    const sy_node_view *node = &graph->nodes[i_node].view;
    sy__inferred results[SY_LIMIT_NODE_OUTPUTS] = {0};
    sy_status status = sy__infer(graph, node, results, error);
    if (status != SY_OK) {
        return status;
    }
    for (uint32_t k = 0; k < node->n_outputs; k++) {
        if (node->outputs[k] >= graph->n_values ||
            graph->values[node->outputs[k]].producer != i_node) {
            return fail(error, graph, i_node, "an output belongs to another node");
        }
        const sy_value_view *view = &graph->values[node->outputs[k]].view;
        bool same = view->type == results[k].type && view->rank == results[k].rank;
        for (uint32_t d = 0; same && d < view->rank; d++) {
            same = sy__dimension_equal(&view->dims[d], &results[k].dims[d]);
        }
        if (!same) {
            return fail(error, graph, i_node, "an output's type or shape differs from inference");
        }
    }
    return SY_OK;
}

sy_status sy_graph_verify(const sy_graph *graph, sy_error *error) {
    for (uint32_t i = 0; i < graph->n_values; i++) {
        sy_status status = verify_value(graph, i, error);
        if (status != SY_OK) {
            return status;
        }
    }
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        const sy_node_view *node = &graph->nodes[i].view;
        if (node->n_inputs > SY_LIMIT_NODE_INPUTS || node->n_outputs > SY_LIMIT_NODE_OUTPUTS) {
            return fail(error, graph, i, "it has too many inputs or outputs");
        }
        sy_status status = verify_inputs(graph, i, error);
        if (status == SY_OK) {
            status = verify_outputs(graph, i, error);
        }
        if (status != SY_OK) {
            return status;
        }
    }
    return SY_OK;
}
