/* SPDX-License-Identifier: Apache-2.0 */
/* What importance matrices are made of: beside the products of a model stand nodes that sum the
 * squares of each column of what the products read, if the engine is to measure at all. They are
 * ordinary operators and run under any plan; a graph that does not measure has none of them. */
#include "arch/builder.h"

#include <stdio.h>
#include <string.h>

/* A node named by the observation, not by the layer: it is looked up by name after the passes. */
static uint32_t node(sy__builder *b, const char *what, const sy__operation *operation) {
    char saved[sizeof(b->prefix)], name[64];
    memcpy(saved, b->prefix, sizeof(saved));
    b->prefix[0] = '\0';
    snprintf(name, sizeof(name), "observed.%u.%s", b->model->n_observed, what);
    uint32_t value = sy__emit_node(b, name, operation);
    memcpy(b->prefix, saved, sizeof(saved));
    return value;
}

static uint32_t node2(sy__builder *b, const char *what, const char *op, uint32_t version,
                      uint32_t x, uint32_t y) {
    return node(b, what,
                &(sy__operation){.op = op, .version = version, .n_inputs = 2, .inputs = {x, y}});
}

static uint32_t reshaped(sy__builder *b, const char *what, uint32_t x, int64_t first,
                         int64_t second) {
    const int64_t shape[2] = {first, second};
    return node2(b, what, "Reshape", 14, x, sy__emit_ints(b, "shape", shape, 2));
}

static uint32_t summed(sy__builder *b, const char *what, uint32_t x, const int64_t *axes,
                       uint32_t n_axes) {
    return node(b, what,
                &(sy__operation){.op = "ReduceSum",
                                 .version = 13,
                                 .n_inputs = 2,
                                 .inputs = {x, sy__emit_ints(b, "axes", axes, n_axes)},
                                 .n_attributes = 1,
                                 .attributes = {sy__int_attribute("keepdims", 0)}});
}

/* [1, T] ones: the softmax over a single column, of any x. A product with them sums over the rows
 * of a step on every delegate that multiplies. */
static uint32_t ones(sy__builder *b, uint32_t x) {
    if (b->observed_ones == SY_NO_VALUE) {
        x = sy__emit_slice(b, "observed.column", x, 0, 1);
        x = node(b, "ones",
                 &(sy__operation){.op = "Softmax",
                                  .version = 13,
                                  .n_inputs = 1,
                                  .inputs = {x},
                                  .n_attributes = 1,
                                  .attributes = {sy__int_attribute("axis", -1)}});
        b->observed_ones = reshaped(b, "row", x, 1, -1);
    }
    return b->observed_ones;
}

/* Row i of [E, E] is 1 at i. */
static uint32_t identity(sy__builder *b, uint32_t n) {
    if (b->observed_identity == SY_NO_VALUE && b->status == SY_OK) {
        float *numbers = sy__arena_alloc(&b->model->constants, (size_t)n * n, sizeof(float));
        if (numbers == NULL) {
            b->status =
                sy__no_memory(b->error, (uint64_t)n * n * sizeof(float), "observed experts");
            return 0;
        }
        for (size_t i = 0; i < n; i++) {
            numbers[i * n + i] = 1.0f;
        }
        b->observed_identity =
            reshaped(b, "identity", sy__emit_floats(b, "identity", numbers, n * n), n, n);
    }
    return b->observed_identity;
}

/* Sums over the rows that went to each expert, [E, K], and how many those were, [E]. chosen:
 * [E, T, U], 1 where choice u of row t is expert e. */
static void observe_experts(sy__builder *b, sy__observed *out, uint32_t squares, uint32_t rank,
                            uint32_t experts) {
    static const int64_t turn[3] = {2, 0, 1}, of_choices[1] = {2}, of_rows[2] = {1, 2};
    sy_attribute perm = {.name = "perm", .type = SY_ATTRIBUTE_INTS, .count = 3};
    perm.value.ints = turn;
    uint32_t chosen =
        node2(b, "onehot", "Gather", 13, identity(b, (uint32_t)out->n_matrices), experts);
    chosen = node(b, "chosen",
                  &(sy__operation){.op = "Transpose",
                                   .version = 13,
                                   .n_inputs = 1,
                                   .inputs = {chosen},
                                   .n_attributes = 1,
                                   .attributes = {perm}});
    out->counts = summed(b, "counts", chosen, of_rows, 2);
    if (rank == 2) { /* a row for all choices */
        chosen = summed(b, "rows", chosen, of_choices, 1);
    } else {
        chosen = reshaped(b, "rows", chosen, (int64_t)out->n_matrices, -1);
        squares = reshaped(b, "flat", squares, -1, (int64_t)out->n_columns);
    }
    out->sums = node2(b, "sums", "MatMul", 13, chosen, squares);
}

static void mark(sy__builder *b, uint32_t value) {
    if (b->status == SY_OK && value != SY_NO_VALUE) {
        b->status = sy_graph_mark_output(b->model->graph, value, b->error);
    }
}

/* The newest observation of the same rows, for any product or for that with one tensor. */
static const sy__observed *same_rows(const sy__model_graph *model, const sy__observed *observed,
                                     bool and_tensor) {
    for (uint32_t i = model->n_observed; i-- > 0;) {
        const sy__observed *other = &model->observed[i];
        if (other->x == observed->x && other->experts == observed->experts &&
            (!and_tensor || strcmp(other->tensor, observed->tensor) == 0)) {
            return other;
        }
    }
    return NULL;
}

static sy__observed *add(sy__builder *b) {
    sy__model_graph *model = b->model;
    void *list = model->observed;
    if (!sy__grow_array(model->constants.allocator, &list, &model->observed_capacity,
                        model->n_observed + 1u, sizeof(sy__observed))) {
        b->status = sy__no_memory(b->error, sizeof(sy__observed), "observed products");
        return NULL;
    }
    model->observed = list;
    return &model->observed[model->n_observed];
}

void sy__emit_observation(sy__builder *b, uint32_t x, uint32_t experts, sy__role role,
                          uint32_t i_layer) {
    sy__model_graph *model = b->model;
    sy_gguf_tensor tensor;
    sy_value_view rows;
    if (!b->options->observe || b->status != SY_OK ||
        !sy__architecture_tensor(b->architecture, role, i_layer, SY__PART_WEIGHT, &tensor) ||
        sy_graph_value(model->graph, x, &rows) != SY_OK) {
        return;
    }
    sy__observed *observed = add(b);
    if (observed == NULL) {
        return;
    }
    *observed = (sy__observed){.x = x,
                               .experts = experts,
                               .i_first = model->n_observed,
                               .n_columns = tensor.dims[0],
                               .n_matrices = experts != SY_NO_VALUE ? tensor.dims[2] : 1,
                               .counts = SY_NO_VALUE};
    snprintf(observed->tensor, sizeof(observed->tensor), "%.*s", (int)tensor.name.n_bytes,
             tensor.name.bytes);
    if (same_rows(model, observed, true) != NULL) {
        return; /* a part of a matrix whose other parts read the same */
    }
    const sy__observed *same = same_rows(model, observed, false);
    if (same != NULL) {
        observed->i_first = same->i_first;
        observed->sums = same->sums;
        observed->counts = same->counts;
    } else {
        uint32_t squares = node2(b, "squares", "Mul", 14, x, x);
        if (experts != SY_NO_VALUE) {
            observe_experts(b, observed, squares, rows.rank, experts);
        } else {
            observed->sums = node2(b, "sums", "MatMul", 13, ones(b, x), squares);
        }
        mark(b, observed->sums);
        mark(b, observed->counts);
    }
    model->n_observed++;
}

bool sy__observed_find(sy__model_graph *model) {
    bool found = true;
    for (uint32_t i = 0; i < model->n_observed; i++) {
        sy__observed *observed = &model->observed[i];
        char name[64];
        snprintf(name, sizeof(name), "observed.%u.sums", observed->i_first);
        observed->sums = sy_graph_find_value(model->graph, name);
        found = found && observed->sums != SY_NO_VALUE;
        if (observed->experts != SY_NO_VALUE) {
            snprintf(name, sizeof(name), "observed.%u.counts", observed->i_first);
            observed->counts = sy_graph_find_value(model->graph, name);
            found = found && observed->counts != SY_NO_VALUE;
        }
    }
    return found;
}
