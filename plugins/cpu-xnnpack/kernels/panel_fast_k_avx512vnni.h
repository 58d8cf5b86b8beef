/* SPDX-License-Identifier: Apache-2.0 */
/* Template, part of panel_fast_avx512vnni.h: blocks of 256 elements of 16 columns at once. */

/* Byte i of every lane, as float. */
ALWAYS_INLINE __m512 byte_float(__m512i words, unsigned i) {
    __m512i byte = _mm512_and_si512(_mm512_srli_epi32(words, 8 * i), _mm512_set1_epi32(255));
    return _mm512_cvtepi32_ps(byte);
}

/* A block of 256 of 16 lanes: the sinks of its chunks are made when they are needed. */
typedef struct block_sink {
    const few_records *records; /* NULL: into the panel */
    const panel *p;
    size_t first_chunk;
    unsigned lane, traits;
} block_sink;

ALWAYS_INLINE sink sink_of(const block_sink *block, unsigned i) {
    return block->records != NULL
               ? sink_rows(block->records, block->first_chunk + i, block->traits)
               : sink_panel(block->p, block->first_chunk + i, block->lane, block->traits);
}

/* Factors of Q4_K and Q5_K: d, dmin and twelve bytes of six-bit ones. */
typedef struct k4_factors {
    __m512i scale[2], minimum[2]; /* a byte per chunk */
    __m512 d, minus;
} k4_factors;

ALWAYS_INLINE k4_factors lanes_k4_factors(const lanes16 *rows) {
    const __m512i six = bytes16(63), four = bytes16(15), top = bytes16(0x30);
    __m512i head[4];
    k4_factors f;
    load_fours(rows, 0, head);
    f.scale[0] = _mm512_and_si512(head[1], six);
    f.minimum[0] = _mm512_and_si512(head[2], six);
    f.scale[1] = _mm512_or_si512(_mm512_and_si512(head[3], four),
                                 _mm512_and_si512(_mm512_srli_epi32(head[1], 2), top));
    f.minimum[1] = _mm512_or_si512(high_nibbles(head[3]),
                                   _mm512_and_si512(_mm512_srli_epi32(head[2], 2), top));
    f.d = halves_low(head[0]);
    f.minus = _mm512_sub_ps(_mm512_setzero_ps(), halves_high(head[0]));
    return f;
}
ALWAYS_INLINE void put_k4_factors(sink *out, const k4_factors *f, unsigned i, __m512 *acc) {
    put_factors(out, 0, _mm512_mul_ps(f->d, byte_float(f->scale[i / 4], i % 4)),
                _mm512_mul_ps(f->minus, byte_float(f->minimum[i / 4], i % 4)), acc);
}
ALWAYS_INLINE void lanes_q4_k(const lanes16 *rows, const block_sink *block, __m512 *acc) {
    k4_factors f = lanes_k4_factors(rows);
#pragma GCC unroll 4
    for (unsigned i = 0; i < 8; i += 2) {
        sink even = sink_of(block, i), odd = sink_of(block, i + 1);
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
        put_k4_factors(&even, &f, i, acc);
        put_k4_factors(&odd, &f, i + 1, acc);
    }
}
ALWAYS_INLINE void lanes_q5_k(const lanes16 *rows, const block_sink *block, __m512 *acc) {
    k4_factors f = lanes_k4_factors(rows);
    __m512i high[8];
    load_fours(rows, offsetof(block_q5_k, qh), high);
    load_fours(rows, offsetof(block_q5_k, qh) + 16, high + 4);
#pragma GCC unroll 4
    for (unsigned i = 0; i < 8; i += 2) {
        sink even = sink_of(block, i), odd = sink_of(block, i + 1);
#pragma GCC unroll 2
        for (unsigned h = 0; h < 2; h++) {
            __m512i q[4];
            load_fours(rows, offsetof(block_q5_k, qs) + 16 * i + 16 * h, q);
#pragma GCC unroll 4
            for (unsigned g = 0; g < 4; g++) {
                unsigned step = 4 * h + g;
                __m512i bits = _mm512_srli_epi16(high[step], (int)i);
                __m512i first = _mm512_slli_epi16(_mm512_and_si512(bits, bytes16(1)), 4);
                __m512i second = _mm512_slli_epi16(_mm512_and_si512(bits, bytes16(2)), 3);
                put_four(&even, step, _mm512_or_si512(low_nibbles(q[g]), first));
                put_four(&odd, step, _mm512_or_si512(high_nibbles(q[g]), second));
            }
        }
        put_k4_factors(&even, &f, i, acc);
        put_k4_factors(&odd, &f, i + 1, acc);
    }
}
ALWAYS_INLINE __m512 q6_k_scale(__m512 d, const __m512i scales[4], unsigned i) {
    __m512i byte = _mm512_srai_epi32(_mm512_slli_epi32(scales[i / 4], 24 - 8 * (i % 4)), 24);
    return _mm512_mul_ps(d, _mm512_cvtepi32_ps(byte));
}
/* 16 elements of chunk j of four that share these bytes; h: which half of the chunk. */
ALWAYS_INLINE void put_q6_k(sink *out, unsigned j, unsigned h, const __m512i q[2][4],
                            const __m512i high[4]) {
    sink_begin(out, h);
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++) {
        __m512i low = j < 2 ? low_nibbles(q[j % 2][g]) : high_nibbles(q[j % 2][g]);
        __m512i top = j < 2 ? _mm512_slli_epi16(high[g], 4 - 2 * (int)j)
                            : _mm512_srli_epi16(high[g], 2 * (int)j - 4);
        __m512i whole = _mm512_or_si512(low, _mm512_and_si512(top, bytes16(0x30)));
        put_four(out, 4 * h + g, _mm512_add_epi8(whole, bytes16(CPU_WEIGHT_ZERO - 32)));
    }
}
ALWAYS_INLINE void lanes_q6_k(const lanes16 *rows, const block_sink *block, __m512 *acc) {
    __m512i scales[4];
    __m512 d = halves_high(load_words(rows, offsetof(block_q6_k, d) - 2));
    load_fours(rows, offsetof(block_q6_k, scales), scales);
#pragma GCC unroll 2
    for (unsigned half = 0; half < 2; half++) {
        sink out[4] = {sink_of(block, 4 * half), sink_of(block, 4 * half + 1),
                       sink_of(block, 4 * half + 2), sink_of(block, 4 * half + 3)};
#pragma GCC unroll 2
        for (unsigned h = 0; h < 2; h++) {
            __m512i high[4], q[2][4];
            load_fours(rows, offsetof(block_q6_k, qh) + 32 * half + 16 * h, high);
            load_fours(rows, 64 * half + 16 * h, q[0]);
            load_fours(rows, 64 * half + 32 + 16 * h, q[1]);
#pragma GCC unroll 4
            for (unsigned j = 0; j < 4; j++) {
                unsigned i = 8 * half + 2 * j;
                put_q6_k(&out[j], j, h, q, high);
                if (h == 1) { /* in the order of the elements */
                    put_factors(&out[j], 0, q6_k_scale(d, scales, i), _mm512_setzero_ps(), acc);
                    put_factors(&out[j], 1, q6_k_scale(d, scales, i + 1), _mm512_setzero_ps(), acc);
                }
            }
        }
    }
}
