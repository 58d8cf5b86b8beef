/* SPDX-License-Identifier: Apache-2.0 */
/* A node whose inputs come from DequantizeLinear and whose output - perhaps through Relu or Clip -
 * goes to one QuantizeLinear alone, as one int8 operator. Its weights must be symmetric. */
#include "xnnpack_region.h"

#ifdef CPU_HAVE_XNNPACK

#include <math.h>
#include <string.h>

/* What becomes of a node's output. */
typedef struct outlet {
    uint32_t i_value; /* the byte value; CPU_XNN_NONE: no such */
    uint32_t i_last;  /* the QuantizeLinear */
    cpu_xnn_limits limits;
} outlet;

static outlet outlet_of(const cpu_region_builder *b, uint32_t i_value) {
    outlet out = {CPU_XNN_NONE, CPU_XNN_NONE, CPU_XNN_NO_LIMITS};
    for (;;) {
        uint32_t i = cpu_region_only_reader(b, i_value);
        const cpu_region_node *n = i != CPU_XNN_NONE ? &b->nodes[i] : NULL;
        if (n != NULL && n->image.kind == CPU_IMAGE_CLAMP) {
            out.limits.low = fmaxf(out.limits.low, n->image.limits.low);
            out.limits.high = fminf(out.limits.high, n->image.limits.high);
            i_value = n->out;
            continue;
        }
        if (n != NULL && n->image.kind == CPU_IMAGE_QUANTIZE && out.limits.low < out.limits.high) {
            out.i_value = n->out;
            out.i_last = i;
        }
        return out;
    }
}

/* The nodes between are in the definition. */
static void outlet_take(cpu_region_builder *b, const cpu_region_node *n, const outlet *out) {
    uint32_t i_value = n->out;
    while (i_value != out->i_value) {
        cpu_region_node *next = &b->nodes[cpu_region_only_reader(b, i_value)];
        next->is_done = true;
        i_value = next->out;
    }
}

/* The byte value behind an input; NULL for others. */
static const cpu_region_value *source_of(const cpu_region_builder *b, const cpu_region_node *n,
                                         uint32_t i_input) {
    if (i_input >= n->node.n_in || n->in[i_input] == CPU_XNN_NONE) {
        return NULL;
    }
    uint32_t i_byte = b->values[n->in[i_input]].i_byte;
    return i_byte != CPU_XNN_NONE ? &b->values[i_byte] : NULL;
}

static bool within(double ratio, double least, double below) {
    return ratio >= least && ratio < below;
}

/* ---- weights ---- */
/* i8 around 0, or u8 around 128, with one scale or one for each index of the axis. */
static bool is_symmetric(const cpu_constant *c, int64_t axis) {
    uint64_t n = cpu_constant_scales(c);
    int32_t middle = c->value.type == SY_TYPE_U8 ? 128 : 0;
    bool fits = c->is_quantised && (c->value.type == SY_TYPE_I8 || c->value.type == SY_TYPE_U8) &&
                (n == 1 || c->axis == axis);
    for (uint64_t i = 0; fits && i < n; i++) {
        float scale = cpu_constant_scale(c, i);
        fits = cpu_constant_zero(c, i) == middle && isnormal(scale) && scale > 0.0f;
    }
    return fits;
}

/* The bytes as i8, in their order. */
static void bytes_read(const cpu_constant *c, uint8_t *out) {
    uint8_t flip = c->value.type == SY_TYPE_U8 ? 0x80 : 0;
    const uint8_t *bytes = kit_weight_bytes(&c->value);
    uint64_t n = (uint64_t)kit_bound_count(&c->value);
    for (uint64_t i = 0; i < n; i++) {
        out[i] = bytes[i] ^ flip;
    }
}

/* A scale for each output channel. */
static float *scales_read(cpu_region_builder *b, const cpu_constant *c, size_t n, float factor) {
    float *scales = cpu_region_keep(b, n * sizeof(float), true);
    for (size_t i = 0; scales != NULL && i < n; i++) {
        scales[i] = cpu_constant_scale(c, i) * factor;
    }
    return scales;
}

/* The bias in units of x's scale times w's; NULL scales: one for all. */
static uint32_t bias_define(cpu_region_builder *b, const cpu_region_node *n, const float *scales,
                            float scale, size_t count) {
    cpu_constant c;
    cpu_xnn_value v = {.type = scales != NULL ? CPU_XNN_I32_CHANNELS : CPU_XNN_I32,
                       .rank = 1,
                       .dims = {count},
                       .scale = scale,
                       .scales = scales,
                       .i_external = CPU_XNN_NONE};
    int32_t *data = cpu_region_keep(b, count * sizeof(int32_t), true);
    float *floats = cpu_region_keep(b, count * sizeof(float), true);
    if (floats == NULL) {
        return CPU_XNN_NONE;
    }
    bool given = n->node.n_in > 2 && n->in[2] != CPU_XNN_NONE &&
                 cpu_constant_find(n->node.graph, n->node.view.inputs[2], &c);
    if (given) {
        cpu_region_decode(b, &c, floats);
    }
    for (size_t i = 0; given && i < count; i++) {
        double units = rint((double)floats[i] / (double)(scales != NULL ? scales[i] : scale));
        data[i] = (int32_t)fmin(fmax(units, -2147483648.0), 2147483647.0);
    }
    v.data = data;
    return cpu_xnn_value_add(b->region->graph, &v);
}

/* ---- the operators ---- */
static bool ratios_fit(const cpu_constant *w, double x_scale, double y_scale) {
    uint64_t n = cpu_constant_scales(w);
    for (uint64_t i = 0; i < n; i++) {
        if (!within(x_scale * (double)cpu_constant_scale(w, i) / y_scale, 0x1p-30, 0x1p8)) {
            return false;
        }
    }
    return true;
}

static bool conv_define(cpu_region_builder *b, const cpu_region_node *n, const outlet *out) {
    const cpu_region_value *x = source_of(b, n, 0), *y = &b->values[out->i_value];
    const sy_value_view *w = &n->node.in[1];
    cpu_constant c;
    cpu_xnn_convolution conv;
    if (x == NULL || !cpu_constant_find(n->node.graph, n->node.view.inputs[1], &c) ||
        !is_symmetric(&c, 0) || !ratios_fit(&c, (double)x->scale, (double)y->scale)) {
        return false;
    }
    size_t count = (size_t)kit_bound_count(w), n_out = (size_t)w->dims[0].bound;
    uint8_t *plain = cpu_region_keep(b, count, true), *data = cpu_region_keep(b, count, true);
    float *scales = scales_read(b, &c, n_out, 1.0f);
    float *bias_scales = scales_read(b, &c, n_out, x->scale);
    if (bias_scales == NULL) {
        return true; /* the failure is kept */
    }
    cpu_region_convolution(n, &conv);
    bool depthwise = cpu_xnn_is_depthwise(&conv);
    bytes_read(&c, plain);
    cpu_region_permute(plain, data, 1, w, depthwise);
    cpu_xnn_value v = {.type = CPU_XNN_I8_CHANNELS,
                       .rank = 4,
                       .dims = {depthwise ? 1 : n_out, conv.window.kernel[0], conv.window.kernel[1],
                                depthwise ? n_out : conv.in_channels},
                       .data = data,
                       .scales = scales,
                       .channel_dimension = depthwise ? 3 : 0,
                       .i_external = CPU_XNN_NONE};
    conv.w = cpu_xnn_value_add(b->region->graph, &v);
    conv.bias = bias_define(b, n, bias_scales, 0.0f, n_out);
    conv.limits = out->limits;
    conv.x = cpu_region_byte(b, b->values[n->in[0]].i_byte);
    conv.y = cpu_region_byte(b, out->i_value);
    cpu_xnn_convolve(b->region->graph, &conv);
    return true;
}

static bool product_define(cpu_region_builder *b, const cpu_region_node *n, const outlet *out) {
    const cpu_region_value *x = source_of(b, n, 0), *y = &b->values[out->i_value];
    cpu_constant c;
    if (x == NULL || !cpu_constant_find(n->node.graph, n->node.view.inputs[1], &c) ||
        cpu_constant_scales(&c) != 1 || !is_symmetric(&c, 0) ||
        !ratios_fit(&c, (double)x->scale, (double)y->scale)) {
        return false;
    }
    size_t count = (size_t)kit_bound_count(&c.value), k = (size_t)n->node.in[0].dims[1].bound;
    size_t n_out = count / k;
    uint8_t *plain = cpu_region_keep(b, count, true), *data = cpu_region_keep(b, count, true);
    if (data == NULL) {
        return true;
    }
    bytes_read(&c, plain);
    for (size_t i = 0; i < count; i++) {
        data[n->image.transposed ? i : i % n_out * k + i / n_out] = plain[i];
    }
    cpu_xnn_value v = {.type = CPU_XNN_I8,
                       .rank = 2,
                       .dims = {n_out, k},
                       .data = data,
                       .scale = cpu_constant_scale(&c, 0),
                       .i_external = CPU_XNN_NONE};
    uint32_t w = cpu_xnn_value_add(b->region->graph, &v);
    uint32_t bias = bias_define(b, n, NULL, v.scale * x->scale, n_out);
    uint32_t id = cpu_region_byte(b, b->values[n->in[0]].i_byte);
    cpu_xnn_fully_connected(b->region->graph, out->limits, id, w, bias,
                            cpu_region_byte(b, out->i_value));
    return true;
}

static bool binary_define(cpu_region_builder *b, const cpu_region_node *n, const outlet *out) {
    const cpu_region_value *left = source_of(b, n, 0), *right = source_of(b, n, 1);
    double y = (double)b->values[out->i_value].scale;
    if (left == NULL || right == NULL) {
        return false;
    }
    double l = (double)left->scale, r = (double)right->scale;
    switch (n->image.binary) {
    case CPU_XNN_ADD:
    case CPU_XNN_SUBTRACT:
        if (!within(l / y, 0x1p-10, 0x1p8) || !within(r / y, 0x1p-10, 0x1p8)) {
            return false;
        }
        break;
    case CPU_XNN_MULTIPLY:
        if (!within(l * r / y, 0x1p-16, 0x1p8)) {
            return false;
        }
        break;
    default:
        return false;
    }
    uint32_t id_left = cpu_region_byte(b, b->values[n->in[0]].i_byte);
    uint32_t id_right = cpu_region_byte(b, b->values[n->in[1]].i_byte);
    cpu_xnn_binary_add(b->region->graph, n->image.binary, out->limits, id_left, id_right,
                       cpu_region_byte(b, out->i_value));
    return true;
}

static bool one_input_define(cpu_region_builder *b, const cpu_region_node *n, const outlet *out) {
    cpu_xnn_graph *graph = b->region->graph;
    const cpu_region_value *x = source_of(b, n, 0), *y = &b->values[out->i_value];
    const cpu_region_value *shape = &b->values[n->out];
    bool averages = n->image.kind == CPU_IMAGE_GLOBAL_AVERAGE;
    bool limited = isfinite(out->limits.low) || isfinite(out->limits.high);
    if (x == NULL || (limited && n->image.kind != CPU_IMAGE_MAX_POOL) ||
        (averages ? !within((double)x->scale / (double)y->scale, 0x1p-8, 0x1p8)
                  : x->scale < y->scale || x->scale > y->scale || x->zero != y->zero)) {
        return false;
    }
    uint32_t from = cpu_region_byte(b, b->values[n->in[0]].i_byte);
    uint32_t to = cpu_region_byte(b, out->i_value);
    if (averages) {
        cpu_xnn_global_average(graph, shape->rank, from, to);
    } else if (n->image.kind == CPU_IMAGE_MAX_POOL) {
        cpu_xnn_max_pool(graph, &n->image.window, out->limits, from, to);
    } else if (n->image.kind == CPU_IMAGE_CLAMP) {
        cpu_xnn_unary_add(graph, CPU_XNN_CLAMP, n->image.limits, 0.0f, from, to);
    } else {
        cpu_xnn_reshape(graph, shape->rank, shape->dims, from, to);
    }
    return true;
}

bool cpu_region_define_int8(cpu_region_builder *b, uint32_t i_node) {
    const cpu_region_node *n = &b->nodes[i_node];
    outlet out = outlet_of(b, n->out);
    bool defined = false;
    if (out.i_value == CPU_XNN_NONE) {
        return false;
    }
    switch (n->image.kind) {
    case CPU_IMAGE_CONV:
        defined = conv_define(b, n, &out);
        break;
    case CPU_IMAGE_PRODUCT:
        defined = product_define(b, n, &out);
        break;
    case CPU_IMAGE_BINARY:
        defined = binary_define(b, n, &out);
        break;
    case CPU_IMAGE_GLOBAL_AVERAGE:
    case CPU_IMAGE_MAX_POOL:
    case CPU_IMAGE_CLAMP:
    case CPU_IMAGE_RESHAPE:
        defined = one_input_define(b, n, &out);
        break;
    default:
        break;
    }
    if (defined) {
        outlet_take(b, n, &out);
    }
    return defined;
}
#endif
