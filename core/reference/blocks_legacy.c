/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of 32 elements: the first GGUF types, and the two 4-bit table types of that size. In every
 * 4-bit type byte j holds element j in its low and element j + 16 in its high nibble.
 */
#include "reference/blocks.h"
#include "reference/blocks_internal.h"

#define BLOCK 32
#define HALF 16

/* d, 16 bytes of nibbles: d * (q - 8). */
void sy__decode_q4_0(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    for (int j = 0; j < HALF; j++) {
        out_values[j] = d * (float)((block[2 + j] & 0x0f) - 8);
        out_values[j + HALF] = d * (float)((block[2 + j] >> 4) - 8);
    }
}

/* d, m, nibbles: d * q + m. */
void sy__decode_q4_1(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    float m = sy__read_f16(block + 2);
    for (int j = 0; j < HALF; j++) {
        out_values[j] = d * (float)(block[4 + j] & 0x0f) + m;
        out_values[j + HALF] = d * (float)(block[4 + j] >> 4) + m;
    }
}

/* Fifth bits: bit i of a 32-bit little-endian word belongs to element i. */
static int fifth_bit(const uint8_t *word, int i_element) {
    return ((word[i_element / 8] >> (i_element % 8)) & 1) << 4;
}

/* d, 32 fifth bits, nibbles: d * (q - 16). */
void sy__decode_q5_0(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    const uint8_t *high = block + 2;
    const uint8_t *low = block + 6;
    for (int j = 0; j < HALF; j++) {
        int first = (low[j] & 0x0f) | fifth_bit(high, j);
        int second = (low[j] >> 4) | fifth_bit(high, j + HALF);
        out_values[j] = d * (float)(first - 16);
        out_values[j + HALF] = d * (float)(second - 16);
    }
}

/* d, m, 32 fifth bits, nibbles: d * q + m. */
void sy__decode_q5_1(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    float m = sy__read_f16(block + 2);
    const uint8_t *high = block + 4;
    const uint8_t *low = block + 8;
    for (int j = 0; j < HALF; j++) {
        int first = (low[j] & 0x0f) | fifth_bit(high, j);
        int second = (low[j] >> 4) | fifth_bit(high, j + HALF);
        out_values[j] = d * (float)first + m;
        out_values[j + HALF] = d * (float)second + m;
    }
}

/* d, 32 signed bytes: d * q. */
void sy__decode_q8_0(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    for (int j = 0; j < BLOCK; j++) {
        out_values[j] = d * (float)(int8_t)block[2 + j];
    }
}

/* d, the sum of the block (for dot products only), 32 signed bytes: d * q. */
void sy__decode_q8_1(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    for (int j = 0; j < BLOCK; j++) {
        out_values[j] = d * (float)(int8_t)block[4 + j];
    }
}

const int8_t sy__iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};

/* d, nibbles that index a table: d * value. */
void sy__decode_iq4_nl(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    for (int j = 0; j < HALF; j++) {
        out_values[j] = d * (float)sy__iq4_values[block[2 + j] & 0x0f];
        out_values[j + HALF] = d * (float)sy__iq4_values[block[2 + j] >> 4];
    }
}

const int8_t sy__e2m1_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* Half of 2^(e - 127): the table above is doubled. e = 0 and 1 give subnormal f32. */
static float half_of_e8m0(uint8_t e) {
    return sy__f32_from_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

/* One exponent byte, nibbles: 2^(e - 128) * value. */
void sy__decode_mxfp4(const uint8_t *block, float *out_values) {
    float d = half_of_e8m0(block[0]);
    for (int j = 0; j < HALF; j++) {
        out_values[j] = d * (float)sy__e2m1_values[block[1 + j] & 0x0f];
        out_values[j + HALF] = d * (float)sy__e2m1_values[block[1 + j] >> 4];
    }
}
