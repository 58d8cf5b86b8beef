/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which results a step is asked for. A segment that serves none of them is not run, and a result
 * that nobody wants stays on its device. Segments with states always run: their rows are read by
 * later steps.
 */
#include "exec/executor_internal.h"

#include <inttypes.h>

#define ALL_RESULTS UINT64_MAX
#define LAST_BIT 63u /* stands for all outputs from there on */

static uint64_t bit_of(const sy_executor *executor, uint32_t i_value) {
    for (uint32_t k = 0; k < executor->n_outputs; k++) {
        if (executor->outputs[k] == i_value) {
            return UINT64_C(1) << (k < LAST_BIT ? k : LAST_BIT);
        }
    }
    return 0;
}

sy_status sy__results_find(sy_executor *executor, uint32_t i_phase, sy_error *error) {
    sy__loaded_phase *phase = &executor->phases[i_phase];
    size_t n_values = sy_graph_n_values(executor->graph);
    uint64_t *served = sy__alloc_array(executor->allocator, n_values, sizeof(uint64_t));
    if (served == NULL) {
        return sy__no_memory(error, n_values * sizeof(uint64_t), "the executor");
    }
    for (uint32_t k = 0; k < executor->n_outputs; k++) {
        served[executor->outputs[k]] = bit_of(executor, executor->outputs[k]);
    }
    for (uint32_t s = phase->n_segments; s-- > 0;) { /* readers come later */
        const sy_segment *segment = &phase->segments[s].planned->segment;
        uint64_t serves = segment->n_states > 0 ? ALL_RESULTS : 0;
        for (uint32_t k = 0; k < segment->n_outputs; k++) {
            serves |= served[segment->outputs[k]];
        }
        for (uint32_t k = 0; k < segment->n_inputs; k++) {
            served[segment->inputs[k]] |= serves;
        }
        phase->segments[s].serves = serves;
    }
    sy__free_array(executor->allocator, served, n_values, sizeof(uint64_t));
    return SY_OK;
}

sy_status sy__results_choose(sy_executor *executor, const sy_step *step, sy_error *error) {
    executor->wanted = step->outputs == NULL ? ALL_RESULTS : 0;
    for (uint32_t k = 0; step->outputs != NULL && k < step->n_outputs; k++) {
        uint64_t bit = bit_of(executor, step->outputs[k]);
        if (bit == 0) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "Value %" PRIu32 " is no output of the graph.", step->outputs[k]);
        }
        executor->wanted |= bit;
    }
    return SY_OK;
}

bool sy__results_want(const sy_executor *executor, uint32_t i_value) {
    return (bit_of(executor, i_value) & executor->wanted) != 0;
}

sy_status sy__results_bring(sy_executor *executor, const sy__loaded_phase *phase, sy_error *error) {
    sy_status status = SY_OK;
    for (uint32_t k = 0; status == SY_OK && k < phase->n_after; k++) {
        if (sy__results_want(executor, phase->after[k].i_value)) {
            status = sy__transfer_list(executor, phase, &phase->after[k], 1, error);
        }
    }
    return status;
}
