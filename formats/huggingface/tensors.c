/* SPDX-License-Identifier: Apache-2.0 */
/* Names of transformers' weights to those of GGUF. A tensor that has no place is a refusal: leaving
 * it out would give plausible nonsense. */
#include "internal.h"

#include "switchyard/quantize.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct known_name {
    const char *theirs, *ours;
    sy__hf_form form;
} known_name;

#define M SY__HF_MATRIX
#define V SY__HF_NUMBERS
#define N SY__HF_NORM

/* Behind the folder's prefix. */
static const known_name model_names[] = {
    {"embed_tokens.weight", "token_embd.weight", M},
    {"norm.weight", "output_norm.weight", N},
    {"embeddings.word_embeddings.weight", "token_embd.weight", M},
    {"embeddings.position_embeddings.weight", "position_embd.weight", M},
    {"embeddings.token_type_embeddings.weight", "token_types.weight", M},
    {"embeddings.LayerNorm.weight", "token_embd_norm.weight", N},
    {"embeddings.LayerNorm.bias", "token_embd_norm.bias", N},
    {"embeddings.tok_embeddings.weight", "token_embd.weight", M},
    {"embeddings.norm.weight", "token_embd_norm.weight", N},
    {"embeddings.norm.bias", "token_embd_norm.bias", N},
    {"final_norm.weight", "output_norm.weight", N},
    {"final_norm.bias", "output_norm.bias", N},
    {"embedding_norm.weight", "token_embd_norm.weight", N},
    {"embed_tokens_per_layer.weight", "per_layer_token_embd.weight", M},
    {"per_layer_model_projection.weight", "per_layer_model_proj.weight", M},
    {"per_layer_projection_norm.weight", "per_layer_proj_norm.weight", N},
    {"pooler.dense.weight", "cls.weight", M}, /* the head of a cross-encoder */
    {"pooler.dense.bias", "cls.bias", M},
};
#define N_MODEL_NAMES (sizeof(model_names) / sizeof(model_names[0]))

/* Without a prefix: the head of a cross-encoder. */
static const known_name head_names[] = {
    {"classifier.weight", "cls.output.weight", M}, {"classifier.bias", "cls.output.bias", M},
    {"head.dense.weight", "cls.weight", M},        {"head.dense.bias", "cls.bias", M},
    {"head.norm.weight", "cls.norm.weight", N},    {"head.norm.bias", "cls.norm.bias", N},
};
#define N_HEAD_NAMES (sizeof(head_names) / sizeof(head_names[0]))

/* Without ".weight" or ".bias". Two families never mean different things by one name, but for
 * post_attention_layernorm at the end. */
static const known_name layer_names[] = {
    {"input_layernorm", "attn_norm", N},
    {"self_attn.q_proj", "attn_q", M},
    {"self_attn.k_proj", "attn_k", M},
    {"self_attn.v_proj", "attn_v", M},
    {"self_attn.qkv_proj", "attn_qkv", M},
    {"self_attn.q_norm", "attn_q_norm", N},
    {"self_attn.k_norm", "attn_k_norm", N},
    {"self_attn.o_proj", "attn_output", M},
    {"self_attn.sinks", "attn_sinks", V},
    {"pre_feedforward_layernorm", "ffn_norm", N},
    {"mlp.gate_proj", "ffn_gate", M},
    {"mlp.gate_up_proj", "ffn_up", M},
    {"mlp.up_proj", "ffn_up", M},
    {"mlp.down_proj", "ffn_down", M},
    {"post_feedforward_layernorm", "post_ffw_norm", N},
    {"mlp.gate", "ffn_gate_inp", M}, /* experts */
    {"mlp.router", "ffn_gate_inp", M},
    {"block_sparse_moe.gate", "ffn_gate_inp", M},
    {"mlp.shared_expert_gate", "ffn_gate_inp_shexp", M},
    {"mlp.shared_expert.gate_proj", "ffn_gate_shexp", M},
    {"mlp.shared_expert.up_proj", "ffn_up_shexp", M},
    {"mlp.shared_expert.down_proj", "ffn_down_shexp", M},
    {"per_layer_input_gate", "inp_gate", M}, /* Gemma 3n and 4 */
    {"per_layer_projection", "proj", M},
    {"post_per_layer_input_norm", "post_norm", N},
    {"layer_scalar", "layer_output_scale", V},
    {"altup.modality_router", "altup_router", M},
    {"altup.router_norm", "altup_router_norm", N},
    {"altup.prediction_coefs", "altup_predict_coef", M},
    {"altup.correction_coefs", "altup_correct_coef", M},
    {"altup.correct_output_scale", "altup_correct_scale", V},
    {"laurel.linear_left", "laurel_l", M},
    {"laurel.linear_right", "laurel_r", M},
    {"laurel.post_laurel_norm", "laurel_post_norm", N},
    {"operator_norm", "attn_norm", N}, /* LFM2 */
    {"ffn_norm", "ffn_norm", N},
    {"self_attn.out_proj", "attn_output", M},
    {"self_attn.q_layernorm", "attn_q_norm", N},
    {"self_attn.k_layernorm", "attn_k_norm", N},
    {"feed_forward.w1", "ffn_gate", M},
    {"feed_forward.w3", "ffn_up", M},
    {"feed_forward.w2", "ffn_down", M},
    {"conv.in_proj", "shortconv.in_proj", M},
    {"conv.conv", "shortconv.conv", V},
    {"conv.out_proj", "shortconv.out_proj", M},
    {"attention.self.query", "attn_q", M}, /* BERT */
    {"attention.self.key", "attn_k", M},
    {"attention.self.value", "attn_v", M},
    {"attention.output.dense", "attn_output", M},
    {"attention.output.LayerNorm", "attn_output_norm", N},
    {"intermediate.dense", "ffn_up", M},
    {"output.dense", "ffn_down", M},
    {"output.LayerNorm", "layer_output_norm", N},
    {"attn.Wqkv", "attn_qkv", M}, /* ModernBERT */
    {"attn.Wo", "attn_output", M},
    {"attn_norm", "attn_norm", N},
    {"mlp_norm", "ffn_norm", N},
    {"mlp.Wi", "ffn_up", M},
    {"mlp.Wo", "ffn_down", M},
    {"post_attention_layernorm", "post_attention_norm", N}, /* with post_norms */
    {"post_attention_layernorm", "ffn_norm", N},            /* without */
};
#define N_LAYER_NAMES (sizeof(layer_names) / sizeof(layer_names[0]))
#define N_PARTS 2u /* weight, bias */
#undef M
#undef V
#undef N

static const char hint_weights[] = "The folder has a part that this build does not run; take "
                                   "another variant of the model.";

static bool starts_with(const char *name, const char *prefix) {
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Eyes, ears, buffers, and heads that the model does not need for what it does here. */
static bool is_left_out(const sy__hf *hf, const char *name) {
    static const char *const senses[] = {"vision_tower.", "audio_tower.", "multi_modal_projector.",
                                         "embed_vision.", "embed_audio."};
    static const char *const heads[] = {"pooler.", "bert.pooler.", "head."};
    static const char *const of_masks[] = {"cls.", "decoder."};
    static const char *const ends[] = {"rotary_emb.inv_freq", "embeddings.position_ids"};
    const char *inner = starts_with(name, "model.") ? name + strlen("model.") : name;
    bool found = false;
    for (size_t i = 0; hf->root != 0 && i < sizeof(senses) / sizeof(senses[0]); i++) {
        found = found || starts_with(inner, senses[i]);
    }
    for (size_t i = 0; hf->family->is_encoder && i < sizeof(heads) / sizeof(heads[0]); i++) {
        found = found || (starts_with(name, heads[i]) && !hf->has_classifier);
    }
    for (size_t i = 0; hf->family->is_encoder && i < sizeof(of_masks) / sizeof(of_masks[0]); i++) {
        found = found || starts_with(name, of_masks[i]);
    }
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        size_t n_end = strlen(ends[i]);
        found = found || (n >= n_end && strcmp(name + n - n_end, ends[i]) == 0);
    }
    return found;
}

/* What may stand before "embed_tokens" or "embeddings". */
static const char *const prefixes[] = {"model.", "", "language_model.model.",
                                       "model.language_model.", "bert."};
#define N_PREFIXES (sizeof(prefixes) / sizeof(prefixes[0]))

/* The one of this folder. */
static const char *find_prefix(const sy__hf *hf) {
    const char *first =
        hf->family->embedding != NULL ? hf->family->embedding : "embed_tokens.weight";
    for (size_t i = 0; i < N_PREFIXES; i++) {
        char name[SY_LIMIT_NAME_BYTES + 1];
        sy_safetensor tensor;
        snprintf(name, sizeof(name), "%s%s", prefixes[i], first);
        if (sy_safetensors_find(hf->keep->weights, name, &tensor)) {
            return prefixes[i];
        }
    }
    return NULL;
}

void sy__hf_add_numbers(sy__hf *hf, const char *name, const float *numbers, uint64_t n,
                        uint64_t n_rows) {
    sy_gguf_tensor tensor = {.name = {name, strlen(name)},
                             .type = SY_TYPE_F32,
                             .rank = n_rows > 1 ? 2 : 1,
                             .dims = {n, n_rows, 1, 1},
                             .data = numbers};
    sy_gguf_writer_add_tensor(hf->writer, &tensor);
}

bool sy__hf_is_float(sy_element_type type) {
    return type == SY_TYPE_F32 || type == SY_TYPE_F16 || type == SY_TYPE_BF16;
}

/* The dimensions in GGUF's order, without those of 1 between others (a kernel of a channel). */
static void set_dims(sy_gguf_tensor *tensor, const sy_safetensor *from) {
    tensor->rank = 0;
    for (uint32_t i = from->rank; i > 0; i--) {
        if (from->dims[i - 1] != 1 || from->rank <= 2) {
            tensor->dims[tensor->rank++] = from->dims[i - 1];
        }
    }
    if (tensor->rank == 0) {
        tensor->dims[tensor->rank++] = 1;
    }
}

/* In f32, norms of Gemma with the 1 that its formula adds. */
static bool set_numbers(sy__hf *hf, sy_gguf_tensor *tensor, sy__hf_form form,
                        const sy_safetensor *from) {
    float *numbers = sy__arena_alloc(&hf->keep->arena, (size_t)from->n_elements, sizeof(float));
    float more = form == SY__HF_NORM && hf->family->norm_plus_one ? 1.0f : 0.0f;
    if (numbers == NULL) {
        return sy__hf_no_memory(hf, "norms");
    }
    hf->status = sy_dequantize_row(from->type, from->data, from->n_elements, numbers, hf->error);
    for (uint64_t i = 0; hf->status == SY_OK && i < from->n_elements; i++) {
        numbers[i] += more;
    }
    tensor->type = SY_TYPE_F32;
    tensor->data = numbers;
    return hf->status == SY_OK;
}

bool sy__hf_add_tensor(sy__hf *hf, const char *ours, sy__hf_form form, const sy_safetensor *from) {
    char *name = sy__arena_string(&hf->scratch, ours, strlen(ours));
    uintptr_t size = from->type == SY_TYPE_F32 ? 4 : 2;
    if (name == NULL) {
        return sy__hf_no_memory(hf, "the names of tensors");
    }
    if (!sy__hf_is_float(from->type) || from->rank < 1 || from->rank > 3 || from->n_elements == 0) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, "Take the model's weights in bf16, f16 or f32.",
                           "The tensor '%s' has type %s and %u dimensions; bf16, f16 or f32 in one "
                           "to three is read.",
                           from->name, from->dtype, from->rank);
    }
    sy_gguf_tensor tensor = {
        .name = {name, strlen(name)}, .type = from->type, .dims = {1, 1, 1, 1}, .data = from->data};
    set_dims(&tensor, from);
    if (form != SY__HF_MATRIX && !set_numbers(hf, &tensor, form, from)) {
        return false;
    }
    if (form == SY__HF_MATRIX && (uintptr_t)from->data % size != 0) { /* a header of odd length */
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
        if (layer_names[i].form == SY__HF_NUMBERS && suffix[n] == '\0') {
            return (int)(i * N_PARTS); /* a parameter without a module around it */
        }
        for (size_t part = 0; part < N_PARTS; part++) {
            if (strcmp(suffix + n, parts[part]) == 0) {
                return (int)(i * N_PARTS + part);
            }
        }
    }
    return -1;
}

/* Where every tensor goes: first the slots of the model and of its head, then those of each layer.
 */
typedef struct slots {
    uint32_t *tensors; /* index of the safetensor plus 1; 0 none */
    uint32_t output;   /* the same for lm_head.weight */
    size_t n;
    sy__hf_stacks stacks;
} slots;
#define N_ONCE (N_MODEL_NAMES + N_HEAD_NAMES)

/* The number at the start of "N.suffix"; answers ".suffix". */
static const char *read_layer(const char *text, uint64_t *out_layer) {
    *out_layer = 0;
    while (*text >= '0' && *text <= '9' && *out_layer <= SY_LIMIT_LAYERS) {
        *out_layer = *out_layer * 10 + (uint64_t)(*text++ - '0');
    }
    return text;
}

static bool place_layer(sy__hf *hf, slots *s, const char *name, const char *rest, uint32_t i) {
    uint64_t layer = 0;
    rest = read_layer(rest, &layer);
    bool known = *rest == '.' && layer < hf->n_layers;
    int slot = known ? layer_slot(hf, rest + 1) : -1;
    if (slot >= 0) {
        s->tensors[N_ONCE + layer * N_LAYER_NAMES * N_PARTS + (size_t)slot] = i + 1;
        return true;
    }
    return (known && sy__hf_stacks_place(hf, &s->stacks, rest + 1, (uint32_t)layer, i)) ||
           sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_weights,
                       "The tensor '%s' has no place in architecture '%s' of %u layers.", name,
                       hf->family->architecture, hf->n_layers);
}

/* A tensor by its whole name or the one behind the prefix. */
static bool place_once(slots *s, const known_name *names, size_t n, size_t first, const char *name,
                       uint32_t i) {
    for (size_t k = 0; k < n; k++) {
        if (strcmp(name, names[k].theirs) == 0) {
            s->tensors[first + k] = i + 1;
            return true;
        }
    }
    return false;
}

static const char *layers_of(const sy__hf_family *family) {
    return family->layers != NULL ? family->layers : "layers.";
}

static bool is_output(const char *name) {
    return strcmp(name, "lm_head.weight") == 0 ||
           strcmp(name, "language_model.lm_head.weight") == 0;
}

static bool place(sy__hf *hf, slots *s, const char *prefix, uint32_t i) {
    sy_safetensor tensor;
    const char *layers = layers_of(hf->family);
    if (!sy_safetensors_at(hf->keep->weights, i, &tensor) || is_left_out(hf, tensor.name)) {
        return true;
    }
    const char *name = tensor.name;
    if (is_output(name)) {
        s->output = i + 1;
        return true;
    }
    if (hf->family->is_encoder && place_once(s, head_names, N_HEAD_NAMES, N_MODEL_NAMES, name, i)) {
        return true;
    }
    if (starts_with(name, prefix)) {
        name += strlen(prefix);
        if (starts_with(name, layers)) {
            return place_layer(hf, s, tensor.name, name + strlen(layers), i);
        }
        if (place_once(s, model_names, N_MODEL_NAMES, 0, name, i) ||
            sy__hf_stacks_place(hf, &s->stacks, name, UINT32_MAX, i)) {
            return true;
        }
    }
    return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_weights,
                       "The tensor '%s' has no place in architecture '%s'.", tensor.name,
                       hf->family->architecture);
}

/* What the embedding tells beside its numbers. Rows past those of the per-layer embeddings stand
 * for pictures and sounds. */
static void read_rows(sy__hf *hf, sy_safetensor *embedding) {
    uint32_t n_text = sy__hf_u32_or_none(hf, "hidden_size_per_layer_input") > 0
                          ? sy__hf_u32_or_none(hf, "vocab_size_per_layer_input")
                          : 0;
    if (n_text > 0 && embedding->dims[0] > n_text) {
        embedding->dims[0] = n_text;
        embedding->n_elements = n_text * embedding->dims[1];
    }
    hf->n_rows = embedding->dims[0] < UINT32_MAX ? (uint32_t)embedding->dims[0] : 0;
}

/* slot: as layer_slot has it. */
static void name_slot(uint64_t layer, size_t slot, char *out_name, size_t n) {
    static const char *const parts[N_PARTS] = {"weight", "bias"};
    snprintf(out_name, n, "blk.%" PRIu64 ".%s.%s", layer, layer_names[slot / N_PARTS].ours,
             parts[slot % N_PARTS]);
}

static bool add_slot(sy__hf *hf, const slots *s, size_t i_slot) {
    char name[64];
    sy_safetensor tensor;
    if (s->tensors[i_slot] == 0 ||
        !sy_safetensors_at(hf->keep->weights, s->tensors[i_slot] - 1, &tensor)) {
        return true;
    }
    if (i_slot < N_ONCE) {
        const known_name *known =
            i_slot < N_MODEL_NAMES ? &model_names[i_slot] : &head_names[i_slot - N_MODEL_NAMES];
        if (strcmp(known->ours, "token_embd.weight") == 0 && tensor.rank == 2) {
            read_rows(hf, &tensor);
        }
        if (strcmp(known->ours, "cls.output.weight") == 0 && tensor.dims[0] != 1) {
            return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_weights,
                               "The classifier gives %" PRIu64 " numbers; one that gives a single "
                               "score is run.",
                               tensor.dims[0]);
        }
        return sy__hf_add_tensor(hf, known->ours, known->form, &tensor);
    }
    size_t in_layers = i_slot - N_ONCE, of_layer = N_LAYER_NAMES * N_PARTS;
    name_slot(in_layers / of_layer, in_layers % of_layer, name, sizeof(name));
    return sy__hf_add_tensor(hf, name, layer_names[in_layers % of_layer / N_PARTS].form, &tensor);
}

/* The output matrix, unless the embedding stands for it or nothing is predicted. */
static bool add_output(sy__hf *hf, uint32_t i_output) {
    const sy__json_document *json = &hf->config.json;
    sy_safetensor tensor;
    sy__json_index tie = sy__json_member(json, hf->root, "tie_word_embeddings");
    tie = tie != SY__JSON_NONE ? tie : sy__json_member(json, 0, "tie_word_embeddings");
    tie = tie != SY__JSON_NONE ? tie : sy__json_member(json, 0, "tie_embedding"); /* LFM2 */
    if (hf->is_pooled || sy__json_bool_of(json, tie, hf->family->is_tied)) {
        return true;
    }
    if (i_output == 0 || !sy_safetensors_at(hf->keep->weights, i_output - 1, &tensor)) {
        return sy__hf_fail(hf, SY_NOT_FOUND, "Fetch the missing file of the weights.",
                           "The tensor 'lm_head.weight' is missing.");
    }
    return sy__hf_add_tensor(hf, "output.weight", SY__HF_MATRIX, &tensor);
}

bool sy__hf_put_tensors(sy__hf *hf) {
    const char *prefix = find_prefix(hf);
    slots s = {.n = N_ONCE + (size_t)hf->n_layers * N_LAYER_NAMES * N_PARTS};
    if (prefix == NULL) {
        return sy__hf_fail(hf, SY_NOT_FOUND, "Fetch the missing file of the weights.",
                           "The token embedding is missing.");
    }
    s.tensors = sy__arena_alloc(&hf->scratch, s.n, sizeof(*s.tensors));
    if (s.tensors == NULL) {
        return sy__hf_no_memory(hf, "the table of tensors");
    }
    if (!sy__hf_stacks_init(hf, &s.stacks)) {
        return false;
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
    return sy__hf_stacks_add(hf, &s.stacks) && add_output(hf, s.output);
}

/* "layers.N.suffix" */
static bool name_layer(const sy__hf *hf, const char *theirs, char *out_ours, size_t n_ours) {
    const char *layers = layers_of(hf->family);
    uint64_t layer = 0;
    const char *rest =
        starts_with(theirs, layers) ? read_layer(theirs + strlen(layers), &layer) : "";
    int slot = *rest == '.' ? layer_slot(hf, rest + 1) : -1;
    if (slot >= 0) {
        name_slot(layer, (size_t)slot, out_ours, n_ours);
    }
    return slot >= 0;
}

int sy_huggingface_tensor_name(const char *architecture, const char *theirs, char *out_ours,
                               size_t n_ours) {
    sy__hf hf = {.family = sy__hf_family_of(architecture)};
    bool found = hf.family != NULL && is_output(theirs);
    if (found) {
        snprintf(out_ours, n_ours, "output.weight");
    }
    for (size_t i = 0; hf.family != NULL && !found && i < N_PREFIXES; i++) {
        found = starts_with(theirs, prefixes[i]) &&
                name_layer(&hf, theirs + strlen(prefixes[i]), out_ours, n_ours);
    }
    return found;
}

uint64_t sy_huggingface_head_row(uint64_t i_row, uint64_t n_pairs) {
    uint64_t within = i_row % (2 * n_pairs);
    return i_row - within + within % 2 * n_pairs + within / 2;
}
