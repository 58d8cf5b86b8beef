/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention over one span of positions, for queries that share a group of heads.
 *
 * Keys and values lie in blocks of 16 positions, each a row of cells of 16 columns (32 for block
 * types). In a cell, keys run over positions first, so that scores need no sum across lanes, and
 * values over columns first; see state_layout.h for the bytes. The group's cells of one block lie
 * side by side, the next block is block_bytes further on.
 *
 * Softmax works in powers of two: the factors log2(e) and scale are one multiplication. Within a
 * span a query's weights have one maximum; spans are put together by `fold`, always in the order of
 * the positions. So a query's bits depend on its position and the rows it sees, not on the other
 * queries of the call nor on who computed which span.
 */
#ifndef CPU_ATTENTION_H
#define CPU_ATTENTION_H

#include "kernels.h"

/* Running softmax of one query over blocks of keys. */
typedef struct cpu_softmax_state {
    float maximum, denominator;
} cpu_softmax_state;

#define CPU_SPAN 256u /* positions, from a multiple of it on */
#define CPU_BLOCK 16u /* positions */
#define CPU_CELL 16u  /* columns of a cell of plain types */

/* Keys or values of one group in one span, from the group's first cell in the first block on. */
typedef struct cpu_cells {
    const uint8_t *bytes, *scales; /* scales: f16, 16 per cell, block types only */
    size_t block_bytes;
    sy_element_type type;
} cpu_cells;

/* Positions [low, high) of a span. */
typedef struct cpu_positions {
    uint32_t low, high;
} cpu_positions;

/* Sums of weighted values, and what they are to be divided by: queries of one item. */
typedef struct cpu_partial {
    float *sums; /* [n_queries][cpu_attention_stride(dv)] */
    cpu_softmax_state *softmax;
} cpu_partial;

typedef struct cpu_attention {
    const float *q;       /* [n_queries][d] */
    const uint8_t *q_int; /* keys of block types: [n_queries] rows made by prepare */
    size_t d, dv, n_queries;
    size_t per_row;            /* queries that see the same positions: heads of the group */
    const cpu_positions *sees; /* [n_queries / per_row], neither end falls from row to row */
    cpu_cells keys, values;
    float scale, softcap;
    float *scores; /* [n_queries][CPU_SPAN] */
    float *wide;   /* cpu_attention_wide(d) floats: copies of cells, weights times factors */
    cpu_partial out;
} cpu_attention;

static inline size_t cpu_attention_stride(size_t dv) {
    return (dv + CPU_CELL - 1) / CPU_CELL * CPU_CELL;
}
#define CPU_WIDE_VALUES ((size_t)64 * 2 * CPU_CELL) /* positions of a pass, columns of a tile */
static inline size_t cpu_attention_wide(size_t d) {
    size_t values = CPU_WIDE_VALUES + (size_t)8 * CPU_SPAN, keys = 2 * CPU_BLOCK * d;
    return keys > values ? keys : values;
}

struct cpu_attention_kernels {
    /* Fills out for one span. */
    void (*attend)(const cpu_attention *attention);
    /* inout becomes what both spans together give; the span of `later` lies behind. */
    void (*fold)(const cpu_partial *inout, const cpu_partial *later, size_t n_queries, size_t dv);
};

#endif
