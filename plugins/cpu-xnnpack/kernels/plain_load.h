/* SPDX-License-Identifier: Apache-2.0 */
/* Template: f32, f16 and bf16 from memory, widened in registers. Included after a vector layer. */
#ifndef CPU_PLAIN_LOAD_H
#define CPU_PLAIN_LOAD_H

#include "template.h"

/* Pairs: bf16 whose products with x rounded to bf16 are added two at a time. */
typedef enum plain_kind { PLAIN_F32, PLAIN_F16, PLAIN_BF16, PLAIN_BF16_PAIRS } plain_kind;

ALWAYS_INLINE size_t plain_bytes(plain_kind kind) {
    return kind == PLAIN_F32 ? 4 : 2;
}

/* bf16 is the upper half of f32. */
ALWAYS_INLINE vfloat load_bf16(const uint16_t *p) {
#if defined(__AVX512F__) && VF == 16
    __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
#elif defined(__AVX2__) && VF == 8
    __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    return (vfloat)_mm256_slli_epi32(words, 16);
#else
    typedef uint16_t shorts __attribute__((vector_size(VF * 2)));
    typedef uint32_t words __attribute__((vector_size(VF * 4)));
    shorts s;
    memcpy(&s, p, sizeof(s));
    return (vfloat)(__builtin_convertvector(s, words) << 16);
#endif
}

/* VF elements from any address. */
ALWAYS_INLINE vfloat plain_load(const uint8_t *p, plain_kind kind) {
    if (kind == PLAIN_F32) {
        return vf_load((const float *)(const void *)p);
    }
    const uint16_t *halves = (const uint16_t *)(const void *)p;
    return kind == PLAIN_F16 ? vf_load_f16(halves) : load_bf16(halves);
}

/* Keeps a value in its register: compilers would load it again for every product that it is part
 * of, and loads are what such a loop has least of. */
#if defined(__x86_64__) && VF == 16
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__x86_64__) && VF >= 4
#define IN_REGISTER(v) __asm__("" : "+x"(v))
#else
#define IN_REGISTER(v) (void)(v)
#endif

#endif
