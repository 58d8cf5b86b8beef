/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters as llama.cpp's converter writes them: general.type = adapter, adapter.type = lora,
 * adapter.lora.alpha, and for each adapted tensor NAME the tensors NAME.lora_a and NAME.lora_b. */
#include "lora/file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool text_is(const sy_gguf *gguf, const char *key, const char *wanted) {
    sy_gguf_string text;
    return sy_gguf_get_string(gguf, key, &text, NULL) == SY_OK && sy_gguf_string_is(text, wanted);
}

static sy_status read_keys(sy__lora_file *file, float *out_alpha, sy_error *error) {
    const sy_gguf *gguf = file->gguf;
    sy_gguf_value value;
    sy_gguf_string architecture;
    if (!text_is(gguf, "general.type", "adapter") || !text_is(gguf, "adapter.type", "lora")) {
        sy__lora_fail(file, error, SY_INVALID_ARGUMENT,
                      "The file is a GGUF file but no LoRA adapter.");
        sy_error_hint(error, "A model is given with -m; an adapter has general.type = adapter and "
                             "adapter.type = lora.");
        return SY_INVALID_ARGUMENT;
    }
    if (sy_gguf_find(gguf, "adapter.alora.invocation_tokens", &value)) {
        return sy__lora_fail(file, error, SY_UNIMPLEMENTED,
                             "The adapter works from its invocation tokens on only (aLoRA), which "
                             "this build does not do.");
    }
    sy_status status = sy_gguf_get_string(gguf, "general.architecture", &architecture, error);
    if (status != SY_OK) {
        return status;
    }
    snprintf(file->architecture, sizeof(file->architecture), "%.*s", (int)architecture.n_bytes,
             architecture.bytes);
    status = sy_gguf_get_f32(gguf, "adapter.lora.alpha", out_alpha, error);
    if (status == SY_OK && !isfinite(*out_alpha)) {
        status = sy__lora_fail(file, error, SY_DATA_LOSS,
                               "The adapter's adapter.lora.alpha is no finite number.");
    }
    return status;
}

/* Cuts ".lora_a" or ".lora_b" off a name; 0 when it has neither. */
static char cut_half(const sy_gguf_tensor *tensor, char out_target[SY_LIMIT_NAME_BYTES + 1]) {
    static const char ends[2][8] = {".lora_a", ".lora_b"};
    uint64_t n_end = sizeof(ends[0]) - 1, n = tensor->name.n_bytes;
    for (size_t i = 0; i < 2 && n > n_end; i++) {
        if (memcmp(tensor->name.bytes + n - n_end, ends[i], n_end) == 0) {
            snprintf(out_target, SY_LIMIT_NAME_BYTES + 1, "%.*s", (int)(n - n_end),
                     tensor->name.bytes);
            return i == 0 ? 'a' : 'b';
        }
    }
    return 0;
}

static sy__lora_matrix matrix_of(const sy_gguf_tensor *tensor) {
    return (sy__lora_matrix){.data = tensor->data,
                             .n_rows = tensor->dims[1],
                             .n_columns = tensor->dims[0],
                             .type = tensor->type};
}

static sy_status check_tensor(const sy__lora_file *file, const sy_gguf_tensor *tensor, char half,
                              sy_error *error) {
    if (half == 0) {
        return sy__lora_fail(file, error, SY_UNIMPLEMENTED,
                             "The adapter's tensor '%.*s' is neither .lora_a nor .lora_b.",
                             (int)tensor->name.n_bytes, tensor->name.bytes);
    }
    if (tensor->rank > 2) {
        return sy__lora_fail(file, error, SY_UNIMPLEMENTED,
                             "The adapter's tensor '%.*s' has %u dimensions; adapters of experts "
                             "are not run.",
                             (int)tensor->name.n_bytes, tensor->name.bytes, tensor->rank);
    }
    return SY_OK;
}

/* Makes the pair when it sees A, and one without A when it sees a B alone. */
static sy_status read_tensor(sy__lora_file *file, const sy_gguf_tensor *tensor, sy_error *error) {
    char target[SY_LIMIT_NAME_BYTES + 1], other[SY_LIMIT_NAME_BYTES + 16];
    char half = cut_half(tensor, target);
    sy_gguf_tensor partner;
    sy_status status = check_tensor(file, tensor, half, error);
    if (status != SY_OK) {
        return status;
    }
    file->n_bytes += tensor->n_bytes;
    snprintf(other, sizeof(other), "%s.lora_%c", target, half == 'a' ? 'b' : 'a');
    bool has_partner = sy_gguf_find_tensor(file->gguf, other, &partner) != 0;
    if (half == 'b' && has_partner) {
        return SY_OK;
    }
    sy__lora_pair *pair = sy__lora_file_add(file, target, error);
    if (pair == NULL) {
        return SY_RESOURCE_EXHAUSTED;
    }
    *(half == 'a' ? &pair->a : &pair->b) = matrix_of(tensor);
    if (has_partner) {
        pair->b = matrix_of(&partner);
    }
    return SY_OK;
}

sy_status sy__lora_open_gguf(sy__lora_file *file, const char *path, sy_error *error) {
    float alpha = 0;
    sy_gguf_tensor tensor;
    sy_status status = sy_gguf_open(file->allocator, path, &file->gguf, error);
    if (status == SY_OK) {
        status = read_keys(file, &alpha, error);
    }
    for (uint32_t i = 0; status == SY_OK && sy_gguf_tensor_at(file->gguf, i, &tensor); i++) {
        status = read_tensor(file, &tensor, error);
    }
    for (uint32_t i = 0; status == SY_OK && i < file->n_pairs; i++) {
        sy__lora_pair *pair = &file->pairs[i];
        if (alpha != 0 && pair->b.n_columns > 0) { /* 0: the matrices are scaled already */
            pair->scale = alpha / (float)pair->b.n_columns;
        }
    }
    return status;
}
