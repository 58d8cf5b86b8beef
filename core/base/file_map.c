/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static sy_status open_failed(const char *path, sy_error *error) {
    sy_status status = errno == ENOENT || errno == ENOTDIR ? SY_NOT_FOUND
                       : errno == EACCES || errno == EPERM ? SY_PERMISSION_DENIED
                                                           : SY_UNAVAILABLE;
    char text[128];
    sy_error_set(error, status, "Cannot open the file: %s.", strerror_r(errno, text, sizeof(text)));
    sy_error_hint(error, "Check the path and that this user may read the file.");
    sy_error_at(error, path, UINT64_MAX);
    return status;
}

static sy_status refuse(const char *path, const char *why, sy_error *error) {
    sy_error_set(error, SY_INVALID_ARGUMENT, "Cannot map the file: %s.", why);
    sy_error_hint(error, "Give the path of a regular file with content.");
    sy_error_at(error, path, UINT64_MAX);
    return SY_INVALID_ARGUMENT;
}

static sy_status map_descriptor(int fd, const char *path, sy__file_map *out_map, sy_error *error) {
    struct stat facts;
    if (fstat(fd, &facts) != 0) {
        return open_failed(path, error);
    }
    if (!S_ISREG(facts.st_mode)) {
        return refuse(path, "it is no regular file", error);
    }
    if (facts.st_size <= 0) {
        return refuse(path, "it is empty", error);
    }
    if ((uint64_t)facts.st_size > SIZE_MAX) {
        return refuse(path, "it is larger than the address space", error);
    }
    void *bytes = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        sy_error_set(error, SY_RESOURCE_EXHAUSTED, "Cannot map %lld bytes of the file.",
                     (long long)facts.st_size);
        sy_error_hint(error, "Raise the address space limit (ulimit -v).");
        sy_error_at(error, path, UINT64_MAX);
        return SY_RESOURCE_EXHAUSTED;
    }
    /* A file system that keeps large folios then reads and maps by 2 MiB; the others ignore it. */
    (void)madvise(bytes, (size_t)facts.st_size, MADV_HUGEPAGE);
    out_map->bytes = bytes;
    out_map->n_bytes = (uint64_t)facts.st_size;
    return SY_OK;
}

sy_status sy__file_map_open(const char *path, sy__file_map *out_map, sy_error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block us */
    if (fd < 0) {
        return open_failed(path, error);
    }
    sy_status status = map_descriptor(fd, path, out_map, error);
    close(fd);
    return status;
}

void sy__file_map_close(sy__file_map *map) {
    if (map->bytes != NULL) {
        /* munmap takes a plain pointer; nothing is written through it */
        munmap((void *)(uintptr_t)map->bytes, (size_t)map->n_bytes);
    }
    map->bytes = NULL;
    map->n_bytes = 0;
}

/* The whole pages within a part of a mapping. */
static void advise(const void *bytes, uint64_t n_bytes, int advice) {
    uintptr_t begin = ((uintptr_t)bytes + 4095u) & ~(uintptr_t)4095u;
    uintptr_t end = ((uintptr_t)bytes + (uintptr_t)n_bytes) & ~(uintptr_t)4095u;
    if (end > begin) {
        (void)madvise((void *)begin, end - begin, advice);
    }
}

void sy__file_map_page_out(const void *bytes, uint64_t n_bytes) {
#if defined(MADV_PAGEOUT)
    advise(bytes, n_bytes, MADV_PAGEOUT);
#else
    (void)bytes;
    (void)n_bytes;
#endif
}

void sy__file_map_forget(const void *bytes, uint64_t n_bytes) {
    advise(bytes, n_bytes, MADV_DONTNEED);
}
