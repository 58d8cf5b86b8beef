/* SPDX-License-Identifier: Apache-2.0 */
/* Template: exp, tanh, erf and the activation functions on vectors of floats. Included after a
 * vector layer. Coefficients are Chebyshev fits of our own; errors are a few units of the last
 * place. NaN stays NaN. */
#ifndef CPU_ROWS_MATH_H
#define CPU_ROWS_MATH_H

#include "kernels.h"

static inline vfloat vf_abs(vfloat x) {
    return (vfloat)((vint)x & 0x7fffffff);
}
/* The size of a with the sign of b. */
static inline vfloat vf_sign_of(vfloat a, vfloat b) {
    return (vfloat)(((vint)a & 0x7fffffff) | ((vint)b & (int32_t)0x80000000));
}
/* a[n - 1] x^(n - 1) + ... + a[0] */
static inline __attribute__((always_inline)) vfloat vf_polynomial(vfloat x, const float *a, int n) {
    vfloat y = vf_set1(a[n - 1]);
    for (int i = n - 2; i >= 0; i--) {
        y = vf_fma(y, x, vf_set1(a[i]));
    }
    return y;
}

static inline vfloat vf_exp(vfloat x) {
    static const float taylor[] = {1.0f,          1.0f,          0.5f,           0.166666667f,
                                   0.0416666667f, 0.0083333333f, 0.00138888889f, 0.000198412698f};
    x = vf_min(vf_set1(89.0f), vf_max(vf_set1(-104.0f), x));
    vfloat n = vf_round(x * vf_set1(1.44269504f));
    vfloat r = vf_fma(n, vf_set1(-0.693145752f), x); /* ln 2 in two parts */
    r = vf_fma(n, vf_set1(-1.42860677e-6f), r);
    vfloat y = vf_polynomial(r, taylor, 8);
    vint exponent = vf_to_int(n), half = exponent >> 1; /* two steps reach infinity and zero */
    vfloat first = (vfloat)((half + 127) << 23);
    vfloat second = (vfloat)((exponent - half + 127) << 23);
    return y * first * second;
}

static inline vfloat vf_tanh(vfloat x) {
    static const float small[] = {-0.333333332f, 0.13333301f,     -0.0539586241f,
                                  0.0217636331f, -0.00832640092f, 0.00227270365f};
    vfloat s = x * x, one = vf_set1(1.0f);
    vfloat near = vf_fma(x * s, vf_polynomial(s, small, 6), x);
    vfloat e = vf_exp(vf_abs(x) * vf_set1(2.0f));
    vfloat far = vf_sign_of(one - vf_set1(2.0f) / (e + one), x);
    far = vf_select(x != x, x, far);
    return vf_select(vf_abs(x) < vf_set1(0.6f), near, far);
}

static inline vfloat vf_erf(vfloat x) {
    static const float small[] = {1.12837917f,    -0.376126269f,    0.112835975f,   -0.0268543288f,
                                  0.00518931194f, -0.000801885499f, 7.88249711e-05f};
    static const float large[] = {-0.000253407346f, 1.12996382f,     0.632286012f,
                                  0.109647075f,     -0.0261748131f,  0.00467275155f,
                                  -0.000578239602f, 4.38532423e-05f, -1.52557511e-06f};
    vfloat t = vf_min(vf_set1(4.2f), vf_abs(x)), one = vf_set1(1.0f);
    vfloat near = x * vf_polynomial(x * x, small, 7);
    vfloat far = vf_sign_of(one - vf_exp(-vf_polynomial(t, large, 9)), x);
    far = vf_select(x != x, x, far);
    return vf_select(vf_abs(x) < one, near, far);
}

static inline vfloat vf_sigmoid(vfloat x) {
    vfloat one = vf_set1(1.0f);
    return one / (one + vf_exp(-x));
}

/* x * share, and 0 where the share is 0 even if x is infinite. */
static inline vfloat vf_share_of(vfloat x, vfloat share) {
    vfloat zero = vf_set1(0.0f);
    return vf_select(share == zero, zero, x * share);
}

/* (1 + tanh u) / 2 is the logistic function of 2 u. */
static inline vfloat vf_gelu_tanh(vfloat x) {
    vfloat twice = vf_fma(x * x * x, vf_set1(0.044715f), x) * vf_set1(1.59576912f);
    return vf_share_of(x, vf_sigmoid(twice));
}

static inline vfloat vf_gelu(vfloat x) {
    return vf_share_of(x, vf_set1(0.5f) * (vf_set1(1.0f) + vf_erf(x * vf_set1(0.707106781f))));
}

/* kind is a constant wherever this is used */
static inline __attribute__((always_inline)) vfloat vf_unary(cpu_unary kind, vfloat x,
                                                             float parameter) {
    vfloat p = vf_set1(parameter);
    switch (kind) {
    case CPU_UNARY_SILU:
        return vf_share_of(x, vf_sigmoid(p * x));
    case CPU_UNARY_GELU:
        return vf_gelu(x);
    case CPU_UNARY_GELU_TANH:
        return vf_gelu_tanh(x);
    case CPU_UNARY_RELU:
        return vf_max(vf_set1(0.0f), x);
    case CPU_UNARY_SIGMOID:
        return vf_sigmoid(x);
    case CPU_UNARY_TANH:
        return vf_tanh(x);
    case CPU_UNARY_SOFTCAP:
        return p * vf_tanh(x / p);
    case CPU_UNARY_EXP:
        return vf_exp(x);
    case CPU_UNARY_ERF:
        return vf_erf(x);
    case CPU_UNARY_SQRT:
        return vf_sqrt(x);
    case CPU_UNARY_ABS:
        return vf_abs(x);
    case CPU_UNARY_NEG:
        return -x;
    case CPU_UNARY_RECIPROCAL:
        return vf_set1(1.0f) / x;
    case CPU_UNARY_COUNT:
        break;
    }
    return x;
}

#endif
