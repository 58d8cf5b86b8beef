/* SPDX-License-Identifier: Apache-2.0 */
/* Template: values weighted and summed, queries x columns in register tiles. A sum has one chain of
 * additions over the positions whatever the tile, and nobody touches a row that it does not see.
 * Factors of block types go into the weights, once for 32 columns. */
#ifndef CPU_ATTENTION_SUMS_H
#define CPU_ATTENTION_SUMS_H

#include "attention_values.h"

/* Where weights for the second cell of a block type begin, behind those of half a tile. */
#define SECOND_WEIGHTS (TILE_QUERIES / 2 * CPU_SPAN)

/* A tile of queries over the positions of one pass. */
typedef struct sums_work {
    const float *weights; /* of the first query at the pass's first position, CPU_SPAN apart */
    const uint8_t *values;
    ptrdiff_t ahead; /* to what is asked for early */
    float *sums;
    size_t stride;
} sums_work;

/* Adds positions [low, high) of the block that `values` points to. */
ALWAYS_INLINE void sums_tile(sums_work w, cpu_positions at, unsigned n_q, unsigned n_vectors,
                             cell_kind kind) {
    vfloat acc[TILE_QUERIES][SUM_VECTORS];
    const size_t row_bytes = cell_row_bytes(kind);
#pragma GCC unroll 8
    for (unsigned j = 0; j < n_q; j++) {
#pragma GCC unroll 8
        for (unsigned v = 0; v < n_vectors; v++) {
            acc[j][v] = vf_load(w.sums + j * w.stride + v * VF);
        }
    }
    const uint8_t *row = w.values + at.low * row_bytes;
    for (size_t p = at.low; p < at.high; p++, row += row_bytes) {
        vfloat x[SUM_VECTORS];
#pragma GCC unroll 8
        for (unsigned v = 0; v < n_vectors; v++) {
            x[v] = value_load(row, v, kind);
            IN_REGISTER(x[v]);
            if (v % cell_vectors(kind) == 0) {
                look_ahead(value_at(row, v, kind) + w.ahead, kind);
            }
        }
#pragma GCC unroll 8
        for (unsigned j = 0; j < n_q; j++) {
            vfloat weight = vf_set1(w.weights[j * CPU_SPAN + p]);
            IN_REGISTER(weight);
#pragma GCC unroll 8
            for (unsigned v = 0; v < n_vectors; v++) {
                if (cell_is_block(kind) && v > 0 && v % cell_vectors(kind) == 0) {
                    weight = vf_set1(w.weights[j * CPU_SPAN + p + SECOND_WEIGHTS]);
                    IN_REGISTER(weight);
                }
                acc[j][v] = vf_fma(weight, x[v], acc[j][v]);
            }
        }
    }
#pragma GCC unroll 8
    for (unsigned j = 0; j < n_q; j++) {
#pragma GCC unroll 8
        for (unsigned v = 0; v < n_vectors; v++) {
            vf_store(w.sums + j * w.stride + v * VF, acc[j][v]);
        }
    }
}

ALWAYS_INLINE void sums_of_kind(const sums_work *work, cpu_positions at, size_t n_q, size_t n_cells,
                                cell_kind kind) {
#define BODY_TWO(n) sums_tile(*work, at, n, 2 * TILE_CELLS * PER_CELL, kind)
#define BODY(n) sums_tile(*work, at, n, TILE_CELLS *PER_CELL, kind)
#define BODY_ONE(n) sums_tile(*work, at, n, PER_CELL, kind)
    if (n_cells == 2 * TILE_CELLS) {
        WITH_HALF_QUERIES(n_q, BODY_TWO)
    } else if (n_cells == TILE_CELLS) {
        WITH_QUERIES(n_q, BODY)
    } else {
        WITH_QUERIES(n_q, BODY_ONE)
    }
#undef BODY_TWO
#undef BODY
#undef BODY_ONE
}

/* n_cells cells of a block of values. */
typedef struct value_pass {
    const uint8_t *bytes;
    size_t n_cells;
    ptrdiff_t ahead;
    cell_kind kind;
    uint32_t first;       /* position in the span */
    size_t cell;          /* of 16 columns, the first of them */
    const float *weights; /* of the queries at hand, from the position `first` on */
    size_t first_query;
} value_pass;

static void sums_run(const cpu_attention *a, const value_pass *pass, size_t first, size_t n_q,
                     cpu_positions at) {
    size_t stride = cpu_attention_stride(a->dv);
    cpu_positions here = {at.low - pass->first, at.high - pass->first};
    const sums_work work = {.weights = pass->weights + (first - pass->first_query) * CPU_SPAN,
                            .values = pass->bytes,
                            .ahead = pass->ahead,
                            .sums = a->out.sums + first * stride + pass->cell * CPU_CELL,
                            .stride = stride};
#define CASE(k)                                           \
    case k:                                               \
        sums_of_kind(&work, here, n_q, pass->n_cells, k); \
        break;
    switch (pass->kind) {
        CASE(CELL_F32)
        CASE(CELL_F16)
        CASE(CELL_BF16)
        CASE(CELL_WIDE)
        CASE(CELL_Q8)
        CASE(CELL_Q4)
#if TILE_CELLS == 1
        CASE(CELL_Q4_HIGH)
#endif
    default:
        break;
    }
#undef CASE
}

static cpu_positions meet(cpu_positions a, cpu_positions b) {
    cpu_positions both = {a.low > b.low ? a.low : b.low, a.high < b.high ? a.high : b.high};
    both.high = both.high > both.low ? both.high : both.low;
    return both;
}

/* Queries of one tile, those of a row together, where they see something of `within`. */
static void sums_by_row(const cpu_attention *a, const value_pass *pass, size_t first, size_t n_q,
                        cpu_positions within) {
    size_t n = 0;
    for (size_t j = first; j < first + n_q; j += n) {
        size_t row = j / a->per_row, next = (row + 1) * a->per_row;
        n = (next < first + n_q ? next : first + n_q) - j;
        cpu_positions own = meet(within, a->sees[row]);
        if (own.low < own.high) {
            sums_run(a, pass, j, n, own);
        }
    }
}

/* Queries of one tile: together where all see, by rows before and behind. A query never touches a
 * row that it does not see, whose content may be anything. */
static void sums_of_queries(const cpu_attention *a, const value_pass *pass, size_t first,
                            size_t n_q) {
    cpu_positions all = {pass->first, pass->first + CPU_BLOCK};
    cpu_positions least = meet(all, a->sees[first / a->per_row]);
    cpu_positions most = meet(all, a->sees[(first + n_q - 1) / a->per_row]);
    cpu_positions shared = {most.low, least.high};
    bool is_same = least.low == most.low && least.high == most.high; /* and all between them */
    if (shared.low >= shared.high) {
        sums_by_row(a, pass, first, n_q, all);
        return;
    }
    if (!is_same) {
        sums_by_row(a, pass, first, n_q, (cpu_positions){all.low, shared.low});
    }
    sums_run(a, pass, first, n_q, shared);
    if (!is_same) {
        sums_by_row(a, pass, first, n_q, (cpu_positions){shared.high, all.high});
    }
}

/* ---- passes ---- */
static cell_kind kind_of(sy_element_type type, size_t cell) {
    switch (type) {
    case SY_TYPE_F32:
        return CELL_F32;
    case SY_TYPE_F16:
        return CELL_F16;
    case SY_TYPE_Q8_0:
        return CELL_Q8;
    case SY_TYPE_Q4_0:
        return cell % 2 == 1 ? CELL_Q4_HIGH : CELL_Q4; /* tiles of two cells begin at even ones */
    default:
        return CELL_BF16;
    }
}

/* f32 copies of the rows that are seen; factors of block types stay out. */
static void widen_pass(const cpu_attention *a, value_pass *pass) {
    cpu_positions at =
        meet((cpu_positions){pass->first, pass->first + CPU_BLOCK}, seen_by(a, 0, a->n_queries));
    at = (cpu_positions){at.low - pass->first, at.high - pass->first};
#define CASE(k)                                                               \
    case k:                                                                   \
        widen_cells(pass->bytes, pass->n_cells, at, pass->ahead, a->wide, k); \
        break;
    switch (pass->kind) {
        CASE(CELL_F16)
        CASE(CELL_BF16)
        CASE(CELL_Q8)
        CASE(CELL_Q4)
        CASE(CELL_Q4_HIGH)
    default:
        break;
    }
#undef CASE
    pass->bytes = (const uint8_t *)a->wide;
    pass->kind = CELL_WIDE;
}

/* Weights times the factors of a block type's cell, those of n_q queries for the pass. */
static void weights_scale(const cpu_attention *a, const value_pass *pass, size_t first, size_t n_q,
                          size_t cell, float *scaled) {
    cpu_positions seen = seen_by(a, first, n_q);
    const uint8_t *factors =
        a->values.blocks[pass->first / CPU_BLOCK] + a->values.factors_at + cell / 2 * CPU_BLOCK * 2;
    for (uint32_t i = 0; i < CPU_BLOCK; i += VF) {
        uint32_t position = pass->first + i;
        if (position >= seen.high || position + VF <= seen.low) {
            continue;
        }
        vfloat factor = vf_load_f16((const uint16_t *)(const void *)(factors + 2 * i));
        const float *weights = a->scores + first * CPU_SPAN + position;
        float *to = scaled + i;
        if (2 * i % LINE_BYTES == 0) {
            __builtin_prefetch(factors + 2 * i + pass->ahead);
        }
        for (size_t j = 0; j < n_q; j++, weights += CPU_SPAN, to += CPU_SPAN) {
            vf_store(to, vf_load(weights) * factor);
        }
    }
}

static bool is_widened(const cpu_attention *a) {
    return a->n_queries > TILE_QUERIES && a->values.type != SY_TYPE_F32;
}

static void sums_pass(const cpu_attention *a, uint32_t position, size_t cell, size_t n_cells) {
    size_t i_block = position / CPU_BLOCK;
    cell_kind kind = kind_of(a->values.type, cell);
    value_pass pass = {.bytes = a->values.blocks[i_block] + cell_offset(kind, cell),
                       .ahead = cpu_cells_ahead(&a->values, i_block),
                       .kind = kind,
                       .n_cells = n_cells,
                       .first = position,
                       .cell = cell};
    if (is_widened(a)) {
        widen_pass(a, &pass);
    }
    for (size_t j = 0; j < a->n_queries; j += TILE_QUERIES) {
        size_t n = a->n_queries - j < TILE_QUERIES ? a->n_queries - j : TILE_QUERIES;
        pass.first_query = j;
        pass.weights = a->scores + j * CPU_SPAN + position;
        if (is_block_type(a->values.type)) {
            float *scaled = a->wide + CPU_WIDE_VALUES;
            pass.weights = scaled;
            weights_scale(a, &pass, j, n, cell, scaled);
            if (n_cells > 2) {
                weights_scale(a, &pass, j, n, cell + 2, scaled + SECOND_WEIGHTS);
            }
        }
        sums_of_queries(a, &pass, j, n);
    }
}

static void sums_all(const cpu_attention *a) {
    cpu_positions seen = seen_by(a, 0, a->n_queries);
    size_t n_cells = cpu_attention_stride(a->dv) / CPU_CELL;
    memset(a->out.sums, 0, a->n_queries * n_cells * CPU_CELL * sizeof(float));
    size_t at_once = IS_HALF(a->n_queries) ? 2 * TILE_CELLS : TILE_CELLS;
    for (uint32_t p = seen.low / CPU_BLOCK * CPU_BLOCK; p < seen.high; p += CPU_BLOCK) {
        for (size_t cell = 0, n = 0; cell < n_cells; cell += n) {
            size_t left = n_cells - cell;
            n = left >= at_once ? at_once : left >= TILE_CELLS ? TILE_CELLS : 1;
            sums_pass(a, p, cell, n);
        }
    }
}

#endif
