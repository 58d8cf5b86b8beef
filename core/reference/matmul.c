/* SPDX-License-Identifier: Apache-2.0 */
/* MatMul and Gemm over strided matrices: a task computes one tile of one product in f64. */
#include "reference/element.h"
#include "reference/operators.h"

#include <string.h>

#define TILE_ROWS 8
#define TILE_COLUMNS 256

/* Where an element lies: base + row * row_stride + column * column_stride. */
typedef struct matrix {
    const sy__tensor *tensor;
    int64_t row_stride, column_stride;
} matrix;

typedef struct product {
    const sy__call *call;
    matrix a, b, c; /* c.tensor NULL: nothing is added */
    int64_t m, n, k;
    double alpha, beta;
    sy__shape batch;
    int64_t a_strides[SY_MAX_RANK], b_strides[SY_MAX_RANK]; /* of the batch dimensions */
} product;

static int64_t tiles(int64_t n, int64_t tile) {
    return (n + tile - 1) / tile;
}

/* Offsets of the matrices of one product in a batch. */
static void batch_bases(const product *p, int64_t i_batch, int64_t *out_a, int64_t *out_b) {
    *out_a = 0;
    *out_b = 0;
    for (uint32_t d = p->batch.rank; d-- > 0;) {
        int64_t index = i_batch % p->batch.dims[d];
        i_batch /= p->batch.dims[d];
        *out_a += index * p->a_strides[d];
        *out_b += index * p->b_strides[d];
    }
}

static void store_row(const product *p, int64_t base, int64_t row, int64_t column, int64_t n,
                      double *sums) {
    double added[TILE_COLUMNS];
    for (int64_t j = 0; j < n; j++) {
        sums[j] *= p->alpha;
    }
    if (p->c.tensor != NULL && p->beta != 0.0) {
        sy__ref_get_f64(p->c.tensor, row * p->c.row_stride + column * p->c.column_stride,
                        p->c.column_stride, n, added);
        for (int64_t j = 0; j < n; j++) {
            sums[j] += p->beta * added[j];
        }
    }
    sy__ref_put_f64(p->call->outputs[0], base + row * p->n + column, n, sums);
}

static void product_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const product *p = argument;
    (void)i_worker;
    double sums[TILE_ROWS][TILE_COLUMNS], a[TILE_ROWS], b[TILE_COLUMNS];
    int64_t n_across = tiles(p->n, TILE_COLUMNS);
    int64_t n_tiles = n_across * tiles(p->m, TILE_ROWS);
    int64_t i_batch = i_task / n_tiles;
    int64_t row = i_task % n_tiles / n_across * TILE_ROWS;
    int64_t column = i_task % n_tiles % n_across * TILE_COLUMNS;
    int64_t n_rows = p->m - row < TILE_ROWS ? p->m - row : TILE_ROWS;
    int64_t n_columns = p->n - column < TILE_COLUMNS ? p->n - column : TILE_COLUMNS;
    int64_t a_base = 0, b_base = 0;
    batch_bases(p, i_batch, &a_base, &b_base);
    memset(sums, 0, sizeof(sums));
    for (int64_t k = 0; k < p->k; k++) {
        sy__ref_get_f64(p->a.tensor, a_base + row * p->a.row_stride + k * p->a.column_stride,
                        p->a.row_stride, n_rows, a);
        sy__ref_get_f64(p->b.tensor, b_base + k * p->b.row_stride + column * p->b.column_stride,
                        p->b.column_stride, n_columns, b);
        for (int64_t i = 0; i < n_rows; i++) {
            for (int64_t j = 0; j < n_columns; j++) {
                sums[i][j] += a[i] * b[j];
            }
        }
    }
    for (int64_t i = 0; i < n_rows; i++) {
        store_row(p, i_batch * p->m * p->n, row + i, column, n_columns, sums[i]);
    }
}

static sy_status run_product(const sy__call *call, product *p) {
    uint64_t n_tiles = (uint64_t)(tiles(p->m, TILE_ROWS) * tiles(p->n, TILE_COLUMNS));
    return sy__ref_parallel(call, product_task, p,
                            (uint64_t)sy__ref_shape_count(&p->batch) * n_tiles);
}

SY__PREPARE(matmul) {
    return sy__ref_require_all_float(facts);
}

/* numpy: a vector is a row on the left and a column on the right. */
static sy__shape as_matrix(const sy__shape *shape, bool is_left) {
    sy__shape matrix_shape = *shape;
    if (shape->rank == 1) {
        matrix_shape.rank = 2;
        matrix_shape.dims[0] = is_left ? 1 : shape->dims[0];
        matrix_shape.dims[1] = is_left ? shape->dims[0] : 1;
    }
    return matrix_shape;
}

static sy__shape batch_part(const sy__shape *shape) {
    sy__shape batch = *shape;
    batch.rank -= 2;
    return batch;
}

SY__INFER(matmul) {
    (void)params;
    (void)n_inputs;
    (void)n_outputs;
    const sy__shape *left = &inputs[0]->shape, *right = &inputs[1]->shape;
    if (left->rank < 1 || right->rank < 1) {
        return false;
    }
    sy__shape a = as_matrix(left, true), b = as_matrix(right, false);
    sy__shape a_batch = batch_part(&a), b_batch = batch_part(&b), out;
    if (a.dims[a.rank - 1] != b.dims[b.rank - 2] ||
        !sy__ref_shape_broadcast(&a_batch, &b_batch, &out)) {
        return false;
    }
    if (left->rank > 1) {
        out.dims[out.rank++] = a.dims[a.rank - 2];
    }
    if (right->rank > 1) {
        out.dims[out.rank++] = b.dims[b.rank - 1];
    }
    out_shapes[0] = out;
    return true;
}

SY__MACS(matmul) {
    const sy__shape *left = &facts->inputs[0]->shape;
    return (double)sy__ref_shape_count(&facts->outputs[0]->shape) *
           (double)left->dims[left->rank - 1];
}

/* Strides of the batch dimensions, in matrices' worth of elements. */
static void batch_strides(const sy__shape *batch, const sy__shape *out, int64_t matrix_elements,
                          int64_t strides[SY_MAX_RANK]) {
    sy__ref_broadcast_strides(batch, out, strides);
    for (uint32_t i = 0; i < SY_MAX_RANK; i++) {
        strides[i] *= matrix_elements;
    }
}

SY__RUN(matmul) {
    sy__shape a = as_matrix(&call->inputs[0]->shape, true);
    sy__shape b = as_matrix(&call->inputs[1]->shape, false);
    sy__shape a_batch = batch_part(&a), b_batch = batch_part(&b);
    product p = {.call = call, .alpha = 1.0};
    p.m = a.dims[a.rank - 2];
    p.k = a.dims[a.rank - 1];
    p.n = b.dims[b.rank - 1];
    p.a = (matrix){call->inputs[0], p.k, 1};
    p.b = (matrix){call->inputs[1], p.n, 1};
    if (!sy__ref_shape_broadcast(&a_batch, &b_batch, &p.batch)) {
        return SY_INTERNAL;
    }
    batch_strides(&a_batch, &p.batch, p.m * p.k, p.a_strides);
    batch_strides(&b_batch, &p.batch, p.k * p.n, p.b_strides);
    return run_product(call, &p);
}

SY__PREPARE(gemm) {
    sy__params *p = &facts->params;
    return sy__ref_require_all_float(facts) &&
           sy__ref_attribute_float(facts, "alpha", 1.0, &p->alpha) &&
           sy__ref_attribute_float(facts, "beta", 1.0, &p->beta) &&
           sy__ref_attribute_bool(facts, "transA", false, &p->trans_a) &&
           sy__ref_attribute_bool(facts, "transB", false, &p->trans_b);
}

SY__INFER(gemm) {
    const sy__shape *a = &inputs[0]->shape, *b = &inputs[1]->shape;
    (void)n_outputs;
    if (a->rank != 2 || b->rank != 2 ||
        a->dims[params->trans_a ? 0 : 1] != b->dims[params->trans_b ? 1 : 0]) {
        return false;
    }
    sy__shape out = {.rank = 2};
    out.dims[0] = a->dims[params->trans_a ? 1 : 0];
    out.dims[1] = b->dims[params->trans_b ? 0 : 1];
    if (n_inputs > 2 && inputs[2] != NULL) {
        sy__shape both;
        if (!sy__ref_shape_broadcast(&inputs[2]->shape, &out, &both) ||
            !sy__ref_shape_equal(&both, &out)) {
            return false;
        }
    }
    out_shapes[0] = out;
    return true;
}

SY__MACS(gemm) {
    const sy__shape *a = &facts->inputs[0]->shape;
    return (double)sy__ref_shape_count(&facts->outputs[0]->shape) *
           (double)a->dims[facts->params.trans_a ? 0 : 1];
}

SY__RUN(gemm) {
    const sy__params *params = call->params;
    const sy__shape *a = &call->inputs[0]->shape, *b = &call->inputs[1]->shape;
    const sy__shape *out = &call->outputs[0]->shape;
    product p = {.call = call, .alpha = params->alpha, .beta = params->beta};
    p.m = out->dims[0];
    p.n = out->dims[1];
    p.k = a->dims[params->trans_a ? 0 : 1];
    p.a = (matrix){call->inputs[0], a->dims[1], 1};
    p.b = (matrix){call->inputs[1], b->dims[1], 1};
    if (params->trans_a) {
        p.a = (matrix){call->inputs[0], 1, a->dims[1]};
    }
    if (params->trans_b) {
        p.b = (matrix){call->inputs[1], 1, b->dims[1]};
    }
    if (call->inputs[2] != NULL) {
        int64_t strides[SY_MAX_RANK];
        sy__ref_broadcast_strides(&call->inputs[2]->shape, out, strides);
        p.c = (matrix){call->inputs[2], strides[0], strides[1]};
    }
    return run_product(call, &p);
}
