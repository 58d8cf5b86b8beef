/* SPDX-License-Identifier: Apache-2.0 */
#include "reference/internal.h"

#include <string.h>

void sy__ref_open_read(void *out_own, size_t own_bytes, const void *theirs) {
    sy_header header;
    memcpy(&header, theirs, sizeof(header));
    size_t n_bytes = header.size < own_bytes ? header.size : own_bytes;
    memset(out_own, 0, own_bytes);
    memcpy(out_own, theirs, n_bytes < sizeof(header) ? sizeof(header) : n_bytes);
}

void sy__ref_open_write(void *theirs, const void *own, size_t own_bytes) {
    sy_header header;
    memcpy(&header, theirs, sizeof(header));
    size_t n_bytes = header.size < own_bytes ? header.size : own_bytes;
    if (n_bytes > sizeof(header)) { /* the header stays the reader's */
        memcpy((char *)theirs + sizeof(header), (const char *)own + sizeof(header),
               n_bytes - sizeof(header));
    }
}

sy_status sy__ref_open_check(const sy_header *header) {
    for (const sy_extension *e = header->extensions; e != NULL; e = e->next) {
        if (e->must != 0) {
            return SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_REQUIRED_EXTENSION);
        }
    }
    return SY_OK;
}
