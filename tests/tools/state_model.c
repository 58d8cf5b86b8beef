/* SPDX-License-Identifier: Apache-2.0 */
#include "state_model.h"

#include "kernels/guarded.h"

uint64_t state_model_below(uint64_t n) {
    return n > 0 ? random_u32() % n : 0;
}

void state_model_open_memory(state_model *m, bool is_open) {
    m->host->limit_bytes = is_open ? UINT64_MAX : m->host->live_bytes;
    if (m->open_memory != NULL) {
        m->open_memory(m, is_open);
    }
}

/* ---- calls that break ---- */
static void break_soon(state_model *m, bool breaks) {
    if (m->break_soon != NULL) {
        m->break_soon(m, breaks);
    }
}

/* Whether a call broke; from then on none does, and there is memory to do it again. */
static bool broke(state_model *m, sy_status status) {
    if (m->break_soon == NULL || SY_STATUS_CLASS(status) != SY_UNAVAILABLE) {
        CHECK_OK(status);
        return false;
    }
    break_soon(m, false);
    state_model_open_memory(m, true);
    m->n_broken++;
    return true;
}

/* ---- rows ---- */
static void look(state_model *m, sy_state *state) {
    if (m->look != NULL) {
        m->look(m, state);
    }
}

/* Rows [first, end) of one of both, which must be kept, as they should be. */
static void check_state(state_model *m, const model_pair *t, int i, uint64_t first, uint64_t end,
                        const char *what) {
    static uint8_t read[MODEL_ROWS * MODEL_ROW_BYTES], none[MODEL_ROW_BYTES];
    uint64_t row_bytes = m->row_bytes[i], n_bytes = (end - first) * row_bytes;
    look(m, t->states[i]);
    if (first >= end) {
        return;
    }
    memset(none, 0x5a, sizeof(none));
    memset(read, 0x5a, n_bytes);
    sy_status status = m->plugin->state_save(t->states[i], first, end - first, read, n_bytes);
    CHECK_TEXT(SY_STATUS_CLASS(status) != SY_OUT_OF_RANGE, "after %s: %s", what, m->host->report);
    if (broke(m, status)) {
        CHECK_TEXT(memcmp(read, none, row_bytes) == 0, "a save that failed wrote rows");
        CHECK_OK(m->plugin->state_save(t->states[i], first, end - first, read, n_bytes));
    }
    CHECK_TEXT(memcmp(read, t->rows[i] + first * row_bytes, n_bytes) == 0, "other rows after %s",
               what);
}

/* The rows from `first` on of both. */
static void check_rows(state_model *m, const model_pair *t, uint64_t first, const char *what) {
    check_state(m, t, 0, first, t->n_rows, what);
    check_state(m, t, 1, first, t->n_rows, what);
}

static void take_rows(state_model *m, model_pair *t) {
    for (int i = 0; i < 2; i++) {
        t->rows[i] = calloc(MODEL_ROWS, m->row_bytes[i]);
        CHECK(t->rows[i] != NULL);
    }
}

static void now_sure(const state_model *m, model_pair *t) {
    uint64_t newest = t->n_rows > m->window ? t->n_rows - m->window : 0;
    t->sure = m->window > 0 && newest > t->sure ? newest : t->sure;
}

/* ---- memory ahead of calls ---- */
static sy_state_request request_of(const state_model *m, const model_pair *t, int i, uint32_t call,
                                   uint64_t n_rows, uint64_t max_tokens) {
    return (sy_state_request){.header = SY_HEADER_INIT(sy_state_request),
                              .call = call,
                              .description =
                                  call == SY_STATE_CALL_CREATE ? &m->descriptions[i] : NULL,
                              .state = t != NULL ? t->states[i] : NULL,
                              .n_rows = n_rows,
                              .max_tokens = max_tokens};
}

/* A reserve that breaks keeps nothing. */
static void reserve_broken(state_model *m, const sy_state_request *requests) {
    uint64_t before = m->host->live_bytes;
    break_soon(m, true);
    sy_status status = m->plugin->state_reserve(m->device, requests, sizeof(requests[0]), 2, 0);
    if (SY_STATUS_CLASS(status) == SY_UNAVAILABLE) {
        CHECK(m->break_soon != NULL && m->host->live_bytes <= before);
        m->n_broken++;
    }
    break_soon(m, false);
    CHECK_OK(m->plugin->state_reserve(m->device, NULL, 0, 0, 0));
}

/* Asks what the call needs and reserves it, now and then with too little memory; afterwards the
 * call itself gets none. */
static sy_status reserve(state_model *m, const model_pair *t, uint32_t call, uint64_t n_rows,
                         uint64_t max_tokens) {
    sy_state_request requests[2] = {request_of(m, t, 0, call, n_rows, max_tokens),
                                    request_of(m, t, 1, call, n_rows, max_tokens)};
    sy_state_usage usage = {.header = SY_HEADER_INIT(sy_state_usage)};
    size_t stride = sizeof(requests[0]);
    break_soon(m, false);
    state_model_open_memory(m, true);
    if (m->break_soon != NULL) {
        reserve_broken(m, requests);
    }
    sy_status status = m->plugin->state_need(m->device, requests, stride, 2, &usage);
    uint64_t before = m->host->live_bytes;
    bool is_short = status == SY_OK && usage.new_bytes > 0 && state_model_below(4) == 0;
    m->host->limit_bytes = is_short ? before + state_model_below(usage.new_bytes) : UINT64_MAX;
    sy_status reserved = m->plugin->state_reserve(m->device, requests, stride, 2, 0);
    if (is_short && reserved == SY_OK) {
        CHECK(m->manages_with_less);
    } else if (is_short) {
        CHECK(SY_STATUS_CLASS(reserved) == SY_RESOURCE_EXHAUSTED);
        CHECK_TEXT(m->host->live_bytes <= before, "a refused reserve keeps memory");
        m->n_refused++;
    } else {
        CHECK(reserved == status);
        CHECK_TEXT(status != SY_OK || m->host->live_bytes - before == usage.new_bytes,
                   "call %u: %llu bytes were foretold, %llu taken", call,
                   (unsigned long long)usage.new_bytes,
                   (unsigned long long)(m->host->live_bytes - before));
    }
    state_model_open_memory(m, false);
    break_soon(m, true);
    return reserved;
}

/* A call may be refused for rows that a window left behind, and for nothing else. */
static bool may_be_gone(const state_model *m, const model_pair *t, uint64_t n_rows) {
    uint64_t first = n_rows >= m->window ? n_rows - m->window + 1 : 0;
    return m->window > 0 && first < n_rows && first < t->sure;
}

static bool refused(state_model *m, const model_pair *t, sy_status status, uint64_t n_rows) {
    if (SY_STATUS_CLASS(status) == SY_OUT_OF_RANGE && may_be_gone(m, t, n_rows)) {
        m->n_forgotten++;
    } else if (status != SY_OK) {
        CHECK(SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED);
    }
    if (status != SY_OK) {
        check_rows(m, t, t->sure, "a refused call");
    }
    return status != SY_OK;
}

/* ---- calls on both states of a pair ---- */
static model_pair *empty_place(state_model *m) {
    model_pair *t = &m->pairs[state_model_below(MODEL_PAIRS)];
    return t->states[0] == NULL ? t : NULL;
}

static void op_create(state_model *m) {
    model_pair *t = empty_place(m);
    uint64_t max_tokens = 1 + state_model_below(MODEL_ROWS);
    m->descriptions[0].max_tokens = m->descriptions[1].max_tokens = max_tokens;
    if (t == NULL || reserve(m, NULL, SY_STATE_CALL_CREATE, 0, 0) != SY_OK) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        const sy_state_description *d = &m->descriptions[i];
        if (broke(m, m->plugin->state_create(m->device, d, &t->states[i]))) {
            CHECK(t->states[i] == NULL);
            CHECK_OK(m->plugin->state_create(m->device, d, &t->states[i]));
        }
    }
    t->n_rows = t->sure = 0;
    t->max_tokens = max_tokens;
    take_rows(m, t);
}

static sy_status fork_one(const state_model *m, const model_pair *from, int i, uint64_t n,
                          model_pair *t) {
    const sy_plugin *p = m->plugin;
    return t->max_tokens == from->max_tokens
               ? p->state_clone(from->states[i], n, &t->states[i])
               : p->state_fork(from->states[i], n, t->max_tokens, &t->states[i]);
}

static void op_fork(state_model *m, model_pair *from) {
    model_pair *t = empty_place(m);
    uint64_t n = state_model_below(from->n_rows + 1), kind = state_model_below(3);
    uint64_t most = kind == 0   ? n
                    : kind == 1 ? from->max_tokens
                                : n + state_model_below(MODEL_ROWS + 1 - n);
    most = most > 0 ? most : 1;
    if (t == NULL || refused(m, from, reserve(m, from, SY_STATE_CALL_FORK, n, most), n)) {
        return;
    }
    t->max_tokens = most;
    for (int i = 0; i < 2; i++) {
        if (broke(m, fork_one(m, from, i, n, t))) {
            CHECK(t->states[i] == NULL);
            check_rows(m, from, from->sure, "a fork that failed");
            CHECK_OK(fork_one(m, from, i, n, t));
        }
    }
    take_rows(m, t);
    for (int i = 0; i < 2; i++) {
        memcpy(t->rows[i], from->rows[i], n * m->row_bytes[i]);
    }
    t->n_rows = n;
    t->sure = from->sure < n ? from->sure : n;
    now_sure(m, t);
    check_rows(m, t, t->sure, "a fork, in the new state");
    check_rows(m, from, from->sure, "a fork, in the old state");
}

static bool truncate_to(state_model *m, model_pair *t, uint64_t n) {
    if (refused(m, t, reserve(m, t, SY_STATE_CALL_TRUNCATE, n, 0), n)) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (broke(m, m->plugin->state_truncate(t->states[i], n))) {
            check_state(m, t, i, t->sure, t->n_rows, "a truncation that failed");
            CHECK_OK(m->plugin->state_truncate(t->states[i], n));
        }
    }
    t->n_rows = n;
    t->sure = n == 0 ? 0 : t->sure;
    check_rows(m, t, t->sure < n ? t->sure : n, "a truncation");
    return true;
}

/* Fills rows [first, first + n) with what nobody had before. */
static void load_rows(state_model *m, model_pair *t, uint64_t first, uint64_t n, bool is_new) {
    if (refused(m, t, reserve(m, t, SY_STATE_CALL_WRITE, first, 0), 0)) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        uint64_t row_bytes = m->row_bytes[i];
        uint8_t *rows = t->rows[i] + first * row_bytes;
        for (uint64_t k = 0; is_new && k < n * row_bytes; k++) {
            rows[k] = (uint8_t)(random_u32() % 61); /* small exponents: no infinities */
        }
        sy_status status = m->plugin->state_load(t->states[i], first, n, rows, n * row_bytes);
        if (broke(m, status)) { /* by then a window may have left rows behind */
            check_state(m, t, i, m->window > 0 ? first : 0, first, "a load that failed");
            CHECK_OK(m->plugin->state_load(t->states[i], first, n, rows, n * row_bytes));
        }
    }
    t->n_rows = first + n > t->n_rows ? first + n : t->n_rows;
}

/* Ends the pair at n_rows; rows that are gone are computed again. */
static bool settle(state_model *m, model_pair *t) {
    for (int i = 0; i < 32; i++) {
        if (truncate_to(m, t, t->n_rows)) {
            return true;
        }
        load_rows(m, t, 0, t->n_rows, false);
    }
    return false;
}

static void op_load(state_model *m, model_pair *t) {
    uint64_t first = m->window > 0 ? t->n_rows : state_model_below(t->n_rows + 1);
    uint64_t n = state_model_below(t->max_tokens - first + 1);
    if (m->window > 0 && state_model_below(2) == 0) { /* a session that comes from a file */
        t->sure = t->n_rows > m->window ? t->n_rows - m->window : 0;
        load_rows(m, t, t->sure, t->n_rows - t->sure, false);
    } else {
        load_rows(m, t, first, n, true);
        now_sure(m, t);
    }
    check_rows(m, t, t->sure, "a load");
}

/* What is sure after rows from `first` on went to `to`, of t->n_rows then. */
static void shifted(model_pair *t, uint64_t first, uint64_t to) {
    if (t->sure > to) { /* what is left may be a part of a block less */
        t->sure = (t->sure > first ? t->sure : first) - (first - to) + 128;
    }
    t->sure = t->sure < t->n_rows ? t->sure : t->n_rows;
}

static void op_shift(state_model *m, model_pair *t) {
    uint64_t first = 1 + state_model_below(t->n_rows), to = state_model_below(first);
    bool is_tail = m->window > 0 || state_model_below(2) == 0, is_lost = false;
    if (t->n_rows == 0 || first > t->n_rows) {
        return;
    }
    uint64_t left = t->n_rows - first, count = is_tail ? left : state_model_below(left + 1);
    if (count == 0 || refused(m, t, reserve(m, t, SY_STATE_CALL_WRITE, to, 0), 0)) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        uint64_t n = m->row_bytes[i];
        is_lost |= broke(m, m->plugin->state_shift(t->states[i], first, count, to));
        memmove(t->rows[i] + to * n, t->rows[i] + first * n, count * n);
    }
    if (is_lost) { /* rows below `to` are what both still have, if no window left them behind */
        t->n_rows = to;
        t->sure = t->sure > 0 ? to : 0;
        check_rows(m, t, t->sure, "a shift that failed");
        settle(m, t);
        return;
    }
    if (count < left) {
        check_rows(m, t, t->sure, "a shift in the middle");
        return;
    }
    t->n_rows = to + count;
    shifted(t, first, to);
    check_rows(m, t, t->sure, "a shift");
}

static void drop(state_model *m, model_pair *t) {
    for (int i = 0; i < 2; i++) {
        CHECK_OK(m->plugin->state_destroy(t->states[i]));
        free(t->rows[i]);
    }
    memset(t, 0, sizeof(*t));
}

static void op_step(state_model *m, model_pair *t) {
    uint64_t left = t->max_tokens - t->n_rows;
    uint32_t n = 1 + (uint32_t)state_model_below(state_model_below(3) == 0 ? MODEL_STEP : 3);
    if (n > left) {
        return;
    }
    if (m->window > 0 && !settle(m, t)) {
        return;
    }
    break_soon(m, false);
    m->step(m, t, n);
    t->n_rows += n;
    now_sure(m, t);
    check_rows(m, t, t->sure, "a step");
    m->n_steps++;
}

static void op_any(state_model *m) {
    model_pair *t = &m->pairs[state_model_below(MODEL_PAIRS)];
    uint64_t which = state_model_below(20);
    if (t->states[0] == NULL) {
        op_create(m);
    } else if (which < 4) {
        op_fork(m, t);
    } else if (which < 6) {
        (void)truncate_to(m, t, state_model_below(t->n_rows + 1));
    } else if (which < 8) {
        op_shift(m, t);
    } else if (which < 10) {
        op_load(m, t);
    } else if (which < 11) {
        drop(m, t);
    } else {
        op_step(m, t);
    }
}

/* Every byte of the pool belongs to a state. */
static void check_usage(state_model *m) {
    uint64_t own = 0, most = 0;
    for (int i = 0; i < MODEL_PAIRS; i++) {
        sy_state_usage usage = {.header = SY_HEADER_INIT(sy_state_usage)};
        sy_state_request requests[2];
        if (m->pairs[i].states[0] == NULL) {
            continue;
        }
        requests[0] = request_of(m, &m->pairs[i], 0, SY_STATE_CALL_HOLD, 0, 0);
        requests[1] = request_of(m, &m->pairs[i], 1, SY_STATE_CALL_HOLD, 0, 0);
        CHECK_OK(m->plugin->state_need(m->device, requests, sizeof(requests[0]), 2, &usage));
        own += usage.own_bytes;
        most += usage.own_bytes + usage.shared_bytes;
    }
    CHECK(own <= most && (m->open_memory != NULL || own <= m->host->live_bytes - m->n_base));
}

void state_model_run(state_model *m, uint32_t n_calls) {
    m->n_base = m->host->live_bytes;
    for (uint32_t i = 0; i < n_calls; i++) {
        op_any(m);
        if (i % 64 == 0) {
            check_usage(m);
        }
    }
    CHECK_TEXT(m->n_steps > n_calls / 10 && m->n_refused > 0, "%u steps, %u refusals", m->n_steps,
               m->n_refused);
    break_soon(m, false);
    for (int i = 0; i < MODEL_PAIRS; i++) {
        if (m->pairs[i].states[0] != NULL) {
            drop(m, &m->pairs[i]);
        }
    }
    CHECK_OK(m->plugin->state_reserve(m->device, NULL, 0, 0, 0));
    CHECK_TEXT(m->host->live_bytes == m->n_base, "%llu bytes are left",
               (unsigned long long)(m->host->live_bytes - m->n_base));
    state_model_open_memory(m, true);
}
