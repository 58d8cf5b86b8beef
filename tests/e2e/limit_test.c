/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions at their limit: what stays after tokens went, against the same tokens given afresh. */
#include "e2e/engine_model.h"
#include "switchyard/types.h"

#define N_TEXT 40u
#define N_STORY 2000u

static int32_t text[N_TEXT];

static void fill_text(void) {
    uint32_t random = 99;
    for (uint32_t i = 0; i < N_TEXT; i++) {
        random = random * 1664525u + 1013904223u;
        text[i] = (int32_t)((random >> 16) % TINY_VOCAB);
    }
}

static void open_kit(engine_kit *kit, const char *plugins, sy_element_type keys,
                     sy_element_type values) {
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.key_type = keys;
    options.value_type = values;
    options.n_context_tokens = engine_model_instead != NULL ? N_STORY : 0;
    CHECK_OK_ERROR(engine_kit_open(kit, NULL, 1, plugins, &options), kit->error);
    fill_text();
}

static sy_session *open_session(engine_kit *kit, uint32_t max_tokens, const int32_t *tokens,
                                uint32_t n) {
    sy_session *session = NULL;
    CHECK_OK_ERROR(sy_session_open(kit->engine, max_tokens, &session, &kit->error), kit->error);
    CHECK_OK_ERROR(sy_session_prefill(session, tokens, n, &kit->error), kit->error);
    return session;
}

/* Farthest logit of two sessions after the same next token. */
static double apart(engine_kit *kit, sy_session *a, sy_session *b) {
    const float *found = NULL, *wanted = NULL;
    int32_t next = 7;
    double most = 0;
    CHECK_OK_ERROR(sy_session_prefill(a, &next, 1, &kit->error), kit->error);
    CHECK_OK_ERROR(sy_session_prefill(b, &next, 1, &kit->error), kit->error);
    CHECK_OK_ERROR(sy_session_logits(a, &found, &kit->error), kit->error);
    CHECK_OK_ERROR(sy_session_logits(b, &wanted, &kit->error), kit->error);
    for (uint32_t i = 0; i < TINY_VOCAB; i++) {
        double difference = fabs((double)found[i] - (double)wanted[i]);
        most = difference > most ? difference : most;
    }
    return most;
}

/* With one layer nothing but its position ties a row to the tokens before it: a session out of
 * which tokens were dropped and one that never had them differ by rounding only. */
static void drop_equals_a_prompt_without_the_tokens(const char *plugins) {
    static const struct {
        sy_element_type keys, values;
        double within;
    } types[] = {{SY_TYPE_F32, SY_TYPE_F32, 2e-4},
                 {SY_TYPE_F16, SY_TYPE_F16, 5e-3},
                 {SY_TYPE_BF16, SY_TYPE_F32, 4e-2},
                 {SY_TYPE_Q8_0, SY_TYPE_Q8_0, 8e-2}};
    static const char *const families[] = {"llama", "qwen2", "gemma3"};
    for (size_t f = 0; f < 3; f++) {
        engine_model_make(families[f], 1, TINY_HEADS);
        for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
            engine_kit kit;
            const sy_token_range ranges[2] = {{2, 3}, {9, 11}};
            int32_t left[N_TEXT];
            open_kit(&kit, plugins, types[t].keys, types[t].values);
            memcpy(left, text, 2 * sizeof(int32_t));
            memcpy(left + 2, text + 5, 4 * sizeof(int32_t));
            memcpy(left + 6, text + 20, 20 * sizeof(int32_t));
            sy_session *session = open_session(&kit, 60, text, N_TEXT);
            sy_session *fresh = open_session(&kit, 60, left, 26);
            CHECK_OK_ERROR(sy_session_drop(session, ranges, 2, &kit.error), kit.error);
            uint32_t n = 0;
            const int32_t *tokens = sy_session_tokens(session, &n);
            CHECK(n == 26 && memcmp(tokens, left, 26 * sizeof(int32_t)) == 0);
            double most = apart(&kit, session, fresh);
            CHECK_TEXT(most <= types[t].within, "%s, type %u: %g", families[f], types[t].keys,
                       most);
            sy_session_stats stats;
            sy_session_get_stats(session, &stats);
            CHECK(stats.n_dropped_tokens == 14 && stats.n_recomputed_tokens == 0);
            sy_session_close(session);
            sy_session_close(fresh);
            engine_kit_close(&kit);
        }
    }
}

static void dropped_tokens_leave_no_trace_on_the_reference_delegate(void) {
    drop_equals_a_prompt_without_the_tokens(NULL);
}

static void dropped_tokens_leave_no_trace_on_plugins(void) {
    if (built_plugins() == NULL) {
        SKIP("this build has no plugins");
    }
    drop_equals_a_prompt_without_the_tokens(built_plugins());
}

/* The sinks of a layer with a window are long out of it: rows that moved must not bring them back.
 * Where they would come back the tokens are processed again, and that equals a prompt exactly. */
static void layers_with_a_window_keep_their_view(void) {
    engine_model_window = 16;
    engine_model_make("gemma3", 1, TINY_HEADS);
    for (uint32_t n_drop = 10; n_drop <= 30; n_drop += 20) {
        engine_kit kit;
        const sy_token_range range = {2, n_drop};
        int32_t left[N_TEXT];
        open_kit(&kit, built_plugins(), SY_TYPE_F32, SY_TYPE_F32);
        memcpy(left, text, 2 * sizeof(int32_t));
        memcpy(left + 2, text + 2 + n_drop, (N_TEXT - 2 - n_drop) * sizeof(int32_t));
        sy_session *session = open_session(&kit, 60, text, N_TEXT);
        sy_session *fresh = open_session(&kit, 60, left, N_TEXT - n_drop);
        CHECK_OK_ERROR(sy_session_drop(session, &range, 1, &kit.error), kit.error);
        sy_session_stats stats;
        sy_session_get_stats(session, &stats);
        CHECK((stats.n_recomputed_tokens > 0) == (n_drop == 30));
        double most = apart(&kit, session, fresh);
        CHECK_TEXT(most <= (n_drop == 30 ? 0 : 2e-4), "%u dropped: %g", n_drop, most);
        sy_session_close(session);
        sy_session_close(fresh);
        engine_kit_close(&kit);
    }
}

/* A file holds the rows in the window only: the session goes on, and going back computes anew. */
static void sessions_with_windows_are_saved_and_loaded(void) {
    engine_kit kit;
    char path[] = "/tmp/switchyard-session-XXXXXX";
    sy_session *loaded = NULL;
    int32_t found[8], wanted[8];
    engine_model_window = 16;
    engine_model_make("gemma3", 2, TINY_HEADS);
    open_kit(&kit, built_plugins(), SY_TYPE_F16, SY_TYPE_F16);
    sy_session *session = open_session(&kit, 60, text, N_TEXT);
    sy_session *fresh = open_session(&kit, 60, text, 30);
    close(mkstemp(path));
    CHECK_OK_ERROR(sy_session_save(session, path, &kit.error), kit.error);
    CHECK_OK_ERROR(sy_session_load(kit.engine, path, 60, &loaded, &kit.error), kit.error);
    for (uint32_t i = 0; i < 8; i++) {
        CHECK_OK(sy_session_decode(session, NULL, &wanted[i], &kit.error));
        CHECK_OK_ERROR(sy_session_decode(loaded, NULL, &found[i], &kit.error), kit.error);
    }
    CHECK(memcmp(found, wanted, sizeof(found)) == 0);
    CHECK_OK_ERROR(sy_session_rewind(loaded, 30, &kit.error), kit.error);
    CHECK(apart(&kit, loaded, fresh) == 0);
    CHECK_OK_ERROR(sy_session_rewind(session, 30, &kit.error), kit.error);
    CHECK_OK_ERROR(sy_session_rewind(fresh, 30, &kit.error), kit.error);
    CHECK(apart(&kit, session, fresh) == 0);
    sy_session_close(loaded);
    sy_session_close(session);
    sy_session_close(fresh);
    unlink(path);
    engine_kit_close(&kit);
}

static uint64_t resident_bytes(void) {
    unsigned long long n_pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%*s %llu", &n_pages) == 1);
    fclose(file);
    return n_pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void slide(engine_kit *kit, sy_session *session, uint32_t n_sinks) {
    sy_limit_options limit = {
        .struct_bytes = sizeof(limit), .at_limit = SY_AT_LIMIT_SLIDE, .n_sink_tokens = n_sinks};
    CHECK_OK_ERROR(sy_session_set_limit(session, &limit, &kit->error), kit->error);
}

#ifdef SY_SANITIZED
#define N_ENDLESS 40000u /* ten to twenty times slower */
#else
#define N_ENDLESS 1000000u
#endif

/* Half of the million is generated, half prefilled: both ways lead through the limit. */
static void a_million_tokens_take_no_more_memory(void) {
    engine_kit kit;
    sy_generate_options options = {
        .struct_bytes = sizeof(options), .n_tokens_max = 1000, .ignore_end = 1};
    sy_generate_result result;
    sy_session_stats stats;
    uint64_t before = 0;
    uint32_t n_all =
        built_plugins() != NULL ? N_ENDLESS : N_ENDLESS / 20; /* the reference is slow */
    open_kit(&kit, built_plugins(), SY_TYPE_F16, SY_TYPE_F16);
    sy_session *session = open_session(&kit, 128, text, N_TEXT);
    slide(&kit, session, 4);
    for (uint32_t n = 0; n < n_all; n += 2000) {
        CHECK_OK_ERROR(sy_session_generate(session, NULL, &options, &result, &kit.error),
                       kit.error);
        CHECK(result.n_tokens == 1000 && result.finish == SY_FINISH_LENGTH);
        for (uint32_t k = 0; k < 1000; k += N_TEXT) {
            CHECK_OK_ERROR(sy_session_prefill(session, text, N_TEXT, &kit.error), kit.error);
        }
        before = n == 20000 ? resident_bytes() : before;
    }
    uint64_t grown = resident_bytes() - before;
    CHECK_TEXT(before == 0 || grown < 65536 || grown > UINT64_MAX / 2, "%llu bytes more",
               (unsigned long long)grown);
    uint32_t n_tokens = 0;
    const int32_t *tokens = sy_session_tokens(session, &n_tokens);
    sy_session_get_stats(session, &stats);
    CHECK(n_tokens <= 128 && memcmp(tokens, text, 4 * sizeof(int32_t)) == 0);
    CHECK(n_tokens + stats.n_dropped_tokens == n_all + N_TEXT);
    sy_session_close(session);
    engine_kit_close(&kit);
}

#define STORY_WINDOW 128u

/* Text of the trained model itself: stories one after the other. */
static void tell_stories(engine_kit *kit, int32_t *out_tokens) {
    const sy_tokenizer *tokenizer = sy_engine_tokenizer(kit->engine);
    sy_sampler_options options;
    sy_sampler *sampler = NULL;
    sy_session *session = NULL;
    sy_sampler_options_default(&options);
    options.temperature = 0.7f;
    options.seed = 5;
    uint32_t n_vocabulary = sy_engine_info(kit->engine)->n_vocabulary;
    CHECK_OK(sy_sampler_create(NULL, n_vocabulary, &options, &sampler, NULL));
    CHECK_OK_ERROR(sy_session_open(kit->engine, 400, &session, &kit->error), kit->error);
    for (uint32_t n = 0, n_story = 0; n < N_STORY; n++, n_story++) {
        if (n_story == 0 || n_story == 399 || sy_tokenizer_is_end(tokenizer, out_tokens[n - 1])) {
            CHECK_OK(sy_session_rewind(session, 0, &kit->error));
            out_tokens[n] = 1; /* begin */
            CHECK_OK_ERROR(sy_session_prefill(session, &out_tokens[n], 1, &kit->error), kit->error);
            n_story = 0;
            continue;
        }
        CHECK_OK_ERROR(sy_session_decode(session, sampler, &out_tokens[n], &kit->error),
                       kit->error);
    }
    sy_session_close(session);
    sy_sampler_destroy(sampler);
}

static double nats(engine_kit *kit, sy_session *session, int32_t token) {
    const float *logits = NULL;
    double sum = 0;
    CHECK_OK(sy_session_logits(session, &logits, &kit->error));
    for (uint32_t i = 0; i < sy_engine_info(kit->engine)->n_vocabulary; i++) {
        sum += exp((double)logits[i] - (double)logits[token]);
    }
    return log(sum);
}

enum { WITH_SINKS, WITHOUT_SINKS, AFRESH, GROWING };

/* Nats a token of the text in a window that moves on. AFRESH: half of the window is given as a new
 * prompt whenever it is full. GROWING: nothing ever goes, far past what the model was made for. */
static double read_stories(engine_kit *kit, const int32_t *tokens, int how) {
    sy_session *session = open_session(kit, how == GROWING ? N_STORY : STORY_WINDOW, tokens, 1);
    double sum = 0;
    if (how == WITH_SINKS || how == WITHOUT_SINKS) {
        slide(kit, session, how == WITH_SINKS ? 4 : 0);
    }
    for (uint32_t i = 1; i < N_STORY; i++) {
        uint32_t n_tokens = 0;
        sum += nats(kit, session, tokens[i]);
        sy_session_tokens(session, &n_tokens);
        if (how == AFRESH && n_tokens == STORY_WINDOW) {
            CHECK_OK(sy_session_rewind(session, 0, &kit->error));
            CHECK_OK(sy_session_prefill(session, tokens + i - STORY_WINDOW / 2, STORY_WINDOW / 2,
                                        &kit->error));
        }
        CHECK_OK_ERROR(sy_session_prefill(session, &tokens[i], 1, &kit->error), kit->error);
    }
    sy_session_close(session);
    return sum / (N_STORY - 1);
}

static void a_sliding_window_keeps_the_quality_of_a_fresh_one(void) {
    static int32_t tokens[N_STORY];
    static const sy_element_type types[] = {SY_TYPE_F16, SY_TYPE_Q8_0};
    static char path[512];
    const char *shared = sy_test_shared_dir();
    snprintf(path, sizeof(path), "%s/data/models/stories260k/stories260K-f32.gguf",
             shared != NULL ? shared : "");
    if (access(path, R_OK) != 0) {
        SKIP("no trained story model here");
    }
    engine_model_instead = path;
    for (size_t t = 0; t < 2; t++) {
        engine_kit kit;
        open_kit(&kit, built_plugins(), types[t], types[t]);
        if (t == 0) {
            tell_stories(&kit, tokens);
        }
        double with = read_stories(&kit, tokens, WITH_SINKS);
        double without = read_stories(&kit, tokens, WITHOUT_SINKS);
        double fresh = read_stories(&kit, tokens, AFRESH);
        double growing = t == 0 ? read_stories(&kit, tokens, GROWING) : INFINITY;
        printf("cache type %u: %.4f nats a token with sinks, %.4f without, %.4f afresh, %.4f "
               "in a context that grows\n",
               types[t], with, without, fresh, growing);
        CHECK_TEXT(with < fresh + 0.02, "%g %g", with, fresh);
        CHECK_TEXT(growing > with + 0.1, "%g %g", growing, with);
        engine_kit_close(&kit);
    }
}

typedef struct pruning {
    uint32_t n_calls;
    uint32_t n_ranges;
    sy_token_range ranges[2];
} pruning;

static uint32_t prune(void *user, const int32_t *tokens, uint32_t n_tokens,
                      sy_token_range *out_ranges, uint32_t n_ranges_max) {
    pruning *p = user;
    CHECK(tokens[0] == text[0] && n_tokens == 50 && n_ranges_max >= 2);
    memcpy(out_ranges, p->ranges, sizeof(p->ranges));
    p->n_calls++;
    return p->n_ranges;
}

static void the_application_names_what_goes(void) {
    engine_kit kit;
    int32_t token = 0;
    pruning p = {.n_ranges = 2, .ranges = {{5, 10}, {30, 5}}};
    sy_limit_options limit = {
        .struct_bytes = sizeof(limit), .at_limit = SY_AT_LIMIT_PRUNE, .prune = prune, .user = &p};
    open_kit(&kit, built_plugins(), SY_TYPE_F16, SY_TYPE_F16);
    sy_session *session = open_session(&kit, 50, text, N_TEXT);
    CHECK_OK_ERROR(sy_session_set_limit(session, &limit, &kit.error), kit.error);
    for (uint32_t i = 0; i < 25; i++) { /* 40 + 10 fill it, 15 go, 15 more fill it again */
        CHECK_OK_ERROR(sy_session_decode(session, NULL, &token, &kit.error), kit.error);
    }
    uint32_t n = 0;
    const int32_t *tokens = sy_session_tokens(session, &n);
    CHECK(p.n_calls == 1 && n == 50);
    CHECK(memcmp(tokens, text, 5 * sizeof(int32_t)) == 0);
    CHECK(memcmp(tokens + 5, text + 15, 15 * sizeof(int32_t)) == 0);
    CHECK(memcmp(tokens + 20, text + 35, 5 * sizeof(int32_t)) == 0);
    p.n_ranges = 0; /* nothing to give up: as full as without a callback */
    CHECK(sy_session_decode(session, NULL, &token, &kit.error) == SY_OUT_OF_RANGE);
    p.n_ranges = 2;
    p.ranges[1].first = 14;
    CHECK(sy_session_decode(session, NULL, &token, &kit.error) == SY_INVALID_ARGUMENT);
    CHECK(strstr(kit.error.message, "overlaps") != NULL);
    p.ranges[0] = (sy_token_range){0, 20};
    p.ranges[1] = (sy_token_range){20, 30};
    CHECK(sy_session_decode(session, NULL, &token, &kit.error) == SY_INVALID_ARGUMENT);
    sy_session_tokens(session, &n);
    CHECK(n == 50); /* none of these changed it */
    sy_session_close(session);
    engine_kit_close(&kit);
}

static void limits_without_sense_are_refused(void) {
    engine_kit kit;
    sy_limit_options limit = {.struct_bytes = sizeof(limit), .at_limit = SY_AT_LIMIT_PRUNE};
    open_kit(&kit, NULL, SY_TYPE_F16, SY_TYPE_F16);
    sy_session *session = open_session(&kit, 50, text, N_TEXT);
    CHECK(sy_session_set_limit(session, &limit, &kit.error) == SY_INVALID_ARGUMENT);
    limit = (sy_limit_options){.at_limit = SY_AT_LIMIT_SLIDE, .n_sink_tokens = 49};
    CHECK(sy_session_set_limit(session, &limit, &kit.error) == SY_INVALID_ARGUMENT);
    limit = (sy_limit_options){.at_limit = (sy_at_limit)7};
    CHECK(sy_session_set_limit(session, &limit, &kit.error) == SY_INVALID_ARGUMENT);
    sy_session_close(session);
    engine_kit_close(&kit);
}

static const sy_test_case cases[] = {
    {"dropped_tokens_leave_no_trace_on_the_reference_delegate",
     dropped_tokens_leave_no_trace_on_the_reference_delegate},
    {"dropped_tokens_leave_no_trace_on_plugins", dropped_tokens_leave_no_trace_on_plugins},
    {"layers_with_a_window_keep_their_view", layers_with_a_window_keep_their_view},
    {"sessions_with_windows_are_saved_and_loaded", sessions_with_windows_are_saved_and_loaded},
    {"a_million_tokens_take_no_more_memory", a_million_tokens_take_no_more_memory},
    {"a_sliding_window_keeps_the_quality_of_a_fresh_one",
     a_sliding_window_keeps_the_quality_of_a_fresh_one},
    {"the_application_names_what_goes", the_application_names_what_goes},
    {"limits_without_sense_are_refused", limits_without_sense_are_refused},
};
SY_TEST_MAIN(cases)
