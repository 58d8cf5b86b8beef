/* SPDX-License-Identifier: Apache-2.0 */
/* The table, devices, buffers, growth of structs, link and judge of the reference delegate. */
#include "harness.h"
#include "reference/decoder_graph.h"
#include "reference/reference.h"

static sy_test_host host;
static sy_op_runner runner;

static void open_reference(void) {
    sy_error error = {0};
    CHECK_OK_ERROR(sy_test_host_init(&host, 1, &error), error);
    const sy_plugin *table = sy__reference_entry(SY_ABI_VERSION, &host.services);
    CHECK_OK_ERROR(sy_op_runner_open(&runner, table, &host, 0, NULL, &error), error);
}

static void close_reference(void) {
    CHECK_OK(sy_op_runner_close(&runner));
    CHECK_TEXT(host.n_live == 0, "%zu allocations are live", host.n_live);
    CHECK_TEXT(host.n_misuses == 0, "%s", host.misuse);
    sy_test_host_deinit(&host);
}

static void refuses_hosts_it_cannot_use(void) {
    sy_error error = {0};
    CHECK_OK_ERROR(sy_test_host_init(&host, 1, &error), error);
    CHECK(sy__reference_entry(SY_ABI_VERSION, NULL) == NULL);
    static const uint32_t bad[] = {1u << 16, SY_ABI_VERSION - 1, 0xffff0009u, 0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        sy_test_host_clear_report(&host);
        CHECK(sy__reference_entry(bad[i], &host.services) == NULL);
        CHECK(host.report_status == SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_VERSION));
        CHECK(host.report[0] != '\0');
    }
    sy_host partial = host.services;
    partial.parallel = NULL;
    CHECK(sy__reference_entry(SY_ABI_VERSION, &partial) == NULL);
    partial = host.services;
    partial.header.size = (uint32_t)offsetof(sy_host, fence_signal);
    CHECK(sy__reference_entry(SY_ABI_VERSION, &partial) == NULL);
    /* A newer minor and a larger host are fine. */
    partial = host.services;
    partial.header.size += 64;
    const sy_plugin *table = sy__reference_entry(SY_ABI_VERSION + 5, &partial);
    CHECK(table != NULL && table->header.abi == SY_ABI_VERSION);
    CHECK(table->header.size == sizeof(sy_plugin));
    sy_test_host_deinit(&host);
}

static void has_one_device(void) {
    open_reference();
    uint32_t n = 7;
    CHECK_OK(runner.plugin->enumerate(host.services.context, NULL, 0, &n));
    CHECK(n == 1);
    CHECK(strcmp(runner.info.id, "cpu0") == 0);
    CHECK(runner.info.memory_in == SY_MEMORY_BIT(SY_MEMORY_HOST));
    sy_device *device = NULL;
    sy_context *context = host.services.context;
    CHECK(runner.plugin->open(context, 1, NULL, &device) == SY_NOT_FOUND);
    CHECK(runner.plugin->open(context, 0, "speed=11\n", &device) == SY_INVALID_ARGUMENT);
    CHECK(device == NULL && host.report[0] != '\0');
    /* An older host with a shorter info struct: nothing is written past it. */
    sy_device_info info;
    memset(&info, 0x77, sizeof(info));
    info.header = (sy_header)SY_HEADER_INIT(sy_device_info);
    info.header.size = (uint32_t)offsetof(sy_device_info, soc);
    n = 1;
    CHECK_OK(runner.plugin->enumerate(context, &info, sizeof(info), &n));
    CHECK(strcmp(info.id, "cpu0") == 0 && info.soc[0] == 0x77 && info.reserved == 0x77777777u);
    close_reference();
}

static void serves_many_hosts(void) {
    enum { N = 5 };
    static sy_test_host hosts[N];
    sy_device *devices[N];
    sy_error error = {0};
    for (int i = 0; i < N; i++) {
        CHECK_OK_ERROR(sy_test_host_init(&hosts[i], 1, &error), error);
        const sy_plugin *table = sy__reference_entry(SY_ABI_VERSION, &hosts[i].services);
        CHECK(table != NULL);
        CHECK_OK(table->open(hosts[i].services.context, 0, NULL, &devices[i]));
    }
    for (int round = 0; round < 200; round++) { /* others come and go meanwhile */
        open_reference();
        close_reference();
    }
    const sy_plugin *table = sy__reference_entry(SY_ABI_VERSION, &hosts[0].services);
    for (int i = 0; i < N; i++) {
        sy_buffer *buffer = NULL;
        CHECK_OK(table->buffer_create(devices[i], SY_MEMORY_HOST, 1000, &buffer));
        CHECK(hosts[i].live_bytes >= 1000);
        CHECK_OK(table->buffer_destroy(buffer));
        CHECK_OK(table->close(devices[i]));
        CHECK(hosts[i].n_live == 0 && hosts[i].n_misuses == 0);
        sy_test_host_deinit(&hosts[i]);
    }
}

static void counts_live_handles(void) {
    open_reference();
    sy_buffer *buffer = NULL;
    sy_state *state = decoder_state(&runner, SY_TYPE_F16);
    CHECK_OK(runner.plugin->buffer_create(runner.device, SY_MEMORY_HOST, 10, &buffer));
    sy_health health = {.header = SY_HEADER_INIT(sy_health)};
    CHECK_OK(runner.plugin->health(runner.device, &health));
    CHECK(health.live_handles == 2 && health.live_jobs == 0 && health.state == SY_HEALTH_OK);
    CHECK(runner.plugin->close(runner.device) == SY_FAILED_PRECONDITION);
    CHECK_OK(runner.plugin->buffer_destroy(buffer));
    CHECK_OK(runner.plugin->state_destroy(state));
    CHECK_OK(runner.plugin->health(runner.device, &health));
    CHECK(health.live_handles == 0);
    close_reference();
}

static void buffers_check_their_ranges(void) {
    open_reference();
    const sy_plugin *table = runner.plugin;
    sy_buffer *buffer = NULL;
    void *mapped = NULL;
    CHECK(table->buffer_create(runner.device, SY_MEMORY_MEMFD, 10, &buffer) == SY_UNIMPLEMENTED);
    CHECK(table->buffer_create(runner.device, SY_MEMORY_HOST, UINT64_MAX, &buffer) ==
          SY_RESOURCE_EXHAUSTED);
    CHECK(buffer == NULL);
    CHECK_OK(table->buffer_create(runner.device, SY_MEMORY_HOST, 100, &buffer));
    CHECK_OK(table->buffer_map(buffer, 40, 60, SY_ACCESS_WRITE, &mapped));
    memset(mapped, 7, 60);
    CHECK_OK(table->buffer_unmap(buffer));
    CHECK(table->buffer_map(buffer, 40, 61, SY_ACCESS_READ, &mapped) == SY_OUT_OF_RANGE);
    CHECK(table->buffer_map(buffer, UINT64_MAX, 2, SY_ACCESS_READ, &mapped) == SY_OUT_OF_RANGE);
    CHECK(table->buffer_map(buffer, 0, 1, 0, &mapped) == SY_INVALID_ARGUMENT);
    sy_memory memory;
    CHECK_OK(table->buffer_export(buffer, SY_MEMORY_HOST, &memory));
    CHECK(memory.length_bytes == 100 && ((uint8_t *)memory.pointer)[40] == 7);
    CHECK(table->buffer_export(buffer, SY_MEMORY_DMABUF, &memory) == SY_UNIMPLEMENTED);

    static _Alignas(64) uint8_t bytes[256];
    sy_buffer *imported = NULL;
    memory = (sy_memory){.kind = SY_MEMORY_HOST, .fd = -1, .pointer = bytes + 8};
    memory.length_bytes = 128;
    CHECK(table->buffer_import(runner.device, &memory, &imported) == SY_INVALID_ARGUMENT);
    memory.pointer = bytes;
    memory.offset_bytes = 64;
    CHECK(table->buffer_import(runner.device, &memory, &imported) == SY_INVALID_ARGUMENT);
    memory.offset_bytes = 0;
    CHECK_OK(table->buffer_import(runner.device, &memory, &imported));
    CHECK_OK(table->buffer_map(imported, 64, 64, SY_ACCESS_READ, &mapped));
    CHECK(mapped == bytes + 64);
    CHECK_OK(table->buffer_destroy(imported));
    CHECK_OK(table->buffer_destroy(buffer));
    close_reference();
}

static void refused_memory_leaves_nothing_behind(void) {
    open_reference();
    sy_buffer *buffer = NULL;
    sy_device *device = NULL;
    sy_context *context = host.services.context;
    size_t n_live = host.n_live;
    for (uint64_t n_ok = 0; buffer == NULL; n_ok++) {
        sy_test_host_fail_alloc(&host, n_ok, 1);
        sy_status status =
            runner.plugin->buffer_create(runner.device, SY_MEMORY_HOST, 100, &buffer);
        CHECK(status == (buffer != NULL ? SY_OK : SY_RESOURCE_EXHAUSTED));
        CHECK(buffer != NULL || host.n_live == n_live);
        CHECK(n_ok < 10);
    }
    sy_test_host_fail_alloc(&host, 0, 1);
    CHECK(runner.plugin->open(context, 0, NULL, &device) == SY_RESOURCE_EXHAUSTED);
    CHECK_OK(runner.plugin->open(context, 0, NULL, &device));
    CHECK_OK(runner.plugin->close(device));
    CHECK_OK(runner.plugin->buffer_destroy(buffer));
    close_reference();
}

static void links_cost_a_copy(void) {
    open_reference();
    sy_cost cost = {.header = SY_HEADER_INIT(sy_cost)};
    CHECK_OK(runner.plugin->link(runner.device, SY_MEMORY_HOST, SY_MEMORY_HOST, 1 << 20, &cost));
    CHECK(cost.time_us == 0.0f && cost.confidence == 1.0f);
    CHECK_OK(runner.plugin->link(runner.device, SY_MEMORY_MEMFD, SY_MEMORY_HOST, 1 << 20, &cost));
    CHECK(cost.time_us > 10.0f && cost.confidence < 0.5f);
    CHECK(runner.plugin->link(runner.device, SY_MEMORY_OPAQUE, SY_MEMORY_HOST, 1, &cost) ==
          SY_UNIMPLEMENTED);
    close_reference();
}

static void judges_every_node(void) {
    open_reference();
    decoder_graph decoder;
    decoder_graph_init(&decoder, SY_TYPE_F16, false);
    enum { N = 32 };
    struct {
        sy_verdict verdict;
        uint8_t guard[40]; /* a host of a later minor */
    } verdicts[N];
    uint32_t n_nodes = decoder.graph.view.n_nodes;
    CHECK(n_nodes <= N);
    memset(verdicts, 0, sizeof(verdicts));
    for (uint32_t i = 0; i < n_nodes; i++) {
        verdicts[i].verdict.header = (sy_header)SY_HEADER_INIT(sy_verdict);
        verdicts[i].verdict.header.size = sizeof(verdicts[i]);
        memset(verdicts[i].guard, 0x5a, sizeof(verdicts[i].guard));
    }
    uint64_t n_allocs = host.n_allocs;
    CHECK_OK(runner.plugin->judge(runner.device, &decoder.graph.view, &verdicts[0].verdict,
                                  sizeof(verdicts[0])));
    CHECK_TEXT(host.n_allocs == n_allocs, "judge allocates");
    float slowest = 0.0f;
    for (uint32_t i = 0; i < n_nodes; i++) {
        const sy_verdict *v = &verdicts[i].verdict;
        CHECK_TEXT(v->support == SY_SUPPORT_NATIVE, "%s: %s", decoder.graph.nodes[i].op, v->why);
        CHECK(v->reason == SY_REASON_NONE && v->why[0] == '\0');
        CHECK(v->time_us >= 0.0f && v->confidence > 0.0f && v->confidence < 0.5f);
        CHECK(verdicts[i].guard[0] == 0x5a && v->header.size == sizeof(verdicts[i]));
        slowest = v->time_us > slowest ? v->time_us : slowest;
    }
    CHECK(slowest > 0.0f);
    /* The estimate follows the typical sizes. */
    float at_bound = verdicts[1].verdict.time_us;
    decoder.graph.typical[SY_SYMBOL_TOKENS] = 1;
    CHECK_OK(runner.plugin->judge(runner.device, &decoder.graph.view, &verdicts[0].verdict,
                                  sizeof(verdicts[0])));
    CHECK(verdicts[1].verdict.time_us < at_bound);
    decoder_graph_deinit(&decoder);
    close_reference();
}

static void refuses_unknown_extensions(void) {
    open_reference();
    decoder_graph decoder;
    decoder_graph_init(&decoder, SY_TYPE_F32, false);
    sy_extension extension = {.id = 0x80000001u, .size = sizeof(extension), .must = 1};
    sy_status must = SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_REQUIRED_EXTENSION);
    static sy_verdict verdicts[32];
    for (int i = 0; i < 32; i++) {
        verdicts[i].header = (sy_header)SY_HEADER_INIT(sy_verdict);
    }
    sy_graph_view view = decoder.graph.view;
    view.header.extensions = &extension;
    CHECK(runner.plugin->judge(runner.device, &view, verdicts, sizeof(verdicts[0])) == must);
    sy_load_request request = {.header = SY_HEADER_INIT(sy_load_request)};
    request.view = &view;
    request.segment = &decoder.graph.segment;
    sy_unit *unit = NULL;
    CHECK(runner.plugin->load(runner.device, &request, NULL, &unit) == must);
    sy_state_description description = {.header = SY_HEADER_INIT(sy_state_description)};
    description.header.extensions = &extension;
    sy_state *state = NULL;
    CHECK(runner.plugin->state_create(runner.device, &description, &state) == must);
    extension.must = 0; /* then it may be ignored */
    CHECK_OK(runner.plugin->judge(runner.device, &view, verdicts, sizeof(verdicts[0])));
    CHECK_OK(runner.plugin->load(runner.device, &request, NULL, &unit));
    CHECK_OK(runner.plugin->unload(unit));
    decoder_graph_deinit(&decoder);
    close_reference();
}

static const sy_test_case cases[] = {
    {"refuses_hosts_it_cannot_use", refuses_hosts_it_cannot_use},
    {"has_one_device", has_one_device},
    {"serves_many_hosts", serves_many_hosts},
    {"counts_live_handles", counts_live_handles},
    {"buffers_check_their_ranges", buffers_check_their_ranges},
    {"refused_memory_leaves_nothing_behind", refused_memory_leaves_nothing_behind},
    {"links_cost_a_copy", links_cost_a_copy},
    {"judges_every_node", judges_every_node},
    {"refuses_unknown_extensions", refuses_unknown_extensions},
};
SY_TEST_MAIN(cases)
