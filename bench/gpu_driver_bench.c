/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the driver of a GPU delegate costs the host: built once for each driver. Starting,
 * compiling, one run of a recording, and bytes between host and device. Dispatches copy 4 KiB each;
 * with no groups they do nothing, and what is left is the cost of a run.
 *
 *   gpu_driver_bench_NAME [DEVICE]
 */
#include "conform/test_host.h"
#include "measuring.h"

#include "driver.h"

#include <string.h>
#include <time.h>

#define GROUP 64u
#define N_WORDS 1024u
#define N_RUNS 200u
#define LARGE_BYTES (64ull << 20)

static sy_test_host host;

static void ok(sy_status status) {
    if (status != SY_OK) {
        fprintf(stderr, "status %u: %s\n", status, host.report);
        exit(1);
    }
}

static double cpu_us(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

typedef struct bench_device {
    gpu_driver *driver;
    gpu_memory *from, *to, *parameters;
    gpu_pipeline *pipeline;
} bench_device;

static gpu_recording *record(const bench_device *bench, uint32_t n) {
    gpu_recording *recording = NULL;
    gpu_dispatch *dispatches = calloc(n, sizeof(*dispatches));
    for (uint32_t i = 0; i < n; i++) {
        dispatches[i] =
            (gpu_dispatch){.pipeline = bench->pipeline,
                           .bindings = {{bench->from, 0, 4 * N_WORDS}, {bench->to, 0, 4 * N_WORDS}},
                           .n_bindings = 2,
                           .first_word = 1,
                           .waits = true};
    }
    ok(gpu_recording_create(bench->driver, dispatches, n, bench->parameters, &recording));
    free(dispatches);
    return recording;
}

static void bench_runs(const bench_device *bench, uint32_t n, bool is_idle) {
    gpu_recording *recording = record(bench, n);
    uint32_t(*groups)[3] = calloc(n, sizeof(*groups));
    double run_us = 0, process_us = 0, begin_us = 0;
    for (uint32_t i = 0; !is_idle && i < n; i++) {
        groups[i][0] = N_WORDS / GROUP;
        groups[i][1] = groups[i][2] = 1;
    }
    for (uint32_t i = 0; i < N_RUNS + 5; i++) {
        uint64_t ticket = 0;
        if (i == 5) { /* warm by now */
            run_us = 0;
            begin_us = now_us();
            process_us = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
        }
        double before_us = cpu_us(CLOCK_THREAD_CPUTIME_ID);
        ok(gpu_recording_run(recording, (const uint32_t(*)[3])groups, &ticket));
        ok(gpu_driver_wait(bench->driver, ticket, 0));
        run_us += cpu_us(CLOCK_THREAD_CPUTIME_ID) - before_us;
    }
    printf("run of %4u dispatches%s: %8.1f us of the caller's CPU, %8.1f of the process, %8.1f us "
           "until done\n",
           n, is_idle ? ", no groups" : "           ", run_us / N_RUNS,
           (cpu_us(CLOCK_PROCESS_CPUTIME_ID) - process_us) / N_RUNS,
           (now_us() - begin_us) / N_RUNS);
    gpu_recording_destroy(recording);
    free(groups);
}

static void bench_transfers(const bench_device *bench, uint64_t n_bytes, uint32_t n_times) {
    gpu_memory *memory = NULL;
    uint8_t *bytes = calloc(1, n_bytes);
    ok(gpu_memory_create(bench->driver, n_bytes, GPU_MEMORY_DEVICE, &memory));
    ok(gpu_memory_write(memory, 0, bytes, n_bytes));
    double begin_us = now_us();
    for (uint32_t i = 0; i < n_times; i++) {
        ok(gpu_memory_write(memory, 0, bytes, n_bytes));
    }
    double middle_us = now_us();
    for (uint32_t i = 0; i < n_times; i++) {
        ok(gpu_memory_read(memory, 0, bytes, n_bytes));
    }
    double write_us = (middle_us - begin_us) / n_times, read_us = (now_us() - middle_us) / n_times;
    printf("%8.1f KiB: write %8.1f us (%5.1f GB/s), read %8.1f us (%5.1f GB/s)\n",
           (double)n_bytes / 1024, write_us, (double)n_bytes * 1e-3 / write_us, read_us,
           (double)n_bytes * 1e-3 / read_us);
    gpu_memory_destroy(memory);
    free(bytes);
}

/* Inside the device: one dispatch that copies LARGE_BYTES. */
static void bench_copy(const bench_device *bench) {
    const gpu_limits *limits = gpu_driver_limits(bench->driver);
    uint64_t n_bytes = LARGE_BYTES;
    uint64_t most_bytes = (uint64_t)limits->groups_most[0] * GROUP * 4;
    n_bytes = n_bytes < limits->binding_most_bytes ? n_bytes : limits->binding_most_bytes;
    n_bytes = n_bytes < most_bytes ? n_bytes : most_bytes;
    uint32_t n_words = (uint32_t)(n_bytes / 4);
    gpu_memory *from = NULL, *to = NULL;
    gpu_recording *recording = NULL;
    ok(gpu_memory_create(bench->driver, n_bytes, GPU_MEMORY_DEVICE, &from));
    ok(gpu_memory_create(bench->driver, n_bytes, GPU_MEMORY_DEVICE, &to));
    const gpu_dispatch dispatch = {.pipeline = bench->pipeline,
                                   .bindings = {{from, 0, n_bytes}, {to, 0, n_bytes}},
                                   .n_bindings = 2,
                                   .first_word = 1};
    ok(gpu_recording_create(bench->driver, &dispatch, 1, bench->parameters, &recording));
    uint32_t *words = gpu_memory_pointer(bench->parameters);
    const uint32_t groups[1][3] = {{(n_words + GROUP - 1) / GROUP, 1, 1}};
    double best_us = 1e12;
    words[1] = n_words;
    for (uint32_t i = 0; i < 10; i++) {
        uint64_t ticket = 0;
        double begin_us = now_us();
        ok(gpu_recording_run(recording, groups, &ticket));
        ok(gpu_driver_wait(bench->driver, ticket, 0));
        double us = now_us() - begin_us;
        best_us = us < best_us ? us : best_us;
    }
    printf("inside the device: %.1f GB/s read and written\n", (double)n_bytes * 2e-3 / best_us);
    gpu_recording_destroy(recording);
    gpu_memory_destroy(from);
    gpu_memory_destroy(to);
}

int main(int argc, char **argv) {
    sy_error error;
    bench_device bench = {0};
    uint32_t n = 0, i_device = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
    must(sy_test_host_init(&host, 1, &error), &error);
    kit_host_set(&host.services);
    double begin_us = now_us();
    ok(gpu_driver_enumerate(NULL, &n));
    if (n == 0) {
        printf("no device: %s\n", host.report);
        return 77;
    }
    double listed_us = now_us();
    ok(gpu_driver_open(i_device, &(gpu_open_options){0}, &bench.driver));
    double opened_us = now_us();
    const uint32_t group = GROUP;
    ok(gpu_pipeline_create(bench.driver, GPU_KERNEL_COPY_WORDS, &group, 1, &bench.pipeline));
    printf("%s: listed in %.1f ms, opened in %.1f, a pipeline in %.1f\n",
           gpu_driver_limits(bench.driver)->id, (listed_us - begin_us) * 1e-3,
           (opened_us - listed_us) * 1e-3, (now_us() - opened_us) * 1e-3);
    ok(gpu_memory_create(bench.driver, 4 * N_WORDS, GPU_MEMORY_DEVICE, &bench.from));
    ok(gpu_memory_create(bench.driver, 4 * N_WORDS, GPU_MEMORY_DEVICE, &bench.to));
    ok(gpu_memory_create(bench.driver, 64, GPU_MEMORY_SHARED, &bench.parameters));
    uint32_t *words = gpu_memory_pointer(bench.parameters);
    memset(words, 0, 64);
    words[1] = N_WORDS;
    for (uint32_t i = 0; i < 6; i++) {
        bench_runs(&bench, i / 2 == 0 ? 1 : i / 2 == 1 ? 30 : 300, i % 2 == 0);
    }
    bench_transfers(&bench, 1024, 200);
    bench_transfers(&bench, LARGE_BYTES, 5);
    bench_copy(&bench);
    gpu_memory_destroy(bench.from);
    gpu_memory_destroy(bench.to);
    gpu_memory_destroy(bench.parameters);
    gpu_pipeline_destroy(bench.pipeline);
    gpu_driver_close(bench.driver);
    sy_test_host_deinit(&host);
    return 0;
}
