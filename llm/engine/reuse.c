/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prefixes that sessions share. What prefill computed from the beginning of a session is stored; an
 * empty session that is given the same tokens again forks it. Only rows that prefill made are
 * stored: those are the rows that prefill would make again, so that reuse changes nothing.
 */
#include "engine/engine_internal.h"

#include <string.h>

#define BLOCK_TOKENS 16u /* where delegates share nothing */

sy_status sy__engine_make_prefixes(sy_engine *engine, sy_error *error) {
    sy_state_memory need;
    uint64_t limit = engine->options.prefix_bytes;
    if (limit == 0 || engine->info.is_encoder) {
        return SY_OK;
    }
    sy_status status = sy_state_need_create(engine->executor, 1, 1, &need, error);
    if (status != SY_OK) {
        return status;
    }
    const sy__prefix_options options = {
        .block_tokens = need.block_tokens != 0 ? (uint32_t)need.block_tokens : BLOCK_TOKENS,
        .cannot_be_cut = engine->has_windows,
        .limit_bytes = limit,
        .reserved = &engine->reserved_bytes};
    return sy__prefix_create(engine->allocator, &options, &engine->prefixes, error);
}

uint32_t sy__session_reuse(sy_session *session, const int32_t *tokens, uint32_t n_tokens) {
    sy__prefix_store *store = session->engine->prefixes;
    sy_state_set *states = NULL;
    if (store == NULL || session->n_tokens > 0 || n_tokens < 2) {
        return 0;
    }
    /* the last token is always processed: its logits are wanted */
    uint32_t n_most = n_tokens - 1;
    n_most = n_most < session->max_tokens ? n_most : session->max_tokens;
    sy__prefix_match match = sy__prefix_find(store, session->adapter_key, tokens, n_most);
    if (match.set == NULL ||
        sy_state_set_fork(match.set, match.n_rows, session->max_tokens, &states, NULL) != SY_OK) {
        return 0; /* computed then */
    }
    sy_state_set *before = session->states;
    if (sy__session_attach(session, states, NULL) != SY_OK) {
        return 0;
    }
    sy__states_release(before, &session->engine->reserved_bytes);
    session->is_short = false;
    memcpy(session->tokens, tokens, match.n_rows * sizeof(int32_t));
    session->n_tokens = match.n_rows;
    session->n_prefilled_rows = match.n_rows;
    session->stats.n_reused_tokens += match.n_rows;
    session->stats.n_prefilled_tokens += match.n_rows;
    return match.n_rows;
}

void sy__session_store(sy_session *session) {
    sy_engine *engine = session->engine;
    sy_state_memory held;
    sy_state_set *states = NULL;
    if (engine->prefixes == NULL || session->is_short) {
        return;
    }
    uint32_t n = sy__prefix_whole(engine->prefixes, session->n_prefilled_rows);
    uint64_t n_bytes = sy_state_set_bytes(session->states, n);
    if (!sy__prefix_wants(engine->prefixes, session->adapter_key, session->tokens, n, n_bytes) ||
        sy_state_need_fork(session->states, n, n, &held, NULL) != SY_OK ||
        !sy__engine_has_room(engine, held.own_bytes) ||
        sy_state_set_fork(session->states, n, n, &states, NULL) != SY_OK) {
        return;
    }
    if (sy_state_set_usage(states, &held, NULL) == SY_OK) {
        n_bytes = held.own_bytes + held.shared_bytes;
    }
    if (!sy__prefix_wants(engine->prefixes, session->adapter_key, session->tokens, n, n_bytes)) {
        sy_state_set_destroy(states);
        return;
    }
    (void)sy__prefix_put(engine->prefixes, session->adapter_key, session->tokens, n, states,
                         n_bytes, NULL);
}
