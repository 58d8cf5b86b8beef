/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of engine and session. */
#ifndef SY_ENGINE_INTERNAL_H
#define SY_ENGINE_INTERNAL_H

#include "arch/build.h"
#include "base/memory.h"
#include "base/read_ahead.h"
#include "kv/prefix.h"
#include "sample/greedy.h"
#include "switchyard/limits.h"
#include "switchyard/session.h"

/* An executor that was replaced; it goes when none of its jobs runs any more. */
typedef struct sy__retired {
    struct sy__retired *next;
    sy_executor *executor;
    sy_plan *plan;
    uint64_t n_bytes; /* that it is counted with */
} sy__retired;

#define SY__EVENTS_KEPT 16u

/* What failover.c and return.c keep. */
typedef struct sy__failover {
    sy_plan *shadows[SY_LIMIT_DELEGATES]; /* plans without delegate i; NULL: none is ready */
    uint32_t unfit; /* set of delegates that had no memory for the engine when it was made */
    sy__retired *retired;
    uint32_t away;      /* set of delegates that were lost here and may return */
    uint64_t n_moves;   /* how often sessions went to another executor */
    bool has_short;     /* some session's states lack rows */
    bool is_unfinished; /* sessions may be on several executors */
    bool is_in_step;    /* a step will be repeated, and ends the event */
    bool has_event;     /* begun and not told yet */
    uint64_t started_ns;
    uint32_t i_failed; /* the newest delegate that was left out */
    sy_failover_event event;
    sy_failover_event events[SY__EVENTS_KEPT];
    uint64_t n_events;
} sy__failover;

struct sy_engine {
    const sy_allocator *allocator;
    sy_runtime *runtime;
    sy_engine_options options;
    sy__arena arena; /* strings of info */
    sy_gguf *gguf;
    sy_tokenizer *tokenizer;
    sy__model_graph model;
    sy_plan *plan;
    sy_executor *executor;
    sy_model_info info;
    sy_load_times times;
    sy__read_ahead *read_ahead; /* of the weights; NULL: none */
    uint8_t identity[32];       /* digest of metadata and samples of the weights */
    uint8_t vocabulary[32];     /* digest of the tokens */
    bool has_identity;          /* both are computed when a session is first saved or loaded */
    bool has_vocabulary;
    uint64_t load_bytes;                 /* all that loading took beside the mapped weights */
    uint64_t reserved_bytes;             /* of open sessions and stored prefixes */
    sy__prefix_store *prefixes;          /* NULL: none are stored */
    bool can_move_rows;                  /* no learned positions in them */
    bool has_windows;                    /* states forget rows that their readers no longer see */
    int32_t *positions, *rows;           /* [n_batch_tokens], [n_output_rows] */
    int32_t *no_types;                   /* [n_batch_tokens] zeroes, for models with token types */
    struct sy_adapter *adapters;         /* those that are loaded */
    const struct sy__observer *observer; /* quantize/importance.h: while a text is measured */
    bool chooses;                        /* decoding steps can choose greedy tokens (choose.c) */
    sy_session *sessions;                /* all that are open */
    uint64_t executor_bytes;             /* of load_bytes: plan and executor */
    sy__failover failover;
};

#define SY__STOP_TEXT_BYTES 256u /* longest stop text */

typedef enum sy__activity { SY__IDLE = 0, SY__RUNNING = 1, SY__CANCELLED = 2 } sy__activity;

struct sy_session {
    sy_engine *engine;
    sy_session *before, *after; /* among the engine's */
    uint32_t copy_every_tokens; /* as in sy_failover_options */
    bool is_short;              /* the states hold n_rows_left rows, fewer than were committed */
    uint32_t n_rows_left;
    sy_state_set *states; /* NULL for encoders */
    int32_t *tokens;      /* [max_tokens] */
    uint32_t n_tokens, max_tokens;
    uint64_t reserved_bytes; /* beside its states, which say themselves what they hold */
    float *logits;           /* [n_vocabulary], after the newest token when has_logits */
    bool has_logits;
    bool is_behind;    /* the newest token's step has not run: its logits may never be asked for */
    uint32_t activity; /* atomic sy__activity */
    char *pending;     /* text held back while it may become a stop text */
    size_t pending_capacity;
    uint64_t adapter_key;      /* of its adapters and scales, for stored prefixes; 0: none */
    uint32_t n_prefilled_rows; /* the first rows, as prefill makes them of these tokens alone */
    sy_limit_options limit;
    sy_session_stats stats;
    uint32_t n_loaded_rows; /* from a file or moved, without rows behind windows; 0: none missing */
};

static inline uint32_t sy__smaller(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* planned.c: a plan of the engine's graph, an executor of a plan. without: set of delegates, bit i
 * of delegate i, that are left out beside those that the options leave out, and unfit ones. */
sy_status sy__engine_plan(const sy_engine *engine, uint32_t without, bool is_shadow,
                          sy_plan **out_plan, sy_error *error);
sy_status sy__engine_executor(const sy_engine *engine, const sy_plan *plan,
                              sy_executor **out_executor, sy_error *error);
/* A plan and its executor, and what they take; plan: made already, or NULL. Takes it over. */
typedef struct sy__planned {
    sy_plan *plan;
    sy_executor *executor;
    uint64_t n_bytes, plan_ns, load_ns;
} sy__planned;
sy_status sy__engine_make_planned(sy_engine *engine, sy_plan *plan, sy__planned *out_planned,
                                  sy_error *error);
/* The first of an engine. A GPU or NPU that has no memory for it is left out, where the policy lets
 * what is asked for stay unused. */
sy_status sy__engine_make_first(sy_engine *engine, sy__planned *out_planned, sy_error *error);
/* Does a plan have a segment on a delegate? */
bool sy__plan_uses(const sy_plan *plan, uint32_t i_delegate);
/* Plans without each delegate that may be lost, where the options ask for them. */
sy_status sy__engine_make_shadows(sy_engine *engine, sy_error *error);
void sy__engine_drop_shadows(sy_engine *engine);

/* failover.c: the usable delegate that an error names, SY_NO_VALUE: none. */
uint32_t sy__engine_culprit(const sy_engine *engine, const sy_error *error);
/* After a call that may have failed: did a delegate fail, and do others go on without
 * it? Then the call may be repeated, with *inout_status OK again: the handles of states and
 * adapters are still good, and sessions that lack rows are made whole by sy__session_whole.
 * sequences: those of a step. */
bool sy__engine_goes_on(sy_engine *engine, sy_status *inout_status,
                        const sy_step_sequence *sequences, uint32_t n_sequences, sy_error *error);
/* The step after a failure ended well; result: its first row of logits, or NULL. */
void sy__engine_went_on(sy_engine *engine, const float *logits);
/* Sessions, adapters and accounts go to another plan; the old one retires. */
sy_status sy__engine_move(sy_engine *engine, sy__planned *planned, sy_failover_event *event,
                          sy_error *error);
void sy__engine_add_event(sy_engine *engine, const sy_failover_event *event);
/* Frees executors that were replaced; false when one has a job that hangs. At the engine's end it
 * waits for a second. */
bool sy__engine_free_retired(sy_engine *engine);
bool sy__engine_end_retired(sy_engine *engine);
/* Goes on with a move that was cut off. */
sy_status sy__engine_finish_move(sy_engine *engine, sy_error *error);
/* restore.c: computes rows that the session's states lack. */
sy_status sy__session_whole(sy_session *session, sy_error *error);
/* The same for the sessions of a step. */
sy_status sy__engine_whole(sy_engine *engine, const sy_step_sequence *sequences,
                           uint32_t n_sequences, sy_error *error);
/* The session that a state set belongs to, NULL: none. */
sy_session *sy__engine_session_of(const sy_engine *engine, const sy_state_set *states);
/* Rows that were committed. */
uint32_t sy__session_n_rows(const sy_session *session);
/* return.c: lets lost delegates try again, before a step. */
void sy__engine_try_returns(sy_engine *engine, const sy_step_sequence *sequences,
                            const int32_t *tokens);
/* step.c: one step on an executor, nothing else. */
struct sy__ragged_step;
sy_status sy__executor_run(sy_engine *engine, sy_executor *executor,
                           const struct sy__ragged_step *ragged, const float **out_result,
                           uint64_t *out_bytes, sy_error *error);

/* weights.c: tables of which a step reads the rows of its tokens. */
void sy__engine_advise_tables(sy_engine *engine);
/* weights.c: starts to bring the weights in, in the order of use. It may not. */
void sy__engine_read_ahead(sy_engine *engine);

/* memory.c: counts what loading took since the heap stood at heap_before; within the budget? */
bool sy__engine_fits(sy_engine *engine, uint64_t heap_before);
/* The next rung down: half of the prefill chunk. False when there is none. */
bool sy__engine_smaller_batch(const sy_engine *engine, sy_engine_options *options);
/* The sentence for a model that does not fit. */
sy_status sy__engine_over_budget(const sy_engine *engine, sy_error *error);
/* What a model may be asked for that does not fit: one row and sequence, then half of the context.
 * False at the end. */
bool sy__engine_smaller_load(const sy_engine *engine, sy_engine_options *options);
/* Names the options under which the engine was found to fit, and the session that then does. */
void sy__engine_hint_load(const sy_engine *engine, sy_error *error);
/* What a session takes: its states, and what it keeps beside them. */
uint64_t sy__engine_state_bytes(const sy_engine *engine, uint32_t max_tokens);
uint64_t sy__engine_session_heap_bytes(const sy_engine *engine, uint32_t max_tokens);
/* Does a session of n_bytes fit into what the budget leaves? */
sy_status sy__engine_admit(sy_engine *engine, uint32_t max_tokens, uint64_t n_bytes,
                           sy_error *error);
/* True when states forget rows that their readers no longer see. */
bool sy__engine_has_windows(const sy_engine *engine);
/* reuse.c: the store of prefixes, where the options ask for one. */
sy_status sy__engine_make_prefixes(sy_engine *engine, sy_error *error);
/* Gives an empty session the longest stored prefix of the tokens, but for the last of them; answers
 * how many it took. */
uint32_t sy__session_reuse(sy_session *session, const int32_t *tokens, uint32_t n_tokens);
/* Stores what prefill made of the session's tokens. */
void sy__session_store(sy_session *session);
/* Does the budget leave n_bytes, with the prefixes that are stored? */
bool sy__engine_has_room(const sy_engine *engine, uint64_t n_bytes);
/* May the session write its rows from `first` on? Those that it shares will take memory. */
sy_status sy__session_admit_writes(sy_session *session, uint32_t first, sy_error *error);
/* session.c: text that one session may hold back. */
size_t sy__session_pending_bytes(const sy_engine *engine);

/* step.c: runs the tokens of the sequences, one sequence after the other, without committing; the
 * last n_rows rows of the result lie at *out_result until the next step. */
sy_status sy__engine_step(sy_engine *engine, const sy_step_sequence *sequences,
                          uint32_t n_sequences, const int32_t *tokens, uint32_t n_rows,
                          const float **out_result, sy_error *error);
/* The same with the results of chosen rows of the step, in ascending order. */
typedef struct sy__ragged_step {
    const sy_step_sequence *sequences;
    const int32_t *tokens;
    const int32_t *output_rows;
    const int32_t *token_types; /* NULL: all 0; ignored by models without them */
    uint32_t n_sequences, n_output_rows;
    bool chooses; /* the best tokens are wanted, not the results; the engine can choose */
} sy__ragged_step;
sy_status sy__engine_step_rows(sy_engine *engine, const sy__ragged_step *ragged,
                               const float **out_result, sy_error *error);
/* choose.c: may there be a delegate that is no CPU? */
bool sy__engine_has_device(const sy_engine *engine);
/* Does the plan choose greedy tokens on the device that makes the logits? For every new one. */
void sy__engine_find_choice(sy_engine *engine);
/* Runs a step for the greedy token after each of its output rows. False in *out_chosen where only
 * logits can tell: the same step may then be run for them. */
sy_status sy__engine_choose(sy_engine *engine, const sy__ragged_step *ragged, int32_t *out_tokens,
                            bool *out_chosen, sy_error *error);
/* The same for the newest token of a session, which is behind and stays so. */
sy_status sy__session_choose(sy_session *session, int32_t *out_token, bool *out_chosen,
                             sy_error *error);
/* The same for one session: n tokens after n_past. */
sy_status sy__session_step(sy_session *session, const int32_t *tokens, uint32_t n_tokens,
                           uint32_t n_past, uint32_t n_rows, const float **out_result,
                           sy_error *error);
/* Runs one chunk and commits it: tokens, count and logits. The tokens were checked. */
sy_status sy__session_commit(sy_session *session, const int32_t *tokens, uint32_t n_tokens,
                             bool wants_logits, sy_error *error);
/* The newest n_tokens tokens were committed as part of a prompt. */
void sy__session_count_prefilled(sy_session *session, uint32_t n_tokens);
/* Are they tokens of the vocabulary? */
sy_status sy__session_check_tokens(const sy_session *session, const int32_t *tokens,
                                   uint32_t n_tokens, sy_error *error);
/* Do so many fit as the session stands? */
sy_status sy__session_check_room(const sy_session *session, uint32_t n_tokens, sy_error *error);
/* limit.c: the same, after the session's limit has acted where they do not. */
sy_status sy__session_make_room(sy_session *session, uint32_t n_tokens, sy_error *error);
/* Do the options make sense for a session of max_tokens? */
sy_status sy__limit_check(const sy_limit_options *options, uint32_t max_tokens, sy_error *error);
bool sy__engine_can_move_rows(const sy_engine *engine);
/* branch.c: the states hold rows of the first n_rows tokens (or of fewer, where they cannot be cut
 * there): processes the rest of the first n_tokens again. */
sy_status sy__session_recompute(sy_session *session, uint32_t n_rows, uint32_t n_tokens,
                                sy_error *error);
/* session.c: a session without states, let in with those that will take n_state_bytes. */
sy_status sy__session_new(sy_engine *engine, uint32_t max_tokens, uint64_t n_state_bytes,
                          sy_session **out_session, sy_error *error);
/* Gives a session its states, with a copy where it asks for one, and counts them. They are gone
 * when that fails. */
sy_status sy__session_attach(sy_session *session, sy_state_set *states, sy_error *error);
/* Bytes of the copy that a session keeps of its rows. */
uint64_t sy__engine_copy_bytes(const sy_engine *engine, uint32_t copy_every_tokens,
                               uint32_t max_tokens);
sy_status sy__session_check_length(const sy_engine *engine, uint32_t max_tokens, sy_error *error);
/* Makes sure that session->logits belong to the newest token. */
sy_status sy__session_need_logits(sy_session *session, sy_error *error);
/* The next token, not yet committed; NULL sampler: the likeliest. */
sy_status sy__session_draw(sy_session *session, sy_sampler *sampler, int32_t *out_token,
                           sy_error *error);
/* Commits a drawn token without its step, which runs when something needs it. There is room. */
void sy__session_append(sy_session *session, int32_t token);
/* Makes sure that the state holds every token. */
sy_status sy__session_catch_up(sy_session *session, sy_error *error);
/* Bracket of every call that runs steps, for cancel. */
void sy__session_begin(sy_session *session);
void sy__session_end(sy_session *session);
bool sy__session_is_cancelled(const sy_session *session);
/* identity.c */
#define SY__DIGEST_BYTES 32u
const uint8_t *sy__engine_identity(sy_engine *engine);
sy_status sy__engine_tokenizer_identity(sy_engine *engine, uint8_t out_digest[SY__DIGEST_BYTES],
                                        sy_error *error);

#endif
