/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is Vulkan's own, with a fake libvulkan.so.1 (fake_vulkan.h) in front of the real one:
 * devices that get lost, memory that runs out, twins, and no device at all.
 */
#include "gpu/fake_vulkan_set.h"
#include "tools/test_host.h"

#include "driver.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static sy_test_host host;

static void open_host(const char *device) {
    sy_error error;
    setenv("FAKE_VULKAN", device, 1);
    CHECK_OK(sy_test_host_init(&host, 1, &error));
    kit_host_set(&host.services);
}

static void close_host(void) {
    CHECK_TEXT(host.n_misuses == 0, "%s", host.misuse);
    CHECK_TEXT(host.n_live == 0, "%zu allocations left", host.n_live);
    sy_test_host_deinit(&host);
}

static uint32_t count_devices(void) {
    uint32_t n = 0;
    CHECK_OK(gpu_driver_enumerate(NULL, &n));
    return n;
}

static gpu_driver *open_device(void) {
    gpu_driver *driver = NULL;
    if (count_devices() == 0) {
        SKIP("%s", host.report);
    }
    CHECK_OK(gpu_driver_open(0, &(gpu_open_options){0}, &driver));
    return driver;
}

static void check_is_lost(sy_status status) {
    CHECK_TEXT(status == SY_STATUS(SY_UNAVAILABLE, SY_DETAIL_DEVICE_LOST), "%x: %s", status,
               host.report);
}

/* ---- a small job ---- */
typedef struct small_job {
    gpu_driver *driver;
    gpu_memory *memory, *parameters;
    gpu_pipeline *pipeline;
    gpu_recording *recording;
    uint64_t ticket;
} small_job;

static const uint32_t one_group[1][3] = {{1, 1, 1}};

/* All steps of it; stops at the first that fails. */
static sy_status run_small_job(gpu_driver *driver, small_job *job) {
    uint8_t bytes[512] = {0};
    uint32_t group = 16;
    *job = (small_job){.driver = driver};
    sy_status status = gpu_memory_create(driver, sizeof(bytes), GPU_MEMORY_DEVICE, &job->memory);
    if (status == SY_OK) {
        status = gpu_memory_write(job->memory, 0, bytes, sizeof(bytes));
    }
    if (status == SY_OK) {
        status = gpu_memory_create(driver, 64, GPU_MEMORY_SHARED, &job->parameters);
    }
    if (status == SY_OK) {
        status = gpu_pipeline_create(driver, GPU_KERNEL_COPY_WORDS, &group, 1, &job->pipeline);
    }
    if (status == SY_OK) {
        gpu_dispatch dispatch = {.pipeline = job->pipeline,
                                 .bindings = {{job->memory, 0, 64}, {job->memory, 256, 64}},
                                 .n_bindings = 2,
                                 .first_word = 1};
        memset(gpu_memory_pointer(job->parameters), 0, 64);
        status = gpu_recording_create(driver, &dispatch, 1, job->parameters, &job->recording);
    }
    for (uint32_t i = 0; status == SY_OK && i < 3; i++) {
        status = gpu_recording_run(job->recording, one_group, &job->ticket);
        status = status == SY_OK ? gpu_driver_wait(driver, job->ticket, 0) : status;
    }
    return status == SY_OK ? gpu_memory_read(job->memory, 0, bytes, sizeof(bytes)) : status;
}

static void drop_small_job(small_job *job) {
    gpu_recording_destroy(job->recording);
    gpu_pipeline_destroy(job->pipeline);
    gpu_memory_destroy(job->parameters);
    gpu_memory_destroy(job->memory);
}

/* Every call but the destroying ones says so. */
static void check_all_lost(gpu_driver *driver, small_job *job) {
    gpu_memory *memory = NULL;
    gpu_pipeline *pipeline = NULL;
    gpu_recording *recording = NULL;
    uint32_t group = 4;
    uint8_t byte = 0;
    uint64_t end = 0;
    CHECK(gpu_driver_is_lost(driver));
    check_is_lost(gpu_memory_create(driver, 16, GPU_MEMORY_DEVICE, &memory));
    check_is_lost(gpu_pipeline_create(driver, GPU_KERNEL_COPY_WORDS, &group, 1, &pipeline));
    check_is_lost(gpu_driver_code_write(driver, NULL, 0, 0, &end));
    check_is_lost(gpu_driver_code_read(driver, &byte, 1));
    check_is_lost(gpu_memory_copy(driver, NULL, 0));
    check_is_lost(gpu_driver_wait(driver, 1, 0));
    CHECK(gpu_driver_free_bytes(driver) == 0);
    if (job->memory != NULL) {
        check_is_lost(gpu_memory_read(job->memory, 0, &byte, 1));
        check_is_lost(gpu_memory_write(job->memory, 0, &byte, 1));
    }
    if (job->recording != NULL) {
        check_is_lost(gpu_recording_run(job->recording, one_group, &end));
    }
    CHECK(memory == NULL && pipeline == NULL && recording == NULL);
}

/* Lost at each of the calls that can tell; another opening of the device goes on. */
static void lose(const char *kind, fake_fault fault) {
    small_job job;
    int n_lost = 0;
    open_host(kind);
    for (int n_good = 0; n_good < 40; n_good++) {
        gpu_driver *driver = open_device();
        fake_vulkan_set(fault, n_good, 1);
        sy_status status = run_small_job(driver, &job);
        fake_vulkan_set(fault, -1, 0);
        if (status != SY_OK) {
            check_is_lost(status);
            check_all_lost(driver, &job);
            n_lost++;
        }
        gpu_driver *other = open_device();
        CHECK(!gpu_driver_is_lost(other));
        drop_small_job(&job);
        gpu_driver_close(driver);
        CHECK_OK(run_small_job(other, &job));
        drop_small_job(&job);
        gpu_driver_close(other);
        if (status == SY_OK) {
            break;
        }
    }
    CHECK_TEXT(n_lost >= 4, "lost %d times only", n_lost); /* at least once for each run */
    close_host();
}

static void a_lost_device_is_a_status(void) {
    lose("", FAKE_FAULT_LOST_AT_SUBMIT);
}

static void a_device_lost_while_waiting_is_a_status(void) {
    lose("", FAKE_FAULT_LOST_AT_WAIT);
}

static void a_card_without_timelines_is_lost(void) {
    lose("discrete oldest", FAKE_FAULT_LOST_AT_WAIT);
}

/* ---- memory ---- */
static void exhaust(const char *kind, fake_fault fault, int n_least) {
    small_job job;
    int n_refused = 0;
    open_host(kind);
    gpu_driver *driver = open_device();
    for (int n_good = 0;; n_good++) {
        CHECK(n_good < 40);
        fake_vulkan_set(fault, n_good, 0);
        sy_status status = run_small_job(driver, &job);
        fake_vulkan_set(fault, -1, 0);
        drop_small_job(&job);
        if (status == SY_OK) {
            break;
        }
        n_refused++;
        CHECK_TEXT(SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED, "%x: %s", status, host.report);
        CHECK(!gpu_driver_is_lost(driver));
    }
    CHECK(n_refused >= n_least);
    CHECK_OK(run_small_job(driver, &job));
    drop_small_job(&job);
    gpu_driver_close(driver);
    close_host();
}

static void device_memory_that_runs_out_is_a_status(void) {
    exhaust("", FAKE_FAULT_NO_DEVICE_MEMORY, 3);
}

static void memory_of_a_card_that_runs_out_is_a_status(void) {
    exhaust("discrete", FAKE_FAULT_NO_DEVICE_MEMORY, 3); /* the staging is kept */
}

static void a_pipeline_that_fails_is_a_status(void) {
    exhaust("", FAKE_FAULT_NO_PIPELINE, 1);
}

/* What the host sees of a card lies in its window while there is room, then in host memory. */
static void a_full_window_is_no_refusal(void) {
    gpu_memory *memories[8] = {NULL};
    open_host("discrete");
    gpu_driver *driver = open_device();
    CHECK(!gpu_driver_limits(driver)->is_unified);
    for (uint32_t i = 0; i < 8; i++) {
        CHECK_OK(gpu_memory_create(driver, 64u << 10, GPU_MEMORY_SHARED, &memories[i]));
        CHECK(gpu_memory_pointer(memories[i]) != NULL);
    }
    for (uint32_t i = 0; i < 8; i++) {
        gpu_memory_destroy(memories[i]);
    }
    gpu_memory *memory = NULL;
    CHECK_OK(gpu_memory_create(driver, 1000, GPU_MEMORY_DEVICE, &memory));
    CHECK(gpu_memory_pointer(memory) == NULL);
    gpu_memory_destroy(memory);
    gpu_driver_close(driver);
    close_host();
}

/* ---- the layer ---- */
/* Reads past the end of a memory, where the device bears it: ctest looks for the layer's words,
 * since a layer that hears nothing would let all else pass. */
static void a_mistake_is_heard(void) {
    small_job job = {0};
    uint64_t ticket = 0;
    if (getenv("GPU_TEST_MISTAKE") == NULL) {
        SKIP("only where the layer listens for it");
    }
    open_host("");
    gpu_driver *driver = open_device();
    if (!gpu_driver_limits(driver)->is_software) {
        SKIP("a card might not bear it");
    }
    CHECK_OK(run_small_job(driver, &job));
    uint32_t *words = gpu_memory_pointer(job.parameters);
    words[1] = (uint32_t)gpu_memory_bytes(job.memory) / 4 + 1;
    const uint32_t groups[1][3] = {{words[1] / 16 + 1, 1, 1}};
    CHECK_OK(gpu_recording_run(job.recording, groups, &ticket));
    CHECK_OK(gpu_driver_wait(driver, ticket, 0));
    drop_small_job(&job);
    gpu_driver_close(driver);
    close_host();
}

/* ---- which devices there are ---- */
static void twins_have_two_names(void) {
    gpu_limits limits[4];
    uint32_t n = 4;
    open_host("");
    if (count_devices() == 0) {
        SKIP("%s", host.report);
    }
    if (count_devices() > 1) {
        SKIP("more than one device here");
    }
    setenv("FAKE_VULKAN", "twins", 1);
    CHECK_OK(gpu_driver_enumerate(limits, &n));
    CHECK(n == 2 && strcmp(limits[0].id, limits[1].id) != 0);
    gpu_driver *first = NULL, *second = NULL;
    CHECK_OK(gpu_driver_open(0, &(gpu_open_options){0}, &first));
    CHECK_OK(gpu_driver_open(1, &(gpu_open_options){0}, &second));
    CHECK(strcmp(gpu_driver_limits(first)->id, limits[0].id) == 0);
    CHECK(strcmp(gpu_driver_limits(second)->id, limits[1].id) == 0);
    gpu_driver_close(first);
    gpu_driver_close(second);
    close_host();
}

static gpu_matrices matrices_of(const char *kind) {
    gpu_limits limits[1];
    uint32_t n = 1;
    setenv("FAKE_VULKAN", kind, 1);
    CHECK_OK(gpu_driver_enumerate(limits, &n));
    if (n == 0) {
        SKIP("%s", host.report);
    }
    return limits[0].matrices;
}

/* Only what adds up in f32 is of use, and of that the largest. */
static void matrices_are_found(void) {
    open_host("");
    gpu_matrices found = matrices_of("matrix");
    CHECK(found.m == 16 && found.n == 16 && found.k == 16);
    CHECK(matrices_of("matrix half").m == 0);
    CHECK(matrices_of("matrix narrow").m == 0);
    CHECK(matrices_of("oldest").m == 0);
    CHECK(matrices_of("oldest matrix").m == 0); /* needs more of Vulkan than 1.1 */
    close_host();
}

/* Nothing is assumed: what the smallest device says is what the limits are. */
static void limits_are_asked_for(void) {
    gpu_limits limits;
    uint32_t n = 1;
    open_host("small subgroup4");
    CHECK_OK(gpu_driver_enumerate(&limits, &n));
    if (n == 0) {
        SKIP("%s", host.report);
    }
    CHECK(limits.group_most == 128 && limits.shared_most_bytes == 16384 && !limits.has_float16);
    CHECK(limits.binding_most_bytes == 1u << 27 && limits.binding_alignment_bytes == 256);
    CHECK(limits.subgroup_size == 4 && limits.groups_most[0] == 65535);
    setenv("FAKE_VULKAN", "subgroup0", 1);
    CHECK_OK(gpu_driver_enumerate(&limits, &n));
    CHECK(limits.subgroup_size == 0);
    setenv("FAKE_VULKAN", "few", 1);
    CHECK(count_devices() == 0 && strstr(host.report, "is left out") != NULL);
    close_host();
}

/* ---- dma-bufs ---- */
#define SHARED_WORDS 2048u

static uint32_t count_files(void) {
    uint32_t n = 0;
    for (int fd = 0; fd < 1024; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

/* Copies the first half of a memory to the second, on the device. */
static void copy_half(gpu_driver *driver, gpu_memory *memory) {
    uint32_t group = 64, n_words = SHARED_WORDS / 2;
    const uint32_t groups[1][3] = {{SHARED_WORDS / 2 / 64, 1, 1}};
    gpu_memory *parameters = NULL;
    gpu_pipeline *pipeline = NULL;
    gpu_recording *recording = NULL;
    uint64_t ticket = 0;
    CHECK_OK(gpu_memory_create(driver, 64, GPU_MEMORY_SHARED, &parameters));
    CHECK_OK(gpu_pipeline_create(driver, GPU_KERNEL_COPY_WORDS, &group, 1, &pipeline));
    memset(gpu_memory_pointer(parameters), 0, 64);
    memcpy((uint32_t *)gpu_memory_pointer(parameters) + 1, &n_words, sizeof(n_words));
    gpu_dispatch dispatch = {
        .pipeline = pipeline,
        .bindings = {{memory, 0, SHARED_WORDS * 2}, {memory, SHARED_WORDS * 2, SHARED_WORDS * 2}},
        .n_bindings = 2,
        .first_word = 1};
    CHECK_OK(gpu_recording_create(driver, &dispatch, 1, parameters, &recording));
    CHECK_OK(gpu_recording_run(recording, groups, &ticket));
    CHECK_OK(gpu_driver_wait(driver, ticket, 0));
    gpu_recording_destroy(recording);
    gpu_pipeline_destroy(pipeline);
    gpu_memory_destroy(parameters);
}

/* The device reads what another writes into the memory behind the file, and the reverse; the
 * file stays the caller's. */
static void a_dmabuf_is_worked_on_where_it_is(void) {
    open_host("dmabuf");
    gpu_driver *driver = open_device();
    gpu_memory *memory = NULL;
    size_t n_bytes = SHARED_WORDS * sizeof(uint32_t);
    int fd = memfd_create("dmabuf", MFD_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)n_bytes) == 0);
    uint32_t *words = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(words != MAP_FAILED && gpu_driver_limits(driver)->imports_dmabuf);
    uint32_t n_files = count_files();
    CHECK(gpu_memory_import_dmabuf(driver, 1023, n_bytes, &memory) != SY_OK && memory == NULL);
    CHECK(gpu_memory_import_dmabuf(driver, fd, 2 * n_bytes, &memory) != SY_OK && memory == NULL);
    CHECK(count_files() == n_files);
    CHECK_OK(gpu_memory_import_dmabuf(driver, fd, n_bytes, &memory));
    for (uint32_t round = 1; round < 4; round++) {
        for (uint32_t i = 0; i < SHARED_WORDS / 2; i++) {
            words[i] = round * 10000 + i; /* no call tells the device */
        }
        copy_half(driver, memory);
        CHECK(memcmp(words, words + SHARED_WORDS / 2, n_bytes / 2) == 0);
    }
    gpu_memory_destroy(memory);
    CHECK(count_files() == n_files && words[SHARED_WORDS / 2] == 30000);
    gpu_driver_close(driver);
    setenv("FAKE_VULKAN", "oldest", 1);
    driver = open_device();
    CHECK(gpu_memory_import_dmabuf(driver, fd, n_bytes, &memory) == SY_UNIMPLEMENTED);
    gpu_driver_close(driver);
    munmap(words, n_bytes);
    close(fd);
    close_host();
}

static void no_device_is_no_failure(void) {
    gpu_driver *driver = NULL;
    open_host("none");
    CHECK(count_devices() == 0);
    CHECK(host.n_reports > 0 && host.report_status == SY_OK);
    sy_status status = gpu_driver_open(0, &(gpu_open_options){0}, &driver);
    CHECK(SY_STATUS_CLASS(status) == SY_NOT_FOUND && driver == NULL);
    close_host();
}

static const sy_test_case cases[] = {
    {"a_lost_device_is_a_status", a_lost_device_is_a_status},
    {"a_device_lost_while_waiting_is_a_status", a_device_lost_while_waiting_is_a_status},
    {"a_card_without_timelines_is_lost", a_card_without_timelines_is_lost},
    {"device_memory_that_runs_out_is_a_status", device_memory_that_runs_out_is_a_status},
    {"memory_of_a_card_that_runs_out_is_a_status", memory_of_a_card_that_runs_out_is_a_status},
    {"a_pipeline_that_fails_is_a_status", a_pipeline_that_fails_is_a_status},
    {"a_full_window_is_no_refusal", a_full_window_is_no_refusal},
    {"a_mistake_is_heard", a_mistake_is_heard},
    {"twins_have_two_names", twins_have_two_names},
    {"matrices_are_found", matrices_are_found},
    {"limits_are_asked_for", limits_are_asked_for},
    {"a_dmabuf_is_worked_on_where_it_is", a_dmabuf_is_worked_on_where_it_is},
    {"no_device_is_no_failure", no_device_is_no_failure},
};

SY_TEST_MAIN(cases)
