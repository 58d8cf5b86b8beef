/* SPDX-License-Identifier: Apache-2.0 */
/* Conv and ConvTranspose: a task computes one row of one output plane in f64; ConvTranspose, from
 * the input rows whose kernels reach it. */
#include "base/checked.h"
#include "reference/element.h"
#include "reference/operators.h"
#include "reference/stencil.h"

#define PIECE SY__RUN_ELEMENTS

/* ---- what is asked ---- */
static bool prepare(sy__facts *facts, bool is_transposed) {
    sy__params *p = &facts->params;
    const sy__shape *w = &facts->inputs[1]->shape;
    if (!sy__ref_require_all_float(facts)) {
        return false;
    }
    if (w->rank < 3) {
        return sy__ref_refuse(facts, SY_REASON_SHAPE, "w has no dimensions of a kernel");
    }
    if (!sy__ref_attribute_int(facts, "group", 1, &p->n_heads) ||
        !sy__ref_stencil_read(facts, &w->dims[2]) ||
        (is_transposed && !sy__ref_stencil_read_spread(facts))) {
        return false;
    }
    return p->n_heads >= 1 || sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "group is not positive");
}

SY__PREPARE(conv) {
    return prepare(facts, false);
}
SY__PREPARE(conv_transpose) {
    return prepare(facts, true);
}

/* A bias is an element for each output channel. */
static bool bias_fits(const sy__tensor *const *inputs, uint32_t n_inputs, int64_t n_channels) {
    const sy__tensor *bias = n_inputs > 2 ? inputs[2] : NULL;
    return bias == NULL || (bias->shape.rank == 1 && bias->shape.dims[0] == n_channels);
}

SY__INFER(conv) {
    const sy__shape *x = &inputs[0]->shape, *w = &inputs[1]->shape;
    int64_t n_groups = params->n_heads;
    (void)n_outputs;
    return w->rank == x->rank && w->dims[0] % n_groups == 0 &&
           w->dims[1] * n_groups == x->dims[1] && bias_fits(inputs, n_inputs, w->dims[0]) &&
           sy__ref_stencil_shape(&params->stencil, x, w->dims[0], &out_shapes[0]);
}

SY__INFER(conv_transpose) {
    const sy__shape *x = &inputs[0]->shape, *w = &inputs[1]->shape;
    int64_t n_groups = params->n_heads, n_channels = 0;
    (void)n_outputs;
    return w->rank == x->rank && w->dims[0] == x->dims[1] && w->dims[0] % n_groups == 0 &&
           sy__mul_i64(w->dims[1], n_groups, &n_channels) &&
           bias_fits(inputs, n_inputs, n_channels) &&
           sy__ref_stencil_spread(&params->stencil, x, n_channels, &out_shapes[0]);
}

/* Each element of `of` meets a kernel for each channel of the other side. */
static double macs(const sy__facts *facts, const sy__shape *of) {
    const sy__shape *w = &facts->inputs[1]->shape;
    return (double)sy__ref_shape_product(w, 1, w->rank) * (double)sy__ref_shape_count(of);
}

SY__MACS(conv) {
    return macs(facts, &facts->outputs[0]->shape);
}
SY__MACS(conv_transpose) {
    return macs(facts, &facts->inputs[0]->shape);
}

/* ---- the sums ---- */
typedef struct convolution {
    const sy__call *call;
    bool is_transposed;
    sy__image in, out;
    int64_t in_channels, out_channels; /* of one group */
} convolution;

/* Adds the products of one input channel to a piece of a row; w_first: its kernel's element. */
static void add_channel(const convolution *c, int64_t x_plane, int64_t w_first, int64_t row,
                        sy__tap piece, double *sums) {
    const sy__stencil *s = &c->call->params->stencil;
    const bool spreads = c->is_transposed;
    const int64_t width = c->in.width, in_step = spreads ? 1 : s->stride[1],
                  out_step = spreads ? s->stride[1] : 1;
    double values[PIECE], w = 0.0;
    for (int64_t i = 0; i < s->kernel[0]; i++) {
        int64_t in_row =
            (spreads ? sy__ref_spread_row : sy__ref_stencil_row)(s, i, c->in.height, row);
        for (int64_t j = 0; in_row >= 0 && j < s->kernel[1]; j++) {
            sy__tap tap = (spreads ? sy__ref_spread_tap
                                   : sy__ref_stencil_tap)(s, j, width, piece.first, piece.count);
            sy__ref_get_f64(c->call->inputs[1], w_first + i * s->kernel[1] + j, 1, 1, &w);
            sy__ref_get_f64(c->call->inputs[0], x_plane + in_row * width + tap.column, in_step,
                            tap.count, values);
            for (int64_t k = 0; k < tap.count; k++) {
                sums[tap.first - piece.first + k * out_step] += w * values[k];
            }
        }
    }
}

/* The kernel between an input channel and an output channel of one group. */
static int64_t kernel_of(const convolution *c, int64_t in_channel, int64_t out_channel) {
    return c->is_transposed ? in_channel * c->out_channels + out_channel % c->out_channels
                            : out_channel * c->in_channels + in_channel % c->in_channels;
}

static void convolution_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const convolution *c = argument;
    const sy__stencil *s = &c->call->params->stencil;
    const sy__tensor *bias = c->call->node->n_inputs > 2 ? c->call->inputs[2] : NULL;
    double sums[PIECE], start = 0.0;
    (void)i_worker;
    int64_t row = i_task % c->out.height, plane = i_task / c->out.height;
    int64_t channel = plane % c->out.channels, image = plane / c->out.channels;
    int64_t first_in = channel / c->out_channels * c->in_channels; /* of the group */
    int64_t kernel_size = s->kernel[0] * s->kernel[1];
    if (bias != NULL) {
        sy__ref_get_f64(bias, channel, 1, 1, &start);
    }
    for (int64_t at = 0; at < c->out.width; at += PIECE) {
        sy__tap piece = {.first = at, .count = c->out.width - at};
        piece.count = piece.count < PIECE ? piece.count : PIECE;
        for (int64_t k = 0; k < piece.count; k++) {
            sums[k] = start;
        }
        for (int64_t i = first_in; i < first_in + c->in_channels; i++) {
            add_channel(c, (image * c->in.channels + i) * c->in.height * c->in.width,
                        kernel_of(c, i, channel) * kernel_size, row, piece, sums);
        }
        sy__ref_put_f64(c->call->outputs[0], (plane * c->out.height + row) * c->out.width + at,
                        piece.count, sums);
    }
}

static sy_status run(const sy__call *call, bool is_transposed) {
    convolution c = {.call = call,
                     .is_transposed = is_transposed,
                     .in = sy__ref_image_of(&call->inputs[0]->shape),
                     .out = sy__ref_image_of(&call->outputs[0]->shape)};
    c.in_channels = c.in.channels / call->params->n_heads;
    c.out_channels = c.out.channels / call->params->n_heads;
    return sy__ref_parallel(call, convolution_task, &c,
                            (uint64_t)(c.out.n * c.out.channels * c.out.height));
}

SY__RUN(conv) {
    return run(call, false);
}
SY__RUN(conv_transpose) {
    return run(call, true);
}
