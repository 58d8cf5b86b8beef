/* SPDX-License-Identifier: Apache-2.0 */
/* From GGUF metadata to a description: every key read with its range, every default explicit. */
#include "arch/description.h"

#include "switchyard/huggingface.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define EXPERTS_MOST 65536u
#define KEY_BYTES (SY_LIMIT_NAME_BYTES + 1u)

static const char hint_convert[] = "Convert the model again with a current tool, or take another "
                                   "file of the same model.";

sy_status sy__architecture_fail(const sy_gguf *gguf, sy_error *error, sy_status status,
                                const char *hint, const char *format, ...) {
    char message[SY_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    sy_error_set(error, status, "%s", message);
    sy_error_hint(error, "%s", hint);
    sy_error_at(error, sy_gguf_get_facts(gguf)->origin, UINT64_MAX);
    return status;
}

/* Reads keys of one architecture; the first failure stays in `status`. */
typedef struct key_reader {
    const sy_gguf *gguf;
    const char *family;
    sy_error *error;
    sy_status status;
} key_reader;

static const char *key_name(const key_reader *reader, const char *suffix, char *out_key) {
    snprintf(out_key, KEY_BYTES, "%s.%s", reader->family, suffix);
    return out_key;
}

static bool find_key(const key_reader *reader, const char *suffix, sy_gguf_value *out_value) {
    char key[KEY_BYTES];
    return sy_gguf_find(reader->gguf, key_name(reader, suffix, key), out_value) != 0;
}

static void range_failed(key_reader *reader, const char *suffix, double value, double least,
                         double most) {
    reader->status = sy__architecture_fail(
        reader->gguf, reader->error, SY_OUT_OF_RANGE, hint_convert,
        "The key '%s.%s' is %g; %g to %g is wanted.", reader->family, suffix, value, least, most);
}

static uint32_t checked_element(key_reader *reader, const char *suffix, const sy_gguf_value *value,
                                uint64_t i, uint32_t most) {
    uint64_t number = 0;
    reader->status = sy_gguf_value_u64(value, i, &number, reader->error);
    if (reader->status == SY_OK && (number < 1 || number > most)) {
        range_failed(reader, suffix, (double)number, 1.0, (double)most);
    }
    return reader->status == SY_OK ? (uint32_t)number : 0;
}

/* A number from 1 to `most`; `otherwise` when the key is absent, 0 means that it must be there. */
static uint32_t read_u32(key_reader *reader, const char *suffix, uint32_t most,
                         uint32_t otherwise) {
    sy_gguf_value value;
    if (reader->status != SY_OK) {
        return otherwise;
    }
    if (!find_key(reader, suffix, &value)) {
        if (otherwise == 0) {
            reader->status =
                sy__architecture_fail(reader->gguf, reader->error, SY_NOT_FOUND, hint_convert,
                                      "The file has no key '%s.%s'.", reader->family, suffix);
        }
        return otherwise;
    }
    if (value.is_array) {
        reader->status = sy__architecture_fail(
            reader->gguf, reader->error, SY_UNIMPLEMENTED, hint_convert,
            "The key '%s.%s' is an array, not one number.", reader->family, suffix);
        return otherwise;
    }
    return checked_element(reader, suffix, &value, 0, most);
}

/* Like read_u32 but 0 is a value of its own ("none"), also when the key is absent. */
static uint32_t read_u32_or_none(key_reader *reader, const char *suffix, uint32_t most,
                                 uint32_t otherwise) {
    sy_gguf_value value;
    uint64_t number = 0;
    if (reader->status != SY_OK || !find_key(reader, suffix, &value)) {
        return otherwise;
    }
    reader->status = sy_gguf_value_u64(&value, 0, &number, reader->error);
    if (reader->status == SY_OK && number > most) {
        range_failed(reader, suffix, (double)number, 0.0, (double)most);
    }
    return reader->status == SY_OK ? (uint32_t)number : otherwise;
}

/* A float within [least, most]; `otherwise` when absent, NaN means that it must be there. */
static float read_f32(key_reader *reader, const char *suffix, double least, double most,
                      float otherwise) {
    sy_gguf_value value;
    double number = 0.0;
    if (reader->status != SY_OK) {
        return otherwise;
    }
    if (!find_key(reader, suffix, &value)) {
        if (isnan(otherwise)) {
            reader->status =
                sy__architecture_fail(reader->gguf, reader->error, SY_NOT_FOUND, hint_convert,
                                      "The file has no key '%s.%s'.", reader->family, suffix);
        }
        return otherwise;
    }
    reader->status = sy_gguf_value_f64(&value, 0, &number, reader->error);
    if (reader->status == SY_OK && !(number >= least && number <= most)) {
        range_failed(reader, suffix, number, least, most);
    }
    return reader->status == SY_OK ? (float)number : otherwise;
}

static bool read_bool(key_reader *reader, const char *suffix, bool otherwise) {
    sy_gguf_value value;
    int flag = 0;
    if (reader->status != SY_OK || !find_key(reader, suffix, &value)) {
        return otherwise;
    }
    reader->status = sy_gguf_value_bool(&value, 0, &flag, reader->error);
    return flag != 0;
}

/* As checked_element; 0 is a number too where `least` is 0. */
static uint32_t element_from(key_reader *reader, const char *suffix, const sy_gguf_value *value,
                             uint64_t i, uint32_t least, uint32_t most) {
    uint64_t number = 0;
    sy_status status = sy_gguf_value_u64(value, i, &number, NULL);
    return status == SY_OK && number == 0 && least == 0
               ? 0
               : checked_element(reader, suffix, value, i, most);
}

/* One number for all layers, or an array with one per layer, into a field of every layer. */
static void read_per_layer(key_reader *reader, const char *suffix, uint32_t least, uint32_t most,
                           sy__architecture *architecture, size_t field_offset) {
    sy_gguf_value value;
    if (reader->status != SY_OK) {
        return;
    }
    if (!find_key(reader, suffix, &value)) {
        reader->status =
            sy__architecture_fail(reader->gguf, reader->error, SY_NOT_FOUND, hint_convert,
                                  "The file has no key '%s.%s'.", reader->family, suffix);
        return;
    }
    if (value.is_array && value.n_elements != architecture->n_layers) {
        reader->status = sy__architecture_fail(
            reader->gguf, reader->error, SY_DATA_LOSS, hint_convert,
            "The key '%s.%s' has %llu elements for %u layers.", reader->family, suffix,
            (unsigned long long)value.n_elements, architecture->n_layers);
        return;
    }
    for (uint32_t i = 0; i < architecture->n_layers && reader->status == SY_OK; i++) {
        uint32_t number = element_from(reader, suffix, &value, value.is_array ? i : 0, least, most);
        memcpy((char *)&architecture->layers[i] + field_offset, &number, sizeof(number));
    }
}

/* A layer without key heads is a short convolution. */
static void read_convolutions(key_reader *reader, sy__architecture *architecture) {
    if (!architecture->family->has_convolutions) {
        return;
    }
    architecture->n_convolved = read_u32(reader, "shortconv.l_cache", 4096, 0);
    for (uint32_t i = 0; i < architecture->n_layers && reader->status == SY_OK; i++) {
        sy__layer *layer = &architecture->layers[i];
        layer->is_convolution = layer->n_kv_heads == 0;
    }
}

static void read_heads(key_reader *reader, sy__architecture *architecture) {
    sy_gguf_value value;
    read_per_layer(reader, "attention.head_count", 1, 4096, architecture,
                   offsetof(sy__layer, n_heads));
    read_per_layer(reader, "feed_forward_length", 1, 1u << 20, architecture,
                   offsetof(sy__layer, n_ff));
    if (find_key(reader, "attention.head_count_kv", &value)) {
        uint32_t least = architecture->family->has_convolutions ? 0 : 1;
        read_per_layer(reader, "attention.head_count_kv", least, 4096, architecture,
                       offsetof(sy__layer, n_kv_heads));
        read_convolutions(reader, architecture);
    }
    for (uint32_t i = 0; i < architecture->n_layers && reader->status == SY_OK; i++) {
        sy__layer *layer = &architecture->layers[i];
        layer->n_kv_heads = layer->n_kv_heads == 0 ? layer->n_heads : layer->n_kv_heads;
        if (layer->n_heads % layer->n_kv_heads != 0) {
            reader->status = sy__architecture_fail(
                reader->gguf, reader->error, SY_DATA_LOSS, hint_convert,
                "Layer %u has %u heads over %u key/value heads, which is no whole number.", i,
                layer->n_heads, layer->n_kv_heads);
        }
    }
}

static void read_sizes(key_reader *reader, sy__architecture *architecture) {
    architecture->n_layers = read_u32(reader, "block_count", SY_LIMIT_LAYERS, 0);
    architecture->n_embd = read_u32(reader, "embedding_length", 1u << 20, 0);
    architecture->n_context = read_u32(reader, "context_length", SY_LIMIT_SESSION_TOKENS, 0);
    if (reader->status != SY_OK) {
        return;
    }
    read_heads(reader, architecture);
    if (reader->status != SY_OK) {
        return;
    }
    uint32_t head = architecture->n_embd / architecture->layers[0].n_heads;
    architecture->key_length = read_u32(reader, "attention.key_length", 65536, head > 0 ? head : 1);
    architecture->value_length =
        read_u32(reader, "attention.value_length", 65536, head > 0 ? head : 1);
}

static void read_experts(key_reader *reader, sy__architecture *architecture) {
    const sy__family *family = architecture->family;
    sy__experts *experts = &architecture->experts;
    if (family->experts == SY__EXPERTS_NEVER || reader->status != SY_OK) {
        return;
    }
    bool must = family->experts == SY__EXPERTS_ALWAYS;
    experts->n_experts = must ? read_u32(reader, "expert_count", EXPERTS_MOST, 0)
                              : read_u32_or_none(reader, "expert_count", EXPERTS_MOST, 0);
    if (experts->n_experts == 0) {
        return;
    }
    uint32_t n_ff = architecture->layers[0].n_ff;
    experts->n_used = read_u32(reader, "expert_used_count", experts->n_experts, 0);
    experts->n_ff = read_u32(reader, "expert_feed_forward_length", 1u << 20, n_ff);
    experts->n_ff_shared =
        read_u32_or_none(reader, "expert_shared_feed_forward_length", 1u << 20, 0);
    experts->gating = family->gating;
    experts->clamped_swiglu = family->clamped_swiglu;
    experts->normalized = read_bool(reader, "expert_weights_norm", family->normalized_experts);
    experts->scale = read_f32(reader, "expert_weights_scale", 0.0, 1e6, 1.0f);
    experts->scale = experts->scale == 0.0f ? 1.0f : experts->scale;
    uint32_t gating = read_u32_or_none(reader, "expert_gating_func", 3, 0);
    if (gating != 0) { /* the key's numbers begin at 1 */
        static const sy__gating by_number[] = {SY__GATING_SOFTMAX, SY__GATING_SIGMOID,
                                               SY__GATING_SOFTMAX_CHOSEN};
        experts->gating = by_number[gating - 1];
    }
}

static void read_norms(key_reader *reader, sy__architecture *architecture) {
    const sy__family *family = architecture->family;
    const char *suffix = family->norm_kind == SY__NORM_RMS ? "attention.layer_norm_rms_epsilon"
                                                           : "attention.layer_norm_epsilon";
    architecture->norm_kind = family->norm_kind;
    architecture->norm_place = family->norm_place;
    architecture->epsilon = read_f32(reader, suffix, 1e-20, 0.1, NAN);
}

static void read_attention(key_reader *reader, sy__architecture *architecture) {
    const sy__family *family = architecture->family;
    double divisor = (double)architecture->key_length;
    if (reader->status != SY_OK) {
        return;
    }
    if (family->scale_rule == SY__SCALE_HEAD_OR_WIDTH &&
        architecture->n_layers == family->n_width_layers) {
        divisor = (double)(architecture->n_embd / architecture->layers[0].n_heads);
    }
    divisor = family->scale_rule == SY__SCALE_ONE ? 1.0 : divisor;
    architecture->attention_scale =
        read_f32(reader, "attention.scale", 1e-6, 1e6, (float)(1.0 / sqrt(fmax(divisor, 1.0))));
    architecture->attention_softcap =
        read_f32(reader, "attn_logit_softcapping", 0.0, 1e6, family->attention_softcap);
    architecture->output_softcap =
        read_f32(reader, "final_logit_softcapping", 0.0, 1e6, family->output_softcap);
    architecture->causal = read_bool(reader, "attention.causal", family->causal);
    architecture->pooling =
        read_u32_or_none(reader, "pooling_type", SY__POOLING_RANK, SY__POOLING_NONE);
}

/* A decoder that its file says to pool predicts nothing, and keeps no states from step to step. */
static void read_use(key_reader *reader, sy__architecture *architecture) {
    bool keeps_states = false;
    architecture->has_output =
        architecture->family->has_output && architecture->pooling == SY__POOLING_NONE;
    for (uint32_t i = 0; i < architecture->n_layers; i++) {
        const sy__layer *layer = &architecture->layers[i];
        keeps_states = keeps_states || layer->is_convolution || layer->i_states != i;
    }
    if (reader->status == SY_OK && !architecture->has_output && keeps_states) {
        reader->status = sy__architecture_fail(
            reader->gguf, reader->error, SY_UNIMPLEMENTED, "Take another model for embeddings.",
            "The file wants vectors of texts (%s.pooling_type), but layers of '%s' work only with "
            "states.",
            reader->family, reader->family);
    }
}

/* Which layers are windowed: by period, or one flag a layer. */
static void read_windows(key_reader *reader, sy__architecture *architecture) {
    const sy__family *family = architecture->family;
    sy_gguf_value pattern;
    if (!family->reads_window) {
        return;
    }
    uint32_t window =
        read_u32_or_none(reader, "attention.sliding_window", UINT32_MAX, family->window_default);
    bool has_pattern = find_key(reader, "attention.sliding_window_pattern", &pattern);
    uint32_t period = family->window_period;
    if (has_pattern && !pattern.is_array) {
        period =
            read_u32_or_none(reader, "attention.sliding_window_pattern", SY_LIMIT_LAYERS, period);
    } else if (has_pattern && pattern.n_elements != architecture->n_layers) {
        reader->status = sy__architecture_fail(
            reader->gguf, reader->error, SY_DATA_LOSS, hint_convert,
            "The key '%s.attention.sliding_window_pattern' has %llu elements for %u layers.",
            reader->family, (unsigned long long)pattern.n_elements, architecture->n_layers);
    }
    for (uint32_t i = 0; i < architecture->n_layers && reader->status == SY_OK; i++) {
        uint32_t i_full = family->full_first ? 0 : period - 1;
        int windowed = period == 0 || i % period != i_full;
        int64_t number = 0;
        if (has_pattern && pattern.is_array && pattern.type == SY_GGUF_BOOL) {
            reader->status = sy_gguf_value_bool(&pattern, i, &windowed, reader->error);
        } else if (has_pattern && pattern.is_array) {
            reader->status = sy_gguf_value_i64(&pattern, i, &number, reader->error);
            windowed = number != 0;
        }
        /* Without causality the file tells the whole width, the operator takes one side. */
        uint32_t reach = architecture->causal || window == 0 ? window : window / 2 + 1;
        architecture->layers[i].window = windowed ? reach : 0;
        architecture->layers[i].local_rope = windowed && window > 0;
    }
}

static sy__rope_scaling read_scaling(key_reader *reader) {
    char key[KEY_BYTES];
    sy_gguf_string name;
    sy_gguf_value value;
    if (reader->status != SY_OK || !find_key(reader, "rope.scaling.type", &value)) {
        return SY__ROPE_LINEAR; /* with factor 1 unless the file says otherwise */
    }
    reader->status = sy_gguf_get_string(reader->gguf, key_name(reader, "rope.scaling.type", key),
                                        &name, reader->error);
    if (reader->status != SY_OK || sy_gguf_string_is(name, "none")) {
        return SY__ROPE_PLAIN;
    }
    if (sy_gguf_string_is(name, "linear")) {
        return SY__ROPE_LINEAR;
    }
    if (sy_gguf_string_is(name, "longrope")) {
        return SY__ROPE_LONGROPE;
    }
    if (sy_gguf_string_is(name, "yarn")) {
        return SY__ROPE_YARN;
    }
    reader->status = sy__architecture_fail(
        reader->gguf, reader->error, SY_UNIMPLEMENTED, hint_convert,
        "The rope scaling '%.*s' is unknown; none, linear, longrope and yarn are supported.",
        (int)(name.n_bytes < 64 ? name.n_bytes : 64), name.bytes);
    return SY__ROPE_PLAIN;
}

/* Tensors decide over the key: files of Phi-3 carry factors and no scaling type. */
static void refine_scaling(const sy_gguf *gguf, sy__rope *rope) {
    sy_gguf_tensor tensor;
    if (sy_gguf_find_tensor(gguf, "rope_factors_long.weight", &tensor)) {
        rope->scaling = SY__ROPE_LONGROPE;
    } else if (sy_gguf_find_tensor(gguf, "rope_freqs.weight", &tensor)) {
        rope->scaling = SY__ROPE_FACTORS;
    } else if (rope->scaling == SY__ROPE_LONGROPE ||
               (rope->scaling == SY__ROPE_LINEAR && rope->factor == 1.0f)) {
        rope->scaling = SY__ROPE_PLAIN;
    }
}

static void read_rope(key_reader *reader, sy__architecture *architecture) {
    const sy__family *family = architecture->family;
    sy__rope *rope = &architecture->rope;
    int half_split = 0;
    bool kept =
        sy_gguf_get_bool(reader->gguf, SY_HUGGINGFACE_HALF_SPLIT, &half_split, NULL) == SY_OK &&
        half_split != 0;
    rope->kind = kept ? SY__ROPE_HALF : family->rope_kind;
    rope->factor = 1.0f;
    rope->attention_factor = 1.0f;
    rope->unrounded = family->yarn_unrounded;
    if (family->rope_kind == SY__ROPE_NONE || reader->status != SY_OK) {
        architecture->rope_local = *rope;
        return;
    }
    rope->n_dims = read_u32(reader, "rope.dimension_count", 65536, architecture->key_length);
    rope->base = read_f32(reader, "rope.freq_base", 1.5, 1e15, 10000.0f);
    rope->scaling = read_scaling(reader);
    float factor = read_f32(reader, "rope.scale_linear", 0.0, 1e6, 0.0f); /* older name */
    factor = read_f32(reader, "rope.scaling.factor", 0.0, 1e6, factor);
    rope->factor = factor == 0.0f || rope->scaling == SY__ROPE_PLAIN ? 1.0f : factor;
    rope->n_original_context = read_u32(reader, "rope.scaling.original_context_length",
                                        SY_LIMIT_SESSION_TOKENS, architecture->n_context);
    rope->attention_factor = read_f32(reader, "rope.scaling.attn_factor", 1e-3, 1e3, 1.0f);
    rope->beta_fast = read_f32(reader, "rope.scaling.yarn_beta_fast", 1e-3, 1e6, 32.0f);
    rope->beta_slow = read_f32(reader, "rope.scaling.yarn_beta_slow", 1e-3, 1e6, 1.0f);
    if (reader->status == SY_OK &&
        (rope->n_dims % 2 != 0 || rope->n_dims < 2 || rope->n_dims > architecture->key_length)) {
        reader->status = sy__architecture_fail(
            reader->gguf, reader->error, SY_DATA_LOSS, hint_convert,
            "%u elements of a head of %u are to be rotated; an even number up to it is wanted.",
            rope->n_dims, architecture->key_length);
    }
    if (reader->status == SY_OK && (rope->factor < 1e-3f)) {
        range_failed(reader, "rope.scaling.factor", (double)rope->factor, 1e-3, 1e6);
    }
    refine_scaling(reader->gguf, rope);
    for (uint32_t i = 0; family->no_rope_period > 0 && i < architecture->n_layers; i++) {
        architecture->layers[i].no_rope = (i + 1) % family->no_rope_period == 0;
    }
    architecture->rope_local = *rope;
    float local_base = family->local_rope_base > 0.0f ? family->local_rope_base : rope->base;
    architecture->rope_local.base = read_f32(reader, "rope.freq_base_swa", 1.5, 1e15, local_base);
    if (family->local_rope_plain) {
        architecture->rope_local.scaling = SY__ROPE_PLAIN;
        architecture->rope_local.factor = 1.0f;
        architecture->rope_local.attention_factor = 1.0f;
    }
}

/* Rows of the residual stream, and where gates are cut: a number a layer, not above 0 for none. */
static void read_altup(key_reader *reader, sy__architecture *architecture) {
    sy_gguf_value value;
    if (!architecture->family->altup || reader->status != SY_OK) {
        return;
    }
    architecture->n_altup = read_u32(reader, "altup.num_inputs", SY__ALTUP_MOST, 0);
    architecture->i_altup = read_u32_or_none(reader, "altup.active_idx", SY__ALTUP_MOST - 1, 0);
    bool is_there = find_key(reader, "activation_sparsity_scale", &value);
    if (reader->status == SY_OK &&
        (architecture->n_altup < 2 || architecture->i_altup >= architecture->n_altup ||
         (is_there && value.n_elements != architecture->n_layers))) {
        reader->status = sy__architecture_fail(
            reader->gguf, reader->error, SY_DATA_LOSS, hint_convert,
            "The keys of '%s.altup' and '%s.activation_sparsity_scale' do not fit together.",
            reader->family, reader->family);
    }
    for (uint32_t i = 0; is_there && i < architecture->n_layers && reader->status == SY_OK; i++) {
        double number = 0.0;
        reader->status = sy_gguf_value_f64(&value, i, &number, reader->error);
        bool cuts = number > 0.0 && number < 100.0;
        architecture->layers[i].sparsity = cuts ? (float)number : 0.0f;
    }
}

/* Head sizes of windowed layers, and which layers read the keys and values of an earlier one: the
 * last that has its own and looks as far back. */
static void read_layer_states(key_reader *reader, sy__architecture *architecture) {
    const sy__family *family = architecture->family;
    uint32_t n = architecture->n_layers, n_shared = 0;
    uint32_t key = architecture->key_length, value = architecture->value_length;
    if (reader->status != SY_OK) {
        return;
    }
    if (family->per_layer_inputs) {
        key = read_u32(reader, "attention.key_length_swa", 65536, key);
        value = read_u32(reader, "attention.value_length_swa", 65536, value);
        n_shared = read_u32_or_none(reader, "attention.shared_kv_layers", n - 1, 0);
        architecture->n_embd_per_layer =
            family->altup ? read_u32(reader, "embedding_length_per_layer_input", 65536, 0)
                          : read_u32_or_none(reader, "embedding_length_per_layer_input", 65536, 0);
        architecture->rope_local.n_dims =
            read_u32(reader, "rope.dimension_count_swa", 65536, key > 1 ? key : 2);
    }
    for (uint32_t i = 0; i < n && reader->status == SY_OK; i++) {
        sy__layer *layer = &architecture->layers[i];
        bool windowed = layer->window > 0;
        layer->key_length = windowed ? key : architecture->key_length;
        layer->value_length = windowed ? value : architecture->value_length;
        layer->i_states = i;
        for (uint32_t j = 0; i >= n - n_shared && j < n - n_shared; j++) {
            bool alike = (architecture->layers[j].window > 0) == windowed;
            layer->i_states = alike ? j : layer->i_states;
        }
        if (i >= n - n_shared &&
            (layer->i_states == i ||
             layer->n_kv_heads != architecture->layers[layer->i_states].n_kv_heads)) {
            reader->status = sy__architecture_fail(
                reader->gguf, reader->error, SY_DATA_LOSS, hint_convert,
                "Layer %u is to share keys and values, but no earlier layer fits it.", i);
        }
    }
    if (reader->status == SY_OK && architecture->rope_local.kind != SY__ROPE_NONE &&
        (architecture->rope_local.n_dims % 2 != 0 || architecture->rope_local.n_dims > key)) {
        reader->status =
            sy__architecture_fail(reader->gguf, reader->error, SY_DATA_LOSS, hint_convert,
                                  "%u elements of a windowed layer's head of %u are to be rotated.",
                                  architecture->rope_local.n_dims, key);
    }
}

/* Features that change the result and that no family here has. */
static void refuse_features(key_reader *reader, const sy__family *family) {
    static const char *const foreign[] = {
        "expert_count",   "ssm.conv_kernel", "attention.max_alibi_bias", "attention.clamp_kqv",
        "residual_scale", "logit_scale",     "embedding_scale"};
    sy_gguf_value value;
    uint64_t n_files = 0;
    for (uint32_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        uint64_t number = 0;
        double real = 0.0;
        bool is_known = i == 0 && family->experts != SY__EXPERTS_NEVER;
        if (reader->status != SY_OK || is_known || !find_key(reader, foreign[i], &value)) {
            continue;
        }
        bool is_zero = (sy_gguf_value_u64(&value, 0, &number, NULL) == SY_OK && number == 0) ||
                       (sy_gguf_value_f64(&value, 0, &real, NULL) == SY_OK && real == 0.0);
        if (!is_zero) {
            reader->status = sy__architecture_fail(
                reader->gguf, reader->error, SY_UNIMPLEMENTED, "Take a model without this feature.",
                "The model has '%s.%s', which this build does not run.", reader->family,
                foreign[i]);
        }
    }
    if (reader->status == SY_OK && sy_gguf_find(reader->gguf, "split.count", &value) &&
        sy_gguf_value_u64(&value, 0, &n_files, NULL) == SY_OK && n_files > 1) {
        reader->status = sy__architecture_fail(
            reader->gguf, reader->error, SY_UNIMPLEMENTED,
            "Join the files first: llama-gguf-split --merge FIRST-FILE OUTPUT.",
            "The model is split into %llu files, of which this is one.",
            (unsigned long long)n_files);
    }
}

static sy_status read_family(const sy_gguf *gguf, const sy__family **out_family, sy_error *error) {
    sy_gguf_string name;
    sy_status status = sy_gguf_get_string(gguf, "general.architecture", &name, error);
    if (status != SY_OK) {
        return status;
    }
    *out_family = sy__family_find(name);
    if (*out_family != NULL) {
        return SY_OK;
    }
    char list[SY_ERROR_HINT_BYTES - 32];
    size_t n = 0;
    list[0] = '\0';
    for (uint32_t i = 0; sy__family_at(i) != NULL && n < sizeof(list); i++) {
        n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i > 0 ? ", " : "",
                              sy__family_at(i)->name);
    }
    char hint[SY_ERROR_HINT_BYTES];
    snprintf(hint, sizeof(hint), "Supported are: %s.", list);
    return sy__architecture_fail(gguf, error, SY_UNIMPLEMENTED, hint,
                                 "The architecture '%.*s' is not supported.",
                                 (int)(name.n_bytes < 64 ? name.n_bytes : 64), name.bytes);
}

sy_status sy__architecture_read(const sy_gguf *gguf, sy__architecture *out_architecture,
                                sy_error *error) {
    const sy__family *family = NULL;
    sy_status status = read_family(gguf, &family, error);
    if (status != SY_OK) {
        return status;
    }
    if (sy_gguf_get_facts(gguf)->n_tensors == 0) {
        return sy__architecture_fail(gguf, error, SY_NOT_FOUND,
                                     "Give the file of the model itself.",
                                     "The file has no weights; it is a vocabulary alone.");
    }
    memset(out_architecture, 0, sizeof(*out_architecture));
    out_architecture->family = family;
    out_architecture->gguf = gguf;
    out_architecture->activation = family->activation;
    out_architecture->gated = family->gated;
    key_reader reader = {.gguf = gguf, .family = family->name, .error = error, .status = SY_OK};
    refuse_features(&reader, family);
    read_sizes(&reader, out_architecture);
    read_experts(&reader, out_architecture);
    read_norms(&reader, out_architecture);
    read_attention(&reader, out_architecture);
    read_rope(&reader, out_architecture);
    read_windows(&reader, out_architecture);
    read_layer_states(&reader, out_architecture);
    read_altup(&reader, out_architecture);
    read_use(&reader, out_architecture);
    out_architecture->embedding_scale =
        family->embedding_sqrt ? (float)sqrt((double)out_architecture->n_embd) : 1.0f;
    if (reader.status != SY_OK) {
        if (error != NULL && error->origin[0] == '\0') { /* from a typed getter: it knows no file */
            sy_error_at(error, sy_gguf_get_facts(gguf)->origin, error->file_offset);
        }
        return reader.status;
    }
    return sy__architecture_check_tensors(out_architecture, error);
}
