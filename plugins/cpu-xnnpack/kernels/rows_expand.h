/* SPDX-License-Identifier: Apache-2.0 */
/* Template: narrow rows times a wide matrix of f32, f16 or bf16, added to what is there: what the
 * second matrix of an adapter does. Part of rows_float.h. Columns lie in the lanes, and every
 * element has one sum, in the order of j, in every tile. */
#ifndef CPU_ROWS_EXPAND_H
#define CPU_ROWS_EXPAND_H

#include "kernels.h"
#include "plain_load.h"

#if VF == 16
#define EXPAND_VECTORS 2u
#define EXPAND_ROWS 8u
#elif defined(__aarch64__)
#define EXPAND_VECTORS 4u
#define EXPAND_ROWS 4u
#else
#define EXPAND_VECTORS 4u
#define EXPAND_ROWS 2u
#endif

/* Vectors of columns from `column` on, of n_rows rows. */
ALWAYS_INLINE void expand_tile(const cpu_expand *e, const uint8_t *wide, size_t row, size_t column,
                               unsigned n_rows, plain_kind kind) {
    const size_t row_bytes = CPU_EXPAND_COLUMNS * plain_bytes(kind);
    const float *narrow = e->narrow + row * e->narrow_stride;
    vfloat sums[EXPAND_ROWS][EXPAND_VECTORS];
    for (unsigned i = 0; i < n_rows * EXPAND_VECTORS; i++) {
        sums[i / EXPAND_VECTORS][i % EXPAND_VECTORS] = vf_set1(0.0f);
    }
    for (size_t j = 0; j < e->rank; j++) {
        vfloat w[EXPAND_VECTORS];
        for (unsigned v = 0; v < EXPAND_VECTORS; v++) {
            w[v] = plain_load(wide + v * VF * plain_bytes(kind), kind);
            IN_REGISTER(w[v]);
        }
        for (unsigned r = 0; r < n_rows; r++) {
            vfloat factor = vf_set1(narrow[r * e->narrow_stride + j]);
            for (unsigned v = 0; v < EXPAND_VECTORS; v++) {
                sums[r][v] = vf_fma(factor, w[v], sums[r][v]);
            }
        }
        if (row == 0) { /* the matrix is read once, in the order of its tiles */
            stream_ahead(wide + e->rank * row_bytes, EXPAND_VECTORS * VF * plain_bytes(kind));
        }
        wide += row_bytes;
    }
    for (unsigned i = 0; i < n_rows * EXPAND_VECTORS; i++) {
        size_t first = column + i % EXPAND_VECTORS * VF;
        float *out = e->out + (row + i / EXPAND_VECTORS) * e->out_stride + first;
        if (first < e->n_columns) {
            size_t n = e->n_columns - first;
            vfloat sum = sums[i / EXPAND_VECTORS][i % EXPAND_VECTORS];
            store_up_to(out, n, load_up_to(out, n, 0.0f) + sum);
        }
    }
}

ALWAYS_INLINE void expand_kind(const cpu_expand *e, plain_kind kind) {
    const size_t size = plain_bytes(kind);
    for (size_t column = 0; column < e->n_columns; column += EXPAND_VECTORS * VF) {
        size_t within = column % CPU_EXPAND_COLUMNS, first = column - within, row = 0;
        const uint8_t *wide = e->wide + (first * e->rank + within) * size;
        for (; row + EXPAND_ROWS <= e->n_rows; row += EXPAND_ROWS) {
            expand_tile(e, wide, row, column, EXPAND_ROWS, kind);
        }
        for (; row < e->n_rows; row++) {
            expand_tile(e, wide, row, column, 1, kind);
        }
    }
}

static void expand(const cpu_expand *e) {
    if (e->type == SY_TYPE_F32) {
        expand_kind(e, PLAIN_F32);
    } else if (e->type == SY_TYPE_F16) {
        expand_kind(e, PLAIN_F16);
    } else {
        expand_kind(e, PLAIN_BF16);
    }
}

#endif
