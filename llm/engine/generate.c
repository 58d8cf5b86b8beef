/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generation: draw, commit, turn into text, look for stop texts, stream. Text that may still become
 * a stop text is held back in the session's fixed buffer.
 */
#include "base/clock.h"
#include "speculate/speculate_internal.h"

#include <string.h>

static void emit(sy__generation *g, const char *text, size_t n_bytes, sy_finish finish) {
    if (g->options.stream == NULL || (n_bytes == 0 && finish == SY_FINISH_NONE)) {
        return;
    }
    if (g->options.stream(g->options.user, text, n_bytes, finish) != 0) {
        g->refused = true;
    }
}

/* Place of the first stop text in the pending bytes, or n_pending. */
static size_t find_stop(const sy__generation *g, bool *out_found) {
    const char *pending = g->session->pending;
    size_t first = g->n_pending;
    for (uint32_t s = 0; s < g->options.n_stops; s++) {
        size_t n_stop = strlen(g->options.stops[s]);
        const char *at = n_stop > 0 && g->n_pending > 0
                             ? memmem(pending, g->n_pending, g->options.stops[s], n_stop)
                             : NULL;
        if (at != NULL && (size_t)(at - pending) < first) {
            first = (size_t)(at - pending);
            *out_found = true;
        }
    }
    return first;
}

/* Bytes at the end of the pending text that may be the beginning of a stop text. */
static size_t held_back(const sy__generation *g) {
    size_t longest = 0;
    for (uint32_t s = 0; s < g->options.n_stops; s++) {
        size_t n = strlen(g->options.stops[s]);
        for (n = n > g->n_pending + 1 ? g->n_pending : n - (n > 0); n > longest; n--) {
            if (memcmp(g->session->pending + g->n_pending - n, g->options.stops[s], n) == 0) {
                longest = n;
            }
        }
    }
    return longest;
}

/* Streams what is certain; answers true when a stop text was found. */
static bool flush_pending(sy__generation *g) {
    bool found = false;
    size_t n_certain = find_stop(g, &found);
    if (!found) {
        n_certain = g->n_pending - held_back(g);
    }
    emit(g, g->session->pending, n_certain, SY_FINISH_NONE);
    g->n_pending = found ? 0 : g->n_pending - n_certain;
    memmove(g->session->pending, g->session->pending + n_certain, g->n_pending);
    return found;
}

static sy_status push_token(sy__generation *g, int32_t token, bool *out_stopped, sy_error *error) {
    size_t n_bytes = 0;
    if (g->session->engine->tokenizer == NULL) {
        return SY_OK;
    }
    sy_status status =
        sy_detokenizer_push(&g->detokenizer, token, g->session->pending + g->n_pending,
                            g->session->pending_capacity - g->n_pending, &n_bytes, error);
    if (status == SY_OK) {
        g->n_pending += n_bytes;
        *out_stopped = flush_pending(g);
    }
    return status;
}

bool sy__generation_is_over(sy__generation *g) {
    const sy_session *session = g->session;
    uint32_t limit = g->options.n_tokens_max;
    if (g->result.finish != SY_FINISH_NONE) {
        return true;
    }
    if (sy__session_is_cancelled(session) || g->refused) {
        g->result.finish = SY_FINISH_CANCELLED;
    } else if ((limit > 0 && g->result.n_tokens >= limit) ||
               (session->n_tokens == session->max_tokens &&
                session->limit.at_limit == SY_AT_LIMIT_STOP)) {
        g->result.finish = SY_FINISH_LENGTH;
    }
    return g->result.finish != SY_FINISH_NONE;
}

/* The next token. Where a step is to be run for it anyway, a greedy one may be chosen there. */
static sy_status next_token(sy__generation *g, int32_t *out_token, sy_error *error) {
    sy_session *session = g->session;
    bool is_chosen = g->has_choice;
    sy_status status = SY_OK;
    if (is_chosen) {
        *out_token = g->choice;
        g->has_choice = false;
    } else if (session->is_behind && session->engine->chooses &&
               sy__sampler_is_greedy(g->sampler)) {
        status = sy__session_choose(session, out_token, &is_chosen, error);
    }
    return status != SY_OK || is_chosen ? status
                                        : sy__session_draw(session, g->sampler, out_token, error);
}

sy_status sy__generation_advance(sy__generation *g, sy_error *error) {
    sy_session *session = g->session;
    int32_t token = 0;
    bool stopped = false;
    if (sy__generation_is_over(g)) {
        return SY_OK;
    }
    sy_status status = sy__session_make_room(session, 1, error);
    if (SY_STATUS_CLASS(status) == SY_OUT_OF_RANGE) {
        sy_error_clear(error);
        g->result.finish = SY_FINISH_LENGTH;
        return SY_OK;
    }
    if (status == SY_OK) {
        status = next_token(g, &token, error);
    }
    if (status != SY_OK) {
        return status;
    }
    const sy_tokenizer *tokenizer = session->engine->tokenizer;
    if (!g->options.ignore_end && tokenizer != NULL && sy_tokenizer_is_end(tokenizer, token)) {
        g->result.finish = SY_FINISH_STOP;
        return SY_OK;
    }
    sy__session_append(session, token); /* its text need not wait for its step */
    g->result.n_tokens++;
    status = push_token(g, token, &stopped, error);
    if (status == SY_OK && stopped) {
        g->result.finish = SY_FINISH_STOP;
    }
    return status;
}

/* What was held back, and a character cut in half, go out with the terminal call. */
void sy__generation_finish(sy__generation *g) {
    char *pending = g->session->pending;
    if (g->session->engine->tokenizer != NULL) {
        g->n_pending += sy_detokenizer_finish(&g->detokenizer, pending + g->n_pending,
                                              g->session->pending_capacity - g->n_pending);
    }
    if (g->options.stream != NULL) {
        (void)g->options.stream(g->options.user, pending, g->n_pending, g->result.finish);
    }
}

static sy_status check_stops(const sy_generate_options *options, sy_error *error) {
    for (uint32_t s = 0; s < options->n_stops; s++) {
        if (options->stops == NULL || options->stops[s] == NULL ||
            strlen(options->stops[s]) > SY__STOP_TEXT_BYTES) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "A stop text is missing or longer than %u bytes.",
                                SY__STOP_TEXT_BYTES);
        }
    }
    return SY_OK;
}

sy_status sy__generation_begin(sy__generation *g, sy_session *session, sy_sampler *sampler,
                               const sy_generate_options *options, sy_error *error) {
    *g = (sy__generation){.session = session, .sampler = sampler};
    g->options = options != NULL ? *options : (sy_generate_options){.struct_bytes = 0};
    sy_status status = check_stops(&g->options, error);
    const sy_speculator *speculator = g->options.speculator;
    if (status == SY_OK && speculator != NULL && speculator->engine != session->engine) {
        status = sy_error_set(error, SY_INVALID_ARGUMENT,
                              "The speculator was made for another engine than the session's.");
    }
    if (status == SY_OK && session->engine->tokenizer != NULL) {
        sy_detokenizer_init(&g->detokenizer, session->engine->tokenizer, SY_DECODE_KEEP_SPACE);
    }
    if (status == SY_OK) {
        sy__session_begin(session);
    }
    return status;
}

sy_status sy_session_generate(sy_session *session, sy_sampler *sampler,
                              const sy_generate_options *options, sy_generate_result *out_result,
                              sy_error *error) {
    sy__generation g;
    sy_status status = sy__generation_begin(&g, session, sampler, options, error);
    if (status != SY_OK) {
        return status;
    }
    uint64_t start = sy__clock_now_ns();
    while (status == SY_OK && !sy__generation_is_over(&g)) {
        status = options != NULL && options->speculator != NULL && session->is_behind
                     ? sy__speculator_advance(&g, error)
                     : sy__generation_advance(&g, error);
    }
    sy__session_end(session);
    g.result.decode_ns = sy__clock_now_ns() - start;
    if (status != SY_OK) {
        g.result.finish = SY_FINISH_FAILED;
    }
    sy__generation_finish(&g);
    if (out_result != NULL) {
        *out_result = g.result;
    }
    return status;
}
