/* SPDX-License-Identifier: Apache-2.0 */
/* f16 and bf16, widened exactly and narrowed from f64 with one rounding. */
#include "reference/blocks_internal.h"

float sy__f16_to_f32(uint16_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t exponent = (bits >> 10) & 0x1fu;
    uint32_t fraction = bits & 0x3ffu;
    if (exponent == 0x1fu) { /* infinity; a NaN keeps its payload */
        return sy__f32_from_bits(sign | 0x7f800000u | fraction << 13);
    }
    if (exponent != 0) {
        return sy__f32_from_bits(sign | (exponent + 112u) << 23 | fraction << 13);
    }
    float magnitude = (float)fraction * 0x1p-24f; /* exact: fraction has 10 bits */
    return sign != 0 ? -magnitude : magnitude;
}

float sy__bf16_to_f32(uint16_t bits) {
    return sy__f32_from_bits((uint32_t)bits << 16);
}

/* Narrows to a format with n_fraction stored bits and exponents from min_exponent (of the smallest
 * normal number) to max_exponent. Bits above the sign are left to the caller. */
static uint32_t narrow(uint64_t bits, int n_fraction, int min_exponent, int max_exponent) {
    int exponent = (int)((bits >> 52) & 0x7ffu) - 1023;
    uint64_t significand = (bits & 0xfffffffffffffull) | (1ull << 52);
    if (exponent < min_exponent - n_fraction - 1) {
        return 0; /* below half of the smallest subnormal; f64 subnormals too */
    }
    int shift = 52 - n_fraction + (exponent < min_exponent ? min_exponent - exponent : 0);
    uint64_t kept = significand >> shift;
    uint64_t rest = significand & ((1ull << shift) - 1);
    uint64_t half = 1ull << (shift - 1);
    kept += rest > half || (rest == half && (kept & 1)) ? 1 : 0;
    uint32_t infinity = (uint32_t)(max_exponent - min_exponent + 2) << n_fraction;
    if (exponent > max_exponent) {
        return infinity;
    }
    /* A subnormal has biased exponent 0; a carry moves into the exponent by itself. */
    uint32_t biased = exponent < min_exponent ? 0 : (uint32_t)(exponent - min_exponent);
    return (biased << n_fraction) + (uint32_t)kept;
}

static uint16_t narrow_with_sign(double value, int n_fraction, int min_exponent, int max_exponent) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    uint16_t sign = (uint16_t)(bits >> 48 & 0x8000u);
    uint32_t infinity = (uint32_t)(max_exponent - min_exponent + 2) << n_fraction;
    if ((bits & 0x7fffffffffffffffull) > 0x7ff0000000000000ull) { /* NaN: made quiet */
        uint64_t payload = (bits & 0xfffffffffffffull) >> (52 - n_fraction);
        return (uint16_t)(sign | infinity | 1u << (n_fraction - 1) | (uint32_t)payload);
    }
    return (uint16_t)(sign | narrow(bits, n_fraction, min_exponent, max_exponent));
}

uint16_t sy__f16_from_f64(double value) {
    return narrow_with_sign(value, 10, -14, 15);
}

uint16_t sy__bf16_from_f64(double value) {
    return narrow_with_sign(value, 7, -126, 127);
}
