/* SPDX-License-Identifier: Apache-2.0 */
/* load and unload, and where the values of a unit lie in the scratch. */
#include "fuse.h"
#include "linear.h"
#include "xnnpack_adapter.h"

#include <stdlib.h>

static bool alive_together(const cpu_value *a, const cpu_value *b) {
    return a->first_step <= b->last_step && b->first_step <= a->last_step;
}

/* First fit: the lowest offset at which nothing alive at the same time lies. */
static uint64_t first_fit(const sy_unit *unit, size_t i_value) {
    const cpu_value *value = &unit->values[i_value];
    uint64_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < i_value; i++) {
            const cpu_value *other = &unit->values[i];
            if (other->place == CPU_PLACE_SCRATCH && alive_together(value, other) &&
                offset < other->offset + other->n_bytes &&
                other->offset < offset + value->n_bytes) {
                offset = (other->offset + other->n_bytes + 63) & ~(uint64_t)63;
                moved = true;
            }
        }
    }
    return offset;
}

sy_status cpu_unit_place(sy_unit *unit) {
    uint64_t end = 0;
    for (size_t i = 0; i < unit->n_values; i++) {
        cpu_value *value = &unit->values[i];
        if (value->place == CPU_PLACE_SCRATCH) {
            value->offset = first_fit(unit, i);
            uint64_t value_end = value->offset + value->n_bytes;
            end = value_end > end ? value_end : end;
        }
    }
    unit->worker_offset = (end + 63) & ~(uint64_t)63;
    uint64_t n_bytes = 0;
    if (__builtin_mul_overflow(unit->worker_bytes, (uint64_t)unit->n_workers, &n_bytes) ||
        __builtin_add_overflow(n_bytes, unit->worker_offset, &unit->scratch_bytes)) {
        return cpu_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "the scratch memory is too large");
    }
    return SY_OK;
}

void cpu_unit_free(sy_unit *unit) {
    if (unit->plain != NULL) {
        cpu_unit_free(unit->plain);
    }
    for (size_t i = 0; i < unit->n_steps; i++) {
        cpu_params *params = &unit->steps[i].params;
        cpu_release(params->bias, params->bias != NULL ? params->n * sizeof(float) : 0);
        cpu_xnnpack_release(params->object);
        if (unit->steps[i].operator!= & cpu_operator_merged) {
            cpu_release(params->group, sizeof(*params->group));
        }
    }
    cpu_release(unit->tensors, unit->n_values * sizeof(*unit->tensors));
    cpu_release(unit->steps, unit->steps_capacity * sizeof(*unit->steps));
    cpu_release(unit->values, unit->values_capacity * sizeof(*unit->values));
    cpu_release(unit, sizeof(*unit));
}

sy_status cpu_load(sy_device *device, const sy_load_request *request, sy_unit_info *out_info,
                   sy_unit **out_unit) {
    sy_status status = cpu_extensions_check(&request->header);
    if (status == SY_OK) {
        status = cpu_extensions_check(&request->segment->header);
    }
    if (status == SY_OK && request->blob != NULL) {
        status = cpu_report(SY_UNIMPLEMENTED, SY_NO_VALUE,
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
