/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AltUp (Gemma 3n, arXiv 2301.13310): the residual stream is n_altup rows a token, [T, n, n_embd].
 * A layer predicts all rows from all rows, computes one of them, and corrects the others by what it
 * found. Coefficients come from the row itself, through a small router.
 */
#include "arch/builder.h"

#include <math.h>

static uint32_t node2(sy__builder *b, const char *name, const char *op, uint32_t version,
                      uint32_t x, uint32_t y) {
    return sy__emit_node(
        b, name, &(sy__operation){.op = op, .version = version, .n_inputs = 2, .inputs = {x, y}});
}

static uint32_t node1(sy__builder *b, const char *name, const char *op, uint32_t version,
                      uint32_t x) {
    return sy__emit_node(
        b, name, &(sy__operation){.op = op, .version = version, .n_inputs = 1, .inputs = {x}});
}

/* A constant of rank 2: 1 where column == row - shift, else 0. */
static uint32_t selection(sy__builder *b, int64_t n_rows, int64_t n_columns, int64_t shift) {
    float numbers[SY__ALTUP_MOST * SY__ALTUP_MOST] = {0};
    const int64_t shape[2] = {n_rows, n_columns};
    for (int64_t i = shift; i < n_rows && i - shift < n_columns; i++) {
        numbers[i * n_columns + i - shift] = 1.0f;
    }
    uint32_t flat = sy__emit_floats(b, "selection", numbers, (uint32_t)(n_rows * n_columns));
    return sy__emit_reshape(b, "selection", flat, shape, 2);
}

/* [T, n_embd] as a row among rows, and back. */
static uint32_t as_row(sy__builder *b, const char *name, uint32_t x) {
    const int64_t shape[3] = {0, 1, b->architecture->n_embd};
    return sy__emit_reshape(b, name, x, shape, 3);
}

static uint32_t row_of(sy__builder *b, const char *name, uint32_t rows, int64_t first) {
    const int64_t shape[2] = {0, b->architecture->n_embd};
    return sy__emit_reshape(b, name, sy__emit_slice(b, name, rows, first, 1), shape, 2);
}

/* Mean along the last dimension, which stays as 1. */
static uint32_t mean(sy__builder *b, const char *name, uint32_t x, uint32_t width) {
    const int64_t shape[2] = {width, 1};
    float *parts = sy__arena_alloc(&b->model->constants, width, sizeof(float));
    if (parts == NULL) {
        sy__builder_fail(b, SY_RESOURCE_EXHAUSTED, "no memory for a mean");
        return x;
    }
    for (uint32_t i = 0; i < width; i++) {
        parts[i] = 1.0f / (float)width;
    }
    uint32_t flat = sy__emit_floats(b, "mean", parts, width);
    return node2(b, name, "MatMul", 13, x, sy__emit_reshape(b, "mean", flat, shape, 2));
}

static uint32_t mean_square(sy__builder *b, const char *name, uint32_t x, uint32_t width) {
    return mean(b, name, node2(b, name, "Mul", 14, x, x), width);
}

/* x as long as a row whose mean square is `like`; x is not taken for shorter than 1e-5. */
static uint32_t resized(sy__builder *b, const char *name, uint32_t x, uint32_t like) {
    uint32_t square = mean_square(b, name, x, b->architecture->n_embd);
    square = node1(b, name, "Relu", 14, sy__emit_scalar(b, "Sub", name, square, 1e-5f));
    square = sy__emit_scalar(b, "Add", name, square, 1e-5f);
    x = node2(b, name, "Mul", 14, x, node1(b, name, "Sqrt", 13, like));
    return node2(b, name, "Div", 14, x, node1(b, name, "Sqrt", 13, square));
}

uint32_t sy__emit_altup_split(sy__builder *b, uint32_t x) {
    const sy__architecture *a = b->architecture;
    int64_t n = a->n_altup;
    const int64_t rows[3] = {0, n - 1, a->n_embd}, one[3] = {0, 1, 1};
    uint32_t like =
        sy__emit_reshape(b, "altup_like", mean_square(b, "altup_like", x, a->n_embd), one, 3);
    uint32_t w = sy__emit_flat_stack(b, SY__ROLE_ALTUP_SPLIT);
    uint32_t others =
        sy__emit_reshape(b, "altup_others", node2(b, "altup_others", "Linear", 0, x, w), rows, 3);
    others = resized(b, "altup_others", others, like);
    uint32_t first =
        node2(b, "altup_first", "Mul", 14, as_row(b, "altup_first", x), selection(b, n, 1, 0));
    others = node2(b, "altup_others", "MatMul", 13, selection(b, n, n - 1, 1), others);
    return sy__emit_add(b, "altup_rows", first, others);
}

/* tanh(router(norm(x) / n_embd)), [T, n_altup] */
static uint32_t modalities(sy__builder *b, uint32_t i_layer, uint32_t x) {
    x = sy__emit_norm(b, "altup_router_norm", x, SY__ROLE_ALTUP_ROUTER_NORM, i_layer);
    x = sy__emit_scalar(b, "Mul", "altup_router_scaled", x, 1.0f / (float)b->architecture->n_embd);
    x = sy__emit_product(b, "altup_router", x, SY__ROLE_ALTUP_ROUTER, i_layer, 0, 0);
    return node1(b, "altup_modalities", "Tanh", 13, x);
}

uint32_t sy__emit_altup_predict(sy__builder *b, uint32_t i_layer, uint32_t rows,
                                uint32_t *out_active) {
    const sy__architecture *a = b->architecture;
    int64_t n = a->n_altup;
    const int64_t square[3] = {0, n, n};
    uint32_t active = row_of(b, "altup_active", rows, a->i_altup);
    uint32_t coefficients = sy__emit_product(b, "altup_predict", modalities(b, i_layer, active),
                                             SY__ROLE_ALTUP_PREDICT, i_layer, 0, 0);
    coefficients = sy__emit_reshape(b, "altup_predict", coefficients, square, 3);
    uint32_t moved = node2(b, "altup_moved", "MatMul", 13, coefficients, rows);
    rows = sy__emit_add(b, "altup_predicted", moved, rows);
    *out_active = row_of(b, "altup_predicted_active", rows, a->i_altup);
    return rows;
}

uint32_t sy__emit_altup_correct(sy__builder *b, uint32_t i_layer, uint32_t rows, uint32_t active,
                                uint32_t found) {
    const sy__architecture *a = b->architecture;
    int64_t n = a->n_altup;
    const int64_t column[3] = {0, n, 1};
    uint32_t news = node2(b, "altup_innovation", "Sub", 14, found, active);
    uint32_t coefficients = sy__emit_product(b, "altup_correct", modalities(b, i_layer, found),
                                             SY__ROLE_ALTUP_CORRECT, i_layer, 0, 0);
    coefficients = sy__emit_scalar(b, "Add", "altup_correct", coefficients, 1.0f);
    coefficients = sy__emit_reshape(b, "altup_correct", coefficients, column, 3);
    news =
        node2(b, "altup_correction", "Mul", 14, as_row(b, "altup_innovation", news), coefficients);
    rows = sy__emit_add(b, "altup_corrected", news, rows);
    uint32_t first = row_of(b, "altup_corrected_active", rows, a->i_altup);
    uint32_t scale = sy__emit_vector(b, SY__ROLE_ALTUP_SCALE, i_layer, SY__PART_WEIGHT, 0, 0);
    first = sy__emit_layer_input(b, i_layer, node2(b, "altup_scaled", "Mul", 14, first, scale));
    float others[SY__ALTUP_MOST] = {0};
    for (int64_t i = 1; i < n; i++) {
        others[i] = 1.0f;
    }
    const int64_t shape[2] = {n, 1};
    uint32_t mask =
        sy__emit_reshape(b, "others", sy__emit_floats(b, "others", others, (uint32_t)n), shape, 2);
    first = node2(b, "altup_input", "Mul", 14, as_row(b, "altup_input", first), mask);
    return sy__emit_add(b, "altup_rows", rows, first);
}

uint32_t sy__emit_altup_join(sy__builder *b, uint32_t rows) {
    const sy__architecture *a = b->architecture;
    uint32_t sum = row_of(b, "altup_first", rows, 0);
    uint32_t like = mean_square(b, "altup_like", sum, a->n_embd);
    for (uint32_t i = 1; i < a->n_altup; i++) {
        uint32_t w = sy__emit_matrix_of_stack(b, SY__ROLE_ALTUP_JOIN, i - 1);
        uint32_t y = node2(b, "altup_unembd", "Linear", 0, row_of(b, "altup_other", rows, i), w);
        sum = sy__emit_add(b, "altup_sum", sum, resized(b, "altup_unembd", y, like));
    }
    return sy__emit_scalar(b, "Mul", "altup_mean", sum, 1.0f / (float)a->n_altup);
}

uint32_t sy__emit_laurel(sy__builder *b, uint32_t i_layer, uint32_t x) {
    uint32_t y = sy__emit_product(b, "laurel_l", x, SY__ROLE_LAUREL_LEFT, i_layer, 0, 0);
    y = sy__emit_product(b, "laurel_r", y, SY__ROLE_LAUREL_RIGHT, i_layer, 0, 0);
    y = sy__emit_norm(b, "laurel_norm", y, SY__ROLE_LAUREL_NORM, i_layer);
    return sy__emit_add(b, "laurel", y, x);
}

uint32_t sy__emit_sparse_gate(sy__builder *b, uint32_t i_layer, uint32_t gate) {
    const sy__layer *layer = &b->architecture->layers[i_layer];
    uint32_t middle = mean(b, "ffn_gate_mean", gate, layer->n_ff);
    uint32_t apart = node2(b, "ffn_gate_apart", "Sub", 14, gate, middle);
    uint32_t deviation =
        node1(b, "ffn_gate_std", "Sqrt", 13, mean_square(b, "ffn_gate_std", apart, layer->n_ff));
    deviation = sy__emit_scalar(b, "Mul", "ffn_gate_cut", deviation, layer->sparsity);
    return node1(b, "ffn_gate_sparse", "Relu", 14,
                 node2(b, "ffn_gate_above", "Sub", 14, apart, deviation));
}
