/* SPDX-License-Identifier: Apache-2.0 */
#include "conform/op_runner.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define JOB_FENCE 0u
#define BUFFER_SLACK_BYTES 64u /* so that empty values have a buffer too, and for guards */
#define GUARD 0xa5

/* Fills the error with what was tried and the plugin's own words. */
static sy_status failed(const sy_op_runner *runner, sy_status status, const char *what,
                        sy_error *error) {
    const sy_test_host *host = runner->host;
    const char *report = host->report[0] != '\0' ? host->report : "no report";
    sy_error_set(error, status, "%s: %s", what, report);
    if (error != NULL) {
        error->i_node = host->report_node;
    }
    return status;
}

sy_status sy_op_entry_load(const char *path, void **out_library,
                           sy_plugin_entry_function *out_entry, sy_error *error) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library != NULL ? dlsym(library, "sy_plugin_entry") : NULL;
    if (symbol == NULL) {
        const char *why = dlerror();
        sy_error_set(error, SY_NOT_FOUND, "The plugin cannot be loaded: %.300s.",
                     why != NULL ? why : "it has no sy_plugin_entry");
        if (library != NULL) {
            dlclose(library);
        }
        return SY_NOT_FOUND;
    }
    memcpy(out_entry, &symbol, sizeof(*out_entry));
    *out_library = library;
    return SY_OK;
}

sy_status sy_op_runner_open(sy_op_runner *runner, const sy_plugin *plugin, sy_test_host *host,
                            uint32_t i_device, const char *options, sy_error *error) {
    *runner = (sy_op_runner){.plugin = plugin, .host = host};
    if (plugin == NULL) {
        return failed(runner, SY_FAILED_PRECONDITION, "the entry function gave no table", error);
    }
    uint32_t n_devices = 0;
    sy_context *context = host->services.context;
    sy_status status = plugin->enumerate(context, NULL, 0, &n_devices);
    if (status != SY_OK || i_device >= n_devices) {
        return failed(runner, status != SY_OK ? status : SY_NOT_FOUND, "enumerate", error);
    }
    sy_device_info *infos = sy__alloc_array(NULL, n_devices, sizeof(infos[0]));
    if (infos == NULL) {
        return sy__no_memory(error, n_devices * sizeof(infos[0]), "device infos");
    }
    for (uint32_t i = 0; i < n_devices; i++) {
        infos[i].header = (sy_header)SY_HEADER_INIT(sy_device_info);
    }
    uint32_t n_written = n_devices;
    status = plugin->enumerate(context, infos, sizeof(infos[0]), &n_written);
    runner->info = infos[i_device];
    sy__free_array(NULL, infos, n_devices, sizeof(infos[0]));
    if (status != SY_OK) {
        return failed(runner, status, "enumerate", error);
    }
    status = plugin->open(context, i_device, options, &runner->device);
    return status == SY_OK ? SY_OK : failed(runner, status, "open", error);
}

sy_status sy_op_runner_close(sy_op_runner *runner) {
    sy_status status = SY_OK;
    if (runner->device != NULL) {
        status = runner->plugin->close(runner->device);
        runner->device = NULL;
    }
    return status;
}

sy_status sy_op_judge(sy_op_runner *runner, const sy_test_graph *graph, sy_verdict *out_verdicts,
                      sy_error *error) {
    for (uint32_t i = 0; i < graph->view.n_nodes; i++) {
        memset(&out_verdicts[i], 0, sizeof(out_verdicts[i]));
        out_verdicts[i].header = (sy_header)SY_HEADER_INIT(sy_verdict);
    }
    sy_test_host_clear_report(runner->host);
    sy_status status =
        runner->plugin->judge(runner->device, &graph->view, out_verdicts, sizeof(out_verdicts[0]));
    return status == SY_OK ? SY_OK : failed(runner, status, "judge", error);
}

/* The memory kind the runner makes buffers of. */
static sy_memory_kind buffer_kind(const sy_op_runner *runner) {
    for (sy_memory_kind kind = 0; kind < SY_MEMORY_KIND_COUNT; kind++) {
        if ((runner->info.memory_own & SY_MEMORY_BIT(kind)) != 0) {
            return kind;
        }
    }
    return SY_MEMORY_HOST;
}

static sy_status make_buffer(sy_op_unit *unit, uint32_t i_buffer, uint64_t n_bytes) {
    const sy_plugin *plugin = unit->runner->plugin;
    sy_device *device = unit->runner->device;
    unit->capacity_bytes[i_buffer] = n_bytes;
    if (plugin->buffer_map != NULL || plugin->buffer_export != NULL ||
        plugin->buffer_import == NULL) {
        return plugin->buffer_create(device, buffer_kind(unit->runner),
                                     n_bytes + BUFFER_SLACK_BYTES, &unit->buffers[i_buffer]);
    }
    sy_memory memory = {.kind = SY_MEMORY_HOST, .fd = -1};
    memory.length_bytes = n_bytes + BUFFER_SLACK_BYTES;
    memory.pointer = sy__alloc_array(NULL, (size_t)memory.length_bytes, 1);
    unit->imported[i_buffer] = memory.pointer;
    return memory.pointer != NULL ? plugin->buffer_import(device, &memory, &unit->buffers[i_buffer])
                                  : (sy_status)SY_RESOURCE_EXHAUSTED;
}

static sy_status make_buffers(sy_op_unit *unit) {
    const sy_segment *segment = &unit->graph->segment;
    uint32_t n = 0;
    for (uint32_t i = 0; i < segment->n_inputs + segment->n_outputs; i++) {
        uint32_t i_value =
            i < segment->n_inputs ? segment->inputs[i] : segment->outputs[i - segment->n_inputs];
        uint64_t n_bytes = 0;
        if (!sy_test_value_bytes(&unit->graph->values[i_value], NULL, 0, &n_bytes)) {
            return SY_INVALID_ARGUMENT;
        }
        sy_status status = make_buffer(unit, n++, n_bytes);
        if (status != SY_OK) {
            return status;
        }
    }
    return make_buffer(unit, n, unit->info.scratch_bytes);
}

sy_status sy_op_compile(sy_op_runner *runner, const sy_test_graph *graph, sy_blob *inout_blob) {
    sy_test_host *host = runner->host;
    if (runner->plugin->compile == NULL) {
        return SY_UNIMPLEMENTED;
    }
    host->blob_bytes = 0;
    sy_test_host_clear_report(host);
    sy_status status =
        runner->plugin->compile(runner->device, &graph->view, &graph->segment, inout_blob);
    if (status == SY_OK) {
        inout_blob->bytes = (sy_memory){.kind = SY_MEMORY_HOST, .fd = -1, .pointer = host->blob};
        inout_blob->bytes.length_bytes = host->blob_bytes;
    }
    return status;
}

static sy_status load_unit(sy_op_unit *unit, const sy_blob *blob) {
    const sy_plugin *plugin = unit->runner->plugin;
    const sy_test_graph *graph = unit->graph;
    sy_load_request request = {.header = SY_HEADER_INIT(sy_load_request)};
    request.view = &graph->view;
    request.segment = &graph->segment;
    request.blob = blob;
    unit->info.header = (sy_header)SY_HEADER_INIT(sy_unit_info);
    return plugin->load(unit->runner->device, &request, &unit->info, &unit->unit);
}

sy_status sy_op_load(sy_op_runner *runner, const sy_test_graph *graph, sy_op_unit *out_unit,
                     sy_error *error) {
    sy_blob blob = {.header = SY_HEADER_INIT(sy_blob)};
    sy_status status = sy_op_compile(runner, graph, &blob);
    if (status != SY_OK && SY_STATUS_CLASS(status) != SY_UNIMPLEMENTED) {
        return failed(runner, status, "compile", error);
    }
    return sy_op_load_blob(runner, graph, status == SY_OK ? &blob : NULL, out_unit, error);
}

sy_status sy_op_load_blob(sy_op_runner *runner, const sy_test_graph *graph, const sy_blob *blob,
                          sy_op_unit *out_unit, sy_error *error) {
    sy_op_unit unit = {.runner = runner, .graph = graph};
    unit.n_buffers = graph->segment.n_inputs + graph->segment.n_outputs + 1;
    sy_test_host_clear_report(runner->host);
    sy_status status = load_unit(&unit, blob);
    if (status != SY_OK) {
        return failed(runner, status, "load", error);
    }
    unit.buffers = sy__alloc_array(NULL, unit.n_buffers, sizeof(unit.buffers[0]));
    unit.bindings = sy__alloc_array(NULL, unit.n_buffers, sizeof(unit.bindings[0]));
    unit.capacity_bytes = sy__alloc_array(NULL, unit.n_buffers, sizeof(unit.capacity_bytes[0]));
    unit.imported = sy__alloc_array(NULL, unit.n_buffers, sizeof(unit.imported[0]));
    status = SY_RESOURCE_EXHAUSTED;
    if (unit.buffers != NULL && unit.bindings != NULL && unit.capacity_bytes != NULL &&
        unit.imported != NULL) {
        status = make_buffers(&unit);
    }
    if (status != SY_OK) {
        failed(runner, status, "buffers", error);
        sy_op_unload(&unit);
        return status;
    }
    *out_unit = unit;
    return SY_OK;
}

void sy_op_unload(sy_op_unit *unit) {
    if (unit->runner == NULL) {
        return;
    }
    const sy_plugin *plugin = unit->runner->plugin;
    for (uint32_t i = 0; unit->buffers != NULL && i < unit->n_buffers; i++) {
        if (unit->buffers[i] != NULL) {
            plugin->buffer_destroy(unit->buffers[i]);
        }
    }
    if (unit->unit != NULL) {
        plugin->unload(unit->unit);
    }
    for (uint32_t i = 0; unit->imported != NULL && i < unit->n_buffers; i++) {
        sy__free_array(NULL, unit->imported[i],
                       (size_t)unit->capacity_bytes[i] + BUFFER_SLACK_BYTES, 1);
    }
    sy__free_array(NULL, unit->imported, unit->n_buffers, sizeof(unit->imported[0]));
    sy__free_array(NULL, unit->buffers, unit->n_buffers, sizeof(unit->buffers[0]));
    sy__free_array(NULL, unit->bindings, unit->n_buffers, sizeof(unit->bindings[0]));
    sy__free_array(NULL, unit->capacity_bytes, unit->n_buffers, sizeof(unit->capacity_bytes[0]));
    memset(unit, 0, sizeof(*unit));
}

/* Makes [0, n_bytes) of a buffer reachable; unreach ends it. */
static sy_status reach(const sy_op_unit *unit, uint32_t i_buffer, uint64_t n_bytes, uint32_t access,
                       void **out_pointer) {
    const sy_plugin *plugin = unit->runner->plugin;
    sy_memory memory;
    if (unit->imported[i_buffer] != NULL) {
        *out_pointer = unit->imported[i_buffer];
        return SY_OK;
    }
    if (plugin->buffer_map != NULL) {
        return plugin->buffer_map(unit->buffers[i_buffer], 0, n_bytes, access, out_pointer);
    }
    if (plugin->buffer_export == NULL) {
        return SY_UNIMPLEMENTED;
    }
    sy_status status = plugin->buffer_export(unit->buffers[i_buffer], SY_MEMORY_HOST, &memory);
    if (status == SY_OK) {
        *out_pointer = (char *)memory.pointer + memory.offset_bytes;
    }
    return status;
}

static sy_status unreach(const sy_op_unit *unit, uint32_t i_buffer) {
    const sy_plugin *plugin = unit->runner->plugin;
    return unit->imported[i_buffer] == NULL && plugin->buffer_map != NULL
               ? plugin->buffer_unmap(unit->buffers[i_buffer])
               : (sy_status)SY_OK;
}

/* Copies between the caller and a buffer. */
static sy_status move_bytes(const sy_op_unit *unit, uint32_t i_buffer, const void *in, void *out) {
    uint64_t n_bytes = unit->bindings[i_buffer].length_bytes;
    void *mapped = NULL;
    if (n_bytes == 0) {
        return SY_OK;
    }
    sy_status status =
        reach(unit, i_buffer, n_bytes, in != NULL ? SY_ACCESS_WRITE : SY_ACCESS_READ, &mapped);
    if (status != SY_OK) {
        return status;
    }
    if (in != NULL) {
        memcpy(mapped, in, (size_t)n_bytes);
    } else if (out != NULL) {
        memcpy(out, mapped, (size_t)n_bytes);
    }
    return unreach(unit, i_buffer);
}

/* Bytes of a buffer that a job may not change: of an input all, else those past its binding. */
static sy_status guard_fill(const sy_op_unit *unit, uint32_t i_buffer) {
    void *bytes = NULL;
    uint64_t n_bytes = unit->capacity_bytes[i_buffer] + BUFFER_SLACK_BYTES;
    sy_status status = reach(unit, i_buffer, n_bytes, SY_ACCESS_WRITE, &bytes);
    if (status == SY_OK) {
        memset(bytes, GUARD, (size_t)n_bytes);
        status = unreach(unit, i_buffer);
    }
    return status;
}

static sy_status guard_check(const sy_op_unit *unit, uint32_t i_buffer, const void *input) {
    void *mapped = NULL;
    uint64_t n_bytes = unit->capacity_bytes[i_buffer] + BUFFER_SLACK_BYTES;
    uint64_t n_bound = unit->bindings[i_buffer].length_bytes;
    sy_status status = reach(unit, i_buffer, n_bytes, SY_ACCESS_READ, &mapped);
    if (status != SY_OK) {
        return status;
    }
    const uint8_t *bytes = mapped;
    bool is_whole = input == NULL || memcmp(bytes, input, (size_t)n_bound) == 0;
    for (uint64_t i = n_bound; i < n_bytes && is_whole; i++) {
        is_whole = bytes[i] == GUARD;
    }
    status = unreach(unit, i_buffer);
    return is_whole ? status : (sy_status)SY_INTERNAL;
}

static sy_status guard_check_all(const sy_op_unit *unit, const sy_op_step *step, sy_error *error) {
    uint32_t n_inputs = unit->graph->segment.n_inputs;
    for (uint32_t i = 0; i < unit->n_buffers; i++) {
        const void *input = i < n_inputs ? step->inputs[i] : NULL;
        if (guard_check(unit, i, input) != SY_OK) {
            bool is_scratch = i + 1 == unit->n_buffers;
            return sy_error_set(error, SY_INTERNAL, "the job wrote %s %u",
                                i < n_inputs ? "to its input"
                                : is_scratch ? "past the end of its scratch,"
                                             : "past the end of its output",
                                i < n_inputs ? i : i - n_inputs);
        }
    }
    return SY_OK;
}

/* Binds every buffer at the sizes of the step. */
static sy_status bind(sy_op_unit *unit, const sy_op_step *step) {
    const sy_segment *segment = &unit->graph->segment;
    for (uint32_t i = 0; i + 1 < unit->n_buffers; i++) {
        uint32_t i_value =
            i < segment->n_inputs ? segment->inputs[i] : segment->outputs[i - segment->n_inputs];
        uint64_t n_bytes = 0;
        if (!sy_test_value_bytes(&unit->graph->values[i_value], step->symbols, step->n_symbols,
                                 &n_bytes)) {
            return SY_INVALID_ARGUMENT;
        }
        if (n_bytes > unit->capacity_bytes[i]) {
            return SY_OUT_OF_RANGE;
        }
        unit->bindings[i] = (sy_binding){unit->buffers[i], 0, n_bytes};
    }
    uint32_t i_scratch = unit->n_buffers - 1;
    unit->bindings[i_scratch] = (sy_binding){unit->buffers[i_scratch], 0, unit->info.scratch_bytes};
    return SY_OK;
}

sy_status sy_op_start(sy_op_unit *unit, const sy_op_step *step, const sy_op_flight *flight,
                      sy_error *error) {
    const sy_segment *segment = &unit->graph->segment;
    struct {
        sy_job job;
        uint8_t beyond[64];
    } sent = {.job.header = SY_HEADER_INIT(sy_job)};
    sy_job *job = &sent.job;
    memset(sent.beyond, GUARD, sizeof(sent.beyond));
    job->header.size += flight->extra_bytes;
    job->header.extensions = flight->extensions;
    job->symbols = step->symbols != NULL ? step->symbols : unit->graph->typical;
    job->n_symbols = step->symbols != NULL ? step->n_symbols : SY_SYMBOL_COUNT_MAX;
    job->n_inputs = segment->n_inputs;
    job->n_outputs = segment->n_outputs;
    job->inputs = unit->bindings;
    job->outputs = unit->bindings + segment->n_inputs;
    job->n_sequences = step->n_sequences;
    job->sequences = step->sequences;
    job->n_states = segment->n_states;
    job->states = step->states;
    job->adapters = step->adapters;
    job->n_adapters = step->n_adapters;
    job->scratch = unit->bindings[unit->n_buffers - 1];
    job->n_waits = flight->n_waits;
    job->waits = flight->waits;
    job->n_signals = flight->n_signals != 0 ? flight->n_signals : 1;
    job->signals = flight->signals;
    job->run = step->run;
    job->deadline_ns = step->deadline_ns;
    sy_status status = unit->runner->plugin->submit(unit->unit, job);
    return status == SY_OK ? SY_OK : failed(unit->runner, status, "submit", error);
}

sy_status sy_op_prepare(sy_op_unit *unit, const sy_op_step *step, sy_error *error) {
    const sy_segment *segment = &unit->graph->segment;
    const char *what = "bindings";
    sy_test_host_clear_report(unit->runner->host);
    sy_status status = bind(unit, step);
    for (uint32_t i = 0; unit->is_guarded && i < unit->n_buffers && status == SY_OK; i++) {
        status = guard_fill(unit, i);
        what = "fill";
    }
    for (uint32_t i = 0; i < segment->n_inputs && status == SY_OK; i++) {
        status = move_bytes(unit, i, step->inputs[i], NULL);
        what = "copy in";
    }
    return status == SY_OK ? SY_OK : failed(unit->runner, status, what, error);
}

sy_status sy_op_collect(sy_op_unit *unit, const sy_op_step *step, sy_error *error) {
    const sy_segment *segment = &unit->graph->segment;
    sy_status status = SY_OK;
    for (uint32_t i = 0; i < segment->n_outputs && status == SY_OK; i++) {
        status = move_bytes(unit, segment->n_inputs + i, NULL, step->outputs[i]);
    }
    if (status != SY_OK) {
        return failed(unit->runner, status, "copy out", error);
    }
    return unit->is_guarded ? guard_check_all(unit, step, error) : (sy_status)SY_OK;
}

sy_status sy_op_submit(sy_op_unit *unit, const sy_op_step *step, sy_error *error) {
    sy_test_host *host = unit->runner->host;
    sy_op_flight flight = {.n_signals = 1};
    flight.signals[0] = sy_test_host_next_point(host, JOB_FENCE);
    sy_status status = sy_op_prepare(unit, step, error);
    if (status == SY_OK) {
        status = sy_op_start(unit, step, &flight, error);
    }
    if (status != SY_OK) {
        return status;
    }
    status = host->services.fence_wait(host->services.context, flight.signals[0], 0);
    return status == SY_OK ? sy_op_collect(unit, step, error)
                           : failed(unit->runner, status, "job", error);
}

/* UNIMPLEMENTED with the plugin's reason when it says no to any node. */
static sy_status require_support(sy_op_runner *runner, const sy_test_graph *graph,
                                 sy_error *error) {
    uint32_t n_nodes = graph->view.n_nodes;
    sy_verdict *verdicts = sy__alloc_array(NULL, n_nodes, sizeof(verdicts[0]));
    if (verdicts == NULL) {
        return sy__no_memory(error, n_nodes * sizeof(verdicts[0]), "verdicts");
    }
    sy_status status = sy_op_judge(runner, graph, verdicts, error);
    for (uint32_t i = 0; i < n_nodes && status == SY_OK; i++) {
        if (verdicts[i].support == SY_SUPPORT_NO) {
            status = sy_error_set(error, SY_UNIMPLEMENTED, "judge refused %s (reason %u): %s",
                                  graph->nodes[i].op, verdicts[i].reason, verdicts[i].why);
        }
    }
    sy__free_array(NULL, verdicts, n_nodes, sizeof(verdicts[0]));
    return status;
}

sy_status sy_op_run(sy_op_runner *runner, const sy_test_graph *graph, const sy_op_step *step,
                    sy_error *error) {
    sy_op_unit unit = {0};
    sy_status status = require_support(runner, graph, error);
    if (status == SY_OK) {
        status = sy_op_load(runner, graph, &unit, error);
    }
    if (status == SY_OK) {
        status = sy_op_submit(&unit, step, error);
    }
    sy_op_unload(&unit);
    return status;
}
