/* SPDX-License-Identifier: Apache-2.0 */
/* judge, price, link: a small roofline over what the device was measured to do (roof.c). */
#include "judge.h"
#include "plugin.h"
#include "program.h"

/* The slower of moving the bytes and doing the arithmetic, and what starting a kernel costs. */
static double time_us(void *self, const kit_answer *answer) {
    const gpu_roof *roof = &((const sy_device *)self)->roof;
    double memory = (answer->weight_bytes + answer->activation_bytes) / (roof->read_gb_per_s * 1e3);
    double compute = (answer->int8_ops + answer->f32_ops) / (roof->f32_gflops * 1e3);
    return (memory > compute ? memory : compute) + roof->launch_us;
}

static void check(void *self, const kit_node *node, kit_answer *answer) {
    (void)gpu_operator_check(self, node, answer);
}

sy_status gpu_judge(sy_device *device, const sy_graph_view *view, sy_verdict *out_verdicts,
                    size_t stride) {
    const kit_judge judge = {.self = device, .check = check, .time_us = time_us};
    sy_status status = gpu_roof_measure(device);
    return status == SY_OK ? kit_judge_nodes(&judge, view, out_verdicts, stride) : status;
}

sy_status gpu_price(sy_device *device, const sy_graph_view *view, const sy_segment *segment,
                    sy_cost *out_cost) {
    const kit_judge judge = {.self = device, .check = check, .time_us = time_us};
    sy_unit *unit = NULL;
    double nodes_us = 0.0;
    float confidence = 0.0f;
    sy_status status = gpu_roof_measure(device);
    if (status == SY_OK) {
        status = kit_judge_segment(&judge, view, segment, &nodes_us, &confidence);
    }
    if (status == SY_OK) {
        status = gpu_unit_build(device, view, segment, GPU_BUILD_PRICE, &unit);
    }
    if (status != SY_OK) {
        return status;
    }
    out_cost->time_us = (float)(device->roof.job_us + nodes_us);
    out_cost->launch_us = (float)device->roof.job_us;
    out_cost->confidence = confidence;
    out_cost->scratch_bytes = unit->scratch_bytes;
    out_cost->weight_bytes = unit->weight_bytes;
    gpu_unit_free(unit);
    return SY_OK;
}

sy_status gpu_link(sy_device *device, sy_memory_kind from, sy_memory_kind to, uint64_t n_bytes,
                   sy_cost *out_cost) {
    bool host_is_zero_copy = device->limits->imports_host && device->limits->is_unified;
    bool from_known = from == SY_MEMORY_HOST || from == SY_MEMORY_OPAQUE;
    bool to_known = to == SY_MEMORY_HOST || to == SY_MEMORY_OPAQUE;
    if (!from_known || !to_known) {
        return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE,
                          "memory kind %u is out of this GPU's reach", from_known ? to : from);
    }
    sy_status status = gpu_roof_measure(device);
    if (status != SY_OK) {
        return status;
    }
    bool is_free = from == to || host_is_zero_copy;
    out_cost->time_us =
        is_free
            ? 0.0f
            : (float)(device->roof.copy_us + (double)n_bytes / (device->roof.copy_gb_per_s * 1e3));
    out_cost->confidence = is_free ? 1.0f : 0.8f;
    return SY_OK;
}
