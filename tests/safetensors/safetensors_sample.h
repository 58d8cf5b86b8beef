/* SPDX-License-Identifier: Apache-2.0 */
/* A small file in memory: three tensors of 24 bytes of data behind a header. */
#ifndef SY_TESTS_SAFETENSORS_SAMPLE_H
#define SY_TESTS_SAFETENSORS_SAMPLE_H

#include "harness.h"
#include "switchyard/safetensors.h"

#define SAMPLE_HEADER                                                           \
    "{\"__metadata__\":{\"format\":\"pt\"},"                                    \
    "\"b.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}," \
    "\"a.bias\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[16,20]},"   \
    "\"q\\u0041\":{\"dtype\":\"I8\",\"shape\":[4,1],\"data_offsets\":[20,24]}}"
#define SAMPLE_DATA_BYTES 24u

typedef struct sample_file {
    size_t n_bytes;
    uint8_t bytes[4096];
} sample_file;

/* A header, and behind it n bytes of data that count up. */
static inline void sample_build(sample_file *file, const char *header, size_t n_data) {
    uint64_t n_header = strlen(header);
    CHECK(8 + n_header + n_data <= sizeof(file->bytes));
    for (size_t i = 0; i < 8; i++) {
        file->bytes[i] = (uint8_t)(n_header >> (8 * i));
    }
    memcpy(file->bytes + 8, header, n_header);
    for (size_t i = 0; i < n_data; i++) {
        file->bytes[8 + n_header + i] = (uint8_t)i;
    }
    file->n_bytes = 8 + n_header + n_data;
}

/* First and last byte of every tensor, so that nothing is optimised away. */
static inline uint64_t sample_walk(const sy_safetensors *safetensors) {
    sy_safetensor tensor;
    uint64_t sum = 0;
    for (uint32_t i = 0; sy_safetensors_at(safetensors, i, &tensor); i++) {
        const uint8_t *bytes = tensor.data;
        sum += tensor.n_bytes > 0 ? (uint64_t)bytes[0] + bytes[tensor.n_bytes - 1] : 0;
        sum += strlen(tensor.name) + strlen(tensor.dtype);
    }
    return sum;
}

#endif
