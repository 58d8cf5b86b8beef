/* SPDX-License-Identifier: Apache-2.0 */
/* One step: check everything, copy inputs in, run the segments in order. No heap call from here. */
#include "base/checked.h"
#include "base/clock.h"
#include "exec/executor_internal.h"
#include "sy_profile.h"

#include <inttypes.h>
#include <string.h>

static sy_status check_sequence(const sy_executor *executor, const sy_step *step, uint32_t i,
                                sy_error *error) {
    const sy_step_sequence *sequence = &step->sequences[i];
    if (sequence->n_tokens == 0) {
        return sy_error_set(error, SY_INVALID_ARGUMENT, "Sequence %" PRIu32 " has no tokens.", i);
    }
    if (executor->n_states == 0) {
        return SY_OK;
    }
    if (sequence->states == NULL || sequence->states->executor != executor) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Sequence %" PRIu32 " brings no states of this executor.", i);
    }
    uint64_t end = (uint64_t)sequence->n_past + sequence->n_tokens;
    if (end > sequence->states->max_tokens) {
        return sy_error_set(error, SY_OUT_OF_RANGE,
                            "Sequence %" PRIu32 " would reach %" PRIu64 " tokens; its states were "
                            "reserved for %" PRIu64 ".",
                            i, end, sequence->states->max_tokens);
    }
    return SY_OK;
}

/* Fills the ABI's sequences and the symbol values. */
static sy_status bind_symbols(sy_executor *executor, const sy_step *step, sy_error *error) {
    uint64_t n_tokens = 0;
    for (uint32_t i = 0; i < step->n_sequences; i++) {
        const sy_step_sequence *sequence = &step->sequences[i];
        sy_status status = check_sequence(executor, step, i, error);
        if (status != SY_OK) {
            return status;
        }
        executor->sequences[i] = (sy_sequence){.first_row = (uint32_t)n_tokens,
                                               .n_tokens = sequence->n_tokens,
                                               .n_past = sequence->n_past};
        n_tokens += sequence->n_tokens;
    }
    memset(executor->symbols, 0, sizeof(executor->symbols));
    if (step->symbols != NULL) {
        memcpy(executor->symbols, step->symbols, sizeof(executor->symbols));
    } else {
        executor->symbols[SY_SYMBOL_OUTPUTS] = step->n_sequences;
    }
    executor->symbols[SY_SYMBOL_TOKENS] = (int64_t)n_tokens;
    executor->symbols[SY_SYMBOL_SEQUENCES] = step->n_sequences;
    for (uint32_t s = 1; s < SY_SYMBOL_COUNT_MAX; s++) {
        int64_t bound = sy_graph_bound(executor->graph, s);
        if (executor->symbols[s] < 0 || (bound > 0 && executor->symbols[s] > bound)) {
            return sy_error_set(error, SY_OUT_OF_RANGE,
                                "Symbol %" PRIu32 " is %" PRId64 " in this step; the plan was made "
                                "for at most %" PRId64 ".",
                                s, executor->symbols[s], bound);
        }
    }
    return SY_OK;
}

static sy_status copy_input(sy_executor *executor, const sy__loaded_phase *phase,
                            const sy_step *step, uint32_t i_value, sy_error *error) {
    sy_value_view view;
    sy_status status = sy_graph_value(executor->graph, i_value, &view);
    if (status != SY_OK || phase->offsets[i_value] == UINT64_MAX) {
        return status; /* nobody reads this input in this phase */
    }
    uint64_t n_bytes = sy_value_bytes(&view, executor->symbols);
    for (uint32_t k = 0; k < step->n_inputs; k++) {
        const sy_step_input *input = &step->inputs[k];
        if (input->i_value != i_value) {
            continue;
        }
        if (input->n_bytes != n_bytes || input->data == NULL) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "Input '%s' brings %" PRIu64 " bytes where this step needs %" PRIu64
                                ".",
                                view.name, input->n_bytes, n_bytes);
        }
        memcpy(executor->host_arena + phase->offsets[i_value], input->data, n_bytes);
        return SY_OK;
    }
    return sy_error_set(error, SY_INVALID_ARGUMENT, "Input '%s' is missing from the step.",
                        view.name);
}

static sy_status prepare(sy_executor *executor, const sy_step *step, sy_error *error) {
    if (step->i_phase >= executor->n_phases || step->n_sequences == 0 ||
        step->n_sequences > executor->options.n_sequences_max || step->sequences == NULL) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "A step needs a phase below %" PRIu32 " and 1 to %" PRIu32
                            " sequences.",
                            executor->n_phases, executor->options.n_sequences_max);
    }
    sy_status status = bind_symbols(executor, step, error);
    for (uint32_t k = 0; status == SY_OK && k < executor->n_inputs; k++) {
        status = copy_input(executor, &executor->phases[step->i_phase], step, executor->inputs[k],
                            error);
    }
    return status;
}

/* Copies one value between the host arena and a delegate's own arena. */
static sy_status transfer(sy_executor *executor, const sy__loaded_phase *phase,
                          const sy__transfer *move, uint64_t *out_bytes, sy_error *error) {
    sy_value_view view;
    bool to_device = move->from == SY__HOST_SIDE;
    uint32_t i_delegate = to_device ? move->to : move->from;
    const sy_delegate *delegate = sy_runtime_delegate(executor->runtime, i_delegate);
    sy_buffer *buffer = executor->sides[i_delegate].arena;
    uint64_t offset = phase->offsets[move->i_value];
    sy_status status = sy_graph_value(executor->graph, move->i_value, &view);
    if (status != SY_OK) {
        return status;
    }
    uint64_t n_bytes = sy_value_bytes(&view, executor->symbols);
    void *mapped = NULL;
    sy__delegate_listen(executor->runtime, delegate);
    status = delegate->plugin->buffer_map(buffer, offset, n_bytes,
                                          to_device ? SY_ACCESS_WRITE : SY_ACCESS_READ, &mapped);
    if (status == SY_OK) {
        memcpy(to_device ? mapped : executor->host_arena + offset,
               to_device ? executor->host_arena + offset : mapped, n_bytes);
        status = delegate->plugin->buffer_unmap(buffer);
    }
    *out_bytes += n_bytes;
    return status == SY_OK
               ? SY_OK
               : sy__delegate_error(executor->runtime, delegate, status, "move a value", error);
}

static sy_status transfer_list(sy_executor *executor, const sy__loaded_phase *phase,
                               const sy__transfer *list, uint32_t n, sy_segment_stats *stats,
                               sy_error *error) {
    uint64_t start = n > 0 ? sy__clock_now_ns() : 0, n_bytes = 0;
    for (uint32_t k = 0; k < n; k++) {
        sy_status status = transfer(executor, phase, &list[k], &n_bytes, error);
        if (status != SY_OK) {
            return status;
        }
    }
    if (n > 0 && stats != NULL) {
        stats->transfer_ns += sy__clock_now_ns() - start;
        stats->transfer_bytes += n_bytes;
    }
    return SY_OK;
}

static void set_lengths(const sy_executor *executor, const uint32_t *values, uint32_t n,
                        sy_binding *bindings) {
    for (uint32_t k = 0; k < n; k++) {
        sy_value_view view;
        if (sy_graph_value(executor->graph, values[k], &view) == SY_OK) {
            bindings[k].length_bytes = sy_value_bytes(&view, executor->symbols);
        }
    }
}

static void set_states(const sy_step *step, sy__loaded_segment *loaded) {
    uint32_t n_states = loaded->planned->segment.n_states;
    for (uint32_t i = 0; i < step->n_sequences; i++) {
        for (uint32_t k = 0; k < n_states; k++) {
            loaded->states[i * n_states + k] =
                step->sequences[i].states->states[loaded->state_slots[k]];
        }
    }
}

static sy_status run_segment(sy_executor *executor, const sy_step *step, sy__loaded_segment *loaded,
                             sy_error *error) {
    const sy_segment *segment = &loaded->planned->segment;
    const sy__side *side = &executor->sides[loaded->planned->i_delegate];
    const sy_delegate *delegate =
        sy_runtime_delegate(executor->runtime, loaded->planned->i_delegate);
    sy_point done = {.fence = executor->fence, .value = ++executor->n_steps};
    set_lengths(executor, segment->inputs, segment->n_inputs, loaded->inputs);
    set_lengths(executor, segment->outputs, segment->n_outputs, loaded->outputs);
    set_states(step, loaded);
    sy_job job = {.header = SY_HEADER_INIT(sy_job),
                  .symbols = executor->symbols,
                  .n_symbols = SY_SYMBOL_COUNT_MAX,
                  .n_inputs = segment->n_inputs,
                  .n_outputs = segment->n_outputs,
                  .n_sequences = step->n_sequences,
                  .n_states = segment->n_states,
                  .n_signals = 1,
                  .inputs = loaded->inputs,
                  .outputs = loaded->outputs,
                  .sequences = executor->sequences,
                  .states = loaded->states,
                  .signals = &done,
                  .scratch = {.buffer = side->scratch, .length_bytes = side->scratch_bytes},
                  .run = done.value};
    sy__adapters_bind(executor, step, loaded, &job);
    sy_profile profile = {
        .extension = {.id = SY_EXTENSION_PROFILE, .size = (uint32_t)sizeof(profile)},
        .node_ns = executor->phases[step->i_phase].node_ns,
        .n_nodes = sy_graph_n_nodes(executor->graph)};
    if (profile.node_ns != NULL) {
        job.header.extensions = &profile.extension;
    }
    sy__delegate_listen(executor->runtime, delegate);
    uint64_t start = sy__clock_now_ns();
    sy_status status = delegate->plugin->submit(loaded->unit, &job);
    if (status == SY_OK) {
        status = sy__fence_wait(executor->runtime, done, 0);
    }
    loaded->stats.last_ns = sy__clock_now_ns() - start;
    loaded->stats.total_ns += loaded->stats.last_ns;
    loaded->stats.n_runs++;
    return status == SY_OK
               ? SY_OK
               : sy__delegate_error(executor->runtime, delegate, status, "run a segment", error);
}

sy_status sy_executor_step(sy_executor *executor, const sy_step *step, sy_error *error) {
    executor->i_phase_done = SY_NO_VALUE;
    sy_status status = prepare(executor, step, error);
    if (status != SY_OK) {
        return status;
    }
    sy__loaded_phase *phase = &executor->phases[step->i_phase];
    for (uint32_t s = 0; status == SY_OK && s < phase->n_segments; s++) {
        sy__loaded_segment *loaded = &phase->segments[s];
        status =
            transfer_list(executor, phase, loaded->before, loaded->n_before, &loaded->stats, error);
        if (status == SY_OK) {
            status = run_segment(executor, step, loaded, error);
        }
    }
    if (status == SY_OK) {
        status = transfer_list(executor, phase, phase->after, phase->n_after, NULL, error);
    }
    if (status == SY_OK) {
        executor->i_phase_done = step->i_phase;
    }
    return status;
}

sy_status sy_executor_output(const sy_executor *executor, uint32_t i_value, const void **out_data,
                             uint64_t *out_bytes, sy_error *error) {
    sy_value_view view;
    if (sy_graph_value(executor->graph, i_value, &view) != SY_OK || view.kind != SY_VALUE_OUTPUT) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Value %" PRIu32 " is no output of the graph.", i_value);
    }
    if (executor->i_phase_done == SY_NO_VALUE) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "No step has been completed, so there is no result to read.");
    }
    *out_data = executor->host_arena + executor->phases[executor->i_phase_done].offsets[i_value];
    *out_bytes = sy_value_bytes(&view, executor->symbols);
    return SY_OK;
}
