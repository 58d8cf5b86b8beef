/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime: one per process in the usual case. It owns the thread team, the fences, the log sink
 * and the table of delegates that plans are made over. The reference CPU delegate is always in the
 * table, last; the registry (switchyard/registry.h) adds those of plugins. A vendor's or a test's
 * own table can be added without any file through sy_runtime_attach and sy_runtime_add.
 */
#ifndef SWITCHYARD_RUNTIME_H
#define SWITCHYARD_RUNTIME_H

#include "switchyard/allocator.h"
#include "switchyard/blob_store.h"
#include "switchyard/log.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sy_runtime sy_runtime;

/* Settings of a runtime. Start from sy_runtime_options_default. */
typedef struct sy_runtime_options {
    uint32_t struct_bytes;         /* sizeof(sy_runtime_options) */
    uint32_t n_threads;            /* 0: one per core this process may use */
    const sy_allocator *allocator; /* NULL: heap */
    const sy_log *log;             /* NULL: silent; must outlive the runtime */
    const char *affinity;          /* NULL or "none", "performance", or CPUs: "0-3, 6" */
    uint32_t spin_us;              /* threads wait awake so long for more work, then sleep */
    const sy_blob_store *blobs;    /* NULL: none are kept; must outlive the runtime */
} sy_runtime_options;

/* One device of one loaded plugin, as plans see it. Everything is borrowed from the plugin or the
 * registry and must outlive the runtime's use of it. */
typedef struct sy_delegate {
    const char *name;    /* of the plugin, e.g. "cpu-xnnpack" */
    const char *options; /* given to open, or NULL */
    const sy_plugin *plugin;
    sy_context *context;
    sy_device *device;
    sy_device_info info; /* as enumerate gave it */
    /* Where the owner keeps `device`: written when a lost device is opened again (failover.h), NULL
     * while it cannot be. NULL: it is never opened again. */
    sy_device **handle;
} sy_delegate;

/* Fills defaults.
 * shape: -  unit: -  owner: caller  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
void sy_runtime_options_default(sy_runtime_options *out_options);

/* Makes a runtime with the reference delegate in its table. NULL options: defaults.
 * shape: -  unit: -  owner: caller, sy_runtime_destroy  errors: RESOURCE_EXHAUSTED, UNAVAILABLE
 * when threads cannot be made, INVALID_ARGUMENT or OUT_OF_RANGE for an affinity  thread: any
 * cost: makes threads  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_runtime_create(const sy_runtime_options *options,
                                          sy_runtime **out_runtime, sy_error *error);

/* Ends a runtime after every plan, executor and registry made from it is gone. NULL is fine. Where
 * a job hangs to the end (docs/failover.md), the runtime stays for good.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time
 * cost: joins threads  since: 0.1  source: - */
void sy_runtime_destroy(sy_runtime *runtime);

/* Keeps the calling thread on the CPUs of the affinity option, as the runtime's own threads are; a
 * program calls it on the threads that run steps, if it likes. Does nothing without affinity.
 * shape: -  unit: -  owner: -  errors: PERMISSION_DENIED when the system refuses  thread: any
 * cost: one system call  since: 0.1  source: sched_setaffinity(2) */
SY_MUST_CHECK sy_status sy_runtime_place_thread(const sy_runtime *runtime, sy_error *error);

/* Makes the host services for one plugin: the table to hand to its entry function. The context
 * remembers the newest report of each call so that errors carry the plugin's own words.
 * shape: -  unit: -  owner: runtime, until sy_runtime_detach  errors: RESOURCE_EXHAUSTED
 * thread: one at a time  cost: heap  since: 0.1  source: SYP-1 */
SY_MUST_CHECK sy_status sy_runtime_attach(sy_runtime *runtime, const char *name,
                                          const sy_host **out_host, sy_error *error);

/* Frees the services of a plugin that will not be called any more.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time
 * cost: O(1)  since: 0.1  source: - */
void sy_runtime_detach(sy_runtime *runtime, const sy_host *host);

/* The newest text the plugin behind `host` reported since sy_report_clear, "" when none.
 * shape: -  unit: -  owner: borrowed until the next call into the plugin  errors: none
 * thread: the one that called the plugin  cost: O(1)  since: 0.1  source: - */
const char *sy_report_text(const sy_host *host);

/* Forgets the newest report. Call before a call whose report is wanted.
 * shape: -  unit: -  owner: -  errors: none  thread: the one that calls the plugin
 * cost: O(1)  since: 0.1  source: - */
void sy_report_clear(const sy_host *host);

/* Adds a delegate before the reference delegate. The struct is copied.
 * shape: -  unit: -  owner: runtime copies  errors: ALREADY_EXISTS for the same name and device id,
 * RESOURCE_EXHAUSTED over SY_LIMIT_DELEGATES  thread: one at a time  cost: O(n)  since: 0.1
 * source: - */
SY_MUST_CHECK sy_status sy_runtime_add(sy_runtime *runtime, const sy_delegate *delegate,
                                       sy_error *error);

/* Takes a delegate out of the table again (by its device handle); plans made over it must be gone.
 * shape: -  unit: -  owner: -  errors: none  thread: one at a time
 * cost: O(n)  since: 0.1  source: - */
void sy_runtime_remove(sy_runtime *runtime, const sy_device *device);

/* The same for delegates of a plugin's table whose devices were closed and did not open again.
 * shape: -  unit: -  owner: -  errors: none  thread: one at a time
 * cost: O(n)  since: 0.1  source: - */
void sy_runtime_remove_closed(sy_runtime *runtime, const sy_plugin *plugin);

/* Number of delegates; the reference delegate is the last one.
 * shape: -  unit: -  owner: -  errors: none  thread: any while nobody adds
 * cost: O(1)  since: 0.1  source: - */
uint32_t sy_runtime_n_delegates(const sy_runtime *runtime);

/* Delegate by index, NULL past the end.
 * shape: -  unit: -  owner: runtime  errors: NULL  thread: any while nobody adds
 * cost: O(1)  since: 0.1  source: - */
const sy_delegate *sy_runtime_delegate(const sy_runtime *runtime, uint32_t i_delegate);

/* The services of a delegate's plugin (for sy_report_text), or NULL for a table without them.
 * shape: -  unit: -  owner: runtime  errors: NULL  thread: any
 * cost: O(n)  since: 0.1  source: - */
const sy_host *sy_runtime_host(const sy_runtime *runtime, const sy_context *context);

/* Where compiled segments are kept, NULL nowhere.
 * shape: -  unit: -  owner: borrowed  errors: NULL  thread: any
 * cost: O(1)  since: 0.1  source: - */
const sy_blob_store *sy_runtime_blobs(const sy_runtime *runtime);

/* Allocator, log and thread count the runtime was made with.
 * shape: -  unit: -  owner: borrowed  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
const sy_allocator *sy_runtime_allocator(const sy_runtime *runtime);

/* Live bytes of everything that was made with the runtime's allocator: plans, executors, engines,
 * and what delegates take through the host.
 * shape: -  unit: bytes  owner: -  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
uint64_t sy_runtime_heap_bytes(const sy_runtime *runtime);
const sy_log *sy_runtime_log(const sy_runtime *runtime);
uint32_t sy_runtime_n_threads(const sy_runtime *runtime);

#ifdef __cplusplus
}
#endif
#endif
