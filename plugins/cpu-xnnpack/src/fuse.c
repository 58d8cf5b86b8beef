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
    for (uint32_t i = derived && cpu_step_is(step, "Linear") ? 1 : 0; i < CPU_INPUTS_MAX; i++) {
        if (step->in[i] == value) {
            return true;
        }
    }
    return derived && step->params.derived == value;
}

uint32_t cpu_step_only_reader(const sy_unit *unit, uint32_t value) {
    uint32_t reader = SY_NO_VALUE;
    if (unit->values[value].place != CPU_PLACE_SCRATCH) {
        return SY_NO_VALUE;
    }
    for (uint32_t i = 0; i < unit->n_values; i++) {
        if (unit->values[i].place == CPU_PLACE_ALIAS && unit->values[i].index == value) {
            return SY_NO_VALUE;
        }
    }
    for (uint32_t i = unit->values[value].first_step + 1;
         i < unit->n_steps && i <= unit->values[value].last_step; i++) {
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
    if (unit->values[value].first_step > step) {
        unit->values[value].first_step = step;
    }
}

void cpu_value_never_made(sy_unit *unit, uint32_t value, uint32_t step) {
    unit->values[value].n_bytes = 0;
    unit->values[value].first_step = unit->values[value].last_step = step;
}
