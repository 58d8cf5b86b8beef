/* SPDX-License-Identifier: Apache-2.0 */
/* What the description of an architecture says about files of every family, and what it refuses. */
#include "switchyard/model.h"
#include "tiny_model.h"

static gguf_writer writer;
static sy__architecture description;
static sy_gguf *gguf;
static sy_error error;

static sy_status read_model(tiny_model *model) {
    tiny_write(model, &writer);
    sy_gguf_close(gguf);
    gguf = NULL;
    memset(&error, 0, sizeof(error));
    CHECK_OK_ERROR(sy_gguf_open_memory(NULL, writer.bytes, writer.n_bytes, "tiny", &gguf, &error),
                   error);
    sy_status status = sy__architecture_read(gguf, &description, &error);
    CHECK_TEXT(status == SY_OK ||
                   (strlen(error.message) > 10 && error.hint[0] != '\0' && error.origin[0] != '\0'),
               "%s: '%s' '%s'", model->family, error.message, error.hint);
    return status;
}

static void expect(tiny_model *model) {
    CHECK_OK_ERROR(read_model(model), error);
}

static void refuse(tiny_model *model, uint32_t status_class, const char *words) {
    sy_status status = read_model(model);
    CHECK_TEXT(SY_STATUS_CLASS(status) == status_class && strstr(error.message, words) != NULL,
               "%s: status %u '%s' where '%s' is wanted", model->family, status, error.message,
               words);
}

static bool has(uint64_t set, sy__role role) {
    return (set & SY__ROLE_BIT(role)) != 0;
}

static void reads_every_family(void) {
    for (uint32_t i = 0; sy__family_at(i) != NULL; i++) {
        const sy__family *family = sy__family_at(i);
        tiny_model model = {.family = family->name, .tied = true};
        expect(&model);
        CHECK(description.family == family && description.n_layers == TINY_LAYERS);
        CHECK(description.n_embd == TINY_EMBD && description.n_vocab == TINY_VOCAB);
        CHECK(description.key_length == TINY_HEAD && description.value_length == TINY_HEAD);
        CHECK(description.layers[3].n_heads == TINY_HEADS);
        CHECK(description.layers[3].n_kv_heads == TINY_KV_HEADS);
        CHECK(description.layers[3].n_ff == TINY_FF && description.epsilon == 1e-6f);
        float scale = family->scale_rule == SY__SCALE_ONE ? 1.0f : 1.0f / sqrtf(8.0f);
        CHECK(fabsf(description.attention_scale - scale) < 1e-7f);
        CHECK(description.tied_output == family->has_output);
        CHECK(description.causal == family->has_output);
        sy_gguf_tensor tensor;
        bool sparse = family->experts == SY__EXPERTS_ALWAYS;
        sy__role down = sparse ? SY__ROLE_EXPERT_DOWN : SY__ROLE_DOWN;
        CHECK(description.layers[3].has_experts == sparse);
        CHECK(description.experts.n_experts == (sparse ? TINY_EXPERTS : 0));
        CHECK(sy__architecture_tensor(&description, down, 3, SY__PART_WEIGHT, &tensor));
        CHECK(sy_gguf_string_is(tensor.name,
                                sparse ? "blk.3.ffn_down_exps.weight" : "blk.3.ffn_down.weight"));
        CHECK(!sy__architecture_tensor(&description, down, 4, SY__PART_WEIGHT, &tensor));
    }
}

static void reads_llama(void) {
    tiny_model model = {.family = "llama", .rope_factors = true};
    expect(&model);
    CHECK(description.norm_kind == SY__NORM_RMS && description.norm_place == SY__NORM_PRE);
    CHECK(description.rope.kind == SY__ROPE_INTERLEAVED);
    CHECK(description.rope.scaling == SY__ROPE_FACTORS && description.rope.base == 10000.0f);
    CHECK(description.rope.n_dims == TINY_HEAD && !description.tied_output);
    CHECK(description.activation == SY__ACTIVATION_SILU && description.gated);
    CHECK(description.embedding_scale == 1.0f && description.output_softcap == 0.0f);
    CHECK(has(description.weights, SY__ROLE_OUTPUT) && description.layers[0].biases == 0);
    CHECK(description.layers[0].window == 0 && !description.layers[0].local_rope);
}

static void reads_qwen(void) {
    tiny_model two = {.family = "qwen2"}, three = {.family = "qwen3"};
    expect(&two);
    CHECK(description.rope.kind == SY__ROPE_HALF && description.rope.scaling == SY__ROPE_PLAIN);
    CHECK(has(description.layers[2].biases, SY__ROLE_QUERY));
    CHECK(has(description.layers[2].biases, SY__ROLE_VALUE));
    CHECK(!has(description.layers[2].biases, SY__ROLE_ATTENTION_OUTPUT));
    expect(&three);
    CHECK(has(description.layers[2].weights, SY__ROLE_QUERY_NORM));
    CHECK(description.layers[2].biases == 0);
}

static void gemma3_keys(gguf_writer *out) {
    writer_key_u32(out, "gemma3.attention.sliding_window", 16);
    writer_key_f32(out, "gemma3.rope.freq_base", 1e6f);
    writer_key_f32(out, "gemma3.rope.scaling.factor", 8.0f);
    writer_key_string(out, "gemma3.rope.scaling.type", "linear");
}

static void reads_gemma(void) {
    tiny_model one = {.family = "gemma", .tied = true}, two = {.family = "gemma2", .tied = true};
    tiny_model three = {.family = "gemma3",
                        .tied = true,
                        .n_layers = 12,
                        .more_keys = gemma3_keys,
                        .n_more_keys = 4};
    expect(&one);
    CHECK(fabsf(description.embedding_scale - sqrtf(32.0f)) < 1e-6f);
    CHECK(description.activation == SY__ACTIVATION_GELU_TANH);
    CHECK(description.norm_place == SY__NORM_PRE && description.attention_softcap == 0.0f);
    expect(&two);
    CHECK(description.norm_place == SY__NORM_BOTH);
    CHECK(description.attention_softcap == 50.0f && description.output_softcap == 30.0f);
    CHECK(description.layers[0].window == 4096 && description.layers[1].window == 0);
    CHECK(description.layers[2].window == 4096 && description.layers[2].local_rope);
    CHECK(description.rope_local.base == description.rope.base);
    expect(&three);
    for (uint32_t i = 0; i < 12; i++) {
        CHECK(description.layers[i].window == (i % 6 == 5 ? 0u : 16u));
        CHECK(description.layers[i].local_rope == (i % 6 != 5));
    }
    CHECK(description.rope.base == 1e6f && description.rope.factor == 8.0f);
    CHECK(description.rope.scaling == SY__ROPE_LINEAR);
    CHECK(description.rope_local.base == 10000.0f && description.rope_local.factor == 1.0f);
    CHECK(description.output_softcap == 0.0f);
}

static void gemma4_keys(gguf_writer *out) {
    writer_key_u32(out, "gemma4.attention.sliding_window", 16);
    writer_key_u32(out, "gemma4.attention.sliding_window_pattern", 2);
    writer_key_u32(out, "gemma4.attention.shared_kv_layers", 2);
}

static void gemma4_all_shared(gguf_writer *out) {
    writer_key_u32(out, "gemma4.attention.sliding_window", 16);
    writer_key_u32(out, "gemma4.attention.shared_kv_layers", TINY_LAYERS);
}

static void gemma4_nothing_alike(gguf_writer *out) {
    writer_key_u32(out, "gemma4.attention.sliding_window", 16);
    writer_key_u32(out, "gemma4.attention.sliding_window_pattern", 4);
    writer_key_u32(out, "gemma4.attention.shared_kv_layers", 2);
}

/* The last layers read the states of the last layer that is like them and has its own. */
static void reads_shared_states(void) {
    tiny_model model = {
        .family = "gemma4", .tied = true, .more_keys = gemma4_keys, .n_more_keys = 3};
    expect(&model);
    CHECK(description.layers[0].i_states == 0 && description.layers[1].i_states == 1);
    CHECK(description.layers[2].i_states == 0 && description.layers[3].i_states == 1);
    CHECK(has(description.layers[1].weights, SY__ROLE_KEY));
    CHECK(
        !has(description.layers[2].weights, SY__ROLE_KEY)); /* in the file, but nothing reads it */
    model.leave_out = "blk.3.attn_k.weight";
    expect(&model);
    model.leave_out = "blk.1.attn_k.weight";
    refuse(&model, SY_NOT_FOUND, "blk.1.attn_k.weight");
    model = (tiny_model){.family = "gemma4", .more_keys = gemma4_all_shared, .n_more_keys = 2};
    refuse(&model, SY_OUT_OF_RANGE, "shared_kv_layers");
    model = (tiny_model){.family = "gemma4", .more_keys = gemma4_nothing_alike, .n_more_keys = 3};
    refuse(&model, SY_DATA_LOSS, "Layer 3 is to share");
}

static void altup_past_the_end(gguf_writer *out) {
    writer_key_u32(out, "gemma3n.altup.active_idx", TINY_ALTUP);
}

static void sparsity_keys(gguf_writer *out) {
    const float cuts[TINY_LAYERS] = {1.5f, -INFINITY, 0.0f, NAN};
    writer_key_array(out, "gemma3n.activation_sparsity_scale", SY_GGUF_F32, TINY_LAYERS);
    writer_put(out, cuts, sizeof(cuts));
}

static void reads_altup(void) {
    tiny_model model = {
        .family = "gemma3n", .tied = true, .more_keys = sparsity_keys, .n_more_keys = 1};
    expect(&model);
    CHECK(description.n_altup == TINY_ALTUP && description.n_laurel == TINY_LAUREL);
    CHECK(description.layers[0].sparsity == 1.5f && description.layers[1].sparsity == 0.0f);
    CHECK(description.layers[2].sparsity == 0.0f && description.layers[3].sparsity == 0.0f);
    model.more_keys = altup_past_the_end;
    refuse(&model, SY_DATA_LOSS, "altup");
}

static void gemma3_pattern_keys(gguf_writer *out) {
    writer_key_u32(out, "gemma3.attention.sliding_window", 16);
    writer_key_array(out, "gemma3.attention.sliding_window_pattern", SY_GGUF_BOOL, TINY_LAYERS);
    writer_put(out, "\1\0\0\1", 4);
}

static void reads_window_pattern_per_layer(void) {
    tiny_model model = {.family = "gemma3", .more_keys = gemma3_pattern_keys, .n_more_keys = 2};
    expect(&model);
    CHECK(description.layers[0].window == 16 && description.layers[1].window == 0);
    CHECK(description.layers[2].window == 0 && description.layers[3].window == 16);
    model.n_layers = 3;
    refuse(&model, SY_DATA_LOSS, "4 elements for 3 layers");
    model = (tiny_model){.family = "gemma3"}; /* no window key: no windows */
    expect(&model);
    CHECK(description.layers[0].window == 0 && !description.layers[0].local_rope);
}

/* The scale of the 27 B models follows their layer count. */
static void reads_gemma_27b_scale(void) {
    CHECK(sy__family_find((sy_gguf_string){"gemma2", 6})->n_width_layers == 46);
    CHECK(sy__family_find((sy_gguf_string){"gemma3", 6})->n_width_layers == 62);
}

/* A bias of one of three matrices that are stored as one would be left out of the sum. */
static void refuses_parts_beside_fused_matrices(void) {
    static const char *const parts[] = {"blk.1.attn_q.weight", "blk.1.attn_v.bias",
                                        "blk.1.ffn_gate.bias"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        tiny_model model = {.family = "phi3", .fused = true, .extra_tensor = parts[i]};
        refuse(&model, SY_UNIMPLEMENTED, parts[i]);
    }
}

static void phi3_keys(gguf_writer *out) {
    writer_key_u32(out, "phi3.attention.sliding_window", 100);
    writer_key_u32(out, "phi3.rope.scaling.original_context_length", 64);
    writer_key_f32(out, "phi3.rope.scaling.attn_factor", 1.19f);
    writer_key_u32(out, "phi3.rope.dimension_count", 6);
}

static void reads_phi3(void) {
    tiny_model model = {.family = "phi3", .fused = true};
    expect(&model);
    CHECK(description.layers[1].fused_qkv && description.layers[1].fused_gate_up);
    CHECK(has(description.layers[1].weights, SY__ROLE_QKV));
    CHECK(!has(description.layers[1].weights, SY__ROLE_QUERY));
    CHECK(!has(description.layers[1].weights, SY__ROLE_GATE));
    CHECK(description.rope.scaling == SY__ROPE_PLAIN && description.layers[1].window == 0);
    model = (tiny_model){.family = "phi3",
                         .fused = true,
                         .longrope = true,
                         .more_keys = phi3_keys,
                         .n_more_keys = 4};
    refuse(&model, SY_DATA_LOSS, "rope_factors_long.weight"); /* 4 factors for 3 pairs */
    model.longrope = false;
    expect(&model);
    CHECK(description.layers[1].window == 100 && description.rope.n_dims == 6);
    CHECK(description.rope.n_original_context == 64);
    CHECK(description.rope.attention_factor == 1.19f);
}

static void reads_longrope_by_its_tensors(void) {
    tiny_model model = {.family = "phi3", .fused = true, .longrope = true};
    expect(&model);
    CHECK(description.rope.scaling == SY__ROPE_LONGROPE);
    model.leave_out = "rope_factors_short.weight";
    refuse(&model, SY_NOT_FOUND, "rope_factors_short.weight");
}

static void bert_keys(gguf_writer *out) {
    writer_key_bool(out, "bert.attention.causal", 0);
    writer_key_u32(out, "bert.pooling_type", 2);
}

static void reads_bert(void) {
    tiny_model model = {.family = "bert", .more_keys = bert_keys, .n_more_keys = 2};
    expect(&model);
    CHECK(description.norm_kind == SY__NORM_LAYER && description.norm_place == SY__NORM_POST);
    CHECK(!description.causal && !description.has_output && !description.gated);
    CHECK(description.pooling == SY__POOLING_FIRST && description.n_token_types == 2);
    CHECK(description.rope.kind == SY__ROPE_NONE);
    CHECK(description.activation == SY__ACTIVATION_GELU);
    CHECK(has(description.biases, SY__ROLE_EMBEDDING_NORM));
    CHECK(has(description.layers[0].biases, SY__ROLE_LAYER_OUTPUT_NORM));
    CHECK(has(description.layers[0].biases, SY__ROLE_ATTENTION_OUTPUT));
    model = (tiny_model){.family = "nomic-bert", .fused = false};
    expect(&model);
    CHECK(description.rope.kind == SY__ROPE_HALF && description.gated);
}

/* Leaving out any tensor or mandatory key is noticed and named. */
static void names_what_is_missing(void) {
    static const char *const keys[] = {"block_count",          "embedding_length",
                                       "context_length",       "feed_forward_length",
                                       "attention.head_count", "attention.layer_norm_rms_epsilon"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        tiny_model model = {.family = "llama", .leave_out = keys[i]};
        refuse(&model, SY_NOT_FOUND, keys[i]);
    }
    for (uint32_t i_family = 0; sy__family_at(i_family) != NULL; i_family++) {
        tiny_model whole = {.family = sy__family_at(i_family)->name, .tied = true};
        tiny_tensors(&whole);
        for (uint32_t i = 0; i < whole.n_tensors; i++) {
            const char *name = whole.tensors[i].name;
            tiny_model model = {.family = whole.family, .tied = true, .leave_out = name};
            bool values = strstr(name, "attn_v.") != NULL && sy__family_at(i_family)->value_norm;
            bool optional = values || strstr(name, "token_types") != NULL ||
                            (strstr(name, ".bias") != NULL && strstr(name, "norm") == NULL);
            bool fused = strstr(name, "ffn_gate.") != NULL; /* then ffn_up has the wrong size */
            if (optional) {
                expect(&model);
            } else {
                refuse(&model, fused ? SY_DATA_LOSS : SY_NOT_FOUND, fused ? "ffn_up" : name);
            }
        }
    }
}

static void refuses_unknown_things(void) {
    tiny_model model = {.family = "mamba"};
    refuse(&model, SY_UNIMPLEMENTED, "'mamba' is not supported");
    for (uint32_t i = 0; sy__family_at(i) != NULL; i++) {
        CHECK(strstr(error.hint, sy__family_at(i)->name) != NULL);
    }
    model = (tiny_model){.family = "llama", .extra_tensor = "blk.0.ssm_in.weight"};
    refuse(&model, SY_UNIMPLEMENTED, "blk.0.ssm_in.weight");
    model = (tiny_model){.family = "qwen2", .extra_tensor = "blk.4.attn_q.weight"};
    refuse(&model, SY_UNIMPLEMENTED, "blk.4.attn_q.weight"); /* one layer too many */
}

/* A scale has one number and stands beside a matrix. */
static void refuses_bad_scales(void) {
    tiny_model model = {.family = "llama", .extra_tensor = "blk.0.attn_q.scale"};
    refuse(&model, SY_DATA_LOSS, "where 1 x 1 x 1 is wanted");
    model = (tiny_model){.family = "llama", .extra_tensor = "output.input_scale"};
    refuse(&model, SY_DATA_LOSS, "where 1 x 1 x 1 is wanted");
    model = (tiny_model){.family = "llama", .extra_tensor = "blk.0.attn_norm.scale"};
    refuse(&model, SY_UNIMPLEMENTED, "has no place");
    model = (tiny_model){.family = "llama", .tied = true, .extra_tensor = "output.scale"};
    refuse(&model, SY_UNIMPLEMENTED, "has no place");
}

static const char *bad_key;
static sy_gguf_type bad_type;
static uint64_t bad_bits;

static void one_bad_key(gguf_writer *out) {
    static const uint8_t sizes[SY_GGUF_TYPE_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    writer_key_number(out, bad_key, bad_type, &bad_bits, sizes[bad_type]);
}

typedef struct bad_value {
    const char *key; /* without "llama." */
    bool replaces;   /* the tiny model writes this key itself */
    sy_gguf_type type;
    uint64_t bits;
    uint32_t status_class;
} bad_value;

#define F32_NAN 0x7fc00000u
#define F32_INFINITY 0x7f800000u
#define F32_MINUS_1 0xbf800000u
#define F32_1 0x3f800000u

static const bad_value bad_values[] = {
    {"block_count", true, SY_GGUF_U32, 0, SY_OUT_OF_RANGE},
    {"block_count", true, SY_GGUF_U32, 1025, SY_OUT_OF_RANGE},
    {"block_count", true, SY_GGUF_I32, UINT32_MAX, SY_OUT_OF_RANGE},
    {"block_count", true, SY_GGUF_F32, F32_1, SY_INVALID_ARGUMENT},
    {"block_count", true, SY_GGUF_U32, 5, SY_NOT_FOUND},
    {"block_count", true, SY_GGUF_U32, 3, SY_UNIMPLEMENTED},
    {"embedding_length", true, SY_GGUF_U32, 0, SY_OUT_OF_RANGE},
    {"embedding_length", true, SY_GGUF_U32, 64, SY_DATA_LOSS},
    {"embedding_length", true, SY_GGUF_U64, UINT64_MAX, SY_OUT_OF_RANGE},
    {"context_length", true, SY_GGUF_U32, 0, SY_OUT_OF_RANGE},
    {"context_length", true, SY_GGUF_U32, UINT32_MAX, SY_OUT_OF_RANGE},
    {"feed_forward_length", true, SY_GGUF_U32, 0, SY_OUT_OF_RANGE},
    {"feed_forward_length", true, SY_GGUF_U32, 63, SY_DATA_LOSS},
    {"attention.head_count", true, SY_GGUF_U32, 0, SY_OUT_OF_RANGE},
    {"attention.head_count", true, SY_GGUF_U32, 3, SY_DATA_LOSS},
    {"attention.head_count", true, SY_GGUF_U32, 4096, SY_DATA_LOSS},
    {"attention.head_count", true, SY_GGUF_U32, 5000, SY_OUT_OF_RANGE},
    {"attention.head_count_kv", true, SY_GGUF_U32, 0, SY_OUT_OF_RANGE},
    {"attention.head_count_kv", true, SY_GGUF_U32, 3, SY_DATA_LOSS},
    {"attention.head_count_kv", true, SY_GGUF_U32, 8, SY_DATA_LOSS},
    {"attention.layer_norm_rms_epsilon", true, SY_GGUF_F32, F32_NAN, SY_OUT_OF_RANGE},
    {"attention.layer_norm_rms_epsilon", true, SY_GGUF_F32, F32_INFINITY, SY_OUT_OF_RANGE},
    {"attention.layer_norm_rms_epsilon", true, SY_GGUF_F32, 0, SY_OUT_OF_RANGE},
    {"attention.layer_norm_rms_epsilon", true, SY_GGUF_U32, 1, SY_INVALID_ARGUMENT},
    {"attention.key_length", false, SY_GGUF_U32, 0, SY_OUT_OF_RANGE},
    {"attention.key_length", false, SY_GGUF_U32, 9, SY_DATA_LOSS},
    {"attention.value_length", false, SY_GGUF_U32, 4, SY_DATA_LOSS},
    {"attention.scale", false, SY_GGUF_F32, 0, SY_OUT_OF_RANGE},
    {"attention.scale", false, SY_GGUF_F32, F32_NAN, SY_OUT_OF_RANGE},
    {"attn_logit_softcapping", false, SY_GGUF_F32, F32_MINUS_1, SY_OUT_OF_RANGE},
    {"final_logit_softcapping", false, SY_GGUF_F32, F32_NAN, SY_OUT_OF_RANGE},
    {"attention.causal", false, SY_GGUF_U32, 1, SY_INVALID_ARGUMENT},
    {"pooling_type", false, SY_GGUF_U32, 5, SY_OUT_OF_RANGE},
    {"rope.dimension_count", false, SY_GGUF_U32, 0, SY_OUT_OF_RANGE},
    {"rope.dimension_count", false, SY_GGUF_U32, 7, SY_DATA_LOSS},
    {"rope.dimension_count", false, SY_GGUF_U32, 10, SY_DATA_LOSS},
    {"rope.freq_base", false, SY_GGUF_F32, 0, SY_OUT_OF_RANGE},
    {"rope.freq_base", false, SY_GGUF_F32, F32_1, SY_OUT_OF_RANGE},
    {"rope.freq_base", false, SY_GGUF_F32, F32_INFINITY, SY_OUT_OF_RANGE},
    {"rope.scaling.factor", false, SY_GGUF_F32, F32_MINUS_1, SY_OUT_OF_RANGE},
    {"rope.scaling.factor", false, SY_GGUF_F32, 1, SY_OUT_OF_RANGE}, /* a denormal */
    {"rope.scaling.factor", false, SY_GGUF_F32, F32_NAN, SY_OUT_OF_RANGE},
    {"rope.scaling.type", false, SY_GGUF_U32, 1, SY_INVALID_ARGUMENT},
    {"rope.scaling.attn_factor", false, SY_GGUF_F32, 0, SY_OUT_OF_RANGE},
    {"rope.scaling.original_context_length", false, SY_GGUF_U32, 0, SY_OUT_OF_RANGE},
    {"expert_count", false, SY_GGUF_U32, 8, SY_NOT_FOUND}, /* of how many a token uses */
    {"expert_count", false, SY_GGUF_U32, UINT32_MAX, SY_OUT_OF_RANGE},
    {"attention.clamp_kqv", false, SY_GGUF_F32, F32_1, SY_UNIMPLEMENTED},
    {"residual_scale", false, SY_GGUF_F32, F32_1, SY_UNIMPLEMENTED},
};

static void refuses_bad_values(void) {
    for (size_t i = 0; i < sizeof(bad_values) / sizeof(bad_values[0]); i++) {
        const bad_value *bad = &bad_values[i];
        char key[128];
        snprintf(key, sizeof(key), "llama.%s", bad->key);
        bad_key = key;
        bad_type = bad->type;
        bad_bits = bad->bits;
        tiny_model model = {.family = "llama",
                            .more_keys = one_bad_key,
                            .n_more_keys = 1,
                            .leave_out = bad->replaces ? bad->key : NULL};
        sy_status status = read_model(&model);
        CHECK_TEXT(SY_STATUS_CLASS(status) == bad->status_class, "%s = %llx: status %u '%s'",
                   bad->key, (unsigned long long)bad->bits, status, error.message);
    }
}

static void other_keys(gguf_writer *out) {
    writer_key_u32(out, "llama.expert_count", 0); /* some files say "none" in words */
    writer_key_array(out, "llama.attention.head_count", SY_GGUF_I32, TINY_LAYERS);
    writer_put(out, (const uint32_t[]){4, 4, 4, 4}, 16);
    writer_key_string(out, "llama.rope.scaling.type", "yarn");
    writer_key_f32(out, "llama.rope.scaling.factor", 4.0f);
}

static void split_keys(gguf_writer *out) {
    const uint16_t three = 3;
    writer_key_number(out, "split.count", SY_GGUF_U16, &three, 2);
}

static void short_tokens(gguf_writer *out) {
    writer_key_array(out, "tokenizer.ggml.tokens", SY_GGUF_STRING, 1);
    writer_u64(out, 0);
}

static void reads_per_layer_arrays(void) {
    tiny_model model = {.family = "llama",
                        .leave_out = "attention.head_count",
                        .more_keys = other_keys,
                        .n_more_keys = 4};
    expect(&model);
    CHECK(description.layers[3].n_heads == 4 && description.rope.scaling == SY__ROPE_YARN);
    CHECK(description.rope.factor == 4.0f && description.rope.n_original_context == TINY_CONTEXT);
    CHECK(description.rope.beta_fast == 32.0f && description.rope.beta_slow == 1.0f);
}

static void refuses_split_files_and_short_vocabularies(void) {
    tiny_model model = {.family = "llama", .more_keys = split_keys, .n_more_keys = 1};
    refuse(&model, SY_UNIMPLEMENTED, "split into 3 files");
    model = (tiny_model){.family = "llama", .more_keys = short_tokens, .n_more_keys = 1};
    refuse(&model, SY_DATA_LOSS, "1 tokens but 'token_embd.weight' has 20 rows");
}

static void describe_shared(const char *name) {
    char path[512];
    const char *folder = sy_test_shared_dir();
    if (folder == NULL) {
        SKIP("no shared data folder (SY_SHARED_DIR)");
    }
    snprintf(path, sizeof(path), "%s/data/%s", folder, name);
    if (access(path, R_OK) != 0) {
        SKIP("%s is absent", path);
    }
    CHECK_OK_ERROR(sy_gguf_open(NULL, path, &gguf, &error), error);
    CHECK_OK_ERROR(sy__architecture_read(gguf, &description, &error), error);
}

static void describes_shared_models(void) {
    describe_shared("models/stories260k/stories260K-f32.gguf");
    CHECK(description.n_layers == 5 && description.n_embd == 64 && description.n_vocab == 512);
    sy_gguf_close(gguf);
    describe_shared("ref/models/llama-tiny-Q4_K_M.gguf");
    CHECK(description.rope.scaling == SY__ROPE_FACTORS && description.rope.base == 5e5f);
    sy_gguf_close(gguf);
    describe_shared("ref/models/qwen2-tiny-Q8_0.gguf");
    CHECK(has(description.layers[0].biases, SY__ROLE_KEY) && description.tied_output);
    sy_gguf_close(gguf);
    describe_shared("ref/models/gemma3-tiny-Q4_0.gguf");
    CHECK(description.layers[0].window == 16 && description.layers[5].window == 0);
    CHECK(description.layers[0].n_kv_heads == 1 && description.key_length == 64);
    sy_gguf_close(gguf);
    gguf = NULL;
}

static void tells_facts_without_loading(void) {
    sy_model_facts facts = {.struct_bytes = 0};
    tiny_model model = {.family = "gemma3",
                        .tied = true,
                        .n_layers = 12,
                        .more_keys = gemma3_keys,
                        .n_more_keys = 4};
    expect(&model);
    CHECK(sy_model_describe(NULL, gguf, &facts, &error) == SY_INVALID_ARGUMENT);
    facts.struct_bytes = (uint32_t)sizeof(facts);
    CHECK_OK_ERROR(sy_model_describe(NULL, gguf, &facts, &error), error);
    CHECK(strcmp(facts.architecture, "gemma3") == 0 && strcmp(facts.rope, "linear") == 0);
    CHECK(facts.window == 16 && facts.n_windowed_layers == 10 && facts.n_layers == 12);
    CHECK(facts.kv_elements_per_token == 12 * TINY_KV_HEADS * 2 * TINY_HEAD);
    CHECK(facts.has_tied_output == 1 && facts.is_encoder == 0);
    model = (tiny_model){.family = "llama", .extra_tensor = "blk.0.odd.weight"};
    CHECK(read_model(&model) != SY_OK);
    CHECK(sy_model_describe(NULL, gguf, &facts, &error) == SY_UNIMPLEMENTED);
    CHECK(facts.n_layers == 12); /* untouched */
    sy_budget budget;
    sy_budget_init(&budget, NULL, 1000);
    CHECK(SY_STATUS_CLASS(sy_model_describe(&budget.allocator, gguf, &facts, &error)) ==
          SY_RESOURCE_EXHAUSTED);
}

/* Every byte of the metadata replaced by each of a few values: a status and a sentence, never a
 * crash or a value out of its range. */
static void survives_any_byte(void) {
    static const uint8_t bytes[] = {0, 1, 0x7f, 0x80, 0xff};
    static uint8_t copy[WRITER_BYTES];
    tiny_model model = {
        .family = "gemma3", .n_layers = 1, .more_keys = gemma3_keys, .n_more_keys = 4};
    expect(&model);
    uint64_t n_metadata = sy_gguf_get_facts(gguf)->metadata_bytes;
    sy_gguf_close(gguf);
    gguf = NULL;
    memcpy(copy, writer.bytes, writer.n_bytes);
    for (uint64_t i = 0; i < n_metadata * sizeof(bytes); i++) {
        uint64_t where = i / sizeof(bytes);
        copy[where] = bytes[i % sizeof(bytes)];
        if (sy_gguf_open_memory(NULL, copy, writer.n_bytes, "byte", &gguf, &error) == SY_OK) {
            sy_status status = sy__architecture_read(gguf, &description, &error);
            CHECK(status == SY_OK || error.message[0] != '\0');
            CHECK(status != SY_OK || (description.layers[0].n_kv_heads >= 1 &&
                                      description.n_layers <= SY_LIMIT_LAYERS));
            sy_gguf_close(gguf);
        }
        copy[where] = writer.bytes[where];
    }
    gguf = NULL;
}

static void last_row_keys(gguf_writer *out) {
    writer_key_u32(out, "qwen3.pooling_type", 3);
}

static void lfm2_pooling_keys(gguf_writer *out) {
    writer_key_u32(out, "lfm2.pooling_type", 3);
}

static void reads_a_decoder_that_pools(void) {
    tiny_model model = {.family = "qwen3", .more_keys = last_row_keys, .n_more_keys = 1};
    expect(&model);
    CHECK(!description.has_output && description.causal && !description.tied_output);
    CHECK(description.pooling == SY__POOLING_LAST);
    model = (tiny_model){.family = "lfm2", .more_keys = lfm2_pooling_keys, .n_more_keys = 1};
    CHECK(read_model(&model) == SY_UNIMPLEMENTED);
    CHECK(strstr(error.message, "lfm2.pooling_type") != NULL);
}

static const sy_test_case cases[] = {
    {"reads_a_decoder_that_pools", reads_a_decoder_that_pools},
    {"reads_every_family", reads_every_family},
    {"reads_llama", reads_llama},
    {"reads_qwen", reads_qwen},
    {"reads_gemma", reads_gemma},
    {"reads_shared_states", reads_shared_states},
    {"reads_altup", reads_altup},
    {"reads_window_pattern_per_layer", reads_window_pattern_per_layer},
    {"reads_gemma_27b_scale", reads_gemma_27b_scale},
    {"reads_phi3", reads_phi3},
    {"refuses_parts_beside_fused_matrices", refuses_parts_beside_fused_matrices},
    {"reads_longrope_by_its_tensors", reads_longrope_by_its_tensors},
    {"reads_bert", reads_bert},
    {"names_what_is_missing", names_what_is_missing},
    {"refuses_unknown_things", refuses_unknown_things},
    {"refuses_bad_scales", refuses_bad_scales},
    {"refuses_bad_values", refuses_bad_values},
    {"reads_per_layer_arrays", reads_per_layer_arrays},
    {"refuses_split_files_and_short_vocabularies", refuses_split_files_and_short_vocabularies},
    {"describes_shared_models", describes_shared_models},
    {"tells_facts_without_loading", tells_facts_without_loading},
    {"survives_any_byte", survives_any_byte},
};
SY_TEST_MAIN(cases)
