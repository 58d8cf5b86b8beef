/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the reader of Hugging Face folders: what was opened, and the steps that turn it into
 * keys and tensors. Errors are sticky in `status`. */
#ifndef SY_HUGGINGFACE_INTERNAL_H
#define SY_HUGGINGFACE_INTERNAL_H

#include "base/file_map.h"
#include "base/json_read.h"
#include "switchyard/gguf_writer.h"
#include "switchyard/huggingface.h"
#include "switchyard/limits.h"
#include "switchyard/safetensors.h"

/* Where a window of attention goes. */
typedef enum sy__hf_window {
    SY__HF_WINDOW_CAPS = 0, /* no key for it: the context ends where the window does */
    SY__HF_WINDOW_ALL,      /* a key, of all layers */
    SY__HF_WINDOW_PATTERN   /* a key, of the layers that layer_types names */
} sy__hf_window;

/* What transformers leaves unsaid of a model_type. */
typedef struct sy__hf_family {
    const char *model_type;   /* of config.json */
    const char *architecture; /* of GGUF */
    const char *activation;   /* the one this architecture has; others are refused */
    bool half_split;          /* GGUF would have query and key rows interleaved */
    bool norm_plus_one;       /* norm weights are stored less 1 */
    bool post_norms;          /* four norms a layer */
    bool is_encoder;
    sy__hf_window window;
    uint32_t n_heads, n_kv_heads, head_dim; /* defaults; 0: heads are wanted, widths follow */
    float rope_theta;                       /* default */
} sy__hf_family;

/* One JSON file of the folder; absent when n_nodes is 0. */
typedef struct sy__hf_json {
    sy__file_map map;
    sy__json_document json;
    const char *path;
} sy__hf_json;

/* What the view holds on to. */
typedef struct sy__hf_keep {
    const sy_allocator *allocator;
    sy_safetensors *weights; /* NULL: none */
    sy__arena arena;         /* tensors that were made anew */
} sy__hf_keep;

typedef struct sy__hf {
    const sy_allocator *allocator;
    const char *folder;
    const sy__hf_family *family; /* NULL: a vocabulary alone */
    sy__hf_json config, tokenizer, tokenizer_config, generation, pooling;
    sy__json_index root; /* of the text model within config */
    sy__hf_keep *keep;
    sy_gguf_writer *writer;
    sy__arena scratch;
    uint32_t n_layers, n_rows, head_dim, n_rotated; /* n_rows: of the embedding, 0 unknown */
    sy_error *error;
    sy_status status;
} sy__hf;

/* folder.c */
bool sy__hf_fail(sy__hf *hf, sy_status status, const char *hint, const char *format, ...)
    SY_PRINTF(4, 5);
bool sy__hf_no_memory(sy__hf *hf, const char *what);
/* "architecture.suffix" in the scratch arena; "" after a failure. */
const char *sy__hf_key(sy__hf *hf, const char *suffix);
/* A text in the scratch arena as a C string; NULL for no string. */
const char *sy__hf_string(sy__hf *hf, const sy__hf_json *file, sy__json_index i);

/* config.c: the family and the keys of the architecture. */
bool sy__hf_read_family(sy__hf *hf);
bool sy__hf_put_config(sy__hf *hf);
/* A number of config.json; `otherwise` when absent, 0 means that it must be there. */
uint32_t sy__hf_u32(sy__hf *hf, const char *name, uint32_t otherwise);
double sy__hf_f64(sy__hf *hf, const char *name, double otherwise);

/* rope.c: keys and factor tensors of the rotary embedding. */
bool sy__hf_put_rope(sy__hf *hf);

/* tensors.c: names to roles; adds every tensor. */
bool sy__hf_put_tensors(sy__hf *hf);
/* Adds an f32 vector of n numbers, which must live in keep->arena. */
void sy__hf_add_vector(sy__hf *hf, const char *name, const float *numbers, uint64_t n);

/* tokenizer.c: tokenizer.json to the keys tokenizer.ggml.*. */
bool sy__hf_put_tokenizer(sy__hf *hf);

/* The tokens by id, as GGUF spells them. */
typedef struct sy__hf_token {
    const char *bytes; /* NULL: no token has this id */
    uint32_t n_bytes;
    uint8_t type;   /* SY_TOKEN_* of switchyard/tokenizer.h */
    uint8_t strips; /* SY_TOKEN_STRIP_* */
    float score;
} sy__hf_token;

typedef struct sy__hf_vocabulary {
    sy__hf_token *tokens;
    uint32_t n;             /* ids */
    const char *kind;       /* tokenizer.ggml.model */
    const char *pre;        /* tokenizer.ggml.pre, or NULL */
    bool has_scores;        /* scores are written */
    bool has_byte_tokens;   /* <0x41> stands for a byte */
    int add_space_prefix;   /* -1: no key */
    int remove_whitespaces; /* -1: no key */
    bool prefix_once;       /* the space comes in front of the whole text only */
    bool prefix_if_missing; /* and not where there is one */
    bool keeps_case;        /* "bert" */
    sy__json_index merges;  /* NONE: no key */
    const uint8_t *charsmap;
    size_t n_charsmap_bytes;
} sy__hf_vocabulary;

enum { SY__HF_NORMAL = 1, SY__HF_UNKNOWN, SY__HF_CONTROL, SY__HF_USER, SY__HF_UNUSED, SY__HF_BYTE };

/* tokenizer_kind.c: which of GGUF's kinds the model, normalizer and pre-tokenizer make together;
 * refuses by name what none of them has. */
bool sy__hf_choose_kind(sy__hf *hf, sy__hf_vocabulary *vocabulary);
/* tokenizer_merges.c: scores that make best-score-first join what the merges join. */
bool sy__hf_score_merges(sy__hf *hf, sy__hf_vocabulary *vocabulary);
/* The two halves of merge i_merge. */
bool sy__hf_merge_halves(sy__hf *hf, sy__json_index merge, const char *out_bytes[2],
                         size_t out_n_bytes[2]);
/* tokenizer_ids.c: ids of special tokens, what is put around a text, the chat template. */
bool sy__hf_put_specials(sy__hf *hf, const sy__hf_vocabulary *vocabulary);

#endif
