/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a state keeps its rows. Outside, a row is canonical: its elements or blocks side by side.
 * Here 64 rows are a block of the pool, and a block is a row of cells: 16 columns of a plain type,
 * 32 of Q8_0 and Q4_0, whose f16 factors lie behind all cells of the block, 64 for each cell. So
 * what a group of heads has of a block lies together.
 *   keys, plain:    cell[column][position]
 *   keys, Q8_0:     cell[8][position][4 bytes], Q4_0: cell[4][position][4 bytes], as dot products
 *                   of four bytes take them
 *   values:         cell[position][columns]
 * Rows past the last one written hold anything.
 */
#ifndef CPU_STATE_LAYOUT_H
#define CPU_STATE_LAYOUT_H

#include "attention.h"
#include "state.h"

typedef struct cpu_state_layout {
    sy_element_type type;
    bool by_position;                 /* keys */
    uint32_t cell_columns;            /* 16 or 32 */
    uint32_t cell_row_bytes;          /* of one position in one cell, without the factor */
    uint64_t row_bytes;               /* canonical */
    uint64_t block_bytes, factors_at; /* factors_at: in a block, 0 for plain types */
} cpu_state_layout;

static inline const cpu_state_layout *cpu_layout_of(const sy_state *state) {
    return state->own;
}
static inline uint8_t *cpu_state_block(const sy_state *state, uint64_t number) {
    return kit_state_block(state, number)->bytes;
}
/* The block of a position; in it the row is number position % CPU_BLOCK. */
static inline uint8_t *cpu_state_block_of(const sy_state *state, uint64_t position) {
    return cpu_state_block(state, position / CPU_BLOCK);
}

/* False for types that states do not have, and for sizes without meaning. */
bool cpu_state_layout_of(sy_element_type type, uint32_t role, uint32_t width,
                         cpu_state_layout *out_layout);
/* Columns [first, first + n) of row `slot` of a block, canonical bytes; whole blocks of a block
 * type. */
void cpu_state_put(const cpu_state_layout *layout, uint8_t *block, uint64_t slot, uint64_t first,
                   uint64_t n, const uint8_t *bytes);
void cpu_state_get(const cpu_state_layout *layout, const uint8_t *block, uint64_t slot,
                   uint64_t first, uint64_t n, uint8_t *out_bytes);

#endif
