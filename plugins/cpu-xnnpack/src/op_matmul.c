/* SPDX-License-Identifier: Apache-2.0 */
/* MatMul and Gemm in f32, both sides of any origin. B as [K, N] is swept row by row into one row of
 * the result; B as [N, K] (transB) goes through the product kernels of Linear. In f16 and bf16
 * those that XNNPACK takes. */
#include "op_image.h"

#include <string.h>

#define ROWS_PER_TASK 8u

static bool is_f32(const kit_node *node, kit_answer *answer) {
    static const char *const names[] = {"a", "b", "c"};
    for (uint32_t i = 0; i < node->n_in; i++) {
        if (node->has_in[i] && !kit_require_type(&node->in[i], SY_TYPE_F32, names[i], answer)) {
            return false;
        }
    }
    return kit_require_type(&node->out[0], SY_TYPE_F32, "y", answer);
}

static bool matmul_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                         cpu_params *out_params, kit_answer *answer) {
    kit_matmul matmul;
    (void)op;
    if (!kit_check_matmul(node, &matmul, answer)) {
        return false;
    }
    if (node->out[0].type != SY_TYPE_F32 && cpu_image_check(device, node, answer)) {
        return true; /* as a region */
    }
    if (!is_f32(node, answer)) {
        return false;
    }
    if (node->in[0].rank < 2 || node->in[1].rank < 2) {
        return kit_no(answer, SY_REASON_SHAPE, "a and b must have rank 2 or more");
    }
    out_params->scale = 1.0;
    return true;
}

static bool gemm_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                       cpu_params *out_params, kit_answer *answer) {
    kit_gemm gemm;
    (void)op;
    if (!kit_check_gemm(node, &gemm, answer)) {
        return false;
    }
    if (node->out[0].type != SY_TYPE_F32 && cpu_image_check(device, node, answer)) {
        return true; /* as a region */
    }
    if (!is_f32(node, answer)) {
        return false;
    }
    if (gemm.trans_a) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "transA = 1 does not run here");
    }
    out_params->scale = gemm.alpha;
    out_params->parameter = gemm.beta;
    out_params->interleaved = gemm.trans_b; /* rows of B are columns of the product */
    return true;
}

typedef struct matmul_work {
    cpu_run *run;
    const cpu_step *step;
    const cpu_tensor *a, *b, *y;
    uint64_t m, k, n, tasks_per_matrix;
} matmul_work;

/* Which matrix of an operand belongs to matrix i_matrix of y. */
static uint64_t matrix_of(const cpu_tensor *x, const cpu_tensor *y, uint64_t i_matrix) {
    uint64_t at = 0, stride = 1;
    for (uint32_t i = 2; i < y->rank; i++) { /* from the third last dimension outwards */
        uint64_t size = (uint64_t)y->dims[y->rank - 1 - i], index = i_matrix % size;
        i_matrix /= size;
        if (i < x->rank) {
            uint64_t own = (uint64_t)x->dims[x->rank - 1 - i];
            at += own == 1 ? 0 : index * stride;
            stride *= own;
        }
    }
    return at;
}

/* alpha * row + beta * c */
static void row_finish(const matmul_work *work, uint64_t row, float *out) {
    const cpu_step *step = work->step;
    const cpu_row_kernels *kernels = work->run->kernels->rows;
    const cpu_tensor *c = step->in[2] != SY_NO_VALUE ? cpu_run_in(work->run, step, 2) : NULL;
    if (step->params.scale != 1.0) {
        kernels->scale(out, (float)step->params.scale, work->n, out);
    }
    if (c == NULL || work->n == 0) {
        return;
    }
    const float *values = (const float *)(const void *)c->data;
    bool has_rows = c->rank == 2 && c->dims[0] != 1;
    bool is_column = c->rank == 0 || c->dims[c->rank - 1] == 1;
    values += has_rows ? row * (is_column ? 1 : work->n) : 0;
    for (uint64_t i = 0; i < work->n; i++) {
        out[i] += (float)step->params.parameter * values[is_column ? 0 : i];
    }
}

static void matmul_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const matmul_work *work = argument;
    const cpu_kernels *kernels = work->run->kernels;
    uint64_t i_matrix = i_task / work->tasks_per_matrix, m = work->m, k = work->k, n = work->n;
    uint64_t first = i_task % work->tasks_per_matrix * ROWS_PER_TASK;
    uint64_t n_rows = m - first < ROWS_PER_TASK ? m - first : ROWS_PER_TASK;
    const float *a = (const float *)(const void *)work->a->data;
    const float *b = (const float *)(const void *)work->b->data;
    float *y = (float *)(void *)work->y->data;
    (void)i_worker;
    a += matrix_of(work->a, work->y, i_matrix) * m * k + first * k;
    b += matrix_of(work->b, work->y, i_matrix) * k * n;
    y += i_matrix * m * n + first * n;
    if (work->step->params.interleaved) {
        cpu_linear linear = {.weights = (const uint8_t *)b,
                             .weight_row_bytes = k * 4,
                             .rows = (const uint8_t *)a,
                             .row_bytes = k * 4,
                             .out = y,
                             .out_stride = n,
                             .k = k,
                             .n_columns = n,
                             .n_rows = n_rows,
                             .planes = CPU_PLANES_8};
        kernels->plain[SY_TYPE_F32].linear(&linear);
    }
    for (uint64_t r = 0; r < n_rows; r++) {
        float *out = y + r * n;
        if (!work->step->params.interleaved) {
            memset(out, 0, n * sizeof(float));
            kernels->rows->accumulate(a + r * k, b, n, k, n, 1.0f, out);
        }
        row_finish(work, first + r, out);
    }
}

static sy_status matmul_run(cpu_run *run, const cpu_step *step) {
    matmul_work work = {.run = run, .step = step, .a = cpu_run_in(run, step, 0)};
    work.b = cpu_run_in(run, step, 1);
    work.y = cpu_run_out(run, step, 0);
    work.m = (uint64_t)work.y->dims[work.y->rank - 2];
    work.n = (uint64_t)work.y->dims[work.y->rank - 1];
    work.k = (uint64_t)work.a->dims[work.a->rank - 1];
    if (work.y->n_elements == 0) {
        return SY_OK;
    }
    work.tasks_per_matrix = (work.m + ROWS_PER_TASK - 1) / ROWS_PER_TASK;
    uint64_t n_matrices = work.y->n_elements / (work.m * work.n);
    return cpu_run_tasks(run, matmul_task, &work, n_matrices * work.tasks_per_matrix,
                         work.y->n_elements * work.k / 8);
}

const cpu_operator cpu_operators_matmul[] = {
    {.domain = "", .name = "MatMul", .check = matmul_check, .run = matmul_run},
    {.domain = "", .name = "Gemm", .check = gemm_check, .run = matmul_run},
    {.name = NULL},
};
