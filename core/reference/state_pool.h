/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of memory that states count and share. A block is an allocation of its own; those that a
 * host reserved wait in the device's list of spare ones.
 */
#ifndef SY_REFERENCE_STATE_POOL_H
#define SY_REFERENCE_STATE_POOL_H

#include "base/memory.h"

typedef struct sy__block {
    struct sy__block *next; /* spare ones */
    uint64_t n_bytes;       /* of its memory, behind this */
    uint32_t n_states;      /* that hold it */
    bool is_kept;           /* goes back to the spare ones, not to the host */
} sy__block;

typedef struct sy__block_pool {
    const sy_allocator *allocator;
    sy__block *spare;
} sy__block_pool;

/* How many blocks of which size calls would take. */
#define SY__SIZES_MOST 32u
typedef struct sy__block_need {
    uint64_t n_bytes[SY__SIZES_MOST], n[SY__SIZES_MOST];
    uint32_t n_sizes;
} sy__block_need;

static inline uint8_t *sy__block_bytes(sy__block *block) {
    return (uint8_t *)block + SY__ALIGNMENT;
}
static inline uint64_t sy__block_cost(uint64_t n_bytes) {
    return n_bytes + SY__ALIGNMENT;
}

/* False when there are too many sizes or bytes to be counted. */
bool sy__need_add(sy__block_need *need, uint64_t n_bytes, uint64_t n);
/* All that is needed, and what of it the pool lacks. */
void sy__need_count(const sy__block_need *need, const sy__block_pool *pool, uint64_t *out_bytes,
                    uint64_t *out_new_bytes);
/* Makes as many blocks spare; changes nothing and answers false where memory is refused. */
bool sy__pool_reserve(sy__block_pool *pool, const sy__block_need *need, bool keep);
/* A block of zeros, held once; NULL where memory is refused, never after a reserve for it. */
sy__block *sy__pool_take(sy__block_pool *pool, uint64_t n_bytes);
/* One state less holds it; NULL is fine. */
void sy__pool_drop(sy__block_pool *pool, sy__block *block);
/* Gives back spare blocks that are not kept, or all of them. */
void sy__pool_trim(sy__block_pool *pool, bool all);

#endif
