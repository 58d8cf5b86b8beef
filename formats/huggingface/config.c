/* SPDX-License-Identifier: Apache-2.0 */
/* config.json to the keys of an architecture: what every family has. */
#include "internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char hint_feature[] = "Take a model without this feature.";
static const char hint_config[] = "The configuration is damaged or of another kind of model; "
                                  "fetch config.json again.";

sy__json_index sy__hf_find(const sy__hf *hf, const char *path) {
    return sy__json_find(&hf->config.json, hf->root, path);
}

uint32_t sy__hf_u32(sy__hf *hf, const char *name, uint32_t otherwise) {
    sy__json_index i = sy__hf_find(hf, name);
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

uint32_t sy__hf_u32_or_none(sy__hf *hf, const char *name) {
    uint64_t number = 1;
    sy__json_index i = sy__hf_find(hf, name);
    bool is_zero = sy__json_u64_of(&hf->config.json, i, &number) && number == 0;
    return i == SY__JSON_NONE || is_zero ? 0 : sy__hf_u32(hf, name, 0);
}

double sy__hf_f64(sy__hf *hf, const char *name, double otherwise) {
    sy__json_index i = sy__hf_find(hf, name);
    double number = otherwise;
    if (i != SY__JSON_NONE && !sy__json_f64_of(&hf->config.json, i, &number)) {
        sy__hf_fail(hf, SY_OUT_OF_RANGE, hint_config, "'%s' of config.json is no number.", name);
    }
    return number;
}

bool sy__hf_bool(const sy__hf *hf, const char *name, bool otherwise) {
    return sy__json_bool_of(&hf->config.json, sy__hf_find(hf, name), otherwise);
}

bool sy__hf_must_be(sy__hf *hf, const char *name, bool otherwise, bool wanted) {
    return sy__hf_bool(hf, name, otherwise) == wanted ||
           sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_feature,
                       "'%s' of config.json is %s; only %s is run.", name,
                       wanted ? "false" : "true", wanted ? "true" : "false");
}

void sy__hf_put_u32(sy__hf *hf, const char *suffix, uint32_t number) {
    sy_gguf_writer_put_u32(hf->writer, sy__hf_key(hf, suffix), number);
}

void sy__hf_put_f32(sy__hf *hf, const char *suffix, double number) {
    sy_gguf_writer_put_f32(hf->writer, sy__hf_key(hf, suffix), (float)number);
}

void sy__hf_put_layers(sy__hf *hf, const char *suffix, const uint32_t *numbers) {
    bool differ = false;
    for (uint32_t i = 1; i < hf->n_layers; i++) {
        differ = differ || numbers[i] != numbers[0];
    }
    if (differ) {
        sy_gguf_writer_put_array(hf->writer, sy__hf_key(hf, suffix), SY_GGUF_U32, numbers,
                                 hf->n_layers);
    } else {
        sy__hf_put_u32(hf, suffix, numbers[0]);
    }
}

static bool unknown_type(sy__hf *hf, sy__json_index type) {
    char hint[SY_ERROR_HINT_BYTES];
    size_t n = (size_t)snprintf(hint, sizeof(hint), "Folders are read for:");
    for (uint32_t i = 0; sy__hf_family_at(i) != NULL && n < sizeof(hint); i++) {
        const sy__hf_family *family = sy__hf_family_at(i);
        n += (size_t)snprintf(hint + n, sizeof(hint) - n, " %s",
                              family->outer_type != NULL ? family->outer_type : family->model_type);
    }
    const char *name = sy__hf_string(hf, &hf->config, type);
    return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint, "The model_type '%.64s' is not supported.",
                       name != NULL ? name : "(none)");
}

static bool check_quantization(sy__hf *hf) {
    const sy__json_document *json = &hf->config.json;
    sy__json_index quantization = sy__json_member(json, 0, "quantization_config");
    sy__json_index method = sy__json_member(json, quantization, "quant_method");
    bool is_read =
        hf->family->quantization != NULL && sy__json_is(json, method, hf->family->quantization);
    return quantization == SY__JSON_NONE || is_read ||
           sy__hf_fail(hf, SY_UNIMPLEMENTED,
                       "Take the model's original weights, or a GGUF file of it.",
                       "The weights of the folder are quantised already "
                       "(quantization_config), in a way that is not read.");
}

bool sy__hf_read_family(sy__hf *hf) {
    const sy__json_document *json = &hf->config.json;
    sy__json_index type = sy__json_member(json, 0, "model_type");
    bool known = false;
    for (uint32_t i = 0; hf->family == NULL && sy__hf_family_at(i) != NULL; i++) {
        const sy__hf_family *family = sy__hf_family_at(i);
        bool is_inner = family->outer_type != NULL && sy__json_is(json, type, family->outer_type);
        sy__json_index root = is_inner ? sy__json_member(json, 0, "text_config") : 0;
        if ((!is_inner && !sy__json_is(json, type, family->model_type)) || root == SY__JSON_NONE) {
            continue;
        }
        known = true;
        hf->root = root;
        bool both_ways = sy__hf_bool(hf, "use_bidirectional_attention", false);
        hf->family = both_ways == family->is_bidirectional ? family : NULL;
    }
    if (hf->family == NULL && known) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_feature,
                           "The attention of this model is bidirectional "
                           "(use_bidirectional_attention), which its architecture does not run.");
    }
    return hf->family == NULL ? unknown_type(hf, type) : check_quantization(hf);
}

static bool check_activation(sy__hf *hf) {
    sy__json_index i = sy__hf_find(hf, "hidden_activation");
    const char *name = sy__hf_string(hf, &hf->config, i);
    if (name == NULL) {
        i = sy__hf_find(hf, "hidden_act");
        name = sy__hf_string(hf, &hf->config, i);
        bool old_gemma = hf->family->norm_plus_one && name != NULL && strcmp(name, "gelu") == 0;
        name = old_gemma ? hf->family->activation : name; /* means the one with tanh */
    }
    return name == NULL || hf->family->activation == NULL ||
           strcmp(name, hf->family->activation) == 0 ||
           sy__hf_fail(hf, SY_UNIMPLEMENTED, "Take a model without this feature.",
                       "The activation '%.64s' is not that of architecture '%s'.", name,
                       hf->family->architecture);
}

/* Kinds of layers where layer_types is not there. */
static void default_kinds(sy__hf *hf) {
    const sy__json_document *json = &hf->config.json;
    const sy__hf_family *family = hf->family;
    sy__json_index full = sy__hf_find(hf, "full_attn_idxs"); /* of LFM2 */
    uint32_t period = family->window_period;
    if (family->period_name != NULL) {
        period = sy__hf_u32(hf, family->period_name, period);
    }
    for (uint32_t i = 0; i < hf->n_layers; i++) {
        bool windowed = family->window == SY__HF_WINDOW_ALL ||
                        (period > 0 && i % period != (family->full_first ? 0 : period - 1));
        bool convolves = family->has_convolutions && full != SY__JSON_NONE;
        hf->kinds[i] = convolves ? SY__HF_CONVOLUTION : windowed ? SY__HF_WINDOWED : SY__HF_FULL;
    }
    sy__json_index item = sy__json_first(json, full);
    for (uint32_t i = 0; family->has_convolutions && i < sy__json_n(json, full); i++) {
        uint64_t i_layer = UINT64_MAX;
        if (sy__json_u64_of(json, item, &i_layer) && i_layer < hf->n_layers) {
            hf->kinds[i_layer] = SY__HF_FULL;
        }
        item = sy__json_next(json, item);
    }
}

static bool read_kinds(sy__hf *hf) {
    static const struct {
        const char *name;
        sy__hf_kind kind;
    } names[] = {{"full_attention", SY__HF_FULL},
                 {"sliding_attention", SY__HF_WINDOWED},
                 {"conv", SY__HF_CONVOLUTION}};
    const sy__json_document *json = &hf->config.json;
    sy__json_index types = sy__hf_find(hf, "layer_types"), type = sy__json_first(json, types);
    uint32_t n_known = hf->family->has_convolutions ? 3 : 2;
    hf->kinds = sy__arena_alloc(&hf->scratch, hf->n_layers, 1);
    if (hf->kinds == NULL) {
        return sy__hf_no_memory(hf, "the kinds of layers");
    }
    if (types == SY__JSON_NONE) {
        default_kinds(hf);
        return hf->status == SY_OK;
    }
    if (sy__json_n(json, types) != hf->n_layers) {
        return sy__hf_fail(hf, SY_DATA_LOSS, hint_config,
                           "'layer_types' of config.json has %u entries for %u layers.",
                           sy__json_n(json, types), hf->n_layers);
    }
    for (uint32_t i = 0; i < hf->n_layers; i++) {
        uint32_t k = 0;
        while (k < n_known && !sy__json_is(json, type, names[k].name)) {
            k++;
        }
        if (k == n_known) {
            const char *name = sy__hf_string(hf, &hf->config, type);
            return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_feature,
                               "Layer %u is of type '%.64s', which architecture '%s' does not "
                               "have.",
                               i, name != NULL ? name : "(none)", hf->family->architecture);
        }
        hf->kinds[i] = (uint8_t)names[k].kind;
        type = sy__json_next(json, type);
    }
    return true;
}

static bool any_windowed(const sy__hf *hf) {
    bool found = false;
    for (uint32_t i = 0; i < hf->n_layers; i++) {
        found = found || hf->kinds[i] == SY__HF_WINDOWED;
    }
    return found;
}

/* Which layers are windowed, a flag each. */
static bool put_pattern(sy__hf *hf) {
    uint8_t *flags = sy__arena_alloc(&hf->scratch, hf->n_layers, 1);
    if (flags == NULL) {
        return sy__hf_no_memory(hf, "the kinds of layers");
    }
    for (uint32_t i = 0; i < hf->n_layers; i++) {
        flags[i] = hf->kinds[i] == SY__HF_WINDOWED;
    }
    sy_gguf_writer_put_array(hf->writer, sy__hf_key(hf, "attention.sliding_window_pattern"),
                             SY_GGUF_BOOL, flags, hf->n_layers);
    return true;
}

/* Context and windows. */
static bool put_reach(sy__hf *hf) {
    const sy__hf_family *family = hf->family;
    const char *name = family->window_name != NULL ? family->window_name : "sliding_window";
    bool has_types = sy__hf_find(hf, "layer_types") != SY__JSON_NONE;
    uint32_t context = sy__hf_u32(hf, "max_position_embeddings", 131072);
    uint32_t window = sy__hf_u32_or_none(hf, name);
    if (family->window == SY__HF_WINDOW_CAPS) {
        bool caps = window > 0 &&
                    (has_types ? any_windowed(hf) : sy__hf_bool(hf, "use_sliding_window", true));
        sy__hf_put_u32(hf, "context_length", caps && window < context ? window : context);
        return hf->status == SY_OK;
    }
    sy__hf_put_u32(hf, "context_length", context);
    if (window > 0) {
        sy__hf_put_u32(hf, "attention.sliding_window", window);
    }
    return hf->status == SY_OK &&
           ((family->window == SY__HF_WINDOW_ALL && !has_types) || put_pattern(hf));
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

/* What per_layer_config says of a layer, NONE for nothing. Its members are named by numbers. */
static sy__json_index override_of(const sy__hf *hf, uint32_t i_layer) {
    const sy__json_document *json = &hf->config.json;
    sy__json_index all = sy__hf_find(hf, "per_layer_config"), key = sy__json_first(json, all);
    for (uint32_t i = 0; i < sy__json_n(json, all); i++) {
        char padded[32];
        for (int width = 1; width <= 5; width++) {
            snprintf(padded, sizeof(padded), "%0*u", width, i_layer);
            if (sy__json_is(json, key, padded)) {
                return key + 1;
            }
        }
        key = sy__json_next(json, key + 1);
    }
    return SY__JSON_NONE;
}

/* A number of one layer: per_layer_config's, that of full layers, or that of all. */
static uint32_t layer_number(sy__hf *hf, uint32_t i_layer, const char *name, const char *of_full,
                             uint32_t otherwise) {
    const sy__json_document *json = &hf->config.json;
    uint64_t number = 0;
    sy__json_index own = sy__json_member(json, override_of(hf, i_layer), name);
    bool is_full = hf->family->own_full_heads && hf->kinds[i_layer] == SY__HF_FULL;
    if (own != SY__JSON_NONE) {
        if (!sy__json_u64_of(json, own, &number) || number < 1 || number > INT32_MAX) {
            sy__hf_fail(hf, SY_OUT_OF_RANGE, hint_config,
                        "'%s' of layer %u in per_layer_config makes no sense.", name, i_layer);
        }
        return (uint32_t)number;
    }
    bool has_own = is_full && of_full != NULL && sy__hf_find(hf, of_full) != SY__JSON_NONE;
    return sy__hf_u32(hf, has_own ? of_full : name, otherwise);
}

/* What per_layer_config may hold: sizes of heads, for the families that have several. */
static bool check_overrides(sy__hf *hf) {
    const sy__json_document *json = &hf->config.json;
    for (uint32_t i = 0; i < hf->n_layers; i++) {
        sy__json_index own = override_of(hf, i), key = sy__json_first(json, own);
        for (uint32_t k = 0; k < sy__json_n(json, own); k++) {
            bool known =
                sy__json_is(json, key, "head_dim") || sy__json_is(json, key, "num_key_value_heads");
            if (!known || !hf->family->own_full_heads) {
                const char *name = sy__hf_string(hf, &hf->config, key);
                return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_feature,
                                   "per_layer_config sets '%.64s' of layer %u, which is not run.",
                                   name != NULL ? name : "?", i);
            }
            key = sy__json_next(json, key + 1);
        }
    }
    return true;
}

/* Key and value heads, by layer: none where a layer convolves. */
static bool put_kv_heads(sy__hf *hf, uint32_t n_heads) {
    const sy__hf_family *family = hf->family;
    uint32_t n_kv = family->n_kv_heads != 0 ? family->n_kv_heads : n_heads;
    const char *of_full =
        sy__hf_bool(hf, "attention_k_eq_v", false) ? "num_global_key_value_heads" : NULL;
    uint32_t *numbers = sy__arena_alloc(&hf->scratch, hf->n_layers, sizeof(*numbers));
    if (numbers == NULL) {
        return sy__hf_no_memory(hf, "the heads of layers");
    }
    for (uint32_t i = 0; i < hf->n_layers && hf->status == SY_OK; i++) {
        numbers[i] = hf->kinds[i] == SY__HF_CONVOLUTION
                         ? 0
                         : layer_number(hf, i, "num_key_value_heads", of_full, n_kv);
    }
    sy__hf_put_layers(hf, "attention.head_count_kv", numbers);
    return hf->status == SY_OK;
}

/* The size of a head where a layer has no window; others may have another one, which has a key of
 * its own. */
static bool read_head(sy__hf *hf, uint32_t width, uint32_t n_heads) {
    uint32_t head = hf->family->head_dim != 0 ? hf->family->head_dim : width / n_heads;
    hf->head_dim = 0;
    for (uint32_t i = 0; i < hf->n_layers && hf->status == SY_OK; i++) {
        bool is_full = hf->kinds[i] == SY__HF_FULL || !hf->family->own_full_heads;
        uint32_t own =
            is_full ? layer_number(hf, i, "head_dim", "global_head_dim", head > 0 ? head : 1) : 0;
        if (is_full && hf->head_dim != 0 && own != hf->head_dim) {
            return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_feature,
                               "Layers without a window have heads of %u and of %u.", hf->head_dim,
                               own);
        }
        hf->head_dim = is_full ? own : hf->head_dim;
    }
    hf->head_dim = hf->head_dim != 0 ? hf->head_dim : sy__hf_u32(hf, "head_dim", head);
    return hf->status == SY_OK;
}

/* LFM2's own rule, which its files may ask for: two thirds, times a factor, rounded up. */
static uint32_t adjusted_width(sy__hf *hf, uint32_t width) {
    if (!hf->family->has_convolutions || !sy__hf_bool(hf, "block_auto_adjust_ff_dim", true)) {
        return width;
    }
    uint32_t multiple = sy__hf_u32(hf, "block_multiple_of", 256);
    double factor = sy__hf_f64(hf, "block_ffn_dim_multiplier", 1.0);
    double product = factor * (double)(uint32_t)(2.0 * width / 3.0);
    if (hf->status != SY_OK || !(product >= 1.0 && product < 1e6) || multiple > 1u << 20) {
        sy__hf_fail(hf, SY_OUT_OF_RANGE, hint_config, "The feed-forward's width makes no sense.");
        return 1;
    }
    return ((uint32_t)product + multiple - 1) / multiple * multiple;
}

static bool put_feed_forward(sy__hf *hf) {
    const sy__json_document *json = &hf->config.json;
    bool older = hf->family->has_convolutions && sy__hf_find(hf, "block_ff_dim") != SY__JSON_NONE;
    sy__json_index list = sy__hf_find(hf, "intermediate_size"), item = sy__json_first(json, list);
    bool is_list = sy__json_kind_of(json, list) == SY__JSON_ARRAY;
    uint32_t one = is_list ? 1 : sy__hf_u32(hf, older ? "block_ff_dim" : "intermediate_size", 0);
    uint32_t n_shared = sy__hf_bool(hf, "use_double_wide_mlp", false)
                            ? sy__hf_u32_or_none(hf, "num_kv_shared_layers")
                            : 0;
    uint32_t *widths = sy__arena_alloc(&hf->scratch, hf->n_layers, sizeof(*widths));
    if (widths == NULL) {
        return sy__hf_no_memory(hf, "the widths of layers");
    }
    if (is_list && sy__json_n(json, list) != hf->n_layers) {
        return sy__hf_fail(hf, SY_DATA_LOSS, hint_config,
                           "'intermediate_size' of config.json has %u entries for %u layers.",
                           sy__json_n(json, list), hf->n_layers);
    }
    one = adjusted_width(hf, one);
    for (uint32_t i = 0; i < hf->n_layers; i++) {
        uint64_t width = one;
        if (is_list && (!sy__json_u64_of(json, item, &width) || width < 1 || width > 1u << 30)) {
            return sy__hf_fail(hf, SY_OUT_OF_RANGE, hint_config,
                               "'intermediate_size' of config.json has no width for layer %u.", i);
        }
        bool is_double = n_shared > 0 && i + n_shared >= hf->n_layers;
        widths[i] = is_double && width <= 1u << 30 ? 2 * (uint32_t)width : (uint32_t)width;
        item = is_list ? sy__json_next(json, item) : item;
    }
    sy__hf_put_layers(hf, "feed_forward_length", widths);
    return hf->status == SY_OK;
}

static double epsilon_of(sy__hf *hf) {
    const sy__hf_family *family = hf->family;
    return sy__hf_f64(hf, family->epsilon_name != NULL ? family->epsilon_name : "rms_norm_eps",
                      family->epsilon > 0.0f ? (double)family->epsilon : 1e-6);
}

static bool put_encoder(sy__hf *hf, uint32_t width, uint32_t n_heads) {
    hf->head_dim = width / n_heads;
    hf->is_pooled = true;
    sy__hf_put_f32(hf, "attention.layer_norm_epsilon", epsilon_of(hf));
    sy_gguf_writer_put_bool(hf->writer, sy__hf_key(hf, "attention.causal"), 0);
    return hf->status == SY_OK;
}

static bool put_decoder(sy__hf *hf, uint32_t width, uint32_t n_heads) {
    const sy__hf_family *family = hf->family;
    if (!check_overrides(hf) || !read_head(hf, width, n_heads) || !put_kv_heads(hf, n_heads)) {
        return false;
    }
    sy__hf_put_u32(hf, "attention.key_length", hf->head_dim);
    sy__hf_put_u32(hf, "attention.value_length", hf->head_dim);
    sy__hf_put_f32(hf, "attention.layer_norm_rms_epsilon", epsilon_of(hf));
    if (family->scaled_queries) {
        double scalar = sy__hf_f64(hf, "query_pre_attn_scalar", 256.0);
        sy__hf_put_f32(hf, "attention.scale", 1.0 / sqrt(scalar));
        put_softcap(hf, "attn_logit_softcapping", "attn_logit_softcapping");
        put_softcap(hf, "final_logit_softcapping", "final_logit_softcapping");
    }
    if (family->half_split) {
        sy_gguf_writer_put_bool(hf->writer, SY_HUGGINGFACE_HALF_SPLIT, 1);
    }
    return hf->status == SY_OK && sy__hf_put_rope(hf);
}

bool sy__hf_put_config(sy__hf *hf) {
    const sy__hf_family *family = hf->family;
    sy_safetensor tensor;
    hf->has_classifier = sy_safetensors_find(hf->keep->weights, "classifier.weight", &tensor) != 0;
    hf->n_layers = sy__hf_u32(hf, "num_hidden_layers", 0);
    uint32_t width = sy__hf_u32(hf, "hidden_size", 0);
    uint32_t n_heads = sy__hf_u32(hf, "num_attention_heads", family->n_heads);
    if (hf->status == SY_OK && hf->n_layers > SY_LIMIT_LAYERS) {
        return sy__hf_fail(hf, SY_OUT_OF_RANGE, hint_config,
                           "The model has %u layers; at most %u are run.", hf->n_layers,
                           SY_LIMIT_LAYERS);
    }
    if (hf->status != SY_OK || !check_activation(hf) || !read_kinds(hf)) {
        return false;
    }
    sy__hf_put_u32(hf, "block_count", hf->n_layers);
    sy__hf_put_u32(hf, "embedding_length", width);
    sy__hf_put_u32(hf, "attention.head_count", n_heads);
    return put_feed_forward(hf) && put_reach(hf) &&
           (family->is_encoder ? put_encoder(hf, width, n_heads)
                               : put_decoder(hf, width, n_heads)) &&
           (family->put_more == NULL || family->put_more(hf)) && sy__hf_put_modules(hf) &&
           hf->status == SY_OK;
}
