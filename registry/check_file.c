/* SPDX-License-Identifier: Apache-2.0 */
/* The checks before loading for one file, without a directory, a configuration or a runtime. */
#include "registry_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096

/* The manifest beside `path`: plugin.ini in its folder, else the same name with .ini. */
static int open_manifest(const char *path, char out_path[PATH_BYTES]) {
    const char *slash = strrchr(path, '/');
    int n_folder = slash != NULL ? (int)(slash - path) + 1 : 0;
    const char *dot = strrchr(path + n_folder, '.');
    int n_stem = dot != NULL ? (int)(dot - path) : (int)strlen(path);
    snprintf(out_path, PATH_BYTES, "%.*s" SY__MANIFEST_NAME, n_folder, path);
    int fd = open(out_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        snprintf(out_path, PATH_BYTES, "%.*s.ini", n_stem, path);
        fd = open(out_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    }
    return fd;
}

/* The manifest must mean this file, this processor and this ABI. */
static sy_status check_manifest(const sy__manifest *manifest, const char *path, sy_error *error) {
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    char expected[SY_LIMIT_NAME_BYTES + 4];
    snprintf(expected, sizeof(expected), "%s.so", manifest->name);
    const char *file = manifest->file != NULL ? manifest->file : expected;
    if (strcmp(file, base) != 0) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "The manifest speaks of %.100s, not of %.100s.", file, base);
    }
    sy_candidate_state state = SY_CANDIDATE_READY;
    if (!sy__manifest_fits_processor(manifest, error) ||
        !sy__manifest_fits_abi(manifest, &state, error)) {
        return SY_UNIMPLEMENTED;
    }
    return SY_OK;
}

sy_status sy_registry_check_file(const char *path, sy_error *error) {
    char manifest_path[PATH_BYTES];
    sy_error_clear(error);
    int fd = open_manifest(path, manifest_path);
    if (fd < 0) {
        sy_error_set(error, SY_NOT_FOUND, "There is no manifest beside %.150s.", path);
        sy_error_hint(error, "docs/plugin-manifest.md shows one.");
        return SY_NOT_FOUND;
    }
    sy__candidate candidate = {.fd = -1};
    const sy_conf_trust trust = {0}; /* a hash is asked for only when the manifest gives one */
    sy_registry registry = {.trust = &trust};
    sy_status status = sy__manifest_read(NULL, fd, manifest_path, &candidate.manifest, error);
    close(fd);
    if (status != SY_OK) {
        return status;
    }
    status = check_manifest(&candidate.manifest, path, error);
    fd = status == SY_OK ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (status == SY_OK && fd < 0) {
        status = sy_error_set(error, SY_NOT_FOUND, "%.150s cannot be opened: %s.", path,
                              strerror(errno));
    }
    if (status == SY_OK) {
        status = sy__plugin_check_file(&registry, &candidate, fd, error);
    }
    if (fd >= 0) {
        close(fd);
    }
    sy__manifest_deinit(&candidate.manifest);
    return status;
}

uint32_t sy_registry_file_has_option(const char *path, const char *option) {
    char manifest_path[PATH_BYTES];
    sy_error why;
    sy__manifest manifest;
    int fd = open_manifest(path, manifest_path);
    if (fd < 0) {
        return 0;
    }
    sy_status status = sy__manifest_read(NULL, fd, manifest_path, &manifest, &why);
    close(fd);
    if (status != SY_OK) {
        return 0;
    }
    bool is_known = sy__manifest_knows_options(&manifest, option, &why);
    sy__manifest_deinit(&manifest);
    return is_known;
}
