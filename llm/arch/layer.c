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
    uint32_t w = sy__emit_matrix(b, role, i_layer, first, n);
    uint32_t y =
        sy__emit_node(b, name, &(sy__operation){.op = "Linear", .n_inputs = 2, .inputs = {x, w}});
    if ((layer->scales & SY__ROLE_BIT(role)) != 0) {
        y = sy__emit_scale(b, name, y, role, i_layer);
    }
    if (has_bias(layer, role)) {
        y = sy__emit_add(b, name, y, sy__emit_vector(b, role, i_layer, SY__PART_BIAS, first, n));
    }
    return y;
}

static uint32_t reshape(sy__builder *b, const char *name, uint32_t x, const int64_t *shape,
                        uint32_t n) {
    uint32_t to = sy__emit_ints(b, "shape", shape, n);
    return sy__emit_node(
        b, name,
        &(sy__operation){.op = "Reshape", .version = 14, .n_inputs = 2, .inputs = {x, to}});
}

/* RMSNormalization of every head on its own. */
static uint32_t head_norm(sy__builder *b, const char *name, uint32_t x, sy__role role,
                          uint32_t i_layer, uint32_t n_heads) {
    int64_t length = b->architecture->key_length;
    const int64_t split[3] = {0, n_heads, length}, joined[2] = {0, (int64_t)n_heads * length};
    uint32_t heads = reshape(b, "split_heads", x, split, 3);
    heads = sy__emit_norm(b, name, heads, role, i_layer);
    return reshape(b, "join_heads", heads, joined, 2);
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

static uint32_t state(sy__builder *b, const char *name, sy_element_type type, uint64_t width) {
    char full_name[64];
    snprintf(full_name, sizeof(full_name), "%s%s", b->prefix, name);
    sy_value_view view = {.name = full_name, .kind = SY_VALUE_STATE, .type = type, .rank = 2};
    view.dims[0].bound = b->options->n_context_tokens;
    view.dims[1].bound = (int64_t)width;
    view.data.fd = -1;
    return sy__emit_value(b, &view);
}

typedef struct heads {
    uint32_t q, k, v;
} heads;

static heads project_heads(sy__builder *b, uint32_t i_layer, uint32_t x) {
    const sy__architecture *a = b->architecture;
    const sy__layer *layer = &a->layers[i_layer];
    uint64_t n_q = (uint64_t)layer->n_heads * a->key_length;
    uint64_t n_k = (uint64_t)layer->n_kv_heads * a->key_length;
    uint64_t n_v = (uint64_t)layer->n_kv_heads * a->value_length;
    heads h;
    if (layer->fused_qkv) {
        h.q = sy__emit_product(b, "attn_q", x, SY__ROLE_QKV, i_layer, 0, n_q);
        h.k = sy__emit_product(b, "attn_k", x, SY__ROLE_QKV, i_layer, n_q, n_k);
        h.v = sy__emit_product(b, "attn_v", x, SY__ROLE_QKV, i_layer, n_q + n_k, n_v);
    } else {
        h.q = sy__emit_product(b, "attn_q", x, SY__ROLE_QUERY, i_layer, 0, n_q);
        h.k = sy__emit_product(b, "attn_k", x, SY__ROLE_KEY, i_layer, 0, n_k);
        h.v = sy__emit_product(b, "attn_v", x, SY__ROLE_VALUE, i_layer, 0, n_v);
    }
    if (has_weight(layer, SY__ROLE_QUERY_NORM)) {
        h.q = head_norm(b, "attn_q_norm", h.q, SY__ROLE_QUERY_NORM, i_layer, layer->n_heads);
    }
    if (has_weight(layer, SY__ROLE_KEY_NORM)) {
        h.k = head_norm(b, "attn_k_norm", h.k, SY__ROLE_KEY_NORM, i_layer, layer->n_kv_heads);
    }
    h.q = rotate(b, "attn_q_rope", h.q, layer, layer->n_heads);
    h.k = rotate(b, "attn_k_rope", h.k, layer, layer->n_kv_heads);
    return h;
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
    if (a->causal) {
        attention.inputs[attention.n_inputs++] =
            state(b, "attn.key", b->options->key_type, (uint64_t)layer->n_kv_heads * a->key_length);
        attention.inputs[attention.n_inputs++] = state(
            b, "attn.value", b->options->value_type, (uint64_t)layer->n_kv_heads * a->value_length);
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
        y = sy__emit_gated(b, gate, up);
    } else {
        y = activate(b, sy__emit_product(b, "ffn_up", x, SY__ROLE_UP, i_layer, 0, 0));
    }
    return sy__emit_product(b, "ffn_down", y, SY__ROLE_DOWN, i_layer, 0, 0);
}

uint32_t sy__emit_layer(sy__builder *b, uint32_t i_layer, uint32_t x) {
    sy__norm_place place = b->architecture->norm_place;
    snprintf(b->prefix, sizeof(b->prefix), "blk.%u.", i_layer);
    uint32_t y = x;
    if (place != SY__NORM_POST) {
        y = sy__emit_norm(b, "attn_norm", x, SY__ROLE_ATTENTION_NORM, i_layer);
    }
    y = attend(b, i_layer, y);
    if (place == SY__NORM_BOTH) {
        y = sy__emit_norm(b, "attn_post_norm", y, SY__ROLE_ATTENTION_POST_NORM, i_layer);
    }
    x = sy__emit_add(b, "attn_residual", y, x);
    if (place == SY__NORM_POST) {
        x = sy__emit_norm(b, "attn_output_norm", x, SY__ROLE_ATTENTION_OUTPUT_NORM, i_layer);
    }
    y = x;
    if (place != SY__NORM_POST) {
        y = sy__emit_norm(b, "ffn_norm", x, SY__ROLE_FFN_NORM, i_layer);
    }
    bool has_experts = b->architecture->layers[i_layer].has_experts;
    y = has_experts ? sy__emit_experts(b, i_layer, y) : feed_forward(b, i_layer, y);
    if (place == SY__NORM_BOTH) {
        y = sy__emit_norm(b, "ffn_post_norm", y, SY__ROLE_FFN_POST_NORM, i_layer);
    }
    x = sy__emit_add(b, "ffn_residual", y, x);
    if (place == SY__NORM_POST) {
        x = sy__emit_norm(b, "layer_output_norm", x, SY__ROLE_LAYER_OUTPUT_NORM, i_layer);
    }
    b->prefix[0] = '\0';
    return x;
}
