/* SPDX-License-Identifier: Apache-2.0 */
/* BatchNormalization with given statistics: a task takes one plane. */
#include "reference/element.h"
#include "reference/operators.h"

#include <math.h>

#define PIECE SY__RUN_ELEMENTS

SY__PREPARE(batch_norm) {
    int64_t training = 0;
    double momentum = 0.0; /* speaks of training only */
    if (!sy__ref_require_all_float(facts) ||
        !sy__ref_attribute_float(facts, "epsilon", 1e-5, &facts->params.epsilon) ||
        !sy__ref_attribute_float(facts, "momentum", 0.9, &momentum) ||
        !sy__ref_attribute_int(facts, "training_mode", 0, &training)) {
        return false;
    }
    return training == 0 || sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "training_mode is not 0");
}

SY__INFER(batch_norm) {
    const sy__shape *x = &inputs[0]->shape;
    (void)params;
    (void)n_outputs;
    for (uint32_t i = 1; i < n_inputs; i++) {
        if (x->rank < 2 || inputs[i]->shape.rank != 1 || inputs[i]->shape.dims[0] != x->dims[1]) {
            return false;
        }
    }
    out_shapes[0] = *x;
    return true;
}

static void plane_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const sy__call *call = argument;
    const sy__shape *x = &call->inputs[0]->shape;
    int64_t n = sy__ref_shape_product(x, 2, x->rank), channel = i_task % x->dims[1];
    double values[PIECE], factors[4]; /* scale, bias, mean, variance */
    (void)i_worker;
    for (uint32_t i = 0; i < 4; i++) {
        sy__ref_get_f64(call->inputs[i + 1], channel, 1, 1, &factors[i]);
    }
    double scale = factors[0] / sqrt(factors[3] + call->params->epsilon);
    for (int64_t at = 0; at < n; at += PIECE) {
        int64_t count = n - at < PIECE ? n - at : PIECE;
        sy__ref_get_f64(call->inputs[0], i_task * n + at, 1, count, values);
        for (int64_t k = 0; k < count; k++) {
            values[k] = (values[k] - factors[2]) * scale + factors[1];
        }
        sy__ref_put_f64(call->outputs[0], i_task * n + at, count, values);
    }
}

SY__RUN(batch_norm) {
    sy__call own = *call;
    return sy__ref_parallel(call, plane_task, &own,
                            (uint64_t)sy__ref_shape_product(&call->inputs[0]->shape, 0, 2));
}
