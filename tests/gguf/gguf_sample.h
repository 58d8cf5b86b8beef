/* SPDX-License-Identifier: Apache-2.0 */
/* The sample file that the tests read and spoil, and a walk that reads all an object offers. */
#ifndef SY_TESTS_GGUF_SAMPLE_H
#define SY_TESTS_GGUF_SAMPLE_H

#include "gguf_writer.h"

#define SAMPLE_KEYS 29u
#define SAMPLE_TENSORS 4u

typedef struct sample_number {
    const char *name, *array_name;
    sy_gguf_type type;
    uint32_t n_bytes;
    uint64_t bits; /* little-endian */
} sample_number;

/* One number of every type: all but bool are at the end of their range. */
static const sample_number sample_numbers[] = {
    {"k.u8", "a.u8", SY_GGUF_U8, 1, 0xff},
    {"k.i8", "a.i8", SY_GGUF_I8, 1, 0x80},
    {"k.u16", "a.u16", SY_GGUF_U16, 2, 0xffff},
    {"k.i16", "a.i16", SY_GGUF_I16, 2, 0x8000},
    {"k.u32", "a.u32", SY_GGUF_U32, 4, 0xffffffff},
    {"k.i32", "a.i32", SY_GGUF_I32, 4, 0x80000000},
    {"k.f32", "a.f32", SY_GGUF_F32, 4, 0x3fc00000}, /* 1.5 */
    {"k.bool", "a.bool", SY_GGUF_BOOL, 1, 1},
    {"k.u64", "a.u64", SY_GGUF_U64, 8, 0xffffffffffffffff},
    {"k.i64", "a.i64", SY_GGUF_I64, 8, 0x8000000000000000},
    {"k.f64", "a.f64", SY_GGUF_F64, 8, 0x7fe0000000000000}, /* 2^1023 */
};
#define SAMPLE_NUMBERS (sizeof(sample_numbers) / sizeof(sample_numbers[0]))

static inline void sample_keys(gguf_writer *writer) {
    writer_key_string(writer, "general.architecture", "sample");
    writer_key_u32(writer, "general.alignment", 32);
    for (size_t i = 0; i < SAMPLE_NUMBERS; i++) {
        const sample_number *number = &sample_numbers[i];
        writer_key_number(writer, number->name, number->type, &number->bits, number->n_bytes);
    }
    for (size_t i = 0; i < SAMPLE_NUMBERS; i++) {
        const sample_number *number = &sample_numbers[i];
        writer_key_array(writer, number->array_name, number->type, 2);
        writer_put(writer, &number->bits, number->n_bytes);
        writer_put(writer, "\0\0\0\0\0\0\0", number->n_bytes);
    }
    writer_key_array(writer, "a.string", SY_GGUF_STRING, 3);
    writer_string(writer, "a.string.0", "");
    writer_string(writer, "a.string.1", "b");
    writer_string(writer, "a.string.2", "a longer one");
    writer_key_array(writer, "a.empty", SY_GGUF_STRING, 0);
    writer_key_string(writer, "s.empty", "");
    writer_key_string(writer, "s.dup1", "one");
    writer_key_string(writer, "s.dup2", "two");
}

/* Tensors of 64, 36, 68 and 16 bytes at offsets 0, 64, 128, 224. */
static inline void sample_build(gguf_writer *writer) {
    writer_header(writer, SAMPLE_TENSORS, SAMPLE_KEYS);
    sample_keys(writer);
    writer_tensor(writer, "t.f32", 2, (const uint64_t[]){8, 2}, SY_TYPE_F32, 0);
    writer_tensor(writer, "t.q40", 2, (const uint64_t[]){32, 2}, SY_TYPE_Q4_0, 64);
    writer_tensor(writer, "t.q80", 1, (const uint64_t[]){64}, SY_TYPE_Q8_0, 128);
    writer_tensor(writer, "t.f16", 4, (const uint64_t[]){2, 1, 2, 2}, SY_TYPE_F16, 224);
    writer_align(writer, 32);
    writer_mark(writer, "data", "first", 8);
    for (uint32_t i = 0; i < 240; i++) {
        writer_put(writer, &(uint8_t){(uint8_t)i}, 1);
    }
}

/* Reads every element of every key and the ends of every tensor; answers a sum so that nothing is
 * optimised away. Every refusal must be a sentence. */
static inline uint64_t sample_walk(const sy_gguf *gguf) {
    uint64_t sum = 0;
    sy_gguf_value value;
    sy_gguf_tensor tensor;
    sy_error error;
    for (uint32_t i = 0; sy_gguf_key_at(gguf, i, &value); i++) {
        for (uint64_t j = 0; j <= value.n_elements; j++) {
            int64_t number = 0;
            double real = 0.0;
            int flag = 0;
            sy_gguf_string string = {NULL, 0};
            int n_ok = 0;
            n_ok += sy_gguf_value_i64(&value, j, &number, &error) == SY_OK;
            n_ok += sy_gguf_value_f64(&value, j, &real, &error) == SY_OK;
            n_ok += sy_gguf_value_bool(&value, j, &flag, &error) == SY_OK;
            n_ok += sy_gguf_value_string(&value, j, &string, &error) == SY_OK;
            CHECK(n_ok <= (j < value.n_elements ? 1 : 0));
            sum += (uint64_t)number + (uint64_t)flag + (real > 0.5);
            sum += string.n_bytes > 0 ? (uint8_t)string.bytes[string.n_bytes - 1] : 0u;
        }
    }
    for (uint32_t i = 0; sy_gguf_tensor_at(gguf, i, &tensor); i++) {
        const uint8_t *bytes = tensor.data;
        sum += bytes[0] + (uint64_t)bytes[tensor.n_bytes - 1] + tensor.dims[3];
    }
    return sum;
}

#endif
