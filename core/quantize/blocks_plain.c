/* SPDX-License-Identifier: Apache-2.0 */
/* Types of one scale (and minimum) a block; layouts as the decoders of core/reference have them. */
#include "internal.h"

#include "reference/blocks_internal.h"

#include <math.h>
#include <string.h>

bool sy__put_f16(uint8_t *bytes, float value) {
    uint16_t bits = sy__f16_from_f64((double)value);
    memcpy(bytes, &bits, sizeof(bits));
    return (bits & 0x7c00u) != 0x7c00u;
}

/* 32 codes of 4 bits: the first half in the low nibbles, the second in the high ones. */
static void put_nibbles(const uint32_t *codes, uint8_t *out) {
    for (uint32_t i = 0; i < SY__BLOCK / 2; i++) {
        out[i] = (uint8_t)((codes[i] & 15u) | (codes[i + SY__BLOCK / 2] & 15u) << 4);
    }
}

/* The fifth bits of 32 codes. */
static void put_fifths(const uint32_t *codes, uint8_t *out) {
    uint32_t bits = 0;
    for (uint32_t i = 0; i < SY__BLOCK; i++) {
        bits |= (codes[i] >> 4 & 1u) << i;
    }
    memcpy(out, &bits, sizeof(bits));
}

/* One scale, as an f16 has it, and the codes level - low. */
static bool fit_codes(sy__levels levels, const float *x, const float *w, uint8_t *out_scale,
                      uint32_t *out_codes) {
    float found[SY__BLOCK], d = sy__fit_scale(&levels, SY__BLOCK, x, w, found);
    if (!sy__put_f16(out_scale, d)) {
        return false;
    }
    (void)sy__use_scale(&levels, SY__BLOCK, x, w, sy__as_f16(d), found);
    for (uint32_t i = 0; i < SY__BLOCK; i++) {
        out_codes[i] = (uint32_t)(found[i] - levels.low);
    }
    return true;
}

bool sy__encode_q4_0(const float *x, const float *w, uint8_t *out_block) {
    uint32_t codes[SY__BLOCK];
    bool good = fit_codes((sy__levels){-8.0f, 7.0f, NULL}, x, w, out_block, codes);
    if (good) {
        put_nibbles(codes, out_block + 2);
    }
    return good;
}

bool sy__encode_q5_0(const float *x, const float *w, uint8_t *out_block) {
    uint32_t codes[SY__BLOCK];
    bool good = fit_codes((sy__levels){-16.0f, 15.0f, NULL}, x, w, out_block, codes);
    if (good) {
        put_fifths(codes, out_block + 2);
        put_nibbles(codes, out_block + 6);
    }
    return good;
}

bool sy__encode_q8_0(const float *x, const float *w, uint8_t *out_block) {
    uint32_t codes[SY__BLOCK];
    bool good = fit_codes((sy__levels){-127.0f, 127.0f, NULL}, x, w, out_block, codes);
    for (uint32_t i = 0; good && i < SY__BLOCK; i++) {
        out_block[2 + i] = (uint8_t)(int8_t)((int)codes[i] - 127);
    }
    return good;
}

static bool fit_line_codes(uint32_t n_max, const float *x, const float *w, uint8_t *out_line,
                           uint32_t *out_codes) {
    float q[SY__BLOCK];
    sy__line line = sy__fit_line(n_max, false, SY__BLOCK, x, w);
    if (!sy__put_f16(out_line, line.d) || !sy__put_f16(out_line + 2, line.m)) {
        return false;
    }
    line = (sy__line){sy__as_f16(line.d), sy__as_f16(line.m)};
    (void)sy__use_line(n_max, SY__BLOCK, x, w, line, q);
    for (uint32_t i = 0; i < SY__BLOCK; i++) {
        out_codes[i] = (uint32_t)q[i];
    }
    return true;
}

bool sy__encode_q4_1(const float *x, const float *w, uint8_t *out_block) {
    uint32_t codes[SY__BLOCK];
    bool good = fit_line_codes(15, x, w, out_block, codes);
    if (good) {
        put_nibbles(codes, out_block + 4);
    }
    return good;
}

bool sy__encode_q5_1(const float *x, const float *w, uint8_t *out_block) {
    uint32_t codes[SY__BLOCK];
    bool good = fit_line_codes(31, x, w, out_block, codes);
    if (good) {
        put_fifths(codes, out_block + 4);
        put_nibbles(codes, out_block + 8);
    }
    return good;
}

/* The code of a level of an ascending book. */
static uint32_t code_in(const int8_t *book, float level) {
    uint32_t code = 0;
    while (code < 15 && (float)book[code] < level) {
        code++;
    }
    return code;
}

static const sy__levels iq4 = {-127.0f, 113.0f, sy__iq4_values};

bool sy__encode_iq4_nl(const float *x, const float *w, uint8_t *out_block) {
    float found[SY__BLOCK], d = sy__fit_scale(&iq4, SY__BLOCK, x, w, found);
    uint32_t codes[SY__BLOCK];
    if (!sy__put_f16(out_block, d)) {
        return false;
    }
    (void)sy__use_scale(&iq4, SY__BLOCK, x, w, sy__as_f16(d), found);
    for (uint32_t i = 0; i < SY__BLOCK; i++) {
        codes[i] = code_in(sy__iq4_values, found[i]);
    }
    put_nibbles(codes, out_block + 2);
    return true;
}

bool sy__encode_iq4_xs(const float *x, const float *w, uint8_t *out_block) {
    sy__super super;
    uint16_t high = 0;
    uint32_t codes[SY__BLOCK];
    sy__fit_super_scales(&iq4, 8, -32.0f, 31.0f, x, w, &super);
    if (!sy__put_f16(out_block, super.d)) {
        return false;
    }
    memset(out_block + 2, 0, 6);
    for (uint32_t j = 0; j < 8; j++) {
        uint32_t scale = (uint32_t)(super.scales[j] + 32.0f);
        out_block[4 + j / 2] |= (uint8_t)((scale & 15u) << (4 * (j % 2)));
        high = (uint16_t)(high | (scale >> 4) << (2 * j));
        for (uint32_t i = 0; i < SY__BLOCK; i++) {
            codes[i] = code_in(sy__iq4_values, super.levels[j * SY__BLOCK + i]);
        }
        put_nibbles(codes, out_block + 8 + 16 * j);
    }
    memcpy(out_block + 2, &high, sizeof(high));
    return true;
}

/* Magnitudes of E2M1, doubled; the sign is bit 3 of a code. */
static uint32_t e2m1_code(float x) {
    float magnitude = fabsf(x);
    uint32_t code = 0;
    while (code < 7 &&
           magnitude > 0.5f * (float)(sy__e2m1_values[code] + sy__e2m1_values[code + 1])) {
        code++;
    }
    return code | (x < 0.0f && code > 0 ? 8u : 0u);
}

/* The scale is a power of two, of which the bits are the exponent + 128. */
bool sy__encode_mxfp4(const float *x, const float *w, uint8_t *out_block) {
    float far = 0.0f, least = INFINITY;
    uint32_t codes[SY__BLOCK], best[SY__BLOCK] = {0};
    int exponent = 0, chosen = 0;
    for (uint32_t i = 0; i < SY__BLOCK; i++) {
        far = fabsf(x[i]) > far ? fabsf(x[i]) : far;
    }
    (void)frexpf(far / 12.0f, &exponent);
    for (int e = exponent - 2; far > 0.0f && e <= exponent + 1; e++) {
        int bits = e + 128;
        float sum = 0.0f, d = ldexpf(1.0f, e);
        if (bits < 0 || bits > 254) {
            continue;
        }
        for (uint32_t i = 0; i < SY__BLOCK; i++) {
            codes[i] = e2m1_code(x[i] / d);
            float difference = x[i] - d * (float)sy__e2m1_values[codes[i]];
            sum += w[i] * difference * difference;
        }
        if (sum < least) {
            least = sum;
            chosen = bits;
            memcpy(best, codes, sizeof(best));
        }
    }
    out_block[0] = (uint8_t)chosen;
    put_nibbles(best, out_block + 1);
    return true;
}
