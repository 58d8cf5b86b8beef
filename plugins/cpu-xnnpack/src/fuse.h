/* SPDX-License-Identifier: Apache-2.0 */
/* What the passes that merge steps of a complete unit share (fuse_linear.c, fuse_attention.c). */
#ifndef CPU_FUSE_H
#define CPU_FUSE_H

#include "unit.h"

/* A step that another one does. */
extern const cpu_operator cpu_operator_merged;

bool cpu_step_is(const cpu_step *step, const char *name);
/* A product of rounded or widened rows reads those, not the value they are made from. */
bool cpu_step_reads(const cpu_step *step, uint32_t value);

/* Forms the groups of products (linear.h). */
sy_status cpu_fuse_linear(sy_unit *unit);
/* Merges what only attention reads into it; after cpu_fuse_linear and before placing. */
void cpu_fuse_attention(sy_unit *unit);

#endif
