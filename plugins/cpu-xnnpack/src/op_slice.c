/* SPDX-License-Identifier: Apache-2.0 */
/* Slice along one dimension: runs of bytes out of rows. */
#include "operators.h"

#include <string.h>

#define TASK_BYTES 65536u

/* Elements of a row, which is all from `axis` on. */
static bool row_of(const sy_value_view *value, uint32_t axis, uint64_t *out_elements) {
    uint64_t n = 1;
    for (uint32_t i = axis; i < value->rank; i++) {
        if (value->dims[i].symbol != 0 || value->dims[i].bound < 0 ||
            __builtin_mul_overflow(n, (uint64_t)value->dims[i].bound, &n)) {
            return false;
        }
    }
    *out_elements = n;
    return true;
}

static bool slice_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                        cpu_params *out_params, kit_answer *answer) {
    const sy_value_view *x = &node->in[0];
    kit_slice slice;
    uint32_t axis = 0;
    (void)device;
    (void)op;
    if (!kit_check_slice(node, &slice, answer)) {
        return false;
    }
    while (axis + 1 < x->rank && (slice.cut_axes >> axis & 1u) == 0) {
        axis++;
    }
    if (x->rank == 0 || (slice.cut_axes & ~(1u << axis)) != 0 || slice.step[axis] != 1) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "only steps of 1 along one axis run here");
    }
    if (!row_of(x, axis, &out_params->k) || !row_of(&node->out[0], axis, &out_params->inner)) {
        return kit_no(answer, SY_REASON_SHAPE, "from the axis on all dimensions must be fixed");
    }
    uint64_t n = (uint64_t)x->dims[axis].bound;
    out_params->n = n > 0 ? out_params->k / n * (uint64_t)slice.first[axis] : 0;
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
    {.domain = "", .name = "Slice", .check = slice_check, .run = slice_run},
    {.name = NULL},
};
