/* SPDX-License-Identifier: Apache-2.0 */
/* The texts, types and scores of a vocabulary that its giver takes back: copied in the form that a
 * model file has them in. */
#include "tokenizer/tokenizer.h"

#include "base/checked.h"

void *sy__tokenizer_block(sy_tokenizer *t, size_t n, size_t size_bytes) {
    size_t n_bytes = 0, i = 0;
    while (t->blocks[i] != NULL) {
        i++; /* there are as many places as there are kinds of blocks */
    }
    if (!sy__mul_size(n, size_bytes, &n_bytes)) {
        return NULL;
    }
    t->blocks[i] = sy__alloc_array(t->allocator, n_bytes, 1);
    t->blocks_bytes[i] = n_bytes;
    return t->blocks[i];
}

/* Bytes of n texts with their lengths; false when offsets could not reach them. */
static bool measure(const sy_token_text *texts, uint32_t n, size_t *out_bytes) {
    size_t n_bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!sy__add_size(n_bytes, sizeof(uint64_t), &n_bytes) ||
            !sy__add_size(n_bytes, texts[i].n_bytes, &n_bytes) || n_bytes > UINT32_MAX) {
            return false;
        }
    }
    *out_bytes = n_bytes;
    return true;
}

static sy_status copy_texts(sy_tokenizer *t, const sy_token_text *texts, uint32_t n,
                            sy__strings *out_strings, sy_error *error) {
    size_t n_bytes = 0;
    if (!measure(texts, n, &n_bytes)) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "The texts of a vocabulary take more than 4 GiB.");
    }
    uint8_t *to = sy__tokenizer_block(t, n_bytes, 1);
    uint32_t *offsets = to != NULL ? sy__tokenizer_block(t, n, sizeof *offsets) : NULL;
    if (offsets == NULL) {
        return sy__no_memory(error, n_bytes, "the vocabulary");
    }
    *out_strings = (sy__strings){to, offsets, n, (uint32_t)n_bytes};
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t length = texts[i].n_bytes;
        offsets[i] = at;
        memcpy(to + at, &length, sizeof length);
        at += (uint32_t)sizeof length;
        if (length > 0) {
            memcpy(to + at, texts[i].bytes, (size_t)length);
        }
        at += (uint32_t)length;
    }
    return SY_OK;
}

static sy_status copy_types(sy_tokenizer *t, const sy_vocabulary *v, sy_error *error) {
    t->types = sy__alloc_array(t->allocator, v->n_tokens, 1);
    if (t->types == NULL) {
        return sy__no_memory(error, v->n_tokens, "the vocabulary");
    }
    for (uint32_t i = 0; i < v->n_tokens; i++) {
        int32_t type = v->types != NULL && v->types[i] != 0 ? v->types[i] : SY_TOKEN_NORMAL;
        if (type < 0 || type > SY_TOKEN_BYTE) {
            return sy_error_set(error, SY_INVALID_ARGUMENT, "Token %u is of an unknown type (%d).",
                                i, (int)type);
        }
        t->types[i] = (uint8_t)type;
    }
    return SY_OK;
}

sy_status sy__vocabulary_copy(sy_tokenizer *t, const sy_vocabulary *v, sy_error *error) {
    if (v->struct_bytes != sizeof *v || (v->n_tokens > 0 && v->tokens == NULL) ||
        (v->n_merges > 0 && v->merges == NULL)) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "The vocabulary is of another version or lacks a list.");
    }
    sy_status size = sy__vocabulary_check_counts(v->n_tokens, v->n_merges, error);
    if (size != SY_OK) {
        return size;
    }
    t->n_tokens = v->n_tokens;
    sy_status status = copy_types(t, v, error);
    for (uint32_t i = 0; status == SY_OK && i < v->n_tokens; i++) {
        if (v->tokens[i].n_bytes > SY_LIMIT_TOKEN_BYTES) { /* before anything is copied */
            status = sy_error_set(error, SY_INVALID_ARGUMENT, "Token %u is too long (%zu bytes).",
                                  i, v->tokens[i].n_bytes);
        }
    }
    if (status == SY_OK) {
        status = copy_texts(t, v->tokens, v->n_tokens, &t->tokens, error);
    }
    if (status == SY_OK) {
        status = copy_texts(t, v->merges, v->n_merges, &t->merges, error);
    }
    if (status == SY_OK && v->scores != NULL) {
        float *scores = sy__tokenizer_block(t, v->n_tokens, sizeof *scores);
        if (scores == NULL) {
            return sy__no_memory(error, v->n_tokens * sizeof *scores, "the vocabulary");
        }
        memcpy(scores, v->scores, v->n_tokens * sizeof *scores);
        t->scores = (const uint8_t *)scores;
    }
    return status;
}
