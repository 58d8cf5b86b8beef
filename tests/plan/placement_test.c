/* SPDX-License-Identifier: Apache-2.0 */
/* The solver on larger problems: quick, repeatable, within budgets, calm when memory is refused. */
#include "random_problem.h"

#include <time.h>

static test_problem test;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void solve_and_check(const char *name, const sy__placement_options *options,
                            double limit_seconds, double limit_gap_pct) {
    sy__placement_result first, second;
    sy_error error = {0};
    double start = seconds();
    CHECK_OK_ERROR(sy__placement_solve(NULL, &test.problem, options, &first, &error), error);
    double elapsed = seconds() - start;
    CHECK_OK_ERROR(sy__placement_solve(NULL, &test.problem, options, &second, &error), error);
    CHECK(first.hash == second.hash && first.cost.total == second.cost.total);
    double gap = 100.0 * (double)(first.cost.total - first.lower_bound) / (double)first.cost.total;
    printf("%s: %u nodes, %.2f s, gap %.3f %%, %u segments\n", name, first.n_nodes, elapsed, gap,
           first.cost.n_segments);
    CHECK_TEXT(elapsed < limit_seconds, "%s took %.2f s", name, elapsed);
    CHECK_TEXT(gap <= limit_gap_pct, "%s has a gap of %.3f %%", name, gap);
    for (uint32_t p = 0; p < first.n_peers; p++) {
        CHECK(first.cost.total <= first.peers[p].total);
    }
    for (uint32_t i = 0; first.marginals != NULL && i < first.n_nodes; i++) {
        uint64_t marginal = first.marginals[i * first.n_devices + first.device[i]];
        CHECK(marginal >= first.lower_bound && marginal < SY__FOREVER);
    }
    sy__placement_result_deinit(&first);
    sy__placement_result_deinit(&second);
}

/* Limits of processor time are far above what a slow machine takes: only a new order fails here. */
static void language_models_are_solved_exactly(void) {
    sy__placement_options options = {.mode = SY__MODE_COST, .want_marginals = true};
    model_problem(&test, 30, 1, 1);
    solve_and_check("30 layers", &options, 60.0, 0.0);
    model_problem(&test, 30, 2, 1);
    solve_and_check("30 layers, prefill and decode", &options, 60.0, 0.0);
    options.mode = SY__MODE_PREFER;
    options.margin_permille = 50;
    model_problem(&test, 64, 2, 5);
    solve_and_check("64 layers, prefill and decode, prefer", &options, 60.0, 0.0);
}

static void random_graphs_have_small_gaps(void) {
    sy__placement_options options = {.mode = SY__MODE_COST, .want_marginals = true};
    for (uint64_t seed = 1; seed <= 2; seed++) {
        random_shape shape = {200, 3, 1, 4, 30, 0, 0};
        random_problem(&test, &shape, seed);
        solve_and_check("random, narrow", &options, 60.0, 12.0);
        shape.n_nodes = 500;
        shape.edge_reach = 8;
        random_problem(&test, &shape, seed);
        solve_and_check("random, wider", &options, 60.0, 12.0);
    }
}

/* A state that two phases share holds both to one device, though each alone would differ. */
static void states_hold_phases_together(void) {
    sy__placement_options options = {.mode = SY__MODE_COST};
    sy__placement_result result;
    model_problem(&test, 8, 2, 1);
    CHECK_OK(sy__placement_solve(NULL, &test.problem, &options, &result, NULL));
    uint32_t n_apart = 0;
    for (uint32_t i = 0; i + 1 < result.n_nodes; i += 2) { /* lanes alternate */
        n_apart += result.device[i] != result.device[i + 1];
        CHECK(test.node_group[i] == SY__NONE || result.device[i] == result.device[i + 1]);
    }
    CHECK_TEXT(n_apart > 20, "only %u nodes differ between the phases", n_apart);
    sy__placement_result_deinit(&result);
}

static uint64_t bytes_on(const sy__placement_result *result, uint32_t device) {
    uint64_t sum = 0;
    for (uint32_t w = 0; w < test.problem.n_weights; w++) {
        bool used = false;
        for (uint32_t i = 0; i < result->n_nodes; i++) {
            for (uint32_t k = test.node_weight_first[i]; k < test.node_weight_first[i + 1]; k++) {
                used = used || (test.node_weights[k] == w && result->device[i] == device);
            }
        }
        sum += used ? test.weight_bytes[w * result->n_devices + device] : 0;
    }
    return sum;
}

static void budgets_are_walls(void) {
    sy__placement_options options = {.mode = SY__MODE_COST, .max_states = 1u << 16};
    sy__time_ps before = 0;
    for (uint64_t mib = 60; mib >= 15; mib -= 15) {
        sy__placement_result result;
        sy_error error = {0};
        model_problem(&test, 30, 1, 1);
        test.problem.n_budgets = 2;
        test.budgets[0] = (sy__placement_budget){1u << 0, mib << 20};
        test.budgets[1] = (sy__placement_budget){1u << 1, 45u << 20};
        CHECK_OK_ERROR(sy__placement_solve(NULL, &test.problem, &options, &result, &error), error);
        CHECK(bytes_on(&result, 0) <= mib << 20 && bytes_on(&result, 1) <= 45u << 20);
        double gap =
            100.0 * (double)(result.cost.total - result.lower_bound) / (double)result.cost.total;
        printf("npu %llu MiB: %.3f ms, gap %.2f %%\n", (unsigned long long)mib,
               (double)result.cost.total * 1e-9, gap);
        CHECK(gap < 5.0);
        CHECK(result.cost.total + result.cost.total / 50u >= before); /* less memory, no faster */
        before = result.cost.total;
        sy__placement_result_deinit(&result);
    }
    test.budgets[0].limit_bytes = 0;
    test.budgets[1] = (sy__placement_budget){6, 10u << 20};
    sy__placement_result result;
    sy_error error = {0};
    CHECK(sy__placement_solve(NULL, &test.problem, &options, &result, &error) ==
          SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET));
    CHECK_TEXT(strstr(error.message, "178257920 bytes are missing") != NULL, "%s", error.message);
}

static void nodes_without_a_device_are_named(void) {
    sy__placement_options options = {.mode = SY__MODE_COST};
    sy__placement_result result;
    sy_error error = {0};
    model_problem(&test, 2, 1, 1);
    for (uint32_t d = 0; d < 3; d++) {
        test.time[5 * 3 + d] = SY__FOREVER;
    }
    CHECK(sy__placement_solve(NULL, &test.problem, &options, &result, &error) ==
          SY_FAILED_PRECONDITION);
    CHECK(error.i_node == 5);
}

typedef struct failing {
    const sy_allocator *heap;
    uint64_t n_calls, i_failing, live_bytes;
} failing;

static void *failing_reallocate(void *self, void *pointer, size_t old_bytes, size_t new_bytes,
                                size_t alignment_bytes) {
    failing *state = self;
    if (new_bytes > 0 && ++state->n_calls == state->i_failing) {
        return NULL;
    }
    void *block =
        state->heap->reallocate(state->heap->self, pointer, old_bytes, new_bytes, alignment_bytes);
    if (new_bytes == 0 || block != NULL) {
        state->live_bytes += new_bytes - old_bytes;
    }
    return block;
}

static void every_allocation_may_fail(void) {
    sy__placement_options options = {
        .mode = SY__MODE_COST, .want_marginals = true, .max_states = 200};
    random_shape shape = {14, 3, 2, 6, 30, 20, 70};
    uint64_t seed = 1;
    sy__placement_result result;
    do { /* one with budgets that bind and an answer */
        random_problem(&test, &shape, seed++);
    } while (test.problem.n_budgets < 2 ||
             sy__placement_solve(NULL, &test.problem, &options, &result, NULL) != SY_OK);
    uint64_t hash = result.hash;
    sy__placement_result_deinit(&result);
    uint64_t n_failures = 0;
    sy_status status = SY_INTERNAL;
    for (uint64_t i = 1; status != SY_OK; i++) {
        failing state = {.heap = sy_allocator_heap(), .i_failing = i};
        sy_allocator allocator = {failing_reallocate, &state};
        sy_error error = {0};
        status = sy__placement_solve(&allocator, &test.problem, &options, &result, &error);
        if (status == SY_OK) {
            CHECK(state.n_calls < i && result.hash == hash);
            sy__placement_result_deinit(&result);
        } else {
            n_failures++;
            CHECK(status == SY_RESOURCE_EXHAUSTED && error.message[0] != '\0');
        }
        CHECK_TEXT(state.live_bytes == 0, "allocation %llu: %llu bytes leak", (unsigned long long)i,
                   (unsigned long long)state.live_bytes);
    }
    printf("%llu allocations refused in turn\n", (unsigned long long)n_failures);
    CHECK(n_failures > 100);
}

static const sy_test_case cases[] = {
    {"language_models_are_solved_exactly", language_models_are_solved_exactly},
    {"random_graphs_have_small_gaps", random_graphs_have_small_gaps},
    {"states_hold_phases_together", states_hold_phases_together},
    {"budgets_are_walls", budgets_are_walls},
    {"nodes_without_a_device_are_named", nodes_without_a_device_are_named},
    {"every_allocation_may_fail", every_allocation_may_fail},
};
SY_TEST_MAIN(cases)
