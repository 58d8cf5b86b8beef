/* SPDX-License-Identifier: Apache-2.0 */
/* States hold rows in the canonical layout, in blocks of 16 rows that clones share. All rows are
 * kept, also those past a window. */
#include "base/checked.h"
#include "reference/blocks.h"
#include "reference/state.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <string.h>

static sy_status out_of_range(const sy_state *state, uint64_t first, uint64_t count) {
    return sy__ref_report(state->device, SY_OUT_OF_RANGE, SY_NO_VALUE,
                          "rows [%" PRIu64 ", +%" PRIu64 ") of a state of %" PRIu64 " rows", first,
                          count, state->max_tokens);
}

static bool has_rows(const sy_state *state, uint64_t first, uint64_t count) {
    return first <= state->max_tokens && count <= state->max_tokens - first;
}

sy_status sy__ref_state_measure(sy_device *device, const sy_state_description *d,
                                sy__state_size *out_size) {
    sy__state_size size = {.n_blocks = d->max_tokens / SY__STATE_ROWS +
                                       (d->max_tokens % SY__STATE_ROWS != 0)};
    if (!sy__row_can_encode(d->type)) {
        return sy__ref_report(device, SY_UNIMPLEMENTED, SY_NO_VALUE,
                              "states are f32, f16, bf16, Q8_0 or Q4_0, not type %" PRIu32,
                              d->type);
    }
    if (d->width == 0 || d->max_tokens == 0 || d->role > SY_STATE_RECURRENT) {
        return sy__ref_report(device, SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "a state needs a width, max_tokens and a known role");
    }
    uint64_t all = 0;
    if (sy_type_row_bytes(d->type, d->width, &size.row_bytes) != SY_OK ||
        !sy__mul_u64(size.row_bytes, d->max_tokens, &all) ||
        !sy__mul_u64(size.row_bytes, SY__STATE_ROWS, &size.block_bytes) ||
        !sy__mul_u64(size.n_blocks, sizeof(sy__block *), &size.head_bytes)) {
        return sy__ref_report(device, SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "a state of %" PRIu64 " rows of %" PRIu32 " elements cannot be made",
                              d->max_tokens, d->width);
    }
    if (all > SIZE_MAX / 8) {
        return sy__ref_report(device, SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                              "no memory for a state of %" PRIu64 " bytes", all);
    }
    size.head_bytes += sizeof(sy_state);
    *out_size = size;
    return SY_OK;
}

/* A state with zeroed rows but for the first n_given blocks, which are not there. */
static sy_status make_state(sy_device *device, const sy_state_description *d, uint64_t n_given,
                            sy_state **out_state) {
    sy__state_size size;
    sy_status status = sy__ref_state_measure(device, d, &size);
    if (status != SY_OK) {
        return status;
    }
    sy__block *head = sy__pool_take(&device->pool, size.head_bytes);
    bool ok = head != NULL;
    sy_state *state = ok ? (sy_state *)(void *)sy__block_bytes(head) : NULL;
    if (ok) {
        *state = (sy_state){.device = device,
                            .type = d->type,
                            .width = d->width,
                            .row_bytes = size.row_bytes,
                            .max_tokens = d->max_tokens,
                            .n_blocks = size.n_blocks,
                            .head = head};
    }
    for (uint64_t i = n_given; ok && i < size.n_blocks; i++) {
        state->blocks[i] = sy__pool_take(&device->pool, size.block_bytes);
        ok = state->blocks[i] != NULL;
    }
    if (!ok) {
        for (uint64_t i = n_given; state != NULL && i < size.n_blocks; i++) {
            sy__pool_drop(&device->pool, state->blocks[i]);
        }
        sy__pool_drop(&device->pool, head);
        return sy__ref_report(device, SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                              "no memory for a state of %" PRIu64 " bytes",
                              size.row_bytes * d->max_tokens);
    }
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
    return make_state(device, &d, 0, out_state);
}

sy_state_description sy__ref_state_describe(const sy_state *state, uint64_t max_tokens) {
    return (sy_state_description){.header = SY_HEADER_INIT(sy_state_description),
                                  .type = state->type,
                                  .width = state->width,
                                  .max_tokens = max_tokens};
}

sy_status sy__ref_state_check_fork(const sy_state *state, uint64_t n_rows, uint64_t max_tokens) {
    if (n_rows > state->max_tokens) {
        return out_of_range(state, 0, n_rows);
    }
    if (max_tokens < n_rows) {
        return sy__ref_report(state->device, SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "a state of %" PRIu64 " rows cannot begin with %" PRIu64, max_tokens,
                              n_rows);
    }
    return SY_OK;
}

sy_status sy__ref_state_fork(sy_state *state, uint64_t n_rows, uint64_t max_tokens,
                             sy_state **out_state) {
    if (state == NULL || out_state == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    sy_state *copy = NULL;
    uint64_t n_full = n_rows / SY__STATE_ROWS, n_left = n_rows % SY__STATE_ROWS;
    sy_state_description d = sy__ref_state_describe(state, max_tokens);
    sy_status status = sy__ref_state_check_fork(state, n_rows, max_tokens);
    status = status == SY_OK ? make_state(state->device, &d, n_full, &copy) : status;
    if (status != SY_OK) {
        return status;
    }
    for (uint64_t i = 0; i < n_full; i++) {
        copy->blocks[i] = state->blocks[i];
        copy->blocks[i]->n_states++;
    }
    if (n_left > 0) {
        memcpy(sy__ref_state_row(copy, n_full * SY__STATE_ROWS),
               sy__ref_state_row(state, n_full * SY__STATE_ROWS),
               (size_t)(n_left * state->row_bytes));
    }
    copy->n_shared = n_full;
    state->n_shared = n_full > state->n_shared ? n_full : state->n_shared;
    *out_state = copy;
    return SY_OK;
}

sy_status sy__ref_state_clone(sy_state *state, uint64_t n_rows, sy_state **out_state) {
    return state != NULL ? sy__ref_state_fork(state, n_rows, state->max_tokens, out_state)
                         : SY_INVALID_ARGUMENT;
}

uint64_t sy__ref_state_count_shared(const sy_state *state, uint64_t n_rows) {
    uint64_t n = 0;
    for (uint64_t i = n_rows / SY__STATE_ROWS; i < state->n_shared; i++) {
        n += state->blocks[i]->n_states > 1;
    }
    return n;
}

/* Gives the state blocks of its own from row n_rows on, with what is in them. */
static sy_status own_rows(sy_state *state, uint64_t n_rows) {
    sy__block_pool *pool = &state->device->pool;
    uint64_t n_bytes = state->row_bytes * SY__STATE_ROWS, first = n_rows / SY__STATE_ROWS;
    sy__block_need need = {.n_sizes = 0};
    if (!sy__need_add(&need, n_bytes, sy__ref_state_count_shared(state, n_rows)) ||
        !sy__pool_reserve(pool, &need, false)) {
        return sy__ref_report(state->device, SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                              "rows from %" PRIu64
                              " on are shared and there is no memory for %" PRIu64
                              " blocks of %" PRIu64 " bytes",
                              n_rows, need.n[0], n_bytes);
    }
    for (uint64_t i = first; i < state->n_shared; i++) {
        sy__block *shared = state->blocks[i];
        sy__block *own = shared->n_states > 1 ? sy__pool_take(pool, n_bytes) : NULL;
        if (own != NULL) {
            memcpy(sy__block_bytes(own), sy__block_bytes(shared), (size_t)n_bytes);
            sy__pool_drop(pool, shared);
            state->blocks[i] = own;
        }
    }
    state->n_shared = first < state->n_shared ? first : state->n_shared;
    return SY_OK;
}

sy_status sy__ref_state_truncate(sy_state *state, uint64_t n_rows) {
    if (state == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    return n_rows <= state->max_tokens ? own_rows(state, n_rows) : out_of_range(state, n_rows, 0);
}

sy_status sy__ref_state_shift(sy_state *state, uint64_t first, uint64_t count, uint64_t to) {
    if (state == NULL || to >= first) {
        return SY_INVALID_ARGUMENT;
    }
    if (!has_rows(state, first, count)) {
        return out_of_range(state, first, count);
    }
    sy_status status = own_rows(state, to);
    for (uint64_t i = 0; status == SY_OK && i < count; i++) {
        memcpy(sy__ref_state_row(state, to + i), sy__ref_state_row(state, first + i),
               (size_t)state->row_bytes);
    }
    return status;
}

/* Checks a range of rows against a byte count. */
static sy_status check_range(const sy_state *state, uint64_t first, uint64_t count,
                             const void *bytes, uint64_t n_bytes) {
    if (state == NULL || (bytes == NULL && n_bytes > 0)) {
        return SY_INVALID_ARGUMENT;
    }
    if (!has_rows(state, first, count)) {
        return out_of_range(state, first, count);
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
    for (uint64_t i = 0; status == SY_OK && i < count; i++) {
        memcpy((uint8_t *)out_rows + i * state->row_bytes, sy__ref_state_row(state, first + i),
               (size_t)state->row_bytes);
    }
    return status;
}

sy_status sy__ref_state_load(sy_state *state, uint64_t first, uint64_t count, const void *rows,
                             uint64_t n_bytes) {
    sy_status status = check_range(state, first, count, rows, n_bytes);
    status = status == SY_OK && count > 0 ? own_rows(state, first) : status;
    for (uint64_t i = 0; status == SY_OK && i < count; i++) {
        memcpy(sy__ref_state_row(state, first + i), (const uint8_t *)rows + i * state->row_bytes,
               (size_t)state->row_bytes);
    }
    return status;
}

sy_status sy__ref_state_destroy(sy_state *state) {
    if (state == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    sy_device *device = state->device;
    for (uint64_t i = 0; i < state->n_blocks; i++) {
        sy__pool_drop(&device->pool, state->blocks[i]);
    }
    sy__pool_drop(&device->pool, state->head);
    atomic_fetch_sub(&device->live_handles, 1);
    return SY_OK;
}
