/* SPDX-License-Identifier: Apache-2.0 */
/* config.json to the keys of an architecture. Defaults are those of transformers' configuration
 * classes, where published files leave a value out. */
#include "internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const sy__hf_family families[] = {
    {.model_type = "llama",
     .architecture = "llama",
     .activation = "silu",
     .half_split = true,
     .rope_theta = 1e4f},
    {.model_type = "mistral",
     .architecture = "llama",
     .activation = "silu",
     .half_split = true,
     .rope_theta = 1e4f},
    {.model_type = "qwen2", .architecture = "qwen2", .activation = "silu", .rope_theta = 1e4f},
    {.model_type = "qwen3",
     .architecture = "qwen3",
     .activation = "silu",
     .head_dim = 128,
     .rope_theta = 1e4f},
    {.model_type = "gemma",
     .architecture = "gemma",
     .activation = "gelu_pytorch_tanh",
     .norm_plus_one = true,
     .head_dim = 256,
     .rope_theta = 1e4f},
    {.model_type = "gemma2",
     .architecture = "gemma2",
     .activation = "gelu_pytorch_tanh",
     .norm_plus_one = true,
     .post_norms = true,
     .window = SY__HF_WINDOW_PATTERN,
     .head_dim = 256,
     .rope_theta = 1e4f},
    {.model_type = "gemma3_text",
     .architecture = "gemma3",
     .activation = "gelu_pytorch_tanh",
     .norm_plus_one = true,
     .post_norms = true,
     .window = SY__HF_WINDOW_PATTERN,
     .n_heads = 8,
     .n_kv_heads = 4,
     .head_dim = 256,
     .rope_theta = 1e6f},
    {.model_type = "phi3",
     .architecture = "phi3",
     .activation = "silu",
     .window = SY__HF_WINDOW_ALL,
     .rope_theta = 1e4f},
    {.model_type = "bert", .architecture = "bert", .activation = "gelu", .is_encoder = true},
};
#define N_FAMILIES (sizeof(families) / sizeof(families[0]))

static const char hint_config[] = "The configuration is damaged or of another kind of model; "
                                  "fetch config.json again.";

static sy__json_index find(const sy__hf *hf, const char *path) {
    return sy__json_find(&hf->config.json, hf->root, path);
}

uint32_t sy__hf_u32(sy__hf *hf, const char *name, uint32_t otherwise) {
    sy__json_index i = find(hf, name);
    uint64_t number = 0;
    if (i == SY__JSON_NONE && otherwise != 0) {
        return otherwise;
    }
    if (i == SY__JSON_NONE) {
        sy__hf_fail(hf, SY_NOT_FOUND, hint_config, "config.json has no '%s'.", name);
    } else if (!sy__json_u64_of(&hf->config.json, i, &number) || number < 1 || number > INT32_MAX) {
        sy__hf_fail(hf, SY_OUT_OF_RANGE, hint_config,
                    "'%s' of config.json is no number from 1 to 2147483647.", name);
    }
    return (uint32_t)number;
}

double sy__hf_f64(sy__hf *hf, const char *name, double otherwise) {
    sy__json_index i = find(hf, name);
    double number = otherwise;
    if (i != SY__JSON_NONE && !sy__json_f64_of(&hf->config.json, i, &number)) {
        sy__hf_fail(hf, SY_OUT_OF_RANGE, hint_config, "'%s' of config.json is no number.", name);
    }
    return number;
}

static bool unknown_type(sy__hf *hf, sy__json_index type) {
    char hint[SY_ERROR_HINT_BYTES];
    size_t n = (size_t)snprintf(hint, sizeof(hint), "Folders are read for:");
    for (size_t i = 0; i < N_FAMILIES && n < sizeof(hint); i++) {
        n += (size_t)snprintf(hint + n, sizeof(hint) - n, " %s", families[i].model_type);
    }
    const char *name = sy__hf_string(hf, &hf->config, type);
    return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint, "The model_type '%.64s' is not supported.",
                       name != NULL ? name : "(none)");
}

bool sy__hf_read_family(sy__hf *hf) {
    const sy__json_document *json = &hf->config.json;
    sy__json_index type = sy__json_member(json, 0, "model_type");
    hf->root = 0;
    if (sy__json_is(json, type, "gemma3")) { /* the text model of one that sees too */
        hf->root = sy__json_member(json, 0, "text_config");
        hf->family = &families[6];
    }
    for (size_t i = 0; hf->family == NULL && i < N_FAMILIES; i++) {
        hf->family = sy__json_is(json, type, families[i].model_type) ? &families[i] : NULL;
    }
    if (hf->family == NULL || hf->root == SY__JSON_NONE) {
        return unknown_type(hf, type);
    }
    if (sy__json_member(json, 0, "quantization_config") != SY__JSON_NONE) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED,
                           "Take the model's original weights, or a GGUF file of it.",
                           "The weights of the folder are quantised already "
                           "(quantization_config), in a way that is not read.");
    }
    return true;
}

static bool check_activation(sy__hf *hf) {
    sy__json_index i = find(hf, "hidden_activation");
    const char *name = sy__hf_string(hf, &hf->config, i);
    if (name == NULL) {
        i = find(hf, "hidden_act");
        name = sy__hf_string(hf, &hf->config, i);
        bool old_gemma = hf->family->norm_plus_one && name != NULL && strcmp(name, "gelu") == 0;
        name = old_gemma ? hf->family->activation : name; /* means the one with tanh */
    }
    return name == NULL || strcmp(name, hf->family->activation) == 0 ||
           sy__hf_fail(hf, SY_UNIMPLEMENTED, "Take a model without this feature.",
                       "The activation '%.64s' is not that of architecture '%s'.", name,
                       hf->family->architecture);
}

static bool is_windowed(const sy__hf *hf, sy__json_index type) {
    return sy__json_is(&hf->config.json, type, "sliding_attention");
}

/* Whether some layer is said to be windowed. */
static bool any_windowed(const sy__hf *hf) {
    const sy__json_document *json = &hf->config.json;
    sy__json_index types = find(hf, "layer_types");
    if (types == SY__JSON_NONE) {
        return sy__json_bool_of(json, find(hf, "use_sliding_window"), true);
    }
    sy__json_index type = sy__json_first(json, types);
    for (uint32_t i = 0; i < sy__json_n(json, types); i++) {
        if (is_windowed(hf, type)) {
            return true;
        }
        type = sy__json_next(json, type);
    }
    return false;
}

static bool put_pattern(sy__hf *hf) {
    const sy__json_document *json = &hf->config.json;
    const char *key = sy__hf_key(hf, "attention.sliding_window_pattern");
    sy__json_index types = find(hf, "layer_types");
    if (types == SY__JSON_NONE) {
        if (find(hf, "sliding_window_pattern") != SY__JSON_NONE) {
            sy_gguf_writer_put_u32(hf->writer, key, sy__hf_u32(hf, "sliding_window_pattern", 0));
        }
        return hf->status == SY_OK;
    }
    if (sy__json_n(json, types) != hf->n_layers) {
        return sy__hf_fail(hf, SY_DATA_LOSS, hint_config,
                           "'layer_types' of config.json has %u entries for %u layers.",
                           sy__json_n(json, types), hf->n_layers);
    }
    uint8_t *flags = sy__arena_alloc(&hf->scratch, hf->n_layers, 1);
    if (flags == NULL) {
        return sy__hf_no_memory(hf, "the kinds of layers");
    }
    sy__json_index type = sy__json_first(json, types);
    for (uint32_t i = 0; i < hf->n_layers; i++) {
        flags[i] = is_windowed(hf, type);
        type = sy__json_next(json, type);
    }
    sy_gguf_writer_put_array(hf->writer, key, SY_GGUF_BOOL, flags, hf->n_layers);
    return true;
}

/* Context and windows. */
static bool put_reach(sy__hf *hf) {
    uint32_t context = sy__hf_u32(hf, "max_position_embeddings", 131072);
    bool has_window = find(hf, "sliding_window") != SY__JSON_NONE;
    uint32_t window = has_window ? sy__hf_u32(hf, "sliding_window", 0) : 0;
    if (hf->family->window == SY__HF_WINDOW_CAPS && has_window && any_windowed(hf)) {
        context = window < context ? window : context;
    }
    sy_gguf_writer_put_u32(hf->writer, sy__hf_key(hf, "context_length"), context);
    if (hf->family->window != SY__HF_WINDOW_CAPS && has_window) {
        sy_gguf_writer_put_u32(hf->writer, sy__hf_key(hf, "attention.sliding_window"), window);
    }
    return hf->family->window != SY__HF_WINDOW_PATTERN || put_pattern(hf);
}

/* Null is a value of its own here: no cap, whatever the family's default. */
static void put_softcap(sy__hf *hf, const char *name, const char *suffix) {
    const sy__json_document *json = &hf->config.json;
    sy__json_index key = sy__json_first(json, hf->root);
    for (uint32_t i = 0; i < sy__json_n(json, hf->root); i++) {
        if (sy__json_is(json, key, name)) {
            sy_gguf_writer_put_f32(hf->writer, sy__hf_key(hf, suffix),
                                   (float)sy__hf_f64(hf, name, 0.0));
            return;
        }
        key = sy__json_next(json, key + 1);
    }
}

static bool put_encoder(sy__hf *hf) {
    const sy__json_document *json = &hf->config.json;
    sy__json_index positions = find(hf, "position_embedding_type");
    if (positions != SY__JSON_NONE && !sy__json_is(json, positions, "absolute")) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, "Take a model without this feature.",
                           "position_embedding_type is not 'absolute'.");
    }
    sy_gguf_writer_put_f32(hf->writer, sy__hf_key(hf, "attention.layer_norm_epsilon"),
                           (float)sy__hf_f64(hf, "layer_norm_eps", 1e-12));
    sy_gguf_writer_put_bool(hf->writer, sy__hf_key(hf, "attention.causal"), 0);
    static const char *const modes[] = {NULL, "pooling_mode_mean_tokens", "pooling_mode_cls_token",
                                        "pooling_mode_lasttoken"};
    for (uint32_t i = 1; i < sizeof(modes) / sizeof(modes[0]); i++) {
        const sy__json_document *pooling = &hf->pooling.json;
        if (sy__json_bool_of(pooling, sy__json_member(pooling, 0, modes[i]), false)) {
            sy_gguf_writer_put_u32(hf->writer, sy__hf_key(hf, "pooling_type"), i);
            break;
        }
    }
    return true;
}

static bool put_decoder(sy__hf *hf, uint32_t width, uint32_t n_heads) {
    const sy__hf_family *family = hf->family;
    uint32_t head = family->head_dim != 0 ? family->head_dim : width / n_heads;
    hf->head_dim = sy__hf_u32(hf, "head_dim", head != 0 ? head : 1);
    uint32_t n_kv = family->n_kv_heads != 0 ? family->n_kv_heads : n_heads;
    sy_gguf_writer_put_u32(hf->writer, sy__hf_key(hf, "attention.head_count_kv"),
                           sy__hf_u32(hf, "num_key_value_heads", n_kv));
    sy_gguf_writer_put_u32(hf->writer, sy__hf_key(hf, "attention.key_length"), hf->head_dim);
    sy_gguf_writer_put_u32(hf->writer, sy__hf_key(hf, "attention.value_length"), hf->head_dim);
    sy_gguf_writer_put_f32(hf->writer, sy__hf_key(hf, "attention.layer_norm_rms_epsilon"),
                           (float)sy__hf_f64(hf, "rms_norm_eps", 1e-6));
    if (family->post_norms) {
        double scalar = sy__hf_f64(hf, "query_pre_attn_scalar", 256.0);
        sy_gguf_writer_put_f32(hf->writer, sy__hf_key(hf, "attention.scale"),
                               (float)(1.0 / sqrt(scalar)));
        put_softcap(hf, "attn_logit_softcapping", "attn_logit_softcapping");
        put_softcap(hf, "final_logit_softcapping", "final_logit_softcapping");
    }
    if (family->half_split) {
        sy_gguf_writer_put_bool(hf->writer, SY_HUGGINGFACE_HALF_SPLIT, 1);
    }
    return hf->status == SY_OK && sy__hf_put_rope(hf);
}

bool sy__hf_put_config(sy__hf *hf) {
    hf->n_layers = sy__hf_u32(hf, "num_hidden_layers", 0);
    uint32_t width = sy__hf_u32(hf, "hidden_size", 0);
    uint32_t n_heads = sy__hf_u32(hf, "num_attention_heads", hf->family->n_heads);
    if (hf->status == SY_OK && hf->n_layers > SY_LIMIT_LAYERS) {
        return sy__hf_fail(hf, SY_OUT_OF_RANGE, hint_config,
                           "The model has %u layers; at most %u "
                           "are run.",
                           hf->n_layers, SY_LIMIT_LAYERS);
    }
    if (hf->status != SY_OK || !check_activation(hf)) {
        return false;
    }
    sy_gguf_writer_put_u32(hf->writer, sy__hf_key(hf, "block_count"), hf->n_layers);
    sy_gguf_writer_put_u32(hf->writer, sy__hf_key(hf, "embedding_length"), width);
    sy_gguf_writer_put_u32(hf->writer, sy__hf_key(hf, "feed_forward_length"),
                           sy__hf_u32(hf, "intermediate_size", 0));
    sy_gguf_writer_put_u32(hf->writer, sy__hf_key(hf, "attention.head_count"), n_heads);
    return put_reach(hf) &&
           (hf->family->is_encoder ? put_encoder(hf) : put_decoder(hf, width, n_heads)) &&
           hf->status == SY_OK;
}
