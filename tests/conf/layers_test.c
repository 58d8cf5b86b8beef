/* SPDX-License-Identifier: Apache-2.0 */
/* Layers: what a later one may do, what it may not, and what comes out as policy and settings. */
#include "harness.h"
#include "switchyard/conf.h"
#include "switchyard/graph.h"
#include "tools/fault.h"

#include <stdbool.h>

static sy_status read_layers(const sy_allocator *allocator, const char *const *texts, uint32_t n,
                             sy_conf **out_conf, sy_error *error) {
    static const char *const names[] = {"vendor.ini", "oem.ini", "admin.ini", "app.ini"};
    sy_conf_layer layers[4];
    uint32_t n_layers = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (texts[i] != NULL) {
            layers[n_layers++] = (sy_conf_layer){.level = (sy_conf_level)i,
                                                 .path = names[i],
                                                 .text = texts[i],
                                                 .n_text_bytes = strlen(texts[i])};
        }
    }
    sy_conf_options options;
    sy_conf_options_default(&options);
    options.allocator = allocator;
    options.layers = layers;
    options.n_layers = n_layers;
    sy_error_clear(error);
    return sy_conf_create(&options, out_conf, error);
}

static sy_conf *must_read(const char *oem, const char *app) {
    const char *const texts[] = {NULL, oem, NULL, app};
    sy_conf *conf = NULL;
    sy_error error;
    CHECK_OK_ERROR(read_layers(NULL, texts, 4, &conf, &error), error);
    return conf;
}

/* What app may lay over oem, in text form: section line, key of the OEM, key of the app. */
typedef struct pair {
    const char *section, *oem, *app;
} pair;

static const pair narrowing[] = {
    {"order", "default = npu, gpu, cpu", "default = npu, cpu"},
    {"order", "default = npu, gpu, cpu", "default = gpu-vulkan, gpu, cpu"},
    {"order", "default = npu, gpu, cpu", "default = cpu-xnnpack"},
    {"order", "default = gpu-vulkan", "default = gpu-vulkan:Mali-G78"},
    {"order", "default = gpu-vulkan", "default = gpu-vulkan:Adreno (TM) 740"},
    {"order", "default = gpu-*", "default = gpu-opencl"},
    {"policy", "mode = strict", "mode = cost"},
    {"policy", "margin_pct = 5", "margin_pct = 50"},
    {"policy", "fallback = warn", "fallback = error"},
    {"pin", "node.a = gpu", "node.a = gpu-vulkan"},
    {"pin", "node.a = gpu", "node.b = cpu"},
    {"forbid", "node.a = gpu", "node.a = npu"},
    {"budget", "npu = 512 MiB", "npu = 0 B"},
    {"budget", "npu = 512 MiB", "gpu = 9 GiB"},
    {"require", "npu = 50", "npu = 50.5%"},
    {"trust", "owner = root-or-self", "owner = root"},
    {"trust", "hashes = if-given", "hashes = required"},
    {"trust", "extra_directories = allow", "extra_directories = deny"},
    {"trust", "plugins = cpu-*, gpu-*", "plugins = gpu-vulkan, cpu-*"},
    {"runtime", "threads = 0", "threads = 8"},
    {"runtime", "threads = auto", "threads = 8"},
    {"runtime", "threads = 8", "threads = 8"},
    {"runtime", "affinity = 0-3", "affinity = none"},
    {"runtime", "spin_us = 100", "spin_us = 0"},
    {"runtime", "log_level = error", "log_level = debug"},
    {"runtime", "plugin_directories = /a, /b", "plugin_directories = /b"},
    {"runtime", "plugin_directories = /a, /b", "plugin_directories.more = /a"},
    {"delegate cpu-xnnpack", "threads = 4", "threads = 4"},
    {"delegate cpu-xnnpack", "threads = 4", "tile = 8"},
};

static const pair widening[] = {
    {"order", "default = npu, cpu", "default = npu, gpu, cpu"},
    {"order", "default = npu, gpu, cpu", "default = cpu, npu"},
    {"order", "default = gpu-vulkan", "default = gpu"},
    {"order", "default = gpu-v?lkan", "default = gpu-*"},
    {"order", "default = gpu-vulkan:Mali-G78", "default = gpu-vulkan"},
    {"order", "default = gpu", "default = gpux"},
    {"policy", "fallback = error", "fallback = warn"},
    {"pin", "node.a = gpu-vulkan", "node.a = gpu"},
    {"pin", "node.a = gpu", "node.a = cpu"},
    {"pin", "node.blk.* = gpu", "node.blk.3.* = cpu"},
    {"pin", "operator.* = gpu", "operator.Add = cpu"},
    {"forbid", "node.blk.* = gpu", "node.blk.3 = cpu\n[pin]\nnode.blk.3.* = gpu-vulkan"},
    {"budget", "npu = 512 MiB", "npu = 1 GiB"},
    {"budget", "npu = 0 B", "npu = 1 B"},
    {"require", "npu = 50", "npu = 49.9"},
    {"trust", "owner = root", "owner = root-or-self"},
    {"trust", "hashes = required", "hashes = if-given"},
    {"trust", "extra_directories = deny", "extra_directories = allow"},
    {"trust", "plugins = cpu-*", "plugins = *"},
    {"trust", "plugins = cpu-*", "plugins = cpu-*, gpu-*"},
    {"runtime", "threads = 4", "threads = 5"},
    {"runtime", "threads = 4", "threads = 0"},
    {"runtime", "threads = 4", "threads = auto"},
    {"runtime", "spin_us = 0", "spin_us = 100"},
    {"runtime", "plugin_directories = /a", "plugin_directories = /a, /b"},
    {"runtime", "plugin_directories = /a", "plugin_directories.more = /b"},
    {"runtime", "plugin_directories = /a", "plugin_directories = /a/b"},
    {"delegate cpu-xnnpack", "threads = 4", "threads = 5"},
};

static void write_pair(const pair *given, char out_oem[200], char out_app[200]) {
    snprintf(out_oem, 200, "# one line\n[%s]\n%s\n", given->section, given->oem);
    snprintf(out_app, 200, "[%s]\n%s\n", given->section, given->app);
}

static void later_layers_narrow(void) {
    for (size_t i = 0; i < sizeof(narrowing) / sizeof(narrowing[0]); i++) {
        char oem[200], app[200];
        write_pair(&narrowing[i], oem, app);
        sy_conf_destroy(must_read(oem, app));
    }
}

static void later_layers_never_widen(void) {
    for (size_t i = 0; i < sizeof(widening) / sizeof(widening[0]); i++) {
        char oem[200], app[200];
        sy_conf *conf = NULL;
        sy_error error;
        write_pair(&widening[i], oem, app);
        const char *const texts[] = {NULL, oem, NULL, app};
        CHECK_TEXT(read_layers(NULL, texts, 4, &conf, &error) == SY_PERMISSION_DENIED, "%s: %s",
                   widening[i].app, error.message);
        CHECK_TEXT(strstr(error.message, "oem.ini:3") != NULL, "%s", error.message);
        CHECK(strcmp(error.origin, "app.ini") == 0 && error.file_offset >= 2);
        CHECK(error.hint[0] != '\0');
    }
}

static void every_layer_is_bound_by_those_before(void) {
    const char *const texts[] = {"[runtime]\nthreads = 4\n", "[runtime]\nthreads = 3\n",
                                 "[runtime]\nthreads = 4\n", NULL};
    sy_conf *conf = NULL;
    sy_error error;
    CHECK(read_layers(NULL, texts, 4, &conf, &error) == SY_PERMISSION_DENIED);
    CHECK(strstr(error.message, "oem.ini:2") != NULL);
}

static void policy_carries_every_entry_with_its_line(void) {
    sy_conf *conf = must_read("[order]\ndefault = npu, gpu\n[policy]\nmode = cost\nbias.gpu = 0.5\n"
                              "[pin]\noperator.Softmax = npu\n[forbid]\nnode.b* = gpu, npu-x\n"
                              "[budget]\ntotal = 1 GiB\n",
                              "[forbid]\nnode.b* = cpu\n[require]\nnpu = 12.5%\n"
                              "[policy]\nmargin_pct = 7.25\nfallback = warn\n");
    const sy_policy *policy = sy_conf_policy(conf);
    CHECK(policy->struct_bytes == sizeof(sy_policy) && policy->mode == SY_POLICY_COST);
    CHECK(strcmp(policy->mode_source.file, "oem.ini") == 0 && policy->mode_source.line == 4);
    CHECK(policy->margin_pct == 7.25f && policy->fallback == SY_FALLBACK_WARN);
    CHECK(policy->n_orders == 2 && strcmp(policy->orders[1].delegate, "gpu") == 0);
    CHECK(policy->orders[0].bias == 1.0f && policy->orders[1].bias == 0.5f);
    CHECK(policy->orders[1].source.line == 2);
    CHECK(policy->n_rules == 4);
    CHECK(policy->rules[0].kind == SY_RULE_PIN && policy->rules[0].target == SY_RULE_OPERATOR);
    CHECK(strcmp(policy->rules[0].pattern, "Softmax") == 0);
    CHECK(policy->rules[1].kind == SY_RULE_FORBID && policy->rules[1].target == SY_RULE_NODE);
    CHECK(strcmp(policy->rules[2].delegate, "npu-x") == 0);
    CHECK(strcmp(policy->rules[2].pattern, "b*") == 0);
    CHECK(strcmp(policy->rules[3].delegate, "cpu") == 0);
    CHECK(strcmp(policy->rules[3].source.file, "app.ini") == 0 &&
          policy->rules[3].source.line == 2);
    CHECK(policy->n_budgets == 1 && policy->budgets[0].limit_bytes == 1u << 30);
    CHECK(policy->n_requires == 1 && policy->requires_[0].coverage_pct == 12.5f);
    CHECK(policy->requires_[0].source.line == 4);
    sy_conf_destroy(conf);
}

static void thread_settings(void) {
    sy_conf *conf = must_read("[runtime]\nthreads = auto\naffinity = 0-3, 6\nspin_us = 500\n",
                              "[runtime]\nthreads = 4\naffinity = performance\nspin_us = 0\n");
    const sy_conf_runtime *runtime = sy_conf_runtime_settings(conf);
    CHECK(runtime->n_threads == 4 && runtime->spin_us == 0);
    CHECK(strcmp(runtime->affinity, "performance") == 0);
    sy_conf_destroy(conf);
    conf = must_read("[runtime]\nthreads = auto\n", "[runtime]\naffinity = 1\n");
    CHECK(sy_conf_runtime_settings(conf)->n_threads == 0);
    sy_conf_destroy(conf);
}

static void settings_and_options(void) {
    sy_conf *conf = must_read("[runtime]\nthreads = 3\nkv_type = q8_0\nlog_level = debug\n"
                              "plugin_directories.b = /c\nplugin_directories = /a, /b\n"
                              "[trust]\nowner = root\nplugins = cpu-*\n",
                              "[delegate cpu-xnnpack]\ntile = 8\nmode = slow, but sure\n");
    const sy_conf_runtime *runtime = sy_conf_runtime_settings(conf);
    CHECK(runtime->n_threads == 3 && runtime->kv_type == SY_TYPE_Q8_0);
    CHECK(runtime->log_level == SY_SEVERITY_DEBUG);
    CHECK(strcmp(runtime->affinity, "none") == 0 && runtime->spin_us == 1000);
    const sy_conf_trust *trust = sy_conf_trust_settings(conf);
    CHECK(trust->root_only == 1 && trust->require_sha256 == 0 && trust->extra_directories == 1);
    CHECK(trust->n_allowed == 1 && strcmp(trust->allowed[0], "cpu-*") == 0);
    uint32_t n = 0;
    const sy_conf_directory *directories = sy_conf_directories(conf, &n);
    CHECK(n == 3 && strcmp(directories[0].path, "/a") == 0);
    CHECK(strcmp(directories[2].path, "/c") == 0 && directories[2].source.line == 5);
    CHECK(strcmp(sy_conf_delegate_options(conf, "cpu-xnnpack"), "tile=8\nmode=slow, but sure\n") ==
          0);
    CHECK(sy_conf_delegate_options(conf, "cpu") == NULL);
    sy_source source;
    CHECK(strcmp(sy_conf_value(conf, "policy", "mode", &source), "prefer") == 0);
    CHECK(source.file == NULL && sy_conf_value(conf, "policy", "no", NULL) == NULL);
    sy_conf_destroy(conf);
}

static void defaults_ask_for_nothing(void) {
    sy_conf *conf = NULL;
    sy_error error;
    CHECK_OK_ERROR(sy_conf_create(NULL, &conf, &error), error);
    const sy_policy *policy = sy_conf_policy(conf);
    CHECK(policy->mode == SY_POLICY_PREFER && policy->margin_pct == 5.0f);
    CHECK(policy->fallback == SY_FALLBACK_ERROR && policy->n_rules == 0);
    CHECK(policy->n_orders == 3 && policy->n_budgets == 0 && policy->n_requires == 0);
    CHECK(sy_conf_runtime_settings(conf)->kv_type == SY_TYPE_F16);
    sy_conf_destroy(conf);
}

static void layers_out_of_order_are_refused(void) {
    const sy_conf_layer layers[] = {{.level = SY_CONF_APP, .path = "a", .text = ""},
                                    {.level = SY_CONF_OEM, .path = "b", .text = ""}};
    sy_conf_options options;
    sy_conf_options_default(&options);
    options.layers = layers;
    options.n_layers = 2;
    sy_conf *conf = NULL;
    sy_error error;
    CHECK(sy_conf_create(&options, &conf, &error) == SY_INVALID_ARGUMENT && conf == NULL);
}

/* What `show` prints reads back as the same configuration. */
static void shown_text_reads_back(void) {
    sy_conf *conf = must_read("[order]\ndefault = npu, gpu\n[pin]\nnode.a = npu\n[budget]\n"
                              "npu = 3 MiB\n[delegate npu-qnn]\ncores = 2\n",
                              "[runtime]\nthreads = 2\n");
    char *text = NULL, *again = NULL;
    sy_error error;
    CHECK_OK_ERROR(sy_conf_show(conf, &text, &error), error);
    CHECK(strstr(text, "# oem.ini:2\ndefault = npu, gpu\n") != NULL);
    CHECK(strstr(text, "# built in\nmode = prefer\n") != NULL);
    CHECK(strstr(text, "[delegate npu-qnn]\n# oem.ini:8\ncores = 2\n") != NULL);
    sy_conf *copy = must_read(text, NULL);
    CHECK_OK_ERROR(sy_conf_show(copy, &again, &error), error);
    CHECK(sy_conf_policy(copy)->n_rules == 1 && sy_conf_runtime_settings(copy)->n_threads == 2);
    sy_string_destroy(NULL, text);
    sy_string_destroy(NULL, again);
    sy_conf_destroy(conf);
    sy_conf_destroy(copy);
}

/* Each allocation fails in turn, once and for good: a clean status, no leak, then success. */
static void allocation_failures_are_clean(void) {
    static const char *const texts[] = {
        "[order]\ndefault = npu, gpu, cpu\n[policy]\nbias.gpu = 2\n[trust]\nplugins = a*, b*\n",
        "[pin]\nnode.x = npu\n[forbid]\nnode.y* = npu, gpu\n[budget]\nnpu = 1 GiB\n",
        "[runtime]\nplugin_directories = /a, /b\n[delegate a]\nx = 1\n[delegate b]\ny = 2\n",
        "[require]\nnpu = 3\n[runtime]\nplugin_directories = /b\n"};
    for (int persistent = 0; persistent < 2; persistent++) {
        for (uint64_t n = 1;; n++) {
            sy_test_fault fault;
            sy_conf *conf = NULL;
            sy_error error;
            sy_test_fault_init(&fault, n, persistent != 0);
            sy_status status = read_layers(&fault.allocator, texts, 4, &conf, &error);
            CHECK_TEXT((status != SY_OK) == fault.has_failed, "call %lu", (unsigned long)n);
            CHECK(status == SY_OK || SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED);
            sy_conf_destroy(conf);
            CHECK_TEXT(fault.live_bytes == 0, "call %lu leaks", (unsigned long)n);
            if (!fault.has_failed) {
                CHECK(n > 10);
                break;
            }
        }
    }
}

static void covering(void) {
    static const struct {
        const char *wide, *narrow;
        int is_covered;
    } given[] = {{"npu", "npu", 1},
                 {"npu", "npu-qnn", 1},
                 {"npu", "npux", 0},
                 {"npu", "npu:0", 1},
                 {"acme", "acme-two", 0},
                 {"*", "anything", 1},
                 {"gpu-*", "gpu-a*", 1},
                 {"gpu-?", "gpu-*", 0},
                 {"gpu-?", "gpu-?", 1},
                 {"gpu-a", "gpu-*", 0},
                 {"*a*", "*bab*", 1},
                 {"*a", "ab", 0},
                 {"a:b", "a:b:c", 0},
                 {"a:*", "a:b", 1},
                 {"a", "", 0},
                 {"", "", 1},
                 {"**", "", 1},
                 {"blk.*", "blk.3.*", 1}};
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        CHECK_TEXT(sy_ini_covers(given[i].wide, given[i].narrow) == given[i].is_covered,
                   "%s over %s", given[i].wide, given[i].narrow);
    }
}

static const sy_test_case cases[] = {
    {"later_layers_narrow", later_layers_narrow},
    {"later_layers_never_widen", later_layers_never_widen},
    {"every_layer_is_bound_by_those_before", every_layer_is_bound_by_those_before},
    {"policy_carries_every_entry_with_its_line", policy_carries_every_entry_with_its_line},
    {"thread_settings", thread_settings},
    {"settings_and_options", settings_and_options},
    {"defaults_ask_for_nothing", defaults_ask_for_nothing},
    {"layers_out_of_order_are_refused", layers_out_of_order_are_refused},
    {"shown_text_reads_back", shown_text_reads_back},
    {"allocation_failures_are_clean", allocation_failures_are_clean},
    {"covering", covering},
};
SY_TEST_MAIN(cases)
