/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to the host. The table and context are set once by sy_plugin_entry. */
#include "plugin.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const sy_host *the_host;

void cpu_host_set(const sy_host *host) {
    the_host = host;
}

void *cpu_alloc(size_t n_bytes) {
    size_t n = n_bytes > 0 ? n_bytes : 1;
    void *pointer = the_host->alloc(the_host->context, n, 64);
    if (pointer != NULL) {
        memset(pointer, 0, n);
    }
    return pointer;
}

void *cpu_alloc_raw(size_t n_bytes) {
    return the_host->alloc(the_host->context, n_bytes > 0 ? n_bytes : 1, 64);
}

void cpu_release(void *pointer, size_t n_bytes) {
    if (pointer != NULL) {
        the_host->release(the_host->context, pointer, n_bytes > 0 ? n_bytes : 1);
    }
}

sy_status cpu_report(sy_status status, uint32_t i_node, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (the_host != NULL && the_host->report != NULL) {
        the_host->report(the_host->context, SY_SEVERITY_ERROR, status, i_node, text);
    }
    return status;
}

sy_status cpu_parallel(sy_task task, void *argument, uint32_t n_tasks) {
    return the_host->parallel(the_host->context, task, argument, n_tasks);
}

uint32_t cpu_worker_count(void) {
    uint32_t n = the_host->n_workers(the_host->context);
    return n > 0 ? n : 1;
}

bool cpu_cancelled(void) {
    return the_host->cancelled != NULL && the_host->cancelled(the_host->context) != 0;
}

sy_status cpu_fence_wait(sy_point point, uint64_t deadline_ns) {
    return the_host->fence_wait(the_host->context, point, deadline_ns);
}

void cpu_fence_signal(sy_point point, sy_status status) {
    the_host->fence_signal(the_host->context, point, status);
}

sy_status cpu_extensions_check(const sy_header *header) {
    for (const sy_extension *e = header->extensions; e != NULL; e = e->next) {
        if (e->must != 0) {
            return cpu_report(SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_REQUIRED_EXTENSION),
                              SY_NO_VALUE, "extension 0x%x must be understood and is unknown here",
                              e->id);
        }
    }
    return SY_OK;
}
