/* SPDX-License-Identifier: Apache-2.0 */
#include "blob_entries.h"

#include "base/digest.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LEFT_OVER_SECONDS 3600 /* a temporary file of that age has nobody who writes it */

void sy__blob_file_name(const uint8_t name[SY_BLOB_NAME_BYTES], const char *suffix,
                        char out_name[SY__BLOB_FILE_NAME_BYTES]) {
    char hex[65];
    sy__digest_hex(name, hex);
    snprintf(out_name, SY__BLOB_FILE_NAME_BYTES, "%s%s", hex, suffix);
}

/* Opens the directory for reading its entries; NULL when the system refuses. */
static DIR *open_entries(int directory) {
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    if (entries == NULL && fd >= 0) {
        close(fd);
    }
    return entries;
}

static bool is_newer(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

/* 64 digits and ".blob", as sy__blob_file_name writes them; fills name. */
static bool is_blob_name(const char *file, uint8_t out_name[SY_BLOB_NAME_BYTES]) {
    for (size_t i = 0; i < 2 * SY_BLOB_NAME_BYTES; i++) {
        const char *digits = "0123456789abcdef", *at = strchr(digits, file[i]);
        if (file[i] == '\0' || at == NULL) {
            return false;
        }
        unsigned high = i % 2 == 1 ? out_name[i / 2] : 0u;
        out_name[i / 2] = (uint8_t)(high << 4 | (unsigned)(at - digits));
    }
    return strcmp(file + 2 * SY_BLOB_NAME_BYTES, ".blob") == 0;
}

bool sy__blob_entries_find_kin(int directory, const uint8_t name[SY_BLOB_NAME_BYTES],
                               uint8_t out_kin[SY_BLOB_NAME_BYTES]) {
    struct timespec newest = {0};
    bool is_found = false;
    DIR *entries = open_entries(directory);
    const struct dirent *entry = entries != NULL ? readdir(entries) : NULL;
    for (; entry != NULL; entry = readdir(entries)) {
        struct stat facts;
        uint8_t each[SY_BLOB_NAME_BYTES] = {0};
        if (is_blob_name(entry->d_name, each) && memcmp(each, name, SY_BLOB_KIN_BYTES) == 0 &&
            memcmp(each, name, sizeof(each)) != 0 &&
            fstatat(directory, entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
            (!is_found || is_newer(&facts.st_mtim, &newest))) {
            newest = facts.st_mtim;
            is_found = true;
            memcpy(out_kin, each, sizeof(each));
        }
    }
    if (entries != NULL) {
        closedir(entries);
    }
    return is_found;
}

/* One look through the directory: bytes of all blobs, and the one that was used longest ago. Takes
 * away what a process that ended left half written. */
static uint64_t look_through(DIR *entries, const char *newest,
                             char out_oldest[SY__BLOB_FILE_NAME_BYTES]) {
    uint64_t total_bytes = 0;
    struct timespec oldest = {0};
    out_oldest[0] = '\0';
    rewinddir(entries);
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        struct stat facts;
        const char *suffix = strchr(entry->d_name, '.');
        if (suffix == NULL || suffix - entry->d_name != 64 || strcmp(suffix, ".trial") == 0 ||
            fstatat(dirfd(entries), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        if (strcmp(suffix, ".blob") != 0) {
            if (facts.st_mtim.tv_sec < time(NULL) - LEFT_OVER_SECONDS) {
                unlinkat(dirfd(entries), entry->d_name, 0);
            }
            continue;
        }
        total_bytes += (uint64_t)facts.st_size;
        bool is_older = out_oldest[0] == '\0' || is_newer(&oldest, &facts.st_mtim);
        if (is_older && strcmp(entry->d_name, newest) != 0) {
            oldest = facts.st_mtim;
            snprintf(out_oldest, SY__BLOB_FILE_NAME_BYTES, "%.69s", entry->d_name);
        }
    }
    return total_bytes;
}

void sy__blob_entries_make_room(int directory, uint64_t limit_bytes, const char *newest) {
    char oldest[SY__BLOB_FILE_NAME_BYTES];
    DIR *entries = open_entries(directory);
    if (entries == NULL) {
        return;
    }
    while (look_through(entries, newest, oldest) > limit_bytes && oldest[0] != '\0' &&
           unlinkat(directory, oldest, 0) == 0) {}
    closedir(entries);
}
