/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the scheduler. `lock` guards everything but what `busy` requests own: their session,
 * sampler and generation belong to the thread that made them busy, which holds no lock meanwhile.
 */
#ifndef SY_SCHEDULE_INTERNAL_H
#define SY_SCHEDULE_INTERNAL_H

#include "speculate/speculate_internal.h"
#include "switchyard/scheduler.h"

#include <pthread.h>

typedef struct sy__request {
    uint64_t id; /* 0: the place is free */
    sy_scheduler *scheduler;
    sy_request_options options;
    sy__generation generation;
    struct sy__request *before, *after; /* queue: least recently served first */
    uint64_t deadline_ns;               /* on the clock; 0: none */
    uint64_t ready_ns;                  /* when the prompt was in */
    uint32_t n_done;                    /* tokens of the prompt that are committed */
    uint32_t n_reused;                  /* of these: from stored prefixes */
    bool has_started;                   /* stored prefixes were looked through */
    uint32_t n_waited;                  /* steps without a row since the last one */
    bool has_guessed;                   /* the speculator was asked for the next step */
    uint32_t n_rows;                    /* of the step being packed or run */
    uint32_t n_outputs;                 /* of these, the last ones, whose logits are wanted */
    bool is_busy;                       /* in the running step, or in its callback */
    bool is_called;                     /* in its callback, on `thread` */
    bool is_ending;                     /* in its last one */
    bool is_cancelled;
    pthread_t thread;
    sy_status status; /* of its part of the step, and of its end */
    sy_error error;
} sy__request;

struct sy_scheduler {
    const sy_allocator *allocator;
    sy_engine *engine;
    sy_scheduler_options options;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a request is no longer busy, came or went; the engine is free */
    sy__request *requests;  /* [n_requests_max] */
    sy__request *first, *last;
    uint64_t next_serial;
    sy_scheduler_stats stats;
    bool is_running; /* inside run_step */
    bool is_stepping, is_entered;
    bool is_woken;
    uint32_t n_entering;
    uint64_t step_ns; /* of the newest step */
    /* the step: members in the order of its rows */
    uint32_t n_members, n_members_max;
    sy__request **members;         /* [n_members_max] */
    uint64_t *member_ids;          /* [n_members_max] */
    sy_step_sequence *sequences;   /* [n_members_max] */
    int32_t *tokens, *output_rows; /* [n_batch_tokens], [n_output_rows] */
};

/* run.c, under the lock: unlocks with the engine for this thread alone; and back. */
void sy__schedule_take_engine(sy_scheduler *scheduler);
void sy__schedule_give_engine(sy_scheduler *scheduler);

/* pack.c: chooses members and their rows under the lock; none when nobody needs a step. */
void sy__schedule_pack(sy_scheduler *scheduler);
/* Fills tokens, sequences and output rows for n members; answers the number of output rows. */
uint32_t sy__schedule_fill(sy_scheduler *scheduler, sy__request *const *members, uint32_t n);

/* Prompt tokens that are not committed yet. */
static inline uint32_t sy__request_n_prompt(const sy__request *request) {
    return request->options.n_tokens - request->n_done;
}

/* Tokens that are committed and whose step has not run: the newest, or none. */
static inline uint32_t sy__request_n_behind(const sy__request *request) {
    const sy_session *session = request->options.session;
    bool needs_logits = sy__request_n_prompt(request) == 0 && !session->has_logits;
    if (request->generation.has_choice) {
        return 0; /* its step has run */
    }
    return session->n_tokens > 0 && (session->is_behind || needs_logits) ? 1 : 0;
}

/* end.c, all under the lock. Ends a request: its place is free afterwards. status and error are the
 * request's own. Unlocks for the callback. */
void sy__request_end(sy__request *request, sy_finish finish);
/* The same with DEADLINE_EXCEEDED. */
void sy__request_end_late(sy__request *request);
/* Takes wrong guesses out of its session, and a stored prefix to which nothing was added; a failure
 * becomes the request's. */
void sy__request_settle(sy__request *request);
/* Makes a request busy and unlocks, for work that may call back; locks and undoes it. */
void sy__request_take(sy__request *request);
void sy__request_give(sy__request *request);
/* The request of an id, NULL when it has ended. */
sy__request *sy__request_find(const sy_scheduler *scheduler, uint64_t id);
/* Joins the queue at its end; leaves it. */
void sy__request_join(sy__request *request);
void sy__request_leave(sy__request *request);

#endif
