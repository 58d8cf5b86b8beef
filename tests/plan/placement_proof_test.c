/* SPDX-License-Identifier: Apache-2.0 */
/* The solver against brute force that shares no code with it. */
#include "random_problem.h"

#define MAX_BRUTE_NODES 9u

static test_problem test;

typedef struct brute {
    const sy__placement_problem *problem;
    uint32_t mask[MAX_BRUTE_NODES]; /* devices that may be used */
    const uint32_t *order;          /* NULL: every topological order */
    uint8_t device[MAX_BRUTE_NODES];
    uint64_t best;
    uint64_t marginals[MAX_BRUTE_NODES][MAX_DEVICES];
    uint64_t n_plans;
} brute;

static uint64_t brute_compute(const brute *run) {
    const sy__placement_problem *problem = run->problem;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < problem->n_nodes; i++) {
        uint32_t d = run->device[i];
        sum +=
            problem->time[i * problem->n_devices + d] * problem->lane_runs[problem->node_lane[i]] +
            problem->rank[d];
    }
    return sum;
}

/* By sets: who else reads the value decides, in no order. */
static uint64_t brute_transfers(const brute *run) {
    const sy__placement_problem *problem = run->problem;
    uint64_t sum = 0;
    for (uint32_t v = 0; v < problem->n_values; v++) {
        const sy__placement_value *value = &problem->values[v];
        uint32_t readers = 0, from = 99;
        bool to_host = value->leaves != 0, made_on_host = value->producer == SY__NONE;
        if (value->producer != SY__NONE) {
            from = run->device[value->producer];
            made_on_host = (problem->on_host >> from & 1u) != 0;
        }
        for (uint32_t c = 0; c < value->n_consumers; c++) {
            uint32_t d = run->device[problem->consumers[value->i_consumer + c]];
            to_host = to_host || d != from;
            readers |= d != from && (problem->on_host >> d & 1u) == 0 ? 1u << d : 0u;
        }
        uint64_t cost = 0;
        for (uint32_t d = 0; d < problem->n_devices; d++) {
            const sy__placement_link *link = &problem->links[d];
            if (readers >> d & 1u) {
                cost += link->from_host_latency + link->from_host_per_kib * value->n_bytes / 1024u;
            }
            if (d == from && to_host && !made_on_host) {
                cost += link->to_host_latency + link->to_host_per_kib * value->n_bytes / 1024u;
            }
        }
        sum += cost * problem->lane_runs[value->lane];
    }
    return sum;
}

/* Nodes that must come before each, as bit sets over all nodes. */
static void brute_before(const sy__placement_problem *problem, uint32_t *out_before) {
    memset(out_before, 0, MAX_BRUTE_NODES * sizeof(*out_before));
    for (uint32_t v = 0; v < problem->n_values; v++) {
        const sy__placement_value *value = &problem->values[v];
        for (uint32_t c = 0; value->producer != SY__NONE && c < value->n_consumers; c++) {
            out_before[problem->consumers[value->i_consumer + c]] |= 1u << value->producer;
        }
    }
    for (uint32_t i = 0; i < problem->n_nodes; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (problem->node_group[i] != SY__NONE &&
                problem->node_group[i] == problem->node_group[j] &&
                problem->node_lane[i] == problem->node_lane[j]) {
                out_before[i] |= 1u << j;
            }
        }
    }
}

static uint64_t brute_lane_launches(const brute *run, uint32_t lane) {
    static uint64_t cost[1u << MAX_BRUTE_NODES][MAX_DEVICES];
    const sy__placement_problem *problem = run->problem;
    uint32_t before[MAX_BRUTE_NODES], members = 0, n_devices = problem->n_devices;
    brute_before(problem, before);
    for (uint32_t i = 0; i < problem->n_nodes; i++) {
        members |= problem->node_lane[i] == lane ? 1u << i : 0u;
    }
    uint64_t best = UINT64_MAX;
    if (members == 0) {
        return 0;
    }
    for (uint32_t done = 0; done <= members; done++) {
        for (uint32_t d = 0; d < n_devices; d++) {
            cost[done][d] = UINT64_MAX;
        }
        if ((done & ~members) != 0 || done == 0) {
            continue;
        }
        for (uint32_t i = 0; i < problem->n_nodes; i++) {
            uint32_t rest = done & ~(1u << i), d = run->device[i];
            if ((done >> i & 1u) == 0 || (before[i] & ~rest) != 0) {
                continue;
            }
            uint64_t launch = problem->launch[d] * problem->lane_runs[lane];
            uint64_t least = rest == 0 ? launch : UINT64_MAX;
            for (uint32_t last = 0; rest != 0 && last < n_devices; last++) {
                if (cost[rest][last] != UINT64_MAX) {
                    uint64_t here = cost[rest][last] + (last == d ? 0 : launch);
                    least = here < least ? here : least;
                }
            }
            cost[done][d] = least < cost[done][d] ? least : cost[done][d];
        }
    }
    for (uint32_t d = 0; d < n_devices; d++) {
        best = cost[members][d] < best ? cost[members][d] : best;
    }
    return best;
}

static uint64_t brute_launches(const brute *run) {
    const sy__placement_problem *problem = run->problem;
    uint64_t sum = 0;
    uint32_t last[SY__LANES_MAX] = {99, 99, 99, 99};
    if (run->order == NULL) {
        for (uint32_t lane = 0; lane < problem->n_lanes; lane++) {
            sum += brute_lane_launches(run, lane);
        }
        return sum;
    }
    for (uint32_t k = 0; k < problem->n_nodes; k++) {
        uint32_t d = run->device[run->order[k]], lane = problem->node_lane[run->order[k]];
        sum += last[lane] == d ? 0 : problem->launch[d] * problem->lane_runs[lane];
        last[lane] = d;
    }
    return sum;
}

static bool brute_fits(const brute *run) {
    const sy__placement_problem *problem = run->problem;
    for (uint32_t b = 0; b < problem->n_budgets; b++) {
        uint64_t sum = 0;
        for (uint32_t w = 0; w < problem->n_weights; w++) {
            for (uint32_t d = 0; d < problem->n_devices; d++) {
                bool used = false;
                for (uint32_t i = 0; i < problem->n_nodes; i++) {
                    for (uint32_t k = problem->node_weight_first[i];
                         k < problem->node_weight_first[i + 1]; k++) {
                        used = used || (problem->node_weights[k] == w && run->device[i] == d);
                    }
                }
                if (used && (problem->budgets[b].devices >> d & 1u)) {
                    sum += problem->weight_bytes[w * problem->n_devices + d];
                }
            }
        }
        if (sum > problem->budgets[b].limit_bytes) {
            return false;
        }
    }
    return true;
}

static void brute_try(brute *run) {
    const sy__placement_problem *problem = run->problem;
    uint64_t cost = brute_compute(run) + brute_transfers(run);
    if ((run->order == NULL && cost >= run->best) || !brute_fits(run)) {
        return;
    }
    cost += brute_launches(run);
    run->n_plans++;
    run->best = cost < run->best ? cost : run->best;
    for (uint32_t i = 0; i < problem->n_nodes; i++) {
        uint64_t *marginal = &run->marginals[i][run->device[i]];
        *marginal = cost < *marginal ? cost : *marginal;
    }
}

static void brute_from(brute *run, uint32_t node) {
    const sy__placement_problem *problem = run->problem;
    if (node == problem->n_nodes) {
        brute_try(run);
        return;
    }
    for (uint32_t d = 0; d < problem->n_devices; d++) {
        bool may = (run->mask[node] >> d & 1u) != 0;
        for (uint32_t j = 0; j < node; j++) {
            bool together = problem->node_group[node] != SY__NONE &&
                            problem->node_group[node] == problem->node_group[j];
            may = may && (!together || run->device[j] == d);
        }
        if (may) {
            run->device[node] = (uint8_t)d;
            brute_from(run, node + 1);
        }
    }
}

static void brute_begin(brute *run, const sy__placement_problem *problem, const uint32_t *order) {
    memset(run, 0, sizeof(*run));
    run->problem = problem;
    run->order = order;
    run->best = UINT64_MAX;
    for (uint32_t i = 0; i < problem->n_nodes; i++) {
        for (uint32_t d = 0; d < problem->n_devices; d++) {
            run->mask[i] |= problem->time[i * problem->n_devices + d] < SY__FOREVER ? 1u << d : 0u;
            run->marginals[i][d] = UINT64_MAX;
        }
    }
}

static void shape_of(uint64_t seed, random_shape *shape) {
    uint32_t kind = (uint32_t)(seed % 4u);
    random_source source = {seed * 77u + 5u};
    memset(shape, 0, sizeof(*shape));
    shape->n_devices = 2u + (kind & 1u);
    shape->n_nodes = 1u + random_below(&source, shape->n_devices == 2 ? 9 : 7);
    shape->n_lanes = seed % 3u == 0 ? 2u : 1u;
    shape->edge_reach = 1u + random_below(&source, 5);
    shape->no_support_pct = random_below(&source, 60);
    shape->group_pct = kind >= 2 ? 35u : 0u;
    shape->budget_pct = seed % 5u == 0 ? 60u : 0u;
}

static const sy__placement_options exact_options = {
    .mode = SY__MODE_PREFER, .margin_permille = 0, .want_marginals = true};

/* A group whose members have no device in common makes the problem have no answer at all. */
static bool has_answer(const sy__placement_problem *problem, brute *run) {
    brute_begin(run, problem, NULL);
    brute_from(run, 0);
    return run->best != UINT64_MAX;
}

static void check_result(const sy__placement_problem *problem, const sy__placement_result *result,
                         uint64_t best, uint64_t seed) {
    brute check;
    brute_begin(&check, problem, result->order);
    memcpy(check.device, result->device, problem->n_nodes);
    brute_try(&check);
    CHECK_TEXT(check.best == result->cost.total, "seed %llu: plan costs %llu, says %llu",
               (unsigned long long)seed, (unsigned long long)check.best,
               (unsigned long long)result->cost.total);
    CHECK(result->lower_bound <= best);
    for (uint32_t p = 0; p < result->n_peers; p++) {
        CHECK(result->cost.total <= result->peers[p].total);
    }
}

static void costs_equal_brute_force(void) {
    uint32_t n_optimal = 0, n_infeasible = 0;
    for (uint64_t seed = 1; seed <= 6000; seed++) {
        random_shape shape;
        shape_of(seed, &shape);
        random_problem(&test, &shape, seed);
        brute run;
        bool answer = has_answer(&test.problem, &run);
        sy__placement_result result;
        sy_error error = {0};
        sy_status status =
            sy__placement_solve(NULL, &test.problem, &exact_options, &result, &error);
        if (!answer) {
            n_infeasible++;
            CHECK_TEXT(status == SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET) &&
                           strstr(error.message, " 0 bytes") == NULL,
                       "seed %llu: %s", (unsigned long long)seed, error.message);
            continue;
        }
        CHECK_OK_ERROR(status, error);
        CHECK_TEXT(result.cost.total == run.best, "seed %llu: %llu, brute force %llu",
                   (unsigned long long)seed, (unsigned long long)result.cost.total,
                   (unsigned long long)run.best);
        n_optimal += result.optimal;
        check_result(&test.problem, &result, run.best, seed);
        sy__placement_result_deinit(&result);
    }
    printf("%u of 6000 proved optimal by the solver itself, %u have no answer\n", n_optimal,
           n_infeasible);
    CHECK(n_optimal + n_infeasible == 6000);
    CHECK(n_infeasible > 50 && n_infeasible < 1000);
}

/* True when some choice of devices would cross a budget. */
static bool budgets_may_bind(const sy__placement_problem *problem) {
    for (uint32_t b = 0; b < problem->n_budgets; b++) {
        uint64_t sum = 0;
        for (uint32_t at = 0; at < problem->n_weights * problem->n_devices; at++) {
            uint32_t w = at / problem->n_devices, d = at % problem->n_devices;
            bool used = false;
            for (uint32_t i = 0; i < problem->n_nodes; i++) {
                bool may = problem->time[i * problem->n_devices + d] < SY__FOREVER;
                for (uint32_t k = problem->node_weight_first[i];
                     k < problem->node_weight_first[i + 1]; k++) {
                    used = used || (may && problem->node_weights[k] == w);
                }
            }
            sum += used && (problem->budgets[b].devices >> d & 1u) ? problem->weight_bytes[at] : 0;
        }
        if (sum > problem->budgets[b].limit_bytes) {
            return true;
        }
    }
    return false;
}

/* Devices that the mode left to each node: ranks up to the limit, or the first a group can use. */
static void mask_by_mode(brute *run, const sy__placement_result *result) {
    uint32_t n_devices = test.problem.n_devices, allowed[MAX_BRUTE_NODES];
    for (uint32_t i = 0; i < test.problem.n_nodes; i++) {
        allowed[i] = run->mask[i];
        for (uint32_t j = 0; j < test.problem.n_nodes; j++) {
            bool together =
                test.node_group[i] != SY__NONE && test.node_group[i] == test.node_group[j];
            for (uint32_t d = 0; together && d < n_devices; d++) {
                bool may = test.time[j * n_devices + d] < SY__FOREVER;
                allowed[i] &= may ? ~0u : ~(1u << d);
            }
        }
    }
    for (uint32_t i = 0; i < test.problem.n_nodes; i++) {
        uint32_t least = UINT32_MAX;
        for (uint32_t d = 0; d < n_devices; d++) {
            if ((allowed[i] >> d & 1u) && test.rank[d] < least) {
                least = test.rank[d];
            }
        }
        uint32_t limit = least > result->max_rank ? least : result->max_rank;
        for (uint32_t d = 0; d < n_devices; d++) {
            run->mask[i] &= test.rank[d] <= limit ? ~0u : ~(1u << d);
        }
    }
}

static void compare_marginals(const sy__placement_result *result, const brute *all,
                              const brute *fixed, bool lanes_apart, uint64_t seed) {
    uint32_t n_devices = test.problem.n_devices;
    for (uint32_t i = 0; i < test.problem.n_nodes; i++) {
        const brute *run = lanes_apart && test.node_group[i] == SY__NONE ? fixed : all;
        for (uint32_t d = 0; d < n_devices; d++) {
            uint32_t at = i * n_devices + d;
            uint64_t mine = result->marginals[at], other = run->marginals[i][d];
            other = other > SY__FOREVER ? SY__FOREVER : other;
            bool left_out = (run->mask[i] >> d & 1u) == 0 && test.time[at] < SY__FOREVER;
            if (left_out && mine < SY__FOREVER) {
                CHECK(mine + 1000 > result->lower_bound); /* one move, not the best plan */
                continue;
            }
            CHECK(result->marginal_exact[at]);
            CHECK_TEXT(mine == other, "seed %llu node %u device %u: %llu, brute force %llu",
                       (unsigned long long)seed, i, d, (unsigned long long)mine,
                       (unsigned long long)other);
        }
    }
}

static void marginals_equal_brute_force(void) {
    uint32_t n_apart = 0;
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        random_shape shape;
        shape_of(seed, &shape);
        shape.n_nodes = shape.n_nodes > 7 ? 7 : shape.n_nodes;
        random_problem(&test, &shape, seed);
        sy__placement_result result;
        if (sy__placement_solve(NULL, &test.problem, &exact_options, &result, NULL) != SY_OK) {
            continue;
        }
        brute all, fixed;
        brute_begin(&all, &test.problem, result.order);
        mask_by_mode(&all, &result);
        fixed = all;
        for (uint32_t i = 0; i < shape.n_nodes; i++) {
            bool grouped = test.node_group[i] != SY__NONE;
            fixed.mask[i] = grouped ? 1u << result.device[i] : fixed.mask[i];
        }
        brute_from(&all, 0);
        brute_from(&fixed, 0);
        bool lanes_apart = shape.n_lanes > 1 && !budgets_may_bind(&test.problem);
        n_apart += lanes_apart;
        compare_marginals(&result, &all, &fixed, lanes_apart, seed);
        sy__placement_result_deinit(&result);
    }
    CHECK(n_apart > 100);
}

static void beam_is_never_worse_than_a_peer(void) {
    sy__placement_options options = {.mode = SY__MODE_PREFER, .max_states = 1, .beam_width = 64};
    uint32_t n_solved = 0, n_equal = 0;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        random_shape shape;
        shape_of(seed, &shape);
        random_problem(&test, &shape, seed);
        brute run;
        sy__placement_result result;
        if (!has_answer(&test.problem, &run) ||
            sy__placement_solve(NULL, &test.problem, &options, &result, NULL) != SY_OK) {
            continue;
        }
        n_solved++;
        n_equal += result.cost.total == run.best;
        CHECK(result.cost.total >= run.best);
        check_result(&test.problem, &result, run.best, seed);
        sy__placement_result_deinit(&result);
    }
    printf("%u of %u beams found the optimum\n", n_equal, n_solved);
    CHECK(n_solved > 1800);
    CHECK(n_equal * 100u >= n_solved * 99u);
}

/* The best plan by brute force when nodes may use ranks up to `limit` or their first device. */
static uint64_t brute_level(uint32_t limit, bool *out_any) {
    brute run;
    brute_begin(&run, &test.problem, NULL);
    uint32_t n_devices = test.problem.n_devices;
    for (uint32_t i = 0; i < test.problem.n_nodes; i++) {
        uint32_t least = UINT32_MAX;
        for (uint32_t d = 0; d < n_devices; d++) {
            if ((run.mask[i] >> d & 1u) && test.rank[d] < least) {
                least = test.rank[d];
            }
        }
        for (uint32_t d = 0; d < n_devices; d++) {
            run.mask[i] &= test.rank[d] <= (least > limit ? least : limit) ? ~0u : ~(1u << d);
        }
    }
    brute_from(&run, 0);
    *out_any = run.best != UINT64_MAX;
    return run.best;
}

static void modes_follow_their_definition(void) {
    static const sy__placement_options modes[3] = {
        {.mode = SY__MODE_STRICT},
        {.mode = SY__MODE_PREFER, .margin_permille = 100},
        {.mode = SY__MODE_COST}};
    uint32_t n_by_limit[4] = {0};
    for (uint64_t seed = 1; seed <= 1200; seed++) {
        random_shape shape;
        shape_of(seed, &shape);
        shape.group_pct = 0; /* brute_level does not look at groups */
        shape.n_nodes = shape.n_nodes > 7 ? 7 : shape.n_nodes;
        random_problem(&test, &shape, seed);
        for (uint32_t m = 0; m < 3; m++) {
            bool any = false;
            uint64_t all = brute_level(UINT32_MAX, &any);
            if (!any) {
                continue;
            }
            uint32_t permille = m == 1 ? 100u : 10u;
            uint32_t limit = 0;
            uint64_t expected = brute_level(limit, &any);
            while (!(any && (m == 0 || expected * (1000u - permille) <= all * 1000u))) {
                expected = brute_level(++limit, &any);
            }
            sy__placement_result result;
            sy_error error = {0};
            CHECK_OK_ERROR(sy__placement_solve(NULL, &test.problem, &modes[m], &result, &error),
                           error);
            CHECK_TEXT(result.cost.total == expected, "seed %llu mode %u: %llu, expected %llu",
                       (unsigned long long)seed, m, (unsigned long long)result.cost.total,
                       (unsigned long long)expected);
            n_by_limit[limit]++;
            sy__placement_result_deinit(&result);
        }
    }
    CHECK(n_by_limit[0] > 100 && n_by_limit[1] > 100);
}

static const sy_test_case cases[] = {
    {"costs_equal_brute_force", costs_equal_brute_force},
    {"marginals_equal_brute_force", marginals_equal_brute_force},
    {"beam_is_never_worse_than_a_peer", beam_is_never_worse_than_a_peer},
    {"modes_follow_their_definition", modes_follow_their_definition},
};
SY_TEST_MAIN(cases)
