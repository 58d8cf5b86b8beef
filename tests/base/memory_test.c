/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/checked.h"
#include "base/memory.h"

static bool is_aligned(const void *pointer, uintptr_t alignment) {
    return (uintptr_t)pointer % alignment == 0;
}

static bool is_zero(const void *pointer, size_t n_bytes) {
    const unsigned char *bytes = pointer;
    for (size_t i = 0; i < n_bytes; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

static void checked_arithmetic_refuses_wraps(void) {
    uint64_t u = 5;
    int64_t i = 5;
    size_t n = 5;
    CHECK(sy__add_u64(2, 3, &u) && u == 5);
    CHECK(!sy__add_u64(UINT64_MAX, 1, &u));
    CHECK(!sy__sub_u64(1, 2, &u));
    CHECK(!sy__mul_u64(UINT64_MAX / 2, 3, &u));
    CHECK(!sy__add_size(SIZE_MAX, 1, &n));
    CHECK(!sy__mul_size(SIZE_MAX / 2, 3, &n));
    CHECK(!sy__add_i64(INT64_MAX, 1, &i));
    CHECK(!sy__mul_i64(INT64_MIN, -1, &i));
    CHECK(sy__align_u64(65, 64, &u) && u == 128);
    CHECK(sy__align_u64(64, 64, &u) && u == 64);
    CHECK(!sy__align_u64(UINT64_MAX - 5, 64, &u));
    CHECK(sy__is_power_of_two(64) && !sy__is_power_of_two(0) && !sy__is_power_of_two(96));
}

static void heap_moves_and_keeps_content(void) {
    static const size_t alignments[] = {1, 8, 16, 64, 4096};
    const sy_allocator *heap = sy_allocator_heap();
    for (size_t k = 0; k < 5; k++) {
        char *block = heap->reallocate(heap->self, NULL, 0, 100, alignments[k]);
        CHECK(block != NULL && is_aligned(block, alignments[k]));
        memset(block, 'x', 100);
        block = heap->reallocate(heap->self, block, 100, 100000, alignments[k]);
        CHECK(block != NULL && is_aligned(block, alignments[k]));
        block = heap->reallocate(heap->self, block, 100000, 50, alignments[k]);
        CHECK(block != NULL && is_aligned(block, alignments[k]));
        for (int i = 0; i < 50; i++) {
            CHECK(block[i] == 'x');
        }
        CHECK(heap->reallocate(heap->self, block, 50, 0, alignments[k]) == NULL);
    }
}

static void budget_is_a_hard_wall(void) {
    sy_budget budget;
    sy_budget_init(&budget, NULL, 1000);
    char *a = sy__alloc_array(&budget.allocator, 600, 1);
    CHECK(a != NULL && budget.used_bytes == 600);
    CHECK(sy__alloc_array(&budget.allocator, 401, 1) == NULL);
    CHECK(budget.n_refused == 1 && budget.used_bytes == 600);
    char *b = sy__alloc_array(&budget.allocator, 400, 1);
    CHECK(b != NULL && budget.used_bytes == 1000 && budget.peak_bytes == 1000);
    sy__free_array(&budget.allocator, a, 600, 1);
    CHECK(budget.used_bytes == 400);
    const sy_allocator *allocator = &budget.allocator;
    CHECK(allocator->reallocate(allocator->self, b, 400, 1001, 64) == NULL);
    b = allocator->reallocate(allocator->self, b, 400, 900, 64);
    CHECK(b != NULL && budget.used_bytes == 900);
    b = allocator->reallocate(allocator->self, b, 900, 100, 64);
    CHECK(b != NULL && budget.used_bytes == 100);
    sy__free_array(allocator, b, 100, 1);
    CHECK(budget.used_bytes == 0 && budget.peak_bytes == 1000);
}

static void budget_without_limit_counts(void) {
    sy_budget budget;
    sy_budget_init(&budget, NULL, 0);
    void *block = sy__alloc_array(&budget.allocator, 1 << 20, 1);
    CHECK(block != NULL && budget.used_bytes == 1 << 20);
    sy__free_array(&budget.allocator, block, 1 << 20, 1);
    CHECK(budget.used_bytes == 0 && budget.n_refused == 0);
}

static void arrays_are_zeroed_aligned_and_checked(void) {
    uint32_t *array = sy__alloc_array(NULL, 1000, sizeof(*array));
    CHECK(array != NULL && is_aligned(array, SY__ALIGNMENT) && is_zero(array, 4000));
    sy__free_array(NULL, array, 1000, sizeof(*array));
    CHECK(sy__alloc_array(NULL, SIZE_MAX / 2, 3) == NULL);
    void *empty = sy__alloc_array(NULL, 0, 8);
    CHECK(empty != NULL);
    sy__free_array(NULL, empty, 0, 8);
    sy__free_array(NULL, NULL, 5, 8);
}

static void grown_arrays_keep_and_zero(void) {
    sy_budget budget;
    sy_budget_init(&budget, NULL, 4096);
    void *array = NULL;
    size_t capacity = 0;
    CHECK(sy__grow_array(&budget.allocator, &array, &capacity, 1, 4) && capacity >= 1);
    memset(array, 0xff, capacity * 4);
    size_t before = capacity;
    CHECK(sy__grow_array(&budget.allocator, &array, &capacity, before + 1, 4));
    CHECK(capacity >= 2 * before);
    CHECK(((unsigned char *)array)[before * 4 - 1] == 0xff);
    CHECK(is_zero((char *)array + before * 4, (capacity - before) * 4));
    void *same = array;
    size_t capacity_before = capacity;
    CHECK(!sy__grow_array(&budget.allocator, &array, &capacity, 100000, 4));
    CHECK(!sy__grow_array(&budget.allocator, &array, &capacity, SIZE_MAX / 2, 4));
    CHECK(array == same && capacity == capacity_before);
    sy__free_array(&budget.allocator, array, capacity, 4);
    CHECK(budget.used_bytes == 0);
}

static void arena_gives_much_and_frees_all(void) {
    sy_budget budget;
    sy_budget_init(&budget, NULL, 0);
    sy__arena arena;
    sy__arena_init(&arena, &budget.allocator, 256);
    for (size_t i = 0; i < 100; i++) {
        char *block = sy__arena_alloc(&arena, i * 7, 1);
        CHECK(block != NULL && is_aligned(block, 16) && is_zero(block, i * 7));
        memset(block, 0xff, i * 7);
    }
    CHECK(sy__arena_alloc(&arena, 10000, 10) != NULL);
    char *copy = sy__arena_string(&arena, "hello world", 5);
    CHECK(copy != NULL && strcmp(copy, "hello") == 0);
    CHECK(sy__arena_string(&arena, "x", SIZE_MAX) == NULL);
    CHECK(sy__arena_alloc(&arena, SIZE_MAX / 2, 3) == NULL);
    CHECK(sy__arena_alloc(&arena, SIZE_MAX - 3, 1) == NULL);
    sy__arena_deinit(&arena);
    CHECK(budget.used_bytes == 0);
}

static void refused_arena_stays_usable(void) {
    sy_budget budget;
    sy_budget_init(&budget, NULL, 2000);
    sy__arena arena;
    sy__arena_init(&arena, &budget.allocator, 512);
    CHECK(sy__arena_alloc(&arena, 100, 1) != NULL);
    CHECK(sy__arena_alloc(&arena, 5000, 1) == NULL);
    CHECK(sy__arena_alloc(&arena, 100, 1) != NULL);
    sy__arena_deinit(&arena);
    sy__arena_deinit(&arena);
    CHECK(budget.used_bytes == 0);
}

/* Blocks cross the border between the heap and pages of their own, both ways, and keep their bytes;
 * new ones are zero although one of the same size was dirty before. */
static void large_blocks_move_and_come_clean(void) {
    static const size_t sizes[] = {1000, 600u << 10, 100, 3u << 20, 600u << 10, 5u << 20, 64};
    const sy_allocator *heap = sy_allocator_heap();
    sy_budget budget;
    sy_budget_init(&budget, NULL, 0);
    for (int round = 0; round < 2; round++) {
        const sy_allocator *allocator = round == 0 ? heap : &budget.allocator;
        unsigned char *block = NULL;
        size_t n_before = 0;
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            block =
                allocator->reallocate(allocator->self, block, n_before, sizes[i], SY__ALIGNMENT);
            CHECK(block != NULL && is_aligned(block, SY__ALIGNMENT));
            size_t n_kept = n_before < sizes[i] ? n_before : sizes[i];
            for (size_t at = 0; at < n_kept; at += 61) {
                CHECK(block[at] == (unsigned char)(at % 251));
            }
            for (size_t at = 0; at < sizes[i]; at++) {
                block[at] = (unsigned char)(at % 251);
            }
            n_before = sizes[i];
        }
        CHECK(allocator->reallocate(allocator->self, block, n_before, 0, SY__ALIGNMENT) == NULL);
        for (int again = 0; again < 3; again++) {
            unsigned char *array = sy__alloc_array(allocator, 1u << 20, 3);
            CHECK(array != NULL && is_zero(array, 3u << 20));
            memset(array, 1, 3u << 20);
            sy__prefer_large_pages(array + 100, (3u << 20) - 200);
            sy__free_array(allocator, array, 1u << 20, 3);
        }
    }
    CHECK(budget.used_bytes == 0);
    CHECK(!sy__gives_zeros(heap, 100) && !sy__gives_zeros(&budget.allocator, 100));
    CHECK(sy__gives_zeros(heap, 9u << 20) == sy__gives_zeros(&budget.allocator, 9u << 20));
}

static const sy_test_case cases[] = {
    {"checked_arithmetic_refuses_wraps", checked_arithmetic_refuses_wraps},
    {"heap_moves_and_keeps_content", heap_moves_and_keeps_content},
    {"large_blocks_move_and_come_clean", large_blocks_move_and_come_clean},
    {"budget_is_a_hard_wall", budget_is_a_hard_wall},
    {"budget_without_limit_counts", budget_without_limit_counts},
    {"arrays_are_zeroed_aligned_and_checked", arrays_are_zeroed_aligned_and_checked},
    {"grown_arrays_keep_and_zero", grown_arrays_keep_and_zero},
    {"arena_gives_much_and_frees_all", arena_gives_much_and_frees_all},
    {"refused_arena_stays_usable", refused_arena_stays_usable},
};
SY_TEST_MAIN(cases)
