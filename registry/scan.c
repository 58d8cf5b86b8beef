/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists what a plugin directory holds: folders NAME with NAME/plugin.ini, and single files NAME.so
 * with NAME.ini beside them. Names are taken in order, so that every machine sees the same list.
 */
#include "registry_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRIES_MAX 4096u /* of one directory; far more than a plugin directory ever has */

typedef struct name_list {
    char (*names)[SY_LIMIT_NAME_BYTES + 1];
    size_t n, capacity;
} name_list;

static int compare_names(const void *a, const void *b) {
    return strcmp(a, b);
}

static sy_status read_names(const sy_allocator *allocator, DIR *stream, name_list *list,
                            sy_error *error) {
    for (struct dirent *entry = readdir(stream); entry != NULL; entry = readdir(stream)) {
        size_t n = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || n > SY_LIMIT_NAME_BYTES || list->n >= ENTRIES_MAX) {
            continue;
        }
        if (!sy__grow_array(allocator, (void **)&list->names, &list->capacity, list->n + 1,
                            sizeof(*list->names))) {
            return sy__no_memory(error, list->n * sizeof(*list->names), "a list of files");
        }
        memcpy(list->names[list->n++], entry->d_name, n + 1);
    }
    if (list->n > 0) {
        qsort(list->names, list->n, sizeof(*list->names), compare_names);
    }
    return SY_OK;
}

static sy_status list_names(const sy_allocator *allocator, int directory_fd, name_list *list,
                            sy_error *error) {
    int fd = fcntl(directory_fd, F_DUPFD_CLOEXEC, 0);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (stream == NULL) {
        sy_error_set(error, SY_UNAVAILABLE, "The folder cannot be read: %s.", strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return SY_UNAVAILABLE;
    }
    sy_status status = read_names(allocator, stream, list, error);
    closedir(stream);
    return status;
}

static bool ends_with_so(const char *name) {
    size_t n = strlen(name);
    return n > 3 && strcmp(name + n - 3, ".so") == 0;
}

static bool holds(int directory_fd, const char *folder, const char *name) {
    char path[2 * SY_LIMIT_NAME_BYTES + 16];
    struct stat facts;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return fstatat(directory_fd, path, &facts, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A folder counts when it holds a manifest or a shared object of its name. */
static bool is_plugin_folder(int directory_fd, const char *name) {
    char file[SY_LIMIT_NAME_BYTES + 8];
    snprintf(file, sizeof(file), "%s.so", name);
    return holds(directory_fd, name, SY__MANIFEST_NAME) || holds(directory_fd, name, file);
}

static sy_status take_folder(sy_registry *registry, const char *directory, int directory_fd,
                             const char *name, sy_error *error) {
    int fd = -1;
    sy_error why;
    sy_status status =
        sy__trust_open_inside(directory_fd, name, registry->trust->root_only, true, &fd, &why);
    if (status != SY_OK) {
        return sy__candidate_list(registry, directory, name, SY_CANDIDATE_UNTRUSTED, &why, error);
    }
    status = sy__candidate_take(registry, directory, fd, name, false, error);
    close(fd);
    return status;
}

static sy_status take_file(sy_registry *registry, const char *directory, int directory_fd,
                           const char *name, sy_error *error) {
    char base_name[SY_LIMIT_NAME_BYTES + 1];
    snprintf(base_name, sizeof(base_name), "%.*s", (int)(strlen(name) - 3), name);
    return sy__candidate_take(registry, directory, directory_fd, base_name, true, error);
}

/* What is named like a plugin and is none: a link, a FIFO, a socket, a device, an empty folder. */
static sy_status list_odd(sy_registry *registry, const char *directory, int directory_fd,
                          const char *name, sy_error *error) {
    int fd = -1;
    sy_error why;
    sy_status status = sy__trust_open_inside(directory_fd, name, false, false, &fd, &why);
    if (status == SY_OK) {
        close(fd); /* it became a file while we looked */
        sy_error_set(&why, SY_PERMISSION_DENIED, "It was replaced while it was looked at.");
    }
    return sy__candidate_list(registry, directory, name, SY_CANDIDATE_UNTRUSTED, &why, error);
}

static sy_status take_entry(sy_registry *registry, sy_registry_directory *directory,
                            int directory_fd, const char *name, sy_error *error) {
    struct stat facts, target;
    if (fstatat(directory_fd, name, &facts, AT_SYMLINK_NOFOLLOW) != 0) {
        return SY_OK; /* gone again */
    }
    bool is_folder = S_ISDIR(facts.st_mode) && is_plugin_folder(directory_fd, name);
    bool is_file = S_ISREG(facts.st_mode) && ends_with_so(name);
    bool leads_to_folder = S_ISLNK(facts.st_mode) && fstatat(directory_fd, name, &target, 0) == 0 &&
                           S_ISDIR(target.st_mode);
    if (!is_folder && !is_file && !leads_to_folder && !ends_with_so(name)) {
        return SY_OK;
    }
    if (registry->n_candidates >= SY_LIMIT_PLUGINS) {
        directory->n_left_out++;
        return SY_OK;
    }
    if (is_folder) {
        return take_folder(registry, directory->path, directory_fd, name, error);
    }
    return is_file ? take_file(registry, directory->path, directory_fd, name, error)
                   : list_odd(registry, directory->path, directory_fd, name, error);
}

sy_status sy__scan_directory(sy_registry *registry, sy_registry_directory *directory,
                             sy_error *error) {
    int fd = -1;
    sy_error why;
    sy_status status =
        sy__trust_open_directory(directory->path, registry->trust->root_only, &fd, &why);
    if (status != SY_OK) {
        sy_error_format(&why, directory->reason, sizeof(directory->reason));
        return SY_OK;
    }
    name_list list = {NULL, 0, 0};
    status = list_names(registry->allocator, fd, &list, error);
    directory->is_searched = status == SY_OK;
    for (size_t i = 0; status == SY_OK && i < list.n; i++) {
        status = take_entry(registry, directory, fd, list.names[i], error);
    }
    if (SY_STATUS_CLASS(status) == SY_UNAVAILABLE) {
        sy_error_format(error, directory->reason, sizeof(directory->reason));
        status = SY_OK;
    }
    sy__free_array(registry->allocator, list.names, list.capacity, sizeof(*list.names));
    close(fd);
    return status;
}
