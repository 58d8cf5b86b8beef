/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs about what decoding is given: adapters, guesses. */
#include "engine_bench.h"
#include "switchyard/adapter.h"
#include "switchyard/speculate.h"
#include "text_file.h"

#include <string.h>

#define ROUNDS 9u
#define LOADS 3u
#define GENERATIONS 2u

/* A prompt from an empty session, after a change of the adapter or without one. */
static void lora_turn(sy_session *session, sy_adapter *adapter, uint32_t n_tail) {
    sy_error error = {0};
    for (uint32_t on = 0; on < 2; on++) {
        must(sy_session_rewind(session, 0, &error), &error);
        double us = engine_bench_prefill(session, n_tail, 1);
        engine_bench_say(on ? "a prompt with the adapter" : "a prompt", "ms", 1e-3 * us, "");
        us = engine_bench_decode(session);
        engine_bench_say(on ? "a token with the adapter" : "a token", "ms", 1e-3 * us, "");
        must(sy_session_rewind(session, 0, &error), &error);
        double start = now_us();
        must(sy_session_set_adapter(session, on ? NULL : adapter, 1.0f, &error), &error);
        us = now_us() - start;
        engine_bench_say(on ? "take away" : "set", "us", us, "");
        us += engine_bench_prefill(session, n_tail, 1);
        engine_bench_say(on ? "take away, then a prompt" : "set, then a prompt", "ms", 1e-3 * us,
                         "");
    }
}

void engine_bench_lora(engine_bench *bench) {
    const char *path = bench->arguments[0];
    uint32_t n_tail = engine_bench_number(bench, 1);
    sy_error error = {0};
    sy_adapter_facts facts;
    sy_adapter *adapter = NULL;
    sy_session *session = NULL;
    sy_engine_options options;
    sy_engine_options_default(&options);
    must(sy_adapter_read_facts(NULL, path, &facts, &error), &error);
    options.n_context_tokens = n_tail + 64;
    options.n_adapters = 1;
    options.adapter_rank = facts.rank;
    engine_bench_load(bench, &options);
    for (uint32_t i = 0; i < LOADS; i++) {
        double start = now_us();
        must(sy_adapter_load(bench->engine, path, &adapter, &error), &error);
        engine_bench_say("load", "ms", 1e-3 * (now_us() - start), "");
        if (i + 1 < LOADS) {
            must(sy_adapter_unload(adapter, &error), &error);
        }
    }
    must(sy_session_open(bench->engine, 0, &session, &error), &error);
    (void)engine_bench_prefill(session, n_tail, 1);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        lora_turn(session, adapter, n_tail);
    }
    sy_session_close(session);
}

typedef struct guesses {
    sy_engine *draft;
    sy_session *session;
    const sy_cli_tokens *prompt;
    uint32_t n_tokens;
    uint64_t text; /* hash of the tokens of the first way: all must give the same */
} guesses;

static uint64_t hash_tokens(const int32_t *tokens, uint32_t n) {
    uint64_t hash = UINT64_C(14695981039346656037);
    for (uint32_t i = 0; i < n; i++) {
        hash = (hash ^ (uint64_t)(uint32_t)tokens[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

/* One generation; way: 0 plain, 1 look-up, 2 draft. */
static void generate(engine_bench *bench, guesses *g, const char *row, int way) {
    sy_error error = {0};
    sy_speculator *speculator = NULL;
    sy_speculator_options choice;
    sy_speculator_stats stats = {0};
    sy_generate_result result;
    char note[96] = "";
    uint32_t n_held = 0;
    sy_speculator_options_default(&choice);
    choice.draft = way == 2 ? g->draft : NULL;
    if (way > 0) {
        must(sy_speculator_create(bench->engine, &choice, &speculator, &error), &error);
    }
    const sy_generate_options options = {.struct_bytes = sizeof(options),
                                         .n_tokens_max = g->n_tokens,
                                         .ignore_end = 1,
                                         .speculator = speculator};
    must(sy_session_rewind(g->session, 0, &error), &error);
    must(sy_session_prefill(g->session, g->prompt->ids, (uint32_t)g->prompt->n, &error), &error);
    must(sy_session_generate(g->session, NULL, &options, &result, &error), &error);
    if (speculator != NULL) {
        sy_speculator_get_stats(speculator, &stats);
        double n_guesses = stats.n_guesses > 0 ? (double)stats.n_guesses : 1;
        snprintf(note, sizeof(note), "%.0f %% of %llu right, %llu rests",
                 100 * (double)stats.n_accepted / n_guesses, (unsigned long long)stats.n_guesses,
                 (unsigned long long)stats.n_rests);
    }
    engine_bench_say(row, "tokens/s", 1e9 * result.n_tokens / (double)result.decode_ns, note);
    const int32_t *tokens = sy_session_tokens(g->session, &n_held);
    uint64_t text = hash_tokens(tokens, n_held);
    if (g->text != 0 && g->text != text) {
        fprintf(stderr, "%s changed the text\n", row);
        exit(1);
    }
    g->text = text;
    sy_speculator_destroy(speculator);
}

void engine_bench_speculate(engine_bench *bench) {
    sy_error error = {0};
    sy_cli_text text = {0};
    sy_cli_tokens prompt = {0};
    sy_engine_options options;
    guesses g = {.prompt = &prompt, .n_tokens = engine_bench_number(bench, 1)};
    must(sy_cli_read_text(bench->arguments[0], &text, &error), &error);
    sy_engine_options_default(&options);
    engine_bench_load(bench, &options);
    must(sy_cli_encode(sy_engine_tokenizer(bench->engine), text.bytes, text.n_bytes,
                       SY_ENCODE_ADD_SPECIAL, &prompt, &error),
         &error);
    if (bench->n_arguments > 2) {
        must(sy_engine_create(bench->runtime, bench->arguments[2], &options, &g.draft, &error),
             &error);
    }
    must(sy_session_open(bench->engine, 0, &g.session, &error), &error);
    for (uint32_t i = 0; i < GENERATIONS; i++) {
        generate(bench, &g, "plain", 0);
        generate(bench, &g, "look-up", 1);
        if (g.draft != NULL) {
            generate(bench, &g, "draft", 2);
        }
    }
    sy_session_close(g.session);
    sy_engine_destroy(g.draft);
    sy_cli_free_tokens(&prompt);
    sy_cli_free_text(&text);
}
