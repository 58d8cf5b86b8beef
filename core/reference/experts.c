/* SPDX-License-Identifier: Apache-2.0 */
/* Mixtures of experts: which experts a row goes to, the products with their weights, the sum. */
#include "base/checked.h"
#include "reference/blocks.h"
#include "reference/element.h"
#include "reference/operators.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define TASK_COLUMNS 16

enum { GATING_SOFTMAX, GATING_SOFTMAX_CHOSEN, GATING_SIGMOID };

/* ---- ExpertRouter ---- */
SY__PREPARE(expert_router) {
    sy__params *p = &facts->params;
    const char *gating = "";
    if (!sy__ref_require_float_in(facts, 0) || !sy__ref_require_type_in(facts, 1, SY_TYPE_F32) ||
        !sy__ref_attribute_string(facts, "gating", "", &gating) ||
        !sy__ref_attribute_int(facts, "num_used", 0, &p->n_used) ||
        !sy__ref_attribute_bool(facts, "normalize", false, &p->normalize) ||
        !sy__ref_attribute_float(facts, "scale", 1.0, &p->scale)) {
        return false;
    }
    if (facts->outputs[0]->type != SY_TYPE_I32 || facts->outputs[1]->type != SY_TYPE_F32) {
        return sy__ref_refuse(facts, SY_REASON_TYPE, "outputs must be i32 and f32");
    }
    static const char *const names[] = {"softmax", "softmax_chosen", "sigmoid"};
    for (p->activation = 0; p->activation < 3; p->activation++) {
        if (strcmp(gating, names[p->activation]) == 0) {
            return p->n_used > 0 ||
                   sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "num_used is missing");
        }
    }
    return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "gating %.40s", gating);
}

SY__INFER(expert_router) {
    const sy__shape *scores = &inputs[0]->shape;
    const sy__tensor *bias = n_inputs > 1 ? inputs[1] : NULL;
    if (scores->rank != 2 || params->n_used > scores->dims[1] ||
        (bias != NULL && (bias->shape.rank != 1 || bias->shape.dims[0] != scores->dims[1]))) {
        return false;
    }
    for (uint32_t i = 0; i < n_outputs; i++) {
        out_shapes[i] = (sy__shape){.rank = 2, .dims = {scores->dims[0], params->n_used}};
    }
    return true;
}

/* For each worker: the gates of all experts, what they are chosen by, the chosen ones' weights. */
SY__WORK(expert_router) {
    uint64_t n_bytes = 0;
    uint64_t n_experts = (uint64_t)facts->inputs[0]->shape.dims[1];
    return sy__mul_u64(n_experts, 3 * (uint64_t)n_workers * sizeof(double), &n_bytes) ? n_bytes
                                                                                      : UINT64_MAX;
}

static void softmax(double *x, int64_t n) {
    double most = -INFINITY, sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        most = x[i] > most ? x[i] : most;
    }
    for (int64_t i = 0; i < n; i++) {
        x[i] = exp(x[i] - most);
        sum += x[i];
    }
    for (int64_t i = 0; i < n; i++) {
        x[i] /= sum;
    }
}

/* The largest that is left, the first of equals; it is taken out of the list. */
static int64_t choose(double *keys, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++) {
        best = keys[i] > keys[best] || isnan(keys[best]) ? i : best;
    }
    keys[best] = NAN;
    return best;
}

static void expert_router_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const sy__call *call = argument;
    const sy__params *p = call->params;
    int64_t n = call->inputs[0]->shape.dims[1];
    double *gates = (double *)(void *)call->work + 3 * (int64_t)i_worker * n;
    double *keys = gates + n, *chosen = keys + n, sum = 0.0;
    sy__ref_get_f64(call->inputs[0], (int64_t)i_task * n, 1, n, gates);
    memcpy(keys, gates, (size_t)n * sizeof(double));
    if (p->activation == GATING_SOFTMAX) {
        softmax(gates, n);
    }
    for (int64_t i = 0; i < n && p->activation == GATING_SIGMOID; i++) {
        gates[i] = 1.0 / (1.0 + exp(-gates[i]));
    }
    if (call->inputs[1] != NULL) {
        sy__ref_get_f64(call->inputs[1], 0, 1, n, keys);
        for (int64_t i = 0; i < n; i++) {
            keys[i] += gates[i];
        }
    }
    for (int64_t i = 0; i < n; i++) {
        keys[i] = isnan(keys[i]) ? -INFINITY : keys[i];
    }
    for (int64_t j = 0; j < p->n_used; j++) {
        int64_t best = choose(keys, n);
        chosen[j] = gates[best];
        sum += chosen[j];
        sy__ref_put_i64(call->outputs[0], (int64_t)i_task * p->n_used + j, 1, &best);
    }
    if (p->activation == GATING_SOFTMAX_CHOSEN) {
        softmax(chosen, p->n_used);
        sum = 1.0;
    }
    for (int64_t j = 0; j < p->n_used; j++) {
        chosen[j] *= p->scale / (p->normalize ? sum : 1.0);
    }
    sy__ref_put_f64(call->outputs[1], (int64_t)i_task * p->n_used, p->n_used, chosen);
}

SY__RUN(expert_router) {
    sy__call copy = *call; /* tasks take a pointer without const */
    return sy__ref_parallel(call, expert_router_task, &copy,
                            (uint64_t)call->inputs[0]->shape.dims[0]);
}

/* ---- ExpertLinear ---- */
SY__PREPARE(expert_linear) {
    const sy__tensor *weight = facts->inputs[1];
    if (!sy__ref_is_decodable(weight->type)) {
        return sy__ref_refuse(facts, SY_REASON_TYPE, "weight of type %s",
                              sy_type_get(weight->type)->name);
    }
    return sy__ref_require_float_in(facts, 0) && sy__ref_require_type_in(facts, 2, SY_TYPE_I32) &&
           sy__ref_require_type_in(facts, 3, SY_TYPE_F32) && sy__ref_require_float_out(facts, 0);
}

SY__INFER(expert_linear) {
    (void)params;
    (void)n_outputs;
    const sy__shape *x = &inputs[0]->shape, *w = &inputs[1]->shape, *experts = &inputs[2]->shape;
    const sy__tensor *bias = n_inputs > 3 ? inputs[3] : NULL;
    bool fits = w->rank == 3 && experts->rank == 2 && (x->rank == 2 || x->rank == 3) &&
                x->dims[0] == experts->dims[0] && x->dims[x->rank - 1] == w->dims[2] &&
                (x->rank == 2 || x->dims[1] == experts->dims[1]);
    if (!fits || (bias != NULL && (bias->shape.rank != 2 || bias->shape.dims[0] != w->dims[0] ||
                                   bias->shape.dims[1] != w->dims[1]))) {
        return false;
    }
    out_shapes[0] =
        (sy__shape){.rank = 3, .dims = {experts->dims[0], experts->dims[1], w->dims[1]}};
    return true;
}

/* For each worker: one row of weights and one of x. */
SY__WORK(expert_linear) {
    uint64_t n_bytes = 0;
    uint64_t k = (uint64_t)facts->inputs[1]->shape.dims[2];
    return sy__mul_u64(k, 2 * (uint64_t)n_workers * sizeof(float), &n_bytes) ? n_bytes : UINT64_MAX;
}

SY__MACS(expert_linear) {
    return (double)sy__ref_shape_count(&facts->outputs[0]->shape) *
           (double)facts->inputs[1]->shape.dims[2];
}

typedef struct expert_linear {
    const sy__call *call;
    int64_t n_experts, n, k, n_pairs, n_used;
    int64_t n_column_tasks;
} expert_linear;

/* Row `row` of x as f32. */
static const float *x_row(const sy__tensor *x, int64_t row, int64_t k, float *space) {
    if (x->type == SY_TYPE_F32 && x->kind != SY_VALUE_WEIGHT) {
        return (const float *)x->data + row * k;
    }
    return sy__ref_decode_row(x->type, x->data, (uint64_t)row, (uint64_t)k, space);
}

/* Column i_column of every pair (row, expert) of one expert; nobody else's weights are read. */
static void expert_column(const expert_linear *l, int64_t expert, int64_t i_column, float *space) {
    const sy__tensor *const *in = l->call->inputs;
    int64_t i_weight = expert * l->n + i_column;
    bool decoded = false;
    double bias = 0.0;
    for (int64_t pair = 0; pair < l->n_pairs; pair++) {
        int64_t id = 0;
        sy__ref_get_i64(in[2], pair, 1, 1, &id);
        if (id != expert) {
            continue;
        }
        if (!decoded) {
            sy__ref_decode_row(in[1]->type, in[1]->data, (uint64_t)i_weight, (uint64_t)l->k, space);
            if (in[3] != NULL) {
                sy__ref_get_f64(in[3], i_weight, 1, 1, &bias);
            }
            decoded = true;
        }
        int64_t row = in[0]->shape.rank == 2 ? pair / l->n_used : pair;
        double y = sy__ref_dot(x_row(in[0], row, l->k, space + l->k), space, l->k) + bias;
        sy__ref_put_f64(l->call->outputs[0], pair * l->n + i_column, 1, &y);
    }
}

static void expert_linear_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const expert_linear *l = argument;
    float *space = (float *)(void *)l->call->work + 2 * (int64_t)i_worker * l->k;
    int64_t first = i_task % l->n_column_tasks * TASK_COLUMNS;
    int64_t end = first + TASK_COLUMNS < l->n ? first + TASK_COLUMNS : l->n;
    for (int64_t i = first; i < end; i++) {
        expert_column(l, i_task / l->n_column_tasks, i, space);
    }
}

SY__RUN(expert_linear) {
    const sy__shape *w = &call->inputs[1]->shape, *experts = &call->inputs[2]->shape;
    expert_linear l = {.call = call,
                       .n_experts = w->dims[0],
                       .n = w->dims[1],
                       .k = w->dims[2],
                       .n_pairs = sy__ref_shape_count(experts),
                       .n_used = experts->dims[1],
                       .n_column_tasks = (w->dims[1] + TASK_COLUMNS - 1) / TASK_COLUMNS};
    for (int64_t i = 0; i < l.n_pairs; i++) {
        int64_t id = 0;
        sy__ref_get_i64(call->inputs[2], i, 1, 1, &id);
        if (id < 0 || id >= l.n_experts) {
            return sy__ref_fail(call, SY_OUT_OF_RANGE,
                                "expert %" PRId64 " in row %" PRId64 ", there are %" PRId64, id,
                                i / l.n_used, l.n_experts);
        }
    }
    if (l.n_pairs == 0) {
        return SY_OK;
    }
    return sy__ref_parallel(call, expert_linear_task, &l,
                            (uint64_t)l.n_experts * (uint64_t)l.n_column_tasks);
}

/* ---- ExpertSum ---- */
SY__PREPARE(expert_sum) {
    return sy__ref_require_float_in(facts, 0) && sy__ref_require_type_in(facts, 1, SY_TYPE_F32) &&
           sy__ref_require_float_out(facts, 0);
}

SY__INFER(expert_sum) {
    (void)params;
    (void)n_inputs;
    (void)n_outputs;
    const sy__shape *x = &inputs[0]->shape, *weights = &inputs[1]->shape;
    if (x->rank != 3 || weights->rank != 2 || x->dims[0] != weights->dims[0] ||
        x->dims[1] != weights->dims[1]) {
        return false;
    }
    out_shapes[0] = (sy__shape){.rank = 2, .dims = {x->dims[0], x->dims[2]}};
    return true;
}

static void expert_sum_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const sy__call *call = argument;
    const sy__shape *x = &call->inputs[0]->shape;
    int64_t n_used = x->dims[1], n = x->dims[2];
    (void)i_worker;
    for (int64_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (int64_t j = 0; j < n_used; j++) {
            double value = 0.0, weight = 0.0;
            int64_t pair = (int64_t)i_task * n_used + j;
            sy__ref_get_f64(call->inputs[0], pair * n + i, 1, 1, &value);
            sy__ref_get_f64(call->inputs[1], pair, 1, 1, &weight);
            sum += weight * value;
        }
        sy__ref_put_f64(call->outputs[0], (int64_t)i_task * n + i, 1, &sum);
    }
}

SY__RUN(expert_sum) {
    sy__call copy = *call; /* tasks take a pointer without const */
    return sy__ref_parallel(call, expert_sum_task, &copy, (uint64_t)call->inputs[0]->shape.dims[0]);
}
