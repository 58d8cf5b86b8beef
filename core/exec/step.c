/* SPDX-License-Identifier: Apache-2.0 */
/* One step: check everything, copy inputs in, run the segments in order. No heap call from here. */
#include "base/checked.h"
#include "exec/executor_internal.h"

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
    if (status == SY_OK) {
        status = sy__results_choose(executor, step, error);
    }
    for (uint32_t k = 0; status == SY_OK && k < executor->n_inputs; k++) {
        status = copy_input(executor, &executor->phases[step->i_phase], step, executor->inputs[k],
                            error);
    }
    return status;
}

/* Segments that must be done before this one begins. */
static sy_status wait_for_needs(sy_executor *executor, sy__loaded_phase *phase,
                                const sy__loaded_segment *loaded, sy_error *error) {
    sy_status status = SY_OK;
    for (uint32_t k = 0; status == SY_OK && k < loaded->n_needs; k++) {
        sy__loaded_segment *needed = &phase->segments[loaded->needs[k]];
        if (needed->is_pending) {
            status = sy__segment_wait(executor, phase, needed, error);
        }
    }
    return status;
}

static sy_status run(sy_executor *executor, const sy_step *step, sy__loaded_phase *phase,
                     sy_error *error) {
    sy_status status = SY_OK;
    for (uint32_t s = 0; status == SY_OK && s < phase->n_segments; s++) {
        sy__loaded_segment *loaded = &phase->segments[s];
        status = wait_for_needs(executor, phase, loaded, error);
        if (status == SY_OK) {
            status = sy__transfer_list(executor, phase, loaded->before, loaded->n_before, error);
        }
        if (status == SY_OK && (loaded->serves & executor->wanted) != 0) {
            status = sy__segment_submit(executor, step, phase, loaded, error);
        }
    }
    for (uint32_t s = 0; status == SY_OK && s < phase->n_segments; s++) {
        if (phase->segments[s].is_pending) {
            status = sy__segment_wait(executor, phase, &phase->segments[s], error);
        }
    }
    if (status == SY_OK) {
        status = sy__results_bring(executor, phase, error);
    }
    return status;
}

/* Rows that sets keep a copy of are part of the step. */
static sy_status copy_rows(const sy_step *step, sy_error *error) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < step->n_sequences; i++) {
        const sy_step_sequence *sequence = &step->sequences[i];
        if (sequence->states != NULL && sequence->states->copy.every_tokens > 0) {
            status = sy__state_copy_add(sequence->states,
                                        (uint64_t)sequence->n_past + sequence->n_tokens, error);
        }
    }
    return status;
}

static void confirm(const sy_executor *executor) {
    for (uint32_t d = 0; d < SY_LIMIT_DELEGATES; d++) {
        if (executor->sides[d].in_use) {
            sy__record_confirm(executor->runtime, d);
        }
    }
}

sy_status sy_executor_step(sy_executor *executor, const sy_step *step, sy_error *error) {
    executor->i_phase_done = SY_NO_VALUE;
    sy_status status = sy__failure_check(executor, error);
    status = status == SY_OK ? prepare(executor, step, error) : status;
    if (status != SY_OK) {
        return status;
    }
    sy__loaded_phase *phase = &executor->phases[step->i_phase];
    sy__adapters_bind(executor, step);
    status = run(executor, step, phase, error);
    if (status == SY_OK) {
        status = copy_rows(step, error);
    }
    if (status != SY_OK) {
        sy__segments_drain(executor, phase);
        return status;
    }
    if (sy__runtime_is_unsound(executor->runtime)) {
        confirm(executor);
    }
    executor->i_phase_done = step->i_phase;
    return SY_OK;
}

sy_status sy_executor_output(const sy_executor *executor, uint32_t i_value, const void **out_data,
                             uint64_t *out_bytes, sy_error *error) {
    sy_value_view view;
    if (sy_graph_value(executor->graph, i_value, &view) != SY_OK || view.kind != SY_VALUE_OUTPUT) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Value %" PRIu32 " is no output of the graph.", i_value);
    }
    if (executor->i_phase_done != SY_NO_VALUE && !sy__results_want(executor, i_value)) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "The newest step was not asked for '%s'.", view.name);
    }
    if (executor->i_phase_done == SY_NO_VALUE) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "No step has been completed, so there is no result to read.");
    }
    *out_data = executor->host_arena + executor->phases[executor->i_phase_done].offsets[i_value];
    *out_bytes = sy_value_bytes(&view, executor->symbols);
    return SY_OK;
}
