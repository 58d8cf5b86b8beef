/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary embeddings: rope_parameters (transformers 5) or rope_theta and rope_scaling (before), to
 * keys, and to tensors of factors where the rule gives one for each pair. */
#include "internal.h"

#include <math.h>
#include <string.h>

static const char hint_rope[] = "Fetch config.json again; its rotary embedding makes no sense.";

/* Member of the object that describes the scaling. */
static double number(const sy__hf *hf, sy__json_index rope, const char *name, double otherwise) {
    double value = otherwise;
    sy__json_index i = sy__json_member(&hf->config.json, rope, name);
    return sy__json_f64_of(&hf->config.json, i, &value) ? value : otherwise;
}

static float *vector(sy__hf *hf) {
    float *numbers =
        sy__arena_alloc(&hf->keep->arena, (size_t)hf->n_rotated / 2 + 1, sizeof(float));
    if (numbers == NULL) {
        sy__hf_no_memory(hf, "rotary factors");
    }
    return numbers;
}

/* Llama 3.1: long waves are stretched by the factor, short ones not, with a ramp in between. */
static bool put_llama3(sy__hf *hf, sy__json_index rope, double theta) {
    double factor = number(hf, rope, "factor", 8.0);
    double low = number(hf, rope, "low_freq_factor", 1.0);
    double high = number(hf, rope, "high_freq_factor", 4.0);
    double old = number(hf, rope, "original_max_position_embeddings", 8192.0);
    float *factors = vector(hf);
    if (factors == NULL) {
        return false;
    }
    if (!(high > low) || !(low > 0) || !(factor > 0) || !(old > 0)) {
        return sy__hf_fail(hf, SY_OUT_OF_RANGE, hint_rope, "The llama3 rope scaling is senseless.");
    }
    for (uint32_t i = 0; i < hf->n_rotated / 2; i++) {
        double wave = 2.0 * 3.14159265358979323846 * pow(theta, 2.0 * i / hf->n_rotated);
        double smooth = (old / wave - low) / (high - low);
        factors[i] = (float)(wave < old / high  ? 1.0
                             : wave > old / low ? factor
                                                : 1.0 / ((1.0 - smooth) / factor + smooth));
    }
    sy__hf_add_numbers(hf, "rope_freqs.weight", factors, hf->n_rotated / 2, 1);
    return true;
}

static bool put_factors(sy__hf *hf, sy__json_index rope, const char *from, const char *to) {
    const sy__json_document *json = &hf->config.json;
    sy__json_index list = sy__json_member(json, rope, from), item = sy__json_first(json, list);
    float *factors = vector(hf);
    if (factors == NULL) {
        return false;
    }
    if (sy__json_n(json, list) != hf->n_rotated / 2) {
        return sy__hf_fail(hf, SY_DATA_LOSS, hint_rope, "'%s' has %u entries for %u pairs.", from,
                           sy__json_n(json, list), hf->n_rotated / 2);
    }
    for (uint32_t i = 0; i < hf->n_rotated / 2; i++) {
        double value = 0.0;
        if (!sy__json_f64_of(json, item, &value)) {
            return sy__hf_fail(hf, SY_DATA_LOSS, hint_rope, "'%s' has something else than numbers.",
                               from);
        }
        factors[i] = (float)value;
        item = sy__json_next(json, item);
    }
    sy__hf_add_numbers(hf, to, factors, hf->n_rotated / 2, 1);
    return true;
}

static bool put_longrope(sy__hf *hf, sy__json_index rope) {
    double context = sy__hf_u32(hf, "max_position_embeddings", 131072);
    double old = number(hf, rope, "original_max_position_embeddings",
                        sy__hf_f64(hf, "original_max_position_embeddings", context));
    double stretch = number(hf, rope, "factor", context / old);
    double magnitude = stretch <= 1.0 ? 1.0 : sqrt(1.0 + log(stretch) / log(old));
    magnitude = number(hf, rope, "attention_factor", magnitude);
    sy__hf_put_u32(hf, "rope.scaling.original_context_length", (uint32_t)fmin(fmax(old, 1.0), 1e9));
    sy__hf_put_f32(hf, "rope.scaling.attn_factor", magnitude);
    return put_factors(hf, rope, "long_factor", "rope_factors_long.weight") &&
           put_factors(hf, rope, "short_factor", "rope_factors_short.weight");
}

/* Gemma 4: the head's own frequencies, of which only the first share turns. */
static bool put_proportional(sy__hf *hf, sy__json_index rope, double share) {
    double factor = number(hf, rope, "factor", 1.0);
    float *factors = vector(hf);
    if (factors == NULL) {
        return false;
    }
    if (!(factor >= 1e-3 && factor <= 1e6)) {
        return sy__hf_fail(hf, SY_OUT_OF_RANGE, hint_rope, "The rope scaling factor is %g.",
                           factor);
    }
    uint32_t n_turning = (uint32_t)(share * hf->n_rotated / 2.0);
    for (uint32_t i = 0; i < hf->n_rotated / 2; i++) {
        factors[i] = i < n_turning ? (float)factor : 1e30f;
    }
    sy__hf_add_numbers(hf, "rope_freqs.weight", factors, hf->n_rotated / 2, 1);
    return true;
}

static bool put_yarn(sy__hf *hf, sy__json_index rope) {
    const sy__json_document *json = &hf->config.json;
    double factor = number(hf, rope, "factor", 1.0), own = 1.0 + 0.1 * log(factor);
    double old = number(hf, rope, "original_max_position_embeddings",
                        sy__hf_u32(hf, "max_position_embeddings", 131072));
    bool truncates = sy__json_bool_of(json, sy__json_member(json, rope, "truncate"), true);
    if (truncates == hf->family->yarn_unrounded ||
        sy__json_member(json, rope, "mscale") != SY__JSON_NONE ||
        sy__json_member(json, rope, "mscale_all_dim") != SY__JSON_NONE || !(factor >= 1.0)) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, "Take another variant of the model.",
                           "The yarn rope scaling has options that are not run (truncate, mscale, "
                           "a factor under 1).");
    }
    sy_gguf_writer_put_string(hf->writer, sy__hf_key(hf, "rope.scaling.type"), "yarn", 4);
    sy__hf_put_f32(hf, "rope.scaling.factor", factor);
    sy__hf_put_u32(hf, "rope.scaling.original_context_length", (uint32_t)fmin(fmax(old, 1.0), 1e9));
    sy__hf_put_f32(hf, "rope.scaling.yarn_beta_fast", number(hf, rope, "beta_fast", 32.0));
    sy__hf_put_f32(hf, "rope.scaling.yarn_beta_slow", number(hf, rope, "beta_slow", 1.0));
    sy__hf_put_f32(hf, "rope.scaling.attn_factor", number(hf, rope, "attention_factor", own) / own);
    return true;
}

static bool is_plain(const sy__hf *hf, sy__json_index rope) {
    const sy__json_document *json = &hf->config.json;
    sy__json_index type = sy__json_member(json, rope, "rope_type");
    return type == SY__JSON_NONE || sy__json_is(json, type, "default");
}

/* What Gemma 4 has, also where nothing is said. */
static bool is_proportional(const sy__hf *hf, sy__json_index rope) {
    const sy__json_document *json = &hf->config.json;
    sy__json_index type = sy__json_member(json, rope, "rope_type");
    return hf->family->own_full_heads &&
           (type == SY__JSON_NONE || sy__json_is(json, type, "proportional"));
}

static bool put_scaling(sy__hf *hf, sy__json_index rope, double theta, double share) {
    const sy__json_document *json = &hf->config.json;
    sy__json_index type = sy__json_member(json, rope, "rope_type");
    type = type != SY__JSON_NONE ? type : sy__json_member(json, rope, "type");
    if (is_proportional(hf, rope)) {
        return put_proportional(hf, rope, share);
    }
    if (type == SY__JSON_NONE || sy__json_is(json, type, "default")) {
        return true;
    }
    if (sy__json_is(json, type, "linear")) {
        sy_gguf_writer_put_string(hf->writer, sy__hf_key(hf, "rope.scaling.type"), "linear", 6);
        sy__hf_put_f32(hf, "rope.scaling.factor", number(hf, rope, "factor", 1.0));
        return true;
    }
    if (sy__json_is(json, type, "llama3")) {
        return put_llama3(hf, rope, theta);
    }
    if (sy__json_is(json, type, "longrope") || sy__json_is(json, type, "su")) {
        return put_longrope(hf, rope);
    }
    if (sy__json_is(json, type, "yarn")) {
        return put_yarn(hf, rope);
    }
    const char *name = sy__hf_string(hf, &hf->config, type);
    return sy__hf_fail(hf, SY_UNIMPLEMENTED,
                       "Supported are default, linear, llama3, longrope and yarn.",
                       "The rope scaling '%.64s' is not supported.", name != NULL ? name : "?");
}

bool sy__hf_put_rope(sy__hf *hf) {
    const sy__json_document *json = &hf->config.json;
    sy__json_index all = sy__json_member(json, hf->root, "rope_parameters");
    sy__json_index full = sy__json_member(json, all, "full_attention");
    sy__json_index local = sy__json_member(json, all, "sliding_attention");
    sy__json_index rope = full != SY__JSON_NONE  ? full
                          : all != SY__JSON_NONE ? all
                                                 : sy__json_member(json, hf->root, "rope_scaling");
    const sy__hf_family *family = hf->family;
    const char *name = family->theta_name != NULL ? family->theta_name : "rope_theta";
    double usual = family->rope_theta > 0.0f ? (double)family->rope_theta : 10000.0;
    double theta = number(hf, rope, "rope_theta", sy__hf_f64(hf, name, usual));
    double share = sy__hf_f64(hf, "partial_rotary_factor", family->own_full_heads ? 0.25 : 1.0);
    share = number(hf, rope, "partial_rotary_factor", share);
    if (!(share > 0.0 && share <= 1.0)) {
        return sy__hf_fail(hf, SY_OUT_OF_RANGE, hint_rope, "partial_rotary_factor is %g.", share);
    }
    if (local != SY__JSON_NONE && !is_plain(hf, local)) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, "Take another variant of the model.",
                           "The rope of windowed layers is scaled, which is not run.");
    }
    hf->n_rotated = (uint32_t)(hf->head_dim * (family->own_full_heads ? 1.0 : share)) & ~1u;
    sy__hf_put_u32(hf, "rope.dimension_count", hf->n_rotated);
    sy__hf_put_f32(hf, "rope.freq_base", theta);
    if (family->local_name != NULL) {
        double base = sy__hf_f64(hf, family->local_name, 10000.0);
        sy__hf_put_f32(hf, "rope.freq_base_swa", number(hf, local, "rope_theta", base));
    }
    return put_scaling(hf, rope, theta, share);
}
