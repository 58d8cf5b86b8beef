/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a tiny model of any family: the keys and tensors that a real file of it carries, with
 * knobs to leave one out or spoil one. Weights are zeros; nothing here is run. */
#ifndef SY_TESTS_TINY_MODEL_H
#define SY_TESTS_TINY_MODEL_H

#include "arch/description.h"
#include "gguf/gguf_writer.h"

#define TINY_LAYERS 4u
#define TINY_EMBD 32u
#define TINY_HEADS 4u
#define TINY_KV_HEADS 2u
#define TINY_HEAD 8u
#define TINY_FF 64u
#define TINY_EXPERTS 3u
#define TINY_CONVOLVED 3u
#define TINY_ALTUP 3u
#define TINY_LAUREL 8u
#define TINY_PER_LAYER 8u
#define TINY_VOCAB 20u
#define TINY_CONTEXT 128u
#define TINY_TENSORS_MAX 256u

typedef struct tiny_tensor {
    char name[192];
    uint64_t dims[3];
    sy_element_type type;
} tiny_tensor;

typedef struct tiny_model {
    const char *family;
    const char *leave_out; /* a key suffix or tensor name, or NULL */
    const char *extra_tensor;
    bool fused; /* attn_qkv and a double ffn_up */
    bool tied;
    bool rope_factors, longrope;
    void (*more_keys)(gguf_writer *writer); /* adds n_more_keys keys of its own */
    uint32_t n_more_keys;
    uint32_t n_layers;   /* 0: TINY_LAYERS */
    uint32_t n_kv_heads; /* 0: TINY_KV_HEADS */
    tiny_tensor tensors[TINY_TENSORS_MAX];
    uint32_t n_tensors, n_keys;
} tiny_model;

static inline bool tiny_is(const tiny_model *model, const char *a) {
    return strcmp(model->family, a) == 0;
}
static inline bool tiny_is_encoder(const tiny_model *model) {
    return tiny_is(model, "bert") || tiny_is(model, "nomic-bert");
}

/* Norms on both sides, norms of heads. */
static inline bool tiny_is_late_gemma(const tiny_model *model) {
    return tiny_is(model, "gemma3") || tiny_is(model, "gemma3n") || tiny_is(model, "gemma4") ||
           tiny_is(model, "gemma-embedding");
}
static inline bool tiny_has_experts(const tiny_model *model) {
    return tiny_is(model, "qwen2moe") || tiny_is(model, "qwen3moe") || tiny_is(model, "gpt-oss");
}

static inline void tiny_add(tiny_model *model, const char *name, uint64_t inputs,
                            uint64_t outputs) {
    if (model->leave_out != NULL && strcmp(model->leave_out, name) == 0) {
        return;
    }
    CHECK(model->n_tensors < TINY_TENSORS_MAX);
    tiny_tensor *tensor = &model->tensors[model->n_tensors++];
    snprintf(tensor->name, sizeof(tensor->name), "%s", name);
    tensor->dims[0] = inputs;
    tensor->dims[1] = outputs;
    bool is_altup =
        strcmp(name, "altup_proj.weight") == 0 || strcmp(name, "altup_unembd_proj.weight") == 0;
    tensor->dims[2] = is_altup                               ? TINY_ALTUP - 1
                      : strstr(name, "_exps.weight") != NULL ? TINY_EXPERTS
                                                             : 1;
    tensor->type = outputs > 1 && inputs % 32 == 0 ? SY_TYPE_Q8_0 : SY_TYPE_F32;
}

static inline void tiny_add_layer(tiny_model *model, uint32_t i, const char *name, uint64_t inputs,
                                  uint64_t outputs) {
    char full[160];
    snprintf(full, sizeof(full), "blk.%u.%s", i, name);
    tiny_add(model, full, inputs, outputs);
}

static inline void tiny_add_norm(tiny_model *model, uint32_t i, const char *name, uint64_t n) {
    char full[64];
    snprintf(full, sizeof(full), "%s.weight", name);
    tiny_add_layer(model, i, full, n, 1);
    if (tiny_is_encoder(model)) {
        snprintf(full, sizeof(full), "%s.bias", name);
        tiny_add_layer(model, i, full, n, 1);
    }
}

static inline uint32_t tiny_kv_heads(const tiny_model *model) {
    return model->n_kv_heads == 0 ? TINY_KV_HEADS : model->n_kv_heads;
}

/* Every other layer of LFM2 is a convolution, from the first on. */
static inline bool tiny_convolves(const tiny_model *model, uint32_t i_layer) {
    return tiny_is(model, "lfm2") && i_layer % 2 == 0;
}

static inline void tiny_convolution(tiny_model *model, uint32_t i) {
    tiny_add_layer(model, i, "shortconv.in_proj.weight", TINY_EMBD, 3 * TINY_EMBD);
    tiny_add_layer(model, i, "shortconv.conv.weight", TINY_CONVOLVED, TINY_EMBD);
    tiny_add_layer(model, i, "shortconv.out_proj.weight", TINY_EMBD, TINY_EMBD);
}

static inline void tiny_attention(tiny_model *model, uint32_t i) {
    uint64_t q = TINY_HEADS * TINY_HEAD, kv = tiny_kv_heads(model) * TINY_HEAD;
    if (model->fused) {
        tiny_add_layer(model, i, "attn_qkv.weight", TINY_EMBD, q + 2 * kv);
    } else {
        tiny_add_layer(model, i, "attn_q.weight", TINY_EMBD, q);
        tiny_add_layer(model, i, "attn_k.weight", TINY_EMBD, kv);
        tiny_add_layer(model, i, "attn_v.weight", TINY_EMBD, kv);
    }
    if (tiny_is(model, "qwen2")) {
        tiny_add_layer(model, i, "attn_q.bias", q, 1);
        tiny_add_layer(model, i, "attn_k.bias", kv, 1);
        tiny_add_layer(model, i, "attn_v.bias", kv, 1);
    }
    tiny_add_layer(model, i, "attn_output.weight", q, TINY_EMBD);
    if (tiny_is(model, "bert")) {
        tiny_add_layer(model, i, "attn_output.bias", TINY_EMBD, 1);
    }
}

static inline void tiny_altup(tiny_model *model, uint32_t i) {
    tiny_add_layer(model, i, "altup_router.weight", TINY_EMBD, TINY_ALTUP);
    tiny_add_layer(model, i, "altup_router_norm.weight", TINY_EMBD, 1);
    tiny_add_layer(model, i, "altup_predict_coef.weight", TINY_ALTUP, TINY_ALTUP * TINY_ALTUP);
    tiny_add_layer(model, i, "altup_correct_coef.weight", TINY_ALTUP, TINY_ALTUP);
    tiny_add_layer(model, i, "altup_correct_scale.weight", TINY_EMBD, 1);
    tiny_add_layer(model, i, "laurel_l.weight", TINY_EMBD, TINY_LAUREL);
    tiny_add_layer(model, i, "laurel_r.weight", TINY_LAUREL, TINY_EMBD);
    tiny_add_layer(model, i, "laurel_post_norm.weight", TINY_EMBD, 1);
    tiny_add_layer(model, i, "inp_gate.weight", TINY_EMBD, TINY_PER_LAYER);
    tiny_add_layer(model, i, "proj.weight", TINY_PER_LAYER, TINY_EMBD);
    tiny_add_layer(model, i, "post_norm.weight", TINY_EMBD, 1);
}

static inline void tiny_experts(tiny_model *model, uint32_t i) {
    tiny_add_layer(model, i, "ffn_gate_inp.weight", TINY_EMBD, TINY_EXPERTS);
    tiny_add_layer(model, i, "ffn_gate_exps.weight", TINY_EMBD, TINY_FF);
    tiny_add_layer(model, i, "ffn_up_exps.weight", TINY_EMBD, TINY_FF);
    tiny_add_layer(model, i, "ffn_down_exps.weight", TINY_FF, TINY_EMBD);
    if (tiny_is(model, "gpt-oss")) {
        tiny_add_layer(model, i, "attn_sinks.weight", TINY_HEADS, 1);
    }
}

static inline void tiny_layer(tiny_model *model, uint32_t i) {
    bool encoder = tiny_is_encoder(model);
    bool both = tiny_is(model, "gemma2") || tiny_is_late_gemma(model);
    bool convolves = tiny_convolves(model, i);
    if (convolves) {
        tiny_convolution(model, i);
    } else {
        tiny_attention(model, i);
    }
    if (i > 0 || !tiny_is(model, "modern-bert")) {
        tiny_add_norm(model, i, encoder ? "attn_output_norm" : "attn_norm", TINY_EMBD);
    }
    const char *ffn_norm = tiny_is(model, "gpt-oss") ? "post_attention_norm" : "ffn_norm";
    tiny_add_norm(model, i, encoder ? "layer_output_norm" : ffn_norm, TINY_EMBD);
    if (both) {
        tiny_add_norm(model, i, "post_attention_norm", TINY_EMBD);
        tiny_add_norm(model, i, "post_ffw_norm", TINY_EMBD);
    }
    if (tiny_is_late_gemma(model) || tiny_is(model, "qwen3") || tiny_is(model, "qwen3moe") ||
        (tiny_is(model, "lfm2") && !convolves)) {
        tiny_add_norm(model, i, "attn_q_norm", TINY_HEAD);
        tiny_add_norm(model, i, "attn_k_norm", TINY_HEAD);
    }
    if (tiny_is(model, "gemma3n")) {
        tiny_altup(model, i);
    }
    if (tiny_has_experts(model)) {
        tiny_experts(model, i);
        return;
    }
    if (!model->fused && !tiny_is(model, "bert")) {
        tiny_add_layer(model, i, "ffn_gate.weight", TINY_EMBD, TINY_FF);
    }
    tiny_add_layer(model, i, "ffn_up.weight", TINY_EMBD, model->fused ? 2 * TINY_FF : TINY_FF);
    tiny_add_layer(model, i, "ffn_down.weight", TINY_FF, TINY_EMBD);
}

static inline void tiny_tensors(tiny_model *model) {
    uint32_t n_layers = model->n_layers == 0 ? TINY_LAYERS : model->n_layers;
    model->n_tensors = 0;
    tiny_add(model, "token_embd.weight", TINY_EMBD, TINY_VOCAB);
    if (tiny_is_encoder(model)) {
        tiny_add(model, "token_embd_norm.weight", TINY_EMBD, 1);
        tiny_add(model, "token_embd_norm.bias", TINY_EMBD, 1);
        tiny_add(model, "token_types.weight", TINY_EMBD, 2);
    } else {
        bool renamed = tiny_is(model, "lfm2");
        tiny_add(model, renamed ? "token_embd_norm.weight" : "output_norm.weight", TINY_EMBD, 1);
    }
    if (tiny_is(model, "gemma3n")) {
        tiny_add(model, "altup_proj.weight", TINY_EMBD, TINY_EMBD);
        tiny_add(model, "altup_unembd_proj.weight", TINY_EMBD, TINY_EMBD);
        tiny_add(model, "per_layer_token_embd.weight", TINY_PER_LAYER * n_layers, TINY_VOCAB);
        tiny_add(model, "per_layer_model_proj.weight", TINY_EMBD, TINY_PER_LAYER * n_layers);
        tiny_add(model, "per_layer_proj_norm.weight", TINY_PER_LAYER, 1);
    }
    if (tiny_is(model, "modern-bert")) {
        tiny_add(model, "token_embd_norm.weight", TINY_EMBD, 1);
    }
    if (tiny_is(model, "bert")) {
        tiny_add(model, "position_embd.weight", TINY_EMBD, TINY_CONTEXT);
    }
    if (!model->tied && !tiny_is_encoder(model)) {
        tiny_add(model, "output.weight", TINY_EMBD, TINY_VOCAB);
    }
    if (model->rope_factors) {
        tiny_add(model, "rope_freqs.weight", TINY_HEAD / 2, 1);
    }
    if (model->longrope) {
        tiny_add(model, "rope_factors_long.weight", TINY_HEAD / 2, 1);
        tiny_add(model, "rope_factors_short.weight", TINY_HEAD / 2, 1);
    }
    for (uint32_t i = 0; i < n_layers; i++) {
        tiny_layer(model, i);
    }
    if (model->extra_tensor != NULL) {
        tiny_add(model, model->extra_tensor, TINY_EMBD, TINY_EMBD);
    }
}

/* A key "FAMILY.suffix", unless it is left out. */
static inline bool tiny_key(tiny_model *model, const char *suffix, char *out_key) {
    if (model->leave_out != NULL && strcmp(model->leave_out, suffix) == 0) {
        return false;
    }
    snprintf(out_key, 128, "%s.%s", model->family, suffix);
    model->n_keys++;
    return true;
}

static inline void tiny_key_u32(tiny_model *model, gguf_writer *writer, const char *suffix,
                                uint32_t number) {
    char key[128];
    if (tiny_key(model, suffix, key)) {
        writer_key_u32(writer, key, number);
    }
}

static inline void tiny_keys_of_kv_heads(tiny_model *model, gguf_writer *writer) {
    char key[128];
    if (!tiny_is(model, "lfm2")) {
        tiny_key_u32(model, writer, "attention.head_count_kv", tiny_kv_heads(model));
    } else if (tiny_key(model, "attention.head_count_kv", key)) {
        uint32_t n_layers = model->n_layers == 0 ? TINY_LAYERS : model->n_layers;
        writer_key_array(writer, key, SY_GGUF_U32, n_layers);
        for (uint32_t i = 0; i < n_layers; i++) {
            uint32_t n = tiny_convolves(model, i) ? 0 : tiny_kv_heads(model);
            writer_put(writer, &n, sizeof(n));
        }
    }
}

static inline void tiny_keys(tiny_model *model, gguf_writer *writer) {
    char key[128];
    model->n_keys = 1;
    writer_key_string(writer, "general.architecture", model->family);
    tiny_key_u32(model, writer, "block_count",
                 model->n_layers == 0 ? TINY_LAYERS : model->n_layers);
    tiny_key_u32(model, writer, "embedding_length", TINY_EMBD);
    tiny_key_u32(model, writer, "context_length", TINY_CONTEXT);
    tiny_key_u32(model, writer, "feed_forward_length", TINY_FF);
    tiny_key_u32(model, writer, "attention.head_count", TINY_HEADS);
    tiny_keys_of_kv_heads(model, writer);
    bool has_layer_norm = tiny_is_encoder(model) || tiny_is(model, "modern-bert");
    const char *epsilon =
        has_layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
    if (tiny_key(model, epsilon, key)) {
        writer_key_f32(writer, key, 1e-6f);
    }
    if (tiny_is(model, "gemma3n")) {
        tiny_key_u32(model, writer, "altup.num_inputs", TINY_ALTUP);
        tiny_key_u32(model, writer, "embedding_length_per_layer_input", TINY_PER_LAYER);
    }
    if (tiny_is(model, "lfm2")) {
        tiny_key_u32(model, writer, "shortconv.l_cache", TINY_CONVOLVED);
    }
    if (tiny_has_experts(model)) {
        tiny_key_u32(model, writer, "expert_count", TINY_EXPERTS);
        tiny_key_u32(model, writer, "expert_used_count", 2);
    }
    if (model->more_keys != NULL) {
        model->more_keys(writer);
        model->n_keys += model->n_more_keys;
    }
}

/* The whole file. */
static inline void tiny_write(tiny_model *model, gguf_writer *writer) {
    uint64_t offset = 0, n_bytes = 0;
    tiny_tensors(model);
    writer_header(writer, model->n_tensors, 0);
    tiny_keys(model, writer);
    uint64_t n_keys = model->n_keys;
    memcpy(writer->bytes + writer_find(writer, "header.n_keys")->offset, &n_keys, 8);
    for (uint32_t i = 0; i < model->n_tensors; i++) {
        const tiny_tensor *tensor = &model->tensors[i];
        uint32_t rank = tensor->dims[2] > 1 ? 3 : 2;
        writer_tensor(writer, tensor->name, rank, tensor->dims, tensor->type, offset);
        CHECK(sy_type_row_bytes(tensor->type, tensor->dims[0], &n_bytes) == SY_OK);
        offset += (n_bytes * tensor->dims[1] * tensor->dims[2] + 31) / 32 * 32;
    }
    writer_align(writer, 32);
    for (uint64_t i = 0; i < offset; i += 4) {
        writer_put(writer, &(float){1.0f}, 4);
    }
}

#endif
