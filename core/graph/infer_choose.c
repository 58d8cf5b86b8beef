/* SPDX-License-Identifier: Apache-2.0 */
/* Inference rules of the operators that answer where in a dimension the largest elements are. */
#include "graph/infer.h"

#include "switchyard/types.h"

#include <inttypes.h>

/* The attribute `axis`, which must have elements to choose from, and always as many. */
static sy_status read_axis(const sy__infer_call *call, int64_t otherwise, uint32_t *out_axis) {
    const sy_value_view *x = sy__call_input(call, 0);
    if (!sy__is_float(x->type) && x->type != SY_TYPE_I32 && x->type != SY_TYPE_I64) {
        return sy__infer_fail(call, "x must be float, i32 or i64, not %s",
                              sy_type_get(x->type)->name);
    }
    int64_t axis = sy__attribute_int(call->node, "axis", otherwise);
    sy_status status = sy__axis(call, axis, x->rank, out_axis);
    if (status == SY_OK && (x->dims[*out_axis].symbol != 0 || x->dims[*out_axis].bound < 1)) {
        status =
            sy__infer_fail(call, "the axis %" PRIu32 " must have a fixed size above 0", *out_axis);
    }
    return status;
}

static sy_status infer_arg_max(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    sy__inferred *out = &call->results[0];
    uint32_t axis = 0;
    sy_status status = read_axis(call, 0, &axis);
    bool keep_dims = sy__attribute_int(call->node, "keepdims", 1) != 0;
    out->type = SY_TYPE_I64;
    for (uint32_t i = 0; status == SY_OK && i < x->rank; i++) {
        if (i != axis) {
            out->dims[out->rank++] = x->dims[i];
        } else if (keep_dims) {
            out->dims[out->rank++] = sy__dimension_fixed(1);
        }
    }
    return status;
}

static sy_status infer_top_k(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    int64_t k = 0;
    uint32_t axis = 0, n = 0;
    sy_status status = read_axis(call, -1, &axis);
    if (status == SY_OK) {
        status = sy__constant_ints(call, 1, &k, 1, &n);
    }
    if (status != SY_OK) {
        return status;
    }
    if (n != 1 || k < 1 || k > x->dims[axis].bound) {
        return sy__infer_fail(call, "k must be one number from 1 to %" PRId64, x->dims[axis].bound);
    }
    if (call->node->n_outputs != 2) {
        return sy__infer_fail(call, "it has two outputs, values and indices");
    }
    for (uint32_t i = 0; i < 2; i++) {
        sy__result_like(call, i, x);
        call->results[i].dims[axis] = sy__dimension_fixed(k);
    }
    call->results[1].type = SY_TYPE_I64;
    return SY_OK;
}

const sy__infer_rule sy__infer_rules_choose[] = {
    {"", "ArgMax", 1, 1, 1, infer_arg_max},
    {"", "TopK", 2, 2, 2, infer_top_k},
    {NULL, NULL, 0, 0, 0, NULL},
};
