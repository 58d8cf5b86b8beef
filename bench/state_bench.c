/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures the states of a delegate through its table, all states of a model together: what a new
 * session reserves, with and without windows; what a clone takes at several depths, beside a copy
 * of all rows; and a rewind below what is shared.
 *
 *   state_bench PLUGIN.so
 */
#include "conform/op_runner.h"
#include "measuring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct shape {
    const char *name;
    uint32_t n_layers, n_windowed, window, width;
} shape;

static const shape shapes[] = {
    {"llama-1b", 16, 0, 0, 512}, {"qwen-0.5b", 24, 0, 0, 128}, {"gemma-270m", 18, 15, 512, 256}};

#define STATES_MOST 64u
#define STEP_TOKENS 512u
#define ROUNDS 25u

typedef struct bench {
    sy_test_host host;
    sy_op_runner runner;
    uint32_t n_states;
    sy_state_description descriptions[STATES_MOST];
} bench;

static void describe(bench *b, const shape *s, uint64_t max_tokens, bool windows) {
    b->n_states = 2 * s->n_layers;
    for (uint32_t i = 0; i < b->n_states; i++) {
        b->descriptions[i] =
            (sy_state_description){.header = SY_HEADER_INIT(sy_state_description),
                                   .type = SY_TYPE_F16,
                                   .role = i % 2 == 0 ? SY_STATE_KEY : SY_STATE_VALUE,
                                   .width = s->width,
                                   .window = windows && i / 2 < s->n_windowed ? s->window : 0,
                                   .max_tokens = max_tokens,
                                   .step_tokens = STEP_TOKENS};
    }
}

static void ask(bench *b, sy_state **states, uint32_t call, uint64_t n_rows,
                sy_state_request *requests) {
    for (uint32_t i = 0; i < b->n_states; i++) {
        requests[i] = (sy_state_request){.header = SY_HEADER_INIT(sy_state_request),
                                         .call = call,
                                         .description = &b->descriptions[i],
                                         .state = states != NULL ? states[i] : NULL,
                                         .n_rows = n_rows,
                                         .max_tokens = b->descriptions[i].max_tokens};
    }
}

static sy_state_usage need(bench *b, sy_state **states, uint32_t call) {
    sy_error error = {0};
    sy_state_request requests[STATES_MOST];
    sy_state_usage usage = {.header = SY_HEADER_INIT(sy_state_usage)};
    ask(b, states, call, 0, requests);
    must(b->runner.plugin->state_need(b->runner.device, requests, sizeof(requests[0]), b->n_states,
                                      &usage),
         &error);
    return usage;
}

/* Memory for clones is in the pool, as in an engine that made one at start. */
static void reserve_clones(bench *b, sy_state **states, uint64_t n_rows) {
    sy_error error = {0};
    sy_state_request requests[STATES_MOST];
    ask(b, states, SY_STATE_CALL_FORK, n_rows, requests);
    must(b->runner.plugin->state_reserve(b->runner.device, requests, sizeof(requests[0]),
                                         b->n_states, 0),
         &error);
}

static void create(bench *b, sy_state **states) {
    sy_error error = {0};
    for (uint32_t i = 0; i < b->n_states; i++) {
        must(b->runner.plugin->state_create(b->runner.device, &b->descriptions[i], &states[i]),
             &error);
    }
}

static void destroy(bench *b, sy_state **states) {
    sy_error error = {0};
    for (uint32_t i = 0; i < b->n_states; i++) {
        must(b->runner.plugin->state_destroy(states[i]), &error);
    }
}

/* Writes rows as steps do: the newest last. */
static void fill(bench *b, sy_state **states, uint64_t n_rows) {
    sy_error error = {0};
    uint64_t row_bytes = 2 * b->descriptions[0].width;
    void *rows = calloc(STEP_TOKENS, row_bytes);
    for (uint32_t i = 0; rows != NULL && i < b->n_states; i++) {
        for (uint64_t at = 0; at < n_rows; at += STEP_TOKENS) {
            uint64_t n = n_rows - at < STEP_TOKENS ? n_rows - at : STEP_TOKENS;
            must(b->runner.plugin->state_load(states[i], at, n, rows, n * row_bytes), &error);
        }
    }
    free(rows);
}

static void copy_all(bench *b, sy_state **from, sy_state **to, uint64_t n_rows) {
    sy_error error = {0};
    uint64_t n_bytes = n_rows * 2 * b->descriptions[0].width;
    void *rows = malloc(n_bytes);
    for (uint32_t i = 0; rows != NULL && i < b->n_states; i++) {
        must(b->runner.plugin->state_save(from[i], 0, n_rows, rows, n_bytes), &error);
        must(b->runner.plugin->state_load(to[i], 0, n_rows, rows, n_bytes), &error);
    }
    free(rows);
}

static void clone_line(bench *b, const shape *s, uint64_t n_rows, bool windows) {
    sy_error error = {0};
    sy_state *states[STATES_MOST], *clones[STATES_MOST];
    double best = 1e30, rewind = 1e30;
    const sy_plugin *plugin = b->runner.plugin;
    sy_state_usage held = {.own_bytes = 0};
    describe(b, s, n_rows + 256, windows);
    create(b, states);
    fill(b, states, n_rows);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        reserve_clones(b, states, n_rows);
        double start = now_us();
        for (uint32_t i = 0; i < b->n_states; i++) {
            must(plugin->state_clone(states[i], n_rows, &clones[i]), &error);
        }
        double us = now_us() - start;
        best = us < best ? us : best;
        held = need(b, clones, SY_STATE_CALL_HOLD);
        start = now_us();
        for (uint32_t i = 0; i < b->n_states; i++) {
            must(plugin->state_truncate(clones[i], n_rows - 100), &error);
        }
        us = now_us() - start;
        rewind = us < rewind ? us : rewind;
        destroy(b, clones);
    }
    printf("%-10s %-8s %5llu rows: clone %8.1f us, rewind by 100 of it %7.1f us; it has %6.2f MB, "
           "shares %6.2f MB",
           s->name, windows ? "windows" : "", (unsigned long long)n_rows, best, rewind,
           (double)held.own_bytes * 1e-6, (double)held.shared_bytes * 1e-6);
    if (!windows) {
        create(b, clones);
        copy_all(b, states, clones, n_rows); /* the pages are there after this */
        double start = now_us();
        copy_all(b, states, clones, n_rows);
        printf("; a copy of all rows %9.1f us", now_us() - start);
        destroy(b, clones);
    }
    printf("\n");
    destroy(b, states);
}

static void shape_run(bench *b, const shape *s) {
    static const uint64_t contexts[] = {2048, 8192}, depths[] = {128, 2048, 8192};
    for (size_t i = 0; i < 2; i++) {
        describe(b, s, contexts[i], false);
        double all = (double)need(b, NULL, SY_STATE_CALL_CREATE).new_bytes * 1e-6;
        describe(b, s, contexts[i], true);
        double less = (double)need(b, NULL, SY_STATE_CALL_CREATE).new_bytes * 1e-6;
        printf("%-10s a session of %5llu tokens reserves %7.2f MB, with windows %7.2f MB\n",
               s->name, (unsigned long long)contexts[i], all, less);
    }
    for (size_t i = 0; i < 3; i++) {
        clone_line(b, s, depths[i], false);
        if (s->n_windowed > 0) {
            clone_line(b, s, depths[i], true);
        }
    }
}

int main(int argc, char **argv) {
    static bench b;
    sy_error error = {0};
    sy_plugin_entry_function entry = NULL;
    void *library = NULL;
    if (argc != 2) {
        fprintf(stderr, "usage: state_bench PLUGIN.so\n");
        return 2;
    }
    must(sy_op_entry_load(argv[1], &library, &entry, &error), &error);
    must(sy_test_host_init(&b.host, 1, &error), &error);
    must(sy_op_runner_open(&b.runner, entry(SY_ABI_VERSION, &b.host.services), &b.host, 0, NULL,
                           &error),
         &error);
    if (b.runner.plugin->state_need == NULL) {
        fprintf(stderr, "The delegate does not tell what its states need.\n");
        return 1;
    }
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        shape_run(&b, &shapes[i]);
    }
    must(sy_op_runner_close(&b.runner), &error);
    sy_test_host_deinit(&b.host);
    return 0;
}
