/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of plugins/gpu as OpenCL C; embed_kernels.cmake writes the table. */
#ifndef OCL_KERNEL_SOURCES_H
#define OCL_KERNEL_SOURCES_H

#include "driver.h"

#define OCL_DIGEST_CHARS 64u

typedef struct ocl_kernel_source {
    const char *const *pieces; /* their texts, one behind the other */
    uint32_t n_pieces;
    char digest[OCL_DIGEST_CHARS + 1]; /* SHA-256 of the text */
} ocl_kernel_source;

extern const ocl_kernel_source ocl_kernel_sources[GPU_KERNEL_COUNT];

#endif
