/* SPDX-License-Identifier: Apache-2.0 */
/* Panel layer for AArch64 with the 8-bit matrix product (smmla): 8 columns in two vectors. Eight
 * elements of a column lie together, [k / 8][8][8], and two rows of activations meet two columns in
 * one instruction; a row without a partner meets itself. */
#ifndef CPU_PANEL_H
#define CPU_PANEL_H

#define PANEL_COLUMNS 8
#define PANEL_LANES 8
#define PANEL_VECTORS 2
#define PANEL_ROWS 4
#define PANEL_ROWS_PLANES 4
#define PANEL_ZERO(traits) 0

/* 8 chunks of 32 bytes become four groups of eight bytes per column. */
ALWAYS_INLINE void panel_transpose(const chunk chunks[8], uint8_t *values) {
#pragma GCC unroll 4
    for (unsigned j = 0; j < 8; j += 2) {
#pragma GCC unroll 2
        for (unsigned h = 0; h < 2; h++) {
            int64x2_t a = vreinterpretq_s64_s8(chunks[j].val[h]);
            int64x2_t b = vreinterpretq_s64_s8(chunks[j + 1].val[h]);
            int8_t *out = (int8_t *)values + 128 * h + 8 * j;
            vst1q_s8(out, vreinterpretq_s8_s64(vtrn1q_s64(a, b)));
            vst1q_s8(out + 64, vreinterpretq_s8_s64(vtrn2q_s64(a, b)));
        }
    }
}

#include "panel_tile.h"

/* Two rows side by side: elements 0-7 of both, then 8-15 of both. */
ALWAYS_INLINE int8x16x2_t panel_pair(const uint8_t *first, const uint8_t *second) {
    int64x2_t a = vreinterpretq_s64_s8(vld1q_s8((const int8_t *)first));
    int64x2_t b = vreinterpretq_s64_s8(vld1q_s8((const int8_t *)second));
    return (int8x16x2_t){
        {vreinterpretq_s8_s64(vtrn1q_s64(a, b)), vreinterpretq_s8_s64(vtrn2q_s64(a, b))}};
}

ALWAYS_INLINE void panel_sums(const uint8_t *values, unsigned i_sixteen, unsigned n_sixteens,
                              const panel_rows *rows, unsigned offset, unsigned n_r,
                              unsigned traits, vint sum[PANEL_ROWS][PANEL_VECTORS]) {
    int32x4_t acc[PANEL_ROWS / 2][4]; /* [pair of rows][pair of columns]: 2 x 2 */
    (void)traits;
#pragma GCC unroll 2
    for (unsigned i = 0; i < PANEL_ROWS / 2; i++) {
#pragma GCC unroll 4
        for (unsigned j = 0; j < 4; j++) {
            acc[i][j] = vdupq_n_s32(0);
        }
    }
#pragma GCC unroll 2
    for (unsigned s = i_sixteen; s < i_sixteen + n_sixteens; s++) {
        int8x16x2_t a[PANEL_ROWS / 2];
#pragma GCC unroll 2
        for (unsigned i = 0; i < (n_r + 1) / 2; i++) {
            const uint8_t *first = panel_row(rows, 2 * i) + offset + 16 * s;
            const uint8_t *second = panel_row(rows, 2 * i + (2 * i + 1 < n_r)) + offset + 16 * s;
            a[i] = panel_pair(first, second);
        }
#pragma GCC unroll 8
        for (unsigned j = 0; j < 8; j++) {
            int8x16_t w = vld1q_s8((const int8_t *)values + 128 * s + 16 * j);
#pragma GCC unroll 2
            for (unsigned i = 0; i < (n_r + 1) / 2; i++) {
                acc[i][j % 4] = vmmlaq_s32(acc[i][j % 4], a[i].val[j / 4], w);
            }
        }
    }
#pragma GCC unroll 4
    for (unsigned r = 0; r < n_r; r++) {
#pragma GCC unroll 2
        for (unsigned v = 0; v < PANEL_VECTORS; v++) {
            int64x2_t left = vreinterpretq_s64_s32(acc[r / 2][2 * v]);
            int64x2_t right = vreinterpretq_s64_s32(acc[r / 2][2 * v + 1]);
            sum[r][v] = vreinterpretq_s32_s64(r % 2 == 0 ? vtrn1q_s64(left, right)
                                                         : vtrn2q_s64(left, right));
        }
    }
}

#endif
