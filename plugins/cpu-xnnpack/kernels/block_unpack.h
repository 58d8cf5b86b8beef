/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Template: how each block type becomes 32 small integers plus scales. Included after a vector
 * layer. A type gives two functions: scales_T reads a whole block's factors, weights_T the integers
 * of chunk i, so that element = scale * integer - minimum. Index of scale and minimum: the chunk,
 * or the half chunk (16 elements) where the type has TRAIT_HALVES.
 */
#ifndef CPU_BLOCK_UNPACK_H
#define CPU_BLOCK_UNPACK_H

#include "block_layout.h"

#include <stddef.h>

enum {
    TRAIT_UNSIGNED = 1, /* integers are >= 0 */
    TRAIT_HALVES = 2,   /* factors per 16 elements */
    TRAIT_MINIMUM = 4,  /* has a minimum */
    TRAIT_WIDE = 8,     /* signed integers beyond -32 ... 31 */
    TRAIT_SMALL = 16    /* -8 ... 7, or 0 ... 15 */
};

typedef struct factors {
    float scale[16], minimum[16];
} factors;

static inline float load_half(const uint8_t *p) {
    uint16_t half = 0;
    memcpy(&half, p, 2);
    return half_to_float(half);
}
static inline uint32_t load_u32(const uint8_t *p) {
    uint32_t value = 0;
    memcpy(&value, p, 4);
    return value;
}

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
static const int8_t mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* ---- blocks of 32 ---- */
static inline void scales_q4_0(const uint8_t *b, factors *f) {
    f->scale[0] = load_half(b);
}
static inline chunk weights_q4_0(const uint8_t *b, unsigned i) {
    (void)i;
    return chunk_minus(chunk_nibbles(b + offsetof(block_q4_0, qs)), 8);
}
static inline void scales_q4_1(const uint8_t *b, factors *f) {
    f->scale[0] = load_half(b);
    f->minimum[0] = -load_half(b + 2);
}
static inline chunk weights_q4_1(const uint8_t *b, unsigned i) {
    (void)i;
    return chunk_nibbles(b + offsetof(block_q4_1, qs));
}
#define scales_q5_0 scales_q4_0
static inline chunk weights_q5_0(const uint8_t *b, unsigned i) {
    (void)i;
    chunk high = chunk_bits(load_u32(b + offsetof(block_q5_0, qh)), 16);
    return chunk_minus(chunk_or(chunk_nibbles(b + offsetof(block_q5_0, qs)), high), 16);
}
#define scales_q5_1 scales_q4_1
static inline chunk weights_q5_1(const uint8_t *b, unsigned i) {
    (void)i;
    chunk high = chunk_bits(load_u32(b + offsetof(block_q5_1, qh)), 16);
    return chunk_or(chunk_nibbles(b + offsetof(block_q5_1, qs)), high);
}
#define scales_q8_0 scales_q4_0
static inline chunk weights_q8_0(const uint8_t *b, unsigned i) {
    (void)i;
    return chunk_load(b + offsetof(block_q8_0, qs));
}
#define scales_iq4_nl scales_q4_0
static inline chunk weights_iq4_nl(const uint8_t *b, unsigned i) {
    (void)i;
    return chunk_lookup(iq4_values, chunk_nibbles(b + offsetof(block_iq4_nl, qs)));
}
/* e8m0 is 2^(e - 127); the integer table holds doubled values, so half of that. */
static inline void scales_mxfp4(const uint8_t *b, factors *f) {
    uint32_t e = b[0], bits = e < 2 ? 0x00200000u << e : (e - 1) << 23;
    memcpy(&f->scale[0], &bits, 4);
}
static inline chunk weights_mxfp4(const uint8_t *b, unsigned i) {
    (void)i;
    return chunk_lookup(mxfp4_values, chunk_nibbles(b + offsetof(block_mxfp4, qs)));
}

/* ---- blocks of 256 ---- */
static inline void scales_q2_k(const uint8_t *b, factors *f) {
    float d = load_half(b + offsetof(block_q2_k, d)),
          dmin = load_half(b + offsetof(block_q2_k, dmin));
    for (int i = 0; i < 16; i++) {
        f->scale[i] = d * (float)(b[i] & 15);
        f->minimum[i] = dmin * (float)(b[i] >> 4);
    }
}
static inline chunk weights_q2_k(const uint8_t *b, unsigned i) {
    chunk q = chunk_load(b + offsetof(block_q2_k, qs) + 32 * (i >> 2));
    return chunk_shift_and(q, 2 * (i & 3), 3);
}
/* 16 six-bit scales in 12 bytes: low nibbles in bytes 0-7, two high bits in bytes 8-11. */
static inline void scales_q3_k(const uint8_t *b, factors *f) {
    const uint8_t *s = b + offsetof(block_q3_k, scales);
    float d = load_half(b + offsetof(block_q3_k, d));
    for (int i = 0; i < 16; i++) {
        int low = i < 8 ? s[i] & 15 : s[i - 8] >> 4, high = s[8 + (i & 3)] >> (2 * (i >> 2)) & 3;
        f->scale[i] = d * (float)((low | high << 4) - 32);
    }
}
/* The third bit lies inverted in hmask: a clear bit means minus 4. */
static inline chunk weights_q3_k(const uint8_t *b, unsigned i) {
    chunk q = chunk_load(b + offsetof(block_q3_k, qs) + 32 * (i >> 2));
    chunk high = chunk_shift_left(chunk_shift_and(chunk_load(b), i, 1), 2);
    return chunk_minus(chunk_or(chunk_shift_and(q, 2 * (i & 3), 3), high), 4);
}
/* 8 six-bit scales and 8 six-bit minima in 12 bytes. */
static inline void scales_k4(const uint8_t *b, factors *f) {
    const uint8_t *s = b + offsetof(block_q4_k, scales);
    float d = load_half(b), dmin = load_half(b + 2);
    for (int i = 0; i < 4; i++) {
        f->scale[i] = d * (float)(s[i] & 63);
        f->minimum[i] = dmin * (float)(s[i + 4] & 63);
        f->scale[i + 4] = d * (float)((s[i + 8] & 15) | s[i] >> 6 << 4);
        f->minimum[i + 4] = dmin * (float)(s[i + 8] >> 4 | s[i + 4] >> 6 << 4);
    }
}
#define scales_q4_k scales_k4
static inline chunk weights_q4_k(const uint8_t *b, unsigned i) {
    chunk q = chunk_load(b + offsetof(block_q4_k, qs) + 32 * (i >> 1));
    return chunk_shift_and(q, 4 * (i & 1), 15);
}
#define scales_q5_k scales_k4
static inline chunk weights_q5_k(const uint8_t *b, unsigned i) {
    chunk q = chunk_load(b + offsetof(block_q5_k, qs) + 32 * (i >> 1));
    chunk high = chunk_shift_and(chunk_load(b + offsetof(block_q5_k, qh)), i, 1);
    return chunk_or(chunk_shift_and(q, 4 * (i & 1), 15), chunk_shift_left(high, 4));
}
static inline void scales_q6_k(const uint8_t *b, factors *f) {
    float d = load_half(b + offsetof(block_q6_k, d));
    for (int i = 0; i < 16; i++) {
        f->scale[i] = d * (float)(int8_t)b[offsetof(block_q6_k, scales) + (unsigned)i];
    }
}
static inline chunk weights_q6_k(const uint8_t *b, unsigned i) {
    unsigned n = i >> 2, j = i & 3;
    chunk low = chunk_load(b + 64 * n + 32 * (j & 1));
    chunk high = chunk_load(b + offsetof(block_q6_k, qh) + 32 * n);
    low = chunk_shift_and(low, 4 * (j >> 1), 15);
    high = chunk_shift_left(chunk_shift_and(high, 2 * j, 3), 4);
    return chunk_minus(chunk_or(low, high), 32);
}
static inline void scales_iq4_xs(const uint8_t *b, factors *f) {
    float d = load_half(b);
    unsigned high = (unsigned)b[2] | (unsigned)b[3] << 8;
    for (unsigned i = 0; i < 8; i++) {
        unsigned low = (unsigned)b[offsetof(block_iq4_xs, scales_l) + i / 2] >> (4 * (i & 1)) & 15u;
        f->scale[i] = d * (float)((int)(low | (high >> (2 * i) & 3u) << 4) - 32);
    }
}
static inline chunk weights_iq4_xs(const uint8_t *b, unsigned i) {
    return chunk_lookup(iq4_values, chunk_nibbles(b + offsetof(block_iq4_xs, qs) + 16 * i));
}

#include "block_unpack_iq.h"

/* X(name, chunks per block, traits) for every block type that has kernels */
#define CPU_BLOCK_TYPES(X)                                                        \
    X(Q4_0, q4_0, 1, TRAIT_SMALL)                                                 \
    X(Q4_1, q4_1, 1, TRAIT_SMALL | TRAIT_UNSIGNED | TRAIT_MINIMUM)                \
    X(Q5_0, q5_0, 1, 0)                                                           \
    X(Q5_1, q5_1, 1, TRAIT_UNSIGNED | TRAIT_MINIMUM)                              \
    X(Q8_0, q8_0, 1, TRAIT_WIDE)                                                  \
    X(IQ4_NL, iq4_nl, 1, TRAIT_WIDE)                                              \
    X(MXFP4, mxfp4, 1, 0)                                                         \
    X(Q2_K, q2_k, 8, TRAIT_SMALL | TRAIT_UNSIGNED | TRAIT_HALVES | TRAIT_MINIMUM) \
    X(Q3_K, q3_k, 8, TRAIT_SMALL | TRAIT_HALVES)                                  \
    X(Q4_K, q4_k, 8, TRAIT_SMALL | TRAIT_UNSIGNED | TRAIT_MINIMUM)                \
    X(Q5_K, q5_k, 8, TRAIT_UNSIGNED | TRAIT_MINIMUM)                              \
    X(Q6_K, q6_k, 8, TRAIT_HALVES)                                                \
    X(IQ4_XS, iq4_xs, 8, TRAIT_WIDE)                                              \
    CPU_BLOCK_TYPES_IQ(X)

#endif
