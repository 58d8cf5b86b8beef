/* SPDX-License-Identifier: Apache-2.0 */
/* Slice along one dimension: runs of bytes out of rows. */
#include "operators.h"

#include <string.h>

#define TASK_BYTES 65536u

/* A constant list of one integer. */
static bool one_int(const cpu_node *node, uint32_t i, int64_t *out) {
    const sy_value_view *value = &node->in[i];
    const uint8_t *bytes = node->n_in > i && node->has_in[i] ? cpu_weight_bytes(value) : NULL;
    if (bytes == NULL || value->rank > 1 || cpu_bound_count(value) != 1) {
        return false;
    }
    if (value->type == SY_TYPE_I64 && value->data.length_bytes >= sizeof(*out)) {
        memcpy(out, bytes, sizeof(*out));
        return true;
    }
    int32_t narrow = 0;
    bool is_narrow = value->type == SY_TYPE_I32 && value->data.length_bytes >= sizeof(narrow);
    if (is_narrow) {
        memcpy(&narrow, bytes, sizeof(narrow));
        *out = narrow;
    }
    return is_narrow;
}

static int64_t place(int64_t at, int64_t n) {
    at = at < 0 ? (at < -n ? 0 : at + n) : at;
    return at < n ? at : n;
}

/* Elements of a row, which is all from `axis` on. */
static bool row_of(const sy_value_view *value, int64_t axis, uint64_t *out_elements) {
    uint64_t n = 1;
    for (uint32_t i = (uint32_t)axis; i < value->rank; i++) {
        if (value->dims[i].symbol != 0 || value->dims[i].bound < 0 ||
            __builtin_mul_overflow(n, (uint64_t)value->dims[i].bound, &n)) {
            return false;
        }
    }
    *out_elements = n;
    return true;
}

static bool same_but(const sy_value_view *a, const sy_value_view *b, int64_t axis) {
    bool same = a->rank == b->rank;
    for (uint32_t i = 0; same && i < a->rank; i++) {
        same = i == (uint32_t)axis || cpu_dimension_same(&a->dims[i], &b->dims[i]);
    }
    return same;
}

static bool slice_check(const sy_device *device, const cpu_node *node, const cpu_operator *op,
                        cpu_params *out_params, cpu_answer *answer) {
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    int64_t start = 0, end = 0, axis = 0, step = 1;
    uint64_t row = 0, inner = 1;
    (void)device;
    (void)op;
    if (!cpu_attributes_known(node, NULL, answer)) {
        return false;
    }
    if (x->type != y->type || x->kind == SY_VALUE_STATE || cpu_type_block(x->type) != 1) {
        return cpu_no(answer, SY_REASON_TYPE, "data and y must have one plain type");
    }
    bool has_step = node->n_in > 4 && node->has_in[4];
    if (!one_int(node, 1, &start) || !one_int(node, 2, &end) || !one_int(node, 3, &axis) ||
        (has_step && !one_int(node, 4, &step)) || step != 1) {
        return cpu_no(answer, SY_REASON_ATTRIBUTE, "only steps of 1 along one axis run here");
    }
    axis += axis < 0 ? (int64_t)x->rank : 0;
    if (axis < 0 || axis >= (int64_t)x->rank || !same_but(x, y, axis) || !row_of(x, axis, &row) ||
        !row_of(y, axis, &inner)) {
        return cpu_no(answer, SY_REASON_SHAPE, "from the axis on all dimensions must be fixed");
    }
    int64_t n = x->dims[axis].bound, first = place(start, n), last = place(end, n);
    if (y->dims[axis].bound != (last > first ? last - first : 0)) {
        return cpu_no(answer, SY_REASON_SHAPE, "y has not the size of the slice");
    }
    out_params->k = row;
    out_params->inner = inner;
    out_params->n = n > 0 ? row / (uint64_t)n * (uint64_t)first : 0;
    answer->activation_bytes = 8.0 * cpu_typical_count(node->graph, y);
    return true;
}

typedef struct runs {
    const uint8_t *from;
    uint8_t *to;
    uint64_t stride_bytes, n_bytes, n_rows, rows_per_task;
} runs;

static void runs_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const runs *r = argument;
    uint64_t first = (uint64_t)i_task * r->rows_per_task;
    (void)i_worker;
    for (uint64_t i = first; i < first + r->rows_per_task && i < r->n_rows; i++) {
        memcpy(r->to + i * r->n_bytes, r->from + i * r->stride_bytes, r->n_bytes);
    }
}

static sy_status slice_run(cpu_run *run, const cpu_step *step) {
    const cpu_tensor *x = cpu_run_in(run, step, 0), *y = cpu_run_out(run, step, 0);
    const cpu_params *p = &step->params;
    uint64_t size = cpu_element_bytes(x->type);
    runs r = {.from = x->data + p->n * size,
              .to = y->data,
              .stride_bytes = p->k * size,
              .n_bytes = p->inner * size,
              .n_rows = p->inner > 0 ? y->n_elements / p->inner : 0};
    if (r.n_rows == 0) {
        return SY_OK;
    }
    r.rows_per_task = TASK_BYTES / r.n_bytes + 1;
    return cpu_run_tasks(run, runs_task, &r, (r.n_rows + r.rows_per_task - 1) / r.rows_per_task,
                         y->n_elements);
}

const cpu_operator cpu_operators_slice[] = {
    {.domain = "",
     .name = "Slice",
     .version = 13,
     .n_in_least = 4,
     .n_in_most = 5,
     .n_out = 1,
     .check = slice_check,
     .run = slice_run},
    {.name = NULL},
};
