/* SPDX-License-Identifier: Apache-2.0 */
/* Two hash tables: bytes -> token, and pair of tokens -> merge. Open addressing; the seed differs
 * from one tokenizer to the next, so that a file cannot be made to collide. */
#include "base/checked.h"
#include "tokenizer/tokenizer.h"

#include <string.h>

static uint64_t mix(uint64_t a, uint64_t b) {
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)(a ^ 0x9e3779b97f4a7c15ull) * (b ^ 0xd6e8feb86659fd93ull);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_bytes(uint64_t seed, const char *text, size_t n_bytes) {
    uint64_t hash = seed ^ n_bytes;
    while (n_bytes >= 8) {
        uint64_t word = 0;
        memcpy(&word, text, 8);
        hash = mix(hash, word);
        text += 8;
        n_bytes -= 8;
    }
    uint64_t last = 0;
    memcpy(&last, text, n_bytes);
    return mix(mix(hash, last), seed);
}

static uint64_t hash_pair(uint64_t seed, int32_t left, int32_t right) {
    return mix(seed ^ ((uint64_t)(uint32_t)left << 32 | (uint32_t)right), seed);
}

/* Power of two that leaves at least a third of the slots free. */
static uint32_t slots_for(uint32_t n) {
    uint64_t slots = 16;
    while (slots * 2 < (uint64_t)n * 3) {
        slots *= 2;
    }
    return (uint32_t)slots;
}

int32_t sy__token_find(const sy_tokenizer *tokenizer, const char *text, size_t n_bytes,
                       uint32_t types) {
    if (n_bytes == 0 || n_bytes > tokenizer->n_max_token_bytes) {
        return SY_NO_TOKEN;
    }
    uint32_t mask = tokenizer->n_slots - 1;
    uint64_t at = hash_bytes(tokenizer->seed, text, n_bytes);
    for (; tokenizer->slots[at & mask] != 0; at++) {
        uint32_t id = tokenizer->slots[at & mask] - 1;
        sy_token_text here = sy__token_text(tokenizer, id);
        if (here.n_bytes == n_bytes && (SY__TYPE_BIT(tokenizer->types[id]) & types) != 0 &&
            memcmp(here.bytes, text, n_bytes) == 0) {
            return (int32_t)id;
        }
    }
    return SY_NO_TOKEN;
}

bool sy__table_create(sy_tokenizer *tokenizer) {
    tokenizer->n_slots = slots_for(tokenizer->n_tokens);
    tokenizer->slots =
        sy__alloc_array(tokenizer->allocator, tokenizer->n_slots, sizeof *tokenizer->slots);
    if (tokenizer->slots == NULL) {
        return false;
    }
    uint32_t mask = tokenizer->n_slots - 1;
    for (uint32_t id = 0; id < tokenizer->n_tokens; id++) {
        sy_token_text text = sy__token_text(tokenizer, id);
        if (sy__token_find(tokenizer, text.bytes, text.n_bytes,
                           SY__TYPE_BIT(tokenizer->types[id])) != SY_NO_TOKEN) {
            continue; /* the first of equal tokens counts; they must not make a long chain */
        }
        uint64_t at = hash_bytes(tokenizer->seed, text.bytes, text.n_bytes);
        while (tokenizer->slots[at & mask] != 0) {
            at++;
        }
        if (text.n_bytes > 0) {
            tokenizer->slots[at & mask] = id + 1;
        }
    }
    return true;
}

bool sy__merge_find(const sy_tokenizer *tokenizer, int32_t left, int32_t right, uint32_t *out_rank,
                    int32_t *out_id) {
    uint32_t mask = tokenizer->n_merge_slots - 1;
    uint64_t at = hash_pair(tokenizer->seed, left, right);
    for (; tokenizer->merge_slots[at & mask] != 0; at++) {
        const sy__merge *merge = &tokenizer->merges[tokenizer->merge_slots[at & mask] - 1];
        if (merge->left == left && merge->right == right) {
            *out_rank = tokenizer->merge_slots[at & mask] - 1;
            *out_id = merge->id;
            return true;
        }
    }
    return false;
}

/* A half of a merge rule, or all of it, as a token. */
static int32_t spelled_token(const sy_tokenizer *tokenizer, const char *text, size_t n_bytes,
                             char *scratch) {
    if (!tokenizer->pre->raw) {
        n_bytes = sy__bytes_from_spelling(text, n_bytes, scratch);
        text = scratch;
    }
    return n_bytes == SIZE_MAX ? SY_NO_TOKEN
                               : sy__token_find(tokenizer, text, n_bytes, SY__TYPES_PIECE);
}

/* Rules that name no tokens of the vocabulary are kept as unmatchable, so ranks stay. */
static void read_merge(const sy_tokenizer *tokenizer, sy_token_text text, char *scratch,
                       sy__merge *out) {
    const char *blank = text.n_bytes > 1 ? memchr(text.bytes + 1, ' ', text.n_bytes - 1) : NULL;
    out->left = out->right = out->id = SY_NO_TOKEN;
    if (blank == NULL) {
        return;
    }
    size_t n_left = (size_t)(blank - text.bytes), n_right = text.n_bytes - n_left - 1;
    int32_t left = spelled_token(tokenizer, text.bytes, n_left, scratch);
    int32_t right = spelled_token(tokenizer, blank + 1, n_right, scratch);
    if (left < 0 || right < 0) {
        return;
    }
    sy_token_text a = sy__token_text(tokenizer, (uint32_t)left);
    sy_token_text b = sy__token_text(tokenizer, (uint32_t)right);
    memcpy(scratch, a.bytes, a.n_bytes);
    memcpy(scratch + a.n_bytes, b.bytes, b.n_bytes);
    int32_t id = sy__token_find(tokenizer, scratch, a.n_bytes + b.n_bytes, SY__TYPES_PIECE);
    if (id >= 0) {
        out->left = left;
        out->right = right;
        out->id = id;
    }
}

static void insert_merge(sy_tokenizer *tokenizer, uint32_t rank) {
    const sy__merge *merge = &tokenizer->merges[rank];
    uint32_t mask = tokenizer->n_merge_slots - 1;
    uint64_t at = hash_pair(tokenizer->seed, merge->left, merge->right);
    for (; tokenizer->merge_slots[at & mask] != 0; at++) {
        const sy__merge *here = &tokenizer->merges[tokenizer->merge_slots[at & mask] - 1];
        if (here->left == merge->left && here->right == merge->right) {
            return; /* the better rank stays */
        }
    }
    tokenizer->merge_slots[at & mask] = rank + 1;
}

sy_status sy__merges_create(sy_tokenizer *tokenizer, const sy_vocabulary *vocabulary,
                            sy_error *error) {
    size_t n_longest = 2 * (size_t)tokenizer->n_max_token_bytes;
    for (uint32_t i = 0; i < vocabulary->n_merges; i++) {
        if (vocabulary->merges[i].n_bytes > SY_LIMIT_STRING_BYTES) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "Merge %u of the tokenizer is too long.", i);
        }
        n_longest =
            vocabulary->merges[i].n_bytes > n_longest ? vocabulary->merges[i].n_bytes : n_longest;
    }
    tokenizer->n_merges = vocabulary->n_merges;
    tokenizer->n_merge_slots = slots_for(vocabulary->n_merges);
    tokenizer->merges =
        sy__alloc_array(tokenizer->allocator, tokenizer->n_merges, sizeof *tokenizer->merges);
    tokenizer->merge_slots = sy__alloc_array(tokenizer->allocator, tokenizer->n_merge_slots,
                                             sizeof *tokenizer->merge_slots);
    char *scratch = sy__alloc_array(tokenizer->allocator, n_longest, 1);
    if (tokenizer->merges == NULL || tokenizer->merge_slots == NULL || scratch == NULL) {
        sy__free_array(tokenizer->allocator, scratch, n_longest, 1);
        return sy__no_memory(error, n_longest, "the merges of a tokenizer");
    }
    for (uint32_t i = 0; i < vocabulary->n_merges; i++) {
        read_merge(tokenizer, vocabulary->merges[i], scratch, &tokenizer->merges[i]);
        if (tokenizer->merges[i].id >= 0) {
            insert_merge(tokenizer, i);
        }
    }
    sy__free_array(tokenizer->allocator, scratch, n_longest, 1);
    return SY_OK;
}
