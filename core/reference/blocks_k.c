/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Super-blocks of 256 elements ("K" types and IQ4_XS): one or two f16 scales for all, small integer
 * scales for groups of 16 or 32. Products are rounded step by step: (scale * group scale) first.
 */
#include "reference/blocks_internal.h"

#define SUPER 256

/* 16 bytes: low nibble scale, high nibble minimum of 16 elements each; 64 bytes of 2-bit values;
 * d, dmin. Of each 32 bytes, bits 2s..2s+1 hold elements 32 s .. 32 s + 31. */
void sy__decode_q2_k(const uint8_t *block, float *out_values) {
    const uint8_t *scales = block;
    const uint8_t *q = block + 16;
    float d = sy__read_f16(block + 80);
    float dmin = sy__read_f16(block + 82);
    for (int i = 0; i < SUPER; i++) {
        uint8_t scale = scales[i / 16];
        float dl = d * (float)(scale & 0x0f);
        float ml = dmin * (float)(scale >> 4);
        int shift = 2 * ((i / 32) % 4);
        int value = (q[(i / 128) * 32 + i % 32] >> shift) & 3;
        out_values[i] = dl * (float)value - ml;
    }
}

/* 6-bit scales of Q3_K: low 4 bits in nibbles of bytes 0-7, high 2 bits in bytes 8-11. */
static int q3_scale(const uint8_t *scales, int i_group) {
    int low = i_group < 8 ? scales[i_group] & 0x0f : scales[i_group - 8] >> 4;
    int high = (scales[8 + i_group % 4] >> (2 * (i_group / 4))) & 3;
    return (low | high << 4) - 32;
}

/* 32 bytes of third bits (0 means subtract 4), 64 bytes of 2-bit values, 12 of scales, d. */
void sy__decode_q3_k(const uint8_t *block, float *out_values) {
    const uint8_t *high = block;
    const uint8_t *q = block + 32;
    const uint8_t *scales = block + 96;
    float d = sy__read_f16(block + 108);
    for (int i = 0; i < SUPER; i++) {
        float dl = d * (float)q3_scale(scales, i / 16);
        int shift = 2 * ((i / 32) % 4);
        int value = (q[(i / 128) * 32 + i % 32] >> shift) & 3;
        int third = (high[i % 32] >> (i / 32)) & 1;
        out_values[i] = dl * (float)(value - (third ? 0 : 4));
    }
}

/* 6-bit scale and minimum of group i of Q4_K and Q5_K: bytes 0-3 scales, 4-7 minima (6 bits each of
 * groups 0-3, their top 2 bits belong to groups 4-7), 8-11 the low nibbles of groups 4-7. */
static void k_scale_and_min(const uint8_t *bytes, int i_group, float *out_scale, float *out_min) {
    int scale, min;
    if (i_group < 4) {
        scale = bytes[i_group] & 0x3f;
        min = bytes[i_group + 4] & 0x3f;
    } else {
        scale = (bytes[i_group + 4] & 0x0f) | ((bytes[i_group - 4] >> 6) << 4);
        min = (bytes[i_group + 4] >> 4) | ((bytes[i_group] >> 6) << 4);
    }
    *out_scale = (float)scale;
    *out_min = (float)min;
}

/* d, dmin, 12 bytes of scales, 128 bytes of nibbles: of each 32 bytes the low nibbles hold one
 * group of 32 and the high nibbles the next. */
void sy__decode_q4_k(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    float dmin = sy__read_f16(block + 2);
    const uint8_t *q = block + 16;
    for (int group = 0; group < 8; group++) {
        float scale, min;
        k_scale_and_min(block + 4, group, &scale, &min);
        float dl = d * scale;
        float ml = dmin * min;
        for (int j = 0; j < 32; j++) {
            int value = (q[(group / 2) * 32 + j] >> (4 * (group % 2))) & 0x0f;
            out_values[group * 32 + j] = dl * (float)value - ml;
        }
    }
}

/* As Q4_K with 32 bytes of fifth bits before the nibbles: bit g of byte j for group g. */
void sy__decode_q5_k(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    float dmin = sy__read_f16(block + 2);
    const uint8_t *high = block + 16;
    const uint8_t *q = block + 48;
    for (int group = 0; group < 8; group++) {
        float scale, min;
        k_scale_and_min(block + 4, group, &scale, &min);
        float dl = d * scale;
        float ml = dmin * min;
        for (int j = 0; j < 32; j++) {
            int value = (q[(group / 2) * 32 + j] >> (4 * (group % 2))) & 0x0f;
            value |= ((high[j] >> group) & 1) << 4;
            out_values[group * 32 + j] = dl * (float)value - ml;
        }
    }
}

/* 128 bytes of low nibbles, 64 of high bit pairs, 16 signed scales, d: d * scale * (q - 32). */
void sy__decode_q6_k(const uint8_t *block, float *out_values) {
    const uint8_t *low = block;
    const uint8_t *high = block + 128;
    const uint8_t *scales = block + 192;
    float d = sy__read_f16(block + 208);
    for (int i = 0; i < SUPER; i++) {
        float dl = d * (float)(int8_t)scales[i / 16];
        int half = i / 128;
        int within = i % 128;
        int value = (low[half * 64 + within % 64] >> (4 * (within / 64))) & 0x0f;
        value |= ((high[half * 32 + within % 32] >> (2 * (within / 32))) & 3) << 4;
        out_values[i] = dl * (float)(value - 32);
    }
}

/* f32 d, 256 signed bytes, sums of 16 (for dot products only): d * q. */
void sy__decode_q8_k(const uint8_t *block, float *out_values) {
    float d;
    memcpy(&d, block, sizeof(d));
    for (int i = 0; i < SUPER; i++) {
        out_values[i] = d * (float)(int8_t)block[4 + i];
    }
}

/* d, 8 high bit pairs and 8 low nibbles of scales for groups of 32, nibbles into the IQ4 table: of
 * each 16 bytes low nibbles first, then high ones. */
void sy__decode_iq4_xs(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    uint16_t scales_high = sy__read_u16(block + 2);
    const uint8_t *scales_low = block + 4;
    const uint8_t *q = block + 8;
    for (int group = 0; group < 8; group++) {
        int scale = (scales_low[group / 2] >> (4 * (group % 2))) & 0x0f;
        scale |= ((scales_high >> (2 * group)) & 3) << 4;
        float dl = d * (float)(scale - 32);
        for (int j = 0; j < 16; j++) {
            uint8_t byte = q[group * 16 + j];
            out_values[group * 32 + j] = dl * (float)sy__iq4_values[byte & 0x0f];
            out_values[group * 32 + 16 + j] = dl * (float)sy__iq4_values[byte >> 4];
        }
    }
}
