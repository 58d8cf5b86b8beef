/* SPDX-License-Identifier: Apache-2.0 */
/* MatMul and Gemm: products of two computed matrices, by strides. */
#include "operator_checks.h"
#include "program.h"
#include "tiles.h"

#define WORDS 12u /* in front of the batch */

/* numbers of a launch */
enum {
    NUMBER_TILE_ROWS,
    NUMBER_TILE_COLUMNS,
    NUMBER_ALPHA,
    NUMBER_BETA,
    NUMBER_TRANS_A, /* Gemm */
    NUMBER_TRANS_B,
    NUMBER_N_BATCH,
    NUMBER_HAS_C
};

static bool matmul_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                         kit_answer *answer) {
    kit_matmul matmul;
    (void)device;
    (void)op;
    return kit_check_matmul(node, &matmul, answer);
}

static bool gemm_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                       kit_answer *answer) {
    kit_gemm gemm;
    (void)device;
    (void)op;
    return kit_check_gemm(node, &gemm, answer);
}

/* The matrices of an operand: rows, columns, and the batch in front of them. */
typedef struct matrices {
    int64_t rows, columns;
    uint32_t n_batch;
} matrices;

static matrices matrices_of(const gpu_shape *x, bool is_left) {
    if (x->rank == 1) {
        return (matrices){is_left ? 1 : x->dims[0], is_left ? x->dims[0] : 1, 0};
    }
    return (matrices){x->dims[x->rank - 2], x->dims[x->rank - 1], x->rank - 2};
}

/* What an operand of the batch lies apart along the dimensions of that of y. */
static void batch_strides(const gpu_shape *x, const matrices *m, uint32_t n_batch,
                          uint32_t *out_strides) {
    int64_t strides[SY_MAX_RANK];
    kit_broadcast_strides(m->n_batch, x->dims, n_batch, strides);
    for (uint32_t d = 0; d < n_batch; d++) {
        out_strides[d] = (uint32_t)(strides[d] * m->rows * m->columns);
    }
}

static void addend_strides(const gpu_job *job, const gpu_launch *launch, uint32_t *out_strides) {
    int64_t strides[SY_MAX_RANK];
    const gpu_shape *c = gpu_job_shape(job, launch, 2);
    kit_broadcast_strides(c->rank, c->dims, 2, strides);
    out_strides[0] = (uint32_t)strides[0];
    out_strides[1] = (uint32_t)strides[1];
}

static uint64_t tiles_of(const gpu_launch *launch, uint64_t m, uint64_t n) {
    uint64_t rows = (uint64_t)launch->numbers[NUMBER_TILE_ROWS];
    uint64_t columns = (uint64_t)launch->numbers[NUMBER_TILE_COLUMNS];
    return ((m + rows - 1) / rows) * ((n + columns - 1) / columns);
}

static sy_status product_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                              uint32_t out_groups[3]) {
    const gpu_shape *a = gpu_job_shape(job, launch, 0), *b = gpu_job_shape(job, launch, 1);
    const gpu_shape *y = gpu_job_shape(job, launch, 3);
    const int64_t *numbers = launch->numbers;
    matrices left = matrices_of(a, true), right = matrices_of(b, false);
    bool trans_a = numbers[NUMBER_TRANS_A] != 0, trans_b = numbers[NUMBER_TRANS_B] != 0;
    uint32_t n_batch = (uint32_t)numbers[NUMBER_N_BATCH];
    uint64_t m = (uint64_t)(trans_a ? left.columns : left.rows);
    uint64_t n = (uint64_t)(trans_b ? right.rows : right.columns);
    uint64_t tiles = m * n > 0 ? tiles_of(launch, m, n) * (y->n_elements / (m * n)) : 0;
    out_words[0] = (uint32_t)tiles;
    out_words[1] = (uint32_t)m;
    out_words[2] = (uint32_t)n;
    out_words[3] = (uint32_t)(trans_a ? left.rows : left.columns);
    out_words[4] = (uint32_t)numbers[NUMBER_ALPHA];
    out_words[5] = (uint32_t)numbers[NUMBER_BETA];
    out_words[6] = trans_a ? 1 : (uint32_t)left.columns;
    out_words[7] = trans_a ? (uint32_t)left.columns : 1;
    out_words[8] = trans_b ? 1 : (uint32_t)right.columns;
    out_words[9] = trans_b ? (uint32_t)right.columns : 1;
    if (numbers[NUMBER_HAS_C] != 0) {
        addend_strides(job, launch, out_words + 10);
    }
    for (uint32_t d = 0; d < n_batch; d++) {
        out_words[WORDS + d] = (uint32_t)y->dims[d];
    }
    batch_strides(a, &left, n_batch, out_words + WORDS + n_batch);
    batch_strides(b, &right, n_batch, out_words + WORDS + 2 * n_batch);
    gpu_groups_for(job, tiles, 1, out_groups);
    return SY_OK;
}

static sy_status product_build(gpu_build *build, const kit_gemm *gemm, uint32_t n_batch) {
    const kit_node *node = build->node;
    gpu_tile t = gpu_tile_choose(gpu_build_device(build));
    gpu_launch launch;
    const uint32_t constants[] = {
        t.group,          node->in[0].type,
        node->in[1].type, gemm->has_c ? 1 + (uint32_t)node->in[2].type : 0,
        t.rows,           t.columns,
        t.own_rows,       t.own_columns,
        n_batch,          0,
        t.depth,          node->out[0].type};
    sy_status status = gpu_launch_begin(build, GPU_KERNEL_MATMUL, constants, 12, product_size,
                                        WORDS + 3 * n_batch, &launch);
    if (status != SY_OK) {
        return status;
    }
    launch.numbers[NUMBER_TILE_ROWS] = t.rows;
    launch.numbers[NUMBER_TILE_COLUMNS] = t.columns;
    launch.numbers[NUMBER_ALPHA] = gpu_float_bits(gemm->alpha);
    launch.numbers[NUMBER_BETA] = gpu_float_bits(gemm->beta);
    launch.numbers[NUMBER_TRANS_A] = gemm->trans_a;
    launch.numbers[NUMBER_TRANS_B] = gemm->trans_b;
    launch.numbers[NUMBER_N_BATCH] = n_batch;
    launch.numbers[NUMBER_HAS_C] = gemm->has_c;
    gpu_launch_value(&launch, build->in[0]);
    gpu_launch_value(&launch, build->in[1]);
    gpu_launch_value(&launch, gemm->has_c ? build->in[2] : SY_NO_VALUE);
    gpu_launch_value(&launch, build->out[0]);
    return gpu_launch_end(build, &launch);
}

static sy_status matmul_build(gpu_build *build) {
    kit_matmul matmul;
    kit_answer answer;
    (void)kit_check_matmul(build->node, &matmul, &answer);
    return product_build(build, &(kit_gemm){.alpha = 1.0}, matmul.n_batch);
}

static sy_status gemm_build(gpu_build *build) {
    kit_gemm gemm;
    kit_answer answer;
    (void)kit_check_gemm(build->node, &gemm, &answer);
    return product_build(build, &gemm, 0);
}

const gpu_operator gpu_operators_matmul[] = {
    {"", "MatMul", 0, false, matmul_check, matmul_build},
    {"", "Gemm", 0, false, gemm_check, gemm_build},
    {.name = NULL},
};
