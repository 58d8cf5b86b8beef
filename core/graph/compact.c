/* SPDX-License-Identifier: Apache-2.0 */
/* Takes dead nodes and unused values out of a graph and renumbers the rest. */
#include "graph/graph_internal.h"

#include <string.h>

/* Marks in `keep` every value that a live node or the caller still needs. */
static void mark_values(const sy_graph *graph, uint32_t *keep) {
    for (size_t i = 0; i < graph->n_values; i++) {
        sy_value_kind kind = graph->values[i].view.kind;
        keep[i] = kind == SY_VALUE_INPUT || kind == SY_VALUE_STATE;
    }
    for (size_t i = 0; i < graph->n_nodes; i++) {
        const sy_node_view *node = &graph->nodes[i].view;
        if (graph->nodes[i].dead) {
            continue;
        }
        for (uint32_t k = 0; k < node->n_inputs; k++) {
            if (node->inputs[k] != SY_NO_VALUE) {
                keep[node->inputs[k]] = 1;
            }
        }
        for (uint32_t k = 0; k < node->n_outputs; k++) {
            keep[node->outputs[k]] = 1;
        }
    }
}

static sy_status renumber_list(sy_graph *graph, const uint32_t **inout_list, uint32_t n,
                               const uint32_t *new_index, sy_error *error) {
    uint32_t *list = sy__arena_alloc(&graph->arena, (size_t)n + 1, sizeof(uint32_t));
    if (list == NULL) {
        return sy__graph_no_memory(error, graph);
    }
    for (uint32_t k = 0; k < n; k++) {
        uint32_t value = (*inout_list)[k];
        list[k] = value == SY_NO_VALUE ? SY_NO_VALUE : new_index[value];
    }
    *inout_list = list;
    return SY_OK;
}

/* Makes the new lists first, so that a refused allocation leaves the graph as it was. */
static sy_status renumber_nodes(sy_graph *graph, const uint32_t *new_index, sy__node *fresh,
                                size_t *out_n, sy_error *error) {
    size_t n = 0;
    for (size_t i = 0; i < graph->n_nodes; i++) {
        if (graph->nodes[i].dead) {
            continue;
        }
        fresh[n] = graph->nodes[i];
        sy_node_view *node = &fresh[n].view;
        sy_status status = renumber_list(graph, &node->inputs, node->n_inputs, new_index, error);
        if (status == SY_OK) {
            status = renumber_list(graph, &node->outputs, node->n_outputs, new_index, error);
        }
        if (status != SY_OK) {
            return status;
        }
        n++;
    }
    *out_n = n;
    return SY_OK;
}

static void move_values(sy_graph *graph, const uint32_t *new_index) {
    size_t n = 0;
    for (size_t i = 0; i < graph->n_values; i++) {
        if (new_index[i] != SY_NO_VALUE) {
            graph->values[n] = graph->values[i];
            graph->values[n].producer = SY_NO_VALUE;
            n++;
        }
    }
    graph->n_values = n;
    for (size_t i = 0; i < graph->n_nodes; i++) {
        const sy_node_view *node = &graph->nodes[i].view;
        for (uint32_t k = 0; k < node->n_outputs; k++) {
            graph->values[node->outputs[k]].producer = (uint32_t)i;
        }
    }
}

sy_status sy__graph_compact(sy_graph *graph, sy_error *error) {
    size_t n_values = graph->n_values, n_nodes = graph->n_nodes, n_live = 0;
    uint32_t *index = sy__alloc_array(graph->allocator, n_values, sizeof(uint32_t));
    sy__node *fresh = sy__alloc_array(graph->allocator, n_nodes, sizeof(sy__node));
    sy_status status = SY_OK;
    if (index == NULL || fresh == NULL) {
        status = sy__graph_no_memory(error, graph);
    } else {
        mark_values(graph, index);
        uint32_t next = 0;
        for (size_t i = 0; i < n_values; i++) {
            index[i] = index[i] ? next++ : SY_NO_VALUE;
        }
        status = renumber_nodes(graph, index, fresh, &n_live, error);
    }
    if (status == SY_OK) {
        if (n_live > 0) {
            memcpy(graph->nodes, fresh, n_live * sizeof(sy__node));
        }
        graph->n_nodes = n_live;
        move_values(graph, index);
    }
    sy__free_array(graph->allocator, fresh, n_nodes, sizeof(sy__node));
    sy__free_array(graph->allocator, index, n_values, sizeof(uint32_t));
    return status;
}
