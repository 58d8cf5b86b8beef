/* SPDX-License-Identifier: Apache-2.0 */
/* QuantizeLinear and DequantizeLinear with one scale, or one for each index of an axis. */
#include "reference/element.h"
#include "reference/operators.h"

#include <math.h>

static bool check_scale(sy__facts *facts, sy_element_type stored) {
    sy__params *p = &facts->params;
    const sy__tensor *zero = facts->node.n_inputs > 2 ? facts->inputs[2] : NULL;
    int64_t block_size = 0;
    if (!sy__ref_require_type_in(facts, 1, SY_TYPE_F32) ||
        !sy__ref_attribute_int(facts, "axis", 1, &p->axis) ||
        !sy__ref_attribute_int(facts, "block_size", 0, &block_size)) {
        return false;
    }
    if (block_size != 0) {
        return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "block_size is not 0");
    }
    return zero == NULL || zero->type == stored ||
           sy__ref_refuse(facts, SY_REASON_TYPE, "the zero point has another type");
}

static bool is_byte(sy_element_type type) {
    return type == SY_TYPE_I8 || type == SY_TYPE_U8;
}

SY__PREPARE(quantize) {
    sy_element_type to = facts->outputs[0]->type;
    if (!sy__ref_require_float_in(facts, 0)) {
        return false;
    }
    if (!is_byte(to)) {
        return sy__ref_refuse(facts, SY_REASON_TYPE, "the output is neither i8 nor u8");
    }
    return check_scale(facts, to);
}

SY__PREPARE(dequantize) {
    sy_element_type from = facts->inputs[0]->type;
    if (!is_byte(from) && from != SY_TYPE_I32) {
        return sy__ref_refuse(facts, SY_REASON_TYPE, "the input is neither i8, u8 nor i32");
    }
    if (facts->outputs[0]->type != SY_TYPE_F32) {
        return sy__ref_refuse(facts, SY_REASON_TYPE, "the output is not f32");
    }
    return check_scale(facts, from);
}

static bool is_single(const sy__shape *shape) {
    return shape->rank == 0 || (shape->rank == 1 && shape->dims[0] == 1);
}

SY__INFER(quantize) {
    const sy__shape *x = &inputs[0]->shape;
    (void)n_outputs;
    for (uint32_t i = 1; i < n_inputs; i++) {
        uint32_t axis = 0;
        if (inputs[i] == NULL || is_single(&inputs[i]->shape)) {
            continue;
        }
        if (inputs[i]->shape.rank != 1 || !sy__ref_axis(params->axis, x->rank, &axis) ||
            inputs[i]->shape.dims[0] != x->dims[axis]) {
            return false;
        }
    }
    out_shapes[0] = *x;
    return true;
}

/* n scales and zero points that belong to a run. */
static void read_factors(const sy__walk *walk, const sy__run *run, double *scale, double *zero) {
    sy__ref_get_f64(walk->inputs[1], run->first[1], run->stride[1], run->n, scale);
    for (int64_t i = 0; i < run->n; i++) {
        zero[i] = 0.0;
    }
    if (walk->n_inputs > 2) {
        sy__ref_get_f64(walk->inputs[2], run->first[2], run->stride[2], run->n, zero);
    }
}

static void visit_quantize(const sy__walk *walk, const sy__run *run) {
    double x[SY__RUN_ELEMENTS], scale[SY__RUN_ELEMENTS], zero[SY__RUN_ELEMENTS];
    int64_t q[SY__RUN_ELEMENTS];
    bool is_signed = walk->output->type == SY_TYPE_I8;
    double low = is_signed ? -128.0 : 0.0, high = is_signed ? 127.0 : 255.0;
    sy__ref_get_f64(walk->inputs[0], run->first[0], run->stride[0], run->n, x);
    read_factors(walk, run, scale, zero);
    for (int64_t i = 0; i < run->n; i++) {
        float ratio = (float)x[i] / (float)scale[i]; /* rounded as f32, then half to even */
        double value = rint((double)ratio) + zero[i];
        value = isnan(value) ? zero[i] : value;
        q[i] = (int64_t)fmin(fmax(value, low), high);
    }
    sy__ref_put_i64(walk->output, run->out_first, run->n, q);
}

static void visit_dequantize(const sy__walk *walk, const sy__run *run) {
    double x[SY__RUN_ELEMENTS], scale[SY__RUN_ELEMENTS], zero[SY__RUN_ELEMENTS];
    sy__ref_get_f64(walk->inputs[0], run->first[0], run->stride[0], run->n, x);
    read_factors(walk, run, scale, zero);
    for (int64_t i = 0; i < run->n; i++) {
        x[i] = (x[i] - zero[i]) * scale[i];
    }
    sy__ref_put_f64(walk->output, run->out_first, run->n, x);
}

static sy_status run_factors(const sy__call *call,
                             void (*visit)(const sy__walk *walk, const sy__run *run)) {
    const sy__shape *shape = &call->outputs[0]->shape;
    sy__walk walk = {.call = call, .output = call->outputs[0], .n_inputs = 2, .visit = visit};
    walk.n_inputs = call->node->n_inputs > 2 && call->inputs[2] != NULL ? 3 : 2;
    for (uint32_t i = 0; i < walk.n_inputs; i++) {
        uint32_t axis = 0;
        walk.inputs[i] = call->inputs[i];
        if (i == 0) {
            sy__ref_broadcast_strides(shape, shape, walk.strides[0]);
        } else if (!is_single(&call->inputs[i]->shape) &&
                   sy__ref_axis(call->params->axis, shape->rank, &axis)) {
            walk.strides[i][axis] = 1;
        }
    }
    return sy__ref_walk_run(&walk);
}

SY__RUN(quantize) {
    return run_factors(call, visit_quantize);
}

SY__RUN(dequantize) {
    return run_factors(call, visit_dequantize);
}
