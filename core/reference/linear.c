/* SPDX-License-Identifier: Apache-2.0 */
/* Linear and Embedding: the two operators that read weights of every type. */
#include "base/checked.h"
#include "reference/blocks.h"
#include "reference/element.h"
#include "reference/operators.h"
#include "switchyard/types.h"

#include <inttypes.h>

#define LANES 4
#define ROWS_AT_ONCE 4 /* weight rows that are decoded together */
#define TASK_ROWS 16

SY__PREPARE(linear) {
    const sy__tensor *weight = facts->inputs[1];
    if (!sy__ref_is_decodable(weight->type)) {
        return sy__ref_refuse(facts, SY_REASON_TYPE, "weight of type %s",
                              sy_type_get(weight->type)->name);
    }
    return sy__ref_require_float_in(facts, 0) && sy__ref_require_float_in(facts, 2) &&
           sy__ref_require_float_out(facts, 0);
}

SY__INFER(linear) {
    (void)params;
    (void)n_outputs;
    const sy__shape *x = &inputs[0]->shape;
    const sy__shape *w = &inputs[1]->shape;
    const sy__tensor *bias = n_inputs > 2 ? inputs[2] : NULL;
    if (x->rank < 1 || w->rank != 2 || x->dims[x->rank - 1] != w->dims[1] ||
        (bias != NULL && (bias->shape.rank != 1 || bias->shape.dims[0] != w->dims[0]))) {
        return false;
    }
    out_shapes[0] = *x;
    out_shapes[0].dims[x->rank - 1] = w->dims[0];
    return true;
}

/* x is read where it lies when it is aligned f32. */
static bool needs_copy(const sy__tensor *x) {
    return x->type != SY_TYPE_F32 || x->kind == SY_VALUE_WEIGHT;
}

/* Bytes of the f32 copy of x in front of the workers' rows. */
static uint64_t copy_bytes(const sy__tensor *x) {
    uint64_t n_bytes = 0;
    if (!needs_copy(x)) {
        return 0;
    }
    if (!sy__mul_u64((uint64_t)sy__ref_shape_count(&x->shape), sizeof(float), &n_bytes) ||
        !sy__align_u64(n_bytes, SY__ALIGNMENT, &n_bytes)) {
        return UINT64_MAX;
    }
    return n_bytes;
}

SY__WORK(linear) {
    uint64_t n_bytes = 0;
    uint64_t k = (uint64_t)facts->inputs[1]->shape.dims[1];
    if (!sy__mul_u64(k, (uint64_t)n_workers * ROWS_AT_ONCE * sizeof(float), &n_bytes) ||
        !sy__add_u64(n_bytes, copy_bytes(facts->inputs[0]), &n_bytes)) {
        return UINT64_MAX;
    }
    return n_bytes;
}

SY__MACS(linear) {
    const sy__shape *y = &facts->outputs[0]->shape;
    return (double)sy__ref_shape_count(y) * (double)facts->inputs[1]->shape.dims[1];
}

typedef struct linear {
    const sy__call *call;
    const float *x; /* [m, k] */
    float *decoded; /* ROWS_AT_ONCE rows for each worker */
    int64_t m, n, k;
} linear;

/* Dot products of one row of x with n_rows <= ROWS_AT_ONCE rows of w. */
static void dot_rows(const float *x, const float *w, int64_t k, int64_t n_rows, double *out) {
    double sums[ROWS_AT_ONCE][LANES] = {{0}};
    int64_t n_whole = k / LANES * LANES;
    for (int64_t i = 0; i < n_whole; i += LANES) {
        for (int r = 0; r < ROWS_AT_ONCE; r++) {
            for (int lane = 0; lane < LANES; lane++) {
                sums[r][lane] += (double)x[i + lane] * (double)w[r * k + i + lane];
            }
        }
    }
    for (int64_t i = n_whole; i < k; i++) {
        for (int r = 0; r < ROWS_AT_ONCE; r++) {
            sums[r][i - n_whole] += (double)x[i] * (double)w[r * k + i];
        }
    }
    for (int64_t r = 0; r < n_rows; r++) {
        out[r] = (sums[r][0] + sums[r][1]) + (sums[r][2] + sums[r][3]);
    }
}

const float *sy__ref_decode_row(sy_element_type type, const void *rows, uint64_t i_row, uint64_t n,
                                float *out_row) {
    uint64_t row_bytes = 0;
    sy_status status = sy_type_row_bytes(type, n, &row_bytes);
    if (status == SY_OK) {
        status =
            sy__row_decode(type, (const uint8_t *)rows + i_row * row_bytes, (size_t)n, out_row);
    }
    (void)status; /* the caller has checked both */
    return out_row;
}

double sy__ref_dot(const float *x, const float *w, int64_t n) {
    double sums[LANES] = {0};
    int64_t n_whole = n / LANES * LANES;
    for (int64_t i = 0; i < n_whole; i += LANES) {
        for (int lane = 0; lane < LANES; lane++) {
            sums[lane] += (double)x[i + lane] * (double)w[i + lane];
        }
    }
    for (int64_t i = n_whole; i < n; i++) {
        sums[i - n_whole] += (double)x[i] * (double)w[i];
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* Columns [first, first + n_rows) of y: the weight rows are decoded once for all rows of x. */
static void linear_columns(const linear *l, float *rows, int64_t first, int64_t n_rows) {
    const sy__tensor *weight = l->call->inputs[1];
    const sy__tensor *bias = l->call->inputs[2];
    double biases[ROWS_AT_ONCE] = {0}, sums[ROWS_AT_ONCE];
    for (int64_t r = 0; r < n_rows; r++) {
        sy__ref_decode_row(weight->type, weight->data, (uint64_t)(first + r), (uint64_t)l->k,
                           rows + r * l->k);
    }
    if (bias != NULL) {
        sy__ref_get_f64(bias, first, 1, n_rows, biases);
    }
    for (int64_t m = 0; m < l->m; m++) {
        dot_rows(l->x + m * l->k, rows, l->k, n_rows, sums);
        for (int64_t r = 0; r < n_rows; r++) {
            sums[r] += biases[r];
        }
        sy__ref_put_f64(l->call->outputs[0], m * l->n + first, n_rows, sums);
    }
}

static void linear_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const linear *l = argument;
    float *rows = l->decoded + (int64_t)i_worker * ROWS_AT_ONCE * l->k;
    int64_t first = (int64_t)i_task * TASK_ROWS;
    int64_t end = first + TASK_ROWS < l->n ? first + TASK_ROWS : l->n;
    for (; first < end; first += ROWS_AT_ONCE) {
        int64_t n_rows = end - first < ROWS_AT_ONCE ? end - first : ROWS_AT_ONCE;
        if (n_rows < ROWS_AT_ONCE) { /* dot_rows reads all of them */
            for (int64_t i = n_rows * l->k; i < ROWS_AT_ONCE * l->k; i++) {
                rows[i] = 0.0f;
            }
        }
        linear_columns(l, rows, first, n_rows);
    }
}

SY__RUN(linear) {
    const sy__tensor *x = call->inputs[0];
    const sy__tensor *weight = call->inputs[1];
    linear l = {.call = call, .k = weight->shape.dims[1], .n = weight->shape.dims[0]};
    l.m = sy__ref_shape_product(&x->shape, 0, x->shape.rank - 1);
    l.decoded = (float *)(void *)(call->work + copy_bytes(x));
    l.x = x->data;
    if (needs_copy(x)) {
        sy_status status =
            sy__row_decode(x->type, x->data, (size_t)(l.m * l.k), (float *)(void *)call->work);
        if (status != SY_OK) {
            return status;
        }
        l.x = (const float *)(const void *)call->work;
    }
    return sy__ref_parallel(call, linear_task, &l, (uint64_t)(l.n + TASK_ROWS - 1) / TASK_ROWS);
}

SY__PREPARE(embedding) {
    const sy__tensor *rows = facts->inputs[1];
    if (!sy__ref_is_decodable(rows->type)) {
        return sy__ref_refuse(facts, SY_REASON_TYPE, "table of type %s",
                              sy_type_get(rows->type)->name);
    }
    return sy__ref_require_type_in(facts, 0, SY_TYPE_I32) && sy__ref_require_float_out(facts, 0) &&
           sy__ref_attribute_float(facts, "scale", 1.0, &facts->params.scale);
}

SY__INFER(embedding) {
    (void)params;
    (void)n_inputs;
    (void)n_outputs;
    const sy__shape *ids = &inputs[0]->shape;
    const sy__shape *rows = &inputs[1]->shape;
    if (ids->rank != 1 || rows->rank != 2) {
        return false;
    }
    out_shapes[0] = (sy__shape){.rank = 2, .dims = {ids->dims[0], rows->dims[1]}};
    return true;
}

SY__WORK(embedding) {
    uint64_t n_bytes = 0;
    uint64_t k = (uint64_t)facts->inputs[1]->shape.dims[1];
    if (!sy__mul_u64(k, (uint64_t)n_workers * (sizeof(float) + sizeof(double)), &n_bytes)) {
        return UINT64_MAX;
    }
    return n_bytes;
}

static void embedding_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const sy__call *call = argument;
    const sy__tensor *rows = call->inputs[1];
    int64_t k = rows->shape.dims[1], id = 0;
    double *scaled = (double *)(void *)call->work + (int64_t)i_worker * k;
    float *decoded =
        (float *)(void *)((double *)(void *)call->work + (int64_t)call->device->n_workers * k) +
        (int64_t)i_worker * k;
    sy__ref_get_i64(call->inputs[0], i_task, 1, 1, &id);
    sy__ref_decode_row(rows->type, rows->data, (uint64_t)id, (uint64_t)k, decoded);
    for (int64_t i = 0; i < k; i++) {
        scaled[i] = (double)decoded[i] * call->params->scale;
    }
    sy__ref_put_f64(call->outputs[0], (int64_t)i_task * k, k, scaled);
}

SY__RUN(embedding) {
    int64_t n_ids = call->inputs[0]->shape.dims[0];
    int64_t n_rows = call->inputs[1]->shape.dims[0];
    for (int64_t i = 0; i < n_ids; i++) {
        int64_t id = 0;
        sy__ref_get_i64(call->inputs[0], i, 1, 1, &id);
        if (id < 0 || id >= n_rows) {
            return sy__ref_fail(call, SY_OUT_OF_RANGE,
                                "id %" PRId64 " at row %" PRId64 ", the table has %" PRId64 " rows",
                                id, i, n_rows);
        }
    }
    sy__call copy = *call; /* tasks take a pointer without const */
    return sy__ref_parallel(call, embedding_task, &copy, (uint64_t)n_ids);
}
