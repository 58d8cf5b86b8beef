/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_internal.h"

#include <inttypes.h>
#include <string.h>

size_t sy__session_pending_bytes(const sy_engine *engine) {
    size_t n_piece =
        engine->tokenizer != NULL ? sy_tokenizer_max_piece_bytes(engine->tokenizer) : 0;
    return 2 * SY__STOP_TEXT_BYTES + n_piece + 8;
}

static sy_status reserve(sy_session *session, sy_error *error) {
    sy_engine *engine = session->engine;
    session->tokens = sy__alloc_array(engine->allocator, session->max_tokens, sizeof(int32_t));
    session->logits = sy__alloc_array(engine->allocator, engine->info.n_vocabulary, sizeof(float));
    session->pending_capacity = sy__session_pending_bytes(engine);
    session->pending = sy__alloc_array(engine->allocator, session->pending_capacity, 1);
    if (session->tokens == NULL || session->logits == NULL || session->pending == NULL) {
        return sy__no_memory(error, session->max_tokens * sizeof(int32_t), "a session");
    }
    return SY_OK;
}

sy_status sy__session_check_length(const sy_engine *engine, uint32_t max_tokens, sy_error *error) {
    if (engine->info.is_encoder) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "'%s' is an encoder: it has no sessions; use sy_engine_encode.",
                            engine->info.architecture);
    }
    if (max_tokens <= engine->info.n_context_tokens) {
        return SY_OK;
    }
    sy_error_set(error, SY_OUT_OF_RANGE,
                 "A session of %" PRIu32 " tokens was asked for; this engine was made for %" PRIu32
                 ".",
                 max_tokens, engine->info.n_context_tokens);
    sy_error_hint(error, "Make the engine with a larger context (-c).");
    return SY_OUT_OF_RANGE;
}

sy_status sy__session_new(sy_engine *engine, uint32_t max_tokens, uint64_t n_state_bytes,
                          sy_session **out_session, sy_error *error) {
    uint64_t n_bytes = sy__engine_session_heap_bytes(engine, max_tokens);
    sy_status status = sy__engine_admit(engine, max_tokens, n_bytes + n_state_bytes, error);
    if (status != SY_OK) {
        return status;
    }
    sy_session *session = SY__NEW(engine->allocator, sy_session);
    if (session == NULL) {
        return sy__no_memory(error, sizeof(*session), "a session");
    }
    session->engine = engine;
    session->after = engine->sessions;
    if (session->after != NULL) {
        session->after->before = session;
    }
    engine->sessions = session;
    session->copy_every_tokens = engine->options.failover.copy_every_tokens;
    session->max_tokens = max_tokens;
    session->reserved_bytes = n_bytes;
    engine->reserved_bytes += n_bytes;
    status = reserve(session, error);
    if (status != SY_OK) {
        sy_session_close(session);
        return status;
    }
    *out_session = session;
    return SY_OK;
}

sy_status sy__session_attach(sy_session *session, sy_state_set *states, sy_error *error) {
    sy_status status = sy_state_set_keep(states, session->copy_every_tokens, error);
    if (status != SY_OK) {
        sy_state_set_destroy(states);
        return status;
    }
    session->states = states;
    session->engine->reserved_bytes += sy__states_own_bytes(states);
    return SY_OK;
}

uint64_t sy__engine_copy_bytes(const sy_engine *engine, uint32_t copy_every_tokens,
                               uint32_t max_tokens) {
    return copy_every_tokens > 0 ? sy_state_copy_bytes(engine->executor, max_tokens) : 0;
}

sy_status sy_session_open(sy_engine *engine, uint32_t max_tokens, sy_session **out_session,
                          sy_error *error) {
    sy_session *session = NULL;
    sy_state_set *states = NULL;
    max_tokens = max_tokens != 0 ? max_tokens : engine->info.n_context_tokens;
    sy_status status = sy__session_check_length(engine, max_tokens, error);
    if (status == SY_OK) {
        uint64_t n_bytes =
            sy__engine_state_bytes(engine, max_tokens) +
            sy__engine_copy_bytes(engine, engine->options.failover.copy_every_tokens, max_tokens);
        status = sy__session_new(engine, max_tokens, n_bytes, &session, error);
    }
    if (status != SY_OK) {
        return status;
    }
    do {
        status = sy_state_set_create(engine->executor, session->max_tokens, &states, error);
    } while (sy__engine_goes_on(engine, &status, NULL, 0, error));
    if (status == SY_OK) {
        status = sy__session_attach(session, states, error);
    }
    if (status != SY_OK) {
        sy_session_close(session);
        return status;
    }
    *out_session = session;
    return SY_OK;
}

void sy_session_close(sy_session *session) {
    if (session == NULL) {
        return;
    }
    sy_engine *engine = session->engine;
    *(session->before != NULL ? &session->before->after : &engine->sessions) = session->after;
    if (session->after != NULL) {
        session->after->before = session->before;
    }
    engine->reserved_bytes -= session->reserved_bytes;
    sy__states_release(session->states, &engine->reserved_bytes);
    sy__free_array(engine->allocator, session->tokens, session->max_tokens, sizeof(int32_t));
    sy__free_array(engine->allocator, session->logits, engine->info.n_vocabulary, sizeof(float));
    sy__free_array(engine->allocator, session->pending, session->pending_capacity, 1);
    SY__DELETE(engine->allocator, session);
}

sy_status sy__session_check_room(const sy_session *session, uint32_t n_tokens, sy_error *error) {
    if (n_tokens <= session->max_tokens - session->n_tokens) {
        return SY_OK;
    }
    sy_error_set(error, SY_OUT_OF_RANGE,
                 "%" PRIu32 " tokens do not fit: the session holds %" PRIu32 " of %" PRIu32 ".",
                 n_tokens, session->n_tokens, session->max_tokens);
    sy_error_hint(error, "Open the session with more tokens, rewind it, or let it slide.");
    return SY_OUT_OF_RANGE;
}

sy_status sy__session_check_tokens(const sy_session *session, const int32_t *tokens,
                                   uint32_t n_tokens, sy_error *error) {
    for (uint32_t i = 0; i < n_tokens; i++) {
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= session->engine->info.n_vocabulary) {
            return sy_error_set(error, SY_OUT_OF_RANGE,
                                "Token %" PRId32 " at place %" PRIu32
                                " is outside the vocabulary of %" PRIu32 ".",
                                tokens[i], i, session->engine->info.n_vocabulary);
        }
    }
    return SY_OK;
}

sy_status sy__session_commit(sy_session *session, const int32_t *tokens, uint32_t n_tokens,
                             bool wants_logits, sy_error *error) {
    const float *row = NULL;
    sy_status status = sy__session_step(session, tokens, n_tokens, session->n_tokens,
                                        wants_logits ? 1 : 0, &row, error);
    if (status != SY_OK) {
        return status;
    }
    if (wants_logits) {
        memcpy(session->logits, row, session->engine->info.n_vocabulary * sizeof(float));
    }
    memmove(&session->tokens[session->n_tokens], tokens, n_tokens * sizeof(int32_t));
    session->n_tokens += n_tokens;
    session->has_logits = wants_logits;
    return SY_OK;
}

void sy__session_count_prefilled(sy_session *session, uint32_t n_tokens) {
    session->stats.n_prefilled_tokens += n_tokens;
    if (session->n_prefilled_rows + n_tokens == session->n_tokens) {
        session->n_prefilled_rows = session->n_tokens;
    }
}

/* One chunk of what is left, cut where the session is full. Only the last one makes logits. */
static sy_status prefill_chunk(sy_session *session, const int32_t *tokens, uint32_t n_left,
                               uint32_t *out_n, sy_error *error) {
    sy_status status = sy__session_make_room(session, 1, error);
    uint32_t n_free = session->max_tokens - session->n_tokens;
    uint32_t n = session->engine->options.n_batch_tokens;
    n = n < n_left ? n : n_left;
    n = n < n_free ? n : n_free;
    if (status == SY_OK) {
        status = sy__session_commit(session, tokens, n, n == n_left, error);
    }
    if (status == SY_OK) {
        sy__session_count_prefilled(session, n);
    }
    *out_n = status == SY_OK ? n : 0;
    return status;
}

sy_status sy_session_prefill(sy_session *session, const int32_t *tokens, uint32_t n_tokens,
                             sy_error *error) {
    sy_status status = sy__session_check_tokens(session, tokens, n_tokens, error);
    if (status == SY_OK && session->limit.at_limit == SY_AT_LIMIT_STOP) {
        status = sy__session_check_room(session, n_tokens, error); /* all or none */
    }
    sy__session_begin(session);
    if (status == SY_OK && n_tokens > 0) {
        status = sy__session_catch_up(session, error);
    }
    uint32_t n_reused = status == SY_OK ? sy__session_reuse(session, tokens, n_tokens) : 0;
    uint32_t done = n_reused;
    for (uint32_t n = 0; status == SY_OK && done < n_tokens; done += n) {
        if (sy__session_is_cancelled(session)) {
            status = sy_error_set(error, SY_CANCELLED,
                                  "Prefill was cancelled after %" PRIu32 " of %" PRIu32 " tokens.",
                                  done, n_tokens);
            break;
        }
        status = prefill_chunk(session, tokens + done, n_tokens - done, &n, error);
    }
    if (status == SY_OK) {
        sy__session_store(session);
    } else if (n_reused > 0 && session->n_tokens == n_reused) {
        (void)sy__session_recompute(session, 0, 0, NULL); /* as empty as before */
    } else if (done > n_reused && !session->has_logits) {
        /* cut off between chunks: the newest token is left to be computed again */
        (void)sy__session_recompute(session, session->n_tokens, session->n_tokens, NULL);
    }
    sy__session_end(session);
    return status;
}

sy_status sy_session_logits(sy_session *session, const float **out_logits, sy_error *error) {
    sy_status status = sy__session_need_logits(session, error);
    if (status == SY_OK) {
        *out_logits = session->logits;
    }
    return status;
}

sy_status sy_session_decode(sy_session *session, sy_sampler *sampler, int32_t *out_token,
                            sy_error *error) {
    int32_t token = 0;
    sy_status status = sy__session_draw(session, sampler, &token, error);
    if (status == SY_OK) {
        status = sy__session_make_room(session, 1, error);
    }
    if (status == SY_OK) {
        status = sy__session_commit(session, &token, 1, true, error);
    }
    if (status == SY_OK) {
        *out_token = token;
    }
    return status;
}

const int32_t *sy_session_tokens(const sy_session *session, uint32_t *out_n_tokens) {
    *out_n_tokens = session->n_tokens;
    return session->tokens;
}

void sy_session_get_stats(const sy_session *session, sy_session_stats *out_stats) {
    *out_stats = session->stats;
}

uint32_t sy_session_max_tokens(const sy_session *session) {
    return session->max_tokens;
}

sy_engine *sy_session_engine(const sy_session *session) {
    return session->engine;
}
