/* SPDX-License-Identifier: Apache-2.0 */
/* Panel layer for AVX2, with or without AVX-VNNI: 8 columns in the lanes of a ymm. */
#ifndef CPU_PANEL_H
#define CPU_PANEL_H

#define PANEL_COLUMNS 8
#define PANEL_LANES 8
#define PANEL_VECTORS 1

#if defined(__AVXVNNI__)
#define PANEL_ROWS 6
#define PANEL_ROWS_PLANES 4
#define PANEL_STEPS 1
#define PANEL_ZERO(traits) 128

typedef struct panel_weights {
    __m256i w;
} panel_weights;

ALWAYS_INLINE panel_weights panel_weights_at(const uint8_t *values, unsigned stride,
                                             unsigned traits) {
    (void)stride;
    (void)traits;
    return (panel_weights){_mm256_load_si256((const __m256i *)(const void *)values)};
}
ALWAYS_INLINE vint panel_dot(vint sum, panel_weights w, const uint8_t *a, unsigned traits) {
    int32_t four = 0;
    (void)traits;
    memcpy(&four, a, 4);
    return (vint)_mm256_dpbusd_avx_epi32((__m256i)sum, w.w, _mm256_set1_epi32(four));
}
#else
#define PANEL_ROWS 5
#define PANEL_ROWS_PLANES 3

typedef __m256i panel_vector;

ALWAYS_INLINE __m256i panel_load(const uint8_t *values) {
    return _mm256_load_si256((const __m256i *)(const void *)values);
}
ALWAYS_INLINE __m256i panel_four(const uint8_t *a) {
    int32_t four = 0;
    memcpy(&four, a, 4);
    return _mm256_set1_epi32(four);
}
ALWAYS_INLINE vshorts panel_pairs(__m256i w, __m256i x, unsigned traits) {
    return (vshorts)((traits & TRAIT_WIDE) != 0
                         ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
                         : _mm256_maddubs_epi16(w, x));
}
ALWAYS_INLINE vint panel_widen(vshorts pairs) {
    return (vint)_mm256_madd_epi16((__m256i)pairs, _mm256_set1_epi16(1));
}
ALWAYS_INLINE vshorts panel_add(vshorts a, vshorts b) {
    return (vshorts)_mm256_adds_epi16((__m256i)a, (__m256i)b);
}
#include "panel_pairs.h"
#endif

/* 8 chunks of 32 bytes become eight vectors of four bytes per column. */
ALWAYS_INLINE void panel_transpose(const __m256i chunks[8], uint8_t *values) {
    __m256i t[8];
#pragma GCC unroll 2
    for (unsigned h = 0; h < 8; h += 4) {
        __m256i a = _mm256_unpacklo_epi32(chunks[h], chunks[h + 1]);
        __m256i b = _mm256_unpackhi_epi32(chunks[h], chunks[h + 1]);
        __m256i c = _mm256_unpacklo_epi32(chunks[h + 2], chunks[h + 3]);
        __m256i d = _mm256_unpackhi_epi32(chunks[h + 2], chunks[h + 3]);
        t[h] = _mm256_unpacklo_epi64(a, c);
        t[h + 1] = _mm256_unpackhi_epi64(a, c);
        t[h + 2] = _mm256_unpacklo_epi64(b, d);
        t[h + 3] = _mm256_unpackhi_epi64(b, d);
    }
    __m256i *out = (__m256i *)(void *)values;
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        _mm256_store_si256(out + i, _mm256_permute2x128_si256(t[i], t[i + 4], 0x20));
        _mm256_store_si256(out + i + 4, _mm256_permute2x128_si256(t[i], t[i + 4], 0x31));
    }
}

#include "panel_tile.h"

#endif
