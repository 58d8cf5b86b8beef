/* SPDX-License-Identifier: Apache-2.0 */
/* The table of operators. */
#include "op_image.h"

#include <string.h>

static const cpu_operator *const families[] = {
    cpu_operators_linear,  cpu_operators_norm,   cpu_operators_attention,   cpu_operators_pointwise,
    cpu_operators_move,    cpu_operators_matmul, cpu_operators_image,       cpu_operators_quantize,
    cpu_operators_experts, cpu_operators_slice,  cpu_operators_causal_conv, cpu_operators_adapter};

static const cpu_operator *find(const sy_node_view *view, uint32_t *out_other_version) {
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        for (const cpu_operator *op = families[i]; op->name != NULL; op++) {
            if (strcmp(op->name, view->op) == 0 && strcmp(op->domain, view->domain) == 0) {
                if (op->version == view->version) {
                    return op;
                }
                *out_other_version = op->version;
            }
        }
    }
    return NULL;
}

const cpu_operator *cpu_operator_check(const sy_device *device, const cpu_node *node,
                                       cpu_params *out_params, cpu_answer *answer) {
    uint32_t other_version = 0;
    const cpu_operator *op = find(&node->view, &other_version);
    memset(out_params, 0, sizeof(*out_params));
    memset(answer, 0, sizeof(*answer));
    out_params->derived = SY_NO_VALUE;
    if (op == NULL) {
        if (other_version != 0) {
            cpu_no(answer, SY_REASON_OPERATOR, "version %u is unknown, only %u runs here",
                   node->view.version, other_version);
        } else {
            cpu_no(answer, SY_REASON_OPERATOR, "there is no kernel for %.48s", node->view.op);
        }
        return NULL;
    }
    bool enough =
        node->n_in >= op->n_in_least && node->n_in <= op->n_in_most && node->n_out == op->n_out;
    for (uint32_t i = 0; enough && i < op->n_in_least; i++) {
        enough = node->has_in[i];
    }
    if (!enough) {
        cpu_no(answer, SY_REASON_SHAPE, "%u inputs and %u outputs do not fit this operator",
               node->n_in, node->n_out);
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
