/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

#include "switchyard/allocator.h"

#include <string.h>

static size_t bytes_of(size_t n, size_t item_bytes) {
    size_t n_bytes = 0;
    return __builtin_mul_overflow(n > 0 ? n : 1, item_bytes, &n_bytes) ? 0 : n_bytes;
}

void *sy_cli_allocate(size_t n, size_t item_bytes) {
    const sy_allocator *heap = sy_allocator_heap();
    size_t n_bytes = bytes_of(n, item_bytes);
    void *items = n_bytes > 0 ? heap->reallocate(heap->self, NULL, 0, n_bytes, 16) : NULL;
    return items != NULL ? memset(items, 0, n_bytes) : NULL;
}

void sy_cli_free(void *items, size_t n, size_t item_bytes) {
    const sy_allocator *heap = sy_allocator_heap();
    heap->reallocate(heap->self, items, bytes_of(n, item_bytes), 0, 16);
}
