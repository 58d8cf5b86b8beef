/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions over a random model: the verbs that users know, on the reference delegate and, where it
 * was built, on cpu-xnnpack. */
#include "base/digest.h"
#include "e2e/engine_model.h"

#include <pthread.h>

#define N_PROMPT 12u

static const int32_t prompt[N_PROMPT] = {1, 5, 9, 13, 2, 7, 19, 4, 4, 11, 0, 3};

static void open_kit(engine_kit *kit, uint32_t n_threads, const sy_engine_options *options) {
    sy_status status = engine_kit_open(kit, NULL, n_threads, built_plugins(), options);
    CHECK_OK_ERROR(status, kit->error);
}

static sy_session *open_session(engine_kit *kit, uint32_t max_tokens) {
    sy_session *session = NULL;
    CHECK_OK_ERROR(sy_session_open(kit->engine, max_tokens, &session, &kit->error), kit->error);
    CHECK_OK_ERROR(sy_session_prefill(session, prompt, N_PROMPT, &kit->error), kit->error);
    return session;
}

static void decode(engine_kit *kit, sy_session *session, sy_sampler *sampler, uint32_t n,
                   int32_t *out_tokens) {
    for (uint32_t i = 0; i < n; i++) {
        sy_status status = sy_session_decode(session, sampler, &out_tokens[i], &kit->error);
        CHECK_OK_ERROR(status, kit->error);
    }
}

static sy_sampler *new_sampler(float temperature, uint64_t seed) {
    sy_sampler *sampler = NULL;
    sy_sampler_options options;
    sy_sampler_options_default(&options);
    options.temperature = temperature;
    options.top_k = temperature > 0 ? 12 : 0;
    options.top_p = 0.95f;
    options.seed = seed;
    CHECK_OK(sy_sampler_create(NULL, TINY_VOCAB, &options, &sampler, NULL));
    return sampler;
}

static void no_sampler_draws_the_likeliest(void) {
    int32_t with[8], without[8];
    for (uint32_t i = 0; i < 2; i++) {
        engine_kit kit;
        open_kit(&kit, 2, NULL);
        sy_sampler *greedy = i == 0 ? new_sampler(0, 1) : NULL;
        sy_session *session = open_session(&kit, 100);
        decode(&kit, session, greedy, 8, i == 0 ? with : without);
        sy_session_close(session);
        sy_sampler_destroy(greedy);
        engine_kit_close(&kit);
    }
    CHECK(memcmp(with, without, sizeof(with)) == 0);
}

static void same_seed_gives_same_tokens_at_any_thread_count(void) {
    int32_t tokens[3][40];
    for (uint32_t i = 0; i < 3; i++) {
        engine_kit kit;
        open_kit(&kit, i == 0 ? 1 : i == 1 ? 2 : 5, NULL);
        sy_sampler *sampler = new_sampler(0.9f, 42);
        sy_session *session = open_session(&kit, 100);
        decode(&kit, session, sampler, 40, tokens[i]);
        sy_session_close(session);
        sy_sampler_destroy(sampler);
        engine_kit_close(&kit);
        CHECK(memcmp(tokens[0], tokens[i], sizeof(tokens[0])) == 0);
    }
    bool varied = false;
    for (uint32_t i = 1; i < 40; i++) {
        varied = varied || tokens[0][i] != tokens[0][0];
    }
    CHECK(varied);
}

static void clone_goes_its_own_way(void) {
    engine_kit kit;
    int32_t first[20], second[20], again[20];
    open_kit(&kit, 1, NULL);
    sy_sampler *greedy = new_sampler(0, 0), *warm = new_sampler(1.5f, 7);
    sy_session *session = open_session(&kit, 60), *copy = NULL;
    CHECK_OK_ERROR(sy_session_clone(session, &copy, &kit.error), kit.error);
    decode(&kit, copy, warm, 20, second); /* writes its own rows first */
    decode(&kit, session, greedy, 20, first);
    sy_session_close(session);
    CHECK_OK_ERROR(sy_session_rewind(copy, N_PROMPT, &kit.error), kit.error);
    decode(&kit, copy, greedy, 20, again);
    CHECK(memcmp(first, again, sizeof(first)) == 0 && memcmp(first, second, sizeof(first)) != 0);
    sy_session_close(copy);
    sy_sampler_destroy(greedy);
    sy_sampler_destroy(warm);
    engine_kit_close(&kit);
}

static void rewind_gives_the_same_logits(void) {
    engine_kit kit;
    float before[TINY_VOCAB];
    const float *logits = NULL;
    int32_t tokens[9];
    open_kit(&kit, 1, NULL);
    sy_sampler *greedy = new_sampler(0, 0);
    sy_session *session = open_session(&kit, 60);
    CHECK_OK(sy_session_logits(session, &logits, &kit.error));
    memcpy(before, logits, sizeof(before));
    decode(&kit, session, greedy, 9, tokens);
    CHECK_OK_ERROR(sy_session_rewind(session, N_PROMPT, &kit.error), kit.error);
    CHECK_OK_ERROR(sy_session_logits(session, &logits, &kit.error), kit.error);
    CHECK(memcmp(before, logits, sizeof(before)) == 0);
    CHECK(sy_session_rewind(session, N_PROMPT + 1, &kit.error) == SY_OUT_OF_RANGE);
    sy_session_close(session);
    sy_sampler_destroy(greedy);
    engine_kit_close(&kit);
}

/* The logits that a session gives which got the same tokens as a prompt. */
static void check_like_fresh(engine_kit *kit, sy_session *session) {
    uint32_t n = 0;
    const float *logits = NULL, *wanted = NULL;
    sy_session *fresh = NULL;
    const int32_t *tokens = sy_session_tokens(session, &n);
    CHECK_OK_ERROR(sy_session_open(kit->engine, 60, &fresh, &kit->error), kit->error);
    for (uint32_t i = 0; i < n; i++) { /* one by one, as they came */
        CHECK_OK_ERROR(sy_session_prefill(fresh, &tokens[i], 1, &kit->error), kit->error);
    }
    CHECK_OK(sy_session_logits(session, &logits, &kit->error));
    CHECK_OK(sy_session_logits(fresh, &wanted, &kit->error));
    for (uint32_t i = 0; i < TINY_VOCAB; i++) {
        CHECK_TEXT(fabsf(logits[i] - wanted[i]) <= 1e-3f, "token %u: %g %g", i, (double)logits[i],
                   (double)wanted[i]);
    }
    sy_session_close(fresh);
}

/* The step of the last generated token has not run: whatever comes next must not miss its row. */
static void what_follows_a_generation_has_its_last_token(void) {
    engine_kit kit;
    char path[] = "/tmp/sy-generated-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && close(fd) == 0);
    open_kit(&kit, 1, NULL);
    sy_generate_options options = {
        .struct_bytes = sizeof(options), .n_tokens_max = 5, .ignore_end = 1};
    for (int what = 0; what < 5; what++) {
        sy_session *session = open_session(&kit, 60), *other = NULL;
        sy_generate_result result;
        CHECK_OK(sy_session_generate(session, NULL, &options, &result, &kit.error));
        CHECK(result.n_tokens == 5 && result.finish == SY_FINISH_LENGTH);
        if (what == 1) {
            CHECK_OK(sy_session_prefill(session, prompt, 3, &kit.error));
        } else if (what == 2) {
            CHECK_OK(sy_session_clone(session, &other, &kit.error));
        } else if (what == 3) {
            CHECK_OK(sy_session_save(session, path, &kit.error));
            CHECK_OK(sy_session_load(kit.engine, path, 60, &other, &kit.error));
        } else if (what == 4) {
            CHECK_OK(sy_session_rewind(session, N_PROMPT + 4, &kit.error));
        }
        check_like_fresh(&kit, session);
        if (other != NULL) {
            check_like_fresh(&kit, other);
        }
        sy_session_close(other);
        sy_session_close(session);
    }
    unlink(path);
    engine_kit_close(&kit);
}

static void score_is_the_sum_of_log_probabilities(void) {
    engine_kit kit;
    static const int32_t text[5] = {3, 8, 8, 1, 17};
    double each[5], sum = 0, expected = 0;
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.n_output_rows = 2; /* forces several chunks */
    open_kit(&kit, 1, &options);
    sy_session *session = open_session(&kit, 60), *plain = open_session(&kit, 60);
    CHECK_OK_ERROR(sy_session_score(session, text, 5, each, &sum, &kit.error), kit.error);
    for (uint32_t i = 0; i < 5; i++) {
        const float *logits = NULL;
        double total = 0;
        CHECK_OK(sy_session_logits(plain, &logits, &kit.error));
        for (uint32_t v = 0; v < TINY_VOCAB; v++) {
            total += exp((double)logits[v] - (double)logits[text[i]]);
        }
        CHECK_TEXT(fabs(each[i] + log(total)) < 1e-6, "%g %g", each[i], -log(total));
        expected -= log(total);
        CHECK_OK(sy_session_prefill(plain, &text[i], 1, &kit.error));
    }
    CHECK(fabs(sum - expected) < 1e-5 && sum < 0);
    uint32_t n_tokens = 0;
    sy_session_tokens(session, &n_tokens);
    CHECK(n_tokens == N_PROMPT);
    sy_session_close(plain);
    sy_session_close(session);
    engine_kit_close(&kit);
}

static void save_and_load_go_on_alike(void) {
    static const sy_element_type types[] = {SY_TYPE_F32, SY_TYPE_F16, SY_TYPE_BF16};
    for (size_t t = 0; t < 3; t++) {
        engine_kit kit;
        int32_t expected[12], found[12];
        char path[] = "/tmp/switchyard-session-XXXXXX";
        sy_engine_options options;
        sy_engine_options_default(&options);
        options.key_type = options.value_type = types[t];
        open_kit(&kit, 1, &options);
        sy_sampler *greedy = new_sampler(0, 0);
        sy_session *session = open_session(&kit, 60), *loaded = NULL;
        close(mkstemp(path));
        CHECK_OK_ERROR(sy_session_save(session, path, &kit.error), kit.error);
        decode(&kit, session, greedy, 12, expected);
        CHECK_OK_ERROR(sy_session_load(kit.engine, path, 50, &loaded, &kit.error), kit.error);
        decode(&kit, loaded, greedy, 12, found);
        CHECK(memcmp(expected, found, sizeof(found)) == 0);
        sy_session_close(loaded);
        CHECK(sy_session_load(kit.engine, path, N_PROMPT - 1, &loaded, &kit.error) ==
              SY_OUT_OF_RANGE);
        unlink(path);
        sy_session_close(session);
        sy_sampler_destroy(greedy);
        engine_kit_close(&kit);
    }
}

/* Every byte of a session file counts: any flip and any cut is refused. */
static void damaged_session_files_are_refused(void) {
    engine_kit kit;
    char path[] = "/tmp/switchyard-session-XXXXXX";
    static uint8_t bytes[1 << 16];
    open_kit(&kit, 1, NULL);
    sy_session *session = open_session(&kit, 60), *loaded = NULL;
    close(mkstemp(path));
    CHECK_OK_ERROR(sy_session_save(session, path, &kit.error), kit.error);
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    size_t n = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    CHECK(n > 100 && n < sizeof(bytes));
    for (size_t at = 0; at < n; at += at < 128 ? 1 : 97) {
        for (int cut = 0; cut < 2; cut++) {
            file = fopen(path, "wb");
            CHECK(file != NULL);
            bytes[at] ^= cut ? 0 : 0x10;
            CHECK(fwrite(bytes, 1, cut ? at : n, file) == (cut ? at : n));
            bytes[at] ^= cut ? 0 : 0x10;
            fclose(file);
            sy_status status = sy_session_load(kit.engine, path, 60, &loaded, &kit.error);
            CHECK(status != SY_OK && kit.error.message[0] != '\0');
        }
    }
    unlink(path);
    sy_session_close(session);
    engine_kit_close(&kit);
}

/* A file whose header says something else, with a checksum that fits. */
static void rewrite(const char *path, size_t at, uint8_t mask) {
    static uint8_t bytes[1 << 16];
    sy__sha256 sha;
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    size_t n = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    CHECK(n > 128 && n < sizeof(bytes));
    bytes[at] ^= mask;
    sy__sha256_init(&sha);
    sy__sha256_update(&sha, bytes, n - 32);
    sy__sha256_final(&sha, bytes + n - 32);
    file = fopen(path, "wb");
    CHECK(file != NULL && fwrite(bytes, 1, n, file) == n);
    fclose(file);
}

static void check_refused(engine_kit *kit, const char *path, const char *reason) {
    sy_session *loaded = NULL;
    sy_error_clear(&kit->error);
    CHECK(sy_session_load(kit->engine, path, 60, &loaded, &kit->error) == SY_FAILED_PRECONDITION);
    CHECK_TEXT(strstr(kit->error.message, reason) != NULL, "%s", kit->error.message);
}

/* Offsets as docs/formats/session.md gives them. */
static void session_files_of_others_are_refused_by_name(void) {
    engine_kit kit;
    char path[] = "/tmp/switchyard-session-XXXXXX";
    sy_engine_options options;
    open_kit(&kit, 1, NULL);
    sy_session *session = open_session(&kit, 60), *loaded = NULL;
    close(mkstemp(path));
    CHECK_OK_ERROR(sy_session_save(session, path, &kit.error), kit.error);
    sy_session_close(session);
    static const struct {
        size_t at;
        const char *reason;
    } fields[] = {{8, "another model"},
                  {40, "another tokenizer"},
                  {72, "another cache type"},
                  {76, "another cache type"}};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        rewrite(path, fields[i].at, 1);
        check_refused(&kit, path, fields[i].reason);
        rewrite(path, fields[i].at, 1);
    }
    CHECK_OK_ERROR(sy_session_load(kit.engine, path, 60, &loaded, &kit.error), kit.error);
    sy_session_close(loaded);
    engine_kit_close(&kit);
    sy_engine_options_default(&options);
    options.value_type = SY_TYPE_BF16;
    open_kit(&kit, 1, &options);
    check_refused(&kit, path, "another cache type");
    engine_kit_close(&kit);
    engine_model_base = 5e5f; /* nothing but the base of its rotations differs */
    engine_model_make("llama", 2, 0);
    open_kit(&kit, 1, NULL);
    check_refused(&kit, path, "another model");
    engine_kit_close(&kit);
    unlink(path);
}

static void limits_are_kept_with_a_sentence(void) {
    engine_kit kit;
    static const int32_t wrong[1] = {(int32_t)TINY_VOCAB}, negative[1] = {-1};
    int32_t token = 0;
    open_kit(&kit, 1, NULL);
    sy_sampler *greedy = new_sampler(0, 0);
    sy_session *session = NULL;
    CHECK(sy_session_open(kit.engine, TINY_CONTEXT + 1, &session, &kit.error) == SY_OUT_OF_RANGE);
    CHECK_OK_ERROR(sy_session_open(kit.engine, N_PROMPT + 2, &session, &kit.error), kit.error);
    const float *logits = NULL;
    CHECK(sy_session_logits(session, &logits, &kit.error) == SY_FAILED_PRECONDITION);
    CHECK(sy_session_prefill(session, wrong, 1, &kit.error) == SY_OUT_OF_RANGE);
    CHECK(sy_session_prefill(session, negative, 1, &kit.error) == SY_OUT_OF_RANGE);
    CHECK_OK_ERROR(sy_session_prefill(session, prompt, N_PROMPT, &kit.error), kit.error);
    CHECK(sy_session_prefill(session, prompt, 3, &kit.error) == SY_OUT_OF_RANGE);
    CHECK_OK(sy_session_decode(session, greedy, &token, &kit.error));
    CHECK_OK(sy_session_decode(session, greedy, &token, &kit.error));
    CHECK(sy_session_decode(session, greedy, &token, &kit.error) == SY_OUT_OF_RANGE);
    CHECK(kit.error.hint[0] != '\0');
    CHECK_OK_ERROR(sy_session_rewind(session, 1, &kit.error), kit.error);
    CHECK_OK_ERROR(sy_session_decode(session, greedy, &token, &kit.error), kit.error);
    sy_session_close(session);
    sy_sampler_destroy(greedy);
    engine_kit_close(&kit);
}

static void budget_is_a_wall(void) {
    engine_kit kit;
    sy_session *session = NULL, *second = NULL;
    sy_engine_memory need, all;
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.n_context_tokens = 1024; /* states come in blocks of tokens */
    open_kit(&kit, 1, &options);
    sy_engine_get_memory(kit.engine, 600, &need);
    uint64_t heap = sy_runtime_heap_bytes(kit.runtime);
    CHECK_OK_ERROR(sy_session_open(kit.engine, 600, &session, &kit.error), kit.error);
    uint64_t taken = sy_runtime_heap_bytes(kit.runtime) - heap;
    CHECK_TEXT(taken + taken / 10 > need.session_bytes && need.session_bytes + 512 > taken,
               "%llu %llu", (unsigned long long)taken, (unsigned long long)need.session_bytes);
    sy_session_close(session);
    CHECK(sy_runtime_heap_bytes(kit.runtime) == heap);
    engine_kit_close(&kit);
    options.budget_bytes = need.load_bytes + 3 * need.session_bytes / 2;
    open_kit(&kit, 1, &options);
    CHECK_OK_ERROR(sy_session_open(kit.engine, 600, &session, &kit.error), kit.error);
    CHECK(sy_session_open(kit.engine, 600, &second, &kit.error) ==
          SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET));
    CHECK(strstr(kit.error.message, "more than the budget") != NULL);
    uint32_t n_fits = 0; /* the hint names a length that does fit, and the next does not */
    CHECK(sscanf(kit.error.hint, "A session of %u tokens fits now", &n_fits) == 1 && n_fits > 10);
    CHECK(sy_session_open(kit.engine, n_fits + 1, &second, &kit.error) != SY_OK);
    CHECK_OK_ERROR(sy_session_open(kit.engine, n_fits, &second, &kit.error), kit.error);
    sy_engine_get_memory(kit.engine, 0, &all);
    CHECK(all.load_bytes + all.reserved_bytes <= options.budget_bytes);
    sy_session_close(second);
    sy_session_close(session);
    engine_kit_close(&kit);
}

/* A load that does not fit takes smaller chunks first, and says what is missing at the last. */
static void a_small_budget_makes_small_chunks(void) {
    engine_kit kit;
    sy_engine_memory need, less;
    sy_engine_options options;
    sy_engine_options_default(&options);
    open_kit(&kit, 1, &options);
    sy_engine_get_memory(kit.engine, 60, &need);
    CHECK(need.n_batch_tokens == options.n_batch_tokens);
    engine_kit_close(&kit);
    options.budget_bytes = need.load_bytes - 1;
    open_kit(&kit, 1, &options);
    sy_engine_get_memory(kit.engine, 60, &less);
    CHECK(less.n_batch_tokens < need.n_batch_tokens && less.load_bytes <= options.budget_bytes);
    sy_session *session = open_session(&kit, 60);
    check_like_fresh(&kit, session);
    sy_session_close(session);
    engine_kit_close(&kit);
    options.budget_bytes = 1000;
    CHECK(engine_kit_open(&kit, NULL, 1, built_plugins(), &options) ==
          SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET));
    CHECK(strstr(kit.error.message, "chunks of 16 tokens") != NULL);
    CHECK(strstr(kit.error.message, "more than the budget of 1000.") != NULL);
    engine_kit_close(&kit);
}

/* The refusal of a load names options that do load, with the session that then fits. */
static void a_refused_load_names_what_would_fit(void) {
    engine_kit kit;
    sy_engine_memory small;
    sy_engine_options options, wide;
    sy_engine_options_default(&options);
    wide = options;
    options.n_output_rows = 1;
    options.n_batch_tokens = 16;
    open_kit(&kit, 1, &options);
    sy_engine_get_memory(kit.engine, 40, &small);
    engine_kit_close(&kit);
    wide.n_output_rows = wide.n_batch_tokens; /* so that the chunk cannot be made smaller */
    wide.n_sequences = 8;
    wide.budget_bytes = small.load_bytes + small.session_bytes;
    CHECK(engine_kit_open(&kit, NULL, 1, built_plugins(), &wide) ==
          SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET));
    uint32_t n_context = 0, n_batch = 0, n_session = 0;
    CHECK_TEXT(sscanf(kit.error.hint,
                      "A context of %u tokens with one output row, one sequence and chunks of %u "
                      "would fit, with a session of %u tokens",
                      &n_context, &n_batch, &n_session) == 3,
               "%s", kit.error.hint);
    CHECK(n_batch == 16 && n_session >= 40 && n_context >= n_session);
    engine_kit_close(&kit);
    options.budget_bytes = wide.budget_bytes;
    options.n_context_tokens = n_context;
    open_kit(&kit, 1, &options);
    sy_session *session = NULL;
    CHECK_OK_ERROR(sy_session_open(kit.engine, n_session, &session, &kit.error), kit.error);
    sy_session_close(session);
    engine_kit_close(&kit);
}

/* What a session shared stays in memory when it closes, and stays counted. */
static void rows_that_others_share_stay_counted(void) {
    engine_kit kit;
    sy_session *first = NULL, *fork = NULL, *other = NULL;
    sy_engine_memory need, all;
    sy_engine_options options;
    int32_t tokens[500];
    if (built_plugins() == NULL) {
        SKIP("the reference delegate shares nothing");
    }
    sy_engine_options_default(&options);
    options.n_context_tokens = 1024;
    open_kit(&kit, 1, &options);
    sy_engine_get_memory(kit.engine, 600, &need);
    engine_kit_close(&kit);
    options.budget_bytes = need.load_bytes + 7 * need.session_bytes / 4;
    open_kit(&kit, 1, &options);
    uint64_t heap = sy_runtime_heap_bytes(kit.runtime);
    for (uint32_t i = 0; i < 500; i++) {
        tokens[i] = (int32_t)(i * i % TINY_VOCAB);
    }
    CHECK_OK_ERROR(sy_session_open(kit.engine, 600, &first, &kit.error), kit.error);
    CHECK_OK_ERROR(sy_session_prefill(first, tokens, 500, &kit.error), kit.error);
    CHECK_OK_ERROR(sy_session_fork(first, 0, 1, &fork, &kit.error), kit.error);
    CHECK(sy_session_rewind(first, 0, &kit.error) ==
          SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET)); /* it would need them twice */
    sy_session_close(first);
    CHECK(sy_session_open(kit.engine, 600, &other, &kit.error) ==
          SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET));
    CHECK_OK_ERROR(sy_session_rewind(fork, 0, &kit.error), kit.error); /* they are its own now */
    sy_engine_get_memory(kit.engine, 600, &all);
    CHECK(all.load_bytes + all.reserved_bytes <= options.budget_bytes);
    CHECK(all.load_bytes + sy_runtime_heap_bytes(kit.runtime) - heap <= options.budget_bytes);
    sy_session_close(fork);
    CHECK_OK_ERROR(sy_session_open(kit.engine, 600, &other, &kit.error), kit.error);
    sy_session_close(other);
    sy_engine_get_memory(kit.engine, 600, &all);
    CHECK(all.reserved_bytes == 0 && sy_runtime_heap_bytes(kit.runtime) == heap);
    engine_kit_close(&kit);
}

static void forks_have_lengths_of_their_own(void) {
    engine_kit kit;
    int32_t wanted[20], found[20];
    open_kit(&kit, 1, NULL);
    sy_sampler *greedy = new_sampler(0, 0);
    sy_session *session = open_session(&kit, 60), *shorter = NULL, *longer = NULL, *none = NULL;
    CHECK_OK_ERROR(sy_session_fork(session, N_PROMPT + 3, 1, &shorter, &kit.error), kit.error);
    CHECK_OK_ERROR(sy_session_fork(session, 100, 1, &longer, &kit.error), kit.error);
    CHECK(sy_session_max_tokens(shorter) == N_PROMPT + 3 && sy_session_max_tokens(longer) == 100);
    decode(&kit, session, greedy, 20, wanted);
    decode(&kit, longer, greedy, 20, found);
    CHECK(memcmp(found, wanted, sizeof(found)) == 0);
    decode(&kit, shorter, greedy, 3, found);
    CHECK(memcmp(found, wanted, 3 * sizeof(int32_t)) == 0);
    CHECK(sy_session_decode(shorter, greedy, &found[0], &kit.error) == SY_OUT_OF_RANGE);
    CHECK(sy_session_fork(session, N_PROMPT + 19, 1, &none, &kit.error) == SY_INVALID_ARGUMENT);
    CHECK(sy_session_fork(session, TINY_CONTEXT + 1, 1, &none, &kit.error) == SY_OUT_OF_RANGE);
    const sy_limit_options limit = {
        .struct_bytes = sizeof(limit), .at_limit = SY_AT_LIMIT_SLIDE, .n_sink_tokens = 50};
    CHECK_OK(sy_session_set_limit(longer, &limit, &kit.error));
    CHECK(sy_session_fork(longer, 51, 1, &none, &kit.error) == SY_INVALID_ARGUMENT);
    CHECK(none == NULL && strstr(kit.error.message, "50 sinks") != NULL);
    sy_session_close(longer);
    sy_session_close(shorter);
    sy_session_close(session);
    sy_sampler_destroy(greedy);
    engine_kit_close(&kit);
}

typedef struct stream_log {
    sy_session *session;
    uint32_t n_calls, n_terminal, cancel_at;
    sy_finish last;
} stream_log;

static int log_stream(void *user, const char *text, size_t n_bytes, sy_finish finish) {
    stream_log *log = user;
    (void)text;
    (void)n_bytes;
    log->n_calls++;
    __atomic_add_fetch(&log->n_terminal, finish != SY_FINISH_NONE, __ATOMIC_SEQ_CST);
    log->last = finish;
    return 0;
}

static void *cancel_soon(void *argument) {
    stream_log *log = argument;
    for (int i = 0; i < 200 && __atomic_load_n(&log->n_terminal, __ATOMIC_SEQ_CST) == 0; i++) {
        sy_session_cancel(log->session);
        usleep(100);
    }
    return NULL;
}

static void cancel_leaves_the_session_usable(void) {
    engine_kit kit;
    sy_engine_options engine_options;
    sy_engine_options_default(&engine_options);
    engine_options.n_context_tokens = 1u << 14;
    open_kit(&kit, 1, &engine_options);
    sy_session *session = open_session(&kit, 1u << 14);
    stream_log log = {.session = session};
    sy_generate_options options = {
        .struct_bytes = sizeof(options), .stream = log_stream, .user = &log};
    sy_generate_result result;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, cancel_soon, &log) == 0);
    sy_status status = sy_session_generate(session, NULL, &options, &result, &kit.error);
    pthread_join(thread, NULL);
    CHECK_OK_ERROR(status, kit.error);
    CHECK(result.finish == SY_FINISH_CANCELLED && log.n_terminal == 1);
    CHECK(log.last == SY_FINISH_CANCELLED);
    uint32_t n_tokens = 0;
    sy_session_tokens(session, &n_tokens);
    CHECK(n_tokens == N_PROMPT + result.n_tokens);
    options.n_tokens_max = 5;
    CHECK_OK_ERROR(sy_session_generate(session, NULL, &options, &result, &kit.error), kit.error);
    CHECK(result.finish == SY_FINISH_LENGTH && result.n_tokens == 5 && log.n_terminal == 2);
    sy_session_close(session);
    engine_kit_close(&kit);
}

#define LONG_PROMPT 6000u

static void *cancel_once(void *argument) {
    usleep(4000);
    sy_session_cancel(argument);
    return NULL;
}

/* Only the last chunk of a prompt makes logits; a prompt that is cut off gets them when asked. */
static void prompts_in_chunks_have_the_logits_of_their_end(void) {
    engine_kit kit;
    sy_engine_options engine_options;
    static int32_t tokens[LONG_PROMPT + 100];
    sy_engine_options_default(&engine_options);
    engine_options.n_context_tokens = 1u << 13;
    engine_options.n_batch_tokens = 16;
    open_kit(&kit, 1, &engine_options);
    for (uint32_t i = 0; i < LONG_PROMPT + 100; i++) {
        tokens[i] = prompt[i % N_PROMPT];
    }
    sy_session *cut = NULL, *whole = NULL;
    pthread_t thread;
    CHECK_OK(sy_session_open(kit.engine, LONG_PROMPT + 100, &cut, &kit.error));
    CHECK(pthread_create(&thread, NULL, cancel_once, cut) == 0);
    sy_status status = sy_session_prefill(cut, tokens, LONG_PROMPT, &kit.error);
    pthread_join(thread, NULL);
    CHECK(status == SY_OK || SY_STATUS_CLASS(status) == SY_CANCELLED);
    uint32_t n = 0;
    sy_session_tokens(cut, &n);
    CHECK(n % 16 == 0);
    for (uint32_t i = 0; n > 0 && i < 2; i++) {
        const float *a = NULL, *b = NULL;
        CHECK_OK(sy_session_open(kit.engine, LONG_PROMPT + 100, &whole, &kit.error));
        CHECK_OK_ERROR(sy_session_prefill(whole, tokens, n, &kit.error), kit.error);
        CHECK_OK_ERROR(sy_session_logits(cut, &a, &kit.error), kit.error);
        CHECK_OK_ERROR(sy_session_logits(whole, &b, &kit.error), kit.error);
        CHECK(memcmp(a, b, sy_engine_info(kit.engine)->n_vocabulary * sizeof(float)) == 0);
        sy_session_close(whole);
        CHECK_OK_ERROR(sy_session_prefill(cut, tokens + n % N_PROMPT, 37, &kit.error), kit.error);
        n += 37;
    }
    sy_session_close(cut);
    engine_kit_close(&kit);
}

static void two_sessions_do_not_disturb_each_other(void) {
    engine_kit kit;
    int32_t alone[10], first[10], second[10];
    open_kit(&kit, 2, NULL);
    sy_sampler *greedy = new_sampler(0, 0);
    sy_session *a = open_session(&kit, 60);
    decode(&kit, a, greedy, 10, alone);
    sy_session_close(a);
    a = open_session(&kit, 60);
    sy_session *b = NULL;
    CHECK_OK(sy_session_open(kit.engine, 40, &b, &kit.error));
    CHECK_OK(sy_session_prefill(b, prompt + 3, 5, &kit.error));
    for (uint32_t i = 0; i < 10; i++) {
        decode(&kit, a, greedy, 1, &first[i]);
        decode(&kit, b, greedy, 1, &second[i]);
    }
    CHECK(memcmp(alone, first, sizeof(alone)) == 0);
    sy_session_close(b);
    sy_session_close(a);
    sy_sampler_destroy(greedy);
    engine_kit_close(&kit);
}

/* Two runtimes of one process load the same plugins: each gets code and variables of its own. */
static void two_runtimes_do_not_share_a_plugin(void) {
    engine_kit first, second;
    int32_t alone[10], tokens[2][10];
    sy_sampler *greedy = new_sampler(0, 0);
    open_kit(&first, 2, NULL);
    sy_session *a = open_session(&first, 60);
    decode(&first, a, greedy, 10, alone);
    sy_session_close(a);
    open_kit(&second, 2, NULL);
    a = open_session(&first, 60);
    sy_session *b = open_session(&second, 60);
    for (uint32_t i = 0; i < 10; i++) {
        decode(&first, a, greedy, 1, &tokens[0][i]);
        decode(&second, b, greedy, 1, &tokens[1][i]);
    }
    CHECK(memcmp(alone, tokens[0], sizeof(alone)) == 0);
    CHECK(memcmp(alone, tokens[1], sizeof(alone)) == 0);
    sy_session_close(a);
    engine_kit_close(&first);
    decode(&second, b, greedy, 1, &tokens[1][0]); /* the other one is still whole */
    sy_session_close(b);
    engine_kit_close(&second);
    sy_sampler_destroy(greedy);
}

#define N_TOGETHER 3u

/* Sessions of different lengths: the rows of a step have different positions. */
static void open_crowd(engine_kit *kit, sy_session *out_sessions[N_TOGETHER]) {
    for (uint32_t i = 0; i < N_TOGETHER; i++) {
        sy_session **session = &out_sessions[i];
        CHECK_OK_ERROR(sy_session_open(kit->engine, 60, session, &kit->error), kit->error);
        CHECK_OK_ERROR(sy_session_prefill(*session, prompt, N_PROMPT - 3 * i, &kit->error),
                       kit->error);
    }
}

static void together_each_gets_what_it_gets_alone(void) {
    engine_kit kit;
    int32_t alone[N_TOGETHER][20], tokens[N_TOGETHER];
    sy_session *sessions[N_TOGETHER];
    sy_sampler *samplers[N_TOGETHER];
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.n_sequences = N_TOGETHER;
    open_kit(&kit, 2, &options);
    open_crowd(&kit, sessions);
    for (uint32_t i = 0; i < N_TOGETHER; i++) {
        samplers[i] = new_sampler(0.9f, 5 + i);
        decode(&kit, sessions[i], samplers[i], 20, alone[i]);
        sy_sampler_destroy(samplers[i]);
        samplers[i] = new_sampler(0.9f, 5 + i);
        sy_status status = sy_session_rewind(sessions[i], N_PROMPT - 3 * i, &kit.error);
        CHECK_OK_ERROR(status, kit.error);
    }
    for (uint32_t t = 0; t < 20; t++) {
        sy_status status =
            sy_session_decode_together(sessions, N_TOGETHER, samplers, tokens, &kit.error);
        CHECK_OK_ERROR(status, kit.error);
        for (uint32_t i = 0; i < N_TOGETHER; i++) {
            CHECK(tokens[i] == alone[i][t]);
        }
    }
    for (uint32_t i = 0; i < N_TOGETHER; i++) {
        uint32_t n = 0;
        CHECK(sy_session_tokens(sessions[i], &n)[n - 1] == alone[i][19] && n == 32 - 3 * i);
        sy_session_close(sessions[i]);
        sy_sampler_destroy(samplers[i]);
    }
    engine_kit_close(&kit);
}

static void together_has_its_limits(void) {
    engine_kit kit;
    sy_engine *other = NULL;
    int32_t tokens[N_TOGETHER];
    sy_session *sessions[N_TOGETHER], *mixed[2];
    sy_sampler *greedy = new_sampler(0, 0), *samplers[N_TOGETHER] = {greedy, greedy, greedy};
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.n_sequences = 2;
    open_kit(&kit, 1, &options);
    CHECK_OK_ERROR(sy_engine_create(kit.runtime, engine_model(), NULL, &other, &kit.error),
                   kit.error);
    open_crowd(&kit, sessions);
    mixed[0] = sessions[0];
    CHECK_OK_ERROR(sy_session_open(other, 40, &mixed[1], &kit.error), kit.error);
    CHECK_OK_ERROR(sy_session_prefill(mixed[1], prompt, N_PROMPT, &kit.error), kit.error);
    CHECK(sy_session_decode_together(sessions, 0, samplers, tokens, &kit.error) ==
          SY_INVALID_ARGUMENT);
    CHECK(sy_session_decode_together(sessions, N_TOGETHER, samplers, tokens, &kit.error) ==
          SY_OUT_OF_RANGE);
    CHECK(sy_session_decode_together(mixed, 2, samplers, tokens, &kit.error) ==
          SY_INVALID_ARGUMENT);
    sy_session_close(mixed[1]);
    mixed[1] = sessions[0];
    CHECK(sy_session_decode_together(mixed, 2, samplers, tokens, &kit.error) ==
          SY_INVALID_ARGUMENT);
    CHECK(strstr(kit.error.message, "given twice") != NULL);
    uint32_t n = 0;
    sy_session_tokens(sessions[0], &n);
    CHECK(n == N_PROMPT); /* nothing was committed */
    for (uint32_t i = 0; i < N_TOGETHER; i++) {
        sy_session_close(sessions[i]);
    }
    sy_sampler_destroy(greedy);
    sy_engine_destroy(other);
    engine_kit_close(&kit);
}

static const sy_test_case cases[] = {
    {"no_sampler_draws_the_likeliest", no_sampler_draws_the_likeliest},
    {"same_seed_gives_same_tokens_at_any_thread_count",
     same_seed_gives_same_tokens_at_any_thread_count},
    {"clone_goes_its_own_way", clone_goes_its_own_way},
    {"rewind_gives_the_same_logits", rewind_gives_the_same_logits},
    {"what_follows_a_generation_has_its_last_token", what_follows_a_generation_has_its_last_token},
    {"score_is_the_sum_of_log_probabilities", score_is_the_sum_of_log_probabilities},
    {"save_and_load_go_on_alike", save_and_load_go_on_alike},
    {"damaged_session_files_are_refused", damaged_session_files_are_refused},
    {"session_files_of_others_are_refused_by_name", session_files_of_others_are_refused_by_name},
    {"limits_are_kept_with_a_sentence", limits_are_kept_with_a_sentence},
    {"budget_is_a_wall", budget_is_a_wall},
    {"a_small_budget_makes_small_chunks", a_small_budget_makes_small_chunks},
    {"a_refused_load_names_what_would_fit", a_refused_load_names_what_would_fit},
    {"rows_that_others_share_stay_counted", rows_that_others_share_stay_counted},
    {"forks_have_lengths_of_their_own", forks_have_lengths_of_their_own},
    {"cancel_leaves_the_session_usable", cancel_leaves_the_session_usable},
    {"prompts_in_chunks_have_the_logits_of_their_end",
     prompts_in_chunks_have_the_logits_of_their_end},
    {"two_sessions_do_not_disturb_each_other", two_sessions_do_not_disturb_each_other},
    {"two_runtimes_do_not_share_a_plugin", two_runtimes_do_not_share_a_plugin},
    {"together_each_gets_what_it_gets_alone", together_each_gets_what_it_gets_alone},
    {"together_has_its_limits", together_has_its_limits},
};
SY_TEST_MAIN(cases)
