/* SPDX-License-Identifier: Apache-2.0 */
/* Counting blocks before they are taken. What lies together is planned slab by slab, as
 * kit_pools_take will find it: slabs for states of the same size first. */
#include "block_pool.h"

bool kit_slab_bytes(uint64_t block_bytes, uint64_t n, uint64_t *out_counts, uint64_t *out_blocks) {
    uint64_t list = 0;
    if (__builtin_mul_overflow(n, sizeof(kit_block), &list) ||
        __builtin_mul_overflow(n, block_bytes, out_blocks) || list > SIZE_MAX / 4 ||
        *out_blocks > SIZE_MAX / 4) {
        return false;
    }
    *out_counts = (sizeof(kit_slab) + list + 63) & ~(uint64_t)63;
    return true;
}

uint64_t kit_block_cost(uint64_t block_bytes) {
    return block_bytes + sizeof(kit_block);
}

void kit_need_init(kit_need *need, kit_pool *pools, bool keeps) {
    *need = (kit_need){.keeps = keeps};
    for (kit_pool *pool = pools; pool != NULL; pool = pool->next) {
        for (kit_slab *slab = pool->slabs; slab != NULL; slab = slab->next) {
            slab->n_planned = 0;
        }
    }
}

/* ---- adding ---- */
static kit_need_size *size_of(kit_need *need, const kit_storage *storage, uint64_t block_bytes,
                              uint64_t n_together) {
    for (uint32_t i = 0; i < need->n_sizes; i++) {
        kit_need_size *size = &need->sizes[i];
        if (size->storage == storage && size->block_bytes == block_bytes &&
            size->n_together == n_together) {
            return size;
        }
    }
    if (need->n_sizes == KIT_NEEDS_MOST) {
        return NULL;
    }
    need->sizes[need->n_sizes] =
        (kit_need_size){.storage = storage, .block_bytes = block_bytes, .n_together = n_together};
    return &need->sizes[need->n_sizes++];
}

/* n blocks count times, as bytes. */
static bool add_own(kit_need *need, uint64_t block_bytes, uint64_t n, uint64_t count) {
    uint64_t n_blocks = 0, counts = 0, blocks = 0;
    return !__builtin_mul_overflow(n, count, &n_blocks) &&
           kit_slab_bytes(block_bytes, n_blocks, &counts, &blocks) &&
           !__builtin_add_overflow(need->own_bytes, n_blocks * kit_block_cost(block_bytes),
                                   &need->own_bytes);
}

bool kit_need_add(kit_need *need, const kit_storage *storage, uint64_t block_bytes, uint64_t n) {
    uint64_t counts = 0, blocks = 0;
    kit_need_size *size = size_of(need, storage, block_bytes, 0);
    return size != NULL && add_own(need, block_bytes, n, 1) &&
           !__builtin_add_overflow(size->n, n, &size->n) &&
           kit_slab_bytes(block_bytes, size->n, &counts, &blocks);
}

/* Of `count` states those that a slab still has room for. */
static uint64_t plan_in(const kit_need *need, kit_slab *slab, uint64_t n, uint64_t count) {
    uint64_t room = slab->n_free - slab->n_planned;
    uint64_t not_kept = slab->n_blocks - slab->n_kept;
    if (need->keeps) { /* what is kept for others is theirs */
        not_kept -= slab->n_planned < not_kept ? slab->n_planned : not_kept;
        room = room < not_kept ? room : not_kept;
    }
    uint64_t fits = n > 0 ? room / n : count;
    fits = fits < count ? fits : count;
    slab->n_planned += fits * n;
    return fits;
}

bool kit_need_add_together(kit_need *need, const kit_pool *pools, const kit_storage *storage,
                           uint64_t block_bytes, uint64_t n, uint64_t count) {
    const kit_pool *pool = kit_pools_find(pools, storage, block_bytes);
    kit_need_size *size = n > 0 ? size_of(need, storage, block_bytes, n) : NULL;
    uint64_t counts = 0, blocks = 0;
    if (n == 0) {
        return true;
    }
    if (size == NULL || !add_own(need, block_bytes, n, count)) {
        return false;
    }
    for (int others = 0; others < 2; others++) {
        for (kit_slab *slab = pool != NULL ? pool->slabs : NULL; slab != NULL; slab = slab->next) {
            count -= (slab->n_together != n) == others ? plan_in(need, slab, n, count) : 0;
        }
    }
    return !__builtin_add_overflow(size->n, count, &size->n) && size->n <= UINT64_MAX / n &&
           kit_slab_bytes(block_bytes, size->n * n, &counts, &blocks);
}

uint64_t kit_need_add_in(kit_need *need, kit_slab *slab, uint64_t n, uint64_t count) {
    uint64_t fits = plan_in(need, slab, n, count);
    (void)add_own(need, slab->pool->block_bytes, n, fits); /* so many are there */
    return fits;
}

/* ---- what is missing ---- */
uint64_t kit_need_states_of_slab(const kit_need_size *size) {
    uint64_t n = size->storage->one_slab_bytes_most / size->block_bytes / size->n_together;
    return n > 0 ? n : 1;
}

uint64_t kit_need_blocks_of_slab(const kit_need_size *size, uint64_t n_states) {
    uint64_t n = n_states * size->n_together;
    uint64_t most = size->storage->one_slab_bytes_most / size->block_bytes;
    uint64_t least = size->storage->one_slab_bytes_least / size->block_bytes;
    least = least < most ? least : most;
    return n > least ? n : least;
}

/* Of slabs with n blocks each. */
static bool add_slabs(const kit_need_size *size, uint64_t n, uint64_t n_slabs,
                      uint64_t *inout_sum) {
    const kit_storage *storage = size->storage;
    uint64_t counts = 0, blocks = 0, n_bytes = 0;
    if (n_slabs == 0) {
        return true;
    }
    if (!kit_slab_bytes(size->block_bytes, n, &counts, &blocks)) {
        return false;
    }
    bool asks_host = storage->slab_make == NULL || storage->asks_host;
    counts += storage->slab_own_bytes + (asks_host ? blocks : 0);
    return !__builtin_mul_overflow(counts, n_slabs, &n_bytes) &&
           !__builtin_add_overflow(*inout_sum, n_bytes, inout_sum);
}

/* Whether no size before this one is of the same pool. */
static bool is_first_of_pool(const kit_need *need, uint32_t i_size) {
    const kit_need_size *size = &need->sizes[i_size];
    for (uint32_t i = 0; i < i_size; i++) {
        const kit_need_size *other = &need->sizes[i];
        if (other->storage == size->storage && other->block_bytes == size->block_bytes &&
            other->n > 0) {
            return false;
        }
    }
    return true;
}

uint64_t kit_need_new_bytes(const kit_pool *pools, const kit_need *need) {
    uint64_t sum = 0;
    bool ok = true;
    for (uint32_t i = 0; ok && i < need->n_sizes; i++) {
        const kit_need_size *size = &need->sizes[i];
        const kit_pool *pool = kit_pools_find(pools, size->storage, size->block_bytes);
        if (size->n_together > 0) {
            uint64_t per_slab = kit_need_states_of_slab(size);
            uint64_t n_left = size->n % per_slab;
            ok = add_slabs(size, kit_need_blocks_of_slab(size, per_slab), size->n / per_slab,
                           &sum) &&
                 add_slabs(size, kit_need_blocks_of_slab(size, n_left), n_left > 0, &sum);
        } else {
            uint64_t n_free = pool != NULL ? pool->n_free : 0;
            ok = add_slabs(size, size->n - n_free, size->n > n_free, &sum);
        }
        sum += pool == NULL && size->n > 0 && is_first_of_pool(need, i) ? sizeof(kit_pool) : 0;
    }
    return ok ? sum : UINT64_MAX;
}
