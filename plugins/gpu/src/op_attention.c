/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention: rows of the step go into the states, then tiles of queries go through the keys. Two
 * forms of the same kernel are recorded, of which a job uses one: tiles of one row with all heads
 * of a group for decoding, where long rows of keys are shared out to several groups, and tiles of
 * many rows for prompts.
 */
#include "operator_checks.h"
#include "program.h"
#include "state_layout.h"

#define GROUP 64u
#define QUERIES_MOST 8u /* of a tile */
#define ROWS_DECODE 4u  /* most rows of a sequence that count as decoding */
#define SHARE_SLOTS 64u /* rows times shares */
#define SHARE_KEYS 256u /* fewer are not shared out */
#define FLAG_CAUSAL 1u
#define FLAG_SOFTCAP 2u
#define FLAG_SINKS 4u

/* numbers of a launch */
enum {
    N_HEADS,
    N_KV_HEADS,
    N_KEY_STATE, /* index of the job's states */
    N_VALUE_STATE,
    N_KEY_STRIDE,
    N_VALUE_STRIDE,
    N_SCALE,
    N_SOFTCAP,
    N_WINDOW,
    N_KEY_WIDTH,
    N_VALUE_WIDTH,
    N_TILE_ROWS,
    N_TILE_HEADS,
    N_DECODES, /* which of the two forms */
    N_ITEMS    /* state_write: of a row; attention: group size */
};

static bool attention_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                            kit_answer *answer) {
    kit_attention a;
    (void)op;
    if (!kit_check_attention(node, &a, answer)) {
        return false;
    }
    uint32_t i = a.has_states ? KIT_ATTENTION_KEY_STATE : KIT_ATTENTION_K;
    if (node->in[i].type != node->in[i + 1].type) {
        return kit_no(answer, SY_REASON_TYPE, "keys and values must have one type");
    }
    uint64_t tile_bytes = 4 * ((uint64_t)a.head_size + 2 * GROUP + 3);
    return tile_bytes <= device->limits->shared_most_bytes ||
           kit_no(answer, SY_REASON_SHAPE,
                  "heads of %lld elements do not fit into the %u bytes a "
                  "group shares",
                  (long long)a.head_size, device->limits->shared_most_bytes);
}

/* ---- writing states ---- */
sy_status gpu_job_sequences(gpu_job *job, uint32_t *out_first) {
    uint32_t *words = NULL;
    sy_status status = gpu_job_words(job, job->n_sequences, out_first, &words);
    for (uint32_t i = 0; status == SY_OK && i < job->n_sequences; i++) {
        words[i] = job->sequences[i];
    }
    return status;
}

uint32_t gpu_job_rows_most(const gpu_job *job) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < job->n_sequences; i++) {
        uint32_t n = job->job->sequences[job->sequences[i]].n_tokens;
        most = n > most ? n : most;
    }
    return most;
}

static sy_status write_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                            uint32_t out_groups[3]) {
    uint64_t items = (uint64_t)gpu_job_rows_most(job) * (uint64_t)launch->numbers[N_ITEMS];
    uint32_t group = (uint32_t)launch->numbers[N_TILE_ROWS];
    out_words[1] = (uint32_t)launch->numbers[N_KEY_WIDTH];
    out_words[2] = (uint32_t)launch->numbers[N_KEY_STRIDE];
    out_words[3] = job->job->n_states;
    out_words[4] = (uint32_t)launch->numbers[N_KEY_STATE];
    out_groups[0] = (uint32_t)((items + group - 1) / group);
    out_groups[1] = job->n_sequences;
    out_groups[2] = 1;
    return gpu_job_sequences(job, &out_words[0]);
}

sy_status gpu_build_state_write(gpu_build *build, uint32_t i_rows, uint32_t i_state) {
    const kit_value *state = gpu_build_value(build, i_state);
    sy_element_type type = state->type;
    gpu_launch launch;
    sy_state_description description = {.type = type, .width = (uint32_t)state->dims[1].bound};
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP),
                                  gpu_build_value(build, i_rows)->type, type};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_STATE_WRITE, constants, 3, write_size, 5, &launch);
    if (status != SY_OK) {
        return status;
    }
    uint32_t per_item = kit_type_is_block(type) ? 32 : 4 / kit_type_block_bytes(type);
    launch.numbers[N_KEY_WIDTH] = description.width;
    launch.numbers[N_KEY_STRIDE] = gpu_state_row_words(&description);
    launch.numbers[N_KEY_STATE] = state->index;
    launch.numbers[N_TILE_ROWS] = constants[0];
    launch.numbers[N_ITEMS] = (description.width + per_item - 1) / per_item;
    gpu_launch_value(&launch, i_rows);
    gpu_launch_tables(&launch);
    gpu_launch_state(&launch, i_state);
    return gpu_launch_end(build, &launch);
}

/* ---- tiles ---- */
static sy_status tiles_list(gpu_job *job, uint32_t tile_rows, uint32_t *out_first,
                            uint32_t *out_n) {
    uint32_t n = 0, i_tile = 0, *words = NULL;
    for (uint32_t i = 0; i < job->n_sequences; i++) {
        const sy_sequence *q = &job->job->sequences[job->sequences[i]];
        n += (q->n_tokens + tile_rows - 1) / tile_rows;
    }
    sy_status status = gpu_job_words(job, 3 * n, out_first, &words);
    for (uint32_t i = 0; status == SY_OK && i < job->n_sequences; i++) {
        const sy_sequence *q = &job->job->sequences[job->sequences[i]];
        for (uint32_t row = 0; row < q->n_tokens; row += tile_rows, i_tile++) {
            words[3 * i_tile] = job->sequences[i];
            words[3 * i_tile + 1] = q->first_row + row;
            words[3 * i_tile + 2] = q->n_tokens - row < tile_rows ? q->n_tokens - row : tile_rows;
        }
    }
    *out_n = n;
    return status;
}

/* Groups of the device that share the keys of a row: as many as it takes to keep its units busy,
 * each with a good part of the keys. One number for all sequences of the job, whatever slabs they
 * lie in: it says where a row's shares are. */
static uint32_t shares_of(const gpu_job *job, const gpu_launch *launch) {
    const gpu_limits *limits = job->unit->device->limits;
    uint64_t keys = 0, n_units = limits->n_units > 0 ? limits->n_units : 8;
    for (uint32_t i = 0; i < job->job->n_sequences; i++) {
        const sy_sequence *q = &job->job->sequences[i];
        uint64_t n = (uint64_t)q->n_past + q->n_tokens;
        keys = n > keys ? n : keys;
    }
    uint64_t window = (uint64_t)launch->numbers[N_WINDOW];
    keys = window > 0 && window < keys ? window : keys;
    uint64_t groups = job->n_tokens * (uint64_t)launch->numbers[N_KV_HEADS];
    uint64_t wanted = groups > 0 ? (4 * n_units + groups - 1) / groups : 1;
    uint64_t most = job->n_tokens > 0 ? SHARE_SLOTS / job->n_tokens : 1;
    wanted = wanted < keys / SHARE_KEYS ? wanted : keys / SHARE_KEYS;
    wanted = wanted < most ? wanted : most;
    return wanted > 1 ? (uint32_t)wanted : 1;
}

static bool is_active(const gpu_job *job, const gpu_launch *launch) {
    uint32_t most = gpu_job_rows_most(job);
    return most > 0 && (most <= ROWS_DECODE) == (launch->numbers[N_DECODES] != 0);
}

static sy_status tiles_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                            uint32_t *out_n_tiles) {
    const int64_t *numbers = launch->numbers;
    sy_status status = tiles_list(job, (uint32_t)numbers[N_TILE_ROWS], &out_words[0], out_n_tiles);
    out_words[1] = (uint32_t)numbers[N_HEADS];
    out_words[2] = (uint32_t)(numbers[N_HEADS] / numbers[N_KV_HEADS]);
    out_words[3] = job->job->n_states;
    for (uint32_t i = 0; i < 7; i++) { /* states, strides, scale, softcap, window */
        out_words[4 + i] = (uint32_t)numbers[N_KEY_STATE + i];
    }
    out_words[11] = numbers[N_DECODES] != 0 ? shares_of(job, launch) : 1;
    out_words[12] = (uint32_t)numbers[N_KEY_WIDTH];
    out_words[13] = (uint32_t)numbers[N_VALUE_WIDTH];
    return status;
}

static sy_status attention_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                                uint32_t out_groups[3]) {
    uint32_t n_tiles = 0;
    if (!is_active(job, launch)) {
        return SY_OK;
    }
    sy_status status = tiles_size(job, launch, out_words, &n_tiles);
    int64_t per_group = launch->numbers[N_HEADS] / launch->numbers[N_KV_HEADS];
    int64_t head_tiles =
        (per_group + launch->numbers[N_TILE_HEADS] - 1) / launch->numbers[N_TILE_HEADS];
    out_groups[0] = n_tiles;
    out_groups[1] = (uint32_t)(launch->numbers[N_KV_HEADS] * head_tiles);
    out_groups[2] = out_words[11];
    return status;
}

static sy_status join_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                           uint32_t out_groups[3]) {
    uint32_t n_tiles = 0;
    if (!is_active(job, launch)) {
        return SY_OK;
    }
    sy_status status = tiles_size(job, launch, out_words, &n_tiles);
    if (status == SY_OK && out_words[11] > 1) {
        out_groups[0] = n_tiles;
        out_groups[1] = (uint32_t)launch->numbers[N_HEADS];
        out_groups[2] = (uint32_t)launch->numbers[N_TILE_ROWS];
    }
    return status;
}

/* ---- building ---- */
typedef struct form {
    kit_attention a;
    sy_element_type type, row_type;
    uint32_t group, tile_rows, tile_heads, flags, i_shares;
    bool decodes;
} form;

static uint32_t power_below(uint32_t n) {
    uint32_t power = 1;
    while (power * 2 <= n) {
        power *= 2;
    }
    return power;
}

static void form_size(const sy_device *device, form *f) {
    uint32_t per_group = (uint32_t)(f->a.n_heads / f->a.n_kv_heads);
    uint64_t each = 4 * ((uint64_t)f->a.head_size + f->group + 3);
    uint64_t fits = (device->limits->shared_most_bytes - 4 * (uint64_t)f->group) / each;
    uint32_t queries = power_below(fits < QUERIES_MOST ? (uint32_t)fits : QUERIES_MOST);
    f->tile_heads = per_group < queries ? per_group : queries;
    f->tile_rows = f->decodes ? 1 : queries / f->tile_heads;
    f->tile_rows = f->tile_rows > 0 ? f->tile_rows : 1;
}

static void form_numbers(const gpu_build *build, const form *f, gpu_launch *launch) {
    const kit_attention *a = &f->a;
    int64_t *numbers = launch->numbers;
    int64_t key_width = a->n_kv_heads * a->head_size, value_width = a->n_kv_heads * a->value_size;
    numbers[N_HEADS] = a->n_heads;
    numbers[N_KV_HEADS] = a->n_kv_heads;
    numbers[N_KEY_STRIDE] = key_width;
    numbers[N_VALUE_STRIDE] = value_width;
    if (a->has_states) {
        sy_state_description keys = {.type = f->row_type, .width = (uint32_t)key_width};
        sy_state_description values = {.type = f->row_type, .width = (uint32_t)value_width};
        numbers[N_KEY_STRIDE] = gpu_state_row_stride(&keys);
        numbers[N_VALUE_STRIDE] = gpu_state_row_stride(&values);
        numbers[N_KEY_STATE] = gpu_build_value(build, build->in[KIT_ATTENTION_KEY_STATE])->index;
        numbers[N_VALUE_STATE] =
            gpu_build_value(build, build->in[KIT_ATTENTION_VALUE_STATE])->index;
    }
    numbers[N_SCALE] = gpu_float_bits(a->scale);
    numbers[N_SOFTCAP] = gpu_float_bits(a->softcap);
    numbers[N_WINDOW] = a->window;
    numbers[N_KEY_WIDTH] = key_width;
    numbers[N_VALUE_WIDTH] = value_width;
    numbers[N_TILE_ROWS] = f->tile_rows;
    numbers[N_TILE_HEADS] = f->tile_heads;
    numbers[N_DECODES] = f->decodes;
    numbers[N_ITEMS] = f->group;
}

static sy_status attend_build(gpu_build *build, const form *f) {
    const uint32_t *in = build->in;
    gpu_launch launch;
    const uint32_t constants[] = {f->group,
                                  f->type,
                                  f->row_type,
                                  (uint32_t)f->a.head_size,
                                  (uint32_t)f->a.value_size,
                                  f->a.has_states ? 1 : 0,
                                  f->flags,
                                  f->tile_rows * f->tile_heads,
                                  f->tile_heads,
                                  ((uint32_t)f->a.value_size + f->group - 1) / f->group};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_ATTENTION, constants, 10, attention_size, 14, &launch);
    if (status != SY_OK) {
        return status;
    }
    form_numbers(build, f, &launch);
    gpu_launch_value(&launch, in[KIT_ATTENTION_Q]);
    if (f->a.has_states) {
        gpu_launch_state(&launch, in[KIT_ATTENTION_KEY_STATE]);
        gpu_launch_state(&launch, in[KIT_ATTENTION_VALUE_STATE]);
    } else {
        gpu_launch_value(&launch, in[KIT_ATTENTION_K]);
        gpu_launch_value(&launch, in[KIT_ATTENTION_V]);
    }
    gpu_launch_value(&launch, in[KIT_ATTENTION_SINKS]);
    if (f->a.has_states) {
        gpu_launch_tables(&launch);
    } else {
        gpu_launch_value(&launch, SY_NO_VALUE);
    }
    gpu_launch_value(&launch, build->out[0]);
    gpu_launch_value(&launch, f->i_shares);
    return gpu_launch_end(build, &launch);
}

static sy_status join_build(gpu_build *build, const form *f) {
    gpu_launch launch;
    const uint32_t constants[] = {f->group, f->type, 0, 0, (uint32_t)f->a.value_size, 0, f->flags};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_ATTENTION_JOIN, constants, 7, join_size, 14, &launch);
    if (status != SY_OK) {
        return status;
    }
    form_numbers(build, f, &launch);
    if (f->a.has_states) { /* of the same sequences as the shares that it joins */
        gpu_launch_part(&launch, build->in[KIT_ATTENTION_KEY_STATE]);
        gpu_launch_part(&launch, build->in[KIT_ATTENTION_VALUE_STATE]);
    }
    gpu_launch_value(&launch, f->i_shares);
    gpu_launch_value(&launch, build->in[KIT_ATTENTION_SINKS]);
    gpu_launch_value(&launch, build->out[0]);
    return gpu_launch_end(build, &launch);
}

static sy_status attention_build(gpu_build *build) {
    const sy_device *device = gpu_build_device(build);
    form f = {.decodes = true};
    kit_answer answer;
    (void)kit_check_attention(build->node, &f.a, &answer);
    f.type = build->node->in[0].type;
    f.row_type = build->node->in[f.a.has_states ? KIT_ATTENTION_KEY_STATE : KIT_ATTENTION_K].type;
    f.group = gpu_group_size(device, GROUP);
    f.flags = (f.a.causal ? FLAG_CAUSAL : 0) | (f.a.softcap > 0 ? FLAG_SOFTCAP : 0) |
              (f.a.has_sinks ? FLAG_SINKS : 0);
    int64_t share_words = SHARE_SLOTS * f.a.n_heads * (f.a.value_size + 2);
    sy_dimension dim = {.bound = share_words};
    sy_status status = gpu_build_space(build, SY_TYPE_F32, 1, &dim, &f.i_shares);
    for (uint32_t i = 0; status == SY_OK && f.a.has_states && f.a.has_rows && i < 2; i++) {
        status = gpu_build_state_write(build, build->in[KIT_ATTENTION_K + i],
                                       build->in[KIT_ATTENTION_KEY_STATE + i]);
    }
    if (status == SY_OK) {
        form_size(device, &f);
        status = attend_build(build, &f);
    }
    status = status == SY_OK ? join_build(build, &f) : status;
    if (status == SY_OK) {
        f.decodes = false;
        form_size(device, &f);
        status = attend_build(build, &f);
    }
    return status;
}

const gpu_operator gpu_operators_attention[] = {
    {"switchyard", "Attention", 0, false, attention_check, attention_build},
    {.name = NULL},
};
