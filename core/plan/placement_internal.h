/* SPDX-License-Identifier: Apache-2.0 */
/* Shared between the parts of the placement solver. */
#ifndef SY_PLAN_PLACEMENT_INTERNAL_H
#define SY_PLAN_PLACEMENT_INTERNAL_H

#include "base/memory.h"
#include "plan/placement.h"

/* A problem with what the searches look up often. All tables live in one arena. */
typedef struct sy__placement {
    const sy__placement_problem *problem;
    const sy_allocator *allocator;
    sy__arena arena;
    uint32_t n, n_devices;
    sy__time_ps *time;     /* [node][device] times runs, plus one picosecond a rank for ties */
    sy__time_ps *launch;   /* [lane][device] times runs */
    uint32_t *input_first; /* [node + 1] into inputs: the values a node reads, each once */
    uint32_t *inputs;
    uint32_t *output_first; /* [node + 1] into outputs: the values a node makes */
    uint32_t *outputs;
    uint32_t *before_first; /* [node + 1] into before: nodes that must come first */
    uint32_t *before;
    uint32_t *after_first; /* the same edges turned round */
    uint32_t *after;
    uint32_t *lane_first; /* [lane + 1] into lane_nodes */
    uint32_t *lane_nodes;
    uint32_t *local;       /* [node] position within its lane */
    uint32_t *group_first; /* [group + 1] into group_nodes */
    uint32_t *group_nodes;
    uint32_t *weight_user_first; /* [weight + 1] into weight_users */
    uint32_t *weight_users;
    uint32_t *scratch;  /* [node] for evaluate: a placement is used by one thread */
    bool budgets_bind;  /* some placement could cross a budget */
    bool window_covers; /* a window of SY__WINDOW_MAX loses no order */
} sy__placement;

SY_MUST_CHECK sy_status sy__placement_prepare(const sy_allocator *allocator,
                                              const sy__placement_problem *problem,
                                              sy__placement *out_placement, sy_error *error);
void sy__placement_release(sy__placement *placement);

/* Places that hold a value: bit d for the own memory of device d, SY__HOST_PLACE for the host. A
 * value that is not on the host is in one place only. */
#define SY__HOST_PLACE (1u << 31)
static inline uint32_t sy__place_of(const sy__placement *placement, uint32_t device) {
    return placement->problem->on_host >> device & 1u ? SY__HOST_PLACE : 1u << device;
}
/* Cost of bringing a value to one more place, times the runs of its lane; adds to the places. */
sy__time_ps sy__placement_bring(const sy__placement *placement, uint32_t i_value, uint32_t place,
                                uint32_t *inout_places);

/* Cost by the definition; false when a node may not run where it is, a group is torn, the order is
 * not topological, or (check_budgets) a budget is crossed. time NULL: the placement's own. */
bool sy__placement_evaluate(const sy__placement *placement, const sy__time_ps *time,
                            const uint8_t *device, const uint32_t *order, bool check_budgets,
                            sy__placement_cost *out_cost);

/* Bytes each budget is charged with. */
void sy__placement_budget_bytes(const sy__placement *placement, const uint8_t *device,
                                uint64_t *out_bytes);
/* Sum of the bytes over the limits; 0 when all fit. */
uint64_t sy__placement_excess(const sy__placement *placement, const uint8_t *device);

/* An order with few launches for given devices: the cheapest of the problem's own order, the
 * current order (may be NULL) and greedy merges from each start device. */
SY_MUST_CHECK bool sy__placement_arrange(const sy__placement *placement, const uint8_t *device,
                                         const uint32_t *current, uint32_t *out_order);

/* A plan in the making; devices and order are caller's arrays of n. */
typedef struct sy__candidate {
    uint8_t *device;
    uint32_t *order;
    sy__placement_cost cost; /* total SY__FOREVER: empty */
} sy__candidate;

/* Arranges and evaluates devices under `time` masks; replaces `best` when strictly cheaper.
 * Answers false only when memory was refused. out_total may be NULL. */
SY_MUST_CHECK bool sy__candidate_offer(const sy__placement *placement, const sy__time_ps *time,
                                       const uint8_t *device, const uint32_t *order,
                                       sy__candidate *best, sy__time_ps *out_total);

/* Bit set of devices that may run a node together with all of its group, under `time`. */
uint32_t sy__placement_allowed(const sy__placement *placement, const sy__time_ps *time,
                               uint32_t node);
/* Puts a node and its whole group on a device. */
void sy__placement_assign(const sy__placement *placement, uint8_t *device, uint32_t node,
                          uint32_t to);
/* Device numbers by rank, ties by number. */
void sy__placement_by_rank(const sy__placement *placement, uint32_t *out_devices);

/* Moves the users of weights until every budget holds or no move helps; answers the bytes over. */
SY_MUST_CHECK bool sy__budget_repair(const sy__placement *placement, const sy__time_ps *time,
                                     uint8_t *device, uint64_t *out_excess);
/* Prices bytes with multipliers: offers candidates to best, raises *inout_bound (a proved bound
 * for placements within the budgets), lowers *inout_missing to the least excess seen. */
SY_MUST_CHECK bool sy__budget_multipliers(const sy__placement *placement, const sy__time_ps *time,
                                          uint64_t max_states, sy__candidate *best,
                                          sy__time_ps *inout_bound, uint64_t *inout_missing,
                                          uint64_t *inout_states);

/* Runs every peer policy under `time` and offers each, repaired where a budget is crossed, to best;
 * fills peers and lowers *inout_missing to the least excess that was left. */
SY_MUST_CHECK bool sy__portfolio_run(const sy__placement *placement, const sy__time_ps *time,
                                     sy__candidate *best, sy__peer_result *out_peers,
                                     uint32_t *out_n_peers, uint64_t *inout_missing);

/* One search over (nodes done, last device, where values are). */
typedef struct sy__search_request {
    const sy__time_ps *time; /* [node][device] */
    uint32_t window;         /* 1: only the problem's order; up to SY__WINDOW_MAX */
    uint32_t beam_width;     /* states kept a step; 0: all */
    uint64_t max_states;     /* give up (incomplete) past this many */
    sy__time_ps upper_bound; /* drop what cannot get below; SY__FOREVER: nothing */
    const uint8_t *on_path;  /* [node] launches are counted among these only; NULL: all */
    bool track_budgets;
} sy__search_request;

typedef struct sy__search_answer {
    bool found;    /* total, device, order are valid and total < upper_bound */
    bool complete; /* nothing was cut: found is the optimum, not found means there is none */
    sy__time_ps total;
    uint64_t n_states;
} sy__search_answer;

/* False only when memory was refused. */
SY_MUST_CHECK bool sy__search_run(const sy__placement *placement, const sy__search_request *request,
                                  uint8_t *out_device, uint32_t *out_order,
                                  sy__search_answer *out_answer);

/* A bound from below for every order, by counting launches along one long path only. Fills device
 * with the bound's own placement (a good candidate) when out_found. */
SY_MUST_CHECK bool sy__bound_run(const sy__placement *placement, const sy__time_ps *time,
                                 uint64_t max_states, uint8_t *out_device, bool *out_found,
                                 sy__time_ps *out_bound, uint64_t *inout_states);

/* Solves under masks `time` (SY__FOREVER entries), ignoring modes. best->cost.total SY__FOREVER:
 * nothing found. */
typedef struct sy__core_answer {
    sy__time_ps lower_bound;
    bool optimal;
    bool infeasible;        /* proved: no placement within the budgets */
    uint64_t missing_bytes; /* when nothing was found: this much more budget would do */
    uint64_t n_states;
    uint32_t n_peers;
    sy__peer_result peers[SY__PEERS_MAX];
} sy__core_answer;
SY_MUST_CHECK bool sy__core_solve(const sy__placement *placement, const sy__time_ps *time,
                                  const sy__placement_options *options, sy__candidate *best,
                                  sy__core_answer *out_answer);

/* Cost of the best plan with each node on each device, along the order of `plan`: one pass forward
 * and one back over all states. With several lanes and no budget that binds, nodes outside groups
 * keep all groups where the plan has them. Where a layer had to be cut, what that could hide is not
 * marked exact and is an upper bound. lower_bound: of every plan under these masks. */
SY_MUST_CHECK bool sy__marginals_run(const sy__placement *placement, const sy__time_ps *time,
                                     const sy__candidate *plan, sy__time_ps lower_bound,
                                     uint64_t max_states, sy__time_ps *out_marginals,
                                     uint8_t *out_exact);
/* Fills marginals that are still open with the cost of moving one node (and its group) alone. */
SY_MUST_CHECK bool sy__marginals_by_moves(const sy__placement *placement, const sy__time_ps *time,
                                          const sy__candidate *plan, sy__time_ps *marginals,
                                          uint8_t *exact);

#endif
