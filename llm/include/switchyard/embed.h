/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Embeddings and reranking with encoder models, and with decoders whose file says how their rows
 * are pooled (pooling_type): a text becomes one vector, or a document gets a number for how well it
 * answers a query. An instruction in front of a text is the caller's to put there.
 */
#ifndef SWITCHYARD_EMBED_H
#define SWITCHYARD_EMBED_H

#include "switchyard/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How the rows of a text become one vector; the numbers are those of GGUF's key pooling_type. */
typedef enum sy_pooling {
    SY_POOLING_MODEL = 0, /* as the file says, the mean where it says nothing */
    SY_POOLING_MEAN = 1,
    SY_POOLING_CLS = 2, /* the first row */
    SY_POOLING_LAST = 3
} sy_pooling;

typedef struct sy_embed_options {
    uint32_t struct_bytes;
    sy_pooling pooling;
    uint32_t keep_length; /* 1: as pooled; 0: scaled to Euclidean length 1 */
} sy_embed_options;

/* Tokens of one text, with the special tokens that the model wants. */
typedef struct sy_embed_text {
    const int32_t *tokens;
    uint32_t n_tokens;
} sy_embed_text;

/* Vectors of texts; several go through the model in one step where they fit (n_sequences and
 * n_batch_tokens of the engine), which changes no vector. NULL options: defaults.
 * shape: out_vectors [n_texts, n_embedding] f32  unit: -  owner: caller  errors:
 * FAILED_PRECONDITION for a decoder without a pooling, OUT_OF_RANGE for a text that is empty or
 * longer than the model or the engine takes, INVALID_ARGUMENT  thread: one at a time per engine
 * cost: steps, heap for one step's tokens  since: 0.1
 * source: Reimers and Gurevych, arXiv 1908.10084 (pooling) */
SY_MUST_CHECK sy_status sy_engine_embed(sy_engine *engine, const sy_embed_text *texts,
                                        uint32_t n_texts, const sy_embed_options *options,
                                        float *out_vectors, sy_error *error);

/* Where the numbers of sy_engine_rerank come from. */
typedef enum sy_rerank_method {
    SY_RERANK_CLASSIFIER = 1, /* the model's own head over query and document in one text */
    SY_RERANK_COSINE = 2      /* cosine of their embeddings, -1 to 1: the model has no head */
} sy_rerank_method;

/* How the engine's model reranks. A file has a head when it has a tensor cls.output.weight.
 * shape: -  unit: -  owner: -  errors: none  thread: any
 * cost: O(log tensors)  since: 0.1  source: names of GGUF */
sy_rerank_method sy_engine_rerank_method(const sy_engine *engine);

/* Tells of each document how well it answers the query: the higher the better. The numbers of a
 * classifier are its logits, or the share of yes where it has two (yes and no). A decoder reads the
 * text of the file's template (tokenizer.chat_template.rerank), control tokens in it included, so
 * query and document must come from those who may write them.
 * shape: documents, out_scores [n_documents]  unit: logits, or cosine  owner: caller
 * errors: as embed, UNIMPLEMENTED for a head of an unknown form  thread: one at a time per engine
 * cost: heap for tokens and vectors, a row of the step for each token  since: 0.1
 * source: Nogueira and Cho, arXiv 1901.04085 (cross-encoder) */
SY_MUST_CHECK sy_status sy_engine_rerank(sy_engine *engine, const char *query,
                                         const char *const *documents, uint32_t n_documents,
                                         float *out_scores, sy_error *error);

#ifdef __cplusplus
}
#endif
#endif
