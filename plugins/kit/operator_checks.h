/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operators of docs/operators.md: what a node of one says, checked and parsed, for all
 * delegates in the same words. A check says no only to what breaks the definition of its operator;
 * what a delegate lacks beyond that it says itself, afterwards. After a no the parameters mean
 * nothing.
 *
 * Every check presupposes kit_operator_check, so that inputs that must be there are there. Sizes
 * are numbers where the definition has them fixed; all others are dimensions of the node's values,
 * which have their size when a job runs (kit_dimension_at). Only what the definition calls constant
 * must be so: a delegate that wants constant weights asks kit_require_weight as well. The work of
 * the node is counted as if every value were f32, bytes and arithmetic, at the typical sizes.
 */
#ifndef KIT_OPERATOR_CHECKS_H
#define KIT_OPERATOR_CHECKS_H

#include "graph.h"

/* Whether the version of the node is that of docs/operators.md and its inputs and outputs are as
 * many as there, those that must be given given. */
bool kit_operator_check(const kit_node *node, kit_answer *answer);

/* ---- products with rows of weights (check_linear.c) ---- */
/* x [.., k], w [n, k] of any weight type, bias [n] float; y [.., n] */
typedef struct kit_linear {
    int64_t k, n;
    bool has_bias;
} kit_linear;
bool kit_check_linear(const kit_node *node, kit_linear *out, kit_answer *answer);

/* ids [T], table [n, k] of any weight type; y f32 [T, k] */
typedef struct kit_embedding {
    int64_t k, n;
    double scale;
} kit_embedding;
bool kit_check_embedding(const kit_node *node, kit_embedding *out, kit_answer *answer);

/* y f32 [M, n], x f32 [M, k], rows i32 [M] */
#define KIT_ADAPTER_RANK_MOST 1024u
typedef struct kit_adapter_linear {
    int64_t k, n, slot, max_rank;
    bool has_rows;
} kit_adapter_linear;
bool kit_check_adapter_linear(const kit_node *node, kit_adapter_linear *out, kit_answer *answer);

/* ---- what knows positions or sequences (check_attention.c) ---- */
/* x [T, n_heads x head_size]; pair i is (i, i + n_pairs) of a head, interleaved (2i, 2i + 1) */
typedef struct kit_rotary {
    int64_t n_heads, head_size, n_pairs;
    double magnitude;
    bool interleaved;
} kit_rotary;
bool kit_check_rotary(const kit_node *node, kit_rotary *out, kit_answer *answer);

/* Inputs of Attention. */
enum {
    KIT_ATTENTION_Q,
    KIT_ATTENTION_K,
    KIT_ATTENTION_V,
    KIT_ATTENTION_KEY_STATE,
    KIT_ATTENTION_VALUE_STATE,
    KIT_ATTENTION_SINKS
};
typedef struct kit_attention {
    int64_t n_heads, n_kv_heads;
    int64_t head_size, value_size; /* of a head of q and k, of v and y */
    int64_t window;                /* 0: none */
    double scale, softcap;         /* softcap 0: none */
    bool causal, has_rows, has_states, has_sinks;
} kit_attention;
bool kit_check_attention(const kit_node *node, kit_attention *out, kit_answer *answer);

/* x [T, n_channels], weight [n_channels, length], state [rows, n_channels] */
typedef struct kit_causal_convolution {
    int64_t n_channels, length;
} kit_causal_convolution;
bool kit_check_causal_convolution(const kit_node *node, kit_causal_convolution *out,
                                  kit_answer *answer);

/* ---- mixtures of experts (check_experts.c) ---- */
typedef enum kit_gating {
    KIT_GATING_SOFTMAX,        /* of all, then chosen */
    KIT_GATING_SOFTMAX_CHOSEN, /* of the chosen alone */
    KIT_GATING_SIGMOID,
    KIT_GATING_COUNT
} kit_gating;
/* scores [T, n_experts], bias [n_experts]; experts and weights [T, n_used] */
typedef struct kit_expert_router {
    int64_t n_experts, n_used;
    double scale;
    kit_gating gating;
    bool normalize, has_bias;
} kit_expert_router;
bool kit_check_expert_router(const kit_node *node, kit_expert_router *out, kit_answer *answer);

/* x [T, k] or [T, n_used, k], w [n_experts, n, k] of any weight type, experts [T, n_used], bias
 * [n_experts, n]; y [T, n_used, n] */
typedef struct kit_expert_linear {
    int64_t n_experts, n, k, n_used;
    bool has_row_each; /* x has a row for each choice */
    bool has_bias;
} kit_expert_linear;
bool kit_check_expert_linear(const kit_node *node, kit_expert_linear *out, kit_answer *answer);

/* x [T, n_used, n], weights [T, n_used]; y [T, n] */
typedef struct kit_expert_sum {
    int64_t n_used, n;
} kit_expert_sum;
bool kit_check_expert_sum(const kit_node *node, kit_expert_sum *out, kit_answer *answer);

/* ---- norms and Softmax (check_norm.c) ---- */
/* RMSNormalization, LayerNormalization and AddRMSNormalization. `inner` elements, those of the
 * dimensions from `axis` on, are normalised together; they lie side by side. */
typedef struct kit_norm {
    uint32_t axis;
    int64_t inner;
    double epsilon;
    bool has_bias; /* LayerNormalization: input 2 */
} kit_norm;
bool kit_check_norm(const kit_node *node, kit_norm *out, kit_answer *answer);
/* inputs x, residual, scale; outputs sum, y */
bool kit_check_add_norm(const kit_node *node, kit_norm *out, kit_answer *answer);

typedef struct kit_softmax {
    uint32_t axis;
} kit_softmax;
bool kit_check_softmax(const kit_node *node, kit_softmax *out, kit_answer *answer);

/* ---- element by element (check_pointwise.c) ---- */
typedef enum kit_unary_kind {
    KIT_UNARY_NEG,
    KIT_UNARY_ABS,
    KIT_UNARY_SQRT,
    KIT_UNARY_EXP,
    KIT_UNARY_LOG,
    KIT_UNARY_ERF,
    KIT_UNARY_TANH,
    KIT_UNARY_SIGMOID,
    KIT_UNARY_RECIPROCAL,
    KIT_UNARY_RELU,
    KIT_UNARY_GELU,
    KIT_UNARY_GELU_TANH,
    KIT_UNARY_SWISH,   /* x * sigmoid(alpha * x); silu is that of alpha 1 */
    KIT_UNARY_SOFTCAP, /* alpha * tanh(x / alpha) */
    KIT_UNARY_CLIP,    /* at least alpha, then at most beta; infinite where not given */
    KIT_UNARY_LEAKY_RELU,
    KIT_UNARY_ELU,
    KIT_UNARY_HARD_SIGMOID, /* alpha * x + beta within 0..1 */
    KIT_UNARY_HARD_SWISH,   /* x times that, alpha 1/6 and beta 1/2 */
    KIT_UNARY_COUNT
} kit_unary_kind;
typedef struct kit_unary {
    kit_unary_kind kind;
    double alpha, beta; /* of the kinds that say so */
} kit_unary;
/* All operators with one input and one output of its shape and type. */
bool kit_check_unary(const kit_node *node, kit_unary *out, kit_answer *answer);

typedef enum kit_binary_kind {
    KIT_BINARY_ADD,
    KIT_BINARY_SUB,
    KIT_BINARY_MUL,
    KIT_BINARY_DIV,
    KIT_BINARY_POW,
    KIT_BINARY_PRELU /* a < 0 ? a * b : a */
} kit_binary_kind;
/* a and b broadcast to y as in numpy. */
typedef struct kit_binary {
    kit_binary_kind kind;
    bool is_integer; /* a, b and y are i32 or i64; else floats, of which b may be another one */
} kit_binary;
bool kit_check_binary(const kit_node *node, kit_binary *out, kit_answer *answer);

/* gate, up and y of one shape; activation(gate) * up */
typedef struct kit_gated {
    kit_unary_kind activation; /* KIT_UNARY_SWISH is with alpha 1 */
} kit_gated;
bool kit_check_gated(const kit_node *node, kit_gated *out, kit_answer *answer);

typedef struct kit_clamped {
    double alpha, limit;
} kit_clamped;
bool kit_check_clamped(const kit_node *node, kit_clamped *out, kit_answer *answer);

typedef struct kit_cast {
    sy_element_type from, to;
} kit_cast;
bool kit_check_cast(const kit_node *node, kit_cast *out, kit_answer *answer);

/* condition bool, a, b: all broadcast to y. */
typedef struct kit_where {
    uint32_t element_bytes;
} kit_where;
bool kit_check_where(const kit_node *node, kit_where *out, kit_answer *answer);

/* ---- the same elements in another shape, in their order (check_view.c) ---- */
typedef struct kit_view {
    uint32_t element_bytes;
} kit_view;
/* Reshape, Squeeze, Unsqueeze, Identity. */
bool kit_check_view(const kit_node *node, kit_view *out, kit_answer *answer);

/* ---- elements in other places (check_move.c); types of whole bytes, whatever they mean ---- */
/* y has the dimensions of the indices, i32 or i64, where the data has its axis. */
typedef struct kit_gather {
    uint32_t axis, element_bytes;
} kit_gather;
bool kit_check_gather(const kit_node *node, kit_gather *out, kit_answer *answer);

/* Dimension i of y is dimension from[i] of x. */
typedef struct kit_transpose {
    uint32_t from[SY_MAX_RANK], element_bytes;
} kit_transpose;
bool kit_check_transpose(const kit_node *node, kit_transpose *out, kit_answer *answer);

/* All inputs, one behind the other along the axis. */
typedef struct kit_concat {
    uint32_t axis, element_bytes;
} kit_concat;
bool kit_check_concat(const kit_node *node, kit_concat *out, kit_answer *answer);

/* Element i of y along an axis is element first + i * step of x. An axis that is cut is fixed. */
typedef struct kit_slice {
    int64_t first[SY_MAX_RANK], step[SY_MAX_RANK];
    uint32_t cut_axes; /* set of the axes along which y is not x; of the others first 0, step 1 */
    uint32_t element_bytes;
} kit_slice;
bool kit_check_slice(const kit_node *node, kit_slice *out, kit_answer *answer);

/* Outputs one behind the other along the axis, which is fixed. */
typedef struct kit_split {
    int64_t sizes[KIT_OUTPUTS_MAX];
    uint32_t axis, element_bytes;
} kit_split;
bool kit_check_split(const kit_node *node, kit_split *out, kit_answer *answer);

/* x broadcasts to y. */
typedef struct kit_expand {
    uint32_t element_bytes;
} kit_expand;
bool kit_check_expand(const kit_node *node, kit_expand *out, kit_answer *answer);

/* ---- products and sums (check_matmul.c, check_reduce.c) ---- */
/* a [.., m, k], b [.., k, n], y [.., m, n]. What is in front broadcasts, n_batch dimensions in y. A
 * vector is a row on the left, a column on the right; y lacks the 1 that this brings. */
typedef struct kit_matmul {
    sy_dimension m, k, n;
    uint32_t n_batch;
} kit_matmul;
bool kit_check_matmul(const kit_node *node, kit_matmul *out, kit_answer *answer);

/* a [m, k] or, transposed, [k, m]; b [k, n] or [n, k]; c broadcasts to y [m, n]. */
typedef struct kit_gemm {
    sy_dimension m, k, n;
    double alpha, beta;
    bool trans_a, trans_b, has_c;
} kit_gemm;
bool kit_check_gemm(const kit_node *node, kit_gemm *out, kit_answer *answer);

typedef enum kit_reduce_kind { KIT_REDUCE_MEAN, KIT_REDUCE_SUM, KIT_REDUCE_MAX } kit_reduce_kind;
typedef struct kit_reduce {
    kit_reduce_kind kind;
    uint32_t axes;   /* set of those that are reduced; may be empty */
    bool keeps;      /* they stay in y, as 1 */
    bool is_integer; /* i32 or i64 */
} kit_reduce;
bool kit_check_reduce(const kit_node *node, kit_reduce *out, kit_answer *answer);

/* ---- the largest elements along a fixed axis (check_choose.c) ---- */
/* y i64: the first of equals, or the last. */
typedef struct kit_arg_max {
    uint32_t axis;
    bool keeps, takes_last; /* the axis stays in y, as 1 */
} kit_arg_max;
bool kit_check_arg_max(const kit_node *node, kit_arg_max *out, kit_answer *answer);

/* Outputs: k values, their indices i64; in falling order or, not is_largest, rising. */
typedef struct kit_top_k {
    uint32_t axis;
    int64_t k;
    bool is_largest;
} kit_top_k;
bool kit_check_top_k(const kit_node *node, kit_top_k *out, kit_answer *answer);

/* ---- images [N, C, W] or [N, C, H, W] (check_image.c); a row of pixels has height 1 ---- */
#define KIT_WINDOW_MOST (1 << 20) /* of every number of a window */
/* Height, then width. */
typedef struct kit_window {
    int64_t kernel[2], stride[2], dilation[2], before[2], after[2]; /* pads in front and behind */
    int64_t in[2], out[2];                                          /* sizes of the images */
} kit_window;

/* w [out_channels, in_channels / n_groups, kernel], of ConvTranspose [in_channels, out_channels /
 * n_groups, kernel]; bias [out_channels] */
typedef struct kit_conv {
    kit_window window;
    int64_t in_channels, out_channels, n_groups;
    bool has_bias;
} kit_conv;
bool kit_check_conv(const kit_node *node, kit_conv *out, kit_answer *answer);
/* Element i of x reaches those from i * stride - before on. The pads are those that output_shape
 * leaves; what no kernel reaches is the bias. */
bool kit_check_conv_transpose(const kit_node *node, kit_conv *out, kit_answer *answer);

/* MaxPool, also of i8 and u8, and AveragePool. */
typedef struct kit_window_pool {
    kit_window window;
    int64_t n_channels;
    bool is_max;
    bool counts_pads; /* a mean divides by the kernel's elements, not by those inside x */
} kit_window_pool;
bool kit_check_window_pool(const kit_node *node, kit_window_pool *out, kit_answer *answer);

/* GlobalMaxPool and GlobalAveragePool: x [N, C, ..], y [N, C, 1, ..] */
typedef struct kit_global_pool {
    bool is_max;
} kit_global_pool;
bool kit_check_global_pool(const kit_node *node, kit_global_pool *out, kit_answer *answer);

/* x [N, C, ..]; scale, bias, mean, variance [C] */
typedef struct kit_batch_norm {
    double epsilon;
} kit_batch_norm;
bool kit_check_batch_norm(const kit_node *node, kit_batch_norm *out, kit_answer *answer);

/* ---- more of images (check_spatial.c) ---- */
typedef enum kit_resize_mode {
    KIT_RESIZE_NEAREST,
    KIT_RESIZE_LINEAR,
    KIT_RESIZE_CUBIC
} kit_resize_mode;
typedef enum kit_resize_rounding {
    KIT_ROUND_PREFER_FLOOR,
    KIT_ROUND_PREFER_CEIL,
    KIT_ROUND_FLOOR,
    KIT_ROUND_CEIL
} kit_resize_rounding;
typedef enum kit_resize_placing {
    KIT_PLACE_HALF_PIXEL,
    KIT_PLACE_PYTORCH_HALF_PIXEL,
    KIT_PLACE_ALIGN_CORNERS,
    KIT_PLACE_ASYMMETRIC
} kit_resize_placing;
/* Height, then width. length: of y, before it is cut to a whole number; 0 with scale 1 where the
 * dimension stays as it is. */
typedef struct kit_resize {
    kit_resize_mode mode;
    kit_resize_rounding rounding; /* of KIT_RESIZE_NEAREST */
    kit_resize_placing placing;
    float scale[2], length[2];
    double cubic_a;
} kit_resize;
bool kit_check_resize(const kit_node *node, kit_resize *out, kit_answer *answer);

typedef enum kit_pad_mode { KIT_PAD_CONSTANT, KIT_PAD_REFLECT, KIT_PAD_EDGE } kit_pad_mode;
typedef struct kit_pad {
    kit_pad_mode mode;
    uint32_t element_bytes;
    int64_t before[SY_MAX_RANK], after[SY_MAX_RANK];
    uint8_t fill[8]; /* one element */
} kit_pad;
bool kit_check_pad(const kit_node *node, kit_pad *out, kit_answer *answer);

/* DepthToSpace, and SpaceToDepth the other way: blocks of size x size. Channel c of element e of a
 * block is channel e * channels + c of the deep side or, is_crd, c * size * size + e. */
typedef struct kit_depth_space {
    int64_t size;
    uint32_t element_bytes;
    bool to_space, is_crd;
} kit_depth_space;
bool kit_check_depth_space(const kit_node *node, kit_depth_space *out, kit_answer *answer);

/* ---- int8 networks (check_quantize.c) ---- */
/* QuantizeLinear, and DequantizeLinear the other way. */
typedef struct kit_quantize {
    sy_element_type stored; /* i8 or u8; where it is the input i32, too */
    bool is_single;         /* one scale; else one for each index of the axis */
    bool has_zero;
    uint32_t axis;
} kit_quantize;
bool kit_check_quantize(const kit_node *node, kit_quantize *out, kit_answer *answer);
bool kit_check_dequantize(const kit_node *node, kit_quantize *out, kit_answer *answer);

/* Elements between neighbours of x along each dimension of y, which x broadcasts to: 0 where x has
 * one element or lacks the dimension. The sizes are those of a job. */
void kit_broadcast_strides(uint32_t rank_x, const int64_t *dims_x, uint32_t rank_y,
                           int64_t out_strides[SY_MAX_RANK]);

#endif
