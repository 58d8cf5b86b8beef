/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the tokenizer. All of it is immutable after sy_tokenizer_create except sy__encoder,
 * which is the scratch of one encode call. */
#ifndef SY_TOKENIZER_INTERNAL_H
#define SY_TOKENIZER_INTERNAL_H

#include "base/memory.h"
#include "switchyard/limits.h"
#include "switchyard/tokenizer.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/trie.h"
#include "tokenizer/unicode.h"

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
#define SY__TYPES_SPECIAL (SY__TYPE_BIT(SY_TOKEN_CONTROL) | SY__TYPE_BIT(SY_TOKEN_UNKNOWN))
/* A normal token of byte-level BPE whose spelling is not that of bytes: no text can reach it. */
#define SY__TOKEN_UNREACHABLE 7u
#define SY__TYPES_ALL 0xffu

/* SentencePiece's compiled normalisation rules: a double array over bytes, then the
 * NUL-terminated replacements its values point to. */
typedef struct sy__charsmap {
    uint8_t *bytes; /* owned copy, or NULL */
    size_t n_bytes;
    size_t n_units;           /* u32 cells of the array, from byte 4 on */
    const char *replacements; /* n_replacement_bytes, the last of them NUL */
    size_t n_replacement_bytes;
} sy__charsmap;

/* One merge rule of BPE; its rank is its place in the list. */
typedef struct sy__merge {
    int32_t left, right, id;
} sy__merge;

struct sy_tokenizer {
    const sy_allocator *allocator;
    sy__model model;
    const sy__pre *pre; /* BPE only */
    sy__regexes regexes;
    uint32_t n_tokens;
    size_t n_text_bytes;
    char *texts;       /* of "gpt2": normal tokens as the bytes they stand for */
    uint32_t *offsets; /* n_tokens + 1 */
    float *scores;
    uint8_t *types, *strips, *ends;
    uint32_t *slots; /* text -> id, open addressing */
    uint32_t n_slots;
    uint64_t seed;
    int32_t byte_ids[256];
    bool has_bytes; /* every byte has a token: byte fallback works */
    sy__merge *merges;
    uint32_t n_merges, n_merge_slots;
    uint32_t *merge_slots; /* (left, right) -> merge */
    sy__trie special;      /* cut out of the text before anything else */
    sy__trie user;         /* SentencePiece: user-defined symbols, spaces escaped */
    sy__trie user_raw;     /* the same as they stand in a raw text */
    sy__trie pieces;       /* unigram */
    sy__charsmap charsmap;
    float unknown_score;
    uint32_t n_max_token_bytes;
    int32_t special_ids[SY_SPECIAL_MASK + 1];
    bool add_bos, add_eos, add_sep;
    bool space_prefix, remove_extra, escape, suffix, lowercase, has_unused;
};

/* A run of text under BPE: bytes of it, its token, its neighbours. */
typedef struct sy__symbol {
    uint32_t start, n_bytes;
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
    bool after_unknown;
} sy__encoder;

/* vocabulary.c */
static inline sy_token_text sy__token_text(const sy_tokenizer *tokenizer, uint32_t id) {
    uint32_t start = tokenizer->offsets[id];
    sy_token_text text = {tokenizer->texts + start, tokenizer->offsets[id + 1] - start};
    return text;
}
/* Token of these bytes whose type is in the set, the smallest id first. */
int32_t sy__token_find(const sy_tokenizer *tokenizer, const char *text, size_t n_bytes,
                       uint32_t types);
/* "<0x41>" -> 0x41; -1 for other texts. */
int sy__byte_of_name(sy_token_text text);
bool sy__table_create(sy_tokenizer *tokenizer);
bool sy__merge_find(const sy_tokenizer *tokenizer, int32_t left, int32_t right, uint32_t *out_rank,
                    int32_t *out_id);
sy_status sy__merges_create(sy_tokenizer *tokenizer, const sy_vocabulary *vocabulary,
                            sy_error *error);

/* bytes_map.c: the printable characters that byte-level BPE writes bytes as. */
uint32_t sy__byte_to_rune(uint8_t byte);
int sy__rune_to_byte(uint32_t rune); /* -1 for none */
/* Decodes a token's spelling into out (at most n bytes); answers the bytes written, or SIZE_MAX for
 * a spelling with other characters. */
size_t sy__bytes_from_spelling(const char *text, size_t n, char *out);

/* encoder: growing; false when memory was refused (encoder->status says so). */
bool sy__encoder_reserve(sy__encoder *encoder, void *array, size_t *capacity, size_t n,
                         size_t size_bytes);
#define SY__RESERVE(encoder, vector, wanted)                                             \
    sy__encoder_reserve((encoder), (void *)&(vector).data, &(vector).capacity, (wanted), \
                        sizeof((vector).data[0]))
bool sy__emit(sy__encoder *encoder, int32_t id);
/* Bytes that no token covers: byte tokens where there are, else one unknown token a run. */
bool sy__emit_unknown(sy__encoder *encoder, const char *text, size_t n_bytes);
bool sy__append(sy__encoder *encoder, sy__bytes *bytes, const char *text, size_t n_bytes);

/* merge.c: best pair first, over encoder->symbols (text holds their bytes). */
typedef bool (*sy__pair_finder)(sy__encoder *encoder, const char *text, const sy__symbol *left,
                                const sy__symbol *right, uint32_t *out_priority, int32_t *out_id);
bool sy__merge_symbols(sy__encoder *encoder, const char *text, sy__pair_finder find);
bool sy__symbol_add(sy__encoder *encoder, uint32_t start, uint32_t n_bytes, int32_t id,
                    bool frozen);

/* normalize.c: SentencePiece's normalisation of one fragment into encoder->text. */
sy_status sy__charsmap_init(sy__charsmap *charsmap, const sy_allocator *allocator,
                            const uint8_t *bytes, size_t n_bytes, sy_error *error);
void sy__charsmap_deinit(sy__charsmap *charsmap, const sy_allocator *allocator);
bool sy__normalize(sy__encoder *encoder, const char *text, size_t n_bytes, bool prefix);

/* One fragment of text without special tokens. `prefix`: a space may be put in front. */
bool sy__encode_spm(sy__encoder *encoder, const char *text, size_t n_bytes, bool prefix);
bool sy__encode_unigram(sy__encoder *encoder, const char *text, size_t n_bytes, bool prefix);
bool sy__encode_bpe(sy__encoder *encoder, const char *text, size_t n_bytes);
bool sy__encode_wordpiece(sy__encoder *encoder, const char *text, size_t n_bytes);

#endif
