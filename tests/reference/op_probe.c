/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The op runner as flat functions, for tests/python/op_probe.py. Runs on the reference delegate or
 * on a plugin file. Statuses are returned as they are; texts go to `message`.
 */
#include "base/memory.h"
#include "reference/blocks.h"
#include "reference/reference.h"
#include "tools/op_runner.h"

#include <dlfcn.h>
#include <stdio.h>

#define EXPORT __attribute__((visibility("default")))

typedef struct probe {
    sy_test_host host;
    sy_op_runner runner;
    void *library;
} probe;

EXPORT probe *probe_open(const char *plugin_path, const char *options, uint32_t n_workers,
                         char *message, size_t n);
EXPORT uint32_t probe_close(probe *p);
EXPORT sy_test_graph *probe_graph_create(void);
EXPORT void probe_graph_destroy(sy_test_graph *graph);
EXPORT uint32_t probe_value(sy_test_graph *graph, const char *name, uint32_t kind, uint32_t type,
                            uint32_t rank, const int64_t *dims, const uint32_t *symbols);
EXPORT uint32_t probe_weight(sy_test_graph *graph, const char *name, uint32_t type, uint32_t rank,
                             const int64_t *dims, const void *bytes, uint64_t n_bytes);
EXPORT uint32_t probe_node(sy_test_graph *graph, const sy_test_op *op, uint32_t n_inputs,
                           const uint32_t *inputs, uint32_t n_outputs, const uint32_t *outputs);
EXPORT void probe_int(sy_test_graph *graph, uint32_t i_node, const char *name, int64_t value);
EXPORT void probe_float(sy_test_graph *graph, uint32_t i_node, const char *name, double value);
EXPORT void probe_string(sy_test_graph *graph, uint32_t i_node, const char *name,
                         const char *value);
EXPORT void probe_ints(sy_test_graph *graph, uint32_t i_node, const char *name,
                       const int64_t *values, uint32_t n);
EXPORT uint32_t probe_run(probe *p, sy_test_graph *graph, const sy_op_step *step, char *message,
                          size_t n);
EXPORT uint32_t probe_state_create(probe *p, uint32_t type, uint32_t role, uint32_t width,
                                   uint64_t max_tokens, sy_state **out_state);
EXPORT uint32_t probe_state_save(probe *p, sy_state *state, uint64_t first, uint64_t count,
                                 void *rows, uint64_t n_bytes);
EXPORT uint32_t probe_state_load(probe *p, sy_state *state, uint64_t first, uint64_t count,
                                 const void *rows, uint64_t n_bytes);
EXPORT uint32_t probe_state_destroy(probe *p, sy_state *state);
EXPORT uint32_t probe_decode(uint32_t type, const void *row, size_t n_elements, float *out_values);
EXPORT uint32_t probe_encode(uint32_t type, const float *values, size_t n_elements, void *out_row);

static sy_status open_table(probe *p, const char *plugin_path, const char *options,
                            sy_error *error) {
    sy_plugin_entry_function entry = sy__reference_entry;
    sy_status status =
        plugin_path != NULL ? sy_op_entry_load(plugin_path, &p->library, &entry, error) : SY_OK;
    return status != SY_OK ? status
                           : sy_op_runner_open(&p->runner, entry(SY_ABI_VERSION, &p->host.services),
                                               &p->host, 0, options, error);
}

static void probe_free(probe *p) {
    sy_test_host_deinit(&p->host);
    if (p->library != NULL) {
        dlclose(p->library);
    }
    SY__DELETE(NULL, p);
}

probe *probe_open(const char *plugin_path, const char *options, uint32_t n_workers, char *message,
                  size_t n) {
    sy_error error = {0};
    probe *p = SY__NEW(NULL, probe);
    if (p == NULL) {
        snprintf(message, n, "no memory");
        return NULL;
    }
    if (sy_test_host_init(&p->host, n_workers, &error) != SY_OK) {
        snprintf(message, n, "%s", error.message);
        SY__DELETE(NULL, p);
        return NULL;
    }
    if (open_table(p, plugin_path, options, &error) != SY_OK) {
        snprintf(message, n, "%s", error.message);
        probe_free(p);
        return NULL;
    }
    return p;
}

/* How many rules the plugin broke, a leak counted as one. */
uint32_t probe_close(probe *p) {
    sy_status status = sy_op_runner_close(&p->runner);
    uint32_t n_wrong = p->host.n_misuses + (p->host.n_live != 0) + (status != SY_OK);
    if (n_wrong > 0) {
        fprintf(stderr, "close %u, %zu allocations live, %s\n", status, p->host.n_live,
                p->host.misuse);
    }
    probe_free(p);
    return n_wrong;
}

sy_test_graph *probe_graph_create(void) {
    sy_test_graph *graph = SY__NEW(NULL, sy_test_graph);
    if (graph != NULL) {
        sy_test_graph_init(graph);
    }
    return graph;
}

void probe_graph_destroy(sy_test_graph *graph) {
    sy_test_graph_deinit(graph);
    SY__DELETE(NULL, graph);
}

uint32_t probe_value(sy_test_graph *graph, const char *name, uint32_t kind, uint32_t type,
                     uint32_t rank, const int64_t *dims, const uint32_t *symbols) {
    sy_dimension all[SY_MAX_RANK];
    for (uint32_t i = 0; i < rank && i < SY_MAX_RANK; i++) {
        all[i] = symbols != NULL && symbols[i] != 0 ? sy_test_symbol(symbols[i], dims[i])
                                                    : sy_test_fixed(dims[i]);
    }
    return sy_test_graph_value(graph, name, kind, type, rank, all);
}

uint32_t probe_weight(sy_test_graph *graph, const char *name, uint32_t type, uint32_t rank,
                      const int64_t *dims, const void *bytes, uint64_t n_bytes) {
    return sy_test_graph_weight(graph, name, type, rank, dims, bytes, n_bytes);
}

uint32_t probe_node(sy_test_graph *graph, const sy_test_op *op, uint32_t n_inputs,
                    const uint32_t *inputs, uint32_t n_outputs, const uint32_t *outputs) {
    return sy_test_graph_add_node(graph, *op, n_inputs, inputs, n_outputs, outputs);
}

void probe_int(sy_test_graph *graph, uint32_t i_node, const char *name, int64_t value) {
    sy_test_graph_int(graph, i_node, name, value);
}

void probe_float(sy_test_graph *graph, uint32_t i_node, const char *name, double value) {
    sy_test_graph_float(graph, i_node, name, value);
}

void probe_string(sy_test_graph *graph, uint32_t i_node, const char *name, const char *value) {
    sy_test_graph_string(graph, i_node, name, value);
}

void probe_ints(sy_test_graph *graph, uint32_t i_node, const char *name, const int64_t *values,
                uint32_t n) {
    sy_test_graph_ints(graph, i_node, name, values, n);
}

uint32_t probe_run(probe *p, sy_test_graph *graph, const sy_op_step *step, char *message,
                   size_t n) {
    sy_error error = {0};
    sy_status status = sy_test_graph_finish(graph, &error);
    if (status == SY_OK) {
        status = sy_op_run(&p->runner, graph, step, &error);
    }
    snprintf(message, n, "%s", status != SY_OK ? error.message : "");
    return status;
}

uint32_t probe_state_create(probe *p, uint32_t type, uint32_t role, uint32_t width,
                            uint64_t max_tokens, sy_state **out_state) {
    sy_state_description description = {.header = SY_HEADER_INIT(sy_state_description)};
    description.type = type;
    description.role = role;
    description.width = width;
    description.max_tokens = max_tokens;
    return p->runner.plugin->state_create(p->runner.device, &description, out_state);
}

uint32_t probe_state_save(probe *p, sy_state *state, uint64_t first, uint64_t count, void *rows,
                          uint64_t n_bytes) {
    return p->runner.plugin->state_save(state, first, count, rows, n_bytes);
}

uint32_t probe_state_load(probe *p, sy_state *state, uint64_t first, uint64_t count,
                          const void *rows, uint64_t n_bytes) {
    return p->runner.plugin->state_load(state, first, count, rows, n_bytes);
}

uint32_t probe_state_destroy(probe *p, sy_state *state) {
    return p->runner.plugin->state_destroy(state);
}

uint32_t probe_decode(uint32_t type, const void *row, size_t n_elements, float *out_values) {
    return sy__row_decode(type, row, n_elements, out_values);
}

uint32_t probe_encode(uint32_t type, const float *values, size_t n_elements, void *out_row) {
    return sy__row_encode(type, values, n_elements, out_row);
}
