/* SPDX-License-Identifier: Apache-2.0 */
/* RMSNormalization, LayerNormalization, AddRMSNormalization, Softmax: all work on whole runs of
 * `inner` elements. */
#include "fuse.h"

#include <string.h>

enum { NORM_RMS, NORM_LAYER, NORM_ADD_RMS, NORM_SOFTMAX };

static bool norm_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                       cpu_params *out_params, kit_answer *answer) {
    kit_norm norm;
    (void)device;
    if (!(op->variant == NORM_ADD_RMS ? kit_check_add_norm(node, &norm, answer)
                                      : kit_check_norm(node, &norm, answer))) {
        return false;
    }
    out_params->epsilon = norm.epsilon;
    out_params->inner = (uint64_t)norm.inner;
    return true;
}

/* Along the last dimension, a fixed one. */
static bool softmax_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                          cpu_params *out_params, kit_answer *answer) {
    const sy_value_view *x = &node->in[0];
    kit_softmax softmax;
    (void)device;
    (void)op;
    if (!kit_check_softmax(node, &softmax, answer)) {
        return false;
    }
    if (softmax.axis != x->rank - 1) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "only the last axis runs here");
    }
    if (kit_width(x) <= 0) {
        return kit_no(answer, SY_REASON_SHAPE, "a normalised dimension must be fixed and not 0");
    }
    out_params->inner = (uint64_t)kit_width(x);
    return true;
}

typedef struct norm_work {
    cpu_run *run;
    const cpu_step *step;
    uint64_t n_rows;
    cpu_rounding rounding;
} norm_work;

#define ROWS_PER_TASK 8u

static uint64_t norm_worker_bytes(const kit_node *node, const cpu_params *params) {
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

#define NORM(DOMAIN, NAME, VARIANT, CHECK)                                  \
    {                                                                       \
        .domain = DOMAIN, .name = NAME, .variant = VARIANT, .check = CHECK, \
        .worker_bytes = norm_worker_bytes, .run = norm_run                  \
    }

const cpu_operator cpu_operators_norm[] = {
    NORM("", "RMSNormalization", NORM_RMS, norm_check),
    NORM("", "LayerNormalization", NORM_LAYER, norm_check),
    NORM("switchyard", "AddRMSNormalization", NORM_ADD_RMS, norm_check),
    NORM("", "Softmax", NORM_SOFTMAX, softmax_check),
    {.name = NULL},
};
