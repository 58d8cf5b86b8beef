/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of one element, of two, and casts. Floats are computed in f64 and rounded once. */
#include "reference/element.h"
#include "reference/operators.h"

#include <math.h>
#include <string.h>

static const double sqrt_half = 0.70710678118654752440;
static const double sqrt_2_over_pi = 0.79788456080286535588;

static double sigmoid(double x) {
    return 1.0 / (1.0 + exp(-x));
}

static double gelu(double x) {
    return 0.5 * x * (1.0 + erf(x * sqrt_half));
}

static double gelu_tanh(double x) {
    return 0.5 * x * (1.0 + tanh(sqrt_2_over_pi * (x + 0.044715 * x * x * x)));
}

/* x * sigmoid(alpha x); 0 for -infinity, where the product would be NaN. */
static double swish(double x, double alpha) {
    double s = sigmoid(alpha * x);
    return s == 0.0 && !isnan(x) ? copysign(0.0, x) : x * s;
}

/* Those that image networks use. NaN stays NaN. */
static double unary_of_image(uint32_t variant, const sy__params *p, double x) {
    double straight = p->alpha * x + p->beta; /* kept within 0..1 by the hard ones */
    straight = straight < 0.0 ? 0.0 : (straight > 1.0 ? 1.0 : straight);
    switch (variant) {
    case SY__UNARY_CLIP:
        x = x < p->alpha ? p->alpha : x;
        return x > p->beta ? p->beta : x;
    case SY__UNARY_LEAKY_RELU:
        return x < 0.0 ? p->alpha * x : x;
    case SY__UNARY_ELU:
        return x < 0.0 ? p->alpha * expm1(x) : x;
    case SY__UNARY_HARD_SIGMOID:
        return straight;
    default: /* SY__UNARY_HARD_SWISH */
        return x * straight;
    }
}

static double unary(uint32_t variant, const sy__params *p, double x) {
    switch (variant) {
    case SY__UNARY_NEG:
        return -x;
    case SY__UNARY_ABS:
        return fabs(x);
    case SY__UNARY_SQRT:
        return sqrt(x);
    case SY__UNARY_EXP:
        return exp(x);
    case SY__UNARY_LOG:
        return log(x);
    case SY__UNARY_ERF:
        return erf(x);
    case SY__UNARY_TANH:
        return tanh(x);
    case SY__UNARY_SIGMOID:
        return sigmoid(x);
    case SY__UNARY_RECIPROCAL:
        return 1.0 / x;
    case SY__UNARY_RELU:
        return x < 0.0 ? 0.0 : x; /* NaN stays NaN */
    case SY__UNARY_GELU:
        return gelu(x);
    case SY__UNARY_GELU_TANH:
        return gelu_tanh(x);
    case SY__UNARY_SWISH:
        return swish(x, p->alpha);
    case SY__UNARY_SOFTCAP:
        return p->softcap * tanh(x / p->softcap);
    default:
        return unary_of_image(variant, p, x);
    }
}

SY__PREPARE(unary) {
    sy__params *p = &facts->params;
    p->activation = facts->op->variant;
    if (!sy__ref_require_all_float(facts)) {
        return false;
    }
    if (facts->op->variant == SY__UNARY_SWISH || facts->op->variant == SY__UNARY_ELU) {
        return sy__ref_attribute_float(facts, "alpha", 1.0, &p->alpha);
    }
    if (facts->op->variant == SY__UNARY_LEAKY_RELU) {
        return sy__ref_attribute_float(facts, "alpha", (double)0.01f, &p->alpha);
    }
    if (facts->op->variant == SY__UNARY_HARD_SIGMOID) {
        return sy__ref_attribute_float(facts, "alpha", (double)0.2f, &p->alpha) &&
               sy__ref_attribute_float(facts, "beta", 0.5, &p->beta);
    }
    if (facts->op->variant == SY__UNARY_HARD_SWISH) {
        p->alpha = 1.0 / 6.0;
        p->beta = 0.5;
    }
    if (facts->op->variant == SY__UNARY_SOFTCAP) {
        return sy__ref_attribute_float(facts, "cap", 0.0, &p->softcap) &&
               (p->softcap > 0.0 ||
                sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "cap is missing or not positive"));
    }
    if (facts->op->variant == SY__UNARY_GELU) {
        const char *approximate = NULL;
        if (!sy__ref_attribute_string(facts, "approximate", "none", &approximate)) {
            return false;
        }
        if (strcmp(approximate, "tanh") == 0) {
            p->activation = SY__UNARY_GELU_TANH;
        } else if (strcmp(approximate, "none") != 0) {
            return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "approximate is %.40s", approximate);
        }
    }
    return true;
}

/* A limit given as a constant with one element. */
static bool read_limit(sy__facts *facts, uint32_t i_input, double fallback, double *out) {
    const sy__tensor *limit = i_input < facts->node.n_inputs ? facts->inputs[i_input] : NULL;
    *out = fallback;
    if (limit == NULL) {
        return true;
    }
    if (limit->kind != SY_VALUE_WEIGHT || sy__ref_shape_count(&limit->shape) != 1) {
        return sy__ref_refuse(facts, SY_REASON_OTHER, "a limit is no constant number");
    }
    sy__ref_get_f64(limit, 0, 1, 1, out);
    return true;
}

SY__PREPARE(clip) {
    facts->params.activation = SY__UNARY_CLIP;
    return sy__ref_require_all_float(facts) &&
           read_limit(facts, 1, -INFINITY, &facts->params.alpha) &&
           read_limit(facts, 2, INFINITY, &facts->params.beta);
}

static void visit_unary(const sy__walk *walk, const sy__run *run) {
    double values[SY__RUN_ELEMENTS];
    const sy__params *p = walk->call->params;
    sy__ref_get_f64(walk->inputs[0], run->first[0], run->stride[0], run->n, values);
    for (int64_t i = 0; i < run->n; i++) {
        values[i] = unary(p->activation, p, values[i]);
    }
    sy__ref_put_f64(walk->output, run->out_first, run->n, values);
}

SY__RUN(unary) {
    return sy__ref_walk_broadcast(call, 1, visit_unary);
}

SY__PREPARE(gated) {
    static const struct {
        const char *name;
        uint32_t variant;
    } names[] = {{"silu", SY__UNARY_SWISH},
                 {"gelu_tanh", SY__UNARY_GELU_TANH},
                 {"gelu", SY__UNARY_GELU},
                 {"relu", SY__UNARY_RELU},
                 {"sigmoid", SY__UNARY_SIGMOID}};
    const char *name = NULL;
    if (!sy__ref_require_all_float(facts) ||
        !sy__ref_attribute_string(facts, "activation", "", &name)) {
        return false;
    }
    facts->params.alpha = 1.0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i].name, name) == 0) {
            facts->params.activation = names[i].variant;
            return true;
        }
    }
    return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "unknown activation %.40s", name);
}

SY__INFER(gated) {
    (void)params;
    (void)n_inputs;
    (void)n_outputs;
    out_shapes[0] = inputs[0]->shape;
    return sy__ref_shape_equal(&inputs[0]->shape, &inputs[1]->shape);
}

static void visit_gated(const sy__walk *walk, const sy__run *run) {
    double gate[SY__RUN_ELEMENTS], up[SY__RUN_ELEMENTS];
    const sy__params *p = walk->call->params;
    sy__ref_get_f64(walk->inputs[0], run->first[0], run->stride[0], run->n, gate);
    sy__ref_get_f64(walk->inputs[1], run->first[1], run->stride[1], run->n, up);
    for (int64_t i = 0; i < run->n; i++) {
        gate[i] = unary(p->activation, p, gate[i]) * up[i];
    }
    sy__ref_put_f64(walk->output, run->out_first, run->n, gate);
}

SY__RUN(gated) {
    return sy__ref_walk_broadcast(call, 2, visit_gated);
}

SY__PREPARE(clamped) {
    sy__params *p = &facts->params;
    if (!sy__ref_require_all_float(facts) ||
        !sy__ref_attribute_float(facts, "alpha", 1.0, &p->alpha) ||
        !sy__ref_attribute_float(facts, "limit", 0.0, &p->softcap)) {
        return false;
    }
    p->activation = SY__UNARY_SWISH;
    return p->softcap > 0.0 ||
           sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "limit is missing or not above 0");
}

static double at_most(double x, double limit) {
    return x > limit ? limit : x;
}

static void visit_clamped(const sy__walk *walk, const sy__run *run) {
    double gate[SY__RUN_ELEMENTS], up[SY__RUN_ELEMENTS];
    const sy__params *p = walk->call->params;
    sy__ref_get_f64(walk->inputs[0], run->first[0], run->stride[0], run->n, gate);
    sy__ref_get_f64(walk->inputs[1], run->first[1], run->stride[1], run->n, up);
    for (int64_t i = 0; i < run->n; i++) {
        double bounded = -at_most(-at_most(up[i], p->softcap), p->softcap);
        gate[i] = unary(p->activation, p, at_most(gate[i], p->softcap)) * (bounded + 1.0);
    }
    sy__ref_put_f64(walk->output, run->out_first, run->n, gate);
}

SY__RUN(clamped) {
    return sy__ref_walk_broadcast(call, 2, visit_clamped);
}

SY__PREPARE(binary) {
    sy_element_type type = facts->outputs[0]->type;
    bool integer =
        (type == SY_TYPE_I32 || type == SY_TYPE_I64) && facts->op->variant < SY__BINARY_POW;
    if (!integer && !sy__ref_require_float_out(facts, 0)) {
        return false;
    }
    return sy__ref_require_same(facts, 0) && sy__ref_require_same(facts, 1);
}

SY__INFER(broadcast) {
    (void)params;
    (void)n_inputs;
    (void)n_outputs;
    return sy__ref_shape_broadcast(&inputs[0]->shape, &inputs[1]->shape, &out_shapes[0]);
}

/* The slope broadcasts to x, never the other way. */
SY__INFER(prelu) {
    return sy__ref_infer_broadcast(params, inputs, n_inputs, out_shapes, n_outputs) &&
           sy__ref_shape_equal(&out_shapes[0], &inputs[0]->shape);
}

static double binary(uint32_t variant, double a, double b) {
    switch (variant) {
    case SY__BINARY_ADD:
        return a + b;
    case SY__BINARY_SUB:
        return a - b;
    case SY__BINARY_MUL:
        return a * b;
    case SY__BINARY_DIV:
        return a / b;
    case SY__BINARY_PRELU:
        return a < 0.0 ? a * b : a;
    default: /* SY__BINARY_POW */
        return pow(a, b);
    }
}

static void visit_binary(const sy__walk *walk, const sy__run *run) {
    double a[SY__RUN_ELEMENTS], b[SY__RUN_ELEMENTS];
    uint32_t variant = walk->call->node->op->variant;
    sy__ref_get_f64(walk->inputs[0], run->first[0], run->stride[0], run->n, a);
    sy__ref_get_f64(walk->inputs[1], run->first[1], run->stride[1], run->n, b);
    for (int64_t i = 0; i < run->n; i++) {
        a[i] = binary(variant, a[i], b[i]);
    }
    sy__ref_put_f64(walk->output, run->out_first, run->n, a);
}

/* Wraps around; b is not 0 for a division. put_i64 keeps the low bits of an i32. */
static int64_t binary_integer(uint32_t variant, int64_t a, int64_t b) {
    uint64_t ua = (uint64_t)a, ub = (uint64_t)b;
    switch (variant) {
    case SY__BINARY_ADD:
        return (int64_t)(ua + ub);
    case SY__BINARY_SUB:
        return (int64_t)(ua - ub);
    case SY__BINARY_MUL:
        return (int64_t)(ua * ub);
    default: /* SY__BINARY_DIV, towards zero */
        return b == -1 ? (int64_t)(0 - ua) : a / b;
    }
}

static void visit_integer(const sy__walk *walk, const sy__run *run) {
    int64_t a[SY__RUN_ELEMENTS], b[SY__RUN_ELEMENTS];
    uint32_t variant = walk->call->node->op->variant;
    sy__ref_get_i64(walk->inputs[0], run->first[0], run->stride[0], run->n, a);
    sy__ref_get_i64(walk->inputs[1], run->first[1], run->stride[1], run->n, b);
    for (int64_t i = 0; i < run->n; i++) {
        a[i] = binary_integer(variant, a[i], b[i]);
    }
    sy__ref_put_i64(walk->output, run->out_first, run->n, a);
}

static bool has_zero(const sy__tensor *tensor) {
    int64_t n = sy__ref_shape_count(&tensor->shape);
    for (int64_t i = 0; i < n; i++) {
        int64_t value = 0;
        sy__ref_get_i64(tensor, i, 1, 1, &value);
        if (value == 0) {
            return true;
        }
    }
    return false;
}

SY__RUN(binary) {
    if (sy__ref_is_float(call->outputs[0]->type)) {
        return sy__ref_walk_broadcast(call, 2, visit_binary);
    }
    bool empty = sy__ref_shape_count(&call->outputs[0]->shape) == 0;
    if (call->node->op->variant == SY__BINARY_DIV && !empty && has_zero(call->inputs[1])) {
        return sy__ref_fail(call, SY_OUT_OF_RANGE, "division of an integer by zero");
    }
    return sy__ref_walk_broadcast(call, 2, visit_integer);
}

/* The number of an element type in ONNX (TensorProto.DataType), 0 for those ONNX lacks. */
static int64_t onnx_type(sy_element_type type) {
    switch (type) {
    case SY_TYPE_F32:
        return 1;
    case SY_TYPE_U8:
        return 2;
    case SY_TYPE_I8:
        return 3;
    case SY_TYPE_U16:
        return 4;
    case SY_TYPE_I16:
        return 5;
    case SY_TYPE_I32:
        return 6;
    case SY_TYPE_I64:
        return 7;
    case SY_TYPE_BOOL:
        return 9;
    case SY_TYPE_F16:
        return 10;
    case SY_TYPE_F64:
        return 11;
    case SY_TYPE_BF16:
        return 16;
    default:
        return 0;
    }
}

SY__PREPARE(cast) {
    sy_element_type from = facts->inputs[0]->type, to = facts->outputs[0]->type;
    int64_t wanted = 0;
    bool saturate = true; /* speaks of 8-bit floats only, which are not here */
    if (onnx_type(from) == 0 || onnx_type(to) == 0) {
        return sy__ref_refuse(facts, SY_REASON_TYPE, "cast from or to a type that is not plain");
    }
    if (!sy__ref_attribute_int(facts, "to", onnx_type(to), &wanted) ||
        !sy__ref_attribute_bool(facts, "saturate", true, &saturate)) {
        return false;
    }
    return wanted == onnx_type(to) ||
           sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "`to` is not the type of the output");
}

/* Cuts the fraction off and keeps within [low, high]; NaN becomes 0. */
static int64_t float_to_integer(double value, double low, double high) {
    if (isnan(value)) {
        return 0;
    }
    if (value <= low) {
        return (int64_t)low;
    }
    return value >= high ? (high >= 0x1p63 ? INT64_MAX : (int64_t)high) : (int64_t)value;
}

static int64_t saturate_to(sy_element_type type, double value) {
    switch (type) {
    case SY_TYPE_BOOL:
        return value != 0.0;
    case SY_TYPE_U8:
        return float_to_integer(value, 0.0, 255.0);
    case SY_TYPE_I8:
        return float_to_integer(value, -128.0, 127.0);
    case SY_TYPE_U16:
        return float_to_integer(value, 0.0, 65535.0);
    case SY_TYPE_I16:
        return float_to_integer(value, -32768.0, 32767.0);
    case SY_TYPE_I32:
        return float_to_integer(value, -2147483648.0, 2147483647.0);
    default:
        return float_to_integer(value, -0x1p63, 0x1p63);
    }
}

static bool is_real(sy_element_type type) {
    return sy__ref_is_float(type) || type == SY_TYPE_F64;
}

/* A double that rounds to every shorter float as the integer itself would (round to odd). */
static double sticky_double(int64_t value) {
    double nearest = (double)value;
    if (value > -(1ll << 53) && value < (1ll << 53)) {
        return nearest;
    }
    double toward_zero = (double)(value / 2048 * 2048); /* at least 53 bits remain */
    if (value % 2048 == 0) {
        return toward_zero;
    }
    uint64_t bits;
    memcpy(&bits, &toward_zero, sizeof(bits));
    bits |= 1;
    memcpy(&toward_zero, &bits, sizeof(bits));
    return toward_zero;
}

static void visit_cast(const sy__walk *walk, const sy__run *run) {
    double values[SY__RUN_ELEMENTS];
    int64_t integers[SY__RUN_ELEMENTS];
    const sy__tensor *from = walk->inputs[0];
    if (!is_real(from->type) && !is_real(walk->output->type)) {
        sy__ref_get_i64(from, run->first[0], run->stride[0], run->n, integers);
        sy__ref_put_i64(walk->output, run->out_first, run->n, integers);
        return;
    }
    sy__ref_get_f64(from, run->first[0], run->stride[0], run->n, values);
    if (from->type == SY_TYPE_I64 && walk->output->type != SY_TYPE_F64) {
        sy__ref_get_i64(from, run->first[0], run->stride[0], run->n, integers);
        for (int64_t i = 0; i < run->n; i++) {
            values[i] = sticky_double(integers[i]);
        }
    }
    if (is_real(walk->output->type)) {
        sy__ref_put_f64(walk->output, run->out_first, run->n, values);
        return;
    }
    for (int64_t i = 0; i < run->n; i++) {
        integers[i] = saturate_to(walk->output->type, values[i]);
    }
    sy__ref_put_i64(walk->output, run->out_first, run->n, integers);
}

SY__RUN(cast) {
    return sy__ref_walk_broadcast(call, 1, visit_cast);
}
