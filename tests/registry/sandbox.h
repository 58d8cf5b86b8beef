/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin directory of a test's own, a runtime, and the registry over both. */
#ifndef SY_TESTS_REGISTRY_SANDBOX_H
#define SY_TESTS_REGISTRY_SANDBOX_H

#include "harness.h"
#include "switchyard/registry.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>

#define PATH_BYTES 512

typedef struct sandbox {
    char directory[PATH_BYTES]; /* 0755, under /tmp */
    sy_runtime *runtime;
    sy_registry *registry;
    sy_conf *conf;
    const sy_allocator *allocator;
} sandbox;

static inline void copy_path(char out_path[PATH_BYTES], const char *path) {
    int n = snprintf(out_path, PATH_BYTES, "%s", path);
    CHECK(n > 0 && n < PATH_BYTES);
}

static inline void path_in(const char *folder, const char *name, char out_path[PATH_BYTES]) {
    int n = snprintf(out_path, PATH_BYTES, "%s/%s", folder, name);
    CHECK(n > 0 && n < PATH_BYTES);
}

static inline void write_file(const char *path, const void *bytes, size_t n_bytes) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK_TEXT(fd >= 0, "%s", path);
    CHECK(write(fd, bytes, n_bytes) == (ssize_t)n_bytes);
    CHECK(fchmod(fd, 0644) == 0);
    close(fd);
}

static inline size_t read_file(const char *path, void **out_bytes) {
    FILE *file = fopen(path, "rb");
    CHECK_TEXT(file != NULL, "%s", path);
    fseek(file, 0, SEEK_END);
    size_t n = (size_t)ftell(file);
    rewind(file);
    *out_bytes = malloc(n + 1);
    CHECK(*out_bytes != NULL && fread(*out_bytes, 1, n, file) == n);
    fclose(file);
    return n;
}

/* Path of a built variant, e.g. "good". */
static inline void variant_path(const char *variant, char out_path[PATH_BYTES]) {
    const char *build = getenv("SY_BUILD_DIR");
    CHECK_TEXT(build != NULL, "SY_BUILD_DIR is not set");
    int n = snprintf(out_path, PATH_BYTES, "%s/test-plugins/%s.so", build, variant);
    CHECK(n > 0 && n < PATH_BYTES);
}

static inline void copy_file(const char *from, const char *to) {
    void *bytes = NULL;
    size_t n = read_file(from, &bytes);
    write_file(to, bytes, n);
    free(bytes);
}

#define MANIFEST \
    "[plugin]\nname = cpu-test\nversion = 1\nabi_min = 0.9\n[options]\nspeed = how fast\n"

static inline void sandbox_open(sandbox *box) {
    memset(box, 0, sizeof(*box));
    snprintf(box->directory, sizeof(box->directory), "/tmp/sy-registry-XXXXXX");
    CHECK(mkdtemp(box->directory) != NULL);
    CHECK(chmod(box->directory, 0755) == 0);
}

/* DIRECTORY/NAME/NAME.so from a variant, with a manifest (NULL: none). */
static inline void place_as(const sandbox *box, const char *name, const char *variant,
                            const char *manifest) {
    char folder[PATH_BYTES], path[PATH_BYTES + 8], from[PATH_BYTES], file[PATH_BYTES];
    path_in(box->directory, name, folder);
    CHECK(mkdir(folder, 0755) == 0);
    variant_path(variant, from);
    snprintf(file, sizeof(file), "%s.so", name);
    path_in(folder, file, path);
    copy_file(from, path);
    if (manifest != NULL) {
        path_in(folder, "plugin.ini", path);
        write_file(path, manifest, strlen(manifest));
    }
}

static inline void place(const sandbox *box, const char *variant) {
    place_as(box, "cpu-test", variant, MANIFEST);
}

/* Reads `ini` as the administrator's configuration (NULL: defaults) and scans. */
static inline sy_status sandbox_scan_status(sandbox *box, const char *ini, sy_error *error) {
    sy_conf_layer layer = {.level = SY_CONF_ADMIN,
                           .path = "test.ini",
                           .text = ini,
                           .n_text_bytes = ini != NULL ? strlen(ini) : 0};
    sy_conf_options conf_options;
    sy_conf_options_default(&conf_options);
    conf_options.layers = &layer;
    conf_options.n_layers = ini != NULL;
    conf_options.allocator = box->allocator;
    sy_status status = sy_conf_create(&conf_options, &box->conf, error);
    sy_runtime_options runtime_options;
    sy_runtime_options_default(&runtime_options);
    runtime_options.n_threads = 1;
    runtime_options.allocator = box->allocator;
    if (status == SY_OK) {
        status = sy_runtime_create(&runtime_options, &box->runtime, error);
    }
    sy_registry_options options;
    sy_registry_options_default(&options);
    options.conf = box->conf;
    options.default_directory = box->directory;
    options.use_environment = 0;
    if (status == SY_OK) {
        status = sy_registry_open(box->runtime, &options, &box->registry, error);
    }
    return status;
}

static inline void sandbox_scan(sandbox *box, const char *ini) {
    sy_error error;
    CHECK_OK_ERROR(sandbox_scan_status(box, ini, &error), error);
}

static inline uint32_t sandbox_unload(sandbox *box) {
    uint32_t n_left = sy_registry_close(box->registry);
    sy_runtime_destroy(box->runtime);
    sy_conf_destroy(box->conf);
    box->registry = NULL;
    box->runtime = NULL;
    box->conf = NULL;
    return n_left;
}

static inline uint32_t sandbox_close(sandbox *box) {
    char command[PATH_BYTES + 16];
    uint32_t n_left = sandbox_unload(box);
    snprintf(command, sizeof(command), "rm -rf %s", box->directory);
    CHECK(system(command) == 0);
    return n_left;
}

static inline const sy_candidate *only_candidate(const sandbox *box) {
    uint32_t n = 0;
    const sy_candidate *const *candidates = sy_registry_candidates(box->registry, &n);
    CHECK_TEXT(n == 1, "%u candidates", n);
    return candidates[0];
}

/* The one candidate has this state, and its reason holds this text. */
static inline void check_candidate(const sandbox *box, sy_candidate_state state, const char *text) {
    const sy_candidate *candidate = only_candidate(box);
    CHECK_TEXT(candidate->state == state, "state %s: %s", sy_candidate_state_name(candidate->state),
               candidate->reason);
    CHECK_TEXT(strstr(candidate->reason, text) != NULL, "reason: %s", candidate->reason);
    bool is_used = state == SY_CANDIDATE_READY;
    CHECK(candidate->is_loaded == is_used);
    CHECK(sy_runtime_n_delegates(box->runtime) == 1u + is_used);
}

#endif
