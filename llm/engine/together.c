/* SPDX-License-Identifier: Apache-2.0 */
/* Several sessions in one step: the weights are read once for all of them. */
#include "engine/engine_internal.h"
#include "switchyard/limits.h"

#include <inttypes.h>
#include <string.h>

static sy_status check(sy_session *const *sessions, uint32_t n_sessions, sy_error *error) {
    const sy_engine *engine = n_sessions > 0 ? sessions[0]->engine : NULL;
    if (engine == NULL) {
        return sy_error_set(error, SY_INVALID_ARGUMENT, "No session was given.");
    }
    uint32_t most = engine->options.n_sequences;
    most = most < engine->options.n_output_rows ? most : engine->options.n_output_rows;
    if (n_sessions > most) {
        sy_error_set(error, SY_OUT_OF_RANGE,
                     "%" PRIu32 " sessions were given; a step of this engine carries %" PRIu32 ".",
                     n_sessions, most);
        sy_error_hint(error, "Make the engine with more n_sequences and n_output_rows.");
        return SY_OUT_OF_RANGE;
    }
    for (uint32_t i = 0; i < n_sessions; i++) {
        if (sessions[i]->engine != engine) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "Session %" PRIu32 " belongs to another engine.", i);
        }
        for (uint32_t j = 0; j < i; j++) {
            if (sessions[i] == sessions[j]) {
                return sy_error_set(error, SY_INVALID_ARGUMENT,
                                    "Session %" PRIu32 " was given twice.", i);
            }
        }
    }
    return SY_OK;
}

static sy_status draw(sy_session *const *sessions, uint32_t n_sessions, sy_sampler *const *samplers,
                      int32_t *tokens, sy_error *error) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < n_sessions; i++) {
        status = sy__session_draw(sessions[i], samplers[i], &tokens[i], error);
        if (status == SY_OK) {
            status = sy__session_make_room(sessions[i], 1, error);
        }
    }
    return status;
}

/* One step with a token of each session; the logits lie at *out_rows until the next step. */
static sy_status step(sy_session *const *sessions, uint32_t n, const int32_t *tokens,
                      const float **out_rows, sy_error *error) {
    sy_step_sequence sequences[SY_LIMIT_SEQUENCES];
    for (uint32_t i = 0; i < n; i++) {
        sequences[i] = (sy_step_sequence){
            .states = sessions[i]->states, .n_tokens = 1, .n_past = sessions[i]->n_tokens};
    }
    return sy__engine_step(sessions[0]->engine, sequences, n, tokens, n, out_rows, error);
}

sy_status sy_session_decode_together(sy_session *const *sessions, uint32_t n_sessions,
                                     sy_sampler *const *samplers, int32_t *out_tokens,
                                     sy_error *error) {
    int32_t tokens[SY_LIMIT_SEQUENCES];
    const float *rows = NULL;
    sy_status status = check(sessions, n_sessions, error);
    if (status == SY_OK) {
        status = draw(sessions, n_sessions, samplers, tokens, error);
    }
    if (status == SY_OK) {
        status = step(sessions, n_sessions, tokens, &rows, error);
    }
    if (status != SY_OK) {
        return status;
    }
    size_t n_vocabulary = sessions[0]->engine->info.n_vocabulary;
    for (uint32_t i = 0; i < n_sessions; i++) {
        sy_session *session = sessions[i];
        memcpy(session->logits, rows + i * n_vocabulary, n_vocabulary * sizeof(float));
        session->tokens[session->n_tokens++] = tokens[i];
        session->has_logits = true;
        out_tokens[i] = tokens[i];
    }
    return SY_OK;
}
