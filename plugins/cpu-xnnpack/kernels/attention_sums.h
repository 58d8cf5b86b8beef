/* SPDX-License-Identifier: Apache-2.0 */
/* Template: values weighted and summed, queries x columns in register tiles. A sum has one chain of
 * additions over the positions whatever the tile, and nobody touches a row that it does not see. */
#ifndef CPU_ATTENTION_SUMS_H
#define CPU_ATTENTION_SUMS_H

#include "attention_cells.h"
#include "attention_dot.h"

/* Adds positions [low, high), counted from the block that `values` points to. */
ALWAYS_INLINE void sums_tile(const float *weights, const uint8_t *values, size_t block_bytes,
                             cpu_positions at, float *sums, size_t stride, unsigned n_q,
                             unsigned n_vectors, cell_kind kind) {
    vfloat acc[TILE_QUERIES][SUM_VECTORS];
    const size_t step = cell_element(kind), row_bytes = CPU_CELL * step;
#pragma GCC unroll 8
    for (unsigned j = 0; j < n_q; j++) {
#pragma GCC unroll 4
        for (unsigned v = 0; v < n_vectors; v++) {
            acc[j][v] = vf_load(sums + j * stride + v * VF);
        }
    }
    for (uint32_t p = at.low; p < at.high; p++) {
        const uint8_t *row = values + p / CPU_BLOCK * block_bytes + p % CPU_BLOCK * row_bytes;
        vfloat x[SUM_VECTORS];
#pragma GCC unroll 4
        for (unsigned v = 0; v < n_vectors; v++) {
            const uint8_t *cell = row + v / PER_BLOCK * CPU_BLOCK * row_bytes;
            x[v] = cell_load(cell + v % PER_BLOCK * VF * step, kind);
            if (v % PER_BLOCK == 0) {
                look_ahead(cell + BLOCKS_AHEAD * block_bytes, kind);
            }
        }
#pragma GCC unroll 8
        for (unsigned j = 0; j < n_q; j++) {
            vfloat w = vf_set1(weights[j * CPU_SPAN + p]);
#pragma GCC unroll 4
            for (unsigned v = 0; v < n_vectors; v++) {
                acc[j][v] = vf_fma(w, x[v], acc[j][v]);
            }
        }
    }
#pragma GCC unroll 8
    for (unsigned j = 0; j < n_q; j++) {
#pragma GCC unroll 4
        for (unsigned v = 0; v < n_vectors; v++) {
            vf_store(sums + j * stride + v * VF, acc[j][v]);
        }
    }
}

ALWAYS_INLINE void sums_of_kind(const float *weights, const uint8_t *values, size_t block_bytes,
                                cpu_positions at, float *sums, size_t stride, size_t n_q,
                                size_t n_cells, cell_kind kind) {
#define BODY(n) \
    sums_tile(weights, values, block_bytes, at, sums, stride, n, TILE_CELLS *PER_BLOCK, kind)
#define BODY_ONE(n) sums_tile(weights, values, block_bytes, at, sums, stride, n, PER_BLOCK, kind)
    if (n_cells == TILE_CELLS) {
        WITH_QUERIES(n_q, BODY)
    } else {
        WITH_QUERIES(n_q, BODY_ONE)
    }
#undef BODY
#undef BODY_ONE
}

/* The cells [.., n_cells) of values that a pass takes, from one block on. */
typedef struct value_pass {
    const uint8_t *bytes;
    size_t block_bytes, n_cells;
    cell_kind kind;
    uint32_t first; /* position of the block in the span */
    size_t column;  /* of the sums */
} value_pass;

static void sums_run(const cpu_attention *a, const value_pass *pass, size_t first, size_t n_q,
                     cpu_positions at) {
    size_t stride = cpu_attention_stride(a->dv);
    const float *weights = a->scores + first * CPU_SPAN + pass->first;
    float *sums = a->out.sums + first * stride + pass->column;
    cpu_positions here = {at.low - pass->first, at.high - pass->first};
#define CASE(k)                                                                        \
    case k:                                                                            \
        sums_of_kind(weights, pass->bytes, pass->block_bytes, here, sums, stride, n_q, \
                     pass->n_cells, k);                                                \
        break;
    switch (pass->kind) {
        CASE(CELL_F32)
        CASE(CELL_F16)
        CASE(CELL_BF16)
        CASE(CELL_WIDE)
    }
#undef CASE
}

static cpu_positions meet(cpu_positions a, cpu_positions b) {
    cpu_positions both = {a.low > b.low ? a.low : b.low, a.high < b.high ? a.high : b.high};
    both.high = both.high > both.low ? both.high : both.low;
    return both;
}

/* Queries of one tile: together where all see, alone before and behind. A query never touches a row
 * that it does not see, whose content may be anything. */
static void sums_of_queries(const cpu_attention *a, const value_pass *pass, size_t first,
                            size_t n_q) {
    cpu_positions all = {pass->first, pass->first + VALUE_POSITIONS};
    cpu_positions shared = {a->sees[(first + n_q - 1) / a->per_row].low,
                            a->sees[first / a->per_row].high};
    shared = meet(all, shared);
    bool is_empty = shared.low >= shared.high;
    for (size_t j = first; j < first + n_q; j++) {
        cpu_positions own = meet(all, a->sees[j / a->per_row]);
        own.high = !is_empty && own.high > shared.low ? shared.low : own.high;
        if (own.low < own.high) {
            sums_run(a, pass, j, 1, own);
        }
    }
    if (is_empty) {
        return;
    }
    sums_run(a, pass, first, n_q, shared);
    for (size_t j = first; j < first + n_q; j++) {
        cpu_positions own = meet(all, a->sees[j / a->per_row]);
        own.low = own.low > shared.high ? own.low : shared.high;
        if (own.low < own.high) {
            sums_run(a, pass, j, 1, own);
        }
    }
}

/* Values of block types, one cell of 16 columns: half of a cell of theirs. */
static void widen_cell(const cpu_cells *cells, const uint8_t *block, size_t cell, float *out) {
    bool is_q4 = cells->type == SY_TYPE_Q4_0;
    size_t row_bytes = is_q4 ? 16 : 32, at = cell / 2 * CPU_BLOCK * row_bytes;
    const uint8_t *bytes = block + at;
    const uint8_t *factors = cells->scales + (block - cells->bytes) + cell / 2 * CPU_BLOCK * 2;
    float factor[CPU_BLOCK];
    for (size_t i = 0; i < CPU_BLOCK; i += VF) {
        vf_store(factor + i, vf_load_f16((const uint16_t *)(const void *)(factors + 2 * i)));
    }
    if (cell % 2 == 0) {
        for (size_t i = 0; i < CPU_BLOCK * row_bytes; i += 64) {
            __builtin_prefetch(bytes + BLOCKS_AHEAD * cells->block_bytes + i);
        }
    }
    for (size_t p = 0; p < CPU_BLOCK; p++) {
        const uint8_t *row = bytes + p * row_bytes + (is_q4 ? 0 : cell % 2 * CPU_CELL);
        for (size_t i = 0; i < CPU_CELL; i += VF) {
            vint x = is_q4 ? dot_nibbles(row + i, cell % 2 == 1) : dot_bytes(row + i);
            vf_store(out + p * CPU_CELL + i, dot_to_float(x) * vf_set1(factor[p]));
        }
    }
}

/* f32 copies of the blocks that are seen, one after the other. */
static void widen_pass(const cpu_attention *a, uint32_t position, size_t cell, size_t n_cells) {
    size_t n = n_cells * CPU_BLOCK * CPU_CELL, cell_bytes = CPU_BLOCK * CPU_CELL * 2;
    cpu_positions seen = seen_by(a, 0, a->n_queries);
    uint32_t end = position + VALUE_POSITIONS < seen.high ? position + VALUE_POSITIONS : seen.high;
    uint32_t first = seen.low > position ? seen.low / CPU_BLOCK * CPU_BLOCK : position;
    for (uint32_t p = first; p < end; p += CPU_BLOCK) {
        const uint8_t *block = a->values.bytes + p / CPU_BLOCK * a->values.block_bytes;
        float *out = a->wide + (p - position) / CPU_BLOCK * n;
        if (!is_block_type(a->values.type)) {
            widen(a->values.type, block + cell * cell_bytes, n, out);
            continue;
        }
        for (size_t i = 0; i < n_cells; i++) {
            widen_cell(&a->values, block, cell + i, out + i * CPU_BLOCK * CPU_CELL);
        }
    }
}

static cell_kind kind_of(sy_element_type type) {
    return type == SY_TYPE_F32 ? CELL_F32 : type == SY_TYPE_F16 ? CELL_F16 : CELL_BF16;
}

static void sums_pass(const cpu_attention *a, uint32_t position, size_t cell, size_t n_cells) {
    value_pass pass = {.kind = kind_of(a->values.type),
                       .block_bytes = a->values.block_bytes,
                       .n_cells = n_cells,
                       .first = position,
                       .column = cell * CPU_CELL};
    if (is_block_type(a->values.type) || (a->n_queries > TILE_QUERIES && pass.kind != CELL_F32)) {
        widen_pass(a, position, cell, n_cells);
        pass.bytes = (const uint8_t *)a->wide;
        pass.block_bytes = n_cells * CPU_BLOCK * CPU_CELL * sizeof(float);
        pass.kind = CELL_WIDE;
    } else {
        pass.bytes = a->values.bytes + position / CPU_BLOCK * a->values.block_bytes +
                     cell * CPU_BLOCK * CPU_CELL * cell_element(pass.kind);
    }
    for (size_t j = 0; j < a->n_queries; j += TILE_QUERIES) {
        size_t n = a->n_queries - j < TILE_QUERIES ? a->n_queries - j : TILE_QUERIES;
        sums_of_queries(a, &pass, j, n);
    }
}

static void sums_all(const cpu_attention *a) {
    cpu_positions seen = seen_by(a, 0, a->n_queries);
    size_t n_cells = cpu_attention_stride(a->dv) / CPU_CELL;
    memset(a->out.sums, 0, a->n_queries * n_cells * CPU_CELL * sizeof(float));
    for (uint32_t p = seen.low / VALUE_POSITIONS * VALUE_POSITIONS; p < seen.high;
         p += VALUE_POSITIONS) {
        for (size_t cell = 0; cell < n_cells; cell += TILE_CELLS) {
            sums_pass(a, p, cell, n_cells - cell < TILE_CELLS ? 1 : TILE_CELLS);
        }
    }
}

#endif
