/* SPDX-License-Identifier: Apache-2.0 */
/* What other runtimes do to place a graph, as seeds and as a yardstick. */
#include "plan/placement_internal.h"

#include <stdlib.h>
#include <string.h>

uint32_t sy__placement_allowed(const sy__placement *placement, const sy__time_ps *time,
                               uint32_t node) {
    uint32_t group = placement->problem->node_group[node], n_devices = placement->n_devices;
    uint32_t first = group == SY__NONE ? 0 : placement->group_first[group];
    uint32_t end = group == SY__NONE ? 1 : placement->group_first[group + 1];
    uint32_t allowed = 0;
    for (uint32_t d = 0; d < n_devices; d++) {
        bool all = true;
        for (uint32_t m = first; all && m < end; m++) {
            uint32_t member = group == SY__NONE ? node : placement->group_nodes[m];
            all = time[(size_t)member * n_devices + d] < SY__FOREVER;
        }
        allowed |= all ? 1u << d : 0u;
    }
    return allowed;
}

void sy__placement_assign(const sy__placement *placement, uint8_t *device, uint32_t node,
                          uint32_t to) {
    uint32_t group = placement->problem->node_group[node];
    device[node] = (uint8_t)to;
    for (uint32_t m = group == SY__NONE ? 0 : placement->group_first[group];
         group != SY__NONE && m < placement->group_first[group + 1]; m++) {
        device[placement->group_nodes[m]] = (uint8_t)to;
    }
}

void sy__placement_by_rank(const sy__placement *placement, uint32_t *out_devices) {
    for (uint32_t d = 0; d < placement->n_devices; d++) {
        uint32_t at = d;
        for (;
             at > 0 && placement->problem->rank[out_devices[at - 1]] > placement->problem->rank[d];
             at--) {
            out_devices[at] = out_devices[at - 1];
        }
        out_devices[at] = d;
    }
}

typedef struct portfolio {
    const sy__placement *placement;
    const sy__time_ps *time;
    sy__candidate *best;
    sy__peer_result *peers;
    uint32_t *n_peers;
    uint64_t *missing;
    uint32_t *allowed; /* [node] */
    uint8_t *device, *base;
    uint32_t *order;
    uint32_t by_rank[SY_LIMIT_DELEGATES];
} portfolio;

static bool offer(portfolio *run, sy__peer_policy policy, uint32_t device, uint32_t parameter) {
    sy__peer_result *peer = &run->peers[(*run->n_peers)++];
    uint64_t excess = 0;
    peer->policy = policy;
    peer->device = device;
    peer->parameter = parameter;
    if (!sy__budget_repair(run->placement, run->time, run->device, &excess)) {
        return false;
    }
    *run->missing = excess < *run->missing ? excess : *run->missing;
    return sy__candidate_offer(run->placement, run->time, run->device, NULL, run->best,
                               &peer->total);
}

/* The first device by rank within `mask`, or within everything allowed when the mask leaves
 * none. */
static uint32_t first_device(const portfolio *run, uint32_t node, uint32_t mask) {
    uint32_t wanted = run->allowed[node] & mask;
    wanted = wanted != 0 ? wanted : run->allowed[node];
    for (uint32_t i = 0; i < run->placement->n_devices; i++) {
        if (wanted >> run->by_rank[i] & 1u) {
            return run->by_rank[i];
        }
    }
    return 0;
}

static void fill_priority(const portfolio *run, uint32_t mask, uint8_t *device) {
    for (uint32_t i = 0; i < run->placement->n; i++) {
        device[i] = (uint8_t)first_device(run, i, mask);
    }
}

static sy__time_ps group_time(const portfolio *run, uint32_t node, uint32_t device) {
    const sy__placement *placement = run->placement;
    uint32_t group = placement->problem->node_group[node];
    if (group == SY__NONE) {
        return run->time[(size_t)node * placement->n_devices + device];
    }
    sy__time_ps sum = 0;
    for (uint32_t m = placement->group_first[group]; m < placement->group_first[group + 1]; m++) {
        uint32_t member = placement->group_nodes[m];
        sum = sy__time_add(sum, run->time[(size_t)member * placement->n_devices + device]);
    }
    return sum;
}

static uint32_t cheapest_device(const portfolio *run, uint32_t node) {
    sy__time_ps least = SY__FOREVER;
    uint32_t best = first_device(run, node, ~0u);
    for (uint32_t i = 0; i < run->placement->n_devices; i++) {
        uint32_t d = run->by_rank[i];
        sy__time_ps time = run->allowed[node] >> d & 1u ? group_time(run, node, d) : SY__FOREVER;
        if (time < least) {
            least = time;
            best = d;
        }
    }
    return best;
}

static bool run_cheapest(portfolio *run) {
    for (uint32_t i = 0; i < run->placement->n; i++) {
        run->device[i] = (uint8_t)cheapest_device(run, i);
    }
    return offer(run, SY__PEER_CHEAPEST, SY__NONE, 0);
}

typedef struct run_size {
    uint32_t n_nodes, i_first;
} run_size;

static int compare_sizes(const void *left, const void *right) {
    const run_size *a = left, *b = right;
    if (a->n_nodes != b->n_nodes) {
        return a->n_nodes > b->n_nodes ? -1 : 1;
    }
    return a->i_first < b->i_first ? -1 : a->i_first > b->i_first;
}

/* Runs of `device` along run->order (lanes apart), largest first. */
static uint32_t list_runs(const portfolio *run, uint32_t device, run_size *out_sizes) {
    uint32_t n_runs = 0;
    for (uint32_t lane = 0; lane < run->placement->problem->n_lanes; lane++) {
        bool open = false;
        for (uint32_t k = run->placement->lane_first[lane];
             k < run->placement->lane_first[lane + 1]; k++) {
            bool here = run->base[run->order[k]] == device;
            if (here && !open) {
                out_sizes[n_runs].n_nodes = 0;
                out_sizes[n_runs++].i_first = k;
            }
            if (here) {
                out_sizes[n_runs - 1].n_nodes++;
            }
            open = here;
        }
    }
    qsort(out_sizes, n_runs, sizeof(*out_sizes), compare_sizes);
    return n_runs;
}

/* The N largest runs of one device stay, its other nodes go by priority among the rest. */
static bool run_keep_largest(portfolio *run, uint32_t device, run_size *sizes) {
    const sy__placement *placement = run->placement;
    fill_priority(run, 1u << device, run->base);
    if (!sy__placement_arrange(placement, run->base, NULL, run->order)) {
        return false;
    }
    uint32_t n_runs = list_runs(run, device, sizes);
    for (uint32_t n_kept = 1; n_kept <= 3 && n_kept < n_runs; n_kept++) {
        fill_priority(run, ~(1u << device), run->device);
        for (uint32_t r = 0; r < n_kept; r++) {
            for (uint32_t k = 0; k < sizes[r].n_nodes; k++) {
                sy__placement_assign(placement, run->device, run->order[sizes[r].i_first + k],
                                     device);
            }
        }
        if (!offer(run, SY__PEER_KEEP_LARGEST, device, n_kept)) {
            return false;
        }
    }
    return true;
}

static bool has_weights(const portfolio *run, uint32_t node) {
    const uint32_t *first = run->placement->problem->node_weight_first;
    return first != NULL && first[node + 1] > first[node];
}

/* Nodes with weights (or of a group) choose, the others go where their first input comes from. */
static bool run_weights(portfolio *run) {
    const sy__placement *placement = run->placement;
    const sy__placement_problem *problem = placement->problem;
    for (uint32_t i = 0; i < placement->n; i++) {
        uint32_t to = cheapest_device(run, i);
        if (!has_weights(run, i) && problem->node_group[i] == SY__NONE) {
            for (uint32_t e = placement->before_first[i]; e < placement->before_first[i + 1]; e++) {
                uint32_t from = run->device[placement->before[e]];
                if (run->allowed[i] >> from & 1u) {
                    to = from;
                    break;
                }
            }
        }
        run->device[i] = (uint8_t)to;
    }
    return offer(run, SY__PEER_WEIGHTS, SY__NONE, 0);
}

/* Segments of fewer than n_least nodes join the segment before them, or the one after. */
static bool run_min_size(portfolio *run, uint32_t n_least) {
    const sy__placement *placement = run->placement;
    fill_priority(run, ~0u, run->base);
    if (!sy__placement_arrange(placement, run->base, NULL, run->order)) {
        return false;
    }
    memcpy(run->device, run->base, placement->n);
    for (uint32_t lane = 0; lane < placement->problem->n_lanes; lane++) {
        uint32_t first = placement->lane_first[lane], end = placement->lane_first[lane + 1];
        for (uint32_t k = first; k < end;) {
            uint32_t here = run->base[run->order[k]], next = k;
            while (next < end && run->base[run->order[next]] == here) {
                next++;
            }
            uint32_t to = k > first    ? run->device[run->order[k - 1]]
                          : next < end ? run->base[run->order[next]]
                                       : here;
            for (; next - k < n_least && k < next; k++) {
                if (run->allowed[run->order[k]] >> to & 1u) {
                    sy__placement_assign(placement, run->device, run->order[k], to);
                }
            }
            k = next;
        }
    }
    return offer(run, SY__PEER_MIN_SIZE, SY__NONE, n_least);
}

static bool run_all(portfolio *run, run_size *sizes) {
    const sy__placement *placement = run->placement;
    fill_priority(run, ~0u, run->device);
    if (!offer(run, SY__PEER_PRIORITY, SY__NONE, 0) || !run_cheapest(run) || !run_weights(run)) {
        return false;
    }
    for (uint32_t d = 0; d < placement->n_devices; d++) {
        fill_priority(run, 1u << d, run->device);
        if (!offer(run, SY__PEER_SINGLE, d, 0) || !run_keep_largest(run, d, sizes)) {
            return false;
        }
    }
    for (uint32_t n_least = 2; n_least <= 8; n_least *= 2) {
        if (!run_min_size(run, n_least)) {
            return false;
        }
    }
    return true;
}

bool sy__portfolio_run(const sy__placement *placement, const sy__time_ps *time, sy__candidate *best,
                       sy__peer_result *out_peers, uint32_t *out_n_peers, uint64_t *inout_missing) {
    sy__arena arena;
    sy__arena_init(&arena, placement->allocator, 1u << 14);
    size_t n = placement->n;
    portfolio run = {.placement = placement,
                     .time = time,
                     .best = best,
                     .peers = out_peers,
                     .n_peers = out_n_peers,
                     .missing = inout_missing};
    run.allowed = sy__arena_alloc(&arena, n, sizeof(*run.allowed));
    run.device = sy__arena_alloc(&arena, n, 1);
    run.base = sy__arena_alloc(&arena, n, 1);
    run.order = sy__arena_alloc(&arena, n, sizeof(*run.order));
    run_size *sizes = sy__arena_alloc(&arena, n, sizeof(*sizes));
    bool done = run.allowed != NULL && run.device != NULL && run.base != NULL &&
                run.order != NULL && sizes != NULL;
    if (done) {
        sy__placement_by_rank(placement, run.by_rank);
        for (uint32_t i = 0; i < n; i++) {
            run.allowed[i] = sy__placement_allowed(placement, time, i);
        }
        *out_n_peers = 0;
        done = run_all(&run, sizes);
    }
    sy__arena_deinit(&arena);
    return done;
}

const char *sy__peer_policy_name(sy__peer_policy policy) {
    static const char *const names[SY__PEER_COUNT] = {"priority order", "cheapest node",
                                                      "single device",  "keep largest",
                                                      "weights decide", "minimum size"};
    return (unsigned)policy < SY__PEER_COUNT ? names[policy] : "unknown";
}
