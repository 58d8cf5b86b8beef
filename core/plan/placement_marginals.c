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
    const uint8_t *device;   /* [position] of the plan whose order this is */
    uint64_t *path;          /* state of the plan at the current layer */
    uint32_t n_path;
    sy__time_ps path_cost;
    sy__time_ps rest; /* least time of the nodes behind the current layer */
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
    sy__time_ps added = sy__expand(&run->expander, run->path, run->n_path, node, run->device[node],
                                   &n_words);
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
            sy__state next = {.cost = sy__time_add(state->cost, added),
                              .rest = run->rest,
                              .n_words = n_words};
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
            uint32_t next = added < SY__FOREVER
                                ? sy__layer_find(to, run->expander.scratch, n_words)
                                : SY__NONE;
            if (next == SY__NONE) {
                continue;
            }
            sy__time_ps rest = sy__time_add(added, after[next]);
            sy__time_ps total = sy__time_add(state->cost, rest);
            sy__time_ps *marginal =
                &run->marginals[(size_t)node * run->placement->n_devices + d];
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

/* The same problem with nodes numbered along `order`, in the arena. */
static bool renumber(const sy__placement *placement, const sy__time_ps *time, const uint32_t *order,
                     sy__arena *arena, sy__placement_problem *out_problem) {
    const sy__placement_problem *problem = placement->problem;
    size_t n = placement->n, n_devices = placement->n_devices;
    uint32_t *position = sy__arena_alloc(arena, n, sizeof(*position));
    uint32_t *lane = sy__arena_alloc(arena, n, sizeof(*lane));
    uint32_t *group = sy__arena_alloc(arena, n, sizeof(*group));
    uint32_t *weight_first = sy__arena_alloc(arena, n + 1u, sizeof(*weight_first));
    uint32_t *weights = sy__arena_alloc(arena, problem->n_node_weights + 1u, sizeof(*weights));
    uint32_t *consumers = sy__arena_alloc(arena, problem->n_consumers + 1u, sizeof(*consumers));
    sy__time_ps *times = sy__arena_alloc(arena, n * n_devices, sizeof(*times));
    sy__placement_value *values = sy__arena_alloc(arena, problem->n_values + 1u, sizeof(*values));
    if (position == NULL || lane == NULL || group == NULL || weight_first == NULL ||
        weights == NULL || consumers == NULL || times == NULL || values == NULL) {
        return false;
    }
    for (uint32_t k = 0; k < n; k++) {
        uint32_t node = order[k];
        position[node] = k;
        lane[k] = problem->node_lane[node];
        group[k] = problem->node_group[node];
        memcpy(times + k * n_devices, time + node * n_devices, n_devices * sizeof(*times));
        weight_first[k + 1] = weight_first[k];
        for (uint32_t w = problem->node_weight_first != NULL ? problem->node_weight_first[node] : 0;
             problem->node_weight_first != NULL && w < problem->node_weight_first[node + 1]; w++) {
            weights[weight_first[k + 1]++] = problem->node_weights[w];
        }
    }
    for (uint32_t v = 0; v < problem->n_values; v++) {
        values[v] = problem->values[v];
        values[v].producer =
            values[v].producer == SY__NONE ? SY__NONE : position[values[v].producer];
        for (uint32_t c = values[v].i_consumer; c < values[v].i_consumer + values[v].n_consumers;
             c++) {
            uint32_t at = c, now = position[problem->consumers[c]];
            for (; at > values[v].i_consumer && consumers[at - 1] > now; at--) {
                consumers[at] = consumers[at - 1];
            }
            consumers[at] = now;
        }
    }
    *out_problem = *problem;
    out_problem->node_lane = lane;
    out_problem->node_group = group;
    out_problem->node_weight_first = problem->node_weight_first != NULL ? weight_first : NULL;
    out_problem->node_weights = weights;
    out_problem->consumers = consumers;
    out_problem->values = values;
    out_problem->time = times;
    return true;
}

static bool run_renumbered(marginals_run *run, const sy__placement *placement,
                           const uint32_t *order, sy__time_ps *out_marginals) {
    const sy_allocator *allocator = placement->allocator;
    size_t n = placement->n, n_devices = placement->n_devices;
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
                         const uint8_t *device, const uint32_t *order, sy__time_ps *marginals) {
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
            memcpy(moved, device, n);
            sy__placement_assign(placement, moved, i, d);
            if (sy__placement_evaluate(placement, time, moved, order, true, &cost)) {
                *marginal = cost.total;
            }
        }
    }
    sy__free_array(placement->allocator, moved, n, 1);
    return true;
}

bool sy__marginals_run(const sy__placement *placement, const sy__time_ps *time,
                       const sy__candidate *plan, sy__time_ps lower_bound, uint64_t max_states,
                       sy__time_ps *out_marginals, sy__time_ps *out_exact_below) {
    sy__arena arena;
    sy__placement_problem problem;
    sy__placement renumbered;
    marginals_run run;
    memset(&run, 0, sizeof(run));
    sy__arena_init(&arena, placement->allocator, 1u << 16);
    uint8_t *device = sy__arena_alloc(&arena, placement->n, 1);
    bool done = device != NULL && renumber(placement, time, plan->order, &arena, &problem) &&
                sy__placement_prepare(placement->allocator, &problem, &renumbered, NULL) == SY_OK;
    if (done) {
        for (uint32_t k = 0; k < placement->n; k++) {
            device[k] = plan->device[plan->order[k]];
        }
        run.placement = &renumbered;
        run.device = device;
        run.lower_bound = lower_bound;
        run.exact_below = SY__FOREVER;
        run.max_layer_states = (size_t)(max_states / (placement->n + 1u));
        if (run.max_layer_states < LEAST_LAYER_STATES) {
            run.max_layer_states = LEAST_LAYER_STATES;
        }
        done = sy__expander_init(&run.expander, &renumbered, problem.time, NULL,
                                 placement->budgets_bind);
        if (done) {
            done = run_renumbered(&run, placement, plan->order, out_marginals);
            sy__expander_deinit(&run.expander);
        }
        sy__placement_release(&renumbered);
    }
    sy__arena_deinit(&arena);
    *out_exact_below = run.exact_below;
    return done && (run.exact_below == SY__FOREVER ||
                    sy__marginals_by_moves(placement, time, plan->device, plan->order,
                                           out_marginals));
}
