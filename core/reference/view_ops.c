/* SPDX-License-Identifier: Apache-2.0 */
/* Operators whose output has the bytes of the input: within a unit they share memory. */
#include "base/checked.h"
#include "reference/element.h"
#include "reference/operators.h"

#include <string.h>

SY__PREPARE(identity) {
    return sy__ref_require_same(facts, 0);
}

/* Elements of whole bytes. */
static bool prepare_view(sy__facts *facts) {
    if (!sy__ref_is_addressable(facts->inputs[0]->type)) {
        return sy__ref_refuse(facts, SY_REASON_TYPE, "elements of less than a byte, or in blocks");
    }
    facts->params.n_list = 0;
    return sy__ref_prepare_identity(facts);
}

SY__PREPARE(reshape) {
    sy__params *p = &facts->params;
    return prepare_view(facts) &&
           sy__ref_attribute_bool(facts, "allowzero", false, &p->allow_zero) &&
           sy__ref_constant_ints(facts, 1, SY_MAX_RANK, p->list, &p->n_list);
}

/* Product of the dimensions of x that the shape does not simply copy with a 0. */
static int64_t uncopied(const sy__params *params, const sy__shape *x) {
    int64_t product = 1;
    for (uint32_t i = 0; i < x->rank; i++) {
        bool copied = i < params->n_list && params->list[i] == 0 && !params->allow_zero;
        product *= copied ? 1 : x->dims[i];
    }
    return product;
}

/* Copied dimensions cancel out, so that -1 keeps its meaning when one of them is 0. */
SY__INFER(reshape) {
    const sy__shape *x = &inputs[0]->shape;
    sy__shape out = {.rank = params->n_list};
    int64_t known = 1;
    uint32_t i_free = SY_NO_VALUE;
    (void)n_inputs;
    (void)n_outputs;
    for (uint32_t i = 0; i < out.rank; i++) {
        out.dims[i] = params->list[i];
        if (out.dims[i] == 0 && !params->allow_zero) {
            if (i >= x->rank) {
                return false;
            }
            out.dims[i] = x->dims[i];
        } else if (out.dims[i] == -1 && i_free == SY_NO_VALUE) {
            i_free = i;
        } else if (out.dims[i] < 0 || !sy__mul_i64(known, out.dims[i], &known)) {
            return false;
        }
    }
    int64_t rest = uncopied(params, x);
    if (i_free != SY_NO_VALUE) {
        if (known == 0 || rest % known != 0) {
            return false;
        }
        out.dims[i_free] = rest / known;
        known = rest;
    }
    out_shapes[0] = out;
    return known == rest;
}

/* Axes by attribute-free constant input, as opset 13 has them. */
SY__PREPARE(squeeze) {
    sy__params *p = &facts->params;
    if (!prepare_view(facts) ||
        !sy__ref_constant_ints(facts, 1, SY_MAX_RANK, p->list, &p->n_list)) {
        return false;
    }
    p->all_axes = p->n_list == UINT32_MAX;
    p->n_list = p->all_axes ? 0 : p->n_list;
    return true;
}

/* Marks the listed axes of a rank; false when one is outside or named twice. */
static bool mark_axes(const sy__params *params, uint32_t rank, bool out_marked[SY_MAX_RANK]) {
    memset(out_marked, 0, SY_MAX_RANK * sizeof(out_marked[0]));
    for (uint32_t i = 0; i < params->n_list; i++) {
        uint32_t axis = 0;
        if (!sy__ref_axis(params->list[i], rank, &axis) || out_marked[axis]) {
            return false;
        }
        out_marked[axis] = true;
    }
    return true;
}

SY__INFER(squeeze) {
    const sy__shape *x = &inputs[0]->shape;
    sy__shape out = {.rank = 0};
    bool marked[SY_MAX_RANK];
    (void)n_inputs;
    (void)n_outputs;
    if (!mark_axes(params, x->rank, marked)) {
        return false;
    }
    for (uint32_t i = 0; i < x->rank; i++) {
        if (marked[i] && x->dims[i] != 1) {
            return false;
        }
        bool is_one = x->dims[i] == 1 && (inputs[0]->dynamic >> i & 1) == 0;
        if (!marked[i] && !(params->all_axes && is_one)) {
            out.dims[out.rank++] = x->dims[i];
        }
    }
    out_shapes[0] = out;
    return true;
}

SY__PREPARE(unsqueeze) {
    sy__params *p = &facts->params;
    return prepare_view(facts) && sy__ref_constant_ints(facts, 1, SY_MAX_RANK, p->list, &p->n_list);
}

SY__INFER(unsqueeze) {
    const sy__shape *x = &inputs[0]->shape;
    sy__shape out = {.rank = x->rank + params->n_list};
    bool marked[SY_MAX_RANK];
    uint32_t i_x = 0;
    (void)n_inputs;
    (void)n_outputs;
    if (out.rank > SY_MAX_RANK || !mark_axes(params, out.rank, marked)) {
        return false;
    }
    for (uint32_t i = 0; i < out.rank; i++) {
        out.dims[i] = marked[i] ? 1 : x->dims[i_x++];
    }
    out_shapes[0] = out;
    return true;
}

/* Nothing to do when the output shares the input's memory. */
SY__RUN(view) {
    const sy__tensor *x = call->inputs[0], *y = call->outputs[0];
    uint64_t n_bytes = 0;
    if (x->data != y->data && sy__ref_tensor_bytes(y->type, &y->shape, &n_bytes) && n_bytes > 0) {
        memcpy(y->data, x->data, (size_t)n_bytes);
    }
    return SY_OK;
}
