/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Imports of dma-bufs for a device that has none: any file that can be mapped stands for one, and
 * the real driver is given its mapping as memory of the host. The bytes are the same on both sides,
 * as with a real one; caches and formats of other devices are not looked at.
 */
#ifndef FAKE_DMABUF_H
#define FAKE_DMABUF_H

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>

/* Adds the two extensions of it to what a device lists. */
void fake_dmabuf_list(uint32_t capacity, uint32_t *inout_n, VkExtensionProperties *out);
VkResult fake_dmabuf_create_device(PFN_vkCreateDevice create, VkPhysicalDevice physical,
                                   const VkDeviceCreateInfo *info,
                                   const VkAllocationCallbacks *allocator, VkDevice *out);
VkResult fake_dmabuf_create_buffer(PFN_vkCreateBuffer create, VkDevice device,
                                   const VkBufferCreateInfo *info,
                                   const VkAllocationCallbacks *allocator, VkBuffer *out);
VkResult fake_dmabuf_types(int fd, VkMemoryFdPropertiesKHR *out);
/* As a driver does, it takes the file when it succeeds. */
VkResult fake_dmabuf_allocate(PFN_vkAllocateMemory allocate, VkDevice device,
                              const VkMemoryAllocateInfo *info,
                              const VkAllocationCallbacks *allocator, VkDeviceMemory *out);
void fake_dmabuf_free(PFN_vkFreeMemory give, VkDevice device, VkDeviceMemory memory,
                      const VkAllocationCallbacks *allocator);

#endif
