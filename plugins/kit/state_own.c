/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of a state's own, for those that it shares: before rows of them are written again. */
#include "state.h"

#include <string.h>

#define TOGETHER 32u /* blocks that are copied in one call */

bool kit_state_has_room(const sy_state *state, uint64_t n) {
    uint64_t n_free = state->slab != NULL ? state->slab->n_free : 0;
    return !kit_is_one_slab(state->states->storage) || n <= n_free;
}

uint64_t kit_state_count_shared(const sy_state *state, uint64_t n_rows) {
    uint64_t n = 0;
    if (kit_state_is_windowed(state)) {
        return 0; /* they have their spares */
    }
    for (uint64_t i = n_rows / KIT_BLOCK_ROWS; i < state->n_shared; i++) {
        n += state->blocks[i]->n_states > 1;
    }
    return n;
}

/* ---- one after the other ---- */
static sy_status own_spares(sy_state *state, uint64_t n_rows, bool keeps_all) {
    uint64_t first = n_rows / KIT_BLOCK_ROWS;
    uint64_t i = first > state->base ? first - state->base : 0;
    sy_status status = SY_OK;
    for (; status == SY_OK && i < state->n_blocks && i + state->base < state->n_shared; i++) {
        bool copies = keeps_all || (i + state->base == first && n_rows % KIT_BLOCK_ROWS != 0);
        status = kit_block_own(state->blocks[i], copies, &state->blocks[i]);
    }
    state->version++;
    return status;
}

/* Up to TOGETHER shared blocks from *inout_i on. */
static sy_status own_some(sy_state *state, uint64_t *inout_i, uint64_t n_rows, bool keeps_all) {
    const kit_storage *storage = state->states->storage;
    kit_block *shared[TOGETHER], *own[TOGETHER];
    uint64_t at[TOGETHER], n = 0, n_copied = 0, i = *inout_i;
    for (; i < state->n_shared && n < TOGETHER; i++) {
        if (state->blocks[i]->n_states > 1) {
            bool copies =
                keeps_all || (i == n_rows / KIT_BLOCK_ROWS && n_rows % KIT_BLOCK_ROWS != 0);
            at[n] = i;
            shared[n++] = state->blocks[i];
            n_copied = copies ? n : n_copied; /* the first ones, if not all */
        }
    }
    sy_status status = kit_pools_take(&state->states->pools, storage, state->sizes.block_bytes, n,
                                      state->slab, own);
    if (status != SY_OK) {
        return status;
    }
    status = n_copied > 0 ? storage->blocks_copy(storage->self, shared, own, n_copied) : SY_OK;
    for (uint64_t k = 0; k < n; k++) {
        kit_block_drop(status == SY_OK ? shared[k] : own[k]);
        state->blocks[at[k]] = status == SY_OK ? own[k] : shared[k];
    }
    state->version++;
    *inout_i = i;
    return status;
}

/* ---- all at once ---- */
/* The state goes to another slab, where there is room for all of it. */
static sy_status own_elsewhere(sy_state *state, uint64_t n_rows, bool keeps_all) {
    kit_states *states = state->states;
    const kit_storage *storage = states->storage;
    kit_block *head = NULL; /* its table is a second one for as long as that takes */
    uint64_t n_copied = kit_blocks_of(keeps_all ? state->high : n_rows), n = state->n_blocks;
    n_copied = n_copied < n ? n_copied : n;
    sy_status status = kit_pools_take(&states->pools, &kit_host_storage,
                                      kit_state_head_bytes(storage, n), 1, NULL, &head);
    if (status != SY_OK) {
        return status;
    }
    kit_block **blocks = (kit_block **)(void *)head->bytes;
    status = kit_pools_take(&states->pools, storage, state->sizes.block_bytes, n, NULL, blocks);
    if (status == SY_OK) {
        status = n_copied > 0 ? storage->blocks_copy(storage->self, state->blocks, blocks, n_copied)
                              : SY_OK;
        kit_block **dropped = status == SY_OK ? state->blocks : blocks;
        for (uint64_t i = 0; i < n; i++) {
            kit_block_drop(dropped[i]);
        }
    }
    if (status == SY_OK) {
        memcpy(state->blocks, blocks, n * sizeof(blocks[0]));
        state->slab = blocks[0]->slab;
        state->version++;
    }
    kit_block_drop(head);
    return status;
}

/* ---- either ---- */
static sy_status own_shared(sy_state *state, uint64_t n_rows, bool keeps_all) {
    kit_states *states = state->states;
    uint64_t n = kit_state_count_shared(state, n_rows), n_bytes = state->sizes.block_bytes;
    kit_need need;
    if (!kit_state_has_room(state, n)) {
        return own_elsewhere(state, n_rows, keeps_all);
    }
    sy_status status = SY_OK;
    if (!kit_is_one_slab(states->storage)) { /* all of them or none */
        kit_need_init(&need, states->pools, false);
        status = kit_need_add(&need, states->storage, n_bytes, n)
                     ? kit_pools_reserve(&states->pools, &need)
                     : SY_RESOURCE_EXHAUSTED;
    }
    for (uint64_t i = n_rows / KIT_BLOCK_ROWS; status == SY_OK && i < state->n_shared;) {
        status = own_some(state, &i, n_rows, keeps_all);
    }
    return status;
}

sy_status kit_state_own(sy_state *state, uint64_t n_rows, bool keeps_all) {
    uint64_t first = n_rows / KIT_BLOCK_ROWS;
    if (first >= state->n_shared) {
        return SY_OK;
    }
    sy_status status = kit_state_is_windowed(state) ? own_spares(state, n_rows, keeps_all)
                                                    : own_shared(state, n_rows, keeps_all);
    if (status == SY_OK) {
        state->n_shared = first;
        return SY_OK;
    }
    kit_pools_trim(&state->states->pools, false);
    if (SY_STATUS_CLASS(status) != SY_RESOURCE_EXHAUSTED) {
        return status;
    }
    return kit_report(
        status, SY_NO_VALUE,
        "rows from %llu on are shared: there is no memory for %llu blocks of %llu bytes",
        (unsigned long long)n_rows, (unsigned long long)kit_state_count_shared(state, n_rows),
        (unsigned long long)state->sizes.block_bytes);
}

sy_status kit_state_truncate(sy_state *state, uint64_t n_rows) {
    sy_status status = kit_state_check_range(state, n_rows, 0);
    status = status == SY_OK ? kit_state_check_kept(state, n_rows) : status;
    status = status == SY_OK ? kit_state_own(state, n_rows, false) : status;
    if (status == SY_OK && n_rows < state->high) {
        if (kit_state_is_windowed(state)) {
            kit_state_move_to(state, state->low < n_rows ? state->low : n_rows, n_rows);
        }
        state->high = n_rows;
    }
    return status;
}
