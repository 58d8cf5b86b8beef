/* SPDX-License-Identifier: Apache-2.0 */
/* Template: values of all types as floats in registers, those of block types without their factor:
 * integers. Included after a vector layer. */
#ifndef CPU_ATTENTION_VALUES_H
#define CPU_ATTENTION_VALUES_H

#include "attention_cells.h"
#include "attention_dot.h"

ALWAYS_INLINE bool cell_is_block(cell_kind kind) {
    return kind == CELL_Q8 || kind == CELL_Q4 || kind == CELL_Q4_HIGH;
}
/* Of one position in a cell: 16 columns of plain types, 32 of block types. */
ALWAYS_INLINE size_t cell_row_bytes(cell_kind kind) {
    return kind == CELL_Q8 ? 32 : cell_is_block(kind) ? 16 : CPU_CELL * cell_element(kind);
}
/* Vectors of a cell's row. */
ALWAYS_INLINE unsigned cell_vectors(cell_kind kind) {
    return cell_is_block(kind) ? 2 * PER_CELL : PER_CELL;
}
/* Where 16 columns begin in a block, in its first row. */
ALWAYS_INLINE size_t cell_offset(cell_kind kind, size_t cell) {
    size_t bytes = CPU_BLOCK * cell_row_bytes(kind);
    return cell_is_block(kind) ? cell / 2 * bytes + (kind == CELL_Q8 ? cell % 2 * CPU_CELL : 0)
                               : cell * bytes;
}

/* Vector v of a position's columns, from the cell on whose row `row` is. */
ALWAYS_INLINE const uint8_t *value_at(const uint8_t *row, unsigned v, cell_kind kind) {
    const unsigned i_cell = v / cell_vectors(kind), inside = v % cell_vectors(kind);
    const uint8_t *cell = row + i_cell * CPU_BLOCK * cell_row_bytes(kind);
    if (cell_is_block(kind)) {
        return cell + (kind == CELL_Q8 ? inside : inside % PER_CELL) * VF;
    }
    return cell + inside * VF * cell_element(kind);
}

/* The low or the high halves of VF bytes, less 8. */
ALWAYS_INLINE vfloat nibbles_to_float(const uint8_t *p, bool is_high) {
#if VF == 16
    /* the permutation looks at the low four bits of a lane only */
    const __m512 table = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    __m512i w = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm512_permutexvar_ps(is_high ? _mm512_srli_epi32(w, 4) : w, table);
#else
    vint w = dot_bytes(p);
    return dot_to_float(((is_high ? w >> 4 : w) & 15) - 8);
#endif
}

ALWAYS_INLINE vfloat value_load(const uint8_t *row, unsigned v, cell_kind kind) {
    const uint8_t *p = value_at(row, v, kind);
    if (kind == CELL_Q8) {
        return dot_to_float(dot_bytes(p));
    }
    if (cell_is_block(kind)) {
        return nibbles_to_float(p, kind == CELL_Q4_HIGH || v % cell_vectors(kind) >= PER_CELL);
    }
    return cell_load(p, kind);
}

/* Rows of n_cells cells as those of f32 cells; asks for what lies `ahead` bytes further. */
ALWAYS_INLINE void widen_cells(const uint8_t *cells, size_t n_cells, cpu_positions at,
                               ptrdiff_t ahead, float *out, cell_kind kind) {
    const size_t row_bytes = cell_row_bytes(kind);
    for (size_t p = at.low; p < at.high; p++) {
        for (unsigned v = 0; v < n_cells * PER_CELL; v++) {
            float *to = out + v / PER_CELL * CPU_BLOCK * CPU_CELL + v % PER_CELL * VF;
            __builtin_prefetch(value_at(cells + p * row_bytes, v, kind) + ahead);
            vf_store(to + p * CPU_CELL, value_load(cells + p * row_bytes, v, kind));
        }
    }
}

#endif
