/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of numbers within a few units of the last place. OpenCL C promises that of its own;
 * GLSL does not, so they stand here, from ranges and series that any handbook has. */
#ifdef DIALECT_GLSL
float k_exp(float x) {
    float endless = AS_F(0x7f800000u), nothing = 0.0f;
    float n = ROUND_EVEN(x * 1.44269504f);
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 0.041666668f + r * (0.0083333338f + r * 0.0013888889f);
    p = 1.0f + r * (1.0f + r * (0.5f + r * (0.16666667f + r * p)));
    n = clamp(n, -150.0f, 128.0f);
    int half_n = TO_I(n) / 2, rest = TO_I(n) - half_n; /* in two steps, for results below 2^-126 */
    p = p * AS_F(TO_U(half_n + 127) << 23) * AS_F(TO_U(rest + 127) << 23);
    p = x > -103.98f ? p : nothing;
    p = x > 88.72284f ? endless : p;
    return IS_NAN(x) ? x : p;
}

float k_log(float x) {
    float nan = AS_F(0x7fc00000u), least = AS_F(0xff800000u);
    uint bits = AS_U(x), scaled = AS_U(x * 16777216.0f);
    bool is_tiny = bits < 0x00800000u;
    bits = is_tiny ? scaled : bits;
    int e = TO_I(bits >> 23) - (is_tiny ? 151 : 127);
    float m = AS_F((bits & 0x007fffffu) | 0x3f800000u), half_m = m * 0.5f;
    e += m > 1.41421356f ? 1 : 0;
    m = m > 1.41421356f ? half_m : m;
    float s = (m - 1.0f) / (m + 1.0f), q = s * s;
    float p = 0.2f + q * (0.14285714f + q * (0.11111111f + q * 0.09090909f));
    p = 2.0f * s * (1.0f + q * (0.33333333f + q * p));
    p = p - TO_F(e) * 2.12194440e-4f + TO_F(e) * 0.693359375f;
    p = AS_U(x) == 0x7f800000u ? x : p;
    p = x == 0.0f ? least : p;
    return IS_NAN(x) || x < 0.0f ? nan : p;
}

float k_tanh(float x) {
    float a = F_ABS(x), q = x * x;
    float p = -0.053968254f + q * (0.021869488f - q * 0.0088632355f);
    float small = x * (1.0f + q * (-0.33333333f + q * (0.13333333f + q * p)));
    float y = 1.0f - 2.0f / (k_exp(2.0f * a) + 1.0f), negative = -y;
    y = x < 0.0f ? negative : y;
    return a < 0.3f ? small : y;
}

float k_erf(float x) {
    float a = F_ABS(x), q = x * x;
    float p = 0.0046296296f + q * (-0.00075757576f + q * 0.00010683761f);
    p = 1.0f + q * (-0.33333333f + q * (0.1f + q * (-0.023809524f + q * p)));
    float small = 1.12837917f * x * p;
    float t = 1.0f / (1.0f + 0.5f * a);
    float s = -1.13520398f + t * (1.48851587f + t * (-0.82215223f + t * 0.17087277f));
    s = 0.37409196f + t * (0.09678418f + t * (-0.18628806f + t * (0.27886807f + t * s)));
    float y = 1.0f - t * k_exp(-q - 1.26551223f + t * (1.00002368f + t * s)), negative = -y;
    y = x < 0.0f ? negative : y;
    return a < 0.5f ? small : y;
}

float k_pow(float x, float y) {
    if (y == 0.0f || x == 1.0f) {
        return 1.0f;
    }
    float whole = ROUND_EVEN(y);
    bool is_whole = whole == y || F_ABS(y) >= 16777216.0f;
    bool is_odd = is_whole && F_ABS(y) < 16777216.0f && (TO_I(whole) & 1) != 0;
    if (IS_NAN(x) || IS_NAN(y) || (x < 0.0f && !is_whole)) {
        return AS_F(0x7fc00000u);
    }
    float a = F_ABS(x), p = 0.0f;
    if (is_whole && F_ABS(y) <= 64.0f) { /* exact steps for small whole exponents */
        float base = a;
        p = 1.0f;
        for (uint n = TO_U(F_ABS(whole)); n > 0u; n >>= 1) {
            p = (n & 1u) != 0u ? p * base : p;
            base = base * base;
        }
        p = y < 0.0f ? 1.0f / p : p;
    } else {
        p = k_exp(y * k_log(a));
    }
    return is_odd && x < 0.0f ? -p : p;
}
#else
#define k_exp(x) exp(x)
#define k_log(x) log(x)
#define k_tanh(x) tanh(x)
#define k_erf(x) erf(x)
#define k_pow(x, y) pow(x, y)
#endif

float k_sigmoid(float x) {
    return 1.0f / (1.0f + k_exp(-x));
}
