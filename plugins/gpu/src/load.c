/* SPDX-License-Identifier: Apache-2.0 */
/* load and unload. */
#include "faults.h"
#include "plugin.h"
#include "program.h"

sy_status gpu_load(sy_device *device, const sy_load_request *request, sy_unit_info *out_info,
                   sy_unit **out_unit) {
    sy_status status = kit_extensions_check(&request->header);
    if (status == SY_OK) {
        status = kit_extensions_check(&request->segment->header);
    }
    if (status == SY_OK && atomic_load(&device->is_lost)) {
        status = gpu_lost(device);
    }
    status = status == SY_OK ? gpu_fault_of_creation(device) : status;
    if (status == SY_OK && request->blob != NULL) {
        status = gpu_blob_read(device, request->blob);
    }
    sy_unit *unit = NULL;
    if (status == SY_OK) {
        status = gpu_unit_build(device, request->view, request->segment, GPU_BUILD_RUN, &unit);
    }
    gpu_driver_code_forget(device->driver);
    if (status != SY_OK) {
        return gpu_seen(device, status);
    }
    atomic_fetch_add(&device->live_handles, 1);
    out_info->scratch_bytes = unit->scratch_bytes;
    out_info->weight_bytes = unit->weight_bytes;
    *out_unit = unit;
    return SY_OK;
}

sy_status gpu_unload(sy_unit *unit) {
    if (unit != NULL) {
        sy_device *device = unit->device;
        gpu_unit_free(unit);
        atomic_fetch_sub(&device->live_handles, 1);
    }
    return SY_OK;
}
