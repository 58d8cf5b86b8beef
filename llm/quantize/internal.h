/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of whole-model quantisation: what is chosen for each tensor, and how it is made. */
#ifndef SY_LLM_QUANTIZE_INTERNAL_H
#define SY_LLM_QUANTIZE_INTERNAL_H

#include "base/memory.h"
#include "base/team.h"
#include "quantize/importance.h"
#include "switchyard/quantize.h"
#include "switchyard/quantize_model.h"

/* A named mixture. */
typedef struct sy__mixture {
    const char *name;
    sy_element_type type; /* of most matrices */
    uint32_t file_type;   /* general.file_type */
} sy__mixture;

/* NULL for an unknown name. */
const sy__mixture *sy__mixture_find(const char *name);

/* Facts of a model that choices depend on. */
typedef struct sy__mixture_model {
    uint32_t n_layers, n_gqa, n_experts; /* n_gqa: heads for each key/value head */
    bool tied;                           /* the embedding is the output matrix */
    bool has_importance, pure;

} sy__mixture_model;

/* The type for a tensor; its own type when it stays as it is. */
sy_element_type sy__mixture_type(const sy__mixture *mixture, const sy__mixture_model *model,
                                 const sy_gguf_tensor *tensor);

/* rows.c: one tensor into another type. */
typedef struct sy__rows_job {
    const sy_allocator *allocator;
    sy__team *team;
    const sy_gguf_tensor *tensor; /* but for its data: */
    const uint8_t *source;        /* its rows from first_source on */
    uint64_t first_source;
    sy_element_type to;
    const float *importance; /* or NULL */
    uint32_t n_pairs;        /* > 0: rows of heads of 2 n_pairs go from half-split to interleaved */
} sy__rows_job;

/* Rows [first, first + n) of the result into out_bytes. */
SY_MUST_CHECK sy_status sy__rows_run(const sy__rows_job *job, uint64_t first, uint64_t n,
                                     uint8_t *out_bytes, sy_error *error);
/* Rows of a tensor: all dimensions but the innermost; 1 for a vector that stays a vector. */
uint64_t sy__rows_count(const sy_gguf_tensor *tensor);

#endif
