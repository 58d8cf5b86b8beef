/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that move bytes: Reshape, Identity, Squeeze, Unsqueeze, Gather along axis 0. */
#include "operators.h"

#include <string.h>

#define PIECE_BYTES 65536u

static bool view_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                       cpu_params *out_params, kit_answer *answer) {
    kit_view view;
    (void)device;
    (void)op;
    (void)out_params;
    return kit_check_view(node, &view, answer);
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
        return kit_report(SY_INVALID_ARGUMENT, step->i_node, "x and y differ in size");
    }
    if (x->data == y->data || work.n_bytes == 0) {
        return SY_OK;
    }
    return cpu_run_tasks(run, copy_task, &work, (work.n_bytes + PIECE_BYTES - 1) / PIECE_BYTES,
                         work.n_bytes / 4);
}

/* Whole rows of fixed size. */
static bool gather_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                         cpu_params *out_params, kit_answer *answer) {
    const sy_value_view *x = &node->in[0];
    kit_gather gather;
    (void)device;
    (void)op;
    (void)out_params;
    if (!kit_check_gather(node, &gather, answer)) {
        return false;
    }
    if (gather.axis != 0) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "only axis 0 runs here");
    }
    for (uint32_t i = 1; i < x->rank; i++) {
        if (x->dims[i].symbol != 0) {
            return kit_no(answer, SY_REASON_SHAPE, "rows of the data are not fixed");
        }
    }
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
        return kit_report(status, step->i_node, "an index is not in -%lld..%lld",
                          (long long)work.x->dims[0], (long long)work.x->dims[0] - 1);
    }
    return status;
}

#define VIEW(NAME) \
    { .domain = "", .name = NAME, .check = view_check, .run = view_run, .is_view = true }

const cpu_operator cpu_operators_move[] = {
    VIEW("Reshape"),
    VIEW("Squeeze"),
    VIEW("Unsqueeze"),
    VIEW("Identity"),
    {.domain = "", .name = "Gather", .check = gather_check, .run = gather_run},
    {.name = NULL},
};
