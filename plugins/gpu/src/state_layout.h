/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of states as they lie on the device: a multiple of 16 bytes each, elements side by side, of
 * Q8_0 and Q4_0 all quants, then all f16 factors. */
#ifndef GPU_STATE_LAYOUT_H
#define GPU_STATE_LAYOUT_H

#include "host.h"

typedef struct gpu_row_layout {
    uint64_t row_bytes, stride_bytes, n_quant_blocks; /* canonical; here; of a block type */
    uint32_t quant_bytes;                             /* of a block, without its factor */
} gpu_row_layout;

gpu_row_layout gpu_row_layout_of(const sy_state_description *description);
/* One row, from and to its canonical form. */
void gpu_row_pack(const gpu_row_layout *layout, const uint8_t *canonical, uint8_t *row);
void gpu_row_unpack(const gpu_row_layout *layout, const uint8_t *row, uint8_t *canonical);

/* Words between neighbouring rows of a block; a block has KIT_BLOCK_ROWS of them. */
uint32_t gpu_state_row_words(const sy_state_description *description);
/* The same as ROW_NUMBER of state_rows.h takes it: elements, but words of block types. */
uint32_t gpu_state_row_stride(const sy_state_description *description);

#endif
