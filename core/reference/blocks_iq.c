/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Super-blocks of 256 elements whose magnitudes come from a code book: IQ2, IQ3 and IQ1. One f16
 * scale d for all, small integer scales for groups; an entry of the book gives 8 elements, or 4 for
 * IQ3. Products are rounded in the order in which they stand here.
 */
#include "reference/blocks_internal.h"

#define SUPER 256

static const float iq2_magnitudes[4] = {8, 25, 43, 0}; /* index 3 is in no entry */
static const float iq3_xxs_magnitudes[8] = {4, 12, 20, 28, 36, 44, 52, 62};

static float signed_by(float value, unsigned signs, int j) {
    return (signs >> j & 1) != 0 ? -value : value;
}

/* Eight signs out of seven bits: their number is even. */
static unsigned eight_signs(uint32_t seven) {
    unsigned signs = seven & 0x7f, parity = signs;
    parity ^= parity >> 4;
    parity ^= parity >> 2;
    parity ^= parity >> 1;
    return signs | (parity & 1) << 7;
}

static void put_iq2(float db, uint16_t entry, unsigned signs, float *out_values) {
    for (int j = 0; j < 8; j++) {
        out_values[j] = signed_by(db * iq2_magnitudes[entry >> (2 * j) & 3], signs, j);
    }
}

static float nibble(const uint8_t *bytes, int i) {
    return (float)(bytes[i / 2] >> (4 * (i % 2)) & 0x0f);
}

/* d, then for each 32 elements four index bytes and four bytes with 4 times 7 signs under the group
 * scale in the top four bits: d * (scale + 1/2) / 4. */
void sy__decode_iq2_xxs(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    for (int group = 0; group < 8; group++) {
        const uint8_t *q = block + 2 + 8 * group;
        uint32_t signs = sy__read_u32(q + 4);
        float db = d * (0.5f + (float)(signs >> 28)) * 0.25f;
        for (int k = 0; k < 4; k++) {
            put_iq2(db, sy__grid_iq2_xxs[q[k]], eight_signs(signs >> (7 * k)),
                    out_values + 32 * group + 8 * k);
        }
    }
}

/* d, 32 words of 9 index bits and 7 sign bits, 16 scale nibbles of 16 elements each. */
void sy__decode_iq2_xs(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    for (int k = 0; k < 32; k++) {
        uint16_t word = sy__read_u16(block + 2 + 2 * k);
        float db = d * (0.5f + nibble(block + 66, k / 2)) * 0.25f;
        put_iq2(db, sy__grid_iq2_xs[word & 511], eight_signs(word >> 9), out_values + 8 * k);
    }
}

/* d, 32 low index bytes, 32 sign bytes, 8 bytes with the two high index bits, 16 scale nibbles. */
void sy__decode_iq2_s(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    const uint8_t *low = block + 2, *signs = block + 34, *high = block + 66;
    for (int k = 0; k < 32; k++) {
        int index = low[k] | (high[k / 4] >> (2 * (k % 4)) & 3) << 8;
        float db = d * (0.5f + nibble(block + 74, k / 2)) * 0.25f;
        put_iq2(db, sy__grid_iq2_s[index], signs[k], out_values + 8 * k);
    }
}

/* d, 64 index bytes, then for each 32 elements four bytes of signs and scale as in IQ2_XXS:
 * d * (scale + 1/2) / 2. */
void sy__decode_iq3_xxs(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    for (int i = 0; i < SUPER; i++) {
        uint32_t word = sy__read_u32(block + 66 + i / 32 * 4);
        unsigned signs = eight_signs(word >> (7 * (i / 8 % 4)));
        float db = d * (0.5f + (float)(word >> 28)) * 0.5f;
        int index = sy__grid_iq3_xxs[block[2 + i / 4]] >> (4 * (i % 4)) & 7;
        out_values[i] = signed_by(db * iq3_xxs_magnitudes[index], signs, i % 8);
    }
}

/* d, 64 low index bytes, 8 bytes of ninth index bits, 32 sign bytes, 8 scale nibbles of 32 elements
 * each: d * (2 scale + 1), magnitudes 1, 3 .. 15. */
void sy__decode_iq3_s(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    const uint8_t *low = block + 2, *high = block + 66, *signs = block + 74;
    for (int i = 0; i < SUPER; i++) {
        int k = i / 4, entry = low[k] | (high[k / 8] >> (k % 8) & 1) << 8;
        float db = d * (1.0f + 2.0f * nibble(block + 106, i / 32));
        int index = sy__grid_iq3_s[entry] >> (4 * (i % 4)) & 7;
        out_values[i] = signed_by(db * (float)(2 * index + 1), signs[i / 8], i % 8);
    }
}

/* -1, 0 or 1 shifted by an eighth up, or down where the bit is set. */
static void put_iq1(float dl, int index, bool is_down, float *out_values) {
    float delta = is_down ? -0.125f : 0.125f;
    for (int j = 0; j < 8; j++) {
        int element = (sy__grid_iq1_s[index] >> (2 * j) & 3) - 1;
        out_values[j] = dl * ((float)element + delta);
    }
}

/* d, 32 low index bytes, for each 32 elements a word: 4 times 3 high index bits, 3 bits of scale,
 * the bit of the shift: d * (2 scale + 1). */
void sy__decode_iq1_s(const uint8_t *block, float *out_values) {
    float d = sy__read_f16(block);
    for (int k = 0; k < 32; k++) {
        uint16_t word = sy__read_u16(block + 34 + k / 4 * 2);
        float dl = d * (float)(2 * (word >> 12 & 7) + 1);
        int index = block[2 + k] | (word >> (3 * (k % 4)) & 7) << 8;
        put_iq1(dl, index, (word & 0x8000) != 0, out_values + 8 * k);
    }
}

/* 32 low index bytes, 16 bytes of nibbles (three high index bits, the bit of the shift), four
 * words: 4 times 3 bits of scale for 16 elements each, and in the top four bits a quarter of d. */
void sy__decode_iq1_m(const uint8_t *block, float *out_values) {
    const uint8_t *high = block + 32, *scales = block + 48;
    uint16_t bits = 0;
    for (int i = 0; i < 4; i++) {
        bits = (uint16_t)(bits | sy__read_u16(scales + 2 * i) >> 12 << (4 * i));
    }
    float d = sy__f16_to_f32(bits);
    for (int k = 0; k < 32; k++) {
        int scale = sy__read_u16(scales + k / 8 * 2) >> (3 * (k / 2 % 4)) & 7;
        int top = high[k / 2] >> (4 * (k % 2)) & 0x0f;
        put_iq1(d * (float)(2 * scale + 1), block[k] | (top & 7) << 8, (top & 8) != 0,
                out_values + 8 * k);
    }
}
