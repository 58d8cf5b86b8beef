/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes in tables: what the checks of plugins/kit make of each. */
#ifndef SY_TESTS_PLUGINS_CHECK_ROWS_H
#define SY_TESTS_PLUGINS_CHECK_ROWS_H

#include "node_text.h"

/* Parameters of any operator. */
typedef union any_parameters {
    kit_linear linear;
    kit_embedding embedding;
    kit_adapter_linear adapter_linear;
    kit_rotary rotary;
    kit_attention attention;
    kit_causal_convolution causal_convolution;
    kit_expert_router expert_router;
    kit_expert_linear expert_linear;
    kit_expert_sum expert_sum;
    kit_norm norm;
    kit_softmax softmax;
    kit_unary unary;
    kit_binary binary;
    kit_gated gated;
    kit_clamped clamped;
    kit_cast cast;
    kit_where where;
    kit_view view;
    kit_gather gather;
    kit_transpose transpose;
    kit_concat concat;
    kit_slice slice;
    kit_split split;
    kit_expand expand;
    kit_matmul matmul;
    kit_gemm gemm;
    kit_reduce reduce;
    kit_conv conv;
    kit_window_pool window_pool;
    kit_global_pool global_pool;
    kit_batch_norm batch_norm;
    kit_quantize quantize;
    kit_arg_max arg_max;
    kit_top_k top_k;
    kit_resize resize;
    kit_pad pad;
    kit_depth_space depth_space;
} any_parameters;

/* why NULL: a good node; else a part of what the no must say. */
typedef struct row {
    node_text node;
    const char *why;
} row;

/* Asks the check that belongs to the operator of the node. */
static inline bool ask(const kit_node *node, any_parameters *out, kit_answer *answer) {
#define ASK(OP, NAME, MEMBER)                                \
    if (strcmp(node->view.op, OP) == 0) {                    \
        return kit_check_##NAME(node, &out->MEMBER, answer); \
    }
    ASK("Linear", linear, linear)
    ASK("Embedding", embedding, embedding)
    ASK("AdapterLinear", adapter_linear, adapter_linear)
    ASK("RotaryEmbedding", rotary, rotary)
    ASK("Attention", attention, attention)
    ASK("CausalConvolution", causal_convolution, causal_convolution)
    ASK("ExpertRouter", expert_router, expert_router)
    ASK("ExpertLinear", expert_linear, expert_linear)
    ASK("ExpertSum", expert_sum, expert_sum)
    ASK("RMSNormalization", norm, norm)
    ASK("LayerNormalization", norm, norm)
    ASK("AddRMSNormalization", add_norm, norm)
    ASK("Softmax", softmax, softmax)
    ASK("GatedActivation", gated, gated)
    ASK("ClampedSwiGLU", clamped, clamped)
    ASK("Cast", cast, cast)
    ASK("Where", where, where)
    ASK("Add", binary, binary)
    ASK("Sub", binary, binary)
    ASK("Mul", binary, binary)
    ASK("Div", binary, binary)
    ASK("Pow", binary, binary)
    ASK("PRelu", binary, binary)
    ASK("Reshape", view, view)
    ASK("Squeeze", view, view)
    ASK("Unsqueeze", view, view)
    ASK("Identity", view, view)
    ASK("Gather", gather, gather)
    ASK("Transpose", transpose, transpose)
    ASK("Concat", concat, concat)
    ASK("Slice", slice, slice)
    ASK("Split", split, split)
    ASK("Expand", expand, expand)
    ASK("MatMul", matmul, matmul)
    ASK("Gemm", gemm, gemm)
    ASK("ReduceMean", reduce, reduce)
    ASK("ReduceSum", reduce, reduce)
    ASK("ReduceMax", reduce, reduce)
    ASK("Conv", conv, conv)
    ASK("ConvTranspose", conv_transpose, conv)
    ASK("ArgMax", arg_max, arg_max)
    ASK("TopK", top_k, top_k)
    ASK("Resize", resize, resize)
    ASK("Pad", pad, pad)
    ASK("DepthToSpace", depth_space, depth_space)
    ASK("SpaceToDepth", depth_space, depth_space)
    ASK("MaxPool", window_pool, window_pool)
    ASK("AveragePool", window_pool, window_pool)
    ASK("GlobalMaxPool", global_pool, global_pool)
    ASK("GlobalAveragePool", global_pool, global_pool)
    ASK("BatchNormalization", batch_norm, batch_norm)
    ASK("QuantizeLinear", quantize, quantize)
    ASK("DequantizeLinear", dequantize, quantize)
#undef ASK
    return kit_check_unary(node, &out->unary, answer);
}

static inline void check_row(const row *r) {
    sy_test_graph graph;
    kit_node node;
    kit_answer answer;
    any_parameters parameters;
    memset(&answer, 0, sizeof(answer));
    node_text_read(&r->node, &graph, &node);
    bool good = kit_operator_check(&node, &answer) && ask(&node, &parameters, &answer);
    const char *op = r->node.op, *in = r->node.inputs, *attributes = r->node.attributes;
    if (r->why == NULL) {
        CHECK_TEXT(good, "%s %s %s: %s", op, in, attributes, answer.why);
        CHECK_TEXT(answer.reason == SY_REASON_NONE, "%s %s", op, in);
    } else {
        CHECK_TEXT(!good, "%s %s %s passes", op, in, attributes);
        CHECK_TEXT(answer.support == SY_SUPPORT_NO && answer.reason != SY_REASON_NONE, "%s", op);
        CHECK_TEXT(strstr(answer.why, r->why) != NULL, "%s %s %s: %s, not %s", op, in, attributes,
                   answer.why, r->why);
    }
    sy_test_graph_deinit(&graph);
}

#define CHECK_ROWS(rows)                                                      \
    for (size_t i_row = 0; i_row < sizeof(rows) / sizeof(rows[0]); i_row++) { \
        check_row(&(rows)[i_row]);                                            \
    }

/* Parameters and work of a good node. */
static inline any_parameters parse(node_text text, kit_answer *answer) {
    sy_test_graph graph;
    kit_node node;
    any_parameters parameters;
    memset(answer, 0, sizeof(*answer));
    memset(&parameters, 0xff, sizeof(parameters));
    node_text_read(&text, &graph, &node);
    CHECK_TEXT(kit_operator_check(&node, answer) && ask(&node, &parameters, answer), "%s: %s",
               text.op, answer->why);
    sy_test_graph_deinit(&graph);
    return parameters;
}

#endif
