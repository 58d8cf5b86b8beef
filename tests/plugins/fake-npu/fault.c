/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of the fake NPU: option `fault` as plugin-api/RULES.md has it for test builds. */
#include "fake_npu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* "lose@3,hang@5"; 0 when it cannot be understood. */
int fake_read_faults(sy_device *device, const char *text, const char *end) {
    const struct {
        const char *word;
        uint64_t *at;
    } faults[] = {{"lose@", &device->lose_at},
                  {"hang@", &device->hang_at},
                  {"memory@", &device->memory_at},
                  {"garbage@", &device->garbage_at}};
    while (text < end) {
        uint64_t *at = NULL;
        for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
            size_t n = strlen(faults[i].word);
            if ((size_t)(end - text) > n && memcmp(text, faults[i].word, n) == 0) {
                at = faults[i].at;
                text += n;
                break;
            }
        }
        char *next = NULL;
        uint64_t number = at != NULL ? strtoull(text, &next, 10) : 0;
        if (number == 0 || (next < end && *next != ',')) {
            return 0;
        }
        *at = number;
        text = next + 1;
    }
    return 1;
}

static _Atomic uint64_t n_losses; /* of the process, over all openings */

uint64_t fake_n_losses(void) {
    return n_losses;
}

void fake_lose(sy_device *device) {
    if (!device->lost && (device->lose_times == 0 || n_losses < device->lose_times)) {
        device->lost = 1;
        n_losses++;
    }
}

sy_status fake_check_alive(const sy_device *device) {
    if (!device->lost) {
        return SY_OK;
    }
    device->host->report(device->host->context, SY_SEVERITY_ERROR, SY_UNAVAILABLE, SY_NO_VALUE,
                         "the device was lost");
    return SY_STATUS(SY_UNAVAILABLE, SY_DETAIL_DEVICE_LOST);
}

sy_status fake_check_states(sy_device *device) {
    if (++device->n_state_calls == device->lose_at_state) {
        fake_lose(device);
    }
    return fake_check_alive(device);
}

sy_status fake_check_memory(sy_device *device) {
    if (device->lost) {
        return fake_check_alive(device);
    }
    if (++device->n_creations != device->memory_at) {
        return SY_OK;
    }
    device->host->report(device->host->context, SY_SEVERITY_ERROR, SY_RESOURCE_EXHAUSTED,
                         SY_NO_VALUE, "the device has no memory left, by option fault");
    return SY_RESOURCE_EXHAUSTED;
}

/* Waits for the deadline or cancel; then the job has failed and the device is given up. */
static void *watch(void *argument) {
    sy_device *device = argument;
    fake_hang *hang = &device->hang;
    sy_status status = SY_DEADLINE_EXCEEDED;
    struct timespec until = {.tv_sec = (time_t)(hang->deadline_ns / 1000000000u),
                             .tv_nsec = (long)(hang->deadline_ns % 1000000000u)};
    pthread_mutex_lock(&hang->lock);
    while (!hang->cancelled && hang->n_signals > 0) {
        if (hang->deadline_ns == 0) {
            pthread_cond_wait(&hang->changed, &hang->lock);
        } else if (pthread_cond_timedwait(&hang->changed, &hang->lock, &until) == ETIMEDOUT) {
            break;
        }
    }
    status = hang->cancelled ? (sy_status)SY_CANCELLED : status;
    uint32_t n_signals = hang->n_signals;
    hang->n_signals = 0;
    pthread_mutex_unlock(&hang->lock);
    fake_lose(device);
    for (uint32_t i = 0; i < n_signals; i++) {
        device->host->fence_signal(device->host->context, hang->signals[i], status);
    }
    return NULL;
}

sy_status fake_hang_start(sy_device *device, const sy_job *job) {
    fake_hang *hang = &device->hang;
    if (job->n_signals > FAKE_SIGNALS_MAX || hang->is_started) {
        return SY_INTERNAL;
    }
    pthread_mutex_lock(&hang->lock);
    hang->n_signals = job->n_signals;
    memcpy(hang->signals, job->signals, job->n_signals * sizeof(job->signals[0]));
    hang->run = job->run;
    hang->deadline_ns = job->deadline_ns;
    pthread_mutex_unlock(&hang->lock);
    if (pthread_create(&hang->thread, NULL, watch, device) != 0) {
        return SY_UNAVAILABLE;
    }
    hang->is_started = 1;
    return SY_OK;
}

sy_status fake_cancel(sy_unit *unit, uint64_t run) {
    fake_hang *hang = &unit->device->hang;
    pthread_mutex_lock(&hang->lock);
    if (hang->n_signals > 0 && hang->run == run) {
        hang->cancelled = 1;
        pthread_cond_broadcast(&hang->changed);
    }
    pthread_mutex_unlock(&hang->lock);
    return SY_OK;
}

int fake_hang_init(fake_hang *hang) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int made = pthread_mutex_init(&hang->lock, NULL) == 0 &&
               pthread_cond_init(&hang->changed, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return made;
}

void fake_hang_end(fake_hang *hang) {
    if (hang->is_started) {
        pthread_mutex_lock(&hang->lock);
        hang->cancelled = 1;
        pthread_cond_broadcast(&hang->changed);
        pthread_mutex_unlock(&hang->lock);
        pthread_join(hang->thread, NULL);
    }
    pthread_cond_destroy(&hang->changed);
    pthread_mutex_destroy(&hang->lock);
}

void fake_spoil(const sy_unit *unit, const sy_job *job) {
    for (uint32_t i = 0; i < unit->n_values; i++) {
        const fake_value *value = &unit->values[i];
        if (value->place == FAKE_OUTPUT && value->view.type == SY_TYPE_F32) {
            float *values = (float *)(void *)fake_bytes(unit, job, i);
            for (uint64_t k = 0; k < job->outputs[value->slot].length_bytes / sizeof(float); k++) {
                values[k] = unit->device->garbage_value;
            }
        }
    }
}
