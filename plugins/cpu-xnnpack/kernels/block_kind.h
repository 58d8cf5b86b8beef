/* SPDX-License-Identifier: Apache-2.0 */
/* Template: a block type as a compile-time value, and decoding and encoding of its rows. Included
 * after a vector layer by both templates of products. */
#include "block_unpack.h"
#include "kernels.h"
#include "template.h"

typedef void (*scales_function)(const uint8_t *block, factors *out);
typedef chunk (*weights_function)(const uint8_t *block, unsigned i_chunk);

/* A block type; every use is a compile-time constant. */
typedef struct block_kind {
    scales_function scales;
    weights_function weights;
    unsigned n_chunks, block_bytes, traits;
} block_kind;

#define KIND(name, n_chunks, traits)                                                    \
    (block_kind) {                                                                      \
        scales_##name, weights_##name, n_chunks, (unsigned)sizeof(block_##name), traits \
    }

ALWAYS_INLINE void decode_blocks(const uint8_t *row, size_t n, float *out, block_kind kind) {
    for (size_t c = 0; c < n / 32; c++) {
        const uint8_t *block = row + c / kind.n_chunks * kind.block_bytes;
        unsigned i = (unsigned)(c % kind.n_chunks);
        factors f;
        kind.scales(block, &f);
        unsigned first = (kind.traits & TRAIT_HALVES) != 0 ? 2 * i : i;
        unsigned second = (kind.traits & TRAIT_HALVES) != 0 ? 2 * i + 1 : i;
        float scale[2] = {f.scale[first], f.scale[second]}, shift[2] = {0.0f, 0.0f};
        if ((kind.traits & TRAIT_MINIMUM) != 0) {
            shift[0] = -f.minimum[first];
            shift[1] = -f.minimum[second];
        }
        chunk_to_floats(kind.weights(block, i), scale, shift, out + 32 * c);
    }
}

/* The nearest integer, away from zero at ties, as GGUF writers take it; within +-127, NaN is 0. */
static inline int8_t encoded_level(float q) {
    const float below_half = 0x1.fffffep-2f; /* so that no sum rounds up to the next integer */
    q = q >= 127.0f ? 127.0f : q > -127.0f ? q : q <= -127.0f ? -127.0f : 0.0f;
    return (int8_t)(q < 0.0f ? q - below_half : q + below_half);
}

static void encode_q8_0(const float *x, size_t n, uint8_t *out_row) {
    for (size_t b = 0; b < n / 32; b++, x += 32) {
        float largest = 0.0f;
        for (int i = 0; i < 32; i++) {
            largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
        }
        float d = largest / 127.0f;
        uint16_t half = float_to_half(d);
        uint8_t *block = out_row + b * sizeof(block_q8_0);
        memcpy(block, &half, 2);
        float inverse = d > 0.0f ? 1.0f / d : 0.0f;
        for (int i = 0; i < 32; i++) {
            block[2 + i] = (uint8_t)encoded_level(x[i] * inverse);
        }
    }
}

/* The element of largest size becomes -8 exactly; NaN becomes 0. */
static void encode_q4_0(const float *x, size_t n, uint8_t *out_row) {
    for (size_t b = 0; b < n / 32; b++, x += 32) {
        float extreme = 0.0f;
        for (int i = 0; i < 32; i++) {
            extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
        }
        float d = extreme / -8.0f;
        uint16_t half = float_to_half(d);
        uint8_t *block = out_row + b * sizeof(block_q4_0);
        memcpy(block, &half, 2);
        float inverse = d != 0.0f ? 1.0f / d : 0.0f;
        uint8_t q[32];
        for (int i = 0; i < 32; i++) {
            float level = (isnan(x[i]) ? 0.0f : x[i]) * inverse + 8.5f;
            q[i] = (uint8_t)(level >= 15.0f ? 15.0f : level > 0.0f ? level : 0.0f);
        }
        for (int i = 0; i < 16; i++) {
            block[2 + i] = (uint8_t)(q[i] | q[i + 16] << 4);
        }
    }
}

#define encode_q4_1 NULL
#define encode_q5_0 NULL
#define encode_q5_1 NULL
#define encode_iq4_nl NULL
#define encode_mxfp4 NULL
#define encode_q2_k NULL
#define encode_q3_k NULL
#define encode_q4_k NULL
#define encode_q5_k NULL
#define encode_q6_k NULL
#define encode_iq4_xs NULL

#define MAKE_DECODE(NAME, name, n_chunks, traits)                         \
    static void decode_##name(const uint8_t *row, size_t n, float *out) { \
        decode_blocks(row, n, out, KIND(name, n_chunks, traits));         \
    }
CPU_BLOCK_TYPES(MAKE_DECODE)

/* The table of a level; the including template brings linear_<type>. */
#define TABLE_ENTRY(NAME, name, n_chunks, traits) \
    [SY_TYPE_##NAME] = {linear_##name, decode_##name, encode_##name},
#define CPU_BLOCK_TABLE                                                                    \
    extern const cpu_type_kernels CPU_JOIN(cpu_linear_blocks_, CPU_LEVEL)[CPU_TYPE_TABLE]; \
    const cpu_type_kernels CPU_JOIN(cpu_linear_blocks_,                                    \
                                    CPU_LEVEL)[CPU_TYPE_TABLE] = {CPU_BLOCK_TYPES(TABLE_ENTRY)};
