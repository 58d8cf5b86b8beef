/* SPDX-License-Identifier: Apache-2.0 */
/* ArgMax and TopK. */
#include "check_shared.h"

/* x of an ordered type, and the axis, which is fixed. */
static bool axis_check(const kit_node *node, int64_t fallback, uint32_t *out, kit_answer *answer) {
    const sy_value_view *x = &node->in[0];
    int64_t axis = 0;
    bool is_integer = x->type == SY_TYPE_I32 || x->type == SY_TYPE_I64;
    if ((!is_integer && !kit_require_float(x, "x", answer)) ||
        !kit_attribute_int(node, "axis", fallback, &axis, answer)) {
        return false;
    }
    if (!kit_axis(axis, x->rank, out)) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "axis is outside the shape");
    }
    return (x->dims[*out].symbol == 0 && x->dims[*out].bound > 0) ||
           kit_no(answer, SY_REASON_SHAPE, "the axis has no fixed size above 0");
}

static void count_work(const kit_node *node, kit_answer *answer) {
    answer->f32_ops = kit_typical_count(node->graph, &node->in[0]);
    answer->activation_bytes = 4.0 * answer->f32_ops;
}

bool kit_check_arg_max(const kit_node *node, kit_arg_max *out, kit_answer *answer) {
    static const char *const names[] = {"axis", "keepdims", "select_last_index", NULL};
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    int64_t keeps = 1, takes_last = 0;
    *out = (kit_arg_max){0};
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_int(node, "keepdims", 1, &keeps, answer) ||
        !kit_attribute_int(node, "select_last_index", 0, &takes_last, answer) ||
        !axis_check(node, 0, &out->axis, answer) ||
        !kit_require_type(y, SY_TYPE_I64, "y", answer)) {
        return false;
    }
    out->keeps = keeps != 0;
    out->takes_last = takes_last != 0;
    count_work(node, answer);
    return kit_is_reduced(x, y, 1u << out->axis, out->keeps) ||
           kit_no(answer, SY_REASON_SHAPE, "y is not x without the axis");
}

bool kit_check_top_k(const kit_node *node, kit_top_k *out, kit_answer *answer) {
    static const char *const names[] = {"axis", "largest", "sorted", NULL};
    const sy_value_view *x = &node->in[0], *values = &node->out[0], *indices = &node->out[1];
    int64_t is_largest = 1, is_sorted = 1, k[1] = {0};
    uint32_t n = 0;
    *out = (kit_top_k){0};
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_int(node, "largest", 1, &is_largest, answer) ||
        !kit_attribute_int(node, "sorted", 1, &is_sorted, answer) ||
        !axis_check(node, -1, &out->axis, answer) ||
        !kit_require_type(values, x->type, "the values", answer) ||
        !kit_require_type(indices, SY_TYPE_I64, "the indices", answer) ||
        !kit_constant_ints(node, 1, 1, k, &n, answer)) {
        return false;
    }
    out->k = k[0];
    out->is_largest = is_largest != 0;
    if (out->k < 1 || out->k > x->dims[out->axis].bound) {
        return kit_no(answer, SY_REASON_SHAPE, "k is not from 1 to the size of the axis");
    }
    count_work(node, answer);
    return (kit_shape_same(values, indices) && kit_same_but(x, values, out->axis) &&
            kit_dimension_is(&values->dims[out->axis], out->k)) ||
           kit_no(answer, SY_REASON_SHAPE, "the outputs are not x with k elements on the axis");
}
