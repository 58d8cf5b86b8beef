/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacking of the common block types for 16 columns at once: four bytes of every column are
 * brought side by side while they are still packed, so that masks, shifts and scales work on
 * vectors of columns. Gives the same integers and the same factors as unpack_any.
 */

#include "lanes_avx512vnni.h"

#define ROWS_DIRECT 4

/* The start of a sum: takes the zero of the weights back out. */
ALWAYS_INLINE __m512i panel_start(const uint8_t *end, bool second_half, unsigned traits) {
    __m512i first = panel_all(end + offsetof(cpu_record_end, offset_16));
    __m512i all = panel_all(end + offsetof(cpu_record_end, offset));
    return (traits & TRAIT_HALVES) == 0 ? all : second_half ? _mm512_sub_epi32(all, first) : first;
}

/* The sum of the activations that a minimum is multiplied by. */
ALWAYS_INLINE __m512 panel_total(const uint8_t *end, bool second_half, unsigned traits) {
    if ((traits & TRAIT_HALVES) == 0) {
        return panel_all_float(end + offsetof(cpu_record_end, sum));
    }
    __m512 unit = _mm512_mul_ps(panel_all_float(end), _mm512_set1_ps(-1.0f / CPU_WEIGHT_ZERO));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(panel_start(end, second_half, traits)), unit);
}

/* Where one chunk of 16 lanes goes: into a panel, or at once into the sums of a few rows. */
typedef struct sink {
    unsigned n_rows; /* 0: into the panel */
    uint8_t *values; /* of the chunk in the panel */
    float *scale, *minimum;
    const uint8_t *record; /* of the chunk in the first row */
    size_t row_bytes;
    unsigned traits;
    __m512i sum[ROWS_DIRECT][2]; /* of the halves; types with one scale use the first */
} sink;

ALWAYS_INLINE sink sink_panel(const panel *p, size_t c, unsigned lane, unsigned traits) {
    size_t at = (traits & TRAIT_HALVES) != 0 ? 2 * c : c;
    return (sink){.values = p->values + c * 32 * PANEL_COLUMNS + 4 * lane,
                  .scale = p->scale + at * PANEL_COLUMNS + lane,
                  .minimum = p->minimum + at * PANEL_COLUMNS + lane,
                  .traits = traits};
}
/* The rows of activations that meet the weights in registers. */
typedef struct few_records {
    const uint8_t *first;
    size_t row_bytes;
    unsigned n_rows;
} few_records;

/* Before the elements of half h, which is all of them where a chunk has one scale. */
ALWAYS_INLINE void sink_begin(sink *out, unsigned h) {
#pragma GCC unroll 4
    for (unsigned r = 0; r < out->n_rows; r++) {
        out->sum[r][h] =
            (out->traits & TRAIT_UNSIGNED) != 0
                ? _mm512_setzero_si512()
                : panel_start(out->record + r * out->row_bytes + 32, h != 0, out->traits);
    }
}
ALWAYS_INLINE sink sink_rows(const few_records *records, size_t c, unsigned traits) {
    sink out = {.n_rows = records->n_rows,
                .record = records->first + c * cpu_record_bytes(CPU_PLANES_8),
                .row_bytes = records->row_bytes,
                .traits = traits};
    if ((traits & TRAIT_HALVES) == 0) {
        sink_begin(&out, 0);
    }
    return out;
}
/* Elements 4 step ... of the chunk. */
ALWAYS_INLINE void put_four(sink *out, unsigned step, __m512i bytes) {
    unsigned h = (out->traits & TRAIT_HALVES) != 0 ? step / 4 : 0;
    if (out->n_rows == 0) {
        _mm512_store_si512((void *)(out->values + step * 4 * PANEL_COLUMNS), bytes);
    }
#pragma GCC unroll 4
    for (unsigned r = 0; r < out->n_rows; r++) {
        __m512i a = panel_all(out->record + r * out->row_bytes + 4 * step);
        out->sum[r][h] = _mm512_dpbusd_epi32(out->sum[r][h], bytes, a);
    }
}
/* The factors of half h, after all its elements; minimum: minus it. */
ALWAYS_INLINE void put_factors(sink *out, unsigned h, __m512 scale, __m512 minimum, __m512 *acc) {
    const bool has_minimum = (out->traits & TRAIT_MINIMUM) != 0;
    if (out->n_rows == 0) {
        _mm512_store_ps(out->scale + h * PANEL_COLUMNS, scale);
        if (has_minimum) {
            _mm512_store_ps(out->minimum + h * PANEL_COLUMNS, minimum);
        }
    }
#pragma GCC unroll 4
    for (unsigned r = 0; r < out->n_rows; r++) {
        const uint8_t *end = out->record + r * out->row_bytes + 32;
        __m512 both = _mm512_mul_ps(scale, panel_all_float(end));
        acc[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(out->sum[r][h]), both, acc[r]);
        if (has_minimum) {
            acc[r] = _mm512_fmadd_ps(minimum, panel_total(end, h != 0, out->traits), acc[r]);
        }
    }
}

/* ---- one chunk of 32 ---- */
ALWAYS_INLINE void lanes_q4_0(const lanes16 *rows, sink *out, __m512 *acc) {
    const __m512i base = bytes16(CPU_WEIGHT_ZERO - 8);
    __m512i q[4], head = load_words(rows, 0);
    load_fours(rows, 2, q);
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++) {
        put_four(out, g, _mm512_add_epi8(low_nibbles(q[g]), base));
        put_four(out, g + 4, _mm512_add_epi8(high_nibbles(q[g]), base));
    }
    put_factors(out, 0, halves_low(head), _mm512_setzero_ps(), acc);
}
ALWAYS_INLINE void lanes_q4_1(const lanes16 *rows, sink *out, __m512 *acc) {
    __m512i q[4], head = load_words(rows, 0);
    load_fours(rows, 4, q);
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++) {
        put_four(out, g, low_nibbles(q[g]));
        put_four(out, g + 4, high_nibbles(q[g]));
    }
    put_factors(out, 0, halves_low(head), halves_high(head), acc);
}
ALWAYS_INLINE void lanes_iq4_nl(const lanes16 *rows, sink *out, __m512 *acc) {
    __m128i table = _mm_loadu_si128((const void *)iq4_values);
    __m512i q[4], head = load_words(rows, 0);
    __m512i values = _mm512_xor_si512(_mm512_broadcast_i32x4(table), bytes16(CPU_WEIGHT_ZERO));
    load_fours(rows, 2, q);
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++) {
        put_four(out, g, _mm512_shuffle_epi8(values, low_nibbles(q[g])));
        put_four(out, g + 4, _mm512_shuffle_epi8(values, high_nibbles(q[g])));
    }
    put_factors(out, 0, halves_low(head), _mm512_setzero_ps(), acc);
}
/* Bits 4 step ... 4 step + 3 of every lane as 16 in its four bytes, plus `base`. The permutation
 * looks at the low four bits of a lane only. */
ALWAYS_INLINE __m512i fifth_bits(__m512i bits, unsigned step, uint8_t base) {
    const __m512i spread = _mm512_setr_epi32(
        0, 0x10, 0x1000, 0x1010, 0x100000, 0x100010, 0x101000, 0x101010, 0x10000000, 0x10000010,
        0x10001000, 0x10001010, 0x10100000, 0x10100010, 0x10101000, 0x10101010);
    __m512i table = _mm512_add_epi8(spread, bytes16(base));
    return _mm512_permutexvar_epi32(_mm512_srli_epi32(bits, 4 * step), table);
}
ALWAYS_INLINE void lanes_q5_0(const lanes16 *rows, sink *out, __m512 *acc) {
    const uint8_t base = CPU_WEIGHT_ZERO - 16;
    __m512i q[4], head[2];
    load_longs(rows, 0, head);
    __m512i bits = _mm512_or_si512(_mm512_srli_epi32(head[0], 16), _mm512_slli_epi32(head[1], 16));
    load_fours(rows, 6, q);
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++) {
        put_four(out, g, _mm512_add_epi8(low_nibbles(q[g]), fifth_bits(bits, g, base)));
        put_four(out, g + 4, _mm512_add_epi8(high_nibbles(q[g]), fifth_bits(bits, g + 4, base)));
    }
    put_factors(out, 0, halves_low(head[0]), _mm512_setzero_ps(), acc);
}
ALWAYS_INLINE void lanes_q5_1(const lanes16 *rows, sink *out, __m512 *acc) {
    __m512i q[4], head[2];
    load_longs(rows, 0, head);
    load_fours(rows, 8, q);
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++) {
        put_four(out, g, _mm512_add_epi8(low_nibbles(q[g]), fifth_bits(head[1], g, 0)));
        put_four(out, g + 4, _mm512_add_epi8(high_nibbles(q[g]), fifth_bits(head[1], g + 4, 0)));
    }
    put_factors(out, 0, halves_low(head[0]), halves_high(head[0]), acc);
}
ALWAYS_INLINE void lanes_q8_0(const lanes16 *rows, sink *out, __m512 *acc) {
    __m512i head = load_words(rows, 0);
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; h++) {
        __m512i q[4];
        load_fours(rows, 2 + 16 * h, q);
#pragma GCC unroll 4
        for (unsigned g = 0; g < 4; g++) {
            put_four(out, 4 * h + g, _mm512_xor_si512(q[g], bytes16(CPU_WEIGHT_ZERO)));
        }
    }
    put_factors(out, 0, halves_low(head), _mm512_setzero_ps(), acc);
}

#include "panel_fast_k_avx512vnni.h"

/* Asks for part `i` of the bytes that come after these, n_bytes of them to a part. */
ALWAYS_INLINE void prefetch_part(const uint8_t *ahead, size_t n_bytes, size_t i) {
    if (ahead != NULL) {
        for (size_t at = 0; at < n_bytes; at += 64) {
            _mm_prefetch((const void *)(ahead + i * n_bytes + at), _MM_HINT_T0);
        }
    }
}

/* A few rows against 16 columns. */
typedef struct rows_source {
    const uint8_t *weights, *ahead;
    size_t row_bytes, k; /* of the weights */
    const uint8_t *rows;
    size_t record_row_bytes;
} rows_source;

#define TRAITS_OF(NAME, name, n_chunks, traits) enum { TRAITS_##name = (traits) };
CPU_BLOCK_TYPES(TRAITS_OF)

/* The same for 1, 2 and 4 rows. */
#define FAST_COUNT(name, n)                                                 \
    static void rows_##name##_##n(const rows_source *source, __m512 *out) { \
        __m512 acc[n];                                                      \
        for (unsigned r = 0; r < n; r++) {                                  \
            acc[r] = _mm512_setzero_ps();                                   \
        }                                                                   \
        rows_##name(source, n, acc);                                        \
        for (unsigned r = 0; r < n; r++) {                                  \
            out[r] = acc[r];                                                \
        }                                                                   \
    }
#define FAST_COUNTS(name) FAST_COUNT(name, 1) FAST_COUNT(name, 2) FAST_COUNT(name, 4)

#define FAST_CHUNKS(name)                                                                     \
    static void fast_##name(const unpack_source *source, const panel *p) {                    \
        for (size_t c = 0; c < source->k / 32; c++) {                                         \
            prefetch_part(source->ahead, PANEL_COLUMNS * sizeof(block_##name), c);            \
            for (unsigned lane = 0; lane < PANEL_COLUMNS; lane += PANEL_LANES) {              \
                lanes16 rows = lanes16_at(source->weights + c * sizeof(block_##name) +        \
                                              lane * source->row_bytes,                       \
                                          source->row_bytes);                                 \
                sink out = sink_panel(p, c, lane, TRAITS_##name);                             \
                lanes_##name(&rows, &out, NULL);                                              \
            }                                                                                 \
        }                                                                                     \
    }                                                                                         \
    ALWAYS_INLINE void rows_##name(const rows_source *source, unsigned n_rows, __m512 *acc) { \
        few_records records = {source->rows, source->record_row_bytes, n_rows};               \
        for (size_t c = 0; c < source->k / 32; c++) {                                         \
            lanes16 rows =                                                                    \
                lanes16_at(source->weights + c * sizeof(block_##name), source->row_bytes);    \
            sink out = sink_rows(&records, c, TRAITS_##name);                                 \
            prefetch_part(source->ahead, PANEL_LANES * sizeof(block_##name), c);              \
            lanes_##name(&rows, &out, acc);                                                   \
        }                                                                                     \
    }                                                                                         \
    FAST_COUNTS(name)
#define FAST_BLOCKS(name)                                                                          \
    static void fast_##name(const unpack_source *source, const panel *p) {                         \
        for (size_t b = 0; b < source->k / 256; b++) {                                             \
            prefetch_part(source->ahead, PANEL_COLUMNS * sizeof(block_##name), b);                 \
            for (unsigned lane = 0; lane < PANEL_COLUMNS; lane += PANEL_LANES) {                   \
                lanes16 rows = lanes16_at(source->weights + b * sizeof(block_##name) +             \
                                              lane * source->row_bytes,                            \
                                          source->row_bytes);                                      \
                block_sink out = {                                                                 \
                    .p = p, .first_chunk = 8 * b, .lane = lane, .traits = TRAITS_##name};          \
                lanes_##name(&rows, &out, NULL);                                                   \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    ALWAYS_INLINE void rows_##name(const rows_source *source, unsigned n_rows, __m512 *acc) {      \
        few_records records = {source->rows, source->record_row_bytes, n_rows};                    \
        for (size_t b = 0; b < source->k / 256; b++) {                                             \
            lanes16 rows =                                                                         \
                lanes16_at(source->weights + b * sizeof(block_##name), source->row_bytes);         \
            block_sink out = {.records = &records, .first_chunk = 8 * b, .traits = TRAITS_##name}; \
            prefetch_part(source->ahead, PANEL_LANES * sizeof(block_##name), b);                   \
            lanes_##name(&rows, &out, acc);                                                        \
        }                                                                                          \
    }                                                                                              \
    FAST_COUNTS(name)
FAST_CHUNKS(q4_0)
FAST_CHUNKS(q4_1)
FAST_CHUNKS(q5_0)
FAST_CHUNKS(q5_1)
FAST_CHUNKS(q8_0)
FAST_CHUNKS(iq4_nl)
FAST_BLOCKS(q4_k)
FAST_BLOCKS(q5_k)
FAST_BLOCKS(q6_k)

typedef void (*rows_function)(const rows_source *source, __m512 *out);
typedef struct fast_functions {
    void (*unpack)(const unpack_source *source, const panel *p);
    rows_function rows[ROWS_DIRECT + 1]; /* by their number */
} fast_functions;
/* For whole groups of columns; other types are NULL. */
#define FAST(NAME, name) \
    [SY_TYPE_##          \
        NAME] = {fast_##name, {NULL, rows_##name##_1, rows_##name##_2, NULL, rows_##name##_4}}
static const fast_functions fast_of[CPU_TYPE_TABLE] = {
    FAST(Q4_0, q4_0),     FAST(Q4_1, q4_1), FAST(Q5_0, q5_0), FAST(Q5_1, q5_1), FAST(Q8_0, q8_0),
    FAST(IQ4_NL, iq4_nl), FAST(Q4_K, q4_k), FAST(Q5_K, q5_k), FAST(Q6_K, q6_k)};
#define FAST_UNPACK(type) (fast_of[type].unpack)

static void store_lanes(const cpu_linear *l, size_t column, size_t row, size_t n_rows,
                        const __m512 *acc) {
    for (size_t r = 0; r < n_rows; r++) {
        __m512 y = acc[r];
        if (l->bias != NULL) {
            y = _mm512_add_ps(y, _mm512_loadu_ps(l->bias + column));
        }
        _mm512_storeu_ps(l->out + (row + r) * l->out_stride + column, y);
    }
}

/* Few rows of activations, as decoding has them: weights go from memory to the sums through
 * registers. Answers how many columns are done, whole vectors of them. */
static size_t fast_rows(const cpu_linear *l, sy_element_type type) {
    const fast_functions *fast = &fast_of[type];
    size_t column = 0;
    if (fast->rows[1] == NULL || l->n_rows > ROWS_DIRECT || l->planes != CPU_PLANES_8) {
        return 0;
    }
    for (; column + PANEL_LANES <= l->n_columns; column += PANEL_LANES) {
        size_t next = column + PANEL_LANES;
        rows_source source = {.weights = l->weights + column * l->weight_row_bytes,
                              .row_bytes = l->weight_row_bytes,
                              .k = l->k,
                              .record_row_bytes = l->row_bytes};
        source.ahead =
            next + PANEL_LANES <= l->n_columns ? l->weights + next * l->weight_row_bytes : l->ahead;
        for (size_t row = 0; row < l->n_rows;) {
            size_t left = l->n_rows - row, n = left >= 4 ? 4 : left >= 2 ? 2 : 1;
            __m512 acc[ROWS_DIRECT];
            source.rows = l->rows + row * l->row_bytes;
            fast->rows[n](&source, acc);
            store_lanes(l, column, row, n, acc);
            source.ahead = NULL;
            row += n;
        }
    }
    return column;
}
#define FAST_ROW(l, type) fast_rows(l, type)
