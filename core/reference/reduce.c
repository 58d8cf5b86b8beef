/* SPDX-License-Identifier: Apache-2.0 */
#include "reference/element.h"
#include "reference/operators.h"

#include <math.h>

#define TASK_OUTPUTS 64
#define CHUNK 256

static bool is_integer(sy_element_type type) {
    return type == SY_TYPE_I8 || type == SY_TYPE_U8 || type == SY_TYPE_I32 || type == SY_TYPE_I64;
}

SY__PREPARE(reduce) {
    sy__params *p = &facts->params;
    sy_element_type type = facts->outputs[0]->type;
    uint32_t variant = facts->op->variant;
    bool integer = variant != SY__REDUCE_MEAN && is_integer(type);
    integer = integer || (variant == SY__REDUCE_MAX && type == SY_TYPE_BOOL);
    if ((!integer && !sy__ref_require_float_out(facts, 0)) || !sy__ref_require_same(facts, 0)) {
        return false;
    }
    bool keep_all = false;
    if (!sy__ref_attribute_bool(facts, "keepdims", true, &p->keepdims) ||
        !sy__ref_attribute_bool(facts, "noop_with_empty_axes", false, &keep_all) ||
        !sy__ref_constant_ints(facts, 1, SY_MAX_RANK, p->list, &p->n_list)) {
        return false;
    }
    bool none_given = p->n_list == UINT32_MAX || p->n_list == 0;
    p->n_list = none_given ? 0 : p->n_list;
    p->all_axes = none_given && !keep_all;
    return true;
}

/* Which axes are reduced; false for an axis outside of the rank or named twice. */
static bool reduced_axes(const sy__params *params, uint32_t rank, bool out_reduced[SY_MAX_RANK]) {
    for (uint32_t i = 0; i < SY_MAX_RANK; i++) {
        out_reduced[i] = params->all_axes && i < rank;
    }
    for (uint32_t i = 0; i < params->n_list; i++) {
        uint32_t axis = 0;
        if (!sy__ref_axis(params->list[i], rank, &axis) || out_reduced[axis]) {
            return false;
        }
        out_reduced[axis] = true;
    }
    return true;
}

SY__INFER(reduce) {
    const sy__shape *x = &inputs[0]->shape;
    bool reduced[SY_MAX_RANK];
    (void)n_inputs;
    (void)n_outputs;
    if (!reduced_axes(params, x->rank, reduced)) {
        return false;
    }
    sy__shape out = {.rank = 0};
    for (uint32_t i = 0; i < x->rank; i++) {
        if (!reduced[i]) {
            out.dims[out.rank++] = x->dims[i];
        } else if (params->keepdims) {
            out.dims[out.rank++] = 1;
        }
    }
    out_shapes[0] = out;
    return true;
}

SY__MACS(reduce) {
    return (double)sy__ref_shape_count(&facts->inputs[0]->shape);
}

/* The dimensions of x in two groups, each with the strides in x. */
typedef struct reduction {
    const sy__call *call;
    uint32_t variant;
    sy__shape kept, reduced;
    int64_t kept_strides[SY_MAX_RANK], reduced_strides[SY_MAX_RANK];
} reduction;

static int64_t offset_of(const sy__shape *shape, const int64_t *strides, int64_t index) {
    int64_t offset = 0;
    for (uint32_t d = shape->rank; d-- > 0;) {
        offset += index % shape->dims[d] * strides[d];
        index /= shape->dims[d];
    }
    return offset;
}

static double reduce_float(const reduction *r, int64_t base) {
    double values[CHUNK];
    double result = r->variant == SY__REDUCE_MAX ? -HUGE_VAL : 0.0;
    int64_t n = sy__ref_shape_count(&r->reduced);
    uint32_t last = r->reduced.rank - 1; /* there is at least one, see split_dimensions */
    int64_t run = r->reduced.dims[last], step = r->reduced_strides[last];
    for (int64_t i = 0; i < n;) {
        int64_t room = run - i % run;
        int64_t count = room < CHUNK ? room : CHUNK;
        sy__ref_get_f64(r->call->inputs[0], base + offset_of(&r->reduced, r->reduced_strides, i),
                        step, count, values);
        for (int64_t j = 0; j < count; j++) {
            if (r->variant == SY__REDUCE_MAX) {
                result = values[j] > result || isnan(values[j]) ? values[j] : result;
            } else {
                result += values[j];
            }
        }
        i += count;
    }
    return r->variant == SY__REDUCE_MEAN ? result / (double)n : result;
}

/* The smallest value of an integer type: what the maximum of nothing is. */
static int64_t lowest(sy_element_type type) {
    switch (type) {
    case SY_TYPE_I8:
        return INT8_MIN;
    case SY_TYPE_I32:
        return INT32_MIN;
    case SY_TYPE_I64:
        return INT64_MIN;
    default:
        return 0;
    }
}

static int64_t reduce_integer(const reduction *r, int64_t base) {
    const sy__tensor *x = r->call->inputs[0];
    int64_t result = r->variant == SY__REDUCE_MAX ? lowest(x->type) : 0;
    int64_t n = sy__ref_shape_count(&r->reduced);
    for (int64_t i = 0; i < n; i++) {
        int64_t value = 0;
        sy__ref_get_i64(x, base + offset_of(&r->reduced, r->reduced_strides, i), 1, 1, &value);
        if (r->variant == SY__REDUCE_MAX) {
            result = value > result ? value : result;
        } else {
            result = (int64_t)((uint64_t)result + (uint64_t)value); /* wraps around */
        }
    }
    return result;
}

static void reduce_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const reduction *r = argument;
    const sy__tensor *y = r->call->outputs[0];
    (void)i_worker;
    int64_t end = sy__ref_shape_count(&y->shape);
    int64_t i = (int64_t)i_task * TASK_OUTPUTS;
    end = end < i + TASK_OUTPUTS ? end : i + TASK_OUTPUTS;
    for (; i < end; i++) {
        int64_t base = offset_of(&r->kept, r->kept_strides, i);
        if (sy__ref_is_float(y->type)) {
            double value = reduce_float(r, base);
            sy__ref_put_f64(y, i, 1, &value);
        } else {
            int64_t value = reduce_integer(r, base);
            sy__ref_put_i64(y, i, 1, &value);
        }
    }
}

/* Fills both groups; a group of no dimensions becomes one of size 1. */
static bool split_dimensions(const sy__params *params, const sy__shape *x, reduction *r) {
    bool reduced[SY_MAX_RANK];
    if (!reduced_axes(params, x->rank, reduced)) {
        return false;
    }
    for (uint32_t i = 0; i < x->rank; i++) {
        sy__shape *group = reduced[i] ? &r->reduced : &r->kept;
        int64_t *strides = reduced[i] ? r->reduced_strides : r->kept_strides;
        strides[group->rank] = sy__ref_shape_product(x, i + 1, x->rank);
        group->dims[group->rank++] = x->dims[i];
    }
    if (r->reduced.rank == 0) {
        r->reduced.rank = 1;
        r->reduced.dims[0] = 1;
    }
    return true;
}

SY__RUN(reduce) {
    reduction r = {.call = call, .variant = call->node->op->variant};
    if (!split_dimensions(call->params, &call->inputs[0]->shape, &r)) {
        return SY_INTERNAL;
    }
    uint64_t n = (uint64_t)sy__ref_shape_count(&call->outputs[0]->shape);
    return sy__ref_parallel(call, reduce_task, &r, (n + TASK_OUTPUTS - 1) / TASK_OUTPUTS);
}
