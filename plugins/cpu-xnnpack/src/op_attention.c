/* SPDX-License-Identifier: Apache-2.0 */
/* RotaryEmbedding and Attention: what is asked, and the steps. The work is in attend_item.c. */
#include "attend.h"
#include "rotary.h"

#include <math.h>

static bool given(const cpu_node *node, uint32_t i) {
    return i < node->n_in && node->has_in[i];
}

static bool state_check(const sy_value_view *state, int64_t width, cpu_answer *answer) {
    if (state->kind != SY_VALUE_STATE || state->rank != 2) {
        return cpu_no(answer, SY_REASON_SHAPE, "a state input is no STATE of rank 2");
    }
    if (!cpu_type_is_float(state->type) && state->type != SY_TYPE_Q8_0 &&
        state->type != SY_TYPE_Q4_0) {
        return cpu_no(answer, SY_REASON_TYPE, "states of type %s are not kept here",
                      cpu_type_name(state->type));
    }
    if (cpu_width(state) != width || width <= 0 || width % cpu_type_block(state->type) != 0) {
        return cpu_no(answer, SY_REASON_SHAPE, "a state's width does not fit the heads");
    }
    return true;
}

static bool rows_check(const cpu_node *node, uint32_t i, int64_t width, const char *what,
                       cpu_answer *answer) {
    const sy_value_view *x = &node->in[i], *q = &node->in[CPU_IN_Q];
    if (x->kind == SY_VALUE_STATE || !cpu_require_float(x, what, answer)) {
        return x->kind != SY_VALUE_STATE || cpu_no(answer, SY_REASON_OTHER, "%s is a STATE", what);
    }
    if (x->rank != 2 || cpu_width(x) != width || width <= 0 ||
        !cpu_dimension_same(&x->dims[0], &q->dims[0])) {
        return cpu_no(answer, SY_REASON_SHAPE, "%s does not fit q and the heads", what);
    }
    return true;
}

static bool attributes_check(const cpu_node *node, cpu_params *p, cpu_answer *answer) {
    static const char *const names[] = {"num_heads", "num_kv_heads", "scale", "softcap",
                                        "window",    "causal",       NULL};
    int64_t causal = 1, width = cpu_width(&node->in[CPU_IN_Q]);
    if (!cpu_attributes_known(node, names, answer) ||
        !cpu_attribute_int(node, "num_heads", 0, &p->n_heads, answer) ||
        !cpu_attribute_int(node, "num_kv_heads", 0, &p->n_kv_heads, answer) ||
        !cpu_attribute_int(node, "window", 0, &p->window, answer) ||
        !cpu_attribute_int(node, "causal", 1, &causal, answer) ||
        !cpu_attribute_float(node, "softcap", 0.0, &p->softcap, answer)) {
        return false;
    }
    if (p->n_heads <= 0 || p->n_kv_heads <= 0 || p->n_heads % p->n_kv_heads != 0 || width <= 0 ||
        width % p->n_heads != 0 || node->in[CPU_IN_Q].rank != 2) {
        return cpu_no(answer, SY_REASON_SHAPE,
                      "q [T, H x D], num_heads and num_kv_heads do not fit");
    }
    if (p->window < 0 || p->softcap < 0.0 || causal < 0 || causal > 1) {
        return cpu_no(answer, SY_REASON_ATTRIBUTE, "window, softcap or causal is out of range");
    }
    p->causal = causal == 1;
    p->heads[0].norm = p->heads[0].table = SY_NO_VALUE;
    p->heads[1].norm = p->heads[1].table = SY_NO_VALUE;
    p->k = (uint64_t)(width / p->n_heads);
    return cpu_attribute_float(node, "scale", 1.0 / sqrt((double)p->k), &p->scale, answer);
}

static bool inputs_check(const cpu_node *node, cpu_params *p, cpu_answer *answer) {
    bool has_rows = given(node, CPU_IN_K), has_states = given(node, CPU_IN_KEY_STATE);
    if (has_rows != given(node, CPU_IN_V) || has_states != given(node, CPU_IN_VALUE_STATE) ||
        (!has_rows && !has_states)) {
        return cpu_no(answer, SY_REASON_OTHER, "needs k and v, or both states, or all four");
    }
    if (!p->causal && has_states) {
        return cpu_no(answer, SY_REASON_ATTRIBUTE, "causal = 0 has no meaning with states");
    }
    int64_t key_width = (int64_t)p->k * p->n_kv_heads;
    int64_t value_width = cpu_width(&node->in[has_rows ? CPU_IN_V : CPU_IN_VALUE_STATE]);
    if (value_width <= 0 || value_width % p->n_kv_heads != 0) {
        return cpu_no(answer, SY_REASON_SHAPE, "v does not fit num_kv_heads");
    }
    p->n = (uint64_t)(value_width / p->n_kv_heads);
    p->has_states = has_states;
    return (!has_rows || (rows_check(node, CPU_IN_K, key_width, "k", answer) &&
                          rows_check(node, CPU_IN_V, value_width, "v", answer))) &&
           (!has_states || (state_check(&node->in[CPU_IN_KEY_STATE], key_width, answer) &&
                            state_check(&node->in[CPU_IN_VALUE_STATE], value_width, answer)));
}

static bool attention_check(const sy_device *device, const cpu_node *node, const cpu_operator *op,
                            cpu_params *p, cpu_answer *answer) {
    const sy_value_view *q = &node->in[CPU_IN_Q], *y = &node->out[0];
    (void)device;
    (void)op;
    if (!cpu_require_same_float(q, y, answer) || !attributes_check(node, p, answer) ||
        !inputs_check(node, p, answer)) {
        return false;
    }
    if (y->rank != 2 || !cpu_dimension_same(&y->dims[0], &q->dims[0]) ||
        cpu_width(y) != p->n_heads * (int64_t)p->n) {
        return cpu_no(answer, SY_REASON_SHAPE, "y is not [T, H x Dv]");
    }
    if (given(node, CPU_IN_SINKS)) {
        const sy_value_view *sinks = &node->in[CPU_IN_SINKS];
        if (!cpu_require_type(sinks, SY_TYPE_F32, "sinks", answer)) {
            return false;
        }
        if (sinks->rank != 1 || sinks->dims[0].symbol != 0 || sinks->dims[0].bound != p->n_heads) {
            return cpu_no(answer, SY_REASON_SHAPE, "sinks is not [H]");
        }
    }
    double n_queries = cpu_typical_count(node->graph, q) / (double)cpu_width(q);
    double n_rows = p->has_states ? 256.0 + n_queries / 2 : n_queries; /* how far in is not known */
    n_rows = p->window > 0 && n_rows > (double)p->window ? (double)p->window : n_rows;
    answer->f32_ops = 2.0 * n_queries * n_rows * (double)p->n_heads * (double)(p->k + p->n);
    answer->activation_bytes = 2.0 * n_rows * (double)p->n_kv_heads * (double)(p->k + p->n);
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
            return cpu_report(SY_INVALID_ARGUMENT, step->i_node,
                              "the state of sequence %u has rows of %u %s, not what the node needs",
                              s, d->width, cpu_type_name(d->type));
        }
        uint64_t window = (uint64_t)step->params.window;
        if (cpu_state_is_windowed(cpu_run_state(run, step, inputs[i], s)) &&
            (window == 0 || window > d->window)) {
            return cpu_report(SY_INVALID_ARGUMENT, step->i_node,
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
            return cpu_report(SY_INVALID_ARGUMENT, step->i_node,
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
     .version = 1,
     .n_in_least = 3,
     .n_in_most = 3,
     .n_out = 1,
     .check = cpu_rotary_check,
     .prepare = cpu_rotary_prepare,
     .worker_bytes = cpu_rotary_worker_bytes,
     .run = cpu_rotary_run},
    {.domain = "switchyard",
     .name = "Attention",
     .version = 1,
     .n_in_least = 1,
     .n_in_most = 6,
     .n_out = 1,
     .check = attention_check,
     .worker_bytes = cpu_attention_worker_bytes,
     .run = attention_run},
    {.name = NULL},
};
