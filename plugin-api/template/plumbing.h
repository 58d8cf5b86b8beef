/* SPDX-License-Identifier: Apache-2.0 */
/* What a vendor fills in late: the one device, buffers in host memory, extensions. */
#ifndef PLUMBING_H
#define PLUMBING_H

#include "sy_plugin.h"

#include <string.h>

struct sy_device {
    _Atomic uint64_t live; /* buffers and units; a driver's handle, later */
};
struct sy_buffer {
    char *bytes;
    size_t n_bytes; /* of the allocation: this struct in its first 64, then own memory, if any */
};

static const sy_host *host; /* set by the entry; valid until the plugin is unloaded */
static sy_device the_device;

/* SYP-4: an extension that we do not know is skipped, unless it says `must`. */
static sy_status check(const sy_header *header) {
    const sy_extension *e = header->extensions;
    while (e != NULL && e->must == 0) {
        e = e->next;
    }
    return e == NULL ? SY_OK : SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_REQUIRED_EXTENSION);
}

static sy_status enumerate(sy_context *context, sy_device_info *out_infos, size_t stride,
                           uint32_t *inout_count) {
    (void)context, (void)stride; /* one device: the first info is the only one */
    if (out_infos != NULL && *inout_count > 0) {
        memcpy(out_infos->id, "cpu0", sizeof("cpu0"));
        out_infos->device_class = SY_DEVICE_OTHER;
        out_infos->memory_in = out_infos->memory_own = SY_MEMORY_BIT(SY_MEMORY_HOST);
    }
    *inout_count = 1;
    return SY_OK;
}
static sy_status open_device(sy_context *context, uint32_t i_device, const char *options,
                             sy_device **out_device) {
    (void)context, (void)options;
    if (i_device != 0) {
        return SY_NOT_FOUND;
    }
    *out_device = &the_device;
    return SY_OK;
}
static sy_status close_device(sy_device *device) {
    return device != NULL ? SY_OK : SY_INTERNAL;
}
static sy_status health(sy_device *device, sy_health *out_health) {
    out_health->live_handles = device->live; /* the rest was cleared by the host: well */
    return SY_OK;
}

static sy_status make_buffer(char *bytes, uint64_t n_own_bytes, sy_buffer **out_buffer) {
    sy_buffer *buffer = NULL;
    if (n_own_bytes < SIZE_MAX / 2) {
        buffer = host->alloc(host->context, 64 + n_own_bytes, 64);
    }
    if (buffer == NULL) {
        return SY_RESOURCE_EXHAUSTED;
    }
    the_device.live++;
    *buffer = (sy_buffer){bytes != NULL ? bytes : (char *)buffer + 64, 64 + n_own_bytes};
    *out_buffer = buffer;
    return SY_OK;
}
static sy_status buffer_create(sy_device *device, sy_memory_kind kind, uint64_t n_bytes,
                               sy_buffer **out_buffer) {
    (void)device;
    return kind == SY_MEMORY_HOST ? make_buffer(NULL, n_bytes, out_buffer) : SY_UNIMPLEMENTED;
}
static sy_status buffer_import(sy_device *device, const sy_memory *memory, sy_buffer **out_buffer) {
    (void)device;
    if (memory->kind != SY_MEMORY_HOST || memory->pointer == NULL) {
        return SY_UNIMPLEMENTED;
    }
    return make_buffer((char *)memory->pointer + memory->offset_bytes, 0, out_buffer);
}
static sy_status buffer_destroy(sy_buffer *buffer) {
    the_device.live--;
    host->release(host->context, buffer, buffer->n_bytes);
    return SY_OK;
}
static float *at(const sy_binding *b) {
    return (void *)(b->buffer->bytes + b->offset_bytes);
}
/* Where a value that judge() accepted stands in a list of the segment. */
static uint32_t index_of(const uint32_t *values, uint32_t value) {
    uint32_t i = 0;
    while (values[i] != value) {
        i++;
    }
    return i;
}

#endif
