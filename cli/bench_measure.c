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
    sy_sampler *sampler;
    uint64_t *before_ns; /* node times before a sample */
} runner;

static uint32_t start_of(const sy_bench_series *series) {
    return series->kind == SY_BENCH_DECODE && series->depth == 0 ? START_TOKENS : series->depth;
}

static void count_step(const sy_graph *graph, const sy_bench_step *step, sy_bench_work *work) {
    uint32_t n = sy_graph_n_nodes(graph);
    for (uint32_t i = 0; i < n; i++) {
        sy_bench_count_node(graph, i, step, work);
    }
}

void sy_bench_count(const sy_graph *graph, uint32_t n_batch, const sy_bench_series *series,
                    uint32_t i_node, sy_bench_work *out_work) {
    uint32_t n_each = series->kind == SY_BENCH_PREFILL ? n_batch : 1, done = 0;
    *out_work = (sy_bench_work){0, 0, 0, 0};
    while (done < series->n_tokens) {
        uint32_t left = series->n_tokens - done, n = left < n_each ? left : n_each;
        sy_bench_step step = {n * series->n_sequences, series->n_sequences, series->n_sequences,
                              start_of(series) + done};
        if (i_node == SY_NO_VALUE) {
            count_step(graph, &step, out_work);
        } else {
            sy_bench_count_node(graph, i_node, &step, out_work);
        }
        done += n;
    }
}

static void *make(size_t n, size_t size) {
    const sy_allocator *heap = sy_allocator_heap();
    void *made = heap->reallocate(heap->self, NULL, 0, n * size, 64);
    if (made != NULL) {
        memset(made, 0, n * size);
    }
    return made;
}

static void drop(void *made, size_t n, size_t size) {
    const sy_allocator *heap = sy_allocator_heap();
    heap->reallocate(heap->self, made, made != NULL ? n * size : 0, 0, 64);
}

static sy_status open_sessions(runner *self, sy_error *error) {
    const sy_bench_series *series = self->series;
    uint32_t start = start_of(series);
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < series->n_sequences; i++) {
        status = sy_session_open(self->bench->engine.engine, start + series->n_tokens + 1,
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
    const sy_graph *graph = sy_plan_graph(sy_engine_plan(engine));
    sy_sampler_options options;
    sy_sampler_options_default(&options);
    sy_bench_count(graph, self->bench->n_batch, series, SY_NO_VALUE, &series->work);
    if (self->bench->flags.profile) {
        series->n_nodes = sy_graph_n_nodes(graph);
        series->node_ns = make(series->n_nodes, sizeof(uint64_t));
        self->before_ns = make(series->n_nodes, sizeof(uint64_t));
        if (series->node_ns == NULL || self->before_ns == NULL) {
            return sy_error_set(error, SY_RESOURCE_EXHAUSTED, "No memory for the profile.");
        }
    }
    sy_status status = sy_sampler_create(NULL, sy_engine_info(engine)->n_vocabulary, &options,
                                         &self->sampler, error);
    return status == SY_OK ? open_sessions(self, error) : status;
}

static void close_runner(runner *self) {
    for (uint32_t i = 0; i < self->series->n_sequences; i++) {
        sy_session_close(self->sessions[i]);
    }
    sy_sampler_destroy(self->sampler);
    drop(self->before_ns, self->series->n_nodes, sizeof(uint64_t));
}

/* Back to where samples begin, with the logits of the last token at hand. */
static sy_status rewind_sessions(runner *self, sy_error *error) {
    const float *logits = NULL;
    uint32_t start = start_of(self->series);
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < self->series->n_sequences; i++) {
        status = sy_session_rewind(self->sessions[i], start, error);
        if (status == SY_OK && start > 0) {
            status = sy_session_logits(self->sessions[i], &logits, error);
        }
    }
    return status;
}

static sy_status work(runner *self, sy_error *error) {
    const sy_bench_series *series = self->series;
    if (series->kind == SY_BENCH_PREFILL) {
        return sy_session_prefill(self->sessions[0], self->bench->tokens + series->depth,
                                  series->n_tokens, error);
    }
    sy_status status = SY_OK;
    for (uint32_t t = 0; status == SY_OK && t < series->n_tokens; t++) {
        int32_t token = 0;
        status = sy_session_decode(self->sessions[0], self->sampler, &token, error);
        if (sy_bench_stopped()) {
            return status == SY_OK ? SY_CANCELLED : status;
        }
    }
    return status;
}

static void note_nodes(runner *self, int is_after) {
    const sy_executor *executor = sy_engine_executor(self->bench->engine.engine);
    uint32_t phase = self->series->kind == SY_BENCH_PREFILL ? SY_ENGINE_PREFILL : SY_ENGINE_DECODE;
    for (uint32_t i = 0; i < self->series->n_nodes; i++) {
        uint64_t ns = sy_executor_node_ns(executor, phase, i);
        if (is_after) {
            self->series->node_ns[i] += ns - self->before_ns[i];
        } else {
            self->before_ns[i] = ns;
        }
    }
}

static sy_status take_sample(runner *self, sy_error *error) {
    sy_bench_series *series = self->series;
    sy_status status = rewind_sessions(self, error);
    if (status != SY_OK || series->n_samples >= SY_BENCH_SAMPLES_MAX) {
        return status;
    }
    note_nodes(self, 0);
    uint64_t start_ns = sy_machine_now_ns();
    status = work(self, error);
    uint64_t ns = sy_machine_now_ns() - start_ns;
    if (status == SY_OK) {
        note_nodes(self, 1);
        series->tokens_per_s[series->n_samples++] =
            (double)series->n_tokens * series->n_sequences * 1e9 / (double)(ns > 0 ? ns : 1);
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
            sy_bench_name(runners[i].series, name, sizeof(name));
            sy_bench_progress(bench, "threads %u, round %u of %u: %s", runners[i].series->n_threads,
                              round + 1, bench->flags.n_repeats, name);
            status = take_sample(&runners[i], error);
            if (status != SY_OK || sy_bench_stopped()) {
                return status == SY_CANCELLED ? SY_OK : status;
            }
        }
    }
    return status;
}

sy_status sy_bench_run_series(sy_bench *bench, uint32_t i_first, sy_error *error) {
    static runner runners[SY_BENCH_SERIES_MAX];
    uint32_t n = bench->n_series - i_first;
    sy_status status = SY_OK;
    memset(runners, 0, sizeof(runners));
    sy_machine_peaks peaks;
    sy_machine_measure_peaks(bench->series[i_first].n_threads, &peaks);
    for (uint32_t i = 0; i < n; i++) {
        runners[i].bench = bench;
        runners[i].series = &bench->series[i_first + i];
        runners[i].series->peaks = peaks;
    }
    for (uint32_t i = 0; status == SY_OK && i < n && !sy_bench_stopped(); i++) {
        char name[64];
        sy_bench_name(runners[i].series, name, sizeof(name));
        sy_bench_progress(bench, "threads %u: preparing %s", runners[i].series->n_threads, name);
        status = open_runner(&runners[i], error);
    }
    if (status == SY_OK && !sy_bench_stopped()) {
        status = run_rounds(bench, runners, n, error);
    }
    for (uint32_t i = 0; i < n; i++) {
        close_runner(&runners[i]);
    }
    return status;
}
