/* SPDX-License-Identifier: Apache-2.0 */
/* sy_tokenizer_create: checks a vocabulary, copies it, builds the tables. */
#include "base/checked.h"
#include "base/clock.h"
#include "tokenizer/tokenizer.h"

#include <string.h>

void sy_vocabulary_init(sy_vocabulary *out_vocabulary) {
    memset(out_vocabulary, 0, sizeof *out_vocabulary);
    out_vocabulary->struct_bytes = (uint32_t)sizeof *out_vocabulary;
    out_vocabulary->bos = out_vocabulary->eos = out_vocabulary->eot = SY_NO_TOKEN;
    out_vocabulary->eom = out_vocabulary->unk = out_vocabulary->sep = SY_NO_TOKEN;
    out_vocabulary->pad = out_vocabulary->cls = out_vocabulary->mask = SY_NO_TOKEN;
    out_vocabulary->add_bos = out_vocabulary->add_eos = SY_CHOICE_DEFAULT;
    out_vocabulary->add_sep = out_vocabulary->add_space_prefix = SY_CHOICE_DEFAULT;
    out_vocabulary->remove_extra_whitespaces = SY_CHOICE_DEFAULT;
    out_vocabulary->escape_whitespaces = SY_CHOICE_DEFAULT;
    out_vocabulary->whitespace_as_suffix = out_vocabulary->lowercase = SY_CHOICE_DEFAULT;
}

static bool choose(sy_choice choice, bool by_default) {
    return choice == SY_CHOICE_DEFAULT ? by_default : choice != SY_CHOICE_NO;
}

static void choose_model(sy_tokenizer *t, sy__model model, const sy_vocabulary *v) {
    bool piece = model == SY__MODEL_SPM || model == SY__MODEL_UNIGRAM;
    bool bert = model == SY__MODEL_WORDPIECE;
    const sy__pre *pre = t->pre;
    bool ends = pre != NULL && pre->add_ends;
    t->model = model;
    t->add_bos =
        choose(v->add_bos, model == SY__MODEL_SPM || bert || ends || (pre != NULL && pre->add_bos));
    t->add_eos = choose(v->add_eos, model == SY__MODEL_UNIGRAM);
    t->add_sep = choose(v->add_sep, bert || ends);
    t->space_prefix = choose(v->add_space_prefix, piece) && piece;
    t->remove_extra = choose(v->remove_extra_whitespaces, false);
    t->escape = choose(v->escape_whitespaces, piece || (pre != NULL && pre->raw));
    t->suffix = choose(v->whitespace_as_suffix, false);
    t->lowercase = choose(v->lowercase, bert);
}

static sy_status read_model(sy_tokenizer *t, const sy_vocabulary *v, sy_error *error) {
    const char *model = v->model != NULL ? v->model : "";
    if (strcmp(model, "llama") == 0) {
        choose_model(t, SY__MODEL_SPM, v);
    } else if (strcmp(model, "t5") == 0) {
        choose_model(t, SY__MODEL_UNIGRAM, v);
    } else if (strcmp(model, "bert") == 0) {
        choose_model(t, SY__MODEL_WORDPIECE, v);
    } else if (strcmp(model, "gpt2") == 0 || strcmp(model, "gemma4") == 0) {
        const char *pre = model[1] == 'e' ? model : v->pre;
        t->pre = sy__pre_find(pre);
        if (t->pre == NULL) {
            sy_error_set(error, SY_UNIMPLEMENTED, "The pre-tokenizer \"%.64s\" is not known.", pre);
            sy_error_hint(error, "Use a newer version, or a file whose tokenizer.ggml.pre is one "
                                 "of those in docs/tokenizers.md.");
            return SY_UNIMPLEMENTED;
        }
        choose_model(t, SY__MODEL_BPE, v);
    } else {
        sy_error_set(error, SY_UNIMPLEMENTED, "The tokenizer kind \"%.64s\" is not known.", model);
        sy_error_hint(error, "Known kinds are llama, gpt2, t5, bert and gemma4.");
        return SY_UNIMPLEMENTED;
    }
    return SY_OK;
}

/* Sizes, types and ids within bounds; answers the bytes of all tokens. */
static sy_status check(const sy_vocabulary *v, size_t *out_n_bytes, sy_error *error) {
    if (v->struct_bytes != sizeof *v || v->n_tokens == 0 || v->tokens == NULL ||
        v->n_tokens > SY_LIMIT_VOCABULARY || (v->n_merges > 0 && v->merges == NULL) ||
        v->n_merges > 4 * SY_LIMIT_VOCABULARY) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "A vocabulary has 1 to %u tokens and at most %u merges; this one has "
                            "%u and %u.",
                            SY_LIMIT_VOCABULARY, 4 * SY_LIMIT_VOCABULARY, v->n_tokens, v->n_merges);
    }
    size_t n_bytes = 0;
    for (uint32_t i = 0; i < v->n_tokens; i++) {
        int32_t type = v->types != NULL ? v->types[i] : SY_TOKEN_NORMAL;
        if (v->tokens[i].n_bytes > SY_LIMIT_TOKEN_BYTES || type < 0 || type > SY_TOKEN_BYTE ||
            !sy__add_size(n_bytes, v->tokens[i].n_bytes, &n_bytes) || n_bytes > UINT32_MAX) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "Token %u is too long or of an unknown type (%zu bytes, type %d).",
                                i, v->tokens[i].n_bytes, (int)type);
        }
    }
    const int32_t ids[] = {v->bos, v->eos, v->eot, v->eom, v->unk, v->sep, v->pad, v->cls, v->mask};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        if (ids[i] != SY_NO_TOKEN && (ids[i] < 0 || (uint32_t)ids[i] >= v->n_tokens)) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "Special token id %d lies outside the vocabulary of %u tokens.",
                                (int)ids[i], v->n_tokens);
        }
    }
    *out_n_bytes = n_bytes;
    return SY_OK;
}

static bool is_mapped_type(uint32_t type) {
    return type == SY_TOKEN_NORMAL || type == SY_TOKEN_UNUSED;
}

/* Texts into one block. Normal tokens of byte-level BPE become the bytes they stand for. */
static bool copy_tokens(sy_tokenizer *t, const sy_vocabulary *v, size_t n_bytes) {
    size_t n = v->n_tokens;
    t->n_tokens = v->n_tokens;
    t->n_text_bytes = n_bytes;
    t->texts = sy__alloc_array(t->allocator, n_bytes, 1);
    t->offsets = sy__alloc_array(t->allocator, n + 1, sizeof *t->offsets);
    t->types = sy__alloc_array(t->allocator, n, 1);
    t->ends = sy__alloc_array(t->allocator, n, 1);
    t->scores = sy__alloc_array(t->allocator, n, sizeof *t->scores);
    if (t->texts == NULL || t->offsets == NULL || t->types == NULL || t->ends == NULL ||
        t->scores == NULL) {
        return false;
    }
    bool mapped = t->model == SY__MODEL_BPE && !t->pre->raw;
    uint32_t at = 0;
    for (uint32_t i = 0; i < t->n_tokens; i++) {
        sy_token_text text = v->tokens[i];
        int32_t type = v->types != NULL && v->types[i] != 0 ? v->types[i] : SY_TOKEN_NORMAL;
        t->types[i] = (uint8_t)type;
        t->scores[i] = v->scores != NULL && v->scores[i] == v->scores[i] ? v->scores[i] : 0.0f;
        t->offsets[i] = at;
        size_t length = text.n_bytes;
        if (mapped && is_mapped_type(t->types[i])) {
            length = sy__bytes_from_spelling(text.bytes, text.n_bytes, t->texts + at);
        }
        if (length == SIZE_MAX) {
            t->types[i] = SY__TOKEN_UNREACHABLE;
            length = text.n_bytes;
        }
        if (!mapped || !is_mapped_type(t->types[i])) {
            memcpy(t->texts + at, text.bytes != NULL ? text.bytes : "", length);
        }
        at += (uint32_t)length;
        t->n_max_token_bytes =
            length > t->n_max_token_bytes ? (uint32_t)length : t->n_max_token_bytes;
        t->has_unused |= type == SY_TOKEN_UNUSED;
    }
    t->offsets[t->n_tokens] = at;
    return true;
}

/* Files that type every token as normal: what they name as begin, end and so on is control, when
 * its spelling says so too ("<...>", "[...]"). */
static void mark_controls(sy_tokenizer *t, const sy_vocabulary *v) {
    const int32_t ids[] = {v->bos, v->eos, v->eot, v->eom, v->sep, v->pad, v->cls, v->mask};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        if (ids[i] == SY_NO_TOKEN || t->types[ids[i]] != SY_TOKEN_NORMAL) {
            continue;
        }
        sy_token_text text = sy__token_text(t, (uint32_t)ids[i]);
        char first = text.n_bytes > 2 ? text.bytes[0] : ' ';
        char last = text.n_bytes > 2 ? text.bytes[text.n_bytes - 1] : ' ';
        if ((first == '<' && last == '>') || (first == '[' && last == ']')) {
            t->types[ids[i]] = SY_TOKEN_CONTROL;
        }
    }
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int sy__byte_of_name(sy_token_text text) {
    if (text.n_bytes != 6 || memcmp(text.bytes, "<0x", 3) != 0 || text.bytes[5] != '>') {
        return -1;
    }
    int high = hex_digit(text.bytes[3]), low = hex_digit(text.bytes[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Which token stands for each single byte. */
static void find_bytes(sy_tokenizer *t) {
    for (int byte = 0; byte < 256; byte++) {
        t->byte_ids[byte] = SY_NO_TOKEN;
    }
    bool mapped = t->model == SY__MODEL_BPE && !t->pre->raw;
    for (uint32_t i = t->n_tokens; i-- > 0;) {
        sy_token_text text = sy__token_text(t, i);
        if (t->types[i] == SY_TOKEN_BYTE && sy__byte_of_name(text) >= 0) {
            t->byte_ids[sy__byte_of_name(text)] = (int32_t)i;
        } else if (mapped && t->types[i] == SY_TOKEN_NORMAL && text.n_bytes == 1) {
            t->byte_ids[(uint8_t)text.bytes[0]] = (int32_t)i;
        }
    }
    t->has_bytes = true;
    for (int byte = 0; byte < 256; byte++) {
        t->has_bytes = t->has_bytes && t->byte_ids[byte] != SY_NO_TOKEN;
    }
}

/* Control tokens that end a turn or a text in the families' files, whether or not the file says. */
static bool ends_by_name(sy_token_text text) {
    static const char *const names[] = {"<|eot_id|>",
                                        "<|im_end|>",
                                        "<|end|>",
                                        "<end_of_turn>",
                                        "<|endoftext|>",
                                        "<|eom_id|>",
                                        "<EOT>",
                                        "<turn|>",
                                        "</s>",
                                        "<eos>",
                                        "<|return|>",
                                        "<|call|>",
                                        "<|end_of_text|>",
                                        "<end_of_utterance>",
                                        ("<\xef\xbd\x9c"
                                         "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>")};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i]) == text.n_bytes && memcmp(names[i], text.bytes, text.n_bytes) == 0) {
            return true;
        }
    }
    return false;
}

static void read_specials(sy_tokenizer *t, const sy_vocabulary *v) {
    const int32_t ids[] = {v->bos, v->eos, v->eot, v->eom, v->unk, v->sep, v->pad, v->cls, v->mask};
    memcpy(t->special_ids, ids, sizeof ids);
    for (uint32_t i = 0; i < t->n_tokens; i++) {
        t->ends[i] = (t->types[i] == SY_TOKEN_CONTROL || t->types[i] == SY_TOKEN_USER_DEFINED) &&
                     ends_by_name(sy__token_text(t, i));
    }
    const int32_t ends[] = {v->eos, v->eot, v->eom};
    for (size_t i = 0; i < 3; i++) {
        if (ends[i] != SY_NO_TOKEN) {
            t->ends[ends[i]] = 1;
        }
    }
}

/* What an unknown character costs in unigram: more than the worst piece. */
static void read_scores(sy_tokenizer *t) {
    float low = 0.0f;
    bool any = false;
    for (uint32_t i = 0; i < t->n_tokens; i++) {
        if (t->types[i] == SY_TOKEN_NORMAL) {
            low = !any || t->scores[i] < low ? t->scores[i] : low;
            any = true;
        }
    }
    t->unknown_score = low - 10.0f;
}

/* Which tokens a trie holds. */
typedef enum trie_of { TRIE_SPECIAL, TRIE_USER, TRIE_USER_RAW, TRIE_PIECES } trie_of;

static bool belongs(const sy_tokenizer *t, trie_of which, uint32_t id) {
    bool sentence_piece = t->model == SY__MODEL_SPM || t->model == SY__MODEL_UNIGRAM;
    uint32_t bit = SY__TYPE_BIT(t->types[id]);
    switch (which) {
    case TRIE_SPECIAL:
        return (bit & SY__TYPES_SPECIAL) != 0 ||
               (!sentence_piece && t->types[id] == SY_TOKEN_USER_DEFINED);
    case TRIE_USER:
    case TRIE_USER_RAW:
        return sentence_piece && t->types[id] == SY_TOKEN_USER_DEFINED;
    case TRIE_PIECES:
        return t->model == SY__MODEL_UNIGRAM &&
               (t->types[id] == SY_TOKEN_NORMAL || t->types[id] == SY_TOKEN_USER_DEFINED);
    }
    return false;
}

/* GGUF stores user-defined symbols of SentencePiece with plain spaces; the text they are looked
 * for in has its spaces escaped by then. Writes 3 bytes a space at most. */
static size_t escape_spaces(sy_token_text text, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < text.n_bytes; i++) {
        if (text.bytes[i] == ' ') {
            memcpy(out + n, SY__SPACE_MARK, SY__SPACE_MARK_BYTES);
            n += SY__SPACE_MARK_BYTES;
        } else {
            out[n++] = text.bytes[i];
        }
    }
    return n;
}

typedef struct trie_input {
    sy_token_text *texts;
    int32_t *ids;
    char *escaped;
    uint32_t n;
    size_t n_escaped_bytes;
} trie_input;

static void fill_trie(const sy_tokenizer *t, trie_of which, trie_input *input) {
    size_t n_escaped = 0;
    for (uint32_t id = 0; id < t->n_tokens; id++) {
        sy_token_text text = sy__token_text(t, id);
        if (!belongs(t, which, id)) {
            continue;
        }
        if (t->types[id] == SY_TOKEN_USER_DEFINED && t->escape &&
            (which == TRIE_USER || which == TRIE_PIECES)) {
            char *to = input->escaped + n_escaped;
            text.n_bytes = escape_spaces(text, to);
            text.bytes = to;
            n_escaped += text.n_bytes;
        }
        input->texts[input->n] = text;
        input->ids[input->n++] = (int32_t)id;
    }
}

static bool build_trie(sy_tokenizer *t, trie_of which, sy__trie *trie) {
    uint32_t n = 0;
    size_t n_bytes = 0;
    for (uint32_t id = 0; id < t->n_tokens; id++) {
        if (belongs(t, which, id)) {
            n++;
            n_bytes += t->types[id] == SY_TOKEN_USER_DEFINED
                           ? SY__SPACE_MARK_BYTES * sy__token_text(t, id).n_bytes
                           : 0;
        }
    }
    if (n == 0) {
        return true;
    }
    trie_input input = {0};
    input.texts = sy__alloc_array(t->allocator, n, sizeof *input.texts);
    input.ids = sy__alloc_array(t->allocator, n, sizeof *input.ids);
    input.escaped = sy__alloc_array(t->allocator, n_bytes, 1);
    bool good = input.texts != NULL && input.ids != NULL && input.escaped != NULL;
    if (good) {
        fill_trie(t, which, &input);
        good = sy__trie_init(trie, t->allocator, input.texts, input.ids, input.n);
    }
    sy__free_array(t->allocator, input.texts, n, sizeof *input.texts);
    sy__free_array(t->allocator, input.ids, n, sizeof *input.ids);
    sy__free_array(t->allocator, input.escaped, n_bytes, 1);
    return good;
}

static sy_status build(sy_tokenizer *t, const sy_vocabulary *v, sy_error *error) {
    size_t n_bytes = 0;
    sy_status status = check(v, &n_bytes, error);
    if (status == SY_OK) {
        status = read_model(t, v, error);
    }
    if (status != SY_OK) {
        return status;
    }
    if (!copy_tokens(t, v, n_bytes)) {
        return sy__no_memory(error, n_bytes, "the vocabulary");
    }
    mark_controls(t, v);
    if (!sy__table_create(t) || !build_trie(t, TRIE_SPECIAL, &t->special) ||
        !build_trie(t, TRIE_USER, &t->user) || !build_trie(t, TRIE_USER_RAW, &t->user_raw) ||
        !build_trie(t, TRIE_PIECES, &t->pieces)) {
        return sy__no_memory(error, n_bytes, "the vocabulary");
    }
    if (v->strips != NULL) {
        t->strips = sy__alloc_array(t->allocator, v->n_tokens, 1);
        if (t->strips == NULL) {
            return sy__no_memory(error, v->n_tokens, "the vocabulary");
        }
        memcpy(t->strips, v->strips, v->n_tokens);
    }
    find_bytes(t);
    read_specials(t, v);
    read_scores(t);
    if (t->model == SY__MODEL_BPE) {
        status = sy__merges_create(t, v, error);
        return status != SY_OK ? status
                               : sy__regexes_init(&t->regexes, t->allocator, t->pre, error);
    }
    return sy__charsmap_init(&t->charsmap, t->allocator, v->charsmap, v->n_charsmap_bytes, error);
}

sy_status sy_tokenizer_create(const sy_allocator *allocator, const sy_vocabulary *vocabulary,
                              sy_tokenizer **out_tokenizer, sy_error *error) {
    if (vocabulary == NULL || out_tokenizer == NULL) {
        return sy_error_set(error, SY_INVALID_ARGUMENT, "A tokenizer needs a vocabulary.");
    }
    allocator = sy__allocator_or_heap(allocator);
    sy_tokenizer *t = SY__NEW(allocator, sy_tokenizer);
    if (t == NULL) {
        return sy__no_memory(error, sizeof *t, "a tokenizer");
    }
    t->allocator = allocator;
    t->seed = sy__clock_now_ns() * 0x9e3779b97f4a7c15ull ^ (uint64_t)(uintptr_t)t;
    sy_status status = build(t, vocabulary, error);
    if (status != SY_OK) {
        sy_tokenizer_destroy(t);
        return status;
    }
    *out_tokenizer = t;
    return SY_OK;
}

void sy_tokenizer_destroy(sy_tokenizer *t) {
    if (t == NULL) {
        return;
    }
    const sy_allocator *allocator = t->allocator;
    sy__regexes_deinit(&t->regexes);
    sy__charsmap_deinit(&t->charsmap, allocator);
    sy__trie_deinit(&t->special, allocator);
    sy__trie_deinit(&t->user, allocator);
    sy__trie_deinit(&t->user_raw, allocator);
    sy__trie_deinit(&t->pieces, allocator);
    sy__free_array(allocator, t->merges, t->n_merges, sizeof *t->merges);
    sy__free_array(allocator, t->merge_slots, t->n_merge_slots, sizeof *t->merge_slots);
    sy__free_array(allocator, t->slots, t->n_slots, sizeof *t->slots);
    sy__free_array(allocator, t->texts, t->n_text_bytes, 1);
    sy__free_array(allocator, t->offsets, (size_t)t->n_tokens + 1, sizeof *t->offsets);
    sy__free_array(allocator, t->scores, t->n_tokens, sizeof *t->scores);
    sy__free_array(allocator, t->types, t->n_tokens, 1);
    sy__free_array(allocator, t->strips, t->n_tokens, 1);
    sy__free_array(allocator, t->ends, t->n_tokens, 1);
    SY__DELETE(allocator, t);
}
