/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that work element by element: one input, two that broadcast, gates, Cast, Where. */
#include "check_shared.h"

#include <math.h>
#include <string.h>

typedef struct named_kind {
    const char *name;
    uint32_t kind;
} named_kind;

/* False for a name that is not in the list, which ends with NULL. */
static bool kind_find(const named_kind *kinds, const char *name, uint32_t *out) {
    for (; kinds->name != NULL && strcmp(kinds->name, name) != 0; kinds++) {}
    *out = kinds->kind;
    return kinds->name != NULL;
}

/* ---- one input ---- */
static const named_kind unary_kinds[] = {{"Neg", KIT_UNARY_NEG},
                                         {"Abs", KIT_UNARY_ABS},
                                         {"Sqrt", KIT_UNARY_SQRT},
                                         {"Exp", KIT_UNARY_EXP},
                                         {"Log", KIT_UNARY_LOG},
                                         {"Erf", KIT_UNARY_ERF},
                                         {"Tanh", KIT_UNARY_TANH},
                                         {"Sigmoid", KIT_UNARY_SIGMOID},
                                         {"Reciprocal", KIT_UNARY_RECIPROCAL},
                                         {"Relu", KIT_UNARY_RELU},
                                         {"Gelu", KIT_UNARY_GELU},
                                         {"Swish", KIT_UNARY_SWISH},
                                         {"Softcap", KIT_UNARY_SOFTCAP},
                                         {"Clip", KIT_UNARY_CLIP},
                                         {"LeakyRelu", KIT_UNARY_LEAKY_RELU},
                                         {"Elu", KIT_UNARY_ELU},
                                         {"HardSigmoid", KIT_UNARY_HARD_SIGMOID},
                                         {"HardSwish", KIT_UNARY_HARD_SWISH},
                                         {NULL, 0}};

static bool gelu_read(const kit_node *node, kit_unary *out, kit_answer *answer) {
    static const char *const names[] = {"approximate", NULL};
    const char *text = NULL;
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_string(node, "approximate", "none", &text, answer)) {
        return false;
    }
    out->kind = strcmp(text, "tanh") == 0 ? KIT_UNARY_GELU_TANH : KIT_UNARY_GELU;
    return strcmp(text, "tanh") == 0 || strcmp(text, "none") == 0 ||
           kit_no(answer, SY_REASON_ATTRIBUTE, "approximate is neither none nor tanh");
}

static bool clip_read(const kit_node *node, kit_unary *out, kit_answer *answer) {
    double *const limits[] = {&out->alpha, &out->beta};
    out->alpha = (double)-INFINITY;
    out->beta = (double)INFINITY;
    if (!kit_attributes_known(node, NULL, answer)) {
        return false;
    }
    for (uint32_t i = 1; i < 3; i++) {
        if (kit_node_has(node, i) && !kit_constant_float(&node->in[i], limits[i - 1])) {
            return kit_no(answer, SY_REASON_OTHER, "a limit is no constant number");
        }
    }
    return true;
}

/* The kinds with no more than attributes alpha and beta, of which many have none. */
static bool factors_read(const kit_node *node, kit_unary *out, kit_answer *answer) {
    static const char *const alpha[] = {"alpha", NULL}, *const both[] = {"alpha", "beta", NULL};
    const char *const *names = alpha;
    switch (out->kind) {
    case KIT_UNARY_SWISH:
    case KIT_UNARY_ELU:
        out->alpha = 1.0;
        break;
    case KIT_UNARY_LEAKY_RELU:
        out->alpha = (double)0.01f;
        break;
    case KIT_UNARY_HARD_SIGMOID:
        names = both;
        out->alpha = (double)0.2f;
        out->beta = 0.5;
        break;
    case KIT_UNARY_HARD_SWISH:
        names = NULL;
        out->alpha = 1.0 / 6.0;
        out->beta = 0.5;
        break;
    default:
        names = NULL;
        break;
    }
    return kit_attributes_known(node, names, answer) &&
           kit_attribute_float(node, "alpha", out->alpha, &out->alpha, answer) &&
           kit_attribute_float(node, "beta", out->beta, &out->beta, answer);
}

static bool softcap_read(const kit_node *node, kit_unary *out, kit_answer *answer) {
    static const char *const names[] = {"cap", NULL};
    return kit_attributes_known(node, names, answer) &&
           kit_attribute_float(node, "cap", 0.0, &out->alpha, answer) &&
           (out->alpha > 0.0 || kit_no(answer, SY_REASON_ATTRIBUTE, "cap must be above 0"));
}

static bool unary_read(const kit_node *node, kit_unary *out, kit_answer *answer) {
    switch (out->kind) {
    case KIT_UNARY_GELU:
        return gelu_read(node, out, answer);
    case KIT_UNARY_CLIP:
        return clip_read(node, out, answer);
    case KIT_UNARY_SOFTCAP:
        return softcap_read(node, out, answer);
    default:
        return factors_read(node, out, answer);
    }
}

bool kit_check_unary(const kit_node *node, kit_unary *out, kit_answer *answer) {
    uint32_t kind = 0;
    if (!kind_find(unary_kinds, node->view.op, &kind)) {
        return kit_no_kernel(node, answer);
    }
    *out = (kit_unary){.kind = (kit_unary_kind)kind};
    if (!unary_read(node, out, answer) ||
        !kit_require_same_float(&node->in[0], &node->out[0], answer)) {
        return false;
    }
    if (!kit_shape_same(&node->in[0], &node->out[0])) {
        return kit_no(answer, SY_REASON_SHAPE, "y has another shape than x");
    }
    kit_count_elements(node, 8.0, 20.0, answer);
    return true;
}

/* ---- gates ---- */
/* gate and up of one shape, and y of it too. */
static bool gates_check(const kit_node *node, kit_answer *answer) {
    return (kit_shape_same(&node->in[0], &node->out[0]) &&
            kit_shape_same(&node->in[1], &node->out[0])) ||
           kit_no(answer, SY_REASON_SHAPE, "gate, up and y differ in shape");
}

bool kit_check_gated(const kit_node *node, kit_gated *out, kit_answer *answer) {
    static const char *const names[] = {"activation", NULL};
    static const named_kind activations[] = {
        {"silu", KIT_UNARY_SWISH}, {"gelu_tanh", KIT_UNARY_GELU_TANH}, {"gelu", KIT_UNARY_GELU},
        {"relu", KIT_UNARY_RELU},  {"sigmoid", KIT_UNARY_SIGMOID},     {NULL, 0}};
    const char *text = NULL;
    uint32_t kind = 0;
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_string(node, "activation", "", &text, answer) ||
        !kit_require_same_float(&node->in[0], &node->out[0], answer) ||
        !kit_require_float(&node->in[1], "up", answer)) {
        return false;
    }
    if (!kind_find(activations, text, &kind)) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "activation '%.24s' is unknown", text);
    }
    *out = (kit_gated){.activation = (kit_unary_kind)kind};
    kit_count_elements(node, 12.0, 22.0, answer);
    return gates_check(node, answer);
}

bool kit_check_clamped(const kit_node *node, kit_clamped *out, kit_answer *answer) {
    static const char *const names[] = {"alpha", "limit", NULL};
    *out = (kit_clamped){0};
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_float(node, "alpha", 1.0, &out->alpha, answer) ||
        !kit_attribute_float(node, "limit", 0.0, &out->limit, answer) ||
        !kit_require_same_float(&node->in[0], &node->out[0], answer) ||
        !kit_require_float(&node->in[1], "up", answer)) {
        return false;
    }
    if (!(out->limit > 0.0)) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "limit must be above 0");
    }
    kit_count_elements(node, 12.0, 26.0, answer);
    return gates_check(node, answer);
}

/* ---- values that broadcast ---- */
static bool is_wide_integer(sy_element_type type) {
    return type == SY_TYPE_I32 || type == SY_TYPE_I64;
}

static bool operand_types(const kit_node *node, kit_binary *out, kit_answer *answer) {
    const sy_value_view *a = &node->in[0], *b = &node->in[1], *y = &node->out[0];
    out->is_integer = is_wide_integer(a->type) && out->kind < KIT_BINARY_POW;
    if (!out->is_integer) {
        return kit_require_same_float(a, y, answer) && kit_require_float(b, "b", answer);
    }
    return kit_require_type(b, a->type, "b", answer) && kit_require_type(y, a->type, "y", answer);
}

bool kit_check_binary(const kit_node *node, kit_binary *out, kit_answer *answer) {
    static const named_kind kinds[] = {{"Add", KIT_BINARY_ADD},
                                       {"Sub", KIT_BINARY_SUB},
                                       {"Mul", KIT_BINARY_MUL},
                                       {"Div", KIT_BINARY_DIV},
                                       {"Pow", KIT_BINARY_POW},
                                       {"PRelu", KIT_BINARY_PRELU},
                                       {NULL, 0}};
    const sy_value_view *const operands[] = {&node->in[0], &node->in[1]}, *y = &node->out[0];
    uint32_t kind = 0;
    if (!kind_find(kinds, node->view.op, &kind)) {
        return kit_no_kernel(node, answer);
    }
    *out = (kit_binary){.kind = (kit_binary_kind)kind};
    if (!kit_attributes_known(node, NULL, answer) || !operand_types(node, out, answer)) {
        return false;
    }
    if (!kit_broadcasts(operands, 2, y)) {
        return kit_no(answer, SY_REASON_SHAPE, "a and b do not broadcast to y");
    }
    for (uint32_t i = 0; i < y->rank; i++) {
        if (!kit_broadcasts_reach(operands, 2, y, i)) {
            return kit_no(answer, SY_REASON_SHAPE, "dimension %u of y is neither a's nor b's", i);
        }
    }
    if (out->kind == KIT_BINARY_PRELU && !kit_shape_same(&node->in[0], y)) {
        return kit_no(answer, SY_REASON_SHAPE, "y has another shape than x");
    }
    kit_count_elements(node, 12.0, 1.0, answer);
    return true;
}

bool kit_check_where(const kit_node *node, kit_where *out, kit_answer *answer) {
    const sy_value_view *const branches[] = {&node->in[0], &node->in[1], &node->in[2]};
    const sy_value_view *y = &node->out[0];
    *out = (kit_where){.element_bytes = kit_type_block_bytes(y->type)};
    if (!kit_attributes_known(node, NULL, answer) ||
        !kit_require_type(branches[0], SY_TYPE_BOOL, "the condition", answer)) {
        return false;
    }
    if (branches[1]->type != y->type || branches[2]->type != y->type ||
        !kit_is_movable(branches[1]) || !kit_is_movable(branches[2])) {
        return kit_no(answer, SY_REASON_TYPE, "both branches and y must have one plain type");
    }
    bool fits = kit_broadcasts(branches, 3, y);
    for (uint32_t i = 0; fits && i < y->rank; i++) {
        fits = kit_broadcasts_reach(branches, 3, y, i);
    }
    kit_count_elements(node, 12.0, 1.0, answer);
    return fits || kit_no(answer, SY_REASON_SHAPE, "condition and branches do not broadcast to y");
}

/* ---- Cast ---- */
/* The types of Cast and their numbers in ONNX; 0: not one of them. */
static int64_t onnx_number(sy_element_type type) {
    static const struct {
        sy_element_type type;
        int64_t number;
    } known[] = {{SY_TYPE_F32, 1}, {SY_TYPE_U8, 2},   {SY_TYPE_I8, 3},   {SY_TYPE_I32, 6},
                 {SY_TYPE_I64, 7}, {SY_TYPE_BOOL, 9}, {SY_TYPE_F16, 10}, {SY_TYPE_BF16, 16}};
    int64_t number = 0;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        number = known[i].type == type ? known[i].number : number;
    }
    return number;
}

bool kit_check_cast(const kit_node *node, kit_cast *out, kit_answer *answer) {
    static const char *const names[] = {"to", NULL};
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    int64_t to = 0;
    *out = (kit_cast){.from = x->type, .to = y->type};
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_int(node, "to", onnx_number(y->type), &to, answer)) {
        return false;
    }
    if (onnx_number(x->type) == 0 || onnx_number(y->type) == 0) {
        return kit_no(answer, SY_REASON_TYPE, "%s to %s is no Cast", kit_type_name(x->type),
                      kit_type_name(y->type));
    }
    if (to != onnx_number(y->type)) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "to is not the type of the output");
    }
    kit_count_elements(node, 8.0, 1.0, answer);
    return kit_shape_same(x, y) || kit_no(answer, SY_REASON_SHAPE, "y has another shape than x");
}
