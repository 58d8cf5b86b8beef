/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The families. Facts and where they come from:
 * - Pairs: files of architecture "llama" hold query and key rows permuted at conversion, so pairs
 *   are interleaved; Qwen, Gemma, Phi-3 and BERT-like files keep the original half-split pairs
 *   (llama.cpp, llama_model_rope_type; conversion/llama.py permute).
 * - Gemma adds 1 to every norm weight; the conversion has done so (conversion/gemma.py).
 * - Gemma 1, 2, 3 multiply embeddings by sqrt(width) and have no output matrix of their own
 *   (gemma_pytorch, model.py; Gemma 3 files may carry one).
 * - Gemma 2: even layers are windowed (4096), soft caps 50 and 30; Gemma 3: five of six layers are
 *   windowed and rotate with base 10000 and no linear scaling (gemma_pytorch, config.py; technical
 *   reports of Gemma 2 and Gemma 3). Their 27 B models divide by sqrt(width / heads), told apart by
 *   46 and 62 layers as llama.cpp does, because files carry no query_pre_attn_scalar.
 * - Phi-3: fused qkv and gate_up rows, the gate's first; longrope factors by context; the window of
 *   the key holds on all layers (transformers, modeling_phi3). llama.cpp ignores that window.
 * - Mixtral is "llama" with experts: softmax over all scores, the chosen weights divided by their
 *   sum (modeling_mixtral). Qwen 3 MoE does the same, Qwen 2 MoE does not divide and adds a shared
 *   expert behind a sigmoid (modeling_qwen2_moe, modeling_qwen3_moe, norm_topk_prob of configs).
 * - gpt-oss: softmax of the chosen scores, biases everywhere, sinks, every other layer windowed,
 *   the first too, YaRN with a ramp that is not rounded to pairs (modeling_gpt_oss; rope truncate).
 * - SmolLM 3: Llama whose every fourth layer does not rotate (modeling_smollm3, no_rope_layers).
 * - Gemma 3n: Gemma 4's layers over AltUp's rows, Laurel beside attention, gates cut at mean plus a
 *   multiple of the deviation, over all n of them (modeling_gemma3n; llama.cpp divides by n - 1).
 * - Gemma 4: heads of values are normalised too and scores are not scaled; windowed layers have
 *   other head sizes; the last layers read the states of earlier ones; files of the full layers'
 *   rotation carry factors of 1 and 1e30 (modeling_gemma4; conversion/gemma.py).
 * - EmbeddingGemma: Gemma 3 without causality, the window counted to both sides; dense matrices
 *   behind the mean (modeling_gemma3, use_bidirectional_attention; sentence-transformers modules).
 * - ModernBERT: LayerNorm in front without bias, none in front of the first attention, GeGLU with
 *   erf, every third layer full from the first on (modeling_modernbert).
 * - LFM2: layers without key heads convolve each channel with a short kernel between two gates; the
 *   last norm is called token_embd_norm (modeling_lfm2; llama.cpp, lfm2.cpp).
 * - Qwen 3 rerankers: what the last row says to "yes" and "no", two rows of the output matrix kept
 *   as the classifier (llama.cpp, conversion/qwen.py). A cross-encoder's head is a dense layer with
 *   tanh in BERT, with erf GELU and a norm in ModernBERT (modeling_bert, modeling_modernbert).
 * - BERT: learned positions, token type 0, LayerNorm after the residual sum, erf GELU, pooling by
 *   key (transformers, modeling_bert). nomic-bert: the same with rotary positions and SwiGLU.
 */
#include "arch/description.h"

#define BIT SY__ROLE_BIT
#define DECODER                                                                                 \
    (BIT(SY__ROLE_TOKEN_EMBEDDING) | BIT(SY__ROLE_OUTPUT_NORM) | BIT(SY__ROLE_ATTENTION_NORM) | \
     BIT(SY__ROLE_QUERY) | BIT(SY__ROLE_ATTENTION_OUTPUT) | BIT(SY__ROLE_FFN_NORM) |            \
     BIT(SY__ROLE_GATE) | BIT(SY__ROLE_UP) | BIT(SY__ROLE_DOWN))
#define QK_NORM (BIT(SY__ROLE_QUERY_NORM) | BIT(SY__ROLE_KEY_NORM))
#define POST_NORMS (BIT(SY__ROLE_ATTENTION_POST_NORM) | BIT(SY__ROLE_FFN_POST_NORM))
#define LONGROPE (BIT(SY__ROLE_ROPE_FACTORS_LONG) | BIT(SY__ROLE_ROPE_FACTORS_SHORT))
#define OUTPUT BIT(SY__ROLE_OUTPUT)
#define CLASSIFIER (BIT(SY__ROLE_CLASSIFIER_DENSE) | BIT(SY__ROLE_CLASSIFIER))
#define SHARED_EXPERT                                                                    \
    (BIT(SY__ROLE_SHARED_ROUTER) | BIT(SY__ROLE_SHARED_GATE) | BIT(SY__ROLE_SHARED_UP) | \
     BIT(SY__ROLE_SHARED_DOWN))
#define ALTUP                                                                                      \
    (BIT(SY__ROLE_ALTUP_SPLIT) | BIT(SY__ROLE_ALTUP_JOIN) | BIT(SY__ROLE_ALTUP_ROUTER) |           \
     BIT(SY__ROLE_ALTUP_ROUTER_NORM) | BIT(SY__ROLE_ALTUP_PREDICT) | BIT(SY__ROLE_ALTUP_CORRECT) | \
     BIT(SY__ROLE_ALTUP_SCALE) | BIT(SY__ROLE_LAUREL_LEFT) | BIT(SY__ROLE_LAUREL_RIGHT) |          \
     BIT(SY__ROLE_LAUREL_NORM))
#define ENCODER                                                                                \
    (BIT(SY__ROLE_TOKEN_EMBEDDING) | BIT(SY__ROLE_EMBEDDING_NORM) | BIT(SY__ROLE_QUERY) |      \
     BIT(SY__ROLE_ATTENTION_OUTPUT) | BIT(SY__ROLE_ATTENTION_OUTPUT_NORM) | BIT(SY__ROLE_UP) | \
     BIT(SY__ROLE_DOWN) | BIT(SY__ROLE_LAYER_OUTPUT_NORM))

/* What many rows have in common. */
#define DECODES .gated = true, .causal = true, .has_output = true
#define INTERLEAVED .rope_kind = SY__ROPE_INTERLEAVED
#define HALF_SPLIT .rope_kind = SY__ROPE_HALF
#define GEMMA HALF_SPLIT, .activation = SY__ACTIVATION_GELU_TANH, .embedding_sqrt = true
#define GEMMA_WINDOWS .norm_place = SY__NORM_BOTH, .reads_window = true
#define TWO_ROTATIONS .local_rope_plain = true, .local_rope_base = 10000.0f

static const sy__family families[] = {
    {.name = "llama",
     .label = "Llama, Mistral, Mixtral, SmolLM",
     DECODES,
     INTERLEAVED,
     .reads_window = true,
     .experts = SY__EXPERTS_MAY,
     .normalized_experts = true,
     .required = DECODER,
     .optional = OUTPUT | BIT(SY__ROLE_ROPE_FACTORS) | LONGROPE},
    {.name = "smollm3",
     .label = "SmolLM 3",
     DECODES,
     INTERLEAVED,
     .no_rope_period = 4,
     .required = DECODER,
     .optional = OUTPUT | BIT(SY__ROLE_ROPE_FACTORS)},
    {.name = "qwen2",
     .label = "Qwen 2, Qwen 2.5",
     DECODES,
     HALF_SPLIT,
     .required = DECODER,
     .optional = OUTPUT},
    {.name = "qwen3",
     .label = "Qwen 3",
     DECODES,
     HALF_SPLIT,
     .required = DECODER | QK_NORM,
     .optional = OUTPUT | BIT(SY__ROLE_CLASSIFIER)},
    {.name = "qwen2moe",
     .label = "Qwen 1.5 MoE, Qwen 2 MoE",
     DECODES,
     HALF_SPLIT,
     .experts = SY__EXPERTS_ALWAYS,
     .required = DECODER,
     .optional = OUTPUT | SHARED_EXPERT},
    {.name = "qwen3moe",
     .label = "Qwen 3 MoE",
     DECODES,
     HALF_SPLIT,
     .experts = SY__EXPERTS_ALWAYS,
     .normalized_experts = true,
     .required = DECODER | QK_NORM,
     .optional = OUTPUT},
    {.name = "gpt-oss",
     .label = "gpt-oss",
     DECODES,
     HALF_SPLIT,
     .reads_window = true,
     .window_period = 2,
     .experts = SY__EXPERTS_ALWAYS,
     .gating = SY__GATING_SOFTMAX_CHOSEN,
     .clamped_swiglu = true,
     .yarn_unrounded = true,
     .post_attention_is_ffn_norm = true,
     .required = DECODER | BIT(SY__ROLE_ATTENTION_SINKS),
     .optional = OUTPUT},
    {.name = "gemma", .label = "Gemma", DECODES, GEMMA, .required = DECODER},
    {.name = "gemma2",
     .label = "Gemma 2",
     DECODES,
     GEMMA,
     GEMMA_WINDOWS,
     .scale_rule = SY__SCALE_HEAD_OR_WIDTH,
     .n_width_layers = 46,
     .window_default = 4096,
     .window_period = 2,
     .attention_softcap = 50.0f,
     .output_softcap = 30.0f,
     .required = DECODER | POST_NORMS},
    {.name = "gemma3",
     .label = "Gemma 3",
     DECODES,
     GEMMA,
     GEMMA_WINDOWS,
     TWO_ROTATIONS,
     .scale_rule = SY__SCALE_HEAD_OR_WIDTH,
     .n_width_layers = 62,
     .window_period = 6,
     .required = DECODER | POST_NORMS | QK_NORM,
     .optional = OUTPUT},
    {.name = "gemma3n",
     .label = "Gemma 3n",
     DECODES,
     GEMMA,
     GEMMA_WINDOWS,
     TWO_ROTATIONS,
     .scale_rule = SY__SCALE_ONE,
     .window_period = 5,
     .output_softcap = 30.0f,
     .value_norm = true,
     .altup = true,
     .per_layer_inputs = true,
     .required = DECODER | POST_NORMS | QK_NORM | ALTUP,
     .optional = OUTPUT},
    {.name = "gemma4",
     .label = "Gemma 4",
     DECODES,
     GEMMA,
     GEMMA_WINDOWS,
     TWO_ROTATIONS,
     .scale_rule = SY__SCALE_ONE,
     .window_period = 6,
     .value_norm = true,
     .per_layer_inputs = true,
     .required = DECODER | POST_NORMS | QK_NORM,
     .optional = OUTPUT | BIT(SY__ROLE_ROPE_FACTORS) | BIT(SY__ROLE_LAYER_SCALE)},
    {.name = "lfm2",
     .label = "LFM2",
     DECODES,
     HALF_SPLIT,
     .has_convolutions = true,
     .embedding_is_output_norm = true,
     .required = DECODER | QK_NORM,
     .optional = OUTPUT},
    {.name = "phi3",
     .label = "Phi-3, Phi-3.5, Phi-4",
     DECODES,
     HALF_SPLIT,
     .reads_window = true,
     .required = DECODER,
     .optional = OUTPUT | LONGROPE},
    {.name = "bert",
     .label = "BERT encoders",
     .norm_kind = SY__NORM_LAYER,
     .norm_place = SY__NORM_POST,
     .activation = SY__ACTIVATION_GELU,
     .required = ENCODER | BIT(SY__ROLE_POSITION_EMBEDDING),
     .optional = BIT(SY__ROLE_TOKEN_TYPES) | CLASSIFIER},
    {.name = "gemma-embedding",
     .label = "EmbeddingGemma",
     GEMMA,
     GEMMA_WINDOWS,
     TWO_ROTATIONS,
     .gated = true,
     .window_period = 6,
     .required = DECODER | POST_NORMS | QK_NORM,
     .optional = BIT(SY__ROLE_POOL_DENSE_1) | BIT(SY__ROLE_POOL_DENSE_2)},
    {.name = "modern-bert",
     .label = "ModernBERT encoders",
     HALF_SPLIT,
     .norm_kind = SY__NORM_LAYER,
     .activation = SY__ACTIVATION_GELU,
     .gated = true,
     .reads_window = true,
     .window_period = 3,
     .full_first = true,
     .local_rope_base = 10000.0f,
     .plain_norms = true,
     .gelu_classifier = true,
     .required = DECODER | BIT(SY__ROLE_EMBEDDING_NORM),
     .optional = CLASSIFIER | BIT(SY__ROLE_CLASSIFIER_NORM)},
    {.name = "nomic-bert",
     .label = "Nomic BERT encoders",
     HALF_SPLIT,
     .norm_kind = SY__NORM_LAYER,
     .norm_place = SY__NORM_POST,
     .gated = true,
     .required = ENCODER | BIT(SY__ROLE_GATE),
     .optional = BIT(SY__ROLE_TOKEN_TYPES)},
};

const sy__family *sy__family_find(sy_gguf_string name) {
    for (uint32_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (sy_gguf_string_is(name, families[i].name)) {
            return &families[i];
        }
    }
    return NULL;
}

const sy__family *sy__family_at(uint32_t i_family) {
    return i_family < sizeof(families) / sizeof(families[0]) ? &families[i_family] : NULL;
}
