/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU delegate's table beside the operators: versions, options, buffers, states, refusals. */
#include "op_compare.h"

#include <fcntl.h>

typedef struct opened {
    sy_test_host host;
    sy_op_runner runner;
    const sy_plugin *plugin;
} opened;

static void open_device(opened *o, const char *options) {
    sy_error error = {0};
    CHECK_OK_ERROR(sy_test_host_init(&o->host, 2, &error), error);
    o->plugin = compare_delegate_entry(&o->host);
    CHECK_OK_ERROR(sy_op_runner_open(&o->runner, o->plugin, &o->host, 0, options, &error), error);
}

static void close_device(opened *o) {
    CHECK_OK(sy_op_runner_close(&o->runner));
    CHECK_TEXT(o->host.n_live == 0 && o->host.n_misuses == 0, "%s", o->host.misuse);
    sy_test_host_deinit(&o->host);
}

static void tells_about_itself(void) {
    opened o;
    sy_health health = {.header = SY_HEADER_INIT(sy_health)};
    open_device(&o, NULL);
    CHECK(strcmp(o.plugin->name, "cpu-xnnpack") == 0);
    CHECK(o.runner.info.device_class == SY_DEVICE_CPU && o.runner.info.driver[0] != '\0');
    CHECK_OK(o.plugin->health(o.runner.device, &health));
    CHECK(health.state == SY_HEALTH_OK && health.live_handles == 0);
    close_device(&o);
}

static void wrong_options_are_refused_in_words(void) {
    static const char *const wrong[] = {"isa=z80", "xnnpack=maybe", "activations=7",
                                        "read_gb_per_s=fast"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        sy_test_host host;
        sy_op_runner runner;
        sy_error error = {0};
        CHECK_OK_ERROR(sy_test_host_init(&host, 1, &error), error);
        const sy_plugin *plugin = compare_delegate_entry(&host);
        sy_status status = sy_op_runner_open(&runner, plugin, &host, 0, wrong[i], &error);
        CHECK_TEXT(status == SY_INVALID_ARGUMENT, "%s: %u", wrong[i], status);
        CHECK_TEXT(strstr(host.report, wrong[i]) != NULL, "%s", host.report);
        CHECK(host.n_live == 0);
        sy_test_host_deinit(&host);
    }
}

static void a_close_with_live_handles_is_refused(void) {
    opened o;
    sy_buffer *buffer = NULL;
    open_device(&o, NULL);
    CHECK_OK(o.plugin->buffer_create(o.runner.device, SY_MEMORY_HOST, 100, &buffer));
    CHECK(SY_STATUS_CLASS(o.plugin->close(o.runner.device)) == SY_FAILED_PRECONDITION);
    CHECK_OK(o.plugin->buffer_destroy(buffer));
    close_device(&o);
}

static void buffers_move_between_kinds(void) {
    opened o;
    sy_buffer *made = NULL, *imported = NULL, *refused = NULL;
    sy_memory memory;
    void *a = NULL, *b = NULL;
    open_device(&o, NULL);
    CHECK_OK(o.plugin->buffer_create(o.runner.device, SY_MEMORY_MEMFD, 10000, &made));
    CHECK_OK(o.plugin->buffer_export(made, SY_MEMORY_MEMFD, &memory));
    memory.offset_bytes += 5000;
    memory.length_bytes = 5000;
    CHECK_OK(o.plugin->buffer_import(o.runner.device, &memory, &imported));
    CHECK_OK(o.plugin->buffer_map(made, 5000, 4, SY_ACCESS_WRITE, &a));
    memcpy(a, "wire", 4);
    CHECK_OK(o.plugin->buffer_map(imported, 0, 4, SY_ACCESS_READ, &b));
    CHECK(a != b && memcmp(b, "wire", 4) == 0);
    CHECK(SY_STATUS_CLASS(o.plugin->buffer_map(imported, 4999, 2, SY_ACCESS_READ, &b)) ==
          SY_OUT_OF_RANGE);
    memory.length_bytes = 5001; /* past the end of the file */
    CHECK(o.plugin->buffer_import(o.runner.device, &memory, &refused) != SY_OK);
    memory.offset_bytes = UINT64_MAX - 10;
    CHECK(o.plugin->buffer_import(o.runner.device, &memory, &refused) != SY_OK);
    memory.kind = SY_MEMORY_DMABUF;
    CHECK(SY_STATUS_CLASS(o.plugin->buffer_import(o.runner.device, &memory, &refused)) ==
          SY_UNIMPLEMENTED);
    CHECK(SY_STATUS_CLASS(o.plugin->buffer_create(o.runner.device, SY_MEMORY_HOST, UINT64_MAX,
                                                  &refused)) == SY_RESOURCE_EXHAUSTED);
    CHECK_OK(o.plugin->buffer_destroy(made));
    CHECK_OK(o.plugin->buffer_destroy(imported));
    close_device(&o);
}

static void sealed_memory_can_be_read(void) {
    opened o;
    sy_buffer *buffer = NULL;
    void *bytes = NULL;
    open_device(&o, NULL);
    int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0 && write(fd, "sealed", 6) == 6);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) == 0);
    sy_memory memory = {.kind = SY_MEMORY_MEMFD, .fd = fd, .length_bytes = 6};
    CHECK_OK(o.plugin->buffer_import(o.runner.device, &memory, &buffer));
    close(fd); /* the plugin has its own */
    CHECK_OK(o.plugin->buffer_map(buffer, 0, 6, SY_ACCESS_READ, &bytes));
    CHECK(memcmp(bytes, "sealed", 6) == 0);
    CHECK_OK(o.plugin->buffer_destroy(buffer));
    close_device(&o);
}

static void states_keep_their_rows(void) {
    opened o;
    sy_state *state = NULL, *copy = NULL;
    uint8_t rows[10][34], back[10][34];
    sy_state_description d = {.header = SY_HEADER_INIT(sy_state_description),
                              .type = SY_TYPE_Q8_0,
                              .width = 32,
                              .max_tokens = 10};
    for (int i = 0; i < 10; i++) {
        memset(rows[i], i + 1, 34);
    }
    open_device(&o, NULL);
    CHECK_OK(o.plugin->state_create(o.runner.device, &d, &state));
    CHECK_OK(o.plugin->state_load(state, 0, 10, rows, sizeof(rows)));
    CHECK_OK(o.plugin->state_clone(state, 6, &copy));
    CHECK_OK(o.plugin->state_shift(state, 4, 3, 1));
    CHECK_OK(o.plugin->state_save(state, 0, 5, back, sizeof(back)));
    CHECK(back[0][0] == 1 && back[1][0] == 5 && back[3][0] == 7 && back[4][0] == 5);
    CHECK_OK(o.plugin->state_save(copy, 0, 6, back, sizeof(back)));
    CHECK(memcmp(back, rows, 6 * 34) == 0);
    CHECK_OK(o.plugin->state_truncate(state, 2));
    CHECK(SY_STATUS_CLASS(o.plugin->state_truncate(state, 11)) == SY_OUT_OF_RANGE);
    CHECK(SY_STATUS_CLASS(o.plugin->state_shift(state, 1, 2, 3)) == SY_INVALID_ARGUMENT);
    CHECK(SY_STATUS_CLASS(o.plugin->state_load(state, 9, 2, rows, sizeof(rows))) ==
          SY_OUT_OF_RANGE);
    CHECK(SY_STATUS_CLASS(o.plugin->state_load(state, UINT64_MAX, 2, rows, 68)) == SY_OUT_OF_RANGE);
    CHECK(SY_STATUS_CLASS(o.plugin->state_save(state, 0, 2, back, 67)) == SY_INVALID_ARGUMENT);
    CHECK_OK(o.plugin->state_destroy(state));
    CHECK_OK(o.plugin->state_destroy(copy));
    d.width = 33;
    CHECK(SY_STATUS_CLASS(o.plugin->state_create(o.runner.device, &d, &state)) ==
          SY_INVALID_ARGUMENT);
    d.width = 32;
    d.max_tokens = UINT64_MAX / 2;
    CHECK(SY_STATUS_CLASS(o.plugin->state_create(o.runner.device, &d, &state)) ==
          SY_RESOURCE_EXHAUSTED);
    close_device(&o);
}

/* A graph with one Linear over [T, 64] x [8, 64]. */
static void linear_graph(compare *c, sy_element_type weight) {
    compare_init(c, 0.0);
    sy_dimension x[2] = {sy_test_symbol(SY_SYMBOL_TOKENS, 4), sy_test_fixed(64)};
    sy_dimension y[2] = {sy_test_symbol(SY_SYMBOL_TOKENS, 4), sy_test_fixed(8)};
    uint32_t in[2] = {compare_input(c, SY_TYPE_F32, 2, x),
                      compare_weight(c, weight, 2, (int64_t[]){8, 64})};
    uint32_t out = compare_output(c, SY_TYPE_F32, 2, y);
    sy_test_graph_node(&c->graph, "switchyard", "Linear", 1, 2, in, 1, &out);
    sy_error error = {0};
    CHECK_OK_ERROR(sy_test_graph_finish(&c->graph, &error), error);
}

static void prices_and_links(void) {
    opened o;
    compare c;
    sy_cost cost = {.header = SY_HEADER_INIT(sy_cost)};
    open_device(&o, NULL);
    linear_graph(&c, SY_TYPE_Q4_0);
    CHECK_OK(o.plugin->price(o.runner.device, &c.graph.view, &c.graph.segment, &cost));
    CHECK(cost.time_us > cost.launch_us && cost.launch_us > 0.0f && cost.scratch_bytes >= 4 * 64);
    CHECK(cost.confidence > 0.0f && cost.confidence < 1.0f);
    sy_cost same = {.header = SY_HEADER_INIT(sy_cost)}, other = same;
    CHECK_OK(o.plugin->link(o.runner.device, SY_MEMORY_HOST, SY_MEMORY_HOST, 1 << 20, &same));
    CHECK_OK(o.plugin->link(o.runner.device, SY_MEMORY_HOST, SY_MEMORY_MEMFD, 1 << 20, &other));
    CHECK(same.time_us == 0.0f && other.time_us > 0.0f);
    CHECK(o.plugin->link(o.runner.device, SY_MEMORY_HOST, SY_MEMORY_OPAQUE, 1, &other) != SY_OK);
    compare_deinit(&c);
    close_device(&o);
}

static void unknown_nodes_get_a_reason(void) {
    static const struct {
        const char *domain, *op;
        uint32_t version;
        sy_reason reason;
    } unknown[] = {{"", "Conv", 11, SY_REASON_OPERATOR},
                   {"", "Relu", 6, SY_REASON_OPERATOR},
                   {"vendor", "Relu", 14, SY_REASON_OPERATOR}};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        opened o;
        compare c;
        sy_error error = {0};
        sy_verdict verdict = {.header = SY_HEADER_INIT(sy_verdict)};
        open_device(&o, NULL);
        compare_init(&c, 0.0);
        sy_dimension dims[1] = {sy_test_fixed(4)};
        uint32_t x = compare_input(&c, SY_TYPE_F32, 1, dims);
        uint32_t y = compare_output(&c, SY_TYPE_F32, 1, dims);
        sy_test_graph_node(&c.graph, unknown[i].domain, unknown[i].op, unknown[i].version, 1, &x, 1,
                           &y);
        CHECK_OK_ERROR(sy_test_graph_finish(&c.graph, &error), error);
        CHECK_OK_ERROR(sy_op_judge(&o.runner, &c.graph, &verdict, &error), error);
        CHECK(verdict.support == SY_SUPPORT_NO && verdict.reason == unknown[i].reason);
        CHECK(verdict.why[0] != '\0');
        sy_unit *unit = NULL;
        sy_unit_info info = {.header = SY_HEADER_INIT(sy_unit_info)};
        sy_load_request request = {.header = SY_HEADER_INIT(sy_load_request),
                                   .view = &c.graph.view,
                                   .segment = &c.graph.segment};
        CHECK(SY_STATUS_CLASS(o.plugin->load(o.runner.device, &request, &info, &unit)) ==
              SY_UNIMPLEMENTED);
        compare_deinit(&c);
        close_device(&o);
    }
}

static void cancel_and_deadline_stop_a_job(void) {
    opened o;
    compare c;
    sy_op_unit unit;
    sy_error error = {0};
    float out[4 * 8];
    open_device(&o, NULL);
    linear_graph(&c, SY_TYPE_F16);
    CHECK_OK_ERROR(sy_op_load(&o.runner, &c.graph, &unit, &error), error);
    sy_op_step step = {.inputs = c.inputs, .outputs = (void *[]){out}, .run = 7};
    CHECK_OK(o.plugin->cancel(unit.unit, 7));
    CHECK(SY_STATUS_CLASS(sy_op_submit(&unit, &step, &error)) == SY_CANCELLED);
    step.run = 8;
    CHECK_OK_ERROR(sy_op_submit(&unit, &step, &error), error);
    step.deadline_ns = 1;
    CHECK(SY_STATUS_CLASS(sy_op_submit(&unit, &step, &error)) == SY_DEADLINE_EXCEEDED);
    sy_op_unload(&unit);
    compare_deinit(&c);
    close_device(&o);
}

static void too_many_rows_are_refused(void) {
    opened o;
    compare c;
    sy_op_unit unit;
    sy_error error = {0};
    open_device(&o, NULL);
    linear_graph(&c, SY_TYPE_F16);
    CHECK_OK_ERROR(sy_op_load(&o.runner, &c.graph, &unit, &error), error);
    int64_t symbols[2] = {0, 5};
    sy_job job = {.header = SY_HEADER_INIT(sy_job),
                  .symbols = symbols,
                  .n_symbols = 2,
                  .n_inputs = 1,
                  .n_outputs = 1,
                  .inputs = unit.bindings,
                  .outputs = unit.bindings + 1,
                  .scratch = unit.bindings[2]};
    CHECK(SY_STATUS_CLASS(o.plugin->submit(unit.unit, &job)) == SY_OUT_OF_RANGE);
    symbols[1] = 0; /* an empty step is fine */
    CHECK_OK(o.plugin->submit(unit.unit, &job));
    symbols[1] = 4;
    sy_binding short_binding = unit.bindings[0];
    short_binding.offset_bytes += 4096;
    job.inputs = &short_binding;
    CHECK(SY_STATUS_CLASS(o.plugin->submit(unit.unit, &job)) == SY_INVALID_ARGUMENT);
    job.inputs = unit.bindings;
    job.n_outputs = 0;
    CHECK(SY_STATUS_CLASS(o.plugin->submit(unit.unit, &job)) == SY_INVALID_ARGUMENT);
    job.n_outputs = 1;
    sy_extension extension = {.id = 0x80000001u, .size = sizeof(extension), .must = 1};
    job.header.extensions = &extension;
    CHECK(o.plugin->submit(unit.unit, &job) ==
          SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_REQUIRED_EXTENSION));
    sy_op_unload(&unit);
    compare_deinit(&c);
    close_device(&o);
}

static const sy_test_case cases[] = {
    {"tells_about_itself", tells_about_itself},
    {"wrong_options_are_refused_in_words", wrong_options_are_refused_in_words},
    {"a_close_with_live_handles_is_refused", a_close_with_live_handles_is_refused},
    {"buffers_move_between_kinds", buffers_move_between_kinds},
    {"sealed_memory_can_be_read", sealed_memory_can_be_read},
    {"states_keep_their_rows", states_keep_their_rows},
    {"prices_and_links", prices_and_links},
    {"unknown_nodes_get_a_reason", unknown_nodes_get_a_reason},
    {"cancel_and_deadline_stop_a_job", cancel_and_deadline_stop_a_job},
    {"too_many_rows_are_refused", too_many_rows_are_refused},
};
SY_TEST_MAIN(cases)
