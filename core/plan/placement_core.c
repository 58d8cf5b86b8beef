/* SPDX-License-Identifier: Apache-2.0 */
/* Portfolio, bound, exact search, beam: in the order of what they cost, until the gap is closed. */
#include "plan/placement_internal.h"

#include <string.h>

#define DEFAULT_BEAM 64u
#define DEFAULT_STATES (1ull << 20)

/* The longest path of each lane by nodes, ties by node number. */
static bool mark_paths(const sy__placement *placement, uint8_t *on_path) {
    uint32_t n = placement->n;
    uint32_t *length = sy__alloc_array(placement->allocator, n, sizeof(*length));
    uint32_t *from = sy__alloc_array(placement->allocator, n, sizeof(*from));
    bool done = length != NULL && from != NULL;
    uint32_t last[SY__LANES_MAX] = {SY__NONE, SY__NONE, SY__NONE, SY__NONE};
    for (uint32_t i = 0; done && i < n; i++) {
        uint32_t lane = placement->problem->node_lane[i];
        from[i] = SY__NONE;
        length[i] = 1;
        for (uint32_t e = placement->before_first[i]; e < placement->before_first[i + 1]; e++) {
            uint32_t before = placement->before[e];
            if (length[before] + 1u > length[i]) {
                length[i] = length[before] + 1u;
                from[i] = before;
            }
        }
        if (last[lane] == SY__NONE || length[i] > length[last[lane]]) {
            last[lane] = i;
        }
    }
    for (uint32_t lane = 0; done && lane < placement->problem->n_lanes; lane++) {
        for (uint32_t i = last[lane]; i != SY__NONE; i = from[i]) {
            on_path[i] = 1;
        }
    }
    sy__free_array(placement->allocator, length, n, sizeof(*length));
    sy__free_array(placement->allocator, from, n, sizeof(*from));
    return done;
}

/* What is left when nothing can be searched: every node at its fastest, one launch a lane. */
static sy__time_ps plain_bound(const sy__placement *placement, const sy__time_ps *time) {
    sy__time_ps sum = 0;
    for (uint32_t i = 0; i < placement->n; i++) {
        sy__time_ps least = SY__FOREVER;
        for (uint32_t d = 0; d < placement->n_devices; d++) {
            sy__time_ps here = time[(size_t)i * placement->n_devices + d];
            least = here < least ? here : least;
        }
        sum = sy__time_add(sum, least);
    }
    for (uint32_t lane = 0; lane < placement->problem->n_lanes; lane++) {
        sy__time_ps least = SY__FOREVER;
        for (uint32_t d = 0; d < placement->n_devices; d++) {
            sy__time_ps here = placement->launch[(size_t)lane * placement->n_devices + d];
            least = here < least ? here : least;
        }
        if (placement->lane_first[lane + 1] > placement->lane_first[lane]) {
            sum = sy__time_add(sum, least);
        }
    }
    return sum;
}

bool sy__bound_run(const sy__placement *placement, const sy__time_ps *time, uint64_t max_states,
                   uint8_t *out_device, bool *out_found, sy__time_ps *out_bound,
                   uint64_t *inout_states) {
    uint32_t n = placement->n;
    uint8_t *on_path = sy__alloc_array(placement->allocator, n, 1);
    uint32_t *order = sy__alloc_array(placement->allocator, n, sizeof(*order));
    bool done = on_path != NULL && order != NULL && mark_paths(placement, on_path);
    if (done) {
        sy__search_request request = {.time = time, .window = 1, .max_states = max_states,
                                      .upper_bound = SY__FOREVER, .on_path = on_path};
        sy__search_answer answer = {false, false, SY__FOREVER, 0};
        done = sy__search_run(placement, &request, out_device, order, &answer);
        *inout_states += answer.n_states;
        *out_found = answer.found;
        sy__time_ps plain = plain_bound(placement, time);
        *out_bound = answer.found && answer.complete && answer.total > plain ? answer.total : plain;
    }
    sy__free_array(placement->allocator, on_path, n, 1);
    sy__free_array(placement->allocator, order, n, sizeof(*order));
    return done;
}

typedef struct core_run {
    const sy__placement *placement;
    const sy__time_ps *time;
    sy__candidate *best;
    sy__core_answer *answer;
    uint8_t *device;
    uint32_t *order;
    uint64_t max_states;
    uint32_t beam_width;
} core_run;

static bool closed(const core_run *run) {
    return run->best->cost.total <= run->answer->lower_bound;
}

/* One search below the best so far; complete answers raise the bound when `covers` all orders. */
static bool search(core_run *run, uint32_t window, uint32_t beam_width, bool covers) {
    sy__search_request request = {.time = run->time, .window = window, .beam_width = beam_width,
                                  .max_states = run->max_states,
                                  .upper_bound = run->best->cost.total,
                                  .track_budgets = run->placement->budgets_bind};
    sy__search_answer found = {false, false, SY__FOREVER, 0};
    if (!sy__search_run(run->placement, &request, run->device, run->order, &found)) {
        return false;
    }
    run->answer->n_states += found.n_states;
    if (found.found && !sy__candidate_offer(run->placement, run->time, run->device, run->order,
                                            run->best, NULL)) {
        return false;
    }
    if (found.complete && covers) {
        run->answer->infeasible = run->best->cost.total >= SY__FOREVER;
        run->answer->lower_bound = run->best->cost.total;
    }
    return true;
}

static bool seed(core_run *run) {
    const sy__placement *placement = run->placement;
    sy__core_answer *answer = run->answer;
    bool found = false;
    uint64_t excess = 0;
    if (!sy__portfolio_run(placement, run->time, run->best, answer->peers, &answer->n_peers,
                           &answer->missing_bytes) ||
        !sy__bound_run(placement, run->time, run->max_states, run->device, &found,
                       &answer->lower_bound, &answer->n_states)) {
        return false;
    }
    if (found) {
        if (!sy__budget_repair(placement, run->time, run->device, &excess) ||
            !sy__candidate_offer(placement, run->time, run->device, NULL, run->best, NULL)) {
            return false;
        }
        answer->missing_bytes = excess < answer->missing_bytes ? excess : answer->missing_bytes;
    }
    if (closed(run) || !placement->budgets_bind) {
        return true;
    }
    return sy__budget_multipliers(placement, run->time, run->max_states / 8u, run->best,
                                  &answer->lower_bound, &answer->missing_bytes, &answer->n_states);
}

static bool solve(core_run *run) {
    if (!seed(run)) {
        return false;
    }
    uint32_t window = SY__WINDOW_MAX;
    bool covers = run->placement->window_covers;
    if ((!closed(run) && !search(run, 1, 0, false)) ||
        (!closed(run) && covers && !search(run, window, 0, true)) ||
        (!closed(run) && !search(run, window, run->beam_width, false)) ||
        (!closed(run) && !search(run, 1, run->beam_width * 4u, false))) {
        return false;
    }
    return true;
}

bool sy__core_solve(const sy__placement *placement, const sy__time_ps *time,
                    const sy__placement_options *options, sy__candidate *best,
                    sy__core_answer *out_answer) {
    memset(out_answer, 0, sizeof(*out_answer));
    out_answer->missing_bytes = UINT64_MAX;
    best->cost.total = SY__FOREVER;
    core_run run = {.placement = placement, .time = time, .best = best, .answer = out_answer,
                    .max_states = options->max_states != 0 ? options->max_states : DEFAULT_STATES,
                    .beam_width = options->beam_width != 0 ? options->beam_width : DEFAULT_BEAM};
    run.device = sy__alloc_array(placement->allocator, placement->n, 1);
    run.order = sy__alloc_array(placement->allocator, placement->n, sizeof(*run.order));
    bool done = run.device != NULL && run.order != NULL && solve(&run);
    if (done && out_answer->lower_bound > best->cost.total) {
        out_answer->lower_bound = best->cost.total;
    }
    out_answer->optimal = done && best->cost.total < SY__FOREVER &&
                          out_answer->lower_bound == best->cost.total;
    sy__free_array(placement->allocator, run.device, placement->n, 1);
    sy__free_array(placement->allocator, run.order, placement->n, sizeof(*run.order));
    return done;
}
