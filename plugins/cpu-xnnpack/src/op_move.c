/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that move bytes: Reshape, Identity, Squeeze, Unsqueeze, Gather along axis 0. */
#include "operators.h"

#include <string.h>

#define PIECE_BYTES 65536u

static bool is_plain(sy_element_type type) {
    return cpu_type_block(type) == 1;
}

/* The sizes of y are in the view, so that the shape or axes input need not be read. That the
 * counts agree for every symbol value is checked through the product of dimensions. */
static bool counts_agree(const sy_value_view *x, const sy_value_view *y) {
    int64_t fixed[2] = {1, 1};
    uint32_t n_symbolic[2] = {0, 0};
    const sy_dimension *symbolic[2] = {NULL, NULL};
    const sy_value_view *values[2] = {x, y};
    for (int v = 0; v < 2; v++) {
        for (uint32_t i = 0; i < values[v]->rank; i++) {
            const sy_dimension *d = &values[v]->dims[i];
            if (d->symbol != 0) {
                n_symbolic[v]++;
                symbolic[v] = d;
            } else if (__builtin_mul_overflow(fixed[v], d->bound, &fixed[v])) {
                return false;
            }
        }
    }
    if (n_symbolic[0] != n_symbolic[1] || n_symbolic[0] > 1) {
        return false;
    }
    return fixed[0] == fixed[1] &&
           (n_symbolic[0] == 0 || cpu_dimension_same(symbolic[0], symbolic[1]));
}

static bool view_check(const sy_device *device, const cpu_node *node, const cpu_operator *op,
                       cpu_params *out_params, cpu_answer *answer) {
    static const char *const names[] = {"allowzero", NULL};
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    bool is_reshape = strcmp(op->name, "Reshape") == 0;
    int64_t allow_zero = 0;
    (void)device;
    (void)out_params;
    if (!cpu_attributes_known(node, is_reshape ? names : NULL, answer) ||
        !cpu_attribute_int(node, "allowzero", 0, &allow_zero, answer)) {
        return false;
    }
    if (x->kind == SY_VALUE_STATE || x->type != y->type || !is_plain(x->type)) {
        return cpu_no(answer, SY_REASON_TYPE, "x and y must have one plain type");
    }
    if (!counts_agree(x, y)) {
        return cpu_no(answer, SY_REASON_SHAPE, "x and y must have one common symbol at most");
    }
    answer->activation_bytes = 0.0;
    return true;
}

typedef struct copy_work {
    const uint8_t *from;
    uint8_t *to;
    uint64_t n_bytes;
} copy_work;

static void copy_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const copy_work *work = argument;
    uint64_t first = (uint64_t)i_task * PIECE_BYTES, n = work->n_bytes - first;
    (void)i_worker;
    memcpy(work->to + first, work->from + first, n < PIECE_BYTES ? n : PIECE_BYTES);
}

static sy_status view_run(cpu_run *run, const cpu_step *step) {
    const cpu_tensor *x = cpu_run_in(run, step, 0), *y = cpu_run_out(run, step, 0);
    copy_work work = {x->data, y->data, x->n_elements * cpu_element_bytes(x->type)};
    if (x->n_elements != y->n_elements) {
        return cpu_report(SY_INVALID_ARGUMENT, step->i_node, "x and y differ in size");
    }
    if (x->data == y->data || work.n_bytes == 0) {
        return SY_OK;
    }
    return cpu_run_tasks(run, copy_task, &work, (work.n_bytes + PIECE_BYTES - 1) / PIECE_BYTES,
                         work.n_bytes / 4);
}

static bool gather_check(const sy_device *device, const cpu_node *node, const cpu_operator *op,
                         cpu_params *out_params, cpu_answer *answer) {
    static const char *const names[] = {"axis", NULL};
    const sy_value_view *x = &node->in[0], *ids = &node->in[1], *y = &node->out[0];
    (void)device;
    (void)op;
    if (!cpu_attributes_known(node, names, answer) ||
        !cpu_attribute_int(node, "axis", 0, &out_params->axis, answer)) {
        return false;
    }
    if (x->rank == 0 || (out_params->axis != 0 && out_params->axis != -(int64_t)x->rank)) {
        return cpu_no(answer, SY_REASON_ATTRIBUTE, "only axis 0 runs here");
    }
    if (x->type != y->type || x->kind == SY_VALUE_STATE || !is_plain(x->type)) {
        return cpu_no(answer, SY_REASON_TYPE, "data and y must have one plain type");
    }
    if (ids->type != SY_TYPE_I32 && ids->type != SY_TYPE_I64) {
        return cpu_no(answer, SY_REASON_TYPE, "indices are neither i32 nor i64");
    }
    bool fits = y->rank == ids->rank + x->rank - 1;
    for (uint32_t i = 0; fits && i < ids->rank; i++) {
        fits = cpu_dimension_same(&y->dims[i], &ids->dims[i]);
    }
    for (uint32_t i = 1; fits && i < x->rank; i++) {
        fits =
            cpu_dimension_same(&y->dims[ids->rank + i - 1], &x->dims[i]) && x->dims[i].symbol == 0;
    }
    if (!fits) {
        return cpu_no(answer, SY_REASON_SHAPE,
                      "data, indices and y do not fit, or rows are not fixed");
    }
    answer->activation_bytes = 8.0 * cpu_typical_count(node->graph, y);
    return true;
}

typedef struct gather_work {
    cpu_run *run;
    const cpu_tensor *x, *ids, *y;
    uint64_t row_bytes;
} gather_work;

static void gather_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const gather_work *work = argument;
    int64_t id = 0, n = work->x->dims[0];
    (void)i_worker;
    if (work->ids->type == SY_TYPE_I32) {
        int32_t narrow = 0;
        memcpy(&narrow, work->ids->data + 4 * (uint64_t)i_task, 4);
        id = narrow;
    } else {
        memcpy(&id, work->ids->data + 8 * (uint64_t)i_task, 8);
    }
    id = id < 0 ? id + n : id; /* ONNX counts from the end */
    if (id < 0 || id >= n) {
        atomic_store(&work->run->failure, SY_OUT_OF_RANGE);
        return;
    }
    memcpy(work->y->data + i_task * work->row_bytes, work->x->data + (uint64_t)id * work->row_bytes,
           work->row_bytes);
}

static sy_status gather_run(cpu_run *run, const cpu_step *step) {
    gather_work work = {.run = run, .x = cpu_run_in(run, step, 0), .ids = cpu_run_in(run, step, 1)};
    work.y = cpu_run_out(run, step, 0);
    work.row_bytes = cpu_element_bytes(work.x->type);
    for (uint32_t i = 1; i < work.x->rank; i++) {
        work.row_bytes *= (uint64_t)work.x->dims[i];
    }
    sy_status status =
        cpu_run_tasks(run, gather_task, &work, work.ids->n_elements, work.y->n_elements);
    if (status == SY_OUT_OF_RANGE) {
        return cpu_report(status, step->i_node, "an index is not in -%lld..%lld",
                          (long long)work.x->dims[0], (long long)work.x->dims[0] - 1);
    }
    return status;
}

#define VIEW(NAME, VERSION, MOST)                                                           \
    {                                                                                       \
        .domain = "", .name = NAME, .version = VERSION, .n_in_least = 1, .n_in_most = MOST, \
        .n_out = 1, .check = view_check, .run = view_run, .is_view = true                   \
    }

const cpu_operator cpu_operators_move[] = {
    VIEW("Reshape", 14, 2),
    VIEW("Squeeze", 13, 2),
    VIEW("Unsqueeze", 13, 2),
    VIEW("Identity", 13, 1),
    {.domain = "",
     .name = "Gather",
     .version = 13,
     .n_in_least = 2,
     .n_in_most = 2,
     .n_out = 1,
     .check = gather_check,
     .run = gather_run},
    {.name = NULL},
};
