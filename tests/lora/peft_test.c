/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters as peft saves them, and adapters in block types: the same numbers give the same bits,
 * whatever file they lie in; and the sentence that refuses what is not run. */
#include "lora/peft_folder.h"
#include "switchyard/huggingface.h"

#define N_PROMPT 9u
#define N_MORE 4u
#define N_SESSIONS 3u
#define BITS (TINY_VOCAB * sizeof(float))

static void open_engine(engine_kit *kit, const sy_allocator *allocator, const char *plugins) {
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.n_adapters = 2;
    options.adapter_rank = 32;
    options.n_sequences = N_SESSIONS;
    CHECK_OK_ERROR(engine_kit_open(kit, allocator, 2, plugins, &options), kit->error);
}

static sy_adapter *load(engine_kit *kit, const char *path) {
    sy_adapter *adapter = NULL;
    CHECK_OK_ERROR(sy_adapter_load(kit->engine, path, &adapter, &kit->error), kit->error);
    return adapter;
}

/* A session with the prompt in it. */
static sy_session *start(engine_kit *kit, sy_adapter *adapter) {
    static const int32_t prompt[N_PROMPT] = {1, 5, 9, 13, 2, 7, 19, 4, 11};
    sy_session *session = NULL;
    CHECK_OK_ERROR(sy_session_open(kit->engine, 64, &session, &kit->error), kit->error);
    CHECK_OK_ERROR(sy_session_set_adapter(session, adapter, 1.0f, &kit->error), kit->error);
    CHECK_OK_ERROR(sy_session_prefill(session, prompt, N_PROMPT, &kit->error), kit->error);
    return session;
}

static const float *logits_of(engine_kit *kit, sy_session *session) {
    const float *logits = NULL;
    CHECK_OK_ERROR(sy_session_logits(session, &logits, &kit->error), kit->error);
    return logits;
}

/* Two adapters of equal numbers and none, in the same steps. */
static void check_equal(const char *plugins, const char *path, const char *twin) {
    engine_kit kit;
    sy_session *sessions[N_SESSIONS];
    sy_sampler *samplers[N_SESSIONS] = {NULL};
    int32_t tokens[N_SESSIONS];
    open_engine(&kit, NULL, plugins);
    sessions[0] = start(&kit, load(&kit, path));
    sessions[1] = start(&kit, load(&kit, twin));
    sessions[2] = start(&kit, NULL);
    for (uint32_t i = 0; i < N_MORE; i++) {
        const float *mine = logits_of(&kit, sessions[0]), *its = logits_of(&kit, sessions[1]);
        CHECK_TEXT(memcmp(mine, its, BITS) == 0, "%g %g", (double)mine[0], (double)its[0]);
        CHECK(i > 0 || memcmp(mine, logits_of(&kit, sessions[2]), BITS) != 0);
        sy_status status =
            sy_session_decode_together(sessions, N_SESSIONS, samplers, tokens, &kit.error);
        CHECK_OK_ERROR(status, kit.error);
    }
    for (uint32_t i = 0; i < N_SESSIONS; i++) {
        sy_session_close(sessions[i]);
    }
    engine_kit_close(&kit);
}

static void names_and_rows_are_those_of_folders(void) {
    static const char *const names[][3] = {
        {"llama", "model.layers.7.self_attn.q_proj.weight", "blk.7.attn_q.weight"},
        {"llama", "lm_head.weight", "output.weight"},
        {"phi3", "model.layers.0.mlp.gate_up_proj.weight", "blk.0.ffn_up.weight"},
        {"gemma3", "model.language_model.layers.12.mlp.down_proj.weight", "blk.12.ffn_down.weight"},
        {"llama", "model.layers.7.self_attn.z_proj.weight", NULL},
        {"llama", "model.layers.q_proj.weight", NULL},
        {"llama", "layer.7.mlp.down_proj.weight", NULL},
        {"no such architecture", "model.layers.7.self_attn.q_proj.weight", NULL},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char ours[SY_LIMIT_NAME_BYTES + 1];
        int found = sy_huggingface_tensor_name(names[i][0], names[i][1], ours, sizeof(ours));
        CHECK(found == (names[i][2] != NULL));
        CHECK(!found || strcmp(ours, names[i][2]) == 0);
    }
    for (uint64_t i = 0; i < 24; i++) { /* heads of 8 rows */
        static const uint64_t rows[8] = {0, 4, 1, 5, 2, 6, 3, 7};
        CHECK(sy_huggingface_head_row(i, 4) == i / 8 * 8 + rows[i % 8]);
    }
}

static void a_folder_equals_its_conversion(void) {
    const peft_plan plan = {.seed = 3, .rank = 6};
    const char *folder = peft_folder(&plan), *twin = peft_twin(&plan, SY_TYPE_F32, true);
    char path[160];
    check_equal(NULL, folder, twin);
    if (built_plugins() != NULL) {
        check_equal(built_plugins(), folder, twin);
    }
    peft_path(folder, 1, path); /* the weights' own path */
    check_equal(NULL, path, twin);
}

/* B's rows are blocks only where the rank is a multiple of theirs. */
static void blocks_equal_what_they_hold(void) {
    static const sy_element_type types[] = {SY_TYPE_Q8_0, SY_TYPE_Q4_0, SY_TYPE_Q5_1};
    const peft_plan plan = {.seed = 4, .rank = 32};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        const char *blocks = peft_twin(&plan, types[i], false);
        const char *twin = peft_twin(&plan, types[i], true);
        check_equal(NULL, blocks, twin);
        if (built_plugins() != NULL) {
            check_equal(built_plugins(), blocks, twin);
        }
    }
}

/* Whether two configurations of the same matrices give the same bits. */
static bool same_scales(const char *members, const char *others) {
    engine_kit kit;
    open_engine(&kit, NULL, NULL);
    sy_session *sessions[2];
    for (int i = 0; i < 2; i++) {
        const peft_plan plan = {.seed = 5, .rank = 4, .members = i == 0 ? members : others};
        sessions[i] = start(&kit, load(&kit, peft_folder(&plan)));
    }
    const float *mine = logits_of(&kit, sessions[0]), *its = logits_of(&kit, sessions[1]);
    bool same = memcmp(mine, its, BITS) == 0;
    sy_session_close(sessions[0]);
    sy_session_close(sessions[1]);
    engine_kit_close(&kit);
    return same;
}

static void configurations_say_the_scale(void) {
    CHECK(same_scales("\"use_rslora\":true,", "\"lora_alpha\":24,"));
    CHECK(!same_scales("\"use_rslora\":true,", ""));
    CHECK(same_scales("\"alpha_pattern\":{\"proj\":3,\"0.self_attn.q_proj\":12},", ""));
    CHECK(!same_scales("\"alpha_pattern\":{\"0.self_attn.q_proj\":3},", ""));
    CHECK(!same_scales("\"alpha_pattern\":{\"^model.layers.0.mlp.gate_proj\":3},", ""));
    CHECK(!same_scales("\"alpha_pattern\":{\"layers\\\\.1\\\\.mlp.up_proj\":3},", ""));
    CHECK(same_scales("\"alpha_pattern\":{\"^layers.0.mlp.gate_proj\":3,\"x.up_proj\":2},", ""));
    CHECK(same_scales("\"alpha_pattern\":{\"lm_head\":12,\"l._head\":3},\"fan_in_fan_out\":true,"
                      "\"lora_dropout\":0.1,\"target_parameters\":[],\"something_new\":false,"
                      "\"init_lora_weights\":\"gaussian\",\"target_modules\":\"all-linear\",",
                      ""));
}

static void expect(engine_kit *kit, const peft_plan *plan, sy_status status, const char *text) {
    sy_adapter *adapter = NULL;
    sy_status found = sy_adapter_load(kit->engine, peft_folder(plan), &adapter, &kit->error);
    CHECK_TEXT(SY_STATUS_CLASS(found) == status && adapter == NULL, "%s: %s", text,
               kit->error.message);
    CHECK_TEXT(strstr(kit->error.message, text) != NULL, "'%s' says nothing of '%s'",
               kit->error.message, text);
}

static void configurations_that_are_not_run_are_refused(void) {
    static const struct {
        const char *members, *text;
        sy_status status;
    } bad[] = {
        {"\"use_dora\":true,", "'use_dora'", SY_UNIMPLEMENTED},
        {"\"bias\":\"all\",", "'bias'", SY_UNIMPLEMENTED},
        {"\"lora_bias\":true,", "'lora_bias'", SY_UNIMPLEMENTED},
        {"\"modules_to_save\":[\"lm_head\"],", "'modules_to_save'", SY_UNIMPLEMENTED},
        {"\"init_lora_weights\":\"pissa_niter_4\",", "'init_lora_weights'", SY_UNIMPLEMENTED},
        {"\"layer_replication\":[[0,1]],", "'layer_replication'", SY_UNIMPLEMENTED},
        {"\"trainable_token_indices\":[3],", "'trainable_token_indices'", SY_UNIMPLEMENTED},
        {"\"target_parameters\":[\"experts.up\"],", "'target_parameters'", SY_UNIMPLEMENTED},
        {"\"alora_invocation_tokens\":[1,2],", "aLoRA", SY_UNIMPLEMENTED},
        {"\"frobnicate\":3,", "'frobnicate'", SY_UNIMPLEMENTED},
        {"\"peft_type\":\"LOHA\",", "'peft_type'", SY_UNIMPLEMENTED},
        {"\"rank_pattern\":{\"[qk]_proj\":4},", "'rank_pattern'", SY_UNIMPLEMENTED},
        {"\"alpha_pattern\":{\"q_proj\":\"4\"},", "'alpha_pattern'", SY_DATA_LOSS},
        {"\"alpha_pattern\":7,", "'alpha_pattern'", SY_DATA_LOSS},
        {"\"alpha_pattern\":{\"q_proj\":1e300},", "alpha for", SY_DATA_LOSS},
        {"\"rank_pattern\":{\"q_proj\":5},", "rank 4", SY_DATA_LOSS},
        {"\"r\":5,", "rank 4", SY_DATA_LOSS},
        {"\"r\":0,", "'r'", SY_DATA_LOSS},
        {"\"lora_alpha\":\"x\",", "'lora_alpha'", SY_DATA_LOSS},
        {"\"target_modules\":[\"k_proj\"],", "none of the modules", SY_DATA_LOSS},
        {"\"target_modules\":{\"k_proj\":1},", "'target_modules'", SY_DATA_LOSS},
    };
    engine_kit kit;
    open_engine(&kit, NULL, NULL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const peft_plan plan = {.rank = 4, .members = bad[i].members};
        expect(&kit, &plan, bad[i].status, bad[i].text);
    }
    expect(&kit, &(peft_plan){.rank = 4, .config = "[1]"}, SY_DATA_LOSS, "'peft_type'");
    expect(&kit, &(peft_plan){.rank = 4, .config = "{\"r\":"}, SY_DATA_LOSS, "JSON");
    engine_kit_close(&kit);
}

static void tensors_that_are_not_run_are_refused(void) {
    engine_kit kit;
    sy_adapter *adapter = NULL;
    char path[160];
    open_engine(&kit, NULL, NULL);
    peft_plan plan = {.rank = 4, .module = peft_modules[0], .flat = true};
    expect(&kit, &plan, SY_UNIMPLEMENTED, "1 dimensions");
    plan = (peft_plan){.rank = 4, .module = "model.layers.0.mlp.experts.2.up_proj"};
    expect(&kit, &plan, SY_UNIMPLEMENTED, "experts");
    plan = (peft_plan){.rank = 4, .module = "model.layers.9.self_attn.q_proj"};
    expect(&kit, &plan, SY_INVALID_ARGUMENT, "'model.layers.9.self_attn.q_proj.weight'");
    plan.module = "model.vision.q_proj";
    expect(&kit, &plan, SY_INVALID_ARGUMENT, "'model.vision.q_proj.weight'");
    plan.module = "model.layers.0.self_attn.k_proj"; /* as many rows as queries have */
    expect(&kit, &plan, SY_INVALID_ARGUMENT, "32 outputs");
    plan.module = peft_modules[0];
    plan.ends[0] = "lora_embedding_A";
    expect(&kit, &plan, SY_UNIMPLEMENTED, "embedding");
    plan.ends[0] = "lora_magnitude_vector";
    expect(&kit, &plan, SY_UNIMPLEMENTED, "DoRA");
    plan.ends[0] = "base_layer.weight";
    expect(&kit, &plan, SY_UNIMPLEMENTED, "save_embedding_layers");
    plan.ends[0] = "weight";
    expect(&kit, &plan, SY_UNIMPLEMENTED, "neither lora_A nor lora_B");
    plan.ends[0] = "bias.lora_A.weight"; /* of a module 'q_proj.bias' */
    expect(&kit, &plan, SY_DATA_LOSS, "none of the modules");
    const char *folder = peft_folder(&(peft_plan){.rank = 4});
    peft_path(folder, 1, path);
    CHECK(unlink(path) == 0);
    CHECK(sy_adapter_load(kit.engine, folder, &adapter, &kit.error) == SY_NOT_FOUND);
    CHECK(strstr(kit.error.hint, "safe_serialization") != NULL);
    peft_path(folder, 0, path);
    CHECK(unlink(path) == 0);
    CHECK(sy_adapter_load(kit.engine, folder, &adapter, &kit.error) == SY_NOT_FOUND);
    CHECK(strstr(kit.error.hint, "adapter_config.json") != NULL);
    engine_kit_close(&kit);
}

/* File i of a folder: every byte changed, and the file cut short at every length. */
static void damage(engine_kit *kit, const char *folder, int i, uint32_t out_n[2]) {
    char path[160];
    uint8_t bytes[4096];
    peft_path(folder, i, path);
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    size_t n_bytes = fread(bytes, 1, sizeof(bytes), file);
    CHECK(n_bytes < sizeof(bytes) && fclose(file) == 0);
    for (size_t k = 0; k < 2 * n_bytes; k++) {
        sy_adapter *adapter = NULL;
        uint8_t kept = bytes[k / 2];
        bytes[k / 2] ^= (uint8_t)(1u << k / 2 % 8);
        peft_put(folder, i, bytes, k % 2 == 0 ? n_bytes : k / 2);
        bytes[k / 2] = kept;
        sy_status status = sy_adapter_load(kit->engine, folder, &adapter, &kit->error);
        CHECK(status == SY_OK || kit->error.message[0] != '\0');
        CHECK_OK(sy_adapter_unload(adapter, NULL));
        out_n[status == SY_OK]++;
    }
    peft_put(folder, i, bytes, n_bytes);
}

static void damaged_files_do_no_harm(void) {
    engine_kit kit;
    uint32_t n[2] = {0, 0}; /* refused, taken */
    const peft_plan plan = {.rank = 2,
                            .module = peft_modules[0],
                            .members = "\"alpha_pattern\":{\"a\\\\.b\":3},\"use_rslora\":true,"};
    const char *folder = peft_folder(&plan);
    open_engine(&kit, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        damage(&kit, folder, i, n);
    }
    CHECK_TEXT(n[0] > 500 && n[1] > 500, "%u refused, %u taken", n[0], n[1]);
    engine_kit_close(&kit);
}

static void every_allocation_of_a_load_fails(void) {
    const peft_plan plan = {
        .rank = 32, .members = "\"alpha_pattern\":{\"a\\\\.b\":3},\"rank_pattern\":{\"c\":3},"};
    adapter_fail_every_allocation(peft_folder(&plan));
    adapter_fail_every_allocation(peft_twin(&plan, SY_TYPE_Q8_0, false));
}

static const sy_test_case cases[] = {
    {"names_and_rows_are_those_of_folders", names_and_rows_are_those_of_folders},
    {"a_folder_equals_its_conversion", a_folder_equals_its_conversion},
    {"blocks_equal_what_they_hold", blocks_equal_what_they_hold},
    {"configurations_say_the_scale", configurations_say_the_scale},
    {"configurations_that_are_not_run_are_refused", configurations_that_are_not_run_are_refused},
    {"tensors_that_are_not_run_are_refused", tensors_that_are_not_run_are_refused},
    {"damaged_files_do_no_harm", damaged_files_do_no_harm},
    {"every_allocation_of_a_load_fails", every_allocation_of_a_load_fails},
};
SY_TEST_MAIN(cases)
