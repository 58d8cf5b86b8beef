/* SPDX-License-Identifier: Apache-2.0 */
/* Prints a graph as text, JSON or DOT. */
#include "base/text.h"
#include "graph/graph_internal.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <string.h>

static const char *const kind_names[] = {"activation", "input", "weight", "state", "output"};

static void print_attribute(sy__text *text, const sy_attribute *attribute) {
    sy__text_printf(text, "%s=", attribute->name);
    switch (attribute->type) {
    case SY_ATTRIBUTE_INT:
        sy__text_printf(text, "%" PRId64, attribute->value.i);
        break;
    case SY_ATTRIBUTE_FLOAT:
        sy__text_printf(text, "%.9g", attribute->value.f);
        break;
    case SY_ATTRIBUTE_STRING:
        sy__text_puts(text, attribute->value.s);
        break;
    default:
        sy__text_puts(text, "[");
        for (uint32_t i = 0; i < attribute->count; i++) {
            sy__text_puts(text, i > 0 ? "," : "");
            if (attribute->type == SY_ATTRIBUTE_INTS) {
                sy__text_printf(text, "%" PRId64, attribute->value.ints[i]);
            } else {
                sy__text_printf(text, "%.9g", attribute->value.floats[i]);
            }
        }
        sy__text_puts(text, "]");
    }
}

static void print_operator(sy__text *text, const sy_node_view *node) {
    if (node->domain[0] != '\0') {
        sy__text_printf(text, "%s.", node->domain);
    }
    sy__text_puts(text, node->op);
}

static void print_value_text(sy__text *text, const sy_value_view *value) {
    char shape[256];
    sy__shape_text(value, shape, sizeof(shape));
    sy__text_printf(text, "%%%s: %s %s", value->name, sy_type_get(value->type)->name, shape);
}

static void print_text(const sy_graph *graph, sy__text *text) {
    sy__text_printf(text, "graph %s\n", graph->name);
    for (size_t i = 0; i < graph->n_values; i++) {
        const sy_value_view *value = &graph->values[i].view;
        if (graph->values[i].producer == SY_NO_VALUE) {
            sy__text_printf(text, "  %s ", kind_names[value->kind]);
            print_value_text(text, value);
            sy__text_puts(text, "\n");
        }
    }
    for (size_t i = 0; i < graph->n_nodes; i++) {
        const sy_node_view *node = &graph->nodes[i].view;
        sy__text_printf(text, "  %zu: ", i);
        for (uint32_t k = 0; k < node->n_outputs; k++) {
            const sy_value_view *value = &graph->values[node->outputs[k]].view;
            sy__text_puts(text, k > 0 ? ", " : "");
            print_value_text(text, value);
            sy__text_puts(text, value->kind == SY_VALUE_OUTPUT ? " (output)" : "");
        }
        sy__text_puts(text, " = ");
        print_operator(text, node);
        sy__text_puts(text, "(");
        for (uint32_t k = 0; k < node->n_inputs; k++) {
            const sy_value_view *input = sy__input(graph, node, k);
            sy__text_printf(text, "%s%s%s", k > 0 ? ", " : "", input != NULL ? "%" : "",
                            input != NULL ? input->name : "-");
        }
        sy__text_puts(text, ")");
        for (uint32_t k = 0; k < node->n_attributes; k++) {
            sy__text_puts(text, k > 0 ? ", " : " {");
            print_attribute(text, &node->attributes[k]);
        }
        sy__text_puts(text, node->n_attributes > 0 ? "}\n" : "\n");
    }
}

static void json_list(sy__json *json, const char *key, const uint32_t *list, uint32_t n) {
    sy__json_key(json, key);
    sy__json_begin_array(json);
    for (uint32_t i = 0; i < n; i++) {
        sy__json_i64(json, list[i] == SY_NO_VALUE ? -1 : (int64_t)list[i]);
    }
    sy__json_end_array(json);
}

static void json_attribute(sy__json *json, const sy_attribute *attribute) {
    sy__json_key(json, attribute->name);
    switch (attribute->type) {
    case SY_ATTRIBUTE_INT:
        sy__json_i64(json, attribute->value.i);
        return;
    case SY_ATTRIBUTE_FLOAT:
        sy__json_f64(json, attribute->value.f);
        return;
    case SY_ATTRIBUTE_STRING:
        sy__json_string(json, attribute->value.s);
        return;
    default:
        sy__json_begin_array(json);
        for (uint32_t i = 0; i < attribute->count; i++) {
            if (attribute->type == SY_ATTRIBUTE_INTS) {
                sy__json_i64(json, attribute->value.ints[i]);
            } else {
                sy__json_f64(json, attribute->value.floats[i]);
            }
        }
        sy__json_end_array(json);
    }
}

static void json_values(const sy_graph *graph, sy__json *json) {
    sy__json_key(json, "values");
    sy__json_begin_array(json);
    for (size_t i = 0; i < graph->n_values; i++) {
        const sy_value_view *value = &graph->values[i].view;
        char shape[256];
        sy__shape_text(value, shape, sizeof(shape));
        sy__json_begin_object(json);
        sy__json_key(json, "name");
        sy__json_string(json, value->name);
        sy__json_key(json, "kind");
        sy__json_string(json, kind_names[value->kind]);
        sy__json_key(json, "type");
        sy__json_string(json, sy_type_get(value->type)->name);
        sy__json_key(json, "shape");
        sy__json_string(json, shape);
        sy__json_key(json, "bytes_max");
        sy__json_u64(json, value->data.length_bytes);
        sy__json_end_object(json);
    }
    sy__json_end_array(json);
}

static void print_json(const sy_graph *graph, sy__text *text) {
    sy__json json;
    sy__json_init(&json, text, true);
    sy__json_begin_object(&json);
    sy__json_key(&json, "graph");
    sy__json_string(&json, graph->name);
    json_values(graph, &json);
    sy__json_key(&json, "nodes");
    sy__json_begin_array(&json);
    for (size_t i = 0; i < graph->n_nodes; i++) {
        const sy_node_view *node = &graph->nodes[i].view;
        sy__json_begin_object(&json);
        sy__json_key(&json, "name");
        sy__json_string(&json, node->name);
        sy__json_key(&json, "domain");
        sy__json_string(&json, node->domain);
        sy__json_key(&json, "op");
        sy__json_string(&json, node->op);
        json_list(&json, "inputs", node->inputs, node->n_inputs);
        json_list(&json, "outputs", node->outputs, node->n_outputs);
        sy__json_key(&json, "attributes");
        sy__json_begin_object(&json);
        for (uint32_t k = 0; k < node->n_attributes; k++) {
            json_attribute(&json, &node->attributes[k]);
        }
        sy__json_end_object(&json);
        sy__json_end_object(&json);
    }
    sy__json_end_array(&json);
    sy__json_end_object(&json);
    sy__text_puts(text, "\n");
}

/* DOT strings: quotes and backslashes are escaped. */
static void dot_name(sy__text *text, const char *name) {
    for (; *name != '\0'; name++) {
        if (*name == '"' || *name == '\\') {
            sy__text_append(text, "\\", 1);
        }
        sy__text_append(text, name, 1);
    }
}

static void print_dot(const sy_graph *graph, sy__text *text) {
    sy__text_puts(text, "digraph \"");
    dot_name(text, graph->name);
    sy__text_puts(text, "\" {\n  node [shape=box, fontsize=10];\n");
    for (size_t i = 0; i < graph->n_nodes; i++) {
        const sy_node_view *node = &graph->nodes[i].view;
        sy__text_printf(text, "  n%zu [label=\"", i);
        print_operator(text, node);
        sy__text_puts(text, "\\n");
        dot_name(text, node->name);
        sy__text_puts(text, "\"];\n");
        for (uint32_t k = 0; k < node->n_inputs; k++) {
            uint32_t i_value = node->inputs[k];
            if (i_value == SY_NO_VALUE || graph->values[i_value].view.kind == SY_VALUE_WEIGHT) {
                continue;
            }
            if (graph->values[i_value].producer != SY_NO_VALUE) {
                sy__text_printf(text, "  n%" PRIu32 " -> n%zu;\n", graph->values[i_value].producer,
                                i);
            } else {
                sy__text_printf(text, "  v%" PRIu32 " [shape=ellipse, label=\"", i_value);
                dot_name(text, graph->values[i_value].view.name);
                sy__text_printf(text, "\"];\n  v%" PRIu32 " -> n%zu;\n", i_value, i);
            }
        }
    }
    sy__text_puts(text, "}\n");
}

sy_status sy_graph_print(const sy_graph *graph, sy_graph_format format,
                         const sy_allocator *allocator, char **out_text, sy_error *error) {
    sy__text text;
    sy__text_init(&text, sy__allocator_or_heap(allocator), 0);
    switch (format) {
    case SY_GRAPH_TEXT:
        print_text(graph, &text);
        break;
    case SY_GRAPH_JSON:
        print_json(graph, &text);
        break;
    case SY_GRAPH_DOT:
        print_dot(graph, &text);
        break;
    default:
        sy__text_deinit(&text);
        return sy_error_set(error, SY_INVALID_ARGUMENT, "Graph format %d is unknown.", (int)format);
    }
    return sy__text_take(&text, out_text, error);
}
