/* SPDX-License-Identifier: Apache-2.0 */
/* One job: checked when it is submitted, run on the thread of the queue. */
#ifndef GPU_SUBMIT_H
#define GPU_SUBMIT_H

#include "program.h"

#include <string.h>

/* What can be said without looking at the values: that nothing was started is the answer then. */
sy_status gpu_job_check(const sy_unit *unit, const sy_job *job);
/* Shapes, parameters, recording, run, wait. */
sy_status gpu_job_run(sy_unit *unit, const sy_job *job);

#endif
