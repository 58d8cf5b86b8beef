/* SPDX-License-Identifier: Apache-2.0 */
/* An adapter file, whatever its format: pairs of matrices by the name of the tensor they are for.
 * For llm/lora only. */
#ifndef SY_LORA_FILE_H
#define SY_LORA_FILE_H

#include "base/memory.h"
#include "switchyard/gguf.h"
#include "switchyard/limits.h"
#include "switchyard/safetensors.h"

/* Row-major, in the mapping of the file or a copy. */
typedef struct sy__lora_matrix {
    const void *data;
    uint64_t n_rows, n_columns;
    sy_element_type type;
} sy__lora_matrix;

/* y += scale * (x A^T) B^T. */
typedef struct sy__lora_pair {
    char target[SY_LIMIT_NAME_BYTES + 1]; /* "blk.0.attn_q.weight", or as transformers names it */
    sy__lora_matrix a, b;                 /* [rank, inputs], [outputs, rank] */
    float scale;
} sy__lora_pair;

typedef struct sy__lora_file {
    const sy_allocator *allocator;
    sy_gguf *gguf;               /* or */
    sy_safetensors *safetensors; /* names and rows of queries and keys are those of transformers */
    sy__arena copies;            /* of matrices */
    char origin[SY_ERROR_ORIGIN_BYTES];
    char architecture[64]; /* "" where the format does not tell */
    sy__lora_pair *pairs;
    uint32_t n_pairs;
    size_t capacity;
    uint32_t rank; /* the largest */
    uint64_t n_bytes;
} sy__lora_file;

/* Opens an adapter and proves everything that can be proven without its base model. */
SY_MUST_CHECK sy_status sy__lora_file_open(const sy_allocator *allocator, const char *path,
                                           sy__lora_file *out_file, sy_error *error);
void sy__lora_file_close(sy__lora_file *file);

/* Sets status and sentence, with the file as origin; answers status. */
sy_status sy__lora_fail(const sy__lora_file *file, sy_error *error, sy_status status,
                        const char *format, ...) SY_PRINTF(4, 5);
/* A new pair; NULL after a failure. */
sy__lora_pair *sy__lora_file_add(sy__lora_file *file, const char *target, sy_error *error);
/* Both halves of every pair are there, of one rank and a type that can be run. */
SY_MUST_CHECK sy_status sy__lora_file_check(sy__lora_file *file, sy_error *error);

/* matrix.c */
uint64_t sy__lora_matrix_bytes(const sy__lora_matrix *matrix);
/* Replaces a checked matrix by a copy where delegates could not read it: blocks become f32, what
 * lies askew is moved, and with n_pairs > 0 rows of heads of 2 n_pairs go from the order of the
 * file's kind (GGUF or folder) to that of the other. Copies live with the file. */
SY_MUST_CHECK sy_status sy__lora_matrix_fit(sy__lora_file *file, sy__lora_matrix *matrix,
                                            uint64_t n_pairs, sy_error *error);

/* gguf_file.c and peft_file.c: open the file and fill the pairs; the caller closes. */
SY_MUST_CHECK sy_status sy__lora_open_gguf(sy__lora_file *file, const char *path, sy_error *error);
SY_MUST_CHECK sy_status sy__lora_open_peft(sy__lora_file *file, const char *path, sy_error *error);
/* Whether a path is a folder or names safetensors. */
bool sy__lora_is_peft(const char *path);

#endif
