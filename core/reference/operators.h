/* SPDX-License-Identifier: Apache-2.0 */
/* The functions behind the operator table (operators.c), by file. */
#ifndef SY_REFERENCE_OPERATORS_H
#define SY_REFERENCE_OPERATORS_H

#include "reference/internal.h"

#define SY__INFER(name)                                                                  \
    bool sy__ref_infer_##name(const sy__params *params, const sy__tensor *const *inputs, \
                              uint32_t n_inputs, sy__shape *out_shapes, uint32_t n_outputs)
#define SY__PREPARE(name) bool sy__ref_prepare_##name(sy__facts *facts)
#define SY__RUN(name) sy_status sy__ref_run_##name(const sy__call *call)
#define SY__WORK(name) uint64_t sy__ref_work_##name(const sy__facts *facts, uint32_t n_workers)
#define SY__MACS(name) double sy__ref_macs_##name(const sy__facts *facts)

/* linear.c */
SY__PREPARE(linear);
SY__INFER(linear);
SY__RUN(linear);
SY__WORK(linear);
SY__MACS(linear);
SY__PREPARE(embedding);
SY__INFER(embedding);
SY__RUN(embedding);
SY__WORK(embedding);
/* Sum of x[i] * w[i] in f64; the order depends on n only. */
double sy__ref_dot(const float *x, const float *w, int64_t n);
/* Row i_row of a matrix of n columns as f32, into out_row; type and n were checked at load. */
const float *sy__ref_decode_row(sy_element_type type, const void *rows, uint64_t i_row, uint64_t n,
                                float *out_row);

/* adapter.c */
SY__PREPARE(adapter_linear);
SY__INFER(adapter_linear);
SY__RUN(adapter_linear);
SY__WORK(adapter_linear);
SY__MACS(adapter_linear);

/* matmul.c */
SY__PREPARE(matmul);
SY__INFER(matmul);
SY__RUN(matmul);
SY__MACS(matmul);
SY__PREPARE(gemm);
SY__INFER(gemm);
SY__RUN(gemm);
SY__MACS(gemm);

/* experts.c */
SY__PREPARE(expert_router);
SY__INFER(expert_router);
SY__RUN(expert_router);
SY__WORK(expert_router);
SY__PREPARE(expert_linear);
SY__INFER(expert_linear);
SY__RUN(expert_linear);
SY__WORK(expert_linear);
SY__MACS(expert_linear);
SY__PREPARE(expert_sum);
SY__INFER(expert_sum);
SY__RUN(expert_sum);

/* attention.c */
SY__PREPARE(attention);
SY__INFER(attention);
SY__RUN(attention);
SY__WORK(attention);
SY__MACS(attention);

/* causal_conv.c */
SY__PREPARE(causal_convolution);
SY__INFER(causal_convolution);
SY__RUN(causal_convolution);
SY__WORK(causal_convolution);

/* rotary.c */
SY__PREPARE(rotary);
SY__INFER(rotary);
SY__RUN(rotary);
SY__WORK(rotary);

/* norm.c */
SY__PREPARE(rms_norm);
SY__PREPARE(layer_norm);
SY__PREPARE(add_rms_norm);
SY__INFER(norm);
SY__INFER(add_rms_norm);
SY__RUN(norm);
SY__RUN(add_rms_norm);
SY__PREPARE(softmax);
SY__RUN(softmax);

/* elementwise.c; variants */
enum {
    SY__UNARY_NEG,
    SY__UNARY_ABS,
    SY__UNARY_SQRT,
    SY__UNARY_EXP,
    SY__UNARY_LOG,
    SY__UNARY_ERF,
    SY__UNARY_TANH,
    SY__UNARY_SIGMOID,
    SY__UNARY_RECIPROCAL,
    SY__UNARY_RELU,
    SY__UNARY_GELU,
    SY__UNARY_GELU_TANH,
    SY__UNARY_SWISH,
    SY__UNARY_SOFTCAP,
    SY__UNARY_CLIP,
    SY__UNARY_LEAKY_RELU,
    SY__UNARY_ELU,
    SY__UNARY_HARD_SIGMOID,
    SY__UNARY_HARD_SWISH
};
enum {
    SY__BINARY_ADD,
    SY__BINARY_SUB,
    SY__BINARY_MUL,
    SY__BINARY_DIV,
    SY__BINARY_POW,
    SY__BINARY_PRELU
};
SY__PREPARE(unary);
SY__RUN(unary);
SY__PREPARE(clip);
SY__INFER(prelu);
SY__PREPARE(gated);
SY__INFER(gated);
SY__RUN(gated);
SY__PREPARE(clamped);
SY__RUN(clamped);
SY__PREPARE(binary);
SY__INFER(broadcast);
SY__RUN(binary);
SY__PREPARE(cast);
SY__RUN(cast);

/* conv.c, pool.c (variants SY__REDUCE_MEAN, SY__REDUCE_MAX), batch_norm.c, quantize.c */
SY__PREPARE(conv);
SY__INFER(conv);
SY__RUN(conv);
SY__MACS(conv);
SY__PREPARE(conv_transpose);
SY__INFER(conv_transpose);
SY__RUN(conv_transpose);
SY__MACS(conv_transpose);
SY__PREPARE(max_pool);
SY__PREPARE(average_pool);
SY__INFER(pool);
SY__RUN(pool);
SY__MACS(pool);
SY__PREPARE(global_pool);
SY__INFER(global_pool);
SY__RUN(global_pool);
SY__MACS(global_pool);
SY__PREPARE(batch_norm);
SY__INFER(batch_norm);
SY__RUN(batch_norm);
SY__PREPARE(quantize);
SY__PREPARE(dequantize);
SY__INFER(quantize);
SY__RUN(quantize);
SY__RUN(dequantize);

/* reduce.c */
enum { SY__REDUCE_MEAN, SY__REDUCE_SUM, SY__REDUCE_MAX };
SY__PREPARE(reduce);
SY__INFER(reduce);
SY__RUN(reduce);
SY__MACS(reduce);

/* resize.c */
SY__PREPARE(resize);
SY__INFER(resize);
SY__RUN(resize);

/* pad.c */
SY__PREPARE(pad);
SY__INFER(pad);
SY__RUN(pad);
SY__PREPARE(depth_to_space);
SY__INFER(depth_to_space);
SY__RUN(depth_to_space);
SY__PREPARE(space_to_depth);
SY__INFER(space_to_depth);
SY__RUN(space_to_depth);

/* choose.c */
SY__PREPARE(arg_max);
SY__INFER(arg_max);
SY__RUN(arg_max);
SY__PREPARE(top_k);
SY__INFER(top_k);
SY__RUN(top_k);
SY__WORK(top_k);
SY__MACS(choose);

/* view_ops.c: the same bytes under another shape */
SY__PREPARE(identity);
SY__PREPARE(reshape);
SY__INFER(reshape);
SY__PREPARE(squeeze);
SY__INFER(squeeze);
SY__PREPARE(unsqueeze);
SY__INFER(unsqueeze);
SY__RUN(view);

/* move_ops.c: elements in another order */
SY__PREPARE(transpose);
SY__INFER(transpose);
SY__RUN(transpose);
SY__PREPARE(concat);
SY__INFER(concat);
SY__RUN(concat);
SY__PREPARE(split);
SY__INFER(split);
SY__RUN(split);
SY__PREPARE(expand);
SY__INFER(expand);
SY__RUN(expand);
SY__PREPARE(where);
SY__INFER(where);
SY__RUN(where);
SY__PREPARE(gather);
SY__INFER(gather);
SY__RUN(gather);

/* slice.c */
SY__PREPARE(slice);
SY__INFER(slice);
SY__RUN(slice);

#endif
