/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of equal size, counted by the states that hold them. A pool has the blocks of one size in
 * one storage; it takes slabs of them, only in the calls below, and gives a slab back when all of
 * it is free and not kept. Where the blocks of a state lie together, a slab has room for whole
 * states of one number of blocks; other states take room in it that is left.
 * Calls on one device come from one thread at a time, but for kit_block_own, which steps call.
 * Answers RESOURCE_EXHAUSTED are not reported yet; others are, by the storage.
 */
#ifndef KIT_BLOCK_POOL_H
#define KIT_BLOCK_POOL_H

#include "storage.h"

#include <stdatomic.h>

typedef struct kit_slab kit_slab;
typedef struct kit_pool kit_pool;

struct kit_block {
    uint8_t *bytes; /* where the host reaches it, else NULL; never cleared */
    kit_slab *slab;
    kit_block *next;   /* free ones, and spares */
    uint32_t n_states; /* that hold it */
    /* Behind a window every block is written again: one that k states hold has k - 1 spares, so
     * that all but the last of them find another when they come to it. */
    kit_block *spares;
};

struct kit_slab {
    kit_memory memory;
    kit_pool *pool;
    kit_slab *next;
    kit_block *free;
    uint64_t n_blocks, n_free;
    /* Where the blocks of a state lie together: */
    uint64_t n_together; /* blocks of the states it was made for */
    uint64_t n_kept;     /* blocks that stay in the pool */
    uint64_t n_planned;  /* of those that are free, by the newest kit_need */
    kit_block blocks[];
};

struct kit_pool {
    kit_pool *next;
    const kit_storage *storage;
    kit_slab *slabs;
    uint64_t block_bytes, n_blocks, n_free;
    uint64_t n_kept; /* where blocks lie in any slab */
    atomic_flag spares_lock;
};

/* Number of a block in its slab: it begins at that many times block_bytes. */
static inline uint64_t kit_block_index(const kit_block *block) {
    return (uint64_t)(block - block->slab->blocks);
}
static inline bool kit_is_one_slab(const kit_storage *storage) {
    return storage->one_slab_bytes_most > 0;
}

/* ---- block_need.c: what calls would take, before they do ---- */
#define KIT_NEEDS_MOST 32u
typedef struct kit_need_size {
    const kit_storage *storage;
    uint64_t block_bytes;
    uint64_t n_together; /* blocks of a state that lie together; 0: they lie anywhere */
    uint64_t n;          /* blocks, or with n_together states for which there is no room */
} kit_need_size;

typedef struct kit_need {
    kit_need_size sizes[KIT_NEEDS_MOST];
    uint32_t n_sizes;
    bool keeps;
    uint64_t own_bytes; /* of all blocks, with what a slab keeps for each */
} kit_need;

/* Forgets what was planned before. keeps: the blocks will be kept. */
void kit_need_init(kit_need *need, kit_pool *pools, bool keeps);
/* n blocks anywhere; false when there are too many sizes or blocks to be counted. */
bool kit_need_add(kit_need *need, const kit_storage *storage, uint64_t block_bytes, uint64_t n);
/* The blocks of `count` states, n of each together. */
bool kit_need_add_together(kit_need *need, const kit_pool *pools, const kit_storage *storage,
                           uint64_t block_bytes, uint64_t n, uint64_t count);
/* The same in a given slab: for as many of them as it has room for; answers how many. */
uint64_t kit_need_add_in(kit_need *need, kit_slab *slab, uint64_t n, uint64_t count);
/* Of a slab: what counts its blocks, in host memory, and the blocks; false when that is too much to
 * be counted. */
bool kit_slab_bytes(uint64_t block_bytes, uint64_t n, uint64_t *out_counts, uint64_t *out_blocks);
uint64_t kit_block_cost(uint64_t block_bytes);
/* What host->alloc would be asked for; UINT64_MAX when it cannot be counted. */
uint64_t kit_need_new_bytes(const kit_pool *pools, const kit_need *need);
/* Whole states that a new slab has room for, and its blocks for so many. */
uint64_t kit_need_states_of_slab(const kit_need_size *size);
uint64_t kit_need_blocks_of_slab(const kit_need_size *size, uint64_t n_states);

/* ---- block_pool.c ---- */
const kit_pool *kit_pools_find(const kit_pool *pools, const kit_storage *storage,
                               uint64_t block_bytes);
/* Makes room for a need, or changes nothing. Afterwards the calls that were counted find it, if
 * they come in that order or all their states have their rooms in slabs of their own size. */
sy_status kit_pools_reserve(kit_pool **inout_pools, const kit_need *need);
/* Takes n blocks of a size, each held once. Where the blocks of a state lie together: all from
 * `slab`, which has so many, or with NULL from one that has or is made. */
sy_status kit_pools_take(kit_pool **inout_pools, const kit_storage *storage, uint64_t block_bytes,
                         uint64_t n, kit_slab *slab, kit_block **out);
/* The state that holds `own` holds `shared` instead, whose spare `own` becomes. */
void kit_block_lend(kit_block *shared, kit_block *own);
/* The block to write to instead of one that has spares: itself, or a spare, with a copy of what is
 * in it where that is asked for. Without a copy it cannot fail. */
sy_status kit_block_own(kit_block *block, bool copies, kit_block **out_block);
/* One state less holds the block. */
void kit_block_drop(kit_block *block);
/* Gives back slabs that are free and not kept; with all, the kept ones too. */
void kit_pools_trim(kit_pool **inout_pools, bool all);

#endif
