/* SPDX-License-Identifier: Apache-2.0 */
/* The table of docs/operators.md. */
#include "reference/operators.h"

#include <string.h>

#define OURS .domain = "switchyard", .version = 1
#define ONNX(opset) .domain = "", .version = (opset)
#define COUNTS(in_min, in_max, out_n) \
    .min_inputs = (in_min), .max_inputs = (in_max), .min_outputs = (out_n), .max_outputs = (out_n)
#define USES(part) \
    .prepare = sy__ref_prepare_##part, .infer = sy__ref_infer_##part, .run = sy__ref_run_##part
#define UNARY(op_name, opset, which)                                                \
    {                                                                               \
        ONNX(opset), .name = (op_name), COUNTS(1, 1, 1), .variant = (which),        \
                     .prepare = sy__ref_prepare_unary, .infer = sy__ref_infer_same, \
                     .run = sy__ref_run_unary                                       \
    }
#define BINARY(op_name, opset, which)                                                     \
    {                                                                                     \
        ONNX(opset), .name = (op_name), COUNTS(2, 2, 1), .variant = (which),              \
                     .prepare = sy__ref_prepare_binary, .infer = sy__ref_infer_broadcast, \
                     .run = sy__ref_run_binary                                            \
    }
#define POOL(op_name, opset, which, part, shape)                                        \
    {                                                                                   \
        ONNX(opset), .name = (op_name), COUNTS(1, 1, 1), .variant = (which),            \
                     .prepare = sy__ref_prepare_##part, .infer = sy__ref_infer_##shape, \
                     .run = sy__ref_run_##shape, .n_macs = sy__ref_macs_##shape         \
    }
#define REDUCE(op_name, opset, which)                                                      \
    {                                                                                      \
        ONNX(opset), .name = (op_name), COUNTS(1, 2, 1), .variant = (which), USES(reduce), \
                     .n_macs = sy__ref_macs_reduce                                         \
    }
#define VIEW(op_name, opset, part, in_min, in_max)                                     \
    {                                                                                  \
        ONNX(opset), .name = (op_name), COUNTS(in_min, in_max, 1), .is_view = true,    \
                     .prepare = sy__ref_prepare_##part, .infer = sy__ref_infer_##part, \
                     .run = sy__ref_run_view                                           \
    }

static const sy__operator table[] = {
    {OURS, .name = "Linear", COUNTS(2, 3, 1), USES(linear), .work_bytes = sy__ref_work_linear,
     .n_macs = sy__ref_macs_linear},
    {OURS, .name = "Embedding", COUNTS(2, 2, 1), USES(embedding), .is_lookup = true,
     .work_bytes = sy__ref_work_embedding},
    {OURS, .name = "RotaryEmbedding", COUNTS(3, 3, 1), USES(rotary),
     .work_bytes = sy__ref_work_rotary},
    {OURS, .name = "Attention", COUNTS(1, 6, 1), USES(attention), .needs_sequences = true,
     .work_bytes = sy__ref_work_attention, .n_macs = sy__ref_macs_attention},
    {OURS, .name = "CausalConvolution", COUNTS(3, 3, 1), USES(causal_convolution),
     .needs_sequences = true, .work_bytes = sy__ref_work_causal_convolution},
    {OURS, .name = "ExpertRouter", COUNTS(1, 2, 2), USES(expert_router),
     .work_bytes = sy__ref_work_expert_router},
    {OURS, .name = "ExpertLinear", COUNTS(3, 4, 1), USES(expert_linear),
     .work_bytes = sy__ref_work_expert_linear, .n_macs = sy__ref_macs_expert_linear},
    {OURS, .name = "ExpertSum", COUNTS(2, 2, 1), USES(expert_sum)},
    {OURS, .name = "AdapterLinear", COUNTS(2, 3, 1), USES(adapter_linear), .uses_adapters = true,
     .work_bytes = sy__ref_work_adapter_linear, .n_macs = sy__ref_macs_adapter_linear},
    {OURS, .name = "GatedActivation", COUNTS(2, 2, 1), USES(gated)},
    {OURS, .name = "ClampedSwiGLU", COUNTS(2, 2, 1), .prepare = sy__ref_prepare_clamped,
     .infer = sy__ref_infer_gated, .run = sy__ref_run_clamped},
    {OURS, .name = "AddRMSNormalization", COUNTS(3, 3, 2), USES(add_rms_norm)},
    {OURS, .name = "Softcap", COUNTS(1, 1, 1), .variant = SY__UNARY_SOFTCAP,
     .prepare = sy__ref_prepare_unary, .infer = sy__ref_infer_same, .run = sy__ref_run_unary},
    BINARY("Add", 14, SY__BINARY_ADD),
    BINARY("Sub", 14, SY__BINARY_SUB),
    BINARY("Mul", 14, SY__BINARY_MUL),
    BINARY("Div", 14, SY__BINARY_DIV),
    BINARY("Pow", 15, SY__BINARY_POW),
    UNARY("Neg", 13, SY__UNARY_NEG),
    UNARY("Abs", 13, SY__UNARY_ABS),
    UNARY("Sqrt", 13, SY__UNARY_SQRT),
    UNARY("Exp", 13, SY__UNARY_EXP),
    UNARY("Log", 13, SY__UNARY_LOG),
    UNARY("Erf", 13, SY__UNARY_ERF),
    UNARY("Tanh", 13, SY__UNARY_TANH),
    UNARY("Sigmoid", 13, SY__UNARY_SIGMOID),
    UNARY("Reciprocal", 13, SY__UNARY_RECIPROCAL),
    UNARY("Relu", 14, SY__UNARY_RELU),
    UNARY("Gelu", 20, SY__UNARY_GELU),
    UNARY("Swish", 24, SY__UNARY_SWISH),
    UNARY("LeakyRelu", 16, SY__UNARY_LEAKY_RELU),
    UNARY("Elu", 22, SY__UNARY_ELU),
    UNARY("HardSigmoid", 22, SY__UNARY_HARD_SIGMOID),
    UNARY("HardSwish", 22, SY__UNARY_HARD_SWISH),
    {ONNX(13), .name = "Clip", COUNTS(1, 3, 1), .variant = SY__UNARY_CLIP,
     .prepare = sy__ref_prepare_clip, .infer = sy__ref_infer_same, .run = sy__ref_run_unary},
    {ONNX(16), .name = "PRelu", COUNTS(2, 2, 1), .variant = SY__BINARY_PRELU,
     .prepare = sy__ref_prepare_binary, .infer = sy__ref_infer_prelu, .run = sy__ref_run_binary},
    {ONNX(22), .name = "Conv", COUNTS(2, 3, 1), USES(conv), .n_macs = sy__ref_macs_conv},
    {ONNX(22), .name = "ConvTranspose", COUNTS(2, 3, 1), USES(conv_transpose),
     .n_macs = sy__ref_macs_conv_transpose},
    POOL("MaxPool", 22, SY__REDUCE_MAX, max_pool, pool),
    POOL("AveragePool", 22, SY__REDUCE_MEAN, average_pool, pool),
    POOL("GlobalMaxPool", 22, SY__REDUCE_MAX, global_pool, global_pool),
    POOL("GlobalAveragePool", 22, SY__REDUCE_MEAN, global_pool, global_pool),
    {ONNX(19), .name = "Resize", COUNTS(1, 4, 1), USES(resize)},
    {ONNX(24), .name = "Pad", COUNTS(2, 4, 1), USES(pad)},
    {ONNX(13), .name = "DepthToSpace", COUNTS(1, 1, 1), USES(depth_to_space)},
    {ONNX(13), .name = "SpaceToDepth", COUNTS(1, 1, 1), USES(space_to_depth)},
    {ONNX(15), .name = "BatchNormalization", COUNTS(5, 5, 1), USES(batch_norm)},
    {ONNX(21), .name = "QuantizeLinear", COUNTS(2, 3, 1), USES(quantize)},
    {ONNX(21), .name = "DequantizeLinear", COUNTS(2, 3, 1), .prepare = sy__ref_prepare_dequantize,
     .infer = sy__ref_infer_quantize, .run = sy__ref_run_dequantize},
    {ONNX(13), .name = "Softmax", COUNTS(1, 1, 1), .prepare = sy__ref_prepare_softmax,
     .infer = sy__ref_infer_same, .run = sy__ref_run_softmax},
    {ONNX(13), .name = "MatMul", COUNTS(2, 2, 1), USES(matmul), .n_macs = sy__ref_macs_matmul},
    {ONNX(13), .name = "Gemm", COUNTS(2, 3, 1), USES(gemm), .n_macs = sy__ref_macs_gemm},
    {ONNX(23), .name = "RMSNormalization", COUNTS(2, 2, 1), .prepare = sy__ref_prepare_rms_norm,
     .infer = sy__ref_infer_norm, .run = sy__ref_run_norm},
    {ONNX(17), .name = "LayerNormalization", COUNTS(2, 3, 1), .prepare = sy__ref_prepare_layer_norm,
     .infer = sy__ref_infer_norm, .run = sy__ref_run_norm},
    REDUCE("ReduceMean", 18, SY__REDUCE_MEAN),
    REDUCE("ReduceSum", 13, SY__REDUCE_SUM),
    REDUCE("ReduceMax", 20, SY__REDUCE_MAX),
    {ONNX(13), .name = "ArgMax", COUNTS(1, 1, 1), USES(arg_max), .n_macs = sy__ref_macs_choose},
    {ONNX(24), .name = "TopK", COUNTS(2, 2, 2), USES(top_k), .work_bytes = sy__ref_work_top_k,
     .n_macs = sy__ref_macs_choose},
    {ONNX(13), .name = "Gather", COUNTS(2, 2, 1), USES(gather), .is_lookup = true},
    VIEW("Reshape", 14, reshape, 2, 2),
    {ONNX(13), .name = "Transpose", COUNTS(1, 1, 1), USES(transpose)},
    {ONNX(13), .name = "Concat", COUNTS(1, SY__MAX_INPUTS, 1), USES(concat)},
    {ONNX(13), .name = "Slice", COUNTS(3, 5, 1), USES(slice), .is_lookup = true},
    {ONNX(18), .name = "Split", .min_inputs = 1, .max_inputs = 2, .min_outputs = 1,
     .max_outputs = SY__MAX_OUTPUTS, USES(split)},
    VIEW("Squeeze", 13, squeeze, 1, 2),
    VIEW("Unsqueeze", 13, unsqueeze, 2, 2),
    {ONNX(13), .name = "Cast", COUNTS(1, 1, 1), .prepare = sy__ref_prepare_cast,
     .infer = sy__ref_infer_same, .run = sy__ref_run_cast},
    {ONNX(13), .name = "Identity", COUNTS(1, 1, 1), .is_view = true,
     .prepare = sy__ref_prepare_identity, .infer = sy__ref_infer_same, .run = sy__ref_run_view},
    {ONNX(16), .name = "Where", COUNTS(3, 3, 1), USES(where)},
    {ONNX(13), .name = "Expand", COUNTS(2, 2, 1), USES(expand)},
};

const sy__operator *sy__ref_operator_find(const char *domain, const char *name, uint32_t version,
                                          uint32_t *out_known_version) {
    *out_known_version = 0;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(table[i].name, name) == 0 && strcmp(table[i].domain, domain) == 0) {
            *out_known_version = table[i].version;
            return table[i].version == version ? &table[i] : NULL;
        }
    }
    return NULL;
}
