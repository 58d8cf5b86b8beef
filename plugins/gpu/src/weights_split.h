/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks that are no whole words, cut into planes so that every load of a kernel is aligned. Plane
 * i holds plane_bytes[i] bytes of each block, block after block. A kernel takes four elements out
 * of the bytes of a word: of 32 elements, the first 16 have the low nibbles of 16 bytes, the others
 * the high ones:
 *   Q4_0, IQ4_NL  16 bytes of quants; f16 scale
 *   Q5_0          16 bytes of low quants; 4 of high bits; f16 scale
 *   Q8_0          32 bytes of quants; f16 scale
 *   MXFP4         16 bytes of quants; exponent
 *   Q3_K          64 bytes of low quants, 32 of high bits and 12 of scales as in the block; f16
 *                 scale
 *   Q6_K          128 bytes of low quants, 16 for 32 elements; 64 of high quants, 8 for 32: bits 2k
 *                 of byte j are of element j % 4 + 16 (j / 4) + 4k; 16 of scales; f16 scale
 */
#ifndef GPU_WEIGHTS_SPLIT_H
#define GPU_WEIGHTS_SPLIT_H

#include "types.h"

#define GPU_PLANES_MAX 4u

typedef struct gpu_planes {
    uint32_t n;
    uint32_t plane_bytes[GPU_PLANES_MAX]; /* together those of a block */
    /* Cuts one block; planes[i] is where its part of plane i goes. */
    void (*split)(const uint8_t *block, uint8_t *const planes[GPU_PLANES_MAX]);
} gpu_planes;

/* NULL for types that kernels read as they are. */
const gpu_planes *gpu_planes_of(sy_element_type type);

/* Cuts n_blocks; targets[i] is where plane i of the first of them goes. Big ones on all workers. */
sy_status gpu_planes_split(const gpu_planes *planes, const uint8_t *blocks, uint64_t n_blocks,
                           uint8_t *const targets[GPU_PLANES_MAX]);

#endif
