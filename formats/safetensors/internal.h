/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the safetensors reader. */
#ifndef SY_SAFETENSORS_INTERNAL_H
#define SY_SAFETENSORS_INTERNAL_H

#include "base/file_map.h"
#include "json/json_read.h"
#include "switchyard/safetensors.h"

/* Headers: the largest models have some MiB of them; the format's own reader stops at 100 MB. */
#define SY__SAFETENSORS_HEADER_BYTES_MAX (100u << 20)
#define SY__SAFETENSORS_FILES_MAX 4096u
#define SY__SAFETENSORS_PATH_BYTES 4096u

typedef struct sy__safetensors_file {
    sy__file_map map; /* bytes NULL when the bytes are the caller's */
    const uint8_t *bytes;
    uint64_t n_bytes;
    const char *name; /* for errors */
} sy__safetensors_file;

struct sy_safetensors {
    const sy_allocator *allocator;
    sy__arena arena; /* names */
    sy_safetensors_facts facts;
    sy__safetensors_file *files;
    size_t capacity_files;
    sy_safetensor *tensors; /* sorted by name once all files are read */
    size_t capacity_tensors;
};

/* header.c: adds the tensors of one file, which was appended to `files`. */
sy_status sy__safetensors_read_file(sy_safetensors *safetensors, uint32_t i_file, sy_error *error);

#endif
