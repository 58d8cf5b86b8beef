/* SPDX-License-Identifier: Apache-2.0 */
/* Template: tile sizes of attention, and loads from the cells of plain types. Included after a
 * vector layer. */
#ifndef CPU_ATTENTION_CELLS_H
#define CPU_ATTENTION_CELLS_H

#include "attention.h"
#include "plain_load.h"
#include "rows_math.h"

#if VF == 16
#define TILE_QUERIES 8u
#define TILE_POSITIONS 32u /* for scores */
#define HALF_POSITIONS 64u /* of half as many queries */
#define TILE_CELLS 2u      /* of columns, for sums; twice as many of half as many queries */
#elif VF == 8
#define TILE_QUERIES 6u
#define TILE_POSITIONS 16u
#define HALF_POSITIONS 16u
#define TILE_CELLS 1u
#else
#define TILE_QUERIES 4u
#define TILE_POSITIONS 16u
#define HALF_POSITIONS 16u
#define TILE_CELLS 1u
#endif
#define PER_CELL (CPU_CELL / VF) /* vectors of a row of a cell */
#define SCORE_VECTORS (TILE_POSITIONS / VF)
#define HALF_VECTORS (HALF_POSITIONS / VF)
#define HAS_LONG_TILES (HALF_POSITIONS > TILE_POSITIONS)
#define SUM_VECTORS (2 * TILE_CELLS * PER_CELL) /* of half as many queries */
#define LINE_BYTES 64u                          /* that one request asks for */

/* CELL_WIDE: f32 copies, of keys TILE_POSITIONS of each column. CELL_Q4_HIGH: the last 16 columns
 * of Q4_0, where tiles have no more. */
typedef enum cell_kind {
    CELL_F32,
    CELL_F16,
    CELL_BF16,
    CELL_WIDE,
    CELL_Q8,
    CELL_Q4,
    CELL_Q4_HIGH
} cell_kind;

ALWAYS_INLINE plain_kind cell_plain(cell_kind kind) {
    return kind == CELL_F16 ? PLAIN_F16 : kind == CELL_BF16 ? PLAIN_BF16 : PLAIN_F32;
}
ALWAYS_INLINE size_t cell_element(cell_kind kind) {
    return plain_bytes(cell_plain(kind));
}
ALWAYS_INLINE vfloat cell_load(const uint8_t *p, cell_kind kind) {
    return plain_load(p, cell_plain(kind));
}
ALWAYS_INLINE void look_ahead(const uint8_t *p, cell_kind kind) {
    if (kind != CELL_WIDE) {
        __builtin_prefetch(p);
    }
}

/* 2^x for x <= 0; below 2^-126 zero. NaN stays. */
static inline vfloat exp2_below(vfloat x) {
    static const float fit[] = {1.0f,           0.693147182f,   0.240226507f,   0.0555035695f,
                                0.00961808302f, 0.00133908633f, 0.000154531634f};
    x = vf_max(vf_set1(-127.0f), x);
    vfloat n = vf_round(x), r = x - n;
    vfloat y = vf_set1(fit[6]);
#pragma GCC unroll 6
    for (int i = 5; i >= 0; i--) {
        y = vf_fma(y, r, vf_set1(fit[i]));
    }
#if VF == 16
    return _mm512_scalef_ps(y, n);
#else
    return y * (vfloat)((vf_to_int(n) + 127) << 23);
#endif
}

/* Calls body with a constant number of queries, 1 to TILE_QUERIES or half as many. */
#define WITH_N(n, body) \
    case n:             \
        body(n);        \
        break;
#if TILE_QUERIES == 8
#define WITH_HALF(body) WITH_N(1u, body) WITH_N(2u, body) WITH_N(3u, body) WITH_N(4u, body)
#define WITH_REST(body) WITH_N(5u, body) WITH_N(6u, body) WITH_N(7u, body) WITH_N(8u, body)
#elif TILE_QUERIES == 6
#define WITH_HALF(body) WITH_N(1u, body) WITH_N(2u, body) WITH_N(3u, body)
#define WITH_REST(body) WITH_N(4u, body) WITH_N(5u, body) WITH_N(6u, body)
#else
#define WITH_HALF(body) WITH_N(1u, body) WITH_N(2u, body)
#define WITH_REST(body) WITH_N(3u, body) WITH_N(4u, body)
#endif
#define WITH_QUERIES(n, body) \
    switch (n) { WITH_HALF(body) WITH_REST(body) }
#define WITH_HALF_QUERIES(n, body) \
    switch (n) { WITH_HALF(body) }
#define IS_HALF(n_q) (2 * (n_q) <= TILE_QUERIES)

/* TILE_POSITIONS of n columns; those `ahead` bytes further on are asked for. */
static void widen(sy_element_type type, const uint8_t *from, size_t n, ptrdiff_t ahead,
                  float *out) {
    for (size_t i = 0; i < n; i++, from += 2 * CPU_BLOCK, out += TILE_POSITIONS) {
        __builtin_prefetch(from + ahead);
#pragma GCC unroll 4
        for (unsigned v = 0; v < SCORE_VECTORS; v++) {
            const uint8_t *p = from + 2 * VF * v;
            vf_store(out + v * VF,
                     type == SY_TYPE_F16 ? cell_load(p, CELL_F16) : cell_load(p, CELL_BF16));
        }
    }
}

static bool is_block_type(sy_element_type type) {
    return type == SY_TYPE_Q8_0 || type == SY_TYPE_Q4_0;
}

/* What the queries [first, first + n) of the call see together. */
static cpu_positions seen_by(const cpu_attention *a, size_t first, size_t n) {
    return (cpu_positions){a->sees[first / a->per_row].low,
                           a->sees[(first + n - 1) / a->per_row].high};
}

#endif
