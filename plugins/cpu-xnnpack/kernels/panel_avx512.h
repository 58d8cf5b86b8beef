/* SPDX-License-Identifier: Apache-2.0 */
/* Panel layer for AVX-512, with or without VNNI: 16 columns in the lanes of a zmm. */
#ifndef CPU_PANEL_H
#define CPU_PANEL_H

#define PANEL_LANES 16

#if defined(__AVX512VNNI__)
#define PANEL_COLUMNS 32
#define PANEL_VECTORS 2
#define PANEL_ROWS 6        /* of a tile: as many as the registers hold sums of */
#define PANEL_ROWS_PLANES 4 /* with two planes */
#define PANEL_STEPS 1
#define PANEL_ZERO(traits) CPU_WEIGHT_ZERO

typedef struct panel_weights {
    __m512i w;
} panel_weights;

ALWAYS_INLINE panel_weights panel_weights_at(const uint8_t *values, unsigned stride,
                                             unsigned traits) {
    (void)stride;
    (void)traits;
    return (panel_weights){_mm512_load_si512((const void *)values)};
}
ALWAYS_INLINE vint panel_dot(vint sum, panel_weights w, const uint8_t *a, unsigned traits) {
    int32_t four = 0;
    (void)traits;
    memcpy(&four, a, 4);
    return (vint)_mm512_dpbusd_epi32((__m512i)sum, w.w, _mm512_set1_epi32(four));
}

#else
/* Broadcasts cost as much as products there, so that one vector of columns meets many rows. */
#define PANEL_COLUMNS 16
#define PANEL_VECTORS 1
#define PANEL_ROWS 10
#define PANEL_ROWS_PLANES 6

typedef __m512i panel_vector;

ALWAYS_INLINE __m512i panel_load(const uint8_t *values) {
    return _mm512_load_si512((const void *)values);
}
ALWAYS_INLINE __m512i panel_four(const uint8_t *a) {
    int32_t four = 0;
    memcpy(&four, a, 4);
    return _mm512_set1_epi32(four);
}
ALWAYS_INLINE vshorts panel_pairs(__m512i w, __m512i x, unsigned traits) {
    if ((traits & TRAIT_WIDE) == 0) {
        return (vshorts)_mm512_maddubs_epi16(w, x);
    }
    __m512i lent = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x);
    return (vshorts)_mm512_maddubs_epi16(_mm512_abs_epi8(w), lent);
}
ALWAYS_INLINE vint panel_widen(vshorts pairs) {
    return (vint)_mm512_madd_epi16((__m512i)pairs, _mm512_set1_epi16(1));
}
ALWAYS_INLINE vshorts panel_add(vshorts a, vshorts b) {
    return (vshorts)_mm512_adds_epi16((__m512i)a, (__m512i)b);
}
#include "panel_pairs.h"
#endif

/* 16 chunks of 32 bytes become eight vectors of four bytes per column. */
ALWAYS_INLINE void panel_transpose(const __m256i chunks[16], uint8_t *values) {
    __m512i z[8], t[8];
#pragma GCC unroll 8
    for (unsigned i = 0; i < 8; i++) {
        unsigned column = i < 4 ? i : i + 4;
        z[i] = _mm512_inserti64x4(_mm512_castsi256_si512(chunks[column]), chunks[column + 4], 1);
    }
#pragma GCC unroll 2
    for (unsigned h = 0; h < 8; h += 4) {
        __m512i a = _mm512_unpacklo_epi32(z[h], z[h + 1]),
                b = _mm512_unpackhi_epi32(z[h], z[h + 1]);
        __m512i c = _mm512_unpacklo_epi32(z[h + 2], z[h + 3]);
        __m512i d = _mm512_unpackhi_epi32(z[h + 2], z[h + 3]);
        t[h] = _mm512_unpacklo_epi64(a, c);
        t[h + 1] = _mm512_unpackhi_epi64(a, c);
        t[h + 2] = _mm512_unpacklo_epi64(b, d);
        t[h + 3] = _mm512_unpackhi_epi64(b, d);
    }
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        _mm512_store_si512((void *)(values + 4 * PANEL_COLUMNS * i),
                           _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88));
        _mm512_store_si512((void *)(values + 4 * PANEL_COLUMNS * (i + 4)),
                           _mm512_shuffle_i32x4(t[i], t[i + 4], 0xdd));
    }
}

#include "panel_tile.h"

#endif
