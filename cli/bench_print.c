/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for people. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#define MIB 1048576.0

static void print_model(const sy_bench *bench) {
    const sy_bench_model *about = &bench->about;
    printf("%s: %s, %.1f M parameters, %.1f MiB of weights, cache %s / %s\n", bench->engine.model,
           about->architecture, (double)about->n_parameters / 1e6,
           (double)about->weight_bytes / MIB, about->key_type, about->value_type);
    printf("prefill on %s; decode on %s\n", about->placement[0], about->placement[1]);
}

static void print_devices(const sy_bench *bench) {
    for (uint32_t i = 0; i < bench->about.n_devices; i++) {
        const sy_bench_device *device = &bench->about.devices[i];
        if (!device->is_cpu) {
            printf("%s: %s, driver %s", device->delegate, device->id, device->driver);
            if (device->memory_free_bytes > 0) {
                printf(", %.0f of %.0f MiB free", (double)device->memory_free_bytes / MIB,
                       (double)device->memory_total_bytes / MIB);
            }
            puts("");
        }
    }
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

static void print_series(const sy_bench *bench, const sy_bench_series *series) {
    char name[64];
    sy_bench_summary s;
    sy_bench_name(series, name, sizeof(name));
    sy_bench_summarise(series, &s);
    if (series->tokens_per_s.n == 0) {
        printf("%7u  %-28s not measured\n", series->n_threads, name);
        return;
    }
    printf("%7u  %-28s %9.1f %9.1f %7.1f %% %8.1f %9.1f %9.1f %7.1f %% %-8s", series->n_threads,
           name, s.spread.most, s.spread.median,
           100.0 * (s.spread.most - s.spread.least) / s.spread.most, s.gb_per_s, s.gmac_per_s,
           s.attainable, 100.0 * s.share, s.is_memory_bound ? "memory" : "compute");
    if (s.peer_ratio > 0) {
        printf(" %9.1f %6.2fx", sy_bench_spread_of(&series->peer).most, s.peer_ratio);
    } else if (bench->peer_program[0] != '\0') {
        printf(" %9s %7s", "-", "-");
    }
    puts("");
}

/* Where devices take part: what is left for the host to do. */
static void print_costs(const sy_bench *bench) {
    for (uint32_t i = 0; i < bench->n_series; i++) {
        const sy_bench_series *series = &bench->series[i];
        double written = sy_bench_spread_of(&series->written_bytes).median;
        double read = sy_bench_spread_of(&series->read_bytes).median;
        if (written + read > 0) {
            char name[64];
            sy_bench_name(series, name, sizeof(name));
            printf("host: %u thread%s, %s: %.1f us/token of submitting threads (process %.1f), "
                   "%.0f bytes/token to devices, %.0f back\n",
                   series->n_threads, series->n_threads == 1 ? "" : "s", name,
                   sy_bench_spread_of(&series->host_us).median,
                   sy_bench_spread_of(&series->process_us).median, written, read);
        }
    }
}

static void print_energy(const sy_bench *bench) {
    int is_told = 0;
    for (uint32_t i = 0; i < bench->n_series; i++) {
        const sy_bench_series *series = &bench->series[i];
        if (series->n_energy_tokens > 0) {
            char name[64];
            sy_bench_name(series, name, sizeof(name));
            printf("energy: %u threads, %s: %.1f mJ/token\n", series->n_threads, name,
                   series->energy_uj / series->n_energy_tokens / 1e3);
            is_told = 1;
        }
    }
    if (!is_told && bench->n_series > 0) {
        puts("energy: not available here (no readable counter in /sys/class/powercap)");
    }
}

static void print_starts(const sy_bench *bench) {
    for (uint32_t i = 0; i < bench->n_starts; i++) {
        const sy_bench_start *start = &bench->starts[i];
        sy_bench_spread ms = sy_bench_spread_of(&start->first_ms);
        if (start->first_ms.n == 0) {
            continue;
        }
        printf("start: ");
        if (start->n_threads > 0) {
            printf("%u thread%s, ", start->n_threads, start->n_threads == 1 ? "" : "s");
        }
        printf("process start to first token %.1f ms at best, median %.1f ms; peak memory %.1f "
               "MiB (at the end %.1f anonymous, %.1f of files)",
               ms.least, ms.median, (double)start->peak_kib / 1024.0,
               (double)start->anon_kib / 1024.0, (double)start->file_kib / 1024.0);
        if (start->n_compiled + start->n_loaded > 0) {
            printf("; segments compiled %llu, from blobs %llu",
                   (unsigned long long)start->n_compiled, (unsigned long long)start->n_loaded);
        }
        puts("");
    }
}

void sy_bench_print(const sy_bench *bench) {
    if (bench->n_series > 0) {
        print_model(bench);
        print_devices(bench);
        print_limits(bench);
        printf("%7s  %-28s %9s %9s %9s %8s %9s %9s %9s %-8s%s\n", "threads", "tokens/s of", "best",
               "median", "spread", "GB/s", "GMAC/s", "roofline", "share", "bound by",
               bench->peer_program[0] != '\0' ? " llama.cpp   ratio" : "");
    }
    for (uint32_t i = 0; i < bench->n_series; i++) {
        print_series(bench, &bench->series[i]);
    }
    print_costs(bench);
    print_energy(bench);
    print_starts(bench);
    if (sy_bench_stopped()) {
        puts("Interrupted: this is what had been measured by then.");
    }
}

static void print_segments(const sy_bench_profile *profile) {
    printf("  %-40s %5s %10s %8s %12s %12s\n", "segment", "nodes", "runs", "time", "measured us",
           "predicted us");
    for (uint32_t i = 0; i < profile->n_segments; i++) {
        const sy_bench_segment *segment = &profile->segments[i];
        double runs = segment->n_runs > 0 ? segment->n_runs : 1;
        printf("  %2u on %-34s %5u %10.0f %6.1f %% %12.1f %12.1f", i, segment->delegate,
               segment->n_nodes, segment->n_runs, 100.0 * segment->ns / profile->sample_ns,
               segment->ns / runs / 1e3, segment->predicted_us);
        if (segment->transfer_ns > 0) {
            printf(" (transfers %.1f us)", segment->transfer_ns / runs / 1e3);
        }
        puts("");
    }
}

static void print_group(const sy_bench_series *series, const sy_bench_group *group) {
    int is_memory = 0;
    double n_tokens = (double)series->n_tokens * series->n_sequences, seconds = group->ns / 1e9;
    double least = sy_bench_least_seconds(series, &group->work, &is_memory);
    if (group->ns <= 0) {
        printf("  %-40s %5u %10s\n", group->name, group->n_nodes, "-");
        return;
    }
    printf("  %-40s %5u %10.2f %6.1f %% %8.1f %9.1f %7.1f %% %s\n", group->name, group->n_nodes,
           group->ns / n_tokens / 1e3, 100.0 * group->ns / series->profile->sample_ns,
           (group->work.weight_bytes + group->work.state_bytes) / seconds / 1e9,
           (group->work.int8_macs + group->work.f32_macs) / seconds / 1e9, 100.0 * least / seconds,
           is_memory ? "memory" : "compute");
}

static void print_groups(const sy_bench_series *series) {
    const sy_bench_profile *profile = series->profile;
    double told_ns = 0, n_tokens = (double)series->n_tokens * series->n_sequences;
    for (uint32_t i = 0; i < profile->n_groups; i++) {
        told_ns += profile->groups[i].ns;
    }
    if (told_ns <= 0) {
        puts("  No delegate of this plan tells its nodes' times apart.");
        return;
    }
    printf("  %-40s %5s %10s %8s %8s %9s %9s %s\n", "operator", "nodes", "us/token", "time", "GB/s",
           "GMAC/s", "roofline", "bound by");
    for (uint32_t i = 0; i < profile->n_groups; i++) {
        print_group(series, &profile->groups[i]);
    }
    double rest_ns = profile->sample_ns - told_ns;
    printf("  %-40s %5s %10.2f %6.1f %%\n", "(between operators, executor, sampling)", "",
           rest_ns / n_tokens / 1e3, 100.0 * rest_ns / profile->sample_ns);
}

void sy_bench_print_profile(const sy_bench *bench, const sy_bench_series *series) {
    char name[64];
    (void)bench;
    if (series->profile == NULL) {
        return;
    }
    sy_bench_name(series, name, sizeof(name));
    printf("%s, %u thread%s, mean of %u samples\n", name, series->n_threads,
           series->n_threads == 1 ? "" : "s", series->tokens_per_s.n);
    print_segments(series->profile);
    print_groups(series);
    puts("");
}
