/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacking of the common block types for 16 columns at once: four bytes of every column are
 * brought side by side while they are still packed, so that masks, shifts and scales work on
 * vectors of columns. Gives the same integers and the same factors as unpack_any.
 */

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

/* The four bytes at `offset` of every row. */
ALWAYS_INLINE __m512i load_words(const lanes16 *rows, size_t offset) {
    __m128i part[4];
#pragma GCC unroll 4
    for (unsigned l = 0; l < 4; l++) {
        int32_t word[4];
#pragma GCC unroll 4
        for (unsigned i = 0; i < 4; i++) {
            memcpy(&word[i], lane_at(rows, 4 * l + i, offset), 4);
        }
        __m128i low = _mm_insert_epi32(_mm_cvtsi32_si128(word[0]), word[1], 1);
        __m128i high = _mm_insert_epi32(_mm_cvtsi32_si128(word[2]), word[3], 1);
        part[l] = _mm_unpacklo_epi64(low, high);
    }
    __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(part[0]), part[1], 1);
    __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(part[2]), part[3], 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
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

/* Where 16 lanes of a panel are written. */
typedef struct lanes_out {
    uint8_t *values; /* of the chunk */
    float *scale, *minimum;
} lanes_out;

ALWAYS_INLINE lanes_out lanes_out_at(const panel *p, size_t c, unsigned lane, unsigned per_chunk) {
    size_t at = c * per_chunk * PANEL_COLUMNS + lane;
    return (lanes_out){p->values + c * 32 * PANEL_COLUMNS + 4 * lane, p->scale + at,
                       p->minimum + at};
}
/* Elements 4 step ... of the chunk. */
ALWAYS_INLINE void put_four(const lanes_out *out, unsigned step, __m512i bytes) {
    _mm512_store_si512((void *)(out->values + step * 4 * PANEL_COLUMNS), bytes);
}

/* ---- one chunk of 32 ---- */
ALWAYS_INLINE void lanes_q4_0(const lanes16 *rows, const lanes_out *out) {
    __m512i q[4];
    _mm512_store_ps(out->scale, halves_low(load_words(rows, 0)));
    load_fours(rows, 2, q);
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++) {
        put_four(out, g, _mm512_add_epi8(low_nibbles(q[g]), bytes16(CPU_WEIGHT_ZERO - 8)));
        put_four(out, g + 4, _mm512_add_epi8(high_nibbles(q[g]), bytes16(CPU_WEIGHT_ZERO - 8)));
    }
}
ALWAYS_INLINE void lanes_q4_1(const lanes16 *rows, const lanes_out *out) {
    __m512i q[4], head = load_words(rows, 0);
    _mm512_store_ps(out->scale, halves_low(head));
    _mm512_store_ps(out->minimum, halves_high(head));
    load_fours(rows, 4, q);
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++) {
        put_four(out, g, low_nibbles(q[g]));
        put_four(out, g + 4, high_nibbles(q[g]));
    }
}
ALWAYS_INLINE void lanes_iq4_nl(const lanes16 *rows, const lanes_out *out) {
    __m128i table = _mm_loadu_si128((const void *)iq4_values);
    __m512i q[4], values = _mm512_xor_si512(_mm512_broadcast_i32x4(table), bytes16(0x80));
    _mm512_store_ps(out->scale, halves_low(load_words(rows, 0)));
    load_fours(rows, 2, q);
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++) {
        put_four(out, g, _mm512_shuffle_epi8(values, low_nibbles(q[g])));
        put_four(out, g + 4, _mm512_shuffle_epi8(values, high_nibbles(q[g])));
    }
}
/* Bits 4 step ... 4 step + 3 of every lane as 16 in its four bytes, plus `base`. The permutation
 * looks at the low four bits of a lane only. */
ALWAYS_INLINE __m512i fifth_bits(__m512i bits, unsigned step, uint8_t base) {
    uint32_t spread[16];
    for (uint32_t i = 0; i < 16; i++) {
        spread[i] = ((i & 1) | (i & 2) << 7 | (i & 4) << 14 | (i & 8) << 21) << 4;
    }
    __m512i table = _mm512_add_epi8(_mm512_loadu_si512(spread), bytes16(base));
    return _mm512_permutexvar_epi32(_mm512_srli_epi32(bits, 4 * step), table);
}
ALWAYS_INLINE void lanes_q5_0(const lanes16 *rows, const lanes_out *out) {
    __m512i q[4], bits = load_words(rows, 2);
    _mm512_store_ps(out->scale, halves_low(load_words(rows, 0)));
    load_fours(rows, 6, q);
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++) {
        const uint8_t base = CPU_WEIGHT_ZERO - 16;
        put_four(out, g, _mm512_add_epi8(low_nibbles(q[g]), fifth_bits(bits, g, base)));
        put_four(out, g + 4, _mm512_add_epi8(high_nibbles(q[g]), fifth_bits(bits, g + 4, base)));
    }
}
ALWAYS_INLINE void lanes_q5_1(const lanes16 *rows, const lanes_out *out) {
    __m512i q[4], head = load_words(rows, 0), bits = load_words(rows, 4);
    _mm512_store_ps(out->scale, halves_low(head));
    _mm512_store_ps(out->minimum, halves_high(head));
    load_fours(rows, 8, q);
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++) {
        put_four(out, g, _mm512_add_epi8(low_nibbles(q[g]), fifth_bits(bits, g, 0)));
        put_four(out, g + 4, _mm512_add_epi8(high_nibbles(q[g]), fifth_bits(bits, g + 4, 0)));
    }
}
ALWAYS_INLINE void lanes_q8_0(const lanes16 *rows, const lanes_out *out) {
    _mm512_store_ps(out->scale, halves_low(load_words(rows, 0)));
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; h++) {
        __m512i q[4];
        load_fours(rows, 2 + 16 * h, q);
#pragma GCC unroll 4
        for (unsigned g = 0; g < 4; g++) {
            put_four(out, 4 * h + g, _mm512_xor_si512(q[g], bytes16(CPU_WEIGHT_ZERO)));
        }
    }
}

/* ---- blocks of 256 ---- */
/* Byte i of every lane, as float. */
ALWAYS_INLINE __m512 byte_float(__m512i words, unsigned i) {
    __m512i byte = _mm512_and_si512(_mm512_srli_epi32(words, 8 * i), _mm512_set1_epi32(255));
    return _mm512_cvtepi32_ps(byte);
}

/* Scales and minima of Q4_K and Q5_K: d, dmin and twelve bytes of six-bit factors. */
ALWAYS_INLINE void lanes_k4_factors(const lanes16 *rows, const panel *p, size_t c, unsigned lane) {
    const __m512i six = bytes16(63), four = bytes16(15), top = bytes16(0x30);
    __m512i head[4], scales[2], minima[2];
    load_fours(rows, 0, head);
    scales[0] = _mm512_and_si512(head[1], six);
    minima[0] = _mm512_and_si512(head[2], six);
    scales[1] = _mm512_or_si512(_mm512_and_si512(head[3], four),
                                _mm512_and_si512(_mm512_srli_epi32(head[1], 2), top));
    minima[1] = _mm512_or_si512(high_nibbles(head[3]),
                                _mm512_and_si512(_mm512_srli_epi32(head[2], 2), top));
    __m512 d = halves_low(head[0]);
    __m512 minus = _mm512_sub_ps(_mm512_setzero_ps(), halves_high(head[0]));
#pragma GCC unroll 8
    for (unsigned i = 0; i < 8; i++) {
        lanes_out out = lanes_out_at(p, c + i, lane, 1);
        _mm512_store_ps(out.scale, _mm512_mul_ps(d, byte_float(scales[i / 4], i % 4)));
        _mm512_store_ps(out.minimum, _mm512_mul_ps(minus, byte_float(minima[i / 4], i % 4)));
    }
}
ALWAYS_INLINE void lanes_q4_k(const lanes16 *rows, const panel *p, size_t c, unsigned lane) {
    lanes_k4_factors(rows, p, c, lane);
#pragma GCC unroll 1
    for (unsigned i = 0; i < 8; i += 2) {
        lanes_out even = lanes_out_at(p, c + i, lane, 1), odd = lanes_out_at(p, c + i + 1, lane, 1);
#pragma GCC unroll 2
        for (unsigned h = 0; h < 2; h++) {
            __m512i q[4];
            load_fours(rows, offsetof(block_q4_k, qs) + 16 * i + 16 * h, q);
#pragma GCC unroll 4
            for (unsigned g = 0; g < 4; g++) {
                put_four(&even, 4 * h + g, low_nibbles(q[g]));
                put_four(&odd, 4 * h + g, high_nibbles(q[g]));
            }
        }
    }
}
ALWAYS_INLINE void lanes_q5_k(const lanes16 *rows, const panel *p, size_t c, unsigned lane) {
    __m512i high[8];
    lanes_k4_factors(rows, p, c, lane);
    load_fours(rows, offsetof(block_q5_k, qh), high);
    load_fours(rows, offsetof(block_q5_k, qh) + 16, high + 4);
#pragma GCC unroll 1
    for (unsigned i = 0; i < 8; i += 2) {
        lanes_out even = lanes_out_at(p, c + i, lane, 1), odd = lanes_out_at(p, c + i + 1, lane, 1);
#pragma GCC unroll 2
        for (unsigned h = 0; h < 2; h++) {
            __m512i q[4];
            load_fours(rows, offsetof(block_q5_k, qs) + 16 * i + 16 * h, q);
#pragma GCC unroll 4
            for (unsigned g = 0; g < 4; g++) {
                unsigned step = 4 * h + g;
                __m512i bits = _mm512_srl_epi16(high[step], _mm_cvtsi32_si128((int)i));
                __m512i first = _mm512_slli_epi16(_mm512_and_si512(bits, bytes16(1)), 4);
                __m512i second = _mm512_slli_epi16(_mm512_and_si512(bits, bytes16(2)), 3);
                put_four(&even, step, _mm512_or_si512(low_nibbles(q[g]), first));
                put_four(&odd, step, _mm512_or_si512(high_nibbles(q[g]), second));
            }
        }
    }
}
ALWAYS_INLINE void lanes_q6_k_scales(const lanes16 *rows, const panel *p, size_t c, unsigned lane) {
    __m512i scales[4];
    __m512 d = halves_high(load_words(rows, offsetof(block_q6_k, d) - 2));
    load_fours(rows, offsetof(block_q6_k, scales), scales);
#pragma GCC unroll 16
    for (unsigned i = 0; i < 16; i++) {
        lanes_out out = lanes_out_at(p, c + i / 2, lane, 2);
        __m512i byte = _mm512_srai_epi32(_mm512_slli_epi32(scales[i / 4], 24 - 8 * (i % 4)), 24);
        _mm512_store_ps(out.scale + i % 2 * PANEL_COLUMNS,
                        _mm512_mul_ps(d, _mm512_cvtepi32_ps(byte)));
    }
}
ALWAYS_INLINE void lanes_q6_k(const lanes16 *rows, const panel *p, size_t c, unsigned lane) {
    lanes_q6_k_scales(rows, p, c, lane);
#pragma GCC unroll 1
    for (unsigned n = 0; n < 4; n++) { /* half a block, 16 elements of each of its four chunks */
        unsigned half = n / 2, h = n % 2;
        __m512i high[4], q[2][4];
        load_fours(rows, offsetof(block_q6_k, qh) + 32 * half + 16 * h, high);
        load_fours(rows, 64 * half + 16 * h, q[0]);
        load_fours(rows, 64 * half + 32 + 16 * h, q[1]);
#pragma GCC unroll 4
        for (unsigned j = 0; j < 4; j++) {
            lanes_out out = lanes_out_at(p, c + 4 * half + j, lane, 2);
#pragma GCC unroll 4
            for (unsigned g = 0; g < 4; g++) {
                __m512i low = j < 2 ? low_nibbles(q[j % 2][g]) : high_nibbles(q[j % 2][g]);
                __m512i top = j < 2 ? _mm512_slli_epi16(high[g], 4 - 2 * (int)j)
                                    : _mm512_srli_epi16(high[g], 2 * (int)j - 4);
                __m512i whole = _mm512_or_si512(low, _mm512_and_si512(top, bytes16(0x30)));
                put_four(&out, 4 * h + g, _mm512_add_epi8(whole, bytes16(CPU_WEIGHT_ZERO - 32)));
            }
        }
    }
}

/* Asks for part `i` of `n` of the bytes that come after these. */
ALWAYS_INLINE void prefetch_part(const unpack_source *source, size_t n_bytes, size_t i) {
    if (source->ahead != NULL) {
        const uint8_t *p = source->ahead + i * n_bytes;
        for (size_t at = 0; at < n_bytes; at += 64) {
            _mm_prefetch((const void *)(p + at), _MM_HINT_T0);
        }
    }
}

#define FAST_CHUNKS(name)                                                                         \
    static void fast_##name(const unpack_source *source, const panel *p) {                        \
        const size_t n_bytes = sizeof(block_##name);                                              \
        for (size_t c = 0; c < source->k / 32; c++) {                                             \
            prefetch_part(source, PANEL_COLUMNS *n_bytes, c);                                     \
            for (unsigned lane = 0; lane < PANEL_COLUMNS; lane += PANEL_LANES) {                  \
                lanes16 rows = lanes16_at(                                                        \
                    source->weights + c * n_bytes + lane * source->row_bytes, source->row_bytes); \
                lanes_out out = lanes_out_at(p, c, lane, 1);                                      \
                lanes_##name(&rows, &out);                                                        \
            }                                                                                     \
        }                                                                                         \
    }
#define FAST_BLOCKS(name)                                                                         \
    static void fast_##name(const unpack_source *source, const panel *p) {                        \
        const size_t n_bytes = sizeof(block_##name);                                              \
        for (size_t b = 0; b < source->k / 256; b++) {                                            \
            prefetch_part(source, PANEL_COLUMNS *n_bytes, b);                                     \
            for (unsigned lane = 0; lane < PANEL_COLUMNS; lane += PANEL_LANES) {                  \
                lanes16 rows = lanes16_at(                                                        \
                    source->weights + b * n_bytes + lane * source->row_bytes, source->row_bytes); \
                lanes_##name(&rows, p, 8 * b, lane);                                              \
            }                                                                                     \
        }                                                                                         \
    }
FAST_CHUNKS(q4_0)
FAST_CHUNKS(q4_1)
FAST_CHUNKS(q5_0)
FAST_CHUNKS(q5_1)
FAST_CHUNKS(q8_0)
FAST_CHUNKS(iq4_nl)
FAST_BLOCKS(q4_k)
FAST_BLOCKS(q5_k)
FAST_BLOCKS(q6_k)

typedef void (*fast_function)(const unpack_source *source, const panel *p);
/* For whole groups of columns; other types are NULL. */
static const fast_function fast_unpack[CPU_TYPE_TABLE] = {
    [SY_TYPE_Q4_0] = fast_q4_0, [SY_TYPE_Q4_1] = fast_q4_1, [SY_TYPE_Q5_0] = fast_q5_0,
    [SY_TYPE_Q5_1] = fast_q5_1, [SY_TYPE_Q8_0] = fast_q8_0, [SY_TYPE_IQ4_NL] = fast_iq4_nl,
    [SY_TYPE_Q4_K] = fast_q4_k, [SY_TYPE_Q5_K] = fast_q5_k, [SY_TYPE_Q6_K] = fast_q6_k};
