/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that runs the jobs of a device, one after the other, so that submit does not wait. */
#ifndef GPU_QUEUE_H
#define GPU_QUEUE_H

#include "device.h"

typedef struct gpu_queue gpu_queue;

sy_status gpu_queue_create(sy_device *device, gpu_queue **out_queue);
/* After the last job. */
void gpu_queue_destroy(gpu_queue *queue);

#endif
