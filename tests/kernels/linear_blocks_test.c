/* SPDX-License-Identifier: Apache-2.0 */
/* Block-quantised kernels at every ISA level of this machine: values against the reference decoder,
 * tails, misalignment, guard pages, and equal bits in every tile. */
#include "block_samples.h"
#include "blocks.h"
#include "kernels.h"

#define K_MAX (256 * 18)

static void for_each_level(void (*test)(const cpu_kernels *)) {
    const cpu_kernels *const *levels = cpu_kernels_available();
    for (size_t i = 0; levels[i] != NULL; i++) {
        random_state = 7;
        test(levels[i]);
    }
}

static void make_weights(const block_type *t, size_t n_blocks, size_t n_rows, bool mixed,
                         guarded *out_weights) {
    *out_weights = guarded_make(n_blocks * n_rows * t->n_bytes);
    for (size_t i = 0; i < n_blocks * n_rows; i++) {
        block_pattern pattern =
            mixed ? (block_pattern)(random_u32() % PATTERN_COUNT) : PATTERN_RANDOM;
        block_fill(t, pattern, out_weights->bytes + i * t->n_bytes);
    }
}

static void decode_matches(const cpu_kernels *level) {
    static float expected[K_MAX];
    for (size_t i = 0; i < N_BLOCK_TYPES; i++) {
        const block_type *t = &block_types[i];
        for (size_t n_blocks = 1; n_blocks * t->n_elements <= K_MAX; n_blocks += n_blocks) {
            guarded row, out = guarded_make(n_blocks * t->n_elements * 4);
            make_weights(t, n_blocks, 1, true, &row);
            size_t n = n_blocks * t->n_elements;
            float *y = (float *)(void *)out.bytes;
            CHECK_OK(sy__row_decode(t->type, row.bytes, n, expected));
            level->blocks[t->type].decode(row.bytes, n, y);
            for (size_t j = 0; j < n; j += 32) {
                float largest = 0.0f;
                for (size_t e = j; e < j + 32; e++) {
                    largest = fmaxf(largest, fabsf(expected[e]));
                }
                for (size_t e = j; e < j + 32; e++) {
                    CHECK_TEXT(fabsf(y[e] - expected[e]) <= 4e-7f * largest,
                               "%s %s [%zu] %g not %g", level->name, t->name, e, (double)y[e],
                               (double)expected[e]);
                }
            }
            guarded_free(&row);
            guarded_free(&out);
        }
    }
}

/* The value that the quantised activations stand for. */
static double activation(const uint8_t *row, size_t k, cpu_planes planes, size_t i) {
    const uint8_t *record = row + i / 32 * cpu_record_bytes(planes);
    cpu_record_end end;
    (void)k;
    memcpy(&end, record + 32 * (size_t)planes, sizeof(end));
    int q = (int8_t)record[i % 32];
    q = planes == CPU_PLANES_16 ? CPU_PLANE_STEP * q + (int8_t)record[32 + i % 32] : q;
    return (double)end.scale * q;
}

static void sums_are_exact(const cpu_kernels *level, const uint8_t *row, size_t k,
                           cpu_planes planes) {
    for (size_t c = 0; c < k / 32; c++) {
        const uint8_t *record = row + c * cpu_record_bytes(planes);
        cpu_record_end end;
        int sum = 0, first = 0;
        memcpy(&end, record + 32 * (size_t)planes, sizeof(end));
        for (int i = 0; i < 32; i++) {
            int q = (int8_t)record[i];
            q = planes == CPU_PLANES_16 ? CPU_PLANE_STEP * q + (int8_t)record[32 + i] : q;
            sum += q;
            first += i < 16 ? q : 0;
        }
        CHECK_TEXT(end.offset == -128 * sum && end.offset_16 == -128 * first, "%s chunk %zu",
                   level->name, c);
        CHECK(end.sum == end.scale * (float)sum);
    }
}

static void quantise_is_close(const cpu_kernels *level) {
    static _Alignas(64) uint8_t row[K_MAX * 4];
    for (int planes = 1; planes <= 2; planes++) {
        for (size_t k = 32; k <= 320; k += 32) {
            guarded input = guarded_make(k * 4);
            float *x = (float *)(void *)input.bytes;
            random_floats(x, k, k % 64 == 0 ? 1e30f : 1.0f);
            memset(x, 0, 32 * 4 * (k > 64));
            memset(row, 0xee, sizeof(row));
            level->rows->quantise(x, k, (cpu_planes)planes, row);
            size_t used = k / 32 * cpu_record_bytes((cpu_planes)planes);
            CHECK(used <= cpu_activation_row_bytes(k, (cpu_planes)planes));
            CHECK(row[used] == 0xee);
            sums_are_exact(level, row, k, (cpu_planes)planes);
            for (size_t i = 0; i < k; i++) {
                float scale = 0.0f;
                memcpy(&scale,
                       row + i / 32 * cpu_record_bytes((cpu_planes)planes) + 32 * (size_t)planes,
                       4);
                double error = fabs(activation(row, k, (cpu_planes)planes, i) - (double)x[i]);
                CHECK_TEXT(error <= 0.505 * (double)scale, "%s planes %d k %zu [%zu] %g",
                           level->name, planes, k, i, error);
            }
            guarded_free(&input);
        }
    }
}

static void broken_input_gives_nan(const cpu_kernels *level) {
    static _Alignas(64) uint8_t row[1024];
    float x[32] = {1.0f}, scale = 0.0f, bad[3] = {INFINITY, -INFINITY, NAN};
    for (int i = 0; i < 3; i++) {
        x[17] = bad[i];
        level->rows->quantise(x, 32, CPU_PLANES_16, row);
        memcpy(&scale, row + 64, 4);
        CHECK(isnan(scale));
    }
}

typedef struct product {
    guarded weights, rows, bias, out, space;
    cpu_linear linear;
} product;

static product product_make(const cpu_kernels *level, const block_type *t, size_t n_blocks,
                            size_t n_columns, size_t n_rows, cpu_planes planes) {
    product p;
    size_t k = n_blocks * t->n_elements, row_bytes = cpu_activation_row_bytes(k, planes);
    make_weights(t, n_blocks, n_columns, false, &p.weights);
    p.rows = guarded_make(row_bytes * n_rows);
    p.bias = guarded_make(n_columns * 4);
    p.out = guarded_make(n_rows * n_columns * 4);
    p.space = guarded_make(cpu_linear_space_bytes(k) / 64 * 64);
    static float x[K_MAX];
    for (size_t r = 0; r < n_rows; r++) {
        random_floats(x, k, 3.0f);
        x[random_u32() % k] = r % 2 == 0 ? 40.0f : 1e-20f;
        level->rows->quantise(x, k, planes, p.rows.bytes + r * row_bytes);
    }
    random_floats((float *)(void *)p.bias.bytes, n_columns, 1.0f);
    p.linear = (cpu_linear){.weights = p.weights.bytes,
                            .weight_row_bytes = n_blocks * t->n_bytes,
                            .rows = p.rows.bytes,
                            .row_bytes = row_bytes,
                            .bias = (const float *)(void *)p.bias.bytes,
                            .out = (float *)(void *)p.out.bytes,
                            .out_stride = n_columns,
                            .k = k,
                            .n_columns = n_columns,
                            .n_rows = n_rows,
                            .planes = planes,
                            .space = p.space.bytes};
    return p;
}

static void product_free(product *p) {
    guarded_free(&p->weights);
    guarded_free(&p->rows);
    guarded_free(&p->bias);
    guarded_free(&p->out);
    guarded_free(&p->space);
}

static void product_check(const cpu_kernels *level, const block_type *t, const product *p) {
    static float w[K_MAX];
    const cpu_linear *l = &p->linear;
    for (size_t c = 0; c < l->n_columns; c++) {
        CHECK_OK(sy__row_decode(t->type, l->weights + c * l->weight_row_bytes, l->k, w));
        for (size_t r = 0; r < l->n_rows; r++) {
            double sum = (double)l->bias[c], size = fabs(sum);
            for (size_t i = 0; i < l->k; i++) {
                double x = activation(l->rows + r * l->row_bytes, l->k, l->planes, i);
                sum += x * (double)w[i];
                size += fabs(x * (double)w[i]);
            }
            double y = (double)l->out[r * l->out_stride + c];
            CHECK_TEXT(fabs(y - sum) <= 3e-6 * size,
                       "%s %s k %zu [%zu, %zu] of %zu x %zu: %g not %g", level->name, t->name, l->k,
                       r, c, l->n_rows, l->n_columns, y, sum);
        }
    }
}

/* One element alone must have the bits it has in the whole. */
static void product_check_alone(const cpu_kernels *level, const block_type *t, const product *p) {
    for (size_t r = 0; r < p->linear.n_rows; r++) {
        for (size_t c = 0; c < p->linear.n_columns; c++) {
            cpu_linear alone = p->linear;
            float y = 0.0f;
            alone.weights += c * alone.weight_row_bytes;
            alone.rows += r * alone.row_bytes;
            alone.bias += c;
            alone.out = &y;
            alone.n_rows = alone.n_columns = 1;
            level->blocks[t->type].linear(&alone);
            float whole = p->linear.out[r * p->linear.out_stride + c];
            CHECK_TEXT(memcmp(&y, &whole, 4) == 0, "%s %s [%zu, %zu]", level->name, t->name, r, c);
        }
    }
}

static void products_match(const cpu_kernels *level) {
    /* Those of 1 to 4 rows have whole vectors of columns and some left, for every level. */
    static const size_t shapes[][3] = {
        /* blocks, columns, rows */
        {1, 1, 1},   {2, 5, 1},   {3, 4, 4},   {1, 3, 5},  {4, 9, 9},   {5, 2, 6},  {2, 33, 13},
        {18, 40, 7}, {2, 64, 13}, {3, 70, 12}, {3, 37, 1}, {17, 25, 2}, {2, 20, 3}, {1, 51, 4}};
    for (size_t i = 0; i < N_BLOCK_TYPES; i++) {
        for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
            for (int planes = 1; planes <= 2; planes++) {
                product p = product_make(level, &block_types[i], shapes[s][0], shapes[s][1],
                                         shapes[s][2], (cpu_planes)planes);
                level->blocks[block_types[i].type].linear(&p.linear);
                product_check(level, &block_types[i], &p);
                product_check_alone(level, &block_types[i], &p);
                product_free(&p);
            }
        }
    }
}

static void extremes_match(const cpu_kernels *level) {
    for (size_t i = 0; i < N_BLOCK_TYPES; i++) {
        for (int pattern = PATTERN_ZEROS; pattern < PATTERN_COUNT; pattern++) {
            const block_type *t = &block_types[i];
            product few = product_make(level, t, 2, 3, 5, CPU_PLANES_16);
            product many = product_make(level, t, 2, 35, 2, CPU_PLANES_8);
            for (size_t b = 0; b < 6; b++) {
                block_fill(t, (block_pattern)pattern, few.weights.bytes + b * t->n_bytes);
            }
            for (size_t b = 0; b < 2 * 35; b++) {
                block_fill(t, (block_pattern)pattern, many.weights.bytes + b * t->n_bytes);
            }
            level->blocks[t->type].linear(&few.linear);
            level->blocks[t->type].linear(&many.linear);
            product_check(level, t, &few);
            product_check(level, t, &many);
            product_free(&few);
            product_free(&many);
        }
    }
}

/* Integers at the ends of their range: no saturation anywhere on the way. */
static void integers_do_not_saturate(const cpu_kernels *level, const block_type *t, int sign,
                                     size_t n_columns, size_t n_rows) {
    product p = product_make(level, t, 2, n_columns, n_rows, CPU_PLANES_8);
    float x[512];
    for (size_t i = 0; i < p.linear.k; i++) {
        x[i] = (float)sign;
    }
    for (size_t r = 0; r < n_rows; r++) {
        level->rows->quantise(x, p.linear.k, CPU_PLANES_8, p.rows.bytes + r * p.linear.row_bytes);
    }
    CHECK((int8_t)p.rows.bytes[0] == 127 * sign);
    for (size_t b = 0; b < 2 * n_columns; b++) {
        uint8_t *block = p.weights.bytes + b * t->n_bytes;
        block_fill(t, PATTERN_ONES, block);
        if (t->type == SY_TYPE_Q8_0) {
            memset(block + 2, -128, 32);
        }
    }
    level->blocks[t->type].linear(&p.linear);
    product_check(level, t, &p);
    product_free(&p);
}

static void largest_integers_do_not_saturate(const cpu_kernels *level) {
    for (size_t i = 0; i < N_BLOCK_TYPES; i++) {
        for (int sign = -1; sign <= 1; sign += 2) {
            integers_do_not_saturate(level, &block_types[i], sign, 2, 4);
            integers_do_not_saturate(level, &block_types[i], sign, 35, 1);
            integers_do_not_saturate(level, &block_types[i], sign, 35, 6);
        }
    }
}

static void encoders_match(const cpu_kernels *level) {
    const sy_element_type types[2] = {SY_TYPE_Q8_0, SY_TYPE_Q4_0};
    float x[96];
    uint8_t expected[96 * 2];
    for (int i = 0; i < 2; i++) {
        for (int round = 0; round < 50; round++) {
            size_t n_bytes = types[i] == SY_TYPE_Q8_0 ? 34 * 3 : 18 * 3;
            guarded out = guarded_make(n_bytes);
            random_floats(x, 96, round == 0 ? 0.0f : 2.0f);
            CHECK_OK(sy__row_encode(types[i], x, 96, expected));
            level->blocks[types[i]].encode(x, 96, out.bytes);
            CHECK_TEXT(memcmp(out.bytes, expected, n_bytes) == 0, "%s type %u", level->name,
                       types[i]);
            guarded_free(&out);
        }
    }
}

#define CASE_OF(name)               \
    static void name##_case(void) { \
        for_each_level(name);       \
    }
CASE_OF(decode_matches)
CASE_OF(quantise_is_close)
CASE_OF(broken_input_gives_nan)
CASE_OF(products_match)
CASE_OF(extremes_match)
CASE_OF(largest_integers_do_not_saturate)
CASE_OF(encoders_match)

static void every_level_has_every_type(void) {
    const cpu_kernels *const *levels = cpu_kernels_available();
    CHECK(levels[0] != NULL);
    for (size_t i = 0; levels[i] != NULL; i++) {
        printf("       level %s\n", levels[i]->name);
        for (size_t t = 0; t < N_BLOCK_TYPES; t++) {
            CHECK(cpu_kernels_of(levels[i], block_types[t].type) != NULL);
        }
        CHECK(cpu_kernels_of(levels[i], SY_TYPE_BF16) != NULL);
        CHECK(cpu_kernels_select(levels[i]->name) == levels[i]);
    }
    CHECK(cpu_kernels_select("no-such-level") == NULL);
}

static const sy_test_case cases[] = {
    {"every_level_has_every_type", every_level_has_every_type},
    {"decode_matches", decode_matches_case},
    {"quantise_is_close", quantise_is_close_case},
    {"broken_input_gives_nan", broken_input_gives_nan_case},
    {"products_match", products_match_case},
    {"extremes_match", extremes_match_case},
    {"largest_integers_do_not_saturate", largest_integers_do_not_saturate_case},
    {"encoders_match", encoders_match_case},
};
SY_TEST_MAIN(cases)
