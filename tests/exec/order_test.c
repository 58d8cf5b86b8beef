/* SPDX-License-Identifier: Apache-2.0 */
/* Segments of several delegates whose jobs run beside each other, over random graphs: whatever
 * ends first, the results are those of one delegate alone. */
#include "harness.h"
#include "switchyard/executor.h"
#include "switchyard/registry.h"

#include <stdbool.h>

#define N_NODES 40u
#define WIDTH 8u
#define ROWS_MAX 16u

typedef struct rig {
    sy_error error;
    sy_conf *conf;
    sy_runtime *runtime;
    sy_registry *registry;
    sy_graph *graph;
    uint32_t x, values[N_NODES + 1], outputs[N_NODES], n_outputs;
} rig;

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void open_rig(rig *r) {
    static char path[512];
    static const char text[] = "[delegate fake-npu]\nasync = 1\njitter_us = 300\n"
                               "[delegate fake-npu-host]\nasync = 1\njitter_us = 300\n";
    const char *build = getenv("SY_BUILD_DIR"), *plugins = path;
    snprintf(path, sizeof(path), "%s/fake-plugins", build != NULL ? build : "");
    if (build == NULL || access(path, R_OK) != 0) {
        SKIP("no fake plugins were built");
    }
    sy_conf_layer layer = {
        .level = SY_CONF_OEM, .path = "test", .text = text, .n_text_bytes = sizeof(text) - 1};
    sy_conf_options conf;
    sy_conf_options_default(&conf);
    conf.layers = &layer;
    conf.n_layers = 1;
    memset(r, 0, sizeof(*r));
    CHECK_OK_ERROR(sy_conf_create(&conf, &r->conf, &r->error), r->error);
    CHECK_OK_ERROR(sy_runtime_create(NULL, &r->runtime, &r->error), r->error);
    sy_registry_options search;
    sy_registry_options_default(&search);
    search.directories = &plugins;
    search.n_directories = 1;
    search.use_environment = 0;
    search.conf = r->conf;
    CHECK_OK_ERROR(sy_registry_open(r->runtime, &search, &r->registry, &r->error), r->error);
}

/* Sums of what was there before, and products with x; names tell where a node goes. */
static void random_graph(rig *r, uint32_t seed) {
    bool used[N_NODES + 1] = {false};
    sy_value_view x = {.name = "x", .kind = SY_VALUE_INPUT, .type = SY_TYPE_F32, .rank = 2};
    x.dims[0] = (sy_dimension){.symbol = SY_SYMBOL_TOKENS, .scale = 1};
    x.dims[1].bound = WIDTH;
    CHECK_OK_ERROR(sy_graph_create(NULL, "random", &r->graph, &r->error), r->error);
    CHECK_OK_ERROR(sy_graph_set_bound(r->graph, SY_SYMBOL_TOKENS, ROWS_MAX, &r->error), r->error);
    CHECK_OK_ERROR(sy_graph_add_value(r->graph, &x, &r->x, &r->error), r->error);
    r->values[0] = r->x;
    for (uint32_t i = 0; i < N_NODES; i++) {
        char name[16];
        bool sums = next_random(&seed) % 3 > 0;
        uint32_t first = i + 1 - (i + 1 < 6 ? i + 1 : 6); /* of the newest: lanes side by side */
        uint32_t a = first + next_random(&seed) % (i + 1 - first);
        uint32_t b = sums ? first + next_random(&seed) % (i + 1 - first) : 0;
        const uint32_t inputs[2] = {r->values[a], r->values[b]};
        snprintf(name, sizeof(name), "%c.%u", "abc"[next_random(&seed) % 3], i);
        const sy_node_view node = {.domain = "",
                                   .op = sums ? "Add" : "Mul",
                                   .version = 14,
                                   .n_inputs = 2,
                                   .n_outputs = 1,
                                   .inputs = inputs,
                                   .name = name};
        CHECK_OK_ERROR(sy_graph_add_node(r->graph, &node, &r->values[i + 1], &r->error), r->error);
        used[a] = used[b] = true;
    }
    r->n_outputs = 0;
    for (uint32_t i = 1; i <= N_NODES; i++) {
        if (!used[i]) {
            r->outputs[r->n_outputs++] = r->values[i];
            CHECK_OK_ERROR(sy_graph_mark_output(r->graph, r->values[i], &r->error), r->error);
        }
    }
}

/* Runs steps of different sizes; keeps all results, or compares with those kept. */
static void run(rig *r, const sy_plan_options *options, float *kept, bool compares,
                uint32_t *out_n_segments) {
    sy_plan *plan = NULL;
    sy_executor *executor = NULL;
    const sy_executor_options watched = {.struct_bytes = sizeof(watched),
                                         .watch = {.hang_floor_ms = 30000}};
    CHECK_OK_ERROR(sy_plan_create(r->runtime, r->graph, NULL, options, &plan, &r->error), r->error);
    CHECK_OK_ERROR(sy_executor_create(plan, &watched, &executor, &r->error), r->error);
    *out_n_segments = sy_plan_n_segments(plan, 0);
    for (uint32_t i_step = 0; i_step < 6; i_step++) {
        float rows[ROWS_MAX * WIDTH];
        uint32_t n_rows = 1 + (i_step * 7) % ROWS_MAX;
        for (uint32_t i = 0; i < n_rows * WIDTH; i++) {
            rows[i] = (float)(i % 13 + i_step) / 13.0f - 0.5f;
        }
        const sy_step_input input = {
            .i_value = r->x, .data = rows, .n_bytes = n_rows * WIDTH * sizeof(float)};
        const sy_step_sequence sequence = {.n_tokens = n_rows};
        const sy_step step = {.struct_bytes = sizeof(step),
                              .n_sequences = 1,
                              .n_inputs = 1,
                              .sequences = &sequence,
                              .inputs = &input};
        CHECK_OK_ERROR(sy_executor_step(executor, &step, &r->error), r->error);
        for (uint32_t k = 0; k < r->n_outputs; k++) {
            const void *result = NULL;
            uint64_t n_bytes = 0;
            CHECK_OK_ERROR(
                sy_executor_output(executor, r->outputs[k], &result, &n_bytes, &r->error),
                r->error);
            CHECK(n_bytes == n_rows * WIDTH * sizeof(float));
            if (!compares) {
                memcpy(kept, result, n_bytes);
            }
            CHECK_TEXT(memcmp(kept, result, n_bytes) == 0, "step %u, output %u", i_step, k);
            kept += ROWS_MAX * WIDTH;
        }
    }
    sy_executor_destroy(executor);
    sy_plan_destroy(plan);
}

static void results_do_not_depend_on_what_ends_first(void) {
    static const sy_policy_rule pins[] = {
        {SY_RULE_PIN, SY_RULE_NODE, "a.*", "fake-npu", {NULL, 0}},
        {SY_RULE_PIN, SY_RULE_NODE, "b.*", "fake-npu-host", {NULL, 0}},
        {SY_RULE_PIN, SY_RULE_NODE, "c.*", "reference", {NULL, 0}}};
    static const char *const without[] = {"npu"};
    static float kept[6 * N_NODES * ROWS_MAX * WIDTH];
    rig r;
    open_rig(&r);
    for (uint32_t seed = 1; seed <= 25; seed++) {
        uint32_t n_segments = 0;
        random_graph(&r, seed * 7919);
        const sy_plan_options alone = {
            .struct_bytes = sizeof(alone), .n_without = 1, .without = without};
        const sy_plan_options spread = {
            .struct_bytes = sizeof(spread), .n_rules = 3, .rules = pins, .no_alternatives = 1};
        run(&r, &alone, kept, false, &n_segments);
        CHECK(n_segments == 1);
        run(&r, &spread, kept, true, &n_segments);
        CHECK_TEXT(n_segments > 6, "%u segments", n_segments);
        sy_graph_destroy(r.graph);
    }
    CHECK(sy_registry_close(r.registry) == 0);
    sy_runtime_destroy(r.runtime);
    sy_conf_destroy(r.conf);
}

static const sy_test_case cases[] = {
    {"results_do_not_depend_on_what_ends_first", results_do_not_depend_on_what_ends_first},
};
SY_TEST_MAIN(cases)
