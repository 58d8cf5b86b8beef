/* SPDX-License-Identifier: Apache-2.0 */
/* Which dispatches of a recording have to wait for those before them. */
#ifndef GPU_HAZARDS_H
#define GPU_HAZARDS_H

#include "driver.h"

/* A range that a dispatch touched since the last one that waited. */
typedef struct gpu_touch {
    gpu_binding binding;
    uint32_t family; /* dispatches of one family never write the same words */
} gpu_touch;

#define GPU_TOUCHES_MOST 256u
typedef struct gpu_hazards {
    gpu_touch reads[GPU_TOUCHES_MOST], writes[GPU_TOUCHES_MOST];
    uint32_t n_reads, n_writes;
} gpu_hazards;

/* Sets dispatch->waits where it touches what one since the last wait wrote, or writes what one
 * read. Bindings before n_in are read, the others written; bit i of `constant`: what binding i
 * reads is never written. */
void gpu_hazards_find(gpu_hazards *hazards, gpu_dispatch *dispatch, uint32_t n_in,
                      uint32_t constant, uint32_t family);

#endif
