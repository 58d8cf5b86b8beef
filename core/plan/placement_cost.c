/* SPDX-License-Identifier: Apache-2.0 */
/* The one definition of what a placement costs, and orders with few launches. */
#include "plan/placement_internal.h"

#include <string.h>

static sy__time_ps way(sy__time_ps latency, sy__time_ps per_kib, uint64_t n_bytes,
                       uint64_t n_runs) {
    unsigned __int128 time = (unsigned __int128)per_kib * n_bytes;
    time = ((time >> 10) + latency) * n_runs;
    return time > SY__FOREVER ? SY__FOREVER : (sy__time_ps)time;
}

sy__time_ps sy__placement_bring(const sy__placement *placement, uint32_t i_value, uint32_t place,
                                uint32_t *inout_places) {
    const sy__placement_problem *problem = placement->problem;
    const sy__placement_value *value = &problem->values[i_value];
    uint64_t n_runs = problem->lane_runs[value->lane];
    sy__time_ps sum = 0;
    if ((*inout_places & place) != 0) {
        return 0;
    }
    if ((*inout_places & SY__HOST_PLACE) == 0) {
        const sy__placement_link *link = &problem->links[__builtin_ctz(*inout_places)];
        sum = way(link->to_host_latency, link->to_host_per_kib, value->n_bytes, n_runs);
    }
    if (place != SY__HOST_PLACE) {
        const sy__placement_link *link = &problem->links[__builtin_ctz(place)];
        sum = sy__time_add(
            sum, way(link->from_host_latency, link->from_host_per_kib, value->n_bytes, n_runs));
    }
    *inout_places |= place | SY__HOST_PLACE;
    return sum;
}

static sy__time_ps transfers_of(const sy__placement *placement, const uint8_t *device,
                                uint32_t i_value) {
    const sy__placement_value *value = &placement->problem->values[i_value];
    uint32_t places = value->producer == SY__NONE
                          ? SY__HOST_PLACE
                          : sy__place_of(placement, device[value->producer]);
    sy__time_ps sum = 0;
    if (value->leaves) {
        sum = sy__placement_bring(placement, i_value, SY__HOST_PLACE, &places);
    }
    for (uint32_t c = 0; c < value->n_consumers; c++) {
        uint32_t node = placement->problem->consumers[value->i_consumer + c];
        uint32_t place = sy__place_of(placement, device[node]);
        sum = sy__time_add(sum, sy__placement_bring(placement, i_value, place, &places));
    }
    return sum;
}

static bool is_topological(const sy__placement *placement, const uint32_t *order) {
    uint32_t *position = placement->scratch;
    for (uint32_t i = 0; i < placement->n; i++) {
        position[order[i]] = i;
    }
    for (uint32_t i = 0; i < placement->n; i++) {
        for (uint32_t e = placement->before_first[i]; e < placement->before_first[i + 1]; e++) {
            if (position[placement->before[e]] >= position[i]) {
                return false;
            }
        }
    }
    return true;
}

static bool groups_hold(const sy__placement *placement, const uint8_t *device) {
    for (uint32_t g = 0; g < placement->problem->n_groups; g++) {
        uint32_t first = placement->group_first[g], end = placement->group_first[g + 1];
        for (uint32_t m = first; m < end; m++) {
            if (device[placement->group_nodes[m]] != device[placement->group_nodes[first]]) {
                return false;
            }
        }
    }
    return true;
}

bool sy__placement_evaluate(const sy__placement *placement, const sy__time_ps *time,
                            const uint8_t *device, const uint32_t *order, bool check_budgets,
                            sy__placement_cost *out_cost) {
    const sy__placement_problem *problem = placement->problem;
    uint32_t n_devices = placement->n_devices;
    sy__placement_cost cost = {0, 0, 0, 0, 0};
    uint32_t last[SY__LANES_MAX] = {SY__NONE, SY__NONE, SY__NONE, SY__NONE};
    time = time != NULL ? time : placement->time;
    for (uint32_t k = 0; k < placement->n; k++) {
        uint32_t node = order[k], lane = problem->node_lane[node];
        cost.compute = sy__time_add(cost.compute, time[(size_t)node * n_devices + device[node]]);
        if (last[lane] != device[node]) {
            last[lane] = device[node];
            cost.launch = sy__time_add(cost.launch,
                                       placement->launch[(size_t)lane * n_devices + device[node]]);
            cost.n_segments++;
        }
    }
    for (uint32_t v = 0; v < problem->n_values; v++) {
        cost.transfer = sy__time_add(cost.transfer, transfers_of(placement, device, v));
    }
    cost.total = sy__time_add(sy__time_add(cost.compute, cost.launch), cost.transfer);
    if (cost.total >= SY__FOREVER || !groups_hold(placement, device) ||
        !is_topological(placement, order) ||
        (check_budgets && sy__placement_excess(placement, device) > 0)) {
        return false;
    }
    *out_cost = cost;
    return true;
}

static uint64_t add_bytes(uint64_t a, uint64_t b) {
    uint64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

void sy__placement_budget_bytes(const sy__placement *placement, const uint8_t *device,
                                uint64_t *out_bytes) {
    const sy__placement_problem *problem = placement->problem;
    memset(out_bytes, 0, problem->n_budgets * sizeof(*out_bytes));
    for (uint32_t w = 0; w < problem->n_weights; w++) {
        uint32_t there = 0;
        for (uint32_t u = placement->weight_user_first[w]; u < placement->weight_user_first[w + 1];
             u++) {
            there |= 1u << device[placement->weight_users[u]];
        }
        for (uint32_t d = 0; d < placement->n_devices; d++) {
            for (uint32_t b = 0; (there >> d & 1u) && b < problem->n_budgets; b++) {
                if (problem->budgets[b].devices >> d & 1u) {
                    out_bytes[b] = add_bytes(
                        out_bytes[b], problem->weight_bytes[(size_t)w * placement->n_devices + d]);
                }
            }
        }
    }
}

uint64_t sy__placement_excess(const sy__placement *placement, const uint8_t *device) {
    if (!placement->budgets_bind) {
        return 0;
    }
    uint64_t bytes[SY__BUDGETS_MAX];
    uint64_t excess = 0;
    sy__placement_budget_bytes(placement, device, bytes);
    for (uint32_t b = 0; b < placement->problem->n_budgets; b++) {
        uint64_t limit = placement->problem->budgets[b].limit_bytes;
        if (bytes[b] > limit) {
            excess = add_bytes(excess, bytes[b] - limit);
        }
    }
    return excess;
}

/* Greedy order: run everything ready on the current device, then go to the device with most ready
 * time. With two devices and a given start this has the fewest launches there can be. */
typedef struct merge_run {
    const sy__placement *placement;
    const uint8_t *device;
    uint32_t *waiting; /* [node] nodes that must still come before it */
    uint32_t *next;    /* [node] intrusive list of ready nodes of one device, ascending */
    uint32_t head[SY__LANES_MAX][SY_LIMIT_DELEGATES];
} merge_run;

static void make_ready(merge_run *run, uint32_t node) {
    uint32_t lane = run->placement->problem->node_lane[node];
    uint32_t *link = &run->head[lane][run->device[node]];
    while (*link != SY__NONE && *link < node) {
        link = &run->next[*link];
    }
    run->next[node] = *link;
    *link = node;
}

/* How many nodes a device could run now without leaving it, roughly: its ready list. */
static uint32_t ready_count(const merge_run *run, uint32_t lane, uint32_t device) {
    uint32_t count = 0;
    for (uint32_t i = run->head[lane][device]; i != SY__NONE; i = run->next[i]) {
        count++;
    }
    return count;
}

static uint32_t next_device(const merge_run *run, uint32_t lane) {
    uint32_t best = SY__NONE, best_count = 0;
    for (uint32_t d = 0; d < run->placement->n_devices; d++) {
        uint32_t count = ready_count(run, lane, d);
        if (count > best_count) {
            best = d;
            best_count = count;
        }
    }
    return best;
}

static uint32_t merge_lane(merge_run *run, uint32_t lane, uint32_t start, uint32_t *out_order) {
    const sy__placement *placement = run->placement;
    uint32_t n_done = 0, current = start;
    while (true) {
        if (current == SY__NONE || run->head[lane][current] == SY__NONE) {
            current = next_device(run, lane);
            if (current == SY__NONE) {
                return n_done;
            }
        }
        uint32_t node = run->head[lane][current];
        run->head[lane][current] = run->next[node];
        out_order[n_done++] = node;
        for (uint32_t e = placement->after_first[node]; e < placement->after_first[node + 1]; e++) {
            if (--run->waiting[placement->after[e]] == 0) {
                make_ready(run, placement->after[e]);
            }
        }
    }
}

/* Launch time of an order of one lane. */
static sy__time_ps lane_launches(const sy__placement *placement, const uint8_t *device,
                                 const uint32_t *order, uint32_t n, uint32_t lane) {
    sy__time_ps sum = 0;
    uint32_t last = SY__NONE;
    for (uint32_t i = 0; i < n; i++) {
        if (device[order[i]] != last) {
            last = device[order[i]];
            sum = sy__time_add(sum, placement->launch[(size_t)lane * placement->n_devices + last]);
        }
    }
    return sum;
}

static void begin_merge(merge_run *run) {
    const sy__placement *placement = run->placement;
    for (uint32_t lane = 0; lane < SY__LANES_MAX; lane++) {
        for (uint32_t d = 0; d < SY_LIMIT_DELEGATES; d++) {
            run->head[lane][d] = SY__NONE;
        }
    }
    for (uint32_t i = placement->n; i-- > 0;) {
        run->waiting[i] = placement->before_first[i + 1] - placement->before_first[i];
        if (run->waiting[i] == 0) {
            make_ready(run, i);
        }
    }
}

typedef struct lane_best {
    sy__time_ps launches[SY__LANES_MAX];
} lane_best;

static void take_lane(const sy__placement *placement, const uint8_t *device, uint32_t lane,
                      const uint32_t *order, lane_best *best, uint32_t *out_order) {
    uint32_t first = placement->lane_first[lane], n = placement->lane_first[lane + 1] - first;
    sy__time_ps launches = lane_launches(placement, device, order, n, lane);
    if (launches < best->launches[lane]) {
        best->launches[lane] = launches;
        memcpy(out_order + first, order, n * sizeof(*order));
    }
}

/* Lanes one after the other become lanes in the turns of the problem's own order. */
static void interleave(const sy__placement *placement, const uint32_t *by_lane,
                       uint32_t *out_order) {
    uint32_t next[SY__LANES_MAX] = {0};
    for (uint32_t lane = 0; lane < placement->problem->n_lanes; lane++) {
        next[lane] = placement->lane_first[lane];
    }
    for (uint32_t k = 0; k < placement->n; k++) {
        out_order[k] = by_lane[next[placement->problem->node_lane[k]]++];
    }
}

/* The problem's own order and `current`, lane by lane. */
static void take_given(const sy__placement *placement, const uint8_t *device,
                       const uint32_t *current, uint32_t *order, lane_best *best,
                       uint32_t *by_lane) {
    for (uint32_t lane = 0; lane < placement->problem->n_lanes; lane++) {
        take_lane(placement, device, lane, placement->lane_nodes + placement->lane_first[lane],
                  best, by_lane);
        uint32_t n_found = 0;
        for (uint32_t k = 0; current != NULL && k < placement->n; k++) {
            if (placement->problem->node_lane[current[k]] == lane) {
                order[n_found++] = current[k];
            }
        }
        if (current != NULL) {
            take_lane(placement, device, lane, order, best, by_lane);
        }
    }
}

bool sy__placement_arrange(const sy__placement *placement, const uint8_t *device,
                           const uint32_t *current, uint32_t *out_order) {
    size_t n = placement->n;
    uint32_t *memory = sy__alloc_array(placement->allocator, n * 4u, sizeof(*memory));
    if (memory == NULL) {
        return false;
    }
    merge_run run = {
        .placement = placement, .device = device, .waiting = memory, .next = memory + n};
    uint32_t *order = memory + 2u * n, *by_lane = memory + 3u * n;
    lane_best best = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    take_given(placement, device, current, order, &best, by_lane);
    for (uint32_t start = 0; start < placement->n_devices; start++) {
        begin_merge(&run);
        for (uint32_t lane = 0; lane < placement->problem->n_lanes; lane++) {
            if (run.head[lane][start] != SY__NONE) {
                (void)merge_lane(&run, lane, start, order);
                take_lane(placement, device, lane, order, &best, by_lane);
            }
        }
    }
    interleave(placement, by_lane, out_order);
    sy__free_array(placement->allocator, memory, n * 4u, sizeof(*memory));
    return true;
}

bool sy__candidate_offer(const sy__placement *placement, const sy__time_ps *time,
                         const uint8_t *device, const uint32_t *order, sy__candidate *best,
                         sy__time_ps *out_total) {
    size_t n = placement->n;
    uint32_t *arranged = sy__alloc_array(placement->allocator, n, sizeof(*arranged));
    if (arranged == NULL || !sy__placement_arrange(placement, device, order, arranged)) {
        sy__free_array(placement->allocator, arranged, n, sizeof(*arranged));
        return false;
    }
    sy__placement_cost cost = {0, 0, 0, 0, 0};
    bool holds = sy__placement_evaluate(placement, time, device, arranged, true, &cost);
    if (holds && cost.total < best->cost.total) {
        memcpy(best->device, device, n);
        memcpy(best->order, arranged, n * sizeof(*arranged));
        best->cost = cost;
    }
    if (out_total != NULL) {
        *out_total = holds ? cost.total : SY__FOREVER;
    }
    sy__free_array(placement->allocator, arranged, n, sizeof(*arranged));
    return true;
}
