/* SPDX-License-Identifier: Apache-2.0 */
/* An allocator whose n-th call fails, once or from then on, and that counts what is alive. */
#ifndef SY_TESTS_TOOLS_FAULT_H
#define SY_TESTS_TOOLS_FAULT_H

#include "switchyard/allocator.h"

#include <stdbool.h>

typedef struct sy_test_fault {
    sy_allocator allocator; /* pass &fault.allocator on */
    uint64_t n_calls;       /* that asked for memory */
    uint64_t fail_at;       /* 0 never, 1 the first one */
    bool is_persistent;     /* every call from fail_at on fails */
    bool has_failed;
    uint64_t live_bytes;
} sy_test_fault;

static inline void *sy_test_fault_reallocate(void *self, void *pointer, size_t old_bytes,
                                             size_t new_bytes, size_t alignment_bytes) {
    sy_test_fault *fault = self;
    const sy_allocator *heap = sy_allocator_heap();
    if (new_bytes > 0) {
        fault->n_calls++;
        bool is_hit =
            fault->fail_at != 0 && (fault->is_persistent ? fault->n_calls >= fault->fail_at
                                                         : fault->n_calls == fault->fail_at);
        if (is_hit) {
            fault->has_failed = true;
            return NULL;
        }
    }
    void *moved = heap->reallocate(heap->self, pointer, old_bytes, new_bytes, alignment_bytes);
    if (moved != NULL || new_bytes == 0) {
        fault->live_bytes += new_bytes;
        fault->live_bytes -= pointer != NULL ? old_bytes : 0;
    }
    return moved;
}

static inline void sy_test_fault_init(sy_test_fault *fault, uint64_t fail_at, bool is_persistent) {
    *fault = (sy_test_fault){.allocator = {sy_test_fault_reallocate, fault},
                             .fail_at = fail_at,
                             .is_persistent = is_persistent};
}

#endif
