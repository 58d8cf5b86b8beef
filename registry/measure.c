/* SPDX-License-Identifier: Apache-2.0 */
/* Times a real Linear on each device, through the same plan and executor that models use. */
#include "registry_internal.h"

#include "base/clock.h"
#include "switchyard/executor.h"

#include <stdio.h>
#include <string.h>

#define WIDTH 512
#define TOKENS 32
#define RUNS_MAX 50u
#define DEFAULT_BUDGET_NS 200000000u

/* x [32, 512] times w [512, 512]. */
typedef struct trial {
    const sy_allocator *allocator;
    sy_graph *graph;
    float *weights, *input;
    uint32_t i_input;
} trial;

static sy_status add_values(trial *self, uint32_t out_values[2], sy_error *error) {
    sy_value_view x = {.name = "x", .kind = SY_VALUE_INPUT, .type = SY_TYPE_F32, .rank = 2};
    x.dims[0] = (sy_dimension){TOKENS, SY_SYMBOL_TOKENS, 1, 0};
    x.dims[1] = (sy_dimension){.bound = WIDTH};
    sy_value_view w = {.name = "w", .kind = SY_VALUE_WEIGHT, .type = SY_TYPE_F32, .rank = 2};
    w.dims[0] = w.dims[1] = (sy_dimension){.bound = WIDTH};
    w.data = (sy_memory){.kind = SY_MEMORY_HOST,
                         .fd = -1,
                         .pointer = self->weights,
                         .length_bytes = sizeof(float) * WIDTH * WIDTH};
    sy_status status = sy_graph_add_value(self->graph, &x, &out_values[0], error);
    return status == SY_OK ? sy_graph_add_value(self->graph, &w, &out_values[1], error) : status;
}

static sy_status build(trial *self, sy_error *error) {
    uint32_t values[2] = {0, 0}, output = 0;
    self->weights = sy__alloc_array(self->allocator, WIDTH * WIDTH, sizeof(float));
    self->input = sy__alloc_array(self->allocator, TOKENS * WIDTH, sizeof(float));
    if (self->weights == NULL || self->input == NULL) {
        return sy__no_memory(error, sizeof(float) * WIDTH * WIDTH, "a measurement");
    }
    for (uint32_t i = 0; i < WIDTH * WIDTH; i++) {
        self->weights[i] = (float)(i % 17) * 0.01f;
    }
    for (uint32_t i = 0; i < TOKENS * WIDTH; i++) {
        self->input[i] = (float)(i % 13) * 0.1f;
    }
    sy_status status = sy_graph_create(self->allocator, "measure", &self->graph, error);
    if (status == SY_OK) {
        status = sy_graph_set_bound(self->graph, SY_SYMBOL_TOKENS, TOKENS, error);
    }
    if (status == SY_OK) {
        status = add_values(self, values, error);
    }
    sy_node_view node = {.domain = "switchyard",
                         .op = "Linear",
                         .version = 1,
                         .n_inputs = 2,
                         .n_outputs = 1,
                         .inputs = values,
                         .name = "measure"};
    if (status == SY_OK) {
        status = sy_graph_add_node(self->graph, &node, &output, error);
    }
    self->i_input = values[0];
    return status == SY_OK ? sy_graph_mark_output(self->graph, output, error) : status;
}

static void destroy(trial *self) {
    sy_graph_destroy(self->graph);
    sy__free_array(self->allocator, self->weights, WIDTH * WIDTH, sizeof(float));
    sy__free_array(self->allocator, self->input, TOKENS * WIDTH, sizeof(float));
}

/* The fastest run counts: what disturbs only ever makes a run slower. */
static sy_status run(const trial *self, sy_executor *executor, uint64_t deadline_ns, double *out_us,
                     sy_error *error) {
    sy_step_sequence sequence = {.n_tokens = TOKENS};
    sy_step_input input = {self->i_input, self->input, sizeof(float) * TOKENS * WIDTH};
    sy_step step = {.struct_bytes = sizeof(step),
                    .n_sequences = 1,
                    .n_inputs = 1,
                    .sequences = &sequence,
                    .inputs = &input};
    uint64_t best_ns = UINT64_MAX;
    for (uint32_t i = 0; i < RUNS_MAX && (i == 0 || sy__clock_now_ns() < deadline_ns); i++) {
        sy_segment_stats stats;
        sy_status status = sy_executor_step(executor, &step, error);
        if (status != SY_OK) {
            return status;
        }
        sy_executor_stats(executor, 0, 0, &stats);
        best_ns = stats.last_ns < best_ns ? stats.last_ns : best_ns;
    }
    *out_us = (double)best_ns / 1000;
    return SY_OK;
}

/* Plans the graph onto one device and times it there. */
static sy_status measure_on(const trial *self, sy_registry *registry, const sy_candidate *candidate,
                            sy_candidate_device *device, uint64_t deadline_ns, sy_error *error) {
    char selector[2 * SY_LIMIT_NAME_BYTES];
    snprintf(selector, sizeof(selector), "%s:%s", candidate->name, device->info.id);
    sy_policy_rule pin = {
        .kind = SY_RULE_PIN, .target = SY_RULE_OPERATOR, .pattern = "*", .delegate = selector};
    sy_plan_options options = {.struct_bytes = sizeof(options), .n_rules = 1, .rules = &pin};
    sy_plan *plan = NULL;
    sy_executor *executor = NULL;
    sy_status status = sy_plan_create(registry->runtime, self->graph, NULL, &options, &plan, error);
    if (status == SY_OK &&
        (sy_plan_n_segments(plan, 0) != 1 ||
         sy_runtime_delegate(registry->runtime, sy_plan_segment_at(plan, 0, 0)->i_delegate)
                 ->device != device->device)) {
        status = sy_error_set(error, SY_UNIMPLEMENTED, "It does not run a Linear in f32.");
    }
    if (status == SY_OK) {
        status = sy_executor_create(plan, NULL, &executor, error);
    }
    if (status == SY_OK) {
        status = run(self, executor, deadline_ns, &device->linear_us, error);
    }
    sy_executor_destroy(executor);
    sy_plan_destroy(plan);
    return status;
}

static uint32_t count_devices(const sy_registry *registry) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < registry->n_candidates; i++) {
        for (uint32_t j = 0; j < registry->candidates[i]->n_devices; j++) {
            n += registry->candidates[i]->devices[j].device != NULL;
        }
    }
    return n;
}

static sy_status measure_all(const trial *self, sy_registry *registry, uint64_t end_ns,
                             sy_error *error) {
    uint32_t n_left = count_devices(registry);
    for (uint32_t i = 0; i < registry->n_candidates; i++) {
        const sy_candidate *candidate = registry->candidates[i];
        for (uint32_t j = 0; j < candidate->n_devices; j++) {
            sy_candidate_device *device = &candidate->devices[j];
            uint64_t now_ns = sy__clock_now_ns();
            if (device->device == NULL || now_ns >= end_ns) {
                continue;
            }
            sy_error why;
            sy_status status = measure_on(self, registry, candidate, device,
                                          now_ns + (end_ns - now_ns) / n_left--, &why);
            if (SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED) {
                return sy_error_set(error, status, "%s", why.message);
            }
            if (status != SY_OK) {
                sy_error_format(&why, device->reason, sizeof(device->reason));
                continue;
            }
            device->linear_gflops = (double)TOKENS * WIDTH * WIDTH /
                                    (device->linear_us > 0 ? device->linear_us : 1) / 1000;
        }
    }
    return SY_OK;
}

sy_status sy_registry_measure(sy_registry *registry, uint64_t budget_ns, sy_error *error) {
    uint64_t end_ns = sy__clock_now_ns() + (budget_ns != 0 ? budget_ns : DEFAULT_BUDGET_NS);
    trial self = {.allocator = registry->allocator};
    sy_status status = build(&self, error);
    if (status == SY_OK) {
        status = measure_all(&self, registry, end_ns, error);
    }
    destroy(&self);
    return status;
}
