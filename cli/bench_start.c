/* SPDX-License-Identifier: Apache-2.0 */
/* From the start of a process to its first token, and what memory it takes: this program runs
 * itself as a child with --once. */
#include "bench.h"
#include "bench_child.h"
#include "text_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define AFTER_TOKENS 8u /* decoded after the longest prompt, for the memory */
#define ARGUMENTS_MAX 256

/* ---- the child ---- */

/* Sixteen tokens of a text, so that the tokenizer is part of the start as in real use. */
static sy_status make_prompt(const sy_engine *engine, int32_t prompt[SY_BENCH_PROMPT_TOKENS],
                             sy_error *error) {
    static const char text[] = "The quick brown fox jumps over the lazy dog and then sits down in "
                               "the warm evening sun to think about its day in the green hills.";
    sy_cli_tokens tokens = {0};
    const sy_tokenizer *tokenizer = sy_engine_tokenizer(engine);
    for (uint32_t i = 0; i < SY_BENCH_PROMPT_TOKENS; i++) {
        prompt[i] = (int32_t)(i % sy_engine_info(engine)->n_vocabulary);
    }
    if (tokenizer == NULL) {
        return SY_OK;
    }
    sy_status status =
        sy_cli_encode(tokenizer, text, sizeof(text) - 1, SY_ENCODE_ADD_SPECIAL, &tokens, error);
    for (uint32_t i = 0; status == SY_OK && i < SY_BENCH_PROMPT_TOKENS && i < tokens.n; i++) {
        prompt[i] = tokens.ids[i];
    }
    sy_cli_free_tokens(&tokens);
    return status;
}

static sy_status first_token(const sy_engine *engine, sy_session *session, sy_error *error) {
    int32_t prompt[SY_BENCH_PROMPT_TOKENS], best = 0;
    const float *logits = NULL;
    char piece[256];
    size_t n_bytes = 0;
    sy_status status = make_prompt(engine, prompt, error);
    if (status == SY_OK) {
        status = sy_session_prefill(session, prompt, SY_BENCH_PROMPT_TOKENS, error);
    }
    if (status == SY_OK) {
        status = sy_session_logits(session, &logits, error);
    }
    if (status != SY_OK) {
        return status;
    }
    for (uint32_t i = 1; i < sy_engine_info(engine)->n_vocabulary; i++) {
        best = logits[i] > logits[best] ? (int32_t)i : best;
    }
    if (sy_engine_tokenizer(engine) != NULL) { /* as a user would get it */
        status = sy_tokenizer_piece(sy_engine_tokenizer(engine), best, SY_DECODE_SPECIAL, piece,
                                    sizeof(piece), &n_bytes, error);
    }
    printf("first_token %" PRId32 "\n", best);
    fflush(stdout);
    return SY_STATUS_CLASS(status) == SY_OUT_OF_RANGE ? SY_OK : status; /* a very long piece */
}

/* The longest prompt and some tokens, so that everything was touched that a session touches. */
static sy_status use_all(sy_bench *bench, sy_session *session, uint32_t n_prompt, sy_error *error) {
    sy_sampler *greedy = NULL;
    int32_t token = 0;
    sy_status status = sy_session_rewind(session, 0, error);
    if (status == SY_OK) {
        status = sy_session_prefill(session, bench->tokens, n_prompt, error);
    }
    if (status == SY_OK) {
        status = sy_sampler_create(NULL, sy_engine_info(bench->engine.engine)->n_vocabulary, NULL,
                                   &greedy, error);
    }
    for (uint32_t i = 0; status == SY_OK && i < AFTER_TOKENS; i++) {
        status = sy_session_decode(session, greedy, &token, error);
    }
    sy_sampler_destroy(greedy);
    return status;
}

/* Where the compiled form of the segments came from. */
static void print_segments(const sy_engine *engine) {
    const sy_plan *plan = sy_engine_plan(engine);
    uint32_t n_compiled = 0, n_loaded = 0;
    for (uint32_t p = 0; p < sy_plan_n_phases(plan); p++) {
        for (uint32_t s = 0; s < sy_plan_n_segments(plan, p); s++) {
            sy_blob_report report;
            sy_executor_blob(sy_engine_executor(engine), p, s, &report);
            n_compiled += report.outcome == SY_BLOB_COMPILED;
            n_loaded += report.outcome == SY_BLOB_EXACT || report.outcome == SY_BLOB_USABLE;
        }
    }
    printf("compiled %" PRIu32 "\nfrom_blobs %" PRIu32 "\n", n_compiled, n_loaded);
}

static void print_memory(void) {
    FILE *file = fopen("/proc/self/status", "re");
    char line[128], name[32];
    unsigned long long kib = 0;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "%31[A-Za-z]: %llu kB", name, &kib) == 2 &&
            (strcmp(name, "VmHWM") == 0 || strcmp(name, "RssAnon") == 0 ||
             strcmp(name, "RssFile") == 0)) {
            printf("%s %llu\n", name, kib);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

int sy_bench_once(sy_bench *bench) {
    sy_error error;
    sy_session *session = NULL;
    sy_error_clear(&error);
    uint32_t n_longest = bench->n_tokens;
    sy_status status = sy_session_open(bench->engine.engine, 0, &session, &error);
    if (status == SY_OK) {
        status = first_token(bench->engine.engine, session, &error);
    }
    if (status == SY_OK && n_longest > AFTER_TOKENS) {
        status = use_all(bench, session, n_longest - AFTER_TOKENS, &error);
    }
    if (status == SY_OK) {
        print_segments(bench->engine.engine);
        print_memory();
    }
    sy_session_close(session);
    return status == SY_OK ? SY_CLI_DONE : sy_cli_fail(&error);
}

/* ---- the parent ---- */

static uint64_t number_of(const char *output, const char *name) {
    const char *found = strstr(output, name);
    unsigned long long number = 0;
    return found != NULL && sscanf(found + strlen(name), " %llu", &number) == 1 ? number : 0;
}

/* The arguments of this program with --once, one thread count, and without what only the parent
 * does. Later flags win. */
static int child_arguments(const sy_bench *bench, char *threads, char *words[ARGUMENTS_MAX]) {
    static char program[] = "/proc/self/exe", once[] = "--once", no_start[] = "--start=0";
    static char no_profile[] = "--profile=0";
    int n = 0;
    words[n++] = program;
    for (int i = 0; i < bench->argc && n < ARGUMENTS_MAX - 6; i++) {
        if (strcmp(bench->argv[i], "--") == 0) {
            return 0; /* what comes after it is no flag any more */
        }
        words[n++] = bench->argv[i];
    }
    words[n++] = once;
    words[n++] = no_start;
    words[n++] = no_profile;
    if (threads[0] != '\0') {
        words[n++] = threads;
    }
    words[n] = NULL;
    return n;
}

int sy_bench_run_start(sy_bench *bench, uint32_t n_threads) {
    static sy_child child;
    char threads[32] = "", *words[ARGUMENTS_MAX];
    sy_bench_start *start = &bench->starts[bench->n_starts++];
    start->n_threads = n_threads;
    if (n_threads > 0) {
        snprintf(threads, sizeof(threads), "--threads=%u", n_threads);
    }
    if (child_arguments(bench, threads, words) == 0) {
        return sy_cli_usage("bench", "Write the model in front of the flags, without --.",
                            "--start cannot hand a command line with \"--\" on.");
    }
    for (uint32_t i = 0; i < bench->flags.n_repeats && !sy_bench_stopped(); i++) {
        sy_bench_progress(bench, "start %u of %u", i + 1, bench->flags.n_repeats);
        sy_child_run(words, 1, &child);
        if (sy_bench_stopped()) {
            break;
        }
        if (child.exit_status != 0 || child.first_byte_ns == 0) {
            sy_error error;
            sy_error_set(&error, SY_INTERNAL, "The program started as its own child and failed.");
            return sy_cli_fail(&error);
        }
        sy_bench_add_sample(&start->first_ms, (double)child.first_byte_ns / 1e6);
        start->peak_kib = number_of(child.output, "VmHWM");
        start->anon_kib = number_of(child.output, "RssAnon");
        start->file_kib = number_of(child.output, "RssFile");
        start->n_compiled = number_of(child.output, "compiled");
        start->n_loaded = number_of(child.output, "from_blobs");
    }
    sy_bench_progress(bench, "%s", "");
    return SY_CLI_GO_ON;
}
