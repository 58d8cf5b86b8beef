/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SY_REFERENCE_BLOCKS_INTERNAL_H
#define SY_REFERENCE_BLOCKS_INTERNAL_H

#include "reference/blocks.h"

#include <string.h>

extern const int8_t sy__iq4_values[16];
/* Twice the E2M1 values of the OCP microscaling formats. */
extern const int8_t sy__e2m1_values[16];

/* Code books (blocks_grids.c): indices of magnitudes, 2 bits each of 8 elements or 4 bits each of
 * 4, element 0 in the lowest bits. */
extern const uint16_t sy__grid_iq2_xxs[256], sy__grid_iq2_xs[512], sy__grid_iq2_s[1024];
extern const uint16_t sy__grid_iq3_xxs[256], sy__grid_iq3_s[512], sy__grid_iq1_s[2048];

static inline float sy__f32_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline uint16_t sy__read_u16(const uint8_t *bytes) {
    uint16_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static inline uint32_t sy__read_u32(const uint8_t *bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static inline float sy__read_f16(const uint8_t *bytes) {
    return sy__f16_to_f32(sy__read_u16(bytes));
}

#endif
