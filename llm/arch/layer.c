/* SPDX-License-Identifier: Apache-2.0 */
/* One layer: attention and feed-forward, with norms where the description places them. */
#include "arch/builder.h"

#include <stdio.h>

static bool has_weight(const sy__layer *layer, sy__role role) {
    return (layer->weights & SY__ROLE_BIT(role)) != 0;
}

static bool has_bias(const sy__layer *layer, sy__role role) {
    return (layer->biases & SY__ROLE_BIT(role)) != 0;
}

uint32_t sy__emit_norm(sy__builder *b, const char *name, uint32_t x, sy__role role,
                       uint32_t i_layer) {
    const sy__architecture *a = b->architecture;
    bool in_layer = role >= SY__ROLE_FIRST_OF_LAYER;
    uint64_t biases = in_layer ? a->layers[i_layer].biases : a->biases;
    uint32_t scale = sy__emit_vector(b, role, i_layer, SY__PART_WEIGHT, 0, 0);
    bool is_head_norm = role == SY__ROLE_QUERY_NORM || role == SY__ROLE_KEY_NORM;
    sy__operation norm = {.version = 23,
                          .op = "RMSNormalization",
                          .n_inputs = 2,
                          .inputs = {x, scale},
                          .n_attributes = 2,
                          .attributes = {sy__int_attribute("axis", -1),
                                         sy__float_attribute("epsilon", (double)a->epsilon)}};
    if (a->norm_kind == SY__NORM_LAYER && !is_head_norm) {
        norm.op = "LayerNormalization";
        norm.version = 17;
        if ((biases & SY__ROLE_BIT(role)) != 0) {
            norm.inputs[norm.n_inputs++] = sy__emit_vector(b, role, i_layer, SY__PART_BIAS, 0, 0);
        }
    }
    return sy__emit_node(b, name, &norm);
}

uint32_t sy__emit_product(sy__builder *b, const char *name, uint32_t x, sy__role role,
                          uint32_t i_layer, uint64_t first, uint64_t n) {
    const sy__layer *layer = &b->architecture->layers[i_layer];
    sy__emit_observation(b, x, SY_NO_VALUE, role, i_layer);
    uint32_t w = sy__emit_matrix(b, role, i_layer, first, n);
    uint32_t y =
        sy__emit_node(b, name, &(sy__operation){.op = "Linear", .n_inputs = 2, .inputs = {x, w}});
    if ((layer->scales & SY__ROLE_BIT(role)) != 0) {
        y = sy__emit_scale(b, name, y, role, i_layer);
    }
    if (has_bias(layer, role)) {
        y = sy__emit_add(b, name, y, sy__emit_vector(b, role, i_layer, SY__PART_BIAS, first, n));
    }
    return sy__emit_adapter(b, name, y, x, &(sy__weight_rows){role, i_layer, first, n});
}

/* RMSNormalization of every head on its own. */
static uint32_t head_norm(sy__builder *b, const char *name, uint32_t x, sy__role role,
                          uint32_t i_layer, uint32_t n_heads) {
    int64_t length = b->architecture->layers[i_layer].key_length;
    const int64_t split[3] = {0, n_heads, length}, joined[2] = {0, (int64_t)n_heads * length};
    uint32_t heads = sy__emit_reshape(b, "split_heads", x, split, 3);
    heads = sy__emit_norm(b, name, heads, role, i_layer);
    return sy__emit_reshape(b, "join_heads", heads, joined, 2);
}

/* The same for values, which have no weight. */
static uint32_t value_norm(sy__builder *b, uint32_t v, const sy__layer *layer) {
    int64_t length = layer->value_length, n_heads = layer->n_kv_heads;
    const int64_t split[3] = {0, n_heads, length}, joined[2] = {0, n_heads * length};
    float *ones = sy__arena_alloc(&b->model->constants, (size_t)length, sizeof(float));
    if (ones == NULL) {
        sy__builder_fail(b, SY_RESOURCE_EXHAUSTED, "no memory for the norm of values");
        return v;
    }
    for (int64_t i = 0; i < length; i++) {
        ones[i] = 1.0f;
    }
    uint32_t scale = sy__emit_floats(b, "ones", ones, (uint32_t)length);
    uint32_t heads = sy__emit_reshape(b, "split_heads", v, split, 3);
    heads = sy__emit_node(
        b, "attn_v_norm",
        &(sy__operation){
            .version = 23,
            .op = "RMSNormalization",
            .n_inputs = 2,
            .inputs = {heads, scale},
            .n_attributes = 2,
            .attributes = {sy__int_attribute("axis", -1),
                           sy__float_attribute("epsilon", (double)b->architecture->epsilon)}});
    return sy__emit_reshape(b, "join_heads", heads, joined, 2);
}

static uint32_t rotate(sy__builder *b, const char *name, uint32_t x, const sy__layer *layer,
                       uint32_t n_heads) {
    const sy__architecture *a = b->architecture;
    const sy__rope *rope = layer->local_rope ? &a->rope_local : &a->rope;
    if (rope->kind == SY__ROPE_NONE || layer->no_rope) {
        return x;
    }
    uint32_t frequency = layer->local_rope ? b->rope_local_frequency : b->rope_frequency;
    float magnitude = layer->local_rope ? b->rope_local_magnitude : b->rope_magnitude;
    return sy__emit_node(
        b, name,
        &(sy__operation){
            .op = "RotaryEmbedding",
            .n_inputs = 3,
            .inputs = {x, b->model->positions, frequency},
            .n_attributes = 3,
            .attributes = {sy__int_attribute("num_heads", n_heads),
                           sy__int_attribute("interleaved", rope->kind == SY__ROPE_INTERLEAVED),
                           sy__float_attribute("magnitude", (double)magnitude)}});
}

uint32_t sy__emit_state(sy__builder *b, const char *name, sy_element_type type, uint64_t width) {
    char full_name[64];
    snprintf(full_name, sizeof(full_name), "%s%s", b->prefix, name);
    sy_value_view view = {.name = full_name, .kind = SY_VALUE_STATE, .type = type, .rank = 2};
    view.dims[0].bound = b->options->n_context_tokens;
    view.dims[1].bound = (int64_t)width;
    view.data.fd = -1;
    return sy__emit_value(b, &view);
}

typedef struct heads {
    uint32_t q, k, v; /* k and v: SY_NO_VALUE where an earlier layer's states are read */
} heads;

/* Rows of the fused matrix, or a matrix of its own. */
static uint32_t project_part(sy__builder *b, const char *name, uint32_t x, sy__role role,
                             uint32_t i_layer, uint64_t first, uint64_t n) {
    bool fused = b->architecture->layers[i_layer].fused_qkv;
    return sy__emit_product(b, name, x, fused ? SY__ROLE_QKV : role, i_layer, fused ? first : 0, n);
}

static heads project_heads(sy__builder *b, uint32_t i_layer, uint32_t x) {
    const sy__layer *layer = &b->architecture->layers[i_layer];
    uint64_t n_q = (uint64_t)layer->n_heads * layer->key_length;
    uint64_t n_k = (uint64_t)layer->n_kv_heads * layer->key_length;
    uint64_t n_v = (uint64_t)layer->n_kv_heads * layer->value_length;
    heads h = {.k = SY_NO_VALUE, .v = SY_NO_VALUE};
    h.q = project_part(b, "attn_q", x, SY__ROLE_QUERY, i_layer, 0, n_q);
    if (has_weight(layer, SY__ROLE_QUERY_NORM)) {
        h.q = head_norm(b, "attn_q_norm", h.q, SY__ROLE_QUERY_NORM, i_layer, layer->n_heads);
    }
    h.q = rotate(b, "attn_q_rope", h.q, layer, layer->n_heads);
    if (layer->i_states != i_layer) {
        return h;
    }
    bool has_values = layer->fused_qkv || has_weight(layer, SY__ROLE_VALUE);
    h.k = project_part(b, "attn_k", x, SY__ROLE_KEY, i_layer, n_q, n_k);
    h.v = has_values ? project_part(b, "attn_v", x, SY__ROLE_VALUE, i_layer, n_q + n_k, n_v) : h.k;
    if (b->architecture->family->value_norm) {
        h.v = value_norm(b, h.v, layer);
    }
    if (has_weight(layer, SY__ROLE_KEY_NORM)) {
        h.k = head_norm(b, "attn_k_norm", h.k, SY__ROLE_KEY_NORM, i_layer, layer->n_kv_heads);
    }
    h.k = rotate(b, "attn_k_rope", h.k, layer, layer->n_kv_heads);
    return h;
}

/* The states of a layer, or those of the earlier layer that it reads. */
static void add_states(sy__builder *b, uint32_t i_layer, sy__operation *attention) {
    const sy__layer *layer = &b->architecture->layers[i_layer];
    if (layer->i_states == i_layer) {
        b->key_states[i_layer] = sy__emit_state(b, "attn.key", b->options->key_type,
                                                (uint64_t)layer->n_kv_heads * layer->key_length);
        b->value_states[i_layer] =
            sy__emit_state(b, "attn.value", b->options->value_type,
                           (uint64_t)layer->n_kv_heads * layer->value_length);
    }
    attention->inputs[attention->n_inputs++] = b->key_states[layer->i_states];
    attention->inputs[attention->n_inputs++] = b->value_states[layer->i_states];
}

static uint32_t attend(sy__builder *b, uint32_t i_layer, uint32_t x) {
    const sy__architecture *a = b->architecture;
    const sy__layer *layer = &a->layers[i_layer];
    heads h = project_heads(b, i_layer, x);
    sy__operation attention = {
        .op = "Attention",
        .n_inputs = 3,
        .inputs = {h.q, h.k, h.v},
        .n_attributes = 6,
        .attributes = {sy__int_attribute("num_heads", layer->n_heads),
                       sy__int_attribute("num_kv_heads", layer->n_kv_heads),
                       sy__float_attribute("scale", (double)a->attention_scale),
                       sy__float_attribute("softcap", (double)a->attention_softcap),
                       sy__int_attribute("window", layer->window),
                       sy__int_attribute("causal", a->causal)}};
    if (a->causal && a->has_output) { /* what is pooled is read in one step */
        add_states(b, i_layer, &attention);
    }
    if (has_weight(layer, SY__ROLE_ATTENTION_SINKS)) {
        attention.inputs[attention.n_inputs++] =
            sy__emit_vector(b, SY__ROLE_ATTENTION_SINKS, i_layer, SY__PART_WEIGHT, 0, 0);
    }
    uint32_t y = sy__emit_node(b, "attn", &attention);
    return sy__emit_product(b, "attn_output", y, SY__ROLE_ATTENTION_OUTPUT, i_layer, 0, 0);
}

static uint32_t activate(sy__builder *b, uint32_t x) {
    sy__operation act = {
        .op = "Gelu", .version = 20, .n_inputs = 1, .inputs = {x}, .n_attributes = 1};
    switch (b->architecture->activation) {
    case SY__ACTIVATION_SILU:
        act.op = "Swish";
        act.version = 24;
        act.n_attributes = 0;
        break;
    case SY__ACTIVATION_GELU_TANH:
        act.attributes[0] = sy__string_attribute("approximate", "tanh");
        break;
    default:
        act.attributes[0] = sy__string_attribute("approximate", "none");
    }
    return sy__emit_node(b, "ffn_act", &act);
}

uint32_t sy__emit_gated(sy__builder *b, uint32_t gate, uint32_t up) {
    uint32_t open = activate(b, gate);
    return sy__emit_node(
        b, "ffn_gated",
        &(sy__operation){.op = "Mul", .version = 14, .n_inputs = 2, .inputs = {open, up}});
}

static uint32_t feed_forward(sy__builder *b, uint32_t i_layer, uint32_t x) {
    const sy__layer *layer = &b->architecture->layers[i_layer];
    uint32_t y;
    if (b->architecture->gated) {
        bool fused = layer->fused_gate_up;
        uint32_t gate = sy__emit_product(b, "ffn_gate", x, fused ? SY__ROLE_UP : SY__ROLE_GATE,
                                         i_layer, 0, layer->n_ff);
        uint32_t up = sy__emit_product(b, "ffn_up", x, SY__ROLE_UP, i_layer,
                                       fused ? layer->n_ff : 0, layer->n_ff);
        gate = layer->sparsity > 0 ? sy__emit_sparse_gate(b, i_layer, gate) : gate;
        y = sy__emit_gated(b, gate, up);
    } else {
        y = activate(b, sy__emit_product(b, "ffn_up", x, SY__ROLE_UP, i_layer, 0, 0));
    }
    return sy__emit_product(b, "ffn_down", y, SY__ROLE_DOWN, i_layer, 0, 0);
}

/* Attention or what stands in its place, and the feed-forward, each with its norms and residual. */
static uint32_t build_blocks(sy__builder *b, uint32_t i_layer, uint32_t x) {
    const sy__layer *layer = &b->architecture->layers[i_layer];
    sy__norm_place place = b->architecture->norm_place;
    uint32_t y = x;
    if (has_weight(layer, SY__ROLE_ATTENTION_NORM)) {
        y = sy__emit_norm(b, "attn_norm", x, SY__ROLE_ATTENTION_NORM, i_layer);
    }
    uint32_t beside = has_weight(layer, SY__ROLE_LAUREL_LEFT) ? sy__emit_laurel(b, i_layer, y) : 0;
    y = layer->is_convolution ? sy__emit_convolution(b, i_layer, y) : attend(b, i_layer, y);
    if (place == SY__NORM_BOTH) {
        y = sy__emit_norm(b, "attn_post_norm", y, SY__ROLE_ATTENTION_POST_NORM, i_layer);
    }
    x = sy__emit_add(b, "attn_residual", y, x);
    if (has_weight(layer, SY__ROLE_LAUREL_LEFT)) {
        x = sy__emit_add(b, "attn_laurel", x, beside);
        x = sy__emit_scalar(b, "Mul", "attn_laurel_scaled", x, 0.70710678f); /* 1 / sqrt(2) */
    }
    if (place == SY__NORM_POST) {
        x = sy__emit_norm(b, "attn_output_norm", x, SY__ROLE_ATTENTION_OUTPUT_NORM, i_layer);
    }
    y = x;
    if (place != SY__NORM_POST) {
        y = sy__emit_norm(b, "ffn_norm", x, SY__ROLE_FFN_NORM, i_layer);
    }
    y = layer->has_experts ? sy__emit_experts(b, i_layer, y) : feed_forward(b, i_layer, y);
    if (place == SY__NORM_BOTH) {
        y = sy__emit_norm(b, "ffn_post_norm", y, SY__ROLE_FFN_POST_NORM, i_layer);
    }
    x = sy__emit_add(b, "ffn_residual", y, x);
    if (place == SY__NORM_POST) {
        x = sy__emit_norm(b, "layer_output_norm", x, SY__ROLE_LAYER_OUTPUT_NORM, i_layer);
    }
    return x;
}

/* What Gemma 4 does behind the blocks. */
static uint32_t build_end(sy__builder *b, uint32_t i_layer, uint32_t x) {
    const sy__layer *layer = &b->architecture->layers[i_layer];
    if (has_weight(layer, SY__ROLE_LAYER_INPUT_GATE)) {
        x = sy__emit_add(b, "layer_input_residual", sy__emit_layer_input(b, i_layer, x), x);
    }
    if (has_weight(layer, SY__ROLE_LAYER_SCALE)) {
        uint32_t scale = sy__emit_vector(b, SY__ROLE_LAYER_SCALE, i_layer, SY__PART_WEIGHT, 0, 0);
        x = sy__emit_node(
            b, "layer_scaled",
            &(sy__operation){.op = "Mul", .version = 14, .n_inputs = 2, .inputs = {x, scale}});
    }
    return x;
}

uint32_t sy__emit_layer(sy__builder *b, uint32_t i_layer, uint32_t x) {
    snprintf(b->prefix, sizeof(b->prefix), "blk.%u.", i_layer);
    if (b->architecture->n_altup > 0) {
        uint32_t active = 0, rows = sy__emit_altup_predict(b, i_layer, x, &active);
        uint32_t found = build_blocks(b, i_layer, active);
        x = sy__emit_altup_correct(b, i_layer, rows, active, found);
    } else {
        x = build_end(b, i_layer, build_blocks(b, i_layer, x));
    }
    b->prefix[0] = '\0';
    return x;
}
