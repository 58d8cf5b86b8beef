/* SPDX-License-Identifier: Apache-2.0 */
#include "reference/element.h"

#include "reference/blocks.h"
#include "switchyard/types.h"

#include <string.h>

#define GET_LOOP(c_type, out_type, convert)                                                   \
    for (int64_t i = 0; i < n; i++) {                                                         \
        c_type value;                                                                         \
        memcpy(&value, bytes + (first + i * stride) * (int64_t)sizeof(value), sizeof(value)); \
        out[i] = (out_type)(convert);                                                         \
    }                                                                                         \
    break

static int64_t nibble_at(const uint8_t *bytes, int64_t index, sy_element_type type) {
    int64_t value = (bytes[index / 2] >> (4 * (index % 2))) & 0x0f;
    return type == SY_TYPE_I4 && value >= 8 ? value - 16 : value;
}

void sy__ref_get_f64(const sy__tensor *tensor, int64_t first, int64_t stride, int64_t n,
                     double *out) {
    const uint8_t *bytes = tensor->data;
    switch (tensor->type) {
    case SY_TYPE_F32:
        GET_LOOP(float, double, value);
    case SY_TYPE_F16:
        GET_LOOP(uint16_t, double, sy__f16_to_f32(value));
    case SY_TYPE_BF16:
        GET_LOOP(uint16_t, double, sy__bf16_to_f32(value));
    case SY_TYPE_F64:
        GET_LOOP(double, double, value);
    case SY_TYPE_I8:
        GET_LOOP(int8_t, double, value);
    case SY_TYPE_I16:
        GET_LOOP(int16_t, double, value);
    case SY_TYPE_I32:
        GET_LOOP(int32_t, double, value);
    case SY_TYPE_I64:
        GET_LOOP(int64_t, double, value);
    case SY_TYPE_U8:
        GET_LOOP(uint8_t, double, value);
    case SY_TYPE_U16:
        GET_LOOP(uint16_t, double, value);
    case SY_TYPE_BOOL:
        GET_LOOP(uint8_t, double, value != 0);
    default:
        for (int64_t i = 0; i < n; i++) {
            out[i] = (double)nibble_at(bytes, first + i * stride, tensor->type);
        }
        break;
    }
}

void sy__ref_get_i64(const sy__tensor *tensor, int64_t first, int64_t stride, int64_t n,
                     int64_t *out) {
    const uint8_t *bytes = tensor->data;
    switch (tensor->type) {
    case SY_TYPE_I8:
        GET_LOOP(int8_t, int64_t, value);
    case SY_TYPE_I16:
        GET_LOOP(int16_t, int64_t, value);
    case SY_TYPE_I32:
        GET_LOOP(int32_t, int64_t, value);
    case SY_TYPE_I64:
        GET_LOOP(int64_t, int64_t, value);
    case SY_TYPE_U8:
        GET_LOOP(uint8_t, int64_t, value);
    case SY_TYPE_U16:
        GET_LOOP(uint16_t, int64_t, value);
    case SY_TYPE_BOOL:
        GET_LOOP(uint8_t, int64_t, value != 0);
    default:
        for (int64_t i = 0; i < n; i++) {
            out[i] = nibble_at(bytes, first + i * stride, tensor->type);
        }
        break;
    }
}

#define PUT_LOOP(c_type, convert)                                                    \
    for (int64_t i = 0; i < n; i++) {                                                \
        c_type value = (c_type)(convert);                                            \
        memcpy(bytes + (first + i) * (int64_t)sizeof(value), &value, sizeof(value)); \
    }                                                                                \
    break

void sy__ref_put_f64(const sy__tensor *tensor, int64_t first, int64_t n, const double *values) {
    uint8_t *bytes = tensor->data;
    switch (tensor->type) {
    case SY_TYPE_F32:
        PUT_LOOP(float, values[i]);
    case SY_TYPE_F16:
        PUT_LOOP(uint16_t, sy__f16_from_f64(values[i]));
    case SY_TYPE_BF16:
        PUT_LOOP(uint16_t, sy__bf16_from_f64(values[i]));
    default:
        PUT_LOOP(double, values[i]);
    }
}

void sy__ref_put_i64(const sy__tensor *tensor, int64_t first, int64_t n, const int64_t *values) {
    uint8_t *bytes = tensor->data;
    switch (tensor->type) {
    case SY_TYPE_I8:
    case SY_TYPE_U8:
        PUT_LOOP(uint8_t, values[i]);
    case SY_TYPE_I16:
    case SY_TYPE_U16:
        PUT_LOOP(uint16_t, values[i]);
    case SY_TYPE_I32:
        PUT_LOOP(uint32_t, values[i]);
    case SY_TYPE_BOOL:
        PUT_LOOP(uint8_t, values[i] != 0);
    default:
        PUT_LOOP(int64_t, values[i]);
    }
}

size_t sy__ref_element_bytes(sy_element_type type) {
    const sy_type_facts *facts = sy_type_get(type);
    return facts != NULL ? facts->n_block_bytes : 0;
}
