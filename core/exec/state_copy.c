/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of committed rows in host memory, and sets that move from one executor to another. A copy
 * has room for all rows of a state, or for its window: row p lies at p modulo that.
 */
#include "exec/executor_internal.h"

#include <inttypes.h>

#define MOVE_ROWS 256u /* at a time, through host memory */

static uint64_t room_rows(const sy_executor *executor, uint32_t slot, uint64_t max_tokens) {
    uint64_t window = executor->state_descriptions[slot].window;
    return window > 0 && window < max_tokens ? window : max_tokens;
}

uint64_t sy_state_copy_bytes(const sy_executor *executor, uint64_t max_tokens) {
    uint64_t n_bytes = 0;
    for (uint32_t slot = 0; slot < executor->n_states; slot++) {
        n_bytes += room_rows(executor, slot, max_tokens) * sy__state_row_bytes(executor, slot);
    }
    return n_bytes;
}

void sy__state_copy_drop(sy_state_set *set) {
    sy__free_array(set->executor->allocator, set->copy.bytes, set->copy.n_bytes, 1);
    set->copy = (sy__state_copy){.every_tokens = 0};
}

sy_status sy_state_set_keep(sy_state_set *set, uint32_t every_tokens, sy_error *error) {
    if (every_tokens == 0) {
        sy__state_copy_drop(set);
        return SY_OK;
    }
    if (set->copy.bytes == NULL) {
        uint64_t n_bytes = sy_state_copy_bytes(set->executor, set->max_tokens);
        set->copy.bytes = sy__alloc_array(set->executor->allocator, n_bytes, 1);
        if (set->copy.bytes == NULL) {
            return sy__no_memory(error, n_bytes, "a copy of states");
        }
        set->copy.n_bytes = n_bytes;
    }
    set->copy.every_tokens = every_tokens;
    return SY_OK;
}

void sy__state_copy_cut(sy_state_set *set, uint64_t first) {
    if (first >= set->copy.n_rows) {
        return;
    }
    uint64_t n_rows = set->copy.n_rows;
    set->copy.n_rows = first;
    for (uint32_t slot = 0; slot < set->executor->n_states; slot++) {
        if (room_rows(set->executor, slot, set->max_tokens) < n_rows) {
            set->copy.n_rows = 0; /* rows that a window reads at `first` were written over */
        }
    }
}

/* Rows [first, end) of one state, in runs that lie together in the copy: out of the state into the
 * copy, or out of the copy into the same state elsewhere. */
static sy_status copy_runs(const sy_state_set *set, uint32_t slot, sy_state *state,
                           const sy_plugin *plugin, bool to_state, uint64_t first, uint64_t end) {
    const sy_executor *executor = set->executor;
    uint64_t row_bytes = sy__state_row_bytes(executor, slot);
    uint64_t room = room_rows(executor, slot, set->max_tokens);
    uint8_t *base = set->copy.bytes;
    for (uint32_t i = 0; i < slot; i++) {
        base += room_rows(executor, i, set->max_tokens) * sy__state_row_bytes(executor, i);
    }
    sy_status status = SY_OK;
    while (status == SY_OK && first < end) {
        uint64_t place = first % room, n = room - place < end - first ? room - place : end - first;
        uint8_t *rows = base + place * row_bytes;
        status = to_state ? plugin->state_load(state, first, n, rows, n * row_bytes)
                          : plugin->state_save(state, first, n, rows, n * row_bytes);
        first += n;
    }
    return status;
}

sy_status sy__state_copy_add(sy_state_set *set, uint64_t n_rows, sy_error *error) {
    sy_executor *executor = set->executor;
    if (n_rows < set->copy.n_rows + set->copy.every_tokens) {
        return SY_OK;
    }
    for (uint32_t slot = 0; slot < executor->n_states; slot++) {
        const sy_delegate *delegate = sy__state_owner(executor, slot);
        uint64_t first = sy__state_first_row(executor, slot, n_rows);
        first = first > set->copy.n_rows ? first : set->copy.n_rows;
        sy__delegate_listen(executor->runtime, delegate);
        sy_status status =
            copy_runs(set, slot, set->states[slot], delegate->plugin, false, first, n_rows);
        if (status != SY_OK) {
            set->copy.n_rows = 0; /* some rows of windows may be those of later positions */
            return sy__failure(executor, delegate, status, true, "copy a state", error);
        }
    }
    set->copy.n_rows = n_rows;
    return SY_OK;
}

static bool is_dead(const sy_executor *executor, uint32_t slot) {
    uint32_t i = sy_plan_state_delegate(executor->plan, executor->state_values[slot]);
    return (executor->failed->dead >> i & 1u) != 0;
}

/* Rows that every state can still give, at most n_rows. */
static uint64_t rows_left(const sy_state_set *set, uint64_t n_rows) {
    const sy_executor *executor = set->executor;
    uint64_t n_left = n_rows, n_copied = set->copy.n_rows;
    bool has_windows = false, needs_copy = false;
    for (uint32_t slot = 0; slot < executor->n_states; slot++) {
        has_windows = has_windows || executor->state_descriptions[slot].window > 0;
        needs_copy = needs_copy || is_dead(executor, slot);
    }
    if (needs_copy) {
        n_left = n_copied < n_rows ? n_copied : n_rows;
    }
    /* windows have moved on, in the copy or in the states that are left */
    bool is_behind = needs_copy && has_windows && n_copied != n_rows;
    return is_behind ? 0 : n_left;
}

/* Through host memory, out of a delegate that still answers. */
static sy_status move_live(const sy_state_set *from, const sy_state_set *to, uint32_t slot,
                           uint64_t first, uint64_t end, bool *out_is_source) {
    const sy_plugin *source = sy__state_owner(from->executor, slot)->plugin;
    const sy_plugin *target = sy__state_owner(to->executor, slot)->plugin;
    uint64_t row_bytes = sy__state_row_bytes(from->executor, slot);
    uint8_t *rows = sy__alloc_array(from->executor->allocator, MOVE_ROWS, row_bytes);
    sy_status status = rows != NULL ? SY_OK : SY_RESOURCE_EXHAUSTED;
    for (uint64_t n = 0; status == SY_OK && first < end; first += n) {
        n = end - first < MOVE_ROWS ? end - first : MOVE_ROWS;
        status = source->state_save(from->states[slot], first, n, rows, n * row_bytes);
        *out_is_source = status != SY_OK;
        if (status == SY_OK) {
            status = target->state_load(to->states[slot], first, n, rows, n * row_bytes);
        }
    }
    sy__free_array(from->executor->allocator, rows, MOVE_ROWS, row_bytes);
    return status;
}

/* All states, n_rows of each. A source that no longer answers is dead: *out_again. */
static sy_status fill(const sy_state_set *from, const sy_state_set *to, uint64_t n_rows,
                      bool *out_again, sy_error *error) {
    const sy_executor *old = from->executor;
    sy_status status = SY_OK;
    *out_again = false;
    for (uint32_t slot = 0; status == SY_OK && n_rows > 0 && slot < old->n_states; slot++) {
        const sy_delegate *source = sy__state_owner(old, slot);
        const sy_delegate *target = sy__state_owner(to->executor, slot);
        uint64_t first = sy__state_first_row(old, slot, n_rows);
        bool is_source = false;
        sy__delegate_listen(old->runtime, target);
        status = is_dead(old, slot)
                     ? copy_runs(from, slot, to->states[slot], target->plugin, true, first, n_rows)
                     : move_live(from, to, slot, first, n_rows, &is_source);
        if (status != SY_OK && is_source) {
            uint32_t i = sy_plan_state_delegate(old->plan, old->state_values[slot]);
            old->failed->dead |= 1u << i;
            *out_again = true;
            return sy__delegate_error(old->runtime, source, status, "save a state", error);
        }
        if (status != SY_OK) {
            return sy__failure(to->executor, target, status, false, "load a state", error);
        }
    }
    return status;
}

void sy__handles_release(sy_executor *executor, uint32_t i_delegate, sy_state *state,
                         sy_adapter_weights *weights) {
    const sy_plugin *plugin = sy_runtime_delegate(executor->runtime, i_delegate)->plugin;
    bool hangs = (executor->failed->hung >> i_delegate & 1u) != 0;
    if (!hangs && state != NULL) {
        (void)plugin->state_destroy(state); /* of a lost device, too: it must be asked */
    }
    if (!hangs && weights != NULL) {
        (void)plugin->adapter_destroy(weights);
    }
    void *orphans = executor->orphans;
    if (hangs && sy__grow_array(executor->allocator, &orphans, &executor->orphans_capacity,
                                executor->n_orphans + 1, sizeof(sy__orphan))) {
        executor->orphans = orphans;
        executor->orphans[executor->n_orphans++] =
            (sy__orphan){.i_delegate = i_delegate, .state = state, .weights = weights};
    }
}

/* The set takes over what `fresh` holds, whose shell goes. */
static void take_over(sy_state_set *set, sy_state_set *fresh) {
    sy_executor *old = set->executor;
    for (uint32_t slot = 0; slot < old->n_states; slot++) {
        uint32_t i = sy_plan_state_delegate(old->plan, old->state_values[slot]);
        sy__handles_release(old, i, set->states[slot], NULL);
        set->states[slot] = fresh->states[slot];
        fresh->states[slot] = NULL;
    }
    set->executor = fresh->executor;
    sy_state_set_destroy(fresh);
}

sy_status sy_state_set_move(sy_state_set *set, sy_executor *to, uint64_t n_rows,
                            uint64_t *out_n_rows, sy_error *error) {
    sy_state_set *fresh = NULL;
    bool again = true;
    if (to == set->executor) {
        *out_n_rows = n_rows;
        return SY_OK;
    }
    if (to->graph != set->executor->graph) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "States move between executors of one graph alone.");
    }
    sy_status status = sy__state_check_rows(set, n_rows, error);
    if (status == SY_OK) {
        status = sy_state_set_create(to, set->max_tokens, &fresh, error);
    }
    uint64_t n_left = 0;
    while (status == SY_OK && again) {
        n_left = rows_left(set, n_rows);
        status = fill(set, fresh, n_left, &again, error);
        if (status != SY_OK && again) {
            status = SY_OK;
        }
    }
    if (status != SY_OK) {
        sy_state_set_destroy(fresh);
        return status;
    }
    take_over(set, fresh);
    sy__state_copy_cut(set, n_left);
    *out_n_rows = n_left;
    return SY_OK;
}

sy_status sy_adapter_set_move(sy_adapter_set *set, sy_executor *to,
                              const sy_adapter_description *description, sy_error *error) {
    sy_adapter_set *fresh = NULL;
    sy_status status = sy_adapter_set_create(to, description, &fresh, error);
    if (status != SY_OK) {
        return status;
    }
    for (uint32_t d = 0; d < SY_LIMIT_DELEGATES; d++) {
        if (set->weights[d] != NULL) {
            sy__handles_release(set->executor, d, NULL, set->weights[d]);
        }
        set->weights[d] = fresh->weights[d];
        fresh->weights[d] = NULL;
    }
    set->executor = to;
    set->n_bytes = fresh->n_bytes;
    sy_adapter_set_destroy(fresh);
    return SY_OK;
}
