/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/executor_internal.h"

#include "base/checked.h"
#include "switchyard/types.h"

#include <string.h>

#define EXECUTOR_ARENA_CHUNK_BYTES (32u << 10)

/* Indexes of all values of one kind. */
static sy_status list_values(sy_executor *executor, sy_value_kind kind, uint32_t **out_list,
                             uint32_t *out_n, sy_error *error) {
    uint32_t n_values = sy_graph_n_values(executor->graph), n = 0;
    uint32_t *list = sy__arena_alloc(&executor->arena, (size_t)n_values + 1, sizeof(uint32_t));
    if (list == NULL) {
        return sy__no_memory(error, n_values * sizeof(uint32_t), "the executor");
    }
    for (uint32_t v = 0; v < n_values; v++) {
        sy_value_view view;
        if (sy_graph_value(executor->graph, v, &view) == SY_OK && view.kind == kind) {
            list[n++] = v;
        }
    }
    *out_list = list;
    *out_n = n;
    return SY_OK;
}

static sy_status use_side(sy_executor *executor, uint32_t i_delegate, sy_error *error) {
    sy__side *side = &executor->sides[i_delegate];
    const sy_delegate *delegate = sy_runtime_delegate(executor->runtime, i_delegate);
    if (!side->in_use) {
        sy_status status = sy__fence_create(executor->runtime, &side->fence, error);
        if (status != SY_OK) {
            return status;
        }
        sy__record_count_users(executor->runtime, i_delegate, 1);
        side->epoch = sy__delegate_epoch(delegate);
        side->is_watched = delegate->info.device_class != SY_DEVICE_CPU;
    }
    side->in_use = true;
    side->host = (delegate->info.memory_in & SY_MEMORY_BIT(SY_MEMORY_HOST)) != 0 &&
                 delegate->plugin->buffer_import != NULL;
    if (!side->host &&
        (delegate->plugin->buffer_map == NULL || delegate->plugin->buffer_unmap == NULL)) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "Delegate '%s' takes no host memory and offers no buffer_map, so no "
                            "data can reach it.",
                            delegate->name);
    }
    return SY_OK;
}

static sy_status make_phase(sy_executor *executor, uint32_t i_phase, sy_error *error) {
    sy__loaded_phase *phase = &executor->phases[i_phase];
    uint32_t n = sy_plan_n_segments(executor->plan, i_phase);
    phase->segments = sy__arena_alloc(&executor->arena, (size_t)n + 1, sizeof(sy__loaded_segment));
    if (phase->segments == NULL) {
        return sy__no_memory(error, n * sizeof(sy__loaded_segment), "the executor");
    }
    phase->n_segments = n;
    if (executor->options.profile != 0) {
        size_t n_nodes = sy_graph_n_nodes(executor->graph);
        phase->node_ns = sy__arena_alloc(&executor->arena, n_nodes + 1, sizeof(uint64_t));
        if (phase->node_ns == NULL) {
            return sy__no_memory(error, n_nodes * sizeof(uint64_t), "the profile");
        }
    }
    for (uint32_t s = 0; s < n; s++) {
        phase->segments[s].planned = sy_plan_segment_at(executor->plan, i_phase, s);
        sy_status status = use_side(executor, phase->segments[s].planned->i_delegate, error);
        if (status != SY_OK) {
            return status;
        }
    }
    sy_status status = sy__layout_phase(executor, i_phase, error);
    if (status == SY_OK) {
        status = sy__order_phase(executor, i_phase, error);
    }
    return status == SY_OK ? sy__results_find(executor, i_phase, error) : status;
}

static sy_status build(sy_executor *executor, sy_error *error) {
    executor->failed = sy__arena_alloc(&executor->arena, 1, sizeof(sy__failed));
    if (executor->failed == NULL) {
        return sy__no_memory(error, sizeof(sy__failed), "the executor");
    }
    sy_status status =
        list_values(executor, SY_VALUE_INPUT, &executor->inputs, &executor->n_inputs, error);
    if (status == SY_OK) {
        status =
            list_values(executor, SY_VALUE_OUTPUT, &executor->outputs, &executor->n_outputs, error);
    }
    if (status == SY_OK) {
        status = list_values(executor, SY_VALUE_STATE, &executor->state_values, &executor->n_states,
                             error);
    }
    if (status == SY_OK) {
        status = sy__describe_states(executor, error);
    }
    status = status == SY_OK ? sy__dropping_prepare(executor, error) : status;
    if (status != SY_OK) {
        return status;
    }
    uint32_t n_phases = sy_plan_n_phases(executor->plan);
    executor->phases = sy__arena_alloc(&executor->arena, n_phases, sizeof(sy__loaded_phase));
    executor->sequences =
        sy__arena_alloc(&executor->arena, executor->options.n_sequences_max, sizeof(sy_sequence));
    if (executor->phases == NULL || executor->sequences == NULL) {
        return sy__no_memory(error, 0, "the executor");
    }
    executor->n_phases = n_phases;
    for (uint32_t p = 0; status == SY_OK && p < n_phases; p++) {
        status = make_phase(executor, p, error);
    }
    if (status == SY_OK) {
        status = sy__load_all(executor, error);
    }
    return status == SY_OK ? sy__adapters_prepare(executor, error) : status;
}

sy_status sy_executor_create(const sy_plan *plan, const sy_executor_options *options,
                             sy_executor **out_executor, sy_error *error) {
    sy_runtime *runtime = sy_plan_runtime(plan);
    const sy_allocator *allocator = sy_runtime_allocator(runtime);
    sy_executor *executor = SY__NEW(allocator, sy_executor);
    if (executor == NULL) {
        return sy__no_memory(error, sizeof(*executor), "an executor");
    }
    executor->allocator = allocator;
    executor->runtime = runtime;
    executor->plan = plan;
    executor->graph = sy_plan_graph(plan);
    executor->i_phase_done = SY_NO_VALUE;
    sy__arena_init(&executor->arena, allocator, EXECUTOR_ARENA_CHUNK_BYTES);
    if (options != NULL) {
        executor->options = *options;
    }
    if (executor->options.n_sequences_max == 0) {
        executor->options.n_sequences_max = 1;
    }
    sy_status status = SY_OK;
    if (executor->options.n_sequences_max > SY_LIMIT_SEQUENCES) {
        status = sy_error_set(error, SY_OUT_OF_RANGE, "A step takes at most %u sequences.",
                              SY_LIMIT_SEQUENCES);
    }
    status = status == SY_OK ? build(executor, error) : status;
    if (status != SY_OK) {
        sy_executor_destroy(executor);
        return status;
    }
    *out_executor = executor;
    return SY_OK;
}

/* Handles that a hanging job could still reach. */
static void free_orphans(sy_executor *executor) {
    for (size_t i = 0; i < executor->n_orphans; i++) {
        const sy__orphan *orphan = &executor->orphans[i];
        const sy_plugin *plugin =
            sy_runtime_delegate(executor->runtime, orphan->i_delegate)->plugin;
        if (orphan->state != NULL) {
            plugin->state_destroy(orphan->state);
        }
        if (orphan->weights != NULL) {
            plugin->adapter_destroy(orphan->weights);
        }
    }
    sy__free_array(executor->allocator, executor->orphans, executor->orphans_capacity,
                   sizeof(sy__orphan));
}

void sy_executor_destroy(sy_executor *executor) {
    if (executor == NULL) {
        return;
    }
    const sy_allocator *allocator = executor->allocator;
    if (sy_executor_is_idle(executor) == 0) {
        sy_log_write(sy_runtime_log(executor->runtime), SY_SEVERITY_WARNING, "executor.left",
                     "reason=a job still hangs, and may write to its memory");
        return;
    }
    free_orphans(executor);
    sy__unload_all(executor);
    for (uint32_t d = 0; d < SY_LIMIT_DELEGATES; d++) {
        if (executor->sides[d].in_use) {
            sy__fence_destroy(executor->runtime, executor->sides[d].fence);
            sy__record_count_users(executor->runtime, d, -1);
        }
    }
    sy__arena_deinit(&executor->arena);
    SY__DELETE(allocator, executor);
}

const sy_plan *sy_executor_plan(const sy_executor *executor) {
    return executor->plan;
}

void sy_executor_stats(const sy_executor *executor, uint32_t i_phase, uint32_t i_segment,
                       sy_segment_stats *out_stats) {
    *out_stats = (sy_segment_stats){0};
    if (i_phase < executor->n_phases && i_segment < executor->phases[i_phase].n_segments) {
        *out_stats = executor->phases[i_phase].segments[i_segment].stats;
    }
}

uint64_t sy_executor_node_ns(const sy_executor *executor, uint32_t i_phase, uint32_t i_node) {
    if (i_phase >= executor->n_phases || executor->phases[i_phase].node_ns == NULL ||
        i_node >= sy_graph_n_nodes(executor->graph)) {
        return 0;
    }
    return executor->phases[i_phase].node_ns[i_node];
}

/* Canonical bytes of one row of a state value. */
static uint64_t state_row_bytes(const sy_value_view *view) {
    uint64_t n_bytes = 0;
    if (view->rank != 2 ||
        sy_type_row_bytes(view->type, (uint64_t)view->dims[1].bound, &n_bytes) != SY_OK) {
        return 0;
    }
    return n_bytes;
}

bool sy__has_device_memory(const sy_executor *executor, uint32_t i_delegate) {
    uint32_t own = sy_runtime_delegate(executor->runtime, i_delegate)->info.memory_own;
    return !executor->sides[i_delegate].host || (own & SY_MEMORY_BIT(SY_MEMORY_OPAQUE)) != 0;
}

void sy_executor_memory(const sy_executor *executor, sy_memory_report *out_report) {
    sy_memory_report report = {.arena_bytes = executor->host_arena_bytes};
    for (uint32_t d = 0; d < SY_LIMIT_DELEGATES; d++) {
        const sy__side *side = &executor->sides[d];
        report.scratch_bytes += side->scratch_bytes;
        if (side->in_use && sy__has_device_memory(executor, d)) {
            report.device_scratch_bytes += side->scratch_bytes;
            report.device_bytes += side->host ? 0 : executor->host_arena_bytes;
        }
    }
    for (uint32_t p = 0; p < executor->n_phases; p++) {
        for (uint32_t s = 0; s < executor->phases[p].n_segments; s++) {
            const sy__loaded_segment *loaded = &executor->phases[p].segments[s];
            report.unit_bytes += loaded->info.weight_bytes;
            if (sy__has_device_memory(executor, loaded->planned->i_delegate)) {
                report.device_unit_bytes += loaded->info.weight_bytes;
            }
        }
    }
    uint32_t n_values = sy_graph_n_values(executor->graph);
    for (uint32_t v = 0; v < n_values; v++) {
        sy_value_view view;
        if (sy_graph_value(executor->graph, v, &view) != SY_OK) {
            continue;
        }
        if (view.kind == SY_VALUE_WEIGHT) {
            report.weight_bytes += view.data.length_bytes;
        } else if (view.kind == SY_VALUE_STATE) {
            report.state_bytes_per_token += state_row_bytes(&view);
        }
    }
    *out_report = report;
}
