/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const sy_host *the_host;

void kit_host_set(const sy_host *host) {
    the_host = host;
}

void *kit_alloc(size_t n_bytes) {
    size_t n = n_bytes > 0 ? n_bytes : 1;
    void *pointer = the_host->alloc(the_host->context, n, 64);
    if (pointer != NULL) {
        memset(pointer, 0, n);
    }
    return pointer;
}

void *kit_alloc_raw(size_t n_bytes) {
    return the_host->alloc(the_host->context, n_bytes > 0 ? n_bytes : 1, 64);
}

void kit_release(void *pointer, size_t n_bytes) {
    if (pointer != NULL) {
        the_host->release(the_host->context, pointer, n_bytes > 0 ? n_bytes : 1);
    }
}

static void say(sy_severity severity, sy_status status, uint32_t i_node, const char *format,
                va_list arguments) {
    char text[256];
    vsnprintf(text, sizeof(text), format, arguments);
    if (the_host != NULL && the_host->report != NULL) {
        the_host->report(the_host->context, severity, status, i_node, text);
    }
}

sy_status kit_report(sy_status status, uint32_t i_node, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(SY_SEVERITY_ERROR, status, i_node, format, arguments);
    va_end(arguments);
    return status;
}

void kit_remark(sy_severity severity, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(severity, SY_OK, SY_NO_VALUE, format, arguments);
    va_end(arguments);
}

sy_status kit_parallel(sy_task task, void *argument, uint32_t n_tasks) {
    return the_host->parallel(the_host->context, task, argument, n_tasks);
}

uint32_t kit_worker_count(void) {
    uint32_t n = the_host->n_workers(the_host->context);
    return n > 0 ? n : 1;
}

bool kit_cancelled(void) {
    return the_host->cancelled != NULL && the_host->cancelled(the_host->context) != 0;
}

sy_status kit_blob_write(uint64_t offset_bytes, const void *bytes, size_t n_bytes) {
    return the_host->blob_write(the_host->context, offset_bytes, bytes, n_bytes);
}

sy_status kit_fence_wait(sy_point point, uint64_t deadline_ns) {
    return the_host->fence_wait(the_host->context, point, deadline_ns);
}

void kit_fence_signal(sy_point point, sy_status status) {
    the_host->fence_signal(the_host->context, point, status);
}

sy_status kit_extensions_check(const sy_header *header) {
    for (const sy_extension *e = header->extensions; e != NULL; e = e->next) {
        if (e->must != 0) {
            return kit_report(SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_REQUIRED_EXTENSION),
                              SY_NO_VALUE, "extension 0x%x must be understood and is unknown here",
                              e->id);
        }
    }
    return SY_OK;
}

const sy_profile *kit_profile(const sy_job *job) {
    for (const sy_extension *e = job->header.extensions; e != NULL; e = e->next) {
        if (e->id == SY_EXTENSION_PROFILE && e->size >= sizeof(sy_profile)) {
            return (const sy_profile *)(const void *)e;
        }
    }
    return NULL;
}

bool kit_option(const char *options, const char *key, char *out_value, size_t n_bytes) {
    size_t n_key = strlen(key);
    for (const char *line = options; line != NULL && *line != '\0';) {
        const char *end = strchr(line, '\n');
        size_t n = end != NULL ? (size_t)(end - line) : strlen(line);
        if (n > n_key && strncmp(line, key, n_key) == 0 && line[n_key] == '=' &&
            n - n_key - 1 < n_bytes) {
            memcpy(out_value, line + n_key + 1, n - n_key - 1);
            out_value[n - n_key - 1] = '\0';
            return true;
        }
        line = end != NULL ? end + 1 : NULL;
    }
    return false;
}
