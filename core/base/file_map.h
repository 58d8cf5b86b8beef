/* SPDX-License-Identifier: Apache-2.0 */
/* A read-only mapping of a whole regular file. */
#ifndef SY_BASE_FILE_MAP_H
#define SY_BASE_FILE_MAP_H

#include "switchyard/status.h"

typedef struct sy__file_map {
    const uint8_t *bytes;
    uint64_t n_bytes;
} sy__file_map;

/* NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT (no regular file, empty). */
SY_MUST_CHECK sy_status sy__file_map_open(const char *path, sy__file_map *out_map, sy_error *error);
void sy__file_map_close(sy__file_map *map);
/* Pages of a mapping that will not be read again soon: the page cache keeps them while it has room.
 */
void sy__file_map_page_out(const void *bytes, uint64_t n_bytes);
/* Pages of a file's mapping, and of no other memory, leave this process; the page cache keeps them.
 */
void sy__file_map_forget(const void *bytes, uint64_t n_bytes);

#endif
