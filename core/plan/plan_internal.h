/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan is made of; for core/plan only. */
#ifndef SY_PLAN_PLAN_INTERNAL_H
#define SY_PLAN_PLAN_INTERNAL_H

#include "base/memory.h"
#include "plan/placement.h"
#include "switchyard/failover.h"
#include "switchyard/plan.h"

#include <stdbool.h>

/* Why a delegate does or does not run a node. */
typedef enum sy__verdict_kind {
    SY__CHOSEN = 0,
    SY__UNSUPPORTED,  /* the plugin said no: text */
    SY__STATIC_SHAPE, /* only with sizes that the phase does not keep to: text */
    SY__LEFT_OUT,     /* --without, or its judge failed: text */
    SY__RULE,         /* a pin or forbid: text and source */
    SY__ORDER,        /* the mode stopped before its rank */
    SY__BUDGET,       /* its memory budget is taken by others */
    SY__GROUP,        /* a node that shares its state cannot follow */
    SY__TRANSFER,     /* supported; lost mostly by transfers */
    SY__LAUNCH,       /* supported; lost mostly by launches */
    SY__COST          /* supported; slower */
} sy__verdict_kind;

/* One delegate's offer for one node in one phase. */
typedef struct sy__offer {
    sy__verdict_kind kind;
    sy_support support;
    sy_reason reason;
    float time_us, energy_uj, confidence;
    float scale;      /* correction by price() of the segment it was in, 1 none */
    double regret_us; /* a run; cost of the best plan with the node here over the plan's */
    bool regret_exact, regret_known;
    const char *text; /* NULL none */
    sy_source source;
} sy__offer;

typedef struct sy__plan_delegate {
    const sy_delegate *delegate;
    uint32_t rank;
    sy_source rank_source;
    float bias;
    bool left_out, on_host, offers_states, offers_adapters;
    bool excused; /* left out for a failure: what the policy asks of it is waived */
    const char *left_out_text;
    float launch_us[SY__LANES_MAX];
    sy__placement_link link;
    uint64_t weight_bytes; /* weights and states it holds under the plan */
    uint32_t n_nodes_run;
} sy__plan_delegate;

typedef struct sy__phase_plan {
    sy_plan_phase phase;
    uint64_t runs;     /* weight against the other phases, whole */
    sy__offer *offers; /* [node][delegate] */
    uint8_t *device;   /* [node] */
    uint32_t *order;   /* [position] */
    sy_plan_segment *segments;
    uint32_t n_segments;
    double compute_us, launch_us, transfer_us; /* a run, without bias or energy */
    uint64_t transfer_bytes;
} sy__phase_plan;

struct sy_plan {
    const sy_allocator *allocator;
    sy__arena arena;
    sy_runtime *runtime;
    const sy_graph *graph;
    const sy_policy *policy; /* while the plan is made; NULL after */
    sy_policy_mode mode;
    float margin_pct;
    sy_source mode_source;
    uint32_t n_nodes, n_values, n_delegates, n_phases;
    uint32_t n_lanes; /* of the problem: n_phases, or one for all phases with one placement */
    sy__plan_delegate *delegates;
    sy__phase_plan *phases;
    uint32_t *node_group;  /* [node] SY__NONE or a set of states */
    uint32_t *state_group; /* [value] of STATE values */
    uint32_t n_groups;
    uint32_t *consumer_first, *consumers; /* [value + 1]: nodes that read it, each once */
    uint32_t *state_delegate;             /* [value] */
    sy__placement_problem problem;
    sy__time_ps *times;      /* what problem.time points at */
    uint32_t *problem_value; /* [value] first of n_lanes values of the problem, SY__NONE none */
    sy__placement_result result;
    uint64_t budget_used_bytes[SY__BUDGETS_MAX];
    uint32_t *weight_seen; /* [weight of the problem] delegates that hold it */
    uint32_t n_rounds;     /* solves, with prices of segments in between */
    const char **notes;
    size_t n_notes, note_capacity;
    uint64_t hash;
};

/* Number of a node of a phase in the problem: its lanes take turns. */
static inline uint32_t sy__plan_node(const sy_plan *plan, uint32_t i_node, uint32_t i_phase) {
    return i_node * plan->n_lanes + i_phase % plan->n_lanes;
}
static inline sy__offer *sy__plan_offer(const sy_plan *plan, uint32_t i_phase, uint32_t i_node,
                                        uint32_t i_delegate) {
    return &plan->phases[i_phase].offers[(size_t)i_node * plan->n_delegates + i_delegate];
}

sy_status sy__plan_no_memory(sy_error *error);
/* Copies a text into the plan; NULL when memory is refused. */
const char *sy__plan_text(sy_plan *plan, const char *format, ...) SY_PRINTF(2, 3);
/* Adds a line that the explanation shows. */
SY_MUST_CHECK sy_status sy__plan_note(sy_plan *plan, sy_error *error, const char *format, ...)
    SY_PRINTF(3, 4);

/* plan_graph.c: who reads what, which nodes share states. */
sy_status sy__plan_read_graph(sy_plan *plan, sy_error *error);
/* A node's view; "?" for its words should the graph not answer. */
sy_node_view sy__plan_node_view(const sy_plan *plan, uint32_t i_node);
const char *sy__phase_name(sy_phase phase);

/* plan_judge.c: asks every delegate about every node, and about links. */
sy_status sy__plan_judge(sy_plan *plan, sy_error *error);
/* plan_rules.c: --without, pins and forbids. */
sy_status sy__plan_leave_out(sy_plan *plan, const sy_plan_options *options, sy_error *error);
sy_status sy__plan_apply_rules(sy_plan *plan, const sy_plan_options *options, sy_error *error);
/* [require] and fallback, after the plan was made. */
sy_status sy__plan_check_use(sy_plan *plan, sy_error *error);
/* plan_problem.c: the numbers of the solver. */
sy_status sy__plan_build_problem(sy_plan *plan, sy_error *error);
void sy__plan_fill_times(sy_plan *plan, sy__time_ps *times);
/* plan_segments.c */
sy_status sy__plan_take_result(sy_plan *plan, sy_error *error);
/* Asks price() for the segments; true when some time changed by more than 1 %. */
bool sy__plan_price(sy_plan *plan);
/* plan_reason.c: why not the others. */
void sy__plan_find_reasons(sy_plan *plan);

/* Runs over which the problem counts what happens in a phase: its own, or those of all phases. */
uint64_t sy__plan_searched_runs(const sy_plan *plan, uint32_t i_phase);
/* Bytes of a value at the typical sizes of a phase. */
uint64_t sy__plan_value_bytes(const sy_plan *plan, uint32_t i_phase, uint32_t i_value);
/* How long a value takes to and from a delegate that is not on the host, a run. */
double sy__plan_way_us(const sy_plan *plan, uint32_t i_phase, uint32_t i_value, uint32_t i_delegate,
                       bool to_host);

typedef struct sy__blocker {
    const char *op;
    uint32_t i_delegate, i_phase, n_nodes, i_node; /* i_node: one of them */
    double saving_us;                              /* a run, estimated */
    const char *text;
} sy__blocker;
/* Nodes that a delegate cannot run, by what support for them would save. Answers how many. */
uint32_t sy__plan_blockers(const sy_plan *plan, sy__blocker *out_blockers, uint32_t n_max);

/* explain_*.c */
struct sy__text;
const char *sy__verdict_kind_name(sy__verdict_kind kind);
void sy__explain_text(const sy_plan *plan, struct sy__text *text);
void sy__explain_json(const sy_plan *plan, struct sy__text *text);
void sy__explain_svg(const sy_plan *plan, struct sy__text *text);

#endif
