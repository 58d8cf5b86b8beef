/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers into the block types of GGUF, and back. Every encoder searches the scales of a block for
 * the least sum of squared differences; an importance for each column weighs them. The result of a
 * row depends on that row alone.
 */
#ifndef SWITCHYARD_QUANTIZE_H
#define SWITCHYARD_QUANTIZE_H

#include "switchyard/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 1 for the types that sy_quantize_row writes: f32 f16 bf16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K
 * Q5_K Q6_K IQ4_NL IQ4_XS MXFP4 TQ1_0 TQ2_0.
 * shape: -  unit: -  owner: -  errors: 0  thread: any
 * cost: O(1)  since: 0.1  source: GGUF specification */
int sy_quantize_supports(sy_element_type type);

/* Encodes a row of whole blocks. importance: NULL, or one weight >= 0 for each column.
 * shape: values, importance [n_columns] f32, out_row as sy_type_row_bytes says  unit: -
 * owner: caller's memory  errors: UNIMPLEMENTED type; INVALID_ARGUMENT no whole blocks, or a number
 * that is NaN or infinite, with its column; OUT_OF_RANGE a number too large for the type
 * thread: any  cost: no heap, O(n_columns), some 100 ns a block of 32  since: 0.1
 * source: GGUF specification */
SY_MUST_CHECK sy_status sy_quantize_row(sy_element_type type, const float *values,
                                        uint64_t n_columns, const float *importance, void *out_row,
                                        sy_error *error);

/* Decodes a row of any type of GGUF.
 * shape: out_values [n_columns] f32  unit: -  owner: caller's memory
 * errors: INVALID_ARGUMENT unknown type, or no whole blocks  thread: any
 * cost: no heap, O(n_columns)  since: 0.1  source: GGUF specification */
SY_MUST_CHECK sy_status sy_dequantize_row(sy_element_type type, const void *row, uint64_t n_columns,
                                          float *out_values, sy_error *error);

#ifdef __cplusplus
}
#endif
#endif
