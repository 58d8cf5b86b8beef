/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions with adapters: alone, beside each other, changed, cloned, saved. */
#include "lora/adapter_file.h"

#include <math.h>

#define N_PROMPT 9u
#define N_MORE 6u
#define BITS (TINY_VOCAB * sizeof(float))

static const int32_t prompt[N_PROMPT] = {1, 5, 9, 13, 2, 7, 19, 4, 11};

typedef struct lora_kit {
    engine_kit kit;
    sy_adapter *adapters[2];
} lora_kit;

static void open_lora(lora_kit *k, uint32_t n_threads, const char *plugins, sy_element_type cache) {
    static const char *paths[2];
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.n_adapters = 2;
    options.adapter_rank = 16;
    options.n_sequences = 4;
    options.key_type = options.value_type = cache;
    if (paths[0] == NULL) {
        paths[0] = adapter_good(1, 6, SY_TYPE_F32);
        paths[1] = adapter_good(2, 16, SY_TYPE_F16);
    }
    CHECK_OK_ERROR(engine_kit_open(&k->kit, NULL, n_threads, plugins, &options), k->kit.error);
    for (int i = 0; i < 2; i++) {
        sy_status status = sy_adapter_load(k->kit.engine, paths[i], &k->adapters[i], &k->kit.error);
        CHECK_OK_ERROR(status, k->kit.error);
    }
}

/* i_adapter 0 none, else that one. */
static sy_session *open_adapted(lora_kit *k, uint32_t i_adapter, float scale) {
    sy_session *session = NULL;
    sy_error *error = &k->kit.error;
    CHECK_OK_ERROR(sy_session_open(k->kit.engine, 64, &session, error), *error);
    if (i_adapter != 0) {
        sy_status status =
            sy_session_set_adapter(session, k->adapters[i_adapter - 1], scale, error);
        CHECK_OK_ERROR(status, *error);
    }
    return session;
}

static void prefill(lora_kit *k, sy_session *session) {
    sy_status status = sy_session_prefill(session, prompt, N_PROMPT, &k->kit.error);
    CHECK_OK_ERROR(status, k->kit.error);
}

static void copy_logits(lora_kit *k, sy_session *session, float *out_logits) {
    const float *logits = NULL;
    CHECK_OK_ERROR(sy_session_logits(session, &logits, &k->kit.error), k->kit.error);
    memcpy(out_logits, logits, BITS);
}

/* Logits after the prompt and after each of N_MORE greedy tokens. */
static void run_alone(lora_kit *k, uint32_t i_adapter, float out_logits[][TINY_VOCAB]) {
    sy_session *session = open_adapted(k, i_adapter, 1.0f);
    prefill(k, session);
    copy_logits(k, session, out_logits[0]);
    for (uint32_t i = 1; i <= N_MORE; i++) {
        int32_t token = 0;
        CHECK_OK_ERROR(sy_session_decode(session, NULL, &token, &k->kit.error), k->kit.error);
        copy_logits(k, session, out_logits[i]);
    }
    sy_session_close(session);
}

static void check_together(lora_kit *k, float alone[3][N_MORE + 1][TINY_VOCAB]) {
    sy_session *sessions[4];
    sy_sampler *samplers[4] = {NULL};
    int32_t tokens[4];
    static const uint32_t which[4] = {1, 0, 2, 1};
    for (int s = 0; s < 4; s++) {
        float logits[TINY_VOCAB];
        sessions[s] = open_adapted(k, which[s], 1.0f);
        prefill(k, sessions[s]);
        copy_logits(k, sessions[s], logits);
        CHECK(memcmp(logits, alone[which[s]][0], BITS) == 0);
    }
    for (uint32_t i = 1; i <= N_MORE; i++) {
        sy_status status = sy_session_decode_together(sessions, 4, samplers, tokens, &k->kit.error);
        CHECK_OK_ERROR(status, k->kit.error);
        for (int s = 0; s < 4; s++) {
            float logits[TINY_VOCAB];
            copy_logits(k, sessions[s], logits);
            CHECK_TEXT(memcmp(logits, alone[which[s]][i], BITS) == 0,
                       "session %d differs from what it gives alone at token %u", s, i);
        }
    }
    for (int s = 0; s < 4; s++) {
        sy_session_close(sessions[s]);
    }
}

/* Two adapters and none in one step, at any worker count: the bits that each gets alone; and
 * without an adapter those of an engine that takes none. */
static void mixed_steps(const char *plugins, sy_element_type cache) {
    static float alone[3][3][N_MORE + 1][TINY_VOCAB];
    static const uint32_t threads[3] = {1, 2, 5};
    float base[TINY_VOCAB];
    for (int t = 0; t < 3; t++) {
        lora_kit k;
        open_lora(&k, threads[t], plugins, cache);
        for (uint32_t a = 0; a < 3; a++) {
            run_alone(&k, a, alone[t][a]);
        }
        check_together(&k, alone[t]);
        engine_kit_close(&k.kit);
        CHECK(memcmp(alone[t], alone[0], sizeof(alone[0])) == 0);
    }
    CHECK(memcmp(alone[0][0][0], alone[0][1][0], BITS) != 0);
    CHECK(memcmp(alone[0][1][0], alone[0][2][0], BITS) != 0);
    lora_kit plain;
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.key_type = options.value_type = cache;
    CHECK_OK_ERROR(engine_kit_open(&plain.kit, NULL, 2, plugins, &options), plain.kit.error);
    sy_session *session = open_adapted(&plain, 0, 1.0f);
    prefill(&plain, session);
    copy_logits(&plain, session, base);
    CHECK(memcmp(base, alone[0][0][0], BITS) == 0);
    sy_session_close(session);
    engine_kit_close(&plain.kit);
}

static void mixed_steps_on_the_reference_delegate(void) {
    mixed_steps(NULL, SY_TYPE_F16);
}

static void mixed_steps_with_plugins(void) {
    if (built_plugins() == NULL) {
        SKIP("this build has no plugins");
    }
    mixed_steps(built_plugins(), SY_TYPE_F16);
    mixed_steps(built_plugins(), SY_TYPE_F32);
}

static double farthest(const float *a, const float *b) {
    double most = 0;
    for (uint32_t i = 0; i < TINY_VOCAB; i++) {
        double far = fabs((double)a[i] - (double)b[i]);
        most = far > most ? far : most; /* fmax here breaks gcc 12 for Arm */
    }
    return most;
}

static void adapters_add_up_and_scale(void) {
    lora_kit k;
    float base[TINY_VOCAB], one[TINY_VOCAB], half[TINY_VOCAB], both[TINY_VOCAB], none[TINY_VOCAB];
    open_lora(&k, 2, built_plugins(), SY_TYPE_F32);
    for (int i = 0; i < 5; i++) {
        float *const rows[5] = {base, one, half, both, none};
        sy_session *session = open_adapted(&k, i == 0 ? 0 : 1, i == 2 ? 0.5f : i == 4 ? 0.0f : 1);
        if (i == 3) {
            sy_status status = sy_session_add_adapter(session, k.adapters[0], -1.0f, &k.kit.error);
            CHECK_OK_ERROR(status, k.kit.error);
        }
        prefill(&k, session);
        copy_logits(&k, session, rows[i]);
        sy_session_close(session);
    }
    double moved = farthest(one, base), halved = farthest(half, base);
    double cancelled = farthest(both, base), zeroed = farthest(none, base);
    CHECK_TEXT(moved > 0.01 && halved > 0.001 && halved < moved && cancelled < 1e-4 && zeroed == 0,
               "%g %g %g %g", moved, halved, cancelled, zeroed);
    engine_kit_close(&k.kit);
}

static void tokens_hold_their_adapter(void) {
    lora_kit k;
    float first[TINY_VOCAB], other[TINY_VOCAB], again[TINY_VOCAB];
    open_lora(&k, 1, built_plugins(), SY_TYPE_F16);
    sy_session *session = open_adapted(&k, 1, 1.0f);
    prefill(&k, session);
    copy_logits(&k, session, first);
    sy_status status = sy_session_set_adapter(session, k.adapters[1], 1.0f, &k.kit.error);
    CHECK(status == SY_FAILED_PRECONDITION);
    CHECK(strstr(k.kit.error.message, "9 tokens") != NULL);
    CHECK(sy_session_set_adapter(session, NULL, 1.0f, &k.kit.error) == SY_FAILED_PRECONDITION);
    /* swapped between two steps of an open session, forth and back */
    for (int i = 0; i < 2; i++) {
        CHECK_OK_ERROR(sy_session_rewind(session, 0, &k.kit.error), k.kit.error);
        status = sy_session_set_adapter(session, k.adapters[1 - i], 1.0f, &k.kit.error);
        CHECK_OK_ERROR(status, k.kit.error);
        prefill(&k, session);
        copy_logits(&k, session, i == 0 ? other : again);
    }
    CHECK(memcmp(first, again, BITS) == 0 && memcmp(first, other, BITS) != 0);
    sy_session_close(session);
    engine_kit_close(&k.kit);
}

static void a_clone_has_the_adapter(void) {
    lora_kit k;
    float alone[N_MORE + 1][TINY_VOCAB], logits[TINY_VOCAB];
    open_lora(&k, 2, built_plugins(), SY_TYPE_F16);
    run_alone(&k, 2, alone);
    sy_session *session = open_adapted(&k, 2, 1.0f), *copy = NULL;
    prefill(&k, session);
    CHECK_OK_ERROR(sy_session_clone(session, &copy, &k.kit.error), k.kit.error);
    sy_session_close(session);
    CHECK(sy_adapter_unload(k.adapters[1], &k.kit.error) == SY_FAILED_PRECONDITION);
    for (uint32_t i = 1; i <= N_MORE; i++) {
        int32_t token = 0;
        CHECK_OK_ERROR(sy_session_decode(copy, NULL, &token, &k.kit.error), k.kit.error);
        copy_logits(&k, copy, logits);
        CHECK(memcmp(logits, alone[i], BITS) == 0);
    }
    sy_session_close(copy);
    CHECK_OK_ERROR(sy_adapter_unload(k.adapters[1], &k.kit.error), k.kit.error);
    engine_kit_close(&k.kit);
}

static void saved_sessions_know_their_adapters(void) {
    lora_kit k, bare;
    float alone[N_MORE + 1][TINY_VOCAB], logits[TINY_VOCAB];
    char path[ADAPTER_PATH_BYTES];
    snprintf(path, sizeof(path), "%s", adapter_put("", 0));
    open_lora(&k, 2, built_plugins(), SY_TYPE_F16);
    run_alone(&k, 2, alone);
    sy_session *session = open_adapted(&k, 2, 1.0f), *loaded = NULL;
    prefill(&k, session);
    CHECK_OK_ERROR(sy_session_save(session, path, &k.kit.error), k.kit.error);
    sy_session_close(session);
    sy_status status = sy_session_load(k.kit.engine, path, 64, &loaded, &k.kit.error);
    CHECK_OK_ERROR(status, k.kit.error);
    copy_logits(&k, loaded, logits);
    CHECK(memcmp(logits, alone[0], BITS) == 0);
    sy_session_close(loaded);
    CHECK_OK_ERROR(sy_adapter_unload(k.adapters[1], &k.kit.error), k.kit.error);
    status = sy_session_load(k.kit.engine, path, 64, &loaded, &k.kit.error);
    CHECK(status == SY_FAILED_PRECONDITION);
    CHECK(strstr(k.kit.error.message, "adapter that is not loaded") != NULL);
    engine_kit_close(&k.kit);
    sy_engine_options options;
    sy_engine_options_default(&options);
    status = engine_kit_open(&bare.kit, NULL, 1, built_plugins(), &options);
    CHECK_OK_ERROR(status, bare.kit.error);
    status = sy_session_load(bare.kit.engine, path, 64, &loaded, &bare.kit.error);
    CHECK(status == SY_FAILED_PRECONDITION);
    engine_kit_close(&bare.kit);
}

static void unload_while_in_use_is_refused(void) {
    lora_kit k;
    open_lora(&k, 1, NULL, SY_TYPE_F16);
    sy_session *a = open_adapted(&k, 1, 1.0f), *b = open_adapted(&k, 1, 1.0f);
    CHECK(sy_adapter_unload(k.adapters[0], &k.kit.error) == SY_FAILED_PRECONDITION);
    CHECK(strstr(k.kit.error.message, "2 sessions") != NULL);
    sy_session_close(a);
    CHECK_OK_ERROR(sy_session_set_adapter(b, NULL, 1.0f, &k.kit.error), k.kit.error);
    CHECK_OK_ERROR(sy_adapter_unload(k.adapters[0], &k.kit.error), k.kit.error);
    prefill(&k, b);
    sy_session_close(b);
    engine_kit_close(&k.kit);
}

static void choices_are_checked(void) {
    lora_kit k, other;
    open_lora(&k, 1, NULL, SY_TYPE_F16);
    open_lora(&other, 1, NULL, SY_TYPE_F16);
    sy_session *session = open_adapted(&k, 0, 1.0f);
    sy_error *error = &k.kit.error;
    CHECK(sy_session_set_adapter(session, other.adapters[0], 1.0f, error) == SY_INVALID_ARGUMENT);
    CHECK(sy_session_set_adapter(session, k.adapters[0], NAN, error) == SY_INVALID_ARGUMENT);
    for (uint32_t i = 0; i < SY_LIMIT_ADAPTERS_PER_SEQUENCE; i++) {
        CHECK_OK(sy_session_add_adapter(session, k.adapters[i % 2], 0.1f, error));
    }
    CHECK(sy_session_add_adapter(session, k.adapters[0], 0.1f, error) == SY_OUT_OF_RANGE);
    prefill(&k, session);
    sy_session_close(session);
    engine_kit_close(&k.kit);
    engine_kit_close(&other.kit);
}

static const sy_test_case cases[] = {
    {"mixed_steps_on_the_reference_delegate", mixed_steps_on_the_reference_delegate},
    {"mixed_steps_with_plugins", mixed_steps_with_plugins},
    {"adapters_add_up_and_scale", adapters_add_up_and_scale},
    {"tokens_hold_their_adapter", tokens_hold_their_adapter},
    {"a_clone_has_the_adapter", a_clone_has_the_adapter},
    {"saved_sessions_know_their_adapters", saved_sessions_know_their_adapters},
    {"unload_while_in_use_is_refused", unload_while_in_use_is_refused},
    {"choices_are_checked", choices_are_checked},
};
SY_TEST_MAIN(cases)
