/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both languages lack is here, written in the dialect itself: numbers of 16 bits, elements of
 * any type in words, sums over a group. README.md says how a kernel is written.
 */
#ifdef DIALECT_GLSL
#include "dialect_glsl.h"
#else
#include "dialect_cl.h"
#endif

#define BINDING_0_4(i) b0x4[i]
#ifndef BINDING_1_4
#define BINDING_1_4(i) b1x4[i]
#endif

/* Element types: the numbers of sy_plugin.h. */
#define TYPE_F32 0u
#define TYPE_F16 1u
#define TYPE_Q4_0 2u
#define TYPE_Q4_1 3u
#define TYPE_Q5_0 6u
#define TYPE_Q5_1 7u
#define TYPE_Q8_0 8u
#define TYPE_Q2_K 10u
#define TYPE_Q3_K 11u
#define TYPE_Q4_K 12u
#define TYPE_Q5_K 13u
#define TYPE_Q6_K 14u
#define TYPE_IQ4_NL 20u
#define TYPE_IQ4_XS 23u
#define TYPE_I8 24u
#define TYPE_I32 26u
#define TYPE_I64 27u
#define TYPE_BF16 30u
#define TYPE_MXFP4 39u
#define TYPE_U8 64u
#define TYPE_BOOL 66u

/* Status classes of sy_plugin.h that a kernel may FAIL with. */
#define STATUS_OUT_OF_RANGE 11u

/* Functions have one return, at their end, and choose between named values: a return in the middle
 * becomes control flow wherever the function is used, and an expression behind a ? a branch. */
#define IS_NAN(x) ((AS_U(x) & 0x7fffffffu) > 0x7f800000u)

/* to_half rounds to nearest, ties to even. */
#ifdef NATIVE_HALVES
float from_half(uint h) {
    return convert_float(as_half((ushort)h));
}

uint to_half(float x) {
    return as_ushort(convert_half_rte(x));
}
#else
float from_half(uint h) {
    uint magnitude = h & 0x7fffu, mantissa = magnitude << 13;
    uint number = mantissa + 0x38000000u;
    uint tiny = AS_U(TO_F(magnitude) * 5.9604644775390625e-8f); /* subnormal: times 2^-24 */
    uint endless = mantissa | 0x7f800000u;                      /* infinity, NaN */
    number = magnitude < 0x400u ? tiny : number;
    number = magnitude < 0x7c00u ? number : endless;
    return AS_F(number | (h & 0x8000u) << 16);
}

uint to_half(float x) {
    uint bits = AS_U(x), magnitude = bits & 0x7fffffffu;
    uint half_bits = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    /* Subnormal: a small integer times 2^-24. */
    uint tiny = TO_U(ROUND_EVEN(AS_F(min(magnitude, 0x38800000u)) * 16777216.0f));
    uint infinity = 0x7c00u, nan = 0x7e00u;
    half_bits = magnitude < 0x38800000u ? tiny : half_bits;
    half_bits = magnitude < 0x477ff000u ? half_bits : infinity; /* rounds past the largest */
    half_bits = magnitude > 0x7f800000u ? nan : half_bits;
    return ((bits >> 16) & 0x8000u) | half_bits;
}
#endif

uint to_bf16(float x) {
    uint bits = AS_U(x), nan = bits >> 16 | 0x40u;
    uint rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return (bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded;
}

/* Elements of a plain type of 1, 2 or 4 bytes in a word, as a shift. */
uint per_word_shift(uint type) {
    uint shift = type == TYPE_I8 || type == TYPE_U8 || type == TYPE_BOOL ? 2u : 0u;
    return type == TYPE_F16 || type == TYPE_BF16 ? 1u : shift;
}

/* Element i of a plain type of at most 4 bytes, out of the word that holds it. */
float number_in(uint type, uint word, uint i) {
    float number = AS_F(word);
    if (type == TYPE_F16 || type == TYPE_BF16) {
        uint h = (word >> ((i & 1u) * 16u)) & 0xffffu;
        number = type == TYPE_F16 ? from_half(h) : AS_F(h << 16);
    } else if (type == TYPE_I32) {
        number = TO_F(TO_I(word));
    } else if (type != TYPE_F32) {
        uint byte = (word >> ((i & 3u) * 8u)) & 0xffu;
        number = type == TYPE_I8 ? TO_F(TO_I(byte << 24) >> 24) : TO_F(byte);
    }
    return number;
}

/* The bits of a float in a float type, low. */
uint number_bits(uint type, float x) {
    uint bits = AS_U(x);
    if (type == TYPE_F16) {
        bits = to_half(x);
    } else if (type == TYPE_BF16) {
        bits = to_bf16(x);
    }
    return bits;
}

/* Element i of memory b. */
#define NUMBER(b, type, i) number_in(type, b[(i) >> per_word_shift(type)], i)

/* Writes the first n elements of a word: all of it, or what they cover. */
#define STORE_WORD(b, i_word, word, n, type)                             \
    do {                                                                 \
        uint store_bits = (n) << (5u - per_word_shift(type));            \
        if (store_bits >= 32u) {                                         \
            b[i_word] = word;                                            \
        } else {                                                         \
            uint store_mask = (1u << store_bits) - 1u;                   \
            b[i_word] = (b[i_word] & ~store_mask) | ((word)&store_mask); \
        }                                                                \
    } while (false)

/* Writes element i of memory b, which other invocations may share a word with. */
#define STORE_ELEMENT(b, i, bits, type)                                          \
    do {                                                                         \
        uint store_shift = per_word_shift(type);                                 \
        if (store_shift == 0u) {                                                 \
            b[i] = bits;                                                         \
        } else {                                                                 \
            uint store_width = 32u >> store_shift;                               \
            uint store_at = ((i) & ((1u << store_shift) - 1u)) * store_width;    \
            uint store_mask = ((1u << store_width) - 1u) << store_at;            \
            ATOMIC_AND(b, (i) >> store_shift, ~store_mask);                      \
            ATOMIC_OR(b, (i) >> store_shift, ((bits) << store_at) & store_mask); \
        }                                                                        \
    } while (false)

/* Copies element `from` of memory x to element `to` of memory y: 1, 2, 4 or 8 bytes each. */
#define MOVE_ELEMENT(y, to, x, from, size)                                      \
    do {                                                                        \
        if ((size) == 8u) {                                                     \
            y[2u * (to)] = x[2u * (from)];                                      \
            y[2u * (to) + 1u] = x[2u * (from) + 1u];                            \
        } else if ((size) == 4u) {                                              \
            y[to] = x[from];                                                    \
        } else {                                                                \
            uint move_shift = (size) == 2u ? 1u : 2u, move_bits = 8u * (size);  \
            uint move_at = ((from) & ((1u << move_shift) - 1u)) * move_bits;    \
            uint move_word = x[(from) >> move_shift] >> move_at;                \
            STORE_ELEMENT(y, to, move_word, (size) == 2u ? TYPE_F16 : TYPE_U8); \
        }                                                                       \
    } while (false)

/* Sum and maximum of a variable over the group, for all of it. The file defines SHARED_FLOATS, at
 * least S0, a power of two. */
#ifdef SHARED_FLOATS
#ifdef SUBGROUPS
#define GROUP_REDUCE(x, of_subgroup, of_two)                                  \
    do {                                                                      \
        x = of_subgroup(x);                                                   \
        if (SUBGROUP_COUNT > 1u) {                                            \
            if (SUBGROUP_LANE == 0u) {                                        \
                shared_f[SUBGROUP_INDEX] = x;                                 \
            }                                                                 \
            BARRIER;                                                          \
            x = shared_f[0];                                                  \
            for (uint reduce_i = 1u; reduce_i < SUBGROUP_COUNT; reduce_i++) { \
                x = of_two(x, shared_f[reduce_i]);                            \
            }                                                                 \
            BARRIER;                                                          \
        }                                                                     \
    } while (false)
#else
#define GROUP_REDUCE(x, of_subgroup, of_two)                                           \
    do {                                                                               \
        shared_f[LOCAL] = x;                                                           \
        BARRIER;                                                                       \
        for (uint reduce_n = S0 / 2u; reduce_n > 0u; reduce_n /= 2u) {                 \
            if (LOCAL < reduce_n) {                                                    \
                shared_f[LOCAL] = of_two(shared_f[LOCAL], shared_f[LOCAL + reduce_n]); \
            }                                                                          \
            BARRIER;                                                                   \
        }                                                                              \
        x = shared_f[0];                                                               \
        BARRIER;                                                                       \
    } while (false)
#endif
#define SUM_OF_TWO(a, b) ((a) + (b))
#define GROUP_ADD(x) GROUP_REDUCE(x, SUBGROUP_ADD, SUM_OF_TWO)
#define GROUP_MAX(x) GROUP_REDUCE(x, SUBGROUP_MAX, max)
#endif
