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
