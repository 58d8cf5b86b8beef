/* SPDX-License-Identifier: Apache-2.0 */
/* Inference rules of the operators of mixtures of experts, as docs/operators.md states them. */
#include "graph/infer.h"

#include <inttypes.h>
#include <string.h>

static sy_status infer_router(const sy__infer_call *call) {
    static const char *const known[] = {"softmax", "softmax_chosen", "sigmoid"};
    const sy_value_view *scores = sy__call_input(call, 0), *bias = sy__call_input(call, 1);
    const char *gating = sy__attribute_string(call->node, "gating", "");
    int64_t n_used = sy__attribute_int(call->node, "num_used", 0);
    bool found = false;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        found = found || strcmp(gating, known[i]) == 0;
    }
    if (!found) {
        return sy__infer_fail(call, "gating '%s' is not softmax, softmax_chosen or sigmoid",
                              gating);
    }
    if (!sy__is_float(scores->type) || scores->rank != 2 || scores->dims[1].symbol != 0 ||
        n_used < 1 || n_used > scores->dims[1].bound) {
        return sy__infer_fail(call, "scores must be float [T, experts] with num_used of them used");
    }
    if (bias != NULL && (bias->type != SY_TYPE_F32 || bias->rank != 1 ||
                         !sy__dimension_equal(&bias->dims[0], &scores->dims[1]))) {
        return sy__infer_fail(call, "bias must be f32 [%" PRId64 "]", scores->dims[1].bound);
    }
    for (uint32_t i = 0; i < 2; i++) {
        sy__result_like(call, i, scores);
        call->results[i].dims[1] = sy__dimension_fixed(n_used);
    }
    call->results[0].type = SY_TYPE_I32;
    call->results[1].type = SY_TYPE_F32;
    return SY_OK;
}

static sy_status infer_expert_linear(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0), *w = sy__call_input(call, 1);
    const sy_value_view *experts = sy__call_input(call, 2), *bias = sy__call_input(call, 3);
    if (!sy__is_linear_weight(w->type) || w->rank != 3 || experts->type != SY_TYPE_I32 ||
        experts->rank != 2) {
        return sy__infer_fail(call, "w must be a stack of matrices and experts i32 [T, used]");
    }
    bool fits = sy__is_float(x->type) && (x->rank == 2 || x->rank == 3) &&
                sy__dimension_equal(&x->dims[0], &experts->dims[0]) &&
                (x->rank == 2 || sy__dimension_equal(&x->dims[1], &experts->dims[1]));
    if (!fits || !sy__dimension_equal(&x->dims[x->rank - 1], &w->dims[2])) {
        return sy__infer_fail(call, "x must be float [T, %" PRId64 "] or one such row per expert",
                              w->dims[2].bound);
    }
    if (bias != NULL && (bias->type != SY_TYPE_F32 || bias->rank != 2 ||
                         !sy__dimension_equal(&bias->dims[0], &w->dims[0]) ||
                         !sy__dimension_equal(&bias->dims[1], &w->dims[1]))) {
        return sy__infer_fail(call, "bias must be f32 [%" PRId64 ", %" PRId64 "]", w->dims[0].bound,
                              w->dims[1].bound);
    }
    sy__result_like(call, 0, x);
    call->results[0].rank = 3;
    call->results[0].dims[1] = experts->dims[1];
    call->results[0].dims[2] = w->dims[1];
    return SY_OK;
}

static sy_status infer_expert_sum(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0), *weights = sy__call_input(call, 1);
    if (!sy__is_float(x->type) || x->rank != 3 || weights->type != SY_TYPE_F32 ||
        weights->rank != 2 || !sy__dimension_equal(&x->dims[0], &weights->dims[0]) ||
        !sy__dimension_equal(&x->dims[1], &weights->dims[1])) {
        return sy__infer_fail(call, "x must be float [T, used, N] and weights f32 [T, used]");
    }
    sy__result_like(call, 0, x);
    call->results[0].rank = 2;
    call->results[0].dims[1] = x->dims[2];
    return SY_OK;
}

const sy__infer_rule sy__infer_rules_experts[] = {
    {"switchyard", "ExpertRouter", 1, 2, 2, infer_router},
    {"switchyard", "ExpertLinear", 3, 4, 1, infer_expert_linear},
    {"switchyard", "ExpertSum", 2, 2, 1, infer_expert_sum},
    {NULL, NULL, 0, 0, 0, NULL},
};
