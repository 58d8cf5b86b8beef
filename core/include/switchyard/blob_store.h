/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A place where compiled segments are kept from one process to the next. The core decides what a
 * blob is good for (docs/decisions/0033): it gives a name, which stands for the segment on one
 * device, and a record of all that the blob was made for; a store only keeps bytes. Hand one to
 * sy_runtime_options.blobs; switchyard/blob_files.h has one that keeps files.
 */
#ifndef SWITCHYARD_BLOB_STORE_H
#define SWITCHYARD_BLOB_STORE_H

#include "switchyard/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SY_BLOB_NAME_BYTES 32u
#define SY_BLOB_KIN_BYTES 8u /* of a name: plugin, device and segment alone */
#define SY_BLOB_STAMP_BYTES 128u

/* One kept blob. */
typedef struct sy_kept_blob {
    const char *record; /* "field=value\n...", ASCII */
    uint32_t format;    /* this and the stamp are the plugin's */
    char stamp[SY_BLOB_STAMP_BYTES];
    const void *bytes; /* 64-byte aligned */
    uint64_t n_bytes;
    void *handle; /* of the store */
} sy_kept_blob;

/* What a store does. Any thread may call, any number of processes may share what is behind it. No
 * answer is an end: whoever asks compiles anew and goes on. */
typedef struct sy_blob_store {
    uint32_t struct_bytes;
    uint32_t reserved;
    void *self;
    /* The whole blob, to be given back. NOT_FOUND; DATA_LOSS when it is not what was kept;
     * FAILED_PRECONDITION when a process ended while it was on trial; others with a sentence. */
    sy_status (*find)(void *self, const uint8_t name[SY_BLOB_NAME_BYTES], sy_kept_blob *out_blob,
                      sy_error *error);
    /* The newest whole blob whose name begins with the same SY_BLOB_KIN_BYTES and is another, for
     * its record: why there is none of this name. NOT_FOUND; may be NULL. */
    sy_status (*find_kin)(void *self, const uint8_t name[SY_BLOB_NAME_BYTES],
                          sy_kept_blob *out_blob, sy_error *error);
    void (*give_back)(void *self, sy_kept_blob *blob); /* of both */
    /* Around a load of a found blob: a process that ends in between leaves the mark. */
    void (*begin_trial)(void *self, const uint8_t name[SY_BLOB_NAME_BYTES], sy_kept_blob *blob);
    void (*end_trial)(void *self, sy_kept_blob *blob);
    /* Keeps a copy, in place of what was there. */
    sy_status (*keep)(void *self, const uint8_t name[SY_BLOB_NAME_BYTES], const sy_kept_blob *blob,
                      sy_error *error);
    void (*forget)(void *self, const uint8_t name[SY_BLOB_NAME_BYTES]);
} sy_blob_store;

#ifdef __cplusplus
}
#endif
#endif
