/* SPDX-License-Identifier: Apache-2.0 */
/* Panel layer in plain C: 4 columns. */
#ifndef CPU_PANEL_H
#define CPU_PANEL_H

#define PANEL_COLUMNS 4
#define PANEL_LANES 4
#define PANEL_VECTORS 1
#define PANEL_ROWS 2
#define PANEL_ROWS_PLANES 2
#define PANEL_STEPS 1
#define PANEL_ZERO(traits) 0

typedef struct panel_weights {
    const int8_t *w;
} panel_weights;

ALWAYS_INLINE panel_weights panel_weights_at(const uint8_t *values, unsigned stride,
                                             unsigned traits) {
    (void)stride;
    (void)traits;
    return (panel_weights){(const int8_t *)values};
}
ALWAYS_INLINE vint panel_dot(vint sum, panel_weights w, const uint8_t *four, unsigned traits) {
    const int8_t *a = (const int8_t *)four;
    (void)traits;
    for (int j = 0; j < 4; j++) {
        const int8_t *b = w.w + 4 * j;
        sum[j] += a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
    }
    return sum;
}

static void panel_transpose(const chunk chunks[4], uint8_t *values) {
    for (int j = 0; j < 4; j++) {
        for (int i = 0; i < 8; i++) {
            memcpy(values + 16 * i + 4 * j, chunks[j].b + 4 * i, 4);
        }
    }
}

#include "panel_tile.h"

#endif
