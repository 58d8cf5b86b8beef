/* SPDX-License-Identifier: Apache-2.0 */
/* The model of states (tools/state_model.h) on the CPU delegate and on the reference. A step is an
 * attention: its results are equal bit for bit to those over states of their own. */
#include "op_compare.h"
#include "switchyard/types.h"
#include "tools/state_model.h"

enum { HEAD = 32, N_HEADS = 2, WINDOW = 70 };

typedef struct world {
    sy_test_host host;
    sy_op_runner runner;
    sy_test_graph graph;
    sy_op_unit unit;
    state_model model;
} world;

static void graph_make(world *w) {
    sy_error error = {0};
    sy_dimension t = sy_test_symbol(SY_SYMBOL_TOKENS, MODEL_STEP);
    sy_dimension wide[2] = {t, sy_test_fixed(HEAD * N_HEADS)}, narrow[2] = {t, sy_test_fixed(HEAD)};
    sy_dimension rows[2] = {sy_test_fixed(MODEL_ROWS), narrow[1]};
    sy_test_graph *g = &w->graph;
    sy_test_graph_init(g);
    uint32_t in[5] = {
        sy_test_graph_value(g, "q", SY_VALUE_INPUT, SY_TYPE_F32, 2, wide),
        sy_test_graph_value(g, "k", SY_VALUE_INPUT, SY_TYPE_F32, 2, narrow),
        sy_test_graph_value(g, "v", SY_VALUE_INPUT, SY_TYPE_F32, 2, narrow),
        sy_test_graph_value(g, "keys", SY_VALUE_STATE, w->model.descriptions[0].type, 2, rows),
        sy_test_graph_value(g, "values", SY_VALUE_STATE, w->model.descriptions[1].type, 2, rows),
    };
    uint32_t y = sy_test_graph_value(g, "y", SY_VALUE_OUTPUT, SY_TYPE_F32, 2, wide);
    uint32_t node = sy_test_graph_node(g, "switchyard", "Attention", 1, 5, in, 1, &y);
    sy_test_graph_int(g, node, "num_heads", N_HEADS);
    sy_test_graph_int(g, node, "num_kv_heads", 1);
    sy_test_graph_int(g, node, "window", w->model.window);
    CHECK_OK_ERROR(sy_test_graph_finish(g, &error), error);
    CHECK_OK_ERROR(sy_op_load(&w->runner, g, &w->unit, &error), error);
}

static void submit(world *w, sy_state *const *pair, uint64_t n_past, uint32_t n, float *const *qkv,
                   float *y) {
    sy_error error = {0};
    const int64_t symbols[4] = {0, n, n, 1};
    sy_sequence sequence = {0, n, (uint32_t)n_past, 0};
    sy_op_step step = {.inputs = (const void *[]){qkv[0], qkv[1], qkv[2]},
                       .outputs = (void *[]){y},
                       .symbols = symbols,
                       .n_symbols = 4,
                       .n_sequences = 1,
                       .sequences = &sequence,
                       .states = pair};
    CHECK_OK_ERROR(sy_op_submit(&w->unit, &step, &error), error);
}

/* The same step over new states with the same rows, all of them kept. */
static void naive_step(world *w, model_pair *t, uint32_t n, float *const *qkv, float *y) {
    sy_state *pair[2] = {NULL, NULL};
    const sy_plugin *plugin = w->runner.plugin;
    state_model_open_memory(&w->model, true);
    for (int i = 0; i < 2; i++) {
        sy_state_description d = w->model.descriptions[i];
        d.step_tokens = 0;
        d.max_tokens = MODEL_ROWS + MODEL_STEP;
        uint64_t bytes = w->model.row_bytes[i];
        CHECK_OK(plugin->state_create(w->runner.device, &d, &pair[i]));
        CHECK_OK(plugin->state_load(pair[i], 0, t->n_rows, t->rows[i], t->n_rows * bytes));
    }
    submit(w, pair, t->n_rows, n, qkv, y);
    for (int i = 0; i < 2; i++) {
        uint64_t bytes = w->model.row_bytes[i];
        CHECK_OK(
            plugin->state_save(pair[i], t->n_rows, n, t->rows[i] + t->n_rows * bytes, n * bytes));
        CHECK_OK(plugin->state_destroy(pair[i]));
    }
    state_model_open_memory(&w->model, false);
}

static void attention_step(state_model *m, model_pair *t, uint32_t n) {
    static float q[MODEL_STEP * HEAD * N_HEADS], k[MODEL_STEP * HEAD], v[MODEL_STEP * HEAD];
    static float y[2][MODEL_STEP * HEAD * N_HEADS];
    float *qkv[3] = {q, k, v};
    world *w = m->self;
    for (size_t i = 0; i < sizeof(q) / sizeof(q[0]); i++) {
        q[i] = (float)(random_u32() >> 8) * 0x1p-23f - 1.0f;
    }
    for (size_t i = 0; i < sizeof(k) / sizeof(k[0]); i++) {
        k[i] = (float)(random_u32() >> 8) * 0x1p-23f - 1.0f;
        v[i] = (float)(random_u32() >> 8) * 0x1p-23f - 1.0f;
    }
    memset(y, 0, sizeof(y));
    naive_step(w, t, n, qkv, y[0]);
    uint64_t n_allocs = w->host.n_allocs;
    submit(w, t->states, t->n_rows, n, qkv, y[1]);
    if (state_model_below(8) == 0) { /* it failed elsewhere and is repeated */
        submit(w, t->states, t->n_rows, n, qkv, y[1]);
    }
    CHECK_TEXT(w->host.n_allocs == n_allocs, "a step takes memory");
    CHECK_TEXT(memcmp(y[0], y[1], sizeof(y[0])) == 0, "other bits at row %llu",
               (unsigned long long)t->n_rows);
}

static void world_open(world *w, bool is_reference, sy_element_type keys, sy_element_type values,
                       uint32_t window) {
    sy_error error = {0};
    const sy_element_type types[2] = {keys, values};
    memset(w, 0, sizeof(*w));
    w->model.window = window;
    for (int i = 0; i < 2; i++) {
        w->model.descriptions[i] =
            (sy_state_description){.header = SY_HEADER_INIT(sy_state_description),
                                   .type = types[i],
                                   .role = i == 0 ? SY_STATE_KEY : SY_STATE_VALUE,
                                   .width = HEAD,
                                   .window = window,
                                   .step_tokens = MODEL_STEP};
        CHECK_OK(sy_type_row_bytes(types[i], HEAD, &w->model.row_bytes[i]));
    }
    CHECK_OK_ERROR(sy_test_host_init(&w->host, 1, &error), error);
    const sy_plugin *plugin =
        is_reference ? compare_reference_entry(&w->host) : compare_delegate_entry(&w->host);
    CHECK_OK_ERROR(sy_op_runner_open(&w->runner, plugin, &w->host, 0, NULL, &error), error);
    graph_make(w);
    w->model.host = &w->host;
    w->model.plugin = plugin;
    w->model.device = w->runner.device;
    w->model.self = w;
    w->model.step = attention_step;
}

static void world_close(world *w) {
    sy_op_unload(&w->unit);
    sy_test_graph_deinit(&w->graph);
    CHECK_OK(sy_op_runner_close(&w->runner));
    CHECK_TEXT(w->host.n_live == 0 && w->host.n_misuses == 0, "%s", w->host.misuse);
    sy_test_host_deinit(&w->host);
}

static void run_model(bool is_reference, sy_element_type keys, sy_element_type values,
                      uint32_t window, uint32_t n_calls) {
    static world w;
    world_open(&w, is_reference, keys, values, window);
    state_model_run(&w.model, n_calls);
    CHECK(window == 0 || is_reference || w.model.n_forgotten > 0);
    world_close(&w);
}

static void cpu_states(void) {
    run_model(false, SY_TYPE_F16, SY_TYPE_F16, 0, 4000);
    run_model(false, SY_TYPE_Q8_0, SY_TYPE_Q4_0, 0, 2500);
    run_model(false, SY_TYPE_F32, SY_TYPE_BF16, 0, 1500);
}

static void cpu_states_with_windows(void) {
    run_model(false, SY_TYPE_F16, SY_TYPE_F16, WINDOW, 4000);
    run_model(false, SY_TYPE_Q4_0, SY_TYPE_Q8_0, WINDOW, 2500);
}

static void reference_states(void) {
    run_model(true, SY_TYPE_F16, SY_TYPE_F16, 0, 1500);
    run_model(true, SY_TYPE_Q8_0, SY_TYPE_F32, 0, 1500);
    run_model(true, SY_TYPE_F16, SY_TYPE_F16, WINDOW, 1000); /* it keeps all rows */
}

static const sy_test_case cases[] = {
    {"reference_states", reference_states},
    {"cpu_states", cpu_states},
    {"cpu_states_with_windows", cpu_states_with_windows},
};
SY_TEST_MAIN(cases)
