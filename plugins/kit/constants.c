/* SPDX-License-Identifier: Apache-2.0 */
/* Small constant inputs, read once. */
#include "check_shared.h"

#include <math.h>
#include <string.h>

static double half_value(uint16_t bits) {
    uint32_t exponent = bits >> 10 & 31u, fraction = bits & 1023u;
    double size = exponent == 0 ? ldexp((double)fraction, -24)
                                : ldexp((double)(fraction + 1024u), (int)exponent - 25);
    if (exponent == 31) {
        size = fraction == 0 ? (double)INFINITY : (double)NAN;
    }
    return (bits & 0x8000u) != 0 ? -size : size;
}

bool kit_constant_float(const sy_value_view *value, double *out) {
    const uint8_t *bytes = kit_weight_bytes(value);
    uint64_t n_bytes = kit_type_block_bytes(value->type);
    uint32_t word = 0;
    uint16_t half = 0;
    float f32 = 0.0f;
    if (bytes == NULL || !kit_type_is_float(value->type) || kit_bound_count(value) != 1 ||
        value->data.length_bytes < n_bytes) {
        return false;
    }
    if (value->type == SY_TYPE_F32) {
        memcpy(&f32, bytes, sizeof(f32));
        *out = (double)f32;
        return true;
    }
    memcpy(&half, bytes, sizeof(half));
    word = (uint32_t)half << 16; /* bf16: the upper half of an f32 */
    memcpy(&f32, &word, sizeof(f32));
    *out = value->type == SY_TYPE_BF16 ? (double)f32 : half_value(half);
    return true;
}

static int64_t integer_at(const sy_value_view *value, const uint8_t *bytes, uint32_t i) {
    int64_t wide = 0;
    int32_t narrow = 0;
    if (value->type == SY_TYPE_I64) {
        memcpy(&wide, bytes + 8u * i, sizeof(wide));
        return wide;
    }
    memcpy(&narrow, bytes + 4u * i, sizeof(narrow));
    return narrow;
}

bool kit_constant_ints(const kit_node *node, uint32_t i_input, uint32_t n_most, int64_t *out,
                       uint32_t *out_n, kit_answer *answer) {
    *out_n = 0;
    if (!kit_node_has(node, i_input)) {
        return true;
    }
    const sy_value_view *value = &node->in[i_input];
    const uint8_t *bytes = kit_weight_bytes(value);
    int64_t n = kit_bound_count(value);
    if (bytes == NULL) {
        return kit_no(answer, SY_REASON_OTHER, "input %u is not constant", i_input);
    }
    if (value->type != SY_TYPE_I32 && value->type != SY_TYPE_I64) {
        return kit_no(answer, SY_REASON_TYPE, "input %u is neither i32 nor i64", i_input);
    }
    if (value->rank > 1 || n < 0 || n > (int64_t)n_most ||
        value->data.length_bytes < (uint64_t)n * kit_type_block_bytes(value->type)) {
        return kit_no(answer, SY_REASON_SHAPE, "input %u has too many entries", i_input);
    }
    for (*out_n = 0; *out_n < (uint32_t)n; (*out_n)++) {
        out[*out_n] = integer_at(value, bytes, *out_n);
    }
    return true;
}

bool kit_constant_axes(const kit_node *node, uint32_t i_input, uint32_t rank, uint32_t *out_set,
                       kit_answer *answer) {
    int64_t axes[SY_MAX_RANK];
    uint32_t n = 0;
    *out_set = 0;
    if (!kit_constant_ints(node, i_input, SY_MAX_RANK, axes, &n, answer)) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t axis = 0;
        if (!kit_axis(axes[i], rank, &axis) || (*out_set >> axis & 1u) != 0) {
            return kit_no(answer, SY_REASON_ATTRIBUTE, "an axis is outside the shape or twice");
        }
        *out_set |= 1u << axis;
    }
    return true;
}
