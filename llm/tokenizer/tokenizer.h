/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the tokenizer. All of it is immutable after sy_tokenizer_create except sy__encoder,
 * which is the scratch of one encode call. */
#ifndef SY_TOKENIZER_INTERNAL_H
#define SY_TOKENIZER_INTERNAL_H

#include "base/memory.h"
#include "switchyard/gguf.h"
#include "switchyard/limits.h"
#include "switchyard/tokenizer.h"
#include "tokenizer/hash.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/trie.h"
#include "tokenizer/unicode.h"

#include <string.h>

#define SY__MAX_TEXT_BYTES (1u << 30)
#define SY__NO_SYMBOL UINT32_MAX

typedef enum sy__model {
    SY__MODEL_SPM,
    SY__MODEL_UNIGRAM,
    SY__MODEL_BPE,
    SY__MODEL_WORDPIECE
} sy__model;

/* Sets of token types, one bit a type. */
#define SY__TYPE_BIT(type) (1u << (type))
#define SY__TYPES_PIECE                                                    \
    (SY__TYPE_BIT(SY_TOKEN_NORMAL) | SY__TYPE_BIT(SY_TOKEN_USER_DEFINED) | \
     SY__TYPE_BIT(SY_TOKEN_UNUSED))
/* A control token of byte-level BPE that the file types as normal, and so spells like one. */
#define SY__TOKEN_CONTROL_SPELLED 7u
#define SY__TYPES_SPECIAL                                              \
    (SY__TYPE_BIT(SY_TOKEN_CONTROL) | SY__TYPE_BIT(SY_TOKEN_UNKNOWN) | \
     SY__TYPE_BIT(SY__TOKEN_CONTROL_SPELLED))
/* Types whose text byte-level BPE spells with a printable character for each byte. */
#define SY__TYPES_SPELLED                                            \
    (SY__TYPE_BIT(SY_TOKEN_NORMAL) | SY__TYPE_BIT(SY_TOKEN_UNUSED) | \
     SY__TYPE_BIT(SY__TOKEN_CONTROL_SPELLED))
#define SY__TYPES_ALL 0xffu

/* Texts where they lie, in a model file or in a copy: each offset leads to a length in 8 bytes
 * (this machine's order, which a model file's is), then the bytes, then the next one. Nothing is
 * aligned. */
typedef struct sy__strings {
    const uint8_t *base;
    const uint32_t *offsets;
    uint32_t n;
    uint32_t end; /* offset behind the last one */
} sy__strings;

/* Bytes -> index of a string. Open addressing over the strings themselves: a slot is 0 when free,
 * else index + 1 in its low bits and bits of the hash above them. */
typedef struct sy__index {
    uint32_t *slots;
    uint32_t n_slots;
    uint32_t id_mask;
} sy__index;

/* SentencePiece's compiled normalisation rules: a double array over bytes, then the
 * NUL-terminated replacements its values point to. */
typedef struct sy__charsmap {
    uint8_t *bytes; /* owned copy, or NULL */
    size_t n_bytes;
    size_t n_units;           /* u32 cells of the array, from byte 4 on */
    const char *replacements; /* n_replacement_bytes, the last of them NUL */
    size_t n_replacement_bytes;
} sy__charsmap;

/* Unigram: which lengths the normal pieces with some beginning have. */
typedef struct sy__lengths {
    uint64_t *masks;
    uint32_t n_masks;    /* a power of two */
    int32_t single[256]; /* pieces of one byte */
} sy__lengths;

#define SY__BLOCKS 7u

struct sy_tokenizer {
    const sy_allocator *allocator;
    sy__model model;
    const sy__pre *pre; /* BPE only */
    sy__regexes regexes;
    uint32_t n_tokens;
    sy__strings tokens;    /* as the file spells them */
    sy__strings merges;    /* "left right"; the rank is the place in the list */
    const uint8_t *scores; /* f32, not aligned; NULL: all 0 */
    uint8_t *types;
    uint8_t *strips; /* or NULL */
    uint8_t *ends;   /* a bit a token */
    sy__index token_index, merge_index;
    uint64_t seed;
    void *blocks[SY__BLOCKS]; /* of the tables; of tokens, merges and scores, unless in a file */
    size_t blocks_bytes[SY__BLOCKS];
    sy_gguf *file; /* owned; NULL when the file is somebody else's */
    int32_t byte_ids[256];
    int32_t byte_pieces[256]; /* BPE: what a byte alone is found as */
    bool has_bytes;           /* every byte has a token: byte fallback works */
    bool cuts;                /* texts may be cut in front of marks, but not behind joints */
    bool joints[256];         /* bytes that some piece has a mark behind */
    bool spelled;      /* byte-level BPE: SY__TYPES_SPELLED are spelled, the others are not */
    bool has_user;     /* there are user-defined tokens */
    sy__trie special;  /* cut out of the text before anything else */
    sy__trie user;     /* SentencePiece: user-defined symbols, spaces escaped */
    sy__trie user_raw; /* the same as they stand in a raw text */
    sy__lengths lengths;
    sy__charsmap charsmap;
    float unknown_score;
    uint32_t n_max_token_bytes; /* as spelled */
    int32_t special_ids[SY_SPECIAL_MASK + 1];
    bool add_bos, add_eos, add_sep;
    bool space_prefix, remove_extra, escape, suffix, lowercase;
    bool prefix_once, prefix_if_missing; /* of space_prefix */
};

typedef struct sy__seen sy__seen; /* seen.c */

/* A run of text under BPE: bytes of it, its token, its neighbours. */
typedef struct sy__symbol {
    uint32_t start, n_bytes;
    uint32_t spelled, n_spelled; /* byte-level BPE: the same run as tokens spell it */
    uint32_t previous, next;
    int32_t id;
    bool frozen;
} sy__symbol;

/* A merge that could be made: the smallest key goes first. */
typedef struct sy__candidate {
    uint64_t key; /* priority, then index of the left symbol */
    uint32_t n_bytes;
    int32_t id;
} sy__candidate;

/* Growing arrays with their capacity in elements. */
#define SY__VECTOR(type)    \
    struct {                \
        type *data;         \
        size_t n, capacity; \
    }

typedef SY__VECTOR(char) sy__bytes;

/* Scratch of one encode call. `failed` is sticky: memory was refused. */
typedef struct sy__encoder {
    const sy_tokenizer *tokenizer;
    const sy_allocator *allocator;
    sy_error *error;
    sy_status status;
    SY__VECTOR(int32_t) ids;
    sy__bytes text, words;
    SY__VECTOR(sy__symbol) symbols;
    SY__VECTOR(sy__candidate) heap;
    SY__VECTOR(uint32_t) split; /* of UNUSED pieces: bytes of the left part, by id */
    SY__VECTOR(uint32_t) stack;
    sy__segments segments, segments_next;
    SY__VECTOR(int32_t) runes;
    SY__VECTOR(float) path_scores;
    SY__VECTOR(uint64_t) path;
    sy__seen *seen; /* NULL for short texts */
    bool after_unknown;
} sy__encoder;

static inline sy_token_text sy__string_at(const sy__strings *strings, uint32_t i) {
    /* not the length in the file: that could have been written over since it was proven */
    uint32_t begin = strings->offsets[i] + (uint32_t)sizeof(uint64_t);
    uint32_t end = i + 1 < strings->n ? strings->offsets[i + 1] : strings->end;
    sy_token_text text = {(const char *)strings->base + begin, end - begin};
    return text;
}
static inline sy_token_text sy__token_text(const sy_tokenizer *tokenizer, uint32_t id) {
    return sy__string_at(&tokenizer->tokens, id);
}
/* NaN, which a file may hold, is 0. */
static inline float sy__token_score(const sy_tokenizer *tokenizer, int32_t id) {
    float score = 0;
    if (tokenizer->scores != NULL) {
        memcpy(&score, tokenizer->scores + (size_t)id * sizeof score, sizeof score);
    }
    return score == score ? score : 0.0f;
}

/* table.c: text -> token and pair of tokens -> merge, over the texts where they lie. */
/* Token of this text, as the file spells it, whose type is in the set; the smallest id. */
int32_t sy__token_find(const sy_tokenizer *tokenizer, const char *text, size_t n_bytes,
                       uint32_t types);
int32_t sy__token_find_hashed(const sy_tokenizer *tokenizer, sy__hashed text, uint32_t types);
/* Token that stands for these bytes; in byte-level BPE normal tokens are looked for by their
 * spelling. The second form is given that. */
int32_t sy__bytes_find(const sy_tokenizer *tokenizer, const char *bytes, size_t n_bytes,
                       uint32_t types);
int32_t sy__spelled_find(const sy_tokenizer *tokenizer, const char *bytes, size_t n_bytes,
                         const char *spelling, size_t n_spelling, uint32_t types);
/* Rank of the rule with this text, best first; SY__NO_RULE for none. */
#define SY__NO_RULE UINT32_MAX
uint32_t sy__merge_find(const sy_tokenizer *tokenizer, const char *text, size_t n_bytes);
sy_status sy__indexes_create(sy_tokenizer *tokenizer, sy_error *error);

/* lengths.c: the normal pieces that a text goes on with, shortest first. */
typedef struct sy__piece_walk {
    const sy_tokenizer *tokenizer;
    const char *text;
    size_t n_bytes;
    size_t level, begin;  /* which beginning of a piece it is at, and its length */
    uint64_t word;        /* first 8 bytes */
    uint64_t state, mask; /* hash of the first n_hashed words; lengths still to look up */
    size_t n_hashed;
    int32_t single; /* the piece of one byte, until it was told */
    sy__seen *seen; /* or NULL */
} sy__piece_walk;
bool sy__lengths_create(sy_tokenizer *tokenizer);
/* From the beginning of this text on. */
sy__piece_walk sy__piece_walk_from(const sy__encoder *encoder, const char *text, size_t n_bytes);
bool sy__piece_walk_next(sy__piece_walk *walk, size_t *out_n_bytes, int32_t *out_id);

/* copy.c: texts, types and scores of a vocabulary into the tokenizer's own memory. */
sy_status sy__vocabulary_copy(sy_tokenizer *tokenizer, const sy_vocabulary *vocabulary,
                              sy_error *error);
/* A block that lives as long as the tokenizer; NULL when refused. */
void *sy__tokenizer_block(sy_tokenizer *tokenizer, size_t n, size_t size_bytes);

/* vocabulary.c: a tokenizer is begun, given its tokens, merges, types and scores, and finished; the
 * fields of the vocabulary that name those are not looked at. destroy takes any stage of it. */
sy_status sy__vocabulary_check_counts(uint32_t n_tokens, uint32_t n_merges, sy_error *error);
sy_tokenizer *sy__tokenizer_begin(const sy_allocator *allocator);
sy_status sy__tokenizer_finish(sy_tokenizer *tokenizer, const sy_vocabulary *vocabulary,
                               sy_error *error);

/* special.c: what is known by name or type: ends, bytes, symbols that are cut out first. */
/* "<0x41>" -> 0x41; -1 for other texts. */
int sy__byte_of_name(sy_token_text text);
/* Files that type every token as normal: what they name as begin, end and so on is control, when
 * its spelling says so too ("<...>", "[...]"). Comes before the tables. */
void sy__controls_mark(sy_tokenizer *tokenizer, const sy_vocabulary *vocabulary);
sy_status sy__specials_create(sy_tokenizer *tokenizer, const sy_vocabulary *vocabulary,
                              sy_error *error);

/* bytes_map.c: the printable characters that byte-level BPE writes bytes as. */
uint32_t sy__byte_to_rune(uint8_t byte);
int sy__rune_to_byte(uint32_t rune); /* -1 for none */
/* Decodes a token's spelling into out (at most n bytes; NULL only counts); answers the bytes, or
 * SIZE_MAX for a spelling with other characters. */
size_t sy__bytes_from_spelling(const char *text, size_t n, char *out);
/* The other way; writes at most 2 n bytes and answers their number. */
size_t sy__spelling_from_bytes(const char *bytes, size_t n, char *out);
/* Bytes that one byte is spelled with. */
static inline uint32_t sy__spelled_bytes(uint8_t byte) {
    return byte > 0x20 && byte < 0x7f ? 1 : 2;
}

/* encoder: growing; false when memory was refused (encoder->status says so). */
bool sy__encoder_reserve(sy__encoder *encoder, void *array, size_t *capacity, size_t n,
                         size_t size_bytes);
#define SY__RESERVE(encoder, vector, wanted)                                              \
    ((wanted) <= (vector).capacity ||                                                     \
     sy__encoder_reserve((encoder), (void *)&(vector).data, &(vector).capacity, (wanted), \
                         sizeof((vector).data[0])))
bool sy__emit(sy__encoder *encoder, int32_t id);
/* Bytes that no token covers: byte tokens where there are, else one unknown token a run. */
bool sy__emit_unknown(sy__encoder *encoder, const char *text, size_t n_bytes);
bool sy__append(sy__encoder *encoder, sy__bytes *bytes, const char *text, size_t n_bytes);

/* seen.c: words that came up before in this text. */
bool sy__seen_create(sy__encoder *encoder, size_t n_text_bytes);
void sy__seen_destroy(sy__encoder *encoder);
/* What is kept for a word; NULL: nothing. */
#define SY__SEEN_BYTES 16u /* longest word */
#define SY__SEEN_ITEMS 11u
const int32_t *sy__seen_find(sy__encoder *encoder, const char *word, size_t n_bytes, size_t *out_n);
void sy__seen_add(sy__encoder *encoder, const char *word, size_t n_bytes, const int32_t *items,
                  size_t n);
/* Emits the tokens that are kept for a word; false for none, or when memory was refused. */
bool sy__seen_emit(sy__encoder *encoder, const char *word, size_t n_bytes);
/* Keeps the tokens from n_before on for the word; they depend on nothing else. */
void sy__seen_add_ids(sy__encoder *encoder, const char *word, size_t n_bytes, size_t n_before);

/* One look-up of a long text: its key, and what was found. All 0 at first, a key that never is. */
typedef struct sy__memo {
    uint64_t key;
    uint32_t value;
    int32_t id;
} sy__memo;
/* The place of this key, which may hold another one. */
sy__memo *sy__seen_memo(sy__seen *seen, uint64_t key);

/* cut.c: where a text may be cut before merging. */
void sy__cuts_create(sy_tokenizer *tokenizer);
/* The end of the part that begins at `begin`, n_bytes at most. */
size_t sy__cut_after(const sy_tokenizer *tokenizer, const char *text, size_t n_bytes, size_t begin);

/* merge.c: best pair first, over encoder->symbols (text holds their bytes). */
typedef bool (*sy__pair_finder)(sy__encoder *encoder, const char *text, const sy__symbol *left,
                                const sy__symbol *right, uint32_t *out_priority, int32_t *out_id);
bool sy__merge_symbols(sy__encoder *encoder, const char *text, sy__pair_finder find);
/* Appends a symbol with its start, n_bytes, spelled, n_spelled, id and frozen. */
bool sy__symbol_add(sy__encoder *encoder, sy__symbol symbol);

/* normalize.c: SentencePiece's normalisation of one fragment into encoder->text. */
sy_status sy__charsmap_init(sy__charsmap *charsmap, const sy_allocator *allocator,
                            const uint8_t *bytes, size_t n_bytes, sy_error *error);
void sy__charsmap_deinit(sy__charsmap *charsmap, const sy_allocator *allocator);
bool sy__normalize(sy__encoder *encoder, const char *text, size_t n_bytes, bool prefix);

/* bpe.c: the piece that a byte alone is found as. */
int32_t sy__byte_find(const sy_tokenizer *tokenizer, uint8_t byte);

/* One fragment of text without special tokens. `prefix`: a space may be put in front. */
bool sy__encode_spm(sy__encoder *encoder, const char *text, size_t n_bytes, bool prefix);
bool sy__encode_unigram(sy__encoder *encoder, const char *text, size_t n_bytes, bool prefix);
bool sy__encode_bpe(sy__encoder *encoder, const char *text, size_t n_bytes);
bool sy__encode_wordpiece(sy__encoder *encoder, const char *text, size_t n_bytes);

#endif
