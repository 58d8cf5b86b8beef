/* SPDX-License-Identifier: Apache-2.0 */
/* BPE by merge rules: the pre-tokenizer cuts the text into words, each word is merged by itself. */
#include "tokenizer/tokenizer.h"

#include <string.h>

/* Room for n bytes in encoder->words from place `at` on; NULL when refused. */
static char *scratch(sy__encoder *encoder, size_t at, size_t n) {
    return SY__RESERVE(encoder, encoder->words, at + n) ? encoder->words.data + at : NULL;
}

/* The token that stands for a run of bytes and may come out of merging. */
static int32_t find_piece(sy__encoder *encoder, const char *bytes, size_t n_bytes) {
    const sy_tokenizer *t = encoder->tokenizer;
    if (n_bytes > t->n_max_token_bytes) {
        return SY_NO_TOKEN;
    }
    if (!t->spelled) {
        return sy__token_find(t, bytes, n_bytes, SY__TYPES_PIECE);
    }
    char *spelling = scratch(encoder, 0, 2 * n_bytes);
    size_t n = spelling != NULL ? sy__spelling_from_bytes(bytes, n_bytes, spelling) : 0;
    return sy__spelled_find(t, bytes, n_bytes, spelling, n, SY__TYPES_PIECE);
}

/* Whether the token of a symbol is what its bytes are found as. Longer symbols were found so; for a
 * single byte the vocabulary may have a byte token and a piece. */
static bool is_piece(sy__encoder *encoder, const char *text, const sy__symbol *symbol) {
    return symbol->n_bytes > 1 ||
           find_piece(encoder, text + symbol->start, symbol->n_bytes) == symbol->id;
}

/* Appends the spelling of a symbol's token to encoder->words; false when memory was refused. */
static bool spell(sy__encoder *encoder, const char *text, const sy__symbol *symbol) {
    const sy_tokenizer *t = encoder->tokenizer;
    size_t at = encoder->words.n;
    if (!t->spelled) {
        return sy__append(encoder, &encoder->words, text + symbol->start, symbol->n_bytes);
    }
    char *to = scratch(encoder, at, 2 * (size_t)symbol->n_bytes);
    if (to != NULL) {
        encoder->words.n += sy__spelling_from_bytes(text + symbol->start, symbol->n_bytes, to);
    }
    return to != NULL;
}

/* The rule "left right". Its halves end at the first blank that is not the first byte; a half, and
 * what they make together, count only as the token that their bytes are found as. */
static bool find_pair(sy__encoder *encoder, const char *text, const sy__symbol *left,
                      const sy__symbol *right, uint32_t *out_priority, int32_t *out_id) {
    const sy_tokenizer *t = encoder->tokenizer;
    if (left->id < 0 || right->id < 0) {
        return false;
    }
    encoder->words.n = 0;
    if (!spell(encoder, text, left)) {
        return false;
    }
    size_t n_left = encoder->words.n;
    if (!sy__append(encoder, &encoder->words, " ", 1) || !spell(encoder, text, right)) {
        return false;
    }
    uint32_t rank = sy__merge_find(t, encoder->words.data, encoder->words.n);
    if (rank == SY__NO_RULE ||
        memchr(encoder->words.data + 1, ' ', n_left) != encoder->words.data + n_left ||
        !is_piece(encoder, text, left) || !is_piece(encoder, text, right)) {
        return false;
    }
    int32_t id = find_piece(encoder, text + left->start, left->n_bytes + right->n_bytes);
    *out_priority = rank;
    *out_id = id;
    return id != SY_NO_TOKEN;
}

/* One symbol a byte; of "gemma4" one a character, or its bytes where it has no token. */
static bool make_symbols(sy__encoder *encoder, const char *word, size_t n_bytes) {
    const sy_tokenizer *t = encoder->tokenizer;
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
        if (!sy__symbol_add(encoder, (uint32_t)at, (uint32_t)length, id, false)) {
            return false;
        }
        at += length;
    }
    return true;
}

static bool encode_word(sy__encoder *encoder, const char *word, size_t n_bytes) {
    const sy_tokenizer *t = encoder->tokenizer;
    if (t->pre->ignore_merges) {
        int32_t id = find_piece(encoder, word, n_bytes);
        if (id != SY_NO_TOKEN) {
            return sy__emit(encoder, id);
        }
    }
    if (!make_symbols(encoder, word, n_bytes) || !sy__merge_symbols(encoder, word, find_pair)) {
        return false;
    }
    for (uint32_t i = 0; encoder->symbols.n > 0 && i != SY__NO_SYMBOL;
         i = encoder->symbols.data[i].next) {
        const sy__symbol *symbol = &encoder->symbols.data[i];
        bool good = symbol->id >= 0
                        ? sy__emit(encoder, symbol->id)
                        : sy__emit_unknown(encoder, word + symbol->start, symbol->n_bytes);
        if (!good) {
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
