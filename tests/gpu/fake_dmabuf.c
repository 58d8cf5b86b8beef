/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/fake_dmabuf.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXTENSIONS_MOST 64u
#define MAPPINGS_MOST 16u

static struct {
    VkDeviceMemory memory; /* NULL: a free place */
    void *pointer;
    size_t n_bytes;
} mappings[MAPPINGS_MOST];

void fake_dmabuf_list(uint32_t capacity, uint32_t *inout_n, VkExtensionProperties *out) {
    static const char *const names[] = {VK_EXT_EXTERNAL_MEMORY_DMA_BUF_EXTENSION_NAME,
                                        VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME};
    for (uint32_t i = 0; i < 2 && (out == NULL || *inout_n < capacity); i++) {
        if (out != NULL) {
            VkExtensionProperties *at = &out[*inout_n];
            *at = (VkExtensionProperties){.specVersion = 1};
            snprintf(at->extensionName, sizeof(at->extensionName), "%s", names[i]);
        }
        ++*inout_n;
    }
}

VkResult fake_dmabuf_create_device(PFN_vkCreateDevice create, VkPhysicalDevice physical,
                                   const VkDeviceCreateInfo *info,
                                   const VkAllocationCallbacks *allocator, VkDevice *out) {
    const char *names[EXTENSIONS_MOST];
    VkDeviceCreateInfo changed = *info;
    changed.enabledExtensionCount = 0;
    changed.ppEnabledExtensionNames = names;
    for (uint32_t i = 0; i < info->enabledExtensionCount && i < EXTENSIONS_MOST; i++) {
        const char *name = info->ppEnabledExtensionNames[i];
        if (strcmp(name, VK_EXT_EXTERNAL_MEMORY_DMA_BUF_EXTENSION_NAME) != 0 &&
            strcmp(name, VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME) != 0) {
            names[changed.enabledExtensionCount++] = name;
        }
    }
    return create(physical, &changed, allocator, out);
}

VkResult fake_dmabuf_create_buffer(PFN_vkCreateBuffer create, VkDevice device,
                                   const VkBufferCreateInfo *info,
                                   const VkAllocationCallbacks *allocator, VkBuffer *out) {
    const VkExternalMemoryBufferCreateInfo *external = info->pNext;
    VkBufferCreateInfo changed = *info;
    VkExternalMemoryBufferCreateInfo host;
    if (external != NULL &&
        external->handleTypes == VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT) {
        host = *external;
        host.handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
        changed.pNext = &host;
    }
    return create(device, &changed, allocator, out);
}

VkResult fake_dmabuf_types(int fd, VkMemoryFdPropertiesKHR *out) {
    out->memoryTypeBits = UINT32_MAX;
    return fcntl(fd, F_GETFD) >= 0 ? VK_SUCCESS : VK_ERROR_INVALID_EXTERNAL_HANDLE;
}

static uint32_t free_place(void) {
    uint32_t i = 0;
    while (i < MAPPINGS_MOST && mappings[i].memory != VK_NULL_HANDLE) {
        i++;
    }
    return i;
}

VkResult fake_dmabuf_allocate(PFN_vkAllocateMemory allocate, VkDevice device,
                              const VkMemoryAllocateInfo *info,
                              const VkAllocationCallbacks *allocator, VkDeviceMemory *out) {
    const VkImportMemoryFdInfoKHR *import = info->pNext;
    uint32_t place = free_place();
    if (import == NULL || import->sType != VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR) {
        return allocate(device, info, allocator, out);
    }
    size_t n_bytes = (size_t)info->allocationSize;
    off_t n_file = lseek(import->fd, 0, SEEK_END); /* where a mapping may end */
    void *pointer = place < MAPPINGS_MOST && n_file >= (off_t)n_bytes
                        ? mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, import->fd, 0)
                        : MAP_FAILED;
    if (pointer == MAP_FAILED) {
        return VK_ERROR_INVALID_EXTERNAL_HANDLE;
    }
    const VkImportMemoryHostPointerInfoEXT host = {
        .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
        .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
        .pHostPointer = pointer};
    VkMemoryAllocateInfo changed = *info;
    changed.pNext = &host;
    VkResult result = allocate(device, &changed, allocator, out);
    if (result != VK_SUCCESS) {
        munmap(pointer, n_bytes);
        return result;
    }
    close(import->fd);
    mappings[place].memory = *out;
    mappings[place].pointer = pointer;
    mappings[place].n_bytes = n_bytes;
    return VK_SUCCESS;
}

void fake_dmabuf_free(PFN_vkFreeMemory give, VkDevice device, VkDeviceMemory memory,
                      const VkAllocationCallbacks *allocator) {
    give(device, memory, allocator);
    for (uint32_t i = 0; memory != VK_NULL_HANDLE && i < MAPPINGS_MOST; i++) {
        if (mappings[i].memory == memory) {
            munmap(mappings[i].pointer, mappings[i].n_bytes);
            mappings[i].memory = VK_NULL_HANDLE;
        }
    }
}
