/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two greedy orders are tried, largest range first and earliest range first, each putting a range
 * into the smallest gap between those that are placed already and alive with it. The better of the
 * two is kept; the first is best for tensors of very different sizes, the second for chains.
 */
#include "plan/memory_plan.h"

#include "base/checked.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct placed {
    uint64_t n_bytes; /* rounded up */
    uint64_t offset;
    uint32_t first, last;
    size_t i_range;
} placed;

static int compare_u64(uint64_t a, uint64_t b) {
    return a < b ? -1 : a > b;
}

static int by_size(const void *left, const void *right) {
    const placed *a = left, *b = right;
    int order = compare_u64(b->n_bytes, a->n_bytes);
    order = order != 0 ? order : compare_u64(a->first, b->first);
    return order != 0 ? order : compare_u64(a->i_range, b->i_range);
}

static int by_start(const void *left, const void *right) {
    const placed *a = left, *b = right;
    int order = compare_u64(a->first, b->first);
    order = order != 0 ? order : compare_u64(b->n_bytes, a->n_bytes);
    return order != 0 ? order : compare_u64(a->i_range, b->i_range);
}

/* The smallest gap of the ranges alive with `item`; `alive` is sorted by offset. */
static bool find_place(const placed *const *alive, size_t n_alive, const placed *item,
                       uint64_t *out_offset) {
    uint64_t end = 0, best_gap = UINT64_MAX, best = 0;
    for (size_t i = 0; i < n_alive; i++) {
        uint64_t gap = alive[i]->offset > end ? alive[i]->offset - end : 0;
        if (gap >= item->n_bytes && gap < best_gap) {
            best_gap = gap;
            best = end;
        }
        uint64_t here = alive[i]->offset + alive[i]->n_bytes;
        end = here > end ? here : end;
    }
    *out_offset = best_gap != UINT64_MAX ? best : end;
    uint64_t unused = 0;
    return sy__add_u64(*out_offset, item->n_bytes, &unused);
}

/* Places items in their array order; `sorted` holds those that are placed, by offset. */
static bool place_all(placed *items, size_t n, const placed **sorted, const placed **alive,
                      uint64_t *out_total) {
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        size_t n_alive = 0;
        for (size_t k = 0; k < i; k++) {
            if (sorted[k]->first <= items[i].last && items[i].first <= sorted[k]->last) {
                alive[n_alive++] = sorted[k];
            }
        }
        if (!find_place(alive, n_alive, &items[i], &items[i].offset)) {
            return false;
        }
        size_t at = i;
        for (; at > 0 && sorted[at - 1]->offset > items[i].offset; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = &items[i];
        uint64_t end = items[i].offset + items[i].n_bytes;
        total = end > total ? end : total;
    }
    *out_total = total;
    return true;
}

static bool collect(const sy__lifetime *ranges, size_t n_ranges, uint64_t alignment, placed *items,
                    size_t *out_n) {
    size_t n = 0;
    for (size_t i = 0; i < n_ranges; i++) {
        placed item = {.first = ranges[i].first, .last = ranges[i].last, .i_range = i};
        if (ranges[i].n_bytes == 0) {
            continue;
        }
        if (!sy__align_u64(ranges[i].n_bytes, alignment, &item.n_bytes)) {
            return false;
        }
        items[n++] = item;
    }
    *out_n = n;
    return true;
}

static void keep(const placed *items, size_t n, sy__lifetime *ranges) {
    for (size_t i = 0; i < n; i++) {
        ranges[items[i].i_range].offset_bytes = items[i].offset;
    }
}

static sy_status plan_with(placed *items, const placed **sorted, sy__lifetime *ranges,
                           size_t n_ranges, uint64_t alignment, uint64_t *out_total,
                           sy_error *error) {
    size_t n = 0;
    uint64_t by_size_total = 0, by_start_total = 0;
    bool fits = collect(ranges, n_ranges, alignment, items, &n);
    if (fits) {
        qsort(items, n, sizeof(*items), by_size);
        fits = place_all(items, n, sorted, sorted + n_ranges, &by_size_total);
    }
    if (!fits) {
        return sy_error_set(error, SY_RESOURCE_EXHAUSTED,
                            "The activations of the graph take more than 2^64 bytes.");
    }
    for (size_t i = 0; i < n_ranges; i++) {
        ranges[i].offset_bytes = 0;
    }
    keep(items, n, ranges);
    qsort(items, n, sizeof(*items), by_start);
    if (place_all(items, n, sorted, sorted + n_ranges, &by_start_total) &&
        by_start_total < by_size_total) {
        keep(items, n, ranges);
        by_size_total = by_start_total;
    }
    *out_total = by_size_total;
    return SY_OK;
}

sy_status sy__memory_plan(const sy_allocator *allocator, sy__lifetime *ranges, size_t n_ranges,
                          uint64_t alignment_bytes, uint64_t *out_total_bytes, sy_error *error) {
    if (!sy__is_power_of_two(alignment_bytes)) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "An arena alignment of %" PRIu64 " bytes is no power of two.",
                            alignment_bytes);
    }
    placed *items = sy__alloc_array(allocator, n_ranges, sizeof(*items));
    const placed **sorted = sy__alloc_array(allocator, n_ranges, 2u * sizeof(*sorted));
    sy_status status = SY_OK;
    if (items == NULL || sorted == NULL) {
        status = sy__no_memory(error, (uint64_t)n_ranges * sizeof(*items), "the memory plan");
    } else {
        status =
            plan_with(items, sorted, ranges, n_ranges, alignment_bytes, out_total_bytes, error);
    }
    sy__free_array(allocator, items, n_ranges, sizeof(*items));
    sy__free_array(allocator, sorted, n_ranges, 2u * sizeof(*sorted));
    return status;
}
