/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SY_BASE_CLOCK_H
#define SY_BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t sy__clock_now_ns(void);

#endif
