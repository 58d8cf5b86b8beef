/* SPDX-License-Identifier: Apache-2.0 */
/* The rounding of a norm's result for the products that follow becomes part of the norm, row by row
 * while the row is in the first cache. When nobody else reads the result it is never written. */
#include "fuse.h"

/* The step that rounds whole rows of y, as the norm makes them. */
static uint32_t find_rounding(const sy_unit *unit, const cpu_step *norm, uint32_t i_norm,
                              uint32_t y) {
    for (uint32_t i = i_norm + 1; i < unit->n_steps; i++) {
        const cpu_step *step = &unit->steps[i];
        if (step->operator== & cpu_operator_quantise && step->in[0] == y) {
            return step->params.k == norm->params.inner ? i : SY_NO_VALUE;
        }
    }
    return SY_NO_VALUE;
}

static void fuse_rounding(sy_unit *unit, uint32_t i_norm, uint32_t y) {
    cpu_step *norm = &unit->steps[i_norm];
    if (unit->values[y].type != SY_TYPE_F32) {
        return;
    }
    uint32_t i_rounding = find_rounding(unit, norm, i_norm, y);
    if (i_rounding == SY_NO_VALUE) {
        return;
    }
    if (cpu_step_only_reader(unit, y) == i_rounding) {
        cpu_value_never_made(unit, y, i_norm);
    }
    norm->params.rounding = i_rounding + 1;
    cpu_value_made_at(unit, unit->steps[i_rounding].out[0], i_norm);
    unit->steps[i_rounding].operator= & cpu_operator_merged;
}

void cpu_fuse_norm(sy_unit *unit) {
    for (uint32_t i = 0; i < unit->n_steps; i++) {
        const cpu_step *step = &unit->steps[i];
        if (cpu_step_is(step, "AddRMSNormalization")) {
            fuse_rounding(unit, i, step->out[1]);
        } else if (cpu_step_is(step, "RMSNormalization") ||
                   cpu_step_is(step, "LayerNormalization")) {
            fuse_rounding(unit, i, step->out[0]);
        }
    }
}
