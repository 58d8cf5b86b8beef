/* SPDX-License-Identifier: Apache-2.0 */
/* Speculation changes no token: greedy and sampled output, alone and scheduled, with good guesses
 * and bad ones. */
#include "e2e/engine_model.h"
#include "switchyard/scheduler.h"
#include "speculate/speculate_internal.h"

#define N_NEW 60u
#define N_MOST 120u
#if defined(SY_SANITIZED)
#define N_DRAWS 800u /* sanitizers make them slow */
#else
#define N_DRAWS 4000u
#endif

static const int32_t prompt[14] = {1, 5, 9, 13, 2, 7, 19, 4, 1, 5, 9, 13, 2, 7};

static sy_sampler *new_sampler(float temperature, uint64_t seed) {
    sy_sampler *sampler = NULL;
    sy_sampler_options options;
    sy_sampler_options_default(&options);
    options.temperature = temperature;
    options.seed = seed;
    CHECK_OK(sy_sampler_create(NULL, TINY_VOCAB, &options, &sampler, NULL));
    return sampler;
}

static void open_kit(engine_kit *kit, uint32_t n_threads) {
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.n_sequences = 4;
    options.n_output_rows = 24;
    CHECK_OK_ERROR(engine_kit_open(kit, NULL, n_threads, built_plugins(), &options), kit->error);
}

/* A second engine as draft: the same model over other cache types guesses nearly always right. */
static sy_engine *open_near(engine_kit *kit) {
    sy_engine *draft = NULL;
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.key_type = options.value_type = SY_TYPE_BF16;
    sy_status status =
        sy_engine_create(kit->runtime, engine_model(), &options, &draft, &kit->error);
    CHECK_OK_ERROR(status, kit->error);
    return draft;
}

/* A model of other weights, which is seldom right. */
static sy_engine *open_far(engine_kit *kit) {
    tiny_model *model = calloc(1, sizeof(*model));
    gguf_writer *writer = calloc(1, sizeof(*writer));
    char path[] = "/tmp/switchyard-draft-XXXXXX";
    sy_engine *draft = NULL;
    CHECK(model != NULL && writer != NULL);
    model->family = "llama";
    model->n_layers = 1;
    tiny_write(model, writer);
    engine_model_fill(model, writer);
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, writer->bytes, writer->n_bytes) == (ssize_t)writer->n_bytes);
    close(fd);
    free(writer);
    free(model);
    sy_status status = sy_engine_create(kit->runtime, path, NULL, &draft, &kit->error);
    unlink(path); /* it is mapped */
    CHECK_OK_ERROR(status, kit->error);
    return draft;
}

static sy_speculator *new_speculator(engine_kit *kit, sy_engine *draft, uint32_t n_guesses,
                                     uint32_t always) {
    sy_speculator *speculator = NULL;
    sy_speculator_options options;
    sy_speculator_options_default(&options);
    options.draft = draft;
    options.n_guesses = n_guesses;
    options.n_match_tokens = 2;
    options.always = always;
    sy_status status = sy_speculator_create(kit->engine, &options, &speculator, &kit->error);
    CHECK_OK_ERROR(status, kit->error);
    return speculator;
}

typedef struct outcome {
    uint32_t n;
    int32_t tokens[N_MOST];
    float logits[TINY_VOCAB];
} outcome;

static void generate(engine_kit *kit, sy_session *session, sy_sampler *sampler,
                     sy_speculator *speculator, uint32_t n_new, outcome *out) {
    const float *logits = NULL;
    const sy_generate_options options = {.struct_bytes = sizeof(options),
                                         .n_tokens_max = n_new,
                                         .ignore_end = 1,
                                         .speculator = speculator};
    sy_generate_result result;
    sy_status status = sy_session_generate(session, sampler, &options, &result, &kit->error);
    CHECK_OK_ERROR(status, kit->error);
    CHECK(result.finish == SY_FINISH_LENGTH && (n_new == 0 || result.n_tokens == n_new));
    memcpy(out->tokens, sy_session_tokens(session, &out->n), sizeof(out->tokens));
    CHECK_OK_ERROR(sy_session_logits(session, &logits, &kit->error), kit->error);
    memcpy(out->logits, logits, sizeof(out->logits));
}

static void run(engine_kit *kit, float temperature, uint64_t seed, sy_speculator *speculator,
                outcome *out) {
    sy_session *session = NULL;
    sy_sampler *sampler = new_sampler(temperature, seed);
    CHECK_OK_ERROR(sy_session_open(kit->engine, N_MOST, &session, &kit->error), kit->error);
    CHECK_OK_ERROR(sy_session_prefill(session, prompt, 14, &kit->error), kit->error);
    memset(out, 0, sizeof(*out));
    generate(kit, session, sampler, speculator, N_NEW, out);
    sy_sampler_destroy(sampler);
    sy_session_close(session);
}

static void check_equal(const outcome *a, const outcome *b) {
    CHECK(a->n == b->n && memcmp(a->tokens, b->tokens, a->n * sizeof(int32_t)) == 0);
    CHECK(memcmp(a->logits, b->logits, sizeof(a->logits)) == 0);
}

/* Every speculator gives what plain decoding gives, at any thread count. */
static void no_token_changes(void) {
    static const float temperatures[3] = {0, 0.7f, 2.0f};
    for (uint32_t n_threads = 1; n_threads <= 3; n_threads++) {
        engine_kit kit;
        open_kit(&kit, n_threads);
        sy_engine *near = open_near(&kit), *far = open_far(&kit);
        sy_engine *const drafts[3] = {near, NULL, far};
        for (uint32_t t = 0; t < 3; t++) {
            outcome plain, guessed;
            run(&kit, temperatures[t], 40 + t, NULL, &plain);
            for (uint32_t which = 0; which < 6; which++) {
                sy_speculator *speculator =
                    new_speculator(&kit, drafts[which % 3], 1 + which * 4, which < 4);
                sy_speculator_stats stats;
                run(&kit, temperatures[t], 40 + t, speculator, &guessed);
                check_equal(&plain, &guessed);
                sy_speculator_get_stats(speculator, &stats);
                CHECK(which >= 4 || stats.n_guesses > 0);
                CHECK(which != 0 || stats.n_accepted > 0);
                CHECK(stats.n_accepted <= stats.n_guesses);
                sy_speculator_destroy(speculator);
            }
        }
        sy_engine_destroy(near);
        sy_engine_destroy(far);
        engine_kit_close(&kit);
    }
}

/* Four requests at once, each with a speculator of its own or none. */
static void no_token_changes_in_company(void) {
    engine_kit kit;
    static outcome plain[4];
    open_kit(&kit, 2);
    sy_engine *near = open_near(&kit), *far = open_far(&kit);
    sy_engine *const drafts[4] = {near, far, NULL, NULL};
    for (uint32_t i = 0; i < 4; i++) {
        run(&kit, i == 3 ? 0 : 0.8f, 60 + i, NULL, &plain[i]);
    }
    for (uint32_t always = 0; always < 2; always++) {
        sy_scheduler *scheduler = NULL;
        sy_session *sessions[4];
        sy_sampler *samplers[4];
        sy_speculator *speculators[4];
        uint64_t id = 0, n_accepted = 0;
        CHECK_OK(sy_scheduler_create(kit.engine, NULL, &scheduler, &kit.error));
        for (uint32_t i = 0; i < 4; i++) {
            samplers[i] = new_sampler(i == 3 ? 0 : 0.8f, 60 + i);
            speculators[i] = new_speculator(&kit, drafts[i], 3 + i, always);
            CHECK_OK(sy_session_open(kit.engine, N_MOST, &sessions[i], &kit.error));
            const sy_request_options request = {.struct_bytes = sizeof(request),
                                                .session = sessions[i],
                                                .tokens = prompt,
                                                .n_tokens = 14,
                                                .sampler = samplers[i],
                                                .n_tokens_max = N_NEW,
                                                .ignore_end = 1,
                                                .speculator = speculators[i]};
            CHECK_OK_ERROR(sy_scheduler_submit(scheduler, &request, &id, &kit.error), kit.error);
        }
        CHECK_OK_ERROR(sy_scheduler_run(scheduler, &kit.error), kit.error);
        for (uint32_t i = 0; i < 4; i++) {
            outcome found = {.n = 0};
            const float *logits = NULL;
            sy_speculator_stats stats;
            const int32_t *tokens = sy_session_tokens(sessions[i], &found.n);
            memcpy(found.tokens, tokens, found.n * sizeof(int32_t));
            CHECK_OK_ERROR(sy_session_logits(sessions[i], &logits, &kit.error), kit.error);
            memcpy(found.logits, logits, sizeof(found.logits));
            CHECK(found.n == plain[i].n);
            check_equal(&plain[i], &found);
            sy_speculator_get_stats(speculators[i], &stats);
            n_accepted += stats.n_accepted;
            sy_session_close(sessions[i]);
            sy_sampler_destroy(samplers[i]);
            sy_speculator_destroy(speculators[i]);
        }
        CHECK(!always || n_accepted > N_NEW / 2);
        sy_scheduler_destroy(scheduler);
    }
    sy_engine_destroy(near);
    sy_engine_destroy(far);
    engine_kit_close(&kit);
}

/* A session goes on after guesses, is cloned, rewound and filled to its end. */
static void sessions_are_whole_afterwards(void) {
    engine_kit kit;
    static outcome plain[3], guessed[3];
    open_kit(&kit, 2);
    for (uint32_t with = 0; with < 2; with++) {
        outcome *out = with ? guessed : plain;
        sy_speculator *speculator = with ? new_speculator(&kit, NULL, 6, 1) : NULL;
        sy_session *session = NULL, *copy = NULL;
        CHECK_OK(sy_session_open(kit.engine, N_MOST, &session, &kit.error));
        CHECK_OK_ERROR(sy_session_prefill(session, prompt, 14, &kit.error), kit.error);
        generate(&kit, session, NULL, speculator, 20, &out[0]);
        CHECK_OK_ERROR(sy_session_clone(session, &copy, &kit.error), kit.error);
        CHECK_OK_ERROR(sy_session_prefill(session, prompt, 3, &kit.error), kit.error);
        generate(&kit, session, NULL, speculator, 0, &out[1]); /* to the end of the session */
        CHECK(out[1].n == N_MOST);
        CHECK_OK_ERROR(sy_session_rewind(copy, 17, &kit.error), kit.error);
        generate(&kit, copy, NULL, speculator, 30, &out[2]);
        sy_session_close(copy);
        sy_session_close(session);
        sy_speculator_destroy(speculator);
    }
    for (uint32_t i = 0; i < 3; i++) {
        check_equal(&plain[i], &guessed[i]);
    }
    engine_kit_close(&kit);
}

/* Steps of a speculator with made-up times: n of them, with so many guesses and tokens. */
static void learn(sy_speculator *speculator, uint32_t n, uint32_t n_guesses, uint64_t step_ns,
                  uint32_t n_tokens) {
    for (uint32_t i = 0; i < n; i++) {
        speculator->n_rows = n_guesses + 1;
        speculator->guess_ns = 5;
        sy__speculator_learn(speculator, step_ns, n_tokens);
    }
}

static uint32_t count_rest(sy_speculator *speculator) {
    uint32_t n = 0;
    while (!sy__speculator_may_guess(speculator)) {
        learn(speculator, 1, 0, 100, 1);
        n++;
        CHECK(n < 5000);
    }
    return n;
}

/* Rests grow as long as guessing does not pay, and are short again when it did. */
static void what_does_not_pay_rests(void) {
    engine_kit kit;
    sy_speculator_stats stats;
    open_kit(&kit, 1);
    sy_speculator *speculator = new_speculator(&kit, NULL, 4, 0);
    CHECK(count_rest(speculator) == 2); /* what a plain step takes is measured first */
    learn(speculator, 7, 4, 300, 2);
    CHECK(sy__speculator_may_guess(speculator)); /* seven steps are too few to judge by */
    learn(speculator, 1, 4, 300, 2);
    CHECK(count_rest(speculator) == 32);
    learn(speculator, 8, 4, 300, 2);
    CHECK(count_rest(speculator) == 64);
    learn(speculator, 8, 4, 150, 2); /* 155 ns for two tokens, 105 for one */
    CHECK(sy__speculator_may_guess(speculator));
    learn(speculator, 56, 4, 150, 2);
    CHECK(count_rest(speculator) == 1); /* a plain step is measured anew now and then */
    learn(speculator, 6, 4, 400, 1);
    CHECK(count_rest(speculator) == 32);
    for (uint32_t i = 0; i < 12; i++) {
        learn(speculator, 8, 4, 400, 1);
        CHECK(count_rest(speculator) <= 1024);
    }
    sy_speculator_get_stats(speculator, &stats);
    CHECK(stats.n_rests >= 15 && stats.is_resting == 0);
    sy_speculator_destroy(speculator);
    speculator = new_speculator(&kit, NULL, 4, 1);
    learn(speculator, 50, 4, 1000, 1);
    CHECK(sy__speculator_may_guess(speculator)); /* told to guess always */
    sy_speculator_destroy(speculator);
    engine_kit_close(&kit);
}

/* What follows the session's tokens with which probability. */
static void weigh(engine_kit *kit, sy_session *session, double *out_probabilities) {
    const float *logits = NULL;
    double sum = 0;
    CHECK_OK_ERROR(sy_session_logits(session, &logits, &kit->error), kit->error);
    for (uint32_t v = 0; v < TINY_VOCAB; v++) {
        out_probabilities[v] = exp((double)logits[v] / 1.5);
        sum += out_probabilities[v];
    }
    for (uint32_t v = 0; v < TINY_VOCAB; v++) {
        out_probabilities[v] /= sum;
    }
}

/* The distribution of the third token after the prompt, over all ways to get there. */
static void weigh_third(engine_kit *kit, sy_session *session, double *out_exact) {
    double first[TINY_VOCAB], second[TINY_VOCAB], third[TINY_VOCAB];
    memset(out_exact, 0, TINY_VOCAB * sizeof(double));
    weigh(kit, session, first);
    for (int32_t a = 0; a < (int32_t)TINY_VOCAB; a++) {
        CHECK_OK_ERROR(sy_session_prefill(session, &a, 1, &kit->error), kit->error);
        weigh(kit, session, second);
        for (int32_t b = 0; b < (int32_t)TINY_VOCAB; b++) {
            CHECK_OK_ERROR(sy_session_prefill(session, &b, 1, &kit->error), kit->error);
            weigh(kit, session, third);
            for (uint32_t v = 0; v < TINY_VOCAB; v++) {
                out_exact[v] += first[a] * second[b] * third[v];
            }
            CHECK_OK_ERROR(sy_session_rewind(session, 15, &kit->error), kit->error);
        }
        CHECK_OK_ERROR(sy_session_rewind(session, 14, &kit->error), kit->error);
    }
}

/* Chi-square of the third generated token over many seeds. It comes from the row of a guess when
 * that was right and from a step of its own when it was wrong: a bias would show here. */
static void samples_keep_their_distribution(void) {
    engine_kit kit;
    sy_session *session = NULL;
    sy_speculator_stats stats;
    double exact[TINY_VOCAB], chi = 0;
    uint32_t counts[TINY_VOCAB] = {0};

    open_kit(&kit, 1);
    sy_engine *draft = open_far(&kit);
    sy_speculator *speculator = new_speculator(&kit, draft, 3, 1);
    const sy_generate_options options = {.struct_bytes = sizeof(options),
                                         .n_tokens_max = 4,
                                         .ignore_end = 1,
                                         .speculator = speculator};
    CHECK_OK(sy_session_open(kit.engine, N_MOST, &session, &kit.error));
    CHECK_OK_ERROR(sy_session_prefill(session, prompt, 14, &kit.error), kit.error);
    weigh_third(&kit, session, exact);
    for (uint32_t draw = 0; draw < N_DRAWS; draw++) {
        uint32_t n = 0;
        sy_sampler *sampler = new_sampler(1.5f, 1000003ull * draw + 17);
        CHECK_OK_ERROR(sy_session_rewind(session, 14, &kit.error), kit.error);
        CHECK_OK_ERROR(sy_session_generate(session, sampler, &options, NULL, &kit.error),
                       kit.error);
        counts[sy_session_tokens(session, &n)[16]]++;
        sy_sampler_destroy(sampler);
    }
    for (uint32_t v = 0; v < TINY_VOCAB; v++) {
        double expected = exact[v] * N_DRAWS;
        CHECK(expected > 0);
        chi += (counts[v] - expected) * (counts[v] - expected) / expected;
    }
    sy_speculator_get_stats(speculator, &stats);
    CHECK_TEXT(stats.n_accepted > N_DRAWS / 20 && stats.n_accepted < stats.n_guesses, "%llu",
               (unsigned long long)stats.n_accepted);
    CHECK_TEXT(chi < 43.8, "chi-square %g, 19 degrees of freedom", chi); /* p = 0.001 */
    sy_speculator_destroy(speculator);
    sy_session_close(session);
    sy_engine_destroy(draft);
    engine_kit_close(&kit);
}

static void what_cannot_guess_is_refused(void) {
    engine_kit kit;
    sy_speculator *speculator = NULL;
    sy_speculator_options options;
    sy_speculator_options_default(&options);
    open_kit(&kit, 1);
    options.draft = kit.engine;
    CHECK(sy_speculator_create(kit.engine, &options, &speculator, &kit.error) ==
          SY_INVALID_ARGUMENT);
    options.draft = NULL;
    options.n_guesses = SY_GUESSES_MAX + 1;
    CHECK(sy_speculator_create(kit.engine, &options, &speculator, &kit.error) ==
          SY_INVALID_ARGUMENT);
    sy_engine *other = open_near(&kit);
    options.n_guesses = 4;
    CHECK_OK_ERROR(sy_speculator_create(other, &options, &speculator, &kit.error), kit.error);
    const sy_generate_options generate_options = {.struct_bytes = sizeof(generate_options),
                                                  .speculator = speculator};
    sy_session *session = NULL;
    CHECK_OK(sy_session_open(kit.engine, N_MOST, &session, &kit.error));
    CHECK_OK(sy_session_prefill(session, prompt, 14, &kit.error));
    CHECK(sy_session_generate(session, NULL, &generate_options, NULL, &kit.error) ==
          SY_INVALID_ARGUMENT);
    sy_session_close(session);
    sy_speculator_destroy(speculator);
    sy_engine_destroy(other);
    engine_kit_close(&kit);
}

static const sy_test_case cases[] = {
    {"no_token_changes", no_token_changes},
    {"no_token_changes_in_company", no_token_changes_in_company},
    {"sessions_are_whole_afterwards", sessions_are_whole_afterwards},
    {"what_does_not_pay_rests", what_does_not_pay_rests},
    {"samples_keep_their_distribution", samples_keep_their_distribution},
    {"what_cannot_guess_is_refused", what_cannot_guess_is_refused},
};
SY_TEST_MAIN(cases)
