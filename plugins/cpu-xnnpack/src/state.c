/* SPDX-License-Identifier: Apache-2.0 */
/* States: made, cloned, cut back, and readied for a step. Rows in and out are in state_rows.c. */
#include "state.h"

#include <string.h>

sy_status cpu_state_check_range(const sy_state *state, uint64_t first, uint64_t count) {
    if (first > state->description.max_tokens || count > state->description.max_tokens - first) {
        return cpu_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                          "rows %llu + %llu are past the state's %llu rows",
                          (unsigned long long)first, (unsigned long long)count,
                          (unsigned long long)state->description.max_tokens);
    }
    return SY_OK;
}

sy_status cpu_state_check_kept(const sy_state *state, uint64_t n_rows) {
    uint64_t first = cpu_state_first_read(state, n_rows);
    if (cpu_state_is_windowed(state) && n_rows > state->high) {
        return cpu_report(SY_OUT_OF_RANGE, SY_NO_VALUE, "only %llu rows were written, not %llu",
                          (unsigned long long)state->high, (unsigned long long)n_rows);
    }
    if (first < n_rows && first < state->low) {
        return cpu_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                          "rows before %llu were left behind by the window of %u; a step at %llu "
                          "reads from row %llu on: compute them again",
                          (unsigned long long)state->low, state->description.window,
                          (unsigned long long)n_rows, (unsigned long long)first);
    }
    return SY_OK;
}

/* ---- sizes ---- */
void cpu_state_read_description(const sy_state_description *given, sy_state_description *out) {
    size_t n_bytes = given->header.size < sizeof(*out) ? given->header.size : sizeof(*out);
    memset(out, 0, sizeof(*out));
    memcpy(out, given, n_bytes);
    out->header = (sy_header)SY_HEADER_INIT(sy_state_description);
}

static uint64_t blocks_of(uint64_t n_rows) {
    return n_rows / CPU_BLOCK + (n_rows % CPU_BLOCK != 0);
}

/* Blocks for a window: what a step and the rows it reads touch, and at least the window whatever
 * part of two blocks is not used. */
static uint64_t window_blocks(const sy_state_description *d) {
    uint64_t n_rows = (uint64_t)d->window - 1 + d->step_tokens;
    uint64_t least = (uint64_t)d->window + CPU_BLOCK;
    return blocks_of((n_rows > least ? n_rows : least) - 1) + 1;
}

sy_status cpu_state_measure(const sy_state_description *description, cpu_state_layout *out_layout,
                            uint64_t *out_head_bytes, uint64_t *out_n_blocks) {
    if (!cpu_state_layout_of(description->type, description->role, description->width,
                             out_layout)) {
        return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "a state of %s rows of %u elements: use f32, f16, bf16, or Q8_0, Q4_0 in "
                          "multiples of 32",
                          cpu_type_name(description->type), description->width);
    }
    uint64_t n_blocks = blocks_of(description->max_tokens);
    if (description->window > 0 && description->step_tokens > 0) {
        uint64_t most = window_blocks(description);
        n_blocks = n_blocks < most ? n_blocks : most;
    }
    if (n_blocks > SIZE_MAX / 4 / sizeof(cpu_block *)) {
        return cpu_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a state of %llu rows",
                          (unsigned long long)description->max_tokens);
    }
    *out_head_bytes = cpu_state_head_bytes(n_blocks);
    *out_n_blocks = n_blocks;
    return SY_OK;
}

/* ---- made and freed ---- */
/* A state whose first n_given blocks are not taken. */
static sy_status state_make(sy_device *device, const sy_state_description *description,
                            uint64_t n_given, sy_state **out_state) {
    cpu_state_layout layout;
    uint64_t head_bytes = 0, n_blocks = 0;
    cpu_block *head = NULL;
    sy_status status = cpu_state_measure(description, &layout, &head_bytes, &n_blocks);
    if (status != SY_OK) {
        return status;
    }
    if (!cpu_pools_take(&device->pools, head_bytes, 1, &head)) {
        return cpu_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a state of %llu rows",
                          (unsigned long long)description->max_tokens);
    }
    sy_state *state = (sy_state *)(void *)head->bytes;
    *state = (sy_state){.device = device,
                        .description = *description,
                        .layout = layout,
                        .head = head,
                        .n_blocks = n_blocks};
    if (!cpu_pools_take(&device->pools, layout.block_bytes, n_blocks - n_given,
                        state->blocks + n_given)) {
        cpu_block_drop(head);
        cpu_pools_trim(&device->pools, false);
        return cpu_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "no memory for %llu blocks of %llu bytes of a state",
                          (unsigned long long)(n_blocks - n_given),
                          (unsigned long long)layout.block_bytes);
    }
    atomic_fetch_add(&device->live_handles, 1);
    *out_state = state;
    return SY_OK;
}

sy_status cpu_state_create(sy_device *device, const sy_state_description *description,
                           sy_state **out_state) {
    sy_status status = cpu_extensions_check(&description->header);
    sy_state_description known;
    cpu_state_read_description(description, &known);
    return status == SY_OK ? state_make(device, &known, 0, out_state) : status;
}

sy_status cpu_state_destroy(sy_state *state) {
    if (state != NULL) {
        sy_device *device = state->device;
        for (uint64_t i = 0; i < state->n_blocks; i++) {
            cpu_block_drop(state->blocks[i]);
        }
        cpu_block_drop(state->head);
        cpu_pools_trim(&device->pools, false);
        atomic_fetch_sub(&device->live_handles, 1);
    }
    return SY_OK;
}

/* ---- clones ---- */
/* The copy has as many blocks as a state without others; those that it shares are spares. */
static void lend_blocks(sy_state *copy, const sy_state *state, uint64_t n_rows) {
    uint64_t n_full = n_rows / CPU_BLOCK;
    cpu_state_move_to(copy, state->low < n_rows ? state->low : n_rows, n_rows);
    for (uint64_t i = copy->low / CPU_BLOCK; i < n_full; i++) {
        cpu_block *shared = state->blocks[i - state->base];
        cpu_block_lend(shared, copy->blocks[i - copy->base]);
        copy->blocks[i - copy->base] = shared;
    }
}

static void share_blocks(sy_state *copy, sy_state *state, uint64_t n_rows) {
    uint64_t n_full = n_rows / CPU_BLOCK;
    if (cpu_state_is_windowed(state)) {
        lend_blocks(copy, state, n_rows);
    } else {
        for (uint64_t i = 0; i < n_full; i++) {
            copy->blocks[i] = state->blocks[i];
            copy->blocks[i]->n_states++;
        }
    }
    if (n_rows % CPU_BLOCK != 0 && copy->low < n_rows) {
        memcpy(cpu_state_block(copy, n_full), cpu_state_block(state, n_full),
               state->layout.block_bytes);
    }
    copy->n_shared = n_full;
    state->n_shared = state->n_shared > n_full ? state->n_shared : n_full;
}

sy_status cpu_state_fork(sy_state *state, uint64_t n_rows, uint64_t max_tokens,
                         sy_state **out_state) {
    sy_state *copy = NULL;
    bool is_windowed = cpu_state_is_windowed(state);
    sy_state_description description = state->description;
    sy_status status = cpu_state_check_range(state, 0, n_rows);
    status = status == SY_OK ? cpu_state_check_kept(state, n_rows) : status;
    if (status == SY_OK && max_tokens < n_rows) {
        status = cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                            "a state of %llu rows cannot begin with %llu",
                            (unsigned long long)max_tokens, (unsigned long long)n_rows);
    }
    description.max_tokens = max_tokens;
    if (status == SY_OK) {
        status =
            state_make(state->device, &description, is_windowed ? 0 : n_rows / CPU_BLOCK, &copy);
    }
    if (status != SY_OK) {
        return status;
    }
    share_blocks(copy, state, n_rows);
    *out_state = copy;
    return SY_OK;
}

sy_status cpu_state_clone(sy_state *state, uint64_t n_rows, sy_state **out_state) {
    return cpu_state_fork(state, n_rows, state->description.max_tokens, out_state);
}

/* ---- blocks of its own ---- */
uint64_t cpu_state_count_shared(const sy_state *state, uint64_t n_rows) {
    uint64_t n = 0;
    if (cpu_state_is_windowed(state)) {
        return 0; /* they have their spares */
    }
    for (uint64_t i = n_rows / CPU_BLOCK; i < state->n_shared; i++) {
        n += state->blocks[i]->n_states > 1;
    }
    return n;
}

sy_status cpu_state_own(sy_state *state, uint64_t n_rows, bool keeps_all) {
    uint64_t first = n_rows / CPU_BLOCK, n = cpu_state_count_shared(state, n_rows);
    uint64_t n_bytes = state->layout.block_bytes;
    cpu_block_need need = {.n_sizes = 0};
    if (first >= state->n_shared) {
        return SY_OK;
    }
    if (cpu_state_is_windowed(state)) {
        uint64_t i = first > state->base ? first - state->base : 0;
        for (; i < state->n_blocks && i + state->base < state->n_shared; i++) {
            bool copies = keeps_all || (i + state->base == first && n_rows % CPU_BLOCK != 0);
            state->blocks[i] = cpu_block_own(state->blocks[i], copies ? n_bytes : 0);
        }
        state->n_shared = first;
        return SY_OK;
    }
    if (!cpu_need_add(&need, n_bytes, n) ||
        !cpu_pools_reserve(&state->device->pools, &need, false)) {
        return cpu_report(
            SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
            "rows from %llu on are shared: there is no memory for %llu blocks of %llu "
            "bytes",
            (unsigned long long)n_rows, (unsigned long long)n, (unsigned long long)n_bytes);
    }
    for (uint64_t i = first; i < state->n_shared; i++) {
        cpu_block *shared = state->blocks[i];
        if (shared->n_states == 1 ||
            !cpu_pools_take(&state->device->pools, n_bytes, 1, &state->blocks[i])) {
            continue; /* reserved above: it is there */
        }
        if (keeps_all || (i == first && n_rows % CPU_BLOCK != 0)) {
            memcpy(state->blocks[i]->bytes, shared->bytes, n_bytes);
        }
        cpu_block_drop(shared);
    }
    state->n_shared = first;
    return SY_OK;
}

sy_status cpu_state_truncate(sy_state *state, uint64_t n_rows) {
    sy_status status = cpu_state_check_range(state, n_rows, 0);
    status = status == SY_OK ? cpu_state_check_kept(state, n_rows) : status;
    status = status == SY_OK ? cpu_state_own(state, n_rows, false) : status;
    if (status == SY_OK && cpu_state_is_windowed(state) && n_rows < state->high) {
        cpu_state_move_to(state, state->low < n_rows ? state->low : n_rows, n_rows);
    }
    return status;
}

/* ---- the rows of a window ---- */
void cpu_state_move_to(sy_state *state, uint64_t low, uint64_t high) {
    uint64_t last = high > 0 ? (high - 1) / CPU_BLOCK : 0, n_blocks = state->n_blocks;
    uint64_t least = last >= n_blocks ? last + 1 - n_blocks : 0; /* first block that still fits */
    if (least > state->base) { /* the first blocks become the last ones */
        for (uint64_t i = (least - state->base) % n_blocks; i > 0; i--) {
            cpu_block *first = cpu_block_own(state->blocks[0], 0);
            memmove(state->blocks, state->blocks + 1, (n_blocks - 1) * sizeof(cpu_block *));
            state->blocks[n_blocks - 1] = first;
        }
        state->base = least;
    } else if (low / CPU_BLOCK < state->base) { /* nothing of what was there counts any more */
        for (uint64_t i = 0; i < n_blocks; i++) {
            state->blocks[i] = cpu_block_own(state->blocks[i], 0);
        }
        state->n_shared = 0;
        state->base = low / CPU_BLOCK > least ? low / CPU_BLOCK : least;
    }
    low = low > state->base * CPU_BLOCK ? low : state->base * CPU_BLOCK;
    state->low = low < high ? low : high;
    state->high = high;
}

sy_status cpu_state_begin_step(sy_state *state, uint64_t n_past, uint64_t n_tokens) {
    if (n_tokens > 0 && n_past < state->n_shared * CPU_BLOCK) {
        return cpu_report(SY_FAILED_PRECONDITION, SY_NO_VALUE,
                          "rows from %llu on are shared up to row %llu: truncate the state first",
                          (unsigned long long)n_past,
                          (unsigned long long)(state->n_shared * CPU_BLOCK));
    }
    if (n_tokens == 0 || !cpu_state_is_windowed(state)) {
        return SY_OK;
    }
    uint64_t first = cpu_state_first_read(state, n_past), end = n_past + n_tokens;
    uint64_t last = (end - 1) / CPU_BLOCK, low = state->low;
    if (last >= state->n_blocks && (last + 1 - state->n_blocks) * CPU_BLOCK > low) {
        low = (last + 1 - state->n_blocks) * CPU_BLOCK;
    }
    if (first < low) {
        return cpu_report(
            SY_FAILED_PRECONDITION, SY_NO_VALUE,
            "a step of %llu rows at %llu reads from row %llu on; rows before %llu were "
            "left behind",
            (unsigned long long)n_tokens, (unsigned long long)n_past, (unsigned long long)first,
            (unsigned long long)low);
    }
    cpu_state_move_to(state, state->low, end);
    return SY_OK;
}
