/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the kernel bench share. */
#ifndef SY_KERNELS_BENCH_H
#define SY_KERNELS_BENCH_H

#include "bench_machine.h"
#include "kernels.h"

typedef struct bench_options {
    const char *type, *isa; /* NULL: all */
    const char *part;       /* NULL, "linear" or "rows" */
    uint32_t rows[16], n_rows;
    uint32_t n_threads, k, planes, columns;
    uint64_t large_bytes, small_bytes; /* 0: left out */
    sy_machine_peaks peaks;
    double read_large, read_small; /* GB/s of buffers of these sizes */
} bench_options;

/* kernels_bench_rows.c: kernels over rows of floats. */
void bench_row_kernels(const bench_options *options, const cpu_kernels *kernels);

/* Nanoseconds of one call: the best of many, each long enough for the clock. */
double bench_best_ns(void (*call)(void *user), void *user);

#endif
