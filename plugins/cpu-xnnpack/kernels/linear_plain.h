/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Template: products of f32, f16 and bf16 weights with f32 rows, read from where they lie. Included
 * after a vector layer; makes cpu_linear_plain_<level>. Elements of k lie in the lanes of a vector,
 * and a result's partial sums are the same in every tile.
 */
#include "kernels.h"
#include "plain_load.h"

/* VF elements of a row from element i on; bytes may lie at any address. */
ALWAYS_INLINE vfloat load_vector(const uint8_t *row, size_t i, plain_kind kind) {
    return plain_load(row + i * plain_bytes(kind), kind);
}

/* Elements of k that a multiply-add takes, and that many of a row of weights and of x. */
ALWAYS_INLINE size_t plain_width(plain_kind kind) {
    return kind == PLAIN_BF16_PAIRS ? 2 * VF : VF;
}
#ifdef __AVX512BF16__
#define BF16_KIND PLAIN_BF16_PAIRS
ALWAYS_INLINE vfloat load_weights(const uint8_t *row, size_t i, plain_kind kind) {
    return kind == PLAIN_BF16_PAIRS ? vf_load((const float *)(const void *)(row + 2 * i))
                                    : load_vector(row, i, kind);
}
ALWAYS_INLINE vfloat load_x(const uint8_t *row, size_t i, plain_kind kind) {
    vfloat x = load_vector(row, i, PLAIN_F32);
    return kind == PLAIN_BF16_PAIRS
               ? (vfloat)_mm512_cvtne2ps_pbh(load_vector(row, i + VF, PLAIN_F32), x)
               : x;
}
ALWAYS_INLINE vfloat plain_fma(vfloat w, vfloat x, vfloat sum, plain_kind kind) {
    return kind == PLAIN_BF16_PAIRS ? _mm512_dpbf16_ps(sum, (__m512bh)w, (__m512bh)x)
                                    : vf_fma(w, x, sum);
}
#else
#define BF16_KIND PLAIN_BF16
ALWAYS_INLINE vfloat load_weights(const uint8_t *row, size_t i, plain_kind kind) {
    return load_vector(row, i, kind);
}
ALWAYS_INLINE vfloat load_x(const uint8_t *row, size_t i, plain_kind kind) {
    (void)kind;
    return load_vector(row, i, PLAIN_F32);
}
ALWAYS_INLINE vfloat plain_fma(vfloat w, vfloat x, vfloat sum, plain_kind kind) {
    (void)kind;
    return vf_fma(w, x, sum);
}
#endif

/* Tiles as large as the registers allow: a sum for each column and row, the columns' weights and
 * one x; where there are few registers, the rows' x and one weight. */
#define PLAIN_COLUMNS 4
#if VF == 16 || defined(__aarch64__)
#define PLAIN_ROWS 6
#else
#define PLAIN_ROWS 3
#endif
#define PLAIN_FEW_ROWS 16u /* up to here weights are what costs: each is read once */
#define PLAIN_SLICE 1024u  /* elements of k: so much of a tile's rows stays in the first cache */
#define PLAIN_BLOCK 96u    /* columns that meet it there */

/* What one tile reads: elements `first` ... `end` of k. */
typedef struct plain_tile_rows {
    const uint8_t *weights[PLAIN_COLUMNS], *rows[PLAIN_ROWS];
    size_t first, end;
    const uint8_t *ahead; /* weights to be asked for, as many bytes as the tile's; or NULL */
} plain_tile_rows;

/* The lanes of a vector are partial sums, the same ones in every tile. */
typedef struct plain_sums {
    vfloat of[PLAIN_COLUMNS][PLAIN_ROWS];
} plain_sums;

/* VF elements of k from i on. */
ALWAYS_INLINE void plain_step(plain_sums *sums, const plain_tile_rows *t, size_t i, unsigned n_c,
                              unsigned n_r, plain_kind kind) {
    const bool hold_weights = n_r > n_c;
    const unsigned n_held = hold_weights ? n_c : n_r, n_others = hold_weights ? n_r : n_c;
    vfloat held[PLAIN_ROWS];
#pragma GCC unroll 8
    for (unsigned h = 0; h < n_held; h++) {
        held[h] = hold_weights ? load_weights(t->weights[h], i, kind) : load_x(t->rows[h], i, kind);
        IN_REGISTER(held[h]);
    }
#pragma GCC unroll 8
    for (unsigned o = 0; o < n_others; o++) {
        vfloat other =
            hold_weights ? load_x(t->rows[o], i, kind) : load_weights(t->weights[o], i, kind);
        IN_REGISTER(other);
#pragma GCC unroll 8
        for (unsigned h = 0; h < n_held; h++) {
            vfloat *sum = hold_weights ? &sums->of[h][o] : &sums->of[o][h];
            vfloat w = hold_weights ? held[h] : other, x = hold_weights ? other : held[h];
            *sum = plain_fma(w, x, *sum, kind);
        }
    }
}

/* The last n elements, less than a vector's, out of the way of the loops that never have them. */
static __attribute__((noinline)) void plain_tail(plain_sums *sums, const plain_tile_rows *t,
                                                 size_t n, const unsigned n_of[2],
                                                 plain_kind kind) {
    uint8_t w[PLAIN_COLUMNS][VF * 4] = {{0}}, x[2 * VF * 4];
    for (unsigned j = 0; j < n_of[0]; j++) {
        memcpy(w[j], t->weights[j] + (t->end - n) * plain_bytes(kind), n * plain_bytes(kind));
    }
    for (unsigned r = 0; r < n_of[1]; r++) {
        memset(x, 0, sizeof(x));
        memcpy(x, t->rows[r] + (t->end - n) * sizeof(float), n * sizeof(float));
        for (unsigned j = 0; j < n_of[0]; j++) {
            vfloat *sum = &sums->of[j][r];
            *sum = plain_fma(load_weights(w[j], 0, kind), load_x(x, 0, kind), *sum, kind);
        }
    }
}

/* Writes results. */
ALWAYS_INLINE void plain_finish(const cpu_linear *l, const plain_sums *sums, size_t column,
                                size_t row, unsigned n_c, unsigned n_r) {
    const float *bias = l->bias != NULL ? l->bias + column : NULL;
#pragma GCC unroll 8
    for (unsigned r = 0; r < n_r; r++) {
        float y[PLAIN_COLUMNS];
        if (n_c == 4) {
            vf_sum_four(sums->of[0][r], sums->of[1][r], sums->of[2][r], sums->of[3][r], y);
        } else {
            y[0] = vf_sum(sums->of[0][r]);
        }
        if (bias != NULL) {
#pragma GCC unroll 4
            for (unsigned j = 0; j < n_c; j++) {
                y[j] += bias[j];
            }
        }
        memcpy(l->out + (row + r) * l->out_stride + column, y, n_c * sizeof(float));
    }
}

/* Columns, rows and elements of k that a tile is at. */
typedef struct plain_place {
    size_t column, row, first, end;
    const uint8_t *soon; /* a row's part that will be wanted after this slice; or any other */
} plain_place;

ALWAYS_INLINE plain_tile_rows plain_rows(const cpu_linear *l, const plain_place *place,
                                         unsigned n_c, unsigned n_r) {
    plain_tile_rows t = {.first = place->first, .end = place->end};
#pragma GCC unroll 4
    for (unsigned j = 0; j < n_c; j++) {
        t.weights[j] = l->weights + (place->column + j) * l->weight_row_bytes;
    }
#pragma GCC unroll 8
    for (unsigned r = 0; r < n_r; r++) {
        t.rows[r] = l->rows + (place->row + r) * l->row_bytes;
    }
    if (place->row == 0) { /* the bytes of n_c rows lie together */
        size_t next = place->column + n_c;
        t.ahead = next + n_c <= l->n_columns ? l->weights + next * l->weight_row_bytes : l->ahead;
    }
    return t;
}

/* Adds a slice of k to `sums`; after the last one, writes the results. */
ALWAYS_INLINE void plain_tile(const cpu_linear *l, const plain_place *place, unsigned n_c,
                              unsigned n_r, plain_kind kind, plain_sums *sums) {
    const plain_tile_rows t = plain_rows(l, place, n_c, n_r);
    const size_t width = plain_width(kind), n_bytes = width * plain_bytes(kind) * n_c;
    const size_t n_tail = (t.end - t.first) % width;
    const uint8_t *ahead = t.ahead != NULL ? t.ahead + t.first / width * n_bytes : NULL;
    const uint8_t *soon = place->soon;
    plain_sums s;
#pragma GCC unroll 32
    for (unsigned i = 0; i < n_c * n_r; i++) {
        s.of[i / n_r][i % n_r] = t.first == 0 ? vf_set1(0.0f) : sums->of[i / n_r][i % n_r];
    }
    for (size_t i = t.first; i + width <= t.end; i += width) {
        if (ahead != NULL) {
            stream_ahead(ahead, n_bytes);
            ahead += n_bytes;
        }
        for (size_t n = 0; n < width; n += VF) {
            __builtin_prefetch(soon, 0, 2);
            soon += VF * sizeof(float);
        }
        plain_step(&s, &t, i, n_c, n_r, kind);
    }
    if (t.end == l->k && n_tail == 0) {
        plain_finish(l, &s, place->column, place->row, n_c, n_r);
        return;
    }
#pragma GCC unroll 32
    for (unsigned i = 0; i < n_c * n_r; i++) {
        sums->of[i / n_r][i % n_r] = s.of[i / n_r][i % n_r];
    }
    if (n_tail > 0) {
        plain_tail(sums, &t, n_tail, (unsigned[2]){n_c, n_r}, kind);
        plain_finish(l, sums, place->column, place->row, n_c, n_r);
    }
}

typedef void (*plain_function)(const cpu_linear *l, const plain_place *place, plain_sums *sums);
#define PLAIN_TILE(name, kind, n_c, n_r)                                                    \
    static void plain_##name##_##n_c##x##n_r(const cpu_linear *l, const plain_place *place, \
                                             plain_sums *sums) {                            \
        plain_tile(l, place, n_c, n_r, kind, sums);                                         \
    }
#define PLAIN_TILES(name, kind, n_r) \
    PLAIN_TILE(name, kind, 4, n_r)   \
    PLAIN_TILE(name, kind, 1, n_r)
#if PLAIN_ROWS == 6
#define PLAIN_SHAPES(X, name, kind) \
    X(name, kind, 6) X(name, kind, 4) X(name, kind, 2) X(name, kind, 1)
#else
#define PLAIN_SHAPES(X, name, kind) X(name, kind, 3) X(name, kind, 2) X(name, kind, 1)
#endif
PLAIN_SHAPES(PLAIN_TILES, f32, PLAIN_F32)
PLAIN_SHAPES(PLAIN_TILES, f16, PLAIN_F16)
PLAIN_SHAPES(PLAIN_TILES, bf16, BF16_KIND)

/* Tiles of so many rows, the most first. */
typedef struct plain_shape {
    unsigned n_rows;
    plain_function four, one; /* columns */
} plain_shape;
#define PLAIN_SHAPE(name, kind, n_r) {n_r, plain_##name##_4x##n_r, plain_##name##_1x##n_r},

/* The part of a row that row i of the tiles reads after this slice; any other if there is none. */
static const uint8_t *plain_soon(const cpu_linear *l, const plain_place *place, size_t n_rows,
                                 size_t i) {
    size_t row = place->row + i, first = place->end;
    if (place->end == l->k) {
        row += n_rows;
        first = 0;
    }
    return l->rows + (i < n_rows && row < l->n_rows ? row * l->row_bytes + first * 4 : 0);
}

/* The rows of a shape against a block of columns, in slices of k. */
static void plain_band(const cpu_linear *l, const plain_shape *shape, plain_place place,
                       size_t n_columns, size_t n_slice) {
    plain_sums sums[PLAIN_BLOCK / PLAIN_COLUMNS + PLAIN_COLUMNS - 1];
    const size_t column = place.column;
    for (place.first = 0; place.first < l->k; place.first = place.end) {
        place.end = l->k - place.first < n_slice ? l->k : place.first + n_slice;
        for (size_t i = 0, n = 0; i < n_columns; n++) {
            bool is_whole = n_columns - i >= PLAIN_COLUMNS;
            place.column = column + i;
            place.soon = plain_soon(l, &place, shape->n_rows, n);
            (is_whole ? shape->four : shape->one)(l, &place, &sums[n]);
            i += is_whole ? PLAIN_COLUMNS : 1;
        }
    }
}

static void plain_columns(const cpu_linear *l, const plain_shape *shapes) {
    const bool is_few = l->n_rows <= PLAIN_FEW_ROWS;
    const size_t n_block = is_few ? PLAIN_COLUMNS : PLAIN_BLOCK,
                 n_slice = is_few ? l->k : PLAIN_SLICE;
    for (size_t column = 0; column < l->n_columns; column += n_block) {
        size_t left = l->n_columns - column, n_columns = left < n_block ? left : n_block;
        const plain_shape *shape = shapes;
        for (size_t row = 0; row < l->n_rows; row += shape->n_rows) {
            while (shape->n_rows > l->n_rows - row) {
                shape++;
            }
            plain_band(l, shape, (plain_place){.column = column, .row = row}, n_columns, n_slice);
        }
    }
}

/* The last n < VF elements, zeros behind them. */
ALWAYS_INLINE vfloat load_tail(const uint8_t *row, size_t i, size_t n, plain_kind kind) {
    uint8_t padded[VF * 4] = {0};
    memcpy(padded, row + i * plain_bytes(kind), n * plain_bytes(kind));
    return load_vector(padded, 0, kind);
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

#define PLAIN_LINEAR(name, kind)                                                     \
    static void linear_##name(const cpu_linear *l) {                                 \
        static const plain_shape shapes[] = {PLAIN_SHAPES(PLAIN_SHAPE, name, kind)}; \
        plain_columns(l, shapes);                                                    \
    }
PLAIN_LINEAR(f32, PLAIN_F32)
PLAIN_LINEAR(f16, PLAIN_F16)
PLAIN_LINEAR(bf16, BF16_KIND)

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
