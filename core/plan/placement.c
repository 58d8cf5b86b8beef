/* SPDX-License-Identifier: Apache-2.0 */
/* The solver's front: which devices the policy mode lets in, then search, marginals and hash. */
#include "plan/placement.h"

#include "base/digest.h"
#include "plan/placement_internal.h"

#include <inttypes.h>
#include <string.h>

#define COST_TIE_PERMILLE 10u
#define DEFAULT_STATES (1ull << 20)

typedef struct solve_run {
    const sy__placement *placement;
    const sy__placement_options *options;
    sy__placement_result *result;
    sy__time_ps *masked; /* [node][device] times under the level that is tried */
    uint32_t *allowed;   /* [node] */
    sy__candidate level, all;
    uint64_t missing_bytes;
    sy_error *error;
} solve_run;

static sy_status no_memory(solve_run *run) {
    return sy__no_memory(run->error, (uint64_t)run->placement->n * run->placement->n_devices * 8u,
                         "the search for a placement");
}

static sy_status check_support(solve_run *run) {
    const sy__placement *placement = run->placement;
    for (uint32_t i = 0; i < placement->n; i++) {
        run->allowed[i] = sy__placement_allowed(placement, placement->time, i);
        if (run->allowed[i] == 0) {
            sy_status status = sy_error_set(
                run->error, SY_FAILED_PRECONDITION,
                placement->problem->node_group[i] == SY__NONE
                    ? "Node %u has no delegate that can and may run it."
                    : "No delegate can and may run node %u and all nodes that share its state.",
                i);
            if (run->error != NULL) {
                run->error->i_node = i;
            }
            return status;
        }
    }
    return SY_OK;
}

/* Devices of rank <= limit, or the first ones a node can use. */
static uint32_t level_mask(const solve_run *run, uint32_t allowed, uint32_t limit) {
    const uint32_t *rank = run->placement->problem->rank;
    uint32_t mask = 0, least = UINT32_MAX;
    for (uint32_t d = 0; d < run->placement->n_devices; d++) {
        if (allowed >> d & 1u) {
            least = rank[d] < least ? rank[d] : least;
        }
    }
    limit = least > limit ? least : limit;
    for (uint32_t d = 0; d < run->placement->n_devices; d++) {
        mask |= (allowed >> d & 1u) && rank[d] <= limit ? 1u << d : 0u;
    }
    return mask;
}

static void mask_times(solve_run *run, uint32_t limit) {
    const sy__placement *placement = run->placement;
    for (uint32_t i = 0; i < placement->n; i++) {
        uint32_t mask = level_mask(run, run->allowed[i], limit);
        for (uint32_t d = 0; d < placement->n_devices; d++) {
            size_t at = (size_t)i * placement->n_devices + d;
            run->masked[at] = mask >> d & 1u ? placement->time[at] : SY__FOREVER;
        }
    }
}

static sy_status solve_level(solve_run *run, uint32_t limit, sy__candidate *best,
                             sy__core_answer *out_answer) {
    mask_times(run, limit);
    if (!sy__core_solve(run->placement, run->masked, run->options, best, out_answer)) {
        return no_memory(run);
    }
    run->result->n_states += out_answer->n_states;
    if (out_answer->missing_bytes < run->missing_bytes) {
        run->missing_bytes = out_answer->missing_bytes;
    }
    return SY_OK;
}

static void take(solve_run *run, const sy__candidate *best, const sy__core_answer *answer,
                 uint32_t limit) {
    sy__placement_result *result = run->result;
    memcpy(result->device, best->device, result->n_nodes);
    memcpy(result->order, best->order, result->n_nodes * sizeof(*result->order));
    result->cost = best->cost;
    result->lower_bound = answer->lower_bound;
    result->optimal = answer->optimal;
    result->max_rank = limit;
    result->n_peers = answer->n_peers;
    memcpy(result->peers, answer->peers, sizeof(result->peers));
}

/* total * (1 - margin) <= reference, without rounding. */
static bool within(sy__time_ps total, uint32_t permille, sy__time_ps reference) {
    unsigned __int128 left = (unsigned __int128)total * (1000u - permille);
    return total < SY__FOREVER && left <= (unsigned __int128)reference * 1000u;
}

static uint32_t next_rank(const sy__placement *placement, uint32_t after, bool first) {
    uint32_t next = UINT32_MAX;
    for (uint32_t d = 0; d < placement->n_devices; d++) {
        uint32_t rank = placement->problem->rank[d];
        next = (first || rank > after) && rank < next ? rank : next;
    }
    return next;
}

static uint32_t last_rank(const sy__placement *placement) {
    uint32_t last = 0;
    for (uint32_t d = 0; d < placement->n_devices; d++) {
        last = placement->problem->rank[d] > last ? placement->problem->rank[d] : last;
    }
    return last;
}

/* The least level whose plan is close enough to the best with all devices. */
static sy_status choose_level(solve_run *run) {
    const sy__placement_options *options = run->options;
    uint32_t last = last_rank(run->placement);
    uint32_t permille =
        options->mode == SY__MODE_COST ? COST_TIE_PERMILLE : options->margin_permille;
    permille = permille > 1000u ? 1000u : permille;
    sy__core_answer all, level;
    sy_status status = solve_level(run, last, &run->all, &all);
    if (status != SY_OK) {
        return status;
    }
    run->result->unrestricted_total = run->all.cost.total;
    uint32_t limit = next_rank(run->placement, 0, true);
    for (; limit < last; limit = next_rank(run->placement, limit, false)) {
        status = solve_level(run, limit, &run->level, &level);
        if (status != SY_OK) {
            return status;
        }
        bool strict = options->mode == SY__MODE_STRICT && run->level.cost.total < SY__FOREVER;
        if (strict || within(run->level.cost.total, permille, run->all.cost.total)) {
            take(run, &run->level, &level, limit);
            return SY_OK;
        }
    }
    take(run, &run->all, &all, last);
    return SY_OK;
}

static sy_status report_budget(solve_run *run) {
    sy_status status =
        sy_error_set(run->error, SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET),
                     "The model does not fit the memory budgets: %" PRIu64 " bytes are missing.",
                     run->missing_bytes);
    sy_error_hint(run->error, "Raise a [budget], or let another delegate take part.");
    return status;
}

static void hash_result(sy__placement_result *result) {
    uint32_t head[2] = {result->n_nodes, result->n_devices};
    uint64_t hash = sy__fnv1a(SY__FNV_START, head, sizeof(head));
    hash = sy__fnv1a(hash, result->device, result->n_nodes);
    result->hash = sy__fnv1a(hash, result->order, result->n_nodes * sizeof(*result->order));
}

static sy_status solve_prepared(solve_run *run) {
    sy__placement_result *result = run->result;
    sy_status status = check_support(run);
    if (status == SY_OK) {
        status = choose_level(run);
    }
    if (status != SY_OK) {
        return status;
    }
    if (result->cost.total >= SY__FOREVER) {
        return report_budget(run);
    }
    hash_result(result);
    if (!run->options->want_marginals) {
        return SY_OK;
    }
    mask_times(run, result->max_rank);
    uint64_t max_states = run->options->max_states != 0 ? run->options->max_states : DEFAULT_STATES;
    sy__candidate plan = {.device = result->device, .order = result->order, .cost = result->cost};
    if (!sy__marginals_run(run->placement, run->masked, &plan, result->lower_bound, max_states / 4u,
                           result->marginals, result->marginal_exact) ||
        !sy__marginals_by_moves(run->placement, run->placement->time, &plan, result->marginals,
                                result->marginal_exact)) {
        return no_memory(run);
    }
    return SY_OK;
}

static bool reserve(solve_run *run, sy__arena *arena) {
    const sy__placement *placement = run->placement;
    sy__placement_result *result = run->result;
    size_t n = placement->n, n_devices = placement->n_devices;
    run->masked = sy__arena_alloc(arena, n * n_devices, sizeof(*run->masked));
    run->allowed = sy__arena_alloc(arena, n, sizeof(*run->allowed));
    run->level.device = sy__arena_alloc(arena, n, 1);
    run->level.order = sy__arena_alloc(arena, n, sizeof(uint32_t));
    run->all.device = sy__arena_alloc(arena, n, 1);
    run->all.order = sy__arena_alloc(arena, n, sizeof(uint32_t));
    result->device = sy__alloc_array(placement->allocator, n, 1);
    result->order = sy__alloc_array(placement->allocator, n, sizeof(uint32_t));
    if (run->options->want_marginals) {
        result->marginals =
            sy__alloc_array(placement->allocator, n * n_devices, sizeof(sy__time_ps));
        result->marginal_exact = sy__alloc_array(placement->allocator, n * n_devices, 1);
    }
    return run->masked != NULL && run->allowed != NULL && run->level.device != NULL &&
           run->level.order != NULL && run->all.device != NULL && run->all.order != NULL &&
           result->device != NULL && result->order != NULL &&
           ((result->marginals != NULL && result->marginal_exact != NULL) ||
            !run->options->want_marginals);
}

sy_status sy__placement_solve(const sy_allocator *allocator, const sy__placement_problem *problem,
                              const sy__placement_options *options,
                              sy__placement_result *out_result, sy_error *error) {
    sy__placement placement;
    sy_status status = sy__placement_prepare(allocator, problem, &placement, error);
    if (status != SY_OK) {
        return status;
    }
    sy__placement_result result;
    memset(&result, 0, sizeof(result));
    result.allocator = placement.allocator;
    result.n_nodes = problem->n_nodes;
    result.n_devices = problem->n_devices;
    solve_run run = {.placement = &placement,
                     .options = options,
                     .result = &result,
                     .missing_bytes = UINT64_MAX,
                     .error = error};
    sy__arena arena;
    sy__arena_init(&arena, placement.allocator, 1u << 14);
    status = reserve(&run, &arena) ? solve_prepared(&run) : no_memory(&run);
    sy__arena_deinit(&arena);
    sy__placement_release(&placement);
    if (status != SY_OK) {
        sy__placement_result_deinit(&result);
        return status;
    }
    *out_result = result;
    return SY_OK;
}

void sy__placement_result_deinit(sy__placement_result *result) {
    const sy_allocator *allocator = result->allocator;
    size_t n = result->n_nodes;
    sy__free_array(allocator, result->device, n, 1);
    sy__free_array(allocator, result->order, n, sizeof(uint32_t));
    sy__free_array(allocator, result->marginals, n * result->n_devices, sizeof(sy__time_ps));
    sy__free_array(allocator, result->marginal_exact, n * result->n_devices, 1);
    memset(result, 0, sizeof(*result));
}
