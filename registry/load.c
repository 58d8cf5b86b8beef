/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings the code in: hash, static check and dlopen all use the descriptor that trust.c opened, so
 * that no other file can slip in between, and the file must not change meanwhile. The descriptor
 * stays open while the code is mapped: the loader knows the object by the name /proc/self/fd/N and
 * would answer the old object for a new file that got the same number.
 */
#include "registry_internal.h"

#include "base/digest.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES 65536u

static sy_status hash_file(const sy_allocator *allocator, int fd, uint8_t out_digest[32],
                           sy_error *error) {
    uint8_t *buffer = sy__alloc_array(allocator, READ_BYTES, 1);
    if (buffer == NULL) {
        return sy__no_memory(error, READ_BYTES, "hashing a plugin");
    }
    sy__sha256 sha;
    sy__sha256_init(&sha);
    off_t offset = 0;
    ssize_t n = 0;
    do {
        n = pread(fd, buffer, READ_BYTES, offset);
        if (n > 0) {
            sy__sha256_update(&sha, buffer, (size_t)n);
            offset += n;
        }
    } while (n > 0 || (n < 0 && errno == EINTR));
    sy__free_array(allocator, buffer, READ_BYTES, 1);
    if (n < 0) {
        return sy_error_set(error, SY_DATA_LOSS, "The file cannot be read: %s.", strerror(errno));
    }
    sy__sha256_final(&sha, out_digest);
    return SY_OK;
}

sy_status sy__plugin_identify(sy_registry *registry, sy__candidate *candidate, sy_error *error) {
    static const uint8_t unknown[sizeof(candidate->table.build_id)];
    if (candidate->table.compile == NULL ||
        memcmp(candidate->table.build_id, unknown, sizeof(unknown)) != 0) {
        return SY_OK;
    }
    return hash_file(registry->allocator, candidate->fd, candidate->table.build_id, error);
}

static sy_status check_hash(sy_registry *registry, const sy__manifest *manifest, int fd,
                            sy_error *error) {
    if (manifest->sha256 == NULL) {
        if (!registry->trust->require_sha256) {
            return SY_OK;
        }
        sy_error_set(error, SY_UNAUTHENTICATED,
                     "Its manifest gives no sha256, and [trust] hashes "
                     "= required.");
        sy_error_hint(error, "Add sha256 = ... to the manifest.");
        return SY_UNAUTHENTICATED;
    }
    char hex[65] = "";
    uint8_t digest[32];
    sy_status status = hash_file(registry->allocator, fd, digest, error);
    if (status == SY_OK) {
        sy__digest_hex(digest, hex);
    }
    if (status == SY_OK && strcmp(hex, manifest->sha256) != 0) {
        sy_error_set(error, SY_UNAUTHENTICATED, "Its SHA-256 is %s; the manifest says otherwise.",
                     hex);
        sy_error_hint(error, "Install the file and the manifest of the same build.");
        return SY_UNAUTHENTICATED;
    }
    return status;
}

static bool is_unchanged(const struct stat *before, int fd) {
    struct stat now;
    return fstat(fd, &now) == 0 && now.st_size == before->st_size &&
           now.st_ctim.tv_sec == before->st_ctim.tv_sec &&
           now.st_ctim.tv_nsec == before->st_ctim.tv_nsec;
}

/* The loader's text begins with the descriptor's path, which says nothing to people. */
static const char *loader_text(const char *path) {
    const char *text = dlerror();
    text = text != NULL ? text : "no reason given";
    size_t n = strlen(path);
    return strncmp(text, path, n) == 0 && strncmp(text + n, ": ", 2) == 0 ? text + n + 2 : text;
}

sy_status sy__plugin_check_file(sy_registry *registry, sy__candidate *candidate, int fd,
                                sy_error *error) {
    struct stat facts;
    if (fstat(fd, &facts) != 0) {
        return sy_error_set(error, SY_UNAVAILABLE, "The file cannot be examined: %s.",
                            strerror(errno));
    }
    if (facts.st_size <= 0 || facts.st_size > (off_t)SY_LIMIT_PLUGIN_BYTES) {
        return sy_error_set(error, SY_OUT_OF_RANGE,
                            "The file has %lld bytes; plugins have 1 to %u.",
                            (long long)facts.st_size, SY_LIMIT_PLUGIN_BYTES);
    }
    sy_status status = check_hash(registry, &candidate->manifest, fd, error);
    if (status == SY_OK) {
        sy__elf_source source = {fd, NULL, (uint64_t)facts.st_size};
        status = sy__elf_check(registry->allocator, &source, sy__manifest_allows,
                               &candidate->manifest, error);
    }
    if (status == SY_OK && !is_unchanged(&facts, fd)) {
        status =
            sy_error_set(error, SY_PERMISSION_DENIED, "The file changed while it was checked.");
    }
    return status;
}

/* A file of its own with the same bytes. */
static sy_status copy_file(int fd, int *out_copy, sy_error *error) {
    struct stat facts;
    int copy = memfd_create("plugin", MFD_CLOEXEC);
    bool copied = copy >= 0 && fstat(fd, &facts) == 0;
    for (off_t at = 0; copied && at < facts.st_size;) {
        copied = sendfile(copy, fd, &at, (size_t)(facts.st_size - at)) > 0;
    }
    if (!copied) {
        sy_error_set(error, SY_RESOURCE_EXHAUSTED, "A second copy of it cannot be made: %s.",
                     strerror(errno));
        if (copy >= 0) {
            close(copy);
        }
        return SY_RESOURCE_EXHAUSTED;
    }
    *out_copy = copy;
    return SY_OK;
}

/* A plugin serves one host. The loader would hand the code that another runtime of this process
 * uses to this one as well, variables and all, so this one gets a copy. */
static sy_status make_own(int *inout_fd, sy_error *error) {
    char path[40];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", *inout_fd);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    if (handle == NULL) {
        return SY_OK;
    }
    dlclose(handle);
    int copy = -1;
    sy_status status = copy_file(*inout_fd, &copy, error);
    if (status == SY_OK) {
        close(*inout_fd);
        *inout_fd = copy;
    }
    return status;
}

sy_status sy__plugin_load(sy_registry *registry, sy__candidate *candidate, int fd,
                          sy_error *error) {
    char path[40];
    sy_status status = sy__plugin_check_file(registry, candidate, fd, error);
    if (status == SY_OK) {
        status = make_own(&fd, error);
    }
    if (status == SY_OK) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        dlerror();
        candidate->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (candidate->handle == NULL) {
            status = sy_error_set(error, SY_INVALID_ARGUMENT, "The loader refused it: %s.",
                                  loader_text(path));
            sy_error_hint(error, "A library it needs may be missing: see ldd on the file.");
        }
    }
    if (status != SY_OK) {
        close(fd);
        return status;
    }
    candidate->fd = fd;
    candidate->public.is_loaded = 1;
    return SY_OK;
}

void sy__plugin_unload(sy__candidate *candidate) {
    if (candidate->handle != NULL) {
        dlclose(candidate->handle);
        close(candidate->fd);
        candidate->handle = NULL;
        candidate->fd = -1;
    }
    candidate->public.is_loaded = 0;
}
