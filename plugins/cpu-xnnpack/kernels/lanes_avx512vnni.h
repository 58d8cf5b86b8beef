/* SPDX-License-Identifier: Apache-2.0 */
/* Template, part of panel_fast_avx512vnni.h: bytes of 16 rows of weights side by side. */

ALWAYS_INLINE __m512i panel_all(const uint8_t *p) {
    int32_t value = 0;
    memcpy(&value, p, 4);
    return _mm512_set1_epi32(value);
}

ALWAYS_INLINE __m512 panel_all_float(const uint8_t *p) {
    float value = 0.0f;
    memcpy(&value, p, 4);
    return _mm512_set1_ps(value);
}

/* 16 rows of weights from some byte on: three to a base, so that no index is multiplied. */
typedef struct lanes16 {
    const uint8_t *base[6];
    size_t stride;
} lanes16;

ALWAYS_INLINE lanes16 lanes16_at(const uint8_t *first, size_t stride) {
    lanes16 rows = {.stride = stride};
#pragma GCC unroll 6
    for (unsigned i = 0; i < 6; i++) {
        rows.base[i] = first + 3 * i * stride;
    }
    return rows;
}
ALWAYS_INLINE const uint8_t *lane_at(const lanes16 *rows, unsigned j, size_t offset) {
    return rows->base[j / 3] + j % 3 * rows->stride + offset;
}

/* 16 bytes at `offset` of every row: out[g] holds bytes 4 g ... 4 g + 3 of each. */
ALWAYS_INLINE void load_fours(const lanes16 *rows, size_t offset, __m512i out[4]) {
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
    out[0] = _mm512_unpacklo_epi64(a, c);
    out[1] = _mm512_unpackhi_epi64(a, c);
    out[2] = _mm512_unpacklo_epi64(b, d);
    out[3] = _mm512_unpackhi_epi64(b, d);
}

/* One 128-bit lane from each of four vectors. Few masks are used over and over: there are seven
 * registers for them. */
ALWAYS_INLINE __m512i pick_lanes(const __m512i part[4]) {
    __m512i low = _mm512_mask_mov_epi32(part[0], 0x00f0, part[1]);
    return _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(low, 0x0f00, part[2]), 0xf000, part[3]);
}

/* The four bytes at `offset` of every row. */
ALWAYS_INLINE __m512i load_words(const lanes16 *rows, size_t offset) {
    __m512i part[4];
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        part[i] = panel_all(lane_at(rows, 4 * i, offset));
#pragma GCC unroll 4
        for (unsigned j = 1; j < 4; j++) {
            int32_t word = 0;
            memcpy(&word, lane_at(rows, 4 * i + j, offset), 4);
            part[i] = _mm512_mask_set1_epi32(part[i], (__mmask16)(0x1111u << j), word);
        }
    }
    return pick_lanes(part);
}

/* The eight bytes at `offset` of every row: their first four and their last four. */
ALWAYS_INLINE void load_longs(const lanes16 *rows, size_t offset, __m512i out[2]) {
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
    out[0] = _mm512_permutex2var_epi32(half[0], even, half[1]);
    out[1] =
        _mm512_permutex2var_epi32(half[0], _mm512_add_epi32(even, _mm512_set1_epi32(1)), half[1]);
}

/* f16 in the low and in the high half of 16 words. */
ALWAYS_INLINE __m512 halves_low(__m512i words) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
}
ALWAYS_INLINE __m512 halves_high(__m512i words) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(words, 16)));
}
ALWAYS_INLINE __m512i bytes16(uint8_t value) {
    return _mm512_set1_epi8((char)value);
}
ALWAYS_INLINE __m512i low_nibbles(__m512i bytes) {
    return _mm512_and_si512(bytes, bytes16(15));
}
ALWAYS_INLINE __m512i high_nibbles(__m512i bytes) {
    return _mm512_and_si512(_mm512_srli_epi16(bytes, 4), bytes16(15));
}
