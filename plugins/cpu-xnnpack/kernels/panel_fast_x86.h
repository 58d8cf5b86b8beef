/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacking of the common block types for as many columns at once as a vector has lanes: four bytes
 * of every column are brought side by side while they are still packed, so that masks, shifts and
 * scales work on vectors of columns. Gives the same integers and the same factors as unpack_any.
 */
#include CPU_LANES_LAYER

/* Integers that a type puts: `zero` more than their value, and so many products of which a sum of
 * 16 bits holds (lanes.h). */
typedef struct lane_integers {
    uint8_t zero, n_fit;
} lane_integers;
#define WIDE_ZERO PANEL_ZERO(TRAIT_WIDE)

/* Where one chunk of all lanes goes: into a panel, or at once into the sums of a few rows. */
typedef struct sink {
    unsigned n_rows; /* 0: into the panel */
    uint8_t *values; /* of the chunk in the panel */
    float *scale, *minimum;
    const uint8_t *record; /* of the chunk in the first row */
    size_t row_bytes;
    unsigned traits;
    lane_integers integers;
    lane_sum sum[LANES_ROWS][2]; /* of the halves; types with one scale use the first */
} sink;

/* A block of all lanes: the sinks of its chunks are made when they are needed. */
typedef struct block_sink {
    unsigned n_rows;     /* 0: into the panel */
    const uint8_t *rows; /* of activations, from their first record on */
    size_t row_bytes;
    const uint8_t *ahead; /* weights that come later, n_ahead bytes for each chunk; or NULL */
    size_t n_ahead;
    panel p;
    size_t first_chunk;
    unsigned lane, traits;
    lane_integers integers;
} block_sink;

ALWAYS_INLINE cpu_record_end sink_end(const sink *out, unsigned r) {
    return record_end(out->record + r * out->row_bytes, CPU_PLANES_8);
}
/* Before the elements of half h, which is all of them where a chunk has one scale. */
ALWAYS_INLINE void sink_begin(sink *out, unsigned h) {
    const unsigned n_sixteens = (out->traits & TRAIT_HALVES) != 0 ? 1 : 2;
#pragma GCC unroll 4
    for (unsigned r = 0; r < out->n_rows; r++) {
        vint start = {0};
        if ((out->traits & TRAIT_UNSIGNED) == 0) {
            start = panel_start(panel_offset(sink_end(out, r), h, n_sixteens), out->integers.zero);
        }
        lane_begin(&out->sum[r][h], start);
    }
}
ALWAYS_INLINE sink sink_of(const block_sink *block, unsigned i) {
    const size_t c = block->first_chunk + i;
    sink out = {.traits = block->traits, .integers = block->integers};
    if (block->n_rows == 0) {
        const panel *p = &block->p;
        size_t at = ((block->traits & TRAIT_HALVES) != 0 ? 2 * c : c) * PANEL_COLUMNS;
        out.values = p->values + c * 32 * PANEL_COLUMNS + 4 * block->lane;
        out.scale = p->scale + at + block->lane;
        out.minimum = p->minimum + at + block->lane;
        return out;
    }
    out.n_rows = block->n_rows;
    out.record = block->rows + c * cpu_record_bytes(CPU_PLANES_8);
    out.row_bytes = block->row_bytes;
    stream_ahead(block->ahead != NULL ? block->ahead + i * block->n_ahead : NULL, block->n_ahead);
    if ((block->traits & TRAIT_HALVES) == 0) {
        sink_begin(&out, 0);
    }
    return out;
}
/* Elements 4 step ... of the chunk, in the order of the steps of a half. */
ALWAYS_INLINE void put_four(sink *out, unsigned step, vbytes w) {
    unsigned h = (out->traits & TRAIT_HALVES) != 0 ? step / 4 : 0;
    if (out->n_rows == 0) {
        if ((out->traits & TRAIT_UNSIGNED) == 0) {
            w += bytes_of((uint8_t)(PANEL_ZERO(out->traits) - out->integers.zero));
        }
        memcpy(out->values + step * 4 * PANEL_COLUMNS, &w, sizeof(w));
    }
#pragma GCC unroll 4
    for (unsigned r = 0; r < out->n_rows; r++) {
        lane_add(&out->sum[r][h], w, out->record + r * out->row_bytes + 4 * step, step,
                 out->integers.n_fit);
    }
}
/* The factors of half h, after all its elements; minimum: minus it. */
ALWAYS_INLINE void put_factors(sink *out, unsigned h, vfloat scale, vfloat minimum, vfloat *acc) {
    const unsigned n_sixteens = (out->traits & TRAIT_HALVES) != 0 ? 1 : 2;
    const bool has_minimum = (out->traits & TRAIT_MINIMUM) != 0;
    if (out->n_rows == 0) {
        vf_store(out->scale + h * PANEL_COLUMNS, scale);
        if (has_minimum) {
            vf_store(out->minimum + h * PANEL_COLUMNS, minimum);
        }
    }
#pragma GCC unroll 4
    for (unsigned r = 0; r < out->n_rows; r++) {
        cpu_record_end end = sink_end(out, r);
        vfloat sum = __builtin_convertvector(out->sum[r][h].sum, vfloat);
        acc[r] = vf_fma(sum, scale * vf_set1(end.scale), acc[r]);
        if (has_minimum) {
            acc[r] = vf_fma(minimum, panel_total(end, h, n_sixteens), acc[r]);
        }
    }
}

/* ---- blocks of 32 ---- */
ALWAYS_INLINE void put_nibbles(sink *out, const vbytes q[4]) {
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++) {
        put_four(out, g, low_nibbles(q[g]));
    }
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++) {
        put_four(out, g + 4, high_nibbles(q[g]));
    }
}
ALWAYS_INLINE void put_looked_up(sink *out, const vbytes q[4], const int8_t table[16]) {
#pragma GCC unroll 8
    for (unsigned step = 0; step < 8; step++) {
        vbytes index = step < 4 ? low_nibbles(q[step]) : high_nibbles(q[step - 4]);
        put_four(out, step, lane_lookup(table, out->integers.zero, index));
    }
}
ALWAYS_INLINE void put_fives(sink *out, const vbytes q[4], vwords bits) {
#pragma GCC unroll 8
    for (unsigned step = 0; step < 8; step++) {
        vbytes low = step < 4 ? low_nibbles(q[step]) : high_nibbles(q[step - 4]);
        put_four(out, step, low | fifth_bits(bits, step));
    }
}
ALWAYS_INLINE void lanes_q4_0(const lane_rows *rows, const block_sink *block, vfloat *acc) {
    sink out = sink_of(block, 0);
    vbytes q[4];
    load_fours(rows, offsetof(block_q4_0, qs), q);
    put_nibbles(&out, q);
    put_factors(&out, 0, load_halves(rows, 0), vf_set1(0.0f), acc);
}
ALWAYS_INLINE void lanes_q4_1(const lane_rows *rows, const block_sink *block, vfloat *acc) {
    sink out = sink_of(block, 0);
    vwords head = load_words(rows, 0);
    vbytes q[4];
    load_fours(rows, offsetof(block_q4_1, qs), q);
    put_nibbles(&out, q);
    put_factors(&out, 0, halves_low(head), halves_high(head), acc);
}
ALWAYS_INLINE void lanes_iq4_nl(const lane_rows *rows, const block_sink *block, vfloat *acc) {
    sink out = sink_of(block, 0);
    vbytes q[4];
    load_fours(rows, offsetof(block_iq4_nl, qs), q);
    put_looked_up(&out, q, iq4_values);
    put_factors(&out, 0, load_halves(rows, 0), vf_set1(0.0f), acc);
}
ALWAYS_INLINE void lanes_mxfp4(const lane_rows *rows, const block_sink *block, vfloat *acc) {
    sink out = sink_of(block, 0);
    vint e = byte_of_lanes(load_words(rows, 0), 0), denormal = e < 2;
    vint scale = (denormal & (e + 1) << 21) | (~denormal & (e - 1) << 23); /* see scales_mxfp4 */
    vbytes q[4];
    load_fours(rows, offsetof(block_mxfp4, qs), q);
    put_looked_up(&out, q, mxfp4_values);
    put_factors(&out, 0, (vfloat)scale, vf_set1(0.0f), acc);
}
ALWAYS_INLINE void lanes_q5_0(const lane_rows *rows, const block_sink *block, vfloat *acc) {
    sink out = sink_of(block, 0);
    vwords head[2];
    vbytes q[4];
    load_longs(rows, 0, head);
    load_fours(rows, offsetof(block_q5_0, qs), q);
    put_fives(&out, q, head[0] >> 16 | head[1] << 16);
    put_factors(&out, 0, halves_low(head[0]), vf_set1(0.0f), acc);
}
ALWAYS_INLINE void lanes_q5_1(const lane_rows *rows, const block_sink *block, vfloat *acc) {
    sink out = sink_of(block, 0);
    vwords head[2];
    vbytes q[4];
    load_longs(rows, 0, head);
    load_fours(rows, offsetof(block_q5_1, qs), q);
    put_fives(&out, q, head[1]);
    put_factors(&out, 0, halves_low(head[0]), halves_high(head[0]), acc);
}
ALWAYS_INLINE void lanes_q8_0(const lane_rows *rows, const block_sink *block, vfloat *acc) {
    sink out = sink_of(block, 0);
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; h++) {
        vbytes q[4];
        load_fours(rows, offsetof(block_q8_0, qs) + 16 * h, q);
#pragma GCC unroll 4
        for (unsigned g = 0; g < 4; g++) {
            put_four(&out, 4 * h + g, q[g] ^ bytes_of(WIDE_ZERO));
        }
    }
    put_factors(&out, 0, load_halves(rows, 0), vf_set1(0.0f), acc);
}

#include "panel_fast_k_x86.h"

/* A few rows against the columns of a vector. */
typedef struct rows_source {
    const uint8_t *weights, *ahead;
    size_t row_bytes, k; /* of the weights */
    const uint8_t *rows;
    size_t record_row_bytes;
} rows_source;

/* A block type; every use is a compile-time constant. */
typedef struct lanes_kind {
    void (*lanes)(const lane_rows *rows, const block_sink *block, vfloat *acc);
    unsigned n_chunks, block_bytes, traits;
    lane_integers integers;
} lanes_kind;

ALWAYS_INLINE void lanes_to_panel(const unpack_source *source, const panel *p, lanes_kind kind) {
    for (size_t b = 0; b < source->k / 32 / kind.n_chunks; b++) {
        const uint8_t *weights = source->weights + b * kind.block_bytes;
        const size_t n_bytes = (size_t)PANEL_COLUMNS * kind.block_bytes;
        stream_ahead(source->ahead != NULL ? source->ahead + b * n_bytes : NULL, n_bytes);
        for (unsigned lane = 0; lane < PANEL_COLUMNS; lane += VF) {
            lane_rows rows = lane_rows_at(weights + lane * source->row_bytes, source->row_bytes);
            block_sink out = {.p = *p,
                              .first_chunk = kind.n_chunks * b,
                              .lane = lane,
                              .traits = kind.traits,
                              .integers = kind.integers};
            kind.lanes(&rows, &out, NULL);
        }
    }
}
ALWAYS_INLINE void lanes_to_rows(const rows_source *source, unsigned n_rows, lanes_kind kind,
                                 vfloat *out) {
    vfloat acc[LANES_ROWS];
    for (unsigned r = 0; r < n_rows; r++) {
        acc[r] = vf_set1(0.0f);
    }
    lane_rows rows = lane_rows_at(source->weights, source->row_bytes);
    block_sink sinks = {.n_rows = n_rows,
                        .rows = source->rows,
                        .row_bytes = source->record_row_bytes,
                        .ahead = source->ahead,
                        .n_ahead = (size_t)VF * kind.block_bytes / kind.n_chunks,
                        .traits = kind.traits,
                        .integers = kind.integers};
    for (size_t b = 0; b < source->k / 32 / kind.n_chunks; b++) {
        kind.lanes(&rows, &sinks, acc);
        sinks.ahead += sinks.ahead != NULL ? (size_t)VF * kind.block_bytes : 0;
        sinks.rows += kind.n_chunks * cpu_record_bytes(CPU_PLANES_8);
        lane_rows_move(&rows, kind.block_bytes);
    }
    for (unsigned r = 0; r < n_rows; r++) {
        out[r] = acc[r];
    }
}

#define LANES_ENUM(NAME, name, n_chunks, traits) \
    enum { CHUNKS_##name = (n_chunks), TRAITS_##name = (traits) };
CPU_BLOCK_TYPES(LANES_ENUM)

/* X(name, zero, products in 16 bits) */
#define FAST_TYPES(X)               \
    X(Q4_0, q4_0, 8, 8)             \
    X(Q4_1, q4_1, 0, 8)             \
    X(Q5_0, q5_0, 16, 4)            \
    X(Q5_1, q5_1, 0, 4)             \
    X(Q8_0, q8_0, WIDE_ZERO, 1)     \
    X(IQ4_NL, iq4_nl, WIDE_ZERO, 1) \
    X(MXFP4, mxfp4, 16, 4)          \
    X(Q2_K, q2_k, 0, 4)             \
    X(Q3_K, q3_k, 4, 4)             \
    X(Q4_K, q4_k, 0, 8)             \
    X(Q5_K, q5_k, 0, 4)             \
    X(Q6_K, q6_k, 32, 2)            \
    X(IQ4_XS, iq4_xs, WIDE_ZERO, 1)
#define LANES_KIND(name, zero, n_fit)                                                 \
    (lanes_kind) {                                                                    \
        lanes_##name, CHUNKS_##name, (unsigned)sizeof(block_##name), TRAITS_##name, { \
            zero, n_fit                                                               \
        }                                                                             \
    }
#define ROWS_FUNCTION(name, zero, n_fit, n)                                 \
    static void rows_##name##_##n(const rows_source *source, vfloat *out) { \
        lanes_to_rows(source, n, LANES_KIND(name, zero, n_fit), out);       \
    }
#if LANES_ROWS >= 4
#define ROWS_PAST_TWO(name, zero, n_fit) \
    ROWS_FUNCTION(name, zero, n_fit, 3)  \
    ROWS_FUNCTION(name, zero, n_fit, 4)
#define ROWS_OF(name) \
    { rows_##name##_1, rows_##name##_2, rows_##name##_3, rows_##name##_4 }
#else
#define ROWS_PAST_TWO(name, zero, n_fit)
#define ROWS_OF(name) \
    { rows_##name##_1, rows_##name##_2 }
#endif
#define FAST_TYPE(NAME, name, zero, n_fit)                                 \
    static void fast_##name(const unpack_source *source, const panel *p) { \
        lanes_to_panel(source, p, LANES_KIND(name, zero, n_fit));          \
    }                                                                      \
    ROWS_FUNCTION(name, zero, n_fit, 1)                                    \
    ROWS_FUNCTION(name, zero, n_fit, 2)                                    \
    ROWS_PAST_TWO(name, zero, n_fit)
FAST_TYPES(FAST_TYPE)

typedef void (*rows_function)(const rows_source *source, vfloat *out);
typedef struct fast_functions {
    void (*unpack)(const unpack_source *source, const panel *p);
    rows_function of_rows[LANES_ROWS]; /* one row, two ... */
} fast_functions;
/* For whole groups of columns; other types are NULL. */
#define FAST_ENTRY(NAME, name, zero, n_fit) [SY_TYPE_##NAME] = {fast_##name, ROWS_OF(name)},
static const fast_functions fast_of[CPU_TYPE_TABLE] = {FAST_TYPES(FAST_ENTRY)};
#define FAST_UNPACK(type) (fast_of[type].unpack)

static void store_lanes(const cpu_linear *l, size_t column, const vfloat *acc) {
    for (size_t r = 0; r < l->n_rows; r++) {
        vfloat y = acc[r];
        if (l->bias != NULL) {
            y += vf_load(l->bias + column);
        }
        vf_store(l->out + r * l->out_stride + column, y);
    }
}

/* Few rows of activations, as decoding has them: weights go from memory to the sums through
 * registers. Answers how many columns are done, whole vectors of them. */
static size_t fast_rows(const cpu_linear *l, sy_element_type type) {
    const fast_functions *fast = &fast_of[type];
    size_t column = 0;
    if (fast->unpack == NULL || l->n_rows == 0 || l->n_rows > LANES_ROWS ||
        l->planes != CPU_PLANES_8) {
        return 0;
    }
    for (; column + VF <= l->n_columns; column += VF) {
        size_t next = column + VF;
        rows_source source = {.weights = l->weights + column * l->weight_row_bytes,
                              .row_bytes = l->weight_row_bytes,
                              .k = l->k,
                              .rows = l->rows,
                              .record_row_bytes = l->row_bytes};
        vfloat acc[LANES_ROWS];
        source.ahead =
            next + VF <= l->n_columns ? l->weights + next * l->weight_row_bytes : l->ahead;
        fast->of_rows[l->n_rows - 1](&source, acc);
        store_lanes(l, column, acc);
    }
    return column;
}
#define FAST_ROW(l, type) fast_rows(l, type)
