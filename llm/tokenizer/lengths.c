/* SPDX-License-Identifier: Apache-2.0 */
/* Unigram looks at every place of a text for all pieces that the text goes on with. They are looked
 * up by hash; what is kept beside the index says which lengths are worth it. For a few short
 * beginnings of every piece a mask, found by the hash of the beginning, has a bit for each length
 * that pieces with this beginning have, up to the next length of a beginning, and one that says
 * whether there are longer ones. Beginnings that share a mask by chance only cost look-ups that
 * find nothing. Made in one pass over the pieces. */
#include "tokenizer/tokenizer.h"

#define LONGER (1ull << 63)

/* Lengths of beginnings: 2, 5, 9, 17, 33, and so on by 32. */
static inline size_t begin_of(size_t level) {
    static const uint8_t first[] = {2, 5, 9, 17};
    return level < 4 ? first[level] : 32 * (level - 3) + 1;
}

/* The mask of a beginning, the first (n - 1) / 8 words of which are in `state`; `rest` has the
 * bytes behind those. */
static inline uint64_t *mask_of(const sy_tokenizer *t, uint64_t state, uint64_t rest, size_t n) {
    uint64_t hash = sy__hash_mix(state ^ n, rest ^ t->seed);
    return &t->lengths.masks[(uint32_t)hash & (t->lengths.n_masks - 1)];
}

static inline uint64_t low_bytes(uint64_t word, size_t n) {
    return n < 8 ? word & ((1ull << 8 * n) - 1) : word;
}

/* Of two bytes or more. */
static void add(const sy_tokenizer *t, sy_token_text piece) {
    uint64_t state = t->seed, word = sy__first_word(piece.bytes, piece.n_bytes);
    size_t n_hashed = 0;
    for (size_t level = 0;; level++) {
        size_t begin = begin_of(level), next = begin_of(level + 1);
        for (; 8 * n_hashed + 8 < begin; n_hashed++) {
            state = sy__hash_word(state, t->seed, sy__load_u64(piece.bytes + 8 * n_hashed));
        }
        uint64_t rest = n_hashed == 0 ? low_bytes(word, begin) : (uint8_t)piece.bytes[begin - 1];
        uint64_t *mask = mask_of(t, state, rest, begin);
        if (piece.n_bytes < next) {
            *mask |= 1ull << (piece.n_bytes - begin);
            return;
        }
        *mask |= LONGER;
    }
}

bool sy__lengths_create(sy_tokenizer *t) {
    uint32_t n_masks = 16;
    while (n_masks < t->n_tokens) {
        n_masks *= 2;
    }
    t->lengths.masks = sy__tokenizer_block(t, n_masks, sizeof(uint64_t));
    if (t->lengths.masks == NULL) {
        return false;
    }
    sy__prefer_large_pages(t->lengths.masks, n_masks * sizeof(uint64_t));
    t->lengths.n_masks = n_masks;
    for (int byte = 0; byte < 256; byte++) {
        char text = (char)byte;
        t->lengths.single[byte] = sy__token_find(t, &text, 1, SY__TYPE_BIT(SY_TOKEN_NORMAL));
    }
    for (uint32_t i = 0; i < t->n_tokens; i++) {
        sy_token_text piece = sy__token_text(t, i);
        if (t->types[i] == SY_TOKEN_NORMAL && piece.n_bytes > 1 &&
            piece.n_bytes <= SY__TRIE_MAX_TEXT_BYTES) {
            add(t, piece);
        }
    }
    return true;
}

static inline void take_in(sy__piece_walk *walk, size_t n_words) {
    for (; walk->n_hashed < n_words; walk->n_hashed++) {
        uint64_t word = sy__load_u64(walk->text + 8 * walk->n_hashed);
        walk->state = sy__hash_word(walk->state, walk->tokenizer->seed, word);
    }
}

static uint64_t mask_here(sy__piece_walk *walk) {
    walk->begin = begin_of(walk->level);
    if (walk->begin > walk->n_bytes) {
        return 0;
    }
    take_in(walk, (walk->begin - 1) / 8);
    uint64_t rest = walk->n_hashed == 0 ? low_bytes(walk->word, walk->begin)
                                        : (uint8_t)walk->text[walk->begin - 1];
    uint64_t lengths = (1ull << (begin_of(walk->level + 1) - walk->begin)) - 1;
    return *mask_of(walk->tokenizer, walk->state, rest, walk->begin) & (lengths | LONGER);
}

sy__piece_walk sy__piece_walk_from(const sy__encoder *encoder, const char *text, size_t n_bytes) {
    const sy_tokenizer *t = encoder->tokenizer;
    sy__piece_walk walk = {
        .tokenizer = t, .text = text, .n_bytes = n_bytes, .state = t->seed, .seen = encoder->seen};
    walk.word = sy__first_word(text, n_bytes);
    walk.single = n_bytes > 0 ? t->lengths.single[(uint8_t)text[0]] : SY_NO_TOKEN;
    walk.mask = mask_here(&walk);
    return walk;
}

static int32_t look_up(const sy__piece_walk *walk, size_t n, uint64_t last) {
    const sy_tokenizer *t = walk->tokenizer;
    sy__hashed text = {walk->text, n, sy__hash_end(walk->state, t->seed, n, last), last};
    return sy__token_find_hashed(t, text, SY__TYPE_BIT(SY_TOKEN_NORMAL));
}

/* The piece of the first n > 1 bytes. Up to 8 of them are a key that says everything. */
static int32_t find(sy__piece_walk *walk, size_t n) {
    if (n > 8) {
        take_in(walk, (n - 1) / 8);
        return look_up(walk, n, sy__load_u64(walk->text + n - 8));
    }
    uint64_t last = walk->word << 8 * (8 - n);
    if (walk->seen == NULL) {
        return look_up(walk, n, last);
    }
    sy__memo *memo = sy__seen_memo(walk->seen, last);
    if (memo->key != last || memo->value != n) {
        *memo = (sy__memo){last, (uint32_t)n, look_up(walk, n, last)};
    }
    return memo->id;
}

bool sy__piece_walk_next(sy__piece_walk *walk, size_t *out_n_bytes, int32_t *out_id) {
    if (walk->single != SY_NO_TOKEN) {
        *out_n_bytes = 1;
        *out_id = walk->single;
        walk->single = SY_NO_TOKEN;
        return true;
    }
    for (;;) {
        while ((walk->mask & ~LONGER) != 0) {
            size_t n = walk->begin + (size_t)__builtin_ctzll(walk->mask);
            walk->mask &= walk->mask - 1;
            int32_t id = n <= walk->n_bytes ? find(walk, n) : SY_NO_TOKEN;
            if (id != SY_NO_TOKEN) {
                *out_n_bytes = n;
                *out_id = id;
                return true;
            }
        }
        if (walk->mask == 0) {
            return false;
        }
        walk->level++;
        walk->mask = mask_here(walk);
    }
}
