/* SPDX-License-Identifier: Apache-2.0 */
/* What the levels of the conformance check share. They run in a child process; the report lies in
 * memory that the parent sees. */
#ifndef SY_CONFORM_INTERNAL_H
#define SY_CONFORM_INTERNAL_H

#include "conform/op_runner.h"
#include "conform/sy_conform.h"

typedef struct sy__conform {
    const sy_conform_options *options;
    sy_conform_report *report;
    uint32_t level;
    sy_plugin_entry_function entry; /* NULL at L0 */
} sy__conform;

/* Counts a check; a false one becomes a failure named `id` with a sentence. Answers `ok`. */
bool sy__conform_check(sy__conform *c, bool ok, const char *id, const char *format, ...)
    SY_PRINTF(4, 5);
/* Says what runs next, for the sentence of a crash. */
void sy__conform_doing(sy__conform *c, const char *format, ...) SY_PRINTF(2, 3);

/* Says what of this level is left out, and why. */
void sy__conform_note(sy__conform *c, const char *format, ...) SY_PRINTF(2, 3);

/* The plugin under test: a host of its own, the negotiated table (a copy: short tables read as
 * zero) and one open device. */
typedef struct sy__session {
    sy_test_host host;
    sy_plugin table;
    sy_op_runner runner;
} sy__session;

/* False after a failure was noted; then nothing is to be closed. */
bool sy__session_open(sy__conform *c, uint32_t n_workers, sy__session *session);
/* The same with more options, "key=value\n...". */
bool sy__session_open_with(sy__conform *c, uint32_t n_workers, const char *options,
                           sy__session *session);
/* Closes; checks that nothing leaked and no rule was broken. */
void sy__session_close(sy__conform *c, sy__session *session);
/* Copies what the table has and this build knows. False when the table is NULL or too short. */
bool sy__table_copy(const sy_plugin *table, sy_plugin *out_table);
/* Open descriptors and threads of this process. */
uint32_t sy__count_entries(const char *folder);

/* The levels. */
void sy__conform_static(sy__conform *c);
void sy__conform_lifecycle(sy__conform *c);
void sy__conform_verdicts(sy__conform *c);
void sy__conform_memory(sy__conform *c);
/* Part of L3, in an open session. */
void sy__conform_states(sy__conform *c, sy__session *session);
void sy__conform_state_sharing(sy__conform *c, sy__session *session);
/* Likewise. */
void sy__conform_adapters(sy__conform *c, sy__session *session);
void sy__conform_async(sy__conform *c);
void sy__conform_blobs(sy__conform *c);
void sy__conform_faults(sy__conform *c);

/* cases.c: small graphs of one node. */
#define SY__CASE_INPUTS 8u
#define SY__CASE_STATES 2u
#define SY__CASE_SEQUENCES 3u
typedef struct sy__case {
    sy_test_graph graph;
    sy__arena arena;
    char name[160]; /* "Linear Q4_K, x [5, 512], w [7, 512]" */
    const char *op;
    int64_t n_tokens;              /* bound */
    void *inputs[SY__CASE_INPUTS]; /* at the bounds; outermost dimension is n_tokens or fixed */
    uint64_t input_bytes[SY__CASE_INPUTS];
    uint32_t n_inputs;
    uint32_t outputs[4], n_outputs;
    sy_state_description states[SY__CASE_STATES];
    uint32_t n_states, past; /* rows before the step, of the longest sequence */
    double low, high;        /* range of random contents */
    double tolerance;        /* of the largest magnitude of an output */
    uint64_t random;
    bool only_reads_states, is_failed;
} sy__case;

uint32_t sy__case_n_rows(void);
uint32_t sy__case_n_types(uint32_t i_row);
uint32_t sy__case_n_shapes(uint32_t i_row);
/* Builds one case for at most n_tokens tokens. False when there is no such case (a shape that a
 * type does not have). Deinit in any case. */
bool sy__case_init(sy__case *self, uint32_t i_row, uint32_t i_type, uint32_t i_shape,
                   int64_t n_tokens);
void sy__case_deinit(sy__case *self);

/* compare.c: what one run of a case leaves. */
typedef struct sy__outcome {
    sy__arena arena;
    void *outputs[4];
    uint64_t output_bytes[4];
    void *rows[SY__CASE_SEQUENCES][SY__CASE_STATES];
    uint64_t row_bytes[SY__CASE_STATES], n_rows[SY__CASE_SEQUENCES];
    sy_sequence sequences[SY__CASE_SEQUENCES];
    uint32_t n_sequences;
} sy__outcome;

/* Runs the loaded case with n_tokens on its runner's delegate. */
sy_status sy__case_run(const sy__case *self, sy_op_unit *unit, int64_t n_tokens,
                       sy__outcome *out_outcome, sy_error *error);
/* What the reference makes of a case; deinit in any case. */
bool sy__case_expect(sy__conform *c, sy__session *oracle, const sy__case *self,
                     sy__outcome *out_expected);
void sy__outcome_deinit(sy__outcome *outcome);
/* NULL when the outcomes agree, else a text in `text`. */
const char *sy__outcome_differs(const sy__case *self, const sy__outcome *expected,
                                const sy__outcome *got, char *text, size_t n_text);
/* The two arrays of a step: symbol values and a step over an outcome's memory. */
bool sy__case_step(const sy__case *self, int64_t n_tokens, int64_t *symbols, sy__outcome *outcome,
                   sy_op_step *out_step);

/* The oracle: the reference delegate on a host of its own. */
bool sy__oracle_open(sy__conform *c, sy__session *session);

/* The first cases that the delegate under test says yes to, for the levels that need any. */
typedef struct sy__pick {
    uint32_t i_row, i_type, i_shape;
    int64_t n_tokens;
} sy__pick;
bool sy__pick_where(sy__session *session, bool (*fits)(const sy__case *), sy__pick *out_pick);
bool sy__pick_case(sy__session *session, bool with_state, sy__pick *out_pick);

#endif
