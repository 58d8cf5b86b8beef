/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs of the fake NPU: where they run. */
#include "fake_npu.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define QUEUE_MAX 64u

typedef struct fake_entry {
    const sy_unit *unit;
    sy_job job;
    uint64_t i_job;
} fake_entry;

typedef struct fake_queue {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    fake_entry entries[QUEUE_MAX];
    uint64_t n_in, n_out;
    int ends;
} fake_queue;

static void finish(const sy_unit *unit, const sy_job *job, uint64_t i_job, sy_status status) {
    const sy_device *device = unit->device;
    const sy_host *host = device->host;
    if (status == SY_OK) {
        status = fake_run(unit, job);
    }
    if (status == SY_OK && i_job == device->garbage_at) {
        fake_spoil(unit, job);
    }
    for (uint32_t i = 0; i < job->n_signals; i++) {
        host->fence_signal(host->context, job->signals[i], status);
    }
}

static sy_status wait_all(const sy_device *device, const sy_job *job) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < job->n_waits; i++) {
        status = device->host->fence_wait(device->host->context, job->waits[i], job->deadline_ns);
    }
    return status;
}

/* Sleeps under the queue's lock; false when the device is being closed. */
static int rest(fake_queue *queue, uint64_t us) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(us / 1000000);
    until.tv_nsec += (long)(us % 1000000) * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    int code = 0;
    while (us > 0 && !queue->ends && code != ETIMEDOUT) {
        code = pthread_cond_timedwait(&queue->changed, &queue->lock, &until);
    }
    return !queue->ends;
}

static void *work(void *argument) {
    sy_device *device = argument;
    fake_queue *queue = device->queue;
    pthread_mutex_lock(&queue->lock);
    while (1) {
        while (queue->n_in == queue->n_out && !queue->ends) {
            pthread_cond_wait(&queue->changed, &queue->lock);
        }
        if (queue->n_in == queue->n_out) {
            break;
        }
        fake_entry entry = queue->entries[queue->n_out % QUEUE_MAX];
        uint64_t us = entry.i_job == device->late_at ? device->late_ms * 1000 : 0;
        us += device->jitter_us > 0 ? entry.i_job * 7919 % device->jitter_us : 0;
        int goes_on = rest(queue, us);
        pthread_mutex_unlock(&queue->lock);
        sy_status status = goes_on ? wait_all(device, &entry.job) : SY_CANCELLED;
        finish(entry.unit, &entry.job, entry.i_job, status);
        pthread_mutex_lock(&queue->lock);
        queue->n_out++;
        pthread_cond_broadcast(&queue->changed);
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

sy_status fake_jobs_begin(sy_device *device) {
    if (device->async == 0 && device->late_at == 0) {
        return SY_OK;
    }
    fake_queue *queue = device->host->alloc(device->host->context, sizeof(*queue), 64);
    if (queue == NULL) {
        return SY_RESOURCE_EXHAUSTED;
    }
    memset(queue, 0, sizeof(*queue));
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    device->queue = queue;
    if (pthread_create(&queue->thread, NULL, work, device) != 0) {
        device->queue = NULL;
        device->host->release(device->host->context, queue, sizeof(*queue));
        return SY_RESOURCE_EXHAUSTED;
    }
    return SY_OK;
}

void fake_jobs_end(sy_device *device) {
    fake_queue *queue = device->queue;
    if (queue == NULL) {
        return;
    }
    pthread_mutex_lock(&queue->lock);
    queue->ends = 1;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
    pthread_join(queue->thread, NULL);
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
    device->host->release(device->host->context, queue, sizeof(*queue));
}

static sy_status push(fake_queue *queue, sy_unit *unit, const sy_job *job, uint64_t i_job) {
    pthread_mutex_lock(&queue->lock);
    while (queue->n_in - queue->n_out == QUEUE_MAX) {
        pthread_cond_wait(&queue->changed, &queue->lock);
    }
    queue->entries[queue->n_in++ % QUEUE_MAX] =
        (fake_entry){.unit = unit, .job = *job, .i_job = i_job};
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
    return SY_OK;
}

static int size_is_allowed(const sy_device *device, const sy_job *job) {
    int allowed = device->n_only_tokens == 0;
    for (uint32_t i = 0; i < device->n_only_tokens; i++) {
        allowed = allowed || device->only_tokens[i] == job->symbols[SY_SYMBOL_TOKENS];
    }
    return allowed;
}

sy_status fake_submit(sy_unit *unit, const sy_job *job) {
    sy_device *device = unit->device;
    const sy_host *host = device->host;
    sy_status known = fake_check_extensions(&job->header);
    if (known != SY_OK) {
        return known;
    }
    uint64_t i_job = ++device->n_jobs;
    if (i_job == device->lose_at) {
        fake_lose(device);
    }
    if (device->lost) {
        return fake_check_alive(device);
    }
    if (i_job == device->hang_at) {
        return fake_hang_start(device, job);
    }
    if (i_job == device->exhaust_at) {
        return SY_RESOURCE_EXHAUSTED;
    }
    if (i_job == device->fail_submit || !size_is_allowed(device, job)) {
        host->report(host->context, SY_SEVERITY_ERROR, SY_INTERNAL, SY_NO_VALUE,
                     "this job fails by option, or has a size that only_tokens lacks");
        return SY_INTERNAL;
    }
    if (device->queue != NULL) {
        return push(device->queue, unit, job, i_job);
    }
    finish(unit, job, i_job, wait_all(device, job));
    return SY_OK;
}
