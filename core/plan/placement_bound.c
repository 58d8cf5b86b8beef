/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounds from below that hold for every order. Any order runs the nodes of a path one after the
 * other, so it has at least as many launches of each device as the path has runs of it.
 *   search  the exact search with launches counted along the longest path only: then the order does
 *           not matter and the problem's own will do; tight on graphs that are nearly chains
 *   paths   the nodes are split into paths that share no node; each path pays compute, launches
 *           (the first one) and the transfers along its own edges; always cheap
 */
#include "plan/placement_internal.h"

#include <string.h>

typedef struct path_run {
    const sy__placement *placement;
    const sy__time_ps *time;
    uint32_t *length, *next, *path; /* [node] */
    uint8_t *used;                  /* [node] on some path already */
} path_run;

/* Finds the longest path of a lane among unused nodes, ties by node number; writes it in order. */
static uint32_t longest_path(const path_run *run, uint32_t lane) {
    const sy__placement *placement = run->placement;
    uint32_t best = SY__NONE, n = 0;
    for (uint32_t i = placement->n; i-- > 0;) {
        if (placement->problem->node_lane[i] != lane || run->used[i]) {
            continue;
        }
        run->length[i] = 1;
        run->next[i] = SY__NONE;
        for (uint32_t e = placement->after_first[i]; e < placement->after_first[i + 1]; e++) {
            uint32_t after = placement->after[e];
            if (!run->used[after] && run->length[after] + 1u > run->length[i]) {
                run->length[i] = run->length[after] + 1u;
                run->next[i] = after;
            }
        }
        if (best == SY__NONE || run->length[i] >= run->length[best]) {
            best = i;
        }
    }
    for (uint32_t i = best; i != SY__NONE; i = run->next[i]) {
        run->path[n++] = i;
    }
    return n;
}

/* Least cost of what `from` makes for `to` when they are on these devices. */
static sy__time_ps edge_cost(const sy__placement *placement, uint32_t from, uint32_t to,
                             uint32_t from_device, uint32_t to_device) {
    sy__time_ps sum = 0;
    for (uint32_t i = placement->input_first[to]; i < placement->input_first[to + 1]; i++) {
        uint32_t value = placement->inputs[i];
        if (placement->problem->values[value].producer == from) {
            uint32_t places = sy__place_of(placement, from_device);
            uint32_t place = sy__place_of(placement, to_device);
            sum = sy__time_add(sum, sy__placement_bring(placement, value, place, &places));
        }
    }
    return sum;
}

static sy__time_ps path_cost(const path_run *run, uint32_t lane, uint32_t n, bool with_launches) {
    const sy__placement *placement = run->placement;
    uint32_t n_devices = placement->n_devices;
    sy__time_ps before[SY_LIMIT_DELEGATES] = {0}, now[SY_LIMIT_DELEGATES];
    for (uint32_t k = 0; k < n; k++) {
        for (uint32_t d = 0; d < n_devices; d++) {
            sy__time_ps launch =
                with_launches ? placement->launch[(size_t)lane * n_devices + d] : 0;
            now[d] = k == 0 ? launch : SY__FOREVER;
            for (uint32_t e = 0; k > 0 && e < n_devices; e++) {
                sy__time_ps edge = edge_cost(placement, run->path[k - 1], run->path[k], e, d);
                sy__time_ps sum = sy__time_add(sy__time_add(before[e], edge), d == e ? 0 : launch);
                now[d] = sum < now[d] ? sum : now[d];
            }
            now[d] = sy__time_add(now[d], run->time[(size_t)run->path[k] * n_devices + d]);
        }
        memcpy(before, now, sizeof(before));
    }
    sy__time_ps least = SY__FOREVER;
    for (uint32_t d = 0; d < n_devices; d++) {
        least = before[d] < least ? before[d] : least;
    }
    return least;
}

/* Covers each lane by paths; marks the first of each in on_path. Long covers end early: single
 * nodes cost their least time, whatever path they are on. */
static sy__time_ps cover_by_paths(path_run *run, uint8_t *on_path) {
    const sy__placement *placement = run->placement;
    uint32_t n_devices = placement->n_devices;
    sy__time_ps sum = 0;
    for (uint32_t lane = 0; lane < placement->problem->n_lanes; lane++) {
        for (uint32_t i_path = 0; i_path < 64; i_path++) {
            uint32_t n = longest_path(run, lane);
            if (n == 0 || (n == 1 && i_path > 0)) {
                break;
            }
            sum = sy__time_add(sum, path_cost(run, lane, n, i_path == 0));
            for (uint32_t k = 0; k < n; k++) {
                run->used[run->path[k]] = 1;
                on_path[run->path[k]] = i_path == 0;
            }
        }
    }
    for (uint32_t i = 0; i < placement->n; i++) {
        sy__time_ps least = SY__FOREVER;
        for (uint32_t d = 0; d < n_devices && !run->used[i]; d++) {
            sy__time_ps here = run->time[(size_t)i * n_devices + d];
            least = here < least ? here : least;
        }
        sum = run->used[i] ? sum : sy__time_add(sum, least);
    }
    return sum;
}

bool sy__bound_run(const sy__placement *placement, const sy__time_ps *time, uint64_t max_states,
                   uint8_t *out_device, bool *out_found, sy__time_ps *out_bound,
                   uint64_t *inout_states) {
    size_t n = placement->n;
    uint32_t *memory = sy__alloc_array(placement->allocator, n * 4u, sizeof(*memory));
    uint8_t *marks = sy__alloc_array(placement->allocator, n * 2u, 1);
    bool done = memory != NULL && marks != NULL;
    if (done) {
        path_run run = {.placement = placement,
                        .time = time,
                        .length = memory,
                        .next = memory + n,
                        .path = memory + 2u * n,
                        .used = marks + n};
        sy__time_ps paths = cover_by_paths(&run, marks);
        sy__search_request request = {.time = time,
                                      .window = 1,
                                      .max_states = max_states,
                                      .upper_bound = SY__FOREVER,
                                      .on_path = marks};
        sy__search_answer answer = {false, false, SY__FOREVER, 0};
        done = sy__search_run(placement, &request, out_device, memory + 3u * n, &answer);
        *inout_states += answer.n_states;
        *out_found = answer.found;
        *out_bound = answer.found && answer.complete && answer.total > paths ? answer.total : paths;
    }
    sy__free_array(placement->allocator, memory, n * 4u, sizeof(*memory));
    sy__free_array(placement->allocator, marks, n * 2u, 1);
    return done;
}
