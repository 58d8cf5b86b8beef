/* SPDX-License-Identifier: Apache-2.0 */
/* Quarantine, trial, probation and the way out; and what is not survived. */
#include "e2e/failover_rig.h"

#include <time.h>

#define ONE "[trust]\nplugins = fake-npu\n[delegate fake-npu]\n"

static int32_t wanted[RIG_TOKENS];

static uint32_t n_told;

static void count_events(void *user, const sy_failover_event *event) {
    CHECK(user == &n_told && event->delegate[0] != '\0');
    n_told++;
}

static void init(rig *r) {
    rig_init(r);
    r->options.on_failover = count_events;
    r->options.failover_user = &n_told;
    r->quarantine.backoff_ms = r->quarantine.backoff_most_ms = 0;
    r->quarantine.n_probation_steps = 5;
    n_told = 0;
}

static void generate_as_wanted(rig *r, sy_session **out_session) {
    int32_t found[RIG_TOKENS];
    sy_session *session = rig_session(r);
    rig_generate(r, session, RIG_TOKENS, found);
    CHECK(memcmp(found, wanted, sizeof(found)) == 0);
    CHECK(n_told == sy_engine_n_failovers(r->kit.engine));
    if (out_session == NULL) {
        sy_session_close(session);
    } else {
        *out_session = session;
    }
}

static void comes_back_after_a_trial(void) {
    static const uint32_t policies[] = {0, 1, 5};
    rig_reference(RIG_TOKENS, wanted);
    for (size_t p = 0; p < 3; p++) {
        rig r;
        init(&r);
        r.options.failover.copy_every_tokens = policies[p];
        rig_open(&r, ONE "lose_at = 40\nlose_times = 1");
        generate_as_wanted(&r, NULL);
        sy_delegate_record record = rig_record(&r, "fake-npu");
        CHECK(sy_engine_n_failovers(r.kit.engine) == 2);
        CHECK(rig_event(&r, 0).failure == SY_FAILURE_LOST);
        CHECK(rig_event(&r, 1).failure == SY_FAILURE_NONE);
        CHECK(rig_event(&r, 1).n_tokens > rig_event(&r, 0).n_tokens);
        CHECK(rig_event(&r, 1).restore == SY_RESTORE_MOVED);
        CHECK(record.condition == SY_CONDITION_READY && record.n_failures == 1);
        CHECK(record.n_returns == 1 && record.failure == SY_FAILURE_LOST);
        CHECK(sy_plan_segment_at(sy_engine_plan(r.kit.engine), SY_ENGINE_DECODE, 0) != NULL);
        rig_close(&r);
    }
}

static void is_out_after_three(void) {
    rig r;
    rig_reference(RIG_TOKENS, wanted);
    init(&r);
    rig_open(&r, ONE "lose_at = 14");
    generate_as_wanted(&r, NULL);
    sy_delegate_record record = rig_record(&r, "fake-npu");
    CHECK_TEXT(record.condition == SY_CONDITION_OUT && record.n_failures == 3, "%u failures",
               record.n_failures);
    CHECK(sy_engine_n_failovers(r.kit.engine) == 5); /* three losses, two returns */
    CHECK(sy_runtime_readmit(r.kit.runtime, rig_delegate(&r, "fake-npu"), &r.kit.error) ==
          SY_FAILED_PRECONDITION);
    rig_close(&r);
}

static void a_device_that_does_not_open_stays_away(void) {
    rig r;
    rig_reference(RIG_TOKENS, wanted);
    init(&r);
    r.quarantine.n_failures_most = 9;
    rig_open(&r, ONE "lose_at = 30\nlose_times = 1\nshut_times = 3");
    generate_as_wanted(&r, NULL);
    sy_delegate_record record = rig_record(&r, "fake-npu");
    CHECK(record.condition == SY_CONDITION_READY && record.n_failures == 4);
    CHECK(sy_engine_n_failovers(r.kit.engine) == 2);
    rig_close(&r);
    init(&r);
    rig_open(&r, ONE "lose_at = 30\nshut_times = 100");
    generate_as_wanted(&r, NULL);
    CHECK(rig_record(&r, "fake-npu").condition == SY_CONDITION_OUT);
    rig_close(&r); /* the registry ends a delegate without a device */
}

static void a_failed_trial_is_a_failure(void) {
    rig r;
    rig_reference(RIG_TOKENS, wanted);
    init(&r);
    r.quarantine.n_failures_most = 2;
    rig_open(&r, ONE "fail_submit = 30\nfault = garbage@34\ngarbage_value = 3");
    generate_as_wanted(&r, NULL);
    sy_delegate_record record = rig_record(&r, "fake-npu");
    CHECK_TEXT(record.condition == SY_CONDITION_OUT && record.failure == SY_FAILURE_GARBAGE,
               "%u failures, the newest: %s", record.n_failures, sy_failure_name(record.failure));
    CHECK(sy_engine_n_failovers(r.kit.engine) == 1);
    rig_close(&r);
}

/* A second loss while the device comes back: in the trial, and when sessions move to it, whose rows
 * then lie in two executors. */
static void lost_again_while_it_comes_back(void) {
    uint32_t n_twice = 0;
    rig_reference(RIG_TOKENS, wanted);
    for (uint32_t k = 1; k < 60; k++) {
        char ini[128];
        rig r;
        init(&r);
        r.quarantine.n_failures_most = 0;
        r.options.failover.copy_every_tokens = k % 2;
        snprintf(ini, sizeof(ini), ONE "lose_at = 5\nlose_at_state = %u\nlose_times = 2", k);
        rig_open(&r, ini);
        sy_session *other = rig_session(&r);
        generate_as_wanted(&r, NULL);
        int32_t found[RIG_TOKENS];
        rig_generate(&r, other, RIG_TOKENS, found);
        CHECK_TEXT(memcmp(found, wanted, sizeof(found)) == 0, "lose_at_state = %u", k);
        CHECK(rig_record(&r, "fake-npu").condition == SY_CONDITION_READY);
        n_twice += rig_record(&r, "fake-npu").n_failures == 2;
        sy_session_close(other);
        rig_close(&r);
    }
    CHECK_TEXT(n_twice > 40, "lost twice in %u runs", n_twice);
}

/* Two engines over one device: the second one has not met the loss yet, and must not use handles
 * that are dead; the device is opened again when both have let go. */
static void engines_share_a_quarantine(void) {
    int32_t found[RIG_TOKENS];
    sy_engine *other = NULL;
    rig r;
    rig_reference(RIG_TOKENS, wanted);
    init(&r);
    rig_open(&r, ONE "lose_at = 40\nlose_times = 1");
    sy_status status =
        sy_engine_create(r.kit.runtime, engine_model(), &r.options, &other, &r.kit.error);
    CHECK_OK_ERROR(status, r.kit.error);
    sy_engine *const first = r.kit.engine;
    CHECK(rig_record(&r, "fake-npu").n_users == 2);
    sy_session *one = rig_session(&r);
    r.kit.engine = other;
    sy_session *two = rig_session(&r);
    r.kit.engine = first;
    rig_generate(&r, one, RIG_TOKENS, found);
    CHECK(memcmp(found, wanted, sizeof(found)) == 0);
    CHECK(sy_engine_n_failovers(first) == 1 && sy_engine_n_failovers(other) == 0);
    CHECK(rig_record(&r, "fake-npu").n_users == 1); /* which keeps the device from being opened */
    rig_generate(&r, two, RIG_TOKENS, found);
    CHECK(memcmp(found, wanted, sizeof(found)) == 0);
    CHECK(sy_engine_n_failovers(other) == 2 && rig_record(&r, "fake-npu").n_failures == 1);
    CHECK(sy_runtime_is_usable(r.kit.runtime, rig_delegate(&r, "fake-npu")) == 1);
    sy_session_close(one);
    sy_session_close(two);
    sy_engine_destroy(other);
    rig_close(&r);
}

/* What a hanging job may write to stays until it has ended, and the device is not opened before. */
static void memory_of_a_hanging_job_stays(void) {
    rig r;
    sy_session *session = NULL;
    rig_reference(RIG_TOKENS, wanted);
    init(&r);
    r.options.failover.watch = (sy_watch_options){.hang_floor_ms = 40};
    rig_open(&r, ONE "late_at = 30\nlate_ms = 700");
    generate_as_wanted(&r, &session);
    CHECK(rig_event(&r, 0).failure == SY_FAILURE_HUNG);
    uint32_t i_npu = rig_delegate(&r, "fake-npu");
    uint64_t before = sy_runtime_heap_bytes(r.kit.runtime);
    CHECK(rig_record(&r, "fake-npu").n_users == 1);
    CHECK(sy_runtime_readmit(r.kit.runtime, i_npu, &r.kit.error) == SY_UNAVAILABLE);
    const struct timespec rest = {.tv_nsec = 50000000};
    int32_t token = 0;
    for (uint32_t i = 0; i < 60 && rig_record(&r, "fake-npu").n_users > 0; i++) {
        nanosleep(&rest, NULL);
        CHECK_OK_ERROR(sy_session_rewind(session, RIG_PROMPT + 1, &r.kit.error), r.kit.error);
        CHECK_OK_ERROR(sy_session_decode(session, NULL, &token, &r.kit.error), r.kit.error);
    }
    CHECK(rig_record(&r, "fake-npu").n_users == 0 || sy_engine_n_failovers(r.kit.engine) > 1);
    CHECK(sy_runtime_heap_bytes(r.kit.runtime) < before || rig_record(&r, "fake-npu").n_users == 1);
    sy_session_close(session);
    rig_close(&r);
}

/* The job's thread lives in the plugin, and signals when everybody else is gone. */
static void a_job_may_hang_beyond_the_end(void) {
    const struct timespec rest = {.tv_sec = 2};
    rig r;
    rig_reference(RIG_TOKENS, wanted);
    init(&r);
    r.options.failover.watch.hang_floor_ms = 60;
    r.options.failover.watch.hang_multiple = 0;
    rig_open(&r, ONE "late_at = 66\nlate_ms = 2500");
    generate_as_wanted(&r, NULL);
    CHECK(rig_event(&r, 0).failure == SY_FAILURE_HUNG);
    sy_engine_destroy(r.kit.engine);
    CHECK(sy_registry_close(r.kit.registry) == 1);
    sy_runtime_destroy(r.kit.runtime);
    sy_conf_destroy(r.conf);
    nanosleep(&rest, NULL);
    _exit(0); /* without looking for leaks: what the job may reach stays for good */
}

static void shadow_plans_are_ready(void) {
    rig r;
    rig_reference(RIG_TOKENS, wanted);
    for (uint32_t k = 0; k < 2; k++) {
        init(&r);
        r.options.failover.no_return = 1;
        r.options.failover.keeps_shadow = k;
        rig_open(&r, ONE "lose_at = 30");
        generate_as_wanted(&r, NULL);
        sy_failover_event event = rig_event(&r, 0);
        CHECK(event.used_shadow == k && event.load_ns > 0 && event.plan_ns < event.total_ns);
        CHECK(sy_engine_n_failovers(r.kit.engine) == 1);
        rig_close(&r);
    }
}

/* Without failover the call fails, and the session stands where it did. */
static void off_is_an_error_of_the_call(void) {
    rig r;
    init(&r);
    r.options.failover.is_off = 1;
    rig_open(&r, ONE "lose_at = 30");
    sy_session *session = rig_session(&r);
    sy_status status = SY_OK;
    int32_t token = 0;
    uint32_t n = 0, n_held = 0;
    while (status == SY_OK && n < RIG_TOKENS) {
        status = sy_session_decode(session, NULL, &token, &r.kit.error);
        n += status == SY_OK;
    }
    CHECK(status == SY_STATUS(SY_UNAVAILABLE, SY_DETAIL_DEVICE_LOST) && n_told == 0);
    sy_session_tokens(session, &n_held);
    CHECK(n_held == RIG_PROMPT + n);
    sy_session_close(session);
    rig_close(&r);
}

/* The policy names the lost delegate in every way it can. */
static void what_the_policy_asks_of_a_lost_delegate_is_waived(void) {
    rig r;
    rig_reference(RIG_TOKENS, wanted);
    init(&r);
    r.options.failover.no_return = 1;
    rig_open(&r, "[pin]\noperator.switchyard.Linear = fake-npu\n[require]\nfake-npu = 10\n"
                 "[trust]\nplugins = fake-npu\n[delegate fake-npu]\nlose_at = 30");
    generate_as_wanted(&r, NULL);
    char *text = NULL;
    sy_status status =
        sy_plan_explain(sy_engine_plan(r.kit.engine), SY_PLAN_TEXT, NULL, &text, &r.kit.error);
    CHECK_OK_ERROR(status, r.kit.error);
    CHECK(strstr(text, "in quarantine after 1 failures, the last: lost") != NULL);
    sy_string_destroy(NULL, text);
    rig_close(&r);
}

/* After a failure an engine counts what one without the delegate does. */
static void accounts_are_those_of_the_other_plan(void) {
    sy_engine_memory memory[2];
    for (uint32_t k = 0; k < 2; k++) {
        rig r;
        int32_t found[RIG_TOKENS];
        init(&r);
        r.options.failover.no_return = 1;
        r.options.failover.copy_every_tokens = 1;
        rig_open(&r, k == 0 ? ONE "lose_at = 30" : RIG_NOBODY);
        sy_session *session = rig_session(&r);
        rig_generate(&r, session, RIG_TOKENS, found);
        sy_engine_get_memory(r.kit.engine, 0, &memory[k]);
        CHECK(memory[k].session_bytes >= memory[k].reserved_bytes);
        CHECK(memory[k].reserved_bytes >
              sy_state_copy_bytes(sy_engine_executor(r.kit.engine), 128));
        sy_session_close(session);
        sy_engine_get_memory(r.kit.engine, 0, &memory[k]);
        CHECK(memory[k].reserved_bytes == 0);
        rig_close(&r);
    }
    CHECK(memory[0].session_bytes == memory[1].session_bytes);
    uint64_t more = memory[0].load_bytes - memory[1].load_bytes;
    CHECK_TEXT(memory[0].load_bytes >= memory[1].load_bytes && more < memory[1].load_bytes / 2,
               "%llu and %llu bytes", (unsigned long long)memory[0].load_bytes,
               (unsigned long long)memory[1].load_bytes);
}

/* The budget holds before a failure, and after it. */
static void a_budget_holds_after_a_failure(void) {
    sy_engine_memory memory;
    rig r;
    init(&r);
    rig_open(&r, ONE "launch_us = 1");
    sy_engine_get_memory(r.kit.engine, 0, &memory);
    rig_close(&r);
    init(&r);
    r.options.budget_bytes = memory.load_bytes + memory.session_bytes;
    rig_open(&r, ONE "lose_at = 30");
    sy_session *session = rig_session(&r), *other = NULL;
    CHECK(SY_STATUS_CLASS(sy_session_clone(session, &other, &r.kit.error)) ==
          SY_RESOURCE_EXHAUSTED);
    int32_t found[RIG_TOKENS];
    rig_reference(RIG_TOKENS, wanted);
    rig_generate(&r, session, RIG_TOKENS, found);
    CHECK(memcmp(found, wanted, sizeof(found)) == 0);
    sy_engine_get_memory(r.kit.engine, 0, &memory);
    CHECK(memory.load_bytes + memory.reserved_bytes <= r.options.budget_bytes);
    sy_session_close(session);
    rig_close(&r);
}

static const sy_test_case cases[] = {
    {"comes_back_after_a_trial", comes_back_after_a_trial},
    {"is_out_after_three", is_out_after_three},
    {"a_device_that_does_not_open_stays_away", a_device_that_does_not_open_stays_away},
    {"a_failed_trial_is_a_failure", a_failed_trial_is_a_failure},
    {"lost_again_while_it_comes_back", lost_again_while_it_comes_back},
    {"engines_share_a_quarantine", engines_share_a_quarantine},
    {"memory_of_a_hanging_job_stays", memory_of_a_hanging_job_stays},
    {"a_job_may_hang_beyond_the_end", a_job_may_hang_beyond_the_end},
    {"shadow_plans_are_ready", shadow_plans_are_ready},
    {"off_is_an_error_of_the_call", off_is_an_error_of_the_call},
    {"what_the_policy_asks_of_a_lost_delegate_is_waived",
     what_the_policy_asks_of_a_lost_delegate_is_waived},
    {"accounts_are_those_of_the_other_plan", accounts_are_those_of_the_other_plan},
    {"a_budget_holds_after_a_failure", a_budget_holds_after_a_failure},
};
SY_TEST_MAIN(cases)
