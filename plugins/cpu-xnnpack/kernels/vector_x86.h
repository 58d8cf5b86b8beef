/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the vector layer that AVX2 and the levels above it share: 32 bytes in a ymm. */
#ifndef CPU_VECTOR_X86_H
#define CPU_VECTOR_X86_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float half_to_float(uint16_t half) {
    return _cvtsh_ss(half);
}
static inline uint16_t float_to_half(float x) {
    return (uint16_t)_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT);
}

typedef __m256i chunk;

static inline chunk chunk_load(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
static inline chunk chunk_words(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
    return _mm256_setr_epi64x((long long)a, (long long)b, (long long)c, (long long)d);
}
static inline chunk chunk_nibbles(const uint8_t *p) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m256i both =
        _mm256_inserti128_si256(_mm256_castsi128_si256(bytes), _mm_srli_epi16(bytes, 4), 1);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}
/* value in every byte whose bit is set, else 0 */
static inline chunk chunk_bits(uint32_t bits, int8_t value) {
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
                                            2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i select = _mm256_set1_epi64x((long long)0x8040201008040201ull);
    __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), spread);
    __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, select), select);
    return _mm256_and_si256(set, _mm256_set1_epi8(value));
}
/* the negative of every byte whose bit is set */
static inline chunk chunk_negate(chunk c, uint32_t bits) {
    __m256i set = chunk_bits(bits, -1);
    return _mm256_sub_epi8(_mm256_xor_si256(c, set), set);
}
static inline chunk chunk_shift_and(chunk c, unsigned shift, uint8_t mask) {
    __m256i moved = _mm256_srl_epi16(c, _mm_cvtsi32_si128((int)shift));
    return _mm256_and_si256(moved, _mm256_set1_epi8((char)mask));
}
/* the bits shifted out of a byte must be zero */
static inline chunk chunk_shift_left(chunk c, unsigned shift) {
    return _mm256_sll_epi16(c, _mm_cvtsi32_si128((int)shift));
}
static inline chunk chunk_or(chunk a, chunk b) {
    return _mm256_or_si256(a, b);
}
static inline chunk chunk_minus(chunk c, int8_t value) {
    return _mm256_sub_epi8(c, _mm256_set1_epi8(value));
}
static inline chunk chunk_lookup(const int8_t table[16], chunk index) {
    __m128i row = _mm_loadu_si128((const __m128i *)(const void *)table);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(row), index);
}
static inline float sum_of_8(__m256 acc) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(acc), _mm256_extractf128_ps(acc, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
/* out[i] = w[i] * scale + shift, first 16 and last 16 with their own pair */
static inline void chunk_to_floats(chunk w, const float scale[2], const float shift[2],
                                   float *out) {
    __m128i halves[2] = {_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)};
    for (int i = 0; i < 2; i++) {
        __m256 factor = _mm256_set1_ps(scale[i]), offset = _mm256_set1_ps(shift[i]);
        __m256i low = _mm256_cvtepi8_epi32(halves[i]);
        __m256i high = _mm256_cvtepi8_epi32(_mm_srli_si128(halves[i], 8));
        _mm256_storeu_ps(out + 16 * i, _mm256_fmadd_ps(_mm256_cvtepi32_ps(low), factor, offset));
        _mm256_storeu_ps(out + 16 * i + 8,
                         _mm256_fmadd_ps(_mm256_cvtepi32_ps(high), factor, offset));
    }
}

#endif
