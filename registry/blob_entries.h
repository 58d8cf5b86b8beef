/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of a directory of blobs: their names, and which of them go. */
#ifndef SY_REGISTRY_BLOB_ENTRIES_H
#define SY_REGISTRY_BLOB_ENTRIES_H

#include "switchyard/blob_store.h"

#include <stdbool.h>

#define SY__BLOB_FILE_NAME_BYTES 80u /* 64 digits, ".blob" or ".trial" */

void sy__blob_file_name(const uint8_t name[SY_BLOB_NAME_BYTES], const char *suffix,
                        char out_name[SY__BLOB_FILE_NAME_BYTES]);
/* The newest other blob of the same plugin, device and segment. */
bool sy__blob_entries_find_kin(int directory, const uint8_t name[SY_BLOB_NAME_BYTES],
                               uint8_t out_kin[SY_BLOB_NAME_BYTES]);
/* Removes what was not used for longest until all fit, never `newest`; and what is left of a
 * process that ended in a write. */
void sy__blob_entries_make_room(int directory, uint64_t limit_bytes, const char *newest);

#endif
