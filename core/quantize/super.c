/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Super-blocks: each sub-block is fitted by itself, the largest of its scales sets the common one,
 * and then the two are improved by turns: whole-number scales near what each sub-block wants, with
 * the least error of their own, and the common scale that suits all of them best.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

#define ROUNDS 3

/* Numbers that share a scale, and their weights. */
typedef struct sub_block {
    uint32_t n;
    const float *x, *w;
} sub_block;

static sub_block sub_block_at(uint32_t j, uint32_t n, const float *x, const float *w) {
    return (sub_block){n, x + j * n, w + j * n};
}

/* The whole-number scale of one sub-block; answers its error. */
static float choose_scale(const sy__levels *levels, sub_block sub, float d, float wanted,
                          const float range[2], float *out_scale, float *out_levels) {
    float found[SY__BLOCK], least = INFINITY;
    float near = d != 0.0f ? sy__nearest(sy__cut(wanted / d, range[0], range[1])) : 0.0f;
    for (float step = -1.0f; step <= 1.0f; step += 1.0f) {
        float scale = near + step;
        if (scale < range[0] || scale > range[1]) {
            continue;
        }
        float error = sy__use_scale(levels, sub.n, sub.x, sub.w, d * scale, found);
        if (error < least) {
            least = error;
            *out_scale = scale;
            memcpy(out_levels, found, sub.n * sizeof(*found));
        }
    }
    return least;
}

void sy__fit_super_scales(const sy__levels *levels, uint32_t n_sub, float low, float high,
                          const float *x, const float *w, sy__super *out) {
    const uint32_t n = SY__SUPER / n_sub;
    const float range[2] = {low, high};
    float wanted[16], far = 0.0f, least = INFINITY;
    sy__super now;
    memset(out, 0, sizeof(*out));
    memset(&now, 0, sizeof(now));
    for (uint32_t j = 0; j < n_sub; j++) {
        wanted[j] = sy__fit_scale(levels, n, x + j * n, w + j * n, now.levels);
        far = fabsf(wanted[j]) > fabsf(far) ? wanted[j] : far;
    }
    now.d = sy__as_f16(far / low);
    for (int round = 0; round < ROUNDS && now.d != 0.0f; round++) {
        double xa = 0.0, aa = 0.0;
        float error = 0.0f;
        for (uint32_t j = 0; j < n_sub; j++) {
            error += choose_scale(levels, sub_block_at(j, n, x, w), now.d, wanted[j], range,
                                  &now.scales[j], now.levels + j * n);
            for (uint32_t i = j * n; i < (j + 1) * n; i++) {
                float a = now.scales[j] * now.levels[i];
                xa += (double)(w[i] * a * x[i]);
                aa += (double)(w[i] * a * a);
            }
        }
        if (error >= least) {
            break;
        }
        least = error;
        *out = now;
        now.d = aa > 0.0 ? sy__as_f16((float)(xa / aa)) : 0.0f;
    }
}

typedef struct line_choice {
    float scale, minimum, error;
} line_choice;

/* Whole-number scale and minimum of one sub-block. */
static line_choice choose_line(uint32_t n_max, sub_block sub, const sy__super *super,
                               sy__line wanted, float n_scale, float *out_q) {
    line_choice best = {0.0f, 0.0f, INFINITY};
    float q[SY__BLOCK];
    float scale =
        super->d != 0.0f ? sy__nearest(sy__cut(wanted.d / super->d, 0.0f, n_scale)) : 0.0f;
    float minimum =
        super->d_min != 0.0f ? sy__nearest(sy__cut(-wanted.m / super->d_min, 0.0f, n_scale)) : 0.0f;
    for (int k = 0; k < 9; k++) {
        float s = scale + (float)(k % 3 - 1), m = minimum + (float)(k / 3 - 1);
        if (s < 0.0f || s > n_scale || m < 0.0f || m > n_scale) {
            continue;
        }
        sy__line line = {super->d * s, -super->d_min * m};
        float error = sy__use_line(n_max, sub.n, sub.x, sub.w, line, q);
        if (error < best.error) {
            best = (line_choice){s, m, error};
            memcpy(out_q, q, sub.n * sizeof(*q));
        }
    }
    return best;
}

/* Sums of the two common scales: x = d a - d_min b. */
typedef struct line_sums {
    double aa, ab, bb, xa, xb;
} line_sums;

static void add_sums(line_sums *s, uint32_t n, const float *x, const float *w, const float *q,
                     line_choice choice) {
    for (uint32_t i = 0; i < n; i++) {
        double a = (double)(choice.scale * q[i]), b = (double)choice.minimum, wi = (double)w[i];
        s->aa += wi * a * a;
        s->ab += wi * a * b;
        s->bb += wi * b * b;
        s->xa += wi * a * (double)x[i];
        s->xb += wi * b * (double)x[i];
    }
}

static void solve(const line_sums *s, sy__super *super) {
    double determinant = s->aa * s->bb - s->ab * s->ab;
    if (determinant > 1e-9 * s->aa * s->bb) {
        double d = (s->xa * s->bb - s->ab * s->xb) / determinant;
        double d_min = (s->ab * s->xa - s->aa * s->xb) / determinant;
        if (d > 0.0 && d_min >= 0.0) {
            super->d = sy__as_f16((float)d);
            super->d_min = sy__as_f16((float)d_min);
            return;
        }
    }
    super->d = s->aa > 0.0 ? sy__as_f16((float)fmax(0.0, s->xa / s->aa)) : 0.0f;
}

void sy__fit_super_lines(uint32_t n_max, uint32_t n_sub, float n_scale, const float *x,
                         const float *w, sy__super *out) {
    const uint32_t n = SY__SUPER / n_sub;
    sy__line wanted[16];
    float d = 0.0f, m = 0.0f, least = INFINITY;
    sy__super now;
    memset(&now, 0, sizeof(now));
    for (uint32_t j = 0; j < n_sub; j++) {
        wanted[j] = sy__fit_line(n_max, true, n, x + j * n, w + j * n);
        d = wanted[j].d > d ? wanted[j].d : d;
        m = -wanted[j].m > m ? -wanted[j].m : m;
    }
    now.d = sy__as_f16(d / n_scale);
    now.d_min = sy__as_f16(m / n_scale);
    *out = now;
    for (int round = 0; round < ROUNDS; round++) {
        line_sums sums = {0};
        float error = 0.0f;
        for (uint32_t j = 0; j < n_sub; j++) {
            float *q = now.levels + j * n;
            line_choice choice =
                choose_line(n_max, sub_block_at(j, n, x, w), &now, wanted[j], n_scale, q);
            now.scales[j] = choice.scale;
            now.minima[j] = choice.minimum;
            error += choice.error;
            add_sums(&sums, n, x + j * n, w + j * n, q, choice);
        }
        if (error >= least) {
            break;
        }
        least = error;
        *out = now;
        solve(&sums, &now);
    }
}
