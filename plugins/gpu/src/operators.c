/* SPDX-License-Identifier: Apache-2.0 */
/* The table of operators. */
#include "operator_checks.h"
#include "program.h"

#include <string.h>

static const gpu_operator *const families[] = {
    gpu_operators_move,    gpu_operators_pointwise,   gpu_operators_norm,
    gpu_operators_rotary,  gpu_operators_attention,   gpu_operators_linear,
    gpu_operators_experts, gpu_operators_choose,      gpu_operators_reduce,
    gpu_operators_matmul,  gpu_operators_causal_conv, gpu_operators_image,
    gpu_operators_spatial, gpu_operators_quantize,    gpu_operators_adapter};

static const gpu_operator *find(const sy_node_view *view) {
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        for (const gpu_operator *op = families[i]; op->name != NULL; op++) {
            if (strcmp(op->name, view->op) == 0 && strcmp(op->domain, view->domain) == 0) {
                return op;
            }
        }
    }
    return NULL;
}

/* A value that a kernel binds as a whole has to fit into one binding. */
static bool value_fits(const sy_device *device, const sy_value_view *value, bool takes_pieces,
                       kit_answer *answer) {
    uint64_t n_bytes = 0;
    int64_t n = kit_bound_count(value);
    if (value->kind == SY_VALUE_STATE || (value->kind == SY_VALUE_WEIGHT && takes_pieces)) {
        return true;
    }
    if (n == INT64_MAX || kit_type_block(value->type) != 1) {
        return kit_no(answer, SY_REASON_TYPE, "a value of type %s does not run here",
                      kit_type_name(value->type));
    }
    if (!kit_type_row_bytes(value->type, (uint64_t)n, &n_bytes) ||
        n_bytes > device->limits->binding_most_bytes) {
        return kit_no(answer, SY_REASON_MEMORY, "a value of %llu bytes; a binding spans %llu",
                      (unsigned long long)n_bytes,
                      (unsigned long long)device->limits->binding_most_bytes);
    }
    return true;
}

static bool values_fit(const sy_device *device, const kit_node *node, bool takes_pieces,
                       kit_answer *answer) {
    bool fits = true;
    for (uint32_t i = 0; fits && i < node->n_in; i++) {
        fits = !node->has_in[i] || value_fits(device, &node->in[i], takes_pieces, answer);
    }
    for (uint32_t i = 0; fits && i < node->n_out; i++) {
        fits = value_fits(device, &node->out[i], false, answer);
    }
    return fits;
}

const gpu_operator *gpu_operator_check(const sy_device *device, const kit_node *node,
                                       kit_answer *answer) {
    const gpu_operator *op = find(&node->view);
    memset(answer, 0, sizeof(*answer));
    if (op == NULL) {
        kit_no(answer, SY_REASON_OPERATOR, "there is no kernel for %.48s", node->view.op);
        return NULL;
    }
    if (!kit_operator_check(node, answer)) {
        return NULL;
    }
    answer->score = 70;
    answer->confidence = 0.4f;
    if (!op->check(device, node, op, answer) ||
        !values_fit(device, node, op->takes_pieces, answer)) {
        return NULL;
    }
    answer->support = SY_SUPPORT_NATIVE;
    return op;
}
