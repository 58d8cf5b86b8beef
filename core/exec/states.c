/* SPDX-License-Identifier: Apache-2.0 */
/* State sets: what one sequence keeps, on whichever delegates the plan put it. */
#include "base/checked.h"
#include "exec/executor_internal.h"

#include <inttypes.h>

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

static sy_status create_state(sy_executor *executor, uint32_t slot, sy_state_set *set,
                              sy_error *error) {
    const sy_delegate *delegate = sy__state_owner(executor, slot);
    if (delegate == NULL || delegate->plugin->state_create == NULL) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "State %" PRIu32 " has no delegate that can keep it.", slot);
    }
    sy_state_description description = executor->state_descriptions[slot];
    description.max_tokens = set->max_tokens;
    sy__delegate_listen(executor->runtime, delegate);
    sy_status status =
        delegate->plugin->state_create(delegate->device, &description, &set->states[slot]);
    if (status != SY_OK) {
        set->states[slot] = NULL;
        return sy__failure(executor, delegate, status, false, "reserve a state", error);
    }
    return SY_OK;
}

sy_status sy__state_check_tokens(uint64_t max_tokens, sy_error *error) {
    if (max_tokens > 0 && max_tokens <= SY_LIMIT_SESSION_TOKENS) {
        return SY_OK;
    }
    return sy_error_set(error, SY_OUT_OF_RANGE,
                        "A sequence can hold 1 to %u tokens, not %" PRIu64 ".",
                        SY_LIMIT_SESSION_TOKENS, max_tokens);
}

sy_status sy_state_set_create(sy_executor *executor, uint64_t max_tokens, sy_state_set **out_set,
                              sy_error *error) {
    const sy__state_call call = {.call = SY_STATE_CALL_CREATE, .max_tokens = max_tokens};
    sy_status status = sy__state_check_tokens(max_tokens, error);
    status = status == SY_OK ? sy__states_reserve(executor, &call, 0, error) : status;
    if (status != SY_OK) {
        return status;
    }
    sy_state_set *set = new_set(executor, max_tokens);
    if (set == NULL) {
        return sy__no_memory(error, sizeof(*set), "the states of a sequence");
    }
    for (uint32_t slot = 0; slot < executor->n_states; slot++) {
        status = create_state(executor, slot, set, error);
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
    sy_executor *executor = set->executor;
    sy__adapters_release(set);
    sy__state_copy_drop(set);
    for (uint32_t slot = 0; slot < executor->n_states; slot++) {
        if (set->states[slot] != NULL) {
            sy__handles_release(
                executor, sy_plan_state_delegate(executor->plan, executor->state_values[slot]),
                set->states[slot], NULL);
        }
    }
    sy__free_array(executor->allocator, set->states, executor->n_states, sizeof(sy_state *));
    SY__DELETE(executor->allocator, set);
}

sy_status sy__state_check_rows(const sy_state_set *set, uint64_t n_rows, sy_error *error) {
    if (n_rows <= set->max_tokens) {
        return SY_OK;
    }
    return sy_error_set(error, SY_OUT_OF_RANGE,
                        "%" PRIu64 " rows were asked of states reserved for %" PRIu64 ".", n_rows,
                        set->max_tokens);
}

#define COPY_ROWS 256u /* at a time, through host memory */

/* Rows of a state into another of the same delegate, for delegates that cannot fork. */
static sy_status copy_rows(sy_executor *executor, uint32_t slot, const sy_state_set *from,
                           const sy_state_set *to, uint64_t n_rows) {
    const sy_plugin *plugin = sy__state_owner(executor, slot)->plugin;
    uint64_t row_bytes = sy__state_row_bytes(executor, slot);
    size_t n_bytes = (size_t)(COPY_ROWS * row_bytes);
    uint8_t *rows = sy__alloc_array(executor->allocator, n_bytes, 1);
    sy_status status = rows != NULL ? SY_OK : SY_RESOURCE_EXHAUSTED;
    for (uint64_t at = sy__state_first_row(executor, slot, n_rows); status == SY_OK && at < n_rows;
         at += COPY_ROWS) {
        uint64_t n = n_rows - at < COPY_ROWS ? n_rows - at : COPY_ROWS;
        status = plugin->state_save(from->states[slot], at, n, rows, n * row_bytes);
        if (status == SY_OK) {
            status = plugin->state_load(to->states[slot], at, n, rows, n * row_bytes);
        }
    }
    sy__free_array(executor->allocator, rows, n_bytes, 1);
    return status;
}

static sy_status fork_state(sy_executor *executor, uint32_t slot, const sy_state_set *from,
                            sy_state_set *to, uint64_t n_rows, sy_error *error) {
    const sy_delegate *delegate = sy__state_owner(executor, slot);
    const sy_plugin *plugin = delegate->plugin;
    sy_status status = SY_OK;
    sy__delegate_listen(executor->runtime, delegate);
    if (plugin->state_fork != NULL) {
        status = plugin->state_fork(from->states[slot], n_rows, to->max_tokens, &to->states[slot]);
    } else if (from->max_tokens == to->max_tokens) {
        status = plugin->state_clone(from->states[slot], n_rows, &to->states[slot]);
    } else {
        status = create_state(executor, slot, to, error);
        if (status != SY_OK) {
            return status;
        }
        status = copy_rows(executor, slot, from, to, n_rows);
    }
    if (status != SY_OK) {
        return sy__failure(executor, delegate, status, false, "clone a state", error);
    }
    return SY_OK;
}

sy_status sy_state_set_fork(sy_state_set *set, uint64_t n_rows, uint64_t max_tokens,
                            sy_state_set **out_set, sy_error *error) {
    sy_executor *executor = set->executor;
    sy_status status = sy__state_check_rows(set, n_rows, error);
    status = status == SY_OK ? sy__state_check_tokens(max_tokens, error) : status;
    if (status == SY_OK && max_tokens < n_rows) {
        status = sy_error_set(error, SY_INVALID_ARGUMENT,
                              "States for %" PRIu64 " tokens cannot begin with %" PRIu64 " rows.",
                              max_tokens, n_rows);
    }
    const sy__state_call call = {
        .call = SY_STATE_CALL_FORK, .set = set, .n_rows = n_rows, .max_tokens = max_tokens};
    status = status == SY_OK ? sy__states_reserve(executor, &call, 0, error) : status;
    if (status != SY_OK) {
        return status;
    }
    sy_state_set *copy = new_set(executor, max_tokens);
    if (copy == NULL) {
        return sy__no_memory(error, sizeof(*copy), "the states of a sequence");
    }
    sy__adapters_copy(copy, set);
    for (uint32_t slot = 0; slot < executor->n_states; slot++) {
        status = fork_state(executor, slot, set, copy, n_rows, error);
        if (status != SY_OK) {
            sy_state_set_destroy(copy);
            return status;
        }
    }
    *out_set = copy;
    return SY_OK;
}

sy_status sy_state_set_clone(sy_state_set *set, uint64_t n_rows, sy_state_set **out_set,
                             sy_error *error) {
    return sy_state_set_fork(set, n_rows, set->max_tokens, out_set, error);
}

sy_status sy_state_set_truncate(sy_state_set *set, uint64_t n_rows, sy_error *error) {
    sy_executor *executor = set->executor;
    const sy__state_call call = {.call = SY_STATE_CALL_TRUNCATE, .set = set, .n_rows = n_rows};
    sy_status status = sy__state_check_rows(set, n_rows, error);
    status = status == SY_OK ? sy__states_reserve(executor, &call, 0, error) : status;
    for (uint32_t slot = 0; status == SY_OK && slot < executor->n_states; slot++) {
        const sy_delegate *delegate = sy__state_owner(executor, slot);
        sy__delegate_listen(executor->runtime, delegate);
        status = delegate->plugin->state_truncate(set->states[slot], n_rows);
        if (status != SY_OK) {
            return sy__failure(executor, delegate, status, false, "truncate a state", error);
        }
    }
    if (status == SY_OK) {
        sy__state_copy_cut(set, n_rows);
    }
    return status;
}

sy_status sy__states_shift(sy_state_set *set, uint64_t first, uint64_t count, uint64_t to,
                           sy_error *error) {
    sy_executor *executor = set->executor;
    const sy__state_call call = {.call = SY_STATE_CALL_WRITE, .set = set, .n_rows = to};
    uint64_t end = 0;
    if (to >= first || !sy__add_u64(first, count, &end)) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Rows [%" PRIu64 ", +%" PRIu64 ") cannot be moved down to %" PRIu64 ".",
                            first, count, to);
    }
    sy_status status = sy__state_check_rows(set, end, error);
    status = status == SY_OK ? sy__states_reserve(executor, &call, 0, error) : status;
    for (uint32_t slot = 0; status == SY_OK && slot < executor->n_states; slot++) {
        const sy_delegate *delegate = sy__state_owner(executor, slot);
        sy__delegate_listen(executor->runtime, delegate);
        status = delegate->plugin->state_shift(set->states[slot], first, count, to);
        if (status != SY_OK) {
            return sy__failure(executor, delegate, status, false, "shift a state", error);
        }
    }
    return status;
}

sy_status sy_state_set_shift(sy_state_set *set, uint64_t first, uint64_t count, uint64_t to,
                             sy_error *error) {
    sy_status status = sy__states_shift(set, first, count, to, error);
    if (status == SY_OK) {
        sy__state_copy_cut(set, to);
    }
    return status;
}

static uint64_t slot_bytes(const sy_executor *executor, uint32_t slot, uint64_t n_rows) {
    uint64_t first = sy__state_first_row(executor, slot, n_rows);
    return (n_rows - first) * sy__state_row_bytes(executor, slot);
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
    sy_status status = sy__state_check_rows(set, n_rows, error);
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
        const sy_delegate *delegate = sy__state_owner(executor, slot);
        uint64_t part = slot_bytes(executor, slot, n_rows);
        uint64_t first = sy__state_first_row(executor, slot, n_rows);
        sy__delegate_listen(executor->runtime, delegate);
        status = delegate->plugin->state_save(set->states[slot], first, n_rows - first, to, part);
        if (status != SY_OK) {
            return sy__failure(executor, delegate, status, false, "save a state", error);
        }
        to += part;
    }
    return status;
}

sy_status sy_state_set_load(sy_state_set *set, uint64_t n_rows, const void *bytes, uint64_t n_bytes,
                            sy_error *error) {
    sy_executor *executor = set->executor;
    const sy__state_call call = {.call = SY_STATE_CALL_WRITE, .set = set};
    sy_status status = check_bytes(set, n_rows, n_bytes, error);
    status = status == SY_OK ? sy__states_reserve(executor, &call, 0, error) : status;
    const uint8_t *from = bytes;
    if (status == SY_OK) {
        sy__state_copy_cut(set, 0);
    }
    for (uint32_t slot = 0; status == SY_OK && slot < executor->n_states; slot++) {
        const sy_delegate *delegate = sy__state_owner(executor, slot);
        uint64_t part = slot_bytes(executor, slot, n_rows);
        uint64_t first = sy__state_first_row(executor, slot, n_rows);
        sy__delegate_listen(executor->runtime, delegate);
        status = delegate->plugin->state_load(set->states[slot], first, n_rows - first, from, part);
        if (status != SY_OK) {
            return sy__failure(executor, delegate, status, false, "load a state", error);
        }
        from += part;
    }
    return status;
}
