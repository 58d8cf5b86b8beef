/* SPDX-License-Identifier: Apache-2.0 */
/* Panel layer for x86-64-v2: 4 columns in the lanes of an xmm. */
#ifndef CPU_PANEL_H
#define CPU_PANEL_H

#define PANEL_COLUMNS 4
#define PANEL_LANES 4
#define PANEL_VECTORS 1
#define PANEL_ROWS 4
#define PANEL_ROWS_PLANES 3
#define PANEL_STEPS 2

/* Sums of pairs are 16 bits there: integers up to 15 fit eight times, up to 63 twice; wide ones
 * lend their sign to the activation and fit once, since 2 * 128 * 127 < 32768. */
#define PANEL_WIDE
#define PANEL_PAIRS
#define PANEL_ZERO(traits) (((traits)&TRAIT_WIDE) != 0 ? 0 : ((traits)&TRAIT_SMALL) != 0 ? 8 : 32)

typedef struct panel_weights {
    __m128i w[2];
} panel_weights;

ALWAYS_INLINE panel_weights panel_weights_at(const uint8_t *values, unsigned stride,
                                             unsigned traits) {
    (void)traits;
    return (panel_weights){{_mm_load_si128((const __m128i *)(const void *)values),
                            _mm_load_si128((const __m128i *)(const void *)(values + stride))}};
}
ALWAYS_INLINE __m128i panel_pairs(__m128i w, __m128i x, unsigned traits) {
    return (traits & TRAIT_WIDE) != 0 ? _mm_maddubs_epi16(_mm_abs_epi8(w), _mm_sign_epi8(x, w))
                                      : _mm_maddubs_epi16(w, x);
}
ALWAYS_INLINE vint panel_widen(vshorts pairs) {
    return (vint)_mm_madd_epi16((__m128i)pairs, _mm_set1_epi16(1));
}
/* Saturates, which these sums never do: compilers keep the order of such sums, and another one
 * would need more registers than there are. */
ALWAYS_INLINE vshorts panel_add(vshorts a, vshorts b) {
    return (vshorts)_mm_adds_epi16((__m128i)a, (__m128i)b);
}
/* The pairs of two steps of integers that fit twice. */
ALWAYS_INLINE vshorts panel_two(panel_weights w, const uint8_t *a) {
    __m128i eight = _mm_loadl_epi64((const __m128i *)(const void *)a);
    return panel_add((vshorts)panel_pairs(w.w[0], _mm_shuffle_epi32(eight, 0x00), 0),
                     (vshorts)panel_pairs(w.w[1], _mm_shuffle_epi32(eight, 0x55), 0));
}
ALWAYS_INLINE vint panel_dot(vint sum, panel_weights w, const uint8_t *a, unsigned traits) {
    if ((traits & TRAIT_WIDE) != 0) {
        __m128i eight = _mm_loadl_epi64((const __m128i *)(const void *)a);
        __m128i first = panel_pairs(w.w[0], _mm_shuffle_epi32(eight, 0x00), traits);
        __m128i second = panel_pairs(w.w[1], _mm_shuffle_epi32(eight, 0x55), traits);
        return sum + panel_widen((vshorts)first) + panel_widen((vshorts)second);
    }
    return sum + panel_widen(panel_two(w, a));
}

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
