/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Experimental extension of sy_job: what a job cost. A host that wants to know where a unit's time
 * goes chains it to the job; a delegate that offers it adds to what the pointers name. Not part of
 * the stable ABI: its number is experimental, nobody must understand it, and a delegate that skips
 * it stays right.
 */
#ifndef SY_PROFILE_H
#define SY_PROFILE_H

#include "sy_plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SY_EXTENSION_PROFILE 0x80000001u

/* What a job cost the host, told by delegates that work on threads of their own. Values that the
 * host moves through buffer_map are the host's to count. Threads of a driver that computes in
 * software are the device. */
typedef struct sy_job_cost {
    uint64_t host_ns;       /* processor time of the delegate's threads */
    uint64_t written_bytes; /* parameters, commands: from the host to where the device reads */
    uint64_t read_bytes;    /* and back */
} sy_job_cost;

/* node_ns: the delegate adds the nanoseconds (CLOCK_MONOTONIC) that a node of the job's unit took.
 * What it runs as one is added to the first node of those, or divided among them as it judges
 * right; shared preparation (a quantised input) is added to the node that asked for it first.
 * cost: the delegate adds before it signals the job. */
typedef struct sy_profile {
    sy_extension extension; /* id SY_EXTENSION_PROFILE, must 0 */
    uint64_t *node_ns;      /* [n_nodes], index: node of the view that the unit was loaded from */
    uint32_t n_nodes;       /* 0: times per node are not asked for */
    uint32_t reserved;
    sy_job_cost *cost; /* NULL: not asked for */
} sy_profile;

#ifdef __cplusplus
}
#endif
#endif
