/* SPDX-License-Identifier: Apache-2.0 */
/* A seeded hash over texts, eight bytes at a time. What it has taken in of a text so far depends on
 * nothing behind that place, so the hashes of all beginnings of a text cost one pass. */
#ifndef SY_TOKENIZER_HASH_H
#define SY_TOKENIZER_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A text that is looked up, with its hash and its last word. */
typedef struct sy__hashed {
    const char *bytes;
    size_t n_bytes;
    uint64_t hash, last;
} sy__hashed;

static inline uint64_t sy__hash_mix(uint64_t a, uint64_t b) {
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)(a ^ 0x9e3779b97f4a7c15ull) * (b ^ 0xd6e8feb86659fd93ull);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t sy__load_u64(const char *at) {
    uint64_t word = 0;
    memcpy(&word, at, sizeof word);
    return word;
}

/* The last 8 bytes of a text, those before its beginning as 0. */
static inline uint64_t sy__last_word(const char *text, size_t n) {
    uint64_t word = 0;
    if (n >= 8) {
        return sy__load_u64(text + n - 8);
    }
    for (size_t i = 0; i < n; i++) {
        word |= (uint64_t)(uint8_t)text[i] << 8 * (8 - n + i);
    }
    return word;
}

/* The first 8 bytes of a text, those behind its end as 0. */
static inline uint64_t sy__first_word(const char *text, size_t n) {
    return n >= 8 ? sy__load_u64(text) : n > 0 ? sy__last_word(text, n) >> 8 * (8 - n) : 0;
}

/* Takes in one more whole word that is not the end of the text; the first state is the seed. */
static inline uint64_t sy__hash_word(uint64_t state, uint64_t seed, uint64_t word) {
    return sy__hash_mix(state, word ^ seed);
}

/* The hash of n bytes: `state` has taken in the first (n - 1) / 8 words. */
static inline uint64_t sy__hash_end(uint64_t state, uint64_t seed, size_t n, uint64_t last) {
    return sy__hash_mix(sy__hash_mix(state, last ^ seed), seed ^ n);
}

static inline uint64_t sy__hash_words(uint64_t seed, const char *text, size_t n, uint64_t last) {
    uint64_t state = seed;
    for (size_t at = 0; at + 8 < n; at += 8) {
        state = sy__hash_word(state, seed, sy__load_u64(text + at));
    }
    return sy__hash_end(state, seed, n, last);
}

#endif
