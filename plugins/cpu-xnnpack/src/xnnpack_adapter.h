/* SPDX-License-Identifier: Apache-2.0 */
/* All that touches XNNPACK. Without it at build time the functions answer "not present". Its
 * operators run single-threaded here; columns are split over the host's team outside of it. */
#ifndef CPU_XNNPACK_ADAPTER_H
#define CPU_XNNPACK_ADAPTER_H

#include "operators.h"

#define CPU_LINEAR_COLUMNS 64u /* columns of one task, also of one XNNPACK operator */
/* Elements of a weight matrix that goes to XNNPACK. It packs a copy, so not the largest; it sums
 * in the order of k, which rounds more than lanes do, so not where little time is at stake. */
#define CPU_XNNPACK_WEIGHT_LEAST (64 << 10)
#define CPU_XNNPACK_WEIGHT_MOST (64 << 20)

bool cpu_xnnpack_present(void);
bool cpu_xnnpack_start(void);
void cpu_xnnpack_stop(void);

/* y = x w' + bias in f32; w is [n, k]. bias may be NULL. */
sy_status cpu_xnnpack_linear_create(const float *w, const float *bias, uint64_t k, uint64_t n,
                                    void **out_object);
sy_status cpu_xnnpack_linear_run(cpu_run *run, void *object, const float *x, uint64_t n_rows,
                                 float *y);
/* NULL is fine. */
void cpu_xnnpack_release(void *object);

#endif
