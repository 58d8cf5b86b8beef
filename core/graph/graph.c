/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph_internal.h"

#include "base/text.h"
#include "switchyard/limits.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GRAPH_ARENA_CHUNK_BYTES (64u << 10)

sy_status sy__graph_no_memory(sy_error *error, const sy_graph *graph) {
    sy_status status = sy__no_memory(error, 0, "the graph");
    sy_error_at(error, graph->name, UINT64_MAX);
    return status;
}

sy_status sy_graph_create(const sy_allocator *allocator, const char *name, sy_graph **out_graph,
                          sy_error *error) {
    allocator = sy__allocator_or_heap(allocator);
    sy_graph *graph = SY__NEW(allocator, sy_graph);
    if (graph == NULL) {
        return sy__no_memory(error, sizeof(*graph), "a graph");
    }
    graph->allocator = allocator;
    sy__arena_init(&graph->arena, allocator, GRAPH_ARENA_CHUNK_BYTES);
    name = name != NULL ? name : "graph";
    graph->name = sy__arena_string(&graph->arena, name, strlen(name));
    if (graph->name == NULL) {
        sy_graph_destroy(graph);
        return sy__no_memory(error, 0, "a graph");
    }
    graph->bounds[SY_SYMBOL_TOKENS] = 1;
    graph->bounds[SY_SYMBOL_OUTPUTS] = 1;
    graph->bounds[SY_SYMBOL_SEQUENCES] = 1;
    *out_graph = graph;
    return SY_OK;
}

void sy_graph_destroy(sy_graph *graph) {
    if (graph == NULL) {
        return;
    }
    const sy_allocator *allocator = graph->allocator;
    sy__arena_deinit(&graph->arena);
    sy__free_array(allocator, graph->values, graph->values_capacity, sizeof(sy__value));
    sy__free_array(allocator, graph->nodes, graph->nodes_capacity, sizeof(sy__node));
    SY__DELETE(allocator, graph);
}

sy_status sy_graph_set_bound(sy_graph *graph, uint32_t symbol, int64_t bound, sy_error *error) {
    if (symbol == SY_SYMBOL_NONE || symbol >= SY_SYMBOL_COUNT_MAX || bound < 0) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Symbol %" PRIu32 " cannot have the bound %" PRId64 ".", symbol, bound);
    }
    if (graph->used[symbol]) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "The bound of symbol %" PRIu32 " is already in use by a value.",
                            symbol);
    }
    graph->bounds[symbol] = bound;
    return SY_OK;
}

int64_t sy_graph_bound(const sy_graph *graph, uint32_t symbol) {
    return symbol < SY_SYMBOL_COUNT_MAX ? graph->bounds[symbol] : 0;
}

/* Fills the bounds of symbolic dimensions and checks every dimension. */
static sy_status resolve_dims(sy_graph *graph, sy_value_view *view, sy_error *error) {
    for (uint32_t i = 0; i < view->rank; i++) {
        sy_dimension *d = &view->dims[i];
        if (d->symbol >= SY_SYMBOL_COUNT_MAX) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "Value '%s' uses the undefined symbol %" PRIu32 ".", view->name,
                                d->symbol);
        }
        if (d->symbol != SY_SYMBOL_NONE) {
            d->scale = d->scale == 0 ? 1 : d->scale;
            d->bound = d->scale * graph->bounds[d->symbol] + d->offset;
            graph->used[d->symbol] = true;
        }
        if (d->bound < 0) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "Dimension %" PRIu32 " of value '%s' is negative.", i, view->name);
        }
    }
    return SY_OK;
}

static sy_status append_value(sy_graph *graph, const sy_value_view *view, uint32_t producer,
                              uint32_t *out_value, sy_error *error) {
    if (graph->n_values >= SY_LIMIT_NODES * 2u) {
        return sy_error_set(error, SY_OUT_OF_RANGE, "The graph has more than %u values.",
                            SY_LIMIT_NODES * 2u);
    }
    void *values = graph->values;
    if (!sy__grow_array(graph->allocator, &values, &graph->values_capacity, graph->n_values + 1,
                        sizeof(sy__value))) {
        return sy__graph_no_memory(error, graph);
    }
    graph->values = values;
    sy__value *value = &graph->values[graph->n_values];
    value->view = *view;
    value->producer = producer;
    value->view.name = sy__arena_string(&graph->arena, view->name, strlen(view->name));
    if (value->view.name == NULL) {
        return sy__graph_no_memory(error, graph);
    }
    *out_value = (uint32_t)graph->n_values++;
    return SY_OK;
}

sy_status sy_graph_add_value(sy_graph *graph, const sy_value_view *description, uint32_t *out_value,
                             sy_error *error) {
    sy_value_view view = *description;
    if (view.name == NULL || view.rank > SY_MAX_RANK || sy_type_get(view.type) == NULL) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Value '%s' has no name, an unknown element type %" PRIu32
                            " or a rank over %u.",
                            view.name != NULL ? view.name : "", view.type, SY_MAX_RANK);
    }
    if (view.kind != SY_VALUE_INPUT && view.kind != SY_VALUE_WEIGHT &&
        view.kind != SY_VALUE_STATE) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Value '%s' must be an input, a weight or a state; activations come "
                            "from nodes.",
                            view.name);
    }
    sy_status status = resolve_dims(graph, &view, error);
    if (status != SY_OK) {
        return status;
    }
    uint64_t n_bytes = 0;
    if (!sy__shape_bytes(view.type, view.rank, view.dims, &n_bytes)) {
        return sy_error_set(error, SY_OUT_OF_RANGE,
                            "Value '%s' is too large, or its rows are no whole number of %s "
                            "blocks.",
                            view.name, sy_type_get(view.type)->name);
    }
    if (view.kind == SY_VALUE_WEIGHT &&
        (view.data.pointer == NULL || view.data.length_bytes != n_bytes)) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Weight '%s' brings %" PRIu64 " bytes where its shape has %" PRIu64 ".",
                            view.name, view.data.length_bytes, n_bytes);
    }
    view.data.length_bytes = n_bytes;
    return append_value(graph, &view, SY_NO_VALUE, out_value, error);
}

static const void *copy_bytes(sy_graph *graph, const void *bytes, size_t n, size_t size_bytes) {
    if (n == 0) {
        return "";
    }
    void *copy = sy__arena_alloc(&graph->arena, n, size_bytes);
    if (copy != NULL) {
        memcpy(copy, bytes, n * size_bytes);
    }
    return copy;
}

static bool copy_attribute(sy_graph *graph, const sy_attribute *from, sy_attribute *to) {
    *to = *from;
    to->name = sy__arena_string(&graph->arena, from->name, strlen(from->name));
    bool copied = to->name != NULL;
    if (from->type == SY_ATTRIBUTE_STRING) {
        to->value.s = sy__arena_string(&graph->arena, from->value.s, from->count);
        copied = copied && to->value.s != NULL;
    } else if (from->type == SY_ATTRIBUTE_INTS) {
        to->value.ints = copy_bytes(graph, from->value.ints, from->count, sizeof(int64_t));
        copied = copied && to->value.ints != NULL;
    } else if (from->type == SY_ATTRIBUTE_FLOATS) {
        to->value.floats = copy_bytes(graph, from->value.floats, from->count, sizeof(double));
        copied = copied && to->value.floats != NULL;
    }
    return copied;
}

sy_status sy__graph_copy_node(sy_graph *graph, const sy_node_view *description,
                              const uint32_t *outputs, sy_node_view *out_node, sy_error *error) {
    sy_node_view node = *description;
    sy_attribute *attributes =
        sy__arena_alloc(&graph->arena, (size_t)node.n_attributes + 1, sizeof(sy_attribute));
    const char *name = node.name != NULL ? node.name : node.op;
    node.domain = sy__arena_string(&graph->arena, node.domain, strlen(node.domain));
    node.op = sy__arena_string(&graph->arena, node.op, strlen(node.op));
    node.name = sy__arena_string(&graph->arena, name, strlen(name));
    node.inputs = copy_bytes(graph, description->inputs, node.n_inputs, sizeof(uint32_t));
    node.outputs = copy_bytes(graph, outputs, node.n_outputs, sizeof(uint32_t));
    if (attributes == NULL || node.domain == NULL || node.op == NULL || node.name == NULL ||
        node.inputs == NULL || node.outputs == NULL) {
        return sy__graph_no_memory(error, graph);
    }
    for (uint32_t i = 0; i < node.n_attributes; i++) {
        if (!copy_attribute(graph, &description->attributes[i], &attributes[i])) {
            return sy__graph_no_memory(error, graph);
        }
    }
    node.attributes = attributes;
    *out_node = node;
    return SY_OK;
}

/* What must hold before inference may look at the node. */
static sy_status check_description(const sy_graph *graph, const sy_node_view *node,
                                   sy_error *error) {
    if (node->domain == NULL || node->op == NULL || node->n_outputs == 0 ||
        node->n_inputs > SY_LIMIT_NODE_INPUTS || node->n_outputs > SY_LIMIT_NODE_OUTPUTS ||
        graph->n_nodes >= SY_LIMIT_NODES) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Node '%s' is malformed: it needs an operator, up to %u inputs, 1 to "
                            "%u outputs, and a graph of at most %u nodes.",
                            node->name != NULL ? node->name : "", SY_LIMIT_NODE_INPUTS,
                            SY_LIMIT_NODE_OUTPUTS, SY_LIMIT_NODES);
    }
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        if (node->inputs[i] != SY_NO_VALUE && node->inputs[i] >= graph->n_values) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "Input %" PRIu32 " of node '%s' does not exist.", i,
                                node->name != NULL ? node->name : node->op);
        }
    }
    for (uint32_t i = 0; i < node->n_attributes; i++) {
        const sy_attribute *a = &node->attributes[i];
        if (a->name == NULL || a->type < SY_ATTRIBUTE_INT || a->type > SY_ATTRIBUTE_FLOATS ||
            (a->type == SY_ATTRIBUTE_STRING && a->value.s == NULL)) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "Attribute %" PRIu32 " of node '%s' is malformed.", i,
                                node->name != NULL ? node->name : node->op);
        }
    }
    return SY_OK;
}

static sy_status add_outputs(sy_graph *graph, const sy_node_view *node, const sy__inferred *results,
                             uint32_t *out_values, sy_error *error) {
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        char name[160];
        const char *base = node->name != NULL ? node->name : node->op;
        if (node->n_outputs == 1) {
            snprintf(name, sizeof(name), "%s", base);
        } else {
            snprintf(name, sizeof(name), "%s:%" PRIu32, base, i);
        }
        sy_value_view view = {.name = name,
                              .kind = SY_VALUE_ACTIVATION,
                              .type = results[i].type,
                              .rank = results[i].rank,
                              .data = {.fd = -1}};
        memcpy(view.dims, results[i].dims, sizeof(view.dims));
        if (!sy__shape_bytes(view.type, view.rank, view.dims, &view.data.length_bytes)) {
            return sy_error_set(error, SY_OUT_OF_RANGE,
                                "Output %" PRIu32 " of node '%s' is too large.", i, base);
        }
        sy_status status =
            append_value(graph, &view, (uint32_t)graph->n_nodes, &out_values[i], error);
        if (status != SY_OK) {
            return status;
        }
    }
    return SY_OK;
}

sy_status sy_graph_add_node(sy_graph *graph, const sy_node_view *description, uint32_t *out_values,
                            sy_error *error) {
    sy__inferred results[SY_LIMIT_NODE_OUTPUTS] = {0};
    uint32_t outputs[SY_LIMIT_NODE_OUTPUTS] = {0};
    sy_status status = check_description(graph, description, error);
    if (status == SY_OK) {
        status = sy__infer(graph, description, results, error);
    }
    if (status != SY_OK) {
        return status;
    }
    void *nodes = graph->nodes;
    if (!sy__grow_array(graph->allocator, &nodes, &graph->nodes_capacity, graph->n_nodes + 1,
                        sizeof(sy__node))) {
        return sy__graph_no_memory(error, graph);
    }
    graph->nodes = nodes;
    size_t n_values_before = graph->n_values;
    status = add_outputs(graph, description, results, outputs, error);
    sy__node *node = &graph->nodes[graph->n_nodes];
    node->dead = false;
    if (status == SY_OK) {
        status = sy__graph_copy_node(graph, description, outputs, &node->view, error);
    }
    if (status != SY_OK) {
        graph->n_values = n_values_before;
        return status;
    }
    graph->n_nodes++;
    memcpy(out_values, outputs, description->n_outputs * sizeof(uint32_t));
    return SY_OK;
}

sy_status sy_graph_mark_output(sy_graph *graph, uint32_t i_value, sy_error *error) {
    if (i_value >= graph->n_values || graph->values[i_value].producer == SY_NO_VALUE) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Value %" PRIu32 " is not made by a node, so it cannot be an output.",
                            i_value);
    }
    graph->values[i_value].view.kind = SY_VALUE_OUTPUT;
    return SY_OK;
}

const char *sy_graph_name(const sy_graph *graph) {
    return graph->name;
}

uint32_t sy_graph_n_nodes(const sy_graph *graph) {
    return (uint32_t)graph->n_nodes;
}

uint32_t sy_graph_n_values(const sy_graph *graph) {
    return (uint32_t)graph->n_values;
}

sy_status sy_graph_node(const sy_graph *graph, uint32_t i_node, sy_node_view *out_node) {
    if (i_node >= graph->n_nodes) {
        return SY_OUT_OF_RANGE;
    }
    *out_node = graph->nodes[i_node].view;
    return SY_OK;
}

sy_status sy_graph_value(const sy_graph *graph, uint32_t i_value, sy_value_view *out_value) {
    if (i_value >= graph->n_values) {
        return SY_OUT_OF_RANGE;
    }
    *out_value = graph->values[i_value].view;
    return SY_OK;
}

uint32_t sy_graph_producer(const sy_graph *graph, uint32_t i_value) {
    return i_value < graph->n_values ? graph->values[i_value].producer : SY_NO_VALUE;
}

uint32_t sy_graph_find_value(const sy_graph *graph, const char *name) {
    for (size_t i = 0; i < graph->n_values; i++) {
        if (strcmp(graph->values[i].view.name, name) == 0) {
            return (uint32_t)i;
        }
    }
    return SY_NO_VALUE;
}

/* The handle of a view is the graph itself: views never change it. */
static const sy_graph *from_handle(sy_graph_handle *handle) {
    return (const sy_graph *)(const void *)handle;
}

static sy_status view_node(sy_graph_handle *handle, uint32_t i_node, sy_node_view *out_node) {
    return sy_graph_node(from_handle(handle), i_node, out_node);
}

static sy_status view_value(sy_graph_handle *handle, uint32_t i_value, sy_value_view *out_value) {
    return sy_graph_value(from_handle(handle), i_value, out_value);
}

void sy_graph_view_init(const sy_graph *graph, sy_phase phase, const int64_t *typical,
                        sy_graph_view *out_view) {
    sy_graph_view view = {.header = SY_HEADER_INIT(sy_graph_view),
                          .n_nodes = (uint32_t)graph->n_nodes,
                          .n_values = (uint32_t)graph->n_values,
                          .phase = phase,
                          .n_symbols = SY_SYMBOL_COUNT_MAX,
                          .typical = typical != NULL ? typical : graph->bounds,
                          .node = view_node,
                          .value = view_value};
    /* The ABI has no const handle; the callbacks above only read. */
    memcpy(&view.graph, &graph, sizeof(view.graph));
    *out_view = view;
}

const sy_value_view *sy__input(const sy_graph *graph, const sy_node_view *node, uint32_t i_input) {
    if (i_input >= node->n_inputs || node->inputs[i_input] == SY_NO_VALUE) {
        return NULL;
    }
    return &graph->values[node->inputs[i_input]].view;
}

bool sy__node_is(const sy_node_view *node, const char *domain, const char *op) {
    return strcmp(node->op, op) == 0 && strcmp(node->domain, domain) == 0;
}

void sy_string_destroy(const sy_allocator *allocator, char *text) {
    if (text != NULL) {
        sy__text_release(allocator, text); /* print and explain make it with sy__text_take */
    }
}
