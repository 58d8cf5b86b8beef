/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One graph on one delegate, timed: what image_cpu.py calls. Graphs are those of
 * tests/reference/op_probe.c. Times are of submit until the job's signal: buffers of a program lie
 * where the delegate reads them, so copying into them does not count.
 */
#include "bench_machine.h"
#include "conform/op_runner.h"

#include <dlfcn.h>

#define EXPORT __attribute__((visibility("default")))
#define FENCE 0u

typedef struct bench {
    sy_test_host host;
    sy_op_runner runner;
    sy_op_unit unit;
    void *library;
} bench;

EXPORT bench *image_open(const char *plugin, uint32_t n_workers, const char *options,
                         sy_error *error);
EXPORT sy_status image_load(bench *b, sy_test_graph *graph, uint64_t *out_bytes, sy_error *error);
EXPORT sy_status image_run(bench *b, const sy_op_step *step, uint32_t n_runs, uint64_t *out_ns,
                           sy_error *error);
EXPORT void image_close(bench *b);

static sy_status open_table(bench *b, const char *plugin, const char *options, sy_error *error) {
    sy_plugin_entry_function entry = NULL;
    sy_status status = sy_op_entry_load(plugin, &b->library, &entry, error);
    return status != SY_OK ? status
                           : sy_op_runner_open(&b->runner, entry(SY_ABI_VERSION, &b->host.services),
                                               &b->host, 0, options, error);
}

bench *image_open(const char *plugin, uint32_t n_workers, const char *options, sy_error *error) {
    bench *b = SY__NEW(NULL, bench);
    if (b == NULL) {
        sy__no_memory(error, sizeof(*b), "a bench");
        return NULL;
    }
    if (sy_test_host_init(&b->host, n_workers, error) != SY_OK) {
        SY__DELETE(NULL, b);
        return NULL;
    }
    if (open_table(b, plugin, options, error) != SY_OK) {
        image_close(b);
        return NULL;
    }
    return b;
}

/* out_bytes: weights that the unit holds, and its scratch. */
sy_status image_load(bench *b, sy_test_graph *graph, uint64_t *out_bytes, sy_error *error) {
    sy_status status = sy_test_graph_finish(graph, error);
    if (status == SY_OK) {
        status = sy_op_load(&b->runner, graph, &b->unit, error);
    }
    if (status == SY_OK) {
        out_bytes[0] = b->unit.info.weight_bytes;
        out_bytes[1] = b->unit.info.scratch_bytes;
    }
    return status;
}

/* out_ns: one time for each run. */
sy_status image_run(bench *b, const sy_op_step *step, uint32_t n_runs, uint64_t *out_ns,
                    sy_error *error) {
    const sy_host *services = &b->host.services;
    sy_status status = sy_op_prepare(&b->unit, step, error);
    for (uint32_t i = 0; status == SY_OK && i < n_runs; i++) {
        sy_op_flight flight = {.n_signals = 1};
        flight.signals[0] = sy_test_host_next_point(&b->host, FENCE);
        uint64_t start = sy_machine_now_ns();
        status = sy_op_start(&b->unit, step, &flight, error);
        if (status == SY_OK) {
            status = services->fence_wait(services->context, flight.signals[0], 0);
        }
        out_ns[i] = sy_machine_now_ns() - start;
    }
    return status == SY_OK ? sy_op_collect(&b->unit, step, error) : status;
}

void image_close(bench *b) {
    sy_op_unload(&b->unit);
    sy_op_runner_close(&b->runner);
    sy_test_host_deinit(&b->host);
    if (b->library != NULL) {
        dlclose(b->library);
    }
    SY__DELETE(NULL, b);
}
