/* SPDX-License-Identifier: Apache-2.0 */
/* Every operator of docs/operators.md, in the types of that page. */
#include "conform/case_build.h"

#include "switchyard/types.h"

#include <stdio.h>
#include <string.h>

#define FLOATS "f32 f16 bf16"
#define NUMBERS "f32 f16 bf16 i32 i64"
#define WEIGHTS                                                                                \
    "f32 f16 bf16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K Q8_K IQ4_NL IQ4_XS MXFP4 " \
    "IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S IQ1_S IQ1_M TQ1_0 TQ2_0 NVFP4 Q1_0 Q2_0"
#define PLAIN_TYPES "f32 f16 bf16 i8 u8 i32 i64 bool"
#define OURS(name, types, n_shapes, part) \
    { "switchyard", name, 1, types, n_shapes, sy__build_##part, 0, 0, 0 }
#define ONNX(name, opset, types, n_shapes, part) \
    { "", name, opset, types, n_shapes, sy__build_##part, 0, 0, 0 }
#define RANGED(name, opset, types, n_shapes, part, low, high) \
    { "", name, opset, types, n_shapes, sy__build_##part, low, high, 0 }

static const sy__case_row rows[] = {
    OURS("Linear", WEIGHTS, 6, linear),
    OURS("Embedding", WEIGHTS, 2, embedding),
    OURS("AdapterLinear", "f32", 2, adapter_linear),
    OURS("RotaryEmbedding", FLOATS, 3, rotary),
    {"switchyard", "Attention", 1, "f32 f16 bf16 Q8_0 Q4_0", 8, sy__build_attention, 0, 0, 1e-4},
    OURS("GatedActivation", FLOATS, 5, gated),
    OURS("ClampedSwiGLU", FLOATS, 2, clamped),
    OURS("CausalConvolution", "f32 f16 bf16 Q8_0", 2, causal_convolution),
    OURS("ExpertRouter", FLOATS, 4, expert_router),
    OURS("ExpertLinear", WEIGHTS, 4, expert_linear),
    OURS("ExpertSum", FLOATS, 2, expert_sum),
    OURS("AddRMSNormalization", FLOATS, 4, norm),
    OURS("Softcap", FLOATS, 4, unary),
    ONNX("Add", 14, NUMBERS, 6, binary),
    ONNX("Sub", 14, NUMBERS, 6, binary),
    ONNX("Mul", 14, NUMBERS, 6, binary),
    RANGED("Div", 14, NUMBERS, 6, binary, 1, 30),
    RANGED("Pow", 15, FLOATS, 6, binary, 0.1, 2),
    ONNX("Neg", 13, FLOATS, 4, unary),
    ONNX("Abs", 13, FLOATS, 4, unary),
    RANGED("Sqrt", 13, FLOATS, 4, unary, 0, 9),
    ONNX("Exp", 13, FLOATS, 4, unary),
    RANGED("Log", 13, FLOATS, 4, unary, 0.01, 9),
    ONNX("Erf", 13, FLOATS, 4, unary),
    ONNX("Tanh", 13, FLOATS, 4, unary),
    ONNX("Sigmoid", 13, FLOATS, 4, unary),
    RANGED("Reciprocal", 13, FLOATS, 4, unary, 0.5, 9),
    ONNX("Relu", 14, FLOATS, 4, unary),
    ONNX("Gelu", 20, FLOATS, 4, unary),
    ONNX("Swish", 24, FLOATS, 4, unary),
    ONNX("Softmax", 13, FLOATS, 4, unary),
    ONNX("MatMul", 13, FLOATS, 3, matmul),
    ONNX("Gemm", 13, FLOATS, 4, gemm),
    ONNX("RMSNormalization", 23, FLOATS, 4, norm),
    ONNX("LayerNormalization", 17, FLOATS, 5, norm),
    ONNX("ReduceMean", 18, FLOATS, 3, reduce),
    ONNX("ReduceSum", 13, FLOATS, 3, reduce),
    ONNX("ReduceMax", 20, FLOATS, 3, reduce),
    ONNX("Gather", 13, NUMBERS, 2, gather),
    ONNX("Reshape", 14, NUMBERS, 2, reshape),
    ONNX("Transpose", 13, NUMBERS, 2, transpose),
    ONNX("Concat", 13, NUMBERS, 2, concat),
    ONNX("Slice", 13, NUMBERS, 4, slice),
    ONNX("Split", 18, NUMBERS, 2, split),
    ONNX("Squeeze", 13, NUMBERS, 1, squeeze),
    ONNX("Unsqueeze", 13, NUMBERS, 1, squeeze),
    RANGED("Cast", 13, PLAIN_TYPES, 8, cast, 0, 100),
    RANGED("Identity", 13, PLAIN_TYPES, 4, unary, 0, 100),
    ONNX("Where", 16, NUMBERS, 1, where),
    ONNX("Expand", 13, NUMBERS, 1, expand),
    RANGED("ArgMax", 13, NUMBERS, 4, arg_max, -40, 40),
    RANGED("TopK", 24, NUMBERS, 4, top_k, -40, 40),
    ONNX("Conv", 22, FLOATS, 5, conv),
    ONNX("ConvTranspose", 22, FLOATS, 5, conv_transpose),
    RANGED("MaxPool", 22, "f32 f16 bf16 i8 u8", 3, pool, 0, 100),
    ONNX("AveragePool", 22, FLOATS, 3, pool),
    ONNX("GlobalMaxPool", 22, FLOATS, 2, global_pool),
    ONNX("GlobalAveragePool", 22, FLOATS, 2, global_pool),
    RANGED("Resize", 19, "f32 f16 bf16 i8 u8", 8, resize, 0, 100),
    ONNX("Pad", 24, NUMBERS, 4, pad),
    ONNX("DepthToSpace", 13, NUMBERS, 2, depth_space),
    ONNX("SpaceToDepth", 13, NUMBERS, 1, depth_space),
    ONNX("Clip", 13, FLOATS, 3, clip),
    ONNX("LeakyRelu", 16, FLOATS, 4, unary),
    ONNX("Elu", 22, FLOATS, 4, unary),
    ONNX("HardSigmoid", 22, FLOATS, 4, unary),
    RANGED("HardSwish", 22, FLOATS, 4, unary, -5, 5),
    ONNX("PRelu", 16, FLOATS, 2, prelu),
    ONNX("BatchNormalization", 15, FLOATS, 2, batch_norm),
    ONNX("QuantizeLinear", 21, "i8 u8", 3, quantize),
    RANGED("DequantizeLinear", 21, "i8 u8 i32", 3, quantize, -100, 100),
};

uint32_t sy__case_n_rows(void) {
    return sizeof(rows) / sizeof(rows[0]);
}

/* The i-th name of a list, or NULL. */
static const char *nth_word(const char *words, uint32_t i, size_t *out_n) {
    for (;; i--) {
        *out_n = strcspn(words, " ");
        if (i == 0 || words[*out_n] == '\0') {
            return i == 0 ? words : NULL;
        }
        words += *out_n + 1;
    }
}

uint32_t sy__case_n_types(uint32_t i_row) {
    uint32_t n = 0;
    size_t n_word = 0;
    while (nth_word(rows[i_row].types, n, &n_word) != NULL) {
        n++;
    }
    return n;
}

uint32_t sy__case_n_shapes(uint32_t i_row) {
    return rows[i_row].n_shapes;
}

static sy_element_type type_at(const sy__case_row *row, uint32_t i_type) {
    char name[16];
    size_t n = 0;
    const char *word = nth_word(row->types, i_type, &n);
    if (word == NULL || n >= sizeof(name)) {
        return SY_TYPE_INVALID;
    }
    memcpy(name, word, n);
    name[n] = '\0';
    return sy_type_find(name);
}

/* Results are rounded once to their type; weights in blocks may meet activations of 8 bits. */
static double tolerance_of(const sy__case_row *row, sy_element_type type,
                           sy_element_type output_type) {
    const sy_type_facts *facts = sy_type_get(type);
    double least = row->tolerance > 0 ? row->tolerance : 2e-5;
    bool is_product = strcmp(row->op, "Linear") == 0 || strcmp(row->op, "ExpertLinear") == 0;
    if (is_product && facts->is_block != 0) {
        least = 2e-2;
    } else if (is_product && type != SY_TYPE_F32) {
        least = 2e-3;
    } else if (facts->is_block != 0 && strcmp(row->op, "Attention") == 0) {
        least = 1e-2; /* rows of states are rounded to blocks */
    }
    switch (output_type) {
    case SY_TYPE_F32:
        return least;
    case SY_TYPE_F16:
        return least > 2e-3 ? least : 2e-3;
    case SY_TYPE_BF16:
        return least > 1.6e-2 ? least : 1.6e-2;
    default:
        return 0;
    }
}

/* "Linear Q4_K: [5, 512] f32, [7, 512] Q4_K" */
static void name_case(sy__case *self, const sy__case_row *row, sy_element_type type) {
    int n = snprintf(self->name, sizeof(self->name), "%s %s:", row->op, sy_type_get(type)->name);
    const sy_node_view *node = &self->graph.nodes[0];
    for (uint32_t i = 0; i < node->n_inputs && n < (int)sizeof(self->name) - 40; i++) {
        if (node->inputs[i] == SY_NO_VALUE) {
            continue;
        }
        const sy_value_view *value = &self->graph.values[node->inputs[i]];
        n += snprintf(self->name + n, sizeof(self->name) - (size_t)n, "%s %s[", i > 0 ? "," : "",
                      value->kind == SY_VALUE_STATE ? "state " : "");
        for (uint32_t d = 0; d < value->rank && n < (int)sizeof(self->name) - 30; d++) {
            n += snprintf(self->name + n, sizeof(self->name) - (size_t)n, "%s%lld",
                          d > 0 ? ", " : "", (long long)value->dims[d].bound);
        }
        n += snprintf(self->name + n, sizeof(self->name) - (size_t)n, "] %s",
                      sy_type_get(value->type)->name);
    }
}

bool sy__case_init(sy__case *self, uint32_t i_row, uint32_t i_type, uint32_t i_shape,
                   int64_t n_tokens) {
    const sy__case_row *row = &rows[i_row];
    sy_element_type type = type_at(row, i_type);
    sy_error error;
    memset(self, 0, sizeof(*self));
    sy_test_graph_init(&self->graph);
    sy__arena_init(&self->arena, NULL, 1 << 16);
    self->op = row->op;
    self->n_tokens = n_tokens;
    self->low = row->low == row->high ? -2 : row->low;
    self->high = row->low == row->high ? 2 : row->high;
    self->random = 88172645463325252u + i_row * 1000u + i_type * 50u + i_shape;
    self->past = 5;
    if (type == SY_TYPE_INVALID || !row->build(self, row, type, i_shape) || self->is_failed ||
        sy_test_graph_finish(&self->graph, &error) != SY_OK) {
        return false;
    }
    name_case(self, row, type);
    uint32_t last = self->outputs[self->n_outputs - 1]; /* integers differ by more than any of it */
    self->tolerance = tolerance_of(row, type, self->graph.values[last].type);
    return true;
}

void sy__case_deinit(sy__case *self) {
    sy_test_graph_deinit(&self->graph);
    sy__arena_deinit(&self->arena);
}
