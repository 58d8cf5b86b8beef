/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory. Where the device has fine-grained buffers, host and kernels see one memory and writing is
 * a memcpy. Elsewhere DEVICE memory is reached by commands alone, and SHARED memory is a shadow of
 * the host's that recordings copy to the device before they run and back behind (recording.c): a
 * mapped buffer must not be used by kernels.
 */
#include "ocl.h"

#include <inttypes.h>
#include <string.h>

#define SIZE_STEP_BYTES 128u /* so that kernels may read four words at the end */

static sy_status take(gpu_driver *driver, uint64_t n_bytes) {
    uint64_t most = driver->device.limits.memory_most_bytes;
    if (n_bytes > most) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "one memory of %s holds at most %" PRIu64 " bytes: %" PRIu64
                          " are missing",
                          driver->device.limits.id, most, n_bytes - most);
    }
    uint64_t taken = atomic_fetch_add(&driver->taken_bytes, n_bytes);
    uint64_t limit = driver->memory_limit_bytes;
    if (taken > limit || n_bytes > limit - taken) {
        atomic_fetch_sub(&driver->taken_bytes, n_bytes);
        return kit_report(
            SY_STATUS(SY_RESOURCE_EXHAUSTED, driver->is_budget ? SY_DETAIL_BUDGET : 0), SY_NO_VALUE,
            "%s has %" PRIu64 " bytes for us, %" PRIu64 " are taken: of %" PRIu64 " more, %" PRIu64
            " are missing",
            driver->device.limits.id, limit, taken, n_bytes, taken + n_bytes - limit);
    }
    return SY_OK;
}

/* The buffer, and what it lies in. */
static sy_status fill(gpu_memory *memory, gpu_memory_use use) {
    gpu_driver *driver = memory->driver;
    const ocl_api *api = driver->api;
    size_t n_bytes = (size_t)memory->size_bytes;
    cl_mem_flags flags = CL_MEM_READ_WRITE;
    bool is_shared =
        driver->device.has_svm && (use == GPU_MEMORY_SHARED || driver->device.limits.is_unified);
    if (is_shared) {
        memory->shared = api->clSVMAlloc(
            driver->context, CL_MEM_READ_WRITE | CL_MEM_SVM_FINE_GRAIN_BUFFER, n_bytes, 0);
        flags |= CL_MEM_USE_HOST_PTR;
    } else if (use == GPU_MEMORY_SHARED) {
        memory->shadow = kit_alloc_raw(n_bytes);
    }
    if (memory->shared == NULL && memory->shadow == NULL &&
        (is_shared || use == GPU_MEMORY_SHARED)) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "no %zu bytes that host and device share", n_bytes);
    }
    cl_int code = CL_SUCCESS;
    memory->buffer = api->clCreateBuffer(driver->context, flags, n_bytes, memory->shared, &code);
    if (memory->buffer != NULL && !is_shared) { /* taken now, not when a kernel needs it */
        code =
            api->clEnqueueMigrateMemObjects(driver->queue, 1, &memory->buffer,
                                            CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED, 0, NULL, NULL);
    }
    return code == CL_SUCCESS ? SY_OK : ocl_failed(driver, code, "taking memory");
}

static sy_status new_memory(gpu_driver *driver, uint64_t n_bytes, gpu_memory **out_memory) {
    gpu_memory *memory = kit_alloc(sizeof(*memory));
    if (memory == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory to describe a memory");
    }
    memory->driver = driver;
    memory->serial = atomic_fetch_add(&driver->last_serial, 1) + 1;
    memory->n_bytes = n_bytes;
    *out_memory = memory;
    return SY_OK;
}

size_t gpu_memory_host_bytes(void) {
    return sizeof(gpu_memory);
}

sy_status gpu_memory_create(gpu_driver *driver, uint64_t n_bytes, gpu_memory_use use,
                            gpu_memory **out_memory) {
    sy_status status = ocl_check(driver);
    uint64_t size = n_bytes > 0 ? n_bytes : 1;
    size = size > UINT64_MAX / 2 ? size : (size + SIZE_STEP_BYTES - 1) & ~UINT64_C(127);
    if (status != SY_OK || (status = take(driver, size)) != SY_OK) {
        return status;
    }
    gpu_memory *memory = NULL;
    status = new_memory(driver, n_bytes, &memory);
    if (status != SY_OK) {
        atomic_fetch_sub(&driver->taken_bytes, size);
        return status;
    }
    memory->size_bytes = size;
    status = fill(memory, use);
    if (status != SY_OK) {
        gpu_memory_destroy(memory);
        return status;
    }
    *out_memory = memory;
    return SY_OK;
}

sy_status gpu_memory_import(gpu_driver *driver, void *pointer, uint64_t n_bytes,
                            gpu_memory **out_memory) {
    const gpu_limits *limits = &driver->device.limits;
    sy_status status = ocl_check(driver);
    if (status != SY_OK) {
        return status;
    }
    if (!limits->imports_host) {
        return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE, "%s cannot work on memory of the host",
                          limits->id);
    }
    uint64_t align = limits->import_alignment_bytes;
    if (pointer == NULL || n_bytes == 0 || (uintptr_t)pointer % align != 0 ||
        n_bytes % align != 0) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "memory to import begins and ends at multiples of %" PRIu64 " bytes",
                          align);
    }
    if (n_bytes > limits->memory_most_bytes) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "%s imports at most %" PRIu64 " bytes at once", limits->id,
                          limits->memory_most_bytes);
    }
    gpu_memory *memory = NULL;
    status = new_memory(driver, n_bytes, &memory);
    if (status != SY_OK) {
        return status;
    }
    cl_int code = CL_SUCCESS;
    memory->is_import = true;
    memory->shared = pointer;
    memory->size_bytes = n_bytes;
    memory->buffer = driver->api->clCreateBuffer(
        driver->context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, (size_t)n_bytes, pointer, &code);
    if (memory->buffer == NULL) {
        gpu_memory_destroy(memory);
        return ocl_failed(driver, code, "importing memory");
    }
    *out_memory = memory;
    return SY_OK;
}

sy_status gpu_memory_import_dmabuf(gpu_driver *driver, int fd, uint64_t n_bytes,
                                   gpu_memory **out_memory) {
    (void)fd;
    (void)n_bytes;
    (void)out_memory;
    return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE, "%s imports no dma-buf here",
                      driver->device.limits.id);
}

void gpu_memory_destroy(gpu_memory *memory) {
    if (memory == NULL) {
        return;
    }
    gpu_driver *driver = memory->driver;
    if (memory->buffer != NULL) {
        if (!gpu_driver_is_lost(driver)) { /* a job that was given up may still use its bytes */
            driver->api->clFinish(driver->queue);
        }
        driver->api->clReleaseMemObject(memory->buffer);
    }
    if (!memory->is_import) {
        if (memory->shared != NULL) {
            driver->api->clSVMFree(driver->context, memory->shared);
        }
        kit_release(memory->shadow, (size_t)memory->size_bytes);
        atomic_fetch_sub(&driver->taken_bytes, memory->size_bytes);
    }
    kit_release(memory, sizeof(*memory));
}

void *gpu_memory_pointer(gpu_memory *memory) {
    return memory->shared != NULL ? memory->shared : memory->shadow;
}

uint64_t gpu_memory_bytes(const gpu_memory *memory) {
    return memory->n_bytes;
}

uint64_t gpu_memory_serial(const gpu_memory *memory) {
    return memory != NULL ? memory->serial : 0;
}

/* ---- reading, writing, copying ---- */
static sy_status check_range(const gpu_memory *memory, uint64_t offset_bytes, uint64_t n_bytes) {
    if (offset_bytes > memory->n_bytes || n_bytes > memory->n_bytes - offset_bytes) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "%" PRIu64 " bytes at %" PRIu64 " of a memory of %" PRIu64, n_bytes,
                          offset_bytes, memory->n_bytes);
    }
    return ocl_check(memory->driver);
}

static sy_status finish(gpu_driver *driver) {
    cl_int code = driver->api->clFinish(driver->queue);
    return code == CL_SUCCESS ? SY_OK : ocl_work_failed(driver, code, "waiting for the device");
}

sy_status gpu_memory_write(gpu_memory *memory, uint64_t offset_bytes, const void *bytes,
                           uint64_t n_bytes) {
    gpu_driver *driver = memory->driver;
    sy_status status = check_range(memory, offset_bytes, n_bytes);
    if (status != SY_OK || n_bytes == 0) {
        return status;
    }
    uint8_t *pointer = gpu_memory_pointer(memory);
    if (pointer != NULL) {
        status = finish(driver);
        if (status == SY_OK) {
            memcpy(pointer + offset_bytes, bytes, (size_t)n_bytes);
        }
        return status;
    }
    cl_int code = driver->api->clEnqueueWriteBuffer(driver->queue, memory->buffer, CL_TRUE,
                                                    (size_t)offset_bytes, (size_t)n_bytes, bytes, 0,
                                                    NULL, NULL);
    return code == CL_SUCCESS ? SY_OK : ocl_failed(driver, code, "writing memory");
}

sy_status gpu_memory_read(gpu_memory *memory, uint64_t offset_bytes, void *out_bytes,
                          uint64_t n_bytes) {
    gpu_driver *driver = memory->driver;
    sy_status status = check_range(memory, offset_bytes, n_bytes);
    if (status != SY_OK || n_bytes == 0) {
        return status;
    }
    const uint8_t *pointer = gpu_memory_pointer(memory);
    if (pointer != NULL) {
        status = finish(driver);
        if (status == SY_OK) {
            memcpy(out_bytes, pointer + offset_bytes, (size_t)n_bytes);
        }
        return status;
    }
    cl_int code = driver->api->clEnqueueReadBuffer(driver->queue, memory->buffer, CL_TRUE,
                                                   (size_t)offset_bytes, (size_t)n_bytes, out_bytes,
                                                   0, NULL, NULL);
    return code == CL_SUCCESS ? SY_OK : ocl_failed(driver, code, "reading memory");
}

static sy_status check_copy(const gpu_copy *copy) {
    sy_status status = check_range(copy->from, copy->from_offset_bytes, copy->n_bytes);
    if (status == SY_OK) {
        status = check_range(copy->to, copy->to_offset_bytes, copy->n_bytes);
    }
    bool is_odd = ((copy->from_offset_bytes | copy->to_offset_bytes | copy->n_bytes) & 3u) != 0;
    bool overlaps = copy->from == copy->to &&
                    copy->from_offset_bytes < copy->to_offset_bytes + copy->n_bytes &&
                    copy->to_offset_bytes < copy->from_offset_bytes + copy->n_bytes;
    if (status == SY_OK && copy->n_bytes > 0 && (is_odd || overlaps)) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "a copy of %" PRIu64 " bytes from %" PRIu64 " to %" PRIu64 " %s",
                          copy->n_bytes, copy->from_offset_bytes, copy->to_offset_bytes,
                          overlaps ? "overlaps itself" : "is not one of whole words");
    }
    return status;
}

/* Enqueues one; a shadow stands for its memory. */
static cl_int copy_one(gpu_driver *driver, const gpu_copy *copy) {
    const ocl_api *api = driver->api;
    gpu_memory *from = copy->from, *to = copy->to;
    size_t from_at = (size_t)copy->from_offset_bytes, to_at = (size_t)copy->to_offset_bytes;
    size_t n = (size_t)copy->n_bytes;
    if (from->shadow != NULL && to->shadow != NULL) {
        memcpy(to->shadow + to_at, from->shadow + from_at, n);
        return CL_SUCCESS;
    }
    if (from->shadow != NULL) {
        return api->clEnqueueWriteBuffer(driver->queue, to->buffer, CL_FALSE, to_at, n,
                                         from->shadow + from_at, 0, NULL, NULL);
    }
    if (to->shadow != NULL) {
        return api->clEnqueueReadBuffer(driver->queue, from->buffer, CL_FALSE, from_at, n,
                                        to->shadow + to_at, 0, NULL, NULL);
    }
    return api->clEnqueueCopyBuffer(driver->queue, from->buffer, to->buffer, from_at, to_at, n, 0,
                                    NULL, NULL);
}

sy_status gpu_memory_copy(gpu_driver *driver, const gpu_copy *copies, uint32_t n_copies) {
    sy_status status = ocl_check(driver);
    for (uint32_t i = 0; i < n_copies && status == SY_OK; i++) {
        status = check_copy(&copies[i]);
    }
    if (status == SY_OK) {
        status = finish(driver); /* shadows are the truth now */
    }
    cl_int code = CL_SUCCESS;
    for (uint32_t i = 0; i < n_copies && status == SY_OK && code == CL_SUCCESS; i++) {
        code = copies[i].n_bytes > 0 ? copy_one(driver, &copies[i]) : CL_SUCCESS;
    }
    if (status == SY_OK) {
        status = finish(driver);
    }
    return status == SY_OK && code != CL_SUCCESS ? ocl_failed(driver, code, "copying memory")
                                                 : status;
}
