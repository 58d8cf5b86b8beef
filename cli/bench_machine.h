/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine can do at most: read bandwidth of a fresh buffer and peaks of short loops. Used
 * by the verb and by the kernel benches of bench/; depends on nothing of the house. */
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
 * the best of some passes. A small buffer is read many times and gives the speed of a cache. 0 when
 * memory or threads are refused or the buffer is too small for the threads. */
double sy_machine_measure_read(uint32_t n_threads, uint64_t n_bytes);
/* The same with so many passes; 0 also when that is none. */
double sy_machine_read_passes(uint32_t n_threads, uint64_t n_bytes, uint32_t n_passes);

/* A buffer size that caches cannot hold: 512 MiB, less where a quarter of the available memory is
 * less. */
uint64_t sy_machine_buffer_bytes(void);

/* Work that all threads do at once, some passes, each from a common start. */
typedef struct sy_machine_job {
    uint32_t n_threads, n_passes;
    void (*prepare)(void *user, uint32_t i_thread); /* once, on the thread; may be NULL */
    void (*work)(void *user, uint32_t i_thread, uint32_t i_pass);
    void *user;
} sy_machine_job;

/* Nanoseconds of the best pass, 0 when threads cannot be made. The caller is thread 0. */
uint64_t sy_machine_run(const sy_machine_job *job);

uint64_t sy_machine_now_ns(void); /* CLOCK_MONOTONIC */

#endif
