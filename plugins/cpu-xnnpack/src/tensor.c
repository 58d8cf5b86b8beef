/* SPDX-License-Identifier: Apache-2.0 */
/* Float values of any float type as f32. */
#include "operators.h"

uint64_t cpu_element_bytes(sy_element_type type) {
    uint64_t n_bytes = 0;
    return kit_type_row_bytes(type, 1, &n_bytes) ? n_bytes : 0;
}

const float *cpu_floats_read(const cpu_run *run, const cpu_tensor *t, uint64_t first, uint64_t n,
                             float *space) {
    const uint8_t *bytes = t->data + first * cpu_element_bytes(t->type);
    if (t->type == SY_TYPE_F32) {
        return (const float *)(const void *)bytes;
    }
    cpu_kernels_of(run->kernels, t->type)->decode(bytes, n, space);
    return space;
}

float *cpu_floats_target(const cpu_tensor *t, uint64_t first, float *space) {
    return t->type == SY_TYPE_F32 ? (float *)(void *)t->data + first : space;
}

void cpu_floats_write(const cpu_run *run, const cpu_tensor *t, uint64_t first, uint64_t n,
                      const float *values) {
    if (t->type != SY_TYPE_F32) {
        uint8_t *bytes = t->data + first * cpu_element_bytes(t->type);
        cpu_kernels_of(run->kernels, t->type)->encode(values, n, bytes);
    }
}
