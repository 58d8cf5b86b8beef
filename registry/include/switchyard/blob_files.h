/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blob store that keeps files: one directory of this user, a file for each blob, its record in
 * clear in front of the bytes. Processes share it without waiting for each other: two that compile
 * the same segment at once both write it whole, and the later one stays. The directory is made when
 * a blob is first looked for; where it cannot be used, every answer says so in a sentence and
 * segments are compiled.
 */
#ifndef SWITCHYARD_BLOB_FILES_H
#define SWITCHYARD_BLOB_FILES_H

#include "switchyard/allocator.h"
#include "switchyard/blob_store.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sy_blob_files_options {
    uint32_t struct_bytes; /* sizeof(sy_blob_files_options) */
    uint32_t reserved;
    const sy_allocator *allocator; /* NULL: heap */
    const char *directory;         /* NULL: switchyard/blobs in XDG_CACHE_HOME or ~/.cache */
    uint64_t limit_bytes;          /* of all files; those not used for longest go. 0: 512 MiB */
} sy_blob_files_options;

typedef struct sy_blob_files sy_blob_files;

/* Makes a store; touches no file. NULL options: defaults.
 * shape: -  unit: -  owner: caller, sy_blob_files_destroy  errors: NOT_FOUND without a directory
 * when the environment names none or the process is privileged, RESOURCE_EXHAUSTED
 * thread: any while nobody changes the environment  cost: O(1)  since: 0.1
 * source: docs/decisions/0033 */
SY_MUST_CHECK sy_status sy_blob_files_create(const sy_blob_files_options *options,
                                             sy_blob_files **out_files, sy_error *error);

/* Ends a store; its files stay. NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time
 * cost: O(1)  since: 0.1  source: - */
void sy_blob_files_destroy(sy_blob_files *files);

/* For sy_runtime_options.blobs.
 * shape: -  unit: -  owner: files  errors: none  thread: any  cost: O(1)  since: 0.1  source: - */
const sy_blob_store *sy_blob_files_store(const sy_blob_files *files);

#ifdef __cplusplus
}
#endif
#endif
