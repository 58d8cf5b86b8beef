/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes of graphs written as text, for tests of what is asked of them:
 *   operator    "Add.14", "switchyard.Linear.1": name and version
 *   values      "f32[T,8] - w:Q4_0[16,32] state:f16[64,8] i64{1,-1} f32(6)": activations, an absent
 *               one, a weight of zeros, a state, constants of rank 1 and 0; T tokens, R outputs,
 *               N pictures
 *   attributes  "num_heads=2 scale=0.5 auto_pad='VALID' pads=[0,1]"
 */
#ifndef SY_TESTS_PLUGINS_NODE_TEXT_H
#define SY_TESTS_PLUGINS_NODE_TEXT_H

#include "harness.h"
#include "operator_checks.h"
#include "tools/test_graph.h"

#define NODE_TEXT_TOKENS 64
#define NODE_TEXT_PICTURES 16
#define NODE_TEXT_BYTES 65536u

typedef struct node_text {
    const char *op, *inputs, *outputs, *attributes;
} node_text;

static inline sy_element_type node_text_type(const char *text, size_t n) {
    for (sy_element_type type = 0; type < 128; type++) {
        const char *name = kit_type_name(type);
        if (strlen(name) == n && memcmp(name, text, n) == 0) {
            return type;
        }
    }
    CHECK_TEXT(false, "no type: %s", text);
    return SY_TYPE_INVALID;
}

/* "a,b]" up to the closing character. */
static inline uint32_t node_text_numbers(const char **text, char end, int64_t *out) {
    uint32_t n = 0;
    while (**text != end) {
        char *rest = NULL;
        out[n++] = strtoll(*text, &rest, 10);
        CHECK_TEXT(rest != *text && n <= 16, "no number: %s", *text);
        *text = *rest == ',' ? rest + 1 : rest;
    }
    (*text)++;
    return n;
}

static inline uint32_t node_text_dimensions(const char **text, sy_dimension *out) {
    uint32_t n = 0;
    while (**text != ']') {
        if (**text == 'T' || **text == 'R') {
            uint32_t symbol = **text == 'T' ? SY_SYMBOL_TOKENS : SY_SYMBOL_OUTPUTS;
            out[n++] = sy_test_symbol(symbol, NODE_TEXT_TOKENS);
            (*text)++;
        } else if (**text == 'N') {
            out[n++] = sy_test_symbol(SY_SYMBOL_FIRST_FREE, NODE_TEXT_PICTURES);
            (*text)++;
        } else {
            char *rest = NULL;
            out[n++] = sy_test_fixed(strtoll(*text, &rest, 10));
            CHECK_TEXT(rest != *text, "no dimension: %s", *text);
            *text = rest;
        }
        *text += **text == ',';
    }
    (*text)++;
    return n;
}

/* A constant with the numbers, of rank 1 or 0. Its bytes live as long as the program. */
static inline uint32_t node_text_constant(sy_test_graph *graph, sy_element_type type,
                                          const char **text) {
    static uint8_t bytes[64][128];
    static uint32_t n_used;
    bool is_scalar = **text == '(';
    int64_t numbers[16];
    (*text)++;
    uint32_t n = node_text_numbers(text, is_scalar ? ')' : '}', numbers);
    uint8_t *to = bytes[n_used++ % 64];
    for (uint32_t i = 0; i < n; i++) {
        float f = (float)numbers[i];
        int32_t narrow = (int32_t)numbers[i];
        if (type == SY_TYPE_F32) {
            memcpy(to + 4 * i, &f, 4);
        } else if (type == SY_TYPE_I32) {
            memcpy(to + 4 * i, &narrow, 4);
        } else if (type == SY_TYPE_I64) {
            memcpy(to + 8 * i, &numbers[i], 8);
        } else if (type == SY_TYPE_F16 || type == SY_TYPE_BF16) {
            memcpy(to + 2 * i, &numbers[i], 2); /* the bits */
        } else {
            to[i] = (uint8_t)numbers[i];
        }
    }
    return sy_test_graph_weight(graph, "constant", type, is_scalar ? 0 : 1, (int64_t[]){(int64_t)n},
                                to, n * kit_type_block_bytes(type));
}

static inline uint32_t node_text_value(sy_test_graph *graph, const char **text) {
    static const uint8_t zeros[NODE_TEXT_BYTES];
    sy_value_kind kind = SY_VALUE_INPUT;
    sy_dimension dims[SY_MAX_RANK];
    int64_t sizes[SY_MAX_RANK];
    if (**text == '-') {
        (*text)++;
        return SY_NO_VALUE;
    }
    if (strncmp(*text, "w:", 2) == 0) {
        kind = SY_VALUE_WEIGHT;
        *text += 2;
    } else if (strncmp(*text, "state:", 6) == 0) {
        kind = SY_VALUE_STATE;
        *text += 6;
    }
    size_t n = strcspn(*text, "[{(");
    sy_element_type type = node_text_type(*text, n);
    *text += n;
    if (**text != '[') {
        return node_text_constant(graph, type, text);
    }
    (*text)++;
    uint32_t rank = node_text_dimensions(text, dims);
    for (uint32_t i = 0; i < rank; i++) {
        sizes[i] = dims[i].bound;
    }
    return kind == SY_VALUE_WEIGHT
               ? sy_test_graph_weight(graph, "weight", type, rank, sizes, zeros, sizeof(zeros))
               : sy_test_graph_value(graph, "value", kind, type, rank, dims);
}

static inline uint32_t node_text_values(sy_test_graph *graph, const char *text, uint32_t *out) {
    uint32_t n = 0;
    for (text += strspn(text, " "); *text != '\0'; text += strspn(text, " ")) {
        out[n++] = node_text_value(graph, &text);
    }
    return n;
}

static inline void node_text_attributes(sy_test_graph *graph, uint32_t i_node, const char *text) {
    char name[32];
    for (text += strspn(text, " "); *text != '\0'; text += strspn(text, " ")) {
        size_t n = strcspn(text, "=");
        CHECK_TEXT(n < sizeof(name) && text[n] == '=', "no attribute: %s", text);
        snprintf(name, sizeof(name), "%.*s", (int)n, text);
        text += n + 1;
        if (*text == '\'') {
            char string[32];
            n = strcspn(text + 1, "'");
            snprintf(string, sizeof(string), "%.*s", (int)n, text + 1);
            sy_test_graph_string(graph, i_node, name, string);
            text += n + 2;
        } else if (*text == '[') {
            int64_t numbers[16];
            text++;
            n = node_text_numbers(&text, ']', numbers);
            sy_test_graph_ints(graph, i_node, name, numbers, (uint32_t)n);
        } else {
            n = strcspn(text, " ");
            if (memchr(text, '.', n) != NULL) {
                sy_test_graph_float(graph, i_node, name, strtod(text, NULL));
            } else {
                sy_test_graph_int(graph, i_node, name, strtoll(text, NULL, 10));
            }
            text += n;
        }
    }
}

/* The graph is made here and freed by the caller. */
static inline void node_text_read(const node_text *text, sy_test_graph *graph, kit_node *out) {
    char name[48];
    uint32_t inputs[16], outputs[16];
    sy_error error;
    bool fits = false, is_ours = strncmp(text->op, "switchyard.", 11) == 0;
    const char *op = text->op + (is_ours ? 11 : 0), *dot = strchr(op, '.');
    CHECK_TEXT(dot != NULL, "no version: %s", text->op);
    snprintf(name, sizeof(name), "%.*s", (int)(dot - op), op);
    sy_test_graph_init(graph);
    uint32_t n_in = node_text_values(graph, text->inputs, inputs);
    uint32_t n_out = node_text_values(graph, text->outputs, outputs);
    uint32_t i_node =
        sy_test_graph_node(graph, is_ours ? "switchyard" : "", name,
                           (uint32_t)strtoul(dot + 1, NULL, 10), n_in, inputs, n_out, outputs);
    node_text_attributes(graph, i_node, text->attributes);
    CHECK_OK_ERROR(sy_test_graph_finish(graph, &error), error);
    CHECK_OK(kit_node_read(&graph->view, i_node, out, &fits));
    CHECK(fits);
}

#endif
