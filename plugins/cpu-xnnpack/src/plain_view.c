/* SPDX-License-Identifier: Apache-2.0 */
/* A graph as it would be without places for adapters. */
#include "adapter.h"

#include <string.h>

static bool is_adapter(const sy_node_view *node) {
    return strcmp(node->op, "AdapterLinear") == 0 && strcmp(node->domain, "switchyard") == 0;
}

static const cpu_plain_view *plain_of(sy_graph_handle *graph) {
    return (const cpu_plain_view *)(const void *)graph;
}

static sy_status plain_node(sy_graph_handle *graph, uint32_t i_node, sy_node_view *out_node) {
    const cpu_plain_view *plain = plain_of(graph);
    sy_status status = plain->whole->node(plain->whole->graph, i_node, out_node);
    if (status == SY_OK) {
        out_node->inputs = plain->inputs + plain->first_input[i_node];
    }
    return status;
}

static sy_status plain_value(sy_graph_handle *graph, uint32_t i_value, sy_value_view *out_value) {
    const sy_graph_view *whole = plain_of(graph)->whole;
    return whole->value(whole->graph, i_value, out_value);
}

/* Fills `nodes` and `source`: values in front of a node are final when it is reached. */
static sy_status leave_out(const sy_segment *segment, cpu_plain_view *plain) {
    for (uint32_t i = 0; i < segment->n_nodes; i++) {
        sy_node_view node;
        sy_status status = plain->whole->node(plain->whole->graph, segment->nodes[i], &node);
        if (status != SY_OK) {
            return status;
        }
        if (is_adapter(&node)) {
            plain->source[node.outputs[0]] = plain->source[node.inputs[0]];
        } else {
            plain->nodes[plain->segment.n_nodes++] = segment->nodes[i];
        }
    }
    return SY_OK;
}

/* The inputs of all nodes, renamed; with `inputs` NULL they are only counted. */
static sy_status rename_inputs(cpu_plain_view *plain) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < plain->whole->n_nodes; i++) {
        sy_node_view node;
        sy_status status = plain->whole->node(plain->whole->graph, i, &node);
        if (status != SY_OK) {
            return status;
        }
        plain->first_input[i] = n;
        for (uint32_t k = 0; k < node.n_inputs && plain->inputs != NULL; k++) {
            uint32_t value = node.inputs[k];
            plain->inputs[n + k] = value < plain->whole->n_values ? plain->source[value] : value;
        }
        n += node.n_inputs;
    }
    plain->n_inputs = n;
    return SY_OK;
}

static sy_status make_inputs(cpu_plain_view *plain) {
    sy_status status = rename_inputs(plain);
    if (status != SY_OK) {
        return status;
    }
    plain->inputs = kit_alloc(plain->n_inputs * sizeof(uint32_t));
    return plain->inputs != NULL
               ? rename_inputs(plain)
               : kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a unit's tables");
}

/* A job's outputs keep their places. */
static void rename_outputs(const sy_segment *segment, cpu_plain_view *plain) {
    plain->is_possible = true;
    for (uint32_t i = 0; i < segment->n_outputs; i++) {
        plain->outputs[i] = plain->source[segment->outputs[i]];
        for (uint32_t j = 0; j < i; j++) {
            plain->is_possible = plain->is_possible && plain->outputs[j] != plain->outputs[i];
        }
        for (uint32_t j = 0; j < segment->n_inputs; j++) { /* y came from outside: a copy */
            plain->is_possible = plain->is_possible && segment->inputs[j] != plain->outputs[i];
        }
    }
}

static sy_status count_adapters(const sy_graph_view *view, const sy_segment *segment,
                                uint32_t *out_n) {
    *out_n = 0;
    for (uint32_t i = 0; i < segment->n_nodes; i++) {
        sy_node_view node;
        sy_status status = view->node(view->graph, segment->nodes[i], &node);
        if (status != SY_OK) {
            return status;
        }
        *out_n += is_adapter(&node);
    }
    return SY_OK;
}

sy_status cpu_plain_view_init(const sy_graph_view *view, const sy_segment *segment,
                              cpu_plain_view *out_plain) {
    cpu_plain_view *plain = out_plain;
    memset(plain, 0, sizeof(*plain));
    sy_status status = count_adapters(view, segment, &plain->n_adapters);
    if (status != SY_OK || plain->n_adapters == 0) {
        return status;
    }
    plain->whole = view;
    plain->view = *view;
    plain->segment = *segment;
    plain->segment.n_nodes = 0;
    plain->n_segment_nodes = segment->n_nodes;
    plain->view.graph = (sy_graph_handle *)(void *)plain;
    plain->view.node = plain_node;
    plain->view.value = plain_value;
    plain->source = kit_alloc(view->n_values * sizeof(uint32_t));
    plain->first_input = kit_alloc(view->n_nodes * sizeof(uint32_t));
    plain->nodes = kit_alloc(segment->n_nodes * sizeof(uint32_t));
    plain->outputs = kit_alloc(segment->n_outputs * sizeof(uint32_t));
    if (plain->source == NULL || plain->first_input == NULL || plain->nodes == NULL ||
        plain->outputs == NULL) {
        cpu_plain_view_deinit(plain);
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a unit's tables");
    }
    plain->segment.nodes = plain->nodes;
    plain->segment.outputs = plain->outputs;
    for (uint32_t i = 0; i < view->n_values; i++) {
        plain->source[i] = i;
    }
    status = leave_out(segment, plain);
    if (status == SY_OK) {
        status = make_inputs(plain);
    }
    if (status != SY_OK) {
        cpu_plain_view_deinit(plain);
        return status;
    }
    rename_outputs(segment, plain);
    return SY_OK;
}

void cpu_plain_view_deinit(cpu_plain_view *plain) {
    if (plain->n_adapters == 0) {
        return;
    }
    kit_release(plain->source, plain->view.n_values * sizeof(uint32_t));
    kit_release(plain->first_input, plain->view.n_nodes * sizeof(uint32_t));
    kit_release(plain->inputs, plain->n_inputs * sizeof(uint32_t));
    kit_release(plain->nodes, plain->n_segment_nodes * sizeof(uint32_t));
    kit_release(plain->outputs, plain->segment.n_outputs * sizeof(uint32_t));
    plain->n_adapters = 0;
}
