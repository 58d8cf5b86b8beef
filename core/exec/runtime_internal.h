/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the runtime; for core/exec only. */
#ifndef SY_EXEC_RUNTIME_INTERNAL_H
#define SY_EXEC_RUNTIME_INTERNAL_H

#include "base/memory.h"
#include "base/team.h"
#include "switchyard/limits.h"
#include "switchyard/runtime.h"

#include <pthread.h>

#define SY__REPORT_BYTES 320u

/* Bytes that compile appends through host->blob_write. */
typedef struct sy__blob_sink {
    uint8_t *bytes;
    size_t n_bytes, capacity_bytes;
} sy__blob_sink;

/* One plugin's services. The host table lies inside, so that a context can be found from it. */
struct sy_context {
    sy_runtime *runtime;
    sy_host host;
    char *name;
    struct sy_context *next;
    sy__blob_sink *sink;  /* while compile runs */
    uint64_t used_bytes;  /* atomic: live memory through host->alloc */
    pthread_mutex_t lock; /* guards report */
    char report[SY__REPORT_BYTES];
    char report_copy[SY__REPORT_BYTES];
};

typedef struct sy__fence {
    uint64_t value; /* highest value reached */
    uint64_t failed_value;
    sy_status failed_status;
    bool used;
} sy__fence;

struct sy_runtime {
    sy_budget heap;                /* counts; the parent is what the options gave */
    const sy_allocator *allocator; /* that of heap */
    const sy_log *log;
    sy__team *team;
    sy__cpus cpus;
    bool has_affinity; /* cpus is what the options asked for */
    sy_context *contexts;
    sy_delegate delegates[SY_LIMIT_DELEGATES];
    uint32_t n_delegates;
    pthread_mutex_t lock; /* guards fences; taken after no other lock */
    pthread_cond_t reached;
    sy__fence *fences; /* index = id - 1 */
    size_t n_fences, fences_capacity;
};

/* fence.c */
sy_status sy__fence_create(sy_runtime *runtime, uint64_t *out_fence, sy_error *error);
void sy__fence_destroy(sy_runtime *runtime, uint64_t fence);
void sy__fence_signal(sy_runtime *runtime, sy_point point, sy_status status);
sy_status sy__fence_wait(sy_runtime *runtime, sy_point point, uint64_t deadline_ns);

/* host.c: the services of one plugin. */
sy_status sy__context_create(sy_runtime *runtime, const char *name, sy_context **out_context,
                             sy_error *error);
void sy__context_destroy(sy_context *context);

#endif
