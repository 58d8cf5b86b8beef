/* SPDX-License-Identifier: Apache-2.0 */
#include "reference/state_pool.h"

#include "base/checked.h"

#include <string.h>

_Static_assert(sizeof(sy__block) <= SY__ALIGNMENT, "a block's memory begins behind its head");

bool sy__need_add(sy__block_need *need, uint64_t n_bytes, uint64_t n) {
    uint64_t all = 0;
    uint32_t i = 0;
    while (i < need->n_sizes && need->n_bytes[i] != n_bytes) {
        i++;
    }
    if (i == SY__SIZES_MOST) {
        return false;
    }
    if (i == need->n_sizes) {
        need->n_bytes[i] = n_bytes;
        need->n[i] = 0;
        need->n_sizes++;
    }
    return sy__add_u64(need->n[i], n, &need->n[i]) && n_bytes < SIZE_MAX / 4 &&
           sy__mul_u64(need->n[i], sy__block_cost(n_bytes), &all) && all < SIZE_MAX / 4;
}

static uint64_t n_spare(const sy__block_pool *pool, uint64_t n_bytes) {
    uint64_t n = 0;
    for (const sy__block *block = pool->spare; block != NULL; block = block->next) {
        n += block->n_bytes == n_bytes;
    }
    return n;
}

void sy__need_count(const sy__block_need *need, const sy__block_pool *pool, uint64_t *out_bytes,
                    uint64_t *out_new_bytes) {
    *out_bytes = *out_new_bytes = 0;
    for (uint32_t i = 0; i < need->n_sizes; i++) {
        uint64_t spare = n_spare(pool, need->n_bytes[i]), cost = sy__block_cost(need->n_bytes[i]);
        *out_bytes += need->n[i] * cost;
        *out_new_bytes += need->n[i] > spare ? (need->n[i] - spare) * cost : 0;
    }
}

static sy__block *block_new(const sy__block_pool *pool, uint64_t n_bytes) {
    sy__block *block = NULL;
    if (n_bytes < SIZE_MAX / 4) {
        block = sy__alloc_array(pool->allocator, (size_t)sy__block_cost(n_bytes), 1);
    }
    if (block != NULL) {
        block->n_bytes = n_bytes;
    }
    return block;
}

static void block_free(const sy__block_pool *pool, sy__block *block) {
    sy__free_array(pool->allocator, block, (size_t)sy__block_cost(block->n_bytes), 1);
}

bool sy__pool_reserve(sy__block_pool *pool, const sy__block_need *need, bool keep) {
    sy__block *made = NULL;
    for (uint32_t i = 0; i < need->n_sizes; i++) {
        uint64_t spare = keep ? 0 : n_spare(pool, need->n_bytes[i]);
        for (uint64_t n = spare; n < need->n[i]; n++) {
            sy__block *block = block_new(pool, need->n_bytes[i]);
            if (block == NULL) {
                while (made != NULL) {
                    sy__block *next = made->next;
                    block_free(pool, made);
                    made = next;
                }
                return false;
            }
            block->is_kept = keep;
            block->next = made;
            made = block;
        }
    }
    while (made != NULL) {
        sy__block *next = made->next;
        made->next = pool->spare;
        pool->spare = made;
        made = next;
    }
    return true;
}

sy__block *sy__pool_take(sy__block_pool *pool, uint64_t n_bytes) {
    sy__block **link = &pool->spare;
    while (*link != NULL && (*link)->n_bytes != n_bytes) {
        link = &(*link)->next;
    }
    sy__block *block = *link;
    if (block != NULL) {
        *link = block->next;
        memset(sy__block_bytes(block), 0, (size_t)n_bytes);
    } else {
        block = block_new(pool, n_bytes);
    }
    if (block != NULL) {
        block->n_states = 1;
    }
    return block;
}

void sy__pool_drop(sy__block_pool *pool, sy__block *block) {
    if (block == NULL || --block->n_states > 0) {
        return;
    }
    if (!block->is_kept) {
        block_free(pool, block);
        return;
    }
    block->next = pool->spare;
    pool->spare = block;
}

void sy__pool_trim(sy__block_pool *pool, bool all) {
    for (sy__block **link = &pool->spare; *link != NULL;) {
        sy__block *block = *link;
        if (block->is_kept && !all) {
            link = &block->next;
            continue;
        }
        *link = block->next;
        block_free(pool, block);
    }
}
