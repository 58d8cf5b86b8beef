/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a session must hold, kept naively: its tokens and, once rows were moved, how it came to
 * them. From that the session is made again from nothing, by an engine that reads whole prompts at
 * once, shares nothing and has no budget; the two must then agree in every bit.
 */
#ifndef SY_TESTS_SOAK_MODEL_H
#define SY_TESTS_SOAK_MODEL_H

#include "engine/engine_internal.h"
#include "lora/adapter_file.h"
#include "switchyard/score.h"

#include <stdbool.h>

enum {
    SOAK_TOKENS = 128,   /* of the longest session */
    SOAK_HISTORY = 1500, /* numbers */
    SOAK_HISTORY_A_CALL = 400,
    SOAK_RANGES = 3,
    SOAK_ADAPTERS = 2
};

/* In a history: tokens, and calls. */
enum {
    SOAK_DROP = -1,  /* n ranges, then the ranges */
    SOAK_BACK = -2,  /* to n tokens */
    SOAK_AGAIN = -3, /* the newest row is made again, as after a load */
    SOAK_CUT = -4    /* to n tokens, of which none is made again */
};

typedef struct soak_model {
    int32_t tokens[SOAK_TOKENS];
    uint32_t n_tokens, max_tokens;
    uint32_t adapters; /* set of 1 << i */
    /* Rows that were moved are not those that the tokens alone would give. */
    bool has_moved;
    bool is_unsure;  /* with windows: whether rows were moved or computed again is not known */
    uint32_t n_pure; /* the first rows that nothing was ever dropped before */
    int32_t history[SOAK_HISTORY];
    uint32_t n_history, i_newest_drop, n_after_drop, n_drops;
} soak_model;

static inline void soak_note(soak_model *m, int32_t number) {
    CHECK(m->n_history < SOAK_HISTORY);
    m->history[m->n_history++] = number;
}

static inline void soak_append(soak_model *m, const int32_t *tokens, uint32_t n) {
    CHECK(n <= m->max_tokens - m->n_tokens);
    for (uint32_t i = 0; i < n; i++) {
        m->tokens[m->n_tokens++] = tokens[i];
        if (m->has_moved) {
            soak_note(m, tokens[i]);
        }
    }
}

static inline void soak_is_pure(soak_model *m) {
    m->has_moved = m->is_unsure = false;
    m->n_history = 0;
}

static inline void soak_back(soak_model *m, uint32_t n) {
    if (m->has_moved && n <= m->n_pure) {
        soak_is_pure(m);
    }
    if (m->has_moved && n < m->n_tokens) {
        soak_note(m, SOAK_BACK);
        soak_note(m, (int32_t)n);
    }
    m->n_tokens = n;
}

static inline void soak_newest_again(soak_model *m) {
    if (m->has_moved && m->n_tokens > 0) {
        soak_note(m, SOAK_AGAIN);
    }
}

/* Takes ranges out of the tokens. */
static inline void soak_take_out(soak_model *m, const sy_token_range *ranges, uint32_t n) {
    uint32_t n_dropped = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t first = ranges[i].first - n_dropped, count = ranges[i].n_tokens;
        memmove(m->tokens + first, m->tokens + first + count,
                (m->n_tokens - first - count) * sizeof(int32_t));
        m->n_tokens -= count;
        n_dropped += count;
    }
}

/* Ranges of some tokens, as sy_session_drop takes them. Without the newest tokens it is a way back:
 * the last one that stays is computed again. */
static inline void soak_drop(soak_model *m, const sy_token_range *ranges, uint32_t n) {
    bool is_tail = ranges[n - 1].first + ranges[n - 1].n_tokens == m->n_tokens;
    if (is_tail && n == 1) {
        soak_back(m, ranges[0].first);
        return;
    }
    if (!m->has_moved) {
        m->has_moved = true;
        memcpy(m->history, m->tokens, m->n_tokens * sizeof(int32_t));
        m->n_history = m->n_tokens;
        m->n_pure = m->n_tokens;
    }
    m->n_pure = ranges[0].first < m->n_pure ? ranges[0].first : m->n_pure;
    m->i_newest_drop = m->n_history;
    soak_note(m, SOAK_DROP);
    soak_note(m, (int32_t)n);
    for (uint32_t i = 0; i < n; i++) {
        soak_note(m, (int32_t)ranges[i].first);
        soak_note(m, (int32_t)ranges[i].n_tokens);
    }
    soak_take_out(m, ranges, n);
    if (is_tail) {
        soak_newest_again(m);
    }
    m->n_after_drop = m->n_tokens;
    m->n_drops++;
}

/* After a call that computed n_recomputed rows again: those of all tokens as they stood then, or
 * those from where the newest drop began. */
static inline void soak_settle(soak_model *m, uint64_t n_recomputed) {
    uint32_t n_drops = m->n_drops, n_stood = n_drops > 0 ? m->n_after_drop : m->n_tokens;
    m->n_drops = 0;
    if (!m->has_moved || n_recomputed == 0) {
        return;
    }
    if (n_drops > 1) {
        m->is_unsure = true;
    } else if (n_drops == 0 ||
               n_recomputed >= n_stood) { /* a way back makes all or nothing again */
        soak_is_pure(m);
    } else {
        uint32_t n_kept = n_stood - (uint32_t)n_recomputed;
        m->n_history = m->i_newest_drop;
        soak_note(m, SOAK_CUT);
        soak_note(m, (int32_t)n_kept);
        for (uint32_t i = n_kept; i < m->n_tokens; i++) {
            soak_note(m, m->tokens[i]);
        }
    }
}

/* The engine that makes sessions again. */
typedef struct soak_naive {
    engine_kit kit;
    sy_adapter *adapters[SOAK_ADAPTERS];
} soak_naive;

static inline void soak_repeat(soak_naive *naive, sy_session *session, const int32_t *history,
                               uint32_t n) {
    sy_error *error = &naive->kit.error;
    for (uint32_t i = 0; i < n;) {
        uint32_t n_run = 0;
        while (i + n_run < n && history[i + n_run] >= 0) {
            n_run++;
        }
        CHECK_OK_ERROR(sy_session_prefill(session, history + i, n_run, error), *error);
        i += n_run;
        if (i < n && history[i] == SOAK_BACK) {
            sy_status status = sy_session_rewind(session, (uint32_t)history[i + 1], error);
            CHECK_OK_ERROR(status, *error);
            i += 2;
        } else if (i < n && history[i] == SOAK_AGAIN) {
            CHECK_OK(sy_state_set_truncate(session->states, session->n_tokens - 1, error));
            session->has_logits = false;
            session->is_behind = true;
            i++;
        } else if (i < n && history[i] == SOAK_CUT) {
            session->n_tokens = (uint32_t)history[i + 1];
            CHECK_OK(sy_state_set_truncate(session->states, session->n_tokens, error));
            i += 2;
        } else if (i < n) {
            sy_token_range ranges[SOAK_RANGES];
            uint32_t n_ranges = (uint32_t)history[i + 1];
            for (uint32_t k = 0; k < n_ranges; k++) {
                ranges[k].first = (uint32_t)history[i + 2 + 2 * k];
                ranges[k].n_tokens = (uint32_t)history[i + 3 + 2 * k];
            }
            CHECK_OK_ERROR(sy_session_drop(session, ranges, n_ranges, error), *error);
            i += 2 + 2 * n_ranges;
        }
    }
}

static inline float soak_scale(uint32_t i_adapter) {
    return i_adapter == 0 ? 1.0f : 0.5f;
}

/* Adapters of an empty session. */
static inline void soak_adapt(sy_session *session, sy_adapter *const *adapters, uint32_t which,
                              sy_error *error) {
    CHECK_OK_ERROR(sy_session_set_adapter(session, NULL, 1.0f, error), *error);
    for (uint32_t i = 0; i < SOAK_ADAPTERS; i++) {
        if (which >> i & 1u) {
            sy_status status = sy_session_add_adapter(session, adapters[i], soak_scale(i), error);
            CHECK_OK_ERROR(status, *error);
        }
    }
}

/* A session as it must be. */
static inline sy_session *soak_make_again(soak_naive *naive, const soak_model *m) {
    sy_session *session = NULL;
    sy_error *error = &naive->kit.error;
    uint32_t n = 0;
    CHECK_OK_ERROR(sy_session_open(naive->kit.engine, SOAK_TOKENS, &session, error), *error);
    soak_adapt(session, naive->adapters, m->adapters, error);
    if (m->has_moved) {
        soak_repeat(naive, session, m->history, m->n_history);
    } else {
        soak_repeat(naive, session, m->tokens, m->n_tokens);
    }
    const int32_t *tokens = sy_session_tokens(session, &n);
    CHECK(n == m->n_tokens && memcmp(tokens, m->tokens, n * sizeof(int32_t)) == 0);
    return session;
}

#endif
