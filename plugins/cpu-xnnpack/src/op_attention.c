/* SPDX-License-Identifier: Apache-2.0 */
/* RotaryEmbedding and Attention: what is asked, and the steps. The work is in attend_item.c. */
#include "attend.h"
#include "rotary.h"

static bool attention_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                            cpu_params *out_params, kit_answer *answer) {
    kit_attention attention;
    (void)device;
    (void)op;
    if (!kit_check_attention(node, &attention, answer)) {
        return false;
    }
    out_params->n_heads = attention.n_heads;
    out_params->n_kv_heads = attention.n_kv_heads;
    out_params->window = attention.window;
    out_params->softcap = attention.softcap;
    out_params->scale = attention.scale;
    out_params->causal = attention.causal;
    out_params->has_states = attention.has_states;
    out_params->k = (uint64_t)attention.head_size;
    out_params->n = (uint64_t)attention.value_size;
    for (uint32_t i = 0; i < 2; i++) {
        out_params->heads[i].norm = out_params->heads[i].table = SY_NO_VALUE;
    }
    answer->confidence = 0.2f;
    answer->score = 75;
    return true;
}

static sy_status states_check(cpu_run *run, const cpu_step *step, uint32_t s) {
    const uint32_t inputs[2] = {CPU_IN_KEY_STATE, CPU_IN_VALUE_STATE};
    const uint64_t widths[2] = {step->params.k, step->params.n};
    for (int i = 0; i < 2; i++) {
        const sy_state_description *d = &cpu_run_state(run, step, inputs[i], s)->description;
        if (d->width != widths[i] * (uint64_t)step->params.n_kv_heads ||
            d->type != cpu_run_in(run, step, inputs[i])->type) {
            return kit_report(SY_INVALID_ARGUMENT, step->i_node,
                              "the state of sequence %u has rows of %u %s, not what the node needs",
                              s, d->width, kit_type_name(d->type));
        }
        uint64_t window = (uint64_t)step->params.window;
        if (kit_state_is_windowed(cpu_run_state(run, step, inputs[i], s)) &&
            (window == 0 || window > d->window)) {
            return kit_report(SY_INVALID_ARGUMENT, step->i_node,
                              "the node looks back further than the %u rows that the state of "
                              "sequence %u keeps",
                              d->window, s);
        }
    }
    return SY_OK;
}

static sy_status sequences_check(cpu_run *run, const cpu_step *step, uint64_t *out_cost) {
    const sy_job *job = run->job;
    uint64_t n_rows = cpu_tensor_rows(cpu_run_in(run, step, CPU_IN_Q)), cost = 0;
    for (uint32_t s = 0; s < job->n_sequences; s++) {
        const sy_sequence *sequence = &job->sequences[s];
        if ((uint64_t)sequence->first_row + sequence->n_tokens > n_rows) {
            return kit_report(SY_INVALID_ARGUMENT, step->i_node,
                              "sequence %u has rows %u + %u, the step has %llu", s,
                              sequence->first_row, sequence->n_tokens, (unsigned long long)n_rows);
        }
        sy_status status = step->params.has_states ? states_check(run, step, s) : SY_OK;
        if (status != SY_OK) {
            return status;
        }
        cost += sequence->n_tokens * ((uint64_t)sequence->n_past + sequence->n_tokens);
    }
    *out_cost = cost * (uint64_t)step->params.n_heads * step->params.k / 8;
    return SY_OK;
}

static sy_status attention_run(cpu_run *run, const cpu_step *step) {
    cpu_attention_step work;
    uint64_t cost = 0;
    sy_status status = sequences_check(run, step, &cost);
    if (status != SY_OK) {
        return status;
    }
    cpu_attention_start(&work, run, step);
    if (step->params.has_states && step->in[CPU_IN_K] != SY_NO_VALUE && !work.appends) {
        status = cpu_run_tasks(run, cpu_append_task, &work, cpu_append_tasks(&work),
                               cpu_run_in(run, step, CPU_IN_Q)->n_elements);
    }
    return status == SY_OK
               ? cpu_run_tasks(run, cpu_attention_task, &work, cpu_attention_tasks(&work), cost)
               : status;
}

const cpu_operator cpu_operators_attention[] = {
    {.domain = "switchyard",
     .name = "RotaryEmbedding",
     .check = cpu_rotary_check,
     .prepare = cpu_rotary_prepare,
     .worker_bytes = cpu_rotary_worker_bytes,
     .run = cpu_rotary_run},
    {.domain = "switchyard",
     .name = "Attention",
     .check = attention_check,
     .worker_bytes = cpu_attention_worker_bytes,
     .run = attention_run},
    {.name = NULL},
};
