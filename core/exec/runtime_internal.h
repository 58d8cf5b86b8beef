/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the runtime; for core/exec only. */
#ifndef SY_EXEC_RUNTIME_INTERNAL_H
#define SY_EXEC_RUNTIME_INTERNAL_H

#include "base/memory.h"
#include "base/team.h"
#include "switchyard/failover.h"
#include "switchyard/limits.h"

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

/* What is remembered of a delegate's failures. */
typedef struct sy__record {
    sy_delegate_record public;
    uint64_t retry_at_ns;
    uint64_t failed_at_ns[SY_QUARANTINE_FAILURES_MAX]; /* a ring, by public.n_failures */
    uint32_t n_probation_steps;                        /* that are left */
    bool is_dead;                                      /* its handles are: it must be reopened */
} sy__record;

struct sy_runtime {
    sy_budget heap;                /* counts; the parent is what the options gave */
    const sy_allocator *allocator; /* that of heap */
    const sy_log *log;
    const sy_blob_store *blobs;
    sy__team *team;
    sy__cpus cpus;
    bool has_affinity; /* cpus is what the options asked for */
    sy_context *contexts;
    sy_delegate delegates[SY_LIMIT_DELEGATES];
    uint32_t n_delegates;
    sy_quarantine_options quarantine;
    sy__record records[SY_LIMIT_DELEGATES]; /* of delegates[i] */
    uint32_t n_unsound;                     /* atomic: records that are not READY */
    pthread_mutex_t replan_lock;            /* engines that plan anew take turns */
    pthread_mutex_t record_lock;            /* guards quarantine and records */
    pthread_mutex_t lock;                   /* guards fences; taken after no other lock */
    pthread_cond_t reached;
    sy__fence *fences; /* index = id - 1 */
    size_t n_fences, fences_capacity;
};

/* fence.c */
sy_status sy__fence_create(sy_runtime *runtime, uint64_t *out_fence, sy_error *error);
void sy__fence_destroy(sy_runtime *runtime, uint64_t fence);
void sy__fence_signal(sy_runtime *runtime, sy_point point, sy_status status);
sy_status sy__fence_wait(sy_runtime *runtime, sy_point point, uint64_t deadline_ns);

/* Was the point reached, or failed? */
bool sy__fence_is_reached(sy_runtime *runtime, sy_point point);

/* quarantine.c: an executor that has handles of a delegate comes or goes. */
void sy__record_count_users(sy_runtime *runtime, uint32_t i_delegate, int change);
/* A step of a delegate on probation ran well. */
void sy__record_confirm(sy_runtime *runtime, uint32_t i_delegate);
/* Is any delegate not READY? One atomic load. */
static inline bool sy__runtime_is_unsound(const sy_runtime *runtime) {
    return __atomic_load_n(&runtime->n_unsound, __ATOMIC_RELAXED) > 0;
}

/* host.c: the services of one plugin. */
sy_status sy__context_create(sy_runtime *runtime, const char *name, sy_context **out_context,
                             sy_error *error);
void sy__context_destroy(sy_context *context);

#endif
