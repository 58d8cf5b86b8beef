/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host for one plugin table, without the core: it counts and can refuse memory, runs tasks on a
 * thread team, keeps fences and the newest report, and notes every rule the plugin breaks.
 */
#ifndef SY_CONFORM_TEST_HOST_H
#define SY_CONFORM_TEST_HOST_H

#include "base/team.h"

#include <pthread.h>

#define SY_TEST_REPORT_BYTES 512u
#define SY_TEST_FENCES 16u

typedef struct sy_test_fence {
    uint64_t value; /* reached */
    sy_status status;
    uint64_t n_signals;
} sy_test_fence;

typedef struct sy_test_allocation {
    void *pointer;
    size_t n_bytes;
} sy_test_allocation;

/* Caller's memory; read the counters freely while no plugin call runs. */
typedef struct sy_test_host {
    sy_host services; /* hand &host->services to the plugin's entry function */
    sy__team *team;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    uint64_t n_allocs;   /* calls of alloc so far */
    uint64_t fail_from;  /* refuse alloc number fail_from (counted from 0); UINT64_MAX: never */
    uint64_t fail_count; /* how many in a row are refused */
    uint64_t live_bytes, peak_bytes, limit_bytes; /* more than limit_bytes live is refused */
    sy_test_allocation *live;
    size_t n_live, live_capacity;

    uint32_t n_reports;
    sy_severity report_severity;
    sy_status report_status;
    uint32_t report_node;
    char report[SY_TEST_REPORT_BYTES]; /* newest text */

    sy_test_fence fences[SY_TEST_FENCES];
    uint64_t n_parallel;                          /* calls of parallel */
    int cancelled;                                /* what host->cancelled answers */
    uint8_t *blob;                                /* what host->blob_write received */
    size_t blob_bytes, blob_capacity, blob_limit; /* a write past blob_limit is refused */

    uint32_t n_misuses; /* rules broken by the plugin, newest in words */
    char misuse[SY_TEST_REPORT_BYTES];
} sy_test_host;

/* n_workers 1 runs every task on the caller. */
SY_MUST_CHECK sy_status sy_test_host_init(sy_test_host *host, uint32_t n_workers, sy_error *error);
/* Frees the host's own memory; look at n_live and n_misuses before. */
void sy_test_host_deinit(sy_test_host *host);
/* Lets the n_ok next allocations pass and refuses n_refused after them. */
void sy_test_host_fail_alloc(sy_test_host *host, uint64_t n_ok, uint64_t n_refused);
void sy_test_host_never_fail(sy_test_host *host);
/* Forgets the newest report. */
void sy_test_host_clear_report(sy_test_host *host);
/* A point that is not reached yet on fence `i_fence` < SY_TEST_FENCES. */
sy_point sy_test_host_next_point(sy_test_host *host, uint32_t i_fence);

#endif
