/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An in-memory graph view: add values and nodes, finish, hand graph.view to a plugin. It checks
 * nothing about operators on purpose: tests also build graphs that a plugin must refuse. Errors are
 * sticky; look at what sy_test_graph_finish answers.
 */
#ifndef SY_CONFORM_TEST_GRAPH_H
#define SY_CONFORM_TEST_GRAPH_H

#include "base/memory.h"

typedef struct sy_test_graph {
    sy_graph_view view;
    sy_segment segment; /* all nodes; inputs, outputs and states in the order of their values */
    sy__arena arena;    /* names, index lists, attributes */
    sy_value_view *values;
    sy_node_view *nodes;
    size_t n_values, values_capacity, n_nodes, nodes_capacity;
    uint32_t *lists; /* nodes, inputs, outputs, states of the segment */
    int64_t typical[SY_SYMBOL_COUNT_MAX];
    sy_status status;
} sy_test_graph;

/* Which operator a node is. */
typedef struct sy_test_op {
    const char *domain, *name;
    uint32_t version;
} sy_test_op;

void sy_test_graph_init(sy_test_graph *graph);
void sy_test_graph_deinit(sy_test_graph *graph);

/* Dimensions: fixed, and the plain value of a symbol. */
sy_dimension sy_test_fixed(int64_t n);
sy_dimension sy_test_symbol(uint32_t symbol, int64_t bound);

/* Each answers the new value's or node's index, SY_NO_VALUE on failure. */
uint32_t sy_test_graph_value(sy_test_graph *graph, const char *name, sy_value_kind kind,
                             sy_element_type type, uint32_t rank, const sy_dimension *dims);
/* A weight with fixed dims; the bytes are borrowed and n_bytes is taken as given. */
uint32_t sy_test_graph_weight(sy_test_graph *graph, const char *name, sy_element_type type,
                              uint32_t rank, const int64_t *dims, const void *bytes,
                              uint64_t n_bytes);
uint32_t sy_test_graph_add_node(sy_test_graph *graph, sy_test_op op, uint32_t n_inputs,
                                const uint32_t *inputs, uint32_t n_outputs,
                                const uint32_t *outputs);
/* sy_test_graph_node(graph, domain, op, version, n_inputs, inputs, n_outputs, outputs) */
#define sy_test_graph_node(graph, domain, op, version, ...) \
    sy_test_graph_add_node((graph), (sy_test_op){(domain), (op), (version)}, __VA_ARGS__)

void sy_test_graph_int(sy_test_graph *graph, uint32_t i_node, const char *name, int64_t value);
void sy_test_graph_float(sy_test_graph *graph, uint32_t i_node, const char *name, double value);
void sy_test_graph_string(sy_test_graph *graph, uint32_t i_node, const char *name,
                          const char *value);
void sy_test_graph_ints(sy_test_graph *graph, uint32_t i_node, const char *name,
                        const int64_t *values, uint32_t n);

/* Fills view and segment. The graph must not change afterwards. typical values are the bounds;
 * change graph->typical for others. */
SY_MUST_CHECK sy_status sy_test_graph_finish(sy_test_graph *graph, sy_error *error);

/* Bytes of a value at symbol values (index = symbol, n_symbols of them); at the bounds for NULL.
 * False when the shape is impossible. */
bool sy_test_value_bytes(const sy_value_view *value, const int64_t *symbols, uint32_t n_symbols,
                         uint64_t *out_bytes);

#endif
