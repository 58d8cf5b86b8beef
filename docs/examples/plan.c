/* SPDX-License-Identifier: Apache-2.0 */
/* Where would this graph run, and why? Plans two nodes over the delegates of a runtime. */
#include <switchyard/plan.h>

#include <stdio.h>

/* y = relu(x + x) over up to 8 rows of 4. */
static sy_status build(sy_graph **out_graph, sy_error *error) {
    sy_graph *graph = NULL;
    uint32_t x = 0, sum = 0, y = 0;
    sy_value_view input = {.name = "x", .kind = SY_VALUE_INPUT, .type = SY_TYPE_F32, .rank = 2};
    input.dims[0] = (sy_dimension){.symbol = SY_SYMBOL_TOKENS, .scale = 1};
    input.dims[1].bound = 4;
    sy_status status = sy_graph_create(NULL, "example", &graph, error);
    if (status == SY_OK) {
        status = sy_graph_set_bound(graph, SY_SYMBOL_TOKENS, 8, error);
    }
    if (status == SY_OK) {
        status = sy_graph_add_value(graph, &input, &x, error);
    }
    if (status == SY_OK) {
        const uint32_t both[2] = {x, x};
        sy_node_view add = {.domain = "",
                            .op = "Add",
                            .version = 14,
                            .n_inputs = 2,
                            .n_outputs = 1,
                            .inputs = both,
                            .name = "sum"};
        status = sy_graph_add_node(graph, &add, &sum, error);
    }
    if (status == SY_OK) {
        sy_node_view relu = {.domain = "",
                             .op = "Relu",
                             .version = 14,
                             .n_inputs = 1,
                             .n_outputs = 1,
                             .inputs = &sum,
                             .name = "y"};
        status = sy_graph_add_node(graph, &relu, &y, error);
    }
    if (status == SY_OK) {
        status = sy_graph_mark_output(graph, y, error);
    }
    *out_graph = graph;
    return status;
}

int main(void) {
    sy_error error;
    sy_runtime *runtime = NULL;
    sy_graph *graph = NULL;
    sy_plan *plan = NULL;
    char *text = NULL;
    sy_error_clear(&error);
    sy_status status = sy_runtime_create(NULL, &runtime, &error);
    if (status == SY_OK) {
        status = build(&graph, &error);
    }
    if (status == SY_OK) { /* no policy, no options: defaults, one phase at the bounds */
        status = sy_plan_create(runtime, graph, NULL, NULL, &plan, &error);
    }
    if (status == SY_OK) {
        status = sy_plan_explain(plan, SY_PLAN_TEXT, NULL, &text, &error);
    }
    puts(status == SY_OK ? text : error.message);
    sy_string_destroy(NULL, text);
    sy_plan_destroy(plan);
    sy_graph_destroy(graph);
    sy_runtime_destroy(runtime);
    return status == SY_OK ? 0 : 1;
}
