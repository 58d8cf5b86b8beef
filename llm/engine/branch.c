/* SPDX-License-Identifier: Apache-2.0 */
/* A session's tokens are a path in a tree: clones go on beside it, a rewind goes back on it. */
#include "engine/engine_internal.h"

#include <inttypes.h>
#include <string.h>

/* May a session of max_tokens go on from this one, with its limit? */
static sy_status check_copy(const sy_session *session, uint32_t max_tokens, sy_error *error) {
    sy_status status = sy__session_check_length(session->engine, max_tokens, error);
    if (status == SY_OK && max_tokens < session->n_tokens) {
        status = sy_error_set(error, SY_INVALID_ARGUMENT,
                              "A session of %" PRIu32 " tokens cannot begin with %" PRIu32 ".",
                              max_tokens, session->n_tokens);
        sy_error_hint(error, "Fork it with more tokens, or rewind it first.");
    }
    return status == SY_OK ? sy__limit_check(&session->limit, max_tokens, error) : status;
}

/* States that begin with the rows of the session. */
static sy_status fork_states(sy_session *session, uint32_t max_tokens, sy_state_set **out_states,
                             sy_error *error) {
    sy_status status = SY_OK;
    do {
        status = sy__session_whole(session, error);
        if (status == SY_OK) {
            status = sy_state_set_fork(session->states, sy__session_n_rows(session), max_tokens,
                                       out_states, error);
        }
    } while (sy__engine_goes_on(session->engine, &status, NULL, 0, error));
    return status;
}

static sy_status copy_session(sy_session *session, uint32_t max_tokens, sy_session **out_session,
                              sy_error *error) {
    sy_session *copy = NULL;
    sy_state_set *states = NULL;
    sy_state_memory need;
    uint32_t n_rows = sy__session_n_rows(session);
    sy_status status = SY_OK;
    do {
        status = sy_state_need_fork(session->states, n_rows, max_tokens, &need, error);
    } while (sy__engine_goes_on(session->engine, &status, NULL, 0, error));
    if (status == SY_OK) {
        need.own_bytes +=
            sy__engine_copy_bytes(session->engine, session->copy_every_tokens, max_tokens);
        status = sy__session_new(session->engine, max_tokens, need.own_bytes, &copy, error);
    }
    if (status != SY_OK) {
        return status;
    }
    copy->copy_every_tokens = session->copy_every_tokens;
    status = fork_states(session, max_tokens, &states, error);
    if (status == SY_OK) {
        status = sy__session_attach(copy, states, error);
    }
    if (status != SY_OK) {
        sy_session_close(copy);
        return status;
    }
    memcpy(copy->tokens, session->tokens, session->n_tokens * sizeof(int32_t));
    memcpy(copy->logits, session->logits, session->engine->info.n_vocabulary * sizeof(float));
    copy->n_tokens = session->n_tokens;
    copy->has_logits = session->has_logits;
    copy->is_behind = session->is_behind;
    copy->adapter_key = session->adapter_key;
    copy->n_prefilled_rows = session->n_prefilled_rows;
    copy->limit = session->limit;
    copy->stats = session->stats;
    copy->n_loaded_rows = session->n_loaded_rows;
    *out_session = copy;
    return SY_OK;
}

sy_status sy_session_clone(sy_session *session, sy_session **out_session, sy_error *error) {
    return copy_session(session, session->max_tokens, out_session, error);
}

sy_status sy_session_fork(sy_session *session, uint32_t max_tokens, uint32_t n_sessions,
                          sy_session **out_sessions, sy_error *error) {
    const sy_allocator *allocator = session->engine->allocator;
    max_tokens = max_tokens != 0 ? max_tokens : session->max_tokens;
    sy_status status = check_copy(session, max_tokens, error);
    if (status != SY_OK) {
        return status;
    }
    sy_session **made = sy__alloc_array(allocator, n_sessions, sizeof(sy_session *));
    if (made == NULL) {
        return sy__no_memory(error, n_sessions * sizeof(sy_session *), "forking a session");
    }
    uint32_t n = 0;
    while (status == SY_OK && n < n_sessions) {
        status = copy_session(session, max_tokens, &made[n], error);
        n += status == SY_OK;
    }
    if (status == SY_OK) {
        memcpy(out_sessions, made, n_sessions * sizeof(sy_session *));
    }
    for (; status != SY_OK && n > 0; n--) {
        sy_session_close(made[n - 1]);
    }
    sy__free_array(allocator, made, n_sessions, sizeof(sy_session *));
    return status;
}

/* Cuts the states; rows that went with a delegate are made again where they are to stay. */
static sy_status cut_states(sy_session *session, uint32_t n_rows, sy_error *error) {
    sy_status status = SY_OK;
    do {
        if (session->is_short && session->n_rows_left < n_rows) {
            status = sy__session_whole(session, error);
        }
        if (status == SY_OK) {
            status = sy_state_set_truncate(session->states, n_rows, error);
        }
    } while (sy__engine_goes_on(session->engine, &status, NULL, 0, error));
    session->is_short = session->is_short && status != SY_OK;
    return status;
}

/* Rows from n_rows on become the session's own, to be written again. */
static sy_status truncate_states(sy_session *session, uint32_t n_rows, sy_error *error) {
    sy_status status = sy__session_admit_writes(session, n_rows, error);
    if (status != SY_OK) {
        return status;
    }
    uint64_t own_bytes = sy__states_own_bytes(session->states);
    uint64_t n_moves = session->engine->failover.n_moves;
    status = cut_states(session, n_rows, error);
    if (SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED && session->engine->prefixes != NULL) {
        sy__prefix_shrink(session->engine->prefixes, 0); /* with whom the rows may be shared */
        own_bytes = sy__states_own_bytes(session->states);
        status = cut_states(session, n_rows, error);
    }
    if (session->engine->failover.n_moves != n_moves) {
        return status; /* all was counted again */
    }
    session->engine->reserved_bytes += sy__states_own_bytes(session->states) - own_bytes;
    return status;
}

sy_status sy__session_recompute(sy_session *session, uint32_t n_rows, uint32_t n_tokens,
                                sy_error *error) {
    /* the newest token's step gives the logits, so its row is written again in any case */
    n_rows = n_rows < n_tokens ? n_rows : n_tokens - (n_tokens > 0);
    n_rows = n_rows < session->n_loaded_rows ? 0 : n_rows;
    sy_status status = truncate_states(session, n_rows, error);
    if (SY_STATUS_CLASS(status) == SY_OUT_OF_RANGE && n_rows > 0) {
        n_rows = 0; /* the first of them have left a window */
        status = truncate_states(session, 0, error);
    }
    if (status != SY_OK) {
        return status;
    }
    session->n_loaded_rows = n_rows > 0 ? session->n_loaded_rows : 0;
    session->n_tokens = n_rows;
    if (session->n_prefilled_rows > n_rows) {
        session->n_prefilled_rows = n_rows;
    }
    session->has_logits = false;
    session->is_behind = false;
    if (n_rows + 1 == n_tokens) {
        sy__session_append(session, session->tokens[n_rows]);
    }
    while (status == SY_OK && session->n_tokens < n_tokens) {
        uint32_t n_left = n_tokens - session->n_tokens, n = session->engine->options.n_batch_tokens;
        n = n < n_left ? n : n_left;
        status =
            sy__session_commit(session, &session->tokens[session->n_tokens], n, n == n_left, error);
        session->stats.n_recomputed_tokens += status == SY_OK ? n : 0;
    }
    return status;
}

sy_status sy_session_rewind(sy_session *session, uint32_t n_tokens, sy_error *error) {
    if (n_tokens > session->n_tokens) {
        return sy_error_set(error, SY_OUT_OF_RANGE,
                            "The session holds %" PRIu32 " tokens; it cannot go back to %" PRIu32
                            ".",
                            session->n_tokens, n_tokens);
    }
    if (n_tokens == session->n_tokens) {
        return SY_OK;
    }
    return sy__session_recompute(session, n_tokens, n_tokens, error);
}
