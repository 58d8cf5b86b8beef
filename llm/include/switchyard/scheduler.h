/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler: many requests over one engine, their prompts and their decoding packed into shared
 * steps (continuous batching). A request is a session that takes a prompt and generates. The
 * application drives the steps from one thread; requests come and are cancelled from any thread.
 * What a request generates does not depend on what runs beside it: the tokens are those of
 * sy_session_prefill and sy_session_generate alone.
 *
 * In a step go first a token of each decoding session, foreground before background, then prompts,
 * in chunks that are bounded beside decoding sessions. Who was served goes to the end of its queue,
 * and a background request that waited long counts as foreground once.
 */
#ifndef SWITCHYARD_SCHEDULER_H
#define SWITCHYARD_SCHEDULER_H

#include "switchyard/session.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sy_scheduler sy_scheduler;

/* Settings. Start from sy_scheduler_options_default. */
typedef struct sy_scheduler_options {
    uint32_t struct_bytes;
    uint32_t n_requests_max;   /* submitted and not yet ended */
    uint32_t n_prefill_tokens; /* most prompt tokens of a step in which a session of the same or a
                                  higher priority decodes; 0: a quarter of the step */
    uint32_t n_patience_steps; /* after so many steps without a row a background request counts as
                                  foreground for one step */
} sy_scheduler_options;

typedef enum sy_priority { SY_PRIORITY_FOREGROUND = 0, SY_PRIORITY_BACKGROUND = 1 } sy_priority;

/* What a request's callback gets: text as it comes, whole UTF-8 characters. Exactly one event of a
 * request has a finish other than NONE and it is the last. From then on (in that call already) the
 * session is the application's again, at its last committed token, whatever the finish. */
typedef struct sy_request_event {
    uint64_t request;
    const char *text; /* not terminated by NUL */
    size_t n_bytes;
    sy_finish finish;
    sy_status status;                 /* with SY_FINISH_FAILED, else OK */
    const sy_error *error;            /* words for status; NULL with OK */
    const sy_generate_result *result; /* of the whole request, with the last event, else NULL */
} sy_request_event;

/* Runs on the thread that drives the scheduler, or on the one that cancels. May submit and cancel,
 * but not destroy the scheduler. Answer 0 to go on, anything else to stop after this. */
typedef int (*sy_request_callback)(void *user, const sy_request_event *event);

/* A request. Session, tokens, sampler, stop texts and speculator are borrowed until the last event.
 * The prompt must fit the session as it stands; while it decodes, the session's limit acts. */
typedef struct sy_request_options {
    uint32_t struct_bytes;
    sy_priority priority;
    sy_session *session;   /* in no other request */
    const int32_t *tokens; /* the prompt, after what the session holds; may be empty */
    uint32_t n_tokens;
    uint32_t prefill_only; /* 1: ends with LENGTH when the prompt is in */
    sy_sampler *sampler;   /* NULL: greedy */
    uint32_t n_tokens_max; /* as in sy_generate_options */
    uint32_t ignore_end;
    uint32_t n_stops;
    const char *const *stops;
    sy_speculator *speculator; /* switchyard/speculate.h; of no other request; NULL: none */
    uint64_t timeout_ns; /* from submission to the last token, then DEADLINE_EXCEEDED; 0: none */
    sy_request_callback callback; /* may be NULL */
    void *user;
} sy_request_options;

/* What was done so far. */
typedef struct sy_scheduler_stats {
    uint64_t n_steps;
    uint64_t n_prompt_tokens, n_decoded_tokens; /* rows of the steps */
    uint32_t n_sequences_most;                  /* that one step carried */
    uint32_t n_requests;                        /* not yet ended */
} sy_scheduler_stats;

/* Fills defaults: 256 requests, a quarter of the step, 16 steps of patience.
 * shape: -  unit: -  owner: caller  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
void sy_scheduler_options_default(sy_scheduler_options *out_options);

/* Makes a scheduler. A step carries what the engine was made for: n_batch_tokens rows, and as many
 * sessions as n_sequences and n_output_rows allow. NULL options: defaults.
 * shape: -  unit: -  owner: caller, sy_scheduler_destroy; the engine must outlive it
 * errors: INVALID_ARGUMENT, FAILED_PRECONDITION for an encoder, RESOURCE_EXHAUSTED
 * thread: any  cost: all heap it ever needs  since: 0.1  source: Yu et al., Orca, OSDI 2022
 * (iteration-level scheduling); Agrawal et al., arXiv 2308.16369 (chunked prefill) */
SY_MUST_CHECK sy_status sy_scheduler_create(sy_engine *engine, const sy_scheduler_options *options,
                                            sy_scheduler **out_scheduler, sy_error *error);

/* Cancels what has not ended and frees the scheduler; NULL is fine. No other call may run.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time
 * cost: the last callbacks  since: 0.1  source: - */
void sy_scheduler_destroy(sy_scheduler *scheduler);

/* Hands a request in. Its callback is called by later calls of this scheduler, never by this one.
 * shape: -  unit: -  owner: see sy_request_options  errors: INVALID_ARGUMENT, OUT_OF_RANGE for a
 * prompt that does not fit, FAILED_PRECONDITION session in another request, or neither prompt nor
 * tokens, RESOURCE_EXHAUSTED too many requests  thread: any  cost: no heap, no step
 * since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_scheduler_submit(sy_scheduler *scheduler,
                                            const sy_request_options *options,
                                            uint64_t *out_request, sy_error *error);

/* Ends a request with CANCELLED, within the step that runs. No callback of it is called after this
 * returned, and its session is free; only from inside the request's own callback this is the same
 * as answering 1, and the last event follows. A request that has ended, or never was, is left
 * alone. Not between enter and leave.
 * shape: -  unit: -  owner: -  errors: none  thread: any
 * cost: waits for at most one step  since: 0.1  source: - */
void sy_scheduler_cancel(sy_scheduler *scheduler, uint64_t request);

/* Runs at most one step and the callbacks that follow from it.
 * shape: -  unit: requests not yet ended  owner: -  errors: FAILED_PRECONDITION while it runs
 * elsewhere; what goes wrong with a request is told in its last event
 * thread: one at a time, and no other call on the engine meanwhile but inside
 * sy_scheduler_enter  cost: one step, no heap; single steps when a shared one failed
 * since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_scheduler_run_step(sy_scheduler *scheduler, uint32_t *out_n_left,
                                              sy_error *error);

/* Runs steps until all requests have ended.
 * shape: -  unit: -  owner: -  errors: those of run_step  thread: as run_step
 * cost: steps, no heap  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_scheduler_run(sy_scheduler *scheduler, sy_error *error);

/* Waits until there is a request, sy_scheduler_wake is called, or the time is over; for a thread
 * that serves: wait, run_step, again. Answers the number of requests.
 * shape: -  unit: ns, UINT64_MAX without end  owner: -  errors: none  thread: any
 * cost: sleeps  since: 0.1  source: - */
uint32_t sy_scheduler_wait(sy_scheduler *scheduler, uint64_t timeout_ns);
void sy_scheduler_wake(sy_scheduler *scheduler);

/* Bracket for other calls on the engine (open, clone, save, close of sessions in no request) while
 * another thread runs steps: enter waits for the running step, the next one waits for leave. Does
 * not nest. Inside of callbacks it is needed too when other threads use it.
 * shape: -  unit: -  owner: -  errors: none  thread: any
 * cost: waits for at most one step  since: 0.1  source: - */
void sy_scheduler_enter(sy_scheduler *scheduler);
void sy_scheduler_leave(sy_scheduler *scheduler);

/* Counts since creation.
 * shape: -  unit: tokens  owner: caller  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
void sy_scheduler_get_stats(sy_scheduler *scheduler, sy_scheduler_stats *out_stats);

#ifdef __cplusplus
}
#endif
#endif
