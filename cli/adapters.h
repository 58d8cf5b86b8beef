/* SPDX-License-Identifier: Apache-2.0 */
/* The flag --lora FILE[=SCALE]: adapters for the session of a verb. */
#ifndef SY_CLI_ADAPTERS_H
#define SY_CLI_ADAPTERS_H

#include "engine_flags.h"
#include "switchyard/adapter.h"
#include "switchyard/limits.h"

typedef struct sy_cli_adapters {
    sy_cli_list given; /* target of the flag */
    char paths[SY_LIMIT_ADAPTERS_PER_SEQUENCE][512];
    float scales[SY_LIMIT_ADAPTERS_PER_SEQUENCE];
    sy_adapter *loaded[SY_LIMIT_ADAPTERS_PER_SEQUENCE]; /* the engine's */
} sy_cli_adapters;

/* The flag's row of a verb's table. */
sy_cli_option sy_cli_adapters_flag(sy_cli_adapters *adapters);

/* Reads names and scales, and asks the engine to come for room. */
sy_status sy_cli_adapters_plan(sy_cli_adapters *adapters, sy_cli_engine *engine_flags,
                               sy_error *error);

/* Loads them into the engine. */
sy_status sy_cli_adapters_load(sy_cli_adapters *adapters, sy_engine *engine, sy_error *error);

/* Gives a session without tokens all of them. */
sy_status sy_cli_adapters_use(const sy_cli_adapters *adapters, sy_session *session,
                              sy_error *error);

#endif
