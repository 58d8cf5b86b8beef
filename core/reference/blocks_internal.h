/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SY_REFERENCE_BLOCKS_INTERNAL_H
#define SY_REFERENCE_BLOCKS_INTERNAL_H

#include "reference/blocks.h"

#include <string.h>

extern const int8_t sy__iq4_values[16];

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

static inline float sy__read_f16(const uint8_t *bytes) {
    return sy__f16_to_f32(sy__read_u16(bytes));
}

#endif
