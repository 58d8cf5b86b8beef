/* SPDX-License-Identifier: Apache-2.0 */
/* Computes one node over constants on the reference delegate: the evaluator of constant folding. */
#include "exec/executor_internal.h"

static void free_buffers(const sy_delegate *delegate, sy_binding *outputs, uint32_t n) {
    for (uint32_t k = 0; k < n; k++) {
        if (outputs[k].buffer != NULL) {
            delegate->plugin->buffer_destroy(outputs[k].buffer);
        }
    }
}

static sy_status import_outputs(const sy_delegate *delegate, const sy_graph *graph,
                                const sy_node_view *node, void *const *out_data,
                                sy_binding *outputs) {
    sy_status status = SY_OK;
    for (uint32_t k = 0; status == SY_OK && k < node->n_outputs; k++) {
        sy_value_view view;
        status = sy_graph_value(graph, node->outputs[k], &view);
        if (status == SY_OK) {
            sy_memory memory = {.kind = SY_MEMORY_HOST,
                                .fd = -1,
                                .pointer = out_data[k],
                                .length_bytes = view.data.length_bytes};
            outputs[k].length_bytes = view.data.length_bytes;
            status = delegate->plugin->buffer_import(delegate->device, &memory, &outputs[k].buffer);
        }
    }
    return status;
}

static sy_status run(sy_runtime *runtime, const sy_delegate *delegate, sy_unit *unit,
                     const sy_unit_info *info, const sy_binding *outputs, uint32_t n_outputs,
                     sy_error *error) {
    static const int64_t symbols[SY_SYMBOL_COUNT_MAX] = {0};
    sy_point done = {.value = 1};
    sy_job job = {.header = SY_HEADER_INIT(sy_job),
                  .symbols = symbols,
                  .n_symbols = SY_SYMBOL_COUNT_MAX,
                  .n_outputs = n_outputs,
                  .outputs = outputs,
                  .n_signals = 1,
                  .signals = &done,
                  .run = 1};
    sy_status status = sy__fence_create(runtime, &done.fence, error);
    if (status != SY_OK) {
        return status;
    }
    if (info->scratch_bytes > 0) {
        status = delegate->plugin->buffer_create(delegate->device, SY_MEMORY_HOST,
                                                 info->scratch_bytes, &job.scratch.buffer);
        job.scratch.length_bytes = info->scratch_bytes;
    }
    if (status == SY_OK) {
        status = delegate->plugin->submit(unit, &job);
    }
    if (status == SY_OK) {
        status = sy__fence_wait(runtime, done, 0);
    }
    if (job.scratch.buffer != NULL) {
        delegate->plugin->buffer_destroy(job.scratch.buffer);
    }
    sy__fence_destroy(runtime, done.fence);
    return status;
}

sy_status sy_evaluate_reference(void *user, const sy_graph *graph, uint32_t i_node,
                                void *const *out_data, sy_error *error) {
    sy_runtime *runtime = user;
    const sy_delegate *delegate = sy_runtime_delegate(runtime, sy_runtime_n_delegates(runtime) - 1);
    sy_node_view node;
    sy_status status = sy_graph_node(graph, i_node, &node);
    if (status != SY_OK) {
        return sy_error_set(error, status, "Node %u does not exist.", i_node);
    }
    sy_graph_view view;
    sy_graph_view_init(graph, SY_PHASE_ANY, NULL, &view);
    sy_segment segment = {.header = SY_HEADER_INIT(sy_segment),
                          .n_nodes = 1,
                          .nodes = &i_node,
                          .n_outputs = node.n_outputs,
                          .outputs = node.outputs};
    sy_load_request request = {
        .header = SY_HEADER_INIT(sy_load_request), .view = &view, .segment = &segment};
    sy_unit_info info = {.header = SY_HEADER_INIT(sy_unit_info)};
    sy_binding outputs[SY_LIMIT_NODE_OUTPUTS] = {{0}};
    sy_unit *unit = NULL;
    sy__delegate_listen(runtime, delegate);
    status = delegate->plugin->load(delegate->device, &request, &info, &unit);
    if (status == SY_OK) {
        status = import_outputs(delegate, graph, &node, out_data, outputs);
        if (status == SY_OK) {
            status = run(runtime, delegate, unit, &info, outputs, node.n_outputs, error);
        }
        free_buffers(delegate, outputs, node.n_outputs);
        delegate->plugin->unload(unit);
    }
    return status == SY_OK
               ? SY_OK
               : sy__delegate_error(runtime, delegate, status, "fold a constant", error);
}
