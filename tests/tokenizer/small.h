/* SPDX-License-Identifier: Apache-2.0 */
/* Small vocabularies of every kind, for tests without files. */
#ifndef SY_TESTS_TOKENIZER_SMALL_H
#define SY_TESTS_TOKENIZER_SMALL_H

#include "harness.h"
#include "switchyard/tokenizer.h"

#define SMALL_MAX 700
#define MARK "\xe2\x96\x81"

typedef struct small_vocabulary {
    sy_vocabulary v;
    sy_token_text tokens[SMALL_MAX], merges[64];
    float scores[SMALL_MAX];
    int32_t types[SMALL_MAX];
    char names[SMALL_MAX][8];
} small_vocabulary;

static inline int32_t small_add(small_vocabulary *small, const char *text, size_t n_bytes,
                                int32_t type, float score) {
    uint32_t i = small->v.n_tokens++;
    small->tokens[i] = (sy_token_text){text, n_bytes};
    small->types[i] = type;
    small->scores[i] = score;
    return (int32_t)i;
}

static inline int32_t small_word(small_vocabulary *small, const char *text, float score) {
    return small_add(small, text, strlen(text), SY_TOKEN_NORMAL, score);
}

static inline void small_merge(small_vocabulary *small, const char *text) {
    small->merges[small->v.n_merges++] = (sy_token_text){text, strlen(text)};
}

/* The 256 bytes: as "<0x41>", or as byte-level BPE spells them. */
static inline void small_bytes(small_vocabulary *small, int mapped) {
    int n_moved = 0;
    for (int byte = 0; byte < 256; byte++) {
        char *name = small->names[byte];
        if (!mapped) {
            snprintf(name, sizeof small->names[byte], "<0x%02X>", (unsigned)byte);
            small_add(small, name, 6, SY_TOKEN_BYTE, 0.0f);
            continue;
        }
        int plain =
            (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        int rune = plain ? byte : 0x100 + n_moved++;
        size_t n = 0;
        if (rune < 0x80) {
            name[n++] = (char)rune;
        } else {
            name[n++] = (char)(0xc0 | rune >> 6);
            name[n++] = (char)(0x80 | (rune & 0x3f));
        }
        small_add(small, name, n, SY_TOKEN_NORMAL, 0.0f);
    }
}

static inline void small_init(small_vocabulary *small, const char *model) {
    memset(small, 0, sizeof *small);
    sy_vocabulary_init(&small->v);
    small->v.model = model;
    small->v.tokens = small->tokens;
    small->v.scores = small->scores;
    small->v.types = small->types;
    small->v.merges = small->merges;
}

/* kind: llama, t5, gpt2, gemma4 or bert. */
static inline void small_fill(small_vocabulary *small, const char *kind) {
    int mapped = strcmp(kind, "gpt2") == 0;
    small_init(small, kind);
    if (strcmp(kind, "bert") != 0) {
        small_bytes(small, mapped);
    }
    small->v.unk = small_add(small, "<unk>", 5, SY_TOKEN_UNKNOWN, 0.0f);
    small->v.bos = small_add(small, "<s>", 3, SY_TOKEN_CONTROL, 0.0f);
    small->v.eos = small_add(small, "</s>", 4, SY_TOKEN_CONTROL, 0.0f);
    small_add(small, "<|im_end|>", 10, SY_TOKEN_CONTROL, 0.0f);
    small_add(small, "<tool>", 6, SY_TOKEN_USER_DEFINED, 0.0f);
    if (mapped) {
        small->v.pre = "gpt-2";
        small_word(small, "ab", 0);
        small_word(small, "aa", 0);
        small_word(small, "aaaa", 0);
        small_word(small,
                   "\xc4\xa0"
                   "a",
                   0);
        small_merge(small, "a b");
        small_merge(small, "a a");
        small_merge(small, "aa aa");
        small_merge(small, "\xc4\xa0 a");
        return;
    }
    const char *words[] = {MARK, "a", "b", "ab", "aa", "aaaa", MARK "a", "\xc3\xa9", MARK "b"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        small_word(small, words[i], -1.0f - (float)i);
    }
    small_add(small, "aaa", 3, SY_TOKEN_UNUSED, -0.5f);
    small_merge(small, "a b");
    small_merge(small, "a a");
    small_merge(small, "aa aa");
    small_merge(small, MARK " a");
}

static inline sy_tokenizer *small_create(small_vocabulary *small) {
    sy_error error;
    sy_tokenizer *tokenizer = NULL;
    sy_error_clear(&error);
    CHECK_OK_ERROR(sy_tokenizer_create(NULL, &small->v, &tokenizer, &error), error);
    return tokenizer;
}

/* A heap that refuses its n_left-th block from now on. */
typedef struct failing {
    sy_allocator allocator;
    long n_left, n_live;
} failing;

static inline void *fail_reallocate(void *self, void *pointer, size_t old_bytes, size_t new_bytes,
                                    size_t alignment) {
    failing *f = self;
    if (new_bytes != 0 && f->n_left-- == 0) {
        return NULL;
    }
    f->n_live += (pointer == NULL && new_bytes != 0) - (pointer != NULL && new_bytes == 0);
    const sy_allocator *heap = sy_allocator_heap();
    return heap->reallocate(heap->self, pointer, old_bytes, new_bytes, alignment);
}

#define SMALL_KINDS \
    { "llama", "t5", "gpt2", "gemma4", "bert" }
#define SMALL_N_KINDS 5

#endif
