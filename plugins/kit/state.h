/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States (sy_plugin.h section 9): what each holds, in blocks of 64 positions of a storage. All
 * blocks that max_tokens rows can need are taken when a state is made; a clone shares the full ones
 * and takes the others. A state with a window has no more blocks than the window and one step need,
 * and when a step goes past the last one, the first one becomes the last: so its table always
 * begins at the block of `base`.
 *
 * Where the blocks of a state lie in one slab, a clone shares only what lies in the slab from which
 * it gets the others; where that is full, it is a copy in another one, and so is a state that would
 * take blocks of its own and finds no room beside the others.
 *
 * After an error of the storage a state has the rows that it had, but where rows were written to:
 * after a shift those from `to` on, after a load those from `first` on hold anything.
 */
#ifndef KIT_STATE_H
#define KIT_STATE_H

#include "block_pool.h"

#define KIT_BLOCK_ROWS 64u

/* What a device has of states; zeroed but for the first two. */
typedef struct kit_states {
    const kit_storage *storage;
    atomic_ullong *live_handles; /* counts the states too */
    kit_pool *pools;
} kit_states;

struct sy_state {
    kit_states *states;
    sy_state_description description;
    kit_state_sizes sizes;
    void *own; /* of the storage */
    /* This struct, its table and what is the storage's own: always in host memory. */
    kit_block *head;
    kit_slab *slab;     /* where the blocks of a state lie in one; NULL without blocks */
    uint64_t version;   /* rises whenever the table, base or slab change; never 0 */
    uint64_t n_blocks;  /* of the table */
    uint64_t base;      /* number of the first one: position / KIT_BLOCK_ROWS */
    uint64_t n_shared;  /* blocks below this number may be shared, the others are not */
    uint64_t low, high; /* rows [low, high) are there; without a window none from high on */
    kit_block *blocks[];
};

/* The block with this number: of the positions from number * KIT_BLOCK_ROWS on. */
static inline kit_block *kit_state_block(const sy_state *state, uint64_t number) {
    return state->blocks[number - state->base];
}
static inline uint64_t kit_blocks_of(uint64_t n_rows) {
    return n_rows / KIT_BLOCK_ROWS + (n_rows % KIT_BLOCK_ROWS != 0);
}
static inline bool kit_state_is_windowed(const sy_state *state) {
    return state->description.window > 0 && state->description.step_tokens > 0;
}
/* The first row that a step at n_past reads. */
static inline uint64_t kit_state_first_read(const sy_state *state, uint64_t n_past) {
    uint64_t window = kit_state_is_windowed(state) ? state->description.window : 0;
    return window > 0 && n_past >= window ? n_past - window + 1 : 0;
}

/* ---- the calls of sy_plugin.h; those of a device with its kit_states ---- */
sy_status kit_state_create(kit_states *states, const sy_state_description *description,
                           sy_state **out_state);
sy_status kit_state_clone(sy_state *state, uint64_t n_rows, sy_state **out_state);
sy_status kit_state_fork(sy_state *state, uint64_t n_rows, uint64_t max_tokens,
                         sy_state **out_state);
sy_status kit_state_truncate(sy_state *state, uint64_t n_rows);
sy_status kit_state_destroy(sy_state *state);
sy_status kit_state_shift(sy_state *state, uint64_t first, uint64_t count, uint64_t to);
sy_status kit_state_save(sy_state *state, uint64_t first, uint64_t count, void *out_rows,
                         uint64_t n_bytes);
sy_status kit_state_load(sy_state *state, uint64_t first, uint64_t count, const void *rows,
                         uint64_t n_bytes);
sy_status kit_state_need(kit_states *states, const sy_state_request *requests, size_t stride,
                         uint32_t n_requests, sy_state_usage *out_usage);
sy_status kit_state_reserve(kit_states *states, const sy_state_request *requests, size_t stride,
                            uint32_t n_requests, uint32_t keep);
/* Before the device closes: all states are gone. */
void kit_states_deinit(kit_states *states);

/* Readies the state for the rows of a step, before any of them is written; a job calls it. Takes no
 * memory and moves no rows. */
sy_status kit_state_begin_step(sy_state *state, uint64_t n_past, uint64_t n_tokens);

/* One request as this build knows it, its count at least 1. */
sy_state_request kit_state_request_at(const sy_state_request *requests, size_t stride, uint32_t i);

/* ---- among the files of the kit ---- */
/* What a host of an earlier minor gave, the rest zero. */
void kit_state_read_description(const sy_state_description *given, sy_state_description *out);
typedef struct kit_state_measures {
    kit_state_sizes sizes;
    uint64_t head_bytes, n_blocks;
} kit_state_measures;
/* Checks a description and what it needs. */
sy_status kit_state_measure(const kit_states *states, const sy_state_description *description,
                            kit_state_measures *out_measures);
uint64_t kit_state_head_bytes(const kit_storage *storage, uint64_t n_blocks);
sy_status kit_state_check_range(const sy_state *state, uint64_t first, uint64_t count);
typedef struct kit_fork {
    sy_state_description description;
    kit_state_measures measures;
    uint64_t n_given; /* blocks that it does not take where it shares */
} kit_fork;
/* Checks a fork and says what it would be. */
sy_status kit_state_check_fork(const sy_state *state, uint64_t n_rows, uint64_t max_tokens,
                               kit_fork *out_fork);
/* OUT_OF_RANGE where a window left rows behind that a step at n_rows reads. */
sy_status kit_state_check_kept(const sy_state *state, uint64_t n_rows);
/* Whether n more blocks have room where the state's lie. */
bool kit_state_has_room(const sy_state *state, uint64_t n);
/* How many blocks of the table from the one of row n_rows on are shared. */
uint64_t kit_state_count_shared(const sy_state *state, uint64_t n_rows);
/* Takes blocks of its own for them, with their rows below n_rows or with all rows; changes nothing
 * where there is no memory. */
sy_status kit_state_own(sy_state *state, uint64_t n_rows, bool keeps_all);
/* Makes rows [low, high) those that are there, or as many of the last ones as fit. */
void kit_state_move_to(sy_state *state, uint64_t low, uint64_t high);

#endif
