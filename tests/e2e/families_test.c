/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of models whose states are no plain keys and values - short convolutions, windows,
 * heads of two sizes - and of models with experts: every verb against recomputation, on the
 * reference delegate alone and, where it was built, with cpu-xnnpack. */
#include "e2e/engine_model.h"

#define N_TOKENS 90u
#define WINDOW 16u

static int32_t tokens[N_TOKENS];

static void make_tokens(void) {
    for (uint32_t i = 0; i < N_TOKENS; i++) {
        tokens[i] = (int32_t)((i * i + 7 * i + 3) % TINY_VOCAB);
    }
}

static sy_session *open_session(engine_kit *kit) {
    sy_session *session = NULL;
    CHECK_OK_ERROR(sy_session_open(kit->engine, N_TOKENS + 2, &session, &kit->error), kit->error);
    return session;
}

/* Tokens [first, end), in pieces. */
static void prefill(engine_kit *kit, sy_session *session, uint32_t first, uint32_t end,
                    uint32_t piece) {
    for (uint32_t i = first; i < end; i += piece) {
        uint32_t n = end - i < piece ? end - i : piece;
        CHECK_OK_ERROR(sy_session_prefill(session, tokens + i, n, &kit->error), kit->error);
    }
}

/* The logits of a session are those of one that got the first n tokens at once. */
static void check_at(engine_kit *kit, sy_session *session, uint32_t n, const char *what) {
    const float *found = NULL, *wanted = NULL;
    sy_session *fresh = open_session(kit);
    prefill(kit, fresh, 0, n, n);
    CHECK_OK_ERROR(sy_session_logits(session, &found, &kit->error), kit->error);
    CHECK_OK_ERROR(sy_session_logits(fresh, &wanted, &kit->error), kit->error);
    for (uint32_t i = 0; i < TINY_VOCAB; i++) {
        CHECK_TEXT(found[i] == wanted[i], "%s: %s at %u: %g, not %g", engine_model_family, what, n,
                   (double)found[i], (double)wanted[i]);
    }
    sy_session_close(fresh);
}

static void check_pieces(engine_kit *kit) {
    for (uint32_t piece = 1; piece <= 17; piece += 4) {
        sy_session *session = open_session(kit);
        prefill(kit, session, 0, N_TOKENS, piece);
        check_at(kit, session, N_TOKENS, "pieces");
        sy_session_close(session);
    }
}

/* Near and far back, behind a window too, then on with other tokens' rows overwritten. */
static void check_rewind(engine_kit *kit) {
    static const uint32_t places[] = {N_TOKENS - 1, N_TOKENS - 2, N_TOKENS - 20, 70, 17, 2, 1};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        sy_session *session = open_session(kit);
        prefill(kit, session, 0, N_TOKENS, 30);
        CHECK_OK_ERROR(sy_session_rewind(session, places[i], &kit->error), kit->error);
        check_at(kit, session, places[i], "rewind");
        prefill(kit, session, places[i], N_TOKENS, 7);
        check_at(kit, session, N_TOKENS, "rewind and on");
        sy_session_close(session);
    }
}

static void check_clone(engine_kit *kit) {
    sy_session *session = open_session(kit), *copy = NULL;
    prefill(kit, session, 0, 50, 50);
    CHECK_OK_ERROR(sy_session_clone(session, &copy, &kit->error), kit->error);
    CHECK_OK_ERROR(sy_session_prefill(copy, tokens, 9, &kit->error), kit->error);
    prefill(kit, session, 50, 70, 1);
    check_at(kit, session, 70, "the original of a clone");
    CHECK_OK_ERROR(sy_session_rewind(copy, 50, &kit->error), kit->error);
    prefill(kit, copy, 50, N_TOKENS, 11);
    sy_session_close(session);
    check_at(kit, copy, N_TOKENS, "a clone");
    sy_session_close(copy);
}

static void check_save(engine_kit *kit) {
    char path[] = "/tmp/switchyard-session-XXXXXX";
    sy_session *session = open_session(kit), *loaded = NULL;
    prefill(kit, session, 0, 60, 25);
    close(mkstemp(path));
    CHECK_OK_ERROR(sy_session_save(session, path, &kit->error), kit->error);
    sy_session_close(session);
    CHECK_OK_ERROR(sy_session_load(kit->engine, path, N_TOKENS + 2, &loaded, &kit->error),
                   kit->error);
    unlink(path);
    prefill(kit, loaded, 60, N_TOKENS, 4);
    check_at(kit, loaded, N_TOKENS, "a session file");
    sy_session_close(loaded);
}

static void check_family(const char *family, uint32_t window, const char *plugins) {
    engine_kit kit;
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.key_type = options.value_type = SY_TYPE_F32;
    engine_model_window = window;
    engine_model_make(family, 0, 0);
    engine_model_family = family;
    sy_status status = engine_kit_open(&kit, NULL, 2, plugins, &options);
    if (plugins != NULL && sy_runtime_n_delegates(kit.runtime) == 1) {
        printf("%s: no plugin could be loaded here\n", family); /* emulators hide their folder */
        engine_kit_close(&kit);
        return;
    }
    CHECK_OK_ERROR(status, kit.error);
    check_pieces(&kit);
    check_rewind(&kit);
    check_clone(&kit);
    check_save(&kit);
    engine_kit_close(&kit);
}

static void check_everywhere(const char *family, uint32_t window) {
    make_tokens();
    check_family(family, window, NULL);
    if (built_plugins() != NULL) {
        check_family(family, window, built_plugins());
    }
}

static void short_convolutions(void) {
    check_everywhere("lfm2", 0);
}

static void windows_and_sinks_with_experts(void) {
    check_everywhere("gpt-oss", WINDOW);
}

static void experts(void) {
    check_everywhere("qwen3moe", 0);
}

static void windows_of_gemma_4(void) {
    check_everywhere("gemma4", WINDOW);
}

static void rows_of_gemma_3n(void) {
    check_everywhere("gemma3n", WINDOW);
}

static const sy_test_case cases[] = {
    {"short_convolutions", short_convolutions},
    {"windows_and_sinks_with_experts", windows_and_sinks_with_experts},
    {"experts", experts},
    {"windows_of_gemma_4", windows_of_gemma_4},
    {"rows_of_gemma_3n", rows_of_gemma_3n},
};
SY_TEST_MAIN(cases)
