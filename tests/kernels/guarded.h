/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers that end exactly at an inaccessible page, and a small random source, for kernel tests. */
#ifndef SY_TESTS_GUARDED_H
#define SY_TESTS_GUARDED_H

#include "harness.h"

#include <stdint.h>
#include <sys/mman.h>

typedef struct guarded {
    uint8_t *base;
    size_t n_mapped;
    uint8_t *bytes; /* the buffer: its end is the start of the guard page */
} guarded;

/* A buffer of n_bytes; the byte behind it cannot be touched. Its address is only as aligned as
 * n_bytes makes it, so odd sizes test misalignment as well. */
static inline guarded guarded_make(size_t n_bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n_pages = (n_bytes + page - 1) / page + 1;
    guarded g = {NULL, (n_pages + 1) * page, NULL};
    g.base = mmap(NULL, g.n_mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(g.base != MAP_FAILED);
    CHECK(mprotect(g.base + n_pages * page, page, PROT_NONE) == 0);
    g.bytes = g.base + n_pages * page - n_bytes;
    return g;
}
static inline void guarded_free(guarded *g) {
    munmap(g->base, g->n_mapped);
}

static uint64_t random_state = 1;
static inline uint32_t random_u32(void) { /* splitmix64 */
    random_state += 0x9e3779b97f4a7c15ull;
    uint64_t z = random_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}
/* -1..1 */
static inline float random_float(void) {
    return (float)((double)random_u32() / 2147483648.0 - 1.0);
}
static inline void random_floats(float *out, size_t n, float size) {
    for (size_t i = 0; i < n; i++) {
        out[i] = random_float() * size;
    }
}

#endif
