/* SPDX-License-Identifier: Apache-2.0 */
/* What work costs the host beside its time: processor time, bytes between host and devices. */
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void sy_bench_cost_now(const sy_engine *engine, uint32_t i_phase, sy_bench_cost *out_cost) {
    *out_cost = (sy_bench_cost){.process_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID),
                                .host_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID)};
    uint32_t n = sy_plan_n_segments(sy_engine_plan(engine), i_phase);
    for (uint32_t s = 0; s < n; s++) {
        sy_segment_stats stats;
        sy_executor_stats(sy_engine_executor(engine), i_phase, s, &stats);
        out_cost->host_ns += stats.host_ns;
        out_cost->written_bytes += stats.written_bytes;
        out_cost->read_bytes += stats.read_bytes;
    }
}

void sy_bench_add_cost(sy_bench_series *series, const sy_bench_cost *before,
                       const sy_bench_cost *after) {
    double n_tokens = (double)series->n_tokens * series->n_sequences;
    sy_bench_add_sample(&series->process_us,
                        (double)(after->process_ns - before->process_ns) / n_tokens / 1e3);
    sy_bench_add_sample(&series->host_us,
                        (double)(after->host_ns - before->host_ns) / n_tokens / 1e3);
    sy_bench_add_sample(&series->written_bytes,
                        (double)(after->written_bytes - before->written_bytes) / n_tokens);
    sy_bench_add_sample(&series->read_bytes,
                        (double)(after->read_bytes - before->read_bytes) / n_tokens);
}

/* Is a delegate in a plan? */
static int takes_part(const sy_plan *plan, uint32_t i_delegate) {
    for (uint32_t p = 0; p < sy_plan_n_phases(plan); p++) {
        for (uint32_t s = 0; s < sy_plan_n_segments(plan, p); s++) {
            if (sy_plan_segment_at(plan, p, s)->i_delegate == i_delegate) {
                return 1;
            }
        }
    }
    return 0;
}

void sy_bench_find_devices(sy_bench *bench) {
    const sy_plan *plan = sy_engine_plan(bench->engine.engine);
    const sy_runtime *runtime = sy_plan_runtime(plan);
    sy_bench_model *about = &bench->about;
    about->n_devices = 0;
    for (uint32_t d = 0; d < sy_runtime_n_delegates(runtime); d++) {
        const sy_delegate *delegate = sy_runtime_delegate(runtime, d);
        if (about->n_devices == SY_BENCH_DEVICES_MAX || !takes_part(plan, d)) {
            continue;
        }
        sy_bench_device *device = &about->devices[about->n_devices++];
        sy_health health = {.header = SY_HEADER_INIT(sy_health)};
        snprintf(device->delegate, sizeof(device->delegate), "%s", delegate->name);
        memcpy(device->id, delegate->info.id, sizeof(device->id) - 1);
        memcpy(device->driver, delegate->info.driver, sizeof(device->driver) - 1);
        device->is_cpu = delegate->info.device_class == SY_DEVICE_CPU;
        device->memory_total_bytes = delegate->info.memory_total_bytes;
        if (delegate->plugin->health != NULL &&
            delegate->plugin->health(delegate->device, &health) == SY_OK) {
            device->memory_free_bytes = health.memory_free_bytes;
        }
    }
}
