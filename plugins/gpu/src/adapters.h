/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adapters (LoRA) on the device. All that are alive lie in slabs of device memory - in one as long
 * as a binding spans them - and a job names each by its slab and where it begins there. So which
 * sequence uses which adapter is a parameter, and recordings stay right while adapters come and go:
 * one is made anew only when a slab became another memory.
 *
 * An adapter in its slab: GPU_PAIR_WORDS words for each pair, then the matrices, each at a multiple
 * of four words. Of a pair: rank, types of A and B, first words of A and B behind those of the
 * adapter, scale. A is [rank, inputs] as it was given; rows of B are filled up with zeros to whole
 * units of eight.
 */
#ifndef GPU_ADAPTERS_H
#define GPU_ADAPTERS_H

#include "adapter_weights.h"
#include "device.h"

#define GPU_PAIR_WORDS 8u
#define GPU_RANK_UNIT 8u

typedef struct gpu_adapters gpu_adapters;

sy_status gpu_adapters_create(sy_device *device, gpu_adapters **out_adapters);
/* All adapters are gone. */
void gpu_adapters_destroy(gpu_adapters *adapters);

typedef struct gpu_adapter_slab {
    gpu_memory *memory; /* as it is now; it stays while the job that asked runs */
    uint32_t number;    /* names the slab as long as it lives, whatever its memory is */
} gpu_adapter_slab;

/* The slabs that the adapters of a job lie in, oldest first, in an array of kit_array_grow. */
sy_status gpu_adapters_list(const sy_job *job, gpu_adapter_slab **inout_slabs,
                            size_t *inout_capacity, uint32_t *out_n);
/* Number of an adapter's slab and its first word there; false where it has no pair. */
bool gpu_adapter_place(const sy_adapter_weights *weights, uint32_t *out_slab,
                       uint32_t *out_first_word);

#endif
