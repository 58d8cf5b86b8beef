/* SPDX-License-Identifier: Apache-2.0 */
#include "reference/element.h"
#include "reference/operators.h"

/* Constant inputs: starts, ends, axes, steps. */
SY__PREPARE(slice) {
    sy__params *p = &facts->params;
    int64_t starts[SY_MAX_RANK], ends[SY_MAX_RANK], axes[SY_MAX_RANK], steps[SY_MAX_RANK];
    uint32_t n_starts, n_ends, n_axes, n_steps, rank = facts->inputs[0]->shape.rank;
    if (!sy__ref_is_addressable(facts->inputs[0]->type)) {
        return sy__ref_refuse(facts, SY_REASON_TYPE, "elements of less than a byte, or in blocks");
    }
    if (!sy__ref_require_same(facts, 0) ||
        !sy__ref_constant_ints(facts, 1, SY_MAX_RANK, starts, &n_starts) ||
        !sy__ref_constant_ints(facts, 2, SY_MAX_RANK, ends, &n_ends) ||
        !sy__ref_constant_ints(facts, 3, SY_MAX_RANK, axes, &n_axes) ||
        !sy__ref_constant_ints(facts, 4, SY_MAX_RANK, steps, &n_steps)) {
        return false;
    }
    if (n_ends != n_starts || (n_axes != UINT32_MAX && n_axes != n_starts) ||
        (n_steps != UINT32_MAX && n_steps != n_starts)) {
        return sy__ref_refuse(facts, SY_REASON_SHAPE, "starts, ends, axes, steps differ in length");
    }
    for (uint32_t i = 0; i < SY_MAX_RANK; i++) {
        p->starts[i] = 0;
        p->ends[i] = INT64_MAX;
        p->steps[i] = 1;
    }
    bool seen[SY_MAX_RANK] = {false};
    for (uint32_t i = 0; i < n_starts; i++) {
        uint32_t axis = 0;
        int64_t step = n_steps != UINT32_MAX ? steps[i] : 1;
        if (!sy__ref_axis(n_axes != UINT32_MAX ? axes[i] : (int64_t)i, rank, &axis) || seen[axis] ||
            step == 0 || step == INT64_MIN) {
            return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE,
                                  "an axis is outside of the rank or twice, or a step is 0");
        }
        seen[axis] = true;
        p->starts[axis] = starts[i];
        p->ends[axis] = ends[i];
        p->steps[axis] = step;
    }
    return true;
}

/* Negative places count from the end; then cut to [low, high]. */
static int64_t clamp_place(int64_t place, int64_t n, int64_t low, int64_t high) {
    if (place < 0) {
        place = place < -n ? -n - 1 : place;
        place += n;
    }
    return place < low ? low : place > high ? high : place;
}

/* First place and number of elements along an axis of n elements. */
static void slice_axis(const sy__params *p, uint32_t axis, int64_t n, int64_t *out_first,
                       int64_t *out_n) {
    int64_t step = p->steps[axis], span;
    if (step > 0) {
        *out_first = clamp_place(p->starts[axis], n, 0, n);
        span = clamp_place(p->ends[axis], n, 0, n) - *out_first;
    } else { /* going down, the end may be before the first element, the start may not */
        *out_first = clamp_place(p->starts[axis], n, 0, n - 1);
        span = *out_first - clamp_place(p->ends[axis], n, -1, n - 1);
        step = -step;
    }
    *out_n = span > 0 && n > 0 ? (span - 1) / step + 1 : 0;
}

SY__INFER(slice) {
    (void)n_inputs;
    (void)n_outputs;
    out_shapes[0] = inputs[0]->shape;
    for (uint32_t i = 0; i < out_shapes[0].rank; i++) {
        int64_t first = 0;
        slice_axis(params, i, inputs[0]->shape.dims[i], &first, &out_shapes[0].dims[i]);
    }
    return true;
}

SY__RUN(slice) {
    const sy__shape *x = &call->inputs[0]->shape;
    sy__walk walk = {.call = call, .output = call->outputs[0], .n_inputs = 1};
    walk.inputs[0] = call->inputs[0];
    walk.visit = sy__ref_visit_copy;
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t first = 0, n = 0;
        int64_t stride = sy__ref_shape_product(x, i + 1, x->rank);
        slice_axis(call->params, i, x->dims[i], &first, &n);
        walk.base[0] += first * stride;
        /* A single element needs no stride, and a huge step must not overflow one. */
        walk.strides[0][i] = n > 1 ? call->params->steps[i] * stride : 0;
    }
    return sy__ref_walk_run(&walk);
}
