/* SPDX-License-Identifier: Apache-2.0 */
/* Vector layer in plain C: 4 floats, 32 bytes. Compilers turn the loops into what they have. */
#ifndef CPU_VECTOR_H
#define CPU_VECTOR_H

#include "half.h"

#define CPU_LEVEL portable
#define VF 4
typedef float vfloat __attribute__((vector_size(16)));
typedef int32_t vint __attribute__((vector_size(16)));

static inline vfloat vf_load(const float *p) {
    vfloat v;
    memcpy(&v, p, sizeof(v));
    return v;
}
static inline void vf_store(float *p, vfloat v) {
    memcpy(p, &v, sizeof(v));
}
static inline vfloat vf_set1(float x) {
    return (vfloat){x, x, x, x};
}
static inline vfloat vf_fma(vfloat a, vfloat b, vfloat c) {
    return a * b + c;
}
static inline vfloat vf_select(vint mask, vfloat a, vfloat b) {
    return (vfloat)((mask & (vint)a) | (~mask & (vint)b));
}
/* NaN in x stays. */
static inline vfloat vf_max(vfloat bound, vfloat x) {
    return vf_select(bound > x, bound, x);
}
static inline vfloat vf_min(vfloat bound, vfloat x) {
    return vf_select(bound < x, bound, x);
}
static inline vfloat vf_sqrt(vfloat x) {
    return (vfloat){sqrtf(x[0]), sqrtf(x[1]), sqrtf(x[2]), sqrtf(x[3])};
}
/* Nearest integer of |x| < 2^22, ties to even. */
static inline vfloat vf_round(vfloat x) {
    vfloat magic = vf_set1(12582912.0f);
    return (x + magic) - magic;
}
/* The integer in a float that vf_round made; any value for NaN. */
static inline vint vf_to_int(vfloat x) {
    return (vint)(x + vf_set1(12582912.0f)) - 0x4b400000;
}
static inline float vf_sum(vfloat x) {
    return (x[0] + x[2]) + (x[1] + x[3]);
}
/* vf_sum of each. */
static inline void vf_sum_four(vfloat a, vfloat b, vfloat c, vfloat d, float *out) {
    const vfloat sums = {vf_sum(a), vf_sum(b), vf_sum(c), vf_sum(d)};
    vf_store(out, sums);
}
static inline float vf_largest(vfloat x) {
    float a = x[0] > x[2] ? x[0] : x[2], b = x[1] > x[3] ? x[1] : x[3];
    return a > b ? a : b;
}

static inline vfloat vf_load_f16(const uint16_t *p) {
    return (vfloat){half_to_float(p[0]), half_to_float(p[1]), half_to_float(p[2]),
                    half_to_float(p[3])};
}
static inline void vf_store_f16(uint16_t *p, vfloat x) {
    for (int i = 0; i < VF; i++) {
        p[i] = float_to_half(x[i]);
    }
}

/* 32 bytes of weights or activations. */
typedef struct chunk {
    int8_t b[32];
} chunk;

static inline chunk chunk_load(const void *p) {
    chunk c;
    memcpy(c.b, p, 32);
    return c;
}
static inline chunk chunk_words(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
    const uint64_t words[4] = {a, b, c, d};
    return chunk_load(words);
}
static inline chunk chunk_nibbles(const uint8_t *p) {
    chunk c;
    for (int i = 0; i < 16; i++) {
        c.b[i] = (int8_t)(p[i] & 15);
        c.b[i + 16] = (int8_t)(p[i] >> 4);
    }
    return c;
}
/* value in every byte whose bit is set, else 0 */
static inline chunk chunk_bits(uint32_t bits, int8_t value) {
    chunk c;
    for (int i = 0; i < 32; i++) {
        c.b[i] = (int8_t)((bits >> i & 1u) != 0 ? value : 0);
    }
    return c;
}
/* the negative of every byte whose bit is set */
static inline chunk chunk_negate(chunk c, uint32_t bits) {
    for (int i = 0; i < 32; i++) {
        c.b[i] = (int8_t)((bits >> i & 1u) != 0 ? -c.b[i] : c.b[i]);
    }
    return c;
}
static inline chunk chunk_shift_and(chunk c, unsigned shift, uint8_t mask) {
    for (int i = 0; i < 32; i++) {
        c.b[i] = (int8_t)((uint8_t)c.b[i] >> shift & mask);
    }
    return c;
}
static inline chunk chunk_shift_left(chunk c, unsigned shift) {
    for (int i = 0; i < 32; i++) {
        c.b[i] = (int8_t)(uint8_t)((uint8_t)c.b[i] << shift);
    }
    return c;
}
static inline chunk chunk_or(chunk a, chunk b) {
    for (int i = 0; i < 32; i++) {
        a.b[i] = (int8_t)(a.b[i] | b.b[i]);
    }
    return a;
}
static inline chunk chunk_minus(chunk c, int8_t value) {
    for (int i = 0; i < 32; i++) {
        c.b[i] = (int8_t)(c.b[i] - value);
    }
    return c;
}
static inline chunk chunk_lookup(const int8_t table[16], chunk index) {
    for (int i = 0; i < 32; i++) {
        index.b[i] = table[index.b[i] & 15];
    }
    return index;
}
/* out[i] = w[i] * scale + shift, first 16 and last 16 with their own pair */
static inline void chunk_to_floats(chunk w, const float scale[2], const float shift[2],
                                   float *out) {
    for (int i = 0; i < 32; i++) {
        out[i] = (float)w.b[i] * scale[i >> 4] + shift[i >> 4];
    }
}

#endif
