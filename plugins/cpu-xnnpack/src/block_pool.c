/* SPDX-License-Identifier: Apache-2.0 */
/* Slabs of blocks. What is counted for a block is in front of a slab's blocks, so that a block's
 * memory is first touched by who writes it. */
#include "block_pool.h"

#include "plugin.h"

#include <string.h>

struct cpu_slab {
    cpu_slab *next;
    cpu_block *free;
    uint64_t n_bytes, n_blocks, n_free;
    cpu_block blocks[];
};

struct cpu_pool {
    cpu_pool *next;
    cpu_slab *slabs;
    uint64_t block_bytes, n_blocks, n_free, n_kept;
    atomic_flag spares_lock;
};

static uint64_t up64(uint64_t n_bytes) {
    return (n_bytes + 63) & ~(uint64_t)63;
}

/* Of a slab and what stands in front of its blocks. */
static bool slab_bytes(uint64_t block_bytes, uint64_t n, uint64_t *out_front, uint64_t *out_bytes) {
    uint64_t list = 0, blocks = 0;
    if (__builtin_mul_overflow(n, sizeof(cpu_block), &list) ||
        __builtin_mul_overflow(n, block_bytes, &blocks) || list > SIZE_MAX / 4 ||
        blocks > SIZE_MAX / 4) {
        return false;
    }
    *out_front = up64(sizeof(cpu_slab) + list);
    *out_bytes = *out_front + blocks;
    return true;
}

/* ---- counting ---- */
bool cpu_need_add(cpu_block_need *need, uint64_t block_bytes, uint64_t n) {
    uint64_t ignored = 0;
    for (uint32_t i = 0; i <= need->n_sizes && i < CPU_SIZES_MOST; i++) {
        if (i == need->n_sizes) {
            need->block_bytes[i] = block_bytes;
            need->n[i] = 0;
            need->n_sizes++;
        }
        if (need->block_bytes[i] == block_bytes) {
            return !__builtin_add_overflow(need->n[i], n, &need->n[i]) &&
                   slab_bytes(block_bytes, need->n[i], &ignored, &ignored);
        }
    }
    return false;
}

uint64_t cpu_block_cost(uint64_t block_bytes) {
    return block_bytes + sizeof(cpu_block);
}

uint64_t cpu_need_bytes(const cpu_block_need *need) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < need->n_sizes; i++) {
        sum += need->n[i] * cpu_block_cost(need->block_bytes[i]);
    }
    return sum;
}

static const cpu_pool *find(const cpu_pool *pools, uint64_t block_bytes) {
    const cpu_pool *pool = pools;
    while (pool != NULL && pool->block_bytes != block_bytes) {
        pool = pool->next;
    }
    return pool;
}

uint64_t cpu_need_new_bytes(const cpu_pool *pools, const cpu_block_need *need) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < need->n_sizes; i++) {
        const cpu_pool *pool = find(pools, need->block_bytes[i]);
        uint64_t n_free = pool != NULL ? pool->n_free : 0, front = 0, n_bytes = 0;
        if (need->n[i] <= n_free) {
            continue;
        }
        if (!slab_bytes(need->block_bytes[i], need->n[i] - n_free, &front, &n_bytes) ||
            __builtin_add_overflow(sum, n_bytes, &sum)) {
            return UINT64_MAX;
        }
        sum += pool == NULL ? sizeof(cpu_pool) : 0;
    }
    return sum;
}

/* ---- slabs ---- */
static bool slab_add(cpu_pool *pool, uint64_t n) {
    uint64_t front = 0, n_bytes = 0;
    cpu_slab *slab = NULL;
    if (slab_bytes(pool->block_bytes, n, &front, &n_bytes)) {
        slab = cpu_alloc_raw(n_bytes);
    }
    if (slab == NULL) {
        return false;
    }
    *slab = (cpu_slab){.next = pool->slabs, .n_bytes = n_bytes, .n_blocks = n, .n_free = n};
    for (uint64_t i = n; i-- > 0;) { /* the first ones are taken first */
        slab->blocks[i] = (cpu_block){.bytes = (uint8_t *)slab + front + i * pool->block_bytes,
                                      .pool = pool,
                                      .slab = slab,
                                      .next = slab->free};
        slab->free = &slab->blocks[i];
    }
    pool->slabs = slab;
    pool->n_blocks += n;
    pool->n_free += n;
    return true;
}

static void slabs_trim(cpu_pool *pool, bool all) {
    for (cpu_slab **link = &pool->slabs; *link != NULL;) {
        cpu_slab *slab = *link;
        uint64_t n_kept = all ? 0 : pool->n_kept;
        if (slab->n_free < slab->n_blocks || pool->n_blocks - slab->n_blocks < n_kept) {
            link = &slab->next;
            continue;
        }
        *link = slab->next;
        pool->n_blocks -= slab->n_blocks;
        pool->n_free -= slab->n_blocks;
        cpu_release(slab, slab->n_bytes);
    }
}

void cpu_pools_trim(cpu_pool **inout_pools, bool all) {
    for (cpu_pool **link = inout_pools; *link != NULL;) {
        cpu_pool *pool = *link;
        slabs_trim(pool, all);
        if (pool->n_blocks > 0) {
            link = &pool->next;
            continue;
        }
        *link = pool->next;
        cpu_release(pool, sizeof(*pool));
    }
}

static cpu_pool *find_or_add(cpu_pool **inout_pools, uint64_t block_bytes) {
    cpu_pool **link = inout_pools;
    while (*link != NULL && (*link)->block_bytes != block_bytes) {
        link = &(*link)->next;
    }
    if (*link == NULL) {
        *link = cpu_alloc(sizeof(cpu_pool));
        if (*link != NULL) {
            (*link)->block_bytes = block_bytes;
            atomic_flag_clear(&(*link)->spares_lock);
        }
    }
    return *link;
}

bool cpu_pools_reserve(cpu_pool **inout_pools, const cpu_block_need *need, bool keep) {
    bool ok = true;
    for (uint32_t i = 0; ok && i < need->n_sizes; i++) {
        uint64_t n = need->n[i];
        cpu_pool *pool = n > 0 ? find_or_add(inout_pools, need->block_bytes[i]) : NULL;
        if (pool == NULL) {
            ok = n == 0;
            continue;
        }
        uint64_t missing = n > pool->n_free ? n - pool->n_free : 0;
        if (keep && pool->n_kept + n > pool->n_blocks + missing) {
            missing = pool->n_kept + n - pool->n_blocks;
        }
        ok = missing == 0 || slab_add(pool, missing);
    }
    for (uint32_t i = 0; ok && keep && i < need->n_sizes; i++) {
        if (need->n[i] > 0) {
            find_or_add(inout_pools, need->block_bytes[i])->n_kept += need->n[i];
        }
    }
    if (!ok) {
        cpu_pools_trim(inout_pools, false);
    }
    return ok;
}

/* ---- blocks ---- */
bool cpu_pools_take(cpu_pool **inout_pools, uint64_t block_bytes, uint64_t n, cpu_block **out) {
    cpu_block_need need = {.n_sizes = 0};
    if (!cpu_need_add(&need, block_bytes, n) || !cpu_pools_reserve(inout_pools, &need, false)) {
        return false;
    }
    cpu_pool *pool = n > 0 ? find_or_add(inout_pools, block_bytes) : NULL;
    for (cpu_slab *slab = n > 0 ? pool->slabs : NULL; n > 0; slab = slab->next) {
        for (; n > 0 && slab->free != NULL; n--) {
            cpu_block *block = slab->free;
            slab->free = block->next;
            slab->n_free--;
            pool->n_free--;
            block->n_states = 1;
            *out++ = block;
        }
    }
    return true;
}

/* Held for a few instructions and one copy. */
static void lock(cpu_pool *pool) {
    while (atomic_flag_test_and_set_explicit(&pool->spares_lock, memory_order_acquire)) {}
}
static void unlock(cpu_pool *pool) {
    atomic_flag_clear_explicit(&pool->spares_lock, memory_order_release);
}

static cpu_block *take_spare(cpu_block *block) {
    cpu_block *spare = block->spares;
    block->spares = spare->next;
    block->n_states--;
    return spare;
}

void cpu_block_lend(cpu_block *shared, cpu_block *own) {
    lock(shared->pool);
    own->next = shared->spares;
    shared->spares = own;
    shared->n_states++;
    unlock(shared->pool);
}

cpu_block *cpu_block_own(cpu_block *block, uint64_t n_bytes) {
    cpu_pool *pool = block->pool;
    lock(pool);
    if (block->spares != NULL) {
        memcpy(block->spares->bytes, block->bytes, n_bytes); /* while nobody may write to it */
        block = take_spare(block);
    }
    unlock(pool);
    return block;
}

void cpu_block_drop(cpu_block *block) {
    cpu_pool *pool = block->pool;
    lock(pool);
    if (block->spares != NULL) { /* the others go on with one spare less */
        block = take_spare(block);
    }
    unlock(pool);
    cpu_slab *slab = block->slab;
    if (--block->n_states > 0) {
        return;
    }
    block->next = slab->free;
    slab->free = block;
    slab->n_free++;
    pool->n_free++;
}
