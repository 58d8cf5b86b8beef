/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A libvulkan.so.1 in front of the real one: it makes the device another one, and lets calls fail.
 * Found by LD_LIBRARY_PATH. What the device is comes from the environment, FAKE_VULKAN: any of
 *   oldest     Vulkan 1.1 without an extension
 *   discrete   a card: memory of its own that the host does not see, and host memory
 *   matrix     cooperative matrices of f16, and with f32 out; with half: not that; with narrow: no
 *              scope of the device in the memory model that they need (nothing runs)
 *   small      the least limits that phones have: groups of 128, 16 KiB shared, bindings of at most
 *              128 MiB at multiples of 256, no f16; a pipeline that goes past them is not made
 *   subgroupN  subgroups of N; 0: without arithmetic
 *   dmabuf     imports of dma-bufs, for which any file that can be mapped stands (fake_dmabuf.h)
 *   few        fewer bindings than some kernels have
 *   twins      the same device twice
 *   none       no device
 * Faults are set while it runs: dlsym(library, "fake_vulkan_fault").
 */
#ifndef FAKE_VULKAN_H
#define FAKE_VULKAN_H

typedef enum fake_fault {
    FAKE_FAULT_LOST_AT_SUBMIT,
    FAKE_FAULT_LOST_AT_WAIT,
    FAKE_FAULT_NO_DEVICE_MEMORY,
    FAKE_FAULT_NO_PIPELINE,
    FAKE_FAULT_COUNT
} fake_fault;

/* The call fails after n_good good ones, and from then on, or once; n_good < 0: never. */
void fake_vulkan_fault(fake_fault fault, int n_good, int is_once);

#endif
