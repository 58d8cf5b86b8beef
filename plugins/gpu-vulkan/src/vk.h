/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's objects over Vulkan, and what its files need of each other. */
#ifndef VK_H
#define VK_H

#include "driver.h"

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>

#include <pthread.h>
#include <stdatomic.h>

/* VK_KHR_cooperative_matrix is younger than the headers that this has to build with. */
#define VK_MATRIX_EXTENSION_NAME "VK_KHR_cooperative_matrix"
#define VK_MATRIX_FEATURES ((VkStructureType)1000506000)
#define VK_MATRIX_PROPERTIES ((VkStructureType)1000506001)
typedef struct vk_matrix_features {
    VkStructureType sType;
    void *pNext;
    VkBool32 has_matrices, has_robust_access;
} vk_matrix_features;

/* ---- loader.c: libvulkan at run time, and the one instance of the process ---- */
#define VK_INSTANCE_FUNCTIONS(X)                 \
    X(DestroyInstance)                           \
    X(EnumeratePhysicalDevices)                  \
    X(EnumerateDeviceExtensionProperties)        \
    X(GetPhysicalDeviceProperties)               \
    X(GetPhysicalDeviceProperties2)              \
    X(GetPhysicalDeviceFeatures2)                \
    X(GetPhysicalDeviceMemoryProperties2)        \
    X(GetPhysicalDeviceQueueFamilyProperties)    \
    X(GetPhysicalDeviceExternalBufferProperties) \
    X(CreateDevice)                              \
    X(GetDeviceProcAddr)

#define VK_DEVICE_FUNCTIONS(X)     \
    X(DestroyDevice)               \
    X(DeviceWaitIdle)              \
    X(GetDeviceQueue)              \
    X(QueueSubmit)                 \
    X(AllocateMemory)              \
    X(FreeMemory)                  \
    X(MapMemory)                   \
    X(CreateBuffer)                \
    X(DestroyBuffer)               \
    X(GetBufferMemoryRequirements) \
    X(BindBufferMemory)            \
    X(CreateFence)                 \
    X(DestroyFence)                \
    X(ResetFences)                 \
    X(WaitForFences)               \
    X(GetFenceStatus)              \
    X(CreateSemaphore)             \
    X(DestroySemaphore)            \
    X(CreateShaderModule)          \
    X(DestroyShaderModule)         \
    X(CreatePipelineCache)         \
    X(DestroyPipelineCache)        \
    X(GetPipelineCacheData)        \
    X(CreateComputePipelines)      \
    X(DestroyPipeline)             \
    X(CreatePipelineLayout)        \
    X(DestroyPipelineLayout)       \
    X(CreateDescriptorSetLayout)   \
    X(DestroyDescriptorSetLayout)  \
    X(CreateDescriptorPool)        \
    X(DestroyDescriptorPool)       \
    X(AllocateDescriptorSets)      \
    X(UpdateDescriptorSets)        \
    X(CreateCommandPool)           \
    X(DestroyCommandPool)          \
    X(AllocateCommandBuffers)      \
    X(BeginCommandBuffer)          \
    X(EndCommandBuffer)            \
    X(CmdBindPipeline)             \
    X(CmdBindDescriptorSets)       \
    X(CmdPushConstants)            \
    X(CmdDispatchIndirect)         \
    X(CmdPipelineBarrier)          \
    X(CmdCopyBuffer)

#define VK_DECLARE(name) PFN_vk##name name;

typedef struct vk_instance {
    VkInstance handle;
    uint32_t version; /* of the API, what loader and this file both know */
    PFN_vkGetInstanceProcAddr get;
    VK_INSTANCE_FUNCTIONS(VK_DECLARE)
} vk_instance;

typedef struct vk_functions {
    VK_DEVICE_FUNCTIONS(VK_DECLARE)
    /* NULL where the device has no such thing */
    PFN_vkWaitSemaphores WaitSemaphores;
    PFN_vkGetSemaphoreCounterValue GetSemaphoreCounterValue;
    PFN_vkGetMemoryHostPointerPropertiesEXT GetMemoryHostPointerPropertiesEXT;
    PFN_vkGetMemoryFdPropertiesKHR GetMemoryFdPropertiesKHR;
} vk_functions;

/* NULL and a remark that says why where there is no Vulkan here. Each take needs a drop;
 * is_kept: another take follows soon. */
const vk_instance *vk_instance_take(void);
void vk_instance_drop(bool is_kept);

/* ---- physical.c: what a device is, before it is opened ---- */
typedef struct vk_physical {
    VkPhysicalDevice handle;
    gpu_limits limits;
    VkPhysicalDeviceProperties properties;
    VkPhysicalDeviceMemoryProperties memory;
    uint32_t queue_family;
    uint32_t i_heap; /* where GPU_MEMORY_DEVICE lies */
    uint64_t allocation_most_bytes;
    uint32_t subgroups_most; /* of a group, where their size can be asked for; else 0 */
    bool has_timeline, has_budget, has_size_control, has_cache_control, has_matrices;
    bool is_core_1_2, is_core_1_3; /* what was an extension is there without being named */
    bool can_dmabuf;               /* the extensions of it are there */
} vk_physical;

typedef struct vk_physicals {
    vk_physical *items;
    uint32_t n, capacity;
} vk_physicals;

/* All devices that can compute. */
sy_status vk_physicals_make(const vk_instance *instance, vk_physicals *out_list);
void vk_physicals_free(vk_physicals *list);

/* ---- device.c ---- */
#define VK_BINDINGS_MOST (GPU_BINDINGS_MAX + 1u) /* of a kernel, with the parameters */

typedef struct vk_known vk_known;     /* code.c */
typedef struct vk_pending vk_pending; /* submit.c */

typedef struct vk_commands {
    VkCommandPool pool;
    VkCommandBuffer buffer;
} vk_commands;

/* Copies between host and device: one at a time. */
typedef struct vk_transfer {
    pthread_mutex_t lock;
    vk_commands commands;
    gpu_memory *staging; /* grows */
} vk_transfer;

struct gpu_driver {
    vk_physical physical;
    gpu_limits limits; /* with what the options pretend */
    const vk_instance *instance;
    VkDevice device;
    VkQueue queue;
    vk_functions call;
    uint64_t memory_limit_bytes;
    bool has_subgroups; /* pipelines use the builds with them */
    atomic_bool is_lost;
    atomic_ullong heap_used_bytes[VK_MAX_MEMORY_HEAPS];
    atomic_ullong used_bytes, n_allocations, last_serial;

    VkDescriptorSetLayout set_layouts[VK_BINDINGS_MOST];
    VkPipelineLayout layouts[VK_BINDINGS_MOST]; /* of kernels with that many bindings */
    gpu_pipeline *pipelines;
    vk_known *known; /* pipelines that blobs brought the code of */
    size_t n_known, known_capacity;
    atomic_ullong n_compiled;

    pthread_mutex_t queue_lock; /* of the queue, the tickets and what is pending */
    uint64_t last_ticket;
    atomic_ullong done_ticket; /* the newest that somebody saw done */
    VkSemaphore timeline;      /* its value is the last ticket that is done; or without one: */
    vk_pending *pending;
    size_t n_pending, pending_capacity;

    vk_transfer transfer;
};

/* Says what failed; a lost device is remembered. */
sy_status vk_fail(gpu_driver *driver, VkResult result, const char *what);
/* SY_OK, or the status of a lost device. */
sy_status vk_check(const gpu_driver *driver);

/* ---- memory.c ---- */
struct gpu_memory {
    gpu_driver *driver;
    uint64_t serial;
    VkBuffer buffer;
    VkDeviceMemory memory;
    uint64_t n_bytes;      /* as asked for */
    uint64_t buffer_bytes; /* a whole number of 16, so that kernels may read the last word whole */
    uint64_t taken_bytes;  /* of the heap */
    uint32_t i_heap;
    uint8_t *pointer;
};

/* Like gpu_memory_create; also for indirect dispatches and staging. */
sy_status vk_memory_create(gpu_driver *driver, uint64_t n_bytes, gpu_memory_use use,
                           VkBufferUsageFlags usage, gpu_memory **out_memory);

/* ---- pipeline.c ---- */
struct gpu_pipeline {
    gpu_pipeline *next;
    gpu_driver *driver;
    gpu_kernel kernel;
    uint32_t n_constants;
    uint32_t constants[GPU_CONSTANTS_MAX];
    uint64_t identity; /* of its SPIR-V */
    VkPipeline handle;
    VkPipelineCache cache; /* of this one alone: blobs hold the code of their own pipelines */
    uint32_t n_users;
};

sy_status vk_layouts_create(gpu_driver *driver);
void vk_pipelines_destroy(gpu_driver *driver);

/* ---- code.c ---- */
struct vk_known {
    uint64_t identity;
    uint32_t n_constants;
    uint32_t constants[GPU_CONSTANTS_MAX];
    uint8_t *bytes; /* of its pipeline cache */
    size_t n_bytes;
};

/* Code that a blob brought for a pipeline, or NULL. */
const vk_known *vk_known_find(const gpu_driver *driver, const gpu_pipeline *pipeline);
uint64_t vk_digest(uint64_t digest, const void *bytes, size_t n_bytes);
#define VK_DIGEST_BEGIN 0xcbf29ce484222325ull

/* ---- submit.c ---- */
sy_status vk_queue_create(gpu_driver *driver);
void vk_queue_destroy(gpu_driver *driver);
/* Submits commands behind all before them. */
sy_status vk_submit(gpu_driver *driver, VkCommandBuffer commands, uint64_t *out_ticket);
sy_status vk_is_done(gpu_driver *driver, uint64_t ticket, bool *out_is_done);
/* Until nothing runs. */
sy_status vk_wait_all(gpu_driver *driver);

/* ---- transfer.c ---- */
sy_status vk_transfer_create(gpu_driver *driver);
void vk_transfer_destroy(gpu_driver *driver);

/* ---- recording.c ---- */
/* A driver in software makes machine code when a kernel first runs. That has to happen when a
 * pipeline is made, not in a step, which has a deadline. No groups: nothing is computed. */
sy_status vk_first_run(gpu_pipeline *pipeline);

/* ---- commands.c ---- */
/* A pool with one buffer of commands. */
sy_status vk_commands_create(gpu_driver *driver, vk_commands *out_commands);
void vk_commands_destroy(const gpu_driver *driver, vk_commands *commands);
/* What all commands before wrote is there for all after, of these stages. */
void vk_barrier(const gpu_driver *driver, VkCommandBuffer commands, VkPipelineStageFlags from,
                VkPipelineStageFlags to);
#define VK_STAGES_ALL (VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT)

#endif
