/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order indexes. A sorted index finds duplicates and looks names up without a hash table, so there
 * is no hash a hostile file could flood: O(n log n) whatever the names are.
 */
#include "internal.h"

#include <string.h>

static void merge(uint32_t *out, const uint32_t *from, uint32_t first, uint32_t middle,
                  uint32_t last, sy__gguf_compare compare, const void *context) {
    uint32_t left = first, right = middle;
    for (uint32_t i = first; i < last; i++) {
        bool take_left =
            left < middle && (right >= last || compare(context, from[left], from[right]) <= 0);
        out[i] = take_left ? from[left++] : from[right++];
    }
}

void sy__gguf_sort(uint32_t *order, uint32_t *scratch, uint32_t n, sy__gguf_compare compare,
                   const void *context) {
    bool sorted = true;
    for (uint32_t i = 0; i < n; i++) {
        order[i] = i;
        sorted = sorted && (i == 0 || compare(context, i - 1, i) <= 0);
    }
    uint32_t *from = order, *to = scratch;
    for (uint64_t width = 1; width < n && !sorted; width *= 2) {
        for (uint64_t first = 0; first < n; first += 2 * width) {
            uint64_t middle = first + width < n ? first + width : n;
            uint64_t last = first + 2 * width < n ? first + 2 * width : n;
            merge(to, from, (uint32_t)first, (uint32_t)middle, (uint32_t)last, compare, context);
        }
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != order) {
        memcpy(order, from, (size_t)n * sizeof(*order));
    }
}

static int compare_names(const uint8_t *a, uint32_t n_a, const uint8_t *b, uint32_t n_b) {
    int result = memcmp(a, b, n_a < n_b ? n_a : n_b);
    return result != 0 ? result : (n_a > n_b) - (n_a < n_b);
}

int sy__gguf_compare_keys(const void *context, uint32_t a, uint32_t b) {
    const sy_gguf *gguf = context;
    const sy__gguf_key *left = &gguf->keys[a], *right = &gguf->keys[b];
    return compare_names(gguf->bytes + left->name_offset, left->n_name_bytes,
                         gguf->bytes + right->name_offset, right->n_name_bytes);
}

int sy__gguf_compare_tensors(const void *context, uint32_t a, uint32_t b) {
    const sy_gguf *gguf = context;
    const sy__gguf_tensor *left = &gguf->tensors[a], *right = &gguf->tensors[b];
    return compare_names(gguf->bytes + left->name_offset, left->n_name_bytes,
                         gguf->bytes + right->name_offset, right->n_name_bytes);
}

int sy__gguf_compare_offsets(const void *context, uint32_t a, uint32_t b) {
    const sy_gguf *gguf = context;
    uint64_t left = gguf->tensors[a].offset, right = gguf->tensors[b].offset;
    return (left > right) - (left < right);
}

int sy_gguf_key_at(const sy_gguf *gguf, uint32_t i_key, sy_gguf_value *out_value) {
    if (i_key >= gguf->facts.n_keys) {
        return 0;
    }
    const sy__gguf_key *key = &gguf->keys[i_key];
    *out_value = (sy_gguf_value){
        .key = {(const char *)gguf->bytes + key->name_offset, key->n_name_bytes},
        .type = key->type,
        .is_array = key->is_array,
        .n_elements = key->n_elements,
        .bytes = gguf->bytes + key->value_offset,
        .file_offset = key->value_offset,
        .file = gguf->bytes,
    };
    if (key->type == SY_GGUF_STRING && key->n_elements > 0) {
        out_value->string_offsets = gguf->string_offsets + key->i_string;
    }
    return 1;
}

int sy_gguf_tensor_at(const sy_gguf *gguf, uint32_t i_tensor, sy_gguf_tensor *out_tensor) {
    if (i_tensor >= gguf->facts.n_tensors) {
        return 0;
    }
    const sy__gguf_tensor *tensor = &gguf->tensors[i_tensor];
    uint64_t file_offset = gguf->facts.data_offset_bytes + tensor->offset;
    *out_tensor = (sy_gguf_tensor){
        .name = {(const char *)gguf->bytes + tensor->name_offset, tensor->n_name_bytes},
        .type = tensor->type,
        .rank = tensor->rank,
        .i_tensor = i_tensor,
        .n_elements = 1,
        .n_bytes = tensor->n_bytes,
        .file_offset = file_offset,
        .data = gguf->parts.sources != NULL ? gguf->parts.sources[i_tensor].data
                                            : gguf->bytes + file_offset,
    };
    for (uint32_t i = 0; i < SY_GGUF_RANK; i++) {
        out_tensor->dims[i] = tensor->dims[i];
        out_tensor->n_elements *= tensor->dims[i]; /* proven when the table was read */
    }
    return 1;
}

/* Position in `order` of a name, or n. */
static uint32_t find(const sy_gguf *gguf, const char *name, bool tensor) {
    uint32_t first = 0, n = tensor ? gguf->facts.n_tensors : gguf->facts.n_keys, last = n;
    size_t n_bytes = strlen(name);
    if (n_bytes > SY_LIMIT_NAME_BYTES) {
        return UINT32_MAX;
    }
    while (first < last) {
        uint32_t middle = first + (last - first) / 2;
        uint32_t i = tensor ? gguf->tensor_order[middle] : gguf->key_order[middle];
        uint32_t offset = tensor ? gguf->tensors[i].name_offset : gguf->keys[i].name_offset;
        uint32_t length = tensor ? gguf->tensors[i].n_name_bytes : gguf->keys[i].n_name_bytes;
        int order =
            compare_names(gguf->bytes + offset, length, (const uint8_t *)name, (uint32_t)n_bytes);
        if (order == 0) {
            return i;
        }
        first = order < 0 ? middle + 1 : first;
        last = order < 0 ? last : middle;
    }
    return UINT32_MAX;
}

int sy_gguf_find(const sy_gguf *gguf, const char *key, sy_gguf_value *out_value) {
    return sy_gguf_key_at(gguf, find(gguf, key, false), out_value);
}

int sy_gguf_find_tensor(const sy_gguf *gguf, const char *name, sy_gguf_tensor *out_tensor) {
    return sy_gguf_tensor_at(gguf, find(gguf, name, true), out_tensor);
}
