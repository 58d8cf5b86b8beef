/* SPDX-License-Identifier: Apache-2.0 */
/* Poolings over windows and over whole planes, in f64. A NaN gives NaN. */
#include "reference/element.h"
#include "reference/operators.h"
#include "reference/stencil.h"

#include <math.h>

#define PIECE SY__RUN_ELEMENTS

static bool require_zero(sy__facts *facts, const char *name) {
    int64_t value = 0;
    return sy__ref_attribute_int(facts, name, 0, &value) &&
           (value == 0 ||
            sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "attribute %s is not 0", name));
}

/* Pads as wide as the kernel would leave windows without an element. */
static bool check_windows(sy__facts *facts) {
    const sy__stencil *s = &facts->params.stencil;
    for (uint32_t i = 0; i < 2; i++) {
        int64_t reach = s->dilation[i] * (s->kernel[i] - 1) + 1;
        if (s->before[i] >= reach || s->after[i] >= reach) {
            return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "pads are as large as the kernel");
        }
    }
    return true;
}

SY__PREPARE(max_pool) {
    sy_element_type type = facts->inputs[0]->type;
    bool is_byte = type == SY_TYPE_I8 || type == SY_TYPE_U8;
    facts->params.activation = facts->op->variant;
    if (!(is_byte || sy__ref_require_float_in(facts, 0)) || !sy__ref_require_same(facts, 0)) {
        return false;
    }
    return require_zero(facts, "ceil_mode") && require_zero(facts, "storage_order") &&
           sy__ref_stencil_read(facts, NULL) && check_windows(facts);
}

SY__PREPARE(average_pool) {
    facts->params.activation = facts->op->variant;
    return sy__ref_require_all_float(facts) && require_zero(facts, "ceil_mode") &&
           sy__ref_attribute_bool(facts, "count_include_pad", false, &facts->params.all_axes) &&
           sy__ref_stencil_read(facts, NULL) && check_windows(facts);
}

SY__INFER(pool) {
    (void)n_inputs;
    (void)n_outputs;
    const sy__shape *x = &inputs[0]->shape;
    return sy__ref_stencil_shape(&params->stencil, x, x->dims[1], &out_shapes[0]);
}

SY__MACS(pool) {
    const sy__stencil *s = &facts->params.stencil;
    return (double)(s->kernel[0] * s->kernel[1]) *
           (double)sy__ref_shape_count(&facts->outputs[0]->shape);
}

typedef struct pooling {
    const sy__call *call;
    sy__image in, out;
    bool is_max;
} pooling;

static double joined(bool is_max, double sum, double value) {
    if (!is_max) {
        return sum + value;
    }
    return isnan(value) || value > sum ? value : sum; /* value > NaN is false: NaN stays */
}

static void store(const sy__tensor *y, int64_t first, int64_t n, const double *values) {
    int64_t integers[PIECE];
    if (sy__ref_is_float(y->type)) {
        sy__ref_put_f64(y, first, n, values);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        integers[i] = (int64_t)values[i];
    }
    sy__ref_put_i64(y, first, n, integers);
}

/* One piece of an output row: sums or maxima, and how many elements each window has. */
static void pool_piece(const pooling *p, int64_t plane, int64_t row, sy__tap piece, double *out,
                       double *counts) {
    const sy__stencil *s = &p->call->params->stencil;
    double values[PIECE];
    for (int64_t i = 0; i < s->kernel[0]; i++) {
        int64_t in_row = sy__ref_stencil_row(s, i, p->in.height, row);
        for (int64_t j = 0; in_row >= 0 && j < s->kernel[1]; j++) {
            sy__tap tap = sy__ref_stencil_tap(s, j, p->in.width, piece.first, piece.count);
            sy__ref_get_f64(p->call->inputs[0],
                            (plane * p->in.height + in_row) * p->in.width + tap.column,
                            s->stride[1], tap.count, values);
            for (int64_t k = 0; k < tap.count; k++) {
                int64_t at = tap.first - piece.first + k;
                out[at] = joined(p->is_max, out[at], values[k]);
                counts[at] += 1.0;
            }
        }
    }
}

static void pool_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const pooling *p = argument;
    const sy__params *params = p->call->params;
    double sums[PIECE], counts[PIECE];
    double size = (double)(params->stencil.kernel[0] * params->stencil.kernel[1]);
    int64_t row = i_task % p->out.height, plane = i_task / p->out.height;
    (void)i_worker;
    for (int64_t at = 0; at < p->out.width; at += PIECE) {
        sy__tap piece = {.first = at, .count = p->out.width - at};
        piece.count = piece.count < PIECE ? piece.count : PIECE;
        for (int64_t k = 0; k < piece.count; k++) {
            sums[k] = p->is_max ? -INFINITY : 0.0;
            counts[k] = 0.0;
        }
        pool_piece(p, plane, row, piece, sums, counts);
        for (int64_t k = 0; !p->is_max && k < piece.count; k++) {
            sums[k] /= params->all_axes ? size : counts[k];
        }
        store(p->call->outputs[0], (plane * p->out.height + row) * p->out.width + at, piece.count,
              sums);
    }
}

SY__RUN(pool) {
    pooling p = {.call = call,
                 .in = sy__ref_image_of(&call->inputs[0]->shape),
                 .out = sy__ref_image_of(&call->outputs[0]->shape),
                 .is_max = call->params->activation == SY__REDUCE_MAX};
    return sy__ref_parallel(call, pool_task, &p,
                            (uint64_t)(p.out.n * p.out.channels * p.out.height));
}

/* ---- over whole planes ---- */
SY__PREPARE(global_pool) {
    facts->params.activation = facts->op->variant;
    return sy__ref_require_all_float(facts) &&
           (facts->inputs[0]->shape.rank >= 3 ||
            sy__ref_refuse(facts, SY_REASON_SHAPE, "x has no plane to pool over"));
}

SY__INFER(global_pool) {
    (void)params;
    (void)n_inputs;
    (void)n_outputs;
    out_shapes[0] = inputs[0]->shape;
    for (uint32_t i = 2; i < out_shapes[0].rank; i++) {
        out_shapes[0].dims[i] = 1;
    }
    return true;
}

SY__MACS(global_pool) {
    return (double)sy__ref_shape_count(&facts->inputs[0]->shape);
}

static void global_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const pooling *p = argument;
    const sy__shape *x = &p->call->inputs[0]->shape;
    int64_t n = sy__ref_shape_product(x, 2, x->rank);
    double values[PIECE], sum = p->is_max ? -INFINITY : 0.0;
    (void)i_worker;
    for (int64_t at = 0; at < n; at += PIECE) {
        int64_t count = n - at < PIECE ? n - at : PIECE;
        sy__ref_get_f64(p->call->inputs[0], i_task * n + at, 1, count, values);
        for (int64_t k = 0; k < count; k++) {
            sum = joined(p->is_max, sum, values[k]);
        }
    }
    sum = p->is_max ? sum : sum / (double)n;
    sy__ref_put_f64(p->call->outputs[0], i_task, 1, &sum);
}

SY__RUN(global_pool) {
    pooling p = {.call = call, .is_max = call->params->activation == SY__REDUCE_MAX};
    return sy__ref_parallel(call, global_task, &p,
                            (uint64_t)sy__ref_shape_product(&call->inputs[0]->shape, 0, 2));
}
