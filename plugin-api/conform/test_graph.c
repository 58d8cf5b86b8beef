/* SPDX-License-Identifier: Apache-2.0 */
#include "conform/test_graph.h"

#include "base/checked.h"
#include "switchyard/types.h"

#include <string.h>

static sy_status graph_node(sy_graph_handle *handle, uint32_t i_node, sy_node_view *out_node) {
    const sy_test_graph *graph = (const sy_test_graph *)(const void *)handle;
    if (i_node >= graph->n_nodes) {
        return SY_OUT_OF_RANGE;
    }
    *out_node = graph->nodes[i_node];
    return SY_OK;
}

static sy_status graph_value(sy_graph_handle *handle, uint32_t i_value, sy_value_view *out_value) {
    const sy_test_graph *graph = (const sy_test_graph *)(const void *)handle;
    if (i_value >= graph->n_values) {
        return SY_OUT_OF_RANGE;
    }
    *out_value = graph->values[i_value];
    return SY_OK;
}

void sy_test_graph_init(sy_test_graph *graph) {
    memset(graph, 0, sizeof(*graph));
    sy__arena_init(&graph->arena, NULL, 0);
}

void sy_test_graph_deinit(sy_test_graph *graph) {
    sy__free_array(NULL, graph->values, graph->values_capacity, sizeof(graph->values[0]));
    sy__free_array(NULL, graph->nodes, graph->nodes_capacity, sizeof(graph->nodes[0]));
    sy__arena_deinit(&graph->arena);
    memset(graph, 0, sizeof(*graph));
}

sy_dimension sy_test_fixed(int64_t n) {
    return (sy_dimension){.bound = n};
}

sy_dimension sy_test_symbol(uint32_t symbol, int64_t bound) {
    return (sy_dimension){.bound = bound, .symbol = symbol, .scale = 1};
}

static void *graph_copy(sy_test_graph *graph, const void *source, size_t n, size_t size) {
    void *copy = sy__arena_alloc(&graph->arena, n != 0 ? n : 1, size);
    if (copy == NULL) {
        graph->status = SY_RESOURCE_EXHAUSTED;
    } else if (n != 0) {
        memcpy(copy, source, n * size);
    }
    return copy;
}

static const char *graph_string(sy_test_graph *graph, const char *text) {
    return graph_copy(graph, text, strlen(text) + 1, 1);
}

bool sy_test_value_bytes(const sy_value_view *value, const int64_t *symbols, uint32_t n_symbols,
                         uint64_t *out_bytes) {
    uint64_t n_rows = 1, row_elements = 1, row_bytes = 0;
    for (uint32_t i = 0; i < value->rank; i++) {
        const sy_dimension *d = &value->dims[i];
        int64_t n = d->bound;
        if (symbols != NULL && d->symbol != 0) {
            n = d->symbol < n_symbols ? d->scale * symbols[d->symbol] + d->offset : -1;
        }
        if (n < 0 || !sy__mul_u64(n_rows, row_elements, &n_rows)) {
            return false;
        }
        row_elements = (uint64_t)n;
    }
    return sy_type_row_bytes(value->type, row_elements, &row_bytes) == SY_OK &&
           sy__mul_u64(n_rows, row_bytes, out_bytes);
}

static uint32_t add_value(sy_test_graph *graph, const sy_value_view *value) {
    if (graph->status != SY_OK ||
        !sy__grow_array(NULL, (void **)&graph->values, &graph->values_capacity, graph->n_values + 1,
                        sizeof(graph->values[0]))) {
        graph->status = graph->status != SY_OK ? graph->status : SY_RESOURCE_EXHAUSTED;
        return SY_NO_VALUE;
    }
    graph->values[graph->n_values] = *value;
    return (uint32_t)graph->n_values++;
}

uint32_t sy_test_graph_value(sy_test_graph *graph, const char *name, sy_value_kind kind,
                             sy_element_type type, uint32_t rank, const sy_dimension *dims) {
    sy_value_view value = {.name = graph_string(graph, name), .kind = kind, .type = type};
    value.rank = rank;
    value.data.fd = -1;
    if (rank > SY_MAX_RANK) {
        graph->status = SY_INVALID_ARGUMENT;
        return SY_NO_VALUE;
    }
    for (uint32_t i = 0; i < rank; i++) {
        value.dims[i] = dims[i];
    }
    if (!sy_test_value_bytes(&value, NULL, 0, &value.data.length_bytes)) {
        value.data.length_bytes = 0; /* a graph the plugin has to refuse */
    }
    return add_value(graph, &value);
}

uint32_t sy_test_graph_weight(sy_test_graph *graph, const char *name, sy_element_type type,
                              uint32_t rank, const int64_t *dims, const void *bytes,
                              uint64_t n_bytes) {
    sy_value_view value = {
        .name = graph_string(graph, name), .kind = SY_VALUE_WEIGHT, .type = type, .rank = rank};
    if (rank > SY_MAX_RANK) {
        graph->status = SY_INVALID_ARGUMENT;
        return SY_NO_VALUE;
    }
    for (uint32_t i = 0; i < rank; i++) {
        value.dims[i] = sy_test_fixed(dims[i]);
    }
    memcpy(&value.data.pointer, &bytes, sizeof(bytes)); /* the ABI's pointer is not const */
    value.data.fd = -1;
    value.data.length_bytes = n_bytes;
    return add_value(graph, &value);
}

uint32_t sy_test_graph_add_node(sy_test_graph *graph, sy_test_op op, uint32_t n_inputs,
                                const uint32_t *inputs, uint32_t n_outputs,
                                const uint32_t *outputs) {
    sy_node_view node = {.version = op.version};
    node.domain = graph_string(graph, op.domain);
    node.op = graph_string(graph, op.name);
    node.n_inputs = n_inputs;
    node.n_outputs = n_outputs;
    node.inputs = graph_copy(graph, inputs, n_inputs, sizeof(inputs[0]));
    node.outputs = graph_copy(graph, outputs, n_outputs, sizeof(outputs[0]));
    node.name = node.op;
    if (graph->status != SY_OK ||
        !sy__grow_array(NULL, (void **)&graph->nodes, &graph->nodes_capacity, graph->n_nodes + 1,
                        sizeof(graph->nodes[0]))) {
        graph->status = graph->status != SY_OK ? graph->status : SY_RESOURCE_EXHAUSTED;
        return SY_NO_VALUE;
    }
    graph->nodes[graph->n_nodes] = node;
    return (uint32_t)graph->n_nodes++;
}

static void add_attribute(sy_test_graph *graph, uint32_t i_node, const char *name,
                          sy_attribute attribute) {
    if (graph->status != SY_OK || i_node >= graph->n_nodes) {
        graph->status = graph->status != SY_OK ? graph->status : SY_INVALID_ARGUMENT;
        return;
    }
    sy_node_view *node = &graph->nodes[i_node];
    attribute.name = graph_string(graph, name);
    sy_attribute *all =
        sy__arena_alloc(&graph->arena, (size_t)node->n_attributes + 1, sizeof(attribute));
    if (all == NULL) {
        graph->status = SY_RESOURCE_EXHAUSTED;
        return;
    }
    if (node->n_attributes > 0) {
        memcpy(all, node->attributes, node->n_attributes * sizeof(attribute));
    }
    all[node->n_attributes++] = attribute;
    node->attributes = all;
}

void sy_test_graph_int(sy_test_graph *graph, uint32_t i_node, const char *name, int64_t value) {
    add_attribute(graph, i_node, name,
                  (sy_attribute){.type = SY_ATTRIBUTE_INT, .count = 1, .value.i = value});
}

void sy_test_graph_float(sy_test_graph *graph, uint32_t i_node, const char *name, double value) {
    add_attribute(graph, i_node, name,
                  (sy_attribute){.type = SY_ATTRIBUTE_FLOAT, .count = 1, .value.f = value});
}

void sy_test_graph_string(sy_test_graph *graph, uint32_t i_node, const char *name,
                          const char *value) {
    sy_attribute attribute = {.type = SY_ATTRIBUTE_STRING, .count = (uint32_t)strlen(value)};
    attribute.value.s = graph_string(graph, value);
    add_attribute(graph, i_node, name, attribute);
}

void sy_test_graph_ints(sy_test_graph *graph, uint32_t i_node, const char *name,
                        const int64_t *values, uint32_t n) {
    sy_attribute attribute = {.type = SY_ATTRIBUTE_INTS, .count = n};
    attribute.value.ints = graph_copy(graph, values, n, sizeof(values[0]));
    add_attribute(graph, i_node, name, attribute);
}

/* Collects the values of one kind into `list`; answers how many. */
static uint32_t collect(const sy_test_graph *graph, sy_value_kind kind, uint32_t *list) {
    uint32_t n = 0;
    for (size_t i = 0; i < graph->n_values; i++) {
        if (graph->values[i].kind == kind) {
            list[n++] = (uint32_t)i;
        }
    }
    return n;
}

sy_status sy_test_graph_finish(sy_test_graph *graph, sy_error *error) {
    uint32_t *list =
        sy__arena_alloc(&graph->arena, graph->n_nodes + 3 * graph->n_values + 1, sizeof(list[0]));
    if (graph->status != SY_OK || list == NULL) {
        sy_status status = graph->status != SY_OK ? graph->status : SY_RESOURCE_EXHAUSTED;
        return sy_error_set(error, status, "The test graph could not be built.");
    }
    sy_segment segment = {.header = SY_HEADER_INIT(sy_segment)};
    segment.nodes = list;
    segment.n_nodes = (uint32_t)graph->n_nodes;
    for (uint32_t i = 0; i < segment.n_nodes; i++) {
        *list++ = i;
    }
    segment.inputs = list;
    segment.n_inputs = collect(graph, SY_VALUE_INPUT, list);
    list += segment.n_inputs;
    segment.outputs = list;
    segment.n_outputs = collect(graph, SY_VALUE_OUTPUT, list);
    list += segment.n_outputs;
    segment.states = list;
    segment.n_states = collect(graph, SY_VALUE_STATE, list);
    graph->segment = segment;

    sy_graph_view view = {.header = SY_HEADER_INIT(sy_graph_view)};
    view.n_nodes = (uint32_t)graph->n_nodes;
    view.n_values = (uint32_t)graph->n_values;
    for (size_t i = 0; i < graph->n_values; i++) {
        for (uint32_t j = 0; j < graph->values[i].rank; j++) {
            const sy_dimension *d = &graph->values[i].dims[j];
            if (d->symbol != 0 && d->symbol < SY_SYMBOL_COUNT_MAX && d->scale == 1) {
                graph->typical[d->symbol] = d->bound;
            }
        }
    }
    view.n_symbols = SY_SYMBOL_COUNT_MAX;
    view.typical = graph->typical;
    view.graph = (sy_graph_handle *)(void *)graph;
    view.node = graph_node;
    view.value = graph_value;
    graph->view = view;
    return SY_OK;
}
