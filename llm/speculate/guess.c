/* SPDX-License-Identifier: Apache-2.0 */
/* Where guesses come from: a draft model, or the text so far. */
#include "base/clock.h"
#include "speculate/speculate_internal.h"

#include <string.h>

#define LOOK_BACK_TOKENS 16384u /* the search must not cost what a step costs */
#define MATCH_TOKENS_LEAST 2u

/* The newest place before the end where the last n_match tokens stand; 0: none. Answers the place
 * behind them. */
static uint32_t find_earlier(const int32_t *tokens, uint32_t n_tokens, uint32_t n_match) {
    const int32_t *last = tokens + n_tokens - n_match;
    uint32_t n_least = n_tokens > LOOK_BACK_TOKENS ? n_tokens - LOOK_BACK_TOKENS : 0;
    for (uint32_t end = n_tokens - 1; end >= n_least + n_match; end--) {
        if (tokens[end - 1] == last[n_match - 1] &&
            memcmp(tokens + end - n_match, last, n_match * sizeof(int32_t)) == 0) {
            return end;
        }
    }
    return 0;
}

/* What followed where the newest tokens stood before, the longest match first. */
static void look_up(sy_speculator *speculator, const sy_session *session, uint32_t n_most) {
    const int32_t *tokens = session->tokens;
    const uint32_t n = session->n_tokens;
    uint32_t n_match = sy__smaller(speculator->options.n_match_tokens, n > 0 ? n - 1 : 0);
    for (; n_match >= MATCH_TOKENS_LEAST; n_match--) {
        uint32_t at = find_earlier(tokens, n, n_match);
        if (at > 0) {
            for (uint32_t i = 0; i < n_most; i++) { /* may run into the guesses themselves */
                int32_t *guesses = speculator->guesses;
                guesses[i] = at + i < n ? tokens[at + i] : guesses[at + i - n];
            }
            speculator->n_guesses = n_most;
            return;
        }
    }
}

/* Brings the draft's session to the session's tokens. */
static sy_status follow(sy_session *draft, const sy_session *session) {
    uint32_t n_same = 0, n = session->n_tokens;
    while (n_same < n && n_same < draft->n_tokens &&
           draft->tokens[n_same] == session->tokens[n_same]) {
        n_same++;
    }
    if (n >= draft->max_tokens) {
        return SY_OUT_OF_RANGE;
    }
    n_same = n_same < n ? n_same : n - 1; /* the newest one gives logits */
    sy_status status = sy_session_rewind(draft, n_same, NULL);
    return status == SY_OK ? sy_session_prefill(draft, session->tokens + n_same, n - n_same, NULL)
                           : status;
}

/* The draft draws with the random numbers that the model will draw with, so that where both are of
 * one mind they draw the same. A draft that fails has no guesses. */
static void ask_draft(sy_speculator *speculator, const sy_session *session, sy_sampler *sampler,
                      uint32_t n_most) {
    uint64_t random[4] = {0};
    sy_session *draft = speculator->draft;
    sy_status status = follow(draft, session);
    uint32_t n_room = draft->max_tokens - draft->n_tokens;
    if (sampler != NULL) {
        sy_sampler_get_state(sampler, random);
    }
    for (uint32_t i = 0; status == SY_OK && i < sy__smaller(n_most, n_room); i++) {
        int32_t token = 0;
        status = sy__session_draw(draft, sampler, &token, NULL);
        if (status == SY_OK) {
            sy__session_append(draft, token); /* the last one's step is not needed */
            speculator->guesses[speculator->n_guesses++] = token;
        }
    }
    if (sampler != NULL) {
        sy_sampler_set_state(sampler, random);
    }
}

void sy__speculator_guess(sy_speculator *speculator, const sy_session *session, sy_sampler *sampler,
                          uint32_t n_most) {
    const uint64_t start = sy__clock_now_ns();
    n_most = sy__smaller(n_most, speculator->options.n_guesses);
    speculator->n_guesses = 0;
    if (n_most > 0 && sy__speculator_may_guess(speculator)) {
        if (speculator->draft != NULL) {
            ask_draft(speculator, session, sampler, n_most);
        } else {
            look_up(speculator, session, n_most);
        }
    }
    speculator->guess_ns = sy__clock_now_ns() - start;
}

uint32_t sy__speculator_room(const sy__generation *g) {
    const sy_session *session = g->session;
    uint32_t n_free = session->max_tokens - session->n_tokens;
    uint32_t n_room = n_free > 0 ? n_free - 1 : 0; /* the model's own token comes on top */
    uint32_t limit = g->options.n_tokens_max;
    if (limit > 0) {
        uint32_t n_left = limit > g->result.n_tokens ? limit - g->result.n_tokens : 0;
        n_room = sy__smaller(n_room, n_left > 0 ? n_left - 1 : 0);
    }
    return n_room;
}
