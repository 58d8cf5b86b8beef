/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of state sets, asked of the delegates before it is taken. */
#include "base/checked.h"
#include "exec/executor_internal.h"

/* Lists what the call means for the states of one delegate; answers how many they are. */
static uint32_t collect(const sy_executor *executor, const sy__state_call *call,
                        const sy_delegate *delegate) {
    uint32_t n = 0;
    for (uint32_t slot = 0; slot < executor->n_states; slot++) {
        if (sy__state_owner(executor, slot) != delegate) {
            continue;
        }
        sy_state_description *description = &executor->state_descriptions[slot];
        description->max_tokens = call->max_tokens; /* read in this call alone */
        executor->state_requests[n++] =
            (sy_state_request){.header = SY_HEADER_INIT(sy_state_request),
                               .call = call->call,
                               .count = call->count,
                               .description = call->set == NULL ? description : NULL,
                               .state = call->set != NULL ? call->set->states[slot] : NULL,
                               .n_rows = call->n_rows,
                               .max_tokens = call->max_tokens};
    }
    return n;
}

/* For a delegate that does not tell: canonical rows, as many as it is asked to keep. */
static void count_canonical(const sy_executor *executor, const sy__state_call *call,
                            const sy_delegate *delegate, sy_state_memory *inout_sum) {
    bool takes = call->call == SY_STATE_CALL_CREATE || call->call == SY_STATE_CALL_FORK;
    bool holds = call->call == SY_STATE_CALL_HOLD;
    uint64_t n_rows = holds ? call->set->max_tokens : takes ? call->max_tokens : 0;
    for (uint32_t slot = 0; slot < executor->n_states; slot++) {
        if (sy__state_owner(executor, slot) == delegate) {
            uint64_t n_bytes =
                n_rows * sy__state_row_bytes(executor, slot) * (call->count > 0 ? call->count : 1);
            inout_sum->own_bytes += n_bytes;
            inout_sum->new_bytes += takes ? n_bytes : 0;
            inout_sum->block_tokens = 0;
        }
    }
}

/* Blocks of all delegates end together where those of the delegate with the largest do. */
static void add_usage(sy_state_memory *sum, const sy_state_usage *usage, bool is_first) {
    uint64_t both = sum->block_tokens, one = usage->block_tokens;
    sum->own_bytes += usage->own_bytes;
    sum->shared_bytes += usage->shared_bytes;
    sum->new_bytes += usage->new_bytes;
    if (is_first) {
        sum->block_tokens = one;
    } else if (both != one) {
        bool divides = both > 0 && one > 0 && (both % one == 0 || one % both == 0);
        sum->block_tokens = !divides ? 0 : both > one ? both : one;
    }
}

/* The next delegate that keeps a state, in the order of the states; NULL at the end. */
static const sy_delegate *next_owner(const sy_executor *executor, uint32_t *inout_slot) {
    for (uint32_t slot = *inout_slot; slot < executor->n_states; slot++) {
        const sy_delegate *delegate = sy__state_owner(executor, slot);
        uint32_t first = 0;
        while (sy__state_owner(executor, first) != delegate) {
            first++;
        }
        if (first == slot && delegate != NULL) {
            *inout_slot = slot + 1;
            return delegate;
        }
    }
    return NULL;
}

static sy_status need(const sy_executor *executor, const sy__state_call *call,
                      sy_state_memory *out_memory, sy_error *error) {
    sy_state_memory sum = {0};
    uint32_t slot = 0, n_asked = 0;
    const sy_delegate *delegate = NULL;
    while ((delegate = next_owner(executor, &slot)) != NULL) {
        const sy_plugin *plugin = delegate->plugin;
        sy_state_usage usage = {.header = SY_HEADER_INIT(sy_state_usage)};
        if (plugin->state_need == NULL) {
            count_canonical(executor, call, delegate, &sum);
            n_asked++;
            continue;
        }
        uint32_t n = collect(executor, call, delegate);
        sy__delegate_listen(executor->runtime, delegate);
        sy_status status = plugin->state_need(delegate->device, executor->state_requests,
                                              sizeof(sy_state_request), n, &usage);
        if (status != SY_OK) {
            return sy__failure(executor, delegate, status, false, "tell what states need", error);
        }
        add_usage(&sum, &usage, n_asked++ == 0);
    }
    *out_memory = sum;
    return SY_OK;
}

/* What is free and not kept goes back. */
static void trim(const sy_executor *executor) {
    uint32_t slot = 0;
    const sy_delegate *delegate = NULL;
    while ((delegate = next_owner(executor, &slot)) != NULL) {
        if (delegate->plugin->state_reserve != NULL) {
            (void)delegate->plugin->state_reserve(delegate->device, NULL, 0, 0, 0);
        }
    }
}

sy_status sy__states_reserve(const sy_executor *executor, const sy__state_call *call, uint32_t keep,
                             sy_error *error) {
    uint32_t slot = 0;
    const sy_delegate *delegate = NULL;
    while ((delegate = next_owner(executor, &slot)) != NULL) {
        const sy_plugin *plugin = delegate->plugin;
        if (plugin->state_reserve == NULL) {
            continue;
        }
        uint32_t n = collect(executor, call, delegate);
        sy__delegate_listen(executor->runtime, delegate);
        sy_status status = plugin->state_reserve(delegate->device, executor->state_requests,
                                                 sizeof(sy_state_request), n, keep);
        if (status != SY_OK) {
            status =
                sy__failure(executor, delegate, status, false, "reserve what states need", error);
            trim(executor);
            return status;
        }
    }
    return SY_OK;
}

sy_status sy_state_set_usage(const sy_state_set *set, sy_state_memory *out_memory,
                             sy_error *error) {
    const sy__state_call call = {.call = SY_STATE_CALL_HOLD, .set = set};
    sy_status status = need(set->executor, &call, out_memory, error);
    if (status == SY_OK) {
        out_memory->own_bytes += set->copy.n_bytes;
    }
    return status;
}

sy_status sy_state_need_create(sy_executor *executor, uint64_t max_tokens, uint32_t n_sets,
                               sy_state_memory *out_memory, sy_error *error) {
    const sy__state_call call = {
        .call = SY_STATE_CALL_CREATE, .count = n_sets, .max_tokens = max_tokens};
    sy_status status = sy__state_check_tokens(max_tokens, error);
    if (status == SY_OK && n_sets == 0) {
        *out_memory = (sy_state_memory){0};
        return SY_OK;
    }
    return status == SY_OK ? need(executor, &call, out_memory, error) : status;
}

sy_status sy_state_need_fork(sy_state_set *set, uint64_t n_rows, uint64_t max_tokens,
                             sy_state_memory *out_memory, sy_error *error) {
    const sy__state_call call = {
        .call = SY_STATE_CALL_FORK, .set = set, .n_rows = n_rows, .max_tokens = max_tokens};
    sy_status status = sy__state_check_rows(set, n_rows, error);
    status = status == SY_OK ? sy__state_check_tokens(max_tokens, error) : status;
    return status == SY_OK ? need(set->executor, &call, out_memory, error) : status;
}

sy_status sy_state_need_truncate(sy_state_set *set, uint64_t n_rows, sy_state_memory *out_memory,
                                 sy_error *error) {
    const sy__state_call call = {.call = SY_STATE_CALL_TRUNCATE, .set = set, .n_rows = n_rows};
    sy_status status = sy__state_check_rows(set, n_rows, error);
    return status == SY_OK ? need(set->executor, &call, out_memory, error) : status;
}

sy_status sy_state_pool_reserve(sy_executor *executor, uint64_t max_tokens, uint32_t n_sets,
                                sy_error *error) {
    const sy__state_call call = {
        .call = SY_STATE_CALL_CREATE, .count = n_sets, .max_tokens = max_tokens};
    sy_status status = sy__state_check_tokens(max_tokens, error);
    return status == SY_OK && n_sets > 0 ? sy__states_reserve(executor, &call, 1, error) : status;
}
