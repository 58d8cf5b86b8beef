/* SPDX-License-Identifier: Apache-2.0 */
/* Opens INI files: regular ones only, without ever blocking, and guarded ones by owner and mode. */
#include "switchyard/ini.h"

#include "base/memory.h"
#include "switchyard/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AT_LINE_NONE UINT64_MAX

static sy_status refuse(sy_error *error, const char *origin, sy_status status, const char *message,
                        const char *hint) {
    sy_error_set(error, status, "%s", message);
    sy_error_hint(error, "%s", hint);
    sy_error_at(error, origin, AT_LINE_NONE);
    return status;
}

static sy_status check_file(const char *origin, const struct stat *facts, int guarded,
                            sy_error *error) {
    if (!S_ISREG(facts->st_mode)) {
        return refuse(error, origin, SY_INVALID_ARGUMENT, "It is not a regular file.",
                      "Name an INI file.");
    }
    if (guarded && facts->st_uid != 0 && facts->st_uid != geteuid()) {
        return refuse(error, origin, SY_PERMISSION_DENIED,
                      "The file belongs neither to root nor to the effective user.",
                      "Let root own it: chown root FILE.");
    }
    if (guarded && (facts->st_mode & 022) != 0) {
        return refuse(error, origin, SY_PERMISSION_DENIED,
                      "The file may be written by its group or by everybody.",
                      "Take the right away: chmod go-w FILE.");
    }
    if (facts->st_size > (off_t)SY_LIMIT_INI_BYTES) {
        sy_error_set(error, SY_OUT_OF_RANGE, "The file has %lld bytes; at most %u are read.",
                     (long long)facts->st_size, SY_LIMIT_INI_BYTES);
        sy_error_at(error, origin, AT_LINE_NONE);
        return SY_OUT_OF_RANGE;
    }
    return SY_OK;
}

/* Reads until the end or the buffer is full; a file that grows meanwhile fails by its size. */
static sy_status read_all(int fd, const char *origin, char *buffer, size_t n_buffer,
                          size_t *out_n_bytes, sy_error *error) {
    size_t n_bytes = 0;
    while (n_bytes < n_buffer) {
        ssize_t n = pread(fd, buffer + n_bytes, n_buffer - n_bytes, (off_t)n_bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return refuse(error, origin, SY_UNAVAILABLE, "The file cannot be read.",
                          strerror(errno));
        }
        if (n == 0) {
            break;
        }
        n_bytes += (size_t)n;
    }
    *out_n_bytes = n_bytes;
    return SY_OK;
}

static sy_status read_checked(const sy_allocator *allocator, const char *origin, int fd,
                              int guarded, sy_ini **out_ini, sy_error *error) {
    struct stat facts;
    if (fstat(fd, &facts) != 0) {
        return refuse(error, origin, SY_UNAVAILABLE, "The file cannot be examined.",
                      strerror(errno));
    }
    sy_status status = check_file(origin, &facts, guarded, error);
    if (status != SY_OK) {
        return status;
    }
    size_t n_buffer = SY_LIMIT_INI_BYTES + 1, n_bytes = 0;
    char *buffer = sy__alloc_array(allocator, n_buffer, 1);
    if (buffer == NULL) {
        return sy__no_memory(error, n_buffer, "an INI file");
    }
    status = read_all(fd, origin, buffer, n_buffer, &n_bytes, error);
    if (status == SY_OK) {
        status = sy_ini_parse(allocator, origin, buffer, n_bytes, out_ini, error);
    }
    sy__free_array(allocator, buffer, n_buffer, 1);
    return status;
}

sy_status sy_ini_read(const sy_allocator *allocator, const char *origin, int fd, sy_ini **out_ini,
                      sy_error *error) {
    return read_checked(allocator, origin, fd, 0, out_ini, error);
}

sy_status sy_ini_open(const sy_allocator *allocator, const char *path, int guarded,
                      sy_ini **out_ini, sy_error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return refuse(error, path, SY_NOT_FOUND, "The file does not exist.", "Check the path.");
    }
    if (fd < 0) {
        return refuse(error, path, errno == EACCES ? SY_PERMISSION_DENIED : SY_UNAVAILABLE,
                      "The file cannot be opened.", strerror(errno));
    }
    sy_status status = read_checked(allocator, path, fd, guarded, out_ini, error);
    close(fd);
    return status;
}
