/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operations of sessions cost, one verb each, a line of JSON for every sample. engine.py
 * runs it beside the same verbs of its peers.
 *
 *   sy_engine_bench VERB MODEL PLUGINS THREADS ...
 *     clone FILE DEPTH...            clones at these depths, copies through FILE
 *     sessions TOKENS SESSIONS       memory of one more session
 *     prefix PREFIX TAIL             time to the logits of a prompt, with its prefix stored or not
 *     lora ADAPTER TAIL              what changing an adapter takes
 *     speculate TEXT TOKENS [DRAFT]  decoding plainly, with look-up, with a draft model
 */
#include "engine_bench.h"

#include <string.h>

#define THREADS_MOST 256l

static const struct {
    const char *name;
    int n_arguments;
    void (*run)(engine_bench *bench);
} verbs[] = {{"clone", 2, engine_bench_clone},
             {"sessions", 2, engine_bench_sessions},
             {"prefix", 2, engine_bench_prefix},
             {"lora", 2, engine_bench_lora},
             {"speculate", 2, engine_bench_speculate}};

void engine_bench_load(engine_bench *bench, const sy_engine_options *options) {
    sy_error error = {0};
    must(sy_engine_create(bench->runtime, bench->model, options, &bench->engine, &error), &error);
}

uint32_t engine_bench_number(const engine_bench *bench, int i) {
    long value = strtol(bench->arguments[i], NULL, 10);
    if (value < 1 || value > 1 << 20) {
        fprintf(stderr, "%s is no number of 1 to 1048576\n", bench->arguments[i]);
        exit(2);
    }
    return (uint32_t)value;
}

void engine_bench_say(const char *row, const char *unit, double value, const char *note) {
    printf("{\"row\": \"%s\", \"unit\": \"%s\", \"value\": %.9g, \"note\": \"%s\"}\n", row, unit,
           value, note);
    fflush(stdout);
}

void engine_bench_tokens(int32_t *out_tokens, uint32_t first, uint32_t n, uint32_t seed) {
    for (uint32_t i = 0; i < n; i++) {
        out_tokens[i] = (int32_t)(((first + i) * 37 + seed * 11) % 251 + 3);
    }
}

double engine_bench_prefill(sy_session *session, uint32_t n_tokens, uint32_t seed) {
    sy_error error = {0};
    int32_t *tokens = malloc(n_tokens * sizeof(tokens[0]));
    const float *logits = NULL;
    uint32_t n_held = 0;
    if (tokens == NULL) {
        exit(1);
    }
    (void)sy_session_tokens(session, &n_held);
    engine_bench_tokens(tokens, n_held, n_tokens, seed);
    double start = now_us();
    must(sy_session_prefill(session, tokens, n_tokens, &error), &error);
    must(sy_session_logits(session, &logits, &error), &error);
    double us = now_us() - start;
    free(tokens);
    return us;
}

double engine_bench_decode(sy_session *session) {
    sy_error error = {0};
    int32_t token = 0;
    double start = now_us();
    must(sy_session_decode(session, NULL, &token, &error), &error);
    return now_us() - start;
}

static void open_runtime(engine_bench *bench, const char *plugins, long n_threads) {
    sy_error error = {0};
    sy_runtime_options options;
    sy_registry_options search;
    sy_runtime_options_default(&options);
    sy_registry_options_default(&search);
    options.n_threads = (uint32_t)n_threads;
    search.directories = &plugins;
    search.n_directories = 1;
    must(sy_runtime_create(&options, &bench->runtime, &error), &error);
    must(sy_registry_open(bench->runtime, &search, &bench->registry, &error), &error);
}

int main(int argc, char **argv) {
    for (size_t i = 0; argc > 4 && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        engine_bench bench = {.model = argv[2], .n_arguments = argc - 5, .arguments = argv + 5};
        long n_threads = strtol(argv[4], NULL, 10);
        if (strcmp(verbs[i].name, argv[1]) != 0 || bench.n_arguments < verbs[i].n_arguments ||
            n_threads < 1 || n_threads > THREADS_MOST) {
            continue;
        }
        open_runtime(&bench, argv[3], n_threads);
        verbs[i].run(&bench);
        sy_engine_destroy(bench.engine);
        sy_registry_close(bench.registry);
        sy_runtime_destroy(bench.runtime);
        return 0;
    }
    fprintf(stderr, "usage: sy_engine_bench VERB MODEL PLUGINS THREADS ...; the verbs: clone, "
                    "sessions, prefix, lora, speculate (engine_bench.c)\n");
    return 2;
}
