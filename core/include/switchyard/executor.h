/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The executor: a plan with everything loaded - units, one arena per memory kind, scratch. One step
 * is one run of one phase with symbol values bound. A step is a transaction: states are addressed
 * by position, so that a failed step is repeated with the same n_past and nothing is lost. Between
 * two steps there is no heap call.
 */
#ifndef SWITCHYARD_EXECUTOR_H
#define SWITCHYARD_EXECUTOR_H

#include "switchyard/failover.h"
#include "switchyard/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sy_executor sy_executor;

/* The states of one sequence: one for each STATE value of the graph, on the delegate the plan put
 * it. */
typedef struct sy_state_set sy_state_set;

/* One adapter (LoRA): its weights on every delegate that runs nodes AdapterLinear. */
typedef struct sy_adapter_set sy_adapter_set;

typedef struct sy_executor_options {
    uint32_t struct_bytes;
    uint32_t n_sequences_max; /* per step; 0: 1 */
    uint64_t budget_bytes;    /* for arenas, scratch and what units hold; 0: none */
    uint32_t profile;         /* 1: ask delegates for times per node (sy_executor_node_ns) */
    uint32_t windows;         /* 1: states that are read through a window forget older rows */
    uint32_t no_blobs;        /* 1: compile anew and keep nothing, whatever the runtime has */
    sy_watch_options watch;   /* of jobs of delegates that are no CPU */
} sy_executor_options;

/* One sequence of a step. */
typedef struct sy_step_sequence {
    sy_state_set *states; /* NULL for graphs without states */
    uint32_t n_tokens;
    uint32_t n_past;
} sy_step_sequence;

/* Data for one graph input, copied at the start of the step. */
typedef struct sy_step_input {
    uint32_t i_value;
    const void *data;
    uint64_t n_bytes; /* exactly the value's bytes at the step's symbol values */
} sy_step_input;

typedef struct sy_step {
    uint32_t struct_bytes;
    uint32_t i_phase;
    uint32_t n_sequences, n_inputs;
    const sy_step_sequence *sequences;
    const sy_step_input *inputs;
    /* Values of OUTPUTS and the graph's own symbols (index = symbol); TOKENS and SEQUENCES are
     * taken from the sequences. NULL: OUTPUTS = n_sequences. */
    const int64_t *symbols;
    /* OUTPUT values that are wanted; NULL: all. Others may not be computed and stay where they are;
     * sy_executor_output refuses them. */
    const uint32_t *outputs;
    uint32_t n_outputs;
} sy_step;

/* What one segment has done so far. */
typedef struct sy_segment_stats {
    uint64_t n_runs;
    uint64_t total_ns, last_ns; /* submit to fence, transfers apart */
    uint64_t transfer_ns;       /* moving its inputs and results */
    /* To and from memory of delegates: values that were moved for it, and what its delegate says
     * to have moved itself. Memory that both sides see is not moved. */
    uint64_t written_bytes, read_bytes;
    uint64_t host_ns; /* processor time of the delegate's own threads, as it tells (sy_profile.h) */
} sy_segment_stats;

typedef enum sy_blob_outcome {
    SY_BLOB_NONE = 0,     /* nothing was compiled: the delegate does not, or not this segment */
    SY_BLOB_COMPILED = 1, /* compiled now; text says why */
    SY_BLOB_EXACT = 2,    /* loaded as it was kept */
    SY_BLOB_USABLE = 3    /* likewise, though made for something else; text says what */
} sy_blob_outcome;

#define SY_BLOB_TEXT_BYTES 256u

/* Where the compiled form of one segment came from. */
typedef struct sy_blob_report {
    sy_blob_outcome outcome;
    uint32_t is_kept; /* it is in the store for the next process */
    uint64_t n_bytes;
    uint64_t compile_ns, load_ns;
    char text[SY_BLOB_TEXT_BYTES]; /* a sentence */
} sy_blob_report;

/* Memory in bytes, by owner. */
typedef struct sy_memory_report {
    uint64_t arena_bytes;  /* host arena for values that cross segments */
    uint64_t device_bytes; /* arenas in memory of devices */
    uint64_t scratch_bytes;
    uint64_t device_scratch_bytes;  /* of it, in memory of devices */
    uint64_t unit_bytes;            /* what loaded units hold beside the mapped weights */
    uint64_t device_unit_bytes;     /* of it, with delegates that have memory of their own */
    uint64_t weight_bytes;          /* weights of the graph, mapped */
    uint64_t state_bytes_per_token; /* of one sequence, canonical size */
} sy_memory_report;

/* Loads every segment of every phase and reserves all memory. NULL options: defaults. The plan must
 * outlive the executor.
 * shape: -  unit: -  owner: caller, sy_executor_destroy  errors: RESOURCE_EXHAUSTED with the bytes
 * missing, those of a delegate's load  thread: one at a time  cost: loads units  since: 0.1
 * source: - */
SY_MUST_CHECK sy_status sy_executor_create(const sy_plan *plan, const sy_executor_options *options,
                                           sy_executor **out_executor, sy_error *error);

/* Unloads everything after every state set is gone; NULL is fine. One that is not idle stays where
 * it is for good, which goes to the log: what its plan, graph and weights lie in must stay as well.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time
 * cost: unloads units  since: 0.1  source: - */
void sy_executor_destroy(sy_executor *executor);

/* Runs one step. On failure nothing is committed and the same step may be tried again.
 * shape: -  unit: -  owner: copies inputs  errors: INVALID_ARGUMENT, OUT_OF_RANGE past a bound,
 * those of the delegates with their words  thread: one at a time  cost: no heap  since: 0.1
 * source: - */
SY_MUST_CHECK sy_status sy_executor_step(sy_executor *executor, const sy_step *step,
                                         sy_error *error);

/* Which delegate failed in the newest step or call on states, and how; NONE when none did, or when
 * what went wrong was no fault of a delegate.
 * shape: -  unit: -  owner: -  errors: NONE  thread: one at a time
 * cost: O(1)  since: 0.1  source: docs/failover.md */
sy_failure sy_executor_failure(const sy_executor *executor, uint32_t *out_delegate);

/* 1 when no job of the executor runs any more. A job that hangs may still write to arenas, scratch
 * and states: until it ends nothing of them may be freed or used again, and no step begins.
 * shape: -  unit: -  owner: -  errors: none  thread: one at a time
 * cost: O(segments)  since: 0.1  source: docs/failover.md */
int sy_executor_is_idle(const sy_executor *executor);

/* Result of the newest step: host memory of an OUTPUT value, valid until the next step.
 * shape: the value's at the step's symbols  unit: bytes  owner: executor
 * errors: INVALID_ARGUMENT for no output, FAILED_PRECONDITION before a step
 * and where the step was not asked for it
 * thread: one at a time  cost: O(1)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_executor_output(const sy_executor *executor, uint32_t i_value,
                                           const void **out_data, uint64_t *out_bytes,
                                           sy_error *error);

/* Figures of one segment; zeroed struct past the end.
 * shape: -  unit: nanoseconds, bytes  owner: caller  errors: none  thread: one at a time
 * cost: O(1)  since: 0.1  source: - */
void sy_executor_stats(const sy_executor *executor, uint32_t i_phase, uint32_t i_segment,
                       sy_segment_stats *out_stats);

/* Where the compiled form of one segment came from; NONE past the end.
 * shape: -  unit: bytes, nanoseconds  owner: caller  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: docs/decisions/0033 */
void sy_executor_blob(const sy_executor *executor, uint32_t i_phase, uint32_t i_segment,
                      sy_blob_report *out_report);

/* Time that a node took in all steps of a phase so far, as its delegate told; 0 without
 * options.profile, past the end, and where the delegate does not tell nodes apart.
 * shape: -  unit: nanoseconds  owner: -  errors: none  thread: one at a time
 * cost: O(1)  since: 0.1  source: sy_profile.h */
uint64_t sy_executor_node_ns(const sy_executor *executor, uint32_t i_phase, uint32_t i_node);

/* Memory the executor holds.
 * shape: -  unit: bytes  owner: caller  errors: none  thread: any
 * cost: O(values)  since: 0.1  source: - */
void sy_executor_memory(const sy_executor *executor, sy_memory_report *out_report);

/* Plan the executor was made from.
 * shape: -  unit: -  owner: borrowed  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
const sy_plan *sy_executor_plan(const sy_executor *executor);

/* Reserves the states of one sequence for max_tokens rows; it never grows.
 * shape: -  unit: tokens  owner: caller, sy_state_set_destroy  errors: RESOURCE_EXHAUSTED,
 * OUT_OF_RANGE, those of the delegates  thread: one at a time per executor
 * cost: heap or device memory, none after sy_state_pool_reserve  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_state_set_create(sy_executor *executor, uint64_t max_tokens,
                                            sy_state_set **out_set, sy_error *error);

/* Frees a set; NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time per executor
 * cost: O(states)  since: 0.1  source: - */
void sy_state_set_destroy(sy_state_set *set);

/* A second set with the first n_rows rows equal and the same max_tokens. Whoever then wants to
 * write rows below n_rows, of either set, truncates (or shifts, or loads) first.
 * shape: -  unit: rows  owner: caller  errors: as create, OUT_OF_RANGE also for rows that a window
 * left behind  thread: one at a time per executor
 * cost: that of the delegates' state_clone; those that share blocks copy a part of one  since: 0.1
 * source: sy_plugin.h section 9 */
SY_MUST_CHECK sy_status sy_state_set_clone(sy_state_set *set, uint64_t n_rows,
                                           sy_state_set **out_set, sy_error *error);

/* As clone, with max_tokens of its own, at least n_rows: a copy that only keeps rows for others to
 * be forked from reserves nothing more with max_tokens = n_rows.
 * shape: -  unit: rows  owner: caller  errors: as clone, INVALID_ARGUMENT for max_tokens < n_rows
 * thread: one at a time per executor  cost: as clone  since: 0.1  source: sy_plugin.h section 9 */
SY_MUST_CHECK sy_status sy_state_set_fork(sy_state_set *set, uint64_t n_rows, uint64_t max_tokens,
                                          sy_state_set **out_set, sy_error *error);

/* Says that rows from n_rows on will be written before they are read again. Changes all states or,
 * after an error, none.
 * shape: -  unit: rows  owner: -  errors: OUT_OF_RANGE also where a window left rows behind that a
 * step at n_rows reads, RESOURCE_EXHAUSTED where they are shared, those of the delegates
 * thread: one at a time per executor  cost: O(states), and of what was shared  since: 0.1
 * source: - */
SY_MUST_CHECK sy_status sy_state_set_truncate(sy_state_set *set, uint64_t n_rows, sy_error *error);

/* Moves rows [first, first + count) to start at `to` < first, contents unchanged: keys keep the
 * rotation of the positions they had. Changes all states or, after an error, none.
 * shape: -  unit: rows  owner: -  errors: as truncate, INVALID_ARGUMENT for another order
 * thread: one at a time per executor  cost: O(rows)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_state_set_shift(sy_state_set *set, uint64_t first, uint64_t count,
                                           uint64_t to, sy_error *error);

/* Takes rows [first, first + count) out of the n_rows that are committed: the rows after them move
 * down by count and what they hold is turned to their new positions, so that a sequence goes on as
 * if the dropped tokens had never been between the others. Rows that readers with a window can no
 * longer see are not moved.
 * shape: -  unit: rows  owner: -  errors: OUT_OF_RANGE, UNIMPLEMENTED for rows that cannot be
 * turned and FAILED_PRECONDITION where the first rows would come into a window again (states as
 * before: compute the rows anew), those of the delegates (states then hold nothing of use)
 * thread: one at a time per executor  cost: O(rows moved), no heap  since: 0.1
 * source: docs/sessions.md */
SY_MUST_CHECK sy_status sy_state_set_drop(sy_state_set *set, uint64_t n_rows, uint64_t first,
                                          uint64_t count, sy_error *error);

/* Bytes that n_rows rows take in canonical layout, over all states in value order. Of a state with
 * a window, only the newest `window` of them are there.
 * shape: -  unit: bytes  owner: -  errors: none  thread: any
 * cost: O(states)  since: 0.1  source: - */
uint64_t sy_state_set_bytes(const sy_state_set *set, uint64_t n_rows);

/* Writes or reads rows [0, n_rows) of every state in canonical layout, with a window the newest of
 * them.
 * shape: per state [n_rows or window, width]  unit: bytes  owner: caller's memory of
 * sy_state_set_bytes  errors: INVALID_ARGUMENT for another size, OUT_OF_RANGE also for rows that a
 * window left behind, RESOURCE_EXHAUSTED for a load over shared rows, those of the delegates
 * thread: one at a time per executor  cost: O(bytes)  since: 0.1  source: sy_plugin.h section 9 */
SY_MUST_CHECK sy_status sy_state_set_save(sy_state_set *set, uint64_t n_rows, void *out_bytes,
                                          uint64_t n_bytes, sy_error *error);
SY_MUST_CHECK sy_status sy_state_set_load(sy_state_set *set, uint64_t n_rows, const void *bytes,
                                          uint64_t n_bytes, sy_error *error);

/* Keeps committed rows in host memory too, brought up to date by the step that is every_tokens rows
 * ahead of them; 1: by every step. 0 lets them go. Clones and forks keep none of their own accord.
 * shape: -  unit: tokens  owner: set  errors: RESOURCE_EXHAUSTED
 * thread: one at a time per executor  cost: sy_state_copy_bytes of memory; each step that copies,
 * the delegates' state_save  since: 0.1  source: docs/failover.md */
SY_MUST_CHECK sy_status sy_state_set_keep(sy_state_set *set, uint32_t every_tokens,
                                          sy_error *error);

/* Bytes that such a copy takes.
 * shape: -  unit: bytes  owner: -  errors: none  thread: any
 * cost: O(states)  since: 0.1  source: - */
uint64_t sy_state_copy_bytes(const sy_executor *executor, uint64_t max_tokens);

/* Moves a set to another executor over the same graph, with as many of its first n_rows rows as can
 * be had: from the delegates that keep them, or from the copy where those are lost. The handle
 * stays the same, so do its adapters (sy_adapter_set_move). *out_n_rows rows are there afterwards;
 * the caller computes the rest anew.
 * shape: -  unit: rows  owner: -  errors: INVALID_ARGUMENT another graph, RESOURCE_EXHAUSTED, those
 * of the new delegates (the set is as before)  thread: one at a time per executor
 * cost: O(rows), heap  since: 0.1  source: docs/failover.md */
SY_MUST_CHECK sy_status sy_state_set_move(sy_state_set *set, sy_executor *to, uint64_t n_rows,
                                          uint64_t *out_n_rows, sy_error *error);

/* Bytes of states as the delegates lay them out, under the budget, with all they keep beside the
 * rows. */
typedef struct sy_state_memory {
    uint64_t own_bytes;    /* of a set: that no other shares; of a call: that it would take */
    uint64_t shared_bytes; /* of a set: that others share; of a call: that it would share */
    uint64_t new_bytes;    /* of a call: of own_bytes, what is not free in the pool */
    uint64_t block_tokens; /* every delegate shares rows in blocks of so many; 0: one shares none */
} sy_state_memory;

/* What a set holds now.
 * shape: -  unit: bytes  owner: caller  errors: those of the delegates  thread: one at a time per
 * executor  cost: O(blocks)  since: 0.1  source: sy_plugin.h section 9 */
SY_MUST_CHECK sy_status sy_state_set_usage(const sy_state_set *set, sy_state_memory *out_memory,
                                           sy_error *error);

/* What n_sets new sets, a fork, or a truncation would need; nothing changes. Delegates that do not
 * tell are counted with the canonical bytes of what they would keep.
 * shape: -  unit: bytes  owner: caller  errors: what the call itself would answer, memory apart
 * thread: one at a time per executor  cost: O(blocks)  since: 0.1
 * source: sy_plugin.h section 9 */
SY_MUST_CHECK sy_status sy_state_need_create(sy_executor *executor, uint64_t max_tokens,
                                             uint32_t n_sets, sy_state_memory *out_memory,
                                             sy_error *error);
SY_MUST_CHECK sy_status sy_state_need_fork(sy_state_set *set, uint64_t n_rows, uint64_t max_tokens,
                                           sy_state_memory *out_memory, sy_error *error);
SY_MUST_CHECK sy_status sy_state_need_truncate(sy_state_set *set, uint64_t n_rows,
                                               sy_state_memory *out_memory, sy_error *error);

/* Makes room for n_sets more sets of max_tokens now and keeps it until the runtime closes its
 * delegates, so that creating them asks for no memory of the delegates. Delegates without a pool
 * are passed over.
 * shape: -  unit: tokens  owner: delegates  errors: RESOURCE_EXHAUSTED and nothing reserved by the
 * delegate that refuses  thread: one at a time per executor  cost: heap or device memory
 * since: 0.1  source: sy_plugin.h section 9 */
SY_MUST_CHECK sy_status sy_state_pool_reserve(sy_executor *executor, uint64_t max_tokens,
                                              uint32_t n_sets, sy_error *error);

/* An adapter at work on the rows of a sequence, times a scale. */
typedef struct sy_adapter_choice {
    sy_adapter_set *set;
    float scale;
} sy_adapter_choice;

/* Hands the weights of an adapter to the delegates. They stay where they are: mapped and unchanged
 * until the set is destroyed.
 * shape: pairs by slot, sy_plugin.h section 10  unit: -  owner: caller, sy_adapter_set_destroy
 * errors: FAILED_PRECONDITION for a graph without nodes AdapterLinear, RESOURCE_EXHAUSTED, those of
 * the delegates  thread: one at a time per executor  cost: that of adapter_create  since: 0.1
 * source: - */
SY_MUST_CHECK sy_status sy_adapter_set_create(sy_executor *executor,
                                              const sy_adapter_description *description,
                                              sy_adapter_set **out_set, sy_error *error);

/* Hands an adapter to the delegates of another executor over the same graph, with the description
 * it was made from; the handle stays the same.
 * shape: -  unit: -  owner: -  errors: as create (the set is as before)
 * thread: one at a time per executor  cost: that of adapter_create  since: 0.1
 * source: docs/failover.md */
SY_MUST_CHECK sy_status sy_adapter_set_move(sy_adapter_set *set, sy_executor *to,
                                            const sy_adapter_description *description,
                                            sy_error *error);

/* Frees an adapter that no state set uses any more; NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time per executor
 * cost: O(delegates)  since: 0.1  source: - */
void sy_adapter_set_destroy(sy_adapter_set *set);

/* Memory that delegates keep for an adapter beside its own bytes, and how often state sets use it.
 * shape: -  unit: bytes; uses  owner: -  errors: none  thread: one at a time per executor
 * cost: O(1)  since: 0.1  source: - */
uint64_t sy_adapter_set_bytes(const sy_adapter_set *set);
uint32_t sy_adapter_set_n_users(const sy_adapter_set *set);

/* Says with which adapters the rows of a state set are made, in place of those before; a step then
 * uses them for the tokens of its sequence, and a clone gets them too. Rows that are there were
 * made with other weights: the caller starts over from row 0.
 * shape: choices [n]  unit: -  owner: copies choices, borrows the adapters until the state set is
 * destroyed or adapted anew  errors: OUT_OF_RANGE over SY_LIMIT_ADAPTERS_PER_SEQUENCE,
 * INVALID_ARGUMENT another executor or a scale that is no number  thread: one at a time per
 * executor  cost: O(1)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_state_set_adapt(sy_state_set *states, const sy_adapter_choice *choices,
                                           uint32_t n, sy_error *error);

/* The adapters that the rows of a state set are made with: two sets may share rows only when these
 * are equal.
 * shape: [*out_n]  unit: -  owner: borrowed until the set is adapted anew or destroyed
 * errors: none  thread: one at a time per executor  cost: O(1)  since: 0.1  source: - */
const sy_adapter_choice *sy_state_set_adapters(const sy_state_set *states, uint32_t *out_n);

/* An sy_evaluate for sy_pass_options: computes a node on the reference delegate of `user`, which is
 * the sy_runtime.
 * shape: -  unit: -  owner: writes out_data  errors: those of the delegate  thread: one at a time
 * cost: loads and runs one unit  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_evaluate_reference(void *user, const sy_graph *graph, uint32_t i_node,
                                              void *const *out_data, sy_error *error);

#ifdef __cplusplus
}
#endif
#endif
