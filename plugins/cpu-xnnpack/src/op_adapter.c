/* SPDX-License-Identifier: Apache-2.0 */
/* AdapterLinear: runs of rows with the same adapters go through A with the kernels of Linear, then
 * add up rows of the turned B. Small products stay on the calling thread. */
#include "adapter.h"
#include "fuse.h"

#include <string.h>

#define TILE_ROWS 32u
#define TILE_COLUMNS 256u
#define NARROW_ROWS 8u /* rows of x A^T in one task */

static bool adapter_check(const sy_device *device, const cpu_node *node, const cpu_operator *op,
                          cpu_params *out_params, cpu_answer *answer) {
    static const char *const names[] = {"slot", "max_rank", NULL};
    const sy_value_view *y = &node->in[0], *x = &node->in[1], *rows = &node->in[2];
    (void)device;
    (void)op;
    if (!cpu_attributes_known(node, names, answer) ||
        !cpu_attribute_int(node, "slot", -1, &out_params->slot, answer) ||
        !cpu_attribute_int(node, "max_rank", 0, &out_params->max_rank, answer) ||
        !cpu_require_type(y, SY_TYPE_F32, "y", answer) ||
        !cpu_require_type(x, SY_TYPE_F32, "x", answer) ||
        !cpu_require_type(&node->out[0], SY_TYPE_F32, "the result", answer)) {
        return false;
    }
    if (out_params->slot < 0 || out_params->max_rank < 1 ||
        out_params->max_rank > CPU_ADAPTER_RANK_MOST) {
        return cpu_no(answer, SY_REASON_ATTRIBUTE, "slot %lld or max_rank %lld is out of range",
                      (long long)out_params->slot, (long long)out_params->max_rank);
    }
    if (y->rank != 2 || x->rank != 2 || !cpu_rows_same(x, y) || cpu_width(x) == 0 ||
        cpu_width(y) == 0 || !cpu_shape_same(y, &node->out[0])) {
        return cpu_no(answer, SY_REASON_SHAPE, "y, x and the result do not fit together");
    }
    if (node->n_in > 2 && node->has_in[2] &&
        (!cpu_require_type(rows, SY_TYPE_I32, "rows", answer) || rows->rank != 1 ||
         !cpu_dimension_same(&rows->dims[0], &y->dims[0]))) {
        return answer->reason != SY_REASON_NONE
                   ? false
                   : cpu_no(answer, SY_REASON_SHAPE, "rows does not have one element per row");
    }
    out_params->k = (uint64_t)cpu_width(x);
    out_params->n = (uint64_t)cpu_width(y);
    answer->score = 60; /* nearly free in most steps: those without adapters */
    return true;
}

static sy_status adapter_prepare(cpu_builder *builder, const cpu_node *node, cpu_step *step) {
    return cpu_builder_space(builder, &node->in[1], step->params.max_rank, &step->params.derived);
}

/* Rows [row, row + n) with one pair of one adapter. */
typedef struct pair_work {
    cpu_run *run;
    const cpu_step *step;
    const sy_adapter_pair *pair;
    float scale;
    uint64_t row, n_rows;
    uint64_t n_column_tasks;
} pair_work;

static const float *floats(const cpu_tensor *t, uint64_t row) {
    return (const float *)(const void *)t->data + row * cpu_tensor_width(t);
}

static float *narrow_of(const pair_work *work, uint64_t row) {
    const cpu_tensor *narrow = &work->run->tensors[work->step->params.derived];
    return (float *)(void *)narrow->data + row * cpu_tensor_width(narrow);
}

static cpu_linear product(const sy_memory *matrix, sy_element_type type, uint64_t k) {
    uint64_t row_bytes = 0;
    cpu_type_row_bytes(type, k, &row_bytes);
    return (cpu_linear){.weights = matrix->pointer, .weight_row_bytes = row_bytes, .k = k};
}

/* scale * x A^T. */
static void narrow_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const pair_work *work = argument;
    const sy_adapter_pair *pair = work->pair;
    uint64_t first = (uint64_t)i_task * NARROW_ROWS, row = work->row + first;
    uint64_t n_rows = work->n_rows - first < NARROW_ROWS ? work->n_rows - first : NARROW_ROWS;
    cpu_linear linear = product(&pair->a, pair->a_type, work->step->params.k);
    (void)i_worker;
    linear.rows = (const uint8_t *)(const void *)floats(cpu_run_in(work->run, work->step, 1), row);
    linear.row_bytes = linear.k * sizeof(float);
    linear.out = narrow_of(work, row);
    linear.out_stride = (size_t)work->step->params.max_rank;
    linear.n_columns = pair->rank;
    linear.n_rows = n_rows;
    cpu_kernels_of(work->run->kernels, pair->a_type)->linear(&linear);
    for (uint64_t r = 0; r < n_rows; r++) {
        float *values = linear.out + r * linear.out_stride;
        work->run->kernels->rows->scale(values, work->scale, pair->rank, values);
    }
}

/* y += that B^T, a tile at a time. */
static void wide_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const pair_work *work = argument;
    const sy_adapter_pair *pair = work->pair;
    const cpu_tensor *y = cpu_run_out(work->run, work->step, 0);
    uint64_t column = i_task % work->n_column_tasks * TILE_COLUMNS;
    uint64_t first = i_task / work->n_column_tasks * TILE_ROWS, row = work->row + first;
    uint64_t n = work->step->params.n, n_columns = n - column, n_rows = work->n_rows - first;
    const float *turned = (const float *)pair->b.pointer + column;
    (void)i_worker;
    n_columns = n_columns < TILE_COLUMNS ? n_columns : TILE_COLUMNS;
    n_rows = n_rows < TILE_ROWS ? n_rows : TILE_ROWS;
    for (uint64_t r = row; r < row + n_rows; r++) {
        float *to = (float *)(void *)y->data + r * n + column;
        work->run->kernels->rows->accumulate(narrow_of(work, r), turned, n, pair->rank, n_columns,
                                             1.0f, to);
    }
}

static sy_status pair_run(pair_work *work) {
    uint64_t n_narrow = (work->n_rows + NARROW_ROWS - 1) / NARROW_ROWS;
    uint64_t n_row_tasks = (work->n_rows + TILE_ROWS - 1) / TILE_ROWS;
    uint64_t cost = work->n_rows * work->pair->rank / 8;
    sy_status status =
        cpu_run_tasks(work->run, narrow_task, work, n_narrow, cost * work->step->params.k);
    work->n_column_tasks = (work->step->params.n + TILE_COLUMNS - 1) / TILE_COLUMNS;
    return status == SY_OK
               ? cpu_run_tasks(work->run, wide_task, work, work->n_column_tasks * n_row_tasks,
                               cost * work->step->params.n)
               : status;
}

/* First use of the sequence that a row belongs to, or NULL. */
static const sy_adapter_use *use_of(const cpu_run *run, const cpu_tensor *rows, uint64_t row) {
    int32_t token = (int32_t)row;
    if (rows != NULL) {
        memcpy(&token, rows->data + 4 * row, sizeof(token));
    }
    for (uint32_t i = 0; i < run->job->n_sequences; i++) {
        const sy_sequence *q = &run->job->sequences[i];
        if (token >= 0 && (uint32_t)token >= q->first_row &&
            (uint32_t)token - q->first_row < q->n_tokens) {
            return q->adapter != 0 ? &run->job->adapters[q->adapter - 1] : NULL;
        }
    }
    return NULL;
}

static bool same_uses(const sy_adapter_use *a, const sy_adapter_use *b) {
    while (a != b && a != NULL && b != NULL && a->weights == b->weights && a->scale == b->scale &&
           a->more == b->more) {
        if (a->more == 0) {
            return true;
        }
        a++;
        b++;
    }
    return a == b;
}

/* All adapters of rows that have the same ones. */
static sy_status rows_run(cpu_run *run, const cpu_step *step, const sy_adapter_use *use,
                          uint64_t row, uint64_t n_rows) {
    for (bool more = use != NULL; more; use++) {
        const cpu_params *p = &step->params;
        bool has_pair = (uint64_t)p->slot < use->weights->n_pairs;
        const sy_adapter_pair *pair = has_pair ? &use->weights->pairs[p->slot] : NULL;
        more = use->more != 0;
        if (pair == NULL || pair->rank == 0) {
            continue;
        }
        if (pair->n_inputs != p->k || pair->n_outputs != p->n ||
            (int64_t)pair->rank > p->max_rank) {
            return cpu_report(SY_INVALID_ARGUMENT, step->i_node,
                              "an adapter's pair of %llu x %llu and rank %u does not fit node %u",
                              (unsigned long long)pair->n_outputs,
                              (unsigned long long)pair->n_inputs, pair->rank, step->i_node);
        }
        pair_work work = {run, step, pair, pair->scale * use->scale, row, n_rows, 0};
        sy_status status = pair_run(&work);
        if (status != SY_OK) {
            return status;
        }
    }
    return SY_OK;
}

static sy_status adapter_run(cpu_run *run, const cpu_step *step) {
    const cpu_tensor *y = cpu_run_in(run, step, 0), *out = cpu_run_out(run, step, 0);
    const cpu_tensor *rows = cpu_run_in(run, step, 2);
    uint64_t n_rows = cpu_tensor_rows(y);
    sy_status status = SY_OK;
    if (out->data != y->data && y->n_elements > 0) {
        memcpy(out->data, y->data, y->n_elements * sizeof(float));
    }
    for (uint64_t row = 0; status == SY_OK && row < n_rows;) {
        const sy_adapter_use *use = use_of(run, rows, row);
        uint64_t end = row + 1;
        while (end < n_rows && same_uses(use, use_of(run, rows, end))) {
            end++;
        }
        status = rows_run(run, step, use, row, end - row);
        row = end;
    }
    return status;
}

void cpu_fuse_adapters(sy_unit *unit) {
    for (uint32_t i = 0; i < unit->n_steps; i++) {
        const cpu_step *step = &unit->steps[i];
        cpu_value *y = &unit->values[step->in[0]], *out = &unit->values[step->out[0]];
        if (step->operator->run != adapter_run || out->place != CPU_PLACE_SCRATCH ||
            cpu_step_only_reader(unit, step->in[0]) != i) {
            continue;
        }
        out->place = CPU_PLACE_ALIAS;
        out->index = step->in[0];
        y->last_step = out->last_step > y->last_step ? out->last_step : y->last_step;
    }
}

const cpu_operator cpu_operators_adapter[] = {
    {.domain = "switchyard",
     .name = "AdapterLinear",
     .version = 1,
     .n_in_least = 2,
     .n_in_most = 3,
     .n_out = 1,
     .check = adapter_check,
     .prepare = adapter_prepare,
     .run = adapter_run},
    {.name = NULL},
};
