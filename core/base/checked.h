/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic that cannot wrap. Each call answers true and writes *out, or answers false. */
#ifndef SY_BASE_CHECKED_H
#define SY_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool sy__add_u64(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_add_overflow(a, b, out);
}
static inline bool sy__sub_u64(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_sub_overflow(a, b, out);
}
static inline bool sy__mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool sy__add_size(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}
static inline bool sy__mul_size(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool sy__add_i64(int64_t a, int64_t b, int64_t *out) {
    return !__builtin_add_overflow(a, b, out);
}
static inline bool sy__mul_i64(int64_t a, int64_t b, int64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
/* Rounds up to a multiple of a power of two. */
static inline bool sy__align_u64(uint64_t value, uint64_t alignment, uint64_t *out) {
    uint64_t sum = 0;
    if (!sy__add_u64(value, alignment - 1, &sum)) {
        return false;
    }
    *out = sum & ~(alignment - 1);
    return true;
}
static inline bool sy__is_power_of_two(uint64_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

#endif
