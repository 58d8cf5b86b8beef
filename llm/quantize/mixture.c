/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mixtures by the field's names. Which matrices get better types follows what llama.cpp does, so
 * that files of one name are of one kind: the output matrix and the values and down projections of
 * the first and last eighth of the layers and every third between suffer most.
 */
#include "internal.h"

#include "switchyard/types.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const sy__mixture mixtures[] = {
    {"f32", SY_TYPE_F32, 0},        {"f16", SY_TYPE_F16, 1},        {"bf16", SY_TYPE_BF16, 32},
    {"Q4_0", SY_TYPE_Q4_0, 2},      {"Q4_1", SY_TYPE_Q4_1, 3},      {"Q5_0", SY_TYPE_Q5_0, 8},
    {"Q5_1", SY_TYPE_Q5_1, 9},      {"Q8_0", SY_TYPE_Q8_0, 7},      {"Q2_K", SY_TYPE_Q2_K, 10},
    {"Q2_K_S", SY_TYPE_Q2_K, 21},   {"Q3_K_S", SY_TYPE_Q3_K, 11},   {"Q3_K_M", SY_TYPE_Q3_K, 12},
    {"Q3_K_L", SY_TYPE_Q3_K, 13},   {"Q4_K_S", SY_TYPE_Q4_K, 14},   {"Q4_K_M", SY_TYPE_Q4_K, 15},
    {"Q5_K_S", SY_TYPE_Q5_K, 16},   {"Q5_K_M", SY_TYPE_Q5_K, 17},   {"Q6_K", SY_TYPE_Q6_K, 18},
    {"IQ4_NL", SY_TYPE_IQ4_NL, 25}, {"IQ4_XS", SY_TYPE_IQ4_XS, 30}, {"TQ1_0", SY_TYPE_TQ1_0, 36},
    {"TQ2_0", SY_TYPE_TQ2_0, 37},   {"MXFP4", SY_TYPE_MXFP4, 38},
};
#define N_MIXTURES (sizeof(mixtures) / sizeof(mixtures[0]))

const sy__mixture *sy__mixture_find(const char *name) {
    static const char *const bases[][2] = {
        {"Q3_K", "Q3_K_M"}, {"Q4_K", "Q4_K_M"}, {"Q5_K", "Q5_K_M"}};
    for (size_t i = 0; name != NULL && i < sizeof(bases) / sizeof(bases[0]); i++) {
        name = strcasecmp(name, bases[i][0]) == 0 ? bases[i][1] : name;
    }
    for (size_t i = 0; name != NULL && i < N_MIXTURES; i++) {
        if (strcasecmp(name, mixtures[i].name) == 0) {
            return &mixtures[i];
        }
    }
    return NULL;
}

const char *sy_quantize_mixture_at(uint32_t i) {
    return i < N_MIXTURES ? mixtures[i].name : NULL;
}

/* What a tensor does, from its name. */
typedef struct place {
    char role[64]; /* "attn_v" */
    uint32_t i_layer;
} place;

static bool read_place(const sy_gguf_tensor *tensor, place *out_place) {
    char name[128];
    size_t n = (size_t)tensor->name.n_bytes;
    if (n >= sizeof(name) || n < 8 || memcmp(tensor->name.bytes + n - 7, ".weight", 7) != 0) {
        return false;
    }
    memcpy(name, tensor->name.bytes, n - 7);
    name[n - 7] = '\0';
    out_place->i_layer = 0;
    if (sscanf(name, "blk.%u.%63s", &out_place->i_layer, out_place->role) == 2) {
        return true;
    }
    snprintf(out_place->role, sizeof(out_place->role), "%.63s", name);
    return true;
}

static bool is_one_of(const char *role, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(role, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Matrices of products and look-ups; what steers or is added stays as it is. */
static bool is_quantised(const sy_gguf_tensor *tensor, const place *at) {
    static const char *const kept[] = {
        "ffn_gate_inp",         "position_embd",  "token_types", "ssm_conv1d",
        "per_layer_model_proj", "shortconv.conv", "cls",         "cls.output"};
    return tensor->rank >= 2 && tensor->dims[1] > 1 && strstr(at->role, "norm") == NULL &&
           strncmp(at->role, "rope_", 5) != 0 && strncmp(at->role, "altup_", 6) != 0 &&
           strncmp(at->role, "laurel_", 7) != 0 &&
           !is_one_of(at->role, kept, sizeof(kept) / sizeof(kept[0]));
}

static bool is_important(uint32_t i, uint32_t n) {
    return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

static bool is(const sy__mixture *mixture, const char *name) {
    return strcmp(mixture->name, name) == 0;
}

static sy_element_type type_of_values(const sy__mixture *m, const sy__mixture_model *model,
                                      uint32_t i) {
    bool many = model->n_gqa >= 4;
    if (model->n_experts == 8) {
        return SY_TYPE_Q8_0;
    }
    if (is(m, "Q2_K")) {
        return many ? SY_TYPE_Q4_K : SY_TYPE_Q3_K;
    }
    if (is(m, "Q2_K_S") && many) {
        return SY_TYPE_Q4_K;
    }
    if (is(m, "Q3_K_M")) {
        return i < 2 ? SY_TYPE_Q5_K : SY_TYPE_Q4_K;
    }
    if (is(m, "Q3_K_L") || ((is(m, "IQ4_NL") || is(m, "IQ4_XS")) && many) ||
        (is(m, "Q4_K_S") && i < 4)) {
        return SY_TYPE_Q5_K;
    }
    if ((is(m, "Q4_K_M") || is(m, "Q5_K_M")) && is_important(i, model->n_layers)) {
        return SY_TYPE_Q6_K;
    }
    return m->type;
}

static sy_element_type type_of_down(const sy__mixture *m, const sy__mixture_model *model,
                                    uint32_t i) {
    uint32_t n = model->n_layers;
    if (is(m, "Q2_K")) {
        return SY_TYPE_Q3_K;
    }
    if (is(m, "Q2_K_S")) {
        return i < n / 8 ? SY_TYPE_Q4_K : m->type;
    }
    if (is(m, "Q3_K_M")) {
        return i < n / 16 ? SY_TYPE_Q5_K : SY_TYPE_Q4_K;
    }
    if (is(m, "Q3_K_L")) {
        return SY_TYPE_Q5_K;
    }
    if ((is(m, "Q4_K_M") || is(m, "Q5_K_M")) && is_important(i, n)) {
        return SY_TYPE_Q6_K;
    }
    if (i < n / 8 &&
        (is(m, "Q4_K_S") || ((is(m, "IQ4_NL") || is(m, "IQ4_XS")) && !model->has_importance))) {
        return SY_TYPE_Q5_K;
    }
    if (i < n / 8 && model->has_importance && (is(m, "Q4_0") || is(m, "Q5_0"))) {
        return is(m, "Q4_0") ? SY_TYPE_Q4_1 : SY_TYPE_Q5_1;
    }
    return m->type;
}

static sy_element_type type_of_attention_output(const sy__mixture *m,
                                                const sy__mixture_model *model) {
    if (model->n_experts == 8) {
        bool small = is(m, "Q2_K") || is(m, "Q3_K_S") || is(m, "Q3_K_M") || is(m, "Q4_K_S") ||
                     is(m, "Q4_K_M") || is(m, "IQ4_NL") || is(m, "IQ4_XS");
        return small ? SY_TYPE_Q5_K : m->type;
    }
    return is(m, "Q2_K")     ? SY_TYPE_Q3_K
           : is(m, "Q3_K_M") ? SY_TYPE_Q4_K
           : is(m, "Q3_K_L") ? SY_TYPE_Q5_K
                             : m->type;
}

static sy_element_type type_of_fused(const sy__mixture *m) {
    return is(m, "Q3_K_M") || is(m, "Q3_K_L") ? SY_TYPE_Q4_K
           : is(m, "Q4_K_M")                  ? SY_TYPE_Q5_K
           : is(m, "Q5_K_M")                  ? SY_TYPE_Q6_K
                                              : m->type;
}

static sy_element_type preferred(const sy__mixture *m, const sy__mixture_model *model,
                                 const place *at) {
    const sy_type_facts *facts = sy_type_get(m->type);
    bool ternary = m->type == SY_TYPE_TQ1_0 || m->type == SY_TYPE_TQ2_0;
    if (model->pure || !facts->is_block) {
        return m->type;
    }
    if (strcmp(at->role, "output") == 0 || (strcmp(at->role, "token_embd") == 0 && model->tied)) {
        return m->type == SY_TYPE_Q8_0 ? SY_TYPE_Q8_0 : SY_TYPE_Q6_K;
    }
    if (strcmp(at->role, "token_embd") == 0) {
        return ternary ? SY_TYPE_Q4_K : m->type;
    }
    if (strcmp(at->role, "attn_v") == 0) {
        return type_of_values(m, model, at->i_layer);
    }
    if (strcmp(at->role, "attn_k") == 0) {
        return model->n_experts == 8 ? SY_TYPE_Q8_0 : m->type;
    }
    if (strncmp(at->role, "ffn_down", 8) == 0) {
        return type_of_down(m, model, at->i_layer);
    }
    if (strcmp(at->role, "attn_output") == 0) {
        return type_of_attention_output(m, model);
    }
    return strcmp(at->role, "attn_qkv") == 0 ? type_of_fused(m) : m->type;
}

/* Rows that are no whole number of super-blocks take the nearest type of 32, and at last f16. */
static sy_element_type that_fits(sy_element_type type, uint64_t n_columns) {
    uint64_t n_bytes = 0;
    if (sy_type_row_bytes(type, n_columns, &n_bytes) == SY_OK) {
        return type;
    }
    switch (type) {
    case SY_TYPE_Q2_K:
    case SY_TYPE_Q3_K:
    case SY_TYPE_IQ4_XS:
        type = SY_TYPE_IQ4_NL;
        break;
    case SY_TYPE_Q4_K:
        type = SY_TYPE_Q5_0;
        break;
    case SY_TYPE_Q5_K:
        type = SY_TYPE_Q5_1;
        break;
    case SY_TYPE_Q6_K:
        type = SY_TYPE_Q8_0;
        break;
    default:
        type = SY_TYPE_Q4_0;
        break;
    }
    return sy_type_row_bytes(type, n_columns, &n_bytes) == SY_OK ? type : SY_TYPE_F16;
}

sy_element_type sy__mixture_type(const sy__mixture *mixture, const sy__mixture_model *model,
                                 const sy_gguf_tensor *tensor) {
    place at;
    if (!read_place(tensor, &at) || !is_quantised(tensor, &at)) {
        return tensor->type == SY_TYPE_BF16 || tensor->type == SY_TYPE_F16 ? SY_TYPE_F32
                                                                           : tensor->type;
    }
    return that_fits(preferred(mixture, model, &at), tensor->dims[0]);
}
