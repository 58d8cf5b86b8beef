/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of k and v on their way into the states, and what happens to the heads of q and k. */
#include "attend.h"

#include <string.h>

#define APPEND_ROWS 8u

/* A value between two steps has the type of the tensors: what the next step reads is rounded. */
static void round_to(const cpu_run *run, sy_element_type type, float *values, uint64_t n) {
    uint16_t rounded[64];
    const cpu_type_kernels *kernels = cpu_kernels_of(run->kernels, type);
    for (uint64_t i = 0; type != SY_TYPE_F32 && i < n; i += 64) {
        uint64_t count = n - i < 64 ? n - i : 64;
        kernels->encode(values + i, count, (uint8_t *)rounded);
        kernels->decode((const uint8_t *)rounded, count, values + i);
    }
}

const float *cpu_head_steps_run(const cpu_run *run, const cpu_head_steps *steps,
                                const cpu_heads *heads, float *space) {
    const cpu_row_kernels *kernels = run->kernels->rows;
    const float *from = heads->values;
    uint64_t n = heads->n, d = heads->d;
    if (steps->norm != SY_NO_VALUE) {
        const float *scale = (const float *)(const void *)run->tensors[steps->norm].data;
        for (uint64_t h = 0; h < n; h++) {
            kernels->rms_norm(from + h * d, scale, d, (float)steps->epsilon, space + h * d);
        }
        round_to(run, heads->type, space, n * d);
        from = space;
    }
    if (steps->table != SY_NO_VALUE) {
        const float *table = (const float *)(const void *)run->tensors[steps->table].data;
        for (uint64_t h = 0; h < n; h++) {
            kernels->rotate(from + h * d, d, steps->n_pairs, steps->interleaved,
                            table + 2 * steps->n_pairs * heads->row, space + h * d);
        }
        round_to(run, heads->type, space, n * d);
        from = space;
    }
    return from;
}

static void put(const cpu_run *run, sy_state *state, uint64_t position, uint64_t first, uint64_t n,
                const float *values, uint8_t *bytes) {
    const cpu_state_layout *layout = cpu_layout_of(state);
    cpu_kernels_of(run->kernels, layout->type)->encode(values, n, bytes);
    cpu_state_put(layout, cpu_state_block_of(state, position), position % CPU_BLOCK, first, n,
                  bytes);
}

uint64_t cpu_append_floats(const cpu_params *p) {
    return 3 * (p->k > p->n ? p->k : p->n) * (uint64_t)p->n_kv_heads;
}

void cpu_append_row(const cpu_attention_step *work, uint32_t s, uint64_t row, uint64_t first,
                    uint64_t n, float *space) {
    const cpu_run *run = work->run;
    const cpu_params *p = &work->step->params;
    const sy_sequence *sequence = &run->job->sequences[s];
    const cpu_tensor *k = cpu_run_in(run, work->step, CPU_IN_K);
    const cpu_tensor *v = cpu_run_in(run, work->step, CPU_IN_V);
    uint64_t at = sequence->first_row + row, position = sequence->n_past + row;
    uint64_t longest = cpu_append_floats(p) / 3;
    float *turned = space + longest;
    uint8_t *bytes = (uint8_t *)(turned + longest);
    const float *values =
        cpu_floats_read(run, k, at * cpu_tensor_width(k) + first * p->k, n * p->k, space);
    const cpu_heads heads = {values, n, p->k, at, k->type};
    values = cpu_head_steps_run(run, &p->heads[1], &heads, turned);
    put(run, cpu_run_state(run, work->step, CPU_IN_KEY_STATE, s), position, first * p->k, n * p->k,
        values, bytes);
    values = cpu_floats_read(run, v, at * cpu_tensor_width(v) + first * p->n, n * p->n, space);
    put(run, cpu_run_state(run, work->step, CPU_IN_VALUE_STATE, s), position, first * p->n,
        n * p->n, values, bytes);
}

static uint64_t tasks_of(const sy_sequence *sequence) {
    return ((uint64_t)sequence->n_tokens + APPEND_ROWS - 1) / APPEND_ROWS;
}

uint64_t cpu_append_tasks(const cpu_attention_step *work) {
    uint64_t n = 0;
    for (uint32_t s = 0; s < work->run->job->n_sequences; s++) {
        n += tasks_of(&work->run->job->sequences[s]);
    }
    return n;
}

void cpu_append_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const cpu_attention_step *work = argument;
    const sy_job *job = work->run->job;
    uint64_t i = i_task;
    uint32_t s = 0;
    while (i >= tasks_of(&job->sequences[s])) {
        i -= tasks_of(&job->sequences[s++]);
    }
    float *space = (float *)(void *)cpu_run_worker(work->run, i_worker);
    uint64_t n_rows = job->sequences[s].n_tokens;
    for (uint64_t row = i * APPEND_ROWS; row < (i + 1) * APPEND_ROWS && row < n_rows; row++) {
        cpu_append_row(work, s, row, 0, work->n_groups, space);
    }
}
