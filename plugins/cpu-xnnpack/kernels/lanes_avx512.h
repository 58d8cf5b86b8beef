/* SPDX-License-Identifier: Apache-2.0 */
/* Template, part of panel_fast_x86.h: bytes of 16 rows of weights side by side. */
#define LANE_FIFTH_BITS
#define LANE_WORDS
#include "lanes.h"

#define LANES_ROWS 4 /* rows of activations that meet the weights in registers */

/* 16 bytes at `offset` of every row: out[g] holds bytes 4 g ... 4 g + 3 of each. */
ALWAYS_INLINE void load_fours(const lane_rows *rows, size_t offset, vbytes out[4]) {
    __m512i z[4];
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        z[i] = _mm512_castsi128_si512(_mm_loadu_si128((const void *)lane_at(rows, i, offset)));
#pragma GCC unroll 4
        for (unsigned l = 1; l < 4; l++) {
            __m128i part = _mm_loadu_si128((const void *)lane_at(rows, 4 * l + i, offset));
            z[i] = _mm512_mask_broadcast_i32x4(z[i], (__mmask16)(15u << (4 * l)), part);
        }
    }
    __m512i a = _mm512_unpacklo_epi32(z[0], z[1]), b = _mm512_unpackhi_epi32(z[0], z[1]);
    __m512i c = _mm512_unpacklo_epi32(z[2], z[3]), d = _mm512_unpackhi_epi32(z[2], z[3]);
    out[0] = (vbytes)_mm512_unpacklo_epi64(a, c);
    out[1] = (vbytes)_mm512_unpackhi_epi64(a, c);
    out[2] = (vbytes)_mm512_unpacklo_epi64(b, d);
    out[3] = (vbytes)_mm512_unpackhi_epi64(b, d);
}

/* One 128-bit lane from each of four vectors. Few masks are used over and over: there are seven
 * registers for them. */
ALWAYS_INLINE __m512i pick_lanes(const __m512i part[4]) {
    __m512i low = _mm512_mask_mov_epi32(part[0], 0x00f0, part[1]);
    return _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(low, 0x0f00, part[2]), 0xf000, part[3]);
}

/* The four bytes at `offset` of every row. */
ALWAYS_INLINE vwords load_words(const lane_rows *rows, size_t offset) {
    __m512i part[4];
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        int32_t first = 0;
        memcpy(&first, lane_at(rows, 4 * i, offset), 4);
        part[i] = _mm512_set1_epi32(first);
#pragma GCC unroll 4
        for (unsigned j = 1; j < 4; j++) {
            int32_t word = 0;
            memcpy(&word, lane_at(rows, 4 * i + j, offset), 4);
            part[i] = _mm512_mask_set1_epi32(part[i], (__mmask16)(0x1111u << j), word);
        }
    }
    return (vwords)pick_lanes(part);
}

/* The eight bytes at `offset` of every row: their first four and their last four. */
ALWAYS_INLINE void load_longs(const lane_rows *rows, size_t offset, vwords out[2]) {
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    __m512i half[2];
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; h++) {
        __m512i part[4];
#pragma GCC unroll 4
        for (unsigned i = 0; i < 4; i++) {
            int64_t first = 0, second = 0;
            memcpy(&first, lane_at(rows, 8 * h + 2 * i, offset), 8);
            memcpy(&second, lane_at(rows, 8 * h + 2 * i + 1, offset), 8);
            part[i] = _mm512_mask_set1_epi64(_mm512_set1_epi64(first), 0xaa, second);
        }
        half[h] = pick_lanes(part);
    }
    out[0] = (vwords)_mm512_permutex2var_epi32(half[0], even, half[1]);
    __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    out[1] = (vwords)_mm512_permutex2var_epi32(half[0], odd, half[1]);
}

/* f16 in the low and in the high half of the words. */
ALWAYS_INLINE vfloat halves_low(vwords words) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)words));
}
ALWAYS_INLINE vfloat halves_high(vwords words) {
    return halves_low(words >> 16);
}
/* The f16 at `offset` of every row; of blocks that have four bytes there or two bytes before. */
ALWAYS_INLINE vfloat load_halves(const lane_rows *rows, size_t offset) {
    return offset < 2 ? halves_low(load_words(rows, offset))
                      : halves_high(load_words(rows, offset - 2));
}
ALWAYS_INLINE vbytes lane_table(const int8_t table[16]) {
    return (vbytes)_mm512_broadcast_i32x4(_mm_loadu_si128((const void *)table));
}
ALWAYS_INLINE vbytes lane_look(vbytes table, vbytes index) {
    return (vbytes)_mm512_shuffle_epi8((__m512i)table, (__m512i)index);
}
/* Bits 4 step ... 4 step + 3 of every lane as 16 in its four bytes. The permutation looks at the
 * low four bits of a lane only. */
ALWAYS_INLINE vbytes fifth_bits(vwords bits, unsigned step) {
    const __m512i spread = _mm512_setr_epi32(
        0, 0x10, 0x1000, 0x1010, 0x100000, 0x100010, 0x101000, 0x101010, 0x10000000, 0x10000010,
        0x10001000, 0x10001010, 0x10100000, 0x10100010, 0x10101000, 0x10101010);
    return (vbytes)_mm512_permutexvar_epi32((__m512i)(bits >> 4 * step), spread);
}
