/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States of the placement search. A state is what the rest of a plan can depend on, written as a
 * row of 64-bit words that is equal exactly when the state is:
 *   per lane   first node not done | last device + 1 << 32;  bits of the nodes done after it
 *   budgets    bytes charged so far, when budgets are tracked
 *   entries    id << 32 | data, ascending: live values (places that hold it),
 *              open groups (device), open weights (devices that are charged)
 */
#ifndef SY_PLAN_PLACEMENT_STATES_H
#define SY_PLAN_PLACEMENT_STATES_H

#include "plan/placement_internal.h"

typedef struct sy__state {
    sy__time_ps cost; /* so far */
    sy__time_ps rest; /* at least this is still to come */
    size_t i_word;
    uint32_t n_words;
    uint32_t parent; /* in the trace */
    uint32_t node;   /* the step that led here */
    uint8_t device;
    bool dropped;
} sy__state;

/* All states with equally many nodes done. Index by equality of words. */
typedef struct sy__layer {
    const sy_allocator *allocator;
    uint64_t *words;
    size_t n_words, word_capacity;
    sy__state *states;
    size_t n_states, state_capacity;
    uint32_t *slots; /* state number + 1, open addressing */
    size_t n_slots;
} sy__layer;

void sy__layer_init(sy__layer *layer, const sy_allocator *allocator);
void sy__layer_deinit(sy__layer *layer);
void sy__layer_clear(sy__layer *layer);
/* Adds a state, or lowers the cost of the equal one that is there. False: memory refused. */
SY_MUST_CHECK bool sy__layer_add(sy__layer *layer, const uint64_t *words, const sy__state *state);
/* Number of the state with these words, or SY__NONE. */
uint32_t sy__layer_find(const sy__layer *layer, const uint64_t *words, uint32_t n_words);

/* Makes states out of states. */
typedef struct sy__expander {
    const sy__placement *placement;
    const sy__time_ps *time;
    const uint8_t *on_path;
    bool track_budgets;
    uint32_t n_fixed; /* words before the entries */
    size_t max_words;
    sy__time_ps *node_min; /* [node] least time over devices */
    uint64_t *start, *scratch;
    uint32_t n_start;
    sy__time_ps start_cost, start_rest;
} sy__expander;

SY_MUST_CHECK bool sy__expander_init(sy__expander *expander, const sy__placement *placement,
                                     const sy__time_ps *time, const uint8_t *on_path,
                                     bool track_budgets);
void sy__expander_deinit(sy__expander *expander);

/* Runs node on device after the state `words`. Writes the new state to expander->scratch and
 * answers the time this adds, SY__FOREVER when it is not allowed. */
sy__time_ps sy__expand(sy__expander *expander, const uint64_t *words, uint32_t n_words,
                       uint32_t node, uint32_t device, uint32_t *out_n_words);

/* First node of a lane that is not done, as a position in the lane. */
static inline uint32_t sy__state_first(const uint64_t *words, uint32_t lane) {
    return (uint32_t)words[2u * lane];
}
/* True when all nodes that must come before `node` are done and it is not. */
bool sy__state_ready(const sy__placement *placement, const uint64_t *words, uint32_t node);

/* What it costs at most to continue from state `a` as `b` would: b may be dropped when
 * cost(a) + this <= cost(b). SY__FOREVER when they cannot be compared. */
sy__time_ps sy__state_distance(const sy__expander *expander, const uint64_t *a, uint32_t n_a,
                               const uint64_t *b, uint32_t n_b);

#endif
