/* SPDX-License-Identifier: Apache-2.0 */
/* A tokenizer over a model file: texts, merges and scores are used where the file has them. */
#include "tokenizer/from_gguf.h"

#include "base/memory.h"
#include "switchyard/huggingface.h"
#include "switchyard/limits.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>

/* What is read of a file: the tokenizer that is being made, the facts for finishing it, and memory
 * for those, which ends with the reading. */
typedef struct reader {
    const sy_gguf *gguf;
    sy_tokenizer *tokenizer;
    sy_vocabulary v;
    sy__arena arena;
} reader;

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

/* The strings of a list as they lie in the file. */
static sy_status take_texts(const sy_gguf_value *value, sy__strings *out_strings, sy_error *error) {
    sy_gguf_string last;
    if (value->n_elements == 0) {
        return SY_OK;
    }
    sy_status status = sy_gguf_value_string(value, value->n_elements - 1, &last, error);
    if (status == SY_OK) {
        /* metadata is at most SY_LIMIT_METADATA_BYTES long */
        uint32_t end = (uint32_t)((const uint8_t *)last.bytes + last.n_bytes - value->file);
        *out_strings =
            (sy__strings){value->file, value->string_offsets, (uint32_t)value->n_elements, end};
    }
    return status;
}

static sy_status take_scores(reader *r, const sy_gguf_value *value, sy_error *error) {
    if (value->type == SY_GGUF_F32) {
        r->tokenizer->scores = value->bytes;
        return SY_OK;
    }
    float *scores =
        sy__tokenizer_block(r->tokenizer, (size_t)value->n_elements + 1, sizeof *scores);
    sy_status status = scores != NULL ? SY_OK : no_memory(error);
    for (uint64_t i = 0; status == SY_OK && i < value->n_elements; i++) {
        status = sy_gguf_value_f32(value, i, &scores[i], error);
    }
    r->tokenizer->scores = (const uint8_t *)scores;
    return status;
}

/* Types as bytes. Files write them as i32, other integers are read one by one; 0 and what is no
 * byte count as normal. */
static sy_status read_types(const sy_gguf_value *value, uint8_t *types, sy_error *error) {
    if (value->type == SY_GGUF_I32 || value->type == SY_GGUF_U32) {
        for (uint64_t i = 0; i < value->n_elements; i++) {
            uint32_t type = 0;
            memcpy(&type, value->bytes + 4 * i, sizeof type);
            types[i] = (uint8_t)(type - 1 < 255 ? type : SY_TOKEN_NORMAL);
        }
        return SY_OK;
    }
    sy_status status = SY_OK;
    for (uint64_t i = 0; status == SY_OK && i < value->n_elements; i++) {
        int64_t type = 0;
        status = sy_gguf_value_i64(value, i, &type, error);
        types[i] = type > 0 && type < 256 ? (uint8_t)type : SY_TOKEN_NORMAL;
    }
    return status;
}

static sy_status check_types(const uint8_t *types, uint32_t n, sy_error *error) {
    uint8_t largest = 0;
    for (uint32_t i = 0; i < n; i++) {
        largest = types[i] > largest ? types[i] : largest;
    }
    for (uint32_t i = 0; largest > SY_TOKEN_BYTE && i < n; i++) {
        if (types[i] > SY_TOKEN_BYTE) {
            return sy_error_set(error, SY_INVALID_ARGUMENT, "Token %u is of an unknown type (%u).",
                                i, types[i]);
        }
    }
    return SY_OK;
}

static sy_status take_types(reader *r, sy_error *error) {
    sy_gguf_value value;
    bool found = false;
    sy_tokenizer *t = r->tokenizer;
    t->types = sy__alloc_array(t->allocator, t->n_tokens, 1);
    if (t->types == NULL) {
        return no_memory(error);
    }
    sy_status status =
        find_array(r->gguf, "tokenizer.ggml.token_type", t->n_tokens, &value, &found, error);
    if (status != SY_OK || !found) {
        memset(t->types, SY_TOKEN_NORMAL, t->n_tokens);
        return status;
    }
    status = read_types(&value, t->types, error);
    return status == SY_OK ? check_types(t->types, t->n_tokens, error) : status;
}

static sy_status take_tokens(reader *r, sy_error *error) {
    sy_gguf_value value;
    bool found = false;
    sy_status status = find_array(r->gguf, "tokenizer.ggml.tokens", 0, &value, &found, error);
    if (status == SY_OK && (!found || value.n_elements > SY_LIMIT_VOCABULARY)) {
        sy_error_set(error, SY_NOT_FOUND,
                     "The file has no vocabulary (tokenizer.ggml.tokens), or one over %u tokens.",
                     SY_LIMIT_VOCABULARY);
        sy_error_at(error, sy_gguf_get_facts(r->gguf)->origin, UINT64_MAX);
        return SY_NOT_FOUND;
    }
    if (status == SY_OK) {
        status = take_texts(&value, &r->tokenizer->tokens, error);
    }
    r->tokenizer->n_tokens = r->tokenizer->tokens.n;
    r->v.n_tokens = r->tokenizer->n_tokens;
    return status;
}

static sy_status take_lists(reader *r, sy_error *error) {
    sy_gguf_value value;
    bool found = false;
    sy_status status = take_tokens(r, error);
    if (status == SY_OK) {
        status = find_array(r->gguf, "tokenizer.ggml.scores", r->v.n_tokens, &value, &found, error);
    }
    if (status == SY_OK && found) {
        status = take_scores(r, &value, error);
    }
    if (status == SY_OK) {
        status = take_types(r, error);
    }
    if (status == SY_OK) {
        status = find_array(r->gguf, "tokenizer.ggml.merges", 0, &value, &found, error);
    }
    return status == SY_OK && found ? take_texts(&value, &r->tokenizer->merges, error) : status;
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
static sy_status read_string(reader *r, const char *key, const char **out_text, sy_error *error) {
    sy_gguf_string string;
    *out_text = NULL;
    if (sy_gguf_get_string(r->gguf, key, &string, NULL) != SY_OK) {
        return SY_OK;
    }
    *out_text = sy__arena_string(&r->arena, string.bytes, (size_t)string.n_bytes);
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

static bool is_true(const sy_gguf *gguf, const char *key) {
    int flag = 0;
    return sy_gguf_get_bool(gguf, key, &flag, NULL) == SY_OK && flag != 0;
}

static sy_status read_more_ends(reader *r, sy_error *error) {
    sy_gguf_value value;
    if (sy_gguf_find(r->gguf, SY_HUGGINGFACE_MORE_ENDS, &value) == 0 || !value.is_array ||
        value.type != SY_GGUF_U32 || value.n_elements > r->v.n_tokens) {
        return SY_OK;
    }
    int32_t *ids = sy__arena_alloc(&r->arena, (size_t)value.n_elements, sizeof(int32_t));
    if (ids == NULL) {
        return no_memory(error);
    }
    memcpy(ids, value.bytes, (size_t)value.n_elements * sizeof(int32_t));
    r->v.more_ends = ids;
    r->v.n_more_ends = (uint32_t)value.n_elements;
    return SY_OK;
}

/* What only a model folder can say. */
static void read_folder_keys(reader *r) {
    sy_gguf_value strips;
    if (sy_gguf_find(r->gguf, SY_HUGGINGFACE_STRIPS, &strips) != 0 && strips.is_array &&
        strips.type == SY_GGUF_U8 && strips.n_elements == r->v.n_tokens) {
        r->v.strips = strips.bytes;
    }
    if (is_true(r->gguf, SY_HUGGINGFACE_KEEPS_CASE)) {
        r->v.lowercase = SY_CHOICE_NO;
    }
    r->v.prefix_once = is_true(r->gguf, SY_HUGGINGFACE_PREFIX_ONCE);
    r->v.prefix_if_missing = is_true(r->gguf, SY_HUGGINGFACE_PREFIX_IF_MISSING);
}

/* Phi-3's special tokens swallow the white space after them; GGUF has no key for it. */
static sy_status read_strips(reader *r, sy_error *error) {
    static const char *const plain[] = {"<unk>", "<s>", "<|endoftext|>"};
    sy_gguf_string architecture;
    const sy_tokenizer *t = r->tokenizer;
    sy_gguf_value value;
    if (r->v.strips != NULL ||
        sy_gguf_get_string(r->gguf, "general.architecture", &architecture, NULL) != SY_OK ||
        !sy_gguf_string_is(architecture, "phi3") ||
        !sy_gguf_find(r->gguf, "tokenizer.ggml.token_type", &value) ||
        strcmp(r->v.model, "llama") != 0) {
        return SY_OK;
    }
    uint8_t *strips = sy__arena_alloc(&r->arena, (size_t)t->n_tokens + 1, 1);
    if (strips == NULL) {
        return no_memory(error);
    }
    for (uint32_t i = 0; i < t->n_tokens; i++) {
        sy_token_text text = sy__token_text(t, i);
        bool strip = t->types[i] == SY_TOKEN_CONTROL || t->types[i] == SY_TOKEN_USER_DEFINED;
        for (size_t k = 0; strip && k < sizeof plain / sizeof plain[0]; k++) {
            strip =
                strlen(plain[k]) != text.n_bytes || memcmp(plain[k], text.bytes, text.n_bytes) != 0;
        }
        strips[i] = strip ? SY_TOKEN_STRIP_RIGHT : 0;
    }
    r->v.strips = strips;
    return SY_OK;
}

static sy_status read_all(reader *r, sy_error *error) {
    sy_gguf_value charsmap;
    sy_status status = read_string(r, "tokenizer.ggml.model", &r->v.model, error);
    if (status == SY_OK) {
        status = read_string(r, "tokenizer.ggml.pre", &r->v.pre, error);
    }
    if (status == SY_OK && r->v.model == NULL) {
        sy_error_set(error, SY_NOT_FOUND,
                     "The file does not say what kind of vocabulary it has "
                     "(tokenizer.ggml.model).");
        sy_error_at(error, sy_gguf_get_facts(r->gguf)->origin, UINT64_MAX);
        return SY_NOT_FOUND;
    }
    status = status == SY_OK ? take_lists(r, error) : status;
    if (status != SY_OK) {
        return status;
    }
    read_ids(r->gguf, &r->v);
    if (sy_gguf_find(r->gguf, "tokenizer.ggml.precompiled_charsmap", &charsmap) != 0 &&
        charsmap.is_array && (charsmap.type == SY_GGUF_U8 || charsmap.type == SY_GGUF_I8)) {
        r->v.charsmap = charsmap.bytes;
        r->v.n_charsmap_bytes = (size_t)charsmap.n_elements;
    }
    read_folder_keys(r);
    status = read_more_ends(r, error);
    return status == SY_OK ? read_strips(r, error) : status;
}

sy_status sy__tokenizer_from_gguf(const sy_allocator *allocator, const sy_gguf *gguf,
                                  sy_tokenizer **out_tokenizer, sy_error *error) {
    reader r = {.gguf = gguf, .tokenizer = sy__tokenizer_begin(allocator)};
    if (r.tokenizer == NULL) {
        return no_memory(error);
    }
    sy_vocabulary_init(&r.v);
    sy__arena_init(&r.arena, sy__allocator_or_heap(allocator), 0);
    sy_status status = read_all(&r, error);
    if (status == SY_OK) {
        status = sy__tokenizer_finish(r.tokenizer, &r.v, error);
        if (status != SY_OK) {
            sy_error_at(error, sy_gguf_get_facts(gguf)->origin, UINT64_MAX);
        }
    }
    sy__arena_deinit(&r.arena);
    if (status != SY_OK) {
        sy_tokenizer_destroy(r.tokenizer);
        return status;
    }
    *out_tokenizer = r.tokenizer;
    return SY_OK;
}

sy_status sy_tokenizer_open(const sy_allocator *allocator, const char *path,
                            sy_tokenizer **out_tokenizer, sy_error *error) {
    sy_gguf *gguf = NULL;
    sy_tokenizer *tokenizer = NULL;
    sy_status status = sy_model_open(allocator, path, &gguf, error);
    if (status == SY_OK) {
        status = sy__tokenizer_from_gguf(allocator, gguf, &tokenizer, error);
    }
    if (status != SY_OK) {
        sy_gguf_close(gguf);
        return status;
    }
    tokenizer->file = gguf; /* its texts lie in there */
    *out_tokenizer = tokenizer;
    return SY_OK;
}

uint64_t sy__tokenizer_heap_bytes(const sy_tokenizer *tokenizer) {
    uint64_t n_bytes = (uint64_t)tokenizer->n_tokens + (tokenizer->n_tokens + 7) / 8;
    n_bytes += ((uint64_t)tokenizer->tokens.n + tokenizer->merges.n) * sizeof(uint32_t);
    for (size_t i = 0; i < SY__BLOCKS; i++) {
        n_bytes += tokenizer->blocks_bytes[i];
    }
    return n_bytes;
}
