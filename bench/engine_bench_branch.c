/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs about the state of sessions: clones, memory, stored prefixes. */
#include "engine_bench.h"
#include "process_memory.h"

#include <stdio.h>
#include <string.h>

#define ROUNDS 9u
#define COPIES 3u
#define ROW_BYTES 64u

static void row_at(char *row, const char *text, uint32_t n_tokens) {
    snprintf(row, ROW_BYTES, "%s at %u", text, n_tokens);
}

/* A session written to a file and read again: the copy that shares nothing. */
static void copies(engine_bench *bench, sy_session *session, const char *path, uint32_t depth) {
    sy_error error = {0};
    char row[ROW_BYTES];
    row_at(row, "copy through a file", depth);
    for (uint32_t i = 0; i < COPIES; i++) {
        sy_session *copy = NULL;
        double start = now_us();
        must(sy_session_save(session, path, &error), &error);
        must(sy_session_load(bench->engine, path, sy_session_max_tokens(session), &copy, &error),
             &error);
        engine_bench_say(row, "ms", 1e-3 * (now_us() - start), "");
        sy_session_close(copy);
    }
    (void)remove(path);
}

static void clones(sy_session *session, uint32_t depth) {
    sy_error error = {0};
    char row[ROW_BYTES], row_then[ROW_BYTES], row_plain[ROW_BYTES];
    row_at(row, "clone", depth);
    row_at(row_then, "clone, then a token", depth);
    row_at(row_plain, "a token", depth);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        sy_session *clone = NULL;
        double start = now_us();
        must(sy_session_clone(session, &clone, &error), &error);
        double us = now_us() - start;
        engine_bench_say(row, "us", us, "");
        engine_bench_say(row_then, "ms", 1e-3 * (us + engine_bench_decode(clone)), "");
        sy_session_close(clone);
        engine_bench_say(row_plain, "ms", 1e-3 * engine_bench_decode(session), "");
    }
}

void engine_bench_clone(engine_bench *bench) {
    sy_error error = {0};
    sy_session *session = NULL;
    sy_engine_options options;
    char row[ROW_BYTES];
    uint32_t n_held = 0;
    double us = 0;
    sy_engine_options_default(&options);
    options.n_context_tokens = engine_bench_number(bench, bench->n_arguments - 1) + 64;
    engine_bench_load(bench, &options);
    must(sy_session_open(bench->engine, 0, &session, &error), &error);
    for (int i = 1; i < bench->n_arguments; i++) {
        uint32_t depth = engine_bench_number(bench, i);
        if (depth <= n_held) {
            fprintf(stderr, "depths must ascend, by more than %u\n", ROUNDS);
            exit(2);
        }
        us += engine_bench_prefill(session, depth - n_held, 1);
        row_at(row, "prefill", depth);
        engine_bench_say(row, "ms", 1e-3 * us, "");
        clones(session, depth);
        copies(bench, session, bench->arguments[0], depth);
        (void)sy_session_tokens(session, &n_held);
    }
    sy_session_close(session);
}

#define SESSIONS_MOST 64u
#define WARM_TOKENS 1024u

void engine_bench_sessions(engine_bench *bench) {
    sy_error error = {0};
    sy_session *sessions[SESSIONS_MOST] = {NULL};
    uint32_t n_tokens = engine_bench_number(bench, 0), n = engine_bench_number(bench, 1);
    sy_engine_options options;
    sy_engine_memory memory;
    char note[ROW_BYTES];
    n = n < SESSIONS_MOST ? n : SESSIONS_MOST;
    sy_engine_options_default(&options);
    options.n_context_tokens = n_tokens;
    engine_bench_load(bench, &options);
    sy_engine_get_memory(bench->engine, n_tokens, &memory);
    snprintf(note, sizeof(note), "foretold %.2f MiB", (double)memory.session_bytes / 1048576);
    for (uint32_t i = 0; i < n; i++) {
        double before = anonymous_mib();
        uint32_t n_filled = i > 0 || n_tokens < WARM_TOKENS ? n_tokens : WARM_TOKENS;
        must(sy_session_open(bench->engine, n_tokens, &sessions[i], &error), &error);
        (void)engine_bench_prefill(sessions[i], n_filled, 1 + i);
        if (i > 0) { /* the first brings in what all share */
            engine_bench_say("one more session", "MiB", anonymous_mib() - before, note);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        sy_session_close(sessions[i]);
    }
}

typedef struct prompt {
    int32_t *tokens;
    uint32_t n_prefix, n_tail;
} prompt;

/* Milliseconds to the logits of the prompt in a new session; tails differ by their seed. */
static double answer(engine_bench *bench, prompt *p, uint32_t tail_seed, char *out_note) {
    sy_error error = {0};
    sy_session *session = NULL;
    sy_session_stats stats;
    const float *logits = NULL;
    uint32_t n = p->n_prefix + p->n_tail;
    engine_bench_tokens(p->tokens + p->n_prefix, p->n_prefix, p->n_tail, tail_seed);
    double start = now_us();
    must(sy_session_open(bench->engine, n, &session, &error), &error);
    must(sy_session_prefill(session, p->tokens, n, &error), &error);
    must(sy_session_logits(session, &logits, &error), &error);
    double us = now_us() - start;
    sy_session_get_stats(session, &stats);
    snprintf(out_note, ROW_BYTES, "%llu reused", (unsigned long long)stats.n_reused_tokens);
    sy_session_close(session);
    return 1e-3 * us;
}

void engine_bench_prefix(engine_bench *bench) {
    prompt p = {.n_prefix = engine_bench_number(bench, 0), .n_tail = engine_bench_number(bench, 1)};
    uint32_t n = p.n_prefix + p.n_tail;
    char row[ROW_BYTES], note[ROW_BYTES];
    sy_engine_options options;
    p.tokens = malloc(n * sizeof(p.tokens[0]));
    if (p.tokens == NULL) {
        exit(1);
    }
    engine_bench_tokens(p.tokens, 0, p.n_prefix, 1);
    sy_engine_options_default(&options);
    options.n_context_tokens = n;
    options.prefix_bytes = UINT64_C(1) << 31;
    engine_bench_load(bench, &options);
    snprintf(row, sizeof(row), "%u tokens, nothing stored", n);
    double ms = answer(bench, &p, 2, note);
    engine_bench_say(row, "ms", ms, note);
    snprintf(row, sizeof(row), "%u tokens, %u stored", n, p.n_prefix);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        ms = answer(bench, &p, 3 + i, note);
        engine_bench_say(row, "ms", ms, note);
    }
    free(p.tokens);
}
