/* SPDX-License-Identifier: Apache-2.0 */
/* Panel layer for AArch64 with the dot product extension: 8 columns in two vectors. */
#ifndef CPU_PANEL_H
#define CPU_PANEL_H

#define PANEL_COLUMNS 8
#define PANEL_LANES 4
#define PANEL_VECTORS 2
#define PANEL_ROWS 4
#define PANEL_ROWS_PLANES 2
#define PANEL_STEPS 4
#define PANEL_ZERO(traits) 0

typedef int8x16x4_t panel_weights;

ALWAYS_INLINE panel_weights panel_weights_at(const uint8_t *values, unsigned stride,
                                             unsigned traits) {
    const int8_t *w = (const int8_t *)values;
    (void)traits;
    return (panel_weights){
        {vld1q_s8(w), vld1q_s8(w + stride), vld1q_s8(w + 2 * stride), vld1q_s8(w + 3 * stride)}};
}
ALWAYS_INLINE vint panel_dot(vint sum, panel_weights w, const uint8_t *a, unsigned traits) {
    int8x16_t x = vld1q_s8((const int8_t *)a);
    (void)traits;
    sum = vdotq_laneq_s32(sum, w.val[0], x, 0);
    sum = vdotq_laneq_s32(sum, w.val[1], x, 1);
    sum = vdotq_laneq_s32(sum, w.val[2], x, 2);
    return vdotq_laneq_s32(sum, w.val[3], x, 3);
}

/* 4 chunks of 32 bytes become eight vectors of four bytes per column. */
ALWAYS_INLINE void panel_transpose(const chunk chunks[4], uint8_t *values) {
    int8_t *out = (int8_t *)values;
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; h++, out += 4 * 4 * PANEL_COLUMNS) {
        int32x4_t a = vreinterpretq_s32_s8(chunks[0].val[h]);
        int32x4_t b = vreinterpretq_s32_s8(chunks[1].val[h]);
        int32x4_t c = vreinterpretq_s32_s8(chunks[2].val[h]);
        int32x4_t d = vreinterpretq_s32_s8(chunks[3].val[h]);
        int64x2_t ab = vreinterpretq_s64_s32(vtrn1q_s32(a, b)); /* elements 0 and 2 */
        int64x2_t cd = vreinterpretq_s64_s32(vtrn1q_s32(c, d));
        int64x2_t ef = vreinterpretq_s64_s32(vtrn2q_s32(a, b)); /* 1 and 3 */
        int64x2_t gh = vreinterpretq_s64_s32(vtrn2q_s32(c, d));
        vst1q_s8(out, vreinterpretq_s8_s64(vtrn1q_s64(ab, cd)));
        vst1q_s8(out + 4 * PANEL_COLUMNS, vreinterpretq_s8_s64(vtrn1q_s64(ef, gh)));
        vst1q_s8(out + 8 * PANEL_COLUMNS, vreinterpretq_s8_s64(vtrn2q_s64(ab, cd)));
        vst1q_s8(out + 12 * PANEL_COLUMNS, vreinterpretq_s8_s64(vtrn2q_s64(ef, gh)));
    }
}

#include "panel_tile.h"

#endif
