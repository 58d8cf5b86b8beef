/* SPDX-License-Identifier: Apache-2.0 */
/* Loads a model and says what it is and what it holds: example_engine MODEL.gguf */
#include <switchyard/engine.h>

#include <inttypes.h>
#include <stdio.h>

static void describe(const sy_engine *engine) {
    const sy_model_info *info = sy_engine_info(engine);
    sy_memory_report memory;
    sy_executor_memory(sy_engine_executor(engine), &memory);
    printf("%s, %u layers, %" PRIu64 " parameters, sessions of up to %u tokens\n",
           info->architecture, info->n_layers, info->n_parameters, info->n_context_tokens);
    printf("%" PRIu64 " bytes of weights, mapped; %" PRIu64 " of activations, %" PRIu64
           " a token of each session\n",
           memory.weight_bytes, memory.arena_bytes, memory.state_bytes_per_token);
    const sy_plan *plan = sy_engine_plan(engine);
    for (uint32_t i = 0; i < sy_plan_n_segments(plan, SY_ENGINE_DECODE); i++) {
        const sy_plan_segment *segment = sy_plan_segment_at(plan, SY_ENGINE_DECODE, i);
        printf("decode segment %u: %u nodes on %s\n", i, segment->segment.n_nodes,
               sy_runtime_delegate(sy_plan_runtime(plan), segment->i_delegate)->name);
    }
}

int main(int argc, char **argv) {
    sy_error error;
    sy_runtime *runtime = NULL;
    sy_engine *engine = NULL;
    if (argc < 2) {
        puts("usage: example_engine MODEL.gguf");
        return 2;
    }
    sy_error_clear(&error);
    sy_status status = sy_runtime_create(NULL, &runtime, &error);
    if (status == SY_OK) { /* registry.h adds the delegates of plugins before this */
        status = sy_engine_create(runtime, argv[1], NULL, &engine, &error);
    }
    if (status == SY_OK) {
        describe(engine);
    } else {
        char line[700];
        sy_error_format(&error, line, sizeof(line));
        puts(line);
    }
    sy_engine_destroy(engine);
    sy_runtime_destroy(runtime);
    return status == SY_OK ? 0 : 1;
}
