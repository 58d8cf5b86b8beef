/* SPDX-License-Identifier: Apache-2.0 */
/* Tensor names, and the check that a file has exactly the tensors its description speaks of. A
 * tensor that no role takes is a refusal: leaving it out would give plausible nonsense. */
#include "arch/description.h"

#include <stdio.h>
#include <string.h>

static const char hint_file[] = "The file is damaged, or made for another program; take another "
                                "file of the same model.";

#define STATE_ROLES \
    (SY__ROLE_BIT(SY__ROLE_KEY) | SY__ROLE_BIT(SY__ROLE_VALUE) | SY__ROLE_BIT(SY__ROLE_KEY_NORM))
#define NAME_BYTES (SY_LIMIT_NAME_BYTES + 1u)

/* Sizes of a tensor in terms of the description. */
typedef enum size_code {
    SIZE_ONE = 0,
    SIZE_EMBD,
    SIZE_VOCAB,
    SIZE_CONTEXT,
    SIZE_TYPES,
    SIZE_ROPE_HALF,
    SIZE_QUERY,
    SIZE_KEY,
    SIZE_VALUE,
    SIZE_QKV,
    SIZE_ATTENTION, /* n_heads * value_length */
    SIZE_KEY_LENGTH,
    SIZE_HEADS,
    SIZE_ALTUP,
    SIZE_ALTUP_SQUARE,
    SIZE_LAUREL,
    SIZE_CONV,
    SIZE_CONV_IN,
    SIZE_DENSE,
    SIZE_CLASSES,
    SIZE_PER_LAYER,
    SIZE_PER_LAYERS,
    SIZE_EXPERTS,
    SIZE_EXPERT_FF,
    SIZE_SHARED_FF,
    SIZE_FF,
    SIZE_UP /* n_ff, or twice that when gate and up are fused */
} size_code;

typedef struct role_facts {
    const char *name;
    uint8_t inputs, outputs; /* size_code of dims[0] and dims[1]; a bias has dims[0] = outputs */
    bool is_norm;
    bool may_have_bias; /* of a product; those may have a scale too */
    bool is_stack;      /* a matrix per expert, or per row of AltUp but one: dims[2]; no scale */
} role_facts;

static const role_facts roles[SY__ROLE_COUNT] = {
    [SY__ROLE_TOKEN_EMBEDDING] = {"token_embd", SIZE_EMBD, SIZE_VOCAB, false, false},
    [SY__ROLE_POSITION_EMBEDDING] = {"position_embd", SIZE_EMBD, SIZE_CONTEXT, false, false},
    [SY__ROLE_TOKEN_TYPES] = {"token_types", SIZE_EMBD, SIZE_TYPES, false, false},
    [SY__ROLE_EMBEDDING_NORM] = {"token_embd_norm", SIZE_EMBD, SIZE_ONE, true, false},
    [SY__ROLE_OUTPUT_NORM] = {"output_norm", SIZE_EMBD, SIZE_ONE, true, false},
    [SY__ROLE_OUTPUT] = {"output", SIZE_EMBD, SIZE_VOCAB, false, true},
    [SY__ROLE_POOL_DENSE_1] = {"dense_2", SIZE_EMBD, SIZE_DENSE, false, false, false},
    [SY__ROLE_POOL_DENSE_2] = {"dense_3", SIZE_DENSE, SIZE_EMBD, false, false, false},
    [SY__ROLE_ALTUP_SPLIT] = {"altup_proj", SIZE_EMBD, SIZE_EMBD, false, false, true},
    [SY__ROLE_ALTUP_JOIN] = {"altup_unembd_proj", SIZE_EMBD, SIZE_EMBD, false, false, true},
    [SY__ROLE_PER_LAYER_TABLE] = {"per_layer_token_embd", SIZE_PER_LAYERS, SIZE_VOCAB, false, false,
                                  false},
    [SY__ROLE_PER_LAYER_PROJECTION] = {"per_layer_model_proj", SIZE_EMBD, SIZE_PER_LAYERS, false,
                                       false, false},
    [SY__ROLE_PER_LAYER_NORM] = {"per_layer_proj_norm", SIZE_PER_LAYER, SIZE_ONE, true, false,
                                 false},
    [SY__ROLE_CLASSIFIER_DENSE] = {"cls", SIZE_EMBD, SIZE_EMBD, false, true},
    [SY__ROLE_CLASSIFIER_NORM] = {"cls.norm", SIZE_EMBD, SIZE_ONE, true, false, false},
    [SY__ROLE_CLASSIFIER] = {"cls.output", SIZE_EMBD, SIZE_CLASSES, false, true},
    [SY__ROLE_ROPE_FACTORS] = {"rope_freqs", SIZE_ROPE_HALF, SIZE_ONE, false, false},
    [SY__ROLE_ROPE_FACTORS_LONG] = {"rope_factors_long", SIZE_ROPE_HALF, SIZE_ONE, false, false},
    [SY__ROLE_ROPE_FACTORS_SHORT] = {"rope_factors_short", SIZE_ROPE_HALF, SIZE_ONE, false, false},
    [SY__ROLE_ATTENTION_NORM] = {"attn_norm", SIZE_EMBD, SIZE_ONE, true, false},
    [SY__ROLE_QUERY] = {"attn_q", SIZE_EMBD, SIZE_QUERY, false, true},
    [SY__ROLE_KEY] = {"attn_k", SIZE_EMBD, SIZE_KEY, false, true},
    [SY__ROLE_VALUE] = {"attn_v", SIZE_EMBD, SIZE_VALUE, false, true},
    [SY__ROLE_QKV] = {"attn_qkv", SIZE_EMBD, SIZE_QKV, false, true},
    [SY__ROLE_QUERY_NORM] = {"attn_q_norm", SIZE_KEY_LENGTH, SIZE_ONE, true, false},
    [SY__ROLE_KEY_NORM] = {"attn_k_norm", SIZE_KEY_LENGTH, SIZE_ONE, true, false},
    [SY__ROLE_ATTENTION_SINKS] = {"attn_sinks", SIZE_HEADS, SIZE_ONE, true, false, false},
    [SY__ROLE_ATTENTION_OUTPUT] = {"attn_output", SIZE_ATTENTION, SIZE_EMBD, false, true},
    [SY__ROLE_ATTENTION_POST_NORM] = {"post_attention_norm", SIZE_EMBD, SIZE_ONE, true, false},
    [SY__ROLE_ATTENTION_OUTPUT_NORM] = {"attn_output_norm", SIZE_EMBD, SIZE_ONE, true, false},
    [SY__ROLE_FFN_NORM] = {"ffn_norm", SIZE_EMBD, SIZE_ONE, true, false},
    [SY__ROLE_GATE] = {"ffn_gate", SIZE_EMBD, SIZE_FF, false, true},
    [SY__ROLE_UP] = {"ffn_up", SIZE_EMBD, SIZE_UP, false, true},
    [SY__ROLE_DOWN] = {"ffn_down", SIZE_FF, SIZE_EMBD, false, true},
    [SY__ROLE_CONV_IN] = {"shortconv.in_proj", SIZE_EMBD, SIZE_CONV_IN, false, false, false},
    [SY__ROLE_CONV] = {"shortconv.conv", SIZE_CONV, SIZE_EMBD, true, false, false},
    [SY__ROLE_CONV_OUT] = {"shortconv.out_proj", SIZE_EMBD, SIZE_EMBD, false, false, false},
    [SY__ROLE_ROUTER] = {"ffn_gate_inp", SIZE_EMBD, SIZE_EXPERTS, false, true, false},
    [SY__ROLE_EXPERT_GATE] = {"ffn_gate_exps", SIZE_EMBD, SIZE_EXPERT_FF, false, true, true},
    [SY__ROLE_EXPERT_UP] = {"ffn_up_exps", SIZE_EMBD, SIZE_EXPERT_FF, false, true, true},
    [SY__ROLE_EXPERT_DOWN] = {"ffn_down_exps", SIZE_EXPERT_FF, SIZE_EMBD, false, true, true},
    [SY__ROLE_SHARED_ROUTER] = {"ffn_gate_inp_shexp", SIZE_EMBD, SIZE_ONE, false, false, false},
    [SY__ROLE_SHARED_GATE] = {"ffn_gate_shexp", SIZE_EMBD, SIZE_SHARED_FF, false, false, false},
    [SY__ROLE_SHARED_UP] = {"ffn_up_shexp", SIZE_EMBD, SIZE_SHARED_FF, false, false, false},
    [SY__ROLE_SHARED_DOWN] = {"ffn_down_shexp", SIZE_SHARED_FF, SIZE_EMBD, false, false, false},
    [SY__ROLE_FFN_POST_NORM] = {"post_ffw_norm", SIZE_EMBD, SIZE_ONE, true, false},
    [SY__ROLE_LAYER_OUTPUT_NORM] = {"layer_output_norm", SIZE_EMBD, SIZE_ONE, true, false},
    [SY__ROLE_LAYER_INPUT_GATE] = {"inp_gate", SIZE_EMBD, SIZE_PER_LAYER, false, false, false},
    [SY__ROLE_LAYER_INPUT_PROJECTION] = {"proj", SIZE_PER_LAYER, SIZE_EMBD, false, false, false},
    [SY__ROLE_LAYER_INPUT_NORM] = {"post_norm", SIZE_EMBD, SIZE_ONE, true, false, false},
    [SY__ROLE_ALTUP_ROUTER] = {"altup_router", SIZE_EMBD, SIZE_ALTUP, false, false, false},
    [SY__ROLE_ALTUP_ROUTER_NORM] = {"altup_router_norm", SIZE_EMBD, SIZE_ONE, true, false, false},
    [SY__ROLE_ALTUP_PREDICT] = {"altup_predict_coef", SIZE_ALTUP, SIZE_ALTUP_SQUARE, false, false,
                                false},
    [SY__ROLE_ALTUP_CORRECT] = {"altup_correct_coef", SIZE_ALTUP, SIZE_ALTUP, false, false, false},
    [SY__ROLE_ALTUP_SCALE] = {"altup_correct_scale", SIZE_EMBD, SIZE_ONE, true, false, false},
    [SY__ROLE_LAUREL_LEFT] = {"laurel_l", SIZE_EMBD, SIZE_LAUREL, false, false, false},
    [SY__ROLE_LAUREL_RIGHT] = {"laurel_r", SIZE_LAUREL, SIZE_EMBD, false, false, false},
    [SY__ROLE_LAUREL_NORM] = {"laurel_post_norm", SIZE_EMBD, SIZE_ONE, true, false, false},
    [SY__ROLE_LAYER_SCALE] = {"layer_output_scale", SIZE_ONE, SIZE_ONE, true, false, false},
};

/* One pass over the roles of a model. */
typedef struct tensor_check {
    sy__architecture *architecture;
    sy_error *error;
    sy_status status;
    uint32_t n_used;
    uint8_t used[SY_LIMIT_TENSORS / 8]; /* bit i: tensor i has a role */
} tensor_check;

static void tensor_name(const sy__family *family, sy__role role, uint32_t i_layer, sy__part part,
                        char out_name[NAME_BYTES]) {
    static const char *const ends[] = {"weight", "bias", "scale", "input_scale"};
    const char *end = ends[part], *name = roles[role].name;
    if (role == SY__ROLE_FFN_NORM && family->post_attention_is_ffn_norm) {
        name = roles[SY__ROLE_ATTENTION_POST_NORM].name;
    }
    if (role == SY__ROLE_OUTPUT_NORM && family->embedding_is_output_norm) {
        name = roles[SY__ROLE_EMBEDDING_NORM].name;
    }
    if (role >= SY__ROLE_FIRST_OF_LAYER) {
        snprintf(out_name, NAME_BYTES, "blk.%u.%s.%s", i_layer, name, end);
    } else {
        snprintf(out_name, NAME_BYTES, "%s.%s", name, end);
    }
}

int sy__architecture_tensor(const sy__architecture *architecture, sy__role role, uint32_t i_layer,
                            sy__part part, sy_gguf_tensor *out_tensor) {
    char name[NAME_BYTES];
    if (role >= SY__ROLE_COUNT) {
        return 0;
    }
    tensor_name(architecture->family, role, i_layer, part, name);
    return sy_gguf_find_tensor(architecture->gguf, name, out_tensor);
}

static uint64_t size_of(const sy__architecture *architecture, const sy__layer *layer,
                        size_code code) {
    uint64_t key = layer->key_length, value = layer->value_length;
    switch (code) {
    case SIZE_EMBD:
        return architecture->n_embd;
    case SIZE_VOCAB:
        return architecture->n_vocab;
    case SIZE_CONTEXT:
        return architecture->n_context;
    case SIZE_TYPES:
        return architecture->n_token_types;
    case SIZE_ROPE_HALF:
        return architecture->rope.n_dims / 2;
    case SIZE_QUERY:
        return layer->n_heads * key;
    case SIZE_KEY:
        return layer->n_kv_heads * key;
    case SIZE_VALUE:
        return layer->n_kv_heads * value;
    case SIZE_QKV:
        return layer->n_heads * key + layer->n_kv_heads * (key + value);
    case SIZE_ATTENTION:
        return layer->n_heads * value;
    case SIZE_KEY_LENGTH:
        return key;
    case SIZE_ALTUP:
        return architecture->n_altup;
    case SIZE_ALTUP_SQUARE:
        return (uint64_t)architecture->n_altup * architecture->n_altup;
    case SIZE_LAUREL:
        return architecture->n_laurel;
    case SIZE_CONV:
        return architecture->n_convolved;
    case SIZE_CONV_IN:
        return UINT64_C(3) * architecture->n_embd;
    case SIZE_DENSE:
        return architecture->n_dense;
    case SIZE_CLASSES:
        return architecture->n_classes;
    case SIZE_PER_LAYER:
        return architecture->n_embd_per_layer;
    case SIZE_PER_LAYERS:
        return (uint64_t)architecture->n_embd_per_layer * architecture->n_layers;
    case SIZE_HEADS:
        return layer->n_heads;
    case SIZE_EXPERTS:
        return architecture->experts.n_experts;
    case SIZE_EXPERT_FF:
        return architecture->experts.n_ff;
    case SIZE_SHARED_FF:
        return architecture->experts.n_ff_shared;
    case SIZE_FF:
        return layer->n_ff;
    case SIZE_UP:
        return layer->fused_gate_up ? UINT64_C(2) * layer->n_ff : layer->n_ff;
    default:
        return 1;
    }
}

static bool type_fits(const role_facts *facts, sy__part part, sy_element_type type) {
    bool is_float = type == SY_TYPE_F32 || type == SY_TYPE_F16 || type == SY_TYPE_BF16;
    bool is_scale = part == SY__PART_SCALE || part == SY__PART_INPUT_SCALE ||
                    (part == SY__PART_BIAS && facts->is_stack);
    if (facts->is_norm || facts->inputs == SIZE_ROPE_HALF || is_scale) {
        return type == SY_TYPE_F32; /* operators take scales and frequencies in f32 */
    }
    const sy_type_facts *type_facts = sy_type_get(type);
    return is_float || (part == SY__PART_WEIGHT && type_facts != NULL && type_facts->is_block);
}

/* Shape and type of a tensor that was found. */
static void check_tensor(tensor_check *check, sy__role role, const sy__layer *layer, sy__part part,
                         const sy_gguf_tensor *tensor) {
    const sy__architecture *architecture = check->architecture;
    const role_facts *facts = &roles[role];
    uint64_t inputs = size_of(architecture, layer, facts->inputs);
    uint64_t outputs = size_of(architecture, layer, facts->outputs);
    uint32_t n_matrices = role == SY__ROLE_ALTUP_SPLIT || role == SY__ROLE_ALTUP_JOIN
                              ? architecture->n_altup - 1
                              : architecture->experts.n_experts;
    uint64_t n_stacked = facts->is_stack ? n_matrices : 1;
    if (part == SY__PART_BIAS) {
        inputs = facts->is_norm ? inputs : outputs;
        outputs = n_stacked;
        n_stacked = 1;
    } else if (part != SY__PART_WEIGHT) {
        inputs = outputs = n_stacked = 1;
    }
    if (tensor->dims[0] != inputs || tensor->dims[1] != outputs || tensor->dims[2] != n_stacked ||
        tensor->dims[3] != 1) {
        check->status = sy__architecture_fail(
            architecture->gguf, check->error, SY_DATA_LOSS, hint_file,
            "The tensor '%.*s' is %llu x %llu x %llu x %llu where %llu x %llu x %llu is wanted.",
            (int)tensor->name.n_bytes, tensor->name.bytes, (unsigned long long)tensor->dims[0],
            (unsigned long long)tensor->dims[1], (unsigned long long)tensor->dims[2],
            (unsigned long long)tensor->dims[3], (unsigned long long)inputs,
            (unsigned long long)outputs, (unsigned long long)n_stacked);
    } else if (!type_fits(facts, part, tensor->type)) {
        check->status = sy__architecture_fail(
            architecture->gguf, check->error, SY_UNIMPLEMENTED, hint_file,
            "The tensor '%.*s' has type %s, which does not fit its use.", (int)tensor->name.n_bytes,
            tensor->name.bytes, sy_type_get(tensor->type)->name);
    }
}

/* True when the tensor is there; then it is checked and marked as used. */
static bool take(tensor_check *check, sy__role role, uint32_t i_layer, sy__part part) {
    sy_gguf_tensor tensor;
    if (check->status != SY_OK ||
        !sy__architecture_tensor(check->architecture, role, i_layer, part, &tensor)) {
        return false;
    }
    check_tensor(check, role, &check->architecture->layers[i_layer], part, &tensor);
    check->used[tensor.i_tensor / 8] |= (uint8_t)(1u << tensor.i_tensor % 8);
    check->n_used++;
    return true;
}

static void missing(tensor_check *check, sy__role role, uint32_t i_layer, sy__part part) {
    char name[NAME_BYTES];
    if (check->status != SY_OK) {
        return;
    }
    tensor_name(check->architecture->family, role, i_layer, part, name);
    check->status =
        sy__architecture_fail(check->architecture->gguf, check->error, SY_NOT_FOUND, hint_file,
                              "The tensor '%s' of architecture '%s' is missing.", name,
                              check->architecture->family->name);
}

/* The sets of what roles have. */
typedef struct found_parts {
    uint64_t *weights, *biases, *scales;
} found_parts;

static void take_role(tensor_check *check, sy__role role, uint32_t i_layer, bool required,
                      found_parts found) {
    const role_facts *facts = &roles[role];
    bool norm_with_bias = facts->is_norm && role != SY__ROLE_ATTENTION_SINKS &&
                          check->architecture->norm_kind == SY__NORM_LAYER;
    if (take(check, role, i_layer, SY__PART_WEIGHT)) {
        *found.weights |= SY__ROLE_BIT(role);
        bool may_have_scale = facts->may_have_bias && !facts->is_stack;
        if (may_have_scale && take(check, role, i_layer, SY__PART_SCALE)) {
            *found.scales |= SY__ROLE_BIT(role);
        }
        if (may_have_scale) {
            (void)take(check, role, i_layer, SY__PART_INPUT_SCALE);
        }
    } else if (required) {
        missing(check, role, i_layer, SY__PART_WEIGHT);
    }
    if ((facts->may_have_bias || norm_with_bias) && take(check, role, i_layer, SY__PART_BIAS)) {
        *found.biases |= SY__ROLE_BIT(role);
    } else if (norm_with_bias && required && !check->architecture->family->plain_norms) {
        missing(check, role, i_layer, SY__PART_BIAS);
    }
}

static bool has_tensor(const tensor_check *check, sy__role role, uint32_t i_layer) {
    sy_gguf_tensor tensor;
    return sy__architecture_tensor(check->architecture, role, i_layer, SY__PART_WEIGHT, &tensor);
}

/* What a layer must have. What a fused matrix or experts replace has no place beside them, its
 * biases neither. */
static uint64_t needed_roles(const tensor_check *check, const sy__layer *layer) {
    const uint64_t split =
        SY__ROLE_BIT(SY__ROLE_QUERY) | SY__ROLE_BIT(SY__ROLE_KEY) | SY__ROLE_BIT(SY__ROLE_VALUE);
    const uint64_t dense =
        SY__ROLE_BIT(SY__ROLE_GATE) | SY__ROLE_BIT(SY__ROLE_UP) | SY__ROLE_BIT(SY__ROLE_DOWN);
    const uint64_t experts = SY__ROLE_BIT(SY__ROLE_ROUTER) | SY__ROLE_BIT(SY__ROLE_EXPERT_GATE) |
                             SY__ROLE_BIT(SY__ROLE_EXPERT_UP) | SY__ROLE_BIT(SY__ROLE_EXPERT_DOWN);
    const sy__architecture *architecture = check->architecture;
    uint32_t i_layer = (uint32_t)(layer - architecture->layers);
    uint64_t needed = architecture->family->required;
    if (architecture->family->plain_norms && i_layer == 0) {
        needed &= ~SY__ROLE_BIT(SY__ROLE_ATTENTION_NORM);
    }
    if (architecture->n_embd_per_layer > 0) {
        needed |= SY__ROLE_BIT(SY__ROLE_LAYER_INPUT_GATE) |
                  SY__ROLE_BIT(SY__ROLE_LAYER_INPUT_NORM) |
                  SY__ROLE_BIT(SY__ROLE_LAYER_INPUT_PROJECTION);
    }
    needed = layer->fused_qkv ? (needed & ~split) | SY__ROLE_BIT(SY__ROLE_QKV) : needed | split;
    if (architecture->family->value_norm) {
        needed &= ~SY__ROLE_BIT(SY__ROLE_VALUE);
    }
    if (layer->i_states != i_layer) {
        needed &= ~STATE_ROLES;
    }
    if (layer->is_convolution) {
        needed &= ~(split | STATE_ROLES | SY__ROLE_BIT(SY__ROLE_QUERY_NORM) |
                    SY__ROLE_BIT(SY__ROLE_ATTENTION_OUTPUT));
        needed |= SY__ROLE_BIT(SY__ROLE_CONV_IN) | SY__ROLE_BIT(SY__ROLE_CONV) |
                  SY__ROLE_BIT(SY__ROLE_CONV_OUT);
    }
    if (layer->has_experts) {
        return (needed & ~dense) | experts;
    }
    return needed & ~(layer->fused_gate_up ? SY__ROLE_BIT(SY__ROLE_GATE) : 0u);
}

static void take_layer(tensor_check *check, uint32_t i_layer) {
    sy__architecture *architecture = check->architecture;
    const sy__family *family = architecture->family;
    sy__layer *layer = &architecture->layers[i_layer];
    layer->has_experts =
        architecture->experts.n_experts > 0 &&
        (has_tensor(check, SY__ROLE_ROUTER, i_layer) || !has_tensor(check, SY__ROLE_DOWN, i_layer));
    layer->fused_qkv = has_tensor(check, SY__ROLE_QKV, i_layer);
    layer->fused_gate_up = (family->required & SY__ROLE_BIT(SY__ROLE_GATE)) != 0 &&
                           !layer->has_experts && !has_tensor(check, SY__ROLE_GATE, i_layer);
    uint64_t needed = needed_roles(check, layer), wanted = needed | family->optional;
    /* Layers that share states may carry matrices of their own, which nothing reads. */
    uint64_t unread = layer->i_states != i_layer ? STATE_ROLES : 0;
    wanted |= unread | (family->value_norm ? SY__ROLE_BIT(SY__ROLE_VALUE) : 0);
    for (uint32_t role = SY__ROLE_FIRST_OF_LAYER; role < SY__ROLE_COUNT; role++) {
        if ((wanted & SY__ROLE_BIT(role)) != 0) {
            take_role(check, role, i_layer, (needed & SY__ROLE_BIT(role)) != 0,
                      (found_parts){&layer->weights, &layer->biases, &layer->scales});
        }
    }
    layer->weights &= ~unread;
}

/* Sizes that only the tensors tell: the vocabulary and the number of token types. */
static void learn_sizes(tensor_check *check) {
    sy__architecture *architecture = check->architecture;
    sy_gguf_tensor tensor;
    sy_gguf_value tokens;
    if (!sy__architecture_tensor(architecture, SY__ROLE_TOKEN_EMBEDDING, 0, SY__PART_WEIGHT,
                                 &tensor)) {
        missing(check, SY__ROLE_TOKEN_EMBEDDING, 0, SY__PART_WEIGHT);
        return;
    }
    if (tensor.dims[1] > SY_LIMIT_VOCABULARY) {
        check->status =
            sy__architecture_fail(architecture->gguf, check->error, SY_OUT_OF_RANGE, hint_file,
                                  "The vocabulary has %llu entries; at most %u are supported.",
                                  (unsigned long long)tensor.dims[1], SY_LIMIT_VOCABULARY);
        return;
    }
    architecture->n_vocab = (uint32_t)tensor.dims[1];
    if (sy_gguf_find(architecture->gguf, "tokenizer.ggml.tokens", &tokens) &&
        tokens.n_elements != architecture->n_vocab) {
        check->status = sy__architecture_fail(
            architecture->gguf, check->error, SY_DATA_LOSS, hint_file,
            "The tokenizer has %llu tokens but 'token_embd.weight' has %u rows.",
            (unsigned long long)tokens.n_elements, architecture->n_vocab);
        return;
    }
    if ((architecture->family->optional & SY__ROLE_BIT(SY__ROLE_POOL_DENSE_1)) != 0 &&
        sy__architecture_tensor(architecture, SY__ROLE_POOL_DENSE_1, 0, SY__PART_WEIGHT, &tensor)) {
        architecture->n_dense = tensor.dims[1] < 1u << 20 ? (uint32_t)tensor.dims[1] : 1u << 20;
    }
    if ((architecture->family->optional & SY__ROLE_BIT(SY__ROLE_CLASSIFIER)) != 0 &&
        sy__architecture_tensor(architecture, SY__ROLE_CLASSIFIER, 0, SY__PART_WEIGHT, &tensor)) {
        architecture->n_classes = architecture->causal && tensor.dims[1] == 2 ? 2 : 1;
    }
    if (architecture->n_altup > 0 &&
        sy__architecture_tensor(architecture, SY__ROLE_LAUREL_LEFT, 0, SY__PART_WEIGHT, &tensor)) {
        architecture->n_laurel = tensor.dims[1] < 1u << 20 ? (uint32_t)tensor.dims[1] : 1u << 20;
    }
    if ((architecture->family->optional & SY__ROLE_BIT(SY__ROLE_TOKEN_TYPES)) != 0 &&
        sy__architecture_tensor(architecture, SY__ROLE_TOKEN_TYPES, 0, SY__PART_WEIGHT, &tensor)) {
        architecture->n_token_types =
            tensor.dims[1] < SY_LIMIT_VOCABULARY ? (uint32_t)tensor.dims[1] : SY_LIMIT_VOCABULARY;
    }
}

static void refuse_unused(tensor_check *check) {
    const sy_gguf *gguf = check->architecture->gguf;
    sy_gguf_tensor tensor;
    for (uint32_t i = 0; sy_gguf_tensor_at(gguf, i, &tensor) && check->status == SY_OK; i++) {
        if ((check->used[i / 8] & 1u << i % 8) == 0) {
            check->status = sy__architecture_fail(
                gguf, check->error, SY_UNIMPLEMENTED,
                "The model has a part that this build does not run; take another variant of it.",
                "The tensor '%.*s' has no place in architecture '%s'.", (int)tensor.name.n_bytes,
                tensor.name.bytes, check->architecture->family->name);
        }
    }
}

/* What stands for something only together with another. LongRoPE with one table would silently fall
 * back to plain frequencies. */
static void check_pairs(tensor_check *check) {
    sy__architecture *architecture = check->architecture;
    uint64_t both =
        SY__ROLE_BIT(SY__ROLE_ROPE_FACTORS_LONG) | SY__ROLE_BIT(SY__ROLE_ROPE_FACTORS_SHORT);
    if (architecture->rope.scaling == SY__ROPE_LONGROPE && (architecture->weights & both) != both) {
        missing(check, SY__ROLE_ROPE_FACTORS_SHORT, 0, SY__PART_WEIGHT);
    }
    if (architecture->n_dense > 0 &&
        (architecture->weights & SY__ROLE_BIT(SY__ROLE_POOL_DENSE_2)) == 0) {
        missing(check, SY__ROLE_POOL_DENSE_2, 0, SY__PART_WEIGHT);
    }
}

sy_status sy__architecture_check_tensors(sy__architecture *architecture, sy_error *error) {
    tensor_check check = {.architecture = architecture, .error = error, .status = SY_OK};
    const sy__family *family = architecture->family;
    learn_sizes(&check);
    uint64_t needed = family->required;
    if (architecture->n_embd_per_layer > 0) {
        needed |= SY__ROLE_BIT(SY__ROLE_PER_LAYER_TABLE) | SY__ROLE_BIT(SY__ROLE_PER_LAYER_NORM) |
                  SY__ROLE_BIT(SY__ROLE_PER_LAYER_PROJECTION);
    }
    for (uint32_t role = 0; role < SY__ROLE_FIRST_OF_LAYER; role++) {
        bool required = (needed & SY__ROLE_BIT(role)) != 0;
        if (required || (family->optional & SY__ROLE_BIT(role)) != 0) {
            take_role(&check, role, 0, required,
                      (found_parts){&architecture->weights, &architecture->biases,
                                    &architecture->scales});
        }
    }
    for (uint32_t i = 0; i < architecture->n_layers && check.status == SY_OK; i++) {
        take_layer(&check, i);
    }
    architecture->tied_output =
        architecture->has_output && (architecture->weights & SY__ROLE_BIT(SY__ROLE_OUTPUT)) == 0;
    check_pairs(&check);
    refuse_unused(&check);
    return check.status;
}
