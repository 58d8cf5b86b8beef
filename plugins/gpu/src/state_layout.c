/* SPDX-License-Identifier: Apache-2.0 */
#include "state_layout.h"

#include "types.h"

#include <string.h>

gpu_row_layout gpu_row_layout_of(const sy_state_description *description) {
    gpu_row_layout layout = {.row_bytes = 0};
    (void)kit_type_row_bytes(description->type, description->width, &layout.row_bytes);
    layout.stride_bytes = (layout.row_bytes + 15) & ~(uint64_t)15;
    if (kit_type_is_block(description->type)) {
        layout.n_quant_blocks = description->width / kit_type_block(description->type);
        layout.quant_bytes = kit_type_block_bytes(description->type) - 2;
    }
    return layout;
}

uint32_t gpu_state_row_words(const sy_state_description *description) {
    return (uint32_t)(gpu_row_layout_of(description).stride_bytes / 4);
}

uint32_t gpu_state_row_stride(const sy_state_description *description) {
    sy_element_type type = description->type;
    uint32_t n_words = gpu_state_row_words(description);
    return kit_type_is_block(type) ? n_words : n_words * 4 / kit_type_block_bytes(type);
}

void gpu_row_pack(const gpu_row_layout *layout, const uint8_t *canonical, uint8_t *row) {
    if (layout->n_quant_blocks == 0) {
        memcpy(row, canonical, layout->row_bytes);
        return;
    }
    uint64_t n = layout->n_quant_blocks, n_quants = layout->quant_bytes;
    for (uint64_t i = 0; i < n; i++) {
        memcpy(row + i * n_quants, canonical + i * (n_quants + 2) + 2, n_quants);
        memcpy(row + n * n_quants + 2 * i, canonical + i * (n_quants + 2), 2);
    }
}

void gpu_row_unpack(const gpu_row_layout *layout, const uint8_t *row, uint8_t *canonical) {
    if (layout->n_quant_blocks == 0) {
        memcpy(canonical, row, layout->row_bytes);
        return;
    }
    uint64_t n = layout->n_quant_blocks, n_quants = layout->quant_bytes;
    for (uint64_t i = 0; i < n; i++) {
        memcpy(canonical + i * (n_quants + 2) + 2, row + i * n_quants, n_quants);
        memcpy(canonical + i * (n_quants + 2), row + n * n_quants + 2 * i, 2);
    }
}
