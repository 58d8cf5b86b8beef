/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of a series. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

void sy_bench_add_sample(sy_bench_samples *samples, double value) {
    if (samples->n < SY_BENCH_SAMPLES_MAX) {
        samples->items[samples->n++] = value;
    }
}

sy_bench_spread sy_bench_spread_of(const sy_bench_samples *samples) {
    double sorted[SY_BENCH_SAMPLES_MAX];
    uint32_t n = samples->n;
    if (n == 0) {
        return (sy_bench_spread){0, 0, 0};
    }
    for (uint32_t i = 0; i < n; i++) { /* insertion: a few samples */
        uint32_t at = i;
        for (; at > 0 && sorted[at - 1] > samples->items[i]; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = samples->items[i];
    }
    double median = n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    return (sy_bench_spread){sorted[0], median, sorted[n - 1]};
}

void sy_bench_name(const sy_bench_series *series, char *out_text, size_t n_bytes) {
    int n = snprintf(out_text, n_bytes, "%s %u",
                     series->kind == SY_BENCH_PREFILL ? "prefill" : "decode", series->n_tokens);
    if (n > 0 && (size_t)n < n_bytes && series->depth > 0) {
        n += snprintf(out_text + n, n_bytes - (size_t)n, " at %u", series->depth);
    }
    if (n > 0 && (size_t)n < n_bytes && series->n_sequences > 1) {
        snprintf(out_text + n, n_bytes - (size_t)n, ", %u together", series->n_sequences);
    }
}

double sy_bench_least_seconds(const sy_bench_series *series, const sy_bench_work *work,
                              int *out_is_memory) {
    double bytes = work->weight_bytes + work->state_bytes, compute = 0;
    double memory = series->read_gb_per_s > 0 ? bytes / series->read_gb_per_s / 1e9 : 0;
    if (series->peaks.int8_gmac_per_s > 0 && series->peaks.f32_gmac_per_s > 0) {
        compute = work->int8_macs / series->peaks.int8_gmac_per_s / 1e9 +
                  work->f32_macs / series->peaks.f32_gmac_per_s / 1e9;
    }
    *out_is_memory = memory >= compute;
    return memory > compute ? memory : compute;
}

void sy_bench_summarise(const sy_bench_series *series, sy_bench_summary *out_summary) {
    sy_bench_summary *s = out_summary;
    *s = (sy_bench_summary){.spread = sy_bench_spread_of(&series->tokens_per_s)};
    double best = s->spread.most, peer = sy_bench_spread_of(&series->peer).most;
    double n_tokens = (double)series->n_tokens * series->n_sequences;
    double least = sy_bench_least_seconds(series, &series->work, &s->is_memory_bound);
    s->attainable = least > 0 ? n_tokens / least : 0;
    if (best <= 0) {
        return;
    }
    s->seconds = n_tokens / best;
    s->gb_per_s = (series->work.weight_bytes + series->work.state_bytes) / s->seconds / 1e9;
    s->gmac_per_s = (series->work.int8_macs + series->work.f32_macs) / s->seconds / 1e9;
    s->share = s->attainable > 0 ? best / s->attainable : 0;
    s->peer_ratio = peer > 0 ? best / peer : 0;
}
