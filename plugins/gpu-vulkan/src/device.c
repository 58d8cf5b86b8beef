/* SPDX-License-Identifier: Apache-2.0 */
/* Finding, opening and closing devices; what their failures mean. */
#include "vk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

sy_status gpu_driver_enumerate(gpu_limits *out_limits, uint32_t *inout_count) {
    uint32_t capacity = *inout_count;
    const vk_instance *instance = vk_instance_take();
    if (instance == NULL) {
        *inout_count = 0;
        return SY_OK;
    }
    vk_physicals list;
    sy_status status = vk_physicals_make(instance, &list);
    if (status == SY_OK) {
        for (uint32_t i = 0; i < list.n && i < capacity; i++) {
            out_limits[i] = list.items[i].limits;
        }
        *inout_count = list.n;
        vk_physicals_free(&list);
    }
    vk_instance_drop(status == SY_OK && *inout_count > 0);
    return status;
}

/* ---- failures ---- */
static sy_status status_of(VkResult result) {
    switch (result) {
    case VK_ERROR_DEVICE_LOST:
        return SY_STATUS(SY_UNAVAILABLE, SY_DETAIL_DEVICE_LOST);
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_OUT_OF_POOL_MEMORY:
    case VK_ERROR_FRAGMENTED_POOL:
    case VK_ERROR_FRAGMENTATION:
    case VK_ERROR_TOO_MANY_OBJECTS:
        return SY_RESOURCE_EXHAUSTED;
    case VK_TIMEOUT:
    case VK_NOT_READY:
        return SY_DEADLINE_EXCEEDED;
    case VK_ERROR_INVALID_EXTERNAL_HANDLE:
        return SY_INVALID_ARGUMENT;
    case VK_ERROR_FEATURE_NOT_PRESENT:
    case VK_ERROR_EXTENSION_NOT_PRESENT:
    case VK_ERROR_INCOMPATIBLE_DRIVER:
        return SY_UNIMPLEMENTED;
    case VK_ERROR_INITIALIZATION_FAILED:
        return SY_UNAVAILABLE;
    default:
        return SY_INTERNAL;
    }
}

sy_status vk_fail(gpu_driver *driver, VkResult result, const char *what) {
    if (result == VK_ERROR_DEVICE_LOST) {
        atomic_store(&driver->is_lost, true);
        return kit_report(status_of(result), SY_NO_VALUE, "%s was lost: it could not %s",
                          driver->limits.id, what);
    }
    return kit_report(status_of(result), SY_NO_VALUE, "%s could not %s (VkResult %d)",
                      driver->limits.id, what, (int)result);
}

sy_status vk_check(const gpu_driver *driver) {
    if (!atomic_load(&driver->is_lost)) {
        return SY_OK;
    }
    return kit_report(SY_STATUS(SY_UNAVAILABLE, SY_DETAIL_DEVICE_LOST), SY_NO_VALUE,
                      "%s was lost before; open it again", driver->limits.id);
}

/* ---- opening ---- */
typedef struct device_features {
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline;
    VkPhysicalDeviceShaderFloat16Int8Features float16;
    VkPhysicalDeviceSubgroupSizeControlFeatures size;
    VkPhysicalDevicePipelineCreationCacheControlFeatures cache;
    VkPhysicalDeviceVulkanMemoryModelFeatures model;
    vk_matrix_features matrices;
    const char *extensions[9];
    uint32_t n_extensions;
    void *first;
} device_features;

/* A feature with the structure that asks for it and, where it is not of the core, its extension. */
static void want(device_features *features, void *structure, bool is_core, const char *extension) {
    if (structure != NULL) {
        ((VkBaseOutStructure *)structure)->pNext = features->first;
        features->first = structure;
    }
    if (!is_core) {
        features->extensions[features->n_extensions++] = extension;
    }
}

static void choose_features(const vk_physical *physical, bool with_matrices, device_features *out) {
    *out = (device_features){
        .timeline = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES, NULL, VK_TRUE},
        .float16 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES, NULL, VK_TRUE,
                    VK_FALSE},
        .size = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES, NULL, VK_TRUE,
                 VK_TRUE},
        .cache = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_CREATION_CACHE_CONTROL_FEATURES, NULL,
                  VK_TRUE},
        .model = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES,
                  .vulkanMemoryModel = VK_TRUE,
                  .vulkanMemoryModelDeviceScope = VK_TRUE},
        .matrices = {.sType = VK_MATRIX_FEATURES, .has_matrices = VK_TRUE}};
    bool is_1_2 = physical->is_core_1_2, is_1_3 = physical->is_core_1_3;
    if (physical->has_timeline) {
        want(out, &out->timeline, is_1_2, VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME);
    }
    if (physical->limits.has_float16) {
        want(out, &out->float16, is_1_2, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME);
    }
    if (physical->has_size_control) {
        want(out, &out->size, is_1_3, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
    }
    if (physical->has_cache_control) {
        want(out, &out->cache, is_1_3, VK_EXT_PIPELINE_CREATION_CACHE_CONTROL_EXTENSION_NAME);
    }
    if (with_matrices) {
        want(out, &out->model, true, NULL);
        want(out, &out->matrices, false, VK_MATRIX_EXTENSION_NAME);
    }
    if (physical->has_budget) {
        want(out, NULL, false, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    }
    if (physical->limits.imports_host) {
        want(out, NULL, false, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
    }
    if (physical->limits.imports_dmabuf) {
        want(out, NULL, false, VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME);
        want(out, NULL, false, VK_EXT_EXTERNAL_MEMORY_DMA_BUF_EXTENSION_NAME);
    }
}

static sy_status create_device(gpu_driver *driver) {
    device_features features;
    choose_features(&driver->physical, driver->limits.matrices.m != 0, &features);
    float priority = 1.0f;
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = driver->physical.queue_family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = features.first,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .enabledExtensionCount = features.n_extensions,
                               .ppEnabledExtensionNames = features.extensions};
    VkResult result =
        driver->instance->CreateDevice(driver->physical.handle, &info, NULL, &driver->device);
    return result == VK_SUCCESS ? SY_OK : vk_fail(driver, result, "be opened");
}

static PFN_vkVoidFunction function_of(const gpu_driver *driver, bool is_core, const char *core_name,
                                      const char *extension_name) {
    return driver->instance->GetDeviceProcAddr(driver->device,
                                               is_core ? core_name : extension_name);
}

static sy_status load_functions(gpu_driver *driver) {
    const vk_physical *physical = &driver->physical;
    vk_functions *call = &driver->call;
    const char *missing = NULL;
#define LOAD(name)                                                                              \
    call->name = (PFN_vk##name)driver->instance->GetDeviceProcAddr(driver->device, "vk" #name); \
    missing = call->name == NULL ? #name : missing;
    VK_DEVICE_FUNCTIONS(LOAD)
#undef LOAD
    if (physical->has_timeline) {
        call->WaitSemaphores = (PFN_vkWaitSemaphores)function_of(
            driver, physical->is_core_1_2, "vkWaitSemaphores", "vkWaitSemaphoresKHR");
        call->GetSemaphoreCounterValue = (PFN_vkGetSemaphoreCounterValue)function_of(
            driver, physical->is_core_1_2, "vkGetSemaphoreCounterValue",
            "vkGetSemaphoreCounterValueKHR");
        missing = call->WaitSemaphores == NULL || call->GetSemaphoreCounterValue == NULL
                      ? "WaitSemaphores"
                      : missing;
    }
    if (physical->limits.imports_host) {
        call->GetMemoryHostPointerPropertiesEXT =
            (PFN_vkGetMemoryHostPointerPropertiesEXT)function_of(
                driver, true, "vkGetMemoryHostPointerPropertiesEXT", NULL);
        driver->limits.imports_host = call->GetMemoryHostPointerPropertiesEXT != NULL;
    }
    if (physical->limits.imports_dmabuf) {
        call->GetMemoryFdPropertiesKHR = (PFN_vkGetMemoryFdPropertiesKHR)function_of(
            driver, true, "vkGetMemoryFdPropertiesKHR", NULL);
        driver->limits.imports_dmabuf = call->GetMemoryFdPropertiesKHR != NULL;
    }
    if (missing != NULL) {
        return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE, "%s: its driver lacks vk%s",
                          driver->limits.id, missing);
    }
    call->GetDeviceQueue(driver->device, physical->queue_family, 0, &driver->queue);
    return SY_OK;
}

/* Takes the device out of the list of all. */
static sy_status find_physical(gpu_driver *driver, uint32_t i_device) {
    vk_physicals list;
    sy_status status = vk_physicals_make(driver->instance, &list);
    if (status != SY_OK) {
        return status;
    }
    if (i_device < list.n) {
        driver->physical = list.items[i_device];
        driver->limits = driver->physical.limits;
    } else {
        status = kit_report(SY_NOT_FOUND, SY_NO_VALUE,
                            "there is no Vulkan device %u, but %u in all", i_device, list.n);
    }
    vk_physicals_free(&list);
    return status;
}

static void apply_options(gpu_driver *driver, const gpu_open_options *options) {
    gpu_limits *limits = &driver->limits;
    if (options->binding_most_bytes != 0 &&
        options->binding_most_bytes < limits->binding_most_bytes) {
        limits->binding_most_bytes = options->binding_most_bytes;
    }
    if (options->subgroups == GPU_NEVER) {
        limits->subgroup_size = 0;
    }
    if (options->matrices == GPU_NEVER || limits->subgroup_size == 0 ||
        (limits->is_software && options->matrices != GPU_WHERE_OFFERED)) {
        limits->matrices = (gpu_matrices){0};
    }
    driver->memory_limit_bytes = options->memory_limit_bytes;
    driver->has_subgroups = limits->subgroup_size != 0;
}

static sy_status open_driver(gpu_driver *driver, uint32_t i_device,
                             const gpu_open_options *options) {
    sy_status status = find_physical(driver, i_device);
    if (status != SY_OK) {
        return status;
    }
    apply_options(driver, options);
    status = create_device(driver);
    status = status == SY_OK ? load_functions(driver) : status;
    status = status == SY_OK ? vk_layouts_create(driver) : status;
    status = status == SY_OK ? vk_queue_create(driver) : status;
    return status == SY_OK ? vk_transfer_create(driver) : status;
}

sy_status gpu_driver_open(uint32_t i_device, const gpu_open_options *options,
                          gpu_driver **out_driver) {
    gpu_driver *driver = kit_alloc(sizeof(gpu_driver));
    if (driver == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory to open a Vulkan device");
    }
    pthread_mutex_init(&driver->queue_lock, NULL);
    pthread_mutex_init(&driver->transfer.lock, NULL);
    driver->instance = vk_instance_take();
    sy_status status = driver->instance != NULL
                           ? open_driver(driver, i_device, options)
                           : kit_report(SY_NOT_FOUND, SY_NO_VALUE, "there is no Vulkan device");
    if (status != SY_OK) {
        gpu_driver_close(driver);
        return status;
    }
    *out_driver = driver;
    return SY_OK;
}

void gpu_driver_close(gpu_driver *driver) {
    if (driver == NULL) {
        return;
    }
    if (driver->device != NULL && driver->call.DestroyDevice != NULL) {
        if (!atomic_load(&driver->is_lost) && driver->call.DeviceWaitIdle != NULL) {
            driver->call.DeviceWaitIdle(driver->device);
        }
        vk_transfer_destroy(driver);
        vk_queue_destroy(driver);
        vk_pipelines_destroy(driver);
        driver->call.DestroyDevice(driver->device, NULL);
    }
    gpu_driver_code_forget(driver);
    if (driver->instance != NULL) {
        vk_instance_drop(false);
    }
    pthread_mutex_destroy(&driver->transfer.lock);
    pthread_mutex_destroy(&driver->queue_lock);
    kit_release(driver, sizeof(gpu_driver));
}

const gpu_limits *gpu_driver_limits(const gpu_driver *driver) {
    return &driver->limits;
}

bool gpu_driver_is_lost(const gpu_driver *driver) {
    return atomic_load(&driver->is_lost);
}
