/* SPDX-License-Identifier: Apache-2.0 */
/* The table of docs/operators.md, and what the checks of its operators share. */
#include "check_shared.h"

#include <string.h>

typedef struct signature {
    const char *domain, *name;
    uint32_t version;
    uint32_t n_in_least, n_in_most, n_out_least, n_out_most;
} signature;

#define OURS(NAME, LEAST, MOST, N_OUT) \
    { "switchyard", NAME, 1, LEAST, MOST, N_OUT, N_OUT }
#define ONNX(NAME, VERSION, LEAST, MOST) \
    { "", NAME, VERSION, LEAST, MOST, 1, 1 }

static const signature signatures[] = {
    OURS("Linear", 2, 3, 1),
    OURS("Embedding", 2, 2, 1),
    OURS("RotaryEmbedding", 3, 3, 1),
    OURS("Attention", 1, 6, 1),
    OURS("GatedActivation", 2, 2, 1),
    OURS("CausalConvolution", 3, 3, 1),
    OURS("ClampedSwiGLU", 2, 2, 1),
    OURS("ExpertRouter", 1, 2, 2),
    OURS("ExpertLinear", 3, 4, 1),
    OURS("ExpertSum", 2, 2, 1),
    OURS("AddRMSNormalization", 3, 3, 2),
    OURS("AdapterLinear", 2, 3, 1),
    OURS("Softcap", 1, 1, 1),
    ONNX("Add", 14, 2, 2),
    ONNX("Sub", 14, 2, 2),
    ONNX("Mul", 14, 2, 2),
    ONNX("Div", 14, 2, 2),
    ONNX("Pow", 15, 2, 2),
    ONNX("Neg", 13, 1, 1),
    ONNX("Abs", 13, 1, 1),
    ONNX("Sqrt", 13, 1, 1),
    ONNX("Exp", 13, 1, 1),
    ONNX("Log", 13, 1, 1),
    ONNX("Erf", 13, 1, 1),
    ONNX("Tanh", 13, 1, 1),
    ONNX("Sigmoid", 13, 1, 1),
    ONNX("Reciprocal", 13, 1, 1),
    ONNX("Relu", 14, 1, 1),
    ONNX("Gelu", 20, 1, 1),
    ONNX("Swish", 24, 1, 1),
    ONNX("Clip", 13, 1, 3),
    ONNX("LeakyRelu", 16, 1, 1),
    ONNX("Elu", 22, 1, 1),
    ONNX("HardSigmoid", 22, 1, 1),
    ONNX("HardSwish", 22, 1, 1),
    ONNX("PRelu", 16, 2, 2),
    ONNX("Softmax", 13, 1, 1),
    ONNX("MatMul", 13, 2, 2),
    ONNX("Gemm", 13, 2, 3),
    ONNX("RMSNormalization", 23, 2, 2),
    ONNX("LayerNormalization", 17, 2, 3),
    ONNX("ReduceMean", 18, 1, 2),
    ONNX("ReduceSum", 13, 1, 2),
    ONNX("ReduceMax", 20, 1, 2),
    ONNX("ArgMax", 13, 1, 1),
    {"", "TopK", 24, 2, 2, 2, 2},
    ONNX("Conv", 22, 2, 3),
    ONNX("ConvTranspose", 22, 2, 3),
    ONNX("MaxPool", 22, 1, 1),
    ONNX("AveragePool", 22, 1, 1),
    ONNX("GlobalMaxPool", 22, 1, 1),
    ONNX("GlobalAveragePool", 22, 1, 1),
    ONNX("Resize", 19, 1, 4),
    ONNX("Pad", 24, 2, 4),
    ONNX("DepthToSpace", 13, 1, 1),
    ONNX("SpaceToDepth", 13, 1, 1),
    ONNX("BatchNormalization", 15, 5, 5),
    ONNX("QuantizeLinear", 21, 2, 3),
    ONNX("DequantizeLinear", 21, 2, 3),
    ONNX("Gather", 13, 2, 2),
    ONNX("Reshape", 14, 2, 2),
    ONNX("Transpose", 13, 1, 1),
    ONNX("Concat", 13, 1, KIT_INPUTS_MAX),
    ONNX("Slice", 13, 3, 5),
    {"", "Split", 18, 1, 2, 1, KIT_OUTPUTS_MAX},
    ONNX("Squeeze", 13, 1, 2),
    ONNX("Unsqueeze", 13, 2, 2),
    ONNX("Cast", 13, 1, 1),
    ONNX("Identity", 13, 1, 1),
    ONNX("Where", 16, 3, 3),
    ONNX("Expand", 13, 2, 2),
};

bool kit_no_kernel(const kit_node *node, kit_answer *answer) {
    return kit_no(answer, SY_REASON_OPERATOR, "there is no kernel for %.48s", node->view.op);
}

bool kit_operator_check(const kit_node *node, kit_answer *answer) {
    const signature *found = NULL;
    for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]) && found == NULL; i++) {
        const signature *s = &signatures[i];
        bool same =
            strcmp(s->name, node->view.op) == 0 && strcmp(s->domain, node->view.domain) == 0;
        found = same ? s : NULL;
    }
    if (found == NULL) {
        return kit_no_kernel(node, answer);
    }
    if (found->version != node->view.version) {
        return kit_no(answer, SY_REASON_OPERATOR, "version %u is unknown, only %u runs here",
                      node->view.version, found->version);
    }
    bool enough = node->n_in >= found->n_in_least && node->n_in <= found->n_in_most &&
                  node->n_out >= found->n_out_least && node->n_out <= found->n_out_most;
    for (uint32_t i = 0; enough && i < found->n_in_least; i++) {
        enough = node->has_in[i];
    }
    return enough ||
           kit_no(answer, SY_REASON_SHAPE, "%u inputs and %u outputs do not fit this operator",
                  node->n_in, node->n_out);
}

bool kit_require_decodable(const sy_value_view *value, const char *what, kit_answer *answer) {
    return kit_type_is_float(value->type) || kit_type_is_block(value->type) ||
           kit_no(answer, SY_REASON_TYPE, "there is no kernel for %s of type %s", what,
                  kit_type_name(value->type));
}

bool kit_require_filled(const sy_value_view *value, const char *what, kit_answer *answer) {
    sy_value_view filled = *value;
    if (value->kind != SY_VALUE_WEIGHT || kit_bound_count(value) == 0) {
        return true;
    }
    if (value->rank == 0) { /* one element */
        filled.rank = 1;
        filled.dims[0] = (sy_dimension){.bound = 1};
    }
    return kit_require_weight(&filled, what, answer);
}

bool kit_is_movable(const sy_value_view *value) {
    return value->kind != SY_VALUE_STATE && kit_type_block(value->type) == 1;
}

bool kit_axis(int64_t axis, uint32_t rank, uint32_t *out_axis) {
    int64_t n = rank;
    if (axis < -n || axis >= n) {
        return false;
    }
    *out_axis = (uint32_t)(axis < 0 ? axis + n : axis);
    return true;
}

bool kit_dimension_is(const sy_dimension *dimension, int64_t n) {
    return dimension->symbol == 0 && dimension->bound == n;
}

bool kit_same_but(const sy_value_view *a, const sy_value_view *b, uint32_t axis) {
    bool same = a->rank == b->rank;
    for (uint32_t i = 0; same && i < a->rank; i++) {
        same = i == axis || kit_dimension_same(&a->dims[i], &b->dims[i]);
    }
    return same;
}

bool kit_is_reduced(const sy_value_view *x, const sy_value_view *y, uint32_t axes, bool keeps) {
    uint32_t at = 0;
    bool fits = true;
    for (uint32_t i = 0; fits && i < x->rank; i++) {
        bool is_reduced = (axes >> i & 1u) != 0;
        if (is_reduced && !keeps) {
            continue;
        }
        fits = at < y->rank && (is_reduced ? kit_dimension_is(&y->dims[at], 1)
                                           : kit_dimension_same(&y->dims[at], &x->dims[i]));
        at++;
    }
    return fits && at == y->rank;
}

/* Dimension i of y in x, which has the last ones; NULL where x lacks it. */
static const sy_dimension *dimension_in(const sy_value_view *x, const sy_value_view *y,
                                        uint32_t i) {
    uint32_t n_lacking = y->rank - x->rank;
    return i >= n_lacking ? &x->dims[i - n_lacking] : NULL;
}

static bool broadcasts(const sy_value_view *x, const sy_value_view *y) {
    bool fits = x->rank <= y->rank;
    for (uint32_t i = 0; fits && i < y->rank; i++) {
        const sy_dimension *d = dimension_in(x, y, i);
        fits = d == NULL || kit_dimension_is(d, 1) || kit_dimension_same(d, &y->dims[i]);
    }
    return fits;
}

bool kit_broadcasts(const sy_value_view *const *values, uint32_t n_values, const sy_value_view *y) {
    bool fits = true;
    for (uint32_t v = 0; fits && v < n_values; v++) {
        fits = broadcasts(values[v], y);
    }
    return fits;
}

bool kit_broadcasts_reach(const sy_value_view *const *values, uint32_t n_values,
                          const sy_value_view *y, uint32_t i) {
    bool is_reached = false;
    for (uint32_t v = 0; !is_reached && v < n_values; v++) {
        const sy_dimension *d = dimension_in(values[v], y, i);
        is_reached = d != NULL && kit_dimension_same(d, &y->dims[i]);
    }
    return is_reached;
}

void kit_broadcast_strides(uint32_t rank_x, const int64_t *dims_x, uint32_t rank_y,
                           int64_t out_strides[SY_MAX_RANK]) {
    int64_t stride = 1;
    for (uint32_t i = 1; i <= rank_y; i++) { /* from the last dimension outwards */
        int64_t size = i <= rank_x ? dims_x[rank_x - i] : 1;
        out_strides[rank_y - i] = size == 1 ? 0 : stride;
        stride *= size;
    }
}

void kit_count_elements(const kit_node *node, double bytes_each, double ops_each,
                        kit_answer *answer) {
    double n = kit_typical_count(node->graph, &node->out[0]);
    answer->activation_bytes = bytes_each * n;
    answer->f32_ops = ops_each * n;
}
