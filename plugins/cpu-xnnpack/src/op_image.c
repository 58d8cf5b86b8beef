/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the nodes of image networks. */
#include "op_image.h"

#include <math.h>
#include <string.h>

#define LARGEST (1 << 20)                /* of a kernel, stride, dilation or pad */
#define MOST_ELEMENTS ((int64_t)1 << 40) /* of a value: no size in bytes overflows */

/* Fixed, but for the first of several dimensions, which may be a number of pictures (not of tokens:
 * those are many and small). */
static bool is_fixed(const sy_value_view *value) {
    bool fixed = value->rank <= CPU_XNN_DIMENSIONS;
    for (uint32_t i = 0; fixed && i < value->rank; i++) {
        const sy_dimension *d = &value->dims[i];
        bool counts = i == 0 && value->rank > 1 && d->symbol >= SY_SYMBOL_FIRST_FREE;
        fixed = (d->symbol == 0 || counts) && d->bound > 0;
    }
    return fixed;
}

static bool is_batched(const sy_value_view *value) {
    return value->rank > 0 && value->dims[0].symbol != 0;
}

/* Elements of one picture, where the first dimension counts pictures. */
static bool is_small(const sy_value_view *value) {
    sy_value_view one = *value;
    if (is_batched(value)) {
        one.dims[0].bound = 1;
    }
    return cpu_bound_count(&one) <= MOST_ELEMENTS;
}

static bool is_constant(const cpu_node *node, uint32_t i_input) {
    cpu_constant constant;
    return cpu_constant_find(node->graph, node->view.inputs[i_input], &constant);
}

/* Every computed value has the same first dimension, so that a picture is one index of it. */
static bool batch_check(const cpu_node *node, const sy_dimension *batch, cpu_answer *answer) {
    const sy_value_view *y = &node->out[0];
    for (uint32_t i = 0; i < node->n_in; i++) {
        const sy_value_view *x = &node->in[i];
        if (node->has_in[i] && !is_constant(node, i) &&
            (x->rank == 0 || !cpu_dimension_same(&x->dims[0], batch))) {
            return cpu_no(answer, SY_REASON_SHAPE, "input %u has another first dimension", i);
        }
    }
    return (y->rank > 1 && cpu_dimension_same(&y->dims[0], batch)) ||
           cpu_no(answer, SY_REASON_SHAPE, "y has another first dimension");
}

/* Common to all: library, shapes of rank up to 4, fixed but for the first dimension, not huge. */
static bool common_check(const sy_device *device, const cpu_node *node, cpu_image_node *out,
                         cpu_answer *answer) {
    if (!device->use_xnnpack) {
        return cpu_no(answer, SY_REASON_OTHER, "it runs on XNNPACK, which is not built in or off");
    }
    for (uint32_t i = 0; i < node->n_in; i++) {
        if (node->has_in[i] && !is_fixed(&node->in[i])) {
            return cpu_no(answer, SY_REASON_SHAPE, "input %u has no fixed shape of rank 0 to 4", i);
        }
        if (node->has_in[i] && !is_small(&node->in[i])) {
            return cpu_no(answer, SY_REASON_SHAPE, "input %u has more than 2^40 elements", i);
        }
        if (node->has_in[i] && is_batched(&node->in[i])) {
            out->is_batched = true;
            out->batch = node->in[i].dims[0];
        }
    }
    if (!is_fixed(&node->out[0])) {
        return cpu_no(answer, SY_REASON_SHAPE, "the output has no fixed shape of rank 0 to 4");
    }
    if (!is_small(&node->out[0])) {
        return cpu_no(answer, SY_REASON_SHAPE, "the output has more than 2^40 elements");
    }
    if (!out->is_batched && is_batched(&node->out[0])) {
        return cpu_no(answer, SY_REASON_SHAPE, "the output alone has a symbol");
    }
    return !out->is_batched || batch_check(node, &out->batch, answer);
}

static bool float_check(const cpu_node *node, cpu_answer *answer) {
    return cpu_require_same_float(&node->in[0], &node->out[0], answer) &&
           (node->in[0].kind != SY_VALUE_WEIGHT ||
            cpu_no(answer, SY_REASON_OTHER, "the first input is constant"));
}

static bool image_check(const sy_value_view *x, cpu_answer *answer) {
    return x->rank == 3 || x->rank == 4 ||
           cpu_no(answer, SY_REASON_SHAPE, "x has rank %u, not 3 or 4", x->rank);
}

/* n numbers of an attribute behind one another, or the fallback. */
static bool list_read(const cpu_node *node, const char *name, uint32_t n, int64_t fallback,
                      int64_t least, uint32_t *out, cpu_answer *answer) {
    const sy_attribute *found = NULL;
    for (uint32_t i = 0; i < node->view.n_attributes; i++) {
        const sy_attribute *a = &node->view.attributes[i];
        found = strcmp(a->name, name) == 0 ? a : found;
    }
    if (found != NULL && (found->type != SY_ATTRIBUTE_INTS || found->count != n)) {
        return cpu_no(answer, SY_REASON_ATTRIBUTE, "attribute %s has not %u integers", name, n);
    }
    for (uint32_t i = 0; i < n; i++) {
        int64_t value = found != NULL ? found->value.ints[i] : fallback;
        if (value < least || value > LARGEST) {
            return cpu_no(answer, SY_REASON_ATTRIBUTE, "attribute %s is out of range", name);
        }
        out[i] = (uint32_t)value;
    }
    return true;
}

/* kernel: 0 where the attribute gives it. */
static bool window_read(const cpu_node *node, const int64_t *kernel, cpu_xnn_window *out,
                        cpu_answer *answer) {
    uint32_t n = node->in[0].rank - 2, sizes[2], strides[2], dilations[2], pads[4];
    const char *auto_pad = NULL;
    int64_t fallback = kernel != NULL ? 1 : 0;
    if (!list_read(node, "kernel_shape", n, fallback, 1, sizes, answer) ||
        !list_read(node, "strides", n, 1, 1, strides, answer) ||
        !list_read(node, "dilations", n, 1, 1, dilations, answer) ||
        !list_read(node, "pads", 2 * n, 0, 0, pads, answer) ||
        !cpu_attribute_string(node, "auto_pad", "NOTSET", &auto_pad, answer)) {
        return false;
    }
    if (strcmp(auto_pad, "NOTSET") != 0) {
        return cpu_no(answer, SY_REASON_ATTRIBUTE, "auto_pad is %.24s, not NOTSET", auto_pad);
    }
    *out = (cpu_xnn_window){.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i + 2 - n;
        int64_t size = kernel != NULL ? kernel[i] : sizes[i];
        if (size < 1 || size > LARGEST) {
            return cpu_no(answer, SY_REASON_SHAPE, "the kernel is too large");
        }
        out->kernel[at] = (uint32_t)size;
        out->stride[at] = strides[i];
        out->dilation[at] = dilations[i];
        out->before[at] = pads[i];
        out->after[at] = pads[n + i];
    }
    return true;
}

/* That the graph's output shape is what the window gives. */
static bool slides_check(const cpu_node *node, const cpu_xnn_window *w, int64_t n_channels,
                         cpu_answer *answer) {
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    bool fits = x->rank == y->rank && x->dims[0].bound == y->dims[0].bound &&
                y->dims[1].bound == n_channels;
    for (uint32_t i = 2; fits && i < x->rank; i++) {
        uint32_t at = i + 2 - x->rank;
        int64_t reach = (int64_t)w->dilation[at] * (w->kernel[at] - 1) + 1;
        int64_t room = x->dims[i].bound + w->before[at] + w->after[at] - reach;
        fits = room >= 0 && y->dims[i].bound == room / w->stride[at] + 1;
    }
    return fits || cpu_no(answer, SY_REASON_SHAPE, "the output is not what the window gives");
}

static bool conv_read(const cpu_node *node, cpu_image_node *out, cpu_answer *answer) {
    static const char *const names[] = {"auto_pad", "dilations", "group", "kernel_shape",
                                        "pads",     "strides",   NULL};
    const sy_value_view *x = &node->in[0], *w = &node->in[1];
    bool has_bias = node->n_in > 2 && node->has_in[2];
    cpu_constant constant;
    int64_t group = 0, kernel[2] = {0};
    if (!cpu_attributes_known(node, names, answer) || !image_check(x, answer) ||
        !cpu_attribute_int(node, "group", 1, &group, answer)) {
        return false;
    }
    if (!cpu_constant_find(node->graph, node->view.inputs[1], &constant) ||
        (has_bias && !cpu_constant_find(node->graph, node->view.inputs[2], &constant))) {
        return cpu_no(answer, SY_REASON_OTHER, "weight and bias must be constant");
    }
    if (!cpu_require_float(w, "w", answer) ||
        (has_bias && !cpu_require_float(&node->in[2], "the bias", answer))) {
        return false;
    }
    if (group < 1 || w->rank != x->rank || w->dims[0].bound % group != 0 ||
        w->dims[1].bound > LARGEST || w->dims[0].bound > LARGEST || group > LARGEST ||
        w->dims[1].bound * group != x->dims[1].bound ||
        (has_bias && cpu_bound_count(&node->in[2]) != w->dims[0].bound)) {
        return cpu_no(answer, SY_REASON_SHAPE, "x, w, bias and group do not fit together");
    }
    for (uint32_t i = 2; i < w->rank; i++) {
        kernel[i - 2] = w->dims[i].bound;
    }
    out->kind = CPU_IMAGE_CONV;
    out->n_groups = (uint32_t)group;
    out->n_macs = (double)cpu_bound_count(&node->out[0]) * (double)cpu_bound_count(w) /
                  (double)w->dims[0].bound;
    return window_read(node, kernel, &out->window, answer) &&
           slides_check(node, &out->window, w->dims[0].bound, answer);
}

/* Whether x with zeros around it, which is a value of its own, is no larger than others may be. */
static bool padded_fits(const sy_value_view *x, const cpu_xnn_window *w) {
    sy_value_view padded = *x;
    for (uint32_t i = 2; i < x->rank; i++) {
        uint32_t at = i + 2 - x->rank;
        padded.dims[i].bound += (int64_t)w->before[at] + w->after[at];
    }
    return is_small(&padded);
}

static bool pool_read(const cpu_node *node, bool is_max, cpu_image_node *out, cpu_answer *answer) {
    static const char *const names[] = {
        "auto_pad",     "ceil_mode", "count_include_pad", "dilations",
        "kernel_shape", "pads",      "strides",           NULL};
    const sy_value_view *x = &node->in[0];
    cpu_xnn_window *w = &out->window;
    int64_t ceil_mode = 0, counts = 0;
    if (!cpu_attributes_known(node, names, answer) || !image_check(x, answer) ||
        !cpu_attribute_int(node, "ceil_mode", 0, &ceil_mode, answer) ||
        !cpu_attribute_int(node, "count_include_pad", 0, &counts, answer) ||
        !window_read(node, NULL, w, answer) || !slides_check(node, w, x->dims[1].bound, answer)) {
        return false;
    }
    bool covers = x->rank == 4;
    for (uint32_t i = 0; i < 2; i++) {
        if (w->stride[i] > w->kernel[i] || ceil_mode != 0 || (!is_max && w->dilation[i] != 1) ||
            w->before[i] >= w->kernel[i] || w->after[i] >= w->kernel[i]) {
            return cpu_no(answer, SY_REASON_ATTRIBUTE,
                          "strides or pads past the kernel, dilation or ceil_mode");
        }
        covers = covers && w->before[i] + w->after[i] == 0 &&
                 (int64_t)w->kernel[i] == x->dims[2 + i].bound;
    }
    if (w->kernel[0] * w->kernel[1] == 1) {
        return cpu_no(answer, SY_REASON_ATTRIBUTE, "a window of one element");
    }
    out->kind = is_max ? CPU_IMAGE_MAX_POOL : CPU_IMAGE_AVERAGE_POOL;
    out->kind = !is_max && covers ? CPU_IMAGE_GLOBAL_AVERAGE : out->kind;
    out->counts_pads = counts != 0 && w->before[0] + w->before[1] + w->after[0] + w->after[1] > 0;
    out->n_macs = (double)cpu_bound_count(&node->out[0]) * w->kernel[0] * w->kernel[1];
    if (out->counts_pads && !padded_fits(x, w)) {
        return cpu_no(answer, SY_REASON_SHAPE, "more than 2^40 elements with the pads");
    }
    return true;
}

static bool plane_read(const cpu_node *node, bool is_max, cpu_image_node *out, cpu_answer *answer) {
    const sy_value_view *x = &node->in[0];
    out->kind = is_max ? CPU_IMAGE_MAX_POOL : CPU_IMAGE_GLOBAL_AVERAGE;
    out->window = (cpu_xnn_window){.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    int64_t n = 1;
    for (uint32_t i = 2; i < x->rank; i++) {
        n *= x->dims[i].bound <= LARGEST ? x->dims[i].bound : 0;
        out->window.kernel[i + 2 - x->rank] = (uint32_t)x->dims[i].bound;
    }
    out->n_macs = (double)cpu_bound_count(x);
    return n > 1 || cpu_no(answer, SY_REASON_SHAPE, "a plane of one element, or too large");
}

static bool global_read(const cpu_node *node, bool is_max, cpu_image_node *out,
                        cpu_answer *answer) {
    return cpu_attributes_known(node, NULL, answer) && image_check(&node->in[0], answer) &&
           plane_read(node, is_max, out, answer);
}

/* Whether constant axes are all those behind the channels. */
static bool axes_are_planes(const sy_value_view *axes, uint32_t rank) {
    const uint8_t *bytes = cpu_weight_bytes(axes);
    bool fits =
        bytes != NULL && axes->type == SY_TYPE_I64 && cpu_bound_count(axes) == (int64_t)rank - 2;
    uint32_t seen = 0;
    for (uint32_t i = 2; fits && i < rank; i++) {
        int64_t axis = 0;
        memcpy(&axis, bytes + 8u * (i - 2), sizeof(axis));
        axis += axis < 0 ? (int64_t)rank : 0;
        fits = axis >= 2 && axis < (int64_t)rank && (seen >> axis & 1u) == 0;
        seen |= fits ? 1u << axis : 0;
    }
    return fits;
}

/* ReduceMean over height and width. */
static bool mean_read(const cpu_node *node, cpu_image_node *out, cpu_answer *answer) {
    static const char *const names[] = {"keepdims", "noop_with_empty_axes", NULL};
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    int64_t keeps = 1;
    if (!cpu_attributes_known(node, names, answer) || !image_check(x, answer) ||
        !cpu_attribute_int(node, "keepdims", 1, &keeps, answer)) {
        return false;
    }
    bool fits = node->n_in == 2 && node->has_in[1] && axes_are_planes(&node->in[1], x->rank) &&
                y->rank == (keeps != 0 ? x->rank : 2);
    for (uint32_t i = 0; fits && i < y->rank; i++) {
        fits = y->dims[i].bound == (i < 2 ? x->dims[i].bound : 1);
    }
    if (!fits) {
        return cpu_no(answer, SY_REASON_SHAPE, "not the mean of height and width");
    }
    return plane_read(node, false, out, answer);
}

static bool norm_read(const cpu_node *node, cpu_image_node *out, cpu_answer *answer) {
    static const char *const names[] = {"epsilon", "momentum", "training_mode", NULL};
    double epsilon = 0.0;
    int64_t training = 0;
    if (!cpu_attributes_known(node, names, answer) || !image_check(&node->in[0], answer) ||
        !cpu_attribute_float(node, "epsilon", 1e-5, &epsilon, answer) ||
        !cpu_attribute_int(node, "training_mode", 0, &training, answer)) {
        return false;
    }
    for (uint32_t i = 1; i < 5; i++) {
        cpu_constant factor;
        if (!cpu_require_float(&node->in[i], "a factor", answer)) {
            return false;
        }
        if (!cpu_constant_find(node->graph, node->view.inputs[i], &factor)) {
            return cpu_no(answer, SY_REASON_OTHER, "a factor is not constant");
        }
        if (cpu_bound_count(&node->in[i]) != node->in[0].dims[1].bound || training != 0) {
            return cpu_no(answer, SY_REASON_SHAPE, "not one factor for each channel");
        }
    }
    out->kind = CPU_IMAGE_BATCH_NORM;
    out->alpha = (float)epsilon;
    return true;
}

static bool clip_read(const sy_device *device, const cpu_node *node, cpu_image_node *out,
                      cpu_answer *answer) {
    out->kind = CPU_IMAGE_CLAMP;
    float *const limits[] = {&out->limits.low, &out->limits.high};
    if (!cpu_attributes_known(node, NULL, answer)) {
        return false;
    }
    for (uint32_t i = 1; i < 3 && i < node->n_in; i++) {
        if (node->has_in[i] && !cpu_constant_number(device->kernels, &node->in[i], limits[i - 1])) {
            return cpu_no(answer, SY_REASON_OTHER, "a limit is no constant number");
        }
    }
    if (!(out->limits.low < out->limits.high)) { /* also for NaN */
        return cpu_no(answer, SY_REASON_OTHER, "the limits leave no range");
    }
    return true;
}

static bool unary_read(const cpu_node *node, cpu_xnn_unary unary, double fallback,
                       cpu_image_node *out, cpu_answer *answer) {
    static const char *const names[] = {"alpha", NULL};
    double alpha = 0.0;
    if (!cpu_attributes_known(node, fallback > 0.0 ? names : NULL, answer) ||
        !cpu_attribute_float(node, "alpha", fallback, &alpha, answer)) {
        return false;
    }
    if (fallback > 0.0 && !(alpha > 0.0 && alpha < 1e30)) {
        return cpu_no(answer, SY_REASON_ATTRIBUTE, "alpha is not a positive number");
    }
    out->kind = CPU_IMAGE_UNARY;
    out->unary = unary;
    out->alpha = (float)alpha;
    return true;
}

static bool hard_sigmoid_read(const cpu_node *node, cpu_image_node *out, cpu_answer *answer) {
    static const char *const names[] = {"alpha", "beta", NULL};
    double alpha = 0.0, beta = 0.0;
    out->kind = CPU_IMAGE_HARD_SIGMOID;
    if (!cpu_attributes_known(node, names, answer) ||
        !cpu_attribute_float(node, "alpha", (double)0.2f, &alpha, answer) ||
        !cpu_attribute_float(node, "beta", 0.5, &beta, answer)) {
        return false;
    }
    out->alpha = (float)alpha;
    out->beta = (float)beta;
    return true;
}

/* The second operand is a constant that broadcasts, or computed with the output's shape. */
static bool binary_read(const cpu_node *node, cpu_xnn_binary binary, cpu_image_node *out,
                        cpu_answer *answer) {
    const sy_value_view *y = &node->out[0];
    if (!cpu_attributes_known(node, NULL, answer)) {
        return false;
    }
    for (uint32_t i = 0; i < 2; i++) {
        const sy_value_view *x = &node->in[i];
        bool fits = cpu_type_is_float(x->type) && x->rank <= y->rank &&
                    (x->kind == SY_VALUE_WEIGHT || x->rank == y->rank);
        for (uint32_t d = 0; fits && d < x->rank; d++) {
            int64_t size = x->dims[d].bound;
            bool by_picture = out->is_batched && d == 0 && x->rank == y->rank;
            fits = size == 1 || (size == y->dims[y->rank - x->rank + d].bound &&
                                 !(by_picture && is_constant(node, i)));
        }
        if (!fits) {
            return cpu_no(answer, SY_REASON_SHAPE, "operand %u does not broadcast here", i);
        }
    }
    out->kind = CPU_IMAGE_BINARY;
    out->binary = binary;
    return true;
}

static bool prelu_read(const cpu_node *node, cpu_image_node *out, cpu_answer *answer) {
    const sy_value_view *x = &node->in[0], *slope = &node->in[1];
    if (!binary_read(node, CPU_XNN_PRELU, out, answer) ||
        !cpu_require_weight(slope, "the slope", answer)) {
        return false;
    }
    uint32_t skipped = x->rank - slope->rank; /* dimensions of x that the slope lacks */
    uint32_t i_channel = x->rank > 2 ? 1 : x->rank - 1;
    for (uint32_t d = 0; d < slope->rank; d++) {
        if (slope->dims[d].bound != 1 && d + skipped != i_channel) {
            return cpu_no(answer, SY_REASON_SHAPE, "the slope varies within a channel");
        }
    }
    return x->rank >= 2 || cpu_no(answer, SY_REASON_SHAPE, "x has no channels");
}

static bool softmax_read(const cpu_node *node, cpu_image_node *out, cpu_answer *answer) {
    static const char *const names[] = {"axis", NULL};
    int64_t axis = 0;
    out->kind = CPU_IMAGE_SOFTMAX;
    return cpu_attributes_known(node, names, answer) &&
           cpu_attribute_int(node, "axis", -1, &axis, answer) &&
           ((node->in[0].rank == 2 && (axis == -1 || axis == 1)) ||
            cpu_no(answer, SY_REASON_SHAPE, "not along the last of two dimensions"));
}

/* Gemm, MatMul, Linear. */
static bool product_read(const cpu_node *node, cpu_image_node *out, cpu_answer *answer) {
    static const char *const names[] = {"alpha", "beta", "transA", "transB", NULL};
    bool is_gemm = strcmp(node->view.op, "Gemm") == 0, has_bias = node->n_in > 2 && node->has_in[2];
    double alpha = 1.0, beta = 1.0;
    int64_t trans_a = 0, trans_b = strcmp(node->view.op, "Linear") == 0;
    cpu_constant b, c;
    const sy_value_view *y = &node->out[0];
    if (!cpu_attributes_known(node, is_gemm ? names : NULL, answer) ||
        !cpu_attribute_float(node, "alpha", 1.0, &alpha, answer) ||
        !cpu_attribute_float(node, "beta", 1.0, &beta, answer) ||
        !cpu_attribute_int(node, "transA", 0, &trans_a, answer) ||
        !cpu_attribute_int(node, "transB", trans_b, &trans_b, answer)) {
        return false;
    }
    bool fits = alpha == 1.0 && (beta == 1.0 || !has_bias) && trans_a == 0 &&
                node->in[0].rank == 2 && node->in[1].rank == 2 && y->rank == 2 &&
                cpu_constant_find(node->graph, node->view.inputs[1], &b) &&
                cpu_type_is_float(node->in[1].type);
    if (fits && has_bias) {
        fits = cpu_constant_find(node->graph, node->view.inputs[2], &c) &&
               cpu_type_is_float(node->in[2].type) &&
               cpu_bound_count(&node->in[2]) == y->dims[1].bound;
        for (uint32_t i = 0; fits && i + 1 < node->in[2].rank; i++) {
            fits = node->in[2].dims[i].bound == 1;
        }
    }
    out->kind = CPU_IMAGE_PRODUCT;
    out->transposed = trans_b != 0;
    out->n_macs = (double)cpu_bound_count(&node->in[1]) * (double)node->in[0].dims[0].bound;
    return fits || cpu_no(answer, SY_REASON_OTHER, "no plain product with a constant matrix");
}

/* In channels-last order the bytes of both shapes are the same. */
static bool keeps_order(const sy_value_view *v) {
    int64_t plane = 1;
    for (uint32_t i = 2; i < v->rank; i++) {
        plane *= v->dims[i].bound;
    }
    return v->rank < 3 || plane == 1 || v->dims[1].bound == 1;
}

static bool reshape_read(const cpu_node *node, cpu_image_node *out, cpu_answer *answer) {
    out->kind = CPU_IMAGE_RESHAPE;
    return (keeps_order(&node->in[0]) && keeps_order(&node->out[0]) && node->out[0].rank > 0 &&
            cpu_bound_count(&node->in[0]) == cpu_bound_count(&node->out[0])) ||
           cpu_no(answer, SY_REASON_SHAPE, "it would mix the channels-last order");
}

/* Computed values of one type behind one another. */
static bool concat_read(const cpu_node *node, cpu_image_node *out, cpu_answer *answer) {
    static const char *const names[] = {"axis", NULL};
    const sy_value_view *y = &node->out[0];
    int64_t axis = 0, sum = 0;
    if (!cpu_attributes_known(node, names, answer) ||
        !cpu_attribute_int(node, "axis", 0, &axis, answer)) {
        return false;
    }
    axis = axis < 0 ? axis + (int64_t)y->rank : axis;
    bool fits = axis >= (out->is_batched ? 1 : 0) && axis < (int64_t)y->rank;
    for (uint32_t i = 0; fits && i < node->n_in; i++) {
        const sy_value_view *x = &node->in[i];
        fits = node->has_in[i] && !is_constant(node, i) && x->type == y->type && x->rank == y->rank;
        for (uint32_t d = 0; fits && d < y->rank; d++) {
            fits = d == (uint32_t)axis || x->dims[d].bound == y->dims[d].bound;
        }
        sum += fits ? x->dims[axis].bound : 0;
    }
    if (!fits || sum != y->dims[axis].bound) {
        return cpu_no(answer, SY_REASON_SHAPE, "not computed values that make y together");
    }
    out->kind = CPU_IMAGE_CONCAT;
    out->axis = (uint32_t)axis;
    if (y->rank >= 3) { /* [n, channels, height, width] to channels last, of rank 4 */
        static const uint32_t last[2][4] = {{0, 3, 2, 0}, {0, 3, 1, 2}};
        out->axis = last[y->rank - 3][axis];
    }
    return true;
}

/* One f32 scale and a zero point of the byte's type, constant. */
static bool factors_read(const cpu_node *node, cpu_answer *answer) {
    const sy_value_view *byte = node->out[0].type == SY_TYPE_F32 ? &node->in[0] : &node->out[0];
    bool has_zero = node->n_in > 2 && node->has_in[2];
    bool fits = (byte->type == SY_TYPE_I8 || byte->type == SY_TYPE_U8) &&
                node->in[1].type == SY_TYPE_F32 && cpu_weight_bytes(&node->in[1]) != NULL &&
                cpu_bound_count(&node->in[1]) == 1;
    fits = fits && (!has_zero ||
                    (cpu_weight_bytes(&node->in[2]) != NULL && node->in[2].type == byte->type));
    float scale = 0.0f;
    if (fits) {
        memcpy(&scale, cpu_weight_bytes(&node->in[1]), sizeof(scale));
        fits = isnormal(scale) && scale > 0.0f;
    }
    return fits || cpu_no(answer, SY_REASON_OTHER, "not one constant scale for i8 or u8");
}

static bool any_read(const sy_device *device, const cpu_node *node, cpu_image_node *out,
                     cpu_answer *answer);

bool cpu_image_read(const sy_device *device, const cpu_node *node, cpu_image_node *out,
                    cpu_answer *answer) {
    memset(out, 0, sizeof(*out));
    out->limits = (cpu_xnn_limits){-INFINITY, INFINITY};
    if (node->n_in < 1 || node->n_out != 1 || !node->has_in[0]) {
        return cpu_no(answer, SY_REASON_SHAPE, "there must be a first input and one output");
    }
    out->n_macs = (double)cpu_bound_count(&node->out[0]);
    return common_check(device, node, out, answer) && any_read(device, node, out, answer);
}

/* What a name stands for. */
typedef struct known {
    const char *name;
    cpu_image_kind kind;
    uint32_t which; /* unary, binary, or 1 for a maximum */
    double alpha;   /* fallback; 0: no such attribute */
} known;

static const known all[] = {{"Conv", CPU_IMAGE_CONV, 0, 0},
                            {"MaxPool", CPU_IMAGE_MAX_POOL, 1, 0},
                            {"AveragePool", CPU_IMAGE_MAX_POOL, 0, 0},
                            {"GlobalMaxPool", CPU_IMAGE_GLOBAL_AVERAGE, 1, 0},
                            {"GlobalAveragePool", CPU_IMAGE_GLOBAL_AVERAGE, 0, 0},
                            {"ReduceMean", CPU_IMAGE_GLOBAL_AVERAGE, 2, 0},
                            {"BatchNormalization", CPU_IMAGE_BATCH_NORM, 0, 0},
                            {"Clip", CPU_IMAGE_CLAMP, 0, 0},
                            {"Relu", CPU_IMAGE_CLAMP, 1, 0},
                            {"LeakyRelu", CPU_IMAGE_UNARY, CPU_XNN_LEAKY_RELU, (double)0.01f},
                            {"Elu", CPU_IMAGE_UNARY, CPU_XNN_ELU, 1.0},
                            {"HardSwish", CPU_IMAGE_UNARY, CPU_XNN_HARD_SWISH, 0},
                            {"Sigmoid", CPU_IMAGE_UNARY, CPU_XNN_SIGMOID, 0},
                            {"Abs", CPU_IMAGE_UNARY, CPU_XNN_ABS, 0},
                            {"Neg", CPU_IMAGE_UNARY, CPU_XNN_NEGATE, 0},
                            {"HardSigmoid", CPU_IMAGE_HARD_SIGMOID, 0, 0},
                            {"PRelu", CPU_IMAGE_BINARY, CPU_XNN_PRELU, 0},
                            {"Add", CPU_IMAGE_BINARY, CPU_XNN_ADD, 0},
                            {"Sub", CPU_IMAGE_BINARY, CPU_XNN_SUBTRACT, 0},
                            {"Mul", CPU_IMAGE_BINARY, CPU_XNN_MULTIPLY, 0},
                            {"Div", CPU_IMAGE_BINARY, CPU_XNN_DIVIDE, 0},
                            {"Softmax", CPU_IMAGE_SOFTMAX, 0, 0},
                            {"Gemm", CPU_IMAGE_PRODUCT, 0, 0},
                            {"MatMul", CPU_IMAGE_PRODUCT, 0, 0},
                            {"Linear", CPU_IMAGE_PRODUCT, 0, 0},
                            {"Reshape", CPU_IMAGE_RESHAPE, 0, 0},
                            {"Squeeze", CPU_IMAGE_RESHAPE, 0, 0},
                            {"Unsqueeze", CPU_IMAGE_RESHAPE, 0, 0},
                            {"Concat", CPU_IMAGE_CONCAT, 0, 0},
                            {"QuantizeLinear", CPU_IMAGE_QUANTIZE, 0, 0},
                            {"DequantizeLinear", CPU_IMAGE_DEQUANTIZE, 0, 0}};

static bool by_kind(const sy_device *device, const cpu_node *node, const known *found,
                    cpu_image_node *out, cpu_answer *answer) {
    switch (found->kind) {
    case CPU_IMAGE_CONV:
        return conv_read(node, out, answer);
    case CPU_IMAGE_MAX_POOL:
    case CPU_IMAGE_AVERAGE_POOL:
        return pool_read(node, found->which != 0, out, answer);
    case CPU_IMAGE_GLOBAL_AVERAGE:
        return found->which == 2 ? mean_read(node, out, answer)
                                 : global_read(node, found->which != 0, out, answer);
    case CPU_IMAGE_BATCH_NORM:
        return norm_read(node, out, answer);
    case CPU_IMAGE_CLAMP:
        out->limits.low = found->which != 0 ? 0.0f : out->limits.low;
        return clip_read(device, node, out, answer);
    case CPU_IMAGE_UNARY:
        return unary_read(node, (cpu_xnn_unary)found->which, found->alpha, out, answer);
    case CPU_IMAGE_HARD_SIGMOID:
        return hard_sigmoid_read(node, out, answer);
    case CPU_IMAGE_BINARY:
        return found->which == CPU_XNN_PRELU
                   ? prelu_read(node, out, answer)
                   : binary_read(node, (cpu_xnn_binary)found->which, out, answer);
    case CPU_IMAGE_SOFTMAX:
        return softmax_read(node, out, answer);
    case CPU_IMAGE_PRODUCT:
        return product_read(node, out, answer);
    case CPU_IMAGE_CONCAT:
        return concat_read(node, out, answer);
    default:
        return reshape_read(node, out, answer);
    }
}

static bool any_read(const sy_device *device, const cpu_node *node, cpu_image_node *out,
                     cpu_answer *answer) {
    const known *found = NULL;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        found = strcmp(all[i].name, node->view.op) == 0 ? &all[i] : found;
    }
    if (found == NULL) {
        return cpu_no(answer, SY_REASON_OPERATOR, "XNNPACK has no %.40s", node->view.op);
    }
    if (found->kind == CPU_IMAGE_QUANTIZE || found->kind == CPU_IMAGE_DEQUANTIZE) {
        cpu_constant constant; /* weights may have a scale for each channel, and i32 */
        out->kind = found->kind;
        return (node->in[0].kind == SY_VALUE_WEIGHT && found->kind == CPU_IMAGE_DEQUANTIZE &&
                cpu_constant_find(node->graph, node->view.outputs[0], &constant)) ||
               factors_read(node, answer);
    }
    if (!float_check(node, answer) || !by_kind(device, node, found, out, answer)) {
        return false;
    }
    /* Gemm and MatMul have kernels of their own in f32 alone. */
    out->is_anchor = out->kind == CPU_IMAGE_PRODUCT && node->out[0].type != SY_TYPE_F32 &&
                     strcmp(node->view.op, "Linear") != 0;
    for (const cpu_operator *op = cpu_operators_image; op->name != NULL; op++) {
        out->is_anchor = out->is_anchor || strcmp(op->name, node->view.op) == 0;
    }
    return true;
}

bool cpu_image_check(const sy_device *device, const cpu_node *node, cpu_answer *answer) {
    cpu_image_node read;
    if (!cpu_image_read(device, node, &read, answer)) {
        return false;
    }
    answer->f32_ops = 2.0 * read.n_macs;
    answer->activation_bytes =
        4.0 * (double)(cpu_bound_count(&node->in[0]) + cpu_bound_count(&node->out[0]));
    answer->weight_bytes = read.kind == CPU_IMAGE_CONV || read.kind == CPU_IMAGE_PRODUCT
                               ? 4.0 * (double)cpu_bound_count(&node->in[1])
                               : 0.0;
    answer->score = 80;
    return true;
}

static bool image_operator_check(const sy_device *device, const cpu_node *node,
                                 const cpu_operator *op, cpu_params *out_params,
                                 cpu_answer *answer) {
    (void)op;
    (void)out_params;
    return cpu_image_check(device, node, answer);
}

#define IMAGE(NAME, VERSION, LEAST, MOST)                                                       \
    {                                                                                           \
        .domain = "", .name = NAME, .version = VERSION, .n_in_least = LEAST, .n_in_most = MOST, \
        .n_out = 1, .check = image_operator_check                                               \
    }

/* No `run`: program.c puts every one of them into an XNNPACK graph. */
const cpu_operator cpu_operators_image[] = {
    IMAGE("Conv", 22, 2, 3),
    IMAGE("MaxPool", 22, 1, 1),
    IMAGE("AveragePool", 22, 1, 1),
    IMAGE("GlobalMaxPool", 22, 1, 1),
    IMAGE("GlobalAveragePool", 22, 1, 1),
    IMAGE("ReduceMean", 18, 1, 2),
    IMAGE("BatchNormalization", 15, 5, 5),
    IMAGE("Clip", 13, 1, 3),
    IMAGE("LeakyRelu", 16, 1, 1),
    IMAGE("Elu", 22, 1, 1),
    IMAGE("HardSigmoid", 22, 1, 1),
    IMAGE("HardSwish", 22, 1, 1),
    IMAGE("PRelu", 16, 2, 2),
    IMAGE("Concat", 13, 1, CPU_INPUTS_MAX),
    {.name = NULL},
};
