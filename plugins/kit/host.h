/* SPDX-License-Identifier: Apache-2.0 */
/* The host's services, as every delegate here calls them. The table and its context are set once,
 * by sy_plugin_entry. */
#ifndef KIT_HOST_H
#define KIT_HOST_H

#include "sy_plugin.h"
#include "sy_profile.h"

#include <stdbool.h>

void kit_host_set(const sy_host *host);

/* NULL where the host refuses. */
void *kit_alloc(size_t n_bytes);     /* zeroed, 64-byte aligned */
void *kit_alloc_raw(size_t n_bytes); /* the same, not zeroed */
void kit_release(void *pointer, size_t n_bytes);
/* Says why, and answers the status. */
sy_status kit_report(sy_status status, uint32_t i_node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Says something that makes no call fail. */
void kit_remark(sy_severity severity, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
sy_status kit_parallel(sy_task task, void *argument, uint32_t n_tasks);
uint32_t kit_worker_count(void);
bool kit_cancelled(void);
/* For compile: appends to the blob that is being made. */
sy_status kit_blob_write(uint64_t offset_bytes, const void *bytes, size_t n_bytes);
sy_status kit_fence_wait(sy_point point, uint64_t deadline_ns);
void kit_fence_signal(sy_point point, sy_status status);
/* UNIMPLEMENTED when an extension must be understood: delegates that call this know none. */
sy_status kit_extensions_check(const sy_header *header);
/* What the host wants to know of a job, or NULL. */
const sy_profile *kit_profile(const sy_job *job);
/* Value of `key` in the "key=value\n..." text that open and sy_segment.options bring. */
bool kit_option(const char *options, const char *key, char *out_value, size_t n_bytes);

#endif
