/* SPDX-License-Identifier: Apache-2.0 */
/* judge, price, link: a small roofline. Figures of the levels are priors, so confidence is low
 * until the core has measured; the options of open bring in what is known of a board. */
#include "unit.h"

#include <string.h>

#define STEP_US 0.5   /* dispatch of one node */
#define TEAM_US 1.0   /* a parallel region of an awake team */
#define LAUNCH_US 3.0 /* one submit */

/* The slower of moving the bytes and doing the arithmetic. */
static double time_us(const sy_device *device, const cpu_answer *answer) {
    double bytes = answer->weight_bytes + answer->activation_bytes;
    double memory = bytes / ((double)device->read_gb_per_s * 1e3);
    double compute = answer->int8_ops / ((double)device->int8_gops * 1e3) +
                     answer->f32_ops / ((double)device->f32_gflops * 1e3);
    double team = device->n_workers > 1 && bytes > 65536.0 ? TEAM_US : 0.0;
    return (memory > compute ? memory : compute) + STEP_US + team;
}

static sy_status node_judge(sy_device *device, const sy_graph_view *view, uint32_t i_node,
                            cpu_answer *out_answer) {
    cpu_node node;
    cpu_params params;
    bool fits = false;
    sy_status status = cpu_node_read(view, i_node, &node, &fits);
    if (status != SY_OK) {
        return status;
    }
    memset(out_answer, 0, sizeof(*out_answer));
    if (!fits) {
        cpu_no(out_answer, SY_REASON_OPERATOR,
               "there is no kernel for %.32s with %u inputs and %u "
               "outputs",
               node.view.op, node.view.n_inputs, node.view.n_outputs);
    } else {
        cpu_operator_check(device, &node, &params, out_answer);
    }
    return SY_OK;
}

sy_status cpu_judge(sy_device *device, const sy_graph_view *view, sy_verdict *out_verdicts,
                    size_t stride) {
    sy_status status = cpu_extensions_check(&view->header);
    for (uint32_t i = 0; status == SY_OK && i < view->n_nodes; i++) {
        cpu_answer answer;
        sy_verdict *verdict = (sy_verdict *)(void *)((char *)out_verdicts + i * stride);
        status = node_judge(device, view, i, &answer);
        if (status != SY_OK) {
            break;
        }
        verdict->support = answer.support;
        if (answer.support == SY_SUPPORT_NO) {
            verdict->reason = answer.reason;
            memcpy(verdict->why, answer.why, sizeof(verdict->why));
        } else {
            verdict->score = answer.score;
            verdict->group = 1;
            verdict->time_us = (float)time_us(device, &answer);
            verdict->confidence = answer.confidence;
        }
    }
    return status;
}

sy_status cpu_price(sy_device *device, const sy_graph_view *view, const sy_segment *segment,
                    sy_cost *out_cost) {
    sy_unit *unit = NULL;
    double total = LAUNCH_US;
    float confidence = 1.0f;
    for (uint32_t i = 0; i < segment->n_nodes; i++) {
        cpu_answer answer;
        sy_status status = node_judge(device, view, segment->nodes[i], &answer);
        if (status != SY_OK) {
            return status;
        }
        total += time_us(device, &answer);
        confidence = answer.confidence < confidence ? answer.confidence : confidence;
    }
    sy_status status = cpu_unit_build(device, view, segment, true, &unit);
    if (status != SY_OK) {
        return status;
    }
    out_cost->time_us = (float)total;
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
        return cpu_report(SY_UNIMPLEMENTED, SY_NO_VALUE, "memory kind %u is out of a CPU's reach",
                          from_known ? to : from);
    }
    /* Both kinds are imported where they lie; only changing the kind copies. */
    out_cost->time_us =
        from == to ? 0.0f : (float)((double)n_bytes / ((double)device->read_gb_per_s * 500.0));
    out_cost->confidence = from == to ? 1.0f : 0.3f;
    return SY_OK;
}
