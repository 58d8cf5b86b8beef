/* SPDX-License-Identifier: Apache-2.0 */
/* Inference rules of the ONNX operators that compute; those that only move data are in
 * infer_shape.c. */
#include "graph/infer.h"

#include "switchyard/types.h"

#include <inttypes.h>
#include <string.h>

static bool is_number(sy_element_type type) {
    return sy__is_float(type) || type == SY_TYPE_I32 || type == SY_TYPE_I64;
}

/* Numpy broadcasting of two shapes into the result. */
static sy_status broadcast(const sy__infer_call *call, const sy_value_view *a,
                           const sy_value_view *b, sy__inferred *out) {
    out->rank = a->rank > b->rank ? a->rank : b->rank;
    for (uint32_t i = 0; i < out->rank; i++) {
        sy_dimension one = sy__dimension_fixed(1);
        uint32_t skip_a = out->rank - a->rank, skip_b = out->rank - b->rank;
        const sy_dimension *x = i >= skip_a ? &a->dims[i - skip_a] : &one;
        const sy_dimension *y = i >= skip_b ? &b->dims[i - skip_b] : &one;
        if (sy__dimension_is(x, 1)) {
            out->dims[i] = *y;
        } else if (sy__dimension_is(y, 1) || sy__dimension_equal(x, y)) {
            out->dims[i] = *x;
        } else {
            return sy__infer_fail(call, "dimension %" PRIu32 " of '%s' and '%s' does not broadcast",
                                  i, a->name, b->name);
        }
    }
    return SY_OK;
}

static sy_status infer_binary(const sy__infer_call *call) {
    const sy_value_view *a = sy__call_input(call, 0), *b = sy__call_input(call, 1);
    if (a->type != b->type || !is_number(a->type)) {
        return sy__infer_fail(call, "both inputs must have one numeric type");
    }
    call->results[0].type = a->type;
    return broadcast(call, a, b, &call->results[0]);
}

static sy_status infer_unary(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    if (!sy__is_float(x->type)) {
        return sy__infer_fail(call, "the input must be float, not %s", sy_type_get(x->type)->name);
    }
    sy__result_like(call, 0, x);
    return SY_OK;
}

static sy_status infer_softmax(const sy__infer_call *call) {
    uint32_t axis = 0;
    const sy_value_view *x = sy__call_input(call, 0);
    sy_status status = sy__axis(call, sy__attribute_int(call->node, "axis", -1), x->rank, &axis);
    return status == SY_OK ? infer_unary(call) : status;
}

static sy_status infer_normalization(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    uint32_t axis = 0;
    sy_status status = sy__axis(call, sy__attribute_int(call->node, "axis", -1), x->rank, &axis);
    if (status != SY_OK) {
        return status;
    }
    for (uint32_t i = 1; i < call->node->n_inputs; i++) {
        const sy_value_view *scale = sy__call_input(call, i);
        if (scale == NULL) {
            continue;
        }
        bool fits = scale->type == SY_TYPE_F32 && scale->rank == x->rank - axis;
        for (uint32_t k = 0; fits && k < scale->rank; k++) {
            fits = sy__dimension_equal(&scale->dims[k], &x->dims[axis + k]);
        }
        if (!fits) {
            return sy__infer_fail(call,
                                  "input %" PRIu32 " must be f32 with the shape of the "
                                  "normalised dimensions",
                                  i);
        }
    }
    return infer_unary(call);
}

static sy_status infer_matmul(const sy__infer_call *call) {
    const sy_value_view *a = sy__call_input(call, 0), *b = sy__call_input(call, 1);
    if (!sy__is_float(a->type) || a->type != b->type || a->rank < 2 || b->rank < 2 ||
        !sy__dimension_equal(&a->dims[a->rank - 1], &b->dims[b->rank - 2])) {
        return sy__infer_fail(call,
                              "'%s' and '%s' are no matrices of one float type with a common "
                              "inner dimension",
                              a->name, b->name);
    }
    sy_value_view batch_a = *a, batch_b = *b;
    batch_a.rank -= 2;
    batch_b.rank -= 2;
    sy__inferred *out = &call->results[0];
    sy_status status = broadcast(call, &batch_a, &batch_b, out);
    if (status != SY_OK) {
        return status;
    }
    out->type = a->type;
    out->dims[out->rank++] = a->dims[a->rank - 2];
    out->dims[out->rank++] = b->dims[b->rank - 1];
    return SY_OK;
}

static sy_status infer_gemm(const sy__infer_call *call) {
    const sy_value_view *a = sy__call_input(call, 0), *b = sy__call_input(call, 1);
    const sy_value_view *c = sy__call_input(call, 2);
    uint32_t trans_a = sy__attribute_int(call->node, "transA", 0) != 0;
    uint32_t trans_b = sy__attribute_int(call->node, "transB", 0) != 0;
    if (!sy__is_float(a->type) || a->type != b->type || a->rank != 2 || b->rank != 2 ||
        !sy__dimension_equal(&a->dims[1 - trans_a], &b->dims[trans_b])) {
        return sy__infer_fail(call, "A and B must be float matrices with a common inner dimension");
    }
    sy__inferred *out = &call->results[0];
    out->type = a->type;
    out->rank = 2;
    out->dims[0] = a->dims[trans_a];
    out->dims[1] = b->dims[1 - trans_b];
    if (c == NULL) {
        return SY_OK;
    }
    sy_value_view result = {.name = "A*B", .rank = 2};
    memcpy(result.dims, out->dims, sizeof(result.dims));
    sy__inferred joined = {0};
    sy_status status = broadcast(call, &result, c, &joined);
    if (status == SY_OK && (c->type != a->type || c->rank > 2 ||
                            !sy__dimension_equal(&joined.dims[0], &out->dims[0]) ||
                            !sy__dimension_equal(&joined.dims[1], &out->dims[1]))) {
        status = sy__infer_fail(call, "C must broadcast to the result");
    }
    return status;
}

static sy_status infer_where(const sy__infer_call *call) {
    const sy_value_view *condition = sy__call_input(call, 0);
    const sy_value_view *a = sy__call_input(call, 1), *b = sy__call_input(call, 2);
    if (condition->type != SY_TYPE_BOOL || a->type != b->type || !is_number(a->type)) {
        return sy__infer_fail(call, "it needs a bool condition and branches of one numeric type");
    }
    sy__inferred branches = {0};
    sy_status status = broadcast(call, a, b, &branches);
    if (status != SY_OK) {
        return status;
    }
    sy_value_view joined = {.name = a->name, .rank = branches.rank};
    memcpy(joined.dims, branches.dims, sizeof(joined.dims));
    call->results[0].type = a->type;
    return broadcast(call, condition, &joined, &call->results[0]);
}

static sy_status infer_reduce(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    int64_t axes[SY_MAX_RANK] = {0};
    uint32_t n_axes = 0;
    bool reduced[SY_MAX_RANK] = {false};
    if (sy__call_input(call, 1) != NULL) {
        sy_status status = sy__constant_ints(call, 1, axes, SY_MAX_RANK, &n_axes);
        if (status != SY_OK) {
            return status;
        }
    }
    bool keep_all = sy__attribute_int(call->node, "noop_with_empty_axes", 0) != 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        reduced[i] = n_axes == 0 && !keep_all;
    }
    for (uint32_t i = 0; i < n_axes; i++) {
        uint32_t axis = 0;
        sy_status status = sy__axis(call, axes[i], x->rank, &axis);
        if (status != SY_OK) {
            return status;
        }
        reduced[axis] = true;
    }
    sy__inferred *out = &call->results[0];
    bool keep_dims = sy__attribute_int(call->node, "keepdims", 1) != 0;
    out->type = x->type;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (!reduced[i]) {
            out->dims[out->rank++] = x->dims[i];
        } else if (keep_dims) {
            out->dims[out->rank++] = sy__dimension_fixed(1);
        }
    }
    return sy__is_float(x->type) ? SY_OK : sy__infer_fail(call, "the input must be float");
}

static sy_status infer_gelu(const sy__infer_call *call) {
    const char *approximate = sy__attribute_string(call->node, "approximate", "none");
    if (strcmp(approximate, "none") != 0 && strcmp(approximate, "tanh") != 0) {
        return sy__infer_fail(call, "approximate must be none or tanh, not '%s'", approximate);
    }
    return infer_unary(call);
}

const sy__infer_rule sy__infer_rules_onnx[] = {
    {"", "Add", 2, 2, 1, infer_binary},
    {"", "Sub", 2, 2, 1, infer_binary},
    {"", "Mul", 2, 2, 1, infer_binary},
    {"", "Div", 2, 2, 1, infer_binary},
    {"", "Pow", 2, 2, 1, infer_binary},
    {"", "Neg", 1, 1, 1, infer_unary},
    {"", "Abs", 1, 1, 1, infer_unary},
    {"", "Sqrt", 1, 1, 1, infer_unary},
    {"", "Exp", 1, 1, 1, infer_unary},
    {"", "Log", 1, 1, 1, infer_unary},
    {"", "Erf", 1, 1, 1, infer_unary},
    {"", "Tanh", 1, 1, 1, infer_unary},
    {"", "Sigmoid", 1, 1, 1, infer_unary},
    {"", "Reciprocal", 1, 1, 1, infer_unary},
    {"", "Relu", 1, 1, 1, infer_unary},
    {"", "Gelu", 1, 1, 1, infer_gelu},
    {"", "Swish", 1, 1, 1, infer_unary},
    {"", "Softmax", 1, 1, 1, infer_softmax},
    {"", "MatMul", 2, 2, 1, infer_matmul},
    {"", "Gemm", 2, 3, 1, infer_gemm},
    {"", "RMSNormalization", 2, 2, 1, infer_normalization},
    {"", "LayerNormalization", 2, 3, 1, infer_normalization},
    {"", "ReduceMean", 1, 2, 1, infer_reduce},
    {"", "ReduceSum", 1, 2, 1, infer_reduce},
    {"", "ReduceMax", 1, 2, 1, infer_reduce},
    {"", "Where", 3, 3, 1, infer_where},
    {NULL, NULL, 0, 0, 0, NULL},
};
