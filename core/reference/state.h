/* SPDX-License-Identifier: Apache-2.0 */
/* A state is a table of blocks of 16 canonical rows, counted by the states that hold them. */
#ifndef SY_REFERENCE_STATE_H
#define SY_REFERENCE_STATE_H

#include "reference/internal.h"

#define SY__STATE_ROWS 16u /* of a block */

struct sy_state {
    sy_device *device;
    sy_element_type type;
    uint32_t width;
    uint64_t row_bytes, max_tokens;
    uint64_t n_blocks, n_shared; /* blocks from number n_shared on are its own */
    sy__block *head;             /* this struct and its table */
    sy__block *blocks[];
};

typedef struct sy__state_size {
    uint64_t row_bytes, block_bytes, head_bytes, n_blocks;
} sy__state_size;

static inline uint8_t *sy__ref_state_row(const sy_state *state, uint64_t row) {
    return sy__block_bytes(state->blocks[row / SY__STATE_ROWS]) +
           row % SY__STATE_ROWS * state->row_bytes;
}

sy_status sy__ref_state_measure(sy_device *device, const sy_state_description *description,
                                sy__state_size *out_size);
sy_state_description sy__ref_state_describe(const sy_state *state, uint64_t max_tokens);
sy_status sy__ref_state_check_fork(const sy_state *state, uint64_t n_rows, uint64_t max_tokens);
/* Blocks from the one of row n_rows on that others hold too. */
uint64_t sy__ref_state_count_shared(const sy_state *state, uint64_t n_rows);

#endif
