/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole models into block types: a GGUF file or a model folder becomes a GGUF file, tensor by
 * tensor, so that memory stays small. A mixture names the type of most matrices and, by the field's
 * rules, better types for those that suffer most.
 */
#ifndef SWITCHYARD_QUANTIZE_MODEL_H
#define SWITCHYARD_QUANTIZE_MODEL_H

#include "switchyard/gguf.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What happened to one tensor. */
typedef struct sy_quantized_tensor {
    sy_gguf_string name;
    sy_element_type from, to;
    uint64_t n_bytes_before, n_bytes_after;
    uint32_t i_tensor, n_tensors;
    uint32_t has_importance; /* 1: weighed by the importance matrix */
} sy_quantized_tensor;

/* Settings. Zero is the default of each. */
typedef struct sy_quantize_options {
    uint32_t struct_bytes;    /* sizeof(sy_quantize_options) */
    const char *mixture;      /* "Q4_K_M", "Q8_0", "f16" ...; case does not matter */
    const char *imatrix_path; /* importance matrix (importance.h, or of llama.cpp), or NULL */
    uint32_t pure;            /* 1: every matrix gets the mixture's own type */
    uint32_t n_workers;       /* 0: one for each core */
    uint64_t max_bytes;       /* in memory: more is refused before it is made; 0: no limit */
    /* Told after each tensor; may be NULL. */
    void (*progress)(void *user, const sy_quantized_tensor *tensor);
    void *progress_user;
} sy_quantize_options;

/* Writes the quantised model to `path`, whole or not at all; keys, vocabulary and chat template
 * come along. Llama's rows are put into the order that GGUF has. Bits do not depend on n_workers.
 * shape: -  unit: -  owner: caller keeps gguf  errors: INVALID_ARGUMENT unknown mixture, or weights
 * that are no numbers, by tensor; UNIMPLEMENTED weights that are quantised already; those of
 * reading the matrix and of writing  thread: one at a time  cost: reads and writes the model once
 * since: 0.1  source: llama.cpp's mixtures */
SY_MUST_CHECK sy_status sy_model_quantize(const sy_allocator *allocator, const sy_gguf *gguf,
                                          const char *path, const sy_quantize_options *options,
                                          sy_error *error);

/* The same into memory: an open model whose quantised tensors lie on the heap and whose others lie
 * where they were. Pages of the source that were read are given back.
 * shape: -  unit: -  owner: takes gguf, also when it fails; result: caller, sy_gguf_close
 * errors: as sy_model_quantize; RESOURCE_EXHAUSTED with the bytes  thread: one at a time
 * cost: reads the model once  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_model_quantize_in_memory(const sy_allocator *allocator, sy_gguf *gguf,
                                                    const sy_quantize_options *options,
                                                    sy_gguf **out_gguf, sy_error *error);

/* Name of mixture i for a list, NULL past the end.
 * shape: -  unit: -  owner: static  errors: NULL  thread: any
 * cost: O(1)  since: 0.1  source: - */
const char *sy_quantize_mixture_at(uint32_t i);

#ifdef __cplusplus
}
#endif
#endif
