/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of states: moved, saved and loaded. */
#include "state.h"

static uint64_t least_of(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}
static uint64_t most_of(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* After an error: what is there from `first` on does not count. */
static void forget(sy_state *state, uint64_t first) {
    if (kit_state_is_windowed(state)) {
        state->high = least_of(state->high, first);
        state->low = least_of(state->low, state->high);
    }
}

static sy_status rows_move(sy_state *state, uint64_t first, uint64_t count, uint64_t to) {
    const kit_storage *storage = state->states->storage;
    return count > 0 && to < first ? storage->rows_move(storage->self, state, first, count, to)
                                   : SY_OK;
}

/* Moves what is left of the rows behind a window. Where rows below `to` are gone too, the table
 * steps back by whole blocks first; what then falls out in front is less than a block. */
static sy_status window_shift(sy_state *state, uint64_t first, uint64_t end, uint64_t to) {
    sy_status status = kit_state_own(state, to, true);
    uint64_t down = first - to, high = least_of(end, state->high), low = state->low;
    first = most_of(first, low);
    if (status != SY_OK || first >= high) {
        return status;
    }
    if (to < low && high < state->high) { /* there is no place for rows with a gap behind them */
        state->low = high;
        return SY_OK;
    }
    uint64_t n_blocks = to < low ? least_of(down / KIT_BLOCK_ROWS, state->base) : 0;
    uint64_t n_rows = n_blocks * KIT_BLOCK_ROWS;
    state->base -= n_blocks;
    state->version += n_blocks > 0;
    uint64_t step = down - n_rows, least = state->base * KIT_BLOCK_ROWS;
    first = most_of(first - n_rows, least + step);
    status =
        rows_move(state, first, first < high - n_rows ? high - n_rows - first : 0, first - step);
    if (status != SY_OK) {
        forget(state, to);
        return status;
    }
    state->low = to < low ? first - step : low;
    state->high = high < state->high ? state->high : high - down;
    return SY_OK;
}

sy_status kit_state_shift(sy_state *state, uint64_t first, uint64_t count, uint64_t to) {
    sy_status status = kit_state_check_range(state, first, count);
    if (status == SY_OK && to > first) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "rows can only be shifted down");
    }
    if (status != SY_OK || to == first || count == 0) {
        return status;
    }
    if (kit_state_is_windowed(state)) {
        return window_shift(state, first, first + count, to);
    }
    status = kit_state_own(state, to, true);
    return status == SY_OK ? rows_move(state, first, count, to) : status;
}

static sy_status bytes_check(const sy_state *state, uint64_t first, uint64_t count,
                             uint64_t n_bytes) {
    uint64_t row_bytes = state->sizes.row_bytes;
    sy_status status = kit_state_check_range(state, first, count);
    if (status == SY_OK && n_bytes / row_bytes < count) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "%llu rows of %llu bytes are not %llu",
                          (unsigned long long)count, (unsigned long long)row_bytes,
                          (unsigned long long)n_bytes);
    }
    return status;
}

sy_status kit_state_save(sy_state *state, uint64_t first, uint64_t count, void *out_rows,
                         uint64_t n_bytes) {
    const kit_storage *storage = state->states->storage;
    sy_status status = bytes_check(state, first, count, n_bytes);
    if (status != SY_OK || count == 0) {
        return status;
    }
    if (kit_state_is_windowed(state) && (first < state->low || first + count > state->high)) {
        return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                          "of rows %llu + %llu only those from %llu to %llu are there",
                          (unsigned long long)first, (unsigned long long)count,
                          (unsigned long long)state->low, (unsigned long long)state->high);
    }
    return storage->rows_read(storage->self, state, first, count, out_rows);
}

sy_status kit_state_load(sy_state *state, uint64_t first, uint64_t count, const void *rows,
                         uint64_t n_bytes) {
    const kit_storage *storage = state->states->storage;
    sy_status status = bytes_check(state, first, count, n_bytes);
    uint64_t at = first, end = first + count;
    if (status == SY_OK && count > 0) {
        status = kit_state_own(state, first, true);
    }
    if (status != SY_OK || count == 0) {
        return status;
    }
    if (kit_state_is_windowed(state)) {
        bool follows = first >= state->low && first <= state->high;
        kit_state_move_to(state, follows ? state->low : first,
                          follows ? most_of(end, state->high) : end);
        at = most_of(first, state->low); /* rows that do not fit are behind the window */
    } else {
        state->high = most_of(end, state->high);
    }
    if (at < end) {
        status = storage->rows_write(storage->self, state, at, end - at,
                                     (const uint8_t *)rows + (at - first) * state->sizes.row_bytes);
    }
    if (status != SY_OK) {
        forget(state, first);
    }
    return status;
}
