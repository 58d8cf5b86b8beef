/* SPDX-License-Identifier: Apache-2.0 */
#include "conform/test_host.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BLOB_LIMIT_BYTES (64u << 20)
#define MEMORY_LIMIT_BYTES (1ull << 30)

static sy_test_host *host_of(sy_context *context) {
    return (sy_test_host *)(void *)context;
}

/* Call with the lock held. */
static void note_misuse(sy_test_host *host, const char *text) {
    host->n_misuses++;
    snprintf(host->misuse, sizeof(host->misuse), "%s", text);
}

static void host_report(sy_context *context, sy_severity severity, sy_status status,
                        uint32_t i_node, const char *text) {
    sy_test_host *host = host_of(context);
    pthread_mutex_lock(&host->lock);
    host->n_reports++;
    host->report_severity = severity;
    host->report_status = status;
    host->report_node = i_node;
    snprintf(host->report, sizeof(host->report), "%s", text != NULL ? text : "");
    if (text == NULL || text[0] == '\0') {
        note_misuse(host, "report without a text");
    }
    pthread_mutex_unlock(&host->lock);
}

static void *host_alloc(sy_context *context, size_t size_bytes, size_t alignment_bytes) {
    sy_test_host *host = host_of(context);
    void *pointer = NULL;
    pthread_mutex_lock(&host->lock);
    uint64_t i_alloc = host->n_allocs++;
    bool refused = size_bytes > host->limit_bytes - host->live_bytes;
    refused |= i_alloc >= host->fail_from && i_alloc - host->fail_from < host->fail_count;
    if (alignment_bytes == 0 || alignment_bytes > 4096 ||
        (alignment_bytes & (alignment_bytes - 1)) != 0) {
        note_misuse(host, "alloc with an alignment that is no power of two up to 4096");
        refused = true;
    }
    if (!refused && sy__grow_array(NULL, (void **)&host->live, &host->live_capacity,
                                   host->n_live + 1, sizeof(host->live[0]))) {
        const sy_allocator *heap = sy_allocator_heap();
        pointer = heap->reallocate(heap->self, NULL, 0, size_bytes != 0 ? size_bytes : 1, 4096);
    }
    if (pointer != NULL) {
        memset(pointer, 0xa5, size_bytes); /* nobody may count on zeros */
        host->live[host->n_live++] = (sy_test_allocation){pointer, size_bytes};
        host->live_bytes += size_bytes;
        if (host->live_bytes > host->peak_bytes) {
            host->peak_bytes = host->live_bytes;
        }
    }
    pthread_mutex_unlock(&host->lock);
    return pointer;
}

static void host_release(sy_context *context, void *pointer, size_t size_bytes) {
    sy_test_host *host = host_of(context);
    if (pointer == NULL) {
        return;
    }
    pthread_mutex_lock(&host->lock);
    size_t i = host->n_live;
    while (i > 0 && host->live[i - 1].pointer != pointer) {
        i--;
    }
    if (i == 0) {
        note_misuse(host, "release of a pointer that alloc did not give");
    } else {
        size_t n_bytes = host->live[i - 1].n_bytes;
        if (n_bytes != size_bytes) {
            note_misuse(host, "release with another size than alloc");
        }
        const sy_allocator *heap = sy_allocator_heap();
        heap->reallocate(heap->self, pointer, n_bytes != 0 ? n_bytes : 1, 0, 4096);
        host->live[i - 1] = host->live[--host->n_live];
        host->live_bytes -= n_bytes;
    }
    pthread_mutex_unlock(&host->lock);
}

static sy_status host_parallel(sy_context *context, sy_task task, void *argument,
                               uint32_t n_tasks) {
    sy_test_host *host = host_of(context);
    pthread_mutex_lock(&host->lock);
    host->n_parallel++;
    pthread_mutex_unlock(&host->lock);
    sy__team_run(host->team, task, argument, n_tasks);
    return SY_OK;
}

static uint32_t host_n_workers(sy_context *context) {
    return sy__team_n_workers(host_of(context)->team);
}

static sy_status host_weight_digest(sy_context *context, const sy_graph_view *view,
                                    uint32_t i_value, uint8_t out_digest[32]) {
    (void)context;
    sy_value_view value;
    sy_status status = view->value(view->graph, i_value, &value);
    if (status != SY_OK) {
        return status;
    }
    if (value.kind != SY_VALUE_WEIGHT || value.data.pointer == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    sy__sha256 sha;
    sy__sha256_init(&sha);
    sy__sha256_update(&sha, value.data.pointer, (size_t)value.data.length_bytes);
    sy__sha256_final(&sha, out_digest);
    return SY_OK;
}

static sy_status host_blob_write(sy_context *context, uint64_t offset_bytes, const void *bytes,
                                 size_t n_bytes) {
    sy_test_host *host = host_of(context);
    sy_status status = SY_OK;
    pthread_mutex_lock(&host->lock);
    if (offset_bytes > host->blob_limit || n_bytes > host->blob_limit - offset_bytes) {
        status = SY_RESOURCE_EXHAUSTED;
    } else {
        size_t end = (size_t)offset_bytes + n_bytes;
        if (!sy__grow_array(NULL, (void **)&host->blob, &host->blob_capacity, end, 1)) {
            status = SY_RESOURCE_EXHAUSTED;
        } else {
            memcpy(host->blob + offset_bytes, bytes, n_bytes);
            host->blob_bytes = end > host->blob_bytes ? end : host->blob_bytes;
        }
    }
    pthread_mutex_unlock(&host->lock);
    return status;
}

static int host_cancelled(sy_context *context) {
    sy_test_host *host = host_of(context);
    pthread_mutex_lock(&host->lock);
    int cancelled = host->cancelled;
    pthread_mutex_unlock(&host->lock);
    return cancelled;
}

static void host_fence_signal(sy_context *context, sy_point point, sy_status status) {
    sy_test_host *host = host_of(context);
    pthread_mutex_lock(&host->lock);
    if (point.fence >= SY_TEST_FENCES) {
        note_misuse(host, "signal of a fence that does not exist");
    } else {
        sy_test_fence *fence = &host->fences[point.fence];
        if (point.value <= fence->value) {
            note_misuse(host, "point signalled twice or backwards");
        } else {
            fence->value = point.value;
            fence->status = status;
            fence->n_signals++;
        }
    }
    pthread_cond_broadcast(&host->changed);
    pthread_mutex_unlock(&host->lock);
}

static sy_status host_fence_wait(sy_context *context, sy_point point, uint64_t deadline_ns) {
    sy_test_host *host = host_of(context);
    if (point.fence >= SY_TEST_FENCES) {
        return SY_INVALID_ARGUMENT;
    }
    sy_status status = SY_OK;
    pthread_mutex_lock(&host->lock);
    const sy_test_fence *fence = &host->fences[point.fence];
    while (fence->value < point.value && status == SY_OK) {
        if (deadline_ns == 0) {
            pthread_cond_wait(&host->changed, &host->lock);
            continue;
        }
        struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                                 .tv_nsec = (long)(deadline_ns % 1000000000u)};
        if (pthread_cond_timedwait(&host->changed, &host->lock, &until) == ETIMEDOUT) {
            status = SY_DEADLINE_EXCEEDED;
        }
    }
    if (fence->value >= point.value) {
        status = fence->status;
    }
    pthread_mutex_unlock(&host->lock);
    return status;
}

static const sy_host services_template = {
    .header = SY_HEADER_INIT(sy_host),
    .report = host_report,
    .alloc = host_alloc,
    .release = host_release,
    .parallel = host_parallel,
    .n_workers = host_n_workers,
    .weight_digest = host_weight_digest,
    .blob_write = host_blob_write,
    .cancelled = host_cancelled,
    .fence_signal = host_fence_signal,
    .fence_wait = host_fence_wait,
};

sy_status sy_test_host_init(sy_test_host *host, uint32_t n_workers, sy_error *error) {
    memset(host, 0, sizeof(*host));
    host->services = services_template;
    host->services.context = (sy_context *)(void *)host;
    host->fail_from = UINT64_MAX;
    host->limit_bytes = MEMORY_LIMIT_BYTES;
    host->blob_limit = BLOB_LIMIT_BYTES;
    pthread_mutex_init(&host->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&host->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    sy_status status = sy__team_create(NULL, n_workers, &host->team, error);
    if (status != SY_OK) {
        sy_test_host_deinit(host);
    }
    return status;
}

void sy_test_host_deinit(sy_test_host *host) {
    sy__team_destroy(host->team);
    const sy_allocator *heap = sy_allocator_heap();
    sy__free_array(heap, host->live, host->live_capacity, sizeof(host->live[0]));
    sy__free_array(heap, host->blob, host->blob_capacity, 1);
    pthread_cond_destroy(&host->changed);
    pthread_mutex_destroy(&host->lock);
    memset(host, 0, sizeof(*host));
}

void sy_test_host_fail_alloc(sy_test_host *host, uint64_t n_ok, uint64_t n_refused) {
    pthread_mutex_lock(&host->lock);
    host->fail_from = host->n_allocs + n_ok;
    host->fail_count = n_refused;
    pthread_mutex_unlock(&host->lock);
}

void sy_test_host_never_fail(sy_test_host *host) {
    pthread_mutex_lock(&host->lock);
    host->fail_from = UINT64_MAX;
    pthread_mutex_unlock(&host->lock);
}

void sy_test_host_clear_report(sy_test_host *host) {
    pthread_mutex_lock(&host->lock);
    host->n_reports = 0;
    host->report_status = SY_OK;
    host->report_node = SY_NO_VALUE;
    host->report[0] = '\0';
    pthread_mutex_unlock(&host->lock);
}

sy_point sy_test_host_next_point(sy_test_host *host, uint32_t i_fence) {
    pthread_mutex_lock(&host->lock);
    sy_point point = {.fence = i_fence, .value = host->fences[i_fence].value + 1};
    pthread_mutex_unlock(&host->lock);
    return point;
}
