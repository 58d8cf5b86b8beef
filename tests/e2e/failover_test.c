/* SPDX-License-Identifier: Apache-2.0 */
/* Delegates that fail under a generation: the text is complete, and that of an undisturbed one. */
#include "e2e/failover_rig.h"

#define ONE "[trust]\nplugins = fake-npu\n[delegate fake-npu]\n"

static int32_t wanted[RIG_TOKENS];

/* Prompt and tokens under one fault; answers the events. */
static uint64_t run(const char *ini, uint32_t copy_every_tokens, sy_failover_event *out_first) {
    rig r;
    int32_t found[RIG_TOKENS];
    rig_init(&r);
    r.options.failover.copy_every_tokens = copy_every_tokens;
    r.options.failover.watch.guard = SY_GUARD_CROSSING;
    r.options.failover.watch.hang_floor_ms = 60;
    r.options.failover.watch.hang_multiple = 0;
    rig_open(&r, ini);
    sy_session *session = rig_session(&r);
    rig_generate(&r, session, RIG_TOKENS, found);
    uint64_t n_events = sy_engine_n_failovers(r.kit.engine);
    if (n_events > 0 && out_first != NULL) {
        *out_first = rig_event(&r, 0);
    }
    CHECK_TEXT(memcmp(found, wanted, sizeof(found)) == 0, "%s, copies every %u", ini,
               copy_every_tokens);
    sy_session_close(session);
    rig_close(&r);
    return n_events;
}

static void undisturbed_is_equal(void) {
    rig_reference(RIG_TOKENS, wanted);
    CHECK(run(ONE "launch_us = 1", 0, NULL) == 0);
    CHECK(run(ONE "async = 1", 0, NULL) == 0);
    CHECK(run("[trust]\nplugins = fake-npu-host", 0, NULL) == 0);
    CHECK(run("", 1, NULL) == 0);
    CHECK(run("", 7, NULL) == 0);
}

/* The number of the last job: a loss after it does not happen. */
static void lost_at_each_step(void) {
    static const uint32_t policies[] = {0, 1, 10};
    rig_reference(RIG_TOKENS, wanted);
    for (size_t p = 0; p < 3; p++) {
        uint32_t n_lost = 0, stride = p == 0 ? 1 : 3;
        bool goes_on = true;
        for (uint32_t k = 1; goes_on; k += stride) {
            char ini[128];
            sy_failover_event event;
            snprintf(ini, sizeof(ini), ONE "lose_at = %u", k);
            uint64_t n_events = run(ini, policies[p], &event);
            goes_on = n_events > 0;
            n_lost += goes_on;
            if (goes_on) {
                CHECK(n_events == 1 && event.failure == SY_FAILURE_LOST);
                CHECK(strcmp(event.delegate, "fake-npu") == 0 && event.total_ns > 0);
                CHECK(strstr(event.reason, "lost") != NULL);
                CHECK(event.n_tokens < RIG_PROMPT + RIG_TOKENS);
                uint32_t behind = event.n_recomputed_tokens;
                CHECK(policies[p] == 0   ? behind == event.n_tokens
                      : policies[p] == 1 ? behind == 0
                                         : behind < 10 + 8);
                CHECK(event.restore == (event.n_tokens == 0 ? SY_RESTORE_NONE
                                        : policies[p] == 0 || event.n_tokens == behind
                                            ? SY_RESTORE_RECOMPUTED
                                            : SY_RESTORE_COPIED));
            }
        }
        CHECK_TEXT(n_lost * stride >= RIG_TOKENS, "%u losses", n_lost);
    }
}

static void every_kind_of_failure(void) {
    static const struct {
        const char *option;
        sy_failure failure;
        sy_restore restore;
    } kinds[] = {{"fail_submit = 40", SY_FAILURE_ERROR, SY_RESTORE_MOVED},
                 {"exhaust_at = 40", SY_FAILURE_MEMORY, SY_RESTORE_MOVED},
                 {"fault = garbage@40", SY_FAILURE_GARBAGE, SY_RESTORE_RECOMPUTED},
                 {"fault = garbage@1", SY_FAILURE_GARBAGE, SY_RESTORE_NONE},
                 {"late_at = 40\nlate_ms = 400", SY_FAILURE_HUNG, SY_RESTORE_RECOMPUTED},
                 {"late_at = 1\nlate_ms = 1200", SY_FAILURE_HUNG, SY_RESTORE_NONE},
                 {"fault = hang@40", SY_FAILURE_HUNG, SY_RESTORE_RECOMPUTED},
                 {"async = 1\nlose_at = 40", SY_FAILURE_LOST, SY_RESTORE_RECOMPUTED}};
    rig_reference(RIG_TOKENS, wanted);
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        sy_failover_event event;
        char ini[160];
        snprintf(ini, sizeof(ini), ONE "%s", kinds[k].option);
        CHECK_TEXT(run(ini, 0, &event) == 1, "%s", kinds[k].option);
        CHECK_TEXT(event.failure == kinds[k].failure && event.restore == kinds[k].restore,
                   "%s: %s, restore %d", kinds[k].option, sy_failure_name(event.failure),
                   (int)event.restore);
    }
}

static void one_of_two_is_lost(void) {
    static const char *const sides[] = {"fake-npu", "fake-npu-host"};
    rig_reference(RIG_TOKENS, wanted);
    for (uint32_t k = 1; k < 130; k += 8) {
        for (size_t i = 0; i < 2; i++) {
            char ini[512];
            sy_failover_event event;
            snprintf(ini, sizeof(ini),
                     "[delegate fake-npu]\nops = Linear,RMSNormalization\n%s%u\n"
                     "[delegate fake-npu-host]\nops = Attention,RotaryEmbedding\n%s%u\n",
                     i == 0 ? "lose_at = " : "score = ", k, i == 1 ? "lose_at = " : "score = ", k);
            CHECK(run(ini, k % 3, &event) == 1);
            CHECK(strcmp(event.delegate, sides[i]) == 0);
        }
    }
}

static const sy_test_case cases[] = {
    {"undisturbed_is_equal", undisturbed_is_equal},
    {"lost_at_each_step", lost_at_each_step},
    {"every_kind_of_failure", every_kind_of_failure},
    {"one_of_two_is_lost", one_of_two_is_lost},
};
SY_TEST_MAIN(cases)
