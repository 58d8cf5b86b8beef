/* SPDX-License-Identifier: Apache-2.0 */
/* What a full session does: stop, slide behind its sinks, or drop what the application names. */
#include "engine/engine_internal.h"

#include <inttypes.h>
#include <string.h>

/* Positions may enter through rotations only: those can be turned back. */
bool sy__engine_can_move_rows(const sy_engine *engine) {
    uint32_t n_nodes = sy_graph_n_nodes(engine->model.graph);
    for (uint32_t i = 0; i < n_nodes; i++) {
        sy_node_view node;
        bool known = sy_graph_node(engine->model.graph, i, &node) == SY_OK;
        for (uint32_t k = 0; known && k < node.n_inputs; k++) {
            if (node.inputs[k] == engine->model.positions &&
                strcmp(node.op, "RotaryEmbedding") != 0) {
                return false;
            }
        }
    }
    return true;
}

sy_status sy__limit_check(const sy_limit_options *options, uint32_t max_tokens, sy_error *error) {
    if (options->at_limit > SY_AT_LIMIT_PRUNE ||
        (options->at_limit == SY_AT_LIMIT_PRUNE && options->prune == NULL)) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "A session stops, slides, or prunes by a callback at its limit.");
    }
    if (options->at_limit == SY_AT_LIMIT_SLIDE &&
        (options->n_sink_tokens >= max_tokens || max_tokens - options->n_sink_tokens < 2)) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "%" PRIu32 " sinks leave no room to slide in a session of %" PRIu32
                            " tokens.",
                            options->n_sink_tokens, max_tokens);
    }
    return SY_OK;
}

sy_status sy_session_set_limit(sy_session *session, const sy_limit_options *options,
                               sy_error *error) {
    static const sy_limit_options stop = {.struct_bytes = sizeof(stop)};
    options = options != NULL ? options : &stop;
    sy_status status = sy__limit_check(options, session->max_tokens, error);
    if (status == SY_OK) {
        session->limit = *options;
    }
    return status;
}

/* Also tells the first row that is written: that behind the first range, or the newest one that
 * stays, which may be made again. */
static sy_status check_ranges(const sy_session *session, const sy_token_range *ranges, uint32_t n,
                              uint32_t *out_first, sy_error *error) {
    uint32_t end = 0, n_dropped = 0, first = session->n_tokens;
    for (uint32_t i = 0; i < n; i++) {
        if (ranges[i].first < end || ranges[i].first > session->n_tokens ||
            ranges[i].n_tokens > session->n_tokens - ranges[i].first) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "Range %" PRIu32 " to drop (%" PRIu32 " + %" PRIu32
                                ") overlaps the one before it or passes the %" PRIu32 " tokens.",
                                i, ranges[i].first, ranges[i].n_tokens, session->n_tokens);
        }
        first = n_dropped == 0 && ranges[i].n_tokens > 0 ? ranges[i].first : first;
        end = ranges[i].first + ranges[i].n_tokens;
        n_dropped += ranges[i].n_tokens;
    }
    if (n_dropped > 0 && n_dropped == session->n_tokens) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "All tokens were named to be dropped; rewind to 0 instead.");
    }
    uint32_t n_left = session->n_tokens - n_dropped;
    *out_first = first < n_left ? first : n_left - (n_left > 0);
    return SY_OK;
}

static void drop_tokens(sy_session *session, uint32_t first, uint32_t count, uint32_t *inout_n) {
    memmove(&session->tokens[first], &session->tokens[first + count],
            (*inout_n - first - count) * sizeof(int32_t));
    *inout_n -= count;
    session->stats.n_dropped_tokens += count;
}

static sy_status move_rows(sy_session *session, uint32_t first, uint32_t count, sy_error *error) {
    sy_status status = SY_OK;
    do {
        status = sy__session_whole(session, error);
        uint64_t own_bytes = sy__states_own_bytes(session->states);
        if (status == SY_OK) {
            status = sy_state_set_drop(session->states, session->n_tokens, first, count, error);
        }
        session->engine->reserved_bytes += sy__states_own_bytes(session->states) - own_bytes;
    } while (sy__engine_goes_on(session->engine, &status, NULL, 0, error));
    return status;
}

/* The first range first: once its rows are the session's own, the others need no memory any more.
 * Where rows cannot be moved, the tokens that stay are processed again behind the first range. */
sy_status sy_session_drop(sy_session *session, const sy_token_range *ranges, uint32_t n_ranges,
                          sy_error *error) {
    uint32_t first_written = 0;
    sy_status status = check_ranges(session, ranges, n_ranges, &first_written, error);
    if (status == SY_OK) {
        status = sy__session_catch_up(session, error);
    }
    if (status == SY_OK) {
        status = sy__session_admit_writes(session, first_written, error);
    }
    uint32_t n_tokens = session->n_tokens, n_good = n_tokens, n_dropped = 0;
    bool moved = session->engine->can_move_rows, is_tail = false;
    for (uint32_t i = 0; status == SY_OK && i < n_ranges; i++) {
        uint32_t first = ranges[i].first - n_dropped, count = ranges[i].n_tokens;
        sy_status moving = SY_OK;
        if (moved && count > 0) {
            moving = move_rows(session, first, count, error);
        }
        if (n_dropped == 0 && SY_STATUS_CLASS(moving) == SY_RESOURCE_EXHAUSTED) {
            return moving; /* nothing has changed */
        }
        moved = moved && moving == SY_OK;
        n_good = n_dropped == 0 && count > 0 ? first : n_good;
        is_tail = count > 0 ? first + count == n_tokens : is_tail;
        drop_tokens(session, first, count, &n_tokens);
        n_dropped += count;
        session->n_tokens = moved ? n_tokens : n_good; /* the rows that are good */
    }
    if (status != SY_OK || n_dropped == 0) {
        return status;
    }
    if (session->n_prefilled_rows > n_good) {
        session->n_prefilled_rows = n_good; /* those behind have seen what was dropped */
    }
    if (moved && session->engine->has_windows) {
        session->n_loaded_rows =
            n_tokens; /* rows behind a window were not turned with the others */
    }
    if (moved && !is_tail) {
        return SY_OK;
    }
    sy_error_clear(error);
    session->has_logits = false; /* of a token that went, or whose row is to be made again */
    status = sy__session_recompute(session, moved ? n_tokens : n_good, n_tokens, error);
    return status == SY_OK ? sy__session_catch_up(session, error) : status; /* steps may follow */
}

static sy_status slide(sy_session *session, uint32_t n_wanted, sy_error *error) {
    uint32_t n_sinks = session->limit.n_sink_tokens, n_drop = session->limit.n_drop_tokens;
    uint32_t n_after = session->n_tokens > n_sinks ? session->n_tokens - n_sinks : 0;
    uint32_t n_missing = n_wanted - (session->max_tokens - session->n_tokens);
    n_drop = n_drop != 0 ? n_drop : n_after / 2;
    n_drop = n_drop > n_missing ? n_drop : n_missing;
    if (n_missing >= n_after) {
        return sy__session_check_room(session, n_wanted, error);
    }
    sy_token_range range = {.first = n_sinks, .n_tokens = n_drop < n_after ? n_drop : n_after - 1};
    return sy_session_drop(session, &range, 1, error);
}

static sy_status prune(sy_session *session, sy_error *error) {
    sy_token_range ranges[SY_PRUNE_RANGES_MAX];
    uint32_t n = session->limit.prune(session->limit.user, session->tokens, session->n_tokens,
                                      ranges, SY_PRUNE_RANGES_MAX);
    if (n > SY_PRUNE_RANGES_MAX) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "The prune callback named %" PRIu32 " ranges, more than %u.", n,
                            SY_PRUNE_RANGES_MAX);
    }
    return sy_session_drop(session, ranges, n, error);
}

sy_status sy__session_make_room(sy_session *session, uint32_t n_tokens, sy_error *error) {
    if (n_tokens <= session->max_tokens - session->n_tokens) {
        return SY_OK;
    }
    sy_status status = SY_OK;
    if (session->limit.at_limit == SY_AT_LIMIT_SLIDE) {
        status = slide(session, n_tokens, error);
    } else if (session->limit.at_limit == SY_AT_LIMIT_PRUNE) {
        status = prune(session, error);
    }
    return status == SY_OK ? sy__session_check_room(session, n_tokens, error) : status;
}
