/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the segments of a plan into their delegates and reserves arenas and scratch. */
#include "exec/executor_internal.h"

#include <inttypes.h>
#include <string.h>

sy_status sy__delegate_error(const sy_runtime *runtime, const sy_delegate *delegate,
                             sy_status status, const char *what, sy_error *error) {
    const char *report = sy_report_text(sy_runtime_host(runtime, delegate->context));
    sy_error_set(error, status, "Delegate '%s' failed to %s: %s (%s).", delegate->name, what,
                 report[0] != '\0' ? report : "it gave no reason", sy_status_name(status));
    sy_error_at(error, delegate->name, UINT64_MAX);
    if (SY_STATUS_CLASS(status) == SY_UNIMPLEMENTED || SY_STATUS_CLASS(status) == SY_INTERNAL) {
        sy_error_hint(error, "Run without it: --without %s, or forbid it in the INI.",
                      delegate->name);
    }
    return status;
}

void sy__delegate_listen(const sy_runtime *runtime, const sy_delegate *delegate) {
    sy_report_clear(sy_runtime_host(runtime, delegate->context));
}

static const sy_delegate *delegate_of(const sy_executor *executor, uint32_t i_delegate) {
    return sy_runtime_delegate(executor->runtime, i_delegate);
}

static sy_status import_host(sy_executor *executor, uint32_t i_delegate, void *pointer,
                             uint64_t n_bytes, sy_buffer **out_buffer, sy_error *error) {
    const sy_delegate *delegate = delegate_of(executor, i_delegate);
    sy_memory memory = {
        .kind = SY_MEMORY_HOST, .fd = -1, .pointer = pointer, .length_bytes = n_bytes};
    sy__delegate_listen(executor->runtime, delegate);
    sy_status status = delegate->plugin->buffer_import(delegate->device, &memory, out_buffer);
    return status == SY_OK ? SY_OK
                           : sy__delegate_error(executor->runtime, delegate, status,
                                                "import host memory", error);
}

static sy_memory_kind own_kind(const sy_delegate *delegate) {
    for (sy_memory_kind kind = SY_MEMORY_KIND_COUNT; kind-- > 0;) {
        if ((delegate->info.memory_own & SY_MEMORY_BIT(kind)) != 0) {
            return kind;
        }
    }
    return SY_MEMORY_OPAQUE;
}

static sy_status make_own(sy_executor *executor, uint32_t i_delegate, uint64_t n_bytes,
                          sy_buffer **out_buffer, sy_error *error) {
    const sy_delegate *delegate = delegate_of(executor, i_delegate);
    sy__delegate_listen(executor->runtime, delegate);
    sy_status status =
        delegate->plugin->buffer_create(delegate->device, own_kind(delegate), n_bytes, out_buffer);
    return status == SY_OK
               ? SY_OK
               : sy__delegate_error(executor->runtime, delegate, status, "create a buffer", error);
}

sy_status sy__load_unit(const sy_delegate *delegate, const sy_load_request *request,
                        sy__loaded_segment *loaded) {
    loaded->info = (sy_unit_info){.header = SY_HEADER_INIT(sy_unit_info)};
    sy_status status =
        delegate->plugin->load(delegate->device, request, &loaded->info, &loaded->unit);
    if (status != SY_OK) {
        loaded->unit = NULL;
    }
    return status;
}

static sy_status load_segment(sy_executor *executor, const sy_plan_phase *phase,
                              sy__loaded_segment *loaded, sy_error *error) {
    const sy_delegate *delegate = delegate_of(executor, loaded->planned->i_delegate);
    if (delegate->plugin->compile != NULL) {
        return sy__blob_load(executor, phase, loaded, error);
    }
    sy_graph_view view;
    sy_graph_view_init(executor->graph, phase->phase, phase->typical, &view);
    const sy_load_request request = {.header = SY_HEADER_INIT(sy_load_request),
                                     .view = &view,
                                     .segment = &loaded->planned->segment};
    sy__delegate_listen(executor->runtime, delegate);
    sy_status status = sy__load_unit(delegate, &request, loaded);
    return status == SY_OK
               ? SY_OK
               : sy__delegate_error(executor->runtime, delegate, status, "load a segment", error);
}

static sy_status load_units(sy_executor *executor, sy_error *error) {
    for (uint32_t p = 0; p < executor->n_phases; p++) {
        const sy_plan_phase *phase = sy_plan_phase_at(executor->plan, p);
        for (uint32_t s = 0; s < executor->phases[p].n_segments; s++) {
            sy__loaded_segment *loaded = &executor->phases[p].segments[s];
            sy_status status = load_segment(executor, phase, loaded, error);
            if (status != SY_OK) {
                return status;
            }
            sy__side *side = &executor->sides[loaded->planned->i_delegate];
            if (loaded->info.scratch_bytes > side->scratch_bytes) {
                side->scratch_bytes = loaded->info.scratch_bytes;
            }
        }
    }
    return SY_OK;
}

static sy_status check_budget(const sy_executor *executor, sy_error *error) {
    sy_memory_report report;
    sy_executor_memory(executor, &report);
    uint64_t total =
        report.arena_bytes + report.device_bytes + report.scratch_bytes + report.unit_bytes;
    uint64_t budget = executor->options.budget_bytes;
    if (budget == 0 || total <= budget) {
        return SY_OK;
    }
    sy_error_set(error, SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET),
                 "The plan needs %" PRIu64 " bytes beside the weights, %" PRIu64
                 " more than the budget.",
                 total, total - budget);
    sy_error_hint(error, "Lower the prefill chunk (--batch-size) or raise the budget.");
    return SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET);
}

static sy_status make_memory(sy_executor *executor, uint32_t i_delegate, sy_error *error) {
    sy__side *side = &executor->sides[i_delegate];
    sy_status status = SY_OK;
    if (side->host) {
        status = import_host(executor, i_delegate, executor->host_arena, executor->host_arena_bytes,
                             &side->arena, error);
    } else {
        side->arena_bytes = executor->host_arena_bytes;
        status = make_own(executor, i_delegate, side->arena_bytes, &side->arena, error);
    }
    if (status != SY_OK || side->scratch_bytes == 0) {
        return status;
    }
    /* what only its own jobs touch lies best where the device likes it, shared memory or not */
    if (sy__has_device_memory(executor, i_delegate)) {
        return make_own(executor, i_delegate, side->scratch_bytes, &side->scratch, error);
    }
    side->scratch_memory = sy__alloc_array(executor->allocator, side->scratch_bytes, 1);
    if (side->scratch_memory == NULL) {
        return sy__no_memory(error, side->scratch_bytes, "scratch memory");
    }
    return import_host(executor, i_delegate, side->scratch_memory, side->scratch_bytes,
                       &side->scratch, error);
}

static sy_status bind_list(sy_executor *executor, const sy__loaded_phase *phase,
                           uint32_t i_delegate, const uint32_t *values, uint32_t n,
                           sy_binding **out_list, sy_error *error) {
    sy_binding *list = sy__arena_alloc(&executor->arena, (size_t)n + 1, sizeof(sy_binding));
    if (list == NULL) {
        return sy__no_memory(error, n * sizeof(sy_binding), "bindings");
    }
    for (uint32_t k = 0; k < n; k++) {
        list[k].buffer = executor->sides[i_delegate].arena;
        list[k].offset_bytes = phase->offsets[values[k]];
    }
    *out_list = list;
    return SY_OK;
}

static uint32_t state_slot(const sy_executor *executor, uint32_t i_value) {
    uint32_t slot = 0;
    while (slot < executor->n_states && executor->state_values[slot] != i_value) {
        slot++;
    }
    return slot;
}

static sy_status bind_segment(sy_executor *executor, const sy__loaded_phase *phase,
                              sy__loaded_segment *loaded, sy_error *error) {
    const sy_segment *segment = &loaded->planned->segment;
    uint32_t i_delegate = loaded->planned->i_delegate;
    size_t n_states = (size_t)segment->n_states * executor->options.n_sequences_max;
    sy_status status = bind_list(executor, phase, i_delegate, segment->inputs, segment->n_inputs,
                                 &loaded->inputs, error);
    if (status == SY_OK) {
        status = bind_list(executor, phase, i_delegate, segment->outputs, segment->n_outputs,
                           &loaded->outputs, error);
    }
    if (status != SY_OK) {
        return status;
    }
    loaded->state_slots =
        sy__arena_alloc(&executor->arena, (size_t)segment->n_states + 1, sizeof(uint32_t));
    loaded->states = sy__arena_alloc(&executor->arena, n_states + 1, sizeof(sy_state *));
    if (loaded->state_slots == NULL || loaded->states == NULL) {
        return sy__no_memory(error, n_states * sizeof(sy_state *), "state bindings");
    }
    for (uint32_t k = 0; k < segment->n_states; k++) {
        loaded->state_slots[k] = state_slot(executor, segment->states[k]);
    }
    return SY_OK;
}

static sy_status bind_all(sy_executor *executor, sy_error *error) {
    for (uint32_t p = 0; p < executor->n_phases; p++) {
        sy__loaded_phase *phase = &executor->phases[p];
        for (uint32_t s = 0; s < phase->n_segments; s++) {
            sy_status status = bind_segment(executor, phase, &phase->segments[s], error);
            if (status != SY_OK) {
                return status;
            }
        }
    }
    return SY_OK;
}

sy_status sy__load_all(sy_executor *executor, sy_error *error) {
    executor->host_arena_bytes = 1;
    for (uint32_t p = 0; p < executor->n_phases; p++) {
        if (executor->phases[p].arena_bytes > executor->host_arena_bytes) {
            executor->host_arena_bytes = executor->phases[p].arena_bytes;
        }
    }
    sy_status status = load_units(executor, error);
    if (status == SY_OK) {
        status = check_budget(executor, error);
    }
    if (status != SY_OK) {
        return status;
    }
    executor->host_arena = executor->allocator->reallocate(executor->allocator->self, NULL, 0,
                                                           executor->host_arena_bytes, 4096);
    if (executor->host_arena == NULL) {
        return sy__no_memory(error, executor->host_arena_bytes, "the activation arena");
    }
    if (!sy__gives_zeros(executor->allocator, executor->host_arena_bytes)) {
        memset(executor->host_arena, 0, executor->host_arena_bytes);
    }
    for (uint32_t d = 0; status == SY_OK && d < SY_LIMIT_DELEGATES; d++) {
        if (executor->sides[d].in_use) {
            status = make_memory(executor, d, error);
        }
    }
    return status == SY_OK ? bind_all(executor, error) : status;
}

static void free_side(sy_executor *executor, uint32_t i_delegate) {
    sy__side *side = &executor->sides[i_delegate];
    const sy_delegate *delegate = delegate_of(executor, i_delegate);
    if (side->arena != NULL) {
        delegate->plugin->buffer_destroy(side->arena);
    }
    if (side->scratch != NULL) {
        delegate->plugin->buffer_destroy(side->scratch);
    }
    sy__free_array(executor->allocator, side->scratch_memory, side->scratch_bytes, 1);
}

void sy__unload_all(sy_executor *executor) {
    for (uint32_t p = 0; executor->phases != NULL && p < executor->n_phases; p++) {
        for (uint32_t s = 0; s < executor->phases[p].n_segments; s++) {
            sy__loaded_segment *loaded = &executor->phases[p].segments[s];
            if (loaded->unit != NULL) {
                delegate_of(executor, loaded->planned->i_delegate)->plugin->unload(loaded->unit);
            }
        }
    }
    for (uint32_t d = 0; d < SY_LIMIT_DELEGATES; d++) {
        if (executor->sides[d].in_use) {
            free_side(executor, d);
        }
    }
    if (executor->host_arena != NULL) {
        executor->allocator->reallocate(executor->allocator->self, executor->host_arena,
                                        executor->host_arena_bytes, 0, 4096);
    }
}
