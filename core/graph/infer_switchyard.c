/* SPDX-License-Identifier: Apache-2.0 */
/* Inference rules of domain "switchyard", as docs/operators.md states them. */
#include "graph/infer.h"

#include "switchyard/limits.h"

#include <inttypes.h>
#include <string.h>

static sy_status infer_linear(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0), *w = sy__call_input(call, 1);
    const sy_value_view *bias = sy__call_input(call, 2);
    if (!sy__is_float(x->type) || x->rank < 1 || !sy__is_linear_weight(w->type) || w->rank != 2) {
        return sy__infer_fail(call, "x must be float and w a matrix of a float or block type");
    }
    if (!sy__dimension_equal(&x->dims[x->rank - 1], &w->dims[1])) {
        return sy__infer_fail(call, "x has rows of %" PRId64 " elements, w of %" PRId64,
                              x->dims[x->rank - 1].bound, w->dims[1].bound);
    }
    if (bias != NULL && (!sy__is_float(bias->type) || bias->rank != 1 ||
                         !sy__dimension_equal(&bias->dims[0], &w->dims[0]))) {
        return sy__infer_fail(call, "bias must be float [%" PRId64 "]", w->dims[0].bound);
    }
    sy__result_like(call, 0, x);
    call->results[0].dims[x->rank - 1] = w->dims[0];
    return SY_OK;
}

static sy_status infer_embedding(const sy__infer_call *call) {
    const sy_value_view *ids = sy__call_input(call, 0), *table = sy__call_input(call, 1);
    if (ids->type != SY_TYPE_I32 || ids->rank != 1 || !sy__is_linear_weight(table->type) ||
        table->rank != 2) {
        return sy__infer_fail(call, "ids must be i32 [T] and table a matrix");
    }
    sy__result_like(call, 0, ids);
    call->results[0].type = SY_TYPE_F32;
    call->results[0].rank = 2;
    call->results[0].dims[1] = table->dims[1];
    return SY_OK;
}

static sy_status infer_rotary(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0), *positions = sy__call_input(call, 1);
    const sy_value_view *frequency = sy__call_input(call, 2);
    int64_t n_heads = sy__attribute_int(call->node, "num_heads", 0);
    if (!sy__is_float(x->type) || x->rank != 2 || n_heads < 1 || x->dims[1].symbol != 0 ||
        x->dims[1].bound % n_heads != 0) {
        return sy__infer_fail(call, "x must be float [T, num_heads * head size]");
    }
    if (positions->type != SY_TYPE_I32 || positions->rank != 1 ||
        !sy__dimension_equal(&positions->dims[0], &x->dims[0])) {
        return sy__infer_fail(call, "positions must be i32 [T]");
    }
    if (frequency->type != SY_TYPE_F32 || frequency->rank != 1 || frequency->dims[0].symbol != 0 ||
        frequency->dims[0].bound < 1 || frequency->dims[0].bound > x->dims[1].bound / n_heads / 2) {
        return sy__infer_fail(call, "inverse_frequency must be f32 [rotary / 2] with rotary at "
                                    "most the head size");
    }
    sy__result_like(call, 0, x);
    return SY_OK;
}

/* Width of one head: the value's row split over n heads, 0 when it does not split. */
static int64_t head_size(const sy_value_view *value, int64_t n_heads) {
    const sy_dimension *width = &value->dims[1];
    if (value->rank != 2 || width->symbol != 0 || n_heads < 1 || width->bound % n_heads != 0) {
        return 0;
    }
    return width->bound / n_heads;
}

static sy_status infer_attention(const sy__infer_call *call) {
    const sy_value_view *q = sy__call_input(call, 0), *k = sy__call_input(call, 1);
    const sy_value_view *v = sy__call_input(call, 2), *key_state = sy__call_input(call, 3);
    const sy_value_view *value_state = sy__call_input(call, 4), *sinks = sy__call_input(call, 5);
    int64_t n_heads = sy__attribute_int(call->node, "num_heads", 0);
    int64_t n_kv_heads = sy__attribute_int(call->node, "num_kv_heads", 0);
    if ((k == NULL) != (v == NULL) || (key_state == NULL) != (value_state == NULL) ||
        (k == NULL && key_state == NULL)) {
        return sy__infer_fail(call, "it needs k and v, key_state and value_state, or all four");
    }
    if (key_state != NULL &&
        (key_state->kind != SY_VALUE_STATE || value_state->kind != SY_VALUE_STATE)) {
        return sy__infer_fail(call, "key_state and value_state must be states");
    }
    const sy_value_view *keys = k != NULL ? k : key_state, *values = v != NULL ? v : value_state;
    int64_t size = head_size(q, n_heads), value_size = head_size(values, n_kv_heads);
    if (n_kv_heads < 1 || n_heads % n_kv_heads != 0 || size < 1 || value_size < 1 ||
        head_size(keys, n_kv_heads) != size || !sy__is_float(q->type)) {
        return sy__infer_fail(call,
                              "q has %" PRId64 " and k %" PRId64 " elements a row, which do "
                              "not split into %" PRId64 " heads over %" PRId64 " key heads",
                              q->dims[1].bound, keys->dims[1].bound, n_heads, n_kv_heads);
    }
    if (k != NULL && key_state != NULL &&
        (!sy__dimension_equal(&k->dims[1], &key_state->dims[1]) ||
         !sy__dimension_equal(&v->dims[1], &value_state->dims[1]))) {
        return sy__infer_fail(call, "the states' rows differ in width from k and v");
    }
    if (sinks != NULL && (sinks->type != SY_TYPE_F32 || sinks->rank != 1 ||
                          !sy__dimension_is(&sinks->dims[0], n_heads))) {
        return sy__infer_fail(call, "sinks must be f32 [%" PRId64 "]", n_heads);
    }
    sy__result_like(call, 0, q);
    call->results[0].dims[1] = sy__dimension_fixed(n_heads * value_size);
    return SY_OK;
}

static sy_status infer_gated(const sy__infer_call *call) {
    static const char *const known[] = {"silu", "gelu_tanh", "gelu", "relu", "sigmoid"};
    const sy_value_view *gate = sy__call_input(call, 0), *up = sy__call_input(call, 1);
    const char *activation = sy__attribute_string(call->node, "activation", "");
    bool found = false;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        found = found || strcmp(activation, known[i]) == 0;
    }
    if (!found) {
        return sy__infer_fail(call, "activation '%s' is not silu, gelu_tanh, gelu, relu or sigmoid",
                              activation);
    }
    if (!sy__is_float(gate->type) || !sy__same_shape(gate, up)) {
        return sy__infer_fail(call, "gate and up must be float and of one shape");
    }
    sy__result_like(call, 0, gate);
    return SY_OK;
}

static sy_status infer_clamped(const sy__infer_call *call) {
    const sy_value_view *gate = sy__call_input(call, 0), *up = sy__call_input(call, 1);
    if (!sy__is_float(gate->type) || !sy__same_shape(gate, up) ||
        !(sy__attribute_float(call->node, "limit", 0) > 0)) {
        return sy__infer_fail(call, "gate and up must be float and of one shape, limit above 0");
    }
    sy__result_like(call, 0, gate);
    return SY_OK;
}

static sy_status infer_add_norm(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0), *residual = sy__call_input(call, 1);
    const sy_value_view *scale = sy__call_input(call, 2);
    if (!sy__is_float(x->type) || !sy__same_shape(x, residual) || x->rank < 1 || scale->rank != 1 ||
        scale->type != SY_TYPE_F32 ||
        !sy__dimension_equal(&scale->dims[0], &x->dims[x->rank - 1])) {
        return sy__infer_fail(call, "x and residual must be float of one shape, scale f32 of its "
                                    "last dimension");
    }
    sy__result_like(call, 0, x);
    sy__result_like(call, 1, x);
    return SY_OK;
}

static sy_status infer_causal_convolution(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0), *w = sy__call_input(call, 1);
    const sy_value_view *state = sy__call_input(call, 2);
    if (!sy__is_float(x->type) || x->rank != 2 || w->type != SY_TYPE_F32 || w->rank != 2 ||
        !sy__dimension_equal(&x->dims[1], &w->dims[0]) || w->dims[1].symbol != 0 ||
        w->dims[1].bound < 1) {
        return sy__infer_fail(call, "x must be float [T, C] and weight f32 [C, length]");
    }
    if (state->kind != SY_VALUE_STATE || state->rank != 2 ||
        !sy__dimension_equal(&state->dims[1], &x->dims[1])) {
        return sy__infer_fail(call, "state must be a STATE with rows of %" PRId64 " elements",
                              x->dims[1].bound);
    }
    sy__result_like(call, 0, x);
    return SY_OK;
}

static sy_status infer_softcap(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    if (!sy__is_float(x->type) || !(sy__attribute_float(call->node, "cap", 0) > 0)) {
        return sy__infer_fail(call, "x must be float and cap greater than 0");
    }
    sy__result_like(call, 0, x);
    return SY_OK;
}

static sy_status infer_adapter_linear(const sy__infer_call *call) {
    const sy_value_view *y = sy__call_input(call, 0), *x = sy__call_input(call, 1);
    const sy_value_view *rows = sy__call_input(call, 2);
    int64_t max_rank = sy__attribute_int(call->node, "max_rank", 0);
    if (y->type != SY_TYPE_F32 || x->type != SY_TYPE_F32 || y->rank != 2 || x->rank != 2 ||
        !sy__dimension_equal(&y->dims[0], &x->dims[0])) {
        return sy__infer_fail(call, "y and x must be f32 matrices with the same rows");
    }
    if (rows != NULL && (rows->type != SY_TYPE_I32 || rows->rank != 1 ||
                         !sy__dimension_equal(&rows->dims[0], &y->dims[0]))) {
        return sy__infer_fail(call, "rows must be i32, one for each row of y");
    }
    if (sy__attribute_int(call->node, "slot", -1) < 0 || max_rank < 1 ||
        max_rank > SY_LIMIT_ADAPTER_RANK) {
        return sy__infer_fail(call, "slot must not be negative and max_rank 1 to %u",
                              SY_LIMIT_ADAPTER_RANK);
    }
    sy__result_like(call, 0, y);
    return SY_OK;
}

const sy__infer_rule sy__infer_rules_switchyard[] = {
    {"switchyard", "Linear", 2, 3, 1, infer_linear},
    {"switchyard", "Embedding", 2, 2, 1, infer_embedding},
    {"switchyard", "RotaryEmbedding", 3, 3, 1, infer_rotary},
    {"switchyard", "Attention", 1, 6, 1, infer_attention},
    {"switchyard", "CausalConvolution", 3, 3, 1, infer_causal_convolution},
    {"switchyard", "GatedActivation", 2, 2, 1, infer_gated},
    {"switchyard", "ClampedSwiGLU", 2, 2, 1, infer_clamped},
    {"switchyard", "AddRMSNormalization", 3, 3, 2, infer_add_norm},
    {"switchyard", "Softcap", 1, 1, 1, infer_softcap},
    {"switchyard", "AdapterLinear", 2, 3, 1, infer_adapter_linear},
    {NULL, NULL, 0, 0, 0, NULL},
};
