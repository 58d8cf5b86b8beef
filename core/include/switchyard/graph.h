/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The graph: nodes over values, in topological order by construction. Operators are those of
 * docs/operators.md. Types and shapes of a node's outputs are inferred when the node is added;
 * dynamic dimensions are symbols with upper bounds, so that memory can be planned for the worst
 * case. Weight bytes are borrowed: they must stay mapped and unchanged while the graph or anything
 * planned from it lives. All names and attributes are copied.
 *
 * Node and value descriptions reuse the frozen views of the delegate ABI (sy_plugin.h).
 */
#ifndef SWITCHYARD_GRAPH_H
#define SWITCHYARD_GRAPH_H

#include "switchyard/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sy_graph sy_graph;

/* Makes an empty graph. Bounds of the symbols TOKENS, OUTPUTS and SEQUENCES start at 1.
 * shape: -  unit: -  owner: caller, sy_graph_destroy  errors: RESOURCE_EXHAUSTED  thread: one at a
 * time per graph; share freely once nobody changes it  cost: heap  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_graph_create(const sy_allocator *allocator, const char *name,
                                        sy_graph **out_graph, sy_error *error);

/* Frees a graph; NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time
 * cost: O(n)  since: 0.1  source: - */
void sy_graph_destroy(sy_graph *graph);

/* Sets the largest value a symbol can take; before any value uses the symbol.
 * shape: -  unit: elements  owner: -  errors: INVALID_ARGUMENT for a bad symbol or bound < 0,
 * FAILED_PRECONDITION when in use  thread: one at a time  cost: O(1)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_graph_set_bound(sy_graph *graph, uint32_t symbol, int64_t bound,
                                           sy_error *error);

/* Largest value of a symbol, 0 for one that is not defined.
 * shape: -  unit: elements  owner: -  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
int64_t sy_graph_bound(const sy_graph *graph, uint32_t symbol);

/* Adds an INPUT, WEIGHT or STATE value. A WEIGHT brings data.pointer with data.length_bytes equal
 * to its shape's bytes. A STATE has dims [rows, width]; rows is the bound the session chooses.
 * Dimension bounds of symbols are filled in from the graph.
 * shape: as described  unit: -  owner: copies all but weight bytes  errors: INVALID_ARGUMENT,
 * OUT_OF_RANGE over limits, RESOURCE_EXHAUSTED  thread: one at a time  cost: heap  since: 0.1
 * source: - */
SY_MUST_CHECK sy_status sy_graph_add_value(sy_graph *graph, const sy_value_view *description,
                                           uint32_t *out_value, sy_error *error);

/* Adds a node. description->outputs is ignored; n_outputs values are made by inference, named
 * "NODE" or "NODE:i", and written to out_values. Inputs must already exist.
 * shape: by the operator  unit: -  owner: copies  errors: INVALID_ARGUMENT (shape, type, arity,
 * attribute), UNIMPLEMENTED (operator), OUT_OF_RANGE, RESOURCE_EXHAUSTED  thread: one at a time
 * cost: heap  since: 0.1  source: docs/operators.md */
SY_MUST_CHECK sy_status sy_graph_add_node(sy_graph *graph, const sy_node_view *description,
                                          uint32_t *out_values, sy_error *error);

/* Makes an activation a result of the graph (kind OUTPUT).
 * shape: -  unit: -  owner: -  errors: INVALID_ARGUMENT  thread: one at a time
 * cost: O(1)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_graph_mark_output(sy_graph *graph, uint32_t i_value, sy_error *error);

/* Name, counts and items.
 * shape: -  unit: -  owner: borrowed from the graph  errors: OUT_OF_RANGE past the end
 * thread: any  cost: O(1)  since: 0.1  source: - */
const char *sy_graph_name(const sy_graph *graph);
uint32_t sy_graph_n_nodes(const sy_graph *graph);
uint32_t sy_graph_n_values(const sy_graph *graph);
SY_MUST_CHECK sy_status sy_graph_node(const sy_graph *graph, uint32_t i_node,
                                      sy_node_view *out_node);
SY_MUST_CHECK sy_status sy_graph_value(const sy_graph *graph, uint32_t i_value,
                                       sy_value_view *out_value);

/* Node that makes a value, or SY_NO_VALUE for inputs, weights and states.
 * shape: -  unit: -  owner: -  errors: SY_NO_VALUE  thread: any
 * cost: O(1)  since: 0.1  source: - */
uint32_t sy_graph_producer(const sy_graph *graph, uint32_t i_value);

/* Index of the value with a name, or SY_NO_VALUE.
 * shape: -  unit: -  owner: -  errors: SY_NO_VALUE  thread: any
 * cost: O(values)  since: 0.1  source: - */
uint32_t sy_graph_find_value(const sy_graph *graph, const char *name);

/* A view for delegates. typical (SY_SYMBOL_COUNT_MAX entries, borrowed) are the symbol values that
 * time estimates are for; NULL: the bounds.
 * shape: -  unit: -  owner: caller's struct, borrows the graph  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: sy_plugin.h section 5 */
void sy_graph_view_init(const sy_graph *graph, sy_phase phase, const int64_t *typical,
                        sy_graph_view *out_view);

/* Value of a dimension, or bytes of a value, at given symbol values (index = symbol; NULL: bounds).
 * Answers are within the bounds that were checked when the value was added.
 * shape: -  unit: elements, bytes  owner: -  errors: none  thread: any
 * cost: O(rank)  since: 0.1  source: - */
int64_t sy_dimension_value(const sy_dimension *dimension, const int64_t *symbols);
uint64_t sy_value_bytes(const sy_value_view *value, const int64_t *symbols);

/* Checks the whole graph again, whatever it was built by: indexes, order, one producer each,
 * arity, shapes by a fresh inference, weight sizes, names.
 * shape: -  unit: -  owner: -  errors: INVALID_ARGUMENT naming the node  thread: any
 * cost: O(n)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_graph_verify(const sy_graph *graph, sy_error *error);

typedef enum sy_graph_format {
    SY_GRAPH_TEXT = 0,
    SY_GRAPH_JSON = 1,
    SY_GRAPH_DOT = 2
} sy_graph_format;

/* Prints a graph; weights by name, type and shape only.
 * shape: -  unit: -  owner: caller, sy_string_destroy with the same allocator
 * errors: RESOURCE_EXHAUSTED  thread: any  cost: O(n)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_graph_print(const sy_graph *graph, sy_graph_format format,
                                       const sy_allocator *allocator, char **out_text,
                                       sy_error *error);

/* Frees a string that a print or explain call of the runtime gave. NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
void sy_string_destroy(const sy_allocator *allocator, char *text);

/* Which passes run, in this order. */
typedef enum sy_pass {
    SY_PASS_FOLD = 0,   /* nodes over constants become constants */
    SY_PASS_COMMON = 1, /* equal nodes over equal inputs become one */
    SY_PASS_FUSE = 2,   /* patterns become the fused operators of docs/operators.md */
    SY_PASS_DEAD = 3,   /* what no output needs goes */
    SY_PASS_COUNT = 4
} sy_pass;

/* Computes one node over constant inputs into the outputs' memory (already sized). */
typedef sy_status (*sy_evaluate)(void *user, const sy_graph *graph, uint32_t i_node,
                                 void *const *out_data, sy_error *error);

typedef struct sy_pass_options {
    uint32_t struct_bytes;
    uint32_t disabled;    /* set of 1 << sy_pass */
    sy_evaluate evaluate; /* NULL: folding is skipped */
    void *evaluate_user;
    uint64_t fold_limit_bytes; /* largest constant folding may make; 0: 16 MiB */
    /* Called before (before = 1) and after each pass, e.g. to print. May be NULL. */
    void (*trace)(void *user, sy_pass pass, int before, const sy_graph *graph);
    void *trace_user;
} sy_pass_options;

/* Name of a pass, e.g. "fuse".
 * shape: -  unit: -  owner: static  errors: "unknown"  thread: any
 * cost: O(1)  since: 0.1  source: - */
const char *sy_pass_name(sy_pass pass);

/* Runs the passes; outputs keep their meaning, node and value indexes change. NULL options: all
 * passes but folding.
 * shape: -  unit: -  owner: changes the graph  errors: RESOURCE_EXHAUSTED, those of evaluate
 * thread: one at a time  cost: O(n log n)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_graph_optimize(sy_graph *graph, const sy_pass_options *options,
                                          sy_error *error);

#ifdef __cplusplus
}
#endif
#endif
