/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters (sy_plugin.h section 10) as every delegate has them: pairs by slot, checked, and what a
 * job says of them. What a delegate makes of the matrices it keeps at `own`. */
#ifndef KIT_ADAPTER_WEIGHTS_H
#define KIT_ADAPTER_WEIGHTS_H

#include "host.h"

#define KIT_ADAPTER_USES_MOST 4u /* of a sequence */

struct sy_adapter_weights {
    sy_device *device;
    void *own; /* of the delegate */
    uint32_t n_pairs;
    sy_adapter_pair
        pairs[]; /* by slot; a and b as they were given, or where the delegate put them */
};

/* The header, every shape, type and address. */
sy_status kit_adapter_check(const sy_adapter_description *description);
/* A copy of the description, which was checked, with n_own_bytes of zeros at `own`; NULL where
 * there is no memory. */
sy_adapter_weights *kit_adapter_make(sy_device *device, const sy_adapter_description *description,
                                     size_t n_own_bytes);
void kit_adapter_free(sy_adapter_weights *weights, size_t n_own_bytes); /* NULL is fine */
/* What it takes of host->alloc. */
size_t kit_adapter_bytes(const sy_adapter_weights *weights, size_t n_own_bytes);

/* Everything that a job says of adapters: they are of this device, the uses of a sequence end and
 * are at most KIT_ADAPTER_USES_MOST. */
sy_status kit_adapters_check(const sy_device *device, const sy_job *job);
/* Whether some sequence uses one. */
bool kit_adapters_used(const sy_job *job);

/* The pair of a slot, or NULL where the adapter leaves its node alone. */
const sy_adapter_pair *kit_adapter_pair(const sy_adapter_weights *weights, int64_t slot);
/* Whether a pair fits a node with k inputs and n outputs. */
sy_status kit_adapter_fits(const sy_adapter_pair *pair, uint64_t k, uint64_t n, int64_t max_rank,
                           uint32_t i_node);

#endif
