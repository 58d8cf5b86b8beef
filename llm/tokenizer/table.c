/* SPDX-License-Identifier: Apache-2.0 */
/* Two hash tables over texts that stay where they are: text -> token, and "left right" -> merge
 * rule. A slot holds the index of a text and some bits of its hash, so that only equal texts are
 * ever compared. The seed differs from one tokenizer to the next: a file cannot be made to collide.
 * Making a table is one pass over the texts, in the order of the file. */
#include "tokenizer/tokenizer.h"

#include "base/checked.h"

#define BATCH 16u /* slots that are fetched ahead */

/* A text in a table has its length in front, whose high bytes are 0: one load does it. */
static inline uint64_t last_word_in_table(const char *text, size_t n) {
    return sy__load_u64(text + n - 8);
}

static sy__hashed hash_text(uint64_t seed, const char *text, size_t n) {
    uint64_t last = sy__last_word(text, n);
    return (sy__hashed){text, n, sy__hash_words(seed, text, n, last), last};
}

/* The place comes from the low bits of a hash, the mark in the slot from the high ones. */
static inline uint32_t mark_of(const sy__index *index, uint64_t hash) {
    return (uint32_t)(hash >> 32) & ~index->id_mask;
}

/* Are n bytes, whose last word is known, string i? Most texts are short: two loads do for them. */
static inline bool same_text(const sy__strings *strings, uint32_t i, const char *text, size_t n,
                             uint64_t last) {
    sy_token_text here = sy__string_at(strings, i);
    if (here.n_bytes != n || last_word_in_table(here.bytes, n) != last) {
        return false;
    }
    return n <= 8 || (n <= 16 ? sy__load_u64(here.bytes) == sy__load_u64(text)
                              : memcmp(here.bytes, text, n - 8) == 0);
}

/* One of these, wanted with types: a token. Without (types NULL): a rule. */
static uint32_t find(const sy__index *index, const sy__strings *strings, const uint8_t *types,
                     sy__hashed text, uint32_t wanted) {
    uint32_t mask = index->n_slots - 1, mark = mark_of(index, text.hash);
    for (uint32_t at = (uint32_t)text.hash & mask;; at = (at + 1) & mask) {
        uint32_t slot = index->slots[at];
        if (slot == 0) {
            return UINT32_MAX;
        }
        uint32_t i = (slot & index->id_mask) - 1;
        if ((slot & ~index->id_mask) == mark &&
            (types == NULL || (SY__TYPE_BIT(types[i]) & wanted) != 0) &&
            same_text(strings, i, text.bytes, text.n_bytes, text.last)) {
            return i;
        }
    }
}

/* Puts a text in. The first of equal texts counts (of equal texts of one type): they must not make
 * a long chain. */
static void insert(const sy__index *index, const sy__strings *strings, const uint8_t *types,
                   uint32_t i, uint64_t hash) {
    sy_token_text text = sy__string_at(strings, i);
    uint64_t last = last_word_in_table(text.bytes, text.n_bytes);
    uint32_t mask = index->n_slots - 1, mark = mark_of(index, hash), at = (uint32_t)hash & mask;
    for (uint32_t slot = index->slots[at]; slot != 0; slot = index->slots[at]) {
        uint32_t other = (slot & index->id_mask) - 1;
        if ((slot & ~index->id_mask) == mark && (types == NULL || types[i] == types[other]) &&
            same_text(strings, other, text.bytes, text.n_bytes, last)) {
            return;
        }
        at = (at + 1) & mask;
    }
    if (text.n_bytes > 0) {
        index->slots[at] = mark | (i + 1);
    }
}

/* Inserts strings [first, first + n), n at most BATCH; answers the longest. */
static size_t insert_batch(const sy__index *index, const sy__strings *strings, const uint8_t *types,
                           uint64_t seed, uint32_t first, uint32_t n) {
    uint64_t hashes[BATCH];
    size_t longest = 0;
    for (uint32_t k = 0; k < n; k++) {
        sy_token_text text = sy__string_at(strings, first + k);
        hashes[k] = sy__hash_words(seed, text.bytes, text.n_bytes,
                                   last_word_in_table(text.bytes, text.n_bytes));
        __builtin_prefetch(&index->slots[(uint32_t)hashes[k] & (index->n_slots - 1)], 1);
        longest = text.n_bytes > longest ? text.n_bytes : longest;
    }
    for (uint32_t k = 0; k < n; k++) {
        insert(index, strings, types, first + k, hashes[k]);
    }
    return longest;
}

/* A power of two that leaves at least a quarter of the slots free; ids + 1 fit below the mark. */
static uint32_t slots_for(uint32_t n) {
    uint32_t n_slots = 16;
    while (3 * (uint64_t)n_slots < 4 * (uint64_t)n) {
        n_slots *= 2;
    }
    return n_slots;
}

/* Both tables lie in one block. It is written at random all over while it is filled: with small
 * pages half of that time would go into faults. */
static bool reserve(sy_tokenizer *t) {
    uint32_t n_tokens = slots_for(t->tokens.n);
    uint32_t n_merges = t->model == SY__MODEL_BPE ? slots_for(t->merges.n) : 0;
    size_t n_slots = (size_t)n_tokens + n_merges;
    uint32_t *slots = sy__tokenizer_block(t, n_slots, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    sy__prefer_large_pages(slots, n_slots * sizeof *slots);
    t->token_index = (sy__index){slots, n_tokens, n_tokens - 1};
    t->merge_index = (sy__index){slots + n_tokens, n_merges, n_merges - 1};
    return true;
}

/* Answers the bytes of the longest text. */
static size_t fill(const sy_tokenizer *t, const sy__strings *strings, const uint8_t *types,
                   const sy__index *index) {
    size_t longest = 0;
    for (uint32_t i = 0; i < strings->n; i += BATCH) {
        uint32_t n = strings->n - i < BATCH ? strings->n - i : BATCH;
        size_t here = insert_batch(index, strings, types, t->seed, i, n);
        longest = here > longest ? here : longest;
    }
    return longest;
}

static sy_status too_long(const sy__strings *strings, size_t limit, const char *what,
                          sy_error *error) {
    uint32_t i = 0;
    while (sy__string_at(strings, i).n_bytes <= limit) {
        i++;
    }
    return sy_error_set(error, SY_INVALID_ARGUMENT,
                        "%s %u of the tokenizer is too long (%zu bytes).", what, i,
                        sy__string_at(strings, i).n_bytes);
}

sy_status sy__indexes_create(sy_tokenizer *t, sy_error *error) {
    if (!reserve(t)) {
        return sy__no_memory(error, 8 * ((uint64_t)t->tokens.n + t->merges.n),
                             "the tables of a tokenizer");
    }
    size_t longest = fill(t, &t->tokens, t->types, &t->token_index);
    if (longest > SY_LIMIT_TOKEN_BYTES) {
        return too_long(&t->tokens, SY_LIMIT_TOKEN_BYTES, "Token", error);
    }
    t->n_max_token_bytes = (uint32_t)longest;
    if (t->model == SY__MODEL_BPE &&
        fill(t, &t->merges, NULL, &t->merge_index) > SY_LIMIT_STRING_BYTES) {
        return too_long(&t->merges, SY_LIMIT_STRING_BYTES, "Merge", error);
    }
    return SY_OK;
}

int32_t sy__token_find(const sy_tokenizer *t, const char *text, size_t n_bytes, uint32_t types) {
    if (n_bytes == 0 || n_bytes > t->n_max_token_bytes) {
        return SY_NO_TOKEN;
    }
    return sy__token_find_hashed(t, hash_text(t->seed, text, n_bytes), types);
}

int32_t sy__token_find_hashed(const sy_tokenizer *t, sy__hashed text, uint32_t types) {
    uint32_t i = find(&t->token_index, &t->tokens, t->types, text, types);
    return i != UINT32_MAX ? (int32_t)i : SY_NO_TOKEN;
}

/* The first of two ids, either of which may be none. */
static int32_t smaller_id(int32_t a, int32_t b) {
    return a == SY_NO_TOKEN || (b != SY_NO_TOKEN && b < a) ? b : a;
}

/* A normal token whose text is no spelling stands for that text. */
static int32_t find_unspelled(const sy_tokenizer *t, const char *bytes, size_t n_bytes,
                              uint32_t types) {
    int32_t id = sy__token_find(t, bytes, n_bytes, types & SY__TYPES_SPELLED);
    bool spelled = id == SY_NO_TOKEN || sy__bytes_from_spelling(bytes, n_bytes, NULL) != SIZE_MAX;
    return spelled ? SY_NO_TOKEN : id;
}

int32_t sy__spelled_find(const sy_tokenizer *t, const char *bytes, size_t n_bytes,
                         const char *spelling, size_t n_spelling, uint32_t types) {
    int32_t id = sy__token_find(t, spelling, n_spelling, types & SY__TYPES_SPELLED);
    if ((types & ~SY__TYPES_SPELLED & ~(t->has_user ? 0 : SY__TYPES_PIECE)) == 0) {
        return id;
    }
    return smaller_id(id, sy__token_find(t, bytes, n_bytes, types & ~SY__TYPES_SPELLED));
}

int32_t sy__bytes_find(const sy_tokenizer *t, const char *bytes, size_t n_bytes, uint32_t types) {
    char small[256], *spelling = small;
    if (!t->spelled) {
        return sy__token_find(t, bytes, n_bytes, types);
    }
    if (n_bytes > t->n_max_token_bytes) {
        return SY_NO_TOKEN;
    }
    if (2 * n_bytes > sizeof small) {
        spelling = sy__alloc_array(t->allocator, 2 * n_bytes, 1);
    }
    if (spelling == NULL) {
        return SY_NO_TOKEN;
    }
    size_t n = sy__spelling_from_bytes(bytes, n_bytes, spelling);
    int32_t id = sy__spelled_find(t, bytes, n_bytes, spelling, n, types);
    id = smaller_id(id, find_unspelled(t, bytes, n_bytes, types));
    if (spelling != small) {
        sy__free_array(t->allocator, spelling, 2 * n_bytes, 1);
    }
    return id;
}

uint32_t sy__merge_find(const sy_tokenizer *t, const char *text, size_t n_bytes) {
    return find(&t->merge_index, &t->merges, NULL, hash_text(t->seed, text, n_bytes), 0);
}
