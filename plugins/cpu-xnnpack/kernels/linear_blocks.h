/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Template: products of block-quantised weights with quantised activations. Included after a vector
 * layer; makes cpu_linear_blocks_<level>.
 *
 * Per 32 elements the integer dot product is exact; it is scaled into 8 float lanes in the order of
 * k, and the lanes are summed at the end in a fixed order. A tile computes n_c columns times n_r
 * rows at once, which only shares loads: every element sees the same operations in every tile.
 */
#include "block_unpack.h"
#include "kernels.h"
#include "template.h"

typedef void (*scales_function)(const uint8_t *block, factors *out);
typedef chunk (*weights_function)(const uint8_t *block, unsigned i_chunk);

/* A block type; every use is a compile-time constant. */
typedef struct block_kind {
    scales_function scales;
    weights_function weights;
    unsigned n_chunks, block_bytes, traits;
} block_kind;

#define TILE_COLUMNS 4
#define TILE_ROWS 4

typedef struct tile_sums {
    lanesf lane[TILE_COLUMNS][TILE_ROWS];
    float minimum[TILE_COLUMNS][TILE_ROWS];
} tile_sums;

/* The parts of one row of activations. */
typedef struct row_view {
    const uint8_t *high, *low;
    const float *scale, *sums;
} row_view;

ALWAYS_INLINE row_view row_at(const cpu_linear *l, size_t r, cpu_planes planes) {
    const uint8_t *high = l->rows + r * l->row_bytes;
    const uint8_t *scale = high + l->k * (size_t)planes;
    return (row_view){high, high + l->k, (const float *)(const void *)scale,
                      (const float *)(const void *)(scale + l->k / 32 * 4)};
}

ALWAYS_INLINE lanes dot(chunk w, const uint8_t *a, unsigned traits) {
    chunk activations = chunk_load(a);
    return (traits & TRAIT_UNSIGNED) != 0 ? chunk_dot_unsigned(w, activations)
                                          : chunk_dot_signed(w, activations);
}

/* Adds chunk i_chunk of a block (chunk c of the row) for one column and one row. */
ALWAYS_INLINE void add_chunk(chunk w, const factors *f, unsigned i_chunk, row_view row, size_t c,
                             unsigned traits, cpu_planes planes, lanesf *lane, float *minimum) {
    lanes sum = dot(w, row.high + 32 * c, traits);
    if (planes == CPU_PLANES_16) {
        sum = lanes_join(sum, dot(w, row.low + 32 * c, traits));
    }
    float a = row.scale[c];
    if ((traits & TRAIT_HALVES) != 0) {
        lanesf scale = lanesf_pair(f->scale[2 * i_chunk] * a, f->scale[2 * i_chunk + 1] * a);
        *lane = lanesf_add_scaled(*lane, sum, scale);
        if ((traits & TRAIT_MINIMUM) != 0) {
            *minimum += f->minimum[2 * i_chunk] * row.sums[2 * c] +
                        f->minimum[2 * i_chunk + 1] * row.sums[2 * c + 1];
        }
    } else {
        float scale = f->scale[i_chunk] * a;
        *lane = lanesf_add_scaled(*lane, sum, lanesf_all(scale));
        if ((traits & TRAIT_MINIMUM) != 0) {
            *minimum += f->minimum[i_chunk] * (row.sums[2 * c] + row.sums[2 * c + 1]);
        }
    }
}

ALWAYS_INLINE void tile(const cpu_linear *l, size_t column, size_t row, unsigned n_c, unsigned n_r,
                        cpu_planes planes, block_kind kind) {
    tile_sums sums;
    row_view rows[TILE_ROWS];
#pragma GCC unroll 4
    for (unsigned r = 0; r < n_r; r++) {
        rows[r] = row_at(l, row + r, planes);
#pragma GCC unroll 4
        for (unsigned j = 0; j < n_c; j++) {
            sums.lane[j][r] = lanesf_zero();
            sums.minimum[j][r] = 0.0f;
        }
    }
    size_t n_blocks = l->k / 32 / kind.n_chunks;
    for (size_t b = 0; b < n_blocks; b++) {
#pragma GCC unroll 4
        for (unsigned j = 0; j < n_c; j++) {
            const uint8_t *w_row = l->weights + (column + j) * l->weight_row_bytes;
            const uint8_t *block = w_row + b * kind.block_bytes;
            factors f;
            kind.scales(block, &f);
            for (unsigned i = 0; i < kind.n_chunks; i++) {
                chunk w = kind.weights(block, i);
#pragma GCC unroll 4
                for (unsigned r = 0; r < n_r; r++) {
                    add_chunk(w, &f, i, rows[r], b * kind.n_chunks + i, kind.traits, planes,
                              &sums.lane[j][r], &sums.minimum[j][r]);
                }
            }
        }
    }
#pragma GCC unroll 4
    for (unsigned j = 0; j < n_c; j++) {
#pragma GCC unroll 4
        for (unsigned r = 0; r < n_r; r++) {
            float y = lanesf_sum(sums.lane[j][r]) - sums.minimum[j][r];
            y = l->bias != NULL ? y + l->bias[column + j] : y;
            l->out[(row + r) * l->out_stride + column + j] = y;
        }
    }
}

/* n_r rows against all columns, n_c at a time. */
ALWAYS_INLINE void row_band(const cpu_linear *l, size_t row, unsigned n_c, unsigned n_r,
                            cpu_planes planes, block_kind kind) {
    size_t column = 0;
    for (; n_c > 1 && column + n_c <= l->n_columns; column += n_c) {
        tile(l, column, row, n_c, n_r, planes, kind);
    }
    for (; column < l->n_columns; column++) {
        tile(l, column, row, 1, n_r, planes, kind);
    }
}

/* Weights are read once per four rows; several columns at a time hide latency. */
ALWAYS_INLINE void columns(const cpu_linear *l, cpu_planes planes, block_kind kind) {
    size_t row = 0;
    for (; row + 4 <= l->n_rows; row += 4) {
        row_band(l, row, CPU_TILE_COLUMNS / 2, 4, planes, kind);
    }
    for (; row < l->n_rows; row++) {
        row_band(l, row, CPU_TILE_COLUMNS, 1, planes, kind);
    }
}

ALWAYS_INLINE void decode_blocks(const uint8_t *row, size_t n, float *out, block_kind kind) {
    for (size_t c = 0; c < n / 32; c++) {
        const uint8_t *block = row + c / kind.n_chunks * kind.block_bytes;
        unsigned i = (unsigned)(c % kind.n_chunks);
        factors f;
        kind.scales(block, &f);
        unsigned first = (kind.traits & TRAIT_HALVES) != 0 ? 2 * i : i;
        unsigned second = (kind.traits & TRAIT_HALVES) != 0 ? 2 * i + 1 : i;
        float scale[2] = {f.scale[first], f.scale[second]}, shift[2] = {0.0f, 0.0f};
        if ((kind.traits & TRAIT_MINIMUM) != 0) {
            shift[0] = -f.minimum[first];
            shift[1] = -f.minimum[second];
        }
        chunk_to_floats(kind.weights(block, i), scale, shift, out + 32 * c);
    }
}

#define KIND(name, n_chunks, traits)                                                    \
    (block_kind) {                                                                      \
        scales_##name, weights_##name, n_chunks, (unsigned)sizeof(block_##name), traits \
    }

#define MAKE_TYPE(NAME, name, n_chunks, traits)                           \
    static void linear_##name(const cpu_linear *l) {                      \
        if (l->planes == CPU_PLANES_16) {                                 \
            columns(l, CPU_PLANES_16, KIND(name, n_chunks, traits));      \
        } else {                                                          \
            columns(l, CPU_PLANES_8, KIND(name, n_chunks, traits));       \
        }                                                                 \
    }                                                                     \
    static void decode_##name(const uint8_t *row, size_t n, float *out) { \
        decode_blocks(row, n, out, KIND(name, n_chunks, traits));         \
    }
CPU_BLOCK_TYPES(MAKE_TYPE)

/* The nearest integer is taken away from zero at ties, as GGUF writers do. */
static void encode_q8_0(const float *x, size_t n, uint8_t *out_row) {
    for (size_t b = 0; b < n / 32; b++, x += 32) {
        float largest = 0.0f;
        for (int i = 0; i < 32; i++) {
            largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
        }
        float d = largest / 127.0f;
        uint16_t half = float_to_half(d);
        uint8_t *block = out_row + b * sizeof(block_q8_0);
        memcpy(block, &half, 2);
        for (int i = 0; i < 32; i++) {
            float q = d > 0.0f ? x[i] / d : 0.0f;
            block[2 + i] = (uint8_t)(int8_t)(q >= 0.0f ? q + 0.5f : q < 0.0f ? q - 0.5f : 0.0f);
        }
    }
}

/* The element of largest size becomes -8 exactly. */
static void encode_q4_0(const float *x, size_t n, uint8_t *out_row) {
    for (size_t b = 0; b < n / 32; b++, x += 32) {
        float extreme = 0.0f;
        for (int i = 0; i < 32; i++) {
            extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
        }
        float d = extreme / -8.0f;
        uint16_t half = float_to_half(d);
        uint8_t *block = out_row + b * sizeof(block_q4_0);
        memcpy(block, &half, 2);
        uint8_t q[32];
        for (int i = 0; i < 32; i++) {
            float level = d != 0.0f ? x[i] / d + 8.5f : 8.5f;
            q[i] = (uint8_t)(level >= 15.0f ? 15.0f : level > 0.0f ? level : 0.0f);
        }
        for (int i = 0; i < 16; i++) {
            block[2 + i] = (uint8_t)(q[i] | q[i + 16] << 4);
        }
    }
}

#define encode_q4_1 NULL
#define encode_q5_0 NULL
#define encode_q5_1 NULL
#define encode_iq4_nl NULL
#define encode_mxfp4 NULL
#define encode_q2_k NULL
#define encode_q3_k NULL
#define encode_q4_k NULL
#define encode_q5_k NULL
#define encode_q6_k NULL
#define encode_iq4_xs NULL
#define TABLE_ENTRY(NAME, name, n_chunks, traits) \
    [SY_TYPE_##NAME] = {linear_##name, decode_##name, encode_##name},

extern const cpu_type_kernels CPU_JOIN(cpu_linear_blocks_, CPU_LEVEL)[CPU_TYPE_TABLE];
const cpu_type_kernels CPU_JOIN(cpu_linear_blocks_,
                                CPU_LEVEL)[CPU_TYPE_TABLE] = {CPU_BLOCK_TYPES(TABLE_ENTRY)};
