/* SPDX-License-Identifier: Apache-2.0 */
/* The tensor table: names, types and dimensions, and the proof that their bytes lie in the file,
 * aligned and apart from each other. */
#include "internal.h"

#include "base/checked.h"
#include "base/memory.h"

#include <inttypes.h>

#define SY__GGUF_TYPES_END 64u /* numbers from here on are ours, not the format's */

static bool tensor_fail(sy__gguf_cursor *cursor, const sy__gguf_tensor *tensor, sy_status status,
                        uint64_t offset, const char *what) {
    return sy__gguf_fail(cursor, status, offset, sy__gguf_hint_damaged, "The tensor '%.*s' %s.",
                         (int)tensor->n_name_bytes,
                         (const char *)cursor->gguf->bytes + tensor->name_offset, what);
}

static bool read_dims(sy__gguf_cursor *cursor, sy__gguf_tensor *tensor, uint64_t *out_elements) {
    uint64_t offset = cursor->position, n_elements = 1;
    uint32_t rank = 0;
    if (!sy__gguf_read_u32(cursor, "the rank of a tensor", &rank)) {
        return false;
    }
    if (rank < 1 || rank > SY_GGUF_RANK) {
        return tensor_fail(cursor, tensor, SY_DATA_LOSS, offset, "has a rank outside of 1 to 4");
    }
    tensor->rank = (uint8_t)rank;
    for (uint32_t i = 0; i < SY_GGUF_RANK; i++) {
        tensor->dims[i] = 1;
        offset = cursor->position;
        if (i < rank && !sy__gguf_read_u64(cursor, "a dimension", &tensor->dims[i])) {
            return false;
        }
        if (tensor->dims[i] == 0) {
            return tensor_fail(cursor, tensor, SY_DATA_LOSS, offset, "has a dimension of 0");
        }
        if (!sy__mul_u64(n_elements, tensor->dims[i], &n_elements) ||
            n_elements > SY_LIMIT_TENSOR_ELEMENTS) {
            return tensor_fail(cursor, tensor, SY_OUT_OF_RANGE, offset,
                               "has more than 2^40 elements");
        }
    }
    *out_elements = n_elements;
    return true;
}

static bool read_element_type(sy__gguf_cursor *cursor, sy__gguf_tensor *tensor) {
    uint64_t offset = cursor->position;
    if (!sy__gguf_read_u32(cursor, "the type of a tensor", &tensor->type)) {
        return false;
    }
    if (tensor->type >= SY__GGUF_TYPES_END || sy_type_get(tensor->type) == NULL) {
        return sy__gguf_fail(cursor, SY_UNIMPLEMENTED, offset,
                             "Take a file of another quantisation, or a newer version of this "
                             "program; fetch the file again if it is damaged.",
                             "The tensor '%.*s' has type %" PRIu32 ", which is not supported.",
                             (int)tensor->n_name_bytes,
                             (const char *)cursor->gguf->bytes + tensor->name_offset, tensor->type);
    }
    return true;
}

static bool read_tensor(sy__gguf_cursor *cursor, sy__gguf_tensor *tensor) {
    uint64_t n_elements = 0, row_bytes = 0, start = 0;
    if (!sy__gguf_read_name(cursor, "a tensor", false, &tensor->name_offset,
                            &tensor->n_name_bytes) ||
        !read_dims(cursor, tensor, &n_elements)) {
        return false;
    }
    start = cursor->position;
    if (!read_element_type(cursor, tensor)) {
        return false;
    }
    if (sy_type_row_bytes(tensor->type, tensor->dims[0], &row_bytes) != SY_OK) {
        return tensor_fail(cursor, tensor, SY_DATA_LOSS, start,
                           "has rows that are no whole number of blocks of its type");
    }
    if (!sy__mul_u64(row_bytes, n_elements / tensor->dims[0], &tensor->n_bytes)) {
        return tensor_fail(cursor, tensor, SY_OUT_OF_RANGE, start, "is larger than any file");
    }
    start = cursor->position;
    if (!sy__gguf_read_u64(cursor, "the offset of a tensor", &tensor->offset)) {
        return false;
    }
    if (tensor->offset % cursor->gguf->facts.alignment_bytes != 0) {
        return tensor_fail(cursor, tensor, SY_DATA_LOSS, start,
                           "has an offset that is not aligned");
    }
    sy_gguf_facts *facts = &cursor->gguf->facts;
    facts->n_elements += n_elements; /* <= 2^16 tensors of 2^40 */
    return true;
}

static bool index_tensors(sy__gguf_cursor *cursor, uint32_t *scratch) {
    sy_gguf *gguf = cursor->gguf;
    uint32_t n = gguf->facts.n_tensors;
    sy__gguf_sort(gguf->tensor_order, scratch, n, sy__gguf_compare_tensors, gguf);
    for (uint32_t i = 1; i < n; i++) {
        uint32_t before = gguf->tensor_order[i - 1], now = gguf->tensor_order[i];
        if (sy__gguf_compare_tensors(gguf, before, now) == 0) {
            const sy__gguf_tensor *again = &gguf->tensors[now];
            return tensor_fail(cursor, again, SY_DATA_LOSS, again->name_offset, "comes twice");
        }
    }
    return true;
}

bool sy__gguf_parse_tensors(sy__gguf_cursor *cursor) {
    sy_gguf *gguf = cursor->gguf;
    uint32_t n = gguf->facts.n_tensors;
    gguf->tensors = sy__alloc_array(gguf->allocator, n, sizeof(sy__gguf_tensor));
    gguf->tensor_order = sy__alloc_array(gguf->allocator, n, sizeof(uint32_t));
    if (gguf->tensors == NULL || gguf->tensor_order == NULL) {
        cursor->status = sy__no_memory(cursor->error, (uint64_t)n * sizeof(sy__gguf_tensor),
                                       "the table of tensors");
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!read_tensor(cursor, &gguf->tensors[i])) {
            return false;
        }
    }
    return true;
}

/* Where the data section begins, and that every tensor lies in it. */
static bool place_inside(sy__gguf_cursor *cursor) {
    sy_gguf_facts *facts = &cursor->gguf->facts;
    uint64_t end = 0;
    for (uint32_t i = 0; i < facts->n_tensors; i++) {
        const sy__gguf_tensor *tensor = &cursor->gguf->tensors[i];
        if (!sy__add_u64(facts->data_offset_bytes, tensor->offset, &end) ||
            !sy__add_u64(end, tensor->n_bytes, &end) || end > facts->file_bytes) {
            return sy__gguf_fail(cursor, SY_DATA_LOSS, tensor->name_offset,
                                 "The download is probably incomplete; fetch the file again and "
                                 "compare its size.",
                                 "The tensor '%.*s' (%" PRIu64 " bytes at %" PRIu64
                                 " of the data) reaches past the end of the file at %" PRIu64 ".",
                                 (int)tensor->n_name_bytes,
                                 (const char *)cursor->gguf->bytes + tensor->name_offset,
                                 tensor->n_bytes, tensor->offset, facts->file_bytes);
        }
    }
    return true;
}

static bool place_apart(sy__gguf_cursor *cursor, uint32_t *order, uint32_t *scratch) {
    sy_gguf *gguf = cursor->gguf;
    uint32_t n = gguf->facts.n_tensors;
    sy__gguf_sort(order, scratch, n, sy__gguf_compare_offsets, gguf);
    for (uint32_t i = 0; i < n; i++) {
        const sy__gguf_tensor *tensor = &gguf->tensors[order[i]];
        gguf->facts.tensor_bytes += tensor->n_bytes;
        if (i + 1 < n && tensor->offset + tensor->n_bytes > gguf->tensors[order[i + 1]].offset) {
            const sy__gguf_tensor *next = &gguf->tensors[order[i + 1]];
            return tensor_fail(cursor, next, SY_DATA_LOSS, next->name_offset,
                               "overlaps another tensor");
        }
    }
    return true;
}

bool sy__gguf_place_tensors(sy__gguf_cursor *cursor) {
    sy_gguf *gguf = cursor->gguf;
    uint32_t n = gguf->facts.n_tensors;
    gguf->facts.metadata_bytes = cursor->position;
    if (!sy__align_u64(cursor->position, gguf->facts.alignment_bytes,
                       &gguf->facts.data_offset_bytes)) {
        return sy__gguf_fail(cursor, SY_DATA_LOSS, cursor->position, sy__gguf_hint_damaged,
                             "The data section begins past any file.");
    }
    uint32_t *order = sy__alloc_array(gguf->allocator, n, sizeof(uint32_t));
    uint32_t *scratch = sy__alloc_array(gguf->allocator, n, sizeof(uint32_t));
    bool placed = false;
    if (order != NULL && scratch != NULL) {
        placed = place_inside(cursor) && place_apart(cursor, order, scratch) &&
                 index_tensors(cursor, scratch);
    } else {
        cursor->status = sy__no_memory(cursor->error, (uint64_t)n * 4, "the index of tensors");
    }
    sy__free_array(gguf->allocator, order, n, sizeof(uint32_t));
    sy__free_array(gguf->allocator, scratch, n, sizeof(uint32_t));
    return placed;
}
