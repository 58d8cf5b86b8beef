/* SPDX-License-Identifier: Apache-2.0 */
/* Runs one small graph on the reference and on a delegate, in every variant of it, and compares
 * what comes out. */
#ifndef SY_TESTS_OP_COMPARE_H
#define SY_TESTS_OP_COMPARE_H

#include "guarded.h"
#include "tools/op_runner.h"

#define COMPARE_VALUES 32u
#define COMPARE_STATES 2u
#define COMPARE_NODES 32u
#define COMPARE_SYMBOLS 10u
#define COMPARE_BF16_ROWS 1.6e-2 /* error of level avx512bf16, which rounds rows to bf16 */

/* A way to open the delegate. op_compare_cpu.c and tests/gpu/op_compare_gpu.c know theirs. */
typedef struct compare_variant {
    char name[24], options[96];
    uint32_t n_other_workers; /* that must lead to the same bits as one; 0: not asked */
    bool rounds_bf16;
} compare_variant;
#define COMPARE_VARIANTS 16u
uint32_t compare_variants(compare_variant out_variants[COMPARE_VARIANTS]);
/* Options that open it as it is. */
const char *compare_options(void);
/* Whether it may say no to weights of a type. */
bool compare_lacks(sy_element_type type);

/* The table of the .so in the build folder, and that of the reference. */
const sy_plugin *compare_delegate_entry(sy_test_host *host);
/* The same, of a file in the build folder. */
const sy_plugin *compare_entry_of(sy_test_host *host, const char *file);
const sy_plugin *compare_reference_entry(sy_test_host *host);

/* Zeroed fields mean none. */
typedef struct compare {
    sy_test_graph graph;
    const void *inputs[COMPARE_VALUES]; /* owned; in the order of the segment's inputs */
    uint32_t n_inputs;
    void *weights[COMPARE_VALUES];
    uint32_t n_weights;
    int64_t symbols[COMPARE_SYMBOLS]; /* of the step; index = symbol; all 0: the bounds */
    sy_sequence sequences[4];
    uint32_t n_sequences;
    sy_state_description states[COMPARE_STATES]; /* one pair per sequence */
    uint32_t n_states, n_past_rows;              /* rows that every state starts with */
    double tolerance;                            /* of the largest magnitude in an output */
    double tolerance_bf16;                       /* COMPARE_BF16_ROWS with bf16 weights, else 0 */
    const char *options;                         /* beside the variant's */
    bool may_refuse;                             /* a "no" with words is fine; compare_lacks, too */
    sy_status expect;                            /* status of the step on both sides */
} compare;

void compare_init(compare *c, double tolerance);
void compare_deinit(compare *c);

/* Values with random content. Types: floats, bytes, i32, i64, or block types for weights. */
uint32_t compare_input(compare *c, sy_element_type type, uint32_t rank, const sy_dimension *dims);
/* An i32 input with these elements. */
uint32_t compare_input_i32(compare *c, sy_dimension dim, const int32_t *elements, uint32_t n);
uint32_t compare_weight(compare *c, sy_element_type type, uint32_t rank, const int64_t *dims);
uint32_t compare_weight_i64(compare *c, const int64_t *elements, int64_t n);
uint32_t compare_state(compare *c, sy_element_type type, uint32_t role, uint32_t width,
                       uint32_t max_tokens);
uint32_t compare_output(compare *c, sy_element_type type, uint32_t rank, const sy_dimension *dims);
/* A value between two nodes. */
uint32_t compare_inner(compare *c, sy_element_type type, uint32_t rank, const sy_dimension *dims);

/* Finishes the graph, runs it everywhere, checks. Answers false when the delegate said no. */
bool compare_run(compare *c, const char *what);

#endif
