/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What plugins/gpu/src/driver.h promises, of the driver that this program is linked with: built
 * once for each. Runs on the first device; skips where there is none.
 */
#include "harness.h"
#include "tools/test_host.h"

#include "driver.h"

#include <inttypes.h>
#include <pthread.h>
#include <time.h>

typedef struct gpu_world {
    sy_test_host host;
    gpu_driver *driver;
    const gpu_limits *limits;
} gpu_world;

/* ---- helpers ---- */
/* A layer or a loader that this run is about has to be there, or the run would say nothing. */
static void check_loaded_library(void) {
    const char *wanted = getenv("GPU_TEST_LIBRARY");
    char line[512];
    bool is_loaded = wanted == NULL;
    FILE *maps = is_loaded ? NULL : fopen("/proc/self/maps", "r");
    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        is_loaded = is_loaded || strstr(line, wanted) != NULL;
    }
    if (maps != NULL) {
        fclose(maps);
    }
    CHECK_TEXT(is_loaded, "%s is not loaded", wanted);
}

static void open_host(gpu_world *world) {
    sy_error error;
    memset(world, 0, sizeof(*world));
    CHECK_OK(sy_test_host_init(&world->host, 1, &error));
    kit_host_set(&world->host.services);
}

static void close_host(gpu_world *world) {
    CHECK_TEXT(world->host.n_misuses == 0, "%s", world->host.misuse);
    CHECK_TEXT(world->host.n_live == 0, "%zu allocations left", world->host.n_live);
    sy_test_host_deinit(&world->host);
}

#define CHECK_STATUS(world, status, wanted)                                                   \
    do {                                                                                      \
        sy_status got_ = (status);                                                            \
        CHECK_TEXT(SY_STATUS_CLASS(got_) == (wanted), "status %u: %s", SY_STATUS_CLASS(got_), \
                   (world)->host.report);                                                     \
    } while (0)
#define CHECK_DONE(world, status) CHECK_STATUS(world, status, SY_OK)

static void open_driver(gpu_world *world, const gpu_open_options *options) {
    uint32_t n = 0;
    CHECK_DONE(world, gpu_driver_enumerate(NULL, &n));
    if (n == 0) {
        SKIP("%s", world->host.report);
    }
    CHECK_DONE(world, gpu_driver_open(0, options, &world->driver));
    check_loaded_library();
    world->limits = gpu_driver_limits(world->driver);
}

static void open_world(gpu_world *world) {
    open_host(world);
    open_driver(world, &(gpu_open_options){0});
}

static void close_world(gpu_world *world) {
    gpu_driver_close(world->driver);
    close_host(world);
}

static gpu_memory *make_memory(gpu_world *world, uint64_t n_bytes, gpu_memory_use use) {
    gpu_memory *memory = NULL;
    CHECK_DONE(world, gpu_memory_create(world->driver, n_bytes, use, &memory));
    CHECK(gpu_memory_bytes(memory) == n_bytes);
    return memory;
}

static uint8_t pattern(uint64_t i, uint32_t seed) {
    return (uint8_t)((i * 2654435761u + seed * 40503u) >> 13);
}

static void write_pattern(gpu_world *world, gpu_memory *memory, uint32_t seed) {
    uint64_t n = gpu_memory_bytes(memory);
    uint8_t *bytes = malloc(n);
    for (uint64_t i = 0; i < n; i++) {
        bytes[i] = pattern(i, seed);
    }
    CHECK_DONE(world, gpu_memory_write(memory, 0, bytes, n));
    free(bytes);
}

/* [at, at + n) of memory are those of the pattern from `from` on. */
static void check_pattern(gpu_world *world, gpu_memory *memory, uint64_t at, uint64_t n,
                          uint32_t seed, uint64_t from) {
    uint8_t *bytes = malloc(n > 0 ? n : 1);
    CHECK_DONE(world, gpu_memory_read(memory, at, bytes, n));
    for (uint64_t i = 0; i < n; i++) {
        CHECK_TEXT(bytes[i] == pattern(from + i, seed), "byte %" PRIu64 " of %" PRIu64, at + i, n);
    }
    free(bytes);
}

static gpu_pipeline *make_copy_words(gpu_world *world, uint32_t group) {
    gpu_pipeline *pipeline = NULL;
    CHECK_DONE(world,
               gpu_pipeline_create(world->driver, GPU_KERNEL_COPY_WORDS, &group, 1, &pipeline));
    return pipeline;
}

/* Whole words to copy, and bytes of the word behind them. */
enum { COPY_WORDS_PARAMETERS = 2 };

static void set_words(uint32_t *parameters, uint32_t first, uint32_t n) {
    parameters[0] = 0;
    parameters[first] = n;
    parameters[first + 1] = 0;
}

static gpu_binding whole(gpu_memory *memory) {
    return (gpu_binding){memory, 0, gpu_memory_bytes(memory)};
}

static gpu_dispatch copy_dispatch(gpu_pipeline *pipeline, gpu_binding from, gpu_binding to,
                                  uint32_t first_word, bool waits) {
    return (gpu_dispatch){.pipeline = pipeline,
                          .bindings = {from, to},
                          .n_bindings = 2,
                          .first_word = first_word,
                          .waits = waits};
}

static void wait_for(gpu_world *world, uint64_t ticket) {
    CHECK_DONE(world, gpu_driver_wait(world->driver, ticket, 0));
}

static void run_and_wait(gpu_world *world, gpu_recording *recording, const uint32_t (*groups)[3]) {
    uint64_t ticket = 0;
    CHECK_DONE(world, gpu_recording_run(recording, groups, &ticket));
    wait_for(world, ticket);
}

static uint32_t groups_of(uint32_t n, uint32_t group) {
    return (n + group - 1) / group;
}

/* ---- devices ---- */
static void devices_are_listed(void) {
    gpu_world world;
    open_host(&world);
    uint32_t n = 0;
    CHECK_DONE(&world, gpu_driver_enumerate(NULL, &n));
    if (n == 0) {
        CHECK_TEXT(world.host.n_reports > 0, "no device, and no word about it");
        SKIP("%s", world.host.report);
    }
    uint32_t n_again = n + 1;
    gpu_limits *list = calloc(n_again, sizeof(gpu_limits));
    CHECK_DONE(&world, gpu_driver_enumerate(list, &n_again));
    CHECK(n_again == n);
    for (uint32_t i = 0; i < n; i++) {
        const gpu_limits *limits = &list[i];
        CHECK(limits->id[0] != '\0' && limits->driver[0] != '\0');
        for (uint32_t j = 0; j < i; j++) {
            CHECK_TEXT(strcmp(limits->id, list[j].id) != 0, "two devices named %s", limits->id);
        }
        CHECK(limits->memory_total_bytes >= 1u << 20);
        CHECK(limits->memory_most_bytes >= 1u << 20);
        CHECK(limits->memory_most_bytes <= limits->memory_total_bytes);
        CHECK(limits->binding_most_bytes >= 1u << 16);
        CHECK(limits->binding_most_bytes <= (2ull << 30) - 4);
        uint32_t alignment = limits->binding_alignment_bytes;
        CHECK(alignment >= 4 && (alignment & (alignment - 1)) == 0);
        CHECK(limits->bindings_most >= 3 && limits->bindings_most <= GPU_BINDINGS_MAX);
        CHECK(limits->group_most >= 1 && limits->shared_most_bytes >= 1024);
        CHECK(limits->groups_most[0] >= 1024 && limits->groups_most[1] >= 1);
        CHECK(!limits->imports_host || limits->import_alignment_bytes >= 1);
        printf("device %u: %s, %s\n", i, limits->id, limits->driver);
    }
    gpu_driver *driver = NULL;
    CHECK(gpu_driver_open(n, &(gpu_open_options){0}, &driver) != SY_OK && driver == NULL);
    free(list);
    close_host(&world);
}

static void a_device_is_opened_twice(void) {
    gpu_world world;
    open_world(&world);
    gpu_driver *second = NULL;
    CHECK_DONE(&world, gpu_driver_open(0, &(gpu_open_options){.subgroups = GPU_NEVER}, &second));
    CHECK(gpu_driver_limits(second)->subgroup_size == 0);
    CHECK(!gpu_driver_is_lost(second));
    char stamp[128], other[128];
    gpu_driver_stamp(world.driver, stamp);
    gpu_driver_stamp(second, other);
    CHECK(memchr(stamp, '\0', sizeof(stamp)) != NULL && stamp[0] != '\0');
    CHECK(memcmp(stamp, other, sizeof(stamp)) == 0);
    gpu_driver_close(second);
    gpu_memory_destroy(make_memory(&world, 64, GPU_MEMORY_DEVICE));
    close_world(&world);
}

/* ---- memory ---- */
static const uint64_t odd_sizes[] = {1, 3, 4, 5, 17, 4095, 65537, (1u << 20) + 3};
#define N_ODD (sizeof(odd_sizes) / sizeof(odd_sizes[0]))

static void bytes_come_back(void) {
    gpu_world world;
    open_world(&world);
    for (uint32_t i = 0; i < 2 * N_ODD; i++) {
        gpu_memory_use use = i % 2 == 0 ? GPU_MEMORY_DEVICE : GPU_MEMORY_SHARED;
        uint64_t n = odd_sizes[i / 2];
        gpu_memory *memory = make_memory(&world, n, use);
        CHECK(use == GPU_MEMORY_DEVICE || gpu_memory_pointer(memory) != NULL);
        CHECK(!world.limits->is_unified || gpu_memory_pointer(memory) != NULL);
        write_pattern(&world, memory, i);
        check_pattern(&world, memory, 0, n, i, 0);
        check_pattern(&world, memory, n / 3, n - n / 3, i, n / 3);
        uint8_t few[3] = {0x11, 0x22, 0x33}, got[3];
        uint64_t n_few = n < 3 ? n : 3, at = n - n_few;
        CHECK_DONE(&world, gpu_memory_write(memory, at, few, n_few));
        CHECK_DONE(&world, gpu_memory_read(memory, at, got, n_few));
        CHECK(memcmp(few, got, n_few) == 0);
        check_pattern(&world, memory, 0, at, i, 0);
        CHECK_DONE(&world, gpu_memory_read(memory, n, got, 0));
        CHECK(gpu_memory_read(memory, n, got, 1) != SY_OK);
        CHECK(gpu_memory_write(memory, UINT64_MAX, few, 2) != SY_OK);
        gpu_memory_destroy(memory);
    }
    close_world(&world);
}

/* More than a driver moves in one piece. */
static void many_bytes_come_back(void) {
    gpu_world world;
    open_world(&world);
    uint64_t n = (33u << 20) + 5;
    gpu_memory *memory = make_memory(&world, n, GPU_MEMORY_DEVICE);
    write_pattern(&world, memory, 7);
    check_pattern(&world, memory, 1, n - 1, 7, 1);
    gpu_memory_destroy(memory);
    close_world(&world);
}

static void memory_is_copied(void) {
    gpu_world world;
    open_world(&world);
    gpu_memory *a = make_memory(&world, 100000, GPU_MEMORY_DEVICE);
    gpu_memory *b = make_memory(&world, 100000, GPU_MEMORY_DEVICE);
    gpu_memory *c = make_memory(&world, 4096, GPU_MEMORY_SHARED);
    write_pattern(&world, a, 1);
    write_pattern(&world, b, 2);
    write_pattern(&world, c, 3);
    gpu_copy copies[] = {{a, b, 0, 40000, 20000},
                         {c, b, 4, 99996, 4},
                         {a, c, 99996, 0, 4},
                         {a, a, 0, 50000, 49996},
                         {b, c, 0, 8, 0}};
    CHECK_DONE(&world, gpu_memory_copy(world.driver, copies, 5));
    CHECK_DONE(&world, gpu_memory_copy(world.driver, copies, 0));
    check_pattern(&world, b, 0, 40000, 2, 0);
    check_pattern(&world, b, 40000, 20000, 1, 0);
    check_pattern(&world, b, 60000, 39996, 2, 60000);
    check_pattern(&world, b, 99996, 4, 3, 4);
    check_pattern(&world, c, 0, 4, 1, 99996);
    check_pattern(&world, c, 4, 4092, 3, 4);
    check_pattern(&world, a, 50000, 49996, 1, 0);
    gpu_copy outside = {a, c, 0, 4000, 100};
    CHECK(gpu_memory_copy(world.driver, &outside, 1) != SY_OK);
    check_pattern(&world, c, 4, 4092, 3, 4);
    gpu_memory_destroy(a);
    gpu_memory_destroy(b);
    gpu_memory_destroy(c);
    close_world(&world);
}

static void host_memory_is_used_in_place(void) {
    gpu_world world;
    open_world(&world);
    gpu_memory *memory = NULL;
    if (!world.limits->imports_host) {
        CHECK(gpu_memory_import(world.driver, &world, 4096, &memory) != SY_OK);
        SKIP("%s imports no memory of the host", world.limits->id);
    }
    uint64_t alignment = world.limits->import_alignment_bytes;
    alignment = alignment < 64 ? 64 : alignment;
    uint64_t n = (100000 + alignment - 1) / alignment * alignment;
    uint8_t *bytes = aligned_alloc(alignment, n);
    for (uint64_t i = 0; i < n; i++) {
        bytes[i] = pattern(i, 5);
    }
    CHECK_DONE(&world, gpu_memory_import(world.driver, bytes, n, &memory));
    gpu_memory *out = make_memory(&world, n, GPU_MEMORY_DEVICE);
    gpu_memory *parameters = make_memory(&world, 64, GPU_MEMORY_SHARED);
    uint32_t *words = gpu_memory_pointer(parameters);
    gpu_pipeline *pipeline = make_copy_words(&world, 16);
    gpu_dispatch dispatch = copy_dispatch(pipeline, whole(memory), whole(out), 1, false);
    gpu_recording *recording = NULL;
    CHECK_DONE(&world, gpu_recording_create(world.driver, &dispatch, 1, parameters, &recording));
    set_words(words, 1, (uint32_t)(n / 4));
    uint32_t groups[1][3] = {{groups_of((uint32_t)(n / 4), 16), 1, 1}};
    run_and_wait(&world, recording, groups);
    check_pattern(&world, out, 0, n, 5, 0);
    bytes[8] = (uint8_t)~bytes[8]; /* no copy was taken */
    run_and_wait(&world, recording, groups);
    uint8_t got = 0;
    CHECK_DONE(&world, gpu_memory_read(out, 8, &got, 1));
    CHECK(got == bytes[8]);
    gpu_recording_destroy(recording);
    gpu_pipeline_destroy(pipeline);
    gpu_memory_destroy(memory);
    CHECK(bytes[8] == got);
    gpu_memory_destroy(out);
    gpu_memory_destroy(parameters);
    free(bytes);
    close_world(&world);
}

/* The refusal names what is missing, and memory that is given back can be taken again. */
static void a_budget_is_kept(void) {
    gpu_world world;
    open_host(&world);
    open_driver(&world, &(gpu_open_options){.memory_limit_bytes = 1u << 20});
    gpu_memory *first = make_memory(&world, 512u << 10, GPU_MEMORY_DEVICE), *second = NULL;
    CHECK(gpu_driver_free_bytes(world.driver) <= 512u << 10);
    sy_status status = gpu_memory_create(world.driver, 768u << 10, GPU_MEMORY_DEVICE, &second);
    CHECK_STATUS(&world, status, SY_RESOURCE_EXHAUSTED);
    CHECK(second == NULL);
    CHECK_TEXT(strstr(world.host.report, "262144") != NULL, "%s", world.host.report);
    gpu_memory_destroy(first);
    CHECK(gpu_driver_free_bytes(world.driver) == 1u << 20);
    second = make_memory(&world, 768u << 10, GPU_MEMORY_SHARED);
    gpu_memory_destroy(second);
    status = gpu_memory_create(world.driver, 1ull << 50, GPU_MEMORY_DEVICE, &second);
    CHECK_STATUS(&world, status, SY_RESOURCE_EXHAUSTED);
    close_world(&world);
}

/* ---- pipelines ---- */
static void pipelines_are_made_once(void) {
    gpu_world world;
    open_world(&world);
    gpu_pipeline *a = make_copy_words(&world, 8);
    uint64_t n_compiled = gpu_driver_n_compiled(world.driver);
    CHECK(n_compiled == 1);
    gpu_pipeline *b = make_copy_words(&world, 8), *c = make_copy_words(&world, 16);
    CHECK(gpu_driver_n_compiled(world.driver) == 2);
    gpu_pipeline_destroy(a);
    gpu_pipeline_destroy(b);
    gpu_pipeline_destroy(c);
    gpu_pipeline *none = NULL;
    uint32_t group = world.limits->group_most + 1;
    CHECK(gpu_pipeline_create(world.driver, GPU_KERNEL_COPY_WORDS, &group, 1, &none) != SY_OK);
    group = 0;
    CHECK(gpu_pipeline_create(world.driver, GPU_KERNEL_COPY_WORDS, &group, 1, &none) != SY_OK);
    CHECK(gpu_pipeline_create(world.driver, GPU_KERNEL_COUNT, &group, 1, &none) != SY_OK);
    CHECK(none == NULL);
    close_world(&world);
}

enum { N_CODE = 3 };

static void make_code(gpu_world *world, gpu_pipeline *out[N_CODE]) {
    for (uint32_t i = 0; i < N_CODE; i++) {
        out[i] = make_copy_words(world, 4u << i);
    }
}

static void drop_code(gpu_pipeline *pipelines[N_CODE]) {
    for (uint32_t i = 0; i < N_CODE; i++) {
        gpu_pipeline_destroy(pipelines[i]);
    }
}

/* A blob that begins at `offset`, which the caller frees. */
static uint8_t *write_code(gpu_world *world, uint64_t offset, uint64_t *out_n) {
    gpu_pipeline *pipelines[N_CODE];
    uint64_t end = 0;
    make_code(world, pipelines);
    CHECK_DONE(world, gpu_driver_code_write(world->driver, pipelines, N_CODE, offset, &end));
    CHECK(gpu_driver_n_compiled(world->driver) == N_CODE);
    CHECK(end > offset && world->host.blob_bytes == end);
    uint8_t *bytes = malloc(end - offset);
    memcpy(bytes, world->host.blob + offset, end - offset);
    *out_n = end - offset;
    drop_code(pipelines);
    return bytes;
}

static void the_second_start_compiles_nothing(void) {
    gpu_world world;
    uint64_t n = 0;
    open_world(&world);
    uint8_t *bytes = write_code(&world, 128, &n);
    close_world(&world);
    open_world(&world);
    CHECK_DONE(&world, gpu_driver_code_read(world.driver, bytes, n));
    CHECK_DONE(&world, gpu_driver_code_read(world.driver, bytes, n));
    gpu_pipeline *pipelines[N_CODE];
    make_code(&world, pipelines);
    CHECK_TEXT(gpu_driver_n_compiled(world.driver) == 0, "%" PRIu64,
               gpu_driver_n_compiled(world.driver));
    gpu_pipeline *other = make_copy_words(&world, 1);
    CHECK(gpu_driver_n_compiled(world.driver) == 1);
    uint64_t end = 0; /* what came from a blob can be written again */
    CHECK_DONE(&world, gpu_driver_code_write(world.driver, pipelines, N_CODE, 0, &end));
    CHECK_DONE(&world, gpu_driver_code_read(world.driver, world.host.blob, end));
    gpu_pipeline_destroy(other);
    drop_code(pipelines);
    close_world(&world);
    free(bytes);
}

static void damaged_code_is_refused(void) {
    gpu_world world;
    uint64_t n = 0;
    open_world(&world);
    uint8_t *bytes = write_code(&world, 0, &n);
    close_world(&world);
    open_world(&world);
    uint64_t step = n / 200 + 1;
    for (uint64_t i = 0; i < n; i += step) {
        uint8_t *cut = malloc(i > 0 ? i : 1); /* exactly as long, so that a read past it is seen */
        memcpy(cut, bytes, i);
        sy_status status = gpu_driver_code_read(world.driver, cut, i);
        CHECK_STATUS(&world, status, SY_DATA_LOSS);
        free(cut);
        bytes[i] ^= (uint8_t)(1u << i % 8);
        status = gpu_driver_code_read(world.driver, bytes, n);
        CHECK_STATUS(&world, status, SY_DATA_LOSS);
        bytes[i] ^= (uint8_t)(1u << i % 8);
    }
    gpu_pipeline *pipelines[N_CODE];
    make_code(&world, pipelines);
    CHECK(gpu_driver_n_compiled(world.driver) == N_CODE); /* nothing of it was kept */
    drop_code(pipelines);
    CHECK_DONE(&world, gpu_driver_code_read(world.driver, bytes, n));
    close_world(&world);
    free(bytes);
}

/* ---- running ---- */
enum { N_WORDS = 5000, GROUP = 32 };

static void words_are_copied_at_offsets(void) {
    gpu_world world;
    open_world(&world);
    uint32_t step = world.limits->binding_alignment_bytes;
    gpu_memory *from = make_memory(&world, 4 * N_WORDS + 2 * step, GPU_MEMORY_DEVICE);
    gpu_memory *to = make_memory(&world, 4 * N_WORDS + 2 * step, GPU_MEMORY_DEVICE);
    gpu_memory *parameters = make_memory(&world, 4096, GPU_MEMORY_SHARED);
    gpu_pipeline *pipeline = make_copy_words(&world, GROUP);
    write_pattern(&world, from, 1);
    write_pattern(&world, to, 2);
    uint32_t *words = gpu_memory_pointer(parameters);
    uint32_t first = 4096 / 4 - COPY_WORDS_PARAMETERS;
    set_words(words, first, N_WORDS);
    gpu_dispatch dispatch = copy_dispatch(pipeline, (gpu_binding){from, 2 * step, 4 * N_WORDS},
                                          (gpu_binding){to, step, 4 * N_WORDS}, first, false);
    gpu_recording *recording = NULL;
    CHECK_DONE(&world, gpu_recording_create(world.driver, &dispatch, 1, parameters, &recording));
    uint32_t x = 7; /* groups in two dimensions */
    uint32_t groups[1][3] = {{x, groups_of(groups_of(N_WORDS, GROUP), x), 1}};
    run_and_wait(&world, recording, groups);
    check_pattern(&world, to, step, 4 * N_WORDS, 1, 2 * step);
    check_pattern(&world, to, 0, step, 2, 0);
    check_pattern(&world, to, step + 4 * N_WORDS, step, 2, step + 4 * N_WORDS);
    gpu_recording_destroy(recording);
    gpu_pipeline_destroy(pipeline);
    gpu_memory_destroy(from);
    gpu_memory_destroy(to);
    gpu_memory_destroy(parameters);
    close_world(&world);
}

/* A chain of memories, each copied to the next: in one recording with waits, or in many. */
enum { N_LINKS = 24 };

typedef struct copy_chain {
    gpu_memory *links[N_LINKS + 1];
    gpu_memory *parameters;
    uint32_t *words;
    gpu_pipeline *pipeline;
    uint32_t groups[N_LINKS][3];
} copy_chain;

static uint32_t first_word_of(uint32_t i_link) {
    return 1 + COPY_WORDS_PARAMETERS * i_link;
}

static void make_chain(gpu_world *world, copy_chain *chain) {
    for (uint32_t i = 0; i <= N_LINKS; i++) {
        chain->links[i] = make_memory(world, 4 * N_WORDS, GPU_MEMORY_DEVICE);
        write_pattern(world, chain->links[i], 100 + i);
    }
    chain->parameters = make_memory(world, 4 * first_word_of(N_LINKS), GPU_MEMORY_SHARED);
    chain->words = gpu_memory_pointer(chain->parameters);
    chain->pipeline = make_copy_words(world, GROUP);
    for (uint32_t i = 0; i < N_LINKS; i++) {
        set_words(chain->words, first_word_of(i), N_WORDS);
        memcpy(chain->groups[i], (uint32_t[3]){groups_of(N_WORDS, GROUP), 1, 1},
               sizeof(chain->groups[i]));
    }
}

static gpu_dispatch link_dispatch(const copy_chain *chain, uint32_t i) {
    return copy_dispatch(chain->pipeline, whole(chain->links[i]), whole(chain->links[i + 1]),
                         first_word_of(i), true);
}

static void drop_chain(copy_chain *chain) {
    for (uint32_t i = 0; i <= N_LINKS; i++) {
        gpu_memory_destroy(chain->links[i]);
    }
    gpu_memory_destroy(chain->parameters);
    gpu_pipeline_destroy(chain->pipeline);
}

static gpu_recording *record_chain(gpu_world *world, const copy_chain *chain) {
    gpu_dispatch dispatches[N_LINKS];
    gpu_recording *recording = NULL;
    for (uint32_t i = 0; i < N_LINKS; i++) {
        dispatches[i] = link_dispatch(chain, i);
    }
    CHECK_DONE(world, gpu_recording_create(world->driver, dispatches, N_LINKS, chain->parameters,
                                           &recording));
    return recording;
}

static void a_dispatch_waits_for_those_before(void) {
    gpu_world world;
    copy_chain chain;
    open_world(&world);
    make_chain(&world, &chain);
    gpu_recording *recording = record_chain(&world, &chain);
    for (uint32_t round = 0; round < 20; round++) {
        write_pattern(&world, chain.links[0], round);
        run_and_wait(&world, recording, chain.groups);
        check_pattern(&world, chain.links[N_LINKS], 0, 4 * N_WORDS, round, 0);
    }
    gpu_recording_destroy(recording);
    drop_chain(&chain);
    close_world(&world);
}

/* Groups and parameters are of the run, not of the recording; no groups: nothing happens. */
static void a_recording_is_run_with_other_sizes(void) {
    gpu_world world;
    copy_chain chain;
    open_world(&world);
    make_chain(&world, &chain);
    gpu_recording *recording = record_chain(&world, &chain);
    uint32_t none[N_LINKS][3] = {{0}}, some[N_LINKS][3] = {{0}};
    run_and_wait(&world, recording, none);
    for (uint32_t i = 0; i <= N_LINKS; i++) {
        check_pattern(&world, chain.links[i], 0, 4 * N_WORDS, 100 + i, 0);
    }
    memcpy(some, chain.groups, sizeof(some));
    some[3][0] = 0; /* one link of the chain is left out, by one of three zeros */
    some[9][1] = 0;
    some[15][2] = 0;
    set_words(chain.words, first_word_of(20), 77); /* and one copies less */
    run_and_wait(&world, recording, some);
    check_pattern(&world, chain.links[3], 0, 4 * N_WORDS, 100, 0);
    check_pattern(&world, chain.links[4], 0, 4 * N_WORDS, 104, 0);
    check_pattern(&world, chain.links[9], 0, 4 * N_WORDS, 104, 0);
    check_pattern(&world, chain.links[15], 0, 4 * N_WORDS, 110, 0);
    check_pattern(&world, chain.links[20], 0, 4 * N_WORDS, 116, 0);
    check_pattern(&world, chain.links[21], 0, 4 * 77, 116, 0);
    check_pattern(&world, chain.links[21], 4 * 77, 4 * (N_WORDS - 77), 121, 4 * 77);
    set_words(chain.words, first_word_of(20), N_WORDS);
    run_and_wait(&world, recording, chain.groups);
    check_pattern(&world, chain.links[N_LINKS], 0, 4 * N_WORDS, 100, 0);
    some[0][0] = world.limits->groups_most[0];
    uint64_t ticket = 0;
    if (some[0][0] < UINT32_MAX) {
        some[0][0]++;
        CHECK(gpu_recording_run(recording, some, &ticket) != SY_OK);
    }
    gpu_recording_destroy(recording);
    drop_chain(&chain);
    close_world(&world);
}

/* What did not change is not sent again, and what did is. */
static void little_is_moved_for_equal_runs(void) {
    gpu_world world;
    copy_chain chain;
    uint64_t written[3], read[3];
    open_world(&world);
    make_chain(&world, &chain);
    gpu_recording *recording = record_chain(&world, &chain);
    uint32_t some[N_LINKS][3];
    for (uint32_t round = 0; round < 3; round++) {
        write_pattern(&world, chain.links[0], round);
        memcpy(some, chain.groups, sizeof(some));
        some[N_LINKS - 1][0] = round < 2 ? some[N_LINKS - 1][0] : 0;
        run_and_wait(&world, recording, some);
        gpu_recording_moved(recording, &written[round], &read[round]);
    }
    CHECK(written[1] <= written[0] && written[2] <= written[1] + sizeof(some[0]));
    CHECK(read[1] == read[0] && read[2] == read[0]);
    check_pattern(&world, chain.links[N_LINKS - 1], 0, 4 * N_WORDS, 2, 0);
    check_pattern(&world, chain.links[N_LINKS], 0, 4 * N_WORDS, 1, 0); /* left out */
    run_and_wait(&world, recording, chain.groups);
    check_pattern(&world, chain.links[N_LINKS], 0, 4 * N_WORDS, 2, 0);
    gpu_recording_destroy(recording);
    drop_chain(&chain);
    close_world(&world);
}

/* Nobody waits between recordings: each runs behind the one before. */
static void recordings_run_in_order(void) {
    gpu_world world;
    copy_chain chain;
    gpu_recording *recordings[N_LINKS];
    uint64_t tickets[N_LINKS];
    open_world(&world);
    make_chain(&world, &chain);
    for (uint32_t i = 0; i < N_LINKS; i++) {
        gpu_dispatch dispatch = link_dispatch(&chain, i);
        CHECK_DONE(&world, gpu_recording_create(world.driver, &dispatch, 1, chain.parameters,
                                                &recordings[i]));
    }
    for (uint32_t round = 0; round < 40; round++) {
        write_pattern(&world, chain.links[0], round);
        for (uint32_t i = 0; i < N_LINKS; i++) {
            CHECK_DONE(&world, gpu_recording_run(recordings[i], &chain.groups[i], &tickets[i]));
            CHECK(i == 0 || tickets[i] > tickets[i - 1]);
        }
        if (round % 2 == 0) { /* transfers wait by themselves */
            wait_for(&world, tickets[N_LINKS - 1]);
        }
        check_pattern(&world, chain.links[N_LINKS], 0, 4 * N_WORDS, round, 0);
    }
    wait_for(&world, tickets[0]); /* long done */
    for (uint32_t i = 0; i < N_LINKS; i++) {
        gpu_recording_destroy(recordings[i]);
    }
    drop_chain(&chain);
    close_world(&world);
}

/* A job that nobody waits for still has its memory. */
static void memory_goes_behind_what_runs(void) {
    gpu_world world;
    copy_chain chain;
    open_world(&world);
    make_chain(&world, &chain);
    gpu_recording *recording = record_chain(&world, &chain);
    uint64_t ticket = 0;
    CHECK_DONE(&world, gpu_recording_run(recording, chain.groups, &ticket));
    gpu_memory_destroy(chain.links[N_LINKS / 2]);
    wait_for(&world, ticket);
    chain.links[N_LINKS / 2] = make_memory(&world, 4 * N_WORDS, GPU_MEMORY_DEVICE);
    check_pattern(&world, chain.links[N_LINKS], 0, 4 * N_WORDS, 100, 0);
    gpu_recording_destroy(recording);
    drop_chain(&chain);
    close_world(&world);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void waiting_ends_at_its_deadline(void) {
    gpu_world world;
    copy_chain chain;
    open_world(&world);
    make_chain(&world, &chain);
    gpu_recording *recording = record_chain(&world, &chain);
    uint64_t ticket = 0;
    CHECK_DONE(&world, gpu_recording_run(recording, chain.groups, &ticket));
    sy_status status = gpu_driver_wait(world.driver, ticket, 1); /* long ago */
    CHECK(status == SY_OK || SY_STATUS_CLASS(status) == SY_DEADLINE_EXCEEDED);
    CHECK_DONE(&world, gpu_driver_wait(world.driver, ticket, now_ns() + 60000000000u));
    CHECK_DONE(&world, gpu_driver_wait(world.driver, ticket, 1)); /* done is done */
    check_pattern(&world, chain.links[N_LINKS], 0, 4 * N_WORDS, 100, 0);
    gpu_recording_destroy(recording);
    drop_chain(&chain);
    close_world(&world);
}

/* A smaller limit than the device's: larger bindings are refused, two halves do. */
static void a_binding_limit_is_kept(void) {
    gpu_world world;
    open_host(&world);
    open_driver(&world, &(gpu_open_options){.binding_most_bytes = 4096});
    CHECK(world.limits->binding_most_bytes == 4096);
    gpu_memory *from = make_memory(&world, 8192, GPU_MEMORY_DEVICE);
    gpu_memory *to = make_memory(&world, 8192, GPU_MEMORY_DEVICE);
    gpu_memory *parameters = make_memory(&world, 64, GPU_MEMORY_SHARED);
    gpu_pipeline *pipeline = make_copy_words(&world, GROUP);
    gpu_recording *recording = NULL;
    gpu_dispatch large = copy_dispatch(pipeline, whole(from), whole(to), 1, false);
    CHECK(gpu_recording_create(world.driver, &large, 1, parameters, &recording) != SY_OK);
    gpu_dispatch outside = copy_dispatch(pipeline, (gpu_binding){from, 8192, 4096},
                                         (gpu_binding){to, 0, 4096}, 1, false);
    CHECK(gpu_recording_create(world.driver, &outside, 1, parameters, &recording) != SY_OK);
    gpu_dispatch crooked =
        copy_dispatch(pipeline, (gpu_binding){from, 2, 4096}, (gpu_binding){to, 0, 4096}, 1, false);
    CHECK(gpu_recording_create(world.driver, &crooked, 1, parameters, &recording) != SY_OK);
    gpu_dispatch halves[2];
    for (uint32_t i = 0; i < 2; i++) {
        halves[i] = copy_dispatch(pipeline, (gpu_binding){from, 4096 * i, 4096},
                                  (gpu_binding){to, 4096 * (1 - i), 4096}, 1, false);
    }
    CHECK_DONE(&world, gpu_recording_create(world.driver, halves, 2, parameters, &recording));
    write_pattern(&world, from, 1);
    uint32_t *words = gpu_memory_pointer(parameters);
    set_words(words, 1, 1024);
    uint32_t groups[2][3] = {{1024 / GROUP, 1, 1}, {1024 / GROUP, 1, 1}};
    run_and_wait(&world, recording, groups);
    check_pattern(&world, to, 0, 4096, 1, 4096);
    check_pattern(&world, to, 4096, 4096, 1, 0);
    gpu_recording_destroy(recording);
    gpu_pipeline_destroy(pipeline);
    gpu_memory_destroy(from);
    gpu_memory_destroy(to);
    gpu_memory_destroy(parameters);
    close_world(&world);
}

/* ---- two threads, as driver.h allows: one runs and waits, the other does all else ---- */
typedef struct chain_runner {
    gpu_world *world;
    copy_chain *chain;
    gpu_recording *recording;
    sy_status status;
} chain_runner;

static void *run_often(void *argument) {
    chain_runner *runner = argument;
    for (uint32_t i = 0; i < 300 && runner->status == SY_OK; i++) {
        uint64_t ticket = 0;
        runner->status = gpu_recording_run(runner->recording, runner->chain->groups, &ticket);
        if (runner->status == SY_OK) {
            runner->status = gpu_driver_wait(runner->world->driver, ticket, 0);
        }
    }
    return NULL;
}

static void transfers_go_on_beside_runs(void) {
    gpu_world world;
    copy_chain chain;
    open_world(&world);
    make_chain(&world, &chain);
    chain_runner runner = {&world, &chain, record_chain(&world, &chain), SY_OK};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run_often, &runner) == 0);
    for (uint32_t i = 0; i < 60; i++) {
        gpu_memory *memory = make_memory(&world, 3001 + 4 * i, GPU_MEMORY_DEVICE);
        write_pattern(&world, memory, i);
        check_pattern(&world, memory, 1, 3000, i, 1);
        gpu_copy copy = {memory, memory, 0, 2000, 1000};
        CHECK_DONE(&world, gpu_memory_copy(world.driver, &copy, 1));
        check_pattern(&world, memory, 2000, 1000, i, 0);
        gpu_memory_destroy(memory);
        gpu_pipeline *pipeline = make_copy_words(&world, 1 + i % 8);
        gpu_pipeline_destroy(pipeline);
        CHECK(gpu_driver_free_bytes(world.driver) > 0);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_DONE(&world, runner.status);
    check_pattern(&world, chain.links[N_LINKS], 0, 4 * N_WORDS, 100, 0);
    gpu_recording_destroy(runner.recording);
    drop_chain(&chain);
    close_world(&world);
}

/* ---- the host's refusals ---- */
/* Every allocation of the host refused once: a status, and nothing left behind. */
static void refused_host_memory_is_a_status(void) {
    gpu_world world;
    open_world(&world);
    gpu_memory *parameters = make_memory(&world, 64, GPU_MEMORY_SHARED);
    gpu_memory *memory = make_memory(&world, 256, GPU_MEMORY_DEVICE);
    bool is_done = false;
    for (uint64_t n_ok = 0; !is_done; n_ok++) {
        CHECK(n_ok < 100);
        gpu_memory *more = NULL;
        gpu_pipeline *pipeline = NULL;
        gpu_recording *recording = NULL;
        uint32_t group = 2 + (uint32_t)n_ok;
        sy_test_host_fail_alloc(&world.host, n_ok, 1);
        sy_status status = gpu_memory_create(world.driver, 1000, GPU_MEMORY_DEVICE, &more);
        if (status == SY_OK) {
            status = gpu_pipeline_create(world.driver, GPU_KERNEL_COPY_WORDS, &group, 1, &pipeline);
        }
        if (status == SY_OK) {
            gpu_dispatch dispatch = copy_dispatch(pipeline, whole(memory), whole(more), 1, false);
            status = gpu_recording_create(world.driver, &dispatch, 1, parameters, &recording);
        }
        is_done = world.host.n_allocs <= world.host.fail_from;
        sy_test_host_never_fail(&world.host);
        CHECK_STATUS(&world, status, is_done ? SY_OK : SY_RESOURCE_EXHAUSTED);
        gpu_recording_destroy(recording);
        gpu_pipeline_destroy(pipeline);
        gpu_memory_destroy(more);
    }
    gpu_memory_destroy(memory);
    gpu_memory_destroy(parameters);
    close_world(&world);
}

static const sy_test_case cases[] = {
    {"devices_are_listed", devices_are_listed},
    {"a_device_is_opened_twice", a_device_is_opened_twice},
    {"bytes_come_back", bytes_come_back},
    {"many_bytes_come_back", many_bytes_come_back},
    {"memory_is_copied", memory_is_copied},
    {"host_memory_is_used_in_place", host_memory_is_used_in_place},
    {"a_budget_is_kept", a_budget_is_kept},
    {"pipelines_are_made_once", pipelines_are_made_once},
    {"the_second_start_compiles_nothing", the_second_start_compiles_nothing},
    {"damaged_code_is_refused", damaged_code_is_refused},
    {"words_are_copied_at_offsets", words_are_copied_at_offsets},
    {"a_dispatch_waits_for_those_before", a_dispatch_waits_for_those_before},
    {"a_recording_is_run_with_other_sizes", a_recording_is_run_with_other_sizes},
    {"recordings_run_in_order", recordings_run_in_order},
    {"little_is_moved_for_equal_runs", little_is_moved_for_equal_runs},
    {"memory_goes_behind_what_runs", memory_goes_behind_what_runs},
    {"waiting_ends_at_its_deadline", waiting_ends_at_its_deadline},
    {"a_binding_limit_is_kept", a_binding_limit_is_kept},
    {"transfers_go_on_beside_runs", transfers_go_on_beside_runs},
    {"refused_host_memory_is_a_status", refused_host_memory_is_a_status},
};

SY_TEST_MAIN(cases)
