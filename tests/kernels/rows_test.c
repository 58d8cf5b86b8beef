/* SPDX-License-Identifier: Apache-2.0 */
/* Row kernels at every ISA level: values against libm in double, every tail from
 * 1 to 67 elements, buffers that end at a guard page, misaligned rows. */
#include "blocks.h"
#include "guarded.h"
#include "kernels.h"

#define N_MOST 67u

static void for_each_level(void (*test)(const cpu_kernels *)) {
    const cpu_kernels *const *levels = cpu_kernels_available();
    for (size_t i = 0; levels[i] != NULL; i++) {
        random_state = 11;
        test(levels[i]);
    }
}

static float *floats_of(const guarded *g) {
    return (float *)(void *)g->bytes;
}

static void close_to(double got, double expected, double size, const cpu_kernels *level,
                     const char *what, size_t n) {
    bool both_nan = isnan(got) && isnan(expected);
    CHECK_TEXT(got == expected || both_nan || fabs(got - expected) <= 1e-6 * size,
               "%s %s of %zu: %.9g not %.9g", level->name, what, n, got, expected);
}

static double unary_exact(cpu_unary kind, double x, double parameter) {
    switch (kind) {
    case CPU_UNARY_SILU:
        return x / (1.0 + exp(-parameter * x));
    case CPU_UNARY_GELU:
        return 0.5 * x * (1.0 + erf(x * 0.70710678118654752));
    case CPU_UNARY_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
    case CPU_UNARY_RELU:
        return x < 0.0 ? 0.0 : x;
    case CPU_UNARY_SIGMOID:
        return 1.0 / (1.0 + exp(-x));
    case CPU_UNARY_TANH:
        return tanh(x);
    case CPU_UNARY_SOFTCAP:
        return parameter * tanh(x / parameter);
    case CPU_UNARY_EXP:
        return exp(x);
    case CPU_UNARY_ERF:
        return erf(x);
    case CPU_UNARY_SQRT:
        return sqrt(x);
    case CPU_UNARY_ABS:
        return fabs(x);
    case CPU_UNARY_NEG:
        return -x;
    case CPU_UNARY_RECIPROCAL:
        return 1.0 / x;
    case CPU_UNARY_COUNT:
        break;
    }
    return NAN;
}

static void unary_matches(const cpu_kernels *level) {
    static const float edges[] = {0.0f,  -0.0f, 1e-30f, -1e-20f, 0.59f,    0.61f,     0.99f, 1.01f,
                                  88.0f, 95.0f, -87.0f, -120.0f, INFINITY, -INFINITY, NAN,   4.3f};
    for (int kind = 0; kind < CPU_UNARY_COUNT; kind++) {
        for (size_t n = 1; n <= N_MOST; n++) {
            guarded in = guarded_make(n * 4), out = guarded_make(n * 4);
            float *x = floats_of(&in), *y = floats_of(&out);
            random_floats(x, n, n % 3 == 0 ? 20.0f : 1.5f);
            for (size_t i = 0; n > 60 && i < sizeof(edges) / 4; i++) {
                x[i] = edges[i];
            }
            level->rows->unary((cpu_unary)kind, x, n, 1.5f, y);
            for (size_t i = 0; i < n; i++) {
                double expected = unary_exact((cpu_unary)kind, (double)x[i], 1.5);
                if (fabs(expected) > 3.4e38) {
                    expected = expected > 0 ? INFINITY : -INFINITY;
                }
                if (kind <= CPU_UNARY_GELU_TANH && isinf(x[i])) {
                    expected = x[i] < 0.0f ? 0.0 : INFINITY;
                }
                double size = fabs(expected) > 1e-30 ? fabs(expected) : 1e-30;
                if (kind <= CPU_UNARY_GELU_TANH && !isinf(x[i])) {
                    size += fabs((double)x[i]) * 0.1; /* 1 + tanh loses digits near -1 */
                }
                close_to((double)y[i], expected, size, level, "unary", (size_t)kind);
            }
            guarded_free(&in);
            guarded_free(&out);
        }
    }
}

static void norms_match(const cpu_kernels *level) {
    for (size_t n = 1; n <= N_MOST; n++) {
        guarded in = guarded_make(n * 4), scale = guarded_make(n * 4), bias = guarded_make(n * 4);
        guarded out = guarded_make(n * 4);
        float *x = floats_of(&in), *s = floats_of(&scale), *b = floats_of(&bias),
              *y = floats_of(&out);
        random_floats(x, n, 3.0f);
        random_floats(s, n, 2.0f);
        random_floats(b, n, 1.0f);
        double mean = 0.0, squares = 0.0, variance = 0.0, total = 0.0;
        for (size_t i = 0; i < n; i++) {
            mean += (double)x[i] / (double)n;
            squares += (double)x[i] * (double)x[i] / (double)n;
            total += exp((double)x[i]);
        }
        for (size_t i = 0; i < n; i++) {
            variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
        }
        level->rows->rms_norm(x, s, n, 1e-3f, y);
        for (size_t i = 0; i < n; i++) {
            close_to((double)y[i], (double)x[i] * (double)s[i] / sqrt(squares + 1e-3), 4.0, level,
                     "rms_norm", n);
        }
        level->rows->layer_norm(x, s, b, n, 1e-3f, y);
        for (size_t i = 0; i < n; i++) {
            double expected = ((double)x[i] - mean) / sqrt(variance + 1e-3) * (double)s[i];
            close_to((double)y[i], expected + (double)b[i], 4.0, level, "layer_norm", n);
        }
        level->rows->softmax(x, n, y);
        for (size_t i = 0; i < n; i++) {
            close_to((double)y[i], exp((double)x[i]) / total, 1.0, level, "softmax", n);
        }
        guarded_free(&in);
        guarded_free(&scale);
        guarded_free(&bias);
        guarded_free(&out);
    }
}

static void rotation_matches(const cpu_kernels *level) {
    for (size_t pairs = 1; pairs <= 33; pairs++) {
        for (int interleaved = 0; interleaved < 2; interleaved++) {
            size_t d = 2 * pairs + pairs % 3;
            guarded in = guarded_make(d * 4), table = guarded_make(pairs * 8);
            guarded out = guarded_make(d * 4);
            float *x = floats_of(&in), *t = floats_of(&table), *y = floats_of(&out);
            random_floats(x, d, 1.0f);
            random_floats(t, 2 * pairs, 1.0f);
            level->rows->rotate(x, d, pairs, interleaved == 1, t, y);
            for (size_t i = 0; i < pairs; i++) {
                size_t first = interleaved == 1 ? 2 * i : i;
                size_t second = interleaved == 1 ? 2 * i + 1 : i + pairs;
                double c = (double)t[i], s = (double)t[pairs + i];
                double a = (double)x[first], b = (double)x[second];
                close_to((double)y[first], a * c - b * s, 1.0, level, "rotate", pairs);
                close_to((double)y[second], b * c + a * s, 1.0, level, "rotate", pairs);
            }
            for (size_t i = 2 * pairs; i < d; i++) {
                CHECK(y[i] == x[i]);
            }
            guarded_free(&in);
            guarded_free(&table);
            guarded_free(&out);
        }
    }
}

/* A weighted sum of rows, taken in parts whose factors rescale what was there before. */
static void weighted_sums_match(const cpu_kernels *level) {
    for (size_t d = 1; d <= N_MOST; d += 3) {
        const size_t n = 29, stride = d + 1, part = 11;
        guarded v = guarded_make(((n - 1) * stride + d) * 4), acc = guarded_make(d * 4);
        guarded w = guarded_make(n * 4);
        float *rows = floats_of(&v), *sums = floats_of(&acc), *weights = floats_of(&w);
        double expected[N_MOST] = {0.0};
        random_floats(rows, (n - 1) * stride + d, 1.0f);
        random_floats(weights, n, 1.0f);
        memset(sums, 0, d * 4);
        for (size_t first = 0; first < n; first += part) {
            size_t count = n - first < part ? n - first : part;
            const float factor = 0.75f;
            for (size_t i = 0; i < d; i++) {
                expected[i] *= (double)factor;
                for (size_t j = first; j < first + count; j++) {
                    expected[i] += (double)weights[j] * (double)rows[j * stride + i];
                }
            }
            level->rows->accumulate(weights + first, rows + first * stride, stride, count, d,
                                    factor, sums);
        }
        for (size_t i = 0; i < d; i++) {
            close_to((double)sums[i], expected[i], sqrt((double)n), level, "weighted sum", d);
        }
        guarded_free(&v);
        guarded_free(&acc);
        guarded_free(&w);
    }
}

#define EXPAND_MOST 9u /* rows */

/* Rows alone and together, all tails of columns, tiles that end at a guard page. */
static void expansion_matches_at(const cpu_kernels *level, sy_element_type type, size_t n_columns,
                                 size_t rank) {
    const size_t size = type == SY_TYPE_F32 ? 4 : 2, stride = rank + 1;
    size_t n_tiles = (n_columns + CPU_EXPAND_COLUMNS - 1) / CPU_EXPAND_COLUMNS;
    size_t n_wide = n_tiles * CPU_EXPAND_COLUMNS * rank;
    guarded w = guarded_make(n_wide * size), x = guarded_make(EXPAND_MOST * stride * 4);
    guarded y = guarded_make(EXPAND_MOST * n_columns * 4), alone = guarded_make(n_columns * 4);
    float *wide = calloc(n_wide, sizeof(*wide)), *narrow = floats_of(&x), *out = floats_of(&y);
    float *before = calloc(EXPAND_MOST * n_columns, sizeof(*before));
    CHECK(wide != NULL && before != NULL);
    random_floats(wide, n_wide, 1.0f);
    random_floats(narrow, EXPAND_MOST * stride, 1.0f);
    random_floats(before, EXPAND_MOST * n_columns, 1.0f);
    memcpy(out, before, EXPAND_MOST * n_columns * 4);
    CHECK_OK(sy__row_encode(type, wide, n_wide, w.bytes));
    CHECK_OK(sy__row_decode(type, w.bytes, n_wide, wide));
    cpu_expand e = {w.bytes, type, narrow, out, stride, n_columns, rank, n_columns, EXPAND_MOST};
    level->rows->expand(&e);
    for (size_t i = 0; i < EXPAND_MOST * n_columns; i++) {
        size_t column = i % n_columns, within = column % CPU_EXPAND_COLUMNS;
        double expected = (double)before[i];
        for (size_t j = 0; j < rank; j++) {
            expected += (double)narrow[i / n_columns * stride + j] *
                        (double)wide[(column - within) * rank + j * CPU_EXPAND_COLUMNS + within];
        }
        close_to((double)out[i], expected, 2.0 + sqrt((double)rank), level, "expansion", n_columns);
    }
    for (size_t r = 0; r < EXPAND_MOST; r++) {
        memcpy(alone.bytes, before + r * n_columns, n_columns * 4);
        e.narrow = narrow + r * stride;
        e.out = floats_of(&alone);
        e.n_rows = 1;
        level->rows->expand(&e);
        CHECK(memcmp(alone.bytes, out + r * n_columns, n_columns * 4) == 0);
    }
    free(wide);
    free(before);
    guarded_free(&w);
    guarded_free(&x);
    guarded_free(&y);
    guarded_free(&alone);
}

static void expansion_matches(const cpu_kernels *level) {
    static const sy_element_type types[3] = {SY_TYPE_F32, SY_TYPE_F16, SY_TYPE_BF16};
    for (int t = 0; t < 3; t++) {
        for (size_t n = 1; n <= 2 * CPU_EXPAND_COLUMNS + 1; n += n < 20 ? 1 : 11) {
            expansion_matches_at(level, types[t], n, 1 + n % 7);
        }
        expansion_matches_at(level, types[t], 200, 33);
    }
}

/* Every bit pattern of f16 and bf16 comes back from f32, and rounding is to even. */
static void narrow_floats_match(const cpu_kernels *level) {
    static const sy_element_type types[2] = {SY_TYPE_F16, SY_TYPE_BF16};
    for (int t = 0; t < 2; t++) {
        const cpu_type_kernels *kernels = &level->plain[types[t]];
        for (uint32_t bits = 0; bits < 65536; bits += 5) {
            uint16_t in[5], back[5], expected[5];
            float got[5], exact[5];
            for (uint32_t i = 0; i < 5; i++) {
                in[i] = (uint16_t)(bits + i);
            }
            kernels->decode((const uint8_t *)in, 5, got);
            CHECK_OK(sy__row_decode(types[t], in, 5, exact));
            for (uint32_t i = 0; i < 5; i++) {
                CHECK_TEXT(memcmp(&got[i], &exact[i], 4) == 0 || (isnan(got[i]) && isnan(exact[i])),
                           "%s %04x", level->name, in[i]);
                uint32_t single = random_u32();
                memcpy(&got[i], &single, 4);
                got[i] = isnan(got[i]) ? 0.0f : got[i];
            }
            kernels->encode(got, 5, (uint8_t *)back);
            CHECK_OK(sy__row_encode(types[t], got, 5, expected));
            CHECK_TEXT(memcmp(back, expected, 10) == 0, "%s type %u", level->name, types[t]);
        }
    }
}

static void gated_and_binary_match(const cpu_kernels *level) {
    for (size_t n = 1; n <= N_MOST; n++) {
        guarded a = guarded_make(n * 4), b = guarded_make(n * 4), out = guarded_make(n * 4);
        float *x = floats_of(&a), *y = floats_of(&b), *z = floats_of(&out);
        random_floats(x, n, 4.0f);
        random_floats(y, n, 4.0f);
        level->rows->gated(CPU_UNARY_SILU, x, y, n, z);
        for (size_t i = 0; i < n; i++) {
            double expected = unary_exact(CPU_UNARY_SILU, (double)x[i], 1.0) * (double)y[i];
            close_to((double)z[i], expected, 16.0, level, "gated", n);
        }
        for (int kind = CPU_BINARY_ADD; kind <= CPU_BINARY_DIV; kind++) {
            level->rows->binary((cpu_binary)kind, x, y, n, z);
            for (size_t i = 0; i < n; i++) {
                float expected = kind == CPU_BINARY_ADD   ? x[i] + y[i]
                                 : kind == CPU_BINARY_SUB ? x[i] - y[i]
                                 : kind == CPU_BINARY_MUL ? x[i] * y[i]
                                                          : x[i] / y[i];
                CHECK(memcmp(&z[i], &expected, 4) == 0);
            }
        }
        guarded_free(&a);
        guarded_free(&b);
        guarded_free(&out);
    }
}

#define CASE_OF(name)               \
    static void name##_case(void) { \
        for_each_level(name);       \
    }
CASE_OF(unary_matches)
CASE_OF(norms_match)
CASE_OF(rotation_matches)
CASE_OF(weighted_sums_match)
CASE_OF(expansion_matches)
CASE_OF(narrow_floats_match)
CASE_OF(gated_and_binary_match)

static const sy_test_case cases[] = {
    {"unary_matches", unary_matches_case},
    {"norms_match", norms_match_case},
    {"rotation_matches", rotation_matches_case},
    {"weighted_sums_match", weighted_sums_match_case},
    {"expansion_matches", expansion_matches_case},
    {"narrow_floats_match", narrow_floats_match_case},
    {"gated_and_binary_match", gated_and_binary_match_case},
};
SY_TEST_MAIN(cases)
