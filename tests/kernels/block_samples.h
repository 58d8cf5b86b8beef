/* SPDX-License-Identifier: Apache-2.0 */
/* Block types and sample rows for kernel tests: random bytes under sane scales, and extremes. */
#ifndef SY_TESTS_BLOCK_SAMPLES_H
#define SY_TESTS_BLOCK_SAMPLES_H

#include "block_layout.h"
#include "guarded.h"
#include "sy_plugin.h"

typedef struct block_type {
    const char *name;
    sy_element_type type;
    uint32_t n_elements, n_bytes;
    int half_at[2]; /* byte offset of f16 factors, -1 none */
} block_type;

#define T(NAME, name, n) #NAME, SY_TYPE_##NAME, n, (uint32_t)sizeof(block_##name)
static const block_type block_types[] = {
    {T(Q4_0, q4_0, 32), {0, -1}},
    {T(Q4_1, q4_1, 32), {0, 2}},
    {T(Q5_0, q5_0, 32), {0, -1}},
    {T(Q5_1, q5_1, 32), {0, 2}},
    {T(Q8_0, q8_0, 32), {0, -1}},
    {T(IQ4_NL, iq4_nl, 32), {0, -1}},
    {T(MXFP4, mxfp4, 32), {-1, -1}},
    {T(Q2_K, q2_k, 256), {(int)offsetof(block_q2_k, d), (int)offsetof(block_q2_k, dmin)}},
    {T(Q3_K, q3_k, 256), {(int)offsetof(block_q3_k, d), -1}},
    {T(Q4_K, q4_k, 256), {0, 2}},
    {T(Q5_K, q5_k, 256), {0, 2}},
    {T(Q6_K, q6_k, 256), {(int)offsetof(block_q6_k, d), -1}},
    {T(IQ4_XS, iq4_xs, 256), {0, -1}},
    {T(IQ2_XXS, iq2_xxs, 256), {0, -1}},
    {T(IQ2_XS, iq2_xs, 256), {0, -1}},
    {T(IQ2_S, iq2_s, 256), {0, -1}},
    {T(IQ3_XXS, iq3_xxs, 256), {0, -1}},
    {T(IQ3_S, iq3_s, 256), {0, -1}},
    {T(IQ1_S, iq1_s, 256), {0, -1}},
    {T(IQ1_M, iq1_m, 256), {-1, -1}},
    {T(TQ1_0, tq1_0, 256), {(int)offsetof(block_tq1_0, d), -1}},
    {T(TQ2_0, tq2_0, 256), {(int)offsetof(block_tq2_0, d), -1}},
    {T(NVFP4, nvfp4, 64), {-1, -1}},
    {T(Q1_0, q1_0, 128), {0, -1}},
    {T(Q2_0, q2_0, 64), {0, -1}},
};
#undef T
#define N_BLOCK_TYPES (sizeof(block_types) / sizeof(block_types[0]))

typedef enum block_pattern {
    PATTERN_RANDOM,
    PATTERN_ZEROS,
    PATTERN_ONES,     /* every payload bit set, scale 1 */
    PATTERN_MAXIMUM,  /* largest finite scales */
    PATTERN_DENORMAL, /* smallest scales */
    PATTERN_COUNT
} block_pattern;

static inline uint16_t pattern_half(block_pattern pattern) {
    uint16_t sign = (uint16_t)(random_u32() & 0x8000u);
    switch (pattern) {
    case PATTERN_ZEROS:
        return 0;
    case PATTERN_ONES:
        return 0x3c00;
    case PATTERN_MAXIMUM:
        return (uint16_t)(sign | 0x7bff);
    case PATTERN_DENORMAL:
        return (uint16_t)(sign | 1);
    case PATTERN_RANDOM:
    case PATTERN_COUNT:
        break;
    }
    return (uint16_t)(sign | 0x2000 | (random_u32() & 0x0bff)); /* about 0.008 to 0.1 */
}

/* The factors of types that have no whole f16. */
static inline void block_fill_scale(const block_type *t, block_pattern pattern, uint8_t *block) {
    if (t->type == SY_TYPE_MXFP4) {
        static const uint8_t exponents[PATTERN_COUNT] = {0, 0, 127, 150, 1};
        block[0] =
            pattern == PATTERN_RANDOM ? (uint8_t)(118 + random_u32() % 8) : exponents[pattern];
    }
    if (t->type == SY_TYPE_NVFP4) {
        static const uint8_t scales[PATTERN_COUNT] = {0, 0, 0x38, 0x7e, 1};
        for (int i = 0; i < 4; i++) {
            block[i] =
                pattern == PATTERN_RANDOM ? (uint8_t)(8 + random_u32() % 40) : scales[pattern];
        }
    }
    if (t->type == SY_TYPE_IQ1_M) { /* the f16 lies in the top four bits of four words */
        uint16_t half = pattern_half(pattern);
        for (int i = 0; i < 4; i++) {
            uint8_t *top = block + 49 + 2 * i;
            *top = (uint8_t)((*top & 0x0f) | (half >> (4 * i) & 15) << 4);
        }
    }
}

static inline void block_fill(const block_type *t, block_pattern pattern, uint8_t *block) {
    for (uint32_t i = 0; i < t->n_bytes; i++) {
        block[i] = pattern == PATTERN_ZEROS  ? 0
                   : pattern == PATTERN_ONES ? 0xff
                                             : (uint8_t)random_u32();
    }
    for (int i = 0; i < 2; i++) {
        uint16_t half = pattern_half(pattern);
        if (t->half_at[i] >= 0) {
            memcpy(block + t->half_at[i], &half, 2);
        }
    }
    block_fill_scale(t, pattern, block);
}

#endif
