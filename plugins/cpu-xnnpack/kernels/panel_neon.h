/* SPDX-License-Identifier: Apache-2.0 */
/* Panel layer for AArch64 without a dot product: 4 columns. A column's 16 elements lie together,
 * [k / 16][4][16], and the sums of four columns meet in one vector at the end. */
#ifndef CPU_PANEL_H
#define CPU_PANEL_H

#define PANEL_COLUMNS 4
#define PANEL_LANES 4
#define PANEL_VECTORS 1
#define PANEL_ROWS 4
#define PANEL_ROWS_PLANES 4
#define PANEL_ZERO(traits) 0
#define PANEL_WIDE /* 16-bit sums hold two wide products or four others, which are below 64 */

ALWAYS_INLINE void panel_transpose(const chunk chunks[4], uint8_t *values) {
#pragma GCC unroll 4
    for (unsigned j = 0; j < 4; j++) {
        vst1q_s8((int8_t *)values + 16 * j, chunks[j].val[0]);
        vst1q_s8((int8_t *)values + 64 + 16 * j, chunks[j].val[1]);
    }
}

#include "panel_tile.h"

/* Products of 16 elements: two in each of eight lanes. */
ALWAYS_INLINE int16x8_t pair_sums(int8x16_t w, int8x16_t a) {
    return vmlal_high_s8(vmull_s8(vget_low_s8(w), vget_low_s8(a)), w, a);
}
ALWAYS_INLINE int32x4_t pair_products(int8x16_t w, int8x16_t a) {
    return vpaddlq_s16(pair_sums(w, a));
}
/* Products of 32 elements in four lanes. */
ALWAYS_INLINE int32x4_t chunk_products(chunk w, const int8_t *a, unsigned traits) {
    int8x16_t a1 = vld1q_s8(a + 16);
    int16x8_t pairs = pair_sums(w.val[0], vld1q_s8(a));
    if ((traits & TRAIT_WIDE) != 0) {
        return vpadalq_s16(vpaddlq_s16(pairs), pair_sums(w.val[1], a1));
    }
    pairs = vmlal_s8(pairs, vget_low_s8(w.val[1]), vget_low_s8(a1));
    return vpaddlq_s16(vmlal_high_s8(pairs, w.val[1], a1));
}

ALWAYS_INLINE void panel_sums(const uint8_t *values, unsigned i_sixteen, unsigned n_sixteens,
                              const panel_rows *rows, unsigned offset, unsigned n_r,
                              unsigned traits, vint sum[PANEL_ROWS][PANEL_VECTORS]) {
    const int8_t *w = (const int8_t *)values + i_sixteen * 16 * PANEL_COLUMNS;
#pragma GCC unroll 4
    for (unsigned r = 0; r < n_r; r++) {
        const int8_t *a = (const int8_t *)panel_row(rows, r) + offset + 16 * i_sixteen;
        int32x4_t column[4];
#pragma GCC unroll 4
        for (unsigned j = 0; j < 4; j++) {
            chunk both = {{vld1q_s8(w + 16 * j), vld1q_s8(w + 16 * j + 64 * (n_sixteens - 1))}};
            column[j] = n_sixteens == 1 ? pair_products(both.val[0], vld1q_s8(a))
                                        : chunk_products(both, a, traits);
        }
        column[0] = vpaddq_s32(column[0], column[1]);
        column[2] = vpaddq_s32(column[2], column[3]);
        sum[r][0] = vaddq_s32(sum[r][0], vpaddq_s32(column[0], column[2]));
    }
}

#endif
