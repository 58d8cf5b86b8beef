/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of importance matrices. */
#ifndef SY_LLM_QUANTIZE_IMPORTANCE_H
#define SY_LLM_QUANTIZE_IMPORTANCE_H

#include "base/memory.h"
#include "switchyard/gguf.h"
#include "switchyard/importance.h"
#include "switchyard/limits.h"

/* One tensor of the model. Files of the older form do not tell the matrices of a stack apart: all
 * its columns then stand in one row. */
typedef struct sy__importance_entry {
    char name[SY_LIMIT_NAME_BYTES + 1];
    uint64_t n_columns, n_matrices;
    double *sums;   /* [n_matrices, n_columns] */
    double *counts; /* [n_matrices] */
} sy__importance_entry;

struct sy_importance {
    const sy_allocator *allocator;
    sy__importance_entry *entries;
    uint32_t n_entries, n_texts;
    size_t entries_capacity, texts_capacity;
    const char **texts; /* names, in the arena */
    sy__arena arena;
    uint32_t n_chunks, n_chunk_tokens;
};

/* The entry of a name, made where there is none; writes its index. */
SY_MUST_CHECK sy_status sy__importance_need(sy_importance *importance, const char *name,
                                            uint64_t n_columns, uint64_t n_matrices,
                                            uint32_t *out_entry, sy_error *error);
/* Frees the entries from n_entries on. */
void sy__importance_cut(sy_importance *importance, uint32_t n_entries);
/* Adds all of `from`; nothing after a failure. */
SY_MUST_CHECK sy_status sy__importance_merge(sy_importance *importance, const sy_importance *from,
                                             sy_error *error);
SY_MUST_CHECK sy_status sy__importance_note_text(sy_importance *importance, const char *name,
                                                 size_t n_bytes, sy_error *error);
/* Chunks of n_chunk_tokens each were read. */
void sy__importance_note_chunks(sy_importance *importance, uint32_t n, uint32_t n_chunk_tokens);

/* Weights of the columns of a tensor, dims[0] numbers for each of its matrices; NULL when nothing
 * is said of it. `importance` NULL: none. */
SY_MUST_CHECK sy_status sy__importance_of(const sy_allocator *allocator,
                                          const sy_importance *importance,
                                          const sy_gguf_tensor *tensor, float **out_weights,
                                          sy_error *error);

/* What an engine that is being measured adds to. */
typedef struct sy__observer {
    sy_importance *importance;
    uint32_t *entries; /* for each observed product of the graph */
} sy__observer;
/* importance_measure.c: adds what the newest step summed up. */
SY_MUST_CHECK sy_status sy__importance_add_step(sy_engine *engine, uint32_t n_tokens,
                                                sy_error *error);

#endif
