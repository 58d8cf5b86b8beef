/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers: own memory from the host, the caller's memory without a copy, or a mapped memfd. */
#include "plugin.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static sy_status buffer_new(sy_device *device, uint64_t n_bytes, sy_buffer **out_buffer) {
    sy_buffer *buffer = n_bytes <= SIZE_MAX / 2 ? kit_alloc(sizeof(*buffer)) : NULL;
    if (buffer == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "no memory for a buffer of %llu bytes", (unsigned long long)n_bytes);
    }
    buffer->device = device;
    buffer->n_bytes = n_bytes;
    buffer->fd = -1;
    *out_buffer = buffer;
    return SY_OK;
}

static sy_status buffer_keep(sy_buffer *buffer, sy_buffer **out_buffer) {
    atomic_fetch_add(&buffer->device->live_handles, 1);
    *out_buffer = buffer;
    return SY_OK;
}

/* Maps [offset, offset + n_bytes) of the buffer's fd; offset need not be page-aligned. */
static sy_status buffer_map_fd(sy_buffer *buffer, uint64_t offset) {
    struct stat facts;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = offset & ~(page - 1), end = 0;
    if (fstat(buffer->fd, &facts) != 0 || facts.st_size < 0 ||
        __builtin_add_overflow(offset, buffer->n_bytes, &end) || end > (uint64_t)facts.st_size) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "the memfd is shorter than the range to import");
    }
    buffer->n_mapped = (size_t)(end - start) > 0 ? (size_t)(end - start) : 1;
    int rights = PROT_READ | PROT_WRITE;
    void *mapping = mmap(NULL, buffer->n_mapped, rights, MAP_SHARED, buffer->fd, (off_t)start);
    if (mapping == MAP_FAILED && (errno == EPERM || errno == EACCES)) { /* sealed: inputs only */
        mapping = mmap(NULL, buffer->n_mapped, PROT_READ, MAP_SHARED, buffer->fd, (off_t)start);
    }
    if (mapping == MAP_FAILED) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "mapping a memfd failed: %s",
                          strerror(errno));
    }
    buffer->memory = BUFFER_MAPPED;
    buffer->mapping = mapping;
    buffer->bytes = (uint8_t *)mapping + (offset - start);
    return SY_OK;
}

static void buffer_free(sy_buffer *buffer) {
    if (buffer->memory == BUFFER_OWN) {
        kit_release(buffer->bytes, buffer->n_bytes);
    } else if (buffer->mapping != NULL) {
        munmap(buffer->mapping, buffer->n_mapped);
    }
    if (buffer->fd >= 0) {
        close(buffer->fd);
    }
    kit_release(buffer, sizeof(*buffer));
}

sy_status cpu_buffer_create(sy_device *device, sy_memory_kind kind, uint64_t n_bytes,
                            sy_buffer **out_buffer) {
    if (kind != SY_MEMORY_HOST && kind != SY_MEMORY_MEMFD) {
        return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE, "memory kind %u cannot be made by a CPU",
                          kind);
    }
    sy_buffer *buffer = NULL;
    sy_status status = buffer_new(device, n_bytes, &buffer);
    if (status != SY_OK) {
        return status;
    }
    if (kind == SY_MEMORY_HOST) {
        buffer->bytes = kit_alloc(n_bytes);
        if (buffer->bytes == NULL) {
            status =
                kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                           "no memory for a buffer of %llu bytes", (unsigned long long)n_bytes);
        }
    } else {
        buffer->memory = BUFFER_MAPPED;
        buffer->fd = memfd_create("switchyard-cpu", MFD_CLOEXEC);
        if (buffer->fd < 0 || ftruncate(buffer->fd, (off_t)n_bytes) != 0) {
            status = kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "making a memfd failed: %s",
                                strerror(errno));
        } else {
            status = buffer_map_fd(buffer, 0);
        }
    }
    if (status != SY_OK) {
        buffer_free(buffer);
        return status;
    }
    return buffer_keep(buffer, out_buffer);
}

sy_status cpu_buffer_import(sy_device *device, const sy_memory *memory, sy_buffer **out_buffer) {
    sy_buffer *buffer = NULL;
    if (memory->kind != SY_MEMORY_HOST && memory->kind != SY_MEMORY_MEMFD) {
        return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE, "memory kind %u cannot be imported",
                          memory->kind);
    }
    if (memory->kind == SY_MEMORY_HOST && memory->pointer == NULL) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "host memory without a pointer");
    }
    sy_status status = buffer_new(device, memory->length_bytes, &buffer);
    if (status != SY_OK) {
        return status;
    }
    if (memory->kind == SY_MEMORY_HOST) {
        buffer->memory = BUFFER_BORROWED;
        buffer->bytes = (uint8_t *)memory->pointer + memory->offset_bytes;
        return buffer_keep(buffer, out_buffer);
    }
    buffer->memory = BUFFER_MAPPED;
    buffer->fd = dup(memory->fd);
    status = buffer_map_fd(buffer, memory->offset_bytes);
    if (status != SY_OK) {
        buffer_free(buffer);
        return status;
    }
    return buffer_keep(buffer, out_buffer);
}

sy_status cpu_buffer_export(sy_buffer *buffer, sy_memory_kind kind, sy_memory *out_memory) {
    sy_memory memory = {.kind = kind, .fd = -1, .length_bytes = buffer->n_bytes};
    if (kind == SY_MEMORY_HOST) {
        memory.pointer = buffer->bytes;
    } else if (kind == SY_MEMORY_MEMFD && buffer->fd >= 0) {
        memory.fd = buffer->fd; /* the receiver dups it */
        memory.offset_bytes = (uint64_t)(buffer->bytes - (uint8_t *)buffer->mapping);
    } else {
        return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE,
                          "this buffer cannot be exported as memory kind %u", kind);
    }
    *out_memory = memory;
    return SY_OK;
}

sy_status cpu_buffer_map(sy_buffer *buffer, uint64_t offset_bytes, uint64_t n_bytes,
                         uint32_t access, void **out_pointer) {
    (void)access;
    if (offset_bytes > buffer->n_bytes || n_bytes > buffer->n_bytes - offset_bytes) {
        return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE, "mapping past the end of a buffer");
    }
    *out_pointer = buffer->bytes + offset_bytes;
    return SY_OK;
}

sy_status cpu_buffer_unmap(sy_buffer *buffer) {
    (void)buffer;
    return SY_OK;
}

sy_status cpu_buffer_destroy(sy_buffer *buffer) {
    if (buffer != NULL) {
        atomic_fetch_sub(&buffer->device->live_handles, 1);
        buffer_free(buffer);
    }
    return SY_OK;
}
