/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels as SPIR-V, made when this is built: kernel_code.c.in. */
#ifndef VK_KERNEL_CODE_H
#define VK_KERNEL_CODE_H

#include "driver.h"

#include <stddef.h>

typedef struct vk_kernel_code {
    const uint32_t *words;
    size_t n_bytes;
} vk_kernel_code;

extern const vk_kernel_code vk_kernel_codes[GPU_KERNEL_COUNT];
/* The builds with subgroup arithmetic; words NULL where a kernel has no use for it. */
extern const vk_kernel_code vk_kernel_codes_subgroups[GPU_KERNEL_COUNT];

#endif
