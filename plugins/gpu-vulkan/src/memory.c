/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that kernels bind: one allocation with one buffer over all of it. */
#include "vk.h"

#include <inttypes.h>
#include <unistd.h>

#define WORDS_BYTES 16u /* kernels read four words at once */
#define SMALL_BYTES (64u << 10)

/* ---- what is free ---- */
/* Of a heap, as the driver tells now; without its telling, what we did not take. */
static uint64_t heap_free_bytes(gpu_driver *driver, uint32_t i_heap) {
    const vk_physical *physical = &driver->physical;
    uint64_t total = physical->memory.memoryHeaps[i_heap].size;
    uint64_t used = atomic_load(&driver->heap_used_bytes[i_heap]);
    if (physical->has_budget) {
        VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
            .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
        VkPhysicalDeviceMemoryProperties2 memory = {
            .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, .pNext = &budget};
        driver->instance->GetPhysicalDeviceMemoryProperties2(physical->handle, &memory);
        total = budget.heapBudget[i_heap];
        used = used > budget.heapUsage[i_heap] ? used : budget.heapUsage[i_heap];
    }
    return total > used ? total - used : 0;
}

static uint64_t limit_free_bytes(gpu_driver *driver) {
    if (driver->memory_limit_bytes == 0) {
        return UINT64_MAX;
    }
    uint64_t used = atomic_load(&driver->used_bytes);
    return driver->memory_limit_bytes > used ? driver->memory_limit_bytes - used : 0;
}

uint64_t gpu_driver_free_bytes(gpu_driver *driver) {
    if (gpu_driver_is_lost(driver)) {
        return 0;
    }
    uint64_t of_heap = heap_free_bytes(driver, driver->physical.i_heap);
    uint64_t of_limit = limit_free_bytes(driver);
    return of_heap < of_limit ? of_heap : of_limit;
}

static void take_bytes(gpu_memory *memory, uint32_t i_heap, uint64_t n_bytes) {
    memory->i_heap = i_heap;
    memory->taken_bytes = n_bytes;
    atomic_fetch_add(&memory->driver->heap_used_bytes[i_heap], n_bytes);
    atomic_fetch_add(&memory->driver->used_bytes, n_bytes);
}

static sy_status check_budget(gpu_driver *driver, uint32_t i_heap, uint64_t n_bytes) {
    uint64_t of_limit = limit_free_bytes(driver), of_heap = heap_free_bytes(driver, i_heap);
    uint64_t n_free = of_limit < of_heap ? of_limit : of_heap;
    if (n_bytes <= n_free) {
        return SY_OK;
    }
    return kit_report(SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET), SY_NO_VALUE,
                      "%s: %" PRIu64 " bytes of memory are missing (%" PRIu64 " asked for, %" PRIu64
                      " free of %s)",
                      driver->limits.id, n_bytes - n_free, n_bytes, n_free,
                      of_limit < of_heap ? "the limit that was set" : "the device");
}

/* ---- types ---- */
typedef struct type_wish {
    VkMemoryPropertyFlags must, want, avoid;
} type_wish;

#define MAPPED (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)

static type_wish wish_of(const gpu_driver *driver, uint64_t n_bytes, gpu_memory_use use) {
    bool is_unified = driver->limits.is_unified;
    if (use == GPU_MEMORY_DEVICE) {
        return is_unified ? (type_wish){MAPPED | VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
                                        VK_MEMORY_PROPERTY_HOST_CACHED_BIT, 0}
                          : (type_wish){VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0,
                                        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT};
    }
    if (n_bytes <= SMALL_BYTES && !is_unified) { /* parameters: kernels read them again and again */
        return (type_wish){MAPPED, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0};
    }
    return (type_wish){MAPPED, VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
                       is_unified ? 0 : VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT};
}

/* The best of the types in `allowed`, or UINT32_MAX. */
static uint32_t best_type(const gpu_driver *driver, uint32_t allowed, type_wish wish) {
    const VkPhysicalDeviceMemoryProperties *memory = &driver->physical.memory;
    const VkMemoryPropertyFlags plain =
        VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | MAPPED | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    uint32_t best = UINT32_MAX;
    int best_score = -1;
    for (uint32_t i = 0; i < memory->memoryTypeCount; i++) {
        VkMemoryPropertyFlags flags = memory->memoryTypes[i].propertyFlags;
        if ((allowed >> i & 1u) == 0 || (flags & wish.must) != wish.must ||
            (flags & ~plain) != 0) { /* protected, lazy, uncached: not for us */
            continue;
        }
        int score = 1 + 2 * ((flags & wish.want) == wish.want) - ((flags & wish.avoid) != 0);
        if (score > best_score) {
            best = i;
            best_score = score;
        }
    }
    return best;
}

/* ---- making ---- */
static sy_status create_buffer(gpu_memory *memory, VkBufferUsageFlags usage,
                               VkExternalMemoryHandleTypeFlags imported) {
    gpu_driver *driver = memory->driver;
    VkExternalMemoryBufferCreateInfo external = {
        .sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO, .handleTypes = imported};
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .pNext = imported != 0 ? &external : NULL,
                               .size = memory->buffer_bytes,
                               .usage = usage,
                               .sharingMode = VK_SHARING_MODE_EXCLUSIVE};
    VkResult result = driver->call.CreateBuffer(driver->device, &info, NULL, &memory->buffer);
    return result == VK_SUCCESS ? SY_OK : vk_fail(driver, result, "make a buffer");
}

static sy_status bind_and_map(gpu_memory *memory, uint32_t i_type) {
    gpu_driver *driver = memory->driver;
    VkResult result =
        driver->call.BindBufferMemory(driver->device, memory->buffer, memory->memory, 0);
    if (result != VK_SUCCESS) {
        return vk_fail(driver, result, "bind memory to a buffer");
    }
    if ((driver->physical.memory.memoryTypes[i_type].propertyFlags & MAPPED) != MAPPED ||
        memory->pointer != NULL) {
        return SY_OK;
    }
    void *pointer = NULL;
    result = driver->call.MapMemory(driver->device, memory->memory, 0, VK_WHOLE_SIZE, 0, &pointer);
    memory->pointer = pointer;
    return result == VK_SUCCESS ? SY_OK : vk_fail(driver, result, "map memory");
}

static sy_status allocate(gpu_memory *memory, uint64_t n_bytes, uint32_t i_type, const void *next) {
    gpu_driver *driver = memory->driver;
    uint64_t most = driver->physical.properties.limits.maxMemoryAllocationCount;
    if (atomic_load(&driver->n_allocations) >= most) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "%s: all of its %" PRIu64 " memory allocations are in use",
                          driver->limits.id, most);
    }
    VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                 .pNext = next,
                                 .allocationSize = n_bytes,
                                 .memoryTypeIndex = i_type};
    VkResult result = driver->call.AllocateMemory(driver->device, &info, NULL, &memory->memory);
    if (result != VK_SUCCESS) {
        memory->memory = VK_NULL_HANDLE;
        return vk_fail(driver, result, "allocate memory");
    }
    atomic_fetch_add(&driver->n_allocations, 1);
    return SY_OK;
}

/* In the best type that has room. */
static sy_status allocate_somewhere(gpu_memory *memory, gpu_memory_use use) {
    gpu_driver *driver = memory->driver;
    VkMemoryRequirements needs;
    driver->call.GetBufferMemoryRequirements(driver->device, memory->buffer, &needs);
    type_wish wish = wish_of(driver, memory->n_bytes, use);
    uint32_t allowed = needs.memoryTypeBits;
    sy_status first = SY_OK;
    for (;;) {
        uint32_t i_type = best_type(driver, allowed, wish);
        if (i_type == UINT32_MAX) {
            break;
        }
        uint32_t i_heap = driver->physical.memory.memoryTypes[i_type].heapIndex;
        sy_status status = check_budget(driver, i_heap, needs.size);
        if (status == SY_OK) {
            status = allocate(memory, needs.size, i_type, NULL);
        }
        if (status == SY_OK) {
            take_bytes(memory, i_heap, needs.size);
            return bind_and_map(memory, i_type);
        }
        first = first == SY_OK ? status : first;
        if (gpu_driver_is_lost(driver)) {
            break;
        }
        allowed &= ~(1u << i_type);
    }
    return first != SY_OK
               ? first
               : kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE,
                            "%s has no memory of the kind that is needed", driver->limits.id);
}

static sy_status begin(gpu_driver *driver, uint64_t n_bytes, gpu_memory **out_memory) {
    sy_status status = vk_check(driver);
    if (status != SY_OK) {
        return status;
    }
    if (n_bytes == 0 || n_bytes > driver->limits.memory_most_bytes) {
        return kit_report(n_bytes == 0 ? SY_INVALID_ARGUMENT : SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "%s: %" PRIu64 " bytes in one piece; from 1 to %" PRIu64 " can be had",
                          driver->limits.id, n_bytes, driver->limits.memory_most_bytes);
    }
    gpu_memory *memory = kit_alloc(sizeof(gpu_memory));
    if (memory == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no host memory for a buffer");
    }
    memory->driver = driver;
    memory->serial = atomic_fetch_add(&driver->last_serial, 1) + 1;
    memory->n_bytes = n_bytes;
    memory->buffer_bytes = (n_bytes + WORDS_BYTES - 1) / WORDS_BYTES * WORDS_BYTES;
    *out_memory = memory;
    return SY_OK;
}

static sy_status end(gpu_memory *memory, sy_status status, gpu_memory **out_memory) {
    if (status != SY_OK) {
        gpu_memory_destroy(memory);
        return status;
    }
    *out_memory = memory;
    return SY_OK;
}

size_t gpu_memory_host_bytes(void) {
    return sizeof(gpu_memory);
}

sy_status vk_memory_create(gpu_driver *driver, uint64_t n_bytes, gpu_memory_use use,
                           VkBufferUsageFlags usage, gpu_memory **out_memory) {
    gpu_memory *memory = NULL;
    sy_status status = begin(driver, n_bytes, &memory);
    if (status != SY_OK) {
        return status;
    }
    status = create_buffer(memory, usage, 0);
    status = status == SY_OK ? allocate_somewhere(memory, use) : status;
    return end(memory, status, out_memory);
}

#define USAGE                                                                \
    (VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | \
     VK_BUFFER_USAGE_TRANSFER_DST_BIT)

sy_status gpu_memory_create(gpu_driver *driver, uint64_t n_bytes, gpu_memory_use use,
                            gpu_memory **out_memory) {
    return vk_memory_create(driver, n_bytes, use, USAGE, out_memory);
}

/* ---- importing ---- */
/* `types` can hold the imported memory; next says what it is. */
static sy_status import_bytes(gpu_memory *memory, VkExternalMemoryHandleTypeFlags kind,
                              uint32_t types, type_wish wish, const void *next) {
    gpu_driver *driver = memory->driver;
    sy_status status = create_buffer(memory, USAGE, kind);
    if (status != SY_OK) {
        return status;
    }
    VkMemoryRequirements needs;
    driver->call.GetBufferMemoryRequirements(driver->device, memory->buffer, &needs);
    uint32_t i_type = best_type(driver, types & needs.memoryTypeBits, wish);
    if (i_type == UINT32_MAX || needs.size > memory->n_bytes) {
        return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE,
                          "%s cannot use this memory where it is; copy it", driver->limits.id);
    }
    status = allocate(memory, memory->n_bytes, i_type, next);
    return status == SY_OK ? bind_and_map(memory, i_type) : status;
}

sy_status gpu_memory_import(gpu_driver *driver, void *pointer, uint64_t n_bytes,
                            gpu_memory **out_memory) {
    uint64_t alignment = driver->limits.import_alignment_bytes;
    if (!driver->limits.imports_host) {
        return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE, "%s cannot import memory of the host",
                          driver->limits.id);
    }
    if (pointer == NULL || (uintptr_t)pointer % alignment != 0 || n_bytes % alignment != 0) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "memory to import has to begin and end at multiples of %" PRIu64 " bytes",
                          alignment);
    }
    gpu_memory *memory = NULL;
    sy_status status = begin(driver, n_bytes, &memory);
    if (status != SY_OK) {
        return status;
    }
    const VkExternalMemoryHandleTypeFlagBits kind =
        VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
    VkMemoryHostPointerPropertiesEXT properties = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT};
    VkResult result =
        driver->call.GetMemoryHostPointerPropertiesEXT(driver->device, kind, pointer, &properties);
    if (result != VK_SUCCESS) {
        return end(memory, vk_fail(driver, result, "import memory of the host"), out_memory);
    }
    VkImportMemoryHostPointerInfoEXT info = {
        .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
        .handleType = kind,
        .pHostPointer = pointer};
    memory->pointer = pointer;
    type_wish wish = {MAPPED, VK_MEMORY_PROPERTY_HOST_CACHED_BIT, 0};
    status = import_bytes(memory, kind, properties.memoryTypeBits, wish, &info);
    return end(memory, status, out_memory);
}

sy_status gpu_memory_import_dmabuf(gpu_driver *driver, int fd, uint64_t n_bytes,
                                   gpu_memory **out_memory) {
    if (!driver->limits.imports_dmabuf) {
        return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE, "%s cannot import dma-bufs",
                          driver->limits.id);
    }
    const VkExternalMemoryHandleTypeFlagBits kind = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT;
    VkMemoryFdPropertiesKHR properties = {.sType = VK_STRUCTURE_TYPE_MEMORY_FD_PROPERTIES_KHR};
    VkResult result = driver->call.GetMemoryFdPropertiesKHR(driver->device, kind, fd, &properties);
    if (result != VK_SUCCESS) {
        return vk_fail(driver, result, "import a dma-buf");
    }
    gpu_memory *memory = NULL;
    sy_status status = begin(driver, n_bytes, &memory);
    if (status != SY_OK) {
        return status;
    }
    memory->buffer_bytes = n_bytes; /* it has no byte behind them */
    int owned = dup(fd);            /* the driver takes it when it succeeds */
    VkImportMemoryFdInfoKHR info = {
        .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR, .handleType = kind, .fd = owned};
    status =
        import_bytes(memory, kind, properties.memoryTypeBits, (type_wish){0, MAPPED, 0}, &info);
    if (memory->memory == VK_NULL_HANDLE && owned >= 0) {
        close(owned);
    }
    return end(memory, status, out_memory);
}

void gpu_memory_destroy(gpu_memory *memory) {
    if (memory == NULL) {
        return;
    }
    gpu_driver *driver = memory->driver;
    if (memory->memory != VK_NULL_HANDLE && !gpu_driver_is_lost(driver)) {
        (void)vk_wait_all(driver); /* a job that nobody waits for any more may still use it */
    }
    driver->call.DestroyBuffer(driver->device, memory->buffer, NULL);
    if (memory->memory != VK_NULL_HANDLE) {
        driver->call.FreeMemory(driver->device, memory->memory, NULL);
        atomic_fetch_sub(&driver->n_allocations, 1);
        atomic_fetch_sub(&driver->heap_used_bytes[memory->i_heap], memory->taken_bytes);
        atomic_fetch_sub(&driver->used_bytes, memory->taken_bytes);
    }
    kit_release(memory, sizeof(gpu_memory));
}

void *gpu_memory_pointer(gpu_memory *memory) {
    return memory->pointer;
}

uint64_t gpu_memory_bytes(const gpu_memory *memory) {
    return memory->n_bytes;
}

uint64_t gpu_memory_serial(const gpu_memory *memory) {
    return memory != NULL ? memory->serial : 0;
}
