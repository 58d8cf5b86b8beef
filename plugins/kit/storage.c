/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks in host memory. */
#include "block_pool.h"

#include <string.h>

sy_status kit_host_blocks_copy(void *self, kit_block *const *from, kit_block *const *to,
                               uint64_t n) {
    (void)self;
    for (uint64_t i = 0; i < n; i++) {
        memcpy(to[i]->bytes, from[i]->bytes, from[i]->slab->pool->block_bytes);
    }
    return SY_OK;
}

const kit_storage kit_host_storage = {.blocks_copy = kit_host_blocks_copy};
