/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/fake_vulkan.h"

#include "gpu/fake_dmabuf.h"
#include "gpu/spirv_shared.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define SMALL_GROUP 128u
#define SMALL_SHARED_BYTES (16u << 10)

/* ---- the real ones ---- */
static PFN_vkGetInstanceProcAddr real_instance_function;
static PFN_vkGetDeviceProcAddr real_device_function;
static VkInstance the_instance;
#define REAL(name) ((PFN_vk##name)real_instance_function(the_instance, "vk" #name))

static struct {
    PFN_vkQueueSubmit QueueSubmit;
    PFN_vkAllocateMemory AllocateMemory;
    PFN_vkGetBufferMemoryRequirements GetBufferMemoryRequirements;
    PFN_vkWaitSemaphores WaitSemaphores;
    PFN_vkWaitForFences WaitForFences;
    PFN_vkCreateShaderModule CreateShaderModule;
    PFN_vkCreateComputePipelines CreateComputePipelines;
    PFN_vkGetMemoryHostPointerPropertiesEXT GetMemoryHostPointerPropertiesEXT;
    PFN_vkDeviceWaitIdle DeviceWaitIdle;
    PFN_vkCreateBuffer CreateBuffer;
    PFN_vkFreeMemory FreeMemory;
} real;

static bool is_asked(const char *word) {
    const char *words = getenv("FAKE_VULKAN");
    return words != NULL && strstr(words, word) != NULL;
}

/* ---- faults ---- */
static struct {
    atomic_int n_good; /* -1: never */
    bool is_once;
} faults[FAKE_FAULT_COUNT] = {{-1, false}, {-1, false}, {-1, false}, {-1, false}};

EXPORT void fake_vulkan_fault(fake_fault fault, int n_good, int is_once) {
    faults[fault].is_once = is_once != 0;
    atomic_store(&faults[fault].n_good, n_good);
}

static bool fails(fake_fault fault) {
    int n = atomic_load(&faults[fault].n_good);
    if (n < 0) {
        return false;
    }
    if (n > 0) {
        atomic_fetch_sub(&faults[fault].n_good, 1);
        return false;
    }
    if (faults[fault].is_once) {
        atomic_store(&faults[fault].n_good, -1);
    }
    return true;
}

/* ---- what the device is ---- */
static VkResult VKAPI_CALL instance_version(uint32_t *out_version) {
    PFN_vkEnumerateInstanceVersion ask =
        (PFN_vkEnumerateInstanceVersion)real_instance_function(NULL, "vkEnumerateInstanceVersion");
    VkResult result = ask(out_version);
    if (is_asked("oldest")) {
        *out_version = VK_API_VERSION_1_1;
    }
    return result;
}

/* A layer's objects are gone as soon as the process ends. */
static bool is_over;
static void end(void) {
    is_over = true;
}

static VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info,
                                           const VkAllocationCallbacks *allocator,
                                           VkInstance *out_instance) {
    static bool is_told;
    PFN_vkCreateInstance create =
        (PFN_vkCreateInstance)real_instance_function(NULL, "vkCreateInstance");
    VkResult result = create(info, allocator, out_instance);
    the_instance = *out_instance;
    is_told = is_told || atexit(end) == 0;
    return result;
}

static void VKAPI_CALL destroy_instance(VkInstance instance,
                                        const VkAllocationCallbacks *allocator) {
    if (is_over) {
        abort();
    }
    REAL(DestroyInstance)(instance, allocator);
}

static VkResult VKAPI_CALL list_devices(VkInstance instance, uint32_t *inout_n,
                                        VkPhysicalDevice *out) {
    uint32_t capacity = *inout_n;
    VkResult result = REAL(EnumeratePhysicalDevices)(instance, inout_n, out);
    if (is_asked("none")) {
        *inout_n = 0;
    }
    uint32_t n = *inout_n;
    if (is_asked("twins") && result >= 0 && (out == NULL || 2 * n <= capacity)) {
        for (uint32_t i = 0; out != NULL && i < n; i++) {
            out[n + i] = out[i];
        }
        *inout_n = 2 * n;
    }
    return result;
}

static VkResult VKAPI_CALL list_extensions(VkPhysicalDevice device, const char *layer,
                                           uint32_t *inout_n, VkExtensionProperties *out) {
    if (is_asked("oldest")) {
        *inout_n = 0;
        return VK_SUCCESS;
    }
    uint32_t capacity = *inout_n;
    VkResult result = REAL(EnumerateDeviceExtensionProperties)(device, layer, inout_n, out);
    if (is_asked("matrix") && (out == NULL || *inout_n < capacity)) {
        if (out != NULL) {
            out[*inout_n] = (VkExtensionProperties){"VK_KHR_cooperative_matrix", 1};
        }
        ++*inout_n;
    }
    if (is_asked("dmabuf")) {
        fake_dmabuf_list(capacity, inout_n, out);
    }
    return result;
}

static VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                                         const VkAllocationCallbacks *allocator, VkDevice *out) {
    return is_asked("dmabuf")
               ? fake_dmabuf_create_device(REAL(CreateDevice), physical, info, allocator, out)
               : REAL(CreateDevice)(physical, info, allocator, out);
}

static void VKAPI_CALL external_of(VkPhysicalDevice device,
                                   const VkPhysicalDeviceExternalBufferInfo *info,
                                   VkExternalBufferProperties *out) {
    REAL(GetPhysicalDeviceExternalBufferProperties)(device, info, out);
    if (is_asked("dmabuf") && info->handleType == VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT) {
        out->externalMemoryProperties.externalMemoryFeatures =
            VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT;
    }
}

/* As in VkCooperativeMatrixPropertiesKHR, which older headers lack. First f16 (0) alone, then with
 * f32 (1) out, of two sizes. */
typedef struct matrix_properties {
    VkStructureType sType;
    void *pNext;
    uint32_t m, n, k, types[4];
    uint32_t is_saturating, scope;
} matrix_properties;

static VkResult VKAPI_CALL list_matrices(VkPhysicalDevice device, uint32_t *inout_n,
                                         matrix_properties *out) {
    (void)device;
    *inout_n = is_asked("half") ? 1 : 3;
    for (uint32_t i = 0; i < *inout_n; i++) {
        uint32_t size = i == 1 ? 16 : 8, type = i > 0 ? 1 : 0;
        out[i] = (matrix_properties){out[i].sType, out[i].pNext,       size, size,
                                     size,         {0, 0, type, type}, 0,    3};
    }
    return VK_SUCCESS;
}

/* As in VkPhysicalDeviceCooperativeMatrixFeaturesKHR. */
#define MATRIX_FEATURES ((VkStructureType)1000506000)
typedef struct matrix_features {
    VkStructureType sType;
    void *pNext;
    VkBool32 has_matrices, is_robust;
} matrix_features;

/* The structure of this type that a question brings, or NULL. */
static void *find_chained(void *first, VkStructureType type) {
    VkBaseOutStructure *at = first;
    while (at != NULL && at->sType != type) {
        at = at->pNext;
    }
    return at;
}

static void VKAPI_CALL features_of(VkPhysicalDevice device, VkPhysicalDeviceFeatures2 *out) {
    REAL(GetPhysicalDeviceFeatures2)(device, out);
    matrix_features *matrices = find_chained(out->pNext, MATRIX_FEATURES);
    VkPhysicalDeviceVulkanMemoryModelFeatures *model =
        find_chained(out->pNext, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES);
    VkPhysicalDeviceShaderFloat16Int8Features *numbers =
        find_chained(out->pNext, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES);
    if (is_asked("matrix") && matrices != NULL) {
        matrices->has_matrices = VK_TRUE;
    }
    if (is_asked("matrix") && model != NULL) {
        model->vulkanMemoryModel = VK_TRUE;
        model->vulkanMemoryModelDeviceScope = !is_asked("narrow");
    }
    if (is_asked("small") && numbers != NULL) {
        numbers->shaderFloat16 = numbers->shaderInt8 = VK_FALSE;
    }
}

static void change_properties(VkPhysicalDeviceProperties *properties) {
    if (is_asked("oldest")) {
        properties->apiVersion = VK_API_VERSION_1_1;
    }
    if (is_asked("discrete")) {
        properties->deviceType = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    }
    VkPhysicalDeviceLimits *limits = &properties->limits;
    if (is_asked("few")) {
        limits->maxPerStageDescriptorStorageBuffers = 4;
    }
    if (is_asked("small")) {
        limits->maxComputeWorkGroupInvocations = SMALL_GROUP;
        limits->maxComputeWorkGroupSize[0] = limits->maxComputeWorkGroupSize[1] = SMALL_GROUP;
        limits->maxComputeSharedMemorySize = SMALL_SHARED_BYTES;
        limits->maxStorageBufferRange = 1u << 27;
        limits->minStorageBufferOffsetAlignment = 256;
        for (uint32_t i = 0; i < 3; i++) {
            limits->maxComputeWorkGroupCount[i] = 65535;
        }
    }
}

static void VKAPI_CALL properties_of(VkPhysicalDevice device, VkPhysicalDeviceProperties *out) {
    REAL(GetPhysicalDeviceProperties)(device, out);
    change_properties(out);
}

static void VKAPI_CALL properties2_of(VkPhysicalDevice device, VkPhysicalDeviceProperties2 *out) {
    REAL(GetPhysicalDeviceProperties2)(device, out);
    change_properties(&out->properties);
    const char *words = getenv("FAKE_VULKAN");
    const char *size = words != NULL ? strstr(words, "subgroup") : NULL;
    VkPhysicalDeviceSubgroupProperties *subgroup =
        find_chained(out->pNext, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES);
    if (size != NULL && subgroup != NULL) {
        subgroup->subgroupSize = (uint32_t)strtoul(size + strlen("subgroup"), NULL, 10);
        subgroup->supportedOperations = subgroup->subgroupSize > 0 ? subgroup->supportedOperations
                                                                   : VK_SUBGROUP_FEATURE_BASIC_BIT;
    }
}

/* lavapipe has one type of memory. A card has three: its own, the host's, and a window into its
 * own, which is a heap by itself. */
static void VKAPI_CALL memory_of(VkPhysicalDevice device, VkPhysicalDeviceMemoryProperties2 *out) {
    VkPhysicalDeviceMemoryProperties *memory = &out->memoryProperties;
    REAL(GetPhysicalDeviceMemoryProperties2)(device, out);
    if (!is_asked("discrete") || memory->memoryTypeCount != 1) {
        return;
    }
    const VkMemoryPropertyFlags seen =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    memory->memoryTypeCount = 3;
    memory->memoryTypes[0] = (VkMemoryType){VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0};
    memory->memoryTypes[1] = (VkMemoryType){seen | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, 1};
    memory->memoryTypes[2] = (VkMemoryType){seen | VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 2};
    memory->memoryHeapCount = 3;
    memory->memoryHeaps[1] = (VkMemoryHeap){memory->memoryHeaps[0].size, 0};
    memory->memoryHeaps[2] = (VkMemoryHeap){256u << 10, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT};
    VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget = out->pNext;
    if (budget != NULL) {
        budget->heapBudget[1] = budget->heapBudget[0];
        budget->heapBudget[2] = 256u << 10;
    }
}

/* ---- what fails ---- */
static VkResult VKAPI_CALL submit(VkQueue queue, uint32_t n, const VkSubmitInfo *infos,
                                  VkFence fence) {
    return fails(FAKE_FAULT_LOST_AT_SUBMIT) ? VK_ERROR_DEVICE_LOST
                                            : real.QueueSubmit(queue, n, infos, fence);
}

/* Nothing runs on a device that is lost. */
static VkResult lost(VkDevice device) {
    real.DeviceWaitIdle(device);
    return VK_ERROR_DEVICE_LOST;
}

static VkResult VKAPI_CALL wait_semaphores(VkDevice device, const VkSemaphoreWaitInfo *info,
                                           uint64_t timeout_ns) {
    return fails(FAKE_FAULT_LOST_AT_WAIT) ? lost(device)
                                          : real.WaitSemaphores(device, info, timeout_ns);
}

static VkResult VKAPI_CALL wait_fences(VkDevice device, uint32_t n, const VkFence *fences,
                                       VkBool32 all, uint64_t timeout_ns) {
    return fails(FAKE_FAULT_LOST_AT_WAIT) ? lost(device)
                                          : real.WaitForFences(device, n, fences, all, timeout_ns);
}

/* ---- code ---- */
/* The newest module: a pipeline is made of it next. */
static struct {
    VkShaderModule module;
    uint32_t *words;
    size_t n_words;
} newest;

static VkResult VKAPI_CALL create_module(VkDevice device, const VkShaderModuleCreateInfo *info,
                                         const VkAllocationCallbacks *allocator,
                                         VkShaderModule *out) {
    VkResult result = real.CreateShaderModule(device, info, allocator, out);
    free(newest.words);
    newest.module = *out;
    newest.n_words = info->codeSize / 4;
    newest.words = malloc(info->codeSize);
    if (newest.words != NULL) {
        memcpy(newest.words, info->pCode, info->codeSize);
    }
    return result;
}

static bool is_small(const VkPipelineShaderStageCreateInfo *stage) {
    const VkSpecializationInfo *given = stage->pSpecializationInfo;
    const uint32_t *constants = given->pData;
    uint64_t n_bytes = 0;
    if (newest.words == NULL || newest.module != stage->module ||
        !spirv_shared_bytes(newest.words, newest.n_words, constants, given->mapEntryCount,
                            &n_bytes)) {
        fprintf(stderr, "fake libvulkan: cannot read the code of a pipeline\n");
        return false;
    }
    if (constants[0] > SMALL_GROUP || n_bytes > SMALL_SHARED_BYTES) {
        fprintf(stderr, "fake libvulkan: a group of %u shares %llu bytes\n", constants[0],
                (unsigned long long)n_bytes);
        return false;
    }
    return true;
}

static VkResult VKAPI_CALL create_pipelines(VkDevice device, VkPipelineCache cache, uint32_t n,
                                            const VkComputePipelineCreateInfo *infos,
                                            const VkAllocationCallbacks *allocator,
                                            VkPipeline *out) {
    for (uint32_t i = 0; is_asked("small") && i < n; i++) {
        if (!is_small(&infos[i].stage)) {
            return VK_ERROR_UNKNOWN;
        }
    }
    return fails(FAKE_FAULT_NO_PIPELINE)
               ? VK_ERROR_OUT_OF_HOST_MEMORY
               : real.CreateComputePipelines(device, cache, n, infos, allocator, out);
}

static VkResult VKAPI_CALL allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                    const VkAllocationCallbacks *allocator, VkDeviceMemory *out) {
    VkMemoryAllocateInfo changed = *info;
    if (is_asked("discrete")) {
        changed.memoryTypeIndex = 0;
    }
    return fails(FAKE_FAULT_NO_DEVICE_MEMORY)
               ? VK_ERROR_OUT_OF_DEVICE_MEMORY
               : fake_dmabuf_allocate(real.AllocateMemory, device, &changed, allocator, out);
}

static void VKAPI_CALL give(VkDevice device, VkDeviceMemory memory,
                            const VkAllocationCallbacks *allocator) {
    fake_dmabuf_free(real.FreeMemory, device, memory, allocator);
}

static VkResult VKAPI_CALL create_buffer(VkDevice device, const VkBufferCreateInfo *info,
                                         const VkAllocationCallbacks *allocator, VkBuffer *out) {
    return fake_dmabuf_create_buffer(real.CreateBuffer, device, info, allocator, out);
}

static VkResult VKAPI_CALL file_types(VkDevice device, VkExternalMemoryHandleTypeFlagBits kind,
                                      int fd, VkMemoryFdPropertiesKHR *out) {
    (void)device, (void)kind;
    return fake_dmabuf_types(fd, out);
}

static void VKAPI_CALL needs_of(VkDevice device, VkBuffer buffer, VkMemoryRequirements *out) {
    real.GetBufferMemoryRequirements(device, buffer, out);
    if (is_asked("discrete")) {
        out->memoryTypeBits = 7;
    }
}

static VkResult VKAPI_CALL pointer_types(VkDevice device, VkExternalMemoryHandleTypeFlagBits kind,
                                         const void *pointer,
                                         VkMemoryHostPointerPropertiesEXT *out) {
    VkResult result = real.GetMemoryHostPointerPropertiesEXT(device, kind, pointer, out);
    if (is_asked("discrete")) {
        out->memoryTypeBits = 7;
    }
    return result;
}

/* ---- the entry ---- */
typedef struct replacement {
    const char *name;
    PFN_vkVoidFunction function;
} replacement;

#define REPLACE(name, function) \
    { "vk" #name, (PFN_vkVoidFunction)(function) }

static PFN_vkVoidFunction replacement_of(const replacement *list, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].name, name) == 0) {
            return list[i].function;
        }
    }
    return NULL;
}

static PFN_vkVoidFunction VKAPI_CALL device_function(VkDevice device, const char *name) {
    static const replacement list[] = {
        REPLACE(QueueSubmit, submit),
        REPLACE(AllocateMemory, allocate),
        REPLACE(GetBufferMemoryRequirements, needs_of),
        REPLACE(WaitSemaphores, wait_semaphores),
        REPLACE(WaitForFences, wait_fences),
        REPLACE(CreateShaderModule, create_module),
        REPLACE(CreateComputePipelines, create_pipelines),
        REPLACE(GetMemoryHostPointerPropertiesEXT, pointer_types),
        REPLACE(GetMemoryFdPropertiesKHR, file_types),
        REPLACE(CreateBuffer, create_buffer),
        REPLACE(FreeMemory, give),
    };
#define KEEP(name) real.name = (PFN_vk##name)real_device_function(device, "vk" #name)
    KEEP(QueueSubmit);
    KEEP(AllocateMemory);
    KEEP(GetBufferMemoryRequirements);
    KEEP(WaitSemaphores);
    KEEP(WaitForFences);
    KEEP(CreateShaderModule);
    KEEP(CreateComputePipelines);
    KEEP(GetMemoryHostPointerPropertiesEXT);
    KEEP(DeviceWaitIdle);
    KEEP(CreateBuffer);
    KEEP(FreeMemory);
    PFN_vkVoidFunction function = replacement_of(list, sizeof(list) / sizeof(list[0]), name);
    return function != NULL ? function : real_device_function(device, name);
}

static bool open_real(void) {
    if (real_instance_function == NULL) {
        void *library = dlopen(REAL_VULKAN, RTLD_NOW | RTLD_LOCAL);
        void *symbol = library != NULL ? dlsym(library, "vkGetInstanceProcAddr") : NULL;
        memcpy(&real_instance_function, &symbol, sizeof(symbol));
    }
    return real_instance_function != NULL;
}

EXPORT PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance, const char *name);

PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance, const char *name) {
    static const replacement list[] = {
        REPLACE(EnumerateInstanceVersion, instance_version),
        REPLACE(CreateInstance, create_instance),
        REPLACE(DestroyInstance, destroy_instance),
        REPLACE(EnumeratePhysicalDevices, list_devices),
        REPLACE(EnumerateDeviceExtensionProperties, list_extensions),
        REPLACE(GetPhysicalDeviceProperties, properties_of),
        REPLACE(GetPhysicalDeviceProperties2, properties2_of),
        REPLACE(GetPhysicalDeviceMemoryProperties2, memory_of),
        REPLACE(GetPhysicalDeviceFeatures2, features_of),
        REPLACE(GetPhysicalDeviceCooperativeMatrixPropertiesKHR, list_matrices),
        REPLACE(GetPhysicalDeviceExternalBufferProperties, external_of),
        REPLACE(CreateDevice, create_device),
        REPLACE(GetDeviceProcAddr, device_function),
    };
    if (!open_real()) {
        return NULL;
    }
    if (instance != NULL) {
        real_device_function =
            (PFN_vkGetDeviceProcAddr)real_instance_function(instance, "vkGetDeviceProcAddr");
    }
    PFN_vkVoidFunction function = replacement_of(list, sizeof(list) / sizeof(list[0]), name);
    return function != NULL ? function : real_instance_function(instance, name);
}
