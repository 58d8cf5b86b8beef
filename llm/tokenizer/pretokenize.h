/* SPDX-License-Identifier: Apache-2.0 */
/* Pre-tokenizers of byte-level BPE: lists of regular expressions, each cutting the pieces of the
 * one before. What an expression matches is a piece, and so is what lies between two matches. */
#ifndef SY_TOKENIZER_PRETOKENIZE_H
#define SY_TOKENIZER_PRETOKENIZE_H

#include "base/memory.h"
#include "switchyard/tokenizer.h"

#define SY__PRE_PATTERNS 6u

/* Facts of one pre-tokenizer. */
typedef struct sy__pre {
    const char *names; /* separated by blanks, as GGUF spells them */
    const char *patterns[SY__PRE_PATTERNS];
    bool ignore_merges; /* a whole piece that is a token needs no merging */
    bool nfc;           /* the text is normalised first */
    bool add_bos;       /* default of the vocabulary */
    bool add_ends;      /* begin and separator around the text (RoBERTa) */
    bool raw;           /* merges work on characters, spaces escaped, not on mapped bytes */
} sy__pre;

/* Compiled expressions (PCRE2). */
typedef struct sy__regexes {
    void *codes[SY__PRE_PATTERNS];
    void *general, *context;
    uint32_t n_codes;
} sy__regexes;

/* Ends of the pieces of a text. */
typedef struct sy__segments {
    uint32_t *data;
    size_t n, capacity;
} sy__segments;

/* NULL for a name that is not known. NULL name: "default". */
const sy__pre *sy__pre_find(const char *name);
sy_status sy__regexes_init(sy__regexes *regexes, const sy_allocator *allocator, const sy__pre *pre,
                           sy_error *error);
void sy__regexes_deinit(sy__regexes *regexes);
/* Cuts valid UTF-8 into pieces; their ends go to *out, *scratch is room of the same kind. */
sy_status sy__regexes_cut(const sy__regexes *regexes, const sy_allocator *allocator,
                          const char *text, size_t n_bytes, sy__segments *out,
                          sy__segments *scratch, sy_error *error);

#endif
