/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the reader of Hugging Face folders: what was opened, and the steps that turn it into
 * keys and tensors. Errors are sticky in `status`. */
#ifndef SY_HUGGINGFACE_INTERNAL_H
#define SY_HUGGINGFACE_INTERNAL_H

#include "base/file_map.h"
#include "json/json_read.h"
#include "switchyard/gguf_writer.h"
#include "switchyard/huggingface.h"
#include "switchyard/limits.h"
#include "switchyard/safetensors.h"

/* Where a window of attention goes. */
typedef enum sy__hf_window {
    SY__HF_WINDOW_CAPS = 0, /* no key for it: the context ends where the window does */
    SY__HF_WINDOW_ALL,      /* a key, of all layers unless layer_types names some */
    SY__HF_WINDOW_PATTERN   /* a key, of the layers that layer_types names */
} sy__hf_window;

/* What a layer does in place of attention to everything. */
typedef enum sy__hf_kind { SY__HF_FULL = 0, SY__HF_WINDOWED, SY__HF_CONVOLUTION } sy__hf_kind;

typedef struct sy__hf sy__hf;

/* What transformers leaves unsaid of a model_type. Names and numbers that are NULL or 0 are those
 * of most families. */
typedef struct sy__hf_family {
    const char *model_type;   /* of config.json */
    const char *outer_type;   /* of one that sees or hears too, this being its text_config */
    const char *architecture; /* of GGUF */
    const char *activation;   /* the one this architecture has; others are refused */
    const char *embedding;    /* the tensor that every folder has: "embed_tokens.weight" */
    const char *layers;       /* in front of a layer's number: "layers." */
    const char *quantization; /* the quant_method that is read */
    bool half_split;          /* GGUF would have query and key rows interleaved */
    bool norm_plus_one;       /* norm weights are stored less 1 */
    bool post_norms;          /* post_attention_layernorm is no norm of the feed-forward's input */
    bool scaled_queries;      /* query_pre_attn_scalar and caps of scores */
    bool is_encoder;          /* LayerNorm, no rows of logits */
    bool is_bidirectional;    /* use_bidirectional_attention */
    bool is_tied;             /* tie_word_embeddings where nothing is said */
    bool has_convolutions;
    bool own_full_heads; /* layers without a window have heads of another size */
    bool full_first;     /* of every window_period layers the first is full, not the last */
    bool columns_first;  /* packed experts are stored inputs by outputs, gate and up alternating */
    bool yarn_unrounded; /* the ends of YaRN's ramp are no whole pairs ("truncate": false) */
    bool pool_dense;     /* modules behind the pooling may be matrices */
    sy__hf_window window;
    const char *window_name;                /* "sliding_window" */
    const char *period_name;                /* of the number of layers of which one is full */
    uint32_t window_period;                 /* where nothing names it */
    const char *epsilon_name;               /* "rms_norm_eps" */
    float epsilon;                          /* default; 1e-6 */
    uint32_t n_heads, n_kv_heads, head_dim; /* defaults; 0: heads are wanted, widths follow */
    const char *theta_name;                 /* "rope_theta" */
    float rope_theta;                       /* default */
    const char *local_name;       /* older name of the windowed layers' theta; NULL: one rotation */
    bool (*put_more)(sy__hf *hf); /* keys of its own, checks of what it must not have */
} sy__hf_family;

/* One JSON file of the folder; absent when n_nodes is 0. */
typedef struct sy__hf_json {
    sy__file_map map;
    sy__json_document json;
    const char *path;
} sy__hf_json;

/* What the view holds on to. */
#define SY__HF_DENSE_MOST 2u
typedef struct sy__hf_keep {
    const sy_allocator *allocator;
    sy_safetensors *weights;                  /* NULL: none */
    sy_safetensors *dense[SY__HF_DENSE_MOST]; /* of the modules behind the pooling */
    sy__arena arena;                          /* tensors that were made anew, stacks */
} sy__hf_keep;

struct sy__hf {
    const sy_allocator *allocator;
    const char *folder;
    const sy__hf_family *family; /* NULL: a vocabulary alone */
    sy__hf_json config, tokenizer, tokenizer_config, generation;
    sy__json_index root; /* of the text model within config */
    sy__hf_keep *keep;
    sy_gguf_writer *writer;
    sy__arena scratch;
    uint8_t *kinds;                                 /* sy__hf_kind of each layer */
    uint32_t n_layers, n_rows, head_dim, n_rotated; /* n_rows: of the embedding, 0 unknown */
    uint32_t n_experts, n_altup;                    /* 0 none */
    bool is_pooled;                                 /* rows become a vector, there are no logits */
    bool has_classifier;                            /* classifier.weight is there */
    sy_error *error;
    sy_status status;
};

/* folder.c */
bool sy__hf_fail(sy__hf *hf, sy_status status, const char *hint, const char *format, ...)
    SY_PRINTF(4, 5);
bool sy__hf_no_memory(sy__hf *hf, const char *what);
/* "architecture.suffix" in the scratch arena; "" after a failure. */
const char *sy__hf_key(sy__hf *hf, const char *suffix);
/* A text in the scratch arena as a C string; NULL for no string. */
const char *sy__hf_string(sy__hf *hf, const sy__hf_json *file, sy__json_index i);

/* A JSON file of the folder that may be absent. */
bool sy__hf_read_json(sy__hf *hf, const char *name, sy__hf_json *out_file);
void sy__hf_close_json(sy__hf_json *file);

/* families.c: the i-th family, NULL past the end. */
const sy__hf_family *sy__hf_family_at(uint32_t i);
/* The first family of an architecture, or NULL: those of one share the names of weights. */
const sy__hf_family *sy__hf_family_of(const char *architecture);

/* config.c: the family and the keys of the architecture. */
bool sy__hf_read_family(sy__hf *hf);
bool sy__hf_put_config(sy__hf *hf);
sy__json_index sy__hf_find(const sy__hf *hf, const char *path);
/* A number of config.json; `otherwise` when absent, 0 means that it must be there. */
uint32_t sy__hf_u32(sy__hf *hf, const char *name, uint32_t otherwise);
/* One that may be 0, and is where it is absent. */
uint32_t sy__hf_u32_or_none(sy__hf *hf, const char *name);
double sy__hf_f64(sy__hf *hf, const char *name, double otherwise);
bool sy__hf_bool(const sy__hf *hf, const char *name, bool otherwise);
/* Refuses a setting that the architecture here has another way. */
bool sy__hf_must_be(sy__hf *hf, const char *name, bool otherwise, bool wanted);
/* A key of the architecture. */
void sy__hf_put_u32(sy__hf *hf, const char *suffix, uint32_t number);
void sy__hf_put_f32(sy__hf *hf, const char *suffix, double number);
/* The same with one number a layer, or one for all where they are equal. */
void sy__hf_put_layers(sy__hf *hf, const char *suffix, const uint32_t *numbers);

/* rope.c: keys and factor tensors of the rotary embedding. */
bool sy__hf_put_rope(sy__hf *hf);

/* modules.c: what sentence-transformers puts behind the model: pooling, matrices. */
bool sy__hf_put_modules(sy__hf *hf);

/* tensors.c: names to roles; adds every tensor. */
bool sy__hf_put_tensors(sy__hf *hf);
/* How a tensor is kept. */
typedef enum sy__hf_form {
    SY__HF_MATRIX = 0, /* where it lies */
    SY__HF_NUMBERS,    /* in f32 */
    SY__HF_NORM        /* in f32, with the 1 that some families leave out */
} sy__hf_form;
bool sy__hf_add_tensor(sy__hf *hf, const char *ours, sy__hf_form form, const sy_safetensor *from);
/* Adds f32 numbers [n_rows, n] (a vector where n_rows is 1), which must live in keep->arena. */
void sy__hf_add_numbers(sy__hf *hf, const char *name, const float *numbers, uint64_t n,
                        uint64_t n_rows);
bool sy__hf_is_float(sy_element_type type);

/* stacks.c: matrices of one shape that GGUF has as one tensor: experts, rows of AltUp. */
typedef struct sy__hf_stacks {
    uint32_t *apart;  /* [layers][gate, up, down][experts], index of the safetensor plus 1 */
    uint32_t *packed; /* [layers][all experts of a layer in one tensor, by what it is] */
    uint32_t *altup;  /* [split, join][n_altup - 1] */
} sy__hf_stacks;
bool sy__hf_stacks_init(sy__hf *hf, sy__hf_stacks *out_stacks);
/* Whether safetensor i, `name` of layer i_layer (UINT32_MAX: of none), is one of a stack. */
bool sy__hf_stacks_place(const sy__hf *hf, sy__hf_stacks *stacks, const char *name,
                         uint32_t i_layer, uint32_t i);
bool sy__hf_stacks_add(sy__hf *hf, const sy__hf_stacks *stacks);

/* stack_rows.c: how a piece lies. */
typedef enum sy__hf_layout {
    SY__HF_ROWS = 0, /* row by row */
    SY__HF_COLUMNS,  /* column by column */
    SY__HF_MXFP4     /* rows of blocks of 32 in pairs of neighbours, the scales elsewhere */
} sy__hf_layout;

/* A stack of matrices, each made of a piece: row r is the piece's row first + r * step. */
typedef struct sy__hf_stack {
    sy__hf_layout layout;
    uint32_t n_matrices;
    uint64_t n_rows, n_columns; /* of a matrix */
    uint64_t first, step;
    uint64_t n_piece_rows; /* of a piece, gate and up together where it has both */
    size_t element_bytes;  /* 0: MXFP4 */
    uint64_t piece_bytes;  /* without the scales */
    const uint8_t **pieces, **scales;
} sy__hf_stack;
/* An sy_gguf_rows over one. */
void sy__hf_stack_rows(const void *stack, uint64_t first_row, uint64_t n_rows, void *out_rows);

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
