/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One search, layer by layer: layer k holds the states with k nodes done. It is exact as long as
 * nothing is cut: equal states keep the cheaper one, a state is dropped when another of its layer
 * could do the same for no more, or when it cannot get below the bound. A beam width turns it into
 * a beam search. Lanes do not touch each other's order, so the lane of each step is given.
 */
#include "plan/placement_states.h"

#include <stdlib.h>
#include <string.h>

/* Wide graphs have long states: the limit is on their words as well, this many a state. */
#define STATE_WORDS 12u

typedef struct trace_step {
    uint32_t parent, node;
    uint8_t device;
} trace_step;

typedef struct scored {
    sy__time_ps score;
    uint32_t i_state;
} scored;

typedef struct search_run {
    const sy__placement *placement;
    const sy__search_request *request;
    sy__expander expander;
    sy__layer layers[2];
    sy__layer leaders; /* the cheapest state of each set of done nodes */
    trace_step *trace;
    size_t n_trace, trace_capacity;
    scored *scores;
    size_t score_capacity;
    uint64_t n_states, n_words;
    bool cut, overflow;
} search_run;

static bool add_step(search_run *run, const sy__layer *from, const sy__state *state, sy__layer *to,
                     uint32_t node, uint32_t device) {
    uint32_t n_words = 0;
    sy__time_ps added = sy__expand(&run->expander, from->words + state->i_word, state->n_words,
                                   node, device, &n_words);
    if (added >= SY__FOREVER) {
        return true;
    }
    sy__state next = {.cost = sy__time_add(state->cost, added),
                      .rest = state->rest - run->expander.node_min[node],
                      .n_words = n_words,
                      .parent = state->parent,
                      .node = node,
                      .device = (uint8_t)device};
    if (next.cost >= SY__FOREVER ||
        sy__time_add(next.cost, next.rest) >= run->request->upper_bound) {
        return true;
    }
    return sy__layer_add(to, run->expander.scratch, &next);
}

static bool expand_state(search_run *run, const sy__layer *from, const sy__state *state,
                         uint32_t lane, sy__layer *to) {
    const sy__placement *placement = run->placement;
    const uint64_t *words = from->words + state->i_word;
    uint32_t first = placement->lane_first[lane] + sy__state_first(words, lane);
    uint32_t end = placement->lane_first[lane + 1];
    end = end - first > run->request->window ? first + run->request->window : end;
    for (uint32_t i = first; i < end; i++) {
        uint32_t node = placement->lane_nodes[i];
        if (i != first && !sy__state_ready(placement, words, node)) {
            continue;
        }
        for (uint32_t d = 0; d < placement->n_devices; d++) {
            if (!add_step(run, from, state, to, node, d)) {
                return false;
            }
        }
    }
    return true;
}

/* The key of the set of done nodes: the lane words without the last devices. */
static uint32_t done_words(const search_run *run, const uint64_t *words, uint64_t *out_words) {
    uint32_t n = 2u * run->placement->problem->n_lanes;
    memcpy(out_words, words, n * sizeof(*words));
    for (uint32_t i = 0; i < n; i += 2) {
        out_words[i] = (uint32_t)out_words[i];
    }
    return n;
}

/* Drops states that the cheapest state with the same nodes done can follow for no more. */
static bool drop_dominated(search_run *run, sy__layer *layer) {
    uint64_t key[2u * SY__LANES_MAX];
    sy__layer_clear(&run->leaders);
    for (size_t i = 0; i < layer->n_states; i++) {
        const sy__state *state = &layer->states[i];
        sy__state leader = {.cost = state->cost, .parent = (uint32_t)i};
        leader.n_words = done_words(run, layer->words + state->i_word, key);
        if (!sy__layer_add(&run->leaders, key, &leader)) {
            return false;
        }
    }
    for (size_t i = 0; i < layer->n_states; i++) {
        sy__state *state = &layer->states[i];
        const uint64_t *words = layer->words + state->i_word;
        uint32_t n_key = done_words(run, words, key);
        uint32_t i_leader = run->leaders.states[sy__layer_find(&run->leaders, key, n_key)].parent;
        const sy__state *leader = &layer->states[i_leader];
        if (i_leader == i) {
            continue;
        }
        sy__time_ps distance = sy__state_distance(&run->expander, layer->words + leader->i_word,
                                                  leader->n_words, words, state->n_words);
        state->dropped = sy__time_add(leader->cost, distance) <= state->cost;
    }
    return true;
}

static int compare_scores(const void *left, const void *right) {
    const scored *a = left, *b = right;
    if (a->score != b->score) {
        return a->score < b->score ? -1 : 1;
    }
    return a->i_state < b->i_state ? -1 : a->i_state > b->i_state;
}

static bool keep_beam(search_run *run, sy__layer *layer) {
    void *scores = run->scores;
    if (!sy__grow_array(run->placement->allocator, &scores, &run->score_capacity, layer->n_states,
                        sizeof(*run->scores))) {
        return false;
    }
    run->scores = scores;
    size_t n_alive = 0;
    for (size_t i = 0; i < layer->n_states; i++) {
        if (!layer->states[i].dropped) {
            run->scores[n_alive].score = layer->states[i].cost + layer->states[i].rest;
            run->scores[n_alive++].i_state = (uint32_t)i;
        }
    }
    if (n_alive <= run->request->beam_width) {
        return true;
    }
    run->cut = true;
    qsort(run->scores, n_alive, sizeof(*run->scores), compare_scores);
    for (size_t i = run->request->beam_width; i < n_alive; i++) {
        layer->states[run->scores[i].i_state].dropped = true;
    }
    return true;
}

/* Writes the layer's states into the trace; from here `parent` is a state's own trace number. */
static bool record(search_run *run, sy__layer *layer) {
    void *trace = run->trace;
    if (!sy__grow_array(run->placement->allocator, &trace, &run->trace_capacity,
                        run->n_trace + layer->n_states, sizeof(*run->trace))) {
        return false;
    }
    run->trace = trace;
    for (size_t i = 0; i < layer->n_states; i++) {
        sy__state *state = &layer->states[i];
        if (state->dropped) {
            continue;
        }
        trace_step step = {state->parent, state->node, state->device};
        run->trace[run->n_trace] = step;
        state->parent = (uint32_t)run->n_trace++;
    }
    return true;
}

static bool step(search_run *run, uint32_t lane, const sy__layer *from, sy__layer *to) {
    sy__layer_clear(to);
    for (size_t i = 0; i < from->n_states && !run->overflow; i++) {
        if (!from->states[i].dropped && !expand_state(run, from, &from->states[i], lane, to)) {
            return false;
        }
        run->overflow = run->request->beam_width == 0 &&
                        (run->n_states + to->n_states > run->request->max_states ||
                         run->n_words + to->n_words > run->request->max_states * STATE_WORDS);
    }
    run->n_states += to->n_states;
    run->n_words += to->n_words;
    if (run->overflow) {
        return true;
    }
    return drop_dominated(run, to) && (run->request->beam_width == 0 || keep_beam(run, to)) &&
           record(run, to);
}

static void read_answer(const search_run *run, const sy__layer *layer, uint8_t *out_device,
                        uint32_t *out_order, sy__search_answer *out_answer) {
    const sy__state *best = NULL;
    for (size_t i = 0; i < layer->n_states; i++) {
        const sy__state *state = &layer->states[i];
        if (!state->dropped && (best == NULL || state->cost < best->cost)) {
            best = state;
        }
    }
    out_answer->found = best != NULL && !run->overflow;
    out_answer->complete = !run->cut && !run->overflow;
    out_answer->total = out_answer->found ? best->cost : SY__FOREVER;
    out_answer->n_states = run->n_states;
    if (!out_answer->found) {
        return;
    }
    uint32_t at = best->parent;
    for (uint32_t k = run->placement->n; k-- > 0;) {
        out_order[k] = run->trace[at].node;
        out_device[run->trace[at].node] = run->trace[at].device;
        at = run->trace[at].parent;
    }
}

static bool run_layers(search_run *run, uint8_t *out_device, uint32_t *out_order,
                       sy__search_answer *out_answer) {
    sy__state start = {.cost = run->expander.start_cost,
                       .rest = run->expander.start_rest,
                       .n_words = run->expander.n_start,
                       .parent = SY__NONE};
    if (!sy__layer_add(&run->layers[0], run->expander.start, &start)) {
        return false;
    }
    uint32_t i_layer = 0;
    for (uint32_t k = 0; k < run->placement->n && !run->overflow; k++, i_layer ^= 1u) {
        uint32_t lane = run->placement->problem->node_lane[k];
        if (!step(run, lane, &run->layers[i_layer], &run->layers[i_layer ^ 1u])) {
            return false;
        }
    }
    read_answer(run, &run->layers[i_layer], out_device, out_order, out_answer);
    return true;
}

bool sy__search_run(const sy__placement *placement, const sy__search_request *request,
                    uint8_t *out_device, uint32_t *out_order, sy__search_answer *out_answer) {
    const sy_allocator *allocator = placement->allocator;
    search_run run;
    memset(&run, 0, sizeof(run));
    run.placement = placement;
    run.request = request;
    sy__layer_init(&run.layers[0], allocator);
    sy__layer_init(&run.layers[1], allocator);
    sy__layer_init(&run.leaders, allocator);
    bool done = sy__expander_init(&run.expander, placement, request->time, request->on_path,
                                  request->track_budgets);
    if (done) {
        done = run_layers(&run, out_device, out_order, out_answer);
        sy__expander_deinit(&run.expander);
    }
    sy__layer_deinit(&run.layers[0]);
    sy__layer_deinit(&run.layers[1]);
    sy__layer_deinit(&run.leaders);
    sy__free_array(allocator, run.trace, run.trace_capacity, sizeof(*run.trace));
    sy__free_array(allocator, run.scores, run.score_capacity, sizeof(*run.scores));
    return done;
}
