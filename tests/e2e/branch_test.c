/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions in any order: a random walk of opens, forks, rewinds, prefills, decodes, saves and
 * closes, against a model of it that only keeps tokens. Now and then a session must give the very
 * logits of one that was given its tokens afresh.
 */
#include "e2e/engine_model.h"

#define MOST_SESSIONS 8u
#define MOST_TOKENS 128u

typedef struct walk {
    engine_kit kit;
    uint32_t random;
    sy_session *sessions[MOST_SESSIONS];
    int32_t tokens[MOST_SESSIONS][MOST_TOKENS]; /* the model */
    uint32_t n_tokens[MOST_SESSIONS];
    char path[40];
    uint32_t n_checked;
} walk;

static uint32_t draw(walk *w, uint32_t below) {
    w->random = w->random * 1664525u + 1013904223u;
    return (w->random >> 8) % below;
}

static void check_tokens(const walk *w, uint32_t i) {
    uint32_t n = 0;
    const int32_t *tokens = sy_session_tokens(w->sessions[i], &n);
    CHECK(n == w->n_tokens[i] && memcmp(tokens, w->tokens[i], n * sizeof(int32_t)) == 0);
}

static void check_logits(walk *w, uint32_t i, sy_engine *afresh) {
    const float *found = NULL, *wanted = NULL;
    sy_session *fresh = NULL;
    sy_error *error = &w->kit.error;
    if (w->n_tokens[i] == 0) {
        return;
    }
    CHECK_OK_ERROR(sy_session_open(afresh, MOST_TOKENS, &fresh, error), *error);
    CHECK_OK_ERROR(sy_session_prefill(fresh, w->tokens[i], w->n_tokens[i], error), *error);
    CHECK_OK_ERROR(sy_session_logits(fresh, &wanted, error), *error);
    CHECK_OK_ERROR(sy_session_logits(w->sessions[i], &found, error), *error);
    for (uint32_t k = 0; k < TINY_VOCAB; k++) {
        CHECK_TEXT(found[k] == wanted[k], "logit %u: %g, not %g", k, (double)found[k],
                   (double)wanted[k]);
    }
    sy_session_close(fresh);
    w->n_checked++;
}

static void prefill(walk *w, uint32_t i) {
    uint32_t n_free = MOST_TOKENS - w->n_tokens[i], n = 1 + draw(w, 48);
    int32_t tokens[48];
    for (uint32_t k = 0; k < n; k++) { /* few beginnings, so that prefixes are found again */
        tokens[k] = (int32_t)(w->n_tokens[i] == 0 ? (k * 7 + draw(w, 20) / 19) % TINY_VOCAB
                                                  : draw(w, TINY_VOCAB));
    }
    sy_status status = sy_session_prefill(w->sessions[i], tokens, n, &w->kit.error);
    CHECK((status == SY_OUT_OF_RANGE) == (n > n_free));
    if (status == SY_OK) {
        memcpy(&w->tokens[i][w->n_tokens[i]], tokens, n * sizeof(int32_t));
        w->n_tokens[i] += n;
    } else {
        CHECK(n > n_free);
    }
}

static void decode(walk *w, uint32_t i) {
    int32_t token = 0;
    sy_generate_options options = {
        .struct_bytes = sizeof(options), .n_tokens_max = 1 + draw(w, 4), .ignore_end = 1};
    if (w->n_tokens[i] == 0 || w->n_tokens[i] + 4 >= MOST_TOKENS) {
        return;
    }
    if (draw(w, 2) == 0) {
        CHECK_OK_ERROR(sy_session_decode(w->sessions[i], NULL, &token, &w->kit.error),
                       w->kit.error);
        w->tokens[i][w->n_tokens[i]++] = token;
        return;
    }
    CHECK_OK_ERROR(sy_session_generate(w->sessions[i], NULL, &options, NULL, &w->kit.error),
                   w->kit.error);
    uint32_t n = 0;
    const int32_t *tokens = sy_session_tokens(w->sessions[i], &n);
    CHECK(n == w->n_tokens[i] + options.n_tokens_max);
    memcpy(w->tokens[i], tokens, n * sizeof(int32_t));
    w->n_tokens[i] = n;
}

/* A fork, or a session from a file, in another place. */
static void branch(walk *w, uint32_t i, uint32_t to) {
    if (w->sessions[to] != NULL) {
        sy_session_close(w->sessions[to]);
        w->sessions[to] = NULL;
    }
    if (i == to) {
        return;
    }
    if (w->n_tokens[i] > 0 && draw(w, 4) == 0) {
        CHECK_OK_ERROR(sy_session_save(w->sessions[i], w->path, &w->kit.error), w->kit.error);
        CHECK_OK_ERROR(
            sy_session_load(w->kit.engine, w->path, MOST_TOKENS, &w->sessions[to], &w->kit.error),
            w->kit.error);
    } else {
        CHECK_OK_ERROR(sy_session_fork(w->sessions[i], 1, &w->sessions[to], &w->kit.error),
                       w->kit.error);
    }
    memcpy(w->tokens[to], w->tokens[i], sizeof(w->tokens[to]));
    w->n_tokens[to] = w->n_tokens[i];
}

static void rewind_to(walk *w, uint32_t i) {
    uint32_t n = draw(w, w->n_tokens[i] + 1);
    CHECK_OK_ERROR(sy_session_rewind(w->sessions[i], n, &w->kit.error), w->kit.error);
    w->n_tokens[i] = n;
}

static void score(walk *w, uint32_t i) {
    int32_t tokens[3] = {1, 2, (int32_t)draw(w, TINY_VOCAB)};
    double sum = 0;
    if (w->n_tokens[i] > 0 && w->n_tokens[i] + 3 <= MOST_TOKENS) {
        CHECK_OK_ERROR(sy_session_score(w->sessions[i], tokens, 3, NULL, &sum, &w->kit.error),
                       w->kit.error);
        CHECK(sum <= 0);
    }
}

static void take_step(walk *w, sy_engine *afresh) {
    uint32_t i = draw(w, MOST_SESSIONS);
    if (w->sessions[i] == NULL) {
        CHECK_OK_ERROR(sy_session_open(w->kit.engine, MOST_TOKENS, &w->sessions[i], &w->kit.error),
                       w->kit.error);
        w->n_tokens[i] = 0;
        return;
    }
    switch (draw(w, 8)) {
    case 0:
    case 1:
        prefill(w, i);
        break;
    case 2:
    case 3:
        decode(w, i);
        break;
    case 4:
        branch(w, i, draw(w, MOST_SESSIONS));
        break;
    case 5:
        rewind_to(w, i);
        break;
    case 6:
        score(w, i);
        break;
    default:
        check_logits(w, i, afresh);
    }
    if (w->sessions[i] != NULL) {
        check_tokens(w, i);
    }
}

static void walk_at_random(const char *family, uint32_t window, const char *plugins,
                           uint32_t n_steps) {
    walk w = {.random = 11, .path = "/tmp/switchyard-session-XXXXXX"};
    engine_kit plain;
    sy_engine_options options;
    engine_model_window = window;
    engine_model_make(family, 2, TINY_HEADS);
    sy_engine_options_default(&options);
    options.n_batch_tokens = 16;
    CHECK_OK_ERROR(engine_kit_open(&plain, NULL, 1, plugins, &options), plain.error);
    options.prefix_bytes = (uint64_t)256 << 10;
    CHECK_OK_ERROR(engine_kit_open(&w.kit, NULL, 1, plugins, &options), w.kit.error);
    close(mkstemp(w.path));
    for (uint32_t step = 0; step < n_steps; step++) {
        take_step(&w, plain.engine);
    }
    for (uint32_t i = 0; i < MOST_SESSIONS; i++) {
        if (w.sessions[i] != NULL) {
            check_logits(&w, i, plain.engine);
            sy_session_close(w.sessions[i]);
        }
    }
    CHECK(w.n_checked > n_steps / 20);
    sy_engine_memory memory;
    sy_engine_get_memory(w.kit.engine, 0, &memory);
    CHECK(memory.reserved_bytes == 0 && memory.prefix_bytes <= options.prefix_bytes);
    unlink(w.path);
    engine_kit_close(&w.kit);
    engine_kit_close(&plain);
}

static void any_order_gives_the_bits_of_recomputation(void) {
    walk_at_random("llama", 0, NULL, 600);
    walk_at_random("gemma3", 16, NULL, 600);
}

static void any_order_gives_the_bits_of_recomputation_on_plugins(void) {
    if (built_plugins() == NULL) {
        SKIP("this build has no plugins");
    }
    walk_at_random("llama", 0, built_plugins(), 10000);
    walk_at_random("gemma3", 16, built_plugins(), 5000);
}

static const sy_test_case cases[] = {
    {"any_order_gives_the_bits_of_recomputation", any_order_gives_the_bits_of_recomputation},
    {"any_order_gives_the_bits_of_recomputation_on_plugins",
     any_order_gives_the_bits_of_recomputation_on_plugins},
};
SY_TEST_MAIN(cases)
