/* SPDX-License-Identifier: Apache-2.0 */
/* What the templates share: names with the level in them, and inlining that makes their constant
 * arguments constants of the code. Sanitized builds leave it to the compiler: the code is the same,
 * only slow, and compiles in seconds instead of minutes. */
#ifndef CPU_TEMPLATE_H
#define CPU_TEMPLATE_H

#include <stddef.h>
#include <stdint.h>

#define CPU_JOIN2(a, b) a##b
#define CPU_JOIN(a, b) CPU_JOIN2(a, b)
#ifdef CPU_SANITIZED
#define ALWAYS_INLINE static inline
#else
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#endif

#define STREAM_FAR 4096u
/* Asks for n_bytes at p of weights that are read once, in the order of addresses; NULL: for none.
 * Each line is asked for twice, as STREAM_FAR and as p itself: memory gave 5 to 25 % more to
 * products that did than to those that asked once, at whatever distance (LEVELS.md). */
ALWAYS_INLINE void stream_ahead(const uint8_t *p, size_t n_bytes) {
    if (p != NULL) {
        for (size_t at = 0; at < n_bytes; at += 64) {
            __builtin_prefetch(p + at);
            __builtin_prefetch(p + at + STREAM_FAR);
        }
    }
}

#endif
