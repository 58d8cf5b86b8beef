/* SPDX-License-Identifier: Apache-2.0 */
/* Every type: round trips within bounds, the same bits again, and rows at the ends of what floats
 * can be. */
#include "harness.h"
#include "switchyard/quantize.h"

#define COLUMNS 1024u

/* Root mean square of the error over that of the numbers, at most, for normal numbers. */
static const struct {
    sy_element_type type;
    double bound;
} types[] = {
    {SY_TYPE_F32, 0.0},    {SY_TYPE_F16, 0.0005},   {SY_TYPE_BF16, 0.003},   {SY_TYPE_Q4_0, 0.092},
    {SY_TYPE_Q4_1, 0.075}, {SY_TYPE_Q5_0, 0.046},   {SY_TYPE_Q5_1, 0.038},   {SY_TYPE_Q8_0, 0.006},
    {SY_TYPE_Q2_K, 0.30},  {SY_TYPE_Q3_K, 0.155},   {SY_TYPE_Q4_K, 0.079},   {SY_TYPE_Q5_K, 0.041},
    {SY_TYPE_Q6_K, 0.020}, {SY_TYPE_IQ4_NL, 0.082}, {SY_TYPE_IQ4_XS, 0.084}, {SY_TYPE_MXFP4, 0.13},
    {SY_TYPE_TQ1_0, 0.46}, {SY_TYPE_TQ2_0, 0.46},
};
#define N_TYPES (sizeof(types) / sizeof(types[0]))

static float row[COLUMNS], back[COLUMNS], importance[COLUMNS];
static uint8_t bytes[COLUMNS * 4], again[COLUMNS * 4];

static double uniform(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-53;
}

/* Normal numbers, nearly: twelve uniform ones less six. */
static void fill_normal(float scale, uint64_t seed) {
    for (uint32_t i = 0; i < COLUMNS; i++) {
        double sum = -6.0;
        for (int k = 0; k < 12; k++) {
            sum += uniform(&seed);
        }
        row[i] = (float)sum * scale;
    }
}

static double round_trip(sy_element_type type, const float *weights) {
    sy_error error;
    double squares = 0.0, errors = 0.0;
    CHECK_OK_ERROR(sy_quantize_row(type, row, COLUMNS, weights, bytes, &error), error);
    CHECK_OK_ERROR(sy_dequantize_row(type, bytes, COLUMNS, back, &error), error);
    for (uint32_t i = 0; i < COLUMNS; i++) {
        double w = weights != NULL ? (double)weights[i] : 1.0;
        squares += w * (double)row[i] * (double)row[i];
        errors += w * (double)(row[i] - back[i]) * (double)(row[i] - back[i]);
    }
    return squares > 0.0 ? sqrt(errors / squares) : sqrt(errors);
}

static void keeps_normal_numbers_within_bounds(void) {
    static const float scales[] = {1.0f, 1e-3f, 100.0f};
    for (size_t i = 0; i < N_TYPES; i++) {
        for (size_t k = 0; k < 3; k++) {
            fill_normal(scales[k], 17 + k);
            double error = round_trip(types[i].type, NULL);
            CHECK_TEXT(error <= types[i].bound, "%s: %.4f over %.4f",
                       sy_type_get(types[i].type)->name, error, types[i].bound);
            CHECK(error >= types[i].bound * 0.4); /* the bound says something */
        }
    }
}

static void gives_the_same_bits_again(void) {
    for (size_t i = 0; i < N_TYPES; i++) {
        uint64_t n_bytes = 0;
        sy_error error;
        fill_normal(1.0f, 5);
        CHECK(sy_type_row_bytes(types[i].type, COLUMNS, &n_bytes) == SY_OK);
        CHECK(sy_quantize_row(types[i].type, row, COLUMNS, NULL, bytes, &error) == SY_OK);
        memset(again, 0xff, sizeof(again));
        CHECK(sy_quantize_row(types[i].type, row, COLUMNS, NULL, again, &error) == SY_OK);
        CHECK(memcmp(bytes, again, (size_t)n_bytes) == 0);
        for (size_t k = (size_t)n_bytes; k < sizeof(again); k++) {
            CHECK(again[k] == 0xff);
        }
    }
}

static void fill(float value) {
    for (uint32_t i = 0; i < COLUMNS; i++) {
        row[i] = value;
    }
}

static void keeps_zeros_and_constants(void) {
    static const float values[] = {0.0f, 1.0f, -1.0f, 0.37f, -0.02f, 1e-40f, 1e-45f, -3e-39f};
    for (size_t i = 0; i < N_TYPES; i++) {
        for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); k++) {
            fill(values[k]);
            (void)round_trip(types[i].type, NULL);
            /* a constant needs its scale alone; MXFP4's is a power of two, an f16's may vanish */
            int tiny = fabsf(values[k]) < 1e-6f;
            double allowed = types[i].type == SY_TYPE_MXFP4 ? 0.2 : 0.02;
            for (uint32_t c = 0; c < COLUMNS; c++) {
                double error = (double)fabsf(back[c] - values[k]);
                CHECK_TEXT(isfinite(back[c]) &&
                               error <= (tiny ? 1e-4 : allowed * (double)fabsf(values[k])),
                           "%s of %g is %g", sy_type_get(types[i].type)->name, (double)values[k],
                           (double)back[c]);
            }
        }
    }
}

static void keeps_an_outlier_and_its_neighbours(void) {
    for (size_t i = 0; i < N_TYPES; i++) {
        fill_normal(1e-3f, 3);
        row[100] = 8.0f;
        (void)round_trip(types[i].type, NULL);
        CHECK_TEXT(fabsf(back[100] - 8.0f) < 2.5f, "%s: %g", sy_type_get(types[i].type)->name,
                   (double)back[100]);
        for (uint32_t c = 256; c < COLUMNS; c++) { /* other super-blocks know nothing of it */
            CHECK(fabsf(back[c]) < 0.02f);
        }
    }
}

static void keeps_ternary_weights_exactly(void) {
    uint64_t seed = 9;
    for (uint32_t i = 0; i < COLUMNS; i++) {
        row[i] = 0.125f * (float)((int)(uniform(&seed) * 3.0) - 1);
    }
    CHECK(round_trip(SY_TYPE_TQ1_0, NULL) == 0.0 && round_trip(SY_TYPE_TQ2_0, NULL) == 0.0);
}

/* What importance stresses gets better, measured with it. */
static void follows_the_importance(void) {
    uint64_t seed = 77;
    for (uint32_t i = 0; i < COLUMNS; i++) {
        importance[i] = uniform(&seed) < 0.1 ? 50.0f : 0.5f;
    }
    for (size_t i = 3; i < N_TYPES; i++) {
        double plain = 0.0, weighted = 0.0;
        for (uint64_t k = 0; k < 4; k++) {
            fill_normal(1.0f, 40 + k);
            (void)round_trip(types[i].type, NULL);
            for (uint32_t c = 0; c < COLUMNS; c++) {
                plain += (double)importance[c] * pow((double)(row[c] - back[c]), 2.0);
            }
            (void)round_trip(types[i].type, importance);
            for (uint32_t c = 0; c < COLUMNS; c++) {
                weighted += (double)importance[c] * pow((double)(row[c] - back[c]), 2.0);
            }
        }
        CHECK_TEXT(weighted <= plain * 1.02, "%s: %g over %g", sy_type_get(types[i].type)->name,
                   weighted, plain);
    }
    memset(importance, 0, sizeof(importance)); /* columns that nothing looked at */
    fill_normal(1.0f, 40);
    CHECK(round_trip(SY_TYPE_Q4_K, importance) == 0.0);
    CHECK(fabsf(back[7] - row[7]) < 0.3f);
}

static void refuses_what_is_no_number(void) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < N_TYPES; i++) {
        for (size_t k = 0; k < 3; k++) {
            sy_error error;
            fill_normal(1.0f, 1);
            row[300] = bad[k];
            CHECK(sy_quantize_row(types[i].type, row, COLUMNS, NULL, bytes, &error) ==
                  SY_INVALID_ARGUMENT);
            CHECK(strstr(error.message, "Column 300") != NULL && error.hint[0] != '\0');
        }
    }
}

static void refuses_what_does_not_fit(void) {
    sy_error error;
    fill_normal(1e7f, 1);
    CHECK(sy_quantize_row(SY_TYPE_F16, row, COLUMNS, NULL, bytes, &error) == SY_OUT_OF_RANGE);
    CHECK(sy_quantize_row(SY_TYPE_Q4_0, row, COLUMNS, NULL, bytes, &error) == SY_OUT_OF_RANGE);
    CHECK(sy_quantize_row(SY_TYPE_Q4_1, row, COLUMNS, NULL, bytes, &error) == SY_OUT_OF_RANGE);
    CHECK(sy_quantize_row(SY_TYPE_BF16, row, COLUMNS, NULL, bytes, &error) == SY_OK);
    CHECK(round_trip(SY_TYPE_MXFP4, NULL) < 0.13);
    fill(3e38f); /* no overflow on the way */
    CHECK(sy_quantize_row(SY_TYPE_Q4_K, row, COLUMNS, NULL, bytes, &error) == SY_OUT_OF_RANGE);
    CHECK(sy_quantize_row(SY_TYPE_Q6_K, row, COLUMNS, NULL, bytes, &error) == SY_OUT_OF_RANGE);
    CHECK(sy_quantize_row(SY_TYPE_Q8_K, row, COLUMNS, NULL, bytes, &error) == SY_UNIMPLEMENTED);
    CHECK(sy_quantize_row(4711, row, COLUMNS, NULL, bytes, &error) == SY_UNIMPLEMENTED);
    CHECK(sy_quantize_row(SY_TYPE_Q4_0, row, 31, NULL, bytes, &error) == SY_INVALID_ARGUMENT);
    CHECK(sy_dequantize_row(SY_TYPE_Q4_K, bytes, 128, back, &error) == SY_INVALID_ARGUMENT);
    importance[0] = -1.0f;
    fill(1.0f);
    CHECK(sy_quantize_row(SY_TYPE_Q4_0, row, COLUMNS, importance, bytes, &error) ==
          SY_INVALID_ARGUMENT);
    CHECK(!sy_quantize_supports(SY_TYPE_IQ2_XS) && sy_quantize_supports(SY_TYPE_Q6_K));
}

static const sy_test_case cases[] = {
    {"keeps_normal_numbers_within_bounds", keeps_normal_numbers_within_bounds},
    {"gives_the_same_bits_again", gives_the_same_bits_again},
    {"keeps_zeros_and_constants", keeps_zeros_and_constants},
    {"keeps_an_outlier_and_its_neighbours", keeps_an_outlier_and_its_neighbours},
    {"keeps_ternary_weights_exactly", keeps_ternary_weights_exactly},
    {"follows_the_importance", follows_the_importance},
    {"refuses_what_is_no_number", refuses_what_is_no_number},
    {"refuses_what_does_not_fit", refuses_what_does_not_fit},
};
SY_TEST_MAIN(cases)
