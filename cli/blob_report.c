/* SPDX-License-Identifier: Apache-2.0 */
#include "blob_report.h"

static void print_segment(const sy_engine *engine, uint32_t i_phase, uint32_t i_segment,
                          int *is_begun, FILE *out) {
    static const char *const outcomes[] = {"none", "compiled", "exact", "usable"};
    const sy_plan *plan = sy_engine_plan(engine);
    const sy_plan_segment *segment = sy_plan_segment_at(plan, i_phase, i_segment);
    sy_blob_report report;
    sy_executor_blob(sy_engine_executor(engine), i_phase, i_segment, &report);
    if (report.text[0] == '\0') {
        return;
    }
    if (!*is_begun) {
        fprintf(out, "\ncompiled segments\n  %-8s %7s  %-16s %-8s %10s %10s %10s  %s\n", "phase",
                "segment", "delegate", "outcome", "bytes", "compile ms", "load ms", "why");
        *is_begun = 1;
    }
    fprintf(out, "  %-8s %7u  %-16s %-8s %10llu %10.2f %10.2f  %s\n",
            i_phase == SY_ENGINE_PREFILL ? "prefill" : "decode", i_segment,
            sy_runtime_delegate(sy_plan_runtime(plan), segment->i_delegate)->name,
            outcomes[report.outcome], (unsigned long long)report.n_bytes,
            (double)report.compile_ns / 1e6, (double)report.load_ns / 1e6, report.text);
}

void sy_cli_print_blobs(const sy_engine *engine, FILE *out) {
    const sy_plan *plan = sy_engine_plan(engine);
    int is_begun = 0;
    for (uint32_t p = 0; p < sy_plan_n_phases(plan); p++) {
        for (uint32_t s = 0; s < sy_plan_n_segments(plan, p); s++) {
            print_segment(engine, p, s, &is_begun, out);
        }
    }
}
