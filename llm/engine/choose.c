/* SPDX-License-Identifier: Apache-2.0 */
/* Greedy tokens that are chosen where the logits lie: a step then brings two numbers to the host in
 * place of a row of logits. Only graphs for devices have such a choice. */
#include "engine/engine_internal.h"

#include <math.h>

bool sy__engine_has_device(const sy_engine *engine) {
    uint32_t n = sy_runtime_n_delegates(engine->runtime);
    for (uint32_t d = 0; d < n; d++) {
        if (sy_runtime_delegate(engine->runtime, d)->info.device_class != SY_DEVICE_CPU) {
            return true;
        }
    }
    return false;
}

/* The delegate that makes a value in a phase, SY_NO_VALUE none. */
static uint32_t maker_of(const sy_engine *engine, uint32_t i_phase, uint32_t i_value) {
    uint32_t i_node = sy_graph_producer(engine->model.graph, i_value);
    for (uint32_t s = 0; s < sy_plan_n_segments(engine->plan, i_phase); s++) {
        const sy_plan_segment *planned = sy_plan_segment_at(engine->plan, i_phase, s);
        for (uint32_t k = 0; k < planned->segment.n_nodes; k++) {
            if (planned->segment.nodes[k] == i_node) {
                return planned->i_delegate;
            }
        }
    }
    return SY_NO_VALUE;
}

void sy__engine_find_choice(sy_engine *engine) {
    const sy__model_graph *model = &engine->model;
    engine->chooses = false;
    if (model->best_tokens == SY_NO_VALUE) {
        return;
    }
    uint32_t chooser = maker_of(engine, SY_ENGINE_DECODE, model->best_tokens);
    engine->chooses =
        chooser != SY_NO_VALUE && chooser == maker_of(engine, SY_ENGINE_DECODE, model->result) &&
        sy_runtime_delegate(engine->runtime, chooser)->info.device_class != SY_DEVICE_CPU;
}

/* An output of the newest step, of n_bytes. */
static sy_status read_output(const sy_engine *engine, uint32_t i_value, size_t n_bytes,
                             const void **out_data, sy_error *error) {
    uint64_t n_there = 0;
    sy_status status = sy_executor_output(engine->executor, i_value, out_data, &n_there, error);
    if (status == SY_OK && n_there != n_bytes) {
        status = sy_error_set(error, SY_INTERNAL, "A choice has another size.");
    }
    return status;
}

sy_status sy__engine_choose(sy_engine *engine, const sy__ragged_step *ragged, int32_t *out_tokens,
                            bool *out_chosen, sy_error *error) {
    const uint32_t n = ragged->n_output_rows;
    const float *none = NULL;
    const void *logits = NULL, *tokens = NULL;
    sy__ragged_step chooses = *ragged;
    chooses.chooses = true;
    sy_status status = sy__engine_step_rows(engine, &chooses, &none, error);
    if (status == SY_OK) {
        status = read_output(engine, engine->model.best_logits, n * sizeof(float), &logits, error);
    }
    if (status == SY_OK) {
        status =
            read_output(engine, engine->model.best_tokens, n * sizeof(int64_t), &tokens, error);
    }
    /* The best is NaN where there is one; sampling passes over it, and wants the whole row. */
    bool is_chosen = status == SY_OK;
    for (uint32_t i = 0; is_chosen && i < n; i++) {
        int64_t token = ((const int64_t *)tokens)[i];
        is_chosen = !isnan(((const float *)logits)[i]) && token >= 0 &&
                    token < (int64_t)engine->info.n_vocabulary;
        out_tokens[i] = is_chosen ? (int32_t)token : out_tokens[i];
    }
    *out_chosen = is_chosen;
    return status;
}

sy_status sy__session_choose(sy_session *session, int32_t *out_token, bool *out_chosen,
                             sy_error *error) {
    const uint32_t n_past = session->n_tokens - 1;
    const sy_step_sequence sequence = {.states = session->states, .n_tokens = 1, .n_past = n_past};
    const sy__ragged_step ragged = {.sequences = &sequence,
                                    .tokens = &session->tokens[n_past],
                                    .output_rows = &(int32_t){0},
                                    .n_sequences = 1,
                                    .n_output_rows = 1};
    return sy__engine_choose(session->engine, &ragged, out_token, out_chosen, error);
}
