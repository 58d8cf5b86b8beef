/* SPDX-License-Identifier: Apache-2.0 */
/* States of the kit over a storage like a device's: the model of states (tools/state_model.h) with
 * slabs that are soon full and calls that fail, and what is shared, copied and kept where. */
#include "slab_storage.h"

#include "kernels/guarded.h"
#include "tools/state_model.h"

enum { WIDTH = 8, WINDOW = 70, KEY_ROW = WIDTH * 4, KEY_BLOCK = KEY_ROW * KIT_BLOCK_ROWS };

struct sy_device {
    sy_test_host host;
    slab_storage storage;
    kit_states states;
    atomic_ullong live_handles;
    uint32_t n_sharing; /* states that were seen to share */
};

/* ---- a table as a delegate has it ---- */
static sy_status create(sy_device *device, const sy_state_description *description,
                        sy_state **out_state) {
    return kit_state_create(&device->states, description, out_state);
}
static sy_status need(sy_device *device, const sy_state_request *requests, size_t stride,
                      uint32_t n_requests, sy_state_usage *out_usage) {
    return kit_state_need(&device->states, requests, stride, n_requests, out_usage);
}
static sy_status reserve(sy_device *device, const sy_state_request *requests, size_t stride,
                         uint32_t n_requests, uint32_t keep) {
    return kit_state_reserve(&device->states, requests, stride, n_requests, keep);
}
static const sy_plugin calls = {.state_create = create,
                                .state_clone = kit_state_clone,
                                .state_truncate = kit_state_truncate,
                                .state_shift = kit_state_shift,
                                .state_save = kit_state_save,
                                .state_load = kit_state_load,
                                .state_destroy = kit_state_destroy,
                                .state_fork = kit_state_fork,
                                .state_need = need,
                                .state_reserve = reserve};

static void device_open(sy_device *d, bool asks_host, uint64_t one_slab_bytes_most,
                        uint64_t one_slab_bytes_least) {
    sy_error error = {0};
    memset(d, 0, sizeof(*d));
    CHECK_OK_ERROR(sy_test_host_init(&d->host, 1, &error), error);
    kit_host_set(&d->host.services);
    slab_storage_init(&d->storage, asks_host, one_slab_bytes_most, one_slab_bytes_least);
    d->states = (kit_states){.storage = &d->storage.storage, .live_handles = &d->live_handles};
}

static void device_close(sy_device *d) {
    CHECK(atomic_load(&d->live_handles) == 0 && d->storage.n_states == 0);
    kit_states_deinit(&d->states);
    CHECK(d->storage.n_slabs == 0 && d->storage.live_bytes == 0);
    CHECK_TEXT(d->host.n_live == 0 && d->host.n_misuses == 0, "%s", d->host.misuse);
    sy_test_host_deinit(&d->host);
}

/* ---- the model ---- */
static void rows_step(state_model *m, model_pair *t, uint32_t n) {
    sy_device *d = m->self;
    for (int i = 0; i < 2; i++) {
        uint64_t n_bytes = n * m->row_bytes[i], n_allocs = d->host.n_allocs;
        uint32_t n_copies = d->storage.n_copies;
        uint8_t *rows = t->rows[i] + t->n_rows * m->row_bytes[i];
        for (uint64_t k = 0; k < n_bytes; k++) {
            rows[k] = (uint8_t)random_u32();
        }
        for (uint64_t again = state_model_below(8) == 0; again < 2; again++) {
            CHECK_OK(kit_state_begin_step(t->states[i], t->n_rows, n));
            slab_storage_step(&d->storage, t->states[i], t->n_rows, n, rows);
        }
        CHECK_TEXT(d->host.n_allocs == n_allocs && d->storage.n_copies == n_copies,
                   "a step takes memory or copies");
    }
}

static void look(state_model *m, sy_state *state) {
    sy_device *d = m->self;
    slab_storage_upload(&d->storage, state);
    d->n_sharing += kit_state_is_windowed(state) ? state->n_shared > state->base
                                                 : kit_state_count_shared(state, 0) > 0;
}

static void break_soon(state_model *m, bool breaks) {
    sy_device *d = m->self;
    d->storage.calls_until_failure =
        breaks && state_model_below(3) == 0 ? state_model_below(4) : UINT64_MAX;
}

static void open_memory(state_model *m, bool is_open) {
    sy_device *d = m->self;
    d->storage.limit_bytes = is_open ? UINT64_MAX : d->storage.live_bytes;
}

typedef struct variant {
    bool asks_host, breaks;
    uint64_t most, least; /* bytes of a slab, where blocks of a state lie in one */
    uint32_t window;
    sy_element_type value_type; /* F32 as keys are: all blocks are of one pool */
} variant;

/* How often a state was seen to share, and went to another slab. */
typedef struct sightings {
    uint32_t n_sharing, n_moves;
} sightings;

static void run_model(const variant *v, sightings *seen) {
    static sy_device d;
    static state_model m;
    const sy_element_type types[2] = {SY_TYPE_F32, v->value_type};
    const uint32_t value_row = v->value_type == SY_TYPE_F32 ? KEY_ROW : KEY_ROW / 2;
    device_open(&d, v->asks_host, v->most, v->least);
    m = (state_model){.host = &d.host,
                      .plugin = &calls,
                      .device = &d,
                      .row_bytes = {KEY_ROW, value_row},
                      .window = v->window,
                      .self = &d,
                      .step = rows_step,
                      .look = look,
                      .break_soon = v->breaks ? break_soon : NULL,
                      .open_memory = v->asks_host ? NULL : open_memory,
                      .manages_with_less = v->least > 0};
    for (uint32_t i = 0; i < 2; i++) {
        m.descriptions[i] = (sy_state_description){.header = SY_HEADER_INIT(sy_state_description),
                                                   .type = types[i],
                                                   .role = i == 0 ? SY_STATE_KEY : SY_STATE_VALUE,
                                                   .width = WIDTH,
                                                   .window = v->window,
                                                   .step_tokens = MODEL_STEP};
    }
    state_model_run(&m, 6000);
    CHECK(d.storage.n_uploads > 0);
    CHECK(!v->breaks || m.n_broken > 100);
    CHECK(v->window == 0 || m.n_forgotten > 0);
    seen->n_sharing += d.n_sharing;
    seen->n_moves += d.storage.n_moves;
    device_close(&d);
}

#define SLAB (9 * KEY_BLOCK) /* a little more than the longest state */

static void run_variants(bool breaks, uint32_t window) {
    const variant variants[] = {
        {true, breaks, SLAB, SLAB, window, SY_TYPE_F16},
        {true, breaks, 2 * SLAB, 3 * SLAB / 2, window, SY_TYPE_F32},
        {false, breaks, 4 * SLAB, 2 * SLAB, window, SY_TYPE_F16},
        {false, breaks, 4 * SLAB, 0, window, SY_TYPE_F32},
        {true, breaks, 0, 0, window, SY_TYPE_F16},
    };
    sightings one_slab = {0, 0}, anywhere = {0, 0};
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        run_model(&variants[i], variants[i].most > 0 ? &one_slab : &anywhere);
    }
    CHECK(one_slab.n_sharing > 0 && anywhere.n_sharing > 0 && anywhere.n_moves == 0);
    CHECK((one_slab.n_moves > 0) == (window == 0));
}

static void any_calls(void) {
    run_variants(false, 0);
}
static void any_calls_with_windows(void) {
    run_variants(false, WINDOW);
}
static void calls_that_fail(void) {
    run_variants(true, 0);
}
static void calls_that_fail_with_windows(void) {
    run_variants(true, WINDOW);
}

/* ---- one call after the other ---- */
static sy_state_description keys_of(uint64_t max_tokens) {
    return (sy_state_description){.header = SY_HEADER_INIT(sy_state_description),
                                  .type = SY_TYPE_F32,
                                  .role = SY_STATE_KEY,
                                  .width = WIDTH,
                                  .max_tokens = max_tokens};
}

static sy_state *make(sy_device *d, uint64_t max_tokens) {
    sy_state *state = NULL;
    sy_state_description description = keys_of(max_tokens);
    CHECK_OK(kit_state_create(&d->states, &description, &state));
    return state;
}

static void fill(sy_device *d, sy_state *state, uint64_t n_rows, uint8_t value) {
    static uint8_t rows[1024 * KEY_ROW];
    memset(rows, value, n_rows * KEY_ROW);
    CHECK_OK(kit_state_begin_step(state, 0, n_rows));
    slab_storage_step(&d->storage, state, 0, n_rows, rows);
}

static void check_fill(sy_state *state, uint64_t n_rows, uint8_t value) {
    static uint8_t rows[1024 * KEY_ROW];
    CHECK_OK(kit_state_save(state, 0, n_rows, rows, sizeof(rows)));
    for (uint64_t i = 0; i < n_rows * KEY_ROW; i++) {
        CHECK(rows[i] == value);
    }
}

static sy_state_usage usage_of(sy_device *d, sy_state_request request) {
    sy_state_usage usage = {.header = SY_HEADER_INIT(sy_state_usage)};
    request.header = (sy_header)SY_HEADER_INIT(sy_state_request);
    CHECK_OK(kit_state_need(&d->states, &request, sizeof(request), 1, &usage));
    return usage;
}

static uint64_t blocks_cost(uint64_t n) {
    return n * kit_block_cost(KEY_BLOCK);
}

/* A slab with room for two states of four blocks. The first fork shares, as the other half is free;
 * the second finds no room and copies; when the first one is gone, forks share again. */
static void forks_share_where_there_is_room(void) {
    static sy_device d;
    device_open(&d, true, 8 * KEY_BLOCK, 0);
    sy_state_description description = keys_of(256);
    sy_state_request two = {.header = SY_HEADER_INIT(sy_state_request),
                            .call = SY_STATE_CALL_CREATE,
                            .count = 2,
                            .description = &description};
    CHECK_OK(kit_state_reserve(&d.states, &two, sizeof(two), 1, 0));
    CHECK(d.storage.n_slabs == 1);
    sy_state *state = make(&d, 256), *forks[3];
    fill(&d, state, 192, 7);
    sy_state_request fork = {
        .call = SY_STATE_CALL_FORK, .state = state, .n_rows = 150, .max_tokens = 384};
    CHECK(usage_of(&d, fork).shared_bytes == blocks_cost(2));
    CHECK_OK(kit_state_fork(state, 150, 384, &forks[0]));
    CHECK(forks[0]->slab == state->slab && forks[0]->blocks[1] == state->blocks[1]);
    CHECK(d.storage.n_copies == 1 && d.storage.n_slabs == 1 && forks[0]->n_shared == 2);

    sy_state_usage usage = usage_of(&d, fork);
    CHECK(usage.shared_bytes == 0 && usage.own_bytes >= blocks_cost(6));
    CHECK_OK(kit_state_fork(state, 150, 384, &forks[1]));
    CHECK(forks[1]->slab != state->slab && d.storage.n_slabs == 2 && forks[1]->n_shared == 0);
    CHECK(d.storage.n_copies == 4); /* of six blocks those with rows */
    check_fill(forks[1], 150, 7);
    CHECK_OK(kit_state_begin_step(forks[1], 0, 1)); /* nothing of it is shared */

    CHECK_OK(kit_state_destroy(forks[0]));
    fork.count = 2; /* one shares, the other one would not find room */
    usage = usage_of(&d, fork);
    uint64_t heads = 2 * kit_block_cost(forks[1]->head->slab->pool->block_bytes);
    CHECK(usage.shared_bytes == blocks_cost(2) && usage.own_bytes == blocks_cost(4 + 6) + heads);
    CHECK_OK(kit_state_fork(state, 128, 128, &forks[2])); /* nothing of its own: shares always */
    CHECK(forks[2]->slab == state->slab && usage_of(&d, fork).shared_bytes == blocks_cost(2));
    CHECK_OK(kit_state_destroy(forks[1]));
    CHECK_OK(kit_state_destroy(forks[2]));
    CHECK_OK(kit_state_destroy(state));
    device_close(&d);
}

/* Blocks of its own that find no room beside the others: all of them go. */
static void a_state_without_room_moves(void) {
    static sy_device d;
    device_open(&d, false, 4 * KEY_BLOCK, 0);
    sy_state *state = make(&d, 256), *fork = NULL;
    fill(&d, state, 200, 9);
    CHECK_OK(kit_state_fork(state, 128, 128, &fork));
    kit_slab *slab = state->slab;
    sy_state_request request = {.call = SY_STATE_CALL_WRITE, .state = state, .n_rows = 64};
    CHECK(usage_of(&d, request).own_bytes > blocks_cost(4)); /* and a second head */
    CHECK(SY_STATUS_CLASS(kit_state_begin_step(state, 100, 1)) == SY_FAILED_PRECONDITION);

    d.storage.limit_bytes = d.storage.live_bytes; /* no memory: nothing changed */
    uint64_t version = state->version;
    CHECK(SY_STATUS_CLASS(kit_state_truncate(state, 100)) == SY_RESOURCE_EXHAUSTED);
    CHECK(state->slab == slab && state->version == version);
    d.storage.limit_bytes = UINT64_MAX;

    d.storage.calls_until_failure = 1; /* the slab is made, the copy breaks */
    CHECK(SY_STATUS_CLASS(kit_state_truncate(state, 100)) == SY_UNAVAILABLE);
    CHECK(state->slab == slab && state->version == version && d.storage.n_slabs == 1);
    check_fill(state, 200, 9);

    CHECK_OK(kit_state_truncate(state, 100));
    CHECK(state->slab != slab && state->version > version && d.storage.n_slabs == 2);
    CHECK_OK(kit_state_begin_step(state, 100, 1));
    check_fill(state, 100, 9);
    check_fill(fork, 128, 9);
    CHECK_OK(kit_state_destroy(state));
    CHECK(d.storage.n_slabs == 1);
    CHECK_OK(kit_state_destroy(fork));
    device_close(&d);
}

/* So do all rows that a load goes past, and no others. */
static void what_is_there_moves(void) {
    static sy_device d;
    static uint8_t rows[200 * KEY_ROW];
    device_open(&d, true, 8 * KEY_BLOCK, 0);
    sy_state *state = make(&d, 512), *fork = NULL;
    memset(rows, 5, sizeof(rows));
    CHECK_OK(kit_state_load(state, 0, 200, rows, sizeof(rows)));
    CHECK_OK(kit_state_fork(state, 128, 128, &fork));
    CHECK_OK(kit_state_load(state, 70, 1, rows, KEY_ROW));
    CHECK(state->slab != fork->slab && d.storage.n_copies == 4);
    check_fill(state, 200, 5);
    CHECK_OK(kit_state_truncate(state, 64));
    CHECK_OK(kit_state_destroy(fork));
    CHECK_OK(kit_state_fork(state, 64, 64, &fork));
    CHECK_OK(kit_state_load(state, 0, 1, rows, KEY_ROW));
    CHECK(state->slab != fork->slab && d.storage.n_copies == 5);
    CHECK_OK(kit_state_destroy(fork));
    CHECK_OK(kit_state_destroy(state));
    device_close(&d);
}

/* Behind a window it is known which rows are there: not those that a call broke off in. */
static void rows_half_written_are_gone(void) {
    static sy_device d;
    static uint8_t rows[300 * KEY_ROW];
    sy_state *state = NULL;
    device_open(&d, true, 8 * KEY_BLOCK, 0);
    sy_state_description description = keys_of(300);
    description.window = 200;
    description.step_tokens = MODEL_STEP;
    CHECK_OK(kit_state_create(&d.states, &description, &state));
    CHECK_OK(kit_state_load(state, 0, 150, rows, sizeof(rows)));
    d.storage.calls_until_failure = 0;
    CHECK(SY_STATUS_CLASS(kit_state_shift(state, 100, 50, 20)) == SY_UNAVAILABLE);
    check_fill(state, 20, 0);
    CHECK(SY_STATUS_CLASS(kit_state_save(state, 0, 21, rows, sizeof(rows))) == SY_OUT_OF_RANGE);
    CHECK_OK(kit_state_load(state, 20, 60, rows, sizeof(rows)));
    d.storage.calls_until_failure = 0;
    CHECK(SY_STATUS_CLASS(kit_state_load(state, 50, 60, rows, sizeof(rows))) == SY_UNAVAILABLE);
    check_fill(state, 50, 0);
    CHECK(SY_STATUS_CLASS(kit_state_truncate(state, 51)) == SY_OUT_OF_RANGE);
    CHECK_OK(kit_state_truncate(state, 50));
    CHECK_OK(kit_state_begin_step(state, 50, 1));
    CHECK_OK(kit_state_destroy(state));
    device_close(&d);
}

/* Ten states of three blocks in slabs of eight: two in each. Five slabs stay, whatever comes. */
static void kept_slabs_hold_whole_states(void) {
    static sy_device d;
    sy_state *states[10];
    device_open(&d, false, 8 * KEY_BLOCK, 0);
    sy_state_description description = keys_of(192);
    sy_state_request request = {.header = SY_HEADER_INIT(sy_state_request),
                                .call = SY_STATE_CALL_CREATE,
                                .count = 10,
                                .description = &description};
    CHECK_OK(kit_state_reserve(&d.states, &request, sizeof(request), 1, 1));
    CHECK(d.storage.n_slabs == 5 && d.storage.live_bytes == 30 * KEY_BLOCK);
    d.storage.limit_bytes = d.storage.live_bytes;
    uint64_t n_allocs = d.host.n_allocs;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 10; i++) {
            states[i] = make(&d, 192);
            CHECK(states[i]->slab->n_blocks == 6);
        }
        CHECK(d.host.n_allocs == n_allocs && d.storage.n_slabs == 5);
        for (int i = 0; i < 10; i++) {
            CHECK_OK(kit_state_destroy(states[i]));
        }
    }
    request.count = 1; /* what is kept already is for others */
    CHECK(SY_STATUS_CLASS(kit_state_reserve(&d.states, &request, sizeof(request), 1, 1)) ==
          SY_RESOURCE_EXHAUSTED);
    CHECK_OK(kit_state_reserve(&d.states, &request, sizeof(request), 1, 0));
    CHECK(d.storage.n_slabs == 5);
    d.storage.limit_bytes = UINT64_MAX;
    CHECK_OK(kit_state_reserve(&d.states, &request, sizeof(request), 1, 1));
    CHECK(d.storage.n_slabs == 6 && d.storage.live_bytes == 33 * KEY_BLOCK);
    device_close(&d);
}

/* Room for clones is given up for what was asked for. */
static void slabs_are_smaller_where_memory_is_short(void) {
    static sy_device d;
    device_open(&d, false, 8 * KEY_BLOCK, 8 * KEY_BLOCK);
    d.storage.limit_bytes = 10 * KEY_BLOCK;
    sy_state *first = make(&d, 128), *second = NULL, *third = NULL;
    CHECK(first->slab->n_blocks == 8);
    second = make(&d, 384);
    CHECK(second->slab == first->slab);
    third = make(&d, 128);
    CHECK(third->slab->n_blocks == 2 && d.storage.n_slabs == 2);
    CHECK_OK(kit_state_destroy(first));
    CHECK_OK(kit_state_destroy(second));
    CHECK_OK(kit_state_destroy(third));
    device_close(&d);
}

/* States of two sizes, kept together, are made in any order. */
static void sizes_keep_their_slabs(void) {
    static sy_device d;
    sy_state *states[8];
    device_open(&d, true, 16 * KEY_BLOCK, 0);
    sy_state_description longer = keys_of(300), shorter = keys_of(100);
    sy_state_request requests[2] = {{.header = SY_HEADER_INIT(sy_state_request),
                                     .call = SY_STATE_CALL_CREATE,
                                     .count = 4,
                                     .description = &longer},
                                    {.header = SY_HEADER_INIT(sy_state_request),
                                     .call = SY_STATE_CALL_CREATE,
                                     .count = 4,
                                     .description = &shorter}};
    CHECK_OK(kit_state_reserve(&d.states, requests, sizeof(requests[0]), 2, 1));
    d.host.limit_bytes = d.host.live_bytes;
    for (uint32_t order = 0; order < 256; order++) {
        uint32_t n_long = 0, n_short = 0;
        for (int i = 0; i < 8; i++) {
            bool is_long = n_short == 4 || (n_long < 4 && (order >> i & 1) != 0);
            n_long += is_long;
            n_short += !is_long;
            states[i] = make(&d, is_long ? 300 : 100);
        }
        for (int i = 0; i < 8; i++) {
            CHECK_OK(kit_state_destroy(states[i]));
        }
    }
    d.host.limit_bytes = UINT64_MAX;
    device_close(&d);
}

static void too_long_is_refused_in_words(void) {
    static sy_device d;
    sy_state *state = NULL;
    device_open(&d, false, 8 * KEY_BLOCK, 0);
    sy_state_description description = keys_of(8 * 64 + 1);
    CHECK(SY_STATUS_CLASS(kit_state_create(&d.states, &description, &state)) ==
          SY_RESOURCE_EXHAUSTED);
    CHECK(state == NULL && strstr(d.host.report, "fewer rows") != NULL);
    sy_state_usage usage = {.header = SY_HEADER_INIT(sy_state_usage)};
    sy_state_request request = {.header = SY_HEADER_INIT(sy_state_request),
                                .call = SY_STATE_CALL_CREATE,
                                .count = UINT32_MAX,
                                .description = &description};
    CHECK(SY_STATUS_CLASS(kit_state_need(&d.states, &request, sizeof(request), 1, &usage)) ==
          SY_RESOURCE_EXHAUSTED);
    description.max_tokens = 8 * 64; /* many, but they can be counted */
    CHECK_OK(kit_state_need(&d.states, &request, sizeof(request), 1, &usage));
    CHECK(usage.own_bytes > blocks_cost(8) * UINT32_MAX);
    CHECK(usage.new_bytes < usage.own_bytes); /* the host is not asked for slabs */
    device_close(&d);
}

static const sy_test_case cases[] = {
    {"any_calls", any_calls},
    {"any_calls_with_windows", any_calls_with_windows},
    {"calls_that_fail", calls_that_fail},
    {"calls_that_fail_with_windows", calls_that_fail_with_windows},
    {"forks_share_where_there_is_room", forks_share_where_there_is_room},
    {"a_state_without_room_moves", a_state_without_room_moves},
    {"what_is_there_moves", what_is_there_moves},
    {"rows_half_written_are_gone", rows_half_written_are_gone},
    {"kept_slabs_hold_whole_states", kept_slabs_hold_whole_states},
    {"sizes_keep_their_slabs", sizes_keep_their_slabs},
    {"slabs_are_smaller_where_memory_is_short", slabs_are_smaller_where_memory_is_short},
    {"too_long_is_refused_in_words", too_long_is_refused_in_words},
};
SY_TEST_MAIN(cases)
