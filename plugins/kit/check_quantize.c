/* SPDX-License-Identifier: Apache-2.0 */
/* QuantizeLinear and DequantizeLinear. */
#include "check_shared.h"

/* A constant, or computed, scale and zero point for the elements of x. */
static bool factors_check(const kit_node *node, kit_quantize *out, kit_answer *answer) {
    static const char *const names[] = {"axis", "block_size", NULL};
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    const sy_value_view *scale = &node->in[1], *zero = &node->in[2];
    int64_t axis = 0, block_size = 0;
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_int(node, "axis", 1, &axis, answer) ||
        !kit_attribute_int(node, "block_size", 0, &block_size, answer) ||
        !kit_require_type(scale, SY_TYPE_F32, "the scale", answer)) {
        return false;
    }
    out->has_zero = kit_node_has(node, 2);
    out->is_single = scale->rank == 0 || (scale->rank == 1 && kit_dimension_is(&scale->dims[0], 1));
    bool fits = kit_shape_same(x, y) && block_size == 0 &&
                (!out->has_zero || (kit_shape_same(scale, zero) && zero->type == out->stored));
    if (!out->is_single) {
        fits = fits && scale->rank == 1 && kit_axis(axis, x->rank, &out->axis) &&
               kit_dimension_same(&scale->dims[0], &x->dims[out->axis]);
    }
    kit_count_elements(node, 5.0, 4.0, answer);
    if (!fits) {
        return kit_no(answer, SY_REASON_SHAPE, "x, scale and zero point do not fit together");
    }
    return kit_require_filled(scale, "the scale", answer) &&
           (!out->has_zero || kit_require_filled(zero, "the zero point", answer));
}

bool kit_check_quantize(const kit_node *node, kit_quantize *out, kit_answer *answer) {
    const sy_value_view *y = &node->out[0];
    *out = (kit_quantize){.stored = y->type};
    return kit_require_float(&node->in[0], "x", answer) &&
           (kit_type_is_byte(y->type) ||
            kit_no(answer, SY_REASON_TYPE, "the output is neither i8 nor u8")) &&
           factors_check(node, out, answer);
}

bool kit_check_dequantize(const kit_node *node, kit_quantize *out, kit_answer *answer) {
    const sy_value_view *x = &node->in[0];
    *out = (kit_quantize){.stored = x->type};
    if (!kit_type_is_byte(x->type) && x->type != SY_TYPE_I32) {
        return kit_no(answer, SY_REASON_TYPE, "the input is neither i8, u8 nor i32");
    }
    return kit_require_type(&node->out[0], SY_TYPE_F32, "the output", answer) &&
           factors_check(node, out, answer);
}
