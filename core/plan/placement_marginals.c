/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Min-marginals: for every node and device the cost of the best plan that has the node there. The
 * forward pass keeps all states of all layers, the backward pass walks the same transitions again.
 */
#include "plan/placement_states.h"

#include <stdlib.h>
#include <string.h>

#define LEAST_LAYER_STATES 64u
#define MAX_NODES_FOR_MOVES 4096u

typedef struct marginals_run {
    const sy__placement *placement; /* nodes renumbered along the order */
    sy__expander expander;
    sy__layer *layers; /* [n + 1] */
    size_t max_layer_states;
    const uint8_t *device; /* [position] of the plan whose order this is */
    uint64_t *path;        /* state of the plan at the current layer */
    uint32_t n_path;
    sy__time_ps path_cost;
    sy__time_ps rest;        /* least time of the nodes behind the current layer */
    sy__time_ps lower_bound; /* of every plan in this order */
    sy__time_ps exact_below; /* what was cut costs at least this */
    sy__time_ps *to_end[2];
    size_t n_to_end;
    sy__time_ps *marginals; /* [position][device] */
} marginals_run;

static int compare_rests(const void *left, const void *right) {
    const sy__state *a = left, *b = right;
    if (a->rest != b->rest) {
        return a->rest < b->rest ? -1 : 1;
    }
    return a->i_word < b->i_word ? -1 : a->i_word > b->i_word;
}

/* What every plan through a state costs at least. The plan's own state of this layer could go on
 * as this one does for `distance` more, and everything from it costs lower_bound - path_cost. */
static sy__time_ps total_bound(const marginals_run *run, const sy__layer *layer,
                               const sy__state *state) {
    sy__time_ps plain = sy__time_add(state->cost, state->rest);
    sy__time_ps distance = sy__state_distance(&run->expander, run->path, run->n_path,
                                              layer->words + state->i_word, state->n_words);
    sy__time_ps have = sy__time_add(state->cost, run->lower_bound);
    sy__time_ps less = sy__time_add(run->path_cost, distance);
    return less < have && have - less > plain ? have - less : plain;
}

/* Keeps the most promising states of a layer that grew too large. */
static bool cut_layer(marginals_run *run, sy__layer *layer) {
    if (layer->n_states <= run->max_layer_states) {
        return true;
    }
    sy__layer kept;
    sy__layer_init(&kept, layer->allocator);
    for (size_t i = 0; i < layer->n_states; i++) {
        layer->states[i].rest = total_bound(run, layer, &layer->states[i]);
    }
    qsort(layer->states, layer->n_states, sizeof(*layer->states), compare_rests);
    sy__time_ps dropped = layer->states[run->max_layer_states].rest;
    run->exact_below = dropped < run->exact_below ? dropped : run->exact_below;
    for (size_t i = 0; i < run->max_layer_states; i++) {
        layer->states[i].rest = run->rest;
        if (!sy__layer_add(&kept, layer->words + layer->states[i].i_word, &layer->states[i])) {
            sy__layer_deinit(&kept);
            return false;
        }
    }
    sy__layer_deinit(layer);
    *layer = kept;
    return true;
}

/* Moves the plan's own state one node on. */
static void follow_plan(marginals_run *run, uint32_t node) {
    uint32_t n_words = 0;
    sy__time_ps added =
        sy__expand(&run->expander, run->path, run->n_path, node, run->device[node], &n_words);
    run->path_cost = sy__time_add(run->path_cost, added);
    memcpy(run->path, run->expander.scratch, n_words * sizeof(*run->path));
    run->n_path = n_words;
    run->rest -= run->expander.node_min[node];
}

static bool forward_step(marginals_run *run, uint32_t node) {
    const sy__layer *from = &run->layers[node];
    sy__layer *to = &run->layers[node + 1];
    follow_plan(run, node);
    for (size_t i = 0; i < from->n_states; i++) {
        const sy__state *state = &from->states[i];
        for (uint32_t d = 0; d < run->placement->n_devices; d++) {
            uint32_t n_words = 0;
            sy__time_ps added = sy__expand(&run->expander, from->words + state->i_word,
                                           state->n_words, node, d, &n_words);
            sy__state next = {
                .cost = sy__time_add(state->cost, added), .rest = run->rest, .n_words = n_words};
            if (next.cost < SY__FOREVER && !sy__layer_add(to, run->expander.scratch, &next)) {
                return false;
            }
        }
    }
    return cut_layer(run, to);
}

static void backward_step(marginals_run *run, uint32_t node) {
    const sy__layer *from = &run->layers[node], *to = &run->layers[node + 1];
    const sy__time_ps *after = run->to_end[(node + 1u) & 1u];
    for (size_t i = 0; i < from->n_states; i++) {
        const sy__state *state = &from->states[i];
        sy__time_ps least = SY__FOREVER;
        for (uint32_t d = 0; d < run->placement->n_devices; d++) {
            uint32_t n_words = 0;
            sy__time_ps added = sy__expand(&run->expander, from->words + state->i_word,
                                           state->n_words, node, d, &n_words);
            uint32_t next =
                added < SY__FOREVER ? sy__layer_find(to, run->expander.scratch, n_words) : SY__NONE;
            if (next == SY__NONE) {
                continue;
            }
            sy__time_ps rest = sy__time_add(added, after[next]);
            sy__time_ps total = sy__time_add(state->cost, rest);
            sy__time_ps *marginal = &run->marginals[(size_t)node * run->placement->n_devices + d];
            *marginal = total < *marginal ? total : *marginal;
            least = rest < least ? rest : least;
        }
        run->to_end[node & 1u][i] = least;
    }
}

static bool pass_both(marginals_run *run) {
    uint32_t n = run->placement->n;
    sy__state start = {.cost = run->expander.start_cost,
                       .rest = run->expander.start_rest,
                       .n_words = run->expander.n_start};
    if (!sy__layer_add(&run->layers[0], run->expander.start, &start)) {
        return false;
    }
    memcpy(run->path, run->expander.start, run->expander.n_start * sizeof(*run->path));
    run->n_path = run->expander.n_start;
    run->path_cost = run->expander.start_cost;
    run->rest = run->expander.start_rest;
    for (uint32_t k = 0; k < n; k++) {
        if (!forward_step(run, k)) {
            return false;
        }
        size_t n_states = run->layers[k + 1].n_states;
        run->n_to_end = n_states > run->n_to_end ? n_states : run->n_to_end;
    }
    run->n_to_end += 1u;
    for (uint32_t i = 0; i < 2; i++) {
        run->to_end[i] =
            sy__alloc_array(run->placement->allocator, run->n_to_end, sizeof(sy__time_ps));
        if (run->to_end[i] == NULL) {
            return false;
        }
    }
    for (uint32_t k = n; k-- > 0;) {
        backward_step(run, k);
    }
    return true;
}

/* A problem with nodes numbered along an order; only those of one lane, or all (SY__NONE). */
typedef struct renumbering {
    const sy__placement *placement;
    uint32_t lane, n;
    uint32_t *order, *position; /* [new number], [old number] */
    uint32_t *node_lane, *group, *weight_first, *weights, *consumers;
    sy__time_ps *times;
    sy__placement_value *values;
    uint8_t *device; /* of the plan, by new number */
} renumbering;

static bool reserve_renumbering(renumbering *to, sy__arena *arena) {
    const sy__placement_problem *problem = to->placement->problem;
    size_t n = to->placement->n;
    to->order = sy__arena_alloc(arena, n, sizeof(*to->order));
    to->position = sy__arena_alloc(arena, n, sizeof(*to->position));
    to->node_lane = sy__arena_alloc(arena, n, sizeof(*to->node_lane));
    to->group = sy__arena_alloc(arena, n, sizeof(*to->group));
    to->weight_first = sy__arena_alloc(arena, n + 1u, sizeof(*to->weight_first));
    to->weights = sy__arena_alloc(arena, problem->n_node_weights + 1u, sizeof(*to->weights));
    to->consumers = sy__arena_alloc(arena, problem->n_consumers + 1u, sizeof(*to->consumers));
    to->times = sy__arena_alloc(arena, n * problem->n_devices, sizeof(*to->times));
    to->values = sy__arena_alloc(arena, problem->n_values + 1u, sizeof(*to->values));
    to->device = sy__arena_alloc(arena, n, 1);
    return to->order != NULL && to->position != NULL && to->node_lane != NULL &&
           to->group != NULL && to->weight_first != NULL && to->weights != NULL &&
           to->consumers != NULL && to->times != NULL && to->values != NULL && to->device != NULL;
}

static void renumber_nodes(renumbering *to, const sy__time_ps *time, const sy__candidate *plan) {
    const sy__placement_problem *problem = to->placement->problem;
    size_t n_devices = problem->n_devices;
    for (uint32_t i = 0; i < to->placement->n; i++) {
        uint32_t node = plan->order[i], k = to->n;
        to->position[node] = SY__NONE;
        if (to->lane != SY__NONE && problem->node_lane[node] != to->lane) {
            continue;
        }
        to->order[k] = node;
        to->position[node] = k;
        to->device[k] = plan->device[node];
        to->node_lane[k] = problem->node_lane[node];
        to->group[k] = problem->node_group[node];
        memcpy(to->times + k * n_devices, time + node * n_devices, n_devices * sizeof(*to->times));
        to->weight_first[k + 1u] = to->weight_first[k];
        for (uint32_t w = problem->node_weight_first != NULL ? problem->node_weight_first[node] : 0;
             problem->node_weight_first != NULL && w < problem->node_weight_first[node + 1]; w++) {
            to->weights[to->weight_first[k + 1u]++] = problem->node_weights[w];
        }
        to->n++;
    }
}

static uint32_t renumber_values(renumbering *to) {
    const sy__placement_problem *problem = to->placement->problem;
    uint32_t n_values = 0;
    for (uint32_t v = 0; v < problem->n_values; v++) {
        if (to->lane != SY__NONE && problem->values[v].lane != to->lane) {
            continue;
        }
        sy__placement_value *value = &to->values[n_values++];
        *value = problem->values[v];
        value->producer = value->producer == SY__NONE ? SY__NONE : to->position[value->producer];
        for (uint32_t c = value->i_consumer; c < value->i_consumer + value->n_consumers; c++) {
            uint32_t at = c, now = to->position[problem->consumers[c]];
            for (; at > value->i_consumer && to->consumers[at - 1] > now; at--) {
                to->consumers[at] = to->consumers[at - 1];
            }
            to->consumers[at] = now;
        }
    }
    return n_values;
}

static void renumber(renumbering *to, const sy__time_ps *time, const sy__candidate *plan,
                     sy__placement_problem *out_problem) {
    *out_problem = *to->placement->problem;
    renumber_nodes(to, time, plan);
    out_problem->n_nodes = to->n;
    out_problem->n_values = renumber_values(to);
    out_problem->node_lane = to->node_lane;
    out_problem->node_group = to->group;
    out_problem->node_weight_first =
        to->placement->problem->node_weight_first != NULL ? to->weight_first : NULL;
    out_problem->node_weights = to->weights;
    out_problem->consumers = to->consumers;
    out_problem->values = to->values;
    out_problem->time = to->times;
}

static bool run_renumbered(marginals_run *run, const uint32_t *order, sy__time_ps *out_marginals) {
    const sy_allocator *allocator = run->placement->allocator;
    size_t n = run->placement->n, n_devices = run->placement->n_devices;
    run->layers = sy__alloc_array(allocator, n + 1u, sizeof(*run->layers));
    run->marginals = sy__alloc_array(allocator, n * n_devices, sizeof(sy__time_ps));
    run->path = sy__alloc_array(allocator, run->expander.max_words, sizeof(*run->path));
    bool done = run->layers != NULL && run->marginals != NULL && run->path != NULL;
    for (size_t i = 0; run->layers != NULL && i <= n; i++) {
        sy__layer_init(&run->layers[i], allocator);
    }
    for (size_t i = 0; done && i < n * n_devices; i++) {
        run->marginals[i] = SY__FOREVER;
    }
    done = done && pass_both(run);
    for (size_t k = 0; done && k < n; k++) {
        memcpy(out_marginals + order[k] * n_devices, run->marginals + k * n_devices,
               n_devices * sizeof(*out_marginals));
    }
    for (size_t i = 0; run->layers != NULL && i <= n; i++) {
        sy__layer_deinit(&run->layers[i]);
    }
    sy__free_array(allocator, run->layers, n + 1u, sizeof(*run->layers));
    sy__free_array(allocator, run->marginals, n * n_devices, sizeof(sy__time_ps));
    sy__free_array(allocator, run->path, run->expander.max_words, sizeof(*run->path));
    sy__free_array(allocator, run->to_end[0], run->n_to_end, sizeof(sy__time_ps));
    sy__free_array(allocator, run->to_end[1], run->n_to_end, sizeof(sy__time_ps));
    return done;
}

bool sy__marginals_by_moves(const sy__placement *placement, const sy__time_ps *time,
                            const sy__candidate *plan, sy__time_ps *marginals, uint8_t *exact) {
    uint32_t n = placement->n;
    if (n > MAX_NODES_FOR_MOVES) {
        return true;
    }
    uint8_t *moved = sy__alloc_array(placement->allocator, n, 1);
    if (moved == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t allowed = sy__placement_allowed(placement, time, i);
        for (uint32_t d = 0; d < placement->n_devices; d++) {
            sy__time_ps *marginal = &marginals[(size_t)i * placement->n_devices + d];
            sy__placement_cost cost = {0, 0, 0, 0, 0};
            if ((allowed >> d & 1u) == 0 || *marginal < SY__FOREVER) {
                continue;
            }
            memcpy(moved, plan->device, n);
            sy__placement_assign(placement, moved, i, d);
            if (sy__placement_evaluate(placement, time, moved, plan->order, true, &cost)) {
                *marginal = cost.total;
                exact[(size_t)i * placement->n_devices + d] = 0;
            }
        }
    }
    sy__free_array(placement->allocator, moved, n, 1);
    return true;
}

/* The cheapest plan in this order, 0 when the search would take too long. */
static bool best_in_order(const sy__placement *renumbered, uint64_t max_states,
                          sy__time_ps *out_bound) {
    uint8_t *device = sy__alloc_array(renumbered->allocator, renumbered->n, 1);
    uint32_t *order = sy__alloc_array(renumbered->allocator, renumbered->n, sizeof(*order));
    sy__search_request request = {.time = renumbered->problem->time,
                                  .window = 1,
                                  .max_states = max_states,
                                  .upper_bound = SY__FOREVER};
    sy__search_answer answer = {false, false, 0, 0};
    bool done = device != NULL && order != NULL &&
                sy__search_run(renumbered, &request, device, order, &answer);
    *out_bound = done && answer.found && answer.complete ? answer.total : 0;
    sy__free_array(renumbered->allocator, device, renumbered->n, 1);
    sy__free_array(renumbered->allocator, order, renumbered->n, sizeof(*order));
    return done;
}

/* Both passes over one lane, or all (SY__NONE). */
typedef struct lane_request {
    const sy__placement *placement;
    const sy__time_ps *time;
    const sy__candidate *plan;
    sy__time_ps lower_bound;
    uint64_t max_states;
    uint32_t lane;
} lane_request;

static bool run_passes(const lane_request *request, const renumbering *to,
                       const sy__placement *renumbered, sy__time_ps *out_marginals,
                       sy__time_ps *out_exact_below) {
    marginals_run run;
    sy__time_ps best = 0;
    memset(&run, 0, sizeof(run));
    run.placement = renumbered;
    run.device = to->device;
    run.exact_below = SY__FOREVER;
    run.max_layer_states = (size_t)(request->max_states / (to->n + 1u));
    if (run.max_layer_states < LEAST_LAYER_STATES) {
        run.max_layer_states = LEAST_LAYER_STATES;
    }
    if (!best_in_order(renumbered, request->max_states, &best) ||
        !sy__expander_init(&run.expander, renumbered, renumbered->problem->time, NULL,
                           request->placement->budgets_bind)) {
        return false;
    }
    run.lower_bound = best > request->lower_bound ? best : request->lower_bound;
    bool done = run_renumbered(&run, to->order, out_marginals);
    sy__expander_deinit(&run.expander);
    *out_exact_below = run.exact_below;
    return done;
}

/* *out_exact_below: what a cut could hide costs at least this. */
static bool run_lane(const lane_request *request, sy__time_ps *out_marginals,
                     sy__time_ps *out_exact_below) {
    sy__arena arena;
    sy__placement_problem problem;
    sy__placement renumbered;
    renumbering to = {.placement = request->placement, .lane = request->lane};
    sy__arena_init(&arena, request->placement->allocator, 1u << 16);
    bool done = reserve_renumbering(&to, &arena);
    if (done) {
        renumber(&to, request->time, request->plan, &problem);
        done = sy__placement_prepare(request->placement->allocator, &problem, &renumbered, NULL) ==
               SY_OK;
    }
    if (done) {
        done = run_passes(request, &to, &renumbered, out_marginals, out_exact_below);
        sy__placement_release(&renumbered);
    }
    sy__arena_deinit(&arena);
    return done;
}

/* Adds the rest of the plan to what one lane says of its nodes outside groups. */
static void take_lane(const lane_request *request, const sy__time_ps *fixed, sy__time_ps below,
                      sy__time_ps *inout_marginals, uint8_t *inout_exact) {
    const sy__placement *placement = request->placement;
    uint32_t n_devices = placement->n_devices;
    uint32_t first = placement->lane_first[request->lane];
    const sy__time_ps *row = fixed + (size_t)placement->lane_nodes[first] * n_devices;
    sy__time_ps own = request->plan->cost.total;
    for (uint32_t d = 0; d < n_devices; d++) {
        own = row[d] < own ? row[d] : own;
    }
    for (uint32_t i = first; i < placement->lane_first[request->lane + 1u]; i++) {
        uint32_t node = placement->lane_nodes[i];
        bool grouped = placement->problem->node_group[node] != SY__NONE;
        for (uint32_t d = 0; !grouped && d < n_devices; d++) {
            size_t at = (size_t)node * n_devices + d;
            inout_marginals[at] = sy__time_add(fixed[at], request->plan->cost.total - own);
            inout_exact[at] = fixed[at] < below || below == SY__FOREVER;
        }
    }
}

/* Where no budget binds, lanes meet only in groups. With the groups where the plan has them each
 * lane stands alone. fixed has room for two tables. */
static bool marginals_by_lanes(lane_request request, sy__time_ps *fixed,
                               sy__time_ps *inout_marginals, uint8_t *inout_exact) {
    const sy__placement *placement = request.placement;
    uint32_t n_devices = placement->n_devices;
    sy__time_ps *fixed_time = fixed + (size_t)placement->n * n_devices;
    for (uint32_t i = 0; i < placement->n; i++) {
        bool grouped = placement->problem->node_group[i] != SY__NONE;
        for (uint32_t d = 0; d < n_devices; d++) {
            size_t at = (size_t)i * n_devices + d;
            bool elsewhere = grouped && request.plan->device[i] != d;
            fixed_time[at] = elsewhere ? SY__FOREVER : request.time[at];
        }
    }
    request.time = fixed_time;
    request.lower_bound = 0;
    for (request.lane = 0; request.lane < placement->problem->n_lanes; request.lane++) {
        sy__time_ps below = 0;
        if (placement->lane_first[request.lane] == placement->lane_first[request.lane + 1u]) {
            continue;
        }
        if (!run_lane(&request, fixed, &below)) {
            return false;
        }
        take_lane(&request, fixed, below, inout_marginals, inout_exact);
    }
    return true;
}

bool sy__marginals_run(const sy__placement *placement, const sy__time_ps *time,
                       const sy__candidate *plan, sy__time_ps lower_bound, uint64_t max_states,
                       sy__time_ps *out_marginals, uint8_t *out_exact) {
    size_t n = (size_t)placement->n * placement->n_devices;
    sy__time_ps below = 0;
    lane_request request = {.placement = placement,
                            .time = time,
                            .plan = plan,
                            .lower_bound = lower_bound,
                            .max_states = max_states,
                            .lane = SY__NONE};
    if (!run_lane(&request, out_marginals, &below)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        out_exact[i] = out_marginals[i] < below || below == SY__FOREVER;
    }
    if (placement->problem->n_lanes > 1 && !placement->budgets_bind) {
        sy__time_ps *fixed = sy__alloc_array(placement->allocator, n * 2u, sizeof(*fixed));
        request.max_states = max_states * 2u;
        bool done = fixed != NULL && marginals_by_lanes(request, fixed, out_marginals, out_exact);
        sy__free_array(placement->allocator, fixed, n * 2u, sizeof(*fixed));
        if (!done) {
            return false;
        }
    }
    return sy__marginals_by_moves(placement, time, plan, out_marginals, out_exact);
}
