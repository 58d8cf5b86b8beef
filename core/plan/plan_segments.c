/* SPDX-License-Identifier: Apache-2.0 */
/* From a placement to segments with borders, their prices, totals and the hash. */
#include "plan/plan_internal.h"

#include "base/digest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PRICE_CHANGE 0.01

double sy__plan_way_us(const sy_plan *plan, uint32_t i_phase, uint32_t i_value, uint32_t i_delegate,
                       bool to_host) {
    const sy__placement_link *link = &plan->delegates[i_delegate].link;
    uint64_t n_bytes = sy__plan_value_bytes(plan, i_phase, i_value);
    double latency = (double)(to_host ? link->to_host_latency : link->from_host_latency);
    double per_kib = (double)(to_host ? link->to_host_per_kib : link->from_host_per_kib);
    return (latency + per_kib * (double)n_bytes / 1024.0) * 1e-6;
}

/* Time and bytes of one value's ways in a phase. */
static void add_ways(sy_plan *plan, uint32_t i_phase, uint32_t i_value) {
    sy__phase_plan *phase = &plan->phases[i_phase];
    const sy__placement_value *value = &plan->problem.values[plan->problem_value[i_value]];
    uint64_t n_bytes = sy__plan_value_bytes(plan, i_phase, i_value);
    uint32_t producer = sy_graph_producer(plan->graph, i_value), reached = 0;
    uint32_t from = producer == SY_NO_VALUE ? SY__NONE : phase->device[producer];
    bool on_host = from == SY__NONE || plan->delegates[from].on_host, to_host = value->leaves != 0;
    for (uint32_t c = plan->consumer_first[i_value]; c < plan->consumer_first[i_value + 1u]; c++) {
        uint32_t to = phase->device[plan->consumers[c]];
        to_host = to_host || to != from;
        if (to != from && !plan->delegates[to].on_host && (reached >> to & 1u) == 0) {
            reached |= 1u << to;
            phase->transfer_us += sy__plan_way_us(plan, i_phase, i_value, to, false);
            phase->transfer_bytes += n_bytes;
        }
    }
    if (!on_host && to_host) {
        phase->transfer_us += sy__plan_way_us(plan, i_phase, i_value, from, true);
        phase->transfer_bytes += n_bytes;
    }
}

static void sum_costs(sy_plan *plan, uint32_t i_phase) {
    sy__phase_plan *phase = &plan->phases[i_phase];
    phase->compute_us = phase->launch_us = phase->transfer_us = 0.0;
    phase->transfer_bytes = 0;
    for (uint32_t i = 0; i < plan->n_nodes; i++) {
        const sy__offer *offer = sy__plan_offer(plan, i_phase, i, phase->device[i]);
        phase->compute_us += (double)offer->time_us * (double)offer->scale;
    }
    for (uint32_t s = 0; s < phase->n_segments; s++) {
        phase->launch_us +=
            (double)plan->delegates[phase->segments[s].i_delegate].launch_us[i_phase];
    }
    for (uint32_t v = 0; v < plan->n_values; v++) {
        if (plan->problem_value[v] != SY__NONE) {
            add_ways(plan, i_phase, v);
        }
    }
}

/* Value lists of one segment while it is made. */
typedef struct border {
    uint32_t *inputs, *outputs, *states;
    uint32_t n_inputs, n_outputs, n_states;
    uint32_t *owner;  /* [node] number of its segment + 1 */
    uint32_t *listed; /* [value] number of the newest segment that lists it + 1 */
} border;

static bool leaves_segment(const sy_plan *plan, const border *edge, uint32_t i_value,
                           uint32_t segment) {
    sy_value_view value;
    if (sy_graph_value(plan->graph, i_value, &value) == SY_OK && value.kind == SY_VALUE_OUTPUT) {
        return true;
    }
    for (uint32_t c = plan->consumer_first[i_value]; c < plan->consumer_first[i_value + 1u]; c++) {
        if (edge->owner[plan->consumers[c]] != segment + 1u) {
            return true;
        }
    }
    return false;
}

static void list_value(const sy_plan *plan, border *edge, uint32_t i_value, uint32_t segment) {
    sy_value_view value;
    if (i_value == SY_NO_VALUE || edge->listed[i_value] == segment + 1u ||
        sy_graph_value(plan->graph, i_value, &value) != SY_OK) {
        return;
    }
    uint32_t producer = sy_graph_producer(plan->graph, i_value);
    if (value.kind == SY_VALUE_STATE) {
        edge->states[edge->n_states++] = i_value;
    } else if (value.kind != SY_VALUE_WEIGHT &&
               (producer == SY_NO_VALUE || edge->owner[producer] != segment + 1u)) {
        edge->inputs[edge->n_inputs++] = i_value;
    } else {
        return;
    }
    edge->listed[i_value] = segment + 1u;
}

static void find_border(const sy_plan *plan, border *edge, const uint32_t *nodes, uint32_t n_nodes,
                        uint32_t segment) {
    edge->n_inputs = edge->n_outputs = edge->n_states = 0;
    for (uint32_t k = 0; k < n_nodes; k++) {
        sy_node_view node;
        if (sy_graph_node(plan->graph, nodes[k], &node) != SY_OK) {
            continue;
        }
        for (uint32_t i = 0; i < node.n_inputs; i++) {
            list_value(plan, edge, node.inputs[i], segment);
        }
        for (uint32_t i = 0; i < node.n_outputs; i++) {
            if (leaves_segment(plan, edge, node.outputs[i], segment)) {
                edge->outputs[edge->n_outputs++] = node.outputs[i];
            }
        }
    }
}

static const uint32_t *keep_list(sy_plan *plan, const uint32_t *list, uint32_t n) {
    uint32_t *copy = sy__arena_alloc(&plan->arena, (size_t)n + 1u, sizeof(*copy));
    if (copy != NULL && n > 0) {
        memcpy(copy, list, n * sizeof(*copy));
    }
    return copy;
}

static int compare_nodes(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static bool make_segment(sy_plan *plan, uint32_t i_phase, border *edge, uint32_t first,
                         uint32_t end, uint32_t i_segment) {
    sy__phase_plan *phase = &plan->phases[i_phase];
    sy_plan_segment *planned = &phase->segments[i_segment];
    uint32_t *nodes = sy__arena_alloc(&plan->arena, end - first, sizeof(*nodes));
    if (nodes == NULL) {
        return false;
    }
    uint32_t i_delegate = phase->device[phase->order[first]];
    planned->i_delegate = i_delegate;
    planned->predicted_us = (double)plan->delegates[i_delegate].launch_us[i_phase];
    for (uint32_t k = first; k < end; k++) {
        const sy__offer *offer = sy__plan_offer(plan, i_phase, phase->order[k], i_delegate);
        nodes[k - first] = phase->order[k];
        planned->predicted_us += (double)offer->time_us * (double)offer->scale;
    }
    qsort(nodes, end - first, sizeof(*nodes), compare_nodes);
    find_border(plan, edge, nodes, end - first, i_segment);
    planned->segment = (sy_segment){.header = SY_HEADER_INIT(sy_segment),
                                    .n_nodes = end - first,
                                    .nodes = nodes,
                                    .n_inputs = edge->n_inputs,
                                    .n_outputs = edge->n_outputs,
                                    .n_states = edge->n_states,
                                    .numerics = SY_NUMERICS_DEFAULT};
    planned->segment.options = plan->delegates[i_delegate].delegate->options;
    planned->segment.inputs = keep_list(plan, edge->inputs, edge->n_inputs);
    planned->segment.outputs = keep_list(plan, edge->outputs, edge->n_outputs);
    planned->segment.states = keep_list(plan, edge->states, edge->n_states);
    return planned->segment.inputs != NULL && planned->segment.outputs != NULL &&
           planned->segment.states != NULL;
}

static bool cut_phase(sy_plan *plan, uint32_t i_phase, border *edge) {
    sy__phase_plan *phase = &plan->phases[i_phase];
    uint32_t n = 0;
    for (uint32_t k = 0; k < plan->n_nodes; k++) {
        n += k == 0 || phase->device[phase->order[k]] != phase->device[phase->order[k - 1u]];
        edge->owner[phase->order[k]] = n; /* number + 1 */
    }
    phase->segments = sy__arena_alloc(&plan->arena, (size_t)n + 1u, sizeof(*phase->segments));
    phase->n_segments = n;
    if (phase->segments == NULL) {
        return false;
    }
    memset(edge->listed, 0, plan->n_values * sizeof(*edge->listed));
    for (uint32_t first = 0, i_segment = 0; first < plan->n_nodes; i_segment++) {
        uint32_t end = first + 1u;
        while (end < plan->n_nodes &&
               phase->device[phase->order[end]] == phase->device[phase->order[first]]) {
            end++;
        }
        if (!make_segment(plan, i_phase, edge, first, end, i_segment)) {
            return false;
        }
        first = end;
    }
    return true;
}

static void copy_placement(sy_plan *plan) {
    uint32_t n_placed[SY__LANES_MAX] = {0};
    for (uint32_t k = 0; k < plan->result.n_nodes; k++) {
        uint32_t lane = plan->result.order[k] % plan->n_lanes;
        uint32_t i_node = plan->result.order[k] / plan->n_lanes;
        for (uint32_t p = lane; p < plan->n_phases; p += plan->n_lanes) {
            plan->phases[p].order[n_placed[p]++] = i_node;
            plan->phases[p].device[i_node] = plan->result.device[plan->result.order[k]];
        }
    }
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        plan->delegates[d].n_nodes_run = 0;
    }
    for (uint32_t k = 0; k < plan->result.n_nodes; k++) {
        plan->delegates[plan->result.device[k]].n_nodes_run += plan->n_phases / plan->n_lanes;
    }
    for (uint32_t v = 0; v < plan->n_values; v++) {
        plan->state_delegate[v] = SY_NO_VALUE;
        if (plan->state_group[v] != SY__NONE) {
            plan->state_delegate[v] =
                plan->phases[0].device[plan->consumers[plan->consumer_first[v]]];
        }
    }
}

static uint64_t hash_text(uint64_t hash, const char *text) {
    return sy__fnv1a(hash, text, strlen(text) + 1u);
}

/* Names, not table indexes: the same plan has the same hash when other delegates come or go. */
static uint64_t hash_plan(const sy_plan *plan) {
    uint64_t hash = SY__FNV_START;
    for (uint32_t p = 0; p < plan->n_phases; p++) {
        const sy__phase_plan *phase = &plan->phases[p];
        for (uint32_t s = 0; s < phase->n_segments; s++) {
            const sy_plan_segment *planned = &phase->segments[s];
            const sy_delegate *delegate = plan->delegates[planned->i_delegate].delegate;
            uint32_t head[3] = {p, s, planned->segment.n_nodes};
            hash = sy__fnv1a(hash, head, sizeof(head));
            hash = hash_text(hash_text(hash, delegate->name), delegate->info.id);
            hash = sy__fnv1a(hash, planned->segment.nodes,
                             planned->segment.n_nodes * sizeof(uint32_t));
        }
    }
    return hash;
}

sy_status sy__plan_take_result(sy_plan *plan, sy_error *error) {
    size_t n_values = (size_t)plan->n_values + 1u, n_nodes = (size_t)plan->n_nodes + 1u;
    uint32_t *memory = sy__alloc_array(plan->allocator, n_values * 4u + n_nodes, sizeof(*memory));
    if (memory == NULL) {
        return sy__plan_no_memory(error);
    }
    border edge = {.inputs = memory,
                   .outputs = memory + n_values,
                   .states = memory + 2u * n_values,
                   .listed = memory + 3u * n_values,
                   .owner = memory + 4u * n_values};
    bool done = true;
    copy_placement(plan);
    for (uint32_t p = 0; done && p < plan->n_phases; p++) {
        done = cut_phase(plan, p, &edge);
        if (done) {
            sum_costs(plan, p);
        }
    }
    sy__free_array(plan->allocator, memory, n_values * 4u + n_nodes, sizeof(*memory));
    plan->hash = done ? hash_plan(plan) : 0;
    return done ? SY_OK : sy__plan_no_memory(error);
}

/* Scales the times of a segment's nodes so that they and the launch add up to its price. */
static bool apply_price(sy_plan *plan, uint32_t i_phase, sy_plan_segment *planned,
                        const sy_cost *cost) {
    double launch_us = (double)plan->delegates[planned->i_delegate].launch_us[i_phase];
    double sum_us = planned->predicted_us - launch_us;
    double wanted_us = (double)cost->time_us - launch_us;
    if (!isfinite(cost->time_us) || cost->time_us <= 0.0f || sum_us <= 0.0) {
        return false;
    }
    double factor = fmin(fmax(wanted_us / sum_us, 0.05), 20.0);
    for (uint32_t k = 0; k < planned->segment.n_nodes; k++) {
        sy__offer *offer =
            sy__plan_offer(plan, i_phase, planned->segment.nodes[k], planned->i_delegate);
        offer->scale = (float)fmin(fmax((double)offer->scale * factor, 0.02), 50.0);
    }
    planned->predicted_us = launch_us + sum_us * factor;
    return fabs(factor - 1.0) > PRICE_CHANGE;
}

bool sy__plan_price(sy_plan *plan) {
    bool changed = false;
    for (uint32_t p = 0; p < plan->n_phases; p++) {
        sy_graph_view view;
        sy_graph_view_init(plan->graph, plan->phases[p].phase.phase, plan->phases[p].phase.typical,
                           &view);
        for (uint32_t s = 0; s < plan->phases[p].n_segments; s++) {
            sy_plan_segment *planned = &plan->phases[p].segments[s];
            const sy_delegate *delegate = plan->delegates[planned->i_delegate].delegate;
            sy_cost cost = {.header = SY_HEADER_INIT(sy_cost)};
            if (delegate->plugin->price != NULL &&
                delegate->plugin->price(delegate->device, &view, &planned->segment, &cost) ==
                    SY_OK) {
                changed = apply_price(plan, p, planned, &cost) || changed;
            }
        }
        sum_costs(plan, p);
    }
    return changed;
}
