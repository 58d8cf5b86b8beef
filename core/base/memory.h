/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation helpers over sy_allocator: overflow-checked, 64-byte aligned, sized release. */
#ifndef SY_BASE_MEMORY_H
#define SY_BASE_MEMORY_H

#include "switchyard/allocator.h"

#include <stdbool.h>

#define SY__ALIGNMENT 64u

/* n * size bytes, zeroed; NULL on overflow or refusal. n * size == 0 answers a one-byte block. */
void *sy__alloc_array(const sy_allocator *allocator, size_t n, size_t size_bytes);
/* Frees what sy__alloc_array(allocator, n, size) gave. NULL is fine. */
void sy__free_array(const sy_allocator *allocator, void *pointer, size_t n, size_t size_bytes);
/* Grows an array to hold at least n_wanted elements (doubling); *inout_capacity is in elements.
 * New elements are zeroed. False on overflow or refusal, the array then unchanged. */
bool sy__grow_array(const sy_allocator *allocator, void **inout_array, size_t *inout_capacity,
                    size_t n_wanted, size_t size_bytes);
/* Whether a new block of this size comes as zeros, so that writing them would only cost pages. */
bool sy__gives_zeros(const sy_allocator *allocator, size_t n_bytes);
/* Asks the system to back a block with large pages when it is first written: for tables that are
 * read and written at random. It may not do so. */
void sy__prefer_large_pages(void *pointer, size_t n_bytes);
/* allocator, or the heap for NULL. */
const sy_allocator *sy__allocator_or_heap(const sy_allocator *allocator);
/* The usual answer to a refused allocation: RESOURCE_EXHAUSTED with the bytes and what for. */
sy_status sy__no_memory(sy_error *error, uint64_t n_bytes, const char *what);

#define SY__NEW(allocator, type) ((type *)sy__alloc_array((allocator), 1, sizeof(type)))
#define SY__DELETE(allocator, pointer) sy__free_array((allocator), (pointer), 1, sizeof(*(pointer)))

/* Bump allocator: everything made in it is freed at once. Caller's memory. */
typedef struct sy__arena_chunk sy__arena_chunk;
typedef struct sy__arena {
    const sy_allocator *allocator;
    sy__arena_chunk *newest;
    size_t chunk_bytes;
} sy__arena;

void sy__arena_init(sy__arena *arena, const sy_allocator *allocator, size_t chunk_bytes);
void sy__arena_deinit(sy__arena *arena);
/* Zeroed, aligned to 16. NULL when refused. */
void *sy__arena_alloc(sy__arena *arena, size_t n, size_t size_bytes);
/* Copies n bytes and a NUL. */
char *sy__arena_string(sy__arena *arena, const char *text, size_t n_bytes);

#endif
