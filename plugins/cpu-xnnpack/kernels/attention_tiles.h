/* SPDX-License-Identifier: Apache-2.0 */
/* Template: attention over a span. Included after a vector layer; makes cpu_attention_<level>. */
#include "attention_scores.h"
#include "attention_sums.h"

/* ---- softmax ---- */
#if VF == 16
#define WEIGH_MOST 4u
#else
#define WEIGH_MOST 2u
#endif

/* Positions outside [low, high) of a vector that begins at `first` get -infinity. */
static inline void hide(float *scores, uint32_t first, cpu_positions seen) {
    for (uint32_t p = first; p < first + VF; p++) {
        scores[p] = p < seen.low || p >= seen.high ? -INFINITY : scores[p];
    }
}

static void soften(float *scores, uint32_t first, uint32_t end, float cap) {
    vfloat to = vf_set1(cap * 1.44269504f), from = vf_set1(1.0f / cap);
    for (uint32_t p = first; p < end; p += VF) {
        vf_store(scores + p, to * vf_tanh(vf_load(scores + p) * from));
    }
}

/* Where whole vectors of what is seen begin and end; what is not seen of them is hidden. */
static cpu_positions scores_ready(float *scores, cpu_positions seen, float softcap) {
    cpu_positions whole = {seen.low / VF * VF, (seen.high + VF - 1) / VF * VF};
    if (softcap > 0.0f) {
        soften(scores, whole.low, whole.high, softcap);
    }
    if (whole.low < seen.low) {
        hide(scores, whole.low, seen);
    }
    if (whole.high > seen.high) {
        hide(scores, whole.high - VF, seen);
    }
    return whole;
}

/* Scores of n queries that see the same become weights; what they do not see is neither read nor
 * kept. A query waits for its maximum and for its sum, so several go side by side. */
ALWAYS_INLINE void weigh(float *scores, unsigned n, cpu_positions seen, float softcap,
                         cpu_softmax_state *out) {
    vfloat most[WEIGH_MOST], sum[WEIGH_MOST];
    cpu_positions at = {0, 0};
#pragma GCC unroll 4
    for (unsigned j = 0; j < n; j++) {
        at = scores_ready(scores + j * CPU_SPAN, seen, softcap);
        most[j] = vf_set1(-INFINITY);
        sum[j] = vf_set1(0.0f);
    }
    for (uint32_t p = at.low; p < at.high; p += VF) {
#pragma GCC unroll 4
        for (unsigned j = 0; j < n; j++) {
            most[j] = vf_max(most[j], vf_load(scores + j * CPU_SPAN + p));
        }
    }
#pragma GCC unroll 4
    for (unsigned j = 0; j < n; j++) {
        out[j].maximum = vf_largest(most[j]);
        most[j] = vf_set1(out[j].maximum);
    }
    for (uint32_t p = at.low; p < at.high; p += VF) {
#pragma GCC unroll 4
        for (unsigned j = 0; j < n; j++) {
            vfloat w = exp2_below(vf_load(scores + j * CPU_SPAN + p) - most[j]);
            vf_store(scores + j * CPU_SPAN + p, w);
            sum[j] = sum[j] + w;
        }
    }
#pragma GCC unroll 4
    for (unsigned j = 0; j < n; j++) {
        out[j].denominator = vf_sum(sum[j]);
    }
}

/* How many queries from `first` on see what it sees, WEIGH_MOST at most. */
static size_t seeing_alike(const cpu_attention *a, size_t first) {
    const cpu_positions *own = &a->sees[first / a->per_row];
    size_t n = 1;
    for (; n < WEIGH_MOST && first + n < a->n_queries; n++) {
        const cpu_positions *other = &a->sees[(first + n) / a->per_row];
        if (other->low != own->low || other->high != own->high) {
            break;
        }
    }
    return n;
}

static void weigh_all(const cpu_attention *a) {
    for (size_t j = 0, n = 0; j < a->n_queries; j += n) {
        cpu_positions seen = a->sees[j / a->per_row];
        cpu_softmax_state *out = a->out.softmax + j;
        float *scores = a->scores + j * CPU_SPAN;
        n = seeing_alike(a, j);
        if (seen.low >= seen.high) {
            n = 1;
            *out = (cpu_softmax_state){-INFINITY, 0.0f};
        } else if (n == WEIGH_MOST) {
            weigh(scores, WEIGH_MOST, seen, a->softcap, out);
        } else {
            n = 1;
            weigh(scores, 1, seen, a->softcap, out);
        }
    }
}

/* ---- a span, and spans together ---- */
static void attend(const cpu_attention *a) {
    scores_all(a);
    weigh_all(a);
    sums_all(a);
}

static void fold(const cpu_partial *inout, const cpu_partial *later, size_t n_queries, size_t dv) {
    size_t stride = cpu_attention_stride(dv);
    for (size_t j = 0; j < n_queries; j++) {
        cpu_softmax_state *a = &inout->softmax[j], b = later->softmax[j];
        if (b.maximum == -INFINITY && b.denominator == 0.0f) {
            continue; /* sees nothing there */
        }
        bool is_new = a->maximum == -INFINITY && a->denominator == 0.0f;
        float most = a->maximum > b.maximum ? a->maximum : b.maximum;
        float fa = is_new ? 0.0f : exp2f(a->maximum - most), fb = exp2f(b.maximum - most);
        float *sums = inout->sums + j * stride;
        const float *more = later->sums + j * stride;
        a->denominator = a->denominator * fa + b.denominator * fb;
        a->maximum = most;
        for (size_t i = 0; i < stride; i += VF) {
            vfloat x = vf_load(sums + i) * vf_set1(fa);
            vf_store(sums + i, vf_fma(vf_load(more + i), vf_set1(fb), x));
        }
    }
}

extern const cpu_attention_kernels CPU_JOIN(cpu_attention_, CPU_LEVEL);
const cpu_attention_kernels CPU_JOIN(cpu_attention_, CPU_LEVEL) = {.attend = attend, .fold = fold};
