/* SPDX-License-Identifier: Apache-2.0 */
/* Panel layer for x86-64-v2: 4 columns in the lanes of an xmm. */
#ifndef CPU_PANEL_H
#define CPU_PANEL_H

#define PANEL_COLUMNS 4
#define PANEL_LANES 4
#define PANEL_VECTORS 1
#define PANEL_ROWS 4
#define PANEL_ROWS_PLANES 3

typedef __m128i panel_vector;

ALWAYS_INLINE __m128i panel_load(const uint8_t *values) {
    return _mm_load_si128((const __m128i *)(const void *)values);
}
ALWAYS_INLINE __m128i panel_four(const uint8_t *a) {
    int32_t four = 0;
    memcpy(&four, a, 4);
    return _mm_set1_epi32(four);
}
ALWAYS_INLINE vshorts panel_pairs(__m128i w, __m128i x, unsigned traits) {
    return (vshorts)((traits & TRAIT_WIDE) != 0
                         ? _mm_maddubs_epi16(_mm_abs_epi8(w), _mm_sign_epi8(x, w))
                         : _mm_maddubs_epi16(w, x));
}
ALWAYS_INLINE vint panel_widen(vshorts pairs) {
    return (vint)_mm_madd_epi16((__m128i)pairs, _mm_set1_epi16(1));
}
ALWAYS_INLINE vshorts panel_add(vshorts a, vshorts b) {
    return (vshorts)_mm_adds_epi16((__m128i)a, (__m128i)b);
}
#include "panel_pairs.h"

/* 4 chunks of 32 bytes become eight vectors of four bytes per column. */
ALWAYS_INLINE void panel_transpose(const chunk chunks[4], uint8_t *values) {
    __m128i *out = (__m128i *)(void *)values;
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; h++) {
        __m128i a = _mm_unpacklo_epi32(chunks[0].half[h], chunks[1].half[h]);
        __m128i b = _mm_unpackhi_epi32(chunks[0].half[h], chunks[1].half[h]);
        __m128i c = _mm_unpacklo_epi32(chunks[2].half[h], chunks[3].half[h]);
        __m128i d = _mm_unpackhi_epi32(chunks[2].half[h], chunks[3].half[h]);
        _mm_store_si128(out + 4 * h, _mm_unpacklo_epi64(a, c));
        _mm_store_si128(out + 4 * h + 1, _mm_unpackhi_epi64(a, c));
        _mm_store_si128(out + 4 * h + 2, _mm_unpacklo_epi64(b, d));
        _mm_store_si128(out + 4 * h + 3, _mm_unpackhi_epi64(b, d));
    }
}

#include "panel_tile.h"

#endif
