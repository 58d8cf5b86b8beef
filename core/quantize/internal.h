/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the quantisers: the search for scales, and what a block type is made of. */
#ifndef SY_QUANTIZE_INTERNAL_H
#define SY_QUANTIZE_INTERNAL_H

#include "reference/blocks.h"
#include "switchyard/quantize.h"

#define SY__SUPER 256u /* elements of a super-block */
#define SY__BLOCK 32u

/* Nearest whole number, for what was cut to a small range before. */
static inline float sy__nearest(float x) {
    return (x + 12582912.0f) - 12582912.0f;
}

static inline float sy__cut(float x, float low, float high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* What an f16 makes of a scale. */
static inline float sy__as_f16(float x) {
    return sy__f16_to_f32(sy__f16_from_f64((double)x));
}

/* The numbers that a code stands for: whole ones from low to high, or a code book. */
typedef struct sy__levels {
    float low, high;
    const int8_t *book; /* 16 ascending values, or NULL */
} sy__levels;

/* The level for each x * inverse, as its number (not its code). */
void sy__to_levels(const sy__levels *levels, uint32_t n, const float *x, float inverse,
                   float *out_levels);

/* d, and the levels, with the least sum of w (x - d level)^2 that the search finds; 0 for zeros. */
float sy__fit_scale(const sy__levels *levels, uint32_t n, const float *x, const float *w,
                    float *out_levels);
/* The levels under a given d; answers the sum of w (x - d level)^2. */
float sy__use_scale(const sy__levels *levels, uint32_t n, const float *x, const float *w, float d,
                    float *out_levels);

/* The same for x = d q + m, q from 0 to n_max. m_below: m is at most 0. */
typedef struct sy__line {
    float d, m;
} sy__line;
sy__line sy__fit_line(uint32_t n_max, bool m_below, uint32_t n, const float *x, const float *w);
float sy__use_line(uint32_t n_max, uint32_t n, const float *x, const float *w, sy__line line,
                   float *out_q);

/* A super-block of sub-blocks whose scales (and minima) are whole numbers times d (and -d_min). */
typedef struct sy__super {
    float d, d_min; /* as f16 */
    float levels[SY__SUPER];
    float scales[16], minima[16];
} sy__super;
/* x = d scale level; scales from low to high. */
void sy__fit_super_scales(const sy__levels *levels, uint32_t n_sub, float low, float high,
                          const float *x, const float *w, sy__super *out);
/* x = d scale q - d_min minimum; both from 0 to n_scale. */
void sy__fit_super_lines(uint32_t n_max, uint32_t n_sub, float n_scale, const float *x,
                         const float *w, sy__super *out);

/* One block of a type from x and weights w; false when a number is too large for it. */
typedef bool (*sy__block_encode)(const float *x, const float *w, uint8_t *out_block);
bool sy__encode_q4_0(const float *x, const float *w, uint8_t *out_block);
bool sy__encode_q4_1(const float *x, const float *w, uint8_t *out_block);
bool sy__encode_q5_0(const float *x, const float *w, uint8_t *out_block);
bool sy__encode_q5_1(const float *x, const float *w, uint8_t *out_block);
bool sy__encode_q8_0(const float *x, const float *w, uint8_t *out_block);
bool sy__encode_q2_k(const float *x, const float *w, uint8_t *out_block);
bool sy__encode_q3_k(const float *x, const float *w, uint8_t *out_block);
bool sy__encode_q4_k(const float *x, const float *w, uint8_t *out_block);
bool sy__encode_q5_k(const float *x, const float *w, uint8_t *out_block);
bool sy__encode_q6_k(const float *x, const float *w, uint8_t *out_block);
bool sy__encode_iq4_nl(const float *x, const float *w, uint8_t *out_block);
bool sy__encode_iq4_xs(const float *x, const float *w, uint8_t *out_block);
bool sy__encode_mxfp4(const float *x, const float *w, uint8_t *out_block);
bool sy__encode_tq1_0(const float *x, const float *w, uint8_t *out_block);
bool sy__encode_tq2_0(const float *x, const float *w, uint8_t *out_block);

/* Writes an f16; false for one that is infinite. */
bool sy__put_f16(uint8_t *bytes, float value);

#endif
