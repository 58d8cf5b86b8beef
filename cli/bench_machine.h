/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine can do at most: read bandwidth of a fresh buffer and peaks of short loops. */
#ifndef SY_CLI_BENCH_MACHINE_H
#define SY_CLI_BENCH_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#define SY_MACHINE_THREADS_MAX 256u

/* Multiply-adds count once (a product and its sum). */
typedef struct sy_machine_peaks {
    uint32_t n_threads;
    double int8_gmac_per_s, f32_gmac_per_s; /* of all threads together */
    const char *int8_by, *f32_by;           /* the instruction that was timed */
} sy_machine_peaks;

/* Times the loops on n_threads threads at once, best of several; about 0.1 s. Zeroes when threads
 * cannot be made. */
void sy_machine_measure_peaks(uint32_t n_threads, sy_machine_peaks *out_peaks);

/* 10^9 bytes per second that n_threads read together from a buffer of n_bytes made for this call:
 * the best of some passes. 0 when memory or threads are refused. */
double sy_machine_measure_read(uint32_t n_threads, uint64_t n_bytes);

/* A buffer size that caches cannot hold: 512 MiB, less where a quarter of the available memory is
 * less. */
uint64_t sy_machine_buffer_bytes(void);

uint64_t sy_machine_now_ns(void); /* CLOCK_MONOTONIC */

#endif
