/* SPDX-License-Identifier: Apache-2.0 */
/* What the passes that merge steps of a complete unit share (fuse_linear.c, fuse_norm.c,
 * fuse_attention.c). */
#ifndef CPU_FUSE_H
#define CPU_FUSE_H

#include "unit.h"

/* A step that another one does. */
extern const cpu_operator cpu_operator_merged;

bool cpu_step_is(const cpu_step *step, const char *name);
/* A product of rounded or widened rows reads those, not the value they are made from. */
bool cpu_step_reads(const cpu_step *step, uint32_t value);
/* The one step that reads a value which nobody outside sees; SY_NO_VALUE when there are others. */
uint32_t cpu_step_only_reader(const sy_unit *unit, uint32_t value);
/* The value is made by this step already, or by none. */
void cpu_value_made_at(sy_unit *unit, uint32_t value, uint32_t step);
void cpu_value_never_made(sy_unit *unit, uint32_t value, uint32_t step);

/* The rounding of y, whose rows have `width` elements, for the products that follow becomes part
 * of the step that makes y. When nobody else reads y it is never written. */
void cpu_fuse_rounding(sy_unit *unit, uint32_t maker, uint32_t y, uint64_t width);
/* What that step finds when it runs; rows NULL: nothing is to be rounded. */
typedef struct cpu_rounding {
    const cpu_tensor *rows;
    cpu_planes planes;
    bool is_all; /* y itself is not written */
} cpu_rounding;
cpu_rounding cpu_rounding_of(const cpu_run *run, const cpu_step *step);

/* Forms the groups of products (linear.h). */
sy_status cpu_fuse_linear(sy_unit *unit);
/* Merges the rounding of norms' results; after cpu_fuse_linear. */
void cpu_fuse_norm(sy_unit *unit);
/* Merges what only attention reads into it, and the rounding of its result; after cpu_fuse_linear
 * and before placing. */
void cpu_fuse_attention(sy_unit *unit);

#endif
