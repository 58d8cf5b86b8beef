/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers: memory of the device, or the host's without a copy. What the host cannot see is mapped
 * through a shadow, which stays: steps map the same ranges again. */
#include "faults.h"
#include "plugin.h"

#define PAGE_BYTES 4096u /* the smallest there is */

static sy_status buffer_new(sy_device *device, uint64_t n_bytes, sy_buffer **out_buffer) {
    if (atomic_load(&device->is_lost)) {
        return gpu_lost(device);
    }
    sy_status status = gpu_fault_of_creation(device);
    if (status != SY_OK) {
        return status;
    }
    sy_buffer *buffer = n_bytes <= SIZE_MAX / 2 ? kit_alloc(sizeof(*buffer)) : NULL;
    if (buffer == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "no memory for a buffer of %llu bytes", (unsigned long long)n_bytes);
    }
    buffer->device = device;
    buffer->n_bytes = n_bytes;
    *out_buffer = buffer;
    return SY_OK;
}

static sy_status buffer_keep(sy_buffer *buffer, sy_status status, sy_buffer **out_buffer) {
    if (status != SY_OK) {
        sy_device *device = buffer->device;
        kit_release(buffer, sizeof(*buffer));
        return gpu_seen(device, status);
    }
    atomic_fetch_add(&buffer->device->live_handles, 1);
    *out_buffer = buffer;
    return SY_OK;
}

sy_status gpu_buffer_create(sy_device *device, sy_memory_kind kind, uint64_t n_bytes,
                            sy_buffer **out_buffer) {
    sy_buffer *buffer = NULL;
    if (kind != SY_MEMORY_OPAQUE) {
        return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE,
                          "memory kind %u cannot be made by a GPU: use OPAQUE, or import", kind);
    }
    sy_status status = buffer_new(device, n_bytes, &buffer);
    if (status != SY_OK) {
        return status;
    }
    status = gpu_memory_create(device->driver, (n_bytes + 16) & ~(uint64_t)15, GPU_MEMORY_DEVICE,
                               &buffer->memory);
    return buffer_keep(buffer, status, out_buffer);
}

sy_status gpu_buffer_import(sy_device *device, const sy_memory *memory, sy_buffer **out_buffer) {
    const gpu_limits *limits = device->limits;
    bool is_host = memory->kind == SY_MEMORY_HOST && limits->imports_host;
    bool is_dmabuf = memory->kind == SY_MEMORY_DMABUF && limits->imports_dmabuf;
    if (!is_host && !is_dmabuf) {
        return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE,
                          "memory kind %u cannot be imported by this device", memory->kind);
    }
    if (is_host && (memory->pointer == NULL ||
                    (uintptr_t)memory->pointer % limits->import_alignment_bytes != 0)) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "host memory to import must begin at a multiple of %llu bytes",
                          (unsigned long long)limits->import_alignment_bytes);
    }
    if (memory->offset_bytes != 0) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "memory is imported from its start: offset %llu is not 0",
                          (unsigned long long)memory->offset_bytes);
    }
    /* The rest of the last page is mapped as well, whoever it belongs to. */
    uint64_t page = is_host && limits->import_alignment_bytes <= PAGE_BYTES
                        ? limits->import_alignment_bytes
                        : 1;
    sy_buffer *buffer = NULL;
    sy_status status = buffer_new(device, memory->length_bytes, &buffer);
    if (status != SY_OK) {
        return status;
    }
    uint64_t n_bytes = (memory->length_bytes + page - 1) / page * page;
    status = is_host ? gpu_memory_import(device->driver, memory->pointer, n_bytes, &buffer->memory)
                     : gpu_memory_import_dmabuf(device->driver, memory->fd, memory->length_bytes,
                                                &buffer->memory);
    return buffer_keep(buffer, status, out_buffer);
}

/* Makes the shadow long enough, and a copy of what is there where that will be read. */
static sy_status shadow_fill(sy_buffer *buffer, uint64_t offset_bytes, uint64_t n_bytes,
                             uint32_t access) {
    if (buffer->shadow == NULL || n_bytes > buffer->shadow_bytes) {
        kit_release(buffer->shadow, buffer->shadow_bytes);
        buffer->shadow_bytes = n_bytes > 0 ? n_bytes : 1;
        buffer->shadow = kit_alloc_raw(buffer->shadow_bytes);
    }
    if (buffer->shadow == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "no memory to map %llu bytes of a buffer", (unsigned long long)n_bytes);
    }
    return (access & SY_ACCESS_READ) != 0 && n_bytes > 0
               ? gpu_memory_read(buffer->memory, offset_bytes, buffer->shadow, n_bytes)
               : SY_OK;
}

sy_status gpu_buffer_map(sy_buffer *buffer, uint64_t offset_bytes, uint64_t n_bytes,
                         uint32_t access, void **out_pointer) {
    if (offset_bytes > buffer->n_bytes || n_bytes > buffer->n_bytes - offset_bytes) {
        return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE, "mapping past the end of a buffer");
    }
    if (buffer->access != 0) {
        return kit_report(SY_FAILED_PRECONDITION, SY_NO_VALUE, "the buffer is mapped already");
    }
    if (atomic_load(&buffer->device->is_lost)) {
        return gpu_lost(buffer->device);
    }
    uint8_t *bytes = gpu_memory_pointer(buffer->memory);
    sy_status status = bytes == NULL ? shadow_fill(buffer, offset_bytes, n_bytes, access) : SY_OK;
    if (status != SY_OK) {
        return gpu_seen(buffer->device, status);
    }
    buffer->access = access != 0 ? access : SY_ACCESS_READ;
    buffer->mapped_at = offset_bytes;
    buffer->mapped_bytes = n_bytes;
    *out_pointer = bytes != NULL ? bytes + offset_bytes : buffer->shadow;
    return SY_OK;
}

sy_status gpu_buffer_unmap(sy_buffer *buffer) {
    bool is_shadow = gpu_memory_pointer(buffer->memory) == NULL;
    sy_status status = SY_OK;
    if (is_shadow && (buffer->access & SY_ACCESS_WRITE) != 0 && buffer->mapped_bytes > 0) {
        status = gpu_memory_write(buffer->memory, buffer->mapped_at, buffer->shadow,
                                  buffer->mapped_bytes);
    }
    buffer->access = 0;
    return gpu_seen(buffer->device, status);
}

sy_status gpu_buffer_destroy(sy_buffer *buffer) {
    if (buffer != NULL) {
        kit_release(buffer->shadow, buffer->shadow_bytes);
        gpu_memory_destroy(buffer->memory);
        atomic_fetch_sub(&buffer->device->live_handles, 1);
        kit_release(buffer, sizeof(*buffer));
    }
    return SY_OK;
}
