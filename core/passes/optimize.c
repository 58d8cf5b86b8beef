/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the passes in order and takes out what they left dead. */
#include "passes/passes.h"

#include <string.h>

const char *sy_pass_name(sy_pass pass) {
    static const char *const names[SY_PASS_COUNT] = {"fold", "common", "fuse", "dead"};
    return (unsigned)pass < SY_PASS_COUNT ? names[pass] : "unknown";
}

void sy__replace_value(sy_graph *graph, uint32_t from, uint32_t to) {
    for (size_t i = 0; i < graph->n_nodes; i++) {
        const sy_node_view *node = &graph->nodes[i].view;
        for (uint32_t k = 0; k < node->n_inputs; k++) {
            if (node->inputs[k] == from) {
                uint32_t *inputs = NULL;
                memcpy(&inputs, &node->inputs, sizeof(inputs)); /* the arena's own copy */
                inputs[k] = to;
            }
        }
    }
}

bool sy__touches_state(const sy_graph *graph, const sy_node_view *node) {
    for (uint32_t k = 0; k < node->n_inputs; k++) {
        const sy_value_view *input = sy__input(graph, node, k);
        if (input != NULL && input->kind == SY_VALUE_STATE) {
            return true;
        }
    }
    return false;
}

static sy_status run_pass(sy_graph *graph, sy_pass pass, const sy_pass_options *options,
                          sy_error *error) {
    switch (pass) {
    case SY_PASS_FOLD:
        return sy__pass_fold(graph, options, error);
    case SY_PASS_COMMON:
        return sy__pass_common(graph, error);
    case SY_PASS_FUSE:
        return sy__pass_fuse(graph, error);
    case SY_PASS_DEAD:
        return sy__pass_dead(graph, error);
    default:
        return SY_OK;
    }
}

sy_status sy_graph_optimize(sy_graph *graph, const sy_pass_options *options, sy_error *error) {
    sy_pass_options defaults = {.struct_bytes = sizeof(defaults)};
    options = options != NULL ? options : &defaults;
    for (int p = 0; p < SY_PASS_COUNT; p++) {
        sy_pass pass = (sy_pass)p;
        if ((options->disabled & (1u << p)) != 0) {
            continue;
        }
        if (options->trace != NULL) {
            options->trace(options->trace_user, pass, 1, graph);
        }
        sy_status status = run_pass(graph, pass, options, error);
        if (status == SY_OK) {
            status = sy__graph_compact(graph, error);
        }
        if (status != SY_OK) {
            return status;
        }
        if (options->trace != NULL) {
            options->trace(options->trace_user, pass, 0, graph);
        }
    }
    return sy_graph_verify(graph, error);
}
