/* SPDX-License-Identifier: Apache-2.0 */
#include "xnnpack_stages.h"

#ifdef CPU_XNNPACK_STAGES

#include <math.h>
#include <string.h>

/* ---- building ---- */
static void keep(cpu_xnn_graph *graph, sy_status status) {
    if (graph->status == SY_OK) {
        graph->status = status;
    }
}

/* Room for one more; false after a failure. */
static bool grow(cpu_xnn_graph *graph, void **array, size_t *capacity, size_t n, size_t element) {
    if (graph->status != SY_OK || n < *capacity) {
        return graph->status == SY_OK;
    }
    size_t wider = *capacity > 0 ? 2 * *capacity : 32;
    void *moved = kit_alloc(wider * element);
    if (moved == NULL) {
        keep(graph,
             kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a graph's tables"));
        return false;
    }
    if (n > 0) {
        memcpy(moved, *array, n * element);
    }
    kit_release(*array, *capacity * element);
    *array = moved;
    *capacity = wider;
    return true;
}

sy_status cpu_xnn_graph_create(uint32_t n_external, cpu_xnn_graph **out_graph) {
    cpu_xnn_graph *graph = kit_alloc(sizeof(*graph));
    if (graph == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a graph");
    }
    graph->n_external = n_external;
    *out_graph = graph;
    return SY_OK;
}

uint32_t cpu_xnn_value_add(cpu_xnn_graph *graph, const cpu_xnn_value *value) {
    void *array = graph->values;
    bool fits =
        grow(graph, &array, &graph->values_capacity, graph->n_values, sizeof(*graph->values));
    graph->values = array;
    if (!fits) {
        return CPU_XNN_NONE;
    }
    cpu_stage_value *v = &graph->values[graph->n_values];
    *v = (cpu_stage_value){.is = *value, .n = 1, .first = CPU_XNN_NONE};
    for (uint32_t i = 0; i < value->rank; i++) {
        v->n *= value->dims[i];
    }
    v->n_bytes = (size_t)v->n * cpu_stage_element(v);
    return (uint32_t)graph->n_values++;
}

static cpu_stage *stage_add(cpu_xnn_graph *graph, cpu_stage_kind kind, uint32_t x, uint32_t y) {
    void *array = graph->stages;
    bool fits =
        grow(graph, &array, &graph->stages_capacity, graph->n_stages, sizeof(*graph->stages));
    graph->stages = array;
    if (!fits) {
        return NULL;
    }
    cpu_stage *stage = &graph->stages[graph->n_stages++];
    *stage = (cpu_stage){.kind = kind, .node = {.limits = CPU_XNN_NO_LIMITS, .x = x, .y = y}};
    stage->node.w = stage->node.bias = CPU_XNN_NONE;
    stage->node.window = (cpu_xnn_window){.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    return stage;
}

bool cpu_xnn_is_depthwise(const cpu_xnn_convolution *c) {
    return c->n_groups > 1 && c->in_channels == 1;
}

void cpu_xnn_convolve(cpu_xnn_graph *graph, const cpu_xnn_convolution *convolution) {
    cpu_stage *s = stage_add(graph, CPU_STAGE_CONVOLUTION, convolution->x, convolution->y);
    if (s != NULL) {
        s->node = *convolution;
    }
}

static void pool_add(cpu_xnn_graph *graph, cpu_stage_kind kind, const cpu_xnn_window *window,
                     uint32_t x, uint32_t y) {
    cpu_stage *s = stage_add(graph, kind, x, y);
    if (s != NULL) {
        s->node.window = *window;
    }
}

void cpu_xnn_max_pool(cpu_xnn_graph *graph, const cpu_xnn_window *window, cpu_xnn_limits limits,
                      uint32_t x, uint32_t y) {
    pool_add(graph, CPU_STAGE_MAX_POOL, window, x, y);
    if (graph->status == SY_OK) {
        graph->stages[graph->n_stages - 1].node.limits = limits;
    }
}

void cpu_xnn_average_pool(cpu_xnn_graph *graph, const cpu_xnn_window *window, uint32_t x,
                          uint32_t y) {
    pool_add(graph, CPU_STAGE_AVERAGE_POOL, window, x, y);
}

void cpu_xnn_pad(cpu_xnn_graph *graph, const cpu_xnn_window *window, uint32_t x, uint32_t y) {
    pool_add(graph, CPU_STAGE_PAD, window, x, y);
}

void cpu_xnn_global_average(cpu_xnn_graph *graph, uint32_t y_rank, uint32_t x, uint32_t y) {
    (void)y_rank; /* the bytes are the same */
    (void)stage_add(graph, CPU_STAGE_GLOBAL_AVERAGE, x, y);
}

void cpu_xnn_softmax(cpu_xnn_graph *graph, uint32_t x, uint32_t y) {
    (void)stage_add(graph, CPU_STAGE_SOFTMAX, x, y);
}

void cpu_xnn_reshape(cpu_xnn_graph *graph, uint32_t rank, const size_t *dims, uint32_t x,
                     uint32_t y) {
    (void)rank;
    (void)dims; /* y has them */
    (void)stage_add(graph, CPU_STAGE_RESHAPE, x, y);
}

void cpu_xnn_fully_connected(cpu_xnn_graph *graph, cpu_xnn_limits limits, uint32_t x, uint32_t w,
                             uint32_t bias, uint32_t y) {
    cpu_stage *s = stage_add(graph, CPU_STAGE_PRODUCT, x, y);
    if (s != NULL) {
        s->node.w = w;
        s->node.bias = bias;
        s->node.limits = limits;
    }
}

void cpu_xnn_unary_add(cpu_xnn_graph *graph, cpu_xnn_unary unary, cpu_xnn_limits limits,
                       float alpha, uint32_t x, uint32_t y) {
    cpu_stage *s = stage_add(graph, CPU_STAGE_UNARY, x, y);
    if (s != NULL) {
        s->unary = unary;
        s->alpha = alpha;
        s->node.limits = limits;
    }
}

void cpu_xnn_binary_add(cpu_xnn_graph *graph, cpu_xnn_binary binary, cpu_xnn_limits limits,
                        uint32_t a, uint32_t b, uint32_t y) {
    cpu_stage *s = stage_add(graph, CPU_STAGE_BINARY, a, y);
    if (s != NULL) {
        s->node.w = b;
        s->binary = binary;
        s->node.limits = limits;
    }
}

void cpu_xnn_concatenate(cpu_xnn_graph *graph, uint32_t axis, uint32_t n, const uint32_t *xs,
                         uint32_t y) {
    cpu_stage *s = stage_add(graph, CPU_STAGE_CONCATENATE, xs[0], y);
    if (s != NULL) {
        s->axis = axis;
        s->n_parts = n;
        memcpy(s->parts, xs, n * sizeof(*xs));
    }
}

/* ---- fusing and laying out ---- */
static void read_at(cpu_xnn_graph *graph, uint32_t i_value, size_t i_stage) {
    if (i_value != CPU_XNN_NONE) {
        graph->values[i_value].last = (uint32_t)i_stage;
        graph->values[i_value].n_readers++;
    }
}

/* When each value is made and read last; how many read it. */
static void lives_find(cpu_xnn_graph *graph) {
    for (size_t i = 0; i < graph->n_values; i++) {
        graph->values[i].first = CPU_XNN_NONE;
        graph->values[i].n_readers = 0;
    }
    for (size_t i = 0; i < graph->n_stages; i++) {
        const cpu_stage *s = &graph->stages[i];
        if (s->is_gone) {
            continue;
        }
        read_at(graph, s->node.x, i);
        read_at(graph, s->node.w, i);
        read_at(graph, s->node.bias, i);
        for (uint32_t k = 1; k < s->n_parts; k++) {
            read_at(graph, s->parts[k], i);
        }
        graph->values[s->node.y].first = graph->values[s->node.y].last = (uint32_t)i;
    }
}

static bool takes_limits(const cpu_stage *s) {
    return s->kind == CPU_STAGE_CONVOLUTION || s->kind == CPU_STAGE_MAX_POOL ||
           s->kind == CPU_STAGE_AVERAGE_POOL || s->kind == CPU_STAGE_PRODUCT ||
           (s->kind == CPU_STAGE_BINARY && s->binary != CPU_XNN_PRELU);
}

/* A clamp of what a stage alone makes for it becomes that stage's limits. */
static void clamps_fuse(cpu_xnn_graph *graph) {
    for (size_t i = 0; i < graph->n_stages; i++) {
        cpu_stage *clamp = &graph->stages[i];
        const cpu_stage_value *x = &graph->values[clamp->node.x];
        if (clamp->kind != CPU_STAGE_UNARY || clamp->unary != CPU_XNN_CLAMP ||
            x->first == CPU_XNN_NONE || x->n_readers != 1 || x->is.i_external != CPU_XNN_NONE) {
            continue;
        }
        cpu_stage *made = &graph->stages[x->first];
        if (takes_limits(made)) {
            cpu_xnn_limits *l = &made->node.limits;
            l->low = fmaxf(l->low, clamp->node.limits.low);
            l->high = fmaxf(fminf(l->high, clamp->node.limits.high), l->low);
            made->node.y = clamp->node.y;
            clamp->is_gone = true;
            graph->values[clamp->node.y].first = x->first;
        }
    }
}

/* The lowest offset at which nothing lies that is alive at the same time. */
static size_t first_fit(const cpu_xnn_graph *graph, size_t i_value) {
    const cpu_stage_value *v = &graph->values[i_value];
    size_t offset = 0, room = v->n_bytes + CPU_XNN_EXTRA_BYTES;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < i_value; i++) {
            const cpu_stage_value *o = &graph->values[i];
            size_t end = o->offset + o->n_bytes + CPU_XNN_EXTRA_BYTES;
            if (o->is_placed && v->first <= o->last && o->first <= v->last && offset < end &&
                o->offset < offset + room) {
                offset = (end + 63) & ~(size_t)63;
                moved = true;
            }
        }
    }
    return offset;
}

static sy_status values_place(cpu_xnn_graph *graph, void *const *externals) {
    for (size_t i = 0; i < graph->n_values; i++) {
        cpu_stage_value *v = &graph->values[i];
        if (v->is.i_external != CPU_XNN_NONE) {
            v->memory = externals[v->is.i_external];
        } else if (v->is.data == NULL && v->first != CPU_XNN_NONE) {
            v->offset = first_fit(graph, i);
            v->is_placed = true;
            size_t end = v->offset + v->n_bytes + CPU_XNN_EXTRA_BYTES;
            graph->n_bytes = end > graph->n_bytes ? end : graph->n_bytes;
        }
    }
    graph->memory = graph->n_bytes > 0 ? kit_alloc(graph->n_bytes) : NULL;
    if (graph->n_bytes > 0 && graph->memory == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a graph's values");
    }
    for (size_t i = 0; i < graph->n_values; i++) {
        cpu_stage_value *v = &graph->values[i];
        v->memory = v->is_placed ? graph->memory + v->offset : v->memory;
    }
    return SY_OK;
}

static sy_status stage_make(const cpu_xnn_graph *graph, cpu_stage *stage) {
    enum xnn_status status = xnn_status_success;
    if (stage->is_gone || stage->kind >= CPU_STAGE_RESHAPE) {
        return SY_OK;
    }
    stage->n_slices = cpu_stage_cut(graph, stage);
    for (uint32_t i = 0; status == xnn_status_success && i < stage->n_slices; i++) {
        cpu_slice slice = cpu_stage_slice(graph, stage, i);
        status = cpu_slice_make(graph, stage, &slice, &stage->slices[i]);
    }
    if (status == xnn_status_out_of_memory) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for XNNPACK's tables");
    }
    return status == xnn_status_success ? SY_OK : SY_INTERNAL;
}

sy_status cpu_xnn_graph_finish(cpu_xnn_graph *graph, void *const *externals, uint32_t n_workers) {
    sy_status status = graph->status;
    graph->n_workers = n_workers;
    if (status == SY_OK) {
        lives_find(graph);
        clamps_fuse(graph);
        lives_find(graph);
        status = values_place(graph, externals);
    }
    for (size_t i = 0; status == SY_OK && i < graph->n_stages; i++) {
        status = stage_make(graph, &graph->stages[i]);
    }
    return status;
}

uint64_t cpu_xnn_graph_copies(const cpu_xnn_graph *graph) {
    uint64_t n_bytes = 0;
    for (size_t i = 0; i < graph->n_stages; i++) {
        const cpu_stage *s = &graph->stages[i];
        if (s->n_slices > 1 && s->node.w != CPU_XNN_NONE && cpu_stage_packs_again(graph, s)) {
            n_bytes += (uint64_t)graph->values[s->node.w].n_bytes * (s->n_slices - 1);
        }
    }
    return n_bytes;
}

/* ---- running ---- */
#define TASK_BYTES 65536u

typedef struct stage_run {
    cpu_run *run;
    const cpu_xnn_graph *graph;
    const cpu_stage *stage;
    uint64_t n_rows, rows_of_task; /* CONCATENATE */
} stage_run;

/* Bytes of a value from a dimension on. */
static size_t row_bytes(const cpu_stage_value *v, uint32_t axis) {
    size_t n = cpu_stage_element(v);
    for (uint32_t i = axis; i < v->is.rank; i++) {
        n *= v->is.dims[i];
    }
    return n;
}

static void concatenate_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const stage_run *call = argument;
    const cpu_stage *s = call->stage;
    const cpu_stage_value *y = &call->graph->values[s->node.y];
    uint64_t first = i_task * call->rows_of_task, end = first + call->rows_of_task;
    size_t y_bytes = row_bytes(y, s->axis), offset = 0;
    (void)i_worker;
    end = end < call->n_rows ? end : call->n_rows;
    for (uint32_t k = 0; k < s->n_parts; k++) {
        const cpu_stage_value *x = &call->graph->values[s->parts[k]];
        size_t n_bytes = row_bytes(x, s->axis);
        for (uint64_t i = first; i < end; i++) {
            memcpy(y->memory + i * y_bytes + offset, cpu_stage_read(x) + i * n_bytes, n_bytes);
        }
        offset += n_bytes;
    }
}

static sy_status concatenate(stage_run *call) {
    const cpu_stage_value *y = &call->graph->values[call->stage->node.y];
    size_t y_bytes = row_bytes(y, call->stage->axis);
    call->n_rows = y->n_bytes / y_bytes;
    call->rows_of_task = y_bytes < TASK_BYTES ? TASK_BYTES / y_bytes : 1;
    uint64_t n_tasks = (call->n_rows + call->rows_of_task - 1) / call->rows_of_task;
    return cpu_run_tasks(call->run, concatenate_task, call, n_tasks, y->n);
}

static void slice_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const stage_run *call = argument;
    (void)i_worker;
    if (xnn_run_operator(call->stage->slices[i_task], NULL) != xnn_status_success) {
        atomic_store(&call->run->failure, SY_INTERNAL);
    }
}

sy_status cpu_xnn_graph_run(cpu_run *run, cpu_xnn_graph *graph, double cost) {
    sy_status status = SY_OK;
    (void)cost; /* each stage knows its own: one slice runs here */
    for (size_t i = 0; status == SY_OK && i < graph->n_stages; i++) {
        const cpu_stage *s = &graph->stages[i];
        stage_run call = {run, graph, s, 0, 0};
        if (s->kind == CPU_STAGE_RESHAPE) {
            const cpu_stage_value *x = &graph->values[s->node.x];
            memcpy(graph->values[s->node.y].memory, cpu_stage_read(x), x->n_bytes);
        } else if (s->kind == CPU_STAGE_CONCATENATE) {
            status = concatenate(&call);
        } else if (!s->is_gone) {
            status = cpu_run_tasks(run, slice_task, &call, s->n_slices, UINT64_MAX);
        }
    }
    return status;
}

void cpu_xnn_graph_destroy(cpu_xnn_graph *graph) {
    if (graph == NULL) {
        return;
    }
    for (size_t i = 0; i < graph->n_stages; i++) {
        for (uint32_t k = 0; k < CPU_SLICES_MOST; k++) {
            if (graph->stages[i].slices[k] != NULL) {
                xnn_delete_operator(graph->stages[i].slices[k]);
            }
        }
    }
    kit_release(graph->memory, graph->n_bytes);
    kit_release(graph->values, graph->values_capacity * sizeof(*graph->values));
    kit_release(graph->stages, graph->stages_capacity * sizeof(*graph->stages));
    kit_release(graph, sizeof(*graph));
}
#endif
