/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Experimental extension of sy_job: times per node. A host that wants to know where a unit's time
 * goes chains it to the job; a delegate that offers it adds to node_ns. Not part of the stable ABI:
 * its number is experimental, nobody must understand it, and a delegate that skips it stays right.
 */
#ifndef SY_PROFILE_H
#define SY_PROFILE_H

#include "sy_plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SY_EXTENSION_PROFILE 0x80000001u

/* The delegate adds the nanoseconds (CLOCK_MONOTONIC) that a node of the job's unit took. What it
 * runs as one is added to the first node of those, or divided among them as it judges right; shared
 * preparation (a quantised input) is added to the node that asked for it first. */
typedef struct sy_profile {
    sy_extension extension; /* id SY_EXTENSION_PROFILE, must 0 */
    uint64_t *node_ns;      /* [n_nodes], index: node of the view that the unit was loaded from */
    uint32_t n_nodes;
    uint32_t reserved;
} sy_profile;

#ifdef __cplusplus
}
#endif
#endif
