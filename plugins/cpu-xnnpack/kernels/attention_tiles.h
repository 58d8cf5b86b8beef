/* SPDX-License-Identifier: Apache-2.0 */
/* Template: attention over a span. Included after a vector layer; makes cpu_attention_<level>. */
#include "attention_scores.h"
#include "attention_sums.h"

/* ---- softmax ---- */
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

/* Scores become weights; what a query does not see is neither read nor kept. */
static cpu_softmax_state weigh(float *scores, cpu_positions seen, float softcap) {
    uint32_t first = seen.low / VF * VF, end = (seen.high + VF - 1) / VF * VF;
    vfloat most = vf_set1(-INFINITY), sum = vf_set1(0.0f);
    if (softcap > 0.0f) {
        soften(scores, first, end, softcap);
    }
    if (first < seen.low) {
        hide(scores, first, seen);
    }
    if (end > seen.high) {
        hide(scores, end - VF, seen);
    }
    vfloat other = most;
    for (uint32_t p = first; p + VF < end; p += 2 * VF) {
        most = vf_max(most, vf_load(scores + p));
        other = vf_max(other, vf_load(scores + p + VF));
    }
    most = vf_max(vf_max(most, vf_load(scores + end - VF)), other);
    cpu_softmax_state state = {.maximum = vf_largest(most)};
    most = vf_set1(state.maximum);
    for (uint32_t p = first; p < end; p += VF) {
        vfloat w = exp2_below(vf_load(scores + p) - most);
        vf_store(scores + p, w);
        sum = sum + w;
    }
    state.denominator = vf_sum(sum);
    return state;
}

/* ---- a span, and spans together ---- */
static void attend(const cpu_attention *a) {
    scores_all(a);
    for (size_t j = 0; j < a->n_queries; j++) {
        cpu_positions seen = a->sees[j / a->per_row];
        a->out.softmax[j] = (cpu_softmax_state){-INFINITY, 0.0f};
        if (seen.low < seen.high) {
            a->out.softmax[j] = weigh(a->scores + j * CPU_SPAN, seen, a->softcap);
        }
    }
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
