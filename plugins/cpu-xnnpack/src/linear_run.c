/* SPDX-License-Identifier: Apache-2.0 */
/* Running a group of products: cut into tasks by columns, and by rows where there are many. */
#include "adapter.h"
#include "linear.h"
#include "xnnpack_adapter.h"

#include <stdatomic.h>
#include <string.h>

#define FEW_ROWS 16u        /* up to here the weights are the cost */
#define TASK_ROWS_MOST 256u /* rows that meet an unpacked panel in one task */
#define TASK_ROWS_LEAST 64u
#define TILE_FLOATS (256u * 96u) /* results of a tile that are not written in place */
#define UNIT CPU_LINEAR_UNIT

/* Few rows: every worker has a range of the columns and goes through it in the order of memory, a
 * third of what is left at a time. Who is done takes the last half of what another has left. */
#define RANGES_MOST 64u
#define FRONT_PART 3u
typedef struct column_range {
    _Alignas(64) atomic_ullong left; /* units: begin << 32 | end */
} column_range;

typedef struct group_work {
    const cpu_run *run;
    const cpu_linear_group *group;
    uint32_t n_workers;
    uint64_t n_rows;
    const cpu_tensor *x; /* rows as the kernels read them */
    const cpu_tensor *y_gated, *y_quantised;
    const cpu_step *gated, *quantise;
    uint64_t rows, n_row_tasks; /* many rows */
    column_range *ranges;       /* few rows; [n_ranges] */
    uint32_t n_ranges;
} group_work;

uint64_t cpu_linear_panel_bytes(sy_element_type type, uint64_t k) {
    return kit_type_is_block(type) ? (cpu_linear_space_bytes(k) + 63) & ~(uint64_t)63 : 0;
}

uint64_t cpu_linear_worker_bytes(const kit_node *node, const cpu_params *params) {
    bool is_f32 = node->out[0].type == SY_TYPE_F32;
    return cpu_linear_panel_bytes(node->in[1].type, params->k) +
           (is_f32 ? 0 : TILE_FLOATS * sizeof(float));
}

uint64_t cpu_linear_pair_bytes(const cpu_params *params) {
    return cpu_linear_panel_bytes(SY_TYPE_Q8_0, params->k) + 2 * TILE_FLOATS * sizeof(float);
}

/* What one task computes, and the memory of who does. */
typedef struct tile {
    uint64_t column, n_columns, row, n_rows;
    uint8_t *space;
} tile;

/* Product i of a part. out: where the tile's first result goes. */
static void compute(const group_work *work, const cpu_linear_part *p, unsigned i, const tile *t,
                    const uint8_t *ahead, float *out, uint64_t out_stride) {
    cpu_linear l = p->whole[i];
    l.weights += t->column * l.weight_row_bytes;
    l.bias = l.bias != NULL ? l.bias + t->column : NULL;
    l.rows = work->x->data + t->row * l.row_bytes;
    l.n_columns = t->n_columns;
    l.n_rows = t->n_rows;
    l.space = t->space;
    l.ahead = ahead;
    l.out = out;
    l.out_stride = out_stride;
    p->kernels[i]->linear(&l);
    if (p->adapters[i] != 0) {
        const cpu_expand added = {
            .out = out, .out_stride = out_stride, .n_columns = t->n_columns, .n_rows = t->n_rows};
        cpu_adapter_widen(work->run, &work->run->unit->steps[p->adapters[i] - 1], t->row, t->column,
                          &added);
    }
}

/* activation(gate) * up of a tile, as f32 or as rounded rows for the product that follows. */
static void join(const group_work *work, const tile *t, float *gate, const float *up) {
    const cpu_row_kernels *kernels = work->run->kernels->rows;
    uint64_t width = work->group->parts[0].whole[0].n_columns;
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

static void run_tile(const group_work *work, const cpu_linear_part *p, const tile *t,
                     const uint8_t *ahead) {
    uint64_t width = p->whole[0].n_columns;
    float *results = (float *)(void *)(t->space + p->space_bytes);
    if (work->gated != NULL) {
        float *up = results + TILE_FLOATS;
        const uint8_t *up_weights = p->whole[1].weights + t->column * p->whole[1].weight_row_bytes;
        compute(work, p, 0, t, up_weights, results, t->n_columns);
        compute(work, p, 1, t, ahead, up, t->n_columns);
        join(work, t, results, up);
        return;
    }
    const cpu_tensor *y = cpu_run_out(work->run, &work->run->unit->steps[p->step], 0);
    if (y->type == SY_TYPE_F32) {
        compute(work, p, 0, t, ahead, (float *)(void *)y->data + t->row * width + t->column, width);
        return;
    }
    compute(work, p, 0, t, ahead, results, t->n_columns);
    for (uint64_t r = 0; r < t->n_rows; r++) {
        cpu_floats_write(work->run, y, (t->row + r) * width + t->column, t->n_columns,
                         results + r * t->n_columns);
    }
}

/* ---- few rows ---- */
static uint64_t range_begin(const cpu_linear_group *group, uint64_t i, uint32_t n_ranges) {
    return group->n_units * i / n_ranges;
}

static const uint8_t *weights_at(const cpu_linear_group *group, uint64_t unit) {
    for (uint32_t i = 0; i < group->n_parts; i++) {
        const cpu_linear_part *p = &group->parts[i];
        if (unit < p->first_unit + p->n_units) {
            return p->whole[0].weights +
                   (unit - p->first_unit) * UNIT * p->whole[0].weight_row_bytes;
        }
    }
    return NULL;
}

/* The weights that whoever works on range i wants after it: those of the group that runs next. */
static const uint8_t *weights_after(const group_work *work, uint64_t i) {
    const cpu_linear_group *next = work->group->next;
    return next != NULL ? weights_at(next, range_begin(next, i, work->n_ranges)) : NULL;
}

/* Units begin ... end; after: what will be wanted then. */
static void run_span(const group_work *work, uint64_t begin, uint64_t end, const uint8_t *after,
                     uint32_t i_worker) {
    uint64_t most = TILE_FLOATS / work->n_rows / UNIT;
    for (uint32_t i = 0; i < work->group->n_parts && begin < end; i++) {
        const cpu_linear_part *p = &work->group->parts[i];
        uint64_t part_end = p->first_unit + p->n_units;
        while (begin < end && begin < part_end) {
            uint64_t n = (end < part_end ? end : part_end) - begin;
            n = n < most ? n : most;
            tile t = {.column = (begin - p->first_unit) * UNIT,
                      .n_rows = work->n_rows,
                      .space = cpu_run_worker(work->run, i_worker)};
            uint64_t left = p->whole[0].n_columns - t.column;
            t.n_columns = left < n * UNIT ? left : n * UNIT;
            begin += n;
            run_tile(work, p, &t, begin < end ? weights_at(work->group, begin) : after);
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
    return range_begin(work->group, i, work->n_ranges) << 32 |
           range_begin(work->group, i + 1, work->n_ranges);
}

/* From the front in the order of memory, or what its owner would come to last. */
static void run_range(const group_work *work, uint32_t i, bool from_end, uint32_t i_worker) {
    uint64_t begin = 0, end = 0, range_end = range_span(work, i) & UINT32_MAX;
    const uint8_t *after = weights_after(work, i);
    while (take(&work->ranges[i], from_end, &begin, &end)) {
        bool goes_on = !from_end && end < range_end;
        run_span(work, begin, end, goes_on ? weights_at(work->group, end) : after, i_worker);
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
    uint64_t n_column_tasks = work->group->n_column_tasks, i_column_task = i_task % n_column_tasks;
    const cpu_linear_part *p = work->group->parts;
    while (i_column_task >= p->first_task + p->n_tasks) {
        p++;
    }
    uint64_t width = p->whole[0].n_columns;
    tile t = {.column = (i_column_task - p->first_task) * p->columns,
              .row = i_task / n_column_tasks * work->rows,
              .space = cpu_run_worker(work->run, i_worker)};
    t.n_columns = width - t.column < p->columns ? width - t.column : p->columns;
    t.n_rows = work->n_rows - t.row < work->rows ? work->n_rows - t.row : work->rows;
    uint64_t next = t.column + work->n_workers * p->columns;
    run_tile(work, p, &t,
             next + UNIT <= width ? p->whole[0].weights + next * p->whole[0].weight_row_bytes
                                  : NULL);
}

/* Rows of a task: as many as leave every worker some tasks. */
static void cut_rows(group_work *work) {
    work->rows = work->n_rows < TASK_ROWS_MOST ? work->n_rows : TASK_ROWS_MOST;
    for (;; work->rows = (work->rows + 1) / 2) {
        work->n_row_tasks = (work->n_rows + work->rows - 1) / work->rows;
        if (work->group->n_column_tasks * work->n_row_tasks >= 4 * (uint64_t)work->n_workers ||
            work->rows <= TASK_ROWS_LEAST) {
            return;
        }
    }
}

/* ---- the group ---- */
static sy_status run_ranges(cpu_run *run, group_work *work) {
    column_range ranges[RANGES_MOST];
    work->ranges = ranges;
    work->n_ranges = work->n_workers < RANGES_MOST ? work->n_workers : RANGES_MOST;
    for (uint32_t i = 0; i < work->n_ranges; i++) {
        atomic_init(&ranges[i].left, range_span(work, i));
    }
    return cpu_run_tasks(run, range_task, work, work->n_ranges,
                         work->group->n_units * UNIT * work->group->parts[0].whole[0].k / 8);
}

_Static_assert(UNIT % CPU_EXPAND_COLUMNS == 0, "tiles of a product are whole tiles of adapters");

static sy_status run_narrow(cpu_run *run, const cpu_linear_group *group) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < group->n_members; i++) {
        uint32_t adapter = run->unit->steps[group->members[i]].params.adapter;
        if (adapter != 0) {
            status = cpu_adapter_narrow(run, &run->unit->steps[adapter - 1]);
        }
    }
    return status;
}

sy_status cpu_linear_run(cpu_run *run, const cpu_step *step) {
    const sy_unit *unit = run->unit;
    const cpu_params *p = &step->params;
    const cpu_linear_group *group = p->group;
    const cpu_tensor *x = cpu_run_in(run, step, 0);
    uint64_t n_rows = cpu_tensor_rows(x);
    if (n_rows == 0 || p->n == 0) {
        return SY_OK;
    }
    if (p->object != NULL) {
        return cpu_xnnpack_linear_run(run, p->object, (const float *)(const void *)x->data, n_rows,
                                      (float *)(void *)cpu_run_out(run, step, 0)->data);
    }
    group_work work = {.run = run, .group = group, .n_rows = n_rows, .n_workers = unit->n_workers};
    work.x = p->derived != SY_NO_VALUE ? &run->tensors[p->derived] : x;
    if (group->gated != 0) {
        work.gated = &unit->steps[group->gated - 1];
        work.quantise = group->quantise != 0 ? &unit->steps[group->quantise - 1] : NULL;
        work.y_gated = cpu_run_out(run, work.gated, 0);
        work.y_quantised = work.quantise != NULL ? cpu_run_out(run, work.quantise, 0) : NULL;
    }
    sy_status status = p->reads_x ? run_narrow(run, group) : SY_OK;
    if (status != SY_OK) {
        return status;
    }
    if (n_rows <= FEW_ROWS) {
        return run_ranges(run, &work);
    }
    cut_rows(&work);
    return cpu_run_tasks(run, block_task, &work, group->n_column_tasks * work.n_row_tasks,
                         n_rows * p->n * p->k / 8);
}
