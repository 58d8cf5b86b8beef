/* SPDX-License-Identifier: Apache-2.0 */
#include "lora/file.h"

#include "switchyard/types.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

sy_status sy__lora_fail(const sy__lora_file *file, sy_error *error, sy_status status,
                        const char *format, ...) {
    char text[SY_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    sy_error_set(error, status, "%s", text);
    sy_error_at(error, file->origin, UINT64_MAX);
    return status;
}

sy__lora_pair *sy__lora_file_add(sy__lora_file *file, const char *target, sy_error *error) {
    void *pairs = file->pairs;
    if (!sy__grow_array(file->allocator, &pairs, &file->capacity, file->n_pairs + 1u,
                        sizeof(sy__lora_pair))) {
        sy__no_memory(error, sizeof(sy__lora_pair), "an adapter");
        return NULL;
    }
    file->pairs = pairs;
    sy__lora_pair *pair = &file->pairs[file->n_pairs++];
    *pair = (sy__lora_pair){.scale = 1.0f};
    snprintf(pair->target, sizeof(pair->target), "%s", target);
    return pair;
}

static bool is_runnable(sy_element_type type) {
    const sy_type_facts *facts = sy_type_get(type);
    return type == SY_TYPE_F32 || type == SY_TYPE_F16 || type == SY_TYPE_BF16 ||
           (facts != NULL && facts->is_block);
}

static sy_status check_pair(sy__lora_file *file, const sy__lora_pair *pair, sy_error *error) {
    const sy__lora_matrix *a = &pair->a, *b = &pair->b;
    if (a->data == NULL || b->data == NULL) {
        return sy__lora_fail(
            file, error, SY_DATA_LOSS, "The adapter has matrix %s for '%s' without matrix %s.",
            a->data == NULL ? "B" : "A", pair->target, a->data == NULL ? "A" : "B");
    }
    if (!is_runnable(a->type) || !is_runnable(b->type)) {
        const sy_type_facts *facts = sy_type_get(is_runnable(a->type) ? b->type : a->type);
        sy__lora_fail(file, error, SY_UNIMPLEMENTED,
                      "The adapter's matrices for '%s' have type %s, not f32, f16, bf16 or one in "
                      "blocks.",
                      pair->target, facts != NULL ? facts->name : "unknown");
        sy_error_hint(error, "Convert the adapter again with --outtype f16.");
        return SY_UNIMPLEMENTED;
    }
    if (a->n_rows == 0 || a->n_columns == 0 || b->n_rows == 0 || a->n_rows != b->n_columns ||
        a->n_rows > SY_LIMIT_ADAPTER_RANK) {
        return sy__lora_fail(file, error, SY_DATA_LOSS,
                             "The adapter's matrices for '%s' are %llu x %llu and %llu x %llu, "
                             "which is no pair of one rank up to %u.",
                             pair->target, (unsigned long long)a->n_rows,
                             (unsigned long long)a->n_columns, (unsigned long long)b->n_rows,
                             (unsigned long long)b->n_columns, SY_LIMIT_ADAPTER_RANK);
    }
    return SY_OK;
}

sy_status sy__lora_file_check(sy__lora_file *file, sy_error *error) {
    if (file->n_pairs == 0) {
        return sy__lora_fail(file, error, SY_DATA_LOSS, "The adapter has no matrices.");
    }
    for (uint32_t i = 0; i < file->n_pairs; i++) {
        const sy__lora_pair *pair = &file->pairs[i];
        sy_status status = check_pair(file, pair, error);
        if (status != SY_OK) {
            return status;
        }
        file->rank = pair->a.n_rows > file->rank ? (uint32_t)pair->a.n_rows : file->rank;
    }
    return SY_OK;
}

sy_status sy__lora_file_open(const sy_allocator *allocator, const char *path,
                             sy__lora_file *out_file, sy_error *error) {
    sy__lora_file file = {.allocator = sy__allocator_or_heap(allocator)};
    snprintf(file.origin, sizeof(file.origin), "%s", path);
    sy__arena_init(&file.copies, file.allocator, 0);
    sy_status status = sy__lora_is_peft(path) ? sy__lora_open_peft(&file, path, error)
                                              : sy__lora_open_gguf(&file, path, error);
    if (status == SY_OK) {
        status = sy__lora_file_check(&file, error);
    }
    if (status != SY_OK) {
        sy__lora_file_close(&file);
        return status;
    }
    *out_file = file;
    return SY_OK;
}

void sy__lora_file_close(sy__lora_file *file) {
    if (file->allocator != NULL) {
        sy__free_array(file->allocator, file->pairs, file->capacity, sizeof(sy__lora_pair));
        sy__arena_deinit(&file->copies);
    }
    sy_safetensors_close(file->safetensors);
    sy_gguf_close(file->gguf);
    *file = (sy__lora_file){.gguf = NULL};
}
