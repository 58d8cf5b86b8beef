/* SPDX-License-Identifier: Apache-2.0 */
/* What the graph is made of; for core/graph and core/passes only. */
#ifndef SY_GRAPH_INTERNAL_H
#define SY_GRAPH_INTERNAL_H

#include "base/memory.h"
#include "switchyard/graph.h"

typedef struct sy__value {
    sy_value_view view;
    uint32_t producer; /* node index or SY_NO_VALUE */
} sy__value;

typedef struct sy__node {
    sy_node_view view; /* pointers lead into the graph's arena */
    bool dead;
} sy__node;

struct sy_graph {
    const sy_allocator *allocator;
    sy__arena arena;
    char *name;
    sy__value *values;
    sy__node *nodes;
    size_t n_values, values_capacity;
    size_t n_nodes, nodes_capacity;
    int64_t bounds[SY_SYMBOL_COUNT_MAX];
    bool used[SY_SYMBOL_COUNT_MAX];
};

/* Type and shape that an inference rule finds for one output. */
typedef struct sy__inferred {
    sy_element_type type;
    uint32_t rank;
    sy_dimension dims[SY_MAX_RANK];
} sy__inferred;

/* dimension.c */
sy_dimension sy__dimension_fixed(int64_t n);
bool sy__dimension_equal(const sy_dimension *a, const sy_dimension *b);
bool sy__dimension_is(const sy_dimension *dimension, int64_t n);
/* a * b when at most one has a symbol and nothing overflows. */
bool sy__dimension_multiply(const sy_dimension *a, const sy_dimension *b, sy_dimension *out);
/* a + b when at most one symbol is involved (both may have the same one). */
bool sy__dimension_add(const sy_dimension *a, const sy_dimension *b, sy_dimension *out);
/* a / b when exact. */
bool sy__dimension_divide(const sy_dimension *a, const sy_dimension *b, sy_dimension *out);
/* Equal type, rank and dimensions. */
bool sy__same_shape(const sy_value_view *a, const sy_value_view *b);
/* Bytes at the bounds; false on overflow, a row that is no whole block, or over the limit. */
bool sy__shape_bytes(sy_element_type type, uint32_t rank, const sy_dimension *dims,
                     uint64_t *out_bytes);
/* "[T, 256]" into text. */
void sy__shape_text(const sy_value_view *value, char *out_text, size_t n_bytes);

/* attribute.c: of a node, with defaults. */
const sy_attribute *sy__attribute(const sy_node_view *node, const char *name,
                                  sy_attribute_type type);
int64_t sy__attribute_int(const sy_node_view *node, const char *name, int64_t otherwise);
double sy__attribute_float(const sy_node_view *node, const char *name, double otherwise);
const char *sy__attribute_string(const sy_node_view *node, const char *name, const char *otherwise);

/* infer.c: shapes and types of all outputs of a node whose inputs exist. */
sy_status sy__infer(const sy_graph *graph, const sy_node_view *node, sy__inferred *out_results,
                    sy_error *error);

/* The view of an input, NULL when the optional input is absent. */
const sy_value_view *sy__input(const sy_graph *graph, const sy_node_view *node, uint32_t i_input);
bool sy__node_is(const sy_node_view *node, const char *domain, const char *op);
sy_status sy__graph_no_memory(sy_error *error, const sy_graph *graph);
/* Copies a node description into the arena; outputs are the given value indexes. */
sy_status sy__graph_copy_node(sy_graph *graph, const sy_node_view *description,
                              const uint32_t *outputs, sy_node_view *out_node, sy_error *error);
/* Removes dead nodes and values nobody uses; renumbers. */
sy_status sy__graph_compact(sy_graph *graph, sy_error *error);

#endif
