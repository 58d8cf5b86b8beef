/* SPDX-License-Identifier: Apache-2.0 */
/* Template: scores of queries x positions in register tiles. A product has one chain of additions
 * over d whatever the tile. Few queries read f16 keys where they are; many widen them to f32 once.
 * Keys of block types are multiplied as integers with q in two planes of 8 bits. */
#ifndef CPU_ATTENTION_SCORES_H
#define CPU_ATTENTION_SCORES_H

#include "attention_cells.h"
#include "attention_dot.h"

/* Of n_q queries at TILE_POSITIONS positions; the blocks of keys are block_bytes apart. */
ALWAYS_INLINE void scores_tile(const float *q, size_t d, const uint8_t *keys, size_t block_bytes,
                               float scale, float *scores, unsigned n_q, cell_kind kind) {
    vfloat sums[TILE_QUERIES][SCORE_VECTORS];
    const size_t step = cell_element(kind);
#pragma GCC unroll 8
    for (unsigned j = 0; j < n_q; j++) {
#pragma GCC unroll 4
        for (unsigned v = 0; v < SCORE_VECTORS; v++) {
            sums[j][v] = vf_set1(0.0f);
        }
    }
    for (size_t i = 0; i < d; i++) {
        vfloat k[SCORE_VECTORS];
#pragma GCC unroll 4
        for (unsigned v = 0; v < SCORE_VECTORS; v++) {
            const uint8_t *block = keys + v / PER_BLOCK * block_bytes + i * CPU_BLOCK * step;
            k[v] = cell_load(block + v % PER_BLOCK * VF * step, kind);
            if (v % PER_BLOCK == 0) {
                look_ahead(block + BLOCKS_AHEAD * block_bytes, kind);
            }
        }
#pragma GCC unroll 8
        for (unsigned j = 0; j < n_q; j++) {
            vfloat x = vf_set1(q[j * d + i]);
#pragma GCC unroll 4
            for (unsigned v = 0; v < SCORE_VECTORS; v++) {
                sums[j][v] = vf_fma(x, k[v], sums[j][v]);
            }
        }
    }
#pragma GCC unroll 8
    for (unsigned j = 0; j < n_q; j++) {
#pragma GCC unroll 4
        for (unsigned v = 0; v < SCORE_VECTORS; v++) {
            vf_store(scores + j * CPU_SPAN + v * VF, sums[j][v] * vf_set1(scale));
        }
    }
}

ALWAYS_INLINE void scores_of_kind(const float *q, size_t d, const uint8_t *keys, size_t block_bytes,
                                  float scale, float *scores, size_t n_q, cell_kind kind) {
#define BODY(n) scores_tile(q, d, keys, block_bytes, scale, scores, n, kind)
    WITH_QUERIES(n_q, BODY)
#undef BODY
}
typedef void (*scores_function)(const float *q, size_t d, const uint8_t *keys, size_t block_bytes,
                                float scale, float *scores, size_t n_q);
#define SCORES_KIND(name, kind)                                                                  \
    static void scores_##name(const float *q, size_t d, const uint8_t *keys, size_t block_bytes, \
                              float scale, float *scores, size_t n_q) {                          \
        scores_of_kind(q, d, keys, block_bytes, scale, scores, n_q, kind);                       \
    }
SCORES_KIND(f32, CELL_F32)
SCORES_KIND(f16, CELL_F16)
SCORES_KIND(bf16, CELL_BF16)
SCORES_KIND(wide, CELL_WIDE)
#undef SCORES_KIND

static void scores_at(const cpu_attention *a, uint32_t position, scores_function run) {
    const uint8_t *keys = a->keys.bytes + position / CPU_BLOCK * a->keys.block_bytes;
    size_t block_bytes = a->keys.block_bytes;
    if (a->n_queries > TILE_QUERIES && a->keys.type != SY_TYPE_F32) {
        for (size_t i = 0; i < TILE_BLOCKS; i++) {
            widen(a->keys.type, keys + i * block_bytes, CPU_BLOCK * a->d,
                  a->wide + i * CPU_BLOCK * a->d);
        }
        keys = (const uint8_t *)a->wide;
        block_bytes = CPU_BLOCK * a->d * sizeof(float);
        run = scores_wide;
    }
    for (size_t j = 0; j < a->n_queries; j += TILE_QUERIES) {
        size_t n = a->n_queries - j < TILE_QUERIES ? a->n_queries - j : TILE_QUERIES;
        cpu_positions seen = seen_by(a, j, n);
        if (seen.low < position + TILE_POSITIONS && seen.high > position) {
            run(a->q + j * a->d, a->d, keys, block_bytes, a->scale,
                a->scores + j * CPU_SPAN + position, n);
        }
    }
}

static void scores_plain(const cpu_attention *a) {
    scores_function run = a->keys.type == SY_TYPE_F32   ? scores_f32
                          : a->keys.type == SY_TYPE_F16 ? scores_f16
                                                        : scores_bf16;
    cpu_positions seen = seen_by(a, 0, a->n_queries);
    for (uint32_t p = seen.low / TILE_POSITIONS * TILE_POSITIONS; p < seen.high;
         p += TILE_POSITIONS) {
        scores_at(a, p, run);
    }
}

/* ---- keys of block types ---- */
/* One vector of positions of a block: the vector at `keys` in every group of four columns. */
ALWAYS_INLINE void scores_int_tile(const uint8_t *q, size_t q_bytes, size_t d, const uint8_t *keys,
                                   const uint8_t *factors, float scale, float *scores, unsigned n_q,
                                   bool is_q4) {
    const int32_t bias = is_q4 ? 8 : DOT_SIGNED_BIAS;
    const size_t record = cpu_record_bytes(CPU_PLANES_16), cell = is_q4 ? 256 : 512;
    const unsigned n_groups = is_q4 ? 4 : 8;
    vfloat sums[TILE_QUERIES];
#pragma GCC unroll 8
    for (unsigned j = 0; j < n_q; j++) {
        sums[j] = vf_set1(0.0f);
    }
    for (size_t c = 0; c < d / 32; c++) {
        vint high[TILE_QUERIES], low[TILE_QUERIES];
        const uint8_t *x = q + c * record;
#pragma GCC unroll 8
        for (unsigned j = 0; j < n_q; j++) {
            cpu_record_end end;
            memcpy(&end, x + j * q_bytes + 64, sizeof(end));
            high[j] = dot_set1(0);
            low[j] = dot_set1(end.offset / CPU_WEIGHT_ZERO * bias); /* -bias for every q */
        }
        for (unsigned g = 0; g < n_groups; g++) {
            vint k = dot_load(keys + c * cell + g * 64);
#pragma GCC unroll 8
            for (unsigned j = 0; j < n_q; j++) {
                const uint8_t *part = x + j * q_bytes + g * 4;
                if (is_q4) {
                    vint first = k & 0x0f0f0f0f, last = (k >> 4) & 0x0f0f0f0f;
                    high[j] = dot_small(high[j], first, dot_four(part));
                    low[j] = dot_small(low[j], first, dot_four(part + 32));
                    high[j] = dot_small(high[j], last, dot_four(part + 16));
                    low[j] = dot_small(low[j], last, dot_four(part + 48));
                } else {
                    high[j] = dot_signed(high[j], k, dot_four(part));
                    low[j] = dot_signed(low[j], k, dot_four(part + 32));
                }
            }
        }
        vfloat factor = vf_load_f16((const uint16_t *)(const void *)(factors + c * CPU_BLOCK * 2));
#pragma GCC unroll 8
        for (unsigned j = 0; j < n_q; j++) {
            float own = 0.0f;
            memcpy(&own, x + j * q_bytes + 64, sizeof(own));
            vfloat whole = dot_to_float(high[j] * CPU_PLANE_STEP + low[j]);
            sums[j] = vf_fma(whole, factor * vf_set1(own), sums[j]);
        }
    }
#pragma GCC unroll 8
    for (unsigned j = 0; j < n_q; j++) {
        vf_store(scores + j * CPU_SPAN, sums[j] * vf_set1(scale));
    }
}

/* n_q queries at the positions of one block. */
static void scores_int_block(const cpu_attention *a, size_t first, size_t n_q, uint32_t position) {
    size_t q_bytes = cpu_activation_row_bytes(a->d, CPU_PLANES_16), i_block = position / CPU_BLOCK;
    const uint8_t *q = a->q_int + first * q_bytes;
    const uint8_t *keys = a->keys.bytes + i_block * a->keys.block_bytes;
    const uint8_t *factors = a->keys.scales + i_block * a->keys.block_bytes;
    float *scores = a->scores + first * CPU_SPAN + position;
    size_t cell = a->keys.type == SY_TYPE_Q4_0 ? 256 : 512;
    for (size_t i = 0; first == 0 && i < a->d / 32 * cell; i += 64) {
        __builtin_prefetch(keys + BLOCKS_AHEAD * a->keys.block_bytes + i);
    }
    for (unsigned v = 0; v < PER_BLOCK; v++) {
        const uint8_t *k = keys + v * VF * 4, *f = factors + v * VF * 2;
        float *to = scores + v * VF;
#define BODY_Q8(n) scores_int_tile(q, q_bytes, a->d, k, f, a->scale, to, n, false)
#define BODY_Q4(n) scores_int_tile(q, q_bytes, a->d, k, f, a->scale, to, n, true)
        if (a->keys.type == SY_TYPE_Q4_0) {
            WITH_QUERIES(n_q, BODY_Q4)
        } else {
            WITH_QUERIES(n_q, BODY_Q8)
        }
#undef BODY_Q8
#undef BODY_Q4
    }
}

static void scores_int(const cpu_attention *a) {
    cpu_positions all = seen_by(a, 0, a->n_queries);
    for (uint32_t p = all.low / CPU_BLOCK * CPU_BLOCK; p < all.high; p += CPU_BLOCK) {
        for (size_t j = 0; j < a->n_queries; j += TILE_QUERIES) {
            size_t n = a->n_queries - j < TILE_QUERIES ? a->n_queries - j : TILE_QUERIES;
            cpu_positions seen = seen_by(a, j, n);
            if (seen.low < p + CPU_BLOCK && seen.high > p) {
                scores_int_block(a, j, n, p);
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
