/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention over one span of positions, for queries that share a group of heads.
 *
 * Keys and values lie in blocks of 64 positions, each four strips of 16, and a strip is a row of
 * cells of 16 columns (32 for block types). In a cell, keys run over positions first, so that
 * scores need no sum across lanes, and values over columns first; see state_layout.h for the bytes.
 * The group's cells of one strip lie side by side, the next strip of the block is strip_bytes
 * further on, the next block anywhere.
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
#define CPU_STRIP 16u /* positions */
#define CPU_CELL 16u  /* columns of a cell of plain types */
#define CPU_BLOCK_STRIPS (CPU_BLOCK / CPU_STRIP)
#define CPU_SPAN_STRIPS (CPU_SPAN / CPU_STRIP)
#define CPU_SPAN_BLOCKS (CPU_SPAN / CPU_BLOCK)

/* Keys or values of one group in one span. */
typedef struct cpu_cells {
    /* The group's first cell in each block; those of the next span are only asked for early. */
    const uint8_t *blocks[2 * CPU_SPAN_BLOCKS];
    size_t scales_at; /* from a strip's first cell to its f16 factors, 16 per cell; block types */
    size_t strip_bytes;
    size_t n_ahead; /* from a strip to the one that is asked for early */
    sy_element_type type;
} cpu_cells;

static inline const uint8_t *cpu_strip(const cpu_cells *cells, size_t i_strip) {
    return cells->blocks[i_strip / CPU_BLOCK_STRIPS] +
           i_strip % CPU_BLOCK_STRIPS * cells->strip_bytes;
}
/* From a strip to the one n <= CPU_SPAN_STRIPS further on. */
static inline ptrdiff_t cpu_strip_ahead(const cpu_cells *cells, size_t i_strip, size_t n) {
    uintptr_t here = (uintptr_t)cpu_strip(cells, i_strip);
    return (ptrdiff_t)((uintptr_t)cpu_strip(cells, i_strip + n) - here);
}

/* Strips to look ahead: 8 KB of a group, an even number. group_bytes: of the group in one strip. */
static inline size_t cpu_strips_ahead(size_t group_bytes) {
    size_t n = (8192 / group_bytes + 1) & ~(size_t)1;
    return n < 2 ? 2 : n > CPU_SPAN_STRIPS ? CPU_SPAN_STRIPS : n;
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
#define CPU_WIDE_VALUES ((size_t)64 * 2 * CPU_CELL) /* positions of a pass, columns of a tile */
static inline size_t cpu_attention_wide(size_t d) {
    size_t values = CPU_WIDE_VALUES + (size_t)8 * CPU_SPAN, keys = 2 * CPU_STRIP * d;
    return keys > values ? keys : values;
}

struct cpu_attention_kernels {
    /* Fills out for one span. */
    void (*attend)(const cpu_attention *attention);
    /* inout becomes what both spans together give; the span of `later` lies behind. */
    void (*fold)(const cpu_partial *inout, const cpu_partial *later, size_t n_queries, size_t dv);
};

#endif
