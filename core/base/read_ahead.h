/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the disk for mapped pages that are not in memory, on a thread of its own and in the order in
 * which they will be used: the first steps of a model compute while later layers still come in. */
#ifndef SY_BASE_READ_AHEAD_H
#define SY_BASE_READ_AHEAD_H

#include "base/memory.h"

typedef struct sy__span {
    const uint8_t *bytes; /* mapped from a file */
    uint64_t n_bytes;
} sy__span;

typedef struct sy__read_ahead sy__read_ahead;

/* Starts; NULL when there is nothing to gain (little data) or the system refuses. The spans are
 * copied; their mapping must outlive the object. At most half of the machine's memory is filled. */
sy__read_ahead *sy__read_ahead_start(const sy_allocator *allocator, const sy__span *spans,
                                     uint32_t n_spans);
/* Stops and frees. NULL is fine. */
void sy__read_ahead_end(sy__read_ahead *ahead);

/* Of a part of a mapping only single rows will be read, here and there: a fault brings in its page
 * and nothing around it. */
void sy__read_rows_only(sy__span span);

#endif
