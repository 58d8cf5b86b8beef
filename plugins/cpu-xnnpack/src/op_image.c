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
    return kit_bound_count(&one) <= MOST_ELEMENTS;
}

static bool is_constant(const kit_node *node, uint32_t i_input) {
    cpu_constant constant;
    return cpu_constant_find(node->graph, node->view.inputs[i_input], &constant);
}

/* Every computed value has the same first dimension, so that a picture is one index of it. */
static bool batch_check(const kit_node *node, const sy_dimension *batch, kit_answer *answer) {
    const sy_value_view *y = &node->out[0];
    for (uint32_t i = 0; i < node->n_in; i++) {
        const sy_value_view *x = &node->in[i];
        if (node->has_in[i] && !is_constant(node, i) &&
            (x->rank == 0 || !kit_dimension_same(&x->dims[0], batch))) {
            return kit_no(answer, SY_REASON_SHAPE, "input %u has another first dimension", i);
        }
    }
    return (y->rank > 1 && kit_dimension_same(&y->dims[0], batch)) ||
           kit_no(answer, SY_REASON_SHAPE, "y has another first dimension");
}

/* Common to all: library, shapes of rank up to 4, fixed but for the first dimension, not huge. */
static bool common_check(const sy_device *device, const kit_node *node, cpu_image_node *out,
                         kit_answer *answer) {
    if (!device->use_xnnpack) {
        return kit_no(answer, SY_REASON_OTHER, "it runs on XNNPACK, which is not built in or off");
    }
    for (uint32_t i = 0; i < node->n_in; i++) {
        if (node->has_in[i] && !is_fixed(&node->in[i])) {
            return kit_no(answer, SY_REASON_SHAPE, "input %u has no fixed shape of rank 0 to 4", i);
        }
        if (node->has_in[i] && !is_small(&node->in[i])) {
            return kit_no(answer, SY_REASON_SHAPE, "input %u has more than 2^40 elements", i);
        }
        if (node->has_in[i] && is_batched(&node->in[i])) {
            out->is_batched = true;
            out->batch = node->in[i].dims[0];
        }
    }
    if (!is_fixed(&node->out[0])) {
        return kit_no(answer, SY_REASON_SHAPE, "the output has no fixed shape of rank 0 to 4");
    }
    if (!is_small(&node->out[0])) {
        return kit_no(answer, SY_REASON_SHAPE, "the output has more than 2^40 elements");
    }
    if (!out->is_batched && is_batched(&node->out[0])) {
        return kit_no(answer, SY_REASON_SHAPE, "the output alone has a symbol");
    }
    return !out->is_batched || batch_check(node, &out->batch, answer);
}

static bool float_check(const kit_node *node, kit_answer *answer) {
    return kit_require_same_float(&node->in[0], &node->out[0], answer) &&
           (node->in[0].kind != SY_VALUE_WEIGHT ||
            kit_no(answer, SY_REASON_OTHER, "the first input is constant"));
}

static bool image_check(const sy_value_view *x, kit_answer *answer) {
    return x->rank == 3 || x->rank == 4 ||
           kit_no(answer, SY_REASON_SHAPE, "x has rank %u, not 3 or 4", x->rank);
}

static cpu_xnn_window window_of(const kit_window *w) {
    cpu_xnn_window out;
    for (uint32_t i = 0; i < 2; i++) {
        out.kernel[i] = (uint32_t)w->kernel[i];
        out.stride[i] = (uint32_t)w->stride[i];
        out.dilation[i] = (uint32_t)w->dilation[i];
        out.before[i] = (uint32_t)w->before[i];
        out.after[i] = (uint32_t)w->after[i];
    }
    return out;
}

static bool conv_read(const kit_node *node, cpu_image_node *out, kit_answer *answer) {
    const sy_value_view *w = &node->in[1];
    kit_conv conv;
    if (!kit_check_conv(node, &conv, answer)) {
        return false;
    }
    if (!is_constant(node, 1) || (conv.has_bias && !is_constant(node, 2))) {
        return kit_no(answer, SY_REASON_OTHER, "weight and bias must be constant");
    }
    if (conv.out_channels > LARGEST || conv.in_channels / conv.n_groups > LARGEST ||
        conv.n_groups > LARGEST) {
        return kit_no(answer, SY_REASON_SHAPE, "more than 2^20 channels or groups");
    }
    out->kind = CPU_IMAGE_CONV;
    out->n_groups = (uint32_t)conv.n_groups;
    out->n_macs = (double)kit_bound_count(&node->out[0]) * (double)kit_bound_count(w) /
                  (double)conv.out_channels;
    out->window = window_of(&conv.window);
    return true;
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

static bool pool_read(const kit_node *node, cpu_image_node *out, kit_answer *answer) {
    const sy_value_view *x = &node->in[0];
    cpu_xnn_window *w = &out->window;
    kit_window_pool pool;
    if (!kit_check_window_pool(node, &pool, answer)) {
        return false;
    }
    *w = window_of(&pool.window);
    bool covers = x->rank == 4;
    for (uint32_t i = 0; i < 2; i++) {
        if (w->stride[i] > w->kernel[i] || (!pool.is_max && w->dilation[i] != 1) ||
            w->before[i] >= w->kernel[i] || w->after[i] >= w->kernel[i]) {
            return kit_no(answer, SY_REASON_ATTRIBUTE,
                          "strides or pads past the kernel, or dilation");
        }
        covers = covers && w->before[i] + w->after[i] == 0 &&
                 (int64_t)w->kernel[i] == x->dims[2 + i].bound;
    }
    if (w->kernel[0] * w->kernel[1] == 1) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "a window of one element");
    }
    out->kind = pool.is_max ? CPU_IMAGE_MAX_POOL : CPU_IMAGE_AVERAGE_POOL;
    out->kind = !pool.is_max && covers ? CPU_IMAGE_GLOBAL_AVERAGE : out->kind;
    out->counts_pads =
        pool.counts_pads && w->before[0] + w->before[1] + w->after[0] + w->after[1] > 0;
    out->n_macs = (double)kit_bound_count(&node->out[0]) * w->kernel[0] * w->kernel[1];
    if (out->counts_pads && !padded_fits(x, w)) {
        return kit_no(answer, SY_REASON_SHAPE, "more than 2^40 elements with the pads");
    }
    return true;
}

static bool plane_read(const kit_node *node, bool is_max, cpu_image_node *out, kit_answer *answer) {
    const sy_value_view *x = &node->in[0];
    out->kind = is_max ? CPU_IMAGE_MAX_POOL : CPU_IMAGE_GLOBAL_AVERAGE;
    out->window = (cpu_xnn_window){.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    int64_t n = 1;
    for (uint32_t i = 2; i < x->rank; i++) {
        n *= x->dims[i].bound <= LARGEST ? x->dims[i].bound : 0;
        out->window.kernel[i + 2 - x->rank] = (uint32_t)x->dims[i].bound;
    }
    out->n_macs = (double)kit_bound_count(x);
    return n > 1 || kit_no(answer, SY_REASON_SHAPE, "a plane of one element, or too large");
}

static bool global_read(const kit_node *node, cpu_image_node *out, kit_answer *answer) {
    kit_global_pool pool;
    return kit_check_global_pool(node, &pool, answer) && image_check(&node->in[0], answer) &&
           plane_read(node, pool.is_max, out, answer);
}

/* ReduceMean over height and width. */
static bool mean_read(const kit_node *node, cpu_image_node *out, kit_answer *answer) {
    const sy_value_view *x = &node->in[0];
    kit_reduce reduce;
    if (!kit_check_reduce(node, &reduce, answer) || !image_check(x, answer)) {
        return false;
    }
    if (reduce.axes != (1u << x->rank) - 4u) { /* all but 0 and 1 */
        return kit_no(answer, SY_REASON_SHAPE, "not the mean of height and width");
    }
    return plane_read(node, false, out, answer);
}

static bool norm_read(const kit_node *node, cpu_image_node *out, kit_answer *answer) {
    kit_batch_norm norm;
    if (!kit_check_batch_norm(node, &norm, answer) || !image_check(&node->in[0], answer)) {
        return false;
    }
    for (uint32_t i = 1; i < 5; i++) {
        if (!is_constant(node, i)) {
            return kit_no(answer, SY_REASON_OTHER, "a factor is not constant");
        }
    }
    out->kind = CPU_IMAGE_BATCH_NORM;
    out->alpha = (float)norm.epsilon;
    return true;
}

/* Clip, and Relu, which is at least 0. */
static bool clip_read(const kit_node *node, cpu_image_node *out, kit_answer *answer) {
    kit_unary clip;
    if (!kit_check_unary(node, &clip, answer)) {
        return false;
    }
    out->kind = CPU_IMAGE_CLAMP;
    if (clip.kind == KIT_UNARY_RELU) {
        out->limits.low = 0.0f;
    } else {
        out->limits = (cpu_xnn_limits){(float)clip.alpha, (float)clip.beta};
    }
    if (!(out->limits.low < out->limits.high)) { /* also for NaN */
        return kit_no(answer, SY_REASON_OTHER, "the limits leave no range");
    }
    return true;
}

static bool unary_read(const kit_node *node, cpu_xnn_unary unary, cpu_image_node *out,
                       kit_answer *answer) {
    kit_unary read;
    if (!kit_check_unary(node, &read, answer)) {
        return false;
    }
    bool has_alpha = read.kind == KIT_UNARY_LEAKY_RELU || read.kind == KIT_UNARY_ELU;
    if (has_alpha && !(read.alpha > 0.0 && read.alpha < 1e30)) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "alpha is not a positive number");
    }
    out->kind = CPU_IMAGE_UNARY;
    out->unary = unary;
    out->alpha = has_alpha ? (float)read.alpha : 0.0f;
    return true;
}

static bool hard_sigmoid_read(const kit_node *node, cpu_image_node *out, kit_answer *answer) {
    kit_unary read;
    out->kind = CPU_IMAGE_HARD_SIGMOID;
    if (!kit_check_unary(node, &read, answer)) {
        return false;
    }
    out->alpha = (float)read.alpha;
    out->beta = (float)read.beta;
    return true;
}

/* The second operand is a constant that broadcasts, or computed with the output's shape. */
static bool binary_read(const kit_node *node, cpu_xnn_binary binary, cpu_image_node *out,
                        kit_answer *answer) {
    const sy_value_view *y = &node->out[0];
    kit_binary read;
    if (!kit_check_binary(node, &read, answer)) {
        return false;
    }
    for (uint32_t i = 0; i < 2; i++) {
        const sy_value_view *x = &node->in[i];
        bool fits = kit_type_is_float(x->type) && x->rank <= y->rank &&
                    (x->kind == SY_VALUE_WEIGHT || x->rank == y->rank);
        for (uint32_t d = 0; fits && d < x->rank; d++) {
            int64_t size = x->dims[d].bound;
            bool by_picture = out->is_batched && d == 0 && x->rank == y->rank;
            fits = size == 1 || (size == y->dims[y->rank - x->rank + d].bound &&
                                 !(by_picture && is_constant(node, i)));
        }
        if (!fits) {
            return kit_no(answer, SY_REASON_SHAPE, "operand %u does not broadcast here", i);
        }
    }
    out->kind = CPU_IMAGE_BINARY;
    out->binary = binary;
    return true;
}

static bool prelu_read(const kit_node *node, cpu_image_node *out, kit_answer *answer) {
    const sy_value_view *x = &node->in[0], *slope = &node->in[1];
    if (!binary_read(node, CPU_XNN_PRELU, out, answer) ||
        !kit_require_weight(slope, "the slope", answer)) {
        return false;
    }
    uint32_t skipped = x->rank - slope->rank; /* dimensions of x that the slope lacks */
    uint32_t i_channel = x->rank > 2 ? 1 : x->rank - 1;
    for (uint32_t d = 0; d < slope->rank; d++) {
        if (slope->dims[d].bound != 1 && d + skipped != i_channel) {
            return kit_no(answer, SY_REASON_SHAPE, "the slope varies within a channel");
        }
    }
    return x->rank >= 2 || kit_no(answer, SY_REASON_SHAPE, "x has no channels");
}

static bool softmax_read(const kit_node *node, cpu_image_node *out, kit_answer *answer) {
    kit_softmax softmax;
    out->kind = CPU_IMAGE_SOFTMAX;
    return kit_check_softmax(node, &softmax, answer) &&
           ((node->in[0].rank == 2 && softmax.axis == 1) ||
            kit_no(answer, SY_REASON_SHAPE, "not along the last of two dimensions"));
}

/* Gemm, MatMul, Linear. */
static bool product_read(const kit_node *node, cpu_image_node *out, kit_answer *answer) {
    bool is_gemm = strcmp(node->view.op, "Gemm") == 0, has_bias = kit_node_has(node, 2);
    kit_gemm gemm = {.alpha = 1.0, .beta = 1.0};
    const sy_value_view *y = &node->out[0];
    gemm.trans_b = strcmp(node->view.op, "Linear") == 0;
    if (is_gemm && !kit_check_gemm(node, &gemm, answer)) {
        return false;
    }
    bool fits = gemm.alpha == 1.0 && (gemm.beta == 1.0 || !has_bias) && !gemm.trans_a &&
                node->in[0].rank == 2 && node->in[1].rank == 2 && y->rank == 2 &&
                is_constant(node, 1) && kit_type_is_float(node->in[1].type);
    if (fits && has_bias) {
        fits = is_constant(node, 2) && kit_type_is_float(node->in[2].type) &&
               kit_bound_count(&node->in[2]) == y->dims[1].bound;
        for (uint32_t i = 0; fits && i + 1 < node->in[2].rank; i++) {
            fits = node->in[2].dims[i].bound == 1;
        }
    }
    out->kind = CPU_IMAGE_PRODUCT;
    out->transposed = gemm.trans_b;
    out->n_macs = (double)kit_bound_count(&node->in[1]) * (double)node->in[0].dims[0].bound;
    return fits || kit_no(answer, SY_REASON_OTHER, "no plain product with a constant matrix");
}

/* In channels-last order the bytes of both shapes are the same. */
static bool keeps_order(const sy_value_view *v) {
    int64_t plane = 1;
    for (uint32_t i = 2; i < v->rank; i++) {
        plane *= v->dims[i].bound;
    }
    return v->rank < 3 || plane == 1 || v->dims[1].bound == 1;
}

static bool reshape_read(const kit_node *node, cpu_image_node *out, kit_answer *answer) {
    out->kind = CPU_IMAGE_RESHAPE;
    return (keeps_order(&node->in[0]) && keeps_order(&node->out[0]) && node->out[0].rank > 0 &&
            kit_bound_count(&node->in[0]) == kit_bound_count(&node->out[0])) ||
           kit_no(answer, SY_REASON_SHAPE, "it would mix the channels-last order");
}

/* Computed values of one type behind one another. */
static bool concat_read(const kit_node *node, cpu_image_node *out, kit_answer *answer) {
    const sy_value_view *y = &node->out[0];
    kit_concat concat;
    if (!kit_check_concat(node, &concat, answer)) {
        return false;
    }
    bool fits = concat.axis >= (out->is_batched ? 1u : 0u);
    for (uint32_t i = 0; fits && i < node->n_in; i++) {
        fits = !is_constant(node, i);
    }
    if (!fits) {
        return kit_no(answer, SY_REASON_SHAPE, "not computed values that make y together");
    }
    out->kind = CPU_IMAGE_CONCAT;
    out->axis = concat.axis;
    if (y->rank >= 3) { /* [n, channels, height, width] to channels last, of rank 4 */
        static const uint32_t last[2][4] = {{0, 3, 2, 0}, {0, 3, 1, 2}};
        out->axis = last[y->rank - 3][concat.axis];
    }
    return true;
}

/* One f32 scale and a zero point of the byte's type, constant. */
static bool factors_read(const kit_node *node, kit_answer *answer) {
    const sy_value_view *byte = node->out[0].type == SY_TYPE_F32 ? &node->in[0] : &node->out[0];
    bool has_zero = node->n_in > 2 && node->has_in[2];
    bool fits = (byte->type == SY_TYPE_I8 || byte->type == SY_TYPE_U8) &&
                node->in[1].type == SY_TYPE_F32 && kit_weight_bytes(&node->in[1]) != NULL &&
                kit_bound_count(&node->in[1]) == 1;
    fits = fits && (!has_zero ||
                    (kit_weight_bytes(&node->in[2]) != NULL && node->in[2].type == byte->type));
    float scale = 0.0f;
    if (fits) {
        memcpy(&scale, kit_weight_bytes(&node->in[1]), sizeof(scale));
        fits = isnormal(scale) && scale > 0.0f;
    }
    return fits || kit_no(answer, SY_REASON_OTHER, "not one constant scale for i8 or u8");
}

static bool any_read(const kit_node *node, cpu_image_node *out, kit_answer *answer);

bool cpu_image_read(const sy_device *device, const kit_node *node, cpu_image_node *out,
                    kit_answer *answer) {
    memset(out, 0, sizeof(*out));
    out->limits = (cpu_xnn_limits){-INFINITY, INFINITY};
    if (node->n_in < 1 || node->n_out != 1 || !node->has_in[0]) {
        return kit_no(answer, SY_REASON_SHAPE, "there must be a first input and one output");
    }
    out->n_macs = (double)kit_bound_count(&node->out[0]);
    return common_check(device, node, out, answer) && any_read(node, out, answer);
}

/* What a name stands for. */
typedef struct known {
    const char *name;
    cpu_image_kind kind;
    uint32_t which; /* unary, binary, or 1 for a mean over given axes */
} known;

static const known all[] = {{"Conv", CPU_IMAGE_CONV, 0},
                            {"MaxPool", CPU_IMAGE_MAX_POOL, 0},
                            {"AveragePool", CPU_IMAGE_MAX_POOL, 0},
                            {"GlobalMaxPool", CPU_IMAGE_GLOBAL_AVERAGE, 0},
                            {"GlobalAveragePool", CPU_IMAGE_GLOBAL_AVERAGE, 0},
                            {"ReduceMean", CPU_IMAGE_GLOBAL_AVERAGE, 1},
                            {"BatchNormalization", CPU_IMAGE_BATCH_NORM, 0},
                            {"Clip", CPU_IMAGE_CLAMP, 0},
                            {"Relu", CPU_IMAGE_CLAMP, 0},
                            {"LeakyRelu", CPU_IMAGE_UNARY, CPU_XNN_LEAKY_RELU},
                            {"Elu", CPU_IMAGE_UNARY, CPU_XNN_ELU},
                            {"HardSwish", CPU_IMAGE_UNARY, CPU_XNN_HARD_SWISH},
                            {"Sigmoid", CPU_IMAGE_UNARY, CPU_XNN_SIGMOID},
                            {"Abs", CPU_IMAGE_UNARY, CPU_XNN_ABS},
                            {"Neg", CPU_IMAGE_UNARY, CPU_XNN_NEGATE},
                            {"HardSigmoid", CPU_IMAGE_HARD_SIGMOID, 0},
                            {"PRelu", CPU_IMAGE_BINARY, CPU_XNN_PRELU},
                            {"Add", CPU_IMAGE_BINARY, CPU_XNN_ADD},
                            {"Sub", CPU_IMAGE_BINARY, CPU_XNN_SUBTRACT},
                            {"Mul", CPU_IMAGE_BINARY, CPU_XNN_MULTIPLY},
                            {"Div", CPU_IMAGE_BINARY, CPU_XNN_DIVIDE},
                            {"Softmax", CPU_IMAGE_SOFTMAX, 0},
                            {"Gemm", CPU_IMAGE_PRODUCT, 0},
                            {"MatMul", CPU_IMAGE_PRODUCT, 0},
                            {"Linear", CPU_IMAGE_PRODUCT, 0},
                            {"Reshape", CPU_IMAGE_RESHAPE, 0},
                            {"Squeeze", CPU_IMAGE_RESHAPE, 0},
                            {"Unsqueeze", CPU_IMAGE_RESHAPE, 0},
                            {"Concat", CPU_IMAGE_CONCAT, 0},
                            {"QuantizeLinear", CPU_IMAGE_QUANTIZE, 0},
                            {"DequantizeLinear", CPU_IMAGE_DEQUANTIZE, 0}};

static bool by_kind(const kit_node *node, const known *found, cpu_image_node *out,
                    kit_answer *answer) {
    switch (found->kind) {
    case CPU_IMAGE_CONV:
        return conv_read(node, out, answer);
    case CPU_IMAGE_MAX_POOL:
    case CPU_IMAGE_AVERAGE_POOL:
        return pool_read(node, out, answer);
    case CPU_IMAGE_GLOBAL_AVERAGE:
        return found->which != 0 ? mean_read(node, out, answer) : global_read(node, out, answer);
    case CPU_IMAGE_BATCH_NORM:
        return norm_read(node, out, answer);
    case CPU_IMAGE_CLAMP:
        return clip_read(node, out, answer);
    case CPU_IMAGE_UNARY:
        return unary_read(node, (cpu_xnn_unary)found->which, out, answer);
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

static bool any_read(const kit_node *node, cpu_image_node *out, kit_answer *answer) {
    const known *found = NULL;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        found = strcmp(all[i].name, node->view.op) == 0 ? &all[i] : found;
    }
    if (found == NULL) {
        return kit_no(answer, SY_REASON_OPERATOR, "XNNPACK has no %.40s", node->view.op);
    }
    if (found->kind == CPU_IMAGE_QUANTIZE || found->kind == CPU_IMAGE_DEQUANTIZE) {
        cpu_constant constant; /* weights may have a scale for each channel, and i32 */
        out->kind = found->kind;
        return (node->in[0].kind == SY_VALUE_WEIGHT && found->kind == CPU_IMAGE_DEQUANTIZE &&
                cpu_constant_find(node->graph, node->view.outputs[0], &constant)) ||
               factors_read(node, answer);
    }
    if (!float_check(node, answer) || !by_kind(node, found, out, answer)) {
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

bool cpu_image_check(const sy_device *device, const kit_node *node, kit_answer *answer) {
    cpu_image_node read;
    if (!cpu_image_read(device, node, &read, answer)) {
        return false;
    }
    answer->f32_ops = 2.0 * read.n_macs;
    answer->activation_bytes =
        4.0 * (double)(kit_bound_count(&node->in[0]) + kit_bound_count(&node->out[0]));
    answer->weight_bytes = read.kind == CPU_IMAGE_CONV || read.kind == CPU_IMAGE_PRODUCT
                               ? 4.0 * (double)kit_bound_count(&node->in[1])
                               : 0.0;
    answer->score = 80;
    return true;
}

static bool image_operator_check(const sy_device *device, const kit_node *node,
                                 const cpu_operator *op, cpu_params *out_params,
                                 kit_answer *answer) {
    (void)op;
    (void)out_params;
    return cpu_image_check(device, node, answer);
}

#define IMAGE(NAME) \
    { .domain = "", .name = NAME, .check = image_operator_check }

/* No `run`: program.c puts every one of them into an XNNPACK graph. */
const cpu_operator cpu_operators_image[] = {
    IMAGE("Conv"),
    IMAGE("MaxPool"),
    IMAGE("AveragePool"),
    IMAGE("GlobalMaxPool"),
    IMAGE("GlobalAveragePool"),
    IMAGE("ReduceMean"),
    IMAGE("BatchNormalization"),
    IMAGE("Clip"),
    IMAGE("LeakyRelu"),
    IMAGE("Elu"),
    IMAGE("HardSigmoid"),
    IMAGE("HardSwish"),
    IMAGE("PRelu"),
    IMAGE("Concat"),
    {.name = NULL},
};
