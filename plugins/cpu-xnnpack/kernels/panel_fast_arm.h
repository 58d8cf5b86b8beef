/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row of activations on Arm, as decoding has it: four columns at a time go from the file's
 * layout to the sums, nothing is laid out anew. The integers of four columns meet in one vector,
 * and from there on an element sees what it sees in a tile, so its bits are the same.
 */
#define FAST_UNPACK(type) ((fast_function)NULL)
typedef void (*fast_function)(const unpack_source *source, const panel *p);

/* Factors of a block, four columns side by side. */
typedef struct factors4 {
    float32x4_t scale[16], minus_minimum[16];
} factors4;

/* ---- factors ---- */
ALWAYS_INLINE float32x4_t halves4(uint16x4_t bits) {
    return vcvt_f32_f16(vreinterpret_f16_u16(bits));
}
ALWAYS_INLINE uint16x4_t load_halves4(const uint8_t *const b[4], size_t at) {
    uint16_t half[4];
#pragma GCC unroll 4
    for (unsigned j = 0; j < 4; j++) {
        memcpy(&half[j], b[j] + at, 2);
    }
    uint16x4_t all = vdup_n_u16(half[0]);
    all = vset_lane_u16(half[1], all, 1);
    all = vset_lane_u16(half[2], all, 2);
    return vset_lane_u16(half[3], all, 3);
}

/* 16 bytes of four columns: out[i] holds bytes 4 i ... 4 i + 3, those of the columns together. */
ALWAYS_INLINE void bytes_side_by_side(const uint8x16_t in[4], uint8x16_t out[4]) {
    uint16x8_t low01 = vreinterpretq_u16_u8(vzip1q_u8(in[0], in[1]));
    uint16x8_t low23 = vreinterpretq_u16_u8(vzip1q_u8(in[2], in[3]));
    uint16x8_t high01 = vreinterpretq_u16_u8(vzip2q_u8(in[0], in[1]));
    uint16x8_t high23 = vreinterpretq_u16_u8(vzip2q_u8(in[2], in[3]));
    out[0] = vreinterpretq_u8_u16(vzip1q_u16(low01, low23));
    out[1] = vreinterpretq_u8_u16(vzip2q_u16(low01, low23));
    out[2] = vreinterpretq_u8_u16(vzip1q_u16(high01, high23));
    out[3] = vreinterpretq_u8_u16(vzip2q_u16(high01, high23));
}

/* out[i] = factor * the four signed bytes of column group i */
ALWAYS_INLINE void spread_bytes(int8x16_t bytes, float32x4_t factor, float32x4_t out[4]) {
    int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
    out[0] = vmulq_f32(factor, vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))));
    out[1] = vmulq_f32(factor, vcvtq_f32_s32(vmovl_high_s16(low)));
    out[2] = vmulq_f32(factor, vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))));
    out[3] = vmulq_f32(factor, vcvtq_f32_s32(vmovl_high_s16(high)));
}

/* Q4_K and Q5_K: as scales_k4, eight scales and eight minima of six bits. */
ALWAYS_INLINE void factors_k4(const uint8_t *const b[4], factors4 *f) {
    uint8x16_t columns[4], groups[4];
    const uint32_t six = 0x3f3f3f3fu, four = 0x0f0f0f0fu, two = 0x03030303u;
#pragma GCC unroll 4
    for (unsigned j = 0; j < 4; j++) {
        const uint8_t *s = b[j] + offsetof(block_q4_k, scales);
        uint32_t low = load_u32(s), middle = load_u32(s + 4), high = load_u32(s + 8);
        uint64_t scales = (high & four) | (low >> 6 & two) << 4;
        uint64_t minima = (high >> 4 & four) | (middle >> 6 & two) << 4;
        columns[j] = vreinterpretq_u8_u64(vcombine_u64(vcreate_u64((low & six) | scales << 32),
                                                       vcreate_u64((middle & six) | minima << 32)));
    }
    bytes_side_by_side(columns, groups);
    float32x4_t d = halves4(load_halves4(b, 0)), dmin = vnegq_f32(halves4(load_halves4(b, 2)));
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        spread_bytes(vreinterpretq_s8_u8(groups[i]), i < 2 ? d : dmin,
                     i < 2 ? f->scale + 4 * i : f->minus_minimum + 4 * (i - 2));
    }
}

ALWAYS_INLINE void factors_q6_k(const uint8_t *const b[4], factors4 *f) {
    uint8x16_t columns[4], groups[4];
#pragma GCC unroll 4
    for (unsigned j = 0; j < 4; j++) {
        columns[j] = vld1q_u8(b[j] + offsetof(block_q6_k, scales));
    }
    bytes_side_by_side(columns, groups);
    float32x4_t d = halves4(load_halves4(b, offsetof(block_q6_k, d)));
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        spread_bytes(vreinterpretq_s8_u8(groups[i]), d, f->scale + 4 * i);
    }
}

ALWAYS_INLINE void factors_any(const uint8_t *const b[4], block_kind kind, factors4 *f) {
    const unsigned n = kind.n_chunks * ((kind.traits & TRAIT_HALVES) != 0 ? 2 : 1);
    float scale[16][4], minimum[16][4];
    for (unsigned j = 0; j < 4; j++) {
        factors one;
        kind.scales(b[j], &one);
        for (unsigned i = 0; i < n; i++) {
            scale[i][j] = one.scale[i];
            minimum[i][j] = (kind.traits & TRAIT_MINIMUM) != 0 ? -one.minimum[i] : 0.0f;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        f->scale[i] = vld1q_f32(scale[i]);
        f->minus_minimum[i] = vld1q_f32(minimum[i]);
    }
}

/* kind is a constant: one of these is left of it. */
ALWAYS_INLINE void factors_of(const uint8_t *const b[4], block_kind kind, factors4 *f) {
    if (kind.scales == scales_q4_0) {
        f->scale[0] = halves4(load_halves4(b, 0));
    } else if (kind.scales == scales_q4_1) {
        f->scale[0] = halves4(load_halves4(b, 0));
        f->minus_minimum[0] = halves4(load_halves4(b, 2));
    } else if (kind.scales == scales_k4) {
        factors_k4(b, f);
    } else if (kind.scales == scales_q6_k) {
        factors_q6_k(b, f);
    } else {
        factors_any(b, kind, f);
    }
}

/* ---- integers ---- */
/* Q4_0 comes without its minus 8, which is taken from the sum of the activations. */
ALWAYS_INLINE chunk row_weights(const uint8_t *block, unsigned i, block_kind kind) {
    return kind.weights == weights_q4_0 ? chunk_nibbles(block + offsetof(block_q4_0, qs))
                                        : kind.weights(block, i);
}

/* Sums of products in four lanes, of all 32 or of one half. */
ALWAYS_INLINE int32x4_t row_products(chunk w, const uint8_t *a, unsigned i_sixteen,
                                     unsigned n_sixteens, unsigned traits) {
    const int8_t *x = (const int8_t *)a;
#if defined(__ARM_FEATURE_DOTPROD)
    int32x4_t sum = vdotq_s32(vdupq_n_s32(0), w.val[i_sixteen], vld1q_s8(x + 16 * i_sixteen));
    (void)traits;
    return n_sixteens == 1 ? sum : vdotq_s32(sum, w.val[1], vld1q_s8(x + 16));
#else
    return n_sixteens == 1 ? pair_products(w.val[i_sixteen], vld1q_s8(x + 16 * i_sixteen))
                           : chunk_products(w, x, traits);
#endif
}

ALWAYS_INLINE int32x4_t row_sums(const chunk w[4], const uint8_t *a, unsigned i_sixteen,
                                 unsigned n_sixteens, unsigned traits) {
    int32x4_t sum[4];
#pragma GCC unroll 4
    for (unsigned j = 0; j < 4; j++) {
        sum[j] = row_products(w[j], a, i_sixteen, n_sixteens, traits);
    }
    return vpaddq_s32(vpaddq_s32(sum[0], sum[1]), vpaddq_s32(sum[2], sum[3]));
}

/* Adds what factor number `at` covers. */
ALWAYS_INLINE float32x4_t row_part(const chunk w[4], const factors4 *f, unsigned at,
                                   const uint8_t *record, unsigned i_sixteen, unsigned n_sixteens,
                                   block_kind kind, cpu_planes planes, float32x4_t acc) {
    cpu_record_end end;
    memcpy(&end, record + 32 * (unsigned)planes, sizeof(end));
    int32x4_t sum = row_sums(w, record, i_sixteen, n_sixteens, kind.traits);
    if (planes == CPU_PLANES_16) {
        int32x4_t low = row_sums(w, record + 32, i_sixteen, n_sixteens, kind.traits);
        sum = vmlaq_n_s32(low, sum, CPU_PLANE_STEP);
    }
    if (kind.weights == weights_q4_0) {
        sum = vaddq_s32(sum, vdupq_n_s32(end.offset / (CPU_WEIGHT_ZERO / 8)));
    }
    acc = vfmaq_f32(acc, vcvtq_f32_s32(sum), vmulq_n_f32(f->scale[at], end.scale));
    if ((kind.traits & TRAIT_MINIMUM) != 0) {
        int32_t offset = i_sixteen == 0 ? end.offset_16 : end.offset - end.offset_16;
        float total = n_sixteens == 2 ? end.sum : end.scale * (float)(offset / -CPU_WEIGHT_ZERO);
        acc = vfmaq_n_f32(acc, f->minus_minimum[at], total);
    }
    return acc;
}

ALWAYS_INLINE float32x4_t row_of_four(const cpu_linear *l, size_t column, cpu_planes planes,
                                      block_kind kind) {
    const uint8_t *b[4], *record = l->rows;
    float32x4_t acc = vdupq_n_f32(0.0f);
#pragma GCC unroll 4
    for (unsigned j = 0; j < 4; j++) {
        b[j] = l->weights + (column + j) * l->weight_row_bytes;
    }
    for (size_t n = l->k / 32 / kind.n_chunks; n > 0; n--) {
        factors4 f;
        factors_of(b, kind, &f);
        for (unsigned i = 0; i < kind.n_chunks; i++, record += cpu_record_bytes(planes)) {
            chunk w[4];
#pragma GCC unroll 4
            for (unsigned j = 0; j < 4; j++) {
                w[j] = row_weights(b[j], i, kind);
            }
            if ((kind.traits & TRAIT_HALVES) != 0) {
                acc = row_part(w, &f, 2 * i, record, 0, 1, kind, planes, acc);
                acc = row_part(w, &f, 2 * i + 1, record, 1, 1, kind, planes, acc);
            } else {
                acc = row_part(w, &f, i, record, 0, 2, kind, planes, acc);
            }
        }
#pragma GCC unroll 4
        for (unsigned j = 0; j < 4; j++) {
            b[j] += kind.block_bytes;
        }
    }
    return acc;
}

ALWAYS_INLINE size_t row_of_all(const cpu_linear *l, cpu_planes planes, block_kind kind) {
    size_t column = 0;
    for (; column + 4 <= l->n_columns; column += 4) {
        float32x4_t sums = row_of_four(l, column, planes, kind);
        if (l->bias != NULL) {
            sums = vaddq_f32(sums, vld1q_f32(l->bias + column));
        }
        vst1q_f32(l->out + column, sums);
    }
    return column;
}

#define ROW(name, n_chunks, traits)                                             \
    static size_t row_##name(const cpu_linear *l) {                             \
        return l->planes == CPU_PLANES_16                                       \
                   ? row_of_all(l, CPU_PLANES_16, KIND(name, n_chunks, traits)) \
                   : row_of_all(l, CPU_PLANES_8, KIND(name, n_chunks, traits)); \
    }
/* The types of common files; traits as in CPU_BLOCK_TYPES. */
ROW(q4_0, 1, 0)
ROW(q4_1, 1, TRAIT_UNSIGNED | TRAIT_MINIMUM)
ROW(q5_0, 1, 0)
ROW(q5_1, 1, TRAIT_UNSIGNED | TRAIT_MINIMUM)
ROW(q8_0, 1, TRAIT_WIDE)
ROW(iq4_nl, 1, TRAIT_WIDE)
ROW(q3_k, 8, TRAIT_HALVES)
ROW(q4_k, 8, TRAIT_UNSIGNED | TRAIT_MINIMUM)
ROW(q5_k, 8, TRAIT_UNSIGNED | TRAIT_MINIMUM)
ROW(q6_k, 8, TRAIT_HALVES)
ROW(iq4_xs, 8, TRAIT_WIDE)

static size_t (*const row_functions[CPU_TYPE_TABLE])(const cpu_linear *l) = {
    [SY_TYPE_Q4_0] = row_q4_0, [SY_TYPE_Q4_1] = row_q4_1,    [SY_TYPE_Q5_0] = row_q5_0,
    [SY_TYPE_Q5_1] = row_q5_1, [SY_TYPE_Q8_0] = row_q8_0,    [SY_TYPE_IQ4_NL] = row_iq4_nl,
    [SY_TYPE_Q3_K] = row_q3_k, [SY_TYPE_Q4_K] = row_q4_k,    [SY_TYPE_Q5_K] = row_q5_k,
    [SY_TYPE_Q6_K] = row_q6_k, [SY_TYPE_IQ4_XS] = row_iq4_xs};

/* Answers how many columns are done. */
static size_t fast_row(const cpu_linear *l, sy_element_type type) {
    return l->n_rows == 1 && row_functions[type] != NULL ? row_functions[type](l) : 0;
}
#define FAST_ROW(l, type) fast_row(l, type)
