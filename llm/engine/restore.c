/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions whose states lost rows with a delegate: made whole from their tokens, when they are next
 * used. */
#include "engine/engine_internal.h"

uint32_t sy__session_n_rows(const sy_session *session) {
    return session->n_tokens - (session->is_behind ? 1 : 0);
}

sy_session *sy__engine_session_of(const sy_engine *engine, const sy_state_set *states) {
    sy_session *session = states != NULL ? engine->sessions : NULL;
    while (session != NULL && session->states != states) {
        session = session->after;
    }
    return session;
}

/* One chunk of what is missing. */
static sy_status restore_chunk(sy_session *session, uint32_t n_rows, sy_error *error) {
    sy_engine *engine = session->engine;
    uint32_t first = session->n_rows_left;
    uint32_t n = sy__smaller(n_rows - first, engine->options.n_batch_tokens);
    const sy_step_sequence sequence = {.states = session->states, .n_tokens = n, .n_past = first};
    const sy__ragged_step ragged = {.sequences = &sequence,
                                    .tokens = &session->tokens[first],
                                    .output_rows = engine->rows,
                                    .n_sequences = 1};
    const float *result = NULL;
    sy_status status = sy__executor_run(engine, engine->executor, &ragged, &result, NULL, error);
    if (status == SY_OK) {
        session->n_rows_left += n;
        session->stats.n_recomputed_tokens += n;
        engine->failover.event.n_recomputed_tokens += n;
    }
    return status;
}

sy_status sy__session_whole(sy_session *session, sy_error *error) {
    sy_status status = sy__engine_finish_move(session->engine, error);
    while (status == SY_OK && session->is_short) {
        uint32_t n_rows = sy__session_n_rows(session);
        if (session->n_rows_left >= n_rows) {
            session->is_short = false;
            break;
        }
        status = restore_chunk(session, n_rows, error);
        (void)sy__engine_goes_on(session->engine, &status, NULL, 0, error);
    }
    return status;
}

sy_status sy__engine_whole(sy_engine *engine, const sy_step_sequence *sequences,
                           uint32_t n_sequences, sy_error *error) {
    sy_status status = sy__engine_finish_move(engine, error);
    for (uint32_t i = 0; status == SY_OK && engine->failover.has_short && i < n_sequences; i++) {
        sy_session *session = sy__engine_session_of(engine, sequences[i].states);
        status = session != NULL ? sy__session_whole(session, error) : SY_OK;
    }
    bool has_short = false;
    for (const sy_session *s = engine->failover.has_short ? engine->sessions : NULL; s != NULL;
         s = s->after) {
        has_short = has_short || s->is_short;
    }
    engine->failover.has_short = has_short;
    return status;
}

sy_status sy_session_set_recovery(sy_session *session, uint32_t copy_every_tokens,
                                  sy_error *error) {
    sy_engine *engine = session->engine;
    uint64_t own_bytes = sy__states_own_bytes(session->states);
    uint64_t n_bytes = sy_state_copy_bytes(engine->executor, session->max_tokens);
    sy_status status = SY_OK;
    if (copy_every_tokens > 0 && session->copy_every_tokens == 0) {
        status = sy__engine_admit(engine, session->max_tokens, n_bytes, error);
    }
    if (status == SY_OK) {
        status = sy_state_set_keep(session->states, copy_every_tokens, error);
    }
    if (status == SY_OK) {
        session->copy_every_tokens = copy_every_tokens;
        engine->reserved_bytes += sy__states_own_bytes(session->states) - own_bytes;
    }
    return status;
}
