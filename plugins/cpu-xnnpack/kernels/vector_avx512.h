/* SPDX-License-Identifier: Apache-2.0 */
/* Vector layer for AVX-512 F/BW/DQ/VL, with or without VNNI: 16 floats, 32 bytes. */
#ifndef CPU_VECTOR_H
#define CPU_VECTOR_H

#include "vector_x86.h"

#if defined(__AVX512BF16__)
#define CPU_LEVEL avx512bf16
#elif defined(__AVX512VNNI__)
#define CPU_LEVEL avx512vnni
#else
#define CPU_LEVEL avx512
#endif
#define VF 16
typedef __m512 vfloat;
typedef int32_t vint __attribute__((vector_size(64)));

static inline vfloat vf_load(const float *p) {
    return _mm512_loadu_ps(p);
}
static inline void vf_store(float *p, vfloat v) {
    _mm512_storeu_ps(p, v);
}
static inline vfloat vf_set1(float x) {
    return _mm512_set1_ps(x);
}
static inline vfloat vf_fma(vfloat a, vfloat b, vfloat c) {
    return _mm512_fmadd_ps(a, b, c);
}
static inline vfloat vf_select(vint mask, vfloat a, vfloat b) {
    return _mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)mask), b, a);
}
/* NaN in x stays. */
static inline vfloat vf_max(vfloat bound, vfloat x) {
    return _mm512_max_ps(bound, x);
}
static inline vfloat vf_min(vfloat bound, vfloat x) {
    return _mm512_min_ps(bound, x);
}
static inline vfloat vf_sqrt(vfloat x) {
    return _mm512_sqrt_ps(x);
}
/* Nearest integer, ties to even. */
static inline vfloat vf_round(vfloat x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vint vf_to_int(vfloat x) {
    return (vint)_mm512_cvtps_epi32(x);
}
static inline float vf_sum(vfloat x) {
    __m256 high = _mm512_extractf32x8_ps(x, 1);
    return sum_of_8(_mm256_add_ps(_mm512_castps512_ps256(x), high));
}
/* vf_sum of each: the same sums, of several in a vector. */
static inline void vf_sum_four(vfloat a, vfloat b, vfloat c, vfloat d, float *out) {
    __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
    __m512 four =
        _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
    __m512 two = _mm512_add_ps(four, _mm512_permute_ps(four, 0x4e));
    __m512 one = _mm512_add_ps(two, _mm512_permute_ps(two, 0xb1));
    const __m512i first = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    _mm_storeu_ps(out, _mm512_castps512_ps128(_mm512_permutexvar_ps(first, one)));
}
static inline float vf_largest(vfloat x) {
    return _mm512_reduce_max_ps(x);
}
static inline vfloat vf_load_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline void vf_store_f16(uint16_t *p, vfloat x) {
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

#endif
