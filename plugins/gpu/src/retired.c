/* SPDX-License-Identifier: Apache-2.0 */
#include "retired.h"

sy_status gpu_retirable_create(sy_device *device, uint64_t n_bytes, gpu_memory_use use,
                               gpu_retirable **out_retirable) {
    gpu_retirable *made = kit_alloc(sizeof(*made));
    if (made == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for tables");
    }
    sy_status status = gpu_memory_create(device->driver, n_bytes, use, &made->memory);
    if (status != SY_OK) {
        kit_release(made, sizeof(*made));
        return status;
    }
    *out_retirable = made;
    return SY_OK;
}

void gpu_retire(sy_device *device, gpu_retirable *retirable) {
    retirable->next = device->retired;
    device->retired = retirable;
    gpu_retired_free(device);
}

void gpu_retired_free(sy_device *device) {
    while (device->retired != NULL && atomic_load(&device->live_jobs) == 0) {
        gpu_retirable *retirable = device->retired;
        device->retired = retirable->next;
        gpu_memory_destroy(retirable->memory);
        kit_release(retirable, sizeof(*retirable));
    }
}
