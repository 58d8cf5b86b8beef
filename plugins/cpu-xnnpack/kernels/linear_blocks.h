/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Template: products of block-quantised weights with quantised activations. Included after a vector
 * layer; makes cpu_linear_blocks_<level>.
 *
 * Per 32 elements the integer dot product is exact; it is scaled into 8 float lanes in the order of
 * k, and the lanes are summed at the end in a fixed order. A tile computes n_c columns times n_r
 * rows at once, which only shares loads: every element sees the same operations in every tile.
 */
#include "block_kind.h"

#define TILE_COLUMNS 4
#define TILE_ROWS 4

typedef struct tile_sums {
    lanesf lane[TILE_COLUMNS][TILE_ROWS];
    float minimum[TILE_COLUMNS][TILE_ROWS];
} tile_sums;

/* Chunk c of a row of activations. */
typedef struct record_view {
    const uint8_t *high, *low;
    cpu_record_end end;
} record_view;

ALWAYS_INLINE record_view record_at(const cpu_linear *l, size_t r, size_t c, cpu_planes planes) {
    record_view view = {.high = l->rows + r * l->row_bytes + c * cpu_record_bytes(planes)};
    view.low = view.high + 32;
    memcpy(&view.end, view.high + 32 * (size_t)planes, sizeof(view.end));
    return view;
}

ALWAYS_INLINE lanes dot(chunk w, const uint8_t *a, unsigned traits) {
    chunk activations = chunk_load(a);
    return (traits & TRAIT_UNSIGNED) != 0 ? chunk_dot_unsigned(w, activations)
                                          : chunk_dot_signed(w, activations);
}

/* Adds chunk i_chunk of a block for one column and one row. */
ALWAYS_INLINE void add_chunk(chunk w, const factors *f, unsigned i_chunk, record_view row,
                             unsigned traits, cpu_planes planes, lanesf *lane, float *minimum) {
    lanes sum = dot(w, row.high, traits);
    if (planes == CPU_PLANES_16) {
        sum = lanes_join(sum, dot(w, row.low, traits));
    }
    float a = row.end.scale;
    if ((traits & TRAIT_HALVES) != 0) {
        lanesf scale = lanesf_pair(f->scale[2 * i_chunk] * a, f->scale[2 * i_chunk + 1] * a);
        *lane = lanesf_add_scaled(*lane, sum, scale);
        if ((traits & TRAIT_MINIMUM) != 0) {
            float unit = a * (-1.0f / CPU_WEIGHT_ZERO), first = (float)row.end.offset_16;
            float second = (float)(row.end.offset - row.end.offset_16);
            *minimum += f->minimum[2 * i_chunk] * (unit * first) +
                        f->minimum[2 * i_chunk + 1] * (unit * second);
        }
    } else {
        float scale = f->scale[i_chunk] * a;
        *lane = lanesf_add_scaled(*lane, sum, lanesf_all(scale));
        if ((traits & TRAIT_MINIMUM) != 0) {
            *minimum += f->minimum[i_chunk] * row.end.sum;
        }
    }
}

ALWAYS_INLINE void tile(const cpu_linear *l, size_t column, size_t row, unsigned n_c, unsigned n_r,
                        cpu_planes planes, block_kind kind) {
    tile_sums sums;
#pragma GCC unroll 4
    for (unsigned r = 0; r < n_r; r++) {
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
                    add_chunk(w, &f, i, record_at(l, row + r, b * kind.n_chunks + i, planes),
                              kind.traits, planes, &sums.lane[j][r], &sums.minimum[j][r]);
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

#define MAKE_LINEAR(NAME, name, n_chunks, traits)                    \
    static void linear_##name(const cpu_linear *l) {                 \
        if (l->planes == CPU_PLANES_16) {                            \
            columns(l, CPU_PLANES_16, KIND(name, n_chunks, traits)); \
        } else {                                                     \
            columns(l, CPU_PLANES_8, KIND(name, n_chunks, traits));  \
        }                                                            \
    }
CPU_BLOCK_TYPES(MAKE_LINEAR)
CPU_BLOCK_TABLE
