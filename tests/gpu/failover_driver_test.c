/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gpu-vulkan under a generation, with a fake libvulkan (fake_vulkan.h) in front of the real one:
 * the driver loses the device, or refuses memory and pipelines, at any of its calls - within steps,
 * copies of rows, and while a lost device comes back. The text is always the undisturbed one.
 */
#include "gpu/fake_vulkan_set.h"
#include "gpu/gpu_rig.h"

static gpu_text wanted;

/* A second fault, set when the first event is told: it meets the device's return. */
static struct {
    fake_fault fault;
    int n_good; /* -1: none */
} next;

static uint32_t n_failed, n_back;

static void take_event(void *user, const sy_failover_event *event) {
    (void)user;
    n_failed += event->failure != SY_FAILURE_NONE;
    n_back += event->failure == SY_FAILURE_NONE;
    if (next.n_good >= 0) {
        fake_vulkan_set(next.fault, next.n_good, 1);
        next.n_good = -1;
    }
}

static void open_rig(rig *r, uint32_t copy_every_tokens) {
    static const char *plugins;
    gpu_rig_stories("stories260K-f32.gguf");
    gpu_rig_reference(&wanted);
    gpu_rig_init(r);
    gpu_rig_returns(r);
    plugins = built_plugins();
    CHECK(plugins != NULL);
    r->directories[0] = plugins;
    r->directories[1] = NULL;
    r->options.failover.copy_every_tokens = copy_every_tokens;
    r->options.on_failover = take_event;
    gpu_rig_open(r, gpu_ini("", "", ""));
    next.n_good = -1;
}

/* One text with a fault after n_good good calls; answers whether a failure was met. */
static bool write_under(rig *r, fake_fault fault, int n_good, int is_once, const char *what) {
    char text[80];
    gpu_text found;
    n_failed = n_back = 0;
    uint64_t n_before = sy_engine_n_failovers(r->kit.engine);
    fake_vulkan_set(fault, n_good, is_once);
    gpu_rig_write_both(r, &found);
    fake_vulkan_set(fault, -1, 0);
    snprintf(text, sizeof(text), "%s after %d calls", what, n_good);
    gpu_check_text(&found, &wanted, true, text);
    CHECK(sy_engine_n_failovers(r->kit.engine) - n_before == n_failed + n_back);
    return n_failed > 0;
}

/* Brings the device back for the next text, where the last one ended without it. */
static void come_back(rig *r) {
    gpu_text found;
    gpu_rig_write(r, &found);
    gpu_check_text(&found, &wanted, false, "undisturbed again");
    CHECK(sy_runtime_is_usable(r->kit.runtime, rig_delegate(r, GPU_PLUGIN)));
}

static void lose(fake_fault fault, uint32_t copy_every_tokens, int stride) {
    rig r;
    uint32_t n_lost = 0;
    open_rig(&r, copy_every_tokens);
    for (int n_good = 0; write_under(&r, fault, n_good, 1, "lost"); n_good += stride) {
        CHECK_TEXT(n_failed == 1, "%u failures", n_failed);
        CHECK(rig_record(&r, GPU_PLUGIN).failure == SY_FAILURE_LOST);
        CHECK(n_back == 1 || n_good > (int)RIG_TOKENS);
        come_back(&r);
        n_lost++;
    }
    CHECK_TEXT(n_lost * (uint32_t)stride >= RIG_TOKENS, "%u losses", n_lost);
    rig_close(&r);
}

static void lost_at_any_call(void) {
    lose(FAKE_FAULT_LOST_AT_SUBMIT, 0, 9);
    lose(FAKE_FAULT_LOST_AT_WAIT, 1, 29);
    lose(FAKE_FAULT_LOST_AT_SUBMIT, 6, 23);
}

/* A second loss, while the device is opened, loaded, tried, and gets its rows. */
static void lost_while_it_comes_back(void) {
    rig r;
    open_rig(&r, 0);
    for (int n_good = 0; n_good < 16; n_good++) {
        next.fault = n_good % 2 == 0 ? FAKE_FAULT_LOST_AT_SUBMIT : FAKE_FAULT_LOST_AT_WAIT;
        next.n_good = n_good;
        CHECK(write_under(&r, FAKE_FAULT_LOST_AT_SUBMIT, 20, 1, "lost, and lost again"));
        fake_vulkan_set(next.fault, -1, 0);
        CHECK_TEXT(rig_record(&r, GPU_PLUGIN).n_failures >= 2u * (uint32_t)n_good, "%u failures",
                   rig_record(&r, GPU_PLUGIN).n_failures);
        come_back(&r);
    }
    rig_close(&r);
}

/* Memory and pipelines that are refused once, at any call: a session that is opened is refused, a
 * step goes on elsewhere, a device that comes back does so later. */
static void refused_at_any_call(void) {
    rig r;
    gpu_rig_is_refused = true;
    open_rig(&r, 1);
    for (int n_good = 0; n_good < 6; n_good++) {
        (void)write_under(&r, FAKE_FAULT_NO_DEVICE_MEMORY, n_good, 1, "no memory");
        come_back(&r);
    }
    uint32_t n_before = gpu_rig_n_refused + (uint32_t)sy_engine_n_failovers(r.kit.engine);
    CHECK_TEXT(n_before > 0, "memory is never asked for");
    for (int n_good = 0; n_good < 6; n_good++) {
        next.fault = n_good % 2 == 0 ? FAKE_FAULT_NO_PIPELINE : FAKE_FAULT_NO_DEVICE_MEMORY;
        next.n_good = n_good;
        CHECK(write_under(&r, FAKE_FAULT_LOST_AT_WAIT, 30, 1, "lost, then refused"));
        fake_vulkan_set(next.fault, -1, 0);
        come_back(&r);
    }
    rig_close(&r);
}

static void refused_for_good(void) {
    rig r;
    gpu_rig_is_refused = true;
    for (uint32_t every = 0; every < 2; every++) {
        open_rig(&r, every);
        r.quarantine.n_failures_most = 2;
        sy_runtime_set_quarantine(r.kit.runtime, &r.quarantine);
        CHECK(write_under(&r, FAKE_FAULT_LOST_AT_SUBMIT, 25, 0, "lost for good"));
        CHECK(rig_record(&r, GPU_PLUGIN).condition == SY_CONDITION_OUT);
        rig_close(&r);
    }
}

static const sy_test_case cases[] = {
    {"lost_at_any_call", lost_at_any_call},
    {"lost_while_it_comes_back", lost_while_it_comes_back},
    {"refused_at_any_call", refused_at_any_call},
    {"refused_for_good", refused_for_good},
};
SY_TEST_MAIN(cases)
