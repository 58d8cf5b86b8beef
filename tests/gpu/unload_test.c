/* SPDX-License-Identifier: Apache-2.0 */
/* Both GPU delegates in one process, loaded, used and unloaded in any order: the drivers behind
 * them have threads, static objects, and a compiler that may be the same library. */
#include "harness.h"
#include "tools/op_runner.h"

#include <dlfcn.h>
#include <string.h>

static struct {
    const char *name;
    sy_test_host host;
    sy_op_runner runner;
    void *library;
} plugins[2] = {{.name = "gpu-opencl"}, {.name = "gpu-vulkan"}};

static void load(int i) {
    char path[512];
    const char *folder = getenv("SY_BUILD_DIR");
    sy_plugin_entry_function entry = NULL;
    sy_error error = {0};
    uint32_t n = 0;
    snprintf(path, sizeof(path), "%s/plugins/%s/%s.so", folder != NULL ? folder : ".",
             plugins[i].name, plugins[i].name);
    CHECK_OK_ERROR(sy_test_host_init(&plugins[i].host, 1, &error), error);
    CHECK_OK_ERROR(sy_op_entry_load(path, &plugins[i].library, &entry, &error), error);
    plugins[i].runner.plugin = entry(SY_ABI_VERSION, &plugins[i].host.services);
    CHECK(plugins[i].runner.plugin != NULL);
    CHECK_OK(plugins[i].runner.plugin->enumerate(plugins[i].host.services.context, NULL, 0, &n));
    if (n == 0) {
        SKIP("%s finds no device", plugins[i].name);
    }
}

/* Judging measures the device: kernels are compiled and run. */
static void use(int i) {
    sy_op_runner *runner = &plugins[i].runner;
    sy_error error = {0};
    sy_graph_view view = {.header = SY_HEADER_INIT(sy_graph_view)};
    sy_verdict verdict = {.header = SY_HEADER_INIT(sy_verdict)};
    CHECK_OK_ERROR(
        sy_op_runner_open(runner, runner->plugin, &plugins[i].host, 0, "software=on", &error),
        error);
    CHECK_OK(runner->plugin->judge(runner->device, &view, &verdict, sizeof(verdict)));
}

static void unload(int i) {
    CHECK(plugins[i].host.n_live == 0 && plugins[i].host.n_misuses == 0);
    sy_test_host_deinit(&plugins[i].host);
    CHECK(dlclose(plugins[i].library) == 0);
}

/* l load, o open and use, c close, u unload; 0 OpenCL, 1 Vulkan. */
static void run(const char *order) {
    for (const char *at = order; *at != '\0'; at += 2) {
        int i = at[1] - '0';
        switch (at[0]) {
        case 'l':
            load(i);
            break;
        case 'o':
            use(i);
            break;
        case 'c':
            CHECK_OK(sy_op_runner_close(&plugins[i].runner));
            break;
        default:
            unload(i);
        }
    }
}

static void opencl_goes_before_vulkan_comes(void) {
    run("l0o0c0u0l1o1c1u1");
}
static void vulkan_goes_before_opencl_comes(void) {
    run("l1o1c1u1l0o0c0u0");
}
static void each_comes_again(void) {
    run("l0o0c0u0l1o1c1u1l0o0c0u0l1o1c1u1");
}
static void first_come_first_gone(void) {
    run("l0l1o0o1c0c1u0u1");
}
static void first_come_last_gone(void) {
    run("l0l1o0o1c1c0u1u0");
}
static void opencl_comes_and_goes_meanwhile(void) {
    run("l1o1l0o0c0u0c1u1");
}
static void vulkan_comes_and_goes_meanwhile(void) {
    run("l0o0l1o1c1u1c0u0");
}
static void neither_is_unloaded(void) {
    run("l0o0c0l1o1c1");
}

/* Who only looks for devices leaves nothing of the drivers behind. */
static void what_was_looked_for_goes(void) {
    for (int i = 0; i < 2; i++) {
        load(1);
        void *loader = dlopen("libvulkan.so.1", RTLD_LAZY | RTLD_NOLOAD);
        CHECK(loader != NULL && dlclose(loader) == 0);
        unload(1);
        CHECK(dlopen("libvulkan.so.1", RTLD_LAZY | RTLD_NOLOAD) == NULL);
    }
}

/* A device does not go while something of it is held, and goes then. */
static void what_is_held_keeps_its_device(void) {
    for (int i = 0; i < 2; i++) {
        const sy_state_description description = {.header = SY_HEADER_INIT(sy_state_description),
                                                  .type = SY_TYPE_F16,
                                                  .width = 32,
                                                  .max_tokens = 100};
        sy_health health = {.header = SY_HEADER_INIT(sy_health)};
        sy_state *state = NULL;
        sy_buffer *buffer = NULL;
        load(i);
        use(i);
        const sy_plugin *plugin = plugins[i].runner.plugin;
        sy_device *device = plugins[i].runner.device;
        CHECK_OK(plugin->state_create(device, &description, &state));
        CHECK_OK(plugin->buffer_create(device, SY_MEMORY_OPAQUE, 1000, &buffer));
        CHECK_OK(plugin->health(device, &health));
        CHECK(health.live_handles == 2);
        CHECK(plugin->close(device) == SY_FAILED_PRECONDITION);
        CHECK_OK(plugin->buffer_destroy(buffer));
        CHECK(plugin->close(device) == SY_FAILED_PRECONDITION);
        CHECK_OK(plugin->state_destroy(state));
        CHECK_OK(sy_op_runner_close(&plugins[i].runner));
        unload(i);
    }
}

static const sy_test_case cases[] = {
    {"opencl_goes_before_vulkan_comes", opencl_goes_before_vulkan_comes},
    {"vulkan_goes_before_opencl_comes", vulkan_goes_before_opencl_comes},
    {"each_comes_again", each_comes_again},
    {"first_come_first_gone", first_come_first_gone},
    {"first_come_last_gone", first_come_last_gone},
    {"opencl_comes_and_goes_meanwhile", opencl_comes_and_goes_meanwhile},
    {"vulkan_comes_and_goes_meanwhile", vulkan_comes_and_goes_meanwhile},
    {"neither_is_unloaded", neither_is_unloaded},
    {"what_was_looked_for_goes", what_was_looked_for_goes},
    {"what_is_held_keeps_its_device", what_is_held_keeps_its_device},
};
SY_TEST_MAIN(cases)
