/* SPDX-License-Identifier: Apache-2.0 */
/* RotaryEmbedding: cos and sin of a row are computed once and shared by every node that turns by
 * the same positions and frequencies, so all layers of a model use one table per step. */
#include "rotary.h"

#include <math.h>
#include <string.h>

bool cpu_rotary_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                      cpu_params *out_params, kit_answer *answer) {
    kit_rotary rotary;
    (void)device;
    (void)op;
    if (!kit_check_rotary(node, &rotary, answer)) {
        return false;
    }
    out_params->n_heads = rotary.n_heads;
    out_params->scale = rotary.magnitude;
    out_params->interleaved = rotary.interleaved;
    out_params->inner = (uint64_t)rotary.n_pairs;
    return true;
}

sy_status cpu_rotary_prepare(cpu_builder *builder, const kit_node *node, cpu_step *step) {
    cpu_params derived;
    (void)node;
    memset(&derived, 0, sizeof(derived));
    derived.derived = SY_NO_VALUE;
    derived.inner = step->params.inner;
    derived.scale = step->params.scale;
    return cpu_builder_derive(builder, CPU_DERIVE_ROTATION, step, &derived, &step->params.derived);
}

/* ---- the table ---- */
typedef struct table_work {
    cpu_run *run;
    const cpu_step *step;
} table_work;

#define TABLE_ROWS_PER_TASK 4u

/* In double: far into a context an f32 angle is off by whole thousandths. */
static void table_row(const float *frequency, int32_t position, uint64_t n_pairs, double magnitude,
                      float *out) {
    for (uint64_t i = 0; i < n_pairs; i++) {
        double angle = (double)position * (double)frequency[i];
        out[i] = (float)(cos(angle) * magnitude);
        out[n_pairs + i] = (float)(sin(angle) * magnitude);
    }
}

static void table_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const table_work *work = argument;
    const cpu_tensor *positions = cpu_run_in(work->run, work->step, 0);
    const cpu_tensor *frequency = cpu_run_in(work->run, work->step, 1);
    uint64_t n_pairs = work->step->params.inner, first = (uint64_t)i_task * TABLE_ROWS_PER_TASK;
    float *out = (float *)(void *)cpu_run_out(work->run, work->step, 0)->data;
    (void)i_worker;
    for (uint64_t r = first; r < first + TABLE_ROWS_PER_TASK && r < positions->n_elements; r++) {
        int32_t position = 0;
        memcpy(&position, positions->data + 4 * r, 4);
        table_row((const float *)(const void *)frequency->data, position, n_pairs,
                  work->step->params.scale, out + 2 * n_pairs * r);
    }
}

static sy_status table_run(cpu_run *run, const cpu_step *step) {
    table_work work = {run, step};
    uint64_t n_rows = cpu_run_in(run, step, 0)->n_elements;
    return cpu_run_tasks(run, table_task, &work,
                         (n_rows + TABLE_ROWS_PER_TASK - 1) / TABLE_ROWS_PER_TASK,
                         n_rows * step->params.inner * 64);
}

const cpu_operator cpu_operator_rotation = {.name = "rotation", .run = table_run};

/* ---- the rotation ---- */
#define ROWS_PER_TASK 4u

static void rotate_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const table_work *work = argument;
    const cpu_params *p = &work->step->params;
    const cpu_tensor *x = cpu_run_in(work->run, work->step, 0);
    const cpu_tensor *y = cpu_run_out(work->run, work->step, 0);
    const float *table = (const float *)(const void *)work->run->tensors[p->derived].data;
    uint64_t n_heads = (uint64_t)p->n_heads, width = cpu_tensor_width(x), d = width / n_heads;
    uint64_t first = (uint64_t)i_task * ROWS_PER_TASK, n_rows = cpu_tensor_rows(x);
    float *space = (float *)(void *)cpu_run_worker(work->run, i_worker);
    for (uint64_t r = first; r < first + ROWS_PER_TASK && r < n_rows; r++) {
        const float *row = cpu_floats_read(work->run, x, r * width, width, space);
        float *out = cpu_floats_target(y, r * width, space + width);
        for (uint64_t h = 0; h < n_heads; h++) {
            work->run->kernels->rows->rotate(row + h * d, d, p->inner, p->interleaved,
                                             table + 2 * p->inner * r, out + h * d);
        }
        cpu_floats_write(work->run, y, r * width, width, out);
    }
}

uint64_t cpu_rotary_worker_bytes(const kit_node *node, const cpu_params *params) {
    (void)params;
    return 2 * (uint64_t)kit_width(&node->in[0]) * sizeof(float);
}

sy_status cpu_rotary_run(cpu_run *run, const cpu_step *step) {
    table_work work = {run, step};
    const cpu_tensor *x = cpu_run_in(run, step, 0);
    uint64_t n_rows = cpu_tensor_rows(x);
    return cpu_run_tasks(run, rotate_task, &work, (n_rows + ROWS_PER_TASK - 1) / ROWS_PER_TASK,
                         x->n_elements);
}
