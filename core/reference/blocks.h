/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of every element type to and from f32. Decoding is exact: the value of an element is the one
 * that the type's definition in the GGUF reference (gguf-py) gives, bit for bit, every
 * intermediate rounded to f32. Pointers need no alignment. Stands on switchyard/types.h only.
 */
#ifndef SY_REFERENCE_BLOCKS_H
#define SY_REFERENCE_BLOCKS_H

#include "switchyard/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Scalars. Narrowing rounds to nearest even; NaN stays NaN. */
float sy__f16_to_f32(uint16_t bits);
float sy__bf16_to_f32(uint16_t bits);
uint16_t sy__f16_from_f64(double value);
uint16_t sy__bf16_from_f64(double value);

/* Decodes a row of n_elements (a whole number of blocks) at `row`. Integers and f64 are rounded to
 * f32, bool becomes 0 or 1. INVALID_ARGUMENT for an unknown type or a broken block. */
SY_MUST_CHECK sy_status sy__row_decode(sy_element_type type, const void *row, size_t n_elements,
                                       float *out_values);

/* True for the types sy__row_encode can write: f32, f16, bf16, Q8_0, Q4_0. */
bool sy__row_can_encode(sy_element_type type);

/* Encodes a row. f16 and bf16 round to nearest even. The block types use one f16 scale d for 32
 * elements: largest magnitude / 127 (Q8_0) or the value of largest magnitude / -8 (Q4_0). With
 * q = value / d in f32, Q8_0 stores q rounded half away from zero and Q4_0 floor(q + 8.5) cut to
 * 0..15, as the GGUF reference does. NaN becomes 0 within a block. UNIMPLEMENTED for others. */
SY_MUST_CHECK sy_status sy__row_encode(sy_element_type type, const float *values, size_t n_elements,
                                       void *out_row);

/* One block of each type; used by sy__row_decode. */
typedef void (*sy__block_decode)(const uint8_t *block, float *out_values);
void sy__decode_q4_0(const uint8_t *block, float *out_values);
void sy__decode_q4_1(const uint8_t *block, float *out_values);
void sy__decode_q5_0(const uint8_t *block, float *out_values);
void sy__decode_q5_1(const uint8_t *block, float *out_values);
void sy__decode_q8_0(const uint8_t *block, float *out_values);
void sy__decode_q8_1(const uint8_t *block, float *out_values);
void sy__decode_q2_k(const uint8_t *block, float *out_values);
void sy__decode_q3_k(const uint8_t *block, float *out_values);
void sy__decode_q4_k(const uint8_t *block, float *out_values);
void sy__decode_q5_k(const uint8_t *block, float *out_values);
void sy__decode_q6_k(const uint8_t *block, float *out_values);
void sy__decode_q8_k(const uint8_t *block, float *out_values);
void sy__decode_iq4_nl(const uint8_t *block, float *out_values);
void sy__decode_iq4_xs(const uint8_t *block, float *out_values);
void sy__decode_mxfp4(const uint8_t *block, float *out_values);
void sy__decode_iq2_xxs(const uint8_t *block, float *out_values);
void sy__decode_iq2_xs(const uint8_t *block, float *out_values);
void sy__decode_iq2_s(const uint8_t *block, float *out_values);
void sy__decode_iq3_xxs(const uint8_t *block, float *out_values);
void sy__decode_iq3_s(const uint8_t *block, float *out_values);
void sy__decode_iq1_s(const uint8_t *block, float *out_values);
void sy__decode_iq1_m(const uint8_t *block, float *out_values);
void sy__decode_tq1_0(const uint8_t *block, float *out_values);
void sy__decode_tq2_0(const uint8_t *block, float *out_values);
void sy__decode_nvfp4(const uint8_t *block, float *out_values);
void sy__decode_q1_0(const uint8_t *block, float *out_values);
void sy__decode_q2_0(const uint8_t *block, float *out_values);

#endif
