/* SPDX-License-Identifier: Apache-2.0 */
/* Vector layer for x86-64-v2 (SSE4.1, SSSE3): 4 floats, 32 bytes in two xmm. No fused multiply-add
 * and no f16 conversion exist there. */
#ifndef CPU_VECTOR_H
#define CPU_VECTOR_H

#include "half.h"

#include <smmintrin.h>

#define CPU_LEVEL sse41
#define VF 4
typedef __m128 vfloat;
typedef int32_t vint __attribute__((vector_size(16)));

static inline vfloat vf_load(const float *p) {
    return _mm_loadu_ps(p);
}
static inline void vf_store(float *p, vfloat v) {
    _mm_storeu_ps(p, v);
}
static inline vfloat vf_set1(float x) {
    return _mm_set1_ps(x);
}
static inline vfloat vf_fma(vfloat a, vfloat b, vfloat c) {
    return _mm_add_ps(_mm_mul_ps(a, b), c);
}
static inline vfloat vf_select(vint mask, vfloat a, vfloat b) {
    return _mm_blendv_ps(b, a, (__m128)mask);
}
/* NaN in x stays. */
static inline vfloat vf_max(vfloat bound, vfloat x) {
    return _mm_max_ps(bound, x);
}
static inline vfloat vf_min(vfloat bound, vfloat x) {
    return _mm_min_ps(bound, x);
}
static inline vfloat vf_sqrt(vfloat x) {
    return _mm_sqrt_ps(x);
}
/* Nearest integer, ties to even. */
static inline vfloat vf_round(vfloat x) {
    return _mm_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vint vf_to_int(vfloat x) {
    return (vint)_mm_cvtps_epi32(x);
}
static inline float vf_sum(vfloat x) {
    __m128 two = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
/* vf_sum of each. */
static inline void vf_sum_four(vfloat a, vfloat b, vfloat c, vfloat d, float *out) {
    __m128 ab = _mm_add_ps(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a));
    __m128 cd = _mm_add_ps(_mm_movelh_ps(c, d), _mm_movehl_ps(d, c));
    _mm_storeu_ps(out, _mm_add_ps(_mm_shuffle_ps(ab, cd, 0x88), _mm_shuffle_ps(ab, cd, 0xdd)));
}
static inline float vf_largest(vfloat x) {
    __m128 two = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
/* As half_to_float, of four words. */
static inline vfloat halves_to_floats(__m128i half) {
    __m128i size = _mm_and_si128(half, _mm_set1_epi32(0x7fff));
    __m128i sign = _mm_slli_epi32(_mm_xor_si128(half, size), 16);
    __m128i broken = _mm_cmpgt_epi32(size, _mm_set1_epi32(0x7bff)); /* infinite or NaN */
    broken = _mm_and_si128(broken, _mm_set1_epi32(0x7f800000));
    __m128 value = _mm_mul_ps(_mm_castsi128_ps(_mm_slli_epi32(size, 13)), _mm_set1_ps(0x1p112f));
    return _mm_or_ps(value, _mm_castsi128_ps(_mm_or_si128(sign, broken)));
}
static inline vfloat vf_load_f16(const uint16_t *p) {
    return halves_to_floats(_mm_cvtepu16_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}
static inline void vf_store_f16(uint16_t *p, vfloat x) {
    for (int i = 0; i < VF; i++) {
        p[i] = float_to_half(x[i]);
    }
}

typedef struct chunk {
    __m128i half[2];
} chunk;

static inline chunk chunk_load(const void *p) {
    const __m128i *halves = (const __m128i *)p;
    return (chunk){{_mm_loadu_si128(halves), _mm_loadu_si128(halves + 1)}};
}
static inline chunk chunk_nibbles(const uint8_t *p) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p), mask = _mm_set1_epi8(15);
    return (chunk){{_mm_and_si128(bytes, mask), _mm_and_si128(_mm_srli_epi16(bytes, 4), mask)}};
}
/* value in every byte whose bit is set, else 0 */
static inline chunk chunk_bits(uint32_t bits, int8_t value) {
    const __m128i select = _mm_set1_epi64x((long long)0x8040201008040201ull);
    const __m128i spread = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    __m128i all = _mm_cvtsi32_si128((int)bits), on = _mm_set1_epi8(value);
    chunk c;
    for (int i = 0; i < 2; i++, all = _mm_srli_epi32(all, 16)) {
        __m128i bytes = _mm_shuffle_epi8(all, spread);
        c.half[i] = _mm_and_si128(_mm_cmpeq_epi8(_mm_and_si128(bytes, select), select), on);
    }
    return c;
}
static inline chunk chunk_shift_and(chunk c, unsigned shift, uint8_t mask) {
    __m128i right = _mm_cvtsi32_si128((int)shift), keep = _mm_set1_epi8((char)mask);
    return (chunk){{_mm_and_si128(_mm_srl_epi16(c.half[0], right), keep),
                    _mm_and_si128(_mm_srl_epi16(c.half[1], right), keep)}};
}
/* the bits shifted out of a byte must be zero */
static inline chunk chunk_shift_left(chunk c, unsigned shift) {
    __m128i left = _mm_cvtsi32_si128((int)shift);
    return (chunk){{_mm_sll_epi16(c.half[0], left), _mm_sll_epi16(c.half[1], left)}};
}
static inline chunk chunk_or(chunk a, chunk b) {
    return (chunk){{_mm_or_si128(a.half[0], b.half[0]), _mm_or_si128(a.half[1], b.half[1])}};
}
static inline chunk chunk_minus(chunk c, int8_t value) {
    __m128i v = _mm_set1_epi8(value);
    return (chunk){{_mm_sub_epi8(c.half[0], v), _mm_sub_epi8(c.half[1], v)}};
}
static inline chunk chunk_lookup(const int8_t table[16], chunk index) {
    __m128i row = _mm_loadu_si128((const __m128i *)(const void *)table);
    return (chunk){{_mm_shuffle_epi8(row, index.half[0]), _mm_shuffle_epi8(row, index.half[1])}};
}
static inline chunk chunk_words(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
    return (chunk){
        {_mm_set_epi64x((long long)b, (long long)a), _mm_set_epi64x((long long)d, (long long)c)}};
}
/* the negative of every byte whose bit is set */
static inline chunk chunk_negate(chunk c, uint32_t bits) {
    chunk set = chunk_bits(bits, -1);
    for (int i = 0; i < 2; i++) {
        c.half[i] = _mm_sub_epi8(_mm_xor_si128(c.half[i], set.half[i]), set.half[i]);
    }
    return c;
}
/* out[i] = w[i] * scale + shift, first 16 and last 16 with their own pair */
static inline void chunk_to_floats(chunk w, const float scale[2], const float shift[2],
                                   float *out) {
    for (int i = 0; i < 2; i++) {
        __m128 factor = _mm_set1_ps(scale[i]), offset = _mm_set1_ps(shift[i]);
        __m128i bytes = w.half[i];
        for (int j = 0; j < 4; j++, out += 4, bytes = _mm_srli_si128(bytes, 4)) {
            __m128 value = _mm_cvtepi32_ps(_mm_cvtepi8_epi32(bytes));
            _mm_storeu_ps(out, vf_fma(value, factor, offset));
        }
    }
}

#endif
