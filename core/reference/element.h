/* SPDX-License-Identifier: Apache-2.0 */
/* Elements of plain types as f64 or i64, and walks over broadcast or permuted tensors. */
#ifndef SY_REFERENCE_ELEMENT_H
#define SY_REFERENCE_ELEMENT_H

#include "reference/internal.h"

/* Reads n elements first, first + stride, ... Exact, but for i64 past 2^53 as f64. */
void sy__ref_get_f64(const sy__tensor *tensor, int64_t first, int64_t stride, int64_t n,
                     double *out);
void sy__ref_get_i64(const sy__tensor *tensor, int64_t first, int64_t stride, int64_t n,
                     int64_t *out);
/* Writes n consecutive elements; floats are rounded once, to nearest even. put_i64 keeps the low
 * bits; BOOL becomes value != 0. */
void sy__ref_put_f64(const sy__tensor *tensor, int64_t first, int64_t n, const double *values);
void sy__ref_put_i64(const sy__tensor *tensor, int64_t first, int64_t n, const int64_t *values);
/* Bytes of one element of an addressable type. */
size_t sy__ref_element_bytes(sy_element_type type);

#define SY__RUN_ELEMENTS 256 /* most elements of one visit */

/* A run of output elements along the innermost dimension and where the inputs' lie. */
typedef struct sy__run {
    int64_t out_first, n;
    int64_t first[3], stride[3];
} sy__run;

/* Visits every element of `output` in runs, in parallel; the split depends on sizes only. */
typedef struct sy__walk sy__walk;
struct sy__walk {
    const sy__call *call;
    const sy__tensor *output;
    uint32_t n_inputs;
    const sy__tensor *inputs[3];
    int64_t base[3], strides[3][SY_MAX_RANK]; /* of input i in elements, by output dimension */
    void (*visit)(const sy__walk *walk, const sy__run *run);
};

/* Strides that broadcast `shape` to `out`. */
void sy__ref_broadcast_strides(const sy__shape *shape, const sy__shape *out,
                               int64_t strides[SY_MAX_RANK]);
sy_status sy__ref_walk_run(const sy__walk *walk);
/* A walk over output 0 of the call with its first n_inputs inputs broadcast to it. */
sy_status sy__ref_walk_broadcast(const sy__call *call, uint32_t n_inputs,
                                 void (*visit)(const sy__walk *walk, const sy__run *run));
/* Copies elements of input 0 as bytes; a visit function. */
void sy__ref_visit_copy(const sy__walk *walk, const sy__run *run);

#endif
