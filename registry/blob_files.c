/* SPDX-License-Identifier: Apache-2.0 */
#include "blob_entries.h"
#include "blob_file.h"
#include "switchyard/blob_files.h"
#include "switchyard/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define DEFAULT_LIMIT_BYTES ((uint64_t)512 << 20)
#define SY__BLOB_FILE_NAME_BYTES 80u /* 64 digits, ".blob" or ".trial" */

struct sy_blob_files {
    const sy_allocator *allocator;
    sy_blob_store store;
    uint64_t limit_bytes;
    pthread_mutex_t lock; /* guards fd, is_tried and problem */
    int fd;               /* of the directory, -1 */
    bool is_tried;
    sy_error problem; /* why there is no directory */
    char directory[PATH_BYTES];
};

/* What a found blob holds on to. */
typedef struct held_file {
    uint8_t *bytes;
    size_t n_bytes;
    int trial_fd; /* locked while the trial runs, -1 */
    char trial_name[SY__BLOB_FILE_NAME_BYTES];
} held_file;

/* mkdir -p, for this user alone. */
static void make_directories(const char *directory) {
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s", directory);
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    mkdir(path, 0700);
}

/* Blobs are code for a driver: nobody else may have put them there. */
static int open_directory(const char *directory, sy_error *error) {
    struct stat facts;
    make_directories(directory);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &facts) != 0) {
        sy_error_set(error, SY_PERMISSION_DENIED, "The blob directory %.150s cannot be used: %s.",
                     directory, strerror(errno));
    } else if (facts.st_uid != geteuid() || (facts.st_mode & 022) != 0) {
        sy_error_set(error, SY_PERMISSION_DENIED,
                     "The blob directory %.150s belongs to another user, or others may write it.",
                     directory);
    } else {
        return fd;
    }
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

/* The directory, opened once; -1 with the reason. */
static int directory_fd(sy_blob_files *files, sy_error *error) {
    pthread_mutex_lock(&files->lock);
    if (!files->is_tried) {
        files->is_tried = true;
        files->fd = open_directory(files->directory, &files->problem);
    }
    int fd = files->fd;
    if (fd < 0 && error != NULL) {
        *error = files->problem;
    }
    pthread_mutex_unlock(&files->lock);
    return fd;
}

/* True when a process that marked the blob is gone without taking the mark away. */
static bool is_mark_left(int directory, const char *trial_name) {
    struct stat facts;
    int fd = openat(directory, trial_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    bool is_left = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &facts) == 0 &&
                   facts.st_nlink > 0; /* 0: taken away since it was opened */
    if (fd >= 0) {
        close(fd);
    }
    return is_left;
}

static sy_status read_whole(int fd, held_file *held, const sy_allocator *allocator,
                            sy_error *error) {
    struct stat facts;
    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_uid != geteuid() ||
        facts.st_size < 0 || (uint64_t)facts.st_size > SY__BLOB_FILE_BYTES_MAX) {
        return sy_error_set(error, SY_STATUS(SY_DATA_LOSS, SY_DETAIL_BLOB_CORRUPT),
                            "The kept blob is no file of this user.");
    }
    held->n_bytes = (size_t)facts.st_size;
    held->bytes = sy__alloc_array(allocator, held->n_bytes, 1);
    if (held->bytes == NULL) {
        return sy__no_memory(error, held->n_bytes, "a kept blob");
    }
    size_t n_read = 0;
    while (n_read < held->n_bytes) {
        ssize_t n = read(fd, held->bytes + n_read, held->n_bytes - n_read);
        if (n <= 0 && !(n < 0 && errno == EINTR)) {
            return sy_error_set(error, SY_STATUS(SY_DATA_LOSS, SY_DETAIL_BLOB_CORRUPT),
                                "The kept blob ends early.");
        }
        n_read += n > 0 ? (size_t)n : 0;
    }
    return SY_OK;
}

static void free_held(const sy_blob_files *files, held_file *held) {
    if (held != NULL) {
        sy__free_array(files->allocator, held->bytes, held->n_bytes, 1);
        SY__DELETE(files->allocator, held);
    }
}

static void files_give_back(void *self, sy_kept_blob *blob) {
    free_held(self, blob->handle);
    *blob = (sy_kept_blob){.handle = NULL};
}

/* Reads and checks the blob of a file name. */
static sy_status read_blob(const sy_blob_files *files, int directory, const char *blob_name,
                           const uint8_t name[SY_BLOB_NAME_BYTES], sy_kept_blob *out_blob,
                           sy_error *error) {
    sy_kept_blob blob = {.handle = NULL};
    int fd = openat(directory, blob_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return errno == ENOENT
                   ? SY_NOT_FOUND
                   : sy_error_set(error, SY_STATUS(SY_DATA_LOSS, SY_DETAIL_BLOB_CORRUPT),
                                  "The kept blob cannot be opened: %s.", strerror(errno));
    }
    held_file *held = SY__NEW(files->allocator, held_file);
    sy_status status = held != NULL ? read_whole(fd, held, files->allocator, error)
                                    : sy__no_memory(error, sizeof(*held), "a kept blob");
    if (status == SY_OK) {
        status = sy__blob_file_parse(held->bytes, held->n_bytes, name, &blob, error);
    }
    if (status == SY_OK) {
        futimens(fd, NULL); /* used now */
    }
    close(fd);
    blob.handle = held;
    if (status != SY_OK) {
        free_held(files, held);
        return status;
    }
    held->trial_fd = -1;
    sy__blob_file_name(name, ".trial", held->trial_name);
    *out_blob = blob;
    return SY_OK;
}

static sy_status files_find(void *self, const uint8_t name[SY_BLOB_NAME_BYTES],
                            sy_kept_blob *out_blob, sy_error *error) {
    sy_blob_files *files = self;
    char blob_name[SY__BLOB_FILE_NAME_BYTES], trial_name[SY__BLOB_FILE_NAME_BYTES];
    int directory = directory_fd(files, error);
    if (directory < 0) {
        return SY_PERMISSION_DENIED;
    }
    sy__blob_file_name(name, ".blob", blob_name);
    sy__blob_file_name(name, ".trial", trial_name);
    if (is_mark_left(directory, trial_name)) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "It was kept, but a process ended while it was loaded.");
    }
    return read_blob(files, directory, blob_name, name, out_blob, error);
}

static sy_status files_find_kin(void *self, const uint8_t name[SY_BLOB_NAME_BYTES],
                                sy_kept_blob *out_blob, sy_error *error) {
    sy_blob_files *files = self;
    uint8_t kin[SY_BLOB_NAME_BYTES];
    char blob_name[SY__BLOB_FILE_NAME_BYTES];
    int directory = directory_fd(files, error);
    if (directory < 0 || !sy__blob_entries_find_kin(directory, name, kin)) {
        return SY_NOT_FOUND;
    }
    sy__blob_file_name(kin, ".blob", blob_name);
    return read_blob(files, directory, blob_name, kin, out_blob, error);
}

/* The mark appears locked: a file of another name is locked and then linked to its own. */
static void files_begin_trial(void *self, const uint8_t name[SY_BLOB_NAME_BYTES],
                              sy_kept_blob *blob) {
    held_file *held = blob->handle;
    char path[SY__BLOB_FILE_NAME_BYTES + 32];
    int directory = directory_fd(self, NULL);
    (void)name; /* held with the blob */
    int n = snprintf(path, sizeof(path), "/proc/self/fd/%d/", directory);
    snprintf(path + n, sizeof(path) - (size_t)n, "%s.XXXXXX", held->trial_name);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        return; /* no room for a mark, so there is none */
    }
    bool is_marked = flock(fd, LOCK_EX | LOCK_NB) == 0 &&
                     linkat(directory, path + n, directory, held->trial_name, 0) == 0;
    unlinkat(directory, path + n, 0);
    if (is_marked) {
        held->trial_fd = fd;
    } else { /* somebody else tries it now */
        close(fd);
    }
}

static void files_end_trial(void *self, sy_kept_blob *blob) {
    held_file *held = blob->handle;
    if (held->trial_fd >= 0) {
        unlinkat(directory_fd(self, NULL), held->trial_name, 0);
        close(held->trial_fd);
        held->trial_fd = -1;
    }
}

static void files_forget(void *self, const uint8_t name[SY_BLOB_NAME_BYTES]) {
    char file[SY__BLOB_FILE_NAME_BYTES];
    int directory = directory_fd(self, NULL);
    if (directory >= 0) {
        sy__blob_file_name(name, ".blob", file);
        unlinkat(directory, file, 0);
        sy__blob_file_name(name, ".trial", file);
        if (is_mark_left(directory, file)) {
            unlinkat(directory, file, 0);
        }
    }
}

static sy_status files_keep(void *self, const uint8_t name[SY_BLOB_NAME_BYTES],
                            const sy_kept_blob *blob, sy_error *error) {
    sy_blob_files *files = self;
    char blob_name[SY__BLOB_FILE_NAME_BYTES], path[SY__BLOB_FILE_NAME_BYTES + 32];
    int directory = directory_fd(files, error);
    if (directory < 0) {
        return SY_PERMISSION_DENIED;
    }
    if (blob->n_bytes > files->limit_bytes) {
        return sy_error_set(
            error, SY_OUT_OF_RANGE, "A blob of %llu bytes is over the limit of %llu.",
            (unsigned long long)blob->n_bytes, (unsigned long long)files->limit_bytes);
    }
    sy__blob_file_name(name, ".blob", blob_name);
    snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", directory, blob_name);
    sy__file_atomic file;
    sy_status status = sy__file_atomic_open(files->allocator, path, &file, error);
    if (status == SY_OK) {
        file.is_private = true;
        status = sy__blob_file_write(&file, files->allocator, name, blob, error);
        status = status == SY_OK ? sy__file_atomic_commit(&file, error) : status;
        sy__file_atomic_abandon(&file);
    }
    if (status == SY_OK) {
        sy__blob_entries_make_room(directory, files->limit_bytes, blob_name);
    }
    return status;
}

/* The user's cache; nothing that the environment says is believed by a privileged process. */
static bool default_directory(char out_path[PATH_BYTES]) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = 0;
    if (sy_conf_is_privileged()) {
        return false;
    }
    if (cache != NULL && cache[0] == '/') {
        n = snprintf(out_path, PATH_BYTES, "%s/switchyard/blobs", cache);
    } else if (home != NULL && home[0] == '/') {
        n = snprintf(out_path, PATH_BYTES, "%s/.cache/switchyard/blobs", home);
    }
    return n > 0 && n < PATH_BYTES;
}

sy_status sy_blob_files_create(const sy_blob_files_options *options, sy_blob_files **out_files,
                               sy_error *error) {
    static const sy_blob_files_options defaults = {.struct_bytes = sizeof(defaults)};
    options = options != NULL ? options : &defaults;
    const sy_allocator *allocator = sy__allocator_or_heap(options->allocator);
    sy_blob_files *files = SY__NEW(allocator, sy_blob_files);
    if (files == NULL) {
        return sy__no_memory(error, sizeof(*files), "the store of blobs");
    }
    int n = options->directory != NULL
                ? snprintf(files->directory, sizeof(files->directory), "%s", options->directory)
                : 0;
    if (n < 0 || n >= PATH_BYTES || (n == 0 && !default_directory(files->directory))) {
        SY__DELETE(allocator, files);
        return sy_error_set(error, SY_NOT_FOUND,
                            "There is no directory to keep blobs in: neither XDG_CACHE_HOME nor "
                            "HOME names one that counts.");
    }
    files->allocator = allocator;
    files->limit_bytes = options->limit_bytes != 0 ? options->limit_bytes : DEFAULT_LIMIT_BYTES;
    files->fd = -1;
    pthread_mutex_init(&files->lock, NULL);
    files->store = (sy_blob_store){.struct_bytes = sizeof(files->store),
                                   .self = files,
                                   .find = files_find,
                                   .find_kin = files_find_kin,
                                   .give_back = files_give_back,
                                   .begin_trial = files_begin_trial,
                                   .end_trial = files_end_trial,
                                   .keep = files_keep,
                                   .forget = files_forget};
    *out_files = files;
    return SY_OK;
}

void sy_blob_files_destroy(sy_blob_files *files) {
    if (files == NULL) {
        return;
    }
    if (files->fd >= 0) {
        close(files->fd);
    }
    pthread_mutex_destroy(&files->lock);
    SY__DELETE(files->allocator, files);
}

const sy_blob_store *sy_blob_files_store(const sy_blob_files *files) {
    return &files->store;
}
