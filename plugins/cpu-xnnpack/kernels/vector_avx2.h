/* SPDX-License-Identifier: Apache-2.0 */
/* Vector layer for AVX2 + FMA + F16C, with or without AVX-VNNI: 8 floats, 32 bytes. */
#ifndef CPU_VECTOR_H
#define CPU_VECTOR_H

#include "vector_x86.h"

#if defined(__AVXVNNI__)
#define CPU_LEVEL avxvnni
#else
#define CPU_LEVEL avx2
#endif
#define VF 8
typedef __m256 vfloat;
typedef int32_t vint __attribute__((vector_size(32)));

static inline vfloat vf_load(const float *p) {
    return _mm256_loadu_ps(p);
}
static inline void vf_store(float *p, vfloat v) {
    _mm256_storeu_ps(p, v);
}
static inline vfloat vf_set1(float x) {
    return _mm256_set1_ps(x);
}
static inline vfloat vf_fma(vfloat a, vfloat b, vfloat c) {
    return _mm256_fmadd_ps(a, b, c);
}
static inline vfloat vf_select(vint mask, vfloat a, vfloat b) {
    return _mm256_blendv_ps(b, a, (__m256)mask);
}
/* NaN in x stays. */
static inline vfloat vf_max(vfloat bound, vfloat x) {
    return _mm256_max_ps(bound, x);
}
static inline vfloat vf_min(vfloat bound, vfloat x) {
    return _mm256_min_ps(bound, x);
}
static inline vfloat vf_sqrt(vfloat x) {
    return _mm256_sqrt_ps(x);
}
/* Nearest integer, ties to even. */
static inline vfloat vf_round(vfloat x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vint vf_to_int(vfloat x) {
    return (vint)_mm256_cvtps_epi32(x);
}
static inline float vf_sum(vfloat x) {
    return sum_of_8(x);
}
/* vf_sum of each: the same sums, of several in a vector. */
static inline void vf_sum_four(vfloat a, vfloat b, vfloat c, vfloat d, float *out) {
    __m256 ab =
        _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
    __m256 cd =
        _mm256_add_ps(_mm256_permute2f128_ps(c, d, 0x20), _mm256_permute2f128_ps(c, d, 0x31));
    __m256 two = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
    __m256 one =
        _mm256_add_ps(_mm256_shuffle_ps(two, two, 0x88), _mm256_shuffle_ps(two, two, 0xdd));
    __m128 ac = _mm256_castps256_ps128(one), bd = _mm256_extractf128_ps(one, 1);
    _mm_storeu_ps(out, _mm_unpacklo_ps(ac, bd));
}
static inline float vf_largest(vfloat x) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
static inline vfloat vf_load_f16(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline void vf_store_f16(uint16_t *p, vfloat x) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

#endif
