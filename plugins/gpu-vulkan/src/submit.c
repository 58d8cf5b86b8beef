/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of a device: what is submitted gets a ticket, in order. Tickets are values of one
 * timeline semaphore; where the device has none, each submission has a fence, and the fences of
 * what is done are used again.
 */
#include "vk.h"

#include "values.h"

#include <inttypes.h>
#include <time.h>

struct vk_pending {
    VkFence fence;
    uint64_t ticket; /* 0: free */
    uint32_t n_waiters;
};

sy_status vk_queue_create(gpu_driver *driver) {
    if (!driver->physical.has_timeline) {
        return SY_OK;
    }
    VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                      .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type};
    VkResult result = driver->call.CreateSemaphore(driver->device, &info, NULL, &driver->timeline);
    return result == VK_SUCCESS ? SY_OK : vk_fail(driver, result, "make a timeline semaphore");
}

void vk_queue_destroy(gpu_driver *driver) {
    for (size_t i = 0; i < driver->n_pending; i++) {
        driver->call.DestroyFence(driver->device, driver->pending[i].fence, NULL);
    }
    kit_release(driver->pending, sizeof(vk_pending) * driver->pending_capacity);
    if (driver->timeline != VK_NULL_HANDLE) {
        driver->call.DestroySemaphore(driver->device, driver->timeline, NULL);
    }
}

/* ---- fences; call with the lock held ---- */
static vk_pending *pending_of(gpu_driver *driver, uint64_t ticket) {
    for (size_t i = 0; i < driver->n_pending; i++) {
        if (driver->pending[i].ticket == ticket) {
            return &driver->pending[i];
        }
    }
    return NULL;
}

/* A fence that nobody waits for, its slot marked as free. */
static sy_status free_fence(gpu_driver *driver, vk_pending **out_pending) {
    for (size_t i = 0; i < driver->n_pending; i++) {
        vk_pending *pending = &driver->pending[i];
        if (pending->ticket != 0 && pending->n_waiters == 0 &&
            driver->call.GetFenceStatus(driver->device, pending->fence) == VK_SUCCESS) {
            driver->call.ResetFences(driver->device, 1, &pending->fence);
            pending->ticket = 0;
        }
        if (pending->ticket == 0) {
            *out_pending = pending;
            return SY_OK;
        }
    }
    if (!kit_array_grow((void **)&driver->pending, driver->n_pending, &driver->pending_capacity,
                        sizeof(vk_pending))) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no host memory for a fence");
    }
    vk_pending *pending = &driver->pending[driver->n_pending];
    *pending = (vk_pending){0};
    VkFenceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    VkResult result = driver->call.CreateFence(driver->device, &info, NULL, &pending->fence);
    if (result != VK_SUCCESS) {
        return vk_fail(driver, result, "make a fence");
    }
    driver->n_pending++;
    *out_pending = pending;
    return SY_OK;
}

/* ---- submitting ---- */
static sy_status submit_locked(gpu_driver *driver, VkCommandBuffer commands, uint64_t ticket) {
    vk_pending *pending = NULL;
    VkTimelineSemaphoreSubmitInfo values = {.sType =
                                                VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
                                            .signalSemaphoreValueCount = 1,
                                            .pSignalSemaphoreValues = &ticket};
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                         .commandBufferCount = 1,
                         .pCommandBuffers = &commands};
    if (driver->timeline != VK_NULL_HANDLE) {
        info.pNext = &values;
        info.signalSemaphoreCount = 1;
        info.pSignalSemaphores = &driver->timeline;
    } else {
        sy_status status = free_fence(driver, &pending);
        if (status != SY_OK) {
            return status;
        }
    }
    VkResult result = driver->call.QueueSubmit(driver->queue, 1, &info,
                                               pending != NULL ? pending->fence : VK_NULL_HANDLE);
    if (result != VK_SUCCESS) {
        return vk_fail(driver, result, "take new work");
    }
    if (pending != NULL) {
        pending->ticket = ticket;
    }
    return SY_OK;
}

sy_status vk_submit(gpu_driver *driver, VkCommandBuffer commands, uint64_t *out_ticket) {
    sy_status status = vk_check(driver);
    if (status != SY_OK) {
        return status;
    }
    pthread_mutex_lock(&driver->queue_lock);
    uint64_t ticket = driver->last_ticket + 1;
    status = submit_locked(driver, commands, ticket);
    if (status == SY_OK) {
        driver->last_ticket = ticket;
        *out_ticket = ticket;
    }
    pthread_mutex_unlock(&driver->queue_lock);
    return status;
}

/* ---- waiting ---- */
/* Until a ticket is done or timeout_ns passed. */
static VkResult wait_timeline(gpu_driver *driver, uint64_t ticket, uint64_t timeout_ns) {
    VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                .semaphoreCount = 1,
                                .pSemaphores = &driver->timeline,
                                .pValues = &ticket};
    return driver->call.WaitSemaphores(driver->device, &info, timeout_ns);
}

static VkResult wait_fence(gpu_driver *driver, uint64_t ticket, uint64_t timeout_ns) {
    pthread_mutex_lock(&driver->queue_lock);
    vk_pending *pending = pending_of(driver, ticket);
    if (pending == NULL) { /* done: its fence went on to other work */
        pthread_mutex_unlock(&driver->queue_lock);
        return VK_SUCCESS;
    }
    VkFence fence = pending->fence;
    pending->n_waiters++;
    pthread_mutex_unlock(&driver->queue_lock);
    VkResult result = driver->call.WaitForFences(driver->device, 1, &fence, VK_TRUE, timeout_ns);
    pthread_mutex_lock(&driver->queue_lock);
    pending_of(driver, ticket)->n_waiters--; /* the list may have grown elsewhere */
    pthread_mutex_unlock(&driver->queue_lock);
    return result;
}

/* What was seen to be done needs no call of the driver. */
static VkResult wait_ticket(gpu_driver *driver, uint64_t ticket, uint64_t timeout_ns) {
    unsigned long long done = atomic_load(&driver->done_ticket);
    if (ticket <= done) {
        return VK_SUCCESS;
    }
    VkResult result = driver->timeline != VK_NULL_HANDLE ? wait_timeline(driver, ticket, timeout_ns)
                                                         : wait_fence(driver, ticket, timeout_ns);
    while (result == VK_SUCCESS && done < ticket &&
           !atomic_compare_exchange_weak(&driver->done_ticket, &done, ticket)) {}
    return result;
}

static uint64_t ns_until(uint64_t deadline_ns) {
    struct timespec now;
    if (deadline_ns == 0) {
        return UINT64_MAX;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

static uint64_t last_ticket(gpu_driver *driver) {
    pthread_mutex_lock(&driver->queue_lock);
    uint64_t ticket = driver->last_ticket;
    pthread_mutex_unlock(&driver->queue_lock);
    return ticket;
}

sy_status gpu_driver_wait(gpu_driver *driver, uint64_t ticket, uint64_t deadline_ns) {
    sy_status status = vk_check(driver);
    if (status != SY_OK) {
        return status;
    }
    if (ticket > last_ticket(driver)) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "ticket %" PRIu64 " was never given out", ticket);
    }
    VkResult result = wait_ticket(driver, ticket, ns_until(deadline_ns));
    return result == VK_SUCCESS ? SY_OK : vk_fail(driver, result, "finish its work in time");
}

sy_status vk_wait_all(gpu_driver *driver) {
    return gpu_driver_wait(driver, last_ticket(driver), 0);
}

sy_status vk_is_done(gpu_driver *driver, uint64_t ticket, bool *out_is_done) {
    VkResult result = wait_ticket(driver, ticket, 0);
    *out_is_done = result == VK_SUCCESS;
    return result == VK_SUCCESS || result == VK_TIMEOUT
               ? SY_OK
               : vk_fail(driver, result, "tell whether its work is done");
}

/* ---- commands ---- */
sy_status vk_commands_create(gpu_driver *driver, vk_commands *out_commands) {
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                    .queueFamilyIndex = driver->physical.queue_family};
    VkResult result =
        driver->call.CreateCommandPool(driver->device, &pool, NULL, &out_commands->pool);
    if (result != VK_SUCCESS) {
        out_commands->pool = VK_NULL_HANDLE;
        return vk_fail(driver, result, "make a pool of commands");
    }
    VkCommandBufferAllocateInfo buffer = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                          .commandPool = out_commands->pool,
                                          .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                          .commandBufferCount = 1};
    result = driver->call.AllocateCommandBuffers(driver->device, &buffer, &out_commands->buffer);
    return result == VK_SUCCESS ? SY_OK : vk_fail(driver, result, "make a buffer of commands");
}

void vk_commands_destroy(const gpu_driver *driver, vk_commands *commands) {
    if (commands->pool != VK_NULL_HANDLE) {
        driver->call.DestroyCommandPool(driver->device, commands->pool, NULL);
    }
    *commands = (vk_commands){0};
}

void vk_barrier(const gpu_driver *driver, VkCommandBuffer commands, VkPipelineStageFlags from,
                VkPipelineStageFlags to) {
    VkAccessFlags writes = 0, uses = 0;
    writes |= (from & VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT) != 0 ? VK_ACCESS_SHADER_WRITE_BIT : 0u;
    writes |= (from & VK_PIPELINE_STAGE_TRANSFER_BIT) != 0 ? VK_ACCESS_TRANSFER_WRITE_BIT : 0u;
    if ((to & VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT) != 0) {
        uses |= VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT;
    }
    if ((to & VK_PIPELINE_STAGE_TRANSFER_BIT) != 0) {
        uses |= VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    }
    if ((to & VK_PIPELINE_STAGE_HOST_BIT) != 0) {
        uses |= VK_ACCESS_HOST_READ_BIT | VK_ACCESS_HOST_WRITE_BIT;
    }
    VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = writes, .dstAccessMask = uses};
    driver->call.CmdPipelineBarrier(commands, from, to, 0, 1, &barrier, 0, NULL, 0, NULL);
}
