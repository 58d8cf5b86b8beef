/* SPDX-License-Identifier: Apache-2.0 */
/* load and unload, and the size of the scratch. */
#include "fuse.h"
#include "linear.h"
#include "xnnpack_adapter.h"

#include <stdlib.h>

sy_status cpu_unit_place(sy_unit *unit) {
    uint64_t end = kit_values_place(&unit->values, 64);
    unit->worker_offset = (end + 63) & ~(uint64_t)63;
    uint64_t n_bytes = 0;
    if (__builtin_mul_overflow(unit->worker_bytes, (uint64_t)unit->n_workers, &n_bytes) ||
        __builtin_add_overflow(n_bytes, unit->worker_offset, &unit->scratch_bytes)) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "the scratch memory is too large");
    }
    return SY_OK;
}

void cpu_unit_free(sy_unit *unit) {
    if (unit->plain != NULL) {
        cpu_unit_free(unit->plain);
    }
    for (size_t i = 0; i < unit->n_steps; i++) {
        cpu_params *params = &unit->steps[i].params;
        kit_release(params->bias, params->bias != NULL ? params->n * sizeof(float) : 0);
        cpu_xnnpack_release(params->object);
        if (unit->steps[i].operator!= & cpu_operator_merged) {
            kit_release(params->group, sizeof(*params->group));
        }
    }
    kit_release(unit->tensors, unit->values.n * sizeof(*unit->tensors));
    kit_release(unit->steps, unit->steps_capacity * sizeof(*unit->steps));
    kit_values_deinit(&unit->values);
    kit_release(unit, sizeof(*unit));
}

sy_status cpu_load(sy_device *device, const sy_load_request *request, sy_unit_info *out_info,
                   sy_unit **out_unit) {
    sy_status status = kit_extensions_check(&request->header);
    if (status == SY_OK) {
        status = kit_extensions_check(&request->segment->header);
    }
    if (status == SY_OK && request->blob != NULL) {
        status = kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE,
                            "this delegate compiles nothing: load without a blob");
    }
    sy_unit *unit = NULL;
    if (status == SY_OK) {
        status = cpu_unit_build(device, request->view, request->segment, false, &unit);
    }
    if (status != SY_OK) {
        return status;
    }
    atomic_fetch_add(&device->live_handles, 1);
    out_info->scratch_bytes = unit->scratch_bytes;
    out_info->weight_bytes = unit->weight_bytes;
    *out_unit = unit;
    return SY_OK;
}

sy_status cpu_unload(sy_unit *unit) {
    if (unit != NULL) {
        atomic_fetch_sub(&unit->device->live_handles, 1);
        cpu_unit_free(unit);
    }
    return SY_OK;
}
