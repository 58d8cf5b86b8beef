/* SPDX-License-Identifier: Apache-2.0 */
/* A graph by hand: softmax(x * w), where x has as many rows as a step has tokens. */
#include <switchyard/graph.h>

#include <stdio.h>

static const float weights[2][4] = {{1, 2, 3, 4}, {4, 3, 2, 1}}; /* borrowed, never copied */

static sy_status add_values(sy_graph *graph, uint32_t out_inputs[3], sy_error *error) {
    sy_value_view x = {.name = "x", .kind = SY_VALUE_INPUT, .type = SY_TYPE_F32, .rank = 2};
    x.dims[0] = (sy_dimension){.symbol = SY_SYMBOL_TOKENS, .scale = 1};
    x.dims[1] = (sy_dimension){.bound = 4};
    sy_status status = sy_graph_add_value(graph, &x, &out_inputs[0], error);
    if (status != SY_OK) {
        return status;
    }
    sy_value_view w = {.name = "w", .kind = SY_VALUE_WEIGHT, .type = SY_TYPE_F32, .rank = 2};
    w.dims[0] = (sy_dimension){.bound = 2};
    w.dims[1] = (sy_dimension){.bound = 4};
    w.data = (sy_memory){.kind = SY_MEMORY_HOST,
                         .fd = -1,
                         .pointer = (void *)(uintptr_t)weights,
                         .length_bytes = sizeof(weights)};
    out_inputs[2] = SY_NO_VALUE; /* Linear has no bias here */
    return sy_graph_add_value(graph, &w, &out_inputs[1], error);
}

static sy_status add_nodes(sy_graph *graph, const uint32_t *inputs, sy_error *error) {
    uint32_t product = 0;
    uint32_t result = 0;
    sy_node_view linear = {.domain = "switchyard",
                           .op = "Linear",
                           .version = 1,
                           .n_inputs = 2,
                           .n_outputs = 1,
                           .inputs = inputs,
                           .name = "project"};
    sy_status status = sy_graph_add_node(graph, &linear, &product, error);
    if (status != SY_OK) {
        return status;
    }
    sy_node_view softmax = {.domain = "",
                            .op = "Softmax",
                            .version = 13,
                            .n_inputs = 1,
                            .n_outputs = 1,
                            .inputs = &product,
                            .name = "weigh"};
    status = sy_graph_add_node(graph, &softmax, &result, error);
    return status != SY_OK ? status : sy_graph_mark_output(graph, result, error);
}

static sy_status build(sy_graph *graph, sy_error *error) {
    uint32_t inputs[3];
    sy_status status = sy_graph_set_bound(graph, SY_SYMBOL_TOKENS, 16, error);
    if (status == SY_OK) {
        status = add_values(graph, inputs, error);
    }
    if (status == SY_OK) {
        status = add_nodes(graph, inputs, error);
    }
    return status != SY_OK ? status : sy_graph_verify(graph, error);
}

int main(void) {
    sy_error error;
    char *text = NULL;
    sy_graph *graph = NULL;
    sy_status status = sy_graph_create(NULL, "example", &graph, &error);
    if (status == SY_OK) {
        status = build(graph, &error);
    }
    if (status == SY_OK) {
        status = sy_graph_print(graph, SY_GRAPH_TEXT, NULL, &text, &error);
    }
    if (status == SY_OK) {
        fputs(text, stdout);
    } else {
        char line[512];
        sy_error_format(&error, line, sizeof(line));
        printf("%s\n", line);
    }
    sy_string_destroy(NULL, text);
    sy_graph_destroy(graph);
    return status == SY_OK ? 0 : 1;
}
