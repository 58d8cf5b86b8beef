/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of `switchyard bench` share. */
#ifndef SY_CLI_BENCH_H
#define SY_CLI_BENCH_H

#include "bench_machine.h"
#include "engine_flags.h"
#include "switchyard/session.h"

#define SY_BENCH_ITEMS_MAX 16u
#define SY_BENCH_SERIES_MAX 64u
#define SY_BENCH_SAMPLES_MAX 64u
#define SY_BENCH_SESSIONS_MAX 64u /* decoding together */

/* Numbers of a flag like --threads 1,2. */
typedef struct sy_bench_numbers {
    uint32_t items[SY_BENCH_ITEMS_MAX];
    uint32_t n;
} sy_bench_numbers;

/* Parses "1,2"; each between least and most. Answers SY_CLI_GO_ON or prints and SY_CLI_USAGE. */
int sy_bench_parse_numbers(const char *flag, const char *text, uint32_t least, uint32_t most,
                           sy_bench_numbers *out_numbers);

typedef enum sy_bench_kind { SY_BENCH_PREFILL = 0, SY_BENCH_DECODE = 1 } sy_bench_kind;

/* What has to be done at least: bytes read and multiply-adds, counted from the graph. */
typedef struct sy_bench_work {
    double weight_bytes, state_bytes;
    double int8_macs, f32_macs; /* products with block types; everything else */
} sy_bench_work;

/* One step as it is counted. */
typedef struct sy_bench_step {
    uint32_t n_tokens, n_outputs, n_sequences, n_past;
} sy_bench_step;

/* Adds one node's part of a step (bench_count.c). */
void sy_bench_count_node(const sy_graph *graph, uint32_t i_node, const sy_bench_step *step,
                         sy_bench_work *inout_work);

/* One measured cell: a kind of work at one thread count. */
typedef struct sy_bench_series {
    sy_bench_kind kind;
    uint32_t n_threads, n_tokens, depth, n_sequences;
    uint32_t n_samples;
    double tokens_per_s[SY_BENCH_SAMPLES_MAX]; /* over all sequences together */
    sy_bench_work work;                        /* of one sample */
    double read_gb_per_s;                      /* best fresh buffer beside the samples */
    sy_machine_peaks peaks;
    uint64_t *node_ns; /* per node, sum over the samples; NULL without --profile */
    uint32_t n_nodes;
} sy_bench_series;

/* Work of one sample of a series: of one node, or of all for SY_NO_VALUE. */
void sy_bench_count(const sy_graph *graph, uint32_t n_batch, const sy_bench_series *series,
                    uint32_t i_node, sy_bench_work *out_work);

/* Figures of a series. */
typedef struct sy_bench_summary {
    double best, median, least; /* tokens/s */
    double seconds;             /* of the best sample */
    double gb_per_s, gmac_per_s;
    double attainable;   /* tokens/s at the measured roofline */
    double share;        /* best / attainable */
    int is_memory_bound; /* which side of the roofline counts */
} sy_bench_summary;

void sy_bench_summarise(const sy_bench_series *series, sy_bench_summary *out_summary);

/* "decode 128 at 2048 x 4" */
void sy_bench_name(const sy_bench_series *series, char *out_text, size_t n_bytes);

typedef struct sy_bench_flags {
    const char *prefill_text, *decode_text, *depth_text, *batch_text, *threads_text;
    sy_bench_numbers prefill, decode, depth, batch, threads;
    uint32_t n_repeats;
    int profile, progress;
} sy_bench_flags;

typedef struct sy_bench {
    sy_bench_flags flags;
    sy_cli_engine engine;
    sy_cli_shared shared;
    const char *model;
    int32_t *tokens; /* random, as many as the longest session */
    uint32_t n_tokens;
    uint32_t n_batch;      /* tokens of one prefill step */
    uint64_t buffer_bytes; /* for the bandwidth */
    sy_bench_series series[SY_BENCH_SERIES_MAX];
    uint32_t n_series;
} sy_bench;

/* Runs all series of one thread count over the open engine, round by round. Stops early when
 * sy_bench_stopped. */
sy_status sy_bench_run_series(sy_bench *bench, uint32_t i_first, sy_error *error);

/* Nonzero after Ctrl-C. */
int sy_bench_stopped(void);

/* Progress on stderr, where a person looks. */
void sy_bench_progress(const sy_bench *bench, const char *format, ...) SY_PRINTF(2, 3);

/* Tables on stdout. */
void sy_bench_print(const sy_bench *bench);
/* Per operator and per segment, while the engine is open. */
void sy_bench_print_profile(const sy_bench *bench, uint32_t i_first);

#endif
