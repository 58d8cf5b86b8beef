/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers are host memory, owned or imported. */
#include "reference/internal.h"

#include <inttypes.h>

static sy_status make_buffer(sy_device *device, uint8_t *bytes, uint64_t n_bytes, bool owned,
                             sy_buffer **out_buffer) {
    sy_buffer *buffer = SY__NEW(&device->allocator, sy_buffer);
    if (buffer == NULL) {
        return SY_RESOURCE_EXHAUSTED;
    }
    *buffer = (sy_buffer){device, bytes, n_bytes, owned};
    atomic_fetch_add(&device->live_handles, 1);
    *out_buffer = buffer;
    return SY_OK;
}

sy_status sy__ref_buffer_create(sy_device *device, sy_memory_kind kind, uint64_t n_bytes,
                                sy_buffer **out_buffer) {
    if (device == NULL || out_buffer == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    if (kind != SY_MEMORY_HOST) {
        return sy__ref_report(device, SY_UNIMPLEMENTED, SY_NO_VALUE,
                              "the reference delegate makes buffers of host memory only");
    }
    uint8_t *bytes = NULL;
    if (n_bytes <= SIZE_MAX) {
        bytes = sy__alloc_array(&device->allocator, (size_t)n_bytes, 1);
    }
    if (bytes == NULL) {
        return sy__ref_report(device, SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                              "no memory for a buffer of %" PRIu64 " bytes", n_bytes);
    }
    sy_status status = make_buffer(device, bytes, n_bytes, true, out_buffer);
    if (status != SY_OK) {
        sy__free_array(&device->allocator, bytes, (size_t)n_bytes, 1);
    }
    return status;
}

sy_status sy__ref_buffer_import(sy_device *device, const sy_memory *memory,
                                sy_buffer **out_buffer) {
    if (device == NULL || memory == NULL || out_buffer == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    if (memory->kind != SY_MEMORY_HOST) {
        return sy__ref_report(device, SY_UNIMPLEMENTED, SY_NO_VALUE,
                              "the reference delegate imports host memory only");
    }
    if ((memory->pointer == NULL && memory->length_bytes > 0) || memory->offset_bytes != 0 ||
        (uintptr_t)memory->pointer % SY__ALIGNMENT != 0) {
        return sy__ref_report(device, SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "imported host memory needs a 64-byte aligned pointer and offset 0");
    }
    return make_buffer(device, memory->pointer, memory->length_bytes, false, out_buffer);
}

sy_status sy__ref_buffer_export(sy_buffer *buffer, sy_memory_kind kind, sy_memory *out_memory) {
    if (buffer == NULL || out_memory == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    if (kind != SY_MEMORY_HOST) {
        return sy__ref_report(buffer->device, SY_UNIMPLEMENTED, SY_NO_VALUE,
                              "the reference delegate exports host memory only");
    }
    *out_memory = (sy_memory){
        .kind = kind, .fd = -1, .pointer = buffer->bytes, .length_bytes = buffer->n_bytes};
    return SY_OK;
}

sy_status sy__ref_buffer_map(sy_buffer *buffer, uint64_t offset_bytes, uint64_t n_bytes,
                             uint32_t access, void **out_pointer) {
    if (buffer == NULL || out_pointer == NULL || access == 0 ||
        (access & ~(uint32_t)(SY_ACCESS_READ | SY_ACCESS_WRITE)) != 0) {
        return SY_INVALID_ARGUMENT;
    }
    if (offset_bytes > buffer->n_bytes || n_bytes > buffer->n_bytes - offset_bytes) {
        return sy__ref_report(buffer->device, SY_OUT_OF_RANGE, SY_NO_VALUE,
                              "map of [%" PRIu64 ", +%" PRIu64 ") in a buffer of %" PRIu64,
                              offset_bytes, n_bytes, buffer->n_bytes);
    }
    *out_pointer = buffer->bytes + offset_bytes;
    return SY_OK;
}

sy_status sy__ref_buffer_unmap(sy_buffer *buffer) {
    return buffer != NULL ? SY_OK : SY_INVALID_ARGUMENT;
}

sy_status sy__ref_buffer_destroy(sy_buffer *buffer) {
    if (buffer == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    sy_device *device = buffer->device;
    if (buffer->owned) {
        sy__free_array(&device->allocator, buffer->bytes, (size_t)buffer->n_bytes, 1);
    }
    SY__DELETE(&device->allocator, buffer);
    atomic_fetch_sub(&device->live_handles, 1);
    return SY_OK;
}
