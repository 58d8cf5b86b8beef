/* SPDX-License-Identifier: Apache-2.0 */
/* Typed reading of metadata: a number is answered whole or not at all. */
#include "internal.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

static sy_status wrong_type(const sy_gguf_value *value, const char *wanted, sy_error *error) {
    sy_error_set(error, SY_INVALID_ARGUMENT, "The key '%.*s' is %s%s where %s is wanted.",
                 (int)value->key.n_bytes, value->key.bytes, value->is_array ? "an array of " : "",
                 sy_gguf_type_name(value->type), wanted);
    sy_error_hint(error, "Write the file again with a current conversion tool.");
    sy_error_at(error, NULL, value->file_offset);
    return SY_INVALID_ARGUMENT;
}

static sy_status out_of_range(const sy_gguf_value *value, const char *wanted, sy_error *error) {
    sy_error_set(error, SY_OUT_OF_RANGE, "The key '%.*s' holds a number that is no %s.",
                 (int)value->key.n_bytes, value->key.bytes, wanted);
    sy_error_hint(error, "The file is damaged or was made for another program.");
    sy_error_at(error, NULL, value->file_offset);
    return SY_OUT_OF_RANGE;
}

static sy_status check_index(const sy_gguf_value *value, uint64_t i, sy_error *error) {
    if (i < value->n_elements) {
        return SY_OK;
    }
    sy_error_set(error, SY_OUT_OF_RANGE,
                 "The key '%.*s' has %" PRIu64 " elements, none at %" PRIu64 ".",
                 (int)value->key.n_bytes, value->key.bytes, value->n_elements, i);
    sy_error_hint(error, "Ask for an index below the number of elements.");
    sy_error_at(error, NULL, value->file_offset);
    return SY_OUT_OF_RANGE;
}

/* Any integer as sign and magnitude: *out_negative tells that *out_bits is an int64_t below 0. */
static sy_status read_integer(const sy_gguf_value *value, uint64_t i, uint64_t *out_bits,
                              bool *out_negative, sy_error *error) {
    uint32_t n_bytes = sy__gguf_type_bytes(value->type);
    bool is_signed = value->type == SY_GGUF_I8 || value->type == SY_GGUF_I16 ||
                     value->type == SY_GGUF_I32 || value->type == SY_GGUF_I64;
    bool is_unsigned = value->type == SY_GGUF_U8 || value->type == SY_GGUF_U16 ||
                       value->type == SY_GGUF_U32 || value->type == SY_GGUF_U64;
    if (!is_signed && !is_unsigned) {
        return wrong_type(value, "an integer", error);
    }
    sy_status status = check_index(value, i, error);
    if (status != SY_OK) {
        return status;
    }
    uint64_t bits = 0;
    memcpy(&bits, value->bytes + i * n_bytes, n_bytes); /* little-endian: low bytes first */
    uint32_t n_free = 64 - 8 * n_bytes;
    *out_negative = is_signed && (bits << n_free) >> 63 != 0;
    *out_bits = *out_negative && n_free > 0 ? bits | ~UINT64_C(0) << (64 - n_free) : bits;
    return SY_OK;
}

sy_status sy_gguf_value_i64(const sy_gguf_value *value, uint64_t i, int64_t *out_number,
                            sy_error *error) {
    uint64_t bits = 0;
    bool negative = false;
    sy_status status = read_integer(value, i, &bits, &negative, error);
    if (status != SY_OK) {
        return status;
    }
    if (!negative && bits > INT64_MAX) {
        return out_of_range(value, "i64", error);
    }
    memcpy(out_number, &bits, sizeof(bits));
    return SY_OK;
}

sy_status sy_gguf_value_u64(const sy_gguf_value *value, uint64_t i, uint64_t *out_number,
                            sy_error *error) {
    uint64_t bits = 0;
    bool negative = false;
    sy_status status = read_integer(value, i, &bits, &negative, error);
    if (status != SY_OK) {
        return status;
    }
    if (negative) {
        return out_of_range(value, "u64", error);
    }
    *out_number = bits;
    return SY_OK;
}

sy_status sy_gguf_value_u32(const sy_gguf_value *value, uint64_t i, uint32_t *out_number,
                            sy_error *error) {
    uint64_t bits = 0;
    bool negative = false;
    sy_status status = read_integer(value, i, &bits, &negative, error);
    if (status != SY_OK) {
        return status;
    }
    if (negative || bits > UINT32_MAX) {
        return out_of_range(value, "u32", error);
    }
    *out_number = (uint32_t)bits;
    return SY_OK;
}

sy_status sy_gguf_value_f64(const sy_gguf_value *value, uint64_t i, double *out_number,
                            sy_error *error) {
    if (value->type != SY_GGUF_F32 && value->type != SY_GGUF_F64) {
        return wrong_type(value, "a float", error);
    }
    sy_status status = check_index(value, i, error);
    if (status != SY_OK) {
        return status;
    }
    if (value->type == SY_GGUF_F32) {
        float number = 0.0f;
        memcpy(&number, value->bytes + i * sizeof(number), sizeof(number));
        *out_number = (double)number;
        return SY_OK;
    }
    memcpy(out_number, value->bytes + i * sizeof(double), sizeof(double));
    return SY_OK;
}

sy_status sy_gguf_value_f32(const sy_gguf_value *value, uint64_t i, float *out_number,
                            sy_error *error) {
    double number = 0.0;
    sy_status status = sy_gguf_value_f64(value, i, &number, error);
    if (status != SY_OK) {
        return status;
    }
    if (isfinite(number) && fabs(number) > (double)FLT_MAX) {
        return out_of_range(value, "f32", error);
    }
    *out_number = (float)number;
    return SY_OK;
}

sy_status sy_gguf_value_bool(const sy_gguf_value *value, uint64_t i, int *out_flag,
                             sy_error *error) {
    if (value->type != SY_GGUF_BOOL) {
        return wrong_type(value, "a bool", error);
    }
    sy_status status = check_index(value, i, error);
    if (status != SY_OK) {
        return status;
    }
    *out_flag = value->bytes[i] != 0;
    return SY_OK;
}

sy_status sy_gguf_value_string(const sy_gguf_value *value, uint64_t i, sy_gguf_string *out_string,
                               sy_error *error) {
    if (value->type != SY_GGUF_STRING) {
        return wrong_type(value, "a string", error);
    }
    sy_status status = check_index(value, i, error);
    if (status != SY_OK) {
        return status;
    }
    const uint8_t *length = value->file + value->string_offsets[i];
    out_string->n_bytes = sy__gguf_load_u64(length);
    out_string->bytes = (const char *)length + 8;
    return SY_OK;
}

static sy_status find_single(const sy_gguf *gguf, const char *key, const char *wanted,
                             sy_gguf_value *out_value, sy_error *error) {
    if (!sy_gguf_find(gguf, key, out_value)) {
        sy_error_set(error, SY_NOT_FOUND, "The file has no key '%s'.", key);
        sy_error_hint(error, "Write the file again with a current conversion tool.");
        sy_error_at(error, gguf->facts.origin, UINT64_MAX);
        return SY_NOT_FOUND;
    }
    return out_value->is_array ? wrong_type(out_value, wanted, error) : SY_OK;
}

/* The seven calls differ in type alone: find the key, read element 0, name the file on failure. */
#define GET(suffix, type, wanted)                                                   \
    sy_status sy_gguf_get_##suffix(const sy_gguf *gguf, const char *key, type *out, \
                                   sy_error *error) {                               \
        sy_gguf_value value;                                                        \
        sy_status status = find_single(gguf, key, (wanted), &value, error);         \
        if (status == SY_OK) {                                                      \
            status = sy_gguf_value_##suffix(&value, 0, out, error);                 \
        }                                                                           \
        if (status != SY_OK && error != NULL) {                                     \
            sy_error_at(error, gguf->facts.origin, error->file_offset);             \
        }                                                                           \
        return status;                                                              \
    }

GET(u32, uint32_t, "an integer")
GET(u64, uint64_t, "an integer")
GET(i64, int64_t, "an integer")
GET(f32, float, "a float")
GET(f64, double, "a float")
GET(bool, int, "a bool")
GET(string, sy_gguf_string, "a string")

int sy_gguf_string_is(sy_gguf_string string, const char *text) {
    size_t n_bytes = strlen(text);
    return string.n_bytes == n_bytes && memcmp(string.bytes, text, n_bytes) == 0;
}
