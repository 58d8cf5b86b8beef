/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mixtures of experts. The rows of a step are sorted by expert once for all products of a layer (a
 * derived value), each product then goes through the experts that have rows and reads no other
 * expert's weights. A row is computed by itself whoever shares its expert, so company changes no
 * bit.
 */
#include "linear.h"

#include <string.h>

#define ROWS_PER_TASK 8u
#define MOST_PAIRS (1 << 24) /* rows times experts of a row; they are counted in i32 */
#define GATHER_ROWS 64u      /* rows that meet the weights of an expert together */
#define SUM_PIECE 1024u      /* columns of a sum that one task makes */

typedef struct expert_work {
    cpu_run *run;
    const cpu_step *step;
    uint64_t n_pairs, n_columns, n_column_tasks; /* ExpertLinear, ExpertSum */
    const int32_t *order;
    cpu_linear whole;
    const uint8_t *bias;
} expert_work;

/* ---- ExpertRouter ---- */
static bool router_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                         cpu_params *out_params, kit_answer *answer) {
    kit_expert_router router;
    (void)device;
    (void)op;
    if (!kit_check_expert_router(node, &router, answer)) {
        return false;
    }
    out_params->k = (uint64_t)router.n_experts;
    out_params->n_used = router.n_used;
    out_params->scale = router.scale;
    out_params->gating = router.gating;
    out_params->normalize = router.normalize;
    return true;
}

/* Gates of all experts, what they are chosen by, the chosen ones' weights. */
static uint64_t router_bytes(const kit_node *node, const cpu_params *params) {
    (void)node;
    return 3 * params->k * sizeof(float);
}

/* The largest key that is left, the first of equals. NaN marks those that are gone. */
static uint64_t choose(float *keys, uint64_t n) {
    uint64_t best = 0;
    for (uint64_t i = 1; i < n; i++) {
        best = keys[i] > keys[best] || keys[best] != keys[best] ? i : best;
    }
    keys[best] = __builtin_nanf("");
    return best;
}

static void route_row(const expert_work *work, uint64_t row, float *space) {
    const cpu_step *step = work->step;
    const cpu_params *p = &step->params;
    const cpu_row_kernels *kernels = work->run->kernels->rows;
    const cpu_tensor *bias = cpu_run_in(work->run, step, 1);
    const cpu_tensor *experts = cpu_run_out(work->run, step, 0);
    float *gates = space, *keys = gates + p->k, *chosen = keys + p->k, sum = 0.0f;
    uint64_t n_used = (uint64_t)p->n_used;
    const float *scores =
        cpu_floats_read(work->run, cpu_run_in(work->run, step, 0), row * p->k, p->k, gates);
    memcpy(keys, scores, p->k * sizeof(float)); /* gates rise with them */
    if (p->gating == KIT_GATING_SOFTMAX) {
        kernels->softmax(scores, p->k, gates);
    } else if (p->gating == KIT_GATING_SIGMOID) {
        kernels->unary(CPU_UNARY_SIGMOID, scores, p->k, 1.0f, gates);
    } else if (scores != gates) {
        memcpy(gates, scores, p->k * sizeof(float));
    }
    for (uint64_t i = 0; i < p->k; i++) {
        if (bias != NULL) {
            memcpy(&keys[i], bias->data + i * sizeof(float), sizeof(float));
            keys[i] += gates[i];
        }
        keys[i] = keys[i] == keys[i] ? keys[i] : -__builtin_inff();
    }
    for (uint64_t j = 0; j < n_used; j++) {
        int32_t best = (int32_t)choose(keys, p->k);
        memcpy(experts->data + (row * n_used + j) * sizeof(best), &best, sizeof(best));
        chosen[j] = gates[best];
        sum += chosen[j];
    }
    if (p->gating == KIT_GATING_SOFTMAX_CHOSEN) {
        kernels->softmax(chosen, n_used, chosen);
        sum = 1.0f;
    }
    float factor = p->normalize ? (float)p->scale / sum : (float)p->scale;
    kernels->scale(chosen, factor, n_used,
                   (float *)(void *)cpu_run_out(work->run, step, 1)->data + row * n_used);
}

static void router_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const expert_work *work = argument;
    uint64_t n_rows = cpu_tensor_rows(cpu_run_in(work->run, work->step, 0));
    float *space = (float *)(void *)cpu_run_worker(work->run, i_worker);
    uint64_t first = (uint64_t)i_task * ROWS_PER_TASK;
    for (uint64_t r = first; r < first + ROWS_PER_TASK && r < n_rows; r++) {
        route_row(work, r, space);
    }
}

static sy_status router_run(cpu_run *run, const cpu_step *step) {
    expert_work work = {.run = run, .step = step};
    const cpu_tensor *scores = cpu_run_in(run, step, 0);
    uint64_t n_rows = cpu_tensor_rows(scores);
    return cpu_run_tasks(run, router_task, &work, (n_rows + ROWS_PER_TASK - 1) / ROWS_PER_TASK,
                         4 * scores->n_elements);
}

/* ---- rows by expert ---- */
/* [0, n_experts]: where the pairs of an expert begin and the last's end; then the pairs, each the
 * place of (row, choice) in `experts`, by expert and then as they come. */
static sy_status order_run(cpu_run *run, const cpu_step *step) {
    const cpu_tensor *experts = cpu_run_in(run, step, 0);
    const int32_t *ids = (const int32_t *)(const void *)experts->data;
    int32_t *begin = (int32_t *)(void *)cpu_run_out(run, step, 0)->data;
    uint64_t n_experts = step->params.n;
    int32_t *pairs = begin + n_experts + 1;
    memset(begin, 0, (n_experts + 1) * sizeof(*begin));
    for (uint64_t i = 0; i < experts->n_elements; i++) {
        if (ids[i] < 0 || (uint64_t)ids[i] >= n_experts) {
            return kit_report(SY_OUT_OF_RANGE, step->i_node, "expert %d is not in 0..%llu", ids[i],
                              (unsigned long long)n_experts - 1);
        }
        begin[ids[i]]++;
    }
    int32_t end = 0;
    for (uint64_t e = 0; e <= n_experts; e++) { /* counts become ends, filled from behind */
        end += begin[e];
        begin[e] = end;
    }
    for (uint64_t i = experts->n_elements; i-- > 0;) {
        pairs[--begin[ids[i]]] = (int32_t)i;
    }
    return SY_OK;
}

const cpu_operator cpu_operator_expert_order = {.name = "expert_order", .run = order_run};

/* ---- ExpertLinear ---- */
/* Every choice gets a place in a derived value that is counted in i32. */
static bool is_countable(const sy_value_view *experts) {
    const sy_dimension *rows = &experts->dims[0];
    int64_t n_used = kit_width(experts), most = MOST_PAIRS;
    return n_used > 0 && kit_bound_count(experts) < most &&
           (rows->symbol == 0 || (rows->scale >= 0 && rows->scale < most / n_used &&
                                  rows->offset < most && rows->offset > -most));
}

static bool expert_linear_check(const sy_device *device, const kit_node *node,
                                const cpu_operator *op, cpu_params *out_params,
                                kit_answer *answer) {
    const sy_value_view *w = &node->in[1];
    kit_expert_linear linear;
    (void)op;
    if (!kit_check_expert_linear(node, &linear, answer)) {
        return false;
    }
    if (!is_countable(&node->in[2]) || linear.n_experts >= MOST_PAIRS) {
        return kit_no(answer, SY_REASON_SHAPE, "the shapes of x, w, experts and y do not fit");
    }
    if (cpu_kernels_of(device->kernels, w->type) == NULL) {
        return kit_no(answer, SY_REASON_TYPE, "there is no kernel for w of type %s",
                      kit_type_name(w->type));
    }
    if (!kit_require_weight(w, "w", answer) ||
        (linear.has_bias && !kit_require_weight(&node->in[3], "bias", answer))) {
        return false;
    }
    out_params->n_experts = (uint64_t)linear.n_experts;
    out_params->n = (uint64_t)linear.n;
    out_params->k = (uint64_t)linear.k;
    out_params->n_used = linear.n_used;
    answer->score = 75;
    if (kit_type_is_block(w->type)) {
        out_params->planes = cpu_linear_planes(device, out_params->k);
        cpu_count_int8(out_params->planes, answer);
    }
    return true;
}

static uint64_t row_bytes_of(sy_element_type weight, const cpu_params *p) {
    return kit_type_is_block(weight) ? cpu_activation_row_bytes(p->k, p->planes)
                                     : p->k * sizeof(float);
}

static uint64_t aligned(uint64_t n_bytes) {
    return (n_bytes + 63) & ~(uint64_t)63;
}

/* The kernel's panel, the rows of an expert, their results, a piece of the bias. */
static uint64_t expert_linear_bytes(const kit_node *node, const cpu_params *params) {
    uint64_t columns = cpu_panel_columns(params->k);
    return aligned(cpu_linear_space_bytes(params->k)) +
           aligned(GATHER_ROWS * row_bytes_of(node->in[1].type, params)) +
           aligned(GATHER_ROWS * columns * sizeof(float)) + columns * sizeof(float);
}

static sy_status expert_linear_prepare(cpu_builder *builder, const kit_node *node, cpu_step *step) {
    cpu_params *p = &step->params;
    cpu_params derived;
    memset(&derived, 0, sizeof(derived));
    derived.derived = SY_NO_VALUE;
    derived.k = p->k;
    sy_status status = SY_OK;
    if (kit_type_is_block(node->in[1].type)) {
        derived.planes = p->planes;
        status = cpu_builder_derive(builder, CPU_DERIVE_QUANTISED, step, &derived, &p->derived);
    } else if (node->in[0].type != SY_TYPE_F32) {
        status = cpu_builder_derive(builder, CPU_DERIVE_F32, step, &derived, &p->derived);
    }
    if (status != SY_OK) {
        return status;
    }
    memset(&derived, 0, sizeof(derived));
    derived.derived = SY_NO_VALUE;
    derived.n = p->n_experts;
    return cpu_builder_derive(builder, CPU_DERIVE_EXPERT_ORDER, step, &derived, &step->in[4]);
}

/* One expert's weights, columns of them, and up to GATHER_ROWS of its rows. */
typedef struct expert_tile {
    uint64_t expert, column, n_columns, n_rows;
    const int32_t *pairs;
} expert_tile;

/* Results of a tile go to the rows of y that the pairs name. */
static void scatter(const expert_work *work, const expert_tile *t, const float *results) {
    const cpu_tensor *y = cpu_run_out(work->run, work->step, 0);
    for (uint64_t r = 0; r < t->n_rows; r++) {
        uint64_t first = (uint64_t)t->pairs[r] * work->n_columns + t->column;
        const float *row = results + r * t->n_columns;
        if (y->type == SY_TYPE_F32) {
            memcpy((float *)(void *)y->data + first, row, t->n_columns * sizeof(float));
        } else {
            cpu_floats_write(work->run, y, first, t->n_columns, row);
        }
    }
}

static void run_tile(const expert_work *work, const expert_tile *t, const uint8_t *ahead,
                     uint32_t i_worker) {
    const cpu_params *p = &work->step->params;
    const cpu_tensor *x = cpu_run_in(work->run, work->step, 0);
    const cpu_tensor *w = cpu_run_in(work->run, work->step, 1);
    cpu_linear l = work->whole;
    uint64_t first_row = t->expert * work->n_columns + t->column;
    uint64_t columns = cpu_panel_columns(p->k), per_row = x->rank == 2 ? (uint64_t)p->n_used : 1;
    l.space = cpu_run_worker(work->run, i_worker);
    uint8_t *rows = l.space + aligned(cpu_linear_space_bytes(p->k));
    float *results = (float *)(void *)(rows + aligned(GATHER_ROWS * l.row_bytes));
    float *bias =
        (float *)(void *)((uint8_t *)results + aligned(GATHER_ROWS * columns * sizeof(float)));
    for (uint64_t r = 0; r < t->n_rows && t->n_rows > 1; r++) {
        memcpy(rows + r * l.row_bytes,
               work->whole.rows + (uint64_t)t->pairs[r] / per_row * l.row_bytes, l.row_bytes);
    }
    l.rows = t->n_rows > 1 ? rows : l.rows + (uint64_t)t->pairs[0] / per_row * l.row_bytes;
    l.weights = w->data + first_row * l.weight_row_bytes;
    if (work->bias != NULL) {
        memcpy(bias, work->bias + first_row * sizeof(float), t->n_columns * sizeof(float));
        l.bias = bias;
    }
    l.n_columns = t->n_columns;
    l.n_rows = t->n_rows;
    l.out = results;
    l.out_stride = t->n_columns;
    l.ahead = ahead;
    cpu_kernels_of(work->run->kernels, w->type)->linear(&l);
    scatter(work, t, results);
}

static uint64_t pieces_of(const int32_t *begin, uint64_t expert) {
    uint64_t n = (uint64_t)(begin[expert + 1] - begin[expert]);
    return (n + GATHER_ROWS - 1) / GATHER_ROWS;
}

static void expert_linear_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const expert_work *work = argument;
    const cpu_params *p = &work->step->params;
    const int32_t *begin = work->order;
    uint64_t columns = cpu_panel_columns(p->k), piece = i_task / work->n_column_tasks;
    expert_tile t = {.column = i_task % work->n_column_tasks * columns};
    while (piece >= pieces_of(begin, t.expert)) {
        piece -= pieces_of(begin, t.expert++);
    }
    uint64_t first = (uint64_t)begin[t.expert] + piece * GATHER_ROWS;
    uint64_t left = (uint64_t)begin[t.expert + 1] - first;
    t.pairs = begin + p->n_experts + 1 + first;
    t.n_rows = left < GATHER_ROWS ? left : GATHER_ROWS;
    t.n_columns = work->n_columns - t.column < columns ? work->n_columns - t.column : columns;
    uint64_t next = t.column + work->run->unit->n_workers * columns;
    const uint8_t *ahead = NULL;
    if (next + columns <= work->n_columns) {
        ahead = cpu_run_in(work->run, work->step, 1)->data +
                (t.expert * work->n_columns + next) * work->whole.weight_row_bytes;
    }
    run_tile(work, &t, ahead, i_worker);
}

static sy_status expert_linear_run(cpu_run *run, const cpu_step *step) {
    const cpu_params *p = &step->params;
    const cpu_tensor *x = cpu_run_in(run, step, 0), *w = cpu_run_in(run, step, 1);
    const cpu_tensor *bias = cpu_run_in(run, step, 3);
    const cpu_tensor *rows = p->derived != SY_NO_VALUE ? &run->tensors[p->derived] : x;
    expert_work work = {.run = run,
                        .step = step,
                        .n_pairs = cpu_run_in(run, step, 2)->n_elements,
                        .n_columns = p->n,
                        .order = (const int32_t *)(const void *)cpu_run_in(run, step, 4)->data,
                        .bias = bias != NULL ? bias->data : NULL};
    if (work.n_pairs == 0 || p->n == 0) {
        return SY_OK;
    }
    uint64_t weight_row = 0, n_pieces = 0, columns = cpu_panel_columns(p->k);
    kit_type_row_bytes(w->type, p->k, &weight_row);
    work.whole = (cpu_linear){.weight_row_bytes = weight_row,
                              .rows = rows->data,
                              .row_bytes = row_bytes_of(w->type, p),
                              .k = p->k,
                              .planes = p->planes};
    work.n_column_tasks = (p->n + columns - 1) / columns;
    for (uint64_t e = 0; e < p->n_experts; e++) {
        n_pieces += pieces_of(work.order, e);
    }
    return cpu_run_tasks(run, expert_linear_task, &work, n_pieces * work.n_column_tasks,
                         work.n_pairs * p->n * p->k / 8);
}

/* ---- ExpertSum ---- */
static bool expert_sum_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                             cpu_params *out_params, kit_answer *answer) {
    kit_expert_sum sum;
    (void)device;
    (void)op;
    if (!kit_check_expert_sum(node, &sum, answer)) {
        return false;
    }
    out_params->n_used = sum.n_used;
    out_params->n = (uint64_t)sum.n;
    return true;
}

/* A sum and one expert's part of it. */
static uint64_t expert_sum_bytes(const kit_node *node, const cpu_params *params) {
    (void)node;
    (void)params;
    return 2 * SUM_PIECE * sizeof(float);
}

static void expert_sum_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const expert_work *work = argument;
    const cpu_tensor *x = cpu_run_in(work->run, work->step, 0);
    const cpu_tensor *y = cpu_run_out(work->run, work->step, 0);
    uint64_t row = i_task / work->n_column_tasks, n_used = (uint64_t)work->step->params.n_used;
    uint64_t first = i_task % work->n_column_tasks * SUM_PIECE, width = work->n_columns;
    uint64_t n = width - first < SUM_PIECE ? width - first : SUM_PIECE;
    const float *weights =
        (const float *)(const void *)cpu_run_in(work->run, work->step, 1)->data + row * n_used;
    float *space = (float *)(void *)cpu_run_worker(work->run, i_worker);
    float *sum = cpu_floats_target(y, row * width + first, space);
    memset(sum, 0, n * sizeof(float));
    for (uint64_t j = 0; j < n_used; j++) {
        uint64_t at = (row * n_used + j) * width + first;
        const float *part = cpu_floats_read(work->run, x, at, n, space + SUM_PIECE);
        work->run->kernels->rows->accumulate(&weights[j], part, n, 1, n, 1.0f, sum);
    }
    cpu_floats_write(work->run, y, row * width + first, n, sum);
}

static sy_status expert_sum_run(cpu_run *run, const cpu_step *step) {
    expert_work work = {.run = run, .step = step, .n_columns = step->params.n};
    const cpu_tensor *x = cpu_run_in(run, step, 0);
    work.n_column_tasks = (work.n_columns + SUM_PIECE - 1) / SUM_PIECE;
    return cpu_run_tasks(run, expert_sum_task, &work,
                         cpu_tensor_rows(cpu_run_out(run, step, 0)) * work.n_column_tasks,
                         x->n_elements);
}

const cpu_operator cpu_operators_experts[] = {
    {.domain = "switchyard",
     .name = "ExpertRouter",
     .check = router_check,
     .worker_bytes = router_bytes,
     .run = router_run},
    {.domain = "switchyard",
     .name = "ExpertLinear",
     .check = expert_linear_check,
     .prepare = expert_linear_prepare,
     .worker_bytes = expert_linear_bytes,
     .run = expert_linear_run},
    {.domain = "switchyard",
     .name = "ExpertSum",
     .check = expert_sum_check,
     .worker_bytes = expert_sum_bytes,
     .run = expert_sum_run},
    {.name = NULL},
};
