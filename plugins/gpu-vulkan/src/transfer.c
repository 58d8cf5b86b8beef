/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes between host and device: in place where the host sees the memory, else in pieces through a
 * staging memory that it sees. */
#include "vk.h"

#include <inttypes.h>
#include <string.h>

#define STAGING_MOST_BYTES (16ull << 20)
#define STAGING_LEAST_BYTES (64ull << 10)

sy_status vk_transfer_create(gpu_driver *driver) {
    return vk_commands_create(driver, &driver->transfer.commands);
}

void vk_transfer_destroy(gpu_driver *driver) {
    gpu_memory_destroy(driver->transfer.staging);
    vk_commands_destroy(driver, &driver->transfer.commands);
}

static sy_status check_range(const gpu_memory *memory, uint64_t offset_bytes, uint64_t n_bytes) {
    if (offset_bytes <= memory->n_bytes && n_bytes <= memory->n_bytes - offset_bytes) {
        return SY_OK;
    }
    return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                      "bytes %" PRIu64 " and %" PRIu64 " more are not in a memory of %" PRIu64,
                      offset_bytes, n_bytes, memory->n_bytes);
}

/* ---- commands; call with the lock held ---- */
static sy_status begin(gpu_driver *driver) {
    VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                     .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    VkCommandBuffer commands = driver->transfer.commands.buffer;
    VkResult result = driver->call.BeginCommandBuffer(commands, &info);
    if (result != VK_SUCCESS) {
        return vk_fail(driver, result, "begin a copy");
    }
    vk_barrier(driver, commands, VK_STAGES_ALL, VK_PIPELINE_STAGE_TRANSFER_BIT);
    return SY_OK;
}

static sy_status finish(gpu_driver *driver) {
    VkCommandBuffer commands = driver->transfer.commands.buffer;
    uint64_t ticket = 0;
    vk_barrier(driver, commands, VK_PIPELINE_STAGE_TRANSFER_BIT,
               VK_STAGES_ALL | VK_PIPELINE_STAGE_HOST_BIT);
    VkResult result = driver->call.EndCommandBuffer(commands);
    if (result != VK_SUCCESS) {
        return vk_fail(driver, result, "end a copy");
    }
    sy_status status = vk_submit(driver, commands, &ticket);
    return status == SY_OK ? gpu_driver_wait(driver, ticket, 0) : status;
}

/* Staging of at least n_bytes, or of the most there is. */
static sy_status grow_staging(gpu_driver *driver, uint64_t n_bytes) {
    vk_transfer *transfer = &driver->transfer;
    uint64_t wanted = n_bytes < STAGING_LEAST_BYTES ? STAGING_LEAST_BYTES : n_bytes;
    wanted = wanted < STAGING_MOST_BYTES ? wanted : STAGING_MOST_BYTES;
    if (transfer->staging != NULL && transfer->staging->n_bytes >= wanted) {
        return SY_OK;
    }
    gpu_memory_destroy(transfer->staging);
    transfer->staging = NULL;
    return vk_memory_create(driver, wanted, GPU_MEMORY_SHARED,
                            VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                            &transfer->staging);
}

static sy_status copy_piece(gpu_driver *driver, VkBuffer from, VkBuffer to,
                            const VkBufferCopy *piece) {
    sy_status status = begin(driver);
    if (status != SY_OK) {
        return status;
    }
    driver->call.CmdCopyBuffer(driver->transfer.commands.buffer, from, to, 1, piece);
    return finish(driver);
}

/* Either way; one of `from` and `to` is NULL. */
static sy_status stage(gpu_memory *memory, uint64_t offset_bytes, const uint8_t *from, uint8_t *to,
                       uint64_t n_bytes) {
    gpu_driver *driver = memory->driver;
    sy_status status = grow_staging(driver, n_bytes);
    while (status == SY_OK && n_bytes > 0) {
        gpu_memory *staging = driver->transfer.staging;
        uint64_t n = n_bytes < staging->n_bytes ? n_bytes : staging->n_bytes;
        if (from != NULL) {
            memcpy(staging->pointer, from, n);
            status = copy_piece(driver, staging->buffer, memory->buffer,
                                &(VkBufferCopy){0, offset_bytes, n});
            from += n;
        } else {
            status = copy_piece(driver, memory->buffer, staging->buffer,
                                &(VkBufferCopy){offset_bytes, 0, n});
            if (status == SY_OK) {
                memcpy(to, staging->pointer, n);
            }
            to += n;
        }
        offset_bytes += n;
        n_bytes -= n;
    }
    return status;
}

/* ---- driver.h ---- */
static sy_status move(gpu_memory *memory, uint64_t offset_bytes, const uint8_t *from, uint8_t *to,
                      uint64_t n_bytes) {
    gpu_driver *driver = memory->driver;
    sy_status status = vk_check(driver);
    status = status == SY_OK ? check_range(memory, offset_bytes, n_bytes) : status;
    if (status != SY_OK || n_bytes == 0) {
        return status;
    }
    pthread_mutex_lock(&driver->transfer.lock);
    if (memory->pointer == NULL) {
        status = stage(memory, offset_bytes, from, to, n_bytes);
    } else {
        status = vk_wait_all(driver);
        if (status == SY_OK && from != NULL) {
            memcpy(memory->pointer + offset_bytes, from, n_bytes);
        } else if (status == SY_OK) {
            memcpy(to, memory->pointer + offset_bytes, n_bytes);
        }
    }
    pthread_mutex_unlock(&driver->transfer.lock);
    return status;
}

sy_status gpu_memory_write(gpu_memory *memory, uint64_t offset_bytes, const void *bytes,
                           uint64_t n_bytes) {
    return move(memory, offset_bytes, bytes, NULL, n_bytes);
}

sy_status gpu_memory_read(gpu_memory *memory, uint64_t offset_bytes, void *out_bytes,
                          uint64_t n_bytes) {
    return move(memory, offset_bytes, NULL, out_bytes, n_bytes);
}

static sy_status check_copies(const gpu_copy *copies, uint32_t n_copies) {
    for (uint32_t i = 0; i < n_copies; i++) {
        const gpu_copy *copy = &copies[i];
        sy_status status = check_range(copy->from, copy->from_offset_bytes, copy->n_bytes);
        status =
            status == SY_OK ? check_range(copy->to, copy->to_offset_bytes, copy->n_bytes) : status;
        if (status != SY_OK) {
            return status;
        }
    }
    return SY_OK;
}

sy_status gpu_memory_copy(gpu_driver *driver, const gpu_copy *copies, uint32_t n_copies) {
    sy_status status = vk_check(driver);
    status = status == SY_OK ? check_copies(copies, n_copies) : status;
    if (status != SY_OK || n_copies == 0) {
        return status;
    }
    pthread_mutex_lock(&driver->transfer.lock);
    status = begin(driver);
    for (uint32_t i = 0; status == SY_OK && i < n_copies; i++) {
        VkBufferCopy region = {copies[i].from_offset_bytes, copies[i].to_offset_bytes,
                               copies[i].n_bytes};
        if (region.size > 0) {
            driver->call.CmdCopyBuffer(driver->transfer.commands.buffer, copies[i].from->buffer,
                                       copies[i].to->buffer, 1, &region);
        }
    }
    status = status == SY_OK ? finish(driver) : status;
    pthread_mutex_unlock(&driver->transfer.lock);
    return status;
}
