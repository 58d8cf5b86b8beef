/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reranking. A cross-encoder reads query and document as one text; one row of its hidden states
 * goes through an optional dense layer with tanh or GELU (cls), an optional norm (cls.norm) and one
 * row of weights (cls.output). A decoder reads both in a text that its file has a template of, and
 * its last row says yes or no (two rows of weights). Without a head, the cosine of the two
 * embeddings stands in.
 */
#include "embed/embed_internal.h"
#include "engine/engine_internal.h"
#include "switchyard/huggingface.h"
#include "switchyard/quantize.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A layer of the head, weights [n_outputs, n_inputs] and bias [n_outputs] or none. */
typedef struct layer {
    sy_gguf_tensor weight, bias;
    uint64_t n_outputs;
    bool has_bias;
} layer;

typedef struct token_list {
    int32_t *ids;
    size_t n, capacity;
} token_list;

/* Going through the head; the first failure stays in `status`. */
typedef struct head {
    const sy_engine *engine;
    float *row, *between; /* width numbers each */
    float *scratch;       /* and a row of weights */
    sy_error *error;
    sy_status status;
} head;

/* Finds a layer of n_outputs, 0: one or two; false when the file has none. */
static bool find_layer(head *h, const char *name, uint64_t n_outputs, layer *out_layer) {
    const sy_engine *engine = h->engine;
    char path[64];
    snprintf(path, sizeof(path), "%s.weight", name);
    if (!sy_gguf_find_tensor(engine->gguf, path, &out_layer->weight)) {
        return false;
    }
    const sy_gguf_tensor *weight = &out_layer->weight;
    snprintf(path, sizeof(path), "%s.bias", name);
    out_layer->has_bias = sy_gguf_find_tensor(engine->gguf, path, &out_layer->bias) != 0;
    out_layer->n_outputs = n_outputs != 0 ? n_outputs : weight->dims[1] == 2 ? 2 : 1;
    if (weight->dims[0] != engine->info.n_embedding ||
        weight->n_elements != out_layer->n_outputs * engine->info.n_embedding ||
        (out_layer->has_bias && (sy_type_get(out_layer->bias.type)->is_block ||
                                 out_layer->bias.n_elements != out_layer->n_outputs))) {
        h->status =
            sy_error_set(h->error, SY_UNIMPLEMENTED,
                         "The layer '%s' of the model's head is not one of %" PRIu64 " outputs.",
                         name, out_layer->n_outputs);
    }
    return true;
}

static void decode(head *h, const sy_gguf_tensor *tensor, uint64_t i_row, uint64_t n_rows,
                   float *out_numbers) {
    const uint8_t *bytes = (const uint8_t *)tensor->data + i_row * (tensor->n_bytes / n_rows);
    if (h->status == SY_OK) {
        h->status = sy_dequantize_row(tensor->type, bytes, tensor->n_elements / n_rows, out_numbers,
                                      h->error);
    }
}

static double apply(head *h, const layer *l, uint64_t i_output, const float *inputs) {
    float bias = 0;
    decode(h, &l->weight, i_output, l->n_outputs, h->scratch);
    if (l->has_bias) {
        decode(h, &l->bias, i_output, l->n_outputs, &bias);
    }
    double sum = (double)bias;
    for (uint32_t i = 0; i < h->engine->info.n_embedding; i++) {
        sum += (double)h->scratch[i] * (double)inputs[i];
    }
    return sum;
}

/* A norm's key, as the description has read it: an encoder with a head has LayerNorms. */
static double epsilon_of(const sy_engine *engine) {
    char key[128];
    float epsilon = 0;
    snprintf(key, sizeof(key), "%.64s.attention.layer_norm_epsilon", engine->info.architecture);
    return sy_gguf_get_f32(engine->gguf, key, &epsilon, NULL) == SY_OK ? (double)epsilon : 1e-5;
}

/* The head's norm, whose shape the description has proven. */
static void normalize(head *h, float *row) {
    const uint32_t width = h->engine->info.n_embedding;
    sy_gguf_tensor weight, bias;
    double mean = 0, variance = 0;
    if (!sy_gguf_find_tensor(h->engine->gguf, "cls.norm.weight", &weight)) {
        return;
    }
    for (uint32_t i = 0; i < width; i++) {
        mean += (double)row[i] / width;
    }
    for (uint32_t i = 0; i < width; i++) {
        variance += ((double)row[i] - mean) * ((double)row[i] - mean) / width;
    }
    double factor = 1.0 / sqrt(variance + epsilon_of(h->engine));
    decode(h, &weight, 0, 1, h->scratch);
    for (uint32_t i = 0; i < width; i++) {
        row[i] = (float)(((double)row[i] - mean) * factor * (double)h->scratch[i]);
    }
    if (sy_gguf_find_tensor(h->engine->gguf, "cls.norm.bias", &bias)) {
        decode(h, &bias, 0, 1, h->scratch);
        for (uint32_t i = 0; i < width; i++) {
            row[i] += h->scratch[i];
        }
    }
}

static sy_status classify(head *h, float *out_score) {
    layer dense = {.n_outputs = 0}, output = {.n_outputs = 0};
    const sy_engine *engine = h->engine;
    const uint32_t width = engine->info.n_embedding;
    bool is_gelu = sy__embed_family(engine)->gelu_classifier;
    bool has_dense = find_layer(h, "cls", width, &dense);
    (void)find_layer(h, "cls.output", 0, &output);
    for (uint32_t i = 0; has_dense && h->status == SY_OK && i < width; i++) {
        double x = apply(h, &dense, i, h->row);
        h->between[i] = (float)(is_gelu ? 0.5 * x * (1 + erf(x / sqrt(2.0))) : tanh(x));
    }
    float *row = has_dense ? h->between : h->row;
    if (h->status != SY_OK) {
        return h->status;
    }
    normalize(h, row);
    double score = apply(h, &output, 0, row);
    if (output.n_outputs == 2) { /* the share of yes */
        score = 1.0 / (1.0 + exp(apply(h, &output, 1, row) - score));
    }
    *out_score = h->status == SY_OK ? (float)score : *out_score;
    return h->status;
}

static sy_status encode(const sy_engine *engine, const char *text, size_t n_bytes, uint32_t flags,
                        token_list *out_list, sy_error *error) {
    const sy_tokenizer *tokenizer = engine->tokenizer;
    if (tokenizer == NULL) {
        return sy_error_set(error, SY_FAILED_PRECONDITION, "The model has no vocabulary.");
    }
    sy_status status =
        sy_tokenizer_encode(tokenizer, text, n_bytes, flags, NULL, 0, &out_list->n, error);
    if (status != SY_OK) {
        return status;
    }
    out_list->capacity = out_list->n;
    out_list->ids = sy__alloc_array(engine->allocator, out_list->capacity, sizeof(int32_t));
    if (out_list->ids == NULL) {
        return sy__no_memory(error, out_list->n * sizeof(int32_t), "the tokens of a text");
    }
    return sy_tokenizer_encode(tokenizer, text, n_bytes, flags, out_list->ids, out_list->capacity,
                               &out_list->n, error);
}

static void free_list(const sy_engine *engine, token_list *list) {
    sy__free_array(engine->allocator, list->ids, list->capacity, sizeof(int32_t));
}

/* "[CLS] query [SEP] document [SEP]" in WordPiece and ModernBERT, elsewhere "<s> query </s></s>
 * document </s>", and behind the tokens their types: 0 up to the query's mark, 1 for the rest. */
static sy_status join(const sy_engine *engine, const token_list *query, const token_list *document,
                      token_list *out_pair, sy_error *error) {
    sy_gguf_string kind = {.bytes = "", .n_bytes = 0};
    sy_status found = sy_gguf_get_string(engine->gguf, "tokenizer.ggml.model", &kind, NULL);
    bool marks_once = (found == SY_OK && sy_gguf_string_is(kind, "bert")) ||
                      sy__embed_family(engine)->gelu_classifier;
    size_t n_most = query->n + document->n + 1;
    out_pair->capacity = 2 * n_most;
    out_pair->ids = sy__alloc_array(engine->allocator, out_pair->capacity, sizeof(int32_t));
    if (out_pair->ids == NULL) {
        return sy__no_memory(error, out_pair->capacity * sizeof(int32_t), "a pair of texts");
    }
    size_t n_begin = document->n > 0 && query->n > 0 && document->ids[0] == query->ids[0] ? 1 : 0;
    memcpy(out_pair->ids, query->ids, query->n * sizeof(int32_t));
    size_t n = query->n;
    if (!marks_once && n > 0) {
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

/* The row that the head reads. */
static sy_pooling classified_row(const sy_engine *engine) {
    int mean = 0;
    bool found =
        sy_gguf_get_bool(engine->gguf, SY_HUGGINGFACE_CLASSIFIES_MEAN, &mean, NULL) == SY_OK;
    return found && mean != 0                     ? SY_POOLING_MEAN
           : sy__embed_family(engine)->has_output ? SY_POOLING_LAST
                                                  : SY_POOLING_CLS;
}

/* Both texts through the model, one row through the head. token_types: behind the tokens. */
static sy_status rank_pair(sy_engine *engine, const token_list *pair, uint32_t i_document,
                           float *vectors, float *out_score, sy_error *error) {
    sy_embed_text text;
    const float *rows = NULL;
    sy_status status = text_of(pair, &text, error);
    if (status == SY_OK) {
        status = sy__embed_check_text(engine, &text, i_document, error);
    }
    if (status != SY_OK) {
        return status;
    }
    bool is_decoder = sy__embed_family(engine)->has_output;
    const sy_step_sequence sequence = {.n_tokens = text.n_tokens};
    const sy__ragged_step step = {.sequences = &sequence,
                                  .tokens = text.tokens,
                                  .token_types = is_decoder ? NULL : text.tokens + text.n_tokens,
                                  .n_sequences = 1};
    status = sy__engine_step_rows(engine, &step, &rows, error);
    if (status != SY_OK) {
        return status;
    }
    const uint32_t width = engine->info.n_embedding;
    head h = {.engine = engine,
              .row = vectors,
              .between = vectors + width,
              .scratch = vectors + (size_t)2 * width,
              .error = error};
    sy__embed_pool(rows, text.n_tokens, width, classified_row(engine), vectors);
    return classify(&h, out_score);
}

/* Appends bytes where there is room; counts them anyway. */
static void append(char *text, size_t capacity, size_t *inout_n, const char *bytes, size_t n) {
    if (text != NULL && *inout_n + n <= capacity) {
        memcpy(text + *inout_n, bytes, n);
    }
    *inout_n += n;
}

/* The file's template with {query} and {document} in their places; answers the bytes it takes. */
static size_t fill_template(sy_gguf_string form, const char *query, const char *document,
                            char *text, size_t capacity) {
    static const char query_mark[] = "{query}", document_mark[] = "{document}";
    size_t n = 0, n_query = sizeof(query_mark) - 1, n_document = sizeof(document_mark) - 1;
    for (size_t i = 0; i < form.n_bytes;) {
        size_t left = (size_t)form.n_bytes - i;
        if (left >= n_query && memcmp(form.bytes + i, query_mark, n_query) == 0) {
            append(text, capacity, &n, query, strlen(query));
            i += n_query;
        } else if (left >= n_document && memcmp(form.bytes + i, document_mark, n_document) == 0) {
            append(text, capacity, &n, document, strlen(document));
            i += n_document;
        } else {
            append(text, capacity, &n, form.bytes + i++, 1);
        }
    }
    return n;
}

/* One text of both, by the file's template, as tokens. */
static sy_status encode_template(const sy_engine *engine, const char *query, const char *document,
                                 token_list *out_list, sy_error *error) {
    sy_gguf_string form = {.bytes = "", .n_bytes = 0};
    if (sy_gguf_get_string(engine->gguf, "tokenizer.chat_template.rerank", &form, NULL) != SY_OK) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "'%s' has a head for reranking but no template of the text that it "
                            "reads (tokenizer.chat_template.rerank).",
                            engine->info.architecture);
    }
    size_t n = fill_template(form, query, document, NULL, 0);
    char *text = sy__alloc_array(engine->allocator, n, 1);
    if (text == NULL) {
        return sy__no_memory(error, n, "a text to rank");
    }
    (void)fill_template(form, query, document, text, n);
    sy_status status =
        encode(engine, text, n, SY_ENCODE_ADD_SPECIAL | SY_ENCODE_PARSE_SPECIAL, out_list, error);
    sy__free_array(engine->allocator, text, n, 1);
    return status;
}

/* A query, as text for a template and as tokens. */
typedef struct question {
    const char *text;
    token_list list;
} question;

/* vectors: the query's and the document's, or what the head works with. */
static sy_status rank_one(sy_engine *engine, const question *query, const char *document,
                          uint32_t i_document, float *vectors, float *out_score, sy_error *error) {
    const uint32_t width = engine->info.n_embedding;
    token_list list = {NULL, 0, 0}, pair = {NULL, 0, 0};
    float *other = vectors + width;
    bool has_head = sy_engine_rerank_method(engine) == SY_RERANK_CLASSIFIER;
    sy_status status = SY_OK;
    if (has_head && sy__embed_family(engine)->has_output) {
        status = encode_template(engine, query->text, document, &pair, error);
    } else {
        status = encode(engine, document, strlen(document), SY_ENCODE_ADD_SPECIAL, &list, error);
        if (status == SY_OK && has_head) {
            status = join(engine, &query->list, &list, &pair, error);
        }
    }
    if (status == SY_OK && has_head) {
        status = rank_pair(engine, &pair, i_document, vectors, out_score, error);
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
    question asked = {.text = query};
    if (!engine->info.is_encoder) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "'%s' is a decoder without a pooling; reranking takes an encoder or a "
                            "file made for it (pooling_type).",
                            engine->info.architecture);
    }
    float *vectors = sy__alloc_array(engine->allocator, (size_t)3 * width, sizeof(float));
    if (vectors == NULL) {
        return sy__no_memory(error, 3 * width * sizeof(float), "reranking");
    }
    sy_status status =
        encode(engine, query, strlen(query), SY_ENCODE_ADD_SPECIAL, &asked.list, error);
    if (status == SY_OK && sy_engine_rerank_method(engine) == SY_RERANK_COSINE) {
        status = embed_list(engine, &asked.list, vectors, error);
    }
    for (uint32_t i = 0; status == SY_OK && i < n_documents; i++) {
        status = rank_one(engine, &asked, documents[i], i, vectors, &out_scores[i], error);
    }
    free_list(engine, &asked.list);
    sy__free_array(engine->allocator, vectors, (size_t)3 * width, sizeof(float));
    return status;
}
