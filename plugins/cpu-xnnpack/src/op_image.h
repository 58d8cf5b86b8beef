/* SPDX-License-Identifier: Apache-2.0 */
/* What image networks use, read from nodes: for judging, and for the XNNPACK graphs in which the
 * nodes run. A node of these alone in a segment is a graph of one. */
#ifndef CPU_OP_IMAGE_H
#define CPU_OP_IMAGE_H

#include "xnnpack_adapter.h"

typedef enum cpu_image_kind {
    CPU_IMAGE_CONV,
    CPU_IMAGE_MAX_POOL,
    CPU_IMAGE_AVERAGE_POOL,
    CPU_IMAGE_GLOBAL_AVERAGE,
    CPU_IMAGE_BATCH_NORM,
    CPU_IMAGE_CLAMP, /* Clip, Relu */
    CPU_IMAGE_UNARY,
    CPU_IMAGE_HARD_SIGMOID,
    CPU_IMAGE_BINARY, /* PRelu too */
    CPU_IMAGE_SOFTMAX,
    CPU_IMAGE_PRODUCT, /* Gemm, MatMul and Linear with a constant matrix */
    CPU_IMAGE_RESHAPE,
    CPU_IMAGE_CONCAT,
    CPU_IMAGE_QUANTIZE,
    CPU_IMAGE_DEQUANTIZE
} cpu_image_kind;

typedef struct cpu_image_node {
    cpu_image_kind kind;
    cpu_xnn_window window;
    uint32_t n_groups;
    cpu_xnn_limits limits;
    cpu_xnn_unary unary;
    cpu_xnn_binary binary;
    float alpha, beta; /* BATCH_NORM: alpha is the epsilon */
    bool counts_pads;  /* AVERAGE_POOL */
    bool transposed;   /* PRODUCT: the matrix is [outputs, inputs] */
    uint32_t axis;     /* CONCAT: in channels-last order */
    bool is_anchor;    /* no other kernel here runs it */
    bool is_batched;   /* the first dimension has a symbol: pictures run one by one */
    sy_dimension batch;
    double n_macs;
} cpu_image_node;

/* A constant: bytes of a weight, or of an int8 weight behind a DequantizeLinear. */
typedef struct cpu_constant {
    sy_value_view value;
    bool is_quantised;
    sy_value_view scale, zero; /* f32; the value's type */
    bool has_zero;
    int64_t axis; /* of the scales, when there is more than one */
} cpu_constant;

/* False when the value is computed at run time. */
bool cpu_constant_find(const sy_graph_view *graph, uint32_t i_value, cpu_constant *out);
/* Scale and zero point of an element. */
float cpu_constant_scale(const cpu_constant *constant, uint64_t i_channel);
int32_t cpu_constant_zero(const cpu_constant *constant, uint64_t i_channel);
uint64_t cpu_constant_scales(const cpu_constant *constant); /* how many */

/* Whether XNNPACK runs the node, with fixed shapes but for the first dimension, and f32
 * arithmetic, and how. */
bool cpu_image_read(const sy_device *device, const kit_node *node, cpu_image_node *out,
                    kit_answer *answer);

/* The same as the check of an operator, with the work counted. */
bool cpu_image_check(const sy_device *device, const kit_node *node, kit_answer *answer);

/* The operators that run in XNNPACK graphs alone, and the two that quantise. */
extern const cpu_operator cpu_operators_image[], cpu_operators_quantize[];

#endif
