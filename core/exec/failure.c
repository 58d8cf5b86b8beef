/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the failures of delegates apart, and from those that no other delegate would mend. */
#include "exec/executor_internal.h"

uint32_t sy__delegate_epoch(const sy_delegate *delegate) {
    sy_health health = {.header = SY_HEADER_INIT(sy_health)};
    return delegate->plugin->health != NULL &&
                   delegate->plugin->health(delegate->device, &health) == SY_OK
               ? health.epoch
               : 0;
}

static bool is_lost(const sy_executor *executor, uint32_t i_delegate) {
    const sy_delegate *delegate = sy_runtime_delegate(executor->runtime, i_delegate);
    sy_health health = {.header = SY_HEADER_INIT(sy_health)};
    return delegate->plugin->health != NULL &&
           delegate->plugin->health(delegate->device, &health) == SY_OK &&
           (health.state == SY_HEALTH_LOST || health.epoch != executor->sides[i_delegate].epoch);
}

static sy_failure classify(const sy_executor *executor, uint32_t i_delegate, sy_status status,
                           bool in_step) {
    sy_status class = SY_STATUS_CLASS(status);
    if (status == SY_STATUS(SY_UNAVAILABLE, SY_DETAIL_DEVICE_LOST)) {
        return SY_FAILURE_LOST;
    }
    if (class == SY_DEADLINE_EXCEEDED && in_step) {
        return SY_FAILURE_HUNG; /* also where the device had to be given up for it */
    }
    bool is_refusal = class == SY_INVALID_ARGUMENT || class == SY_OUT_OF_RANGE ||
                      class == SY_CANCELLED || class == SY_FAILED_PRECONDITION ||
                      class == SY_UNIMPLEMENTED || class == SY_NOT_FOUND ||
                      (class == SY_RESOURCE_EXHAUSTED &&
                       (!in_step || SY_STATUS_DETAIL(status) == SY_DETAIL_BUDGET));
    if (is_lost(executor, i_delegate)) {
        return SY_FAILURE_LOST;
    }
    if (is_refusal) {
        return SY_FAILURE_NONE;
    }
    return class == SY_RESOURCE_EXHAUSTED ? SY_FAILURE_MEMORY : SY_FAILURE_ERROR;
}

void sy__failure_note(const sy_executor *executor, uint32_t i_delegate, sy_failure failure) {
    sy__failed *failed = executor->failed;
    bool keeps_states = failure == SY_FAILURE_ERROR || failure == SY_FAILURE_MEMORY;
    if (failed->failure == SY_FAILURE_NONE) {
        failed->failure = failure;
        failed->i_delegate = i_delegate;
    }
    if (failure != SY_FAILURE_NONE && !keeps_states) {
        failed->dead |= 1u << i_delegate;
    }
}

sy_status sy__failure(const sy_executor *executor, const sy_delegate *delegate, sy_status status,
                      bool in_step, const char *what, sy_error *error) {
    uint32_t i_delegate = 0;
    while (sy_runtime_delegate(executor->runtime, i_delegate) != delegate) {
        i_delegate++;
    }
    if (!in_step) {
        executor->failed->failure = SY_FAILURE_NONE; /* of an earlier call */
    }
    if (i_delegate + 1 < sy_runtime_n_delegates(executor->runtime)) { /* not the reference one */
        sy__failure_note(executor, i_delegate, classify(executor, i_delegate, status, in_step));
    }
    return sy__delegate_error(executor->runtime, delegate, status, what, error);
}

sy_failure sy_executor_failure(const sy_executor *executor, uint32_t *out_delegate) {
    *out_delegate = executor->failed->i_delegate;
    return executor->failed->failure;
}

int sy_executor_is_idle(const sy_executor *executor) {
    for (uint32_t p = 0; executor->phases != NULL && p < executor->n_phases; p++) {
        for (uint32_t s = 0; s < executor->phases[p].n_segments; s++) {
            const sy__loaded_segment *loaded = &executor->phases[p].segments[s];
            if (loaded->is_pending && !sy__fence_is_reached(executor->runtime, loaded->done)) {
                return 0;
            }
        }
    }
    return 1;
}

sy_status sy__failure_check(sy_executor *executor, sy_error *error) {
    if (executor->failed->hung != 0) {
        return sy_error_set(error, SY_UNAVAILABLE,
                            "A job of an earlier step still hangs, so that no step can begin.");
    }
    executor->failed->failure = SY_FAILURE_NONE;
    if (!sy__runtime_is_unsound(executor->runtime)) {
        return SY_OK;
    }
    for (uint32_t d = 0; d < SY_LIMIT_DELEGATES; d++) {
        if (executor->sides[d].in_use && !sy_runtime_is_usable(executor->runtime, d)) {
            sy_delegate_record record;
            sy_runtime_get_record(executor->runtime, d, &record);
            sy__failure_note(executor, d, record.failure);
            return sy_error_set(error, SY_STATUS(SY_UNAVAILABLE, SY_DETAIL_DEVICE_LOST),
                                "Delegate '%s' is in quarantine: %s.",
                                sy_runtime_delegate(executor->runtime, d)->name,
                                sy_failure_name(record.failure));
        }
    }
    return SY_OK;
}
