/* SPDX-License-Identifier: Apache-2.0 */
#include "switchyard/allocator.h"

#include "base/memory.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Blocks from this size on are pages of their own: zero without being written, given back at once,
 * grown without a copy. Under a sanitizer all blocks are malloc's, which it watches. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PAGES_FROM_BYTES SIZE_MAX
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define PAGES_FROM_BYTES SIZE_MAX
#endif
#endif
#ifndef PAGES_FROM_BYTES
#define PAGES_FROM_BYTES ((size_t)512 << 10)
#endif

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static bool in_pages(size_t n_bytes) {
    return n_bytes >= PAGES_FROM_BYTES;
}

static void *take_pages(size_t n_bytes) {
    void *pages = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages != MAP_FAILED ? pages : NULL;
}

static void *take_block(size_t n_bytes, size_t alignment_bytes) {
    void *block = NULL;
    if (in_pages(n_bytes)) {
        return take_pages(n_bytes);
    }
    if (alignment_bytes <= _Alignof(max_align_t)) {
        return malloc(n_bytes);
    }
    return posix_memalign(&block, alignment_bytes, n_bytes) == 0 ? block : NULL;
}

static void give_block(void *pointer, size_t n_bytes) {
    if (pointer != NULL && in_pages(n_bytes)) {
        munmap(pointer, n_bytes);
    } else {
        free(pointer);
    }
}

static void *heap_reallocate(void *self, void *pointer, size_t old_bytes, size_t new_bytes,
                             size_t alignment_bytes) {
    (void)self;
    if (new_bytes == 0) {
        give_block(pointer, old_bytes);
        return NULL;
    }
    if (pointer == NULL) {
        return take_block(new_bytes, alignment_bytes);
    }
    if (in_pages(old_bytes) && in_pages(new_bytes)) {
        void *moved = mremap(pointer, old_bytes, new_bytes, MREMAP_MAYMOVE);
        return moved != MAP_FAILED ? moved : NULL;
    }
    if (!in_pages(old_bytes) && !in_pages(new_bytes) && alignment_bytes <= _Alignof(max_align_t)) {
        return realloc(pointer, new_bytes);
    }
    void *moved = take_block(new_bytes, alignment_bytes);
    if (moved != NULL) {
        memcpy(moved, pointer, smaller(old_bytes, new_bytes));
        give_block(pointer, old_bytes);
    }
    return moved;
}

const sy_allocator *sy_allocator_heap(void) {
    static const sy_allocator heap = {heap_reallocate, NULL};
    return &heap;
}

/* Books `n_bytes` more, or answers false when that would cross the limit. */
static bool budget_book(sy_budget *budget, uint64_t n_bytes) {
    uint64_t used = __atomic_load_n(&budget->used_bytes, __ATOMIC_RELAXED);
    uint64_t wanted = 0;
    do {
        if (__builtin_add_overflow(used, n_bytes, &wanted) ||
            (budget->limit_bytes != 0 && wanted > budget->limit_bytes)) {
            return false;
        }
    } while (!__atomic_compare_exchange_n(&budget->used_bytes, &used, wanted, 0, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    uint64_t peak = __atomic_load_n(&budget->peak_bytes, __ATOMIC_RELAXED);
    while (wanted > peak && !__atomic_compare_exchange_n(&budget->peak_bytes, &peak, wanted, 0,
                                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    return true;
}

static void *budget_reallocate(void *self, void *pointer, size_t old_bytes, size_t new_bytes,
                               size_t alignment_bytes) {
    sy_budget *budget = self;
    const sy_allocator *parent = budget->parent;
    size_t live_bytes = pointer != NULL ? old_bytes : 0;
    bool grows = new_bytes > live_bytes;
    if (grows && !budget_book(budget, new_bytes - live_bytes)) {
        __atomic_fetch_add(&budget->n_refused, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    void *moved = parent->reallocate(parent->self, pointer, live_bytes, new_bytes, alignment_bytes);
    if (grows && moved == NULL) {
        __atomic_fetch_sub(&budget->used_bytes, new_bytes - live_bytes, __ATOMIC_RELAXED);
    } else if (!grows && (moved != NULL || new_bytes == 0)) {
        __atomic_fetch_sub(&budget->used_bytes, live_bytes - new_bytes, __ATOMIC_RELAXED);
    }
    return moved;
}

void sy_budget_init(sy_budget *budget, const sy_allocator *parent, uint64_t limit_bytes) {
    memset(budget, 0, sizeof(*budget));
    budget->allocator.reallocate = budget_reallocate;
    budget->allocator.self = budget;
    budget->parent = sy__allocator_or_heap(parent);
    budget->limit_bytes = limit_bytes;
}

bool sy__gives_zeros(const sy_allocator *allocator, size_t n_bytes) {
    while (allocator->reallocate == budget_reallocate) {
        const sy_budget *budget = allocator->self;
        allocator = budget->parent;
    }
    return allocator->reallocate == heap_reallocate && in_pages(n_bytes);
}
