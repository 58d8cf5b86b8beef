/* SPDX-License-Identifier: Apache-2.0 */
/* States of this device: their blocks lie in host memory, 64-byte aligned, in the layout of
 * state_layout.h. */
#include "attention.h"
#include "plugin.h"
#include "state_layout.h"

_Static_assert(KIT_BLOCK_ROWS == CPU_BLOCK, "a block of a state is one of the kernels");

#define PIECE 256u /* columns moved together, whole cells of every type */

static sy_status measure(void *self, const sy_state_description *description,
                         kit_state_sizes *out_sizes) {
    cpu_state_layout layout;
    (void)self;
    if (!cpu_state_layout_of(description->type, description->role, description->width, &layout)) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "a state of %s rows of %u elements: use f32, f16, bf16, or Q8_0, Q4_0 in "
                          "multiples of 32",
                          kit_type_name(description->type), description->width);
    }
    *out_sizes =
        (kit_state_sizes){.row_bytes = layout.row_bytes, .block_bytes = layout.block_bytes};
    return SY_OK;
}

static sy_status layout_init(void *self, sy_state *state) {
    const sy_state_description *d = &state->description;
    (void)self;
    (void)cpu_state_layout_of(d->type, d->role, d->width, state->own); /* measured before */
    return SY_OK;
}

static sy_status rows_move(void *self, sy_state *state, uint64_t first, uint64_t count,
                           uint64_t to) {
    const cpu_state_layout *layout = cpu_layout_of(state);
    uint64_t width = state->description.width;
    uint8_t piece[PIECE * 4];
    (void)self;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t from = first + i, at = to + i;
        for (uint64_t column = 0; column < width; column += PIECE) {
            uint64_t n = width - column < PIECE ? width - column : PIECE;
            cpu_state_get(layout, cpu_state_block_of(state, from), from % CPU_BLOCK, column, n,
                          piece);
            cpu_state_put(layout, cpu_state_block_of(state, at), at % CPU_BLOCK, column, n, piece);
        }
    }
    return SY_OK;
}

static sy_status rows_read(void *self, const sy_state *state, uint64_t first, uint64_t count,
                           uint8_t *out_rows) {
    const cpu_state_layout *layout = cpu_layout_of(state);
    (void)self;
    for (uint64_t at = first; at < first + count; at++, out_rows += layout->row_bytes) {
        cpu_state_get(layout, cpu_state_block_of(state, at), at % CPU_BLOCK, 0,
                      state->description.width, out_rows);
    }
    return SY_OK;
}

static sy_status rows_write(void *self, sy_state *state, uint64_t first, uint64_t count,
                            const uint8_t *rows) {
    const cpu_state_layout *layout = cpu_layout_of(state);
    (void)self;
    for (uint64_t at = first; at < first + count; at++, rows += layout->row_bytes) {
        cpu_state_put(layout, cpu_state_block_of(state, at), at % CPU_BLOCK, 0,
                      state->description.width, rows);
    }
    return SY_OK;
}

const kit_storage cpu_state_storage = {.own_bytes = sizeof(cpu_state_layout),
                                       .blocks_copy = kit_host_blocks_copy,
                                       .measure = measure,
                                       .state_init = layout_init,
                                       .rows_move = rows_move,
                                       .rows_read = rows_read,
                                       .rows_write = rows_write};

sy_status cpu_state_create(sy_device *device, const sy_state_description *description,
                           sy_state **out_state) {
    return kit_state_create(&device->states, description, out_state);
}

sy_status cpu_state_need(sy_device *device, const sy_state_request *requests, size_t stride,
                         uint32_t n_requests, sy_state_usage *out_usage) {
    return kit_state_need(&device->states, requests, stride, n_requests, out_usage);
}

sy_status cpu_state_reserve(sy_device *device, const sy_state_request *requests, size_t stride,
                            uint32_t n_requests, uint32_t keep) {
    return kit_state_reserve(&device->states, requests, stride, n_requests, keep);
}
