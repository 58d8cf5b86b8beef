/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/from_gguf.h"

#include "base/memory.h"
#include "switchyard/limits.h"

#include <stdio.h>
#include <string.h>

/* Arrays that live until the tokenizer has copied them. */
typedef struct tables {
    sy__arena arena;
    sy_token_text *tokens, *merges;
    float *scores;
    int32_t *types;
    uint8_t *strips;
} tables;

static sy_status no_memory(sy_error *error) {
    return sy__no_memory(error, 0, "the tables of a tokenizer");
}

/* A key that may be absent; *out_found tells. A wrong type is an error. */
static sy_status find_array(const sy_gguf *gguf, const char *key, uint64_t n_wanted,
                            sy_gguf_value *out_value, bool *out_found, sy_error *error) {
    *out_found = sy_gguf_find(gguf, key, out_value) != 0;
    if (*out_found &&
        (!out_value->is_array || (n_wanted != 0 && out_value->n_elements != n_wanted) ||
         out_value->n_elements > SY_LIMIT_VOCABULARY * 2u)) {
        sy_error_set(error, SY_DATA_LOSS, "Key '%s' must be a list with one entry for each token.",
                     key);
        sy_error_at(error, sy_gguf_get_facts(gguf)->origin, out_value->file_offset);
        return SY_DATA_LOSS;
    }
    return SY_OK;
}

static sy_status read_texts(tables *t, const sy_gguf_value *value, sy_token_text **out_texts,
                            sy_error *error) {
    sy_token_text *texts =
        sy__arena_alloc(&t->arena, (size_t)value->n_elements + 1, sizeof(sy_token_text));
    if (texts == NULL) {
        return no_memory(error);
    }
    for (uint64_t i = 0; i < value->n_elements; i++) {
        sy_gguf_string string;
        sy_status status = sy_gguf_value_string(value, i, &string, error);
        if (status != SY_OK) {
            return status;
        }
        texts[i] = (sy_token_text){.bytes = string.bytes, .n_bytes = (size_t)string.n_bytes};
    }
    *out_texts = texts;
    return SY_OK;
}

static sy_status read_scores(tables *t, const sy_gguf_value *value, sy_error *error) {
    t->scores = sy__arena_alloc(&t->arena, (size_t)value->n_elements + 1, sizeof(float));
    sy_status status = t->scores != NULL ? SY_OK : no_memory(error);
    for (uint64_t i = 0; status == SY_OK && i < value->n_elements; i++) {
        status = sy_gguf_value_f32(value, i, &t->scores[i], error);
    }
    return status;
}

static sy_status read_types(tables *t, const sy_gguf_value *value, sy_error *error) {
    t->types = sy__arena_alloc(&t->arena, (size_t)value->n_elements + 1, sizeof(int32_t));
    sy_status status = t->types != NULL ? SY_OK : no_memory(error);
    for (uint64_t i = 0; status == SY_OK && i < value->n_elements; i++) {
        int64_t type = 0;
        status = sy_gguf_value_i64(value, i, &type, error);
        t->types[i] = type > 0 && type < 256 ? (int32_t)type : SY_TOKEN_NORMAL;
    }
    return status;
}

static sy_status read_lists(tables *t, const sy_gguf *gguf, sy_vocabulary *v, sy_error *error) {
    sy_gguf_value value;
    bool found = false;
    sy_status status = find_array(gguf, "tokenizer.ggml.tokens", 0, &value, &found, error);
    if (status == SY_OK && (!found || value.n_elements > SY_LIMIT_VOCABULARY)) {
        sy_error_set(error, SY_NOT_FOUND,
                     "The file has no vocabulary (tokenizer.ggml.tokens), or one over %u tokens.",
                     SY_LIMIT_VOCABULARY);
        sy_error_at(error, sy_gguf_get_facts(gguf)->origin, UINT64_MAX);
        return SY_NOT_FOUND;
    }
    status = status == SY_OK ? read_texts(t, &value, &t->tokens, error) : status;
    if (status != SY_OK) {
        return status;
    }
    v->n_tokens = (uint32_t)value.n_elements;
    v->tokens = t->tokens;
    status = find_array(gguf, "tokenizer.ggml.scores", v->n_tokens, &value, &found, error);
    status = status == SY_OK && found ? read_scores(t, &value, error) : status;
    v->scores = t->scores;
    if (status == SY_OK) {
        status = find_array(gguf, "tokenizer.ggml.token_type", v->n_tokens, &value, &found, error);
    }
    status = status == SY_OK && found ? read_types(t, &value, error) : status;
    v->types = t->types;
    if (status == SY_OK) {
        status = find_array(gguf, "tokenizer.ggml.merges", 0, &value, &found, error);
    }
    if (status == SY_OK && found) {
        status = read_texts(t, &value, &t->merges, error);
        v->merges = t->merges;
        v->n_merges = (uint32_t)value.n_elements;
    }
    return status;
}

static int32_t read_id(const sy_gguf *gguf, const char *name, uint32_t n_tokens) {
    char key[64];
    uint32_t id = 0;
    snprintf(key, sizeof(key), "tokenizer.ggml.%s_token_id", name);
    if (sy_gguf_get_u32(gguf, key, &id, NULL) != SY_OK || id >= n_tokens) {
        return SY_NO_TOKEN; /* some files carry 2^32 - 1 for "none" */
    }
    return (int32_t)id;
}

static sy_choice read_choice(const sy_gguf *gguf, const char *name) {
    char key[64];
    int flag = 0;
    snprintf(key, sizeof(key), "tokenizer.ggml.%s", name);
    if (sy_gguf_get_bool(gguf, key, &flag, NULL) != SY_OK) {
        return SY_CHOICE_DEFAULT;
    }
    return flag ? SY_CHOICE_YES : SY_CHOICE_NO;
}

/* NULL for a key that is absent; a refused allocation is an error, not an absent key. */
static sy_status read_string(tables *t, const sy_gguf *gguf, const char *key, const char **out_text,
                             sy_error *error) {
    sy_gguf_string string;
    *out_text = NULL;
    if (sy_gguf_get_string(gguf, key, &string, NULL) != SY_OK) {
        return SY_OK;
    }
    *out_text = sy__arena_string(&t->arena, string.bytes, (size_t)string.n_bytes);
    return *out_text != NULL ? SY_OK : no_memory(error);
}

static void read_ids(const sy_gguf *gguf, sy_vocabulary *v) {
    v->bos = read_id(gguf, "bos", v->n_tokens);
    v->eos = read_id(gguf, "eos", v->n_tokens);
    v->eot = read_id(gguf, "eot", v->n_tokens);
    v->eom = read_id(gguf, "eom", v->n_tokens);
    v->unk = read_id(gguf, "unknown", v->n_tokens);
    v->sep = read_id(gguf, "seperator", v->n_tokens); /* spelled like this in the format */
    v->pad = read_id(gguf, "padding", v->n_tokens);
    v->cls = read_id(gguf, "cls", v->n_tokens);
    v->mask = read_id(gguf, "mask", v->n_tokens);
    v->add_bos = read_choice(gguf, "add_bos_token");
    v->add_eos = read_choice(gguf, "add_eos_token");
    v->add_sep = read_choice(gguf, "add_sep_token");
    v->add_space_prefix = read_choice(gguf, "add_space_prefix");
    v->remove_extra_whitespaces = read_choice(gguf, "remove_extra_whitespaces");
}

/* Phi-3's special tokens swallow the white space after them; GGUF has no key for it. */
static sy_status read_strips(tables *t, const sy_gguf *gguf, sy_vocabulary *v, sy_error *error) {
    static const char *const plain[] = {"<unk>", "<s>", "<|endoftext|>"};
    sy_gguf_string architecture;
    if (sy_gguf_get_string(gguf, "general.architecture", &architecture, NULL) != SY_OK ||
        !sy_gguf_string_is(architecture, "phi3") || v->types == NULL ||
        strcmp(v->model, "llama") != 0) {
        return SY_OK;
    }
    t->strips = sy__arena_alloc(&t->arena, (size_t)v->n_tokens + 1, 1);
    if (t->strips == NULL) {
        return no_memory(error);
    }
    for (uint32_t i = 0; i < v->n_tokens; i++) {
        const sy_token_text *text = &v->tokens[i];
        bool strips = v->types[i] == SY_TOKEN_CONTROL || v->types[i] == SY_TOKEN_USER_DEFINED;
        for (size_t k = 0; strips && k < sizeof plain / sizeof plain[0]; k++) {
            strips = strlen(plain[k]) != text->n_bytes ||
                     memcmp(plain[k], text->bytes, text->n_bytes) != 0;
        }
        t->strips[i] = strips ? SY_TOKEN_STRIP_RIGHT : 0;
    }
    v->strips = t->strips;
    return SY_OK;
}

static sy_status fill(tables *t, const sy_gguf *gguf, sy_vocabulary *v, sy_error *error) {
    sy_gguf_value charsmap;
    sy_status status = read_string(t, gguf, "tokenizer.ggml.model", &v->model, error);
    if (status == SY_OK) {
        status = read_string(t, gguf, "tokenizer.ggml.pre", &v->pre, error);
    }
    if (status == SY_OK && v->model == NULL) {
        sy_error_set(error, SY_NOT_FOUND,
                     "The file does not say what kind of vocabulary it has "
                     "(tokenizer.ggml.model).");
        sy_error_at(error, sy_gguf_get_facts(gguf)->origin, UINT64_MAX);
        return SY_NOT_FOUND;
    }
    status = status == SY_OK ? read_lists(t, gguf, v, error) : status;
    if (status != SY_OK) {
        return status;
    }
    read_ids(gguf, v);
    if (sy_gguf_find(gguf, "tokenizer.ggml.precompiled_charsmap", &charsmap) != 0 &&
        charsmap.is_array && (charsmap.type == SY_GGUF_U8 || charsmap.type == SY_GGUF_I8)) {
        v->charsmap = charsmap.bytes;
        v->n_charsmap_bytes = (size_t)charsmap.n_elements;
    }
    return read_strips(t, gguf, v, error);
}

sy_status sy__tokenizer_from_gguf(const sy_allocator *allocator, const sy_gguf *gguf,
                                  sy_tokenizer **out_tokenizer, sy_error *error) {
    tables t = {0};
    sy_vocabulary vocabulary;
    sy_vocabulary_init(&vocabulary);
    sy__arena_init(&t.arena, sy__allocator_or_heap(allocator), (size_t)1 << 16);
    sy_status status = fill(&t, gguf, &vocabulary, error);
    if (status == SY_OK) {
        status = sy_tokenizer_create(allocator, &vocabulary, out_tokenizer, error);
        if (status != SY_OK) {
            sy_error_at(error, sy_gguf_get_facts(gguf)->origin, UINT64_MAX);
        }
    }
    sy__arena_deinit(&t.arena);
    return status;
}

sy_status sy_tokenizer_open(const sy_allocator *allocator, const char *path,
                            sy_tokenizer **out_tokenizer, sy_error *error) {
    sy_gguf *gguf = NULL;
    sy_status status = sy_gguf_open(allocator, path, &gguf, error);
    if (status == SY_OK) {
        status = sy__tokenizer_from_gguf(allocator, gguf, out_tokenizer, error);
    }
    sy_gguf_close(gguf);
    return status;
}
