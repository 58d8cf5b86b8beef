/* SPDX-License-Identifier: Apache-2.0 */
/* Flags of every verb that loads a model, and the engine they describe. */
#ifndef SY_CLI_ENGINE_FLAGS_H
#define SY_CLI_ENGINE_FLAGS_H

#include "setup.h"
#include "switchyard/engine.h"

#define SY_CLI_ENGINE_FLAGS_MAX 12u
#define SY_CLI_RULES_MAX 64u

typedef struct sy_cli_engine {
    const char *verb; /* for its errors */
    const char *model, *key_type, *value_type, *quantization;
    uint32_t n_context, n_batch, n_outputs, memory_mib, prefix_mib;
    sy_cli_list without, pins, forbids;
    sy_policy_rule rules[SY_CLI_RULES_MAX];
    char patterns[SY_CLI_RULES_MAX][128]; /* left halves of PATTERN=DELEGATE */
    uint32_t disabled_passes;             /* set by verbs: 1 << sy_pass */
    uint32_t n_sequences;                 /* set by verbs: 0 as the engine's default */
    uint32_t no_alternatives;             /* likewise */
    uint32_t n_adapters, adapter_rank;    /* likewise: room for adapters */
    uint32_t measure_importance;          /* likewise */
    void (*trace)(void *user, sy_pass pass, int before, const sy_graph *graph);
    void *trace_user;
    sy_cli_setup setup;
    sy_engine *engine;
    uint64_t setup_ns; /* what configuration and delegates took */
} sy_cli_engine;

/* Fills defaults and appends the flags to a verb's table; answers how many it wrote (at most
 * SY_CLI_ENGINE_FLAGS_MAX). */
uint32_t sy_cli_engine_flags(sy_cli_engine *flags, sy_cli_option *out_options);

/* Fills engine options from flags and configuration. Answers SY_CLI_GO_ON or an exit status. */
int sy_cli_engine_options(sy_cli_engine *flags, sy_engine_options *out_options);

/* Parses the arguments of a verb whose one plain argument is the model, which goes before --model.
 * Of the command usage, about and the verb's own flags are given; the rest is filled in. Answers
 * as sy_cli_parse. */
int sy_cli_engine_parse(sy_cli_engine *flags, const sy_cli_shared *shared, sy_cli_command command,
                        int argc, char **argv);

/* Opens configuration, runtime, registry and the engine of flags->model. Prints what is wrong.
 * Answers SY_CLI_GO_ON or an exit status. flags must stay where it is until
 * sy_cli_engine_close. */
int sy_cli_engine_open(sy_cli_engine *flags, const sy_cli_shared *shared);

/* CLOCK_MONOTONIC, for the figures that verbs print. */
uint64_t sy_cli_now_ns(void);

/* Closes what was opened; a zeroed struct is fine. */
void sy_cli_engine_close(sy_cli_engine *flags);

#endif
