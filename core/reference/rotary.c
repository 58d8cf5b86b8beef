/* SPDX-License-Identifier: Apache-2.0 */
#include "base/checked.h"
#include "reference/element.h"
#include "reference/operators.h"

#include <math.h>

SY__PREPARE(rotary) {
    sy__params *p = &facts->params;
    if (!sy__ref_require_float_in(facts, 0) || !sy__ref_require_type_in(facts, 1, SY_TYPE_I32) ||
        !sy__ref_require_type_in(facts, 2, SY_TYPE_F32) || !sy__ref_require_float_out(facts, 0) ||
        !sy__ref_attribute_int(facts, "num_heads", 0, &p->n_heads) ||
        !sy__ref_attribute_bool(facts, "interleaved", false, &p->interleaved) ||
        !sy__ref_attribute_float(facts, "magnitude", 1.0, &p->scale)) {
        return false;
    }
    if (p->n_heads <= 0) {
        return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "num_heads is missing or not positive");
    }
    return true;
}

SY__INFER(rotary) {
    const sy__shape *x = &inputs[0]->shape;
    const sy__shape *positions = &inputs[1]->shape;
    const sy__shape *frequency = &inputs[2]->shape;
    (void)n_inputs;
    (void)n_outputs;
    if (x->rank != 2 || positions->rank != 1 || frequency->rank != 1 ||
        positions->dims[0] != x->dims[0] || x->dims[1] % params->n_heads != 0 ||
        frequency->dims[0] > x->dims[1] / params->n_heads / 2) {
        return false;
    }
    out_shapes[0] = *x;
    return true;
}

/* For each worker: cos and sin of every pair, one head in f64. */
static int64_t doubles_per_worker(const sy__tensor *x, const sy__tensor *frequency) {
    return 2 * frequency->shape.dims[0] + x->shape.dims[1];
}

SY__WORK(rotary) {
    uint64_t n_bytes = 0;
    uint64_t n = (uint64_t)doubles_per_worker(facts->inputs[0], facts->inputs[2]);
    return sy__mul_u64(n, (uint64_t)n_workers * sizeof(double), &n_bytes) ? n_bytes : UINT64_MAX;
}

/* Turns the pairs of one head. */
static void rotate(const sy__params *p, const double *cosines, const double *sines, int64_t n_pairs,
                   double *head) {
    for (int64_t i = 0; i < n_pairs; i++) {
        int64_t first = p->interleaved ? 2 * i : i;
        int64_t second = p->interleaved ? 2 * i + 1 : i + n_pairs;
        double a = head[first];
        double b = head[second];
        head[first] = a * cosines[i] - b * sines[i];
        head[second] = b * cosines[i] + a * sines[i];
    }
}

static void rotary_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const sy__call *call = argument;
    const sy__tensor *x = call->inputs[0];
    int64_t n_pairs = call->inputs[2]->shape.dims[0];
    int64_t width = x->shape.dims[1];
    double *cosines =
        (double *)(void *)call->work + (int64_t)i_worker * doubles_per_worker(x, call->inputs[2]);
    double *sines = cosines + n_pairs;
    double *row = sines + n_pairs;
    double position = 0.0;
    sy__ref_get_f64(call->inputs[1], i_task, 1, 1, &position);
    sy__ref_get_f64(call->inputs[2], 0, 1, n_pairs, cosines);
    for (int64_t i = 0; i < n_pairs; i++) {
        double angle = position * cosines[i];
        cosines[i] = cos(angle) * call->params->scale;
        sines[i] = sin(angle) * call->params->scale;
    }
    sy__ref_get_f64(x, (int64_t)i_task * width, 1, width, row);
    int64_t n_heads = call->params->n_heads;
    for (int64_t h = 0; h < n_heads; h++) {
        rotate(call->params, cosines, sines, n_pairs, row + h * (width / n_heads));
    }
    sy__ref_put_f64(call->outputs[0], (int64_t)i_task * width, width, row);
}

SY__RUN(rotary) {
    sy__call copy = *call; /* tasks take a pointer without const */
    return sy__ref_parallel(call, rotary_task, &copy, (uint64_t)call->inputs[0]->shape.dims[0]);
}
