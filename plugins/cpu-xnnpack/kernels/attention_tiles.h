/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Template: attention over a span in register tiles. Included after a vector layer; makes
 * cpu_attention_<level>. Scores take queries x positions, the weighted sum queries x columns. A
 * product has one chain of additions over d, a weighted sum one over the positions, whatever the
 * tile. Few queries read keys and values where they are; many widen them to f32 once for all.
 */
#include "attention.h"
#include "rows_math.h"
#include "template.h"

#if VF == 16
#define TILE_QUERIES 8u
#define TILE_BLOCKS 2u /* of positions, for scores */
#define TILE_CELLS 2u  /* of columns, for sums */
#elif VF == 8
#define TILE_QUERIES 6u
#define TILE_BLOCKS 1u
#define TILE_CELLS 1u
#else
#define TILE_QUERIES 4u
#define TILE_BLOCKS 1u
#define TILE_CELLS 1u
#endif
#define PER_BLOCK (CPU_BLOCK / VF)          /* vectors of a block of positions, or of a cell row */
#define SCORE_VECTORS (TILE_BLOCKS * PER_BLOCK)
#define SUM_VECTORS (TILE_CELLS * PER_BLOCK)
#define TILE_POSITIONS (TILE_BLOCKS * CPU_BLOCK)
#define VALUE_POSITIONS 64u /* of one pass over the columns */
#define BLOCKS_AHEAD 4u     /* asked for while one is worked on */

typedef enum cell_kind { CELL_F32, CELL_F16, CELL_BF16, CELL_WIDE } cell_kind;

ALWAYS_INLINE size_t cell_element(cell_kind kind) {
    return kind == CELL_F16 || kind == CELL_BF16 ? 2 : 4;
}
ALWAYS_INLINE vfloat cell_load(const uint8_t *p, cell_kind kind) {
    if (kind == CELL_F16) {
        return vf_load_f16((const uint16_t *)(const void *)p);
    }
    if (kind == CELL_BF16) {
        typedef uint16_t shorts __attribute__((vector_size(VF * 2)));
        typedef uint32_t words __attribute__((vector_size(VF * 4)));
        shorts s;
        memcpy(&s, p, sizeof(s));
        return (vfloat)(__builtin_convertvector(s, words) << 16);
    }
    return vf_load((const float *)(const void *)p);
}
ALWAYS_INLINE void look_ahead(const uint8_t *p, cell_kind kind) {
    if (kind != CELL_WIDE) {
        __builtin_prefetch(p);
    }
}

/* 2^x for x <= 0; below 2^-126 zero. NaN stays. */
static inline vfloat exp2_below(vfloat x) {
    static const float fit[] = {1.0f,           0.693147182f,   0.240226507f,  0.0555035695f,
                                0.00961808302f, 0.00133908633f, 0.000154531634f};
    x = vf_max(vf_set1(-127.0f), x);
    vfloat n = vf_round(x), r = x - n;
    vfloat y = vf_set1(fit[6]);
#pragma GCC unroll 6
    for (int i = 5; i >= 0; i--) {
        y = vf_fma(y, r, vf_set1(fit[i]));
    }
    return y * (vfloat)((vf_to_int(n) + 127) << 23);
}

/* ---- scores ---- */
/* Of n_q queries at TILE_POSITIONS positions; the blocks of keys are block_bytes apart. */
ALWAYS_INLINE void scores_tile(const float *q, size_t d, const uint8_t *keys, size_t block_bytes,
                               float scale, float *scores, unsigned n_q, cell_kind kind) {
    vfloat sums[TILE_QUERIES][SCORE_VECTORS];
    const size_t step = cell_element(kind);
#pragma GCC unroll 8
    for (unsigned j = 0; j < n_q; j++) {
#pragma GCC unroll 4
        for (unsigned v = 0; v < SCORE_VECTORS; v++) {
            sums[j][v] = vf_set1(0.0f);
        }
    }
    for (size_t i = 0; i < d; i++) {
        vfloat k[SCORE_VECTORS];
#pragma GCC unroll 4
        for (unsigned v = 0; v < SCORE_VECTORS; v++) {
            const uint8_t *block = keys + v / PER_BLOCK * block_bytes + i * CPU_BLOCK * step;
            k[v] = cell_load(block + v % PER_BLOCK * VF * step, kind);
            if (v % PER_BLOCK == 0) {
                look_ahead(block + BLOCKS_AHEAD * block_bytes, kind);
            }
        }
#pragma GCC unroll 8
        for (unsigned j = 0; j < n_q; j++) {
            vfloat x = vf_set1(q[j * d + i]);
#pragma GCC unroll 4
            for (unsigned v = 0; v < SCORE_VECTORS; v++) {
                sums[j][v] = vf_fma(x, k[v], sums[j][v]);
            }
        }
    }
#pragma GCC unroll 8
    for (unsigned j = 0; j < n_q; j++) {
#pragma GCC unroll 4
        for (unsigned v = 0; v < SCORE_VECTORS; v++) {
            vf_store(scores + j * CPU_SPAN + v * VF, sums[j][v] * vf_set1(scale));
        }
    }
}

/* Calls body with a constant number of queries, 1 to TILE_QUERIES. */
#define WITH_N(n, body) \
    case n:             \
        body(n);        \
        break;
#if TILE_QUERIES == 8
#define WITH_QUERIES(n, body)                                                                 \
    switch (n) {                                                                              \
        WITH_N(1u, body)                                                                      \
        WITH_N(2u, body)                                                                      \
        WITH_N(3u, body) WITH_N(4u, body) WITH_N(5u, body) WITH_N(6u, body) WITH_N(7u, body) \
        WITH_N(8u, body)                                                                      \
    }
#elif TILE_QUERIES == 6
#define WITH_QUERIES(n, body)                                                \
    switch (n) {                                                             \
        WITH_N(1u, body)                                                     \
        WITH_N(2u, body)                                                     \
        WITH_N(3u, body) WITH_N(4u, body) WITH_N(5u, body) WITH_N(6u, body) \
    }
#else
#define WITH_QUERIES(n, body)                              \
    switch (n) {                                           \
        WITH_N(1u, body)                                   \
        WITH_N(2u, body) WITH_N(3u, body) WITH_N(4u, body) \
    }
#endif

ALWAYS_INLINE void scores_of_kind(const float *q, size_t d, const uint8_t *keys, size_t block_bytes,
                                  float scale, float *scores, size_t n_q, cell_kind kind) {
#define BODY(n) scores_tile(q, d, keys, block_bytes, scale, scores, n, kind)
    WITH_QUERIES(n_q, BODY)
#undef BODY
}
#define SCORES_KIND(name, kind)                                                                 \
    static void scores_##name(const float *q, size_t d, const uint8_t *keys, size_t block_bytes, \
                              float scale, float *scores, size_t n_q) {                         \
        scores_of_kind(q, d, keys, block_bytes, scale, scores, n_q, kind);                      \
    }
SCORES_KIND(f32, CELL_F32)
SCORES_KIND(f16, CELL_F16)
SCORES_KIND(bf16, CELL_BF16)
SCORES_KIND(wide, CELL_WIDE)
typedef void (*scores_function)(const float *q, size_t d, const uint8_t *keys, size_t block_bytes,
                                float scale, float *scores, size_t n_q);

/* n elements, a multiple of VF */
static void widen(sy_element_type type, const uint8_t *from, size_t n, float *out) {
    for (size_t i = 0; i < n; i += VF) {
        vf_store(out + i, type == SY_TYPE_F16 ? cell_load(from + 2 * i, CELL_F16)
                                              : cell_load(from + 2 * i, CELL_BF16));
    }
}

/* What the queries [first, first + n) of the call see together. */
static cpu_positions seen_by(const cpu_attention *a, size_t first, size_t n) {
    return (cpu_positions){a->sees[first / a->per_row].low,
                           a->sees[(first + n - 1) / a->per_row].high};
}

static void scores_at(const cpu_attention *a, uint32_t position, scores_function run) {
    const uint8_t *keys = a->keys.bytes + position / CPU_BLOCK * a->keys.block_bytes;
    size_t block_bytes = a->keys.block_bytes;
    if (a->n_queries > TILE_QUERIES && a->keys.type != SY_TYPE_F32) {
        for (size_t i = 0; i < TILE_BLOCKS; i++) {
            widen(a->keys.type, keys + i * block_bytes, CPU_BLOCK * a->d,
                  a->wide + i * CPU_BLOCK * a->d);
        }
        keys = (const uint8_t *)a->wide;
        block_bytes = CPU_BLOCK * a->d * sizeof(float);
        run = scores_wide;
    }
    for (size_t j = 0; j < a->n_queries; j += TILE_QUERIES) {
        size_t n = a->n_queries - j < TILE_QUERIES ? a->n_queries - j : TILE_QUERIES;
        cpu_positions seen = seen_by(a, j, n);
        if (seen.low < position + TILE_POSITIONS && seen.high > position) {
            run(a->q + j * a->d, a->d, keys, block_bytes, a->scale,
                a->scores + j * CPU_SPAN + position, n);
        }
    }
}

static void scores_all(const cpu_attention *a) {
    scores_function run = a->keys.type == SY_TYPE_F32   ? scores_f32
                          : a->keys.type == SY_TYPE_F16 ? scores_f16
                                                        : scores_bf16;
    cpu_positions seen = seen_by(a, 0, a->n_queries);
    for (uint32_t p = seen.low / TILE_POSITIONS * TILE_POSITIONS; p < seen.high;
         p += TILE_POSITIONS) {
        scores_at(a, p, run);
    }
}

/* ---- softmax ---- */
/* Positions outside [low, high) of a vector that begins at `first` get -infinity. */
static inline void hide(float *scores, uint32_t first, cpu_positions seen) {
    for (uint32_t p = first; p < first + VF; p++) {
        scores[p] = p < seen.low || p >= seen.high ? -INFINITY : scores[p];
    }
}

static void soften(float *scores, uint32_t first, uint32_t end, float cap) {
    vfloat to = vf_set1(cap * 1.44269504f), from = vf_set1(1.0f / cap);
    for (uint32_t p = first; p < end; p += VF) {
        vf_store(scores + p, to * vf_tanh(vf_load(scores + p) * from));
    }
}

/* Scores become weights; what a query does not see is neither read nor kept. */
static cpu_softmax_state weigh(float *scores, cpu_positions seen, float softcap) {
    uint32_t first = seen.low / VF * VF, end = (seen.high + VF - 1) / VF * VF;
    vfloat most = vf_set1(-INFINITY), sum = vf_set1(0.0f);
    if (softcap > 0.0f) {
        soften(scores, first, end, softcap);
    }
    hide(scores, first, seen);
    hide(scores, end - VF, seen);
    for (uint32_t p = first; p < end; p += VF) {
        most = vf_max(most, vf_load(scores + p));
    }
    cpu_softmax_state state = {.maximum = vf_largest(most)};
    most = vf_set1(state.maximum);
    for (uint32_t p = first; p < end; p += VF) {
        vfloat w = exp2_below(vf_load(scores + p) - most);
        vf_store(scores + p, w);
        sum = sum + w;
    }
    state.denominator = vf_sum(sum);
    return state;
}

/* ---- weighted sums ---- */
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
#define CASE(k)                                                                                  \
    case k:                                                                                      \
        sums_of_kind(weights, pass->bytes, pass->block_bytes, here, sums, stride, n_q,           \
                     pass->n_cells, k);                                                          \
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

static cell_kind kind_of(sy_element_type type) {
    return type == SY_TYPE_F32 ? CELL_F32 : type == SY_TYPE_F16 ? CELL_F16 : CELL_BF16;
}

static void sums_pass(const cpu_attention *a, uint32_t position, size_t cell, size_t n_cells) {
    size_t cell_bytes = CPU_BLOCK * CPU_CELL * cell_element(kind_of(a->values.type));
    value_pass pass = {.bytes = a->values.bytes + position / CPU_BLOCK * a->values.block_bytes +
                                cell * cell_bytes,
                       .block_bytes = a->values.block_bytes,
                       .n_cells = n_cells,
                       .kind = kind_of(a->values.type),
                       .first = position,
                       .column = cell * CPU_CELL};
    if (a->n_queries > TILE_QUERIES && pass.kind != CELL_F32) {
        size_t n = n_cells * CPU_BLOCK * CPU_CELL;
        cpu_positions seen = seen_by(a, 0, a->n_queries);
        for (uint32_t i = 0; i < VALUE_POSITIONS / CPU_BLOCK; i++) {
            if (position + i * CPU_BLOCK < seen.high) {
                widen(a->values.type, pass.bytes + i * pass.block_bytes, n, a->wide + i * n);
            }
        }
        pass.bytes = (const uint8_t *)a->wide;
        pass.block_bytes = n * sizeof(float);
        pass.kind = CELL_WIDE;
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

/* ---- a span, and spans together ---- */
static void attend(const cpu_attention *a) {
    scores_all(a);
    for (size_t j = 0; j < a->n_queries; j++) {
        cpu_positions seen = a->sees[j / a->per_row];
        a->out.softmax[j] = (cpu_softmax_state){-INFINITY, 0.0f};
        if (seen.low < seen.high) {
            a->out.softmax[j] = weigh(a->scores + j * CPU_SPAN, seen, a->softcap);
        }
    }
    sums_all(a);
}

static void fold(const cpu_partial *inout, const cpu_partial *later, size_t n_queries, size_t dv) {
    size_t stride = cpu_attention_stride(dv);
    for (size_t j = 0; j < n_queries; j++) {
        cpu_softmax_state *a = &inout->softmax[j], b = later->softmax[j];
        if (b.maximum == -INFINITY && b.denominator == 0.0f) {
            continue; /* sees nothing there */
        }
        bool is_new = a->maximum == -INFINITY && a->denominator == 0.0f;
        float most = a->maximum > b.maximum ? a->maximum : b.maximum;
        float fa = is_new ? 0.0f : exp2f(a->maximum - most), fb = exp2f(b.maximum - most);
        float *sums = inout->sums + j * stride;
        const float *more = later->sums + j * stride;
        a->denominator = a->denominator * fa + b.denominator * fb;
        a->maximum = most;
        for (size_t i = 0; i < stride; i += VF) {
            vfloat x = vf_load(sums + i) * vf_set1(fa);
            vf_store(sums + i, vf_fma(vf_load(more + i), vf_set1(fb), x));
        }
    }
}

extern const cpu_attention_kernels CPU_JOIN(cpu_attention_, CPU_LEVEL);
const cpu_attention_kernels CPU_JOIN(cpu_attention_, CPU_LEVEL) = {.attend = attend, .fold = fold};
