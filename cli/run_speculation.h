/* SPDX-License-Identifier: Apache-2.0 */
/* Guesses for switchyard run: from a draft model or from the text so far. */
#ifndef SY_CLI_RUN_SPECULATION_H
#define SY_CLI_RUN_SPECULATION_H

#include "engine_flags.h"
#include "switchyard/speculate.h"

typedef struct sy_run_speculation {
    const char *draft_path; /* flags */
    int lookup;
    uint32_t n_guesses; /* 0: the default */
    sy_engine *draft;
    sy_speculator *speculator; /* NULL: neither flag was given */
} sy_run_speculation;

/* Opens what the flags ask for over the engine's runtime. */
sy_status sy_run_speculation_open(sy_cli_engine *flags, sy_run_speculation *speculation,
                                  sy_error *error);
/* Closes it; a zeroed struct is fine. */
void sy_run_speculation_close(sy_run_speculation *speculation);

/* Prints one line on standard error: how many guesses were right. Nothing without a speculator. */
void sy_run_speculation_print(const sy_run_speculation *speculation);

#endif
