/* SPDX-License-Identifier: Apache-2.0 */
#include "random_problem.h"

#include "plan/memory_plan.h"

#define N_STEPS 64u

static uint64_t check_plan(const sy__lifetime *ranges, size_t n, uint64_t alignment,
                           uint64_t total) {
    uint64_t most = 0;
    for (uint32_t step = 0; step < N_STEPS; step++) {
        uint64_t alive = 0;
        for (size_t i = 0; i < n; i++) {
            bool here = ranges[i].first <= step && step <= ranges[i].last;
            alive += here ? (ranges[i].n_bytes + alignment - 1) / alignment * alignment : 0;
        }
        most = alive > most ? alive : most;
    }
    for (size_t i = 0; i < n; i++) {
        CHECK(ranges[i].offset_bytes % alignment == 0);
        CHECK(ranges[i].offset_bytes + ranges[i].n_bytes <= total);
        for (size_t k = 0; k < i; k++) {
            bool together = ranges[i].first <= ranges[k].last && ranges[k].first <= ranges[i].last;
            bool apart = ranges[i].offset_bytes + ranges[i].n_bytes <= ranges[k].offset_bytes ||
                         ranges[k].offset_bytes + ranges[k].n_bytes <= ranges[i].offset_bytes;
            CHECK(!together || apart || ranges[i].n_bytes == 0 || ranges[k].n_bytes == 0);
        }
    }
    CHECK(total >= most);
    return most;
}

static void ranges_alive_together_never_overlap(void) {
    static sy__lifetime ranges[200];
    double sum = 0.0, worst = 1.0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        random_source source = {seed};
        size_t n = 1u + random_below(&source, 200);
        for (size_t i = 0; i < n; i++) {
            ranges[i].n_bytes = random_chance(&source, 5) ? 0 : 1u + random_below(&source, 100000);
            ranges[i].first = random_below(&source, N_STEPS);
            ranges[i].last = ranges[i].first + random_below(&source, seed % 2 ? 4u : 40u);
            ranges[i].last = ranges[i].last < N_STEPS ? ranges[i].last : N_STEPS - 1u;
        }
        uint64_t total = 0;
        CHECK_OK(sy__memory_plan(NULL, ranges, n, 64, &total, NULL));
        uint64_t least = check_plan(ranges, n, 64, total);
        double ratio = least > 0 ? (double)total / (double)least : 1.0;
        sum += ratio;
        worst = ratio > worst ? ratio : worst;
    }
    printf("arena over the most that is alive: mean %.3f, worst %.3f\n", sum / 400.0, worst);
    CHECK(sum / 400.0 < 1.10 && worst < 1.40);
}

static void a_chain_needs_two_neighbours(void) {
    static sy__lifetime ranges[60];
    for (uint32_t i = 0; i < 60; i++) {
        ranges[i] = (sy__lifetime){.n_bytes = 4096, .first = i, .last = i + 1};
    }
    uint64_t total = 0;
    CHECK_OK(sy__memory_plan(NULL, ranges, 60, 256, &total, NULL));
    CHECK(check_plan(ranges, 60, 256, total) == total);
    CHECK(total == 8192);
}

static void strange_inputs_are_answered(void) {
    sy__lifetime huge[2] = {{.n_bytes = UINT64_MAX - 10, .first = 0, .last = 3},
                            {.n_bytes = 4096, .first = 1, .last = 2}};
    uint64_t total = 7;
    sy_error error = {0};
    CHECK(sy__memory_plan(NULL, huge, 2, 64, &total, &error) == SY_RESOURCE_EXHAUSTED);
    CHECK(error.message[0] != '\0' && total == 7);
    huge[0].n_bytes = UINT64_MAX - 4096;
    CHECK(sy__memory_plan(NULL, huge, 2, 64, &total, &error) == SY_RESOURCE_EXHAUSTED);
    CHECK(sy__memory_plan(NULL, huge, 2, 48, &total, &error) == SY_INVALID_ARGUMENT);
    CHECK_OK(sy__memory_plan(NULL, huge, 0, 64, &total, &error));
    CHECK(total == 0);
    sy_budget budget;
    sy_budget_init(&budget, NULL, 16);
    CHECK(sy__memory_plan(&budget.allocator, huge, 2, 64, &total, &error) == SY_RESOURCE_EXHAUSTED);
    CHECK(budget.used_bytes == 0);
}

static const sy_test_case cases[] = {
    {"ranges_alive_together_never_overlap", ranges_alive_together_never_overlap},
    {"a_chain_needs_two_neighbours", a_chain_needs_two_neighbours},
    {"strange_inputs_are_answered", strange_inputs_are_answered},
};
SY_TEST_MAIN(cases)
