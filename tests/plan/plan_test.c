/* SPDX-License-Identifier: Apache-2.0 */
/* Plans over delegates whose answers are known. */
#include "plan_fixture.h"

#include <math.h>
#include <stdbool.h>

static sy_plan *plan_or_fail(fixture *f, const sy_policy *policy, const sy_plan_options *options) {
    sy_plan *plan = NULL;
    CHECK_OK_ERROR(sy_plan_create(f->runtime, f->graph, policy, options, &plan, &f->error),
                   f->error);
    return plan;
}

static const char *delegate_of(const sy_plan *plan, uint32_t i_phase, uint32_t i_node) {
    for (uint32_t s = 0; s < sy_plan_n_segments(plan, i_phase); s++) {
        const sy_plan_segment *planned = sy_plan_segment_at(plan, i_phase, s);
        for (uint32_t k = 0; k < planned->segment.n_nodes; k++) {
            if (planned->segment.nodes[k] == i_node) {
                return sy_runtime_delegate(sy_plan_runtime(plan), planned->i_delegate)->name;
            }
        }
    }
    return "nobody";
}

static uint32_t node_named(const fixture *f, const char *name) {
    for (uint32_t i = 0; i < sy_graph_n_nodes(f->graph); i++) {
        sy_node_view node;
        CHECK_OK(sy_graph_node(f->graph, i, &node));
        if (strcmp(node.name, name) == 0) {
            return i;
        }
    }
    CHECK_TEXT(0, "no node %s", name);
    return 0;
}

static bool listed(const uint32_t *list, uint32_t n, uint32_t item) {
    for (uint32_t i = 0; i < n; i++) {
        if (list[i] == item) {
            return true;
        }
    }
    return false;
}

/* Every node once, inputs made before, borders complete: what an executor relies on. */
static void check_segments(const fixture *f, const sy_plan *plan, uint32_t i_phase) {
    uint32_t n_values = sy_graph_n_values(f->graph), n_nodes = sy_graph_n_nodes(f->graph);
    bool *known = calloc(n_values, sizeof(bool)), *done = calloc(n_nodes, sizeof(bool));
    for (uint32_t v = 0; v < n_values; v++) {
        known[v] = sy_graph_producer(f->graph, v) == SY_NO_VALUE;
    }
    for (uint32_t s = 0; s < sy_plan_n_segments(plan, i_phase); s++) {
        const sy_segment *segment = &sy_plan_segment_at(plan, i_phase, s)->segment;
        bool *inside = calloc(n_values, sizeof(bool));
        for (uint32_t k = 0; k < segment->n_inputs; k++) {
            CHECK(known[segment->inputs[k]]);
        }
        for (uint32_t k = 0; k < segment->n_nodes; k++) {
            sy_node_view node;
            CHECK(k == 0 || segment->nodes[k] > segment->nodes[k - 1]);
            CHECK(!done[segment->nodes[k]]);
            done[segment->nodes[k]] = true;
            CHECK_OK(sy_graph_node(f->graph, segment->nodes[k], &node));
            for (uint32_t i = 0; i < node.n_inputs; i++) {
                sy_value_view value;
                CHECK_OK(sy_graph_value(f->graph, node.inputs[i], &value));
                CHECK(value.kind == SY_VALUE_WEIGHT || inside[node.inputs[i]] ||
                      listed(segment->inputs, segment->n_inputs, node.inputs[i]) ||
                      listed(segment->states, segment->n_states, node.inputs[i]));
            }
            for (uint32_t i = 0; i < node.n_outputs; i++) {
                inside[node.outputs[i]] = true;
            }
        }
        for (uint32_t k = 0; k < segment->n_outputs; k++) {
            CHECK(inside[segment->outputs[k]]);
            known[segment->outputs[k]] = true;
        }
        free(inside);
    }
    for (uint32_t i = 0; i < n_nodes; i++) {
        CHECK(done[i]);
    }
    for (uint32_t v = 0; v < n_values; v++) {
        sy_value_view value;
        CHECK_OK(sy_graph_value(f->graph, v, &value));
        CHECK(value.kind != SY_VALUE_OUTPUT || known[v]);
    }
    free(known);
    free(done);
}

static void phases_differ_and_states_stay(void) {
    fixture f;
    sy_plan_phase phases[2];
    sy_plan_options options;
    fixture_begin(&f, NULL, 3);
    fixture_phases(phases, &options);
    sy_plan *plan = plan_or_fail(&f, NULL, &options);
    CHECK(sy_plan_n_phases(plan) == 2);
    check_segments(&f, plan, 0);
    check_segments(&f, plan, 1);
    /* 128 tokens: the NPU saves 500 us a Linear; one token: it only loses. */
    CHECK(strcmp(delegate_of(plan, 0, node_named(&f, "blk.0.q")), "fake-npu") == 0);
    CHECK(strcmp(delegate_of(plan, 1, node_named(&f, "blk.0.q")), "fake-cpu") == 0);
    CHECK(strcmp(delegate_of(plan, 0, node_named(&f, "blk.0.attention")), "fake-cpu") == 0);
    /* q, k and v of the NPU are one segment with the norm before them */
    uint32_t i_norm = node_named(&f, "blk.1.norm");
    CHECK(strcmp(delegate_of(plan, 0, i_norm), "fake-npu") == 0);
    CHECK(sy_plan_n_segments(plan, 0) == 7 && sy_plan_n_segments(plan, 1) == 1);
    for (uint32_t v = 0; v < sy_graph_n_values(f.graph); v++) {
        sy_value_view value;
        CHECK_OK(sy_graph_value(f.graph, v, &value));
        uint32_t owner = sy_plan_state_delegate(plan, v);
        CHECK((value.kind == SY_VALUE_STATE) == (owner != SY_NO_VALUE));
        CHECK(owner == SY_NO_VALUE ||
              strcmp(sy_runtime_delegate(f.runtime, owner)->name, "fake-cpu") == 0);
    }
    sy_plan *again = plan_or_fail(&f, NULL, &options);
    CHECK(sy_plan_hash(plan) == sy_plan_hash(again));
    sy_plan_destroy(again);
    sy_plan_destroy(plan);
    fixture_end(&f);
}

static char *explain(const sy_plan *plan, sy_plan_format format) {
    char *text = NULL;
    sy_error error = {0};
    CHECK_OK_ERROR(sy_plan_explain(plan, format, NULL, &text, &error), error);
    return text;
}

static double total_us(const sy_plan *plan) {
    char *text = explain(plan, SY_PLAN_JSON);
    const char *at = strstr(text, "\"searched_total_us\":");
    double total = -1;
    CHECK(at != NULL && sscanf(at, "\"searched_total_us\": %lf", &total) == 1);
    sy_string_destroy(NULL, text);
    return total;
}

/* What a plan costs when everything that can is on one delegate. */
static double total_on(fixture *f, const sy_plan_options *options, const char *delegate) {
    const sy_policy_rule pin = {
        SY_RULE_PIN, SY_RULE_OPERATOR, "switchyard.Linear", delegate, {NULL, 0}};
    sy_plan_options pinned = *options;
    pinned.rules = &pin;
    pinned.n_rules = 1;
    sy_plan *plan = plan_or_fail(f, NULL, &pinned);
    double total = total_us(plan);
    sy_plan_destroy(plan);
    return total;
}

/* All phases together choose: the NPU when prompts are long, the CPU when many tokens follow. */
static void one_placement_serves_all_phases(void) {
    fixture f;
    sy_plan_phase phases[2];
    sy_plan_options options;
    fixture_begin(&f, NULL, 3);
    fixture_phases(phases, &options);
    for (int k = 0; k < 2; k++) {
        phases[1].n_runs = k == 0 ? 1 : 1000;
        options.placement = SY_PLACEMENT_FREE;
        sy_plan *free_plan = plan_or_fail(&f, NULL, &options);
        options.placement = SY_PLACEMENT_ONE;
        sy_plan *plan = plan_or_fail(&f, NULL, &options);
        for (uint32_t i = 0; i < sy_graph_n_nodes(f.graph); i++) {
            CHECK(strcmp(delegate_of(plan, 0, i), delegate_of(plan, 1, i)) == 0);
        }
        check_segments(&f, plan, 0);
        check_segments(&f, plan, 1);
        CHECK(sy_plan_n_segments(plan, 0) == sy_plan_n_segments(plan, 1));
        CHECK(strcmp(delegate_of(plan, 0, node_named(&f, "blk.1.up")),
                     k == 0 ? "fake-npu" : "fake-cpu") == 0);
        double total = total_us(plan);
        CHECK_TEXT(total >= total_us(free_plan) && total <= total_on(&f, &options, "fake-npu") &&
                       total <= total_on(&f, &options, "fake-cpu"),
                   "%g us", total);
        sy_plan_destroy(free_plan);
        sy_plan_destroy(plan);
    }
    fixture_end(&f);
}

/* An NPU may take the prompts and leave the tokens to a CPU; where it is left out, CPUs share. */
static void one_placement_on_cpus_leaves_others_free(void) {
    fixture f;
    sy_plan_phase phases[2];
    sy_plan_options options;
    const char *without[] = {"fake-npu"};
    fixture_begin(&f, NULL, 3);
    fixture_phases(phases, &options);
    sy_plan *free_plan = plan_or_fail(&f, NULL, &options);
    options.placement = SY_PLACEMENT_ONE_ON_CPUS;
    sy_plan *plan = plan_or_fail(&f, NULL, &options);
    CHECK(total_us(plan) == total_us(free_plan));
    CHECK(strcmp(delegate_of(plan, 0, node_named(&f, "blk.1.up")), "fake-npu") == 0);
    sy_plan_destroy(plan);
    options.without = without;
    options.n_without = 1;
    plan = plan_or_fail(&f, NULL, &options);
    for (uint32_t i = 0; i < sy_graph_n_nodes(f.graph); i++) {
        CHECK(strcmp(delegate_of(plan, 0, i), delegate_of(plan, 1, i)) == 0);
    }
    sy_plan_destroy(free_plan);
    sy_plan_destroy(plan);
    fixture_end(&f);
}

/* A delegate that only decodes cannot have a node of all phases, and the plan says why. */
static void one_placement_needs_all_phases(void) {
    fixture f;
    sy_plan_phase phases[2];
    sy_plan_options options;
    fixture_begin(&f, NULL, 1);
    fixture_phases(phases, &options);
    options.placement = SY_PLACEMENT_ONE;
    f.devices[0].only_static = "Linear"; /* sizes 1 and 32 */
    f.devices[0].us_per_linear = 0.001f;
    sy_plan *plan = plan_or_fail(&f, NULL, &options);
    CHECK(strcmp(delegate_of(plan, 1, node_named(&f, "blk.0.up")), "fake-cpu") == 0);
    char *text = explain(plan, SY_PLAN_TEXT);
    CHECK(strstr(text, "in prefill: only with 1 tokens a step and other fixed sizes") != NULL);
    sy_string_destroy(NULL, text);
    sy_plan_destroy(plan);
    fixture_end(&f);
}

static void rules_decide_and_are_named(void) {
    fixture f;
    sy_plan_phase phases[2];
    sy_plan_options options;
    fixture_begin(&f, NULL, 2);
    fixture_phases(phases, &options);
    const sy_policy_rule rules[] = {
        {SY_RULE_PIN, SY_RULE_NODE, "blk.1.up", "fake-cpu", {"oem.ini", 12}},
        {SY_RULE_FORBID, SY_RULE_OPERATOR, "switchyard.*", "npu", {"oem.ini", 15}}};
    sy_policy policy;
    sy_policy_default(&policy);
    policy.rules = rules;
    policy.n_rules = 1;
    sy_plan *plan = plan_or_fail(&f, &policy, &options);
    CHECK(strcmp(delegate_of(plan, 0, node_named(&f, "blk.1.up")), "fake-cpu") == 0);
    CHECK(strcmp(delegate_of(plan, 0, node_named(&f, "blk.0.up")), "fake-npu") == 0);
    char *text = explain(plan, SY_PLAN_TEXT);
    CHECK(strstr(text, "blk.1.up pinned to fake-cpu (oem.ini:12)") != NULL);
    CHECK(strstr(text, "no kernel for this operator") != NULL);
    sy_string_destroy(NULL, text);
    sy_plan_destroy(plan);
    policy.n_rules = 2;
    plan = plan_or_fail(&f, &policy, &options);
    for (uint32_t i = 0; i < sy_graph_n_nodes(f.graph); i++) {
        CHECK(strcmp(delegate_of(plan, 0, i), "fake-npu") != 0);
    }
    text = explain(plan, SY_PLAN_JSON);
    CHECK(strstr(text, "\"file\": \"oem.ini\"") != NULL && strstr(text, "\"line\": 15") != NULL);
    sy_string_destroy(NULL, text);
    sy_plan_destroy(plan);
    /* the application asks for what nobody can do: an error; the policy with fallback: a note */
    const sy_policy_rule wish = {SY_RULE_PIN, SY_RULE_OPERATOR, "Attention", "fake-npu", {NULL, 0}};
    options.rules = &wish;
    options.n_rules = 1;
    CHECK(sy_plan_create(f.runtime, f.graph, NULL, &options, &plan, &f.error) ==
          SY_FAILED_PRECONDITION);
    CHECK(strstr(f.error.message, "no kernel for this operator") != NULL);
    options.n_rules = 0;
    policy.rules = &wish;
    policy.n_rules = 1;
    plan = plan_or_fail(&f, &policy, &options);
    text = explain(plan, SY_PLAN_TEXT);
    CHECK(strstr(text, "note: Node 'blk.0.attention'") != NULL);
    sy_string_destroy(NULL, text);
    sy_plan_destroy(plan);
    fixture_end(&f);
}

/* Without alternatives the plan is the same, and explains itself as far as it can. */
static void alternatives_may_be_left_out(void) {
    fixture f;
    sy_plan_phase phases[2];
    sy_plan_options options;
    fixture_begin(&f, NULL, 3);
    fixture_phases(phases, &options);
    sy_plan *whole = plan_or_fail(&f, NULL, &options);
    options.no_alternatives = 1;
    sy_plan *quick = plan_or_fail(&f, NULL, &options);
    CHECK(sy_plan_hash(whole) == sy_plan_hash(quick));
    char *with = explain(whole, SY_PLAN_JSON), *without = explain(quick, SY_PLAN_JSON);
    CHECK(strstr(with, "regret_us") != NULL && strstr(without, "regret_us") == NULL);
    sy_string_destroy(NULL, with);
    sy_string_destroy(NULL, without);
    sy_plan_destroy(whole);
    sy_plan_destroy(quick);
    fixture_end(&f);
}

static void without_requirements_and_fallback_hold(void) {
    fixture f;
    sy_plan_phase phases[2];
    sy_plan_options options;
    sy_plan *plan = NULL;
    fixture_begin(&f, NULL, 2);
    fixture_phases(phases, &options);
    const char *without[] = {"npu"};
    options.without = without;
    options.n_without = 1;
    plan = plan_or_fail(&f, NULL, &options);
    char *text = explain(plan, SY_PLAN_TEXT);
    CHECK(strstr(text, "left out by --without npu") != NULL);
    sy_string_destroy(NULL, text);
    sy_plan_destroy(plan);
    CHECK(f.devices[0].n_judged == 0);
    sy_policy policy;
    sy_policy_default(&policy);
    const sy_policy_order orders[] = {{"fake-npu", 1.0f, {"oem.ini", 3}},
                                      {"cpu", 1.0f, {"oem.ini", 3}}};
    policy.orders = orders;
    policy.n_orders = 2;
    policy.fallback = SY_FALLBACK_ERROR;
    CHECK(sy_plan_create(f.runtime, f.graph, &policy, &options, &plan, &f.error) ==
          SY_FAILED_PRECONDITION);
    CHECK(strstr(f.error.message, "'fake-npu' was asked for and stays unused") != NULL);
    CHECK(strcmp(f.error.origin, "oem.ini") == 0 && f.error.file_offset == 3);
    policy.fallback = SY_FALLBACK_WARN;
    plan = plan_or_fail(&f, &policy, &options);
    sy_plan_destroy(plan);
    options.n_without = 0;
    policy.fallback = SY_FALLBACK_ERROR;
    plan = plan_or_fail(&f, &policy, &options);
    sy_plan_destroy(plan);
    const sy_policy_require require = {"npu", 80.0f, {"oem.ini", 9}};
    policy.requires_ = &require;
    policy.n_requires = 1;
    CHECK(sy_plan_create(f.runtime, f.graph, &policy, &options, &plan, &f.error) ==
          SY_FAILED_PRECONDITION);
    CHECK(strstr(f.error.message, "requires 80.0 %") != NULL && f.error.file_offset == 9);
    const char *unknown[] = {"tpu"};
    options.without = unknown;
    options.n_without = 1;
    CHECK(sy_plan_create(f.runtime, f.graph, NULL, &options, &plan, &f.error) == SY_NOT_FOUND);
    fixture_end(&f);
}

static void budgets_hold_weights_once(void) {
    fixture f;
    sy_plan_phase phases[2];
    sy_plan_options options;
    sy_plan *plan = NULL;
    fixture_begin(&f, NULL, 2);
    fixture_phases(phases, &options);
    /* a layer has 4 * 64 * 64 + 2 * 128 * 64 weights and a scale of 64 */
    uint64_t layer_bytes = (4 * 64 * 64 + 2 * 128 * 64) * 4;
    sy_policy policy;
    sy_policy_default(&policy);
    sy_policy_budget budget = {"npu", layer_bytes + 100, {"oem.ini", 20}};
    policy.budgets = &budget;
    policy.n_budgets = 1;
    plan = plan_or_fail(&f, &policy, &options);
    uint64_t held = 0;
    for (uint32_t i = 0; i < sy_graph_n_nodes(f.graph); i++) {
        sy_node_view node;
        sy_value_view weight;
        CHECK_OK(sy_graph_node(f.graph, i, &node));
        if (node.n_inputs == 2 && strcmp(delegate_of(plan, 0, i), "fake-npu") == 0) {
            CHECK_OK(sy_graph_value(f.graph, node.inputs[1], &weight));
            held += weight.kind == SY_VALUE_WEIGHT ? weight.data.length_bytes : 0;
        }
    }
    CHECK(held > layer_bytes / 2 && held <= layer_bytes + 100);
    char *text = explain(plan, SY_PLAN_TEXT);
    CHECK(strstr(text, "fake-npu: budget") != NULL);
    sy_string_destroy(NULL, text);
    sy_plan_destroy(plan);
    budget.delegate = "total";
    budget.limit_bytes = 1000;
    CHECK(sy_plan_create(f.runtime, f.graph, &policy, &options, &plan, &f.error) ==
          SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET));
    CHECK(strstr(f.error.message, "are missing") != NULL);
    fixture_end(&f);
}

static void defects_of_plugins_are_told(void) {
    fixture f;
    sy_plan_phase phases[2];
    sy_plan_options options;
    fixture_begin(&f, NULL, 1);
    fixture_phases(phases, &options);
    f.devices[0].mute = 1;
    sy_plan *plan = plan_or_fail(&f, NULL, &options);
    char *text = explain(plan, SY_PLAN_TEXT);
    CHECK(strstr(text, "without a reason (SYP-8)") != NULL);
    sy_string_destroy(NULL, text);
    sy_plan_destroy(plan);
    f.devices[0].broken = 1;
    plan = plan_or_fail(&f, NULL, &options);
    text = explain(plan, SY_PLAN_TEXT);
    CHECK(strstr(text, "Delegate 'fake-npu' takes no part: its judge failed") != NULL);
    sy_string_destroy(NULL, text);
    sy_plan_destroy(plan);
    f.devices[0].broken = 0;
    f.devices[0].us_per_linear = NAN; /* taken to be as fast as the reference */
    f.devices[0].us_per_other = -1.0f;
    plan = plan_or_fail(&f, NULL, &options);
    check_segments(&f, plan, 0);
    sy_plan_destroy(plan);
    fixture_end(&f);
}

static void static_sizes_bind_to_phases(void) {
    fixture f;
    sy_plan_phase phases[2];
    sy_plan_options options;
    fixture_begin(&f, NULL, 1);
    fixture_phases(phases, &options);
    f.devices[0].only_static = "Linear"; /* sizes 1 and 32 */
    f.devices[0].us_per_linear = 0.001f;
    f.devices[0].launch_us = f.devices[0].link_us = f.devices[0].link_us_per_kib = 0.01f;
    f.devices[0].price_factor = 1.0f; /* so that the launch is known */
    sy_plan *plan = plan_or_fail(&f, NULL, &options);
    CHECK(strcmp(delegate_of(plan, 0, node_named(&f, "blk.0.up")), "fake-cpu") == 0);
    CHECK(strcmp(delegate_of(plan, 1, node_named(&f, "blk.0.up")), "fake-npu") == 0);
    char *text = explain(plan, SY_PLAN_TEXT);
    CHECK(strstr(text, "only with 1 tokens a step and other fixed sizes") != NULL);
    sy_string_destroy(NULL, text);
    sy_plan_destroy(plan);
    fixture_end(&f);
}

/* A price far above the sum of the nodes must move work away. */
static void prices_of_segments_count(void) {
    fixture f;
    sy_plan_phase phases[2];
    sy_plan_options options;
    fixture_begin(&f, NULL, 2);
    fixture_phases(phases, &options);
    f.devices[0].price_factor = 1.0f;
    sy_plan *plan = plan_or_fail(&f, NULL, &options);
    CHECK(strcmp(delegate_of(plan, 0, node_named(&f, "blk.1.up")), "fake-npu") == 0);
    sy_plan_destroy(plan);
    f.devices[0].price_factor = 30.0f;
    plan = plan_or_fail(&f, NULL, &options);
    CHECK(strcmp(delegate_of(plan, 0, node_named(&f, "blk.1.up")), "fake-cpu") == 0);
    sy_plan_destroy(plan);
    fixture_end(&f);
}

static void nobody_left_is_an_error_with_a_name(void) {
    fixture f;
    sy_plan_phase phases[2];
    sy_plan_options options;
    sy_plan *plan = NULL;
    fixture_begin(&f, NULL, 1);
    fixture_phases(phases, &options);
    const char *without[] = {"cpu", "reference"};
    options.without = without;
    options.n_without = 2;
    CHECK(sy_plan_create(f.runtime, f.graph, NULL, &options, &plan, &f.error) == SY_UNIMPLEMENTED);
    CHECK(strstr(f.error.message, "'blk.0.attention' (Attention)") != NULL);
    CHECK(f.error.i_node == node_named(&f, "blk.0.attention"));
    options.n_without = 0;
    const sy_policy_rule rules[] = {
        {SY_RULE_FORBID, SY_RULE_OPERATOR, "Relu", "*", {"admin.ini", 4}}};
    sy_policy policy;
    sy_policy_default(&policy);
    policy.rules = rules;
    policy.n_rules = 1;
    CHECK(sy_plan_create(f.runtime, f.graph, &policy, &options, &plan, &f.error) ==
          SY_FAILED_PRECONDITION);
    CHECK(strstr(f.error.message, "admin.ini:4") != NULL);
    fixture_end(&f);
}

/* Braces, brackets and quotes balance, and the SVG closes what it opens. */
static void explanations_are_well_formed(void) {
    fixture f;
    sy_plan_phase phases[2];
    sy_plan_options options;
    fixture_begin(&f, NULL, 3);
    fixture_phases(phases, &options);
    sy_plan *plan = plan_or_fail(&f, NULL, &options);
    char *json = explain(plan, SY_PLAN_JSON);
    int depth = 0;
    bool quoted = false;
    for (const char *at = json; *at != '\0'; at++) {
        if (quoted && *at == '\\') {
            at++;
        } else if (*at == '"') {
            quoted = !quoted;
        } else if (!quoted) {
            depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
        }
        CHECK(depth >= 0);
    }
    CHECK(depth == 0 && !quoted);
    char *svg = explain(plan, SY_PLAN_SVG);
    CHECK(strncmp(svg, "<svg ", 5) == 0 && strstr(svg, "</svg>\n") != NULL);
    CHECK(strstr(svg, "tiny &lt;model&gt;") != NULL && strstr(svg, "<model>") == NULL);
    CHECK(strstr(svg, "nan") == NULL && strstr(svg, "inf") == NULL);
    char *text = explain(plan, SY_PLAN_TEXT);
    CHECK(strstr(text, "single device") != NULL && strstr(text, "what support would save") != NULL);
    const char *folder = getenv("SY_PLAN_DUMP"); /* to look at them */
    const char *names[3] = {"plan.txt", "plan.json", "plan.svg"}, *texts[3] = {text, json, svg};
    for (int i = 0; folder != NULL && i < 3; i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        FILE *file = fopen(path, "w");
        CHECK(file != NULL && fputs(texts[i], file) >= 0 && fclose(file) == 0);
    }
    sy_string_destroy(NULL, json);
    sy_string_destroy(NULL, svg);
    sy_string_destroy(NULL, text);
    sy_plan_destroy(plan);
    fixture_end(&f);
}

typedef struct failing {
    uint64_t n_calls, i_failing, live_bytes;
} failing;

static void *failing_reallocate(void *self, void *pointer, size_t old_bytes, size_t new_bytes,
                                size_t alignment_bytes) {
    failing *state = self;
    const sy_allocator *heap = sy_allocator_heap();
    if (new_bytes > 0 && ++state->n_calls == state->i_failing) {
        return NULL;
    }
    void *block = heap->reallocate(heap->self, pointer, old_bytes, new_bytes, alignment_bytes);
    if (new_bytes == 0 || block != NULL) {
        state->live_bytes += new_bytes - old_bytes;
    }
    return block;
}

static void every_allocation_may_fail(void) {
    fixture f;
    failing state = {0};
    sy_allocator allocator = {failing_reallocate, &state};
    sy_plan_phase phases[2];
    sy_plan_options options;
    fixture_begin(&f, &allocator, 1);
    fixture_phases(phases, &options);
    uint64_t live_bytes = state.live_bytes, n_failures = 0;
    sy_status status = SY_INTERNAL;
    for (uint64_t i = 1; status != SY_OK; i++) {
        sy_plan *plan = NULL;
        char *text = NULL;
        state.n_calls = 0;
        state.i_failing = i;
        status = sy_plan_create(f.runtime, f.graph, NULL, &options, &plan, &f.error);
        CHECK(status == SY_OK || status == SY_RESOURCE_EXHAUSTED);
        if (status == SY_OK) {
            status = sy_plan_explain(plan, SY_PLAN_JSON, &allocator, &text, &f.error);
            CHECK(status == SY_OK || status == SY_RESOURCE_EXHAUSTED);
            sy_string_destroy(&allocator, text);
            sy_plan_destroy(plan);
        }
        n_failures += status != SY_OK;
        CHECK_TEXT(state.live_bytes == live_bytes, "allocation %llu leaks", (unsigned long long)i);
    }
    printf("%llu allocations refused in turn\n", (unsigned long long)n_failures);
    CHECK(n_failures > 200);
    state.i_failing = 0;
    fixture_end(&f);
    CHECK(state.live_bytes == 0);
}

static const sy_test_case cases[] = {
    {"phases_differ_and_states_stay", phases_differ_and_states_stay},
    {"one_placement_serves_all_phases", one_placement_serves_all_phases},
    {"one_placement_on_cpus_leaves_others_free", one_placement_on_cpus_leaves_others_free},
    {"one_placement_needs_all_phases", one_placement_needs_all_phases},
    {"rules_decide_and_are_named", rules_decide_and_are_named},
    {"alternatives_may_be_left_out", alternatives_may_be_left_out},
    {"without_requirements_and_fallback_hold", without_requirements_and_fallback_hold},
    {"budgets_hold_weights_once", budgets_hold_weights_once},
    {"defects_of_plugins_are_told", defects_of_plugins_are_told},
    {"static_sizes_bind_to_phases", static_sizes_bind_to_phases},
    {"prices_of_segments_count", prices_of_segments_count},
    {"nobody_left_is_an_error_with_a_name", nobody_left_is_an_error_with_a_name},
    {"explanations_are_well_formed", explanations_are_well_formed},
    {"every_allocation_may_fail", every_allocation_may_fail},
};
SY_TEST_MAIN(cases)
