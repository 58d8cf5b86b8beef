/* SPDX-License-Identifier: Apache-2.0 */
/* States lie in the canonical layout: [max_tokens, width] rows in the described type. All rows are
 * kept, also those past a window. */
#include "base/checked.h"
#include "reference/blocks.h"
#include "reference/internal.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <string.h>

/* A state with zeroed rows. */
static sy_status make_state(sy_device *device, sy_element_type type, uint32_t width,
                            uint64_t max_tokens, sy_state **out_state) {
    uint64_t row_bytes = 0, n_bytes = 0;
    if (sy_type_row_bytes(type, width, &row_bytes) != SY_OK ||
        !sy__mul_u64(row_bytes, max_tokens, &n_bytes) || n_bytes > SIZE_MAX) {
        return sy__ref_report(device, SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "a state of %" PRIu64 " rows of %" PRIu32 " elements cannot be made",
                              max_tokens, width);
    }
    sy_state *state = SY__NEW(&device->allocator, sy_state);
    uint8_t *rows = sy__alloc_array(&device->allocator, (size_t)n_bytes, 1);
    if (state == NULL || rows == NULL) {
        sy__free_array(&device->allocator, rows, (size_t)n_bytes, 1);
        SY__DELETE(&device->allocator, state);
        return sy__ref_report(device, SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                              "no memory for a state of %" PRIu64 " bytes", n_bytes);
    }
    *state = (sy_state){device, type, width, row_bytes, max_tokens, rows};
    atomic_fetch_add(&device->live_handles, 1);
    *out_state = state;
    return SY_OK;
}

sy_status sy__ref_state_create(sy_device *device, const sy_state_description *description,
                               sy_state **out_state) {
    if (device == NULL || description == NULL || out_state == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    sy_status status = sy__ref_open_check(&description->header);
    if (status != SY_OK) {
        return status;
    }
    sy_state_description d;
    sy__ref_open_read(&d, sizeof(d), description);
    if (!sy__row_can_encode(d.type)) {
        return sy__ref_report(device, SY_UNIMPLEMENTED, SY_NO_VALUE,
                              "states are f32, f16, bf16, Q8_0 or Q4_0, not type %" PRIu32, d.type);
    }
    if (d.width == 0 || d.max_tokens == 0 || d.role > SY_STATE_RECURRENT) {
        return sy__ref_report(device, SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "a state needs a width, max_tokens and a known role");
    }
    return make_state(device, d.type, d.width, d.max_tokens, out_state);
}

sy_status sy__ref_state_clone(sy_state *state, uint64_t n_rows, sy_state **out_state) {
    if (state == NULL || out_state == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    if (n_rows > state->max_tokens) {
        return SY_OUT_OF_RANGE;
    }
    sy_state *clone = NULL;
    sy_status status =
        make_state(state->device, state->type, state->width, state->max_tokens, &clone);
    if (status == SY_OK) {
        memcpy(clone->rows, state->rows, (size_t)(n_rows * state->row_bytes));
        *out_state = clone;
    }
    return status;
}

sy_status sy__ref_state_truncate(sy_state *state, uint64_t n_rows) {
    if (state == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    return n_rows <= state->max_tokens ? SY_OK : SY_OUT_OF_RANGE;
}

static bool has_rows(const sy_state *state, uint64_t first, uint64_t count) {
    return first <= state->max_tokens && count <= state->max_tokens - first;
}

sy_status sy__ref_state_shift(sy_state *state, uint64_t first, uint64_t count, uint64_t to) {
    if (state == NULL || to >= first) {
        return SY_INVALID_ARGUMENT;
    }
    if (!has_rows(state, first, count)) {
        return SY_OUT_OF_RANGE;
    }
    memmove(state->rows + to * state->row_bytes, state->rows + first * state->row_bytes,
            (size_t)(count * state->row_bytes));
    return SY_OK;
}

/* Checks a range of rows against a byte count. */
static sy_status check_range(const sy_state *state, uint64_t first, uint64_t count,
                             const void *bytes, uint64_t n_bytes) {
    if (state == NULL || (bytes == NULL && n_bytes > 0)) {
        return SY_INVALID_ARGUMENT;
    }
    if (!has_rows(state, first, count)) {
        return sy__ref_report(state->device, SY_OUT_OF_RANGE, SY_NO_VALUE,
                              "rows [%" PRIu64 ", +%" PRIu64 ") of a state of %" PRIu64 " rows",
                              first, count, state->max_tokens);
    }
    if (n_bytes != count * state->row_bytes) {
        return sy__ref_report(state->device, SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "%" PRIu64 " bytes given for rows of %" PRIu64, n_bytes,
                              count * state->row_bytes);
    }
    return SY_OK;
}

sy_status sy__ref_state_save(sy_state *state, uint64_t first, uint64_t count, void *out_rows,
                             uint64_t n_bytes) {
    sy_status status = check_range(state, first, count, out_rows, n_bytes);
    if (status == SY_OK && n_bytes > 0) {
        memcpy(out_rows, state->rows + first * state->row_bytes, (size_t)n_bytes);
    }
    return status;
}

sy_status sy__ref_state_load(sy_state *state, uint64_t first, uint64_t count, const void *rows,
                             uint64_t n_bytes) {
    sy_status status = check_range(state, first, count, rows, n_bytes);
    if (status == SY_OK && n_bytes > 0) {
        memcpy(state->rows + first * state->row_bytes, rows, (size_t)n_bytes);
    }
    return status;
}

sy_status sy__ref_state_destroy(sy_state *state) {
    if (state == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    sy_device *device = state->device;
    uint64_t n_bytes = state->row_bytes * state->max_tokens;
    sy__free_array(&device->allocator, state->rows, (size_t)n_bytes, 1);
    SY__DELETE(&device->allocator, state);
    atomic_fetch_sub(&device->live_handles, 1);
    return SY_OK;
}
