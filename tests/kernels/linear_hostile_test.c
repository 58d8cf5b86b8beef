/* SPDX-License-Identifier: Apache-2.0 */
/* Products of block-quantised weights that nobody would write: garbled blocks, infinite and NaN
 * factors, the ends of every integer range, odd addresses, tails. At every ISA level. */
#include "block_samples.h"
#include "blocks.h"
#include "kernels.h"

#define K_MAX (256 * 5)
#define COLUMNS_MAX 37
#define ROWS_MAX 5

typedef struct job {
    const block_type *t;
    guarded weights, rows, out, space;
    cpu_linear l;
    float x[ROWS_MAX][K_MAX];
} job;

static job the_job;

static job *job_make(const block_type *t, size_t n_blocks, size_t n_columns, size_t n_rows,
                     cpu_planes planes) {
    job *j = &the_job;
    size_t k = n_blocks * t->n_elements, row_bytes = cpu_activation_row_bytes(k, planes);
    CHECK(k <= K_MAX && n_columns <= COLUMNS_MAX && n_rows <= ROWS_MAX);
    j->t = t;
    j->weights = guarded_make(n_blocks * t->n_bytes * n_columns);
    j->rows = guarded_make(row_bytes * n_rows);
    j->out = guarded_make(n_rows * n_columns * 4);
    j->space = guarded_make(cpu_linear_space_bytes(k) / 64 * 64);
    for (size_t i = 0; i < n_blocks * n_columns; i++) {
        block_fill(t, PATTERN_RANDOM, j->weights.bytes + i * t->n_bytes);
    }
    for (size_t r = 0; r < n_rows; r++) {
        random_floats(j->x[r], k, 2.0f);
    }
    j->l = (cpu_linear){.weights = j->weights.bytes,
                        .weight_row_bytes = n_blocks * t->n_bytes,
                        .rows = j->rows.bytes,
                        .row_bytes = row_bytes,
                        .out = (float *)(void *)j->out.bytes,
                        .out_stride = n_columns,
                        .k = k,
                        .n_columns = n_columns,
                        .n_rows = n_rows,
                        .planes = planes,
                        .space = j->space.bytes};
    return j;
}

static void job_free(job *j) {
    guarded_free(&j->weights);
    guarded_free(&j->rows);
    guarded_free(&j->out);
    guarded_free(&j->space);
}

static void job_run(const cpu_kernels *level, job *j) {
    for (size_t r = 0; r < j->l.n_rows; r++) {
        level->rows->quantise(j->x[r], j->l.k, j->l.planes, j->rows.bytes + r * j->l.row_bytes);
    }
    memset(j->out.bytes, 0x55, j->l.n_rows * j->l.n_columns * 4);
    level->blocks[j->t->type].linear(&j->l);
}

static double activation(const cpu_linear *l, size_t r, size_t i) {
    const uint8_t *record = l->rows + r * l->row_bytes + i / 32 * cpu_record_bytes(l->planes);
    cpu_record_end end;
    memcpy(&end, record + 32 * (size_t)l->planes, sizeof(end));
    int q = (int8_t)record[i % 32];
    q = l->planes == CPU_PLANES_16 ? CPU_PLANE_STEP * q + (int8_t)record[32 + i % 32] : q;
    return (double)end.scale * q;
}

/* Every output is that of the reference's weights: as close as f32 sums are, or broken as well. */
static void job_check(const cpu_kernels *level, const job *j) {
    static float w[K_MAX];
    const cpu_linear *l = &j->l;
    for (size_t c = 0; c < l->n_columns; c++) {
        CHECK_OK(sy__row_decode(j->t->type, l->weights + c * l->weight_row_bytes, l->k, w));
        for (size_t r = 0; r < l->n_rows; r++) {
            double sum = 0.0, size = 0.0;
            bool is_broken = false;
            for (size_t i = 0; i < l->k; i++) {
                double x = activation(l, r, i);
                is_broken = is_broken || !isfinite(w[i]) || !isfinite(x);
                sum += x * (double)w[i];
                size += fabs(x * (double)w[i]);
            }
            float y = l->out[r * l->out_stride + c];
            bool is_right =
                is_broken ? !isfinite(y) : size > 1e38 || fabs((double)y - sum) <= 3e-6 * size;
            CHECK_TEXT(is_right, "%s %s k %zu planes %d [%zu, %zu]: %g not %g", level->name,
                       j->t->name, l->k, (int)l->planes, r, c, (double)y, sum);
        }
    }
}

static void garbled_blocks_are_numbers_or_not(const cpu_kernels *level, const block_type *t) {
    for (int round = 0; round < 8; round++) {
        job *j = job_make(t, K_MAX / 5 / t->n_elements, 35, 3, (cpu_planes)(1 + round % 2));
        for (size_t i = 0; i < j->l.weight_row_bytes * j->l.n_columns; i++) {
            j->weights.bytes[i] = (uint8_t)random_u32();
            if (t->type == SY_TYPE_MXFP4 && i % t->n_bytes == 0) {
                j->weights.bytes[i] %= 251; /* 12 * 2^127 is no f32, a sum of such may be one */
            }
        }
        job_run(level, j);
        job_check(level, j);
        job_free(j);
    }
}

/* False for types whose factors are always finite. */
static bool set_scale(const block_type *t, uint8_t *block, uint16_t half) {
    if (t->type == SY_TYPE_IQ1_M) {
        for (int i = 0; i < 4; i++) {
            uint8_t *top = block + 49 + 2 * i;
            *top = (uint8_t)((*top & 0x0f) | (half >> (4 * i) & 15) << 4);
        }
        return true;
    }
    if (t->half_at[0] >= 0) {
        memcpy(block + t->half_at[0], &half, 2);
    }
    return t->half_at[0] >= 0;
}

/* Bits of all outputs but those of one row or one column, SIZE_MAX none. */
static void others_are_the_same(const cpu_kernels *level, const job *j, const float *before,
                                size_t row, size_t column) {
    for (size_t r = 0; r < j->l.n_rows; r++) {
        for (size_t c = 0; c < j->l.n_columns; c++) {
            size_t at = r * j->l.n_columns + c;
            if (r == row || c == column) {
                CHECK_TEXT(!isfinite(j->l.out[at]), "%s %s [%zu, %zu] %g", level->name, j->t->name,
                           r, c, (double)j->l.out[at]);
            } else {
                CHECK_TEXT(memcmp(&before[at], &j->l.out[at], 4) == 0, "%s %s [%zu, %zu] %g",
                           level->name, j->t->name, r, c, (double)j->l.out[at]);
            }
        }
    }
}

static void a_broken_column_stays_alone(const cpu_kernels *level, const block_type *t) {
    static const uint16_t broken[] = {0x7c00, 0xfc00, 0x7e00, 0xfe01, 0x7c01};
    static float before[ROWS_MAX * COLUMNS_MAX];
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        job *j = job_make(t, 2, COLUMNS_MAX, ROWS_MAX, (cpu_planes)(1 + i % 2));
        job_run(level, j);
        memcpy(before, j->l.out, j->l.n_rows * j->l.n_columns * 4);
        size_t column = random_u32() % COLUMNS_MAX;
        bool may_break = set_scale(t, j->weights.bytes + column * j->l.weight_row_bytes, broken[i]);
        job_run(level, j);
        others_are_the_same(level, j, before, SIZE_MAX, may_break ? column : SIZE_MAX);
        job_free(j);
    }
}

static void a_broken_row_stays_alone(const cpu_kernels *level, const block_type *t) {
    const float broken[] = {NAN, INFINITY, -INFINITY};
    static float before[ROWS_MAX * COLUMNS_MAX];
    for (int i = 0; i < 3; i++) {
        job *j = job_make(t, 2, COLUMNS_MAX, ROWS_MAX, (cpu_planes)(1 + i % 2));
        job_run(level, j);
        memcpy(before, j->l.out, j->l.n_rows * j->l.n_columns * 4);
        size_t row = random_u32() % ROWS_MAX;
        j->x[row][random_u32() % j->l.k] = broken[i];
        job_run(level, j);
        others_are_the_same(level, j, before, row, SIZE_MAX);
        job_free(j);
    }
}

/* Every integer at an end of its range against activations at theirs. */
static void integers_do_not_saturate(const cpu_kernels *level, const block_type *t) {
    static const uint8_t payloads[] = {0x00, 0xff, 0x7f, 0x80, 0x0f, 0xf0, 0x77, 0x88};
    for (unsigned i = 0; i < 8 * 4; i++) {
        job *j = job_make(t, 2, 33, 2, (cpu_planes)(1 + i % 2));
        memset(j->weights.bytes, payloads[i / 4], j->l.weight_row_bytes * j->l.n_columns);
        for (size_t b = 0; b < 2 * j->l.n_columns; b++) {
            uint8_t *block = j->weights.bytes + b * t->n_bytes;
            for (int h = 0; h < 2; h++) {
                const uint16_t one = 0x3c00;
                if (t->half_at[h] >= 0) {
                    memcpy(block + t->half_at[h], &one, 2);
                }
            }
            block_fill_scale(t, PATTERN_ONES, block);
        }
        for (size_t e = 0; e < j->l.k; e++) {
            j->x[0][e] = (i & 2) != 0 ? -3.0f : 3.0f;
            j->x[1][e] = e % 2 == (i & 2) / 2 ? -3.0f : 3.0f;
        }
        job_run(level, j);
        job_check(level, j);
        job_free(j);
    }
}

static void zeros_give_zero(const cpu_kernels *level, const block_type *t) {
    for (int is_weight = 0; is_weight <= 1; is_weight++) {
        job *j = job_make(t, 2, 33, 3, CPU_PLANES_8);
        for (size_t b = 0; is_weight && b < 2 * 33; b++) {
            block_fill(t, PATTERN_ZEROS, j->weights.bytes + b * t->n_bytes);
        }
        if (!is_weight) {
            memset(j->x, 0, sizeof(j->x));
        }
        job_run(level, j);
        for (size_t i = 0; i < 3 * 33; i++) {
            CHECK_TEXT(j->l.out[i] == 0.0f, "%s %s %g", level->name, t->name, (double)j->l.out[i]);
        }
        job_free(j);
    }
}

/* A mapped file promises nothing about the address of a row. */
static void addresses_do_not_matter(const cpu_kernels *level, const block_type *t) {
    static float before[ROWS_MAX * COLUMNS_MAX];
    job *j = job_make(t, 2, COLUMNS_MAX, 2, CPU_PLANES_16);
    size_t n_bytes = j->l.weight_row_bytes * j->l.n_columns;
    job_run(level, j);
    memcpy(before, j->l.out, j->l.n_rows * j->l.n_columns * 4);
    for (size_t shift = 0; shift < 9; shift++) {
        guarded room = guarded_make(n_bytes + shift);
        memcpy(room.bytes, j->weights.bytes, n_bytes);
        j->l.weights = room.bytes;
        job_run(level, j);
        others_are_the_same(level, j, before, SIZE_MAX, SIZE_MAX);
        guarded_free(&room);
    }
    job_free(j);
}

static void tails_match(const cpu_kernels *level, const block_type *t) {
    static const size_t n_blocks[] = {1, 3, 5, 7, 15, 17, 31, 33, 40};
    for (size_t i = 0; i < sizeof(n_blocks) / sizeof(n_blocks[0]); i++) {
        for (size_t n_rows = 1; n_blocks[i] * t->n_elements <= K_MAX && n_rows <= 3; n_rows += 2) {
            job *j = job_make(t, n_blocks[i], 1 + random_u32() % COLUMNS_MAX, n_rows,
                              (cpu_planes)(1 + i % 2));
            job_run(level, j);
            job_check(level, j);
            job_free(j);
        }
    }
}

/* Types whose products of factors and integers are exact in f32 decode to the very bits; enough
 * blocks that every entry of a code book comes. */
static void exact_types_decode_exactly(const cpu_kernels *level, const block_type *t) {
    static float expected[256], y[256];
    uint8_t block[256];
    bool is_exact = t->type != SY_TYPE_Q4_1 && t->type != SY_TYPE_Q5_1 && t->type != SY_TYPE_Q2_K &&
                    t->type != SY_TYPE_Q4_K && t->type != SY_TYPE_Q5_K; /* those subtract */
    for (int i = 0; is_exact && i < 1500; i++) {
        for (uint32_t b = 0; b < t->n_bytes; b++) {
            block[b] = (uint8_t)random_u32();
        }
        CHECK_OK(sy__row_decode(t->type, block, t->n_elements, expected));
        level->blocks[t->type].decode(block, t->n_elements, y);
        for (uint32_t e = 0; e < t->n_elements; e++) {
            CHECK_TEXT(isnan(expected[e]) ? isnan(y[e]) : y[e] == expected[e],
                       "%s %s [%u] %g not %g", level->name, t->name, e, (double)y[e],
                       (double)expected[e]);
        }
    }
}

static void for_each(void (*test)(const cpu_kernels *, const block_type *)) {
    const cpu_kernels *const *levels = cpu_kernels_available();
    for (size_t i = 0; levels[i] != NULL; i++) {
        random_state = 11;
        for (size_t t = 0; t < N_BLOCK_TYPES; t++) {
            test(levels[i], &block_types[t]);
        }
    }
}

#define CASE_OF(name)               \
    static void name##_case(void) { \
        for_each(name);             \
    }
CASE_OF(garbled_blocks_are_numbers_or_not)
CASE_OF(a_broken_column_stays_alone)
CASE_OF(a_broken_row_stays_alone)
CASE_OF(integers_do_not_saturate)
CASE_OF(zeros_give_zero)
CASE_OF(addresses_do_not_matter)
CASE_OF(tails_match)
CASE_OF(exact_types_decode_exactly)

static const sy_test_case cases[] = {
    {"garbled_blocks_are_numbers_or_not", garbled_blocks_are_numbers_or_not_case},
    {"a_broken_column_stays_alone", a_broken_column_stays_alone_case},
    {"a_broken_row_stays_alone", a_broken_row_stays_alone_case},
    {"integers_do_not_saturate", integers_do_not_saturate_case},
    {"zeros_give_zero", zeros_give_zero_case},
    {"addresses_do_not_matter", addresses_do_not_matter_case},
    {"tails_match", tails_match_case},
    {"exact_types_decode_exactly", exact_types_decode_exactly_case},
};
SY_TEST_MAIN(cases)
