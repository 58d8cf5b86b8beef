/* SPDX-License-Identifier: Apache-2.0 */
/* States on the device: blocks in slabs of device memory, and the tables of blocks that kernels
 * read. */
#ifndef GPU_STATES_H
#define GPU_STATES_H

#include "device.h"

typedef struct gpu_states gpu_states;

sy_status gpu_states_create(sy_device *device, gpu_states **out_states);
/* All states are gone. */
void gpu_states_destroy(gpu_states *states);

/* The slab that the blocks of a state lie in. */
gpu_memory *gpu_state_slab(const sy_state *state);
/* Memory with the tables of all states. Another one when it grew; the one before stays while jobs
 * run. */
gpu_memory *gpu_states_tables(const sy_device *device);
/* First word of the state's table, brought up to date, and the block it begins with. */
void gpu_state_table(sy_state *state, uint32_t *out_first_word, uint32_t *out_first_block);
/* Checks the rows of a step and readies the state for them. */
sy_status gpu_state_begin(sy_device *device, sy_state *state, const sy_sequence *sequence,
                          uint32_t i_sequence, uint32_t i_state);

#endif
