/* SPDX-License-Identifier: Apache-2.0 */
/* Unigram: the way through the text whose pieces have the largest sum of scores. One pass from the
 * left keeps the best way to each place. */
#include "tokenizer/tokenizer.h"

#include <string.h>

#define NOWHERE UINT32_MAX
#define NORMAL SY__TYPE_BIT(SY_TOKEN_NORMAL)

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

/* The pieces in one part of the text, in the order they were found, for its next time. */
typedef struct notes {
    size_t begin, end; /* of the part */
    size_t n;          /* more than fit: not kept */
    int32_t items[SY__SEEN_ITEMS];
} notes;

/* An item: place in the part, length - 1, id. */
static int32_t item_of(size_t place, size_t n_bytes, int32_t id) {
    return (int32_t)((uint32_t)place << 28 | (uint32_t)(n_bytes - 1) << 24 | (uint32_t)id);
}
_Static_assert(SY_LIMIT_VOCABULARY <= 1u << 24 && SY__SEEN_BYTES <= 16, "an item is too small");

static void relax_piece(sy__encoder *encoder, notes *found, size_t from, size_t n_bytes,
                        int32_t id) {
    const sy_tokenizer *t = encoder->tokenizer;
    float score = t->types[id] == SY_TOKEN_USER_DEFINED ? (float)(0.1 * (double)(n_bytes - 1))
                                                        : sy__token_score(t, id);
    relax(encoder, from, from + n_bytes, score, id);
    if (found->n < SY__SEEN_ITEMS && from - found->begin < SY__SEEN_BYTES) {
        found->items[found->n] = item_of(from - found->begin, n_bytes, id);
    }
    found->n++;
}

/* The longest piece that begins at a place, and whether one of them is the character there. */
typedef struct reach {
    size_t longest;
    bool single;
} reach;

static void extend(reach *far, size_t n_bytes, size_t n_char) {
    far->longest = n_bytes > far->longest ? n_bytes : far->longest;
    far->single = far->single || n_bytes == n_char;
}

/* User-defined pieces that begin at `from`; of a piece that is normal too, the first id counts. */
static void relax_user(sy__encoder *encoder, notes *found, size_t from, size_t n_char, reach *far) {
    const sy_tokenizer *t = encoder->tokenizer;
    const char *text = encoder->text.data + from;
    size_t n = found->end - from;
    uint32_t node = 0;
    for (size_t i = 0; t->user.n_nodes > 0 && i < n; i++) {
        node = sy__trie_step(&t->user, node, (uint8_t)text[i]);
        if (node == SY__TRIE_NONE) {
            break;
        }
        int32_t id = t->user.nodes[node].id;
        int32_t normal = id != SY_NO_TOKEN ? sy__token_find(t, text, i + 1, NORMAL) : SY_NO_TOKEN;
        if (id != SY_NO_TOKEN && (normal == SY_NO_TOKEN || id < normal)) {
            relax_piece(encoder, found, from, i + 1, id);
            extend(far, i + 1, n_char);
        }
    }
}

/* Is there a user-defined piece with this text and a smaller id? */
static bool is_hidden(const sy_tokenizer *t, const char *text, size_t n_bytes, int32_t id) {
    int32_t user = SY_NO_TOKEN;
    return t->user.n_nodes > 0 && sy__trie_longest(&t->user, text, n_bytes, &user) == n_bytes &&
           user < id;
}

/* All pieces that begin at `from`. */
static reach relax_pieces(sy__encoder *encoder, notes *found, size_t from, size_t n_char) {
    const sy_tokenizer *t = encoder->tokenizer;
    const char *text = encoder->text.data + from;
    reach far = {0, false};
    size_t n = 0;
    int32_t id = SY_NO_TOKEN;
    relax_user(encoder, found, from, n_char, &far);
    sy__piece_walk walk = sy__piece_walk_from(encoder, text, found->end - from);
    while (sy__piece_walk_next(&walk, &n, &id)) {
        if (!is_hidden(t, text, n, id)) {
            relax_piece(encoder, found, from, n, id);
            extend(&far, n, n_char);
        }
    }
    return far;
}

/* The same from what was kept for the part; *i_item is the next item. */
static reach relax_kept(sy__encoder *encoder, const notes *kept, size_t *i_item, size_t from,
                        size_t n_char) {
    reach far = {0, false};
    notes none = {.begin = from, .n = SY__SEEN_ITEMS};
    for (; *i_item < kept->n; ++*i_item) {
        uint32_t item = (uint32_t)kept->items[*i_item];
        if (kept->begin + (item >> 28) != from) {
            break;
        }
        size_t n_bytes = (item >> 24 & 15) + 1;
        relax_piece(encoder, &none, from, n_bytes, (int32_t)(item & 0xffffff));
        extend(&far, n_bytes, n_char);
    }
    return far;
}

/* A part of the text that no piece reaches over the end of. */
static void relax_part(sy__encoder *encoder, size_t begin, size_t end, size_t *frontier) {
    const char *text = encoder->text.data;
    notes part = {.begin = begin, .end = end};
    const int32_t *items = sy__seen_find(encoder, text + begin, end - begin, &part.n);
    if (items != NULL) {
        memcpy(part.items, items, part.n * sizeof items[0]);
    }
    size_t i_item = 0;
    for (size_t at = begin; at < end;) {
        uint32_t rune = 0;
        size_t n_char = sy__utf8_decode(text + at, encoder->text.n - at, &rune);
        n_char = n_char > 0 ? n_char : 1;
        rebase(encoder, at, *frontier);
        reach far = items != NULL ? relax_kept(encoder, &part, &i_item, at, n_char)
                                  : relax_pieces(encoder, &part, at, n_char);
        if (!far.single) {
            relax(encoder, at, at + n_char, encoder->tokenizer->unknown_score, SY_NO_TOKEN);
            far.longest = n_char > far.longest ? n_char : far.longest;
        }
        *frontier = at + far.longest > *frontier ? at + far.longest : *frontier;
        at += n_char;
    }
    if (items == NULL && encoder->tokenizer->cuts) {
        sy__seen_add(encoder, text + begin, end - begin, part.items, part.n);
    }
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
    for (size_t begin = 0, end = 0; begin < encoder->text.n; begin = end) {
        end = sy__cut_after(t, encoder->text.data, encoder->text.n, begin);
        relax_part(encoder, begin, end, &frontier);
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
