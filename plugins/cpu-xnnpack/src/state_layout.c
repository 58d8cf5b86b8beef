/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a state in and out of a block of 64. */
#include "state_layout.h"

#include "types.h"

#include <string.h>

bool cpu_state_layout_of(sy_element_type type, uint32_t role, uint32_t width,
                         cpu_state_layout *out_layout) {
    bool is_block = type == SY_TYPE_Q8_0 || type == SY_TYPE_Q4_0;
    cpu_state_layout layout = {.type = type, .by_position = role == SY_STATE_KEY};
    if ((!is_block && !kit_type_is_float(type)) || width == 0 ||
        !kit_type_row_bytes(type, width, &layout.row_bytes)) {
        return false;
    }
    uint64_t element = 0;
    layout.cell_columns = is_block ? 32 : CPU_CELL;
    if (is_block) {
        layout.cell_row_bytes = type == SY_TYPE_Q8_0 ? 32 : 16;
    } else {
        kit_type_row_bytes(type, 1, &element);
        layout.cell_row_bytes = CPU_CELL * (uint32_t)element;
    }
    uint64_t n_cells = ((uint64_t)width + layout.cell_columns - 1) / layout.cell_columns;
    layout.block_bytes = n_cells * CPU_BLOCK * layout.cell_row_bytes;
    if (is_block) {
        layout.factors_at = layout.block_bytes;
        layout.block_bytes += n_cells * CPU_BLOCK * 2;
    }
    layout.block_bytes = (layout.block_bytes + 63) & ~(uint64_t)63;
    *out_layout = layout;
    return true;
}

/* Where unit i of a position's part of a cell lies; a unit is what stays together: an element of a
 * plain type, four bytes of a block. */
static uint64_t unit_at(const cpu_state_layout *layout, uint64_t slot, uint64_t i, uint64_t unit) {
    return layout->by_position ? (i * CPU_BLOCK + slot) * unit
                               : slot * layout->cell_row_bytes + i * unit;
}

static uint64_t unit_bytes(const cpu_state_layout *layout) {
    return layout->cell_columns == CPU_CELL ? layout->cell_row_bytes / CPU_CELL : 4;
}

/* n units from `inside` on, `stride` bytes apart there and side by side in a canonical row. */
static void move_units(uint8_t *inside, uint64_t stride, uint8_t *row, uint64_t n, uint64_t unit,
                       bool is_put) {
    for (uint64_t i = 0; i < n; i++, inside += stride, row += unit) {
        memcpy(is_put ? inside : row, is_put ? row : inside, unit);
    }
}

/* Both directions; the side that is read is not written. */
static void move_row(const cpu_state_layout *layout, uint8_t *block, uint64_t slot, uint64_t first,
                     uint64_t n, uint8_t *row, bool is_put) {
    uint64_t columns = layout->cell_columns, unit = unit_bytes(layout);
    uint64_t stride = layout->by_position ? CPU_BLOCK * unit : unit;
    for (uint64_t at = first; at < first + n;) {
        uint64_t i_cell = at / columns, skipped = at % columns;
        uint64_t left = first + n - at, count = columns - skipped;
        uint8_t *cell = block + i_cell * CPU_BLOCK * layout->cell_row_bytes;
        count = left < count ? left : count;
        at += count;
        if (layout->factors_at != 0) {
            uint8_t *factor = block + layout->factors_at + (i_cell * CPU_BLOCK + slot) * 2;
            memcpy(is_put ? factor : row, is_put ? row : factor, 2);
            row += 2;
            skipped = 0;
            count = layout->cell_row_bytes / 4;
        }
        cell += unit_at(layout, slot, skipped, unit);
        if (unit == 2) { /* constants, so that the copy of a unit is one instruction */
            move_units(cell, stride, row, count, 2, is_put);
        } else {
            move_units(cell, stride, row, count, 4, is_put);
        }
        row += count * unit;
    }
}

void cpu_state_put(const cpu_state_layout *layout, uint8_t *block, uint64_t slot, uint64_t first,
                   uint64_t n, const uint8_t *bytes) {
    uint8_t *row = NULL;
    memcpy(&row, &bytes, sizeof(row));
    move_row(layout, block, slot, first, n, row, true);
}

void cpu_state_get(const cpu_state_layout *layout, const uint8_t *block, uint64_t slot,
                   uint64_t first, uint64_t n, uint8_t *out_bytes) {
    uint8_t *inside = NULL;
    memcpy(&inside, &block, sizeof(inside));
    move_row(layout, inside, slot, first, n, out_bytes, false);
}
