/* SPDX-License-Identifier: Apache-2.0 */
/* Template, part of panel_fast_x86.h: bytes of 4 rows of weights side by side. */
#include "lanes.h"

#define LANES_ROWS 2 /* rows of activations that meet the weights in registers */

/* 16 bytes at `offset` of every row: out[g] holds bytes 4 g ... 4 g + 3 of each. */
ALWAYS_INLINE void load_fours(const lane_rows *rows, size_t offset, vbytes out[4]) {
    __m128i x[4];
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        x[i] = _mm_loadu_si128((const __m128i *)(const void *)lane_at(rows, i, offset));
    }
    __m128i a = _mm_unpacklo_epi32(x[0], x[1]), b = _mm_unpackhi_epi32(x[0], x[1]);
    __m128i c = _mm_unpacklo_epi32(x[2], x[3]), d = _mm_unpackhi_epi32(x[2], x[3]);
    out[0] = (vbytes)_mm_unpacklo_epi64(a, c);
    out[1] = (vbytes)_mm_unpackhi_epi64(a, c);
    out[2] = (vbytes)_mm_unpacklo_epi64(b, d);
    out[3] = (vbytes)_mm_unpackhi_epi64(b, d);
}

/* The eight bytes at `offset` of every row: their first four and their last four. */
ALWAYS_INLINE void load_longs(const lane_rows *rows, size_t offset, vwords out[2]) {
    __m128i x[4];
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        x[i] = _mm_loadl_epi64((const __m128i *)(const void *)lane_at(rows, i, offset));
    }
    __m128i a = _mm_unpacklo_epi32(x[0], x[1]), b = _mm_unpacklo_epi32(x[2], x[3]);
    out[0] = (vwords)_mm_unpacklo_epi64(a, b);
    out[1] = (vwords)_mm_unpackhi_epi64(a, b);
}

/* f16 in the low and in the high half of the words. */
ALWAYS_INLINE vfloat halves_low(vwords words) {
    return halves_to_floats((__m128i)(words & words_of(0xffff)));
}
ALWAYS_INLINE vfloat halves_high(vwords words) {
    return halves_to_floats((__m128i)(words >> 16));
}
/* The f16 at `offset` of every row. */
ALWAYS_INLINE vfloat load_halves(const lane_rows *rows, size_t offset) {
    vwords halves;
#pragma GCC unroll 4
    for (unsigned j = 0; j < 4; j++) {
        uint16_t half = 0;
        memcpy(&half, lane_at(rows, j, offset), 2);
        halves[j] = half;
    }
    return halves_to_floats((__m128i)halves);
}

ALWAYS_INLINE vbytes lane_table(const int8_t table[16]) {
    return (vbytes)_mm_loadu_si128((const __m128i *)(const void *)table);
}
ALWAYS_INLINE vbytes lane_look(vbytes table, vbytes index) {
    return (vbytes)_mm_shuffle_epi8((__m128i)table, (__m128i)index);
}
ALWAYS_INLINE vbytes lane_least(vbytes a, vbytes b) {
    return (vbytes)_mm_min_epu8((__m128i)a, (__m128i)b);
}
