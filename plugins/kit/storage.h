/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the blocks of states lie, which is what a delegate brings to the bookkeeping of state.h:
 * host memory, or buffers of a device. Calls that move rows may fail, e.g. when a device is lost;
 * they report why, and what they would have written holds anything, but for out_rows. What they
 * move is there before anything that a later job or call reads or writes.
 */
#ifndef KIT_STORAGE_H
#define KIT_STORAGE_H

#include "host.h"

typedef struct kit_block kit_block;

/* Memory of a slab, a row of blocks of equal size. */
typedef struct kit_memory {
    void *handle;   /* means something to the storage alone */
    uint8_t *bytes; /* where the host reaches it, else NULL; 64-byte aligned */
} kit_memory;

typedef struct kit_state_sizes {
    uint64_t row_bytes;   /* canonical */
    uint64_t block_bytes; /* of KIT_BLOCK_ROWS rows as they lie, a multiple of 64 */
} kit_state_sizes;

typedef struct kit_storage {
    void *self; /* first argument of every call */
    /* 0: blocks of a state lie in any slabs. Else in one slab, and no slab has more bytes. */
    uint64_t one_slab_bytes_most;
    /* Slabs have as many, then, where there is memory, even if less is asked for: what is left in
     * them is room for clones, which share nothing where there is none. */
    uint64_t one_slab_bytes_least;
    size_t own_bytes; /* that the storage keeps beside every state, at sy_state.own */

    /* NULL, both: slabs are host memory. */
    sy_status (*slab_make)(void *self, uint64_t n_bytes, kit_memory *out_memory);
    void (*slab_free)(void *self, const kit_memory *memory, uint64_t n_bytes);
    bool asks_host; /* slab_make asks host->alloc for the blocks, so that they are new_bytes */
    size_t slab_own_bytes; /* of host->alloc that it takes beside them */
    /* Whole blocks, from[i] to to[i]. No block is on both sides. */
    sy_status (*blocks_copy)(void *self, kit_block *const *from, kit_block *const *to, uint64_t n);

    /* INVALID_ARGUMENT, said in words, for rows that the storage does not have. */
    sy_status (*measure)(void *self, const sy_state_description *description,
                         kit_state_sizes *out_sizes);
    /* Readies state->own, which is zeroed, and takes back what it holds. Either may be NULL. */
    sy_status (*state_init)(void *self, sy_state *state);
    void (*state_deinit)(void *self, sy_state *state);

    /* Rows [first, first + count) to `to` < first; the two ranges may overlap. */
    sy_status (*rows_move)(void *self, sy_state *state, uint64_t first, uint64_t count,
                           uint64_t to);
    /* Canonical rows. out_rows is written on success only. */
    sy_status (*rows_read)(void *self, const sy_state *state, uint64_t first, uint64_t count,
                           uint8_t *out_rows);
    sy_status (*rows_write)(void *self, sy_state *state, uint64_t first, uint64_t count,
                            const uint8_t *rows);
} kit_storage;

/* Host memory without rows. */
extern const kit_storage kit_host_storage;
sy_status kit_host_blocks_copy(void *self, kit_block *const *from, kit_block *const *to,
                               uint64_t n);

#endif
