/* SPDX-License-Identifier: Apache-2.0 */
/* Where text whose blanks are marks may be cut before it is merged: in front of a mark that no
 * piece has behind the byte there. Nothing can be joined over such a place, so what lies between
 * two of them is encoded by itself, with the same result. */
#include "tokenizer/tokenizer.h"

static bool is_mark(const uint8_t *at) {
    return memcmp(at, SY__SPACE_MARK, SY__SPACE_MARK_BYTES) == 0;
}

#define BLOCK 64u

/* Does any of BLOCK places have a mark that is not the beginning of a text? Compilers make vectors
 * of it. */
static bool has_inner_mark(const uint8_t *at) {
    const uint8_t *mark = (const uint8_t *)SY__SPACE_MARK;
    uint8_t any = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        any |= (uint8_t)((at[i] == mark[0]) & (at[i + 1] == mark[1]) & (at[i + 2] == mark[2]) &
                         (at[(ptrdiff_t)i - 1] != 0));
    }
    return any != 0;
}

/* The texts lie one behind the other, each with its length in front, whose last bytes are 0. A NUL
 * in a text looks like those, so it is taken for a byte that may have a mark behind it. */
static void find_joints(sy_tokenizer *t) {
    const uint8_t *at = t->tokens.base + t->tokens.offsets[0] + sizeof(uint64_t);
    const uint8_t *last = t->tokens.base + t->tokens.end - SY__SPACE_MARK_BYTES;
    t->joints[0] = true;
    while (at <= last) {
        size_t n = (size_t)(last - at) + 1 < BLOCK ? (size_t)(last - at) + 1 : BLOCK;
        bool looks = n < BLOCK || has_inner_mark(at);
        for (size_t i = 0; looks && i < n; i++) {
            if (is_mark(at + i) && !is_mark(at + i - SY__SPACE_MARK_BYTES)) {
                t->joints[at[(ptrdiff_t)i - 1]] = true;
            }
        }
        at += n;
    }
}

void sy__cuts_create(sy_tokenizer *t) {
    t->cuts = t->escape && (t->model == SY__MODEL_UNIGRAM || t->model == SY__MODEL_SPM ||
                            (t->model == SY__MODEL_BPE && t->pre->raw));
    if (!t->cuts) {
        return;
    }
    find_joints(t);
    for (uint32_t i = 0; i < t->n_tokens; i++) {
        if (t->types[i] == SY_TOKEN_NORMAL) {
            continue;
        }
        /* parts of unused pieces depend on what else was joined in the text */
        t->cuts = t->cuts && !(t->types[i] == SY_TOKEN_UNUSED && t->model == SY__MODEL_SPM);
        sy_token_text text = sy__token_text(t, i);
        for (size_t k = 1; t->types[i] == SY_TOKEN_USER_DEFINED && k < text.n_bytes; k++) {
            if (text.bytes[k] == ' ') { /* a mark, in the text that it is looked for in */
                t->joints[(uint8_t)text.bytes[k - 1]] = true;
            }
        }
    }
}

size_t sy__cut_after(const sy_tokenizer *t, const char *text, size_t n_bytes, size_t begin) {
    const uint8_t *bytes = (const uint8_t *)text;
    if (!t->cuts) {
        return n_bytes;
    }
    for (size_t at = begin + 1; at + SY__SPACE_MARK_BYTES <= n_bytes; at++) {
        if (bytes[at] == (uint8_t)SY__SPACE_MARK[0] && is_mark(bytes + at) &&
            !t->joints[bytes[at - 1]] &&
            !(at >= SY__SPACE_MARK_BYTES && is_mark(bytes + at - SY__SPACE_MARK_BYTES))) {
            return at;
        }
    }
    return n_bytes;
}
