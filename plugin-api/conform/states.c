/* SPDX-License-Identifier: Apache-2.0 */
/* L3: states of the delegate and of the reference go through the same calls and must hold the same
 * rows after each. */
#include "conform/conform_internal.h"

#include "reference/blocks.h"
#include "switchyard/types.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROWS 37u
#define WIDTH 96u

/* A pair of states under test, its reference, and room for canonical rows of both. */
typedef struct pair {
    sy__conform *c;
    sy__session *sessions[2]; /* delegate, reference */
    sy_state *states[2];
    sy_state_description description;
    uint64_t row_bytes;
    uint8_t *rows[2];
    const char *type_name;
} pair;

static void encode_rows(const pair *p, uint64_t count, uint32_t seed, uint8_t *out_rows) {
    float values[WIDTH];
    for (uint64_t r = 0; r < count; r++) {
        for (uint32_t i = 0; i < WIDTH; i++) {
            values[i] = sinf((float)(r * 13 + i * 5 + seed * 101)) * 2.0f;
        }
        sy_status status =
            sy__row_encode(p->description.type, values, WIDTH, out_rows + r * p->row_bytes);
        (void)status; /* every type of a state can be encoded */
    }
}

/* Loads the same rows into both. */
static bool put(pair *p, sy_state *const states[2], uint64_t first, uint64_t count, uint32_t seed) {
    sy_status status = SY_OK;
    encode_rows(p, count, seed, p->rows[0]);
    for (int i = 0; i < 2 && status == SY_OK; i++) {
        status = p->sessions[i]->table.state_load(states[i], first, count, p->rows[0],
                                                  count * p->row_bytes);
    }
    return sy__conform_check(
        p->c, status == SY_OK, "L3.state_load", "%s state: loading rows [%llu, +%llu) answers %s.",
        p->type_name, (unsigned long long)first, (unsigned long long)count, sy_status_name(status));
}

static double tolerance_of(sy_element_type type) {
    return type == SY_TYPE_Q4_0 ? 0.3 : type == SY_TYPE_Q8_0 ? 0.02 : 0;
}

/* Saves rows of both and compares them. */
static void same(pair *p, sy_state *const states[2], uint64_t first, uint64_t count,
                 const char *after) {
    for (int i = 0; i < 2; i++) {
        memset(p->rows[i], 0x55, (ROWS + 1) * p->row_bytes);
        sy_status status = p->sessions[i]->table.state_save(states[i], first, count, p->rows[i],
                                                            count * p->row_bytes);
        if (!sy__conform_check(p->c, status == SY_OK, "L3.state_save",
                               "%s state after %s: saving rows [%llu, +%llu) answers %s.",
                               p->type_name, after, (unsigned long long)first,
                               (unsigned long long)count, sy_status_name(status))) {
            return;
        }
    }
    sy__conform_check(p->c, p->rows[0][count * p->row_bytes] == 0x55, "L3.state_save",
                      "%s state after %s: saving writes past the rows asked for.", p->type_name,
                      after);
    for (uint64_t r = 0; r < count; r++) {
        float a[WIDTH], b[WIDTH];
        sy_element_type type = p->description.type;
        bool is_same = sy__row_decode(type, p->rows[0] + r * p->row_bytes, WIDTH, a) == SY_OK &&
                       sy__row_decode(type, p->rows[1] + r * p->row_bytes, WIDTH, b) == SY_OK;
        for (uint32_t i = 0; i < WIDTH && is_same; i++) {
            is_same = fabs((double)a[i] - (double)b[i]) <= tolerance_of(type);
        }
        if (!sy__conform_check(p->c, is_same, "L3.state_rows",
                               "%s state after %s: row %llu is not what was put there.",
                               p->type_name, after, (unsigned long long)(first + r))) {
            return;
        }
    }
}

static void check_clone(pair *p) {
    sy_state *clones[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        sy_status status = p->sessions[i]->table.state_clone(p->states[i], 20, &clones[i]);
        if (!sy__conform_check(p->c, status == SY_OK && clones[i] != NULL, "L3.state_clone",
                               "%s state: clone answers %s.", p->type_name,
                               sy_status_name(status))) {
            return;
        }
    }
    same(p, clones, 0, 20, "clone");
    if (put(p, clones, 5, 9, 7)) {
        same(p, clones, 0, 20, "a write to its clone");
        same(p, p->states, 0, ROWS, "a write to its clone");
    }
    if (put(p, p->states, 3, 4, 8)) {
        same(p, clones, 0, 20, "a write to what it was cloned from");
    }
    for (int i = 0; i < 2; i++) {
        p->sessions[i]->table.state_destroy(clones[i]);
    }
    same(p, p->states, 0, ROWS, "its clone was destroyed");
}

static void both(pair *p, const char *what, sy_status one, sy_status two) {
    sy__conform_check(p->c, one == SY_OK && two == SY_OK, "L3.state_calls",
                      "%s state: %s answers %s.", p->type_name, what,
                      sy_status_name(one != SY_OK ? one : two));
}

static void check_ranges(pair *p) {
    const sy_plugin *t = &p->sessions[0]->table;
    sy_state *state = p->states[0];
    uint64_t n = p->row_bytes;
    const struct {
        const char *what;
        sy_status status;
    } answers[] = {
        {"save past its end", t->state_save(state, ROWS, 1, p->rows[0], n)},
        {"save with a count that wraps", t->state_save(state, 1, UINT64_MAX, p->rows[0], n)},
        {"load past its end", t->state_load(state, ROWS - 1, 2, p->rows[0], 2 * n)},
        {"load with too few bytes", t->state_load(state, 0, 2, p->rows[0], n)},
        {"save with too few bytes", t->state_save(state, 0, 2, p->rows[0], 2 * n - 1)},
        {"shift past its end", t->state_shift(state, ROWS - 2, 3, 0)},
        {"truncate past its end", t->state_truncate(state, ROWS + 1)}};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        sy__conform_check(p->c, answers[i].status != SY_OK, "L3.state_ranges",
                          "%s state: %s is allowed.", p->type_name, answers[i].what);
    }
}

static void check_calls(pair *p) {
    const sy_plugin *a = &p->sessions[0]->table, *b = &p->sessions[1]->table;
    if (!put(p, p->states, 0, ROWS, 1)) {
        return;
    }
    same(p, p->states, 0, ROWS, "load");
    same(p, p->states, 11, 7, "load");
    if (put(p, p->states, 17, 3, 2)) {
        same(p, p->states, 0, ROWS, "a load in its middle");
    }
    both(p, "truncate to 30 rows", a->state_truncate(p->states[0], 30),
         b->state_truncate(p->states[1], 30));
    same(p, p->states, 0, 30, "truncate");
    if (put(p, p->states, 30, ROWS - 30, 3)) {
        same(p, p->states, 0, ROWS, "writing again what was truncated");
    }
    both(p, "shift of [10, +20) to 4", a->state_shift(p->states[0], 10, 20, 4),
         b->state_shift(p->states[1], 10, 20, 4));
    same(p, p->states, 0, 24, "an overlapping shift down");
    if (put(p, p->states, 0, ROWS, 4)) {
        check_clone(p);
    }
    sy__conform_doing(p->c, "giving wrong ranges to a %s state", p->type_name);
    check_ranges(p);
    same(p, p->states, 0, ROWS, "calls that were refused");
}

static void check_type(pair *p) {
    const sy_state_description *d = &p->description;
    sy_status status =
        p->sessions[1]->table.state_create(p->sessions[1]->runner.device, d, &p->states[1]);
    if (status != SY_OK) {
        return;
    }
    sy_test_host_clear_report(&p->sessions[0]->host);
    status = p->sessions[0]->table.state_create(p->sessions[0]->runner.device, d, &p->states[0]);
    if (status == SY_OK) {
        check_calls(p);
        p->sessions[0]->table.state_destroy(p->states[0]);
        p->c->report->levels[p->c->level].n_run++;
    } else {
        sy__conform_check(p->c, p->sessions[0]->host.n_reports > 0, "L3.state_reason",
                          "state_create refuses a %s state and does not say why.", p->type_name);
        p->c->report->levels[p->c->level].n_declined++;
    }
    p->sessions[1]->table.state_destroy(p->states[1]);
}

static void check_must_extension(sy__conform *c, sy__session *s, sy_state_description description) {
    sy_extension must = {.id = 0x80c0ffeeu, .size = sizeof(sy_extension), .must = 1};
    sy_state *state = NULL;
    description.header.extensions = &must;
    sy_status status = s->table.state_create(s->runner.device, &description, &state);
    sy__conform_check(c, status != SY_OK && state == NULL, "L3.state_extension",
                      "state_create ignores an unknown extension marked `must`.");
    if (status == SY_OK && state != NULL) {
        s->table.state_destroy(state);
    }
}

void sy__conform_states(sy__conform *c, sy__session *session) {
    static const sy_element_type types[] = {SY_TYPE_F32, SY_TYPE_F16, SY_TYPE_BF16, SY_TYPE_Q8_0,
                                            SY_TYPE_Q4_0};
    sy__session oracle;
    if (session->table.state_create == NULL || !sy__oracle_open(c, &oracle)) {
        return;
    }
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        pair p = {.c = c, .sessions = {session, &oracle}};
        p.type_name = sy_type_get(types[i])->name;
        p.description = (sy_state_description){.header = SY_HEADER_INIT(sy_state_description),
                                               .type = types[i],
                                               .role = SY_STATE_KEY,
                                               .width = WIDTH,
                                               .max_tokens = ROWS};
        sy__conform_doing(c, "using a %s state", p.type_name);
        if (sy_type_row_bytes(types[i], WIDTH, &p.row_bytes) != SY_OK) {
            continue;
        }
        size_t n_bytes = (size_t)p.row_bytes * (ROWS + 1);
        p.rows[0] = sy__alloc_array(NULL, n_bytes, 1);
        p.rows[1] = sy__alloc_array(NULL, n_bytes, 1);
        if (p.rows[0] != NULL && p.rows[1] != NULL) {
            check_type(&p);
        }
        sy__free_array(NULL, p.rows[0], n_bytes, 1);
        sy__free_array(NULL, p.rows[1], n_bytes, 1);
        if (types[i] == SY_TYPE_F32) {
            check_must_extension(c, session, p.description);
        }
    }
    sy__session_close(c, &oracle);
    sy__conform_state_sharing(c, session);
}
