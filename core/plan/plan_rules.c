/* SPDX-License-Identifier: Apache-2.0 */
/* What the OEM's policy and the application say: who takes part, pins, forbids, requirements. */
#include "plan/plan_internal.h"
#include "plan/policy_match.h"

#include <string.h>

static bool selects(const char *selector, const sy__plan_delegate *who) {
    const sy_delegate *delegate = who->delegate;
    return sy_policy_selects(selector, delegate->name, delegate->info.id,
                             delegate->info.device_class) != 0;
}

/* Delegates in quarantine, or that are planned for as if they were, are excused: nothing is asked
 * of them that others could not do. */
static bool is_excused(const sy_plan *plan, const char *selector) {
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        if (plan->delegates[d].excused && selects(selector, &plan->delegates[d])) {
            return true;
        }
    }
    return false;
}

static sy_status leave_out_unsound(sy_plan *plan, sy_error *error) {
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        sy_delegate_record record;
        sy_runtime_get_record(plan->runtime, d, &record);
        if (sy_runtime_is_usable(plan->runtime, d)) {
            continue;
        }
        plan->delegates[d].left_out = plan->delegates[d].excused = true;
        plan->delegates[d].left_out_text = sy__plan_text(
            plan,
            record.condition == SY_CONDITION_OUT ? "out after %u failures, the last: %s"
                                                 : "in quarantine after %u failures, the "
                                                   "last: %s",
            record.n_failures, sy_failure_name(record.failure));
        if (plan->delegates[d].left_out_text == NULL) {
            return sy__plan_no_memory(error);
        }
    }
    return SY_OK;
}

sy_status sy__plan_leave_out(sy_plan *plan, const sy_plan_options *options, sy_error *error) {
    sy_status status = leave_out_unsound(plan, error);
    if (status != SY_OK) {
        return status;
    }
    for (uint32_t k = 0; options != NULL && k < options->n_without; k++) {
        bool any = false;
        for (uint32_t d = 0; d < plan->n_delegates; d++) {
            if (selects(options->without[k], &plan->delegates[d])) {
                any = true;
                plan->delegates[d].left_out = true;
                plan->delegates[d].excused |= options->is_shadow != 0;
                plan->delegates[d].left_out_text =
                    sy__plan_text(plan, "left out by --without %s", options->without[k]);
                if (plan->delegates[d].left_out_text == NULL) {
                    return sy__plan_no_memory(error);
                }
            }
        }
        if (!any) {
            sy_error_set(error, SY_NOT_FOUND,
                         "No delegate is called '%s', so it cannot be left "
                         "out.",
                         options->without[k]);
            sy_error_hint(error, "`switchyard delegates` lists the names.");
            return SY_NOT_FOUND;
        }
    }
    return SY_OK;
}

static const char *rule_text(sy_plan *plan, const sy_policy_rule *rule) {
    const char *verb = rule->kind == SY_RULE_PIN ? "pinned to" : "forbidden on";
    if (rule->source.file == NULL) {
        return sy__plan_text(plan, "%s %s %s (by the application)", rule->pattern, verb,
                             rule->delegate);
    }
    return sy__plan_text(plan, "%s %s %s (%s:%u)", rule->pattern, verb, rule->delegate,
                         rule->source.file, rule->source.line);
}

/* One rule list over one node. Rules of the application can only take away, so they come second. */
typedef struct rule_run {
    sy_plan *plan;
    const sy_policy_rule *rules;
    uint32_t n_rules;
    const char **texts; /* [rule], made when a rule first decides */
    bool by_application;
} rule_run;

static const char *text_of(rule_run *run, uint32_t i_rule) {
    if (run->texts[i_rule] == NULL) {
        run->texts[i_rule] = rule_text(run->plan, &run->rules[i_rule]);
    }
    return run->texts[i_rule];
}

static bool rule_out(rule_run *run, uint32_t i_node, uint32_t i_delegate, uint32_t i_rule) {
    const char *text = text_of(run, i_rule);
    for (uint32_t p = 0; text != NULL && p < run->plan->n_phases; p++) {
        sy__offer *offer = sy__plan_offer(run->plan, p, i_node, i_delegate);
        if (offer->kind == SY__COST) {
            offer->kind = SY__RULE;
            offer->text = text;
            offer->source = run->rules[i_rule].source;
        }
    }
    return text != NULL;
}

static sy_status forbid(rule_run *run, uint32_t i_node, const sy_node_view *node, sy_error *error) {
    for (uint32_t r = 0; r < run->n_rules; r++) {
        const sy_policy_rule *rule = &run->rules[r];
        if (rule->kind != SY_RULE_FORBID ||
            !sy__rule_covers(rule, node->domain, node->op, node->name)) {
            continue;
        }
        for (uint32_t d = 0; d < run->plan->n_delegates; d++) {
            if (selects(rule->delegate, &run->plan->delegates[d]) && !rule_out(run, i_node, d, r)) {
                return sy__plan_no_memory(error);
            }
        }
    }
    return SY_OK;
}

static bool runs_everywhere(const sy_plan *plan, uint32_t i_node, uint32_t i_delegate) {
    for (uint32_t p = 0; p < plan->n_phases; p++) {
        if (sy__plan_offer(plan, p, i_node, i_delegate)->kind != SY__COST) {
            return false;
        }
    }
    return true;
}

/* A pin that nobody can keep: an error when the application or the policy insists, else a note. */
static sy_status broken_pin(rule_run *run, const sy_node_view *node, uint32_t i_node,
                            uint32_t i_rule, sy_error *error) {
    sy_plan *plan = run->plan;
    const char *text = text_of(run, i_rule), *why = NULL;
    for (uint32_t d = 0; why == NULL && d < plan->n_delegates; d++) {
        if (selects(run->rules[i_rule].delegate, &plan->delegates[d])) {
            for (uint32_t p = 0; why == NULL && p < plan->n_phases; p++) {
                const sy__offer *offer = sy__plan_offer(plan, p, i_node, d);
                why = offer->kind != SY__COST && offer->text != NULL ? offer->text : why;
            }
        }
    }
    why = why != NULL ? why : "no such delegate is here";
    if (text == NULL) {
        return sy__plan_no_memory(error);
    }
    if ((!run->by_application && plan->policy->fallback != SY_FALLBACK_ERROR) ||
        is_excused(plan, run->rules[i_rule].delegate)) {
        return sy__plan_note(plan, error, "Node '%s' is %s, which cannot be kept: %s.", node->name,
                             text, why);
    }
    sy_error_set(error, SY_FAILED_PRECONDITION, "Node '%s' (%s) is %s, which cannot be kept: %s.",
                 node->name, node->op, text, why);
    if (error != NULL) {
        error->i_node = i_node;
    }
    if (run->rules[i_rule].source.file != NULL) {
        sy_error_at(error, run->rules[i_rule].source.file, run->rules[i_rule].source.line);
    }
    sy_error_hint(error, "Change the pin, or set fallback = allow in [policy].");
    return SY_FAILED_PRECONDITION;
}

/* The first pin that covers the node decides. */
static sy_status pin(rule_run *run, uint32_t i_node, const sy_node_view *node, sy_error *error) {
    sy_plan *plan = run->plan;
    for (uint32_t r = 0; r < run->n_rules; r++) {
        const sy_policy_rule *rule = &run->rules[r];
        if (rule->kind != SY_RULE_PIN ||
            !sy__rule_covers(rule, node->domain, node->op, node->name)) {
            continue;
        }
        bool any = false;
        for (uint32_t d = 0; d < plan->n_delegates; d++) {
            any = any || (selects(rule->delegate, &plan->delegates[d]) &&
                          runs_everywhere(plan, i_node, d));
        }
        if (!any) {
            return broken_pin(run, node, i_node, r, error);
        }
        for (uint32_t d = 0; d < plan->n_delegates; d++) {
            if (!selects(rule->delegate, &plan->delegates[d]) && !rule_out(run, i_node, d, r)) {
                return sy__plan_no_memory(error);
            }
        }
        return SY_OK;
    }
    return SY_OK;
}

static sy_status apply(rule_run *run, sy_error *error) {
    if (run->n_rules == 0) {
        return SY_OK;
    }
    run->texts = sy__arena_alloc(&run->plan->arena, run->n_rules, sizeof(*run->texts));
    if (run->texts == NULL) {
        return sy__plan_no_memory(error);
    }
    for (uint32_t i = 0; i < run->plan->n_nodes; i++) {
        sy_node_view node;
        if (sy_graph_node(run->plan->graph, i, &node) != SY_OK) {
            return sy_error_set(error, SY_INTERNAL, "The graph does not answer for node %u.", i);
        }
        sy_status status = forbid(run, i, &node, error);
        if (status == SY_OK) {
            status = pin(run, i, &node, error);
        }
        if (status != SY_OK) {
            return status;
        }
    }
    return SY_OK;
}

sy_status sy__plan_apply_rules(sy_plan *plan, const sy_plan_options *options, sy_error *error) {
    rule_run run = {.plan = plan, .rules = plan->policy->rules, .n_rules = plan->policy->n_rules};
    sy_status status = apply(&run, error);
    if (status != SY_OK || options == NULL) {
        return status;
    }
    rule_run narrow = {
        .plan = plan, .rules = options->rules, .n_rules = options->n_rules, .by_application = true};
    return apply(&narrow, error);
}

static sy_status check_requires(sy_plan *plan, sy_error *error) {
    for (uint32_t r = 0; r < plan->policy->n_requires; r++) {
        const sy_policy_require *require = &plan->policy->requires_[r];
        uint64_t n_here = 0, n_all = (uint64_t)plan->n_nodes * plan->n_phases;
        for (uint32_t d = 0; d < plan->n_delegates; d++) {
            n_here += selects(require->delegate, &plan->delegates[d])
                          ? plan->delegates[d].n_nodes_run
                          : 0u;
        }
        double pct = n_all > 0 ? 100.0 * (double)n_here / (double)n_all : 100.0;
        if (pct < (double)require->coverage_pct && !is_excused(plan, require->delegate)) {
            sy_error_set(error, SY_FAILED_PRECONDITION,
                         "%.1f %% of the nodes run on %s, but the policy requires %.1f %%.", pct,
                         require->delegate, (double)require->coverage_pct);
            if (require->source.file != NULL) {
                sy_error_at(error, require->source.file, require->source.line);
            }
            sy_error_hint(error, "`switchyard plan` lists what it cannot run, and why.");
            return SY_FAILED_PRECONDITION;
        }
    }
    return SY_OK;
}

/* A class word only orders what happens to be there; a delegate's own name asks for it. */
static bool is_class_word(const char *selector) {
    static const char *const words[] = {"npu", "gpu", "cpu", "dsp", "other"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(selector, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* A place of the order that nobody fills although a later one does work. */
static sy_status check_order(sy_plan *plan, uint32_t i_order, sy_error *error) {
    const sy_policy_order *order = &plan->policy->orders[i_order];
    bool used = false, later_used = false;
    const char *why = "no such delegate is here";
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        const sy__plan_delegate *who = &plan->delegates[d];
        bool here = selects(order->delegate, who);
        used = used || (here && who->n_nodes_run > 0);
        later_used = later_used || (who->rank > i_order && who->n_nodes_run > 0);
        if (here) {
            why = who->left_out ? who->left_out_text : "it would make the plan slower, or cannot";
        }
    }
    if (used || !later_used || plan->policy->fallback == SY_FALLBACK_ALLOW ||
        is_class_word(order->delegate)) {
        return SY_OK;
    }
    if (plan->policy->fallback == SY_FALLBACK_WARN || is_excused(plan, order->delegate)) {
        return sy__plan_note(plan, error, "'%s' was asked for and stays unused: %s.",
                             order->delegate, why);
    }
    sy_error_set(error, SY_FAILED_PRECONDITION, "'%s' was asked for and stays unused: %s.",
                 order->delegate, why);
    if (order->source.file != NULL) {
        sy_error_at(error, order->source.file, order->source.line);
    }
    sy_error_hint(error, "Set fallback = allow or warn in [policy] to run without it.");
    return SY_FAILED_PRECONDITION;
}

sy_status sy__plan_check_use(sy_plan *plan, sy_error *error) {
    sy_status status = check_requires(plan, error);
    for (uint32_t k = 0; status == SY_OK && k < plan->policy->n_orders; k++) {
        status = check_order(plan, k, error);
    }
    return status;
}
