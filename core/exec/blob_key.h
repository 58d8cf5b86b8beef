/* SPDX-License-Identifier: Apache-2.0 */
/* What a compiled segment is bound to (docs/decisions/0033); for core/exec only. */
#ifndef SY_EXEC_BLOB_KEY_H
#define SY_EXEC_BLOB_KEY_H

#include "base/text.h"
#include "exec/runtime_internal.h"

typedef struct sy__blob_key {
    uint8_t segment[32];              /* digest of the segment alone */
    uint8_t name[SY_BLOB_NAME_BYTES]; /* of plugin, device, segment, weights, numerics, options */
    sy__text record;                  /* all of that and what may change below it, in clear */
} sy__blob_key;

/* Digest of what compile sees: nodes, values, sizes, attributes, phase; no names, no contents. */
sy_status sy__segment_digest(const sy_graph_view *view, const sy_segment *segment,
                             uint8_t out_digest[32]);
/* Name and record for key->segment. Reads the weights where blobs of the device hold some.
 * sy__blob_key_deinit in any case. */
sy_status sy__blob_key_make(const sy_allocator *allocator, const sy_delegate *delegate,
                            const sy_graph_view *view, const sy_segment *segment,
                            sy__blob_key *key);
void sy__blob_key_deinit(sy__blob_key *key);
/* Says which fields of a kept record are not as wanted: "driver was '1' and is '2'". False when
 * none is. */
bool sy__blob_differs(const char *kept, const char *wanted, char *text, size_t n_text);

#endif
