/* SPDX-License-Identifier: Apache-2.0 */
/* Turns a problem into the tables that the searches use. */
#include "plan/placement_internal.h"

#include <string.h>

/* Beyond this the reachability tables would cost more than they tell. */
#define WINDOW_CHECK_NODES 4096u

/* Lists of lists: count first, then fill. first has n + 1 entries. */
typedef struct list_builder {
    uint32_t *first;
    uint32_t *items;
    uint32_t n;
} list_builder;

static bool list_counted(sy__arena *arena, list_builder *list) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < list->n; i++) {
        uint32_t count = list->first[i];
        list->first[i] = sum;
        sum += count;
    }
    list->first[list->n] = sum;
    list->items = sy__arena_alloc(arena, sum + 1u, sizeof(uint32_t));
    return list->items != NULL;
}

static bool list_begin(sy__arena *arena, list_builder *list, uint32_t n) {
    list->n = n;
    list->first = sy__arena_alloc(arena, (size_t)n + 1u, sizeof(uint32_t));
    list->items = NULL;
    return list->first != NULL;
}

/* Filling moves first[i] to the end of i; this moves it back. */
static void list_end(list_builder *list) {
    for (uint32_t i = list->n; i > 0; i--) {
        list->first[i] = list->first[i - 1];
    }
    if (list->n > 0) {
        list->first[0] = 0;
    }
}

static void list_put(list_builder *list, uint32_t i, uint32_t item) {
    if (list->items == NULL) {
        list->first[i]++;
    } else {
        list->items[list->first[i]++] = item;
    }
}

typedef void (*list_visit)(const sy__placement *placement, list_builder *list);

static bool list_build(sy__placement *placement, uint32_t n, list_visit visit, uint32_t **out_first,
                       uint32_t **out_items) {
    list_builder list;
    if (!list_begin(&placement->arena, &list, n)) {
        return false;
    }
    visit(placement, &list);
    if (!list_counted(&placement->arena, &list)) {
        return false;
    }
    uint32_t n_items = list.first[n];
    visit(placement, &list);
    list_end(&list);
    list.first[n] = n_items;
    *out_first = list.first;
    *out_items = list.items;
    return true;
}

static void visit_inputs(const sy__placement *placement, list_builder *list) {
    const sy__placement_problem *problem = placement->problem;
    for (uint32_t v = 0; v < problem->n_values; v++) {
        const sy__placement_value *value = &problem->values[v];
        for (uint32_t c = 0; c < value->n_consumers; c++) {
            list_put(list, problem->consumers[value->i_consumer + c], v);
        }
    }
}

static void visit_outputs(const sy__placement *placement, list_builder *list) {
    for (uint32_t v = 0; v < placement->problem->n_values; v++) {
        if (placement->problem->values[v].producer != SY__NONE) {
            list_put(list, placement->problem->values[v].producer, v);
        }
    }
}

static void visit_lanes(const sy__placement *placement, list_builder *list) {
    for (uint32_t i = 0; i < placement->n; i++) {
        list_put(list, placement->problem->node_lane[i], i);
    }
}

static void visit_groups(const sy__placement *placement, list_builder *list) {
    for (uint32_t i = 0; i < placement->n; i++) {
        if (placement->problem->node_group[i] != SY__NONE) {
            list_put(list, placement->problem->node_group[i], i);
        }
    }
}

static void visit_weights(const sy__placement *placement, list_builder *list) {
    const sy__placement_problem *problem = placement->problem;
    if (problem->node_weight_first == NULL) {
        return;
    }
    for (uint32_t i = 0; i < placement->n; i++) {
        for (uint32_t w = problem->node_weight_first[i]; w < problem->node_weight_first[i + 1];
             w++) {
            list_put(list, problem->node_weights[w], i);
        }
    }
}

/* Calls put(list, from, to) for every edge: data, then the order within a group and lane. */
static void each_edge(const sy__placement *placement, list_builder *list, bool forward) {
    const sy__placement_problem *problem = placement->problem;
    for (uint32_t v = 0; v < problem->n_values; v++) {
        const sy__placement_value *value = &problem->values[v];
        for (uint32_t c = 0; value->producer != SY__NONE && c < value->n_consumers; c++) {
            uint32_t consumer = problem->consumers[value->i_consumer + c];
            list_put(list, forward ? value->producer : consumer,
                     forward ? consumer : value->producer);
        }
    }
    for (uint32_t g = 0; g < problem->n_groups; g++) {
        uint32_t last[SY__LANES_MAX] = {SY__NONE, SY__NONE, SY__NONE, SY__NONE};
        for (uint32_t m = placement->group_first[g]; m < placement->group_first[g + 1]; m++) {
            uint32_t node = placement->group_nodes[m], lane = problem->node_lane[node];
            if (last[lane] != SY__NONE) {
                list_put(list, forward ? last[lane] : node, forward ? node : last[lane]);
            }
            last[lane] = node;
        }
    }
}

static void visit_before(const sy__placement *placement, list_builder *list) {
    each_edge(placement, list, false);
}

static void visit_after(const sy__placement *placement, list_builder *list) {
    each_edge(placement, list, true);
}

static bool build_lists(sy__placement *placement) {
    const sy__placement_problem *problem = placement->problem;
    uint32_t n = placement->n;
    if (!list_build(placement, n, visit_inputs, &placement->input_first, &placement->inputs) ||
        !list_build(placement, n, visit_outputs, &placement->output_first, &placement->outputs) ||
        !list_build(placement, problem->n_lanes, visit_lanes, &placement->lane_first,
                    &placement->lane_nodes) ||
        !list_build(placement, problem->n_groups, visit_groups, &placement->group_first,
                    &placement->group_nodes) ||
        !list_build(placement, problem->n_weights, visit_weights, &placement->weight_user_first,
                    &placement->weight_users) ||
        !list_build(placement, n, visit_before, &placement->before_first, &placement->before) ||
        !list_build(placement, n, visit_after, &placement->after_first, &placement->after)) {
        return false;
    }
    for (uint32_t lane = 0; lane < problem->n_lanes; lane++) {
        for (uint32_t i = placement->lane_first[lane]; i < placement->lane_first[lane + 1]; i++) {
            placement->local[placement->lane_nodes[i]] = i - placement->lane_first[lane];
        }
    }
    return true;
}

static void weigh_times(sy__placement *placement) {
    const sy__placement_problem *problem = placement->problem;
    uint32_t n_devices = placement->n_devices;
    for (uint32_t i = 0; i < placement->n; i++) {
        for (uint32_t d = 0; d < n_devices; d++) {
            size_t at = (size_t)i * n_devices + d;
            sy__time_ps time = problem->time[at] >= SY__FOREVER ? SY__FOREVER : problem->time[at];
            time = sy__time_times(time, problem->lane_runs[problem->node_lane[i]]);
            placement->time[at] = sy__time_add(time, problem->rank[d]);
        }
    }
    for (uint32_t lane = 0; lane < problem->n_lanes; lane++) {
        for (uint32_t d = 0; d < n_devices; d++) {
            placement->launch[(size_t)lane * n_devices + d] =
                sy__time_times(problem->launch[d], problem->lane_runs[lane]);
        }
    }
}

static bool may_use(const sy__placement *placement, uint32_t weight, uint32_t device) {
    for (uint32_t u = placement->weight_user_first[weight];
         u < placement->weight_user_first[weight + 1]; u++) {
        size_t at = (size_t)placement->weight_users[u] * placement->n_devices + device;
        if (placement->problem->time[at] < SY__FOREVER) {
            return true;
        }
    }
    return false;
}

static bool find_binding(const sy__placement *placement) {
    const sy__placement_problem *problem = placement->problem;
    for (uint32_t b = 0; b < problem->n_budgets; b++) {
        uint64_t sum = 0;
        for (uint32_t w = 0; w < problem->n_weights; w++) {
            for (uint32_t d = 0; d < placement->n_devices; d++) {
                uint64_t bytes = problem->weight_bytes[(size_t)w * placement->n_devices + d];
                if ((problem->budgets[b].devices >> d & 1u) && may_use(placement, w, d) &&
                    __builtin_add_overflow(sum, bytes, &sum)) {
                    sum = UINT64_MAX;
                }
            }
        }
        if (sum > problem->budgets[b].limit_bytes) {
            return true;
        }
    }
    return false;
}

/* True when every node more than a window behind another one depends on it. */
static bool lane_window_covers(const sy__placement *placement, uint32_t lane, uint64_t *reach,
                               size_t n_words) {
    uint32_t first = placement->lane_first[lane], n = placement->lane_first[lane + 1] - first;
    for (uint32_t i = n; i-- > 0;) {
        uint64_t *row = reach + (size_t)i * n_words;
        memset(row, 0, n_words * sizeof(*row));
        uint32_t node = placement->lane_nodes[first + i];
        for (uint32_t e = placement->after_first[node]; e < placement->after_first[node + 1]; e++) {
            uint32_t next = placement->local[placement->after[e]];
            const uint64_t *from = reach + (size_t)next * n_words;
            for (size_t w = next / 64; w < n_words; w++) {
                row[w] |= from[w];
            }
            row[next / 64] |= 1ull << (next % 64);
        }
        for (uint32_t j = i + SY__WINDOW_MAX; j < n; j++) {
            if ((row[j / 64] >> (j % 64) & 1u) == 0) {
                return false;
            }
        }
    }
    return true;
}

static bool check_window(sy__placement *placement, bool *out_refused) {
    *out_refused = false;
    for (uint32_t lane = 0; lane < placement->problem->n_lanes; lane++) {
        uint32_t n = placement->lane_first[lane + 1] - placement->lane_first[lane];
        if (n <= SY__WINDOW_MAX) {
            continue;
        }
        if (n > WINDOW_CHECK_NODES) {
            return false;
        }
        size_t n_words = (n + 63u) / 64u;
        uint64_t *reach =
            sy__alloc_array(placement->allocator, (size_t)n * n_words, sizeof(*reach));
        if (reach == NULL) {
            *out_refused = true;
            return false;
        }
        bool covers = lane_window_covers(placement, lane, reach, n_words);
        sy__free_array(placement->allocator, reach, (size_t)n * n_words, sizeof(*reach));
        if (!covers) {
            return false;
        }
    }
    return true;
}

static bool fill(sy__placement *placement) {
    size_t n = placement->n, n_devices = placement->n_devices;
    sy__arena *arena = &placement->arena;
    placement->time = sy__arena_alloc(arena, n * n_devices, sizeof(sy__time_ps));
    placement->launch = sy__arena_alloc(arena, (size_t)placement->problem->n_lanes * n_devices,
                                        sizeof(sy__time_ps));
    placement->local = sy__arena_alloc(arena, n, sizeof(uint32_t));
    placement->scratch = sy__arena_alloc(arena, n, sizeof(uint32_t));
    if (placement->time == NULL || placement->launch == NULL || placement->local == NULL ||
        placement->scratch == NULL || !build_lists(placement)) {
        return false;
    }
    weigh_times(placement);
    placement->budgets_bind = find_binding(placement);
    bool refused = false;
    placement->window_covers = check_window(placement, &refused);
    return !refused;
}

sy_status sy__placement_prepare(const sy_allocator *allocator, const sy__placement_problem *problem,
                                sy__placement *out_placement, sy_error *error) {
    if (problem->n_nodes == 0 || problem->n_nodes > SY_LIMIT_NODES || problem->n_devices == 0 ||
        problem->n_devices > SY_LIMIT_DELEGATES || problem->n_lanes == 0 ||
        problem->n_lanes > SY__LANES_MAX || problem->n_budgets > SY__BUDGETS_MAX) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "A placement of %u nodes, %u devices, %u phases and %u budgets is "
                            "outside the limits.",
                            problem->n_nodes, problem->n_devices, problem->n_lanes,
                            problem->n_budgets);
    }
    memset(out_placement, 0, sizeof(*out_placement));
    out_placement->problem = problem;
    out_placement->allocator = sy__allocator_or_heap(allocator);
    out_placement->n = problem->n_nodes;
    out_placement->n_devices = problem->n_devices;
    sy__arena_init(&out_placement->arena, out_placement->allocator, 1u << 16);
    if (!fill(out_placement)) {
        sy__placement_release(out_placement);
        return sy__no_memory(error, (uint64_t)problem->n_nodes * problem->n_devices * 8u,
                             "the tables of a placement");
    }
    return SY_OK;
}

void sy__placement_release(sy__placement *placement) {
    sy__arena_deinit(&placement->arena);
    placement->problem = NULL;
}
