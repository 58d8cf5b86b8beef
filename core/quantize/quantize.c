/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <inttypes.h>
#include <math.h>

static const sy__block_encode encoders[] = {
    [SY_TYPE_Q4_0] = sy__encode_q4_0,     [SY_TYPE_Q4_1] = sy__encode_q4_1,
    [SY_TYPE_Q5_0] = sy__encode_q5_0,     [SY_TYPE_Q5_1] = sy__encode_q5_1,
    [SY_TYPE_Q8_0] = sy__encode_q8_0,     [SY_TYPE_Q2_K] = sy__encode_q2_k,
    [SY_TYPE_Q3_K] = sy__encode_q3_k,     [SY_TYPE_Q4_K] = sy__encode_q4_k,
    [SY_TYPE_Q5_K] = sy__encode_q5_k,     [SY_TYPE_Q6_K] = sy__encode_q6_k,
    [SY_TYPE_IQ4_NL] = sy__encode_iq4_nl, [SY_TYPE_IQ4_XS] = sy__encode_iq4_xs,
    [SY_TYPE_TQ1_0] = sy__encode_tq1_0,   [SY_TYPE_TQ2_0] = sy__encode_tq2_0,
    [SY_TYPE_MXFP4] = sy__encode_mxfp4,
};

static sy__block_encode encoder_of(sy_element_type type) {
    return type < sizeof(encoders) / sizeof(encoders[0]) ? encoders[type] : NULL;
}

static bool is_plain(sy_element_type type) {
    return type == SY_TYPE_F32 || type == SY_TYPE_F16 || type == SY_TYPE_BF16;
}

int sy_quantize_supports(sy_element_type type) {
    return is_plain(type) || encoder_of(type) != NULL;
}

static sy_status too_large(sy_element_type type, uint64_t column, sy_error *error) {
    sy_error_set(error, SY_OUT_OF_RANGE, "A number near column %" PRIu64 " is too large for %s.",
                 column, sy_type_get(type)->name);
    sy_error_hint(error, "Take a type with a wider range, such as bf16.");
    return SY_OUT_OF_RANGE;
}

static sy_status check_numbers(sy_element_type type, const float *values, uint64_t n,
                               const float *importance, sy_error *error) {
    /* Block types: far above what an f16 scale can carry, far below where squares overflow. */
    float most = type == SY_TYPE_F16     ? 65504.0f
                 : type == SY_TYPE_MXFP4 ? 1e18f
                 : is_plain(type)        ? INFINITY
                                         : 1e9f;
    for (uint64_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) {
            sy_error_set(error, SY_INVALID_ARGUMENT, "Column %" PRIu64 " is %s.", i,
                         isnan(values[i]) ? "no number (NaN)" : "infinite");
            sy_error_hint(error, "The weights are damaged; fetch the model again.");
            return SY_INVALID_ARGUMENT;
        }
        if (fabsf(values[i]) > most) {
            return too_large(type, i, error);
        }
        if (importance != NULL && !(importance[i] >= 0.0f && importance[i] < INFINITY)) {
            sy_error_set(error, SY_INVALID_ARGUMENT,
                         "The importance of column %" PRIu64 " is negative or no number.", i);
            sy_error_hint(error, "Make the importance matrix again.");
            return SY_INVALID_ARGUMENT;
        }
    }
    return SY_OK;
}

/* Weights of one block. Important columns count for more, large numbers in them too: what they are
 * multiplied with is known in the mean only. */
static void weigh(uint64_t n, const float *x, const float *importance, float *out_weights) {
    double squares = 0.0, sum = 0.0;
    for (uint64_t i = 0; i < n; i++) {
        squares += (double)x[i] * (double)x[i];
    }
    for (uint64_t i = 0; i < n; i++) {
        double own = (double)x[i] * (double)x[i];
        double weight =
            importance != NULL ? (double)importance[i] * sqrt(squares / (double)n + own) : 1.0;
        out_weights[i] = (float)weight;
        sum += weight;
    }
    for (uint64_t i = 0; i < n; i++) { /* a block that nothing looks at is still fitted */
        out_weights[i] = sum > 0.0 ? (float)((double)out_weights[i] * ((double)n / sum)) : 1.0f;
    }
}

sy_status sy_quantize_row(sy_element_type type, const float *values, uint64_t n_columns,
                          const float *importance, void *out_row, sy_error *error) {
    const sy_type_facts *facts = sy_type_get(type);
    sy__block_encode encode = encoder_of(type);
    uint8_t *block = out_row;
    if (facts == NULL || !sy_quantize_supports(type)) {
        return sy_error_set(error, SY_UNIMPLEMENTED, "Numbers cannot be quantised to %s.",
                            facts != NULL ? facts->name : "this type");
    }
    if (n_columns % facts->n_block_elements != 0) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "%" PRIu64 " columns are no whole number of blocks of %s.", n_columns,
                            facts->name);
    }
    sy_status status = check_numbers(type, values, n_columns, importance, error);
    if (status != SY_OK || encode == NULL) {
        return status != SY_OK ? status : sy__row_encode(type, values, (size_t)n_columns, out_row);
    }
    for (uint64_t i = 0; i < n_columns; i += facts->n_block_elements) {
        float weights[SY__SUPER];
        weigh(facts->n_block_elements, values + i, importance != NULL ? importance + i : NULL,
              weights);
        if (!encode(values + i, weights, block)) {
            return too_large(type, i, error);
        }
        block += facts->n_block_bytes;
    }
    return SY_OK;
}

sy_status sy_dequantize_row(sy_element_type type, const void *row, uint64_t n_columns,
                            float *out_values, sy_error *error) {
    if (sy__row_decode(type, row, (size_t)n_columns, out_values) == SY_OK) {
        return SY_OK;
    }
    const sy_type_facts *facts = sy_type_get(type);
    return sy_error_set(error, SY_INVALID_ARGUMENT,
                        "%" PRIu64 " columns of %s cannot be decoded: no whole number of blocks, "
                        "or no such type.",
                        n_columns, facts != NULL ? facts->name : "an unknown type");
}
