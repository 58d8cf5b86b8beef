/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph_sample.h"
#include "switchyard/executor.h"

static const float ones[64] = {1, 1, 1, 1, 1, 1, 1, 1};
static const float scalar[1] = {30};

static sy_attribute text_attribute(const char *name, const char *text) {
    sy_attribute attribute = {
        .name = name, .type = SY_ATTRIBUTE_STRING, .count = (uint32_t)strlen(text)};
    attribute.value.s = text;
    return attribute;
}

static void optimize(sample *s, uint32_t output) {
    CHECK_OK(sy_graph_mark_output(s->graph, output, &s->error));
    CHECK_OK_ERROR(sy_graph_optimize(s->graph, NULL, &s->error), s->error);
}

static void fuses_a_bias_into_linear(void) {
    sample s = sample_new(4);
    uint32_t x = sample_input(&s, "x", 8), w = sample_weight(&s, "w", ones, 4, 8), n = 0;
    uint32_t bias = sample_weight(&s, "b", ones, 4, 0);
    uint32_t y = sample_node(&s, "switchyard", "Linear", "y", SAMPLE_INPUTS(x, w), NULL);
    y = sample_node(&s, "", "Add", "z", SAMPLE_INPUTS(bias, y), NULL);
    optimize(&s, y);
    sy_node_view node;
    CHECK(sy_graph_n_nodes(s.graph) == 1);
    CHECK_OK(sy_graph_node(s.graph, sample_find(&s, "Linear", &n), &node));
    CHECK(n == 1 && node.n_inputs == 3);
    CHECK(sy_graph_find_value(s.graph, "z") == node.outputs[0]);
    sy_graph_destroy(s.graph);
}

static void keeps_a_linear_that_others_read(void) {
    sample s = sample_new(4);
    uint32_t x = sample_input(&s, "x", 4), w = sample_weight(&s, "w", ones, 4, 4), n = 0;
    uint32_t bias = sample_weight(&s, "b", ones, 4, 0);
    uint32_t y = sample_node(&s, "switchyard", "Linear", "y", SAMPLE_INPUTS(x, w), NULL);
    uint32_t z = sample_node(&s, "", "Add", "z", SAMPLE_INPUTS(y, bias), NULL);
    optimize(&s, sample_node(&s, "", "Mul", "m", SAMPLE_INPUTS(y, z), NULL));
    sample_find(&s, "Add", &n);
    CHECK(n == 1 && sy_graph_n_nodes(s.graph) == 3);
    sy_graph_destroy(s.graph);
}

static void fuses_gates_of_every_activation(void) {
    static const struct {
        const char *op, *approximate, *name;
    } table[] = {{"Swish", NULL, "silu"},
                 {"Gelu", "tanh", "gelu_tanh"},
                 {"Gelu", "none", "gelu"},
                 {"Relu", NULL, "relu"},
                 {"Sigmoid", NULL, "sigmoid"}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        sample s = sample_new(4);
        uint32_t gate = sample_input(&s, "gate", 8), up = sample_input(&s, "up", 8), n = 0;
        sy_attribute attribute = {0};
        if (table[i].approximate != NULL) {
            attribute = text_attribute("approximate", table[i].approximate);
        }
        uint32_t a = sample_node(&s, "", table[i].op, "a", SAMPLE_INPUTS(gate),
                                 table[i].approximate != NULL ? &attribute : NULL);
        optimize(&s, sample_node(&s, "", "Mul", "y", SAMPLE_INPUTS(up, a), NULL));
        sy_node_view node;
        CHECK_OK(sy_graph_node(s.graph, sample_find(&s, "GatedActivation", &n), &node));
        CHECK(n == 1 && sy_graph_n_nodes(s.graph) == 1);
        CHECK(strcmp(node.attributes[0].value.s, table[i].name) == 0);
        CHECK(node.inputs[0] == sy_graph_find_value(s.graph, "gate"));
        sy_graph_destroy(s.graph);
    }
}

static void fuses_residual_add_and_norm(void) {
    sample s = sample_new(4);
    uint32_t x = sample_input(&s, "x", 8), r = sample_input(&s, "r", 8), n = 0;
    uint32_t scale = sample_weight(&s, "scale", ones, 8, 0);
    uint32_t sum = sample_node(&s, "", "Add", "sum", SAMPLE_INPUTS(x, r), NULL);
    uint32_t y = sample_node(&s, "", "RMSNormalization", "y", SAMPLE_INPUTS(sum, scale), NULL);
    uint32_t z = sample_node(&s, "", "Relu", "z", SAMPLE_INPUTS(y), NULL);
    optimize(&s, sample_node(&s, "", "Add", "out", SAMPLE_INPUTS(sum, z), NULL));
    sy_node_view node;
    CHECK_OK(sy_graph_node(s.graph, sample_find(&s, "AddRMSNormalization", &n), &node));
    CHECK(n == 1 && node.n_outputs == 2 && sy_graph_n_nodes(s.graph) == 3);
    CHECK(node.outputs[0] == sy_graph_find_value(s.graph, "sum"));
    CHECK(node.outputs[1] == sy_graph_find_value(s.graph, "y"));
    sy_graph_destroy(s.graph);
}

static void fuses_soft_caps_of_one_constant_only(void) {
    static const float other[1] = {20};
    for (int same = 0; same < 2; same++) {
        sample s = sample_new(4);
        uint32_t x = sample_input(&s, "x", 8), n = 0;
        uint32_t cap = sample_weight(&s, "cap", scalar, 1, 0);
        uint32_t second = same ? cap : sample_weight(&s, "other", other, 1, 0);
        uint32_t y = sample_node(&s, "", "Div", "d", SAMPLE_INPUTS(x, cap), NULL);
        y = sample_node(&s, "", "Tanh", "t", SAMPLE_INPUTS(y), NULL);
        optimize(&s, sample_node(&s, "", "Mul", "y", SAMPLE_INPUTS(y, second), NULL));
        sample_find(&s, "Softcap", &n);
        CHECK(n == (same ? 1u : 0u) && sy_graph_n_nodes(s.graph) == (same ? 1u : 3u));
        sy_graph_destroy(s.graph);
    }
}

static void merges_equal_nodes(void) {
    sample s = sample_new(4);
    uint32_t x = sample_input(&s, "x", 8), n = 0;
    uint32_t a = sample_node(&s, "", "Tanh", "a", SAMPLE_INPUTS(x), NULL);
    uint32_t b = sample_node(&s, "", "Tanh", "b", SAMPLE_INPUTS(x), NULL);
    optimize(&s, sample_node(&s, "", "Add", "y", SAMPLE_INPUTS(a, b), NULL));
    sample_find(&s, "Tanh", &n);
    CHECK(n == 1 && sy_graph_n_nodes(s.graph) == 2);
    sy_graph_destroy(s.graph);
}

static void removes_what_no_output_needs(void) {
    sample s = sample_new(4);
    uint32_t x = sample_input(&s, "x", 8);
    sample_node(&s, "", "Exp", "unused", SAMPLE_INPUTS(x), NULL);
    optimize(&s, sample_node(&s, "", "Tanh", "y", SAMPLE_INPUTS(x), NULL));
    CHECK(sy_graph_n_nodes(s.graph) == 1 && sy_graph_n_values(s.graph) == 2);
    sy_graph_destroy(s.graph);
}

static int n_traced;

static void count_trace(void *user, sy_pass pass, int before, const sy_graph *graph) {
    (void)user;
    CHECK(strcmp(sy_pass_name(pass), "unknown") != 0 && (before == 0 || before == 1));
    CHECK(sy_graph_n_nodes(graph) > 0);
    n_traced++;
}

static void folds_constants_on_the_reference_delegate(void) {
    static const float data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    sy_runtime *runtime = NULL;
    sample s = sample_new(4);
    CHECK_OK_ERROR(sy_runtime_create(NULL, &runtime, &s.error), s.error);
    uint32_t x = sample_input(&s, "x", 8), w = sample_weight(&s, "w", data, 8, 0);
    uint32_t doubled = sample_node(&s, "", "Add", "doubled", SAMPLE_INPUTS(w, w), NULL);
    uint32_t y = sample_node(&s, "", "Mul", "y", SAMPLE_INPUTS(x, doubled), NULL);
    CHECK_OK(sy_graph_mark_output(s.graph, y, &s.error));
    sy_pass_options options = {.struct_bytes = sizeof(options),
                               .evaluate = sy_evaluate_reference,
                               .evaluate_user = runtime,
                               .trace = count_trace};
    CHECK_OK_ERROR(sy_graph_optimize(s.graph, &options, &s.error), s.error);
    CHECK_TEXT(sy_graph_n_nodes(s.graph) == 1 && n_traced == 2 * SY_PASS_COUNT, "%u %d",
               sy_graph_n_nodes(s.graph), n_traced);
    sy_value_view view;
    CHECK_OK(sy_graph_value(s.graph, sy_graph_find_value(s.graph, "doubled"), &view));
    CHECK(view.kind == SY_VALUE_WEIGHT);
    for (int i = 0; i < 8; i++) {
        float number = 0;
        memcpy(&number, (const char *)view.data.pointer + i * 4, sizeof(number));
        CHECK(number == 2 * data[i]);
    }
    sy_graph_destroy(s.graph);
    sy_runtime_destroy(runtime);
}

static const sy_test_case cases[] = {
    {"fuses_a_bias_into_linear", fuses_a_bias_into_linear},
    {"keeps_a_linear_that_others_read", keeps_a_linear_that_others_read},
    {"fuses_gates_of_every_activation", fuses_gates_of_every_activation},
    {"fuses_residual_add_and_norm", fuses_residual_add_and_norm},
    {"fuses_soft_caps_of_one_constant_only", fuses_soft_caps_of_one_constant_only},
    {"merges_equal_nodes", merges_equal_nodes},
    {"removes_what_no_output_needs", removes_what_no_output_needs},
    {"folds_constants_on_the_reference_delegate", folds_constants_on_the_reference_delegate},
};
SY_TEST_MAIN(cases)
