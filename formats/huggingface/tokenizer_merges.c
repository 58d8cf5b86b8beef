/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SentencePiece joins the pair whose result has the best score; tokenizers joins the pair whose
 * merge comes first. The two agree when the merges of one result lie together and every pair of
 * tokens that makes a token is among them, which holds for what SentencePiece models are turned
 * into. Then the place of a token's merges is its score. Anything else is refused.
 */
#include "internal.h"

#include "base/clock.h"

#include <string.h>

static const char hint_merges[] = "Take a GGUF file of the model, or one with a SentencePiece "
                                  "vocabulary.";

bool sy__hf_merge_halves(sy__hf *hf, sy__json_index merge, const char *out_bytes[2],
                         size_t out_n_bytes[2]) {
    const sy__json_document *json = &hf->tokenizer.json;
    sy__json_index first = sy__json_first(json, merge);
    bool good = true;
    if (sy__json_kind_of(json, merge) == SY__JSON_STRING) { /* "left right" */
        const char *text = NULL;
        size_t n = 0;
        if (!sy__json_text(json, merge, &hf->scratch, &text, &n)) {
            return sy__hf_no_memory(hf, "the merges");
        }
        const char *space = n > 2 ? memchr(text + 1, ' ', n - 1) : NULL;
        good = space != NULL;
        out_bytes[0] = text;
        out_n_bytes[0] = good ? (size_t)(space - text) : 0;
        out_bytes[1] = good ? space + 1 : text;
        out_n_bytes[1] = good ? n - out_n_bytes[0] - 1 : 0;
    } else { /* ["left", "right"] */
        good = sy__json_n(json, merge) == 2 &&
               sy__json_text(json, first, &hf->scratch, &out_bytes[0], &out_n_bytes[0]) &&
               sy__json_text(json, sy__json_next(json, first), &hf->scratch, &out_bytes[1],
                             &out_n_bytes[1]);
    }
    return (good && out_n_bytes[0] > 0 && out_n_bytes[1] > 0) ||
           sy__hf_fail(hf, SY_DATA_LOSS, "Fetch tokenizer.json again.",
                       "tokenizer.json has a merge that is no pair of texts.");
}

/* Text to token, over the vocabulary's own texts. The seed keeps made-up vocabularies from filling
 * one place. */
typedef struct text_table {
    const sy__hf_vocabulary *vocabulary;
    uint32_t *slots; /* id plus 1; 0 free */
    uint64_t mask, seed;
} text_table;

static uint64_t hash(const text_table *table, const char *bytes, size_t n) {
    uint64_t h = table->seed;
    for (size_t i = 0; i < n; i++) {
        h = (h ^ (uint8_t)bytes[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return h;
}

static bool is_text(const sy__hf_token *token, const char *bytes, size_t n) {
    return token->n_bytes == n && memcmp(token->bytes, bytes, n) == 0;
}

static uint32_t lookup(const text_table *table, const char *bytes, size_t n) {
    uint64_t at = hash(table, bytes, n) & table->mask;
    while (table->slots[at] != 0) {
        if (is_text(&table->vocabulary->tokens[table->slots[at] - 1], bytes, n)) {
            return table->slots[at] - 1;
        }
        at = (at + 1) & table->mask;
    }
    return UINT32_MAX;
}

static bool make_table(sy__hf *hf, const sy__hf_vocabulary *vocabulary, text_table *table) {
    uint64_t n_slots = 64;
    while (n_slots < 2 * (uint64_t)vocabulary->n) {
        n_slots *= 2;
    }
    *table = (text_table){.vocabulary = vocabulary,
                          .mask = n_slots - 1,
                          .seed = sy__clock_now_ns() ^ (uint64_t)(uintptr_t)vocabulary};
    table->slots = sy__arena_alloc(&hf->scratch, (size_t)n_slots, sizeof(*table->slots));
    if (table->slots == NULL) {
        return sy__hf_no_memory(hf, "the merges");
    }
    for (uint32_t i = 0; i < vocabulary->n; i++) {
        const sy__hf_token *token = &vocabulary->tokens[i];
        uint64_t at = hash(table, token->bytes, token->n_bytes) & table->mask;
        while (table->slots[at] != 0) {
            at = (at + 1) & table->mask;
        }
        table->slots[at] = i + 1;
    }
    return true;
}

static bool joins(const sy__hf_token *token) {
    return token->type == SY__HF_NORMAL || token->type == SY__HF_USER;
}

/* In how many ways two tokens make this one. */
static uint32_t count_pairs(const text_table *table, const sy__hf_token *token) {
    const sy__hf_token *tokens = table->vocabulary->tokens;
    uint32_t n = 0;
    for (uint32_t cut = 1; cut < token->n_bytes; cut++) {
        if (((uint8_t)token->bytes[cut] & 0xc0) == 0x80) {
            continue; /* inside of a character */
        }
        uint32_t left = lookup(table, token->bytes, cut);
        if (left == UINT32_MAX || !joins(&tokens[left])) {
            continue;
        }
        uint32_t right = lookup(table, token->bytes + cut, token->n_bytes - cut);
        n += right != UINT32_MAX && joins(&tokens[right]);
    }
    return n;
}

static bool odd_merges(sy__hf *hf, const sy__hf_token *token) {
    return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_merges,
                       "The merges of tokenizer.json are not those of a SentencePiece model: those "
                       "that make '%.*s' are not complete and in one place.",
                       (int)(token->n_bytes < 64 ? token->n_bytes : 64), token->bytes);
}

bool sy__hf_score_merges(sy__hf *hf, sy__hf_vocabulary *vocabulary) {
    const sy__json_document *json = &hf->tokenizer.json;
    sy__json_index merges = sy__json_find(json, 0, "model.merges");
    sy__json_index merge = sy__json_first(json, merges);
    uint32_t *counts = sy__arena_alloc(&hf->scratch, vocabulary->n, sizeof(*counts));
    uint32_t last = UINT32_MAX;
    float score = 0.0f;
    text_table table;
    if (counts == NULL || !make_table(hf, vocabulary, &table)) {
        return sy__hf_no_memory(hf, "the merges");
    }
    for (uint32_t i = 0; i < sy__json_n(json, merges); i++) {
        const char *halves[2];
        size_t lengths[2];
        if (!sy__hf_merge_halves(hf, merge, halves, lengths)) {
            return false;
        }
        char text[512];
        size_t n = lengths[0] + lengths[1];
        uint32_t id = UINT32_MAX;
        if (n <= sizeof(text)) {
            memcpy(text, halves[0], lengths[0]);
            memcpy(text + lengths[0], halves[1], lengths[1]);
            id = lookup(&table, text, n);
        }
        merge = sy__json_next(json, merge);
        if (id == UINT32_MAX) {
            continue; /* behind the last row of the embedding, or longer than any piece */
        }
        if (id != last && counts[id] > 0) {
            return odd_merges(hf, &vocabulary->tokens[id]);
        }
        score -= id != last ? 1.0f : 0.0f;
        vocabulary->tokens[id].score = score;
        counts[id]++;
        last = id;
    }
    for (uint32_t i = 0; i < vocabulary->n; i++) {
        const sy__hf_token *token = &vocabulary->tokens[i];
        if (joins(token) && counts[i] < count_pairs(&table, token)) {
            return odd_merges(hf, token);
        }
    }
    return true;
}
