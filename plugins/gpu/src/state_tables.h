/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of blocks: for each state a list of the numbers of its blocks, in memory that kernels
 * read. The host writes it, and only where it changed. All tables of a device lie in one memory;
 * jobs write them while states are made, so that every call here may come from any thread.
 */
#ifndef GPU_STATE_TABLES_H
#define GPU_STATE_TABLES_H

#include "block_pool.h"
#include "device.h"

#define GPU_TABLE_SIZES 32u /* a table of size n has 2^n words */

typedef struct gpu_tables gpu_tables;

sy_status gpu_tables_create(sy_device *device, gpu_tables **out_tables);
void gpu_tables_destroy(gpu_tables *tables); /* NULL is fine */
/* Another one when it grew; the one before stays while jobs run. */
gpu_memory *gpu_tables_memory(gpu_tables *tables);

/* The size that a state of so many blocks needs. */
sy_status gpu_table_size(uint64_t n_blocks, uint32_t *out_size);
/* Makes room for counts[size] more tables of each size. */
sy_status gpu_tables_reserve(gpu_tables *tables, const uint64_t counts[GPU_TABLE_SIZES]);
sy_status gpu_tables_take(gpu_tables *tables, uint32_t size, uint32_t *out_first_word);
void gpu_tables_give_back(gpu_tables *tables, uint32_t size, uint32_t first_word);
void gpu_tables_write(gpu_tables *tables, uint32_t first_word, kit_block *const *blocks,
                      uint64_t n_blocks);

#endif
