/* SPDX-License-Identifier: Apache-2.0 */
#include "switchyard/allocator.h"

#include "base/memory.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static void *heap_reallocate(void *self, void *pointer, size_t old_bytes, size_t new_bytes,
                             size_t alignment_bytes) {
    (void)self;
    if (new_bytes == 0) {
        free(pointer);
        return NULL;
    }
    if (alignment_bytes <= _Alignof(max_align_t)) {
        return realloc(pointer, new_bytes);
    }
    void *moved = NULL;
    if (posix_memalign(&moved, alignment_bytes, new_bytes) != 0) {
        return NULL;
    }
    if (pointer != NULL) {
        memcpy(moved, pointer, smaller(old_bytes, new_bytes));
        free(pointer);
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
