/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session: one sequence of tokens over an engine, with its state. All memory it can ever need
 * is reserved when it is opened. A session always stands at a committed token: a call that fails or
 * is cancelled leaves it there, ready to go on.
 */
#ifndef SWITCHYARD_SESSION_H
#define SWITCHYARD_SESSION_H

#include "switchyard/engine.h"
#include "switchyard/sampler.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sy_session sy_session;
typedef struct sy_speculator sy_speculator; /* switchyard/speculate.h */

/* Opens a session that can hold max_tokens tokens (0: the engine's context); it never grows.
 * shape: -  unit: tokens  owner: caller, sy_session_close  errors: OUT_OF_RANGE over the engine's
 * context, RESOURCE_EXHAUSTED  thread: one at a time per engine  cost: reserves the state
 * since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_session_open(sy_engine *engine, uint32_t max_tokens,
                                        sy_session **out_session, sy_error *error);

/* Closes a session; NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time per engine
 * cost: O(1)  since: 0.1  source: - */
void sy_session_close(sy_session *session);

/* What happens when a session is full and another token comes. */
typedef enum sy_at_limit {
    SY_AT_LIMIT_STOP = 0,  /* the call answers OUT_OF_RANGE, a generation ends with LENGTH */
    SY_AT_LIMIT_SLIDE = 1, /* the first tokens stay as sinks, the oldest after them go */
    SY_AT_LIMIT_PRUNE = 2  /* the application names the tokens that go */
} sy_at_limit;

typedef struct sy_token_range {
    uint32_t first, n_tokens;
} sy_token_range;

/* Names the tokens to drop out of the n_tokens of a full session: ranges in ascending order that do
 * not overlap, at most n_ranges_max. Answers how many; 0: none, the session is full. */
typedef uint32_t (*sy_prune)(void *user, const int32_t *tokens, uint32_t n_tokens,
                             sy_token_range *out_ranges, uint32_t n_ranges_max);

typedef struct sy_limit_options {
    uint32_t struct_bytes;
    sy_at_limit at_limit;
    uint32_t n_sink_tokens; /* SLIDE: first tokens that stay */
    uint32_t n_drop_tokens; /* SLIDE: tokens that go at once; 0: half of those after the sinks */
    sy_prune prune;         /* PRUNE */
    void *user;
} sy_limit_options;

#define SY_PRUNE_RANGES_MAX 64u

/* Chooses what happens at the session's limit; NULL: SY_AT_LIMIT_STOP. Clones inherit it. What
 * stays moves down to the positions of what went (docs/sessions.md), so that a generation can go on
 * without end in the memory that was reserved when the session was opened.
 * shape: -  unit: tokens  owner: copies  errors: INVALID_ARGUMENT for sinks that leave no room, no
 * callback  thread: one at a time per engine  cost: O(1)  since: 0.1
 * source: arXiv 2309.17453 */
SY_MUST_CHECK sy_status sy_session_set_limit(sy_session *session, const sy_limit_options *options,
                                             sy_error *error);

/* Drops ranges of tokens now, as a prune callback would: later tokens move down. The logits stay
 * those after the newest token unless the rows had to be computed anew.
 * shape: ranges [n_ranges] ascending, disjoint  unit: tokens  owner: caller keeps ranges
 * errors: INVALID_ARGUMENT for other ranges, or all tokens; those of prefill where rows must be
 * computed anew (the session then stands at the tokens that were)  thread: one at a time per engine
 * cost: O(rows moved), no heap  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_session_drop(sy_session *session, const sy_token_range *ranges,
                                        uint32_t n_ranges, sy_error *error);

/* Chooses how the session's rows come back when a delegate that keeps them is lost, in place of
 * what the engine was made with (sy_failover_options.copy_every_tokens). Clones inherit it.
 * shape: -  unit: tokens  owner: -  errors: RESOURCE_EXHAUSTED for a copy that does not fit
 * thread: one at a time per engine  cost: memory of a copy; each step that copies, its rows
 * since: 0.1  source: docs/failover.md */
SY_MUST_CHECK sy_status sy_session_set_recovery(sy_session *session, uint32_t copy_every_tokens,
                                                sy_error *error);

/* Processes tokens in chunks and commits each chunk.
 * shape: tokens [n_tokens] i32  unit: tokens  owner: caller keeps tokens  errors: OUT_OF_RANGE when
 * they do not fit or are no tokens, CANCELLED, those of the delegates  thread: one at a time per
 * engine  cost: no heap  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_session_prefill(sy_session *session, const int32_t *tokens,
                                           uint32_t n_tokens, sy_error *error);

/* Logits after the newest committed token.
 * shape: [n_vocabulary] f32  unit: -  owner: session, until its next call  errors:
 * FAILED_PRECONDITION before any token, and for an encoder  thread: one at a time per engine
 * cost: O(1); after generate, a rewind or a load one step  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_session_logits(sy_session *session, const float **out_logits,
                                          sy_error *error);

/* Draws the next token from the logits (NULL sampler: the likeliest) and commits it, so that new
 * logits are ready.
 * shape: -  unit: -  owner: -  errors: OUT_OF_RANGE when the session is full, CANCELLED, those of
 * the delegates  thread: one at a time per engine  cost: one step, no heap  since: 0.1
 * source: - */
SY_MUST_CHECK sy_status sy_session_decode(sy_session *session, sy_sampler *sampler,
                                          int32_t *out_token, sy_error *error);

/* Draws the next token of every session from its own logits with its own sampler and commits all of
 * them in one step, which reads the weights once. Each session gets what sy_session_decode would
 * give it. All or none are committed. The engine must be made with n_sequences and n_output_rows of
 * at least n_sessions. A sampler may be NULL: the likeliest.
 * shape: sessions, samplers, out_tokens [n_sessions]  unit: -  owner: caller keeps all
 * errors: INVALID_ARGUMENT sessions of several engines or one twice, OUT_OF_RANGE more than a step
 * carries or a full session, those of the delegates  thread: one at a time per engine
 * cost: one step, no heap  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_session_decode_together(sy_session *const *sessions, uint32_t n_sessions,
                                                   sy_sampler *const *samplers, int32_t *out_tokens,
                                                   sy_error *error);

/* Why a generation ended. */
typedef enum sy_finish {
    SY_FINISH_NONE = 0,      /* not ended: the callback is called again */
    SY_FINISH_STOP = 1,      /* an end token or a stop text */
    SY_FINISH_LENGTH = 2,    /* max_tokens or the session's end */
    SY_FINISH_CANCELLED = 3, /* sy_session_cancel or the callback's answer */
    SY_FINISH_FAILED = 4     /* see the status that generate returns */
} sy_finish;

/* Gets whole UTF-8 characters as they come. Exactly one call carries a finish other than NONE and
 * it is the last; its text may be empty. Answer 0 to go on, anything else to stop after this. */
typedef int (*sy_stream)(void *user, const char *text, size_t n_bytes, sy_finish finish);

typedef struct sy_generate_options {
    uint32_t struct_bytes;
    uint32_t n_tokens_max; /* 0: until the session is full */
    uint32_t n_stops;
    uint32_t ignore_end;      /* 1: end tokens do not stop */
    const char *const *stops; /* texts that end the generation and are not shown */
    sy_stream stream;         /* may be NULL */
    void *user;
    sy_speculator *speculator; /* NULL: plain decoding */
} sy_generate_options;

typedef struct sy_generate_result {
    sy_finish finish;
    uint32_t n_tokens; /* tokens committed, the end token not counted */
    uint64_t decode_ns;
} sy_generate_result;

/* Generates from where the session stands. NULL sampler: greedy. Stop texts are at most 256 bytes.
 * shape: -  unit: tokens  owner: caller  errors: FAILED_PRECONDITION before any token, those of
 * decode; a stop or cancel is no error  thread: one at a time per engine; the callback runs on the
 * caller's thread  cost: no heap  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_session_generate(sy_session *session, sy_sampler *sampler,
                                            const sy_generate_options *options,
                                            sy_generate_result *out_result, sy_error *error);

/* Asks the call that runs on this session to stop within one step. The flag is cleared when that
 * call returns; without a running call the next one is not affected.
 * shape: -  unit: -  owner: -  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
void sy_session_cancel(sy_session *session);

/* A second session with the same tokens and state.
 * shape: -  unit: -  owner: caller, sy_session_close  errors: RESOURCE_EXHAUSTED
 * thread: one at a time per engine  cost: the delegates' state_clone  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_session_clone(sy_session *session, sy_session **out_session,
                                         sy_error *error);

/* n_sessions such sessions, all or none, each for max_tokens (0: as many as this one), of which it
 * begins with those of this one.
 * shape: out_sessions [n_sessions]  unit: tokens  owner: caller, sy_session_close of each
 * errors: RESOURCE_EXHAUSTED, INVALID_ARGUMENT for fewer tokens than this one holds or than its
 * limit needs, OUT_OF_RANGE over the engine's context  thread: one at a time per engine
 * cost: n clones  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_session_fork(sy_session *session, uint32_t max_tokens,
                                        uint32_t n_sessions, sy_session **out_sessions,
                                        sy_error *error);

/* Goes back to the first n_tokens tokens.
 * shape: -  unit: tokens  owner: -  errors: OUT_OF_RANGE past the session's tokens,
 * RESOURCE_EXHAUSTED when rows that it shares do not fit into the budget a second time; those of
 * prefill where the states no longer hold what was there (windows)  thread: one at a time per
 * engine  cost: O(1); the next logits take one step  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_session_rewind(sy_session *session, uint32_t n_tokens, sy_error *error);

/* Sum of natural-log probabilities (<= 0) of a continuation given the session's tokens; the session
 * is left as it was. out_each may be NULL.
 * shape: tokens, out_each [n_tokens]  unit: nats  owner: caller  errors: FAILED_PRECONDITION before
 * any token, OUT_OF_RANGE when it does not fit  thread: one at a time per engine
 * cost: prefill of the continuation  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_session_score(sy_session *session, const int32_t *tokens,
                                         uint32_t n_tokens, double *out_each, double *out_sum,
                                         sy_error *error);

/* Writes tokens and state to a file (temporary file, then rename), with version, checksum and the
 * identity of the model.
 * shape: -  unit: -  owner: -  errors: PERMISSION_DENIED, NOT_FOUND, UNAVAILABLE for the file
 * system, RESOURCE_EXHAUSTED  thread: one at a time per engine  cost: O(state)  since: 0.1
 * source: docs/formats/session.md */
SY_MUST_CHECK sy_status sy_session_save(sy_session *session, const char *path, sy_error *error);

/* Opens a session from a file. Refused with the reason when model or cache type differ.
 * shape: -  unit: tokens  owner: caller, sy_session_close  errors: DATA_LOSS damaged file,
 * FAILED_PRECONDITION other model or cache type, OUT_OF_RANGE more tokens than max_tokens
 * thread: one at a time per engine  cost: O(state)  since: 0.1  source: docs/formats/session.md */
SY_MUST_CHECK sy_status sy_session_load(sy_engine *engine, const char *path, uint32_t max_tokens,
                                        sy_session **out_session, sy_error *error);

/* Tokens that a session had to process, and what they cost. */
typedef struct sy_session_stats {
    uint64_t n_prefilled_tokens;  /* given to prefill */
    uint64_t n_reused_tokens;     /* of these: taken from stored prefixes, not computed */
    uint64_t n_dropped_tokens;    /* dropped at the limit or by sy_session_drop */
    uint64_t n_recomputed_tokens; /* processed again because states could not be moved or cut */
} sy_session_stats;

/* Counts since the session was opened; a clone starts with those of its source.
 * shape: -  unit: tokens  owner: caller  errors: none  thread: one at a time per engine
 * cost: O(1)  since: 0.1  source: - */
void sy_session_get_stats(const sy_session *session, sy_session_stats *out_stats);

/* Committed tokens, the session's limit, and its engine.
 * shape: [n] i32  unit: tokens  owner: session, until its next call  errors: none
 * thread: one at a time per engine  cost: O(1)  since: 0.1  source: - */
const int32_t *sy_session_tokens(const sy_session *session, uint32_t *out_n_tokens);
uint32_t sy_session_max_tokens(const sy_session *session);
sy_engine *sy_session_engine(const sy_session *session);

/* Encoder models: hidden states of a text's tokens in one step; nothing is kept.
 * shape: out_hidden [n_tokens, n_embedding] f32  unit: -  owner: caller's memory  errors:
 * FAILED_PRECONDITION for a decoder, OUT_OF_RANGE over the batch  thread: one at a time per engine
 * cost: one step, no heap  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_engine_encode(sy_engine *engine, const int32_t *tokens,
                                         uint32_t n_tokens, float *out_hidden, sy_error *error);

#ifdef __cplusplus
}
#endif
#endif
