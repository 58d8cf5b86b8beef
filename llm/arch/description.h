/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The description of an architecture: all that the graph builder must know about one model, read
 * from its GGUF metadata under the rules of its family (families.c) and checked against its
 * tensors. There is one builder; a family is a row in a table, not a file of code.
 *
 * The life of one decoder layer, x being the residual stream:
 *   norm PRE   x += attention(N1(x));       x += ffn(N2(x))
 *   norm BOTH  x += N3(attention(N1(x)));   x += N4(ffn(N2(x)))         (Gemma 2 and 3)
 *   norm POST  x  = N5(x + attention(x));   x  = N6(x + ffn(x))         (BERT)
 * Gemma 4 adds at the end of a layer x += N7(proj(act(gate(x)) * p)), p being the layer's slice of
 * the token's per-layer embedding, and multiplies x by one number.
 * with N1 ATTENTION_NORM, N2 FFN_NORM, N3 ATTENTION_POST_NORM, N4 FFN_POST_NORM,
 * N5 ATTENTION_OUTPUT_NORM, N6 LAYER_OUTPUT_NORM, N7 LAYER_INPUT_NORM.
 */
#ifndef SY_LLM_ARCH_DESCRIPTION_H
#define SY_LLM_ARCH_DESCRIPTION_H

#include "switchyard/gguf.h"
#include "switchyard/limits.h"

#include <stdbool.h>

typedef enum sy__norm_kind {
    SY__NORM_RMS = 0, /* RMSNormalization; Gemma's "+ 1" is already in the file's weights */
    SY__NORM_LAYER    /* LayerNormalization with bias */
} sy__norm_kind;

typedef enum sy__norm_place { SY__NORM_PRE = 0, SY__NORM_BOTH, SY__NORM_POST } sy__norm_place;

typedef enum sy__rope_kind {
    SY__ROPE_NONE = 0,
    SY__ROPE_INTERLEAVED, /* pairs (2i, 2i + 1) */
    SY__ROPE_HALF         /* pairs (i, i + n_dims / 2) */
} sy__rope_kind;

typedef enum sy__rope_scaling {
    SY__ROPE_PLAIN = 0,
    SY__ROPE_LINEAR,   /* every frequency divided by `factor` */
    SY__ROPE_FACTORS,  /* llama3: pair i divided by element i of tensor ROPE_FACTORS */
    SY__ROPE_LONGROPE, /* as FACTORS, from ROPE_FACTORS_LONG or _SHORT by the session's context */
    SY__ROPE_YARN
} sy__rope_scaling;

typedef enum sy__activation {
    SY__ACTIVATION_SILU = 0,
    SY__ACTIVATION_GELU_TANH,
    SY__ACTIVATION_GELU /* exact, with erf */
} sy__activation;

/* How the rows of an encoder become one vector; the numbers are those of the key pooling_type. A
 * decoder whose file has one is read as an encoder that looks back. */
typedef enum sy__pooling {
    SY__POOLING_NONE = 0,
    SY__POOLING_MEAN = 1,
    SY__POOLING_FIRST = 2,
    SY__POOLING_LAST = 3,
    SY__POOLING_RANK = 4 /* one row goes through a classifier (cls.output) */
} sy__pooling;

/* Tensors by what they do. "blk.N." precedes the names of those that belong to a layer. */
typedef enum sy__role {
    SY__ROLE_TOKEN_EMBEDDING = 0,
    SY__ROLE_POSITION_EMBEDDING, /* [n_embd, n_context] learned positions */
    SY__ROLE_TOKEN_TYPES,        /* [n_embd, n_token_types]; row 0 is added to every token */
    SY__ROLE_EMBEDDING_NORM,
    SY__ROLE_OUTPUT_NORM,
    SY__ROLE_OUTPUT,       /* absent: TOKEN_EMBEDDING is the output matrix (tied) */
    SY__ROLE_POOL_DENSE_1, /* matrices behind the pooling, which is a mean: they commute */
    SY__ROLE_POOL_DENSE_2,
    SY__ROLE_ALTUP_SPLIT, /* [n_embd, n_embd, n_altup - 1] */
    SY__ROLE_ALTUP_JOIN,
    SY__ROLE_PER_LAYER_TABLE,      /* [n_embd_per_layer * n_layers, n_vocab] */
    SY__ROLE_PER_LAYER_PROJECTION, /* [n_embd, n_embd_per_layer * n_layers] */
    SY__ROLE_PER_LAYER_NORM,
    SY__ROLE_CLASSIFIER_DENSE, /* of a cross-encoder: a layer with tanh or GELU over one row, */
    SY__ROLE_CLASSIFIER_NORM,  /* a norm, */
    SY__ROLE_CLASSIFIER,       /* a number or two from it; llm/embed/rerank.c applies all three */
    SY__ROLE_ROPE_FACTORS,
    SY__ROLE_ROPE_FACTORS_LONG,
    SY__ROLE_ROPE_FACTORS_SHORT,
    SY__ROLE_FIRST_OF_LAYER,
    SY__ROLE_ATTENTION_NORM = SY__ROLE_FIRST_OF_LAYER,
    SY__ROLE_QUERY,
    SY__ROLE_KEY,
    SY__ROLE_VALUE,
    SY__ROLE_QKV, /* rows: all of query, then key, then value; in place of the three */
    SY__ROLE_QUERY_NORM,
    SY__ROLE_KEY_NORM,        /* over each head, before the rotation */
    SY__ROLE_ATTENTION_SINKS, /* [n_heads], joins the denominator of each head's softmax */
    SY__ROLE_ATTENTION_OUTPUT,
    SY__ROLE_ATTENTION_POST_NORM,
    SY__ROLE_ATTENTION_OUTPUT_NORM,
    SY__ROLE_FFN_NORM,
    SY__ROLE_GATE,
    SY__ROLE_UP, /* fused_gate_up: 2 n_ff rows, the gate's first */
    SY__ROLE_DOWN,
    SY__ROLE_CONV_IN, /* [n_embd, 3 n_embd]: two gates and what they gate */
    SY__ROLE_CONV,    /* [length, n_embd], a short kernel for each channel */
    SY__ROLE_CONV_OUT,
    SY__ROLE_ROUTER,      /* [n_embd, n_experts] scores; a layer that has it has experts */
    SY__ROLE_EXPERT_GATE, /* [inputs, outputs, n_experts], in place of GATE, UP and DOWN */
    SY__ROLE_EXPERT_UP,
    SY__ROLE_EXPERT_DOWN,
    SY__ROLE_SHARED_ROUTER, /* one score, the gate of what the shared expert gives */
    SY__ROLE_SHARED_GATE,
    SY__ROLE_SHARED_UP,
    SY__ROLE_SHARED_DOWN,
    SY__ROLE_FFN_POST_NORM,
    SY__ROLE_LAYER_OUTPUT_NORM,
    SY__ROLE_LAYER_INPUT_GATE,       /* of the per-layer embedding */
    SY__ROLE_LAYER_INPUT_PROJECTION, /* and back to n_embd */
    SY__ROLE_LAYER_INPUT_NORM,
    SY__ROLE_LAYER_SCALE, /* one number */
    SY__ROLE_ALTUP_ROUTER,
    SY__ROLE_ALTUP_ROUTER_NORM,
    SY__ROLE_ALTUP_PREDICT, /* [n_altup, n_altup * n_altup] */
    SY__ROLE_ALTUP_CORRECT, /* [n_altup, n_altup] */
    SY__ROLE_ALTUP_SCALE,   /* [n_embd] */
    SY__ROLE_LAUREL_LEFT,   /* [n_embd, n_laurel], a product of low rank beside attention */
    SY__ROLE_LAUREL_RIGHT,
    SY__ROLE_LAUREL_NORM,
    SY__ROLE_COUNT
} sy__role;
#define SY__ALTUP_MOST 8u
#define SY__ROLE_BIT(role) (UINT64_C(1) << (role))

typedef enum sy__part {
    SY__PART_WEIGHT = 0,
    SY__PART_BIAS,
    SY__PART_SCALE,      /* one number that what the matrix gives is multiplied by */
    SY__PART_INPUT_SCALE /* what 4-bit activations would be made with; there are none here */
} sy__part;

/* How the scale of q.k is found when the file has no key attention.scale. */
typedef enum sy__attention_scale {
    SY__SCALE_HEAD = 0,      /* 1 / sqrt(key length) */
    SY__SCALE_HEAD_OR_WIDTH, /* Gemma's 27 B: 1 / sqrt(n_embd / n_heads) at n_width_layers layers */
    SY__SCALE_ONE            /* Gemma 4: heads are normalised */
} sy__attention_scale;

typedef enum sy__expert_use {
    SY__EXPERTS_NEVER = 0,
    SY__EXPERTS_MAY,
    SY__EXPERTS_ALWAYS
} sy__expert_use;

/* How scores become the weights of experts; attribute gating of operator ExpertRouter. */
typedef enum sy__gating {
    SY__GATING_SOFTMAX = 0,
    SY__GATING_SOFTMAX_CHOSEN,
    SY__GATING_SIGMOID
} sy__gating;

/* One family of models: what its files leave unsaid. */
typedef struct sy__family {
    const char *name;  /* general.architecture */
    const char *label; /* for people: "Llama, Mistral, SmolLM" */
    sy__norm_kind norm_kind;
    sy__norm_place norm_place;
    sy__rope_kind rope_kind;
    sy__activation activation;
    bool gated;              /* ffn = DOWN(act(GATE x) * UP x), else DOWN(act(UP x)) */
    bool causal;             /* key attention.causal overrides */
    bool embedding_sqrt;     /* embeddings are multiplied by sqrt(n_embd) */
    bool has_output;         /* a decoder with logits; false: an encoder */
    bool reads_window;       /* key attention.sliding_window is honoured */
    bool local_rope_plain;   /* windowed layers take no linear scaling (Gemma 3) */
    uint32_t no_rope_period; /* every such layer does not rotate; 0: all do */
    sy__attention_scale scale_rule;
    uint32_t n_width_layers;
    uint32_t window_default; /* when the key is absent; 0 none */
    /* Every window_period-th layer is full, the others are windowed; 0: all layers are windowed.
     * Key attention.sliding_window_pattern overrides. */
    uint32_t window_period;
    float local_rope_base; /* of windowed layers when rope.freq_base_swa is absent; 0: rope.base */
    float attention_softcap, output_softcap; /* defaults of the keys; 0 none */
    sy__expert_use experts;
    sy__gating gating;
    bool normalized_experts; /* weights of the chosen are divided by their sum */
    bool clamped_swiglu;     /* experts use operator ClampedSwiGLU (gpt-oss) */
    bool yarn_unrounded;     /* the ends of YaRN's ramp are no whole pairs (gpt-oss) */
    bool full_first;         /* of every window_period layers the first is full, not the last */
    bool plain_norms;        /* norms may lack their bias, the first layer its ATTENTION_NORM */
    bool value_norm; /* values are normalised too, without a weight; where there is no VALUE they
                         are the keys before their norm */
    bool altup;      /* Gemma 3n: AltUp, Laurel and sparse gates */
    bool per_layer_inputs; /* keys embedding_length_per_layer_input, attention.shared_kv_layers */
    bool has_convolutions; /* layers without key heads are short convolutions (LFM2) */
    bool gelu_classifier;  /* of CLASSIFIER_DENSE; tanh elsewhere */
    bool embedding_is_output_norm;   /* OUTPUT_NORM goes by the name of EMBEDDING_NORM */
    bool post_attention_is_ffn_norm; /* FFN_NORM goes by the name of ATTENTION_POST_NORM */
    uint64_t required; /* SY__ROLE_BIT set; QUERY stands for QKV too, GATE for a fused UP, GATE, UP
                          and DOWN for those of experts */
    uint64_t optional;
} sy__family;

/* A rotary embedding. inverse_frequency and magnitude come from sy__rope_table. */
typedef struct sy__rope {
    sy__rope_kind kind;
    sy__rope_scaling scaling;
    uint32_t n_dims;             /* rotated elements of a head; the rest pass unchanged */
    uint32_t n_original_context; /* LONGROPE, YARN: context before stretching */
    float base;
    float factor;               /* >= the stretch; 1 none */
    float attention_factor;     /* multiplies cos and sin beside YaRN's own magnitude */
    float beta_fast, beta_slow; /* YARN */
    bool unrounded;             /* YARN */
} sy__rope;

/* A mixture of experts; all zero without. */
typedef struct sy__experts {
    uint32_t n_experts, n_used;
    uint32_t n_ff, n_ff_shared; /* of one expert; of the shared one, 0 none */
    sy__gating gating;
    bool normalized, clamped_swiglu;
    float scale; /* multiplies the weights of the chosen */
} sy__experts;

typedef struct sy__layer {
    uint32_t n_heads, n_kv_heads; /* n_heads is a multiple of n_kv_heads */
    uint32_t n_ff;
    uint32_t key_length, value_length; /* of one head */
    float sparsity;    /* > 0: gates below mean + sparsity * deviation are 0 (Gemma 3n) */
    uint32_t i_states; /* the layer whose keys and values it reads: its own, or an earlier one's */
    uint32_t window;   /* position p sees j > p - window; 0 all */
    uint64_t weights;  /* SY__ROLE_BIT set of the weights the layer has */
    uint64_t biases;   /* and of the biases */
    uint64_t scales;   /* and of the scales of matrices */
    bool local_rope;   /* rotate with rope_local instead of rope */
    bool no_rope;      /* rotate nothing */
    bool fused_qkv, fused_gate_up, has_experts, is_convolution;
} sy__layer;

/* One model, described. About 70 KiB: keep it on the heap. Borrows `gguf`. */
typedef struct sy__architecture {
    const sy__family *family;
    const sy_gguf *gguf;
    uint32_t n_layers;
    uint32_t n_embd;
    uint32_t n_vocab;                  /* rows of TOKEN_EMBEDDING */
    uint32_t n_context;                /* trained */
    uint32_t n_token_types;            /* rows of TOKEN_TYPES, 0 none */
    uint32_t key_length, value_length; /* of one head, where layers do not say otherwise */
    uint32_t n_embd_per_layer;         /* width of a per-layer embedding, 0 none */
    uint32_t n_altup, i_altup;         /* rows of the residual stream, the one computed; 0 none */
    uint32_t n_laurel;                 /* rank of the product beside attention */
    uint32_t n_convolved;              /* rows that a short convolution reads, 0 none */
    uint32_t n_dense;                  /* between POOL_DENSE_1 and _2, 0 none */
    uint32_t n_classes;                /* rows of CLASSIFIER: a score, or yes and no; 0 none */
    sy__norm_kind norm_kind;
    sy__norm_place norm_place;
    float epsilon;
    sy__activation activation;
    bool gated;
    bool causal;
    bool has_output;  /* logits = OUTPUT(OUTPUT_NORM(x)); false: rows are pooled */
    bool tied_output; /* TOKEN_EMBEDDING in place of OUTPUT */
    sy__pooling pooling;
    float embedding_scale;   /* 1 none */
    float attention_scale;   /* multiplies q.k */
    float attention_softcap; /* 0 none */
    float output_softcap;    /* 0 none */
    sy__experts experts;
    sy__rope rope, rope_local;
    uint64_t weights, biases, scales; /* SY__ROLE_BIT sets of what does not belong to a layer */
    sy__layer layers[SY_LIMIT_LAYERS];
} sy__architecture;

/* Describes the model in a file. UNIMPLEMENTED: unknown family, a feature or tensor we do not run;
 * NOT_FOUND: a key or tensor is missing; OUT_OF_RANGE, DATA_LOSS: a value or shape makes no sense.
 * What out_architecture holds after a failure means nothing. */
SY_MUST_CHECK sy_status sy__architecture_read(const sy_gguf *gguf,
                                              sy__architecture *out_architecture, sy_error *error);

/* A tensor by role; i_layer is ignored for roles that belong to no layer. 0 when the file has none.
 * Shapes, types and, for matrices, dims[0] = inputs and dims[1] = outputs were checked by read. */
int sy__architecture_tensor(const sy__architecture *architecture, sy__role role, uint32_t i_layer,
                            sy__part part, sy_gguf_tensor *out_tensor);

/* The family of a general.architecture, or NULL; i-th family for a list, NULL past the end. */
const sy__family *sy__family_find(sy_gguf_string name);
const sy__family *sy__family_at(uint32_t i_family);

/* inverse_frequency (rope->n_dims / 2 elements) and magnitude of a rope at a session's context, as
 * operator RotaryEmbedding takes them. */
SY_MUST_CHECK sy_status sy__rope_table(const sy__architecture *architecture, const sy__rope *rope,
                                       uint32_t n_context, float *out_inverse_frequency,
                                       float *out_magnitude, sy_error *error);

/* Inside of the folder: the tensor half of sy__architecture_read. */
SY_MUST_CHECK sy_status sy__architecture_check_tensors(sy__architecture *architecture,
                                                       sy_error *error);
/* Sets origin and a hint; answers status. */
sy_status sy__architecture_fail(const sy_gguf *gguf, sy_error *error, sy_status status,
                                const char *hint, const char *format, ...) SY_PRINTF(5, 6);

#endif
