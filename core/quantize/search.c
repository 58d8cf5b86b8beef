/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for scales. For given levels the best scale is known in closed form, and for a given
 * scale the best levels are the nearest; so a number of first guesses is tried, each one fitted
 * once, and the best is refined by turns until it stays.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

#define TURNS 4

/* Nearest of 16 ascending values. */
static float from_book(const int8_t *book, float x) {
    uint32_t first = 0;
    for (uint32_t step = 8; step > 0; step /= 2) { /* book[first] <= x, as far as there is one */
        first += x >= (float)book[first + step] ? step : 0;
    }
    if (first == 15) {
        return (float)book[15];
    }
    float below = (float)book[first], above = (float)book[first + 1];
    return x - below <= above - x ? below : above;
}

void sy__to_levels(const sy__levels *levels, uint32_t n, const float *x, float inverse,
                   float *out_levels) {
    if (levels->book != NULL) {
        for (uint32_t i = 0; i < n; i++) {
            out_levels[i] = from_book(levels->book, x[i] * inverse);
        }
        return;
    }
    float low = levels->low, high = levels->high;
    for (uint32_t i = 0; i < n; i++) {
        out_levels[i] = sy__nearest(sy__cut(x[i] * inverse, low, high));
    }
}

float sy__use_scale(const sy__levels *levels, uint32_t n, const float *x, const float *w, float d,
                    float *out_levels) {
    float sum = 0.0f;
    sy__to_levels(levels, n, x, d != 0.0f ? 1.0f / d : 0.0f, out_levels);
    for (uint32_t i = 0; i < n; i++) {
        float difference = x[i] - d * out_levels[i];
        sum += w[i] * difference * difference;
    }
    return sum;
}

/* The best d for levels, and by how much it lowers the sum of squares. */
static float best_scale(uint32_t n, const float *x, const float *w, const float *levels,
                        float *out_gain) {
    float xl = 0.0f, ll = 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        float wl = w[i] * levels[i];
        xl += wl * x[i];
        ll += wl * levels[i];
    }
    *out_gain = ll > 0.0f ? xl * xl / ll : 0.0f;
    return ll > 0.0f ? xl / ll : 0.0f;
}

typedef struct best_fit {
    float d, gain;
} best_fit;

static void try_scale(const sy__levels *levels, uint32_t n, const float *x, const float *w,
                      float inverse, best_fit *best) {
    float found[SY__SUPER], gain = 0.0f;
    sy__to_levels(levels, n, x, inverse, found);
    float d = best_scale(n, x, w, found, &gain);
    if (gain > best->gain) {
        *best = (best_fit){d, gain};
    }
}

/* The number furthest from 0; with weights of 0 in between it counts all the same. */
static float largest(uint32_t n, const float *x) {
    float result = 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        result = fabsf(x[i]) > fabsf(result) ? x[i] : result;
    }
    return result;
}

float sy__fit_scale(const sy__levels *levels, uint32_t n, const float *x, const float *w,
                    float *out_levels) {
    float far = largest(n, x);
    best_fit best = {0.0f, 0.0f};
    if (far == 0.0f || !isfinite(1.0f / far)) { /* zeros, or so small that they are */
        memset(out_levels, 0, n * sizeof(*out_levels));
        return 0.0f;
    }
    /* The furthest number goes to either end, or somewhat past it: then it is cut. */
    float ends[2] = {levels->low, levels->high};
    for (uint32_t i_end = 0; i_end < 2; i_end++) {
        float wide = fabsf(ends[i_end]) * 0.125f, step = wide > 1.5f ? wide * 0.08f : 0.12f;
        for (int k = -6; k <= 12; k++) {
            float end = ends[i_end] + (ends[i_end] > 0.0f ? step : -step) * (float)k;
            try_scale(levels, n, x, w, end / far, &best);
        }
    }
    for (int turn = 0; turn < TURNS && best.d != 0.0f; turn++) {
        float before = best.gain;
        try_scale(levels, n, x, w, 1.0f / best.d, &best);
        if (best.gain <= before) {
            break;
        }
    }
    sy__to_levels(levels, n, x, best.d != 0.0f ? 1.0f / best.d : 0.0f, out_levels);
    return best.d;
}

float sy__use_line(uint32_t n_max, uint32_t n, const float *x, const float *w, sy__line line,
                   float *out_q) {
    float inverse = line.d != 0.0f ? 1.0f / line.d : 0.0f, high = (float)n_max, sum = 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        float q = sy__nearest(sy__cut((x[i] - line.m) * inverse, 0.0f, high));
        float difference = x[i] - line.m - line.d * q;
        sum += w[i] * difference * difference;
        out_q[i] = q;
    }
    return sum;
}

typedef struct best_line {
    sy__line line;
    float gain;
    bool m_below;
} best_line;

/* Fits a line to the codes that another line gives. */
static void try_line(float high, uint32_t n, const float *x, const float *w, sy__line from,
                     best_line *best) {
    float sw = 0.0f, sx = 0.0f, sq = 0.0f, sqq = 0.0f, sxq = 0.0f;
    float inverse = 1.0f / from.d;
    for (uint32_t i = 0; i < n; i++) {
        float q = sy__nearest(sy__cut((x[i] - from.m) * inverse, 0.0f, high)), wq = w[i] * q;
        sw += w[i];
        sx += w[i] * x[i];
        sq += wq;
        sqq += wq * q;
        sxq += wq * x[i];
    }
    float determinant = sw * sqq - sq * sq;
    sy__line line = {0.0f, 0.0f};
    if (determinant > 0.0f) {
        line.d = (sw * sxq - sx * sq) / determinant;
        line.m = (sqq * sx - sq * sxq) / determinant;
    }
    if (sqq > 0.0f && (determinant <= 0.0f || (best->m_below && line.m > 0.0f))) {
        line = (sy__line){sxq / sqq, 0.0f};
    }
    float gain = line.d * sxq + line.m * sx;
    if (line.d > 0.0f && isfinite(1.0f / line.d) && gain > best->gain) {
        best->line = line;
        best->gain = gain;
    }
}

sy__line sy__fit_line(uint32_t n_max, bool m_below, uint32_t n, const float *x, const float *w) {
    float low = x[0], high = x[0];
    best_line best = {.m_below = m_below, .gain = -INFINITY};
    for (uint32_t i = 1; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    low = m_below && low > 0.0f ? 0.0f : low;
    if (!(high > low) || !isfinite((float)n_max * 2.0f / (high - low))) {
        return (sy__line){0.0f, m_below && low > 0.0f ? 0.0f : low};
    }
    for (int k = -8; k <= 12; k++) {
        float d = (high - low) / ((float)n_max + 0.1f * (float)k * (n_max > 7 ? 1.0f : 0.6f));
        try_line((float)n_max, n, x, w, (sy__line){d, low}, &best);
        /* and with both ends cut alike */
        float middle = 0.5f * (high + low) - 0.5f * d * (float)n_max;
        if (k > 0 && !(m_below && middle > 0.0f)) {
            try_line((float)n_max, n, x, w, (sy__line){d, middle}, &best);
        }
    }
    for (int turn = 0; turn < TURNS && best.line.d > 0.0f; turn++) {
        float before = best.gain;
        try_line((float)n_max, n, x, w, best.line, &best);
        if (best.gain <= before) {
            break;
        }
    }
    return best.line;
}
