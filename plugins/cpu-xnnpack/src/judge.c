/* SPDX-License-Identifier: Apache-2.0 */
/* judge, price, link: a small roofline. Figures of the levels are priors, so confidence is low
 * until the core has measured; the options of open bring in what is known of a board. */
#include "judge.h"
#include "unit.h"

#define STEP_US 0.5   /* dispatch of one node */
#define TEAM_US 1.0   /* a parallel region of an awake team */
#define LAUNCH_US 3.0 /* one submit */

/* The slower of moving the bytes and doing the arithmetic. */
static double time_us(void *self, const kit_answer *answer) {
    const sy_device *device = self;
    double bytes = answer->weight_bytes + answer->activation_bytes;
    double memory = bytes / ((double)device->read_gb_per_s * 1e3);
    double compute = answer->int8_ops / ((double)device->int8_gops * 1e3) +
                     answer->f32_ops / ((double)device->f32_gflops * 1e3);
    double team = device->n_workers > 1 && bytes > 65536.0 ? TEAM_US : 0.0;
    return (memory > compute ? memory : compute) + STEP_US + team;
}

static void check(void *self, const kit_node *node, kit_answer *answer) {
    cpu_params params;
    cpu_operator_check(self, node, &params, answer);
}

sy_status cpu_judge(sy_device *device, const sy_graph_view *view, sy_verdict *out_verdicts,
                    size_t stride) {
    const kit_judge judge = {.self = device, .check = check, .time_us = time_us};
    return kit_judge_nodes(&judge, view, out_verdicts, stride);
}

sy_status cpu_price(sy_device *device, const sy_graph_view *view, const sy_segment *segment,
                    sy_cost *out_cost) {
    const kit_judge judge = {.self = device, .check = check, .time_us = time_us};
    sy_unit *unit = NULL;
    double nodes_us = 0.0;
    float confidence = 0.0f;
    sy_status status = kit_judge_segment(&judge, view, segment, &nodes_us, &confidence);
    status = status == SY_OK ? cpu_unit_build(device, view, segment, true, &unit) : status;
    if (status != SY_OK) {
        return status;
    }
    out_cost->time_us = (float)(LAUNCH_US + nodes_us);
    out_cost->launch_us = (float)LAUNCH_US;
    out_cost->confidence = confidence;
    out_cost->scratch_bytes = unit->scratch_bytes;
    out_cost->weight_bytes = unit->weight_bytes;
    cpu_unit_free(unit);
    return SY_OK;
}

sy_status cpu_link(sy_device *device, sy_memory_kind from, sy_memory_kind to, uint64_t n_bytes,
                   sy_cost *out_cost) {
    bool from_known = from == SY_MEMORY_HOST || from == SY_MEMORY_MEMFD;
    bool to_known = to == SY_MEMORY_HOST || to == SY_MEMORY_MEMFD;
    if (!from_known || !to_known) {
        return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE, "memory kind %u is out of a CPU's reach",
                          from_known ? to : from);
    }
    /* Both kinds are imported where they lie; only changing the kind copies. */
    out_cost->time_us =
        from == to ? 0.0f : (float)((double)n_bytes / ((double)device->read_gb_per_s * 500.0));
    out_cost->confidence = from == to ? 1.0f : 0.3f;
    return SY_OK;
}
