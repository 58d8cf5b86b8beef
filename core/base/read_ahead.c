/* SPDX-License-Identifier: Apache-2.0 */
#include "base/read_ahead.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEAST_BYTES ((uint64_t)16 << 20)
#define CHUNK_BYTES ((uint64_t)4 << 20) /* asked for at once; the end is looked for in between */

struct sy__read_ahead {
    const sy_allocator *allocator;
    pthread_t thread;
    bool ending; /* atomic */
    uint32_t n_spans, n_reserved;
    sy__span *spans;
    uint64_t page_bytes;
};

/* Starts reading a part of a span; comes back when the requests are queued. */
static void ask_for(const sy__read_ahead *ahead, const sy__span *span, uint64_t at) {
    uint64_t left = span->n_bytes - at, n_bytes = left < CHUNK_BYTES ? left : CHUNK_BYTES;
    uintptr_t begin = (uintptr_t)span->bytes + (uintptr_t)at;
    uint64_t before = begin % ahead->page_bytes;
    (void)madvise((void *)(begin - before), (size_t)(n_bytes + before), MADV_WILLNEED);
}

/* Whether the first and the last page of a part lie in memory. */
static bool is_resident(const sy__read_ahead *ahead, const sy__span *span, uint64_t at,
                        uint64_t n_bytes) {
    uint64_t last = at + n_bytes <= span->n_bytes ? at + n_bytes - 1 : span->n_bytes - 1;
    const uint64_t places[2] = {at, last};
    bool resident = true;
    for (size_t i = 0; i < 2; i++) {
        unsigned char there = 1;
        uintptr_t byte = (uintptr_t)span->bytes + (uintptr_t)places[i];
        void *page = (void *)(byte - byte % ahead->page_bytes);
        resident =
            resident && mincore(page, (size_t)ahead->page_bytes, &there) == 0 && (there & 1) != 0;
    }
    return resident;
}

static void read_span(const sy__read_ahead *ahead, const sy__span *span) {
    for (uint64_t at = 0; at < span->n_bytes; at += CHUNK_BYTES) {
        if (__atomic_load_n(&ahead->ending, __ATOMIC_RELAXED)) {
            return;
        }
        if (!is_resident(ahead, span, at, CHUNK_BYTES)) {
            ask_for(ahead, span, at);
        }
    }
}

static void *run(void *argument) {
    const sy__read_ahead *ahead = argument;
    for (uint32_t i = 0; i < ahead->n_spans; i++) {
        read_span(ahead, &ahead->spans[i]);
    }
    return NULL;
}

/* Copies spans up to half of the machine's memory: a larger file would push its own beginning out.
 * Answers the bytes. */
static uint64_t take_spans(sy__read_ahead *ahead, const sy__span *spans, uint32_t n_spans) {
    long n_pages = sysconf(_SC_PHYS_PAGES);
    uint64_t left = n_pages > 0 ? (uint64_t)n_pages * ahead->page_bytes / 2 : 0, total = 0;
    for (uint32_t i = 0; i < n_spans && left > 0; i++) {
        sy__span span = spans[i];
        span.n_bytes = span.n_bytes < left ? span.n_bytes : left;
        left -= span.n_bytes;
        total += span.n_bytes;
        ahead->spans[ahead->n_spans++] = span;
    }
    return total;
}

static void release(sy__read_ahead *ahead) {
    const sy_allocator *allocator = ahead->allocator;
    sy__free_array(allocator, ahead->spans, ahead->n_reserved, sizeof(sy__span));
    SY__DELETE(allocator, ahead);
}

sy__read_ahead *sy__read_ahead_start(const sy_allocator *allocator, const sy__span *spans,
                                     uint32_t n_spans) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < n_spans; i++) {
        total += spans[i].n_bytes; /* parts of one mapping: no overflow */
    }
    if (total < LEAST_BYTES) {
        return NULL;
    }
    sy__read_ahead *ahead = SY__NEW(allocator, sy__read_ahead);
    if (ahead == NULL) {
        return NULL;
    }
    ahead->allocator = allocator;
    ahead->n_reserved = n_spans;
    ahead->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    ahead->spans = sy__alloc_array(allocator, n_spans, sizeof(sy__span));
    if (ahead->spans == NULL || take_spans(ahead, spans, n_spans) == 0 ||
        pthread_create(&ahead->thread, NULL, run, ahead) != 0) {
        release(ahead);
        return NULL;
    }
    return ahead;
}

void sy__read_rows_only(sy__span span) {
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t before = (uintptr_t)span.bytes % page_bytes;
    uint64_t skipped = before > 0 ? page_bytes - before : 0; /* a page that others use too */
    if (span.n_bytes > skipped) {
        void *begin = (void *)((uintptr_t)span.bytes + (uintptr_t)skipped);
        size_t n_bytes = (size_t)((span.n_bytes - skipped) / page_bytes * page_bytes);
        (void)madvise(begin, n_bytes, MADV_NOHUGEPAGE);
        (void)madvise(begin, n_bytes, MADV_RANDOM);
    }
}

void sy__read_ahead_end(sy__read_ahead *ahead) {
    if (ahead != NULL) {
        __atomic_store_n(&ahead->ending, true, __ATOMIC_RELAXED);
        pthread_join(ahead->thread, NULL);
        release(ahead);
    }
}
