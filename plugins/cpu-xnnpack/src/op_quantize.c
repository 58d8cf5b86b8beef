/* SPDX-License-Identifier: Apache-2.0 */
/* QuantizeLinear and DequantizeLinear where they stand alone; between operators of an int8 network
 * they melt into XNNPACK's int8 operators. */
#include "op_image.h"

#include <math.h>
#include <string.h>

#define PIECE 4096u /* elements of one task */

/* One scale, or one for each index of an axis behind which all dimensions are fixed. */
static bool factors_read(const kit_node *node, const kit_quantize *quantize, cpu_params *out_params,
                         kit_answer *answer) {
    const sy_value_view *x = &node->in[0];
    out_params->axis = quantize->is_single ? -1 : (int64_t)quantize->axis;
    out_params->inner = 1;
    for (uint32_t i = quantize->axis + 1; !quantize->is_single && i < x->rank; i++) {
        if (x->dims[i].symbol != 0) {
            return kit_no(answer, SY_REASON_SHAPE, "x, scale and zero point do not fit together");
        }
        out_params->inner *= (uint64_t)x->dims[i].bound;
    }
    return true;
}

static bool quantize_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                           cpu_params *out_params, kit_answer *answer) {
    kit_quantize quantize;
    (void)device;
    (void)op;
    return kit_check_quantize(node, &quantize, answer) &&
           factors_read(node, &quantize, out_params, answer);
}

static bool dequantize_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                             cpu_params *out_params, kit_answer *answer) {
    kit_quantize quantize;
    (void)device;
    (void)op;
    return kit_check_dequantize(node, &quantize, answer) &&
           factors_read(node, &quantize, out_params, answer);
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

static uint64_t piece_bytes(const kit_node *node, const cpu_params *params) {
    (void)node;
    (void)params;
    return PIECE * sizeof(float);
}

const cpu_operator cpu_operators_quantize[] = {
    {.domain = "",
     .name = "QuantizeLinear",
     .check = quantize_check,
     .worker_bytes = piece_bytes,
     .run = factors_run},
    {.domain = "",
     .name = "DequantizeLinear",
     .variant = 1,
     .check = dequantize_check,
     .run = factors_run},
    {.name = NULL},
};
