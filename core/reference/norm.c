/* SPDX-License-Identifier: Apache-2.0 */
/* RMS and layer normalisation over the dimensions from `axis` on, and Softmax along one. */
#include "reference/element.h"
#include "reference/operators.h"

#include <math.h>

#define TASK_ELEMENTS 4096
#define CHUNK 256

static bool prepare_norm(sy__facts *facts, double epsilon) {
    sy__params *p = &facts->params;
    int64_t stash_type = 1;
    if (!sy__ref_require_all_float(facts) ||
        !sy__ref_attribute_float(facts, "epsilon", epsilon, &p->epsilon) ||
        !sy__ref_attribute_int(facts, "axis", -1, &p->axis) ||
        !sy__ref_attribute_int(facts, "stash_type", 1, &stash_type)) {
        return false;
    }
    return stash_type == 1 ||
           sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "stash_type is not 1 (f32)");
}

SY__PREPARE(rms_norm) {
    facts->params.n_list = 0; /* no mean */
    return prepare_norm(facts, 1e-5);
}

SY__PREPARE(layer_norm) {
    facts->params.n_list = 1;
    return prepare_norm(facts, 1e-5);
}

SY__PREPARE(add_rms_norm) {
    facts->params.axis = -1;
    return sy__ref_require_all_float(facts) &&
           sy__ref_attribute_float(facts, "epsilon", 1e-5, &facts->params.epsilon);
}

/* Scale and bias have the shape of the normalised dimensions; ones in front do not count. */
static bool fits_tail(const sy__shape *shape, const sy__shape *x, uint32_t axis) {
    uint32_t n_tail = x->rank - axis;
    if (shape->rank > x->rank) {
        return false;
    }
    for (uint32_t i = 0; i < shape->rank || i < n_tail; i++) {
        int64_t d = i < shape->rank ? shape->dims[shape->rank - 1 - i] : 1;
        if (d != (i < n_tail ? x->dims[x->rank - 1 - i] : 1)) {
            return false;
        }
    }
    return true;
}

SY__INFER(norm) {
    const sy__shape *x = &inputs[0]->shape;
    uint32_t axis = 0;
    (void)n_outputs;
    if (!sy__ref_axis(params->axis, x->rank, &axis)) {
        return false;
    }
    for (uint32_t i = 1; i < n_inputs; i++) {
        if (inputs[i] != NULL && !fits_tail(&inputs[i]->shape, x, axis)) {
            return false;
        }
    }
    out_shapes[0] = *x;
    return true;
}

SY__INFER(add_rms_norm) {
    const sy__shape *x = &inputs[0]->shape;
    (void)params;
    (void)n_inputs;
    if (x->rank < 1 || !sy__ref_shape_equal(x, &inputs[1]->shape) ||
        !fits_tail(&inputs[2]->shape, x, x->rank - 1)) {
        return false;
    }
    for (uint32_t i = 0; i < n_outputs; i++) {
        out_shapes[i] = *x;
    }
    return true;
}

typedef struct norm {
    const sy__call *call;
    const sy__tensor *x, *scale, *bias, *y;
    const sy__tensor *addend, *sum; /* AddRMSNormalization: sum = x + addend comes first */
    int64_t n_rows, n;              /* n elements are normalised together */
    int64_t rows_per_task;
    bool has_mean;
} norm;

static void add_row(const norm *l, int64_t first) {
    double a[CHUNK], b[CHUNK];
    for (int64_t i = 0; i < l->n; i += CHUNK) {
        int64_t n = l->n - i < CHUNK ? l->n - i : CHUNK;
        sy__ref_get_f64(l->call->inputs[0], first + i, 1, n, a);
        sy__ref_get_f64(l->addend, first + i, 1, n, b);
        for (int64_t j = 0; j < n; j++) {
            a[j] += b[j];
        }
        sy__ref_put_f64(l->sum, first + i, n, a);
    }
}

/* Mean of (x - center)^power, power 1 or 2. */
static double moment(const norm *l, int64_t first, double center, int power) {
    double values[CHUNK], sum = 0.0;
    for (int64_t i = 0; i < l->n; i += CHUNK) {
        int64_t n = l->n - i < CHUNK ? l->n - i : CHUNK;
        sy__ref_get_f64(l->x, first + i, 1, n, values);
        for (int64_t j = 0; j < n; j++) {
            double d = values[j] - center;
            sum += power == 1 ? d : d * d;
        }
    }
    return sum / (double)l->n;
}

static void norm_row(const norm *l, int64_t first) {
    double values[CHUNK], scale[CHUNK], bias[CHUNK] = {0};
    double mean = l->has_mean ? moment(l, first, 0.0, 1) : 0.0;
    double factor = 1.0 / sqrt(moment(l, first, mean, 2) + l->call->params->epsilon);
    for (int64_t i = 0; i < l->n; i += CHUNK) {
        int64_t n = l->n - i < CHUNK ? l->n - i : CHUNK;
        sy__ref_get_f64(l->x, first + i, 1, n, values);
        sy__ref_get_f64(l->scale, i, 1, n, scale);
        if (l->bias != NULL) {
            sy__ref_get_f64(l->bias, i, 1, n, bias);
        }
        for (int64_t j = 0; j < n; j++) {
            values[j] = (values[j] - mean) * factor * scale[j] + bias[j];
        }
        sy__ref_put_f64(l->y, first + i, n, values);
    }
}

static void norm_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const norm *l = argument;
    (void)i_worker;
    int64_t row = (int64_t)i_task * l->rows_per_task;
    int64_t end = row + l->rows_per_task < l->n_rows ? row + l->rows_per_task : l->n_rows;
    for (; row < end; row++) {
        if (l->addend != NULL) {
            add_row(l, row * l->n);
        }
        norm_row(l, row * l->n);
    }
}

static sy_status run_norm(norm *l) {
    const sy__shape *shape = &l->x->shape;
    uint32_t axis = 0;
    if (!sy__ref_axis(l->call->params->axis, shape->rank, &axis)) {
        return SY_INTERNAL;
    }
    l->n_rows = sy__ref_shape_product(shape, 0, axis);
    l->n = sy__ref_shape_product(shape, axis, shape->rank);
    if (l->n == 0) {
        return SY_OK;
    }
    l->rows_per_task = l->n < TASK_ELEMENTS ? TASK_ELEMENTS / l->n : 1;
    uint64_t n_tasks = (uint64_t)(l->n_rows + l->rows_per_task - 1) / (uint64_t)l->rows_per_task;
    return sy__ref_parallel(l->call, norm_task, l, n_tasks);
}

SY__RUN(norm) {
    norm l = {.call = call, .x = call->inputs[0], .scale = call->inputs[1]};
    l.bias = call->inputs[2];
    l.y = call->outputs[0];
    l.has_mean = call->params->n_list == 1;
    return run_norm(&l);
}

/* The sum is rounded to its type first, so that the result is that of Add and RMSNormalization. */
SY__RUN(add_rms_norm) {
    norm l = {.call = call, .x = call->outputs[0], .scale = call->inputs[2]};
    l.addend = call->inputs[1];
    l.sum = call->outputs[0];
    l.y = call->outputs[1];
    return run_norm(&l);
}

SY__PREPARE(softmax) {
    uint32_t axis = 0;
    if (!sy__ref_require_all_float(facts) ||
        !sy__ref_attribute_int(facts, "axis", -1, &facts->params.axis)) {
        return false;
    }
    return sy__ref_axis(facts->params.axis, facts->inputs[0]->shape.rank, &axis) ||
           sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "axis is outside of the rank");
}

typedef struct softmax {
    const sy__tensor *x, *y;
    int64_t n, stride; /* along the axis */
} softmax;

static void softmax_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const softmax *l = argument;
    (void)i_worker;
    int64_t first = i_task / l->stride * l->stride * l->n + i_task % l->stride;
    double values[CHUNK], largest = -HUGE_VAL, sum = 0.0;
    for (int pass = 0; pass < 3; pass++) { /* maximum, sum, result */
        for (int64_t i = 0; i < l->n; i += CHUNK) {
            int64_t n = l->n - i < CHUNK ? l->n - i : CHUNK;
            int64_t at = first + i * l->stride;
            sy__ref_get_f64(l->x, at, l->stride, n, values);
            for (int64_t j = 0; j < n; j++) {
                if (pass == 0) {
                    largest = values[j] > largest ? values[j] : largest;
                    continue;
                }
                double e = exp(values[j] - largest);
                sum += pass == 1 ? e : 0.0;
                e /= sum;
                if (pass == 2) {
                    sy__ref_put_f64(l->y, at + j * l->stride, 1, &e);
                }
            }
        }
    }
}

SY__RUN(softmax) {
    const sy__shape *shape = &call->inputs[0]->shape;
    uint32_t axis = 0;
    if (!sy__ref_axis(call->params->axis, shape->rank, &axis) || sy__ref_shape_count(shape) == 0) {
        return SY_OK;
    }
    softmax l = {.x = call->inputs[0], .y = call->outputs[0], .n = shape->dims[axis]};
    l.stride = sy__ref_shape_product(shape, axis + 1, shape->rank);
    uint64_t n_lanes = (uint64_t)(sy__ref_shape_product(shape, 0, axis) * l.stride);
    return sy__ref_parallel(call, softmax_task, &l, n_lanes);
}
