/* SPDX-License-Identifier: Apache-2.0 */
/* L3: states whose rows may be shared or forgotten, beside plain copies of what they must hold. In
 * f32, so that every delegate keeps rows exactly. Long enough for blocks of any usual size. */
#include "conform/conform_internal.h"

#include <string.h>

#define ROWS 300u
#define WIDTH 32u
#define ROW_BYTES (WIDTH * sizeof(float))
#define WINDOW 40u
#define STEP 16u

/* A state and its copy. */
typedef struct held {
    sy_state *state;
    uint64_t n_rows;
    float rows[ROWS][WIDTH];
} held;

typedef struct sharing {
    sy__conform *c;
    sy__session *session;
    const sy_plugin *table;
    sy_device *device;
    held held[4];
} sharing;

static sy_state_description describe(uint64_t max_tokens) {
    return (sy_state_description){.header = SY_HEADER_INIT(sy_state_description),
                                  .type = SY_TYPE_F32,
                                  .role = SY_STATE_KEY,
                                  .width = WIDTH,
                                  .max_tokens = max_tokens};
}

static bool write_rows(sharing *s, held *h, uint64_t first, uint64_t n, uint32_t seed) {
    for (uint64_t r = first; r < first + n; r++) {
        for (uint32_t i = 0; i < WIDTH; i++) {
            h->rows[r][i] = (float)(seed * 4096 + r * 8) + (float)i / WIDTH;
        }
    }
    h->n_rows = first + n > h->n_rows ? first + n : h->n_rows;
    sy_status status = s->table->state_load(h->state, first, n, h->rows[first], n * ROW_BYTES);
    return sy__conform_check(s->c, status == SY_OK, "L3.state_load",
                             "Loading rows [%llu, +%llu) answers %s.", (unsigned long long)first,
                             (unsigned long long)n, sy_status_name(status));
}

/* Rows [first, n_rows) of the state are those of the copy. */
static void same_from(sharing *s, const held *h, uint64_t first, const char *id,
                      const char *after) {
    static float rows[ROWS][WIDTH];
    uint64_t n_bytes = (h->n_rows - first) * ROW_BYTES;
    sy_status status = s->table->state_save(h->state, first, h->n_rows - first, rows, n_bytes);
    bool is_same = status == SY_OK && memcmp(rows, h->rows[first], n_bytes) == 0;
    sy__conform_check(s->c, is_same, id, "State %d, rows [%llu, %llu) after %s: %s.",
                      (int)(h - s->held), (unsigned long long)first, (unsigned long long)h->n_rows,
                      after, status == SY_OK ? "not what was put there" : sy_status_name(status));
}

static void all_same(sharing *s, const char *id, const char *after) {
    for (int i = 0; i < 4; i++) {
        if (s->held[i].state != NULL) {
            same_from(s, &s->held[i], 0, id, after);
        }
    }
}

static bool create(sharing *s, held *h, const sy_state_description *description) {
    sy_status status = s->table->state_create(s->device, description, &h->state);
    h->n_rows = 0;
    h->state = status == SY_OK ? h->state : NULL;
    return h->state != NULL;
}

static bool clone_to(sharing *s, held *from, held *to, uint64_t n_rows) {
    sy_status status = s->table->state_clone(from->state, n_rows, &to->state);
    memcpy(to->rows, from->rows, sizeof(to->rows));
    to->n_rows = n_rows;
    to->state = status == SY_OK ? to->state : NULL;
    return sy__conform_check(s->c, to->state != NULL, "L3.state_clone", "clone answers %s.",
                             sy_status_name(status));
}

static void drop(sharing *s, held *h) {
    if (h->state != NULL) {
        s->table->state_destroy(h->state);
    }
    h->state = NULL;
}

static bool truncate_to(sharing *s, held *h, uint64_t n_rows) {
    sy_status status = s->table->state_truncate(h->state, n_rows);
    h->n_rows = status == SY_OK ? n_rows : h->n_rows;
    return sy__conform_check(s->c, status == SY_OK, "L3.state_calls", "truncate answers %s.",
                             sy_status_name(status));
}

/* Clones that go on by themselves, clones of clones, and rows rewritten below what is shared. */
static void check_divergence(sharing *s) {
    held *h = s->held;
    sy_state_description d = describe(ROWS);
    if (!create(s, &h[0], &d) || !write_rows(s, &h[0], 0, 200, 1) ||
        !clone_to(s, &h[0], &h[1], 150) || !clone_to(s, &h[1], &h[2], 130)) {
        return;
    }
    all_same(s, "L3.state_shared", "a clone and a clone of it");
    write_rows(s, &h[1], 150, 20, 2);
    write_rows(s, &h[2], 130, 60, 3);
    write_rows(s, &h[0], 200, 50, 4);
    all_same(s, "L3.state_shared", "all of them went on");
    if (truncate_to(s, &h[0], 37)) {
        write_rows(s, &h[0], 37, 120, 5);
        all_same(s, "L3.state_shared", "the first was cut below what is shared and rewritten");
    }
    if (truncate_to(s, &h[2], 100)) {
        write_rows(s, &h[2], 100, 12, 6);
        all_same(s, "L3.state_shared", "the last was cut below what is shared and rewritten");
    }
    sy_status status = s->table->state_shift(h[1].state, 40, 130, 3);
    memmove(h[1].rows[3], h[1].rows[40], 130 * ROW_BYTES);
    h[1].n_rows = 133;
    sy__conform_check(s->c, status == SY_OK, "L3.state_calls", "shift answers %s.",
                      sy_status_name(status));
    all_same(s, "L3.state_shared", "shared rows were shifted");
    if (clone_to(s, &h[1], &h[3], 133)) {
        drop(s, &h[1]);
        all_same(s, "L3.state_shared", "the state between two others was destroyed");
    }
    drop(s, &h[0]);
    all_same(s, "L3.state_shared", "the first state was destroyed");
}

/* With no memory left, a truncation may be refused; then nothing has changed. */
static void check_refusal(sharing *s) {
    held *h = s->held;
    sy_state_description d = describe(ROWS);
    if (!create(s, &h[0], &d) || !write_rows(s, &h[0], 0, 250, 7) ||
        !clone_to(s, &h[0], &h[1], 200)) {
        return;
    }
    sy_test_host_fail_alloc(&s->session->host, 0, UINT64_MAX - 1);
    sy_status status = s->table->state_truncate(h[0].state, 10);
    sy_test_host_never_fail(&s->session->host);
    bool is_known = status == SY_OK || SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED;
    sy__conform_check(s->c, is_known, "L3.state_refusal", "truncate without memory answers %s.",
                      sy_status_name(status));
    h[0].n_rows = status == SY_OK ? 10 : h[0].n_rows;
    all_same(s, "L3.state_refusal", "a truncation without memory");
    if (truncate_to(s, &h[0], 10)) {
        write_rows(s, &h[0], 10, 90, 8);
        all_same(s, "L3.state_refusal", "the same truncation with memory");
    }
}

/* Forks have a max_tokens of their own. */
static void check_fork(sharing *s) {
    held *h = s->held;
    sy_state_description d = describe(150);
    if (!create(s, &h[0], &d) || !write_rows(s, &h[0], 0, 150, 9)) {
        return;
    }
    sy_status status = s->table->state_fork(h[0].state, 128, ROWS, &h[1].state);
    sy_status frozen = s->table->state_fork(h[0].state, 150, 150, &h[2].state);
    sy_state *none = NULL;
    sy_status less = s->table->state_fork(h[0].state, 100, 99, &none);
    h[1].state = status == SY_OK ? h[1].state : NULL;
    h[2].state = frozen == SY_OK ? h[2].state : NULL;
    sy__conform_check(s->c, status == SY_OK && frozen == SY_OK, "L3.state_fork", "fork answers %s.",
                      sy_status_name(status != SY_OK ? status : frozen));
    sy__conform_check(s->c, less != SY_OK && none == NULL, "L3.state_fork",
                      "A fork with fewer max_tokens than rows is allowed.");
    if (h[1].state == NULL || h[2].state == NULL) {
        return;
    }
    memcpy(h[1].rows, h[0].rows, sizeof(h[0].rows));
    memcpy(h[2].rows, h[0].rows, sizeof(h[0].rows));
    h[1].n_rows = 128;
    h[2].n_rows = 150;
    status = s->table->state_load(h[2].state, 150, 1, h[0].rows, ROW_BYTES);
    sy__conform_check(s->c, status != SY_OK, "L3.state_fork",
                      "A fork takes rows past its own max_tokens.");
    status =
        s->table->state_load(h[1].state, 128, ROWS - 128, h[1].rows[128], (ROWS - 128) * ROW_BYTES);
    sy__conform_check(s->c, status == SY_OK, "L3.state_fork",
                      "A fork does not take all rows of its max_tokens: %s.",
                      sy_status_name(status));
    all_same(s, "L3.state_fork", "forks");
}

/* What state_need says is what the host is asked for, and after a reserve nothing more. */
static void check_need(sharing *s, const sy_state_request *request, held *out, const char *what) {
    sy_state_usage usage = {.header = SY_HEADER_INIT(sy_state_usage)};
    const sy_test_host *host = &s->session->host;
    uint64_t before = host->live_bytes;
    sy_status status = s->table->state_need(s->device, request, sizeof(*request), 1, &usage);
    sy__conform_check(s->c, status == SY_OK && host->live_bytes == before, "L3.state_need",
                      "state_need for %s answers %s or takes memory.", what,
                      sy_status_name(status));
    status = s->table->state_reserve(s->device, request, sizeof(*request), 1, 0);
    sy__conform_check(s->c, status == SY_OK && host->live_bytes - before == usage.new_bytes,
                      "L3.state_need", "%s: %llu bytes were foretold, the host gave %llu.", what,
                      (unsigned long long)usage.new_bytes,
                      (unsigned long long)(host->live_bytes - before));
    uint64_t n_allocs = host->n_allocs;
    if (request->call == SY_STATE_CALL_CREATE) {
        status = s->table->state_create(s->device, request->description, &out->state);
    } else {
        status =
            s->table->state_fork(request->state, request->n_rows, request->max_tokens, &out->state);
    }
    out->state = status == SY_OK ? out->state : NULL;
    sy__conform_check(s->c, status == SY_OK && host->n_allocs == n_allocs, "L3.state_need",
                      "%s asks for memory although it was reserved.", what);
}

static void check_bytes(sharing *s) {
    held *h = s->held;
    const sy_test_host *host = &s->session->host;
    uint64_t before = host->live_bytes;
    sy_state_description d = describe(ROWS);
    sy_state_request request = {.header = SY_HEADER_INIT(sy_state_request),
                                .call = SY_STATE_CALL_CREATE,
                                .description = &d};
    check_need(s, &request, &h[0], "create");
    if (h[0].state == NULL || !write_rows(s, &h[0], 0, 256, 10)) {
        return;
    }
    request = (sy_state_request){.header = SY_HEADER_INIT(sy_state_request),
                                 .call = SY_STATE_CALL_FORK,
                                 .state = h[0].state,
                                 .n_rows = 256,
                                 .max_tokens = 256};
    check_need(s, &request, &h[1], "fork");
    drop(s, &h[0]);
    drop(s, &h[1]);
    sy_status status = s->table->state_reserve(s->device, NULL, 0, 0, 0);
    sy__conform_check(s->c, status == SY_OK && host->live_bytes == before, "L3.state_need",
                      "%llu bytes stay when all states are gone and nothing is kept.",
                      (unsigned long long)(host->live_bytes - before));
}

/* The newest `window` rows are there at any time; older ones may be, and then they are right. */
static void check_window(sharing *s) {
    held *h = &s->held[0];
    sy_state_description d = describe(ROWS);
    d.window = WINDOW;
    d.step_tokens = STEP;
    if (!create(s, h, &d)) {
        return;
    }
    for (uint32_t n = 0; n + STEP <= ROWS; n += STEP) {
        if (!write_rows(s, h, n, STEP, 11 + n)) {
            return;
        }
        same_from(s, h, h->n_rows > WINDOW ? h->n_rows - WINDOW : 0, "L3.state_window",
                  "rows were added");
    }
    for (uint64_t n = h->n_rows - STEP; n > 0; n /= 2) {
        sy_status status = s->table->state_truncate(h->state, n);
        bool may_refuse = n < h->n_rows - STEP;
        bool is_gone = SY_STATUS_CLASS(status) == SY_OUT_OF_RANGE;
        sy__conform_check(s->c, status == SY_OK || (may_refuse && is_gone), "L3.state_window",
                          "truncate from %llu to %llu rows with a window of %u answers %s.",
                          (unsigned long long)h->n_rows, (unsigned long long)n, WINDOW,
                          sy_status_name(status));
        h->n_rows = status == SY_OK ? n : h->n_rows;
        uint64_t first = h->n_rows >= WINDOW ? h->n_rows - WINDOW + 1 : 0;
        same_from(s, h, first, "L3.state_window", "a truncation");
    }
}

void sy__conform_state_sharing(sy__conform *c, sy__session *session) {
    static sharing s;
    void (*const checks[])(sharing *) = {check_divergence, check_refusal, check_window, check_fork,
                                         check_bytes};
    bool has_forks = session->table.state_fork != NULL;
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        memset(&s, 0, sizeof(s));
        s = (sharing){
            .c = c, .session = session, .table = &session->table, .device = session->runner.device};
        sy__conform_doing(c, "sharing rows of f32 states, part %zu", i + 1);
        if (has_forks || (checks[i] != check_fork && checks[i] != check_bytes)) {
            checks[i](&s);
        }
        for (int k = 3; k >= 0; k--) {
            drop(&s, &s.held[k]);
        }
    }
}
