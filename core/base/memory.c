/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include "base/checked.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const sy_allocator *sy__allocator_or_heap(const sy_allocator *allocator) {
    return allocator != NULL ? allocator : sy_allocator_heap();
}

sy_status sy__no_memory(sy_error *error, uint64_t n_bytes, const char *what) {
    sy_error_set(error, SY_RESOURCE_EXHAUSTED, "No memory for %s (%" PRIu64 " bytes).", what,
                 n_bytes);
    sy_error_hint(error, "Raise the memory budget, lower max_tokens, or close other sessions.");
    return SY_RESOURCE_EXHAUSTED;
}

static bool array_bytes(size_t n, size_t size_bytes, size_t *out_bytes) {
    if (!sy__mul_size(n, size_bytes, out_bytes)) {
        return false;
    }
    if (*out_bytes == 0) {
        *out_bytes = 1;
    }
    return true;
}

void *sy__alloc_array(const sy_allocator *allocator, size_t n, size_t size_bytes) {
    size_t n_bytes = 0;
    allocator = sy__allocator_or_heap(allocator);
    if (!array_bytes(n, size_bytes, &n_bytes)) {
        return NULL;
    }
    void *pointer = allocator->reallocate(allocator->self, NULL, 0, n_bytes, SY__ALIGNMENT);
    if (pointer != NULL && !sy__gives_zeros(allocator, n_bytes)) {
        memset(pointer, 0, n_bytes);
    }
    return pointer;
}

void sy__prefer_large_pages(void *pointer, size_t n_bytes) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), end = (uintptr_t)pointer + n_bytes;
    uintptr_t begin = ((uintptr_t)pointer + page - 1) / page * page;
    end = end / page * page;
    if (begin < end) {
        (void)madvise((char *)pointer + (begin - (uintptr_t)pointer), end - begin, MADV_HUGEPAGE);
    }
}

void sy__free_array(const sy_allocator *allocator, void *pointer, size_t n, size_t size_bytes) {
    size_t n_bytes = 0;
    allocator = sy__allocator_or_heap(allocator);
    if (pointer != NULL && array_bytes(n, size_bytes, &n_bytes)) {
        allocator->reallocate(allocator->self, pointer, n_bytes, 0, SY__ALIGNMENT);
    }
}

bool sy__grow_array(const sy_allocator *allocator, void **inout_array, size_t *inout_capacity,
                    size_t n_wanted, size_t size_bytes) {
    size_t old_capacity = *inout_capacity;
    if (n_wanted <= old_capacity && *inout_array != NULL) {
        return true;
    }
    size_t capacity = 0;
    if (!sy__mul_size(old_capacity, 2, &capacity) || capacity < n_wanted) {
        capacity = n_wanted;
    }
    if (capacity < 8) {
        capacity = 8;
    }
    size_t old_bytes = 0;
    size_t new_bytes = 0;
    if (!array_bytes(capacity, size_bytes, &new_bytes) ||
        !array_bytes(old_capacity, size_bytes, &old_bytes)) {
        return false;
    }
    old_bytes = *inout_array != NULL ? old_bytes : 0;
    allocator = sy__allocator_or_heap(allocator);
    char *moved =
        allocator->reallocate(allocator->self, *inout_array, old_bytes, new_bytes, SY__ALIGNMENT);
    if (moved == NULL) {
        return false;
    }
    memset(moved + old_bytes, 0, new_bytes - old_bytes);
    *inout_array = moved;
    *inout_capacity = capacity;
    return true;
}

struct sy__arena_chunk {
    _Alignas(SY__ALIGNMENT) sy__arena_chunk *older;
    size_t capacity_bytes, used_bytes; /* of the bytes behind this header */
};

#define ARENA_ALIGNMENT 16u
#define ARENA_CHUNK_BYTES 16384u

void sy__arena_init(sy__arena *arena, const sy_allocator *allocator, size_t chunk_bytes) {
    arena->allocator = sy__allocator_or_heap(allocator);
    arena->newest = NULL;
    arena->chunk_bytes = chunk_bytes != 0 ? chunk_bytes : ARENA_CHUNK_BYTES;
}

void sy__arena_deinit(sy__arena *arena) {
    while (arena->newest != NULL) {
        sy__arena_chunk *chunk = arena->newest;
        arena->newest = chunk->older;
        sy__free_array(arena->allocator, chunk, sizeof(*chunk) + chunk->capacity_bytes, 1);
    }
}

static bool arena_add_chunk(sy__arena *arena, size_t n_bytes) {
    size_t capacity = n_bytes > arena->chunk_bytes ? n_bytes : arena->chunk_bytes;
    size_t total = 0;
    if (!sy__add_size(capacity, sizeof(sy__arena_chunk), &total)) {
        return false;
    }
    sy__arena_chunk *chunk = sy__alloc_array(arena->allocator, total, 1);
    if (chunk == NULL) {
        return false;
    }
    chunk->older = arena->newest;
    chunk->capacity_bytes = capacity;
    arena->newest = chunk;
    return true;
}

void *sy__arena_alloc(sy__arena *arena, size_t n, size_t size_bytes) {
    size_t n_bytes = 0;
    uint64_t aligned = 0;
    if (!array_bytes(n, size_bytes, &n_bytes) ||
        !sy__align_u64(n_bytes, ARENA_ALIGNMENT, &aligned) || aligned > SIZE_MAX) {
        return NULL;
    }
    n_bytes = (size_t)aligned;
    sy__arena_chunk *chunk = arena->newest;
    if (chunk == NULL || chunk->capacity_bytes - chunk->used_bytes < n_bytes) {
        if (!arena_add_chunk(arena, n_bytes)) {
            return NULL;
        }
        chunk = arena->newest;
    }
    char *bytes = (char *)(chunk + 1) + chunk->used_bytes;
    chunk->used_bytes += n_bytes;
    return bytes;
}

char *sy__arena_string(sy__arena *arena, const char *text, size_t n_bytes) {
    size_t total = 0;
    if (!sy__add_size(n_bytes, 1, &total)) {
        return NULL;
    }
    char *copy = sy__arena_alloc(arena, total, 1);
    if (copy != NULL && n_bytes > 0) {
        memcpy(copy, text, n_bytes);
    }
    return copy;
}
