/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention over ragged sequences. A task is up to TILE_ROWS queries of one sequence for one group
 * of heads; it walks the visible rows in blocks of BLOCK_ROWS from multiples of that on, reads
 * each block once for all its queries and heads, and keeps a running softmax. What a query gets
 * depends on its position only: blocks are the same wherever the query's row lies in the step.
 */
#include "rotary.h"

#include <math.h>
#include <string.h>

#define TILE_ROWS 8u
#define BLOCK_ROWS 64u

enum { IN_Q, IN_K, IN_V, IN_KEY_STATE, IN_VALUE_STATE, IN_SINKS };

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
    const sy_value_view *x = &node->in[i], *q = &node->in[IN_Q];
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
    int64_t causal = 1, width = cpu_width(&node->in[IN_Q]);
    if (!cpu_attributes_known(node, names, answer) ||
        !cpu_attribute_int(node, "num_heads", 0, &p->n_heads, answer) ||
        !cpu_attribute_int(node, "num_kv_heads", 0, &p->n_kv_heads, answer) ||
        !cpu_attribute_int(node, "window", 0, &p->window, answer) ||
        !cpu_attribute_int(node, "causal", 1, &causal, answer) ||
        !cpu_attribute_float(node, "softcap", 0.0, &p->softcap, answer)) {
        return false;
    }
    if (p->n_heads <= 0 || p->n_kv_heads <= 0 || p->n_heads % p->n_kv_heads != 0 || width <= 0 ||
        width % p->n_heads != 0 || node->in[IN_Q].rank != 2) {
        return cpu_no(answer, SY_REASON_SHAPE,
                      "q [T, H x D], num_heads and num_kv_heads do not fit");
    }
    if (p->window < 0 || p->softcap < 0.0 || causal < 0 || causal > 1) {
        return cpu_no(answer, SY_REASON_ATTRIBUTE, "window, softcap or causal is out of range");
    }
    p->causal = causal == 1;
    p->k = (uint64_t)(width / p->n_heads);
    return cpu_attribute_float(node, "scale", 1.0 / sqrt((double)p->k), &p->scale, answer);
}

static bool inputs_check(const cpu_node *node, cpu_params *p, cpu_answer *answer) {
    bool has_rows = given(node, IN_K), has_states = given(node, IN_KEY_STATE);
    if (has_rows != given(node, IN_V) || has_states != given(node, IN_VALUE_STATE) ||
        (!has_rows && !has_states)) {
        return cpu_no(answer, SY_REASON_OTHER, "needs k and v, or both states, or all four");
    }
    if (!p->causal && has_states) {
        return cpu_no(answer, SY_REASON_ATTRIBUTE, "causal = 0 has no meaning with states");
    }
    int64_t key_width = (int64_t)p->k * p->n_kv_heads;
    int64_t value_width = cpu_width(&node->in[has_rows ? IN_V : IN_VALUE_STATE]);
    if (value_width <= 0 || value_width % p->n_kv_heads != 0) {
        return cpu_no(answer, SY_REASON_SHAPE, "v does not fit num_kv_heads");
    }
    p->n = (uint64_t)(value_width / p->n_kv_heads);
    p->has_states = has_states;
    return (!has_rows || (rows_check(node, IN_K, key_width, "k", answer) &&
                          rows_check(node, IN_V, value_width, "v", answer))) &&
           (!has_states || (state_check(&node->in[IN_KEY_STATE], key_width, answer) &&
                            state_check(&node->in[IN_VALUE_STATE], value_width, answer)));
}

static bool attention_check(const sy_device *device, const cpu_node *node, const cpu_operator *op,
                            cpu_params *p, cpu_answer *answer) {
    const sy_value_view *q = &node->in[IN_Q], *y = &node->out[0];
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
    if (given(node, IN_SINKS)) {
        const sy_value_view *sinks = &node->in[IN_SINKS];
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

/* ---- writing the states ---- */
typedef struct attention_work {
    cpu_run *run;
    const cpu_step *step;
} attention_work;

static uint64_t tiles_of(const sy_sequence *sequence) {
    return ((uint64_t)sequence->n_tokens + TILE_ROWS - 1) / TILE_ROWS;
}
/* Which sequence and which of its tiles a running number means. */
static uint32_t sequence_of(const sy_job *job, uint64_t *inout_tile) {
    uint32_t s = 0;
    while (*inout_tile >= tiles_of(&job->sequences[s])) {
        *inout_tile -= tiles_of(&job->sequences[s++]);
    }
    return s;
}

static void append_row(const cpu_run *run, const cpu_tensor *from, uint64_t row, sy_state *state,
                       uint64_t position, float *space) {
    uint64_t width = cpu_tensor_width(from);
    const float *values = cpu_floats_read(run, from, row * width, width, space);
    cpu_kernels_of(run->kernels, state->description.type)
        ->encode(values, width, state->rows + position * state->row_bytes);
}

static void append_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const attention_work *work = argument;
    const cpu_run *run = work->run;
    uint64_t tile = i_task;
    uint32_t s = sequence_of(run->job, &tile);
    const sy_sequence *sequence = &run->job->sequences[s];
    const cpu_tensor *k = cpu_run_in(run, work->step, IN_K), *v = cpu_run_in(run, work->step, IN_V);
    sy_state *keys = cpu_run_state(run, work->step, IN_KEY_STATE, s);
    sy_state *values = cpu_run_state(run, work->step, IN_VALUE_STATE, s);
    float *space = (float *)(void *)cpu_run_worker(run, i_worker);
    for (uint64_t i = tile * TILE_ROWS; i < (tile + 1) * TILE_ROWS && i < sequence->n_tokens; i++) {
        append_row(run, k, sequence->first_row + i, keys, sequence->n_past + i, space);
        append_row(run, v, sequence->first_row + i, values, sequence->n_past + i, space);
    }
}

/* ---- reading them ---- */
/* Rows of keys or values of one group of heads, wherever they lie. */
typedef struct group_rows {
    const uint8_t *bytes;
    sy_element_type type;
    uint64_t row_bytes;
    uint64_t first, n; /* elements of a row that belong to the group */
    uint64_t stride;   /* floats between rows as read_block leaves them */
    float *space;      /* BLOCK_ROWS * stride floats, for other types than f32 */
} group_rows;

/* Decoded rows start at whole chunks of 32, so a head may begin inside the first. */
static uint64_t decoded_stride(uint64_t d) {
    return (d + 31) / 32 * 32 + 32;
}

/* Floats of row `first_row` of n_rows rows; the next row is rows->stride further on. */
static const float *read_block(const cpu_run *run, const group_rows *rows, uint64_t first_row,
                               uint64_t n_rows) {
    const uint8_t *bytes = rows->bytes + first_row * rows->row_bytes;
    if (rows->type == SY_TYPE_F32) {
        return (const float *)(const void *)bytes + rows->first;
    }
    uint64_t block = cpu_type_block(rows->type), skipped = rows->first % block, at = 0;
    uint64_t count = (skipped + rows->n + block - 1) / block * block;
    cpu_type_row_bytes(rows->type, rows->first - skipped, &at);
    const cpu_type_kernels *kernels = cpu_kernels_of(run->kernels, rows->type);
    for (uint64_t i = 0; i < n_rows; i++) {
        kernels->decode(bytes + i * rows->row_bytes + at, count, rows->space + i * rows->stride);
    }
    return rows->space + skipped;
}

static group_rows rows_of(const attention_work *work, uint32_t i_tensor, uint32_t i_state,
                          uint32_t s, uint64_t group, uint64_t d) {
    group_rows rows = {.first = group * d, .n = d, .stride = decoded_stride(d)};
    if (work->step->params.has_states) {
        const sy_state *state = cpu_run_state(work->run, work->step, i_state, s);
        rows.bytes = state->rows;
        rows.type = state->description.type;
        rows.row_bytes = state->row_bytes;
    } else {
        const cpu_tensor *t = cpu_run_in(work->run, work->step, i_tensor);
        rows.type = t->type;
        cpu_type_row_bytes(t->type, cpu_tensor_width(t), &rows.row_bytes);
        rows.bytes = t->data + work->run->job->sequences[s].first_row * rows.row_bytes;
    }
    rows.stride = rows.type == SY_TYPE_F32 ? rows.row_bytes / 4 : rows.stride;
    return rows;
}

/* One task. A query of it is one row and one head: n_rows * per_group of them. */
typedef struct tile_work {
    const attention_work *work;
    const sy_sequence *sequence;
    uint64_t group, per_group, d, dv, first_row, n_rows; /* rows of the sequence */
    group_rows keys, values;
    float *q, *sums, *scores;
    cpu_softmax_state *softmax;
} tile_work;

static uint64_t attention_worker_bytes(const cpu_node *node, const cpu_params *p) {
    uint64_t n_queries = TILE_ROWS * (uint64_t)(p->n_heads / p->n_kv_heads);
    uint64_t rows = BLOCK_ROWS * (decoded_stride(p->k) + decoded_stride(p->n) + 1);
    uint64_t tile =
        (rows + n_queries * (p->k + p->n)) * sizeof(float) + n_queries * sizeof(cpu_softmax_state);
    uint64_t longest = p->k > p->n ? p->k : p->n;
    uint64_t append = longest * (uint64_t)p->n_kv_heads * sizeof(float);
    (void)node;
    return tile > append ? tile : append;
}

static void tile_memory(tile_work *tile, uint8_t *memory) {
    uint64_t n_queries = TILE_ROWS * tile->per_group;
    float *space = (float *)(void *)memory;
    tile->keys.space = space;
    tile->values.space = tile->keys.space + BLOCK_ROWS * decoded_stride(tile->d);
    tile->scores = tile->values.space + BLOCK_ROWS * decoded_stride(tile->dv);
    tile->q = tile->scores + BLOCK_ROWS;
    tile->sums = tile->q + n_queries * tile->d;
    tile->softmax = (cpu_softmax_state *)(void *)(tile->sums + n_queries * tile->dv);
    memset(tile->sums, 0, n_queries * tile->dv * sizeof(float));
    for (uint64_t i = 0; i < n_queries; i++) {
        tile->softmax[i] = (cpu_softmax_state){-INFINITY, 0.0f};
    }
}

/* Rows [*out_low, *out_high) that query row i of the sequence sees. */
static void visible(const tile_work *tile, uint64_t i, uint64_t *out_low, uint64_t *out_high) {
    const cpu_params *p = &tile->work->step->params;
    uint64_t window = (uint64_t)p->window, n = tile->sequence->n_tokens;
    uint64_t position = i + (p->has_states ? tile->sequence->n_past : 0);
    *out_low = window > 0 && position >= window ? position - window + 1 : 0;
    *out_high = position + 1;
    if (!p->causal) {
        *out_high = window > 0 && window < n - position ? position + window : n;
    }
}

static void attend_block(const tile_work *tile, uint64_t block, uint64_t end) {
    const cpu_run *run = tile->work->run;
    const cpu_params *p = &tile->work->step->params;
    const cpu_row_kernels *kernels = run->kernels->rows;
    const float *keys = read_block(run, &tile->keys, block, end - block);
    const float *values = read_block(run, &tile->values, block, end - block);
    for (uint64_t i = 0; i < tile->n_rows * tile->per_group; i++) {
        uint64_t low = 0, high = 0;
        visible(tile, tile->first_row + i / tile->per_group, &low, &high);
        low = low > block ? low : block;
        high = high < end ? high : end;
        if (low >= high) {
            continue;
        }
        uint64_t n = high - low, skipped = low - block;
        kernels->scores(tile->q + i * tile->d, keys + skipped * tile->keys.stride,
                        tile->keys.stride, n, tile->d, tile->scores);
        float factor =
            kernels->weigh(tile->scores, n, (float)p->scale, (float)p->softcap, &tile->softmax[i]);
        kernels->accumulate(tile->scores, values + skipped * tile->values.stride,
                            tile->values.stride, n, tile->dv, factor, tile->sums + i * tile->dv);
    }
}

static void store_query(const tile_work *tile, uint64_t i) {
    const cpu_run *run = tile->work->run;
    const cpu_step *step = tile->work->step;
    const cpu_tensor *y = cpu_run_out(run, step, 0), *sinks = cpu_run_in(run, step, IN_SINKS);
    uint64_t head = tile->group * tile->per_group + i % tile->per_group;
    uint64_t row = tile->sequence->first_row + tile->first_row + i / tile->per_group;
    uint64_t at = (row * (uint64_t)step->params.n_heads + head) * tile->dv;
    float *sums = tile->sums + i * tile->dv, factor = 1.0f;
    cpu_softmax_state softmax = tile->softmax[i];
    if (sinks != NULL) {
        float sink = 0.0f;
        memcpy(&sink, sinks->data + 4 * head, 4);
        float maximum = sink > softmax.maximum ? sink : softmax.maximum;
        factor = expf(softmax.maximum - maximum);
        softmax.denominator = softmax.denominator * factor + expf(sink - maximum);
    }
    float *out = cpu_floats_target(y, at, sums);
    run->kernels->rows->scale(sums, factor / softmax.denominator, tile->dv, out);
    cpu_floats_write(run, y, at, tile->dv, out);
}

static void attention_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const attention_work *work = argument;
    const cpu_run *run = work->run;
    const cpu_params *p = &work->step->params;
    const cpu_tensor *q = cpu_run_in(run, work->step, IN_Q);
    uint64_t n_groups = (uint64_t)p->n_kv_heads, i_tile = i_task / n_groups;
    uint32_t s = sequence_of(run->job, &i_tile);
    tile_work tile = {.work = work, .sequence = &run->job->sequences[s], .d = p->k, .dv = p->n};
    tile.group = i_task % n_groups;
    tile.per_group = (uint64_t)p->n_heads / n_groups;
    tile.first_row = i_tile * TILE_ROWS;
    uint64_t left = tile.sequence->n_tokens - tile.first_row;
    tile.n_rows = left < TILE_ROWS ? left : TILE_ROWS;
    tile.keys = rows_of(work, IN_K, IN_KEY_STATE, s, tile.group, tile.d);
    tile.values = rows_of(work, IN_V, IN_VALUE_STATE, s, tile.group, tile.dv);
    tile_memory(&tile, cpu_run_worker(run, i_worker));
    uint64_t low = 0, high = 0, first = 0, end = 0, n_floats = tile.per_group * tile.d;
    visible(&tile, tile.first_row, &first, &high);
    visible(&tile, tile.first_row + tile.n_rows - 1, &low, &end);
    for (uint64_t i = 0; i < tile.n_rows; i++) {
        uint64_t row = tile.sequence->first_row + tile.first_row + i;
        const float *values = cpu_floats_read(run, q, (row * n_groups + tile.group) * n_floats,
                                              n_floats, tile.q + i * n_floats);
        memmove(tile.q + i * n_floats, values, n_floats * sizeof(float));
    }
    for (uint64_t block = first / BLOCK_ROWS * BLOCK_ROWS; block < end; block += BLOCK_ROWS) {
        attend_block(&tile, block, block + BLOCK_ROWS < end ? block + BLOCK_ROWS : end);
    }
    for (uint64_t i = 0; i < tile.n_rows * tile.per_group; i++) {
        store_query(&tile, i);
    }
}

static sy_status states_check(cpu_run *run, const cpu_step *step, uint32_t s) {
    const uint32_t inputs[2] = {IN_KEY_STATE, IN_VALUE_STATE};
    const uint64_t widths[2] = {step->params.k, step->params.n};
    for (int i = 0; i < 2; i++) {
        const sy_state_description *d = &cpu_run_state(run, step, inputs[i], s)->description;
        if (d->width != widths[i] * (uint64_t)step->params.n_kv_heads ||
            d->type != cpu_run_in(run, step, inputs[i])->type) {
            return cpu_report(SY_INVALID_ARGUMENT, step->i_node,
                              "the state of sequence %u has rows of %u %s, not what the node needs",
                              s, d->width, cpu_type_name(d->type));
        }
    }
    return SY_OK;
}

static sy_status attention_run(cpu_run *run, const cpu_step *step) {
    const sy_job *job = run->job;
    attention_work work = {run, step};
    const cpu_tensor *q = cpu_run_in(run, step, IN_Q);
    uint64_t n_tiles = 0, n_rows = cpu_tensor_rows(q), cost = 0;
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
        n_tiles += tiles_of(sequence);
        cost += sequence->n_tokens * ((uint64_t)sequence->n_past + sequence->n_tokens);
    }
    if (step->params.has_states && step->in[IN_K] != SY_NO_VALUE) {
        sy_status status = cpu_run_tasks(run, append_task, &work, n_tiles, q->n_elements);
        if (status != SY_OK) {
            return status;
        }
    }
    return cpu_run_tasks(run, attention_task, &work, n_tiles * (uint64_t)step->params.n_kv_heads,
                         cost * (uint64_t)step->params.n_heads * step->params.k / 8);
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
     .worker_bytes = attention_worker_bytes,
     .run = attention_run},
    {.name = NULL},
};
