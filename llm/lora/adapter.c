/* SPDX-License-Identifier: Apache-2.0 */
/* Loading an adapter: its pairs find the places that the graph has for them, and the delegates get
 * the weights where the file is mapped. */
#include "base/digest.h"
#include "lora/adapter_internal.h"
#include "switchyard/huggingface.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SAMPLE_BYTES 256u

/* Copies of A and B in f32, and both once more in a delegate's own form. */
uint64_t sy__adapters_reserve_bytes(const sy_engine *engine) {
    const sy__model_graph *model = &engine->model;
    uint64_t n_floats = 0; /* widths are below 2^32, slots and ranks below 2^16: no overflow */
    for (uint32_t i = 0; i < model->n_slots; i++) {
        n_floats +=
            2 * (model->slots[i].n_inputs + model->slots[i].n_rows) * engine->options.adapter_rank;
    }
    return engine->options.n_adapters *
           (n_floats * sizeof(float) + model->n_slots * sizeof(sy_adapter_pair));
}

static sy_memory memory_of(const sy__lora_matrix *m, uint64_t first_row, uint64_t n_rows) {
    uint64_t row_bytes = sy__lora_matrix_bytes(m) / m->n_rows;
    uintptr_t address = (uintptr_t)m->data + (uintptr_t)(first_row * row_bytes);
    sy_memory memory = {.kind = SY_MEMORY_HOST, .fd = -1, .length_bytes = n_rows * row_bytes};
    /* Weights are read-only; the ABI's sy_memory has one pointer type for all memory. */
    memcpy(&memory.pointer, &address, sizeof(address));
    return memory;
}

static sy_status fit_pair(sy_adapter *adapter, const sy__adapter_slot *slot, sy__lora_pair *pair,
                          sy_error *error) {
    bool is_theirs = adapter->file.safetensors != NULL;
    bool is_reordered = is_theirs != adapter->engine->model.half_split;
    sy_status status = sy__lora_matrix_fit(&adapter->file, &pair->a, 0, error);
    return status == SY_OK ? sy__lora_matrix_fit(&adapter->file, &pair->b,
                                                 is_reordered ? slot->n_head_pairs : 0, error)
                           : status;
}

/* GGUF's name of the tensor that a pair is for; "" when it has none. */
static void name_target(const sy_adapter *adapter, const sy__lora_pair *pair,
                        char out_name[SY_LIMIT_NAME_BYTES + 1]) {
    size_t n = SY_LIMIT_NAME_BYTES + 1;
    out_name[0] = '\0';
    if (adapter->file.safetensors == NULL) {
        snprintf(out_name, n, "%s", pair->target);
    } else if (!sy_huggingface_tensor_name(adapter->engine->info.architecture, pair->target,
                                           out_name, n)) {
        out_name[0] = '\0';
    }
}

static sy_status check_shape(const sy_adapter *adapter, const sy__lora_pair *pair,
                             const sy__adapter_slot *slot, sy_error *error) {
    if (pair->a.n_columns != slot->n_inputs || pair->b.n_rows != slot->n_all_rows) {
        return sy__lora_fail(
            &adapter->file, error, SY_INVALID_ARGUMENT,
            "The adapter is for another model: its pair for '%s' is for %" PRIu64
            " inputs and %" PRIu64 " outputs, the model has %" PRIu64 " and %" PRIu64 ".",
            pair->target, pair->a.n_columns, pair->b.n_rows, slot->n_inputs, slot->n_all_rows);
    }
    if (pair->a.n_rows > adapter->engine->options.adapter_rank) {
        sy__lora_fail(&adapter->file, error, SY_OUT_OF_RANGE,
                      "The adapter's pair for '%s' has rank %" PRIu64
                      "; the engine was made for ranks up to %" PRIu32 ".",
                      pair->target, pair->a.n_rows, adapter->engine->options.adapter_rank);
        sy_error_hint(error, "Make the engine with a larger adapter_rank.");
        return SY_OUT_OF_RANGE;
    }
    return SY_OK;
}

/* A fused matrix of the file has several places: its A is for all, its B is cut by rows. */
static sy_status place_pair(sy_adapter *adapter, sy__lora_pair *pair, sy_adapter_pair *pairs,
                            sy_error *error) {
    const sy__model_graph *model = &adapter->engine->model;
    char target[SY_LIMIT_NAME_BYTES + 1];
    bool is_placed = false;
    name_target(adapter, pair, target);
    for (uint32_t i = 0; i < model->n_slots; i++) {
        const sy__adapter_slot *slot = &model->slots[i];
        if (strcmp(slot->tensor, target) != 0) {
            continue;
        }
        sy_status status = check_shape(adapter, pair, slot, error);
        if (status == SY_OK) {
            status = fit_pair(adapter, slot, pair, error);
        }
        if (status != SY_OK) {
            return status;
        }
        pairs[i] = (sy_adapter_pair){.rank = (uint32_t)pair->a.n_rows,
                                     .scale = pair->scale,
                                     .n_inputs = slot->n_inputs,
                                     .n_outputs = slot->n_rows,
                                     .a_type = pair->a.type,
                                     .b_type = pair->b.type,
                                     .a = memory_of(&pair->a, 0, pair->a.n_rows),
                                     .b = memory_of(&pair->b, slot->first_row, slot->n_rows)};
        is_placed = true;
    }
    if (!is_placed) {
        sy__lora_fail(&adapter->file, error, SY_INVALID_ARGUMENT,
                      "The adapter is for the tensor '%s', which this model does not have or "
                      "cannot adapt.",
                      pair->target);
        sy_error_hint(error, "Adapters work on the matrices of attention and feed-forward layers "
                             "and on a separate output matrix.");
        return SY_INVALID_ARGUMENT;
    }
    return SY_OK;
}

static sy_status place_all(sy_adapter *adapter, sy_adapter_pair *pairs, sy_error *error) {
    const sy__lora_file *file = &adapter->file;
    const char *architecture = adapter->engine->info.architecture;
    if (file->architecture[0] != '\0' && strcmp(file->architecture, architecture) != 0) {
        return sy__lora_fail(file, error, SY_INVALID_ARGUMENT,
                             "The adapter is for architecture '%s', the model is '%s'.",
                             file->architecture, architecture);
    }
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < file->n_pairs; i++) {
        status = place_pair(adapter, &file->pairs[i], pairs, error);
    }
    return status;
}

/* To the engine's executor: for the first time, or from another one. */
static sy_status hand_over(sy_adapter *adapter, sy_error *error) {
    sy_engine *engine = adapter->engine;
    uint32_t n = engine->model.n_slots;
    sy_adapter_pair *pairs = sy__alloc_array(engine->allocator, n, sizeof(sy_adapter_pair));
    if (pairs == NULL) {
        return sy__no_memory(error, n * sizeof(sy_adapter_pair), "an adapter");
    }
    sy_status status = place_all(adapter, pairs, error);
    if (status == SY_OK) {
        sy_adapter_description description = {
            .header = SY_HEADER_INIT(sy_adapter_description), .n_pairs = n, .pairs = pairs};
        status = adapter->set == NULL
                     ? sy_adapter_set_create(engine->executor, &description, &adapter->set, error)
                     : sy_adapter_set_move(adapter->set, engine->executor, &description, error);
    }
    sy__free_array(engine->allocator, pairs, n, sizeof(sy_adapter_pair));
    return status;
}

static void add_samples(sy__sha256 *sha, const sy__lora_matrix *m) {
    const uint8_t *bytes = m->data;
    uint64_t n_bytes = sy__lora_matrix_bytes(m);
    uint64_t n = n_bytes < SAMPLE_BYTES ? n_bytes : SAMPLE_BYTES;
    sy__sha256_update(sha, &m->n_rows, sizeof(m->n_rows));
    sy__sha256_update(sha, &m->n_columns, sizeof(m->n_columns));
    sy__sha256_update(sha, &m->type, sizeof(m->type));
    sy__sha256_update(sha, bytes, (size_t)n);
    sy__sha256_update(sha, bytes + (n_bytes - n) / 2, (size_t)n);
    sy__sha256_update(sha, bytes + (n_bytes - n), (size_t)n);
}

/* As the identity of a model: two trainings of one adapter differ in nearly every matrix. */
static void identify(sy_adapter *adapter) {
    sy__sha256 sha;
    sy__sha256_init(&sha);
    for (uint32_t i = 0; i < adapter->file.n_pairs; i++) {
        const sy__lora_pair *pair = &adapter->file.pairs[i];
        sy__sha256_update(&sha, pair->target, strlen(pair->target));
        sy__sha256_update(&sha, &pair->scale, sizeof(pair->scale));
        add_samples(&sha, &pair->a);
        add_samples(&sha, &pair->b);
    }
    sy__sha256_final(&sha, adapter->identity);
}

static sy_status check_room(const sy_engine *engine, sy_error *error) {
    uint32_t n = 0;
    for (const sy_adapter *each = engine->adapters; each != NULL; each = each->next) {
        n++;
    }
    if (engine->options.n_adapters == 0) {
        sy_error_set(error, SY_FAILED_PRECONDITION, "The engine was made without adapters.");
        sy_error_hint(error, "Set n_adapters and adapter_rank of its options.");
        return SY_FAILED_PRECONDITION;
    }
    if (n >= engine->options.n_adapters) {
        sy_error_set(error, SY_RESOURCE_EXHAUSTED,
                     "The engine was made for %" PRIu32 " adapters, and all are loaded.",
                     engine->options.n_adapters);
        sy_error_hint(error, "Unload one, or make the engine with a larger n_adapters.");
        return SY_RESOURCE_EXHAUSTED;
    }
    return SY_OK;
}

static void destroy(sy_adapter *adapter) {
    const sy_allocator *allocator = adapter->engine->allocator;
    sy_adapter_set_destroy(adapter->set);
    sy__lora_file_close(&adapter->file);
    SY__DELETE(allocator, adapter);
}

sy_status sy_adapter_load(sy_engine *engine, const char *path, sy_adapter **out_adapter,
                          sy_error *error) {
    sy_status status = check_room(engine, error);
    if (status != SY_OK) {
        return status;
    }
    sy_adapter *adapter = SY__NEW(engine->allocator, sy_adapter);
    if (adapter == NULL) {
        return sy__no_memory(error, sizeof(*adapter), "an adapter");
    }
    adapter->engine = engine;
    status = sy__lora_file_open(engine->allocator, path, &adapter->file, error);
    if (status == SY_OK) {
        identify(adapter);
        do {
            status = hand_over(adapter, error);
        } while (sy__engine_goes_on(engine, &status, NULL, 0, error));
    }
    if (status != SY_OK) {
        destroy(adapter);
        return status;
    }
    adapter->facts = (sy_adapter_facts){.rank = adapter->file.rank,
                                        .n_pairs = adapter->file.n_pairs,
                                        .n_bytes = adapter->file.n_bytes};
    adapter->next = engine->adapters;
    engine->adapters = adapter;
    *out_adapter = adapter;
    return SY_OK;
}

static void unlink_adapter(sy_adapter *adapter) {
    sy_adapter **place = &adapter->engine->adapters;
    while (*place != adapter) {
        place = &(*place)->next;
    }
    *place = adapter->next;
}

sy_status sy_adapter_unload(sy_adapter *adapter, sy_error *error) {
    if (adapter == NULL) {
        return SY_OK;
    }
    if (sy_adapter_set_n_users(adapter->set) > 0 && adapter->engine->prefixes != NULL) {
        sy__prefix_shrink(adapter->engine->prefixes, 0); /* stored prefixes use it, too */
    }
    uint32_t n = sy_adapter_set_n_users(adapter->set);
    if (n > 0) {
        sy__lora_fail(&adapter->file, error, SY_FAILED_PRECONDITION,
                      "The adapter is in use by %" PRIu32 " session%s.", n, n == 1 ? "" : "s");
        sy_error_hint(error, "Close them, or rewind them to 0 and set another adapter.");
        return SY_FAILED_PRECONDITION;
    }
    unlink_adapter(adapter);
    destroy(adapter);
    return SY_OK;
}

sy_status sy__adapters_move(sy_engine *engine, sy_error *error) {
    sy_status status = SY_OK;
    for (sy_adapter *a = engine->adapters; status == SY_OK && a != NULL; a = a->next) {
        status = hand_over(a, error);
    }
    return status;
}

void sy__adapters_unload_all(sy_engine *engine) {
    while (engine->adapters != NULL) {
        sy_adapter *adapter = engine->adapters;
        engine->adapters = adapter->next;
        destroy(adapter);
    }
}

sy_adapter *sy__adapter_find(const sy_engine *engine, const uint8_t *identity) {
    sy_adapter *adapter = engine->adapters;
    while (adapter != NULL && memcmp(adapter->identity, identity, sizeof(adapter->identity)) != 0) {
        adapter = adapter->next;
    }
    return adapter;
}

const sy_adapter_facts *sy_adapter_get_facts(const sy_adapter *adapter) {
    return &adapter->facts;
}

sy_status sy_adapter_read_facts(const sy_allocator *allocator, const char *path,
                                sy_adapter_facts *out_facts, sy_error *error) {
    sy__lora_file file;
    sy_status status = sy__lora_file_open(allocator, path, &file, error);
    if (status == SY_OK) {
        *out_facts =
            (sy_adapter_facts){.rank = file.rank, .n_pairs = file.n_pairs, .n_bytes = file.n_bytes};
        sy__lora_file_close(&file);
    }
    return status;
}
