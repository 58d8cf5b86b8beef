/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frequencies of rotary embeddings. Pair i turns by position * inverse_frequency[i].
 *   plain      base^(-2i / n)                                       RoFormer, arXiv 2104.09864
 *   linear     plain / factor                                       arXiv 2306.15595
 *   factors    plain / tensor[i]: Llama 3.1 rule, worked out at conversion
 *   longrope   the same with one of two tensors by context          arXiv 2402.13753
 *   YaRN       between plain and linear by a ramp over i            arXiv 2309.00071
 * YaRN multiplies cos and sin by 1 + 0.1 ln(factor); a file's attn_factor comes on top of it.
 */
#include "arch/description.h"

#include <math.h>
#include <string.h>

/* The pair that turns n_rotations times within the original context. */
static double yarn_pair(const sy__rope *rope, double n_rotations) {
    const double two_pi = 6.283185307179586;
    return rope->n_dims * log(rope->n_original_context / (n_rotations * two_pi)) /
           (2.0 * log((double)rope->base));
}

/* Share of the unscaled frequency in pair i: 1 below `low`, 0 above `high`. */
static double yarn_share(double low, double high, uint32_t i) {
    double width = high - low > 0.001 ? high - low : 0.001;
    double ramp = (i - low) / width;
    return 1.0 - (ramp < 0.0 ? 0.0 : ramp > 1.0 ? 1.0 : ramp);
}

/* The tensor of divisors that applies at this context, if any. */
static int find_factors(const sy__architecture *architecture, const sy__rope *rope,
                        uint32_t n_context, sy_gguf_tensor *out_tensor) {
    sy__role role = SY__ROLE_ROPE_FACTORS;
    if (rope->scaling == SY__ROPE_LONGROPE) {
        role = n_context > rope->n_original_context ? SY__ROLE_ROPE_FACTORS_LONG
                                                    : SY__ROLE_ROPE_FACTORS_SHORT;
    } else if (rope->scaling != SY__ROPE_FACTORS) {
        return 0;
    }
    return sy__architecture_tensor(architecture, role, 0, SY__PART_WEIGHT, out_tensor);
}

sy_status sy__rope_table(const sy__architecture *architecture, const sy__rope *rope,
                         uint32_t n_context, float *out_inverse_frequency, float *out_magnitude,
                         sy_error *error) {
    sy_gguf_tensor factors;
    int has_factors = find_factors(architecture, rope, n_context, &factors);
    double low = 0.0, high = 0.0;
    if (rope->scaling == SY__ROPE_YARN) {
        double last = rope->n_dims - 1.0;
        low = yarn_pair(rope, (double)rope->beta_fast);
        high = yarn_pair(rope, (double)rope->beta_slow);
        low = fmax(0.0, rope->unrounded ? low : floor(low));
        high = fmin(last, rope->unrounded ? high : ceil(high));
    }
    for (uint32_t i = 0; i < rope->n_dims / 2; i++) {
        double plain = pow((double)rope->base, -2.0 * i / rope->n_dims), divisor = 1.0;
        if (has_factors) {
            float factor = 0.0f;
            memcpy(&factor, (const char *)factors.data + i * sizeof(factor), sizeof(factor));
            if (!isfinite(factor) || factor < 1e-3f) {
                return sy__architecture_fail(architecture->gguf, error, SY_OUT_OF_RANGE,
                                             "The file is damaged; fetch it again.",
                                             "Element %u of the rope factors is %g.", i,
                                             (double)factor);
            }
            divisor = (double)factor;
        }
        double scaled = plain / divisor / (double)rope->factor;
        double share = rope->scaling == SY__ROPE_YARN ? yarn_share(low, high, i) : 0.0;
        out_inverse_frequency[i] = (float)(scaled * (1.0 - share) + plain / divisor * share);
    }
    double magnitude = (double)rope->attention_factor;
    if (rope->scaling == SY__ROPE_YARN) {
        magnitude *= 1.0 + 0.1 * log((double)rope->factor);
    }
    *out_magnitude = (float)magnitude;
    return SY_OK;
}
