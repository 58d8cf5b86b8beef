/* SPDX-License-Identifier: Apache-2.0 */
/* Static memory plan: places ranges with lifetimes into one arena so that ranges alive at the same
 * time never overlap. */
#ifndef SY_PLAN_MEMORY_PLAN_H
#define SY_PLAN_MEMORY_PLAN_H

#include "switchyard/allocator.h"

typedef struct sy__lifetime {
    uint64_t n_bytes;
    uint32_t first, last;  /* steps [first, last] during which the range is alive */
    uint64_t offset_bytes; /* written by sy__memory_plan */
} sy__lifetime;

/* alignment_bytes is a power of two. Zero-byte ranges get offset 0. RESOURCE_EXHAUSTED on overflow
 * or a refused allocation. */
SY_MUST_CHECK sy_status sy__memory_plan(const sy_allocator *allocator, sy__lifetime *ranges,
                                        size_t n_ranges, uint64_t alignment_bytes,
                                        uint64_t *out_total_bytes, sy_error *error);

#endif
