/* SPDX-License-Identifier: Apache-2.0 */
/* Template, part of panel_fast_x86.h: bytes of 8 rows of weights side by side. */
#include "lanes.h"

#define LANES_ROWS 2 /* rows of activations that meet the weights in registers */

ALWAYS_INLINE __m128i lane_sixteen(const lane_rows *rows, unsigned j, size_t offset) {
    return _mm_loadu_si128((const __m128i *)(const void *)lane_at(rows, j, offset));
}
ALWAYS_INLINE __m128i lane_eight(const lane_rows *rows, unsigned j, size_t offset) {
    return _mm_loadl_epi64((const __m128i *)(const void *)lane_at(rows, j, offset));
}

/* 16 bytes at `offset` of every row: out[g] holds bytes 4 g ... 4 g + 3 of each. */
ALWAYS_INLINE void load_fours(const lane_rows *rows, size_t offset, vbytes out[4]) {
    __m256i y[4];
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        y[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(lane_sixteen(rows, i, offset)),
                                       lane_sixteen(rows, i + 4, offset), 1);
    }
    __m256i a = _mm256_unpacklo_epi32(y[0], y[1]), b = _mm256_unpackhi_epi32(y[0], y[1]);
    __m256i c = _mm256_unpacklo_epi32(y[2], y[3]), d = _mm256_unpackhi_epi32(y[2], y[3]);
    out[0] = (vbytes)_mm256_unpacklo_epi64(a, c);
    out[1] = (vbytes)_mm256_unpackhi_epi64(a, c);
    out[2] = (vbytes)_mm256_unpacklo_epi64(b, d);
    out[3] = (vbytes)_mm256_unpackhi_epi64(b, d);
}

/* The eight bytes at `offset` of every row: their first four and their last four. */
ALWAYS_INLINE void load_longs(const lane_rows *rows, size_t offset, vwords out[2]) {
    __m256i y[2];
#pragma GCC unroll 2
    for (unsigned i = 0; i < 2; i++) {
        __m128i low = _mm_unpacklo_epi32(lane_eight(rows, 2 * i, offset),
                                         lane_eight(rows, 2 * i + 1, offset));
        __m128i high = _mm_unpacklo_epi32(lane_eight(rows, 2 * i + 4, offset),
                                          lane_eight(rows, 2 * i + 5, offset));
        y[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
    }
    out[0] = (vwords)_mm256_unpacklo_epi64(y[0], y[1]);
    out[1] = (vwords)_mm256_unpackhi_epi64(y[0], y[1]);
}

/* f16 in the low and in the high half of the words. */
ALWAYS_INLINE vfloat halves_low(vwords words) {
    __m256i low = (__m256i)(words & words_of(0xffff));
    __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0x08);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
}
ALWAYS_INLINE vfloat halves_high(vwords words) {
    return halves_low(words >> 16);
}
/* The f16 at `offset` of every row. */
ALWAYS_INLINE vfloat load_halves(const lane_rows *rows, size_t offset) {
    typedef uint16_t halves8 __attribute__((vector_size(16)));
    halves8 halves;
#pragma GCC unroll 8
    for (unsigned j = 0; j < 8; j++) {
        uint16_t half = 0;
        memcpy(&half, lane_at(rows, j, offset), 2);
        halves[j] = half;
    }
    return _mm256_cvtph_ps((__m128i)halves);
}
ALWAYS_INLINE vbytes lane_table(const int8_t table[16]) {
    __m128i row = _mm_loadu_si128((const __m128i *)(const void *)table);
    return (vbytes)_mm256_broadcastsi128_si256(row);
}
ALWAYS_INLINE vbytes lane_look(vbytes table, vbytes index) {
    return (vbytes)_mm256_shuffle_epi8((__m256i)table, (__m256i)index);
}
ALWAYS_INLINE vbytes lane_least(vbytes a, vbytes b) {
    return (vbytes)_mm256_min_epu8((__m256i)a, (__m256i)b);
}
