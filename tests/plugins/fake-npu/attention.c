/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of the fake NPU over its own states: two passes over the rows, in double. */
#include "fake_npu.h"

#include <math.h>
#include <string.h>

typedef struct head {
    const fake_node *node;
    const float *q, *keys, *values; /* of this head: first element of row 0 */
    int64_t key_stride, value_stride, size, value_size;
    int64_t first, last; /* rows seen */
    double scale, sink;
    int has_sink;
} head;

static double score(const head *h, int64_t row) {
    double sum = 0;
    for (int64_t i = 0; i < h->size; i++) {
        sum += (double)h->q[i] * (double)h->keys[row * h->key_stride + i];
    }
    sum *= h->scale;
    double cap = (double)h->node->set.softcap;
    return cap > 0 ? cap * tanh(sum / cap) : sum;
}

static void attend(const head *h, float *y) {
    double best = h->has_sink ? h->sink : -INFINITY, total = 0, out[1024] = {0};
    for (int64_t row = h->first; row <= h->last; row++) {
        double s = score(h, row);
        best = s > best ? s : best;
    }
    for (int64_t row = h->first; row <= h->last; row++) {
        double weight = exp(score(h, row) - best);
        total += weight;
        for (int64_t i = 0; i < h->value_size; i++) {
            out[i] += weight * (double)h->values[row * h->value_stride + i];
        }
    }
    total += h->has_sink ? exp(h->sink - best) : 0;
    for (int64_t i = 0; i < h->value_size; i++) {
        y[i] = (float)(out[i] / total);
    }
}

/* Rows go through the canonical type, so that a saved and restored state gives the same bits. */
static void write_rows(sy_state *state, uint64_t first, const float *rows, uint64_t n) {
    float *to = state->rows + first * state->width;
    for (uint64_t i = 0; i < n * state->width; i++) {
        to[i] = state->type == SY_TYPE_F16 ? fake_from_half(fake_to_half(rows[i])) : rows[i];
    }
}

static void set_range(head *h, int64_t position, int64_t n_rows) {
    int64_t window = h->node->set.window;
    h->last = h->node->set.causal ? position : n_rows - 1;
    h->first = window > 0 && position - window + 1 > 0 ? position - window + 1 : 0;
    if (!h->node->set.causal && window > 0 && position + window - 1 < h->last) {
        h->last = position + window - 1;
    }
}

sy_status fake_run_attention(const sy_unit *unit, const fake_node *node, const sy_job *job) {
    const float *q = (const void *)fake_bytes(unit, job, node->in[0]);
    const float *k = (const void *)fake_bytes(unit, job, node->in[1]);
    const float *v = (const void *)fake_bytes(unit, job, node->in[2]);
    const float *sinks =
        node->in[5] != SY_NO_VALUE ? (const void *)fake_bytes(unit, job, node->in[5]) : NULL;
    float *y = (void *)fake_bytes(unit, job, node->out[0]);
    int64_t width = fake_length(&unit->values[node->in[0]], job, 1);
    for (uint32_t s = 0; s < job->n_sequences; s++) {
        const sy_sequence *sequence = &job->sequences[s];
        sy_state *keys = job->states[s * job->n_states + node->states[0]];
        sy_state *values = job->states[s * job->n_states + node->states[1]];
        uint64_t n_rows = (uint64_t)sequence->n_past + sequence->n_tokens;
        int64_t value_size = (int64_t)values->width / node->set.n_kv_heads;
        if (n_rows > keys->n_rows || n_rows > values->n_rows || value_size > 1024) {
            return SY_OUT_OF_RANGE;
        }
        write_rows(keys, sequence->n_past, k + sequence->first_row * keys->width,
                   sequence->n_tokens);
        write_rows(values, sequence->n_past, v + sequence->first_row * values->width,
                   sequence->n_tokens);
        for (uint32_t t = 0; t < sequence->n_tokens * node->set.n_heads; t++) {
            uint32_t i = t / node->set.n_heads, i_head = t % node->set.n_heads;
            int64_t group = i_head / (node->set.n_heads / node->set.n_kv_heads),
                    size = width / node->set.n_heads;
            int64_t row = sequence->first_row + i;
            head h = {.node = node,
                      .q = q + row * width + i_head * size,
                      .keys = keys->rows + group * size,
                      .values = values->rows + group * value_size,
                      .key_stride = (int64_t)keys->width,
                      .value_stride = (int64_t)values->width,
                      .size = size,
                      .value_size = value_size,
                      .scale =
                          node->set.scale > 0 ? (double)node->set.scale : 1.0 / sqrt((double)size),
                      .sink = sinks != NULL ? (double)sinks[i_head] : 0,
                      .has_sink = sinks != NULL};
            set_range(&h, (int64_t)sequence->n_past + i, (int64_t)n_rows);
            attend(&h, y + row * node->set.n_heads * value_size + i_head * value_size);
        }
    }
    return SY_OK;
}
