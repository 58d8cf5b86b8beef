/* SPDX-License-Identifier: Apache-2.0 */
/* What an executor is made of; for core/exec only. */
#ifndef SY_EXEC_EXECUTOR_INTERNAL_H
#define SY_EXEC_EXECUTOR_INTERNAL_H

#include "exec/runtime_internal.h"
#include "switchyard/executor.h"
#include "sy_profile.h"

#define SY__HOST_SIDE SY_NO_VALUE /* stands for host memory where a delegate index may stand */

/* Memory of one delegate that takes part. Delegates that take host memory see the executor's host
 * arena through an import; others own an arena and values are copied in and out. */
typedef struct sy__side {
    bool in_use, host;
    bool is_watched; /* no CPU: its jobs may run beside others, and have deadlines */
    bool adapts;     /* runs nodes AdapterLinear */
    uint64_t fence;  /* of its jobs, which are done in order */
    uint64_t n_jobs;
    uint32_t epoch;               /* of its handles */
    sy_sequence *sequences;       /* [n_sequences_max], with adapters; where it adapts */
    sy_adapter_use *adapter_uses; /* [n_sequences_max * SY_LIMIT_ADAPTERS_PER_SEQUENCE] */
    uint32_t n_adapter_uses;      /* of the step */
    sy_buffer *arena;
    uint64_t arena_bytes; /* of an own arena, 0 for an import */
    sy_buffer *scratch;
    uint64_t scratch_bytes;
    void *scratch_memory; /* host memory behind an imported scratch */
} sy__side;

/* Copies a value between the host arena and a delegate's own arena. */
typedef struct sy__transfer {
    uint32_t i_value;
    uint32_t from, to;  /* delegate index or SY__HOST_SIDE */
    uint32_t i_segment; /* whose input or result it is */
} sy__transfer;

typedef struct sy__loaded_segment {
    const sy_plan_segment *planned;
    sy_unit *unit;
    sy_unit_info info;
    sy__transfer *before;
    uint32_t n_before;
    sy_binding *inputs, *outputs; /* lengths are set each step */
    uint32_t *state_slots;        /* index into a state set, per state of the segment */
    sy_state **states;            /* [n_sequences_max * n_states], filled each step */
    sy_segment_stats stats;
    sy_blob_report *blob; /* NULL: its delegate compiles nothing */
    bool adapts;          /* has nodes AdapterLinear */
    /* what a job may read until it is done lies here */
    sy_job job;
    sy_profile profile;
    sy_job_cost cost;
    sy_point done, wait;
    uint64_t serves; /* set of outputs, by place in the executor's list, that need it */
    bool is_pending; /* submitted, and not seen to be done */
    uint64_t start_ns, allowed_ns, deadline_ns, slowest_ns;
    uint32_t *needs; /* segments that must be done before this one, or its transfers, begin */
    uint32_t n_needs;
    uint32_t i_before; /* the watched segment before it on the same delegate, SY_NO_VALUE none */
} sy__loaded_segment;

typedef struct sy__loaded_phase {
    sy__loaded_segment *segments;
    uint32_t n_segments;
    sy__transfer *after; /* brings results back to the host */
    uint32_t n_after;
    uint64_t *offsets; /* per value: place in every arena of this phase, UINT64_MAX none */
    uint64_t arena_bytes;
    uint64_t *node_ns; /* per node of the graph, NULL without a profile */
} sy__loaded_phase;

/* How the rows of one state depend on the positions they were written at. */
typedef struct sy__turn {
    const float *frequency; /* of pair i; NULL: rows do not depend on positions */
    uint32_t n_pairs, head_length;
    bool interleaved;
} sy__turn;

/* The first failure of a delegate since the last step began. */
typedef struct sy__failed {
    sy_failure failure;
    uint32_t i_delegate;
    uint32_t hung; /* set of delegates with jobs that have not ended: bit i of delegate i */
    uint32_t dead; /* and of those whose states cannot be read, or not be trusted */
} sy__failed;

/* A handle of a delegate whose job hangs: it goes when the job has ended. */
typedef struct sy__orphan {
    uint32_t i_delegate;
    sy_state *state;
    sy_adapter_weights *weights;
} sy__orphan;

/* What dropping rows needs (drop.c). */
typedef struct sy__dropping {
    const char *refusal; /* why rows of this graph cannot be moved; NULL: they can */
    sy__turn *turns;     /* [n_states] */
    uint8_t *rows;       /* some canonical rows of the widest state */
    float *row, *cosines, *sines;
} sy__dropping;

struct sy_executor {
    const sy_allocator *allocator;
    sy_runtime *runtime;
    const sy_plan *plan;
    const sy_graph *graph;
    sy__arena arena; /* lists that live as long as the executor */
    sy_executor_options options;
    sy__loaded_phase *phases;
    uint32_t n_phases;
    sy__side sides[SY_LIMIT_DELEGATES];
    uint8_t *host_arena;
    uint64_t host_arena_bytes;
    uint32_t *inputs, n_inputs;       /* INPUT values of the graph */
    uint32_t *outputs, n_outputs;     /* OUTPUT values of the graph */
    uint64_t wanted;                  /* set of outputs that the newest step was asked for */
    uint32_t *state_values, n_states; /* STATE values of the graph */
    sy_state_description *state_descriptions; /* [n_states], max_tokens 0 */
    sy_state_request *state_requests;         /* [n_states], of the call at hand */
    sy_sequence *sequences;                   /* [n_sequences_max] */
    sy__failed *failed; /* of the executor's arena: calls that change nothing fail, too */
    sy__orphan *orphans;
    size_t n_orphans, orphans_capacity;
    int64_t symbols[SY_SYMBOL_COUNT_MAX];
    uint32_t i_phase_done; /* phase of the newest step, SY_NO_VALUE before the first */
    sy__dropping dropping;
};

/* Committed rows of a set in host memory (state_copy.c). */
typedef struct sy__state_copy {
    uint32_t every_tokens; /* 0: none */
    uint64_t n_rows;       /* rows that are there, of states with a window the newest of them */
    uint8_t *bytes;
    uint64_t n_bytes;
} sy__state_copy;

struct sy_state_set {
    sy_executor *executor;
    uint64_t max_tokens;
    sy__state_copy copy;
    sy_state **states;                                          /* [executor->n_states] */
    sy_adapter_choice adapters[SY_LIMIT_ADAPTERS_PER_SEQUENCE]; /* what the rows are made with */
    uint32_t n_adapters;
};

/* One adapter on the delegates that run nodes AdapterLinear. */
struct sy_adapter_set {
    sy_executor *executor;
    sy_adapter_weights *weights[SY_LIMIT_DELEGATES]; /* NULL where none is needed */
    uint64_t n_bytes;
    uint32_t n_users; /* places in state sets */
};

/* results.c: which segments serve which outputs, once a phase is laid out; what a step is asked
 * for; bringing that to the host. */
sy_status sy__results_find(sy_executor *executor, uint32_t i_phase, sy_error *error);
sy_status sy__results_choose(sy_executor *executor, const sy_step *step, sy_error *error);
bool sy__results_want(const sy_executor *executor, uint32_t i_value);
sy_status sy__results_bring(sy_executor *executor, const sy__loaded_phase *phase, sy_error *error);

/* state_facts.c: what the states are made from. */
sy_status sy__describe_states(sy_executor *executor, sy_error *error);
/* Rows [*out_first, n_rows) are what a state of n_rows rows surely keeps. */
uint64_t sy__state_first_row(const sy_executor *executor, uint32_t slot, uint64_t n_rows);
uint64_t sy__state_row_bytes(const sy_executor *executor, uint32_t slot);
const sy_delegate *sy__state_owner(const sy_executor *executor, uint32_t slot);
/* state_memory.c: the request of one call on all states of a set, or on new ones. */
typedef struct sy__state_call {
    uint32_t call, count;    /* SY_STATE_CALL_* */
    const sy_state_set *set; /* NULL: CREATE */
    uint64_t n_rows, max_tokens;
} sy__state_call;
/* Makes the delegates ready for a call that is to change all states of a set or none. */
sy_status sy__states_reserve(const sy_executor *executor, const sy__state_call *call, uint32_t keep,
                             sy_error *error);
/* states.c */
sy_status sy__state_check_rows(const sy_state_set *set, uint64_t n_rows, sy_error *error);
/* sy_state_set_shift without a word to the copy. */
sy_status sy__states_shift(sy_state_set *set, uint64_t first, uint64_t count, uint64_t to,
                           sy_error *error);
sy_status sy__state_check_tokens(uint64_t max_tokens, sy_error *error);

/* state_copy.c: rows from `first` on change; n_rows rows are committed. */
void sy__state_copy_cut(sy_state_set *set, uint64_t first);
sy_status sy__state_copy_add(sy_state_set *set, uint64_t n_rows, sy_error *error);
void sy__state_copy_drop(sy_state_set *set);
/* Destroys handles, or keeps them until the jobs that may still reach them have ended. */
void sy__handles_release(sy_executor *executor, uint32_t i_delegate, sy_state *state,
                         sy_adapter_weights *weights);

/* executor.c: does what a delegate takes for itself lie in memory of its device, which no heap of
 * ours counts? */
bool sy__has_device_memory(const sy_executor *executor, uint32_t i_delegate);
/* layout.c: places crossing values, finds transfers. */
sy_status sy__layout_phase(sy_executor *executor, uint32_t i_phase, sy_error *error);
/* order.c: what each segment must wait for where jobs run beside each other. */
sy_status sy__order_phase(sy_executor *executor, uint32_t i_phase, sy_error *error);
/* transfer.c: copies a list of values of one segment. */
sy_status sy__transfer_list(sy_executor *executor, const sy__loaded_phase *phase,
                            const sy__transfer *list, uint32_t n, sy_error *error);
/* Are the results of a segment in host memory sound, as far as the guard asks? */
sy_status sy__guard_results(sy_executor *executor, const sy__loaded_phase *phase,
                            const sy__loaded_segment *loaded, sy_error *error);
/* run.c: submits; a delegate that is a CPU is done then. Waits for one, for all. */
sy_status sy__segment_submit(sy_executor *executor, const sy_step *step, sy__loaded_phase *phase,
                             sy__loaded_segment *loaded, sy_error *error);
sy_status sy__segment_wait(sy_executor *executor, const sy__loaded_phase *phase,
                           sy__loaded_segment *loaded, sy_error *error);
/* Waits for what still runs after a failure. */
void sy__segments_drain(sy_executor *executor, sy__loaded_phase *phase);
/* load.c: arenas, scratch, units and bindings. */
sy_status sy__load_all(sy_executor *executor, sy_error *error);
void sy__unload_all(sy_executor *executor);
/* blobs.c: compiles a segment, or takes the blob that an earlier process left, and loads it. For
 * delegates that offer compile. */
sy_status sy__blob_load(sy_executor *executor, const sy_plan_phase *phase,
                        sy__loaded_segment *loaded, sy_error *error);
/* load.c: the delegate's load; out_unit is NULL after an error, which is not put into words yet. */
sy_status sy__load_unit(const sy_delegate *delegate, const sy_load_request *request,
                        sy__loaded_segment *loaded);
/* drop.c: finds how the rows of each state depend on positions, reserves what moving them takes. */
sy_status sy__dropping_prepare(sy_executor *executor, sy_error *error);
/* adapters.c: finds the nodes that adapters work on; after the units are loaded. */
sy_status sy__adapters_prepare(sy_executor *executor, sy_error *error);
/* Names the adapters of the step's sequences to the delegates that adapt. */
void sy__adapters_bind(sy_executor *executor, const sy_step *step);
void sy__adapters_copy(sy_state_set *to, const sy_state_set *from);
void sy__adapters_release(sy_state_set *states);
/* failure.c: turns a delegate's failure into an error with its own words, and remembers what kind
 * it was; in_step: of a job. */
sy_status sy__failure(const sy_executor *executor, const sy_delegate *delegate, sy_status status,
                      bool in_step, const char *what, sy_error *error);
/* The same for a failure that the executor found itself. */
void sy__failure_note(const sy_executor *executor, uint32_t i_delegate, sy_failure failure);
/* Did a delegate that takes part fail elsewhere, or do jobs still hang? Then no step may begin. */
sy_status sy__failure_check(sy_executor *executor, sy_error *error);
uint32_t sy__delegate_epoch(const sy_delegate *delegate);
/* Turns a delegate's failure into an error with its own words. */
sy_status sy__delegate_error(const sy_runtime *runtime, const sy_delegate *delegate,
                             sy_status status, const char *what, sy_error *error);
/* Clears the delegate's report, so that the next one belongs to the next call. */
void sy__delegate_listen(const sy_runtime *runtime, const sy_delegate *delegate);

#endif
