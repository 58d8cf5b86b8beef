/* SPDX-License-Identifier: Apache-2.0 */
/* Slabs of blocks. What is counted for a block lies apart from it, so that a block's memory is
 * first touched by who writes it. */
#include "block_pool.h"

const kit_pool *kit_pools_find(const kit_pool *pools, const kit_storage *storage,
                               uint64_t block_bytes) {
    const kit_pool *pool = pools;
    while (pool != NULL && (pool->storage != storage || pool->block_bytes != block_bytes)) {
        pool = pool->next;
    }
    return pool;
}

static kit_pool *find_or_add(kit_pool **inout_pools, const kit_storage *storage,
                             uint64_t block_bytes) {
    kit_pool **link = inout_pools;
    while (*link != NULL && ((*link)->storage != storage || (*link)->block_bytes != block_bytes)) {
        link = &(*link)->next;
    }
    if (*link == NULL) {
        *link = kit_alloc(sizeof(kit_pool));
        if (*link != NULL) {
            (*link)->storage = storage;
            (*link)->block_bytes = block_bytes;
            atomic_flag_clear(&(*link)->spares_lock);
        }
    }
    return *link;
}

/* ---- slabs ---- */
/* What counts the blocks, and the blocks behind it where the storage has no memory of its own. */
static uint64_t host_bytes(const kit_storage *storage, uint64_t counts, uint64_t blocks) {
    return counts + (storage->slab_make == NULL ? blocks : 0);
}

static sy_status slab_make(kit_pool *pool, uint64_t n, kit_slab **out_slab) {
    const kit_storage *storage = pool->storage;
    uint64_t counts = 0, blocks = 0;
    kit_slab *slab = NULL;
    if (kit_slab_bytes(pool->block_bytes, n, &counts, &blocks)) {
        slab = kit_alloc_raw(host_bytes(storage, counts, blocks));
    }
    if (slab == NULL) {
        return SY_RESOURCE_EXHAUSTED;
    }
    *slab = (kit_slab){.pool = pool, .n_blocks = n, .n_free = n};
    sy_status status = SY_OK;
    if (storage->slab_make != NULL) {
        status = storage->slab_make(storage->self, blocks, &slab->memory);
    } else {
        slab->memory.bytes = (uint8_t *)slab + counts;
    }
    if (status != SY_OK) {
        kit_release(slab, host_bytes(storage, counts, blocks));
        return status;
    }
    *out_slab = slab;
    return SY_OK;
}

static void slab_free(kit_slab *slab) {
    kit_pool *pool = slab->pool;
    const kit_storage *storage = pool->storage;
    uint64_t counts = 0, blocks = 0;
    (void)kit_slab_bytes(pool->block_bytes, slab->n_blocks, &counts, &blocks);
    if (storage->slab_make != NULL) {
        storage->slab_free(storage->self, &slab->memory, blocks);
    }
    pool->n_blocks -= slab->n_blocks;
    pool->n_free -= slab->n_free;
    kit_release(slab, host_bytes(storage, counts, blocks));
}

/* Where blocks lie anywhere, the newest slab comes first, as most of it is free; else it comes
 * last, so that states find the room that was planned for them before it was made. */
static sy_status slab_add(kit_pool *pool, uint64_t n, kit_slab **out_slab) {
    kit_slab *slab = NULL, **link = &pool->slabs;
    sy_status status = slab_make(pool, n, &slab);
    if (status != SY_OK) {
        return status;
    }
    uint8_t *bytes = slab->memory.bytes;
    for (uint64_t i = n; i-- > 0;) { /* the first ones are taken first */
        slab->blocks[i] = (kit_block){.bytes = bytes != NULL ? bytes + i * pool->block_bytes : NULL,
                                      .slab = slab,
                                      .next = slab->free};
        slab->free = &slab->blocks[i];
    }
    while (kit_is_one_slab(pool->storage) && *link != NULL) {
        link = &(*link)->next;
    }
    slab->next = *link;
    *link = slab;
    pool->n_blocks += n;
    pool->n_free += n;
    *out_slab = slab;
    return SY_OK;
}

static bool is_kept(const kit_pool *pool, const kit_slab *slab) {
    return slab->n_kept > 0 || pool->n_blocks - slab->n_blocks < pool->n_kept;
}

void kit_pools_trim(kit_pool **inout_pools, bool all) {
    for (kit_pool **link = inout_pools; *link != NULL;) {
        kit_pool *pool = *link;
        for (kit_slab **at = &pool->slabs; *at != NULL;) {
            kit_slab *slab = *at;
            if (slab->n_free < slab->n_blocks || (!all && is_kept(pool, slab))) {
                at = &slab->next;
                continue;
            }
            *at = slab->next;
            slab_free(slab);
        }
        if (pool->n_blocks > 0) {
            link = &pool->next;
            continue;
        }
        *link = pool->next;
        kit_release(pool, sizeof(*pool));
    }
}

/* ---- reserving ---- */
static sy_status reserve_anywhere(kit_pool *pool, const kit_need_size *size, bool keeps) {
    uint64_t missing = size->n > pool->n_free ? size->n - pool->n_free : 0;
    if (keeps && pool->n_kept + size->n > pool->n_blocks + missing) {
        missing = pool->n_kept + size->n - pool->n_blocks;
    }
    kit_slab *slab = NULL;
    return missing > 0 ? slab_add(pool, missing, &slab) : SY_OK;
}

static sy_status slab_add_together(kit_pool *pool, const kit_need_size *size, uint64_t n_states,
                                   kit_slab **out_slab) {
    uint64_t n = kit_need_blocks_of_slab(size, n_states), n_needed = n_states * size->n_together;
    sy_status status = slab_add(pool, n, out_slab);
    if (SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED && n > n_needed) {
        status = slab_add(pool, n_needed, out_slab);
    }
    if (status == SY_OK) {
        (*out_slab)->n_together = size->n_together;
        (*out_slab)->n_planned = n_needed;
    }
    return status;
}

static sy_status reserve_together(kit_pool *pool, const kit_need_size *size) {
    uint64_t per_slab = kit_need_states_of_slab(size);
    sy_status status = SY_OK;
    kit_slab *slab = NULL;
    for (uint64_t left = size->n; status == SY_OK && left > 0;) {
        uint64_t count = left < per_slab ? left : per_slab;
        status = slab_add_together(pool, size, count, &slab);
        left -= count;
    }
    return status;
}

static void keep(kit_pool *pools, const kit_need *need) {
    for (uint32_t i = 0; i < need->n_sizes; i++) {
        const kit_need_size *size = &need->sizes[i];
        if (size->n_together == 0 && size->n > 0) {
            find_or_add(&pools, size->storage, size->block_bytes)->n_kept += size->n;
        }
    }
    for (kit_pool *pool = pools; pool != NULL; pool = pool->next) {
        for (kit_slab *slab = pool->slabs; slab != NULL; slab = slab->next) {
            slab->n_kept += slab->n_planned;
            slab->n_planned = 0;
        }
    }
}

sy_status kit_pools_reserve(kit_pool **inout_pools, const kit_need *need) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < need->n_sizes; i++) {
        const kit_need_size *size = &need->sizes[i];
        kit_pool *pool =
            size->n > 0 ? find_or_add(inout_pools, size->storage, size->block_bytes) : NULL;
        if (size->n == 0) {
            continue;
        }
        if (pool == NULL) {
            status = SY_RESOURCE_EXHAUSTED;
        } else if (size->n_together == 0) {
            status = reserve_anywhere(pool, size, need->keeps);
        } else {
            status = reserve_together(pool, size);
        }
    }
    if (status == SY_OK && need->keeps) {
        keep(*inout_pools, need);
    } else if (status != SY_OK) {
        kit_pools_trim(inout_pools, false);
    }
    return status;
}

/* ---- taking ---- */
/* For states of this size first. */
static kit_slab *find_room(const kit_pool *pool, uint64_t n) {
    kit_slab *other = NULL;
    for (kit_slab *slab = pool->slabs; slab != NULL; slab = slab->next) {
        if (slab->n_free >= n && slab->n_together == n) {
            return slab;
        }
        other = other == NULL && slab->n_free >= n ? slab : other;
    }
    return other;
}

static void take_of(kit_slab *slab, uint64_t *inout_n, kit_block ***inout_out) {
    for (; *inout_n > 0 && slab->free != NULL; --*inout_n) {
        kit_block *block = slab->free;
        slab->free = block->next;
        slab->n_free--;
        slab->pool->n_free--;
        block->n_states = 1;
        *(*inout_out)++ = block;
    }
}

sy_status kit_pools_take(kit_pool **inout_pools, const kit_storage *storage, uint64_t block_bytes,
                         uint64_t n, kit_slab *slab, kit_block **out) {
    const kit_need_size anywhere = {.storage = storage, .block_bytes = block_bytes, .n = n};
    const kit_need_size together = {
        .storage = storage, .block_bytes = block_bytes, .n_together = n, .n = 1};
    if (n == 0) {
        return SY_OK;
    }
    kit_pool *pool = find_or_add(inout_pools, storage, block_bytes);
    sy_status status = pool != NULL ? SY_OK : SY_RESOURCE_EXHAUSTED;
    if (status == SY_OK && !kit_is_one_slab(storage)) {
        status = reserve_anywhere(pool, &anywhere, false);
    } else if (status == SY_OK && slab == NULL && (slab = find_room(pool, n)) == NULL) {
        status = slab_add_together(pool, &together, 1, &slab);
    }
    if (status != SY_OK) {
        kit_pools_trim(inout_pools, false);
        return status;
    }
    slab = slab != NULL ? slab : pool->slabs;
    for (; n > 0; slab = slab->next) {
        take_of(slab, &n, &out);
    }
    return SY_OK;
}

/* ---- spares ---- */
/* Held for a few instructions and one copy. */
static void lock(kit_pool *pool) {
    while (atomic_flag_test_and_set_explicit(&pool->spares_lock, memory_order_acquire)) {}
}
static void unlock(kit_pool *pool) {
    atomic_flag_clear_explicit(&pool->spares_lock, memory_order_release);
}

static kit_block *take_spare(kit_block *block) {
    kit_block *spare = block->spares;
    block->spares = spare->next;
    block->n_states--;
    return spare;
}

void kit_block_lend(kit_block *shared, kit_block *own) {
    lock(shared->slab->pool);
    own->next = shared->spares;
    shared->spares = own;
    shared->n_states++;
    unlock(shared->slab->pool);
}

sy_status kit_block_own(kit_block *block, bool copies, kit_block **out_block) {
    kit_pool *pool = block->slab->pool;
    sy_status status = SY_OK;
    lock(pool);
    if (block->spares != NULL) {
        if (copies) { /* while nobody may write to it */
            status = pool->storage->blocks_copy(pool->storage->self, &block, &block->spares, 1);
        }
        block = status == SY_OK ? take_spare(block) : block;
    }
    unlock(pool);
    if (status == SY_OK) {
        *out_block = block;
    }
    return status;
}

void kit_block_drop(kit_block *block) {
    kit_pool *pool = block->slab->pool;
    lock(pool);
    if (block->spares != NULL) { /* the others go on with one spare less */
        block = take_spare(block);
    }
    unlock(pool);
    kit_slab *slab = block->slab;
    if (--block->n_states > 0) {
        return;
    }
    block->next = slab->free;
    slab->free = block;
    slab->n_free++;
    pool->n_free++;
}
