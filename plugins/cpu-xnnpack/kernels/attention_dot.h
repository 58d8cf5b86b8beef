/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Template: products of four bytes in the lanes of a vector, for keys and values of block types.
 * Included after a vector layer. dot_small takes bytes of keys from 0 to 15; dot_signed any, and
 * where the machine multiplies unsigned by signed it takes each byte of a key DOT_SIGNED_BIAS too
 * large, which the caller takes off. Bytes of q are within +-127.
 */
#ifndef CPU_ATTENTION_DOT_H
#define CPU_ATTENTION_DOT_H

#include "attention_cells.h"

static inline vint dot_load(const void *p) {
    vint v;
    memcpy(&v, p, sizeof(v));
    return v;
}
static inline vint dot_set1(int32_t x) {
    return (vint){0} + x;
}
/* The same four bytes in every lane. */
static inline vint dot_four(const uint8_t *p) {
    int32_t x = 0;
    memcpy(&x, p, 4);
    return dot_set1(x);
}
static inline vfloat dot_to_float(vint x) {
    typedef float floats __attribute__((vector_size(VF * 4)));
    return (vfloat) __builtin_convertvector(x, floats);
}
/* VF bytes, a lane each. Compilers make poor code of the general conversion. */
static inline vint dot_bytes(const uint8_t *p) {
#if VF == 16
    return (vint)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
#elif VF == 8
    return (vint)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
#elif defined(__SSE4_1__)
    int32_t four = 0;
    memcpy(&four, p, 4);
    return (vint)_mm_cvtepi8_epi32(_mm_cvtsi32_si128(four));
#elif defined(CPU_VECTOR_NEON)
    uint32_t four = 0;
    memcpy(&four, p, 4);
    return vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(four))));
#else
    vint w = {(int8_t)p[0], (int8_t)p[1], (int8_t)p[2], (int8_t)p[3]};
    return w;
#endif
}

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
#define DOT_SIGNED_BIAS 128
static inline vint dot_small(vint acc, vint k, vint q) {
#if VF == 16
    return (vint)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)k, (__m512i)q);
#else
    return (vint)_mm256_dpbusd_avx_epi32((__m256i)acc, (__m256i)k, (__m256i)q);
#endif
}
static inline vint dot_signed(vint acc, vint k, vint q) {
    return dot_small(acc, k ^ (int32_t)0x80808080, q);
}
#elif VF == 16
#define DOT_SIGNED_BIAS 0
static inline vint dot_small(vint acc, vint k, vint q) {
    __m512i pairs = _mm512_maddubs_epi16((__m512i)k, (__m512i)q);
    return acc + (vint)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
}
static inline vint dot_signed(vint acc, vint k, vint q) {
    const __m512i x = (__m512i)q, zero = _mm512_setzero_si512();
    __m512i lent = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask((__m512i)k), zero, x);
    return dot_small(acc, (vint)_mm512_abs_epi8((__m512i)k), (vint)lent);
}
#elif VF == 8
#define DOT_SIGNED_BIAS 0
static inline vint dot_small(vint acc, vint k, vint q) {
    __m256i pairs = _mm256_maddubs_epi16((__m256i)k, (__m256i)q);
    return acc + (vint)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
static inline vint dot_signed(vint acc, vint k, vint q) {
    return dot_small(acc, (vint)_mm256_abs_epi8((__m256i)k),
                     (vint)_mm256_sign_epi8((__m256i)q, (__m256i)k));
}
#elif defined(__SSE4_1__)
#define DOT_SIGNED_BIAS 0
static inline vint dot_small(vint acc, vint k, vint q) {
    __m128i pairs = _mm_maddubs_epi16((__m128i)k, (__m128i)q);
    return acc + (vint)_mm_madd_epi16(pairs, _mm_set1_epi16(1));
}
static inline vint dot_signed(vint acc, vint k, vint q) {
    return dot_small(acc, (vint)_mm_abs_epi8((__m128i)k),
                     (vint)_mm_sign_epi8((__m128i)q, (__m128i)k));
}
#elif defined(CPU_VECTOR_NEON)
#define DOT_SIGNED_BIAS 0
static inline vint dot_signed(vint acc, vint k, vint q) {
    int8x16_t a = vreinterpretq_s8_s32(k), b = vreinterpretq_s8_s32(q);
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(acc, a, b);
#else
    int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b)), high = vmull_high_s8(a, b);
    return vaddq_s32(acc, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
}
#define dot_small dot_signed
#else
#define DOT_SIGNED_BIAS 0
static inline vint dot_signed(vint acc, vint k, vint q) {
    int8_t a[VF * 4], b[VF * 4];
    memcpy(a, &k, sizeof(a));
    memcpy(b, &q, sizeof(b));
    for (int lane = 0; lane < VF; lane++) {
        for (int i = 4 * lane; i < 4 * lane + 4; i++) {
            acc[lane] += a[i] * b[i];
        }
    }
    return acc;
}
#define dot_small dot_signed
#endif

#endif
