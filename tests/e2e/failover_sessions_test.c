/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of every kind over a delegate that is lost at any job, and at any call on states: what
 * they do is what they would have done. */
#include "e2e/failover_rig.h"
#include "lora/adapter_file.h"
#include "switchyard/scheduler.h"
#include "switchyard/score.h"
#include "switchyard/speculate.h"

#define TRACE_MAX 400u

/* All that a script saw, in order. */
typedef struct trace {
    int32_t tokens[TRACE_MAX];
    uint32_t n_tokens;
    double sums[4];
} trace;

typedef void (*script)(rig *r, trace *out);

static void note_tokens(trace *out, sy_session *session) {
    uint32_t n = 0;
    const int32_t *tokens = sy_session_tokens(session, &n);
    CHECK(out->n_tokens + n <= TRACE_MAX);
    memcpy(&out->tokens[out->n_tokens], tokens, n * sizeof(int32_t));
    out->n_tokens += n;
}

static uint64_t play(script play_script, void (*set_up)(rig *r), const char *ini, trace *out) {
    rig r;
    rig_init(&r);
    if (set_up != NULL) {
        set_up(&r);
    }
    memset(out, 0, sizeof(*out));
    rig_open(&r, ini);
    play_script(&r, out);
    uint64_t n_events = sy_engine_n_failovers(r.kit.engine);
    rig_close(&r);
    return n_events;
}

/* The script without any NPU, then with one that is lost at the k-th job or call on states. */
static void same_under_any_loss(script play_script, void (*set_up)(rig *r), const char *option,
                                uint32_t stride) {
    trace wanted, found;
    CHECK(play(play_script, set_up, RIG_NOBODY, &wanted) == 0);
    CHECK(wanted.n_tokens > 0);
    uint64_t n_events = 1;
    uint32_t n_lost = 0;
    for (uint32_t k = 1; n_events > 0; k += stride) {
        char ini[160];
        snprintf(ini, sizeof(ini), "[trust]\nplugins = fake-npu\n[delegate fake-npu]\n%s = %u",
                 option, k);
        n_events = play(play_script, set_up, ini, &found);
        n_lost += n_events > 0;
        CHECK_TEXT(found.n_tokens == wanted.n_tokens &&
                       memcmp(found.tokens, wanted.tokens, sizeof(found.tokens)) == 0,
                   "%s = %u", option, k);
        for (size_t i = 0; i < 4; i++) {
            CHECK_TEXT(fabs(found.sums[i] - wanted.sums[i]) < 1e-3, "%s = %u: %g, not %g", option,
                       k, found.sums[i], wanted.sums[i]);
        }
    }
    CHECK_TEXT(n_lost > 10 / stride, "%u losses", n_lost);
}

static void mirror(rig *r) {
    r->options.failover.copy_every_tokens = 1;
}

static void checkpoint(rig *r) {
    r->options.failover.copy_every_tokens = 6;
}

static void any_loss(script play_script, void (*set_up)(rig *r), uint32_t stride) {
    same_under_any_loss(play_script, set_up, "lose_at", stride);
    same_under_any_loss(play_script, set_up, "lose_at_state", stride);
}

static void verbs(rig *r, trace *out) {
    char path[] = "/tmp/switchyard-session-XXXXXX";
    sy_error *error = &r->kit.error;
    sy_session *session = rig_session(r), *copy = NULL, *loaded = NULL;
    const sy_token_range range = {3, 4};
    int32_t tokens[8];
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    rig_generate(r, session, 5, tokens);
    CHECK_OK_ERROR(sy_session_clone(session, &copy, error), *error);
    rig_generate(r, copy, 4, tokens);
    CHECK_OK_ERROR(sy_session_save(session, path, error), *error);
    rig_generate(r, session, 4, tokens);
    CHECK_OK_ERROR(sy_session_load(r->kit.engine, path, 0, &loaded, error), *error);
    CHECK_OK_ERROR(sy_session_rewind(copy, RIG_PROMPT + 1, error), *error);
    rig_generate(r, copy, 6, tokens);
    CHECK_OK_ERROR(sy_session_drop(session, &range, 1, error), *error);
    sy_session *const both[2] = {session, loaded};
    sy_sampler *const none[2] = {NULL, NULL};
    for (uint32_t i = 0; i < 5; i++) {
        CHECK_OK_ERROR(sy_session_decode_together(both, 2, none, tokens, error), *error);
    }
    note_tokens(out, session);
    note_tokens(out, copy);
    note_tokens(out, loaded);
    sy_session_close(session);
    sy_session_close(copy);
    sy_session_close(loaded);
    unlink(path);
}

static void clone_save_load_rewind_drop(void) {
    any_loss(verbs, mirror, 1);
    /* rows that were moved down have seen what went; recomputed they have not */
    same_under_any_loss(verbs, checkpoint, "lose_at_state", 500);
}

static void scored(rig *r, trace *out) {
    static const int32_t tails[3][20] = {{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8},
                                         {2, 7, 1, 8, 2, 8},
                                         {1, 6, 1, 8, 0, 3, 3, 9, 8, 8, 7, 4, 9, 8}};
    static const sy_score_target targets[3] = {{tails[0], 19}, {tails[1], 6}, {tails[2], 14}};
    int32_t tokens[4];
    sy_session *session = rig_session(r);
    sy_status status =
        sy_session_score_targets(session, targets, 3, NULL, out->sums, &r->kit.error);
    CHECK_OK_ERROR(status, r->kit.error);
    CHECK_OK_ERROR(sy_session_score(session, tails[0], 19, NULL, &out->sums[3], &r->kit.error),
                   r->kit.error);
    rig_generate(r, session, 4, tokens);
    note_tokens(out, session);
    sy_session_close(session);
}

static void scores_begin_again(void) {
    any_loss(scored, NULL, 1);
}

#define N_REQUESTS 5u

/* Requests of different lengths, one of them with guesses, prompts beside tokens. */
static void scheduled(rig *r, trace *out) {
    sy_error *error = &r->kit.error;
    sy_scheduler *scheduler = NULL;
    sy_session *sessions[N_REQUESTS];
    sy_speculator *speculator = NULL;
    sy_speculator_options guessing;
    int32_t prompts[N_REQUESTS][24];
    sy_speculator_options_default(&guessing);
    guessing.always = 1;
    CHECK_OK_ERROR(sy_speculator_create(r->kit.engine, &guessing, &speculator, error), *error);
    CHECK_OK_ERROR(sy_scheduler_create(r->kit.engine, NULL, &scheduler, error), *error);
    for (uint32_t i = 0; i < N_REQUESTS; i++) {
        uint64_t id = 0;
        for (uint32_t k = 0; k < 24; k++) {
            prompts[i][k] = (int32_t)((i + 3 * (k % 5)) % TINY_VOCAB);
        }
        CHECK_OK_ERROR(sy_session_open(r->kit.engine, 60, &sessions[i], error), *error);
        const sy_request_options request = {.struct_bytes = sizeof(request),
                                            .session = sessions[i],
                                            .tokens = prompts[i],
                                            .n_tokens = 4 + 5 * i,
                                            .n_tokens_max = 20,
                                            .ignore_end = 1,
                                            .speculator = i == 2 ? speculator : NULL};
        CHECK_OK_ERROR(sy_scheduler_submit(scheduler, &request, &id, error), *error);
    }
    uint32_t n_left = 1;
    while (n_left > 0) {
        CHECK_OK_ERROR(sy_scheduler_run_step(scheduler, &n_left, error), *error);
    }
    for (uint32_t i = 0; i < N_REQUESTS; i++) {
        uint32_t n = 0;
        sy_session_tokens(sessions[i], &n);
        CHECK(n == 4 + 5 * i + 20);
        note_tokens(out, sessions[i]);
        sy_session_close(sessions[i]);
    }
    sy_scheduler_destroy(scheduler);
    sy_speculator_destroy(speculator);
}

static void prefixes(rig *r) {
    r->options.prefix_bytes = 1 << 20;
}

static void many_sessions_in_a_step(void) {
    any_loss(scheduled, NULL, 2);
    any_loss(scheduled, mirror, 9);
    any_loss(scheduled, prefixes, 9);
}

/* A session that slides behind its sinks, twice. */
static void slid(rig *r, trace *out) {
    const sy_limit_options limit = {
        .struct_bytes = sizeof(limit), .at_limit = SY_AT_LIMIT_SLIDE, .n_sink_tokens = 2};
    sy_session *session = NULL;
    int32_t tokens[60];
    CHECK_OK_ERROR(sy_session_open(r->kit.engine, 32, &session, &r->kit.error), r->kit.error);
    CHECK_OK_ERROR(sy_session_set_limit(session, &limit, &r->kit.error), r->kit.error);
    CHECK_OK_ERROR(sy_session_prefill(session, rig_prompt, RIG_PROMPT, &r->kit.error),
                   r->kit.error);
    rig_generate(r, session, 50, tokens);
    memcpy(out->tokens, tokens, 50 * sizeof(int32_t));
    out->n_tokens = 50;
    sy_session_close(session);
}

static void slid_sessions_keep_what_they_saw(void) {
    trace found;
    same_under_any_loss(slid, mirror, "lose_at", 3);
    /* recomputed, the tokens that stayed are a prompt: the stream goes on, in its own way */
    CHECK(play(slid, NULL, "[trust]\nplugins = fake-npu\n[delegate fake-npu]\nlose_at = 90",
               &found) == 1);
    CHECK(found.n_tokens == 50);
}

static void generated(rig *r, trace *out) {
    int32_t tokens[40];
    sy_session *session = rig_session(r);
    rig_generate(r, session, 40, tokens);
    note_tokens(out, session);
    CHECK_OK_ERROR(sy_session_rewind(session, RIG_PROMPT + 3, &r->kit.error), r->kit.error);
    rig_generate(r, session, 5, tokens);
    note_tokens(out, session);
    sy_session_close(session);
}

static void layers_with_windows(void) {
    engine_model_window = 9;
    engine_model_make("gemma3", 2, TINY_HEADS);
    same_under_any_loss(generated, NULL, "lose_at", 5);
    same_under_any_loss(generated, mirror, "lose_at", 2);
    same_under_any_loss(generated, checkpoint, "lose_at", 5);
}

static const char *adapter_path;

static void room_for_adapters(rig *r) {
    r->options.n_adapters = 1;
    r->options.adapter_rank = 4;
    r->options.failover.copy_every_tokens = 1;
}

/* Two sessions in a step, one of them with an adapter. */
static void adapted(rig *r, trace *out) {
    sy_error *error = &r->kit.error;
    sy_adapter *adapter = NULL;
    sy_session *sessions[2];
    sy_sampler *const none[2] = {NULL, NULL};
    int32_t tokens[2];
    CHECK_OK_ERROR(sy_adapter_load(r->kit.engine, adapter_path, &adapter, error), *error);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK_OK_ERROR(sy_session_open(r->kit.engine, 0, &sessions[i], error), *error);
        sy_status status =
            i == 0 ? sy_session_set_adapter(sessions[i], adapter, 1.0f, error) : SY_OK;
        CHECK_OK_ERROR(status, *error);
        CHECK_OK_ERROR(sy_session_prefill(sessions[i], rig_prompt, RIG_PROMPT, error), *error);
    }
    for (uint32_t i = 0; i < 20; i++) {
        CHECK_OK_ERROR(sy_session_decode_together(sessions, 2, none, tokens, error), *error);
    }
    for (uint32_t i = 0; i < 2; i++) {
        note_tokens(out, sessions[i]);
        sy_session_close(sessions[i]);
    }
    CHECK_OK_ERROR(sy_adapter_unload(adapter, error), *error);
}

static void adapters_move_with_their_sessions(void) {
    trace with;
    adapter_path = adapter_good(3, 4, SY_TYPE_F32);
    CHECK(play(adapted, room_for_adapters, RIG_NOBODY, &with) == 0);
    CHECK(memcmp(with.tokens, with.tokens + with.n_tokens / 2, sizeof(int32_t) * 30) != 0);
    any_loss(adapted, room_for_adapters, 3);
}

static void trained(rig *r) {
    r->options.n_batch_tokens = 16;
}

/* A model that was trained, from the shared data. */
static void a_trained_model(void) {
    static char path[512];
    const char *shared = sy_test_shared_dir();
    snprintf(path, sizeof(path), "%s/data/models/stories260k/stories260K-f32.gguf",
             shared != NULL ? shared : "");
    if (shared == NULL || access(path, R_OK) != 0) {
        SKIP("no shared data");
    }
    engine_model_instead = path;
    same_under_any_loss(generated, trained, "lose_at", 4);
    same_under_any_loss(generated, mirror, "lose_at", 11);
}

static const sy_test_case cases[] = {
    {"clone_save_load_rewind_drop", clone_save_load_rewind_drop},
    {"scores_begin_again", scores_begin_again},
    {"many_sessions_in_a_step", many_sessions_in_a_step},
    {"slid_sessions_keep_what_they_saw", slid_sessions_keep_what_they_saw},
    {"layers_with_windows", layers_with_windows},
    {"adapters_move_with_their_sessions", adapters_move_with_their_sessions},
    {"a_trained_model", a_trained_model},
};
SY_TEST_MAIN(cases)
