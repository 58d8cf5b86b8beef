/* SPDX-License-Identifier: Apache-2.0 */
/* States: reserved when made, canonical rows outside, blocks of 16 inside (state_layout.h). */
#include "attention.h"
#include "plugin.h"

#include <string.h>

static sy_status range_check(const sy_state *state, uint64_t first, uint64_t count) {
    if (first > state->description.max_tokens || count > state->description.max_tokens - first) {
        return cpu_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                          "rows %llu + %llu are past the state's %llu rows",
                          (unsigned long long)first, (unsigned long long)count,
                          (unsigned long long)state->description.max_tokens);
    }
    return SY_OK;
}

/* Kernels read keys of two blocks at a time. */
static bool bytes_of(const cpu_state_layout *layout, uint64_t n_rows, uint64_t *out_bytes) {
    uint64_t n_blocks = n_rows / CPU_BLOCK + 2;
    return !__builtin_mul_overflow(n_blocks & ~(uint64_t)1, layout->block_bytes, out_bytes) &&
           *out_bytes <= SIZE_MAX / 2;
}

sy_status cpu_state_create(sy_device *device, const sy_state_description *description,
                           sy_state **out_state) {
    cpu_state_layout layout;
    uint64_t n_bytes = 0;
    sy_status status = cpu_extensions_check(&description->header);
    if (status != SY_OK) {
        return status;
    }
    if (!cpu_state_layout_of(description->type, description->role, description->width, &layout)) {
        return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "a state of %s rows of %u elements: use f32, f16, bf16, or Q8_0, Q4_0 in "
                          "multiples of 32",
                          cpu_type_name(description->type), description->width);
    }
    sy_state *state = cpu_alloc(sizeof(*state));
    if (state != NULL && bytes_of(&layout, description->max_tokens, &n_bytes)) {
        state->blocks = cpu_alloc_raw(n_bytes); /* pages come when written */
    }
    if (state == NULL || state->blocks == NULL) {
        cpu_release(state, sizeof(*state));
        return cpu_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a state of %llu bytes",
                          (unsigned long long)n_bytes);
    }
    state->device = device;
    state->description = *description;
    state->description.header = (sy_header)SY_HEADER_INIT(sy_state_description);
    state->layout = layout;
    state->n_bytes = n_bytes;
    atomic_fetch_add(&device->live_handles, 1);
    *out_state = state;
    return SY_OK;
}

sy_status cpu_state_clone(sy_state *state, uint64_t n_rows, sy_state **out_state) {
    sy_state *copy = NULL;
    sy_status status = range_check(state, 0, n_rows);
    if (status == SY_OK) {
        status = cpu_state_create(state->device, &state->description, &copy);
    }
    if (status == SY_OK) {
        memcpy(copy->blocks, state->blocks,
               (n_rows + CPU_BLOCK - 1) / CPU_BLOCK * state->layout.block_bytes);
        *out_state = copy;
    }
    return status;
}

sy_status cpu_state_truncate(sy_state *state, uint64_t n_rows) {
    return range_check(state, n_rows, 0); /* rows are addressed by position: nothing to forget */
}

#define PIECE 256u /* columns moved together, whole cells of every type */

static void row_move(sy_state *state, uint64_t from, uint64_t to) {
    uint8_t piece[PIECE * 4];
    uint64_t width = state->description.width;
    for (uint64_t first = 0; first < width; first += PIECE) {
        uint64_t n = width - first < PIECE ? width - first : PIECE;
        cpu_state_get(&state->layout, state->blocks, from, first, n, piece);
        cpu_state_put(&state->layout, state->blocks, to, first, n, piece);
    }
}

sy_status cpu_state_shift(sy_state *state, uint64_t first, uint64_t count, uint64_t to) {
    sy_status status = range_check(state, first, count);
    if (status == SY_OK && to > first) {
        return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "rows can only be shifted down");
    }
    for (uint64_t i = 0; status == SY_OK && to < first && i < count; i++) {
        row_move(state, first + i, to + i);
    }
    return status;
}

static sy_status bytes_check(const sy_state *state, uint64_t first, uint64_t count,
                             uint64_t n_bytes) {
    uint64_t row_bytes = state->layout.row_bytes;
    sy_status status = range_check(state, first, count);
    if (status == SY_OK && n_bytes < count * row_bytes) {
        return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "%llu rows take %llu bytes, not %llu",
                          (unsigned long long)count, (unsigned long long)(count * row_bytes),
                          (unsigned long long)n_bytes);
    }
    return status;
}

sy_status cpu_state_save(sy_state *state, uint64_t first, uint64_t count, void *out_rows,
                         uint64_t n_bytes) {
    sy_status status = bytes_check(state, first, count, n_bytes);
    for (uint64_t i = 0; status == SY_OK && i < count; i++) {
        cpu_state_get(&state->layout, state->blocks, first + i, 0, state->description.width,
                      (uint8_t *)out_rows + i * state->layout.row_bytes);
    }
    return status;
}

sy_status cpu_state_load(sy_state *state, uint64_t first, uint64_t count, const void *rows,
                         uint64_t n_bytes) {
    sy_status status = bytes_check(state, first, count, n_bytes);
    for (uint64_t i = 0; status == SY_OK && i < count; i++) {
        cpu_state_put(&state->layout, state->blocks, first + i, 0, state->description.width,
                      (const uint8_t *)rows + i * state->layout.row_bytes);
    }
    return status;
}

sy_status cpu_state_destroy(sy_state *state) {
    if (state != NULL) {
        atomic_fetch_sub(&state->device->live_handles, 1);
        cpu_release(state->blocks, state->n_bytes);
        cpu_release(state, sizeof(*state));
    }
    return SY_OK;
}
