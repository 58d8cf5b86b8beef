/* SPDX-License-Identifier: Apache-2.0 */
/* The rig of failover tests over a GPU delegate, whose name is GPU_PLUGIN. */
#ifndef SY_TESTS_GPU_RIG_H
#define SY_TESTS_GPU_RIG_H

#include "e2e/failover_rig.h"

/* INI text: the delegate, beside others that may be named, with faults ("": none). */
static inline const char *gpu_ini(const char *others, const char *faults, const char *more) {
    static char text[1024];
    int n = snprintf(
        text, sizeof(text), "[trust]\nplugins = %s%s\n%s\n[delegate %s]\nsoftware = on\n%s%s\n",
        GPU_PLUGIN, others, more, GPU_PLUGIN, faults[0] != '\0' ? "fault = " : "", faults);
    CHECK(n > 0 && (size_t)n < sizeof(text));
    return text;
}

/* Before rig_open. What is compiled stays in the build folder: pipelines are made once, not for
 * each engine. No watchdog: these devices share the CPU with all that runs here. */
static inline void gpu_rig_init(rig *r) {
    static char faulty[512], blobs[512];
    rig_init(r);
    r->order = "gpu, cpu";
    r->options.failover.watch.hang_floor_ms = 0;
    r->directories[0] = rig_folder("fault-plugins", &faulty);
    r->directories[1] = built_plugins();
    snprintf(blobs, sizeof(blobs), "%s/gpu-blobs", getenv("SY_BUILD_DIR"));
    r->blobs = blobs;
}

/* For tests that let memory run out: what was refused is asked for once more. */
static bool gpu_rig_is_refused;
static uint32_t gpu_rig_n_refused;

static inline bool gpu_rig_again(sy_status status) {
    bool is_again = gpu_rig_is_refused && SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED;
    gpu_rig_n_refused += is_again;
    return is_again;
}

/* Skips where the machine has no device for the delegate; where it has, the plan must use it. */
static inline void gpu_rig_open(rig *r, const char *ini) {
    engine_kit *kit = &r->kit;
    rig_start(r, ini);
    uint32_t n = sy_runtime_n_delegates(kit->runtime), i = 0, n_used = 0;
    while (i < n && strcmp(sy_runtime_delegate(kit->runtime, i)->name, GPU_PLUGIN) != 0) {
        i++;
    }
    if (i == n) {
        SKIP("%s has no device here", GPU_PLUGIN);
    }
    const char *model = engine_model();
    sy_status status =
        sy_engine_create(kit->runtime, model, &r->options, &kit->engine, &kit->error);
    if (gpu_rig_again(status)) {
        status = sy_engine_create(kit->runtime, model, &r->options, &kit->engine, &kit->error);
    }
    CHECK_OK_ERROR(status, kit->error);
    const sy_plan *plan = sy_engine_plan(r->kit.engine);
    for (uint32_t s = 0; s < sy_plan_n_segments(plan, SY_ENGINE_DECODE); s++) {
        n_used += sy_plan_segment_at(plan, SY_ENGINE_DECODE, s)->i_delegate == i;
    }
    CHECK_TEXT(n_used > 0, "the plan does without %s", GPU_PLUGIN);
}

/* Nobody waits before a device is tried again, and none is ever out. */
static inline void gpu_rig_returns(rig *r) {
    r->quarantine.backoff_ms = r->quarantine.backoff_most_ms = 0;
    r->quarantine.n_failures_most = 0;
    r->quarantine.n_probation_steps = 2;
}

/* A file that was trained, from the shared data, is the model; without it the random one is. */
static inline void gpu_rig_stories(const char *name) {
    static char path[512];
    const char *shared = sy_test_shared_dir();
    snprintf(path, sizeof(path), "%s/data/models/stories260k/%s", shared != NULL ? shared : "",
             name);
    engine_model_instead = shared != NULL && access(path, R_OK) == 0 ? path : NULL;
}

/* The greedy tokens after the prompt, and those that are drawn with a seed. */
typedef struct gpu_text {
    int32_t greedy[RIG_TOKENS], drawn[RIG_TOKENS];
} gpu_text;

static inline sy_session *gpu_rig_session(rig *r) {
    sy_session *session = NULL;
    sy_error *error = &r->kit.error;
    sy_status status = sy_session_open(r->kit.engine, 0, &session, error);
    if (gpu_rig_again(status)) {
        status = sy_session_open(r->kit.engine, 0, &session, error);
    }
    CHECK_OK_ERROR(status, *error);
    CHECK_OK_ERROR(sy_session_prefill(session, rig_prompt, RIG_PROMPT, error), *error);
    return session;
}

static inline sy_sampler *gpu_rig_sampler(rig *r) {
    sy_sampler *sampler = NULL;
    sy_sampler_options options;
    sy_sampler_options_default(&options);
    options.temperature = 0.9f;
    options.top_p = 0.95f;
    options.seed = 20;
    uint32_t n = sy_engine_info(r->kit.engine)->n_vocabulary;
    CHECK_OK_ERROR(sy_sampler_create(NULL, n, &options, &sampler, &r->kit.error), r->kit.error);
    return sampler;
}

/* Both in each step: one session greedy, the other with a sampler. */
static inline void gpu_rig_write_both(rig *r, gpu_text *out) {
    sy_session *const sessions[2] = {gpu_rig_session(r), gpu_rig_session(r)};
    sy_sampler *const samplers[2] = {NULL, gpu_rig_sampler(r)};
    for (uint32_t i = 0; i < RIG_TOKENS; i++) {
        int32_t tokens[2];
        sy_status status = sy_session_decode_together(sessions, 2, samplers, tokens, &r->kit.error);
        CHECK_OK_ERROR(status, r->kit.error);
        out->greedy[i] = tokens[0];
        out->drawn[i] = tokens[1];
    }
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t n = 0;
        sy_session_tokens(sessions[i], &n);
        CHECK(n == RIG_PROMPT + RIG_TOKENS);
        sy_session_close(sessions[i]);
    }
    sy_sampler_destroy(samplers[1]);
}

/* The greedy one alone: where the device chooses the token, it alone comes to the host. */
static inline void gpu_rig_write(rig *r, gpu_text *out) {
    sy_session *session = gpu_rig_session(r);
    rig_generate(r, session, RIG_TOKENS, out->greedy);
    sy_session_close(session);
}

static inline void gpu_rig_reference(gpu_text *out) {
    rig r;
    rig_init(&r);
    rig_open(&r, RIG_NOBODY);
    gpu_rig_write_both(&r, out);
    rig_close(&r);
}

static inline void gpu_check_text(const gpu_text *found, const gpu_text *wanted, bool both,
                                  const char *what) {
    for (uint32_t i = 0; i < RIG_TOKENS; i++) {
        CHECK_TEXT(found->greedy[i] == wanted->greedy[i], "%s: greedy token %u", what, i);
        CHECK_TEXT(!both || found->drawn[i] == wanted->drawn[i], "%s: drawn token %u", what, i);
    }
}

#endif
