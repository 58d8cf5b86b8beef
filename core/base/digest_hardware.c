/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 with the instructions of x86 (SHA extensions) and Arm (cryptography extension): hashing a
 * model or a plugin then runs at the speed of the memory it lies in. */
#include "base/digest.h"
#include "base/digest_rounds.h"

/* FIPS 180-4, 4.2.2 */
const uint32_t sy__sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

/* The instructions want the state as the words ABEF and CDGH, highest first. */
__attribute__((target("sha,sse4.1,ssse3"))) static void digest_x86(uint32_t state[8],
                                                                   const uint8_t *bytes,
                                                                   size_t n_blocks) {
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
    __m128i *words = (__m128i *)(void *)state;
    const __m128i *constants = (const __m128i *)(const void *)sy__sha256_constants;
    __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(words), 0xb1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(words + 1), 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
    __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
    for (; n_blocks > 0; n_blocks--, bytes += 64) {
        const __m128i before_abef = abef;
        const __m128i before_cdgh = cdgh;
        __m128i w[4];
        for (int i = 0; i < 16; i++) { /* four rounds each */
            __m128i next = w[i & 3];
            if (i < 4) {
                next = _mm_loadu_si128((const __m128i *)(const void *)bytes + i);
                next = _mm_shuffle_epi8(next, order);
            } else {
                next = _mm_sha256msg1_epu32(next, w[(i + 1) & 3]);
                next = _mm_add_epi32(next, _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
                next = _mm_sha256msg2_epu32(next, w[(i + 3) & 3]);
            }
            w[i & 3] = next;
            __m128i sum = _mm_add_epi32(next, _mm_loadu_si128(constants + i));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
        }
        abef = _mm_add_epi32(abef, before_abef);
        cdgh = _mm_add_epi32(cdgh, before_cdgh);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
    __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128(words, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128(words + 1, _mm_alignr_epi8(dchg, feba, 8));
}

sy__sha256_blocks sy__sha256_hardware(void) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    const unsigned sha_bit = 1u << 29;
    if (!__builtin_cpu_supports("sse4.1") || !__builtin_cpu_supports("ssse3") ||
        !__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        return NULL;
    }
    return (b & sha_bit) != 0 ? digest_x86 : NULL;
}

#elif defined(__aarch64__)

#include <arm_neon.h>
#include <sys/auxv.h>

#define HWCAP_SHA2_BIT (1ul << 6)

__attribute__((target("+crypto"))) static void digest_arm(uint32_t state[8], const uint8_t *bytes,
                                                          size_t n_blocks) {
    uint32x4_t abcd = vld1q_u32(state);
    uint32x4_t efgh = vld1q_u32(state + 4);
    for (; n_blocks > 0; n_blocks--, bytes += 64) {
        const uint32x4_t before_abcd = abcd;
        const uint32x4_t before_efgh = efgh;
        uint32x4_t w[4];
        for (int i = 0; i < 16; i++) { /* four rounds each */
            if (i < 4) {
                w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(bytes + 16 * i)));
            } else {
                w[i & 3] = vsha256su1q_u32(vsha256su0q_u32(w[i & 3], w[(i + 1) & 3]),
                                           w[(i + 2) & 3], w[(i + 3) & 3]);
            }
            uint32x4_t sum = vaddq_u32(w[i & 3], vld1q_u32(sy__sha256_constants + 4 * i));
            uint32x4_t old_abcd = abcd;
            abcd = vsha256hq_u32(abcd, efgh, sum);
            efgh = vsha256h2q_u32(efgh, old_abcd, sum);
        }
        abcd = vaddq_u32(abcd, before_abcd);
        efgh = vaddq_u32(efgh, before_efgh);
    }
    vst1q_u32(state, abcd);
    vst1q_u32(state + 4, efgh);
}

sy__sha256_blocks sy__sha256_hardware(void) {
    return (getauxval(AT_HWCAP) & HWCAP_SHA2_BIT) != 0 ? digest_arm : NULL;
}

#else

sy__sha256_blocks sy__sha256_hardware(void) {
    return NULL;
}

#endif
