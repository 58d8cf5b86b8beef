/* SPDX-License-Identifier: Apache-2.0 */
/* Timeline fences of the runtime: a value that only rises, and the status of a failed point. */
#include "base/clock.h"
#include "exec/runtime_internal.h"

#include <errno.h>
#include <time.h>

sy_status sy__fence_create(sy_runtime *runtime, uint64_t *out_fence, sy_error *error) {
    pthread_mutex_lock(&runtime->lock);
    size_t i = 0;
    while (i < runtime->n_fences && runtime->fences[i].used) {
        i++;
    }
    void *fences = runtime->fences;
    bool grown = sy__grow_array(runtime->allocator, &fences, &runtime->fences_capacity, i + 1,
                                sizeof(sy__fence));
    if (grown) {
        runtime->fences = fences;
        runtime->n_fences = i < runtime->n_fences ? runtime->n_fences : i + 1;
        runtime->fences[i] = (sy__fence){.used = true};
        *out_fence = i + 1;
    }
    pthread_mutex_unlock(&runtime->lock);
    return grown ? SY_OK : sy__no_memory(error, sizeof(sy__fence), "a fence");
}

void sy__fence_destroy(sy_runtime *runtime, uint64_t fence) {
    pthread_mutex_lock(&runtime->lock);
    if (fence >= 1 && fence <= runtime->n_fences) {
        runtime->fences[fence - 1].used = false;
    }
    pthread_mutex_unlock(&runtime->lock);
}

void sy__fence_signal(sy_runtime *runtime, sy_point point, sy_status status) {
    pthread_mutex_lock(&runtime->lock);
    if (point.fence >= 1 && point.fence <= runtime->n_fences) {
        sy__fence *fence = &runtime->fences[point.fence - 1];
        if (point.value > fence->value) {
            fence->value = point.value;
        }
        if (status != SY_OK) {
            fence->failed_value = point.value;
            fence->failed_status = status;
        }
        pthread_cond_broadcast(&runtime->reached);
    }
    pthread_mutex_unlock(&runtime->lock);
}

static sy_status wait_locked(sy_runtime *runtime, sy_point point, uint64_t deadline_ns) {
    while (runtime->fences[point.fence - 1].value < point.value) {
        if (deadline_ns == 0) {
            pthread_cond_wait(&runtime->reached, &runtime->lock);
            continue;
        }
        struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                                 .tv_nsec = (long)(deadline_ns % 1000000000u)};
        int code = pthread_cond_timedwait(&runtime->reached, &runtime->lock, &until);
        if (code == ETIMEDOUT && runtime->fences[point.fence - 1].value < point.value) {
            return SY_DEADLINE_EXCEEDED;
        }
    }
    const sy__fence *fence = &runtime->fences[point.fence - 1];
    return fence->failed_status != SY_OK && fence->failed_value == point.value
               ? fence->failed_status
               : SY_OK;
}

bool sy__fence_is_reached(sy_runtime *runtime, sy_point point) {
    pthread_mutex_lock(&runtime->lock);
    bool is_reached = point.fence >= 1 && point.fence <= runtime->n_fences &&
                      runtime->fences[point.fence - 1].value >= point.value;
    pthread_mutex_unlock(&runtime->lock);
    return is_reached;
}

sy_status sy__fence_wait(sy_runtime *runtime, sy_point point, uint64_t deadline_ns) {
    sy_status status = SY_INVALID_ARGUMENT;
    pthread_mutex_lock(&runtime->lock);
    if (point.fence >= 1 && point.fence <= runtime->n_fences) {
        status = wait_locked(runtime, point, deadline_ns);
    }
    pthread_mutex_unlock(&runtime->lock);
    return status;
}
