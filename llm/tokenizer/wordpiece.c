/* SPDX-License-Identifier: Apache-2.0 */
/* WordPiece as BERT uses it: clean, split ideographs, strip accents and case, cut at white space
 * and punctuation, then the longest pieces from the left. GGUF writes the first piece of a word
 * with U+2581 in front and the following ones bare. */
#include "tokenizer/tokenizer.h"

#include <string.h>

#define MAX_WORD_RUNES 100u /* longer words are one unknown token */

static bool add_rune(sy__encoder *encoder, uint32_t rune) {
    const bool lowercase = encoder->tokenizer->lowercase;
    if (!SY__RESERVE(encoder, encoder->runes, encoder->runes.n + 8)) {
        return false;
    }
    int32_t *to = encoder->runes.data + encoder->runes.n;
    if (lowercase) {
        encoder->runes.n += sy__decompose(rune, to);
    } else {
        *to = (int32_t)rune;
        encoder->runes.n++;
    }
    return true;
}

static bool clean(sy__encoder *encoder, const char *text, size_t n_bytes) {
    encoder->runes.n = 0;
    for (size_t at = 0; at < n_bytes;) {
        uint32_t rune = SY__REPLACEMENT;
        size_t length = sy__utf8_decode(text + at, n_bytes - at, &rune);
        at += length > 0 ? length : 1;
        bool white = sy__is_white(rune);
        bool control = rune != '\t' && rune != '\n' && rune != '\r' && sy__is_other(rune);
        if (length == 0 || rune == 0 || rune == SY__REPLACEMENT || control) {
            continue;
        }
        bool ideograph = sy__is_ideograph(rune);
        if ((ideograph && !add_rune(encoder, ' ')) || !add_rune(encoder, white ? ' ' : rune) ||
            (ideograph && !add_rune(encoder, ' '))) {
            return false;
        }
    }
    return true;
}

static bool starts_with_mark(const char *text, size_t n_bytes) {
    return n_bytes >= SY__SPACE_MARK_BYTES &&
           memcmp(text, SY__SPACE_MARK, SY__SPACE_MARK_BYTES) == 0;
}

/* Longest pieces from the left, or one unknown token when some part has none. */
static bool encode_word(sy__encoder *encoder, const char *word, size_t n_bytes, size_t n_runes) {
    const sy_tokenizer *t = encoder->tokenizer;
    size_t n_before = encoder->ids.n;
    size_t at = 0;
    while (n_runes <= MAX_WORD_RUNES && at < n_bytes) {
        size_t length = n_bytes - at;
        length = length < t->n_max_token_bytes ? length : t->n_max_token_bytes;
        int32_t id = SY_NO_TOKEN;
        if (at > 0 && starts_with_mark(word + at, length)) {
            break; /* would be taken for the beginning of a word */
        }
        for (; length > 0 && id == SY_NO_TOKEN; length--) {
            bool whole = at + length == n_bytes || ((uint8_t)word[at + length] & 0xc0) != 0x80;
            id = whole ? sy__token_find(t, word + at, length, SY__TYPES_PIECE) : SY_NO_TOKEN;
            if (id != SY_NO_TOKEN) {
                break;
            }
        }
        /* the mark alone is no piece of a word */
        if (id == SY_NO_TOKEN || (at == 0 && length <= SY__SPACE_MARK_BYTES)) {
            break;
        }
        if (!sy__emit(encoder, id)) {
            return false;
        }
        at += length;
    }
    if (at == n_bytes && n_runes <= MAX_WORD_RUNES) {
        return true;
    }
    encoder->ids.n = n_before;
    int32_t unknown = t->special_ids[SY_SPECIAL_UNK];
    return unknown == SY_NO_TOKEN || sy__emit(encoder, unknown);
}

static bool flush(sy__encoder *encoder, size_t *n_runes) {
    bool good =
        *n_runes == 0 || encode_word(encoder, encoder->words.data, encoder->words.n, *n_runes);
    encoder->words.n = 0;
    *n_runes = 0;
    return good && sy__append(encoder, &encoder->words, SY__SPACE_MARK, SY__SPACE_MARK_BYTES);
}

static bool take_rune(sy__encoder *encoder, uint32_t rune, size_t *n_runes) {
    char bytes[4];
    if (sy__is_white(rune)) {
        return flush(encoder, n_runes);
    }
    bool alone = sy__is_punctuation(rune);
    if (alone && !flush(encoder, n_runes)) {
        return false;
    }
    size_t length = sy__utf8_encode(rune, bytes);
    if (*n_runes <= MAX_WORD_RUNES && !sy__append(encoder, &encoder->words, bytes, length)) {
        return false;
    }
    (*n_runes)++;
    return !alone || flush(encoder, n_runes);
}

bool sy__encode_wordpiece(sy__encoder *encoder, const char *text, size_t n_bytes) {
    const bool lowercase = encoder->tokenizer->lowercase;
    size_t n_runes = 0;
    if (!clean(encoder, text, n_bytes) ||
        !SY__RESERVE(encoder, encoder->runes, 2 * encoder->runes.n + 1)) {
        return false;
    }
    size_t n = encoder->runes.n;
    if (lowercase) {
        sy__order_marks(encoder->runes.data, n, encoder->runes.data + n);
    }
    encoder->words.n = 0;
    if (!flush(encoder, &n_runes)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t rune = (uint32_t)encoder->runes.data[i];
        if (lowercase && sy__is_mark(rune)) {
            continue;
        }
        if (!take_rune(encoder, lowercase ? sy__lower(rune) : rune, &n_runes)) {
            return false;
        }
    }
    return flush(encoder, &n_runes);
}
