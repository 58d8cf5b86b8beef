/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guesses against the model. Row 0 of a step gives the logits after the newest token, row i + 1
 * those after guess i, which hold as long as the tokens drawn from the rows before were the
 * guesses.
 */
#include "base/clock.h"
#include "speculate/speculate_internal.h"

#include <string.h>

void sy__speculator_keep(sy_speculator *speculator, sy_session *session, uint32_t n_guesses,
                         const float *rows) {
    size_t n_vocabulary = session->engine->info.n_vocabulary;
    speculator->n_rows = n_guesses + 1;
    memcpy(speculator->rows, rows, speculator->n_rows * n_vocabulary * sizeof(float));
    speculator->n_written = session->n_tokens + n_guesses;
    session->is_behind = false;
}

sy_status sy__speculator_take(sy__generation *g, sy_error *error) {
    sy_session *session = g->session;
    sy_speculator *speculator = g->options.speculator;
    size_t n_vocabulary = session->engine->info.n_vocabulary;
    sy_status status = SY_OK;
    for (uint32_t i = 0; i < speculator->n_rows; i++) {
        memcpy(session->logits, speculator->rows + i * n_vocabulary, n_vocabulary * sizeof(float));
        session->has_logits = true;
        session->is_behind = false;
        status = sy__generation_advance(g, error);
        if (status != SY_OK || sy__generation_is_over(g) || i + 1 == speculator->n_rows ||
            session->tokens[session->n_tokens - 1] != speculator->guesses[i]) {
            break;
        }
    }
    return status;
}

sy_status sy__speculator_settle(sy__generation *g, sy_error *error) {
    sy_session *session = g->session;
    sy_speculator *speculator = g->options.speculator;
    uint32_t n_valid = session->n_tokens - (session->is_behind ? 1 : 0);
    uint32_t n_written = speculator->n_written;
    speculator->n_written = 0;
    speculator->n_guesses = 0;
    if (n_valid >= n_written) {
        return SY_OK;
    }
    sy_status status = sy_state_set_truncate(session->states, n_valid, error);
    if (status != SY_OK) {
        /* a window that has let rows go does so again */
        speculator->cannot_go_back = SY_STATUS_CLASS(status) == SY_OUT_OF_RANGE;
        sy_error_clear(error);
        status = sy__session_recompute(session, n_valid, session->n_tokens, error);
    }
    return status;
}

sy_status sy__speculator_advance(sy__generation *g, sy_error *error) {
    const float *rows = NULL;
    sy_session *session = g->session;
    sy_speculator *speculator = g->options.speculator;
    sy__speculator_guess(speculator, session, g->sampler, sy__speculator_room(g));
    int32_t tokens[SY_GUESSES_MAX + 1];
    uint32_t n_guesses = speculator->n_guesses, n_before = g->result.n_tokens;
    tokens[0] = session->tokens[session->n_tokens - 1];
    memcpy(tokens + 1, speculator->guesses, n_guesses * sizeof(int32_t));
    uint64_t start = sy__clock_now_ns();
    sy_status status = sy__session_step(session, tokens, n_guesses + 1, session->n_tokens - 1,
                                        n_guesses + 1, &rows, error);
    if (status != SY_OK) {
        return status;
    }
    uint64_t step_ns = sy__clock_now_ns() - start;
    sy__speculator_keep(speculator, session, n_guesses, rows);
    status = sy__speculator_take(g, error);
    sy_status settled = sy__speculator_settle(g, status == SY_OK ? error : NULL);
    sy__speculator_learn(speculator, step_ns, g->result.n_tokens - n_before);
    return status == SY_OK ? settled : status;
}
