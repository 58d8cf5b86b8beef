/* SPDX-License-Identifier: Apache-2.0 */
#include "reference/blocks_internal.h"
#include "switchyard/types.h"

#include <math.h>

#define BLOCK 32

static const sy__block_decode decoders[] = {
    [SY_TYPE_Q4_0] = sy__decode_q4_0,       [SY_TYPE_Q4_1] = sy__decode_q4_1,
    [SY_TYPE_Q5_0] = sy__decode_q5_0,       [SY_TYPE_Q5_1] = sy__decode_q5_1,
    [SY_TYPE_Q8_0] = sy__decode_q8_0,       [SY_TYPE_Q8_1] = sy__decode_q8_1,
    [SY_TYPE_Q2_K] = sy__decode_q2_k,       [SY_TYPE_Q3_K] = sy__decode_q3_k,
    [SY_TYPE_Q4_K] = sy__decode_q4_k,       [SY_TYPE_Q5_K] = sy__decode_q5_k,
    [SY_TYPE_Q6_K] = sy__decode_q6_k,       [SY_TYPE_Q8_K] = sy__decode_q8_k,
    [SY_TYPE_IQ2_XXS] = sy__decode_iq2_xxs, [SY_TYPE_IQ2_XS] = sy__decode_iq2_xs,
    [SY_TYPE_IQ3_XXS] = sy__decode_iq3_xxs, [SY_TYPE_IQ1_S] = sy__decode_iq1_s,
    [SY_TYPE_IQ4_NL] = sy__decode_iq4_nl,   [SY_TYPE_IQ3_S] = sy__decode_iq3_s,
    [SY_TYPE_IQ2_S] = sy__decode_iq2_s,     [SY_TYPE_IQ4_XS] = sy__decode_iq4_xs,
    [SY_TYPE_IQ1_M] = sy__decode_iq1_m,     [SY_TYPE_TQ1_0] = sy__decode_tq1_0,
    [SY_TYPE_TQ2_0] = sy__decode_tq2_0,     [SY_TYPE_MXFP4] = sy__decode_mxfp4,
    [SY_TYPE_NVFP4] = sy__decode_nvfp4,     [SY_TYPE_Q1_0] = sy__decode_q1_0,
    [SY_TYPE_Q2_0] = sy__decode_q2_0,
};

static sy__block_decode block_decoder(sy_element_type type) {
    return type < sizeof(decoders) / sizeof(decoders[0]) ? decoders[type] : NULL;
}

/* memcpy because rows need no alignment. */
#define DECODE_PLAIN(c_type)                                    \
    for (size_t i = 0; i < n_elements; i++) {                   \
        c_type value;                                           \
        memcpy(&value, row + i * sizeof(value), sizeof(value)); \
        out_values[i] = (float)value;                           \
    }                                                           \
    return SY_OK

static sy_status decode_half(sy_element_type type, const uint8_t *row, size_t n_elements,
                             float *out_values) {
    for (size_t i = 0; i < n_elements; i++) {
        uint16_t bits = sy__read_u16(row + 2 * i);
        out_values[i] = type == SY_TYPE_F16 ? sy__f16_to_f32(bits) : sy__bf16_to_f32(bits);
    }
    return SY_OK;
}

static sy_status decode_nibbles(sy_element_type type, const uint8_t *row, size_t n_elements,
                                float *out_values) {
    for (size_t i = 0; i < n_elements; i++) {
        int value = (row[i / 2] >> (4 * (i % 2))) & 0x0f;
        out_values[i] = (float)(type == SY_TYPE_I4 && value >= 8 ? value - 16 : value);
    }
    return SY_OK;
}

static sy_status decode_plain(sy_element_type type, const uint8_t *row, size_t n_elements,
                              float *out_values) {
    switch (type) {
    case SY_TYPE_F32:
        memcpy(out_values, row, n_elements * sizeof(float));
        return SY_OK;
    case SY_TYPE_F16:
    case SY_TYPE_BF16:
        return decode_half(type, row, n_elements, out_values);
    case SY_TYPE_I4:
    case SY_TYPE_U4:
        return decode_nibbles(type, row, n_elements, out_values);
    case SY_TYPE_F64:
        DECODE_PLAIN(double);
    case SY_TYPE_I8:
        DECODE_PLAIN(int8_t);
    case SY_TYPE_I16:
        DECODE_PLAIN(int16_t);
    case SY_TYPE_I32:
        DECODE_PLAIN(int32_t);
    case SY_TYPE_I64:
        DECODE_PLAIN(int64_t);
    case SY_TYPE_U8:
        DECODE_PLAIN(uint8_t);
    case SY_TYPE_U16:
        DECODE_PLAIN(uint16_t);
    case SY_TYPE_BOOL:
        for (size_t i = 0; i < n_elements; i++) {
            out_values[i] = row[i] != 0 ? 1.0f : 0.0f;
        }
        return SY_OK;
    default:
        return SY_INVALID_ARGUMENT;
    }
}

sy_status sy__row_decode(sy_element_type type, const void *row, size_t n_elements,
                         float *out_values) {
    const sy_type_facts *facts = sy_type_get(type);
    if (facts == NULL || n_elements % facts->n_block_elements != 0) {
        return SY_INVALID_ARGUMENT;
    }
    sy__block_decode decode = block_decoder(type);
    if (decode == NULL) {
        return decode_plain(type, row, n_elements, out_values);
    }
    const uint8_t *block = row;
    for (size_t i = 0; i < n_elements; i += facts->n_block_elements) {
        decode(block, out_values + i);
        block += facts->n_block_bytes;
    }
    return SY_OK;
}

static void write_f16(uint8_t *bytes, float value) {
    uint16_t bits = sy__f16_from_f64((double)value);
    memcpy(bytes, &bits, sizeof(bits));
}

/* value as a float in [low, high]; NaN becomes 0. */
static int cut(float value, int low, int high) {
    if (isnan(value)) {
        return 0;
    }
    return value <= (float)low ? low : value >= (float)high ? high : (int)value;
}

static void encode_q8_0(const float *values, uint8_t *block) {
    float largest = 0.0f;
    for (int i = 0; i < BLOCK; i++) {
        largest = fmaxf(largest, fabsf(values[i]));
    }
    float d = largest / 127.0f;
    float inverse = d == 0.0f ? 0.0f : 1.0f / d;
    write_f16(block, d);
    for (int i = 0; i < BLOCK; i++) {
        int q = cut(roundf(values[i] * inverse), -127, 127);
        block[2 + i] = (uint8_t)(int8_t)q;
    }
}

static void encode_q4_0(const float *values, uint8_t *block) {
    float largest = 0.0f;
    for (int i = 0; i < BLOCK; i++) {
        largest = fabsf(values[i]) > fabsf(largest) ? values[i] : largest;
    }
    float d = largest / -8.0f;
    float inverse = d == 0.0f ? 0.0f : 1.0f / d;
    write_f16(block, d);
    for (int j = 0; j < BLOCK / 2; j++) {
        float first = isnan(values[j]) ? 0.0f : values[j];
        float second = isnan(values[j + 16]) ? 0.0f : values[j + 16];
        int low = cut(first * inverse + 8.5f, 0, 15);
        int high = cut(second * inverse + 8.5f, 0, 15);
        block[2 + j] = (uint8_t)(low | high << 4);
    }
}

bool sy__row_can_encode(sy_element_type type) {
    return type == SY_TYPE_F32 || type == SY_TYPE_F16 || type == SY_TYPE_BF16 ||
           type == SY_TYPE_Q8_0 || type == SY_TYPE_Q4_0;
}

sy_status sy__row_encode(sy_element_type type, const float *values, size_t n_elements,
                         void *out_row) {
    if (!sy__row_can_encode(type)) {
        return SY_UNIMPLEMENTED;
    }
    const sy_type_facts *facts = sy_type_get(type);
    if (facts == NULL || n_elements % facts->n_block_elements != 0) {
        return SY_INVALID_ARGUMENT;
    }
    uint8_t *row = out_row;
    if (type == SY_TYPE_F32) {
        memcpy(row, values, n_elements * sizeof(float));
        return SY_OK;
    }
    for (size_t i = 0; i < n_elements; i += facts->n_block_elements) {
        uint16_t bits = 0;
        switch (type) {
        case SY_TYPE_Q8_0:
            encode_q8_0(values + i, row);
            break;
        case SY_TYPE_Q4_0:
            encode_q4_0(values + i, row);
            break;
        default:
            bits = type == SY_TYPE_F16 ? sy__f16_from_f64((double)values[i])
                                       : sy__bf16_from_f64((double)values[i]);
            memcpy(row, &bits, sizeof(bits));
            break;
        }
        row += facts->n_block_bytes;
    }
    return SY_OK;
}
