/* SPDX-License-Identifier: Apache-2.0 */
#include "run_report.h"

#include "blob_report.h"

#include "switchyard/limits.h"

#include <stdio.h>

void sy_run_start(sy_run_figures *figures) {
    figures->start_ns = sy_cli_now_ns();
}

void sy_run_prefilled(sy_run_figures *figures, uint32_t n_tokens) {
    figures->prefill_ns = sy_cli_now_ns() - figures->start_ns;
    figures->n_prefilled = n_tokens;
}

static void print_phase(const sy_plan *plan, uint32_t i_phase, const char *label) {
    uint32_t n_nodes[SY_LIMIT_DELEGATES] = {0};
    uint32_t n_segments = sy_plan_n_segments(plan, i_phase);
    for (uint32_t s = 0; s < n_segments; s++) {
        const sy_plan_segment *segment = sy_plan_segment_at(plan, i_phase, s);
        n_nodes[segment->i_delegate] += segment->segment.n_nodes;
    }
    fprintf(stderr, "%s on", label);
    const char *separator = " ";
    for (uint32_t d = 0; d < SY_LIMIT_DELEGATES; d++) {
        const sy_delegate *delegate = sy_runtime_delegate(sy_plan_runtime(plan), d);
        if (n_nodes[d] > 0 && delegate != NULL) {
            fprintf(stderr, "%s%s (%u nodes)", separator, delegate->name, n_nodes[d]);
            separator = ", ";
        }
    }
    fprintf(stderr, " in %u segment%s", n_segments, n_segments == 1 ? "" : "s");
}

static double per_second(uint32_t n, uint64_t ns) {
    return ns > 0 ? (double)n * 1e9 / (double)ns : 0;
}

void sy_run_print(const sy_engine *engine, const sy_run_figures *figures) {
    static const char *const ends[] = {"", "end", "length", "cancelled", "failed"};
    const sy_plan *plan = sy_engine_plan(engine);
    fputs("\n", stderr);
    print_phase(plan, SY_ENGINE_PREFILL, "prefill");
    fputs("; ", stderr);
    print_phase(plan, SY_ENGINE_DECODE, "decode");
    fprintf(stderr, "\nprompt %u tokens, %.1f tokens/s; generated %u tokens, %.1f tokens/s (%s)\n",
            figures->n_prefilled, per_second(figures->n_prefilled, figures->prefill_ns),
            figures->result.n_tokens,
            per_second(figures->result.n_tokens, figures->result.decode_ns),
            ends[figures->result.finish]);
}

static double milliseconds(uint64_t ns) {
    return (double)ns / 1e6;
}

void sy_run_timings(const sy_cli_engine *flags, const sy_run_figures *figures) {
    const sy_load_times *load = sy_engine_load_times(flags->engine);
    const struct {
        const char *name;
        uint64_t ns;
    } parts[] = {{"configuration, delegates", flags->setup_ns},
                 {"model file", load->file_ns},
                 {"tokenizer", load->tokenizer_ns},
                 {"graph", load->graph_ns},
                 {"plan", load->plan_ns},
                 {"segments, arenas", load->units_ns},
                 {"session, sampler", figures->session_ns},
                 {"prompt", figures->prefill_ns}};
    uint64_t sum = 0, total = figures->first_ns - figures->verb_ns;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        fprintf(stderr, "%-26s %9.3f ms\n", parts[i].name, milliseconds(parts[i].ns));
        sum += parts[i].ns;
    }
    if (figures->first_ns != 0) {
        fprintf(stderr, "%-26s %9.3f ms\n%-26s %9.3f ms\n", "first text, rest",
                milliseconds(total > sum ? total - sum : 0), "verb to first text",
                milliseconds(total));
    }
}

static void print_segment(const sy_engine *engine, uint32_t i_phase, uint32_t i_segment) {
    const sy_plan *plan = sy_engine_plan(engine);
    const sy_plan_segment *segment = sy_plan_segment_at(plan, i_phase, i_segment);
    const sy_delegate *delegate = sy_runtime_delegate(sy_plan_runtime(plan), segment->i_delegate);
    sy_segment_stats stats;
    sy_executor_stats(sy_engine_executor(engine), i_phase, i_segment, &stats);
    double runs = stats.n_runs > 0 ? (double)stats.n_runs : 1;
    fprintf(stderr, "%-8s %7u %-16s %5u %6llu %12.1f %12.1f %12.1f\n",
            i_phase == SY_ENGINE_PREFILL ? "prefill" : "decode", i_segment, delegate->name,
            segment->segment.n_nodes, (unsigned long long)stats.n_runs, segment->predicted_us,
            (double)stats.total_ns / runs / 1e3, (double)stats.transfer_ns / runs / 1e3);
}

void sy_run_profile(const sy_engine *engine) {
    sy_cli_print_blobs(engine, stderr);
    fprintf(stderr, "%-8s %7s %-16s %5s %6s %12s %12s %12s\n", "phase", "segment", "delegate",
            "nodes", "runs", "predicted us", "measured us", "transfer us");
    for (uint32_t p = 0; p < 2; p++) {
        uint32_t n = sy_plan_n_segments(sy_engine_plan(engine), p);
        for (uint32_t s = 0; s < n; s++) {
            print_segment(engine, p, s);
        }
    }
}
