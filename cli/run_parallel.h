/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of a file as requests of one scheduler, for switchyard run --parallel. */
#ifndef SY_CLI_RUN_PARALLEL_H
#define SY_CLI_RUN_PARALLEL_H

#include "adapters.h"
#include "switchyard/chat.h"
#include "switchyard/scheduler.h"

typedef struct sy_run_parallel {
    sy_engine *engine;
    const char *path;             /* a request a line */
    uint32_t n_sessions;          /* at once */
    const sy_chat_format *format; /* NULL: lines are prompts as they are */
    const char *system;           /* NULL: none */
    const sy_sampler_options *sampling;
    const sy_generate_options *generate; /* its stream is not used */
    const sy_cli_adapters *adapters;     /* of every session */
    int quiet;
} sy_run_parallel;

/* Prints the answers in the order of the lines, and figures on standard error. */
sy_status sy_run_in_parallel(const sy_run_parallel *run, sy_error *error);

#endif
