/* SPDX-License-Identifier: Apache-2.0 */
/* RMSNormalization, LayerNormalization, AddRMSNormalization, Softmax: all work on whole runs of
 * `inner` elements. */
#include "fuse.h"

#include <string.h>

enum { NORM_RMS, NORM_LAYER, NORM_ADD_RMS, NORM_SOFTMAX };

/* Product of the dimensions from axis on, which must be fixed. */
static bool inner_from(const sy_value_view *x, int64_t axis, uint64_t *out_inner,
                       cpu_answer *answer) {
    uint64_t n = 1;
    axis = axis < 0 ? axis + (int64_t)x->rank : axis;
    if (axis < 0 || axis >= (int64_t)x->rank) {
        return cpu_no(answer, SY_REASON_ATTRIBUTE, "axis is outside the shape");
    }
    for (int64_t i = axis; i < (int64_t)x->rank; i++) {
        if (x->dims[i].symbol != 0 || x->dims[i].bound <= 0 ||
            __builtin_mul_overflow(n, (uint64_t)x->dims[i].bound, &n)) {
            return cpu_no(answer, SY_REASON_SHAPE,
                          "a normalised dimension must be fixed and not 0");
        }
    }
    *out_inner = n;
    return true;
}

/* scale or bias: the shape of the last dimensions of x, from the axis on */
static bool factor_check(const sy_value_view *factor, const char *what, const sy_value_view *x,
                         int64_t axis, cpu_answer *answer) {
    uint32_t first = (uint32_t)(axis < 0 ? axis + (int64_t)x->rank : axis);
    bool fits = factor->rank == x->rank - first;
    for (uint32_t i = 0; fits && i < factor->rank; i++) {
        fits = cpu_dimension_same(&factor->dims[i], &x->dims[first + i]);
    }
    return cpu_require_type(factor, SY_TYPE_F32, what, answer) &&
           (fits || cpu_no(answer, SY_REASON_SHAPE, "%s has not the normalised shape", what));
}

static bool norm_check(const sy_device *device, const cpu_node *node, const cpu_operator *op,
                       cpu_params *out_params, cpu_answer *answer) {
    static const char *const with_axis[] = {"axis", "epsilon", NULL};
    static const char *const without_axis[] = {"epsilon", NULL};
    const sy_value_view *x = &node->in[0];
    bool is_add = op->variant == NORM_ADD_RMS;
    uint32_t i_scale = is_add ? 2 : 1;
    (void)device;
    if (!cpu_attributes_known(node, is_add ? without_axis : with_axis, answer) ||
        !cpu_attribute_int(node, "axis", -1, &out_params->axis, answer) ||
        !cpu_attribute_float(node, "epsilon", 1e-5, &out_params->epsilon, answer) ||
        !cpu_require_float(x, "x", answer) ||
        !inner_from(x, out_params->axis, &out_params->inner, answer) ||
        !factor_check(&node->in[i_scale], "scale", x, out_params->axis, answer)) {
        return false;
    }
    if (op->variant == NORM_LAYER && node->n_in > 2 && node->has_in[2] &&
        !factor_check(&node->in[2], "bias", x, out_params->axis, answer)) {
        return false;
    }
    for (uint32_t i = 0; i < node->n_out; i++) {
        if (!cpu_require_same_float(x, &node->out[i], answer)) {
            return false;
        }
        if (!cpu_shape_same(x, &node->out[i])) {
            return cpu_no(answer, SY_REASON_SHAPE, "an output has another shape than x");
        }
    }
    if (is_add && (!cpu_require_float(&node->in[1], "residual", answer) ||
                   !cpu_shape_same(x, &node->in[1]))) {
        return cpu_no(answer, SY_REASON_SHAPE, "residual has another shape or type than x");
    }
    double n = cpu_typical_count(node->graph, x);
    answer->activation_bytes = 4.0 * n * (double)(node->n_in + node->n_out - 1);
    answer->f32_ops = 6.0 * n;
    return true;
}

static bool softmax_check(const sy_device *device, const cpu_node *node, const cpu_operator *op,
                          cpu_params *out_params, cpu_answer *answer) {
    static const char *const names[] = {"axis", NULL};
    const sy_value_view *x = &node->in[0];
    (void)device;
    (void)op;
    if (!cpu_attributes_known(node, names, answer) ||
        !cpu_attribute_int(node, "axis", -1, &out_params->axis, answer) ||
        !cpu_require_same_float(x, &node->out[0], answer)) {
        return false;
    }
    if (!cpu_shape_same(x, &node->out[0])) {
        return cpu_no(answer, SY_REASON_SHAPE, "y has another shape than x");
    }
    if (x->rank == 0 || (out_params->axis != -1 && out_params->axis != (int64_t)x->rank - 1)) {
        return cpu_no(answer, SY_REASON_ATTRIBUTE, "only the last axis runs here");
    }
    if (!inner_from(x, -1, &out_params->inner, answer)) {
        return false;
    }
    double n = cpu_typical_count(node->graph, x);
    answer->activation_bytes = 8.0 * n;
    answer->f32_ops = 20.0 * n;
    return true;
}

typedef struct norm_work {
    cpu_run *run;
    const cpu_step *step;
    uint64_t n_rows;
    cpu_rounding rounding;
} norm_work;

#define ROWS_PER_TASK 8u

static uint64_t norm_worker_bytes(const cpu_node *node, const cpu_params *params) {
    (void)node;
    return 3 * params->inner * sizeof(float);
}

static void norm_row(const norm_work *work, uint64_t row, float *space) {
    const cpu_step *step = work->step;
    const cpu_row_kernels *kernels = work->run->kernels->rows;
    uint64_t n = step->params.inner, first = row * n;
    uint32_t variant = step->operator->variant;
    const cpu_tensor *y = cpu_run_out(work->run, step, variant == NORM_ADD_RMS ? 1 : 0);
    const float *x = cpu_floats_read(work->run, cpu_run_in(work->run, step, 0), first, n, space);
    float *out = work->rounding.is_all ? space + 2 * n : cpu_floats_target(y, first, space + 2 * n);
    if (variant == NORM_SOFTMAX) {
        kernels->softmax(x, n, out);
    } else if (variant == NORM_LAYER) {
        const cpu_tensor *bias = step->in[2] != SY_NO_VALUE ? cpu_run_in(work->run, step, 2) : NULL;
        kernels->layer_norm(x, (const float *)(const void *)cpu_run_in(work->run, step, 1)->data,
                            bias != NULL ? (const float *)(const void *)bias->data : NULL, n,
                            (float)step->params.epsilon, out);
    } else if (variant == NORM_RMS) {
        kernels->rms_norm(x, (const float *)(const void *)cpu_run_in(work->run, step, 1)->data, n,
                          (float)step->params.epsilon, out);
    } else {
        const cpu_tensor *sum = cpu_run_out(work->run, step, 0);
        const cpu_tensor *residual = cpu_run_in(work->run, step, 1);
        const float *r = cpu_floats_read(work->run, residual, first, n, space + n);
        float *total = cpu_floats_target(sum, first, space + n);
        kernels->binary(CPU_BINARY_ADD, x, r, n, total);
        cpu_floats_write(work->run, sum, first, n, total);
        x = cpu_floats_read(work->run, sum, first, n, total); /* as rounded */
        kernels->rms_norm(x, (const float *)(const void *)cpu_run_in(work->run, step, 2)->data, n,
                          (float)step->params.epsilon, out);
    }
    if (!work->rounding.is_all) {
        cpu_floats_write(work->run, y, first, n, out);
    }
    if (work->rounding.rows != NULL) {
        cpu_planes planes = work->rounding.planes;
        kernels->quantise(out, n, planes,
                          work->rounding.rows->data + row * cpu_activation_row_bytes(n, planes));
    }
}

static void norm_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const norm_work *work = argument;
    uint64_t first = (uint64_t)i_task * ROWS_PER_TASK;
    float *space = (float *)(void *)cpu_run_worker(work->run, i_worker);
    for (uint64_t r = first; r < first + ROWS_PER_TASK && r < work->n_rows; r++) {
        norm_row(work, r, space);
    }
}

static sy_status norm_run(cpu_run *run, const cpu_step *step) {
    const cpu_tensor *x = cpu_run_in(run, step, 0);
    norm_work work = {.run = run,
                      .step = step,
                      .rounding = cpu_rounding_of(run, step),
                      .n_rows = x->n_elements / step->params.inner};
    return cpu_run_tasks(run, norm_task, &work, (work.n_rows + ROWS_PER_TASK - 1) / ROWS_PER_TASK,
                         x->n_elements);
}

#define NORM(DOMAIN, NAME, VERSION, LEAST, MOST, N_OUT, VARIANT, CHECK)          \
    {                                                                            \
        .domain = DOMAIN, .name = NAME, .version = VERSION, .n_in_least = LEAST, \
        .n_in_most = MOST, .n_out = N_OUT, .variant = VARIANT, .check = CHECK,   \
        .worker_bytes = norm_worker_bytes, .run = norm_run                       \
    }

const cpu_operator cpu_operators_norm[] = {
    NORM("", "RMSNormalization", 23, 2, 2, 1, NORM_RMS, norm_check),
    NORM("", "LayerNormalization", 17, 2, 3, 1, NORM_LAYER, norm_check),
    NORM("switchyard", "AddRMSNormalization", 1, 3, 3, 2, NORM_ADD_RMS, norm_check),
    NORM("", "Softmax", 13, 1, 1, 1, NORM_SOFTMAX, softmax_check),
    {.name = NULL},
};
