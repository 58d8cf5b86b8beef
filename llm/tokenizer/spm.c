/* SPDX-License-Identifier: Apache-2.0 */
/* SentencePiece BPE: of all neighbours whose bytes together are a piece, join the pair with the
 * best score, leftmost first; user-defined symbols never join; unused pieces only help on the way
 * and are taken apart again at the end. */
#include "tokenizer/tokenizer.h"

#include <string.h>

/* Larger scores become smaller priorities. Both zeros are equal; NaN never gets here. */
static uint32_t priority_of(float score) {
    uint32_t bits = 0;
    score += 0.0f;
    memcpy(&bits, &score, sizeof bits);
    uint32_t rising = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
    return ~rising;
}

static bool find_pair(sy__encoder *encoder, const char *text, const sy__symbol *left,
                      const sy__symbol *right, uint32_t *out_priority, int32_t *out_id) {
    const sy_tokenizer *t = encoder->tokenizer;
    int32_t id = sy__token_find(t, text + left->start, (size_t)left->n_bytes + right->n_bytes,
                                SY__TYPES_PIECE);
    if (id == SY_NO_TOKEN) {
        return false;
    }
    *out_priority = priority_of(sy__token_score(t, id));
    *out_id = id;
    if (t->types[id] == SY_TOKEN_UNUSED) {
        if (encoder->split.data == NULL && !SY__RESERVE(encoder, encoder->split, t->n_tokens)) {
            return false;
        }
        encoder->split.data[id] = left->n_bytes;
    }
    return true;
}

static bool make_symbols(sy__encoder *encoder, const char *text, size_t n) {
    const sy_tokenizer *t = encoder->tokenizer;
    size_t at = 0;
    encoder->symbols.n = 0;
    while (at < n) {
        int32_t id = SY_NO_TOKEN;
        uint32_t rune = 0;
        size_t length = sy__trie_longest(&t->user, text + at, n - at, &id);
        bool frozen = length > 0;
        if (!frozen) {
            length = sy__utf8_decode(text + at, n - at, &rune);
            length = length > 0 ? length : 1;
            id = sy__token_find(t, text + at, length, SY__TYPES_PIECE);
        }
        sy__symbol symbol = {
            .start = (uint32_t)at, .n_bytes = (uint32_t)length, .id = id, .frozen = frozen};
        if (!sy__symbol_add(encoder, symbol)) {
            return false;
        }
        at += length;
    }
    return true;
}

/* Emits a run of bytes; an unused piece as the two parts it was last joined from. */
static bool emit_run(sy__encoder *encoder, const char *text, uint32_t start, uint32_t n_bytes,
                     int32_t id) {
    const sy_tokenizer *t = encoder->tokenizer;
    if (id == SY_NO_TOKEN) {
        return sy__emit_unknown(encoder, text + start, n_bytes);
    }
    if (t->types[id] != SY_TOKEN_UNUSED) {
        return sy__emit(encoder, id);
    }
    if (encoder->split.data == NULL) {
        return sy__emit_unknown(encoder, text + start, n_bytes);
    }
    encoder->stack.n = 0;
    for (;;) {
        uint32_t n_left = 0;
        if (id != SY_NO_TOKEN && t->types[id] == SY_TOKEN_UNUSED) {
            n_left = encoder->split.data[id] < n_bytes ? encoder->split.data[id] : 0;
        }
        if (n_left > 0) { /* the right part waits, the left one goes on */
            if (!SY__RESERVE(encoder, encoder->stack, encoder->stack.n + 2)) {
                return false;
            }
            encoder->stack.data[encoder->stack.n++] = start + n_left;
            encoder->stack.data[encoder->stack.n++] = n_bytes - n_left;
            n_bytes = n_left;
        } else {
            bool unknown = id == SY_NO_TOKEN || t->types[id] == SY_TOKEN_UNUSED;
            bool good =
                unknown ? sy__emit_unknown(encoder, text + start, n_bytes) : sy__emit(encoder, id);
            if (!good || encoder->stack.n == 0) {
                return good;
            }
            n_bytes = encoder->stack.data[--encoder->stack.n];
            start = encoder->stack.data[--encoder->stack.n];
        }
        id = sy__token_find(t, text + start, n_bytes, SY__TYPES_PIECE);
    }
}

/* A part of the text that nothing is joined over the ends of. */
static bool encode_part(sy__encoder *encoder, const char *text, size_t n_bytes) {
    if (sy__seen_emit(encoder, text, n_bytes)) {
        return true;
    }
    if (encoder->status != SY_OK || !make_symbols(encoder, text, n_bytes) ||
        !sy__merge_symbols(encoder, text, find_pair)) {
        return false;
    }
    size_t n_before = encoder->ids.n;
    bool known = encoder->tokenizer->cuts;
    for (uint32_t i = 0; encoder->symbols.n > 0 && i != SY__NO_SYMBOL;
         i = encoder->symbols.data[i].next) {
        const sy__symbol *symbol = &encoder->symbols.data[i];
        known = known && symbol->id != SY_NO_TOKEN;
        if (!emit_run(encoder, text, symbol->start, symbol->n_bytes, symbol->id)) {
            return false;
        }
    }
    if (known) {
        sy__seen_add_ids(encoder, text, n_bytes, n_before);
    }
    return encoder->status == SY_OK;
}

bool sy__encode_spm(sy__encoder *encoder, const char *text, size_t n_bytes, bool prefix) {
    if (!sy__normalize(encoder, text, n_bytes, prefix)) {
        return false;
    }
    for (size_t begin = 0, end = 0; begin < encoder->text.n; begin = end) {
        end = sy__cut_after(encoder->tokenizer, encoder->text.data, encoder->text.n, begin);
        if (!encode_part(encoder, encoder->text.data + begin, end - begin)) {
            return false;
        }
    }
    return true;
}
