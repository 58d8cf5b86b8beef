/* SPDX-License-Identifier: Apache-2.0 */
/* Template, part of panel_fast_x86.h: blocks of 256 elements. */

/* Byte i of every lane, as float. */
ALWAYS_INLINE vfloat byte_float(vwords words, unsigned i) {
    return __builtin_convertvector(byte_of_lanes(words, i), vfloat);
}
ALWAYS_INLINE vfloat signed_byte_float(vwords words, unsigned i) {
    return __builtin_convertvector((vint)(words << (24 - 8 * i)) >> 24, vfloat);
}

/* Factors of Q4_K and Q5_K: d, dmin and twelve bytes of six-bit ones. */
typedef struct k4_factors {
    vwords scale[2], minimum[2]; /* a byte per chunk */
    vfloat d, minus;
} k4_factors;

ALWAYS_INLINE k4_factors lanes_k4_factors(const lane_rows *rows) {
    const vbytes six = bytes_of(63), top = bytes_of(0x30);
    vbytes head[4];
    k4_factors f;
    load_fours(rows, 0, head);
    f.scale[0] = (vwords)(head[1] & six);
    f.minimum[0] = (vwords)(head[2] & six);
    f.scale[1] = (vwords)(low_nibbles(head[3]) | (bytes_right(head[1], 2) & top));
    f.minimum[1] = (vwords)(high_nibbles(head[3]) | (bytes_right(head[2], 2) & top));
    f.d = halves_low((vwords)head[0]);
    f.minus = -halves_high((vwords)head[0]);
    return f;
}
ALWAYS_INLINE void put_k4_factors(sink *out, const k4_factors *f, unsigned i, vfloat *acc) {
    put_factors(out, 0, f->d * byte_float(f->scale[i / 4], i % 4),
                f->minus * byte_float(f->minimum[i / 4], i % 4), acc);
}
/* qs: offset of the low four bits; high: the fifth ones, a bit per chunk, or NULL. */
ALWAYS_INLINE void lanes_k4(const lane_rows *rows, const block_sink *block, size_t qs,
                            const vbytes *high, const k4_factors *f, vfloat *acc) {
#pragma GCC unroll 4
    for (unsigned i = 0; i < 8; i += 2) {
        sink even = sink_of(block, i), odd = sink_of(block, i + 1);
#pragma GCC unroll 2
        for (unsigned h = 0; h < 2; h++) {
            vbytes q[4];
            load_fours(rows, qs + 16 * i + 16 * h, q);
#pragma GCC unroll 4
            for (unsigned g = 0; g < 4; g++) {
                vbytes first = low_nibbles(q[g]), second = high_nibbles(q[g]);
                if (high != NULL) {
                    vbytes bits = bytes_right(high[4 * h + g], i);
                    first |= bytes_left(bits & bytes_of(1), 4);
                    second |= bytes_left(bits & bytes_of(2), 3);
                }
                put_four(&even, 4 * h + g, first);
                put_four(&odd, 4 * h + g, second);
            }
        }
        put_k4_factors(&even, f, i, acc);
        put_k4_factors(&odd, f, i + 1, acc);
    }
}
ALWAYS_INLINE void lanes_q4_k(const lane_rows *rows, const block_sink *block, vfloat *acc) {
    k4_factors f = lanes_k4_factors(rows);
    lanes_k4(rows, block, offsetof(block_q4_k, qs), NULL, &f, acc);
}
ALWAYS_INLINE void lanes_q5_k(const lane_rows *rows, const block_sink *block, vfloat *acc) {
    k4_factors f = lanes_k4_factors(rows);
    vbytes high[8];
    load_fours(rows, offsetof(block_q5_k, qh), high);
    load_fours(rows, offsetof(block_q5_k, qh) + 16, high + 4);
    lanes_k4(rows, block, offsetof(block_q5_k, qs), high, &f, acc);
}
/* 16 elements of chunk j of four that share these bytes; h: which half of the chunk. */
ALWAYS_INLINE void put_q6_k(sink *out, unsigned j, unsigned h, const vbytes q[2][4],
                            const vbytes high[4]) {
    sink_begin(out, h);
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++) {
        vbytes low = j < 2 ? low_nibbles(q[j % 2][g]) : high_nibbles(q[j % 2][g]);
        vbytes top = j < 2 ? bytes_left(high[g], 4 - 2 * j) : bytes_right(high[g], 2 * j - 4);
        put_four(out, 4 * h + g, low | (top & bytes_of(0x30)));
    }
}
ALWAYS_INLINE void lanes_q6_k(const lane_rows *rows, const block_sink *block, vfloat *acc) {
    const vfloat none = vf_set1(0.0f), d = load_halves(rows, offsetof(block_q6_k, d));
    vbytes scales[4];
    load_fours(rows, offsetof(block_q6_k, scales), scales);
#pragma GCC unroll 2
    for (unsigned half = 0; half < 2; half++) {
        sink out[4] = {sink_of(block, 4 * half), sink_of(block, 4 * half + 1),
                       sink_of(block, 4 * half + 2), sink_of(block, 4 * half + 3)};
#pragma GCC unroll 2
        for (unsigned h = 0; h < 2; h++) {
            vbytes high[4], q[2][4];
            load_fours(rows, offsetof(block_q6_k, qh) + 32 * half + 16 * h, high);
            load_fours(rows, 64 * half + 16 * h, q[0]);
            load_fours(rows, 64 * half + 32 + 16 * h, q[1]);
#pragma GCC unroll 4
            for (unsigned j = 0; j < 4; j++) {
                put_q6_k(&out[j], j, h, q, high);
                if (h == 1) { /* in the order of the elements */
                    vwords bytes = (vwords)scales[2 * half + j / 2];
                    unsigned i = j % 2 * 2;
                    put_factors(&out[j], 0, d * signed_byte_float(bytes, i), none, acc);
                    put_factors(&out[j], 1, d * signed_byte_float(bytes, i + 1), none, acc);
                }
            }
        }
    }
}
/* Q2_K and Q3_K: 16 elements of each of four chunks lie in the same bytes, two bits each. */
ALWAYS_INLINE void put_twos(sink *out, unsigned j, unsigned h, const vbytes q[4],
                            const vbytes third[4]) {
    sink_begin(out, h);
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++) {
        vbytes w = bytes_right(q[g], 2 * j) & bytes_of(3);
        put_four(out, 4 * h + g, third != NULL ? w | third[g] : w);
    }
}
ALWAYS_INLINE void lanes_q2_k(const lane_rows *rows, const block_sink *block, vfloat *acc) {
    vwords head = load_words(rows, offsetof(block_q2_k, d));
    const vfloat d = halves_low(head), minus = -halves_high(head);
    vbytes pairs[4]; /* scale and minimum of 16 elements each */
    load_fours(rows, offsetof(block_q2_k, scales), pairs);
#pragma GCC unroll 2
    for (unsigned half = 0; half < 2; half++) {
        sink out[4] = {sink_of(block, 4 * half), sink_of(block, 4 * half + 1),
                       sink_of(block, 4 * half + 2), sink_of(block, 4 * half + 3)};
        vbytes q[2][4];
        load_fours(rows, offsetof(block_q2_k, qs) + 32 * half, q[0]);
        load_fours(rows, offsetof(block_q2_k, qs) + 32 * half + 16, q[1]);
#pragma GCC unroll 4
        for (unsigned j = 0; j < 4; j++) {
            vbytes both = pairs[2 * half + j / 2];
            vwords scale = (vwords)low_nibbles(both), minimum = (vwords)high_nibbles(both);
#pragma GCC unroll 2
            for (unsigned h = 0; h < 2; h++) {
                unsigned i = j % 2 * 2 + h;
                put_twos(&out[j], j, h, q[h], NULL);
                put_factors(&out[j], h, d * byte_float(scale, i), minus * byte_float(minimum, i),
                            acc);
            }
        }
    }
}
/* Scales 4 i ... 4 i + 3 of a Q3_K block plus 32, see scales_q3_k. s: the twelve bytes. */
ALWAYS_INLINE vwords q3_k_scales(const vbytes s[3], unsigned i) {
    vbytes low = i < 2 ? low_nibbles(s[i]) : high_nibbles(s[i - 2]);
    vbytes top = i < 2 ? bytes_left(s[2], 4 - 2 * i) : bytes_right(s[2], 2 * i - 4);
    return (vwords)(low | (top & bytes_of(0x30)));
}
ALWAYS_INLINE void lanes_q3_k(const lane_rows *rows, const block_sink *block, vfloat *acc) {
    const vfloat none = vf_set1(0.0f), d = load_halves(rows, offsetof(block_q3_k, d));
    vbytes head[4], mask[2][4];
    load_fours(rows, offsetof(block_q3_k, scales) - 4, head);
    load_fours(rows, offsetof(block_q3_k, hmask), mask[0]);
    load_fours(rows, offsetof(block_q3_k, hmask) + 16, mask[1]);
#pragma GCC unroll 2
    for (unsigned half = 0; half < 2; half++) {
        sink out[4] = {sink_of(block, 4 * half), sink_of(block, 4 * half + 1),
                       sink_of(block, 4 * half + 2), sink_of(block, 4 * half + 3)};
        vbytes q[2][4];
        load_fours(rows, offsetof(block_q3_k, qs) + 32 * half, q[0]);
        load_fours(rows, offsetof(block_q3_k, qs) + 32 * half + 16, q[1]);
#pragma GCC unroll 4
        for (unsigned j = 0; j < 4; j++) {
            vwords scales = q3_k_scales(head + 1, 2 * half + j / 2);
            unsigned bit = 4 * half + j;
#pragma GCC unroll 2
            for (unsigned h = 0; h < 2; h++) {
                vbytes third[4];
#pragma GCC unroll 4
                for (unsigned g = 0; g < 4; g++) {
                    third[g] = bit < 2 ? bytes_left(mask[h][g], 2 - bit)
                                       : bytes_right(mask[h][g], bit - 2);
                    third[g] &= bytes_of(4);
                }
                vint scale = byte_of_lanes(scales, j % 2 * 2 + h) - 32;
                put_twos(&out[j], j, h, q[h], third);
                put_factors(&out[j], h, d * __builtin_convertvector(scale, vfloat), none, acc);
            }
        }
    }
}
ALWAYS_INLINE void lanes_iq4_xs(const lane_rows *rows, const block_sink *block, vfloat *acc) {
    vwords head[2];
    load_longs(rows, 0, head);
    const vfloat d = halves_low(head[0]);
#pragma GCC unroll 8
    for (unsigned i = 0; i < 8; i++) {
        sink out = sink_of(block, i);
        vbytes q[4];
        load_fours(rows, offsetof(block_iq4_xs, qs) + 16 * i, q);
        put_looked_up(&out, q, iq4_values);
        vwords low = head[1] >> 4 * i & words_of(15);
        vwords top = (head[0] >> (16 + 2 * i) & words_of(3)) << 4;
        vint scale = (vint)(low | top) - 32;
        put_factors(&out, 0, d * __builtin_convertvector(scale, vfloat), vf_set1(0.0f), acc);
    }
}
