/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the series of one thread count. Samples are taken in rounds, so that a disturbance falls on
 * all series alike and the best of each is comparable. */
#include "bench.h"

#include <string.h>

#define START_TOKENS 1u /* decode at depth 0 begins after one token */

/* What a sample needs: the sessions of a series, which stand where samples begin. */
typedef struct runner {
    sy_bench *bench;
    sy_bench_series *series;
    sy_session *sessions[SY_BENCH_SESSIONS_MAX];
    sy_sampler *samplers[SY_BENCH_SESSIONS_MAX]; /* one and the same: greedy keeps nothing */
    sy_bench_tally tally;                        /* with --profile */
} runner;

uint32_t sy_bench_start_tokens(const sy_bench_series *series) {
    return series->kind == SY_BENCH_DECODE && series->depth == 0 ? START_TOKENS : series->depth;
}

void sy_bench_count(const sy_graph *graph, uint32_t n_batch, const sy_bench_series *series,
                    uint32_t i_node, sy_bench_work *out_work) {
    uint32_t n_each = series->kind == SY_BENCH_PREFILL ? n_batch : 1, done = 0;
    uint32_t first = i_node == SY_NO_VALUE ? 0 : i_node;
    uint32_t end = i_node == SY_NO_VALUE ? sy_graph_n_nodes(graph) : i_node + 1;
    *out_work = (sy_bench_work){0, 0, 0, 0};
    while (done < series->n_tokens) {
        uint32_t left = series->n_tokens - done, n = left < n_each ? left : n_each;
        sy_bench_step step = {n * series->n_sequences, series->n_sequences, series->n_sequences,
                              sy_bench_start_tokens(series) + done};
        for (uint32_t i = first; i < end; i++) {
            sy_bench_count_node(graph, i, &step, out_work);
        }
        done += n;
    }
}

static sy_status open_sessions(runner *self, sy_error *error) {
    const sy_bench_series *series = self->series;
    uint32_t start = sy_bench_start_tokens(series);
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < series->n_sequences; i++) {
        status = sy_session_open(self->bench->engine.engine, start + series->n_tokens + 2,
                                 &self->sessions[i], error);
        if (status == SY_OK && start > 0) {
            status = sy_session_prefill(self->sessions[i], self->bench->tokens, start, error);
        }
    }
    return status;
}

static sy_status open_runner(runner *self, sy_error *error) {
    sy_bench_series *series = self->series;
    const sy_engine *engine = self->bench->engine.engine;
    sy_sampler_options options;
    sy_sampler_options_default(&options);
    sy_bench_count(sy_plan_graph(sy_engine_plan(engine)), self->bench->n_batch, series, SY_NO_VALUE,
                   &series->work);
    sy_status status = SY_OK;
    if (self->bench->flags.profile) {
        status = sy_bench_tally_open(engine, &self->tally, error);
    }
    if (status == SY_OK) {
        status = sy_sampler_create(NULL, sy_engine_info(engine)->n_vocabulary, &options,
                                   &self->samplers[0], error);
    }
    for (uint32_t i = 1; i < series->n_sequences; i++) {
        self->samplers[i] = self->samplers[0];
    }
    return status == SY_OK ? open_sessions(self, error) : status;
}

static void close_runner(runner *self) {
    for (uint32_t i = 0; i < self->series->n_sequences; i++) {
        sy_session_close(self->sessions[i]);
    }
    sy_sampler_destroy(self->samplers[0]);
    sy_bench_tally_close(&self->tally);
}

static sy_status next_token(runner *self, sy_error *error) {
    /* As users get it: a token that a device can choose is chosen there. */
    const sy_generate_options options = {
        .struct_bytes = sizeof(options), .n_tokens_max = 1, .ignore_end = 1};
    sy_generate_result result;
    return sy_session_generate(self->sessions[0], self->samplers[0], &options, &result, error);
}

/* Back to where samples begin: with the logits of the last token at hand, or, where one session
 * generates, with a token that has had no step. So every token of a sample takes one. */
static sy_status rewind_sessions(runner *self, sy_error *error) {
    const float *logits = NULL;
    uint32_t start = sy_bench_start_tokens(self->series);
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < self->series->n_sequences; i++) {
        status = sy_session_rewind(self->sessions[i], start, error);
        if (status == SY_OK && start > 0) {
            status = sy_session_logits(self->sessions[i], &logits, error);
        }
    }
    int generates = self->series->kind == SY_BENCH_DECODE && self->series->n_sequences == 1;
    return status == SY_OK && generates ? next_token(self, error) : status;
}

static sy_status work(runner *self, sy_error *error) {
    const sy_bench_series *series = self->series;
    if (series->kind == SY_BENCH_PREFILL) {
        return sy_session_prefill(self->sessions[0], self->bench->tokens + series->depth,
                                  series->n_tokens, error);
    }
    sy_status status = SY_OK;
    int32_t tokens[SY_BENCH_SESSIONS_MAX];
    for (uint32_t t = 0; status == SY_OK && t < series->n_tokens; t++) {
        status = series->n_sequences == 1
                     ? next_token(self, error)
                     : sy_session_decode_together(self->sessions, series->n_sequences,
                                                  self->samplers, tokens, error);
        if (sy_bench_stopped()) {
            return status == SY_OK ? SY_CANCELLED : status;
        }
    }
    return status;
}

static sy_status take_sample(runner *self, sy_error *error) {
    sy_bench_series *series = self->series;
    const sy_engine *engine = self->bench->engine.engine;
    uint32_t phase = series->kind == SY_BENCH_PREFILL ? SY_ENGINE_PREFILL : SY_ENGINE_DECODE;
    sy_status status = rewind_sessions(self, error);
    if (status != SY_OK) {
        return status;
    }
    sy_bench_cost before, after;
    sy_bench_tally_add(engine, phase, -1, &self->tally);
    sy_bench_cost_now(engine, phase, &before);
    uint64_t energy_uj = sy_bench_energy_uj(), start_ns = sy_machine_now_ns();
    status = work(self, error);
    uint64_t ns = sy_machine_now_ns() - start_ns;
    sy_bench_cost_now(engine, phase, &after);
    if (status == SY_OK) {
        double n_tokens = (double)series->n_tokens * series->n_sequences;
        if (energy_uj > 0) {
            series->energy_uj += sy_bench_energy_between(energy_uj, sy_bench_energy_uj());
            series->n_energy_tokens += n_tokens;
        }
        sy_bench_tally_add(engine, phase, 1, &self->tally);
        sy_bench_add_cost(series, &before, &after);
        sy_bench_add_sample(&series->tokens_per_s, n_tokens * 1e9 / (double)(ns > 0 ? ns : 1));
    }
    return status;
}

/* The bandwidth beside the samples: a fresh buffer each time, the best counts. */
static void measure_read(const sy_bench *bench, sy_bench_series *series, uint32_t n) {
    double best = sy_machine_measure_read(series->n_threads, bench->buffer_bytes);
    for (uint32_t i = 0; i < n; i++) {
        series[i].read_gb_per_s = best > series[i].read_gb_per_s ? best : series[i].read_gb_per_s;
    }
}

static sy_status run_rounds(sy_bench *bench, runner *runners, uint32_t n, sy_error *error) {
    sy_status status = SY_OK;
    for (uint32_t round = 0; round < bench->flags.n_repeats; round++) {
        measure_read(bench, runners[0].series, n);
        for (uint32_t i = 0; i < n; i++) {
            char name[64];
            sy_bench_series *series = runners[i].series;
            sy_bench_name(series, name, sizeof(name));
            sy_bench_progress(bench, "threads %u, round %u of %u: %s", series->n_threads, round + 1,
                              bench->flags.n_repeats, name);
            status = take_sample(&runners[i], error);
            if (status == SY_OK && !sy_bench_stopped()) {
                sy_bench_sample_peer(bench, series);
            }
            if (status != SY_OK || sy_bench_stopped()) {
                return status == SY_CANCELLED ? SY_OK : status;
            }
        }
    }
    return status;
}

static sy_status open_runners(sy_bench *bench, runner *runners, uint32_t n, sy_error *error) {
    sy_machine_peaks peaks;
    sy_status status = SY_OK;
    sy_machine_measure_peaks(runners[0].series->n_threads, &peaks);
    for (uint32_t i = 0; status == SY_OK && i < n && !sy_bench_stopped(); i++) {
        char name[64];
        runners[i].series->peaks = peaks;
        sy_bench_name(runners[i].series, name, sizeof(name));
        sy_bench_progress(bench, "threads %u: preparing %s", runners[i].series->n_threads, name);
        status = open_runner(&runners[i], error);
    }
    return status;
}

sy_status sy_bench_run_series(sy_bench *bench, uint32_t i_first, sy_error *error) {
    static runner runners[SY_BENCH_SERIES_MAX];
    uint32_t n = bench->n_series - i_first;
    memset(runners, 0, sizeof(runners));
    for (uint32_t i = 0; i < n; i++) {
        runners[i].bench = bench;
        runners[i].series = &bench->series[i_first + i];
    }
    sy_status status = open_runners(bench, runners, n, error);
    if (status == SY_OK && !sy_bench_stopped()) {
        status = run_rounds(bench, runners, n, error);
        sy_bench_find_devices(bench);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (status == SY_OK && bench->flags.profile) {
            status = sy_bench_make_profile(bench, &runners[i].tally, runners[i].series, error);
        }
        close_runner(&runners[i]);
    }
    return status;
}
