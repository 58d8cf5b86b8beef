/* SPDX-License-Identifier: Apache-2.0 */
/* Reading nodes, attributes and shapes from a graph view. */
#include "graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool kit_no(kit_answer *answer, sy_reason reason, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(answer->why, sizeof(answer->why), format, arguments);
    va_end(arguments);
    answer->support = SY_SUPPORT_NO;
    answer->reason = reason;
    return false;
}

sy_status kit_node_read(const sy_graph_view *graph, uint32_t i_node, kit_node *out_node,
                        bool *out_fits) {
    memset(out_node, 0, sizeof(*out_node));
    out_node->graph = graph;
    sy_status status = graph->node(graph->graph, i_node, &out_node->view);
    const sy_node_view *view = &out_node->view;
    *out_fits =
        status == SY_OK && view->n_inputs <= KIT_INPUTS_MAX && view->n_outputs <= KIT_OUTPUTS_MAX;
    if (!*out_fits) {
        return status;
    }
    out_node->n_in = view->n_inputs;
    out_node->n_out = view->n_outputs;
    for (uint32_t i = 0; status == SY_OK && i < view->n_inputs; i++) {
        out_node->has_in[i] = view->inputs[i] != SY_NO_VALUE;
        if (out_node->has_in[i]) {
            status = graph->value(graph->graph, view->inputs[i], &out_node->in[i]);
        }
    }
    for (uint32_t i = 0; status == SY_OK && i < view->n_outputs; i++) {
        if (view->outputs[i] != SY_NO_VALUE) {
            status = graph->value(graph->graph, view->outputs[i], &out_node->out[i]);
        } else {
            *out_fits = false;
        }
    }
    return status;
}

bool kit_node_has(const kit_node *node, uint32_t i_input) {
    return i_input < node->n_in && node->has_in[i_input];
}

const sy_attribute *kit_attribute_find(const kit_node *node, const char *name) {
    for (uint32_t i = 0; i < node->view.n_attributes; i++) {
        if (strcmp(node->view.attributes[i].name, name) == 0) {
            return &node->view.attributes[i];
        }
    }
    return NULL;
}

bool kit_attribute_int(const kit_node *node, const char *name, int64_t fallback, int64_t *out,
                       kit_answer *answer) {
    const sy_attribute *a = kit_attribute_find(node, name);
    if (a != NULL && a->type != SY_ATTRIBUTE_INT) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "attribute %s is not an integer", name);
    }
    *out = a != NULL ? a->value.i : fallback;
    return true;
}

bool kit_attribute_float(const kit_node *node, const char *name, double fallback, double *out,
                         kit_answer *answer) {
    const sy_attribute *a = kit_attribute_find(node, name);
    if (a != NULL && a->type != SY_ATTRIBUTE_FLOAT) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "attribute %s is not a float", name);
    }
    *out = a != NULL ? a->value.f : fallback;
    return true;
}

bool kit_attribute_string(const kit_node *node, const char *name, const char *fallback,
                          const char **out, kit_answer *answer) {
    const sy_attribute *a = kit_attribute_find(node, name);
    if (a != NULL && a->type != SY_ATTRIBUTE_STRING) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "attribute %s is not a string", name);
    }
    *out = a != NULL ? a->value.s : fallback;
    return true;
}

bool kit_attributes_known(const kit_node *node, const char *const *names, kit_answer *answer) {
    for (uint32_t i = 0; i < node->view.n_attributes; i++) {
        const char *name = node->view.attributes[i].name;
        bool known = false;
        for (size_t j = 0; names != NULL && names[j] != NULL && !known; j++) {
            known = strcmp(names[j], name) == 0;
        }
        if (!known) {
            return kit_no(answer, SY_REASON_ATTRIBUTE, "attribute %.48s is unknown", name);
        }
    }
    return true;
}

bool kit_dimension_same(const sy_dimension *a, const sy_dimension *b) {
    if (a->bound != b->bound || a->symbol != b->symbol) {
        return false;
    }
    return a->symbol == 0 || (a->scale == b->scale && a->offset == b->offset);
}

bool kit_shape_same(const sy_value_view *a, const sy_value_view *b) {
    bool same = a->rank == b->rank;
    for (uint32_t i = 0; same && i < a->rank; i++) {
        same = kit_dimension_same(&a->dims[i], &b->dims[i]);
    }
    return same;
}

bool kit_rows_same(const sy_value_view *a, const sy_value_view *b) {
    bool same = a->rank == b->rank && a->rank > 0;
    for (uint32_t i = 0; same && i + 1 < a->rank; i++) {
        same = kit_dimension_same(&a->dims[i], &b->dims[i]);
    }
    return same;
}

int64_t kit_width(const sy_value_view *value) {
    if (value->rank == 0 || value->rank > SY_MAX_RANK || value->dims[value->rank - 1].symbol != 0) {
        return 0;
    }
    return value->dims[value->rank - 1].bound;
}

int64_t kit_bound_count(const sy_value_view *value) {
    int64_t n = 1;
    for (uint32_t i = 0; i < value->rank; i++) {
        if (__builtin_mul_overflow(n, value->dims[i].bound, &n)) {
            return INT64_MAX;
        }
    }
    return n;
}

double kit_typical_count(const sy_graph_view *graph, const sy_value_view *value) {
    double n = 1.0;
    for (uint32_t i = 0; i < value->rank; i++) {
        int64_t size = kit_dimension_at(&value->dims[i], graph->typical, graph->n_symbols);
        n *= size >= 0 ? (double)size : (double)value->dims[i].bound;
    }
    return n;
}

int64_t kit_dimension_at(const sy_dimension *dimension, const int64_t *symbols,
                         uint32_t n_symbols) {
    if (dimension->symbol == 0) {
        return dimension->bound >= 0 ? dimension->bound : -1;
    }
    int64_t value = 0;
    if (symbols == NULL || dimension->symbol >= n_symbols ||
        __builtin_mul_overflow((int64_t)dimension->scale, symbols[dimension->symbol], &value) ||
        __builtin_add_overflow(value, dimension->offset, &value)) {
        return -1;
    }
    return value >= 0 && value <= dimension->bound ? value : -1;
}

const uint8_t *kit_weight_bytes(const sy_value_view *value) {
    if (value->kind != SY_VALUE_WEIGHT || value->data.pointer == NULL) {
        return NULL;
    }
    return (const uint8_t *)value->data.pointer + value->data.offset_bytes;
}

bool kit_require_float(const sy_value_view *value, const char *what, kit_answer *answer) {
    return kit_type_is_float(value->type) || kit_no(answer, SY_REASON_TYPE, "%s is %s, not a float",
                                                    what, kit_type_name(value->type));
}

bool kit_require_type(const sy_value_view *value, sy_element_type type, const char *what,
                      kit_answer *answer) {
    return value->type == type || kit_no(answer, SY_REASON_TYPE, "%s is %s, not %s", what,
                                         kit_type_name(value->type), kit_type_name(type));
}

bool kit_require_same_float(const sy_value_view *x, const sy_value_view *y, kit_answer *answer) {
    if (!kit_require_float(x, "the first input", answer)) {
        return false;
    }
    return x->type == y->type || kit_no(answer, SY_REASON_TYPE, "the output is %s, the input %s",
                                        kit_type_name(y->type), kit_type_name(x->type));
}

bool kit_require_weight(const sy_value_view *value, const char *what, kit_answer *answer) {
    uint64_t row_bytes = 0, n_bytes = 0;
    int64_t n = kit_bound_count(value), width = kit_width(value);
    if (kit_weight_bytes(value) == NULL) {
        return kit_no(answer, SY_REASON_MEMORY, "%s must be a constant in host memory", what);
    }
    if (width <= 0 || n == INT64_MAX ||
        !kit_type_row_bytes(value->type, (uint64_t)width, &row_bytes) ||
        __builtin_mul_overflow(row_bytes, (uint64_t)(n / width), &n_bytes) ||
        n_bytes > value->data.length_bytes) {
        return kit_no(answer, SY_REASON_SHAPE, "%s has fewer bytes than its shape needs", what);
    }
    return true;
}
