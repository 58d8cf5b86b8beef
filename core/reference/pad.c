/* SPDX-License-Identifier: Apache-2.0 */
/* Pad, DepthToSpace and SpaceToDepth. They copy bytes, whatever the type means. */
#include "base/checked.h"
#include "reference/element.h"
#include "reference/operators.h"

#include <inttypes.h>
#include <string.h>

#define LARGEST (1 << 24) /* of a pad or block */

enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE };

static bool require_moved(sy__facts *facts) {
    if (!sy__ref_is_addressable(facts->inputs[0]->type)) {
        return sy__ref_refuse(facts, SY_REASON_TYPE, "elements of less than a byte, or in blocks");
    }
    return sy__ref_require_same(facts, 0);
}

static bool read_mode(sy__facts *facts) {
    static const char *const names[] = {"constant", "reflect", "edge"};
    const char *mode = NULL;
    if (!sy__ref_attribute_string(facts, "mode", names[0], &mode)) {
        return false;
    }
    for (facts->params.activation = 0; facts->params.activation < 3; facts->params.activation++) {
        if (strcmp(mode, names[facts->params.activation]) == 0) {
            return true;
        }
    }
    return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "mode is %.30s", mode);
}

static bool check_fill(sy__facts *facts) {
    const sy__tensor *fill = facts->inputs[2];
    if (fill == NULL) {
        return true;
    }
    if (fill->kind != SY_VALUE_WEIGHT || sy__ref_shape_count(&fill->shape) != 1) {
        return sy__ref_refuse(facts, SY_REASON_OTHER, "constant_value is not one constant");
    }
    return sy__ref_require_same(facts, 2);
}

/* What is added in front of and behind one axis. */
static bool set_pads(sy__facts *facts, int64_t given_axis, int64_t before, int64_t after) {
    sy__params *p = &facts->params;
    const sy__tensor *x = facts->inputs[0];
    uint32_t axis = 0;
    if (!sy__ref_axis(given_axis, x->shape.rank, &axis) || p->steps[axis] != 0) {
        return sy__ref_refuse(facts, SY_REASON_OTHER, "an axis is outside of the rank or twice");
    }
    p->steps[axis] = 1; /* named */
    if (before == 0 && after == 0) {
        return true;
    }
    int64_t n = x->shape.dims[axis];
    int64_t most = p->activation == PAD_REFLECT ? n - 1 : LARGEST;
    if ((x->dynamic >> axis & 1) != 0 || n < 1 || before < 0 || after < 0 || before > most ||
        after > most) {
        return sy__ref_refuse(facts, SY_REASON_SHAPE, "axis %" PRIu32 " cannot get these pads",
                              axis);
    }
    p->starts[axis] = before;
    p->ends[axis] = after;
    return true;
}

SY__PREPARE(pad) {
    int64_t pads[2 * SY_MAX_RANK], axes[SY_MAX_RANK];
    uint32_t n_pads = 0, n = 0, rank = facts->inputs[0]->shape.rank;
    if (!require_moved(facts) || !read_mode(facts) || !check_fill(facts) ||
        !sy__ref_constant_ints(facts, 1, 2 * SY_MAX_RANK, pads, &n_pads) ||
        !sy__ref_constant_ints(facts, 3, SY_MAX_RANK, axes, &n)) {
        return false;
    }
    bool has_axes = n != UINT32_MAX;
    n = has_axes ? n : rank;
    if (n_pads != 2 * n) {
        return sy__ref_refuse(facts, SY_REASON_SHAPE, "pads has not two entries for each axis");
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!set_pads(facts, has_axes ? axes[i] : (int64_t)i, pads[i], pads[n + i])) {
            return false;
        }
    }
    return true;
}

SY__INFER(pad) {
    (void)n_inputs;
    (void)n_outputs;
    out_shapes[0] = inputs[0]->shape;
    for (uint32_t i = 0; i < out_shapes[0].rank; i++) {
        out_shapes[0].dims[i] += params->starts[i] + params->ends[i];
    }
    return true;
}

/* The place along an axis of n elements that an output place takes, -1 for the fill. */
static int64_t source_of(const sy__params *p, uint32_t axis, int64_t n, int64_t place) {
    int64_t at = place - p->starts[axis];
    if (at >= 0 && at < n) {
        return at;
    }
    switch (p->activation) {
    case PAD_CONSTANT:
        return -1;
    case PAD_REFLECT:
        return at < 0 ? -at : 2 * (n - 1) - at;
    default:
        return at < 0 ? 0 : n - 1;
    }
}

/* Elements of one innermost row of the output. */
static void visit_pad(const sy__walk *walk, const sy__run *run) {
    static const uint8_t zeros[8] = {0};
    const sy__call *call = walk->call;
    const sy__tensor *x = call->inputs[0];
    const sy__shape *out = &walk->output->shape;
    size_t n_bytes = sy__ref_element_bytes(x->type);
    const uint8_t *fill = call->inputs[2] != NULL ? call->inputs[2]->data : zeros;
    uint32_t last = out->rank > 0 ? out->rank - 1 : 0;
    int64_t width = out->rank > 0 ? out->dims[last] : 1, stride = 1, base = 0;
    int64_t rest = run->out_first / width, first = run->out_first % width;
    for (uint32_t d = last; d-- > 0;) {
        stride *= x->shape.dims[d + 1];
        int64_t from = source_of(call->params, d, x->shape.dims[d], rest % out->dims[d]);
        base = from < 0 || base < 0 ? -1 : base + from * stride;
        rest /= out->dims[d];
    }
    for (int64_t i = 0; i < run->n; i++) {
        int64_t from =
            out->rank == 0 ? 0 : source_of(call->params, last, x->shape.dims[last], first + i);
        const uint8_t *bytes = from < 0 || base < 0
                                   ? fill
                                   : (const uint8_t *)x->data + (size_t)(base + from) * n_bytes;
        memcpy((uint8_t *)walk->output->data + (size_t)(run->out_first + i) * n_bytes, bytes,
               n_bytes);
    }
}

SY__RUN(pad) {
    sy__walk walk = {.call = call, .output = call->outputs[0], .visit = visit_pad};
    return sy__ref_walk_run(&walk);
}

/* ---- DepthToSpace, SpaceToDepth ---- */
static bool read_block(sy__facts *facts) {
    int64_t *size = &facts->params.list[0];
    if (!require_moved(facts) || !sy__ref_attribute_int(facts, "blocksize", 0, size)) {
        return false;
    }
    if (facts->inputs[0]->shape.rank != 4) {
        return sy__ref_refuse(facts, SY_REASON_SHAPE, "x is not [N, C, H, W]");
    }
    return (*size >= 1 && *size <= LARGEST) ||
           sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "blocksize is not positive");
}

SY__PREPARE(space_to_depth) {
    return read_block(facts);
}

SY__PREPARE(depth_to_space) {
    const char *mode = NULL;
    if (!read_block(facts) || !sy__ref_attribute_string(facts, "mode", "DCR", &mode)) {
        return false;
    }
    facts->params.interleaved = strcmp(mode, "CRD") == 0; /* channels outside, blocks inside */
    return facts->params.interleaved || strcmp(mode, "DCR") == 0 ||
           sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "mode is %.30s", mode);
}

SY__INFER(depth_to_space) {
    int64_t size = params->list[0];
    sy__shape out = inputs[0]->shape;
    (void)n_inputs;
    (void)n_outputs;
    if (out.dims[1] % (size * size) != 0 || !sy__mul_i64(out.dims[2], size, &out.dims[2]) ||
        !sy__mul_i64(out.dims[3], size, &out.dims[3])) {
        return false;
    }
    out.dims[1] /= size * size;
    out_shapes[0] = out;
    return true;
}

SY__INFER(space_to_depth) {
    int64_t size = params->list[0];
    sy__shape out = inputs[0]->shape;
    (void)n_inputs;
    (void)n_outputs;
    if (out.dims[2] % size != 0 || out.dims[3] % size != 0 ||
        !sy__mul_i64(out.dims[1], size * size, &out.dims[1])) {
        return false;
    }
    out.dims[2] /= size;
    out.dims[3] /= size;
    out_shapes[0] = out;
    return true;
}

/* The output with its blocks as dimensions of their own. */
static sy_status copy_blocks(const sy__call *call, const sy__shape *shape, const int64_t *strides) {
    sy__tensor output = *call->outputs[0];
    sy__walk walk = {.call = call, .output = &output, .n_inputs = 1, .visit = sy__ref_visit_copy};
    output.shape = *shape;
    walk.inputs[0] = call->inputs[0];
    memcpy(walk.strides[0], strides, shape->rank * sizeof(strides[0]));
    return sy__ref_walk_run(&walk);
}

SY__RUN(depth_to_space) {
    const sy__shape *x = &call->inputs[0]->shape;
    int64_t size = call->params->list[0], channels = x->dims[1] / (size * size);
    int64_t width = x->dims[3], plane = x->dims[2] * width;
    bool is_inside = call->params->interleaved;
    int64_t column = is_inside ? plane : channels * plane; /* to the next one of a block */
    const sy__shape shape = {.rank = 6,
                             .dims = {x->dims[0], channels, x->dims[2], size, width, size}};
    const int64_t strides[6] = {x->dims[1] * plane,
                                is_inside ? size * size * plane : plane,
                                width,
                                size * column,
                                1,
                                column};
    return copy_blocks(call, &shape, strides);
}

SY__RUN(space_to_depth) {
    const sy__shape *x = &call->inputs[0]->shape;
    int64_t size = call->params->list[0], channels = x->dims[1];
    int64_t width = x->dims[3], plane = x->dims[2] * width;
    const sy__shape shape = {
        .rank = 6, .dims = {x->dims[0], size, size, channels, x->dims[2] / size, width / size}};
    const int64_t strides[6] = {channels * plane, width, 1, plane, size * width, size};
    return copy_blocks(call, &shape, strides);
}
