/* SPDX-License-Identifier: Apache-2.0 */
/* AdapterLinear: runs of rows with the same adapters go through A with the kernels of Linear, then
 * through B in tiles. Where the node's y comes straight from a product, the product's tiles take
 * the second half along (cpu_fuse_linear_adapters), so that nothing passes over y again. */
#include "adapter.h"
#include "fuse.h"

#include <string.h>

#define TILE_ROWS 32u
#define TILE_COLUMNS (8 * CPU_EXPAND_COLUMNS)
#define NARROW_ROWS 12u /* rows of x A^T in one task */

static bool adapter_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                          cpu_params *out_params, kit_answer *answer) {
    kit_adapter_linear adapter;
    (void)device;
    (void)op;
    if (!kit_check_adapter_linear(node, &adapter, answer)) {
        return false;
    }
    out_params->k = (uint64_t)adapter.k;
    out_params->n = (uint64_t)adapter.n;
    out_params->slot = adapter.slot;
    out_params->max_rank = adapter.max_rank;
    answer->score = 60; /* nearly free in most steps: those without adapters */
    return true;
}

static sy_status adapter_prepare(cpu_builder *builder, const kit_node *node, cpu_step *step) {
    return cpu_builder_space(builder, &node->in[1], step->params.max_rank * KIT_ADAPTER_USES_MOST,
                             &step->params.derived);
}

/* ---- which rows use what ---- */
/* First use of the sequence that a row belongs to, or NULL; the rows to *out_end have it, too. */
static const sy_adapter_use *use_of(const cpu_run *run, const cpu_tensor *rows, uint64_t row,
                                    uint64_t *out_end) {
    int32_t token = (int32_t)row;
    if (rows != NULL) {
        memcpy(&token, rows->data + 4 * row, sizeof(token));
    }
    *out_end = row + 1;
    for (uint32_t i = 0; i < run->job->n_sequences; i++) {
        const sy_sequence *q = &run->job->sequences[i];
        if (token >= 0 && (uint32_t)token >= q->first_row &&
            (uint32_t)token - q->first_row < q->n_tokens) {
            *out_end = rows == NULL ? (uint64_t)q->first_row + q->n_tokens : row + 1;
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

/* Uses of a row and of those behind it, as far as they are the same. */
static const sy_adapter_use *uses_from(const cpu_run *run, const cpu_step *step, uint64_t row,
                                       uint64_t limit, uint64_t *out_end) {
    const cpu_tensor *rows = cpu_run_in(run, step, 2);
    uint64_t end = row, next_end = row;
    const sy_adapter_use *first = use_of(run, rows, row, &next_end), *next = first;
    while (same_uses(first, next)) {
        end = next_end;
        if (end >= limit) {
            break;
        }
        next = use_of(run, rows, end, &next_end);
    }
    *out_end = end < limit ? end : limit;
    return first;
}

static float *narrow_of(const cpu_run *run, const cpu_step *step, uint64_t row, uint64_t i_use) {
    const cpu_tensor *narrow = &run->tensors[step->params.derived];
    return (float *)(void *)narrow->data + row * cpu_tensor_width(narrow) +
           i_use * (uint64_t)step->params.max_rank;
}

/* ---- scale * x A^T ---- */
typedef struct narrow_work {
    cpu_run *run;
    const cpu_step *step;
    const sy_adapter_pair *pair;
    float scale;
    uint64_t row, n_rows, i_use;
} narrow_work;

static void narrow_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const narrow_work *work = argument;
    const sy_adapter_pair *pair = work->pair;
    const cpu_tensor *x = cpu_run_in(work->run, work->step, 1);
    uint64_t first = (uint64_t)i_task * NARROW_ROWS, row = work->row + first;
    uint64_t left = work->n_rows - first, k = work->step->params.k, row_bytes = 0;
    kit_type_row_bytes(pair->a_type, k, &row_bytes);
    (void)i_worker;
    cpu_linear linear = {.weights = pair->a.pointer,
                         .weight_row_bytes = row_bytes,
                         .rows = x->data + row * k * sizeof(float),
                         .row_bytes = k * sizeof(float),
                         .out = narrow_of(work->run, work->step, row, work->i_use),
                         .out_stride = KIT_ADAPTER_USES_MOST * (size_t)work->step->params.max_rank,
                         .k = k,
                         .n_columns = pair->rank,
                         .n_rows = left < NARROW_ROWS ? left : NARROW_ROWS,
                         .ahead = pair->b.pointer};
    cpu_kernels_of(work->run->kernels, pair->a_type)->linear(&linear);
    for (uint64_t r = 0; r < linear.n_rows; r++) {
        float *values = linear.out + r * linear.out_stride;
        work->run->kernels->rows->scale(values, work->scale, pair->rank, values);
    }
}

/* Of rows that have the same uses. */
static sy_status narrow_rows(cpu_run *run, const cpu_step *step, const sy_adapter_use *use,
                             uint64_t row, uint64_t n_rows) {
    const cpu_params *p = &step->params;
    sy_status status = SY_OK;
    uint64_t i_use = 0;
    for (bool more = use != NULL; status == SY_OK && more; use++, i_use++) {
        const sy_adapter_pair *pair = kit_adapter_pair(use->weights, step->params.slot);
        more = use->more != 0;
        if (pair == NULL) {
            continue;
        }
        status = kit_adapter_fits(pair, p->k, p->n, p->max_rank, step->i_node);
        if (status != SY_OK) {
            break;
        }
        narrow_work work = {run, step, pair, pair->scale * use->scale, row, n_rows, i_use};
        status = cpu_run_tasks(run, narrow_task, &work, (n_rows + NARROW_ROWS - 1) / NARROW_ROWS,
                               n_rows * pair->rank * p->k / 8);
    }
    return status;
}

sy_status cpu_adapter_narrow(cpu_run *run, const cpu_step *step) {
    uint64_t n_rows = cpu_tensor_rows(cpu_run_in(run, step, 1)), end = 0;
    sy_status status = SY_OK;
    for (uint64_t row = 0; status == SY_OK && row < n_rows; row = end) {
        const sy_adapter_use *use = uses_from(run, step, row, n_rows, &end);
        status = narrow_rows(run, step, use, row, end - row);
    }
    return status;
}

/* ---- y += that B^T ---- */
void cpu_adapter_widen(const cpu_run *run, const cpu_step *step, uint64_t row, uint64_t column,
                       const cpu_expand *tile) {
    uint64_t limit = row + tile->n_rows, end = 0;
    float *out = tile->out;
    for (; row < limit; out += (end - row) * tile->out_stride, row = end) {
        const sy_adapter_use *use = uses_from(run, step, row, limit, &end);
        uint64_t i_use = 0;
        for (bool more = use != NULL; more; use++, i_use++) {
            const sy_adapter_pair *pair = kit_adapter_pair(use->weights, step->params.slot);
            uint64_t column_bytes = 0;
            more = use->more != 0;
            if (pair == NULL) {
                continue;
            }
            kit_type_row_bytes(pair->b_type, pair->rank, &column_bytes);
            cpu_expand expand = *tile;
            expand.out = out;
            expand.n_rows = end - row;
            expand.wide = (const uint8_t *)pair->b.pointer + column * column_bytes;
            expand.type = pair->b_type;
            expand.rank = pair->rank;
            expand.narrow = narrow_of(run, step, row, i_use);
            expand.narrow_stride = KIT_ADAPTER_USES_MOST * (size_t)step->params.max_rank;
            run->kernels->rows->expand(&expand);
        }
    }
}

typedef struct wide_work {
    const cpu_run *run;
    const cpu_step *step;
    uint64_t n_rows, n_column_tasks;
} wide_work;

static void wide_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const wide_work *work = argument;
    const cpu_tensor *y = cpu_run_out(work->run, work->step, 0);
    uint64_t column = i_task % work->n_column_tasks * TILE_COLUMNS;
    uint64_t row = i_task / work->n_column_tasks * TILE_ROWS;
    uint64_t n = work->step->params.n, n_columns = n - column, n_rows = work->n_rows - row;
    (void)i_worker;
    const cpu_expand tile = {.out = (float *)(void *)y->data + row * n + column,
                             .out_stride = n,
                             .n_columns = n_columns < TILE_COLUMNS ? n_columns : TILE_COLUMNS,
                             .n_rows = n_rows < TILE_ROWS ? n_rows : TILE_ROWS};
    cpu_adapter_widen(work->run, work->step, row, column, &tile);
}

static sy_status adapter_run(cpu_run *run, const cpu_step *step) {
    const cpu_tensor *y = cpu_run_in(run, step, 0), *out = cpu_run_out(run, step, 0);
    wide_work work = {.run = run, .step = step, .n_rows = cpu_tensor_rows(y)};
    uint64_t n_row_tasks = (work.n_rows + TILE_ROWS - 1) / TILE_ROWS;
    work.n_column_tasks = (step->params.n + TILE_COLUMNS - 1) / TILE_COLUMNS;
    if (out->data != y->data && y->n_elements > 0) {
        memcpy(out->data, y->data, y->n_elements * sizeof(float));
    }
    sy_status status = cpu_adapter_narrow(run, step);
    return status == SY_OK ? cpu_run_tasks(run, wide_task, &work, work.n_column_tasks * n_row_tasks,
                                           y->n_elements * (uint64_t)step->params.max_rank / 8)
                           : status;
}

/* ---- in front of running ---- */
/* The product whose result is y and nothing else's, over the same x; SY_NO_VALUE: none. */
static uint32_t find_product(const sy_unit *unit, uint32_t i_adapter) {
    const cpu_step *adapter = &unit->steps[i_adapter];
    if (cpu_step_only_reader(unit, adapter->in[0]) != i_adapter) {
        return SY_NO_VALUE;
    }
    for (uint32_t i = 0; i < i_adapter; i++) {
        const cpu_step *step = &unit->steps[i];
        if (step->out[0] == adapter->in[0]) {
            bool fits = cpu_step_is(step, "Linear") && step->params.object == NULL &&
                        step->in[0] == adapter->in[1];
            return fits ? i : SY_NO_VALUE;
        }
    }
    return SY_NO_VALUE;
}

void cpu_fuse_linear_adapters(sy_unit *unit) {
    for (uint32_t i = 0; i < unit->n_steps; i++) {
        cpu_step *adapter = &unit->steps[i];
        uint32_t i_product =
            adapter->operator->run == adapter_run ? find_product(unit, i) : SY_NO_VALUE;
        if (i_product == SY_NO_VALUE) {
            continue;
        }
        cpu_step *product = &unit->steps[i_product];
        cpu_value_never_made(unit, adapter->in[0], i_product);
        cpu_value_made_at(unit, adapter->out[0], i_product);
        cpu_value_made_at(unit, adapter->params.derived, i_product);
        product->out[0] = adapter->out[0];
        product->params.adapter = i + 1;
        product->params.reads_x = true;
        adapter->operator= & cpu_operator_merged;
    }
}

void cpu_fuse_adapters(sy_unit *unit) {
    for (uint32_t i = 0; i < unit->n_steps; i++) {
        const cpu_step *step = &unit->steps[i];
        kit_value *y = &unit->values.items[step->in[0]], *out = &unit->values.items[step->out[0]];
        if (step->operator->run != adapter_run || out->place != KIT_PLACE_SCRATCH ||
            cpu_step_only_reader(unit, step->in[0]) != i) {
            continue;
        }
        out->place = KIT_PLACE_ALIAS;
        out->index = step->in[0];
        y->last_step = out->last_step > y->last_step ? out->last_step : y->last_step;
    }
}

const cpu_operator cpu_operators_adapter[] = {
    {.domain = "switchyard",
     .name = "AdapterLinear",
     .check = adapter_check,
     .prepare = adapter_prepare,
     .run = adapter_run},
    {.name = NULL},
};
