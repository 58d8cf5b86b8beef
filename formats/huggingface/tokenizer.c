/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.json to the keys tokenizer.ggml.*: the tokens by id, their types and scores, merges. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

static const char hint_tokenizer[] = "Fetch tokenizer.json again.";

static bool damaged(sy__hf *hf, const char *what) {
    return sy__hf_fail(hf, SY_DATA_LOSS, hint_tokenizer, "tokenizer.json %s.", what);
}

/* Calls visit(hf, id, key or piece, score) for every token of the model. */
typedef bool (*token_visit)(sy__hf *hf, sy__hf_vocabulary *vocabulary, uint64_t id,
                            sy__json_index text, double score);

static bool visit_tokens(sy__hf *hf, sy__hf_vocabulary *vocabulary, token_visit visit) {
    const sy__json_document *json = &hf->tokenizer.json;
    sy__json_index vocab = sy__json_find(json, 0, "model.vocab"),
                   item = sy__json_first(json, vocab);
    bool is_list = sy__json_kind_of(json, vocab) == SY__JSON_ARRAY; /* Unigram: [piece, score] */
    if (!is_list && sy__json_kind_of(json, vocab) != SY__JSON_OBJECT) {
        return damaged(hf, "has no model.vocab");
    }
    for (uint32_t i = 0; i < sy__json_n(json, vocab); i++) {
        sy__json_index text = is_list ? sy__json_first(json, item) : item;
        sy__json_index number = sy__json_next(json, text);
        uint64_t id = i;
        double score = 0.0;
        bool good = is_list ? sy__json_n(json, item) == 2 && sy__json_f64_of(json, number, &score)
                            : sy__json_u64_of(json, number, &id);
        if (!good || sy__json_kind_of(json, text) != SY__JSON_STRING || id >= SY_LIMIT_VOCABULARY) {
            return damaged(hf, "has a token without an id or score, or over 1048576 of them");
        }
        if (!visit(hf, vocabulary, id, text, score)) {
            return false;
        }
        item = is_list ? sy__json_next(json, item) : sy__json_next(json, number);
    }
    return true;
}

static bool count_token(sy__hf *hf, sy__hf_vocabulary *vocabulary, uint64_t id, sy__json_index text,
                        double score) {
    (void)hf;
    (void)text;
    (void)score;
    vocabulary->n = id >= vocabulary->n ? (uint32_t)id + 1 : vocabulary->n;
    return true;
}

static bool set_text(sy__hf *hf, sy__hf_token *token, sy__json_index text) {
    size_t n = 0;
    if (!sy__json_text(&hf->tokenizer.json, text, &hf->scratch, &token->bytes, &n)) {
        return sy__hf_no_memory(hf, "the vocabulary");
    }
    if (n > SY_LIMIT_TOKEN_BYTES) {
        return damaged(hf, "has a token of more than 65535 bytes");
    }
    token->n_bytes = (uint32_t)n;
    return true;
}

static bool add_token(sy__hf *hf, sy__hf_vocabulary *vocabulary, uint64_t id, sy__json_index text,
                      double score) {
    sy__hf_token *token = &vocabulary->tokens[id];
    token->type = SY__HF_NORMAL;
    token->score = (float)score;
    return (token->bytes == NULL || damaged(hf, "has two tokens of one id")) &&
           set_text(hf, token, text);
}

/* Tokens found in a text before anything else. */
static bool add_added(sy__hf *hf, sy__hf_vocabulary *vocabulary, sy__json_index entry) {
    const sy__json_document *json = &hf->tokenizer.json;
    sy__json_index content = sy__json_member(json, entry, "content");
    uint64_t id = 0;
    if (!sy__json_u64_of(json, sy__json_member(json, entry, "id"), &id) || id >= vocabulary->n ||
        sy__json_kind_of(json, content) != SY__JSON_STRING) {
        return damaged(hf, "has an added token without an id or a text");
    }
    sy__hf_token *token = &vocabulary->tokens[id];
    bool was_there = token->bytes != NULL;
    if (!set_text(hf, token, content)) {
        return false;
    }
    if (sy__json_bool_of(json, sy__json_member(json, entry, "single_word"), false)) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, "Take another variant of the model.",
                           "The added token '%.*s' counts only as a whole word (single_word).",
                           (int)token->n_bytes, token->bytes);
    }
    bool special = sy__json_bool_of(json, sy__json_member(json, entry, "special"), false);
    /* A piece with the mark of a space comes out of merging; as a symbol it would be looked for
     * where the text has spaces. */
    bool is_piece = was_there && strcmp(vocabulary->kind, "llama") == 0 &&
                    memmem(token->bytes, token->n_bytes, "\xe2\x96\x81", 3) != NULL;
    token->type = special ? SY__HF_CONTROL : is_piece ? SY__HF_NORMAL : SY__HF_USER;
    bool left = sy__json_bool_of(json, sy__json_member(json, entry, "lstrip"), false);
    bool right = sy__json_bool_of(json, sy__json_member(json, entry, "rstrip"), false);
    token->strips = (uint8_t)((left ? 1u : 0u) | (right ? 2u : 0u));
    return true;
}

/* The largest id of the added tokens counts too. */
static bool each_added(sy__hf *hf, sy__hf_vocabulary *vocabulary, bool only_count) {
    const sy__json_document *json = &hf->tokenizer.json;
    sy__json_index list = sy__json_member(json, 0, "added_tokens");
    sy__json_index entry = sy__json_first(json, list);
    for (uint32_t i = 0; i < sy__json_n(json, list); i++) {
        uint64_t id = 0;
        if (only_count && sy__json_u64_of(json, sy__json_member(json, entry, "id"), &id) &&
            id < SY_LIMIT_VOCABULARY) {
            count_token(hf, vocabulary, id, entry, 0.0);
        }
        if (!only_count && !add_added(hf, vocabulary, entry)) {
            return false;
        }
        entry = sy__json_next(json, entry);
    }
    return true;
}

static bool is_byte_name(const sy__hf_token *token) {
    return token->n_bytes == 6 && memcmp(token->bytes, "<0x", 3) == 0 && token->bytes[5] == '>';
}

/* WordPiece in GGUF: what begins a word has a mark in front, what goes on has none. */
static bool respell_pieces(sy__hf *hf, sy__hf_vocabulary *vocabulary) {
    static const char mark[] = "\xe2\x96\x81";
    for (uint32_t i = 0; i < vocabulary->n; i++) {
        sy__hf_token *token = &vocabulary->tokens[i];
        if (token->bytes == NULL || token->type != SY__HF_NORMAL) {
            continue;
        }
        if (token->n_bytes > 2 && memcmp(token->bytes, "##", 2) == 0) {
            token->bytes += 2;
            token->n_bytes -= 2;
            continue;
        }
        char *text = sy__arena_alloc(&hf->scratch, (size_t)token->n_bytes + 4, 1);
        if (text == NULL) {
            return sy__hf_no_memory(hf, "the vocabulary");
        }
        memcpy(text, mark, 3);
        memcpy(text + 3, token->bytes, token->n_bytes);
        token->bytes = text;
        token->n_bytes += 3;
    }
    return true;
}

/* Unknown and byte tokens, and names for ids that nothing has. */
static bool finish_tokens(sy__hf *hf, sy__hf_vocabulary *vocabulary) {
    const sy__json_document *json = &hf->tokenizer.json;
    const char *unknown =
        sy__hf_string(hf, &hf->tokenizer, sy__json_find(json, 0, "model.unk_token"));
    uint64_t unknown_id = UINT64_MAX;
    if (!sy__json_u64_of(json, sy__json_find(json, 0, "model.unk_id"), &unknown_id)) {
        unknown_id = UINT64_MAX;
    }
    for (uint32_t i = 0; i < vocabulary->n; i++) {
        sy__hf_token *token = &vocabulary->tokens[i];
        if (token->bytes == NULL) {
            char name[24];
            token->n_bytes = (uint32_t)snprintf(name, sizeof(name), "[PAD%u]", i);
            token->bytes = sy__arena_string(&hf->scratch, name, token->n_bytes);
            token->type = SY__HF_UNUSED;
            if (token->bytes == NULL) {
                return sy__hf_no_memory(hf, "the vocabulary");
            }
        } else if (vocabulary->has_byte_tokens && is_byte_name(token)) {
            token->type = SY__HF_BYTE;
        } else if (i == unknown_id || (unknown != NULL && strlen(unknown) == token->n_bytes &&
                                       memcmp(unknown, token->bytes, token->n_bytes) == 0)) {
            token->type = SY__HF_UNKNOWN;
        }
    }
    return strcmp(vocabulary->kind, "bert") != 0 || respell_pieces(hf, vocabulary);
}

static void put_texts(sy__hf *hf, const sy__hf_vocabulary *vocabulary) {
    sy_gguf_writer_begin_strings(hf->writer, "tokenizer.ggml.tokens", vocabulary->n);
    for (uint32_t i = 0; i < vocabulary->n; i++) {
        sy_gguf_writer_add_string(hf->writer, vocabulary->tokens[i].bytes,
                                  vocabulary->tokens[i].n_bytes);
    }
}

static bool put_columns(sy__hf *hf, const sy__hf_vocabulary *vocabulary) {
    size_t n = vocabulary->n;
    int32_t *types = sy__arena_alloc(&hf->scratch, n, sizeof(*types));
    float *scores = sy__arena_alloc(&hf->scratch, n, sizeof(*scores));
    uint8_t *strips = sy__arena_alloc(&hf->scratch, n, 1);
    if (types == NULL || scores == NULL || strips == NULL) {
        return sy__hf_no_memory(hf, "the vocabulary");
    }
    for (size_t i = 0; i < n; i++) {
        types[i] = vocabulary->tokens[i].type;
        scores[i] = vocabulary->tokens[i].score;
        strips[i] = vocabulary->tokens[i].strips;
    }
    sy_gguf_writer_put_array(hf->writer, "tokenizer.ggml.token_type", SY_GGUF_I32, types, n);
    if (vocabulary->has_scores) {
        sy_gguf_writer_put_array(hf->writer, "tokenizer.ggml.scores", SY_GGUF_F32, scores, n);
    }
    sy_gguf_writer_put_array(hf->writer, SY_HUGGINGFACE_STRIPS, SY_GGUF_U8, strips, n);
    return true;
}

static bool put_merges(sy__hf *hf, const sy__hf_vocabulary *vocabulary) {
    const sy__json_document *json = &hf->tokenizer.json;
    sy__json_index merge = sy__json_first(json, vocabulary->merges);
    uint32_t n = sy__json_n(json, vocabulary->merges);
    if (vocabulary->merges == SY__JSON_NONE) {
        return true;
    }
    if (n > 4 * SY_LIMIT_VOCABULARY) {
        return damaged(hf, "has more than 4194304 merges");
    }
    sy_gguf_writer_begin_strings(hf->writer, "tokenizer.ggml.merges", n);
    for (uint32_t i = 0; i < n; i++) {
        const char *halves[2];
        size_t lengths[2];
        if (!sy__hf_merge_halves(hf, merge, halves, lengths)) {
            return false;
        }
        char *text = sy__arena_alloc(&hf->scratch, lengths[0] + lengths[1] + 1, 1);
        if (text == NULL) {
            return sy__hf_no_memory(hf, "the merges");
        }
        memcpy(text, halves[0], lengths[0]);
        text[lengths[0]] = ' ';
        memcpy(text + lengths[0] + 1, halves[1], lengths[1]);
        sy_gguf_writer_add_string(hf->writer, text, lengths[0] + lengths[1] + 1);
        merge = sy__json_next(json, merge);
    }
    return true;
}

static void put_choices(sy__hf *hf, const sy__hf_vocabulary *vocabulary) {
    sy_gguf_writer_put_string(hf->writer, "tokenizer.ggml.model", vocabulary->kind,
                              strlen(vocabulary->kind));
    if (vocabulary->pre != NULL) {
        sy_gguf_writer_put_string(hf->writer, "tokenizer.ggml.pre", vocabulary->pre,
                                  strlen(vocabulary->pre));
    }
    if (vocabulary->add_space_prefix >= 0) {
        sy_gguf_writer_put_bool(hf->writer, "tokenizer.ggml.add_space_prefix",
                                vocabulary->add_space_prefix);
    }
    const struct {
        const char *key;
        bool flag;
    } own[] = {{SY_HUGGINGFACE_PREFIX_ONCE, vocabulary->prefix_once},
               {SY_HUGGINGFACE_PREFIX_IF_MISSING, vocabulary->prefix_if_missing},
               {SY_HUGGINGFACE_KEEPS_CASE, vocabulary->keeps_case}};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (own[i].flag) {
            sy_gguf_writer_put_bool(hf->writer, own[i].key, 1);
        }
    }
    if (vocabulary->remove_whitespaces >= 0) {
        sy_gguf_writer_put_bool(hf->writer, "tokenizer.ggml.remove_extra_whitespaces",
                                vocabulary->remove_whitespaces);
    }
    if (vocabulary->charsmap != NULL) {
        sy_gguf_writer_put_array(hf->writer, "tokenizer.ggml.precompiled_charsmap", SY_GGUF_U8,
                                 vocabulary->charsmap, vocabulary->n_charsmap_bytes);
    }
}

bool sy__hf_put_tokenizer(sy__hf *hf) {
    sy__hf_vocabulary vocabulary = {
        .merges = SY__JSON_NONE, .add_space_prefix = -1, .remove_whitespaces = -1};
    if (!visit_tokens(hf, &vocabulary, count_token) || !each_added(hf, &vocabulary, true)) {
        return false;
    }
    uint32_t n_room = hf->n_rows > vocabulary.n ? hf->n_rows : vocabulary.n;
    vocabulary.tokens = sy__arena_alloc(&hf->scratch, n_room, sizeof(*vocabulary.tokens));
    if (vocabulary.tokens == NULL || n_room > SY_LIMIT_VOCABULARY) {
        return sy__hf_no_memory(hf, "the vocabulary");
    }
    if (!visit_tokens(hf, &vocabulary, add_token) || !sy__hf_choose_kind(hf, &vocabulary) ||
        !each_added(hf, &vocabulary, false)) {
        return false;
    }
    /* As many tokens as the embedding has rows: the tokens behind them have no meaning. */
    vocabulary.n = hf->n_rows > 0 ? hf->n_rows : vocabulary.n;
    if (!finish_tokens(hf, &vocabulary)) {
        return false;
    }
    if (strcmp(vocabulary.kind, "llama") == 0 && !sy__hf_score_merges(hf, &vocabulary)) {
        return false;
    }
    put_choices(hf, &vocabulary);
    put_texts(hf, &vocabulary);
    return put_columns(hf, &vocabulary) && put_merges(hf, &vocabulary) &&
           sy__hf_put_specials(hf, &vocabulary);
}
