/* SPDX-License-Identifier: Apache-2.0 */
/* What the devices are and can do, asked of them and never assumed. */
#include "vk.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Kernels count the words of a binding in 32 bits. */
#define BINDING_MOST_BYTES ((2ull << 30) - 16u)

typedef struct extensions {
    VkExtensionProperties *items;
    uint32_t n, capacity;
} extensions;

static bool extensions_of(const vk_instance *instance, VkPhysicalDevice device, extensions *out) {
    *out = (extensions){0};
    uint32_t n = 0;
    if (instance->EnumerateDeviceExtensionProperties(device, NULL, &n, NULL) != VK_SUCCESS) {
        return false;
    }
    out->capacity = n;
    out->n = n;
    out->items = kit_alloc(sizeof(*out->items) * n);
    return out->items != NULL &&
           instance->EnumerateDeviceExtensionProperties(device, NULL, &out->n, out->items) >= 0;
}

static void extensions_free(extensions *list) {
    kit_release(list->items, sizeof(*list->items) * list->capacity);
}

static bool has(const extensions *list, const char *name) {
    for (uint32_t i = 0; i < list->n; i++) {
        if (strcmp(list->items[i].extensionName, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Adds a structure to the end of a pNext chain, where the device knows it. */
static void chain(VkBaseOutStructure **tail, bool is_known, void *structure) {
    if (is_known) {
        (*tail)->pNext = structure;
        *tail = structure;
    }
}

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* ---- features ---- */
static void read_features(const vk_instance *instance, const extensions *list,
                          vk_physical *device) {
    bool is_1_2 = device->is_core_1_2, is_1_3 = device->is_core_1_3;
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES};
    VkPhysicalDeviceShaderFloat16Int8Features small = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES};
    VkPhysicalDeviceSubgroupSizeControlFeatures size = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES};
    VkPhysicalDevicePipelineCreationCacheControlFeatures cache = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_CREATION_CACHE_CONTROL_FEATURES};
    VkPhysicalDeviceVulkanMemoryModelFeatures model = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES};
    vk_matrix_features matrices = {.sType = VK_MATRIX_FEATURES};
    bool lists_matrices = is_1_2 && has(list, VK_MATRIX_EXTENSION_NAME);
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
    VkBaseOutStructure *tail = (VkBaseOutStructure *)(void *)&features;
    chain(&tail, is_1_2 || has(list, VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME), &timeline);
    chain(&tail, is_1_2 || has(list, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME), &small);
    chain(&tail, is_1_3 || has(list, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME), &size);
    chain(&tail, is_1_3 || has(list, VK_EXT_PIPELINE_CREATION_CACHE_CONTROL_EXTENSION_NAME),
          &cache);
    chain(&tail, lists_matrices, &model);
    chain(&tail, lists_matrices, &matrices);
    instance->GetPhysicalDeviceFeatures2(device->handle, &features);
    device->has_timeline = timeline.timelineSemaphore != 0;
    device->limits.has_float16 = small.shaderFloat16 != 0;
    device->has_size_control = size.subgroupSizeControl != 0 && size.computeFullSubgroups != 0;
    device->has_cache_control = cache.pipelineCreationCacheControl != 0;
    /* All kernels of a device are under the memory model then, and their atomics of its scope. */
    device->has_matrices = matrices.has_matrices != 0 && model.vulkanMemoryModel != 0 &&
                           model.vulkanMemoryModelDeviceScope != 0;
}

/* ---- properties ---- */
static void name_driver(const VkPhysicalDeviceDriverProperties *driver, vk_physical *device) {
    char *out = device->limits.driver;
    uint32_t version = device->properties.driverVersion;
    if (driver->driverName[0] != '\0') {
        snprintf(out, sizeof(device->limits.driver), "%.24s %.38s", driver->driverName,
                 driver->driverInfo);
    } else {
        snprintf(out, sizeof(device->limits.driver), "vendor 0x%x version 0x%x",
                 device->properties.vendorID, version);
    }
}

typedef struct all_properties {
    VkPhysicalDeviceProperties2 base;
    VkPhysicalDeviceMaintenance3Properties allocation;
    VkPhysicalDeviceSubgroupProperties subgroup;
    VkPhysicalDeviceDriverProperties driver;
    VkPhysicalDeviceSubgroupSizeControlProperties size;
    VkPhysicalDeviceMaintenance4Properties buffer;
    VkPhysicalDeviceExternalMemoryHostPropertiesEXT host;
    VkPhysicalDeviceShaderSMBuiltinsPropertiesNV nvidia;
    VkPhysicalDeviceShaderCorePropertiesAMD amd;
} all_properties;

static void ask_properties(const vk_instance *instance, const extensions *list,
                           const vk_physical *device, all_properties *all) {
    *all = (all_properties){
        .base.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
        .allocation.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES,
        .subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES,
        .driver.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES,
        .size.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES,
        .buffer.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES,
        .buffer.maxBufferSize = UINT64_MAX,
        .host.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT,
        .nvidia.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV,
        .amd.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_PROPERTIES_AMD,
    };
    bool is_1_2 = device->is_core_1_2, is_1_3 = device->is_core_1_3;
    VkBaseOutStructure *tail = (VkBaseOutStructure *)(void *)&all->base;
    chain(&tail, true, &all->allocation);
    chain(&tail, true, &all->subgroup);
    chain(&tail, is_1_2 || has(list, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME), &all->driver);
    chain(&tail, is_1_3 || has(list, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME), &all->size);
    chain(&tail, is_1_3 || has(list, VK_KHR_MAINTENANCE_4_EXTENSION_NAME), &all->buffer);
    chain(&tail, has(list, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME), &all->host);
    chain(&tail, has(list, VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME), &all->nvidia);
    chain(&tail, has(list, VK_AMD_SHADER_CORE_PROPERTIES_EXTENSION_NAME), &all->amd);
    instance->GetPhysicalDeviceProperties2(device->handle, &all->base);
}

static uint32_t units_of(const vk_physical *device, const all_properties *all) {
    if (device->limits.is_software) {
        long n = sysconf(_SC_NPROCESSORS_ONLN);
        return n > 0 ? (uint32_t)n : 0u;
    }
    if (all->nvidia.shaderSMCount > 0) {
        return all->nvidia.shaderSMCount;
    }
    return all->amd.shaderEngineCount * all->amd.shaderArraysPerEngineCount *
           all->amd.computeUnitsPerShaderArray;
}

static void read_subgroups(const all_properties *all, vk_physical *device) {
    const VkPhysicalDeviceSubgroupProperties *subgroup = &all->subgroup;
    VkSubgroupFeatureFlags needed = VK_SUBGROUP_FEATURE_BASIC_BIT |
                                    VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
                                    VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    if ((subgroup->supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) == 0 ||
        (subgroup->supportedOperations & needed) != needed) {
        return;
    }
    device->limits.subgroup_size = subgroup->subgroupSize;
    if (device->has_size_control &&
        (all->size.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0 &&
        subgroup->subgroupSize >= all->size.minSubgroupSize &&
        subgroup->subgroupSize <= all->size.maxSubgroupSize) {
        device->subgroups_most = all->size.maxComputeWorkgroupSubgroups;
    }
}

static void read_limits(const all_properties *all, vk_physical *device) {
    const VkPhysicalDeviceLimits *from = &device->properties.limits;
    gpu_limits *to = &device->limits;
    uint64_t alignment = from->minStorageBufferOffsetAlignment;
    to->binding_alignment_bytes = alignment > 4 ? (uint32_t)alignment : 4u;
    to->binding_most_bytes = smaller(from->maxStorageBufferRange, BINDING_MOST_BYTES) & ~15ull;
    to->group_most =
        (uint32_t)smaller(from->maxComputeWorkGroupInvocations, from->maxComputeWorkGroupSize[0]);
    to->shared_most_bytes = from->maxComputeSharedMemorySize;
    memcpy(to->groups_most, from->maxComputeWorkGroupCount, sizeof(to->groups_most));
    uint32_t bindings = (uint32_t)smaller(
        smaller(from->maxPerStageDescriptorStorageBuffers, from->maxDescriptorSetStorageBuffers),
        from->maxPerStageResources);
    to->bindings_most = (uint32_t)smaller(bindings > 0 ? bindings - 1 : 0, GPU_BINDINGS_MAX);
    device->allocation_most_bytes = all->allocation.maxMemoryAllocationSize;
    uint64_t buffer_most = all->buffer.maxBufferSize;
    to->memory_most_bytes = smaller(device->allocation_most_bytes, buffer_most) & ~15ull;
}

/* ---- memory ---- */
static bool has_type(const vk_physical *device, uint32_t i_heap, VkMemoryPropertyFlags flags) {
    for (uint32_t i = 0; i < device->memory.memoryTypeCount; i++) {
        const VkMemoryType *type = &device->memory.memoryTypes[i];
        if (type->heapIndex == i_heap && (type->propertyFlags & flags) == flags) {
            return true;
        }
    }
    return false;
}

/* Where host and device share their memory the driver says so by the kind of device. A large window
 * into a card's own memory is another thing: the host reads through it slowly. */
static void read_memory(const vk_instance *instance, vk_physical *device) {
    VkPhysicalDeviceMemoryProperties2 memory = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    instance->GetPhysicalDeviceMemoryProperties2(device->handle, &memory);
    device->memory = memory.memoryProperties;
    for (uint32_t i = 0; i < device->memory.memoryHeapCount; i++) {
        const VkMemoryHeap *heap = &device->memory.memoryHeaps[i];
        const VkMemoryHeap *best = &device->memory.memoryHeaps[device->i_heap];
        bool is_local = (heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0;
        bool is_best_local = (best->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0;
        if (is_local && (!is_best_local || heap->size > best->size)) {
            device->i_heap = i;
        }
    }
    gpu_limits *limits = &device->limits;
    limits->memory_total_bytes = device->memory.memoryHeaps[device->i_heap].size;
    limits->memory_most_bytes = smaller(limits->memory_most_bytes, limits->memory_total_bytes);
    VkMemoryPropertyFlags mapped = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT |
                                   VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                   VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    VkPhysicalDeviceType type = device->properties.deviceType;
    bool is_shared =
        type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU || type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    limits->is_unified = has_type(device, device->i_heap,
                                  is_shared ? mapped : mapped | VK_MEMORY_PROPERTY_HOST_CACHED_BIT);
}

static void read_imports(const vk_instance *instance, const extensions *list,
                         const all_properties *all, vk_physical *device) {
    if (has(list, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME)) {
        device->limits.imports_host = true;
        device->limits.import_alignment_bytes = all->host.minImportedHostPointerAlignment;
    }
    device->can_dmabuf = has(list, VK_EXT_EXTERNAL_MEMORY_DMA_BUF_EXTENSION_NAME) &&
                         has(list, VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME);
    if (!device->can_dmabuf) {
        return;
    }
    VkPhysicalDeviceExternalBufferInfo info = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
        .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT};
    VkExternalBufferProperties answer = {.sType = VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES};
    instance->GetPhysicalDeviceExternalBufferProperties(device->handle, &info, &answer);
    device->limits.imports_dmabuf = (answer.externalMemoryProperties.externalMemoryFeatures &
                                     VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT) != 0;
}

/* ---- cooperative matrices ---- */
enum { MATRIX_FLOAT16 = 0, MATRIX_FLOAT32 = 1, MATRIX_OF_SUBGROUP = 3 };

#define SUBGROUPS_OF_TILE 4u /* gpu/src/tiles.c */

typedef struct matrix_properties {
    VkStructureType sType;
    void *pNext;
    uint32_t m, n, k;
    int32_t left, right, added, result;
    VkBool32 is_saturating;
    int32_t scope;
} matrix_properties;

typedef VkResult(VKAPI_PTR *list_matrices)(VkPhysicalDevice device, uint32_t *inout_n,
                                           matrix_properties *out);

static bool is_power_of_two(uint32_t n) {
    return n != 0 && (n & (n - 1)) == 0;
}

/* Factors of f16 that are summed up in f32, of a size that tiles are made of (gpu/src/tiles.c). */
static bool is_of_use(const matrix_properties *item) {
    return item->left == MATRIX_FLOAT16 && item->right == MATRIX_FLOAT16 &&
           item->added == MATRIX_FLOAT32 && item->result == MATRIX_FLOAT32 &&
           item->scope == MATRIX_OF_SUBGROUP && item->is_saturating == 0 &&
           is_power_of_two(item->m) && is_power_of_two(item->n) && is_power_of_two(item->k) &&
           item->m <= 32 && item->n <= 32 && item->k >= 8 && item->k <= 32;
}

/* Needs subgroups of a known size, all of them full, and the memory model that the kernels with
 * matrices are written for. The largest matrices, and among equals the squarest. */
static void read_matrices(const vk_instance *instance, VkPhysicalDevice handle,
                          vk_physical *device) {
    matrix_properties items[64];
    uint32_t n = 64, most = 0;
    list_matrices list = (list_matrices)instance->get(
        instance->handle, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    memset(items, 0, sizeof(items));
    for (uint32_t i = 0; i < n; i++) {
        items[i].sType = VK_MATRIX_PROPERTIES;
    }
    if (!device->has_matrices || !device->limits.has_float16 ||
        device->subgroups_most < SUBGROUPS_OF_TILE || list == NULL || list(handle, &n, items) < 0) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        const matrix_properties *item = &items[i];
        uint32_t side = item->m < item->n ? item->m : item->n;
        uint32_t worth = item->m * item->n * item->k * 64 + side;
        if (is_of_use(item) && worth > most) {
            most = worth;
            device->limits.matrices = (gpu_matrices){item->m, item->n, item->k};
        }
    }
}

/* ---- all of it ---- */
/* Of the families that compute one without graphics, where there is one: it does not wait for what
 * is drawn. */
static bool find_queue_family(const vk_instance *instance, vk_physical *device) {
    VkQueueFamilyProperties families[32];
    uint32_t n = 32;
    bool is_found = false;
    instance->GetPhysicalDeviceQueueFamilyProperties(device->handle, &n, families);
    for (uint32_t i = 0; i < n; i++) {
        VkQueueFlags flags = families[i].queueFlags;
        if ((flags & VK_QUEUE_COMPUTE_BIT) == 0 || families[i].queueCount == 0) {
            continue;
        }
        bool is_free = (flags & VK_QUEUE_GRAPHICS_BIT) == 0;
        if (!is_found || is_free) {
            device->queue_family = i;
            is_found = true;
        }
        if (is_free) {
            break;
        }
    }
    return is_found;
}

/* Of the kernel that has most. */
static uint32_t bindings_needed(void) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < GPU_KERNEL_COUNT; i++) {
        uint32_t n = gpu_kernels[i].n_in + gpu_kernels[i].n_out;
        most = n > most ? n : most;
    }
    return most;
}

/* false: not a device that this driver can use. */
static bool read_device(const vk_instance *instance, VkPhysicalDevice handle, vk_physical *device) {
    extensions list;
    all_properties all;
    *device = (vk_physical){.handle = handle};
    instance->GetPhysicalDeviceProperties(handle, &device->properties);
    uint32_t version = device->properties.apiVersion;
    if (version < VK_API_VERSION_1_1 || !find_queue_family(instance, device)) {
        kit_remark(SY_SEVERITY_INFO, "%s is left out: it has no Vulkan 1.1 with compute",
                   device->properties.deviceName);
        return false;
    }
    if (!extensions_of(instance, handle, &list)) {
        extensions_free(&list);
        return false;
    }
    version = version < instance->version ? version : instance->version;
    device->is_core_1_2 = version >= VK_API_VERSION_1_2;
    device->is_core_1_3 = version >= VK_API_VERSION_1_3;
    device->has_budget = has(&list, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    device->limits.is_software = device->properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    read_features(instance, &list, device);
    ask_properties(instance, &list, device, &all);
    name_driver(&all.driver, device);
    read_limits(&all, device);
    read_subgroups(&all, device);
    read_memory(instance, device);
    read_imports(instance, &list, &all, device);
    device->limits.n_units = units_of(device, &all);
    read_matrices(instance, handle, device);
    extensions_free(&list);
    if (device->limits.bindings_most < bindings_needed()) {
        kit_remark(SY_SEVERITY_INFO, "%s is left out: its kernels bind %u buffers, %u are needed",
                   device->properties.deviceName, device->limits.bindings_most, bindings_needed());
        return false;
    }
    return true;
}

static void name_devices(vk_physical *list, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        const char *name = list[i].properties.deviceName;
        uint32_t n_before = 0;
        for (uint32_t j = 0; j < i; j++) {
            n_before += strcmp(list[j].properties.deviceName, name) == 0;
        }
        if (n_before == 0) {
            snprintf(list[i].limits.id, sizeof(list[i].limits.id), "%.63s", name);
        } else {
            snprintf(list[i].limits.id, sizeof(list[i].limits.id), "%.52s #%u", name, n_before + 1);
        }
    }
}

/* lavapipe forgets what it allocates here when the loader unloads it; its leak is not ours. */
#ifdef SY_SANITIZED
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));
#endif

static VkResult list_handles(const vk_instance *instance, uint32_t *inout_n,
                             VkPhysicalDevice *out_handles) {
#ifdef SY_SANITIZED
    if (__lsan_disable != NULL) {
        __lsan_disable();
    }
#endif
    VkResult result = instance->EnumeratePhysicalDevices(instance->handle, inout_n, out_handles);
#ifdef SY_SANITIZED
    if (__lsan_enable != NULL) {
        __lsan_enable();
    }
#endif
    return result;
}

sy_status vk_physicals_make(const vk_instance *instance, vk_physicals *out_list) {
    uint32_t n = 0;
    *out_list = (vk_physicals){0};
    VkResult result = list_handles(instance, &n, NULL);
    if (result < 0 || n == 0) {
        kit_remark(SY_SEVERITY_INFO, "no Vulkan device: the loader lists none (VkResult %d)",
                   (int)result);
        return SY_OK;
    }
    VkPhysicalDevice *handles = kit_alloc(sizeof(VkPhysicalDevice) * n);
    out_list->items = kit_alloc(sizeof(vk_physical) * n);
    out_list->capacity = n;
    uint32_t n_listed = n;
    if (handles == NULL || out_list->items == NULL) {
        kit_release(handles, sizeof(VkPhysicalDevice) * n);
        vk_physicals_free(out_list);
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory to list Vulkan devices");
    }
    result = list_handles(instance, &n_listed, handles);
    for (uint32_t i = 0; result >= 0 && i < n_listed; i++) {
        out_list->n += read_device(instance, handles[i], &out_list->items[out_list->n]);
    }
    kit_release(handles, sizeof(VkPhysicalDevice) * n);
    name_devices(out_list->items, out_list->n);
    return SY_OK;
}

void vk_physicals_free(vk_physicals *list) {
    kit_release(list->items, sizeof(vk_physical) * list->capacity);
    *list = (vk_physicals){0};
}
