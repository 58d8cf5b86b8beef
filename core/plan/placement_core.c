/* SPDX-License-Identifier: Apache-2.0 */
/* Portfolio, bound, exact search, beam: in the order of what they cost, until the gap is closed. */
#include "plan/placement_internal.h"

#include <string.h>

#define DEFAULT_BEAM 64u
#define DEFAULT_STATES (1ull << 20)

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
    sy__search_request request = {.time = run->time,
                                  .window = window,
                                  .beam_width = beam_width,
                                  .max_states = run->max_states,
                                  .upper_bound = run->best->cost.total,
                                  .track_budgets = run->placement->budgets_bind};
    sy__search_answer found = {false, false, SY__FOREVER, 0};
    if (!sy__search_run(run->placement, &request, run->device, run->order, &found)) {
        return false;
    }
    run->answer->n_states += found.n_states;
    if (found.found &&
        !sy__candidate_offer(run->placement, run->time, run->device, run->order, run->best, NULL)) {
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
    core_run run = {.placement = placement,
                    .time = time,
                    .best = best,
                    .answer = out_answer,
                    .max_states = options->max_states != 0 ? options->max_states : DEFAULT_STATES,
                    .beam_width = options->beam_width != 0 ? options->beam_width : DEFAULT_BEAM};
    run.device = sy__alloc_array(placement->allocator, placement->n, 1);
    run.order = sy__alloc_array(placement->allocator, placement->n, sizeof(*run.order));
    bool done = run.device != NULL && run.order != NULL && solve(&run);
    if (done && out_answer->lower_bound > best->cost.total) {
        out_answer->lower_bound = best->cost.total;
    }
    out_answer->optimal =
        done && best->cost.total < SY__FOREVER && out_answer->lower_bound == best->cost.total;
    sy__free_array(placement->allocator, run.device, placement->n, 1);
    sy__free_array(placement->allocator, run.order, placement->n, sizeof(*run.order));
    return done;
}
