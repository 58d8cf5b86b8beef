/* SPDX-License-Identifier: Apache-2.0 */
/* One number into one, by kind. */
#include "kinds.h"
#include "numbers.h"

float unary_of(uint kind, float x, float alpha, float beta) {
    float y = 0.0f;
    if (kind == UNARY_NEG) {
        y = -x;
    } else if (kind == UNARY_ABS) {
        y = F_ABS(x);
    } else if (kind == UNARY_SQRT) {
        y = sqrt(x);
    } else if (kind == UNARY_EXP) {
        y = k_exp(x);
    } else if (kind == UNARY_LOG) {
        y = k_log(x);
    } else if (kind == UNARY_ERF) {
        y = k_erf(x);
    } else if (kind == UNARY_TANH) {
        y = k_tanh(x);
    } else if (kind == UNARY_SIGMOID) {
        y = k_sigmoid(x);
    } else if (kind == UNARY_RECIPROCAL) {
        y = 1.0f / x;
    } else if (kind == UNARY_RELU) {
        y = x < 0.0f ? 0.0f : x; /* keeps NaN */
    } else if (kind == UNARY_GELU) {
        y = 0.5f * x * (1.0f + k_erf(x * 0.70710678f));
    } else if (kind == UNARY_GELU_TANH) {
        y = 0.5f * x * (1.0f + k_tanh(0.79788456f * (x + 0.044715f * x * x * x)));
    } else if (kind == UNARY_SWISH) {
        y = AS_U(x) == 0xff800000u ? 0.0f : x * k_sigmoid(alpha * x);
    } else if (kind == UNARY_SOFTCAP) {
        y = alpha * k_tanh(x / alpha);
    } else if (kind == UNARY_CLIP) {
        y = x < alpha ? alpha : x;
        y = y > beta ? beta : y;
    } else if (kind == UNARY_LEAKY_RELU) {
        y = x < 0.0f ? alpha * x : x;
    } else if (kind == UNARY_ELU) {
        y = x < 0.0f ? alpha * (k_exp(x) - 1.0f) : x;
    } else { /* HARD_SIGMOID, HARD_SWISH */
        float hard = alpha * x + beta;
        hard = hard < 0.0f ? 0.0f : hard;
        hard = hard > 1.0f ? 1.0f : hard;
        y = kind == UNARY_HARD_SWISH ? x * hard : hard;
    }
    return y;
}
