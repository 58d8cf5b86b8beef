/* SPDX-License-Identifier: Apache-2.0 */
/* Super-blocks of 256 with sub-blocks, and the ternary types; layouts as the decoders of
 * core/reference have them. */
#include "internal.h"

#include <math.h>
#include <string.h>

/* Element e of a block whose codes of 2 bits lie four to a byte: 128 elements share 32 bytes. */
static uint32_t pair_byte(uint32_t e) {
    return e / 128 * 32 + e % 32;
}
static uint32_t pair_shift(uint32_t e) {
    return e % 128 / 32 * 2;
}

bool sy__encode_q2_k(const float *x, const float *w, uint8_t *out_block) {
    sy__super super;
    sy__fit_super_lines(3, 16, 15.0f, x, w, &super);
    memset(out_block, 0, 80);
    for (uint32_t j = 0; j < 16; j++) {
        out_block[j] = (uint8_t)((uint32_t)super.scales[j] | (uint32_t)super.minima[j] << 4);
    }
    for (uint32_t e = 0; e < SY__SUPER; e++) {
        out_block[16 + pair_byte(e)] |= (uint8_t)((uint32_t)super.levels[e] << pair_shift(e));
    }
    return sy__put_f16(out_block + 80, super.d) && sy__put_f16(out_block + 82, super.d_min);
}

bool sy__encode_q3_k(const float *x, const float *w, uint8_t *out_block) {
    static const sy__levels levels = {-4.0f, 3.0f, NULL};
    sy__super super;
    sy__fit_super_scales(&levels, 16, -32.0f, 31.0f, x, w, &super);
    memset(out_block, 0, 108);
    for (uint32_t e = 0; e < SY__SUPER; e++) {
        uint32_t code = (uint32_t)(super.levels[e] + 4.0f);
        out_block[32 + pair_byte(e)] |= (uint8_t)((code & 3u) << pair_shift(e));
        out_block[e % 32] |= (uint8_t)((code >> 2) << e / 32);
    }
    for (uint32_t j = 0; j < 16; j++) {
        uint32_t scale = (uint32_t)(super.scales[j] + 32.0f);
        out_block[96 + j % 8] |= (uint8_t)((scale & 15u) << (j / 8 * 4));
        out_block[104 + j % 4] |= (uint8_t)((scale >> 4) << (j / 4 * 2));
    }
    return sy__put_f16(out_block + 108, super.d);
}

/* Eight scales and minima of 6 bits in 12 bytes. */
static void put_six_bits(const sy__super *super, uint8_t *out) {
    memset(out, 0, 12);
    for (uint32_t j = 0; j < 8; j++) {
        uint32_t scale = (uint32_t)super->scales[j], minimum = (uint32_t)super->minima[j];
        if (j < 4) {
            out[j] |= (uint8_t)scale;
            out[j + 4] |= (uint8_t)minimum;
        } else {
            out[j + 4] |= (uint8_t)((scale & 15u) | (minimum & 15u) << 4);
            out[j - 4] |= (uint8_t)(scale >> 4 << 6);
            out[j] |= (uint8_t)(minimum >> 4 << 6);
        }
    }
}

static bool put_lines(const sy__super *super, uint8_t *out_block, uint8_t *out_low,
                      uint8_t *out_high) {
    put_six_bits(super, out_block + 4);
    for (uint32_t e = 0; e < SY__SUPER; e++) {
        uint32_t code = (uint32_t)super->levels[e];
        out_low[e / 64 * 32 + e % 32] |= (uint8_t)((code & 15u) << (e / 32 % 2 * 4));
        if (out_high != NULL) {
            out_high[e % 32] |= (uint8_t)((code >> 4) << e / 32);
        }
    }
    return sy__put_f16(out_block, super->d) && sy__put_f16(out_block + 2, super->d_min);
}

bool sy__encode_q4_k(const float *x, const float *w, uint8_t *out_block) {
    sy__super super;
    sy__fit_super_lines(15, 8, 63.0f, x, w, &super);
    memset(out_block, 0, 144);
    return put_lines(&super, out_block, out_block + 16, NULL);
}

bool sy__encode_q5_k(const float *x, const float *w, uint8_t *out_block) {
    sy__super super;
    sy__fit_super_lines(31, 8, 63.0f, x, w, &super);
    memset(out_block, 0, 176);
    return put_lines(&super, out_block, out_block + 48, out_block + 16);
}

bool sy__encode_q6_k(const float *x, const float *w, uint8_t *out_block) {
    static const sy__levels levels = {-32.0f, 31.0f, NULL};
    sy__super super;
    sy__fit_super_scales(&levels, 16, -128.0f, 127.0f, x, w, &super);
    memset(out_block, 0, 208);
    for (uint32_t e = 0; e < SY__SUPER; e++) {
        uint32_t code = (uint32_t)(super.levels[e] + 32.0f), n = e / 128, j = e % 128 / 32;
        out_block[64 * n + j % 2 * 32 + e % 32] |= (uint8_t)((code & 15u) << (j / 2 * 4));
        out_block[128 + 32 * n + e % 32] |= (uint8_t)((code >> 4) << (2 * j));
    }
    for (uint32_t j = 0; j < 16; j++) {
        out_block[192 + j] = (uint8_t)(int8_t)super.scales[j];
    }
    return sy__put_f16(out_block + 208, super.d);
}

/* -1, 0 and 1 times one scale. Weights trained so are kept exactly. */
static float fit_ternary(const float *x, const float *w, uint32_t *out_codes) {
    static const sy__levels levels = {-1.0f, 1.0f, NULL};
    float found[SY__SUPER], far = 0.0f, best_gain = -1.0f, best = 0.0f;
    for (uint32_t i = 0; i < SY__SUPER; i++) {
        far = fabsf(x[i]) > far ? fabsf(x[i]) : far;
    }
    for (int k = 0; far > 0.0f && isfinite(4.0f / far) && k < 32; k++) {
        float xl = 0.0f, ll = 0.0f;
        sy__to_levels(&levels, SY__SUPER, x, (1.0f + 0.1f * (float)k) / far, found);
        for (uint32_t i = 0; i < SY__SUPER; i++) {
            xl += w[i] * x[i] * found[i];
            ll += w[i] * found[i] * found[i];
        }
        if (ll > 0.0f && xl * xl / ll > best_gain) {
            best_gain = xl * xl / ll;
            best = xl / ll;
        }
    }
    best = sy__as_f16(best);
    sy__to_levels(&levels, SY__SUPER, x, best != 0.0f ? 1.0f / best : 0.0f, found);
    for (uint32_t i = 0; i < SY__SUPER; i++) {
        out_codes[i] = (uint32_t)(found[i] + 1.0f);
    }
    return best;
}

bool sy__encode_tq2_0(const float *x, const float *w, uint8_t *out_block) {
    uint32_t codes[SY__SUPER];
    float d = fit_ternary(x, w, codes);
    memset(out_block, 0, 64);
    for (uint32_t e = 0; e < SY__SUPER; e++) {
        out_block[pair_byte(e)] |= (uint8_t)(codes[e] << pair_shift(e));
    }
    return sy__put_f16(out_block + 64, d);
}

/* n digits of base 3, `stride` apart, as a byte whose upper ends are read off by multiplying. */
static uint8_t pack_digits(const uint32_t *codes, uint32_t n, uint32_t stride) {
    uint32_t number = 0;
    for (uint32_t i = 0; i < 5; i++) {
        number = number * 3 + (i < n ? codes[i * stride] : 0);
    }
    return (uint8_t)((number * 256 + 242) / 243);
}

bool sy__encode_tq1_0(const float *x, const float *w, uint8_t *out_block) {
    uint32_t codes[SY__SUPER];
    float d = fit_ternary(x, w, codes);
    for (uint32_t i = 0; i < 32; i++) {
        out_block[i] = pack_digits(codes + i, 5, 32);
    }
    for (uint32_t i = 0; i < 16; i++) {
        out_block[32 + i] = pack_digits(codes + 160 + i, 5, 16);
    }
    for (uint32_t i = 0; i < 4; i++) {
        out_block[48 + i] = pack_digits(codes + 240 + i, 4, 4);
    }
    return sy__put_f16(out_block + 52, d);
}
