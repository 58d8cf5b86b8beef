/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation. Every create call takes a `const sy_allocator *` first (NULL means the process heap)
 * and the object keeps it until it is destroyed. One function does everything, with the old size,
 * so that a budget or a test can wrap it without bookkeeping of its own.
 */
#ifndef SWITCHYARD_ALLOCATOR_H
#define SWITCHYARD_ALLOCATOR_H

#include "switchyard/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* new_bytes 0 frees and answers NULL; pointer NULL allocates; otherwise moves, keeping
 * min(old, new) bytes. alignment is a power of two <= 4096 and the same for the block's whole life.
 * NULL on failure leaves the old block untouched. Must be callable from any thread. */
typedef void *(*sy_reallocate)(void *self, void *pointer, size_t old_bytes, size_t new_bytes,
                               size_t alignment_bytes);

typedef struct sy_allocator {
    sy_reallocate reallocate;
    void *self;
} sy_allocator;

/* The process heap.
 * shape: -  unit: -  owner: static  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
const sy_allocator *sy_allocator_heap(void);

/* A wrapper that refuses what would bring the sum of live bytes above a limit. Caller's memory;
 * must outlive everything allocated through it. Threads: internally locked (atomic counters). */
typedef struct sy_budget {
    sy_allocator allocator; /* pass &budget.allocator on */
    const sy_allocator *parent;
    uint64_t limit_bytes; /* 0: no limit, only counts */
    uint64_t used_bytes, peak_bytes;
    uint64_t n_refused;
} sy_budget;

/* Prepares a budget over `parent` (NULL: heap).
 * shape: -  unit: bytes  owner: caller's memory  errors: none  thread: one at a time
 * cost: O(1)  since: 0.1  source: - */
void sy_budget_init(sy_budget *budget, const sy_allocator *parent, uint64_t limit_bytes);

#ifdef __cplusplus
}
#endif
#endif
