/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph_sample.h"

static float numbers[64];

static void infers_linear_and_keeps_symbol(void) {
    sample s = sample_new(32);
    uint32_t x = sample_input(&s, "x", 8), w = sample_weight(&s, "w", numbers, 4, 8);
    uint32_t y = sample_node(&s, "switchyard", "Linear", "y", SAMPLE_INPUTS(x, w), NULL);
    sy_value_view view;
    CHECK_OK(sy_graph_value(s.graph, y, &view));
    CHECK(view.rank == 2 && view.type == SY_TYPE_F32);
    CHECK(view.dims[0].symbol == SY_SYMBOL_TOKENS && view.dims[0].bound == 32);
    CHECK(view.dims[1].bound == 4 && view.data.length_bytes == 32 * 4 * sizeof(float));
    int64_t symbols[SY_SYMBOL_COUNT_MAX] = {[SY_SYMBOL_TOKENS] = 3};
    CHECK(sy_value_bytes(&view, symbols) == 3 * 4 * sizeof(float));
    CHECK(sy_graph_producer(s.graph, y) == 0);
    CHECK_OK_ERROR(sy_graph_verify(s.graph, &s.error), s.error);
    sy_graph_destroy(s.graph);
}

static void reshape_divides_symbolic_rows(void) {
    sample s = sample_new(16);
    static const int64_t split[3] = {0, 2, 4}, flat[2] = {-1, 4}, wrong[2] = {0, 5};
    const int64_t *shapes[3] = {split, flat, wrong};
    uint32_t x = sample_input(&s, "x", 8), shape[3];
    for (int i = 0; i < 3; i++) {
        sy_value_view view = {
            .name = "shape", .kind = SY_VALUE_WEIGHT, .type = SY_TYPE_I64, .rank = 1};
        view.dims[0].bound = i == 0 ? 3 : 2;
        view.data.length_bytes = (size_t)view.dims[0].bound * sizeof(int64_t);
        memcpy(&view.data.pointer, &shapes[i], sizeof(shapes[i]));
        CHECK_OK_ERROR(sy_graph_add_value(s.graph, &view, &shape[i], &s.error), s.error);
    }
    sy_value_view view;
    uint32_t y = sample_node(&s, "", "Reshape", "heads", SAMPLE_INPUTS(x, shape[0]), NULL);
    CHECK_OK(sy_graph_value(s.graph, y, &view));
    CHECK(view.rank == 3 && view.dims[0].symbol == SY_SYMBOL_TOKENS && view.dims[2].bound == 4);
    y = sample_node(&s, "", "Reshape", "rows", SAMPLE_INPUTS(y, shape[1]), NULL);
    CHECK_OK(sy_graph_value(s.graph, y, &view));
    CHECK(view.dims[0].symbol == SY_SYMBOL_TOKENS && view.dims[0].scale == 2);
    CHECK(view.dims[0].bound == 32);
    uint32_t ignored = 0;
    CHECK(sample_try(&s, "", "Reshape", "no", SAMPLE_INPUTS(x, shape[2]), NULL, &ignored) ==
          SY_INVALID_ARGUMENT);
    CHECK(strstr(s.error.message, "no") != NULL);
    sy_graph_destroy(s.graph);
}

static void refuses_what_does_not_fit(void) {
    sample s = sample_new(4);
    uint32_t x = sample_input(&s, "x", 8), z = sample_input(&s, "z", 6), out = 0;
    uint32_t w = sample_weight(&s, "w", numbers, 4, 6);
    CHECK(sample_try(&s, "switchyard", "Linear", "a", SAMPLE_INPUTS(x, w), NULL, &out) ==
          SY_INVALID_ARGUMENT);
    CHECK(sample_try(&s, "", "Add", "b", SAMPLE_INPUTS(x, z), NULL, &out) == SY_INVALID_ARGUMENT);
    CHECK(sample_try(&s, "", "Conjure", "c", SAMPLE_INPUTS(x), NULL, &out) == SY_UNIMPLEMENTED);
    CHECK(strstr(s.error.message, "Conjure") != NULL && s.error.hint[0] != '\0');
    CHECK(sample_try(&s, "", "Add", "d", SAMPLE_INPUTS(x), NULL, &out) == SY_INVALID_ARGUMENT);
    CHECK(sample_try(&s, "", "Relu", "e", SAMPLE_INPUTS(99), NULL, &out) == SY_INVALID_ARGUMENT);
    CHECK(sy_graph_mark_output(s.graph, x, &s.error) == SY_INVALID_ARGUMENT);
    CHECK(sy_graph_set_bound(s.graph, SY_SYMBOL_TOKENS, 9, &s.error) == SY_FAILED_PRECONDITION);
    CHECK(sy_graph_n_nodes(s.graph) == 0);
    sy_graph_destroy(s.graph);
}

static void refuses_weights_of_another_size(void) {
    sample s = sample_new(4);
    uint32_t value = 0;
    sy_value_view view = {.name = "w", .kind = SY_VALUE_WEIGHT, .type = SY_TYPE_Q8_0, .rank = 2};
    view.dims[0].bound = 2;
    view.dims[1].bound = 33; /* no whole block of 32 */
    view.data.pointer = numbers;
    view.data.length_bytes = 68;
    CHECK(sy_graph_add_value(s.graph, &view, &value, &s.error) == SY_OUT_OF_RANGE);
    view.dims[1].bound = 32;
    view.data.length_bytes = 67;
    CHECK(sy_graph_add_value(s.graph, &view, &value, &s.error) == SY_INVALID_ARGUMENT);
    view.data.length_bytes = 68;
    CHECK_OK_ERROR(sy_graph_add_value(s.graph, &view, &value, &s.error), s.error);
    view.dims[0].bound = INT64_MAX / 2;
    CHECK(sy_graph_add_value(s.graph, &view, &value, &s.error) == SY_OUT_OF_RANGE);
    sy_graph_destroy(s.graph);
}

static void prints_text_json_and_dot(void) {
    sample s = sample_new(4);
    uint32_t x = sample_input(&s, "x", 8), w = sample_weight(&s, "w", numbers, 4, 8);
    uint32_t y = sample_node(&s, "switchyard", "Linear", "y", SAMPLE_INPUTS(x, w), NULL);
    CHECK_OK(sy_graph_mark_output(s.graph, y, &s.error));
    char *text = NULL;
    CHECK_OK(sy_graph_print(s.graph, SY_GRAPH_TEXT, NULL, &text, &s.error));
    CHECK_TEXT(strcmp(text, "graph sample\n"
                            "  input %x: f32 [T, 8]\n"
                            "  weight %w: f32 [4, 8]\n"
                            "  0: %y: f32 [T, 4] (output) = switchyard.Linear(%x, %w)\n") == 0,
               "%s", text);
    sy_string_destroy(NULL, text);
    CHECK_OK(sy_graph_print(s.graph, SY_GRAPH_DOT, NULL, &text, &s.error));
    CHECK(strstr(text, "n0 [label=\"switchyard.Linear\\ny\"]") != NULL);
    sy_string_destroy(NULL, text);
    CHECK_OK(sy_graph_print(s.graph, SY_GRAPH_JSON, NULL, &text, &s.error));
    CHECK(strstr(text, "\"op\": \"Linear\"") != NULL);
    sy_string_destroy(NULL, text);
    sy_graph_destroy(s.graph);
}

static void view_reads_the_graph(void) {
    sample s = sample_new(4);
    uint32_t x = sample_input(&s, "x", 8);
    sample_node(&s, "", "Relu", "y", SAMPLE_INPUTS(x), NULL);
    sy_graph_view view;
    sy_graph_view_init(s.graph, SY_PHASE_DECODE, NULL, &view);
    CHECK(view.n_nodes == 1 && view.n_values == 2 && view.phase == SY_PHASE_DECODE);
    CHECK(view.typical[SY_SYMBOL_TOKENS] == 4);
    sy_node_view node;
    CHECK_OK(view.node(view.graph, 0, &node));
    CHECK(strcmp(node.op, "Relu") == 0 && node.inputs[0] == x);
    CHECK(view.node(view.graph, 1, &node) == SY_OUT_OF_RANGE);
    sy_graph_destroy(s.graph);
}

/* Refuses the allocation with number `fail_at`. */
typedef struct failing {
    sy_allocator allocator;
    int n_calls, fail_at;
} failing;

static void *fail_nth(void *self, void *pointer, size_t old_bytes, size_t new_bytes,
                      size_t alignment_bytes) {
    failing *f = self;
    if (new_bytes > 0 && ++f->n_calls == f->fail_at) {
        return NULL;
    }
    const sy_allocator *heap = sy_allocator_heap();
    return heap->reallocate(heap->self, pointer, old_bytes, new_bytes, alignment_bytes);
}

static sy_status build_and_optimize(const sy_allocator *allocator, sy_error *error) {
    sy_graph *graph = NULL;
    uint32_t value = 0, last = 0;
    sy_status status = sy_graph_create(allocator, "x", &graph, error);
    sy_value_view view = {.name = "x", .kind = SY_VALUE_INPUT, .type = SY_TYPE_F32, .rank = 1};
    view.dims[0].bound = 4;
    if (status == SY_OK) {
        status = sy_graph_add_value(graph, &view, &value, error);
    }
    last = value;
    for (int i = 0; status == SY_OK && i < 20; i++) {
        sy_node_view node = {.domain = "",
                             .op = "Relu",
                             .version = 14,
                             .n_inputs = 1,
                             .n_outputs = 1,
                             .inputs = &last,
                             .name = "r"};
        status = sy_graph_add_node(graph, &node, &last, error);
    }
    if (status == SY_OK) {
        status = sy_graph_mark_output(graph, last, error);
    }
    if (status == SY_OK) {
        status = sy_graph_optimize(graph, NULL, error);
    }
    if (status != SY_OK && graph != NULL) {
        CHECK_OK(sy_graph_verify(graph, NULL)); /* a refused allocation leaves it whole */
    }
    sy_graph_destroy(graph);
    return status;
}

static void every_allocation_may_fail(void) {
    int n_failed = 0;
    for (int n = 1;; n++) {
        failing f = {.fail_at = n};
        sy_error error;
        sy_error_clear(&error);
        f.allocator = (sy_allocator){.reallocate = fail_nth, .self = &f};
        sy_status status = build_and_optimize(&f.allocator, &error);
        if (f.n_calls < n) {
            CHECK_OK_ERROR(status, error);
            break;
        }
        CHECK(SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED && error.message[0] != '\0');
        n_failed++;
    }
    CHECK(n_failed > 3);
}

static const sy_test_case cases[] = {
    {"infers_linear_and_keeps_symbol", infers_linear_and_keeps_symbol},
    {"reshape_divides_symbolic_rows", reshape_divides_symbolic_rows},
    {"refuses_what_does_not_fit", refuses_what_does_not_fit},
    {"refuses_weights_of_another_size", refuses_weights_of_another_size},
    {"prints_text_json_and_dot", prints_text_json_and_dot},
    {"view_reads_the_graph", view_reads_the_graph},
    {"every_allocation_may_fail", every_allocation_may_fail},
};
SY_TEST_MAIN(cases)
