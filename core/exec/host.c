/* SPDX-License-Identifier: Apache-2.0 */
/* The services the host offers to one plugin: section 10 of sy_plugin.h. */
#include "base/checked.h"
#include "base/digest.h"
#include "exec/runtime_internal.h"

#include <stdio.h>
#include <string.h>

#define BLOB_BYTES_MAX ((size_t)1 << 30)

static void host_report(sy_context *context, sy_severity severity, sy_status status,
                        uint32_t i_node, const char *text) {
    text = text != NULL ? text : "";
    pthread_mutex_lock(&context->lock);
    if (severity >= SY_SEVERITY_WARNING || context->report[0] == '\0') {
        snprintf(context->report, sizeof(context->report), "%s", text);
    }
    pthread_mutex_unlock(&context->lock);
    char node[24] = "";
    if (i_node != SY_NO_VALUE) {
        snprintf(node, sizeof(node), " node=%u", i_node);
    }
    sy_log_write(context->runtime->log, severity, "plugin.report", "plugin=%s status=%s%s text=%s",
                 context->name, sy_status_name(status), node, text);
}

/* In front of a block: what release needs and is not told, or not told by somebody we trust. */
typedef struct block_header {
    size_t total, alignment;
} block_header;

static void *host_alloc(sy_context *context, size_t size_bytes, size_t alignment_bytes) {
    const sy_allocator *allocator = context->runtime->allocator;
    size_t alignment = alignment_bytes < SY__ALIGNMENT ? SY__ALIGNMENT : alignment_bytes, total = 0;
    if (!sy__is_power_of_two(alignment) || alignment > 4096u ||
        !sy__add_size(size_bytes, alignment, &total)) {
        return NULL;
    }
    uint8_t *base = allocator->reallocate(allocator->self, NULL, 0, total, alignment);
    if (base == NULL) {
        return NULL;
    }
    const block_header header = {total, alignment};
    memcpy(base + alignment - sizeof(header), &header, sizeof(header));
    __atomic_add_fetch(&context->used_bytes, total, __ATOMIC_RELAXED);
    return base + alignment;
}

static void host_release(sy_context *context, void *pointer, size_t size_bytes) {
    if (pointer == NULL) {
        return;
    }
    const sy_allocator *allocator = context->runtime->allocator;
    block_header header;
    memcpy(&header, (uint8_t *)pointer - sizeof(header), sizeof(header));
    __atomic_sub_fetch(&context->used_bytes, size_bytes + header.alignment, __ATOMIC_RELAXED);
    allocator->reallocate(allocator->self, (uint8_t *)pointer - header.alignment, header.total, 0,
                          header.alignment);
}

static sy_status host_parallel(sy_context *context, sy_task task, void *argument,
                               uint32_t n_tasks) {
    sy__team_run(context->runtime->team, task, argument, n_tasks);
    return SY_OK;
}

static uint32_t host_n_workers(sy_context *context) {
    return sy__team_n_workers(context->runtime->team);
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
    static const uint8_t unknown[32];
    if (memcmp(value.digest, unknown, sizeof(unknown)) != 0) {
        memcpy(out_digest, value.digest, sizeof(value.digest));
        return SY_OK;
    }
    sy__sha256 sha;
    sy__sha256_init(&sha);
    sy__sha256_update(&sha, value.data.pointer, (size_t)value.data.length_bytes);
    sy__sha256_final(&sha, out_digest);
    return SY_OK;
}

static sy_status host_blob_write(sy_context *context, uint64_t offset_bytes, const void *bytes,
                                 size_t n_bytes) {
    sy__blob_sink *sink = context->sink;
    uint64_t end = 0;
    if (sink == NULL) {
        return SY_FAILED_PRECONDITION;
    }
    if (!sy__add_u64(offset_bytes, n_bytes, &end) || end > BLOB_BYTES_MAX) {
        return SY_OUT_OF_RANGE;
    }
    void *grown = sink->bytes;
    if (!sy__grow_array(context->runtime->allocator, &grown, &sink->capacity_bytes, (size_t)end,
                        1)) {
        return SY_RESOURCE_EXHAUSTED;
    }
    sink->bytes = grown;
    if (n_bytes > 0) {
        memcpy(sink->bytes + offset_bytes, bytes, n_bytes);
    }
    sink->n_bytes = sink->n_bytes > end ? sink->n_bytes : (size_t)end;
    return SY_OK;
}

static int host_cancelled(sy_context *context) {
    (void)context;
    return 0; /* nothing is compiled in the background yet */
}

static void host_fence_signal(sy_context *context, sy_point point, sy_status status) {
    sy__fence_signal(context->runtime, point, status);
}

static sy_status host_fence_wait(sy_context *context, sy_point point, uint64_t deadline_ns) {
    return sy__fence_wait(context->runtime, point, deadline_ns);
}

static const sy_host services = {
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

sy_status sy__context_create(sy_runtime *runtime, const char *name, sy_context **out_context,
                             sy_error *error) {
    sy_context *context = SY__NEW(runtime->allocator, sy_context);
    size_t n_name = strlen(name) + 1;
    char *copy = sy__alloc_array(runtime->allocator, n_name, 1);
    if (context == NULL || copy == NULL) {
        if (context != NULL) {
            SY__DELETE(runtime->allocator, context);
        }
        sy__free_array(runtime->allocator, copy, n_name, 1);
        return sy__no_memory(error, sizeof(*context), "the services of a plugin");
    }
    memcpy(copy, name, n_name);
    context->runtime = runtime;
    context->name = copy;
    context->host = services;
    context->host.context = context;
    pthread_mutex_init(&context->lock, NULL);
    *out_context = context;
    return SY_OK;
}

void sy__context_destroy(sy_context *context) {
    const sy_allocator *allocator = context->runtime->allocator;
    pthread_mutex_destroy(&context->lock);
    sy__free_array(allocator, context->name, strlen(context->name) + 1, 1);
    SY__DELETE(allocator, context);
}

const char *sy_report_text(const sy_host *host) {
    if (host == NULL) {
        return "";
    }
    sy_context *context = host->context;
    pthread_mutex_lock(&context->lock);
    memcpy(context->report_copy, context->report, sizeof(context->report_copy));
    pthread_mutex_unlock(&context->lock);
    return context->report_copy;
}

void sy_report_clear(const sy_host *host) {
    if (host == NULL) {
        return;
    }
    pthread_mutex_lock(&host->context->lock);
    host->context->report[0] = '\0';
    pthread_mutex_unlock(&host->context->lock);
}
