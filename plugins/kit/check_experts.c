/* SPDX-License-Identifier: Apache-2.0 */
/* ExpertRouter, ExpertLinear, ExpertSum. */
#include "check_shared.h"

#include <string.h>

static bool gating_read(const char *name, kit_gating *out) {
    static const char *const names[] = {"softmax", "softmax_chosen", "sigmoid"};
    *out = KIT_GATING_COUNT;
    for (uint32_t i = 0; i < KIT_GATING_COUNT; i++) {
        *out = strcmp(names[i], name) == 0 ? (kit_gating)i : *out;
    }
    return *out != KIT_GATING_COUNT;
}

bool kit_check_expert_router(const kit_node *node, kit_expert_router *out, kit_answer *answer) {
    static const char *const names[] = {"gating", "num_used", "normalize", "scale", NULL};
    const sy_value_view *scores = &node->in[0], *bias = &node->in[1];
    const sy_value_view *experts = &node->out[0], *weights = &node->out[1];
    const char *gating = NULL;
    int64_t normalize = 0;
    *out = (kit_expert_router){.n_experts = kit_width(scores)};
    out->has_bias = kit_node_has(node, 1);
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_string(node, "gating", "", &gating, answer) ||
        !kit_attribute_int(node, "num_used", 0, &out->n_used, answer) ||
        !kit_attribute_int(node, "normalize", 0, &normalize, answer) ||
        !kit_attribute_float(node, "scale", 1.0, &out->scale, answer) ||
        !kit_require_float(scores, "scores", answer) ||
        !kit_require_type(experts, SY_TYPE_I32, "experts", answer) ||
        !kit_require_type(weights, SY_TYPE_F32, "weights", answer)) {
        return false;
    }
    if (!gating_read(gating, &out->gating) || normalize < 0 || normalize > 1) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "gating '%.24s' is unknown", gating);
    }
    out->normalize = normalize != 0;
    if (scores->rank != 2 || out->n_used < 1 || out->n_used > out->n_experts ||
        !kit_rows_same(scores, experts) || kit_width(experts) != out->n_used ||
        !kit_shape_same(experts, weights)) {
        return kit_no(answer, SY_REASON_SHAPE, "scores, num_used and outputs do not fit");
    }
    if (out->has_bias && (bias->rank != 1 || kit_width(bias) != out->n_experts)) {
        return kit_no(answer, SY_REASON_SHAPE, "bias does not have one element per expert");
    }
    if (out->has_bias && (!kit_require_type(bias, SY_TYPE_F32, "bias", answer) ||
                          !kit_require_filled(bias, "bias", answer))) {
        return false;
    }
    double n = kit_typical_count(node->graph, scores);
    answer->activation_bytes = 8.0 * n;
    answer->f32_ops = (20.0 + (double)out->n_used) * n;
    return true;
}

static bool expert_linear_fits(const kit_node *node) {
    const sy_value_view *x = &node->in[0], *w = &node->in[1], *experts = &node->in[2];
    const sy_value_view *bias = &node->in[3], *y = &node->out[0];
    bool fits = w->rank == 3 && experts->rank == 2 && y->rank == 3 &&
                (x->rank == 2 || x->rank == 3) && w->dims[0].symbol == 0 && w->dims[0].bound > 0 &&
                w->dims[1].symbol == 0 && kit_width(w) > 0 && kit_width(x) == kit_width(w) &&
                kit_width(y) == w->dims[1].bound && kit_width(experts) > 0;
    for (uint32_t i = 0; fits && i < 2; i++) {
        fits = kit_dimension_same(&experts->dims[i], &y->dims[i]) &&
               (i + 1 >= x->rank || kit_dimension_same(&experts->dims[i], &x->dims[i]));
    }
    if (fits && kit_node_has(node, 3)) {
        fits = bias->rank == 2 && kit_dimension_same(&bias->dims[0], &w->dims[0]) &&
               kit_dimension_same(&bias->dims[1], &w->dims[1]);
    }
    return fits;
}

bool kit_check_expert_linear(const kit_node *node, kit_expert_linear *out, kit_answer *answer) {
    const sy_value_view *x = &node->in[0], *w = &node->in[1], *experts = &node->in[2];
    const sy_value_view *bias = &node->in[3];
    if (!kit_attributes_known(node, NULL, answer) ||
        !kit_require_same_float(x, &node->out[0], answer) ||
        !kit_require_type(experts, SY_TYPE_I32, "experts", answer)) {
        return false;
    }
    if (!expert_linear_fits(node)) {
        return kit_no(answer, SY_REASON_SHAPE, "the shapes of x, w, experts and y do not fit");
    }
    *out = (kit_expert_linear){.n_experts = w->dims[0].bound,
                               .n = w->dims[1].bound,
                               .k = w->dims[2].bound,
                               .n_used = kit_width(experts),
                               .has_row_each = x->rank == 3,
                               .has_bias = kit_node_has(node, 3)};
    if (!kit_require_decodable(w, "w", answer) || !kit_require_filled(w, "w", answer) ||
        (out->has_bias && (!kit_require_type(bias, SY_TYPE_F32, "bias", answer) ||
                           !kit_require_filled(bias, "bias", answer)))) {
        return false;
    }
    uint64_t row_bytes = 0;
    kit_type_row_bytes(w->type, (uint64_t)out->k, &row_bytes);
    double n_pairs = kit_typical_count(node->graph, experts);
    double n_read = n_pairs < (double)out->n_experts ? n_pairs : (double)out->n_experts;
    answer->weight_bytes = n_read * (double)out->n * (double)row_bytes;
    answer->activation_bytes = 4.0 * n_pairs * (double)(out->k + out->n);
    answer->f32_ops = 2.0 * n_pairs * (double)out->n * (double)out->k;
    return true;
}

bool kit_check_expert_sum(const kit_node *node, kit_expert_sum *out, kit_answer *answer) {
    const sy_value_view *x = &node->in[0], *weights = &node->in[1], *y = &node->out[0];
    *out = (kit_expert_sum){.n_used = kit_width(weights), .n = kit_width(x)};
    if (!kit_attributes_known(node, NULL, answer) || !kit_require_same_float(x, y, answer) ||
        !kit_require_type(weights, SY_TYPE_F32, "weights", answer)) {
        return false;
    }
    if (x->rank != 3 || weights->rank != 2 || y->rank != 2 || out->n <= 0 ||
        !kit_dimension_same(&x->dims[0], &weights->dims[0]) ||
        !kit_dimension_same(&x->dims[1], &weights->dims[1]) ||
        !kit_dimension_same(&x->dims[0], &y->dims[0]) || kit_width(y) != out->n) {
        return kit_no(answer, SY_REASON_SHAPE, "the shapes of x, weights and y do not fit");
    }
    double n = kit_typical_count(node->graph, x);
    answer->activation_bytes = 4.0 * n;
    answer->f32_ops = 2.0 * n;
    return true;
}
