/* SPDX-License-Identifier: Apache-2.0 */
/* CausalConvolution: every channel with a short kernel over the rows of its own sequence, which a
 * state keeps. */
#include "base/checked.h"
#include "reference/blocks.h"
#include "reference/element.h"
#include "reference/operators.h"
#include "reference/state.h"
#include "switchyard/types.h"

#include <string.h>

enum { IN_X, IN_WEIGHT, IN_STATE };

SY__PREPARE(causal_convolution) {
    if (facts->inputs[IN_STATE]->kind != SY_VALUE_STATE) {
        return sy__ref_refuse(facts, SY_REASON_OTHER, "input 2 is no STATE");
    }
    if (!sy__row_can_encode(facts->inputs[IN_STATE]->type)) {
        return sy__ref_refuse(facts, SY_REASON_TYPE, "a state of this type");
    }
    return sy__ref_require_float_in(facts, IN_X) &&
           sy__ref_require_type_in(facts, IN_WEIGHT, SY_TYPE_F32) &&
           sy__ref_require_float_out(facts, 0);
}

SY__INFER(causal_convolution) {
    (void)params;
    (void)n_inputs;
    (void)n_outputs;
    const sy__shape *x = &inputs[IN_X]->shape, *w = &inputs[IN_WEIGHT]->shape;
    const sy__shape *state = &inputs[IN_STATE]->shape;
    if (x->rank != 2 || w->rank != 2 || state->rank != 2 || w->dims[1] < 1 ||
        x->dims[1] != w->dims[0] || x->dims[1] != state->dims[1]) {
        return false;
    }
    out_shapes[0] = *x;
    return true;
}

/* For each worker: one row as f32, one of sums. */
SY__WORK(causal_convolution) {
    uint64_t n_bytes = 0;
    uint64_t n = (uint64_t)facts->inputs[IN_X]->shape.dims[1];
    return sy__mul_u64(n, (uint64_t)n_workers * (sizeof(float) + sizeof(double)), &n_bytes)
               ? n_bytes
               : UINT64_MAX;
}

static sy_state *state_of(const sy__call *call, uint32_t i_sequence) {
    const sy_job *job = call->job;
    return job->states[(uint64_t)i_sequence * job->n_states + call->inputs[IN_STATE]->i_slot];
}

/* Row i of a sequence: what the kernel makes of it and the rows in front of it. */
static void convolve_row(const sy__call *call, uint32_t i_sequence, uint64_t i, double *sums,
                         float *row) {
    const sy_sequence *sequence = &call->job->sequences[i_sequence];
    const sy_state *state = state_of(call, i_sequence);
    int64_t n = call->inputs[IN_X]->shape.dims[1], length = call->inputs[IN_WEIGHT]->shape.dims[1];
    int64_t position = (int64_t)(sequence->n_past + i);
    memset(sums, 0, (size_t)n * sizeof(double));
    for (int64_t j = position < length ? length - 1 - position : 0; j < length; j++) {
        uint64_t at = (uint64_t)(position - length + 1 + j);
        sy_status status =
            sy__row_decode(state->type, sy__ref_state_row(state, at), (size_t)n, row);
        (void)status; /* type and size were checked at load */
        for (int64_t c = 0; c < n; c++) {
            double weight = 0.0;
            sy__ref_get_f64(call->inputs[IN_WEIGHT], c * length + j, 1, 1, &weight);
            sums[c] += weight * (double)row[c];
        }
    }
    sy__ref_put_f64(call->outputs[0], (int64_t)(sequence->first_row + i) * n, n, sums);
}

/* A sequence is a task: its rows are written first. */
static void causal_convolution_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const sy__call *call = argument;
    const sy_sequence *sequence = &call->job->sequences[i_task];
    const sy__tensor *x = call->inputs[IN_X];
    sy_state *state = state_of(call, i_task);
    int64_t n = x->shape.dims[1];
    double *sums = (double *)(void *)call->work + (int64_t)i_worker * n;
    float *row =
        (float *)(void *)((double *)(void *)call->work + (int64_t)call->device->n_workers * n) +
        (int64_t)i_worker * n;
    for (uint64_t i = 0; i < sequence->n_tokens; i++) {
        const uint8_t *bytes = (const uint8_t *)x->data + (size_t)(sequence->first_row + i) *
                                                              (size_t)n *
                                                              sy__ref_element_bytes(x->type);
        sy_status status = sy__row_decode(x->type, bytes, (size_t)n, row);
        if (status == SY_OK) {
            status = sy__row_encode(state->type, row, (size_t)n,
                                    sy__ref_state_row(state, sequence->n_past + i));
        }
        (void)status; /* types were checked at load */
    }
    for (uint64_t i = 0; i < sequence->n_tokens; i++) {
        convolve_row(call, i_task, i, sums, row);
    }
}

SY__RUN(causal_convolution) {
    sy__call copy = *call; /* tasks take a pointer without const */
    return sy__ref_parallel(call, causal_convolution_task, &copy, call->job->n_sequences);
}
