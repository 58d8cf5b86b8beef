/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state is a table of blocks of 64 positions. All blocks that max_tokens rows can need are taken
 * when it is made; a clone shares the full ones and takes the others. A state with a window has no
 * more blocks than the window and one step need, and when a step goes past the last one, the first
 * one becomes the last: so its table always begins at the block of `base`.
 */
#ifndef CPU_STATE_H
#define CPU_STATE_H

#include "attention.h"
#include "block_pool.h"
#include "plugin.h"

struct sy_state {
    sy_device *device;
    sy_state_description description;
    cpu_state_layout layout;
    cpu_block *head;    /* this struct and its table */
    uint64_t n_blocks;  /* of the table */
    uint64_t base;      /* number of the first one: position / CPU_BLOCK */
    uint64_t n_shared;  /* blocks below this number may be shared, the others are not */
    uint64_t low, high; /* rows [low, high) are there; high is only kept behind a window */
    cpu_block *blocks[];
};

static inline uint64_t cpu_state_head_bytes(uint64_t n_blocks) {
    return (sizeof(sy_state) + n_blocks * sizeof(cpu_block *) + 63) & ~(uint64_t)63;
}
static inline uint8_t *cpu_state_block(const sy_state *state, uint64_t number) {
    return state->blocks[number - state->base]->bytes;
}
/* The block of a position; in it the row is number position % CPU_BLOCK. */
static inline uint8_t *cpu_state_block_of(const sy_state *state, uint64_t position) {
    return cpu_state_block(state, position / CPU_BLOCK);
}
static inline bool cpu_state_is_windowed(const sy_state *state) {
    return state->description.window > 0 && state->description.step_tokens > 0;
}
/* The first row that a step at n_past reads. */
static inline uint64_t cpu_state_first_read(const sy_state *state, uint64_t n_past) {
    uint64_t window = cpu_state_is_windowed(state) ? state->description.window : 0;
    return window > 0 && n_past >= window ? n_past - window + 1 : 0;
}

/* state.c */
/* What a host of an earlier minor gave, the rest zero. */
void cpu_state_read_description(const sy_state_description *given, sy_state_description *out);
/* Checks a description and what it needs: the size of the head, and how many blocks. */
sy_status cpu_state_measure(const sy_state_description *description, cpu_state_layout *out_layout,
                            uint64_t *out_head_bytes, uint64_t *out_n_blocks);
sy_status cpu_state_check_range(const sy_state *state, uint64_t first, uint64_t count);
/* OUT_OF_RANGE where a window left rows behind that a step at n_rows reads. */
sy_status cpu_state_check_kept(const sy_state *state, uint64_t n_rows);
/* How many blocks from the one of row n_rows on are shared. */
uint64_t cpu_state_count_shared(const sy_state *state, uint64_t n_rows);
/* Takes blocks of its own for them, with their rows below n_rows or with all rows; changes nothing
 * where there is no memory. */
sy_status cpu_state_own(sy_state *state, uint64_t n_rows, bool keeps_all);
/* Readies the state for the rows of a step, before any of them is written. */
sy_status cpu_state_begin_step(sy_state *state, uint64_t n_past, uint64_t n_tokens);
/* Makes rows [low, high) those that are there, or as many of the last ones as fit. */
void cpu_state_move_to(sy_state *state, uint64_t low, uint64_t high);

#endif
