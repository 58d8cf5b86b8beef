/* SPDX-License-Identifier: Apache-2.0 */
/* States: made, cloned, cut back, and readied for a step. Rows in and out are in state_rows.c,
 * blocks of a state's own in state_own.c. */
#include "state.h"

#include <string.h>

sy_status kit_state_check_range(const sy_state *state, uint64_t first, uint64_t count) {
    if (first > state->description.max_tokens || count > state->description.max_tokens - first) {
        return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                          "rows %llu + %llu are past the state's %llu rows",
                          (unsigned long long)first, (unsigned long long)count,
                          (unsigned long long)state->description.max_tokens);
    }
    return SY_OK;
}

sy_status kit_state_check_kept(const sy_state *state, uint64_t n_rows) {
    uint64_t first = kit_state_first_read(state, n_rows);
    if (kit_state_is_windowed(state) && n_rows > state->high) {
        return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE, "only %llu rows were written, not %llu",
                          (unsigned long long)state->high, (unsigned long long)n_rows);
    }
    if (first < n_rows && first < state->low) {
        return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                          "rows before %llu were left behind by the window of %u; a step at %llu "
                          "reads from row %llu on: compute them again",
                          (unsigned long long)state->low, state->description.window,
                          (unsigned long long)n_rows, (unsigned long long)first);
    }
    return SY_OK;
}

/* ---- sizes ---- */
void kit_state_read_description(const sy_state_description *given, sy_state_description *out) {
    size_t n_bytes = given->header.size < sizeof(*out) ? given->header.size : sizeof(*out);
    memset(out, 0, sizeof(*out));
    memcpy(out, given, n_bytes);
    out->header = (sy_header)SY_HEADER_INIT(sy_state_description);
}

/* Blocks for a window: what a step and the rows it reads touch, and at least the window whatever
 * part of two blocks is not used. */
static uint64_t window_blocks(const sy_state_description *d) {
    uint64_t n_rows = (uint64_t)d->window - 1 + d->step_tokens;
    uint64_t least = (uint64_t)d->window + KIT_BLOCK_ROWS;
    return kit_blocks_of((n_rows > least ? n_rows : least) - 1) + 1;
}

/* Where what is the storage's own begins in a head. */
static uint64_t own_at(uint64_t n_blocks) {
    return (sizeof(sy_state) + n_blocks * sizeof(kit_block *) + 15) & ~(uint64_t)15;
}

uint64_t kit_state_head_bytes(const kit_storage *storage, uint64_t n_blocks) {
    return (own_at(n_blocks) + storage->own_bytes + 63) & ~(uint64_t)63;
}

sy_status kit_state_measure(const kit_states *states, const sy_state_description *description,
                            kit_state_measures *out_measures) {
    const kit_storage *storage = states->storage;
    kit_state_measures found = {.n_blocks = kit_blocks_of(description->max_tokens)};
    sy_status status = storage->measure(storage->self, description, &found.sizes);
    if (status != SY_OK) {
        return status;
    }
    if (description->window > 0 && description->step_tokens > 0) {
        uint64_t most = window_blocks(description);
        found.n_blocks = found.n_blocks < most ? found.n_blocks : most;
    }
    if (found.n_blocks > SIZE_MAX / 4 / sizeof(kit_block *)) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a state of %llu rows",
                          (unsigned long long)description->max_tokens);
    }
    uint64_t most = storage->one_slab_bytes_most / found.sizes.block_bytes;
    if (kit_is_one_slab(storage) && found.n_blocks > most) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "a state of %llu rows takes %llu blocks of %llu bytes, of which %llu lie "
                          "together at most: use fewer rows or a smaller type",
                          (unsigned long long)description->max_tokens,
                          (unsigned long long)found.n_blocks,
                          (unsigned long long)found.sizes.block_bytes, (unsigned long long)most);
    }
    found.head_bytes = kit_state_head_bytes(storage, found.n_blocks);
    *out_measures = found;
    return SY_OK;
}

/* ---- made and freed ---- */
static sy_status head_make(kit_states *states, const sy_state_description *description,
                           sy_state **out_state) {
    kit_state_measures m;
    kit_block *head = NULL;
    sy_status status = kit_state_measure(states, description, &m);
    if (status != SY_OK) {
        return status;
    }
    status = kit_pools_take(&states->pools, &kit_host_storage, m.head_bytes, 1, NULL, &head);
    if (status != SY_OK) {
        return kit_report(status, SY_NO_VALUE, "no memory for a state of %llu rows",
                          (unsigned long long)description->max_tokens);
    }
    sy_state *state = (sy_state *)(void *)head->bytes;
    *state = (sy_state){.states = states,
                        .description = *description,
                        .sizes = m.sizes,
                        .own = head->bytes + own_at(m.n_blocks),
                        .head = head,
                        .version = 1,
                        .n_blocks = m.n_blocks};
    memset(state->own, 0, states->storage->own_bytes);
    *out_state = state;
    return SY_OK;
}

/* The blocks from number n_given of the table on: in `slab` where the blocks of a state lie
 * together and it is not NULL. */
static sy_status blocks_take(sy_state *state, uint64_t n_given, kit_slab *slab) {
    const kit_storage *storage = state->states->storage;
    uint64_t n = state->n_blocks - n_given;
    sy_status status = kit_pools_take(&state->states->pools, storage, state->sizes.block_bytes, n,
                                      slab, state->blocks + n_given);
    if (SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED) {
        (void)kit_report(status, SY_NO_VALUE, "no memory for %llu blocks of %llu bytes of a state",
                         (unsigned long long)n, (unsigned long long)state->sizes.block_bytes);
    }
    if (status != SY_OK) {
        return status;
    }
    if (kit_is_one_slab(storage)) {
        state->slab = n > 0 ? state->blocks[n_given]->slab : slab;
    }
    status = storage->state_init != NULL ? storage->state_init(storage->self, state) : SY_OK;
    for (uint64_t i = n_given; status != SY_OK && i < state->n_blocks; i++) {
        kit_block_drop(state->blocks[i]);
    }
    return status;
}

/* A state whose first n_given blocks are not taken. */
static sy_status state_make(kit_states *states, const sy_state_description *description,
                            uint64_t n_given, kit_slab *slab, sy_state **out_state) {
    sy_state *state = NULL;
    sy_status status = head_make(states, description, &state);
    if (status != SY_OK) {
        return status;
    }
    status = blocks_take(state, n_given, slab);
    if (status != SY_OK) {
        kit_block_drop(state->head);
        kit_pools_trim(&states->pools, false);
        return status;
    }
    atomic_fetch_add(states->live_handles, 1);
    *out_state = state;
    return SY_OK;
}

sy_status kit_state_create(kit_states *states, const sy_state_description *description,
                           sy_state **out_state) {
    sy_status status = kit_extensions_check(&description->header);
    sy_state_description known;
    kit_state_read_description(description, &known);
    return status == SY_OK ? state_make(states, &known, 0, NULL, out_state) : status;
}

sy_status kit_state_destroy(sy_state *state) {
    if (state != NULL) {
        kit_states *states = state->states;
        if (states->storage->state_deinit != NULL) {
            states->storage->state_deinit(states->storage->self, state);
        }
        for (uint64_t i = 0; i < state->n_blocks; i++) {
            kit_block_drop(state->blocks[i]);
        }
        kit_block_drop(state->head);
        kit_pools_trim(&states->pools, false);
        atomic_fetch_sub(states->live_handles, 1);
    }
    return SY_OK;
}

void kit_states_deinit(kit_states *states) {
    kit_pools_trim(&states->pools, true);
}

/* ---- clones ---- */
sy_status kit_state_check_fork(const sy_state *state, uint64_t n_rows, uint64_t max_tokens,
                               kit_fork *out_fork) {
    kit_fork fork = {.description = state->description};
    sy_status status = kit_state_check_range(state, 0, n_rows);
    status = status == SY_OK ? kit_state_check_kept(state, n_rows) : status;
    if (status == SY_OK && max_tokens < n_rows) {
        status = kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                            "a state of %llu rows cannot begin with %llu",
                            (unsigned long long)max_tokens, (unsigned long long)n_rows);
    }
    fork.description.max_tokens = max_tokens;
    fork.n_given = kit_state_is_windowed(state) ? 0 : n_rows / KIT_BLOCK_ROWS;
    if (status == SY_OK) {
        status = kit_state_measure(state->states, &fork.description, &fork.measures);
    }
    if (status == SY_OK) {
        *out_fork = fork;
    }
    return status;
}

/* The copy of a state with a window has as many blocks as one without others; those that it shares
 * are spares. */
static void share_blocks(sy_state *copy, const sy_state *state, uint64_t n_full) {
    for (uint64_t i = copy->low / KIT_BLOCK_ROWS; i < n_full; i++) {
        kit_block *shared = kit_state_block(state, i);
        if (kit_state_is_windowed(state)) {
            kit_block_lend(shared, kit_state_block(copy, i));
        } else {
            shared->n_states++;
        }
        copy->blocks[i - copy->base] = shared;
    }
}

/* Blocks from `first` on, with all that the copy has of them. */
static sy_status copy_blocks(sy_state *copy, const sy_state *state, uint64_t first) {
    const kit_storage *storage = state->states->storage;
    uint64_t end = kit_blocks_of(copy->high);
    return first < end && copy->low < copy->high
               ? storage->blocks_copy(storage->self, state->blocks + (first - state->base),
                                      copy->blocks + (first - copy->base), end - first)
               : SY_OK;
}

sy_status kit_state_fork(sy_state *state, uint64_t n_rows, uint64_t max_tokens,
                         sy_state **out_state) {
    sy_state *copy = NULL;
    kit_fork fork;
    sy_status status = kit_state_check_fork(state, n_rows, max_tokens, &fork);
    if (status != SY_OK) {
        return status;
    }
    bool shares = kit_state_has_room(state, fork.measures.n_blocks - fork.n_given);
    status = state_make(state->states, &fork.description, shares ? fork.n_given : 0,
                        shares ? state->slab : NULL, &copy);
    if (status != SY_OK) {
        return status;
    }
    uint64_t n_full = n_rows / KIT_BLOCK_ROWS;
    copy->high = n_rows;
    if (kit_state_is_windowed(state)) {
        kit_state_move_to(copy, state->low < n_rows ? state->low : n_rows, n_rows);
    }
    if (shares) {
        share_blocks(copy, state, n_full);
    }
    status = copy_blocks(copy, state, shares ? n_full : copy->low / KIT_BLOCK_ROWS);
    if (status != SY_OK) {
        (void)kit_state_destroy(copy);
        return status;
    }
    if (shares) {
        copy->n_shared = n_full;
        state->n_shared = state->n_shared > n_full ? state->n_shared : n_full;
    }
    *out_state = copy;
    return SY_OK;
}

sy_status kit_state_clone(sy_state *state, uint64_t n_rows, sy_state **out_state) {
    return kit_state_fork(state, n_rows, state->description.max_tokens, out_state);
}

/* ---- the rows of a window ---- */
void kit_state_move_to(sy_state *state, uint64_t low, uint64_t high) {
    uint64_t last = high > 0 ? (high - 1) / KIT_BLOCK_ROWS : 0, n_blocks = state->n_blocks;
    uint64_t least = last >= n_blocks ? last + 1 - n_blocks : 0; /* first block that still fits */
    if (least > state->base) { /* the first blocks become the last ones */
        for (uint64_t i = (least - state->base) % n_blocks; i > 0; i--) {
            kit_block *first = state->blocks[0];
            (void)kit_block_own(first, false, &first);
            memmove(state->blocks, state->blocks + 1, (n_blocks - 1) * sizeof(kit_block *));
            state->blocks[n_blocks - 1] = first;
        }
        state->base = least;
        state->version++;
    } else if (low / KIT_BLOCK_ROWS < state->base) { /* what was there does not count any more */
        for (uint64_t i = 0; i < n_blocks; i++) {
            (void)kit_block_own(state->blocks[i], false, &state->blocks[i]);
        }
        state->n_shared = 0;
        state->base = low / KIT_BLOCK_ROWS > least ? low / KIT_BLOCK_ROWS : least;
        state->version++;
    }
    low = low > state->base * KIT_BLOCK_ROWS ? low : state->base * KIT_BLOCK_ROWS;
    state->low = low < high ? low : high;
    state->high = high;
}

sy_status kit_state_begin_step(sy_state *state, uint64_t n_past, uint64_t n_tokens) {
    uint64_t end = n_past + n_tokens, shared_end = state->n_shared * KIT_BLOCK_ROWS;
    if (n_tokens > 0 && n_past < shared_end) {
        return kit_report(SY_FAILED_PRECONDITION, SY_NO_VALUE,
                          "rows from %llu on are shared up to row %llu: truncate the state first",
                          (unsigned long long)n_past, (unsigned long long)shared_end);
    }
    if (n_tokens > 0 && !kit_state_is_windowed(state)) {
        state->high = end > state->high ? end : state->high;
    }
    if (n_tokens == 0 || !kit_state_is_windowed(state)) {
        return SY_OK;
    }
    uint64_t first = kit_state_first_read(state, n_past);
    uint64_t last = (end - 1) / KIT_BLOCK_ROWS, low = state->low;
    if (last >= state->n_blocks && (last + 1 - state->n_blocks) * KIT_BLOCK_ROWS > low) {
        low = (last + 1 - state->n_blocks) * KIT_BLOCK_ROWS;
    }
    if (first < low) {
        return kit_report(
            SY_FAILED_PRECONDITION, SY_NO_VALUE,
            "a step of %llu rows at %llu reads from row %llu on; rows before %llu were "
            "left behind",
            (unsigned long long)n_tokens, (unsigned long long)n_past, (unsigned long long)first,
            (unsigned long long)low);
    }
    kit_state_move_to(state, state->low, end);
    return SY_OK;
}
