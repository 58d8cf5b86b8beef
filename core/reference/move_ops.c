/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that only move elements. They copy bytes, whatever the type means. */
#include "base/checked.h"
#include "reference/element.h"
#include "reference/operators.h"

#include <inttypes.h>
#include <string.h>

/* Every input from i_first on has the type of output 0, in whole bytes. */
static bool prepare_move(sy__facts *facts, uint32_t i_first, uint32_t n_inputs) {
    if (!sy__ref_is_addressable(facts->outputs[0]->type)) {
        return sy__ref_refuse(facts, SY_REASON_TYPE, "elements of less than a byte, or in blocks");
    }
    for (uint32_t i = i_first; i < i_first + n_inputs; i++) {
        if (!sy__ref_require_same(facts, i)) {
            return false;
        }
    }
    return true;
}

SY__PREPARE(transpose) {
    sy__params *p = &facts->params;
    uint32_t rank = facts->inputs[0]->shape.rank;
    bool seen[SY_MAX_RANK] = {false};
    if (!prepare_move(facts, 0, 1) ||
        !sy__ref_attribute_ints(facts, "perm", SY_MAX_RANK, p->list, &p->n_list)) {
        return false;
    }
    if (p->n_list == UINT32_MAX) { /* reversed */
        p->n_list = rank;
        for (uint32_t i = 0; i < rank; i++) {
            p->list[i] = rank - 1 - i;
        }
    }
    for (uint32_t i = 0; i < p->n_list; i++) {
        if (p->n_list != rank || p->list[i] < 0 || p->list[i] >= rank || seen[p->list[i]]) {
            return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "perm is no permutation");
        }
        seen[p->list[i]] = true;
    }
    return p->n_list == rank ||
           sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "perm has another length than the rank");
}

SY__INFER(transpose) {
    const sy__shape *x = &inputs[0]->shape;
    (void)n_inputs;
    (void)n_outputs;
    out_shapes[0] = (sy__shape){.rank = x->rank};
    for (uint32_t i = 0; i < x->rank; i++) {
        out_shapes[0].dims[i] = x->dims[params->list[i]];
    }
    return true;
}

SY__RUN(transpose) {
    const sy__shape *x = &call->inputs[0]->shape;
    sy__walk walk = {.call = call, .output = call->outputs[0], .n_inputs = 1};
    walk.inputs[0] = call->inputs[0];
    walk.visit = sy__ref_visit_copy;
    for (uint32_t i = 0; i < x->rank; i++) {
        uint32_t from = (uint32_t)call->params->list[i];
        walk.strides[0][i] = sy__ref_shape_product(x, from + 1, x->rank);
    }
    return sy__ref_walk_run(&walk);
}

SY__PREPARE(concat) {
    for (uint32_t i = 0; i < facts->node.n_inputs; i++) {
        if (facts->inputs[i] == NULL) {
            return sy__ref_refuse(facts, SY_REASON_OTHER, "an input is missing");
        }
    }
    sy__params *p = &facts->params;
    return prepare_move(facts, 0, facts->node.n_inputs) &&
           sy__ref_attribute_int(facts, "axis", INT64_MAX, &p->axis);
}

SY__INFER(concat) {
    sy__shape out = inputs[0]->shape;
    uint32_t axis = 0;
    (void)n_outputs;
    if (!sy__ref_axis(params->axis, out.rank, &axis)) {
        return false;
    }
    for (uint32_t i = 1; i < n_inputs; i++) {
        const sy__shape *x = &inputs[i]->shape;
        for (uint32_t d = 0; d < out.rank; d++) {
            if (x->rank != out.rank || (d != axis && x->dims[d] != out.dims[d])) {
                return false;
            }
        }
        if (!sy__add_i64(out.dims[axis], x->dims[axis], &out.dims[axis])) {
            return false;
        }
    }
    out_shapes[0] = out;
    return true;
}

/* Copies between one whole tensor and a part of another along an axis. */
static void copy_part(const sy__tensor *whole, const sy__tensor *parts, uint32_t axis,
                      int64_t first, bool to_whole) {
    size_t element = sy__ref_element_bytes(whole->type);
    int64_t n_outer = sy__ref_shape_product(&whole->shape, 0, axis);
    int64_t inner = sy__ref_shape_product(&whole->shape, axis + 1, whole->shape.rank);
    size_t whole_bytes = (size_t)(whole->shape.dims[axis] * inner) * element;
    size_t part_bytes = (size_t)(parts->shape.dims[axis] * inner) * element;
    uint8_t *in_whole = (uint8_t *)whole->data + (size_t)(first * inner) * element;
    uint8_t *in_part = parts->data;
    for (int64_t i = 0; i < n_outer && part_bytes > 0; i++) {
        if (to_whole) {
            memcpy(in_whole, in_part, part_bytes);
        } else {
            memcpy(in_part, in_whole, part_bytes);
        }
        in_whole += whole_bytes;
        in_part += part_bytes;
    }
}

SY__RUN(concat) {
    uint32_t axis = 0;
    int64_t first = 0;
    if (!sy__ref_axis(call->params->axis, call->outputs[0]->shape.rank, &axis)) {
        return SY_INTERNAL;
    }
    for (uint32_t i = 0; i < call->node->n_inputs; i++) {
        copy_part(call->outputs[0], call->inputs[i], axis, first, true);
        first += call->inputs[i]->shape.dims[axis];
    }
    return SY_OK;
}

SY__PREPARE(split) {
    sy__params *p = &facts->params;
    int64_t n_outputs = 0;
    if (!prepare_move(facts, 0, 1) || !sy__ref_attribute_int(facts, "axis", 0, &p->axis) ||
        !sy__ref_attribute_int(facts, "num_outputs", facts->node.n_outputs, &n_outputs) ||
        !sy__ref_constant_ints(facts, 1, SY__MAX_LIST, p->list, &p->n_list)) {
        return false;
    }
    for (uint32_t i = 0; i < facts->node.n_outputs; i++) {
        if (facts->outputs[i]->type != facts->inputs[0]->type) {
            return sy__ref_refuse(facts, SY_REASON_TYPE, "outputs of another type");
        }
    }
    bool sized = p->n_list != UINT32_MAX;
    if (n_outputs != facts->node.n_outputs || (sized && p->n_list != facts->node.n_outputs)) {
        return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "more or fewer sizes than outputs");
    }
    p->all_axes = !sized; /* equal parts, the last one smaller */
    return true;
}

SY__INFER(split) {
    const sy__shape *x = &inputs[0]->shape;
    uint32_t axis = 0;
    int64_t rest = 0;
    (void)n_inputs;
    if (!sy__ref_axis(params->axis, x->rank, &axis)) {
        return false;
    }
    rest = x->dims[axis];
    int64_t equal = (rest + n_outputs - 1) / n_outputs;
    for (uint32_t i = 0; i < n_outputs; i++) {
        int64_t n = params->all_axes ? (equal < rest ? equal : rest) : params->list[i];
        if (n < 0 || n > rest) {
            return false;
        }
        out_shapes[i] = *x;
        out_shapes[i].dims[axis] = n;
        rest -= n;
    }
    return rest == 0;
}

SY__RUN(split) {
    uint32_t axis = 0;
    int64_t first = 0;
    if (!sy__ref_axis(call->params->axis, call->inputs[0]->shape.rank, &axis)) {
        return SY_INTERNAL;
    }
    for (uint32_t i = 0; i < call->node->n_outputs; i++) {
        copy_part(call->inputs[0], call->outputs[i], axis, first, false);
        first += call->outputs[i]->shape.dims[axis];
    }
    return SY_OK;
}

SY__PREPARE(expand) {
    sy__params *p = &facts->params;
    return prepare_move(facts, 0, 1) &&
           sy__ref_constant_ints(facts, 1, SY_MAX_RANK, p->list, &p->n_list);
}

SY__INFER(expand) {
    sy__shape wanted = {.rank = params->n_list};
    (void)n_inputs;
    (void)n_outputs;
    for (uint32_t i = 0; i < wanted.rank; i++) {
        wanted.dims[i] = params->list[i];
        if (wanted.dims[i] < 0) {
            return false;
        }
    }
    return sy__ref_shape_broadcast(&inputs[0]->shape, &wanted, &out_shapes[0]);
}

SY__RUN(expand) {
    return sy__ref_walk_broadcast(call, 1, sy__ref_visit_copy);
}

SY__PREPARE(where) {
    return sy__ref_require_type_in(facts, 0, SY_TYPE_BOOL) && prepare_move(facts, 1, 2);
}

SY__INFER(where) {
    sy__shape both;
    (void)params;
    (void)n_inputs;
    (void)n_outputs;
    return sy__ref_shape_broadcast(&inputs[1]->shape, &inputs[2]->shape, &both) &&
           sy__ref_shape_broadcast(&inputs[0]->shape, &both, &out_shapes[0]);
}

static void visit_where(const sy__walk *walk, const sy__run *run) {
    size_t n_bytes = sy__ref_element_bytes(walk->output->type);
    const uint8_t *condition = walk->inputs[0]->data;
    uint8_t *to = walk->output->data;
    for (int64_t i = 0; i < run->n; i++) {
        uint32_t chosen = condition[run->first[0] + i * run->stride[0]] != 0 ? 1 : 2;
        const uint8_t *from = walk->inputs[chosen]->data;
        int64_t at = run->first[chosen] + i * run->stride[chosen];
        memcpy(to + (size_t)(run->out_first + i) * n_bytes, from + (size_t)at * n_bytes, n_bytes);
    }
}

SY__RUN(where) {
    return sy__ref_walk_broadcast(call, 3, visit_where);
}

SY__PREPARE(gather) {
    sy_element_type indices = facts->inputs[1]->type;
    if (indices != SY_TYPE_I32 && indices != SY_TYPE_I64) {
        return sy__ref_refuse(facts, SY_REASON_TYPE, "indices are neither i32 nor i64");
    }
    return prepare_move(facts, 0, 1) &&
           sy__ref_attribute_int(facts, "axis", 0, &facts->params.axis);
}

SY__INFER(gather) {
    const sy__shape *x = &inputs[0]->shape, *indices = &inputs[1]->shape;
    uint32_t axis = 0;
    (void)n_inputs;
    (void)n_outputs;
    if (!sy__ref_axis(params->axis, x->rank, &axis) || x->rank - 1 + indices->rank > SY_MAX_RANK) {
        return false;
    }
    sy__shape out = {.rank = 0};
    for (uint32_t i = 0; i < axis; i++) {
        out.dims[out.rank++] = x->dims[i];
    }
    for (uint32_t i = 0; i < indices->rank; i++) {
        out.dims[out.rank++] = indices->dims[i];
    }
    for (uint32_t i = axis + 1; i < x->rank; i++) {
        out.dims[out.rank++] = x->dims[i];
    }
    out_shapes[0] = out;
    return true;
}

SY__RUN(gather) {
    const sy__tensor *x = call->inputs[0], *indices = call->inputs[1];
    uint32_t axis = 0;
    if (!sy__ref_axis(call->params->axis, x->shape.rank, &axis)) {
        return SY_INTERNAL;
    }
    int64_t n_outer = sy__ref_shape_product(&x->shape, 0, axis);
    int64_t inner = sy__ref_shape_product(&x->shape, axis + 1, x->shape.rank);
    int64_t n_indices = sy__ref_shape_count(&indices->shape), n = x->shape.dims[axis];
    size_t n_bytes = (size_t)inner * sy__ref_element_bytes(x->type);
    for (int64_t i = 0; i < n_indices; i++) {
        int64_t index = 0;
        sy__ref_get_i64(indices, i, 1, 1, &index);
        if (index < -n || index >= n) {
            return sy__ref_fail(call, SY_OUT_OF_RANGE,
                                "index %" PRId64 " at place %" PRId64 ", the axis has %" PRId64,
                                index, i, n);
        }
        index += index < 0 ? n : 0;
        for (int64_t outer = 0; outer < n_outer && n_bytes > 0; outer++) {
            memcpy((uint8_t *)call->outputs[0]->data + (size_t)(outer * n_indices + i) * n_bytes,
                   (const uint8_t *)x->data + (size_t)(outer * n + index) * n_bytes, n_bytes);
        }
    }
    return SY_OK;
}
