/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of equal size, counted by the states that hold them. A device has a pool for every size;
 * a pool gets memory from the host in slabs, only in the calls below, and gives a slab back when
 * all of it is free and the pool keeps what was reserved without it.
 * Calls on one device come from one thread at a time, but for cpu_block_own, which steps call.
 */
#ifndef CPU_BLOCK_POOL_H
#define CPU_BLOCK_POOL_H

#include "sy_plugin.h"

#include <stdbool.h>

typedef struct cpu_slab cpu_slab;
typedef struct cpu_pool cpu_pool;

typedef struct cpu_block {
    uint8_t *bytes; /* 64-byte aligned, never cleared */
    cpu_pool *pool;
    cpu_slab *slab;
    struct cpu_block *next; /* free ones, and spares */
    uint32_t n_states;      /* that hold it */
    /* Behind a window every block is written again: one that k states hold has k - 1 spares, so
     * that all but the last of them find another when they come to it. */
    struct cpu_block *spares;
} cpu_block;

/* How many blocks of which size calls would take. */
#define CPU_SIZES_MOST 32u
typedef struct cpu_block_need {
    uint64_t block_bytes[CPU_SIZES_MOST], n[CPU_SIZES_MOST];
    uint32_t n_sizes;
} cpu_block_need;

/* False when there are too many sizes or blocks to be counted. */
bool cpu_need_add(cpu_block_need *need, uint64_t block_bytes, uint64_t n);
/* With what a pool keeps for each block. */
uint64_t cpu_block_cost(uint64_t block_bytes);
uint64_t cpu_need_bytes(const cpu_block_need *need);
/* What the host would be asked for; UINT64_MAX when it cannot be counted. */
uint64_t cpu_need_new_bytes(const cpu_pool *pools, const cpu_block_need *need);

/* Makes as many blocks free, or changes nothing and answers false. Kept blocks stay in the pool. */
bool cpu_pools_reserve(cpu_pool **inout_pools, const cpu_block_need *need, bool keep);
/* Takes n blocks of a size, each held once; after a reserve for them it cannot fail. */
bool cpu_pools_take(cpu_pool **inout_pools, uint64_t block_bytes, uint64_t n, cpu_block **out);
/* The state that holds `own` holds `shared` instead, whose spare `own` becomes. */
void cpu_block_lend(cpu_block *shared, cpu_block *own);
/* The block to write to instead of one that has spares: itself, or a spare, with n_bytes copied. */
cpu_block *cpu_block_own(cpu_block *block, uint64_t n_bytes);
/* One state less holds the block. */
void cpu_block_drop(cpu_block *block);
/* Gives back slabs that are free and not kept; with all, the kept ones too. */
void cpu_pools_trim(cpu_pool **inout_pools, bool all);

#endif
