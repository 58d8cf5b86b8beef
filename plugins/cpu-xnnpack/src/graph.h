/* SPDX-License-Identifier: Apache-2.0 */
/* A node with its values, and what judging it found. */
#ifndef CPU_GRAPH_H
#define CPU_GRAPH_H

#include "plugin.h"

#define CPU_INPUTS_MAX 6u
#define CPU_OUTPUTS_MAX 2u

typedef struct cpu_node {
    sy_node_view view;
    sy_value_view in[CPU_INPUTS_MAX], out[CPU_OUTPUTS_MAX];
    bool has_in[CPU_INPUTS_MAX];
    uint32_t n_in, n_out;
    const sy_graph_view *graph;
} cpu_node;

/* Answer for one node. The work is counted at the view's typical sizes. */
typedef struct cpu_answer {
    sy_support support;
    sy_reason reason;
    uint32_t score;
    double weight_bytes, activation_bytes, int8_ops, f32_ops;
    float confidence;
    char why[SY_REASON_TEXT_BYTES];
} cpu_answer;

/* Fills the answer with a "no" and answers false. */
bool cpu_no(cpu_answer *answer, sy_reason reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* False when the node has more inputs or outputs than any operator here. */
sy_status cpu_node_read(const sy_graph_view *graph, uint32_t i_node, cpu_node *out_node,
                        bool *out_fits);

/* Attributes; a wrong type counts as a "no". */
bool cpu_attribute_int(const cpu_node *node, const char *name, int64_t fallback, int64_t *out,
                       cpu_answer *answer);
bool cpu_attribute_float(const cpu_node *node, const char *name, double fallback, double *out,
                         cpu_answer *answer);
bool cpu_attribute_string(const cpu_node *node, const char *name, const char *fallback,
                          const char **out, cpu_answer *answer);
/* Says no to an attribute that is not in the list, which ends with NULL. */
bool cpu_attributes_known(const cpu_node *node, const char *const *names, cpu_answer *answer);

bool cpu_dimension_same(const sy_dimension *a, const sy_dimension *b);
bool cpu_shape_same(const sy_value_view *a, const sy_value_view *b);
/* Same dimensions in front of the last one. */
bool cpu_rows_same(const sy_value_view *a, const sy_value_view *b);
/* The last dimension when it is fixed, else 0. */
int64_t cpu_width(const sy_value_view *value);
int64_t cpu_bound_count(const sy_value_view *value); /* elements at the bounds */
double cpu_typical_count(const sy_graph_view *graph, const sy_value_view *value);
/* -1 for a missing symbol or a value outside 0..bound. */
int64_t cpu_dimension_at(const sy_dimension *dimension, const int64_t *symbols, uint32_t n_symbols);
/* A constant in host memory: its bytes, or NULL. */
const uint8_t *cpu_weight_bytes(const sy_value_view *value);

/* Checks shared by the operators; each says no in words and answers false. */
bool cpu_require_float(const sy_value_view *value, const char *what, cpu_answer *answer);
bool cpu_require_type(const sy_value_view *value, sy_element_type type, const char *what,
                      cpu_answer *answer);
/* The output has the type of the first float input, and that is a float. */
bool cpu_require_same_float(const sy_value_view *x, const sy_value_view *y, cpu_answer *answer);
bool cpu_require_weight(const sy_value_view *value, const char *what, cpu_answer *answer);

#endif
