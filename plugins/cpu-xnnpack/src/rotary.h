/* SPDX-License-Identifier: Apache-2.0 */
/* RotaryEmbedding's entry points for the table of operators. */
#ifndef CPU_ROTARY_H
#define CPU_ROTARY_H

#include "unit.h"

bool cpu_rotary_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                      cpu_params *out_params, kit_answer *answer);
sy_status cpu_rotary_prepare(cpu_builder *builder, const kit_node *node, cpu_step *step);
uint64_t cpu_rotary_worker_bytes(const kit_node *node, const cpu_params *params);
sy_status cpu_rotary_run(cpu_run *run, const cpu_step *step);

#endif
