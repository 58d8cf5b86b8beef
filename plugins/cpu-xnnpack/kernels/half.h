/* SPDX-License-Identifier: Apache-2.0 */
/* f16 without instructions for it: what the vector layers of older machines share. */
#ifndef CPU_HALF_H
#define CPU_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Exponent and mantissa moved up make a float 2^112 too small, also for subnormals. */
static inline float half_to_float(uint16_t half) {
    uint32_t bits = (uint32_t)(half & 0x7fffu) << 13;
    float value = 0.0f;
    memcpy(&value, &bits, 4);
    value *= 0x1p112f;
    memcpy(&bits, &value, 4);
    bits |= ((half & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u) | (uint32_t)(half & 0x8000u) << 16;
    memcpy(&value, &bits, 4);
    return value;
}
static inline uint16_t float_to_half(float x) {
    uint32_t bits = 0;
    memcpy(&bits, &x, 4);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    uint32_t size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) {
        return (uint16_t)(sign | 0x7e00u);
    }
    if (size >= 0x477ff000u) {
        return (uint16_t)(sign | 0x7c00u);
    }
    if (size < 0x38800000u) { /* subnormal: the integer number of 2^-24 steps */
        float steps = (fabsf(x) * 0x1p24f + 8388608.0f) - 8388608.0f;
        return (uint16_t)(sign | (uint16_t)steps);
    }
    size += 0xc8000fffu + (size >> 13 & 1u);
    return (uint16_t)(sign | (uint16_t)(size >> 13));
}

#endif
