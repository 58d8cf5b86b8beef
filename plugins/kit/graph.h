/* SPDX-License-Identifier: Apache-2.0 */
/* A node with its values, and what judging it found. */
#ifndef KIT_GRAPH_H
#define KIT_GRAPH_H

#include "host.h"
#include "types.h"

#define KIT_INPUTS_MAX 6u
#define KIT_OUTPUTS_MAX 4u

typedef struct kit_node {
    sy_node_view view;
    sy_value_view in[KIT_INPUTS_MAX], out[KIT_OUTPUTS_MAX];
    bool has_in[KIT_INPUTS_MAX];
    uint32_t n_in, n_out;
    const sy_graph_view *graph;
} kit_node;

/* Answer for one node. The work is counted at the view's typical sizes. */
typedef struct kit_answer {
    sy_support support;
    sy_reason reason;
    uint32_t score;
    double weight_bytes, activation_bytes, int8_ops, f32_ops;
    float confidence;
    char why[SY_REASON_TEXT_BYTES];
} kit_answer;

/* Fills the answer with a "no" and answers false. */
bool kit_no(kit_answer *answer, sy_reason reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* False when the node has more inputs or outputs than any operator here. */
sy_status kit_node_read(const sy_graph_view *graph, uint32_t i_node, kit_node *out_node,
                        bool *out_fits);

/* Whether an input, perhaps an optional one, is given. */
bool kit_node_has(const kit_node *node, uint32_t i_input);

/* NULL where the node has none of that name. */
const sy_attribute *kit_attribute_find(const kit_node *node, const char *name);
/* Attributes; a wrong type counts as a "no". */
bool kit_attribute_int(const kit_node *node, const char *name, int64_t fallback, int64_t *out,
                       kit_answer *answer);
bool kit_attribute_float(const kit_node *node, const char *name, double fallback, double *out,
                         kit_answer *answer);
bool kit_attribute_string(const kit_node *node, const char *name, const char *fallback,
                          const char **out, kit_answer *answer);
/* Says no to an attribute that is not in the list, which ends with NULL. */
bool kit_attributes_known(const kit_node *node, const char *const *names, kit_answer *answer);

bool kit_dimension_same(const sy_dimension *a, const sy_dimension *b);
bool kit_shape_same(const sy_value_view *a, const sy_value_view *b);
/* Same dimensions in front of the last one. */
bool kit_rows_same(const sy_value_view *a, const sy_value_view *b);
/* The last dimension when it is fixed, else 0. */
int64_t kit_width(const sy_value_view *value);
int64_t kit_bound_count(const sy_value_view *value); /* elements at the bounds */
double kit_typical_count(const sy_graph_view *graph, const sy_value_view *value);
/* -1 for a missing symbol or a value outside 0..bound. */
int64_t kit_dimension_at(const sy_dimension *dimension, const int64_t *symbols, uint32_t n_symbols);
/* A constant in host memory: its bytes, or NULL. */
const uint8_t *kit_weight_bytes(const sy_value_view *value);

/* Checks shared by the operators; each says no in words and answers false. */
bool kit_require_float(const sy_value_view *value, const char *what, kit_answer *answer);
bool kit_require_type(const sy_value_view *value, sy_element_type type, const char *what,
                      kit_answer *answer);
/* The output has the type of the first float input, and that is a float. */
bool kit_require_same_float(const sy_value_view *x, const sy_value_view *y, kit_answer *answer);
bool kit_require_weight(const sy_value_view *value, const char *what, kit_answer *answer);

#endif
