/* SPDX-License-Identifier: Apache-2.0 */
#include "judge.h"

#include <string.h>

static sy_status node_answer(const kit_judge *judge, const sy_graph_view *view, uint32_t i_node,
                             kit_answer *out_answer) {
    kit_node node;
    bool fits = false;
    sy_status status = kit_node_read(view, i_node, &node, &fits);
    if (status != SY_OK) {
        return status;
    }
    memset(out_answer, 0, sizeof(*out_answer));
    if (fits) {
        judge->check(judge->self, &node, out_answer);
    } else {
        kit_no(out_answer, SY_REASON_OPERATOR,
               "there is no kernel for %.32s with %u inputs and %u outputs", node.view.op,
               node.view.n_inputs, node.view.n_outputs);
    }
    return SY_OK;
}

sy_status kit_judge_nodes(const kit_judge *judge, const sy_graph_view *view,
                          sy_verdict *out_verdicts, size_t stride) {
    sy_status status = kit_extensions_check(&view->header);
    for (uint32_t i = 0; status == SY_OK && i < view->n_nodes; i++) {
        kit_answer answer;
        sy_verdict *verdict = (sy_verdict *)(void *)((char *)out_verdicts + i * stride);
        status = node_answer(judge, view, i, &answer);
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
            verdict->time_us = (float)judge->time_us(judge->self, &answer);
            verdict->confidence = answer.confidence;
        }
    }
    return status;
}

sy_status kit_judge_segment(const kit_judge *judge, const sy_graph_view *view,
                            const sy_segment *segment, double *out_time_us, float *out_confidence) {
    double total_us = 0.0;
    float confidence = 1.0f;
    for (uint32_t i = 0; i < segment->n_nodes; i++) {
        kit_answer answer;
        sy_status status = node_answer(judge, view, segment->nodes[i], &answer);
        if (status != SY_OK) {
            return status;
        }
        total_us += judge->time_us(judge->self, &answer);
        confidence = answer.confidence < confidence ? answer.confidence : confidence;
    }
    *out_time_us = total_us;
    *out_confidence = confidence;
    return SY_OK;
}
