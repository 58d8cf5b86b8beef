/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GPU delegates that fail under a generation, greedy and drawn with a seed: no token is lost and
 * none repeated, and the text is the undisturbed one. The test builds of the delegates fail on
 * request (plugins/gpu/src/faults.h).
 *
 * What "undisturbed" means: the reference delegate's text where it goes on, which the devices'
 * equals to the rounding of sums. cpu-xnnpack rounds activations to 8 bits where weights are
 * blocks, so that its text is its own: there the text must be the device's up to the loss, and
 * from there on, token by token, what cpu-xnnpack makes of the same tokens or rows.
 */
#include "gpu/gpu_rig.h"

static gpu_text wanted;

static uint32_t n_lost, n_back, n_others;

static void count_events(void *user, const sy_failover_event *event) {
    (void)user;
    CHECK(strcmp(event->delegate, GPU_PLUGIN) == 0);
    n_lost += event->failure == SY_FAILURE_LOST;
    n_back += event->failure == SY_FAILURE_NONE;
    n_others += event->failure != SY_FAILURE_LOST && event->failure != SY_FAILURE_NONE;
}

static void init(rig *r) {
    gpu_rig_init(r);
    r->options.on_failover = count_events;
    n_lost = n_back = n_others = 0;
}

/* What the API tells is what the log and the callback were told. */
static void check_told(rig *r) {
    CHECK(sy_engine_n_failovers(r->kit.engine) == n_lost + n_back + n_others);
    CHECK(r->n_told_failovers == n_lost + n_others && r->n_told_returns == n_back);
}

static void undisturbed_is_equal(void) {
    gpu_rig_stories("stories260K-f32.gguf");
    gpu_rig_reference(&wanted);
    for (uint32_t every = 0; every < 3; every++) {
        gpu_text found;
        rig r;
        init(&r);
        r.options.failover.copy_every_tokens = every * every;
        gpu_rig_open(&r, gpu_ini("", "", ""));
        gpu_rig_write(&r, &found);
        gpu_check_text(&found, &wanted, false, "undisturbed, alone");
        gpu_rig_write_both(&r, &found);
        gpu_check_text(&found, &wanted, true, "undisturbed");
        CHECK(sy_engine_n_failovers(r.kit.engine) == 0);
        check_told(&r);
        rig_close(&r);
    }
}

/* How the rows of n_tokens come back after a loss. */
static void check_rows(const sy_failover_event *event, uint32_t copy_every_tokens) {
    uint32_t n_again = event->n_recomputed_tokens;
    if (copy_every_tokens == 0 || event->n_tokens == 0) {
        CHECK(n_again == event->n_tokens || n_again + 1 == event->n_tokens);
    } else if (copy_every_tokens == 1) {
        CHECK(n_again == 0 && event->restore == SY_RESTORE_COPIED);
    } else {
        CHECK(n_again < copy_every_tokens + 8);
    }
}

/* One loss at job k, on a device that made all rows so far, and nobody comes back. */
static void lost_once(void) {
    static const uint32_t policies[] = {0, 1, 10};
    bool goes_on = true;
    uint32_t k = 1;
    gpu_rig_stories("stories260K-f32.gguf");
    gpu_rig_reference(&wanted);
    for (uint32_t i = 0; goes_on; i++, k += k < 8 ? 1 : 4) {
        char fault[32];
        gpu_text found;
        rig r;
        bool both = i / 3 % 2 != 0;
        init(&r);
        r.options.failover.copy_every_tokens = policies[i % 3];
        snprintf(fault, sizeof(fault), "lose@%u", k);
        gpu_rig_open(&r, gpu_ini("", fault, ""));
        (both ? gpu_rig_write_both : gpu_rig_write)(&r, &found);
        gpu_check_text(&found, &wanted, both, fault);
        check_told(&r);
        goes_on = n_lost > 0;
        CHECK_TEXT(n_back + n_others == 0, "%s: %u returns, %u other failures", fault, n_back,
                   n_others);
        if (goes_on) {
            sy_failover_event event = rig_event(&r, 0);
            CHECK(n_lost == 1);
            CHECK(strstr(event.reason, "lost") != NULL && event.total_ns > 0);
            if (!both) {
                check_rows(&event, r.options.failover.copy_every_tokens);
            }
            CHECK(rig_record(&r, GPU_PLUGIN).condition == SY_CONDITION_QUARANTINED);
        }
        rig_close(&r);
    }
    CHECK_TEXT(k > RIG_TOKENS, "the last loss was before job %u", k);
}

/* The device is lost at every n-th job and comes back each time, in one engine. */
static void lose_often(const char *ini_more, uint32_t n, uint32_t copy_every_tokens, bool both,
                       uint32_t n_least) {
    char fault[32];
    gpu_text found;
    rig r;
    init(&r);
    gpu_rig_returns(&r);
    r.options.failover.copy_every_tokens = copy_every_tokens;
    snprintf(fault, sizeof(fault), "lose@%u", n);
    gpu_rig_open(&r, gpu_ini("", fault, ini_more));
    (both ? gpu_rig_write_both : gpu_rig_write)(&r, &found);
    gpu_check_text(&found, &wanted, both, fault);
    check_told(&r);
    CHECK_TEXT(n_lost >= n_least && n_others == 0, "%s: %u losses, %u others", fault, n_lost,
               n_others);
    CHECK(n_back == n_lost || n_back + 1 == n_lost);
    CHECK(rig_record(&r, GPU_PLUGIN).n_returns == n_back);
    rig_close(&r);
}

/* A trial takes two jobs, so each step that comes back to the device finds it lost. */
static void lost_at_each_step_and_back(void) {
    gpu_rig_stories("stories260K-f32.gguf");
    gpu_rig_reference(&wanted);
    lose_often("", 3, 0, false, RIG_TOKENS);
    lose_often("", 8, 1, true, RIG_TOKENS / 6);
    lose_often("", 10, 4, true, RIG_TOKENS / 8);
}

/* A layer, or what reads the states, stays on the CPU: several jobs a step, values that cross, and
 * states on both sides. */
static void lost_in_mixed_plans(void) {
    char middle[128], attention[128];
    gpu_rig_stories("stories260K-f32.gguf");
    gpu_rig_reference(&wanted);
    snprintf(middle, sizeof(middle), "[forbid]\nnode.blk.1.* = %s\n", GPU_PLUGIN);
    snprintf(attention, sizeof(attention), "[forbid]\noperator.Attention = %s\n", GPU_PLUGIN);
    lose_often(middle, 11, 0, false, 8);
    lose_often(middle, 19, 1, true, 6);
    lose_often(attention, 25, 7, true, 6);
}

/* ---- other failures ---- */
static sy_failover_event fail_once(const char *fault, uint32_t copy_every_tokens, bool both) {
    gpu_text found;
    rig r;
    init(&r);
    r.options.failover.copy_every_tokens = copy_every_tokens;
    r.options.failover.watch = (sy_watch_options){
        .hang_floor_ms = strstr(fault, "hang") != NULL ? 400 : 0, .guard = SY_GUARD_OUTPUTS};
    gpu_rig_open(&r, gpu_ini("", fault, ""));
    (both ? gpu_rig_write_both : gpu_rig_write)(&r, &found);
    gpu_check_text(&found, &wanted, both, fault);
    check_told(&r);
    CHECK_TEXT(sy_engine_n_failovers(r.kit.engine) == 1, "%s", fault);
    sy_failover_event event = rig_event(&r, 0);
    rig_close(&r);
    return event;
}

static void hung_and_garbage(void) {
    static const struct {
        const char *fault;
        uint32_t copy_every_tokens;
        sy_failure failure;
        sy_restore restore;
    } kinds[] = {
        {"hang@1", 0, SY_FAILURE_HUNG, SY_RESTORE_NONE},
        {"hang@2", 1, SY_FAILURE_HUNG, SY_RESTORE_COPIED},
        {"hang@40", 0, SY_FAILURE_HUNG, SY_RESTORE_RECOMPUTED},
        {"hang@66", 10, SY_FAILURE_HUNG, SY_RESTORE_COPIED},
        {"garbage@2", 0, SY_FAILURE_GARBAGE, SY_RESTORE_RECOMPUTED},
        {"garbage@4", 1, SY_FAILURE_GARBAGE, SY_RESTORE_COPIED},
        {"garbage@40", 0, SY_FAILURE_GARBAGE, SY_RESTORE_RECOMPUTED},
        {"garbage@66", 10, SY_FAILURE_GARBAGE, SY_RESTORE_COPIED},
    };
    gpu_rig_stories("stories260K-f32.gguf");
    gpu_rig_reference(&wanted);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        sy_failover_event event = fail_once(kinds[i].fault, kinds[i].copy_every_tokens, i % 2 != 0);
        CHECK_TEXT(event.failure == kinds[i].failure && event.restore == kinds[i].restore,
                   "%s: %s, restore %d", kinds[i].fault, sy_failure_name(event.failure),
                   (int)event.restore);
    }
}

/* Memory that runs out when something is made - while the model is loaded, a session opened or
 * cloned, or the device comes back - is no reason to lose a token. */
static void memory_runs_out(void) {
    gpu_rig_stories("stories260K-f32.gguf");
    gpu_rig_reference(&wanted);
    gpu_rig_is_refused = true;
    for (uint32_t k = 1; k < 40; k += 6) {
        char fault[48];
        gpu_text found;
        rig r;
        init(&r);
        gpu_rig_returns(&r);
        r.options.failover.copy_every_tokens = k % 2;
        snprintf(fault, sizeof(fault), "memory@%u,lose@20", k);
        gpu_rig_open(&r, gpu_ini("", fault, ""));
        gpu_rig_write_both(&r, &found);
        gpu_check_text(&found, &wanted, true, fault);
        check_told(&r);
        CHECK_TEXT(n_lost > 0, "%s: %u losses", fault, n_lost);
        rig_close(&r);
    }
}

/* ---- cpu-xnnpack goes on ---- */
/* What cpu-xnnpack alone writes behind tokens: computed, or with the rows of a saved session. */
static void write_on_cpu(const int32_t *tokens, uint32_t n_tokens, const char *saved, uint32_t n,
                         int32_t *out_tokens) {
    sy_session *session = NULL;
    rig r;
    gpu_rig_init(&r);
    rig_open(&r, "[trust]\nplugins = cpu-xnnpack");
    sy_error *error = &r.kit.error;
    CHECK(sy_runtime_n_delegates(r.kit.runtime) == 2);
    if (saved != NULL) {
        CHECK_OK_ERROR(sy_session_load(r.kit.engine, saved, 0, &session, error), *error);
    } else {
        CHECK_OK_ERROR(sy_session_open(r.kit.engine, 0, &session, error), *error);
        CHECK_OK_ERROR(sy_session_prefill(session, tokens, n_tokens, error), *error);
    }
    rig_generate(&r, session, n, out_tokens);
    sy_session_close(session);
    rig_close(&r);
}

/* Generates under a loss at job k; then the same undisturbed up to there, and cpu-xnnpack's own. */
static void compare_seam(uint32_t k, bool mirror) {
    char path[] = "/tmp/switchyard-session-XXXXXX", fault[32];
    gpu_text found;
    int32_t same[RIG_TOKENS];
    rig r;
    init(&r);
    r.options.failover.copy_every_tokens = mirror ? 1 : 0;
    snprintf(fault, sizeof(fault), "lose@%u", k);
    gpu_rig_open(&r, gpu_ini(", cpu-xnnpack", fault, ""));
    gpu_rig_write(&r, &found);
    CHECK(n_lost == 1 && n_back + n_others == 0);
    uint32_t n_before = rig_event(&r, 0).n_tokens - RIG_PROMPT;
    rig_close(&r);
    init(&r);
    gpu_rig_open(&r, gpu_ini(", cpu-xnnpack", "", ""));
    sy_session *session = gpu_rig_session(&r);
    rig_generate(&r, session, n_before, same);
    CHECK_TEXT(memcmp(same, found.greedy, n_before * sizeof(int32_t)) == 0, "before %s", fault);
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    CHECK_OK_ERROR(sy_session_save(session, path, &r.kit.error), r.kit.error);
    uint32_t n = 0;
    const int32_t *tokens = sy_session_tokens(session, &n);
    CHECK(n == RIG_PROMPT + n_before);
    write_on_cpu(tokens, n, mirror ? path : NULL, RIG_TOKENS - n_before, same);
    unlink(path);
    CHECK_TEXT(memcmp(same, found.greedy + n_before, (RIG_TOKENS - n_before) * sizeof(int32_t)) ==
                   0,
               "behind %s", fault);
    sy_session_close(session);
    rig_close(&r);
}

static void cpu_goes_on_from_the_seam(void) {
    if (built_plugins() == NULL) {
        SKIP("no plugins were built");
    }
    gpu_rig_stories("stories260K-Q8_0.gguf");
    for (uint32_t k = 3; k < RIG_TOKENS; k += 20) {
        compare_seam(k, false);
        compare_seam(k, true);
    }
}

static const sy_test_case cases[] = {
    {"undisturbed_is_equal", undisturbed_is_equal},
    {"lost_once", lost_once},
    {"lost_at_each_step_and_back", lost_at_each_step_and_back},
    {"lost_in_mixed_plans", lost_in_mixed_plans},
    {"hung_and_garbage", hung_and_garbage},
    {"memory_runs_out", memory_runs_out},
    {"cpu_goes_on_from_the_seam", cpu_goes_on_from_the_seam},
};
SY_TEST_MAIN(cases)
