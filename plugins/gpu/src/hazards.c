/* SPDX-License-Identifier: Apache-2.0 */
#include "hazards.h"

#define NO_FAMILY UINT32_MAX

static bool overlaps(const gpu_touch *list, uint32_t n, const gpu_binding *binding,
                     uint32_t family) {
    for (uint32_t i = 0; i < n; i++) {
        const gpu_binding *other = &list[i].binding;
        if (list[i].family != family && other->memory == binding->memory &&
            other->offset_bytes < binding->offset_bytes + binding->n_bytes &&
            binding->offset_bytes < other->offset_bytes + other->n_bytes) {
            return true;
        }
    }
    return false;
}

static bool has_to_wait(const gpu_hazards *hazards, const gpu_dispatch *dispatch, uint32_t n_in,
                        uint32_t constant, uint32_t family) {
    bool waits = hazards->n_reads + GPU_BINDINGS_MAX > GPU_TOUCHES_MOST ||
                 hazards->n_writes + GPU_BINDINGS_MAX > GPU_TOUCHES_MOST;
    for (uint32_t i = 0; !waits && i < dispatch->n_bindings; i++) {
        const gpu_binding *binding = &dispatch->bindings[i];
        bool is_written = i >= n_in;
        if (is_written || (constant >> i & 1u) == 0) {
            waits = overlaps(hazards->writes, hazards->n_writes, binding,
                             is_written ? family : NO_FAMILY) ||
                    (is_written && overlaps(hazards->reads, hazards->n_reads, binding, NO_FAMILY));
        }
    }
    return waits;
}

void gpu_hazards_find(gpu_hazards *hazards, gpu_dispatch *dispatch, uint32_t n_in,
                      uint32_t constant, uint32_t family) {
    dispatch->waits = dispatch->waits || has_to_wait(hazards, dispatch, n_in, constant, family);
    if (dispatch->waits) {
        hazards->n_reads = hazards->n_writes = 0;
    }
    for (uint32_t i = 0; i < dispatch->n_bindings; i++) {
        if (i >= n_in) {
            hazards->writes[hazards->n_writes++] = (gpu_touch){dispatch->bindings[i], family};
        } else if ((constant >> i & 1u) == 0) {
            hazards->reads[hazards->n_reads++] = (gpu_touch){dispatch->bindings[i], family};
        }
    }
}
