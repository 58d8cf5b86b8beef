/* SPDX-License-Identifier: Apache-2.0 */
#include "switchyard/policy.h"

#include "plan/policy_match.h"

#include <string.h>

#define REFERENCE_NAME "reference"

/* The order of a policy that names none; the reference delegate comes after everything unnamed. */
static const sy_policy_order default_orders[] = {
    {"npu", 1.0f, {NULL, 0}},
    {"gpu", 1.0f, {NULL, 0}},
    {"cpu", 1.0f, {NULL, 0}},
};

void sy_policy_default(sy_policy *out_policy) {
    memset(out_policy, 0, sizeof(*out_policy));
    out_policy->struct_bytes = (uint32_t)sizeof(*out_policy);
    out_policy->mode = SY_POLICY_PREFER;
    out_policy->margin_pct = 5.0f;
    out_policy->fallback = SY_FALLBACK_ALLOW;
    out_policy->n_orders = (uint32_t)(sizeof(default_orders) / sizeof(default_orders[0]));
    out_policy->orders = default_orders;
}

/* Glob over a text that ends at `text_end`. Linear apart from one point to return to. */
static bool glob_range(const char *pattern, const char *pattern_end, const char *text,
                       const char *text_end) {
    const char *retry_pattern = NULL, *retry_text = NULL;
    while (text < text_end) {
        if (pattern < pattern_end && *pattern == '*') {
            retry_pattern = ++pattern;
            retry_text = text;
        } else if (pattern < pattern_end && (*pattern == '?' || *pattern == *text)) {
            pattern++;
            text++;
        } else if (retry_pattern != NULL) {
            pattern = retry_pattern;
            text = ++retry_text;
        } else {
            return false;
        }
    }
    while (pattern < pattern_end && *pattern == '*') {
        pattern++;
    }
    return pattern == pattern_end;
}

bool sy__glob_matches(const char *pattern, const char *text) {
    return glob_range(pattern, pattern + strlen(pattern), text, text + strlen(text));
}

static const char *class_name(sy_device_class device_class) {
    switch (device_class) {
    case SY_DEVICE_CPU:
        return "cpu";
    case SY_DEVICE_GPU:
        return "gpu";
    case SY_DEVICE_NPU:
        return "npu";
    case SY_DEVICE_DSP:
        return "dsp";
    default:
        return "other";
    }
}

/* A class word never means the reference delegate: "forbid on cpu" leaves the last resort. */
static bool selects_name(const char *selector, size_t n_bytes, const char *delegate_name,
                         sy_device_class device_class) {
    const char *end = selector + n_bytes;
    if (glob_range(selector, end, delegate_name, delegate_name + strlen(delegate_name))) {
        return true;
    }
    const char *word = class_name(device_class);
    return strcmp(delegate_name, REFERENCE_NAME) != 0 && strlen(word) == n_bytes &&
           memcmp(word, selector, n_bytes) == 0;
}

int sy_policy_selects(const char *selector, const char *delegate_name, const char *device_id,
                      sy_device_class device_class) {
    if (selector == NULL || delegate_name == NULL) {
        return 0;
    }
    const char *colon = strchr(selector, ':');
    size_t n_name = colon != NULL ? (size_t)(colon - selector) : strlen(selector);
    if (!selects_name(selector, n_name, delegate_name, device_class)) {
        return 0;
    }
    return colon == NULL || sy__glob_matches(colon + 1, device_id != NULL ? device_id : "");
}

uint32_t sy_policy_rank(const sy_policy *policy, const char *delegate_name, const char *device_id,
                        sy_device_class device_class, sy_source *out_source) {
    static const sy_source no_source = {NULL, 0};
    const sy_policy_order *orders = default_orders;
    uint32_t n_orders = (uint32_t)(sizeof(default_orders) / sizeof(default_orders[0]));
    if (policy != NULL && policy->n_orders > 0) {
        orders = policy->orders;
        n_orders = policy->n_orders;
    }
    for (uint32_t i = 0; i < n_orders; i++) {
        if (sy_policy_selects(orders[i].delegate, delegate_name, device_id, device_class)) {
            if (out_source != NULL) {
                *out_source = orders[i].source;
            }
            return i;
        }
    }
    if (out_source != NULL) {
        *out_source = no_source;
    }
    return n_orders + (strcmp(delegate_name, REFERENCE_NAME) == 0 ? 1u : 0u);
}

bool sy__rule_covers(const sy_policy_rule *rule, const char *domain, const char *op,
                     const char *node_name) {
    if (rule->target == SY_RULE_NODE) {
        return sy__glob_matches(rule->pattern, node_name != NULL ? node_name : "");
    }
    if (sy__glob_matches(rule->pattern, op)) {
        return true;
    }
    const char *dot = strchr(rule->pattern, '.');
    if (dot == NULL || domain == NULL) {
        return false;
    }
    return glob_range(rule->pattern, dot, domain, domain + strlen(domain)) &&
           sy__glob_matches(dot + 1, op);
}
