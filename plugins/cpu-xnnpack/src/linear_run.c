/* SPDX-License-Identifier: Apache-2.0 */
/* Running a group of products: cut into tasks by columns, and by rows where there are many. */
#include "linear.h"
#include "xnnpack_adapter.h"

#include <string.h>

#define FEW_ROWS 16u /* up to here the weights are the cost, and a task is a stretch of them */
#define TASK_ROWS_MOST 256u /* rows that meet an unpacked panel in one task */
#define TASK_ROWS_LEAST 64u
#define TILE_FLOATS (TASK_ROWS_MOST * 48u) /* results of one task that are not written in place */
#define TASK_BYTES_LEAST ((uint64_t)48 << 10)
#define TASK_BYTES_MOST ((uint64_t)384 << 10)
#define TASKS_PER_WORKER 8u

/* One product of the group, or a pair with its activation. */
typedef struct part {
    const cpu_type_kernels *kernels[2];
    cpu_linear whole[2];
    const cpu_step *step;
    uint64_t n_column_tasks, first_task, columns; /* columns of a task */
    uint64_t space_bytes;
} part;

typedef struct group_work {
    cpu_run *run;
    const cpu_linear_group *group;
    part parts[CPU_GROUP_MOST];
    uint32_t n_parts;
    uint64_t n_rows, rows, n_row_tasks, n_column_tasks; /* rows of a task */
    const cpu_tensor *y_gated, *y_quantised;
    const cpu_step *gated, *quantise;
    const uint8_t *next_weights[CPU_GROUP_MOST]; /* starts of the tasks after this group */
} group_work;

static uint64_t panel_bytes(sy_element_type type, uint64_t k) {
    return cpu_type_block(type) > 1 ? (cpu_linear_space_bytes(k) + 63) & ~(uint64_t)63 : 0;
}

uint64_t cpu_linear_worker_bytes(const cpu_node *node, const cpu_params *params) {
    bool is_f32 = node->out[0].type == SY_TYPE_F32;
    return panel_bytes(node->in[1].type, params->k) + (is_f32 ? 0 : TILE_FLOATS * sizeof(float));
}

uint64_t cpu_linear_pair_bytes(const cpu_params *params) {
    return panel_bytes(SY_TYPE_Q8_0, params->k) + 2 * TILE_FLOATS * sizeof(float);
}

static cpu_linear whole_of(const cpu_run *run, const cpu_step *step, uint64_t n_rows) {
    const cpu_params *p = &step->params;
    const cpu_tensor *x = cpu_run_in(run, step, 0), *w = cpu_run_in(run, step, 1);
    const cpu_tensor *rows = p->derived != SY_NO_VALUE ? &run->tensors[p->derived] : x;
    uint64_t weight_row = 0;
    cpu_type_row_bytes(w->type, p->k, &weight_row);
    return (cpu_linear){.weights = w->data,
                        .weight_row_bytes = weight_row,
                        .rows = rows->data,
                        .row_bytes = cpu_type_block(w->type) > 1
                                         ? cpu_activation_row_bytes(p->k, p->planes)
                                         : p->k * 4,
                        .bias = p->bias,
                        .out = (float *)(void *)cpu_run_out(run, step, 0)->data,
                        .out_stride = p->n,
                        .k = p->k,
                        .n_columns = p->n,
                        .n_rows = n_rows,
                        .planes = p->planes};
}

/* What one task computes. */
typedef struct tile {
    uint64_t column, n_columns, row, n_rows;
} tile;

/* Product i of a part. out: where the tile's first result goes. */
static void compute(const part *p, unsigned i, const tile *t, const uint8_t *ahead, uint8_t *space,
                    float *out, uint64_t out_stride) {
    cpu_linear l = p->whole[i];
    l.weights += t->column * l.weight_row_bytes;
    l.bias = l.bias != NULL ? l.bias + t->column : NULL;
    l.rows += t->row * l.row_bytes;
    l.n_columns = t->n_columns;
    l.n_rows = t->n_rows;
    l.space = space;
    l.ahead = ahead;
    l.out = out;
    l.out_stride = out_stride;
    p->kernels[i]->linear(&l);
}

/* activation(gate) * up of a tile, as f32 or as rounded rows for the product that follows. */
static void join(const group_work *work, const tile *t, float *gate, const float *up) {
    const cpu_row_kernels *kernels = work->run->kernels->rows;
    uint64_t width = work->parts[0].whole[0].n_columns;
    kernels->gated(work->gated->params.unary, gate, up, t->n_rows * t->n_columns, gate);
    for (uint64_t r = 0; r < t->n_rows; r++) {
        const float *h = gate + r * t->n_columns;
        if (work->quantise != NULL) {
            cpu_planes planes = work->quantise->params.planes;
            uint8_t *row =
                work->y_quantised->data + (t->row + r) * cpu_activation_row_bytes(width, planes);
            kernels->quantise(h, t->n_columns, planes,
                              row + t->column / 32 * cpu_record_bytes(planes));
        } else {
            float *y = (float *)(void *)work->y_gated->data;
            memcpy(y + (t->row + r) * width + t->column, h, t->n_columns * sizeof(float));
        }
    }
}

/* The weights that the worker of task `i` is likely to want after it: tasks are handed out in
 * turn, so that is as many further as there are workers. */
static const uint8_t *weights_after(const group_work *work, uint64_t i_column_task) {
    uint64_t next = i_column_task + work->run->unit->n_workers;
    if (next >= work->n_column_tasks) {
        next -= work->n_column_tasks;
        return next < CPU_GROUP_MOST ? work->next_weights[next] : NULL;
    }
    for (uint32_t i = 0; i < work->n_parts; i++) {
        const part *p = &work->parts[i];
        if (next < p->first_task + p->n_column_tasks) {
            return p->whole[0].weights +
                   (next - p->first_task) * p->columns * p->whole[0].weight_row_bytes;
        }
    }
    return NULL;
}

static const part *part_of(const group_work *work, uint64_t i_column_task) {
    const part *p = work->parts;
    while (i_column_task >= p->first_task + p->n_column_tasks) {
        p++;
    }
    return p;
}

static void group_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const group_work *work = argument;
    uint64_t i_column_task = i_task % work->n_column_tasks;
    const part *p = part_of(work, i_column_task);
    uint64_t width = p->whole[0].n_columns;
    tile t = {.column = (i_column_task - p->first_task) * p->columns,
              .row = i_task / work->n_column_tasks * work->rows};
    t.n_columns = width - t.column < p->columns ? width - t.column : p->columns;
    t.n_rows = work->n_rows - t.row < work->rows ? work->n_rows - t.row : work->rows;
    uint8_t *space = cpu_run_worker(work->run, i_worker);
    float *results = (float *)(void *)(space + p->space_bytes);
    const uint8_t *ahead = weights_after(work, i_column_task);
    if (work->gated != NULL) {
        float *up = results + TILE_FLOATS;
        const uint8_t *up_weights = p->whole[1].weights + t.column * p->whole[1].weight_row_bytes;
        compute(p, 0, &t, up_weights, space, results, t.n_columns);
        compute(p, 1, &t, ahead, space, up, t.n_columns);
        join(work, &t, results, up);
        return;
    }
    const cpu_tensor *y = cpu_run_out(work->run, p->step, 0);
    if (y->type == SY_TYPE_F32) {
        compute(p, 0, &t, ahead, space, p->whole[0].out + t.row * width + t.column, width);
        return;
    }
    compute(p, 0, &t, ahead, space, results, t.n_columns);
    for (uint64_t r = 0; r < t.n_rows; r++) {
        cpu_floats_write(work->run, y, (t.row + r) * width + t.column, t.n_columns,
                         results + r * t.n_columns);
    }
}

/* Columns of a task: by bytes of weights where rows are few, else what a kernel unpacks at once. */
static uint64_t task_columns(const group_work *work, const cpu_linear *l, uint64_t n_bytes) {
    uint64_t n = cpu_panel_columns(l->k);
    if (work->n_rows <= FEW_ROWS) {
        uint64_t aim = n_bytes / (work->run->unit->n_workers * TASKS_PER_WORKER);
        aim = aim < TASK_BYTES_LEAST  ? TASK_BYTES_LEAST
              : aim > TASK_BYTES_MOST ? TASK_BYTES_MOST
                                      : aim;
        n = (aim / (l->weight_row_bytes + 1) + 31) & ~(uint64_t)31;
    }
    uint64_t most = (TILE_FLOATS / (work->rows + 1)) & ~(uint64_t)31;
    n = n > most ? most : n;
    return n < 32 ? 32 : n;
}

static void cut(group_work *work) {
    uint64_t n_bytes = 0, n_tasks = 0;
    const unsigned n_each = work->gated != NULL ? 2 : 1;
    for (uint32_t i = 0; i < work->n_parts; i++) {
        n_bytes += work->parts[i].whole[0].n_columns * work->parts[i].whole[0].weight_row_bytes;
    }
    work->rows = work->n_rows < TASK_ROWS_MOST ? work->n_rows : TASK_ROWS_MOST;
    for (bool enough = false; !enough;) {
        n_tasks = 0;
        for (uint32_t i = 0; i < work->n_parts; i++) {
            part *p = &work->parts[i];
            p->columns = task_columns(work, &p->whole[0], n_bytes * n_each);
            p->n_column_tasks = (p->whole[0].n_columns + p->columns - 1) / p->columns;
            p->first_task = n_tasks;
            n_tasks += p->n_column_tasks;
        }
        work->n_column_tasks = n_tasks;
        work->n_row_tasks = (work->n_rows + work->rows - 1) / work->rows;
        enough = n_tasks * work->n_row_tasks >= 3 * (uint64_t)work->run->unit->n_workers ||
                 work->rows <= TASK_ROWS_LEAST;
        work->rows = enough ? work->rows : (work->rows + 1) / 2;
    }
}

/* Where the first tasks of the group that runs next begin. */
static void look_ahead(group_work *work, const sy_unit *unit) {
    if (work->group == NULL || work->group->next == 0) {
        return;
    }
    const cpu_step *next = &unit->steps[work->group->next - 1];
    const cpu_tensor *w = cpu_run_in(work->run, next, 1);
    work->next_weights[0] = w->data;
}

static void add_part(group_work *work, const sy_unit *unit, const uint32_t *members, unsigned n) {
    part *p = &work->parts[work->n_parts++];
    p->step = &unit->steps[members[0]];
    for (unsigned i = 0; i < n; i++) {
        const cpu_step *step = &unit->steps[members[i]];
        p->kernels[i] = cpu_kernels_of(work->run->kernels, cpu_run_in(work->run, step, 1)->type);
        p->whole[i] = whole_of(work->run, step, work->n_rows);
        uint64_t n_bytes = panel_bytes(cpu_run_in(work->run, step, 1)->type, step->params.k);
        p->space_bytes = n_bytes > p->space_bytes ? n_bytes : p->space_bytes;
    }
}

sy_status cpu_linear_run(cpu_run *run, const cpu_step *step) {
    const sy_unit *unit = run->unit;
    const cpu_linear_group *group = step->params.group;
    const cpu_tensor *x = cpu_run_in(run, step, 0);
    group_work work = {.run = run, .group = group, .n_rows = cpu_tensor_rows(x)};
    uint32_t self = (uint32_t)(step - unit->steps);
    if (work.n_rows == 0 || step->params.n == 0) {
        return SY_OK;
    }
    if (step->params.object != NULL) {
        return cpu_xnnpack_linear_run(run, step->params.object,
                                      (const float *)(const void *)x->data, work.n_rows,
                                      (float *)(void *)cpu_run_out(run, step, 0)->data);
    }
    if (group != NULL && group->gated != 0) {
        work.gated = &unit->steps[group->gated - 1];
        work.quantise = group->quantise != 0 ? &unit->steps[group->quantise - 1] : NULL;
        work.y_gated = cpu_run_out(run, work.gated, 0);
        work.y_quantised = work.quantise != NULL ? cpu_run_out(run, work.quantise, 0) : NULL;
        add_part(&work, unit, group->members, 2);
    } else {
        for (uint32_t i = 0; i < (group != NULL ? group->n_members : 1); i++) {
            add_part(&work, unit, group != NULL ? &group->members[i] : &self, 1);
        }
    }
    look_ahead(&work, unit);
    cut(&work);
    return cpu_run_tasks(run, group_task, &work, work.n_column_tasks * work.n_row_tasks,
                         work.n_rows * step->params.n * step->params.k / 8);
}
