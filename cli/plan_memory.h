/* SPDX-License-Identifier: Apache-2.0 */
/* What a run of a model will take, told before it runs. */
#ifndef SY_CLI_PLAN_MEMORY_H
#define SY_CLI_PLAN_MEMORY_H

#include "switchyard/engine.h"

/* Prints the memory of a process that runs n_sessions sessions filled with max_tokens tokens (0:
 * the engine's context) on this engine, owner by owner. */
void sy_cli_print_memory(const sy_engine *engine, const char *model_path, uint32_t max_tokens,
                         uint32_t n_sessions);

#endif
