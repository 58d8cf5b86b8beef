/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of the operators on planes, for any number of pictures. */
#include "conform/case_build.h"

#include <string.h>

static bool is(const sy__case_row *row, const char *op) {
    return strcmp(row->op, op) == 0;
}

/* [pictures, C, H, W], or [pictures, C, W] for a height of 0. */
static uint32_t image(const sy__case *self, int64_t channels, int64_t height, int64_t width,
                      sy_dimension *out_dims) {
    const sy_dimension n = sy_test_symbol(SY_SYMBOL_FIRST_FREE, self->n_tokens);
    const sy_dimension flat[3] = {n, SY__F(channels), SY__F(width)};
    const sy_dimension deep[4] = {n, SY__F(channels), SY__F(height), SY__F(width)};
    memcpy(out_dims, height == 0 ? flat : deep, height == 0 ? sizeof(flat) : sizeof(deep));
    return height == 0 ? 3 : 4;
}

/* A convolution of either direction; a height of 0 leaves the first of two numbers away. */
typedef struct convolution_shape {
    int64_t in[3], out[3]; /* channels, height, width */
    int64_t kernel[2], strides[2], dilations[2], pads[4], extra[2], group;
} convolution_shape;

/* Dense, grouped with uneven pads, depthwise, dilated 1-D, pointwise over a wide row. */
static const convolution_shape convolutions[] = {
    {{3, 9, 8}, {5, 7, 6}, {3, 3}, {1, 1}, {1, 1}, {0, 0, 0, 0}, {0, 0}, 1},
    {{4, 7, 9}, {6, 4, 4}, {3, 2}, {2, 3}, {1, 1}, {1, 0, 1, 2}, {0, 0}, 2},
    {{8, 6, 6}, {8, 6, 6}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, {0, 0}, 8},
    {{3, 0, 40}, {4, 0, 36}, {4, 0}, {1, 0}, {2, 0}, {1, 1, 0, 0}, {0, 0}, 1},
    {{33, 1, 300}, {17, 1, 300}, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}, {0, 0}, 1},
};

/* Dense, grouped with everything, depthwise that doubles, dilated 1-D, kernels that leave gaps. */
static const convolution_shape transposed[] = {
    {{3, 5, 6}, {5, 7, 8}, {3, 3}, {1, 1}, {1, 1}, {0, 0, 0, 0}, {0, 0}, 1},
    {{4, 5, 4}, {6, 11, 12}, {3, 2}, {2, 3}, {1, 1}, {0, 1, 1, 0}, {1, 2}, 2},
    {{8, 5, 6}, {8, 10, 12}, {4, 4}, {2, 2}, {1, 1}, {1, 1, 1, 1}, {0, 0}, 8},
    {{3, 0, 40}, {4, 0, 122}, {3, 0}, {3, 0}, {2, 0}, {1, 0, 0, 0}, {1, 0}, 1},
    {{5, 3, 90}, {3, 5, 268}, {1, 1}, {2, 3}, {1, 1}, {0, 0, 0, 0}, {0, 0}, 1},
};

/* With a bias in even shapes. */
static void convolve(sy__case *self, const sy__case_row *row, sy_element_type type,
                     const convolution_shape *c, const int64_t *w_dims) {
    sy_dimension x[4], y[4];
    uint32_t rank = image(self, c->in[0], c->in[1], c->in[2], x), n = rank - 2;
    bool has_bias = c->out[2] % 2 == 0;
    uint32_t in[3] = {sy__case_input(self, type, rank, x),
                      sy__case_weight(self, type, rank, w_dims), SY_NO_VALUE};
    if (has_bias) {
        in[2] = sy__case_weight(self, type, 1, &c->out[0]);
    }
    sy__case_output(self, type, image(self, c->out[0], c->out[1], c->out[2], y), y);
    uint32_t node = sy__case_node(self, row, has_bias ? 3 : 2, in);
    sy_test_graph_int(&self->graph, node, "group", c->group);
    sy_test_graph_ints(&self->graph, node, "kernel_shape", c->kernel, n);
    sy_test_graph_ints(&self->graph, node, "strides", c->strides, n);
    sy_test_graph_ints(&self->graph, node, "dilations", c->dilations, n);
    sy_test_graph_ints(&self->graph, node, "pads", c->pads, 2 * n);
    if (is(row, "ConvTranspose")) {
        sy_test_graph_ints(&self->graph, node, "output_padding", c->extra, n);
    }
}

SY__BUILD(conv) {
    const convolution_shape *c = &convolutions[i_shape];
    const int64_t w[4] = {c->out[0], c->in[0] / c->group, c->kernel[0], c->kernel[1]};
    convolve(self, row, type, c, w);
    return true;
}

SY__BUILD(conv_transpose) {
    const convolution_shape *c = &transposed[i_shape];
    const int64_t w[4] = {c->in[0], c->out[0] / c->group, c->kernel[0], c->kernel[1]};
    convolve(self, row, type, c, w);
    return true;
}

SY__BUILD(pool) {
    static const convolution_shape shapes[] = {
        {{3, 8, 9}, {3, 4, 4}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}, {0, 0}, 1},
        {{2, 7, 5}, {2, 7, 3}, {3, 3}, {1, 2}, {1, 1}, {1, 1, 1, 1}, {0, 0}, 1},
        {{3, 0, 300}, {3, 0, 149}, {4, 0}, {2, 0}, {1, 0}, {0, 1, 0, 0}, {0, 0}, 1},
    };
    const convolution_shape *c = &shapes[i_shape];
    sy_dimension x[4], y[4];
    uint32_t rank = image(self, c->in[0], c->in[1], c->in[2], x), n = rank - 2;
    uint32_t in = sy__case_input(self, type, rank, x);
    sy__case_output(self, type, image(self, c->out[0], c->out[1], c->out[2], y), y);
    uint32_t node = sy__case_node(self, row, 1, &in);
    sy_test_graph_ints(&self->graph, node, "kernel_shape", c->kernel, n);
    sy_test_graph_ints(&self->graph, node, "strides", c->strides, n);
    sy_test_graph_ints(&self->graph, node, "pads", c->pads, 2 * n);
    if (is(row, "AveragePool") && i_shape == 2) {
        sy_test_graph_int(&self->graph, node, "count_include_pad", 1);
    }
    return true;
}

SY__BUILD(global_pool) {
    sy_dimension x[4], y[4];
    uint32_t rank = image(self, 5, i_shape == 0 ? 7 : 0, 33, x);
    uint32_t in = sy__case_input(self, type, rank, x);
    sy__case_output(self, type, image(self, 5, i_shape == 0 ? 1 : 0, 1, y), y);
    sy__case_node(self, row, 1, &in);
    return true;
}

/* What one shape of Resize is. Nearest shapes come first: integers have no others. */
typedef struct resize_shape {
    const char *mode, *rounding, *place;
    int64_t in[2], out[2];
    float scales[2]; /* 0: sizes are given */
} resize_shape;

static const resize_shape resizes[] = {
    {"nearest", "floor", "asymmetric", {4, 5}, {8, 15}, {2, 3}},
    {"nearest", "round_prefer_floor", "half_pixel", {9, 7}, {4, 18}, {0, 0}},
    {"nearest", "round_prefer_ceil", "align_corners", {4, 6}, {9, 11}, {0, 0}},
    {"nearest", "ceil", "asymmetric", {10, 10}, {6, 3}, {0.6f, 0.3f}},
    {"linear", "floor", "half_pixel", {4, 5}, {8, 15}, {2, 3}},
    {"linear", "floor", "align_corners", {7, 9}, {4, 25}, {0, 0}},
    {"linear", "floor", "pytorch_half_pixel", {6, 0}, {300, 0}, {0, 0}},
    {"cubic", "floor", "half_pixel", {5, 6}, {7, 12}, {1.5f, 2}},
};

SY__BUILD(resize) {
    const resize_shape *r = &resizes[i_shape];
    bool is_flat = r->in[1] == 0, is_integer = type == SY_TYPE_I8 || type == SY_TYPE_U8;
    uint32_t n = is_flat ? 1 : 2;
    sy_dimension x[4], y[4];
    const int64_t axes[2] = {2, 3}, n_scales = n;
    if (is_integer && strcmp(r->mode, "nearest") != 0) {
        return false;
    }
    uint32_t rank = image(self, 3, is_flat ? 0 : r->in[0], r->in[is_flat ? 0 : 1], x);
    uint32_t in[4] = {sy__case_input(self, type, rank, x), SY_NO_VALUE, SY_NO_VALUE, SY_NO_VALUE};
    if (r->scales[0] > 0) {
        in[2] = sy_test_graph_weight(&self->graph, "scales", SY_TYPE_F32, 1, &n_scales, r->scales,
                                     n * sizeof(r->scales[0]));
    } else {
        in[3] = sy__case_numbers(self, n, r->out);
    }
    rank = image(self, 3, is_flat ? 0 : r->out[0], r->out[is_flat ? 0 : 1], y);
    sy__case_output(self, type, rank, y);
    uint32_t node = sy__case_node(self, row, r->scales[0] > 0 ? 3 : 4, in);
    sy_test_graph_string(&self->graph, node, "mode", r->mode);
    sy_test_graph_string(&self->graph, node, "nearest_mode", r->rounding);
    sy_test_graph_string(&self->graph, node, "coordinate_transformation_mode", r->place);
    sy_test_graph_ints(&self->graph, node, "axes", axes, n);
    return true;
}

/* Constant with and without a number, reflect, edge. */
SY__BUILD(pad) {
    static const char *const modes[4] = {"constant", "constant", "reflect", "edge"};
    static const int64_t pads[6] = {0, 2, 3, 0, 1, 4}, last[2] = {30, 2}, axis = -1;
    sy_dimension x[4], y[4];
    bool has_axes = i_shape >= 2, has_fill = i_shape == 1;
    uint32_t rank = image(self, 5, 0, 33, x);
    uint32_t in[4] = {sy__case_input(self, type, rank, x), SY_NO_VALUE, SY_NO_VALUE, SY_NO_VALUE};
    in[1] = sy__case_numbers(self, has_axes ? 2 : 6, has_axes ? last : pads);
    if (has_fill) {
        in[2] = sy__case_weight(self, type, 0, NULL);
    }
    if (has_axes) {
        in[3] = sy__case_numbers(self, 1, &axis);
    }
    sy__case_output(self, type, image(self, has_axes ? 5 : 8, 0, has_axes ? 65 : 40, y), y);
    uint32_t node = sy__case_node(self, row, has_axes ? 4 : has_fill ? 3 : 2, in);
    sy_test_graph_string(&self->graph, node, "mode", modes[i_shape]);
    return true;
}

SY__BUILD(depth_space) {
    bool grows = is(row, "DepthToSpace");
    sy_dimension deep[4], wide[4];
    image(self, 12, 3, 5, deep);
    image(self, 3, 6, 10, wide);
    uint32_t x = sy__case_input(self, type, 4, grows ? deep : wide);
    sy__case_output(self, type, 4, grows ? wide : deep);
    uint32_t node = sy__case_node(self, row, 1, &x);
    sy_test_graph_int(&self->graph, node, "blocksize", 2);
    if (grows) {
        sy_test_graph_string(&self->graph, node, "mode", i_shape == 0 ? "DCR" : "CRD");
    }
    return true;
}
