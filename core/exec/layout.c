/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where values lie between segments. Every value that crosses a segment border gets one offset that
 * is the same in the host arena and in every delegate's own arena, so one memory plan a phase is
 * enough. A walk over the segments then finds the copies: a value is valid on the host, on some
 * delegates, or both.
 */
#include "base/checked.h"
#include "exec/executor_internal.h"
#include "plan/memory_plan.h"

#include <string.h>

#define ALIGNMENT_LEAST 256u /* what most devices ask of bound offsets, and four lines of caches */

typedef struct walk {
    sy_executor *executor;
    sy__loaded_phase *phase;
    uint32_t *valid;    /* per value: bit 31 host, bit d delegate d */
    uint32_t i_segment; /* that transfers are added for */
    sy__transfer *list;
    size_t n_list, capacity;
} walk;

#define VALID_HOST 0x80000000u

static void touch(sy__lifetime *ranges, bool *used, const uint32_t *values, uint32_t n,
                  uint32_t i_segment) {
    for (uint32_t k = 0; k < n; k++) {
        sy__lifetime *range = &ranges[values[k]];
        if (!used[values[k]]) {
            used[values[k]] = true;
            range->first = i_segment;
            range->last = i_segment;
        }
        range->first = i_segment < range->first ? i_segment : range->first;
        range->last = i_segment > range->last ? i_segment : range->last;
    }
}

/* Lifetimes of all crossing values in units of segments. Graph inputs live from the start, results
 * to the end. */
static void find_lifetimes(const sy_executor *executor, uint32_t i_phase, sy__lifetime *ranges,
                           bool *used) {
    uint32_t n_segments = sy_plan_n_segments(executor->plan, i_phase);
    for (uint32_t s = 0; s < n_segments; s++) {
        const sy_segment *segment = &sy_plan_segment_at(executor->plan, i_phase, s)->segment;
        touch(ranges, used, segment->inputs, segment->n_inputs, s);
        touch(ranges, used, segment->outputs, segment->n_outputs, s);
    }
    uint32_t n_values = sy_graph_n_values(executor->graph);
    for (uint32_t v = 0; v < n_values; v++) {
        sy_value_view view;
        if (!used[v] || sy_graph_value(executor->graph, v, &view) != SY_OK) {
            continue;
        }
        ranges[v].n_bytes = view.data.length_bytes;
        if (view.kind == SY_VALUE_INPUT) {
            ranges[v].first = 0;
        }
        if (view.kind == SY_VALUE_OUTPUT) {
            ranges[v].last = n_segments;
        }
    }
}

/* An offset is the same for all delegates: it suits the one that asks for most. */
static uint64_t offset_alignment(const sy_executor *executor) {
    uint32_t most = ALIGNMENT_LEAST;
    for (uint32_t d = 0; d < SY_LIMIT_DELEGATES; d++) {
        if (executor->sides[d].in_use) {
            uint32_t own = sy_runtime_delegate(executor->runtime, d)->info.alignment_bytes;
            most = own > most ? own : most;
        }
    }
    return most;
}

static sy_status place_values(sy_executor *executor, uint32_t i_phase, sy_error *error) {
    sy__loaded_phase *phase = &executor->phases[i_phase];
    size_t n_values = sy_graph_n_values(executor->graph);
    sy__lifetime *ranges = sy__alloc_array(executor->allocator, n_values, sizeof(*ranges));
    bool *used = sy__alloc_array(executor->allocator, n_values, sizeof(*used));
    phase->offsets = sy__arena_alloc(&executor->arena, n_values + 1, sizeof(uint64_t));
    sy_status status = SY_OK;
    if (ranges == NULL || used == NULL || phase->offsets == NULL) {
        status = sy__no_memory(error, n_values * sizeof(*ranges), "the memory plan");
    } else {
        find_lifetimes(executor, i_phase, ranges, used);
        status = sy__memory_plan(executor->allocator, ranges, n_values, offset_alignment(executor),
                                 &phase->arena_bytes, error);
    }
    for (size_t v = 0; status == SY_OK && v < n_values; v++) {
        phase->offsets[v] = used[v] ? ranges[v].offset_bytes : UINT64_MAX;
    }
    sy__free_array(executor->allocator, used, n_values, sizeof(*used));
    sy__free_array(executor->allocator, ranges, n_values, sizeof(*ranges));
    return status;
}

static sy_status add_transfer(walk *w, uint32_t i_value, uint32_t from, uint32_t to,
                              sy_error *error) {
    void *list = w->list;
    if (!sy__grow_array(w->executor->allocator, &list, &w->capacity, w->n_list + 1,
                        sizeof(sy__transfer))) {
        return sy__no_memory(error, sizeof(sy__transfer), "the list of transfers");
    }
    w->list = list;
    w->list[w->n_list++] =
        (sy__transfer){.i_value = i_value, .from = from, .to = to, .i_segment = w->i_segment};
    return SY_OK;
}

static sy_status bring_to_host(walk *w, uint32_t i_value, sy_error *error) {
    uint32_t valid = w->valid[i_value];
    if ((valid & VALID_HOST) != 0 || valid == 0) {
        return SY_OK; /* valid == 0: made by nobody before; verification refused that already */
    }
    w->valid[i_value] |= VALID_HOST;
    return add_transfer(w, i_value, (uint32_t)__builtin_ctz(valid), SY__HOST_SIDE, error);
}

static sy_status bring_inputs(walk *w, const sy_plan_segment *planned, sy_error *error) {
    const sy__side *side = &w->executor->sides[planned->i_delegate];
    uint32_t bit = 1u << planned->i_delegate;
    for (uint32_t k = 0; k < planned->segment.n_inputs; k++) {
        uint32_t i_value = planned->segment.inputs[k];
        if (!side->host && (w->valid[i_value] & bit) != 0) {
            continue;
        }
        sy_status status = bring_to_host(w, i_value, error);
        if (status == SY_OK && !side->host) {
            status = add_transfer(w, i_value, SY__HOST_SIDE, planned->i_delegate, error);
            w->valid[i_value] |= bit;
        }
        if (status != SY_OK) {
            return status;
        }
    }
    for (uint32_t k = 0; k < planned->segment.n_outputs; k++) {
        w->valid[planned->segment.outputs[k]] = side->host ? VALID_HOST : bit;
    }
    return SY_OK;
}

/* Moves the collected list into the executor's arena. */
static sy_status keep_list(walk *w, sy__transfer **out_list, uint32_t *out_n, sy_error *error) {
    *out_n = (uint32_t)w->n_list;
    *out_list = sy__arena_alloc(&w->executor->arena, w->n_list + 1, sizeof(sy__transfer));
    if (*out_list == NULL) {
        return sy__no_memory(error, w->n_list * sizeof(sy__transfer), "the list of transfers");
    }
    if (w->n_list > 0) {
        memcpy(*out_list, w->list, w->n_list * sizeof(sy__transfer));
    }
    w->n_list = 0;
    return SY_OK;
}

static uint32_t maker_of(const walk *w, uint32_t i_value) {
    for (uint32_t s = 0; s < w->phase->n_segments; s++) {
        const sy_segment *segment = &w->phase->segments[s].planned->segment;
        for (uint32_t k = 0; k < segment->n_outputs; k++) {
            if (segment->outputs[k] == i_value) {
                return s;
            }
        }
    }
    return 0; /* an input of the graph, which is on the host already */
}

static sy_status walk_segments(walk *w, sy_error *error) {
    sy_executor *executor = w->executor;
    for (uint32_t k = 0; k < executor->n_inputs; k++) {
        w->valid[executor->inputs[k]] = VALID_HOST;
    }
    for (uint32_t s = 0; s < w->phase->n_segments; s++) {
        sy__loaded_segment *segment = &w->phase->segments[s];
        w->i_segment = s;
        sy_status status = bring_inputs(w, segment->planned, error);
        if (status == SY_OK) {
            status = keep_list(w, &segment->before, &segment->n_before, error);
        }
        if (status != SY_OK) {
            return status;
        }
    }
    uint32_t n_values = sy_graph_n_values(executor->graph);
    for (uint32_t v = 0; v < n_values; v++) {
        sy_value_view view;
        if (sy_graph_value(executor->graph, v, &view) == SY_OK && view.kind == SY_VALUE_OUTPUT) {
            w->i_segment = maker_of(w, v);
            sy_status status = bring_to_host(w, v, error);
            if (status != SY_OK) {
                return status;
            }
        }
    }
    return keep_list(w, &w->phase->after, &w->phase->n_after, error);
}

sy_status sy__layout_phase(sy_executor *executor, uint32_t i_phase, sy_error *error) {
    sy_status status = place_values(executor, i_phase, error);
    if (status != SY_OK) {
        return status;
    }
    size_t n_values = sy_graph_n_values(executor->graph);
    walk w = {.executor = executor, .phase = &executor->phases[i_phase]};
    w.valid = sy__alloc_array(executor->allocator, n_values, sizeof(uint32_t));
    status = w.valid != NULL ? walk_segments(&w, error)
                             : sy__no_memory(error, n_values * sizeof(uint32_t), "the memory plan");
    sy__free_array(executor->allocator, w.list, w.capacity, sizeof(sy__transfer));
    sy__free_array(executor->allocator, w.valid, n_values, sizeof(uint32_t));
    return status;
}
