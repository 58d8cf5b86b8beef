/* SPDX-License-Identifier: Apache-2.0 */
/* States: rows in the canonical layout, reserved when made. */
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

sy_status cpu_state_create(sy_device *device, const sy_state_description *description,
                           sy_state **out_state) {
    uint64_t row_bytes = 0, n_bytes = 0;
    bool known = cpu_type_is_float(description->type) || description->type == SY_TYPE_Q8_0 ||
                 description->type == SY_TYPE_Q4_0;
    sy_status status = cpu_extensions_check(&description->header);
    if (status != SY_OK) {
        return status;
    }
    if (!known || description->width == 0 ||
        !cpu_type_row_bytes(description->type, description->width, &row_bytes)) {
        return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "a state of %s rows of %u elements: use f32, f16, bf16, or Q8_0, Q4_0 in "
                          "multiples of 32",
                          cpu_type_name(description->type), description->width);
    }
    sy_state *state = cpu_alloc(sizeof(*state));
    if (state != NULL && !__builtin_mul_overflow(row_bytes, description->max_tokens, &n_bytes) &&
        n_bytes <= SIZE_MAX / 2) {
        state->rows = cpu_alloc(n_bytes);
    }
    if (state == NULL || state->rows == NULL) {
        cpu_release(state, sizeof(*state));
        return cpu_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a state of %llu bytes",
                          (unsigned long long)n_bytes);
    }
    state->device = device;
    state->description = *description;
    state->description.header = (sy_header)SY_HEADER_INIT(sy_state_description);
    state->row_bytes = row_bytes;
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
        memcpy(copy->rows, state->rows, n_rows * state->row_bytes);
        *out_state = copy;
    }
    return status;
}

sy_status cpu_state_truncate(sy_state *state, uint64_t n_rows) {
    return range_check(state, n_rows, 0); /* rows are addressed by position: nothing to forget */
}

sy_status cpu_state_shift(sy_state *state, uint64_t first, uint64_t count, uint64_t to) {
    sy_status status = range_check(state, first, count);
    if (status == SY_OK && to > first) {
        return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "rows can only be shifted down");
    }
    if (status == SY_OK) {
        memmove(state->rows + to * state->row_bytes, state->rows + first * state->row_bytes,
                count * state->row_bytes);
    }
    return status;
}

static sy_status bytes_check(const sy_state *state, uint64_t first, uint64_t count,
                             uint64_t n_bytes) {
    sy_status status = range_check(state, first, count);
    if (status == SY_OK && n_bytes < count * state->row_bytes) {
        return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "%llu rows take %llu bytes, not %llu",
                          (unsigned long long)count, (unsigned long long)(count * state->row_bytes),
                          (unsigned long long)n_bytes);
    }
    return status;
}

sy_status cpu_state_save(sy_state *state, uint64_t first, uint64_t count, void *out_rows,
                         uint64_t n_bytes) {
    sy_status status = bytes_check(state, first, count, n_bytes);
    if (status == SY_OK) {
        memcpy(out_rows, state->rows + first * state->row_bytes, count * state->row_bytes);
    }
    return status;
}

sy_status cpu_state_load(sy_state *state, uint64_t first, uint64_t count, const void *rows,
                         uint64_t n_bytes) {
    sy_status status = bytes_check(state, first, count, n_bytes);
    if (status == SY_OK) {
        memcpy(state->rows + first * state->row_bytes, rows, count * state->row_bytes);
    }
    return status;
}

sy_status cpu_state_destroy(sy_state *state) {
    if (state != NULL) {
        atomic_fetch_sub(&state->device->live_handles, 1);
        cpu_release(state->rows, state->description.max_tokens * state->row_bytes);
        cpu_release(state, sizeof(*state));
    }
    return SY_OK;
}
