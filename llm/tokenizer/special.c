/* SPDX-License-Identifier: Apache-2.0 */
/* What a vocabulary has beside its normal pieces: control tokens, ends, bytes, symbols that are cut
 * out of a text before anything else. Most tokens are normal, so one pass lists the others and the
 * rest goes over that list. */
#include "tokenizer/tokenizer.h"

/* Ids of tokens that are not normal, rising. */
typedef struct odd_list {
    uint32_t *ids;
    uint32_t n;
} odd_list;

void sy__controls_mark(sy_tokenizer *t, const sy_vocabulary *v) {
    const int32_t ids[] = {v->bos, v->eos, v->eot, v->eom, v->sep, v->pad, v->cls, v->mask};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        if (ids[i] == SY_NO_TOKEN || t->types[ids[i]] != SY_TOKEN_NORMAL) {
            continue;
        }
        sy_token_text text = sy__token_text(t, (uint32_t)ids[i]);
        char first = text.n_bytes > 2 ? text.bytes[0] : ' ';
        char last = text.n_bytes > 2 ? text.bytes[text.n_bytes - 1] : ' ';
        if (!((first == '<' && last == '>') || (first == '[' && last == ']'))) {
            continue;
        }
        if (!t->spelled) {
            t->types[ids[i]] = SY_TOKEN_CONTROL;
        } else if (sy__bytes_from_spelling(text.bytes, text.n_bytes, NULL) != SIZE_MAX) {
            t->types[ids[i]] = SY__TOKEN_CONTROL_SPELLED;
        }
    }
}

static bool list_odd(const sy_tokenizer *t, odd_list *out_list) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n_tokens; i++) {
        n += t->types[i] != SY_TOKEN_NORMAL;
    }
    out_list->ids = sy__alloc_array(t->allocator, n, sizeof *out_list->ids);
    out_list->n = n;
    for (uint32_t i = 0, k = 0; out_list->ids != NULL && k < n; i++) {
        if (t->types[i] != SY_TOKEN_NORMAL) {
            out_list->ids[k++] = i;
        }
    }
    return out_list->ids != NULL;
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

static void take_byte_token(sy_tokenizer *t, int byte, int32_t id) {
    if (id != SY_NO_TOKEN && (t->byte_ids[byte] == SY_NO_TOKEN || id < t->byte_ids[byte])) {
        t->byte_ids[byte] = id;
    }
}

/* Which token stands for each single byte: the first that does. */
static void find_bytes(sy_tokenizer *t, const odd_list *odd) {
    for (int byte = 0; byte < 256; byte++) {
        t->byte_ids[byte] = SY_NO_TOKEN;
        if (t->spelled) {
            char raw = (char)byte, spelling[4];
            size_t n = sy__spelling_from_bytes(&raw, 1, spelling);
            take_byte_token(t, byte, sy__token_find(t, spelling, n, SY__TYPE_BIT(SY_TOKEN_NORMAL)));
        }
    }
    for (uint32_t k = 0; k < odd->n; k++) {
        if (t->types[odd->ids[k]] == SY_TOKEN_BYTE) {
            int byte = sy__byte_of_name(sy__token_text(t, odd->ids[k]));
            if (byte >= 0) {
                take_byte_token(t, byte, (int32_t)odd->ids[k]);
            }
        }
    }
    t->has_bytes = true;
    for (int byte = 0; byte < 256; byte++) {
        t->has_bytes = t->has_bytes && t->byte_ids[byte] != SY_NO_TOKEN;
        t->byte_pieces[byte] = sy__byte_find(t, (uint8_t)byte);
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

#define NAME_BYTES 128u /* no name above is spelled with more */

static sy_token_text name_of(const sy_tokenizer *t, uint32_t id, char buffer[NAME_BYTES]) {
    sy_token_text text = sy__token_text(t, id);
    if (t->types[id] == SY__TOKEN_CONTROL_SPELLED && text.n_bytes <= NAME_BYTES) {
        text.n_bytes = sy__bytes_from_spelling(text.bytes, text.n_bytes, buffer);
        text.bytes = buffer;
    }
    return text;
}

static bool find_ends(sy_tokenizer *t, const sy_vocabulary *v, const odd_list *odd) {
    const int32_t ids[] = {v->bos, v->eos, v->eot, v->eom, v->unk, v->sep, v->pad, v->cls, v->mask};
    memcpy(t->special_ids, ids, sizeof ids);
    t->ends = sy__alloc_array(t->allocator, (t->n_tokens + 7) / 8, 1);
    if (t->ends == NULL) {
        return false;
    }
    char name[NAME_BYTES];
    for (uint32_t k = 0; k < odd->n; k++) {
        uint32_t id = odd->ids[k];
        bool named = (SY__TYPE_BIT(t->types[id]) &
                      (SY__TYPE_BIT(SY_TOKEN_CONTROL) | SY__TYPE_BIT(SY__TOKEN_CONTROL_SPELLED) |
                       SY__TYPE_BIT(SY_TOKEN_USER_DEFINED))) != 0;
        if (named && ends_by_name(name_of(t, id, name))) {
            t->ends[id / 8] |= (uint8_t)(1u << id % 8);
        }
        t->has_user = t->has_user || t->types[id] == SY_TOKEN_USER_DEFINED;
    }
    const int32_t ends[] = {v->eos, v->eot, v->eom};
    for (uint32_t i = 0; i < 3 + v->n_more_ends; i++) {
        int32_t id = i < 3 ? ends[i] : v->more_ends[i - 3];
        if (id != SY_NO_TOKEN) {
            t->ends[id / 8] |= (uint8_t)(1u << id % 8);
        }
    }
    return true;
}

/* What an unknown character costs in unigram: more than the worst piece. */
static void read_scores(sy_tokenizer *t) {
    float low = 0.0f;
    bool any = false;
    for (uint32_t i = 0; t->model == SY__MODEL_UNIGRAM && i < t->n_tokens; i++) {
        if (t->types[i] == SY_TOKEN_NORMAL) {
            float score = sy__token_score(t, (int32_t)i);
            low = !any || score < low ? score : low;
            any = true;
        }
    }
    t->unknown_score = low - 10.0f;
}

/* Which tokens a trie holds. */
typedef enum trie_of { TRIE_SPECIAL, TRIE_USER, TRIE_USER_RAW } trie_of;

static bool belongs(const sy_tokenizer *t, trie_of which, uint32_t id) {
    bool sentence_piece = t->model == SY__MODEL_SPM || t->model == SY__MODEL_UNIGRAM;
    bool user = t->types[id] == SY_TOKEN_USER_DEFINED;
    if (which == TRIE_SPECIAL) {
        return (SY__TYPE_BIT(t->types[id]) & SY__TYPES_SPECIAL) != 0 || (!sentence_piece && user);
    }
    return sentence_piece && user;
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

/* What a trie is made of; texts that differ from the file's are written to `own`. */
typedef struct trie_input {
    sy_token_text *texts;
    int32_t *ids;
    char *own;
    uint32_t n;
    size_t n_own_bytes;
} trie_input;

static void add_text(const sy_tokenizer *t, trie_of which, uint32_t id, trie_input *input) {
    sy_token_text text = sy__token_text(t, id);
    char *to = input->own + input->n_own_bytes;
    bool escaped = t->escape && which == TRIE_USER;
    if (escaped || t->types[id] == SY__TOKEN_CONTROL_SPELLED) {
        text.n_bytes = escaped ? escape_spaces(text, to)
                               : sy__bytes_from_spelling(text.bytes, text.n_bytes, to);
        text.bytes = to;
        input->n_own_bytes += text.n_bytes;
    }
    input->texts[input->n] = text;
    input->ids[input->n++] = (int32_t)id;
}

static bool build_trie(sy_tokenizer *t, trie_of which, const odd_list *odd, sy__trie *trie) {
    uint32_t n = 0;
    size_t n_bytes = 0;
    for (uint32_t k = 0; k < odd->n; k++) {
        if (belongs(t, which, odd->ids[k])) {
            n++;
            n_bytes += SY__SPACE_MARK_BYTES * sy__token_text(t, odd->ids[k]).n_bytes;
        }
    }
    if (n == 0) {
        return true;
    }
    trie_input input = {0};
    input.texts = sy__alloc_array(t->allocator, n, sizeof *input.texts);
    input.ids = sy__alloc_array(t->allocator, n, sizeof *input.ids);
    input.own = sy__alloc_array(t->allocator, n_bytes, 1);
    bool good = input.texts != NULL && input.ids != NULL && input.own != NULL;
    for (uint32_t k = 0; good && k < odd->n; k++) {
        if (belongs(t, which, odd->ids[k])) {
            add_text(t, which, odd->ids[k], &input);
        }
    }
    good = good && sy__trie_init(trie, t->allocator, input.texts, input.ids, input.n);
    sy__free_array(t->allocator, input.texts, n, sizeof *input.texts);
    sy__free_array(t->allocator, input.ids, n, sizeof *input.ids);
    sy__free_array(t->allocator, input.own, n_bytes, 1);
    return good;
}

sy_status sy__specials_create(sy_tokenizer *t, const sy_vocabulary *v, sy_error *error) {
    odd_list odd = {0};
    bool good = list_odd(t, &odd) && find_ends(t, v, &odd) &&
                build_trie(t, TRIE_SPECIAL, &odd, &t->special) &&
                build_trie(t, TRIE_USER, &odd, &t->user) &&
                build_trie(t, TRIE_USER_RAW, &odd, &t->user_raw) &&
                (t->model != SY__MODEL_UNIGRAM || sy__lengths_create(t));
    if (good) {
        find_bytes(t, &odd);
        read_scores(t);
        sy__cuts_create(t);
    }
    sy__free_array(t->allocator, odd.ids, odd.n, sizeof *odd.ids);
    return good ? SY_OK : sy__no_memory(error, t->n_tokens, "the vocabulary");
}
