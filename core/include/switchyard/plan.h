/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: which delegate runs which node, in which segments, for each phase, and why. Made from
 * the delegates' own answers (judge, price, link) under a policy. The same inputs give the same
 * plan and the same hash on every machine.
 */
#ifndef SWITCHYARD_PLAN_H
#define SWITCHYARD_PLAN_H

#include "switchyard/graph.h"
#include "switchyard/policy.h"
#include "switchyard/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sy_plan sy_plan;

/* One phase to plan for. */
typedef struct sy_plan_phase {
    sy_phase phase;
    int64_t typical[SY_SYMBOL_COUNT_MAX]; /* symbol values that time estimates are for */
    double n_runs;                        /* expected steps; weighs phases against each other */
} sy_plan_phase;

/* May a node be on different delegates in different phases? Where it may not, what it computes does
 * not depend on the phase, and a delegate must be able to run it in all of them. */
enum {
    SY_PLACEMENT_FREE = 0,
    SY_PLACEMENT_ONE = 1,
    SY_PLACEMENT_ONE_ON_CPUS = 2 /* ONE, but FREE where a delegate that is no CPU may take part */
};

typedef struct sy_plan_options {
    uint32_t struct_bytes;
    uint32_t n_phases; /* 0: one phase ANY at the graph's bounds */
    const sy_plan_phase *phases;
    uint32_t n_without; /* delegate selectors to leave out (policy.h) */
    uint32_t n_rules;   /* pins and forbids of the application; they may only narrow */
    const char *const *without;
    const sy_policy_rule *rules;
    uint32_t no_alternatives; /* 1: what other places would cost is not worked out: made faster */
    uint32_t placement;       /* SY_PLACEMENT_* */
    uint32_t is_shadow; /* 1: `without` names what may be lost, and the policy asks nothing of it */
} sy_plan_options;

/* One segment in execution order. All lists belong to the plan. */
typedef struct sy_plan_segment {
    uint32_t i_delegate; /* index into the runtime's table */
    uint32_t reserved;
    double predicted_us; /* per run, with launch, without transfers */
    sy_segment segment;  /* node and value indexes of the plan's graph */
} sy_plan_segment;

/* Judges, solves and keeps the explanation. NULL policy: sy_policy_default. The graph and the
 * runtime must outlive the plan; the graph must not change any more.
 * shape: -  unit: -  owner: caller, sy_plan_destroy  errors: UNIMPLEMENTED a node nobody runs,
 * FAILED_PRECONDITION a rule, requirement or fallback that cannot be kept, RESOURCE_EXHAUSTED with
 * the bytes missing for a budget  thread: one at a time per runtime
 * cost: judge of every delegate, then the solver  since: 0.1  source: docs/ARCHITECTURE.md */
SY_MUST_CHECK sy_status sy_plan_create(sy_runtime *runtime, const sy_graph *graph,
                                       const sy_policy *policy, const sy_plan_options *options,
                                       sy_plan **out_plan, sy_error *error);

/* Frees a plan after every executor made from it is gone; NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time
 * cost: O(n)  since: 0.1  source: - */
void sy_plan_destroy(sy_plan *plan);

/* What the plan was made of and what it holds. Phases and segments are in execution order.
 * shape: -  unit: -  owner: borrowed  errors: NULL past the end  thread: any
 * cost: O(1)  since: 0.1  source: - */
const sy_graph *sy_plan_graph(const sy_plan *plan);
sy_runtime *sy_plan_runtime(const sy_plan *plan);
uint32_t sy_plan_n_phases(const sy_plan *plan);
const sy_plan_phase *sy_plan_phase_at(const sy_plan *plan, uint32_t i_phase);
uint32_t sy_plan_n_segments(const sy_plan *plan, uint32_t i_phase);
const sy_plan_segment *sy_plan_segment_at(const sy_plan *plan, uint32_t i_phase,
                                          uint32_t i_segment);

/* Delegate that owns a STATE value (the same in every phase), SY_NO_VALUE for other values.
 * shape: -  unit: -  owner: -  errors: SY_NO_VALUE  thread: any
 * cost: O(1)  since: 0.1  source: - */
uint32_t sy_plan_state_delegate(const sy_plan *plan, uint32_t i_value);

/* Hash over placement and segments; equal plans have equal hashes on every machine.
 * shape: -  unit: -  owner: -  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: FNV-1a 64 */
uint64_t sy_plan_hash(const sy_plan *plan);

typedef enum sy_plan_format { SY_PLAN_TEXT = 0, SY_PLAN_JSON = 1, SY_PLAN_SVG = 2 } sy_plan_format;

/* Explains: segments; per node the chosen delegate, its cost, the best alternative and its regret,
 * and for each loser the reason or the INI file:line; totals, gap, portfolio, hash, blockers.
 * shape: -  unit: microseconds, bytes  owner: caller, sy_string_destroy  errors: RESOURCE_EXHAUSTED
 * thread: any  cost: O(n * delegates)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_plan_explain(const sy_plan *plan, sy_plan_format format,
                                        const sy_allocator *allocator, char **out_text,
                                        sy_error *error);

#ifdef __cplusplus
}
#endif
#endif
