/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory THREADS MIB PASSES: what this machine gives at this moment, for the engines measured
 * beside it, as one line of JSON: the best read bandwidth of a fresh buffer over all threads and
 * the peak rate of this CPU's best integer dot product. bench/llm_cpu.py compiles it together with
 * cli/bench_machine.c and cli/bench_loops.c, so the verb `bench` measures with the same code.
 */
#include "bench_machine.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned long argument(int argc, char **argv, int i, unsigned long otherwise) {
    return argc > i ? strtoul(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv) {
    unsigned long n_threads = argument(argc, argv, 1, 1), n_mib = argument(argc, argv, 2, 512);
    unsigned long n_passes = argument(argc, argv, 3, 5);
    if (n_threads < 1 || n_threads > SY_MACHINE_THREADS_MAX || n_mib < 1 || n_mib > 1ul << 20 ||
        n_passes < 1 || n_passes > 1000) {
        fprintf(stderr, "usage: memory THREADS MIB PASSES\n");
        return 2;
    }
    double read_gbs =
        sy_machine_read_passes((uint32_t)n_threads, (uint64_t)n_mib << 20, (uint32_t)n_passes);
    sy_machine_peaks peaks;
    sy_machine_measure_peaks((uint32_t)n_threads, &peaks);
    if (read_gbs <= 0 || peaks.int8_gmac_per_s <= 0) {
        fprintf(stderr, "memory: no memory, or no threads\n");
        return 1;
    }
    printf("{\"threads\": %lu, \"read_gbs\": %.2f, \"int8_gmacs\": %.1f, \"int8_by\": \"%s\"}\n",
           n_threads, read_gbs, peaks.int8_gmac_per_s, peaks.int8_by);
    return 0;
}
