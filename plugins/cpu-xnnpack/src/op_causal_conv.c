/* SPDX-License-Identifier: Apache-2.0 */
/* CausalConvolution: a short kernel for each channel over the rows of a sequence. Rows in front of
 * the step come out of the state, those of the step go into it, both in canonical form. */
#include "unit.h"

#include <string.h>

enum { IN_X, IN_WEIGHT, IN_STATE };

#define ROWS_PER_TASK 8u

static bool convolution_check(const sy_device *device, const cpu_node *node, const cpu_operator *op,
                              cpu_params *out_params, cpu_answer *answer) {
    const sy_value_view *x = &node->in[IN_X], *w = &node->in[IN_WEIGHT], *y = &node->out[0];
    const sy_value_view *state = &node->in[IN_STATE];
    (void)device;
    (void)op;
    if (!cpu_attributes_known(node, NULL, answer) ||
        !cpu_require_type(x, SY_TYPE_F32, "x", answer) ||
        !cpu_require_type(y, SY_TYPE_F32, "y", answer) ||
        !cpu_require_type(w, SY_TYPE_F32, "weight", answer) ||
        !cpu_require_type(state, SY_TYPE_F32, "state", answer) ||
        !cpu_require_weight(w, "weight", answer)) {
        return false;
    }
    if (state->kind != SY_VALUE_STATE || state->rank != 2 || x->rank != 2 || w->rank != 2 ||
        !cpu_shape_same(x, y) || cpu_width(x) <= 0 || cpu_width(x) != w->dims[0].bound ||
        cpu_width(x) != cpu_width(state)) {
        return cpu_no(answer, SY_REASON_SHAPE, "x, weight, state and y do not fit together");
    }
    out_params->k = (uint64_t)cpu_width(x);
    out_params->inner = (uint64_t)cpu_width(w);
    out_params->n = out_params->k * out_params->inner;
    double n = cpu_typical_count(node->graph, x);
    answer->activation_bytes = 12.0 * n;
    answer->f32_ops = 2.0 * n * (double)out_params->inner;
    return true;
}

/* The kernel by place, so that the channels of one place lie side by side. */
static sy_status convolution_prepare(cpu_builder *builder, const cpu_node *node, cpu_step *step) {
    cpu_params *p = &step->params;
    if (cpu_builder_is_dry(builder)) {
        return SY_OK;
    }
    p->bias = cpu_alloc(p->n * sizeof(float));
    if (p->bias == NULL) {
        return cpu_report(SY_RESOURCE_EXHAUSTED, step->i_node, "no memory for a kernel");
    }
    const uint8_t *bytes = cpu_weight_bytes(&node->in[IN_WEIGHT]);
    for (uint64_t i = 0; i < p->n; i++) {
        memcpy(&p->bias[i % p->inner * p->k + i / p->inner], bytes + i * sizeof(float),
               sizeof(float));
    }
    cpu_builder_owns(builder, p->n * sizeof(float));
    return SY_OK;
}

/* The rows in front of a sequence's step. */
static uint64_t convolution_bytes(const cpu_node *node, const cpu_params *params) {
    (void)node;
    return params->n * sizeof(float);
}

typedef struct convolution {
    const cpu_params *p;
    const sy_sequence *sequence;
    const float *past; /* n_past rows, the last ones of the sequence */
    const float *x;    /* of the sequence */
    float *y;
    uint64_t n_past;
} convolution;

static void convolution_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const convolution *c = argument;
    uint64_t k = c->p->k, length = c->p->inner, first = (uint64_t)i_task * ROWS_PER_TASK;
    (void)i_worker;
    for (uint64_t r = first; r < first + ROWS_PER_TASK && r < c->sequence->n_tokens; r++) {
        float *y = c->y + r * k;
        memset(y, 0, k * sizeof(float));
        for (uint64_t j = 0; j < length; j++) {
            if (r + c->n_past + j + 1 < length) {
                continue; /* in front of the sequence: 0 */
            }
            uint64_t at = r + c->n_past + j + 1 - length; /* counted from the first past row */
            const float *row = at < c->n_past ? c->past + at * k : c->x + (at - c->n_past) * k;
            const float *weight = c->p->bias + j * k;
            for (uint64_t i = 0; i < k; i++) {
                y[i] += weight[i] * row[i];
            }
        }
    }
}

static sy_status sequence_run(cpu_run *run, const cpu_step *step, uint32_t i_sequence) {
    const cpu_params *p = &step->params;
    const sy_sequence *sequence = &run->job->sequences[i_sequence];
    sy_state *state = cpu_run_state(run, step, IN_STATE, i_sequence);
    float *past = (float *)(void *)cpu_run_worker(run, 0);
    uint64_t row_bytes = p->k * sizeof(float), first = sequence->first_row * p->k;
    uint64_t n_past = sequence->n_past < p->inner - 1 ? sequence->n_past : p->inner - 1;
    convolution c = {.p = p,
                     .sequence = sequence,
                     .past = past,
                     .x = (const float *)(const void *)cpu_run_in(run, step, IN_X)->data + first,
                     .y = (float *)(void *)cpu_run_out(run, step, 0)->data + first,
                     .n_past = n_past};
    sy_status status =
        cpu_state_save(state, sequence->n_past - n_past, n_past, past, n_past * row_bytes);
    if (status == SY_OK) {
        status = cpu_run_tasks(run, convolution_task, &c,
                               (sequence->n_tokens + ROWS_PER_TASK - 1) / ROWS_PER_TASK,
                               sequence->n_tokens * p->n);
    }
    return status == SY_OK ? cpu_state_load(state, sequence->n_past, sequence->n_tokens, c.x,
                                            sequence->n_tokens * row_bytes)
                           : status;
}

static sy_status convolution_run(cpu_run *run, const cpu_step *step) {
    sy_status status = SY_OK;
    for (uint32_t s = 0; status == SY_OK && s < run->job->n_sequences; s++) {
        status = sequence_run(run, step, s);
    }
    return status;
}

const cpu_operator cpu_operators_causal_conv[] = {
    {.domain = "switchyard",
     .name = "CausalConvolution",
     .version = 1,
     .n_in_least = 3,
     .n_in_most = 3,
     .n_out = 1,
     .check = convolution_check,
     .prepare = convolution_prepare,
     .worker_bytes = convolution_bytes,
     .run = convolution_run},
    {.name = NULL},
};
