/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a delegate fails: how its failures are told apart, how jobs are watched, and how long a
 * delegate stays out before it may come back. docs/failover.md tells the whole story.
 */
#ifndef SWITCHYARD_FAILOVER_H
#define SWITCHYARD_FAILOVER_H

#include "switchyard/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How a delegate failed. */
typedef enum sy_failure {
    SY_FAILURE_NONE = 0,
    SY_FAILURE_LOST = 1,    /* the device is gone, and every handle of it is dead */
    SY_FAILURE_HUNG = 2,    /* a job did not end before its deadline */
    SY_FAILURE_GARBAGE = 3, /* it gave values that are no numbers, or outside the range */
    SY_FAILURE_ERROR = 4,   /* it refused to run what it had taken on */
    SY_FAILURE_MEMORY = 5   /* memory of the device ran out in a step */
} sy_failure;

/* Word for a failure: "lost", "hung", "garbage", "error", "memory", "none".
 * shape: -  unit: -  owner: static  errors: "none"  thread: any
 * cost: O(1)  since: 0.1  source: - */
const char *sy_failure_name(sy_failure failure);

/* Which values of delegates that are no CPU are looked at before they are used. */
typedef enum sy_guard {
    SY_GUARD_OFF = 0,
    SY_GUARD_OUTPUTS = 1, /* results of the graph */
    SY_GUARD_CROSSING = 2 /* and all that crosses from one delegate to another */
} sy_guard;

/* How an executor watches the jobs of delegates that are no CPU. All zero: not at all. A job may
 * take hang_multiple times as long as predicted, or as its longest run so far, and hang_floor_ms on
 * top, twelve times that in the first job of a segment: some drivers compile when a kernel runs. */
typedef struct sy_watch_options {
    float hang_multiple;
    uint32_t hang_floor_ms; /* 0: no watchdog */
    sy_guard guard;
    float guard_limit; /* largest magnitude of a sound value; 0: any number is */
} sy_watch_options;

/* What happens when a delegate fails under an engine (docs/failover.md). Sessions keep their rows
 * where the delegates have them; those of a lost one come from a copy in host memory, or are
 * computed anew from the tokens. */
typedef struct sy_failover_options {
    uint32_t is_off; /* 1: the failure is the call's, and sessions stand where they did */
    /* 0: no copies, rows are recomputed; 1: each step copies its rows (mirror); n: when n rows are
     * new (checkpoint) */
    uint32_t copy_every_tokens;
    uint32_t keeps_shadow; /* 1: plans without each delegate that is no CPU are made at load */
    uint32_t no_return;    /* 1: a delegate that was lost is not tried again */
    float trial_tolerance; /* a trial's results may differ by this share of their largest one */
    sy_watch_options watch;
} sy_failover_options;

/* A delegate whose device failed is in quarantine: no plan uses it. After backoff_ms, twice as long
 * after every further failure, it may be tried again, and is on probation for some steps. */
typedef struct sy_quarantine_options {
    uint32_t backoff_ms, backoff_most_ms;
    uint32_t n_failures_most; /* so many within window_s: out until the runtime ends */
    uint32_t window_s;
    uint32_t n_probation_steps;
} sy_quarantine_options;

#define SY_QUARANTINE_FAILURES_MAX 16u /* largest n_failures_most */

typedef enum sy_condition {
    SY_CONDITION_READY = 0,
    SY_CONDITION_QUARANTINED = 1,
    SY_CONDITION_PROBATION = 2, /* back, and not yet trusted */
    SY_CONDITION_OUT = 3        /* until the runtime ends */
} sy_condition;

/* What the runtime remembers of one delegate. */
typedef struct sy_delegate_record {
    sy_condition condition;
    sy_failure failure;         /* the newest; NONE: none yet */
    uint32_t n_failures;        /* in all */
    uint32_t n_recent_failures; /* within window_s */
    uint32_t n_returns;
    uint32_t n_users;  /* executors that hold handles of it */
    uint64_t retry_ns; /* QUARANTINED: time until it may be tried again */
} sy_delegate_record;

/* Fills defaults: failures are survived, rows recomputed, plans made when they are needed; 20 times
 * the expected time and 5 s for a job, no guard; trials within 5 %.
 * shape: -  unit: -  owner: caller  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: docs/failover.md */
void sy_failover_options_default(sy_failover_options *out_options);

/* Fills defaults: 1 s, at most 60 s, 3 failures within 10 minutes, 64 steps.
 * shape: -  unit: -  owner: caller  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
void sy_quarantine_options_default(sy_quarantine_options *out_options);

/* Replaces the settings of the quarantine; n_failures_most is cut to SY_QUARANTINE_FAILURES_MAX.
 * shape: -  unit: -  owner: copies  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
void sy_runtime_set_quarantine(sy_runtime *runtime, const sy_quarantine_options *options);

/* What is remembered of a delegate; zeroed past the end.
 * shape: -  unit: nanoseconds  owner: caller  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
void sy_runtime_get_record(sy_runtime *runtime, uint32_t i_delegate,
                           sy_delegate_record *out_record);

/* Puts a delegate into quarantine, or out for good where it failed too often. The reference
 * delegate never is. Goes to the log.
 * shape: -  unit: -  owner: -  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: docs/failover.md */
void sy_runtime_quarantine(sy_runtime *runtime, uint32_t i_delegate, sy_failure failure);

/* Lets a delegate back on probation: asks its health, and where its handles died closes the device
 * and opens it again with the same options. Goes to the log.
 * shape: -  unit: -  owner: -  errors: UNAVAILABLE while the back-off runs, while executors hold
 * handles of it, or when it does not open (which counts as a failure more); FAILED_PRECONDITION for
 * one that is not in quarantine or out for good  thread: one at a time per runtime
 * cost: that of the plugin's open  since: 0.1  source: docs/failover.md */
SY_MUST_CHECK sy_status sy_runtime_readmit(sy_runtime *runtime, uint32_t i_delegate,
                                           sy_error *error);

/* 1 when plans may use a delegate: it is neither in quarantine nor out.
 * shape: -  unit: -  owner: -  errors: 0 past the end  thread: any
 * cost: O(1)  since: 0.1  source: - */
int sy_runtime_is_usable(sy_runtime *runtime, uint32_t i_delegate);

/* Between these, one thread at a time plans anew, loads and readmits: what engines do within their
 * steps, on threads of their own. Not to be nested.
 * shape: -  unit: -  owner: -  errors: none  thread: any
 * cost: waits for other engines of the runtime  since: 0.1  source: docs/failover.md */
void sy_runtime_begin_replan(sy_runtime *runtime);
void sy_runtime_end_replan(sy_runtime *runtime);

#ifdef __cplusplus
}
#endif
#endif
