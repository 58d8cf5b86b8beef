/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of rows with weights, as Linear and ExpertLinear need them: one launch for each piece of
 * the weights and each kernel that may be the best for the rows of a job. All of them but one have
 * nothing to do then.
 */
#ifndef GPU_LINEAR_H
#define GPU_LINEAR_H

#include "program.h"

/* y[m] = x[m / n_per_x] w[e]' + bias[e], where e is the expert of row m of y, or 0. */
typedef struct gpu_product {
    uint32_t x, w, bias, y; /* values of the unit; a bias or SY_NO_VALUE */
    int64_t k, n;           /* columns of x and of y */
    int64_t most_rows;      /* of y, at the bounds */
    int64_t n_experts;      /* 0: Linear */
    int64_t n_per_x;        /* rows of y for one of x */
    uint32_t experts;       /* the expert of each row of y */
    uint32_t order;         /* what expert_order makes of them; SY_NO_VALUE: never needed */
} gpu_product;

/* Whether kernels read a weight: a constant of a type that they know, of rows that fit into a
 * binding. Says no in words. */
bool gpu_product_check(const sy_device *device, const sy_value_view *w, const char *what,
                       kit_answer *answer);
sy_status gpu_product_build(gpu_build *build, const gpu_product *product);
/* Most rows of y for which the products of experts need no order. */
int64_t gpu_product_most_unordered(const sy_device *device, int64_t n_experts);

/* What kernels that include weight_blocks.h get in front of their own words. */
#define GPU_PIECE_WORDS 9u
/* Puts them into the numbers of a launch; k: columns. Words 7 and 8 are the first row and the
 * rows of the piece; word 6 is left to the kernel. */
void gpu_piece_numbers(gpu_launch *launch, const gpu_weight_piece *piece, int64_t k);
/* Constants of the kernels that stand in front of all others but the size of a group. */
void gpu_piece_constants(sy_element_type type, sy_element_type x_type, int64_t k,
                         uint32_t out_constants[4]);

#endif
