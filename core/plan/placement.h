/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement: which device runs each node, and in which order. This part knows no graph and no
 * delegate, only numbers, so that it can be proved against brute force.
 *
 * What a plan costs is what the executor pays, and every part of the solver uses this definition:
 *   compute   time of each node on its device, times the runs of its lane
 *   launch    the executor runs the nodes of a lane one after the other in the plan's order; a
 *             segment is a maximal run of one device in that order, each pays the device's launch
 *   transfer  values travel over host memory, which some devices read and write directly. A value
 *             made elsewhere pays its way to the host once, when it is first read elsewhere or
 *             when it leaves the graph; it pays its way to each other device that is not on the
 *             host once, however many nodes read it there
 * The order is any topological order: the solver chooses it together with the devices. Segments of
 * an order are acyclic by construction, and merging two segments of one device across others is
 * the same as choosing an order in which they touch.
 *
 * A lane is one phase (prefill, decode): its own nodes and values, run `runs` times. Lanes meet
 * where nodes of a group must share a device (those that touch one state) and where weights are
 * charged to a device once whoever uses them. Nodes of one group and lane keep their order.
 *
 * All times are whole picoseconds, so sums are exact and equal on every machine.
 */
#ifndef SY_PLAN_PLACEMENT_H
#define SY_PLAN_PLACEMENT_H

#include "switchyard/allocator.h"
#include "switchyard/limits.h"

#include <stdbool.h>

typedef uint64_t sy__time_ps;
#define SY__FOREVER (1ull << 62) /* forbidden; sums stop here */
#define SY__NONE 0xffffffffu
#define SY__LANES_MAX 4u
#define SY__BUDGETS_MAX 17u
#define SY__WINDOW_MAX 64u

/* A value that some node makes, or that is bound from outside (producer SY__NONE). */
typedef struct sy__placement_value {
    uint32_t producer; /* SY__NONE: bound from outside, in host memory */
    uint32_t lane;
    uint32_t leaves; /* 1: must reach the host in the end */
    uint64_t n_bytes;
    uint32_t i_consumer, n_consumers; /* range of sy__placement_problem.consumers */
} sy__placement_value;

/* Ways between a device's own memory and the host's. */
typedef struct sy__placement_link {
    sy__time_ps to_host_latency, to_host_per_kib;
    sy__time_ps from_host_latency, from_host_per_kib;
} sy__placement_link;

/* A limit of the bytes that a set of devices may take together. */
typedef struct sy__placement_budget {
    uint32_t devices; /* bit set */
    uint64_t limit_bytes;
} sy__placement_budget;

/* The problem. Nodes are numbered in a topological order; lanes may interleave. */
typedef struct sy__placement_problem {
    uint32_t n_nodes, n_devices, n_lanes, n_values, n_groups, n_weights, n_budgets;
    uint32_t n_consumers, n_node_weights;
    uint32_t on_host;           /* bit set: devices that work in host memory */
    const uint64_t *lane_runs;  /* [lane] >= 1 */
    const uint32_t *node_lane;  /* [node] */
    const uint32_t *node_group; /* [node] SY__NONE for most */
    const sy__time_ps *time;    /* [node][device] of one run; SY__FOREVER: may not */
    const sy__placement_value *values;
    const uint32_t *consumers;         /* node numbers, each once per value, ascending */
    const sy__time_ps *launch;         /* [device] */
    const sy__placement_link *links;   /* [device]; not read for those on the host */
    const uint32_t *node_weights;      /* weight numbers, range below */
    const uint32_t *node_weight_first; /* [node + 1], or NULL when no weights */
    const uint64_t *weight_bytes;      /* [weight][device] */
    const sy__placement_budget *budgets;
    const uint32_t *rank; /* [device] 0 is preferred */
} sy__placement_problem;

typedef struct sy__placement_cost {
    sy__time_ps compute, launch, transfer, total;
    uint32_t n_segments;
} sy__placement_cost;

typedef enum sy__placement_mode {
    SY__MODE_STRICT,
    SY__MODE_PREFER,
    SY__MODE_COST
} sy__placement_mode;

typedef enum sy__peer_policy {
    SY__PEER_PRIORITY,     /* each node on the first device of the order that can run it */
    SY__PEER_CHEAPEST,     /* each node where it alone is fastest */
    SY__PEER_SINGLE,       /* one device for all it can run, the rest by priority */
    SY__PEER_KEEP_LARGEST, /* the N largest partitions of one device, the rest by priority */
    SY__PEER_WEIGHTS,      /* nodes with weights decide, the others follow their neighbours */
    SY__PEER_MIN_SIZE,     /* priority order, small partitions dissolved into their neighbours */
    SY__PEER_COUNT
} sy__peer_policy;

typedef struct sy__peer_result {
    sy__peer_policy policy;
    uint32_t device;    /* SINGLE, KEEP_LARGEST; else SY__NONE */
    uint32_t parameter; /* N, or the least number of nodes */
    sy__time_ps total;  /* SY__FOREVER: not feasible */
} sy__peer_result;
#define SY__PEERS_MAX (3u + SY_LIMIT_DELEGATES * 4u + 3u)

typedef struct sy__placement_options {
    sy__placement_mode mode;
    uint32_t margin_permille; /* PREFER; COST uses 10 */
    uint32_t beam_width;      /* 0: 64 */
    uint64_t max_states;      /* of one exact search; 0: 2^20; marginals take a quarter */
    bool want_marginals;
} sy__placement_options;

/* Owned by the caller, freed with sy__placement_result_deinit. */
typedef struct sy__placement_result {
    const sy_allocator *allocator;
    uint32_t n_nodes, n_devices;
    uint8_t *device; /* [node] */
    uint32_t *order; /* [position] node numbers */
    sy__placement_cost cost;
    sy__time_ps lower_bound; /* no plan under the same masks is cheaper than this */
    bool optimal;            /* cost.total == lower_bound */
    uint32_t max_rank;       /* devices of a later rank were left out by the mode, see below */
    sy__time_ps unrestricted_total; /* best plan found with every device */
    /* [node][device] cost of the best plan in this order and under the mode's masks that has the
     * node there; exact where marginal_exact says so, else an upper bound. With several lanes the
     * plans for a node outside groups leave the groups where they are. For devices that
     * the mode left out: the cost when only this node (and its group) moves there. SY__FOREVER: no
     * plan, or none found. NULL unless asked for. */
    sy__time_ps *marginals;
    uint8_t *marginal_exact; /* [node][device] 1 or 0 */
    uint64_t n_states;       /* work done by all searches */
    uint64_t hash;
    uint32_t n_peers;
    sy__peer_result peers[SY__PEERS_MAX];
} sy__placement_result;

/* Solves. FAILED_PRECONDITION: some node or group has no device (error.i_node names a node).
 * RESOURCE_EXHAUSTED with SY_DETAIL_BUDGET: no placement fits, the message tells the missing bytes;
 * without the detail: no memory to search.
 *
 * Modes: let L(r) be the best plan when each node may use devices of rank <= r or, where it has
 * none of those, its first one. STRICT takes L(0)'s masks: everything on its first device. PREFER
 * and COST take the least r for which no plan with all devices is cheaper by more than the
 * margin. */
SY_MUST_CHECK sy_status sy__placement_solve(const sy_allocator *allocator,
                                            const sy__placement_problem *problem,
                                            const sy__placement_options *options,
                                            sy__placement_result *out_result, sy_error *error);
void sy__placement_result_deinit(sy__placement_result *result);

const char *sy__peer_policy_name(sy__peer_policy policy);

/* a + b, at most SY__FOREVER; both arguments are. */
static inline sy__time_ps sy__time_add(sy__time_ps a, sy__time_ps b) {
    sy__time_ps sum = a + b;
    return sum > SY__FOREVER ? SY__FOREVER : sum;
}
static inline sy__time_ps sy__time_times(sy__time_ps a, uint64_t factor) {
    sy__time_ps product = 0;
    if (__builtin_mul_overflow(a, factor, &product) || product > SY__FOREVER) {
        return SY__FOREVER;
    }
    return product;
}

#endif
