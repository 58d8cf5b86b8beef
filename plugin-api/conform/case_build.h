/* SPDX-License-Identifier: Apache-2.0 */
/* Building blocks of the cases. */
#ifndef SY_CONFORM_CASE_BUILD_H
#define SY_CONFORM_CASE_BUILD_H

#include "conform/conform_internal.h"

typedef struct sy__case_row sy__case_row;
/* Builds shape i_shape; false when the type has no such shape. */
typedef bool (*sy__case_builder)(sy__case *self, const sy__case_row *row, sy_element_type type,
                                 uint32_t i_shape);

/* One operator of docs/operators.md. */
struct sy__case_row {
    const char *domain, *op;
    uint32_t version;
    const char *types; /* names with blanks between */
    uint32_t n_shapes;
    sy__case_builder build;
    double low, high; /* range of random contents; 0, 0: [-2, 2] */
    double tolerance; /* for f32 results; 0: as element types say */
};

#define SY__BUILD(name)                                                                  \
    bool sy__build_##name(sy__case *self, const sy__case_row *row, sy_element_type type, \
                          uint32_t i_shape)
SY__BUILD(unary);
SY__BUILD(binary);
SY__BUILD(linear);
SY__BUILD(embedding);
SY__BUILD(adapter_linear);
SY__BUILD(rotary);
SY__BUILD(attention);
SY__BUILD(gated);
SY__BUILD(clamped);
SY__BUILD(causal_convolution);
SY__BUILD(expert_router);
SY__BUILD(expert_linear);
SY__BUILD(expert_sum);
SY__BUILD(norm);
SY__BUILD(matmul);
SY__BUILD(gemm);
SY__BUILD(reduce);
SY__BUILD(gather);
SY__BUILD(reshape);
SY__BUILD(transpose);
SY__BUILD(concat);
SY__BUILD(slice);
SY__BUILD(split);
SY__BUILD(squeeze);
SY__BUILD(cast);
SY__BUILD(where);
SY__BUILD(expand);
SY__BUILD(arg_max);
SY__BUILD(top_k);
SY__BUILD(conv);
SY__BUILD(conv_transpose);
SY__BUILD(pool);
SY__BUILD(global_pool);
SY__BUILD(resize);
SY__BUILD(pad);
SY__BUILD(depth_space);
SY__BUILD(clip);
SY__BUILD(prelu);
SY__BUILD(batch_norm);
SY__BUILD(quantize);

/* Values with random contents of [low, high]; outputs are noted in their order. */
void *sy__case_content(sy__case *self, sy_element_type type, uint64_t n_elements,
                       uint64_t *out_bytes);
uint32_t sy__case_input(sy__case *self, sy_element_type type, uint32_t rank,
                        const sy_dimension *dims);
/* An i32 input of the tokens' length with numbers in [0, n), and one of any shape. */
uint32_t sy__case_ids(sy__case *self, uint32_t n);
uint32_t sy__case_choices(sy__case *self, uint32_t rank, const sy_dimension *dims, uint32_t n);
uint32_t sy__case_weight(sy__case *self, sy_element_type type, uint32_t rank, const int64_t *dims);
uint32_t sy__case_numbers(sy__case *self, int64_t n, const int64_t *numbers);
uint32_t sy__case_state(sy__case *self, sy_element_type type, uint32_t role, uint32_t width);
uint32_t sy__case_output(sy__case *self, sy_element_type type, uint32_t rank,
                         const sy_dimension *dims);
/* The one node, after its outputs. */
uint32_t sy__case_node(sy__case *self, const sy__case_row *row, uint32_t n_inputs,
                       const uint32_t *inputs);

#define SY__T(self) sy_test_symbol(SY_SYMBOL_TOKENS, (self)->n_tokens)
#define SY__F(n) sy_test_fixed(n)

#endif
