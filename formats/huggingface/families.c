/* SPDX-License-Identifier: Apache-2.0 */
/* The families of folders, and the keys that only some have. Defaults are those of transformers'
 * configuration classes, where published files leave a value out. */
#include "internal.h"

#include <math.h>
#include <string.h>

static const char hint_feature[] = "Take a model without this feature.";

/* Mixtures of experts: how many, how many of them a token, how wide they are. */
static bool put_experts(sy__hf *hf) {
    bool local = sy__hf_find(hf, "num_local_experts") != SY__JSON_NONE;
    bool per_token = sy__hf_find(hf, "num_experts_per_tok") != SY__JSON_NONE;
    uint32_t width = sy__hf_u32(hf, "intermediate_size", 0);
    hf->n_experts = sy__hf_u32(hf, local ? "num_local_experts" : "num_experts", 0);
    sy__hf_put_u32(hf, "expert_count", hf->n_experts);
    sy__hf_put_u32(hf, "expert_used_count",
                   sy__hf_u32(hf, per_token ? "num_experts_per_tok" : "experts_per_token", 0));
    sy__hf_put_u32(hf, "expert_feed_forward_length",
                   sy__hf_u32(hf, "moe_intermediate_size", width));
    return hf->status == SY_OK;
}

static bool put_qwen_experts(sy__hf *hf) {
    uint32_t shared = sy__hf_u32_or_none(hf, "shared_expert_intermediate_size");
    if (shared > 0) {
        sy__hf_put_u32(hf, "expert_shared_feed_forward_length", shared);
    }
    sy_gguf_writer_put_bool(hf->writer, sy__hf_key(hf, "expert_weights_norm"),
                            sy__hf_bool(hf, "norm_topk_prob", false));
    return put_experts(hf);
}

static bool put_gpt_oss(sy__hf *hf) {
    double alpha = sy__hf_f64(hf, "swiglu_alpha", 1.702);
    double limit = sy__hf_f64(hf, "swiglu_limit", 7.0);
    if (fabs(alpha - 1.702) > 1e-6 || fabs(limit - 7.0) > 1e-6) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_feature,
                           "The experts' SwiGLU has alpha %g and limit %g; 1.702 and 7 are run.",
                           alpha, limit);
    }
    return put_experts(hf);
}

/* Which layers rotate is no key of GGUF's: every fourth does not. */
static bool put_smollm3(sy__hf *hf) {
    const sy__json_document *json = &hf->config.json;
    sy__json_index list = sy__hf_find(hf, "no_rope_layers"), item = sy__json_first(json, list);
    bool as_known = sy__hf_u32(hf, "no_rope_layer_interval", 4) == 4 || list != SY__JSON_NONE;
    for (uint32_t i = 0; i < sy__json_n(json, list) && i < hf->n_layers; i++) {
        uint64_t rotates = 0;
        as_known = as_known && sy__json_u64_of(json, item, &rotates) &&
                   (rotates != 0) == ((i + 1) % 4 != 0);
        item = sy__json_next(json, item);
    }
    return as_known || sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_feature,
                                   "no_rope_layers names others than every fourth layer.");
}

static bool put_lfm2(sy__hf *hf) {
    sy__hf_put_u32(hf, "shortconv.l_cache", sy__hf_u32(hf, "conv_L_cache", 3));
    return sy__hf_must_be(hf, "conv_bias", false, false);
}

/* Per-layer embeddings and layers that share keys and values (Gemma 3n and 4). */
static bool put_per_layer_inputs(sy__hf *hf, double cap) {
    bool sized = sy__hf_find(hf, "hidden_size_per_layer_input") != SY__JSON_NONE;
    uint32_t width = sized ? sy__hf_u32_or_none(hf, "hidden_size_per_layer_input") : 256;
    uint32_t head = sy__hf_u32(hf, "head_dim", hf->family->head_dim);
    sy__hf_put_u32(hf, "attention.key_length_swa", head);
    sy__hf_put_u32(hf, "attention.value_length_swa", head);
    sy__hf_put_u32(hf, "rope.dimension_count_swa", head);
    sy__hf_put_u32(hf, "embedding_length_per_layer_input", width);
    sy__hf_put_f32(hf, "final_logit_softcapping", sy__hf_f64(hf, "final_logit_softcapping", cap));
    return hf->status == SY_OK;
}

/* The number below which a share of a normal distribution lies. */
static double normal_quantile(double share) {
    double low = -40.0, high = 40.0;
    for (int i = 0; i < 100; i++) {
        double middle = 0.5 * (low + high);
        if (0.5 * erfc(-middle / sqrt(2.0)) < share) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high;
}

/* Where gates are cut: so many deviations above their mean that a share of them goes. */
static bool put_sparsity(sy__hf *hf) {
    const sy__json_document *json = &hf->config.json;
    sy__json_index list = sy__hf_find(hf, "activation_sparsity_pattern");
    sy__json_index item = sy__json_first(json, list);
    bool is_list = sy__json_kind_of(json, list) == SY__JSON_ARRAY;
    float *cuts = sy__arena_alloc(&hf->scratch, hf->n_layers, sizeof(*cuts));
    if (cuts == NULL) {
        return sy__hf_no_memory(hf, "the sparsity of layers");
    }
    if (is_list ? sy__json_n(json, list) != hf->n_layers : list != SY__JSON_NONE) {
        return sy__hf_fail(hf, SY_DATA_LOSS, "Fetch config.json again.",
                           "'activation_sparsity_pattern' is no list of %u numbers.", hf->n_layers);
    }
    for (uint32_t i = 0; i < hf->n_layers; i++) {
        double share = hf->n_layers > 10 && i < 10 ? 0.95 : 0.0; /* where nothing is said */
        if (is_list && (!sy__json_f64_of(json, item, &share) || !(share >= 0.0 && share < 1.0))) {
            return sy__hf_fail(hf, SY_OUT_OF_RANGE, "Fetch config.json again.",
                               "'activation_sparsity_pattern' has no share for layer %u.", i);
        }
        cuts[i] = share > 0.0 ? (float)normal_quantile(share) : -INFINITY;
        item = is_list ? sy__json_next(json, item) : item;
    }
    sy_gguf_writer_put_array(hf->writer, sy__hf_key(hf, "activation_sparsity_scale"), SY_GGUF_F32,
                             cuts, hf->n_layers);
    return true;
}

static bool put_gemma3n(sy__hf *hf) {
    bool shared = sy__hf_find(hf, "num_kv_shared_layers") != SY__JSON_NONE;
    hf->n_altup = sy__hf_u32(hf, "altup_num_inputs", 4);
    sy__hf_put_u32(hf, "altup.num_inputs", hf->n_altup);
    sy__hf_put_u32(hf, "altup.active_idx", sy__hf_u32_or_none(hf, "altup_active_idx"));
    sy__hf_put_u32(hf, "attention.shared_kv_layers",
                   shared ? sy__hf_u32_or_none(hf, "num_kv_shared_layers") : 15);
    return sy__hf_must_be(hf, "altup_correct_scale", true, true) && put_sparsity(hf) &&
           put_per_layer_inputs(hf, 30.0);
}

static bool put_gemma4(sy__hf *hf) {
    sy__json_index sight = sy__hf_find(hf, "use_bidirectional_attention");
    if (sy__json_is(&hf->config.json, sight, "all")) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_feature,
                           "The attention of this Gemma 4 is bidirectional.");
    }
    sy__hf_put_u32(hf, "attention.shared_kv_layers",
                   sy__hf_u32_or_none(hf, "num_kv_shared_layers"));
    return sy__hf_must_be(hf, "enable_moe_block", false, false) && put_per_layer_inputs(hf, 0.0);
}

static bool put_gemma_embedding(sy__hf *hf) {
    hf->is_pooled = true;
    sy_gguf_writer_put_bool(hf->writer, sy__hf_key(hf, "attention.causal"), 0);
    return true;
}

static bool put_bert(sy__hf *hf) {
    const sy__json_document *json = &hf->config.json;
    sy__json_index positions = sy__hf_find(hf, "position_embedding_type");
    sy_gguf_writer_put_u32(hf->writer, "tokenizer.ggml.token_type_count",
                           sy__hf_u32(hf, "type_vocab_size", 2)); /* llama.cpp wants it */
    return positions == SY__JSON_NONE || sy__json_is(json, positions, "absolute") ||
           sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_feature,
                       "position_embedding_type is not 'absolute'.");
}

/* Rotation, and which row a classifier reads. */
static bool put_modernbert(sy__hf *hf) {
    const sy__json_document *json = &hf->config.json;
    sy__json_index pooling = sy__hf_find(hf, "classifier_pooling");
    sy__json_index activation = sy__hf_find(hf, "classifier_activation");
    if (hf->has_classifier && activation != SY__JSON_NONE &&
        !sy__json_is(json, activation, "gelu")) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_feature,
                           "classifier_activation is not 'gelu'.");
    }
    if (hf->has_classifier && sy__json_is(json, pooling, "mean")) {
        sy_gguf_writer_put_bool(hf->writer, SY_HUGGINGFACE_CLASSIFIES_MEAN, 1);
    }
    return sy__hf_put_rope(hf);
}

#define SILU .activation = "silu"
#define LLAMA .architecture = "llama", SILU, .half_split = true
#define GEMMA .activation = "gelu_pytorch_tanh", .is_tied = true, .head_dim = 256
#define GEMMA_WINDOWS .post_norms = true, .window = SY__HF_WINDOW_PATTERN
#define GEMMA_TWO_ROTATIONS .rope_theta = 1e6f, .local_name = "rope_local_base_freq"
#define GEMMA3                                                                        \
    GEMMA, GEMMA_WINDOWS, GEMMA_TWO_ROTATIONS,                                        \
        .norm_plus_one = true, .n_heads = 8, .n_kv_heads = 4, .scaled_queries = true, \
        .period_name = "sliding_window_pattern", .window_period = 6

static const sy__hf_family families[] = {
    {.model_type = "llama", LLAMA},
    {.model_type = "mistral", LLAMA, .window = SY__HF_WINDOW_ALL},
    {.model_type = "mixtral",
     LLAMA,
     .window = SY__HF_WINDOW_ALL,
     .rope_theta = 1e6f,
     .put_more = put_experts},
    {.model_type = "smollm3",
     .architecture = "smollm3",
     SILU,
     .half_split = true,
     .is_tied = true,
     .rope_theta = 2e6f,
     .put_more = put_smollm3},
    {.model_type = "qwen2", .architecture = "qwen2", SILU},
    {.model_type = "qwen2_moe", .architecture = "qwen2moe", SILU, .put_more = put_qwen_experts},
    {.model_type = "qwen3", .architecture = "qwen3", SILU, .head_dim = 128},
    {.model_type = "qwen3_moe", .architecture = "qwen3moe", SILU, .put_more = put_qwen_experts},
    {.model_type = "gpt_oss",
     .architecture = "gpt-oss",
     SILU,
     .quantization = "mxfp4",
     .post_norms = true,
     .columns_first = true,
     .yarn_unrounded = true,
     .window = SY__HF_WINDOW_PATTERN,
     .window_period = 2,
     .head_dim = 64,
     .rope_theta = 1.5e5f,
     .put_more = put_gpt_oss},
    {.model_type = "gemma", .architecture = "gemma", GEMMA, .norm_plus_one = true},
    {.model_type = "gemma2",
     .architecture = "gemma2",
     GEMMA,
     GEMMA_WINDOWS,
     .norm_plus_one = true,
     .scaled_queries = true,
     .window_period = 2},
    {.model_type = "gemma3_text", .outer_type = "gemma3", .architecture = "gemma3", GEMMA3},
    {.model_type = "gemma3_text",
     .architecture = "gemma-embedding",
     GEMMA3,
     .is_bidirectional = true,
     .pool_dense = true,
     .put_more = put_gemma_embedding},
    {.model_type = "gemma3n_text",
     .outer_type = "gemma3n",
     .architecture = "gemma3n",
     GEMMA,
     GEMMA_WINDOWS,
     GEMMA_TWO_ROTATIONS,
     .window_period = 5,
     .n_heads = 8,
     .n_kv_heads = 2,
     .put_more = put_gemma3n},
    {.model_type = "gemma4_text",
     .outer_type = "gemma4",
     .architecture = "gemma4",
     GEMMA,
     GEMMA_WINDOWS,
     GEMMA_TWO_ROTATIONS,
     .own_full_heads = true,
     .window_period = 6,
     .n_heads = 8,
     .n_kv_heads = 4,
     .put_more = put_gemma4},
    {.model_type = "lfm2",
     .architecture = "lfm2",
     .is_tied = true,
     .has_convolutions = true,
     .epsilon_name = "norm_eps",
     .epsilon = 1e-5f,
     .rope_theta = 1e6f,
     .put_more = put_lfm2},
    {.model_type = "phi3", .architecture = "phi3", SILU, .window = SY__HF_WINDOW_ALL},
    {.model_type = "bert",
     .architecture = "bert",
     .activation = "gelu",
     .embedding = "embeddings.word_embeddings.weight",
     .layers = "encoder.layer.",
     .is_encoder = true,
     .epsilon_name = "layer_norm_eps",
     .epsilon = 1e-12f,
     .put_more = put_bert},
    {.model_type = "modernbert",
     .architecture = "modern-bert",
     .activation = "gelu",
     .embedding = "embeddings.tok_embeddings.weight",
     .is_encoder = true,
     .full_first = true,
     .window = SY__HF_WINDOW_PATTERN,
     .window_name = "local_attention",
     .period_name = "global_attn_every_n_layers",
     .window_period = 3,
     .epsilon_name = "norm_eps",
     .epsilon = 1e-5f,
     .theta_name = "global_rope_theta",
     .rope_theta = 1.6e5f,
     .local_name = "local_rope_theta",
     .put_more = put_modernbert},
};

const sy__hf_family *sy__hf_family_at(uint32_t i) {
    return i < sizeof(families) / sizeof(families[0]) ? &families[i] : NULL;
}

const sy__hf_family *sy__hf_family_of(const char *architecture) {
    size_t i = 0, n = sizeof(families) / sizeof(families[0]);
    while (i < n && strcmp(families[i].architecture, architecture) != 0) {
        i++;
    }
    return i < n ? &families[i] : NULL;
}
