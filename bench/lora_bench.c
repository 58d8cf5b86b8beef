/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What adapters cost: sy_lora_bench MODEL ADAPTER PLUGINS [TOKENS [TURNS]]
 * Three sessions in one process, in turns: of an engine without room for adapters, with room and
 * none in use, with the adapter in use. Times are medians of the turns; what they cost beside the
 * first is the median of the turns' ratios, with its quartiles.
 */
#include "measuring.h"
#include "switchyard/adapter.h"
#include "switchyard/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURNS_MOST 64
#define PROMPT 256

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorted copies: the element at a part of 4 of the way. */
static double quartile(const double *times, int n, int part) {
    double sorted[TURNS_MOST];
    memcpy(sorted, times, (size_t)n * sizeof(times[0]));
    qsort(sorted, (size_t)n, sizeof(sorted[0]), compare);
    return sorted[n * part / 4];
}

typedef struct bench {
    sy_runtime *runtime;
    sy_registry *registry;
    sy_engine *engines[2];   /* without and with room */
    sy_session *sessions[3]; /* of the first, of the second, of the second with the adapter */
    sy_adapter *adapter;
    double prefill[3][TURNS_MOST], decode[3][TURNS_MOST];
    int n_turns;
    double load_us, swap_us;
} bench;

static sy_status open_all(bench *b, char **argv, sy_error *error) {
    sy_adapter_facts facts;
    sy_registry_options search;
    sy_engine_options options;
    const char *plugins = argv[3];
    sy_registry_options_default(&search);
    search.directories = &plugins;
    search.n_directories = 1;
    sy_engine_options_default(&options);
    options.n_context_tokens = 2048;
    sy_status status = sy_adapter_read_facts(NULL, argv[2], &facts, error);
    if (status == SY_OK) {
        status = sy_runtime_create(NULL, &b->runtime, error);
    }
    if (status == SY_OK) {
        status = sy_registry_open(b->runtime, &search, &b->registry, error);
    }
    for (int i = 0; status == SY_OK && i < 2; i++) {
        options.n_adapters = (uint32_t)i;
        options.adapter_rank = facts.rank;
        status = sy_engine_create(b->runtime, argv[1], &options, &b->engines[i], error);
    }
    double start = now_us();
    if (status == SY_OK) {
        status = sy_adapter_load(b->engines[1], argv[2], &b->adapter, error);
    }
    b->load_us = now_us() - start;
    for (int i = 0; status == SY_OK && i < 3; i++) {
        status = sy_session_open(b->engines[i > 0], 1024, &b->sessions[i], error);
    }
    return status;
}

/* One turn of one session: from empty through a prompt and n tokens. */
static sy_status turn(bench *b, int i, int i_turn, int n, sy_error *error) {
    static int32_t prompt[PROMPT];
    int32_t token = 0;
    sy_status status = sy_session_rewind(b->sessions[i], 0, error);
    double start = now_us();
    if (status == SY_OK && i == 2) {
        status = sy_session_set_adapter(b->sessions[i], b->adapter, 1.0f, error);
        b->swap_us = now_us() - start;
    }
    for (int k = 0; k < PROMPT; k++) {
        prompt[k] = k % 100 + 1;
    }
    start = now_us();
    if (status == SY_OK) {
        status = sy_session_prefill(b->sessions[i], prompt, PROMPT, error);
    }
    b->prefill[i][i_turn] = (now_us() - start) / PROMPT;
    start = now_us();
    for (int k = 0; status == SY_OK && k < n; k++) {
        status = sy_session_decode(b->sessions[i], NULL, &token, error);
    }
    b->decode[i][i_turn] = (now_us() - start) / n;
    return status;
}

static void print_times(const bench *b, const char *what, const double times[][TURNS_MOST], int i) {
    double ratios[TURNS_MOST];
    for (int t = 0; t < b->n_turns; t++) {
        ratios[t] = times[i][t] / times[0][t];
    }
    printf("  %s %8.1f us/token %+5.1f %% (%+.1f to %+.1f)", what,
           quartile(times[i], b->n_turns, 2), 100 * quartile(ratios, b->n_turns, 2) - 100,
           100 * quartile(ratios, b->n_turns, 1) - 100,
           100 * quartile(ratios, b->n_turns, 3) - 100);
}

static void print(const bench *b) {
    static const char *const names[3] = {"no room for adapters", "room, none in use", "in use"};
    printf("load %.0f us, change of a session's adapter %.2f us\n", b->load_us, b->swap_us);
    for (int i = 0; i < 3; i++) {
        printf("%-22s", names[i]);
        print_times(b, "prefill", b->prefill, i);
        print_times(b, "decode", b->decode, i);
        printf("\n");
    }
}

int main(int argc, char **argv) {
    static bench b;
    sy_error error;
    if (argc < 4) {
        fprintf(stderr, "usage: sy_lora_bench MODEL ADAPTER PLUGINS [TOKENS [TURNS]]\n");
        return 2;
    }
    int n = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 24;
    sy_error_clear(&error);
    sy_status status = n > 0 ? open_all(&b, argv, &error) : SY_INVALID_ARGUMENT;
    b.n_turns = argc > 5 ? (int)strtol(argv[5], NULL, 10) : 7;
    b.n_turns = b.n_turns < 1 || b.n_turns > TURNS_MOST ? TURNS_MOST : b.n_turns;
    for (int t = 0; status == SY_OK && t < b.n_turns; t++) {
        for (int k = 0; status == SY_OK && k < 3; k++) { /* forth and back */
            status = turn(&b, t % 2 == 0 ? k : 2 - k, t, n, &error);
        }
    }
    if (status == SY_OK) {
        print(&b);
    } else {
        fprintf(stderr, "%s\n", error.message);
    }
    for (int i = 0; i < 3; i++) {
        sy_session_close(b.sessions[i]);
    }
    for (int i = 0; i < 2; i++) {
        sy_engine_destroy(b.engines[i]);
    }
    sy_registry_close(b.registry);
    sy_runtime_destroy(b.runtime);
    return status == SY_OK ? 0 : 1;
}
