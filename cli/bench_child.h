/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs, run to their end: this program as its own child, llama-bench, rsvg-convert. */
#ifndef SY_CLI_BENCH_CHILD_H
#define SY_CLI_BENCH_CHILD_H

#include <stddef.h>
#include <stdint.h>

#define SY_CHILD_OUTPUT_BYTES 65536u

typedef struct sy_child {
    uint64_t first_byte_ns;             /* from the start to the first byte of output, 0 none */
    int exit_status;                    /* -1: it could not be started or was ended by a signal */
    char output[SY_CHILD_OUTPUT_BYTES]; /* NUL-terminated, cut */
} sy_child;

/* Runs argv[0], found in PATH unless it holds a slash. Its standard error is ours when loud. */
void sy_child_run(char *const *argv, int loud, sy_child *out_child);

/* Writes where PATH has a program; 0 when it has none. */
int sy_child_find(const char *name, char *out_path, size_t n_bytes);

#endif
