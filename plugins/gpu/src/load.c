/* SPDX-License-Identifier: Apache-2.0 */
/* load and unload. */
#include "faults.h"
#include "plugin.h"
#include "program.h"

/* Constants that take memory of their own: those that the host's memory holds take none. */
static uint64_t weights_held(const sy_device *device) {
    gpu_weight_counts counts = gpu_weight_count(device);
    return counts.n_bytes_copied + counts.n_bytes_placed;
}

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
    uint64_t held_before = weights_held(device);
    if (status == SY_OK) {
        status = gpu_unit_build(device, request->view, request->segment, GPU_BUILD_RUN, &unit);
    }
    gpu_driver_code_forget(device->driver);
    if (status != SY_OK) {
        return gpu_seen(device, status);
    }
    atomic_fetch_add(&device->live_handles, 1);
    out_info->scratch_bytes = unit->scratch_bytes;
    out_info->weight_bytes = weights_held(device) - held_before; /* units share theirs */
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
