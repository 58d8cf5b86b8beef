/* SPDX-License-Identifier: Apache-2.0 */
/* Where a run happened and how fast, for people. */
#ifndef SY_CLI_RUN_REPORT_H
#define SY_CLI_RUN_REPORT_H

#include "engine_flags.h"
#include "switchyard/session.h"

typedef struct sy_run_figures {
    uint64_t verb_ns;              /* when the verb began */
    uint64_t session_ns;           /* what opening the session and the sampler took */
    uint64_t start_ns, prefill_ns; /* when the newest prompt began, and what it took */
    uint64_t first_ns;             /* when the first text went out; 0: not yet */
    uint32_t n_prefilled;          /* of the newest prompt */
    sy_generate_result result;
} sy_run_figures;

/* Marks the start of a prompt and its end. */
void sy_run_start(sy_run_figures *figures);
void sy_run_prefilled(sy_run_figures *figures, uint32_t n_tokens);

/* Prints two lines on standard error: delegates with their nodes, and speeds. */
void sy_run_print(const sy_engine *engine, const sy_run_figures *figures);

/* Prints what each part of the start took on standard error, up to the first text. */
void sy_run_timings(const sy_cli_engine *flags, const sy_run_figures *figures);

/* Prints one line a segment on standard error: runs, time of one run predicted and measured. */
void sy_run_profile(const sy_engine *engine);

#endif
