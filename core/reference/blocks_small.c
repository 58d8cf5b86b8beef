/* SPDX-License-Identifier: Apache-2.0 */
/* Types of one to two bits without a code book (TQ1_0, TQ2_0, Q1_0, Q2_0), and NVFP4. */
#include "reference/blocks_internal.h"

/* Five base-3 digits lie in a byte as the fraction digits / 243, rounded up to 256ths: multiplying
 * by 3^n modulo 256 leaves digit n on top. */
static float digit(uint8_t byte, int n) {
    static const uint8_t powers[5] = {1, 3, 9, 27, 81};
    unsigned rest = byte * powers[n] & 0xffu;
    return (float)((int)(rest * 3 >> 8) - 1);
}

/* 48 bytes of five digits, 4 bytes of four, d: first of 32 bytes, then of 16, then of 4, digit by
 * digit. */
void sy__decode_tq1_0(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block + 52);
    for (int i = 0; i < 160; i++) {
        out_values[i] = d * digit(block[i % 32], i / 32);
    }
    for (int i = 0; i < 80; i++) {
        out_values[160 + i] = d * digit(block[32 + i % 16], i / 16);
    }
    for (int i = 0; i < 16; i++) {
        out_values[240 + i] = d * digit(block[48 + i % 4], i / 4);
    }
}

/* 64 bytes of two bits, laid as in Q2_K, d: d * (q - 1). */
void sy__decode_tq2_0(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block + 64);
    for (int i = 0; i < 256; i++) {
        int value = block[i / 128 * 32 + i % 32] >> (2 * (i / 32 % 4)) & 3;
        out_values[i] = d * (float)(value - 1);
    }
}

/* d, a bit for each of 128 elements in their order: d or -d. */
void sy__decode_q1_0(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    for (int i = 0; i < 128; i++) {
        out_values[i] = (block[2 + i / 8] >> (i % 8) & 1) != 0 ? d : -d;
    }
}

/* d, two bits for each of 64 elements in their order: d * (q - 1). */
void sy__decode_q2_0(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    for (int i = 0; i < 64; i++) {
        out_values[i] = d * (float)((block[2 + i / 4] >> (2 * (i % 4)) & 3) - 1);
    }
}

/* Half of an unsigned E4M3 number: the value table is doubled. 0x7f, which would be NaN, means 0;
 * the top bit is not looked at. */
static float half_of_ue4m3(uint8_t byte) {
    int exponent = byte >> 3 & 15, mantissa = byte & 7;
    if (byte == 0x7f) {
        return 0.0f;
    }
    if (exponent == 0) {
        return (float)mantissa * 0x1p-10f;
    }
    return (1.0f + (float)mantissa / 8.0f) * sy__f32_from_bits((uint32_t)(exponent + 119) << 23);
}

/* Four scales of 16 elements each; of their 8 bytes low nibbles first, then high ones. */
void sy__decode_nvfp4(const uint8_t *block, float *out_values) {
    for (int group = 0; group < 4; group++) {
        float d = half_of_ue4m3(block[group]);
        const uint8_t *q = block + 4 + 8 * group;
        for (int j = 0; j < 8; j++) {
            out_values[16 * group + j] = d * (float)sy__e2m1_values[q[j] & 0x0f];
            out_values[16 * group + 8 + j] = d * (float)sy__e2m1_values[q[j] >> 4];
        }
    }
}
