/* SPDX-License-Identifier: Apache-2.0 */
/* State sets: what one sequence keeps, on whichever delegates the plan put it. */
#include "base/checked.h"
#include "exec/executor_internal.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <string.h>

static const sy_delegate *owner(const sy_executor *executor, uint32_t slot) {
    uint32_t i = sy_plan_state_delegate(executor->plan, executor->state_values[slot]);
    return sy_runtime_delegate(executor->runtime, i);
}

static sy_state_set *new_set(sy_executor *executor, uint64_t max_tokens) {
    sy_state_set *set = SY__NEW(executor->allocator, sy_state_set);
    if (set == NULL) {
        return NULL;
    }
    set->executor = executor;
    set->max_tokens = max_tokens;
    set->states = sy__alloc_array(executor->allocator, executor->n_states, sizeof(sy_state *));
    if (set->states == NULL) {
        SY__DELETE(executor->allocator, set);
        return NULL;
    }
    return set;
}

#define ATTENTION_VALUE_STATE 4u /* input of operator Attention, docs/operators.md */

/* What a state is for follows from the input it feeds. */
static uint32_t role_of(const sy_executor *executor, uint32_t i_value) {
    uint32_t n_nodes = sy_graph_n_nodes(executor->graph);
    for (uint32_t i = 0; i < n_nodes; i++) {
        sy_node_view node;
        if (sy_graph_node(executor->graph, i, &node) == SY_OK &&
            node.n_inputs > ATTENTION_VALUE_STATE &&
            node.inputs[ATTENTION_VALUE_STATE] == i_value) {
            return SY_STATE_VALUE;
        }
    }
    return SY_STATE_KEY;
}

static sy_status create_state(sy_executor *executor, uint32_t slot, sy_state_set *set,
                              sy_error *error) {
    sy_value_view view;
    const sy_delegate *delegate = owner(executor, slot);
    sy_status status = sy_graph_value(executor->graph, executor->state_values[slot], &view);
    if (status != SY_OK || delegate == NULL || delegate->plugin->state_create == NULL ||
        view.rank != 2) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "State '%s' has no delegate that can keep it.",
                            status == SY_OK ? view.name : "");
    }
    sy_state_description description = {.header = SY_HEADER_INIT(sy_state_description),
                                        .type = view.type,
                                        .role = role_of(executor, executor->state_values[slot]),
                                        .width = (uint32_t)view.dims[1].bound,
                                        .max_tokens = set->max_tokens};
    sy__delegate_listen(executor->runtime, delegate);
    status = delegate->plugin->state_create(delegate->device, &description, &set->states[slot]);
    if (status != SY_OK) {
        set->states[slot] = NULL;
        return sy__delegate_error(executor->runtime, delegate, status, "reserve a state", error);
    }
    return SY_OK;
}

sy_status sy_state_set_create(sy_executor *executor, uint64_t max_tokens, sy_state_set **out_set,
                              sy_error *error) {
    if (max_tokens == 0 || max_tokens > SY_LIMIT_SESSION_TOKENS) {
        return sy_error_set(error, SY_OUT_OF_RANGE,
                            "A sequence can hold 1 to %u tokens, not %" PRIu64 ".",
                            SY_LIMIT_SESSION_TOKENS, max_tokens);
    }
    sy_state_set *set = new_set(executor, max_tokens);
    if (set == NULL) {
        return sy__no_memory(error, sizeof(*set), "the states of a sequence");
    }
    for (uint32_t slot = 0; slot < executor->n_states; slot++) {
        sy_status status = create_state(executor, slot, set, error);
        if (status != SY_OK) {
            sy_state_set_destroy(set);
            return status;
        }
    }
    *out_set = set;
    return SY_OK;
}

void sy_state_set_destroy(sy_state_set *set) {
    if (set == NULL) {
        return;
    }
    const sy_executor *executor = set->executor;
    for (uint32_t slot = 0; slot < executor->n_states; slot++) {
        if (set->states[slot] != NULL) {
            owner(executor, slot)->plugin->state_destroy(set->states[slot]);
        }
    }
    sy__free_array(executor->allocator, set->states, executor->n_states, sizeof(sy_state *));
    SY__DELETE(executor->allocator, set);
}

static sy_status check_rows(const sy_state_set *set, uint64_t n_rows, sy_error *error) {
    if (n_rows <= set->max_tokens) {
        return SY_OK;
    }
    return sy_error_set(error, SY_OUT_OF_RANGE,
                        "%" PRIu64 " rows were asked of states reserved for %" PRIu64 ".", n_rows,
                        set->max_tokens);
}

sy_status sy_state_set_clone(sy_state_set *set, uint64_t n_rows, sy_state_set **out_set,
                             sy_error *error) {
    sy_executor *executor = set->executor;
    sy_status status = check_rows(set, n_rows, error);
    if (status != SY_OK) {
        return status;
    }
    sy_state_set *copy = new_set(executor, set->max_tokens);
    if (copy == NULL) {
        return sy__no_memory(error, sizeof(*copy), "the states of a sequence");
    }
    for (uint32_t slot = 0; slot < executor->n_states; slot++) {
        const sy_delegate *delegate = owner(executor, slot);
        sy__delegate_listen(executor->runtime, delegate);
        status = delegate->plugin->state_clone(set->states[slot], n_rows, &copy->states[slot]);
        if (status != SY_OK) {
            copy->states[slot] = NULL;
            sy_state_set_destroy(copy);
            return sy__delegate_error(executor->runtime, delegate, status, "clone a state", error);
        }
    }
    *out_set = copy;
    return SY_OK;
}

sy_status sy_state_set_truncate(sy_state_set *set, uint64_t n_rows, sy_error *error) {
    sy_executor *executor = set->executor;
    sy_status status = check_rows(set, n_rows, error);
    for (uint32_t slot = 0; status == SY_OK && slot < executor->n_states; slot++) {
        const sy_delegate *delegate = owner(executor, slot);
        sy__delegate_listen(executor->runtime, delegate);
        status = delegate->plugin->state_truncate(set->states[slot], n_rows);
        if (status != SY_OK) {
            return sy__delegate_error(executor->runtime, delegate, status, "truncate a state",
                                      error);
        }
    }
    return status;
}

static uint64_t slot_bytes(const sy_executor *executor, uint32_t slot, uint64_t n_rows) {
    sy_value_view view;
    uint64_t row_bytes = 0;
    if (sy_graph_value(executor->graph, executor->state_values[slot], &view) != SY_OK ||
        sy_type_row_bytes(view.type, (uint64_t)view.dims[1].bound, &row_bytes) != SY_OK) {
        return 0;
    }
    return n_rows * row_bytes;
}

uint64_t sy_state_set_bytes(const sy_state_set *set, uint64_t n_rows) {
    uint64_t total = 0;
    for (uint32_t slot = 0; slot < set->executor->n_states; slot++) {
        total += slot_bytes(set->executor, slot, n_rows);
    }
    return total;
}

static sy_status check_bytes(const sy_state_set *set, uint64_t n_rows, uint64_t n_bytes,
                             sy_error *error) {
    sy_status status = check_rows(set, n_rows, error);
    uint64_t wanted = status == SY_OK ? sy_state_set_bytes(set, n_rows) : 0;
    if (status == SY_OK && n_bytes != wanted) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "%" PRIu64 " rows of these states take %" PRIu64 " bytes, not %" PRIu64
                            ".",
                            n_rows, wanted, n_bytes);
    }
    return status;
}

sy_status sy_state_set_save(sy_state_set *set, uint64_t n_rows, void *out_bytes, uint64_t n_bytes,
                            sy_error *error) {
    const sy_executor *executor = set->executor;
    sy_status status = check_bytes(set, n_rows, n_bytes, error);
    uint8_t *to = out_bytes;
    for (uint32_t slot = 0; status == SY_OK && slot < executor->n_states; slot++) {
        const sy_delegate *delegate = owner(executor, slot);
        uint64_t part = slot_bytes(executor, slot, n_rows);
        sy__delegate_listen(executor->runtime, delegate);
        status = delegate->plugin->state_save(set->states[slot], 0, n_rows, to, part);
        if (status != SY_OK) {
            return sy__delegate_error(executor->runtime, delegate, status, "save a state", error);
        }
        to += part;
    }
    return status;
}

sy_status sy_state_set_load(sy_state_set *set, uint64_t n_rows, const void *bytes, uint64_t n_bytes,
                            sy_error *error) {
    const sy_executor *executor = set->executor;
    sy_status status = check_bytes(set, n_rows, n_bytes, error);
    const uint8_t *from = bytes;
    for (uint32_t slot = 0; status == SY_OK && slot < executor->n_states; slot++) {
        const sy_delegate *delegate = owner(executor, slot);
        uint64_t part = slot_bytes(executor, slot, n_rows);
        sy__delegate_listen(executor->runtime, delegate);
        status = delegate->plugin->state_load(set->states[slot], 0, n_rows, from, part);
        if (status != SY_OK) {
            return sy__delegate_error(executor->runtime, delegate, status, "load a state", error);
        }
        from += part;
    }
    return status;
}
