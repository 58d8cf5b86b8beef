/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of segments whose jobs may run beside each other. Memory was planned for one segment
 * after the other, so a segment waits for every earlier one that still uses what it, or a copy made
 * for it, is going to write, and for those that write what it reads. Jobs of one delegate are
 * chained by its own fence. Segments on CPUs are done when they were submitted: nobody waits.
 */
#include "exec/executor_internal.h"

typedef struct range {
    uint64_t first, end;
} range;

static range range_of(const sy_executor *executor, const sy__loaded_phase *phase,
                      uint32_t i_value) {
    sy_value_view view;
    uint64_t first = phase->offsets[i_value];
    uint64_t n_bytes =
        sy_graph_value(executor->graph, i_value, &view) == SY_OK ? view.data.length_bytes : 0;
    return (range){.first = first, .end = first + n_bytes};
}

/* Does a segment touch a range of its arena; written: does it write there? */
static bool touches(const sy_executor *executor, const sy__loaded_phase *phase,
                    const sy__loaded_segment *loaded, range at, bool written) {
    const sy_segment *segment = &loaded->planned->segment;
    for (uint32_t k = 0; k < segment->n_outputs + (written ? 0 : segment->n_inputs); k++) {
        range mine = range_of(executor, phase,
                              k < segment->n_outputs ? segment->outputs[k]
                                                     : segment->inputs[k - segment->n_outputs]);
        if (mine.first < at.end && at.first < mine.end) {
            return true;
        }
    }
    return false;
}

/* The arena that a delegate's jobs reach. */
static uint32_t arena_of(const sy_executor *executor, uint32_t i_delegate) {
    return i_delegate == SY__HOST_SIDE || executor->sides[i_delegate].host ? SY__HOST_SIDE
                                                                           : i_delegate;
}

/* Does a copy write what an earlier segment touches, or read what it writes? */
static bool copies_meet(const sy_executor *executor, const sy__loaded_phase *phase,
                        const sy__loaded_segment *before, const sy__loaded_segment *loaded) {
    uint32_t arena = arena_of(executor, before->planned->i_delegate);
    for (uint32_t k = 0; k < loaded->n_before; k++) {
        const sy__transfer *move = &loaded->before[k];
        range at = range_of(executor, phase, move->i_value);
        if ((arena_of(executor, move->to) == arena &&
             touches(executor, phase, before, at, false)) ||
            (arena_of(executor, move->from) == arena &&
             touches(executor, phase, before, at, true))) {
            return true;
        }
    }
    return false;
}

static bool jobs_meet(const sy_executor *executor, const sy__loaded_phase *phase,
                      const sy__loaded_segment *before, const sy__loaded_segment *loaded) {
    const sy_segment *segment = &loaded->planned->segment;
    if (arena_of(executor, before->planned->i_delegate) !=
        arena_of(executor, loaded->planned->i_delegate)) {
        return false;
    }
    for (uint32_t k = 0; k < segment->n_outputs; k++) {
        if (touches(executor, phase, before, range_of(executor, phase, segment->outputs[k]),
                    false)) {
            return true;
        }
    }
    for (uint32_t k = 0; k < segment->n_inputs; k++) {
        if (touches(executor, phase, before, range_of(executor, phase, segment->inputs[k]), true)) {
            return true;
        }
    }
    return false;
}

static void find_needs(const sy_executor *executor, const sy__loaded_phase *phase,
                       uint32_t i_segment) {
    sy__loaded_segment *loaded = &phase->segments[i_segment];
    loaded->i_before = SY_NO_VALUE;
    for (uint32_t s = 0; s < i_segment; s++) {
        const sy__loaded_segment *before = &phase->segments[s];
        if (!executor->sides[before->planned->i_delegate].is_watched) {
            continue;
        }
        bool is_same = before->planned->i_delegate == loaded->planned->i_delegate;
        if (is_same) {
            loaded->i_before = s;
        }
        if (copies_meet(executor, phase, before, loaded) ||
            (!is_same && jobs_meet(executor, phase, before, loaded))) {
            loaded->needs[loaded->n_needs++] = s;
        }
    }
}

sy_status sy__order_phase(sy_executor *executor, uint32_t i_phase, sy_error *error) {
    sy__loaded_phase *phase = &executor->phases[i_phase];
    uint32_t n_watched = 0;
    for (uint32_t s = 0; s < phase->n_segments; s++) {
        sy__loaded_segment *loaded = &phase->segments[s];
        loaded->needs = sy__arena_alloc(&executor->arena, (size_t)n_watched + 1, sizeof(uint32_t));
        if (loaded->needs == NULL) {
            return sy__no_memory(error, n_watched * sizeof(uint32_t), "the order of segments");
        }
        find_needs(executor, phase, s);
        n_watched += executor->sides[loaded->planned->i_delegate].is_watched;
    }
    return SY_OK;
}
