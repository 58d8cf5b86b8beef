/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who could have put this file here? Every folder from the root down and the file itself must
 * belong to root or to the effective user, and nobody else may write to it. A folder above may be
 * writable when it is sticky and root's (/tmp): there nobody can replace what is not his own.
 */
#include "registry_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static sy_status untrusted(sy_error *error, const char *path, const char *message,
                           const char *hint) {
    sy_error_set(error, SY_PERMISSION_DENIED, "%s %s", path, message);
    sy_error_hint(error, "%s", hint);
    return SY_PERMISSION_DENIED;
}

static sy_status check_owner(const char *path, const struct stat *facts, bool root_only,
                             bool may_be_sticky, sy_error *error) {
    if (facts->st_uid != 0 && (root_only || facts->st_uid != geteuid())) {
        return untrusted(error, path,
                         root_only ? "does not belong to root."
                                   : "belongs neither to root nor to the effective "
                                     "user.",
                         "Let root own it.");
    }
    bool is_sticky =
        S_ISDIR(facts->st_mode) && (facts->st_mode & S_ISVTX) != 0 && facts->st_uid == 0;
    if ((facts->st_mode & 022) != 0 && !(may_be_sticky && is_sticky)) {
        return untrusted(error, path, "may be written by its group or by everybody.",
                         "Take the right away: chmod go-w PATH.");
    }
    return SY_OK;
}

static sy_status cannot(sy_error *error, const char *path, int code) {
    sy_status status = code == ENOENT || code == ENOTDIR ? SY_NOT_FOUND
                       : code == EACCES || code == ELOOP ? SY_PERMISSION_DENIED
                                                         : SY_UNAVAILABLE;
    sy_error_set(error, status, "%s cannot be opened: %s.", path,
                 code == ELOOP ? "it is a symbolic link" : strerror(code));
    return status;
}

/* Opens the next component below *inout_fd, which it replaces. `path` is cut after it. */
static sy_status step_down(int *inout_fd, const char *path, const char *name, bool root_only,
                           bool is_last, sy_error *error) {
    int flags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | (is_last ? O_RDONLY : O_PATH);
    struct stat facts;
    int fd = openat(*inout_fd, name, flags);
    if (fd < 0 || fstat(fd, &facts) != 0) {
        int code = errno;
        if (fd >= 0) {
            close(fd);
        }
        return cannot(error, path, code);
    }
    close(*inout_fd);
    *inout_fd = fd;
    return check_owner(path, &facts, root_only, !is_last, error);
}

/* realpath may pass through links; what counts is every folder of the path it answers. */
sy_status sy__trust_open_directory(const char *path, bool root_only, int *out_fd, sy_error *error) {
    char real[PATH_MAX];
    if (path[0] != '/' && sy_conf_is_privileged()) {
        return untrusted(error, path, "is a relative path.", "Write it from the root on.");
    }
    if (realpath(path, real) == NULL) {
        return cannot(error, path, errno);
    }
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return cannot(error, "/", errno);
    }
    sy_status status = SY_OK;
    for (char *name = real + 1; status == SY_OK && *name != '\0';) {
        char *end = name + strcspn(name, "/");
        bool is_last = *end == '\0';
        char component[NAME_MAX + 1];
        snprintf(component, sizeof(component), "%.*s", (int)(end - name), name);
        *end = '\0'; /* real is now the path of this component */
        status = step_down(&fd, real, component, root_only, is_last, error);
        *end = is_last ? '\0' : '/';
        name = is_last ? end : end + 1;
    }
    if (status != SY_OK) {
        close(fd);
        return status;
    }
    *out_fd = fd;
    return SY_OK;
}

static const char *kind_of(mode_t mode) {
    return S_ISLNK(mode)    ? "is a symbolic link."
           : S_ISFIFO(mode) ? "is a FIFO, not a file."
           : S_ISSOCK(mode) ? "is a socket, not a file."
           : S_ISDIR(mode)  ? "is a folder, not a file."
           : S_ISREG(mode)  ? "is a file, not a folder."
                            : "is a device, not a file.";
}

sy_status sy__trust_open_inside(int directory_fd, const char *name, bool root_only, bool is_folder,
                                int *out_fd, sy_error *error) {
    struct stat before, facts;
    if (fstatat(directory_fd, name, &before, AT_SYMLINK_NOFOLLOW) != 0) {
        return cannot(error, name, errno);
    }
    if (is_folder ? !S_ISDIR(before.st_mode) : !S_ISREG(before.st_mode)) {
        return untrusted(error, name, kind_of(before.st_mode), "Put the file itself there.");
    }
    int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = openat(directory_fd, name, flags | (is_folder ? O_DIRECTORY : 0));
    if (fd < 0 || fstat(fd, &facts) != 0) {
        int code = errno;
        if (fd >= 0) {
            close(fd);
        }
        return cannot(error, name, code);
    }
    sy_status status = check_owner(name, &facts, root_only, false, error);
    if (status == SY_OK && (facts.st_mode & S_IFMT) != (before.st_mode & S_IFMT)) {
        status = untrusted(error, name, "was replaced while it was opened.", "Try again.");
    }
    if (status != SY_OK) {
        close(fd);
        return status;
    }
    *out_fd = fd;
    return SY_OK;
}
