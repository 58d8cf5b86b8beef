/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Template, part of panel_fast_x86.h: rows of weights side by side, one to a 32-bit lane of a
 * vector. What all levels share; lanes_<isa>.h brings the loads and products.
 */

typedef uint8_t vbytes __attribute__((vector_size(4 * VF)));
typedef uint32_t vwords __attribute__((vector_size(4 * VF)));

/* VF rows of weights from some byte on: three to a base, so that no index is multiplied. */
typedef struct lane_rows {
    const uint8_t *base[(VF + 2) / 3];
    size_t stride;
} lane_rows;

ALWAYS_INLINE lane_rows lane_rows_at(const uint8_t *first, size_t stride) {
    lane_rows rows = {.stride = stride};
#pragma GCC unroll 6
    for (unsigned i = 0; i < (VF + 2) / 3; i++) {
        rows.base[i] = first + 3 * i * stride;
    }
    return rows;
}
ALWAYS_INLINE void lane_rows_move(lane_rows *rows, size_t n_bytes) {
#pragma GCC unroll 6
    for (unsigned i = 0; i < (VF + 2) / 3; i++) {
        rows->base[i] += n_bytes;
    }
}
ALWAYS_INLINE const uint8_t *lane_at(const lane_rows *rows, unsigned j, size_t offset) {
    return rows->base[j / 3] + j % 3 * rows->stride + offset;
}

#ifndef LANE_WORDS
/* The four bytes at `offset` of every row. */
ALWAYS_INLINE vwords load_words(const lane_rows *rows, size_t offset) {
    vwords words;
#pragma GCC unroll 8
    for (unsigned j = 0; j < VF; j++) {
        uint32_t word = 0;
        memcpy(&word, lane_at(rows, j, offset), 4);
        words[j] = word;
    }
    return words;
}
#endif

ALWAYS_INLINE vbytes bytes_of(uint8_t value) {
    return (vbytes){0} + value;
}
ALWAYS_INLINE vwords words_of(uint32_t value) {
    return (vwords){0} + value;
}
/* Bits that leave a byte must be masked away by the caller. */
ALWAYS_INLINE vbytes bytes_right(vbytes bytes, unsigned n) {
    return (vbytes)((vshorts)bytes >> n);
}
ALWAYS_INLINE vbytes bytes_left(vbytes bytes, unsigned n) {
    return (vbytes)((vshorts)bytes << n);
}
ALWAYS_INLINE vbytes low_nibbles(vbytes bytes) {
    return bytes & bytes_of(15);
}
ALWAYS_INLINE vbytes high_nibbles(vbytes bytes) {
    return bytes_right(bytes, 4) & bytes_of(15);
}
/* Byte i of every lane. */
ALWAYS_INLINE vint byte_of_lanes(vwords words, unsigned i) {
    return (vint)(words >> 8 * i & words_of(255));
}

/* ---- tables ---- */
/* The table in every 16 bytes of a vector, and the same for a register of it. */
ALWAYS_INLINE vbytes lane_table(const int8_t table[16]);
ALWAYS_INLINE vbytes lane_look(vbytes table, vbytes index);

ALWAYS_INLINE vbytes lane_lookup(const int8_t table[16], uint8_t zero, vbytes index) {
    return lane_look(lane_table(table) + bytes_of(zero), index);
}
#ifndef LANE_FIFTH_BITS
ALWAYS_INLINE vbytes lane_least(vbytes a, vbytes b);

/* Bits 4 step ... 4 step + 3 of every lane as 16 in its four bytes. */
ALWAYS_INLINE vbytes fifth_bits(vwords bits, unsigned step) {
    static const int8_t first_bytes[16] = {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12};
    vbytes index = lane_table(first_bytes) + bytes_of((uint8_t)(step / 2));
    vwords moved = step % 2 == 0 ? bits << 4 : bits; /* to the upper half of its byte */
    vbytes set = lane_look((vbytes)moved, index) & (vbytes)words_of(0x80402010);
    return lane_least(set, bytes_of(16));
}
#endif

/* ---- sums of products in every lane ---- */
#ifndef PANEL_PAIRS /* a product of bytes with 32-bit sums */
typedef struct lane_sum {
    vint sum;
} lane_sum;
ALWAYS_INLINE void lane_begin(lane_sum *s, vint start) {
    s->sum = start;
}
/* Adds the products of four elements; i counts these calls, n_fit of them fit 16 bits. */
ALWAYS_INLINE void lane_add(lane_sum *s, vbytes w, const uint8_t *a, unsigned i, unsigned n_fit) {
    panel_weights weights;
    (void)i;
    (void)n_fit;
    memcpy(&weights, &w, sizeof(w));
    s->sum = panel_dot(s->sum, weights, a, 0);
}
#else /* pairs of products in 16 bits */
typedef struct lane_sum {
    vint sum;
    vshorts pairs;
} lane_sum;
ALWAYS_INLINE void lane_begin(lane_sum *s, vint start) {
    s->sum = start;
}
ALWAYS_INLINE void lane_add(lane_sum *s, vbytes w, const uint8_t *a, unsigned i, unsigned n_fit) {
    vshorts pairs = panel_pairs((panel_vector)w, panel_four(a), n_fit == 1 ? TRAIT_WIDE : 0);
    s->pairs = i % n_fit == 0 ? pairs : panel_add(s->pairs, pairs);
    if (i % n_fit == n_fit - 1) {
        s->sum += panel_widen(s->pairs);
    }
}
#endif
