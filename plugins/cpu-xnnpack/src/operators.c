/* SPDX-License-Identifier: Apache-2.0 */
/* The table of operators. */
#include "op_image.h"

#include <string.h>

static const cpu_operator *const families[] = {
    cpu_operators_linear,  cpu_operators_norm,   cpu_operators_attention,   cpu_operators_pointwise,
    cpu_operators_move,    cpu_operators_matmul, cpu_operators_image,       cpu_operators_quantize,
    cpu_operators_experts, cpu_operators_slice,  cpu_operators_causal_conv, cpu_operators_adapter};

static const cpu_operator *find(const sy_node_view *view) {
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        for (const cpu_operator *op = families[i]; op->name != NULL; op++) {
            if (strcmp(op->name, view->op) == 0 && strcmp(op->domain, view->domain) == 0) {
                return op;
            }
        }
    }
    return NULL;
}

void cpu_count_int8(cpu_planes planes, kit_answer *answer) {
    answer->int8_ops = answer->f32_ops * (double)planes;
    answer->f32_ops = 0.0;
}

const cpu_operator *cpu_operator_check(const sy_device *device, const kit_node *node,
                                       cpu_params *out_params, kit_answer *answer) {
    const cpu_operator *op = find(&node->view);
    memset(out_params, 0, sizeof(*out_params));
    memset(answer, 0, sizeof(*answer));
    out_params->derived = SY_NO_VALUE;
    if (op == NULL) {
        kit_no(answer, SY_REASON_OPERATOR, "there is no kernel for %.48s", node->view.op);
        return NULL;
    }
    if (!kit_operator_check(node, answer)) {
        return NULL;
    }
    answer->score = 60;
    answer->confidence = 0.4f;
    if (!op->check(device, node, op, out_params, answer)) {
        return NULL;
    }
    if (answer->support == SY_SUPPORT_NO) {
        answer->support = SY_SUPPORT_NATIVE;
    }
    return op;
}
