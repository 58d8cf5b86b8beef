/* SPDX-License-Identifier: Apache-2.0 */
/* Any calls in any order on states that share blocks, beside a naive copy of every state: rows and
 * results of steps are equal bit for bit, refused calls change nothing, steps take no memory, and
 * nothing is left at the end. On the CPU delegate and on the reference. */
#include "op_compare.h"
#include "switchyard/types.h"

enum { LIVE = 10, MAX_ROWS = 420, STEP = 24, HEAD = 32, N_HEADS = 2, WINDOW = 70 };

/* A key and a value state, and what they must hold. */
typedef struct tracked {
    sy_state *pair[2];
    uint8_t *rows[2];
    uint64_t n_rows, max_tokens;
    uint64_t sure; /* rows from here on are surely kept */
} tracked;

typedef struct world {
    sy_test_host host;
    sy_op_runner runner;
    sy_test_graph graph;
    sy_op_unit unit;
    sy_state_description descriptions[2];
    uint64_t row_bytes[2], n_base;
    uint32_t window;
    tracked live[LIVE];
    uint32_t n_refused, n_forgotten, n_steps;
} world;

static uint64_t below(uint64_t n) {
    return n > 0 ? random_u32() % n : 0;
}

static void graph_make(world *w) {
    sy_error error = {0};
    sy_dimension t = sy_test_symbol(SY_SYMBOL_TOKENS, STEP);
    sy_dimension wide[2] = {t, sy_test_fixed(HEAD * N_HEADS)}, narrow[2] = {t, sy_test_fixed(HEAD)};
    sy_dimension rows[2] = {sy_test_fixed(MAX_ROWS), narrow[1]};
    sy_test_graph *g = &w->graph;
    sy_test_graph_init(g);
    uint32_t in[5] = {
        sy_test_graph_value(g, "q", SY_VALUE_INPUT, SY_TYPE_F32, 2, wide),
        sy_test_graph_value(g, "k", SY_VALUE_INPUT, SY_TYPE_F32, 2, narrow),
        sy_test_graph_value(g, "v", SY_VALUE_INPUT, SY_TYPE_F32, 2, narrow),
        sy_test_graph_value(g, "keys", SY_VALUE_STATE, w->descriptions[0].type, 2, rows),
        sy_test_graph_value(g, "values", SY_VALUE_STATE, w->descriptions[1].type, 2, rows),
    };
    uint32_t y = sy_test_graph_value(g, "y", SY_VALUE_OUTPUT, SY_TYPE_F32, 2, wide);
    uint32_t node = sy_test_graph_node(g, "switchyard", "Attention", 1, 5, in, 1, &y);
    sy_test_graph_int(g, node, "num_heads", N_HEADS);
    sy_test_graph_int(g, node, "num_kv_heads", 1);
    sy_test_graph_int(g, node, "window", w->window);
    CHECK_OK_ERROR(sy_test_graph_finish(g, &error), error);
    CHECK_OK_ERROR(sy_op_load(&w->runner, g, &w->unit, &error), error);
}

static void world_open(world *w, bool is_reference, sy_element_type keys, sy_element_type values,
                       uint32_t window) {
    sy_error error = {0};
    const sy_element_type types[2] = {keys, values};
    memset(w, 0, sizeof(*w));
    w->window = window;
    for (int i = 0; i < 2; i++) {
        w->descriptions[i] = (sy_state_description){.header = SY_HEADER_INIT(sy_state_description),
                                                    .type = types[i],
                                                    .role = i == 0 ? SY_STATE_KEY : SY_STATE_VALUE,
                                                    .width = HEAD,
                                                    .window = window,
                                                    .step_tokens = STEP};
        CHECK_OK(sy_type_row_bytes(types[i], HEAD, &w->row_bytes[i]));
    }
    CHECK_OK_ERROR(sy_test_host_init(&w->host, 1, &error), error);
    const sy_plugin *plugin =
        is_reference ? compare_reference_entry(&w->host) : compare_delegate_entry(&w->host);
    CHECK_OK_ERROR(sy_op_runner_open(&w->runner, plugin, &w->host, 0, NULL, &error), error);
    graph_make(w);
    w->n_base = w->host.live_bytes;
}

/* ---- calls on both states of a pair ---- */
static sy_state_request request_of(const world *w, const tracked *t, int i, uint32_t call,
                                   uint64_t n_rows, uint64_t max_tokens) {
    return (sy_state_request){.header = SY_HEADER_INIT(sy_state_request),
                              .call = call,
                              .description =
                                  call == SY_STATE_CALL_CREATE ? &w->descriptions[i] : NULL,
                              .state = t != NULL ? t->pair[i] : NULL,
                              .n_rows = n_rows,
                              .max_tokens = max_tokens};
}

/* Asks what the call needs and reserves it, now and then with too little memory; afterwards the
 * call itself gets none. */
static sy_status reserve(world *w, const tracked *t, uint32_t call, uint64_t n_rows,
                         uint64_t max_tokens) {
    const sy_plugin *plugin = w->runner.plugin;
    sy_state_request requests[2] = {request_of(w, t, 0, call, n_rows, max_tokens),
                                    request_of(w, t, 1, call, n_rows, max_tokens)};
    sy_state_usage usage = {.header = SY_HEADER_INIT(sy_state_usage)};
    size_t stride = sizeof(requests[0]);
    w->host.limit_bytes = UINT64_MAX;
    sy_status status = plugin->state_need(w->runner.device, requests, stride, 2, &usage);
    uint64_t before = w->host.live_bytes;
    bool is_short = status == SY_OK && usage.new_bytes > 0 && below(4) == 0;
    w->host.limit_bytes = is_short ? before + below(usage.new_bytes) : UINT64_MAX;
    sy_status reserved = plugin->state_reserve(w->runner.device, requests, stride, 2, 0);
    if (is_short) {
        CHECK(SY_STATUS_CLASS(reserved) == SY_RESOURCE_EXHAUSTED);
        CHECK_TEXT(w->host.live_bytes <= before, "a refused reserve keeps memory");
        w->n_refused++;
    } else {
        CHECK(reserved == status);
        CHECK_TEXT(status != SY_OK || w->host.live_bytes - before == usage.new_bytes,
                   "call %u: %llu bytes were foretold, %llu taken", call,
                   (unsigned long long)usage.new_bytes,
                   (unsigned long long)(w->host.live_bytes - before));
    }
    w->host.limit_bytes = w->host.live_bytes;
    return reserved;
}

/* The rows from `first` on, which must be kept, as they should be. */
static void check_rows(world *w, const tracked *t, uint64_t first, const char *what) {
    static uint8_t read[MAX_ROWS * HEAD * 4];
    for (int i = 0; i < 2 && first < t->n_rows; i++) {
        uint64_t n_bytes = (t->n_rows - first) * w->row_bytes[i];
        CHECK_OK(w->runner.plugin->state_save(t->pair[i], first, t->n_rows - first, read, n_bytes));
        CHECK_TEXT(memcmp(read, t->rows[i] + first * w->row_bytes[i], n_bytes) == 0,
                   "other rows after %s", what);
    }
}

/* A call may be refused for rows that a window left behind, and for nothing else. */
static bool may_be_gone(const world *w, const tracked *t, uint64_t n_rows) {
    uint64_t first = n_rows >= w->window ? n_rows - w->window + 1 : 0;
    return w->window > 0 && first < n_rows && first < t->sure;
}

static bool refused(world *w, const tracked *t, sy_status status, uint64_t n_rows) {
    if (SY_STATUS_CLASS(status) == SY_OUT_OF_RANGE && may_be_gone(w, t, n_rows)) {
        w->n_forgotten++;
    } else if (status != SY_OK) {
        CHECK(SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED);
    }
    if (status != SY_OK) {
        check_rows(w, t, t->sure, "a refused call");
    }
    return status != SY_OK;
}

static void now_sure(world *w, tracked *t) {
    uint64_t newest = t->n_rows > w->window ? t->n_rows - w->window : 0;
    t->sure = w->window > 0 && newest > t->sure ? newest : t->sure;
}

static tracked *empty_place(world *w) {
    tracked *t = &w->live[below(LIVE)];
    return t->pair[0] == NULL ? t : NULL;
}

static void take_rows(world *w, tracked *t) {
    for (int i = 0; i < 2; i++) {
        t->rows[i] = calloc(MAX_ROWS, w->row_bytes[i]);
        CHECK(t->rows[i] != NULL);
    }
}

static void op_create(world *w) {
    tracked *t = empty_place(w);
    uint64_t max_tokens = 1 + below(MAX_ROWS);
    w->descriptions[0].max_tokens = w->descriptions[1].max_tokens = max_tokens;
    if (t == NULL || reserve(w, NULL, SY_STATE_CALL_CREATE, 0, 0) != SY_OK) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        CHECK_OK(
            w->runner.plugin->state_create(w->runner.device, &w->descriptions[i], &t->pair[i]));
    }
    t->n_rows = t->sure = 0;
    t->max_tokens = max_tokens;
    take_rows(w, t);
}

static void op_fork(world *w, tracked *from) {
    tracked *t = empty_place(w);
    uint64_t n = below(from->n_rows + 1), kind = below(3);
    uint64_t most = kind == 0 ? n : kind == 1 ? from->max_tokens : n + below(MAX_ROWS + 1 - n);
    most = most > 0 ? most : 1;
    if (t == NULL || refused(w, from, reserve(w, from, SY_STATE_CALL_FORK, n, most), n)) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        const sy_plugin *p = w->runner.plugin;
        CHECK_OK(most == from->max_tokens ? p->state_clone(from->pair[i], n, &t->pair[i])
                                          : p->state_fork(from->pair[i], n, most, &t->pair[i]));
    }
    take_rows(w, t);
    for (int i = 0; i < 2; i++) {
        memcpy(t->rows[i], from->rows[i], n * w->row_bytes[i]);
    }
    t->n_rows = n;
    t->max_tokens = most;
    t->sure = 0;
    now_sure(w, t);
    check_rows(w, t, t->sure, "a fork, in the new state");
    check_rows(w, from, from->sure, "a fork, in the old state");
}

static bool truncate_to(world *w, tracked *t, uint64_t n) {
    if (refused(w, t, reserve(w, t, SY_STATE_CALL_TRUNCATE, n, 0), n)) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        CHECK_OK(w->runner.plugin->state_truncate(t->pair[i], n));
    }
    t->n_rows = n;
    t->sure = n == 0 ? 0 : t->sure;
    check_rows(w, t, t->sure < n ? t->sure : n, "a truncation");
    return true;
}

/* Fills rows [first, first + n) with what nobody had before. */
static void load_rows(world *w, tracked *t, uint64_t first, uint64_t n, bool is_new) {
    if (refused(w, t, reserve(w, t, SY_STATE_CALL_WRITE, first, 0), 0)) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        uint8_t *rows = t->rows[i] + first * w->row_bytes[i];
        for (uint64_t k = 0; is_new && k < n * w->row_bytes[i]; k++) {
            rows[k] = (uint8_t)(random_u32() % 61); /* small exponents: no infinities */
        }
        CHECK_OK(w->runner.plugin->state_load(t->pair[i], first, n, rows, n * w->row_bytes[i]));
    }
    t->n_rows = first + n > t->n_rows ? first + n : t->n_rows;
}

static void op_load(world *w, tracked *t) {
    uint64_t first = w->window > 0 ? t->n_rows : below(t->n_rows + 1);
    uint64_t n = below(t->max_tokens - first + 1);
    if (w->window > 0 && below(2) == 0) { /* a session that comes from a file */
        t->sure = t->n_rows > WINDOW ? t->n_rows - WINDOW : 0;
        load_rows(w, t, t->sure, t->n_rows - t->sure, false);
    } else {
        load_rows(w, t, first, n, true);
        now_sure(w, t);
    }
    check_rows(w, t, t->sure, "a load");
}

static void op_shift(world *w, tracked *t) {
    uint64_t first = 1 + below(t->n_rows), to = below(first);
    bool is_tail = w->window > 0 || below(2) == 0;
    if (t->n_rows == 0 || first > t->n_rows) {
        return;
    }
    uint64_t left = t->n_rows - first, count = is_tail ? left : below(left + 1);
    if (refused(w, t, reserve(w, t, SY_STATE_CALL_WRITE, to, 0), 0)) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        uint64_t n = w->row_bytes[i];
        CHECK_OK(w->runner.plugin->state_shift(t->pair[i], first, count, to));
        memmove(t->rows[i] + to * n, t->rows[i] + first * n, count * n);
    }
    if (count < left) {
        check_rows(w, t, t->sure, "a shift in the middle");
        return;
    }
    t->n_rows = to + count;
    if (t->sure > to) { /* what is left may be a part of a block less */
        t->sure = (t->sure > first ? t->sure : first) - (first - to) + 128;
    }
    t->sure = t->sure < t->n_rows ? t->sure : t->n_rows;
    check_rows(w, t, t->sure, "a shift");
}

static void drop(world *w, tracked *t) {
    for (int i = 0; i < 2; i++) {
        CHECK_OK(w->runner.plugin->state_destroy(t->pair[i]));
        free(t->rows[i]);
    }
    memset(t, 0, sizeof(*t));
}

static void submit(world *w, sy_state *const *pair, uint64_t n_past, uint32_t n, float *const *qkv,
                   float *y) {
    sy_error error = {0};
    const int64_t symbols[4] = {0, n, n, 1};
    sy_sequence sequence = {0, n, (uint32_t)n_past, 0};
    sy_op_step step = {.inputs = (const void *[]){qkv[0], qkv[1], qkv[2]},
                       .outputs = (void *[]){y},
                       .symbols = symbols,
                       .n_symbols = 4,
                       .n_sequences = 1,
                       .sequences = &sequence,
                       .states = pair};
    CHECK_OK_ERROR(sy_op_submit(&w->unit, &step, &error), error);
}

/* The same step over new states with the same rows, all of them kept. */
static void naive_step(world *w, tracked *t, uint32_t n, float *const *qkv, float *y) {
    sy_state *pair[2] = {NULL, NULL};
    const sy_plugin *plugin = w->runner.plugin;
    w->host.limit_bytes = UINT64_MAX;
    for (int i = 0; i < 2; i++) {
        sy_state_description d = w->descriptions[i];
        d.step_tokens = 0;
        d.max_tokens = MAX_ROWS + STEP;
        uint64_t bytes = w->row_bytes[i];
        CHECK_OK(plugin->state_create(w->runner.device, &d, &pair[i]));
        CHECK_OK(plugin->state_load(pair[i], 0, t->n_rows, t->rows[i], t->n_rows * bytes));
    }
    submit(w, pair, t->n_rows, n, qkv, y);
    for (int i = 0; i < 2; i++) {
        uint64_t bytes = w->row_bytes[i];
        CHECK_OK(
            plugin->state_save(pair[i], t->n_rows, n, t->rows[i] + t->n_rows * bytes, n * bytes));
        CHECK_OK(plugin->state_destroy(pair[i]));
    }
    w->host.limit_bytes = w->host.live_bytes;
}

static void op_step(world *w, tracked *t) {
    static float q[STEP * HEAD * N_HEADS], k[STEP * HEAD], v[STEP * HEAD];
    static float y[2][STEP * HEAD * N_HEADS];
    float *qkv[3] = {q, k, v};
    uint64_t left = t->max_tokens - t->n_rows;
    uint32_t n = 1 + (uint32_t)below(below(3) == 0 ? STEP : 3);
    if (n > left) {
        return;
    }
    if (w->window > 0 && !truncate_to(w, t, t->n_rows)) { /* gone: they are computed again */
        load_rows(w, t, 0, t->n_rows, false);
        if (!truncate_to(w, t, t->n_rows)) {
            return;
        }
    }
    for (size_t i = 0; i < sizeof(q) / sizeof(q[0]); i++) {
        q[i] = (float)(random_u32() >> 8) * 0x1p-23f - 1.0f;
    }
    for (size_t i = 0; i < sizeof(k) / sizeof(k[0]); i++) {
        k[i] = (float)(random_u32() >> 8) * 0x1p-23f - 1.0f;
        v[i] = (float)(random_u32() >> 8) * 0x1p-23f - 1.0f;
    }
    memset(y, 0, sizeof(y));
    uint64_t n_past = t->n_rows, n_allocs;
    naive_step(w, t, n, qkv, y[0]);
    n_allocs = w->host.n_allocs;
    submit(w, t->pair, n_past, n, qkv, y[1]);
    if (below(8) == 0) { /* it failed elsewhere and is repeated */
        submit(w, t->pair, n_past, n, qkv, y[1]);
    }
    CHECK_TEXT(w->host.n_allocs == n_allocs, "a step takes memory");
    CHECK_TEXT(memcmp(y[0], y[1], sizeof(y[0])) == 0, "other bits at row %llu",
               (unsigned long long)n_past);
    t->n_rows += n;
    now_sure(w, t);
    check_rows(w, t, t->sure, "a step");
    w->n_steps++;
}

static void op_any(world *w) {
    tracked *t = &w->live[below(LIVE)];
    uint64_t which = below(20);
    if (t->pair[0] == NULL) {
        op_create(w);
    } else if (which < 4) {
        op_fork(w, t);
    } else if (which < 6) {
        (void)truncate_to(w, t, below(t->n_rows + 1));
    } else if (which < 8) {
        op_shift(w, t);
    } else if (which < 10) {
        op_load(w, t);
    } else if (which < 11) {
        drop(w, t);
    } else {
        op_step(w, t);
    }
}

/* Every byte of the pool belongs to a state. */
static void check_usage(world *w) {
    uint64_t own = 0, most = 0;
    for (int i = 0; i < LIVE; i++) {
        sy_state_usage usage = {.header = SY_HEADER_INIT(sy_state_usage)};
        sy_state_request requests[2];
        if (w->live[i].pair[0] == NULL) {
            continue;
        }
        requests[0] = request_of(w, &w->live[i], 0, SY_STATE_CALL_HOLD, 0, 0);
        requests[1] = request_of(w, &w->live[i], 1, SY_STATE_CALL_HOLD, 0, 0);
        CHECK_OK(w->runner.plugin->state_need(w->runner.device, requests, sizeof(requests[0]), 2,
                                              &usage));
        own += usage.own_bytes;
        most += usage.own_bytes + usage.shared_bytes;
    }
    CHECK(own <= w->host.live_bytes - w->n_base && own <= most);
}

static void world_close(world *w) {
    for (int i = 0; i < LIVE; i++) {
        if (w->live[i].pair[0] != NULL) {
            drop(w, &w->live[i]);
        }
    }
    CHECK_OK(w->runner.plugin->state_reserve(w->runner.device, NULL, 0, 0, 0));
    CHECK_TEXT(w->host.live_bytes == w->n_base, "%llu bytes are left",
               (unsigned long long)(w->host.live_bytes - w->n_base));
    w->host.limit_bytes = UINT64_MAX;
    sy_op_unload(&w->unit);
    sy_test_graph_deinit(&w->graph);
    CHECK_OK(sy_op_runner_close(&w->runner));
    CHECK_TEXT(w->host.n_live == 0 && w->host.n_misuses == 0, "%s", w->host.misuse);
    sy_test_host_deinit(&w->host);
}

static void run_model(bool is_reference, sy_element_type keys, sy_element_type values,
                      uint32_t window, uint32_t n_ops) {
    static world w;
    world_open(&w, is_reference, keys, values, window);
    for (uint32_t i = 0; i < n_ops; i++) {
        op_any(&w);
        if (i % 64 == 0) {
            check_usage(&w);
        }
    }
    CHECK_TEXT(w.n_steps > n_ops / 10 && w.n_refused > 0, "%u steps, %u refusals", w.n_steps,
               w.n_refused);
    CHECK(window == 0 || is_reference || w.n_forgotten > 0);
    world_close(&w);
}

static void cpu_states(void) {
    run_model(false, SY_TYPE_F16, SY_TYPE_F16, 0, 4000);
    run_model(false, SY_TYPE_Q8_0, SY_TYPE_Q4_0, 0, 2500);
    run_model(false, SY_TYPE_F32, SY_TYPE_BF16, 0, 1500);
}

static void cpu_states_with_windows(void) {
    run_model(false, SY_TYPE_F16, SY_TYPE_F16, WINDOW, 4000);
    run_model(false, SY_TYPE_Q4_0, SY_TYPE_Q8_0, WINDOW, 2500);
}

static void reference_states(void) {
    run_model(true, SY_TYPE_F16, SY_TYPE_F16, 0, 1500);
    run_model(true, SY_TYPE_Q8_0, SY_TYPE_F32, 0, 1500);
    run_model(true, SY_TYPE_F16, SY_TYPE_F16, WINDOW, 1000); /* it keeps all rows */
}

static const sy_test_case cases[] = {
    {"reference_states", reference_states},
    {"cpu_states", cpu_states},
    {"cpu_states_with_windows", cpu_states_with_windows},
};
SY_TEST_MAIN(cases)
