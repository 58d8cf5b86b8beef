/* SPDX-License-Identifier: Apache-2.0 */
/* CausalConvolution: a short kernel for each channel over the rows of a sequence. Rows in front of
 * the step come out of the state, those of the step go into it, both in canonical form. */
#include "unit.h"

#include <string.h>

enum { IN_X, IN_WEIGHT, IN_STATE };

#define ROWS_PER_TASK 8u

/* All in f32, and a constant kernel. */
static bool convolution_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                              cpu_params *out_params, kit_answer *answer) {
    kit_causal_convolution convolution;
    (void)device;
    (void)op;
    if (!kit_check_causal_convolution(node, &convolution, answer) ||
        !kit_require_type(&node->in[IN_X], SY_TYPE_F32, "x", answer) ||
        !kit_require_type(&node->in[IN_STATE], SY_TYPE_F32, "state", answer) ||
        !kit_require_weight(&node->in[IN_WEIGHT], "weight", answer)) {
        return false;
    }
    out_params->k = (uint64_t)convolution.n_channels;
    out_params->inner = (uint64_t)convolution.length;
    out_params->n = out_params->k * out_params->inner;
    return true;
}

/* The kernel by place, so that the channels of one place lie side by side. */
static sy_status convolution_prepare(cpu_builder *builder, const kit_node *node, cpu_step *step) {
    cpu_params *p = &step->params;
    if (cpu_builder_is_dry(builder)) {
        return SY_OK;
    }
    p->bias = kit_alloc(p->n * sizeof(float));
    if (p->bias == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, step->i_node, "no memory for a kernel");
    }
    const uint8_t *bytes = kit_weight_bytes(&node->in[IN_WEIGHT]);
    for (uint64_t i = 0; i < p->n; i++) {
        memcpy(&p->bias[i % p->inner * p->k + i / p->inner], bytes + i * sizeof(float),
               sizeof(float));
    }
    cpu_builder_owns(builder, p->n * sizeof(float));
    return SY_OK;
}

/* The rows in front of a sequence's step. */
static uint64_t convolution_bytes(const kit_node *node, const cpu_params *params) {
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
        kit_state_save(state, sequence->n_past - n_past, n_past, past, n_past * row_bytes);
    if (status == SY_OK) {
        status = cpu_run_tasks(run, convolution_task, &c,
                               (sequence->n_tokens + ROWS_PER_TASK - 1) / ROWS_PER_TASK,
                               sequence->n_tokens * p->n);
    }
    return status == SY_OK ? kit_state_load(state, sequence->n_past, sequence->n_tokens, c.x,
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
     .check = convolution_check,
     .prepare = convolution_prepare,
     .worker_bytes = convolution_bytes,
     .run = convolution_run},
    {.name = NULL},
};
