/* SPDX-License-Identifier: Apache-2.0 */
/* Where a run happened and how fast, for people. */
#ifndef SY_CLI_RUN_REPORT_H
#define SY_CLI_RUN_REPORT_H

#include "switchyard/session.h"

typedef struct sy_run_figures {
    uint64_t start_ns, prefill_ns;
    uint32_t n_prefilled; /* of the newest prompt */
    sy_generate_result result;
} sy_run_figures;

/* Marks the start of a prompt and its end. */
void sy_run_start(sy_run_figures *figures);
void sy_run_prefilled(sy_run_figures *figures, uint32_t n_tokens);

/* Prints two lines on standard error: delegates with their nodes, and speeds. */
void sy_run_print(const sy_engine *engine, const sy_run_figures *figures);

/* Prints one line a segment on standard error: runs, time of one run predicted and measured. */
void sy_run_profile(const sy_engine *engine);

#endif
