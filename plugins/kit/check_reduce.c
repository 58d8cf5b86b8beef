/* SPDX-License-Identifier: Apache-2.0 */
/* ReduceMean, ReduceSum, ReduceMax. */
#include "check_shared.h"

#include <string.h>

static bool kind_of(const char *op, kit_reduce_kind *out) {
    static const char *const names[] = {"ReduceMean", "ReduceSum", "ReduceMax"};
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], op) == 0) {
            *out = (kit_reduce_kind)i;
            return true;
        }
    }
    return false;
}

static bool types_check(const kit_node *node, kit_reduce *out, kit_answer *answer) {
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    bool is_integer = x->type == SY_TYPE_I32 || x->type == SY_TYPE_I64;
    out->is_integer = is_integer && out->kind != KIT_REDUCE_MEAN;
    return out->is_integer ? kit_require_type(y, x->type, "y", answer)
                           : kit_require_same_float(x, y, answer);
}

bool kit_check_reduce(const kit_node *node, kit_reduce *out, kit_answer *answer) {
    static const char *const names[] = {"keepdims", "noop_with_empty_axes", NULL};
    const sy_value_view *x = &node->in[0];
    int64_t keeps = 1, is_noop = 0;
    *out = (kit_reduce){.axes = 0};
    if (!kind_of(node->view.op, &out->kind)) {
        return kit_no_kernel(node, answer);
    }
    if (!kit_attributes_known(node, names, answer) || !types_check(node, out, answer) ||
        !kit_attribute_int(node, "keepdims", 1, &keeps, answer) ||
        !kit_attribute_int(node, "noop_with_empty_axes", 0, &is_noop, answer) ||
        !kit_constant_axes(node, 1, x->rank, &out->axes, answer)) {
        return false;
    }
    out->keeps = keeps != 0;
    if (out->axes == 0 && is_noop == 0) { /* none given: all */
        out->axes = (1u << x->rank) - 1u;
    }
    answer->f32_ops = kit_typical_count(node->graph, x);
    answer->activation_bytes = 4.0 * answer->f32_ops;
    return kit_is_reduced(x, &node->out[0], out->axes, out->keeps) ||
           kit_no(answer, SY_REASON_SHAPE, "y is not x without the axes");
}
