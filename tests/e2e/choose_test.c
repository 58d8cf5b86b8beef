/* SPDX-License-Identifier: Apache-2.0 */
/* Greedy tokens that a device chooses: the same tokens as from logits, which stay on the device. */
#include "e2e/failover_rig.h"
#include "engine/engine_internal.h"
#include "switchyard/scheduler.h"

#define ONE "[trust]\nplugins = fake-npu\n[delegate fake-npu]\n"
#define ALL_BUT_TOP_K                                                                \
    ONE "ops = Linear,Add,Mul,RMSNormalization,AddRMSNormalization,GatedActivation," \
        "RotaryEmbedding,Attention\n"
#define N_TOKENS 24u

static int32_t wanted[N_TOKENS];

static const int32_t *generate(rig *r, sy_session *session, sy_sampler *sampler) {
    const sy_generate_options options = {
        .struct_bytes = sizeof(options), .n_tokens_max = N_TOKENS, .ignore_end = 1};
    sy_error *error = &r->kit.error;
    CHECK_OK_ERROR(sy_session_generate(session, sampler, &options, NULL, error), *error);
    return &session->tokens[session->n_tokens - N_TOKENS];
}

/* Whether the newest step brought the logits to the host. */
static bool has_brought_logits(const rig *r) {
    const sy_engine *engine = r->kit.engine;
    const void *data = NULL;
    uint64_t n_bytes = 0;
    sy_error error;
    sy_status status =
        sy_executor_output(engine->executor, engine->model.result, &data, &n_bytes, &error);
    CHECK(status == SY_OK || status == SY_FAILED_PRECONDITION);
    return status == SY_OK;
}

/* Runs of the segments that hold the node of the choice, over both phases. */
static uint64_t runs_of_choice(const sy_engine *engine) {
    uint32_t i_node = sy_graph_producer(engine->model.graph, engine->model.best_tokens);
    uint64_t n_runs = 0;
    for (uint32_t p = 0; p < sy_plan_n_phases(engine->plan); p++) {
        for (uint32_t s = 0; s < sy_plan_n_segments(engine->plan, p); s++) {
            const sy_segment *segment = &sy_plan_segment_at(engine->plan, p, s)->segment;
            sy_segment_stats stats;
            sy_executor_stats(engine->executor, p, s, &stats);
            for (uint32_t k = 0; k < segment->n_nodes; k++) {
                n_runs += segment->nodes[k] == i_node ? stats.n_runs : 0;
            }
        }
    }
    return n_runs;
}

static void device_chooses_the_same(void) {
    static const char *const inis[] = {ONE, ONE "async = 1", "[trust]\nplugins = fake-npu-host"};
    rig_reference(N_TOKENS, wanted);
    for (size_t i = 0; i < sizeof(inis) / sizeof(inis[0]); i++) {
        rig r;
        rig_init(&r);
        rig_open(&r, inis[i]);
        CHECK(r.kit.engine->chooses);
        sy_session *session = rig_session(&r);
        CHECK(has_brought_logits(&r)); /* of the prompt */
        CHECK(memcmp(generate(&r, session, NULL), wanted, sizeof(wanted)) == 0);
        CHECK(!has_brought_logits(&r) && runs_of_choice(r.kit.engine) >= N_TOKENS - 1);
        sy_session_close(session);
        rig_close(&r);
    }
}

/* What is asked after a choice is what logits would have given. */
static void logits_are_there_when_asked(void) {
    rig r;
    rig_init(&r);
    rig_open(&r, ONE);
    sy_session *chosen = rig_session(&r), *decoded = rig_session(&r), *copy = NULL;
    sy_error *error = &r.kit.error;
    const float *logits[3] = {NULL};
    int32_t tokens[N_TOKENS];
    const size_t n_bytes = r.kit.engine->info.n_vocabulary * sizeof(float);
    const int32_t *found = generate(&r, chosen, NULL);
    rig_generate(&r, decoded, N_TOKENS, tokens);
    CHECK(memcmp(found, tokens, sizeof(tokens)) == 0);
    CHECK_OK_ERROR(sy_session_clone(chosen, &copy, error), *error);
    CHECK_OK_ERROR(sy_session_logits(chosen, &logits[0], error), *error);
    CHECK(has_brought_logits(&r));
    CHECK_OK_ERROR(sy_session_logits(decoded, &logits[1], error), *error);
    CHECK_OK_ERROR(sy_session_logits(copy, &logits[2], error), *error);
    CHECK(memcmp(logits[0], logits[1], n_bytes) == 0 && memcmp(logits[0], logits[2], n_bytes) == 0);
    CHECK(memcmp(generate(&r, copy, NULL), generate(&r, decoded, NULL), sizeof(tokens)) == 0);
    sy_session_close(copy);
    sy_session_close(decoded);
    sy_session_close(chosen);
    rig_close(&r);
}

/* The end of a text leaves the session where logits would have left it. */
static void a_text_that_ends_goes_on(void) {
    rig r;
    rig_init(&r);
    rig_open(&r, ONE);
    sy_session *once = rig_session(&r), *twice = rig_session(&r);
    int32_t tokens[N_TOKENS];
    sy_error *error = &r.kit.error;
    memcpy(tokens, generate(&r, once, NULL), sizeof(tokens));
    const sy_generate_options some = {
        .struct_bytes = sizeof(some), .n_tokens_max = 7, .ignore_end = 1};
    CHECK_OK_ERROR(sy_session_generate(twice, NULL, &some, NULL, error), *error);
    CHECK_OK_ERROR(sy_session_prefill(twice, &tokens[7], 5, error), *error);
    CHECK(memcmp(generate(&r, twice, NULL), &tokens[12], (N_TOKENS - 12) * sizeof(tokens[0])) == 0);
    sy_session_close(twice);
    sy_session_close(once);
    rig_close(&r);
}

/* Bytes that decoding brought from devices. */
static uint64_t bytes_read(const sy_engine *engine) {
    uint64_t n_bytes = 0;
    for (uint32_t s = 0; s < sy_plan_n_segments(engine->plan, SY_ENGINE_DECODE); s++) {
        sy_segment_stats stats;
        sy_executor_stats(engine->executor, SY_ENGINE_DECODE, s, &stats);
        n_bytes += stats.read_bytes;
    }
    return n_bytes;
}

static void samplers_read_logits(void) {
    rig r;
    uint64_t n_read[3] = {0};
    rig_init(&r);
    rig_open(&r, ONE);
    sy_sampler_options options;
    sy_sampler_options_default(&options);
    sy_error *error = &r.kit.error;
    for (uint32_t i = 0; i < 3; i++) {
        sy_sampler *sampler = NULL;
        options.temperature = i == 0 ? 0.0f : 0.9f;
        options.top_k = i == 1 ? 1 : 0;
        uint32_t n = r.kit.engine->info.n_vocabulary;
        CHECK_OK_ERROR(sy_sampler_create(NULL, n, &options, &sampler, error), *error);
        sy_session *session = rig_session(&r);
        uint64_t before = bytes_read(r.kit.engine);
        generate(&r, session, sampler);
        n_read[i] = bytes_read(r.kit.engine) - before;
        CHECK(has_brought_logits(&r) == (i == 2));
        sy_session_close(session);
        sy_sampler_destroy(sampler);
    }
    /* The first token is from the prompt's logits. A choice brings a logit and a token. */
    uint64_t row_bytes = r.kit.engine->info.n_vocabulary * sizeof(float);
    CHECK(n_read[0] == n_read[1] && n_read[0] >= (N_TOKENS - 1) * 12);
    CHECK(n_read[2] == n_read[0] + (N_TOKENS - 1) * (row_bytes - 12));
    rig_close(&r);
}

/* A choice away from the device would bring the logits to the host: it is not made. */
static void only_where_the_logits_are(void) {
    rig r;
    rig_reference(N_TOKENS, wanted);
    rig_init(&r);
    rig_open(&r, ALL_BUT_TOP_K);
    CHECK(r.kit.engine->model.best_tokens != SY_NO_VALUE && !r.kit.engine->chooses);
    sy_session *session = rig_session(&r);
    CHECK(memcmp(generate(&r, session, NULL), wanted, sizeof(wanted)) == 0);
    CHECK(has_brought_logits(&r) && runs_of_choice(r.kit.engine) == 0);
    sy_session_close(session);
    rig_close(&r);
    rig_init(&r);
    rig_open(&r, "[trust]\nplugins = none-of-them");
    CHECK(r.kit.engine->model.best_tokens == SY_NO_VALUE && !r.kit.engine->chooses);
    rig_close(&r);
}

/* A step may want nothing but what the graph calls an output, and is not begun otherwise. */
static void other_values_are_refused(void) {
    rig r;
    rig_init(&r);
    rig_open(&r, ONE);
    sy_session *session = rig_session(&r);
    const sy_engine *engine = r.kit.engine;
    const sy_step_sequence sequence = {
        .states = session->states, .n_tokens = 1, .n_past = session->n_tokens};
    const sy_step step = {.struct_bytes = sizeof(step),
                          .i_phase = SY_ENGINE_DECODE,
                          .n_sequences = 1,
                          .sequences = &sequence,
                          .outputs = &engine->model.tokens,
                          .n_outputs = 1};
    CHECK(sy_executor_step(engine->executor, &step, &r.kit.error) == SY_INVALID_ARGUMENT);
    CHECK(strstr(r.kit.error.message, "no output") != NULL);
    sy_session_close(session);
    rig_close(&r);
}

#define N_REQUESTS 3u

/* Requests with one prompt, that of `i_sampled` with a temperature; tokens of each. */
static void schedule(uint32_t i_sampled, int32_t tokens[N_REQUESTS][N_TOKENS]) {
    rig r;
    rig_init(&r);
    rig_open(&r, ONE);
    sy_error *error = &r.kit.error;
    sy_scheduler *scheduler = NULL;
    sy_sampler *sampler = NULL;
    sy_sampler_options sampling;
    sy_sampler_options_default(&sampling);
    sampling.temperature = 1.5f;
    uint32_t n = r.kit.engine->info.n_vocabulary;
    CHECK_OK_ERROR(sy_sampler_create(NULL, n, &sampling, &sampler, error), *error);
    CHECK_OK_ERROR(sy_scheduler_create(r.kit.engine, NULL, &scheduler, error), *error);
    sy_session *sessions[N_REQUESTS];
    for (uint32_t i = 0; i < N_REQUESTS; i++) {
        uint64_t id = 0;
        CHECK_OK_ERROR(sy_session_open(r.kit.engine, 0, &sessions[i], error), *error);
        const sy_request_options request = {.struct_bytes = sizeof(request),
                                            .session = sessions[i],
                                            .tokens = rig_prompt,
                                            .n_tokens = RIG_PROMPT,
                                            .sampler = i == i_sampled ? sampler : NULL,
                                            .n_tokens_max = N_TOKENS,
                                            .ignore_end = 1};
        CHECK_OK_ERROR(sy_scheduler_submit(scheduler, &request, &id, error), *error);
    }
    CHECK_OK_ERROR(sy_scheduler_run(scheduler, error), *error);
    for (uint32_t i = 0; i < N_REQUESTS; i++) {
        CHECK(sessions[i]->n_tokens == RIG_PROMPT + N_TOKENS);
        memcpy(tokens[i], &sessions[i]->tokens[RIG_PROMPT], sizeof(tokens[i]));
        sy_session_close(sessions[i]);
    }
    CHECK(i_sampled < N_REQUESTS || !has_brought_logits(&r));
    sy_scheduler_destroy(scheduler);
    sy_sampler_destroy(sampler);
    rig_close(&r);
}

static void requests_together_choose(void) {
    int32_t tokens[N_REQUESTS][N_TOKENS];
    rig_reference(N_TOKENS, wanted);
    schedule(N_REQUESTS, tokens);
    for (uint32_t i = 0; i < N_REQUESTS; i++) {
        CHECK(memcmp(tokens[i], wanted, sizeof(wanted)) == 0);
    }
    schedule(1, tokens); /* one that wants logits: all get them */
    CHECK(memcmp(tokens[0], wanted, sizeof(wanted)) == 0);
    CHECK(memcmp(tokens[2], wanted, sizeof(wanted)) == 0);
    CHECK(memcmp(tokens[1], wanted, sizeof(wanted)) != 0);
}

/* Jobs of the fake NPU that the prompt takes. */
static uint32_t jobs_of_prompt(void) {
    rig r;
    rig_init(&r);
    rig_open(&r, ONE);
    sy_session_close(rig_session(&r));
    const sy_engine *engine = r.kit.engine;
    uint32_t n_jobs = 0, npu = rig_delegate(&r, "fake-npu");
    for (uint32_t p = 0; p < sy_plan_n_phases(engine->plan); p++) {
        for (uint32_t s = 0; s < sy_plan_n_segments(engine->plan, p); s++) {
            sy_segment_stats stats;
            sy_executor_stats(engine->executor, p, s, &stats);
            bool is_npu = sy_plan_segment_at(engine->plan, p, s)->i_delegate == npu;
            n_jobs += is_npu ? (uint32_t)stats.n_runs : 0;
        }
    }
    rig_close(&r);
    return n_jobs;
}

/* Where a logit is NaN the row is looked at, and the step repeated for it. */
static void nan_is_not_chosen(void) {
    uint32_t n_before = jobs_of_prompt();
    CHECK(n_before > 0);
    rig_reference(N_TOKENS, wanted);
    for (uint32_t k = n_before + 1; k < n_before + 20; k += 3) {
        rig r;
        char ini[128];
        snprintf(ini, sizeof(ini), ONE "fault = garbage@%u", k);
        rig_init(&r);
        r.options.failover.watch.guard = SY_GUARD_OFF;
        rig_open(&r, ini);
        CHECK(r.kit.engine->chooses);
        sy_session *session = rig_session(&r);
        CHECK_TEXT(memcmp(generate(&r, session, NULL), wanted, sizeof(wanted)) == 0, "%s", ini);
        sy_session_close(session);
        rig_close(&r);
    }
}

static void devices_may_fail_meanwhile(void) {
    rig_reference(N_TOKENS, wanted);
    for (uint32_t k = 2; k < 40; k += 5) {
        rig r;
        char ini[128];
        snprintf(ini, sizeof(ini), ONE "lose_at = %u", k);
        rig_init(&r);
        rig_open(&r, ini);
        sy_session *session = rig_session(&r);
        CHECK_TEXT(memcmp(generate(&r, session, NULL), wanted, sizeof(wanted)) == 0, "%s", ini);
        CHECK(sy_engine_n_failovers(r.kit.engine) == 0 || !r.kit.engine->chooses);
        sy_session_close(session);
        rig_close(&r);
    }
}

static const sy_test_case cases[] = {
    {"device_chooses_the_same", device_chooses_the_same},
    {"logits_are_there_when_asked", logits_are_there_when_asked},
    {"a_text_that_ends_goes_on", a_text_that_ends_goes_on},
    {"samplers_read_logits", samplers_read_logits},
    {"only_where_the_logits_are", only_where_the_logits_are},
    {"other_values_are_refused", other_values_are_refused},
    {"requests_together_choose", requests_together_choose},
    {"nan_is_not_chosen", nan_is_not_chosen},
    {"devices_may_fail_meanwhile", devices_may_fail_meanwhile},
};
SY_TEST_MAIN(cases)
