/* SPDX-License-Identifier: Apache-2.0 */
/* Continuations scored together: the numbers of each alone, whatever the engine's limits. */
#include "e2e/engine_model.h"
#include "switchyard/score.h"

#define N_TARGETS 9u
#define N_MOST 12u

static const int32_t prompt[10] = {1, 5, 9, 13, 2, 7, 19, 4, 4, 11};

typedef struct crowd {
    int32_t tokens[N_TARGETS][N_MOST];
    sy_score_target targets[N_TARGETS];
    double sums[N_TARGETS], each[N_TARGETS][N_MOST];
    double *out_each[N_TARGETS];
} crowd;

/* Targets of 0 to 11 tokens. */
static void fill(crowd *c) {
    memset(c, 0, sizeof(*c));
    for (uint32_t i = 0; i < N_TARGETS; i++) {
        for (uint32_t k = 0; k < N_MOST; k++) {
            c->tokens[i][k] = (int32_t)((i * 7 + k * k + 3) % TINY_VOCAB);
        }
        c->targets[i] = (sy_score_target){.tokens = c->tokens[i], .n_tokens = i * 5 % 12};
        c->out_each[i] = i != 4 ? c->each[i] : NULL;
    }
}

static void open_kit(engine_kit *kit, uint32_t n_output_rows, uint32_t n_sequences,
                     uint64_t budget_bytes) {
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.n_output_rows = n_output_rows;
    options.n_sequences = n_sequences;
    options.budget_bytes = budget_bytes;
    CHECK_OK_ERROR(engine_kit_open(kit, NULL, 2, built_plugins(), &options), kit->error);
}

static sy_session *open_session(engine_kit *kit) {
    sy_session *session = NULL;
    CHECK_OK_ERROR(sy_session_open(kit->engine, 60, &session, &kit->error), kit->error);
    CHECK_OK_ERROR(sy_session_prefill(session, prompt, 10, &kit->error), kit->error);
    return session;
}

/* By forcing one token after the other. */
static void score_plainly(engine_kit *kit, sy_session *session, crowd *c) {
    for (uint32_t i = 0; i < N_TARGETS; i++) {
        for (uint32_t k = 0; k < c->targets[i].n_tokens; k++) {
            const float *logits = NULL;
            double total = 0;
            CHECK_OK_ERROR(sy_session_logits(session, &logits, &kit->error), kit->error);
            for (uint32_t v = 0; v < TINY_VOCAB; v++) {
                total += exp((double)logits[v] - (double)logits[c->tokens[i][k]]);
            }
            c->each[i][k] = -log(total);
            c->sums[i] -= log(total);
            CHECK_OK(sy_session_prefill(session, &c->tokens[i][k], 1, &kit->error));
        }
        CHECK_OK_ERROR(sy_session_rewind(session, 10, &kit->error), kit->error);
    }
}

static void check_scores(engine_kit *kit, sy_session *session, const crowd *wanted) {
    static crowd c;
    const float *logits = NULL;
    float before[TINY_VOCAB];
    uint32_t n_tokens = 0;
    fill(&c);
    CHECK_OK(sy_session_logits(session, &logits, &kit->error));
    memcpy(before, logits, sizeof(before));
    CHECK_OK_ERROR(
        sy_session_score_targets(session, c.targets, N_TARGETS, c.out_each, c.sums, &kit->error),
        kit->error);
    for (uint32_t i = 0; i < N_TARGETS; i++) {
        CHECK_TEXT(fabs(c.sums[i] - wanted->sums[i]) < 1e-9 && c.sums[i] <= 0, "%u: %g %g", i,
                   c.sums[i], wanted->sums[i]);
        for (uint32_t k = 0; i != 4 && k < c.targets[i].n_tokens; k++) {
            CHECK(fabs(c.each[i][k] - wanted->each[i][k]) < 1e-9);
        }
    }
    sy_session_tokens(session, &n_tokens); /* and the session stands where it stood */
    CHECK(n_tokens == 10);
    CHECK_OK(sy_session_rewind(session, 9, &kit->error));
    CHECK_OK(sy_session_prefill(session, prompt + 9, 1, &kit->error));
    CHECK_OK(sy_session_logits(session, &logits, &kit->error));
    CHECK(memcmp(before, logits, sizeof(before)) == 0);
}

static void together_as_each_alone(void) {
    static const uint32_t limits[][2] = {{16, 1}, {16, 4}, {3, 8}, {1, 2}, {64, 16}};
    static crowd wanted;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        engine_kit kit;
        open_kit(&kit, limits[i][0], limits[i][1], 0);
        sy_session *session = open_session(&kit);
        fill(&wanted);
        score_plainly(&kit, session, &wanted);
        check_scores(&kit, session, &wanted);
        check_scores(&kit, session, &wanted);
        sy_session_close(session);
        engine_kit_close(&kit);
    }
}

/* From the first budget that lets the session in: no clone fits, then one, then more. */
static void a_tight_budget_takes_fewer_lanes(void) {
    static crowd wanted;
    engine_kit kit;
    open_kit(&kit, 16, 8, 0);
    sy_session *session = open_session(&kit);
    fill(&wanted);
    score_plainly(&kit, session, &wanted);
    sy_session_close(session);
    engine_kit_close(&kit);
    uint32_t n_fitting = 0;
    for (uint64_t budget = 64 << 10; n_fitting < 8; budget += 12 << 10) {
        sy_engine_options options;
        sy_engine_options_default(&options);
        options.n_sequences = 8;
        options.budget_bytes = budget;
        CHECK(budget < 64 << 20);
        sy_status status = engine_kit_open(&kit, NULL, 2, built_plugins(), &options);
        session = NULL;
        if (status == SY_OK) {
            status = sy_session_open(kit.engine, 60, &session, &kit.error);
        }
        if (status == SY_OK) {
            n_fitting++;
            CHECK_OK_ERROR(sy_session_prefill(session, prompt, 10, &kit.error), kit.error);
            check_scores(&kit, session, &wanted);
        }
        sy_session_close(session);
        engine_kit_close(&kit);
    }
}

static void bad_targets_are_refused(void) {
    static crowd c;
    engine_kit kit;
    sy_session *session = NULL;
    open_kit(&kit, 16, 4, 0);
    fill(&c);
    CHECK_OK(sy_session_open(kit.engine, 20, &session, &kit.error));
    CHECK(sy_session_score_targets(session, c.targets, N_TARGETS, NULL, c.sums, &kit.error) ==
          SY_FAILED_PRECONDITION);
    CHECK_OK(sy_session_prefill(session, prompt, 10, &kit.error));
    CHECK(sy_session_score_targets(session, c.targets, N_TARGETS, NULL, c.sums, &kit.error) ==
          SY_OUT_OF_RANGE);
    c.tokens[1][2] = TINY_VOCAB;
    CHECK(sy_session_score_targets(session, c.targets, 2, NULL, c.sums, &kit.error) ==
          SY_OUT_OF_RANGE);
    CHECK_OK(sy_session_score_targets(session, c.targets, 1, NULL, c.sums, &kit.error));
    CHECK(c.sums[0] == 0);
    CHECK_OK(sy_session_score_targets(session, NULL, 0, NULL, NULL, &kit.error));
    sy_session_close(session);
    engine_kit_close(&kit);
}

static const sy_test_case cases[] = {
    {"together_as_each_alone", together_as_each_alone},
    {"a_tight_budget_takes_fewer_lanes", a_tight_budget_takes_fewer_lanes},
    {"bad_targets_are_refused", bad_targets_are_refused},
};
SY_TEST_MAIN(cases)
