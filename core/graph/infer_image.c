/* SPDX-License-Identifier: Apache-2.0 */
/* Inference rules of what image networks use: convolution, pooling, limits, int8 in and out. */
#include "graph/infer.h"

#include "switchyard/types.h"

#include <inttypes.h>
#include <string.h>

#define LARGEST (1 << 24) /* of a kernel, stride, dilation or pad */

/* n numbers of an attribute, or the fallback. */
static sy_status read_list(const sy__infer_call *call, const char *name, uint32_t n,
                           int64_t fallback, int64_t least, int64_t *out) {
    const sy_attribute *a = sy__attribute(call->node, name, SY_ATTRIBUTE_INTS);
    if (a != NULL && a->count != n) {
        return sy__infer_fail(call, "%s must have %" PRIu32 " entries", name, n);
    }
    for (uint32_t i = 0; i < n; i++) {
        out[i] = a != NULL ? a->value.ints[i] : fallback;
        if (out[i] < least || out[i] > LARGEST) {
            return sy__infer_fail(call, "%s is missing or out of range", name);
        }
    }
    return SY_OK;
}

/* Where the kernel of a convolution or pooling is laid on the input. */
typedef struct window {
    int64_t strides[2], dilations[2], pads[4];
} window;

static sy_status read_window(const sy__infer_call *call, window *out) {
    uint32_t n = sy__call_input(call, 0)->rank - 2;
    sy_status status = read_list(call, "strides", n, 1, 1, out->strides);
    if (status == SY_OK) {
        status = read_list(call, "dilations", n, 1, 1, out->dilations);
    }
    if (status == SY_OK) {
        status = read_list(call, "pads", 2 * n, 0, 0, out->pads);
    }
    const char *auto_pad = sy__attribute_string(call->node, "auto_pad", "NOTSET");
    if (status == SY_OK && strcmp(auto_pad, "NOTSET") != 0) {
        status = sy__infer_fail(call, "auto_pad must be NOTSET, with the pads written out");
    }
    return status;
}

/* Spatial dimensions of the output of a convolution or pooling. */
static sy_status slide(const sy__infer_call *call, const int64_t *kernel, sy__inferred *out) {
    const sy_value_view *x = sy__call_input(call, 0);
    uint32_t n = x->rank - 2;
    window w;
    sy_status status = read_window(call, &w);
    for (uint32_t i = 0; status == SY_OK && i < n; i++) {
        const sy_dimension *d = &x->dims[2 + i];
        int64_t room =
            d->bound + w.pads[i] + w.pads[n + i] - (w.dilations[i] * (kernel[i] - 1) + 1);
        if (d->symbol != 0 || room < 0) {
            return sy__infer_fail(
                call, "the kernel does not fit into dimension %" PRIu32 ", or that is not fixed",
                2 + i);
        }
        out->dims[2 + i] = sy__dimension_fixed(room / w.strides[i] + 1);
    }
    return status;
}

static sy_status require_image(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    if ((x->rank != 3 && x->rank != 4) || x->dims[1].symbol != 0) {
        return sy__infer_fail(call, "x must be [N, C, W] or [N, C, H, W] with fixed C");
    }
    return SY_OK;
}

/* Sizes of the kernel, which the weight has and an attribute may repeat. */
static sy_status read_kernel(const sy__infer_call *call, int64_t *out_kernel) {
    const sy_value_view *w = sy__call_input(call, 1);
    int64_t given[2];
    for (uint32_t i = 0; i + 2 < w->rank; i++) {
        out_kernel[i] = w->dims[2 + i].bound;
        if (w->dims[2 + i].symbol != 0 || out_kernel[i] < 1 || out_kernel[i] > LARGEST) {
            return sy__infer_fail(call, "the kernel must have fixed sizes");
        }
    }
    if (sy__attribute(call->node, "kernel_shape", SY_ATTRIBUTE_INTS) == NULL) {
        return SY_OK;
    }
    sy_status status = read_list(call, "kernel_shape", w->rank - 2, 1, 1, given);
    if (status == SY_OK && memcmp(given, out_kernel, (w->rank - 2) * sizeof(given[0])) != 0) {
        status = sy__infer_fail(call, "kernel_shape is not that of w");
    }
    return status;
}

static sy_status check_bias(const sy__infer_call *call, const sy_dimension *channels) {
    const sy_value_view *x = sy__call_input(call, 0), *bias = sy__call_input(call, 2);
    if (bias != NULL && (bias->type != x->type || bias->rank != 1 ||
                         !sy__dimension_equal(&bias->dims[0], channels))) {
        return sy__infer_fail(call, "the bias must have one element for each channel of y");
    }
    return SY_OK;
}

static sy_status infer_conv(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0), *w = sy__call_input(call, 1);
    int64_t group = sy__attribute_int(call->node, "group", 1), kernel[2] = {0};
    sy_status status = require_image(call);
    if (status != SY_OK) {
        return status;
    }
    if (!sy__is_float(x->type) || w->type != x->type || w->rank != x->rank || group < 1 ||
        w->dims[0].bound % group != 0 || w->dims[1].bound > INT64_MAX / group ||
        w->dims[1].bound * group != x->dims[1].bound) {
        return sy__infer_fail(call, "x and w must be floats of one type and rank, w [M, C / group, "
                                    "kernel]");
    }
    status = check_bias(call, &w->dims[0]);
    if (status == SY_OK) {
        status = read_kernel(call, kernel);
    }
    sy__result_like(call, 0, x);
    call->results[0].dims[1] = w->dims[0];
    return status == SY_OK ? slide(call, kernel, &call->results[0]) : status;
}

/* Spatial dimensions of the output of a transposed convolution; output_shape stands for them. */
static sy_status spread(const sy__infer_call *call, const int64_t *kernel, sy__inferred *out) {
    const sy_value_view *x = sy__call_input(call, 0);
    uint32_t n = x->rank - 2;
    int64_t extra[2], sizes[2];
    window w;
    bool is_given = sy__attribute(call->node, "output_shape", SY_ATTRIBUTE_INTS) != NULL;
    sy_status status = read_window(call, &w);
    if (status == SY_OK) {
        status = read_list(call, "output_padding", n, 0, 0, extra);
    }
    if (status == SY_OK && is_given) {
        status = read_list(call, "output_shape", n, 0, 1, sizes);
    }
    for (uint32_t i = 0; status == SY_OK && i < n; i++) {
        const sy_dimension *d = &x->dims[2 + i];
        int64_t step = w.strides[i] > w.dilations[i] ? w.strides[i] : w.dilations[i];
        if (d->symbol != 0 || d->bound < 1 || d->bound > LARGEST || extra[i] >= step) {
            return sy__infer_fail(call,
                                  "dimension %" PRIu32 " of x must be fixed, and output_padding "
                                  "below the stride or the dilation",
                                  2 + i);
        }
        int64_t size = w.strides[i] * (d->bound - 1) + w.dilations[i] * (kernel[i] - 1) + 1 +
                       extra[i] - w.pads[i] - w.pads[n + i];
        size = is_given ? sizes[i] : size;
        if (size < 1) {
            return sy__infer_fail(call, "the pads leave nothing of dimension %" PRIu32, 2 + i);
        }
        out->dims[2 + i] = sy__dimension_fixed(size);
    }
    return status;
}

static sy_status infer_conv_transpose(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0), *w = sy__call_input(call, 1);
    int64_t group = sy__attribute_int(call->node, "group", 1), kernel[2] = {0};
    sy_dimension channels;
    sy_status status = require_image(call);
    if (status != SY_OK) {
        return status;
    }
    if (!sy__is_float(x->type) || w->type != x->type || w->rank != x->rank || group < 1 ||
        !sy__dimension_equal(&w->dims[0], &x->dims[1]) || w->dims[0].bound % group != 0 ||
        w->dims[1].symbol != 0 || w->dims[1].bound > INT64_MAX / group) {
        return sy__infer_fail(call, "x and w must be floats of one type and rank, w [C, M / group, "
                                    "kernel]");
    }
    channels = sy__dimension_fixed(w->dims[1].bound * group);
    status = check_bias(call, &channels);
    if (status == SY_OK) {
        status = read_kernel(call, kernel);
    }
    sy__result_like(call, 0, x);
    call->results[0].dims[1] = channels;
    return status == SY_OK ? spread(call, kernel, &call->results[0]) : status;
}

static sy_status infer_pool(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    int64_t kernel[2] = {0};
    bool is_byte = x->type == SY_TYPE_I8 || x->type == SY_TYPE_U8;
    bool takes_bytes = sy__node_is(call->node, "", "MaxPool");
    sy_status status = require_image(call);
    if (status == SY_OK && !sy__is_float(x->type) && !(is_byte && takes_bytes)) {
        status = sy__infer_fail(call, "x must be float, not %s", sy_type_get(x->type)->name);
    }
    if (status == SY_OK && sy__attribute_int(call->node, "ceil_mode", 0) != 0) {
        status = sy__infer_fail(call, "ceil_mode must be 0");
    }
    if (status == SY_OK) {
        status = read_list(call, "kernel_shape", x->rank - 2, 0, 1, kernel);
    }
    sy__result_like(call, 0, x);
    return status == SY_OK ? slide(call, kernel, &call->results[0]) : status;
}

static sy_status infer_global_pool(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    if (!sy__is_float(x->type) || x->rank < 3) {
        return sy__infer_fail(call, "x must be a float with planes");
    }
    sy__result_like(call, 0, x);
    for (uint32_t i = 2; i < x->rank; i++) {
        call->results[0].dims[i] = sy__dimension_fixed(1);
    }
    return SY_OK;
}

static sy_status infer_float_same(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    if (!sy__is_float(x->type)) {
        return sy__infer_fail(call, "the input must be float, not %s", sy_type_get(x->type)->name);
    }
    sy__result_like(call, 0, x);
    return SY_OK;
}

static sy_status infer_clip(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    for (uint32_t i = 1; i < 3; i++) {
        const sy_value_view *limit = sy__call_input(call, i);
        if (limit != NULL && (limit->kind != SY_VALUE_WEIGHT || limit->type != x->type ||
                              limit->rank > 1 || (limit->rank == 1 && limit->dims[0].bound != 1))) {
            return sy__infer_fail(call, "limits must be constant numbers of the input's type");
        }
    }
    return infer_float_same(call);
}

static sy_status infer_prelu(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0), *slope = sy__call_input(call, 1);
    bool fits = slope->type == x->type && slope->rank <= x->rank;
    for (uint32_t i = 0; fits && i < slope->rank; i++) {
        const sy_dimension *d = &slope->dims[i];
        fits =
            sy__dimension_is(d, 1) || sy__dimension_equal(d, &x->dims[x->rank - slope->rank + i]);
    }
    return fits ? infer_float_same(call)
                : sy__infer_fail(call, "the slope must have x's type and broadcast to x");
}

static sy_status infer_batch_norm(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    for (uint32_t i = 1; i < 5; i++) {
        const sy_value_view *factor = sy__call_input(call, i);
        if (!sy__is_float(factor->type) || x->rank < 2 || factor->rank != 1 ||
            !sy__dimension_equal(&factor->dims[0], &x->dims[1])) {
            return sy__infer_fail(call, "input %" PRIu32 " must have one float for each channel",
                                  i);
        }
    }
    if (sy__attribute_int(call->node, "training_mode", 0) != 0) {
        return sy__infer_fail(call, "training_mode must be 0");
    }
    return infer_float_same(call);
}

/* One scale, or one for each index of the axis; the zero point is like it. */
static sy_status check_factors(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0), *zero = sy__call_input(call, 2);
    const sy_value_view *scale = sy__call_input(call, 1);
    uint32_t axis = 0;
    if (scale->type != SY_TYPE_F32 || scale->rank > 1 ||
        sy__attribute_int(call->node, "block_size", 0) != 0) {
        return sy__infer_fail(call, "the scale must be f32 of rank 0 or 1, block_size 0");
    }
    if (scale->rank == 1 && !sy__dimension_is(&scale->dims[0], 1)) {
        sy_status status = sy__axis(call, sy__attribute_int(call->node, "axis", 1), x->rank, &axis);
        if (status != SY_OK || !sy__dimension_equal(&scale->dims[0], &x->dims[axis])) {
            return status != SY_OK ? status
                                   : sy__infer_fail(call, "the scale must have one number for each "
                                                          "index of the axis");
        }
    }
    bool fits = zero == NULL || zero->rank == scale->rank; /* of another type than the scale */
    if (fits && zero != NULL && zero->rank == 1) {
        fits = sy__dimension_equal(&zero->dims[0], &scale->dims[0]);
    }
    if (!fits) {
        return sy__infer_fail(call, "the zero point must have the scale's shape");
    }
    return SY_OK;
}

static sy_status infer_quantize(const sy__infer_call *call) {
    const sy_value_view *zero = sy__call_input(call, 2);
    sy_element_type type = zero != NULL ? zero->type : SY_TYPE_U8;
    sy_status status = infer_float_same(call);
    if (status == SY_OK && type != SY_TYPE_I8 && type != SY_TYPE_U8) {
        status = sy__infer_fail(call, "the zero point must be i8 or u8");
    }
    call->results[0].type = type;
    return status == SY_OK ? check_factors(call) : status;
}

static sy_status infer_dequantize(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0), *zero = sy__call_input(call, 2);
    bool fits = x->type == SY_TYPE_I8 || x->type == SY_TYPE_U8 || x->type == SY_TYPE_I32;
    if (!fits || (zero != NULL && zero->type != x->type)) {
        return sy__infer_fail(call, "x must be i8, u8 or i32, and the zero point like it");
    }
    sy__result_like(call, 0, x);
    call->results[0].type = SY_TYPE_F32;
    return check_factors(call);
}

const sy__infer_rule sy__infer_rules_image[] = {
    {"", "Conv", 2, 3, 1, infer_conv},
    {"", "ConvTranspose", 2, 3, 1, infer_conv_transpose},
    {"", "MaxPool", 1, 1, 1, infer_pool},
    {"", "AveragePool", 1, 1, 1, infer_pool},
    {"", "GlobalMaxPool", 1, 1, 1, infer_global_pool},
    {"", "GlobalAveragePool", 1, 1, 1, infer_global_pool},
    {"", "Clip", 1, 3, 1, infer_clip},
    {"", "LeakyRelu", 1, 1, 1, infer_float_same},
    {"", "Elu", 1, 1, 1, infer_float_same},
    {"", "HardSigmoid", 1, 1, 1, infer_float_same},
    {"", "HardSwish", 1, 1, 1, infer_float_same},
    {"", "PRelu", 2, 2, 1, infer_prelu},
    {"", "BatchNormalization", 5, 5, 1, infer_batch_norm},
    {"", "QuantizeLinear", 2, 3, 1, infer_quantize},
    {"", "DequantizeLinear", 2, 3, 1, infer_dequantize},
    {NULL, NULL, 0, 0, 0, NULL},
};
