/* SPDX-License-Identifier: Apache-2.0 */
/* One linear kernel of cpu-xnnpack on fixed data, a given number of times: what the script
 * aarch64_instructions.py counts. Arguments: LEVEL TYPE ROWS COLUMNS K TIMES. */
#include "block_layout.h"
#include "kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct type_row {
    const char *name;
    sy_element_type type;
    size_t n_elements, n_bytes;
} type_row;

#define BLOCK(NAME, name, n) \
    { #NAME, SY_TYPE_##NAME, n, sizeof(block_##name) }
static const type_row types[] = {
    BLOCK(Q4_0, q4_0, 32),       BLOCK(Q4_1, q4_1, 32),      BLOCK(Q5_0, q5_0, 32),
    BLOCK(Q5_1, q5_1, 32),       BLOCK(Q8_0, q8_0, 32),      BLOCK(IQ4_NL, iq4_nl, 32),
    BLOCK(MXFP4, mxfp4, 32),     BLOCK(Q2_K, q2_k, 256),     BLOCK(Q3_K, q3_k, 256),
    BLOCK(Q4_K, q4_k, 256),      BLOCK(Q5_K, q5_k, 256),     BLOCK(Q6_K, q6_k, 256),
    BLOCK(IQ4_XS, iq4_xs, 256),  {"f32", SY_TYPE_F32, 1, 4}, {"f16", SY_TYPE_F16, 1, 2},
    {"bf16", SY_TYPE_BF16, 1, 2}};

static uint8_t *filled(size_t n_bytes) {
    uint8_t *bytes = aligned_alloc(64, (n_bytes + 63) / 64 * 64);
    for (size_t i = 0; bytes != NULL && i < n_bytes; i++) {
        bytes[i] = (uint8_t)(i * 37 + (i >> 8));
    }
    return bytes;
}

int main(int argc, char **argv) {
    const cpu_kernels *kernels = argc == 7 ? cpu_kernels_select(argv[1]) : NULL;
    const type_row *type = NULL;
    for (size_t i = 0; kernels != NULL && i < sizeof(types) / sizeof(types[0]); i++) {
        type = strcmp(types[i].name, argv[2]) == 0 ? &types[i] : type;
    }
    if (type == NULL) {
        fprintf(stderr, "usage: aarch64_instructions LEVEL TYPE ROWS COLUMNS K TIMES\n");
        return 2;
    }
    size_t n_rows = strtoul(argv[3], NULL, 10), n_columns = strtoul(argv[4], NULL, 10);
    size_t k = strtoul(argv[5], NULL, 10), times = strtoul(argv[6], NULL, 10);
    size_t row_bytes = type->n_elements > 1 ? cpu_activation_row_bytes(k, CPU_PLANES_8) : 4 * k;
    cpu_linear l = {.weight_row_bytes = k / type->n_elements * type->n_bytes,
                    .row_bytes = row_bytes,
                    .out_stride = n_columns,
                    .k = k,
                    .n_columns = n_columns,
                    .n_rows = n_rows,
                    .planes = CPU_PLANES_8};
    uint8_t *weights = filled(n_columns * l.weight_row_bytes), *rows = filled(n_rows * row_bytes);
    uint8_t *out = filled(n_rows * n_columns * sizeof(float));
    l.space = filled(cpu_linear_space_bytes(k));
    l.weights = weights;
    l.rows = rows;
    l.out = (float *)(void *)out;
    if (weights == NULL || rows == NULL || out == NULL || l.space == NULL) {
        return 1;
    }
    for (size_t i = 0; i < times; i++) {
        cpu_kernels_of(kernels, type->type)->linear(&l);
    }
    free(weights);
    free(rows);
    free(out);
    free(l.space);
    return 0;
}
