/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse.h"

#include <string.h>

static sy_status merged_run(cpu_run *run, const cpu_step *step) {
    (void)run;
    (void)step;
    return SY_OK;
}
const cpu_operator cpu_operator_merged = {.name = "merged", .run = merged_run};

bool cpu_step_is(const cpu_step *step, const char *name) {
    return step->operator->name != NULL && strcmp(step->operator->name, name) == 0;
}

bool cpu_step_reads(const cpu_step *step, uint32_t value) {
    bool derived = step->params.derived != SY_NO_VALUE;
    bool skips_x = derived && cpu_step_is(step, "Linear") && !step->params.reads_x;
    for (uint32_t i = skips_x ? 1 : 0; i < KIT_INPUTS_MAX; i++) {
        if (step->in[i] == value) {
            return true;
        }
    }
    return derived && step->params.derived == value;
}

uint32_t cpu_step_only_reader(const sy_unit *unit, uint32_t value) {
    uint32_t reader = SY_NO_VALUE;
    if (unit->values.items[value].place != KIT_PLACE_SCRATCH) {
        return SY_NO_VALUE;
    }
    for (uint32_t i = 0; i < unit->values.n; i++) {
        if (unit->values.items[i].place == KIT_PLACE_ALIAS &&
            unit->values.items[i].index == value) {
            return SY_NO_VALUE;
        }
    }
    for (uint32_t i = unit->values.items[value].first_step + 1;
         i < unit->n_steps && i <= unit->values.items[value].last_step; i++) {
        if (unit->steps[i].operator!= & cpu_operator_merged &&
            cpu_step_reads(&unit->steps[i], value)) {
            if (reader != SY_NO_VALUE) {
                return SY_NO_VALUE;
            }
            reader = i;
        }
    }
    return reader;
}

void cpu_value_made_at(sy_unit *unit, uint32_t value, uint32_t step) {
    if (unit->values.items[value].first_step > step) {
        unit->values.items[value].first_step = step;
    }
}

void cpu_value_never_made(sy_unit *unit, uint32_t value, uint32_t step) {
    unit->values.items[value].n_bytes = 0;
    unit->values.items[value].first_step = unit->values.items[value].last_step = step;
}

/* The step that rounds whole rows of y. */
static uint32_t find_rounding(const sy_unit *unit, uint32_t maker, uint32_t y, uint64_t width) {
    for (uint32_t i = maker + 1; i < unit->n_steps; i++) {
        const cpu_step *step = &unit->steps[i];
        if (step->operator== & cpu_operator_quantise && step->in[0] == y) {
            return step->params.k == width ? i : SY_NO_VALUE;
        }
    }
    return SY_NO_VALUE;
}

void cpu_fuse_rounding(sy_unit *unit, uint32_t maker, uint32_t y, uint64_t width) {
    if (unit->values.items[y].type != SY_TYPE_F32) {
        return;
    }
    uint32_t i_rounding = find_rounding(unit, maker, y, width);
    if (i_rounding == SY_NO_VALUE) {
        return;
    }
    if (cpu_step_only_reader(unit, y) == i_rounding) {
        cpu_value_never_made(unit, y, maker);
    }
    unit->steps[maker].params.rounding = i_rounding + 1;
    cpu_value_made_at(unit, unit->steps[i_rounding].out[0], maker);
    unit->steps[i_rounding].operator= & cpu_operator_merged;
}

cpu_rounding cpu_rounding_of(const cpu_run *run, const cpu_step *step) {
    cpu_rounding none = {.rows = NULL};
    if (step->params.rounding == 0) {
        return none;
    }
    const cpu_step *rounding = &run->unit->steps[step->params.rounding - 1];
    return (cpu_rounding){.rows = cpu_run_out(run, rounding, 0),
                          .planes = rounding->params.planes,
                          .is_all = run->unit->values.items[rounding->in[0]].n_bytes == 0};
}
