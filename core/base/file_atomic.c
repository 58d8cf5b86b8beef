/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file_atomic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES ((size_t)1 << 20)
#define SUFFIX ".XXXXXX"

static sy_status failed(const sy__file_atomic *file, const char *what, sy_error *error) {
    sy_status status = errno == EACCES || errno == EPERM || errno == EROFS ? SY_PERMISSION_DENIED
                       : errno == ENOENT || errno == ENOTDIR               ? SY_NOT_FOUND
                       : errno == ENOSPC || errno == EDQUOT || errno == EFBIG
                           ? SY_RESOURCE_EXHAUSTED
                           : SY_UNAVAILABLE;
    char text[128];
    sy_error_set(error, status, "The file cannot be %s: %s.", what,
                 strerror_r(errno, text, sizeof(text)));
    sy_error_hint(error, "Check that the folder exists, may be written, and has room.");
    sy_error_at(error, file->path, UINT64_MAX);
    return status;
}

sy_status sy__file_atomic_open(const sy_allocator *allocator, const char *path,
                               sy__file_atomic *out_file, sy_error *error) {
    size_t n = strlen(path);
    sy__file_atomic file = {
        .allocator = sy__allocator_or_heap(allocator), .n_path_bytes = n, .fd = -1};
    file.path = sy__alloc_array(file.allocator, 2 * n + 2 + sizeof(SUFFIX), 1);
    file.buffer = sy__alloc_array(file.allocator, BUFFER_BYTES, 1);
    if (file.path == NULL || file.buffer == NULL) {
        sy__file_atomic_abandon(&file);
        return sy__no_memory(error, BUFFER_BYTES, "writing a file");
    }
    memcpy(file.path, path, n + 1);
    file.temporary = file.path + n + 1;
    memcpy(file.temporary, path, n);
    memcpy(file.temporary + n, SUFFIX, sizeof(SUFFIX));
    file.fd = mkstemp(file.temporary);
    if (file.fd < 0) {
        sy_status status = failed(&file, "created", error);
        sy__file_atomic_abandon(&file);
        return status;
    }
    *out_file = file;
    return SY_OK;
}

static sy_status flush(sy__file_atomic *file, sy_error *error) {
    for (size_t at = 0; at < file->n_buffered;) {
        ssize_t n = write(file->fd, file->buffer + at, file->n_buffered - at);
        if (n < 0 && errno != EINTR) {
            return failed(file, "written", error);
        }
        at += n > 0 ? (size_t)n : 0;
    }
    file->n_buffered = 0;
    return SY_OK;
}

sy_status sy__file_atomic_write(sy__file_atomic *file, const void *bytes, size_t n_bytes,
                                sy_error *error) {
    const uint8_t *from = bytes;
    while (n_bytes > 0) {
        size_t room = BUFFER_BYTES - file->n_buffered, n = n_bytes < room ? n_bytes : room;
        memcpy(file->buffer + file->n_buffered, from, n);
        file->n_buffered += n;
        file->n_written += n;
        from += n;
        n_bytes -= n;
        sy_status status = file->n_buffered == BUFFER_BYTES ? flush(file, error) : SY_OK;
        if (status != SY_OK) {
            return status;
        }
    }
    return SY_OK;
}

sy_status sy__file_atomic_commit(sy__file_atomic *file, sy_error *error) {
    mode_t mask = umask(0); /* mkstemp gives 0600; the file gets what any other would */
    umask(mask);
    mode_t mode = file->is_private ? 0600 : 0666 & ~mask;
    sy_status status = flush(file, error);
    if (status == SY_OK && (fchmod(file->fd, mode) != 0 || fsync(file->fd) != 0)) {
        status = failed(file, "written", error);
    }
    if (status == SY_OK && rename(file->temporary, file->path) != 0) {
        status = failed(file, "put in place", error);
    }
    if (status == SY_OK) {
        file->temporary = NULL;
    }
    sy__file_atomic_abandon(file);
    return status;
}

void sy__file_atomic_abandon(sy__file_atomic *file) {
    if (file->fd >= 0) {
        close(file->fd);
        if (file->temporary != NULL) {
            unlink(file->temporary);
        }
    }
    sy__free_array(file->allocator, file->path, 2 * file->n_path_bytes + 2 + sizeof(SUFFIX), 1);
    sy__free_array(file->allocator, file->buffer, BUFFER_BYTES, 1);
    *file = (sy__file_atomic){.allocator = file->allocator, .fd = -1};
}
