/* SPDX-License-Identifier: Apache-2.0 */
/* Norms round their rows for the products that follow while these are in the first cache. */
#include "fuse.h"

void cpu_fuse_norm(sy_unit *unit) {
    for (uint32_t i = 0; i < unit->n_steps; i++) {
        const cpu_step *step = &unit->steps[i];
        if (cpu_step_is(step, "AddRMSNormalization")) {
            cpu_fuse_rounding(unit, i, step->out[1], step->params.inner);
        } else if (cpu_step_is(step, "RMSNormalization") ||
                   cpu_step_is(step, "LayerNormalization")) {
            cpu_fuse_rounding(unit, i, step->out[0], step->params.inner);
        }
    }
}
