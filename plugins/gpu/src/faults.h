/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of test builds (plugin-api/RULES.md): a build with GPU_FAULTS knows the option `fault`,
 * all others have nothing here. */
#ifndef GPU_FAULTS_H
#define GPU_FAULTS_H

#include "program.h"

#ifdef GPU_FAULTS
sy_status gpu_faults_read(sy_device *device, const char *options);
void gpu_faults_free(sy_device *device);
/* One more creation; RESOURCE_EXHAUSTED where it is to fail. */
sy_status gpu_fault_of_creation(sy_device *device);
/* One more job: lost, or hanging until its deadline or its cancelling. *out_garbage: its outputs
 * are to hold no numbers. */
sy_status gpu_fault_of_job(sy_unit *unit, const sy_job *job, bool *out_garbage);
sy_status gpu_fault_garbage(sy_unit *unit, const sy_job *job);
#else
static inline sy_status gpu_faults_read(sy_device *device, const char *options) {
    (void)device;
    (void)options;
    return SY_OK;
}
static inline void gpu_faults_free(sy_device *device) {
    (void)device;
}
static inline sy_status gpu_fault_of_creation(sy_device *device) {
    (void)device;
    return SY_OK;
}
static inline sy_status gpu_fault_of_job(sy_unit *unit, const sy_job *job, bool *out_garbage) {
    (void)unit;
    (void)job;
    *out_garbage = false;
    return SY_OK;
}
static inline sy_status gpu_fault_garbage(sy_unit *unit, const sy_job *job) {
    (void)unit;
    (void)job;
    return SY_OK;
}
#endif

#endif
