/* SPDX-License-Identifier: Apache-2.0 */
#include "queue.h"

#include "plugin.h"
#include "submit.h"

#include <signal.h>
#include <time.h>

#define JOBS_MOST 64u

typedef struct queued_job {
    sy_unit *unit;
    sy_job job; /* as far as this build knows it; the arrays are the host's */
} queued_job;

struct gpu_queue {
    sy_device *device;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    queued_job jobs[JOBS_MOST];
    uint32_t first, n; /* of the ring */
    bool ends;
    uint64_t told_ns; /* processor time of the thread that jobs were told of */
};

static void job_finish(sy_device *device, const sy_job *job, sy_status status) {
    atomic_fetch_sub(&device->live_jobs, 1);
    for (uint32_t i = 0; i < job->n_signals; i++) {
        kit_fence_signal(job->signals[i], status);
    }
}

static sy_status job_run(sy_device *device, const queued_job *queued) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < queued->job.n_waits; i++) {
        status = kit_fence_wait(queued->job.waits[i], queued->job.deadline_ns);
    }
    if (status != SY_OK) {
        return SY_STATUS_CLASS(status) == SY_DEADLINE_EXCEEDED
                   ? status
                   : SY_STATUS(SY_ABORTED, SY_DETAIL_POISONED);
    }
    return gpu_seen(device, gpu_job_run(queued->unit, &queued->job));
}

/* All that the thread did since the job before. */
static void time_tell(gpu_queue *queue, const sy_job *job) {
    const sy_profile *profile = kit_profile(job);
    struct timespec now = {0};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    if (profile != NULL && profile->cost != NULL) {
        profile->cost->host_ns += now_ns - queue->told_ns;
    }
    queue->told_ns = now_ns;
}

static void *queue_work(void *argument) {
    gpu_queue *queue = argument;
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        while (queue->n == 0 && !queue->ends) {
            pthread_cond_wait(&queue->changed, &queue->lock);
        }
        if (queue->n == 0) {
            break;
        }
        queued_job *queued = &queue->jobs[queue->first];
        pthread_mutex_unlock(&queue->lock);
        sy_status status = job_run(queue->device, queued);
        sy_job job = queued->job;
        time_tell(queue, &job);
        pthread_mutex_lock(&queue->lock);
        queue->first = (queue->first + 1) % JOBS_MOST;
        queue->n--;
        pthread_mutex_unlock(&queue->lock);
        job_finish(queue->device, &job, status);
        pthread_mutex_lock(&queue->lock);
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

sy_status gpu_queue_create(sy_device *device, gpu_queue **out_queue) {
    gpu_queue *queue = kit_alloc(sizeof(*queue));
    if (queue == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a queue of jobs");
    }
    queue->device = device;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->changed, NULL);
    sigset_t all, before; /* signals are for threads of the host */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(&queue->thread, NULL, queue_work, queue);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0) {
        pthread_cond_destroy(&queue->changed);
        pthread_mutex_destroy(&queue->lock);
        kit_release(queue, sizeof(*queue));
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no thread for the jobs of a device");
    }
    *out_queue = queue;
    return SY_OK;
}

void gpu_queue_destroy(gpu_queue *queue) {
    pthread_mutex_lock(&queue->lock);
    queue->ends = true;
    pthread_cond_signal(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
    pthread_join(queue->thread, NULL);
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
    kit_release(queue, sizeof(*queue));
}

sy_status gpu_submit(sy_unit *unit, const sy_job *job) {
    gpu_queue *queue = unit->device->queue;
    sy_job known = {.n_symbols = 0};
    size_t n_bytes = job->header.size < sizeof(known) ? job->header.size : sizeof(known);
    memcpy(&known, job, n_bytes);
    sy_status status = gpu_job_check(unit, &known);
    if (status != SY_OK) {
        return status;
    }
    pthread_mutex_lock(&queue->lock);
    bool is_full = queue->n == JOBS_MOST;
    if (!is_full) {
        queue->jobs[(queue->first + queue->n) % JOBS_MOST] = (queued_job){unit, known};
        queue->n++;
        atomic_fetch_add(&unit->device->live_jobs, 1);
        pthread_cond_signal(&queue->changed);
    }
    pthread_mutex_unlock(&queue->lock);
    return is_full ? kit_report(SY_STATUS(SY_UNAVAILABLE, SY_DETAIL_DEVICE_BUSY), SY_NO_VALUE,
                                "%u jobs wait already: wait for one of them", JOBS_MOST)
                   : SY_OK;
}

sy_status gpu_cancel(sy_unit *unit, uint64_t run) {
    atomic_store(&unit->cancelled_run, run + 1);
    return SY_OK;
}
