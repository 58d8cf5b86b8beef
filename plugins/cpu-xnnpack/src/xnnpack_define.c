/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes of a region as definitions of an XNNPACK graph, in f32. */
#include "xnnpack_region.h"

#ifdef CPU_HAVE_XNNPACK

#include <math.h>
#include <string.h>

void *cpu_region_keep(cpu_region_builder *b, size_t n_bytes, bool is_temporary) {
    size_t all = 0;
    cpu_kept *kept = NULL;
    if (b->status == SY_OK &&
        !__builtin_add_overflow(n_bytes, sizeof(*kept) + CPU_XNN_EXTRA_BYTES, &all)) {
        kept = kit_alloc(all);
        b->status = kept != NULL ? SY_OK
                                 : kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                                              "no memory for a region's constants");
    }
    if (kept == NULL) {
        return NULL;
    }
    kept->n_bytes = all;
    kept->is_temporary = is_temporary;
    kept->next = b->region->kept;
    b->region->kept = kept;
    return kept->bytes;
}

/* ---- constants ---- */
static float dequantised(const cpu_constant *c, const uint8_t *bytes, uint64_t i,
                         uint64_t channel) {
    int32_t value = 0;
    switch (c->value.type) {
    case SY_TYPE_I8:
        value = (int8_t)bytes[i];
        break;
    case SY_TYPE_U8:
        value = bytes[i];
        break;
    default:
        memcpy(&value, bytes + 4 * i, 4);
        break;
    }
    double whole = (double)value - (double)cpu_constant_zero(c, channel);
    return (float)(whole * (double)cpu_constant_scale(c, channel));
}

void cpu_region_decode(cpu_region_builder *b, const cpu_constant *c, float *out) {
    uint64_t n = (uint64_t)kit_bound_count(&c->value), inner = 1;
    const uint8_t *bytes = kit_weight_bytes(&c->value);
    if (!c->is_quantised) {
        cpu_kernels_of(b->device->kernels, c->value.type)->decode(bytes, n, out);
        return;
    }
    uint64_t n_scales = cpu_constant_scales(c);
    for (uint32_t i = c->value.rank; n_scales > 1 && (int64_t)i - 1 > c->axis; i--) {
        inner *= (uint64_t)c->value.dims[i - 1].bound;
    }
    for (uint64_t i = 0; i < n; i++) {
        out[i] = dequantised(c, bytes, i, n_scales > 1 ? i / inner % n_scales : 0);
    }
}

void cpu_region_permute(const void *from, void *to, size_t element_bytes, const sy_value_view *w,
                        bool depthwise) {
    uint64_t n_out = (uint64_t)w->dims[0].bound, n_in = (uint64_t)w->dims[1].bound, plane = 1;
    const uint8_t *source = from;
    uint8_t *target = to;
    for (uint32_t i = 2; i < w->rank; i++) {
        plane *= (uint64_t)w->dims[i].bound;
    }
    for (uint64_t o = 0; o < n_out; o++) {
        for (uint64_t i = 0; i < n_in; i++) {
            for (uint64_t p = 0; p < plane; p++) {
                uint64_t at = depthwise ? p * n_out + o : (o * plane + p) * n_in + i;
                memcpy(target + at * element_bytes, source, element_bytes);
                source += element_bytes;
            }
        }
    }
}

/* A constant operand as f32, its dimensions brought to the other operand's rank and order. */
static uint32_t constant_define(cpu_region_builder *b, const sy_value_view *view, uint32_t i_view,
                                uint32_t rank_of_other) {
    cpu_constant c;
    sy_value_view padded = *view;
    cpu_xnn_value v = {.type = CPU_XNN_F32, .i_external = CPU_XNN_NONE};
    size_t n = (size_t)kit_bound_count(view);
    float *plain = cpu_region_keep(b, n * sizeof(float), true);
    float *data = cpu_region_keep(b, n * sizeof(float), false);
    if (data == NULL || !cpu_constant_find(cpu_builder_view(b->builder), i_view, &c)) {
        b->status = b->status == SY_OK ? SY_INTERNAL : b->status;
        return CPU_XNN_NONE;
    }
    cpu_region_decode(b, &c, plain);
    uint32_t rank = rank_of_other > view->rank ? rank_of_other : view->rank;
    padded.rank = rank;
    for (uint32_t i = 0; i < rank; i++) {
        uint32_t skipped = rank - view->rank;
        padded.dims[i].bound = i < skipped ? 1 : view->dims[i - skipped].bound;
        v.dims[i] = (size_t)padded.dims[i].bound;
    }
    v.rank = rank;
    if (rank < 3) {
        memcpy(data, plain, n * sizeof(float));
    } else { /* [n, c, plane] to [n, plane, c], as a kernel's */
        bool flat = rank == 3;
        cpu_region_permute(plain, data, sizeof(float), &padded, false);
        v.rank = 4;
        v.dims[1] = flat ? 1 : (size_t)padded.dims[2].bound;
        v.dims[2] = (size_t)padded.dims[flat ? 2 : 3].bound;
        v.dims[3] = (size_t)padded.dims[1].bound;
    }
    v.data = data;
    return cpu_xnn_value_add(b->region->graph, &v);
}

/* A bare list of channels. */
static uint32_t list_define(cpu_region_builder *b, const float *data, size_t n) {
    cpu_xnn_value v = {
        .type = CPU_XNN_F32, .rank = 1, .dims = {n}, .data = data, .i_external = CPU_XNN_NONE};
    return data != NULL ? cpu_xnn_value_add(b->region->graph, &v) : CPU_XNN_NONE;
}

/* ---- computed values ---- */
static uint32_t computed_define(cpu_region_builder *b, const cpu_region_value *of, bool as_byte) {
    cpu_xnn_value v = {.type = as_byte ? CPU_XNN_I8 : CPU_XNN_F32,
                       .rank = of->rank,
                       .scale = of->scale,
                       .zero = of->zero,
                       .i_external = CPU_XNN_NONE};
    memcpy(v.dims, of->dims, sizeof(v.dims));
    if (of->i_border != CPU_XNN_NONE && kit_type_is_byte(of->view.type) == as_byte) {
        v.i_external = of->i_border;
        v.is_input = of->is_input;
    }
    return cpu_xnn_value_add(b->region->graph, &v);
}

uint32_t cpu_region_byte(cpu_region_builder *b, uint32_t i_value) {
    cpu_region_value *v = &b->values[i_value];
    if (v->id_byte == CPU_XNN_NONE && b->status == SY_OK) {
        v->id_byte = computed_define(b, v, true);
    }
    return v->id_byte;
}

uint32_t cpu_region_float(cpu_region_builder *b, uint32_t i_value) {
    cpu_region_value *v = &b->values[i_value];
    if (v->id_float == CPU_XNN_NONE && b->status == SY_OK) {
        v->id_float = computed_define(b, v, false);
        if (v->i_byte != CPU_XNN_NONE) {
            uint32_t byte = cpu_region_byte(b, v->i_byte);
            cpu_xnn_unary_add(b->region->graph, CPU_XNN_CONVERT, CPU_XNN_NO_LIMITS, 0.0f, byte,
                              v->id_float);
        }
    }
    return v->id_float;
}

/* An operand that may be constant, and then broadcasts to rank dimensions. */
static uint32_t operand(cpu_region_builder *b, uint32_t i_value, uint32_t rank) {
    const cpu_region_value *v = &b->values[i_value];
    return v->is_constant ? constant_define(b, &v->view, v->i_view, rank)
                          : cpu_region_float(b, i_value);
}

/* ---- nodes ---- */
uint32_t cpu_region_only_reader(const cpu_region_builder *b, uint32_t i_value) {
    uint32_t reader = CPU_XNN_NONE, n_readers = 0;
    for (uint32_t i = 0; i < b->n_nodes; i++) {
        for (uint32_t k = 0; k < b->nodes[i].node.n_in; k++) {
            if (b->nodes[i].in[k] == i_value) {
                reader = i;
                n_readers++;
            }
        }
    }
    return n_readers == 1 && b->values[i_value].i_border == CPU_XNN_NONE ? reader : CPU_XNN_NONE;
}

/* BatchNormalization as x * scale + shift, both by channel. */
typedef struct norm_factors {
    float *scale, *shift;
} norm_factors;

/* Answers false after a failure. */
static bool norm_read(cpu_region_builder *b, const cpu_region_node *n, norm_factors *out) {
    size_t count = (size_t)n->node.in[0].dims[1].bound;
    float *factors[4];
    for (uint32_t i = 0; i < 4; i++) {
        cpu_constant factor;
        factors[i] = cpu_region_keep(b, count * sizeof(float), true);
        if (factors[i] == NULL ||
            !cpu_constant_find(n->node.graph, n->node.view.inputs[i + 1], &factor)) {
            return false;
        }
        cpu_region_decode(b, &factor, factors[i]);
    }
    for (size_t i = 0; i < count; i++) {
        double scale = (double)factors[0][i] / sqrt((double)factors[3][i] + (double)n->image.alpha);
        factors[1][i] = (float)((double)factors[1][i] - (double)factors[2][i] * scale);
        factors[0][i] = (float)scale;
    }
    *out = (norm_factors){factors[0], factors[1]};
    return true;
}

/* The bias of a node as f32; NULL: none, or a failure. */
static float *bias_read(cpu_region_builder *b, const cpu_region_node *n) {
    cpu_constant c;
    if (n->node.n_in < 3 || n->in[2] == CPU_XNN_NONE) {
        return NULL;
    }
    size_t count = (size_t)kit_bound_count(&n->node.in[2]);
    float *data = cpu_region_keep(b, count * sizeof(float), true);
    if (data == NULL || !cpu_constant_find(n->node.graph, n->node.view.inputs[2], &c)) {
        return NULL;
    }
    cpu_region_decode(b, &c, data);
    return data;
}

void cpu_region_convolution(const cpu_region_node *node, cpu_xnn_convolution *out) {
    const kit_node *n = &node->node;
    *out = (cpu_xnn_convolution){.window = node->image.window,
                                 .n_groups = node->image.n_groups,
                                 .limits = CPU_XNN_NO_LIMITS,
                                 .bias = CPU_XNN_NONE};
    out->in_channels = (uint32_t)n->in[1].dims[1].bound;
    out->out_channels = (uint32_t)n->in[1].dims[0].bound / node->image.n_groups;
}

/* A BatchNormalization that alone reads a convolution's output goes into its weights and bias:
 * w and bias become those of both; answers the value that the norm makes. */
static uint32_t norm_fold(cpu_region_builder *b, const cpu_region_node *n, float *w, size_t n_w,
                          float **inout_bias) {
    uint32_t reader = cpu_region_only_reader(b, n->out);
    size_t n_out = (size_t)n->node.in[1].dims[0].bound;
    norm_factors factors;
    if (reader == CPU_XNN_NONE || b->nodes[reader].image.kind != CPU_IMAGE_BATCH_NORM ||
        !norm_read(b, &b->nodes[reader], &factors)) {
        return n->out;
    }
    for (size_t i = 0; i < n_out; i++) {
        if (!isfinite(factors.scale[i]) || !isfinite(factors.shift[i])) {
            return n->out; /* 0 * inf would be something else inside the sum */
        }
    }
    for (size_t i = 0; i < n_w; i++) {
        w[i] *= factors.scale[i / (n_w / n_out)];
    }
    for (size_t i = 0; *inout_bias != NULL && i < n_out; i++) {
        factors.shift[i] += (*inout_bias)[i] * factors.scale[i];
    }
    *inout_bias = factors.shift;
    b->nodes[reader].is_done = true;
    return b->nodes[reader].out;
}

static void conv_define(cpu_region_builder *b, const cpu_region_node *n) {
    cpu_constant c;
    cpu_xnn_convolution conv;
    const sy_value_view *w = &n->node.in[1];
    size_t count = (size_t)kit_bound_count(w), n_out = (size_t)w->dims[0].bound;
    float *plain = cpu_region_keep(b, count * sizeof(float), true);
    float *data = cpu_region_keep(b, count * sizeof(float), true);
    if (data == NULL || !cpu_constant_find(n->node.graph, n->node.view.inputs[1], &c)) {
        return;
    }
    cpu_region_convolution(n, &conv);
    bool depthwise = cpu_xnn_is_depthwise(&conv);
    cpu_region_decode(b, &c, plain);
    float *bias = bias_read(b, n);
    uint32_t made = norm_fold(b, n, plain, count, &bias);
    cpu_region_permute(plain, data, sizeof(float), w, depthwise);
    cpu_xnn_value v = {.type = CPU_XNN_F32,
                       .rank = 4,
                       .dims = {depthwise ? 1 : n_out, conv.window.kernel[0], conv.window.kernel[1],
                                depthwise ? n_out : conv.in_channels},
                       .data = data,
                       .i_external = CPU_XNN_NONE};
    conv.w = cpu_xnn_value_add(b->region->graph, &v);
    conv.bias = list_define(b, bias, n_out);
    conv.x = cpu_region_float(b, n->in[0]);
    conv.y = cpu_region_float(b, made);
    cpu_xnn_convolve(b->region->graph, &conv);
}

/* [k, n] to [n, k] */
static void transpose(const float *from, float *to, size_t k, size_t n) {
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j < n; j++) {
            to[j * k + i] = from[i * n + j];
        }
    }
}

static void product_define(cpu_region_builder *b, const cpu_region_node *n) {
    cpu_constant c;
    const sy_value_view *w = &n->node.in[1];
    size_t count = (size_t)kit_bound_count(w), k = (size_t)n->node.in[0].dims[1].bound;
    float *plain = cpu_region_keep(b, count * sizeof(float), true);
    float *data = cpu_region_keep(b, count * sizeof(float), true);
    if (data == NULL || !cpu_constant_find(n->node.graph, n->node.view.inputs[1], &c)) {
        return;
    }
    cpu_region_decode(b, &c, plain);
    if (n->image.transposed) {
        memcpy(data, plain, count * sizeof(float));
    } else {
        transpose(plain, data, k, count / k);
    }
    cpu_xnn_value v = {.type = CPU_XNN_F32,
                       .rank = 2,
                       .dims = {count / k, k},
                       .data = data,
                       .i_external = CPU_XNN_NONE};
    uint32_t id = cpu_xnn_value_add(b->region->graph, &v);
    uint32_t bias = list_define(b, bias_read(b, n), count / k);
    uint32_t x = cpu_region_float(b, n->in[0]);
    cpu_xnn_fully_connected(b->region->graph, CPU_XNN_NO_LIMITS, x, id, bias,
                            cpu_region_float(b, n->out));
}

/* A value inside the graph that no node of ours has, shaped like another. */
static uint32_t inner_define(cpu_region_builder *b, const cpu_region_value *like) {
    cpu_region_value inner = *like;
    inner.i_border = CPU_XNN_NONE;
    return computed_define(b, &inner, false);
}

static void average_define(cpu_region_builder *b, const cpu_region_node *n) {
    cpu_xnn_window w = n->image.window;
    uint32_t x = cpu_region_float(b, n->in[0]);
    if (n->image.counts_pads) {
        cpu_region_value wide = b->values[n->in[0]];
        wide.dims[1] += w.before[0] + w.after[0];
        wide.dims[2] += w.before[1] + w.after[1];
        uint32_t padded = inner_define(b, &wide);
        cpu_xnn_pad(b->region->graph, &w, x, padded);
        memset(w.before, 0, sizeof(w.before));
        memset(w.after, 0, sizeof(w.after));
        x = padded;
    }
    cpu_xnn_average_pool(b->region->graph, &w, x, cpu_region_float(b, n->out));
}

/* A norm by itself is a depthwise convolution of one tap: one pass, which takes limits too. */
static void norm_define(cpu_region_builder *b, const cpu_region_node *n) {
    uint32_t count = (uint32_t)n->node.in[0].dims[1].bound;
    norm_factors factors;
    if (!norm_read(b, n, &factors)) {
        return;
    }
    cpu_xnn_value w = {.type = CPU_XNN_F32,
                       .rank = 4,
                       .dims = {1, 1, 1, count},
                       .data = factors.scale,
                       .i_external = CPU_XNN_NONE};
    cpu_xnn_convolution conv = {.window = {.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}},
                                .n_groups = count,
                                .in_channels = 1,
                                .out_channels = 1,
                                .limits = CPU_XNN_NO_LIMITS};
    conv.w = cpu_xnn_value_add(b->region->graph, &w);
    conv.bias = list_define(b, factors.shift, count);
    conv.x = cpu_region_float(b, n->in[0]);
    conv.y = cpu_region_float(b, n->out);
    cpu_xnn_convolve(b->region->graph, &conv);
}

static void hard_sigmoid_define(cpu_region_builder *b, const cpu_region_node *n) {
    float *alpha = cpu_region_keep(b, sizeof(float), false);
    float *beta = cpu_region_keep(b, sizeof(float), false);
    if (beta == NULL) {
        return;
    }
    *alpha = n->image.alpha;
    *beta = n->image.beta;
    uint32_t scaled = inner_define(b, &b->values[n->in[0]]);
    uint32_t x = cpu_region_float(b, n->in[0]);
    cpu_xnn_limits unit = {0.0f, 1.0f};
    cpu_xnn_binary_add(b->region->graph, CPU_XNN_MULTIPLY, CPU_XNN_NO_LIMITS, x,
                       list_define(b, alpha, 1), scaled);
    cpu_xnn_binary_add(b->region->graph, CPU_XNN_ADD, unit, scaled, list_define(b, beta, 1),
                       cpu_region_float(b, n->out));
}

static void slope_define(cpu_region_builder *b, const cpu_region_node *n) {
    const cpu_region_value *x = &b->values[n->in[0]];
    size_t channels = x->dims[x->rank - 1], given = (size_t)kit_bound_count(&n->node.in[1]);
    float *slopes = cpu_region_keep(b, channels * sizeof(float), false);
    if (slopes == NULL) {
        return;
    }
    const sy_value_view *view = &n->node.in[1];
    cpu_kernels_of(b->device->kernels, view->type)->decode(kit_weight_bytes(view), given, slopes);
    for (size_t i = given; i < channels; i++) {
        slopes[i] = slopes[0]; /* one for all channels */
    }
    uint32_t id = cpu_region_float(b, n->in[0]), slope = list_define(b, slopes, channels);
    cpu_xnn_binary_add(b->region->graph, CPU_XNN_PRELU, CPU_XNN_NO_LIMITS, id, slope,
                       cpu_region_float(b, n->out));
}

static void binary_define(cpu_region_builder *b, const cpu_region_node *n) {
    uint32_t rank = n->node.out[0].rank;
    if (n->image.binary == CPU_XNN_PRELU) {
        slope_define(b, n);
        return;
    }
    uint32_t left = operand(b, n->in[0], rank), right = operand(b, n->in[1], rank);
    cpu_xnn_binary_add(b->region->graph, n->image.binary, CPU_XNN_NO_LIMITS, left, right,
                       cpu_region_float(b, n->out));
}

/* Reading an int8 value costs nothing before somebody wants it as f32. */
static void dequantize_define(cpu_region_builder *b, const cpu_region_node *n) {
    b->values[n->out].i_byte = n->in[0];
    if (b->values[n->out].i_border != CPU_XNN_NONE) {
        cpu_region_float(b, n->out);
    }
}

static void quantize_define(cpu_region_builder *b, const cpu_region_node *n) {
    uint32_t x = cpu_region_float(b, n->in[0]);
    cpu_xnn_unary_add(b->region->graph, CPU_XNN_CONVERT, CPU_XNN_NO_LIMITS, 0.0f, x,
                      cpu_region_byte(b, n->out));
}

static void one_input_define(cpu_region_builder *b, const cpu_region_node *n) {
    cpu_xnn_graph *graph = b->region->graph;
    const cpu_region_value *out = &b->values[n->out];
    uint32_t x = cpu_region_float(b, n->in[0]), y = cpu_region_float(b, n->out);
    switch (n->image.kind) {
    case CPU_IMAGE_MAX_POOL:
        cpu_xnn_max_pool(graph, &n->image.window, CPU_XNN_NO_LIMITS, x, y);
        break;
    case CPU_IMAGE_GLOBAL_AVERAGE:
        cpu_xnn_global_average(graph, out->rank, x, y);
        break;
    case CPU_IMAGE_CLAMP:
        cpu_xnn_unary_add(graph, CPU_XNN_CLAMP, n->image.limits, 0.0f, x, y);
        break;
    case CPU_IMAGE_UNARY:
        cpu_xnn_unary_add(graph, n->image.unary, CPU_XNN_NO_LIMITS, n->image.alpha, x, y);
        break;
    case CPU_IMAGE_SOFTMAX:
        cpu_xnn_softmax(graph, x, y);
        break;
    default:
        cpu_xnn_reshape(graph, out->rank, out->dims, x, y);
        break;
    }
}

static void concat_define(cpu_region_builder *b, const cpu_region_node *n) {
    uint32_t xs[KIT_INPUTS_MAX];
    for (uint32_t i = 0; i < n->node.n_in; i++) {
        xs[i] = cpu_region_float(b, n->in[i]);
    }
    cpu_xnn_concatenate(b->region->graph, n->image.axis, n->node.n_in, xs,
                        cpu_region_float(b, n->out));
}

static void node_define(cpu_region_builder *b, const cpu_region_node *n) {
    switch (n->image.kind) {
    case CPU_IMAGE_CONV:
        conv_define(b, n);
        break;
    case CPU_IMAGE_PRODUCT:
        product_define(b, n);
        break;
    case CPU_IMAGE_AVERAGE_POOL:
        average_define(b, n);
        break;
    case CPU_IMAGE_BATCH_NORM:
        norm_define(b, n);
        break;
    case CPU_IMAGE_HARD_SIGMOID:
        hard_sigmoid_define(b, n);
        break;
    case CPU_IMAGE_BINARY:
        binary_define(b, n);
        break;
    case CPU_IMAGE_CONCAT:
        concat_define(b, n);
        break;
    case CPU_IMAGE_DEQUANTIZE:
        dequantize_define(b, n);
        break;
    case CPU_IMAGE_QUANTIZE:
        quantize_define(b, n);
        break;
    default:
        one_input_define(b, n);
        break;
    }
}

/* Scale and zero point of the byte values, from the nodes that make or read them. */
static void factors_read(cpu_region_builder *b) {
    for (uint32_t i = 0; i < b->n_nodes; i++) {
        const cpu_region_node *n = &b->nodes[i];
        bool makes = n->image.kind == CPU_IMAGE_QUANTIZE;
        if (!makes &&
            (n->image.kind != CPU_IMAGE_DEQUANTIZE || n->node.in[0].kind == SY_VALUE_WEIGHT)) {
            continue;
        }
        cpu_region_value *v = &b->values[makes ? n->out : n->in[0]];
        memcpy(&v->scale, kit_weight_bytes(&n->node.in[1]), 4);
        const uint8_t *zero =
            n->in[2] != CPU_XNN_NONE && n->node.n_in > 2 ? kit_weight_bytes(&n->node.in[2]) : NULL;
        bool is_signed = v->view.type == SY_TYPE_I8;
        int32_t given = zero == NULL ? 0 : is_signed ? (int8_t)*zero : *zero;
        v->zero = is_signed ? given : given - 128;
    }
}

void cpu_region_define(cpu_region_builder *b) {
    factors_read(b);
    for (uint32_t i = 0; b->status == SY_OK && i < b->n_nodes; i++) {
        if (!b->nodes[i].is_done && !(b->int8 && cpu_region_define_int8(b, i))) {
            node_define(b, &b->nodes[i]);
        }
        b->nodes[i].is_done = true;
    }
}
#endif
