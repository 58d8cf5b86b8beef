/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs of sy_engine_bench with llama.cpp: same tokens, same rows, a line of JSON for every
 * sample. engine.py compiles it against the header and the libraries of the build that it measures.
 *
 *   llama_engine VERB MODEL THREADS ...
 *     clone FILE DEPTH...      llama_memory_seq_cp in a unified and in a split cache, copies of a
 *                              sequence through memory and through FILE
 *     sessions TOKENS FULL     memory of one more sequence; FULL 1: no windows (swa_full)
 *     prefix PREFIX TAIL       a second sequence that takes the prefix of the first
 *     lora ADAPTER TAIL        llama_set_adapters_lora
 */
#include "../process_memory.h"
#include "llama_shared.h"

#include <string.h>

#define ROUNDS 9
#define COPIES 3

/* column: where it stands beside the other samples, "" for llama.cpp's own. */
static void say(const char *row, const char *unit, double value, const char *column) {
    printf("{\"row\": \"%s\", \"unit\": \"%s\", \"value\": %.9g, \"column\": \"%s\"}\n", row, unit,
           value, column);
    fflush(stdout);
}

static void quiet(enum ggml_log_level level, const char *text, void *user) {
    (void)user;
    if (level >= GGML_LOG_LEVEL_ERROR) {
        fputs(text, stderr);
    }
}

static void make_context(peer *p, uint32_t n_tokens, uint32_t n_sequences, bool unified,
                         bool full) {
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = unified ? n_tokens : n_tokens * n_sequences;
    params.n_batch = 2048;
    params.n_seq_max = n_sequences;
    params.n_threads = p->n_threads;
    params.n_threads_batch = p->n_threads;
    params.kv_unified = unified;
    params.swa_full = full;
    params.no_perf = true;
    p->context = llama_init_from_model(p->model, params);
    must(p->context != NULL, "llama_init_from_model");
}

/* Clones of sequence 0 that holds depth tokens, each with a token after it. */
static int clones(peer *p, int depth, const char *column) {
    llama_memory_t memory = llama_get_memory(p->context);
    char row[3][64];
    int n_held = depth;
    snprintf(row[0], sizeof(row[0]), "clone at %d", depth);
    snprintf(row[1], sizeof(row[1]), "clone, then a token at %d", depth);
    snprintf(row[2], sizeof(row[2]), "a token at %d", depth);
    for (int i = 0; i < ROUNDS; i++) {
        double start = now_us();
        llama_memory_seq_cp(memory, 0, 1, -1, -1);
        double us = now_us() - start;
        say(row[0], "us", us, column);
        say(row[1], "ms", 1e-3 * (us + decode(p, n_held, 1, 1, 1)), column);
        llama_memory_seq_rm(memory, 1, -1, -1);
        say(row[2], "ms", 1e-3 * decode(p, n_held, 1, 0, 1), column);
        n_held++;
    }
    return n_held;
}

static void copies(peer *p, const char *path, int depth) {
    char row[64];
    llama_token token = 3;
    size_t n_read = 0, n_bytes = llama_state_seq_get_size(p->context, 0);
    uint8_t *state = malloc(n_bytes);
    must(state != NULL, "malloc");
    for (int i = 0; i < COPIES; i++) {
        double start = now_us();
        must(llama_state_seq_get_data(p->context, state, n_bytes, 0) == n_bytes, "get_data");
        must(llama_state_seq_set_data(p->context, state, n_bytes, 1) > 0, "set_data");
        snprintf(row, sizeof(row), "copy through memory at %d", depth);
        say(row, "ms", 1e-3 * (now_us() - start), "");
        start = now_us();
        must(llama_state_seq_save_file(p->context, path, 0, &token, 1) > 0, "save_file");
        must(llama_state_seq_load_file(p->context, path, 1, &token, 1, &n_read) > 0, "load_file");
        snprintf(row, sizeof(row), "copy through a file at %d", depth);
        say(row, "ms", 1e-3 * (now_us() - start), "");
        llama_memory_seq_rm(llama_get_memory(p->context), 1, -1, -1);
    }
    free(state);
    (void)remove(path);
}

/* Both kinds of cache, one after the other: their states cannot be exchanged. */
static void run_clone(peer *p, int argc, char **argv) {
    for (int split = 0; split < 2; split++) {
        const char *column = split ? "split cache" : "";
        uint32_t n_context = (uint32_t)number(argv[argc - 1]) + 64;
        int n_held = 0;
        double us = 0;
        char row[64];
        make_context(p, split ? n_context : 2 * n_context, 2, !split, false); /* room for a copy */
        (void)decode(p, 0, 1, 1, 1); /* the first call makes what all share */
        llama_memory_seq_rm(llama_get_memory(p->context), 1, -1, -1);
        for (int i = 1; i < argc; i++) {
            int depth = number(argv[i]);
            must(depth > n_held, "ascending depths");
            us += decode(p, n_held, depth - n_held, 0, 1);
            snprintf(row, sizeof(row), "prefill at %d", depth);
            say(row, "ms", 1e-3 * us, column);
            if (!split) {
                copies(p, argv[0], depth);
            }
            n_held = clones(p, depth, column);
        }
        llama_free(p->context);
        p->context = NULL;
    }
}

/* A context takes all of its cache when it is made, so that its sequences need not be filled. */
static void run_sessions(peer *p, int argc, char **argv) {
    (void)argc;
    double mib[2];
    for (int i = 0; i < 2; i++) {
        double before = anonymous_mib();
        make_context(p, (uint32_t)number(argv[0]), i == 0 ? 1 : 3, false, number(argv[1]) != 0);
        mib[i] = anonymous_mib() - before;
        llama_free(p->context);
        p->context = NULL;
    }
    say("one more session", "MiB", (mib[1] - mib[0]) / 2, "");
}

static void run_prefix(peer *p, int argc, char **argv) {
    (void)argc;
    int n_prefix = number(argv[0]), n_tail = number(argv[1]);
    char row[64];
    make_context(p, (uint32_t)(n_prefix + 2 * n_tail), 2, true, false);
    llama_memory_t memory = llama_get_memory(p->context);
    snprintf(row, sizeof(row), "%d tokens, nothing stored", n_prefix + n_tail);
    say(row, "ms", 1e-3 * decode(p, 0, n_prefix + n_tail, 0, 1), "");
    snprintf(row, sizeof(row), "%d tokens, %d stored", n_prefix + n_tail, n_prefix);
    for (int i = 0; i < ROUNDS; i++) {
        double start = now_us();
        llama_memory_seq_cp(memory, 0, 1, 0, n_prefix);
        (void)decode(p, n_prefix, n_tail, 1, 3 + (unsigned)i);
        say(row, "ms", 1e-3 * (now_us() - start), "");
        llama_memory_seq_rm(memory, 1, -1, -1);
    }
    snprintf(row, sizeof(row), "%d tokens, last %d taken back", n_prefix + n_tail, n_tail);
    for (int i = 0; i < ROUNDS; i++) {
        double start = now_us();
        llama_memory_seq_rm(memory, 0, n_prefix, -1);
        (void)decode(p, n_prefix, n_tail, 0, 3 + (unsigned)i);
        say(row, "ms", 1e-3 * (now_us() - start), "");
    }
}

static double prompt(peer *p, int n_tail) {
    llama_memory_seq_rm(llama_get_memory(p->context), 0, -1, -1);
    return decode(p, 0, n_tail, 0, 1);
}

static void run_lora(peer *p, int argc, char **argv) {
    (void)argc;
    int n_tail = number(argv[1]);
    float scale = 1;
    struct llama_adapter_lora *adapter = NULL;
    make_context(p, (uint32_t)n_tail + 64, 1, true, false);
    for (int i = 0; i < COPIES; i++) {
        double start = now_us();
        adapter = llama_adapter_lora_init(p->model, argv[0]);
        must(adapter != NULL, "llama_adapter_lora_init");
        say("load", "ms", 1e-3 * (now_us() - start), "");
        if (i + 1 < COPIES) {
            llama_adapter_lora_free(adapter);
        }
    }
    (void)prompt(p, n_tail);
    for (int i = 0; i < 2 * ROUNDS; i++) {
        int on = i % 2;
        say(on ? "a prompt with the adapter" : "a prompt", "ms", 1e-3 * prompt(p, n_tail), "");
        say(on ? "a token with the adapter" : "a token", "ms", 1e-3 * decode(p, n_tail, 1, 0, 1),
            "");
        double start = now_us();
        must(llama_set_adapters_lora(p->context, &adapter, on ? 0 : 1, &scale) == 0, "set");
        double us = now_us() - start;
        say(on ? "take away" : "set", "us", us, "");
        us += prompt(p, n_tail);
        say(on ? "take away, then a prompt" : "set, then a prompt", "ms", 1e-3 * us, "");
    }
}

static const struct {
    const char *name;
    int n_arguments;
    void (*run)(peer *p, int argc, char **argv);
} verbs[] = {{"clone", 2, run_clone},
             {"sessions", 2, run_sessions},
             {"prefix", 2, run_prefix},
             {"lora", 2, run_lora}};

int main(int argc, char **argv) {
    for (size_t i = 0; argc > 3 && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i].name, argv[1]) != 0 || argc - 4 < verbs[i].n_arguments) {
            continue;
        }
        peer p = {.n_threads = number(argv[3])};
        llama_log_set(quiet, NULL);
        llama_backend_init();
        p.model = llama_model_load_from_file(argv[2], llama_model_default_params());
        must(p.model != NULL, "llama_model_load_from_file");
        p.batch = llama_batch_init(2048, 0, 1);
        verbs[i].run(&p, argc - 4, argv + 4);
        llama_batch_free(p.batch);
        llama_free(p.context);
        llama_model_free(p.model);
        return 0;
    }
    fprintf(stderr, "usage: llama_engine clone|sessions|prefix|lora MODEL THREADS ...\n");
    return 2;
}
