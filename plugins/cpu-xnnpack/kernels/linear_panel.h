/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Template: products of block-quantised weights with quantised activations by panels. Included
 * after a vector layer and a panel layer; makes cpu_linear_blocks_<level>.
 *
 * PANEL_COLUMNS columns are unpacked from the file's layout to unsigned bytes, four of k together
 * and columns side by side, so that one integer dot product serves a vector of columns and no sum
 * runs across lanes:
 *     values  [k / 4][PANEL_COLUMNS][4]      element, + 128 where its type is signed
 *     scale   [k / 32 (or / 16)][PANEL_COLUMNS]
 *     minimum the same, minus the minimum; types that have one
 * One tile computes n_r rows with it: per 32 elements the integer sum is exact, starts at -128 *
 * (sum of the activations) and is scaled into a float lane in the order of k. That order is the
 * same for 1 row and for 1000, which keeps a row's bits its own.
 */
#include "block_kind.h"

/* Where the panel of one group of columns lies. */
typedef struct panel {
    uint8_t *values;
    float *scale, *minimum;
} panel;

/* Sums of each row of a tile: begun, or added to; the bias comes last. */
typedef struct panel_target {
    float *sums;
    size_t stride, n_columns; /* of PANEL_COLUMNS */
    const float *bias;        /* or NULL */
    bool is_first;
} panel_target;

typedef uint16_t vshorts __attribute__((vector_size(4 * VF)));

#include CPU_PANEL_LAYER

ALWAYS_INLINE panel panel_at(uint8_t *space, size_t k) {
    float *scale = (float *)(void *)(space + k * PANEL_COLUMNS);
    return (panel){space, scale, scale + k / 16 * PANEL_COLUMNS};
}

#include "panel_unpack.h"
#ifdef CPU_PANEL_FAST
#include CPU_PANEL_FAST
#else
#define FAST_ROW(l, type) ((size_t)0)
typedef void (*fast_function)(const unpack_source *source, const panel *p);
#define FAST_UNPACK(type) ((fast_function)NULL)
#endif

typedef void (*unpack_function)(const unpack_source *source, const panel *p);
typedef void (*tile_function)(const panel *p, size_t n_chunks, const uint8_t *rows,
                              size_t row_bytes, const panel_target *target);

#define TILE(shape, count, n_r, traits, planes)                                              \
    static void tile_##shape##_##count(const panel *p, size_t n_chunks, const uint8_t *rows, \
                                       size_t row_bytes, const panel_target *target) {       \
        panel_tile(p, n_chunks, rows, row_bytes, n_r, traits, planes, target);               \
    }
/* Tiles of a shape: of the most rows, of 4, 2 and 1. */
#define TILES(shape, n_most, traits, planes)  \
    TILE(shape, most, n_most, traits, planes) \
    TILE(shape, 4, 4, traits, planes)         \
    TILE(shape, 2, 2, traits, planes)         \
    TILE(shape, 1, 1, traits, planes)
#define BOTH_PLANES(shape, traits)                     \
    TILES(shape##_8, PANEL_ROWS, traits, CPU_PLANES_8) \
    TILES(shape##_16, PANEL_ROWS_PLANES, traits, CPU_PLANES_16)

BOTH_PLANES(zero, 0)
BOTH_PLANES(zero_halves, TRAIT_HALVES)
BOTH_PLANES(minimum, TRAIT_UNSIGNED | TRAIT_MINIMUM)
BOTH_PLANES(minimum_halves, TRAIT_UNSIGNED | TRAIT_MINIMUM | TRAIT_HALVES)
#ifdef PANEL_WIDE /* this layer treats integers of more than six bits apart */
BOTH_PLANES(wide, TRAIT_WIDE)
BOTH_PLANES(wide_halves, TRAIT_WIDE | TRAIT_HALVES)
#endif
#ifdef PANEL_PAIRS /* and those of up to four bits */
BOTH_PLANES(small, TRAIT_SMALL)
BOTH_PLANES(small_halves, TRAIT_SMALL | TRAIT_HALVES)
BOTH_PLANES(small_minimum, TRAIT_SMALL | TRAIT_UNSIGNED | TRAIT_MINIMUM)
BOTH_PLANES(small_minimum_halves, TRAIT_SMALL | TRAIT_UNSIGNED | TRAIT_MINIMUM | TRAIT_HALVES)
#endif

typedef struct tile_set {
    tile_function most, four, two, one;
    unsigned n_most;
} tile_set;
#define TILE_SET(shape, n_most) \
    { tile_##shape##_most, tile_##shape##_4, tile_##shape##_2, tile_##shape##_1, n_most }
#define TILE_SETS(shape) \
    { TILE_SET(shape##_8, PANEL_ROWS), TILE_SET(shape##_16, PANEL_ROWS_PLANES) }

/* [halves + 2 * minimum + 4 if wide or 6 if small][planes - 1] */
static const tile_set tile_sets[][2] = {
    TILE_SETS(zero),          TILE_SETS(zero_halves),
    TILE_SETS(minimum),       TILE_SETS(minimum_halves),
#ifdef PANEL_WIDE
    TILE_SETS(wide),          TILE_SETS(wide_halves),
#endif
#ifdef PANEL_PAIRS
    TILE_SETS(small),         TILE_SETS(small_halves),
    TILE_SETS(small_minimum), TILE_SETS(small_minimum_halves),
#endif
};

static const tile_set *tiles_for(unsigned traits, cpu_planes planes) {
    unsigned halves = (traits & TRAIT_HALVES) != 0, minimum = (traits & TRAIT_MINIMUM) != 0;
    unsigned first = 0;
#ifdef PANEL_WIDE
    first = (traits & TRAIT_WIDE) != 0 ? 4 : first;
#endif
#ifdef PANEL_PAIRS
    first = (traits & TRAIT_SMALL) != 0 ? 6 : first;
#endif
    return &tile_sets[first + halves + 2 * minimum][planes - 1];
}

/* One product being computed. */
typedef struct panel_job {
    const cpu_linear *l;
    unpack_function unpack;
    const tile_set *tiles;
    size_t n_bytes_slice; /* of a weight row, see SLICE */
} panel_job;

/* Rows of the next tile: the most, but two of four for the last eight. */
static size_t tile_rows(const tile_set *t, size_t left) {
    if (left >= t->n_most && (left != 8 || t->n_most <= 4)) {
        return t->n_most;
    }
    return left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

/* Columns and elements of k that a panel has. */
typedef struct panel_place {
    size_t column, n_columns, first, k;
} panel_place;

/* A tile of n_r rows where the panel has fewer columns than others. */
static void part_tile(tile_function tile, const panel *p, size_t n_chunks, const uint8_t *rows,
                      size_t row_bytes, size_t n_r, const panel_target *part) {
    float sums[PANEL_ROWS][PANEL_COLUMNS] = {{0.0f}}, bias[PANEL_COLUMNS] = {0.0f};
    const size_t n_bytes = part->n_columns * sizeof(float);
    const panel_target whole = {sums[0], PANEL_COLUMNS, PANEL_COLUMNS,
                                part->bias != NULL ? bias : NULL, part->is_first};
    for (size_t r = 0; r < n_r && !part->is_first; r++) {
        memcpy(sums[r], part->sums + r * part->stride, n_bytes);
    }
    if (part->bias != NULL) {
        memcpy(bias, part->bias, n_bytes);
    }
    tile(p, n_chunks, rows, row_bytes, &whole);
    for (size_t r = 0; r < n_r; r++) {
        memcpy(part->sums + r * part->stride, sums[r], n_bytes);
    }
}

/* Adds a panel's elements of k to the results of n_rows rows. */
static void add_rows(const panel_job *job, const panel *p, const panel_place *place, size_t row,
                     size_t n_rows) {
    const cpu_linear *l = job->l;
    const tile_set *t = job->tiles;
    const bool is_last = place->first + place->k == l->k;
    panel_target target = {.stride = l->out_stride,
                           .n_columns = place->n_columns,
                           .bias = is_last && l->bias != NULL ? l->bias + place->column : NULL,
                           .is_first = place->first == 0};
    for (size_t end = row + n_rows; row < end;) {
        size_t n = tile_rows(t, end - row);
        tile_function tile = n == t->n_most ? t->most : n == 4 ? t->four : n == 2 ? t->two : t->one;
        const uint8_t *rows =
            l->rows + row * l->row_bytes + place->first / 32 * cpu_record_bytes(l->planes);
        target.sums = l->out + row * l->out_stride + place->column;
        if (place->n_columns == PANEL_COLUMNS) {
            tile(p, place->k / 32, rows, l->row_bytes, &target);
        } else {
            part_tile(tile, p, place->k / 32, rows, l->row_bytes, n, &target);
        }
        row += n;
    }
}

static unpack_source source_of(const cpu_linear *l, size_t column, size_t n_bytes_first, size_t k) {
    size_t left = l->n_columns - column;
    return (unpack_source){.weights = l->weights + column * l->weight_row_bytes + n_bytes_first,
                           .row_bytes = l->weight_row_bytes,
                           .n_columns = left < PANEL_COLUMNS ? left : PANEL_COLUMNS,
                           .k = k};
}

/* The group of columns that comes after this one; its bytes lie together, so they are asked for in
 * the order of addresses whatever order they are used in. */
static const uint8_t *ahead_of(const cpu_linear *l, size_t column) {
    size_t next = column + PANEL_COLUMNS;
    return next + PANEL_COLUMNS <= l->n_columns ? l->weights + next * l->weight_row_bytes
                                                : l->ahead;
}

#define SLICE 512u /* elements: a panel that stays in the first cache */

/* Few rows: the weights are the cost, a slice is used as soon as it is unpacked. */
static void few_rows(const panel_job *job) {
    const cpu_linear *l = job->l;
    for (size_t column = 0; column < l->n_columns; column += PANEL_COLUMNS) {
        const uint8_t *ahead = ahead_of(l, column);
        for (size_t first = 0; first < l->k; first += SLICE) {
            size_t k = l->k - first < SLICE ? l->k - first : SLICE;
            size_t n_bytes_before = first / SLICE * job->n_bytes_slice;
            unpack_source source = source_of(l, column, n_bytes_before, k);
            source.ahead = ahead != NULL ? ahead + PANEL_COLUMNS * n_bytes_before : NULL;
            panel p = panel_at(l->space, k);
            job->unpack(&source, &p);
            add_rows(job, &p, &(panel_place){column, source.n_columns, first, k}, 0, l->n_rows);
        }
    }
}

/* Columns that are unpacked together for many rows: few, if they then stay in the first cache. */
static size_t columns_together(size_t k) {
    const size_t n_least = 32, in_first_cache = (size_t)36 << 10;
    return n_least * (k + k / 32 * sizeof(float)) <= in_first_cache ? n_least
                                                                    : cpu_panel_columns(k);
}

/* Many rows: several groups of columns are unpacked whole and meet every tile of rows in turn. */
static void many_rows(const panel_job *job) {
    const cpu_linear *l = job->l;
    size_t n_together = columns_together(l->k),
           panel_bytes = PANEL_COLUMNS * cpu_panel_column_bytes(l->k);
    for (size_t first = 0; first < l->n_columns; first += n_together) {
        size_t left = l->n_columns - first;
        size_t n_panels =
            ((left < n_together ? left : n_together) + PANEL_COLUMNS - 1) / PANEL_COLUMNS;
        for (size_t i = 0; i < n_panels; i++) {
            unpack_source source = source_of(l, first + i * PANEL_COLUMNS, 0, l->k);
            source.ahead = ahead_of(l, first + i * PANEL_COLUMNS);
            panel p = panel_at(l->space + i * panel_bytes, l->k);
            job->unpack(&source, &p);
        }
        for (size_t row = 0, n_rows = 0; row < l->n_rows; row += n_rows) {
            n_rows = tile_rows(job->tiles, l->n_rows - row);
            for (size_t i = 0; i < n_panels; i++) {
                panel p = panel_at(l->space + i * panel_bytes, l->k);
                size_t column = first + i * PANEL_COLUMNS, n = l->n_columns - column;
                n = n < PANEL_COLUMNS ? n : PANEL_COLUMNS;
                add_rows(job, &p, &(panel_place){column, n, 0, l->k}, row, n_rows);
            }
        }
    }
}

static void linear_panels(const cpu_linear *l, unpack_function unpack, unsigned traits,
                          size_t n_bytes_slice) {
    panel_job job = {l, unpack, tiles_for(traits, l->planes), n_bytes_slice};
    if (l->n_rows <= job.tiles->n_most) {
        few_rows(&job);
    } else {
        many_rows(&job);
    }
}

/* Without the first columns. */
static cpu_linear linear_rest(const cpu_linear *l, size_t n_done) {
    cpu_linear rest = *l;
    rest.weights += n_done * l->weight_row_bytes;
    rest.n_columns -= n_done;
    rest.out += n_done;
    rest.bias = l->bias != NULL ? l->bias + n_done : NULL;
    return rest;
}

#define MAKE_LINEAR(NAME, name, n_chunks, traits)                                        \
    static void unpack_##name(const unpack_source *source, const panel *p) {             \
        if (FAST_UNPACK(SY_TYPE_##NAME) != NULL && source->n_columns == PANEL_COLUMNS) { \
            FAST_UNPACK(SY_TYPE_##NAME)(source, p);                                      \
        } else {                                                                         \
            unpack_any(source, p, KIND(name, n_chunks, traits));                         \
        }                                                                                \
    }                                                                                    \
    static void linear_##name(const cpu_linear *l) {                                     \
        cpu_linear rest = linear_rest(l, FAST_ROW(l, SY_TYPE_##NAME));                   \
        linear_panels(&rest, unpack_##name, traits,                                      \
                      SLICE / 32 / (n_chunks) * sizeof(block_##name));                   \
    }
CPU_BLOCK_TYPES(MAKE_LINEAR)
CPU_BLOCK_TABLE
