/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that another one may replace while jobs that wait or run still bind it: it goes when no
 * job is left. Calls come from the thread that calls the device. */
#ifndef GPU_RETIRED_H
#define GPU_RETIRED_H

#include "device.h"

typedef struct gpu_retirable {
    struct gpu_retirable *next;
    gpu_memory *memory;
} gpu_retirable;

sy_status gpu_retirable_create(sy_device *device, uint64_t n_bytes, gpu_memory_use use,
                               gpu_retirable **out_retirable);
/* Takes it over. */
void gpu_retire(sy_device *device, gpu_retirable *retirable);
/* Frees what was retired, where no job is left. */
void gpu_retired_free(sy_device *device);

#endif
