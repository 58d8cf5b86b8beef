/* SPDX-License-Identifier: Apache-2.0 */
/* QuantizeLinear and DequantizeLinear where they stand alone; between operators of an int8 network
 * they melt into XNNPACK's int8 operators. */
#include "op_image.h"

#include <math.h>
#include <string.h>

#define PIECE 4096u /* elements of one task */

static bool factors_check(const cpu_node *node, const sy_value_view *byte, cpu_params *out_params,
                          cpu_answer *answer) {
    static const char *const names[] = {"axis", "block_size", NULL};
    const sy_value_view *x = &node->in[0], *y = &node->out[0], *scale = &node->in[1];
    bool has_zero = node->n_in > 2 && node->has_in[2];
    int64_t axis = 0, block_size = 0;
    if (!cpu_attributes_known(node, names, answer) ||
        !cpu_attribute_int(node, "axis", 1, &axis, answer) ||
        !cpu_attribute_int(node, "block_size", 0, &block_size, answer) ||
        !cpu_require_type(scale, SY_TYPE_F32, "the scale", answer)) {
        return false;
    }
    bool single = scale->rank == 0 || (scale->rank == 1 && cpu_width(scale) == 1);
    axis += axis < 0 ? (int64_t)x->rank : 0;
    bool fits =
        cpu_shape_same(x, y) && block_size == 0 &&
        (!has_zero || (cpu_shape_same(scale, &node->in[2]) && node->in[2].type == byte->type));
    out_params->inner = 1;
    if (!single) {
        fits = fits && scale->rank == 1 && axis >= 0 && axis < (int64_t)x->rank &&
               cpu_dimension_same(&scale->dims[0], &x->dims[axis]);
        for (int64_t i = axis + 1; fits && i < (int64_t)x->rank; i++) {
            fits = x->dims[i].symbol == 0;
            out_params->inner *= (uint64_t)x->dims[i].bound;
        }
    }
    out_params->axis = single ? -1 : axis;
    answer->activation_bytes = 5.0 * cpu_typical_count(node->graph, x);
    answer->f32_ops = 4.0 * cpu_typical_count(node->graph, x);
    return fits || cpu_no(answer, SY_REASON_SHAPE, "x, scale and zero point do not fit together");
}

static bool quantize_check(const sy_device *device, const cpu_node *node, const cpu_operator *op,
                           cpu_params *out_params, cpu_answer *answer) {
    const sy_value_view *y = &node->out[0];
    (void)device;
    (void)op;
    if (!cpu_require_float(&node->in[0], "x", answer)) {
        return false;
    }
    return (y->type == SY_TYPE_I8 || y->type == SY_TYPE_U8 ||
            cpu_no(answer, SY_REASON_TYPE, "the output is neither i8 nor u8")) &&
           factors_check(node, y, out_params, answer);
}

static bool dequantize_check(const sy_device *device, const cpu_node *node, const cpu_operator *op,
                             cpu_params *out_params, cpu_answer *answer) {
    const sy_value_view *x = &node->in[0];
    (void)device;
    (void)op;
    if (x->type != SY_TYPE_I8 && x->type != SY_TYPE_U8 && x->type != SY_TYPE_I32) {
        return cpu_no(answer, SY_REASON_TYPE, "the input is neither i8, u8 nor i32");
    }
    return cpu_require_type(&node->out[0], SY_TYPE_F32, "the output", answer) &&
           factors_check(node, x, out_params, answer);
}

typedef struct factors {
    cpu_run *run;
    const cpu_step *step;
    const cpu_tensor *x, *scale, *zero, *y;
} factors;

static int32_t integer_at(const cpu_tensor *t, uint64_t i) {
    int32_t wide = 0;
    switch (t->type) {
    case SY_TYPE_I8:
        return (int8_t)t->data[i];
    case SY_TYPE_U8:
        return t->data[i];
    default:
        memcpy(&wide, t->data + 4 * i, 4);
        return wide;
    }
}

static uint64_t factor_of(const factors *f, uint64_t i_element) {
    return f->step->params.axis >= 0 ? i_element / f->step->params.inner % f->scale->n_elements : 0;
}

static void quantize_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const factors *f = argument;
    uint64_t first = (uint64_t)i_task * PIECE, n = f->y->n_elements - first;
    n = n < PIECE ? n : PIECE;
    float *space = (float *)(void *)cpu_run_worker(f->run, i_worker);
    const float *x = cpu_floats_read(f->run, f->x, first, n, space);
    const float *scales = (const float *)(const void *)f->scale->data;
    bool is_signed = f->y->type == SY_TYPE_I8;
    float low = is_signed ? -128.0f : 0.0f, high = is_signed ? 127.0f : 255.0f;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = factor_of(f, first + i);
        float zero = f->zero != NULL ? (float)integer_at(f->zero, at) : 0.0f;
        float value = rintf(x[i] / scales[at]) + zero;
        value = isnan(value) ? zero : fminf(fmaxf(value, low), high);
        f->y->data[first + i] = (uint8_t)(int32_t)value;
    }
}

static void dequantize_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const factors *f = argument;
    uint64_t first = (uint64_t)i_task * PIECE, end = first + PIECE;
    const float *scales = (const float *)(const void *)f->scale->data;
    float *y = (float *)(void *)f->y->data;
    (void)i_worker;
    end = end < f->y->n_elements ? end : f->y->n_elements;
    for (uint64_t i = first; i < end; i++) {
        uint64_t at = factor_of(f, i);
        int64_t zero = f->zero != NULL ? integer_at(f->zero, at) : 0;
        y[i] = (float)((double)(integer_at(f->x, i) - zero) * (double)scales[at]);
    }
}

static sy_status factors_run(cpu_run *run, const cpu_step *step) {
    factors f = {.run = run, .step = step, .x = cpu_run_in(run, step, 0)};
    f.scale = cpu_run_in(run, step, 1);
    f.zero = cpu_run_in(run, step, 2);
    f.y = cpu_run_out(run, step, 0);
    uint64_t n = f.y->n_elements;
    return cpu_run_tasks(run, step->operator->variant != 0 ? dequantize_task : quantize_task, &f,
                         (n + PIECE - 1) / PIECE, n * 4);
}

static uint64_t piece_bytes(const cpu_node *node, const cpu_params *params) {
    (void)node;
    (void)params;
    return PIECE * sizeof(float);
}

const cpu_operator cpu_operators_quantize[] = {
    {.domain = "",
     .name = "QuantizeLinear",
     .version = 21,
     .n_in_least = 2,
     .n_in_most = 3,
     .n_out = 1,
     .check = quantize_check,
     .worker_bytes = piece_bytes,
     .run = factors_run},
    {.domain = "",
     .name = "DequantizeLinear",
     .version = 21,
     .n_in_least = 2,
     .n_in_most = 3,
     .n_out = 1,
     .variant = 1,
     .check = dequantize_check,
     .run = factors_run},
    {.name = NULL},
};
