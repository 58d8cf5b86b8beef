/* SPDX-License-Identifier: Apache-2.0 */
/* The loops behind the peaks: each is one block of assembly, so that no compiler can spoil it. */
#ifndef SY_CLI_BENCH_LOOPS_H
#define SY_CLI_BENCH_LOOPS_H

#include <stddef.h>
#include <stdint.h>

typedef struct sy_machine_loop {
    const char *name;            /* of the instruction */
    double macs_per_turn;        /* multiply-adds of one turn */
    void (*run)(uint64_t turns); /* turns > 0 */
} sy_machine_loop;

/* The best loops that this CPU can run. */
const sy_machine_loop *sy_machine_loop_int8(void);
const sy_machine_loop *sy_machine_loop_f32(void);

/* Reads n_bytes (a multiple of 512, 64-byte aligned). */
void sy_machine_read_bytes(const uint8_t *bytes, size_t n_bytes);

#endif
