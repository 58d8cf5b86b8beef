/* SPDX-License-Identifier: Apache-2.0 */
/* Adapter files: which are taken, and the sentence that refuses the others. */
#include "lora/adapter_file.h"

static void facts_are_read(void) {
    sy_adapter_facts facts;
    sy_error error;
    const char *path = adapter_good(3, 5, SY_TYPE_F32);
    CHECK_OK_ERROR(sy_adapter_read_facts(NULL, path, &facts, &error), error);
    CHECK(facts.rank == 5 && facts.n_pairs == 8 && facts.n_bytes > 1000);
    CHECK(sy_adapter_read_facts(NULL, engine_model(), &facts, &error) == SY_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "no LoRA adapter") != NULL);
    CHECK(sy_adapter_read_facts(NULL, "/nowhere/a.gguf", &facts, &error) == SY_NOT_FOUND);
}

static void expect(engine_kit *kit, const adapter_plan *plan, sy_status status, const char *text) {
    sy_adapter *adapter = NULL;
    sy_status found = sy_adapter_load(kit->engine, adapter_file(plan), &adapter, &kit->error);
    CHECK_TEXT(SY_STATUS_CLASS(found) == status && adapter == NULL, "%s: %s", text,
               kit->error.message);
    CHECK_TEXT(strstr(kit->error.message, text) != NULL, "'%s' says nothing of '%s'",
               kit->error.message, text);
}

static void other_models_adapters_are_refused(void) {
    engine_kit kit;
    adapter_engine(&kit, NULL, 2, 8);
    adapter_plan plan = {.rank = 4, .type = SY_TYPE_F32, .architecture = "gemma"};
    expect(&kit, &plan, SY_INVALID_ARGUMENT, "'gemma'");
    plan = (adapter_plan){.rank = 4,
                          .type = SY_TYPE_F32,
                          .tensor = "blk.7.attn_q.weight",
                          .n_inputs = TINY_EMBD,
                          .n_outputs = 32};
    expect(&kit, &plan, SY_INVALID_ARGUMENT, "'blk.7.attn_q.weight'");
    plan.tensor = "token_embd.weight";
    expect(&kit, &plan, SY_INVALID_ARGUMENT, "'token_embd.weight'");
    plan.tensor = "blk.0.attn_q.weight";
    plan.n_inputs = 48;
    expect(&kit, &plan, SY_INVALID_ARGUMENT, "'blk.0.attn_q.weight' is for 48 inputs");
    plan.n_inputs = TINY_EMBD;
    plan.n_outputs = 64;
    expect(&kit, &plan, SY_INVALID_ARGUMENT, "and 64 outputs");
    plan = (adapter_plan){.rank = 9, .type = SY_TYPE_F32};
    expect(&kit, &plan, SY_OUT_OF_RANGE, "rank 9");
    plan = (adapter_plan){.rank = 4, .type = SY_TYPE_F32, .general_type = "model"};
    expect(&kit, &plan, SY_INVALID_ARGUMENT, "no LoRA adapter");
    plan = (adapter_plan){.rank = 4, .type = SY_TYPE_F32, .half = ".lora_b"};
    expect(&kit, &plan, SY_DATA_LOSS, "without matrix A");
    plan.half = ".lora_a";
    expect(&kit, &plan, SY_DATA_LOSS, "without matrix B");
    plan = (adapter_plan){.rank = 4, .type = SY_TYPE_I32};
    expect(&kit, &plan, SY_UNIMPLEMENTED, "type i32");
    engine_kit_close(&kit);
}

static void engines_take_as_many_as_they_were_made_for(void) {
    engine_kit kit;
    sy_adapter *adapters[3] = {NULL};
    const char *path = adapter_good(3, 5, SY_TYPE_F32);
    adapter_engine(&kit, NULL, 2, 5);
    for (int i = 0; i < 3; i++) {
        sy_status status = sy_adapter_load(kit.engine, path, &adapters[i], &kit.error);
        CHECK((status == SY_OK) == (i < 2));
    }
    CHECK(strstr(kit.error.message, "2 adapters") != NULL);
    CHECK(sy_adapter_get_facts(adapters[0])->rank == 5);
    CHECK_OK_ERROR(sy_adapter_unload(adapters[0], &kit.error), kit.error);
    CHECK_OK_ERROR(sy_adapter_load(kit.engine, path, &adapters[2], &kit.error), kit.error);
    engine_kit_close(&kit); /* with what is loaded */
    adapter_engine(&kit, NULL, 0, 0);
    CHECK(sy_adapter_load(kit.engine, path, &adapters[0], &kit.error) == SY_FAILED_PRECONDITION);
    engine_kit_close(&kit);
}

static void room_is_part_of_the_budget(void) {
    engine_kit kit;
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.budget_bytes = 64u << 20;
    options.n_adapters = 1;
    options.adapter_rank = 8;
    CHECK_OK_ERROR(engine_kit_open(&kit, NULL, 1, NULL, &options), kit.error);
    engine_kit_close(&kit);
    options.n_adapters = SY_LIMIT_ADAPTERS;
    options.adapter_rank = SY_LIMIT_ADAPTER_RANK;
    sy_status status = engine_kit_open(&kit, NULL, 1, NULL, &options);
    CHECK(SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED);
    CHECK(strstr(kit.error.hint, "64 adapters of rank 1024") != NULL);
    engine_kit_close(&kit);
    options.adapter_rank = SY_LIMIT_ADAPTER_RANK + 1;
    CHECK(engine_kit_open(&kit, NULL, 1, NULL, &options) == SY_INVALID_ARGUMENT);
    engine_kit_close(&kit);
}

/* Every byte in front of the matrices, two ways; and the file cut short at every length. */
static void damaged_files_do_no_harm(void) {
    engine_kit kit;
    gguf_writer *writer = calloc(1, sizeof(*writer));
    CHECK(writer != NULL);
    const adapter_plan plan = {.rank = 2,
                               .type = SY_TYPE_F32,
                               .tensor = "blk.0.attn_q.weight",
                               .n_inputs = TINY_EMBD,
                               .n_outputs = TINY_HEADS * TINY_HEAD};
    adapter_write(writer, &plan);
    adapter_engine(&kit, NULL, 1, 8);
    const char *path = adapter_put(writer->bytes, writer->n_bytes);
    uint32_t n_taken = 0, n_refused = 0;
    for (size_t i = 0; i < 2 * writer->n_bytes; i++) {
        size_t at = i / 2;
        uint8_t kept = writer->bytes[at];
        size_t n = i % 2 == 0 ? writer->n_bytes : at;
        writer->bytes[at] ^= (uint8_t)(1u << at % 8);
        FILE *file = fopen(path, "wb");
        CHECK(file != NULL && fwrite(writer->bytes, 1, n, file) == n);
        CHECK(fclose(file) == 0);
        writer->bytes[at] = kept;
        sy_adapter *adapter = NULL;
        sy_status status = sy_adapter_load(kit.engine, path, &adapter, &kit.error);
        n_taken += status == SY_OK;
        n_refused += status != SY_OK;
        CHECK(status == SY_OK || kit.error.message[0] != '\0');
        CHECK_OK(sy_adapter_unload(adapter, NULL));
    }
    CHECK_TEXT(n_taken > 100 && n_refused > 100, "%u taken, %u refused", n_taken, n_refused);
    engine_kit_close(&kit);
    free(writer);
}

static void every_allocation_of_a_load_fails(void) {
    adapter_fail_every_allocation(adapter_good(3, 5, SY_TYPE_F32));
}

static const sy_test_case cases[] = {
    {"facts_are_read", facts_are_read},
    {"other_models_adapters_are_refused", other_models_adapters_are_refused},
    {"engines_take_as_many_as_they_were_made_for", engines_take_as_many_as_they_were_made_for},
    {"room_is_part_of_the_budget", room_is_part_of_the_budget},
    {"damaged_files_do_no_harm", damaged_files_do_no_harm},
    {"every_allocation_of_a_load_fails", every_allocation_of_a_load_fails},
};
SY_TEST_MAIN(cases)
