/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors of a view that lie in pieces: their rows one by one, or all of them put together. */
#include "internal.h"

#include "base/memory.h"

#include <inttypes.h>
#include <string.h>

static bool is_in_pieces(const sy__gguf_source *source) {
    return source->data == NULL && source->rows != NULL;
}

static uint64_t rows_of(const sy__gguf_tensor *tensor) {
    return tensor->dims[1] * tensor->dims[2] * tensor->dims[3];
}

sy_status sy_gguf_tensor_rows(const sy_gguf *gguf, uint32_t i_tensor, uint64_t first_row,
                              uint64_t n_rows, void *out_rows, sy_error *error) {
    sy_gguf_tensor tensor;
    uint64_t n_all =
        sy_gguf_tensor_at(gguf, i_tensor, &tensor) ? rows_of(&gguf->tensors[i_tensor]) : 0;
    if (first_row > n_all || n_rows > n_all - first_row) {
        return sy_error_set(error, SY_OUT_OF_RANGE,
                            "Rows %" PRIu64 " to %" PRIu64 " were asked for; there are %" PRIu64
                            ".",
                            first_row, first_row + n_rows, n_all);
    }
    const sy__gguf_source *sources = gguf->parts.sources;
    if (tensor.data != NULL) {
        size_t row_bytes = (size_t)(tensor.n_bytes / n_all);
        memcpy(out_rows, (const uint8_t *)tensor.data + (size_t)first_row * row_bytes,
               (size_t)n_rows * row_bytes);
        return SY_OK;
    }
    if (!is_in_pieces(&sources[i_tensor])) {
        return sy_error_set(error, SY_FAILED_PRECONDITION, "The tensor '%.*s' has no bytes.",
                            (int)tensor.name.n_bytes, tensor.name.bytes);
    }
    sources[i_tensor].rows(sources[i_tensor].self, first_row, n_rows, out_rows);
    return SY_OK;
}

static uint64_t bytes_in_pieces(const sy_gguf *gguf) {
    uint64_t n_bytes = 0;
    for (uint32_t i = 0; i < gguf->facts.n_tensors; i++) {
        n_bytes += is_in_pieces(&gguf->parts.sources[i]) ? gguf->tensors[i].n_bytes : 0;
    }
    return n_bytes; /* no more than tensor_bytes, which was proven */
}

sy_status sy_gguf_gather(sy_gguf *gguf, uint64_t max_bytes, sy_error *error) {
    if (gguf->parts.sources == NULL) {
        return SY_OK;
    }
    uint64_t n_bytes = bytes_in_pieces(gguf);
    if (max_bytes != 0 && n_bytes > max_bytes) {
        sy_error_set(error, SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET),
                     "Weights that the folder keeps in pieces take %" PRIu64
                     " bytes together, %" PRIu64 " more than the budget of %" PRIu64 ".",
                     n_bytes, n_bytes - max_bytes, max_bytes);
        sy_error_hint(error, "Make a GGUF file of the folder (switchyard quantize), which is "
                             "mapped, or raise the budget.");
        return SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET);
    }
    for (uint32_t i = 0; i < gguf->facts.n_tensors; i++) {
        sy__gguf_source *source = &gguf->parts.sources[i];
        const sy__gguf_tensor *tensor = &gguf->tensors[i];
        if (!is_in_pieces(source)) {
            continue;
        }
        source->made = sy__alloc_array(gguf->allocator, (size_t)tensor->n_bytes, 1);
        if (source->made == NULL) {
            return sy__no_memory(error, tensor->n_bytes, "weights that the folder has in pieces");
        }
        source->rows(source->self, 0, rows_of(tensor), source->made);
        source->data = source->made;
        gguf->facts.gathered_bytes += tensor->n_bytes;
    }
    return SY_OK;
}

void sy__gguf_free_gathered(sy_gguf *gguf) {
    bool known = gguf->parts.sources != NULL && gguf->tensors != NULL;
    for (uint32_t i = 0; known && i < gguf->facts.n_tensors; i++) {
        sy__free_array(gguf->allocator, gguf->parts.sources[i].made,
                       (size_t)gguf->tensors[i].n_bytes, 1);
    }
}
