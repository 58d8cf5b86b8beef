/* SPDX-License-Identifier: Apache-2.0 */
/* BPE by merge rules: the pre-tokenizer cuts the text into words, each word is merged by itself. */
#include "tokenizer/tokenizer.h"

#include <string.h>

/* The token that stands for a run of bytes and may come out of merging. The spelling is that of the
 * bytes in byte-level BPE, and the bytes themselves in other kinds. */
static int32_t find_piece(const sy_tokenizer *t, const char *bytes, size_t n_bytes,
                          const char *spelling, size_t n_spelling) {
    if (n_bytes > t->n_max_token_bytes) {
        return SY_NO_TOKEN;
    }
    return t->spelled ? sy__spelled_find(t, bytes, n_bytes, spelling, n_spelling, SY__TYPES_PIECE)
                      : sy__token_find(t, bytes, n_bytes, SY__TYPES_PIECE);
}

int32_t sy__byte_find(const sy_tokenizer *t, uint8_t byte) {
    char raw = (char)byte, spelling[2];
    size_t n = t->spelled ? sy__spelling_from_bytes(&raw, 1, spelling) : 0;
    return find_piece(t, &raw, 1, spelling, n);
}

/* Whether the token of a symbol is what its bytes are found as. Longer symbols were found so; for a
 * single byte the vocabulary may have a byte token and a piece. */
static bool is_piece(const sy_tokenizer *t, const char *text, const sy__symbol *symbol) {
    return symbol->n_bytes > 1 || t->byte_pieces[(uint8_t)text[symbol->start]] == symbol->id;
}

/* The rule "left right". Its halves end at the first blank that is not the first byte; a half, and
 * what they make together, count only as the token that their bytes are found as. encoder->words
 * has the spelling of the word, and behind it room for a rule. */
static bool find_pair(sy__encoder *encoder, const char *text, const sy__symbol *left,
                      const sy__symbol *right, uint32_t *out_priority, int32_t *out_id) {
    const sy_tokenizer *t = encoder->tokenizer;
    if (left->id < 0 || right->id < 0) {
        return false;
    }
    const char *spelling = encoder->words.data + left->spelled;
    const size_t n_left = left->n_spelled, n_right = right->n_spelled;
    char *rule = encoder->words.data + encoder->words.n;
    memcpy(rule, spelling, n_left);
    rule[n_left] = ' ';
    memcpy(rule + n_left + 1, spelling + n_left, n_right);
    uint32_t rank = sy__merge_find(t, rule, n_left + 1 + n_right);
    if (rank == SY__NO_RULE || memchr(rule + 1, ' ', n_left) != rule + n_left ||
        !is_piece(t, text, left) || !is_piece(t, text, right)) {
        return false;
    }
    *out_priority = rank;
    *out_id = find_piece(t, text + left->start, left->n_bytes + right->n_bytes, spelling,
                         n_left + n_right);
    return *out_id != SY_NO_TOKEN;
}

/* The word as tokens spell it into encoder->words, and room for a rule behind it. */
static bool spell(sy__encoder *encoder, const char *word, size_t n_bytes) {
    const bool spelled = encoder->tokenizer->spelled;
    if (!SY__RESERVE(encoder, encoder->words, (spelled ? 4 : 2) * n_bytes + 1)) {
        return false;
    }
    if (spelled) {
        encoder->words.n = sy__spelling_from_bytes(word, n_bytes, encoder->words.data);
    } else {
        memcpy(encoder->words.data, word, n_bytes);
        encoder->words.n = n_bytes;
    }
    return true;
}

/* One symbol a byte; of "gemma4" one a character, or its bytes where it has no token. */
static bool make_symbols(sy__encoder *encoder, const char *word, size_t n_bytes) {
    const sy_tokenizer *t = encoder->tokenizer;
    uint32_t spelled = 0;
    encoder->symbols.n = 0;
    for (size_t at = 0; at < n_bytes;) {
        size_t length = 1;
        int32_t id = SY_NO_TOKEN;
        uint32_t rune = 0;
        if (t->pre->raw) {
            length = sy__utf8_decode(word + at, n_bytes - at, &rune);
            id = sy__token_find(t, word + at, length, SY__TYPES_PIECE);
        }
        if (id == SY_NO_TOKEN) {
            length = 1;
            id = t->byte_ids[(uint8_t)word[at]];
        }
        uint32_t n_spelled = t->spelled ? sy__spelled_bytes((uint8_t)word[at]) : (uint32_t)length;
        sy__symbol symbol = {.start = (uint32_t)at,
                             .n_bytes = (uint32_t)length,
                             .spelled = spelled,
                             .n_spelled = n_spelled,
                             .id = id};
        if (!sy__symbol_add(encoder, symbol)) {
            return false;
        }
        spelled += n_spelled;
        at += length;
    }
    return true;
}

/* Emits what merging left; *out_known: none of it was unknown. */
static bool emit_symbols(sy__encoder *encoder, const char *word, bool *out_known) {
    *out_known = true;
    for (uint32_t i = 0; encoder->symbols.n > 0 && i != SY__NO_SYMBOL;
         i = encoder->symbols.data[i].next) {
        const sy__symbol *symbol = &encoder->symbols.data[i];
        bool known = symbol->id >= 0;
        *out_known = *out_known && known;
        if (!(known ? sy__emit(encoder, symbol->id)
                    : sy__emit_unknown(encoder, word + symbol->start, symbol->n_bytes))) {
            return false;
        }
    }
    return true;
}

/* A word, or a part of one that nothing is joined over the ends of. */
static bool encode_part(sy__encoder *encoder, const char *word, size_t n_bytes) {
    const sy_tokenizer *t = encoder->tokenizer;
    if (sy__seen_emit(encoder, word, n_bytes)) {
        return true;
    }
    if (encoder->status != SY_OK || !spell(encoder, word, n_bytes)) {
        return false;
    }
    size_t n_before = encoder->ids.n;
    int32_t id = t->pre->ignore_merges
                     ? find_piece(t, word, n_bytes, encoder->words.data, encoder->words.n)
                     : SY_NO_TOKEN;
    bool known = true;
    if (id != SY_NO_TOKEN) {
        if (!sy__emit(encoder, id)) {
            return false;
        }
    } else if (!make_symbols(encoder, word, n_bytes) ||
               !sy__merge_symbols(encoder, word, find_pair) ||
               !emit_symbols(encoder, word, &known)) {
        return false;
    }
    if (known) {
        sy__seen_add_ids(encoder, word, n_bytes, n_before);
    }
    return true;
}

static bool encode_word(sy__encoder *encoder, const char *word, size_t n_bytes) {
    const sy_tokenizer *t = encoder->tokenizer;
    for (size_t begin = 0, end = 0; begin < n_bytes; begin = end) {
        end = t->pre->ignore_merges ? n_bytes : sy__cut_after(t, word, n_bytes, begin);
        if (!encode_part(encoder, word + begin, end - begin)) {
            return false;
        }
    }
    return true;
}

static bool add_runes(sy__encoder *encoder, const char *text, size_t n_bytes, bool *out_plain) {
    encoder->runes.n = 0;
    *out_plain = true;
    for (size_t at = 0; at < n_bytes;) {
        uint32_t rune = 0;
        at += sy__utf8_decode(text + at, n_bytes - at, &rune);
        *out_plain = *out_plain && rune < 0x300; /* nothing below composes or decomposes */
        if (!SY__RESERVE(encoder, encoder->runes, encoder->runes.n + 8)) {
            return false;
        }
        encoder->runes.n += sy__decompose(rune, encoder->runes.data + encoder->runes.n);
    }
    return true;
}

/* Normal form C of valid UTF-8 into encoder->text. */
static bool compose_text(sy__encoder *encoder, const char *text, size_t n_bytes) {
    bool plain = true;
    encoder->text.n = 0;
    if (!add_runes(encoder, text, n_bytes, &plain)) {
        return false;
    }
    if (plain) {
        return sy__append(encoder, &encoder->text, text, n_bytes);
    }
    size_t n = encoder->runes.n;
    if (!SY__RESERVE(encoder, encoder->runes, 2 * n)) {
        return false;
    }
    sy__order_marks(encoder->runes.data, n, encoder->runes.data + n);
    n = sy__compose(encoder->runes.data, n);
    for (size_t i = 0; i < n; i++) {
        char bytes[4];
        size_t length = sy__utf8_encode((uint32_t)encoder->runes.data[i], bytes);
        if (!sy__append(encoder, &encoder->text, bytes, length)) {
            return false;
        }
    }
    return true;
}

static bool escape_text(sy__encoder *encoder, const char *text, size_t n_bytes) {
    encoder->text.n = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        bool good = text[i] == ' '
                        ? sy__append(encoder, &encoder->text, SY__SPACE_MARK, SY__SPACE_MARK_BYTES)
                        : sy__append(encoder, &encoder->text, text + i, 1);
        if (!good) {
            return false;
        }
    }
    return true;
}

static bool encode_valid(sy__encoder *encoder, const char *text, size_t n_bytes) {
    const sy_tokenizer *t = encoder->tokenizer;
    if (t->pre->nfc || t->escape) {
        bool good =
            t->escape ? escape_text(encoder, text, n_bytes) : compose_text(encoder, text, n_bytes);
        if (!good) {
            return false;
        }
        text = encoder->text.data;
        n_bytes = encoder->text.n;
    }
    encoder->status = sy__regexes_cut(&t->regexes, encoder->allocator, text, n_bytes,
                                      &encoder->segments, &encoder->segments_next, encoder->error);
    if (encoder->status != SY_OK) {
        return false;
    }
    size_t begin = 0;
    for (size_t i = 0; i < encoder->segments.n; i++) {
        size_t end = encoder->segments.data[i];
        if (!encode_word(encoder, text + begin, end - begin)) {
            return false;
        }
        begin = end;
    }
    return true;
}

/* Bytes that are no UTF-8 are words of their own: expressions never see them. */
bool sy__encode_bpe(sy__encoder *encoder, const char *text, size_t n_bytes) {
    for (size_t at = 0; at < n_bytes;) {
        size_t length = sy__utf8_valid(text + at, n_bytes - at);
        if (length > 0 && !encode_valid(encoder, text + at, length)) {
            return false;
        }
        at += length;
        size_t begin = at;
        uint32_t rune = 0;
        while (at < n_bytes && sy__utf8_decode(text + at, n_bytes - at, &rune) == 0) {
            at++;
        }
        if (at > begin && !encode_word(encoder, text + begin, at - begin)) {
            return false;
        }
    }
    return true;
}
