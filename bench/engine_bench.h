/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of sy_engine_bench share. */
#ifndef SY_BENCH_ENGINE_BENCH_H
#define SY_BENCH_ENGINE_BENCH_H

#include "measuring.h"
#include "switchyard/registry.h"
#include "switchyard/session.h"

typedef struct engine_bench {
    sy_runtime *runtime;
    sy_registry *registry;
    sy_engine *engine;
    const char *model;
    int n_arguments; /* of the verb, after those that all verbs have */
    char **arguments;
} engine_bench;

/* Loads the model; ends the program with the reason when it cannot. */
void engine_bench_load(engine_bench *bench, const sy_engine_options *options);

/* The i-th argument as a number of at least 1. */
uint32_t engine_bench_number(const engine_bench *bench, int i);

/* One sample as a line of JSON. note: "" or what belongs to the value. */
void engine_bench_say(const char *row, const char *unit, double value, const char *note);

/* Tokens that depend on their place and a seed only. */
void engine_bench_tokens(int32_t *out_tokens, uint32_t first, uint32_t n, uint32_t seed);

/* Processes such tokens; answers the microseconds until the logits are there. */
double engine_bench_prefill(sy_session *session, uint32_t n_tokens, uint32_t seed);

/* Microseconds of one greedy token. */
double engine_bench_decode(sy_session *session);

/* The verbs. */
void engine_bench_clone(engine_bench *bench);
void engine_bench_sessions(engine_bench *bench);
void engine_bench_prefix(engine_bench *bench);
void engine_bench_lora(engine_bench *bench);
void engine_bench_speculate(engine_bench *bench);

#endif
