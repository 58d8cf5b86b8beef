/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of a series, and the tables for people. */
#include "bench.h"

#include "switchyard/types.h"

#include <stdio.h>
#include <string.h>

#define MIB 1048576.0

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

/* Seconds that the machine needs at least for some work. */
static double least_seconds(const sy_bench_series *series, const sy_bench_work *work,
                            int *out_is_memory) {
    double memory = series->read_gb_per_s > 0
                        ? (work->weight_bytes + work->state_bytes) / series->read_gb_per_s / 1e9
                        : 0;
    double compute = 0;
    if (series->peaks.int8_gmac_per_s > 0 && series->peaks.f32_gmac_per_s > 0) {
        compute = work->int8_macs / series->peaks.int8_gmac_per_s / 1e9 +
                  work->f32_macs / series->peaks.f32_gmac_per_s / 1e9;
    }
    *out_is_memory = memory >= compute;
    return memory > compute ? memory : compute;
}

void sy_bench_summarise(const sy_bench_series *series, sy_bench_summary *out_summary) {
    double sorted[SY_BENCH_SAMPLES_MAX];
    uint32_t n = series->n_samples;
    *out_summary = (sy_bench_summary){.best = 0};
    if (n == 0) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) { /* insertion: a few samples */
        uint32_t at = i;
        for (; at > 0 && sorted[at - 1] > series->tokens_per_s[i]; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = series->tokens_per_s[i];
    }
    sy_bench_summary *s = out_summary;
    s->least = sorted[0];
    s->best = sorted[n - 1];
    s->median = n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    double n_tokens = (double)series->n_tokens * series->n_sequences;
    s->seconds = n_tokens / s->best;
    s->gb_per_s = (series->work.weight_bytes + series->work.state_bytes) / s->seconds / 1e9;
    s->gmac_per_s = (series->work.int8_macs + series->work.f32_macs) / s->seconds / 1e9;
    double least = least_seconds(series, &series->work, &s->is_memory_bound);
    s->attainable = least > 0 ? n_tokens / least : 0;
    s->share = s->attainable > 0 ? s->best / s->attainable : 0;
}

static void print_series(const sy_bench_series *series) {
    char name[64];
    sy_bench_summary s;
    sy_bench_name(series, name, sizeof(name));
    sy_bench_summarise(series, &s);
    if (series->n_samples == 0) {
        printf("%7u  %-28s not measured\n", series->n_threads, name);
        return;
    }
    printf("%7u  %-28s %9.1f %9.1f %7.1f %% %8.1f %9.1f %9.1f %7.1f %% %s\n", series->n_threads,
           name, s.best, s.median, 100.0 * (s.best - s.least) / s.best, s.gb_per_s, s.gmac_per_s,
           s.attainable, 100.0 * s.share, s.is_memory_bound ? "memory" : "compute");
}

static void print_limits(const sy_bench *bench) {
    uint32_t n_threads = 0;
    for (uint32_t i = 0; i < bench->n_series; i++) {
        const sy_bench_series *series = &bench->series[i];
        if (series->n_threads != n_threads && series->read_gb_per_s > 0) {
            n_threads = series->n_threads;
            printf("limits of %u thread%s: read %.1f GB/s (fresh buffer of %.0f MiB), %s %.0f "
                   "GMAC/s, %s %.0f GMAC/s\n",
                   n_threads, n_threads == 1 ? "" : "s", series->read_gb_per_s,
                   (double)bench->buffer_bytes / MIB, series->peaks.int8_by,
                   series->peaks.int8_gmac_per_s, series->peaks.f32_by,
                   series->peaks.f32_gmac_per_s);
        }
    }
}

void sy_bench_print(const sy_bench *bench) {
    print_limits(bench);
    printf("%7s  %-28s %9s %9s %9s %8s %9s %9s %9s %s\n", "threads", "tokens/s of", "best",
           "median", "spread", "GB/s", "GMAC/s", "roofline", "share", "bound by");
    for (uint32_t i = 0; i < bench->n_series; i++) {
        print_series(&bench->series[i]);
    }
}

/* Nodes that do the same on weights of the same shape and type. */
typedef struct group {
    char name[96];
    uint32_t n_nodes;
    uint64_t ns;
    sy_bench_work work;
} group;

#define GROUPS_MAX 128u

static void name_node(const sy_graph *graph, uint32_t i_node, char *out_name, size_t n_bytes) {
    sy_node_view node;
    sy_value_view value;
    if (sy_graph_node(graph, i_node, &node) != SY_OK) {
        snprintf(out_name, n_bytes, "?");
        return;
    }
    snprintf(out_name, n_bytes, "%s", node.op);
    for (uint32_t i = 0; i < node.n_inputs; i++) {
        if (node.inputs[i] != SY_NO_VALUE &&
            sy_graph_value(graph, node.inputs[i], &value) == SY_OK &&
            value.kind == SY_VALUE_WEIGHT && value.rank == 2) {
            const sy_type_facts *facts = sy_type_get(value.type);
            snprintf(out_name, n_bytes, "%s %s [%lld, %lld]", node.op,
                     facts != NULL ? facts->name : "?", (long long)value.dims[0].bound,
                     (long long)value.dims[1].bound);
            return;
        }
    }
}

static uint32_t make_groups(const sy_bench *bench, const sy_bench_series *series,
                            group groups[GROUPS_MAX]) {
    const sy_graph *graph = sy_plan_graph(sy_engine_plan(bench->engine.engine));
    uint32_t n = 0;
    for (uint32_t i = 0; i < series->n_nodes; i++) {
        char name[96];
        uint32_t g = 0;
        name_node(graph, i, name, sizeof(name));
        while (g < n && strcmp(groups[g].name, name) != 0) {
            g++;
        }
        if (g == GROUPS_MAX) {
            continue;
        }
        if (g == n) {
            groups[n++] = (group){.ns = 0};
            memcpy(groups[g].name, name, sizeof(name));
        }
        sy_bench_work work;
        sy_bench_count(graph, bench->n_batch, series, i, &work);
        groups[g].n_nodes++;
        groups[g].ns += series->node_ns[i];
        groups[g].work.weight_bytes += work.weight_bytes;
        groups[g].work.state_bytes += work.state_bytes;
        groups[g].work.int8_macs += work.int8_macs;
        groups[g].work.f32_macs += work.f32_macs;
    }
    return n;
}

static void print_group(const sy_bench_series *series, const group *g, double total_ns) {
    int is_memory = 0;
    double n_tokens = (double)series->n_tokens * series->n_sequences * series->n_samples;
    double seconds = (double)g->ns / series->n_samples / 1e9;
    double least = least_seconds(series, &g->work, &is_memory);
    if (seconds <= 0) {
        printf("  %-40s %5u %10s\n", g->name, g->n_nodes, "not told");
        return;
    }
    printf("  %-40s %5u %10.2f %6.1f %% %8.1f %9.1f %7.1f %% %s\n", g->name, g->n_nodes,
           (double)g->ns / n_tokens / 1e3, 100.0 * (double)g->ns / total_ns,
           (g->work.weight_bytes + g->work.state_bytes) / seconds / 1e9,
           (g->work.int8_macs + g->work.f32_macs) / seconds / 1e9, 100.0 * least / seconds,
           is_memory ? "memory" : "compute");
}

static void print_operators(const sy_bench *bench, const sy_bench_series *series) {
    static group groups[GROUPS_MAX];
    char name[64];
    uint64_t total_ns = 0;
    double all_ns = 0;
    uint32_t n = make_groups(bench, series, groups);
    sy_bench_name(series, name, sizeof(name));
    for (uint32_t g = 0; g < n; g++) {
        total_ns += groups[g].ns;
    }
    for (uint32_t i = 0; i < series->n_samples; i++) {
        all_ns += (double)series->n_tokens * series->n_sequences * 1e9 / series->tokens_per_s[i];
    }
    printf(
        "\n%s, threads %u: mean of %u samples, per operator\n  %-40s %5s %10s %8s %8s %9s %9s %s\n",
        name, series->n_threads, series->n_samples, "operator", "nodes", "us/token", "time", "GB/s",
        "GMAC/s", "roofline", "bound by");
    for (uint32_t printed = 0; printed < n; printed++) { /* longest first */
        uint32_t longest = printed;
        for (uint32_t g = printed + 1; g < n; g++) {
            longest = groups[g].ns > groups[longest].ns ? g : longest;
        }
        group swap = groups[printed];
        groups[printed] = groups[longest];
        groups[longest] = swap;
        print_group(series, &groups[printed], all_ns);
    }
    double n_tokens = (double)series->n_tokens * series->n_sequences * series->n_samples;
    printf("  %-40s %5s %10.2f %6.1f %%\n", "(between operators, executor, sampling)", "",
           (all_ns - (double)total_ns) / n_tokens / 1e3,
           100.0 * (all_ns - (double)total_ns) / all_ns);
}

void sy_bench_print_profile(const sy_bench *bench, uint32_t i_first) {
    for (uint32_t i = i_first; i < bench->n_series; i++) {
        if (bench->series[i].node_ns != NULL && bench->series[i].n_samples > 0) {
            print_operators(bench, &bench->series[i]);
        }
    }
}
