/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to token ids and back, for the four kinds of vocabulary that model files carry:
 *   "llama"   SentencePiece BPE by scores, byte fallback        (Llama 2, Gemma, Phi-3, Mistral)
 *   "t5"      SentencePiece unigram, Viterbi                    (T5, XLM-R)
 *   "gpt2"    byte-level BPE by merges, with a pre-tokenizer    (Llama 3, Qwen, SmolLM, GPT-2)
 *   "gemma4"  BPE by merges over characters, byte fallback      (Gemma 4)
 *   "bert"    WordPiece                                         (BERT-style encoders)
 *
 * A tokenizer is immutable after create: share it between threads freely. Texts are bytes in UTF-8;
 * bytes that are no UTF-8 never fail: "llama", "t5" and "bert" read each as U+FFFD (which "bert"
 * drops), "gpt2" and "gemma4" keep the bytes, so that decoding gives them back.
 * Time and memory grow linearly (times a logarithm) with the text, whatever the text is.
 */
#ifndef SWITCHYARD_TOKENIZER_H
#define SWITCHYARD_TOKENIZER_H

#include "switchyard/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SY_NO_TOKEN (-1)

/* Token types, numbered as in GGUF. */
typedef enum sy_token_type {
    SY_TOKEN_NORMAL = 1,
    SY_TOKEN_UNKNOWN = 2,
    SY_TOKEN_CONTROL = 3,      /* matched in text only with SY_ENCODE_PARSE_SPECIAL */
    SY_TOKEN_USER_DEFINED = 4, /* always one token wherever it stands in a text */
    SY_TOKEN_UNUSED = 5,
    SY_TOKEN_BYTE = 6 /* "<0x41>": stands for one byte */
} sy_token_type;

/* What a special token swallows beside it in the text (sy_vocabulary.strips). */
#define SY_TOKEN_STRIP_LEFT 1u
#define SY_TOKEN_STRIP_RIGHT 2u

/* Bytes of a text, not NUL-terminated. */
typedef struct sy_token_text {
    const char *bytes;
    size_t n_bytes;
} sy_token_text;

/* A choice that a vocabulary may leave to its model kind. */
typedef enum sy_choice { SY_CHOICE_DEFAULT = -1, SY_CHOICE_NO = 0, SY_CHOICE_YES = 1 } sy_choice;

/* A vocabulary as a model file stores it. Start from sy_vocabulary_init. Everything is borrowed
 * during sy_tokenizer_create only. */
typedef struct sy_vocabulary {
    uint32_t struct_bytes; /* sizeof(sy_vocabulary) */
    const char *model;     /* kind, see above */
    const char *pre;       /* pre-tokenizer of "gpt2", e.g. "llama-bpe"; NULL is "default" */
    uint32_t n_tokens, n_merges;
    const sy_token_text *tokens;
    const float *scores;         /* n_tokens, or NULL: all 0 */
    const int32_t *types;        /* n_tokens sy_token_type, or NULL: all normal */
    const uint8_t *strips;       /* n_tokens of SY_TOKEN_STRIP_*, or NULL: none */
    const sy_token_text *merges; /* "left right", best first */
    const uint8_t *charsmap;     /* SentencePiece's precompiled normaliser, or NULL */
    size_t n_charsmap_bytes;
    /* Ids, SY_NO_TOKEN where there is none. */
    int32_t bos, eos, eot, eom, unk, sep, pad, cls, mask;
    const int32_t *more_ends; /* [n_more_ends] that end a generation beside eos, eot and eom */
    uint32_t n_more_ends;
    sy_choice add_bos, add_eos, add_sep;
    sy_choice add_space_prefix, remove_extra_whitespaces, escape_whitespaces;
    sy_choice whitespace_as_suffix;
    sy_choice lowercase; /* "bert": default yes; also strips accents */
    /* Of add_space_prefix: in front of the whole text only, not behind special tokens too; only
     * where the text has no space in front already. */
    uint32_t prefix_once, prefix_if_missing;
} sy_vocabulary;

typedef struct sy_tokenizer sy_tokenizer;

/* Fills defaults: nothing in it, all ids SY_NO_TOKEN, all choices left to the model kind.
 * shape: -  unit: -  owner: caller  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
void sy_vocabulary_init(sy_vocabulary *out_vocabulary);

/* Makes a tokenizer; copies what it needs. An unknown model kind or pre-tokenizer is refused by
 * name. Tokens longer than 1024 bytes are decoded but not matched as special or unigram pieces.
 * shape: -  unit: -  owner: caller, sy_tokenizer_destroy  errors: INVALID_ARGUMENT for ids or texts
 * out of range, UNIMPLEMENTED for an unknown kind or pre-tokenizer, RESOURCE_EXHAUSTED
 * thread: any  cost: O(bytes of the vocabulary)  since: 0.1  source: GGUF specification */
SY_MUST_CHECK sy_status sy_tokenizer_create(const sy_allocator *allocator,
                                            const sy_vocabulary *vocabulary,
                                            sy_tokenizer **out_tokenizer, sy_error *error);

/* Makes the tokenizer that a GGUF file carries. Texts stay where the file has them, so the file is
 * mapped until the tokenizer ends; the heap taken is about 12 bytes a token (24 for t5) and 12 a
 * merge.
 * shape: -  unit: -  owner: caller, sy_tokenizer_destroy  errors: those of reading the file and of
 * sy_tokenizer_create; NOT_FOUND for a file without a vocabulary  thread: any
 * cost: O(bytes of the vocabulary)  since: 0.1  source: GGUF specification */
SY_MUST_CHECK sy_status sy_tokenizer_open(const sy_allocator *allocator, const char *path,
                                          sy_tokenizer **out_tokenizer, sy_error *error);

/* Ends a tokenizer. NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: when no call uses it any more
 * cost: O(1)  since: 0.1  source: - */
void sy_tokenizer_destroy(sy_tokenizer *tokenizer);

/* Flags of sy_tokenizer_encode. */
#define SY_ENCODE_ADD_SPECIAL 1u   /* begin/end tokens as the vocabulary asks for */
#define SY_ENCODE_PARSE_SPECIAL 2u /* the texts of control tokens become those tokens */

/* Encodes n_bytes of UTF-8. With out_ids NULL only the number of tokens is answered; otherwise it
 * must fit into `capacity`, or OUT_OF_RANGE says how many there are and nothing is written.
 * shape: out_ids [capacity] i32  unit: tokens  owner: caller keeps both  errors: OUT_OF_RANGE,
 * INVALID_ARGUMENT over 1 GiB of text, RESOURCE_EXHAUSTED  thread: any
 * cost: heap that ends with the call, O(n log n)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_tokenizer_encode(const sy_tokenizer *tokenizer, const char *text,
                                            size_t n_bytes, uint32_t flags, int32_t *out_ids,
                                            size_t capacity, size_t *out_n_tokens, sy_error *error);

/* Flags of decoding. */
#define SY_DECODE_SPECIAL 1u    /* render control tokens by their names instead of nothing */
#define SY_DECODE_KEEP_SPACE 2u /* keep the space that encoding may have put in front */

/* The raw bytes one token stands for (half a character is possible). With out_bytes NULL only the
 * length is answered. Not NUL-terminated.
 * shape: out_bytes [capacity]  unit: bytes  owner: caller  errors: INVALID_ARGUMENT for an id
 * outside the vocabulary, OUT_OF_RANGE when it does not fit  thread: any
 * cost: no heap, O(bytes)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_tokenizer_piece(const sy_tokenizer *tokenizer, int32_t id,
                                           uint32_t flags, char *out_bytes, size_t capacity,
                                           size_t *out_n_bytes, sy_error *error);

/* Decodes a sequence into UTF-8: bytes that form no character become U+FFFD, a space that encoding
 * put in front is taken off. With out_text NULL only the length is answered; not NUL-terminated.
 * shape: ids [n_tokens] i32, out_text [capacity]  unit: bytes  owner: caller  errors: as piece
 * thread: any  cost: no heap, O(bytes)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_tokenizer_decode(const sy_tokenizer *tokenizer, const int32_t *ids,
                                            size_t n_tokens, uint32_t flags, char *out_text,
                                            size_t capacity, size_t *out_n_bytes, sy_error *error);

/* Turns a stream of tokens into a stream of whole characters; the sum of its outputs equals
 * sy_tokenizer_decode of the same ids. Caller's memory, plain, may be copied. */
typedef struct sy_detokenizer {
    const sy_tokenizer *tokenizer;
    uint32_t flags;
    uint32_t at_start; /* 1 until the first text: its leading space may be dropped */
    uint32_t n_pending;
    uint8_t pending[4]; /* the beginning of a character */
} sy_detokenizer;

/* Starts a stream. SY_DECODE_KEEP_SPACE for a text that goes on after a prompt.
 * shape: -  unit: -  owner: caller's memory; tokenizer must outlive it  errors: none
 * thread: one at a time  cost: O(1)  since: 0.1  source: - */
void sy_detokenizer_init(sy_detokenizer *detokenizer, const sy_tokenizer *tokenizer,
                         uint32_t flags);

/* Adds a token; answers the whole characters that are complete now (may be none). `capacity` of
 * sy_tokenizer_max_piece_bytes is always enough. On failure the stream is as before.
 * shape: out_text [capacity]  unit: bytes  owner: caller  errors: as sy_tokenizer_piece
 * thread: one at a time  cost: no heap, O(bytes)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_detokenizer_push(sy_detokenizer *detokenizer, int32_t id, char *out_text,
                                            size_t capacity, size_t *out_n_bytes, sy_error *error);

/* Ends the stream: a character that was begun and never finished becomes U+FFFD (3 bytes).
 * Answers the bytes written (0 or 3), 0 when capacity is under 3. The stream then starts anew.
 * shape: out_text [capacity]  unit: bytes  owner: caller  errors: none
 * thread: one at a time  cost: no heap, O(1)  since: 0.1  source: - */
size_t sy_detokenizer_finish(sy_detokenizer *detokenizer, char *out_text, size_t capacity);

/* Bytes that one sy_detokenizer_push gives at most.
 * shape: -  unit: bytes  owner: -  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
size_t sy_tokenizer_max_piece_bytes(const sy_tokenizer *tokenizer);

/* Number of tokens.
 * shape: -  unit: tokens  owner: -  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
uint32_t sy_tokenizer_n_tokens(const sy_tokenizer *tokenizer);

/* Token whose bytes are `text`, special tokens by their names (e.g. "<|im_end|>"), else
 * SY_NO_TOKEN. Special tokens win over normal ones of the same text.
 * shape: -  unit: -  owner: -  errors: SY_NO_TOKEN  thread: any
 * cost: O(bytes)  since: 0.1  source: - */
int32_t sy_tokenizer_find(const sy_tokenizer *tokenizer, const char *text, size_t n_bytes);

/* Type of a token (sy_token_type), 0 for an id outside the vocabulary.
 * shape: -  unit: -  owner: -  errors: 0  thread: any
 * cost: O(1)  since: 0.1  source: - */
uint32_t sy_tokenizer_type(const sy_tokenizer *tokenizer, int32_t id);

/* 1 for tokens that end a generation (eos, eot, eom and control tokens known by name), else 0.
 * shape: -  unit: -  owner: -  errors: 0  thread: any
 * cost: O(1)  since: 0.1  source: - */
int sy_tokenizer_is_end(const sy_tokenizer *tokenizer, int32_t id);

/* Which special token sy_tokenizer_special answers. */
typedef enum sy_special {
    SY_SPECIAL_BOS = 0,
    SY_SPECIAL_EOS = 1,
    SY_SPECIAL_EOT = 2,
    SY_SPECIAL_EOM = 3,
    SY_SPECIAL_UNK = 4,
    SY_SPECIAL_SEP = 5,
    SY_SPECIAL_PAD = 6,
    SY_SPECIAL_CLS = 7,
    SY_SPECIAL_MASK = 8
} sy_special;

/* Id of a special token, SY_NO_TOKEN where the vocabulary has none.
 * shape: -  unit: -  owner: -  errors: SY_NO_TOKEN  thread: any
 * cost: O(1)  since: 0.1  source: - */
int32_t sy_tokenizer_special(const sy_tokenizer *tokenizer, sy_special which);

/* 1 when SY_ENCODE_ADD_SPECIAL puts a begin token in front, else 0.
 * shape: -  unit: -  owner: -  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
int sy_tokenizer_adds_bos(const sy_tokenizer *tokenizer);

#ifdef __cplusplus
}
#endif
#endif
