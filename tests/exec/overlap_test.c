/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs of different delegates run at the same time where the graph lets them: two devices whose
 * jobs end only when both were submitted. */
#include "harness.h"
#include "switchyard/executor.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#define N_ELEMENTS 4u

/* What both devices share. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint32_t n_submitted;

struct sy_device {
    const sy_host *host;
    char mark; /* first letter of the nodes it takes */
    pthread_t thread;
    bool is_running;
    sy_job job;
};

struct sy_buffer {
    uint8_t *bytes;
};

struct sy_unit {
    sy_device *device;
};

static sy_status judge(sy_device *device, const sy_graph_view *view, sy_verdict *out_verdicts,
                       size_t stride) {
    for (uint32_t i = 0; i < view->n_nodes; i++) {
        sy_node_view node;
        sy_verdict *verdict = (sy_verdict *)(void *)((char *)out_verdicts + i * stride);
        CHECK_OK(view->node(view->graph, i, &node));
        bool takes = node.name[0] == device->mark;
        verdict->support = takes ? SY_SUPPORT_NATIVE : SY_SUPPORT_NO;
        verdict->reason = takes ? SY_REASON_NONE : SY_REASON_OPERATOR;
        verdict->time_us = 1;
        verdict->confidence = 1;
        snprintf(verdict->why, sizeof(verdict->why), "%s", takes ? "" : "not for this device");
    }
    return SY_OK;
}

static sy_status load(sy_device *device, const sy_load_request *request, sy_unit_info *out_info,
                      sy_unit **out_unit) {
    (void)out_info;
    CHECK(request->segment->n_nodes == 1);
    *out_unit = calloc(1, sizeof(sy_unit));
    CHECK(*out_unit != NULL);
    (*out_unit)->device = device;
    return SY_OK;
}

static sy_status unload(sy_unit *unit) {
    free(unit);
    return SY_OK;
}

static sy_status import(sy_device *device, const sy_memory *memory, sy_buffer **out_buffer) {
    (void)device;
    *out_buffer = calloc(1, sizeof(sy_buffer));
    CHECK(*out_buffer != NULL);
    (*out_buffer)->bytes = memory->pointer;
    return SY_OK;
}

static sy_status destroy_buffer(sy_buffer *buffer) {
    free(buffer);
    return SY_OK;
}

static sy_status health(sy_device *device, sy_health *out_health) {
    (void)device;
    out_health->state = SY_HEALTH_OK;
    return SY_OK;
}

/* Doubles or negates, once both jobs are there. */
static void *work(void *argument) {
    sy_device *device = argument;
    const sy_job *job = &device->job;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    int code = 0;
    pthread_mutex_lock(&lock);
    while (n_submitted < 2 && code == 0) {
        code = pthread_cond_timedwait(&changed, &lock, &until);
    }
    pthread_mutex_unlock(&lock);
    const float *x =
        (const float *)(void *)(job->inputs[0].buffer->bytes + job->inputs[0].offset_bytes);
    float *y = (float *)(void *)(job->outputs[0].buffer->bytes + job->outputs[0].offset_bytes);
    for (uint32_t i = 0; i < N_ELEMENTS; i++) {
        y[i] = device->mark == 'a' ? fabsf(x[i]) : -x[i];
    }
    device->host->fence_signal(device->host->context, job->signals[0],
                               code == 0 ? SY_OK : SY_INTERNAL);
    return NULL;
}

static sy_status submit(sy_unit *unit, const sy_job *job) {
    sy_device *device = unit->device;
    CHECK(!device->is_running && job->deadline_ns > 0);
    device->job = *job;
    pthread_mutex_lock(&lock);
    n_submitted++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    device->is_running = pthread_create(&device->thread, NULL, work, device) == 0;
    return device->is_running ? SY_OK : SY_UNAVAILABLE;
}

static uint32_t add_node(sy_graph *graph, const char *op, const char *name, uint32_t first,
                         uint32_t second) {
    uint32_t value = 0;
    const uint32_t inputs[2] = {first, second};
    const sy_node_view node = {.domain = "",
                               .op = op,
                               .version = second != SY_NO_VALUE ? 14 : 13,
                               .n_inputs = second != SY_NO_VALUE ? 2 : 1,
                               .n_outputs = 1,
                               .inputs = inputs,
                               .name = name};
    CHECK_OK(sy_graph_add_node(graph, &node, &value, NULL));
    return value;
}

static void add_device(sy_runtime *runtime, sy_plugin *plugin, sy_device *device) {
    const sy_host *host = NULL;
    sy_error error;
    CHECK_OK(sy_runtime_attach(runtime, plugin->name, &host, NULL));
    device->host = host;
    sy_delegate delegate = {
        .name = plugin->name, .plugin = plugin, .context = host->context, .device = device};
    delegate.info.header = (sy_header)SY_HEADER_INIT(sy_device_info);
    snprintf(delegate.info.id, sizeof(delegate.info.id), "%s", plugin->name);
    delegate.info.device_class = SY_DEVICE_NPU;
    delegate.info.memory_in = SY_MEMORY_BIT(SY_MEMORY_HOST);
    CHECK_OK_ERROR(sy_runtime_add(runtime, &delegate, &error), error);
}

static void two_devices_work_at_once(void) {
    static const float x[N_ELEMENTS] = {1, -2, 3, -4};
    sy_plugin plugins[2];
    sy_device devices[2] = {{.mark = 'a'}, {.mark = 'b'}};
    sy_runtime *runtime = NULL;
    sy_graph *graph = NULL;
    sy_plan *plan = NULL;
    sy_executor *executor = NULL;
    sy_error error;
    CHECK_OK_ERROR(sy_runtime_create(NULL, &runtime, &error), error);
    for (uint32_t i = 0; i < 2; i++) {
        plugins[i] = (sy_plugin){.header = SY_HEADER_INIT(sy_plugin),
                                 .name = i == 0 ? "npu-a" : "npu-b",
                                 .health = health,
                                 .judge = judge,
                                 .load = load,
                                 .unload = unload,
                                 .buffer_import = import,
                                 .buffer_destroy = destroy_buffer,
                                 .submit = submit};
        add_device(runtime, &plugins[i], &devices[i]);
    }
    uint32_t i_x = 0;
    sy_value_view view = {.name = "x", .kind = SY_VALUE_INPUT, .type = SY_TYPE_F32, .rank = 1};
    view.dims[0].bound = N_ELEMENTS;
    CHECK_OK(sy_graph_create(NULL, "two", &graph, NULL));
    CHECK_OK(sy_graph_add_value(graph, &view, &i_x, NULL));
    uint32_t a = add_node(graph, "Abs", "a.0", i_x, SY_NO_VALUE);
    uint32_t b = add_node(graph, "Neg", "b.0", i_x, SY_NO_VALUE);
    uint32_t sum = add_node(graph, "Add", "c.0", a, b);
    CHECK_OK(sy_graph_mark_output(graph, sum, NULL));
    sy_policy policy;
    sy_policy_default(&policy);
    policy.mode = SY_POLICY_STRICT;
    CHECK_OK_ERROR(sy_plan_create(runtime, graph, &policy, NULL, &plan, &error), error);
    CHECK(sy_plan_n_segments(plan, 0) == 3);
    const sy_executor_options options = {.struct_bytes = sizeof(options),
                                         .watch = {.hang_floor_ms = 60000}};
    CHECK_OK_ERROR(sy_executor_create(plan, &options, &executor, &error), error);
    const sy_step_input input = {.i_value = i_x, .data = x, .n_bytes = sizeof(x)};
    const sy_step_sequence sequence = {.n_tokens = 1};
    const sy_step step = {.struct_bytes = sizeof(step),
                          .n_sequences = 1,
                          .n_inputs = 1,
                          .sequences = &sequence,
                          .inputs = &input};
    const void *result = NULL;
    uint64_t n_bytes = 0;
    CHECK_OK_ERROR(sy_executor_step(executor, &step, &error), error);
    CHECK_OK_ERROR(sy_executor_output(executor, sum, &result, &n_bytes, &error), error);
    for (uint32_t i = 0; i < N_ELEMENTS; i++) {
        CHECK(((const float *)result)[i] == fabsf(x[i]) - x[i]);
    }
    sy_executor_destroy(executor);
    for (uint32_t i = 0; i < 2; i++) {
        pthread_join(devices[i].thread, NULL);
        sy_runtime_remove(runtime, &devices[i]);
    }
    sy_plan_destroy(plan);
    sy_graph_destroy(graph);
    sy_runtime_destroy(runtime);
}

static const sy_test_case cases[] = {
    {"two_devices_work_at_once", two_devices_work_at_once},
};
SY_TEST_MAIN(cases)
