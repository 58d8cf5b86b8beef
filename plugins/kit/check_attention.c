/* SPDX-License-Identifier: Apache-2.0 */
/* RotaryEmbedding, Attention, CausalConvolution. */
#include "check_shared.h"

#include <math.h>

#define PAST_ROWS 256.0 /* of a sequence: how far in a step is is not known */

bool kit_check_rotary(const kit_node *node, kit_rotary *out, kit_answer *answer) {
    static const char *const names[] = {"num_heads", "interleaved", "magnitude", NULL};
    const sy_value_view *x = &node->in[0], *positions = &node->in[1], *frequency = &node->in[2];
    int64_t interleaved = 0, width = kit_width(x);
    *out = (kit_rotary){.n_pairs = kit_width(frequency)};
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_int(node, "num_heads", 0, &out->n_heads, answer) ||
        !kit_attribute_int(node, "interleaved", 0, &interleaved, answer) ||
        !kit_attribute_float(node, "magnitude", 1.0, &out->magnitude, answer) ||
        !kit_require_same_float(x, &node->out[0], answer) ||
        !kit_require_type(positions, SY_TYPE_I32, "positions", answer) ||
        !kit_require_type(frequency, SY_TYPE_F32, "inverse_frequency", answer)) {
        return false;
    }
    if (out->n_heads <= 0 || interleaved < 0 || interleaved > 1) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "num_heads must be above 0, interleaved 0 or 1");
    }
    out->head_size = width / out->n_heads;
    if (x->rank != 2 || !kit_shape_same(x, &node->out[0]) || positions->rank != 1 ||
        !kit_dimension_same(&positions->dims[0], &x->dims[0]) || frequency->rank != 1 ||
        width <= 0 || width % out->n_heads != 0 || out->n_pairs <= 0 ||
        out->n_pairs > out->head_size / 2) {
        return kit_no(answer, SY_REASON_SHAPE, "x, positions and inverse_frequency do not fit");
    }
    out->interleaved = interleaved == 1;
    kit_count_elements(node, 8.0, 4.0, answer);
    return kit_require_filled(frequency, "inverse_frequency", answer);
}

static bool state_type_check(const sy_value_view *state, kit_answer *answer) {
    if (state->kind != SY_VALUE_STATE || state->rank != 2) {
        return kit_no(answer, SY_REASON_SHAPE, "a state input is no STATE of rank 2");
    }
    return kit_type_is_float(state->type) || state->type == SY_TYPE_Q8_0 ||
           state->type == SY_TYPE_Q4_0 ||
           kit_no(answer, SY_REASON_TYPE, "states of type %s are not kept here",
                  kit_type_name(state->type));
}

static bool state_check(const sy_value_view *state, int64_t width, kit_answer *answer) {
    return state_type_check(state, answer) &&
           ((kit_width(state) == width && width > 0 && width % kit_type_block(state->type) == 0) ||
            kit_no(answer, SY_REASON_SHAPE, "a state's width does not fit the heads"));
}

static bool rows_check(const kit_node *node, uint32_t i, int64_t width, const char *what,
                       kit_answer *answer) {
    const sy_value_view *x = &node->in[i], *q = &node->in[KIT_ATTENTION_Q];
    if (x->kind == SY_VALUE_STATE) {
        return kit_no(answer, SY_REASON_OTHER, "%s is a STATE", what);
    }
    return kit_require_float(x, what, answer) &&
           ((x->rank == 2 && kit_width(x) == width && width > 0 &&
             kit_dimension_same(&x->dims[0], &q->dims[0])) ||
            kit_no(answer, SY_REASON_SHAPE, "%s does not fit q and the heads", what));
}

static bool attention_attributes(const kit_node *node, kit_attention *out, kit_answer *answer) {
    static const char *const names[] = {"num_heads", "num_kv_heads", "scale", "softcap",
                                        "window",    "causal",       NULL};
    const sy_value_view *q = &node->in[KIT_ATTENTION_Q];
    int64_t causal = 1, width = kit_width(q);
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_int(node, "num_heads", 0, &out->n_heads, answer) ||
        !kit_attribute_int(node, "num_kv_heads", 0, &out->n_kv_heads, answer) ||
        !kit_attribute_int(node, "window", 0, &out->window, answer) ||
        !kit_attribute_int(node, "causal", 1, &causal, answer) ||
        !kit_attribute_float(node, "softcap", 0.0, &out->softcap, answer)) {
        return false;
    }
    if (out->n_heads <= 0 || out->n_kv_heads <= 0 || out->n_heads % out->n_kv_heads != 0 ||
        width <= 0 || width % out->n_heads != 0 || q->rank != 2) {
        return kit_no(answer, SY_REASON_SHAPE,
                      "q [T, H x D], num_heads and num_kv_heads do not fit");
    }
    if (out->window < 0 || out->softcap < 0.0 || causal < 0 || causal > 1) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "window, softcap or causal is out of range");
    }
    out->causal = causal == 1;
    out->head_size = width / out->n_heads;
    return kit_attribute_float(node, "scale", 1.0 / sqrt((double)out->head_size), &out->scale,
                               answer);
}

static bool attention_inputs(const kit_node *node, kit_attention *out, kit_answer *answer) {
    out->has_rows = kit_node_has(node, KIT_ATTENTION_K);
    out->has_states = kit_node_has(node, KIT_ATTENTION_KEY_STATE);
    out->has_sinks = kit_node_has(node, KIT_ATTENTION_SINKS);
    if (out->has_rows != kit_node_has(node, KIT_ATTENTION_V) ||
        out->has_states != kit_node_has(node, KIT_ATTENTION_VALUE_STATE) ||
        (!out->has_rows && !out->has_states)) {
        return kit_no(answer, SY_REASON_OTHER, "needs k and v, or both states, or all four");
    }
    if (!out->causal && out->has_states) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "causal = 0 has no meaning with states");
    }
    int64_t key_width = out->head_size * out->n_kv_heads;
    int64_t value_width =
        kit_width(&node->in[out->has_rows ? KIT_ATTENTION_V : KIT_ATTENTION_VALUE_STATE]);
    if (value_width <= 0 || value_width % out->n_kv_heads != 0) {
        return kit_no(answer, SY_REASON_SHAPE, "v does not fit num_kv_heads");
    }
    out->value_size = value_width / out->n_kv_heads;
    return (!out->has_rows || (rows_check(node, KIT_ATTENTION_K, key_width, "k", answer) &&
                               rows_check(node, KIT_ATTENTION_V, value_width, "v", answer))) &&
           (!out->has_states ||
            (state_check(&node->in[KIT_ATTENTION_KEY_STATE], key_width, answer) &&
             state_check(&node->in[KIT_ATTENTION_VALUE_STATE], value_width, answer)));
}

static bool sinks_check(const sy_value_view *sinks, int64_t n_heads, kit_answer *answer) {
    return kit_require_type(sinks, SY_TYPE_F32, "sinks", answer) &&
           ((sinks->rank == 1 && kit_width(sinks) == n_heads) ||
            kit_no(answer, SY_REASON_SHAPE, "sinks is not [H]")) &&
           kit_require_filled(sinks, "sinks", answer);
}

bool kit_check_attention(const kit_node *node, kit_attention *out, kit_answer *answer) {
    const sy_value_view *q = &node->in[KIT_ATTENTION_Q], *y = &node->out[0];
    *out = (kit_attention){0};
    if (!kit_require_same_float(q, y, answer) || !attention_attributes(node, out, answer) ||
        !attention_inputs(node, out, answer)) {
        return false;
    }
    if (y->rank != 2 || !kit_dimension_same(&y->dims[0], &q->dims[0]) ||
        kit_width(y) != out->n_heads * out->value_size) {
        return kit_no(answer, SY_REASON_SHAPE, "y is not [T, H x Dv]");
    }
    if (out->has_sinks && !sinks_check(&node->in[KIT_ATTENTION_SINKS], out->n_heads, answer)) {
        return false;
    }
    double n_queries = kit_typical_count(node->graph, q) / (double)kit_width(q);
    double n_rows = out->has_states ? PAST_ROWS + n_queries / 2 : n_queries;
    double n_each = (double)(out->head_size + out->value_size);
    n_rows = out->window > 0 && n_rows > (double)out->window ? (double)out->window : n_rows;
    answer->f32_ops = 2.0 * n_queries * n_rows * (double)out->n_heads * n_each;
    answer->activation_bytes = 2.0 * n_rows * (double)out->n_kv_heads * n_each;
    return true;
}

bool kit_check_causal_convolution(const kit_node *node, kit_causal_convolution *out,
                                  kit_answer *answer) {
    const sy_value_view *x = &node->in[0], *w = &node->in[1], *state = &node->in[2];
    const sy_value_view *y = &node->out[0];
    *out = (kit_causal_convolution){.n_channels = kit_width(x), .length = kit_width(w)};
    if (!kit_attributes_known(node, NULL, answer) || !kit_require_same_float(x, y, answer) ||
        !kit_require_type(w, SY_TYPE_F32, "weight", answer) ||
        !kit_require_filled(w, "weight", answer)) {
        return false;
    }
    if (state->kind != SY_VALUE_STATE || state->rank != 2 || x->rank != 2 || w->rank != 2 ||
        !kit_shape_same(x, y) || out->n_channels <= 0 || out->length <= 0 ||
        w->dims[0].symbol != 0 || w->dims[0].bound != out->n_channels ||
        kit_width(state) != out->n_channels) {
        return kit_no(answer, SY_REASON_SHAPE, "x, weight, state and y do not fit together");
    }
    kit_count_elements(node, 12.0, 2.0 * (double)out->length, answer);
    return state_check(state, out->n_channels, answer);
}
