/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of states: moved, saved and loaded. */
#include "state.h"

static uint64_t least_of(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}
static uint64_t most_of(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

#define PIECE 256u /* columns moved together, whole cells of every type */

static void row_move(sy_state *state, uint64_t from, uint64_t to) {
    uint8_t piece[PIECE * 4];
    uint64_t width = state->description.width;
    for (uint64_t first = 0; first < width; first += PIECE) {
        uint64_t n = least_of(width - first, PIECE);
        cpu_state_get(&state->layout, cpu_state_block_of(state, from), from % CPU_BLOCK, first, n,
                      piece);
        cpu_state_put(&state->layout, cpu_state_block_of(state, to), to % CPU_BLOCK, first, n,
                      piece);
    }
}

/* Moves what is left of the rows behind a window. Where rows below `to` are gone too, the table
 * steps back by whole blocks first; what then falls out in front is less than a block. */
static void window_shift(sy_state *state, uint64_t first, uint64_t end, uint64_t to) {
    (void)cpu_state_own(state, to, true); /* with spares it cannot fail */
    uint64_t down = first - to, high = least_of(end, state->high), low = state->low;
    first = most_of(first, low);
    if (first >= high) {
        return;
    }
    if (to < low && high < state->high) { /* there is no place for rows with a gap behind them */
        state->low = high;
        return;
    }
    uint64_t n_blocks = to < low ? least_of(down / CPU_BLOCK, state->base) : 0;
    state->base -= n_blocks;
    uint64_t step = down - n_blocks * CPU_BLOCK, least = state->base * CPU_BLOCK;
    first -= n_blocks * CPU_BLOCK;
    first = most_of(first, least + step);
    for (uint64_t i = first; i < high - n_blocks * CPU_BLOCK; i++) {
        row_move(state, i, i - step);
    }
    state->low = to < low ? first - step : low;
    state->high = high < state->high ? state->high : high - down;
}

sy_status cpu_state_shift(sy_state *state, uint64_t first, uint64_t count, uint64_t to) {
    sy_status status = cpu_state_check_range(state, first, count);
    if (status == SY_OK && to > first) {
        return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "rows can only be shifted down");
    }
    if (status != SY_OK || to == first || count == 0) {
        return status;
    }
    if (cpu_state_is_windowed(state)) {
        window_shift(state, first, first + count, to);
        return SY_OK;
    }
    status = cpu_state_own(state, to, true);
    for (uint64_t i = 0; status == SY_OK && i < count; i++) {
        row_move(state, first + i, to + i);
    }
    return status;
}

static sy_status bytes_check(const sy_state *state, uint64_t first, uint64_t count,
                             uint64_t n_bytes) {
    uint64_t row_bytes = state->layout.row_bytes;
    sy_status status = cpu_state_check_range(state, first, count);
    if (status == SY_OK && n_bytes / row_bytes < count) {
        return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "%llu rows of %llu bytes are not %llu",
                          (unsigned long long)count, (unsigned long long)row_bytes,
                          (unsigned long long)n_bytes);
    }
    return status;
}

sy_status cpu_state_save(sy_state *state, uint64_t first, uint64_t count, void *out_rows,
                         uint64_t n_bytes) {
    sy_status status = bytes_check(state, first, count, n_bytes);
    if (status == SY_OK && count > 0 && cpu_state_is_windowed(state) &&
        (first < state->low || first + count > state->high)) {
        return cpu_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                          "of rows %llu + %llu only those from %llu to %llu are there",
                          (unsigned long long)first, (unsigned long long)count,
                          (unsigned long long)state->low, (unsigned long long)state->high);
    }
    for (uint64_t i = 0; status == SY_OK && i < count; i++) {
        cpu_state_get(&state->layout, cpu_state_block_of(state, first + i), (first + i) % CPU_BLOCK,
                      0, state->description.width,
                      (uint8_t *)out_rows + i * state->layout.row_bytes);
    }
    return status;
}

sy_status cpu_state_load(sy_state *state, uint64_t first, uint64_t count, const void *rows,
                         uint64_t n_bytes) {
    sy_status status = bytes_check(state, first, count, n_bytes);
    uint64_t at = first, end = first + count;
    if (status == SY_OK && count > 0 && cpu_state_is_windowed(state)) {
        bool follows = first >= state->low && first <= state->high;
        uint64_t high = follows ? most_of(end, state->high) : end;
        (void)cpu_state_own(state, first, true); /* with spares it cannot fail */
        cpu_state_move_to(state, follows ? state->low : first, high);
        at = most_of(first, state->low); /* rows that do not fit are behind the window */
    } else if (status == SY_OK && count > 0) {
        status = cpu_state_own(state, first, true);
    }
    for (; status == SY_OK && at < end; at++) {
        cpu_state_put(&state->layout, cpu_state_block_of(state, at), at % CPU_BLOCK, 0,
                      state->description.width,
                      (const uint8_t *)rows + (at - first) * state->layout.row_bytes);
    }
    return status;
}
