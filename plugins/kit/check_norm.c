/* SPDX-License-Identifier: Apache-2.0 */
/* RMSNormalization, LayerNormalization, AddRMSNormalization, Softmax. */
#include "check_shared.h"

/* Product of the dimensions from the axis on, which must be fixed. */
static bool inner_from(const sy_value_view *x, int64_t axis, kit_norm *out, kit_answer *answer) {
    int64_t n = 1;
    if (!kit_axis(axis, x->rank, &out->axis)) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "axis is outside the shape");
    }
    for (uint32_t i = out->axis; i < x->rank; i++) {
        if (x->dims[i].symbol != 0 || x->dims[i].bound <= 0 ||
            __builtin_mul_overflow(n, x->dims[i].bound, &n)) {
            return kit_no(answer, SY_REASON_SHAPE,
                          "a normalised dimension must be fixed and not 0");
        }
    }
    out->inner = n;
    return true;
}

/* scale or bias: the shape of the last dimensions of x, from the axis on */
static bool factor_check(const sy_value_view *factor, const char *what, const sy_value_view *x,
                         uint32_t axis, kit_answer *answer) {
    bool fits = factor->rank == x->rank - axis;
    for (uint32_t i = 0; fits && i < factor->rank; i++) {
        fits = kit_dimension_same(&factor->dims[i], &x->dims[axis + i]);
    }
    return kit_require_type(factor, SY_TYPE_F32, what, answer) &&
           (fits || kit_no(answer, SY_REASON_SHAPE, "%s has not the normalised shape", what)) &&
           kit_require_filled(factor, what, answer);
}

/* What the three have in common: epsilon, scale, and outputs like x. */
static bool norm_check(const kit_node *node, int64_t axis, uint32_t i_scale, kit_norm *out,
                       kit_answer *answer) {
    const sy_value_view *x = &node->in[0];
    if (!kit_attribute_float(node, "epsilon", 1e-5, &out->epsilon, answer) ||
        !kit_require_float(x, "x", answer) || !inner_from(x, axis, out, answer) ||
        !factor_check(&node->in[i_scale], "scale", x, out->axis, answer)) {
        return false;
    }
    out->has_bias = i_scale == 1 && kit_node_has(node, 2);
    if (out->has_bias && !factor_check(&node->in[2], "bias", x, out->axis, answer)) {
        return false;
    }
    for (uint32_t i = 0; i < node->n_out; i++) {
        if (!kit_require_same_float(x, &node->out[i], answer)) {
            return false;
        }
        if (!kit_shape_same(x, &node->out[i])) {
            return kit_no(answer, SY_REASON_SHAPE, "an output has another shape than x");
        }
    }
    kit_count_elements(node, 4.0 * (double)(node->n_in + node->n_out - 1), 6.0, answer);
    return true;
}

bool kit_check_norm(const kit_node *node, kit_norm *out, kit_answer *answer) {
    static const char *const names[] = {"axis", "epsilon", NULL};
    int64_t axis = -1;
    *out = (kit_norm){0};
    return kit_attributes_known(node, names, answer) &&
           kit_attribute_int(node, "axis", -1, &axis, answer) &&
           norm_check(node, axis, 1, out, answer);
}

bool kit_check_add_norm(const kit_node *node, kit_norm *out, kit_answer *answer) {
    static const char *const names[] = {"epsilon", NULL};
    const sy_value_view *residual = &node->in[1];
    *out = (kit_norm){0};
    return kit_attributes_known(node, names, answer) && norm_check(node, -1, 2, out, answer) &&
           ((kit_type_is_float(residual->type) && kit_shape_same(&node->in[0], residual)) ||
            kit_no(answer, SY_REASON_SHAPE, "residual has another shape or type than x"));
}

bool kit_check_softmax(const kit_node *node, kit_softmax *out, kit_answer *answer) {
    static const char *const names[] = {"axis", NULL};
    const sy_value_view *x = &node->in[0];
    int64_t axis = -1;
    *out = (kit_softmax){0};
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_int(node, "axis", -1, &axis, answer) ||
        !kit_require_same_float(x, &node->out[0], answer)) {
        return false;
    }
    if (!kit_shape_same(x, &node->out[0])) {
        return kit_no(answer, SY_REASON_SHAPE, "y has another shape than x");
    }
    if (!kit_axis(axis, x->rank, &out->axis)) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "axis is outside the shape");
    }
    kit_count_elements(node, 8.0, 20.0, answer);
    return true;
}
