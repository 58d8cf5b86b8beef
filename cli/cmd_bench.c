/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard bench: how fast a model runs here, and how near to what the machine can do. */
#include "bench.h"
#include "switchyard/limits.h"
#include "switchyard/types.h"
#include <verbs.h>

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char sy_cli_bench_about[] = "measure how fast a model runs and compare with the machine";

#define OPTIONS_OWN 20u

static volatile sig_atomic_t stopped;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    stopped = 1;
}

int sy_bench_stopped(void) {
    return stopped;
}

void sy_bench_progress(const sy_bench *bench, const char *format, ...) {
    va_list arguments;
    if (!bench->flags.progress && !isatty(STDERR_FILENO)) {
        return;
    }
    va_start(arguments, format);
    fputs(isatty(STDERR_FILENO) ? "\r\033[K" : "", stderr);
    vfprintf(stderr, format, arguments);
    fputs(isatty(STDERR_FILENO) ? "" : "\n", stderr);
    va_end(arguments);
    fflush(stderr);
}

/* Numbers of a flag, separated by commas, each between least and most. */
static int parse_numbers(const char *flag, const char *text, uint32_t least, uint32_t most,
                         sy_bench_numbers *out_numbers) {
    out_numbers->n = 0;
    for (const char *at = text; *at != '\0';) {
        char *end = NULL;
        unsigned long number = strtoul(at, &end, 10);
        if (*at < '0' || *at > '9' || (*end != '\0' && *end != ',') || number < least ||
            number > most || out_numbers->n >= SY_BENCH_ITEMS_MAX) {
            char hint[96];
            snprintf(hint, sizeof(hint), "Write at most %u numbers from %u to %u, as in 1,2.",
                     SY_BENCH_ITEMS_MAX, least, most);
            return sy_cli_usage("bench", hint, "--%s cannot be \"%s\".", flag, text);
        }
        out_numbers->items[out_numbers->n++] = (uint32_t)number;
        at = *end == ',' ? end + 1 : end;
    }
    return SY_CLI_GO_ON;
}

static uint32_t bench_options(sy_bench_flags *flags, sy_cli_option *out_options) {
    *flags = (sy_bench_flags){.prefill_text = "512",
                              .decode_text = "128",
                              .depth_text = "0",
                              .batch_text = "1",
                              .threads_text = "",
                              .n_repeats = 5};
    const sy_cli_option options[] = {
        {"prefill", 'p', NULL, SY_CLI_TEXT, &flags->prefill_text, "N,...", 0, 0,
         "prompt lengths to prefill; 0: none", NULL},
        {"decode", 'n', NULL, SY_CLI_TEXT, &flags->decode_text, "N,...", 0, 0,
         "tokens to decode; 0: none", NULL},
        {"depth", 'd', NULL, SY_CLI_TEXT, &flags->depth_text, "N,...", 0, 0,
         "tokens that are there before decoding starts", NULL},
        {"batch", 0, NULL, SY_CLI_TEXT, &flags->batch_text, "N,...", 0, 0,
         "sessions that decode together in one step", NULL},
        {"threads", 't', NULL, SY_CLI_TEXT, &flags->threads_text, "N,...", 0, 0,
         "thread counts; none: as configured", NULL},
        {"start", 0, NULL, SY_CLI_SWITCH, &flags->start, NULL, 0, 0,
         "measure process start to first token and peak memory, in child processes", NULL},
        {"json", 0, NULL, SY_CLI_TEXT, &flags->json_path, "FILE", 0, 0,
         "write all results as JSON; - for standard output instead of tables", NULL},
        {"plot", 0, NULL, SY_CLI_TEXT, &flags->plot_path, "FILE", 0, 0,
         "draw roofline and tokens/s over depth: FILE.svg, or FILE.png with rsvg-convert", NULL},
        {"compare", 0, NULL, SY_CLI_TEXT, &flags->compare, "llama.cpp[=PATH]", 0, 0,
         "run llama-bench on the same file between our samples", NULL},
        {"repeat", 'r', NULL, SY_CLI_COUNT, &flags->n_repeats, "N", 1, SY_BENCH_SAMPLES_MAX,
         "samples of each series, taken in rounds", NULL},
        {"buffer", 0, NULL, SY_CLI_COUNT, &flags->buffer_mib, "MIB", 0, 1u << 20,
         "size of the buffer for the read bandwidth; 0: 512, less where memory is short", NULL},
        {"profile", 0, NULL, SY_CLI_SWITCH, &flags->profile, NULL, 0, 0,
         "time every operator (costs a little speed)", NULL},
        {"progress", 0, NULL, SY_CLI_SWITCH, &flags->progress, NULL, 0, 0,
         "tell on stderr what is measured, also when it is no terminal", NULL},
        {"once", 0, NULL, SY_CLI_SWITCH, &flags->once, NULL, 0, 0,
         "start, give one token, tell the memory; what --start runs", NULL}};
    memcpy(out_options, options, sizeof(options));
    return SY_CLI_COUNT_OF(options);
}

static int parse_lists(sy_bench *bench) {
    sy_bench_flags *flags = &bench->flags;
    const struct {
        const char *name, *text;
        uint32_t least, most;
        sy_bench_numbers *numbers;
    } lists[] = {{"prefill", flags->prefill_text, 0, 1u << 20, &flags->prefill},
                 {"decode", flags->decode_text, 0, 1u << 20, &flags->decode},
                 {"depth", flags->depth_text, 0, 1u << 24, &flags->depth},
                 {"batch", flags->batch_text, 1, SY_BENCH_SESSIONS_MAX, &flags->batch},
                 {"threads", flags->threads_text, 1, SY_MACHINE_THREADS_MAX, &flags->threads}};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        int exit_status = parse_numbers(lists[i].name, lists[i].text, lists[i].least, lists[i].most,
                                        lists[i].numbers);
        if (exit_status != SY_CLI_GO_ON) {
            return exit_status;
        }
    }
    if (flags->threads.n == 0) {
        flags->threads.items[flags->threads.n++] = 0; /* as configured */
    }
    return SY_CLI_GO_ON;
}

static void add_series(sy_bench *bench, sy_bench_kind kind, uint32_t n_tokens, uint32_t depth,
                       uint32_t n_sequences) {
    if (n_tokens > 0 && bench->n_series < SY_BENCH_SERIES_MAX) {
        bench->series[bench->n_series++] = (sy_bench_series){
            .kind = kind, .n_tokens = n_tokens, .depth = depth, .n_sequences = n_sequences};
    }
}

/* The cells of one thread count. */
static void add_cells(sy_bench *bench, uint32_t n_threads) {
    const sy_bench_flags *flags = &bench->flags;
    uint32_t i_first = bench->n_series;
    for (uint32_t p = 0; p < flags->prefill.n; p++) {
        add_series(bench, SY_BENCH_PREFILL, flags->prefill.items[p], 0, 1);
    }
    for (uint32_t n = 0; n < flags->decode.n; n++) {
        for (uint32_t d = 0; d < flags->depth.n; d++) {
            for (uint32_t b = 0; b < flags->batch.n; b++) {
                add_series(bench, SY_BENCH_DECODE, flags->decode.items[n], flags->depth.items[d],
                           flags->batch.items[b]);
            }
        }
    }
    for (uint32_t i = i_first; i < bench->n_series; i++) {
        bench->series[i].n_threads = n_threads;
    }
}

/* Tokens that the longest session of the cells has to hold. */
static uint32_t longest_session(const sy_bench *bench, uint32_t i_first) {
    uint32_t longest = bench->flags.once ? SY_BENCH_PROMPT_TOKENS + 2 : 2;
    for (uint32_t i = i_first; i < bench->n_series; i++) {
        uint32_t n = bench->series[i].n_tokens + bench->series[i].depth + 3;
        longest = n > longest ? n : longest;
    }
    return longest;
}

/* Random tokens with a fixed seed: speed does not depend on which. */
static sy_status make_tokens(sy_bench *bench, uint32_t n, sy_error *error) {
    const sy_allocator *heap = sy_allocator_heap();
    uint32_t n_vocabulary = sy_engine_info(bench->engine.engine)->n_vocabulary;
    uint64_t random = 88172645463325252u;
    int32_t *grown = heap->reallocate(heap->self, bench->tokens, bench->n_tokens * sizeof(int32_t),
                                      n * sizeof(int32_t), 64);
    if (grown == NULL) {
        return sy_error_set(error, SY_RESOURCE_EXHAUSTED, "No memory for %u tokens.", n);
    }
    bench->tokens = grown;
    bench->n_tokens = n;
    for (uint32_t i = 0; i < n; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        bench->tokens[i] = (int32_t)((random >> 32) % n_vocabulary);
    }
    return SY_OK;
}

static void copy_placement(const sy_plan *plan, uint32_t i_phase, char *out_text, size_t n_bytes) {
    uint32_t n_nodes[SY_LIMIT_DELEGATES] = {0};
    size_t used = 0;
    for (uint32_t s = 0; s < sy_plan_n_segments(plan, i_phase); s++) {
        const sy_plan_segment *segment = sy_plan_segment_at(plan, i_phase, s);
        n_nodes[segment->i_delegate] += segment->segment.n_nodes;
    }
    out_text[0] = '\0';
    for (uint32_t d = 0; d < SY_LIMIT_DELEGATES && used < n_bytes; d++) {
        const sy_delegate *delegate = sy_runtime_delegate(sy_plan_runtime(plan), d);
        if (n_nodes[d] > 0 && delegate != NULL) {
            used += (size_t)snprintf(out_text + used, n_bytes - used, "%s%s (%u nodes)",
                                     used > 0 ? ", " : "", delegate->name, n_nodes[d]);
        }
    }
}

static void copy_model(sy_bench *bench, const sy_engine_options *options) {
    const sy_engine *engine = bench->engine.engine;
    const sy_model_info *info = sy_engine_info(engine);
    const sy_type_facts *keys = sy_type_get(options->key_type);
    const sy_type_facts *values = sy_type_get(options->value_type);
    sy_bench_model *about = &bench->about;
    snprintf(about->name, sizeof(about->name), "%s", info->name);
    snprintf(about->architecture, sizeof(about->architecture), "%s", info->architecture);
    snprintf(about->key_type, sizeof(about->key_type), "%s", keys != NULL ? keys->name : "?");
    snprintf(about->value_type, sizeof(about->value_type), "%s",
             values != NULL ? values->name : "?");
    about->n_parameters = info->n_parameters;
    about->weight_bytes = info->weight_bytes;
    for (uint32_t p = 0; p < 2; p++) {
        copy_placement(sy_engine_plan(engine), p, about->placement[p], sizeof(about->placement[p]));
    }
}

/* Opens the model for the cells from i_first on, with tokens for the longest of them. */
static int open_model(sy_bench *bench, uint32_t i_first, uint32_t n_threads) {
    uint32_t n_longest = longest_session(bench, i_first), n_asked = bench->n_context;
    sy_error error;
    sy_engine_options options;
    sy_error_clear(&error);
    bench->engine.n_context = n_longest > n_asked ? n_longest : n_asked;
    bench->engine.n_sequences = 0;
    for (uint32_t i = i_first; i < bench->n_series; i++) {
        uint32_t n = bench->series[i].n_sequences;
        bench->engine.n_sequences = n > bench->engine.n_sequences ? n : bench->engine.n_sequences;
    }
    bench->engine.n_outputs = bench->engine.n_sequences > 16 ? bench->engine.n_sequences : 0;
    bench->shared.profile = bench->flags.profile;
    bench->shared.n_threads = n_threads;
    int exit_status = sy_cli_engine_open(&bench->engine, &bench->shared);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    exit_status = sy_cli_engine_options(&bench->engine, &options);
    if (exit_status == SY_CLI_GO_ON && sy_engine_info(bench->engine.engine)->is_encoder) {
        sy_error_set(&error, SY_UNIMPLEMENTED,
                     "%s is an encoder: this verb measures prefill and decode of decoders.",
                     bench->engine.model);
        exit_status = sy_cli_fail(&error);
    }
    if (exit_status == SY_CLI_GO_ON && make_tokens(bench, n_longest, &error) != SY_OK) {
        exit_status = sy_cli_fail(&error);
    }
    if (exit_status != SY_CLI_GO_ON) {
        sy_cli_engine_close(&bench->engine);
        return exit_status;
    }
    bench->n_batch = options.n_batch_tokens;
    bench->buffer_bytes = bench->flags.buffer_mib > 0 ? (uint64_t)bench->flags.buffer_mib << 20
                                                      : sy_machine_buffer_bytes();
    copy_model(bench, &options);
    return SY_CLI_GO_ON;
}

/* Opens the model with one thread count, measures its cells and closes it. */
static int run_threads(sy_bench *bench, uint32_t n_threads) {
    sy_error error;
    uint32_t i_first = bench->n_series;
    sy_error_clear(&error);
    add_cells(bench, n_threads);
    if (bench->n_series == i_first) {
        return SY_CLI_GO_ON;
    }
    sy_bench_progress(bench, "threads %u: loading", n_threads);
    int exit_status = open_model(bench, i_first, n_threads);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    uint32_t n_real = sy_runtime_n_threads(bench->engine.setup.runtime);
    for (uint32_t i = i_first; i < bench->n_series; i++) {
        bench->series[i].n_threads = n_real;
    }
    sy_status status = sy_bench_run_series(bench, i_first, &error);
    sy_bench_progress(bench, "%s", "");
    sy_cli_engine_close(&bench->engine);
    return status == SY_OK ? SY_CLI_GO_ON : sy_cli_fail(&error);
}

/* What --start runs: the cells only tell how long the session is. */
static int run_once(sy_bench *bench) {
    add_cells(bench, bench->flags.threads.items[0]);
    bench->flags.profile = 0;
    int exit_status = open_model(bench, 0, bench->flags.threads.items[0]);
    if (exit_status == SY_CLI_GO_ON) {
        exit_status = sy_bench_once(bench);
        sy_cli_engine_close(&bench->engine);
    }
    return exit_status;
}

static int write_results(const sy_bench *bench) {
    const sy_bench_flags *flags = &bench->flags;
    int tables = (flags->json_path == NULL || strcmp(flags->json_path, "-") != 0) &&
                 (flags->plot_path == NULL || strcmp(flags->plot_path, "-") != 0);
    sy_error error;
    sy_status status = SY_OK;
    sy_error_clear(&error);
    for (uint32_t i = 0; tables && i < bench->n_series; i++) {
        sy_bench_print_profile(bench, &bench->series[i]);
    }
    if (tables) {
        sy_bench_print(bench);
    }
    if (flags->json_path != NULL) {
        status = sy_bench_write_json(bench, flags->json_path, &error);
    }
    if (status == SY_OK && flags->plot_path != NULL && bench->n_series > 0) {
        status = sy_bench_write_plot(bench, flags->plot_path, &error);
    }
    return status == SY_OK ? SY_CLI_GO_ON : sy_cli_fail(&error);
}

static int measure(sy_bench *bench) {
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    const sy_bench_numbers *threads = &bench->flags.threads;
    int exit_status = parse_lists(bench);
    if (exit_status == SY_CLI_GO_ON && bench->flags.once) {
        return run_once(bench);
    }
    if (exit_status == SY_CLI_GO_ON) {
        exit_status = sy_bench_find_peer(bench);
    }
    if (exit_status == SY_CLI_GO_ON) {
        exit_status = sy_bench_check_plot(bench);
    }
    sigaction(SIGINT, &action, NULL);
    for (uint32_t i = 0; exit_status == SY_CLI_GO_ON && i < threads->n && !stopped; i++) {
        exit_status = run_threads(bench, threads->items[i]);
    }
    for (uint32_t i = 0; exit_status == SY_CLI_GO_ON && bench->flags.start && i < threads->n; i++) {
        exit_status = stopped ? exit_status : sy_bench_run_start(bench, threads->items[i]);
    }
    if (exit_status == SY_CLI_GO_ON && bench->n_series + bench->n_starts == 0) {
        return sy_cli_usage("bench", "Give --prefill, --decode or --start.",
                            "there is nothing to measure.");
    }
    return exit_status == SY_CLI_GO_ON ? write_results(bench) : exit_status;
}

static void clean_up(sy_bench *bench) {
    const sy_allocator *heap = sy_allocator_heap();
    for (uint32_t i = 0; i < bench->n_series; i++) {
        sy_bench_free_profile(&bench->series[i]);
    }
    if (bench->tokens != NULL) {
        heap->reallocate(heap->self, bench->tokens, bench->n_tokens * sizeof(int32_t), 0, 64);
    }
}

int sy_cli_bench(int argc, char **argv) {
    static sy_bench bench;
    sy_cli_option options[SY_CLI_ENGINE_FLAGS_MAX + OPTIONS_OWN];
    uint32_t n_options = bench_options(&bench.flags, options);
    n_options += sy_cli_engine_flags(&bench.engine, options + n_options);
    sy_cli_shared_init(&bench.shared);
    for (uint32_t i = 0; i < bench.shared.n_options; i++) { /* --threads is a list here */
        if (strcmp(bench.shared.options[i].name, "threads") == 0) {
            bench.shared.options[i] = bench.shared.options[--bench.shared.n_options];
        }
    }
    const sy_cli_command command = {
        .usage = "MODEL",
        .about = "Measures prefill and decode of a model with the delegates of this device, beside "
                 "the read bandwidth\nof a fresh buffer and the peaks of short loops, and tells "
                 "how near they come.",
        .options = options,
        .n_options = n_options};
    int exit_status = sy_cli_engine_parse(&bench.engine, &bench.shared, command, argc, argv);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    if (bench.engine.model == NULL) {
        return sy_cli_usage("bench", "Name a GGUF file as the first argument or with --model.",
                            "no model was given.");
    }
    bench.argc = argc;
    bench.argv = argv;
    bench.n_context = bench.engine.n_context; /* at least so long a session */
    exit_status = measure(&bench);
    clean_up(&bench);
    return exit_status == SY_CLI_GO_ON ? SY_CLI_DONE : exit_status;
}
