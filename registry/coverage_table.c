/* SPDX-License-Identifier: Apache-2.0 */
/* One small example of every operator of docs/operators.md, by type: what coverage asks about. */
#include "coverage.h"

#define FLOATS "f32 f16 bf16"
#define NUMBERS "f32 f16 bf16 i32 i64"
#define WEIGHTS                                                                                \
    "f32 f16 bf16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K Q8_K IQ4_NL IQ4_XS MXFP4 " \
    "IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S IQ1_S IQ1_M TQ1_0 TQ2_0 NVFP4 Q1_0 Q2_0"

#define PLAIN_TYPES "f32 f16 bf16 i8 u8 i32 i64 bool"

#define INT(key, number) \
    { .name = (key), .type = SY_ATTRIBUTE_INT, .count = 1, .value.i = (number) }
#define FLOAT(key, number) \
    { .name = (key), .type = SY_ATTRIBUTE_FLOAT, .count = 1, .value.f = (number) }

static const int64_t transposed[] = {1, 0}, window[] = {2, 2};
static const sy_attribute rotary[] = {INT("num_heads", 4)};
static const sy_attribute attention[] = {INT("num_heads", 4), INT("num_kv_heads", 4)};
static const sy_attribute gated[] = {
    {.name = "activation", .type = SY_ATTRIBUTE_STRING, .count = 4, .value.s = "silu"}};
static const sy_attribute limit[] = {FLOAT("limit", 7)};
static const sy_attribute router[] = {
    {.name = "gating", .type = SY_ATTRIBUTE_STRING, .count = 7, .value.s = "softmax"},
    INT("num_used", 2)};
static const sy_attribute epsilon[] = {FLOAT("epsilon", 1e-6)};
static const sy_attribute adapter[] = {INT("slot", 0), INT("max_rank", 16)};
static const sy_attribute cap[] = {FLOAT("cap", 30)};
static const sy_attribute axis_1[] = {INT("axis", 1)};
static const sy_attribute perm[] = {
    {.name = "perm", .type = SY_ATTRIBUTE_INTS, .count = 2, .value.ints = transposed}};
static const sy_attribute pool[] = {
    {.name = "kernel_shape", .type = SY_ATTRIBUTE_INTS, .count = 2, .value.ints = window}};
static const sy_attribute blocksize[] = {INT("blocksize", 2)};
static const sy_attribute to_f32[] = {INT("to", 1)}; /* ONNX number of float */

#define ATTRIBUTES(list) (uint32_t)(sizeof(list) / sizeof((list)[0])), (list)
#define PLAIN 0, NULL
#define ONNX(name, opset, types, inputs, ...) \
    { "", name, opset, types, inputs, 1, __VA_ARGS__ }
#define OURS(name, types, inputs, n_outputs, ...) \
    { "switchyard", name, 1, types, inputs, n_outputs, __VA_ARGS__ }

/* Letters of the inputs: see sy__coverage_letter in coverage.c. */
const sy__coverage_row sy__coverage_rows[] = {
    OURS("Linear", WEIGHTS, "fw", 1, PLAIN),
    OURS("Embedding", WEIGHTS, "iw", 1, PLAIN),
    OURS("RotaryEmbedding", FLOATS, "xir", 1, ATTRIBUTES(rotary)),
    OURS("Attention", "f32 f16 bf16 Q8_0 Q4_0", "fffss", 1, ATTRIBUTES(attention)),
    OURS("GatedActivation", FLOATS, "xx", 1, ATTRIBUTES(gated)),
    OURS("ClampedSwiGLU", FLOATS, "xx", 1, ATTRIBUTES(limit)),
    OURS("CausalConvolution", "f32 f16 bf16 Q8_0", "fns", 1, PLAIN),
    OURS("ExpertRouter", FLOATS, "x", 2, ATTRIBUTES(router)),
    OURS("ExpertLinear", WEIGHTS, "fjc", 1, PLAIN),
    OURS("ExpertSum", FLOATS, "lg", 1, PLAIN),
    OURS("AdapterLinear", "f32", "xx", 1, ATTRIBUTES(adapter)),
    OURS("AddRMSNormalization", FLOATS, "xxv", 2, ATTRIBUTES(epsilon)),
    OURS("Softcap", FLOATS, "x", 1, ATTRIBUTES(cap)),
    ONNX("Add", 14, NUMBERS, "xx", PLAIN),
    ONNX("Sub", 14, NUMBERS, "xx", PLAIN),
    ONNX("Mul", 14, NUMBERS, "xx", PLAIN),
    ONNX("Div", 14, NUMBERS, "xx", PLAIN),
    ONNX("Pow", 15, FLOATS, "xx", PLAIN),
    ONNX("Neg", 13, FLOATS, "x", PLAIN),
    ONNX("Abs", 13, FLOATS, "x", PLAIN),
    ONNX("Sqrt", 13, FLOATS, "x", PLAIN),
    ONNX("Exp", 13, FLOATS, "x", PLAIN),
    ONNX("Log", 13, FLOATS, "x", PLAIN),
    ONNX("Erf", 13, FLOATS, "x", PLAIN),
    ONNX("Tanh", 13, FLOATS, "x", PLAIN),
    ONNX("Sigmoid", 13, FLOATS, "x", PLAIN),
    ONNX("Reciprocal", 13, FLOATS, "x", PLAIN),
    ONNX("Relu", 14, FLOATS, "x", PLAIN),
    ONNX("Gelu", 20, FLOATS, "x", PLAIN),
    ONNX("Swish", 24, FLOATS, "x", PLAIN),
    ONNX("Clip", 13, FLOATS, "x", PLAIN),
    ONNX("LeakyRelu", 16, FLOATS, "x", PLAIN),
    ONNX("Elu", 22, FLOATS, "x", PLAIN),
    ONNX("HardSigmoid", 22, FLOATS, "x", PLAIN),
    ONNX("HardSwish", 22, FLOATS, "x", PLAIN),
    ONNX("PRelu", 16, FLOATS, "xu", PLAIN),
    ONNX("Softmax", 13, FLOATS, "x", PLAIN),
    ONNX("MatMul", 13, FLOATS, "xw", PLAIN),
    ONNX("Gemm", 13, FLOATS, "xwu", PLAIN),
    ONNX("RMSNormalization", 23, FLOATS, "xv", ATTRIBUTES(epsilon)),
    ONNX("LayerNormalization", 17, FLOATS, "xvv", ATTRIBUTES(epsilon)),
    ONNX("ReduceMean", 18, FLOATS, "xa", PLAIN),
    ONNX("ReduceSum", 13, FLOATS, "xa", PLAIN),
    ONNX("ReduceMax", 20, FLOATS, "xa", PLAIN),
    ONNX("ArgMax", 13, NUMBERS, "x", ATTRIBUTES(axis_1)),
    {"", "TopK", 24, NUMBERS, "xa", 2, PLAIN},
    ONNX("Conv", 22, FLOATS, "mkt", PLAIN),
    ONNX("MaxPool", 22, "f32 f16 bf16 i8 u8", "m", ATTRIBUTES(pool)),
    ONNX("AveragePool", 22, FLOATS, "m", ATTRIBUTES(pool)),
    ONNX("GlobalMaxPool", 22, FLOATS, "m", PLAIN),
    ONNX("GlobalAveragePool", 22, FLOATS, "m", PLAIN),
    ONNX("ConvTranspose", 22, FLOATS, "mkt", PLAIN),
    ONNX("Resize", 19, "f32 f16 bf16 i8 u8", "m__S", PLAIN),
    ONNX("Pad", 24, PLAIN_TYPES, "xP", PLAIN),
    ONNX("DepthToSpace", 13, PLAIN_TYPES, "m", ATTRIBUTES(blocksize)),
    ONNX("SpaceToDepth", 13, PLAIN_TYPES, "m", ATTRIBUTES(blocksize)),
    ONNX("BatchNormalization", 15, FLOATS, "mtttt", PLAIN),
    ONNX("QuantizeLinear", 21, "i8 u8", "foy", PLAIN),
    ONNX("DequantizeLinear", 21, "i8 u8 i32", "xo", PLAIN),
    ONNX("Gather", 13, NUMBERS, "wi", PLAIN),
    ONNX("Reshape", 14, NUMBERS, "xh", PLAIN),
    ONNX("Transpose", 13, NUMBERS, "x", ATTRIBUTES(perm)),
    ONNX("Concat", 13, NUMBERS, "xx", ATTRIBUTES(axis_1)),
    ONNX("Slice", 13, NUMBERS, "xzea", PLAIN),
    {"", "Split", 18, NUMBERS, "xp", 2, ATTRIBUTES(axis_1)},
    ONNX("Squeeze", 13, NUMBERS, "qa", PLAIN),
    ONNX("Unsqueeze", 13, NUMBERS, "xa", PLAIN),
    ONNX("Cast", 13, PLAIN_TYPES, "x", ATTRIBUTES(to_f32)),
    ONNX("Identity", 13, PLAIN_TYPES, "x", PLAIN),
    ONNX("Where", 16, NUMBERS, "bxx", PLAIN),
    ONNX("Expand", 13, NUMBERS, "xd", PLAIN),
};
const uint32_t sy__coverage_n_rows = sizeof(sy__coverage_rows) / sizeof(sy__coverage_rows[0]);
