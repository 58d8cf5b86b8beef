/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Importance matrices: for each matrix of a model the sums of squares of what its columns are
 * multiplied with, measured while the model reads a text. Quantisers weigh columns by them
 * (quantize_model.h). Files are those of llama.cpp.
 */
#ifndef SWITCHYARD_IMPORTANCE_H
#define SWITCHYARD_IMPORTANCE_H

#include "switchyard/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sy_importance sy_importance;

/* Starts with nothing measured. A NULL allocator is the heap.
 * shape: -  unit: -  owner: caller, sy_importance_destroy  errors: RESOURCE_EXHAUSTED
 * thread: one at a time per object  cost: O(1)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_importance_create(const sy_allocator *allocator,
                                             sy_importance **out_importance, sy_error *error);

/* Ends it. NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time
 * cost: O(tensors)  since: 0.1  source: - */
void sy_importance_destroy(sy_importance *importance);

/* Adds what a file holds: GGUF, or the older form without tensors, which does not say how many rows
 * it has seen (512 a chunk are taken). After a failure nothing was added.
 * shape: -  unit: -  owner: -  errors: those of opening; INVALID_ARGUMENT no importance matrix, or
 * of another model than what is there; DATA_LOSS damaged; OUT_OF_RANGE past a limit;
 * RESOURCE_EXHAUSTED  thread: one at a time  cost: O(bytes)  since: 0.1  source: llama-imatrix */
SY_MUST_CHECK sy_status sy_importance_read(sy_importance *importance, const char *path,
                                           sy_error *error);

/* Writes all of it as GGUF, whole or not at all.
 * shape: NAME.in_sum2 f32 [matrices, columns], NAME.counts f32 [matrices, 1]  unit: -
 * owner: -  errors: FAILED_PRECONDITION nothing was measured; those of writing
 * thread: one at a time  cost: O(bytes)  since: 0.1  source: llama-imatrix */
SY_MUST_CHECK sy_status sy_importance_write(const sy_importance *importance, const char *path,
                                            sy_error *error);

/* What there is. */
typedef struct sy_importance_facts {
    uint32_t n_tensors;
    uint32_t n_chunks;       /* read so far */
    uint32_t n_chunk_tokens; /* of one chunk; 0: not known */
    uint32_t n_texts;
    const char *text; /* name of the newest; "" without one; lives until the next call that adds */
} sy_importance_facts;

/* Figures of the whole.
 * shape: -  unit: -  owner: caller's struct  errors: none  thread: one at a time
 * cost: O(1)  since: 0.1  source: - */
void sy_importance_get_facts(const sy_importance *importance, sy_importance_facts *out_facts);

/* A text to read. */
typedef struct sy_importance_text {
    uint32_t struct_bytes;   /* sizeof(sy_importance_text) */
    uint32_t n_chunk_tokens; /* each chunk is read on its own; 0: 512, or what the engine takes */
    const char *name;        /* for the file */
    const int32_t *tokens;
    uint64_t n_tokens;
    uint32_t i_first_chunk; /* those before it were read already */
    uint32_t n_chunks_most; /* stop after so many chunks of the text; 0: its end */
    /* Told after each chunk; what it answers but 0 ends the call with CANCELLED. May be NULL. */
    int (*progress)(void *user, uint32_t n_chunks_read, uint32_t n_chunks);
    void *progress_user;
} sy_importance_text;

/* Lets the model read a text and adds what its products read. The engine was made with
 * options.measure_importance. Each chunk begins with the vocabulary's begin token where texts do.
 * After CANCELLED all is well up to that chunk; after another failure part of a chunk was added.
 * shape: tokens [n_tokens]  unit: -  owner: borrows all during the call  errors:
 * FAILED_PRECONDITION engine made otherwise, or with stored prefixes; INVALID_ARGUMENT no tokens,
 * another model or chunk size than what is there; OUT_OF_RANGE activations that are no numbers;
 * CANCELLED; those of sessions and delegates  thread: one at a time per engine
 * cost: prefill of the text  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_importance_measure(sy_importance *importance, sy_engine *engine,
                                              const sy_importance_text *text, sy_error *error);

#ifdef __cplusplus
}
#endif
#endif
