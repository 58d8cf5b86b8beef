/* SPDX-License-Identifier: Apache-2.0 */
/* Vector layer for AArch64 NEON, with or without the dot product and the 8-bit matrix extension:
 * 4 floats, 32 bytes. */
#ifndef CPU_VECTOR_H
#define CPU_VECTOR_H

#include <arm_neon.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define CPU_VECTOR_NEON 1 /* the portable layer is built for Arm too, without this */

#if defined(__ARM_FEATURE_MATMUL_INT8)
#define CPU_LEVEL i8mm
#elif defined(__ARM_FEATURE_DOTPROD)
#define CPU_LEVEL dotprod
#else
#define CPU_LEVEL neon
#endif
#define VF 4
typedef float32x4_t vfloat;
typedef int32x4_t vint;

static inline vfloat vf_load(const float *p) {
    return vld1q_f32(p);
}
static inline void vf_store(float *p, vfloat v) {
    vst1q_f32(p, v);
}
static inline vfloat vf_set1(float x) {
    return vdupq_n_f32(x);
}
static inline vfloat vf_fma(vfloat a, vfloat b, vfloat c) {
    return vfmaq_f32(c, a, b);
}
static inline vfloat vf_select(vint mask, vfloat a, vfloat b) {
    return vbslq_f32(vreinterpretq_u32_s32(mask), a, b);
}
/* NaN in x stays. */
static inline vfloat vf_max(vfloat bound, vfloat x) {
    return vmaxq_f32(bound, x);
}
static inline vfloat vf_min(vfloat bound, vfloat x) {
    return vminq_f32(bound, x);
}
static inline vfloat vf_sqrt(vfloat x) {
    return vsqrtq_f32(x);
}
/* Nearest integer, ties to even. */
static inline vfloat vf_round(vfloat x) {
    return vrndnq_f32(x);
}
static inline vint vf_to_int(vfloat x) {
    return vcvtnq_s32_f32(x);
}
static inline float vf_sum(vfloat x) {
    return vaddvq_f32(x);
}
/* vf_sum of each. */
static inline void vf_sum_four(vfloat a, vfloat b, vfloat c, vfloat d, float *out) {
    vst1q_f32(out, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
}
static inline float vf_largest(vfloat x) {
    return vmaxvq_f32(x);
}
static inline vfloat vf_load_f16(const uint16_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
static inline void vf_store_f16(uint16_t *p, vfloat x) {
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x)));
}
static inline float half_to_float(uint16_t half) {
    return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half))), 0);
}
static inline uint16_t float_to_half(float x) {
    return vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(x))), 0);
}

typedef int8x16x2_t chunk;

static inline chunk chunk_load(const void *p) {
    const int8_t *bytes = (const int8_t *)p;
    return (chunk){{vld1q_s8(bytes), vld1q_s8(bytes + 16)}};
}
static inline chunk chunk_words(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
    return (chunk){
        {vcombine_s8(vcreate_s8(a), vcreate_s8(b)), vcombine_s8(vcreate_s8(c), vcreate_s8(d))}};
}
static inline chunk chunk_nibbles(const uint8_t *p) {
    uint8x16_t bytes = vld1q_u8(p);
    return (chunk){{vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15))),
                    vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4))}};
}
/* value in every byte whose bit is set, else 0 */
static inline chunk chunk_bits(uint32_t bits, int8_t value) {
    static const uint8_t select_bytes[16] = {1, 2, 4, 8, 16, 32, 64, 128,
                                             1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t select = vld1q_u8(select_bytes), on = vdupq_n_u8((uint8_t)value);
    chunk c;
    for (int i = 0; i < 2; i++, bits >>= 16) {
        uint8x8_t low = vdup_n_u8((uint8_t)bits), high = vdup_n_u8((uint8_t)(bits >> 8));
        c.val[i] = vreinterpretq_s8_u8(vandq_u8(vtstq_u8(vcombine_u8(low, high), select), on));
    }
    return c;
}
/* the negative of every byte whose bit is set */
static inline chunk chunk_negate(chunk c, uint32_t bits) {
    chunk set = chunk_bits(bits, -1);
    for (int i = 0; i < 2; i++) {
        c.val[i] = vsubq_s8(veorq_s8(c.val[i], set.val[i]), set.val[i]);
    }
    return c;
}
static inline chunk chunk_shift_and(chunk c, unsigned shift, uint8_t mask) {
    int8x16_t right = vdupq_n_s8((int8_t) - (int)shift);
    for (int i = 0; i < 2; i++) {
        uint8x16_t moved = vshlq_u8(vreinterpretq_u8_s8(c.val[i]), right);
        c.val[i] = vreinterpretq_s8_u8(vandq_u8(moved, vdupq_n_u8(mask)));
    }
    return c;
}
static inline chunk chunk_shift_left(chunk c, unsigned shift) {
    int8x16_t left = vdupq_n_s8((int8_t)shift);
    return (chunk){{vshlq_s8(c.val[0], left), vshlq_s8(c.val[1], left)}};
}
static inline chunk chunk_or(chunk a, chunk b) {
    return (chunk){{vorrq_s8(a.val[0], b.val[0]), vorrq_s8(a.val[1], b.val[1])}};
}
static inline chunk chunk_minus(chunk c, int8_t value) {
    int8x16_t v = vdupq_n_s8(value);
    return (chunk){{vsubq_s8(c.val[0], v), vsubq_s8(c.val[1], v)}};
}
static inline chunk chunk_lookup(const int8_t table[16], chunk index) {
    int8x16_t row = vld1q_s8(table);
    return (chunk){{vqtbl1q_s8(row, vreinterpretq_u8_s8(index.val[0])),
                    vqtbl1q_s8(row, vreinterpretq_u8_s8(index.val[1]))}};
}
/* out[i] = w[i] * scale + shift, first 16 and last 16 with their own pair */
static inline void chunk_to_floats(chunk w, const float scale[2], const float shift[2],
                                   float *out) {
    for (int i = 0; i < 2; i++) {
        float32x4_t factor = vdupq_n_f32(scale[i]), offset = vdupq_n_f32(shift[i]);
        int16x8_t parts[2] = {vmovl_s8(vget_low_s8(w.val[i])), vmovl_high_s8(w.val[i])};
        for (int j = 0; j < 2; j++, out += 8) {
            float32x4_t a = vcvtq_f32_s32(vmovl_s16(vget_low_s16(parts[j])));
            float32x4_t b = vcvtq_f32_s32(vmovl_high_s16(parts[j]));
            vst1q_f32(out, vfmaq_f32(offset, a, factor));
            vst1q_f32(out + 4, vfmaq_f32(offset, b, factor));
        }
    }
}

#endif
