/* SPDX-License-Identifier: Apache-2.0 */
/* Unigram: the way through the text whose pieces have the largest sum of scores. One pass from the
 * left keeps the best way to each place. */
#include "tokenizer/tokenizer.h"

#include <string.h>

#define NOWHERE UINT32_MAX

/* path[i]: where the last piece of the best way to byte i begins, and its token. */
static uint64_t pack(uint32_t start, int32_t id) {
    return (uint64_t)start << 32 | (uint32_t)id;
}

static void relax(sy__encoder *encoder, size_t from, size_t to, float score, int32_t id) {
    float candidate = score + encoder->path_scores.data[from];
    bool empty = (uint32_t)(encoder->path.data[to] >> 32) == NOWHERE;
    if (empty || candidate > encoder->path_scores.data[to]) {
        encoder->path_scores.data[to] = candidate;
        encoder->path.data[to] = pack((uint32_t)from, id);
    }
}

/* Starts the sums anew before floats get too coarse, at the same place as SentencePiece does: ties
 * between ways depend on it. No way beyond `frontier` is known yet. */
static void rebase(sy__encoder *encoder, size_t at, size_t frontier) {
    float offset = encoder->path_scores.data[at];
    if (offset >= -100000.0f && offset <= 100000.0f) {
        return;
    }
    for (size_t i = at; i <= frontier || i == at; i++) {
        if (i == at || (uint32_t)(encoder->path.data[i] >> 32) != NOWHERE) {
            encoder->path_scores.data[i] -= offset;
        }
    }
    encoder->path_scores.data[at] = 0.0f;
}

/* All pieces that begin at `from`; answers whether one of them is the single character. */
static bool relax_pieces(sy__encoder *encoder, size_t from, size_t n_char, size_t *frontier) {
    const sy_tokenizer *t = encoder->tokenizer;
    bool single = false;
    uint32_t node = 0;
    for (size_t at = from; t->pieces.n_nodes > 0 && at < encoder->text.n; at++) {
        node = sy__trie_step(&t->pieces, node, (uint8_t)encoder->text.data[at]);
        if (node == SY__TRIE_NONE) {
            break;
        }
        int32_t id = t->pieces.nodes[node].id;
        if (id == SY_NO_TOKEN) {
            continue;
        }
        size_t length = at + 1 - from;
        float score = t->types[id] == SY_TOKEN_USER_DEFINED ? (float)(0.1 * (double)(length - 1))
                                                            : sy__token_score(t, id);
        relax(encoder, from, at + 1, score, id);
        *frontier = at + 1 > *frontier ? at + 1 : *frontier;
        single = single || length == n_char;
    }
    return single;
}

static bool prepare(sy__encoder *encoder) {
    size_t n = encoder->text.n + 1;
    if (!SY__RESERVE(encoder, encoder->path, n) || !SY__RESERVE(encoder, encoder->path_scores, n)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        encoder->path.data[i] = pack(NOWHERE, SY_NO_TOKEN);
        encoder->path_scores.data[i] = 0.0;
    }
    return true;
}

/* Follows the best way back; leaves the ends of its pieces in encoder->stack, last first. */
static bool trace(sy__encoder *encoder) {
    encoder->stack.n = 0;
    for (size_t at = encoder->text.n; at > 0;) {
        if (!SY__RESERVE(encoder, encoder->stack, encoder->stack.n + 1)) {
            return false;
        }
        encoder->stack.data[encoder->stack.n++] = (uint32_t)at;
        at = (size_t)(encoder->path.data[at] >> 32);
    }
    return true;
}

bool sy__encode_unigram(sy__encoder *encoder, const char *text, size_t n_bytes, bool prefix) {
    const sy_tokenizer *t = encoder->tokenizer;
    if (!sy__normalize(encoder, text, n_bytes, prefix) || !prepare(encoder)) {
        return false;
    }
    size_t frontier = 0;
    for (size_t at = 0; at < encoder->text.n;) {
        uint32_t rune = 0;
        size_t length = sy__utf8_decode(encoder->text.data + at, encoder->text.n - at, &rune);
        length = length > 0 ? length : 1;
        rebase(encoder, at, frontier);
        if (!relax_pieces(encoder, at, length, &frontier)) {
            relax(encoder, at, at + length, t->unknown_score, SY_NO_TOKEN);
            frontier = at + length > frontier ? at + length : frontier;
        }
        at += length;
    }
    if (!trace(encoder)) {
        return false;
    }
    size_t start = 0;
    while (encoder->stack.n > 0) {
        size_t end = encoder->stack.data[--encoder->stack.n];
        int32_t id = (int32_t)(uint32_t)encoder->path.data[end];
        bool good = id == SY_NO_TOKEN
                        ? sy__emit_unknown(encoder, encoder->text.data + start, end - start)
                        : sy__emit(encoder, id);
        if (!good) {
            return false;
        }
        start = end;
    }
    return true;
}
