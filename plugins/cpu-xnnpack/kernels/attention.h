/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention over one span of positions, for queries that share a group of heads.
 *
 * Keys and values lie in blocks of 64 positions, and the group's part of a block in one piece.
 * Keys run over positions first, so that scores need no sum across lanes; values are cells of 16
 * columns (32 for block types), each position by position. See state_layout.h for the bytes.
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
#define CPU_BLOCK 64u /* positions */
#define CPU_CELL 16u  /* columns of a cell of plain types */
#define CPU_SPAN_BLOCKS (CPU_SPAN / CPU_BLOCK)

/* Keys or values of one group in one span. */
typedef struct cpu_cells {
    const uint8_t *blocks[CPU_SPAN_BLOCKS]; /* the group's part of each */
    /* While a block is read, the same bytes behind these are asked for: what is read some 8 KB
     * later, in the order of keys, values and the next span. */
    const uint8_t *ahead[CPU_SPAN_BLOCKS];
    size_t factors_at; /* from a block's first cell to its f16 factors, 64 per cell; block types */
    sy_element_type type;
} cpu_cells;

/* From a byte of a block to the one that is asked for meanwhile. */
static inline ptrdiff_t cpu_cells_ahead(const cpu_cells *cells, size_t i_block) {
    return (ptrdiff_t)((uintptr_t)cells->ahead[i_block] - (uintptr_t)cells->blocks[i_block]);
}

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
#define CPU_WIDE_VALUES ((size_t)CPU_BLOCK * 2 * CPU_CELL) /* of a tile of columns */
static inline size_t cpu_attention_wide(size_t d) {
    size_t values = CPU_WIDE_VALUES + (size_t)8 * CPU_SPAN, keys = (size_t)32 * d;
    return keys > values ? keys : values;
}

struct cpu_attention_kernels {
    /* Fills out for one span. */
    void (*attend)(const cpu_attention *attention);
    /* inout becomes what both spans together give; the span of `later` lies behind. */
    void (*fold)(const cpu_partial *inout, const cpu_partial *later, size_t n_queries, size_t dv);
};

#endif
