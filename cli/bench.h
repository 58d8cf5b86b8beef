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
#define SY_BENCH_GROUPS_MAX 96u
#define SY_BENCH_SEGMENTS_MAX 64u
#define SY_BENCH_DEVICES_MAX 8u
#define SY_BENCH_PROMPT_TOKENS 16u /* of a start */

/* Numbers of a flag like --threads 1,2. */
typedef struct sy_bench_numbers {
    uint32_t items[SY_BENCH_ITEMS_MAX];
    uint32_t n;
} sy_bench_numbers;

/* Values that were measured again and again. */
typedef struct sy_bench_samples {
    double items[SY_BENCH_SAMPLES_MAX];
    uint32_t n;
} sy_bench_samples;

/* Zeroes without samples. */
typedef struct sy_bench_spread {
    double least, median, most;
} sy_bench_spread;

void sy_bench_add_sample(sy_bench_samples *samples, double value);
sy_bench_spread sy_bench_spread_of(const sy_bench_samples *samples);

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

/* Nodes that do the same on weights of the same shape and type, with the time of one sample. */
typedef struct sy_bench_group {
    char name[96];
    uint32_t n_nodes;
    double ns;
    sy_bench_work work;
} sy_bench_group;

/* A segment during one sample. */
typedef struct sy_bench_segment {
    char delegate[64];
    uint32_t n_nodes;
    double predicted_us; /* of one run */
    double n_runs, ns, transfer_ns;
} sy_bench_segment;

/* Where the time of a series went: means over its samples. */
typedef struct sy_bench_profile {
    sy_bench_group groups[SY_BENCH_GROUPS_MAX]; /* longest first */
    uint32_t n_groups;
    sy_bench_segment segments[SY_BENCH_SEGMENTS_MAX];
    uint32_t n_segments;
    double sample_ns; /* mean of the whole sample */
} sy_bench_profile;

/* One measured cell: a kind of work at one thread count. */
typedef struct sy_bench_series {
    sy_bench_kind kind;
    uint32_t n_threads, n_tokens, depth, n_sequences;
    sy_bench_samples tokens_per_s; /* over all sequences together */
    sy_bench_samples peer;         /* of --compare */
    /* Of one token: processor time of the process; of the thread that submits and of those that
     * delegates have for it; bytes to and from devices. */
    sy_bench_samples process_us, host_us, written_bytes, read_bytes;
    sy_bench_work work;   /* of one sample */
    double read_gb_per_s; /* best fresh buffer beside the samples */
    sy_machine_peaks peaks;
    double energy_uj, n_energy_tokens; /* sums; 0 where the machine does not tell */
    sy_bench_profile *profile;         /* NULL without --profile */
} sy_bench_series;

/* Work of one sample of a series: of one node, or of all for SY_NO_VALUE. */
void sy_bench_count(const sy_graph *graph, uint32_t n_batch, const sy_bench_series *series,
                    uint32_t i_node, sy_bench_work *out_work);
/* Tokens that are there before a sample. */
uint32_t sy_bench_start_tokens(const sy_bench_series *series);

/* Figures of a series. */
typedef struct sy_bench_summary {
    sy_bench_spread spread; /* tokens/s */
    double seconds;         /* of the best sample */
    double gb_per_s, gmac_per_s;
    double attainable;   /* tokens/s at the measured roofline */
    double share;        /* best / attainable */
    int is_memory_bound; /* which side of the roofline counts */
    double peer_ratio;   /* best / the peer's best; 0 without one */
} sy_bench_summary;

void sy_bench_summarise(const sy_bench_series *series, sy_bench_summary *out_summary);
/* Seconds that the machine needs at least for some work, by the series' limits. */
double sy_bench_least_seconds(const sy_bench_series *series, const sy_bench_work *work,
                              int *out_is_memory);
/* "decode 128 at 2048, 4 together" */
void sy_bench_name(const sy_bench_series *series, char *out_text, size_t n_bytes);

/* Starts of the program at one thread count: bench_start.c. */
typedef struct sy_bench_start {
    uint32_t n_threads; /* 0: as configured */
    sy_bench_samples first_ms;
    uint64_t peak_kib, anon_kib, file_kib; /* VmHWM; RssAnon and RssFile when the run was over */
    uint64_t n_compiled, n_loaded;         /* segments of the newest start, from blobs the latter */
} sy_bench_start;

typedef struct sy_bench_flags {
    const char *prefill_text, *decode_text, *depth_text, *batch_text, *threads_text;
    const char *json_path, *plot_path, *compare;
    sy_bench_numbers prefill, decode, depth, batch, threads;
    uint32_t n_repeats, buffer_mib;
    int start, once, profile, progress;
} sy_bench_flags;

/* A device that takes part. Its memory is told when all sessions are open; 0: not known. */
typedef struct sy_bench_device {
    char delegate[64], id[64], driver[64];
    int is_cpu;
    uint64_t memory_total_bytes, memory_free_bytes;
} sy_bench_device;

/* What is told about the model, kept after the engine is closed. */
typedef struct sy_bench_model {
    char name[128], architecture[64], key_type[16], value_type[16];
    char placement[2][256]; /* delegates of prefill and decode */
    uint64_t n_parameters, weight_bytes;
    sy_bench_device devices[SY_BENCH_DEVICES_MAX];
    uint32_t n_devices;
} sy_bench_model;

typedef struct sy_bench {
    sy_bench_flags flags;
    sy_cli_engine engine;
    sy_cli_shared shared;
    int argc; /* as given, for children */
    char **argv;
    char peer_program[4096]; /* llama-bench, "" none */
    sy_bench_model about;
    int32_t *tokens; /* random, as many as the longest session */
    uint32_t n_tokens;
    uint32_t n_context;    /* of --ctx-size */
    uint32_t n_batch;      /* tokens of one prefill step */
    uint64_t buffer_bytes; /* for the bandwidth */
    sy_bench_series series[SY_BENCH_SERIES_MAX];
    uint32_t n_series;
    sy_bench_start starts[SY_BENCH_ITEMS_MAX];
    uint32_t n_starts;
} sy_bench;

/* Nonzero after Ctrl-C. */
int sy_bench_stopped(void);
/* Progress on stderr, where a person looks. */
void sy_bench_progress(const sy_bench *bench, const char *format, ...) SY_PRINTF(2, 3);

/* bench_measure.c: all series of one thread count over the open engine, round by round. Ends early
 * and well when sy_bench_stopped. */
sy_status sy_bench_run_series(sy_bench *bench, uint32_t i_first, sy_error *error);

/* bench_cost.c: sums up to now; the difference of two is a sample of a series. */
typedef struct sy_bench_cost {
    uint64_t process_ns, host_ns, written_bytes, read_bytes;
} sy_bench_cost;
void sy_bench_cost_now(const sy_engine *engine, uint32_t i_phase, sy_bench_cost *out_cost);
void sy_bench_add_cost(sy_bench_series *series, const sy_bench_cost *before,
                       const sy_bench_cost *after);
/* Which devices take part, and their memory now. */
void sy_bench_find_devices(sy_bench *bench);

/* bench_profile.c: what the executor counted up to now, per node and per segment. */
typedef struct sy_bench_tally {
    uint64_t *node_ns;
    uint32_t n_nodes;
    sy_segment_stats segments[SY_BENCH_SEGMENTS_MAX];
} sy_bench_tally;
sy_status sy_bench_tally_open(const sy_engine *engine, sy_bench_tally *out_tally, sy_error *error);
void sy_bench_tally_close(sy_bench_tally *tally);
/* Adds the counts of a phase with a sign: -1 before a sample, 1 after it. */
void sy_bench_tally_add(const sy_engine *engine, uint32_t i_phase, int sign, sy_bench_tally *tally);
/* Means over the samples, for tables. */
sy_status sy_bench_make_profile(const sy_bench *bench, const sy_bench_tally *tally,
                                sy_bench_series *series, sy_error *error);
void sy_bench_free_profile(sy_bench_series *series);

/* bench_start.c: n starts at one thread count, and what --once does in the child. */
int sy_bench_run_start(sy_bench *bench, uint32_t n_threads);
int sy_bench_once(sy_bench *bench);

/* bench_compare.c: finds the peer (SY_CLI_GO_ON or an exit status), takes one sample from it. */
int sy_bench_find_peer(sy_bench *bench);
void sy_bench_sample_peer(sy_bench *bench, sy_bench_series *series);

/* bench_energy.c: microjoules that the machine has used, 0 where it does not tell. */
uint64_t sy_bench_energy_uj(void);
/* What was used between two readings, wrapped counters taken into account. */
double sy_bench_energy_between(uint64_t before_uj, uint64_t after_uj);

/* bench_print.c: tables on stdout. */
void sy_bench_print(const sy_bench *bench);
void sy_bench_print_profile(const sy_bench *bench, const sy_bench_series *series);

/* bench_json.c, bench_svg.c: "-" is stdout. A path that ends in .png needs rsvg-convert;
 * sy_bench_check_plot says so before anything is measured. */
sy_status sy_bench_write_json(const sy_bench *bench, const char *path, sy_error *error);
int sy_bench_check_plot(const sy_bench *bench);
sy_status sy_bench_write_plot(const sy_bench *bench, const char *path, sy_error *error);

#endif
