/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a file so that its path holds the old content or all of the new one, never a part: the
 * bytes go to a temporary file beside it, which takes the name when it is complete and on disk. */
#ifndef SY_BASE_FILE_ATOMIC_H
#define SY_BASE_FILE_ATOMIC_H

#include "base/memory.h"

typedef struct sy__file_atomic {
    const sy_allocator *allocator;
    char *path, *temporary; /* in one block */
    size_t n_path_bytes;
    uint8_t *buffer;
    size_t n_buffered;
    uint64_t n_written; /* with what is buffered */
    bool is_private;    /* may be set before the commit: for nobody's eyes but the owner's */
    int fd;
} sy__file_atomic;

/* PERMISSION_DENIED, NOT_FOUND for the folder, RESOURCE_EXHAUSTED, UNAVAILABLE. */
SY_MUST_CHECK sy_status sy__file_atomic_open(const sy_allocator *allocator, const char *path,
                                             sy__file_atomic *out_file, sy_error *error);
SY_MUST_CHECK sy_status sy__file_atomic_write(sy__file_atomic *file, const void *bytes,
                                              size_t n_bytes, sy_error *error);
/* Puts the file in place and ends the object, also when it fails; then nothing is left behind. */
SY_MUST_CHECK sy_status sy__file_atomic_commit(sy__file_atomic *file, sy_error *error);
/* Ends the object and leaves what was there before. After a commit it does nothing. */
void sy__file_atomic_abandon(sy__file_atomic *file);

#endif
