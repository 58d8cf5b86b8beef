/* SPDX-License-Identifier: Apache-2.0 */
/* Template: scores of queries x positions in register tiles. A product has one chain of additions
 * over d whatever the tile. Few queries read f16 keys where they are; many widen them to f32 once.
 * Keys of block types are multiplied as integers with q in two planes of 8 bits. */
#ifndef CPU_ATTENTION_SCORES_H
#define CPU_ATTENTION_SCORES_H

#include "attention_cells.h"
#include "attention_dot.h"

#define INT_VECTORS 2u /* of positions, for half as many queries */

/* One tile of queries at a tile of positions. */
typedef struct scores_work {
    const float *q;
    size_t d;
    const uint8_t *keys;
    ptrdiff_t ahead; /* to what is asked for early */
    float scale;
    float *scores;
    bool is_long; /* HALF_POSITIONS of them */
} scores_work;

/* From the positions of a column to those of the next one. */
ALWAYS_INLINE size_t column_bytes(cell_kind kind) {
    return (kind == CELL_WIDE ? TILE_POSITIONS : CPU_BLOCK) * cell_element(kind);
}

/* n_v vectors of positions. */
ALWAYS_INLINE void scores_tile(const scores_work *w, unsigned n_q, unsigned n_v, cell_kind kind) {
    vfloat sums[TILE_QUERIES][HALF_VECTORS];
    const size_t vector_bytes = VF * cell_element(kind), d = w->d;
    const uint8_t *keys = w->keys;
#pragma GCC unroll 8
    for (unsigned j = 0; j < n_q; j++) {
#pragma GCC unroll 4
        for (unsigned v = 0; v < n_v; v++) {
            sums[j][v] = vf_set1(0.0f);
        }
    }
    for (size_t i = 0; i < d; i++, keys += column_bytes(kind)) {
        vfloat k[HALF_VECTORS];
#pragma GCC unroll 4
        for (unsigned v = 0; v < n_v; v++) {
            k[v] = cell_load(keys + v * vector_bytes, kind);
            if (v * vector_bytes % LINE_BYTES == 0) {
                look_ahead(keys + v * vector_bytes + w->ahead, kind);
            }
        }
#pragma GCC unroll 8
        for (unsigned j = 0; j < n_q; j++) {
            vfloat x = vf_set1(w->q[j * d + i]);
#pragma GCC unroll 4
            for (unsigned v = 0; v < n_v; v++) {
                sums[j][v] = vf_fma(x, k[v], sums[j][v]);
            }
        }
    }
#pragma GCC unroll 8
    for (unsigned j = 0; j < n_q; j++) {
#pragma GCC unroll 4
        for (unsigned v = 0; v < n_v; v++) {
            vf_store(w->scores + j * CPU_SPAN + v * VF, sums[j][v] * vf_set1(w->scale));
        }
    }
}

typedef void (*scores_function)(const scores_work *work, size_t n_q);
#define SCORES_KIND(name, kind)                                    \
    static void scores_##name(const scores_work *work, size_t n) { \
        if (HAS_LONG_TILES && work->is_long) {                     \
            WITH_HALF_QUERIES(n, SCORES_LONG_##name)               \
        } else {                                                   \
            WITH_QUERIES(n, SCORES_BODY_##name)                    \
        }                                                          \
    }
#define SCORES_BODY_f32(n) scores_tile(work, n, SCORE_VECTORS, CELL_F32)
#define SCORES_BODY_f16(n) scores_tile(work, n, SCORE_VECTORS, CELL_F16)
#define SCORES_BODY_bf16(n) scores_tile(work, n, SCORE_VECTORS, CELL_BF16)
#define SCORES_BODY_wide(n) scores_tile(work, n, SCORE_VECTORS, CELL_WIDE)
#define SCORES_LONG_f32(n) scores_tile(work, n, HALF_VECTORS, CELL_F32)
#define SCORES_LONG_f16(n) scores_tile(work, n, HALF_VECTORS, CELL_F16)
#define SCORES_LONG_bf16(n) scores_tile(work, n, HALF_VECTORS, CELL_BF16)
#define SCORES_LONG_wide(n) (void)0
SCORES_KIND(f32, CELL_F32)
SCORES_KIND(f16, CELL_F16)
SCORES_KIND(bf16, CELL_BF16)
SCORES_KIND(wide, CELL_WIDE)
#undef SCORES_KIND

static void scores_at(const cpu_attention *a, uint32_t position, bool is_long,
                      scores_function run) {
    size_t i_block = position / CPU_BLOCK, n_positions = is_long ? HALF_POSITIONS : TILE_POSITIONS;
    size_t element = a->keys.type == SY_TYPE_F32 ? 4 : 2;
    scores_work w = {.d = a->d,
                     .keys = a->keys.blocks[i_block] + position % CPU_BLOCK * element,
                     .ahead = cpu_cells_ahead(&a->keys, i_block),
                     .scale = a->scale,
                     .is_long = is_long};
    if (a->n_queries > TILE_QUERIES && a->keys.type != SY_TYPE_F32) {
        widen(a->keys.type, w.keys, a->d, w.ahead, a->wide);
        w.keys = (const uint8_t *)a->wide;
        run = scores_wide;
    }
    for (size_t j = 0; j < a->n_queries; j += TILE_QUERIES) {
        size_t n = a->n_queries - j < TILE_QUERIES ? a->n_queries - j : TILE_QUERIES;
        cpu_positions seen = seen_by(a, j, n);
        if (seen.low < position + n_positions && seen.high > position) {
            w.q = a->q + j * a->d;
            w.scores = a->scores + j * CPU_SPAN + position;
            run(&w, n);
        }
    }
}

static void scores_plain(const cpu_attention *a) {
    scores_function run = a->keys.type == SY_TYPE_F32   ? scores_f32
                          : a->keys.type == SY_TYPE_F16 ? scores_f16
                                                        : scores_bf16;
    cpu_positions seen = seen_by(a, 0, a->n_queries);
    uint32_t p = seen.low / TILE_POSITIONS * TILE_POSITIONS;
    while (p < seen.high) {
        bool is_long = HAS_LONG_TILES && IS_HALF(a->n_queries) && p % HALF_POSITIONS == 0 &&
                       seen.high - p > TILE_POSITIONS;
        scores_at(a, p, is_long, run);
        p += is_long ? HALF_POSITIONS : TILE_POSITIONS;
    }
}

/* ---- keys of block types ---- */
/* One tile of queries, and where its keys lie. */
typedef struct int_work {
    const uint8_t *q;
    size_t q_bytes, d;
    const uint8_t *keys, *factors;
    ptrdiff_t ahead;
    float scale;
    float *scores;
} int_work;

/* Sums of products in two planes. */
typedef struct int_sums {
    vint high[TILE_QUERIES][INT_VECTORS], low[TILE_QUERIES][INT_VECTORS];
} int_sums;

/* Four columns: k holds their keys, a vector for every vector of positions. */
ALWAYS_INLINE void scores_int_four(int_sums *sums, const vint *k, const uint8_t *q, size_t q_bytes,
                                   unsigned n_q, unsigned n_v, bool is_small) {
#pragma GCC unroll 8
    for (unsigned j = 0; j < n_q; j++) {
        vint high = dot_four(q + j * q_bytes), low = dot_four(q + j * q_bytes + 32);
#pragma GCC unroll 2
        for (unsigned v = 0; v < n_v; v++) {
            sums->high[j][v] = is_small ? dot_small(sums->high[j][v], k[v], high)
                                        : dot_signed(sums->high[j][v], k[v], high);
            sums->low[j][v] = is_small ? dot_small(sums->low[j][v], k[v], low)
                                       : dot_signed(sums->low[j][v], k[v], low);
        }
    }
}

/* All products of one cell, 32 columns; x: the first query's record. */
ALWAYS_INLINE void scores_int_cell(const int_work *w, const uint8_t *x, const uint8_t *keys,
                                   int_sums *sums, unsigned n_q, unsigned n_v, bool is_q4) {
    for (unsigned g = 0; g < (is_q4 ? 4 : 8); g++) {
        vint k[INT_VECTORS], last[INT_VECTORS];
#pragma GCC unroll 2
        for (unsigned v = 0; v < n_v; v++) {
            const uint8_t *at = keys + (g * CPU_BLOCK + v * VF) * 4;
            k[v] = dot_load(at);
            __builtin_prefetch(at + w->ahead);
            last[v] = (k[v] >> 4) & 0x0f0f0f0f;
            k[v] = is_q4 ? k[v] & 0x0f0f0f0f : k[v];
        }
        scores_int_four(sums, k, x + g * 4, w->q_bytes, n_q, n_v, is_q4);
        if (is_q4) {
            scores_int_four(sums, last, x + 16 + g * 4, w->q_bytes, n_q, n_v, true);
        }
    }
}

/* What bytes of keys that are `bias` too large add to the products of one record. */
ALWAYS_INLINE int32_t int_correction(const cpu_record_end *end, int32_t bias) {
    return bias == 8                 ? end->offset / (CPU_WEIGHT_ZERO / 8)
           : bias == CPU_WEIGHT_ZERO ? end->offset
                                     : 0;
}

/* n_v vectors of positions from first_v on. */
ALWAYS_INLINE void scores_int_tile(const int_work *w, unsigned first_v, unsigned n_q, unsigned n_v,
                                   bool is_q4) {
    const size_t record = cpu_record_bytes(CPU_PLANES_16), cell = CPU_BLOCK * (is_q4 ? 16 : 32);
    const uint8_t *keys = w->keys + first_v * VF * 4, *factors = w->factors + first_v * VF * 2;
    vfloat scores[TILE_QUERIES][INT_VECTORS];
#pragma GCC unroll 8
    for (unsigned j = 0; j < n_q; j++) {
        scores[j][0] = scores[j][n_v - 1] = vf_set1(0.0f);
    }
    for (size_t c = 0; c < w->d / 32; c++) {
        const uint8_t *x = w->q + c * record;
        int_sums sums;
        float own[TILE_QUERIES];
#pragma GCC unroll 8
        for (unsigned j = 0; j < n_q; j++) {
            cpu_record_end end;
            memcpy(&end, x + j * w->q_bytes + 64, sizeof(end));
            own[j] = end.scale;
            sums.high[j][0] = sums.high[j][n_v - 1] = dot_set1(0);
            sums.low[j][0] = sums.low[j][n_v - 1] =
                dot_set1(int_correction(&end, is_q4 ? 8 : DOT_SIGNED_BIAS));
        }
        scores_int_cell(w, x, keys + c * cell, &sums, n_q, n_v, is_q4);
#pragma GCC unroll 2
        for (unsigned v = 0; v < n_v; v++) {
            const uint8_t *at = factors + (c * CPU_BLOCK + v * VF) * 2;
            vfloat factor = vf_load_f16((const uint16_t *)(const void *)at);
            __builtin_prefetch(at + w->ahead);
#pragma GCC unroll 8
            for (unsigned j = 0; j < n_q; j++) {
                vfloat whole = vf_fma(dot_to_float(sums.high[j][v]), vf_set1(CPU_PLANE_STEP),
                                      dot_to_float(sums.low[j][v]));
                scores[j][v] = vf_fma(whole, factor * vf_set1(own[j]), scores[j][v]);
            }
        }
    }
#pragma GCC unroll 8
    for (unsigned j = 0; j < n_q; j++) {
#pragma GCC unroll 2
        for (unsigned v = 0; v < n_v; v++) {
            vf_store(w->scores + j * CPU_SPAN + (first_v + v) * VF,
                     scores[j][v] * vf_set1(w->scale));
        }
    }
}

/* All vectors of a tile of positions: as many at once as registers allow. */
ALWAYS_INLINE void scores_int_queries(const int_work *w, unsigned n_q, bool is_q4) {
    const unsigned n_v = IS_HALF(n_q) ? INT_VECTORS : 1;
    for (unsigned v = 0; v < SCORE_VECTORS; v += n_v) {
        scores_int_tile(w, v, n_q, n_v, is_q4);
    }
}

static void scores_int_q8(const int_work *w, size_t n_q) {
#define BODY(n) scores_int_queries(w, n, false)
    WITH_QUERIES(n_q, BODY)
#undef BODY
}
static void scores_int_q4(const int_work *w, size_t n_q) {
#define BODY(n) scores_int_queries(w, n, true)
    WITH_QUERIES(n_q, BODY)
#undef BODY
}

static void scores_int(const cpu_attention *a) {
    bool is_q4 = a->keys.type == SY_TYPE_Q4_0;
    cpu_positions all = seen_by(a, 0, a->n_queries);
    int_work w = {
        .q_bytes = cpu_activation_row_bytes(a->d, CPU_PLANES_16), .d = a->d, .scale = a->scale};
    for (uint32_t p = all.low / TILE_POSITIONS * TILE_POSITIONS; p < all.high;
         p += TILE_POSITIONS) {
        const uint8_t *block = a->keys.blocks[p / CPU_BLOCK];
        w.keys = block + p % CPU_BLOCK * 4;
        w.factors = block + a->keys.factors_at + p % CPU_BLOCK * 2;
        w.ahead = cpu_cells_ahead(&a->keys, p / CPU_BLOCK);
        for (size_t j = 0; j < a->n_queries; j += TILE_QUERIES) {
            size_t n = a->n_queries - j < TILE_QUERIES ? a->n_queries - j : TILE_QUERIES;
            cpu_positions seen = seen_by(a, j, n);
            if (seen.low < p + TILE_POSITIONS && seen.high > p) {
                w.q = a->q_int + j * w.q_bytes;
                w.scores = a->scores + j * CPU_SPAN + p;
                (is_q4 ? scores_int_q4 : scores_int_q8)(&w, n);
            }
        }
    }
}

static void scores_all(const cpu_attention *a) {
    if (is_block_type(a->keys.type)) {
        scores_int(a);
    } else {
        scores_plain(a);
    }
}

#endif
