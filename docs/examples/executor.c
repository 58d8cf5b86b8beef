/* SPDX-License-Identifier: Apache-2.0 */
/* From a graph to numbers: plan, load, and run one step of y = tanh(x) with three rows. */
#include <switchyard/executor.h>

#include <stdio.h>

static sy_status build(sy_graph **out_graph, uint32_t *out_x, uint32_t *out_y, sy_error *error) {
    sy_value_view input = {.name = "x", .kind = SY_VALUE_INPUT, .type = SY_TYPE_F32, .rank = 2};
    input.dims[0] = (sy_dimension){.symbol = SY_SYMBOL_TOKENS, .scale = 1};
    input.dims[1].bound = 2;
    sy_status status = sy_graph_create(NULL, "example", out_graph, error);
    if (status == SY_OK) { /* a step can have up to 16 rows; memory is planned for that */
        status = sy_graph_set_bound(*out_graph, SY_SYMBOL_TOKENS, 16, error);
    }
    if (status == SY_OK) {
        status = sy_graph_add_value(*out_graph, &input, out_x, error);
    }
    if (status == SY_OK) {
        sy_node_view node = {.domain = "",
                             .op = "Tanh",
                             .version = 13,
                             .n_inputs = 1,
                             .n_outputs = 1,
                             .inputs = out_x,
                             .name = "y"};
        status = sy_graph_add_node(*out_graph, &node, out_y, error);
    }
    return status == SY_OK ? sy_graph_mark_output(*out_graph, *out_y, error) : status;
}

static sy_status run(sy_executor *executor, uint32_t x, uint32_t y, sy_error *error) {
    static const float rows[3][2] = {{0, 1}, {-1, 2}, {0.5f, -0.5f}};
    const sy_step_input input = {.i_value = x, .data = rows, .n_bytes = sizeof(rows)};
    const sy_step_sequence sequence = {.n_tokens = 3};
    const sy_step step = {.struct_bytes = sizeof(step),
                          .n_sequences = 1,
                          .n_inputs = 1,
                          .sequences = &sequence,
                          .inputs = &input};
    const void *result = NULL;
    uint64_t n_bytes = 0;
    sy_status status = sy_executor_step(executor, &step, error);
    if (status == SY_OK) {
        status = sy_executor_output(executor, y, &result, &n_bytes, error);
    }
    if (status == SY_OK) {
        const float *numbers = result;
        for (uint64_t i = 0; i < n_bytes / sizeof(float); i++) {
            printf("%.4f%s", (double)numbers[i], i % 2 == 1 ? "\n" : " ");
        }
    }
    return status;
}

int main(void) {
    sy_error error;
    sy_runtime *runtime = NULL;
    sy_graph *graph = NULL;
    sy_plan *plan = NULL;
    sy_executor *executor = NULL;
    uint32_t x = 0, y = 0;
    sy_error_clear(&error);
    sy_status status = sy_runtime_create(NULL, &runtime, &error);
    if (status == SY_OK) {
        status = build(&graph, &x, &y, &error);
    }
    if (status == SY_OK) {
        status = sy_plan_create(runtime, graph, NULL, NULL, &plan, &error);
    }
    if (status == SY_OK) {
        status = sy_executor_create(plan, NULL, &executor, &error);
    }
    if (status == SY_OK) {
        status = run(executor, x, y, &error);
    }
    if (status != SY_OK) {
        puts(error.message);
    }
    sy_executor_destroy(executor);
    sy_plan_destroy(plan);
    sy_graph_destroy(graph);
    sy_runtime_destroy(runtime);
    return status == SY_OK ? 0 : 1;
}
