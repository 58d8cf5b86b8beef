/* SPDX-License-Identifier: Apache-2.0 */
/* Importance matrices as llama.cpp writes them: for a matrix NAME the tensors NAME.in_sum2, sums of
 * squares of what each column was multiplied with, and NAME.counts, over how many rows. */
#include "internal.h"

#include "switchyard/limits.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool find(const sy_gguf *imatrix, const sy_gguf_tensor *tensor, const char *end,
                 sy_gguf_tensor *out_tensor) {
    char name[SY_LIMIT_NAME_BYTES + 1];
    int n =
        snprintf(name, sizeof(name), "%.*s.%s", (int)tensor->name.n_bytes, tensor->name.bytes, end);
    return n > 0 && (size_t)n < sizeof(name) && sy_gguf_find_tensor(imatrix, name, out_tensor) &&
           out_tensor->type == SY_TYPE_F32;
}

static float number_at(const sy_gguf_tensor *tensor, uint64_t i) {
    float number = 0.0f;
    memcpy(&number, (const char *)tensor->data + i * sizeof(number), sizeof(number));
    return number;
}

sy_status sy__importance_of(const sy_allocator *allocator, const sy_gguf *imatrix,
                            const sy_gguf_tensor *tensor, float **out_importance, sy_error *error) {
    sy_gguf_tensor sums, counts;
    uint64_t n_columns = tensor->dims[0], n_matrices = tensor->dims[2] * tensor->dims[3];
    *out_importance = NULL;
    if (imatrix == NULL || !find(imatrix, tensor, "in_sum2", &sums) ||
        !find(imatrix, tensor, "counts", &counts)) {
        return SY_OK;
    }
    if (sums.dims[0] != n_columns || sums.n_elements != n_columns * n_matrices ||
        counts.n_elements != n_matrices) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "The importance matrix is of another model: '%.*s' has another shape.",
                            (int)tensor->name.n_bytes, tensor->name.bytes);
    }
    float *importance = sy__alloc_array(allocator, (size_t)sums.n_elements, sizeof(float));
    if (importance == NULL) {
        return sy__no_memory(error, sums.n_elements * sizeof(float), "importance");
    }
    for (uint64_t i = 0; i < sums.n_elements; i++) {
        float count = number_at(&counts, i / n_columns);
        float mean = count > 0.0f ? number_at(&sums, i) / count : 1.0f; /* an expert never used */
        importance[i] = isfinite(mean) && mean > 0.0f ? mean : 0.0f;
    }
    *out_importance = importance;
    return SY_OK;
}
