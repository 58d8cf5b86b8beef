/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reranking. A cross-encoder reads query and document as one text; the first row of its hidden
 * states goes through an optional dense layer with tanh (cls) and one row of weights (cls.output).
 * Without a head, the cosine of the two embeddings stands in.
 */
#include "embed/embed_internal.h"
#include "engine/engine_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A layer of the head, weights [n_outputs, n_inputs] and bias [n_outputs] or none. */
typedef struct layer {
    sy_gguf_tensor weight, bias;
    bool has_bias;
} layer;

typedef struct token_list {
    int32_t *ids;
    size_t n, capacity;
} token_list;

static float half_to_float(uint16_t half) {
    int exponent = half >> 10 & 31;
    double magnitude =
        exponent == 0 ? ldexp(half & 1023, -24) : ldexp(1024 + (half & 1023), exponent - 25);
    magnitude = exponent == 31 ? ((half & 1023) != 0 ? (double)NAN : (double)INFINITY) : magnitude;
    return (float)(half >> 15 != 0 ? -magnitude : magnitude);
}

static float element(const sy_gguf_tensor *tensor, uint64_t i) {
    float number = 0;
    uint16_t half = 0;
    if (tensor->type == SY_TYPE_F32) {
        memcpy(&number, (const uint8_t *)tensor->data + i * 4, 4);
        return number;
    }
    memcpy(&half, (const uint8_t *)tensor->data + i * 2, 2);
    return half_to_float(half);
}

static bool is_plain(const sy_gguf_tensor *tensor) {
    return tensor->type == SY_TYPE_F32 || tensor->type == SY_TYPE_F16;
}

/* Finds a layer; false with SY_OK when the file has none. */
static bool find_layer(const sy_engine *engine, const char *name, uint64_t n_outputs,
                       layer *out_layer, sy_status *inout_status, sy_error *error) {
    char path[64];
    snprintf(path, sizeof(path), "%s.weight", name);
    if (!sy_gguf_find_tensor(engine->gguf, path, &out_layer->weight)) {
        return false;
    }
    const sy_gguf_tensor *weight = &out_layer->weight;
    snprintf(path, sizeof(path), "%s.bias", name);
    out_layer->has_bias = sy_gguf_find_tensor(engine->gguf, path, &out_layer->bias) != 0;
    if (!is_plain(weight) || weight->dims[0] != engine->info.n_embedding ||
        weight->n_elements != n_outputs * engine->info.n_embedding ||
        (out_layer->has_bias &&
         (!is_plain(&out_layer->bias) || out_layer->bias.n_elements != n_outputs))) {
        sy_error_set(error, SY_UNIMPLEMENTED,
                     "The layer '%s' of the model's head is not one of %" PRIu64
                     " outputs in f32 or f16.",
                     name, n_outputs);
        *inout_status = SY_UNIMPLEMENTED;
    }
    return true;
}

static double apply(const layer *l, uint64_t i_output, const float *inputs, uint32_t width) {
    double sum = l->has_bias ? (double)element(&l->bias, i_output) : 0;
    for (uint32_t i = 0; i < width; i++) {
        sum += (double)element(&l->weight, i_output * width + i) * (double)inputs[i];
    }
    return sum;
}

static sy_status classify(const sy_engine *engine, const float *row, float *between,
                          float *out_score, sy_error *error) {
    layer dense, output;
    sy_status status = SY_OK;
    const uint32_t width = engine->info.n_embedding;
    bool has_dense = find_layer(engine, "cls", width, &dense, &status, error);
    (void)find_layer(engine, "cls.output", 1, &output, &status, error);
    if (status != SY_OK) {
        return status;
    }
    for (uint32_t i = 0; has_dense && i < width; i++) {
        between[i] = (float)tanh(apply(&dense, i, row, width));
    }
    *out_score = (float)apply(&output, 0, has_dense ? between : row, width);
    return SY_OK;
}

static sy_status encode(const sy_engine *engine, const char *text, token_list *out_list,
                        sy_error *error) {
    size_t n_bytes = strlen(text);
    const sy_tokenizer *tokenizer = engine->tokenizer;
    if (tokenizer == NULL) {
        return sy_error_set(error, SY_FAILED_PRECONDITION, "The model has no vocabulary.");
    }
    sy_status status = sy_tokenizer_encode(tokenizer, text, n_bytes, SY_ENCODE_ADD_SPECIAL, NULL, 0,
                                           &out_list->n, error);
    if (status != SY_OK) {
        return status;
    }
    out_list->capacity = out_list->n;
    out_list->ids = sy__alloc_array(engine->allocator, out_list->capacity, sizeof(int32_t));
    if (out_list->ids == NULL) {
        return sy__no_memory(error, out_list->n * sizeof(int32_t), "the tokens of a text");
    }
    return sy_tokenizer_encode(tokenizer, text, n_bytes, SY_ENCODE_ADD_SPECIAL, out_list->ids,
                               out_list->capacity, &out_list->n, error);
}

static void free_list(const sy_engine *engine, token_list *list) {
    sy__free_array(engine->allocator, list->ids, list->capacity, sizeof(int32_t));
}

/* "[CLS] query [SEP] document [SEP]" in WordPiece, "<s> query </s></s> document </s>" elsewhere,
 * and behind the tokens their types: 0 up to the query's mark, 1 for the rest. */
static sy_status join(const sy_engine *engine, const token_list *query, const token_list *document,
                      token_list *out_pair, sy_error *error) {
    sy_gguf_string kind = {.bytes = "", .n_bytes = 0};
    sy_status found = sy_gguf_get_string(engine->gguf, "tokenizer.ggml.model", &kind, NULL);
    bool is_wordpiece = found == SY_OK && sy_gguf_string_is(kind, "bert");
    size_t n_most = query->n + document->n + 1;
    out_pair->capacity = 2 * n_most;
    out_pair->ids = sy__alloc_array(engine->allocator, out_pair->capacity, sizeof(int32_t));
    if (out_pair->ids == NULL) {
        return sy__no_memory(error, out_pair->capacity * sizeof(int32_t), "a pair of texts");
    }
    size_t n_begin = document->n > 0 && query->n > 0 && document->ids[0] == query->ids[0] ? 1 : 0;
    memcpy(out_pair->ids, query->ids, query->n * sizeof(int32_t));
    size_t n = query->n;
    if (!is_wordpiece && n > 0) {
        out_pair->ids[n] = query->ids[n - 1];
        n++;
    }
    size_t n_first = n;
    memcpy(out_pair->ids + n, document->ids + n_begin, (document->n - n_begin) * sizeof(int32_t));
    out_pair->n = n + document->n - n_begin;
    for (size_t i = 0; i < out_pair->n; i++) {
        out_pair->ids[out_pair->n + i] = i < n_first ? 0 : 1;
    }
    return SY_OK;
}

static sy_status text_of(const token_list *list, sy_embed_text *out_text, sy_error *error) {
    if (list->n > INT32_MAX) {
        return sy_error_set(error, SY_OUT_OF_RANGE, "A text of %zu tokens is too long.", list->n);
    }
    *out_text = (sy_embed_text){.tokens = list->ids, .n_tokens = (uint32_t)list->n};
    return SY_OK;
}

static sy_status embed_list(sy_engine *engine, const token_list *list, float *out_vector,
                            sy_error *error) {
    sy_embed_text text;
    sy_status status = text_of(list, &text, error);
    return status == SY_OK ? sy_engine_embed(engine, &text, 1, NULL, out_vector, error) : status;
}

/* Both texts through the model, the first row through the head. */
static sy_status rank_pair(sy_engine *engine, const token_list *pair, uint32_t i_document,
                           float *between, float *out_score, sy_error *error) {
    sy_embed_text text;
    const float *rows = NULL;
    sy_status status = text_of(pair, &text, error);
    if (status == SY_OK) {
        status = sy__embed_check_text(engine, &text, i_document, error);
    }
    if (status != SY_OK) {
        return status;
    }
    const sy_step_sequence sequence = {.n_tokens = text.n_tokens};
    const sy__ragged_step step = {.sequences = &sequence,
                                  .tokens = text.tokens,
                                  .token_types = text.tokens + text.n_tokens,
                                  .n_sequences = 1};
    status = sy__engine_step_rows(engine, &step, &rows, error);
    return status == SY_OK ? classify(engine, rows, between, out_score, error) : status;
}

/* vectors: the query's (or the head's middle), and the document's. */
static sy_status rank_one(sy_engine *engine, const token_list *query, const char *document,
                          uint32_t i_document, float *vectors, float *out_score, sy_error *error) {
    const uint32_t width = engine->info.n_embedding;
    token_list list = {NULL, 0, 0}, pair = {NULL, 0, 0};
    float *other = vectors + width;
    sy_status status = encode(engine, document, &list, error);
    if (status == SY_OK && sy_engine_rerank_method(engine) == SY_RERANK_CLASSIFIER) {
        status = join(engine, query, &list, &pair, error);
        if (status == SY_OK) {
            status = rank_pair(engine, &pair, i_document, vectors, out_score, error);
        }
    } else if (status == SY_OK) {
        double sum = 0;
        status = embed_list(engine, &list, other, error);
        for (uint32_t i = 0; status == SY_OK && i < width; i++) {
            sum += (double)vectors[i] * (double)other[i];
        }
        *out_score = status == SY_OK ? (float)sum : *out_score;
    }
    free_list(engine, &list);
    free_list(engine, &pair);
    return status;
}

sy_rerank_method sy_engine_rerank_method(const sy_engine *engine) {
    sy_gguf_tensor tensor;
    return sy_gguf_find_tensor(engine->gguf, "cls.output.weight", &tensor) ? SY_RERANK_CLASSIFIER
                                                                           : SY_RERANK_COSINE;
}

sy_status sy_engine_rerank(sy_engine *engine, const char *query, const char *const *documents,
                           uint32_t n_documents, float *out_scores, sy_error *error) {
    const uint32_t width = engine->info.n_embedding;
    token_list list = {NULL, 0, 0};
    if (!engine->info.is_encoder) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "'%s' is a decoder; reranking takes an encoder model.",
                            engine->info.architecture);
    }
    float *vectors = sy__alloc_array(engine->allocator, (size_t)2 * width, sizeof(float));
    if (vectors == NULL) {
        return sy__no_memory(error, 2 * width * sizeof(float), "reranking");
    }
    sy_status status = encode(engine, query, &list, error);
    if (status == SY_OK && sy_engine_rerank_method(engine) == SY_RERANK_COSINE) {
        status = embed_list(engine, &list, vectors, error);
    }
    for (uint32_t i = 0; status == SY_OK && i < n_documents; i++) {
        status = rank_one(engine, &list, documents[i], i, vectors, &out_scores[i], error);
    }
    free_list(engine, &list);
    sy__free_array(engine->allocator, vectors, (size_t)2 * width, sizeof(float));
    return status;
}
