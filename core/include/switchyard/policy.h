/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy: what an OEM's priority file says, as a plain struct. conf/ fills it from INI layers;
 * an application may fill it by hand. Every entry remembers the file and line it came from, so that
 * a plan can say which line decided. Strings are borrowed and must outlive the policy.
 */
#ifndef SWITCHYARD_POLICY_H
#define SWITCHYARD_POLICY_H

#include "switchyard/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where an entry came from. file NULL: built-in default or the application's own code. */
typedef struct sy_source {
    const char *file;
    uint32_t line;
} sy_source;

/* How the order and the costs are weighed:
 *   STRICT  the first delegate of the order that can run a node, whatever it costs
 *   PREFER  (default) a later one is taken only when the whole plan gets cheaper by margin_pct
 *   COST    the order only breaks ties within 1 % */
typedef enum sy_policy_mode {
    SY_POLICY_STRICT = 0,
    SY_POLICY_PREFER = 1,
    SY_POLICY_COST = 2
} sy_policy_mode;

typedef enum sy_fallback {
    SY_FALLBACK_ALLOW = 0, /* a delegate that was asked for may stay unused */
    SY_FALLBACK_WARN = 1,
    SY_FALLBACK_ERROR = 2 /* default: asked for and unused is an error */
} sy_fallback;

/* A delegate selector: plugin name ("cpu-xnnpack"), "name:device-id", or a class "npu" "gpu" "cpu"
 * "dsp"; "reference" is the built-in one. Glob characters * and ? are allowed. */

/* One place in the order. Earlier is preferred. bias multiplies the estimated time (1 none). */
typedef struct sy_policy_order {
    const char *delegate;
    float bias;
    sy_source source;
} sy_policy_order;

typedef enum sy_rule_kind { SY_RULE_PIN = 0, SY_RULE_FORBID = 1 } sy_rule_kind;
typedef enum sy_rule_target {
    SY_RULE_OPERATOR = 0, /* glob over "Linear", "switchyard.Attention", "Add" */
    SY_RULE_NODE = 1      /* glob over the node name, e.g. "blk.3.*" */
} sy_rule_target;

/* Pins nodes to, or forbids them on, the delegates that the selector matches. */
typedef struct sy_policy_rule {
    sy_rule_kind kind;
    sy_rule_target target;
    const char *pattern;
    const char *delegate;
    sy_source source;
} sy_policy_rule;

/* Memory a delegate (or, with delegate "total", the runtime) may take for weights, states, arenas
 * and scratch together. */
typedef struct sy_policy_budget {
    const char *delegate;
    uint64_t limit_bytes;
    sy_source source;
} sy_policy_budget;

/* The share of nodes (by count, percent) that must run on a delegate. */
typedef struct sy_policy_require {
    const char *delegate;
    float coverage_pct;
    sy_source source;
} sy_policy_require;

typedef struct sy_policy {
    uint32_t struct_bytes; /* sizeof(sy_policy) */
    sy_policy_mode mode;
    sy_source mode_source;
    float margin_pct; /* PREFER: default 5 */
    sy_fallback fallback;
    float energy_weight;  /* microseconds per microjoule, default 0 */
    float segment_min_us; /* segments cheaper than this are not worth their own launch */
    uint32_t n_orders, n_rules, n_budgets, n_requires;
    const sy_policy_order *orders; /* empty: npu, gpu, cpu, reference */
    const sy_policy_rule *rules;   /* the first rule that matches a node decides per kind */
    const sy_policy_budget *budgets;
    const sy_policy_require *requires_;
} sy_policy;

/* The policy without any file: PREFER, margin 5 %, order npu gpu cpu reference, fallback ALLOW.
 * shape: -  unit: -  owner: caller; lists are static  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
void sy_policy_default(sy_policy *out_policy);

/* Rank of a delegate under the policy's order (0 first); delegates the order does not name come
 * after all named ones, the reference delegate last of all. out_source may be NULL.
 * shape: -  unit: -  owner: -  errors: none  thread: any
 * cost: O(orders)  since: 0.1  source: - */
uint32_t sy_policy_rank(const sy_policy *policy, const char *delegate_name, const char *device_id,
                        sy_device_class device_class, sy_source *out_source);

/* 1 when a selector (see above) matches a delegate, else 0.
 * shape: -  unit: -  owner: -  errors: none  thread: any
 * cost: O(text)  since: 0.1  source: - */
int sy_policy_selects(const char *selector, const char *delegate_name, const char *device_id,
                      sy_device_class device_class);

#ifdef __cplusplus
}
#endif
#endif
