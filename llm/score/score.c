/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Continuations run in lanes, which are clones of the session; a lane that is through with its
 * target goes back and takes the next one. A single target, or a session that cannot be cloned for
 * want of memory, runs on the session itself, which goes back as well.
 */
#include "engine/engine_internal.h"
#include "switchyard/limits.h"
#include "switchyard/score.h"

#include <math.h>
#include <string.h>

#define NO_TARGET UINT32_MAX

typedef struct lane {
    sy_session *session;
    uint32_t i_target; /* NO_TARGET: none */
    uint32_t n_done;   /* of its tokens, whose rows are computed */
    uint32_t n_rows;   /* in the step that runs */
} lane;

typedef struct scoring {
    sy_session *session;
    const sy_score_target *targets;
    uint32_t n_targets, i_next;
    double *const *out_each;
    double *sums;
    uint32_t n_lanes, n_lanes_max;
    lane *lanes;     /* [n_lanes_max] */
    int32_t *tokens; /* [n_output_rows] of a step */
    uint32_t n_rows;
    uint64_t n_moves; /* of the engine's sessions, when the lanes began */
    sy_step_sequence sequences[SY_LIMIT_SEQUENCES];
} scoring;

/* Natural log of the softmax probability of one token. */
static double log_probability(const float *logits, uint32_t n, int32_t token) {
    double best = (double)logits[0], sum = 0;
    for (uint32_t i = 1; i < n; i++) {
        best = (double)logits[i] > best ? (double)logits[i] : best;
    }
    for (uint32_t i = 0; i < n; i++) {
        sum += exp((double)logits[i] - best);
    }
    double result = (double)logits[token] - best - log(sum);
    return result < 0 ? result : 0;
}

static void add(scoring *s, uint32_t i_target, uint32_t i_token, const float *logits) {
    double each = log_probability(logits, s->session->engine->info.n_vocabulary,
                                  s->targets[i_target].tokens[i_token]);
    s->sums[i_target] += each;
    if (s->out_each != NULL && s->out_each[i_target] != NULL) {
        s->out_each[i_target][i_token] = each;
    }
}

/* The next target that has rows: one of a single token has none, its number is there already. */
static uint32_t next_target(scoring *s) {
    while (s->i_next < s->n_targets && s->targets[s->i_next].n_tokens < 2) {
        s->i_next++;
    }
    return s->i_next < s->n_targets ? s->i_next++ : NO_TARGET;
}

/* A clone that finds no memory is no error: fewer lanes do the work as well. */
static void open_lanes(scoring *s) {
    uint32_t n_long = 0;
    for (uint32_t i = 0; i < s->n_targets; i++) {
        n_long += s->targets[i].n_tokens > 1;
    }
    while (n_long > 1 && s->n_lanes < s->n_lanes_max && s->n_lanes < n_long) {
        lane *next = &s->lanes[s->n_lanes];
        *next = (lane){.i_target = NO_TARGET};
        if (sy_session_clone(s->session, &next->session, NULL) != SY_OK) {
            break;
        }
        s->n_lanes++;
    }
    if (s->n_lanes == 0 && n_long > 0) {
        s->lanes[s->n_lanes++] = (lane){.session = s->session, .i_target = NO_TARGET};
    }
}

/* Back to the end of what is scored against. Where rows have left a window meanwhile, a new clone
 * takes the place of the old one, and the session itself computes its rows anew. */
static sy_status go_back(scoring *s, lane *l, sy_error *error) {
    const uint32_t n_tokens = s->session->n_tokens;
    sy_status status = SY_OK;
    do {
        status = sy_state_set_truncate(l->session->states, n_tokens, error);
    } while (sy__engine_goes_on(s->session->engine, &status, NULL, 0, error));
    if (SY_STATUS_CLASS(status) != SY_OUT_OF_RANGE) {
        return status;
    }
    if (l->session == s->session) {
        return sy__session_recompute(s->session, 0, n_tokens, error);
    }
    sy_session *copy = NULL;
    sy_session_close(l->session);
    l->session = NULL;
    status = sy_session_clone(s->session, &copy, error);
    l->session = copy;
    return status;
}

/* Fills a step; answers the number of its sequences. Lanes that come in are of the first ones. */
static uint32_t fill(scoring *s) {
    uint32_t n_left = s->session->engine->options.n_output_rows, n_sequences = 0;
    s->n_rows = 0;
    for (uint32_t i = 0; i < s->n_lanes; i++) {
        lane *l = &s->lanes[i];
        l->n_rows = 0;
        if (l->i_target == NO_TARGET) {
            l->n_done = 0;
            l->i_target = next_target(s);
        }
        if (l->i_target == NO_TARGET || n_left == 0) {
            continue;
        }
        const sy_score_target *target = &s->targets[l->i_target];
        uint32_t n_wanted = target->n_tokens - 1 - l->n_done;
        l->n_rows = n_wanted < n_left ? n_wanted : n_left;
        memcpy(s->tokens + s->n_rows, target->tokens + l->n_done, l->n_rows * sizeof(int32_t));
        s->sequences[n_sequences++] =
            (sy_step_sequence){.states = l->session->states,
                               .n_tokens = l->n_rows,
                               .n_past = s->session->n_tokens + l->n_done};
        s->n_rows += l->n_rows;
        n_left -= l->n_rows;
    }
    return n_sequences;
}

/* Takes the step's rows; a lane whose target is through goes back to the session's end. */
static sy_status take(scoring *s, const float *rows, sy_error *error) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < s->n_lanes; i++) {
        lane *l = &s->lanes[i];
        for (uint32_t k = 0; k < l->n_rows; k++) {
            add(s, l->i_target, ++l->n_done, rows);
            rows += s->session->engine->info.n_vocabulary;
        }
        if (l->i_target != NO_TARGET && l->n_done + 1 == s->targets[l->i_target].n_tokens) {
            l->i_target = NO_TARGET;
            status = go_back(s, l, error);
        }
    }
    return status;
}

static sy_status run(scoring *s, sy_error *error) {
    sy_status status = SY_OK;
    for (uint32_t n = fill(s); status == SY_OK && n > 0; n = fill(s)) {
        const float *rows = NULL;
        if (sy__session_is_cancelled(s->session)) {
            return sy_error_set(error, SY_CANCELLED, "Scoring was cancelled.");
        }
        if (s->session->engine->failover.n_moves != s->n_moves) {
            return sy_error_set(error, SY_ABORTED, "Rows of targets went with a delegate.");
        }
        status = sy__engine_step(s->session->engine, s->sequences, n, s->tokens, s->n_rows, &rows,
                                 error);
        if (status == SY_OK) {
            status = take(s, rows, error);
        }
    }
    return status;
}

/* What the session's own logits tell: the first token of every target. */
static sy_status start(scoring *s, sy_error *error) {
    sy_status status = sy__session_need_logits(s->session, error);
    for (uint32_t i = 0; status == SY_OK && i < s->n_targets; i++) {
        const sy_score_target *target = &s->targets[i];
        status = sy__session_check_tokens(s->session, target->tokens, target->n_tokens, error);
        if (status == SY_OK) {
            status = sy__session_check_room(s->session, target->n_tokens, error);
        }
        s->sums[i] = 0;
        if (status == SY_OK && target->n_tokens > 0) {
            add(s, i, 0, s->session->logits);
        }
    }
    return status;
}

/* Frees what open_lanes made and leaves the session at its last token. */
static sy_status close_lanes(scoring *s, sy_error *error) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; i < s->n_lanes; i++) {
        if (s->lanes[i].session == s->session) {
            status = go_back(s, &s->lanes[i], error);
        } else {
            sy_session_close(s->lanes[i].session);
        }
    }
    return status;
}

static sy_status run_lanes(scoring *s, sy_error *error) {
    sy_session *session = s->session;
    const sy_allocator *allocator = session->engine->allocator;
    const sy_engine_options *options = &session->engine->options;
    s->n_lanes_max = options->n_sequences < options->n_output_rows ? options->n_sequences
                                                                   : options->n_output_rows;
    s->lanes = sy__alloc_array(allocator, s->n_lanes_max, sizeof(lane));
    s->tokens = sy__alloc_array(allocator, options->n_output_rows, sizeof(int32_t));
    sy_status status = s->lanes != NULL && s->tokens != NULL
                           ? SY_OK
                           : sy__no_memory(error, s->n_lanes_max * sizeof(lane), "scoring");
    if (status == SY_OK) {
        open_lanes(s);
        sy__session_begin(session);
        status = run(s, error);
        sy__session_end(session);
        sy_status closed = close_lanes(s, status == SY_OK ? error : NULL);
        status = status == SY_OK ? closed : status;
    }
    sy__free_array(allocator, s->lanes, s->n_lanes_max, sizeof(lane));
    sy__free_array(allocator, s->tokens, options->n_output_rows, sizeof(int32_t));
    return status;
}

sy_status sy_session_score_targets(sy_session *session, const sy_score_target *targets,
                                   uint32_t n_targets, double *const *out_each, double *out_sums,
                                   sy_error *error) {
    scoring s = {.session = session,
                 .targets = targets,
                 .n_targets = n_targets,
                 .out_each = out_each,
                 .sums = out_sums};
    sy_status status = SY_ABORTED;
    while (status == SY_ABORTED) { /* a delegate failed: the targets begin again */
        s.i_next = s.n_lanes = 0;
        status = start(&s, error);
        s.n_moves = session->engine->failover.n_moves;
        if (status == SY_OK) {
            status = run_lanes(&s, error);
        }
    }
    return status;
}

sy_status sy_session_score(sy_session *session, const int32_t *tokens, uint32_t n_tokens,
                           double *out_each, double *out_sum, sy_error *error) {
    const sy_score_target target = {.tokens = tokens, .n_tokens = n_tokens};
    double sum = 0;
    sy_status status = sy_session_score_targets(session, &target, 1, &out_each, &sum, error);
    if (status == SY_OK) {
        *out_sum = sum;
    }
    return status;
}
