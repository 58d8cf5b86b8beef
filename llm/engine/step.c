/* SPDX-License-Identifier: Apache-2.0 */
/* A step of the engine, and the pieces that every call of a session needs. */
#include "engine/engine_internal.h"
#include "quantize/importance.h"

#include <inttypes.h>
#include <string.h>

void sy__session_begin(sy_session *session) {
    __atomic_store_n(&session->activity, SY__RUNNING, __ATOMIC_SEQ_CST);
}

void sy__session_end(sy_session *session) {
    __atomic_store_n(&session->activity, SY__IDLE, __ATOMIC_SEQ_CST);
}

bool sy__session_is_cancelled(const sy_session *session) {
    return __atomic_load_n(&session->activity, __ATOMIC_SEQ_CST) == SY__CANCELLED;
}

void sy_session_cancel(sy_session *session) {
    uint32_t expected = SY__RUNNING;
    __atomic_compare_exchange_n(&session->activity, &expected, SY__CANCELLED, false,
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Positions of the sequences' tokens; answers how many there are. */
static uint32_t lay_out(sy_engine *engine, const sy_step_sequence *sequences,
                        uint32_t n_sequences) {
    uint32_t n_tokens = 0;
    for (uint32_t i = 0; i < n_sequences; i++) {
        for (uint32_t j = 0; j < sequences[i].n_tokens; j++) {
            engine->positions[n_tokens++] = (int32_t)(sequences[i].n_past + j);
        }
    }
    return n_tokens;
}

sy_status sy__engine_step(sy_engine *engine, const sy_step_sequence *sequences,
                          uint32_t n_sequences, const int32_t *tokens, uint32_t n_rows,
                          const float **out_result, sy_error *error) {
    uint32_t n_tokens = 0;
    for (uint32_t i = 0; i < n_sequences; i++) {
        n_tokens += sequences[i].n_tokens;
    }
    for (uint32_t i = 0; i < n_rows; i++) {
        engine->rows[i] = (int32_t)(n_tokens - n_rows + i);
    }
    const sy__ragged_step ragged = {.sequences = sequences,
                                    .tokens = tokens,
                                    .output_rows = engine->rows,
                                    .n_sequences = n_sequences,
                                    .n_output_rows = n_rows};
    return sy__engine_step_rows(engine, &ragged, out_result, error);
}

sy_status sy__executor_run(sy_engine *engine, sy_executor *executor, const sy__ragged_step *ragged,
                           const float **out_result, uint64_t *out_bytes, sy_error *error) {
    const uint32_t n_sequences = ragged->n_sequences, n_rows = ragged->n_output_rows;
    const uint32_t n_tokens = lay_out(engine, ragged->sequences, n_sequences);
    const uint64_t n_bytes = n_tokens * sizeof(int32_t);
    const sy__model_graph *model = &engine->model;
    sy_step_input inputs[4] = {
        {.i_value = model->tokens, .data = ragged->tokens, .n_bytes = n_bytes},
        {.i_value = model->positions, .data = engine->positions, .n_bytes = n_bytes}};
    uint32_t n_inputs = 2;
    if (model->output_rows != SY_NO_VALUE) {
        inputs[n_inputs++] = (sy_step_input){.i_value = model->output_rows,
                                             .data = ragged->output_rows,
                                             .n_bytes = n_rows * sizeof(int32_t)};
    }
    if (model->token_types != SY_NO_VALUE) {
        const int32_t *types = ragged->token_types;
        inputs[n_inputs++] = (sy_step_input){.i_value = model->token_types,
                                             .data = types != NULL ? types : engine->no_types,
                                             .n_bytes = n_bytes};
    }
    int64_t symbols[SY_SYMBOL_COUNT_MAX] = {[SY_SYMBOL_OUTPUTS] = n_rows};
    const uint32_t choice[2] = {model->best_logits, model->best_tokens};
    const bool is_one = model->best_tokens != SY_NO_VALUE; /* nothing else is there to be asked */
    sy_step step = {.struct_bytes = sizeof(step),
                    .i_phase = n_tokens > n_sequences ? SY_ENGINE_PREFILL : SY_ENGINE_DECODE,
                    .n_sequences = n_sequences,
                    .n_inputs = n_inputs,
                    .sequences = ragged->sequences,
                    .inputs = inputs,
                    .symbols = symbols,
                    .outputs = ragged->chooses ? choice
                               : is_one        ? &model->result
                                               : NULL,
                    .n_outputs = ragged->chooses ? 2 : 1};
    sy_status status = sy_executor_step(executor, &step, error);
    if (status != SY_OK || ragged->chooses) {
        return status;
    }
    uint64_t n_result = 0;
    const void *data = NULL;
    status = sy_executor_output(executor, engine->model.result, &data, &n_result, error);
    *out_result = data;
    if (out_bytes != NULL) {
        *out_bytes = n_result;
    }
    return status;
}

/* Repeats the step until it ends well or no delegate is to blame. */
static sy_status run_step(sy_engine *engine, const sy__ragged_step *ragged,
                          const float **out_result, sy_error *error) {
    sy_status status = SY_OK;
    do {
        status = sy__engine_whole(engine, ragged->sequences, ragged->n_sequences, error);
        if (status == SY_OK) {
            status = sy__executor_run(engine, engine->executor, ragged, out_result, NULL, error);
        }
    } while (sy__engine_goes_on(engine, &status, ragged->sequences, ragged->n_sequences, error));
    return status;
}

sy_status sy__engine_step_rows(sy_engine *engine, const sy__ragged_step *ragged,
                               const float **out_result, sy_error *error) {
    sy__failover *failover = &engine->failover;
    if (failover->retired != NULL && !failover->is_unfinished) { /* else it has sessions yet */
        (void)sy__engine_free_retired(engine);
    }
    if (failover->away != 0 && engine->options.failover.no_return == 0 &&
        !failover->is_unfinished) {
        sy__engine_try_returns(engine, ragged->sequences, ragged->tokens);
    }
    failover->is_in_step = true;
    sy_status status = run_step(engine, ragged, out_result, error);
    failover->is_in_step = false;
    if (failover->has_event) {
        sy__engine_went_on(engine,
                           status == SY_OK && ragged->n_output_rows > 0 ? *out_result : NULL);
    }
    if (status == SY_OK && engine->observer != NULL) {
        uint32_t n_tokens = 0;
        for (uint32_t i = 0; i < ragged->n_sequences; i++) {
            n_tokens += ragged->sequences[i].n_tokens;
        }
        status = sy__importance_add_step(engine, n_tokens, error);
    }
    return status;
}

sy_status sy__session_step(sy_session *session, const int32_t *tokens, uint32_t n_tokens,
                           uint32_t n_past, uint32_t n_rows, const float **out_result,
                           sy_error *error) {
    sy_step_sequence sequence = {.states = session->states, .n_tokens = n_tokens, .n_past = n_past};
    return sy__engine_step(session->engine, &sequence, 1, tokens, n_rows, out_result, error);
}

sy_status sy__session_need_logits(sy_session *session, sy_error *error) {
    const float *row = NULL;
    if (session->engine->info.is_encoder) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "An encoder model has no next-token logits; use sy_engine_encode.");
    }
    if (session->n_tokens == 0) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "The session has no tokens yet; prefill a prompt first.");
    }
    if (session->has_logits) {
        return SY_OK;
    }
    uint32_t n_past = session->n_tokens - 1;
    sy_status status =
        sy__session_step(session, &session->tokens[n_past], 1, n_past, 1, &row, error);
    if (status == SY_OK) {
        memcpy(session->logits, row, session->engine->info.n_vocabulary * sizeof(float));
        session->has_logits = true;
        session->is_behind = false;
    }
    return status;
}

sy_status sy__session_draw(sy_session *session, sy_sampler *sampler, int32_t *out_token,
                           sy_error *error) {
    sy_status status = sy__session_need_logits(session, error);
    if (status != SY_OK) {
        return status;
    }
    if (sampler != NULL) {
        return sy_sampler_draw(sampler, session->logits, out_token, error);
    }
    return sy__greedy_token(session->logits, session->engine->info.n_vocabulary, out_token, error);
}

void sy__session_append(sy_session *session, int32_t token) {
    session->tokens[session->n_tokens++] = token;
    session->has_logits = false;
    session->is_behind = true;
}

sy_status sy__session_catch_up(sy_session *session, sy_error *error) {
    return session->is_behind ? sy__session_need_logits(session, error) : SY_OK;
}

sy_status sy_engine_encode(sy_engine *engine, const int32_t *tokens, uint32_t n_tokens,
                           float *out_hidden, sy_error *error) {
    if (!engine->info.is_encoder) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "'%s' is a decoder: it gives logits through sessions.",
                            engine->info.architecture);
    }
    if (n_tokens == 0 || n_tokens > engine->options.n_batch_tokens ||
        n_tokens > engine->info.n_context_tokens) {
        return sy_error_set(error, SY_OUT_OF_RANGE,
                            "%" PRIu32 " tokens were given; this engine encodes 1 to %" PRIu32
                            " at once.",
                            n_tokens, engine->options.n_batch_tokens);
    }
    sy_session text = {.engine = engine};
    const float *rows = NULL;
    sy_status status = sy__session_step(&text, tokens, n_tokens, 0, 0, &rows, error);
    if (status == SY_OK) {
        memcpy(out_hidden, rows, (size_t)n_tokens * engine->info.n_embedding * sizeof(float));
    }
    return status;
}
