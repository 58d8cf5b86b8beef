/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs kept in files: each start is a runtime, a registry with the fake NPU and an executor of its
 * own, as a process would have them. */
#include "sandbox.h"

#include "switchyard/blob_files.h"
#include "switchyard/executor.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

#define TOKENS 4
#define WIDTH 8
#define MIB ((uint64_t)1 << 20)

/* What one start does and sees. */
typedef struct start {
    const char *directory, *options; /* of the store; of [delegate fake-npu] */
    const sy_blob_store *store;      /* in place of files */
    float weight;                    /* contents of every weight */
    const char *op;                  /* of the second node, "Add" or "Mul" */
    uint32_t no_blobs;
    sy_blob_report report;
    float result;
} start;

static uint32_t add_input(sy_graph *graph, const char *name, void *weights) {
    sy_error error;
    uint32_t i_value = 0;
    sy_value_view value = {.name = name, .kind = SY_VALUE_INPUT, .type = SY_TYPE_F32, .rank = 2};
    value.dims[0] = (sy_dimension){TOKENS, SY_SYMBOL_TOKENS, 1, 0};
    value.dims[1].bound = WIDTH;
    if (weights != NULL) {
        value.kind = SY_VALUE_WEIGHT;
        value.dims[0] = (sy_dimension){.bound = WIDTH};
        value.data = (sy_memory){.kind = SY_MEMORY_HOST,
                                 .fd = -1,
                                 .pointer = weights,
                                 .length_bytes = sizeof(float) * WIDTH * WIDTH};
    }
    CHECK_OK_ERROR(sy_graph_add_value(graph, &value, &i_value, &error), error);
    return i_value;
}

static uint32_t add_op(sy_graph *graph, const char *domain, const char *op, uint32_t a,
                       uint32_t b) {
    sy_error error;
    const uint32_t inputs[] = {a, b};
    uint32_t output = 0;
    sy_node_view node = {.domain = domain,
                         .op = op,
                         .version = domain[0] == '\0' ? 14 : 1,
                         .n_inputs = 2,
                         .n_outputs = 1,
                         .inputs = inputs,
                         .name = op};
    CHECK_OK_ERROR(sy_graph_add_node(graph, &node, &output, &error), error);
    return output;
}

/* y = Linear(x, w) op Linear(x, w) */
static sy_graph *make_graph(const start *self, float *weights, uint32_t *out_x, uint32_t *out_y) {
    sy_graph *graph = NULL;
    sy_error error;
    CHECK_OK_ERROR(sy_graph_create(NULL, "blobs", &graph, &error), error);
    CHECK_OK_ERROR(sy_graph_set_bound(graph, SY_SYMBOL_TOKENS, TOKENS, &error), error);
    for (int i = 0; i < WIDTH * WIDTH; i++) {
        weights[i] = self->weight;
    }
    *out_x = add_input(graph, "x", NULL);
    uint32_t w = add_input(graph, "w", weights);
    uint32_t h = add_op(graph, "switchyard", "Linear", *out_x, w);
    *out_y = add_op(graph, "", self->op != NULL ? self->op : "Add", h, h);
    CHECK_OK_ERROR(sy_graph_mark_output(graph, *out_y, &error), error);
    return graph;
}

static void run_once(sy_executor *executor, uint32_t i_x, uint32_t i_y, float *out_result) {
    float x[TOKENS * WIDTH];
    sy_error error;
    for (int i = 0; i < TOKENS * WIDTH; i++) {
        x[i] = 1.0f;
    }
    sy_step_sequence sequence = {.n_tokens = TOKENS};
    sy_step_input input = {i_x, x, sizeof(x)};
    sy_step step = {.struct_bytes = sizeof(step),
                    .n_sequences = 1,
                    .n_inputs = 1,
                    .sequences = &sequence,
                    .inputs = &input};
    const void *data = NULL;
    uint64_t n_bytes = 0;
    CHECK_OK_ERROR(sy_executor_step(executor, &step, &error), error);
    CHECK_OK_ERROR(sy_executor_output(executor, i_y, &data, &n_bytes, &error), error);
    CHECK(n_bytes == sizeof(x));
    memcpy(out_result, data, sizeof(*out_result));
}

/* Two executors over one plan: both must answer alike. */
static void execute(start *self, sy_runtime *runtime) {
    float weights[WIDTH * WIDTH];
    uint32_t x = 0, y = 0;
    sy_error error;
    sy_graph *graph = make_graph(self, weights, &x, &y);
    sy_policy_rule pin = {
        .kind = SY_RULE_PIN, .target = SY_RULE_OPERATOR, .pattern = "*", .delegate = "fake-npu"};
    sy_plan_options options = {.struct_bytes = sizeof(options), .n_rules = 1, .rules = &pin};
    sy_executor_options executing = {.struct_bytes = sizeof(executing), .no_blobs = self->no_blobs};
    sy_plan *plan = NULL;
    sy_executor *executor = NULL;
    CHECK_OK_ERROR(sy_plan_create(runtime, graph, NULL, &options, &plan, &error), error);
    CHECK(sy_plan_n_segments(plan, 0) == 1);
    CHECK_OK_ERROR(sy_executor_create(plan, &executing, &executor, &error), error);
    sy_executor_blob(executor, 0, 0, &self->report);
    run_once(executor, x, y, &self->result);
    sy_executor_destroy(executor);
    sy_plan_destroy(plan);
    sy_graph_destroy(graph);
}

static sy_conf *make_conf(const start *self) {
    char ini[256];
    sy_error error;
    sy_conf *conf = NULL;
    snprintf(ini, sizeof(ini), "[delegate fake-npu]\nscore = 90\n%s",
             self->options != NULL ? self->options : "");
    sy_conf_layer layer = {
        .level = SY_CONF_ADMIN, .path = "test.ini", .text = ini, .n_text_bytes = strlen(ini)};
    sy_conf_options options;
    sy_conf_options_default(&options);
    options.layers = &layer;
    options.n_layers = 1;
    CHECK_OK_ERROR(sy_conf_create(&options, &conf, &error), error);
    return conf;
}

static void run_start(start *self) {
    char plugins[PATH_BYTES];
    sy_error error;
    sy_blob_files *files = NULL;
    sy_blob_files_options keeping = {.struct_bytes = sizeof(keeping), .directory = self->directory};
    sy_runtime_options running;
    sy_runtime_options_default(&running);
    running.n_threads = 1;
    running.blobs = self->store;
    if (self->directory != NULL) {
        CHECK_OK_ERROR(sy_blob_files_create(&keeping, &files, &error), error);
        running.blobs = sy_blob_files_store(files);
    }
    sy_runtime *runtime = NULL;
    sy_registry *registry = NULL;
    sy_conf *conf = make_conf(self);
    sy_registry_options options;
    sy_registry_options_default(&options);
    snprintf(plugins, sizeof(plugins), "%s/fake-plugins", getenv("SY_BUILD_DIR"));
    options.default_directory = plugins;
    options.use_environment = 0;
    options.conf = conf;
    CHECK_OK_ERROR(sy_runtime_create(&running, &runtime, &error), error);
    CHECK_OK_ERROR(sy_registry_open(runtime, &options, &registry, &error), error);
    execute(self, runtime);
    CHECK(sy_registry_close(registry) == 0);
    sy_runtime_destroy(runtime);
    sy_conf_destroy(conf);
    sy_blob_files_destroy(files);
}

/* One start with these; what it computed is always right. */
static sy_blob_report started(start self) {
    self.weight = self.weight != 0 ? self.weight : 0.5f;
    run_start(&self);
    float h = self.weight * WIDTH, expected = self.op != NULL ? h * h : h + h;
    CHECK_TEXT(self.result == expected, "%g, expected %g; %s", (double)self.result,
               (double)expected, self.report.text);
    return self.report;
}

static void check(sy_blob_report report, sy_blob_outcome outcome, const char *text) {
    CHECK_TEXT(report.outcome == outcome && strstr(report.text, text) != NULL, "outcome %d: %s",
               (int)report.outcome, report.text);
    CHECK((report.compile_ns > 0) == (outcome == SY_BLOB_COMPILED) || outcome == SY_BLOB_NONE);
}

static void make_directory(char out_path[PATH_BYTES]) {
    snprintf(out_path, PATH_BYTES, "/tmp/sy-blobs-XXXXXX");
    CHECK(mkdtemp(out_path) != NULL);
}

static void remove_directory(const char *path) {
    char command[PATH_BYTES + 16];
    snprintf(command, sizeof(command), "rm -rf %s", path);
    CHECK(system(command) == 0);
}

/* The files of a directory; the path of the last one. */
static uint32_t list_files(const char *directory, char out_path[PATH_BYTES]) {
    uint32_t n = 0;
    DIR *entries = opendir(directory);
    CHECK(entries != NULL);
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        if (entry->d_name[0] != '.') {
            path_in(directory, entry->d_name, out_path);
            n++;
        }
    }
    closedir(entries);
    return n;
}

static void second_start_compiles_nothing(void) {
    char directory[PATH_BYTES], below[PATH_BYTES], path[PATH_BYTES];
    struct stat facts;
    make_directory(directory);
    path_in(directory, "a/b/blobs", below);
    sy_blob_report first = started((start){.directory = below});
    check(first, SY_BLOB_COMPILED, "Nothing was kept of it. Compiled.");
    CHECK(first.is_kept && first.n_bytes > 0);
    sy_blob_report second = started((start){.directory = below});
    check(second, SY_BLOB_EXACT, "Loaded as it was kept.");
    CHECK(second.n_bytes == first.n_bytes);
    CHECK(list_files(below, path) == 1); /* no mark is left */
    CHECK(stat(path, &facts) == 0 && (facts.st_mode & 0777) == 0600);
    char *kept = NULL;
    size_t n_kept = read_file(path, (void **)(void *)&kept);
    kept[n_kept] = '\0';
    CHECK(strstr(kept, "\ndriver=1.0\n") != NULL && strstr(kept, "\nbuild=00000000") == NULL);
    free(kept);
    CHECK(stat(below, &facts) == 0 && (facts.st_mode & 0777) == 0700);
    remove_directory(directory);
}

static void what_differs_is_compiled_apart(void) {
    char directory[PATH_BYTES], path[PATH_BYTES];
    make_directory(directory);
    check(started((start){.directory = directory}), SY_BLOB_COMPILED, "Nothing was kept of it. ");
    check(started((start){.directory = directory, .op = "Mul"}), SY_BLOB_COMPILED,
          "Nothing was kept of it. ");
    check(started((start){.directory = directory, .options = "link_us = 3\n"}), SY_BLOB_COMPILED,
          "Nothing was kept of it as it is now: options was 'score=90%0A' and is "
          "'score=90%0Alink_us=3%0A'. Compiled.");
    CHECK(list_files(directory, path) == 3);
    check(started((start){.directory = directory}), SY_BLOB_EXACT, "");
    check(started((start){.directory = directory, .op = "Mul"}), SY_BLOB_EXACT, "");
    check(started((start){.directory = directory, .options = "link_us = 3\n"}), SY_BLOB_EXACT, "");
    remove_directory(directory);
}

static void weights_count_where_blobs_hold_them(void) {
    char directory[PATH_BYTES];
    make_directory(directory);
    check(started((start){.directory = directory}), SY_BLOB_COMPILED, "Nothing was kept of it. ");
    check(started((start){.directory = directory, .weight = 0.25f}), SY_BLOB_EXACT, "");
    setenv("FAKE_NPU_BLOBS", "weights", 1);
    check(started((start){.directory = directory}), SY_BLOB_COMPILED, "weights was ''");
    check(started((start){.directory = directory}), SY_BLOB_EXACT, "");
    check(started((start){.directory = directory, .weight = 0.25f}), SY_BLOB_COMPILED,
          "Nothing was kept of it as it is now: weights was '");
    check(started((start){.directory = directory, .weight = 0.25f}), SY_BLOB_EXACT, "");
    setenv("FAKE_NPU_BLOBS", "none", 1);
    check(started((start){.directory = directory}), SY_BLOB_COMPILED,
          "does not let blobs be kept. Compiled.");
    remove_directory(directory);
}

static void changed_drivers_are_explained(void) {
    char directory[PATH_BYTES];
    make_directory(directory);
    started((start){.directory = directory});
    setenv("FAKE_NPU_DRIVER", "2.0", 1);
    check(started((start){.directory = directory}), SY_BLOB_COMPILED,
          "It was kept, but driver was '1.0' and is '2.0'; the plugin wants it compiled anew: "
          "made for another driver. Compiled.");
    check(started((start){.directory = directory}), SY_BLOB_EXACT, "");
    started((start){.directory = directory, .options = "stale = usable\n"});
    setenv("FAKE_NPU_DRIVER", "3 %\n", 1);
    check(started((start){.directory = directory, .options = "stale = usable\n"}), SY_BLOB_USABLE,
          "driver was '2.0' and is '3 %25%0A'; the plugin can use it: made for another driver. "
          "Loaded.");
    started((start){.directory = directory, .options = "stale = reject\n"});
    setenv("FAKE_NPU_DRIVER", "4", 1);
    check(started((start){.directory = directory, .options = "stale = reject\n"}), SY_BLOB_COMPILED,
          "the plugin rejects it: made for another driver. Compiled.");
    remove_directory(directory);
}

static void damaged_files_are_compiled_anew(void) {
    char directory[PATH_BYTES], path[PATH_BYTES];
    void *whole = NULL;
    make_directory(directory);
    started((start){.directory = directory});
    CHECK(list_files(directory, path) == 1);
    size_t n = read_file(path, &whole);
    for (size_t i = 0; i < 40; i++) {
        size_t at = i < 20 ? i * n / 20 : (i - 20) * (n - 1) / 19;
        uint8_t *damaged = malloc(n);
        CHECK(damaged != NULL);
        memcpy(damaged, whole, n);
        damaged[at] = (uint8_t)(damaged[at] ^ (i < 20 ? 0u : 1u << i % 8));
        write_file(path, damaged, i < 20 ? at : n);
        free(damaged);
        check(started((start){.directory = directory}), SY_BLOB_COMPILED, "corrupt");
        check(started((start){.directory = directory}), SY_BLOB_EXACT, "");
    }
    CHECK(unlink(path) == 0 && symlink("/etc/passwd", path) == 0);
    check(started((start){.directory = directory}), SY_BLOB_COMPILED, "cannot be opened");
    CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0);
    check(started((start){.directory = directory}), SY_BLOB_COMPILED, "no file of this user");
    free(whole);
    remove_directory(directory);
}

/* A store whose files are whole and whose bytes are not: only the plugin can tell. */
static uint64_t flip_at;
static sy_blob_store honest;
static sy_status flip_find(void *self, const uint8_t name[SY_BLOB_NAME_BYTES],
                           sy_kept_blob *out_blob, sy_error *error) {
    sy_status status = honest.find(self, name, out_blob, error);
    if (status == SY_OK) {
        uint8_t *bytes = NULL;
        memcpy(&bytes, &out_blob->bytes, sizeof(bytes));
        bytes[flip_at % out_blob->n_bytes] ^= 16;
    }
    return status;
}

static void altered_blobs_are_refused_by_the_plugin(void) {
    char directory[PATH_BYTES];
    sy_error error;
    sy_blob_files *files = NULL;
    make_directory(directory);
    const sy_blob_files_options options = {.struct_bytes = sizeof(options), .directory = directory};
    CHECK_OK_ERROR(sy_blob_files_create(&options, &files, &error), error);
    honest = *sy_blob_files_store(files);
    sy_blob_store flipping = honest;
    flipping.find = flip_find;
    uint64_t n_bytes = started((start){.store = &honest}).n_bytes;
    for (flip_at = 0; flip_at < n_bytes; flip_at++) {
        sy_blob_report report = started((start){.store = &flipping});
        CHECK_TEXT(report.outcome == SY_BLOB_COMPILED &&
                       (strstr(report.text, "does not load") != NULL ||
                        strstr(report.text, "the plugin rejects it") != NULL),
                   "byte %llu: %s", (unsigned long long)flip_at, report.text);
    }
    check(started((start){.store = &honest}), SY_BLOB_EXACT, "");
    sy_blob_files_destroy(files);
    remove_directory(directory);
}

static void end_process(void *self, const uint8_t name[SY_BLOB_NAME_BYTES], sy_kept_blob *blob) {
    honest.begin_trial(self, name, blob);
    _exit(42);
}

static void a_blob_that_ends_the_process_is_tried_once(void) {
    char directory[PATH_BYTES], path[PATH_BYTES];
    sy_error error;
    sy_blob_files *files = NULL;
    make_directory(directory);
    started((start){.directory = directory});
    pid_t child = fork();
    if (child == 0) {
        const sy_blob_files_options options = {.struct_bytes = sizeof(options),
                                               .directory = directory};
        CHECK_OK_ERROR(sy_blob_files_create(&options, &files, &error), error);
        honest = *sy_blob_files_store(files);
        sy_blob_store deadly = honest;
        deadly.begin_trial = end_process;
        started((start){.store = &deadly});
        _exit(1);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 42);
    CHECK(list_files(directory, path) == 2);
    check(started((start){.directory = directory}), SY_BLOB_COMPILED,
          "a process ended while it was loaded. Compiled.");
    check(started((start){.directory = directory}), SY_BLOB_EXACT, "");
    CHECK(list_files(directory, path) == 1);
    remove_directory(directory);
}

/* Several at once, over an empty and then a full directory. */
static void processes_share_a_directory(void) {
    char directory[PATH_BYTES], path[PATH_BYTES];
    make_directory(directory);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++) {
            pid_t child = fork();
            if (child == 0) {
                sy_blob_report report = {.outcome = SY_BLOB_NONE};
                for (int k = 0; k < 5; k++) {
                    report = started((start){.directory = directory});
                    CHECK_TEXT(round == 0 || report.outcome == SY_BLOB_EXACT, "%s", report.text);
                }
                _exit(report.outcome == SY_BLOB_EXACT ? 0 : 1);
            }
        }
        for (int i = 0; i < 4; i++) {
            int status = 0;
            CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
    }
    CHECK(list_files(directory, path) == 1);
    remove_directory(directory);
}

static void no_directory_is_no_failure(void) {
    char directory[PATH_BYTES];
    make_directory(directory);
    check(started((start){.directory = "/dev/null/blobs"}), SY_BLOB_COMPILED, "cannot be used");
    CHECK(chmod(directory, 0777) == 0);
    sy_blob_report report = started((start){.directory = directory});
    check(report, SY_BLOB_COMPILED, "others may write it");
    CHECK(!report.is_kept);
    check(started((start){.store = NULL}), SY_BLOB_COMPILED, "Blobs are not kept. Compiled.");
    CHECK(chmod(directory, 0700) == 0);
    check(started((start){.directory = directory, .no_blobs = 1}), SY_BLOB_COMPILED,
          "Blobs are not kept. Compiled.");
    check(started((start){.directory = directory, .options = "blobs = off\n"}), SY_BLOB_NONE,
          "does not compile it");
    remove_directory(directory);
}

static sy_status keep(const sy_blob_store *store, uint8_t first, uint64_t n_bytes) {
    static uint8_t bytes[MIB];
    sy_error error;
    const uint8_t name[SY_BLOB_NAME_BYTES] = {first};
    const sy_kept_blob blob = {
        .record = "plugin=test\n", .stamp = "s", .bytes = bytes, .n_bytes = n_bytes};
    return store->keep(store->self, name, &blob, &error);
}

static bool is_kept(const sy_blob_store *store, uint8_t first) {
    sy_error error;
    const uint8_t name[SY_BLOB_NAME_BYTES] = {first};
    sy_kept_blob blob;
    if (store->find(store->self, name, &blob, &error) != SY_OK) {
        return false;
    }
    CHECK(strcmp(blob.stamp, "s") == 0 && strstr(blob.record, "plugin=test\n") == blob.record);
    CHECK((uintptr_t)blob.bytes % 64 == 0);
    store->give_back(store->self, &blob);
    return true;
}

static void what_was_not_used_for_longest_goes(void) {
    char directory[PATH_BYTES], left_over[PATH_BYTES + 80], path[PATH_BYTES];
    sy_error error;
    sy_blob_files *files = NULL;
    make_directory(directory);
    const sy_blob_files_options options = {
        .struct_bytes = sizeof(options), .directory = directory, .limit_bytes = MIB + MIB / 2};
    CHECK_OK_ERROR(sy_blob_files_create(&options, &files, &error), error);
    const sy_blob_store *store = sy_blob_files_store(files);
    CHECK(!is_kept(store, 1));
    for (uint8_t i = 1; i <= 3; i++) {
        CHECK_OK(keep(store, i, MIB / 2 - 4096));
        usleep(20000); /* file times are coarse */
    }
    CHECK(is_kept(store, 1)); /* now 2 is the oldest */
    usleep(20000);
    snprintf(left_over, sizeof(left_over), "%s/%064d.blob.AbCdEf", directory, 0);
    write_file(left_over, "x", 1);
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    CHECK(utimensat(AT_FDCWD, left_over, old, 0) == 0);
    CHECK_OK(keep(store, 4, 4096 * 8));
    CHECK(is_kept(store, 1) && !is_kept(store, 2) && is_kept(store, 3) && is_kept(store, 4));
    CHECK(list_files(directory, path) == 3); /* what a process left half written is gone */
    CHECK(SY_STATUS_CLASS(keep(store, 5, 2 * MIB)) == SY_OUT_OF_RANGE);
    CHECK(is_kept(store, 1));
    store->forget(store->self, (const uint8_t[SY_BLOB_NAME_BYTES]){1});
    CHECK(!is_kept(store, 1));
    sy_blob_files_destroy(files);
    remove_directory(directory);
}

/* A process that keeps one blob with two contents in turn is ended at any moment: what is there is
 * whole. */
static void a_process_that_ends_leaves_nothing_torn(void) {
    char directory[PATH_BYTES];
    sy_error error;
    make_directory(directory);
    const sy_blob_files_options options = {.struct_bytes = sizeof(options), .directory = directory};
    uint32_t n_kept = 0;
    for (useconds_t i = 0; i < 40; i++) {
        sy_blob_files *files = NULL;
        CHECK_OK_ERROR(sy_blob_files_create(&options, &files, &error), error);
        const sy_blob_store *store = sy_blob_files_store(files);
        pid_t child = fork();
        for (uint64_t k = 1; child == 0; k++) {
            CHECK_OK(keep(store, 1, MIB / (1 + k % 2)));
        }
        usleep(1000 + i * 400);
        CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
        const uint8_t name[SY_BLOB_NAME_BYTES] = {1};
        sy_kept_blob blob = {0};
        sy_status status = store->find(store->self, name, &blob, &error);
        CHECK_TEXT(status == SY_OK || SY_STATUS_CLASS(status) == SY_NOT_FOUND, "%s", error.message);
        if (status == SY_OK) {
            CHECK(blob.n_bytes == MIB || blob.n_bytes == MIB / 2);
            store->give_back(store->self, &blob);
            n_kept++;
        }
        sy_blob_files_destroy(files);
    }
    CHECK_TEXT(n_kept > 0, "no process came as far as to keep a blob");
    remove_directory(directory);
}

static const sy_test_case cases[] = {
    {"second_start_compiles_nothing", second_start_compiles_nothing},
    {"what_differs_is_compiled_apart", what_differs_is_compiled_apart},
    {"weights_count_where_blobs_hold_them", weights_count_where_blobs_hold_them},
    {"changed_drivers_are_explained", changed_drivers_are_explained},
    {"damaged_files_are_compiled_anew", damaged_files_are_compiled_anew},
    {"altered_blobs_are_refused_by_the_plugin", altered_blobs_are_refused_by_the_plugin},
    {"a_blob_that_ends_the_process_is_tried_once", a_blob_that_ends_the_process_is_tried_once},
    {"processes_share_a_directory", processes_share_a_directory},
    {"no_directory_is_no_failure", no_directory_is_no_failure},
    {"what_was_not_used_for_longest_goes", what_was_not_used_for_longest_goes},
    {"a_process_that_ends_leaves_nothing_torn", a_process_that_ends_leaves_nothing_torn},
};
SY_TEST_MAIN(cases)
