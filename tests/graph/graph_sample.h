/* SPDX-License-Identifier: Apache-2.0 */
/* Short calls that build small graphs for tests of core/graph, core/passes and core/exec. */
#ifndef SY_TESTS_GRAPH_SAMPLE_H
#define SY_TESTS_GRAPH_SAMPLE_H

#include "harness.h"
#include "switchyard/graph.h"

typedef struct sample {
    sy_graph *graph;
    sy_error error;
} sample;

static inline sample sample_new(int64_t n_tokens_max) {
    sample s = {NULL, {0}};
    CHECK_OK_ERROR(sy_graph_create(NULL, "sample", &s.graph, &s.error), s.error);
    CHECK_OK_ERROR(sy_graph_set_bound(s.graph, SY_SYMBOL_TOKENS, n_tokens_max, &s.error), s.error);
    return s;
}

/* INPUT [T, width] f32. */
static inline uint32_t sample_input(sample *s, const char *name, int64_t width) {
    uint32_t value = 0;
    sy_value_view view = {.name = name, .kind = SY_VALUE_INPUT, .type = SY_TYPE_F32, .rank = 2};
    view.dims[0] = (sy_dimension){.symbol = SY_SYMBOL_TOKENS, .scale = 1};
    view.dims[1].bound = width;
    CHECK_OK_ERROR(sy_graph_add_value(s->graph, &view, &value, &s->error), s->error);
    return value;
}

/* WEIGHT f32 of up to two dimensions; columns 0 means a vector. */
static inline uint32_t sample_weight(sample *s, const char *name, const float *data, int64_t rows,
                                     int64_t columns) {
    uint32_t value = 0;
    sy_value_view view = {.name = name, .kind = SY_VALUE_WEIGHT, .type = SY_TYPE_F32};
    view.dims[view.rank++].bound = rows;
    if (columns > 0) {
        view.dims[view.rank++].bound = columns;
    }
    size_t n = (size_t)(rows * (columns > 0 ? columns : 1));
    view.data.length_bytes = n * sizeof(float);
    memcpy(&view.data.pointer, &data, sizeof(data)); /* weights are read-only by contract */
    CHECK_OK_ERROR(sy_graph_add_value(s->graph, &view, &value, &s->error), s->error);
    return value;
}

static inline sy_status sample_try(sample *s, const char *domain, const char *op, const char *name,
                                   const uint32_t *inputs, uint32_t n_inputs,
                                   const sy_attribute *attribute, uint32_t *out_values) {
    sy_node_view node = {.domain = domain,
                         .op = op,
                         .version = domain[0] != '\0' ? 1 : 14,
                         .n_inputs = n_inputs,
                         .n_outputs = 1,
                         .n_attributes = attribute != NULL,
                         .inputs = inputs,
                         .attributes = attribute,
                         .name = name};
    return sy_graph_add_node(s->graph, &node, out_values, &s->error);
}

static inline uint32_t sample_node(sample *s, const char *domain, const char *op, const char *name,
                                   const uint32_t *inputs, uint32_t n_inputs,
                                   const sy_attribute *attribute) {
    uint32_t value = 0;
    CHECK_OK_ERROR(sample_try(s, domain, op, name, inputs, n_inputs, attribute, &value), s->error);
    return value;
}

#define SAMPLE_INPUTS(...)           \
    (const uint32_t[]){__VA_ARGS__}, \
        (uint32_t)(sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* Index of the only node with an operator, or SY_NO_VALUE; counts them into *out_n. */
static inline uint32_t sample_find(const sample *s, const char *op, uint32_t *out_n) {
    uint32_t found = SY_NO_VALUE;
    *out_n = 0;
    for (uint32_t i = 0; i < sy_graph_n_nodes(s->graph); i++) {
        sy_node_view node;
        CHECK_OK(sy_graph_node(s->graph, i, &node));
        if (strcmp(node.op, op) == 0) {
            found = i;
            ++*out_n;
        }
    }
    return found;
}

#endif
