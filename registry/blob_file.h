/* SPDX-License-Identifier: Apache-2.0 */
/* One blob as a file: a line with a digest over all that follows it, then format, stamp, name and
 * record as text, padded so that the bytes begin at a multiple of 64. */
#ifndef SY_REGISTRY_BLOB_FILE_H
#define SY_REGISTRY_BLOB_FILE_H

#include "base/file_atomic.h"
#include "base/text.h"
#include "switchyard/blob_store.h"

#define SY__BLOB_FILE_BYTES_MAX ((uint64_t)1 << 31)

/* Writes the whole file. */
SY_MUST_CHECK sy_status sy__blob_file_write(sy__file_atomic *file, const sy_allocator *allocator,
                                            const uint8_t name[SY_BLOB_NAME_BYTES],
                                            const sy_kept_blob *blob, sy_error *error);
/* Reads what a file holds; out_blob points into it, and the record's end is written there.
 * DATA_LOSS when one bit is not as it was, or it was kept under another name. */
SY_MUST_CHECK sy_status sy__blob_file_parse(uint8_t *file, uint64_t n_file,
                                            const uint8_t name[SY_BLOB_NAME_BYTES],
                                            sy_kept_blob *out_blob, sy_error *error);

#endif
