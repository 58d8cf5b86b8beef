/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels of f32, f16 and bf16 weights at every ISA level of this machine: values against sums in
 * double, tails, slices, misalignment, guard pages, and equal bits in every tile. */
#include "blocks.h"
#include "guarded.h"
#include "kernels.h"

#include <math.h>

#define K_MAX 2200

static const struct plain_type {
    sy_element_type type;
    const char *name;
    size_t n_bytes;
} types[3] = {{SY_TYPE_F32, "f32", 4}, {SY_TYPE_F16, "f16", 2}, {SY_TYPE_BF16, "bf16", 2}};

typedef struct product {
    const struct plain_type *t;
    guarded weights, rows, bias, out;
    cpu_linear linear;
} product;

static product product_make(const struct plain_type *t, size_t k, size_t n_columns, size_t n_rows) {
    static float w[K_MAX];
    product p = {.t = t};
    p.weights = guarded_make(k * t->n_bytes * n_columns);
    p.rows = guarded_make(k * 4 * n_rows);
    p.bias = guarded_make(n_columns * 4);
    p.out = guarded_make(n_rows * n_columns * 4);
    for (size_t c = 0; c < n_columns; c++) {
        random_floats(w, k, 2.0f);
        CHECK_OK(sy__row_encode(t->type, w, k, p.weights.bytes + c * k * t->n_bytes));
    }
    random_floats((float *)(void *)p.rows.bytes, k * n_rows, 3.0f);
    random_floats((float *)(void *)p.bias.bytes, n_columns, 1.0f);
    p.linear = (cpu_linear){.weights = p.weights.bytes,
                            .weight_row_bytes = k * t->n_bytes,
                            .rows = p.rows.bytes,
                            .row_bytes = k * 4,
                            .bias = (const float *)(void *)p.bias.bytes,
                            .out = (float *)(void *)p.out.bytes,
                            .out_stride = n_columns,
                            .k = k,
                            .n_columns = n_columns,
                            .n_rows = n_rows};
    return p;
}

static void product_free(product *p) {
    guarded_free(&p->weights);
    guarded_free(&p->rows);
    guarded_free(&p->bias);
    guarded_free(&p->out);
}

/* avx512bf16 rounds x to the 8 bits of bf16 where it meets such weights. */
static double tolerance(const cpu_kernels *level, const product *p) {
    bool rounds = strcmp(level->name, "avx512bf16") == 0 && p->t->type == SY_TYPE_BF16;
    return rounds ? 0x1p-8 + 1e-6 : 1e-6;
}

static void product_check(const cpu_kernels *level, const product *p) {
    static float w[K_MAX];
    const cpu_linear *l = &p->linear;
    for (size_t c = 0; c < l->n_columns; c++) {
        CHECK_OK(sy__row_decode(p->t->type, l->weights + c * l->weight_row_bytes, l->k, w));
        for (size_t r = 0; r < l->n_rows; r++) {
            const float *x = (const float *)(const void *)(l->rows + r * l->row_bytes);
            double sum = (double)l->bias[c], size = fabs(sum);
            for (size_t i = 0; i < l->k; i++) {
                sum += (double)x[i] * (double)w[i];
                size += fabs((double)x[i] * (double)w[i]);
            }
            double y = (double)l->out[r * l->out_stride + c];
            CHECK_TEXT(fabs(y - sum) <= tolerance(level, p) * size,
                       "%s %s k %zu [%zu, %zu] of %zu x %zu: %g not %g", level->name, p->t->name,
                       l->k, r, c, l->n_rows, l->n_columns, y, sum);
        }
    }
}

/* One element alone must have the bits it has in the whole. */
static void product_check_alone(const cpu_kernels *level, const product *p) {
    for (size_t r = 0; r < p->linear.n_rows; r++) {
        for (size_t c = 0; c < p->linear.n_columns; c++) {
            cpu_linear alone = p->linear;
            float y = 0.0f, whole = p->linear.out[r * p->linear.out_stride + c];
            alone.weights += c * alone.weight_row_bytes;
            alone.rows += r * alone.row_bytes;
            alone.bias += c;
            alone.out = &y;
            alone.n_rows = alone.n_columns = 1;
            level->plain[p->t->type].linear(&alone);
            CHECK_TEXT(memcmp(&y, &whole, 4) == 0, "%s %s k %zu [%zu, %zu]: %a not %a", level->name,
                       p->t->name, p->linear.k, r, c, (double)whole, (double)y);
        }
    }
}

static void for_each_product(const size_t shapes[][3], size_t n_shapes,
                             void (*test)(const cpu_kernels *, product *)) {
    const cpu_kernels *const *levels = cpu_kernels_available();
    for (size_t i = 0; levels[i] != NULL; i++) {
        random_state = 11;
        for (size_t t = 0; t < 3; t++) {
            for (size_t s = 0; s < n_shapes; s++) {
                product p = product_make(&types[t], shapes[s][0], shapes[s][1], shapes[s][2]);
                test(levels[i], &p);
                product_free(&p);
            }
        }
    }
}

static void run_and_check(const cpu_kernels *level, product *p) {
    level->plain[p->t->type].linear(&p->linear);
    product_check(level, p);
    product_check_alone(level, p);
    p->linear.bias = NULL;
    memset(p->out.bytes, 0xee, p->linear.n_rows * p->linear.n_columns * 4);
    level->plain[p->t->type].linear(&p->linear);
    for (size_t i = 0; i < p->linear.n_rows * p->linear.n_columns; i++) {
        CHECK(isfinite(p->linear.out[i]));
    }
}

static void products_match(void) {
    static const size_t shapes[][3] = {
        /* k, columns, rows: whole tiles and every rest of rows and columns, few rows and many */
        {1, 1, 1},   {3, 9, 2},    {16, 4, 6},   {17, 5, 7},   {31, 7, 3},
        {48, 8, 16}, {64, 11, 17}, {96, 101, 5}, {33, 99, 18}, {160, 97, 23}};
    for_each_product(shapes, sizeof(shapes) / sizeof(shapes[0]), run_and_check);
}

static void every_tail_matches(void) {
    size_t shapes[67][3];
    for (size_t k = 1; k <= 67; k++) {
        memcpy(shapes[k - 1], (size_t[3]){k, 1 + k % 7, 1 + k % 9}, sizeof(shapes[0]));
    }
    for_each_product((const size_t(*)[3])shapes, 67, run_and_check);
}

static void slices_match(void) {
    static const size_t shapes[][3] = {
        {1024, 5, 17}, {1025, 6, 19}, {1040, 9, 22}, {2048, 4, 18}, {2063, 7, 20}};
    for_each_product(shapes, sizeof(shapes) / sizeof(shapes[0]), run_and_check);
}

/* A NaN or an infinity of one row or column stays there. */
static void broken_alone(const cpu_kernels *level, product *p) {
    const cpu_linear *l = &p->linear;
    float *x = (float *)(void *)p->rows.bytes, broken = NAN;
    x[2 * l->k + l->k - 1] = INFINITY;
    CHECK_OK(sy__row_encode(p->t->type, &broken, 1, p->weights.bytes + 3 * l->weight_row_bytes));
    level->plain[p->t->type].linear(l);
    for (size_t r = 0; r < l->n_rows; r++) {
        for (size_t c = 0; c < l->n_columns; c++) {
            float y = l->out[r * l->out_stride + c];
            CHECK_TEXT(isfinite(y) == (r != 2 && c != 3), "%s %s [%zu, %zu] %g", level->name,
                       p->t->name, r, c, (double)y);
        }
    }
}

static void broken_values_stay_alone(void) {
    static const size_t shapes[][3] = {{40, 9, 5}, {1100, 10, 18}};
    for_each_product(shapes, 2, broken_alone);
}

static const sy_test_case cases[] = {
    {"products_match", products_match},
    {"every_tail_matches", every_tail_matches},
    {"slices_match", slices_match},
    {"broken_values_stay_alone", broken_values_stay_alone},
};
SY_TEST_MAIN(cases)
