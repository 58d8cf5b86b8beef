/* SPDX-License-Identifier: Apache-2.0 */
/* What the measuring programs share beside the limits of the machine. */
#ifndef SY_BENCH_MEASURING_H
#define SY_BENCH_MEASURING_H

#include "bench_machine.h"
#include "switchyard/status.h"

#include <stdio.h>
#include <stdlib.h>

static inline double now_us(void) {
    return (double)sy_machine_now_ns() * 1e-3;
}

/* Ends the program with the words of an error. */
static inline void must(sy_status status, const sy_error *error) {
    if (status != SY_OK) {
        fprintf(stderr, "status %u: %s\n", status, error->message);
        exit(1);
    }
}

#endif
