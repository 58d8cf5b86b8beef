/* SPDX-License-Identifier: Apache-2.0 */
/* Slices as operators of the 2022 version, bound to their memory. */
#include "xnnpack_stages.h"

#ifdef CPU_XNNPACK_STAGES

#include <math.h>
#include <string.h>

/* A stage's slice with its values at hand. */
typedef struct making {
    const cpu_stage *stage;
    const cpu_slice *slice;
    const cpu_stage_value *x, *w, *bias, *y;
    xnn_operator_t *out;
} making;

static const float *floats(const uint8_t *bytes) {
    return (const float *)(const void *)bytes;
}
static const int8_t *bytes_of(const uint8_t *bytes) {
    return (const int8_t *)bytes;
}
static const uint8_t *read_at(const cpu_stage_value *v, size_t i) {
    return cpu_stage_read(v) + i * cpu_stage_element(v);
}
static float *floats_at(const cpu_stage_value *v, size_t i) {
    return (float *)(void *)(v->memory + i * sizeof(float));
}
static int8_t *bytes_at(const cpu_stage_value *v, size_t i) {
    return (int8_t *)(v->memory + i);
}
static int8_t zero_of(const cpu_stage_value *v) {
    return (int8_t)v->is.zero;
}

/* A limit in units of the value. */
static int8_t limit(const cpu_stage_value *v, float given) {
    return (int8_t)lrintf(fminf(fmaxf(given / v->is.scale + (float)v->is.zero, -128.0f), 127.0f));
}

/* Where a slice begins in a picture, from its row and channel. */
static size_t at(const cpu_stage_value *v, size_t row, size_t channel) {
    return row * v->is.dims[2] * cpu_stage_channels(v) + channel;
}

/* ---- convolutions ---- */
typedef struct part {
    uint32_t groups;
    size_t n_in, n_out, first_in, first_out; /* of a group; of the slice */
} part;

static part part_of(const making *m) {
    const cpu_xnn_convolution *c = &m->stage->node;
    if (c->n_groups > 1) {
        return (part){(uint32_t)m->slice->n, c->in_channels, c->out_channels,
                      m->slice->first * c->in_channels, m->slice->first * c->out_channels};
    }
    return (part){1, c->in_channels, m->slice->n, 0, m->slice->first};
}

/* The weights of some groups of a depthwise convolution, which lie tap by tap; NULL: no memory. */
static uint8_t *depthwise_pack(const making *m, const part *p, size_t *out_bytes) {
    size_t all = cpu_stage_channels(m->w), taps = (size_t)(m->w->n / all);
    size_t row = p->groups * p->n_out * cpu_stage_element(m->w);
    uint8_t *packed = kit_alloc_raw(taps * row);
    for (size_t i = 0; packed != NULL && i < taps; i++) {
        memcpy(packed + i * row, read_at(m->w, i * all + p->first_out), row);
    }
    *out_bytes = taps * row;
    return packed;
}

static enum xnn_status conv_create(const making *m, const part *p, const uint8_t *w,
                                   uint32_t flags) {
    const cpu_xnn_convolution *c = &m->stage->node;
    const cpu_xnn_window *n = &m->slice->window;
    const uint8_t *bias = m->bias != NULL ? read_at(m->bias, p->first_out) : NULL;
    size_t x_stride = cpu_stage_channels(m->x), y_stride = cpu_stage_channels(m->y);
    if (m->x->is.type == CPU_XNN_F32) {
        return xnn_create_convolution2d_nhwc_f32(
            n->before[0], n->after[1], n->after[0], n->before[1], n->kernel[0], n->kernel[1],
            n->stride[0], n->stride[1], n->dilation[0], n->dilation[1], p->groups, p->n_in,
            p->n_out, x_stride, y_stride, floats(w), floats(bias), c->limits.low, c->limits.high,
            flags, m->out);
    }
    return xnn_create_convolution2d_nhwc_qc8(
        n->before[0], n->after[1], n->after[0], n->before[1], n->kernel[0], n->kernel[1],
        n->stride[0], n->stride[1], n->dilation[0], n->dilation[1], p->groups, p->n_in, p->n_out,
        x_stride, y_stride, zero_of(m->x), m->x->is.scale, m->w->is.scales + p->first_out,
        bytes_of(w), (const int32_t *)(const void *)bias, zero_of(m->y), m->y->is.scale,
        limit(m->y, c->limits.low), limit(m->y, c->limits.high), flags, m->out);
}

static enum xnn_status conv_make(const making *m) {
    const cpu_xnn_convolution *c = &m->stage->node;
    const size_t *dims = m->x->is.dims;
    bool depthwise = cpu_xnn_is_depthwise(c);
    part p = part_of(m);
    size_t n_bytes = 0, each = (size_t)c->window.kernel[0] * c->window.kernel[1] * p.n_in;
    const uint8_t *w = read_at(m->w, p.first_out * each);
    uint8_t *packed = NULL;
    if (depthwise && p.groups < c->n_groups) {
        w = packed = depthwise_pack(m, &p, &n_bytes);
    }
    if (w == NULL) {
        return xnn_status_out_of_memory;
    }
    enum xnn_status status = conv_create(m, &p, w, depthwise ? XNN_FLAG_DEPTHWISE_CONVOLUTION : 0);
    kit_release(packed, n_bytes); /* the operator has its own */
    if (status != xnn_status_success) {
        return status;
    }
    size_t from = at(m->x, m->slice->in_row, p.first_in);
    size_t to = at(m->y, m->slice->y_row, p.first_out);
    if (m->x->is.type == CPU_XNN_F32) {
        return xnn_setup_convolution2d_nhwc_f32(*m->out, dims[0], m->slice->n_in_rows, dims[2],
                                                floats(read_at(m->x, from)), floats_at(m->y, to),
                                                NULL);
    }
    return xnn_setup_convolution2d_nhwc_qc8(*m->out, dims[0], m->slice->n_in_rows, dims[2],
                                            bytes_of(read_at(m->x, from)), bytes_at(m->y, to),
                                            NULL);
}

/* ---- pools ---- */
static enum xnn_status max_pool_make(const making *m) {
    const cpu_slice *s = m->slice;
    const cpu_xnn_window *n = &s->window;
    const cpu_xnn_limits *l = &m->stage->node.limits;
    const size_t *dims = m->x->is.dims, stride = cpu_stage_channels(m->x);
    size_t from = at(m->x, s->in_row, s->first), to = at(m->y, s->y_row, s->first);
    if (m->x->is.type == CPU_XNN_F32) {
        enum xnn_status status = xnn_create_max_pooling2d_nhwc_f32(
            n->before[0], n->after[1], n->after[0], n->before[1], n->kernel[0], n->kernel[1],
            n->stride[0], n->stride[1], n->dilation[0], n->dilation[1], s->n, stride, stride,
            l->low, l->high, 0, m->out);
        return status != xnn_status_success
                   ? status
                   : xnn_setup_max_pooling2d_nhwc_f32(*m->out, dims[0], s->n_in_rows, dims[2],
                                                      floats(read_at(m->x, from)),
                                                      floats_at(m->y, to), NULL);
    }
    enum xnn_status status = xnn_create_max_pooling2d_nhwc_s8(
        n->before[0], n->after[1], n->after[0], n->before[1], n->kernel[0], n->kernel[1],
        n->stride[0], n->stride[1], n->dilation[0], n->dilation[1], s->n, stride, stride,
        limit(m->y, l->low), limit(m->y, l->high), 0, m->out);
    return status != xnn_status_success
               ? status
               : xnn_setup_max_pooling2d_nhwc_s8(*m->out, dims[0], s->n_in_rows, dims[2],
                                                 bytes_of(read_at(m->x, from)), bytes_at(m->y, to),
                                                 NULL);
}

static enum xnn_status average_pool_make(const making *m) {
    const cpu_slice *s = m->slice;
    const cpu_xnn_window *n = &s->window;
    const cpu_xnn_limits *l = &m->stage->node.limits;
    const size_t *dims = m->x->is.dims, stride = cpu_stage_channels(m->x);
    if (m->x->is.type != CPU_XNN_F32) {
        return xnn_status_unsupported_parameter;
    }
    enum xnn_status status = xnn_create_average_pooling2d_nhwc_f32(
        n->before[0], n->after[1], n->after[0], n->before[1], n->kernel[0], n->kernel[1],
        n->stride[0], n->stride[1], s->n, stride, stride, l->low, l->high, 0, m->out);
    return status != xnn_status_success ? status
                                        : xnn_setup_average_pooling2d_nhwc_f32(
                                              *m->out, dims[0], s->n_in_rows, dims[2],
                                              floats(read_at(m->x, at(m->x, s->in_row, s->first))),
                                              floats_at(m->y, at(m->y, s->y_row, s->first)), NULL);
}

static enum xnn_status global_average_make(const making *m) {
    const cpu_slice *s = m->slice;
    const size_t *dims = m->x->is.dims, stride = cpu_stage_channels(m->x);
    size_t plane = dims[1] * dims[2];
    if (m->x->is.type == CPU_XNN_F32) {
        enum xnn_status status = xnn_create_global_average_pooling_nwc_f32(
            s->n, stride, stride, -INFINITY, INFINITY, 0, m->out);
        return status != xnn_status_success
                   ? status
                   : xnn_setup_global_average_pooling_nwc_f32(*m->out, dims[0], plane,
                                                              floats(read_at(m->x, s->first)),
                                                              floats_at(m->y, s->first), NULL);
    }
    enum xnn_status status = xnn_create_global_average_pooling_nwc_qs8(
        s->n, stride, stride, zero_of(m->x), m->x->is.scale, zero_of(m->y), m->y->is.scale,
        INT8_MIN, INT8_MAX, 0, m->out);
    return status != xnn_status_success
               ? status
               : xnn_setup_global_average_pooling_nwc_qs8(*m->out, dims[0], plane,
                                                          bytes_of(read_at(m->x, s->first)),
                                                          bytes_at(m->y, s->first), NULL);
}

static enum xnn_status pad_make(const making *m) {
    const cpu_xnn_window *w = &m->stage->node.window;
    const size_t before[4] = {0, w->before[0], w->before[1], 0};
    const size_t after[4] = {0, w->after[0], w->after[1], 0};
    const float nothing = 0.0f;
    enum xnn_status status = xnn_create_constant_pad_nd_x32(&nothing, 0, m->out);
    return status != xnn_status_success
               ? status
               : xnn_setup_constant_pad_nd_x32(*m->out, 4, m->x->is.dims, before, after,
                                               read_at(m->x, 0), m->y->memory, NULL);
}

/* ---- products ---- */
static enum xnn_status product_make(const making *m) {
    const cpu_slice *s = m->slice;
    const cpu_xnn_limits *l = &m->stage->node.limits;
    size_t k = cpu_stage_channels(m->x), stride = cpu_stage_channels(m->y),
           n_rows = (size_t)(m->x->n / k);
    const uint8_t *w = read_at(m->w, s->first * k);
    const uint8_t *bias = m->bias != NULL ? read_at(m->bias, s->first) : NULL;
    if (m->x->is.type == CPU_XNN_F32) {
        enum xnn_status status = xnn_create_fully_connected_nc_f32(
            k, s->n, k, stride, floats(w), floats(bias), l->low, l->high, 0, m->out);
        return status != xnn_status_success
                   ? status
                   : xnn_setup_fully_connected_nc_f32(*m->out, n_rows, floats(read_at(m->x, 0)),
                                                      floats_at(m->y, s->first), NULL);
    }
    enum xnn_status status = xnn_create_fully_connected_nc_qs8(
        k, s->n, k, stride, zero_of(m->x), m->x->is.scale, m->w->is.scale, bytes_of(w),
        (const int32_t *)(const void *)bias, zero_of(m->y), m->y->is.scale, limit(m->y, l->low),
        limit(m->y, l->high), 0, m->out);
    return status != xnn_status_success
               ? status
               : xnn_setup_fully_connected_nc_qs8(*m->out, n_rows, bytes_of(read_at(m->x, 0)),
                                                  bytes_at(m->y, s->first), NULL);
}

/* ---- element by element ---- */
typedef enum xnn_status (*setup_unary)(xnn_operator_t op, size_t batch, const float *x, float *y,
                                       pthreadpool_t pool);

static enum xnn_status unary_float(const making *m) {
    size_t n = m->slice->n;
    setup_unary setup = NULL;
    enum xnn_status status = xnn_status_invalid_parameter;
    switch (m->stage->unary) {
    case CPU_XNN_CLAMP:
        status = xnn_create_clamp_nc_f32(n, n, n, m->stage->node.limits.low,
                                         m->stage->node.limits.high, 0, m->out);
        setup = xnn_setup_clamp_nc_f32;
        break;
    case CPU_XNN_LEAKY_RELU:
        status = xnn_create_leaky_relu_nc_f32(n, n, n, m->stage->alpha, 0, m->out);
        setup = xnn_setup_leaky_relu_nc_f32;
        break;
    case CPU_XNN_ELU:
        status = xnn_create_elu_nc_f32(n, n, n, m->stage->alpha, 0, m->out);
        setup = xnn_setup_elu_nc_f32;
        break;
    case CPU_XNN_HARD_SWISH:
        status = xnn_create_hardswish_nc_f32(n, n, n, 0, m->out);
        setup = xnn_setup_hardswish_nc_f32;
        break;
    case CPU_XNN_SIGMOID:
        status = xnn_create_sigmoid_nc_f32(n, n, n, 0, m->out);
        setup = xnn_setup_sigmoid_nc_f32;
        break;
    case CPU_XNN_ABS:
        status = xnn_create_abs_nc_f32(n, n, n, 0, m->out);
        setup = xnn_setup_abs_nc_f32;
        break;
    case CPU_XNN_NEGATE:
        status = xnn_create_negate_nc_f32(n, n, n, 0, m->out);
        setup = xnn_setup_negate_nc_f32;
        break;
    default:
        break;
    }
    return status != xnn_status_success ? status
                                        : setup(*m->out, 1, floats(read_at(m->x, m->slice->first)),
                                                floats_at(m->y, m->slice->first), NULL);
}

static enum xnn_status convert_make(const making *m) {
    size_t n = m->slice->n, first = m->slice->first;
    if (m->x->is.type == CPU_XNN_F32) {
        enum xnn_status status = xnn_create_convert_nc_f32_qs8(
            n, n, n, m->y->is.scale, zero_of(m->y), INT8_MIN, INT8_MAX, 0, m->out);
        return status != xnn_status_success
                   ? status
                   : xnn_setup_convert_nc_f32_qs8(*m->out, 1, floats(read_at(m->x, first)),
                                                  bytes_at(m->y, first), NULL);
    }
    enum xnn_status status =
        xnn_create_convert_nc_qs8_f32(n, n, n, m->x->is.scale, zero_of(m->x), 0, m->out);
    return status != xnn_status_success
               ? status
               : xnn_setup_convert_nc_qs8_f32(*m->out, 1, bytes_of(read_at(m->x, first)),
                                              floats_at(m->y, first), NULL);
}

static enum xnn_status unary_make(const making *m) {
    const cpu_xnn_limits *l = &m->stage->node.limits;
    size_t n = m->slice->n, first = m->slice->first;
    if (m->stage->unary == CPU_XNN_CONVERT) {
        return convert_make(m);
    }
    if (m->x->is.type == CPU_XNN_F32) {
        return unary_float(m);
    }
    if (m->stage->unary != CPU_XNN_CLAMP) {
        return xnn_status_unsupported_parameter;
    }
    enum xnn_status status =
        xnn_create_clamp_nc_s8(n, n, n, limit(m->y, l->low), limit(m->y, l->high), 0, m->out);
    return status != xnn_status_success
               ? status
               : xnn_setup_clamp_nc_s8(*m->out, 1, bytes_of(read_at(m->x, first)),
                                       bytes_at(m->y, first), NULL);
}

static enum xnn_status softmax_make(const making *m) {
    size_t n = cpu_stage_channels(m->x);
    enum xnn_status status = xnn_create_softmax_nc_f32(n, n, n, 0, m->out);
    return status != xnn_status_success
               ? status
               : xnn_setup_softmax_nc_f32(*m->out, (size_t)(m->x->n / n), floats(read_at(m->x, 0)),
                                          floats_at(m->y, 0), NULL);
}

/* ---- two operands ---- */
typedef struct operands {
    size_t rank, a_dims[CPU_XNN_DIMENSIONS], b_dims[CPU_XNN_DIMENSIONS], a, b, y;
} operands;

/* Dimensions of a slice of an operand, with ones in front; answers where it begins. */
static size_t operand_of(const cpu_stage_value *v, uint32_t rank, uint32_t i_row,
                         const cpu_slice *slice, size_t *out_dims) {
    size_t inner = 1;
    for (uint32_t i = rank; i-- > 0;) {
        out_dims[i] = i + v->is.rank < rank ? 1 : v->is.dims[i + v->is.rank - rank];
        if (i > i_row) {
            inner *= out_dims[i];
        }
    }
    if (out_dims[i_row] == 1) {
        return 0;
    }
    out_dims[i_row] = slice->n;
    return slice->first * inner;
}

static operands operands_of(const making *m) {
    const cpu_slice *s = m->slice;
    operands o = {.rank = m->y->is.rank > 0 ? m->y->is.rank : 1};
    if (cpu_stage_same_shape(m->x, m->w)) {
        return (operands){1, {s->n}, {s->n}, s->first, s->first, s->first};
    }
    uint32_t rank = (uint32_t)o.rank, i_row = cpu_stage_rows_dimension(m->y);
    size_t dims[CPU_XNN_DIMENSIONS];
    o.a = operand_of(m->x, rank, i_row, s, o.a_dims);
    o.b = operand_of(m->w, rank, i_row, s, o.b_dims);
    o.y = operand_of(m->y, rank, i_row, s, dims);
    return o;
}

typedef enum xnn_status (*create_binary)(float low, float high, uint32_t flags,
                                         xnn_operator_t *out);
typedef enum xnn_status (*setup_binary)(xnn_operator_t op, size_t n_a, const size_t *a_dims,
                                        size_t n_b, const size_t *b_dims, const float *a,
                                        const float *b, float *y, pthreadpool_t pool);
typedef enum xnn_status (*create_bytes)(int8_t a_zero, float a_scale, int8_t b_zero, float b_scale,
                                        int8_t y_zero, float y_scale, int8_t low, int8_t high,
                                        uint32_t flags, xnn_operator_t *out);
typedef enum xnn_status (*setup_bytes)(xnn_operator_t op, size_t n_a, const size_t *a_dims,
                                       size_t n_b, const size_t *b_dims, const int8_t *a,
                                       const int8_t *b, int8_t *y, pthreadpool_t pool);

static enum xnn_status binary_float(const making *m, const operands *o) {
    static const create_binary create[] = {[CPU_XNN_ADD] = xnn_create_add_nd_f32,
                                           [CPU_XNN_SUBTRACT] = xnn_create_subtract_nd_f32,
                                           [CPU_XNN_MULTIPLY] = xnn_create_multiply_nd_f32,
                                           [CPU_XNN_DIVIDE] = xnn_create_divide_nd_f32};
    static const setup_binary setup[] = {[CPU_XNN_ADD] = xnn_setup_add_nd_f32,
                                         [CPU_XNN_SUBTRACT] = xnn_setup_subtract_nd_f32,
                                         [CPU_XNN_MULTIPLY] = xnn_setup_multiply_nd_f32,
                                         [CPU_XNN_DIVIDE] = xnn_setup_divide_nd_f32};
    cpu_xnn_binary which = m->stage->binary;
    enum xnn_status status =
        create[which](m->stage->node.limits.low, m->stage->node.limits.high, 0, m->out);
    return status != xnn_status_success
               ? status
               : setup[which](*m->out, o->rank, o->a_dims, o->rank, o->b_dims,
                              floats(read_at(m->x, o->a)), floats(read_at(m->w, o->b)),
                              floats_at(m->y, o->y), NULL);
}

static enum xnn_status binary_bytes(const making *m, const operands *o) {
    static const create_bytes create[] = {[CPU_XNN_ADD] = xnn_create_add_nd_qs8,
                                          [CPU_XNN_SUBTRACT] = xnn_create_subtract_nd_qs8,
                                          [CPU_XNN_MULTIPLY] = xnn_create_multiply_nd_qs8};
    static const setup_bytes setup[] = {[CPU_XNN_ADD] = xnn_setup_add_nd_qs8,
                                        [CPU_XNN_SUBTRACT] = xnn_setup_subtract_nd_qs8,
                                        [CPU_XNN_MULTIPLY] = xnn_setup_multiply_nd_qs8};
    cpu_xnn_binary which = m->stage->binary;
    const cpu_xnn_limits *l = &m->stage->node.limits;
    if (which > CPU_XNN_MULTIPLY) {
        return xnn_status_unsupported_parameter;
    }
    enum xnn_status status =
        create[which](zero_of(m->x), m->x->is.scale, zero_of(m->w), m->w->is.scale, zero_of(m->y),
                      m->y->is.scale, limit(m->y, l->low), limit(m->y, l->high), 0, m->out);
    return status != xnn_status_success
               ? status
               : setup[which](*m->out, o->rank, o->a_dims, o->rank, o->b_dims,
                              bytes_of(read_at(m->x, o->a)), bytes_of(read_at(m->w, o->b)),
                              bytes_at(m->y, o->y), NULL);
}

static enum xnn_status slope_make(const making *m) {
    size_t n = cpu_stage_channels(m->x), from = m->slice->first * n;
    enum xnn_status status =
        xnn_create_prelu_nc_f32(n, n, n, floats(cpu_stage_read(m->w)), 0, m->out);
    return status != xnn_status_success
               ? status
               : xnn_setup_prelu_nc_f32(*m->out, m->slice->n, floats(read_at(m->x, from)),
                                        floats_at(m->y, from), NULL);
}

static enum xnn_status binary_make(const making *m) {
    if (m->stage->binary == CPU_XNN_PRELU) {
        return slope_make(m);
    }
    operands o = operands_of(m);
    return m->y->is.type == CPU_XNN_F32 ? binary_float(m, &o) : binary_bytes(m, &o);
}

enum xnn_status cpu_slice_make(const cpu_xnn_graph *graph, const cpu_stage *stage,
                               const cpu_slice *slice, xnn_operator_t *out_operator) {
    static enum xnn_status (*const make[])(const making *) = {
        [CPU_STAGE_CONVOLUTION] = conv_make,
        [CPU_STAGE_MAX_POOL] = max_pool_make,
        [CPU_STAGE_AVERAGE_POOL] = average_pool_make,
        [CPU_STAGE_GLOBAL_AVERAGE] = global_average_make,
        [CPU_STAGE_PRODUCT] = product_make,
        [CPU_STAGE_BINARY] = binary_make,
        [CPU_STAGE_UNARY] = unary_make,
        [CPU_STAGE_SOFTMAX] = softmax_make,
        [CPU_STAGE_PAD] = pad_make};
    const cpu_xnn_convolution *n = &stage->node;
    making m = {stage,
                slice,
                &graph->values[n->x],
                n->w != CPU_XNN_NONE ? &graph->values[n->w] : NULL,
                n->bias != CPU_XNN_NONE ? &graph->values[n->bias] : NULL,
                &graph->values[n->y],
                out_operator};
    return make[stage->kind](&m);
}
#endif
