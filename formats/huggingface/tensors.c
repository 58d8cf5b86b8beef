/* SPDX-License-Identifier: Apache-2.0 */
/* Names of transformers' weights to those of GGUF. A tensor that has no place is a refusal: leaving
 * it out would give plausible nonsense. */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct name_pair {
    const char *theirs, *ours;
} name_pair;

static const name_pair model_names[] = {
    {"embed_tokens.weight", "token_embd.weight"},
    {"norm.weight", "output_norm.weight"},
    {"embeddings.word_embeddings.weight", "token_embd.weight"},
    {"embeddings.position_embeddings.weight", "position_embd.weight"},
    {"embeddings.token_type_embeddings.weight", "token_types.weight"},
    {"embeddings.LayerNorm.weight", "token_embd_norm.weight"},
    {"embeddings.LayerNorm.bias", "token_embd_norm.bias"},
};
#define N_MODEL_NAMES (sizeof(model_names) / sizeof(model_names[0]))

/* Without ".weight" or ".bias". The first four norms differ by family. */
static const name_pair layer_names[] = {
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.qkv_proj", "attn_qkv"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"self_attn.o_proj", "attn_output"},
    {"pre_feedforward_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.gate_up_proj", "ffn_up"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
    {"attention.self.query", "attn_q"},
    {"attention.self.key", "attn_k"},
    {"attention.self.value", "attn_v"},
    {"attention.output.dense", "attn_output"},
    {"attention.output.LayerNorm", "attn_output_norm"},
    {"intermediate.dense", "ffn_up"},
    {"output.dense", "ffn_down"},
    {"output.LayerNorm", "layer_output_norm"},
    {"post_attention_layernorm", "post_attention_norm"}, /* of families with four norms */
    {"post_attention_layernorm", "ffn_norm"},            /* of the others */
};
#define N_LAYER_NAMES (sizeof(layer_names) / sizeof(layer_names[0]))
#define N_PARTS 2u /* weight, bias */

static const char hint_weights[] = "The folder has a part that this build does not run; take "
                                   "another variant of the model.";

/* Buffers and heads that the model does not need for what it does here. */
static bool is_left_out(const sy__hf *hf, const char *name) {
    static const char *const prefixes[] = {"vision_tower.",
                                           "multi_modal_projector.",
                                           "model.vision_tower.",
                                           "model.multi_modal_projector.",
                                           "pooler.",
                                           "bert.pooler.",
                                           "cls."};
    static const char *const ends[] = {"rotary_emb.inv_freq", "embeddings.position_ids"};
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        bool fits = i < 4 ? hf->root != 0 : hf->family->is_encoder;
        if (fits && strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        size_t n_end = strlen(ends[i]);
        if (n >= n_end && strcmp(name + n - n_end, ends[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* What stands before "embed_tokens" or "embeddings" in this folder. */
static const char *find_prefix(const sy__hf *hf) {
    static const char *const prefixes[] = {"model.", "", "language_model.model.",
                                           "model.language_model.", "bert."};
    const char *first =
        hf->family->is_encoder ? "embeddings.word_embeddings.weight" : "embed_tokens.weight";
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        char name[SY_LIMIT_NAME_BYTES + 1];
        sy_safetensor tensor;
        snprintf(name, sizeof(name), "%s%s", prefixes[i], first);
        if (sy_safetensors_find(hf->keep->weights, name, &tensor)) {
            return prefixes[i];
        }
    }
    return NULL;
}

void sy__hf_add_vector(sy__hf *hf, const char *name, const float *numbers, uint64_t n) {
    sy_gguf_tensor tensor = {.name = {name, strlen(name)},
                             .type = SY_TYPE_F32,
                             .rank = 1,
                             .dims = {n, 1, 1, 1},
                             .data = numbers};
    sy_gguf_writer_add_tensor(hf->writer, &tensor);
}

static float widened(sy_element_type type, const uint8_t *bytes) {
    uint32_t bits = 0;
    float value = 0.0f;
    memcpy(&bits, bytes, type == SY_TYPE_F32 ? 4 : 2);
    if (type == SY_TYPE_F16) {
        uint32_t exponent = bits >> 10 & 31u, fraction = bits & 1023u;
        value = exponent == 0 ? (float)fraction * 0x1p-24f : 0.0f;
        if (exponent == 0) {
            return (bits & 0x8000u) != 0 ? -value : value;
        }
        exponent = exponent == 31 ? 255 : exponent + 112;
        bits = (bits & 0x8000u) << 16 | exponent << 23 | fraction << 13;
    } else if (type == SY_TYPE_BF16) {
        bits <<= 16;
    }
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* Norms are kept in f32, those of Gemma with the 1 that its formula adds. */
static bool add_norm(sy__hf *hf, const char *name, const sy_safetensor *from) {
    float *numbers = sy__arena_alloc(&hf->keep->arena, (size_t)from->n_elements, sizeof(float));
    size_t step = from->type == SY_TYPE_F32 ? 4 : 2;
    if (numbers == NULL) {
        return sy__hf_no_memory(hf, "norms");
    }
    for (uint64_t i = 0; i < from->n_elements; i++) {
        numbers[i] = widened(from->type, (const uint8_t *)from->data + i * step);
        numbers[i] += hf->family->norm_plus_one ? 1.0f : 0.0f;
    }
    sy__hf_add_vector(hf, name, numbers, from->n_elements);
    return true;
}

static bool add_tensor(sy__hf *hf, const char *ours, const sy_safetensor *from) {
    char *name = sy__arena_string(&hf->scratch, ours, strlen(ours));
    uintptr_t size = from->type == SY_TYPE_F32 ? 4 : 2;
    bool is_float =
        from->type == SY_TYPE_F32 || from->type == SY_TYPE_F16 || from->type == SY_TYPE_BF16;
    if (name == NULL) {
        return sy__hf_no_memory(hf, "the names of tensors");
    }
    if (!is_float || from->rank < 1 || from->rank > 2 || from->n_elements == 0) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, "Take the model's weights in bf16, f16 or f32.",
                           "The tensor '%s' has type %s and %u dimensions; bf16, f16 or f32 in one "
                           "or two is read.",
                           from->name, from->dtype, from->rank);
    }
    if (strstr(ours, "norm.weight") != NULL || strstr(ours, "norm.bias") != NULL) {
        return add_norm(hf, name, from);
    }
    sy_gguf_tensor tensor = {.name = {name, strlen(name)},
                             .type = from->type,
                             .rank = from->rank,
                             .dims = {1, 1, 1, 1},
                             .data = from->data};
    for (uint32_t i = 0; i < from->rank; i++) {
        tensor.dims[i] = from->dims[from->rank - 1 - i];
    }
    if ((uintptr_t)from->data % size != 0) { /* the header's length was odd */
        void *copy = sy__arena_alloc(&hf->keep->arena, (size_t)from->n_bytes, 1);
        if (copy == NULL) {
            return sy__hf_no_memory(hf, "a tensor that lies askew in its file");
        }
        memcpy(copy, from->data, (size_t)from->n_bytes);
        tensor.data = copy;
    }
    sy_gguf_writer_add_tensor(hf->writer, &tensor);
    return true;
}

/* Which of our names a layer's tensor has: index into layer_names times N_PARTS plus part; -1. */
static int layer_slot(const sy__hf *hf, const char *suffix) {
    static const char *const parts[N_PARTS] = {".weight", ".bias"};
    for (size_t i = 0; i < N_LAYER_NAMES; i++) {
        size_t n = strlen(layer_names[i].theirs);
        bool is_post = i >= N_LAYER_NAMES - 2; /* one name, two meanings */
        if (strncmp(suffix, layer_names[i].theirs, n) != 0 ||
            (is_post && hf->family->post_norms != (i == N_LAYER_NAMES - 2))) {
            continue;
        }
        for (size_t part = 0; part < N_PARTS; part++) {
            if (strcmp(suffix + n, parts[part]) == 0) {
                return (int)(i * N_PARTS + part);
            }
        }
    }
    return -1;
}

/* Where every tensor goes: first the slots of the model, then those of each layer. */
typedef struct slots {
    uint32_t *tensors; /* index of the safetensor plus 1; 0 none */
    uint32_t output;   /* the same for lm_head.weight */
    size_t n;
} slots;

static bool place_layer(sy__hf *hf, slots *s, const char *name, const char *rest, uint32_t i) {
    uint64_t layer = 0;
    while (*rest >= '0' && *rest <= '9' && layer <= SY_LIMIT_LAYERS) {
        layer = layer * 10 + (uint64_t)(*rest++ - '0');
    }
    int slot = *rest == '.' ? layer_slot(hf, rest + 1) : -1;
    if (slot < 0 || layer >= hf->n_layers) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_weights,
                           "The tensor '%s' has no place in architecture '%s' of %u layers.", name,
                           hf->family->architecture, hf->n_layers);
    }
    s->tensors[N_MODEL_NAMES + layer * N_LAYER_NAMES * N_PARTS + (size_t)slot] = i + 1;
    return true;
}

static bool place(sy__hf *hf, slots *s, const char *prefix, uint32_t i) {
    sy_safetensor tensor;
    const char *layers = hf->family->is_encoder ? "encoder.layer." : "layers.";
    if (!sy_safetensors_at(hf->keep->weights, i, &tensor) || is_left_out(hf, tensor.name)) {
        return true;
    }
    const char *name = tensor.name;
    if (strcmp(name, "lm_head.weight") == 0 || strcmp(name, "language_model.lm_head.weight") == 0) {
        s->output = i + 1;
        return true;
    }
    if (strncmp(name, prefix, strlen(prefix)) == 0) {
        name += strlen(prefix);
        if (strncmp(name, layers, strlen(layers)) == 0) {
            return place_layer(hf, s, tensor.name, name + strlen(layers), i);
        }
        for (size_t k = 0; k < N_MODEL_NAMES; k++) {
            if (strcmp(name, model_names[k].theirs) == 0) {
                s->tensors[k] = i + 1;
                return true;
            }
        }
    }
    return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_weights,
                       "The tensor '%s' has no place in architecture '%s'.", tensor.name,
                       hf->family->architecture);
}

static bool add_slot(sy__hf *hf, const slots *s, size_t i_slot) {
    static const char *const parts[N_PARTS] = {"weight", "bias"};
    char name[64];
    sy_safetensor tensor;
    if (s->tensors[i_slot] == 0 ||
        !sy_safetensors_at(hf->keep->weights, s->tensors[i_slot] - 1, &tensor)) {
        return true;
    }
    if (i_slot < N_MODEL_NAMES) {
        const char *ours = model_names[i_slot].ours;
        if (strcmp(ours, "token_embd.weight") == 0 && tensor.rank == 2) {
            hf->n_rows = tensor.dims[0] < UINT32_MAX ? (uint32_t)tensor.dims[0] : 0;
        }
        return add_tensor(hf, ours, &tensor);
    }
    size_t in_layers = i_slot - N_MODEL_NAMES, of_layer = N_LAYER_NAMES * N_PARTS;
    snprintf(name, sizeof(name), "blk.%zu.%s.%s", in_layers / of_layer,
             layer_names[in_layers % of_layer / N_PARTS].ours, parts[in_layers % N_PARTS]);
    return add_tensor(hf, name, &tensor);
}

/* The output matrix, unless the embedding stands for it. */
static bool add_output(sy__hf *hf, uint32_t i_output) {
    static const char *const tied_types[] = {"gemma", "gemma2", "gemma3_text"};
    const sy__json_document *json = &hf->config.json;
    sy_safetensor tensor;
    bool by_default = false;
    for (size_t i = 0; i < sizeof(tied_types) / sizeof(tied_types[0]); i++) {
        by_default = by_default || strcmp(hf->family->model_type, tied_types[i]) == 0;
    }
    sy__json_index tie = sy__json_member(json, hf->root, "tie_word_embeddings");
    tie = tie != SY__JSON_NONE ? tie : sy__json_member(json, 0, "tie_word_embeddings");
    if (hf->family->is_encoder || sy__json_bool_of(json, tie, by_default)) {
        return true;
    }
    if (i_output == 0 || !sy_safetensors_at(hf->keep->weights, i_output - 1, &tensor)) {
        return sy__hf_fail(hf, SY_NOT_FOUND, "Fetch the missing file of the weights.",
                           "The tensor 'lm_head.weight' is missing.");
    }
    return add_tensor(hf, "output.weight", &tensor);
}

bool sy__hf_put_tensors(sy__hf *hf) {
    const char *prefix = find_prefix(hf);
    slots s = {.n = N_MODEL_NAMES + (size_t)hf->n_layers * N_LAYER_NAMES * N_PARTS};
    if (prefix == NULL) {
        return sy__hf_fail(hf, SY_NOT_FOUND, "Fetch the missing file of the weights.",
                           "The token embedding is missing.");
    }
    s.tensors = sy__arena_alloc(&hf->scratch, s.n, sizeof(*s.tensors));
    if (s.tensors == NULL) {
        return sy__hf_no_memory(hf, "the table of tensors");
    }
    uint32_t n_tensors = sy_safetensors_get_facts(hf->keep->weights)->n_tensors;
    for (uint32_t i = 0; i < n_tensors; i++) {
        if (!place(hf, &s, prefix, i)) {
            return false;
        }
    }
    for (size_t i = 0; i < s.n; i++) {
        if (!add_slot(hf, &s, i)) {
            return false;
        }
    }
    return add_output(hf, s.output);
}
