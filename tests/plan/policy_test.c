/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "plan/policy_match.h"

static void globs_match_whole_texts(void) {
    CHECK(sy__glob_matches("blk.3.*", "blk.3.attn_q"));
    CHECK(!sy__glob_matches("blk.3.*", "blk.30.attn_q"));
    CHECK(sy__glob_matches("*", ""));
    CHECK(sy__glob_matches("*a*b?", "xxaxxbbc"));
    CHECK(!sy__glob_matches("?", ""));
    CHECK(!sy__glob_matches("Add", "AddRMSNormalization"));
    CHECK(sy__glob_matches("a*a*a*a*b*", "aaaaaaaaaaaaaaaaaaaaaaaaab"));
    CHECK(!sy__glob_matches("a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

static void selectors_name_plugins_devices_and_classes(void) {
    CHECK(sy_policy_selects("cpu-xnnpack", "cpu-xnnpack", "cpu0", SY_DEVICE_CPU));
    CHECK(sy_policy_selects("cpu", "cpu-xnnpack", "cpu0", SY_DEVICE_CPU));
    CHECK(sy_policy_selects("gpu-*:Mali*", "gpu-vulkan", "Mali-G78", SY_DEVICE_GPU));
    CHECK(sy_policy_selects("gpu:Mali*", "gpu-vulkan", "Mali-G78", SY_DEVICE_GPU));
    CHECK(!sy_policy_selects("gpu:Adreno*", "gpu-vulkan", "Mali-G78", SY_DEVICE_GPU));
    CHECK(!sy_policy_selects("npu", "gpu-vulkan", "Mali-G78", SY_DEVICE_GPU));
    CHECK(!sy_policy_selects("cpu", "reference", "reference", SY_DEVICE_CPU));
    CHECK(sy_policy_selects("reference", "reference", "reference", SY_DEVICE_CPU));
    CHECK(sy_policy_selects("*", "reference", NULL, SY_DEVICE_CPU));
    CHECK(!sy_policy_selects(NULL, "reference", NULL, SY_DEVICE_CPU));
}

static void ranks_follow_the_order(void) {
    sy_policy policy;
    sy_policy_default(&policy);
    CHECK(policy.mode == SY_POLICY_PREFER && policy.margin_pct == 5.0f);
    CHECK(policy.struct_bytes == sizeof(policy) && policy.fallback == SY_FALLBACK_ALLOW);
    CHECK(sy_policy_rank(&policy, "npu-qnn", "htp", SY_DEVICE_NPU, NULL) == 0);
    CHECK(sy_policy_rank(&policy, "gpu-opencl", "x", SY_DEVICE_GPU, NULL) == 1);
    CHECK(sy_policy_rank(&policy, "cpu-xnnpack", "cpu0", SY_DEVICE_CPU, NULL) == 2);
    CHECK(sy_policy_rank(&policy, "dsp-x", "d", SY_DEVICE_DSP, NULL) == 3);
    CHECK(sy_policy_rank(&policy, "reference", "r", SY_DEVICE_CPU, NULL) == 4);
    CHECK(sy_policy_rank(NULL, "reference", "r", SY_DEVICE_CPU, NULL) == 4);

    const sy_policy_order orders[] = {{"reference", 1.0f, {"oem.ini", 7}},
                                      {"cpu", 0.5f, {"oem.ini", 8}}};
    policy.orders = orders;
    policy.n_orders = 2;
    sy_source source = {NULL, 0};
    CHECK(sy_policy_rank(&policy, "reference", "r", SY_DEVICE_CPU, &source) == 0);
    CHECK(strcmp(source.file, "oem.ini") == 0 && source.line == 7);
    CHECK(sy_policy_rank(&policy, "npu-qnn", "htp", SY_DEVICE_NPU, &source) == 2);
    CHECK(source.file == NULL && source.line == 0);
}

static void rules_cover_operators_and_names(void) {
    sy_policy_rule rule = {SY_RULE_PIN, SY_RULE_OPERATOR, "Linear", "gpu", {NULL, 0}};
    CHECK(sy__rule_covers(&rule, "switchyard", "Linear", "blk.0.q"));
    CHECK(!sy__rule_covers(&rule, "", "Add", "Linear"));
    rule.pattern = "switchyard.*";
    CHECK(sy__rule_covers(&rule, "switchyard", "Attention", "x"));
    CHECK(!sy__rule_covers(&rule, "", "Add", "x"));
    rule.target = SY_RULE_NODE;
    rule.pattern = "blk.?.attn*";
    CHECK(sy__rule_covers(&rule, "", "Add", "blk.4.attn_q"));
    CHECK(!sy__rule_covers(&rule, "", "Add", NULL));
}

static const sy_test_case cases[] = {
    {"globs_match_whole_texts", globs_match_whole_texts},
    {"selectors_name_plugins_devices_and_classes", selectors_name_plugins_devices_and_classes},
    {"ranks_follow_the_order", ranks_follow_the_order},
    {"rules_cover_operators_and_names", rules_cover_operators_and_names},
};
SY_TEST_MAIN(cases)
