/* SPDX-License-Identifier: Apache-2.0 */
/* The policy part of the settings. Entries of earlier layers come first: where the first match
 * decides, they win. */
#include "conf_internal.h"

#include <string.h>

#define ITEMS_PER_LINE 95u /* a line of 190 bytes holds no more items */

static bool is_in(const sy__setting *setting, const char *section) {
    return strcmp(setting->section, section) == 0;
}

static size_t count(const sy_conf *conf, const char *section) {
    size_t n = 0;
    for (size_t i = 0; i < conf->n_settings; i++) {
        n += is_in(&conf->settings[i], section);
    }
    return n;
}

static const char *next_string(sy_conf *conf, const char **inout_cursor, sy_status *out_status,
                               sy_error *error) {
    size_t n = 0;
    const char *item = sy_ini_item(inout_cursor, &n);
    if (item == NULL) {
        return NULL;
    }
    const char *copy = sy__arena_string(&conf->arena, item, n);
    *out_status = copy != NULL ? SY_OK : sy__no_memory(error, n, "a delegate of the policy");
    return copy;
}

static sy_status no_memory(size_t n, size_t size_bytes, sy_error *error) {
    return sy__no_memory(error, n * size_bytes, "the policy");
}

static sy_status build_orders(sy_conf *conf, sy_error *error) {
    sy_source source = {NULL, 0};
    const char *list = sy_conf_value(conf, "order", "default", &source);
    sy_policy_order *orders = sy__arena_alloc(&conf->arena, ITEMS_PER_LINE, sizeof(*orders));
    if (orders == NULL) {
        return no_memory(ITEMS_PER_LINE, sizeof(*orders), error);
    }
    uint32_t n = 0;
    sy_status status = SY_OK;
    for (const char *name = next_string(conf, &list, &status, error); name != NULL;
         name = next_string(conf, &list, &status, error)) {
        orders[n++] = (sy_policy_order){name, 1.0f, source};
    }
    conf->policy.orders = orders;
    conf->policy.n_orders = n;
    for (size_t i = 0; status == SY_OK && i < conf->n_settings; i++) {
        const sy__setting *setting = &conf->settings[i];
        if (!is_in(setting, "policy") || strncmp(setting->key, "bias.", 5) != 0) {
            continue;
        }
        bool is_found = false;
        for (uint32_t j = 0; j < n; j++) {
            if (strcmp(orders[j].delegate, setting->key + 5) == 0) {
                orders[j].bias = (float)sy_ini_number(setting->rule, setting->value);
                is_found = true;
            }
        }
        if (!is_found) {
            sy_error_set(error, SY_INVALID_ARGUMENT, "[policy] %s: [order] does not name \"%s\".",
                         setting->key, setting->key + 5);
            sy_error_hint(error, "Write it as in [order], or add it there.");
            sy_error_at(error, setting->source.file, setting->source.line);
            return SY_INVALID_ARGUMENT;
        }
    }
    return status;
}

static sy_status build_rules(sy_conf *conf, sy_error *error) {
    size_t capacity = count(conf, "pin") + count(conf, "forbid") * ITEMS_PER_LINE;
    sy_policy_rule *rules = sy__arena_alloc(&conf->arena, capacity, sizeof(*rules));
    if (rules == NULL) {
        return no_memory(capacity, sizeof(*rules), error);
    }
    uint32_t n = 0;
    for (size_t i = 0; i < conf->n_settings; i++) {
        const sy__setting *setting = &conf->settings[i];
        bool is_pin = is_in(setting, "pin");
        if (!is_pin && !is_in(setting, "forbid")) {
            continue;
        }
        sy_policy_rule rule = {.kind = is_pin ? SY_RULE_PIN : SY_RULE_FORBID,
                               .target = setting->key[0] == 'o' ? SY_RULE_OPERATOR : SY_RULE_NODE,
                               .pattern = strchr(setting->key, '.') + 1,
                               .source = setting->source};
        const char *cursor = setting->value;
        sy_status status = SY_OK;
        for (rule.delegate = next_string(conf, &cursor, &status, error); rule.delegate != NULL;
             rule.delegate = next_string(conf, &cursor, &status, error)) {
            rules[n++] = rule;
        }
        if (status != SY_OK) {
            return status;
        }
    }
    conf->policy.rules = rules;
    conf->policy.n_rules = n;
    return SY_OK;
}

static sy_status build_limits(sy_conf *conf, sy_error *error) {
    size_t n_budgets = count(conf, "budget"), n_requires = count(conf, "require");
    sy_policy_budget *budgets = sy__arena_alloc(&conf->arena, n_budgets, sizeof(*budgets));
    sy_policy_require *requires_ = sy__arena_alloc(&conf->arena, n_requires, sizeof(*requires_));
    if (budgets == NULL || requires_ == NULL) {
        return no_memory(n_budgets + n_requires, sizeof(*budgets), error);
    }
    for (size_t i = 0; i < conf->n_settings; i++) {
        const sy__setting *setting = &conf->settings[i];
        if (is_in(setting, "budget")) {
            budgets[conf->policy.n_budgets++] = (sy_policy_budget){
                setting->key, sy_ini_u64(setting->rule, setting->value), setting->source};
        } else if (is_in(setting, "require")) {
            requires_[conf->policy.n_requires++] = (sy_policy_require){
                setting->key, (float)sy_ini_number(setting->rule, setting->value), setting->source};
        }
    }
    conf->policy.budgets = budgets;
    conf->policy.requires_ = requires_;
    return SY_OK;
}

static float number(const sy_conf *conf, const char *key) {
    const sy_ini_rule *rule = sy_ini_rule_find(sy_conf_schema(), "policy", key);
    return (float)sy_ini_number(rule, sy_conf_value(conf, "policy", key, NULL));
}

sy_status sy__conf_build_policy(sy_conf *conf, sy_error *error) {
    sy_policy *policy = &conf->policy;
    memset(policy, 0, sizeof(*policy));
    policy->struct_bytes = (uint32_t)sizeof(*policy);
    const char *mode = sy_conf_value(conf, "policy", "mode", &policy->mode_source);
    policy->mode = (sy_policy_mode)sy_ini_choice("strict|prefer|cost", mode);
    policy->fallback = (sy_fallback)sy_ini_choice("allow|warn|error",
                                                  sy_conf_value(conf, "policy", "fallback", NULL));
    policy->margin_pct = number(conf, "margin_pct");
    policy->energy_weight = number(conf, "energy_weight");
    policy->segment_min_us = number(conf, "segment_min_us");
    sy_status status = build_orders(conf, error);
    if (status == SY_OK) {
        status = build_rules(conf, error);
    }
    return status == SY_OK ? build_limits(conf, error) : status;
}
