/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention over ragged sequences, with the rows in states or in the step itself. A task is a few
 * query rows of one sequence times one group of heads; it reads each key and value row once and
 * keeps a running softmax (maximum, denominator, weighted sum) for every query. What a query gets
 * does not depend on the rows it shares a task with.
 */
#include "base/checked.h"
#include "reference/blocks.h"
#include "reference/element.h"
#include "reference/operators.h"
#include "reference/state.h"
#include "switchyard/types.h"

#include <math.h>
#include <string.h>

#define TASK_QUERIES 8

enum { IN_Q, IN_K, IN_V, IN_KEY_STATE, IN_VALUE_STATE, IN_SINKS, N_IN };

static bool prepare_attributes(sy__facts *facts) {
    sy__params *p = &facts->params;
    if (!sy__ref_attribute_int(facts, "num_heads", 0, &p->n_heads) ||
        !sy__ref_attribute_int(facts, "num_kv_heads", 0, &p->n_kv_heads) ||
        !sy__ref_attribute_float(facts, "softcap", 0.0, &p->softcap) ||
        !sy__ref_attribute_int(facts, "window", 0, &p->window) ||
        !sy__ref_attribute_bool(facts, "causal", true, &p->causal)) {
        return false;
    }
    if (p->n_heads <= 0 || p->n_kv_heads <= 0 || p->n_heads % p->n_kv_heads != 0) {
        return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE,
                              "num_heads is not a positive multiple of num_kv_heads");
    }
    if (p->window < 0 || p->softcap < 0.0) {
        return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "window or softcap is negative");
    }
    if (!p->causal && facts->inputs[IN_KEY_STATE] != NULL) {
        return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "causal = 0 has no meaning with states");
    }
    const sy__shape *q = &facts->inputs[IN_Q]->shape;
    int64_t head = q->rank == 2 ? q->dims[1] / p->n_heads : 0;
    if (head == 0 || q->dims[1] % p->n_heads != 0) {
        return sy__ref_refuse(facts, SY_REASON_SHAPE, "q is not [T, num_heads x head size]");
    }
    return sy__ref_attribute_float(facts, "scale", 1.0 / sqrt((double)head), &p->scale);
}

static bool check_state(sy__facts *facts, const sy__tensor *state) {
    if (state->kind != SY_VALUE_STATE || state->shape.rank != 2) {
        return sy__ref_refuse(facts, SY_REASON_SHAPE, "a state input is no STATE of rank 2");
    }
    return sy__row_can_encode(state->type) ||
           sy__ref_refuse(facts, SY_REASON_TYPE, "state of type %s",
                          sy_type_get(state->type)->name);
}

SY__PREPARE(attention) {
    const sy__tensor **in = facts->inputs;
    if ((in[IN_K] == NULL) != (in[IN_V] == NULL) ||
        (in[IN_KEY_STATE] == NULL) != (in[IN_VALUE_STATE] == NULL) ||
        (in[IN_K] == NULL && in[IN_KEY_STATE] == NULL)) {
        return sy__ref_refuse(facts, SY_REASON_OTHER, "needs k and v, or both states, or all four");
    }
    for (uint32_t i = IN_Q; i <= IN_V; i++) {
        if (!sy__ref_require_float_in(facts, i) ||
            (in[i] != NULL && in[i]->kind == SY_VALUE_STATE)) {
            return facts->reason != SY_REASON_NONE ||
                   sy__ref_refuse(facts, SY_REASON_OTHER, "q, k or v is a STATE");
        }
    }
    if (in[IN_KEY_STATE] != NULL &&
        (!check_state(facts, in[IN_KEY_STATE]) || !check_state(facts, in[IN_VALUE_STATE]))) {
        return false;
    }
    return sy__ref_require_type_in(facts, IN_SINKS, SY_TYPE_F32) &&
           sy__ref_require_float_out(facts, 0) && prepare_attributes(facts);
}

SY__INFER(attention) {
    const sy__shape *q = &inputs[IN_Q]->shape;
    bool has_states = n_inputs > IN_VALUE_STATE && inputs[IN_KEY_STATE] != NULL;
    bool has_rows = n_inputs > IN_V && inputs[IN_K] != NULL;
    int64_t n_groups = params->n_kv_heads;
    (void)n_outputs;
    if (q->rank != 2 || q->dims[1] % params->n_heads != 0) {
        return false;
    }
    const sy__shape *keys = &inputs[has_rows ? IN_K : IN_KEY_STATE]->shape;
    const sy__shape *values = &inputs[has_rows ? IN_V : IN_VALUE_STATE]->shape;
    if (keys->rank != 2 || values->rank != 2 ||
        keys->dims[1] != n_groups * (q->dims[1] / params->n_heads) ||
        values->dims[1] % n_groups != 0) {
        return false;
    }
    if (has_rows && (keys->dims[0] != q->dims[0] || values->dims[0] != q->dims[0])) {
        return false;
    }
    if (has_rows && has_states &&
        (inputs[IN_KEY_STATE]->shape.dims[1] != keys->dims[1] ||
         inputs[IN_VALUE_STATE]->shape.dims[1] != values->dims[1])) {
        return false;
    }
    const sy__tensor *sinks = n_inputs > IN_SINKS ? inputs[IN_SINKS] : NULL;
    if (sinks != NULL && (sinks->shape.rank != 1 || sinks->shape.dims[0] != params->n_heads)) {
        return false;
    }
    out_shapes[0] = (sy__shape){.rank = 2};
    out_shapes[0].dims[0] = q->dims[0];
    out_shapes[0].dims[1] = params->n_heads * (values->dims[1] / n_groups);
    return true;
}

/* Sizes of a call. */
typedef struct sizes {
    int64_t n_heads, n_groups, per_group; /* heads */
    int64_t head, value_head;             /* elements of a head of q and k, of v and y */
    int64_t key_width, value_width;
} sizes;

static sizes sizes_of(const sy__params *params, const sy__tensor *const *inputs) {
    const sy__tensor *values = inputs[IN_V] != NULL ? inputs[IN_V] : inputs[IN_VALUE_STATE];
    sizes s = {.n_heads = params->n_heads, .n_groups = params->n_kv_heads};
    s.per_group = s.n_heads / s.n_groups;
    s.head = inputs[IN_Q]->shape.dims[1] / s.n_heads;
    s.key_width = s.head * s.n_groups;
    s.value_width = values->shape.dims[1];
    s.value_head = s.value_width / s.n_groups;
    return s;
}

/* Work of one worker in f32-sized cells: one key and one value row; for each query of a task and
 * head of a group q, and in f64 the weighted sum, the maximum and the denominator. */
static uint64_t worker_bytes(const sizes *s) {
    uint64_t n_queries = (uint64_t)(TASK_QUERIES * s->per_group);
    uint64_t n_floats = (uint64_t)(s->key_width + s->value_width) + n_queries * (uint64_t)s->head;
    uint64_t n_doubles = n_queries * ((uint64_t)s->value_head + 2);
    uint64_t n_bytes = (n_floats + 1) * sizeof(float) + n_doubles * sizeof(double);
    return (n_bytes + SY__ALIGNMENT - 1) / SY__ALIGNMENT * SY__ALIGNMENT;
}

SY__WORK(attention) {
    sizes s = sizes_of(&facts->params, facts->inputs);
    uint64_t n_bytes = 0;
    return sy__mul_u64(worker_bytes(&s), n_workers, &n_bytes) ? n_bytes : UINT64_MAX;
}

SY__MACS(attention) {
    sizes s = sizes_of(&facts->params, facts->inputs);
    const sy__tensor *state = facts->inputs[IN_KEY_STATE];
    double n_queries = (double)facts->inputs[IN_Q]->shape.dims[0];
    double n_rows = state != NULL ? (double)state->shape.dims[0] / 2.0 : n_queries;
    if (facts->params.window > 0 && n_rows > (double)facts->params.window) {
        n_rows = (double)facts->params.window;
    }
    return n_queries * n_rows * (double)(s.n_heads * (s.head + s.value_head));
}

/* Rows [row 0, ...) of keys or values, wherever they are. */
typedef struct rows {
    const sy_state *state; /* or NULL */
    const uint8_t *bytes;  /* without a state */
    sy_element_type type;
    uint64_t row_bytes;
    int64_t width;
} rows;

static rows rows_of_state(const sy_state *state) {
    return (rows){state, NULL, state->type, state->row_bytes, (int64_t)state->width};
}

static rows rows_of_tensor(const sy__tensor *tensor, uint32_t first_row) {
    rows r = {.type = tensor->type, .width = tensor->shape.dims[1]};
    r.row_bytes = (uint64_t)r.width * sy__ref_element_bytes(r.type);
    r.bytes = (const uint8_t *)tensor->data + first_row * r.row_bytes;
    return r;
}

/* Decodes elements [first, first + n) of a row; into room for a whole row. */
static const float *read_row(const rows *r, int64_t i_row, int64_t first, int64_t n, float *room) {
    const sy_type_facts *facts = sy_type_get(r->type);
    const uint8_t *row = r->state != NULL ? sy__ref_state_row(r->state, (uint64_t)i_row)
                                          : r->bytes + (uint64_t)i_row * r->row_bytes;
    int64_t block = facts->n_block_elements;
    bool aligned = first % block == 0 && n % block == 0;
    sy_status status;
    if (aligned) {
        status =
            sy__row_decode(r->type, row + first / block * facts->n_block_bytes, (size_t)n, room);
    } else {
        status = sy__row_decode(r->type, row, (size_t)r->width, room);
    }
    (void)status; /* type and width were checked when the state was made */
    return aligned ? room : room + first;
}

static sy_state *state_of(const sy__call *call, uint32_t i_input, uint32_t i_sequence) {
    const sy_job *job = call->job;
    return job->states[(uint64_t)i_sequence * job->n_states + call->inputs[i_input]->i_slot];
}

/* Writes the step's rows of k or v behind the committed ones. */
static sy_status append(const sy__call *call, uint32_t i_tensor, uint32_t i_state,
                        uint32_t i_sequence) {
    const sy_sequence *sequence = &call->job->sequences[i_sequence];
    const sy_state *state = state_of(call, i_state, i_sequence);
    rows from = rows_of_tensor(call->inputs[i_tensor], sequence->first_row);
    float *room = (float *)(void *)call->work;
    for (uint32_t i = 0; i < sequence->n_tokens; i++) {
        const float *values = read_row(&from, i, 0, from.width, room);
        uint8_t *row = sy__ref_state_row(state, (uint64_t)sequence->n_past + i);
        sy_status status = sy__row_encode(state->type, values, (size_t)from.width, row);
        if (status != SY_OK) {
            return sy__ref_fail(call, status, "a row cannot be written to the state");
        }
    }
    return SY_OK;
}

/* One task: queries [first, first + n) of a sequence, one group. */
typedef struct block {
    const sy__call *call;
    sizes s;
    const sy_sequence *sequence;
    rows keys, values;
    int64_t i_group, first, n;
    float *key_room, *value_room, *q;     /* q [n * per_group, head] */
    double *sums, *largest, *denominator; /* sums [n * per_group, value_head] */
} block;

/* Rows [*out_low, *out_high) are seen by query i of the sequence. */
static void visible(const block *b, int64_t i, int64_t *out_low, int64_t *out_high) {
    const sy__params *p = b->call->params;
    bool has_states = b->call->inputs[IN_KEY_STATE] != NULL;
    int64_t position = i + (has_states ? (int64_t)b->sequence->n_past : 0);
    int64_t high = position + 1;
    if (!p->causal) {
        int64_t n = b->sequence->n_tokens;
        high = p->window > 0 && position < n - p->window ? position + p->window : n;
    }
    *out_low = p->window > 0 && position >= p->window ? position - p->window + 1 : 0;
    *out_high = high;
}

static double score_of(const block *b, const float *q, const float *key) {
    const sy__params *p = b->call->params;
    double score = sy__ref_dot(q, key, b->s.head) * p->scale;
    return p->softcap > 0.0 ? p->softcap * tanh(score / p->softcap) : score;
}

/* Adds one more row, or with value NULL only its weight, to the softmax of query `i`. */
static void accumulate(const block *b, int64_t i, double score, const float *value) {
    double *sum = b->sums + i * b->s.value_head;
    if (score > b->largest[i]) {
        double shrink = exp(b->largest[i] - score); /* 0 the first time */
        b->largest[i] = score;
        b->denominator[i] *= shrink;
        for (int64_t d = 0; d < b->s.value_head; d++) {
            sum[d] *= shrink;
        }
    }
    double weight = score == -HUGE_VAL ? 0.0 : exp(score - b->largest[i]);
    b->denominator[i] += weight;
    for (int64_t d = 0; value != NULL && d < b->s.value_head; d++) {
        sum[d] += weight * (double)value[d];
    }
}

/* Sets up the work of a worker and reads the queries. */
static void load_queries(block *b, uint8_t *work) {
    const sizes *s = &b->s;
    int64_t n_queries = TASK_QUERIES * s->per_group;
    b->sums = (double *)(void *)work;
    b->largest = b->sums + n_queries * s->value_head;
    b->denominator = b->largest + n_queries;
    b->q = (float *)(void *)(b->denominator + n_queries);
    b->key_room = b->q + n_queries * s->head;
    b->value_room = b->key_room + s->key_width;
    for (int64_t i = 0; i < b->n * s->per_group; i++) {
        b->largest[i] = -HUGE_VAL;
        b->denominator[i] = 0.0;
        memset(b->sums + i * s->value_head, 0, (size_t)s->value_head * sizeof(double));
    }
    const sy__tensor *q = b->call->inputs[IN_Q];
    const uint8_t *bytes = q->data;
    size_t element = sy__ref_element_bytes(q->type);
    for (int64_t i = 0; i < b->n; i++) {
        int64_t row = (int64_t)b->sequence->first_row + b->first + i;
        int64_t at = (row * s->n_heads + b->i_group * s->per_group) * s->head;
        sy_status status =
            sy__row_decode(q->type, bytes + (size_t)at * element, (size_t)(s->per_group * s->head),
                           b->q + i * s->per_group * s->head);
        (void)status; /* a float type, checked at load */
    }
}

static void attend(const block *b) {
    const sizes *s = &b->s;
    int64_t low[TASK_QUERIES], high[TASK_QUERIES], first = INT64_MAX, end = 0;
    for (int64_t i = 0; i < b->n; i++) {
        visible(b, b->first + i, &low[i], &high[i]);
        first = low[i] < first ? low[i] : first;
        end = high[i] > end ? high[i] : end;
    }
    for (int64_t row = first; row < end; row++) {
        const float *key = read_row(&b->keys, row, b->i_group * s->head, s->head, b->key_room);
        const float *value =
            read_row(&b->values, row, b->i_group * s->value_head, s->value_head, b->value_room);
        for (int64_t i = 0; i < b->n * s->per_group; i++) {
            int64_t i_query = i / s->per_group;
            if (row >= low[i_query] && row < high[i_query]) {
                accumulate(b, i, score_of(b, b->q + i * s->head, key), value);
            }
        }
    }
}

static void store_results(const block *b) {
    const sizes *s = &b->s;
    const sy__tensor *sinks = b->call->inputs[IN_SINKS];
    for (int64_t i = 0; i < b->n * s->per_group; i++) {
        int64_t i_head = b->i_group * s->per_group + i % s->per_group;
        if (sinks != NULL) {
            double sink = 0.0;
            sy__ref_get_f64(sinks, i_head, 1, 1, &sink);
            accumulate(b, i, sink, NULL);
        }
        double *sum = b->sums + i * s->value_head;
        for (int64_t d = 0; d < s->value_head; d++) {
            sum[d] /= b->denominator[i];
        }
        int64_t row = (int64_t)b->sequence->first_row + b->first + i / s->per_group;
        sy__ref_put_f64(b->call->outputs[0], (row * s->n_heads + i_head) * s->value_head,
                        s->value_head, sum);
    }
}

static int64_t blocks_of(const sy_sequence *sequence) {
    return ((int64_t)sequence->n_tokens + TASK_QUERIES - 1) / TASK_QUERIES;
}

static void attention_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const sy__call *call = argument;
    const sy_job *job = call->job;
    block b = {.call = call, .s = sizes_of(call->params, call->inputs)};
    b.i_group = i_task % b.s.n_groups;
    int64_t i_block = i_task / b.s.n_groups;
    uint32_t i_sequence = 0;
    while (i_block >= blocks_of(&job->sequences[i_sequence])) {
        i_block -= blocks_of(&job->sequences[i_sequence++]);
    }
    b.sequence = &job->sequences[i_sequence];
    b.first = i_block * TASK_QUERIES;
    b.n = b.sequence->n_tokens - b.first < TASK_QUERIES ? b.sequence->n_tokens - b.first
                                                        : TASK_QUERIES;
    if (call->inputs[IN_KEY_STATE] != NULL) {
        b.keys = rows_of_state(state_of(call, IN_KEY_STATE, i_sequence));
        b.values = rows_of_state(state_of(call, IN_VALUE_STATE, i_sequence));
    } else {
        b.keys = rows_of_tensor(call->inputs[IN_K], b.sequence->first_row);
        b.values = rows_of_tensor(call->inputs[IN_V], b.sequence->first_row);
    }
    load_queries(&b, call->work + i_worker * worker_bytes(&b.s));
    attend(&b);
    store_results(&b);
}

SY__RUN(attention) {
    const sy_job *job = call->job;
    uint64_t n_blocks = 0;
    bool writes = call->inputs[IN_K] != NULL && call->inputs[IN_KEY_STATE] != NULL;
    for (uint32_t i = 0; i < job->n_sequences; i++) {
        n_blocks += (uint64_t)blocks_of(&job->sequences[i]);
        sy_status status = SY_OK;
        if (writes) {
            status = append(call, IN_K, IN_KEY_STATE, i);
        }
        if (writes && status == SY_OK) {
            status = append(call, IN_V, IN_VALUE_STATE, i);
        }
        if (status != SY_OK) {
            return status;
        }
    }
    sy__call copy = *call; /* tasks take a pointer without const */
    return sy__ref_parallel(call, attention_task, &copy,
                            n_blocks * (uint64_t)call->params->n_kv_heads);
}
