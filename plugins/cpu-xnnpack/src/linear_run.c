/* SPDX-License-Identifier: Apache-2.0 */
/* Running a group of products: cut into tasks by columns, and by rows where there are many. */
#include "linear.h"
#include "xnnpack_adapter.h"

#include <stdatomic.h>
#include <string.h>

#define FEW_ROWS 16u        /* up to here the weights are the cost */
#define TASK_ROWS_MOST 256u /* rows that meet an unpacked panel in one task */
#define TASK_ROWS_LEAST 64u
#define TILE_FLOATS (256u * 96u) /* results of a tile that are not written in place */
#define UNIT 32u                 /* columns that tasks are measured in */

/* Few rows: every worker has a range of the columns and goes through it in the order of memory, a
 * third of what is left at a time. Who is done takes the last half of what another has left. */
#define RANGES_MOST 64u
#define FRONT_PART 3u
typedef struct column_range {
    _Alignas(64) atomic_ullong left; /* units: begin << 32 | end */
} column_range;

/* One product of the group, or a pair with its activation. */
typedef struct part {
    const cpu_type_kernels *kernels[2];
    cpu_linear whole[2];
    const cpu_step *step;
    uint64_t n_units, first_unit;          /* in the columns of all parts, one after the other */
    uint64_t n_tasks, first_task, columns; /* many rows: column tasks and their columns */
    uint64_t space_bytes;
} part;

typedef struct group_work {
    cpu_run *run;
    part parts[CPU_GROUP_MOST];
    uint32_t n_parts, n_workers;
    uint64_t n_rows, n_units;
    uint64_t rows, n_row_tasks, n_column_tasks; /* many rows */
    const cpu_tensor *y_gated, *y_quantised;
    const cpu_step *gated, *quantise;
    const struct group_work *next; /* only its parts, to look ahead */
    column_range *ranges;          /* few rows; [n_ranges] */
    uint32_t n_ranges;
} group_work;

static uint64_t panel_bytes(sy_element_type type, uint64_t k) {
    return cpu_type_is_block(type) ? (cpu_linear_space_bytes(k) + 63) & ~(uint64_t)63 : 0;
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
                        .row_bytes = cpu_type_is_block(w->type)
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

static void run_tile(const group_work *work, const part *p, const tile *t, const uint8_t *ahead,
                     uint32_t i_worker) {
    uint64_t width = p->whole[0].n_columns;
    uint8_t *space = cpu_run_worker(work->run, i_worker);
    float *results = (float *)(void *)(space + p->space_bytes);
    if (work->gated != NULL) {
        float *up = results + TILE_FLOATS;
        const uint8_t *up_weights = p->whole[1].weights + t->column * p->whole[1].weight_row_bytes;
        compute(p, 0, t, up_weights, space, results, t->n_columns);
        compute(p, 1, t, ahead, space, up, t->n_columns);
        join(work, t, results, up);
        return;
    }
    const cpu_tensor *y = cpu_run_out(work->run, p->step, 0);
    if (y->type == SY_TYPE_F32) {
        compute(p, 0, t, ahead, space, p->whole[0].out + t->row * width + t->column, width);
        return;
    }
    compute(p, 0, t, ahead, space, results, t->n_columns);
    for (uint64_t r = 0; r < t->n_rows; r++) {
        cpu_floats_write(work->run, y, (t->row + r) * width + t->column, t->n_columns,
                         results + r * t->n_columns);
    }
}

/* ---- few rows ---- */
static uint64_t range_begin(const group_work *work, uint64_t i) {
    return work->n_units * i / work->n_ranges;
}

static const uint8_t *weights_at(const group_work *work, uint64_t unit) {
    for (uint32_t i = 0; i < work->n_parts; i++) {
        const part *p = &work->parts[i];
        if (unit < p->first_unit + p->n_units) {
            return p->whole[0].weights +
                   (unit - p->first_unit) * UNIT * p->whole[0].weight_row_bytes;
        }
    }
    return NULL;
}

/* The weights that whoever works on range i wants after it: those of the group that runs next. */
static const uint8_t *weights_after(const group_work *work, uint64_t i) {
    return work->next != NULL ? weights_at(work->next, range_begin(work->next, i)) : NULL;
}

/* Units begin ... end; after: what will be wanted then. */
static void run_span(const group_work *work, uint64_t begin, uint64_t end, const uint8_t *after,
                     uint32_t i_worker) {
    uint64_t most = TILE_FLOATS / work->n_rows / UNIT;
    for (uint32_t i = 0; i < work->n_parts && begin < end; i++) {
        const part *p = &work->parts[i];
        uint64_t part_end = p->first_unit + p->n_units;
        while (begin < end && begin < part_end) {
            uint64_t n = (end < part_end ? end : part_end) - begin;
            n = n < most ? n : most;
            tile t = {.column = (begin - p->first_unit) * UNIT, .n_rows = work->n_rows};
            uint64_t left = p->whole[0].n_columns - t.column;
            t.n_columns = left < n * UNIT ? left : n * UNIT;
            begin += n;
            run_tile(work, p, &t, begin < end ? weights_at(work, begin) : after, i_worker);
        }
    }
}

/* Takes units from the front, as its owner does, or from the end; false: none are left. */
static bool take(column_range *range, bool from_end, uint64_t *out_begin, uint64_t *out_end) {
    unsigned long long left = atomic_load_explicit(&range->left, memory_order_relaxed), rest = 0;
    do {
        uint64_t begin = left >> 32, end = left & UINT32_MAX, n = end - begin;
        if (n == 0) {
            return false;
        }
        n = from_end ? (n + 1) / 2 : (n + FRONT_PART - 1) / FRONT_PART;
        *out_begin = from_end ? end - n : begin;
        *out_end = *out_begin + n;
        rest = from_end ? begin << 32 | (end - n) : (begin + n) << 32 | end;
    } while (!atomic_compare_exchange_weak_explicit(&range->left, &left, rest, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static uint64_t range_span(const group_work *work, uint64_t i) {
    return range_begin(work, i) << 32 | range_begin(work, i + 1);
}

/* From the front in the order of memory, or what its owner would come to last. */
static void run_range(const group_work *work, uint32_t i, bool from_end, uint32_t i_worker) {
    uint64_t begin = 0, end = 0, range_end = range_begin(work, (uint64_t)i + 1);
    const uint8_t *after = weights_after(work, i);
    while (take(&work->ranges[i], from_end, &begin, &end)) {
        bool goes_on = !from_end && end < range_end;
        run_span(work, begin, end, goes_on ? weights_at(work, end) : after, i_worker);
    }
}

static void range_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const group_work *work = argument;
    run_range(work, i_task, false, i_worker);
    for (uint32_t n = 1; n < work->n_ranges; n++) {
        uint32_t i = (i_task + n) % work->n_ranges;
        bool has_begun = atomic_load_explicit(&work->ranges[i].left, memory_order_relaxed) !=
                         range_span(work, i);
        run_range(work, i, has_begun, i_worker); /* nobody is at it: from the front */
    }
}

/* ---- many rows ---- */
static void block_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const group_work *work = argument;
    uint64_t i_column_task = i_task % work->n_column_tasks;
    const part *p = work->parts;
    while (i_column_task >= p->first_task + p->n_tasks) {
        p++;
    }
    uint64_t width = p->whole[0].n_columns;
    tile t = {.column = (i_column_task - p->first_task) * p->columns,
              .row = i_task / work->n_column_tasks * work->rows};
    t.n_columns = width - t.column < p->columns ? width - t.column : p->columns;
    t.n_rows = work->n_rows - t.row < work->rows ? work->n_rows - t.row : work->rows;
    uint64_t next = t.column + work->n_workers * p->columns;
    run_tile(work, p, &t,
             next + UNIT <= width ? p->whole[0].weights + next * p->whole[0].weight_row_bytes
                                  : NULL,
             i_worker);
}

/* Columns of a task: what a kernel unpacks at once. */
static void cut_blocks(group_work *work) {
    work->rows = work->n_rows < TASK_ROWS_MOST ? work->n_rows : TASK_ROWS_MOST;
    for (bool enough = false; !enough;) {
        uint64_t n_tasks = 0;
        for (uint32_t i = 0; i < work->n_parts; i++) {
            part *p = &work->parts[i];
            p->columns = cpu_panel_columns(p->whole[0].k);
            p->n_tasks = (p->whole[0].n_columns + p->columns - 1) / p->columns;
            p->first_task = n_tasks;
            n_tasks += p->n_tasks;
        }
        work->n_column_tasks = n_tasks;
        work->n_row_tasks = (work->n_rows + work->rows - 1) / work->rows;
        enough = n_tasks * work->n_row_tasks >= 4 * (uint64_t)work->n_workers ||
                 work->rows <= TASK_ROWS_LEAST;
        work->rows = enough ? work->rows : (work->rows + 1) / 2;
    }
}

/* ---- the group ---- */
static void add_part(group_work *work, const sy_unit *unit, const uint32_t *members, unsigned n) {
    part *p = &work->parts[work->n_parts++];
    p->step = &unit->steps[members[0]];
    for (unsigned i = 0; i < n; i++) {
        const cpu_step *step = &unit->steps[members[i]];
        sy_element_type type = cpu_run_in(work->run, step, 1)->type;
        p->kernels[i] = cpu_kernels_of(work->run->kernels, type);
        p->whole[i] = whole_of(work->run, step, work->n_rows);
        uint64_t n_bytes = panel_bytes(type, step->params.k);
        p->space_bytes = n_bytes > p->space_bytes ? n_bytes : p->space_bytes;
    }
    p->first_unit = work->n_units;
    p->n_units = (p->whole[0].n_columns + UNIT - 1) / UNIT;
    work->n_units += p->n_units;
}

static void add_parts(group_work *work, const cpu_step *step) {
    const sy_unit *unit = work->run->unit;
    const cpu_linear_group *group = step->params.group;
    if (group == NULL) {
        uint32_t self = (uint32_t)(step - unit->steps);
        add_part(work, unit, &self, 1);
        return;
    }
    if (group->gated != 0) {
        add_part(work, unit, group->members, 2);
        return;
    }
    for (uint32_t i = 0; i < group->n_members; i++) {
        add_part(work, unit, &group->members[i], 1);
    }
}

static sy_status run_ranges(group_work *work, const cpu_step *step) {
    const cpu_linear_group *group = step->params.group;
    column_range ranges[RANGES_MOST];
    work->ranges = ranges;
    work->n_ranges = work->n_workers < RANGES_MOST ? work->n_workers : RANGES_MOST;
    group_work next = {.run = work->run, .n_rows = work->n_rows, .n_ranges = work->n_ranges};
    for (uint32_t i = 0; i < work->n_ranges; i++) {
        atomic_init(&ranges[i].left, range_span(work, i));
    }
    if (group != NULL && group->next != 0) {
        add_parts(&next, &work->run->unit->steps[group->next - 1]);
        work->next = &next;
    }
    return cpu_run_tasks(work->run, range_task, work, work->n_ranges,
                         work->n_units * UNIT * step->params.k / 8);
}

sy_status cpu_linear_run(cpu_run *run, const cpu_step *step) {
    const sy_unit *unit = run->unit;
    const cpu_linear_group *group = step->params.group;
    const cpu_tensor *x = cpu_run_in(run, step, 0);
    group_work work = {.run = run, .n_rows = cpu_tensor_rows(x), .n_workers = unit->n_workers};
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
    }
    add_parts(&work, step);
    if (work.n_rows <= FEW_ROWS) {
        return run_ranges(&work, step);
    }
    cut_blocks(&work);
    return cpu_run_tasks(run, block_task, &work, work.n_column_tasks * work.n_row_tasks,
                         work.n_rows * step->params.n * step->params.k / 8);
}
