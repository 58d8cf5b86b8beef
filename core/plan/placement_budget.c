/* SPDX-License-Identifier: Apache-2.0 */
/* Memory budgets: a repair that always ends, and multipliers that price bytes. */
#include "plan/placement_internal.h"

#include <stdlib.h>
#include <string.h>

#define MULTIPLIER_ROUNDS 30u
#define PATIENCE_ROUNDS 3u /* without a better bound before the steps get shorter */

/* One way to free bytes: all users of a weight leave a device for another. */
typedef struct move {
    uint32_t weight;
    uint8_t from, to;
    double price; /* added time a freed byte */
} move;

static int compare_moves(const void *left, const void *right) {
    const move *a = left, *b = right;
    if (a->price != b->price) {
        return a->price < b->price ? -1 : 1;
    }
    if (a->weight != b->weight) {
        return a->weight < b->weight ? -1 : 1;
    }
    return (int)a->to - (int)b->to;
}

/* Added compute time when the users of a weight leave `from` for `to`; false when one may not. */
static bool move_price(const sy__placement *placement, const sy__time_ps *time,
                       const uint8_t *device, move *change) {
    uint32_t n_devices = placement->n_devices;
    double added = 0.0;
    for (uint32_t u = placement->weight_user_first[change->weight];
         u < placement->weight_user_first[change->weight + 1]; u++) {
        uint32_t node = placement->weight_users[u];
        if (device[node] != change->from) {
            continue;
        }
        if ((sy__placement_allowed(placement, time, node) >> change->to & 1u) == 0) {
            return false;
        }
        added += (double)time[(size_t)node * n_devices + change->to] -
                 (double)time[(size_t)node * n_devices + change->from];
    }
    uint64_t bytes =
        placement->problem->weight_bytes[(size_t)change->weight * n_devices + change->from];
    change->price = added / (double)(bytes > 0 ? bytes : 1);
    return bytes > 0;
}

static uint32_t devices_over(const sy__placement *placement, const uint8_t *device) {
    uint64_t bytes[SY__BUDGETS_MAX];
    uint32_t over = 0;
    sy__placement_budget_bytes(placement, device, bytes);
    for (uint32_t b = 0; b < placement->problem->n_budgets; b++) {
        if (bytes[b] > placement->problem->budgets[b].limit_bytes) {
            over |= placement->problem->budgets[b].devices;
        }
    }
    return over;
}

static uint32_t devices_of(const sy__placement *placement, const uint8_t *device, uint32_t weight) {
    uint32_t there = 0;
    for (uint32_t u = placement->weight_user_first[weight];
         u < placement->weight_user_first[weight + 1]; u++) {
        there |= 1u << device[placement->weight_users[u]];
    }
    return there;
}

static size_t list_moves(const sy__placement *placement, const sy__time_ps *time,
                         const uint8_t *device, move *out_moves) {
    uint32_t over = devices_over(placement, device);
    size_t n_moves = 0;
    for (uint32_t w = 0; w < placement->problem->n_weights; w++) {
        uint32_t there = devices_of(placement, device, w) & over;
        for (uint32_t from = 0; from < placement->n_devices; from++) {
            for (uint32_t to = 0; (there >> from & 1u) && to < placement->n_devices; to++) {
                move change = {w, (uint8_t)from, (uint8_t)to, 0.0};
                if (to != from && move_price(placement, time, device, &change)) {
                    out_moves[n_moves++] = change;
                }
            }
        }
    }
    qsort(out_moves, n_moves, sizeof(*out_moves), compare_moves);
    return n_moves;
}

static void apply_move(const sy__placement *placement, const move *change, uint8_t *device) {
    for (uint32_t u = placement->weight_user_first[change->weight];
         u < placement->weight_user_first[change->weight + 1]; u++) {
        uint32_t node = placement->weight_users[u];
        if (device[node] == change->from) {
            sy__placement_assign(placement, device, node, change->to);
        }
    }
}

static uint64_t repair_round(const sy__placement *placement, const sy__time_ps *time,
                             uint8_t *device, uint8_t *trial, move *moves, uint64_t excess) {
    size_t n_moves = list_moves(placement, time, device, moves);
    for (size_t i = 0; i < n_moves && excess > 0; i++) {
        if (!move_price(placement, time, device, &moves[i])) {
            continue; /* an earlier move brought in a node that may not follow this one */
        }
        memcpy(trial, device, placement->n);
        apply_move(placement, &moves[i], trial);
        uint64_t left = sy__placement_excess(placement, trial);
        if (left < excess) {
            excess = left;
            memcpy(device, trial, placement->n);
        }
    }
    return excess;
}

bool sy__budget_repair(const sy__placement *placement, const sy__time_ps *time, uint8_t *device,
                       uint64_t *out_excess) {
    uint64_t excess = sy__placement_excess(placement, device);
    *out_excess = excess;
    if (excess == 0) {
        return true;
    }
    size_t n_moves =
        (size_t)placement->problem->n_weights * placement->n_devices * placement->n_devices;
    move *moves = sy__alloc_array(placement->allocator, n_moves, sizeof(*moves));
    uint8_t *trial = sy__alloc_array(placement->allocator, placement->n, 1);
    bool done = moves != NULL && trial != NULL;
    /* Every round but the last lowers the excess; a move can only help again when others moved. */
    for (uint32_t round = 0; done && excess > 0 && round < 8; round++) {
        uint64_t left = repair_round(placement, time, device, trial, moves, excess);
        if (left == excess) {
            break;
        }
        excess = left;
    }
    sy__free_array(placement->allocator, moves, n_moves, sizeof(*moves));
    sy__free_array(placement->allocator, trial, placement->n, 1);
    *out_excess = excess;
    return done;
}

/* Multipliers, one a budget, in picoseconds a KiB. */
typedef struct multipliers {
    const sy__placement *placement;
    const sy__time_ps *time;
    sy__time_ps *priced; /* [node][device] */
    uint8_t *device;
    uint64_t now[SY__BUDGETS_MAX];
    sy__time_ps bound, best_bound; /* of this round, of all rounds */
    double stride;
    uint32_t n_stuck;
} multipliers;

/* Bytes a node answers for: each user of a weight carries an equal share, rounded down, so that the
 * sum never exceeds what the weight is charged with. */
static uint64_t share_bytes(const sy__placement *placement, uint32_t node, uint32_t device) {
    const sy__placement_problem *problem = placement->problem;
    uint64_t sum = 0;
    for (uint32_t i = problem->node_weight_first[node]; i < problem->node_weight_first[node + 1];
         i++) {
        uint32_t w = problem->node_weights[i];
        uint32_t n_users = placement->weight_user_first[w + 1] - placement->weight_user_first[w];
        sum += problem->weight_bytes[(size_t)w * placement->n_devices + device] / n_users;
    }
    return sum;
}

static sy__time_ps priced_bytes(uint64_t per_kib, uint64_t bytes) {
    unsigned __int128 price = (unsigned __int128)per_kib * bytes >> 10;
    return price > SY__FOREVER ? SY__FOREVER : (sy__time_ps)price;
}

static void price_times(multipliers *run) {
    const sy__placement *placement = run->placement;
    for (uint32_t i = 0; i < placement->n; i++) {
        for (uint32_t d = 0; d < placement->n_devices; d++) {
            size_t at = (size_t)i * placement->n_devices + d;
            uint64_t bytes = share_bytes(placement, i, d);
            run->priced[at] = run->time[at];
            for (uint32_t b = 0; b < placement->problem->n_budgets; b++) {
                if (placement->problem->budgets[b].devices >> d & 1u) {
                    run->priced[at] =
                        sy__time_add(run->priced[at], priced_bytes(run->now[b], bytes));
                }
            }
        }
    }
}

/* A step along the crossed budgets (Polyak's length: as far as the bound is from the best plan). */
static void next_multipliers(multipliers *run, sy__time_ps best_total) {
    const sy__placement_problem *problem = run->placement->problem;
    uint64_t bytes[SY__BUDGETS_MAX];
    double slope[SY__BUDGETS_MAX], length = 0.0;
    sy__placement_budget_bytes(run->placement, run->device, bytes);
    for (uint32_t b = 0; b < problem->n_budgets; b++) {
        slope[b] = ((double)bytes[b] - (double)problem->budgets[b].limit_bytes) / 1024.0;
        length += run->now[b] > 0 || slope[b] > 0.0 ? slope[b] * slope[b] : 0.0;
    }
    sy__time_ps goal = best_total < SY__FOREVER ? best_total : run->best_bound * 2u;
    double gap = (double)goal - (double)run->bound;
    for (uint32_t b = 0; length > 0.0 && b < problem->n_budgets; b++) {
        double next = (double)run->now[b] + run->stride * gap * slope[b] / length;
        run->now[b] = next <= 0.0 ? 0u : next < 1e15 ? (uint64_t)next : 1000000000000000u;
    }
}

/* Shorter steps after some rounds in vain. */
static void judge_round(multipliers *run) {
    if (run->bound > run->best_bound) {
        run->best_bound = run->bound;
        run->n_stuck = 0;
    } else if (++run->n_stuck == PATIENCE_ROUNDS) {
        run->stride *= 0.5;
        run->n_stuck = 0;
    }
}

static bool multiplier_round(multipliers *run, uint64_t max_states, sy__candidate *best,
                             sy__time_ps *inout_bound, uint64_t *inout_missing,
                             uint64_t *inout_states) {
    const sy__placement *placement = run->placement;
    sy__time_ps bound = 0;
    bool found = false;
    price_times(run);
    if (!sy__bound_run(placement, run->priced, max_states, run->device, &found, &bound,
                       inout_states)) {
        return false;
    }
    for (uint32_t b = 0; b < placement->problem->n_budgets; b++) {
        sy__time_ps back =
            sy__time_add(priced_bytes(run->now[b], placement->problem->budgets[b].limit_bytes), 1);
        bound = bound > back ? bound - back : 0;
    }
    run->bound = bound;
    judge_round(run);
    *inout_bound = bound > *inout_bound ? bound : *inout_bound;
    if (!found) {
        run->stride = 0.0;
        return true;
    }
    next_multipliers(run, best->cost.total);
    uint64_t excess = 0;
    if (!sy__budget_repair(placement, run->time, run->device, &excess)) {
        return false;
    }
    *inout_missing = excess < *inout_missing ? excess : *inout_missing;
    return sy__candidate_offer(placement, run->time, run->device, NULL, best, NULL);
}

bool sy__budget_multipliers(const sy__placement *placement, const sy__time_ps *time,
                            uint64_t max_states, sy__candidate *best, sy__time_ps *inout_bound,
                            uint64_t *inout_missing, uint64_t *inout_states) {
    size_t n_times = (size_t)placement->n * placement->n_devices;
    multipliers run = {.placement = placement, .time = time};
    run.priced = sy__alloc_array(placement->allocator, n_times, sizeof(*run.priced));
    run.device = sy__alloc_array(placement->allocator, placement->n, 1);
    bool done = run.priced != NULL && run.device != NULL;
    run.stride = 1.0;
    for (uint32_t round = 0; done && run.stride > 0.0 && round < MULTIPLIER_ROUNDS; round++) {
        done = multiplier_round(&run, max_states, best, inout_bound, inout_missing, inout_states);
    }
    sy__free_array(placement->allocator, run.priced, n_times, sizeof(*run.priced));
    sy__free_array(placement->allocator, run.device, placement->n, 1);
    return done;
}
