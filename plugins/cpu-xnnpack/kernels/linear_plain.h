/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Template: products of f32, f16 and bf16 weights with f32 rows, read from where they lie. Included
 * after a vector layer; makes cpu_linear_plain_<level>. Two accumulators per element, even and odd
 * vectors of k, in every tile.
 */
#include "kernels.h"
#include "plain_load.h"

/* VF elements of a row from element i on; bytes may lie at any address. */
ALWAYS_INLINE vfloat load_vector(const uint8_t *row, size_t i, plain_kind kind) {
    return plain_load(row + i * plain_bytes(kind), kind);
}

/* The last n < VF elements, zeros behind them. */
ALWAYS_INLINE vfloat load_tail(const uint8_t *row, size_t i, size_t n, plain_kind kind) {
    uint8_t padded[VF * 4] = {0};
    memcpy(padded, row + i * plain_bytes(kind), n * plain_bytes(kind));
    return load_vector(padded, 0, kind);
}

/* Tiles as large as the registers allow: columns x rows x 2 sums. */
#if VF == 16 || defined(__aarch64__)
#define PLAIN_TILE_ROWS 6
#else
#define PLAIN_TILE_ROWS 3
#endif
#define PLAIN_TILE_COLUMNS 2 /* with that many rows */
#define PLAIN_MOST 6

typedef struct plain_sums {
    vfloat of[4][PLAIN_MOST];
} plain_sums;

/* What one tile reads. */
typedef struct plain_tile_rows {
    const uint8_t *weights[4], *rows[PLAIN_MOST];
} plain_tile_rows;

ALWAYS_INLINE void plain_step(plain_sums *sums, const plain_tile_rows *t, size_t i, size_t n,
                              unsigned n_c, unsigned n_r, plain_kind kind) {
    vfloat x[PLAIN_MOST];
#pragma GCC unroll 8
    for (unsigned r = 0; r < n_r; r++) {
        x[r] = n == VF ? load_vector(t->rows[r], i, PLAIN_F32)
                       : load_tail(t->rows[r], i, n, PLAIN_F32);
        IN_REGISTER(x[r]);
    }
#pragma GCC unroll 4
    for (unsigned j = 0; j < n_c; j++) {
        vfloat w =
            n == VF ? load_vector(t->weights[j], i, kind) : load_tail(t->weights[j], i, n, kind);
#pragma GCC unroll 8
        for (unsigned r = 0; r < n_r; r++) {
            sums->of[j][r] = vf_fma(w, x[r], sums->of[j][r]);
        }
    }
}

ALWAYS_INLINE void plain_tile(const cpu_linear *l, size_t column, size_t row, unsigned n_c,
                              unsigned n_r, plain_kind kind) {
    plain_sums even, odd;
    plain_tile_rows t;
#pragma GCC unroll 4
    for (unsigned j = 0; j < n_c; j++) {
        t.weights[j] = l->weights + (column + j) * l->weight_row_bytes;
#pragma GCC unroll 8
        for (unsigned r = 0; r < n_r; r++) {
            t.rows[r] = l->rows + (row + r) * l->row_bytes;
            even.of[j][r] = vf_set1(0.0f);
            odd.of[j][r] = vf_set1(0.0f);
        }
    }
    /* The bytes of n_c rows lie together; they come from memory for the first rows only. */
    const uint8_t *ahead = NULL;
    if (row == 0) {
        ahead = column + 2 * n_c <= l->n_columns ? l->weights + (column + n_c) * l->weight_row_bytes
                                                 : l->ahead;
    }
    size_t i = 0;
    for (; i + 2 * VF <= l->k; i += 2 * VF) {
        stream_ahead(ahead != NULL ? ahead + i * plain_bytes(kind) * n_c : NULL,
                     2 * VF * plain_bytes(kind) * n_c);
        plain_step(&even, &t, i, VF, n_c, n_r, kind);
        plain_step(&odd, &t, i + VF, VF, n_c, n_r, kind);
    }
    if (i + VF <= l->k) {
        plain_step(&even, &t, i, VF, n_c, n_r, kind);
        i += VF;
    }
    if (i < l->k) {
        plain_step(&odd, &t, i, l->k - i, n_c, n_r, kind);
    }
#pragma GCC unroll 4
    for (unsigned j = 0; j < n_c; j++) {
#pragma GCC unroll 8
        for (unsigned r = 0; r < n_r; r++) {
            float y = vf_sum(even.of[j][r] + odd.of[j][r]);
            y = l->bias != NULL ? y + l->bias[column + j] : y;
            l->out[(row + r) * l->out_stride + column + j] = y;
        }
    }
}

/* n_r rows against all columns, n_c at a time. */
ALWAYS_INLINE void plain_band(const cpu_linear *l, size_t row, unsigned n_c, unsigned n_r,
                              plain_kind kind) {
    size_t column = 0;
    for (; column + n_c <= l->n_columns; column += n_c) {
        plain_tile(l, column, row, n_c, n_r, kind);
    }
    for (; column < l->n_columns; column++) {
        plain_tile(l, column, row, 1, n_r, kind);
    }
}

ALWAYS_INLINE void plain_columns(const cpu_linear *l, plain_kind kind) {
    size_t row = 0;
    for (; row + PLAIN_TILE_ROWS <= l->n_rows; row += PLAIN_TILE_ROWS) {
        plain_band(l, row, PLAIN_TILE_COLUMNS, PLAIN_TILE_ROWS, kind);
    }
    for (; row + 2 <= l->n_rows; row += 2) {
        plain_band(l, row, 4, 2, kind);
    }
    for (; row < l->n_rows; row++) {
        plain_band(l, row, 4, 1, kind);
    }
}

ALWAYS_INLINE void plain_decode(const uint8_t *row, size_t n, float *out, plain_kind kind) {
    size_t i = 0;
    for (; i + VF <= n; i += VF) {
        vf_store(out + i, load_vector(row, i, kind));
    }
    if (i < n) {
        vfloat tail = load_tail(row, i, n - i, kind);
        memcpy(out + i, &tail, (n - i) * 4);
    }
}

static void linear_f32(const cpu_linear *l) {
    plain_columns(l, PLAIN_F32);
}
static void linear_f16(const cpu_linear *l) {
    plain_columns(l, PLAIN_F16);
}
static void linear_bf16(const cpu_linear *l) {
    plain_columns(l, PLAIN_BF16);
}
static void decode_f32(const uint8_t *row, size_t n, float *out) {
    memcpy(out, row, n * 4);
}
static void decode_f16(const uint8_t *row, size_t n, float *out) {
    plain_decode(row, n, out, PLAIN_F16);
}
static void decode_bf16(const uint8_t *row, size_t n, float *out) {
    plain_decode(row, n, out, PLAIN_BF16);
}
static void encode_f32(const float *x, size_t n, uint8_t *out_row) {
    memcpy(out_row, x, n * 4);
}
static void encode_f16(const float *x, size_t n, uint8_t *out_row) {
    size_t i = 0;
    for (; i + VF <= n; i += VF) {
        vf_store_f16((uint16_t *)(void *)(out_row + 2 * i), vf_load(x + i));
    }
    for (; i < n; i++) {
        uint16_t half = float_to_half(x[i]);
        memcpy(out_row + 2 * i, &half, 2);
    }
}
/* Nearest, ties to even; a NaN stays a NaN. */
static void encode_bf16(const float *x, size_t n, uint8_t *out_row) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = 0;
        memcpy(&bits, x + i, 4);
        bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
        bits = is_nan ? bits | 0x400000u : bits + 0x7fffu + (bits >> 16 & 1u);
        uint16_t top = (uint16_t)(bits >> 16);
        memcpy(out_row + 2 * i, &top, 2);
    }
}

extern const cpu_type_kernels CPU_JOIN(cpu_linear_plain_, CPU_LEVEL)[CPU_TYPE_TABLE];
const cpu_type_kernels CPU_JOIN(cpu_linear_plain_, CPU_LEVEL)[CPU_TYPE_TABLE] = {
    [SY_TYPE_F32] = {linear_f32, decode_f32, encode_f32},
    [SY_TYPE_F16] = {linear_f16, decode_f16, encode_f16},
    [SY_TYPE_BF16] = {linear_bf16, decode_bf16, encode_bf16}};
