/* SPDX-License-Identifier: Apache-2.0 */
/* What the templates share: names with the level in them, and inlining that makes their constant
 * arguments constants of the code. Sanitized builds leave it to the compiler: the code is the same,
 * only slow, and compiles in seconds instead of minutes. */
#ifndef CPU_TEMPLATE_H
#define CPU_TEMPLATE_H

#define CPU_JOIN2(a, b) a##b
#define CPU_JOIN(a, b) CPU_JOIN2(a, b)
#ifdef CPU_SANITIZED
#define ALWAYS_INLINE static inline
#else
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#endif

#endif
