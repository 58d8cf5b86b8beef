/* SPDX-License-Identifier: Apache-2.0 */
/* Inference rules of the ONNX operators that move or view data. */
#include "graph/infer.h"

#include "switchyard/limits.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <string.h>

#define SHAPE_ENTRIES 8u

static sy_status infer_identity(const sy__infer_call *call) {
    sy__result_like(call, 0, sy__call_input(call, 0));
    return SY_OK;
}

/* The dimension that stands for -1: all elements of x over those already placed. */
static bool remaining_dimension(const sy_value_view *x, const sy__inferred *out, uint32_t i_hole,
                                sy_dimension *out_dimension) {
    sy_dimension left = sy__dimension_fixed(1);
    bool taken[SY_MAX_RANK] = {false};
    /* Cancel equal symbolic dimensions first: the arithmetic knows one symbol only. */
    sy_dimension divisor = sy__dimension_fixed(1);
    for (uint32_t k = 0; k < out->rank; k++) {
        bool cancelled = k == i_hole;
        for (uint32_t i = 0; !cancelled && out->dims[k].symbol != 0 && i < x->rank; i++) {
            if (!taken[i] && sy__dimension_equal(&x->dims[i], &out->dims[k])) {
                taken[i] = true;
                cancelled = true;
            }
        }
        if (!cancelled && !sy__dimension_multiply(&divisor, &out->dims[k], &divisor)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < x->rank; i++) {
        if (!taken[i] && !sy__dimension_multiply(&left, &x->dims[i], &left)) {
            return false;
        }
    }
    return sy__dimension_divide(&left, &divisor, out_dimension);
}

static sy_status infer_reshape(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    int64_t shape[SHAPE_ENTRIES] = {0};
    uint32_t n = 0, i_hole = SY_NO_VALUE;
    sy_status status = sy__constant_ints(call, 1, shape, SHAPE_ENTRIES, &n);
    if (status != SY_OK) {
        return status;
    }
    sy__inferred *out = &call->results[0];
    out->type = x->type;
    out->rank = n;
    for (uint32_t i = 0; i < n; i++) {
        if (shape[i] == -1 && i_hole == SY_NO_VALUE) {
            i_hole = i;
            out->dims[i] = sy__dimension_fixed(1);
        } else if (shape[i] == 0 && i < x->rank && !sy__attribute_int(call->node, "allowzero", 0)) {
            out->dims[i] = x->dims[i];
        } else if (shape[i] >= 0) {
            out->dims[i] = sy__dimension_fixed(shape[i]);
        } else {
            return sy__infer_fail(call, "entry %" PRIu32 " of the shape is invalid", i);
        }
    }
    sy_dimension rest = sy__dimension_fixed(1);
    if (!remaining_dimension(x, out, i_hole, &rest)) {
        return sy__infer_fail(call, "the elements of '%s' do not fill the shape", x->name);
    }
    if (i_hole != SY_NO_VALUE) {
        out->dims[i_hole] = rest;
    } else if (!sy__dimension_is(&rest, 1)) {
        return sy__infer_fail(call, "the shape has another number of elements than '%s'", x->name);
    }
    return SY_OK;
}

static sy_status infer_transpose(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    const sy_attribute *perm = sy__attribute(call->node, "perm", SY_ATTRIBUTE_INTS);
    sy__inferred *out = &call->results[0];
    bool seen[SY_MAX_RANK] = {false};
    if (sy_type_get(x->type)->n_block_elements != 1 || (perm != NULL && perm->count != x->rank)) {
        return sy__infer_fail(call, "perm must name every axis once and blocks cannot be moved");
    }
    out->type = x->type;
    out->rank = x->rank;
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t from = perm != NULL ? perm->value.ints[i] : (int64_t)(x->rank - 1 - i);
        if (from < 0 || from >= (int64_t)x->rank || seen[from]) {
            return sy__infer_fail(call, "perm must name every axis once");
        }
        seen[from] = true;
        out->dims[i] = x->dims[from];
    }
    return SY_OK;
}

static sy_status infer_concat(const sy__infer_call *call) {
    const sy_value_view *first = sy__call_input(call, 0);
    uint32_t axis = 0;
    sy_status status = sy__axis(call, sy__attribute_int(call->node, "axis", 0), first->rank, &axis);
    if (status != SY_OK) {
        return status;
    }
    sy__result_like(call, 0, first);
    sy__inferred *out = &call->results[0];
    for (uint32_t i = 1; i < call->node->n_inputs; i++) {
        const sy_value_view *x = sy__call_input(call, i);
        bool fits = x != NULL && x->type == first->type && x->rank == first->rank;
        for (uint32_t k = 0; fits && k < x->rank; k++) {
            fits = k == axis || sy__dimension_equal(&x->dims[k], &first->dims[k]);
        }
        if (!fits || !sy__dimension_add(&out->dims[axis], &x->dims[axis], &out->dims[axis])) {
            return sy__infer_fail(call, "input %" PRIu32 " does not fit the first one", i);
        }
    }
    return SY_OK;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

/* Number of elements that start:end:step takes from n, as numpy counts. */
static int64_t slice_count(int64_t n, int64_t start, int64_t end, int64_t step) {
    start = start < 0 ? clamp(start, -n, 0) + n : start;
    end = end < 0 ? clamp(end, -n - 1, 0) + n : end;
    if (step > 0) {
        start = clamp(start, 0, n);
        end = clamp(end, 0, n);
        return end > start ? (end - start - 1) / step + 1 : 0;
    }
    start = clamp(start, 0, n - 1);
    end = clamp(end, -1, n - 1);
    return start > end && step < 0 ? (start - end - 1) / -(step > INT64_MIN ? step : -INT64_MAX) + 1
                                   : 0;
}

static sy_status infer_slice(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    int64_t lists[4][SHAPE_ENTRIES] = {{0}};
    uint32_t counts[4] = {0};
    for (uint32_t i = 1; i < call->node->n_inputs; i++) {
        if (sy__call_input(call, i) == NULL) {
            continue;
        }
        sy_status status = sy__constant_ints(call, i, lists[i - 1], SHAPE_ENTRIES, &counts[i - 1]);
        if (status != SY_OK) {
            return status;
        }
    }
    uint32_t n = counts[0];
    if (counts[1] != n || (counts[2] != 0 && counts[2] != n) ||
        (counts[3] != 0 && counts[3] != n)) {
        return sy__infer_fail(call, "starts, ends, axes and steps differ in length");
    }
    sy__result_like(call, 0, x);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t axis = 0;
        int64_t step = counts[3] != 0 ? lists[3][i] : 1;
        sy_status status = sy__axis(call, counts[2] != 0 ? lists[2][i] : i, x->rank, &axis);
        if (status != SY_OK) {
            return status;
        }
        sy_dimension *d = &call->results[0].dims[axis];
        if (d->symbol != 0 || step == 0) {
            return sy__infer_fail(call, "a dynamic axis cannot be sliced and no step can be 0");
        }
        *d = sy__dimension_fixed(slice_count(d->bound, lists[0][i], lists[1][i], step));
    }
    return SY_OK;
}

static sy_status infer_split(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    int64_t sizes[SY_LIMIT_NODE_OUTPUTS] = {0};
    uint32_t axis = 0, n = 0, n_outputs = call->node->n_outputs;
    sy_status status = sy__axis(call, sy__attribute_int(call->node, "axis", 0), x->rank, &axis);
    if (status != SY_OK) {
        return status;
    }
    const sy_dimension *d = &x->dims[axis];
    if (d->symbol != 0) {
        return sy__infer_fail(call, "a dynamic axis cannot be split");
    }
    if (sy__call_input(call, 1) != NULL) {
        status = sy__constant_ints(call, 1, sizes, SY_LIMIT_NODE_OUTPUTS, &n);
        if (status != SY_OK) {
            return status;
        }
    } else {
        int64_t chunk = (d->bound + n_outputs - 1) / n_outputs;
        for (n = 0; n < n_outputs; n++) {
            sizes[n] = clamp(d->bound - chunk * n, 0, chunk);
        }
    }
    int64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (sizes[i] < 0 || sizes[i] > d->bound) {
            return sy__infer_fail(call, "part %" PRIu32 " has an impossible size", i);
        }
        sum += sizes[i];
    }
    if (n != n_outputs || sum != d->bound) {
        return sy__infer_fail(call, "the parts do not add up to %" PRId64, d->bound);
    }
    for (uint32_t i = 0; i < n; i++) {
        sy__result_like(call, i, x);
        call->results[i].dims[axis] = sy__dimension_fixed(sizes[i]);
    }
    return SY_OK;
}

/* Axes named by input 1, as a set over `rank` positions. */
static sy_status axes_set(const sy__infer_call *call, uint32_t rank, bool *out_set,
                          uint32_t *out_n) {
    int64_t axes[SHAPE_ENTRIES] = {0};
    sy_status status = sy__constant_ints(call, 1, axes, SHAPE_ENTRIES, out_n);
    for (uint32_t i = 0; status == SY_OK && i < *out_n; i++) {
        uint32_t axis = 0;
        status = sy__axis(call, axes[i], rank, &axis);
        if (status == SY_OK && out_set[axis]) {
            status = sy__infer_fail(call, "axis %" PRIu32 " is named twice", axis);
        }
        if (status == SY_OK) {
            out_set[axis] = true;
        }
    }
    return status;
}

static sy_status infer_squeeze(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    bool set[SY_MAX_RANK] = {false};
    uint32_t n = 0;
    bool all = sy__call_input(call, 1) == NULL;
    sy_status status = all ? SY_OK : axes_set(call, x->rank, set, &n);
    if (status != SY_OK) {
        return status;
    }
    sy__inferred *out = &call->results[0];
    out->type = x->type;
    for (uint32_t i = 0; i < x->rank; i++) {
        bool is_one = sy__dimension_is(&x->dims[i], 1);
        if (set[i] && !is_one) {
            return sy__infer_fail(call, "axis %" PRIu32 " is not of size 1", i);
        }
        if (!set[i] && !(all && is_one)) {
            out->dims[out->rank++] = x->dims[i];
        }
    }
    return SY_OK;
}

static sy_status infer_unsqueeze(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    int64_t axes[SHAPE_ENTRIES] = {0};
    uint32_t n = 0;
    bool set[2 * SY_MAX_RANK] = {false};
    sy_status status = sy__constant_ints(call, 1, axes, SHAPE_ENTRIES, &n);
    if (status != SY_OK) {
        return status;
    }
    if (x->rank + n > SY_MAX_RANK) {
        return sy__infer_fail(call, "the result would have a rank over %u", SY_MAX_RANK);
    }
    status = axes_set(call, x->rank + n, set, &n);
    sy__inferred *out = &call->results[0];
    out->type = x->type;
    for (uint32_t i = 0, next = 0; status == SY_OK && i < x->rank + n; i++) {
        out->dims[out->rank++] = set[i] ? sy__dimension_fixed(1) : x->dims[next++];
    }
    return status;
}

static sy_status infer_gather(const sy__infer_call *call) {
    const sy_value_view *data = sy__call_input(call, 0), *indices = sy__call_input(call, 1);
    uint32_t axis = 0;
    sy_status status = sy__axis(call, sy__attribute_int(call->node, "axis", 0), data->rank, &axis);
    if (status != SY_OK) {
        return status;
    }
    if ((indices->type != SY_TYPE_I32 && indices->type != SY_TYPE_I64) ||
        data->rank + indices->rank > SY_MAX_RANK + 1 ||
        sy_type_get(data->type)->n_block_elements != 1) {
        return sy__infer_fail(call, "indices must be i32 or i64 and data of a plain type");
    }
    sy__inferred *out = &call->results[0];
    out->type = data->type;
    for (uint32_t i = 0; i < data->rank; i++) {
        if (i != axis) {
            out->dims[out->rank++] = data->dims[i];
            continue;
        }
        for (uint32_t k = 0; k < indices->rank; k++) {
            out->dims[out->rank++] = indices->dims[k];
        }
    }
    return SY_OK;
}

/* ONNX TensorProto.DataType numbers, which Cast's `to` uses. */
static sy_element_type from_onnx_type(int64_t number) {
    static const sy_element_type types[] = {
        [1] = SY_TYPE_F32, [2] = SY_TYPE_U8,   [3] = SY_TYPE_I8,   [6] = SY_TYPE_I32,
        [7] = SY_TYPE_I64, [9] = SY_TYPE_BOOL, [10] = SY_TYPE_F16, [16] = SY_TYPE_BF16};
    bool known = number == 1 || number == 2 || number == 3 || number == 6 || number == 7 ||
                 number == 9 || number == 10 || number == 16;
    return known ? types[number] : SY_TYPE_INVALID;
}

static sy_status infer_cast(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    sy_element_type to = from_onnx_type(sy__attribute_int(call->node, "to", 0));
    if (to == SY_TYPE_INVALID || sy_type_get(x->type)->n_block_elements != 1) {
        return sy__infer_fail(call, "it cannot cast %s to ONNX type %" PRId64,
                              sy_type_get(x->type)->name, sy__attribute_int(call->node, "to", 0));
    }
    sy__result_like(call, 0, x);
    call->results[0].type = to;
    return SY_OK;
}

static sy_status infer_expand(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    int64_t shape[SHAPE_ENTRIES] = {0};
    uint32_t n = 0;
    sy_status status = sy__constant_ints(call, 1, shape, SHAPE_ENTRIES, &n);
    if (status != SY_OK) {
        return status;
    }
    sy__inferred *out = &call->results[0];
    out->type = x->type;
    out->rank = n > x->rank ? n : x->rank;
    for (uint32_t i = 0; i < out->rank; i++) {
        uint32_t skip_x = out->rank - x->rank, skip_n = out->rank - n;
        sy_dimension d = i >= skip_x ? x->dims[i - skip_x] : sy__dimension_fixed(1);
        int64_t wanted = i >= skip_n ? shape[i - skip_n] : 1;
        if (wanted < 0 ||
            (wanted != 1 && !sy__dimension_is(&d, 1) && !sy__dimension_is(&d, wanted))) {
            return sy__infer_fail(call, "dimension %" PRIu32 " of '%s' cannot expand", i, x->name);
        }
        out->dims[i] = wanted == 1 ? d : sy__dimension_fixed(wanted);
    }
    return SY_OK;
}

const sy__infer_rule sy__infer_rules_shape[] = {
    {"", "Identity", 1, 1, 1, infer_identity},
    {"", "Reshape", 2, 2, 1, infer_reshape},
    {"", "Transpose", 1, 1, 1, infer_transpose},
    {"", "Concat", 1, SY_LIMIT_NODE_INPUTS, 1, infer_concat},
    {"", "Slice", 3, 5, 1, infer_slice},
    {"", "Split", 1, 2, SY_LIMIT_NODE_OUTPUTS, infer_split},
    {"", "Squeeze", 1, 2, 1, infer_squeeze},
    {"", "Unsqueeze", 2, 2, 1, infer_unsqueeze},
    {"", "Gather", 2, 2, 1, infer_gather},
    {"", "Cast", 1, 1, 1, infer_cast},
    {"", "Expand", 2, 2, 1, infer_expand},
    {NULL, NULL, 0, 0, 0, NULL},
};
