/* SPDX-License-Identifier: Apache-2.0 */
/* What is OpenCL's own in the driver of gpu-opencl: several platforms, programs and their binaries,
 * memory with a shadow, statuses of its codes. */
#include "harness.h"

#include "kernel_sources.h"
#include "ocl.h"

#include <pthread.h>
#include <time.h>

#define WORDS 4096u
#define GROUP 64u

/* ---- a host ---- */
static char newest_report[512];
static uint8_t *blob;
static size_t blob_bytes;

static void report(sy_context *context, sy_severity severity, sy_status status, uint32_t i_node,
                   const char *text) {
    (void)context, (void)severity, (void)status, (void)i_node;
    snprintf(newest_report, sizeof(newest_report), "%s", text);
}

static void *take(sy_context *context, size_t n_bytes, size_t alignment) {
    void *memory = NULL;
    (void)context;
    return posix_memalign(&memory, alignment, n_bytes) == 0 ? memory : NULL;
}

static void give(sy_context *context, void *pointer, size_t n_bytes) {
    (void)context, (void)n_bytes;
    free(pointer);
}

static sy_status write_blob(sy_context *context, uint64_t offset_bytes, const void *bytes,
                            size_t n_bytes) {
    (void)context;
    blob_bytes = offset_bytes + n_bytes;
    blob = realloc(blob, blob_bytes);
    CHECK(blob != NULL);
    memcpy(blob + offset_bytes, bytes, n_bytes);
    return SY_OK;
}

static const sy_host host = {.header = SY_HEADER_INIT(sy_host),
                             .report = report,
                             .alloc = take,
                             .release = give,
                             .blob_write = write_blob};

static gpu_driver *open_device(uint32_t i_device, const gpu_open_options *options) {
    gpu_driver *driver = NULL;
    sy_status status = gpu_driver_open(i_device, options, &driver);
    CHECK_TEXT(status == SY_OK, "status %u: %s", status, newest_report);
    return driver;
}

static uint32_t count_devices(void) {
    uint32_t n = 0;
    kit_host_set(&host);
    CHECK_OK(gpu_driver_enumerate(NULL, &n));
    if (n == 0) {
        SKIP("%s", newest_report);
    }
    return n;
}

static gpu_driver *open_first(void) {
    count_devices();
    return open_device(0, NULL);
}

/* As on a device whose memory the host does not see. */
static gpu_driver *open_apart(void) {
    gpu_driver *driver = open_first();
    driver->device.has_svm = false;
    driver->device.limits.is_unified = false;
    return driver;
}

/* ---- a recording of copies ---- */
typedef struct copier {
    gpu_memory *parameters, *from, *to;
    gpu_pipeline *pipeline;
    gpu_recording *recording;
} copier;

static void make_copier(gpu_driver *driver, gpu_memory_use use, copier *out) {
    uint32_t constants[] = {GROUP}, words[WORDS], parameters[16] = {0};
    uint64_t half = WORDS * 4 / 2;
    for (uint32_t i = 0; i < WORDS; i++) {
        words[i] = i * 7u + 1u;
    }
    CHECK_OK(gpu_memory_create(driver, sizeof(parameters), GPU_MEMORY_SHARED, &out->parameters));
    CHECK_OK(gpu_memory_create(driver, WORDS * 4, use, &out->from));
    CHECK_OK(gpu_memory_create(driver, WORDS * 4, use, &out->to));
    parameters[8] = WORDS;
    parameters[10] = WORDS / 2 - 5; /* behind it, as behind the first: no rest */
    memcpy(gpu_memory_pointer(out->parameters), parameters, sizeof(parameters));
    CHECK_OK(gpu_memory_write(out->from, 0, words, sizeof(words)));
    CHECK_OK(gpu_pipeline_create(driver, GPU_KERNEL_COPY_WORDS, constants, 1, &out->pipeline));
    gpu_dispatch dispatches[2] = {
        {out->pipeline, {{out->from, 0, WORDS * 4}, {out->to, 0, WORDS * 4}}, 2, 8, false},
        {out->pipeline, {{out->from, half, half}, {out->to, 0, half}}, 2, 10, true}};
    CHECK_OK(gpu_recording_create(driver, dispatches, 2, out->parameters, &out->recording));
}

static void free_copier(copier *made) {
    gpu_recording_destroy(made->recording);
    gpu_pipeline_destroy(made->pipeline);
    gpu_memory_destroy(made->to);
    gpu_memory_destroy(made->from);
    gpu_memory_destroy(made->parameters);
}

static const uint32_t all_groups[2][3] = {{WORDS / GROUP, 1, 1}, {WORDS / GROUP / 2, 1, 1}};
static const uint32_t first_group[2][3] = {{WORDS / GROUP, 1, 1}, {1, 0, 1}};

static void run(gpu_driver *driver, copier *made, const uint32_t (*groups)[3]) {
    uint64_t ticket = 0;
    CHECK_OK(gpu_recording_run(made->recording, groups, &ticket));
    CHECK_OK(gpu_driver_wait(driver, ticket, 0));
}

/* The second dispatch wrote words of the upper half over the lower, but for the last five. */
static void check_copied(copier *made, bool both) {
    uint32_t words[WORDS];
    CHECK_OK(gpu_memory_read(made->to, 0, words, sizeof(words)));
    for (uint32_t i = 0; i < WORDS; i++) {
        uint32_t from = both && i < WORDS / 2 - 5 ? i + WORDS / 2 : i;
        CHECK_TEXT(words[i] == from * 7u + 1u, "word %u is %u", i, words[i]);
    }
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- cases ---- */
static void every_device_runs(void) {
    uint32_t n = count_devices();
    gpu_limits limits[16];
    uint32_t n_filled = 16;
    CHECK_OK(gpu_driver_enumerate(limits, &n_filled));
    CHECK(n_filled == n);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < i; k++) {
            CHECK(strcmp(limits[i].id, limits[k].id) != 0);
        }
        gpu_driver *driver = open_device(i, NULL);
        copier made;
        make_copier(driver, GPU_MEMORY_DEVICE, &made);
        run(driver, &made, first_group);
        check_copied(&made, false);
        run(driver, &made, all_groups);
        check_copied(&made, true);
        free_copier(&made);
        CHECK(gpu_driver_free_bytes(driver) == gpu_driver_limits(driver)->memory_total_bytes);
        gpu_driver_close(driver);
    }
}

/* The loader looks for drivers in a folder that this case makes an empty one. */
static void no_driver_is_no_failure(void) {
    gpu_driver *driver = NULL;
    uint32_t n = 7;
    setenv("OCL_ICD_VENDORS", "/nonexistent", 1);
    setenv("OPENCL_VENDOR_PATH", "/nonexistent", 1); /* Khronos's loader */
    kit_host_set(&host);
    CHECK_OK(gpu_driver_enumerate(NULL, &n));
    CHECK(n == 0 && newest_report[0] != '\0');
    sy_status status = gpu_driver_open(0, NULL, &driver);
    CHECK(status == SY_NOT_FOUND || status == SY_UNAVAILABLE);
    CHECK(driver == NULL);
}

static void limits_are_asked(void) {
    gpu_driver *driver = open_first();
    const gpu_limits *limits = gpu_driver_limits(driver);
    uint32_t align = limits->binding_alignment_bytes;
    CHECK(align >= 4 && (align & (align - 1)) == 0);
    CHECK(limits->binding_most_bytes <= 0x7ffffffcu && limits->binding_most_bytes % 4 == 0);
    CHECK(limits->group_most >= 1 && limits->shared_most_bytes >= 1024);
    CHECK(limits->id[0] != '\0' && limits->driver[0] != '\0');
    CHECK(strpbrk(limits->id, ",:*?") == NULL);
    gpu_driver_close(driver);
    gpu_open_options small = {
        .binding_most_bytes = 4096, .memory_limit_bytes = 1 << 20, .subgroups = GPU_NEVER};
    driver = open_device(0, &small);
    CHECK(gpu_driver_limits(driver)->binding_most_bytes == 4096);
    CHECK(gpu_driver_limits(driver)->subgroup_size == 0);
    CHECK(gpu_driver_free_bytes(driver) == 1 << 20);
    gpu_memory *memory = NULL;
    CHECK(gpu_memory_create(driver, (1 << 20) + 1, GPU_MEMORY_DEVICE, &memory) ==
          SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET));
    CHECK_TEXT(strstr(newest_report, " 128 are missing") != NULL, "%s", newest_report);
    CHECK(memory == NULL && gpu_driver_free_bytes(driver) == 1 << 20);
    CHECK(gpu_memory_create(driver, UINT64_MAX, GPU_MEMORY_DEVICE, &memory) ==
          SY_RESOURCE_EXHAUSTED);
    gpu_driver_close(driver);
}

static void memory_without_a_shared_view(void) {
    gpu_driver *driver = open_apart();
    copier made;
    for (int use = GPU_MEMORY_DEVICE; use <= GPU_MEMORY_SHARED; use++) {
        make_copier(driver, (gpu_memory_use)use, &made);
        CHECK((gpu_memory_pointer(made.to) == NULL) == (use == GPU_MEMORY_DEVICE));
        uint64_t ticket = 0;
        CHECK_OK(gpu_recording_run(made.recording, first_group, &ticket));
        CHECK_OK(gpu_recording_run(made.recording, all_groups, &ticket));
        CHECK_OK(gpu_driver_wait(driver, ticket, 0));
        check_copied(&made, true);
        gpu_copy copies[] = {{made.parameters, made.to, 32, 0, 8}, {made.from, made.to, 4, 8, 4}};
        CHECK_OK(gpu_memory_copy(driver, copies, 2));
        uint32_t words[4];
        CHECK_OK(gpu_memory_read(made.to, 0, words, sizeof(words)));
        CHECK(words[0] == WORDS && words[1] == 0 && words[2] == 8);
        free_copier(&made);
    }
    gpu_driver_close(driver);
}

static void imported_memory_is_the_same(void) {
    gpu_driver *driver = open_first();
    const gpu_limits *limits = gpu_driver_limits(driver);
    if (!limits->imports_host) {
        gpu_driver_close(driver);
        SKIP("%s imports nothing", limits->id);
    }
    size_t align = (size_t)limits->import_alignment_bytes;
    size_t n_bytes = (WORDS * 4 + align - 1) / align * align;
    uint32_t *words = NULL;
    gpu_memory *memory = NULL;
    void *block = NULL;
    CHECK(posix_memalign(&block, align, n_bytes) == 0);
    words = block;
    memset(words, 0, n_bytes);
    CHECK(gpu_memory_import(driver, words + 1, n_bytes, &memory) == SY_INVALID_ARGUMENT);
    CHECK_OK(gpu_memory_import(driver, words, n_bytes, &memory));
    CHECK(gpu_memory_pointer(memory) == words);
    copier made;
    make_copier(driver, GPU_MEMORY_DEVICE, &made);
    gpu_dispatch dispatch = {
        made.pipeline, {{memory, 0, WORDS * 4}, {made.to, 0, WORDS * 4}}, 2, 8, false};
    gpu_recording *recording = NULL;
    CHECK_OK(gpu_recording_create(driver, &dispatch, 1, made.parameters, &recording));
    for (uint32_t round = 1; round < 4; round++) {
        uint64_t ticket;
        uint32_t seen = 0;
        words[WORDS - 1] = round; /* no call tells the device */
        CHECK_OK(gpu_recording_run(recording, first_group, &ticket));
        CHECK_OK(gpu_driver_wait(driver, ticket, 0));
        CHECK_OK(gpu_memory_read(made.to, WORDS * 4 - 4, &seen, 4));
        CHECK(seen == round);
    }
    gpu_recording_destroy(recording);
    gpu_memory_destroy(memory);
    free_copier(&made);
    gpu_driver_close(driver);
    free(block);
}

static void pipelines_are_kept(void) {
    gpu_driver *driver = open_first();
    uint32_t constants[] = {GROUP, 3};
    gpu_pipeline *one = NULL, *again = NULL, *other = NULL;
    CHECK_OK(gpu_pipeline_create(driver, GPU_KERNEL_COPY_WORDS, constants, 1, &one));
    gpu_pipeline_destroy(one);
    CHECK_OK(gpu_pipeline_create(driver, GPU_KERNEL_COPY_WORDS, constants, 1, &again));
    CHECK(again == one && gpu_driver_n_compiled(driver) == 1);
    CHECK_OK(gpu_pipeline_create(driver, GPU_KERNEL_COPY_WORDS, constants, 2, &other));
    CHECK(other != one && gpu_driver_n_compiled(driver) == 2);
    uint32_t large[] = {gpu_driver_limits(driver)->group_most + 1};
    CHECK(gpu_pipeline_create(driver, GPU_KERNEL_COPY_WORDS, large, 1, &other) == SY_OUT_OF_RANGE);
    CHECK(gpu_pipeline_create(driver, GPU_KERNEL_COPY_WORDS, large, 0, &other) ==
          SY_INVALID_ARGUMENT);
    static const char *const broken[] = {"__kernel void run(__global uint *x) {\n",
                                         "  x[0] = no_such_name;\n}\n"};
    cl_program program;
    CHECK(ocl_program_build(driver, broken, 2, "-cl-std=CL1.2", "broken", &program) == SY_INTERNAL);
    CHECK_TEXT(strstr(newest_report, "no_such_name") != NULL, "%s", newest_report);
    gpu_driver_close(driver);
}

static void every_kernel_compiles(void) {
    uint32_t n = count_devices();
    /* Eight is a type of weights and a size that every kernel takes. */
    uint32_t constants[] = {GROUP, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8};
    for (uint32_t i = 0; i < n; i++) {
        gpu_driver *driver = open_device(i, NULL);
        driver->ground.is_missing = true; /* they do not go together: nothing runs */
        uint32_t n_kernels = 0;
        for (uint32_t k = 0; k < GPU_KERNEL_COUNT; k++) {
            gpu_pipeline *pipeline = NULL;
            if (ocl_kernel_sources[k].n_pieces == 0) {
                continue; /* for Vulkan alone */
            }
            n_kernels++;
            sy_status status =
                gpu_pipeline_create(driver, (gpu_kernel)k, constants, GPU_CONSTANTS_MAX, &pipeline);
            CHECK_TEXT(status == SY_OK, "%s: %s", gpu_kernels[k].name, newest_report);
        }
        CHECK(gpu_driver_n_compiled(driver) == n_kernels);
        gpu_driver_close(driver);
    }
}

/* Whether the compiler knows what its device says that it has. */
static bool images_compile(void) {
    const char *text = "__kernel void run(read_only image1d_buffer_t from, __global uint4 *to) {\n"
                       "    *to = read_imageui(from, 0);\n"
                       "}\n";
    gpu_driver *driver = open_device(0, NULL);
    cl_program program = NULL;
    char options[64];
    snprintf(options, sizeof(options), "-cl-std=%s", ocl_language(&driver->device));
    sy_status status = ocl_program_build(driver, &text, 1, options, "an image", &program);
    if (status == SY_OK) {
        driver->api->clReleaseProgram(program);
    }
    gpu_driver_close(driver);
    return status == SY_OK;
}

/* Weights are read as images, and halves by the device, where that is right or asked for. */
static void offers_are_chosen(void) {
    const char *why;
    ocl_device devices[OCL_DEVICES_MOST];
    const ocl_device *offers = &devices[0];
    count_devices();
    CHECK(ocl_devices_find(ocl_api_open(&why), devices) > 0);
    const uint64_t images_most = images_compile() ? offers->images_most : 0;
    for (int choice = GPU_BY_DEFAULT; choice <= GPU_WHERE_OFFERED; choice++) {
        gpu_choice c = (gpu_choice)choice;
        gpu_driver *driver = open_device(0, &(gpu_open_options){.float16 = c, .images = c});
        bool reads_images = c == GPU_BY_DEFAULT ? offers->likes_images : c == GPU_WHERE_OFFERED;
        bool halves = c == GPU_BY_DEFAULT ? offers->keeps_subnormal_halves : c == GPU_WHERE_OFFERED;
        CHECK(driver->device.has_halves == (halves && offers->has_halves));
        CHECK(gpu_driver_limits(driver)->texels_most == (reads_images ? images_most : 0));
        gpu_driver_close(driver);
    }
}

static void images_have_their_limit(void) {
    count_devices();
#ifdef __SANITIZE_ADDRESS__
    SKIP("PoCL 3.1 leaks four bytes with each image");
#endif
    gpu_driver *driver = open_device(0, &(gpu_open_options){.images = GPU_WHERE_OFFERED});
    if (gpu_driver_limits(driver)->texels_most == 0) {
        gpu_driver_close(driver);
        SKIP("the device has no images");
    }
    uint32_t constants[GPU_CONSTANTS_MAX] = {GROUP, 8, 0, 0, 1, 1, 0, 0, 0, 0};
    constants[GPU_TEXELS] = GPU_TEXELS_ON;
    gpu_pipeline *pipeline = NULL;
    gpu_memory *memory = NULL, *result = NULL;
    driver->ground.is_missing = true; /* nothing runs */
    CHECK_OK(gpu_pipeline_create(driver, GPU_KERNEL_LINEAR_ROWS, constants, GPU_CONSTANTS_MAX,
                                 &pipeline));
    CHECK_OK(gpu_memory_create(driver, 65536, GPU_MEMORY_SHARED, &memory));
    CHECK_OK(gpu_memory_create(driver, 4096, GPU_MEMORY_DEVICE, &result));
    for (uint32_t most = 257; most >= 256; most--) {
        gpu_recording *recording = NULL;
        gpu_dispatch dispatch = {pipeline,
                                 {{memory, 0, 256},
                                  {memory, 4096, 16},
                                  {memory, 0, 16},
                                  {memory, 0, 16},
                                  {result, 0, 64}},
                                 5,
                                 8,
                                 false};
        driver->device.limits.texels_most = most;
        sy_status status = gpu_recording_create(driver, &dispatch, 1, memory, &recording);
        CHECK_TEXT(status == (most == 257 ? SY_OK : SY_INVALID_ARGUMENT), "%s", newest_report);
        gpu_recording_destroy(recording);
    }
    CHECK_TEXT(strstr(newest_report, "shows 256 texels, not 257") != NULL, "%s", newest_report);
    gpu_memory_destroy(result);
    gpu_memory_destroy(memory);
    driver->device.limits.texels_most = 0;
    CHECK(gpu_pipeline_create(driver, GPU_KERNEL_LINEAR_ROWS, constants, GPU_CONSTANTS_MAX,
                              &pipeline) == SY_INVALID_ARGUMENT);
    gpu_driver_close(driver);
}

/* Fills `blob` with the code of two pipelines. */
static void write_code(gpu_driver *driver) {
    uint32_t constants[] = {GROUP, 9};
    gpu_pipeline *pipelines[2];
    uint64_t end = 0;
    CHECK_OK(gpu_pipeline_create(driver, GPU_KERNEL_COPY_WORDS, constants, 1, &pipelines[0]));
    CHECK_OK(gpu_pipeline_create(driver, GPU_KERNEL_COPY_WORDS, constants, 2, &pipelines[1]));
    CHECK_OK(gpu_driver_code_write(driver, pipelines, 2, 40, &end));
    CHECK(end == blob_bytes);
}

static void code_spares_the_compiler(void) {
    uint32_t n = count_devices();
    for (uint32_t i = 0; i < n; i++) {
        gpu_driver *driver = open_device(i, NULL);
        char stamp[128], other[128];
        gpu_driver_stamp(driver, stamp);
        write_code(driver);
        gpu_driver_close(driver);
        driver = open_device(i, NULL);
        gpu_driver_stamp(driver, other);
        CHECK(memcmp(stamp, other, sizeof(stamp)) == 0 && strstr(stamp, "|") != NULL);
        CHECK_OK(gpu_driver_code_read(driver, blob + 40, blob_bytes - 40));
        CHECK_OK(gpu_driver_code_read(driver, blob + 40, blob_bytes - 40)); /* twice is once */
        copier made;
        make_copier(driver, GPU_MEMORY_DEVICE, &made);
        CHECK(gpu_driver_n_compiled(driver) == 0);
        run(driver, &made, all_groups);
        check_copied(&made, true);
        free_copier(&made);
        gpu_driver_close(driver);
    }
    free(blob);
}

static void altered_code_is_refused(void) {
    gpu_driver *driver = open_first();
    write_code(driver);
    size_t n = blob_bytes - 40;
    uint8_t *code = malloc(n);
    CHECK(code != NULL);
    size_t step = n / 300 + 1;
    for (size_t cut = 0; cut < n; cut += cut < 600 ? 1 : step) {
        uint8_t *short_code = malloc(cut + 1); /* so that a sanitizer sees a read behind it */
        CHECK(short_code != NULL);
        memcpy(short_code, blob + 40, cut);
        CHECK(SY_STATUS_CLASS(gpu_driver_code_read(driver, short_code, cut)) == SY_DATA_LOSS);
        free(short_code);
    }
    for (size_t i = 0; i < n; i += i < 1200 ? 1 : step) {
        memcpy(code, blob + 40, n);
        code[i] ^= (uint8_t)(1u << i % 8);
        sy_status class = SY_STATUS_CLASS(gpu_driver_code_read(driver, code, n));
        CHECK_TEXT(class == SY_DATA_LOSS || class == SY_FAILED_PRECONDITION, "byte %zu", i);
    }
    /* Whole, but of a device or driver with another name. */
    gpu_driver_close(driver);
    driver = open_device(0, NULL);
    snprintf(driver->device.limits.driver, sizeof(driver->device.limits.driver), "another 1.0");
    CHECK(gpu_driver_code_read(driver, blob + 40, n) ==
          SY_STATUS(SY_FAILED_PRECONDITION, SY_DETAIL_BLOB_STALE));
    CHECK_TEXT(strstr(newest_report, "another 1.0") != NULL, "%s", newest_report);
    gpu_driver_close(driver);
    free(code);
    free(blob);
}

static void a_wait_keeps_its_deadline(void) {
    gpu_driver *driver = open_first();
    copier made;
    make_copier(driver, GPU_MEMORY_DEVICE, &made);
    uint64_t ticket = 0;
    uint32_t n_late = 0, many[2][3] = {{60000, 1, 1}, {0, 0, 0}};
    for (uint32_t i = 0; i < 10; i++) {
        CHECK_OK(gpu_recording_run(made.recording, many, &ticket));
        uint64_t begin = now_ns();
        sy_status status = gpu_driver_wait(driver, ticket, begin + 100000);
        CHECK(status == SY_OK || status == SY_DEADLINE_EXCEEDED);
        n_late += status != SY_OK;
        CHECK_OK(gpu_driver_wait(driver, ticket, 0));
        CHECK_OK(gpu_driver_wait(driver, ticket, 1));
    }
    CHECK_TEXT(n_late > 0, "60000 groups took less than 0.1 ms");
    CHECK(gpu_driver_wait(driver, ticket + 1, 0) == SY_INVALID_ARGUMENT);
    check_copied(&made, false);
    free_copier(&made);
    gpu_driver_close(driver);
}

static void many_runs_are_under_way(void) {
    gpu_driver *driver = open_first();
    copier made;
    make_copier(driver, GPU_MEMORY_DEVICE, &made);
    uint64_t ticket = 0, first = 0;
    for (uint32_t i = 0; i < 3 * OCL_TICKETS_MOST; i++) {
        sy_status status = gpu_recording_run(made.recording, all_groups, &ticket);
        if (status == SY_RESOURCE_EXHAUSTED) { /* as many as there may be: all is well after one */
            CHECK_OK(gpu_driver_wait(driver, ticket, 0));
            status = gpu_recording_run(made.recording, all_groups, &ticket);
        }
        CHECK_OK(status);
        first = first == 0 ? ticket : first;
    }
    CHECK_OK(gpu_driver_wait(driver, ticket, 0));
    CHECK_OK(gpu_driver_wait(driver, first, 0));
    check_copied(&made, true);
    free_copier(&made);
    gpu_driver_close(driver);
}

/* ---- two threads ---- */
typedef struct writer {
    gpu_driver *driver;
    atomic_bool stop;
} writer;

static void *write_memory(void *argument) {
    writer *at = argument;
    while (!atomic_load(&at->stop)) {
        gpu_memory *memory = NULL;
        uint32_t words[256] = {1, 2, 3}, back[256];
        CHECK_OK(gpu_memory_create(at->driver, sizeof(words), GPU_MEMORY_DEVICE, &memory));
        CHECK_OK(gpu_memory_write(memory, 0, words, sizeof(words)));
        CHECK_OK(gpu_memory_read(memory, 0, back, sizeof(back)));
        CHECK(memcmp(words, back, sizeof(back)) == 0);
        gpu_memory_destroy(memory);
    }
    return NULL;
}

static void memory_moves_beside_runs(void) {
    gpu_driver *driver = open_first();
    copier made;
    make_copier(driver, GPU_MEMORY_DEVICE, &made);
    writer other = {.driver = driver};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, write_memory, &other) == 0);
    for (int i = 0; i < 200; i++) {
        run(driver, &made, all_groups);
    }
    atomic_store(&other.stop, true);
    pthread_join(thread, NULL);
    check_copied(&made, true);
    free_copier(&made);
    gpu_driver_close(driver);
}

/* ---- faults: functions of the loader that fail ---- */
static cl_int code_of_fault;
static ocl_api faulty;

static cl_int CL_API_CALL no_kernel(cl_command_queue queue, cl_kernel kernel, cl_uint n,
                                    const size_t *offset, const size_t *global, const size_t *local,
                                    cl_uint n_events, const cl_event *events, cl_event *event) {
    (void)queue, (void)kernel, (void)n, (void)offset, (void)global, (void)local;
    (void)n_events, (void)events, (void)event;
    return code_of_fault;
}

static cl_int CL_API_CALL bad_event(cl_event event, cl_event_info info, size_t n_bytes, void *value,
                                    size_t *out_n_bytes) {
    (void)event, (void)info, (void)out_n_bytes;
    CHECK(n_bytes == sizeof(code_of_fault));
    memcpy(value, &code_of_fault, sizeof(code_of_fault));
    return CL_SUCCESS;
}

static cl_mem CL_API_CALL no_buffer(cl_context context, cl_mem_flags flags, size_t n_bytes,
                                    void *pointer, cl_int *code) {
    (void)context, (void)flags, (void)n_bytes, (void)pointer;
    *code = code_of_fault;
    return NULL;
}

static void codes_become_statuses(void) {
    gpu_driver *driver = open_first();
    const ocl_api *good = driver->api;
    copier made;
    make_copier(driver, GPU_MEMORY_DEVICE, &made);
    uint64_t ticket = 0;
    faulty = *good;
    faulty.clEnqueueNDRangeKernel = no_kernel;
    faulty.clCreateBuffer = no_buffer;
    driver->api = &faulty;
    uint64_t free_bytes = gpu_driver_free_bytes(driver);
    code_of_fault = CL_OUT_OF_RESOURCES;
    CHECK(gpu_recording_run(made.recording, all_groups, &ticket) == SY_RESOURCE_EXHAUSTED);
    code_of_fault = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    gpu_memory *memory = NULL;
    CHECK(gpu_memory_create(driver, 64, GPU_MEMORY_DEVICE, &memory) == SY_RESOURCE_EXHAUSTED);
    CHECK(gpu_driver_free_bytes(driver) == free_bytes && !gpu_driver_is_lost(driver));
    driver->api = good;
    run(driver, &made, all_groups); /* and goes on */
    check_copied(&made, true);
    free_copier(&made);
    gpu_driver_close(driver);
}

static void check_all_lost(gpu_driver *driver, copier *made) {
    const sy_status lost = SY_STATUS(SY_UNAVAILABLE, SY_DETAIL_DEVICE_LOST);
    uint64_t ticket = 0;
    uint32_t word = 0, constants[] = {GROUP};
    gpu_memory *memory = NULL;
    gpu_pipeline *pipeline = NULL;
    gpu_recording *recording = NULL;
    gpu_copy copy = {made->from, made->to, 0, 0, 4};
    CHECK(gpu_driver_is_lost(driver));
    CHECK(gpu_recording_run(made->recording, all_groups, &ticket) == lost);
    CHECK(gpu_driver_wait(driver, 1, 0) == lost);
    CHECK(gpu_memory_create(driver, 64, GPU_MEMORY_DEVICE, &memory) == lost);
    CHECK(gpu_memory_import(driver, driver, 4096, &memory) == lost);
    CHECK(gpu_memory_read(made->to, 0, &word, 4) == lost);
    CHECK(gpu_memory_write(made->to, 0, &word, 4) == lost);
    CHECK(gpu_memory_copy(driver, &copy, 1) == lost);
    CHECK(gpu_pipeline_create(driver, GPU_KERNEL_COPY_WORDS, constants, 1, &pipeline) == lost);
    CHECK(gpu_recording_create(driver, NULL, 0, made->parameters, &recording) == lost);
    CHECK(gpu_driver_code_read(driver, "", 0) == lost);
    CHECK_TEXT(strstr(newest_report, "is lost") != NULL, "%s", newest_report);
    free_copier(made);
    gpu_driver_close(driver);
}

static void a_lost_device_stays_lost(void) {
    gpu_driver *driver = open_first();
    const ocl_api *good = driver->api;
    copier made;
    make_copier(driver, GPU_MEMORY_DEVICE, &made);
    uint64_t ticket = 0;
    faulty = *good;
    faulty.clEnqueueNDRangeKernel = no_kernel;
    driver->api = &faulty;
    code_of_fault = CL_INVALID_COMMAND_QUEUE; /* what drivers answer when the device is gone */
    CHECK(SY_STATUS_CLASS(gpu_recording_run(made.recording, all_groups, &ticket)) ==
          SY_UNAVAILABLE);
    driver->api = good;
    check_all_lost(driver, &made);
}

static void a_run_that_fails_loses_the_device(void) {
    gpu_driver *driver = open_first();
    copier made;
    make_copier(driver, GPU_MEMORY_DEVICE, &made);
    uint64_t ticket = 0;
    faulty = *driver->api;
    faulty.clGetEventInfo = bad_event;
    driver->tickets.api = &faulty;
    code_of_fault = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    CHECK_OK(gpu_recording_run(made.recording, all_groups, &ticket));
    CHECK(gpu_driver_wait(driver, ticket, 0) == SY_RESOURCE_EXHAUSTED);
    code_of_fault = CL_OUT_OF_RESOURCES;
    CHECK_OK(gpu_recording_run(made.recording, all_groups, &ticket));
    CHECK(gpu_driver_wait(driver, ticket, 0) == SY_STATUS(SY_UNAVAILABLE, SY_DETAIL_DEVICE_LOST));
    driver->tickets.api = driver->api;
    CHECK(driver->api->clFinish(driver->queue) == CL_SUCCESS);
    check_all_lost(driver, &made);
}

static void bad_recordings_are_refused(void) {
    gpu_driver *driver = open_first();
    copier made;
    make_copier(driver, GPU_MEMORY_DEVICE, &made);
    const gpu_dispatch good = {made.pipeline, {{made.from, 0, 64}, {made.to, 0, 64}}, 2, 8, false};
    gpu_dispatch bad[5] = {good, good, good, good, good};
    gpu_recording *recording = NULL;
    bad[0].n_bindings = 1;
    bad[1].n_bindings = GPU_BINDINGS_MAX + 1;
    bad[2].bindings[0].offset_bytes = 4;
    bad[3].bindings[0].n_bytes = WORDS * 4 + 1;
    bad[4].bindings[1].n_bytes = 0;
    for (uint32_t i = 0; i < 5; i++) {
        CHECK(gpu_recording_create(driver, &bad[i], 1, made.parameters, &recording) ==
              SY_INVALID_ARGUMENT);
    }
    uint32_t groups[2][3] = {{1, 70000, 1}, {1, 1, 1}};
    uint64_t ticket = 0;
    CHECK(gpu_recording_run(made.recording, groups, &ticket) == SY_INVALID_ARGUMENT);
    gpu_copy copies[] = {{made.from, made.from, 0, 8, 16},
                         {made.from, made.to, 2, 0, 4},
                         {made.from, made.to, 0, WORDS * 4, 4}};
    for (uint32_t i = 0; i < 3; i++) {
        CHECK(gpu_memory_copy(driver, &copies[i], 1) == SY_INVALID_ARGUMENT);
    }
    free_copier(&made);
    gpu_driver_close(driver);
}

/* Of parameters that kernels read as an operand, too, the status alone comes back. */
static void what_is_only_read_does_not_come_back(void) {
    gpu_driver *driver = open_apart();
    copier made;
    gpu_recording *recording = NULL;
    uint64_t ticket = 0, n_written = 0, n_read = 0;
    make_copier(driver, GPU_MEMORY_DEVICE, &made);
    const gpu_dispatch dispatch = {
        made.pipeline, {{made.parameters, 0, 32}, {made.to, 0, WORDS * 4}}, 2, 8, false};
    const uint32_t groups[1][3] = {{1, 1, 1}};
    CHECK_OK(gpu_recording_create(driver, &dispatch, 1, made.parameters, &recording));
    CHECK_OK(gpu_recording_run(recording, groups, &ticket));
    CHECK_OK(gpu_driver_wait(driver, ticket, 0));
    gpu_recording_moved(recording, &n_written, &n_read);
    CHECK_TEXT(n_read == sizeof(uint32_t), "%d bytes", (int)n_read);
    gpu_recording_destroy(recording);
    free_copier(&made);
    gpu_driver_close(driver);
}

static const sy_test_case cases[] = {
    {"every_device_runs", every_device_runs},
    {"no_driver_is_no_failure", no_driver_is_no_failure},
    {"limits_are_asked", limits_are_asked},
    {"memory_without_a_shared_view", memory_without_a_shared_view},
    {"imported_memory_is_the_same", imported_memory_is_the_same},
    {"pipelines_are_kept", pipelines_are_kept},
    {"every_kernel_compiles", every_kernel_compiles},
    {"offers_are_chosen", offers_are_chosen},
    {"images_have_their_limit", images_have_their_limit},
    {"code_spares_the_compiler", code_spares_the_compiler},
    {"altered_code_is_refused", altered_code_is_refused},
    {"a_wait_keeps_its_deadline", a_wait_keeps_its_deadline},
    {"many_runs_are_under_way", many_runs_are_under_way},
    {"memory_moves_beside_runs", memory_moves_beside_runs},
    {"codes_become_statuses", codes_become_statuses},
    {"a_lost_device_stays_lost", a_lost_device_stays_lost},
    {"a_run_that_fails_loses_the_device", a_run_that_fails_loses_the_device},
    {"bad_recordings_are_refused", bad_recordings_are_refused},
    {"what_is_only_read_does_not_come_back", what_is_only_read_does_not_come_back},
};
SY_TEST_MAIN(cases)
