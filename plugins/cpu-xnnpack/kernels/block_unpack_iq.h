/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Template: scales_T and weights_T, as in block_unpack.h, of the types with a code book (IQ2, IQ3,
 * IQ1), of one to two bits (TQ1_0, TQ2_0, Q1_0, Q2_0) and of NVFP4. Included by block_unpack.h.
 */
#ifndef CPU_BLOCK_UNPACK_IQ_H
#define CPU_BLOCK_UNPACK_IQ_H

#include "block_grids.h"

static inline uint16_t load_u16(const uint8_t *p) {
    uint16_t value = 0;
    memcpy(&value, p, 2);
    return value;
}
static inline uint64_t load_u64(const uint8_t *p) {
    uint64_t value = 0;
    memcpy(&value, p, 8);
    return value;
}
static inline int nibble_at(const uint8_t *p, unsigned i) {
    return p[i / 2] >> (4 * (i & 1)) & 15;
}

/* Four times seven signs, the lowest in bits 0-6, to eight each: the number of minus signs among
 * eight is even. */
static inline uint32_t even_signs(uint32_t sevens) {
    uint32_t signs = (sevens & 0x7fu) | (sevens << 1 & 0x7f00u) | (sevens << 2 & 0x7f0000u) |
                     (sevens << 3 & 0x7f000000u);
    uint32_t parity = signs ^ signs >> 4; /* into bit 0 of every byte */
    parity ^= parity >> 2;
    parity ^= parity >> 1;
    return signs | (parity & 0x01010101u) << 7;
}

/* ---- magnitudes 8, 25, 43 out of a book of 8 ---- */
/* d * (scale + 1/2) / 4 */
static inline void scales_iq2_xxs(const uint8_t *b, factors *f) {
    float d = load_half(b) * 0.125f;
    for (unsigned i = 0; i < 8; i++) {
        uint32_t scale = load_u32(b + offsetof(block_iq2_xxs, qs) + 8 * i + 4) >> 28;
        f->scale[i] = d * (float)(int)(2 * scale + 1);
    }
}
static inline chunk weights_iq2_xxs(const uint8_t *b, unsigned i) {
    const uint8_t *q = b + offsetof(block_iq2_xxs, qs) + 8 * i;
    const uint64_t *grid = cpu_grid_iq2_xxs;
    chunk sizes = chunk_words(grid[q[0]], grid[q[1]], grid[q[2]], grid[q[3]]);
    return chunk_negate(sizes, even_signs(load_u32(q + 4)));
}
static inline void scales_iq2(const uint8_t *b, const uint8_t *nibbles, factors *f) {
    float d = load_half(b) * 0.125f;
    for (unsigned i = 0; i < 16; i++) {
        f->scale[i] = d * (float)(2 * nibble_at(nibbles, i) + 1);
    }
}
static inline void scales_iq2_xs(const uint8_t *b, factors *f) {
    scales_iq2(b, b + offsetof(block_iq2_xs, scales), f);
}
static inline chunk weights_iq2_xs(const uint8_t *b, unsigned i) {
    uint64_t q = load_u64(b + offsetof(block_iq2_xs, qs) + 8 * i);
    const uint64_t *grid = cpu_grid_iq2_xs;
    uint64_t sevens =
        (q >> 9 & 0x7f) | (q >> 18 & 0x3f80) | (q >> 27 & 0x1fc000) | (q >> 36 & 0xfe00000);
    chunk sizes =
        chunk_words(grid[q & 511], grid[q >> 16 & 511], grid[q >> 32 & 511], grid[q >> 48 & 511]);
    return chunk_negate(sizes, even_signs((uint32_t)sevens));
}
static inline void scales_iq2_s(const uint8_t *b, factors *f) {
    scales_iq2(b, b + offsetof(block_iq2_s, scales), f);
}
static inline chunk weights_iq2_s(const uint8_t *b, unsigned i) {
    const uint8_t *q = b + offsetof(block_iq2_s, qs) + 4 * i;
    unsigned high = b[offsetof(block_iq2_s, qh) + i];
    const uint64_t *grid = cpu_grid_iq2_s;
    chunk sizes = chunk_words(grid[q[0] | (high << 8 & 0x300)], grid[q[1] | (high << 6 & 0x300)],
                              grid[q[2] | (high << 4 & 0x300)], grid[q[3] | (high << 2 & 0x300)]);
    return chunk_negate(sizes, load_u32(b + offsetof(block_iq2_s, signs) + 4 * i));
}

/* ---- magnitudes out of a book of 4 ---- */
/* Entries of eight indices: the ninth bits in `high`, the lowest first. */
static inline chunk iq3_sizes(const uint32_t *grid, const uint8_t *q, unsigned high) {
    uint64_t words[4];
    for (unsigned k = 0; k < 4; k++, high >>= 2) {
        uint64_t second = grid[q[2 * k + 1] | (high << 7 & 0x100)];
        words[k] = grid[q[2 * k] | (high << 8 & 0x100)] | second << 32;
    }
    return chunk_words(words[0], words[1], words[2], words[3]);
}
/* d * (scale + 1/2) / 2 */
static inline void scales_iq3_xxs(const uint8_t *b, factors *f) {
    float d = load_half(b) * 0.25f;
    for (unsigned i = 0; i < 8; i++) {
        uint32_t scale = load_u32(b + offsetof(block_iq3_xxs, signs) + 4 * i) >> 28;
        f->scale[i] = d * (float)(int)(2 * scale + 1);
    }
}
static inline chunk weights_iq3_xxs(const uint8_t *b, unsigned i) {
    chunk sizes = iq3_sizes(cpu_grid_iq3_xxs, b + offsetof(block_iq3_xxs, qs) + 8 * i, 0);
    return chunk_negate(sizes, even_signs(load_u32(b + offsetof(block_iq3_xxs, signs) + 4 * i)));
}
static inline void scales_iq3_s(const uint8_t *b, factors *f) {
    float d = load_half(b);
    for (unsigned i = 0; i < 8; i++) {
        f->scale[i] = d * (float)(2 * nibble_at(b + offsetof(block_iq3_s, scales), i) + 1);
    }
}
static inline chunk weights_iq3_s(const uint8_t *b, unsigned i) {
    chunk sizes = iq3_sizes(cpu_grid_iq3_s, b + offsetof(block_iq3_s, qs) + 8 * i,
                            b[offsetof(block_iq3_s, qh) + i]);
    return chunk_negate(sizes, load_u32(b + offsetof(block_iq3_s, signs) + 4 * i));
}

/* ---- -1, 0, 1 shifted by an eighth up or down: integers are eighths ---- */
static inline void scales_iq1_s(const uint8_t *b, factors *f) {
    float d = load_half(b) * 0.125f;
    for (unsigned i = 0; i < 8; i++) {
        int word = load_u16(b + offsetof(block_iq1_s, qh) + 2 * i);
        f->scale[i] = d * (float)(2 * (word >> 12 & 7) + 1);
    }
}
static inline chunk weights_iq1_s(const uint8_t *b, unsigned i) {
    const uint8_t *q = b + offsetof(block_iq1_s, qs) + 4 * i;
    unsigned word = load_u16(b + offsetof(block_iq1_s, qh) + 2 * i);
    const uint64_t *grid = cpu_grid_iq1_s;
    chunk c = chunk_words(grid[q[0] | (word << 8 & 0x700)], grid[q[1] | (word << 5 & 0x700)],
                          grid[q[2] | (word << 2 & 0x700)], grid[q[3] | (word >> 1 & 0x700)]);
    return chunk_minus(c, (word & 0x8000) != 0 ? 9 : 7);
}
/* The f16 factor lies in the top four bits of four words. */
static inline void scales_iq1_m(const uint8_t *b, factors *f) {
    const uint8_t *s = b + offsetof(block_iq1_m, scales);
    uint16_t half = 0;
    for (unsigned i = 0; i < 4; i++) {
        half = (uint16_t)(half | load_u16(s + 2 * i) >> 12 << (4 * i));
    }
    float d = half_to_float(half) * 0.125f;
    for (unsigned i = 0; i < 16; i++) {
        int scale = load_u16(s + 2 * (i >> 2)) >> (3 * (i & 3)) & 7;
        f->scale[i] = d * (float)(2 * scale + 1);
    }
}
/* Eight elements, without minus 9. */
static inline uint64_t iq1_m_word(uint8_t low, unsigned top) {
    uint64_t up = (top & 8) != 0 ? 0 : 0x0202020202020202u;
    return cpu_grid_iq1_s[low | (top & 7) << 8] + up;
}
static inline chunk weights_iq1_m(const uint8_t *b, unsigned i) {
    const uint8_t *q = b + offsetof(block_iq1_m, qs) + 4 * i;
    unsigned high = load_u16(b + offsetof(block_iq1_m, qh) + 2 * i);
    return chunk_minus(chunk_words(iq1_m_word(q[0], high), iq1_m_word(q[1], high >> 4),
                                   iq1_m_word(q[2], high >> 8), iq1_m_word(q[3], high >> 12)),
                       9);
}

/* ---- one to two bits ---- */
static inline void scales_same(float d, unsigned n, factors *f) {
    for (unsigned i = 0; i < n; i++) {
        f->scale[i] = d;
    }
}
static inline void scales_tq1_0(const uint8_t *b, factors *f) {
    scales_same(load_half(b + offsetof(block_tq1_0, d)), 8, f);
}
/* Digit n of base 3 of a byte that holds five as a fraction: times 3^n modulo 256, then its top. */
static inline uint8_t base_3_digit(uint8_t byte, unsigned power) {
    return (uint8_t)((byte * power & 0xffu) * 3 >> 8);
}
static inline chunk weights_tq1_0(const uint8_t *b, unsigned i) {
    static const uint8_t powers[5] = {1, 3, 9, 27, 81};
    const uint8_t *q = b + offsetof(block_tq1_0, qs), *last = b + offsetof(block_tq1_0, qh);
    uint8_t digits[32];
    for (unsigned j = 0; j < 32; j++) {
        unsigned n = 2 * (i - 5) + j / 16; /* digit of the 16 bytes behind the first 32 */
        digits[j] = i < 5   ? base_3_digit(q[j], powers[i])
                    : n < 5 ? base_3_digit(q[32 + j % 16], powers[n])
                            : base_3_digit(last[j % 4], powers[(j - 16) / 4]);
    }
    return chunk_minus(chunk_load(digits), 1);
}
static inline void scales_tq2_0(const uint8_t *b, factors *f) {
    scales_same(load_half(b + offsetof(block_tq2_0, d)), 8, f);
}
static inline chunk weights_tq2_0(const uint8_t *b, unsigned i) {
    return chunk_minus(chunk_shift_and(chunk_load(b + 32 * (i >> 2)), 2 * (i & 3), 3), 1);
}
static inline void scales_q1_0(const uint8_t *b, factors *f) {
    scales_same(load_half(b), 4, f);
}
static inline chunk weights_q1_0(const uint8_t *b, unsigned i) {
    return chunk_minus(chunk_bits(load_u32(b + offsetof(block_q1_0, qs) + 4 * i), 2), 1);
}
static inline void scales_q2_0(const uint8_t *b, factors *f) {
    scales_same(load_half(b), 2, f);
}
/* Eight two-bit fields, one to a byte. */
static inline uint64_t spread_fields(uint64_t x) {
    x = (x | x << 24) & 0x000000ff000000ffu;
    x = (x | x << 12) & 0x000f000f000f000fu;
    return (x | x << 6) & 0x0303030303030303u;
}
static inline chunk weights_q2_0(const uint8_t *b, unsigned i) {
    const uint8_t *q = b + offsetof(block_q2_0, qs) + 8 * i;
    return chunk_minus(chunk_words(spread_fields(load_u16(q)), spread_fields(load_u16(q + 2)),
                                   spread_fields(load_u16(q + 4)), spread_fields(load_u16(q + 6))),
                       1);
}

/* ---- NVFP4: an unsigned E4M3 number for 16 elements; the table holds doubled values ---- */
static inline void scales_nvfp4(const uint8_t *b, factors *f) {
    for (unsigned i = 0; i < 4; i++) {
        int exponent = b[i] >> 3 & 15, mantissa = b[i] & 7;
        int steps = exponent == 0 ? mantissa : (8 + mantissa) << (exponent - 1);
        f->scale[i] = b[i] == 0x7f ? 0.0f : (float)steps * 0x1p-10f;
    }
}
static inline chunk weights_nvfp4(const uint8_t *b, unsigned i) {
    uint64_t first = load_u64(b + offsetof(block_nvfp4, qs) + 16 * i);
    uint64_t second = load_u64(b + offsetof(block_nvfp4, qs) + 16 * i + 8);
    const uint64_t low = 0x0f0f0f0f0f0f0f0fu;
    return chunk_lookup(
        mxfp4_values, chunk_words(first & low, first >> 4 & low, second & low, second >> 4 & low));
}

/* As CPU_BLOCK_TYPES, which ends with this list. */
#define CPU_BLOCK_TYPES_IQ(X)                       \
    X(IQ2_XXS, iq2_xxs, 8, TRAIT_WIDE)              \
    X(IQ2_XS, iq2_xs, 8, TRAIT_HALVES | TRAIT_WIDE) \
    X(IQ2_S, iq2_s, 8, TRAIT_HALVES | TRAIT_WIDE)   \
    X(IQ3_XXS, iq3_xxs, 8, TRAIT_WIDE)              \
    X(IQ3_S, iq3_s, 8, 0)                           \
    X(IQ1_S, iq1_s, 8, 0)                           \
    X(IQ1_M, iq1_m, 8, TRAIT_HALVES)                \
    X(TQ1_0, tq1_0, 8, TRAIT_SMALL)                 \
    X(TQ2_0, tq2_0, 8, TRAIT_SMALL)                 \
    X(NVFP4, nvfp4, 2, TRAIT_HALVES)                \
    X(Q1_0, q1_0, 4, 0)                             \
    X(Q2_0, q2_0, 2, 0)

/* Nothing writes these. */
#define encode_iq2_xxs NULL
#define encode_iq2_xs NULL
#define encode_iq2_s NULL
#define encode_iq3_xxs NULL
#define encode_iq3_s NULL
#define encode_iq1_s NULL
#define encode_iq1_m NULL
#define encode_tq1_0 NULL
#define encode_tq2_0 NULL
#define encode_nvfp4 NULL
#define encode_q1_0 NULL
#define encode_q2_0 NULL

#endif
