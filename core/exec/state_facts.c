/* SPDX-License-Identifier: Apache-2.0 */
/* What every STATE value is for, read off the nodes that use it. */
#include "exec/executor_internal.h"
#include "graph/graph_internal.h"
#include "switchyard/types.h"

/* Inputs of operator Attention, docs/operators.md. */
enum { ATTENTION_KEY_STATE = 3, ATTENTION_VALUE_STATE = 4 };

const sy_delegate *sy__state_owner(const sy_executor *executor, uint32_t slot) {
    uint32_t i = sy_plan_state_delegate(executor->plan, executor->state_values[slot]);
    return sy_runtime_delegate(executor->runtime, i);
}

/* Input of operator CausalConvolution; its kernel reads as many rows as it is long. */
enum { CONVOLUTION_WEIGHT = 1, CONVOLUTION_STATE = 2 };

static bool is_convolution(const sy_node_view *node, uint32_t i_input) {
    return i_input == CONVOLUTION_STATE && sy__node_is(node, "switchyard", "CausalConvolution");
}

/* One reader of a state: how far back it looks, 0 for all the way. */
static uint32_t window_read(const sy_graph *graph, const sy_node_view *node, uint32_t i_input) {
    if (is_convolution(node, i_input)) {
        return (uint32_t)sy__input(graph, node, CONVOLUTION_WEIGHT)->dims[1].bound;
    }
    bool is_state = i_input == ATTENTION_KEY_STATE || i_input == ATTENTION_VALUE_STATE;
    if (!is_state || !sy__node_is(node, "switchyard", "Attention")) {
        return 0;
    }
    int64_t window = sy__attribute_int(node, "window", 0);
    return window > 0 && window < UINT32_MAX ? (uint32_t)window : 0;
}

/* The widest window of all readers. */
static void describe(const sy_executor *executor, uint32_t i_value, sy_state_description *out) {
    uint32_t n_nodes = sy_graph_n_nodes(executor->graph), n_readers = 0;
    for (uint32_t i = 0; i < n_nodes; i++) {
        sy_node_view node;
        if (sy_graph_node(executor->graph, i, &node) != SY_OK) {
            continue;
        }
        for (uint32_t k = 0; k < node.n_inputs; k++) {
            if (node.inputs[k] != i_value) {
                continue;
            }
            uint32_t window = window_read(executor->graph, &node, k);
            bool is_wider = window == 0 || (out->window != 0 && window > out->window);
            out->role = is_convolution(&node, k)     ? SY_STATE_RECURRENT
                        : k == ATTENTION_VALUE_STATE ? SY_STATE_VALUE
                                                     : out->role;
            out->window = n_readers++ == 0 || is_wider ? window : out->window;
        }
    }
    out->window = executor->options.windows != 0 ? out->window : 0;
}

sy_status sy__describe_states(sy_executor *executor, sy_error *error) {
    int64_t step_tokens = sy_graph_bound(executor->graph, SY_SYMBOL_TOKENS);
    size_t n = (size_t)executor->n_states + 1;
    executor->state_descriptions =
        sy__arena_alloc(&executor->arena, n, sizeof(sy_state_description));
    executor->state_requests = sy__arena_alloc(&executor->arena, n, sizeof(sy_state_request));
    if (executor->state_descriptions == NULL || executor->state_requests == NULL) {
        return sy__no_memory(error, executor->n_states * sizeof(sy_state_description),
                             "descriptions of states");
    }
    for (uint32_t slot = 0; slot < executor->n_states; slot++) {
        sy_value_view view;
        sy_status status = sy_graph_value(executor->graph, executor->state_values[slot], &view);
        if (status != SY_OK || view.rank != 2) {
            return sy_error_set(error, SY_INVALID_ARGUMENT, "State '%s' is not [rows, width].",
                                status == SY_OK ? view.name : "");
        }
        sy_state_description d = {.header = SY_HEADER_INIT(sy_state_description),
                                  .type = view.type,
                                  .role = SY_STATE_KEY,
                                  .width = (uint32_t)view.dims[1].bound};
        if (step_tokens > 0 && step_tokens < UINT32_MAX) {
            d.step_tokens = (uint32_t)step_tokens;
        }
        describe(executor, executor->state_values[slot], &d);
        executor->state_descriptions[slot] = d;
    }
    return SY_OK;
}

uint64_t sy__state_first_row(const sy_executor *executor, uint32_t slot, uint64_t n_rows) {
    uint64_t window = executor->state_descriptions[slot].window;
    return window > 0 && n_rows > window ? n_rows - window : 0;
}

uint64_t sy__state_row_bytes(const sy_executor *executor, uint32_t slot) {
    const sy_state_description *d = &executor->state_descriptions[slot];
    uint64_t n_bytes = 0;
    return sy_type_row_bytes(d->type, d->width, &n_bytes) == SY_OK ? n_bytes : 0;
}
