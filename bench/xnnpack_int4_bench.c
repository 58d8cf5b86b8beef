/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XNNPACK's products of dynamically quantised rows with 4-bit weights (a current version) against
 * Linear of the CPU delegate on Q4_0: rows in f32 in, f32 out, rounding of the rows counted.
 *
 *   sy_xnnpack_int4_bench PLUGIN.so [threads]
 *
 * qc4w has a scale for each column, qb4w for each 32 weights, as Q4_0. One row runs over as many
 * matrices as make 96 MiB, so that weights come from memory; engines take turns.
 */
#include "bench_machine.h"
#include "conform/op_runner.h"

#include <math.h>
#include <pthreadpool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xnnpack.h>

#define MANY_BYTES ((uint64_t)96 << 20)
#define COPIES_MOST 64u
#define BLOCK 32u
#define Q4_0_BYTES 18u
#define ROUNDS 5
#define ROUND_NS 60000000u

typedef struct engine {
    const char *name;
    void (*run)(struct engine *e, uint32_t i_copy);
    struct bench *bench;
    xnn_runtime_t runtimes[COPIES_MOST];
    sy_op_unit units[COPIES_MOST];
    double best_ns;
} engine;

typedef struct bench {
    uint32_t n, k, n_rows, n_copies;
    float *x, *y;
    uint16_t *halves; /* scales in bf16 for each block, in f32 for each column */
    float *scales;
    uint8_t *weights;
    sy_test_host host;
    sy_op_runner runner;
    sy_op_step step;
    const void *given[1];
    pthreadpool_t pool;
} bench;

static void must(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "%s failed\n", what);
        exit(1);
    }
}

static void xnn(enum xnn_status status, const char *what) {
    must(status == xnn_status_success, what);
}

static uint32_t random_u32(void) {
    static uint32_t state = 7;
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

/* ---- the delegate ---- */
static void delegate_run(engine *e, uint32_t i_copy) {
    bench *b = e->bench;
    sy_error error;
    sy_op_flight flight = {.n_signals = 1};
    flight.signals[0] = sy_test_host_next_point(&b->host, 0);
    must(sy_op_start(&e->units[i_copy], &b->step, &flight, &error) == SY_OK, "submit");
}

static void delegate_make(bench *b, engine *e) {
    sy_error error = {0};
    sy_dimension x[2] = {sy_test_fixed(b->n_rows), sy_test_fixed(b->k)};
    sy_dimension y[2] = {x[0], sy_test_fixed(b->n)};
    uint64_t n_bytes = (uint64_t)b->n * b->k / BLOCK * Q4_0_BYTES;
    b->given[0] = b->x;
    b->step = (sy_op_step){.inputs = b->given};
    for (uint32_t i = 0; i < b->n_copies; i++) {
        uint8_t *bytes = b->weights + i * n_bytes;
        sy_test_graph *graph = calloc(1, sizeof(*graph));
        must(graph != NULL, "memory");
        sy_test_graph_init(graph);
        uint32_t in[2] = {sy_test_graph_value(graph, "x", SY_VALUE_INPUT, SY_TYPE_F32, 2, x),
                          sy_test_graph_weight(graph, "w", SY_TYPE_Q4_0, 2, (int64_t[]){b->n, b->k},
                                               bytes, n_bytes)};
        uint32_t out = sy_test_graph_value(graph, "y", SY_VALUE_OUTPUT, SY_TYPE_F32, 2, y);
        sy_test_graph_node(graph, "switchyard", "Linear", 1, 2, in, 1, &out);
        must(sy_test_graph_finish(graph, &error) == SY_OK, "graph");
        must(sy_op_load(&b->runner, graph, &e->units[i], &error) == SY_OK, "load");
        must(sy_op_prepare(&e->units[i], &b->step, &error) == SY_OK, "prepare");
    }
}

static void delegate_free(bench *b, engine *e) {
    for (uint32_t i = 0; i < b->n_copies; i++) {
        const sy_test_graph *held = e->units[i].graph;
        sy_test_graph *graph = NULL;
        memcpy(&graph, &held, sizeof(graph));
        sy_op_unload(&e->units[i]);
        sy_test_graph_deinit(graph);
        free(graph);
    }
}

/* ---- XNNPACK: graphs, which pick unsigned rows where these have the better kernels ---- */
static void xnnpack_run(engine *e, uint32_t i_copy) {
    xnn(xnn_invoke_runtime(e->runtimes[i_copy]), "run");
}

static uint32_t weights_define(const bench *b, xnn_subgraph_t graph, bool blocks) {
    const size_t dims[2] = {b->n, b->k};
    uint32_t id = XNN_INVALID_VALUE_ID;
    xnn(blocks
            ? xnn_define_blockwise_quantized_tensor_value(graph, xnn_datatype_qbint4, 8, b->halves,
                                                          2, 0, BLOCK, dims, b->weights, id, 0, &id)
            : xnn_define_channelwise_quantized_tensor_value_v2(
                  graph, xnn_datatype_qcint4, 8, b->scales, 2, 0, dims, b->weights, id, 0, &id),
        "define w");
    return id;
}

static xnn_runtime_t runtime_make(const bench *b, bool blocks) {
    const size_t x_dims[2] = {b->n_rows, b->k}, y_dims[2] = {b->n_rows, b->n};
    const struct xnn_external_value values[2] = {{0, b->x}, {1, b->y}};
    uint32_t none = XNN_INVALID_VALUE_ID, x = none, y = none, rounded = none;
    xnn_subgraph_t graph = NULL;
    xnn_runtime_t runtime = NULL;
    xnn(xnn_create_subgraph(2, 0, &graph), "create");
    xnn(xnn_define_tensor_value(graph, xnn_datatype_fp32, 2, x_dims, NULL, 0,
                                XNN_VALUE_FLAG_EXTERNAL_INPUT, &x),
        "define x");
    xnn(xnn_define_dynamically_quantized_tensor_value(graph, xnn_datatype_qdint8, 2, 1, x_dims,
                                                      none, 0, &rounded),
        "define rows");
    xnn(xnn_define_tensor_value(graph, xnn_datatype_fp32, 2, y_dims, NULL, 1,
                                XNN_VALUE_FLAG_EXTERNAL_OUTPUT, &y),
        "define y");
    uint32_t w = weights_define(b, graph, blocks);
    xnn(xnn_define_unary(graph, xnn_unary_convert, NULL, x, rounded, 0), "define convert");
    xnn(xnn_define_fully_connected(graph, -INFINITY, INFINITY, rounded, w, none, y, 0), "define");
    xnn(xnn_create_runtime_v2(graph, b->pool, 0, &runtime), "runtime");
    xnn(xnn_delete_subgraph(graph), "delete");
    xnn(xnn_reshape_runtime(runtime), "reshape");
    xnn(xnn_setup_runtime_v2(runtime, 2, values), "setup");
    return runtime;
}

static void xnnpack_make(bench *b, engine *e, bool blocks) {
    for (uint32_t i = 0; i < b->n_copies; i++) {
        e->runtimes[i] = runtime_make(b, blocks);
    }
}

static void xnnpack_free(bench *b, engine *e) {
    for (uint32_t i = 0; i < b->n_copies; i++) {
        xnn_delete_runtime(e->runtimes[i]);
    }
}

/* ---- measuring ---- */
static void round_run(engine *e) {
    uint64_t start = sy_machine_now_ns();
    do {
        uint64_t before = sy_machine_now_ns();
        for (uint32_t i = 0; i < e->bench->n_copies; i++) {
            e->run(e, i);
        }
        double each = (double)(sy_machine_now_ns() - before) / e->bench->n_copies;
        e->best_ns = each < e->best_ns ? each : e->best_ns;
    } while (sy_machine_now_ns() - start < ROUND_NS);
}

static void inputs_make(bench *b) {
    uint64_t n_bytes = (uint64_t)b->n * b->k / BLOCK * Q4_0_BYTES;
    size_t n_x = (size_t)b->n_rows * b->k;
    b->n_copies = b->n_rows == 1 ? (uint32_t)(MANY_BYTES / n_bytes) + 1 : 1;
    b->n_copies = b->n_copies < COPIES_MOST ? b->n_copies : COPIES_MOST;
    b->x = calloc(n_x + 64, sizeof(float));
    b->y = calloc((size_t)b->n_rows * b->n + 64, sizeof(float));
    b->halves = calloc((size_t)b->n * b->k / BLOCK, sizeof(*b->halves));
    b->scales = calloc(b->n, sizeof(*b->scales));
    b->weights = malloc(n_bytes * b->n_copies);
    must(b->x != NULL && b->y != NULL && b->halves != NULL && b->scales != NULL &&
             b->weights != NULL,
         "memory");
    for (size_t i = 0; i < n_x; i++) {
        b->x[i] = (float)random_u32() / 8388608.0f - 1.0f;
    }
    for (uint64_t i = 0; i < n_bytes * b->n_copies; i++) {
        b->weights[i] = i % Q4_0_BYTES == 0   ? 0
                        : i % Q4_0_BYTES == 1 ? 0x20 /* f16 0.0078 */
                                              : (uint8_t)random_u32();
    }
    for (size_t i = 0; i < (size_t)b->n * b->k / BLOCK; i++) {
        b->halves[i] = 0x3c00; /* bf16 0.0078 */
        b->scales[i % b->n] = 0.0078f;
    }
}

static void shape_run(bench *b, uint32_t k, uint32_t n, uint32_t n_rows) {
    engine engines[3] = {{"delegate", delegate_run, b, {0}, {{0}}, INFINITY},
                         {"qb4w", xnnpack_run, b, {0}, {{0}}, INFINITY},
                         {"qc4w", xnnpack_run, b, {0}, {{0}}, INFINITY}};
    b->k = k;
    b->n = n;
    b->n_rows = n_rows;
    inputs_make(b);
    delegate_make(b, &engines[0]);
    xnnpack_make(b, &engines[1], true);
    xnnpack_make(b, &engines[2], false);
    for (int i = 0; i < 3 * ROUNDS; i++) {
        round_run(&engines[i % 3]);
    }
    printf("%5u x %5u, %3u rows:", k, n, n_rows);
    for (int i = 0; i < 3; i++) {
        printf("  %s %9.1f us (%.2f)", engines[i].name, engines[i].best_ns / 1e3,
               engines[0].best_ns / engines[i].best_ns);
    }
    printf("\n");
    fflush(stdout);
    delegate_free(b, &engines[0]);
    xnnpack_free(b, &engines[1]);
    xnnpack_free(b, &engines[2]);
    free(b->x), free(b->y), free(b->halves), free(b->scales), free(b->weights);
}

int main(int argc, char **argv) {
    static const uint32_t shapes[][2] = {{2048, 2048}, {2048, 8192}, {896, 4864}};
    static const uint32_t rows[] = {1, 64, 512};
    sy_error error = {0};
    bench *b = calloc(1, sizeof(*b));
    uint32_t n_threads = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
    if (argc < 2 || n_threads == 0) {
        fprintf(stderr, "usage: sy_xnnpack_int4_bench PLUGIN.so [THREADS]\n");
        return 2;
    }
    void *library = NULL;
    sy_plugin_entry_function entry = NULL;
    must(b != NULL, "memory");
    must(sy_op_entry_load(argv[1], &library, &entry, &error) == SY_OK, error.message);
    must(sy_test_host_init(&b->host, n_threads, &error) == SY_OK, error.message);
    must(sy_op_runner_open(&b->runner, entry(SY_ABI_VERSION, &b->host.services), &b->host, 0, NULL,
                           &error) == SY_OK,
         error.message);
    xnn(xnn_initialize(NULL), "xnn_initialize");
    b->pool = n_threads > 1 ? pthreadpool_create(n_threads) : NULL;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
            shape_run(b, shapes[i][0], shapes[i][1], rows[k]);
        }
    }
    sy_op_runner_close(&b->runner);
    sy_test_host_deinit(&b->host);
    pthreadpool_destroy(b->pool);
    free(b);
    return 0;
}
